/*
 * Nodes that hold replicas of a few groups, each in a process of its own: real
 * links, a real disk, counter maps. And clients, whose state lies in memory
 * that all processes share, so that it is known what a killed node had
 * acknowledged.
 *
 * Each client has a counter of its own, and adds one to it again and again, at
 * whichever node leads; what was begun and not acknowledged is asked again with
 * the same idempotency key. So at the end each counter holds exactly what was
 * acknowledged.
 */

#ifndef TESTS_PROCESS_REPLICA_H
#define TESTS_PROCESS_REPLICA_H

#include "base/err.h"
#include "store/raft_configuration.h"
#include "tests/support/test_node.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define REPLICA_NODES_MAX 3
#define REPLICA_GROUPS 3
#define REPLICA_CLIENTS 4 /* of each group */
#define REPLICA_PORTS 4   /* of a node */

/* Set by the test, before a node starts. */
struct replica_plan {
    uint32_t node_count; /* all of them are members of every group */
    char host[TEST_HOST_BYTES];
    uint16_t port_first;
    char data_dir[256];
    size_t snapshot_log_bytes; /* 0: no snapshots */
    uint64_t segment_bytes;
};

struct replica_client {
    _Atomic uint64_t begun; /* how often it has begun to add one */
    _Atomic uint64_t acknowledged;
};

struct replica_group {
    struct replica_client clients[REPLICA_CLIENTS];

    /* A replica that was lost comes back under this number; 0: none does.
     * Written by the leader, after `members`. */
    _Atomic uint64_t joining;
    struct raft_configuration members;
};

enum replica_state {
    REPLICA_ABSENT, /* the node has not come so far */
    REPLICA_OPEN,
    REPLICA_REFUSED,
};

/* How a node's replica of a group is. */
struct replica_view {
    _Atomic enum replica_state state;
    _Atomic enum err err; /* REPLICA_REFUSED */
    char why[512];

    /* REPLICA_OPEN */
    _Atomic bool leads; /* and has committed in its term */
    _Atomic bool has_state;
    _Atomic uint64_t number;
    _Atomic uint64_t commit_index;
    _Atomic uint64_t applied_index;
    _Atomic uint64_t stored_index; /* of its snapshot */
    _Atomic uint64_t digest;
    _Atomic int64_t values[REPLICA_CLIENTS]; /* of the counters */
};

/* What a node tells, and is told. */
struct replica_node {
    _Atomic uint64_t look_count; /* the views are new; 0: it is not up */
    _Atomic enum err err;        /* why it has ended */
    char why[512];
    struct replica_view views[REPLICA_GROUPS];

    _Atomic bool must_stop;
    _Atomic bool syncs_fail; /* of the durable log */
};

struct replica_shared {
    struct replica_plan plan;
    _Atomic bool is_loaded; /* clients begin something new */
    _Atomic bool is_wrong;  /* a client was told what cannot be */
    struct replica_group groups[REPLICA_GROUPS];
    struct replica_node nodes[REPLICA_NODES_MAX];
};

/* How a node is started. */
struct replica_start {
    uint32_t number;
    const char *name; /* NULL: its own */
    bool is_of_other_cluster;
    uid_t user; /* 0: nothing changes */
};

/* A node's name. */
#define REPLICA_NAME_BYTES 16
void replica_name(char out[static REPLICA_NAME_BYTES], uint32_t number);

/*
 * Run a node until it is told to stop, or must end. Returns the exit code of
 * the process, which must end then: 0 when it was told.
 */
int replica_run(struct replica_shared *shared,
                const struct replica_start *start);

#endif
