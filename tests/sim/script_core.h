/*
 * What the files of scripts share; nobody else includes it.
 */

#ifndef TESTS_SIM_SCRIPT_CORE_H
#define TESTS_SIM_SCRIPT_CORE_H

#include "base/owner.h"
#include "cluster/raft_wire.h"
#include "tests/sim/cluster_sim_core.h"
#include "tests/sim/script.h"

#include <assert.h>

#define SCRIPT_SHARD 0
#define SCRIPT_REQUESTS_MAX 1024
#define SCRIPT_HELD_MAX 1024

struct request {
    struct group_request request;
    struct script *script;
    struct node *node;
    struct counter_command command;
    history_id operation;
    enum script_state state;
    int64_t answer;
};

/* A message that is kept back. */
struct held {
    struct world_pair pair;
    size_t length;
    uint8_t *bytes;
};

/* What becomes of messages from one node to another. */
struct rule {
    uint32_t lost;   /* kinds */
    uint32_t held;   /* kinds */
    uint64_t behind; /* this index no entry passes */
};

struct script {
    struct sim sim;
    struct rule rules[NODES_MAX][NODES_MAX]; /* from, to */
    struct held held[SCRIPT_HELD_MAX];
    size_t held_count;
    struct request requests[SCRIPT_REQUESTS_MAX];
    size_t request_count;
    struct raft_wire wire; /* a message that is being looked at */

    /* An order to a leader. */
    bool is_done;
    enum err err;
};

static inline struct script *script_of(struct sim *sim)
{
    return OWNER_OF(sim, struct script, sim);
}

static inline bool script_is_broken(const struct script *script)
{
    return script->sim.result.broken[0] != '\0';
}

static inline struct node *script_node(struct script *script, uint32_t node)
{
    assert(node < script->sim.plan.node_count);
    return &script->sim.nodes[node];
}

/* ---- script_message.c ---- */

/* The simulator's `lets_pass`. */
bool script_lets_pass(struct sim *sim,
                      struct world_pair pair,
                      struct bytes message);

#endif
