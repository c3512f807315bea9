#include "tests/support/check.h"

#include "base/posix/posix_latch.h"
#include "base/posix/posix_thread.h"

#define ROUND_COUNT 20000
#define THREAD_COUNT 4

static void a_latch_of_nothing_is_over(void **state)
{
    (void)state;
    struct posix_latch latch;
    posix_latch_init(&latch, 0);
    posix_latch_wait(&latch);
    CHECK(posix_latch_wait_ms(&latch, 0));
    posix_latch_clear(&latch);
}

static void what_was_not_said_is_waited_for(void **state)
{
    (void)state;
    struct posix_latch latch;
    posix_latch_init(&latch, 2);
    posix_latch_count(&latch);
    CHECK(!posix_latch_wait_ms(&latch, 1));
    posix_latch_count(&latch);
    CHECK(posix_latch_wait_ms(&latch, 1));
    posix_latch_clear(&latch);
}

static void count_all(void *argument)
{
    for (int i = 0; i < ROUND_COUNT; i++) {
        posix_latch_count(argument);
    }
}

static void threads_are_all_waited_for(void **state)
{
    (void)state;
    struct posix_latch latch;
    struct posix_thread *threads[THREAD_COUNT] = {NULL};
    posix_latch_init(&latch, (size_t)THREAD_COUNT * ROUND_COUNT);
    for (int i = 0; i < THREAD_COUNT; i++) {
        CHECK_OK(posix_thread_start(&threads[i], "counter", count_all, &latch));
    }
    posix_latch_wait(&latch);
    CHECK(latch.left == 0);
    for (int i = 0; i < THREAD_COUNT; i++) {
        posix_thread_join(&threads[i]);
    }
    posix_latch_clear(&latch);
}

static void count_once(void *argument)
{
    posix_latch_count(argument);
}

/* The latch is gone as soon as it is over. */
static void who_waits_may_clear_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        struct posix_latch latch;
        struct posix_thread *thread = NULL;
        posix_latch_init(&latch, 1);
        CHECK_OK(posix_thread_start(&thread, "last", count_once, &latch));
        posix_latch_wait(&latch);
        posix_latch_clear(&latch);
        posix_thread_join(&thread);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_latch_of_nothing_is_over),
        cmocka_unit_test(what_was_not_said_is_waited_for),
        cmocka_unit_test(threads_are_all_waited_for),
        cmocka_unit_test(who_waits_may_clear_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
