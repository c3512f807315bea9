/*
 * The log's bytes: segments, batches, records. Tables: docs/formats.md.
 *
 * Pure: whatever is decoded may come from a damaged disk.
 *
 * To change the format: raise WAL_FORMAT_VERSION, keep decoding the one
 * before, keep the first 40 bytes of a segment as they are in all versions.
 */

#ifndef STORE_WAL_FORMAT_H
#define STORE_WAL_FORMAT_H

#include "base/bytes.h"
#include "base/err.h"
#include "store/disk.h"
#include "store/wal.h"

#include <stdbool.h>
#include <stdint.h>

#define WAL_FORMAT_VERSION 1

#define WAL_FORMAT_PLAIN_BYTES 40 /* what a segment begins with */
#define WAL_FORMAT_BATCH_BYTES 32 /* what a batch begins with */
#define WAL_FORMAT_ALIGNMENT 8    /* of batches */

/* ---- segments ---- */

/* "%016x.wal"; `name` holds DISK_NAME_BYTES. */
void wal_format_name(char name[static DISK_NAME_BYTES], uint64_t segment);

/* False: no segment has that name. */
bool wal_format_parse_name(uint64_t *out_segment, const char *name);

struct wal_format_plain {
    uint64_t disk_id;
    uint64_t segment;
};

void wal_format_plain_encode(uint8_t to[static WAL_FORMAT_PLAIN_BYTES],
                             const struct wal_format_plain *plain);

/* Set the checksum of what stands there. */
void wal_format_plain_finish(uint8_t plain[static WAL_FORMAT_PLAIN_BYTES]);

/* ERR_MALFORMED; ERR_VERSION: whole, but newer than we are */
FALLIBLE wal_format_plain_decode(struct wal_format_plain *out,
                                 struct bytes bytes);

/* ---- batches ---- */

enum wal_format_batch_kind {
    WAL_FORMAT_HEAD = 1, /* the first of each segment: all that came before */
    WAL_FORMAT_RECORDS,  /* one group commit */
    WAL_FORMAT_SEAL,     /* a next segment exists, nothing follows here */
};

/* Where a batch stands: goes into its checksums, so that no other is taken
 * for it. */
struct wal_format_place {
    uint64_t disk_id;
    uint64_t segment;
    uint64_t offset;
};

struct wal_format_batch {
    enum wal_format_batch_kind kind;
    uint32_t body_bytes;
    uint32_t record_count;
    uint64_t body_hash;
};

/* With its beginning, and zeros up to the alignment. */
uint64_t wal_format_batch_bytes(uint64_t body_bytes);

/* Write a batch's beginning; the body stands behind it. `body_hash` is set
 * here. */
void wal_format_batch_finish(uint8_t *batch,
                             const struct wal_format_place *place,
                             const struct wal_format_batch *about);

/* False: there is no batch's beginning. */
bool wal_format_batch_decode(struct wal_format_batch *out,
                             const struct wal_format_place *place,
                             struct bytes bytes);

bool wal_format_body_is_whole(const struct wal_format_batch *batch,
                              const struct wal_format_place *place,
                              struct bytes body);

/* ---- records ---- */

/* WAL_SNAPSHOT's type in the file: it did not fit the entries, all are gone. */
#define WAL_FORMAT_SNAPSHOT_RESETS 1

size_t wal_format_record_bytes(const struct wal_record *record);

/* `to` holds wal_format_record_bytes(). */
void wal_format_record_encode(uint8_t *to, const struct wal_record *record);

/* Take the next record; its bytes are borrowed from the reader's. False: it
 * is malformed. */
bool wal_format_record_decode(struct wal_record *out, struct reader *reader);

/* ---- heads ---- */

#define WAL_FORMAT_UNLISTED_LOST 1 /* a head's flag */

struct wal_format_head {
    uint64_t previous_end; /* of the batches in the segment before; 0: not
                              known */
    uint32_t flags;
    uint32_t group_count; /* rows that follow */
};

/* Entries of one group that live in one segment. */
struct wal_span {
    uint64_t segment;
    uint64_t first; /* index */
    uint64_t last;
    bool is_folded; /* some index is there twice: the last one counts */
};

size_t wal_format_head_bytes(void);
size_t wal_format_row_bytes(size_t span_count, size_t configuration_bytes);

void wal_format_head_encode(struct writer *writer,
                            const struct wal_format_head *head);
void wal_format_row_encode(struct writer *writer,
                           const struct wal_group *group,
                           uint32_t span_count);
void wal_format_span_encode(struct writer *writer, const struct wal_span *span);

/* False: malformed. A row is followed by its spans. */
bool wal_format_head_decode(struct wal_format_head *out, struct reader *reader);
bool wal_format_row_decode(struct wal_group *out,
                           uint32_t *out_span_count,
                           struct reader *reader);
bool wal_format_span_decode(struct wal_span *out, struct reader *reader);

#endif
