/*
 * A clock that stands still until the test moves it.
 */

#ifndef TESTS_SUPPORT_FAKE_CLOCK_H
#define TESTS_SUPPORT_FAKE_CLOCK_H

#include "base/env.h"

struct fake_clock {
    uint64_t now_ns;
    int64_t wall_ms;
};

static inline uint64_t fake_clock_now_ns(void *context)
{
    const struct fake_clock *fake = context;
    return fake->now_ns;
}

static inline int64_t fake_clock_wall_ms(void *context)
{
    const struct fake_clock *fake = context;
    return fake->wall_ms;
}

static inline struct clock fake_clock_table(struct fake_clock *fake)
{
    return (struct clock){.context = fake,
                          .now_ns = fake_clock_now_ns,
                          .wall_ms = fake_clock_wall_ms};
}

#endif
