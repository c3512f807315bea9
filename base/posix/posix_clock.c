#include "base/posix/posix_clock.h"

#include "base/time_units.h"

#include <assert.h>
#include <time.h>

static uint64_t now_ns(void *context)
{
    (void)context;
    struct timespec now = {0};
    int failed = clock_gettime(CLOCK_MONOTONIC, &now);
    assert(!failed);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static int64_t wall_ms(void *context)
{
    (void)context;
    struct timespec now = {0};
    int failed = clock_gettime(CLOCK_REALTIME, &now);
    assert(!failed);
    return (int64_t)now.tv_sec * MS_PER_S + now.tv_nsec / (int64_t)NS_PER_MS;
}

const struct clock *posix_clock(void)
{
    static const struct clock clock = {.now_ns = now_ns, .wall_ms = wall_ms};
    return &clock;
}
