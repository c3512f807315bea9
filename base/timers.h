/*
 * Timers of one reactor: set, move, cancel; fired in order of time, and in
 * order of setting when the time is the same.
 *
 * Owned by one thread. A pairing heap through the timers themselves
 * (Fredman, Sedgewick, Sleator, Tarjan 1986): setting is O(1), firing
 * O(log n) amortised, and nothing is allocated.
 */

#ifndef BASE_TIMERS_H
#define BASE_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

#define TIMER_NEVER UINT64_MAX

/* Embedded by its user. All zero is an idle timer, but for `fire`. */
struct timer {
    void (*fire)(struct timer *timer);
    uint64_t at_ns;

    /* Of timers.c. */
    uint64_t order;
    bool is_set;
    struct timer *child;
    struct timer *next;     /* sibling */
    struct timer *previous; /* sibling, or parent for the first child */
};

struct timers {
    struct timer *root;
    uint64_t set_count;
};

/* Fire at `at_ns`; a timer that is set already is moved. */
void timers_set(struct timers *timers, struct timer *timer, uint64_t at_ns);

/* Nothing happens when it is not set. */
void timers_cancel(struct timers *timers, struct timer *timer);

/* When the next one is due; TIMER_NEVER when none is set. */
uint64_t timers_next_ns(const struct timers *timers);

/*
 * Fire all that are due at `now_ns`. A timer that is set from within `fire`
 * waits for the next call, so a turn always ends.
 */
void timers_fire(struct timers *timers, uint64_t now_ns);

#endif
