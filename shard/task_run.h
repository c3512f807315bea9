/*
 * Running tasks: what a node's pool agent (shard/task_agent.h) asks of the
 * workers, whatever they are: threads, processes, or the simulator's.
 */

#ifndef SHARD_TASK_RUN_H
#define SHARD_TASK_RUN_H

#include "shard/task_pool.h"

enum run_status {
    RUN_DONE,      /* `output` is the result */
    RUN_FAILED,    /* it may be tried again: `why` */
    RUN_REFUSED,   /* trying again would not help: no such command, not allowed,
                      a payload that makes no sense: `why` */
    RUN_TIMED_OUT, /* after the pool's timeout_ms; it was killed */
    RUN_CRASHED,   /* its process was ended by a signal, that `why` names */
    RUN_CANCELLED, /* by workers.cancel() */
    RUN_STATUS_COUNT,
};

struct run_result {
    enum run_status status;
    /* Borrowed. Of a command a MessagePack map {"exit", "stdout", "stderr",
     * "signal"?, "cut"?}, also when it failed; of a function what it wrote. */
    struct bytes output;
    const char *why; /* "": nothing to say */
};

/*
 * One attempt at one task. Embedded in its giver's object; it must live, with
 * what it borrows, until `done` was called.
 */
struct run {
    /* Once, on the agent's reactor, never within start(). `result` is
     * borrowed. */
    void (*done)(struct run *run, const struct run_result *result);
    /* On the agent's reactor, any number of times before: how far it is, in
     * thousandths, and what it says about it (""). May be NULL. */
    void (*progress)(struct run *run, uint32_t done_of_1000, const char *text);

    uint64_t task;       /* its id */
    uint64_t token;      /* of this attempt: rises with each, for fencing */
    uint32_t attempt;    /* from 1 on */
    uint32_t timeout_ms; /* 0: none */
    const struct task_pool *pool; /* borrowed */
    struct bytes payload;         /* borrowed */

    /* Of the workers. */
    void *own;
    struct run *next;
};

struct workers {
    void *context;

    /*
     * The pools have changed (names not in `pools` are gone): have as many
     * workers for each as it says. Runs under way go on, also of pools that are
     * gone. `pools` is borrowed for the call; a run's `pool` is its own.
     */
    void (*set_pools)(void *context, const struct task_pools *pools);

    /* Run it when a worker is free, in the order in which they were given;
     * takes any number. */
    void (*start)(void *context, struct run *run);

    /* End it soon, with RUN_CANCELLED unless it has ended otherwise. Known not
     * to have begun: at once. A C function in this process can only be asked:
     * it goes on until it looks (troupe_task_is_cancelled()). */
    void (*cancel)(void *context, struct run *run);
};

#endif
