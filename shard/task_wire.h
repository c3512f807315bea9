/*
 * What the two halves of task handling say to each other between nodes: the
 * dispatcher (shard/task_dispatcher.h), for the coordinators that a node leads,
 * and the agent (shard/task_agent.h), for the workers that it has.
 *
 * One-way messages on a channel of their own, which is lossless and in order as
 * long as both processes live. Each is a MessagePack array that begins with its
 * kind; fields behind those known are skipped.
 *
 *     to an agent        ASSIGN    [1, pool, [assignment ...], ready]
 *                        DRY       [2, pool]
 *                        ACK       [3, [[id, token, is recorded] ...]]
 *                        CANCEL    [4, id, token]
 *                        ASK       [5, [[shard, term] ...]]
 *     to a dispatcher    CREDIT    [6, pool, granted, is steal, epoch]
 *                        DONE      [7, [done ...]]
 *                        PRESENT   [8, shard, term, [[id, token] ...]]
 *                        ALIVE     [9]
 *                        PROGRESS  [10, id, token, done of 1000, text]
 *
 *     ready              how many are left there; said once more, with no
 *                        assignments, when others got all of those
 *     granted            over all that was ever given in this epoch; another
 *                        epoch: the agent had no such pool in between
 *     assignment         [id, token, attempt, timeout ms, payload]
 *     done               [id, token, status, output, why]
 *
 * Pure.
 */

#ifndef SHARD_TASK_WIRE_H
#define SHARD_TASK_WIRE_H

#include "base/pack.h"
#include "shard/task.h"

/* A message is sent when it has so many bytes, if not before. */
#define TASK_WIRE_BYTES (128u << 10)

enum task_message {
    TASK_ASSIGN = 1,
    TASK_DRY,
    TASK_ACK,
    TASK_CANCEL,
    TASK_ASK,
    TASK_CREDIT,
    TASK_FINISHED, /* DONE */
    TASK_PRESENT,
    TASK_ALIVE,
    TASK_PROGRESS,
    TASK_MESSAGE_COUNT,
};

struct task_assignment {
    uint64_t id;
    uint64_t token;
    uint32_t attempt; /* from 1 on */
    uint32_t timeout_ms;
    struct bytes payload; /* borrowed */
};

struct task_finish {
    uint64_t id;
    uint64_t token;
    enum run_status status;
    struct bytes output; /* borrowed */
    struct bytes why;
};

/* Its kind; 0: none that is known. What follows is read with the reader. */
enum task_message task_message_read(struct reader *reader);

size_t task_assignment_bytes_max(const struct task_assignment *assignment);
void task_assignment_encode(const struct task_assignment *assignment,
                            struct writer *writer);
void task_assignment_decode(struct task_assignment *out, struct reader *reader);

size_t task_finish_bytes_max(const struct task_finish *finish);
void task_finish_encode(const struct task_finish *finish,
                        struct writer *writer);
void task_finish_decode(struct task_finish *out, struct reader *reader);

/*
 * A message under way, that many parts are put into: it begins with what
 * `begin` writes, then an array of parts whose number is known at the end.
 */
struct task_parcel {
    uint8_t *bytes; /* NULL: nothing was put in */
    size_t capacity;
    struct writer writer;
    size_t parts_at; /* where the array begins */
    uint32_t count;
};

/* Begin the array: call it when the head is written. */
void task_parcel_begin(struct task_parcel *parcel);
/* Room for a part of so many bytes, in `parcel->writer`. ERR_MEMORY */
FALLIBLE task_parcel_room(struct task_parcel *parcel, size_t bytes);
/* The whole message, borrowed until the parcel is used again. */
struct bytes task_parcel_end(struct task_parcel *parcel);
/* Empty: its memory stays, for the next. */
void task_parcel_clear(struct task_parcel *parcel);
void task_parcel_free(struct task_parcel *parcel);

static inline size_t task_parcel_bytes(const struct task_parcel *parcel)
{
    return writer_bytes(&parcel->writer).length;
}

#endif
