/*
 * Tasks in the simulator of shards; of its files alone.
 *
 *   shard_worker.c        simulated workers: what comes of an attempt, and when
 *   shard_task_client.c   tasks that are submitted, waited for, changed
 *   shard_task_check.c    the promises
 *   shard_schedule.c      schedules
 */

#ifndef TESTS_SIM_SHARD_TASK_H
#define TESTS_SIM_SHARD_TASK_H

#include "node/task_service.h"
#include "node/tasks.h"
#include "shard/task_request.h"

#define TASK_CLIENTS 2 /* on each node */
#define TASK_BATCH_MAX 6
#define TASK_AWAIT_MAX 8
#define TASK_QUESTION_BYTES 2048
#define SIM_LEASE_MS 2000

/* Numbers of payloads: what clients submit counts up from 0; a key has two of
 * its own, one for each payload that it may come with. */
#define TASKS_MAX 12000
#define TASK_KEYS 24
#define SIM_SCHEDULES 4
/* All tasks of a schedule have the same. */
#define SIM_SCHEDULED_FIRST (TASKS_MAX + 2 * TASK_KEYS + 2)
#define PAYLOADS_MAX (SIM_SCHEDULED_FIRST + SIM_SCHEDULES)
#define TASK_ORDERS 6

struct sim;
struct node;
struct replica;
struct sim_run;

/* ---- pools ---- */

enum sim_pool {
    SIM_POOL_WORK,
    SIM_POOL_FAST,  /* volatile */
    SIM_POOL_ONE,   /* has one coordinator: running_max */
    SIM_POOL_BRIEF, /* short queue, results are soon forgotten */
    SIM_POOL_COUNT,
};

extern const char *const sim_pool_names[SIM_POOL_COUNT];

/* As it is when nobody has changed it. */
void sim_pool_make(struct task_pool *out, enum sim_pool pool);

/* ---- payloads ---- */

enum sim_work {
    SIM_WORK_PLAIN,    /* it may fail, crash, hang; and is done some time */
    SIM_WORK_FAILING,  /* it fails each time */
    SIM_WORK_HOPELESS, /* it is refused */
    SIM_WORK_COUNT,
};

struct sim_payload {
    uint32_t number;
    enum sim_work work;
};

#define SIM_PAYLOAD_BYTES 5
#define SIM_OUTPUT_BYTES 20

/* Of a schedule: as a MessagePack text. */
#define SIM_SCHEDULED_HEAD (0xa0 + SIM_PAYLOAD_BYTES)
#define SIM_SCHEDULED_BYTES (1 + SIM_PAYLOAD_BYTES)

struct bytes sim_payload_encode(uint8_t *to, const struct sim_payload *payload);
struct sim_payload sim_payload_decode(struct bytes bytes);

/* What a worker makes of a payload; and which attempt has. */
struct sim_output {
    uint32_t number;
    uint64_t token;
    uint64_t hash; /* of the payload */
};
struct bytes sim_output_encode(uint8_t to[static SIM_OUTPUT_BYTES],
                               const struct sim_output *output);
bool sim_output_decode(struct sim_output *out, struct bytes bytes);

/* ---- schedules ---- */

/* Those of the pool of that name; borrowed, for ever. */
void sim_schedules_make(struct task_pool *pool);

/* A shard begins, with nothing. */
void schedules_begin(struct sim *sim, uint32_t shard);

/* An outcome that moves one on is about to be applied; whether a submission
 * follows. */
bool check_fired(struct sim *sim, struct reader *reader);

/* Whether none is behind; else `why` says which is. */
bool schedules_are_over(struct sim *sim, struct err_detail *why);

/* ---- workers ---- */

struct worker_pool {
    char name[CERTIFICATE_NAME_BYTES];
    uint32_t workers;
    uint32_t busy;
    struct sim_run *waiting; /* oldest first */
    struct sim_run *last;
};

struct worker_house {
    struct node *node;
    struct workers table;
    struct worker_pool pools[TASK_POOL_COUNT_MAX];
    uint32_t pool_count;
    struct sim_run *runs; /* all */
};

void worker_house_open(struct node *node);
/* The process ends, and with it what runs. */
void worker_house_close(struct node *node);

/* ---- clients ---- */

enum sim_told {
    SIM_OPEN,
    SIM_ACCEPTED,  /* `id` */
    SIM_UNCERTAIN, /* it may have been */
    SIM_REFUSED,   /* it never will be */
};

/* A task as its client knows it. */
struct sim_spec {
    enum sim_pool pool;
    enum sim_told told;
    uint32_t payload; /* its number */
    uint32_t order;   /* 0: none */
    uint32_t key;     /* 0: none */
    uint64_t hash;    /* of the payload */
    uint64_t after;   /* id; 0: none */
    uint64_t id;
    uint64_t said;   /* what it was heard to say last; 0: nothing */
    bool is_over;    /* its client has heard so */
    bool is_changed; /* cancelled, retried, purged, perhaps */
};

enum sim_ask {
    SIM_SUBMIT,
    SIM_AWAIT,
    SIM_CHANGE,
};

struct task_client {
    struct task_ask ask;
    struct node *node;
    struct timer pause;
    enum sim_ask kind;
    uint32_t specs[TASK_BATCH_MAX]; /* SUBMIT: which; */
    uint64_t ids[TASK_AWAIT_MAX];   /* AWAIT; */
    uint64_t seen[TASK_AWAIT_MAX];  /* what each was heard to say, */
    bool is_curious;                /* if that is asked for */
    uint32_t count;
    uint64_t until_ns;
    bool is_asking;
    bool asks_again; /* a submission of which nothing is known */
    uint8_t question[TASK_QUESTION_BYTES];
    size_t question_bytes;
};

void task_clients_start(struct node *node);
void task_clients_stop(struct node *node);
bool task_clients_are_asking(const struct node *node);

/* ---- what the checkers remember ---- */

/* A durable task, as the log has it. */
struct sim_task {
    uint64_t id;
    enum sim_pool pool;
    uint32_t payload; /* number */
    enum task_state state;
    bool is_purged;
    bool is_lost;        /* with its shard, of which nothing was left */
    bool is_after;       /* it waits for `after` */
    uint64_t after;      /* id */
    uint64_t token;      /* DONE: of the attempt whose result was taken */
    uint32_t before;     /* in order, its index; UINT32_MAX: none */
    uint32_t attempt;    /* the newest, its index + 1 in attempts; 0: none */
    uint32_t same_order; /* of which order key; 0: none */
};

/* Given to a worker. */
struct sim_attempt {
    uint64_t id;
    uint64_t token;
    uint32_t older; /* of the same task, +1 */
    uint32_t node;
    uint64_t given_ns;
    bool is_late; /* its lease was over before it came */
    bool is_over; /* nobody works on it any more */
    bool is_done; /* it has worked out */
};

struct task_memory {
    struct sim_spec *specs;
    uint32_t spec_count;
    struct sim_task *tasks;
    uint32_t task_count;
    uint32_t *slots; /* by id: index + 1 */
    struct sim_attempt *attempts;
    uint32_t attempt_count;
    uint32_t attempt_capacity;
    uint32_t *by_payload;    /* index + 1 of the task that has it */
    uint64_t *applied;       /* by shard: the newest entry that was seen */
    uint32_t *applied_count; /* of its outcomes */
    uint32_t *order_last;    /* by order key: index + 1 */
    int64_t fired_s[SIM_SCHEDULES]; /* the occurrence that it was moved to */
};

void task_memory_open(struct sim *sim);
void task_memory_close(struct sim *sim);

/* A shard begins anew, with nothing. */
void task_memory_empty(struct sim *sim, uint32_t shard);

/* NULL: the log has had no such task. */
struct sim_task *task_memory_find(struct sim *sim, uint64_t id);

/* An outcome is about to be applied. */
void check_task_outcome(struct replica *replica, struct bytes outcome);

/* A worker was given an attempt, which has a number from now on; has begun it;
 * nobody works on it any more. */
uint32_t check_attempt_given(struct node *node, const struct run *run);
void check_attempt_begun(struct node *node, const struct run *run);
void check_attempt_over(struct sim *sim, uint32_t attempt, bool is_done);

/* What a client was told. */
void check_accepted(struct sim *sim, const struct sim_spec *spec);
void check_outcome_told(struct sim *sim,
                        const struct node *node,
                        const struct task_outcome *outcome);

/* Whether nothing is left to do; else `why` says what is. */
bool tasks_are_over(struct sim *sim, struct err_detail *why);

/* Whether all replicas have the same; else `why` says who has not. */
bool books_are_equal(struct sim *sim, struct err_detail *why);

/* At the end. */
void check_tasks(struct sim *sim);

#endif
