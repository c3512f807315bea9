/*
 * The clocks of the operating system.
 *
 * Any thread.
 */

#ifndef BASE_POSIX_POSIX_CLOCK_H
#define BASE_POSIX_POSIX_CLOCK_H

#include "base/env.h"

/* Static. Its now_ns() is CLOCK_MONOTONIC: it stands still in suspend. */
const struct clock *posix_clock(void);

#endif
