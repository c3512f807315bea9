#include "cluster/raft_wire.h"

#include "base/pack.h"

#define FIELD_COUNT 14
#define FIELD_BYTES_MAX 9 /* a number, or the head of an array or of bytes */
#define ENTRY_FIELD_COUNT 3

enum flag {
    FLAG_OK = 1,
    FLAG_TRANSFER = 2,
    FLAG_NEEDS_SNAPSHOT = 4,
    FLAG_ALL = 7,
};

size_t raft_wire_bytes_max(const struct raft_message *message)
{
    size_t bytes = (1 + FIELD_COUNT) * FIELD_BYTES_MAX + message->bytes.length;
    for (uint32_t i = 0; i < message->entry_count; i++) {
        bytes += (1 + ENTRY_FIELD_COUNT) * FIELD_BYTES_MAX +
                 message->entries[i].bytes.length;
    }
    return bytes;
}

void raft_wire_write(struct writer *writer,
                     uint32_t group,
                     const struct raft_message *message)
{
    pack_record(writer, FIELD_COUNT);
    pack_uint(writer, group);
    pack_uint(writer, message->kind);
    pack_uint(writer, message->from);
    pack_uint(writer, message->to);
    pack_uint(writer, message->term);
    pack_uint(writer, message->index);
    pack_uint(writer, message->log_term);
    pack_uint(writer, message->commit);
    pack_uint(writer, message->round);
    pack_uint(writer, message->hint_index);
    pack_uint(writer, message->hint_term);
    pack_uint(writer, (message->is_ok ? FLAG_OK : 0) |
                          (message->is_transfer ? FLAG_TRANSFER : 0) |
                          (message->needs_snapshot ? FLAG_NEEDS_SNAPSHOT : 0));
    pack_array(writer, message->entry_count);
    for (uint32_t i = 0; i < message->entry_count; i++) {
        const struct raft_entry *entry = &message->entries[i];
        pack_record(writer, ENTRY_FIELD_COUNT);
        pack_uint(writer, entry->term);
        pack_uint(writer, entry->type);
        pack_bin(writer, entry->bytes);
        pack_record_end(writer);
    }
    pack_bin(writer, message->bytes);
    pack_record_end(writer);
}

static bool read_entry(struct raft_wire *out, uint32_t i, struct reader *reader)
{
    struct raft_entry *entry = &out->entries[i];
    uint32_t count = pack_read_array_of(reader, ENTRY_FIELD_COUNT, UINT32_MAX);
    entry->index = out->message.index + 1 + i;
    entry->term = pack_read_uint(reader);
    uint64_t type = pack_read_uint(reader);
    entry->bytes = pack_read_bin(reader);
    entry->type = (enum raft_entry_type)type;
    if (!reader->failed) {
        pack_skip_count(reader, count - ENTRY_FIELD_COUNT);
    }
    return !reader->failed && type <= RAFT_COMMANDS &&
           entry->term <= out->message.term &&
           entry->term >=
               (i == 0 ? out->message.log_term : out->entries[i - 1].term);
}

static bool read_fields(struct raft_wire *out, struct reader *reader)
{
    struct raft_message *message = &out->message;
    uint64_t group = pack_read_uint(reader);
    uint64_t kind = pack_read_uint(reader);
    message->from = pack_read_uint(reader);
    message->to = pack_read_uint(reader);
    message->term = pack_read_uint(reader);
    message->index = pack_read_uint(reader);
    message->log_term = pack_read_uint(reader);
    message->commit = pack_read_uint(reader);
    message->round = pack_read_uint(reader);
    message->hint_index = pack_read_uint(reader);
    message->hint_term = pack_read_uint(reader);
    uint64_t flags = pack_read_uint(reader);
    out->group = (uint32_t)group;
    message->kind = (enum raft_message_kind)kind;
    message->is_ok = flags & FLAG_OK;
    message->is_transfer = flags & FLAG_TRANSFER;
    message->needs_snapshot = flags & FLAG_NEEDS_SNAPSHOT;
    message->entry_count = pack_read_array(reader);
    message->entries = out->entries;
    return !reader->failed && group <= UINT32_MAX &&
           kind < RAFT_MESSAGE_KIND_COUNT && flags <= FLAG_ALL &&
           message->from != 0 && message->term < UINT64_MAX &&
           message->index < UINT64_MAX - RAFT_APPEND_ENTRIES_MAX &&
           message->entry_count <= RAFT_APPEND_ENTRIES_MAX &&
           (message->entry_count == 0 || kind == RAFT_APPEND);
}

FALLIBLE raft_wire_read(struct raft_wire *out, struct reader *reader)
{
    out->message = (struct raft_message){.kind = RAFT_MESSAGE_KIND_COUNT};
    uint32_t count = pack_read_array_of(reader, FIELD_COUNT, UINT32_MAX);
    bool is_good = read_fields(out, reader);
    for (uint32_t i = 0; is_good && i < out->message.entry_count; i++) {
        is_good = read_entry(out, i, reader);
    }
    if (is_good) {
        out->message.bytes = pack_read_bin(reader);
        if (!reader->failed) {
            pack_skip_count(reader, count - FIELD_COUNT);
        }
    }
    return is_good && !reader->failed ? ERR_NONE : ERR_MALFORMED;
}
