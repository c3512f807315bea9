/*
 * What stands in Raft's entries in the log: their types, and the form of
 * those with commands.
 *
 * version u8, stamp i64, and for each outcome its length u32 and its bytes.
 *
 * Pure.
 */

#ifndef STORE_RAFT_ENTRY_H
#define STORE_RAFT_ENTRY_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* The numbers are stored: `type` of a WAL_ENTRY. */
enum raft_entry_type {
    RAFT_NOTHING,       /* a new leader's first, but for the very first */
    RAFT_CONFIGURATION, /* raft_configuration_encode() */
    RAFT_COMMANDS,      /* the caller's */
};

#define RAFT_ENTRY_COMMANDS_BYTES 9 /* before the first outcome */
#define RAFT_ENTRY_OUTCOME_BYTES 4  /* before each outcome's own */

/* What an entry of commands begins with. */
void raft_entry_commands_encode(uint8_t to[static RAFT_ENTRY_COMMANDS_BYTES],
                                int64_t stamp_ms);

/* What an outcome of `length` bytes begins with. */
void raft_entry_outcome_encode(uint8_t to[static RAFT_ENTRY_OUTCOME_BYTES],
                               uint32_t length);

struct raft_entry_commands {
    int64_t stamp_ms; /* the leader's clock */
    struct reader outcomes;
};

/* Borrows `bytes`. ERR_MALFORMED, ERR_VERSION */
FALLIBLE raft_entry_commands_decode(struct raft_entry_commands *out,
                                    struct bytes bytes);

/* Take the next outcome. False after the last, and, with `outcomes.failed`,
 * where it is malformed. */
bool raft_entry_next_outcome(struct raft_entry_commands *commands,
                             struct bytes *out);

#endif
