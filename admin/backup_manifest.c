#include "admin/backup_manifest.h"

#include "admin/answer.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "shard/shard_map.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT 1
#define SUM_PREFIX "xxh3 "
#define HEX_BYTES 17 /* of 64 bits, with its zero */

void backup_manifest_clear(struct backup_manifest *manifest)
{
    free(manifest->shards);
    json_decref(manifest->members);
    json_decref(manifest->map);
    json_decref(manifest->settings);
    *manifest = (struct backup_manifest){0};
}

const struct backup_shard *backup_manifest_find(
    const struct backup_manifest *manifest, uint32_t shard)
{
    for (uint32_t i = 0; i < manifest->count; i++) {
        if (manifest->shards[i].shard == shard) {
            return &manifest->shards[i];
        }
    }
    return NULL;
}

/* As text: not all that reads JSON has integers of 64 bits. */
static void write_hex(char to[static HEX_BYTES], uint64_t value)
{
    (void)snprintf(to, HEX_BYTES, "%016" PRIx64, value);
}

/* ---- writing ---- */

static json_t *shard_json(const struct backup_shard *shard)
{
    char digest[HEX_BYTES];
    write_hex(digest, shard->digest);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "shard",
                     (json_int_t)shard->shard, "index",
                     (json_int_t)shard->index, "term", (json_int_t)shard->term,
                     "generation", (json_int_t)shard->generation, "pieces",
                     (json_int_t)shard->piece_count, "bytes",
                     (json_int_t)shard->bytes, "digest", digest);
}

static json_t *document_of(const struct backup_manifest *manifest)
{
    json_t *shards = json_array();
    for (uint32_t i = 0; i < manifest->count; i++) {
        (void)json_array_append_new(shards, shard_json(&manifest->shards[i]));
    }
    return json_pack(
        "{s:i, s:s, s:{s:s, s:s}, s:I, s:I, s:o, s:O?, s:O?, s:O?}", "format",
        FORMAT, "release", manifest->release, "cluster", "id",
        manifest->cluster_id, "name", manifest->cluster_name, "created_ms",
        (json_int_t)manifest->created_ms, "shard_count",
        (json_int_t)manifest->shard_count, "shards", shards, "members",
        manifest->members, "map", manifest->map, "settings",
        manifest->settings);
}

enum err backup_manifest_encode(const struct backup_manifest *manifest,
                                char **out,
                                size_t *out_length)
{
    json_t *document = document_of(manifest);
    char *line = json_dumps(document, JSON_COMPACT | JSON_SORT_KEYS);
    bool is_whole =
        json_array_size(json_object_get(document, "shards")) == manifest->count;
    json_decref(document);
    size_t length = line ? strlen(line) : 0;
    size_t room = length + sizeof SUM_PREFIX + HEX_BYTES + 2;
    char *text = line && is_whole ? malloc(room) : NULL;
    if (text) {
        int written = snprintf(text, room, "%s\n" SUM_PREFIX "%016" PRIx64 "\n",
                               line, hash_bytes(bytes_of(line, length), 0));
        *out_length = (size_t)written;
        *out = text;
    }
    free(line);
    return text ? ERR_NONE : ERR_MEMORY;
}

/* ---- reading ---- */

/* Whether the second line is the checksum of the first. */
static bool is_sound(struct bytes bytes, size_t *line_length)
{
    char expected[sizeof SUM_PREFIX + HEX_BYTES + 1];
    const uint8_t *end =
        bytes.length > 0 ? memchr(bytes.data, '\n', bytes.length) : NULL;
    if (!end) {
        return false;
    }
    *line_length = (size_t)(end - bytes.data);
    (void)snprintf(expected, sizeof expected, SUM_PREFIX "%016" PRIx64 "\n",
                   hash_bytes(bytes_of(bytes.data, *line_length), 0));
    return bytes_are_equal(bytes_of(end + 1, bytes.length - *line_length - 1),
                           bytes_of_text(expected));
}

static bool take_text(char *to, size_t capacity, const char *text)
{
    int length = snprintf(to, capacity, "%s", text ? text : "");
    return text && (size_t)length < capacity && utf8_is_printable(to);
}

/* A natural number of at most `max`. */
static bool take_number(uint64_t *to,
                        const json_t *map,
                        const char *key,
                        uint64_t max)
{
    const json_t *value = json_object_get(map, key);
    json_int_t number = json_integer_value(value);
    *to = (uint64_t)number;
    return json_is_integer(value) && number >= 0 && (uint64_t)number <= max;
}

static bool take_shard(struct backup_shard *out,
                       const json_t *map,
                       uint32_t shard_count)
{
    uint64_t shard = 0;
    uint64_t pieces = 0;
    uint8_t digest[8];
    char hex[HEX_BYTES];
    bool is_good =
        take_number(&shard, map, "shard", shard_count - 1) &&
        take_number(&out->index, map, "index", INT64_MAX) &&
        take_number(&out->term, map, "term", INT64_MAX) &&
        take_number(&out->generation, map, "generation", INT64_MAX) &&
        take_number(&pieces, map, "pieces", UINT32_MAX) &&
        take_number(&out->bytes, map, "bytes", INT64_MAX) &&
        take_text(hex, sizeof hex, answer_text(map, "digest")) &&
        hex_decode(digest, sizeof digest, hex);
    if (!is_good) {
        return false;
    }
    out->shard = (uint32_t)shard;
    out->piece_count = (uint32_t)pieces;
    for (size_t i = 0; i < sizeof digest; i++) {
        out->digest = out->digest << 8 | digest[i];
    }
    return true;
}

static enum err take_shards(struct backup_manifest *out, const json_t *document)
{
    size_t count = answer_count(document, "shards");
    if (count == 0 || count > out->shard_count) {
        return ERR_MALFORMED;
    }
    out->shards = calloc(count, sizeof *out->shards);
    if (!out->shards) {
        return ERR_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        struct backup_shard *shard = &out->shards[i];
        if (!take_shard(shard, answer_item(document, "shards", i),
                        out->shard_count) ||
            (i > 0 && shard->shard <= shard[-1].shard)) {
            return ERR_MALFORMED;
        }
        out->count++;
    }
    return ERR_NONE;
}

static enum err take_document(struct backup_manifest *out,
                              const json_t *document)
{
    uint64_t created_ms = 0;
    uint64_t shard_count = 0;
    uint8_t id[CLUSTER_ID_BYTES];
    bool is_good =
        take_text(out->cluster_id, sizeof out->cluster_id,
                  answer_text(document, "cluster.id")) &&
        hex_decode(id, sizeof id, out->cluster_id) &&
        take_text(out->cluster_name, sizeof out->cluster_name,
                  answer_text(document, "cluster.name")) &&
        take_text(out->release, sizeof out->release,
                  answer_text(document, "release")) &&
        take_number(&created_ms, document, "created_ms", INT64_MAX) &&
        take_number(&shard_count, document, "shard_count", SHARD_COUNT_MAX) &&
        shard_count > 0;
    if (!is_good) {
        return ERR_MALFORMED;
    }
    out->created_ms = (int64_t)created_ms;
    out->shard_count = (uint32_t)shard_count;
    out->members = json_incref(json_object_get(document, "members"));
    out->map = json_incref(json_object_get(document, "map"));
    out->settings = json_incref(json_object_get(document, "settings"));
    return take_shards(out, document);
}

enum err backup_manifest_decode(struct backup_manifest *out,
                                struct bytes bytes,
                                struct err_detail *why)
{
    size_t length = 0;
    if (!is_sound(bytes, &length)) {
        err_explain(why, "the manifest fails its checksum, or is cut");
        return ERR_MALFORMED;
    }
    json_t *document = json_loadb((const char *)bytes.data, length,
                                  JSON_REJECT_DUPLICATES, NULL);
    uint64_t format = 0;
    struct backup_manifest manifest = {0};
    bool has_format = take_number(&format, document, "format", INT64_MAX);
    enum err err = !has_format        ? ERR_MALFORMED
                   : format != FORMAT ? ERR_VERSION
                                      : take_document(&manifest, document);
    json_decref(document);
    if (err) {
        backup_manifest_clear(&manifest);
        if (err == ERR_VERSION) {
            err_explain(why,
                        "the backup has format %" PRIu64
                        ", this release reads format %d",
                        format, FORMAT);
        } else {
            err_explain(why, "the manifest: %s", err_text(err));
        }
        return err;
    }
    *out = manifest;
    return ERR_NONE;
}
