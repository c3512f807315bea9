/*
 * What nodes say to each other about requests: the question is in
 * shard/router.h, here is what comes back when the one who was asked does not
 * lead. Pure.
 *
 * A question: array of version, shard, flags (1: read, 2: may repeat), hops,
 * command (bin). An answer to it is what the shard's machine says, unless the
 * error is ERR_NOT_LEADER: then array of version, who leads (nil: nobody
 * knows), version of the view. More fields may follow in either.
 */

#ifndef SHARD_ROUTER_WIRE_H
#define SHARD_ROUTER_WIRE_H

#include "shard/router.h"

#define ROUTER_HINT_BYTES_MAX 24

struct router_hint {
    uint32_t leader; /* MEMBER_NONE: nobody knows */
    uint64_t view_version;
};

void router_hint_encode(const struct router_hint *hint, struct writer *writer);

/* ERR_MALFORMED, ERR_VERSION */
FALLIBLE router_hint_decode(struct router_hint *out, struct bytes bytes);

#endif
