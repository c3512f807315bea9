/*
 * Weighted rendezvous hashing: how much a shard and a node want each other.
 *
 * Pure; in integers, because a logarithm's last bit is another on another
 * machine.
 */

#ifndef SHARD_RENDEZVOUS_H
#define SHARD_RENDEZVOUS_H

#include <stdint.h>

#define RENDEZVOUS_STEPS 256

struct rendezvous {
    uint64_t log2[RENDEZVOUS_STEPS + 1]; /* of 1 .. 2, times 2^32 */
};

/* Who is asking for what. */
struct rendezvous_pair {
    uint32_t shard;
    uint32_t weight; /* of the node; at least 1 */
    uint64_t hash;   /* of the node's name */
};

void rendezvous_init(struct rendezvous *rendezvous);

/*
 * The lower, the better: the time at which the node would have called, if
 * calls came at random, at a rate that is its weight (Schindelhauer and
 * Schomaker 2005, the logarithmic method).
 */
uint64_t rendezvous_distance(const struct rendezvous *rendezvous,
                             struct rendezvous_pair pair);

#endif
