#include "tests/support/check.h"

#include <string.h>

#include "admin/pack_json.h"
#include "admin/task_batch.h"
#include "admin/task_line.h"

static struct task_line line;
static const struct task_spec standard = {.priority = 4, .ttl_ms = 9};

static int clear(void **state)
{
    (void)state;
    task_line_clear(&line);
    return 0;
}

/* Its payload is this JSON. */
static void check_payload(const char *json)
{
    json_t *value = NULL;
    CHECK_OK(pack_json_decode(&value, line.spec.payload));
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    assert_string_equal(text, json);
    free(text);
    json_decref(value);
}

static void reads(const char *text, bool is_spec)
{
    struct err_detail why = {{0}};
    CHECK_OK(
        task_line_read(&line, bytes_of_text(text), is_spec, &standard, &why));
}

static void refuses(const char *text, bool is_spec, const char *expected)
{
    struct err_detail why = {{0}};
    CHECK_ERR(
        task_line_read(&line, bytes_of_text(text), is_spec, &standard, &why),
        ERR_INVALID);
    assert_string_equal(why.text, expected);
}

static void any_json_is_a_payload(void **state)
{
    (void)state;
    static const char *const values[] = {
        "null",
        "true",
        "\"text\"",
        "[1,2.5,\"x\",[],{}]",
        "{\"argv\":[\"wc\",\"-c\"],\"stdin\":\"hello\"}",
        "\"\xc3\xa4\""};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        reads(values[i], false);
        check_payload(values[i]);
        CHECK(line.spec.ttl_ms == 9 && line.spec.priority == 4);
    }
}

static void a_spec_says_more_than_the_payload(void **state)
{
    (void)state;
    reads("{\"payload\":[7],\"key\":\"k\",\"order\":\"o\",\"tenant\":\"t\","
          "\"priority\":0,\"delay_ms\":5,\"timeout_ms\":6,\"attempts_max\":7,"
          "\"after\":[\"1-2\",\"3-4\"]}",
          true);
    check_payload("[7]");
    CHECK(bytes_are_equal(line.spec.key, bytes_of_text("k")));
    CHECK(bytes_are_equal(line.spec.order, bytes_of_text("o")));
    CHECK(bytes_are_equal(line.spec.tenant, bytes_of_text("t")));
    CHECK(line.spec.priority == 0 && line.spec.delay_ms == 5);
    CHECK(line.spec.timeout_ms == 6 && line.spec.attempts_max == 7);
    CHECK(line.spec.after_count == 2 && line.spec.after[1] == task_id(3, 4));
    CHECK(line.spec.ttl_ms == 9); /* as the standard has it */
    reads("{\"payload\":null}", true);
    check_payload("null");
    CHECK(line.spec.key.length == 0 && line.spec.after_count == 0);
}

static void says_what_is_wrong_with_a_line(void **state)
{
    (void)state;
    refuses("{\"a\":", false,
            "no JSON: unexpected token near end of file (column 5)");
    refuses("1 2", false, "no JSON: end of file expected near '2' (column 3)");
    refuses("{\"a\":1,\"a\":2}", false,
            "no JSON: duplicate object key near '\"a\"' (column 10)");
    refuses("[1]", true, "an object with a \"payload\" is expected");
    refuses("{\"key\":\"x\"}", true,
            "an object with a \"payload\" is expected");
    refuses("{\"payload\":1,\"kay\":\"x\"}", true,
            "kay: a task has no such field; did you mean key?");
    refuses("{\"payload\":1,\"priority\":8}", true,
            "priority: a whole number from 0 to 7 is expected");
    refuses("{\"payload\":1,\"delay_ms\":-1}", true,
            "delay_ms: a whole number from 0 to 9223372036854775807 is "
            "expected");
    refuses("{\"payload\":1,\"key\":7}", true,
            "key: a text of at most 255 bytes is expected");
    refuses("{\"payload\":1,\"after\":[\"x\"]}", true,
            "after: a list of at most 32 tasks is expected, such as "
            "[\"17-4021\"]");
}

static void a_batch_keeps_the_tasks_that_are_wanted(void **state)
{
    (void)state;
    static struct task_batch batch;
    static struct task_batch same;
    bool keeps[TASK_BATCH_COUNT_MAX] = {false};
    const char *const payloads[] = {"first", "2", "the third", "4th", "5"};
    for (uint64_t i = 0; i < 5; i++) {
        struct task_spec spec = task_spec_of(bytes_of_text(payloads[i]));
        CHECK_OK(task_batch_add(&batch, i, &spec));
        keeps[i] = i % 2 == 1;
        if (keeps[i]) {
            CHECK_OK(task_batch_add(&same, i, &spec));
        }
    }
    task_batch_keep(&batch, keeps);
    CHECK(batch.count == 2 && batch.numbers[0] == 1 && batch.numbers[1] == 3);
    CHECK(
        bytes_are_equal(buffer_bytes(&batch.specs), buffer_bytes(&same.specs)));
    CHECK(batch.ends[1] == same.ends[1]);
    task_batch_clear(&batch);
    task_batch_clear(&same);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(any_json_is_a_payload, clear),
        cmocka_unit_test_teardown(a_spec_says_more_than_the_payload, clear),
        cmocka_unit_test_teardown(says_what_is_wrong_with_a_line, clear),
        cmocka_unit_test(a_batch_keeps_the_tasks_that_are_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
