/*
 * The files of a cluster under measurement, made in a process of its own:
 * FOLDER/cluster has what `troupe cluster init` makes, and a client's keys.
 */

#ifndef BENCH_CLUSTER_FOUNDING_H
#define BENCH_CLUSTER_FOUNDING_H

#include "bench/cluster_node.h"

/*
 * For process_start(): a struct cluster_node_start, of which `node` does not
 * matter. On failure `shared->why` says why.
 *
 * what founding_make() and authority_issue() say
 */
enum err cluster_founding_run(void *start);

#endif
