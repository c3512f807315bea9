/* C functions in threads. */

#include "tests/support/check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/test_crew.h"

#define RUN_COUNT 20000

/* For handlers, which are given nothing but their task. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool is_open;        /* those who wait may go on */
    uint32_t wait_count; /* who waits */
    _Atomic uint32_t times[RUN_COUNT + 1];
} gate = {.mutex = PTHREAD_MUTEX_INITIALIZER,
          .changed = PTHREAD_COND_INITIALIZER};

static int count_it(struct troupe_task *task)
{
    atomic_fetch_add(&gate.times[troupe_task_id(task)], 1);
    return TROUPE_TASK_DONE;
}

static int echo(struct troupe_task *task)
{
    size_t length = 0;
    const void *payload = troupe_task_payload(task, &length);
    (void)troupe_task_write(task, payload, length);
    (void)troupe_task_printf(task, " %u %u", (unsigned)troupe_task_token(task),
                             troupe_task_attempt(task));
    return TROUPE_TASK_DONE;
}

static int fail_as_told(struct troupe_task *task)
{
    size_t length = 0;
    const char *payload = troupe_task_payload(task, &length);
    if (length > 2) {
        troupe_task_explain(task, "no %.*s today", (int)length - 2,
                            payload + 2);
    }
    return payload[0] - '0';
}

static int flood(struct troupe_task *task)
{
    char piece[1000];
    memset(piece, 'x', sizeof piece);
    for (uint32_t i = 0; i < 100; i++) {
        (void)troupe_task_write(task, piece, sizeof piece);
    }
    return troupe_task_printf(task, "%1000d", 1) ? TROUPE_TASK_DONE
                                                 : TROUPE_TASK_FAILED;
}

/* Until the gate is open. */
static int block(struct troupe_task *task)
{
    (void)task;
    pthread_mutex_lock(&gate.mutex);
    gate.wait_count++;
    pthread_cond_broadcast(&gate.changed);
    while (!gate.is_open) {
        pthread_cond_wait(&gate.changed, &gate.mutex);
    }
    pthread_mutex_unlock(&gate.mutex);
    return TROUPE_TASK_DONE;
}

static int block_if_asked(struct troupe_task *task)
{
    size_t length = 0;
    (void)troupe_task_payload(task, &length);
    return length > 0 ? block(task) : TROUPE_TASK_DONE;
}

static int look_until_cancelled(struct troupe_task *task)
{
    troupe_task_progress(task, 250, "begun");
    while (!troupe_task_is_cancelled(task)) {
    }
    return TROUPE_TASK_FAILED;
}

static const struct workers_function functions[] = {
    {"count", count_it},
    {"echo", echo},
    {"fail", fail_as_told},
    {"flood", flood},
    {"block", block},
    {"block-if-asked", block_if_asked},
    {"look", look_until_cancelled},
};

static const struct workers_config config = {
    .functions = functions,
    .function_count = sizeof functions / sizeof *functions};

/* Of this function, with so many threads. */
static void open_crew(struct test_crew *crew,
                      const char *function,
                      uint32_t workers)
{
    gate.is_open = false;
    gate.wait_count = 0;
    for (uint32_t i = 0; i <= RUN_COUNT; i++) {
        atomic_store(&gate.times[i], 0);
    }
    test_crew_open(crew, &config, TASK_FUNCTION);
    (void)snprintf(crew->pool.function, sizeof crew->pool.function, "%s",
                   function);
    crew->pool.workers = workers;
    test_crew_set_pool(crew);
}

/* Workers are woken when a turn ends. */
static void await_waiting(struct test_crew *crew, uint32_t count)
{
    (void)reactor_turn(crew->reactor);
    pthread_mutex_lock(&gate.mutex);
    while (gate.wait_count < count) {
        pthread_cond_wait(&gate.changed, &gate.mutex);
    }
    pthread_mutex_unlock(&gate.mutex);
}

static void open_gate(void)
{
    pthread_mutex_lock(&gate.mutex);
    gate.is_open = true;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
}

static void gives_the_task_and_takes_the_result(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run run;
    open_crew(&crew, "echo", 2);
    test_crew_start(&crew, &run, bytes_of_text("hello"));
    test_crew_wait_all(&crew);
    CHECK(run.status == RUN_DONE);
    CHECK(bytes_are_equal(bytes_of(run.output, run.output_bytes),
                          bytes_of_text("hello 101 2")));
    CHECK(strcmp(run.why, "") == 0);
    test_crew_close(&crew);
}

static void says_how_a_function_has_failed(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run runs[3];
    open_crew(&crew, "fail", 2);
    test_crew_start(&crew, &runs[0], bytes_of_text("1 bread"));
    test_crew_start(&crew, &runs[1], bytes_of_text("2 wine"));
    test_crew_start(&crew, &runs[2], bytes_of_text("7"));
    test_crew_wait_all(&crew);
    CHECK(runs[0].status == RUN_FAILED);
    CHECK(strcmp(runs[0].why, "no bread today") == 0);
    CHECK(runs[1].status == RUN_REFUSED);
    CHECK(strcmp(runs[1].why, "no wine today") == 0);
    CHECK(runs[2].status == RUN_FAILED);
    CHECK(strcmp(runs[2].why, "the function returned 7") == 0);
    test_crew_close(&crew);
}

static void cuts_output_at_the_pool_s_limit_and_says_so(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run run;
    open_crew(&crew, "flood", 1);
    test_crew_start(&crew, &run, (struct bytes){0});
    test_crew_wait_all(&crew);
    CHECK(run.status == RUN_DONE);
    CHECK(run.output_bytes == crew.pool.output_bytes_max);
    CHECK(strcmp(run.why, "92808 bytes of output were cut") == 0);
    test_crew_close(&crew);
}

static void fails_a_function_that_the_program_does_not_have(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run runs[2];
    open_crew(&crew, "juggle", 2);
    test_crew_start(&crew, &runs[0], (struct bytes){0});
    test_crew_set_no_pool(&crew);
    test_crew_start(&crew, &runs[1], (struct bytes){0});
    test_crew_wait_all(&crew);
    CHECK(runs[0].status == RUN_FAILED);
    CHECK(strstr(runs[0].why, "no function `juggle`"));
    CHECK(runs[1].status == RUN_FAILED);
    CHECK(strstr(runs[1].why, "no workers for the pool `test`"));
    test_crew_close(&crew);
}

/* One thread: nothing can overtake. */
static void one_thread_runs_in_the_order_of_giving(void **state)
{
    (void)state;
    struct test_crew crew;
    static struct test_run runs[1000];
    open_crew(&crew, "count", 1);
    for (uint32_t i = 0; i < 1000; i++) {
        test_crew_start(&crew, &runs[i], (struct bytes){0});
    }
    test_crew_wait_all(&crew);
    for (uint32_t i = 0; i < 1000; i++) {
        CHECK(runs[i].order == i + 1);
    }
    test_crew_close(&crew);
}

static void runs_each_once_while_threads_come_and_go(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run *runs = calloc(RUN_COUNT, sizeof *runs);
    CHECK(runs);
    open_crew(&crew, "count", 3);
    for (uint32_t i = 0; i < RUN_COUNT; i++) {
        test_crew_start(&crew, &runs[i], (struct bytes){0});
        if (i % 500 == 0) {
            crew.pool.workers = 1 + i / 500 % 5;
            test_crew_set_pool(&crew);
            test_crew_wait(&crew, 1);
        }
    }
    test_crew_wait_all(&crew);
    for (uint32_t i = 0; i < RUN_COUNT; i++) {
        CHECK(runs[i].status == RUN_DONE);
        CHECK(atomic_load(&gate.times[i + 1]) == 1);
    }
    struct workers_figures figures = workers_look(crew.crew, "test");
    CHECK(figures.running == 0 && figures.waiting == 0);
    test_crew_close(&crew);
    free(runs);
}

/* A wake-up that gets lost would leave a run where nobody looks. */
static void wakes_somebody_for_each_of_many_small_bursts(void **state)
{
    (void)state;
    struct test_crew crew;
    static struct test_run runs[5];
    open_crew(&crew, "echo", 4);
    for (uint32_t round = 0; round < 3000; round++) {
        for (uint32_t i = 0; i <= round % 5; i++) {
            test_crew_start(&crew, &runs[i], bytes_of_text("x"));
        }
        test_crew_wait_all(&crew);
    }
    test_crew_close(&crew);
}

static void one_that_blocks_holds_up_its_own_thread_alone(void **state)
{
    (void)state;
    struct test_crew crew;
    static struct test_run runs[201];
    open_crew(&crew, "block-if-asked", 2);
    test_crew_start(&crew, &runs[0], bytes_of_text("x"));
    await_waiting(&crew, 1);
    for (uint32_t i = 1; i <= 200; i++) {
        test_crew_start(&crew, &runs[i], (struct bytes){0});
    }
    test_crew_wait(&crew, 200);
    CHECK(!runs[0].has_ended);
    CHECK(workers_look(crew.crew, "test").steals > 0);
    open_gate();
    test_crew_wait_all(&crew);
    CHECK(runs[0].status == RUN_DONE);
    test_crew_close(&crew);
}

static void cancels_at_once_what_has_not_begun(void **state)
{
    (void)state;
    struct test_crew crew;
    static struct test_run runs[400];
    open_crew(&crew, "block", 1);
    for (uint32_t i = 0; i < 400; i++) {
        test_crew_start(&crew, &runs[i], (struct bytes){0});
    }
    await_waiting(&crew, 1);
    CHECK(workers_look(crew.crew, "test").waiting > 0);
    for (uint32_t i = 1; i < 400; i++) {
        crew.workers->cancel(crew.workers->context, &runs[i].run);
        CHECK(runs[i].has_ended && runs[i].status == RUN_CANCELLED);
    }
    CHECK(!runs[0].has_ended);
    open_gate();
    test_crew_wait_all(&crew);
    CHECK(runs[0].status == RUN_DONE);
    test_crew_close(&crew);
}

static void asks_one_that_runs_to_end_and_hears_of_its_progress(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run run;
    open_crew(&crew, "look", 1);
    test_crew_start(&crew, &run, (struct bytes){0});
    test_crew_wait_progress(&crew, &run);
    CHECK(run.done_of_1000 == 250);
    CHECK(strcmp(run.progress_text, "begun") == 0);
    crew.workers->cancel(crew.workers->context, &run.run);
    test_crew_wait_all(&crew);
    CHECK(run.status == RUN_CANCELLED);
    test_crew_close(&crew);
}

static void asks_one_to_end_when_its_time_is_over(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run run;
    open_crew(&crew, "look", 1);
    crew.pool.timeout_ms = 20;
    test_crew_start(&crew, &run, (struct bytes){0});
    test_crew_wait_all(&crew);
    CHECK(run.status == RUN_TIMED_OUT);
    CHECK(strstr(run.why, "its time was over"));
    test_crew_close(&crew);
}

static void goes_on_with_a_pool_that_is_gone(void **state)
{
    (void)state;
    struct test_crew crew;
    static struct test_run runs[700];
    open_crew(&crew, "block", 2);
    for (uint32_t i = 0; i < 700; i++) {
        test_crew_start(&crew, &runs[i], (struct bytes){0});
    }
    test_crew_set_no_pool(&crew);
    open_gate();
    test_crew_wait_all(&crew);
    for (uint32_t i = 0; i < 700; i++) {
        CHECK(runs[i].status == RUN_DONE);
    }
    test_crew_set_pool(&crew); /* and it comes back */
    test_crew_start(&crew, &runs[0], (struct bytes){0});
    test_crew_wait_all(&crew);
    CHECK(runs[0].status == RUN_DONE);
    test_crew_close(&crew);
}

static void closes_while_functions_run_and_wait(void **state)
{
    (void)state;
    struct test_crew crew;
    static struct test_run runs[600];
    open_crew(&crew, "look", 2);
    for (uint32_t i = 0; i < 600; i++) {
        test_crew_start(&crew, &runs[i], (struct bytes){0});
    }
    test_crew_wait_progress(&crew, &runs[0]);
    test_crew_close(&crew);
    for (uint32_t i = 0; i < 600; i++) {
        CHECK(!runs[i].has_ended);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_task_and_takes_the_result),
        cmocka_unit_test(says_how_a_function_has_failed),
        cmocka_unit_test(cuts_output_at_the_pool_s_limit_and_says_so),
        cmocka_unit_test(fails_a_function_that_the_program_does_not_have),
        cmocka_unit_test(one_thread_runs_in_the_order_of_giving),
        cmocka_unit_test(runs_each_once_while_threads_come_and_go),
        cmocka_unit_test(wakes_somebody_for_each_of_many_small_bursts),
        cmocka_unit_test(one_that_blocks_holds_up_its_own_thread_alone),
        cmocka_unit_test(cancels_at_once_what_has_not_begun),
        cmocka_unit_test(asks_one_that_runs_to_end_and_hears_of_its_progress),
        cmocka_unit_test(asks_one_to_end_when_its_time_is_over),
        cmocka_unit_test(goes_on_with_a_pool_that_is_gone),
        cmocka_unit_test(closes_while_functions_run_and_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
