/*
 * A bounded deque of pointers: one owner pushes and pops at the bottom, any
 * thread steals at the top.
 *
 * Nobody waits. What the owner wrote before pushing is seen by who steals.
 * Stealing gives the oldest item, popping the newest.
 */

#ifndef BASE_DEQUE_H
#define BASE_DEQUE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct deque;

/* `capacity` items: a power of two. ERR_MEMORY */
FALLIBLE deque_open(struct deque **out, size_t capacity);

/* Nobody may use it any more; items that are left in it are not freed. */
void deque_close(struct deque **deque);

/* The owner. `item` is not NULL. ERR_FULL */
FALLIBLE deque_push(struct deque *deque, void *item);

/* The owner. The newest item, NULL when empty. */
void *deque_pop(struct deque *deque);

/* Any thread. The oldest item; NULL when it was empty. */
void *deque_steal(struct deque *deque);

/* Any thread: how many there were a moment ago. */
size_t deque_count(const struct deque *deque);

#endif
