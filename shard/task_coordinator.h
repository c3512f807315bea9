/*
 * The coordinator of a shard: which task goes next, who works on it, what
 * becomes of it. It leads where the shard's group is led; elsewhere it stands
 * by, and has nothing.
 *
 * What must survive is in the book (shard/task_book.h). Everything here is
 * volatile, and made anew from the book by a new leader: queues by priority and
 * tenant, delays, tasks in order, tasks that wait for others, and leases, which
 * are not replicated. So a new leader does not know who works on what: tasks
 * that may have been given out (book_marked()) wait until every node's agent
 * has presented what it runs, or for one lease time; what nobody presents is
 * queued again.
 *
 * Giving out a task, and taking its result, costs the same however many tasks
 * and workers there are.
 *
 * Pure; owned by its group's reactor.
 */

#ifndef SHARD_TASK_COORDINATOR_H
#define SHARD_TASK_COORDINATOR_H

#include "base/env.h"
#include "shard/task_book.h"
#include "shard/task_wire.h"

struct coordinator;

/* What it needs of the node. Borrowed, outlives it. */
struct coordinator_home {
    void *context;
    const struct clock *clock;
    const struct entropy *entropy; /* jitter of retries */
    const struct task_pools *(*pools)(void *context);
    uint32_t (*shard_count)(void *context);
    /* Propose a command of ours to the shard's group. When that fails it is
     * not proposed, and tried again. */
    enum err (*propose)(void *context, uint32_t shard, struct bytes command);
    /* Tasks of a pool may be taken (coordinator_take()), where none were. */
    void (*on_ready)(void *context,
                     struct coordinator *coordinator,
                     const char *pool);
    /* coordinator_turn_end() is to be called at the end of this turn. */
    void (*wake)(void *context, struct coordinator *coordinator);
    /* What an agent has done with this attempt is recorded, or is refused
     * because the task was not its own any more. */
    void (*ack)(void *context,
                uint32_t agent,
                uint64_t id,
                uint64_t token,
                bool is_recorded);
    /* Nobody wants this attempt any more. */
    void (*cancel)(void *context, uint32_t agent, uint64_t id, uint64_t token);
    /* A task has ended; it may go soon. */
    void (*on_end)(void *context, const struct task *task);
    /* The attempt that is under way says something of itself. */
    void (*on_said)(void *context,
                    const struct task *task,
                    const struct task_said *said);
    /* Tell coordinator_hear_end() when that task, of whichever shard, has
     * ended. */
    void (*watch)(void *context, uint32_t shard, uint64_t id);
    /* For how many ends all coordinators together wait: they count it. */
    uint64_t *waits;
    /* It does not lead any more: what was decided is dropped, or its book is
     * another one. coordinator_lead() begins anew. */
    void (*on_reset)(void *context, struct coordinator *coordinator);
#ifdef TROUPE_FAULTS
    enum task_fault fault;
#endif
};

/* ERR_MEMORY */
FALLIBLE coordinator_open(struct coordinator **out,
                          uint32_t shard,
                          const struct coordinator_home *home);
void coordinator_close(struct coordinator **coordinator);

/* Its book, and the machine of that. */
struct book *coordinator_book(struct coordinator *coordinator);
uint32_t coordinator_shard(const struct coordinator *coordinator);

/* The group is led here, and all that was committed is applied; or not any
 * more. */
void coordinator_lead(struct coordinator *coordinator, uint64_t term);
void coordinator_follow(struct coordinator *coordinator);
/* 0: it does not lead. */
uint64_t coordinator_term(const struct coordinator *coordinator);

/* The pools have changed. */
void coordinator_pools_changed(struct coordinator *coordinator);

/* ---- giving out ---- */

/* Give the next task of a pool to an agent: it has a lease on it now. NULL:
 * none may be given out. */
const struct task *coordinator_take(struct coordinator *coordinator,
                                    const char *pool,
                                    uint32_t agent,
                                    struct task_assignment *out);
/* How many tasks of a pool are ready. */
uint64_t coordinator_ready(const struct coordinator *coordinator,
                           const char *pool);

/* ---- what agents say ---- */

/* False: the task was not its own any more; ack() has said so. */
bool coordinator_finish(struct coordinator *coordinator,
                        uint32_t agent,
                        const struct task_finish *finish);
void coordinator_progress(struct coordinator *coordinator,
                          uint32_t agent,
                          uint64_t id,
                          uint64_t token,
                          uint32_t done_of_1000,
                          struct bytes text);

/* After coordinator_lead(): it still runs that attempt. */
void coordinator_present(struct coordinator *coordinator,
                         uint32_t agent,
                         uint64_t id,
                         uint64_t token);
/* All agents have presented what they run: nobody works on the rest. */
void coordinator_presented(struct coordinator *coordinator);

/* Its process has ended: so have its attempts. */
void coordinator_agent_gone(struct coordinator *coordinator, uint32_t agent);
/* It has not been heard for so long: leases that are shorter have ended. */
void coordinator_agent_silent(struct coordinator *coordinator,
                              uint32_t agent,
                              uint64_t silent_ms);

/* ---- the rest ---- */

void coordinator_hear_end(struct coordinator *coordinator,
                          uint64_t id,
                          enum task_state state);
/* Whoever was to tell of tasks of that shard cannot any more: call watch() for
 * them again, which does not tell at once. */
void coordinator_watch_again(struct coordinator *coordinator, uint32_t shard);

/* A request of others: to a volatile pool, or about volatile tasks, it is
 * answered here, and true is returned. Else it is for the group. */
bool coordinator_request(struct coordinator *coordinator,
                         struct bytes request,
                         struct writer *reply,
                         enum err *err);

/* What is due by now: delays, deadlines, and what is to be forgotten. */
void coordinator_tick(struct coordinator *coordinator);
/* When it is to be called next, in ns of the clock; UINT64_MAX: never. */
uint64_t coordinator_due_ns(const struct coordinator *coordinator);
void coordinator_turn_end(struct coordinator *coordinator);

/* What a task does now, for people. */
enum task_work {
    WORK_NONE,    /* it has ended, or this is not the leader */
    WORK_READY,   /* it may go any time */
    WORK_DELAYED, /* not before its time */
    WORK_BEHIND,  /* another with its order key goes before */
    WORK_AFTER,   /* tasks that must be done before are not */
    WORK_LEASED,  /* task->agent works on it */
    WORK_SUSPECT, /* somebody may work on it, for the last leader */
    WORK_ENDING,  /* what came of it is about to be recorded */
    WORK_STATE_COUNT,
};
const char *task_work_name(enum task_work work);

struct coordinator_look {
    uint64_t leased_ms; /* for how long this attempt runs */
    struct task_said said;
};
struct coordinator_look coordinator_look(const struct coordinator *coordinator,
                                         const struct task *task);

struct coordinator_stats {
    uint64_t given;      /* attempts */
    uint64_t given_away; /* of them, to other nodes */
    uint64_t late;       /* results that were refused */
    uint64_t stalled;    /* leases that ended with their agents */
    uint64_t presented;  /* after a change of leader */
    uint64_t requeued;   /* that nobody presented */
};
const struct coordinator_stats *coordinator_stats(
    const struct coordinator *coordinator);

#endif
