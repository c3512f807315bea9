/*
 * The shard map: which nodes shall hold which shard, and which shall lead.
 *
 * It is intent; a group's committed members and its leader are fact. The
 * members of the cluster agree on it through the meta group (shard/view.h),
 * and every change has a new version.
 *
 * Plain data; pure.
 */

#ifndef SHARD_SHARD_MAP_H
#define SHARD_SHARD_MAP_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define SHARD_COUNT_MAX 4096
#define SHARD_REPLICAS_MAX 5
#define SHARD_NODES_MAX 512 /* node numbers are below */

struct shard_place {
    uint32_t generation; /* raised when its group was restored */
    uint8_t replica_count;
    uint32_t replicas[SHARD_REPLICAS_MAX]; /* nodes; the first is the owner:
                                              where leadership is wanted */
};

struct shard_map {
    uint64_t version;
    uint32_t shard_count;
    struct shard_place *places; /* NULL when there are none */
};

/* Group 0 is the meta group. */
static inline uint32_t shard_group_id(uint32_t shard)
{
    return shard + 1;
}

/* `group` is not the meta group. */
static inline uint32_t shard_of_group(uint32_t group)
{
    return group - 1;
}

/* `shard_count` shards, 0 .. SHARD_COUNT_MAX, that stand nowhere yet.
 * ERR_MEMORY */
FALLIBLE shard_map_init(struct shard_map *map, uint32_t shard_count);
void shard_map_clear(struct shard_map *map);

/* Into `out`, which holds nothing. ERR_MEMORY */
FALLIBLE shard_map_copy(struct shard_map *out, const struct shard_map *from);

bool shard_place_is_equal(const struct shard_place *left,
                          const struct shard_place *right);

/* The same nodes, whichever of them is the owner. */
bool shard_place_has_same_nodes(const struct shard_place *left,
                                const struct shard_place *right);
bool shard_place_has(const struct shard_place *place, uint32_t node);

/* The version, too. */
bool shard_map_is_equal(const struct shard_map *left,
                        const struct shard_map *right);

/* Of all that the map says; equal on those who have the same one. */
uint64_t shard_map_digest(const struct shard_map *map);

/* At least so many bytes must a writer have for either encoding. */
size_t shard_map_bytes_max(const struct shard_map *map);

/* One MessagePack value (docs/shards.md). */
void shard_map_encode(const struct shard_map *map, struct writer *writer);

/*
 * Into `out`, which holds nothing, and on success only. What a newer release
 * has added is skipped.
 *
 * ERR_MALFORMED   also: too many shards or replicas, a node's number that is
 *                 too large, or a node twice in one place
 * ERR_VERSION     only a newer release can read it
 * ERR_MEMORY
 */
FALLIBLE shard_map_decode(struct shard_map *out, struct reader *reader);

#endif
