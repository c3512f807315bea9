/*
 * The operating system's limits that a node must know before it starts.
 *
 * Called once, by main, before other threads exist.
 */

#ifndef BASE_POSIX_POSIX_LIMITS_H
#define BASE_POSIX_POSIX_LIMITS_H

#include "base/err.h"

#include <stdint.h>

struct posix_limits_needed {
    uint64_t descriptor_count; /* RLIMIT_NOFILE */
    uint64_t locked_bytes;     /* RLIMIT_MEMLOCK */
};

/*
 * Raise the soft limits to the hard ones and compare them with what is
 * needed.
 *
 * ERR_LIMIT   one is too low; `why` names it, with what was found, what is
 *             needed and how to raise it
 */
FALLIBLE posix_limits_check(const struct posix_limits_needed *needed,
                            struct err_detail *why);

#endif
