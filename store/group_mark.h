/*
 * What the log keeps with a group's snapshot (`bytes` of WAL_SNAPSHOT): which
 * replica this is, u64, and who belonged to the group then.
 *
 * Pure.
 */

#ifndef STORE_GROUP_MARK_H
#define STORE_GROUP_MARK_H

#include "store/raft_configuration.h"

struct group_mark {
    uint64_t number;
    struct raft_configuration configuration;
};

#define GROUP_MARK_BYTES_MAX (8 + RAFT_CONFIGURATION_BYTES_MAX)

struct bytes group_mark_encode(uint8_t to[static GROUP_MARK_BYTES_MAX],
                               const struct group_mark *mark);

/* ERR_MALFORMED, ERR_VERSION */
FALLIBLE group_mark_decode(struct group_mark *out, struct bytes bytes);

#endif
