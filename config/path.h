/*
 * A path of limited length, by value.
 */

#ifndef CONFIG_PATH_H
#define CONFIG_PATH_H

#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

#define PATH_BYTES 4096 /* with its terminating zero */

struct path {
    char text[PATH_BYTES];
};

/* Put together in printf's form. ERR_INVALID: too long */
__attribute__((format(printf, 2, 3))) static inline FALLIBLE path_make(
    struct path *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(out->text, sizeof out->text, format, arguments);
    va_end(arguments);
    return length < 0 || (size_t)length >= sizeof out->text ? ERR_INVALID
                                                            : ERR_NONE;
}

#endif
