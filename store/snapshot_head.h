/*
 * The first piece of a group's snapshot, written last: with it, it is whole.
 *
 * version u8, index u64, term u64, stamp i64, piece_count u32, and the
 * group's configuration.
 *
 * Pure.
 */

#ifndef STORE_SNAPSHOT_HEAD_H
#define STORE_SNAPSHOT_HEAD_H

#include "store/raft_configuration.h"

struct snapshot_head {
    uint64_t index;
    uint64_t term;
    int64_t stamp_ms;
    uint32_t piece_count; /* this one included */
    struct raft_configuration configuration;
};

#define SNAPSHOT_HEAD_BYTES_MAX (29 + RAFT_CONFIGURATION_BYTES_MAX)

struct bytes snapshot_head_encode(uint8_t to[static SNAPSHOT_HEAD_BYTES_MAX],
                                  const struct snapshot_head *head);

/* ERR_MALFORMED, ERR_VERSION */
FALLIBLE snapshot_head_decode(struct snapshot_head *out, struct bytes bytes);

#endif
