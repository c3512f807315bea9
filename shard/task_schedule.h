/*
 * A schedule of a pool: when a task is submitted to it by itself, and which.
 *
 * Plain data; pure. Part of the pool's definition (shard/task_pool.h).
 */

#ifndef SHARD_TASK_SCHEDULE_H
#define SHARD_TASK_SCHEDULE_H

#include "base/cron.h"
#include "shard/task.h"

#define TASK_CATCH_UP_MS_MIN UINT64_C(60000)
#define TASK_CATCH_UP_MS_MAX (UINT64_C(7) * 24 * 3600000)

struct task_schedule {
    char name[CERTIFICATE_NAME_BYTES]; /* no other of the pool has it */
    char text[CRON_TEXT_BYTES];        /* `cron`, as it was written */
    struct cron cron;
    int64_t since_ms;     /* Unix time: what was due before is not asked for */
    uint64_t catch_up_ms; /* an occurrence that is older is passed over */
    bool may_overlap;     /* else one is passed over while the task of the one
                             before has not ended */

    /* What is submitted: payload (one MessagePack value, or nothing), tenant,
     * priority, ttl_ms, timeout_ms, attempts_max; the rest are defaults. What
     * it borrows is in `bytes`. */
    struct task_spec task;
    uint8_t *bytes;
};

/* Sensible values for all but name and cron. */
void task_schedule_defaults(struct task_schedule *schedule);
/* Free what it has. */
void task_schedule_clear(struct task_schedule *schedule);
/* Into `out`, which holds nothing. ERR_MEMORY */
FALLIBLE task_schedule_copy(struct task_schedule *out,
                            const struct task_schedule *from);

/* Whether a pool may have it. ERR_INVALID: `why` names the field, what was
 * found and what is allowed. */
FALLIBLE task_schedule_validate(const struct task_schedule *schedule,
                                const struct task_pool *pool,
                                struct err_detail *why);

/* Since when those of a pool count: of one that is new, or due at other times
 * than `before` (may be NULL), from now on. */
void task_schedules_stamp(struct task_pool *pool,
                          const struct task_pool *before,
                          int64_t now_ms);

/* Behind what its next occurrence is, when it was moved on to `due_s`
 * (book_schedule()): what was before it began is not its own. */
int64_t task_schedule_from_s(const struct task_schedule *schedule,
                             int64_t due_s);

/* NULL: none. */
const struct task_schedule *task_schedule_find(const struct task_pool *pool,
                                               const char *name);

/* A map by the names of the fields, so that fields may be added. */
size_t task_schedule_bytes_max(const struct task_schedule *schedule);
void task_schedule_encode(const struct task_schedule *schedule,
                          struct writer *writer);
/* Into `out`, which holds nothing. Fails the reader, `why` (may be NULL) says
 * what is wrong; `out` holds nothing then. */
void task_schedule_decode(struct task_schedule *out,
                          struct reader *reader,
                          struct err_detail *why);

#endif
