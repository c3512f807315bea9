#include "tests/support/check.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "base/posix/posix_clock.h"
#include "base/posix/posix_entropy.h"
#include "base/posix/posix_thread.h"
#include "base/posix/posix_waker.h"
#include "base/time_units.h"

#define FOREVER UINT64_MAX
#define ROUND_COUNT 20000

struct seen {
    char name[16];
    bool is_blocked[65]; /* by signal */
};

static void look_around(void *argument)
{
    struct seen *seen = argument;
    (void)pthread_getname_np(pthread_self(), seen->name, sizeof seen->name);
    sigset_t blocked;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    for (int i = 1; i < 65; i++) {
        seen->is_blocked[i] = sigismember(&blocked, i) == 1;
    }
}

static void a_thread_has_its_name_and_no_signals(void **state)
{
    (void)state;
    sigset_t before;
    sigset_t after;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &before);
    struct seen seen = {0};
    struct posix_thread *thread = NULL;
    CHECK_OK(posix_thread_start(&thread, "a name that is too long", look_around,
                                &seen));
    posix_thread_join(&thread);
    CHECK(thread == NULL);
    posix_thread_join(&thread); /* nothing happens */

    assert_string_equal(seen.name, "a name that is ");
    CHECK(seen.is_blocked[SIGTERM]);
    CHECK(seen.is_blocked[SIGINT]);
    CHECK(seen.is_blocked[SIGCHLD]);
    CHECK(seen.is_blocked[SIGPIPE]);
    CHECK(!seen.is_blocked[SIGSEGV]);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int i = 1; i < 65; i++) {
        CHECK(sigismember(&before, i) == sigismember(&after, i));
    }
}

static void a_wake_before_the_wait_counts(void **state)
{
    (void)state;
    struct posix_waker *owner = NULL;
    CHECK_OK(posix_waker_open(&owner));
    struct waker waker = posix_waker_table(owner);
    waker.wake(waker.context);
    waker.wake(waker.context); /* counts once */
    waker.wait(waker.context, FOREVER);
    waker.wait(waker.context, 0); /* comes back: the time is over */
    uint64_t start_ns = clock_now_ns(posix_clock());
    waker.wait(waker.context, NS_PER_MS);
    CHECK(clock_now_ns(posix_clock()) - start_ns >= NS_PER_MS);
    posix_waker_close(&owner);
    CHECK(owner == NULL);
    posix_waker_close(&owner);
}

/* Two threads that wake each other in turn: one lost wake hangs them. */
struct rally {
    struct waker mine;
    struct waker theirs;
    int returned_count;
};

static void play(void *argument)
{
    struct rally *rally = argument;
    for (int i = 0; i < ROUND_COUNT; i++) {
        rally->mine.wait(rally->mine.context, FOREVER);
        rally->returned_count++;
        rally->theirs.wake(rally->theirs.context);
    }
}

static void no_wake_is_lost_between_threads(void **state)
{
    (void)state;
    struct posix_waker *owners[2] = {0};
    CHECK_OK(posix_waker_open(&owners[0]));
    CHECK_OK(posix_waker_open(&owners[1]));
    struct rally left = {.mine = posix_waker_table(owners[0]),
                         .theirs = posix_waker_table(owners[1])};
    struct rally right = {.mine = left.theirs, .theirs = left.mine};
    struct posix_thread *thread = NULL;
    CHECK_OK(posix_thread_start(&thread, "rally", play, &left));
    left.mine.wake(left.mine.context);
    play(&right);
    posix_thread_join(&thread);
    CHECK(left.returned_count == ROUND_COUNT);
    CHECK(right.returned_count == ROUND_COUNT);
    posix_waker_close(&owners[0]);
    posix_waker_close(&owners[1]);
}

static void the_monotonic_clock_does_not_go_back(void **state)
{
    (void)state;
    const struct clock *clock = posix_clock();
    uint64_t last = clock_now_ns(clock);
    for (int i = 0; i < 10000; i++) {
        uint64_t now = clock_now_ns(clock);
        CHECK(now >= last);
        last = now;
    }
    CHECK(clock_wall_ms(clock) > INT64_C(1600000000000)); /* after 2020 */
}

static void entropy_fills_all_that_is_asked_and_no_more(void **state)
{
    (void)state;
    uint8_t data[1002] = {0};
    uint8_t first[1002] = {0};
    entropy_fill(posix_entropy(), data + 1, 1000);
    memcpy(first, data, sizeof data);
    entropy_fill(posix_entropy(), data + 1, 1000);
    CHECK(memcmp(first + 1, data + 1, 1000) != 0);
    CHECK(data[0] == 0 && data[1001] == 0);
    size_t zero_count = 0;
    for (size_t i = 1; i <= 1000; i++) {
        zero_count += data[i] == 0;
    }
    CHECK(zero_count < 50); /* about four are expected */
    entropy_fill(posix_entropy(), data, 0);
    CHECK(data[0] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_has_its_name_and_no_signals),
        cmocka_unit_test(a_wake_before_the_wait_counts),
        cmocka_unit_test(no_wake_is_lost_between_threads),
        cmocka_unit_test(the_monotonic_clock_does_not_go_back),
        cmocka_unit_test(entropy_fills_all_that_is_asked_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
