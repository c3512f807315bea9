/*
 * Tasks that are about to be submitted together, encoded.
 *
 * Plain data, all zero when empty; one thread.
 */

#ifndef ADMIN_TASK_BATCH_H
#define ADMIN_TASK_BATCH_H

#include "base/buffer.h"
#include "shard/task.h"

#define TASK_BATCH_COUNT_MAX 1000
#define TASK_BATCH_BYTES_MAX (512u << 10) /* at least one task is in */

struct task_batch {
    struct buffer specs;
    uint32_t count;
    uint64_t numbers[TASK_BATCH_COUNT_MAX]; /* the caller's */
    size_t ends[TASK_BATCH_COUNT_MAX];      /* where each spec ends */
};

void task_batch_clear(struct task_batch *batch);

/* Whether it should be submitted before more is added. */
bool task_batch_is_full(const struct task_batch *batch);

/* It must not be full. ERR_MEMORY */
FALLIBLE task_batch_add(struct task_batch *batch,
                        uint64_t number,
                        const struct task_spec *spec);

/* Leave those tasks in it whose place in `keeps` is true. */
void task_batch_keep(struct task_batch *batch, const bool *keeps);

/* The whole request (TASK_REQUEST_SUBMIT), appended to `to`. ERR_MEMORY */
FALLIBLE task_batch_encode(const struct task_batch *batch,
                           const char *pool,
                           uint64_t submission,
                           struct buffer *to);

#endif
