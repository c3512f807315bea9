/*
 * Three processes (or one) that form a cluster on this machine, over loopback
 * TCP and the disk, and clients in each of them: what the suite `raft`
 * measures.
 *
 * Parent and nodes talk through shared memory, so that what a killed node has
 * acknowledged is known.
 */

#ifndef BENCH_RAFT_CLUSTER_H
#define BENCH_RAFT_CLUSTER_H

#include "base/err.h"
#include "base/histogram.h"
#include "base/time_units.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define RAFT_CLUSTER_NODES_MAX 3
#define RAFT_CLUSTER_GROUPS_MAX 256
#define RAFT_CLUSTER_PATH_BYTES 256
#define RAFT_CLUSTER_PORTS 4 /* of one node: a door and pair listeners */

struct raft_cluster_job {
    uint32_t node_count; /* all of them are members of every group */
    uint32_t group_count;
    uint32_t outstanding; /* commands, in all; evenly over the groups */
    bool is_idle;         /* no load: nodes look at the phase seldom */
    uint16_t port_first;
    char folder[RAFT_CLUSTER_PATH_BYTES];
};

enum raft_phase {
    RAFT_PHASE_SETTLE, /* every group gets the leader that is meant for it */
    RAFT_PHASE_LOAD,
    RAFT_PHASE_DRAIN, /* nothing new; then the sums are told */
};

/* What a node counts of one group. Each command adds one. */
struct raft_tally {
    _Atomic uint64_t asked;   /* commands that were taken in */
    _Atomic uint64_t acked;   /* known to be committed */
    _Atomic uint64_t refused; /* known not to be */
    _Atomic uint64_t applied_index;
    _Atomic uint64_t digest;
    _Atomic int64_t sum; /* of the replica's counters */
    _Atomic uint64_t acked_round;
    _Atomic uint64_t acked_round_ns; /* the first acknowledged in that round */
    _Atomic bool is_led;             /* and its leader is settled */
};

struct raft_node_report {
    _Atomic uint32_t settled_count; /* groups led as meant */
    _Atomic uint32_t outstanding;
    _Atomic uint64_t look_count; /* the report is new */
    _Atomic uint64_t cpu_ns;
    _Atomic uint64_t resident_bytes;
    struct raft_tally groups[RAFT_CLUSTER_GROUPS_MAX];
    struct histogram latency_ns;
    struct err_detail why;
};

struct raft_cluster_shared {
    struct raft_cluster_job job;
    _Atomic enum raft_phase phase;
    _Atomic bool is_recording; /* latencies */
    _Atomic uint64_t round;    /* of failures; 0: none yet */
    _Atomic uint32_t victim;   /* does not count in this round */
    struct raft_node_report nodes[RAFT_CLUSTER_NODES_MAX];
};

struct raft_cluster {
    struct raft_cluster_shared *shared;
    pid_t children[RAFT_CLUSTER_NODES_MAX];
};

/* The node whose leader a group is meant to have. */
static inline uint32_t raft_cluster_meant(const struct raft_cluster_job *job,
                                          uint32_t group)
{
    return group % job->node_count;
}

/*
 * Start the nodes in a new folder (see log_host_folder()) and wait until every
 * group is led as meant.
 *
 * ERR_IO, ERR_MEMORY, ERR_TIMEOUT, ERR_CLOSED (a node has ended)
 */
FALLIBLE raft_cluster_open(struct raft_cluster *cluster,
                           const struct raft_cluster_job *job,
                           struct err_detail *why);

/* End the nodes, remove their folders. */
void raft_cluster_close(struct raft_cluster *cluster);

/* Let time pass. ERR_CLOSED: a node has ended. */
FALLIBLE raft_cluster_sleep(struct raft_cluster *cluster,
                            uint64_t duration_ns,
                            struct err_detail *why);

FALLIBLE raft_cluster_settle(struct raft_cluster *cluster,
                             struct err_detail *why);

void raft_cluster_kill(struct raft_cluster *cluster, uint32_t node);
FALLIBLE raft_cluster_restart(struct raft_cluster *cluster, uint32_t node);
void raft_cluster_pause(struct raft_cluster *cluster, uint32_t node);
void raft_cluster_resume(struct raft_cluster *cluster, uint32_t node);

/* Commands acknowledged so far. */
uint64_t raft_cluster_acked(const struct raft_cluster *cluster);

/*
 * Stop the load, wait until replicas are equal, and see that nothing that was
 * acknowledged is lost and nothing happened twice.
 *
 * ERR_MALFORMED   it is not so: `why` says what
 * ERR_TIMEOUT, ERR_CLOSED
 */
FALLIBLE raft_cluster_verify(struct raft_cluster *cluster,
                             struct err_detail *why);

#endif
