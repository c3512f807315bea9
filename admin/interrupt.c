#include "admin/interrupt.h"

#include "base/time_units.h"

#include <signal.h>
#include <stddef.h>
#include <time.h>

static sigset_t signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    return set;
}

static void hold(void *context)
{
    (void)context;
    sigset_t set = signals();
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
}

static void release(void *context)
{
    (void)context;
    sigset_t set = signals();
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* Stopping and continuing (Ctrl-Z, fg) makes it shorter; that does no harm. */
static bool wait_for(void *context, uint64_t ms)
{
    (void)context;
    sigset_t set = signals();
    struct timespec timeout = {.tv_sec = (time_t)(ms / MS_PER_S),
                               .tv_nsec = (long)(ms % MS_PER_S * NS_PER_MS)};
    return sigtimedwait(&set, NULL, &timeout) < 0;
}

const struct interrupt *interrupt_posix(void)
{
    static const struct interrupt table = {
        .hold = hold, .release = release, .wait = wait_for};
    return &table;
}
