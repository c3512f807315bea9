/*
 * One group's members, made what they shall be: a pure decision, one step at a
 * time, by whoever leads the group.
 *
 * Add what is missing as a learner, have it begin on its node, promote it when
 * it has caught up, then remove what is not wanted, then hand leadership to
 * the owner, last of all have those that left drop what they have. A replica
 * that lost its disk or its log is removed first, and comes back under a new
 * number.
 */

#ifndef SHARD_RECONCILE_H
#define SHARD_RECONCILE_H

#include "store/raft_configuration.h"

#include <stdbool.h>
#include <stdint.h>

#define RECONCILE_WANTED_MAX 9

/* What is known of a node that matters to the group. */
struct reconcile_node {
    uint32_t number;
    bool is_up;       /* heard of late */
    uint64_t disk_id; /* by the view; 0: not known */
};

/* What is known of a member. */
struct reconcile_member {
    bool is_begun;     /* it has answered under its number */
    bool is_lost;      /* its node says that it lost what it had under this
                          number: not of one that was never begun */
    bool is_caught_up; /* it has what is committed: it may be promoted, lead,
                          or stay when others leave; of self it does not
                          matter, as all of these */
};

struct reconcile_state {
    const struct raft_configuration *members; /* newest */
    bool is_committed;                        /* they are */
    uint64_t self;                            /* the leader's number */
    uint32_t wanted[RECONCILE_WANTED_MAX];    /* nodes, each once; the first is
                                                 the owner */
    uint32_t wanted_count;
    bool keeps_leader; /* the owner does not matter */
    struct reconcile_member facts[RAFT_MEMBERS_MAX]; /* of members, in order */
    /* Of each node of `members` and `wanted`, valid until the next call.
     * NULL: it is as one that is away. */
    const struct reconcile_node *(*node)(const void *context, uint32_t number);
    const void *context;
};

enum reconcile_kind {
    RECONCILE_NOTHING,     /* all is as it shall be, and there */
    RECONCILE_WAIT,        /* for something that is under way or away */
    RECONCILE_RECONFIGURE, /* to `next` */
    RECONCILE_BEGIN,       /* have `node` begin replica `number` */
    RECONCILE_TRANSFER,    /* to `number` */
};

struct reconcile_step {
    enum reconcile_kind kind;
    struct raft_configuration next;
    uint32_t node;
    uint64_t number;
    const char *why; /* for people; static */
};

/*
 * What to do next, of the leader's knowledge. A step may fail or be lost: the
 * next look finds what is to be done then.
 *
 * A voter that nobody wants leaves when as many as are wanted have all, and
 * nobody who is wanted is away; the leader leaves last, after it has handed
 * over. Only when all places are taken does one leave before the one that
 * replaces it. Voters change before new replicas begin, so that one that
 * cannot begin holds nobody up.
 */
struct reconcile_step reconcile(const struct reconcile_state *state);

#endif
