#include "store/wal_format.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"

#define PLAIN_MAGIC UINT64_C(0x4c41575055525401) /* "\1TRUPWAL" */
#define BATCH_MAGIC UINT32_C(0x4254a7f1)
#define NAME_DIGITS 16
#define NAME_SUFFIX ".wal"

#define RECORD_HEADER_BYTES 8
#define ENTRY_HEADER_BYTES 28
#define ROW_BYTES 56
#define SPAN_BYTES 25
#define HEAD_BYTES 16

#define ROW_IS_LOST 1

void wal_format_name(char name[static DISK_NAME_BYTES], uint64_t segment)
{
    (void)snprintf(name, DISK_NAME_BYTES, "%016" PRIx64 NAME_SUFFIX, segment);
}

bool wal_format_parse_name(uint64_t *out_segment, const char *name)
{
    if (strlen(name) != NAME_DIGITS + strlen(NAME_SUFFIX) ||
        strcmp(name + NAME_DIGITS, NAME_SUFFIX) != 0) {
        return false;
    }
    char digits[NAME_DIGITS + 1] = {0};
    uint8_t raw[NAME_DIGITS / 2];
    memcpy(digits, name, NAME_DIGITS);
    if (!hex_decode(raw, sizeof raw, digits)) {
        return false;
    }
    uint64_t segment = 0;
    for (size_t i = 0; i < sizeof raw; i++) {
        segment = segment << 8 | raw[i];
    }
    char again[DISK_NAME_BYTES];
    wal_format_name(again, segment);
    if (segment == 0 || strcmp(again, name) != 0) {
        return false;
    }
    *out_segment = segment;
    return true;
}

void wal_format_plain_encode(uint8_t to[static WAL_FORMAT_PLAIN_BYTES],
                             const struct wal_format_plain *plain)
{
    put_u64(to, PLAIN_MAGIC);
    put_u32(to + 8, WAL_FORMAT_VERSION);
    put_u32(to + 12, 0);
    put_u64(to + 16, plain->disk_id);
    put_u64(to + 24, plain->segment);
    wal_format_plain_finish(to);
}

void wal_format_plain_finish(uint8_t plain[static WAL_FORMAT_PLAIN_BYTES])
{
    put_u64(plain + 32, hash_bytes(bytes_of(plain, 32), 0));
}

enum err wal_format_plain_decode(struct wal_format_plain *out,
                                 struct bytes bytes)
{
    const uint8_t *from = bytes.data;
    if (bytes.length < WAL_FORMAT_PLAIN_BYTES || get_u64(from) != PLAIN_MAGIC ||
        get_u64(from + 32) != hash_bytes(bytes_of(from, 32), 0)) {
        return ERR_MALFORMED;
    }
    if (get_u32(from + 8) != WAL_FORMAT_VERSION) {
        return get_u32(from + 8) > WAL_FORMAT_VERSION ? ERR_VERSION
                                                      : ERR_MALFORMED;
    }
    out->disk_id = get_u64(from + 16);
    out->segment = get_u64(from + 24);
    return ERR_NONE;
}

static uint64_t seed_of(const struct wal_format_place *place)
{
    uint8_t raw[24];
    put_u64(raw, place->disk_id);
    put_u64(raw + 8, place->segment);
    put_u64(raw + 16, place->offset);
    return hash_bytes(bytes_of(raw, sizeof raw), WAL_FORMAT_VERSION);
}

uint64_t wal_format_batch_bytes(uint64_t body_bytes)
{
    uint64_t aligned = (body_bytes + WAL_FORMAT_ALIGNMENT - 1) /
                       WAL_FORMAT_ALIGNMENT * WAL_FORMAT_ALIGNMENT;
    return WAL_FORMAT_BATCH_BYTES + aligned;
}

void wal_format_batch_finish(uint8_t *batch,
                             const struct wal_format_place *place,
                             const struct wal_format_batch *about)
{
    assert(place->offset % WAL_FORMAT_ALIGNMENT == 0);
    uint64_t seed = seed_of(place);
    struct bytes body =
        bytes_of(batch + WAL_FORMAT_BATCH_BYTES, about->body_bytes);
    put_u32(batch, BATCH_MAGIC);
    put_u32(batch + 4, (uint32_t)about->kind);
    put_u32(batch + 8, about->body_bytes);
    put_u32(batch + 12, about->record_count);
    put_u64(batch + 16, hash_bytes(body, seed));
    put_u64(batch + 24, hash_bytes(bytes_of(batch, 24), seed));
}

bool wal_format_batch_decode(struct wal_format_batch *out,
                             const struct wal_format_place *place,
                             struct bytes bytes)
{
    const uint8_t *from = bytes.data;
    if (bytes.length < WAL_FORMAT_BATCH_BYTES || get_u32(from) != BATCH_MAGIC ||
        get_u64(from + 24) != hash_bytes(bytes_of(from, 24), seed_of(place))) {
        return false;
    }
    out->kind = get_u32(from + 4);
    out->body_bytes = get_u32(from + 8);
    out->record_count = get_u32(from + 12);
    out->body_hash = get_u64(from + 16);
    return true;
}

bool wal_format_body_is_whole(const struct wal_format_batch *batch,
                              const struct wal_format_place *place,
                              struct bytes body)
{
    return body.length == batch->body_bytes &&
           hash_bytes(body, seed_of(place)) == batch->body_hash;
}

size_t wal_format_record_bytes(const struct wal_record *record)
{
    switch (record->kind) {
    case WAL_ENTRY:
    case WAL_SNAPSHOT:
        return ENTRY_HEADER_BYTES + record->bytes.length;
    case WAL_TRUNCATE:
        return RECORD_HEADER_BYTES + 8;
    case WAL_VOTE:
        return RECORD_HEADER_BYTES + 16;
    case WAL_FORGET:
        break;
    }
    return RECORD_HEADER_BYTES;
}

void wal_format_record_encode(uint8_t *to, const struct wal_record *record)
{
    to[0] = (uint8_t)record->kind;
    to[1] = record->type;
    put_u16(to + 2, 0);
    put_u32(to + 4, record->group);
    switch (record->kind) {
    case WAL_ENTRY:
    case WAL_SNAPSHOT:
        put_u64(to + 8, record->index);
        put_u64(to + 16, record->term);
        put_u32(to + 24, (uint32_t)record->bytes.length);
        if (record->bytes.length > 0) {
            memcpy(to + 28, record->bytes.data, record->bytes.length);
        }
        break;
    case WAL_TRUNCATE:
        put_u64(to + 8, record->index);
        break;
    case WAL_VOTE:
        put_u64(to + 8, record->term);
        put_u64(to + 16, record->vote);
        break;
    case WAL_FORGET:
        break;
    }
}

/* The part of a record that its kind decides. */
static bool decode_rest(struct wal_record *out, struct reader *reader)
{
    const uint8_t *from = reader->next;
    size_t left = reader_left(reader);
    size_t length = wal_format_record_bytes(out) - RECORD_HEADER_BYTES;
    if (left < length) {
        return false;
    }
    switch (out->kind) {
    case WAL_ENTRY:
    case WAL_SNAPSHOT:
        out->index = get_u64(from);
        out->term = get_u64(from + 8);
        out->bytes = bytes_of(from + length, get_u32(from + 16));
        length += out->bytes.length;
        break;
    case WAL_TRUNCATE:
        out->index = get_u64(from);
        break;
    case WAL_VOTE:
        out->term = get_u64(from);
        out->vote = get_u64(from + 8);
        break;
    case WAL_FORGET:
        break;
    }
    if (left < length) {
        return false;
    }
    reader->next += length;
    return true;
}

bool wal_format_record_decode(struct wal_record *out, struct reader *reader)
{
    const uint8_t *from = reader->next;
    if (reader_left(reader) < RECORD_HEADER_BYTES || from[0] > WAL_FORGET ||
        get_u16(from + 2) != 0) {
        return false;
    }
    *out = (struct wal_record){
        .kind = from[0], .type = from[1], .group = get_u32(from + 4)};
    if (out->group == WAL_GROUP_UNLISTED && out->kind != WAL_FORGET) {
        return false;
    }
    reader->next += RECORD_HEADER_BYTES;
    return decode_rest(out, reader);
}

size_t wal_format_head_bytes(void)
{
    return HEAD_BYTES;
}

size_t wal_format_row_bytes(size_t span_count, size_t configuration_bytes)
{
    return ROW_BYTES + span_count * SPAN_BYTES + configuration_bytes;
}

void wal_format_head_encode(struct writer *writer,
                            const struct wal_format_head *head)
{
    write_u64(writer, head->previous_end);
    write_u32(writer, head->flags);
    write_u32(writer, head->group_count);
}

bool wal_format_head_decode(struct wal_format_head *out, struct reader *reader)
{
    out->previous_end = read_u64(reader);
    out->flags = read_u32(reader);
    out->group_count = read_u32(reader);
    return !reader->failed && out->flags <= WAL_FORMAT_UNLISTED_LOST;
}

void wal_format_row_encode(struct writer *writer,
                           const struct wal_group *group,
                           uint32_t span_count)
{
    write_u32(writer, group->group);
    write_u32(writer, group->is_lost ? ROW_IS_LOST : 0);
    write_u64(writer, group->term);
    write_u64(writer, group->vote);
    write_u64(writer, group->snapshot_index);
    write_u64(writer, group->snapshot_term);
    write_u64(writer, group->last_index);
    write_u32(writer, span_count);
    write_u32(writer, (uint32_t)group->configuration.length);
    write_bytes(writer, group->configuration.data, group->configuration.length);
}

bool wal_format_row_decode(struct wal_group *out,
                           uint32_t *out_span_count,
                           struct reader *reader)
{
    *out = (struct wal_group){.group = read_u32(reader)};
    uint32_t flags = read_u32(reader);
    out->is_lost = flags & ROW_IS_LOST;
    out->term = read_u64(reader);
    out->vote = read_u64(reader);
    out->snapshot_index = read_u64(reader);
    out->snapshot_term = read_u64(reader);
    out->last_index = read_u64(reader);
    *out_span_count = read_u32(reader);
    out->configuration = read_bytes(reader, read_u32(reader));
    return !reader->failed && flags <= ROW_IS_LOST &&
           out->group != WAL_GROUP_UNLISTED &&
           out->last_index >= out->snapshot_index;
}

void wal_format_span_encode(struct writer *writer, const struct wal_span *span)
{
    write_u64(writer, span->segment);
    write_u64(writer, span->first);
    write_u64(writer, span->last);
    write_u8(writer, span->is_folded);
}

bool wal_format_span_decode(struct wal_span *out, struct reader *reader)
{
    out->segment = read_u64(reader);
    out->first = read_u64(reader);
    out->last = read_u64(reader);
    uint8_t folded = read_u8(reader);
    out->is_folded = folded;
    return !reader->failed && folded <= 1 && out->segment > 0 &&
           out->first > 0 && out->first <= out->last;
}
