#include "base/posix/posix_latch.h"

#include "base/time_units.h"

#include <assert.h>
#include <time.h>

void posix_latch_init(struct posix_latch *latch, size_t count)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&latch->lock, NULL);
    (void)pthread_cond_init(&latch->is_over, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    latch->left = count;
}

void posix_latch_clear(struct posix_latch *latch)
{
    (void)pthread_cond_destroy(&latch->is_over);
    (void)pthread_mutex_destroy(&latch->lock);
}

void posix_latch_count(struct posix_latch *latch)
{
    (void)pthread_mutex_lock(&latch->lock);
    assert(latch->left > 0);
    if (--latch->left == 0) {
        /* While it is locked: who waits must not clear it before. */
        (void)pthread_cond_broadcast(&latch->is_over);
    }
    (void)pthread_mutex_unlock(&latch->lock);
}

void posix_latch_wait(struct posix_latch *latch)
{
    (void)pthread_mutex_lock(&latch->lock);
    while (latch->left > 0) {
        (void)pthread_cond_wait(&latch->is_over, &latch->lock);
    }
    (void)pthread_mutex_unlock(&latch->lock);
}

bool posix_latch_wait_ms(struct posix_latch *latch, uint64_t timeout_ms)
{
    struct timespec until = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + timeout_ms % 1000 * NS_PER_MS;
    until.tv_sec += (time_t)(timeout_ms / 1000 + ns / NS_PER_S);
    until.tv_nsec = (long)(ns % NS_PER_S);
    int code = 0;
    (void)pthread_mutex_lock(&latch->lock);
    while (latch->left > 0 && code == 0) {
        code = pthread_cond_timedwait(&latch->is_over, &latch->lock, &until);
    }
    bool is_over = latch->left == 0;
    (void)pthread_mutex_unlock(&latch->lock);
    return is_over;
}
