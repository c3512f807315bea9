/*
 * Random bytes that a seed decides, so that a failing test fails again.
 *
 * SplitMix64 (Steele, Lea, Flood 2014).
 */

#ifndef TESTS_SUPPORT_SEEDED_H
#define TESTS_SUPPORT_SEEDED_H

#include "base/env.h"

struct seeded {
    uint64_t state;
};

static inline uint64_t seeded_u64(struct seeded *seeded)
{
    uint64_t z = seeded->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* 0 .. bound-1; near enough to even for tests. */
static inline uint64_t seeded_below(struct seeded *seeded, uint64_t bound)
{
    return seeded_u64(seeded) % bound;
}

static inline void seeded_fill(void *context, void *to, size_t length)
{
    struct seeded *seeded = context;
    uint8_t *next = to;
    for (size_t i = 0; i < length; i++) {
        next[i] = (uint8_t)seeded_u64(seeded);
    }
}

static inline struct entropy seeded_entropy(struct seeded *seeded)
{
    return (struct entropy){.context = seeded, .fill = seeded_fill};
}

#endif
