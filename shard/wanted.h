/*
 * The map that members call for: placement (shard/placement.h) under the rule
 * that nobody who leaves gives a replica away before there is room for it
 * elsewhere.
 *
 * Pure: the meta group's leader, a plan, and a look at a bundle or a file say
 * the same.
 */

#ifndef SHARD_WANTED_H
#define SHARD_WANTED_H

#include "shard/placement.h"

struct wanted_node {
    uint32_t number; /* each once; below SHARD_NODES_MAX */
    const char *name;
    const char *zone; /* "": none */
    uint32_t weight;
    bool holds_shards; /* by its roles */
    bool is_cordoned;  /* takes nothing new */
    bool is_leaving;   /* drains, or is down */
};

struct wanted_request {
    const struct wanted_node *nodes;
    uint32_t node_count; /* 0 .. SHARD_NODES_MAX */
    uint32_t replication;
    const struct shard_map *previous; /* the map as it is */
};

/* Into `out`, which holds nothing. ERR_MEMORY */
FALLIBLE wanted_map(struct shard_map *out,
                    const struct wanted_request *request);

#endif
