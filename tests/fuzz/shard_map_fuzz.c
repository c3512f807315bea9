/*
 * Any bytes as a shard map: what is accepted is within all bounds, and written
 * and read again it is the same.
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct shard_map map = {0};
    struct reader reader = reader_of(bytes_of(data, length));
    if (shard_map_decode(&map, &reader) == ERR_NONE) {
        check(&map);
    } else {
        MUST(map.places == NULL);
    }
    shard_map_clear(&map);
    return 0;
}
