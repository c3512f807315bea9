/*
 * Any bytes as what stands in records and rows: whatever is taken is whole,
 * and comes out of its encoder as it went in.
 *
 * Input: which decoder (u8: 0 entry, 1 mark, 2 head, 3 configuration, 4 key),
 * then its bytes.
 */

#include <stdlib.h>
#include <string.h>

#include "store/group_mark.h"
#include "store/raft_entry.h"
#include "store/row.h"
#include "store/snapshot_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

static void try_entry(struct bytes bytes)
{
    struct raft_entry_commands commands;
    struct bytes outcome;
    size_t sum = RAFT_ENTRY_COMMANDS_BYTES;
    if (raft_entry_commands_decode(&commands, bytes)) {
        return;
    }
    while (raft_entry_next_outcome(&commands, &outcome)) {
        sum += RAFT_ENTRY_OUTCOME_BYTES + outcome.length;
    }
    MUST(commands.outcomes.failed || sum == bytes.length);
}

static void try_mark(struct bytes bytes)
{
    struct group_mark mark = {0};
    uint8_t again[GROUP_MARK_BYTES_MAX];
    if (!group_mark_decode(&mark, bytes)) {
        MUST(bytes_are_equal(group_mark_encode(again, &mark), bytes));
    }
}

static void try_head(struct bytes bytes)
{
    struct snapshot_head head = {0};
    uint8_t again[SNAPSHOT_HEAD_BYTES_MAX];
    if (!snapshot_head_decode(&head, bytes)) {
        MUST(bytes_are_equal(snapshot_head_encode(again, &head), bytes));
    }
}

static void try_configuration(struct bytes bytes)
{
    struct raft_configuration configuration;
    uint8_t again[RAFT_CONFIGURATION_BYTES_MAX];
    struct writer writer = writer_of(again, sizeof again);
    if (!raft_configuration_decode(&configuration, bytes)) {
        raft_configuration_encode(&configuration, &writer);
        MUST(!writer.failed && bytes_are_equal(writer_bytes(&writer), bytes));
    }
}

static void try_key(struct bytes bytes)
{
    struct row_key key;
    struct row_applied applied;
    uint8_t again[KV_KEY_BYTES_MAX];
    struct bytes encoded;
    if (!row_key_decode(&key, bytes)) {
        MUST(!row_key_encode(again, &key, &encoded));
        MUST(bytes_are_equal(encoded, bytes));
    }
    if (!row_applied_decode(&applied, bytes)) {
        MUST(bytes.length == ROW_APPLIED_BYTES);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static void (*const tries[])(struct bytes bytes) = {
        try_entry, try_mark, try_head, try_configuration, try_key};
    if (length > 0) {
        tries[data[0] % (sizeof tries / sizeof *tries)](
            bytes_of(data + 1, length - 1));
    }
    return 0;
}
