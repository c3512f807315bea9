#include "store/row.h"

#include <assert.h>

#define APPLIED_VERSION 1

static void write_u32_big(struct writer *writer, uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8) {
        write_u8(writer, (uint8_t)(value >> shift));
    }
}

static void write_u64_big(struct writer *writer, uint64_t value)
{
    write_u32_big(writer, (uint32_t)(value >> 32));
    write_u32_big(writer, (uint32_t)value);
}

static uint32_t read_u32_big(struct reader *reader)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        value = value << 8 | read_u8(reader);
    }
    return value;
}

static uint64_t read_u64_big(struct reader *reader)
{
    uint64_t high = read_u32_big(reader);
    return high << 32 | read_u32_big(reader);
}

enum err row_key_encode(uint8_t to[static KV_KEY_BYTES_MAX],
                        const struct row_key *key,
                        struct bytes *out)
{
    assert(key->group <= ROW_GROUP_MAX);
    struct writer writer = writer_of(to, KV_KEY_BYTES_MAX);
    write_u32_big(&writer, key->group);
    write_u8(&writer, (uint8_t)key->kind);
    switch (key->kind) {
    case ROW_APPLIED:
        break;
    case ROW_SNAPSHOT_PIECE:
        write_u64_big(&writer, key->snapshot_index);
        write_u32_big(&writer, key->piece);
        break;
    case ROW_MACHINE:
        write_bytes(&writer, key->own.data, key->own.length);
        break;
    }
    if (writer.failed) {
        return ERR_TOO_LARGE;
    }
    *out = writer_bytes(&writer);
    return ERR_NONE;
}

enum err row_key_decode(struct row_key *out, struct bytes key)
{
    struct reader reader = reader_of(key);
    struct row_key found = {.group = read_u32_big(&reader)};
    uint8_t kind = read_u8(&reader);
    switch (kind) {
    case ROW_APPLIED:
        found.kind = ROW_APPLIED;
        break;
    case ROW_SNAPSHOT_PIECE:
        found.kind = ROW_SNAPSHOT_PIECE;
        found.snapshot_index = read_u64_big(&reader);
        found.piece = read_u32_big(&reader);
        break;
    case ROW_MACHINE:
        found.kind = ROW_MACHINE;
        found.own = read_bytes(&reader, reader_left(&reader));
        break;
    default:
        return ERR_MALFORMED;
    }
    if (reader.failed || reader_left(&reader) > 0 ||
        found.group > ROW_GROUP_MAX || key.length > KV_KEY_BYTES_MAX) {
        return ERR_MALFORMED;
    }
    *out = found;
    return ERR_NONE;
}

/* All keys that begin with the first `length` bytes of `from_bytes`: up to
 * those bytes as a number, plus one. */
static void close_range(struct row_range *range, size_t length)
{
    range->from = bytes_of(range->from_bytes, length);
    memcpy(range->end_bytes, range->from_bytes, length);
    while (range->end_bytes[length - 1] == UINT8_MAX) {
        length--; /* ends at the group's number at the latest */
    }
    range->end_bytes[length - 1]++;
    range->end = bytes_of(range->end_bytes, length);
}

void row_range_of_group(struct row_range *out, uint32_t group)
{
    assert(group <= ROW_GROUP_MAX);
    struct writer writer = writer_of(out->from_bytes, KV_KEY_BYTES_MAX);
    write_u32_big(&writer, group);
    close_range(out, writer_bytes(&writer).length);
}

void row_range_of_kind(struct row_range *out,
                       uint32_t group,
                       enum row_kind kind)
{
    assert(group <= ROW_GROUP_MAX);
    struct writer writer = writer_of(out->from_bytes, KV_KEY_BYTES_MAX);
    write_u32_big(&writer, group);
    write_u8(&writer, (uint8_t)kind);
    close_range(out, writer_bytes(&writer).length);
}

void row_range_of_snapshot(struct row_range *out,
                           uint32_t group,
                           uint64_t snapshot_index)
{
    assert(group <= ROW_GROUP_MAX);
    struct writer writer = writer_of(out->from_bytes, KV_KEY_BYTES_MAX);
    write_u32_big(&writer, group);
    write_u8(&writer, ROW_SNAPSHOT_PIECE);
    write_u64_big(&writer, snapshot_index);
    close_range(out, writer_bytes(&writer).length);
}

enum err row_range_of_own(struct row_range *out,
                          uint32_t group,
                          struct bytes own)
{
    struct bytes from = {0};
    enum err err = row_key_encode(
        out->from_bytes,
        &(struct row_key){.group = group, .kind = ROW_MACHINE, .own = own},
        &from);
    if (err) {
        return err;
    }
    close_range(out, from.length);
    return ERR_NONE;
}

void row_applied_encode(uint8_t to[static ROW_APPLIED_BYTES],
                        const struct row_applied *applied)
{
    struct writer writer = writer_of(to, ROW_APPLIED_BYTES);
    write_u8(&writer, APPLIED_VERSION);
    write_u64(&writer, applied->index);
    write_u64(&writer, applied->term);
    assert(!writer.failed);
}

enum err row_applied_decode(struct row_applied *out, struct bytes value)
{
    struct reader reader = reader_of(value);
    uint8_t version = read_u8(&reader);
    struct row_applied found = {.index = read_u64(&reader),
                                .term = read_u64(&reader)};
    if (version > APPLIED_VERSION) {
        return ERR_VERSION;
    }
    if (reader.failed || reader_left(&reader) > 0 ||
        version != APPLIED_VERSION) {
        return ERR_MALFORMED;
    }
    *out = found;
    return ERR_NONE;
}
