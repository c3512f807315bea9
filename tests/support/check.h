/*
 * What every unit test includes: cmocka and two checks on top of it.
 */

#ifndef TESTS_SUPPORT_CHECK_H
#define TESTS_SUPPORT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"

#define CHECK(condition) assert_true(condition)

/* Names both errors when they differ. */
#define CHECK_ERR(given, expected) \
    check_err((given), (expected), #given, __FILE__, __LINE__)
#define CHECK_OK(given) CHECK_ERR(given, ERR_NONE)

static inline void check_err(enum err given,
                             enum err expected,
                             const char *what,
                             const char *file,
                             int line)
{
    if (given != expected) {
        print_error("%s: %s, expected %s\n", what, err_name(given),
                    err_name(expected));
        _fail(file, line);
    }
}

#endif
