/*
 * Chase & Lev 2005, "Dynamic Circular Work-Stealing Deque", with the orderings
 * of Le, Pop, Cohen & Zappa Nardelli 2013, but for two things: it is bounded,
 * so that no array is ever replaced under a thief; and where they have a
 * sequentially consistent fence between two accesses, both accesses are
 * sequentially consistent, which the thread sanitizer understands. That costs
 * the same on x86.
 *
 * Why nothing is given twice: the owner lowers `bottom` before it reads `top`;
 * a thief reads `top` before it reads `bottom`. So of the last item at least
 * one of them knows that the other may want it, and both take it by moving
 * `top`, which succeeds once.
 */

#include "base/deque.h"

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_LINE_BYTES 64

struct deque {
    /* Set once by deque_open(). */
    int64_t mask; /* capacity - 1 */
    _Atomic(void *) *slots;

    /* All threads; it only rises. */
    alignas(CACHE_LINE_BYTES) _Atomic int64_t top;

    /* The owner writes it. */
    alignas(CACHE_LINE_BYTES) _Atomic int64_t bottom;
};

enum err deque_open(struct deque **out, size_t capacity)
{
    assert(capacity > 0);
    assert((capacity & (capacity - 1)) == 0);
    struct deque *deque = aligned_alloc(CACHE_LINE_BYTES, sizeof *deque);
    if (!deque) {
        return ERR_MEMORY;
    }
    memset(deque, 0, sizeof *deque);
    deque->mask = (int64_t)capacity - 1;
    deque->slots = calloc(capacity, sizeof *deque->slots);
    if (!deque->slots) {
        free(deque);
        return ERR_MEMORY;
    }
    *out = deque;
    return ERR_NONE;
}

void deque_close(struct deque **deque)
{
    if (*deque) {
        free((*deque)->slots);
        free(*deque);
        *deque = NULL;
    }
}

static _Atomic(void *) *slot_of(struct deque *deque, int64_t index)
{
    return &deque->slots[index & deque->mask];
}

enum err deque_push(struct deque *deque, void *item)
{
    assert(item);
    /* Relaxed: only this thread writes it. */
    int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_relaxed);
    /* Acquire: pairs with the exchange of who moved it, so that the slot has
     * been read before it is written again. */
    int64_t top = atomic_load_explicit(&deque->top, memory_order_acquire);
    if (bottom - top > deque->mask) {
        return ERR_FULL;
    }
    /* Relaxed: a thief that reads it too early or too late cannot move `top`
     * from where it was. */
    atomic_store_explicit(slot_of(deque, bottom), item, memory_order_relaxed);
    /* Release: pairs with the loads in deque_steal(); it publishes the slot
     * and what it points to. */
    atomic_store_explicit(&deque->bottom, bottom + 1, memory_order_release);
    return ERR_NONE;
}

void *deque_pop(struct deque *deque)
{
    /* Relaxed: only this thread writes it. */
    int64_t bottom =
        atomic_load_explicit(&deque->bottom, memory_order_relaxed) - 1;
    atomic_store(&deque->bottom, bottom);
    int64_t top = atomic_load(&deque->top);
    void *item = NULL;
    if (top <= bottom) {
        item = atomic_load_explicit(slot_of(deque, bottom),
                                    memory_order_relaxed); /* ours alone */
    }
    if (top == bottom &&
        !atomic_compare_exchange_strong(&deque->top, &top, top + 1)) {
        item = NULL; /* a thief has the last one */
    }
    if (top >= bottom) {
        /* Empty: as it was before. Release: as in deque_push(). */
        atomic_store_explicit(&deque->bottom, bottom + 1, memory_order_release);
    }
    return item;
}

void *deque_steal(struct deque *deque)
{
    int64_t top = atomic_load(&deque->top);
    int64_t bottom = atomic_load(&deque->bottom);
    while (top < bottom) {
        /* Relaxed: what it gives counts only if `top` has not moved. */
        void *item =
            atomic_load_explicit(slot_of(deque, top), memory_order_relaxed);
        if (atomic_compare_exchange_strong(&deque->top, &top, top + 1)) {
            return item;
        }
        /* Another was faster: the failed exchange has read `top` again. */
        bottom = atomic_load(&deque->bottom);
    }
    return NULL;
}

size_t deque_count(const struct deque *deque)
{
    /* `top` first: it is not above a later `bottom` but for the moment in
     * which the owner pops. */
    int64_t top = atomic_load(&deque->top);
    int64_t bottom = atomic_load(&deque->bottom);
    return bottom > top ? (size_t)(bottom - top) : 0;
}
