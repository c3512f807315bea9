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

/* What a command has written so far. */
struct run_written {
    struct bytes output; /* borrowed: what is kept of it, from there on */
    struct bytes errors;
    uint64_t cut_bytes; /* that were not kept, of both */
};

/* Somebody looks at what a command writes. The asker's, until `done` was called
 * or workers.unlook(). */
struct run_look {
    /* Once, on the agent's reactor, never within look(). ERR_CLOSED: the run
     * has ended, and `written` is NULL. */
    void (*done)(struct run_look *look,
                 enum err err,
                 const struct run_written *written);
    uint64_t output_from;
    uint64_t errors_from;

    /* Of the workers. */
    struct run *run;
    struct run_look *next;
    uint32_t number; /* 0: not under way */
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

    /*
     * Ask what a run has written so far.
     *
     * ERR_REFUSED    it is no command: that is known when it has ended
     * ERR_NOT_FOUND  it has not begun
     * ERR_FULL       too many look just now
     * ERR_MEMORY
     */
    enum err (*look)(void *context, struct run *run, struct run_look *look);
    /* `done` is not called any more. Nothing happens when it is not asked. */
    void (*unlook)(void *context, struct run_look *look);
};

#endif
