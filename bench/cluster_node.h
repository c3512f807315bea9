/*
 * One node of a cluster under measurement: a process that does what trouped
 * does.
 */

#ifndef BENCH_CLUSTER_NODE_H
#define BENCH_CLUSTER_NODE_H

#include "bench/cluster_nodes.h"

struct cluster_node_start {
    struct cluster_shared *shared;
    uint32_t node;
};

/*
 * For process_start(): a struct cluster_node_start. Returns when it was asked
 * to end (SIGTERM) and has, or on failure: then `shared->why` says why.
 *
 * what node_open(), node_start() and node_failure() say
 */
enum err cluster_node_run(void *start);

#endif
