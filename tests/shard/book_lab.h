/*
 * A book of tasks by itself, without a coordinator.
 */

#ifndef TESTS_SHARD_BOOK_LAB_H
#define TESTS_SHARD_BOOK_LAB_H

#include "shard/task_book.h"

#define BOOK_LAB_SHARD_COUNT 4u
#define BOOK_LAB_SUBMISSION_COUNT 8u /* are remembered */

/* Asserts that there is memory. `pools` is borrowed, and outlives it. */
struct book *book_lab_open(uint32_t shard, const struct task_pools *pools);

/* Make the one what the other is, by a snapshot; asserts that it is taken, and
 * that they are equal then. */
void book_lab_copy(struct book *from, struct book *to);

#endif
