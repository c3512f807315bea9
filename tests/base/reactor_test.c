#include "tests/support/check.h"

#include <string.h>

#include "base/owner.h"
#include "base/reactor.h"
#include "tests/support/fake_clock.h"

struct fixture {
    struct fake_clock fake;
    struct clock clock;
    struct reactor *reactor;
    char trace[64]; /* one letter for all that ran */
};

struct step {
    struct reactor_event event;
    struct timer timer;
    struct turn_end turn_end;
    struct fixture *fixture;
    char letter;
    struct step *posts; /* when it runs */
    struct step *ends;  /* said when it runs */
    uint64_t sets_after_ns;
};

static void run_step(struct step *step)
{
    struct fixture *f = step->fixture;
    size_t length = strlen(f->trace);
    CHECK(length + 1 < sizeof f->trace);
    f->trace[length] = step->letter;
    if (step->posts) {
        reactor_post(f->reactor, &step->posts->event);
    }
    if (step->ends) {
        reactor_at_turn_end(f->reactor, &step->ends->turn_end);
        reactor_at_turn_end(f->reactor, &step->ends->turn_end);
    }
    if (step->sets_after_ns) {
        reactor_timer_set(f->reactor, &step->timer, step->sets_after_ns);
    }
}

static void on_event(struct reactor_event *event)
{
    run_step(OWNER_OF(event, struct step, event));
}

static void on_timer(struct timer *timer)
{
    run_step(OWNER_OF(timer, struct step, timer));
}

static void on_turn_end(struct turn_end *turn_end)
{
    run_step(OWNER_OF(turn_end, struct step, turn_end));
}

static void set_up(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    f->fake.now_ns = 1000;
    f->clock = fake_clock_table(&f->fake);
    CHECK_OK(reactor_open(
        &f->reactor,
        &(struct reactor_config){.name = "test", .clock = &f->clock}));
}

static struct step step_of(struct fixture *f, char letter)
{
    return (struct step){.event.run = on_event,
                         .timer.fire = on_timer,
                         .turn_end.run = on_turn_end,
                         .fixture = f,
                         .letter = letter};
}

static void tear_down(struct fixture *f)
{
    reactor_close(&f->reactor);
    CHECK(f->reactor == NULL);
    reactor_close(&f->reactor);
}

static void runs_events_in_order_of_posting(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    struct step a = step_of(&f, 'a');
    struct step b = step_of(&f, 'b');
    struct step c = step_of(&f, 'c');
    reactor_post(f.reactor, &a.event);
    reactor_post(f.reactor, &b.event);
    reactor_post(f.reactor, &c.event);
    CHECK(reactor_turn(f.reactor) == TIMER_NEVER);
    assert_string_equal(f.trace, "abc");
    CHECK(reactor_turn(f.reactor) == TIMER_NEVER);
    assert_string_equal(f.trace, "abc");
    CHECK(reactor_turn_count(f.reactor) == 2);
    tear_down(&f);
}

static void what_is_posted_in_a_turn_runs_in_the_next(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    struct step a = step_of(&f, 'a');
    a.posts = &a; /* again and again */
    reactor_post(f.reactor, &a.event);
    CHECK(reactor_turn(f.reactor) == 0);
    assert_string_equal(f.trace, "a");
    CHECK(reactor_turn(f.reactor) == 0);
    a.posts = NULL;
    CHECK(reactor_turn(f.reactor) == TIMER_NEVER);
    assert_string_equal(f.trace, "aaa");
    tear_down(&f);
}

static void a_turn_is_inbox_then_timers_then_its_end(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    struct step event = step_of(&f, 'e');
    struct step timer = step_of(&f, 't');
    struct step end = step_of(&f, 'x');
    event.ends = &end; /* said four times, runs once */
    timer.ends = &end;
    (void)reactor_turn(f.reactor);
    reactor_timer_set(f.reactor, &timer.timer, 0);
    reactor_post(f.reactor, &event.event);
    CHECK(reactor_turn(f.reactor) == TIMER_NEVER);
    assert_string_equal(f.trace, "etx");
    tear_down(&f);
}

static void a_turn_end_said_at_the_turns_end_runs_in_this_turn(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    struct step first = step_of(&f, '1');
    struct step second = step_of(&f, '2');
    first.ends = &second;
    reactor_at_turn_end(f.reactor, &first.turn_end);
    (void)reactor_turn(f.reactor);
    assert_string_equal(f.trace, "12");
    tear_down(&f);
}

static void a_forgotten_turn_end_does_not_run(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    struct step steps[] = {step_of(&f, '1'), step_of(&f, '2'),
                           step_of(&f, '3')};
    for (size_t i = 0; i < 3; i++) {
        reactor_at_turn_end(f.reactor, &steps[i].turn_end);
    }
    reactor_forget_turn_end(f.reactor, &steps[1].turn_end);
    reactor_forget_turn_end(f.reactor, &steps[1].turn_end);
    (void)reactor_turn(f.reactor);
    CHECK(strlen(f.trace) == 2);
    CHECK(!strchr(f.trace, '2'));
    tear_down(&f);
}

static void timers_follow_the_clock_of_the_turn(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    struct step timer = step_of(&f, 't');
    reactor_timer_set(f.reactor, &timer.timer, 500);
    CHECK(reactor_turn(f.reactor) == 500);
    f.fake.now_ns += 499;
    CHECK(reactor_turn(f.reactor) == 1);
    assert_string_equal(f.trace, "");
    f.fake.now_ns += 10;
    CHECK(reactor_turn(f.reactor) == TIMER_NEVER);
    CHECK(reactor_now_ns(f.reactor) == 1509);
    assert_string_equal(f.trace, "t");
    reactor_timer_set(f.reactor, &timer.timer, 100);
    reactor_timer_cancel(f.reactor, &timer.timer);
    CHECK(reactor_turn(f.reactor) == TIMER_NEVER);
    tear_down(&f);
}

static void a_timer_that_sets_itself_comes_once_a_turn(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    struct step timer = step_of(&f, 't');
    timer.sets_after_ns = 10;
    reactor_timer_set(f.reactor, &timer.timer, 10);
    for (int i = 0; i < 5; i++) {
        CHECK(reactor_turn(f.reactor) == 10);
        f.fake.now_ns += 10;
    }
    assert_string_equal(f.trace, "tttt");
    reactor_timer_cancel(f.reactor, &timer.timer);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_events_in_order_of_posting),
        cmocka_unit_test(what_is_posted_in_a_turn_runs_in_the_next),
        cmocka_unit_test(a_turn_is_inbox_then_timers_then_its_end),
        cmocka_unit_test(a_turn_end_said_at_the_turns_end_runs_in_this_turn),
        cmocka_unit_test(a_forgotten_turn_end_does_not_run),
        cmocka_unit_test(timers_follow_the_clock_of_the_turn),
        cmocka_unit_test(a_timer_that_sets_itself_comes_once_a_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
