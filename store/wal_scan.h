/*
 * Reads one segment, batch by batch.
 *
 * Blocks. Owned by whoever opens or replays a log.
 */

#ifndef STORE_WAL_SCAN_H
#define STORE_WAL_SCAN_H

#include "store/disk.h"
#include "store/wal_buffer.h"
#include "store/wal_format.h"

#include <stdbool.h>

struct wal_scan {
    const struct disk *disk;
    struct wal_format_place place; /* of the batch that is looked at */
    struct disk_file *file;
    uint64_t size; /* of the file */

    struct wal_buffer window; /* bytes of the file from window_at on */
    uint64_t window_at;
};

/* ERR_NOT_FOUND and all else that opening a file may say */
FALLIBLE wal_scan_open(struct wal_scan *scan,
                       const struct disk *disk,
                       uint64_t disk_id,
                       uint64_t segment);

/* Close the file; keeps the window's memory for the next one. */
void wal_scan_close(struct wal_scan *scan);

/* Frees the memory, too. */
void wal_scan_clear(struct wal_scan *scan);

/* As wal_format_plain_decode(); also ERR_IO, ERR_MEMORY */
FALLIBLE wal_scan_plain(struct wal_scan *scan, struct wal_format_plain *out);

/*
 * The batch at `place.offset`, with its body, which is borrowed until the
 * next call.
 *
 * ERR_MALFORMED   there is none, or it is damaged
 * ERR_IO, ERR_MEMORY
 */
FALLIBLE wal_scan_batch(struct wal_scan *scan,
                        struct wal_format_batch *out,
                        struct bytes *out_body);

/* Go behind a batch. */
void wal_scan_skip(struct wal_scan *scan, const struct wal_format_batch *batch);

/* Go to the next place where a whole batch is, from `place.offset` on.
 * ERR_NOT_FOUND: there is none (nothing moves); ERR_IO, ERR_MEMORY */
FALLIBLE wal_scan_ahead(struct wal_scan *scan);

/* Where the zeros begin that reach to the file's end, at `place.offset` at
 * the earliest. ERR_IO, ERR_MEMORY */
FALLIBLE wal_scan_zeros(struct wal_scan *scan, uint64_t *out_at);

#endif
