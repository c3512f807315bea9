/*
 * What a node does for the coordinators that it leads: it brings their ready
 * tasks to agents that have credit, and what agents say to the coordinators.
 *
 * An agent says how many tasks of a pool it takes, over all that it was ever
 * given (`granted`, as a window): so whoever pushes never floods, and nothing
 * is asked for one by one. An agent whose own node has nothing grants to others
 * that have: that is stealing. A task that is given away stays in the books of
 * its home coordinator.
 *
 * Pure; owned by the links' reactor.
 */

#ifndef SHARD_TASK_DISPATCHER_H
#define SHARD_TASK_DISPATCHER_H

#include "shard/task_coordinator.h"

struct dispatcher;

struct dispatcher_home {
    void *context;
    const struct clock *clock;
    const struct entropy *entropy;
    const struct task_pools *(*pools)(void *context);
    uint32_t (*shard_count)(void *context);
    /* See struct coordinator_home. */
    enum err (*propose)(void *context, uint32_t shard, struct bytes command);
    /* To the agent of a node, our own as well. What cannot be sent is lost with
     * that node's process, or its link is full: then false. */
    bool (*send)(void *context, uint32_t node, struct bytes message);
    /* Call `visit` for each node whose agent may run tasks: all members but
     * those that are down or hold no workers. */
    void (*each_node)(void *context,
                      void (*visit)(void *context, uint32_t node),
                      void *visit_context);
    /* dispatcher_turn_end() is to be called at the end of this turn. */
    void (*wake)(void *context);
    /* Tell dispatcher_hear_end() when a task of a shard that is led elsewhere
     * has ended; asked once for each. */
    void (*watch)(void *context, uint64_t id);
#ifdef TROUPE_FAULTS
    enum task_fault fault;
#endif
};

/* ERR_MEMORY */
FALLIBLE dispatcher_open(struct dispatcher **out,
                         const struct dispatcher_home *home);
void dispatcher_close(struct dispatcher **dispatcher);

/* Our own number among the nodes; before that we are none of them. */
void dispatcher_set_self(struct dispatcher *dispatcher, uint32_t node);

/* A coordinator for a shard that has a replica here; it stands by. ERR_MEMORY
 */
FALLIBLE dispatcher_add(struct dispatcher *dispatcher,
                        uint32_t shard,
                        struct coordinator **out);
void dispatcher_remove(struct dispatcher *dispatcher, uint32_t shard);
/* NULL: none. */
struct coordinator *dispatcher_find(const struct dispatcher *dispatcher,
                                    uint32_t shard);

/* See coordinator_lead(). */
void dispatcher_lead(struct dispatcher *dispatcher,
                     uint32_t shard,
                     uint64_t term);
void dispatcher_follow(struct dispatcher *dispatcher, uint32_t shard);
void dispatcher_pools_changed(struct dispatcher *dispatcher);

/* From an agent. ERR_MALFORMED: what could be read has been done */
FALLIBLE dispatcher_receive(struct dispatcher *dispatcher,
                            uint32_t node,
                            struct bytes message);

/* A link to it is there (again). */
void dispatcher_node_up(struct dispatcher *dispatcher, uint32_t node);
/* It is another process now: what the one before had is lost. */
void dispatcher_node_begun(struct dispatcher *dispatcher, uint32_t node);

void dispatcher_hear_end(struct dispatcher *dispatcher,
                         uint64_t id,
                         enum task_state state);

/* Waits for a task's end. The caller's, until `done` was called or
 * dispatcher_unwatch(). */
struct task_watcher {
    /* Once. `end` is borrowed; with an error NULL: ERR_NOT_FOUND (no such task,
     * or it was volatile and went with its leader), ERR_NOT_LEADER */
    void (*done)(struct task_watcher *watcher,
                 enum err err,
                 const struct task_end *end);
    /* Any number of times before: what it says of itself. It must not end the
     * watching. May be NULL. */
    void (*said)(struct task_watcher *watcher, const struct task_said *said);
    uint64_t id;

    /* Of the dispatcher. */
    struct task_watcher *next;
    bool is_watching;
};

/* Call `done` when it has ended, which may be at once; `said` at once with what
 * it has said last. */
void dispatcher_watch(struct dispatcher *dispatcher,
                      struct task_watcher *watcher);
void dispatcher_unwatch(struct dispatcher *dispatcher,
                        struct task_watcher *watcher);

void dispatcher_tick(struct dispatcher *dispatcher);
uint64_t dispatcher_due_ns(const struct dispatcher *dispatcher);
void dispatcher_turn_end(struct dispatcher *dispatcher);

/* Whether any agent has asked for tasks of this pool. */
bool dispatcher_is_asked(const struct dispatcher *dispatcher, const char *pool);

/* How many tasks of a pool are ready here, for the digest of the bus: [[pool,
 * count] ...]; 0 are left out. */
void dispatcher_write_load(const struct dispatcher *dispatcher,
                           struct writer *writer);
uint64_t dispatcher_ready(const struct dispatcher *dispatcher,
                          const char *pool);
/* After dispatcher_turn_end(): whether there are some that nobody has credit
 * for. */
bool dispatcher_is_short(const struct dispatcher *dispatcher);

struct dispatcher_stats {
    uint64_t pushed; /* tasks given to our own agent */
    uint64_t stolen; /* given to others' */
    uint64_t steals; /* that brought something */
    uint64_t dry;    /* that did not */
    uint64_t malformed;
};
const struct dispatcher_stats *dispatcher_stats(
    const struct dispatcher *dispatcher);

/* Tasks that an agent has of ours now, and by whom it was heard last. */
struct dispatcher_agent {
    uint32_t node;
    uint64_t heard_ms_ago;
    uint64_t credit; /* over all pools */
};
void dispatcher_agents_each(const struct dispatcher *dispatcher,
                            void (*visit)(void *context,
                                          const struct dispatcher_agent *agent),
                            void *context);

#endif
