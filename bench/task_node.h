/*
 * The submitters of the suite `task`: in each node's process, on the reactor
 * of the node, as a program that has a node in it would be.
 *
 * Parent and nodes talk through shared memory.
 */

#ifndef BENCH_TASK_NODE_H
#define BENCH_TASK_NODE_H

#include "base/err.h"
#include "base/histogram.h"
#include "bench/cluster_nodes.h"
#include "node/workers.h"
#include "shard/task_pool.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TASK_BENCH_PAYLOAD_BYTES 100
#define TASK_BENCH_BATCH 1000 /* tasks in a submission */
#define TASK_BENCH_WINDOW 4   /* submissions of a node under way */

/* What tasks are: they do nothing, take a while, or are commands. */
extern const struct workers_function task_bench_functions[];
extern const uint32_t task_bench_function_count;

struct task_bench_node {
    /* The parent's. */
    _Atomic uint64_t wanted;  /* tasks to submit in all */
    _Atomic uint64_t singles; /* tasks to submit one at a time, and await */

    /* The node's. */
    _Atomic bool has_pool;
    _Atomic uint64_t accepted; /* tasks */
    _Atomic uint64_t done;     /* of those that this node leads */
    _Atomic uint64_t ready;    /* the same */
    _Atomic uint64_t stolen;   /* by our workers */
    _Atomic uint64_t singles_done;
    _Atomic uint64_t cpu_ns;
    _Atomic uint64_t resident_bytes;
    _Atomic uint64_t led;        /* shards */
    struct histogram latency_ns; /* of singles */
};

struct task_bench {
    /* Before the nodes start. */
    struct task_pool pool; /* nothing in it is on the heap */
    bool steals;
    uint32_t batch;
    uint32_t window;
    bool is_command;    /* the payload is one: /bin/true */
    uint32_t pool_home; /* the pool is single: a name is found for it whose
                           shard this node leads; CLUSTER_NOBODY: as it is */

    _Atomic bool begins; /* now the pool may be made */
    struct task_bench_node nodes[CLUSTER_NODES_MAX];
    _Atomic bool has_failed;
    struct err_detail why;
};

/* For struct cluster_plan; `context` is the struct task_bench. */
void task_node_begin(void *context, uint32_t number, struct node *node);

#endif
