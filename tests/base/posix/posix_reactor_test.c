#include "tests/support/check.h"

#include <pthread.h>
#include <semaphore.h>

#include "base/owner.h"
#include "base/posix/posix_clock.h"
#include "base/posix/posix_reactor.h"
#include "base/time_units.h"

/* Something that the reactor does, and that the test waits for. */
struct work {
    struct reactor_event event;
    struct timer timer;
    struct reactor *reactor;
    pthread_t thread; /* that did it */
    char thread_name[16];
    uint64_t fired_ns;
    sem_t is_done;
};

static void on_timer(struct timer *timer)
{
    struct work *work = OWNER_OF(timer, struct work, timer);
    work->fired_ns = reactor_now_ns(work->reactor);
    sem_post(&work->is_done);
}

static void on_event(struct reactor_event *event)
{
    struct work *work = OWNER_OF(event, struct work, event);
    work->thread = pthread_self();
    (void)pthread_getname_np(work->thread, work->thread_name,
                             sizeof work->thread_name);
    reactor_timer_set(work->reactor, &work->timer, NS_PER_MS);
}

static void work_init(struct work *work, struct posix_reactor *runner)
{
    *work = (struct work){.event.run = on_event,
                          .timer.fire = on_timer,
                          .reactor = posix_reactor_get(runner)};
    CHECK(sem_init(&work->is_done, 0, 0) == 0);
}

static void work_do(struct work *work)
{
    reactor_post(work->reactor, &work->event);
    while (sem_wait(&work->is_done) != 0) {
    }
}

static void runs_events_and_timers_on_its_own_thread(void **state)
{
    (void)state;
    struct posix_reactor *runner = NULL;
    struct work work;
    CHECK_OK(posix_reactor_open(&runner, "worker"));
    work_init(&work, runner);
    CHECK_OK(posix_reactor_start(runner));
    uint64_t begun_ns = clock_now_ns(posix_clock());
    work_do(&work);
    posix_reactor_close(&runner);
    CHECK(runner == NULL);
    CHECK(!pthread_equal(work.thread, pthread_self()));
    assert_string_equal(work.thread_name, "worker");
    CHECK(work.fired_ns >= begun_ns + NS_PER_MS);
    sem_destroy(&work.is_done);
}

static void nothing_runs_before_the_start_and_after_the_stop(void **state)
{
    (void)state;
    struct posix_reactor *runner = NULL;
    struct work work;
    CHECK_OK(posix_reactor_open(&runner, "worker"));
    work_init(&work, runner);
    const struct reactor *reactor = posix_reactor_get(runner);
    CHECK(reactor_turn_count(reactor) == 0);
    CHECK_OK(posix_reactor_start(runner));
    work_do(&work);
    posix_reactor_stop(runner);
    uint64_t turn_count = reactor_turn_count(reactor);
    reactor_post(work.reactor, &work.event); /* waits for the next start */
    CHECK(reactor_has_events(reactor));
    CHECK(reactor_turn_count(reactor) == turn_count);
    CHECK_OK(posix_reactor_start(runner));
    while (sem_wait(&work.is_done) != 0) {
    }
    posix_reactor_close(&runner);
    sem_destroy(&work.is_done);
}

static void starts_and_stops_at_once(void **state)
{
    (void)state;
    struct posix_reactor *runner = NULL;
    CHECK_OK(posix_reactor_open(&runner, "worker"));
    for (int i = 0; i < 200; i++) {
        CHECK_OK(posix_reactor_start(runner)); /* asleep, turning, not begun */
        posix_reactor_stop(runner);
    }
    posix_reactor_stop(runner); /* nothing happens */
    posix_reactor_close(&runner);
}

static void closes_what_never_ran(void **state)
{
    (void)state;
    struct posix_reactor *runner = NULL;
    posix_reactor_stop(NULL);
    posix_reactor_close(&runner);
    CHECK_OK(posix_reactor_open(&runner, "idle"));
    posix_reactor_close(&runner);
    CHECK(runner == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_events_and_timers_on_its_own_thread),
        cmocka_unit_test(nothing_runs_before_the_start_and_after_the_stop),
        cmocka_unit_test(starts_and_stops_at_once),
        cmocka_unit_test(closes_what_never_ran),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
