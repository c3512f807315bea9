/*
 * What the files of the coordinator share.
 *
 *   task_coordinator.c         life, leading, requests, the clock
 *   task_coordinator_stage.c   where a task stands that waits
 *   task_coordinator_lease.c   who works on it, and what comes of it
 *   task_coordinator_schedule.c   what is submitted by itself
 */

#ifndef SHARD_TASK_COORDINATOR_CORE_H
#define SHARD_TASK_COORDINATOR_CORE_H

#include "base/time_units.h"
#include "shard/task_coordinator.h"
#include "shard/task_queue.h"

#define AGENT_COUNT_MAX 512 /* MEMBER_NUMBERS_MAX */
#define LOOK_COUNT 256      /* what attempts say of themselves, remembered */
#define AFTER_SLOT_COUNT 256

/* Of a pool, in this shard. */
struct pool_work {
    struct pool_work *next;
    char name[CERTIFICATE_NAME_BYTES];
    const struct task_pool *settings; /* NULL: there is no such pool now */
    struct ready_queue ready;
    uint64_t leased;
    bool is_told; /* that it has ready tasks */

    /* For a rate: so many may begin now, in millionths. */
    uint64_t allowance;
    uint64_t allowance_ns;
};

/* A task of ours waits until that one has ended. */
struct after {
    struct after *next;
    uint64_t id;
    uint64_t waiting_id;
};

/* Ends of attempts, for one entry of the log. */
struct ends {
    struct ends *next;
    struct task_parcel parcel;
};

struct attempt_look {
    uint64_t id;
    uint64_t token;
    struct task_said said;
};

struct coordinator {
    struct coordinator_home home;
    uint32_t shard;
    struct book *book;
    uint64_t term;       /* 0: it does not lead */
    uint64_t token_term; /* of the newest token, and its number in it: */
    uint32_t counter;
    struct pool_work *pools;
    struct order_queues orders;
    struct due_heap due;
    struct after *afters[AFTER_SLOT_COUNT]; /* by the id waited for */
    struct task_chain *leased;              /* by agent; AGENT_COUNT_MAX */

    uint64_t suspects; /* tasks that somebody may work on */
    uint64_t suspects_until_ns;

    /* What is to be proposed. */
    struct ends *ends;    /* the newest first; NULL: nothing */
    uint64_t marking;     /* up to where; 0: nothing is under way */
    uint64_t propose_ns;  /* what could not be proposed: not before */
    uint64_t trim_ns;     /* when it is looked for what is to be forgotten */
    int64_t schedules_ms; /* wall time: when schedules are looked at */

    struct attempt_look *looks; /* LOOK_COUNT; NULL: none yet */
    struct coordinator_stats stats;
};

static inline uint64_t coordinator_now_ns(const struct coordinator *coordinator)
{
    return clock_now_ns(coordinator->home.clock);
}

static inline int64_t coordinator_wall_ms(const struct coordinator *coordinator)
{
    return clock_wall_ms(coordinator->home.clock);
}

/* ---- task_coordinator.c ---- */

void coordinator_wake(struct coordinator *coordinator);
/* NULL: no memory. */
struct pool_work *pool_work_of(struct coordinator *coordinator,
                               const struct task *task);
struct pool_work *pool_work_find(const struct coordinator *coordinator,
                                 const char *name);
uint64_t lease_ms_of(const struct pool_work *pool);

/* ---- task_coordinator_stage.c ---- */

/* It waits: put it where it belongs by all that it may have to wait for. */
void stage(struct coordinator *coordinator,
           struct task *task,
           bool is_in_front);
/* It waits no more, or for something else: take it out of where it stands. */
void unstage(struct coordinator *coordinator, struct task *task);
/* Take it out of its list: one that is waited for less. */
void free_after(struct coordinator *coordinator, struct after **link);
/* It has ended: others may go. */
void stage_next(struct coordinator *coordinator, struct task *task);
/* Tell of ready tasks, if none were and some are. */
void tell_ready(struct coordinator *coordinator, struct pool_work *pool);

/* ---- task_coordinator_schedule.c ---- */

/* Submit what is due, or pass it over; say when to look again. */
void look_at_schedules(struct coordinator *coordinator);

/* ---- task_coordinator_lease.c ---- */

void unlease(struct coordinator *coordinator, struct task *task);
/* It is to end, or to be tried again: recorded with the next proposal, and of
 * a volatile task at once. */
void end_task(struct coordinator *coordinator,
              struct task *task,
              const struct book_end *end);
/* What is suspect is suspect no more. */
void clear_suspects(struct coordinator *coordinator);

#endif
