/*
 * How evenly a map spreads shards over nodes: two quotients that people look
 * at.
 *
 * Plain data; pure.
 */

#ifndef SHARD_SHARD_BALANCE_H
#define SHARD_SHARD_BALANCE_H

#include "shard/shard_map.h"

struct shard_balance {
    uint32_t owners_max; /* of one node */
    double owners_mean;
    uint32_t replicas_max;
    double replicas_mean;
};

/* Over `node_count` nodes, those that hold nothing included; all zero when
 * there are none. */
struct shard_balance shard_balance_of(const struct shard_map *map,
                                      uint32_t node_count);

#endif
