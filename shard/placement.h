/*
 * Which nodes shall hold which shard: weighted rendezvous hashing (Thaler and
 * Ravishankar 1998; weights after Schindelhauer and Schomaker 2005) with
 * bounded loads (as Mirrokni, Thorup and Zadimoghaddam 2018) and zones.
 *
 * A pure function: whoever computes it from the same nodes, in whichever
 * order, and the same previous map gets the same map; and to place again what
 * was placed changes nothing. docs/shards.md says how and what it promises.
 */

#ifndef SHARD_PLACEMENT_H
#define SHARD_PLACEMENT_H

#include "shard/shard_map.h"

struct placement_node {
    uint32_t number;  /* each once */
    uint32_t weight;  /* its share; 0: takes nothing and gives all away */
    bool is_cordoned; /* keeps what it has, takes nothing new */
    uint64_t hash;    /* placement_hash() of its name */
    uint64_t zone;    /* placement_hash() of its zone's; 0: none, it is one by
                         itself */
};

/* Of a name; 0 for "". */
uint64_t placement_hash(const char *name);

struct placement_request {
    const struct placement_node *nodes;
    uint32_t node_count;              /* 0 .. SHARD_NODES_MAX */
    uint32_t replication;             /* 1 .. SHARD_REPLICAS_MAX; wanted */
    uint32_t shard_count;             /* 1 .. SHARD_COUNT_MAX */
    const struct shard_map *previous; /* NULL: none; else of as many shards */
    bool spreads_zones; /* also moves what stands well but for its zone: the
                           zones themselves have changed */
};

/*
 * The map that is wanted, into `out`, which holds nothing. Its version is that
 * of the previous one, or the next when something has changed. A shard for
 * which no node is left stays where it was.
 *
 * ERR_MEMORY
 */
FALLIBLE placement_make(struct shard_map *out,
                        const struct placement_request *request);

struct placement_move {
    uint32_t shard;
    struct shard_place from;
    struct shard_place to;
    bool is_owner_only; /* no replica moves */
};

/*
 * The moves from one map to another of as many shards, in order of shards.
 * `moves` has room for `move_max`; how many there are is returned, and may be
 * more.
 */
uint32_t placement_diff(const struct shard_map *from,
                        const struct shard_map *to,
                        struct placement_move *moves,
                        uint32_t move_max);

#endif
