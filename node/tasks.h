/*
 * Tasks on one node: the dispatcher for the coordinators that are led here,
 * the agent for the workers, and the way between both and those of other nodes.
 *
 * Owned by the links' reactor.
 */

#ifndef NODE_TASKS_H
#define NODE_TASKS_H

#include "shard/router.h"
#include "shard/shard_machine.h"
#include "shard/task_agent.h"
#include "shard/task_dispatcher.h"

struct tasks;

struct tasks_config {
    struct reactor *reactor;
    const struct clock *clock;
    const struct entropy *entropy;
    struct log *log;
    struct endpoint *endpoint;
    const struct workers *workers; /* NULL: this node runs no tasks */
    /* Whether they may run a pool's tasks. NULL: all */
    bool (*may_run)(void *context, const struct task_pool *pool);
    void *may_run_context;
    uint8_t channel;
    /* See struct dispatcher_home. */
    void (*watch)(void *context, uint64_t id);
    void *watch_context;
#ifdef TROUPE_FAULTS
    enum task_fault fault;
#endif
};

/* Before the host, which opens the shards' machines. ERR_MEMORY */
FALLIBLE tasks_open(struct tasks **out, const struct tasks_config *config);

/* From now on what shards decide goes to their groups, and messages come. */
void tasks_attach(struct tasks *tasks, struct host *host);

/* Nothing passes any more: before the host is closed. */
void tasks_detach(struct tasks *tasks);

/* After the host. No run may be under way: tasks_leave(), tasks_abandon(),
 * until tasks_are_idle(), or the workers are closed. */
void tasks_close(struct tasks **tasks);

/* A coordinator and its place in the machine of a shard that begins here, and
 * the end of both. ERR_MEMORY */
FALLIBLE tasks_add(struct tasks *tasks,
                   uint32_t shard,
                   struct coordinator **out);
void tasks_set_machine(struct tasks *tasks,
                       uint32_t shard,
                       struct shard_machine *machine);
void tasks_remove(struct tasks *tasks, uint32_t shard);

/* Of host_events, endpoint_events. */
void tasks_on_view(struct tasks *tasks, const struct view *view);
void tasks_on_leader(struct tasks *tasks, uint32_t shard);
void tasks_on_change(struct tasks *tasks,
                     struct peer *peer,
                     enum peer_change change);
void tasks_on_digest(struct tasks *tasks,
                     const char *from,
                     struct bytes digest);

/* This node ends: its workers take nothing more; what runs comes to its end,
 * or is ended. */
void tasks_leave(struct tasks *tasks);
void tasks_abandon(struct tasks *tasks);
bool tasks_are_idle(const struct tasks *tasks);

struct dispatcher *tasks_dispatcher(struct tasks *tasks);
struct agent *tasks_agent(struct tasks *tasks);
const struct task_pools *tasks_pools(const struct tasks *tasks);

/* By number; of the view as it was taken last. */
const struct members *tasks_members(const struct tasks *tasks);

/* How many shards there are; 0: not known yet. */
uint32_t tasks_shard_count(const struct tasks *tasks);

/* The coordinator that leads a shard here; NULL: none does. */
struct coordinator *tasks_led(const struct tasks *tasks, uint32_t shard);
/* One of the shards that are led here, another one each time; UINT32_MAX: none
 * is. */
uint32_t tasks_any_led(struct tasks *tasks);

/* Something was asked of a dispatcher, a coordinator or the agent: what they
 * have to say is said when this turn ends. */
void tasks_wake(struct tasks *tasks);

#endif
