#include "base/timers.h"

#include <assert.h>
#include <stddef.h>

static bool is_before(const struct timer *left, const struct timer *right)
{
    if (left->at_ns != right->at_ns) {
        return left->at_ns < right->at_ns;
    }
    return left->order < right->order;
}

static struct timer *meld(struct timer *left, struct timer *right)
{
    if (!left) {
        return right;
    }
    if (!right) {
        return left;
    }
    if (is_before(right, left)) {
        struct timer *swapped = left;
        left = right;
        right = swapped;
    }
    right->previous = left;
    right->next = left->child;
    if (left->child) {
        left->child->previous = right;
    }
    left->child = right;
    return left;
}

/* Meld pairs from left to right, then the pairs from right to left. */
static struct timer *meld_siblings(struct timer *first)
{
    struct timer *pairs = NULL;
    while (first) {
        struct timer *second = first->next;
        struct timer *rest = second ? second->next : NULL;
        first->next = NULL;
        if (second) {
            second->next = NULL;
        }
        struct timer *pair = meld(first, second);
        pair->next = pairs;
        pairs = pair;
        first = rest;
    }
    struct timer *root = NULL;
    while (pairs) {
        struct timer *rest = pairs->next;
        pairs->next = NULL;
        root = meld(root, pairs);
        pairs = rest;
    }
    return root;
}

static void take_out(struct timers *timers, struct timer *timer)
{
    assert(timer->is_set);
    struct timer *rest = meld_siblings(timer->child);
    if (timer == timers->root) {
        timers->root = rest;
    } else {
        if (timer->previous->child == timer) {
            timer->previous->child = timer->next;
        } else {
            timer->previous->next = timer->next;
        }
        if (timer->next) {
            timer->next->previous = timer->previous;
        }
        timers->root = meld(timers->root, rest);
    }
    if (timers->root) {
        timers->root->previous = NULL;
    }
    timer->child = NULL;
    timer->next = NULL;
    timer->previous = NULL;
    timer->is_set = false;
}

void timers_set(struct timers *timers, struct timer *timer, uint64_t at_ns)
{
    assert(timer->fire);
    timers_cancel(timers, timer);
    timer->at_ns = at_ns;
    timer->order = timers->set_count++;
    timer->is_set = true;
    timers->root = meld(timers->root, timer);
}

void timers_cancel(struct timers *timers, struct timer *timer)
{
    if (timer->is_set) {
        take_out(timers, timer);
    }
}

uint64_t timers_next_ns(const struct timers *timers)
{
    return timers->root ? timers->root->at_ns : TIMER_NEVER;
}

void timers_fire(struct timers *timers, uint64_t now_ns)
{
    /* What `fire` sets gets an order from `end` on and so waits. It may hide
     * an older timer behind it until the next call, which comes at once. */
    uint64_t end = timers->set_count;
    while (timers->root && timers->root->at_ns <= now_ns &&
           timers->root->order < end) {
        struct timer *timer = timers->root;
        take_out(timers, timer);
        timer->fire(timer);
    }
}
