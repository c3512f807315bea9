/*
 * The book of a shard's tasks: the replicated half of its coordinator. What was
 * accepted, what came of it, and nothing of who works on it.
 *
 * A state machine (base/machine.h). Its commands are the requests of others:
 * submit, cancel, retry, purge; and those of the coordinator
 * (shard/task_coordinator.h), which nobody else may propose: ends of attempts.
 *
 * Tasks of volatile pools stand in the same book, but nothing of them is
 * logged; they go with the leader's speculation.
 *
 * Owned by its group's reactor.
 */

#ifndef SHARD_TASK_BOOK_H
#define SHARD_TASK_BOOK_H

#include "base/machine.h"
#include "shard/task_fault.h"
#include "shard/task_wire.h"

struct book;
struct book_pool;
struct order_queue;

#define TASK_KEPT_PAYLOAD_BYTES 256

struct task {
    uint64_t id;
    struct task *same_hash;
    struct task *older; /* of all in the book, in the order of acceptance; */
    struct task *newer; /* once it has ended, of those of its pool that have */
    struct book_pool *pool;
    int64_t accepted_ms;
    int64_t at_ms; /* waiting: not to begin before; else when it ended */
    struct task_extra *extra; /* NULL: all as by default */
    uint8_t *bytes;           /* payload, output, why; NULL: none */
    uint32_t payload_bytes;   /* of what has ended otherwise than dead only when
                                 TASK_KEPT_PAYLOAD_BYTES at most */
    uint32_t output_bytes;
    uint32_t why_bytes;
    uint32_t attempts; /* that have failed or were stalled; once it has
                          ended, that were made */
    uint8_t state;     /* enum task_state */
    uint8_t priority;
    bool is_volatile;
    bool is_ending;  /* decided, not applied */
    bool is_pending; /* submitted, not applied */

    /* Of the coordinator. */
    uint8_t work;          /* enum task_work */
    uint16_t agent;        /* the node that has it, or had it last */
    uint32_t leased_at_ms; /* of some clock, cut */
    uint64_t token;        /* of its newest attempt; 0: none here yet */
    struct task *next;     /* in the coordinator's queues */
    struct task *previous;
};

/* What few tasks have. */
struct task_extra {
    uint64_t key_hash;  /* of pool and key; 0: no key */
    uint64_t spec_hash; /* of the payload that was submitted under the key */
    struct task *same_key_hash;
    int64_t until_ms;      /* to have begun by; 0: whenever */
    uint32_t attempts_max; /* 0: the pool's */
    uint32_t timeout_ms;
    uint8_t key_bytes;
    uint8_t order_bytes;
    uint8_t tenant_bytes;
    uint32_t after_count;
    uint32_t after_left;             /* of the coordinator: not done yet */
    struct order_queue *order_queue; /* of the coordinator */
    /* then `after` (u64 each), key, order key, tenant */
    uint64_t after[];
};

/* What the coordinator is told, on the leader and on followers alike. */
struct book_events {
    void *context;
    /* Accepted, or alive again after it had ended or an attempt had failed. */
    void (*on_waiting)(void *context, struct task *task);
    /* It has ended; its members of the coordinator are cleared by who hears. */
    void (*on_end)(void *context, struct task *task);
    /* All tasks are others now: a snapshot was taken, or what was decided and
     * not applied is dropped (volatile tasks are gone). */
    void (*on_reset)(void *context);
    /* BOOK_MARK is applied. */
    void (*on_marked)(void *context);
};

struct book_config {
    uint32_t shard;
    /* The pools as they are now, and how many shards there are; asked when
     * something is decided. */
    const struct task_pools *(*pools)(void *context);
    uint32_t (*shard_count)(void *context);
    struct book_events events;     /* its context is theirs, too */
    uint32_t submission_count_max; /* remembered, so that asking again does not
                                      submit again */
#ifdef TROUPE_FAULTS
    enum task_fault fault;
#endif
};

/* ERR_MEMORY */
FALLIBLE book_open(struct book **out, const struct book_config *config);
void book_close(struct book **book);
/* Its `context` is the book. */
struct machine book_machine(struct book *book);

/* Whether the snapshot that is being taken has come whole: restore_end() will
 * take it. */
bool book_is_restored(const struct book *book);

/* ---- requests of others ---- */

#define BOOK_REQUEST_TASKS_MAX 4096

enum book_request_kind {
    /* pool, submission, tasks: answered with runs (book_run) */
    BOOK_SUBMIT = 1,
    BOOK_CANCEL, /* ids: answered with how many were waiting */
    BOOK_RETRY,  /* ids of dead letters: answered with how many there were */
    BOOK_PURGE,  /* ids of tasks that have ended: the same */
};

/* [1, pool, submission, [spec ...]]: begin it, then task_spec_encode() each.
 * `submission`: any number that nobody else uses, by which asking again is
 * known; 0: none. ERR_NOT_FOUND: no such pool; ERR_FULL: not even the first has
 * room; ERR_INVALID: it is empty or names too many */
size_t book_submit_bytes(const char *pool);
void book_submit_begin(struct writer *writer,
                       const char *pool,
                       uint64_t submission,
                       uint32_t count);

/* [kind, [id ...], pools]. `pools`: of a client's certificate: tasks of others
 * are left as they are; NULL: all pools, and no such field. */
void book_request_ids(struct writer *writer,
                      enum book_request_kind kind,
                      const uint64_t *ids,
                      uint32_t count,
                      const char *pools);

struct book_ids {
    enum book_request_kind kind;
    uint32_t count;
    struct reader ids; /* pack_read_uint(), each */
    bool is_limited;   /* to these pools: */
    char pools[CERTIFICATE_POOLS_BYTES];
};
/* ERR_MALFORMED */
FALLIBLE book_ids_read(struct book_ids *out, struct bytes request);
/* Whether who asks may have anything to do with tasks of this pool. */
bool book_ids_have(const struct book_ids *ids, const char *pool);

/* What a submission came to: an array of runs of tasks, in their order. */
struct book_run {
    uint32_t count;
    enum err err;   /* ERR_NONE: accepted. ERR_FULL, ERR_TOO_LARGE, ERR_EXISTS
                       (the key has another task), ERR_INVALID */
    uint64_t first; /* id; the others follow it. A task that was there already,
                       by its key, is a run of its own */
    bool is_known;  /* it was there already */
};
void book_run_encode(const struct book_run *run, struct writer *writer);
/* Fails the reader. */
void book_run_decode(struct book_run *out, struct reader *reader);

/* Their array while it is written, one run that continues the last together
 * with it. */
struct book_runs {
    struct writer *writer;
    size_t at;
    uint32_t count;
    struct book_run last; /* not written yet; count 0: none */
};
struct book_runs book_runs_begin(struct writer *writer);
void book_runs_add(struct book_runs *runs, const struct book_run *next);
void book_runs_end(struct book_runs *runs);

/* A question: [6, id]: whether that task is in the book, bool. */
#define BOOK_HAS 6
void book_has_encode(struct writer *writer, uint64_t id);

/* ---- commands of the coordinator, never of others ---- */

/* [kind, ...]: those below are requests of others. */
#define BOOK_INNER_KIND_MIN 16

enum book_inner_kind {
    BOOK_ENDS = BOOK_INNER_KIND_MIN, /* book_end_encode(), each */
    BOOK_MARK, /* tasks below this sequence may have been given out: durable
                  before they are */
    BOOK_TRIM, /* forget what has ended long ago, and what is too much, by the
                  pools' settings */
    BOOK_FIRE, /* book_fire_encode() */
};

/* Whether a command is one of these. */
bool book_is_inner(struct bytes command);

/* What an attempt came to. */
struct book_end {
    uint64_t id;
    enum task_state state; /* WAITING: it failed, and is tried again, */
    int64_t at_ms;         /* not before this */
    struct bytes output;
    struct bytes why; /* at most TASK_WHY_BYTES - 1 count */
};

/* [kind, [end ...]]. Of tasks that are not waiting any more, nothing happens;
 * volatile tasks do not belong here. */
size_t book_end_bytes_max(const struct book_end *end);
void book_ends_begin(struct task_parcel *parcel);
void book_end_encode(const struct book_end *end, struct writer *writer);

/* [kind, sequence] */
void book_mark_encode(struct writer *writer, uint64_t sequence);
/* [kind] */
void book_trim_encode(struct writer *writer);

/* An occurrence of a schedule, that moves it on: to `due_s`, past `passed`
 * others. Nothing happens if it is there already, so that each has one task at
 * the most, whoever leads. */
struct book_fire {
    struct bytes pool;
    struct bytes schedule;
    int64_t due_s;                /* Unix time */
    uint64_t passed;              /* occurrences without a task, counted */
    const struct task_spec *task; /* NULL: this one is passed over as well */
};

/* [kind, pool, schedule, due, passed, [spec] or []]. ERR_FULL (the pool has no
 * room, or remembers too many schedules), ERR_NOT_FOUND (no such pool):
 * nothing happens */
size_t book_fire_bytes_max(const struct book_fire *fire);
void book_fire_encode(const struct book_fire *fire, struct writer *writer);

/* ---- volatile tasks: the leader alone has them ---- */

/* Whether a request submits to a pool that is volatile, now. */
bool book_is_volatile_submission(const struct book *book, struct bytes request);

/* A submission, not through the group. `term` is the leader's. As decide()
 * does, with its reply. */
FALLIBLE book_submit_volatile(struct book *book,
                              uint64_t term,
                              int64_t now_ms,
                              struct bytes request,
                              struct writer *reply);

/* ERR_MEMORY: nothing has happened */
FALLIBLE book_end_volatile(struct book *book,
                           struct task *task,
                           const struct book_end *end,
                           int64_t now_ms);

/* BOOK_CANCEL, BOOK_RETRY, BOOK_PURGE of one volatile task. False: nothing. */
bool book_change_volatile(struct book *book,
                          struct task *task,
                          enum book_request_kind kind,
                          int64_t now_ms);

/* Whether BOOK_TRIM would do anything. */
bool book_has_to_trim(const struct book *book, int64_t now_ms);

/* As BOOK_TRIM. */
void book_trim_volatile(struct book *book, int64_t now_ms);

/* ---- looking ---- */

/* NULL: not in the book. */
struct task *book_find(const struct book *book, uint64_t id);

/* The oldest that waits, and from it on task->newer; NULL: none. */
struct task *book_first(const struct book *book);

/* The next sequence that is given, all that was decided included. */
uint64_t book_next_sequence(const struct book *book);
/* What is applied of book_mark(). */
uint64_t book_marked(const struct book *book);

struct bytes task_payload(const struct task *task);
struct bytes task_output(const struct task *task); /* of one that has ended */
struct bytes task_why(const struct task *task);
struct bytes task_key(const struct task *task);
struct bytes task_order(const struct task *task);
struct bytes task_tenant(const struct task *task);
const char *task_pool_name(const struct task *task);
struct task_end task_end_of(const struct task *task);

struct book_pool_stats {
    uint64_t waiting; /* and running */
    uint64_t done;    /* kept */
    uint64_t dead;
    uint64_t other;          /* cancelled, expired: kept */
    uint64_t kept_bytes;     /* of those that have ended */
    uint64_t accepted_total; /* since the book began */
    uint64_t done_total;
    uint64_t dead_total;
    uint64_t retried_total;
    uint64_t dead_dropped; /* beyond dead_max */
};
/* All zero when the book has nothing of that pool. */
struct book_pool_stats book_stats(const struct book *book, struct bytes pool);

/* Call `visit` for each pool that has something. */
void book_pools_each(const struct book *book,
                     void (*visit)(void *context,
                                   const char *name,
                                   const struct book_pool_stats *stats),
                     void *context);

/*
 * Call `visit` for the few tasks that stand at a place, mostly one or none;
 * returns the place behind it. 0 is the first, and comes again behind the last.
 * Who goes through all places meets each task once that is in the book all the
 * while, however many come and go between two calls; any number is a place.
 */
uint32_t book_walk(const struct book *book,
                   uint32_t place,
                   void (*visit)(void *context, const struct task *task),
                   void *context);

#define BOOK_NO_TIME INT64_MIN

/* How far a schedule is. */
struct book_schedule {
    int64_t due_s;     /* of the occurrence that it was moved to last */
    int64_t decided_s; /* the same, all that was decided included */
    uint64_t task;     /* of the last that has one; 0: none yet */
    uint64_t passed;   /* occurrences, in all */
};
/* What was never moved on is at BOOK_NO_TIME. */
struct book_schedule book_schedule(const struct book *book,
                                   struct bytes pool,
                                   struct bytes schedule);

/* Equal on replicas that have applied the same. */
uint64_t book_digest(const struct book *book);

#endif
