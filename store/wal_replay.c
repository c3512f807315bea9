#include "store/wal_replay.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/scope.h"
#include "store/wal_recover.h"
#include "store/wal_scan.h"

#define RECORD_BYTES_MIN 28 /* of an entry */

/* How far one group's entries have been read. */
struct wal_cursor {
    size_t next_span;     /* of the group's spans */
    struct wal_span span; /* in this segment; .segment 0: there is none */
    uint64_t next;        /* index that must come */
    uint64_t *newest;     /* folded: for each index of the span, the number of
                             the record in the segment that counts, from 1 */
};

struct replay {
    struct wal_state *state;
    const struct wal_config *config;
    const struct wal_replay_visitor *visitor;
    struct wal_report *report;
    struct wal_scan scan;
    struct wal_cursor *cursors; /* one for each group */
    bool is_folded;             /* some span of this segment */
    bool is_damaged;            /* this segment has a bad batch */
};

/* What is done with each entry of a segment. `number` counts its records. */
typedef enum err on_entry(struct replay *replay,
                          const struct wal_record *entry,
                          uint64_t number);

static void replay_clear(struct replay *replay)
{
    wal_scan_clear(&replay->scan);
    for (size_t i = 0; i < replay->state->group_count; i++) {
        if (replay->cursors) {
            free(replay->cursors[i].newest);
        }
        replay->state->groups[i]->cursor = NULL;
    }
    free(replay->cursors);
}

static void lose(struct replay *replay, struct wal_state_group *group)
{
    if (!group->about.is_lost) {
        wal_recover_say(replay->report,
                        "%016" PRIx64 ".wal: entry %" PRIu64
                        " of group %" PRIu32 " cannot be read",
                        replay->scan.place.segment, group->cursor->next,
                        group->about.group);
        wal_state_lose(replay->state, group);
    }
}

/* The cursor of a group with entries in this segment; NULL: none counts. */
static struct wal_cursor *cursor_for(struct replay *replay,
                                     const struct wal_record *entry,
                                     struct wal_state_group **out)
{
    struct wal_state_group *group = wal_state_find(replay->state, entry->group);
    struct wal_cursor *cursor = group ? group->cursor : NULL;
    if (!cursor || group->about.is_lost || cursor->span.segment == 0 ||
        entry->index < cursor->span.first || entry->index > cursor->span.last) {
        return NULL;
    }
    *out = group;
    return cursor;
}

/* First pass: which of several entries with one index counts. */
static enum err note_newest(struct replay *replay,
                            const struct wal_record *entry,
                            uint64_t number)
{
    struct wal_state_group *group = NULL;
    struct wal_cursor *cursor = cursor_for(replay, entry, &group);
    if (cursor && cursor->newest) {
        cursor->newest[entry->index - cursor->span.first] = number;
    }
    return ERR_NONE;
}

/* Second pass, or the only one. */
static enum err visit_entry(struct replay *replay,
                            const struct wal_record *entry,
                            uint64_t number)
{
    struct wal_state_group *group = NULL;
    struct wal_cursor *cursor = cursor_for(replay, entry, &group);
    if (!cursor ||
        (cursor->newest &&
         cursor->newest[entry->index - cursor->span.first] != number)) {
        return ERR_NONE;
    }
    if (entry->index != cursor->next) {
        lose(replay, group);
        return ERR_NONE;
    }
    cursor->next++;
    enum err err = wal_state_note_term(group, entry->index, entry->term);
    if (!err) {
        replay->visitor->visit(replay->visitor->context, entry);
    }
    return err;
}

static enum err read_records(struct replay *replay,
                             struct bytes body,
                             uint64_t *number,
                             on_entry *take)
{
    struct reader reader = reader_of(body);
    while (reader_left(&reader) > 0) {
        struct wal_record record;
        if (!wal_format_record_decode(&record, &reader)) {
            replay->is_damaged = true;
            return ERR_NONE;
        }
        ++*number;
        enum err err = record.kind == WAL_ENTRY ? take(replay, &record, *number)
                                                : ERR_NONE;
        if (err) {
            return err;
        }
    }
    return ERR_NONE;
}

/* All entries of the open segment that can be read. */
static enum err read_segment(struct replay *replay, on_entry *take)
{
    struct wal_scan *scan = &replay->scan;
    uint64_t number = 0;
    scan->place.offset = WAL_FORMAT_PLAIN_BYTES;
    for (;;) {
        struct wal_format_batch batch;
        struct bytes body;
        enum err err = wal_scan_batch(scan, &batch, &body);
        if (err == ERR_MALFORMED) {
            err = wal_scan_ahead(scan);
            if (err == ERR_NOT_FOUND) {
                return ERR_NONE; /* the end */
            }
            replay->is_damaged = true;
            err = err ? err : wal_scan_batch(scan, &batch, &body);
        }
        if (!err && batch.kind == WAL_FORMAT_RECORDS) {
            err = read_records(replay, body, &number, take);
        }
        if (err) {
            return err;
        }
        wal_scan_skip(scan, &batch);
    }
}

/* Whether the group has entries in the segment; then its cursor is at them. */
static enum err enter(struct replay *replay,
                      struct wal_state_group *group,
                      uint64_t segment)
{
    struct wal_cursor *cursor = group->cursor;
    cursor->span = (struct wal_span){0};
    if (group->about.is_lost || cursor->next_span == group->span_count ||
        group->spans[cursor->next_span].segment != segment) {
        return ERR_NONE;
    }
    cursor->span = group->spans[cursor->next_span++];
    cursor->next = cursor->span.first;
    if (!cursor->span.is_folded) {
        return ERR_NONE;
    }
    replay->is_folded = true;
    uint64_t count = cursor->span.last - cursor->span.first + 1;
    if (count > replay->scan.size / RECORD_BYTES_MIN) {
        lose(replay, group); /* so many cannot be in there */
        return ERR_NONE;
    }
    cursor->newest = calloc((size_t)count, sizeof *cursor->newest);
    return cursor->newest ? ERR_NONE : ERR_MEMORY;
}

/* Nothing of its entries may be missing. */
static void leave(struct replay *replay, struct wal_state_group *group)
{
    struct wal_cursor *cursor = group->cursor;
    bool is_unsure = cursor->newest && replay->is_damaged;
    if (cursor->span.segment != 0 &&
        (is_unsure || cursor->next != cursor->span.last + 1)) {
        lose(replay, group);
    }
    free(cursor->newest);
    cursor->newest = NULL;
}

static enum err lose_segment(struct replay *replay, uint64_t segment)
{
    struct wal_state *state = replay->state;
    replay->report->missing_count++;
    for (size_t i = 0; i < state->group_count; i++) {
        for (size_t j = 0; j < state->groups[i]->span_count; j++) {
            if (state->groups[i]->spans[j].segment == segment) {
                lose(replay, state->groups[i]);
            }
        }
    }
    return ERR_NONE;
}

static enum err replay_segment(struct replay *replay, uint64_t segment)
{
    struct wal_state *state = replay->state;
    replay->is_folded = false;
    replay->is_damaged = false;
    enum err err = wal_scan_open(&replay->scan, replay->config->disk,
                                 replay->config->disk_id, segment);
    if (err == ERR_NOT_FOUND) {
        return lose_segment(replay, segment); /* gone since we have opened */
    }
    for (size_t i = 0; !err && i < state->group_count; i++) {
        err = enter(replay, state->groups[i], segment);
    }
    if (!err && replay->is_folded) {
        err = read_segment(replay, note_newest);
    }
    if (!err) {
        err = read_segment(replay, visit_entry);
    }
    if (err) {
        return err;
    }
    size_t lost_count = state->lost_count;
    for (size_t i = 0; i < state->group_count; i++) {
        leave(replay, state->groups[i]);
    }
    bool is_damaged = replay->is_damaged || state->lost_count > lost_count;
    replay->report->damaged_count += is_damaged;
    return ERR_NONE;
}

/* What is known from opening is read again. */
static enum err begin(struct replay *replay)
{
    struct wal_state *state = replay->state;
    replay->cursors = calloc(state->group_count + 1, sizeof *replay->cursors);
    if (!replay->cursors) {
        return ERR_MEMORY;
    }
    for (size_t i = 0; i < state->group_count; i++) {
        state->groups[i]->cursor = &replay->cursors[i];
        state->groups[i]->run_count = 0;
    }
    return ERR_NONE;
}

enum err wal_replay_entries(struct wal_state *state,
                            const struct wal_config *config,
                            const struct wal_replay_visitor *visitor,
                            struct wal_report *report)
{
    scoped(replay_clear) struct replay replay = {
        .state = state, .config = config, .visitor = visitor, .report = report};
    enum err err = begin(&replay);
    for (size_t i = 0; !err && i < state->segment_count; i++) {
        const struct wal_state_segment *segment = &state->segments[i];
        if (segment->live_count > 0 && !segment->is_missing) {
            err = replay_segment(&replay, segment->number);
        }
    }
    report->lost_group_count = (uint32_t)state->lost_count;
    return err;
}
