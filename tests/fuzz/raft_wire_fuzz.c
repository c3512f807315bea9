/*
 * Any bytes as Raft messages: reading stays within them, and what was read
 * and written again reads the same.
 */

#include <stdlib.h>

#include "cluster/raft_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

static bool lies_within(struct bytes part, struct bytes whole)
{
    return part.length == 0 ||
           (part.data >= whole.data &&
            part.data + part.length <= whole.data + whole.length);
}

static void check_within(const struct raft_message *message, struct bytes whole)
{
    MUST(message->kind < RAFT_MESSAGE_KIND_COUNT);
    MUST(message->entry_count <= RAFT_APPEND_ENTRIES_MAX);
    MUST(lies_within(message->bytes, whole));
    for (uint32_t i = 0; i < message->entry_count; i++) {
        MUST(lies_within(message->entries[i].bytes, whole));
        MUST(message->entries[i].index == message->index + 1 + i);
        MUST(message->entries[i].term <= message->term);
    }
}

static struct bytes write_again(uint8_t *buffer,
                                size_t capacity,
                                const struct raft_wire *wire)
{
    struct writer writer = writer_of(buffer, capacity);
    raft_wire_write(&writer, wire->group, &wire->message);
    MUST(!writer.failed);
    return writer_bytes(&writer);
}

/* Written, read and written again: the same bytes. */
static void check_again(const struct raft_wire *wire, struct raft_wire *again)
{
    size_t capacity = raft_wire_bytes_max(&wire->message);
    uint8_t *first = malloc(capacity);
    uint8_t *second = malloc(capacity);
    MUST(first && second);
    struct bytes written = write_again(first, capacity, wire);
    struct reader reader = reader_of(written);
    MUST(!raft_wire_read(again, &reader));
    MUST(reader_left(&reader) == 0);
    MUST(bytes_are_equal(write_again(second, capacity, again), written));
    free(first);
    free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct bytes whole = bytes_of(data, length);
    struct reader reader = reader_of(whole);
    struct raft_wire *wires = calloc(2, sizeof *wires);
    MUST(wires);
    while (reader_left(&reader) > 0 &&
           raft_wire_read(&wires[0], &reader) == ERR_NONE) {
        check_within(&wires[0].message, whole);
        check_again(&wires[0], &wires[1]);
    }
    free(wires);
    return 0;
}
