#include "admin/store_state.h"

#include <stdio.h>
#include <stdlib.h>

void store_state_clear(struct store_state *state)
{
    free(state->snapshots);
    state->snapshots = NULL;
    state->snapshot_count = 0;
    state->snapshot_capacity = 0;
}

static void say(struct store_state *state, struct bytes key, const char *what)
{
    if (state->on_damage) {
        state->on_damage(state->context, key, what);
    }
}

static enum err add_snapshot(struct store_state *state,
                             const struct row_key *row)
{
    if (state->snapshot_count == state->snapshot_capacity) {
        size_t capacity =
            state->snapshot_capacity ? state->snapshot_capacity * 2 : 16;
        struct store_snapshot *snapshots =
            realloc(state->snapshots, capacity * sizeof *snapshots);
        if (!snapshots) {
            return ERR_MEMORY;
        }
        state->snapshots = snapshots;
        state->snapshot_capacity = capacity;
    }
    state->snapshots[state->snapshot_count++] = (struct store_snapshot){
        .group = row->group, .index = row->snapshot_index};
    return ERR_NONE;
}

/* Rows come in order: a piece belongs to the last snapshot, or to a new. */
static struct store_snapshot *snapshot_of(struct store_state *state,
                                          const struct row_key *row)
{
    struct store_snapshot *last =
        state->snapshot_count > 0 ? &state->snapshots[state->snapshot_count - 1]
                                  : NULL;
    if (last && last->group == row->group &&
        last->index == row->snapshot_index) {
        return last;
    }
    state->err = add_snapshot(state, row);
    return state->err ? NULL : &state->snapshots[state->snapshot_count - 1];
}

static void take_head(struct store_state *state,
                      struct store_snapshot *snapshot,
                      struct bytes key,
                      struct bytes value)
{
    enum err err = snapshot_head_decode(&snapshot->head, value);
    if (!err && snapshot->head.index == snapshot->index) {
        snapshot->has_head = true;
        return;
    }
    say(state, key,
        err == ERR_VERSION ? "the head of a snapshot, in a newer format"
        : err              ? "the head of a snapshot is malformed"
                           : "the head of a snapshot is that of another");
}

static void take_piece(struct store_state *state,
                       const struct row_key *row,
                       struct bytes key,
                       struct bytes value)
{
    struct store_snapshot *snapshot = snapshot_of(state, row);
    if (!snapshot) {
        return;
    }
    snapshot->bytes += value.length;
    if (row->piece == 0) {
        take_head(state, snapshot, key, value);
        snapshot->piece_count = 1;
    } else if (row->piece == snapshot->piece_count ||
               (row->piece == 1 && snapshot->piece_count == 0)) {
        snapshot->piece_count = row->piece + 1; /* the head may be missing */
    }
}

static bool visit(void *context, struct bytes key, struct bytes value)
{
    struct store_state *state = context;
    struct row_key row;
    struct row_applied applied;
    state->row_count++;
    state->bytes += key.length + value.length;
    if (row_key_decode(&row, key)) {
        say(state, key, "a key of no known form");
        return true;
    }
    if (row.kind == ROW_SNAPSHOT_PIECE) {
        take_piece(state, &row, key, value);
    } else if (row.kind == ROW_APPLIED && row_applied_decode(&applied, value)) {
        say(state, key, "the mark of what was applied is malformed");
    }
    return !state->err;
}

enum err store_state_read(struct store_state *state,
                          const struct kv *kv,
                          struct bytes from,
                          struct bytes end)
{
    enum err err = kv->scan(kv->context, from, end, visit, state);
    return err ? err : state->err;
}

bool store_snapshot_is_whole(const struct store_snapshot *snapshot)
{
    return snapshot->has_head &&
           snapshot->piece_count >= snapshot->head.piece_count;
}

const struct store_snapshot *store_state_newest(const struct store_state *state,
                                                uint32_t group)
{
    const struct store_snapshot *newest = NULL;
    for (size_t i = 0; i < state->snapshot_count; i++) {
        if (state->snapshots[i].group == group &&
            store_snapshot_is_whole(&state->snapshots[i])) {
            newest = &state->snapshots[i];
        }
    }
    return newest;
}
