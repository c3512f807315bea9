#include "store/snapshot_head.h"

#include <assert.h>

#define VERSION 1

struct bytes snapshot_head_encode(uint8_t to[static SNAPSHOT_HEAD_BYTES_MAX],
                                  const struct snapshot_head *head)
{
    struct writer writer = writer_of(to, SNAPSHOT_HEAD_BYTES_MAX);
    write_u8(&writer, VERSION);
    write_u64(&writer, head->index);
    write_u64(&writer, head->term);
    write_u64(&writer, (uint64_t)head->stamp_ms);
    write_u32(&writer, head->piece_count);
    raft_configuration_encode(&head->configuration, &writer);
    assert(!writer.failed);
    return writer_bytes(&writer);
}

enum err snapshot_head_decode(struct snapshot_head *out, struct bytes bytes)
{
    struct reader reader = reader_of(bytes);
    uint8_t version = read_u8(&reader);
    if (!reader.failed && version != VERSION) {
        return ERR_VERSION;
    }
    out->index = read_u64(&reader);
    out->term = read_u64(&reader);
    out->stamp_ms = (int64_t)read_u64(&reader);
    out->piece_count = read_u32(&reader);
    if (reader.failed) {
        return ERR_MALFORMED;
    }
    return raft_configuration_decode(
        &out->configuration, bytes_of(reader.next, reader_left(&reader)));
}
