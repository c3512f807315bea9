/* An agent that says of tasks what is not so: to the dispatcher of node 0,
 * which leads the only shard. */

#include "tests/shard/task_lab.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

#define LIAR 1u

static struct lab *open_lab(void)
{
    struct lab *lab = lab_open(&(struct lab_config){.nodes = 2, .shards = 1});
    struct task_pool pool = lab_pool("work");
    pool.attempts_max = 3;
    lab_set_pool(lab, &pool);
    lab_lead(lab, 0, 0);
    lab_run(lab);
    return lab;
}

/* One that node 0 works on. */
static uint64_t begin_task(struct lab *lab)
{
    uint64_t id = lab_submit_text(lab, 0, "work", "x");
    lab_run(lab);
    assert_int_equal(lab_task(lab, id)->work, WORK_LEASED);
    assert_int_equal(lab_task(lab, id)->agent, 0);
    return id;
}

static struct task_finish finish_of(struct lab *lab, uint64_t id)
{
    return (struct task_finish){.id = id,
                                .token = lab_task(lab, id)->token,
                                .status = RUN_DONE,
                                .output = bytes_of_text("a lie")};
}

static void say(struct lab *lab, uint32_t node, const struct task_finish *what)
{
    struct task_parcel parcel = {0};
    CHECK_OK(task_parcel_room(&parcel, 16 + task_finish_bytes_max(what)));
    pack_array(&parcel.writer, 2);
    pack_uint(&parcel.writer, TASK_FINISHED);
    task_parcel_begin(&parcel);
    task_finish_encode(what, &parcel.writer);
    parcel.count = 1;
    CHECK_OK(dispatcher_receive(lab_dispatcher(lab, 0), node,
                                task_parcel_end(&parcel)));
    task_parcel_free(&parcel);
    lab_run(lab);
}

static uint64_t late_count(struct lab *lab)
{
    return coordinator_stats(lab_coordinator(lab, 0, 0))->late;
}

static struct book_pool_stats stats_of(struct lab *lab)
{
    return book_stats(coordinator_book(lab_coordinator(lab, 0, 0)),
                      bytes_of_text("work"));
}

/* As it was, and it comes to its end. */
static void check_unharmed(struct lab *lab, uint64_t id)
{
    assert_int_equal(lab_task(lab, id)->work, WORK_LEASED);
    assert_int_equal(lab_task(lab, id)->agent, 0);
    lab_work_all(lab);
    assert_int_equal(lab_task(lab, id)->state, TASK_DONE);
    assert_true(
        bytes_are_equal(task_output(lab_task(lab, id)), bytes_of_text("x")));
    assert_int_equal(stats_of(lab).done_total, 1);
}

static void a_result_of_one_that_does_not_hold_the_task_is_refused(void **state)
{
    (void)state;
    struct lab *lab = open_lab();
    uint64_t id = begin_task(lab);
    struct task_finish finish = finish_of(lab, id);
    for (unsigned status = 0; status < RUN_STATUS_COUNT; status++) {
        finish.status = (enum run_status)status;
        say(lab, LIAR, &finish);
        assert_int_equal(late_count(lab), status + 1);
    }
    check_unharmed(lab, id);
    lab_close(&lab);
}

static void a_result_with_another_token_is_refused(void **state)
{
    (void)state;
    struct lab *lab = open_lab();
    uint64_t id = begin_task(lab);
    struct task_finish finish = finish_of(lab, id);
    const uint64_t tokens[] = {0, finish.token - 1, finish.token + 1,
                               UINT64_MAX};
    for (size_t i = 0; i < 4; i++) {
        finish.token = tokens[i];
        say(lab, 0, &finish);
        assert_int_equal(late_count(lab), i + 1);
    }
    check_unharmed(lab, id);
    lab_close(&lab);
}

static void a_result_is_recorded_once(void **state)
{
    (void)state;
    struct lab *lab = open_lab();
    uint64_t id = begin_task(lab);
    struct task_finish finish = finish_of(lab, id);
    lab_work_all(lab);
    say(lab, 0, &finish);
    finish.status = RUN_FAILED;
    say(lab, 0, &finish);
    assert_int_equal(late_count(lab), 0); /* it was said before, and is known */
    say(lab, LIAR, &finish);
    assert_int_equal(stats_of(lab).done_total, 1);
    assert_int_equal(stats_of(lab).retried_total, 0);
    assert_true(
        bytes_are_equal(task_output(lab_task(lab, id)), bytes_of_text("x")));
    assert_true(lab_books_agree(lab));
    lab_close(&lab);
}

static void a_result_of_a_task_that_is_not_there_is_refused(void **state)
{
    (void)state;
    struct lab *lab = open_lab();
    struct task_finish finish = {.id = task_id(0, 4711), .token = 1};
    say(lab, LIAR, &finish);
    assert_int_equal(late_count(lab), 1);
    finish.id = task_id(7, 1); /* of a shard that is led elsewhere */
    say(lab, LIAR, &finish);
    finish.id = UINT64_MAX;
    say(lab, LIAR, &finish);
    assert_int_equal(late_count(lab), 1);
    lab_close(&lab);
}

/* What is recorded goes into an entry of the log, which has a limit. */
static void a_result_beyond_all_limits_is_a_failed_attempt(void **state)
{
    (void)state;
    struct lab *lab = open_lab();
    uint64_t id = begin_task(lab);
    size_t length = TASK_OUTPUT_BYTES_MAX + 1;
    char *much = calloc(1, length);
    assert_non_null(much);
    struct task_finish finish = finish_of(lab, id);
    finish.output = bytes_of(much, length);
    finish.why = finish.output;
    say(lab, 0, &finish);
    assert_int_equal(lab_task(lab, id)->state, TASK_WAITING);
    assert_int_equal(lab_task(lab, id)->attempts, 1);
    for (uint32_t i = 1; i < 3; i++) {
        lab_advance(lab, 10000);
        finish.token = lab_task(lab, id)->token;
        say(lab, lab_task(lab, id)->agent, &finish);
    }
    assert_int_equal(lab_task(lab, id)->state, TASK_DEAD);
    assert_int_equal(task_output(lab_task(lab, id)).length, 0);
    assert_true(bytes_are_equal(
        task_why(lab_task(lab, id)),
        bytes_of_text("its result has 65793 bytes, more than any pool keeps")));
    free(much);
    lab_close(&lab);
}

static void a_result_as_long_as_any_may_be_is_recorded(void **state)
{
    (void)state;
    struct lab *lab = open_lab();
    uint64_t id = begin_task(lab);
    static const char much[TASK_OUTPUT_BYTES_MAX];
    struct task_finish finish = finish_of(lab, id);
    finish.output = bytes_of(much, sizeof much);
    say(lab, 0, &finish);
    assert_int_equal(lab_task(lab, id)->state, TASK_DONE);
    assert_int_equal(task_output(lab_task(lab, id)).length, sizeof much);
    lab_close(&lab);
}

static void a_reason_is_cut(void **state)
{
    (void)state;
    struct lab *lab = open_lab();
    uint64_t id = begin_task(lab);
    static const char much[1u << 20];
    struct task_finish finish = finish_of(lab, id);
    finish.status = RUN_REFUSED;
    finish.output = (struct bytes){0};
    finish.why = bytes_of(much, sizeof much);
    say(lab, 0, &finish);
    assert_int_equal(lab_task(lab, id)->state, TASK_DEAD);
    assert_int_equal(task_why(lab_task(lab, id)).length, TASK_WHY_BYTES - 1);
    lab_close(&lab);
}

static void who_presents_what_another_holds_is_told_to_end_it(void **state)
{
    (void)state;
    struct lab *lab = open_lab();
    uint64_t id = begin_task(lab);
    uint8_t buffer[64];
    struct writer writer = writer_of(buffer, sizeof buffer);
    pack_array(&writer, 4);
    pack_uint(&writer, TASK_PRESENT);
    pack_uint(&writer, 0);
    pack_uint(&writer, coordinator_term(lab_coordinator(lab, 0, 0)));
    pack_array(&writer, 1);
    pack_array(&writer, 2);
    pack_uint(&writer, id);
    pack_uint(&writer, UINT64_MAX);
    CHECK_OK(dispatcher_receive(lab_dispatcher(lab, 0), LIAR,
                                writer_bytes(&writer)));
    lab_run(lab);
    check_unharmed(lab, id);
    lab_close(&lab);
}

/* ---- what is no message ---- */

static void check_malformed(struct lab *lab, struct bytes message)
{
    uint64_t before = dispatcher_stats(lab_dispatcher(lab, 0))->malformed;
    CHECK_ERR(dispatcher_receive(lab_dispatcher(lab, 0), LIAR, message),
              ERR_MALFORMED);
    assert_int_equal(dispatcher_stats(lab_dispatcher(lab, 0))->malformed,
                     before + 1);
}

/* Each that there is, cut anywhere: refused and counted, and no harm done. */
static void a_message_that_is_cut_is_refused(void **state)
{
    (void)state;
    static const uint8_t credit[] = {0x95, TASK_CREDIT, 0xa4, 'w',  'o',
                                     'r',  'k',         4,    0xc3, 9};
    static const uint8_t finished[] = {0x92, TASK_FINISHED, 0x91, 0x95, 0, 1,
                                       0,    0xc4,          0,    0xc4, 0};
    static const uint8_t present[] = {0x94, TASK_PRESENT, 0, 1,
                                      0x91, 0x92,         0, 1};
    static const uint8_t progress[] = {0x95, TASK_PROGRESS, 0, 1, 5, 0xa1, 'x'};
    static const uint8_t alive[] = {0x91, TASK_ALIVE};
    static const struct {
        const uint8_t *bytes;
        size_t length;
    } messages[] = {
        {credit, sizeof credit},   {finished, sizeof finished},
        {present, sizeof present}, {progress, sizeof progress},
        {alive, sizeof alive},
    };
    struct lab *lab = open_lab();
    uint64_t id = begin_task(lab);
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        for (size_t j = 0; j < messages[i].length; j++) {
            check_malformed(lab, bytes_of(messages[i].bytes, j));
        }
        CHECK_OK(dispatcher_receive(
            lab_dispatcher(lab, 0), LIAR,
            bytes_of(messages[i].bytes, messages[i].length)));
    }
    lab_run(lab);
    check_unharmed(lab, id);
    lab_close(&lab);
}

static void a_message_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static const uint8_t kinds[][2] = {
        {0x91, 0}, {0x91, TASK_ASSIGN}, {0x91, TASK_MESSAGE_COUNT}};
    static const uint8_t status[] = {0x92, TASK_FINISHED,    0x91, 0x95, 0,
                                     1,    RUN_STATUS_COUNT, 0xc4, 0,    0xc4,
                                     0};
    struct lab *lab = open_lab();
    for (size_t i = 0; i < 3; i++) {
        check_malformed(lab, bytes_of(kinds[i], 2));
    }
    check_malformed(lab, bytes_of(status, sizeof status));
    lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            a_result_of_one_that_does_not_hold_the_task_is_refused),
        cmocka_unit_test(a_result_with_another_token_is_refused),
        cmocka_unit_test(a_result_is_recorded_once),
        cmocka_unit_test(a_result_of_a_task_that_is_not_there_is_refused),
        cmocka_unit_test(a_result_beyond_all_limits_is_a_failed_attempt),
        cmocka_unit_test(a_result_as_long_as_any_may_be_is_recorded),
        cmocka_unit_test(a_reason_is_cut),
        cmocka_unit_test(who_presents_what_another_holds_is_told_to_end_it),
        cmocka_unit_test(a_message_that_is_cut_is_refused),
        cmocka_unit_test(a_message_that_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
