/*
 * What the files of the book share.
 *
 *   task_book.c            commands: what is decided, what is applied
 *   task_book_table.c      the tables: by id, by key, lists, pools
 *   task_book_schedule.c   how far schedules are
 *   task_book_snapshot.c   snapshots
 *   task_book_volatile.c   tasks that the leader alone has
 *   task_book_wire.c       requests and commands, written
 */

#ifndef SHARD_TASK_BOOK_CORE_H
#define SHARD_TASK_BOOK_CORE_H

#include "shard/task_book.h"

/*
 * Outcomes, as the log has them:
 *
 *   SUBMIT  [1, pool, submission, first sequence, [spec ...], reply]
 *   ENDS    [2, [end ...]]
 *   REVIVE  [3, [id ...]]
 *   PURGE   [4, [id ...]]
 *   TRIM    [5, [[pool, before ms, keyed before ms, bytes, dead] ...],
 *            [[pool, schedule] ...]]: the last only if there are some
 *   MARK    [6, sequence]
 *   FIRE    [7, pool, schedule, due s, passed, SUBMIT or nil]
 */
enum outcome_kind {
    OUTCOME_SUBMIT = 1,
    OUTCOME_ENDS,
    OUTCOME_REVIVE,
    OUTCOME_PURGE,
    OUTCOME_TRIM,
    OUTCOME_MARK,
    OUTCOME_FIRE,
};

/* In some order; through older and newer. */
struct task_list {
    struct task *first;
    struct task *last;
    uint64_t count;
};

/* Of a pool's tasks that have ended, each in the order in which they have. */
enum ended_kind {
    ENDED_PLAIN,
    ENDED_KEYED, /* done, with a key: kept for longer */
    ENDED_DEAD,
    ENDED_KIND_COUNT,
};

struct ended {
    struct task_list lists[ENDED_KIND_COUNT];
    uint64_t bytes; /* of the first two */
};

struct schedule_row {
    struct schedule_row *next;
    char name[CERTIFICATE_NAME_BYTES];
    struct book_schedule is;
};

struct book_pool {
    struct book_pool *next;
    char name[CERTIFICATE_NAME_BYTES];
    struct schedule_row *schedules;
    struct book_pool_stats stats;
    uint64_t pending;      /* submitted, not applied */
    struct ended ended[2]; /* durable, volatile */
    void *work;            /* of the coordinator */
};

/* Hash tables, chained through the tasks, which grow by one slot at a time:
 * none makes all others wait. */
struct task_table {
    struct task **slots; /* NULL: nothing yet */
    size_t capacity;     /* of `slots`; a power of two, */
    size_t slot_count;   /* of which at least half are in use */
    size_t count;        /* tasks */
};

/* A submission that is decided, and not applied yet. */
struct batch {
    struct batch *next;
    uint64_t submission;
    uint64_t first;
    struct task_list tasks;
    size_t reply_bytes;
    uint8_t reply[];
};

/* One that is applied, for who asks again. */
struct submission {
    uint8_t *reply;
    uint32_t reply_bytes;
};

/* All that a snapshot replaces. */
struct book_state {
    struct task_table by_id;
    struct task_table by_key;
    struct task_list waiting;
    struct book_pool *pools;
    uint64_t next_sequence;
    uint64_t marked;
    uint64_t *submission_ids; /* a ring, beside the next; NULL: none yet */
    struct submission *submissions;
    uint32_t submission_count;
    uint32_t submission_next;
};

struct book {
    struct book_config config;
    struct book_state state;

    /* Speculation. */
    uint64_t next_sequence;
    struct batch *batches; /* oldest first */
    struct batch *last_batch;

    bool is_trimming; /* decided, not applied */

    uint64_t next_volatile; /* in this term */
    uint64_t volatile_term;

    uint8_t *copied; /* the snapshot being given out: records */
    size_t copied_bytes;
    size_t copied_at;
    struct book_state *restored; /* NULL: none is being taken */
};

static inline uint32_t book_shard_count(const struct book *book)
{
    return book->config.shard_count(book->config.events.context);
}

/* ---- task_book_table.c ---- */

void list_push(struct task_list *list, struct task *task);
void list_remove(struct task_list *list, struct task *task);

struct task *table_find_id(const struct task_table *table, uint64_t id);

uint64_t key_hash(struct bytes pool, struct bytes key);
struct task *table_find_key(const struct task_table *table,
                            uint64_t hash,
                            struct bytes pool,
                            struct bytes key);
FALLIBLE table_add_key(struct task_table *table, struct task *task);
void table_remove_key(struct task_table *table, struct task *task);

/* NULL: no memory (pool_claim()), none (pool_find()). */
struct book_pool *pool_find(const struct book_state *state, struct bytes name);
struct book_pool *pool_claim(struct book_state *state, struct bytes name);

/* Waiting, with all that the spec says; NULL: no memory. In no table. */
struct task *task_new(const struct task_spec *spec,
                      struct book_pool *pool,
                      uint64_t id,
                      int64_t now_ms);
void task_free(struct task *task);
size_t task_bytes(const struct task *task);

/* Put its payload, output and why together anew; of `payload` so many bytes are
 * kept. ERR_MEMORY: it is as it was */
FALLIBLE task_set_bytes(struct task *task,
                        uint32_t payload_bytes,
                        struct bytes output,
                        struct bytes why);

/* Into the tables, as it is. ERR_MEMORY: in none */
FALLIBLE state_add(struct book_state *state, struct task *task);
/* Out of all tables, and freed. */
void state_remove(struct book_state *state, struct task *task);
void state_clear(struct book_state *state);

/* It waits no more, as `end` says, which is not WAITING. ERR_MEMORY: it is as
 * it was */
FALLIBLE state_end(struct book_state *state,
                   struct task *task,
                   const struct book_end *end,
                   int64_t now_ms);
/* It waits again: an attempt has failed. */
FALLIBLE state_again(struct task *task, const struct book_end *end);
/* A dead letter is alive again. */
void state_revive(struct book_state *state, struct task *task, int64_t now_ms);

/* What goes when a pool is trimmed. */
struct trim {
    struct book_pool *pool;
    int64_t before_ms;
    int64_t keyed_before_ms;
    uint64_t bytes_max;
    uint64_t dead_max;
};
struct trim trim_of(const struct book *book,
                    struct book_pool *pool,
                    int64_t now_ms);
/* Whether anything goes. */
bool trim_is_due(const struct trim *trim, bool is_volatile);
void state_trim(struct book_state *state,
                const struct trim *trim,
                bool is_volatile);

/* ERR_MEMORY: it is not remembered */
FALLIBLE state_remember(struct book_state *state,
                        uint32_t count_max,
                        uint64_t submission,
                        struct bytes reply);
/* False: not known. */
bool state_recall(const struct book_state *state,
                  uint64_t submission,
                  struct bytes *reply);

/* ---- task_book_wire.c ---- */

struct submission_request {
    struct bytes pool;
    uint64_t submission;
    uint32_t count;
    struct reader specs; /* task_spec_decode(), each */
};
/* ERR_MALFORMED; ERR_INVALID: none, or too many */
FALLIBLE submission_read(struct submission_request *out, struct bytes request);

/* What kind it is; 0: it makes no sense. */
uint32_t request_kind(struct bytes request);

void end_read(struct book_end *out, struct reader *reader);

/* ---- task_book.c ---- */

/*
 * Make the tasks of a submission, as far as they are accepted, into `tasks`,
 * ids from `first` on; say what it came to in `reply`. Their keys are in the
 * table from now on. ERR_FULL, ERR_NOT_FOUND, ERR_MEMORY, ERR_MALFORMED: none
 */
struct submission_made {
    const struct submission_request *request;
    const struct task_pool *pool;
    uint64_t first;
    bool is_volatile;
    int64_t now_ms;
    struct task_list tasks;
    struct writer *specs; /* each that is accepted; NULL: not wanted */
};
FALLIBLE submission_make(struct book *book,
                         struct submission_made *made,
                         struct writer *reply);
/* Free what was made. */
void submission_undo(struct book *book, struct submission_made *made);

/* Into the book, one by one; on ERR_MEMORY those that are left stay in `tasks`.
 */
FALLIBLE submission_add(struct book *book, struct task_list *tasks);

/* Its pool, now. ERR_NOT_FOUND */
FALLIBLE submission_pool(const struct book *book,
                         const struct submission_request *request,
                         const struct task_pool **out);

/* Make it, and write the outcome, as submission_apply() takes it, behind what
 * stands in the decision; nothing, if no task is accepted and nobody asks
 * again. What it came to is in the reply. */
FALLIBLE submission_decide(struct book *book,
                           struct submission_made *made,
                           struct machine_decision *decision);
FALLIBLE submission_apply(struct book *book,
                          const struct machine_stamp *stamp,
                          struct reader *reader);

/* ---- task_book_schedule.c ---- */

FALLIBLE schedule_decide(struct book *book,
                         const struct machine_stamp *stamp,
                         struct bytes command,
                         struct machine_decision *decision);
FALLIBLE schedule_apply(struct book *book,
                        const struct machine_stamp *stamp,
                        struct reader *reader);

/* What was decided and is not applied is dropped. */
void schedules_drop(struct book_state *state);

/* NULL: no memory (schedule_claim()), none (schedule_find()). */
struct schedule_row *schedule_find(const struct book_pool *pool,
                                   struct bytes name);
struct schedule_row *schedule_claim(struct book_pool *pool, struct bytes name);
void schedules_free(struct book_pool *pool);

/* Schedules that their pools do not have any more: how many of them may be
 * forgotten; an array of them, [pool, name] each; forget those in an array. */
uint32_t schedules_count_gone(const struct book *book, int64_t now_ms);
void schedules_write_gone(const struct book *book,
                          int64_t now_ms,
                          uint32_t count,
                          struct writer *outcome);
void schedules_forget(struct book_state *state, struct reader *reader);

uint64_t schedules_digest(const struct book_pool *pool);

/* ---- task_book_snapshot.c ---- */

enum err book_snapshot_begin(void *context);
enum err book_snapshot_next(void *context, struct writer *piece);
void book_snapshot_end(void *context);
enum err book_restore_begin(void *context);
enum err book_restore_piece(void *context, struct bytes piece);
enum err book_restore_end(void *context, bool is_whole);

#endif
