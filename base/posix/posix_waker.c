#include "base/posix/posix_waker.h"

#include "base/time_units.h"

#include <assert.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * A futex of its own instead of a mutex with a condition variable: a reactor
 * is woken for every packet, and this costs one system call on each side and
 * no lock that the sleeper could run into.
 */

#define WAIT_NS_MAX (UINT64_C(1000000) * NS_PER_S) /* longer is for ever */

enum { WAKER_AWAKE, WAKER_ASLEEP, WAKER_WOKEN };

struct posix_waker {
    _Atomic uint32_t state;
};

static_assert(sizeof(_Atomic uint32_t) == sizeof(uint32_t), "futex word");

static void wait_for(void *context, uint64_t timeout_ns)
{
    struct posix_waker *waker = context;
    uint32_t state = WAKER_AWAKE;
    if (atomic_compare_exchange_strong(&waker->state, &state, WAKER_ASLEEP)) {
        struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / NS_PER_S),
                                   .tv_nsec = (long)(timeout_ns % NS_PER_S)};
        /* Returns at once when wake() came in between; an early return does
         * no harm, since a reactor looks for itself. */
        (void)syscall(SYS_futex, &waker->state, FUTEX_WAIT_PRIVATE,
                      WAKER_ASLEEP, timeout_ns > WAIT_NS_MAX ? NULL : &timeout,
                      NULL, 0);
    }
    atomic_store(&waker->state, WAKER_AWAKE);
}

static void wake(void *context)
{
    struct posix_waker *waker = context;
    if (atomic_exchange(&waker->state, WAKER_WOKEN) == WAKER_ASLEEP) {
        (void)syscall(SYS_futex, &waker->state, FUTEX_WAKE_PRIVATE, 1, NULL,
                      NULL, 0);
    }
}

enum err posix_waker_open(struct posix_waker **out)
{
    struct posix_waker *waker = calloc(1, sizeof *waker);
    if (!waker) {
        return ERR_MEMORY;
    }
    *out = waker;
    return ERR_NONE;
}

void posix_waker_close(struct posix_waker **waker)
{
    free(*waker);
    *waker = NULL;
}

struct waker posix_waker_table(struct posix_waker *waker)
{
    return (struct waker){.context = waker, .wait = wait_for, .wake = wake};
}
