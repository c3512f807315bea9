/*
 * The part of a group's log that is in memory: entries, who belonged to the
 * group when, and how much of it is durable. Of raft.c.
 */

#ifndef CLUSTER_RAFT_LOG_H
#define CLUSTER_RAFT_LOG_H

#include "cluster/raft.h"

#define RAFT_WRITES_MAX 32

/* Known from `index` on. */
struct raft_epoch {
    uint64_t index;
    struct raft_configuration configuration;
};

/* A record that is being written: when it is durable, so is all up to `last`.
 */
struct raft_write {
    uint64_t number;
    uint64_t last;
};

struct raft_log {
    struct raft_entry *entries; /* without gaps, from `first` on */
    size_t count;
    size_t capacity;
    uint64_t first;
    size_t bytes; /* of entries, in memory */
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    uint64_t stable; /* index: durable up to here */

    /* The snapshot's first, then those of the entries. */
    struct raft_epoch *epochs;
    size_t epoch_count;
    size_t epoch_capacity;

    struct raft_write writes[RAFT_WRITES_MAX]; /* the oldest first */
    uint32_t write_count;
};

/* Empty, behind a snapshot. ERR_MEMORY */
FALLIBLE raft_log_init(struct raft_log *log,
                       uint64_t snapshot_index,
                       uint64_t snapshot_term,
                       const struct raft_configuration *configuration);
void raft_log_clear(struct raft_log *log);

uint64_t raft_log_last(const struct raft_log *log);

/* 0: not known (any more, or yet). */
uint64_t raft_log_term(const struct raft_log *log, uint64_t index);

/* NULL: not in memory. */
const struct raft_entry *raft_log_entry(const struct raft_log *log,
                                        uint64_t index);

/* Copy an entry, which must be the next. ERR_MEMORY; ERR_MALFORMED: no
 * configuration. On failure nothing has changed. */
FALLIBLE raft_log_append(struct raft_log *log, const struct raft_entry *entry);

/* Forget all from `from` on. */
void raft_log_truncate(struct raft_log *log, uint64_t from);

/* A snapshot covers all up to `index`: of that, keep the newest `keep_bytes`
 * for those who are behind. */
void raft_log_compact(struct raft_log *log, uint64_t index, size_t keep_bytes);

/* Begin anew behind a snapshot from elsewhere. ERR_MEMORY */
FALLIBLE raft_log_install(struct raft_log *log,
                          uint64_t index,
                          uint64_t term,
                          const struct raft_configuration *configuration);

/* A record of this number is being written; when it is durable, all up to
 * `last` is. */
void raft_log_writing(struct raft_log *log, uint64_t number, uint64_t last);

/* All records up to `number` are durable. */
void raft_log_stored(struct raft_log *log, uint64_t number);

/* The newest that `index` covers; the oldest known if there is none. */
const struct raft_epoch *raft_log_epoch(const struct raft_log *log,
                                        uint64_t index);
const struct raft_epoch *raft_log_newest(const struct raft_log *log);

#endif
