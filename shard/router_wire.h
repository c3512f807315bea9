/*
 * Requests as nodes, clients and operators send them to HOST_SERVICE_REQUEST,
 * and what comes back when the one who was asked does not lead. Pure.
 *
 * A question: array of version, shard, flags (1: read, 2: may repeat, 4: for
 * the archive), hops, command (bin). An answer to it is what the shard's
 * machine says, unless the error is ERR_NOT_LEADER: then array of version, who
 * leads (nil: nobody knows), version of the view. More fields may follow in
 * either.
 */

#ifndef SHARD_ROUTER_WIRE_H
#define SHARD_ROUTER_WIRE_H

#include "base/bytes.h"
#include "base/err.h"

#define ROUTER_HOPS_MAX 4
#define ROUTER_HINT_BYTES_MAX 24

struct router_ask {
    uint32_t shard;
    bool is_read;     /* a question, answered linearizably */
    bool may_repeat;  /* doing it twice is doing it once */
    bool for_archive; /* shard/archive_wire.h, not the shard's own machine */
    struct bytes command;
    uint32_t timeout_ms; /* not in its encoded form: the call has its own */
};

/*
 * Nodes, clients and operators may ask, observers only read; the archive
 * listens to nodes and operators. How the one who is asked treats it, `hops`
 * says:
 *
 *   0        as its own: it waits, asks others, and repeats what may be
 *   1        it answers at once, with ERR_NOT_LEADER and who leads if it
 *            does not
 *   2 and up to ROUTER_HOPS_MAX: it passes it on to who leads, once, with one
 *            hop more
 */
size_t router_ask_bytes_max(const struct router_ask *ask);
void router_ask_encode(const struct router_ask *ask,
                       uint8_t hops,
                       struct writer *writer);
/* `command` is borrowed. ERR_MALFORMED, ERR_VERSION */
FALLIBLE router_ask_decode(struct router_ask *out,
                           uint8_t *hops,
                           struct bytes bytes);

struct router_hint {
    uint32_t leader; /* MEMBER_NONE: nobody knows */
    uint64_t view_version;
};

void router_hint_encode(const struct router_hint *hint, struct writer *writer);

/* ERR_MALFORMED, ERR_VERSION */
FALLIBLE router_hint_decode(struct router_hint *out, struct bytes bytes);

#endif
