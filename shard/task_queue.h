/*
 * What a coordinator queues its tasks in.
 *
 *   ready queue   of a pool: by priority, then by turns among tenants, as many
 *                 tasks in a turn as a tenant has weight, then first come first
 *                 served. Everything in the same time, however many there are
 *   order queue   tasks with the same order key, one after another
 *   due heap      what is to happen when
 *
 * Through the tasks themselves (task->next, task->previous). Pure.
 */

#ifndef SHARD_TASK_QUEUE_H
#define SHARD_TASK_QUEUE_H

#include "shard/task_book.h"

/* Through next and previous. */
struct task_chain {
    struct task *first;
    struct task *last;
    uint64_t count;
};

void chain_push(struct task_chain *chain, struct task *task);
void chain_remove(struct task_chain *chain, struct task *task);

/* ---- ready ---- */

#define TENANT_COUNT_MAX 1024 /* in a queue; further ones share one */

struct tenant {
    struct tenant *next;      /* of all; */
    struct tenant *next_turn; /* of those that have ready tasks, of this
                                 priority: a ring */
    struct task_chain ready;
    uint32_t weight;
    uint32_t left; /* of its turn */
    uint8_t name_bytes;
    uint8_t name[];
};

struct ready_queue {
    struct {
        struct tenant *all;
        struct tenant *turn; /* who has been served last; NULL: none is ready */
        uint32_t count;
    } levels[TASK_PRIORITY_COUNT];
    uint64_t count;
};

/* ERR_MEMORY. In front: it was given out, and comes back. */
FALLIBLE ready_push(struct ready_queue *queue,
                    struct task *task,
                    const struct task_pool *settings,
                    bool is_in_front);
/* NULL: none. It stays in. */
struct task *ready_first(const struct ready_queue *queue);
void ready_remove(struct ready_queue *queue, struct task *task);
void ready_clear(struct ready_queue *queue);

/* ---- in order ---- */

struct order_queue {
    struct order_queue *same_hash;
    uint64_t hash;
    struct task *head; /* its turn; the others are behind: */
    struct task_chain behind;
};

struct order_queues {
    struct order_queue **slots;
    size_t slot_count;
    size_t count;
};

/* Enter a task that has an order key. `*is_first`: it is its turn; else
 * it waits behind others. Nothing happens when it is the head. ERR_MEMORY */
FALLIBLE order_enter(struct order_queues *queues,
                     struct task *task,
                     bool *is_first);
/* It has ended: whose turn it is now, or NULL. */
struct task *order_leave(struct order_queues *queues, struct task *task);
void order_clear(struct order_queues *queues);

/* ---- due ---- */

struct due {
    int64_t at_ms;
    uint64_t id;
};

struct due_heap {
    struct due *list;
    size_t count;
    size_t capacity;
};

/* ERR_MEMORY */
FALLIBLE due_push(struct due_heap *heap, struct due due);
/* Its first, if that is due; else false. */
bool due_pop(struct due_heap *heap, int64_t now_ms, struct due *out);
/* INT64_MAX: none */
int64_t due_first_ms(const struct due_heap *heap);
void due_clear(struct due_heap *heap);

#endif
