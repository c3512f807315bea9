#include "base/reactor.h"

#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>

struct reactor {
    /* Set once by reactor_open(). */
    const char *name;
    const struct clock *clock;
    struct waker waker;

    /* Any thread, atomically. The newest event first. */
    alignas(64) _Atomic(struct reactor_event *) inbox;
    _Atomic bool is_asleep;
    _Atomic bool is_stopping;
    _Atomic uint64_t turn_count;

    /* The reactor's thread. */
    alignas(64) struct timers timers;
    uint64_t now_ns;
    struct turn_end *turn_ends;
};

enum err reactor_open(struct reactor **out, const struct reactor_config *config)
{
    struct reactor *reactor = aligned_alloc(64, sizeof *reactor);
    if (!reactor) {
        return ERR_MEMORY;
    }
    *reactor = (struct reactor){
        .name = config->name,
        .clock = config->clock,
        .waker = config->waker,
        .now_ns = clock_now_ns(config->clock),
    };
    *out = reactor;
    return ERR_NONE;
}

void reactor_close(struct reactor **reactor)
{
    if (!*reactor) {
        return;
    }
    assert(atomic_load(&(*reactor)->inbox) == NULL);
    assert(timers_next_ns(&(*reactor)->timers) == TIMER_NEVER);
    free(*reactor);
    *reactor = NULL;
}

static void wake(struct reactor *reactor)
{
    /* Pairs with the store in sleep_for(): either it sees our event, or we
     * see that it sleeps. */
    if (atomic_load(&reactor->is_asleep) && reactor->waker.wake) {
        reactor->waker.wake(reactor->waker.context);
    }
}

void reactor_post(struct reactor *reactor, struct reactor_event *event)
{
    assert(event->run);
    struct reactor_event *newest = atomic_load(&reactor->inbox);
    do {
        event->next = newest;
    } while (!atomic_compare_exchange_weak(&reactor->inbox, &newest, event));
    if (!newest) {
        wake(reactor);
    }
}

void reactor_at_turn_end(struct reactor *reactor, struct turn_end *turn_end)
{
    assert(turn_end->run);
    if (!turn_end->is_due) {
        turn_end->is_due = true;
        turn_end->next = reactor->turn_ends;
        reactor->turn_ends = turn_end;
    }
}

void reactor_forget_turn_end(struct reactor *reactor, struct turn_end *turn_end)
{
    if (!turn_end->is_due) {
        return;
    }
    struct turn_end **at = &reactor->turn_ends;
    while (*at != turn_end) {
        assert(*at);
        at = &(*at)->next;
    }
    *at = turn_end->next;
    turn_end->is_due = false;
}

uint64_t reactor_now_ns(const struct reactor *reactor)
{
    return reactor->now_ns;
}

void reactor_timer_set(struct reactor *reactor,
                       struct timer *timer,
                       uint64_t after_ns)
{
    timers_set(&reactor->timers, timer, reactor->now_ns + after_ns);
}

void reactor_timer_cancel(struct reactor *reactor, struct timer *timer)
{
    timers_cancel(&reactor->timers, timer);
}

/* Take all that was posted, oldest first. */
static struct reactor_event *take_inbox(struct reactor *reactor)
{
    struct reactor_event *newest = atomic_exchange(&reactor->inbox, NULL);
    struct reactor_event *oldest = NULL;
    while (newest) {
        struct reactor_event *before = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = before;
    }
    return oldest;
}

static void run_inbox(struct reactor *reactor)
{
    struct reactor_event *event = take_inbox(reactor);
    while (event) {
        struct reactor_event *next = event->next; /* `run` may free it */
        event->run(event);
        event = next;
    }
}

static void run_turn_ends(struct reactor *reactor)
{
    while (reactor->turn_ends) {
        struct turn_end *turn_end = reactor->turn_ends;
        reactor->turn_ends = turn_end->next;
        turn_end->is_due = false;
        turn_end->run(turn_end);
    }
}

uint64_t reactor_turn(struct reactor *reactor)
{
    reactor->now_ns = clock_now_ns(reactor->clock);
    run_inbox(reactor);
    timers_fire(&reactor->timers, reactor->now_ns);
    run_turn_ends(reactor);
    atomic_fetch_add(&reactor->turn_count, 1);

    if (atomic_load(&reactor->inbox)) {
        return 0;
    }
    uint64_t next_ns = timers_next_ns(&reactor->timers);
    if (next_ns == TIMER_NEVER) {
        return TIMER_NEVER;
    }
    uint64_t now_ns = clock_now_ns(reactor->clock);
    return next_ns > now_ns ? next_ns - now_ns : 0;
}

static void sleep_for(struct reactor *reactor, uint64_t timeout_ns)
{
    atomic_store(&reactor->is_asleep, true);
    /* Pairs with the load in wake(). */
    if (!atomic_load(&reactor->inbox) && !atomic_load(&reactor->is_stopping)) {
        reactor->waker.wait(reactor->waker.context, timeout_ns);
    }
    atomic_store(&reactor->is_asleep, false);
}

void reactor_run(struct reactor *reactor)
{
    assert(reactor->waker.wait);
    while (!atomic_load(&reactor->is_stopping)) {
        uint64_t idle_ns = reactor_turn(reactor);
        if (idle_ns > 0) {
            sleep_for(reactor, idle_ns);
        }
    }
    atomic_store(&reactor->is_stopping, false);
}

void reactor_stop(struct reactor *reactor)
{
    atomic_store(&reactor->is_stopping, true);
    wake(reactor);
}

bool reactor_has_events(const struct reactor *reactor)
{
    return atomic_load(&reactor->inbox) != NULL;
}

uint64_t reactor_turn_count(const struct reactor *reactor)
{
    return atomic_load(&reactor->turn_count);
}
