/* Schedules, from their definition to the tasks that come of them:
 * tests/shard/task_lab.h. The lab begins at 22:13:21. */

#include "shard/task_schedule.h"

#include "base/time_units.h"
#include "tests/shard/task_lab.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE_MS UINT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)

/* "x", as MessagePack. */
static const uint8_t payload[] = {0xa1, 'x'};

static struct task_schedule made(const char *name, const char *cron)
{
    struct task_schedule schedule;
    task_schedule_defaults(&schedule);
    (void)snprintf(schedule.name, sizeof schedule.name, "%s", name);
    (void)snprintf(schedule.text, sizeof schedule.text, "%s", cron);
    CHECK_OK(cron_parse(&schedule.cron, cron, NULL));
    schedule.task.payload = bytes_of(payload, sizeof payload);
    return schedule;
}

/* ---- a pool with one schedule ---- */

struct fixture {
    struct lab *lab;
    struct task_pool pool;
    struct task_schedule schedule;
};

/* As it is now, since now. */
static void set_pool(struct fixture *fixture)
{
    struct task_pool before = fixture->pool;
    struct task_schedule old = fixture->schedule;
    before.schedules = &old;
    task_schedules_stamp(&fixture->pool, &before, lab_wall_ms(fixture->lab));
    lab_set_pool(fixture->lab, &fixture->pool);
}

static struct fixture *open_fixture(uint32_t nodes, const char *cron)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    CHECK(fixture);
    fixture->lab = lab_open(&(struct lab_config){.nodes = nodes, .shards = 1});
    fixture->pool = lab_pool("work");
    fixture->schedule = made("tick", cron);
    fixture->pool.schedules = &fixture->schedule;
    fixture->pool.schedule_count = 1;
    task_schedules_stamp(&fixture->pool, NULL, lab_wall_ms(fixture->lab));
    lab_set_pool(fixture->lab, &fixture->pool);
    lab_lead(fixture->lab, 0, 0);
    lab_run(fixture->lab);
    return fixture;
}

static void close_fixture(struct fixture *fixture)
{
    CHECK(lab_books_agree(fixture->lab));
    lab_close(&fixture->lab);
    free(fixture);
}

static struct book *book_of(const struct fixture *fixture)
{
    return coordinator_book(lab_coordinator(fixture->lab, 0, 0));
}

static struct book_schedule look(const struct fixture *fixture)
{
    return book_schedule(book_of(fixture), bytes_of_text("work"),
                         bytes_of_text("tick"));
}

static uint64_t accepted(const struct fixture *fixture)
{
    return book_stats(book_of(fixture), bytes_of_text("work")).accepted_total;
}

/* The wall clock goes on by itself, and what is due is done. */
static void jump(struct fixture *fixture, uint64_t ms)
{
    lab_jump(fixture->lab, (int64_t)ms);
    lab_advance(fixture->lab, 2);
    lab_work_all(fixture->lab);
}

static void each_occurrence_becomes_a_task(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(2, "* * * * *");
    fixture->schedule.task.priority = 2;
    set_pool(fixture);
    lab_advance(fixture->lab, 38 * 1000);
    CHECK(accepted(fixture) == 0);
    CHECK(look(fixture).due_s == BOOK_NO_TIME);
    lab_advance(fixture->lab, 1100);
    CHECK(accepted(fixture) == 1);
    struct book_schedule is = look(fixture);
    CHECK(is.due_s == lab_wall_ms(fixture->lab) / MS_PER_S / 60 * 60);
    CHECK(is.passed == 0);
    const struct task *task = lab_task(fixture->lab, is.task);
    CHECK(task && task->priority == 2);
    CHECK(
        bytes_are_equal(task_payload(task), bytes_of(payload, sizeof payload)));
    for (int i = 0; i < 5; i++) {
        jump(fixture, MINUTE_MS);
    }
    CHECK(accepted(fixture) == 6);
    CHECK(look(fixture).task != is.task);
    close_fixture(fixture);
}

static void only_the_shard_of_the_pools_name_submits(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(1, "* * * * *");
    struct lab *lab = lab_open(&(struct lab_config){.nodes = 1, .shards = 8});
    uint64_t sum = 0;
    lab_set_pool(lab, &fixture->pool);
    for (uint32_t i = 0; i < 8; i++) {
        lab_lead(lab, i, 0);
    }
    lab_jump(lab, (int64_t)MINUTE_MS);
    lab_advance(lab, 2);
    for (uint32_t i = 0; i < 8; i++) {
        uint64_t its = book_stats(coordinator_book(lab_coordinator(lab, 0, i)),
                                  bytes_of_text("work"))
                           .accepted_total;
        CHECK((its > 0) == (i == task_pool_shard("work", 8)));
        sum += its;
    }
    CHECK(sum == 1);
    lab_close(&lab);
    close_fixture(fixture);
}

static void a_new_leader_fires_nothing_twice(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(3, "* * * * *");
    for (uint32_t i = 1; i <= 6; i++) {
        jump(fixture, MINUTE_MS);
        CHECK(accepted(fixture) == i);
        lab_depose(fixture->lab, 0);
        lab_lead(fixture->lab, 0, i % 3);
        lab_advance(fixture->lab, 3000);
        lab_work_all(fixture->lab);
        CHECK(accepted(fixture) == i);
    }
    CHECK(look(fixture).passed == 0);
    close_fixture(fixture);
}

static void of_what_was_missed_the_latest_is_run_and_the_rest_counted(
    void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(2, "*/10 * * * *");
    lab_depose(fixture->lab, 0);
    lab_jump(fixture->lab, (int64_t)HOUR_MS); /* 23:13: 22:20 to 23:10 */
    lab_lead(fixture->lab, 0, 1);
    jump(fixture, 0);
    CHECK(accepted(fixture) == 1);
    CHECK(look(fixture).passed == 5);
    CHECK(look(fixture).due_s % 3600 == 600);
    close_fixture(fixture);
}

static void what_is_too_old_is_passed_over(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(1, "15 * * * *");
    fixture->schedule.catch_up_ms = 10 * MINUTE_MS;
    set_pool(fixture);
    jump(fixture, 12 * MINUTE_MS); /* 22:25: ten minutes are over */
    CHECK(accepted(fixture) == 0);
    CHECK(look(fixture).passed == 1);
    CHECK(look(fixture).task == 0);
    jump(fixture, 50 * MINUTE_MS);
    CHECK(accepted(fixture) == 1);
    CHECK(look(fixture).passed == 1);
    close_fixture(fixture);
}

static void a_long_absence_is_walked_in_parts(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(1, "* * * * *");
    jump(fixture, 40 * DAY_MS);
    lab_advance(fixture->lab, 5000);
    CHECK(accepted(fixture) == 1);
    CHECK(look(fixture).passed == 40 * 24 * 60 - 1);
    close_fixture(fixture);
}

static void a_clock_that_goes_back_fires_nothing_twice(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(1, "* * * * *");
    jump(fixture, 2 * MINUTE_MS);
    jump(fixture, MINUTE_MS);
    uint64_t before = accepted(fixture);
    lab_jump(fixture->lab, -2 * (int64_t)MINUTE_MS);
    lab_advance(fixture->lab, 2000);
    jump(fixture, MINUTE_MS);
    jump(fixture, MINUTE_MS);
    CHECK(accepted(fixture) == before);
    jump(fixture, MINUTE_MS);
    CHECK(accepted(fixture) == before + 1);
    close_fixture(fixture);
}

static void an_occurrence_is_skipped_while_the_one_before_runs(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(1, "* * * * *");
    fixture->schedule.may_overlap = false;
    set_pool(fixture);
    lab_jump(fixture->lab, (int64_t)MINUTE_MS);
    lab_advance(fixture->lab, 2);
    CHECK(accepted(fixture) == 1);
    lab_jump(fixture->lab, (int64_t)MINUTE_MS); /* nobody works */
    lab_advance(fixture->lab, 2);
    lab_jump(fixture->lab, (int64_t)MINUTE_MS);
    lab_advance(fixture->lab, 2);
    CHECK(accepted(fixture) == 1);
    CHECK(look(fixture).passed == 2);
    lab_work_all(fixture->lab);
    jump(fixture, MINUTE_MS);
    CHECK(accepted(fixture) == 2);
    CHECK(look(fixture).passed == 2);
    close_fixture(fixture);
}

static void a_full_queue_is_waited_for(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(1, "* * * * *");
    fixture->pool.queue_max = 1;
    fixture->pool.is_paused = true;
    set_pool(fixture);
    lab_jump(fixture->lab, (int64_t)MINUTE_MS);
    lab_advance(fixture->lab, 2);
    CHECK(accepted(fixture) == 1); /* though it is paused */
    lab_jump(fixture->lab, (int64_t)MINUTE_MS);
    lab_advance(fixture->lab, 3000);
    CHECK(accepted(fixture) == 1);
    CHECK(look(fixture).passed == 0);
    lab_request(fixture->lab, 0, BOOK_CANCEL, look(fixture).task);
    lab_advance(fixture->lab, 1100);
    CHECK(accepted(fixture) == 2);
    CHECK(look(fixture).passed == 0);
    close_fixture(fixture);
}

static void a_schedule_counts_since_it_is_as_it_is(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(1, "30 22 * * *");
    jump(fixture, 30 * MINUTE_MS); /* 22:43 */
    CHECK(accepted(fixture) == 1);
    /* Another payload: it counts on. */
    int64_t since_ms = fixture->schedule.since_ms;
    fixture->schedule.task.priority = 1;
    set_pool(fixture);
    CHECK(fixture->schedule.since_ms == since_ms);
    /* Other times: what was before is not its own. */
    struct task_pool before = fixture->pool;
    struct task_schedule old = fixture->schedule;
    before.schedules = &old;
    fixture->schedule = made("tick", "35 22 * * *");
    task_schedules_stamp(&fixture->pool, &before, lab_wall_ms(fixture->lab));
    lab_set_pool(fixture->lab, &fixture->pool);
    jump(fixture, 0);
    CHECK(accepted(fixture) == 1);
    CHECK(look(fixture).passed == 0);
    jump(fixture, DAY_MS);
    CHECK(accepted(fixture) == 2);
    close_fixture(fixture);
}

static void what_is_gone_is_forgotten_when_that_is_safe(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(2, "* * * * *");
    jump(fixture, MINUTE_MS);
    fixture->pool.schedule_count = 0;
    lab_set_pool(fixture->lab, &fixture->pool);
    jump(fixture, 6 * DAY_MS);
    lab_advance(fixture->lab, 1100);
    CHECK(look(fixture).due_s != BOOK_NO_TIME);
    /* A leader with an old view had it still: it is not begun anew. */
    fixture->pool.schedule_count = 1;
    lab_set_pool(fixture->lab, &fixture->pool);
    jump(fixture, MINUTE_MS);
    CHECK(accepted(fixture) == 2);
    fixture->pool.schedule_count = 0;
    lab_set_pool(fixture->lab, &fixture->pool);
    jump(fixture, 8 * DAY_MS);
    lab_advance(fixture->lab, 1100);
    CHECK(look(fixture).due_s == BOOK_NO_TIME);
    close_fixture(fixture);
}

/* What the leader's book makes of a command, which is not applied yet. */
static size_t decide(const struct fixture *fixture,
                     const struct book_fire *fire,
                     uint8_t *to,
                     size_t capacity)
{
    uint8_t buffer[256];
    struct writer command = writer_of(buffer, sizeof buffer);
    struct machine machine = book_machine(book_of(fixture));
    struct machine_stamp stamp = {.wall_ms = lab_wall_ms(fixture->lab)};
    struct machine_decision decision = {.outcome = writer_of(to, capacity)};
    if (fire) {
        book_fire_encode(fire, &command);
    } else {
        book_trim_encode(&command);
    }
    CHECK_OK(machine.decide(machine.context, &stamp, writer_bytes(&command),
                            &decision));
    return writer_bytes(&decision.outcome).length;
}

static void apply(const struct fixture *fixture, struct bytes outcome)
{
    struct machine_stamp stamp = {.wall_ms = lab_wall_ms(fixture->lab)};
    for (uint32_t i = 0; i < 2; i++) {
        struct machine machine =
            book_machine(coordinator_book(lab_coordinator(fixture->lab, i, 0)));
        CHECK_OK(machine.apply(machine.context, 1, &stamp, outcome));
    }
}

static void what_is_forgotten_may_be_on_its_way_already(void **state)
{
    (void)state;
    uint8_t forgotten[256];
    uint8_t fired[256];
    uint8_t again[256];
    struct fixture *fixture = open_fixture(2, "* * * * *");
    jump(fixture, MINUTE_MS);
    lab_jump(fixture->lab, 8 * DAY_MS);
    fixture->pool.schedule_count = 0;
    lab_set_pool(fixture->lab, &fixture->pool);
    const struct book_fire fire = {.pool = bytes_of_text("work"),
                                   .schedule = bytes_of_text("tick"),
                                   .due_s =
                                       lab_wall_ms(fixture->lab) / MS_PER_S,
                                   .passed = 1};
    size_t forgotten_bytes = decide(fixture, NULL, forgotten, sizeof forgotten);
    size_t fired_bytes = decide(fixture, &fire, fired, sizeof fired);
    CHECK(forgotten_bytes > 0 && fired_bytes > 0);
    apply(fixture, bytes_of(forgotten, forgotten_bytes));
    CHECK(look(fixture).due_s == BOOK_NO_TIME);
    CHECK(decide(fixture, &fire, again, sizeof again) == 0);
    apply(fixture, bytes_of(fired, fired_bytes));
    CHECK(look(fixture).due_s == fire.due_s && look(fixture).passed == 1);
    close_fixture(fixture); /* the other book is the same */
}

static void a_snapshot_knows_how_far_it_is(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(1, "*/2 * * * *");
    struct lab *lab = lab_open(&(struct lab_config){.nodes = 1, .shards = 1});
    struct book *copy = coordinator_book(lab_coordinator(lab, 0, 0));
    struct machine from = book_machine(book_of(fixture));
    struct machine to = book_machine(copy);
    uint8_t buffer[4096];
    jump(fixture, 7 * MINUTE_MS);
    struct book_schedule is = look(fixture);
    CHECK(is.passed == 3); /* 22:14 to 22:18 */
    CHECK_OK(from.snapshot_begin(from.context));
    CHECK_OK(to.restore_begin(to.context));
    struct writer piece = writer_of(buffer, sizeof buffer);
    CHECK_OK(from.snapshot_next(from.context, &piece));
    CHECK_OK(to.restore_piece(to.context, writer_bytes(&piece)));
    from.snapshot_end(from.context);
    CHECK(book_is_restored(copy));
    CHECK_OK(to.restore_end(to.context, true));
    struct book_schedule copied =
        book_schedule(copy, bytes_of_text("work"), bytes_of_text("tick"));
    CHECK(copied.due_s == is.due_s && copied.decided_s == is.due_s);
    CHECK(copied.task == is.task && copied.passed == is.passed);
    CHECK(book_digest(copy) == book_digest(book_of(fixture)));
    lab_close(&lab);
    close_fixture(fixture);
}

static void what_others_ask_for_is_no_firing(void **state)
{
    (void)state;
    const struct book_fire fire = {.pool = bytes_of_text("work"),
                                   .schedule = bytes_of_text("tick")};
    uint8_t buffer[256];
    struct writer writer = writer_of(buffer, sizeof buffer);
    book_fire_encode(&fire, &writer);
    CHECK(!writer.failed);
    CHECK(writer_bytes(&writer).length <= book_fire_bytes_max(&fire));
    CHECK(book_is_inner(writer_bytes(&writer)));
}

/* ---- definitions ---- */

static enum err decode(struct task_pool *out,
                       const struct task_pool *pool,
                       struct err_detail *why)
{
    size_t bytes = task_pool_bytes_max(pool);
    uint8_t *buffer = malloc(bytes);
    CHECK(buffer);
    struct writer writer = writer_of(buffer, bytes);
    task_pool_encode(pool, &writer);
    CHECK(!writer.failed);
    struct reader reader = reader_of(writer_bytes(&writer));
    enum err err = task_pool_decode(out, &reader, why);
    free(buffer);
    return err;
}

static void a_definition_is_read_as_it_is_written(void **state)
{
    (void)state;
    struct task_pool pool = lab_pool("work");
    struct task_pool read;
    struct task_schedule schedules[] = {made("a", "@hourly"),
                                        made("b", "5 4 * * sun")};
    schedules[0].since_ms = 77;
    schedules[0].may_overlap = false;
    schedules[0].catch_up_ms = 61000;
    schedules[0].task.tenant = bytes_of_text("ann");
    schedules[0].task.ttl_ms = 5;
    schedules[0].task.timeout_ms = 6;
    schedules[0].task.attempts_max = 7;
    schedules[1].task.payload = (struct bytes){0};
    pool.schedules = schedules;
    pool.schedule_count = 2;
    CHECK_OK(decode(&read, &pool, NULL));
    CHECK(read.schedule_count == 2);
    const struct task_schedule *a = task_schedule_find(&read, "a");
    const struct task_schedule *b = task_schedule_find(&read, "b");
    CHECK(a && b && !task_schedule_find(&read, "c"));
    CHECK(strcmp(b->text, "5 4 * * sun") == 0);
    CHECK(b->cron.week_days == 1 && b->may_overlap);
    CHECK(b->task.payload.length == 0 && b->since_ms == 0);
    CHECK(a->since_ms == 77 && !a->may_overlap && a->catch_up_ms == 61000);
    CHECK(bytes_are_equal(a->task.payload, bytes_of(payload, sizeof payload)));
    CHECK(bytes_are_equal(a->task.tenant, bytes_of_text("ann")));
    CHECK(a->task.priority == TASK_PRIORITY_DEFAULT && a->task.ttl_ms == 5);
    CHECK(a->task.timeout_ms == 6 && a->task.attempts_max == 7);
    task_pool_clear(&read);
}

static void as_many_as_are_allowed_fit(void **state)
{
    (void)state;
    static const uint8_t text[102] = {0xd9, 100}; /* of 100 bytes */
    struct task_pool pool = lab_pool("work");
    struct task_pool read;
    struct task_schedule schedules[TASK_POOL_LIST_COUNT_MAX];
    for (uint32_t i = 0; i < TASK_POOL_LIST_COUNT_MAX; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "s%u", i);
        schedules[i] = made(name, "30 2 * * MON-FRI");
        schedules[i].task.payload = bytes_of(text, sizeof text);
    }
    pool.schedules = schedules;
    pool.schedule_count = TASK_POOL_LIST_COUNT_MAX;
    CHECK_OK(decode(&read, &pool, NULL));
    CHECK(read.schedule_count == TASK_POOL_LIST_COUNT_MAX);
    task_pool_clear(&read);
}

static void refused(const struct task_pool *pool, const char *expected)
{
    struct err_detail why = {{0}};
    struct task_pool read;
    CHECK_ERR(decode(&read, pool, &why), ERR_MALFORMED);
    if (strncmp(why.text, expected, strlen(expected)) != 0) {
        assert_string_equal(why.text, expected);
    }
}

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    struct task_pool pool = lab_pool("work");
    struct task_schedule schedules[] = {made("a", "@hourly"),
                                        made("b", "@daily")};
    pool.schedules = schedules;
    pool.schedule_count = 2;
    (void)snprintf(schedules[1].text, sizeof schedules[1].text, "61 * * * *");
    refused(&pool,
            "schedules: b: cron: minute: found \"61\"; allowed: 0 to 59");
    schedules[1] = made("a", "@daily");
    refused(&pool, "schedules: a: name: there are two of it");
    schedules[1] = made("no name", "@daily");
    refused(&pool, "schedules: no name: name: \"no name\" is not 1 to 63");
    schedules[1] = made("b", "@daily");
    schedules[1].catch_up_ms = 59999;
    refused(&pool, "schedules: b: catch_up_ms: 59999 is not between 60000 and");
    schedules[1].catch_up_ms = TASK_CATCH_UP_MS_MAX + 1;
    refused(&pool, "schedules: b: catch_up_ms");
    schedules[1] = made("b", "@daily");
    pool.is_durable = false;
    refused(&pool, "schedules: only durable pools may have some");
    pool.is_durable = true;
    pool.payload_bytes_max = 1;
    refused(&pool, "schedules: a: payload: 2 bytes are more than 1");
}

static void commands_are_looked_at_before(void **state)
{
    (void)state;
    static const uint8_t make[] = "\x81\xa4"
                                  "argv\x92\xa4make\xa3"
                                  "all";
    static const uint8_t number[] = "\x81\xa4"
                                    "argv\x91\x05";
    struct task_pool pool;
    struct task_pool read;
    struct task_schedule schedule = made("a", "@hourly");
    char *commands[] = {(char[]){"true"}, (char[]){"make"}};
    task_pool_defaults(&pool);
    (void)snprintf(pool.name, sizeof pool.name, "work");
    pool.schedules = &schedule;
    pool.schedule_count = 1;
    pool.commands = commands;
    pool.command_count = 2;
    refused(&pool, "schedules: a: payload: of a pool that runs commands");
    schedule.task.payload = bytes_of(number, sizeof number - 1);
    refused(&pool, "schedules: a: payload: of a pool that runs commands");
    schedule.task.payload = bytes_of(make, sizeof make - 1);
    CHECK_OK(decode(&read, &pool, NULL));
    task_pool_clear(&read);
    pool.command_count = 1;
    refused(&pool, "schedules: a: payload: the pool does not run \"make\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_occurrence_becomes_a_task),
        cmocka_unit_test(only_the_shard_of_the_pools_name_submits),
        cmocka_unit_test(a_new_leader_fires_nothing_twice),
        cmocka_unit_test(
            of_what_was_missed_the_latest_is_run_and_the_rest_counted),
        cmocka_unit_test(what_is_too_old_is_passed_over),
        cmocka_unit_test(a_long_absence_is_walked_in_parts),
        cmocka_unit_test(a_clock_that_goes_back_fires_nothing_twice),
        cmocka_unit_test(an_occurrence_is_skipped_while_the_one_before_runs),
        cmocka_unit_test(a_full_queue_is_waited_for),
        cmocka_unit_test(a_schedule_counts_since_it_is_as_it_is),
        cmocka_unit_test(what_is_gone_is_forgotten_when_that_is_safe),
        cmocka_unit_test(what_is_forgotten_may_be_on_its_way_already),
        cmocka_unit_test(a_snapshot_knows_how_far_it_is),
        cmocka_unit_test(what_others_ask_for_is_no_firing),
        cmocka_unit_test(a_definition_is_read_as_it_is_written),
        cmocka_unit_test(as_many_as_are_allowed_fit),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(commands_are_looked_at_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
