/*
 * The applied state of a node's groups, as ordered rows: bytes to bytes.
 *
 * Nothing here is on the commit path, and nothing is synced but by sync():
 * the log is its write-ahead log, and it can be rebuilt from the log, a
 * snapshot or a peer. The real one is store/rocks_kv.c (RocksDB); the
 * simulated one, tests/sim/sim_kv.c, loses any suffix of the batches that
 * were not synced. Blocks. One thread at a time, but any one.
 *
 * A group's rows begin with its number (u32, big-endian), so that they lie
 * together and in order: see store/row.h.
 */

#ifndef STORE_KV_H
#define STORE_KV_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KV_KEY_BYTES_MAX 1024 /* and at least 1 */

/* Keys from as many bytes 0xff on are the implementation's own: no caller puts
 * or sees them. A range may end there. */
#define KV_OWN_BYTES 4

enum kv_change_kind {
    KV_PUT,
    KV_DELETE,
    KV_DELETE_RANGE, /* from `key`, to before `value`, of 1 byte or more;
                        nothing when that does not come later */
};

struct kv_change {
    enum kv_change_kind kind;
    struct bytes key;
    struct bytes value;
};

struct kv {
    void *context;

    /* All of it or nothing, also after a crash; batches survive in order.
     * ERR_IO, ERR_NO_SPACE, ERR_MEMORY */
    enum err (*write)(void *context,
                      const struct kv_change *changes,
                      size_t count);

    /* `*out` is freed by the caller with free().
     * ERR_NOT_FOUND, ERR_MALFORMED (damaged), ERR_IO, ERR_MEMORY */
    enum err (*get)(void *context,
                    struct bytes key,
                    uint8_t **out,
                    size_t *out_length);

    /*
     * Call `visit` for each row from `from` to before `end` (when it is
     * empty: to the last), in order, until it returns false. Key and value are
     * borrowed for the call, which must not write. ERR_MALFORMED (damaged),
     * ERR_IO, ERR_MEMORY
     */
    enum err (*scan)(void *context,
                     struct bytes from,
                     struct bytes end,
                     bool (*visit)(void *visitor,
                                   struct bytes key,
                                   struct bytes value),
                     void *visitor);

    /* All that was written survives a crash of the machine from now on.
     * ERR_IO, ERR_NO_SPACE */
    enum err (*sync)(void *context);
};

#endif
