#include "tests/support/check.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/owner.h"
#include "base/posix/posix_executor.h"
#include "base/posix/posix_reactor.h"

#define JOB_COUNT 1000

struct work {
    struct job job;
    struct order *order;
    uint32_t number;
    pthread_t worked_on;
    pthread_t done_on;
};

/* What was done in which order; each list belongs to one thread. */
struct order {
    struct reactor *home;
    uint32_t worked[JOB_COUNT];
    uint32_t worked_count;
    uint32_t done_count;
    bool is_in_order;
};

static void on_work(struct job *job)
{
    struct work *work = OWNER_OF(job, struct work, job);
    work->worked_on = pthread_self();
    work->order->worked[work->order->worked_count++] = work->number;
}

static void on_done(struct job *job)
{
    struct work *work = OWNER_OF(job, struct work, job);
    struct order *order = work->order;
    work->done_on = pthread_self();
    order->is_in_order =
        order->is_in_order && work->number == order->done_count;
    order->done_count++;
    if (order->done_count == JOB_COUNT) {
        reactor_stop(order->home);
    }
}

static void works_elsewhere_and_ends_at_home_in_order(void **state)
{
    (void)state;
    static struct work works[JOB_COUNT];
    static struct order order;
    struct posix_executor *executor = NULL;
    struct posix_reactor *runner = NULL;
    CHECK_OK(posix_reactor_open(&runner, "home"));
    CHECK_OK(posix_executor_open(&executor, "worker"));
    order =
        (struct order){.home = posix_reactor_get(runner), .is_in_order = true};
    for (uint32_t i = 0; i < JOB_COUNT; i++) {
        works[i] = (struct work){
            .job = {.work = on_work, .done = on_done, .home = order.home},
            .order = &order,
            .number = i};
        executor_run(posix_executor_table(executor), &works[i].job);
    }
    reactor_run(order.home);
    CHECK(order.done_count == JOB_COUNT);
    CHECK(order.is_in_order);
    for (uint32_t i = 0; i < JOB_COUNT; i++) {
        CHECK(order.worked[i] == i);
        CHECK(pthread_equal(works[i].done_on, pthread_self()));
        CHECK(!pthread_equal(works[i].worked_on, pthread_self()));
    }
    posix_executor_close(&executor);
    CHECK(executor == NULL);
    posix_reactor_close(&runner);
}

static void closes_what_had_no_job(void **state)
{
    (void)state;
    struct posix_executor *executor = NULL;
    posix_executor_close(&executor);
    CHECK_OK(posix_executor_open(&executor, "worker"));
    posix_executor_close(&executor);
    CHECK(executor == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(works_elsewhere_and_ends_at_home_in_order),
        cmocka_unit_test(closes_what_had_no_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
