#include "store/raft_entry.h"

#define VERSION 1

void raft_entry_commands_encode(uint8_t to[static RAFT_ENTRY_COMMANDS_BYTES],
                                int64_t stamp_ms)
{
    to[0] = VERSION;
    put_u64(to + 1, (uint64_t)stamp_ms);
}

void raft_entry_outcome_encode(uint8_t to[static RAFT_ENTRY_OUTCOME_BYTES],
                               uint32_t length)
{
    put_u32(to, length);
}

enum err raft_entry_commands_decode(struct raft_entry_commands *out,
                                    struct bytes bytes)
{
    struct reader reader = reader_of(bytes);
    uint8_t version = read_u8(&reader);
    int64_t stamp_ms = (int64_t)read_u64(&reader);
    if (bytes.length > 0 && version != VERSION) {
        return ERR_VERSION;
    }
    if (reader.failed) {
        return ERR_MALFORMED;
    }
    *out =
        (struct raft_entry_commands){.stamp_ms = stamp_ms, .outcomes = reader};
    return ERR_NONE;
}

bool raft_entry_next_outcome(struct raft_entry_commands *commands,
                             struct bytes *out)
{
    struct reader *reader = &commands->outcomes;
    if (reader->failed || reader_left(reader) == 0) {
        return false;
    }
    struct bytes outcome = read_bytes(reader, read_u32(reader));
    if (reader->failed) {
        return false;
    }
    *out = outcome;
    return true;
}
