/*
 * Whole nodes that run tasks, for the suite `task`.
 *
 * Used by the one thread of troupe-bench.
 */

#ifndef BENCH_TASK_CLUSTER_H
#define BENCH_TASK_CLUSTER_H

#include "base/err.h"
#include "bench/cluster_nodes.h"
#include "bench/task_node.h"

#include <stdbool.h>
#include <stdint.h>

struct task_cluster_plan {
    uint32_t node_count; /* 3: replicated three times */
    uint32_t worker_node_count;
    uint32_t workers; /* on each of these */
    bool is_durable;
    bool is_command;
    const char *function;
    bool is_single; /* all tasks are in one shard, */
    uint32_t home;  /* that this node leads */
    bool steals_nothing;
};

struct task_cluster {
    struct task_bench *bench; /* shared with the nodes */
    struct cluster_nodes nodes;
    struct err_detail *why;
};

/* Start it, and wait until the pool is there on all nodes.
 *
 * What cluster_nodes_open() says */
FALLIBLE task_cluster_open(struct task_cluster *cluster,
                           const struct task_cluster_plan *plan,
                           struct err_detail *why);
void task_cluster_close(struct task_cluster *cluster);

/* Have so many tasks submitted by these nodes, each as many, and wait until all
 * are done: the time from the first submission to the last end that is
 * recorded. ERR_TIMEOUT, ERR_CLOSED */
struct task_cluster_load {
    uint64_t count;
    uint32_t submitter_first;
    uint32_t submitter_count;

    /* What came out. */
    double per_second;
    uint64_t cpu_ns; /* of all nodes, for each task */
    double stolen;   /* part of all */
};
FALLIBLE task_cluster_run(struct task_cluster *cluster,
                          struct task_cluster_load *load);

/* The first node submits one after another, each when the last is done. */
FALLIBLE task_cluster_singles(struct task_cluster *cluster, uint64_t count);

#endif
