/*
 * What is said to a shard's archive (shard/archive.h), and what it answers.
 *
 * Plain data; pure. MessagePack:
 *
 *   ask     [version, kind, session, piece, digest, who, bytes, ...]
 *   answer  [version, state, index, piece, digest, bytes, ...]
 *
 * What a kind does not need is 0 or empty. Fields may be appended. Commands of
 * a restore stand in the log as they were asked.
 */

#ifndef SHARD_ARCHIVE_WIRE_H
#define SHARD_ARCHIVE_WIRE_H

#include "base/bytes.h"
#include "base/err.h"

#define ARCHIVE_WHO_BYTES 80
#define ARCHIVE_PIECE_BYTES_MAX (256u << 10) /* of the machine's snapshots */
/* The longest ask, encoded. */
#define ARCHIVE_ASK_BYTES_MAX (64 + ARCHIVE_WHO_BYTES + ARCHIVE_PIECE_BYTES_MAX)

/* The first byte of every command and question to a shard: for whom it is. */
enum archive_target {
    ARCHIVE_FOR_MACHINE = 0,
    ARCHIVE_FOR_ARCHIVE = 1,
};

enum archive_kind {
    /* Questions. */
    ARCHIVE_EXPORT_BEGIN = 1,
    ARCHIVE_EXPORT_PIECE, /* piece: its number, from 0 on */
    ARCHIVE_EXPORT_END,
    ARCHIVE_RESTORE_LOOK,
    /* Commands. */
    ARCHIVE_RESTORE_BEGIN, /* who */
    ARCHIVE_RESTORE_PIECE, /* piece, bytes */
    ARCHIVE_RESTORE_END,   /* piece: how many there were, digest */
    ARCHIVE_RESTORE_ABORT,
    ARCHIVE_KIND_COUNT,
};

struct archive_ask {
    enum archive_kind kind;
    uint64_t session; /* chosen by who asks, at random; not 0 */
    uint32_t piece;
    uint64_t digest;
    char who[ARCHIVE_WHO_BYTES]; /* printable */
    struct bytes bytes;          /* borrowed */
};

enum archive_state {
    ARCHIVE_GONE,  /* no such session: it has ended, or another leads now */
    ARCHIVE_OPEN,  /* under way */
    ARCHIVE_TAKEN, /* an export: another one is under way */
    ARCHIVE_DONE,  /* a restore: the shard has what was brought */
    ARCHIVE_UNFIT, /* a restore: the pieces are none of this machine, or not
                      those that were announced; the state is as before */
    ARCHIVE_STATE_COUNT,
};

struct archive_answer {
    enum archive_state state;
    uint64_t index;     /* an export: of the last entry in it */
    uint32_t piece;     /* a restore: how many are there. An export: of the
                           piece, or, without bytes, how many there were */
    uint64_t digest;    /* an export without bytes: of all pieces */
    struct bytes bytes; /* of a piece; borrowed */
};

/* Of pieces, one after the other; 0 to begin with. */
uint64_t archive_digest(uint64_t digest, struct bytes piece);

void archive_ask_encode(const struct archive_ask *ask, struct writer *writer);

/* ERR_MALFORMED, ERR_VERSION; ERR_TOO_LARGE: a piece is */
FALLIBLE archive_ask_decode(struct archive_ask *out, struct bytes bytes);

/* The writer fails when it is too small. */
void archive_answer_encode(const struct archive_answer *answer,
                           struct writer *writer);
FALLIBLE archive_answer_decode(struct archive_answer *out, struct bytes bytes);

#endif
