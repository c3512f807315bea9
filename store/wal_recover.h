/*
 * Opening a log: find its segments, take in the last one, judge damage.
 *
 * Blocks.
 */

#ifndef STORE_WAL_RECOVER_H
#define STORE_WAL_RECOVER_H

#include "store/wal.h"
#include "store/wal_scan.h"
#include "store/wal_state.h"

/* Where the log goes on. */
struct wal_tail {
    struct disk_file *file; /* of the current segment; for writing */
    uint64_t end;           /* of its batches */
    uint64_t zeros_end;     /* of the zeros behind them */
};

/* As wal_open(). `state` is empty; on failure it is to be cleared. */
FALLIBLE wal_recover(struct wal_state *state,
                     struct wal_tail *out,
                     const struct wal_config *config,
                     struct wal_report *report,
                     struct err_detail *why);

/* Say what is damaged first; later ones are only counted. */
__attribute__((format(printf, 2, 3))) void wal_recover_say(
    struct wal_report *report, const char *format, ...);

#endif
