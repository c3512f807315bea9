/*
 * One node of the cluster that the suite `raft` measures, and its clients.
 *
 * A client lives on the reactor of the groups, in the process of the leader,
 * and has one command under way: it asks for the next when the last one's
 * completion was called.
 */

#ifndef BENCH_RAFT_NODE_H
#define BENCH_RAFT_NODE_H

#include "bench/raft_cluster.h"

/* Runs until the process is ended; returns on failure only. */
enum err raft_node_run(struct raft_cluster_shared *shared, uint32_t number);

#endif
