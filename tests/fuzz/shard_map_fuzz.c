/*
 * Any bytes as a shard map, and as a delta to a small one: what is accepted is
 * within all bounds, and written and read again it is the same.
 */

#include <stdlib.h>

#include "shard/shard_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

static void check_place(const struct shard_place *place)
{
    MUST(place->replica_count <= SHARD_REPLICAS_MAX);
    for (uint32_t i = 0; i < place->replica_count; i++) {
        MUST(place->replicas[i] < SHARD_NODES_MAX);
        for (uint32_t j = 0; j < i; j++) {
            MUST(place->replicas[i] != place->replicas[j]);
        }
    }
}

static void check(const struct shard_map *map)
{
    MUST(map->shard_count <= SHARD_COUNT_MAX);
    for (uint32_t i = 0; i < map->shard_count; i++) {
        check_place(&map->places[i]);
    }
    struct shard_map again = {0};
    size_t bytes_max = shard_map_bytes_max(map);
    uint8_t *buffer = malloc(bytes_max);
    MUST(buffer);
    struct writer writer = writer_of(buffer, bytes_max);
    shard_map_encode(map, &writer);
    MUST(!writer.failed);
    struct reader reader = reader_of(writer_bytes(&writer));
    MUST(shard_map_decode(&again, &reader) == ERR_NONE);
    MUST(reader_left(&reader) == 0);
    MUST(shard_map_is_equal(&again, map));
    MUST(shard_map_digest(&again) == shard_map_digest(map));
    shard_map_clear(&again);
    free(buffer);
}

/* The map that deltas are for. */
static void make_map(struct shard_map *map)
{
    MUST(shard_map_init(map, 4) == ERR_NONE);
    map->version = 7;
    for (uint32_t i = 0; i < 4; i++) {
        map->places[i] =
            (struct shard_place){.replica_count = 2, .replicas = {i, i + 1}};
    }
}

static void try_delta(struct bytes bytes)
{
    struct shard_map before = {0};
    struct shard_map map = {0};
    make_map(&before);
    make_map(&map);
    struct reader reader = reader_of(bytes);
    if (shard_map_delta_apply(&map, &reader) == ERR_NONE) {
        check(&map);
    } else {
        MUST(shard_map_is_equal(&map, &before));
    }
    shard_map_clear(&before);
    shard_map_clear(&map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct bytes bytes = bytes_of(data, length);
    struct shard_map map = {0};
    struct reader reader = reader_of(bytes);
    if (shard_map_decode(&map, &reader) == ERR_NONE) {
        check(&map);
    } else {
        MUST(map.places == NULL);
    }
    shard_map_clear(&map);
    try_delta(bytes);
    return 0;
}
