/*
 * What a task pool is: how its tasks are run, how many at a time, how often.
 *
 * Plain data; pure. The truth is in the meta group's view (shard/view.h);
 * every node has a copy of it.
 */

#ifndef SHARD_TASK_POOL_H
#define SHARD_TASK_POOL_H

#include "base/bytes.h"
#include "base/err.h"
#include "config/certificate.h"
#include "config/settings.h"

#include <stdbool.h>
#include <stdint.h>

#define TASK_POOL_COUNT_MAX (SETTINGS_POOL_COUNT_MAX + 1)
#define TASK_POOL_DEFAULT "default"
#define TASK_POOL_TEXT_BYTES 1024       /* of a path, a command, ... */
#define TASK_POOL_LIST_COUNT_MAX 64     /* commands, tenants, schedules, ... */
#define TASK_POOL_BYTES_MAX (32u << 10) /* encoded */
#define TASK_POOL_OUTPUT_BYTES_MAX (64u << 10) /* of a task, in any pool */
#define TASK_POOL_SPLIT_MIN 4096 /* shorter queues are not split */
#define TASK_PRIORITY_COUNT 8    /* 0 goes first */
#define TASK_PRIORITY_DEFAULT 4

enum task_handler {
    TASK_EXEC,     /* a command per task, in a process of its own */
    TASK_FUNCTION, /* a C function that is linked into the process */
    TASK_PLUGIN,   /* a C function in a shared object, in a process apart that
                      may crash */
    TASK_HANDLER_COUNT,
};

/* "exec", "function", "plugin"; static. */
const char *task_handler_name(enum task_handler handler);

/* A tenant's part of the workers, beside those of the others that wait. */
struct task_share {
    char tenant[CERTIFICATE_NAME_BYTES];
    uint32_t weight; /* 1 for who is not named */
};

struct task_schedule;

/* What a command may use. 0: no limit of ours. */
struct task_limits {
    uint64_t cpu_ms;
    uint64_t memory_bytes;
    uint64_t file_bytes; /* of each file it writes */
    uint32_t files;      /* open at a time */
    uint32_t processes;
};

struct task_pool {
    char name[CERTIFICATE_NAME_BYTES];
    uint64_t version; /* of the view that changed it last */

    /* How tasks are run. */
    enum task_handler handler;
    char function[CERTIFICATE_NAME_BYTES]; /* FUNCTION, PLUGIN */
    char *plugin;                          /* path; NULL: none */
    char **commands; /* EXEC: programs that tasks may name, as they name them */
    uint32_t command_count;
    bool any_command; /* EXEC: all. Remote execution by design */
    char **variables; /* EXEC: the environment, "NAME=value" */
    uint32_t variable_count;
    char *user; /* EXEC: NULL: the daemon's */
    char *dir;  /* EXEC: working directory; NULL: "/" */
    struct task_limits limits;

    /* How many, and for how long. */
    uint32_t workers; /* on each node with the role worker */
    bool is_durable;
    bool is_paused;     /* nothing is given out */
    uint64_t queue_max; /* tasks that are not finished, over all shards */
    uint64_t lease_ms;
    uint64_t timeout_ms; /* of an attempt; 0: none */
    uint32_t attempts_max;
    uint64_t backoff_min_ms;
    uint64_t backoff_max_ms;
    uint32_t running_max; /* over all nodes; 0: no limit. Such a pool has one
                             coordinator, as one with a rate has */
    uint32_t rate;        /* begun per second; 0: no limit */

    /* What stays of finished tasks. */
    uint32_t payload_bytes_max;
    uint32_t output_bytes_max; /* of a task; more is cut, and says so */
    uint64_t result_ms;        /* kept for so long, */
    uint64_t result_bytes_max; /* or until all of the pool's have so many */
    uint64_t key_ms;           /* results of tasks with a key */
    uint32_t dead_max;         /* dead letters; then the oldest goes, counted */

    struct task_share *shares;
    uint32_t share_count;
    struct task_schedule *schedules; /* shard/task_schedule.h */
    uint32_t schedule_count;         /* of durable pools alone */
};

struct task_pools {
    uint32_t count;
    struct task_pool *list; /* by name, rising */
};

/* Sensible values for everything; without a name. A pool that runs no command
 * yet: TASK_EXEC with no commands. */
void task_pool_defaults(struct task_pool *pool);

/* Free what it has; all zero then. */
void task_pool_clear(struct task_pool *pool);
/* Into `out`, which holds nothing. ERR_MEMORY */
FALLIBLE task_pool_copy(struct task_pool *out, const struct task_pool *from);

/* Whether everything is within its bounds. ERR_INVALID: `why` names the field,
 * what was found and what is allowed. */
FALLIBLE task_pool_validate(const struct task_pool *pool,
                            struct err_detail *why);

/* Whether a command may be run. */
bool task_pool_allows(const struct task_pool *pool, const char *command);

/* The weight of a tenant. */
uint32_t task_pool_weight(const struct task_pool *pool, struct bytes tenant);

/* Whether all its tasks are with one coordinator, that counts exactly. */
static inline bool task_pool_is_single(const struct task_pool *pool)
{
    return pool->running_max > 0 || pool->rate > 0 ||
           pool->queue_max < TASK_POOL_SPLIT_MIN;
}

/* ---- tables ---- */

void task_pools_clear(struct task_pools *pools);
FALLIBLE task_pools_copy(struct task_pools *out, const struct task_pools *from);

/* What a cluster begins with: `cluster.pools`, and TASK_POOL_DEFAULT if that is
 * not among them: it runs any command, on nodes whose operator lets them run
 * commands at all. ERR_MEMORY */
FALLIBLE task_pools_of_settings(struct task_pools *out,
                                const struct settings *settings);

/* NULL: none. Borrowed until the table changes. */
const struct task_pool *task_pools_find(const struct task_pools *pools,
                                        struct bytes name);

/* Add it, or put it in place of the one of that name: `pool` is copied.
 * ERR_FULL, ERR_MEMORY: the table is as it was */
FALLIBLE task_pools_set(struct task_pools *pools, const struct task_pool *pool);
/* Nothing happens when there is none. */
void task_pools_remove(struct task_pools *pools, struct bytes name);

/* One MessagePack value each: a map by the names of the fields, so that fields
 * may be added. A writer needs at most so many bytes. */
size_t task_pool_bytes_max(const struct task_pool *pool);
void task_pool_encode(const struct task_pool *pool, struct writer *writer);
size_t task_pools_bytes_max(const struct task_pools *pools);
void task_pools_encode(const struct task_pools *pools, struct writer *writer);

/*
 * On success only, into `out` that holds nothing; keys that are not known are
 * skipped, those that are missing have their defaults. What is decoded is
 * valid.
 *
 * ERR_MALFORMED   `why` (may be NULL) says what is wrong
 * ERR_MEMORY
 */
FALLIBLE task_pool_decode(struct task_pool *out,
                          struct reader *reader,
                          struct err_detail *why);
FALLIBLE task_pools_decode(struct task_pools *out, struct reader *reader);

#endif
