/* Tasks from submission to their end, over a few nodes: tests/shard/task_lab.h.
 */

#include "tests/shard/book_lab.h"
#include "tests/shard/task_lab.h"
#include "tests/support/check.h"

#include "base/owner.h"

#include <stdio.h>
#include <string.h>

static struct lab *open_lab(uint32_t nodes, uint32_t shards)
{
    struct lab *lab =
        lab_open(&(struct lab_config){.nodes = nodes, .shards = shards});
    struct task_pool pool = lab_pool("work");
    lab_set_pool(lab, &pool);
    for (uint32_t i = 0; i < shards; i++) {
        lab_lead(lab, i, i % nodes);
    }
    lab_run(lab);
    return lab;
}

static void a_task_is_given_to_a_worker_and_its_result_is_kept(void **state)
{
    (void)state;
    struct lab *lab = open_lab(1, 1);
    uint64_t id = lab_submit_text(lab, 0, "work", "hello");
    assert_int_not_equal(id, 0);
    lab_work_all(lab);
    const struct task *task = lab_task(lab, id);
    assert_non_null(task);
    assert_int_equal(task->state, TASK_DONE);
    assert_true(bytes_are_equal(task_output(task), bytes_of_text("hello")));
    lab_close(&lab);
}

static uint8_t state_of(struct lab *lab, uint64_t id)
{
    const struct task *task = lab_task(lab, id);
    assert_non_null(task);
    return task->state;
}

static void many_tasks_are_all_done_once(void **state)
{
    (void)state;
    struct lab *lab = open_lab(3, 4);
    uint64_t ids[400];
    for (uint32_t i = 0; i < 400; i++) {
        ids[i] = lab_submit_text(lab, i % 4, "work", "x");
    }
    lab_work_all(lab);
    for (uint32_t i = 0; i < 400; i++) {
        assert_int_equal(state_of(lab, ids[i]), TASK_DONE);
        assert_int_equal(lab_task(lab, ids[i])->attempts, 1);
    }
    assert_true(lab_books_agree(lab));
    lab_close(&lab);
}

static void a_submission_that_is_asked_again_is_not_made_twice(void **state)
{
    (void)state;
    struct lab *lab = open_lab(1, 1);
    struct task_spec spec = task_spec_of(bytes_of_text("x"));
    uint64_t id = lab_submit(lab, 0, "work", 77, &spec, 1, NULL);
    assert_int_equal(lab_submit(lab, 0, "work", 77, &spec, 1, NULL), id);
    struct coordinator *coordinator = lab_coordinator(lab, 0, 0);
    assert_int_equal(
        book_stats(coordinator_book(coordinator), bytes_of_text("work"))
            .accepted_total,
        1);
    lab_close(&lab);
}

static void a_key_names_one_task(void **state)
{
    (void)state;
    struct lab *lab = open_lab(2, 1);
    struct task_spec spec = task_spec_of(bytes_of_text("x"));
    struct book_run run;
    spec.key = bytes_of_text("once");
    uint64_t id = lab_submit(lab, 0, "work", 0, &spec, 1, &run);
    assert_false(run.is_known);
    assert_int_equal(lab_submit(lab, 0, "work", 0, &spec, 1, &run), id);
    assert_true(run.is_known);
    lab_work_all(lab);
    assert_int_equal(lab_submit(lab, 0, "work", 0, &spec, 1, &run), id);
    spec.payload = bytes_of_text("y");
    assert_int_equal(lab_submit(lab, 0, "work", 0, &spec, 1, &run), 0);
    assert_int_equal(run.err, ERR_EXISTS);
    assert_true(lab_books_agree(lab));
    lab_close(&lab);
}

static void an_unknown_pool_is_refused(void **state)
{
    (void)state;
    struct lab *lab = open_lab(1, 1);
    struct task_spec spec = task_spec_of(bytes_of_text("x"));
    struct book_run run;
    (void)lab_submit(lab, 0, "nope", 0, &spec, 1, &run);
    assert_int_equal(run.err, ERR_NOT_FOUND);
    lab_close(&lab);
}

static void a_full_queue_and_a_long_payload_are_refused(void **state)
{
    (void)state;
    struct lab *lab = open_lab(1, 1);
    struct task_pool pool = lab_pool("work");
    struct task_spec specs[3];
    struct book_run run;
    pool.queue_max = 2;
    pool.payload_bytes_max = 3;
    pool.is_paused = true;
    lab_set_pool(lab, &pool);
    for (uint32_t i = 0; i < 3; i++) {
        specs[i] = task_spec_of(bytes_of_text("abc"));
    }
    (void)lab_submit(lab, 0, "work", 0, specs, 3, &run);
    assert_int_equal(run.count, 2);
    (void)lab_submit(lab, 0, "work", 0, specs, 1, &run);
    assert_int_equal(run.err, ERR_FULL);
    specs[0].payload = bytes_of_text("abcd");
    (void)lab_submit(lab, 0, "work", 0, specs, 1, &run);
    assert_int_equal(run.err, ERR_TOO_LARGE);
    lab_close(&lab);
}

#define WALK_FIRST 100 /* tasks, that are there all the while */
#define WALK_LATER 200

static void count_seen(void *context, const struct task *task)
{
    uint32_t *seen = context;
    uint64_t at = task_id_sequence(task->id) - 1;
    if (at < WALK_FIRST) {
        seen[at]++;
    }
}

static void who_walks_while_tasks_come_meets_each_once(void **state)
{
    (void)state;
    /* So many tasks come between two steps of the walk. */
    for (uint32_t pace = 0; pace < 20; pace++) {
        struct lab *lab = open_lab(1, 1);
        const struct book *book = coordinator_book(lab_coordinator(lab, 0, 0));
        uint32_t seen[WALK_FIRST] = {0};
        uint32_t place = 0;
        uint32_t come = 0;
        for (uint32_t i = 0; i < WALK_FIRST; i++) {
            (void)lab_submit_text(lab, 0, "work", "x");
        }
        do {
            place = book_walk(book, place, count_seen, seen);
            for (uint32_t i = 0; i < pace && come < WALK_LATER; i++, come++) {
                (void)lab_submit_text(lab, 0, "work", "x");
            }
        } while (place != 0);
        for (uint32_t i = 0; i < WALK_FIRST; i++) {
            assert_int_equal(seen[i], 1);
        }
        lab_close(&lab);
    }
}

static void a_short_queue_is_not_split(void **state)
{
    (void)state;
    struct task_pool pool = lab_pool("work");
    struct task_spec spec = task_spec_of(bytes_of_text("x"));
    assert_int_equal(task_spec_shard(&spec, &pool, 128), UINT32_MAX);
    pool.queue_max = 64;
    assert_true(task_spec_shard(&spec, &pool, 128) < 128);

    struct lab *lab = open_lab(1, 8);
    struct task_spec specs[100];
    struct book_run run;
    pool.is_paused = true;
    lab_set_pool(lab, &pool);
    for (uint32_t i = 0; i < 100; i++) {
        specs[i] = spec;
    }
    (void)lab_submit(lab, task_spec_shard(&spec, &pool, 8), "work", 0, specs,
                     100, &run);
    assert_int_equal(run.count, 64);
    lab_close(&lab);
}

/* ---- what workers do ---- */

struct script {
    enum run_status status;
    uint32_t failures; /* before it is done */
    char order[256];   /* the payloads, as they were worked on */
};

static void follow_script(void *context,
                          uint32_t node,
                          const struct run *run,
                          struct run_result *result)
{
    struct script *script = context;
    size_t used = strlen(script->order);
    (void)node;
    if (used + run->payload.length < sizeof script->order) {
        memcpy(script->order + used, run->payload.data, run->payload.length);
    }
    if (script->failures > 0) {
        script->failures--;
        result->status = script->status;
        result->why = "it did not work";
    }
}

static struct lab *open_script(struct script *script, uint32_t nodes)
{
    struct lab *lab = lab_open(&(struct lab_config){
        .nodes = nodes, .shards = 1, .work = follow_script, .context = script});
    struct task_pool pool = lab_pool("work");
    pool.attempts_max = 3;
    lab_set_pool(lab, &pool);
    lab_lead(lab, 0, 0);
    lab_run(lab);
    return lab;
}

static void a_failed_attempt_is_tried_again_after_a_pause(void **state)
{
    (void)state;
    struct script script = {.status = RUN_FAILED, .failures = 1};
    struct lab *lab = open_script(&script, 2);
    uint64_t id = lab_submit_text(lab, 0, "work", "x");
    lab_work_all(lab);
    assert_int_equal(state_of(lab, id), TASK_WAITING);
    assert_int_equal(lab_task(lab, id)->work, WORK_DELAYED);
    assert_true(bytes_are_equal(task_why(lab_task(lab, id)),
                                bytes_of_text("it did not work")));
    lab_advance(lab, 1300);
    lab_work_all(lab);
    assert_int_equal(state_of(lab, id), TASK_DONE);
    assert_int_equal(lab_task(lab, id)->attempts, 2);
    assert_true(lab_books_agree(lab));
    lab_close(&lab);
}

static void after_the_last_attempt_it_is_a_dead_letter_that_can_be_revived(
    void **state)
{
    (void)state;
    struct script script = {.status = RUN_CRASHED, .failures = 3};
    struct lab *lab = open_script(&script, 2);
    uint64_t id = lab_submit_text(lab, 0, "work", "x");
    for (uint32_t i = 0; i < 3; i++) {
        lab_work_all(lab);
        lab_advance(lab, 6000);
    }
    assert_int_equal(state_of(lab, id), TASK_DEAD);
    assert_int_equal(lab_task(lab, id)->attempts, 3);
    assert_true(
        bytes_are_equal(task_payload(lab_task(lab, id)), bytes_of_text("x")));
    assert_int_equal(lab_request(lab, 0, BOOK_RETRY, id), 1);
    lab_work_all(lab);
    assert_int_equal(state_of(lab, id), TASK_DONE);
    assert_int_equal(lab_request(lab, 0, BOOK_PURGE, id), 1);
    assert_null(lab_task(lab, id));
    assert_true(lab_books_agree(lab));
    lab_close(&lab);
}

static void what_is_refused_is_not_tried_again(void **state)
{
    (void)state;
    struct script script = {.status = RUN_REFUSED, .failures = 1};
    struct lab *lab = open_script(&script, 1);
    uint64_t id = lab_submit_text(lab, 0, "work", "x");
    lab_work_all(lab);
    assert_int_equal(state_of(lab, id), TASK_DEAD);
    lab_close(&lab);
}

static void tasks_of_one_order_key_run_one_after_another(void **state)
{
    (void)state;
    struct script script = {.status = RUN_FAILED, .failures = 1};
    struct lab *lab = open_script(&script, 2);
    const char *const payloads[] = {"a", "b", "c"};
    for (uint32_t i = 0; i < 3; i++) {
        struct task_spec spec = task_spec_of(bytes_of_text(payloads[i]));
        spec.order = bytes_of_text("one");
        (void)lab_submit(lab, 0, "work", 0, &spec, 1, NULL);
    }
    lab_run(lab);
    assert_int_equal(lab_work(lab, 10), 1);
    assert_int_equal(lab_work(lab, 10), 0); /* the first waits to be retried */
    lab_advance(lab, 1300);
    lab_work_all(lab);
    assert_string_equal(script.order, "aabc");
    lab_close(&lab);
}

static void a_higher_priority_goes_first_and_tenants_take_turns(void **state)
{
    (void)state;
    struct script script = {0};
    struct lab *lab = open_script(&script, 1);
    struct task_pool pool = lab_pool("work");
    struct task_share share = {.tenant = "b", .weight = 2};
    pool.is_paused = true;
    pool.workers = 1;
    pool.shares = &share;
    pool.share_count = 1;
    lab_set_pool(lab, &pool);
    const char *const payloads[] = {"1", "2", "3", "4", "5", "6", "7"};
    const char *const tenants[] = {"a", "a", "a", "b", "b", "b", "a"};
    for (uint32_t i = 0; i < 7; i++) {
        struct task_spec spec = task_spec_of(bytes_of_text(payloads[i]));
        spec.tenant = bytes_of_text(tenants[i]);
        spec.priority = i == 6 ? 0 : TASK_PRIORITY_DEFAULT;
        (void)lab_submit(lab, 0, "work", 0, &spec, 1, NULL);
    }
    pool.is_paused = false;
    lab_set_pool(lab, &pool);
    lab_work_all(lab);
    assert_string_equal(script.order, "7145263");
    lab_close(&lab);
}

static void a_delay_and_a_deadline_are_kept(void **state)
{
    (void)state;
    struct lab *lab = open_lab(1, 1);
    struct task_spec spec = task_spec_of(bytes_of_text("x"));
    spec.delay_ms = 500;
    uint64_t later = lab_submit(lab, 0, "work", 0, &spec, 1, NULL);
    spec.ttl_ms = 300;
    uint64_t never = lab_submit(lab, 0, "work", 0, &spec, 1, NULL);
    lab_work_all(lab);
    lab_advance(lab, 400);
    lab_work_all(lab);
    assert_int_equal(state_of(lab, later), TASK_WAITING);
    assert_int_equal(state_of(lab, never), TASK_EXPIRED);
    lab_advance(lab, 200);
    lab_work_all(lab);
    assert_int_equal(state_of(lab, later), TASK_DONE);
    lab_close(&lab);
}

static void a_task_waits_for_those_before_it_and_fails_with_them(void **state)
{
    (void)state;
    struct script script = {0};
    struct lab *lab = open_script(&script, 1);
    uint64_t first = lab_submit_text(lab, 0, "work", "1");
    struct task_spec spec = task_spec_of(bytes_of_text("2"));
    spec.after_count = 1;
    spec.after[0] = first;
    uint64_t second = lab_submit(lab, 0, "work", 0, &spec, 1, NULL);
    lab_run(lab);
    assert_int_equal(lab_task(lab, second)->work, WORK_AFTER);
    assert_int_equal(lab_request(lab, 0, BOOK_CANCEL, second), 1);
    spec.payload = bytes_of_text("3");
    uint64_t third = lab_submit(lab, 0, "work", 0, &spec, 1, NULL);
    lab_work_all(lab);
    assert_int_equal(state_of(lab, third), TASK_DONE);
    assert_string_equal(script.order, "13");
    spec.after[0] = second;
    uint64_t fourth = lab_submit(lab, 0, "work", 0, &spec, 1, NULL);
    lab_work_all(lab);
    assert_int_equal(state_of(lab, fourth), TASK_DEAD);
    lab_close(&lab);
}

static void a_task_that_runs_can_be_cancelled(void **state)
{
    (void)state;
    struct lab *lab = open_lab(2, 1);
    uint64_t id = lab_submit_text(lab, 0, "work", "x");
    lab_run(lab);
    assert_int_equal(lab_task(lab, id)->work, WORK_LEASED);
    assert_int_equal(lab_request(lab, 0, BOOK_CANCEL, id), 1);
    assert_int_equal(lab_request(lab, 0, BOOK_CANCEL, id), 0);
    lab_work_all(lab);
    assert_int_equal(state_of(lab, id), TASK_CANCELLED);
    assert_true(agent_is_idle(lab_agent(lab, 0)));
    lab_close(&lab);
}

/* ---- what they say of themselves ---- */

struct listener {
    struct task_watcher watcher;
    uint32_t said_count;
    struct task_said said; /* last */
    bool is_done;
};

static void on_listener_done(struct task_watcher *watcher,
                             enum err err,
                             const struct task_end *end)
{
    struct listener *listener = OWNER_OF(watcher, struct listener, watcher);
    listener->is_done = !err && end->state == TASK_DONE;
}

static void on_listener_said(struct task_watcher *watcher,
                             const struct task_said *said)
{
    struct listener *listener = OWNER_OF(watcher, struct listener, watcher);
    listener->said_count++;
    listener->said = *said;
}

static struct listener listener_of(uint64_t id)
{
    return (struct listener){.watcher = {.done = on_listener_done,
                                         .said = on_listener_said,
                                         .id = id}};
}

/* By whichever node works on it. */
static void say(struct lab *lab, uint64_t id, uint32_t done, const char *text)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct run *run = agent_run(lab_agent(lab, i), id);
        if (run) {
            run->progress(run, done, text);
        }
    }
    lab_run(lab);
}

static void who_watches_a_task_hears_what_it_says(void **state)
{
    (void)state;
    struct lab *lab = open_lab(2, 1);
    uint64_t id = lab_submit_text(lab, 0, "work", "x");
    struct listener early = listener_of(id);
    struct listener late = listener_of(id);
    struct listener deaf = listener_of(id);
    deaf.watcher.said = NULL;
    lab_run(lab);
    dispatcher_watch(lab_dispatcher(lab, 0), &early.watcher);
    dispatcher_watch(lab_dispatcher(lab, 0), &deaf.watcher);
    assert_int_equal(early.said_count, 0);
    say(lab, id, 420, "almost");
    assert_int_equal(early.said_count, 1);
    assert_int_equal(early.said.done_of_1000, 420);
    assert_string_equal(early.said.text, "almost");
    dispatcher_watch(lab_dispatcher(lab, 0), &late.watcher);
    assert_int_equal(late.said.number, early.said.number);
    assert_int_not_equal(late.said.number, 0);
    say(lab, id, 430, "almost");
    assert_int_equal(late.said_count, 2);
    uint64_t number = early.said.number;
    say(lab, id, 430, "almost"); /* the same again is the same */
    assert_int_equal(early.said.number, number);
    say(lab, id, 430, "done");
    assert_int_not_equal(early.said.number, number);
    lab_work_all(lab);
    assert_true(early.is_done && late.is_done && deaf.is_done);
    assert_int_equal(deaf.said_count, 0);
    lab_close(&lab);
}

static void what_a_task_has_said_goes_with_its_leader(void **state)
{
    (void)state;
    struct lab *lab = open_lab(2, 1);
    uint64_t id = lab_submit_text(lab, 0, "work", "x");
    struct listener listener = listener_of(id);
    lab_run(lab);
    say(lab, id, 10, "");
    lab_depose(lab, 0);
    lab_lead(lab, 0, 1);
    lab_run(lab);
    dispatcher_watch(lab_dispatcher(lab, 1), &listener.watcher);
    assert_int_equal(listener.said_count, 0);
    say(lab, id, 20, "");
    assert_int_equal(listener.said.done_of_1000, 20);
    dispatcher_unwatch(lab_dispatcher(lab, 1), &listener.watcher);
    say(lab, id, 30, "");
    assert_int_equal(listener.said_count, 1);
    lab_work_all(lab);
    lab_close(&lab);
}

static void what_an_attempt_has_said_goes_with_it(void **state)
{
    (void)state;
    struct script script = {.status = RUN_FAILED, .failures = 1};
    struct lab *lab = open_script(&script, 2);
    uint64_t id = lab_submit_text(lab, 0, "work", "x");
    struct listener listener = listener_of(id);
    lab_run(lab);
    say(lab, id, 900, "almost");
    lab_work_all(lab);
    assert_int_equal(lab_task(lab, id)->work, WORK_DELAYED);
    dispatcher_watch(lab_dispatcher(lab, 0), &listener.watcher);
    assert_int_equal(listener.said_count, 0);
    lab_advance(lab, 1300);
    lab_work_all(lab);
    assert_true(listener.is_done);
    lab_close(&lab);
}

/* ---- limits ---- */

static void no_more_run_than_the_pool_allows(void **state)
{
    (void)state;
    struct lab *lab = open_lab(2, 1);
    struct task_pool pool = lab_pool("work");
    pool.running_max = 2;
    lab_set_pool(lab, &pool);
    for (uint32_t i = 0; i < 5; i++) {
        (void)lab_submit_text(lab, 0, "work", "x");
    }
    lab_run(lab);
    assert_int_equal(lab_work(lab, 10), 2);
    assert_int_equal(lab_work(lab, 10), 2);
    assert_int_equal(lab_work(lab, 10), 1);
    lab_close(&lab);
}

static void no_more_begin_in_a_second_than_the_rate(void **state)
{
    (void)state;
    struct lab *lab = open_lab(1, 1);
    struct task_pool pool = lab_pool("work");
    pool.rate = 10;
    lab_set_pool(lab, &pool);
    for (uint32_t i = 0; i < 40; i++) {
        (void)lab_submit_text(lab, 0, "work", "x");
    }
    uint32_t done = 0;
    for (uint32_t i = 0; i < 2000; i++) {
        lab_advance(lab, 1);
        done += lab_work(lab, 100);
    }
    assert_in_range(done, 28, 31); /* one second's worth at first */
    lab_close(&lab);
}

/* Also when somebody looks more often than a thousandth of a task is allowed.
 */
static void as_many_begin_as_the_rate_allows(void **state)
{
    (void)state;
    struct lab *lab = open_lab(1, 1);
    struct task_pool pool = lab_pool("work");
    pool.rate = 1;
    lab_set_pool(lab, &pool);
    for (uint32_t i = 0; i < 20; i++) {
        (void)lab_submit_text(lab, 0, "work", "x");
    }
    uint32_t done = 0;
    for (uint32_t i = 0; i < 10500; i++) {
        lab_step(lab, 999000);
        lab_set_pool(lab, &pool);
        done += lab_work(lab, 100);
    }
    assert_int_equal(done, 11);
    lab_close(&lab);
}

static void results_are_forgotten_after_their_time(void **state)
{
    (void)state;
    struct lab *lab = open_lab(2, 1);
    struct task_pool pool = lab_pool("work");
    pool.result_ms = 2000;
    pool.key_ms = 5000;
    lab_set_pool(lab, &pool);
    struct task_spec spec = task_spec_of(bytes_of_text("x"));
    uint64_t plain = lab_submit(lab, 0, "work", 0, &spec, 1, NULL);
    spec.key = bytes_of_text("k");
    uint64_t keyed = lab_submit(lab, 0, "work", 0, &spec, 1, NULL);
    lab_work_all(lab);
    lab_advance(lab, 3500);
    assert_null(lab_task(lab, plain));
    assert_non_null(lab_task(lab, keyed));
    lab_advance(lab, 3500);
    assert_null(lab_task(lab, keyed));
    assert_true(lab_books_agree(lab));
    lab_close(&lab);
}

/* ---- what fails ---- */

static void what_was_due_by_another_clock_is_not_given_out_again(void **state)
{
    (void)state;
    struct script script = {0};
    struct lab *lab = open_script(&script, 3);
    struct task_spec spec = task_spec_of(bytes_of_text("x"));
    spec.delay_ms = 500;
    uint64_t id = lab_submit(lab, 0, "work", 0, &spec, 1, NULL);
    lab_advance(lab, 600);
    assert_int_equal(lab_task(lab, id)->work, WORK_LEASED);
    lab_depose(lab, 0);
    lab_jump(lab, -400); /* the next leader's clock is behind */
    lab_lead(lab, 0, 1);
    assert_int_equal(lab_task(lab, id)->work, WORK_SUSPECT);
    lab_run(lab);
    assert_int_equal(lab_task(lab, id)->work, WORK_LEASED);
    lab_close(&lab);
}

static void a_new_leader_hears_who_works_on_what(void **state)
{
    (void)state;
    struct script script = {0};
    struct lab *lab = open_script(&script, 3);
    uint64_t id = lab_submit_text(lab, 0, "work", "x");
    lab_run(lab);
    uint64_t token = lab_task(lab, id)->token;
    lab_depose(lab, 0);
    lab_lead(lab, 0, 1);
    assert_int_equal(lab_task(lab, id)->work, WORK_SUSPECT);
    lab_run(lab);
    assert_int_equal(lab_task(lab, id)->work, WORK_LEASED);
    assert_int_equal(lab_task(lab, id)->token, token);
    lab_work_all(lab);
    assert_int_equal(state_of(lab, id), TASK_DONE);
    assert_string_equal(script.order, "x");
    lab_close(&lab);
}

static void a_result_that_no_leader_has_heard_is_told_to_the_next(void **state)
{
    (void)state;
    struct script script = {0};
    struct lab *lab = open_script(&script, 2);
    uint64_t id = lab_submit_text(lab, 0, "work", "x");
    lab_run(lab);
    lab_depose(lab, 0);
    lab_work_all(lab);
    lab_lead(lab, 0, 1);
    lab_work_all(lab);
    assert_int_equal(state_of(lab, id), TASK_DONE);
    assert_string_equal(script.order, "x");
    lab_close(&lab);
}

static void what_a_dead_node_ran_is_given_to_another(void **state)
{
    (void)state;
    struct script script = {0};
    struct lab *lab = open_script(&script, 2);
    uint64_t id = lab_submit_text(lab, 0, "work", "x");
    lab_run(lab);
    uint32_t agent = lab_task(lab, id)->agent;
    lab_restart(lab, agent);
    if (agent == 0) {
        lab_lead(lab, 0, 1);
    }
    lab_run(lab);
    lab_advance(lab, 2000);
    lab_work_all(lab);
    assert_int_equal(state_of(lab, id), TASK_DONE);
    lab_close(&lab);
}

static void a_late_result_is_refused(void **state)
{
    (void)state;
    struct script script = {0};
    struct lab *lab = open_script(&script, 2);
    lab_depose(lab, 0);
    lab_lead(lab, 0, 1);
    lab_run(lab);
    struct task_pool pool = lab_pool("work");
    pool.lease_ms = 1000;
    lab_set_pool(lab, &pool);
    uint64_t id = lab_submit_text(lab, 0, "work", "x");
    lab_run(lab);
    assert_int_equal(lab_task(lab, id)->agent, 1);
    const struct coordinator_stats *stats =
        coordinator_stats(lab_coordinator(lab, 1, 0));
    /* The node's own agent says that it is another process's. */
    struct task_finish finish = {.id = id, .token = 1, .status = RUN_DONE};
    assert_false(coordinator_finish(lab_coordinator(lab, 1, 0), 0, &finish));
    assert_int_equal(stats->late, 1);
    assert_int_equal(lab_task(lab, id)->work, WORK_LEASED);
    lab_work_all(lab);
    assert_int_equal(state_of(lab, id), TASK_DONE);
    lab_close(&lab);
}

static void an_agent_that_is_silent_loses_its_leases(void **state)
{
    (void)state;
    struct script script = {0};
    struct lab *lab = open_script(&script, 2);
    struct task_pool pool = lab_pool("work");
    pool.lease_ms = 2000;
    pool.backoff_min_ms = 1;
    pool.workers = 1;
    lab_set_pool(lab, &pool);
    for (uint32_t i = 0; i < 20; i++) {
        (void)lab_submit_text(lab, 0, "work", "x");
    }
    lab_run(lab);
    lab_tell_loads(lab);
    const struct agent_stats *thief = agent_stats(lab_agent(lab, 1));
    assert_true(thief->stolen > 0);
    uint64_t stolen = thief->stolen;
    lab_cut(lab, 0, 1, true);
    lab_advance(lab, 3000);
    assert_int_equal(coordinator_stats(lab_coordinator(lab, 0, 0))->stalled,
                     stolen);
    lab_close(&lab);
}

static void what_cannot_be_sent_is_given_to_another(void **state)
{
    (void)state;
    struct script script = {0};
    struct lab *lab = open_script(&script, 2);
    struct task_pool pool = lab_pool("work");
    pool.workers = 1;
    pool.is_paused = true;
    lab_set_pool(lab, &pool);
    for (uint32_t i = 0; i < 20; i++) {
        (void)lab_submit_text(lab, 0, "work", "x");
    }
    pool.is_paused = false;
    lab_set_pool(lab, &pool);
    lab_run(lab);
    lab_tell_loads(lab); /* the other one asks */
    lab_cut(lab, 0, 1, true);
    for (uint32_t i = 0; i < 20; i++) {
        (void)lab_work(lab, 1);
    }
    lab_cut(lab, 0, 1, false);
    lab_work_all(lab);
    lab_advance(lab, 5000);
    lab_work_all(lab);
    assert_int_equal(book_stats(coordinator_book(lab_coordinator(lab, 0, 0)),
                                bytes_of_text("work"))
                         .done_total,
                     20);
    assert_true(agent_is_idle(lab_agent(lab, 0)));
    assert_true(agent_is_idle(lab_agent(lab, 1)));
    lab_close(&lab);
}

/* ---- stealing ---- */

static void an_idle_agent_steals_from_a_busy_coordinator(void **state)
{
    (void)state;
    struct lab *lab = open_lab(3, 1);
    for (uint32_t i = 0; i < 300; i++) {
        (void)lab_submit_text(lab, 0, "work", "x");
    }
    lab_run(lab);
    lab_tell_loads(lab);
    assert_true(agent_stats(lab_agent(lab, 1))->stolen > 0);
    assert_true(agent_stats(lab_agent(lab, 2))->stolen > 0);
    lab_work_all(lab);
    assert_int_equal(book_stats(coordinator_book(lab_coordinator(lab, 0, 0)),
                                bytes_of_text("work"))
                         .done_total,
                     300);
    lab_close(&lab);
}

/* Of a node without workers, whose load the bus tells once. */
static void a_thief_goes_on_as_long_as_something_is_left(void **state)
{
    (void)state;
    struct lab *lab = open_lab(2, 1);
    for (uint32_t i = 0; i < 300; i++) {
        (void)lab_submit_text(lab, 0, "work", "x");
    }
    lab_run(lab);
    uint64_t before = agent_stats(lab_agent(lab, 0))->finished;
    agent_leave(lab_agent(lab, 0));
    lab_tell_loads(lab);
    uint32_t done = 0;
    while (done < 300) {
        uint32_t more = lab_work(lab, UINT32_MAX);
        assert_true(more > 0);
        done += more;
    }
    assert_int_equal(agent_stats(lab_agent(lab, 0))->finished +
                         agent_stats(lab_agent(lab, 1))->finished,
                     300);
    assert_true(agent_stats(lab_agent(lab, 0))->finished <= before + 16);
    assert_false(dispatcher_is_short(lab_dispatcher(lab, 0)));
    lab_close(&lab);
}

/* What is given fills a message, and so it is sent before all is given. */
static void a_thief_that_was_given_large_tasks_is_not_told_there_are_none(
    void **state)
{
    (void)state;
    static uint8_t payload[60000];
    struct lab *lab = open_lab(2, 1);
    struct task_spec spec = task_spec_of(bytes_of(payload, sizeof payload));
    agent_leave(lab_agent(lab, 0));
    for (uint32_t i = 0; i < 6; i++) {
        (void)lab_submit(lab, 0, "work", 0, &spec, 1, NULL);
    }
    lab_run(lab);
    lab_tell_loads(lab);
    lab_work_all(lab);
    assert_int_equal(agent_stats(lab_agent(lab, 1))->finished, 6);
    assert_int_equal(agent_stats(lab_agent(lab, 1))->dry, 0);
    lab_close(&lab);
}

static uint64_t stolen_by(struct lab *lab, uint32_t node)
{
    return agent_stats(lab_agent(lab, node))->stolen;
}

/* Each was told, with the last that it got, that more are left. */
static void a_thief_that_waits_in_vain_asks_others(void **state)
{
    (void)state;
    static uint8_t payload[64u << 10]; /* two fill a message */
    struct lab *lab = open_lab(4, 2);
    struct task_pool pool = lab_pool("work");
    struct task_spec spec = task_spec_of(bytes_of(payload, sizeof payload));
    pool.workers = 20;
    lab_set_pool(lab, &pool);
    lab_depose(lab, 1);
    agent_leave(lab_agent(lab, 0));
    for (uint32_t i = 0; i < 80; i++) {
        (void)lab_submit(lab, 0, "work", 0, &spec, 1, NULL);
    }
    lab_run(lab);
    lab_tell_loads(lab); /* each of three asks for 40 */
    uint32_t last = stolen_by(lab, 1) < stolen_by(lab, 2) ? 1 : 2;
    last = stolen_by(lab, last) < stolen_by(lab, 3) ? last : 3;
    uint64_t before = stolen_by(lab, last);
    assert_true(before < 20);
    assert_int_equal(lab_work(lab, UINT32_MAX), 80);
    lab_lead(lab, 1, last == 1 ? 2 : 1);
    for (uint32_t i = 0; i < 200; i++) {
        (void)lab_submit_text(lab, 1, "work", "x");
    }
    lab_run(lab);
    lab_tell_loads(lab);
    assert_true(stolen_by(lab, last) > before);
    lab_work_all(lab);
    lab_close(&lab);
}

static void who_begins_anew_has_not_asked(void **state)
{
    (void)state;
    struct lab *lab = open_lab(2, 1);
    struct task_pool pool = lab_pool("other");
    agent_leave(lab_agent(lab, 0));
    lab_set_pool(lab, &pool);
    (void)lab_submit_text(lab, 0, "other", "x");
    lab_run(lab);
    lab_restart(lab, 1);
    lab_run(lab);
    assert_false(dispatcher_is_asked(lab_dispatcher(lab, 0), "other"));
    lab_tell_loads(lab);
    assert_true(dispatcher_is_asked(lab_dispatcher(lab, 0), "other"));
    lab_work_all(lab);
    lab_close(&lab);
}

static void results_for_several_leaders_are_told_in_their_order(void **state)
{
    (void)state;
    struct lab *lab = open_lab(3, 2);
    agent_leave(lab_agent(lab, 0));
    agent_leave(lab_agent(lab, 1));
    uint64_t ids[8];
    for (uint32_t i = 0; i < 8; i++) {
        ids[i] = lab_submit_text(lab, i % 2, "work", "x");
    }
    lab_run(lab);
    lab_tell_loads(lab);
    lab_work_all(lab);
    assert_int_equal(agent_stats(lab_agent(lab, 2))->finished, 8);
    for (uint32_t i = 2; i < 8; i++) {
        assert_ptr_equal(lab_task(lab, ids[i])->older,
                         lab_task(lab, ids[i - 2]));
    }
    lab_close(&lab);
}

static void an_agent_that_steals_nothing_leaves_it_to_others(void **state)
{
    (void)state;
    struct lab *lab = open_lab(2, 1);
    struct agent_limits limits;
    agent_limits_defaults(&limits);
    limits.steals_nothing = true;
    agent_set_limits(lab_agent(lab, 1), &limits);
    for (uint32_t i = 0; i < 300; i++) {
        (void)lab_submit_text(lab, 0, "work", "x");
    }
    lab_run(lab);
    lab_tell_loads(lab);
    assert_int_equal(agent_stats(lab_agent(lab, 1))->steals, 0);
    assert_true(dispatcher_is_short(lab_dispatcher(lab, 0)));
    lab_work_all(lab);
    assert_int_equal(agent_stats(lab_agent(lab, 0))->finished, 300);
    lab_close(&lab);
}

/* ---- volatile pools ---- */

static void volatile_tasks_are_done_and_go_with_their_leader(void **state)
{
    (void)state;
    struct lab *lab = open_lab(2, 1);
    struct task_pool pool = lab_pool("fast");
    pool.is_durable = false;
    lab_set_pool(lab, &pool);
    uint64_t done = lab_submit_text(lab, 0, "fast", "x");
    lab_work_all(lab);
    assert_true(task_id_is_volatile(done));
    assert_int_equal(state_of(lab, done), TASK_DONE);
    uint64_t waiting = lab_submit_text(lab, 0, "fast", "x");
    uint64_t durable = lab_submit_text(lab, 0, "work", "x");
    lab_depose(lab, 0);
    lab_lead(lab, 0, 1);
    lab_work_all(lab);
    assert_null(lab_task(lab, waiting));
    assert_null(lab_task(lab, done));
    assert_int_equal(state_of(lab, durable), TASK_DONE);
    assert_true(lab_books_agree(lab));
    lab_close(&lab);
}

static void a_task_waits_for_all_of_those_before_it_in_other_shards(
    void **state)
{
    (void)state;
    struct lab *lab = open_lab(1, 3);
    uint64_t done = lab_submit_text(lab, 0, "work", "1");
    lab_work_all(lab);
    uint64_t waiting = lab_submit_text(lab, 2, "work", "2");
    struct task_spec spec = task_spec_of(bytes_of_text("3"));
    spec.after_count = 2;
    spec.after[0] = done;
    spec.after[1] = waiting;
    uint64_t last = lab_submit(lab, 1, "work", 0, &spec, 1, NULL);
    lab_run(lab);
    assert_int_equal(lab_task(lab, last)->work, WORK_AFTER);
    lab_work_all(lab);
    assert_int_equal(state_of(lab, last), TASK_DONE);
    lab_close(&lab);
}

static void a_revived_task_waits_as_if_it_were_new(void **state)
{
    (void)state;
    struct script script = {.status = RUN_REFUSED, .failures = 1};
    struct lab *lab = open_script(&script, 1);
    struct task_pool pool = lab_pool("slow");
    pool.is_paused = true;
    lab_set_pool(lab, &pool);
    uint64_t fails = lab_submit_text(lab, 0, "work", "1");
    uint64_t slow = lab_submit_text(lab, 0, "slow", "2");
    uint64_t slower = lab_submit_text(lab, 0, "slow", "3");
    struct task_spec spec = task_spec_of(bytes_of_text("4"));
    spec.after_count = 3;
    spec.after[0] = slow;
    spec.after[1] = slower;
    spec.after[2] = fails;
    uint64_t last = lab_submit(lab, 0, "work", 0, &spec, 1, NULL);
    lab_work_all(lab);
    assert_int_equal(state_of(lab, last), TASK_DEAD);
    assert_int_equal(lab_request(lab, 0, BOOK_RETRY, fails), 1);
    lab_work_all(lab);
    assert_int_equal(lab_request(lab, 0, BOOK_RETRY, last), 1);
    assert_int_equal(state_of(lab, fails), TASK_DONE);
    assert_int_equal(lab_task(lab, last)->work, WORK_AFTER);
    assert_int_equal(lab_task(lab, last)->extra->after_left, 2);
    pool.is_paused = false;
    lab_set_pool(lab, &pool);
    lab_run(lab);
    assert_int_equal(lab_work(lab, 1), 1);
    assert_int_equal(lab_task(lab, last)->work, WORK_AFTER);
    lab_work_all(lab);
    assert_int_equal(state_of(lab, last), TASK_DONE);
    lab_close(&lab);
}

static void a_lease_is_not_shorter_since_its_agent_had_nothing_to_say(
    void **state)
{
    (void)state;
    struct script script = {0};
    struct lab *lab = open_script(&script, 1);
    struct task_pool pool = lab_pool("work");
    pool.lease_ms = 2000;
    lab_set_pool(lab, &pool);
    lab_run(lab);
    lab_advance(lab, 60000);
    uint64_t id = lab_submit_text(lab, 0, "work", "x");
    lab_run(lab);
    lab_advance(lab, 10000);
    assert_int_equal(coordinator_stats(lab_coordinator(lab, 0, 0))->stalled, 0);
    lab_work_all(lab);
    assert_int_equal(state_of(lab, id), TASK_DONE);
    lab_close(&lab);
}

static void an_attempt_that_was_given_back_is_not_kept(void **state)
{
    (void)state;
    struct script script = {.status = RUN_CANCELLED, .failures = 1};
    struct lab *lab = open_script(&script, 1);
    uint64_t id = lab_submit_text(lab, 0, "work", "x");
    lab_work_all(lab);
    assert_int_equal(state_of(lab, id), TASK_DONE);
    assert_int_equal(agent_stats(lab_agent(lab, 0))->late, 0);
    assert_int_equal(lab_task(lab, id)->attempts, 1);
    lab_close(&lab);
}

static void what_was_to_be_purged_can_be_after_a_change_of_leader(void **state)
{
    (void)state;
    uint8_t outcome[256];
    uint8_t reply[64];
    uint8_t request[64];
    struct lab *lab = open_lab(1, 1);
    uint64_t id = lab_submit_text(lab, 0, "work", "x");
    lab_work_all(lab);
    struct machine machine =
        book_machine(coordinator_book(lab_coordinator(lab, 0, 0)));
    struct writer writer = writer_of(request, sizeof request);
    book_request_ids(&writer, BOOK_PURGE, &id, 1, NULL);
    struct machine_stamp stamp = {.wall_ms = lab_wall_ms(lab)};
    struct machine_decision decision = {
        .outcome = writer_of(outcome, sizeof outcome),
        .reply = writer_of(reply, sizeof reply)};
    CHECK_OK(machine.decide(machine.context, &stamp, writer_bytes(&writer),
                            &decision));
    lab_depose(lab, 0);
    lab_lead(lab, 0, 0);
    assert_int_equal(lab_request(lab, 0, BOOK_PURGE, id), 1);
    assert_null(lab_task(lab, id));
    lab_close(&lab);
}

/* ---- snapshots ---- */

static void a_snapshot_holds_all_that_is_durable(void **state)
{
    (void)state;
    struct script script = {.status = RUN_REFUSED, .failures = 2};
    struct lab *lab = open_script(&script, 1);
    struct lab *other = lab_open(&(struct lab_config){.nodes = 1, .shards = 1});
    for (uint32_t i = 0; i < 50; i++) {
        struct task_spec spec = task_spec_of(bytes_of_text("payload"));
        char key[8];
        (void)snprintf(key, sizeof key, "k%u", i);
        spec.key = i % 3 == 0 ? bytes_of_text(key) : (struct bytes){0};
        spec.order = i % 5 == 0 ? bytes_of_text("o") : (struct bytes){0};
        spec.ttl_ms = i % 7 == 0 ? 100000 : 0;
        spec.delay_ms = i % 2 == 0 ? 1000000 : 0;
        (void)lab_submit(lab, 0, "work", i + 1, &spec, 1, NULL);
    }
    lab_work_all(lab);
    struct book *book = coordinator_book(lab_coordinator(lab, 0, 0));
    struct book *copy = coordinator_book(lab_coordinator(other, 0, 0));
    book_lab_copy(book, copy);
    assert_int_equal(book_next_sequence(book), book_next_sequence(copy));
    lab_close(&other);
    lab_close(&lab);
}

static void a_client_changes_tasks_of_its_pools_alone(void **state)
{
    (void)state;
    struct lab *lab = open_lab(1, 1);
    struct task_pool pool = lab_pool("quick");
    pool.is_durable = false;
    lab_set_pool(lab, &pool);
    const uint64_t ids[] = {lab_submit_text(lab, 0, "work", "x"),
                            lab_submit_text(lab, 0, "quick", "x")};
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(lab_request_of(lab, 0, BOOK_CANCEL, ids[i], ""), 0);
        assert_int_equal(
            lab_request_of(lab, 0, BOOK_CANCEL, ids[i], "wor,other*"), 0);
        assert_int_equal(state_of(lab, ids[i]), TASK_WAITING);
        assert_int_equal(
            lab_request_of(lab, 0, BOOK_CANCEL, ids[i], "work,qu*"), 1);
        assert_int_equal(state_of(lab, ids[i]), TASK_CANCELLED);
    }
    lab_close(&lab);
}

/* ---- credit, when pools change ---- */

static void a_pool_that_is_changed_while_a_task_runs_goes_on(void **state)
{
    (void)state;
    struct lab *lab = open_lab(1, 1);
    struct task_pool pool = lab_pool("work");
    uint64_t first = lab_submit_text(lab, 0, "work", "x");
    lab_run(lab); /* it runs; there is credit for more */
    pool.workers--;
    lab_set_pool(lab, &pool);
    lab_run(lab);
    uint64_t second = lab_submit_text(lab, 0, "work", "y");
    lab_work_all(lab);
    assert_int_equal(state_of(lab, first), TASK_DONE);
    assert_int_equal(state_of(lab, second), TASK_DONE);
    lab_close(&lab);
}

static void a_pool_that_comes_again_gets_tasks_as_before(void **state)
{
    (void)state;
    struct lab *lab = open_lab(1, 1);
    struct task_pool pool = lab_pool("work");
    for (uint32_t i = 0; i < 100; i++) {
        (void)lab_submit_text(lab, 0, "work", "x");
    }
    lab_work_all(lab);
    lab_remove_pool(lab, "work");
    lab_advance(lab, 1000); /* the agent has forgotten it */
    lab_set_pool(lab, &pool);
    lab_run(lab);
    uint64_t id = lab_submit_text(lab, 0, "work", "y");
    lab_work_all(lab);
    assert_int_equal(state_of(lab, id), TASK_DONE);
    lab_close(&lab);
}

/* ---- what the group does not take at once ---- */

static void an_end_that_is_refused_is_proposed_again(void **state)
{
    (void)state;
    struct lab *lab = open_lab(1, 1);
    uint64_t ids[3];
    for (uint32_t i = 0; i < 3; i++) {
        ids[i] = lab_submit_text(lab, 0, "work", "x");
    }
    lab_run(lab);
    for (uint32_t i = 0; i < 3; i++) { /* each end by itself, and more come */
        lab_refuse(lab, 1);
        assert_int_equal(lab_work(lab, 1), 1);
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(lab_task(lab, ids[i])->state, TASK_WAITING);
        assert_int_equal(lab_task(lab, ids[i])->work, WORK_ENDING);
    }
    assert_false(agent_is_idle(lab_agent(lab, 0)));
    lab_advance(lab, 1000);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(state_of(lab, ids[i]), TASK_DONE);
        assert_int_equal(lab_task(lab, ids[i])->attempts, 1);
    }
    assert_true(agent_is_idle(lab_agent(lab, 0)));
    lab_close(&lab);
}

/* ---- results that are said again ---- */

/* [5, [[0, 1], [0, 1]]]: to present shard 0 to the leader of term 1, twice. */
static void ask_twice(struct lab *lab)
{
    static const uint8_t ask[] = {0x92, TASK_ASK, 0x92, 0x92, 0, 1, 0x92, 0, 1};
    CHECK_OK(agent_receive(lab_agent(lab, 1), 0, bytes_of(ask, sizeof ask)));
}

static void acknowledge(struct lab *lab, uint64_t id, uint64_t token)
{
    uint8_t buffer[64];
    struct writer writer = writer_of(buffer, sizeof buffer);
    pack_array(&writer, 2);
    pack_uint(&writer, TASK_ACK);
    pack_array(&writer, 1);
    pack_array(&writer, 3);
    pack_uint(&writer, id);
    pack_uint(&writer, token);
    pack_bool(&writer, true);
    CHECK_OK(agent_receive(lab_agent(lab, 1), 0, writer_bytes(&writer)));
}

/* A lab whose node 1 has finished a task of node 0, which does not know. */
static struct lab *open_unheard(uint64_t *id)
{
    struct lab *lab = open_lab(2, 1);
    for (uint32_t i = 0; i < 9; i++) { /* node 0 has its hands full */
        *id = lab_submit_text(lab, 0, "work", "x");
        lab_run(lab);
    }
    lab_tell_loads(lab);
    lab_run(lab);
    lab_cut(lab, 0, 1, true);
    (void)lab_work(lab, UINT32_MAX);
    lab_cut(lab, 0, 1, false);
    assert_int_equal(state_of(lab, *id), TASK_WAITING);
    assert_false(agent_is_idle(lab_agent(lab, 1)));
    return lab;
}

static void a_result_that_is_asked_for_twice_is_said_once(void **state)
{
    (void)state;
    uint64_t id = 0;
    struct lab *lab = open_unheard(&id);
    ask_twice(lab);
    lab_run(lab);
    assert_int_equal(state_of(lab, id), TASK_DONE);
    assert_true(agent_is_idle(lab_agent(lab, 1)));
    lab_close(&lab);
}

static void a_result_may_be_acknowledged_before_it_is_said_again(void **state)
{
    (void)state;
    uint64_t id = 0;
    struct lab *lab = open_unheard(&id);
    ask_twice(lab);
    acknowledge(lab, id, lab_task(lab, id)->token);
    assert_true(agent_is_idle(lab_agent(lab, 1)));
    lab_run(lab); /* what is said is not what was freed */
    assert_int_equal(state_of(lab, id), TASK_WAITING);
    lab_close(&lab);
}

static void ids_are_read_as_they_are_written(void **state)
{
    (void)state;
    char text[TASK_ID_BYTES];
    uint64_t id = 0;
    task_id_text(text, task_id(17, 4021));
    assert_string_equal(text, "17-4021");
    CHECK_OK(task_id_parse(&id, text));
    assert_int_equal(id, task_id(17, 4021));
    CHECK_ERR(task_id_parse(&id, "17-"), ERR_MALFORMED);
    CHECK_ERR(task_id_parse(&id, "4096-1"), ERR_MALFORMED);
    CHECK_ERR(task_id_parse(&id, "1-2x"), ERR_MALFORMED);
    CHECK_ERR(task_id_parse(&id, ""), ERR_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_is_given_to_a_worker_and_its_result_is_kept),
        cmocka_unit_test(many_tasks_are_all_done_once),
        cmocka_unit_test(a_submission_that_is_asked_again_is_not_made_twice),
        cmocka_unit_test(a_key_names_one_task),
        cmocka_unit_test(an_unknown_pool_is_refused),
        cmocka_unit_test(a_full_queue_and_a_long_payload_are_refused),
        cmocka_unit_test(who_walks_while_tasks_come_meets_each_once),
        cmocka_unit_test(a_short_queue_is_not_split),
        cmocka_unit_test(a_failed_attempt_is_tried_again_after_a_pause),
        cmocka_unit_test(
            after_the_last_attempt_it_is_a_dead_letter_that_can_be_revived),
        cmocka_unit_test(what_is_refused_is_not_tried_again),
        cmocka_unit_test(tasks_of_one_order_key_run_one_after_another),
        cmocka_unit_test(a_higher_priority_goes_first_and_tenants_take_turns),
        cmocka_unit_test(a_delay_and_a_deadline_are_kept),
        cmocka_unit_test(a_task_waits_for_those_before_it_and_fails_with_them),
        cmocka_unit_test(a_task_that_runs_can_be_cancelled),
        cmocka_unit_test(who_watches_a_task_hears_what_it_says),
        cmocka_unit_test(what_a_task_has_said_goes_with_its_leader),
        cmocka_unit_test(what_an_attempt_has_said_goes_with_it),
        cmocka_unit_test(no_more_run_than_the_pool_allows),
        cmocka_unit_test(no_more_begin_in_a_second_than_the_rate),
        cmocka_unit_test(as_many_begin_as_the_rate_allows),
        cmocka_unit_test(results_are_forgotten_after_their_time),
        cmocka_unit_test(what_was_due_by_another_clock_is_not_given_out_again),
        cmocka_unit_test(a_new_leader_hears_who_works_on_what),
        cmocka_unit_test(a_result_that_no_leader_has_heard_is_told_to_the_next),
        cmocka_unit_test(what_a_dead_node_ran_is_given_to_another),
        cmocka_unit_test(a_late_result_is_refused),
        cmocka_unit_test(an_agent_that_is_silent_loses_its_leases),
        cmocka_unit_test(what_cannot_be_sent_is_given_to_another),
        cmocka_unit_test(an_idle_agent_steals_from_a_busy_coordinator),
        cmocka_unit_test(a_thief_goes_on_as_long_as_something_is_left),
        cmocka_unit_test(
            a_thief_that_was_given_large_tasks_is_not_told_there_are_none),
        cmocka_unit_test(a_thief_that_waits_in_vain_asks_others),
        cmocka_unit_test(who_begins_anew_has_not_asked),
        cmocka_unit_test(results_for_several_leaders_are_told_in_their_order),
        cmocka_unit_test(an_agent_that_steals_nothing_leaves_it_to_others),
        cmocka_unit_test(volatile_tasks_are_done_and_go_with_their_leader),
        cmocka_unit_test(
            a_task_waits_for_all_of_those_before_it_in_other_shards),
        cmocka_unit_test(a_revived_task_waits_as_if_it_were_new),
        cmocka_unit_test(
            a_lease_is_not_shorter_since_its_agent_had_nothing_to_say),
        cmocka_unit_test(an_attempt_that_was_given_back_is_not_kept),
        cmocka_unit_test(what_was_to_be_purged_can_be_after_a_change_of_leader),
        cmocka_unit_test(a_snapshot_holds_all_that_is_durable),
        cmocka_unit_test(a_client_changes_tasks_of_its_pools_alone),
        cmocka_unit_test(a_pool_that_is_changed_while_a_task_runs_goes_on),
        cmocka_unit_test(a_pool_that_comes_again_gets_tasks_as_before),
        cmocka_unit_test(an_end_that_is_refused_is_proposed_again),
        cmocka_unit_test(a_result_that_is_asked_for_twice_is_said_once),
        cmocka_unit_test(a_result_may_be_acknowledged_before_it_is_said_again),
        cmocka_unit_test(ids_are_read_as_they_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
