/*
 * The nodes of a test: forked, killed, stopped, damaged, waited for.
 *
 * What a node must not do ends the test: to end by itself unasked, or not to
 * come so far within a generous time. What a node writes to its standard error
 * goes to a file, and is shown then.
 */

#ifndef TESTS_PROCESS_REPLICA_CLUSTER_H
#define TESTS_PROCESS_REPLICA_CLUSTER_H

#include "tests/process/replica.h"
#include "tests/support/temp_folder.h"

struct replica_cluster {
    struct temp_folder temp;
    struct replica_shared *shared;
    pid_t processes[REPLICA_NODES_MAX]; /* 0: is not up */
};

/* Start the nodes, and wait until each group is led and all have it. */
void replica_cluster_open(struct replica_cluster *cluster,
                          const struct replica_plan *limits);

/* Kill what is up, remove all files. */
void replica_cluster_close(struct replica_cluster *cluster);

/* Wait until the node is up. */
void replica_cluster_start(struct replica_cluster *cluster, uint32_t node);

/* The same without waiting. */
void replica_cluster_fork(struct replica_cluster *cluster,
                          const struct replica_start *start);

void replica_cluster_kill(struct replica_cluster *cluster, uint32_t node);

/* Let it end in order. */
void replica_cluster_stop(struct replica_cluster *cluster, uint32_t node);

/* Wait until it has ended by itself: its exit code. */
int replica_cluster_await_end(struct replica_cluster *cluster, uint32_t node);

/* Another process tries to run this node; it must end with `err`, and what it
 * says why must hold `words`. */
void replica_cluster_check_refused(struct replica_cluster *cluster,
                                   const struct replica_start *start,
                                   enum err err,
                                   const char *words);

/* Wait until clients were acknowledged this many times more. They go on. */
void replica_cluster_load(struct replica_cluster *cluster, uint64_t count);

/*
 * Let clients finish what they have begun, and wait until all replicas of the
 * nodes that are up are equal. Then each counter must hold what was
 * acknowledged.
 */
void replica_cluster_settle(struct replica_cluster *cluster);

/* Wait until this is true of all replicas on a node. */
void replica_cluster_await(struct replica_cluster *cluster,
                           uint32_t node,
                           bool (*is_true)(const struct replica_view *view));

/* Whether the node has written a line with these words, in any of its lives
 * since it was last forgotten what it said. */
bool replica_cluster_has_said(const struct replica_cluster *cluster,
                              uint32_t node,
                              const char *words);

void replica_cluster_forget_said(const struct replica_cluster *cluster,
                                 uint32_t node);

/* "DATA_DIR/NODE/name"; of the node itself when `name` is "". */
struct replica_path {
    char text[512];
};
struct replica_path replica_cluster_path(const struct replica_cluster *cluster,
                                         uint32_t node,
                                         const char *name);

#endif
