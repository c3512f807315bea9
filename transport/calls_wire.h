/*
 * Questions and answers as bytes: one MessagePack array each.
 *
 *     [version, 0, id, service, timeout_ms, question]
 *     [version, 1, id, err, answer]
 *
 * `id` is the asker's and comes back as it was. `err` is a number of
 * base/err.h; 0: it was done. `timeout_ms` says how long the asker will wait.
 *
 * To change the format: new elements at the end, which are skipped by those
 * who do not know them; or else raise CALLS_VERSION and let both be read. The
 * first three elements stay for ever, so that a question of an unknown version
 * can be answered with ERR_VERSION.
 *
 * Pure functions.
 */

#ifndef TRANSPORT_CALLS_WIRE_H
#define TRANSPORT_CALLS_WIRE_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdint.h>

#define CALLS_VERSION 1
#define CALLS_WIRE_OVERHEAD_BYTES 32 /* at most, besides the content */

enum calls_wire_kind {
    CALLS_WIRE_QUESTION,
    CALLS_WIRE_ANSWER,
};

struct calls_wire {
    enum calls_wire_kind kind;
    uint64_t id;
    uint64_t service;    /* QUESTION; of any size: it need not exist */
    uint32_t timeout_ms; /* QUESTION */
    enum err err;        /* ANSWER */
    struct bytes content;
};

void calls_wire_write(struct writer *writer, const struct calls_wire *wire);

/*
 * `out->content` is borrowed from `message`. An error that we do not know
 * becomes ERR_UNCERTAIN.
 *
 * ERR_VERSION     another version: `kind` and `id` are set
 * ERR_MALFORMED   nothing is
 */
FALLIBLE calls_wire_read(struct calls_wire *out, struct bytes message);

#endif
