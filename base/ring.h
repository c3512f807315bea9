/*
 * A bounded ring of pointers from one thread to one other.
 *
 * One producer pushes, one consumer pops; neither waits. What is pushed is
 * shared in the order of pushing, and all that the producer wrote before is
 * seen by the consumer.
 */

#ifndef BASE_RING_H
#define BASE_RING_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct ring;

/* `capacity` items: a power of two. ERR_MEMORY */
FALLIBLE ring_open(struct ring **out, size_t capacity);

/* Nobody may use it any more; items that are left in it are not freed. */
void ring_close(struct ring **ring);

/* The producer. `item` is not NULL. ERR_FULL */
FALLIBLE ring_push(struct ring *ring, void *item);

/* The producer. Pushes the first of `items` that fit; returns how many. */
size_t ring_push_many(struct ring *ring, void *const *items, size_t count);

/* The consumer. The oldest item, NULL when empty. */
void *ring_pop(struct ring *ring);

/* The consumer. Pops the oldest into `items`; returns how many. */
size_t ring_pop_many(struct ring *ring, void **items, size_t count_max);

/* The consumer: exact. The producer: it may have become empty since. */
bool ring_is_empty(const struct ring *ring);

/* Any thread: how many there were a moment ago. */
size_t ring_count(const struct ring *ring);

size_t ring_capacity(const struct ring *ring);

#endif
