/*
 * Submitting tasks, waiting for their results, calling them off.
 *
 *     struct troupe_spec spec = {.pool = "squares", .payload = "7",
 *                                .payload_length = 1};
 *     struct troupe_receipt receipt;
 *     if (!troupe_submit(troupe, &spec, 1, 5000, &receipt)) {
 *         troupe_await(troupe, &receipt.id, 1, 60000, print, NULL);
 *     }
 *
 * Each of these comes in two kinds: one that waits, and one that returns at
 * once and calls back. Tasks need not be gathered for speed: the library sends
 * what has come together while it waited for the answers before.
 *
 * Threads: any thread may call any function, on the same handle at the same
 * time. Callbacks of the second kind run on a thread of the library's, one at
 * a time: they must not wait for anything, and may call functions of the second
 * kind; one of the first kind answers TROUPE_ERR_REFUSED there.
 *
 * Nothing is lost silently: whatever was taken is answered, once. A submission
 * whose answer is lost is asked for again, under the same number, so that the
 * cluster knows it (in pools that are not volatile), until its time is over;
 * then the answer is TROUPE_ERR_UNCERTAIN. A task with a key may be submitted
 * again then: it will not be done twice.
 */

#ifndef TROUPE_TASKS_H
#define TROUPE_TASKS_H

#include "troupe/troupe.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is to be done. */
struct troupe_spec {
    const char *pool;    /* NULL: "default" */
    const void *payload; /* for the pool's handler; bytes of any kind */
    size_t payload_length;
    const char *key;       /* at most 255 bytes: of the pool's tasks one has it;
                              submitted again, that one is meant; NULL: none */
    const char *order;     /* at most 255 bytes: tasks of the pool with the same
                              one run one after another, as submitted by one
                              thread; NULL: none */
    const char *tenant;    /* at most 255 bytes: whose it is, for fairness */
    unsigned priority;     /* 1 goes first, 8 last; 0: 5 */
    unsigned attempts_max; /* 0: the pool's */
    unsigned timeout_ms;   /* of an attempt; 0: the pool's */
    uint64_t delay_ms;     /* not to begin before */
    uint64_t ttl_ms;       /* to begin within, else it expires; 0: whenever */
    const uint64_t *after; /* tasks that must be done before; if one of them
                              ends otherwise, this one fails */
    size_t after_count;    /* at most 32 */
};

/* What became of a submission. */
struct troupe_receipt {
    /*
     * TROUPE_ERR_NONE         it will be done: a majority has it on disk
     *                         (volatile pool: its coordinator has it)
     * TROUPE_ERR_FULL         the pool had no room until the time was over
     * TROUPE_ERR_NOT_FOUND    there is no such pool
     * TROUPE_ERR_TOO_LARGE    the payload, for the pool
     * TROUPE_ERR_EXISTS       the key has a task with another payload
     * TROUPE_ERR_INVALID      the spec is beyond its bounds
     * TROUPE_ERR_DENIED       the certificate is not for this pool
     * TROUPE_ERR_UNCERTAIN    it may have been accepted or not
     * TROUPE_ERR_TIMEOUT, TROUPE_ERR_UNREACHABLE, TROUPE_ERR_NO_QUORUM
     *                         not in time: it was not accepted
     * TROUPE_ERR_MEMORY, TROUPE_ERR_CLOSED ...
     */
    enum troupe_error error;
    int is_known; /* it was there already, by its key */
    uint64_t id;  /* without an error; the cluster's, for any process */
};

typedef void troupe_on_receipt(void *context,
                               const struct troupe_receipt *receipt);

/*
 * Submit `count` tasks, and wait until each is accepted or refused.
 * `receipts` has room for as many. Tells the first error of a receipt, so that
 * TROUPE_ERR_NONE means: all are accepted.
 *
 * Where a pool is full, it waits for room until the time is over.
 */
TROUPE_API enum troupe_error troupe_submit(struct troupe *troupe,
                                           const struct troupe_spec *specs,
                                           size_t count,
                                           unsigned timeout_ms,
                                           struct troupe_receipt *receipts);

/*
 * Submit a task: `spec` is copied. `on_receipt` (may be NULL) is called once,
 * within `timeout_ms` or little more; also before this returns.
 *
 * Of what has not been answered, at most 65 536 (submissions and awaits) and
 * 256 MiB are kept: beyond that it waits for room. Within a callback it does
 * not wait; there is as much room again for what callbacks ask.
 *
 * An error here means that `on_receipt` is not called:
 * TROUPE_ERR_INVALID, TROUPE_ERR_MEMORY, TROUPE_ERR_TOO_LARGE
 * TROUPE_ERR_FULL      within a callback: too much is unanswered
 * TROUPE_ERR_CLOSED    within a callback: troupe_close() has begun
 * TROUPE_ERR_TIMEOUT   there was no room for it in time
 */
TROUPE_API enum troupe_error troupe_submit_async(struct troupe *troupe,
                                                 const struct troupe_spec *spec,
                                                 unsigned timeout_ms,
                                                 troupe_on_receipt *on_receipt,
                                                 void *context);

enum troupe_state {
    TROUPE_WAITING, /* it has not ended yet; it may be running */
    TROUPE_DONE,
    TROUPE_DEAD, /* failed for good: a dead letter, that can be retried */
    TROUPE_CANCELLED,
    TROUPE_EXPIRED /* not begun by its deadline */
};

/* "waiting", "done", ... Static; never NULL. Any thread. */
TROUPE_API const char *troupe_state_name(enum troupe_state state);

/* What became of a task. Borrowed for the callback. */
struct troupe_result {
    uint64_t id;
    /*
     * TROUPE_ERR_NONE         it has ended, and the rest is set
     * TROUPE_ERR_NOT_FOUND    the cluster does not know it (any more): results
     *                         are kept for a time that the pool says; volatile
     *                         tasks are lost with their coordinator
     * TROUPE_ERR_TIMEOUT      it has not ended in time: ask again
     * others                  why nobody could be asked
     */
    enum troupe_error error;
    enum troupe_state state;
    unsigned attempts;   /* that were made */
    int64_t accepted_ms; /* Unix time */
    int64_t ended_ms;
    const void *output; /* what the handler wrote; of a command a MessagePack
                           map {exit, stdout, stderr} */
    size_t output_length;
    const char *why; /* why it failed, for people; "": nothing to say */
};

typedef void troupe_on_result(void *context,
                              const struct troupe_result *result);

/*
 * Wait until all of `count` tasks have ended, and call `on_result` (may be
 * NULL) once for each, as they end, one at a time; mostly on a thread of the
 * library's, while this one waits.
 *
 * TROUPE_ERR_NONE      all have ended, in whatever state
 * others               the first error of a result
 */
TROUPE_API enum troupe_error troupe_await(struct troupe *troupe,
                                          const uint64_t *ids,
                                          size_t count,
                                          unsigned timeout_ms,
                                          troupe_on_result *on_result,
                                          void *context);

/*
 * Call `on_result` once, when the task has ended or the time is over. Room
 * and errors as for troupe_submit_async().
 */
TROUPE_API enum troupe_error troupe_await_async(struct troupe *troupe,
                                                uint64_t id,
                                                unsigned timeout_ms,
                                                troupe_on_result *on_result,
                                                void *context);

/* What a task that runs says of itself (troupe_task_progress()). Borrowed for
 * the callback. */
struct troupe_progress {
    uint64_t id;
    unsigned done_of_1000;
    const char *text; /* whatever its handler wrote; "": nothing */
};

typedef void troupe_on_progress(void *context,
                                const struct troupe_progress *progress);

/*
 * As troupe_await() and troupe_await_async(), but `on_progress` is called
 * meanwhile, as often as a task says something new: the newest of it, at most
 * five times a second for each task, mostly a fifth of a second late, and not
 * any more once its result was told. What a task says is not kept: something
 * may be left out, and after a retry or a failure it begins anew. Commands say
 * nothing.
 *
 * Waiting costs the cluster more this way: it is for tasks at which somebody
 * looks.
 */
TROUPE_API enum troupe_error troupe_watch(struct troupe *troupe,
                                          const uint64_t *ids,
                                          size_t count,
                                          unsigned timeout_ms,
                                          troupe_on_progress *on_progress,
                                          troupe_on_result *on_result,
                                          void *context);
TROUPE_API enum troupe_error troupe_watch_async(struct troupe *troupe,
                                                uint64_t id,
                                                unsigned timeout_ms,
                                                troupe_on_progress *on_progress,
                                                troupe_on_result *on_result,
                                                void *context);

/*
 * Call tasks off: those that wait do not begin, those that run are ended (a
 * handler of ours looks at troupe_task_is_cancelled()). `*count_changed` (may
 * be NULL) is how many had not ended; after a repetition it may be less.
 *
 * TROUPE_ERR_UNCERTAIN, TROUPE_ERR_UNREACHABLE ... not in time
 */
TROUPE_API enum troupe_error troupe_cancel(struct troupe *troupe,
                                           const uint64_t *ids,
                                           size_t count,
                                           unsigned timeout_ms,
                                           size_t *count_changed);

/* Try dead letters again, with all their attempts. Else as troupe_cancel(). */
TROUPE_API enum troupe_error troupe_retry(struct troupe *troupe,
                                          const uint64_t *ids,
                                          size_t count,
                                          unsigned timeout_ms,
                                          size_t *count_changed);

#ifdef __cplusplus
}
#endif

#endif
