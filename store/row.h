/*
 * Keys of the rows of store/kv.h, and the mark of what was applied.
 *
 * A key is the group (u32), a kind (u8) and what the kind adds; numbers are
 * big-endian, so that rows lie in the order of their numbers. Plain data;
 * pure. A new kind gets a new number; a kind whose key or value changes gets
 * a new number too.
 */

#ifndef STORE_ROW_H
#define STORE_ROW_H

#include "base/bytes.h"
#include "base/err.h"
#include "store/kv.h"

#include <stdint.h>

#define ROW_HEAD_BYTES 5 /* group and kind */
#define ROW_OWN_BYTES_MAX (KV_KEY_BYTES_MAX - ROW_HEAD_BYTES)
#define ROW_GROUP_MAX (UINT32_MAX - 1)

/* The numbers are stored. */
enum row_kind {
    ROW_APPLIED = 1,        /* one of each group: struct row_applied */
    ROW_SNAPSHOT_PIECE = 2, /* of one snapshot, by its index and the piece's
                               number from 0 on */
    ROW_MACHINE = 3,        /* the state machine's own */
};

struct row_key {
    uint32_t group; /* at most ROW_GROUP_MAX */
    enum row_kind kind;
    uint64_t snapshot_index; /* ROW_SNAPSHOT_PIECE */
    uint32_t piece;          /* ROW_SNAPSHOT_PIECE */
    struct bytes own;        /* ROW_MACHINE: of the machine; borrowed */
};

/*
 * Write a key into `to`; `*out` borrows it.
 * ERR_TOO_LARGE: `own` is longer than ROW_OWN_BYTES_MAX
 */
FALLIBLE row_key_encode(uint8_t to[static KV_KEY_BYTES_MAX],
                        const struct row_key *key,
                        struct bytes *out);

/* ERR_MALFORMED: not a key as row_key_encode() makes them */
FALLIBLE row_key_decode(struct row_key *out, struct bytes key);

/* Of neighbouring rows: from `from` to before `end`, which point into it. Do
 * not copy. */
struct row_range {
    struct bytes from;
    struct bytes end;
    uint8_t from_bytes[KV_KEY_BYTES_MAX];
    uint8_t end_bytes[KV_KEY_BYTES_MAX];
};

void row_range_of_group(struct row_range *out, uint32_t group);
void row_range_of_kind(struct row_range *out,
                       uint32_t group,
                       enum row_kind kind);
/* The pieces of the snapshot at an index. */
void row_range_of_snapshot(struct row_range *out,
                           uint32_t group,
                           uint64_t snapshot_index);
/* The machine's rows whose own keys begin with `own`. ERR_TOO_LARGE */
FALLIBLE row_range_of_own(struct row_range *out,
                          uint32_t group,
                          struct bytes own);

/* The value of ROW_APPLIED: the entry that was applied last. */
struct row_applied {
    uint64_t index;
    uint64_t term;
};

#define ROW_APPLIED_BYTES 17 /* version, index, term */

void row_applied_encode(uint8_t to[static ROW_APPLIED_BYTES],
                        const struct row_applied *applied);

/* ERR_MALFORMED, ERR_VERSION (of a newer release) */
FALLIBLE row_applied_decode(struct row_applied *out, struct bytes value);

#endif
