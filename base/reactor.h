/*
 * One thread's loop: an inbox that others post to, timers, and what is to be
 * done at the end of a turn.
 *
 * All is called on the reactor's thread, except where it says "Any thread".
 * In the simulator nobody runs the loop: the world calls reactor_turn().
 */

#ifndef BASE_REACTOR_H
#define BASE_REACTOR_H

#include "base/env.h"
#include "base/err.h"
#include "base/timers.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct reactor;

/*
 * Something that happened elsewhere. Embedded in its poster's object, which
 * must live, and not be posted again, until `run` is called. So the inbox is
 * as bounded as its posters are.
 */
struct reactor_event {
    void (*run)(struct reactor_event *event);
    struct reactor_event *next; /* of reactor.c */
};

/* Work for the end of a turn: what gathered during it is sent then. */
struct turn_end {
    void (*run)(struct turn_end *turn_end);
    struct turn_end *next; /* of reactor.c */
    bool is_due;           /* of reactor.c */
};

struct reactor_config {
    const char *name; /* for people; static */
    const struct clock *clock;
    struct waker waker; /* {0} in the simulator */
};

/* ERR_MEMORY */
FALLIBLE reactor_open(struct reactor **out,
                      const struct reactor_config *config);

/* The inbox must be empty, no timer set, and no other thread still within
 * reactor_post() or reactor_stop(): join those threads first. */
void reactor_close(struct reactor **reactor);

/* Any thread. Events of one thread run in the order of posting. */
void reactor_post(struct reactor *reactor, struct reactor_event *event);

/* Have `turn_end` run when this turn ends; once, however often it is said. */
void reactor_at_turn_end(struct reactor *reactor, struct turn_end *turn_end);

/* Forget it if it is due: before its object is freed. */
void reactor_forget_turn_end(struct reactor *reactor,
                             struct turn_end *turn_end);

/* The time when this turn began. */
uint64_t reactor_now_ns(const struct reactor *reactor);

/* Set relative to reactor_now_ns(). */
void reactor_timer_set(struct reactor *reactor,
                       struct timer *timer,
                       uint64_t after_ns);
void reactor_timer_cancel(struct reactor *reactor, struct timer *timer);

/*
 * One turn: the inbox as it is now, then the timers that are due, then the
 * turn's end. Returns how long nothing will be due, in ns: 0 when there is
 * more to do, TIMER_NEVER when all waits for others.
 */
uint64_t reactor_turn(struct reactor *reactor);

/* Whether something was posted that has not run yet. Any thread. */
bool reactor_has_events(const struct reactor *reactor);

/* Turn and sleep until reactor_stop(). */
void reactor_run(struct reactor *reactor);

/* Any thread. reactor_run() returns after its turn. */
void reactor_stop(struct reactor *reactor);

/* Turns since open. Any thread. */
uint64_t reactor_turn_count(const struct reactor *reactor);

#endif
