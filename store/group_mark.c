#include "store/group_mark.h"

#include <assert.h>

struct bytes group_mark_encode(uint8_t to[static GROUP_MARK_BYTES_MAX],
                               const struct group_mark *mark)
{
    struct writer writer = writer_of(to, GROUP_MARK_BYTES_MAX);
    write_u64(&writer, mark->number);
    raft_configuration_encode(&mark->configuration, &writer);
    assert(!writer.failed);
    return writer_bytes(&writer);
}

enum err group_mark_decode(struct group_mark *out, struct bytes bytes)
{
    struct reader reader = reader_of(bytes);
    out->number = read_u64(&reader);
    if (reader.failed || out->number == 0) {
        return ERR_MALFORMED;
    }
    return raft_configuration_decode(
        &out->configuration, bytes_of(reader.next, reader_left(&reader)));
}
