/*
 * What a task handler sees (include/troupe/task.h), from the other side: that
 * of a worker thread, or of the host of a plug-in.
 *
 * Owned by the handler's thread while it runs.
 */

#ifndef NODE_TASK_H
#define NODE_TASK_H

#include "base/buffer.h"
#include "base/bytes.h"
#include "troupe/task.h"

#include <stdatomic.h>
#include <stdint.h>

#define TASK_WHY_BYTES 256
#define TASK_PROGRESS_BYTES 128 /* of its text */

struct troupe_task {
    struct bytes payload; /* borrowed */
    uint64_t id;
    uint64_t token;
    uint32_t attempt;
    uint32_t output_bytes_max;
    uint64_t deadline_ns; /* 0: none */
    const _Atomic uint32_t *is_cancelled;
    void *context;
    void (*progress)(void *context, uint32_t done_of_1000, const char *text);

    uint64_t progress_ns; /* when it was last passed on */
    struct buffer output;
    uint64_t cut_bytes;
    char why[TASK_WHY_BYTES];
};

void task_clear(struct troupe_task *task);

bool task_is_late(const struct troupe_task *task);

#endif
