/*
 * Nodes and where their shards stand, with no node to ask: from a configuration
 * (as it would be founded) or from what nodes have answered and a bundle has
 * kept. Says what a node would say (docs/control.md), by the same functions.
 *
 * Pure; owned by one thread.
 */

#ifndef ADMIN_SHARD_VIEW_H
#define ADMIN_SHARD_VIEW_H

#include "base/bytes.h"
#include "base/err.h"
#include "config/settings.h"

#include <jansson.h>

struct shard_view;

/* As the configuration's founding would place them. ERR_MEMORY */
FALLIBLE shard_view_of_settings(struct shard_view **out,
                                const struct settings *settings);

/*
 * Of answers to node.ls and shard.map.
 *
 * ERR_MALFORMED   they are not: `why` says what is wrong
 * ERR_MEMORY
 */
FALLIBLE shard_view_of_answers(struct shard_view **out,
                               const json_t *nodes,
                               const json_t *map,
                               struct err_detail *why);
void shard_view_close(struct shard_view **view);

/* Below, the answer is the caller's; NULL: no memory. */

/* As of shard.locate; `leader` is nil. */
json_t *shard_view_locate(const struct shard_view *view,
                          struct bytes type,
                          struct bytes id);

/* As of shard.map, with the keys that a map alone can tell. */
json_t *shard_view_map(const struct shard_view *view);

/* All the moves that founding is: from nothing to the map. */
json_t *shard_view_founding(const struct shard_view *view);

/*
 * As of shard.plan, with lists of names more and less; NULL: none.
 *
 * ERR_INVALID     that is no name, or there are too many
 * ERR_EXISTS      one that is more is there already
 * ERR_NOT_FOUND   one that is less is not
 * ERR_MEMORY
 */
FALLIBLE shard_view_plan(const struct shard_view *view,
                         const json_t *add,
                         const json_t *remove,
                         json_t **out,
                         struct err_detail *why);

#endif
