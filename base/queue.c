/*
 * Source: Dmitry Vyukov, "Bounded MPMC queue" (1024cores.net), with a single
 * consumer, whose index therefore needs no compare-and-swap.
 *
 * Each cell has a turn. For the item with index `i` in the cell `i` modulo
 * the capacity:
 *
 *     turn == i              free: the producer that takes index i may write
 *     turn == i + 1          full: the consumer may read
 *     turn == i + capacity   free again, for the item one lap later
 */

#include "base/queue.h"

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_LINE_BYTES 64

struct cell {
    _Atomic size_t turn;
    void *item;
};

struct queue {
    /* Set once by queue_open(). */
    size_t mask; /* capacity - 1 */
    struct cell *cells;

    /* The producers. */
    alignas(CACHE_LINE_BYTES) _Atomic size_t pushed_count;

    /* The consumer; atomic for queue_count() only. */
    alignas(CACHE_LINE_BYTES) _Atomic size_t popped_count;
};

enum err queue_open(struct queue **out, size_t capacity)
{
    assert(capacity >= 2); /* with one cell, "full" and "free" are the same */
    assert((capacity & (capacity - 1)) == 0);
    struct queue *queue = aligned_alloc(CACHE_LINE_BYTES, sizeof *queue);
    if (!queue) {
        return ERR_MEMORY;
    }
    memset(queue, 0, sizeof *queue);
    queue->mask = capacity - 1;
    queue->cells = calloc(capacity, sizeof *queue->cells);
    if (!queue->cells) {
        free(queue);
        return ERR_MEMORY;
    }
    for (size_t i = 0; i < capacity; i++) {
        atomic_init(&queue->cells[i].turn, i);
    }
    *out = queue;
    return ERR_NONE;
}

void queue_close(struct queue **queue)
{
    if (*queue) {
        free((*queue)->cells);
        free(*queue);
        *queue = NULL;
    }
}

enum err queue_push(struct queue *queue, void *item)
{
    assert(item);
    /* Relaxed, here and below: the cell's turn decides and orders. */
    size_t index =
        atomic_load_explicit(&queue->pushed_count, memory_order_relaxed);
    for (;;) {
        struct cell *cell = &queue->cells[index & queue->mask];
        /* Acquire: pairs with the release in queue_pop(). */
        size_t turn = atomic_load_explicit(&cell->turn, memory_order_acquire);
        intptr_t lead = (intptr_t)(turn - index);
        if (lead < 0) {
            return ERR_FULL; /* still full from the lap before */
        }
        if (lead > 0) {
            /* Another producer was faster. */
            index = atomic_load_explicit(&queue->pushed_count,
                                         memory_order_relaxed);
        } else if (atomic_compare_exchange_weak_explicit(
                       &queue->pushed_count, &index, index + 1,
                       memory_order_relaxed, memory_order_relaxed)) {
            cell->item = item;
            /* Release: pairs with the acquire in queue_pop(). */
            atomic_store_explicit(&cell->turn, index + 1, memory_order_release);
            return ERR_NONE;
        }
    }
}

void *queue_pop(struct queue *queue)
{
    /* Relaxed: only this thread writes it. */
    size_t index =
        atomic_load_explicit(&queue->popped_count, memory_order_relaxed);
    struct cell *cell = &queue->cells[index & queue->mask];
    /* Acquire: pairs with the release in queue_push(). */
    if (atomic_load_explicit(&cell->turn, memory_order_acquire) != index + 1) {
        return NULL;
    }
    void *item = cell->item;
    assert(item);
    /* Release: pairs with the acquire in queue_push(). */
    atomic_store_explicit(&cell->turn, index + queue->mask + 1,
                          memory_order_release);
    /* Relaxed: for queue_count(), which promises no more than a number. */
    atomic_store_explicit(&queue->popped_count, index + 1,
                          memory_order_relaxed);
    return item;
}

size_t queue_count(const struct queue *queue)
{
    /* Relaxed: see queue_pop(). The two may be read apart: so bound it. */
    size_t popped =
        atomic_load_explicit(&queue->popped_count, memory_order_relaxed);
    size_t pushed =
        atomic_load_explicit(&queue->pushed_count, memory_order_relaxed);
    intptr_t count = (intptr_t)(pushed - popped);
    if (count < 0) {
        return 0;
    }
    return (size_t)count <= queue->mask + 1 ? (size_t)count : queue->mask + 1;
}

size_t queue_capacity(const struct queue *queue)
{
    return queue->mask + 1;
}
