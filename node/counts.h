/*
 * What a node counts, in the registry that /metrics shows: sampled from the
 * layers, which keep plain numbers of their own, a few times a second.
 *
 * Owned by the links' reactor.
 */

#ifndef NODE_COUNTS_H
#define NODE_COUNTS_H

#include "base/metrics.h"
#include "shard/router.h"

struct counts;

struct counts_config {
    struct metrics *metrics;
    const struct host *host;
    const struct calls *calls;
    const struct raft_links *raft_links;
    struct endpoint *endpoint;
};

/* ERR_FULL (of the registry), ERR_MEMORY */
FALLIBLE counts_open(struct counts **out, const struct counts_config *config);
void counts_close(struct counts **counts);

/* Look at everything once. `router` may be NULL: the node ends. */
void counts_sample(struct counts *counts,
                   const struct router *router,
                   bool is_ready);

#endif
