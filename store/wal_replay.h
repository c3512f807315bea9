/*
 * Reading back the entries that live.
 *
 * Blocks.
 */

#ifndef STORE_WAL_REPLAY_H
#define STORE_WAL_REPLAY_H

#include "store/wal.h"
#include "store/wal_state.h"

struct wal_replay_visitor {
    void (*visit)(void *context, const struct wal_record *entry);
    void *context;
};

/* As wal_replay(). `report` must be there. */
FALLIBLE wal_replay_entries(struct wal_state *state,
                            const struct wal_config *config,
                            const struct wal_replay_visitor *visitor,
                            struct wal_report *report);

#endif
