/*
 * What became of the shards, as this node has seen it: where the map moved
 * them, who led them, and since when members give theirs away.
 *
 * In memory and bounded: it begins anew with the process. Every node sees the
 * moves, the meta group's leader alone who leads (by the reports). Pure; owned
 * by its host.
 */

#ifndef SHARD_HISTORY_H
#define SHARD_HISTORY_H

#include "shard/view.h"

#define HISTORY_LINES_MAX 1024 /* the oldest go first */

enum history_kind {
    HISTORY_MOVED, /* the map places it elsewhere */
    HISTORY_LED,   /* another node leads it */
};

struct history_line {
    uint64_t number; /* counts from 1 */
    int64_t at_ms;   /* Unix time, of this node */
    uint32_t shard;
    enum history_kind kind;
    /* MOVED */
    uint64_t map_version;
    struct shard_place from;
    struct shard_place to;
    bool is_settled; /* of history_last_move() alone: its group has come to be
                        as the map wants it since */
    /* LED */
    uint32_t leader_before; /* MEMBER_NONE: nobody */
    uint32_t leader;
    uint64_t term;
};

/* A member that drains, or is down. */
struct history_leaving {
    int64_t since_ms;       /* seen since; 0: it is neither */
    uint32_t replica_count; /* that the map gave it then */
};

struct history;

/* ERR_MEMORY */
FALLIBLE history_open(struct history **out);
void history_close(struct history **history);

/* Another view has come. `before` is NULL for the first one. What there is no
 * memory for is not remembered. */
void history_note_view(struct history *history,
                       const struct view *before,
                       const struct view *now,
                       int64_t at_ms);

/* Another node leads a shard. Takes its number by itself. */
void history_note_leader(struct history *history,
                         const struct history_line *line);

/* A shard's group is as the map wants it, and its owner leads. */
void history_note_settled(struct history *history, uint32_t shard);

/* The same of all: what moved before this node heard reports may have settled
 * since. */
void history_note_all_settled(struct history *history);

/* Call `visit` for each line, in order. */
void history_each(const struct history *history,
                  void (*visit)(void *context, const struct history_line *line),
                  void *context);

/* NULL: it has not moved since this node looks. */
const struct history_line *history_last_move(const struct history *history,
                                             uint32_t shard);

struct history_leaving history_leaving(const struct history *history,
                                       uint32_t number);

#endif
