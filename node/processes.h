/*
 * Runs in processes: commands, and functions of plug-ins. One spawner
 * (base/posix/posix_spawner.h) has them all; it is started with the first.
 *
 * Owned by the reactor.
 */

#ifndef NODE_PROCESSES_H
#define NODE_PROCESSES_H

#include "base/err.h"
#include "base/log.h"
#include "base/reactor.h"
#include "shard/task_run.h"

#include <stdint.h>

struct processes;

struct processes_config {
    const char *program; /* troupe-runner's path; copied */
    struct reactor *reactor;
    struct log *log;
    /* A run that was given, by whom, has ended. */
    void (*on_ended)(void *giver,
                     struct run *run,
                     const struct run_result *result);
};

/* ERR_MEMORY, ERR_LIMIT */
FALLIBLE processes_open(struct processes **out,
                        const struct processes_config *config);

/* All processes have ended when it returns; no run is told any more. The
 * reactor must not run. */
void processes_close(struct processes **processes);

/*
 * Run it; run->own is ours until it has ended.
 *
 * ERR_MALFORMED, ERR_DENIED   `why` says what is wrong with the task
 * ERR_MEMORY
 */
FALLIBLE processes_start_command(struct processes *processes,
                                 struct run *run,
                                 void *giver,
                                 struct err_detail *why);
FALLIBLE processes_start_plugin(struct processes *processes,
                                struct run *run,
                                void *giver);

/* It is asked to end, and killed when it does not; on_ended() follows. */
void processes_cancel(struct processes *processes, struct run *run);

/* See struct workers: of a command that was started. ERR_FULL, ERR_MEMORY */
FALLIBLE processes_look(struct processes *processes,
                        struct run *run,
                        struct run_look *look);
void processes_unlook(struct processes *processes, struct run_look *look);

/* Plug-ins are loaded anew from here on. */
void processes_renew(struct processes *processes);

/* How often the spawner was started. */
uint64_t processes_start_count(struct processes *processes);

#endif
