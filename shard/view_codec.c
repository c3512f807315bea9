/*
 * The encodings:
 *
 *   view    [format, version, cluster id, cluster name, replication,
 *            feature level, is founded, is paused, members, founders, map,
 *            settings, meta generation,
 *            [[shard, node, disk, is empty, ...] ...], pools, ...]
 *   change  [format, kind, at, who, text, body, ...]
 *
 * and a change's body, by its kind:
 *
 *   FOUND                   [cluster id, cluster name, replication, members,
 *                            map, settings, pools, ...]
 *   MEMBER_ADD, MEMBER_SET  [member, ...]
 *   MEMBER_FORGET           [number, ...]
 *   PLACE                   [map version, [[shard, [node ...], ...] ...], ...]
 *   PAUSE                   [flag, ...]
 *   LEVEL                   [feature level, ...]
 *   RECOVER                 [shard, node, is empty, generation, ...]
 *   RECOVERED               [shard, generation, ...]
 *   RECOVER_META            [generation, ...]
 *   FOUNDED, NOTE           [...]
 *   SETTINGS                [settings, ...]
 *   POOL_SET                [pool, ...], see shard/task_pool.h
 *   POOL_REMOVE             [name, ...]
 *
 * A release may append fields where it says "...": those that it does not
 * know are skipped. What cannot be skipped has another format number, or
 * another kind.
 */

#include "base/hash.h"
#include "base/pack.h"
#include "base/scope.h"
#include "base/utf8.h"
#include "shard/view_core.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT 1
#define VIEW_FIELDS 15
#define RECOVERY_FIELDS 4
#define CHANGE_FIELDS 6
#define MOVE_FIELDS 2

#define NUMBER_BYTES_MAX 9
/* Heads of arrays, numbers, and the texts at their longest. */
#define SCALARS_BYTES_MAX 256
#define RECOVERY_BYTES_MAX (5 + RECOVERY_FIELDS * NUMBER_BYTES_MAX)
#define MOVE_BYTES_MAX (3 * 5 + (1 + SHARD_REPLICAS_MAX) * NUMBER_BYTES_MAX)

static_assert(16 * NUMBER_BYTES_MAX + CLUSTER_ID_BYTES +
                      CERTIFICATE_NAME_BYTES <=
                  SCALARS_BYTES_MAX,
              "all that is neither a table nor a text of a change");

static void read_cluster_id(struct reader *reader, uint8_t *to)
{
    struct bytes id = pack_read_bin(reader);
    if (id.length != CLUSTER_ID_BYTES) {
        reader->failed = true;
        return;
    }
    memcpy(to, id.data, CLUSTER_ID_BYTES);
}

/* What stands behind the last one that we know. */
static enum err read_end(struct reader *reader, uint32_t more_count)
{
    pack_skip_count(reader, more_count);
    return reader->failed ? ERR_MALFORMED : ERR_NONE;
}

/* ---- the view ---- */

size_t view_bytes_max(const struct view *view)
{
    return SCALARS_BYTES_MAX + members_bytes_max(&view->members) +
           members_bytes_max(&view->founders) +
           shard_map_bytes_max(&view->map) +
           view_settings_bytes_max(&view->settings) +
           (size_t)view->recovery_count * RECOVERY_BYTES_MAX +
           task_pools_bytes_max(&view->pools);
}

static void encode_scalars(const struct view *view, struct writer *writer)
{
    pack_record(writer, VIEW_FIELDS);
    pack_uint(writer, FORMAT);
    pack_uint(writer, view->version);
    pack_bin(writer, bytes_of(view->cluster_id, sizeof view->cluster_id));
    pack_text(writer, view->cluster_name);
    pack_uint(writer, view->replication);
    pack_uint(writer, view->feature_level);
    pack_bool(writer, view->is_founded);
    pack_bool(writer, view->is_paused);
}

static void encode_recoveries(const struct view *view, struct writer *writer)
{
    pack_uint(writer, view->meta_generation);
    pack_array(writer, view->recovery_count);
    for (uint32_t i = 0; i < view->recovery_count; i++) {
        const struct view_recovery *recovery = &view->recoveries[i];
        pack_record(writer, RECOVERY_FIELDS);
        pack_uint(writer, recovery->shard);
        pack_uint(writer, recovery->node);
        pack_uint(writer, recovery->disk_id);
        pack_bool(writer, recovery->is_empty);
        pack_record_end(writer);
    }
}

void view_encode(const struct view *view, struct writer *writer)
{
    encode_scalars(view, writer);
    members_encode(&view->members, writer);
    members_encode(&view->founders, writer);
    shard_map_encode(&view->map, writer);
    view_settings_encode(&view->settings, writer);
    encode_recoveries(view, writer);
    task_pools_encode(&view->pools, writer);
    pack_record_end(writer);
}

static void decode_scalars(struct view *view, struct reader *reader)
{
    view->version = pack_read_uint(reader);
    read_cluster_id(reader, view->cluster_id);
    pack_read_text(reader, view->cluster_name, sizeof view->cluster_name);
    view->replication = (uint32_t)pack_read_uint_to(reader, UINT32_MAX);
    view->feature_level = (uint32_t)pack_read_uint_to(reader, UINT32_MAX);
    view->is_founded = pack_read_bool(reader);
    view->is_paused = pack_read_bool(reader);
}

static void decode_recovery(struct view_recovery *recovery,
                            struct reader *reader)
{
    uint32_t field_count =
        pack_read_array_of(reader, RECOVERY_FIELDS, UINT32_MAX);
    recovery->shard = (uint32_t)pack_read_uint_to(reader, SHARD_COUNT_MAX - 1);
    recovery->node =
        (uint32_t)pack_read_uint_to(reader, MEMBER_NUMBERS_MAX - 1);
    recovery->disk_id = pack_read_uint(reader);
    recovery->is_empty = pack_read_bool(reader);
    if (!reader->failed) {
        pack_skip_count(reader, field_count - RECOVERY_FIELDS);
    }
}

static enum err decode_recoveries(struct view *view, struct reader *reader)
{
    view->meta_generation = (uint32_t)pack_read_uint_to(reader, UINT32_MAX);
    uint32_t count = pack_read_array_of(reader, 0, view->map.shard_count);
    if (reader->failed) {
        return ERR_MALFORMED;
    }
    if (count > 0) {
        view->recoveries = calloc(count, sizeof *view->recoveries);
        if (!view->recoveries) {
            return ERR_MEMORY;
        }
    }
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        decode_recovery(&view->recoveries[i], reader);
    }
    view->recovery_count = count;
    return reader->failed ? ERR_MALFORMED : ERR_NONE;
}

static enum err decode_tables(struct view *view, struct reader *reader)
{
    enum err err = members_decode(&view->members, reader);
    if (!err) {
        err = members_decode(&view->founders, reader);
    }
    if (!err) {
        err = shard_map_decode(&view->map, reader);
    }
    if (!err) {
        err = view_settings_decode(&view->settings, reader);
    }
    if (!err) {
        err = decode_recoveries(view, reader);
    }
    return err ? err : task_pools_decode(&view->pools, reader);
}

static bool holds_together(const struct view *view)
{
    if (view->version > 0) {
        return view_validate(view, NULL) == ERR_NONE;
    }
    return view->members.count == 0 && view->founders.count == 0 &&
           view->map.shard_count == 0 && view->map.version == 0 &&
           view->cluster_name[0] == '\0' && !view->is_founded &&
           view->settings.version == 0 && view->settings.count == 0 &&
           view->recovery_count == 0 && view->meta_generation == 0 &&
           view->pools.count == 0;
}

enum err view_decode(struct view **out, struct bytes bytes)
{
    scoped(view_close) struct view *view = NULL;
    struct reader reader = reader_of(bytes);
    uint32_t more = 0;
    enum err err = pack_read_version(&reader, FORMAT, VIEW_FIELDS, &more);
    if (!err) {
        err = view_open(&view);
    }
    if (err) {
        return err;
    }
    decode_scalars(view, &reader);
    err = reader.failed ? ERR_MALFORMED : decode_tables(view, &reader);
    if (!err) {
        err = read_end(&reader, more);
    }
    if (err) {
        return err;
    }
    if (reader_left(&reader) > 0 || !holds_together(view)) {
        return ERR_MALFORMED;
    }
    *out = view;
    view = NULL; /* the caller owns it now */
    return ERR_NONE;
}

/* A chain: each part is hashed with what came before as its seed. */
static uint64_t digest_members(const struct members *members, uint64_t digest)
{
    uint8_t part[MEMBER_BYTES_MAX];
    for (uint32_t i = 0; i < members->count; i++) {
        struct writer writer = writer_of(part, sizeof part);
        member_encode(&members->list[i], &writer);
        assert(!writer.failed);
        digest = hash_bytes(writer_bytes(&writer), digest);
    }
    return digest;
}

static uint64_t digest_settings(const struct view_settings *settings,
                                uint64_t digest)
{
    for (uint32_t i = 0; i < settings->count; i++) {
        const struct view_setting *setting = &settings->list[i];
        digest = hash_bytes(bytes_of_text(setting->key), digest);
        digest = hash_bytes(bytes_of_text(setting->value), digest);
    }
    return digest;
}

static uint64_t digest_recoveries(const struct view *view, uint64_t digest)
{
    uint64_t head[] = {view->meta_generation, view->recovery_count};
    digest = hash_bytes(bytes_of(head, sizeof head), digest);
    for (uint32_t i = 0; i < view->recovery_count; i++) {
        const struct view_recovery *recovery = &view->recoveries[i];
        uint64_t part[] = {recovery->shard, recovery->node, recovery->disk_id,
                           recovery->is_empty};
        digest = hash_bytes(bytes_of(part, sizeof part), digest);
    }
    return digest;
}

static uint64_t digest_pools(const struct task_pools *pools, uint64_t digest)
{
    for (uint32_t i = 0; i < pools->count; i++) {
        const struct task_pool *pool = &pools->list[i];
        digest = hash_bytes(bytes_of_text(pool->name), digest);
        digest =
            hash_bytes(bytes_of(&pool->version, sizeof pool->version), digest);
    }
    return digest;
}

uint64_t view_digest(const struct view *view)
{
    uint8_t part[SCALARS_BYTES_MAX];
    struct writer writer = writer_of(part, sizeof part);
    encode_scalars(view, &writer);
    pack_uint(&writer, view->members.count);
    pack_uint(&writer, shard_map_digest(&view->map));
    pack_uint(&writer, view->settings.version);
    assert(!writer.failed);
    uint64_t digest = hash_bytes(writer_bytes(&writer), 0);
    digest = digest_members(&view->members, digest);
    digest = digest_members(&view->founders, digest);
    digest = digest_settings(&view->settings, digest);
    digest = digest_pools(&view->pools, digest);
    return digest_recoveries(view, digest);
}

/* ---- bodies of changes ---- */

static void encode_found(const struct view_change *change,
                         struct writer *writer)
{
    pack_bin(writer, bytes_of(change->cluster_id, sizeof change->cluster_id));
    pack_text(writer, change->cluster_name);
    pack_uint(writer, change->replication);
    members_encode(&change->members, writer);
    shard_map_encode(&change->map, writer);
    view_settings_encode(&change->settings, writer);
    task_pools_encode(&change->pools, writer);
}

static enum err decode_found(struct view_change *change, struct reader *reader)
{
    read_cluster_id(reader, change->cluster_id);
    pack_read_text(reader, change->cluster_name, sizeof change->cluster_name);
    change->replication = (uint32_t)pack_read_uint_to(reader, UINT32_MAX);
    if (reader->failed) {
        return ERR_MALFORMED;
    }
    enum err err = members_decode(&change->members, reader);
    if (!err) {
        err = shard_map_decode(&change->map, reader);
    }
    if (!err) {
        err = view_settings_decode(&change->settings, reader);
    }
    return err ? err : task_pools_decode(&change->pools, reader);
}

static void encode_member(const struct view_change *change,
                          struct writer *writer)
{
    member_encode(&change->member, writer);
}

static enum err decode_member(struct view_change *change, struct reader *reader)
{
    return member_decode(&change->member, reader);
}

static void encode_number(const struct view_change *change,
                          struct writer *writer)
{
    pack_uint(writer, change->number);
}

static enum err decode_number(struct view_change *change, struct reader *reader)
{
    change->number = (uint32_t)pack_read_uint_to(reader, UINT32_MAX);
    return ERR_NONE;
}

static void encode_recover(const struct view_change *change,
                           struct writer *writer)
{
    pack_uint(writer, change->number);
    pack_uint(writer, change->node);
    pack_bool(writer, change->flag);
    pack_uint(writer, change->generation);
}

static enum err decode_recover(struct view_change *change,
                               struct reader *reader)
{
    change->number = (uint32_t)pack_read_uint_to(reader, UINT32_MAX);
    change->node = (uint32_t)pack_read_uint_to(reader, UINT32_MAX);
    change->flag = pack_read_bool(reader);
    change->generation = (uint32_t)pack_read_uint_to(reader, UINT32_MAX);
    return ERR_NONE;
}

static void encode_recovered(const struct view_change *change,
                             struct writer *writer)
{
    pack_uint(writer, change->number);
    pack_uint(writer, change->generation);
}

static enum err decode_recovered(struct view_change *change,
                                 struct reader *reader)
{
    change->number = (uint32_t)pack_read_uint_to(reader, UINT32_MAX);
    change->generation = (uint32_t)pack_read_uint_to(reader, UINT32_MAX);
    return ERR_NONE;
}

static void encode_generation(const struct view_change *change,
                              struct writer *writer)
{
    pack_uint(writer, change->generation);
}

static enum err decode_generation(struct view_change *change,
                                  struct reader *reader)
{
    change->generation = (uint32_t)pack_read_uint_to(reader, UINT32_MAX);
    return ERR_NONE;
}

static void encode_flag(const struct view_change *change, struct writer *writer)
{
    pack_bool(writer, change->flag);
}

static enum err decode_flag(struct view_change *change, struct reader *reader)
{
    change->flag = pack_read_bool(reader);
    return ERR_NONE;
}

static void encode_moves(const struct view_change *change,
                         struct writer *writer)
{
    pack_uint(writer, change->map_version);
    pack_array(writer, change->move_count);
    for (uint32_t i = 0; i < change->move_count; i++) {
        const struct view_move *move = &change->moves[i];
        pack_record(writer, MOVE_FIELDS);
        pack_uint(writer, move->shard);
        pack_array(writer, move->place.replica_count);
        for (uint32_t j = 0; j < move->place.replica_count; j++) {
            pack_uint(writer, move->place.replicas[j]);
        }
        pack_record_end(writer);
    }
}

static void decode_move(struct view_move *move, struct reader *reader)
{
    uint32_t field_count = pack_read_array_of(reader, MOVE_FIELDS, UINT32_MAX);
    move->shard = (uint32_t)pack_read_uint_to(reader, SHARD_COUNT_MAX - 1);
    move->place.replica_count =
        (uint8_t)pack_read_array_of(reader, 0, SHARD_REPLICAS_MAX);
    for (uint32_t i = 0; i < move->place.replica_count; i++) {
        move->place.replicas[i] =
            (uint32_t)pack_read_uint_to(reader, SHARD_NODES_MAX - 1);
    }
    if (!reader->failed) {
        pack_skip_count(reader, field_count - MOVE_FIELDS);
    }
}

static enum err decode_moves(struct view_change *change, struct reader *reader)
{
    change->map_version = pack_read_uint(reader);
    uint32_t count = pack_read_array_of(reader, 0, SHARD_COUNT_MAX);
    if (count > 0) {
        change->moves = calloc(count, sizeof *change->moves);
        if (!change->moves) {
            return ERR_MEMORY;
        }
    }
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        decode_move(&change->moves[i], reader);
    }
    change->move_count = count;
    return ERR_NONE;
}

static void encode_settings(const struct view_change *change,
                            struct writer *writer)
{
    view_settings_encode(&change->settings, writer);
}

static enum err decode_settings(struct view_change *change,
                                struct reader *reader)
{
    return view_settings_decode(&change->settings, reader);
}

static void encode_pool(const struct view_change *change, struct writer *writer)
{
    task_pool_encode(&change->pool, writer);
}

static enum err decode_pool(struct view_change *change, struct reader *reader)
{
    return task_pool_decode(&change->pool, reader, NULL);
}

static void encode_pool_name(const struct view_change *change,
                             struct writer *writer)
{
    pack_text(writer, change->pool.name);
}

static enum err decode_pool_name(struct view_change *change,
                                 struct reader *reader)
{
    pack_read_text(reader, change->pool.name, sizeof change->pool.name);
    return ERR_NONE;
}

static const struct {
    uint32_t field_count;
    void (*encode)(const struct view_change *change, struct writer *writer);
    /* What the reader does not remember: of tables, and ERR_MEMORY. */
    enum err (*decode)(struct view_change *change, struct reader *reader);
} bodies[VIEW_CHANGE_KIND_COUNT] = {
    [VIEW_FOUND] = {7, encode_found, decode_found},
    [VIEW_FOUNDED] = {0, NULL, NULL},
    [VIEW_MEMBER_ADD] = {1, encode_member, decode_member},
    [VIEW_MEMBER_SET] = {1, encode_member, decode_member},
    [VIEW_MEMBER_FORGET] = {1, encode_number, decode_number},
    [VIEW_PLACE] = {2, encode_moves, decode_moves},
    [VIEW_PAUSE] = {1, encode_flag, decode_flag},
    [VIEW_RECOVER] = {4, encode_recover, decode_recover},
    [VIEW_NOTE] = {0, NULL, NULL},
    [VIEW_LEVEL] = {1, encode_number, decode_number},
    [VIEW_SETTINGS] = {1, encode_settings, decode_settings},
    [VIEW_RECOVERED] = {2, encode_recovered, decode_recovered},
    [VIEW_RECOVER_META] = {1, encode_generation, decode_generation},
    [VIEW_POOL_SET] = {1, encode_pool, decode_pool},
    [VIEW_POOL_REMOVE] = {1, encode_pool_name, decode_pool_name},
};

/* ---- changes ---- */

size_t view_change_bytes_max(const struct view_change *change)
{
    return SCALARS_BYTES_MAX + VIEW_WHO_BYTES + VIEW_TEXT_BYTES +
           MEMBER_BYTES_MAX + members_bytes_max(&change->members) +
           shard_map_bytes_max(&change->map) +
           view_settings_bytes_max(&change->settings) +
           task_pools_bytes_max(&change->pools) +
           task_pool_bytes_max(&change->pool) +
           (size_t)change->move_count * MOVE_BYTES_MAX;
}

void view_change_encode(const struct view_change *change, struct writer *writer)
{
    assert(change->kind >= VIEW_FOUND && change->kind < VIEW_CHANGE_KIND_COUNT);
    pack_record(writer, CHANGE_FIELDS);
    pack_uint(writer, FORMAT);
    pack_uint(writer, change->kind);
    pack_int(writer, change->at_ms);
    pack_text(writer, change->who);
    pack_text(writer, change->text);
    pack_record(writer, bodies[change->kind].field_count);
    if (bodies[change->kind].encode) {
        bodies[change->kind].encode(change, writer);
    }
    pack_record_end(writer); /* the body */
    pack_record_end(writer);
}

static enum err decode_body(struct view_change *change, struct reader *reader)
{
    uint32_t known_count = bodies[change->kind].field_count;
    uint32_t count = pack_read_array_of(reader, known_count, UINT32_MAX);
    enum err err = ERR_NONE;
    if (!reader->failed && bodies[change->kind].decode) {
        err = bodies[change->kind].decode(change, reader);
    }
    if (err || reader->failed) {
        return err ? err : ERR_MALFORMED;
    }
    return read_end(reader, count - known_count);
}

enum err view_change_decode(struct view_change *out, struct bytes bytes)
{
    scoped(view_change_clear) struct view_change change = {0};
    struct reader reader = reader_of(bytes);
    uint32_t more = 0;
    enum err err = pack_read_version(&reader, FORMAT, CHANGE_FIELDS, &more);
    if (err) {
        return err;
    }
    uint64_t kind = pack_read_uint(&reader);
    if (!reader.failed && kind >= VIEW_CHANGE_KIND_COUNT) {
        return ERR_VERSION; /* a newer release has more */
    }
    change.kind = (enum view_change_kind)kind;
    change.at_ms = pack_read_int(&reader);
    pack_read_text(&reader, change.who, sizeof change.who);
    pack_read_text(&reader, change.text, sizeof change.text);
    if (reader.failed || kind < VIEW_FOUND || !utf8_is_printable(change.who) ||
        !utf8_is_printable(change.text)) {
        return ERR_MALFORMED;
    }
    err = decode_body(&change, &reader);
    if (!err) {
        err = read_end(&reader, more);
    }
    if (err) {
        return err;
    }
    if (reader_left(&reader) > 0) {
        return ERR_MALFORMED;
    }
    *out = change;
    change = (struct view_change){0}; /* the caller owns it now */
    return ERR_NONE;
}
