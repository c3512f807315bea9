/*
 * Tasks as data: what is submitted, what has become of it, and how both are
 * written.
 *
 * Pure.
 */

#ifndef SHARD_TASK_H
#define SHARD_TASK_H

#include "base/bytes.h"
#include "base/err.h"
#include "shard/task_run.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A task's id: its shard, and how many that shard had before. People write it
 * "17-4021". Those of volatile pools begin anew with each leader, whose term
 * stands in their number.
 */
#define TASK_SEQUENCE_BITS 52
#define TASK_VOLATILE_BIT (UINT64_C(1) << 51)
#define TASK_ID_BYTES 24 /* as a text, with its zero */

static inline uint64_t task_id(uint32_t shard, uint64_t sequence)
{
    return (uint64_t)shard << TASK_SEQUENCE_BITS | sequence;
}

static inline uint32_t task_id_shard(uint64_t id)
{
    return (uint32_t)(id >> TASK_SEQUENCE_BITS);
}

static inline uint64_t task_id_sequence(uint64_t id)
{
    return id & ((UINT64_C(1) << TASK_SEQUENCE_BITS) - 1);
}

static inline bool task_id_is_volatile(uint64_t id)
{
    return (id & TASK_VOLATILE_BIT) != 0;
}

void task_id_text(char to[static TASK_ID_BYTES], uint64_t id);
/* ERR_MALFORMED */
FALLIBLE task_id_parse(uint64_t *out, const char *text);

#define TASK_KEY_BYTES_MAX 255 /* of a key, an order key, a tenant */
#define TASK_AFTER_COUNT_MAX 32
#define TASK_WHY_BYTES 256 /* with its zero: why an attempt failed */
/* Of a result: what any pool keeps, and what a command's is wrapped in. */
#define TASK_OUTPUT_BYTES_MAX (TASK_POOL_OUTPUT_BYTES_MAX + 256)

/* What is submitted. Borrowed. */
struct task_spec {
    struct bytes payload;
    struct bytes key;   /* idempotency: one task of the pool has it; "": none */
    struct bytes order; /* tasks of the pool with the same one run one after
                           another, in the order of submission; "": none */
    struct bytes tenant;   /* "": the one that has no name */
    uint8_t priority;      /* below TASK_PRIORITY_COUNT */
    uint64_t delay_ms;     /* not to begin before */
    uint64_t ttl_ms;       /* to have begun by then, else it expires; 0: none */
    uint32_t attempts_max; /* 0: the pool's */
    uint32_t timeout_ms;   /* of an attempt; 0: the pool's */
    uint32_t after_count;  /* tasks that must be done before; if one of them
                              ends otherwise, this one fails */
    uint64_t after[TASK_AFTER_COUNT_MAX];
};

/* The plainest: all but the payload as it is by default. */
struct task_spec task_spec_of(struct bytes payload);

size_t task_spec_bytes_max(const struct task_spec *spec);
/* Of its fields those behind which all are defaults are left out. */
void task_spec_encode(const struct task_spec *spec, struct writer *writer);
/* Fields that a newer release has added are skipped; fails the reader. */
void task_spec_decode(struct task_spec *out, struct reader *reader);

/* The shard of a pool's name: what a pool has once is there. */
uint32_t task_pool_shard(const char *pool, uint32_t shard_count);

/* Parts of a spec that its shard's snapshot has, too. Both fail the reader. */
struct bytes task_key_decode(struct reader *reader); /* or tenant, ... */
void task_after_encode(const uint64_t *after,
                       uint32_t count,
                       struct writer *writer);
void task_after_decode(struct task_spec *out, struct reader *reader);

/* Where it belongs: the shard of its key, or order key, or that of a pool which
 * is single; UINT32_MAX: wherever there is room. */
uint32_t task_spec_shard(const struct task_spec *spec,
                         const struct task_pool *pool,
                         uint32_t shard_count);

enum task_state {
    TASK_WAITING, /* also while it runs: leases are not replicated */
    TASK_DONE,
    TASK_DEAD, /* failed for good: a dead letter */
    TASK_CANCELLED,
    TASK_EXPIRED, /* not begun by its deadline */
    TASK_STATE_COUNT,
};

/* "waiting", "done", ...; static. */
const char *task_state_name(enum task_state state);

/* What an attempt says of itself while it runs; nothing of it is kept. */
struct task_said {
    uint64_t number; /* the same as long as it says the same; 0: nothing yet */
    uint32_t done_of_1000;
    char text[TASK_WHY_BYTES]; /* whatever the handler wrote */
};

/* What has become of one that has ended, for whoever waits for it. */
struct task_end {
    uint64_t id;
    enum task_state state;
    uint32_t attempts;   /* that were made */
    int64_t accepted_ms; /* Unix time */
    int64_t ended_ms;
    struct bytes output; /* borrowed */
    struct bytes why;    /* "": nothing to say */
};

size_t task_end_bytes_max(const struct task_end *end);
void task_end_encode(const struct task_end *end, struct writer *writer);
void task_end_decode(struct task_end *out, struct reader *reader);

#endif
