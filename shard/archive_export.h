/*
 * A snapshot of a shard's machine that somebody reads piece by piece: the
 * reading half of shard/archive.h, which says when there may be one.
 *
 * One at a time; who begins takes the place of one that nobody has read for
 * ARCHIVE_EXPORT_IDLE_MS. Inside the archive, as its owner.
 */

#ifndef SHARD_ARCHIVE_EXPORT_H
#define SHARD_ARCHIVE_EXPORT_H

#include "base/env.h"
#include "base/machine.h"
#include "shard/archive_wire.h"

#define ARCHIVE_EXPORT_IDLE_MS 10000 /* then it stands in nobody's way */

struct archive_export {
    /* Set once. */
    struct machine machine;
    const struct clock *clock;

    uint64_t session; /* 0: none */
    uint64_t index;
    uint64_t moved_ns;
    bool is_begun; /* the machine's snapshot is */
    bool has_piece;
    uint32_t number; /* of the piece, or how many there were */
    uint64_t digest;
    uint8_t *piece;
    size_t piece_length; /* 0: there are no more */
};

/* `clock` outlives it. */
void archive_export_init(struct archive_export *out,
                         const struct machine *machine,
                         const struct clock *clock);

/* It is gone, and another may begin. */
void archive_export_end(struct archive_export *exporting);

/* Somebody is reading it. */
bool archive_export_is_read(const struct archive_export *exporting);

/* The same, of nobody: its snapshot stands in the way of the next. */
bool archive_export_is_left(const struct archive_export *exporting);

/*
 * Answer ARCHIVE_EXPORT_BEGIN, with the last entry in it; ARCHIVE_EXPORT_PIECE:
 * the one that was given last once more, or the next; ARCHIVE_EXPORT_END.
 * `out` is GONE before.
 *
 * ERR_MEMORY, and what the machine says of its snapshot
 */
FALLIBLE archive_export_answer_begin(struct archive_export *exporting,
                                     const struct archive_ask *ask,
                                     uint64_t index,
                                     struct archive_answer *out);
FALLIBLE archive_export_answer_piece(struct archive_export *exporting,
                                     const struct archive_ask *ask,
                                     struct archive_answer *out);
void archive_export_answer_end(struct archive_export *exporting,
                               const struct archive_ask *ask);

#endif
