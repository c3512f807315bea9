/*
 * What processes ask of this node about tasks: HOST_SERVICE_TASK, see
 * shard/task_request.h.
 *
 * It divides a submission among shards, and has it committed through the
 * router, or taken by a leader of a volatile pool's tasks; it waits for ends
 * where the shards are led.
 *
 * Owned by the links' reactor.
 */

#ifndef NODE_TASK_SERVICE_H
#define NODE_TASK_SERVICE_H

#include "node/tasks.h"

struct task_service;

struct task_service_config {
    struct tasks *tasks;
    struct host *host;
    struct router *router;
    struct calls *calls;
    struct reactor *reactor;
    const struct clock *clock;
    const struct entropy *entropy;
    uint32_t request_max; /* under way at the same time; 0: a default */
};

/* Serves from now on. ERR_MEMORY */
FALLIBLE task_service_open(struct task_service **out,
                           const struct task_service_config *config);

/* All that wait hear ERR_CLOSED. Before the router, `tasks` and the host. */
void task_service_close(struct task_service **service);

/* See struct tasks_config: tell `tasks` when that task has ended. */
void task_service_watch(struct task_service *service, uint64_t id);

/*
 * The same from within this process, without a link. `question` is copied.
 * `done` is called once, not within the call; until then the asker's object
 * must live.
 */
struct task_ask {
    void (*done)(struct task_ask *ask, enum err err, struct bytes answer);
    struct call call;
};
FALLIBLE task_service_ask(struct task_service *service,
                          struct bytes question,
                          uint32_t timeout_ms,
                          struct task_ask *ask);

/*
 * A random number for a submission of this process (shard/task_request.h), not
 * 0, chosen so that tasks which may go anywhere go to a shard that is led here,
 * if that is easily found: one that is alone is done sooner so. Many are better
 * spread over all shards, by any random number.
 */
uint64_t task_service_number(const struct task_service *service);

/* `done` will not be called. Nothing happens when it is not under way. */
void task_service_cancel(struct task_service *service, struct task_ask *ask);

#endif
