/*
 * A node's log, looked at and not changed: what a node would find when it
 * opens it, and, record by record, all that was ever written to it.
 *
 * Blocks. Owned by whoever opens it; for tools, not for nodes. The disk need
 * not be writable.
 */

#ifndef STORE_WAL_READER_H
#define STORE_WAL_READER_H

#include "store/wal.h"

struct wal_reader;

struct wal_reader_config {
    const struct disk *disk;
    uint64_t disk_id; /* as of struct wal_config */
    bool must_exist;
};

/*
 * Find the segments and read the last one. That damage was found is told by
 * wal_reader_report() alone.
 *
 * ERR_VERSION, ERR_OTHER_CLUSTER, ERR_NOT_FOUND (as of wal_open()),
 * ERR_ACCESS, ERR_LIMIT, ERR_IO, ERR_MEMORY
 */
FALLIBLE wal_reader_open(struct wal_reader **out,
                         const struct wal_reader_config *config,
                         struct err_detail *why);
void wal_reader_close(struct wal_reader **reader);

/* What a node would be told. */
const struct wal_report *wal_reader_report(const struct wal_reader *reader);

/* The segments that are there, in order. */
struct wal_reader_segment {
    uint64_t number;
    uint64_t bytes;
    uint32_t group_count; /* with entries in it that live */
};
size_t wal_reader_segment_count(const struct wal_reader *reader);
struct wal_reader_segment wal_reader_segment(const struct wal_reader *reader,
                                             size_t index);

/* As wal_groups() and wal_find(). */
void wal_reader_groups(const struct wal_reader *reader,
                       void (*visit)(void *context,
                                     const struct wal_group *group),
                       void *context);
bool wal_reader_find(const struct wal_reader *reader,
                     uint32_t group,
                     struct wal_group *out);

/* Whether some group has a snapshot, which is in the key-value store. */
bool wal_reader_needs_state(const struct wal_reader *reader);

/* Where something stands. */
struct wal_reader_place {
    uint64_t segment; /* wal_format_name() is its file's name */
    uint64_t offset;  /* in that file */
};

/* What a walk says. Those that are NULL are not called; a walk ends when one
 * returns false. */
struct wal_reader_visitor {
    void *context;
    bool (*on_segment)(void *context, const struct wal_reader_segment *segment);
    bool (*on_record)(void *context,
                      const struct wal_reader_place *place,
                      const struct wal_record *record);
    bool (*on_damage)(void *context,
                      const struct wal_reader_place *place,
                      const char *what);
};

/*
 * Read every batch of every segment. Damage is: a batch that fails its
 * checksum and is no torn tail; records that make no sense or do not follow
 * those before; a segment whose head says something else than the records
 * before it; a segment that ends too early, or that is needed and missing.
 * Behind damage it goes on with what can be read.
 *
 * ERR_IO, ERR_LIMIT, ERR_MEMORY
 */
FALLIBLE wal_reader_walk(struct wal_reader *reader,
                         const struct wal_reader_visitor *visitor);

#endif
