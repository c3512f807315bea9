/*
 * What this process has asked of a cluster about tasks, and is under way:
 * submissions, awaits, changes. Each is an errand; many of a kind go together,
 * in one question to HOST_SERVICE_TASK (shard/task_request.h).
 *
 *     any thread              the desk's reactor
 *     desk_put() ── queue ──> lane ── batch ──> question
 *                             (a pool's submissions; awaits; changes)
 *
 * A lane has a few batches under way, and the next one takes what has come
 * together meanwhile: nothing waits when there is little, and much goes at a
 * time when there is much. Submissions with an order key have a lane of their
 * own, with one batch under way: so they keep their order, repeated or not. So
 * have awaits that want to hear what tasks say of themselves: those are
 * answered more often.
 *
 * Pure. Owned by its reactor.
 */

#ifndef LIBRARY_DESK_H
#define LIBRARY_DESK_H

#include "base/env.h"
#include "base/reactor.h"
#include "client/client.h"
#include "node/task_service.h"
#include "troupe/tasks.h"

#include <stdatomic.h>
#include <stdbool.h>

#define DESK_ERRANDS_MAX (64u << 10)
#define DESK_BYTES_MAX (256u << 20)

struct desk;

/* A question, and the way to who answers it. On the desk's reactor. */
struct desk_call {
    /* Once, never within ask(). `answer` is borrowed. */
    void (*done)(struct desk_call *call, enum err err, struct bytes answer);
    struct bytes question; /* borrowed until `done` */
    uint64_t until_ns;

    /* Of the way. */
    struct client_call by_client;
    struct task_ask by_node;
    struct timer refused; /* by the node: to be told */
};

struct desk_way {
    void *context;
    void (*ask)(void *context, struct desk_call *call);
    /* `done` is not called any more. Nothing happens when it is not asked. */
    void (*cancel)(void *context, struct desk_call *call);
    /* See task_service_number(). NULL: any random number will do. */
    uint64_t (*number)(void *context);
};

struct desk_config {
    struct reactor *reactor;
    const struct clock *clock; /* the reactor's */
    const struct entropy *entropy;
    struct desk_way way;
};

enum errand_kind {
    ERRAND_SUBMIT,
    ERRAND_AWAIT,
    ERRAND_CHANGE,
    ERRAND_ROOM, /* wants to know when there is room for another */
};

typedef void errand_told(void *context, enum err err, uint64_t count);

/* Made by errand_...(), taken by desk_put(). */
struct errand {
    enum errand_kind kind;
    struct errand *next;
    uint64_t until_ns;
    size_t bytes;      /* with what is behind it */
    bool is_uncertain; /* it may have happened */
    enum err last;     /* why it did not, the last time; ERR_NONE: not tried */
    union {
        troupe_on_receipt *receipt; /* may be NULL */
        troupe_on_result *result;   /* may be NULL */
        errand_told *told;          /* CHANGE, ROOM */
    } done;
    void *context; /* of `done`, which is called once, on the reactor, */
    troupe_on_progress *on_progress; /* and before any number of times; AWAIT;
                                        NULL: that is not wanted */

    bool is_ordered;               /* SUBMIT */
    uint64_t id;                   /* AWAIT */
    uint64_t seen;                 /* what was heard of its progress */
    enum book_request_kind change; /* CHANGE */
    uint32_t id_count;
    const char *pool;     /* SUBMIT; behind `data` */
    struct bytes encoded; /* SUBMIT: the spec; CHANGE: the ids; in `data` */
    uint8_t data[];
};

/*
 * NULL: no memory, or not valid: `*err` says which. Any thread; freed by
 * desk_put() or errand_free().
 */
struct errand *errand_submit(const struct troupe_spec *spec, enum err *err);
/* `on_progress` may be NULL. */
struct errand *errand_await(uint64_t id,
                            troupe_on_progress *on_progress,
                            enum err *err);
struct errand *errand_change(enum book_request_kind kind,
                             const uint64_t *ids,
                             uint32_t count,
                             enum err *err);
struct errand *errand_room(enum err *err);
void errand_free(struct errand *errand);

/* ERR_MEMORY */
FALLIBLE desk_open(struct desk **out, const struct desk_config *config);

/* After desk_stop(), or when nothing was ever put. */
void desk_close(struct desk **desk);

/*
 * Take it over: `done` will be called. Any thread. For those that are put
 * within a callback there is as much room again: they mostly come in the place
 * of the one that has ended, and cannot wait.
 *
 * On an error it is still the caller's:
 * ERR_FULL     no room
 * ERR_CLOSED   desk_stop() has begun
 */
FALLIBLE desk_put(struct desk *desk, struct errand *errand, bool is_within);

/* Tell all that is under way that it is over; `stopped` when that is done. Any
 * thread, once; nothing is put any more. */
struct desk_stop {
    struct reactor_event event;
    struct desk *desk;
    void (*stopped)(struct desk_stop *stop);
};
void desk_stop(struct desk *desk, struct desk_stop *stop);

#endif
