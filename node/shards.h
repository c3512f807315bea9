/*
 * What runs in a node's shards: their machines.
 *
 * At present every shard holds a map of counters (shard/counter_map.h), with
 * which `troupe counter` and the benchmarks measure what a shard promises;
 * actors and task queues come in its place. Around each stands what backups
 * need (shard/archive.h).
 *
 * Owned by the reactor of the links.
 */

#ifndef NODE_SHARDS_H
#define NODE_SHARDS_H

#include "shard/host.h"

struct shards;

/* `clock` outlives it. ERR_MEMORY */
FALLIBLE shards_open(struct shards **out, const struct clock *clock);
void shards_close(struct shards **shards);

/* Lives as long as `shards`. */
struct host_machines shards_machines(struct shards *shards);

#endif
