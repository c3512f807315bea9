/*
 * What a log must hold after some records, in the plainest way; random
 * records that a log may be given; and what a log does hold.
 */

#ifndef TESTS_SUPPORT_LOG_MODEL_H
#define TESTS_SUPPORT_LOG_MODEL_H

#include "store/wal.h"
#include "tests/support/seeded.h"

#define LOG_MODEL_GROUP_COUNT 6
#define LOG_MODEL_INDEX_MAX 2048
#define LOG_MODEL_BYTES_MAX 300 /* of a record */

struct log_model_entry {
    uint64_t term;
    uint64_t digest; /* of its type and bytes */
};

struct log_model_group {
    bool is_there;
    bool is_lost;
    uint64_t term;
    uint64_t vote;
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    uint64_t configuration; /* digest */
    uint64_t last_index;
    struct log_model_entry entries[LOG_MODEL_INDEX_MAX + 1]; /* by index */
};

struct log_model {
    struct log_model_group groups[LOG_MODEL_GROUP_COUNT]; /* by number */
};

/* Take in a record: what wal.h says of it. */
void log_model_apply(struct log_model *model, const struct wal_record *record);

/* A digest of everything that counts. */
uint64_t log_model_digest(const struct log_model *model);

/* Make a record that may be appended now; its bytes are in `buffer`. */
struct wal_record log_model_invent(const struct log_model *model,
                                   struct seeded *random,
                                   uint8_t buffer[static LOG_MODEL_BYTES_MAX]);

/* Fill the model with what a log holds that has been opened and not yet been
 * appended to. As wal_replay(). */
FALLIBLE log_model_read(struct log_model *out, struct wal *log);

#endif
