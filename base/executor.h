/*
 * Work that may block, done elsewhere and in the order in which it was given.
 *
 * The real one is a thread (base/posix/posix_executor.c); the simulator does
 * the work at some later time, or only a part of it when the power goes.
 */

#ifndef BASE_EXECUTOR_H
#define BASE_EXECUTOR_H

#include "base/reactor.h"

/*
 * Embedded in its giver's object, which must live, and not be given again,
 * until `done` was called.
 */
struct job {
    /* On the executor's thread: may block, and touches nothing that anybody
     * else touches meanwhile. */
    void (*work)(struct job *job);
    /* On the giver's reactor, as part of a turn. */
    void (*done)(struct job *job);
    struct reactor *home; /* the giver's */

    /* Of the executor. */
    struct reactor_event there;
    struct reactor_event back;
};

struct executor {
    void *context;
    /* Take a job; any thread. */
    void (*run)(void *context, struct job *job);
};

static inline void executor_run(const struct executor *executor,
                                struct job *job)
{
    executor->run(executor->context, job);
}

#endif
