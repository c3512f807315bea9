/*
 * The meta group's state machine: the view, changed by commands
 * (view_change_encode()), each checked against what was decided before.
 *
 * A reply is empty, or for VIEW_MEMBER_ADD the member's number (MessagePack
 * uint). A command that may not happen is refused by the error of
 * view_check(). Questions are not asked: every node reads its copy.
 *
 * Owned by its group's reactor.
 */

#ifndef SHARD_META_H
#define SHARD_META_H

#include "base/machine.h"
#include "shard/view.h"

#define META_GROUP 0
#define META_JOURNAL_MAX 1024               /* lines kept; a setting later */
#define META_PIECE_BYTES (64u << 10)        /* of a snapshot */
#define META_SNAPSHOT_BYTES_MAX (16u << 20) /* more is not taken */

struct meta;

/* One line of the audit journal: what was changed, and by whom. Changes
 * without a text leave none. */
struct meta_line {
    uint64_t number; /* counts from 1 */
    int64_t at_ms;   /* Unix time, of the leader */
    char who[VIEW_WHO_BYTES];
    char text[VIEW_TEXT_BYTES];
};

struct meta_events {
    void *context;
    /* The applied view is another now: a change, or a snapshot. May be NULL.
     * Nothing may be proposed from within. */
    void (*on_view)(void *context, const struct view *view);
#ifdef TROUPE_FAULTS
    enum host_fault fault;
#endif
};

/* ERR_MEMORY */
FALLIBLE meta_open(struct meta **out, const struct meta_events *events);
void meta_close(struct meta **meta);
struct machine meta_machine(struct meta *meta);

/* What is applied. Valid until the next change. */
const struct view *meta_view(const struct meta *meta);

/* Call `visit` for each line of the journal that is kept, from `number` on, in
 * order. */
void meta_journal_each(const struct meta *meta,
                       uint64_t number,
                       void (*visit)(void *context,
                                     const struct meta_line *line),
                       void *context);

/* Why the command that was decided on last is refused; "": it is not. To be
 * asked when group_propose() has returned ERR_NONE: it decides at once, and
 * answers later, when others may have been decided on. */
const char *meta_why(const struct meta *meta);

#endif
