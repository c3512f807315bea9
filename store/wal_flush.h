/*
 * What the log's executor does for it: one write and one sync, now and then
 * a new segment, and removing old ones.
 *
 * While the job is under way all of it belongs to the executor's thread;
 * otherwise to the log.
 */

#ifndef STORE_WAL_FLUSH_H
#define STORE_WAL_FLUSH_H

#include "base/executor.h"
#include "store/disk.h"
#include "store/wal_buffer.h"
#include "store/wal_format.h"

#include <stdbool.h>

struct wal_flush {
    struct job job;
    const struct disk *disk;
    uint64_t disk_id;

    /* Where the log is written. */
    struct disk_file *file;
    uint64_t segment;
    uint64_t end;       /* of the batches */
    uint64_t zeros_end; /* of the zeros behind them */

    /* What is to be done. */
    struct wal_buffer batch; /* with its beginning; empty: nothing */
    uint32_t record_count;
    size_t zero_bytes;      /* behind the batch, in the buffer */
    struct wal_buffer head; /* of the next segment; empty: stay in this one */
    uint64_t next_segment;
    uint64_t *removals; /* segments */
    size_t removal_count;

    /* How it went. */
    enum err err;
    const char *what; /* that failed; static */
    size_t removed_count;
    uint64_t free_bytes;
};

/* Do it; on the executor's thread. */
void wal_flush_run(struct wal_flush *flush);

#endif
