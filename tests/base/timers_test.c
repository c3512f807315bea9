#include "tests/support/check.h"

#include <string.h>

#include "base/owner.h"
#include "base/timers.h"
#include "tests/support/seeded.h"

#define TIMER_COUNT 200

/* A timer that notes in which order it fired. */
struct noted {
    struct timer timer;
    struct fixture *fixture;
    uint64_t set_order; /* of the model */
    bool is_expected;   /* of the model: set */
    bool sets_itself;
    struct noted *cancels;
};

struct fixture {
    struct timers timers;
    struct noted all[TIMER_COUNT];
    uint64_t set_count;
    size_t fired_count;
    struct noted *fired[4 * TIMER_COUNT];
};

static void note(struct timer *timer)
{
    struct noted *noted = OWNER_OF(timer, struct noted, timer);
    struct fixture *f = noted->fixture;
    CHECK(!timer->is_set);
    CHECK(f->fired_count < sizeof f->fired / sizeof *f->fired);
    f->fired[f->fired_count++] = noted;
    if (noted->sets_itself) {
        timers_set(&f->timers, timer, timer->at_ns);
    }
    if (noted->cancels) {
        timers_cancel(&f->timers, &noted->cancels->timer);
    }
}

static void set_up(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    for (size_t i = 0; i < TIMER_COUNT; i++) {
        f->all[i].timer.fire = note;
        f->all[i].fixture = f;
    }
}

static void fires_in_order_of_time_then_of_setting(void **state)
{
    (void)state;
    static struct fixture f;
    set_up(&f);
    timers_set(&f.timers, &f.all[0].timer, 30);
    timers_set(&f.timers, &f.all[1].timer, 10);
    timers_set(&f.timers, &f.all[2].timer, 10);
    timers_set(&f.timers, &f.all[3].timer, 20);
    CHECK(timers_next_ns(&f.timers) == 10);
    timers_fire(&f.timers, 29);
    CHECK(f.fired_count == 3);
    CHECK(f.fired[0] == &f.all[1]);
    CHECK(f.fired[1] == &f.all[2]);
    CHECK(f.fired[2] == &f.all[3]);
    CHECK(timers_next_ns(&f.timers) == 30);
    timers_fire(&f.timers, 30);
    CHECK(f.fired_count == 4);
    CHECK(timers_next_ns(&f.timers) == TIMER_NEVER);
}

static void a_timer_set_while_firing_waits_for_the_next_call(void **state)
{
    (void)state;
    static struct fixture f;
    set_up(&f);
    f.all[0].sets_itself = true;
    timers_set(&f.timers, &f.all[0].timer, 10);
    timers_fire(&f.timers, 100);
    CHECK(f.fired_count == 1);
    timers_fire(&f.timers, 100);
    CHECK(f.fired_count == 2);
}

static void a_timer_cancelled_while_firing_does_not_fire(void **state)
{
    (void)state;
    static struct fixture f;
    set_up(&f);
    f.all[0].cancels = &f.all[1];
    timers_set(&f.timers, &f.all[0].timer, 10);
    timers_set(&f.timers, &f.all[1].timer, 10);
    timers_fire(&f.timers, 10);
    CHECK(f.fired_count == 1);
    CHECK(timers_next_ns(&f.timers) == TIMER_NEVER);
}

static void cancelling_an_idle_timer_does_nothing(void **state)
{
    (void)state;
    static struct fixture f;
    set_up(&f);
    timers_cancel(&f.timers, &f.all[0].timer);
    timers_set(&f.timers, &f.all[0].timer, 10);
    timers_cancel(&f.timers, &f.all[0].timer);
    timers_cancel(&f.timers, &f.all[0].timer);
    timers_fire(&f.timers, 100);
    CHECK(f.fired_count == 0);
}

/* The first of the model: by time, then by order of setting. */
static struct noted *model_first(struct fixture *f)
{
    struct noted *first = NULL;
    for (size_t i = 0; i < TIMER_COUNT; i++) {
        struct noted *each = &f->all[i];
        if (each->is_expected &&
            (!first || each->timer.at_ns < first->timer.at_ns ||
             (each->timer.at_ns == first->timer.at_ns &&
              each->set_order < first->set_order))) {
            first = each;
        }
    }
    return first;
}

static void model_fire(struct fixture *f, uint64_t now_ns)
{
    f->fired_count = 0;
    timers_fire(&f->timers, now_ns);
    for (size_t i = 0; i < f->fired_count; i++) {
        struct noted *expected = model_first(f);
        CHECK(f->fired[i] == expected);
        CHECK(expected->timer.at_ns <= now_ns);
        expected->is_expected = false;
    }
    struct noted *next = model_first(f);
    CHECK(!next || next->timer.at_ns > now_ns);
    CHECK(timers_next_ns(&f->timers) ==
          (next ? next->timer.at_ns : TIMER_NEVER));
}

static void random_operation(struct fixture *f,
                             struct seeded *seeded,
                             uint64_t *now_ns)
{
    struct noted *any = &f->all[seeded_below(seeded, TIMER_COUNT)];
    uint64_t dice = seeded_below(seeded, 10);
    if (dice < 6) {
        timers_set(&f->timers, &any->timer, *now_ns + seeded_below(seeded, 50));
        any->set_order = f->set_count++;
        any->is_expected = true;
    } else if (dice < 8) {
        timers_cancel(&f->timers, &any->timer);
        any->is_expected = false;
    } else {
        *now_ns += seeded_below(seeded, 8);
        model_fire(f, *now_ns);
    }
    CHECK(any->timer.is_set == any->is_expected);
}

static void agrees_with_a_naive_model(void **state)
{
    (void)state;
    static struct fixture f;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct seeded seeded = {.state = seed};
        uint64_t now_ns = 0;
        set_up(&f);
        for (int i = 0; i < 5000; i++) {
            random_operation(&f, &seeded, &now_ns);
        }
        model_fire(&f, UINT64_MAX - 1);
        CHECK(timers_next_ns(&f.timers) == TIMER_NEVER);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fires_in_order_of_time_then_of_setting),
        cmocka_unit_test(a_timer_set_while_firing_waits_for_the_next_call),
        cmocka_unit_test(a_timer_cancelled_while_firing_does_not_fire),
        cmocka_unit_test(cancelling_an_idle_timer_does_nothing),
        cmocka_unit_test(agrees_with_a_naive_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
