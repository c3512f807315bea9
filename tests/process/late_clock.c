/*
 * In the place of base/posix/posix_clock.c: its wall clock is behind by as many
 * seconds as CLOCK_BEHIND_S of the environment says.
 */

#include "base/posix/posix_clock.h"

#include "base/time_units.h"

#include <stdlib.h>
#include <time.h>

static uint64_t now_ns(void *context)
{
    (void)context;
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static int64_t wall_ms(void *context)
{
    (void)context;
    const char *behind = getenv("CLOCK_BEHIND_S");
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    int64_t seconds = now.tv_sec - (behind ? strtoll(behind, NULL, 10) : 0);
    return seconds * MS_PER_S + now.tv_nsec / (int64_t)NS_PER_MS;
}

const struct clock *posix_clock(void)
{
    static const struct clock clock = {.now_ns = now_ns, .wall_ms = wall_ms};
    return &clock;
}
