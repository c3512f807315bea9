/*
 * From an actor's address to its shard.
 *
 * Pure. The same on every node, for ever: where journals stand depends on it.
 */

#ifndef SHARD_KEY_H
#define SHARD_KEY_H

#include "base/bytes.h"

#include <stdint.h>

/*
 * The shard, 0 .. shard_count-1, of the actor `type/id`: jump consistent hash
 * (Lamping and Veach, A fast, minimal memory, consistent hash algorithm, 2014)
 * of XXH3-64 of type, '/', id. `shard_count` is at least 1.
 */
uint32_t shard_of_key(struct bytes type, struct bytes id, uint32_t shard_count);

/* The second half of it: a hash that is spread evenly, to a bucket. */
uint32_t shard_jump(uint64_t hash, uint32_t bucket_count);

#endif
