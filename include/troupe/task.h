/*
 * What a task handler is: a C function that a pool runs for each of its tasks.
 *
 *     #include <troupe/task.h>
 *
 *     TROUPE_API int count_bytes(struct troupe_task *task)
 *     {
 *         size_t length;
 *         troupe_task_payload(task, &length);
 *         troupe_task_printf(task, "%zu", length);
 *         return TROUPE_TASK_DONE;
 *     }
 *
 * The same function serves in a program that embeds a node and in a plug-in: a
 * shared object, in a process of its own that may crash. A plug-in need not be
 * linked with libtroupe:
 *
 *     cc -shared -fPIC -o count.so count.c
 *
 * A handler may block, and runs on one thread; other tasks of the pool run
 * beside it on others, or in other processes. It may be run more than once for
 * a task: the attempt before may have ended with its node. `task` is the
 * handler's until it returns; all functions here are for its thread alone, but
 * for troupe_task_is_cancelled().
 */

#ifndef TROUPE_TASK_H
#define TROUPE_TASK_H

#include "troupe/troupe.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct troupe_task;

/* What a handler returns; all else is TROUPE_TASK_FAILED. */
enum troupe_task_result {
    TROUPE_TASK_DONE = 0,    /* what it has written is the result */
    TROUPE_TASK_FAILED = 1,  /* it may be tried again */
    TROUPE_TASK_REFUSED = 2, /* trying again would not help */
};

typedef int troupe_task_handler(struct troupe_task *task);

/* What was submitted: `*length` bytes. */
TROUPE_API const void *troupe_task_payload(const struct troupe_task *task,
                                           size_t *length);

/* The task; which attempt at it this is, from 1 on; and the attempt's token,
 * which is larger than that of every attempt before: give it to what you write
 * to, so that it can refuse one who was thought dead and was late. */
TROUPE_API uint64_t troupe_task_id(const struct troupe_task *task);
TROUPE_API uint32_t troupe_task_attempt(const struct troupe_task *task);
TROUPE_API uint64_t troupe_task_token(const struct troupe_task *task);

/* Not 0 when it ought to end: it was cancelled, or its time is over. What it
 * returns then does not matter. Any thread. */
TROUPE_API int troupe_task_is_cancelled(const struct troupe_task *task);

/* Append to the result. Not 0: the pool's limit is reached, and what is more
 * is cut; or there is no memory. */
TROUPE_API int troupe_task_write(struct troupe_task *task,
                                 const void *data,
                                 size_t length);
TROUPE_API int troupe_task_printf(struct troupe_task *task,
                                  const char *format,
                                  ...) __attribute__((format(printf, 2, 3)));

/* How far it is, in thousandths, and what it says about it (may be NULL; cut
 * after 127 bytes). Of many within a moment only some are passed on. */
TROUPE_API void troupe_task_progress(struct troupe_task *task,
                                     unsigned done_of_1000,
                                     const char *text);

/* Why it will fail, for people; cut after 255 bytes. */
TROUPE_API void troupe_task_explain(struct troupe_task *task,
                                    const char *format,
                                    ...) __attribute__((format(printf, 2, 3)));

#ifdef __cplusplus
}
#endif

#endif
