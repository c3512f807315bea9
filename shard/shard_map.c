/*
 * The encodings:
 *
 *   map    [format, version, [place ...], ...]
 *   place  [generation, [node ...], ...]
 *
 * A release may append fields where it says "...": those that it does not
 * know are skipped. What cannot be skipped has another format number.
 */

#include "shard/shard_map.h"

#include "base/hash.h"
#include "base/pack.h"
#include "base/scope.h"
#include "cluster/multiraft.h"

#include <assert.h>
#include <stdlib.h>

#define FORMAT 1
#define MAP_FIELDS 3
#define PLACE_FIELDS 2

#define NUMBER_BYTES_MAX 9
#define HEAD_BYTES_MAX 5 /* of an array */
#define MAP_HEAD_BYTES_MAX (2 * HEAD_BYTES_MAX + 2 * NUMBER_BYTES_MAX)
#define PLACE_BYTES_MAX \
    (2 * HEAD_BYTES_MAX + (1 + SHARD_REPLICAS_MAX) * NUMBER_BYTES_MAX)

static_assert(SHARD_NODES_MAX == MULTIRAFT_NODES_MAX, "the same numbers");
static_assert(SHARD_COUNT_MAX + 1 == MULTIRAFT_GROUPS_MAX, "all are groups");

enum err shard_map_init(struct shard_map *map, uint32_t shard_count)
{
    assert(shard_count <= SHARD_COUNT_MAX);
    struct shard_place *places = NULL;
    if (shard_count > 0) {
        places = calloc(shard_count, sizeof *places);
        if (!places) {
            return ERR_MEMORY;
        }
    }
    *map = (struct shard_map){.shard_count = shard_count, .places = places};
    return ERR_NONE;
}

void shard_map_clear(struct shard_map *map)
{
    free(map->places);
    *map = (struct shard_map){0};
}

enum err shard_map_copy(struct shard_map *out, const struct shard_map *from)
{
    enum err err = shard_map_init(out, from->shard_count);
    if (err) {
        return err;
    }
    out->version = from->version;
    for (uint32_t i = 0; i < from->shard_count; i++) {
        out->places[i] = from->places[i];
    }
    return ERR_NONE;
}

bool shard_place_is_equal(const struct shard_place *left,
                          const struct shard_place *right)
{
    if (left->generation != right->generation ||
        left->replica_count != right->replica_count) {
        return false;
    }
    for (uint32_t i = 0; i < left->replica_count; i++) {
        if (left->replicas[i] != right->replicas[i]) {
            return false;
        }
    }
    return true;
}

bool shard_place_has(const struct shard_place *place, uint32_t node)
{
    for (uint32_t i = 0; i < place->replica_count; i++) {
        if (place->replicas[i] == node) {
            return true;
        }
    }
    return false;
}

bool shard_place_has_same_nodes(const struct shard_place *left,
                                const struct shard_place *right)
{
    if (left->replica_count != right->replica_count) {
        return false;
    }
    for (uint32_t i = 0; i < left->replica_count; i++) {
        if (!shard_place_has(right, left->replicas[i])) {
            return false;
        }
    }
    return true;
}

bool shard_map_is_equal(const struct shard_map *left,
                        const struct shard_map *right)
{
    if (left->version != right->version ||
        left->shard_count != right->shard_count) {
        return false;
    }
    for (uint32_t i = 0; i < left->shard_count; i++) {
        if (!shard_place_is_equal(&left->places[i], &right->places[i])) {
            return false;
        }
    }
    return true;
}

/* A chain: each place is hashed with what came before as its seed. */
uint64_t shard_map_digest(const struct shard_map *map)
{
    uint8_t part[12 + 4 * SHARD_REPLICAS_MAX];
    struct writer writer = writer_of(part, sizeof part);
    write_u64(&writer, map->version);
    write_u32(&writer, map->shard_count);
    uint64_t digest = hash_bytes(writer_bytes(&writer), 0);
    for (uint32_t i = 0; i < map->shard_count; i++) {
        const struct shard_place *place = &map->places[i];
        writer = writer_of(part, sizeof part);
        write_u32(&writer, place->generation);
        for (uint32_t j = 0; j < place->replica_count; j++) {
            write_u32(&writer, place->replicas[j]);
        }
        digest = hash_bytes(writer_bytes(&writer), digest);
    }
    return digest;
}

/* ---- encoding ---- */

size_t shard_map_bytes_max(const struct shard_map *map)
{
    return MAP_HEAD_BYTES_MAX + (size_t)map->shard_count * PLACE_BYTES_MAX;
}

static void encode_place(const struct shard_place *place, struct writer *writer)
{
    pack_record(writer, PLACE_FIELDS);
    pack_uint(writer, place->generation);
    pack_array(writer, place->replica_count);
    for (uint32_t i = 0; i < place->replica_count; i++) {
        pack_uint(writer, place->replicas[i]);
    }
    pack_record_end(writer);
}

void shard_map_encode(const struct shard_map *map, struct writer *writer)
{
    pack_record(writer, MAP_FIELDS);
    pack_uint(writer, FORMAT);
    pack_uint(writer, map->version);
    pack_array(writer, map->shard_count);
    for (uint32_t i = 0; i < map->shard_count; i++) {
        encode_place(&map->places[i], writer);
    }
    pack_record_end(writer);
}

/* ---- decoding: whatever is wrong makes the reader fail ---- */

static void decode_place(struct shard_place *out, struct reader *reader)
{
    uint32_t field_count = pack_read_array_of(reader, PLACE_FIELDS, UINT32_MAX);
    struct shard_place place = {
        .generation = (uint32_t)pack_read_uint_to(reader, UINT32_MAX)};
    uint32_t count = pack_read_array_of(reader, 0, SHARD_REPLICAS_MAX);
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        uint32_t node =
            (uint32_t)pack_read_uint_to(reader, SHARD_NODES_MAX - 1);
        if (shard_place_has(&place, node)) {
            reader->failed = true; /* a node twice */
        }
        place.replicas[place.replica_count++] = node;
    }
    if (!reader->failed) {
        pack_skip_count(reader, field_count - PLACE_FIELDS);
        *out = place;
    }
}

enum err shard_map_decode(struct shard_map *out, struct reader *reader)
{
    uint32_t more = 0;
    enum err err = pack_read_version(reader, FORMAT, MAP_FIELDS, &more);
    if (err) {
        return err;
    }
    uint64_t version = pack_read_uint(reader);
    uint32_t shard_count = pack_read_array_of(reader, 0, SHARD_COUNT_MAX);
    scoped(shard_map_clear) struct shard_map map = {0};
    err = shard_map_init(&map, shard_count);
    if (err) {
        return err;
    }
    map.version = version;
    for (uint32_t i = 0; i < shard_count && !reader->failed; i++) {
        decode_place(&map.places[i], reader);
    }
    pack_skip_count(reader, more);
    if (reader->failed) {
        return ERR_MALFORMED;
    }
    *out = map;
    map = (struct shard_map){0}; /* it is the caller's now */
    return ERR_NONE;
}
