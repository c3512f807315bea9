/*
 * What runs in a node's shards: their machines.
 *
 * Every shard holds tasks (shard/task_book.h) and a map of counters
 * (shard/counter_map.h), with which `troupe counter` and the benchmarks measure
 * what a shard promises. Around both stands what backups need
 * (shard/archive.h).
 *
 * Owned by the reactor of the links.
 */

#ifndef NODE_SHARDS_H
#define NODE_SHARDS_H

#include "node/tasks.h"

struct shards;

/* Both outlive it. ERR_MEMORY */
FALLIBLE shards_open(struct shards **out,
                     const struct clock *clock,
                     struct tasks *tasks);
void shards_close(struct shards **shards);

/* Lives as long as `shards`. */
struct host_machines shards_machines(struct shards *shards);

#endif
