/*
 * A bounded queue of pointers from any number of threads to one.
 *
 * Pushing never waits. Items of one thread stay in order; all that it wrote
 * before pushing is seen by the consumer.
 */

#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include "base/err.h"

#include <stddef.h>

struct queue;

/* `capacity` items: a power of two, at least 2. ERR_MEMORY */
FALLIBLE queue_open(struct queue **out, size_t capacity);

/* Nobody may use it any more; items that are left in it are not freed. */
void queue_close(struct queue **queue);

/* Any thread. `item` is not NULL. ERR_FULL: `capacity` items wait. */
FALLIBLE queue_push(struct queue *queue, void *item);

/*
 * The consumer. The oldest item; NULL when empty, and also while the push of
 * the oldest has begun but not returned: so whoever pushes wakes the consumer
 * afterwards.
 */
void *queue_pop(struct queue *queue);

/* Any thread: how many there were a moment ago. */
size_t queue_count(const struct queue *queue);

size_t queue_capacity(const struct queue *queue);

#endif
