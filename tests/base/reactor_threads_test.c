#include "tests/support/check.h"

#include <stdlib.h>

#include "base/owner.h"
#include "base/posix/posix_clock.h"
#include "base/posix/posix_thread.h"
#include "base/posix/posix_waker.h"
#include "base/reactor.h"

#define RALLY_COUNT 5000
#define POSTER_COUNT 3
#define POST_COUNT 2000 /* of each poster */

/* A reactor on a thread of its own, with a real waker. */
struct runner {
    struct posix_waker *waker;
    struct reactor *reactor;
    struct posix_thread *thread;
};

static void run(void *argument)
{
    struct runner *runner = argument;
    reactor_run(runner->reactor);
}

static void runner_start(struct runner *runner)
{
    CHECK_OK(posix_waker_open(&runner->waker));
    CHECK_OK(reactor_open(
        &runner->reactor,
        &(struct reactor_config){.name = "test",
                                 .clock = posix_clock(),
                                 .waker = posix_waker_table(runner->waker)}));
    CHECK_OK(posix_thread_start(&runner->thread, "reactor", run, runner));
}

/* Whoever posts to it or stops it must have ended before. */
static void runner_close(struct runner *runner)
{
    CHECK(reactor_turn_count(runner->reactor) > 0);
    reactor_close(&runner->reactor);
    posix_waker_close(&runner->waker);
}

/* One event that two reactors send to and fro: a lost wake hangs them. */
struct ball {
    struct reactor_event event;
    struct runner *sides;
    int hit_count; /* whoever has the ball */
};

static void hit(struct reactor_event *event)
{
    struct ball *ball = OWNER_OF(event, struct ball, event);
    if (++ball->hit_count < RALLY_COUNT) {
        reactor_post(ball->sides[ball->hit_count % 2].reactor, event);
    } else {
        reactor_stop(ball->sides[0].reactor);
        reactor_stop(ball->sides[1].reactor);
    }
}

static void two_reactors_wake_each_other(void **state)
{
    (void)state;
    struct runner sides[2] = {0};
    struct ball ball = {.event.run = hit, .sides = sides};
    runner_start(&sides[0]);
    runner_start(&sides[1]);
    reactor_post(sides[0].reactor, &ball.event);
    posix_thread_join(&sides[0].thread);
    posix_thread_join(&sides[1].thread);
    runner_close(&sides[0]);
    runner_close(&sides[1]);
    CHECK(ball.hit_count == RALLY_COUNT);
}

struct target {
    struct runner runner;
    /* The reactor's thread. */
    int next[POSTER_COUNT];
    int run_count;
    int wrong_count;
};

struct poster {
    struct target *target;
    int index;
    struct posix_thread *thread;
};

struct numbered {
    struct reactor_event event;
    struct target *target;
    int poster;
    int number;
};

static void on_numbered(struct reactor_event *event)
{
    struct numbered *numbered = OWNER_OF(event, struct numbered, event);
    struct target *target = numbered->target;
    target->wrong_count += target->next[numbered->poster]++ != numbered->number;
    if (++target->run_count == POSTER_COUNT * POST_COUNT) {
        reactor_stop(target->runner.reactor);
    }
    free(numbered);
}

static void post_numbers(void *argument)
{
    const struct poster *poster = argument;
    for (int i = 0; i < POST_COUNT; i++) {
        struct numbered *numbered = calloc(1, sizeof *numbered);
        if (!numbered) {
            abort();
        }
        numbered->event.run = on_numbered;
        numbered->target = poster->target;
        numbered->poster = poster->index;
        numbered->number = i;
        reactor_post(poster->target->runner.reactor, &numbered->event);
    }
}

static void runs_all_that_many_threads_post_in_their_order(void **state)
{
    (void)state;
    struct target target = {0};
    struct poster posters[POSTER_COUNT] = {0};
    runner_start(&target.runner);
    for (int i = 0; i < POSTER_COUNT; i++) {
        posters[i] = (struct poster){.target = &target, .index = i};
        CHECK_OK(posix_thread_start(&posters[i].thread, "poster", post_numbers,
                                    &posters[i]));
    }
    for (int i = 0; i < POSTER_COUNT; i++) {
        posix_thread_join(&posters[i].thread);
    }
    posix_thread_join(&target.runner.thread);
    runner_close(&target.runner);
    CHECK(target.run_count == POSTER_COUNT * POST_COUNT);
    CHECK(target.wrong_count == 0);
}

static void stops_when_another_thread_says_so(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        struct runner runner = {0};
        runner_start(&runner);
        reactor_stop(runner.reactor); /* asleep, turning or not begun */
        posix_thread_join(&runner.thread);
        reactor_close(&runner.reactor);
        posix_waker_close(&runner.waker);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_reactors_wake_each_other),
        cmocka_unit_test(runs_all_that_many_threads_post_in_their_order),
        cmocka_unit_test(stops_when_another_thread_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
