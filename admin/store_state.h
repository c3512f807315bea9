/*
 * What the key-value store of a node holds of its groups: where they are
 * applied to, and their snapshots with their pieces.
 *
 * One thread.
 */

#ifndef ADMIN_STORE_STATE_H
#define ADMIN_STORE_STATE_H

#include "store/kv.h"
#include "store/row.h"
#include "store/snapshot_head.h"

#include <stdbool.h>

struct store_snapshot {
    uint32_t group;
    uint64_t index;
    bool has_head;             /* not: it was never finished */
    struct snapshot_head head; /* if it has one that can be read */
    uint32_t piece_count;      /* found in order, the head included */
    uint64_t bytes;            /* of all pieces */
};

struct store_state {
    uint64_t row_count;
    uint64_t bytes; /* of keys and values */

    struct store_snapshot *snapshots; /* by group, then index */
    size_t snapshot_count;
    size_t snapshot_capacity;

    /* Told of each row that is damaged; may be NULL. */
    void (*on_damage)(void *context, struct bytes key, const char *what);
    void *context;

    enum err err; /* of a visit */
};

void store_state_clear(struct store_state *state);

/*
 * Read the rows from `from` to before `end` (empty: all), adding to what is
 * there. ERR_MALFORMED (what cannot be read at all), ERR_IO, ERR_MEMORY
 */
FALLIBLE store_state_read(struct store_state *state,
                          const struct kv *kv,
                          struct bytes from,
                          struct bytes end);

bool store_snapshot_is_whole(const struct store_snapshot *snapshot);

/* The newest whole one of a group. NULL: none. */
const struct store_snapshot *store_state_newest(const struct store_state *state,
                                                uint32_t group);

#endif
