/*
 * How the thread of a reactor sleeps.
 */

#ifndef BASE_POSIX_POSIX_WAKER_H
#define BASE_POSIX_POSIX_WAKER_H

#include "base/env.h"
#include "base/err.h"

struct posix_waker;

/* ERR_MEMORY */
FALLIBLE posix_waker_open(struct posix_waker **out);

/* Nobody may sleep or wake any more. Sets `*waker` to NULL. */
void posix_waker_close(struct posix_waker **waker);

/* The table for a reactor; valid until posix_waker_close(). */
struct waker posix_waker_table(struct posix_waker *waker);

#endif
