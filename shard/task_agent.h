/*
 * A node's pool agent: it gets tasks for the workers of its node, from the
 * coordinators of its own node first, and from busier ones when those have
 * nothing; and it brings the results back.
 *
 * It grants as much as its workers soon need: some more than there are workers
 * when tasks are short, so that none waits for the next message. It keeps each
 * result until a coordinator has recorded or refused it: after a change of
 * leader the new one asks what is run here, and hears of results again.
 *
 * Pure; owned by the links' reactor.
 */

#ifndef SHARD_TASK_AGENT_H
#define SHARD_TASK_AGENT_H

#include "base/env.h"
#include "shard/task_wire.h"

struct agent;

struct agent_home {
    void *context;
    const struct clock *clock;
    const struct entropy *entropy; /* whom to steal from, of equals */
    const struct workers *workers;
    /* To the dispatcher of a node, our own as well. False: it cannot be
     * reached. */
    bool (*send)(void *context, uint32_t node, struct bytes message);
    /* Call `visit` for each node that may lead shards. */
    void (*each_node)(void *context,
                      void (*visit)(void *context, uint32_t node),
                      void *visit_context);
    /* agent_turn_end() is to be called at the end of this turn. */
    void (*wake)(void *context);
    /* A result was refused: the task was not ours any more. May be NULL. */
    void (*on_late)(void *context, uint64_t id, uint64_t token);
};

struct agent_limits {
    uint32_t ahead_max; /* tasks of a pool that wait here for a worker */
    uint64_t ahead_us;  /* so much work shall wait: the more the shorter
                           tasks are */
    uint32_t alive_ms;  /* between signs of life */
    uint32_t steal_pause_ms_min; /* after one that brought nothing; doubles */
    uint32_t steal_pause_ms_max;
    bool steals_nothing; /* only our own node's tasks */
};
void agent_limits_defaults(struct agent_limits *limits);

/* ERR_MEMORY */
FALLIBLE agent_open(struct agent **out,
                    const struct agent_home *home,
                    const struct agent_limits *limits);
/* No run may be under way (agent_leave(), until agent_is_idle()), or the
 * workers are closed. */
void agent_close(struct agent **agent);

/* Others from now on. */
void agent_set_limits(struct agent *agent, const struct agent_limits *limits);

/* Our number; nothing is asked for before. */
void agent_set_self(struct agent *agent, uint32_t node);

/* Have the workers of these pools; NULL: none (any more). ERR_MEMORY: as
 * before */
FALLIBLE agent_set_pools(struct agent *agent, const struct task_pools *pools);

/* From a dispatcher. ERR_MALFORMED: what could be read has been done */
FALLIBLE agent_receive(struct agent *agent,
                       uint32_t node,
                       struct bytes message);

/* It is another process now: it knows nothing of our credit. */
void agent_node_begun(struct agent *agent, uint32_t node);

/* From the bus: what dispatcher_write_load() of that node wrote. */
void agent_on_load(struct agent *agent, uint32_t node, struct reader *load);

/* This node ends: take nothing more, give back what has not begun. What runs
 * goes on until agent_is_idle(); agent_abandon() ends it as well. */
void agent_leave(struct agent *agent);
void agent_abandon(struct agent *agent);
/* Nothing runs here, and all results are recorded or refused. */
bool agent_is_idle(const struct agent *agent);

void agent_tick(struct agent *agent);
uint64_t agent_due_ns(const struct agent *agent);
void agent_turn_end(struct agent *agent);

/* The attempt at a task that is with the workers here; NULL: none. */
struct run *agent_run(const struct agent *agent, uint64_t id);

struct agent_stats {
    uint64_t taken;    /* tasks, of our own node */
    uint64_t stolen;   /* tasks, of others */
    uint64_t steals;   /* asked for */
    uint64_t dry;      /* of them, that brought nothing */
    uint64_t finished; /* attempts */
    uint64_t late;     /* of them, refused */
    uint64_t malformed;
};
const struct agent_stats *agent_stats(const struct agent *agent);

struct agent_pool {
    const char *name;
    uint32_t workers;
    uint64_t held;       /* running, or waiting for a worker */
    uint64_t unrecorded; /* results that are kept */
    uint64_t finished;   /* since the pool is here */
    uint64_t stolen;     /* tasks */
};
void agent_pools_each(const struct agent *agent,
                      void (*visit)(void *context,
                                    const struct agent_pool *pool),
                      void *context);

#endif
