/*
 * One thread waits until others have said something so many times.
 *
 * Embedded in the object of who waits; nobody looks at it any more once the
 * last one has said it, so that it may be on the stack.
 */

#ifndef BASE_POSIX_POSIX_LATCH_H
#define BASE_POSIX_POSIX_LATCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct posix_latch {
    pthread_mutex_t lock; /* guards `left` */
    pthread_cond_t is_over;
    size_t left;
};

/* `count` times to go. */
void posix_latch_init(struct posix_latch *latch, size_t count);
/* Nobody waits, nor says it any more. */
void posix_latch_clear(struct posix_latch *latch);

/* Any thread: once less to go. */
void posix_latch_count(struct posix_latch *latch);

/* Until it was said as often. */
void posix_latch_wait(struct posix_latch *latch);
/* The same for a time; whether it was. */
bool posix_latch_wait_ms(struct posix_latch *latch, uint64_t timeout_ms);

#endif
