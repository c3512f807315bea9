/*
 * Whole nodes of many Raft groups in a virtual world: durable logs on disks
 * that lose and damage what they hold, messages that are lost, late and
 * doubled, clients, an operator who replaces what is lost; and the promises of
 * consensus, checked after every turn of every node:
 *
 * - A term of a group has one leader at most, and a leader has all that was
 *   committed in terms before its own.
 * - What is committed never changes, and is the same on all replicas.
 * - Replicas that have applied the same are in the same state.
 * - What clients saw is linearizable; what was acknowledged is there, what was
 *   refused never happened.
 * - What is kept in memory is bounded.
 * - When faults are over each group has all its replicas, all the same, and
 *   everything that waited is finished.
 */

#ifndef TESTS_SIM_CLUSTER_SIM_H
#define TESTS_SIM_CLUSTER_SIM_H

#include "cluster/group.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef TROUPE_FAULTS
/* Deliberate faults of what is around the groups. */
enum sim_fault {
    SIM_FAULT_NONE,
    SIM_FAULT_LOST_RETURNS, /* a replica without its log, as who it was */
    SIM_FAULT_DISK_LIES,    /* it says that it has synced */
    SIM_FAULT_COUNT,
};
#endif

struct cluster_sim_config {
    uint64_t seed;
    bool trace; /* say what happens on stderr */
#ifdef TROUPE_FAULTS
    enum raft_fault raft_fault;
    enum group_fault group_fault;
    enum sim_fault sim_fault;
#endif
};

struct cluster_sim_result {
    uint64_t operations; /* of clients: finished */
    uint64_t unknown;    /* of clients: nobody knows */
    uint64_t faults;
    uint64_t virtual_ns;
    uint64_t messages;
    uint64_t entries;    /* committed */
    uint64_t leaders;    /* elected */
    uint64_t starts;     /* of nodes */
    uint64_t lost;       /* replicas that were lost */
    uint64_t members;    /* added, promoted and removed */
    uint64_t snapshots;  /* installed from another replica */
    uint64_t digest;     /* of everything that happened, in order */
    char broken[256];    /* the promise that was broken; "": none */
    const char *checker; /* who found it; static */
};

struct cluster_sim_result cluster_sim_run(
    const struct cluster_sim_config *config);

#endif
