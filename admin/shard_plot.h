/*
 * The shard map as an SVG picture: how much each node holds, and every shard in
 * the colour of the node that leads it.
 */

#ifndef ADMIN_SHARD_PLOT_H
#define ADMIN_SHARD_PLOT_H

#include <jansson.h>
#include <stdio.h>

/* Of an answer of shard.map. Names in it may be anything. */
void shard_plot(FILE *out, const json_t *map);

#endif
