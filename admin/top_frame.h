/*
 * One picture of `troupe top`: nodes, shards, pools and rates, as text.
 *
 * One thread.
 */

#ifndef ADMIN_TOP_FRAME_H
#define ADMIN_TOP_FRAME_H

#include "admin/remote.h"

/* What was looked at, and when. All zero: nothing yet. */
struct top_look {
    json_t *status; /* cluster.status */
    json_t *nodes;  /* node.ls */
    json_t *pools;  /* pool_ls_fetch() */
    json_t *map;    /* shard.map */
    uint64_t at_ns;
};

void top_look_clear(struct top_look *look);

/* What is wrong is said. */
enum exit_code top_look_take(struct top_look *out,
                             const struct command *command,
                             struct remote *remote);

/* Rates are those since `before`; when that is nothing, they are left out. */
FALLIBLE top_frame_print(FILE *out,
                         const struct top_look *before,
                         const struct top_look *now);

#endif
