/*
 * What processes ask of a node about tasks (HOST_SERVICE_TASK): nodes, clients
 * and operators may; observers may not.
 *
 * Any node takes it, and brings it to the shards' coordinators. Questions are
 * MessagePack arrays that begin with what is asked:
 *
 *   SUBMIT  [1, pool, submission, [spec ...]]
 *           as a shard's book reads it (shard/task_book.h); tasks without a key
 *           all go to one shard, by the number of the submission. Answered with
 *           an array of runs (struct book_run), in the order of the tasks
 *   AWAIT   [2, [id ...], wait ms, pools, [seen ...]]
 *           until all have ended, or some have and a moment has passed, or the
 *           time is over. Answered with an array of [id, error, end]: those
 *           that have ended, and (with an error, `end` nil) those of which
 *           nothing is known. The others are left out: ask again. "pools" may
 *           be nil, and counts between nodes: of the client's certificate;
 *           tasks of others are not known to it.
 *           With "seen", as long as the ids, it is also answered, but not
 *           before TASK_SAID_MS, when a task says of itself what is not seen
 *           yet: [id, ERR_BUSY, [number, done of 1000, text]]. "seen" has that
 *           number (struct task_said), 0 at first. Both may be left out
 *   CHANGE  [3, kind, [id ...]]
 *           kind: BOOK_CANCEL, BOOK_RETRY or BOOK_PURGE. Answered with how many
 *           were changed, uint
 *   LOCAL   [4, shard, request]
 *           between nodes: of the leader, about volatile tasks: as the shard's
 *           book reads it, and answers
 *   ENDS    [5, [id ...], wait ms, pools, [seen ...]]
 *           between nodes: AWAIT for tasks whose shards are led there
 *
 * Errors: what shard/router.h says; ERR_DENIED: role, or the certificate's
 * pools; ERR_MALFORMED, ERR_INVALID (none, or more than
 * TASK_REQUEST_IDS_MAX / BOOK_REQUEST_TASKS_MAX). With an error the answer is a
 * text that says more, or nothing.
 *
 * Pure.
 */

#ifndef SHARD_TASK_REQUEST_H
#define SHARD_TASK_REQUEST_H

#include "shard/task_book.h"

#define TASK_REQUEST_IDS_MAX 4096
#define TASK_AWAIT_MS_MAX 30000
#define TASK_SAID_MS 200 /* at least, between answers for news */

enum task_request_kind {
    TASK_REQUEST_SUBMIT = BOOK_SUBMIT,
    TASK_REQUEST_AWAIT,
    TASK_REQUEST_CHANGE,
    TASK_REQUEST_LOCAL,
    TASK_REQUEST_ENDS,
    TASK_REQUEST_KIND_COUNT,
};

/* SUBMIT: book_submit_begin(), then the specs. */

/* AWAIT, ENDS */
struct task_await {
    uint32_t count;
    uint64_t wait_ms;
    struct reader ids; /* pack_read_uint(), each */
    bool is_limited;   /* to these pools: */
    char pools[CERTIFICATE_POOLS_BYTES];
    bool is_curious;    /* wants to know what they say, other than this: */
    struct reader seen; /* pack_read_uint(), each */
};
struct task_await_question {
    enum task_request_kind kind;
    uint32_t count;
    const uint64_t *ids;
    const uint64_t *seen; /* as many; NULL: is not curious */
    uint64_t wait_ms;
    const char *pools; /* NULL: all */
};
size_t task_await_bytes_max(uint32_t count);
void task_await_encode(struct writer *writer,
                       const struct task_await_question *question);
FALLIBLE task_await_decode(struct task_await *out, struct bytes question);

/* One of the answers: `end` only without an error, `said` only with ERR_BUSY.
 */
struct task_outcome {
    uint64_t id;
    enum err err;
    struct task_end end;
    struct task_said said;
};
size_t task_outcome_bytes_max(const struct task_outcome *outcome);
void task_outcome_encode(const struct task_outcome *outcome,
                         struct writer *writer);
/* Fails the reader. What is borrowed is of the reader's bytes. */
void task_outcome_decode(struct task_outcome *out, struct reader *reader);

/* CHANGE */
struct task_change {
    enum book_request_kind kind;
    uint32_t count;
    struct reader ids;
};
void task_change_encode(struct writer *writer,
                        enum book_request_kind kind,
                        const uint64_t *ids,
                        uint32_t count);
FALLIBLE task_change_decode(struct task_change *out, struct bytes question);

/* LOCAL */
struct task_local {
    uint32_t shard;
    struct bytes request; /* borrowed */
};
void task_local_encode(struct writer *writer, const struct task_local *local);
FALLIBLE task_local_decode(struct task_local *out, struct bytes question);

/* What is asked; 0: it makes no sense. */
enum task_request_kind task_request_kind(struct bytes question);

#endif
