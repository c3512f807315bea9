#include "shard/rendezvous.h"

#include "base/hash.h"

#include <assert.h>

#define FRACTION_BITS 32
#define DISTANCE_BITS 24 /* 7 + 32 + 24 bits: no sum is too large */

/* log2 of 1 + step / 256: a digit by each squaring. */
static uint64_t log2_of_step(uint64_t step)
{
    const uint64_t one = UINT64_C(1) << 31;
    uint64_t value = one + step * (one / RENDEZVOUS_STEPS);
    uint64_t digits = 0;
    for (int i = 0; i < FRACTION_BITS; i++) {
        value = value * value >> 31;
        digits <<= 1;
        if (value >= 2 * one) {
            value >>= 1;
            digits |= 1;
        }
    }
    return digits;
}

void rendezvous_init(struct rendezvous *rendezvous)
{
    for (uint64_t i = 0; i < RENDEZVOUS_STEPS; i++) {
        rendezvous->log2[i] = log2_of_step(i);
    }
    rendezvous->log2[RENDEZVOUS_STEPS] = UINT64_C(1) << FRACTION_BITS;
}

/* -log2 of hash / 2^64, times 2^32. */
static uint64_t minus_log2(const struct rendezvous *rendezvous, uint64_t hash)
{
    hash |= 1; /* there is no logarithm of zero */
    uint64_t zeros = (uint64_t)__builtin_clzll(hash);
    uint64_t top = hash << zeros;
    uint64_t step = top >> 55 & (RENDEZVOUS_STEPS - 1);
    uint64_t rest = top >> 23 & UINT32_MAX;
    uint64_t low = rendezvous->log2[step];
    uint64_t high = rendezvous->log2[step + 1];
    uint64_t fraction = low + ((high - low) * rest >> 32);
    return ((zeros + 1) << FRACTION_BITS) - fraction;
}

uint64_t rendezvous_distance(const struct rendezvous *rendezvous,
                             struct rendezvous_pair pair)
{
    assert(pair.weight > 0);
    uint8_t shard[4];
    put_u32(shard, pair.shard);
    uint64_t hash = hash_bytes(bytes_of(shard, sizeof shard), pair.hash);
    return (minus_log2(rendezvous, hash) << DISTANCE_BITS) / pair.weight;
}
