/*
 * Submitting many tasks, and waiting for what becomes of them.
 *
 * Tasks go in batches, each with a number that nobody else uses: so a batch
 * may be sent again when nobody knows whether it arrived. While some are
 * submitted the ends of others are asked for, and not more are open at a time
 * than TASK_JOB_OPEN_MAX. When the pool is full the job waits for room.
 *
 * One thread; Ctrl-C must be held (admin/interrupt.h).
 */

#ifndef ADMIN_TASK_JOB_H
#define ADMIN_TASK_JOB_H

#include "admin/task_talk.h"
#include "shard/task.h"

#define TASK_JOB_OPEN_MAX 16384

enum task_job_next {
    TASK_JOB_READY,
    TASK_JOB_LATER, /* there is none just now */
    TASK_JOB_END,   /* there are no more */
};

struct task_job_result {
    uint64_t number;
    uint64_t id;  /* 0: it was not accepted */
    enum err err; /* why it was not, or nothing is known of it any more */
    const struct task_end *end; /* NULL with an error; borrowed */
};

/* So far. */
struct task_job_sum {
    uint64_t accepted; /* those that were there already included */
    uint64_t known;    /* there already, by their keys */
    uint64_t rejected;
    uint64_t done;
    uint64_t failed; /* dead, cancelled, expired, lost */
};

struct task_job_config {
    struct task_talk *talk;
    const char *pool;
    bool waits;        /* for the ends */
    bool keeps_order;  /* tells ends in the order of submission */
    bool refuses_full; /* waits for no room */
    void *context;
    /* The next task, with a number of the caller's; `spec` is borrowed until
     * the next call. Waits at most `wait_ms`. */
    enum task_job_next (*next)(void *context,
                               uint32_t wait_ms,
                               uint64_t *number,
                               struct task_spec *spec);
    /* May be NULL. */
    void (*accepted)(void *context, uint64_t number, uint64_t id);
    /* It was not accepted, or has ended. */
    void (*ended)(void *context, const struct task_job_result *result);
    /* What the only task that is open says of itself. May be NULL. */
    void (*said)(void *context, const struct task_said *said);
    /* Now and then. May be NULL. */
    void (*tick)(void *context, const struct task_job_sum *sum);
};

/*
 * Until there are no more, and those that are waited for have ended; or Ctrl-C.
 * What goes wrong with the cluster is said, and its exit code given.
 */
enum exit_code task_job_run(const struct task_job_config *config,
                            struct task_job_sum *sum);

#endif
