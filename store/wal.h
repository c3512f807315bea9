/*
 * The durable log of a node: one sequence of segments for all its groups.
 *
 * Whatever must survive a crash of the machine goes in here: Raft entries,
 * truncations, terms and votes, snapshot marks. What the groups append during
 * a turn, and while a flush is under way, is written in one piece and synced
 * once (group commit). The log knows nothing of Raft beyond the shape of its
 * records.
 *
 * Owned by one reactor: everything is called on its thread, except what the
 * log itself gives to its executor. Format: docs/formats.md.
 */

#ifndef STORE_WAL_H
#define STORE_WAL_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/executor.h"
#include "store/disk.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wal;

#define WAL_GROUP_UNLISTED UINT32_MAX /* no group has this number */

enum wal_kind {
    WAL_ENTRY,    /* index, term, type, bytes: replaces what has that index,
                     and all behind it */
    WAL_TRUNCATE, /* index: all from it on is gone */
    WAL_VOTE,     /* term, vote */
    WAL_SNAPSHOT, /* index, term, bytes: all up to it is in a snapshot; bytes
                     are its configuration. Entries up to it are not needed
                     any more; if the log does not have (index, term), all its
                     entries are gone */
    WAL_FORGET,   /* all of the group is gone, its term and vote too, and
                     that it was lost. Of WAL_GROUP_UNLISTED: whatever else
                     was lost has been dealt with */
};

struct wal_record {
    enum wal_kind kind;
    uint32_t group;
    uint8_t type; /* WAL_ENTRY: of the caller */
    uint64_t index;
    uint64_t term;
    uint64_t vote;
    struct bytes bytes; /* borrowed */
};

/* What the log holds of a group, as recovered or appended last. */
struct wal_group {
    uint32_t group;
    bool is_lost; /* records were lost: its vote is void (RAFT.md, identity) */
    uint64_t term;
    uint64_t vote;
    uint64_t snapshot_index; /* 0: none */
    uint64_t snapshot_term;
    struct bytes configuration; /* of that snapshot; borrowed */
    uint64_t last_index;        /* snapshot_index when there are no entries */
    uint64_t log_bytes; /* of the log from its oldest entry that lives on; 0:
                           there are none. What a snapshot may free */
};

struct wal_config {
    const struct disk *disk;
    const struct executor *executor;
    struct reactor *reactor;
    uint64_t disk_id;       /* in every segment's head; another's is refused */
    bool must_exist;        /* it was made before: that there is none is loss */
    uint64_t segment_bytes; /* a new one begins beyond; default 64 MiB */
    size_t record_bytes_max; /* of `bytes` */
    size_t staged_bytes_max; /* waiting for the flush: then wal_is_full() */
    uint64_t free_bytes_min; /* low-water mark of the disk */
    void *context;
    /* All records up to this number are durable. */
    void (*on_durable)(void *context, uint64_t number);
    /* A write or sync failed; nothing more is written. Fail-stop: the caller
     * must end the process (or the simulated node). */
    void (*on_failed)(void *context, enum err err, const char *what);
};

/* What opening found; for the node's log and `troupe store verify`. */
struct wal_report {
    uint32_t segment_count;
    uint64_t bytes;
    uint64_t torn_bytes;    /* cut off at the last segment's end */
    uint32_t damaged_count; /* segments with a bad batch in the middle */
    uint32_t missing_count; /* segments that should be there */
    uint32_t lost_group_count;
    bool unlisted_are_lost; /* a group that is not in the log may have been:
                               it is as lost as one that is marked so. Until
                               WAL_FORGET of WAL_GROUP_UNLISTED */
    char what[256];         /* of the first damage: which file, where */
};

/*
 * Open, recover, and go on at the end. Blocks; only the last segment is read,
 * whose head says what is in the others. What is told of a group is durable.
 *
 * ERR_VERSION         a newer format
 * ERR_OTHER_CLUSTER   another disk id
 * ERR_NOT_FOUND       `must_exist`, and there is not one segment
 * ERR_ACCESS, ERR_NO_SPACE, ERR_LIMIT, ERR_IO, ERR_MEMORY
 */
FALLIBLE wal_open(struct wal **out,
                  const struct wal_config *config,
                  struct wal_report *report,
                  struct err_detail *why);

/* No job may be under way (see wal_is_idle()), or the executor must have
 * dropped it for good, as in a simulated crash. */
void wal_close(struct wal **log);

/* Call `visit` for each group that is in the log. The group is borrowed for
 * the call. */
void wal_groups(const struct wal *log,
                void (*visit)(void *context, const struct wal_group *group),
                void *context);

/* Look at one group; its configuration is borrowed until the next append.
 * False: the log has nothing of it. */
bool wal_find(const struct wal *log, uint32_t group, struct wal_group *out);

/*
 * Read the entries that live, of all groups, each group's in order, from
 * behind its snapshot on: once, before the first append. Blocks.
 *
 * A group of which an entry cannot be read becomes lost, though some of its
 * entries may have been visited: look at wal_groups() again; `report`, which
 * may be NULL, is brought up to date. Entries of lost groups are skipped.
 *
 * ERR_IO, ERR_LIMIT, ERR_MEMORY
 */
FALLIBLE wal_replay(struct wal *log,
                    void (*visit)(void *context,
                                  const struct wal_record *entry),
                    void *context,
                    struct wal_report *report);

/*
 * Append a record, copying it; it is written when the turn ends. The number
 * that on_durable() will reach: numbers rise by one, from 1 after opening.
 *
 * An entry's index is above the group's snapshot and at most one above its
 * last; a snapshot's is not below the one before; a group's number is not
 * WAL_GROUP_UNLISTED, but to forget.
 */
uint64_t wal_append(struct wal *log, const struct wal_record *record);

/* staged_bytes_max wait: take in nothing more from outside for now. */
bool wal_is_full(const struct wal *log);

/* Below the low-water mark: take in nothing more from outside, make snapshots.
 * What is appended all the same is written as long as it can be. */
bool wal_is_low(const struct wal *log);

/* Below half of that: take in nothing that others can keep for us, so that what
 * is left lasts for votes, and for the snapshots that make room. */
bool wal_is_out_of_room(const struct wal *log);

/* Whether all that was appended is durable, or never will be since the log has
 * failed, and no job is under way. */
bool wal_is_idle(const struct wal *log);

/* What keeps old segments from being removed, and a snapshot would free: not
 * what a lost group needs until it is forgotten. */
struct wal_pin {
    uint32_t group; /* that needs the oldest segment; UINT32_MAX: none */
    uint64_t bytes; /* of segments that it alone keeps */
};
struct wal_pin wal_pin(const struct wal *log);

struct wal_stats {
    uint64_t flush_count;
    uint64_t record_count;
    uint64_t bytes; /* of segments, on disk */
    uint64_t segment_count;
    uint64_t free_bytes; /* of the disk, when it was last written to */
};
struct wal_stats wal_stats(const struct wal *log);

#endif
