/*
 * Whole nodes up to their shards in one thread, from one seed: members, the
 * map, moves, drains, requests from everywhere.
 *
 * Real links over the world's network, real groups on simulated disks. Faults
 * come for a while, then all must be well again; then a node leaves in good
 * order, and one is cut off. At last a majority is gone for good, with or
 * without its disks, while nothing is under way, and survivors recover. The
 * promises that are checked:
 *
 * - A term of a group has one leader at most, and all replicas apply the same.
 * - A voter has its replica; a shard is moved when its last move is over.
 * - A node's view never goes back, and places shards on members alone.
 * - What clients are told fits one order for each counter; what must not be
 *   repeated happens once at most, what was refused never.
 * - Each request is answered once and in time; by a node that is cut off with
 *   ERR_NO_QUORUM.
 * - A node that leaves in good order costs nobody a request.
 * - What survivors had is there after a recovery, and what is accepted after
 *   it; old disks that come back change nothing of it.
 * - A task that is accepted is done once, or ends otherwise with a reason; its
 *   result is its own, and of the newest attempt in the term that records it.
 *   Who has a lease has it alone; order and dependencies hold; in the end
 *   nothing waits, and nobody keeps a result.
 * - When all is calm, all nodes have one view, the map is within its bounds,
 *   and every shard is whole and led by its owner.
 */

#ifndef TESTS_SIM_SHARD_SIM_H
#define TESTS_SIM_SHARD_SIM_H

#include "shard/host_fault.h"
#include "shard/task_fault.h"

#include <stdbool.h>
#include <stdint.h>

struct shard_sim_config {
    uint64_t seed;
    bool trace; /* say what happens on stderr */
#ifdef TROUPE_FAULTS
    enum host_fault fault;
    enum task_fault task_fault;
#endif
};

struct shard_sim_result {
    char broken[256];    /* the promise that was broken; "": none */
    const char *checker; /* who found it; static */
    uint64_t digest;
    uint64_t virtual_ns;
    uint64_t requests;
    uint64_t faults;
    uint64_t answered;
    uint64_t uncertain; /* may have happened or not */
    uint64_t refused;   /* and nothing happened */
    uint64_t moves;     /* places changed */
    uint64_t views;
    uint64_t joins;
    uint64_t forgotten; /* members */
    uint64_t restarts;
    uint64_t leaves;    /* in good order */
    uint64_t lost;      /* disks, or parts of them */
    uint64_t snapshots; /* restored */
    uint64_t tasks;     /* that clients know to be accepted */
    uint64_t attempts;
    uint64_t tasks_ended; /* durable ones */
    uint64_t fired;       /* occurrences of schedules: with a task, */
    uint64_t passed;      /* passed over */
    uint64_t restored;    /* shards, from a backup */
};

struct shard_sim_result shard_sim_run(const struct shard_sim_config *config);

/*
 * What a large cluster costs, printed: founding, one node more, one less, and
 * when nothing happens. No faults, no clients. False: it did not converge.
 */
struct shard_scale {
    uint32_t node_count;
    uint32_t shard_count;
    bool as_json; /* as troupe-bench prints its results */
};
bool shard_sim_scale(const struct shard_scale *scale);

#endif
