/*
 * The threads of one pool of C functions.
 *
 * The reactor spreads runs over deques, one for each thread; a thread takes
 * the oldest of its own, and when there is none it steals the oldest of
 * another's: so one that blocks holds up nobody but itself. Owned by the
 * reactor.
 */

#ifndef NODE_THREADS_H
#define NODE_THREADS_H

#include "base/err.h"
#include "base/reactor.h"
#include "shard/task_run.h"
#include "troupe/task.h"

#include <stdbool.h>
#include <stdint.h>

#define THREADS_COUNT_MAX 1024

struct threads;

struct threads_config {
    troupe_task_handler *handler;
    struct reactor *reactor;
    void *context;
    /* On the reactor: a run that was given has ended. */
    void (*on_ended)(void *context,
                     struct run *run,
                     const struct run_result *result);
    /* On the reactor, after some of them: there is room for more. */
    void (*on_room)(void *context);
};

/* No threads yet. ERR_MEMORY */
FALLIBLE threads_open(struct threads **out,
                      const struct threads_config *config);

/* The threads have ended when it returns: handlers are told that they are
 * cancelled, and waited for. What has not ended is not told any more. The
 * reactor must not run. */
void threads_close(struct threads **threads);

/* Have so many; with none, nothing may be left to run. Those that are too many
 * end after what they run. On failure there are fewer. ERR_MEMORY,
 * ERR_LIMIT */
FALLIBLE threads_set_count(struct threads *threads, uint32_t count);

/* Run it; run->own is the threads' until it has ended. ERR_FULL: later;
 * ERR_MEMORY */
FALLIBLE threads_start(struct threads *threads, struct run *run);

/* True: it had not begun, and never will; on_ended() is not called. Else it is
 * asked to end. */
bool threads_cancel(struct run *run);

/* Since open: runs that a thread has taken from another's deque. Any thread. */
uint64_t threads_steal_count(const struct threads *threads);

/* Runs that have not ended; threads. */
uint32_t threads_run_count(const struct threads *threads);
uint32_t threads_count(const struct threads *threads);

#endif
