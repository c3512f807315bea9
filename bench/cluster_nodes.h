/*
 * A whole cluster on this machine for the suite `cluster`: nodes as trouped
 * opens them (node/node.h), each in a process of its own, over loopback TCP
 * and a disk, and beside them the processes of its clients and its operator.
 *
 * Owned by the one thread of troupe-bench.
 */

#ifndef BENCH_CLUSTER_NODES_H
#define BENCH_CLUSTER_NODES_H

#include "base/err.h"
#include "bench/cluster_load.h"
#include "bench/cluster_steer.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct node;
struct workers_function;

struct cluster_plan {
    uint32_t founder_count;
    uint32_t joiner_count;      /* more nodes, for which there are keys; the
                                   founders' configuration does not name them */
    uint32_t worker_node_count; /* the first of them run tasks; 0: all */
    bool is_without_load;
    bool allows_commands;
    const struct workers_function *functions;
    uint32_t function_count;
    /* In each node's process, before it starts. May be NULL. */
    void (*begin)(void *context, uint32_t number, struct node *node);
    void *context; /* for `begin`: in shared memory */
};

struct cluster_shared {
    struct cluster_plan plan;
    char folder[CLUSTER_PATH_BYTES];
    uint16_t port_first;
    uint32_t node_count; /* with those that join later */
    _Atomic uint64_t ready_ns[CLUSTER_NODES_MAX]; /* 0: not yet */
    struct err_detail why;                        /* why a process has ended */
    struct cluster_load load;
    struct cluster_steer steer;
};

struct cluster_nodes {
    struct cluster_shared *shared;
    pid_t children[CLUSTER_NODES_MAX]; /* 0: is not up */
    pid_t load;
    pid_t steer;
    struct err_detail *why;
    double ready_s; /* from the start of all founders until all are ready */
};

/*
 * Make a cluster in a new folder, start its founders and wait until every
 * shard is whole, and the load is linked with all of them.
 *
 * ERR_IO, ERR_MEMORY, ERR_TIMEOUT, ERR_CLOSED (a process has ended)
 */
FALLIBLE cluster_nodes_open(struct cluster_nodes *nodes,
                            const struct cluster_plan *plan,
                            struct err_detail *why);

/* End all processes, remove the folder. */
void cluster_nodes_close(struct cluster_nodes *nodes);

/* "n1" is node 0. CLUSTER_NOBODY: it is none. */
const char *cluster_nodes_name(uint32_t node);
uint32_t cluster_nodes_find(struct bytes name);

/* Start a process of a node that is not up. ERR_MEMORY */
FALLIBLE cluster_nodes_start(struct cluster_nodes *nodes, uint32_t node);
void cluster_nodes_kill(struct cluster_nodes *nodes, uint32_t node);

/* SIGTERM, and wait until it has ended. ERR_TIMEOUT */
FALLIBLE cluster_nodes_stop(struct cluster_nodes *nodes, uint32_t node);

/* Let time pass. ERR_CLOSED: a process has ended that should not. */
FALLIBLE cluster_nodes_sleep(struct cluster_nodes *nodes, uint64_t duration_ns);

/* Look again and again until `is_so`, which may fail as well. ERR_TIMEOUT:
 * `what` has not come true in time. */
typedef enum err cluster_nodes_look(struct cluster_nodes *nodes,
                                    void *context,
                                    bool *is_so);
FALLIBLE cluster_nodes_await(struct cluster_nodes *nodes,
                             cluster_nodes_look *look,
                             void *context,
                             const char *what);

/* Until the node says that it serves. */
FALLIBLE cluster_nodes_await_ready(struct cluster_nodes *nodes, uint32_t node);

/* Until all members are heard, every shard is where they call for, whole, and
 * led by its owner; then who leads is known to the load. */
FALLIBLE cluster_nodes_await_whole(struct cluster_nodes *nodes,
                                   uint32_t member_count);

/* Ask as the operator; what may pass is asked again for a while. */
FALLIBLE cluster_nodes_ask(struct cluster_nodes *nodes,
                           const struct cluster_steer_question *question,
                           struct reader *answer);

/* ---- the load ---- */

/* What has been ordered is in force when it returns. */
FALLIBLE cluster_nodes_order(struct cluster_nodes *nodes,
                             enum cluster_load_phase phase);

/* A new round begins now. */
FALLIBLE cluster_nodes_round(struct cluster_nodes *nodes);

/* Let the load come to its end, and see that every counter has the value that
 * it must have. ERR_MALFORMED: `why` says what is wrong. ERR_TIMEOUT */
FALLIBLE cluster_nodes_check(struct cluster_nodes *nodes);

#endif
