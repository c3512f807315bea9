/*
 * The workers of a node: run what the pool agent gives them (shard/task_run.h)
 * as threads (node/threads.h) or in processes (node/processes.h).
 *
 * Owned by the reactor.
 */

#ifndef NODE_WORKERS_H
#define NODE_WORKERS_H

#include "base/err.h"
#include "base/log.h"
#include "base/reactor.h"
#include "shard/task_run.h"
#include "troupe/task.h"

#include <stdbool.h>
#include <stdint.h>

struct workers_crew;

/* A C function that pools may name. */
struct workers_function {
    const char *name;
    troupe_task_handler *handler;
};

struct workers_config {
    struct reactor *reactor;
    struct log *log;
    const struct workers_function *functions; /* must outlive it */
    uint32_t function_count;
    bool allows_commands; /* the setting node.exec: else every command and
                             plug-in is refused, whatever pools say */
    const char *runner;   /* troupe-runner's path; NULL: beside this program */
};

/* What a pool's workers do now, and have done since it was known. */
struct workers_figures {
    uint32_t running; /* or with a thread's deque */
    uint32_t waiting;
    uint64_t steals; /* between threads */
};

/* ERR_MEMORY */
FALLIBLE workers_open(struct workers_crew **out,
                      const struct workers_config *config);

/* What runs is ended: processes are killed, functions are asked and waited
 * for. No run is told any more; those that were given may be freed then. The
 * reactor must not run. */
void workers_close(struct workers_crew **crew);

/* Valid until workers_close(). A pool that is not among set_pools() has no
 * workers here: its runs fail. */
const struct workers *workers_table(const struct workers_crew *crew);

/* Whether a pool's tasks may run here: commands and plug-ins where the operator
 * allows them, functions that there are. */
bool workers_may_run(const struct workers_crew *crew,
                     const struct task_pool *pool);

/* All zero for a pool that is not known. */
struct workers_figures workers_look(const struct workers_crew *crew,
                                    const char *pool);

/* How often the process that runs commands and plug-ins was started: more than
 * once is bad. */
uint64_t workers_runner_starts(const struct workers_crew *crew);

#endif
