/*
 * Raft's messages on the wire: MessagePack, one array each, one behind the
 * other.
 *
 * [group, kind, from, to, term, index, log_term, commit, round, hint_index,
 *  hint_term, flags, [[term, type, bytes] ...], bytes]
 *
 * Entries follow `index` without a gap, so their own is not sent.
 */

#ifndef CLUSTER_RAFT_WIRE_H
#define CLUSTER_RAFT_WIRE_H

#include "cluster/raft.h"

/* At most so many bytes does raft_wire_write() need. */
size_t raft_wire_bytes_max(const struct raft_message *message);

void raft_wire_write(struct writer *writer,
                     uint32_t group,
                     const struct raft_message *message);

/* A message that was read; its entries point into `entries` and, as its bytes,
 * into what was read. Large: one for a thread. */
struct raft_wire {
    uint32_t group;
    struct raft_message message;
    struct raft_entry entries[RAFT_APPEND_ENTRIES_MAX];
};

/* The next message. ERR_MALFORMED: then what follows cannot be read either. */
FALLIBLE raft_wire_read(struct raft_wire *out, struct reader *reader);

#endif
