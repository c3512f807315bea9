/*
 * Lamport's queue of one producer and one consumer. Both indexes only rise;
 * an item's slot is its index modulo the capacity. Each side keeps the last
 * known index of the other and reads the real one only when that does not
 * suffice, so the line of the other side's index moves between the cores once
 * per batch and not once per item.
 */

#include "base/ring.h"

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_LINE_BYTES 64

struct ring {
    /* Set once by ring_open(). */
    size_t mask; /* capacity - 1 */
    void **slots;

    /* The producer. */
    alignas(CACHE_LINE_BYTES) _Atomic size_t pushed_count;
    size_t popped_count_seen;

    /* The consumer. */
    alignas(CACHE_LINE_BYTES) _Atomic size_t popped_count;
    size_t pushed_count_seen;
};

enum err ring_open(struct ring **out, size_t capacity)
{
    assert(capacity > 0);
    assert((capacity & (capacity - 1)) == 0);
    struct ring *ring = aligned_alloc(CACHE_LINE_BYTES, sizeof *ring);
    if (!ring) {
        return ERR_MEMORY;
    }
    memset(ring, 0, sizeof *ring);
    ring->mask = capacity - 1;
    ring->slots = calloc(capacity, sizeof *ring->slots);
    if (!ring->slots) {
        free(ring);
        return ERR_MEMORY;
    }
    *out = ring;
    return ERR_NONE;
}

void ring_close(struct ring **ring)
{
    if (*ring) {
        free((*ring)->slots);
        free(*ring);
        *ring = NULL;
    }
}

size_t ring_push_many(struct ring *ring, void *const *items, size_t count)
{
    /* Relaxed: only this thread writes it. */
    size_t pushed =
        atomic_load_explicit(&ring->pushed_count, memory_order_relaxed);
    size_t room = ring->mask + 1 - (pushed - ring->popped_count_seen);
    if (room < count) {
        /* Acquire: pairs with the release in ring_pop_many(), so the slots
         * have been read before we write them. */
        ring->popped_count_seen =
            atomic_load_explicit(&ring->popped_count, memory_order_acquire);
        room = ring->mask + 1 - (pushed - ring->popped_count_seen);
        count = room < count ? room : count;
    }
    assert(room <= ring->mask + 1);
    for (size_t i = 0; i < count; i++) {
        assert(items[i]);
        ring->slots[(pushed + i) & ring->mask] = items[i];
    }
    /* Release: pairs with the acquires in ring_pop_many() and
     * ring_is_empty(); it publishes the slots and what they point to. */
    atomic_store_explicit(&ring->pushed_count, pushed + count,
                          memory_order_release);
    return count;
}

enum err ring_push(struct ring *ring, void *item)
{
    return ring_push_many(ring, &item, 1) == 1 ? ERR_NONE : ERR_FULL;
}

size_t ring_pop_many(struct ring *ring, void **items, size_t count_max)
{
    /* Relaxed: only this thread writes it. */
    size_t popped =
        atomic_load_explicit(&ring->popped_count, memory_order_relaxed);
    size_t count = ring->pushed_count_seen - popped;
    if (count < count_max) {
        /* Acquire: pairs with the release in ring_push_many(). */
        ring->pushed_count_seen =
            atomic_load_explicit(&ring->pushed_count, memory_order_acquire);
        count = ring->pushed_count_seen - popped;
    }
    assert(count <= ring->mask + 1);
    count = count < count_max ? count : count_max;
    for (size_t i = 0; i < count; i++) {
        items[i] = ring->slots[(popped + i) & ring->mask];
    }
    /* Release: pairs with the acquire in ring_push_many(); the slots may be
     * written again. */
    atomic_store_explicit(&ring->popped_count, popped + count,
                          memory_order_release);
    return count;
}

void *ring_pop(struct ring *ring)
{
    void *item = NULL;
    (void)ring_pop_many(ring, &item, 1);
    return item;
}

bool ring_is_empty(const struct ring *ring)
{
    return ring_count(ring) == 0;
}

size_t ring_count(const struct ring *ring)
{
    /* Acquire, both: pair with the releases of the two sides. `popped` is
     * read first, so it is never above `pushed`. */
    size_t popped =
        atomic_load_explicit(&ring->popped_count, memory_order_acquire);
    size_t pushed =
        atomic_load_explicit(&ring->pushed_count, memory_order_acquire);
    size_t count = pushed - popped;
    return count <= ring->mask + 1 ? count : ring->mask + 1;
}

size_t ring_capacity(const struct ring *ring)
{
    return ring->mask + 1;
}
