/*
 * What the log holds of each group, and which segments still matter.
 *
 * Pure. Fed with every record, when it is appended and when it is recovered;
 * a segment's head is this state in bytes.
 */

#ifndef STORE_WAL_STATE_H
#define STORE_WAL_STATE_H

#include "store/wal.h"
#include "store/wal_buffer.h"
#include "store/wal_format.h"

#define WAL_STATE_INDEX_MAX (UINT64_MAX / 2)

/* Terms of entries from `first` on. */
struct wal_run {
    uint64_t first; /* index */
    uint64_t term;
};

struct wal_state_group {
    struct wal_group about;
    bool is_there; /* false: forgotten */

    /* Entries that live, oldest first: they join up to about.last_index,
     * from behind about.snapshot_index on. */
    struct wal_span *spans;
    size_t span_count;
    size_t span_capacity;

    struct wal_run *runs; /* of the same entries; empty before the replay */
    size_t run_count;
    size_t run_capacity;

    /* The newest segment with entries, also dead ones, and the largest index
     * there. */
    uint64_t newest_segment;
    uint64_t newest_max;

    uint8_t *configuration; /* holds about.configuration */

    struct wal_cursor *cursor; /* of wal_replay.c, while it reads */
};

struct wal_state_segment {
    uint64_t number;
    uint64_t bytes;
    uint32_t live_count; /* groups with entries that live in it */
    bool is_missing;     /* there is no such file */
};

struct wal_state {
    struct wal_state_group **groups; /* in order of appearance */
    size_t group_count;
    size_t group_capacity;
    uint32_t *slots; /* hash table: index into `groups` + 1; 0: free */
    size_t slot_count;

    struct wal_state_segment *segments; /* by number; the last is written */
    size_t segment_count;
    size_t segment_capacity;

    size_t lost_count; /* groups */
    bool unlisted_are_lost;
};

/* Free what is in it; leaves it empty. */
void wal_state_clear(struct wal_state *state);

/* NULL: there is none. One that is forgotten is not there either. */
struct wal_state_group *wal_state_find(const struct wal_state *state,
                                       uint32_t group);

/* Begin to write to a segment: its number is above all others. ERR_MEMORY */
FALLIBLE wal_state_add_segment(struct wal_state *state, uint64_t number);

/* NULL: there is none. */
struct wal_state_segment *wal_state_segment(const struct wal_state *state,
                                            uint64_t number);
void wal_state_drop_segment(struct wal_state *state, uint64_t number);

/* The one that is written. There must be one. */
struct wal_state_segment *wal_state_current(const struct wal_state *state);

/* A segment that nobody needs. While a group is lost all are kept, for
 * whoever wants to look. */
bool wal_state_is_removable(const struct wal_state *state,
                            const struct wal_state_segment *segment);

/* Whether a snapshot's mark ends all entries of the group: the log does not
 * have the last one that it covers. */
bool wal_state_resets(const struct wal_state *state,
                      const struct wal_record *snapshot);

/*
 * Take in a record of the current segment; a WAL_SNAPSHOT's type says
 * whether it resets.
 *
 * ERR_MALFORMED   an entry that does not join what is there; the group is as
 *                 before
 * ERR_MEMORY
 */
FALLIBLE wal_state_apply(struct wal_state *state,
                         const struct wal_record *record);

/* Remember the term of an entry; in order, from the oldest. ERR_MEMORY */
FALLIBLE wal_state_note_term(struct wal_state_group *group,
                             uint64_t index,
                             uint64_t term);

void wal_state_lose(struct wal_state *state, struct wal_state_group *group);
void wal_state_lose_all(struct wal_state *state);

/*
 * The body of the head of a segment that comes next, appended to `buffer`.
 *
 * ERR_MEMORY, ERR_TOO_LARGE
 */
FALLIBLE wal_state_encode(const struct wal_state *state,
                          uint64_t previous_end,
                          struct wal_buffer *buffer);

/*
 * Fill a state that has segments and no groups from the body of the current
 * segment's head. Segments that it names and that are not there become
 * missing ones.
 *
 * ERR_MALFORMED, ERR_MEMORY; the state is to be cleared then
 */
FALLIBLE wal_state_decode(struct wal_state *state,
                          struct bytes body,
                          uint64_t *out_previous_end);

#endif
