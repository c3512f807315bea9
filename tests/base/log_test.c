#include "tests/support/check.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "tests/support/fake_clock.h"
#include "tests/support/seeded.h"

#define LINE_BYTES_MAX 4096

struct fixture {
    struct fake_clock fake;
    struct clock clock;
    struct log *log;
    size_t line_count;
    size_t length;
    char line[LINE_BYTES_MAX + 1];
};

static void keep_line(void *context, const char *line, size_t length)
{
    struct fixture *fixture = context;
    CHECK(length <= LINE_BYTES_MAX);
    memcpy(fixture->line, line, length);
    fixture->line[length] = '\0';
    fixture->length = length;
    fixture->line_count++;
}

static void set_up_node(struct fixture *fixture,
                        enum log_format format,
                        const char *node)
{
    *fixture = (struct fixture){0};
    fixture->fake.wall_ms = INT64_C(1795260601123); /* 2026-11-21 11:30:01 */
    fixture->clock = fake_clock_table(&fixture->fake);
    CHECK_OK(log_open(&fixture->log,
                      &(struct log_config){
                          .node = node,
                          .format = format,
                          .sink = {.context = fixture, .write = keep_line},
                          .clock = &fixture->clock,
                      }));
}

static void set_up(struct fixture *fixture, enum log_format format)
{
    set_up_node(fixture, format, "alpha");
}

static void tear_down(struct fixture *fixture)
{
    log_close(&fixture->log);
    CHECK(fixture->log == NULL);
}

/* The line as JSON: exactly one object with unique keys, then a newline. */
static json_t *parse(const struct fixture *fixture)
{
    CHECK(fixture->length > 0);
    CHECK(strlen(fixture->line) == fixture->length);
    CHECK(strchr(fixture->line, '\n') == fixture->line + fixture->length - 1);
    json_error_t why;
    json_t *object = json_loadb(fixture->line, fixture->length,
                                JSON_REJECT_DUPLICATES, &why);
    if (!object) {
        print_error("%s in %s", why.text, fixture->line);
    }
    CHECK(json_is_object(object));
    return object;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void writes_a_line_for_people(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, LOG_FORMAT_TEXT);
    log_warn(f.log, "link.down", LOG_TEXT("peer", "alpha"),
             LOG_NUMBER("kept", 3));
    assert_string_equal(
        f.line, "2026-11-21T11:30:01.123Z WARN  link.down peer=alpha kept=3\n");
    tear_down(&f);
}

static void writes_a_json_object_for_machines(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, LOG_FORMAT_JSON);
    log_warn(f.log, "link.down", LOG_TEXT("peer", "beta"),
             LOG_NUMBER("kept", 3));
    assert_string_equal(
        f.line, "{\"time\":\"2026-11-21T11:30:01.123Z\",\"level\":\"warn\","
                "\"node\":\"alpha\",\"event\":\"link.down\",\"peer\":\"beta\","
                "\"kept\":3}\n");
    tear_down(&f);
}

static void quotes_values_that_people_would_misread(void **state)
{
    (void)state;
    static const struct {
        const char *given;
        const char *shown;
    } cases[] = {
        {"plain/word:1,2", "plain/word:1,2"},
        {"", "\"\""},
        {"two words", "\"two words\""},
        {"a=b", "\"a=b\""},
        {"a\"b", "\"a\\\"b\""},
        {"a\\b", "\"a\\\\b\""},
        {"a\nb\tc\rd", "\"a\\nb\\tc\\rd\""},
        {"\x1b[31mred", "\"\\u001b[31mred\""},
        {"\x7f", "\"\\u007f\""},
        {"\xc2\x9b"
         "31m",
         "\"\\u009b31m\""}, /* CSI in one character */
        {"\xe2\x80\xae"
         "abc",
         "\"\\u202eabc\""}, /* right to left */
        {"gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\""},
        {"\xff\xfe", "\"\\xff\\xfe\""},
        {"\xc3", "\"\\xc3\""},
    };
    struct fixture f;
    set_up(&f, LOG_FORMAT_TEXT);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        log_info(f.log, "e", LOG_TEXT("k", cases[i].given));
        const char *shown = strstr(f.line, " k=");
        CHECK(shown);
        f.line[f.length - 1] = '\0';
        assert_string_equal(shown + 3, cases[i].shown);
    }
    tear_down(&f);
}

static void keeps_valid_text_unchanged_in_json(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "a \"quoted\" \\ word",
        "lines\nand\ttabs\r\x01\x1f",
        "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8e\xad",
        "\xc2\x9b\xe2\x80\xae\xef\xbb\xbf",
        "\xf4\x8f\xbf\xbf",
        "</script>",
    };
    struct fixture f;
    set_up(&f, LOG_FORMAT_JSON);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        log_info(f.log, "e", LOG_TEXT("k", texts[i]));
        json_t *object = parse(&f);
        assert_string_equal(text_of(object, "k"), texts[i]);
        json_decref(object);
    }
    tear_down(&f);
}

static void replaces_what_is_not_utf8_in_json(void **state)
{
    (void)state;
    static const struct {
        const char *given;
        size_t replaced_count;
    } cases[] = {
        {"\xff", 1},
        {"\x80", 1},
        {"\xc0\xaf", 2},         /* overlong */
        {"\xe0\x80\xaf", 3},     /* overlong */
        {"\xf0\x80\x80\xaf", 4}, /* overlong */
        {"\xed\xa0\x80", 3},     /* a surrogate */
        {"\xf4\x90\x80\x80", 4}, /* above U+10FFFF */
        {"\xf8\x88\x80\x80", 4}, /* five bytes, cut */
        {"\xe2\x82", 2},         /* cut by the end */
        {"\xf0\x9f\x8e", 3},     /* cut by the end */
    };
    struct fixture f;
    set_up(&f, LOG_FORMAT_JSON);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        log_info(f.log, "e", LOG_TEXT("k", cases[i].given));
        json_t *object = parse(&f);
        const char *text = text_of(object, "k");
        CHECK(strlen(text) == 3 * cases[i].replaced_count);
        for (size_t at = 0; text[at]; at += 3) {
            CHECK(memcmp(text + at, "\xef\xbf\xbd", 3) == 0);
        }
        json_decref(object);
    }
    tear_down(&f);
}

static void writes_numbers_exactly(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, LOG_FORMAT_JSON);
    log_info(f.log, "e", LOG_NUMBER("least", INT64_MIN),
             LOG_UNSIGNED("most", UINT64_MAX), LOG_REAL("tenth", 0.1),
             LOG_REAL("third", 1.0 / 3), LOG_REAL("nan", NAN),
             LOG_REAL("endless", -INFINITY));
    CHECK(strstr(f.line, "\"least\":-9223372036854775808,"));
    CHECK(strstr(f.line, "\"most\":18446744073709551615,"));
    CHECK(strstr(f.line, "\"tenth\":0.1,"));
    CHECK(strstr(f.line, "\"third\":0.33333333333333331,"));
    CHECK(strstr(f.line, "\"nan\":null,\"endless\":null}"));
    tear_down(&f);
}

static void names_an_error_and_explains_it(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, LOG_FORMAT_TEXT);
    log_error(f.log, "e", LOG_ERR(ERR_FULL));
    CHECK(strstr(f.line, " ERROR e err=ERR_FULL err_text=\"queue is full\"\n"));
    tear_down(&f);
}

static void writes_a_trace_only_if_there_is_one(void **state)
{
    (void)state;
    struct trace_id none = {0};
    struct trace_id some = {.trace = {0xab, 1}, .span = {0xcd}};
    struct fixture f;
    set_up(&f, LOG_FORMAT_JSON);
    log_info(f.log, "e", LOG_TRACE(&some));
    json_t *object = parse(&f);
    assert_string_equal(text_of(object, "trace_id"),
                        "ab010000000000000000000000000000");
    assert_string_equal(text_of(object, "span_id"), "cd00000000000000");
    json_decref(object);
    log_info(f.log, "e", LOG_TRACE(&none), LOG_TRACE(NULL));
    CHECK(!strstr(f.line, "trace"));
    tear_down(&f);
}

static void shows_an_absent_text_as_null(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, LOG_FORMAT_JSON);
    log_info(f.log, "e", LOG_TEXT("k", NULL));
    CHECK(strstr(f.line, ",\"k\":null}\n"));
    tear_down(&f);
}

static void cuts_a_long_line_and_marks_it(void **state)
{
    (void)state;
    static char text[2 * LINE_BYTES_MAX];
    memset(text, 'x', sizeof text - 1);
    struct fixture f;
    set_up(&f, LOG_FORMAT_JSON);
    log_info(f.log, "e", LOG_TEXT("k", text), LOG_TEXT("after", "gone"));
    json_t *object = parse(&f);
    CHECK(json_is_true(json_object_get(object, "cut")));
    CHECK(!json_object_get(object, "after"));
    CHECK(f.length > LINE_BYTES_MAX - 64); /* what fits is there */
    json_decref(object);
    tear_down(&f);

    set_up(&f, LOG_FORMAT_TEXT);
    log_info(f.log, "e", LOG_TEXT("k", text), LOG_TEXT("after", "gone"));
    CHECK(f.length > LINE_BYTES_MAX - 64);
    CHECK(strstr(f.line, "xxx cut=true\n"));
    CHECK(!strstr(f.line, "after"));
    tear_down(&f);
}

/* The cut may fall on any byte of any kind of field. */
static void is_valid_json_wherever_the_cut_falls(void **state)
{
    (void)state;
    static char text[LINE_BYTES_MAX + 1];
    struct trace_id trace = {.trace = {1}};
    struct fixture f;
    set_up(&f, LOG_FORMAT_JSON);
    for (size_t length = 3700; length < LINE_BYTES_MAX; length++) {
        memset(text, 'x', length);
        text[length] = '\0';
        log_info(f.log, "e", LOG_TEXT("k", text),
                 LOG_TEXT("escaped", "\x01\"\xff\xf0\x9f\x8e\xad\n"),
                 LOG_NUMBER("number", INT64_MIN), LOG_ERR(ERR_FULL),
                 LOG_TRACE(&trace), LOG_REAL("real", 0.5));
        json_t *object = parse(&f);
        bool is_whole = json_object_get(object, "real") != NULL;
        CHECK(is_whole == !json_object_get(object, "cut"));
        json_decref(object);
    }
    tear_down(&f);
}

static void is_valid_json_whatever_the_bytes(void **state)
{
    (void)state;
    struct seeded seeded = {.state = 1};
    for (int round = 0; round < 300; round++) {
        char parts[4][3000];
        for (size_t i = 0; i < 4; i++) {
            size_t length = (size_t)seeded_below(&seeded, i < 2 ? 300 : 3000);
            for (size_t at = 0; at < length; at++) {
                parts[i][at] = (char)(1 + seeded_below(&seeded, 255));
            }
            parts[i][length] = '\0';
        }
        struct fixture f;
        set_up_node(&f, LOG_FORMAT_JSON, parts[0]);
        log_info(f.log, parts[1], LOG_TEXT(parts[2], parts[3]));
        json_t *object = parse(&f);
        CHECK(json_object_get(object, "level"));
        json_decref(object);
        tear_down(&f);
    }
}

static void lets_a_hostile_value_neither_end_nor_forge_a_line(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, LOG_FORMAT_TEXT);
    log_info(f.log, "door.refused",
             LOG_TEXT("name", "x\n2026-11-21T11:30:01.123Z ERROR y"));
    CHECK(strchr(f.line, '\n') == f.line + f.length - 1);
    tear_down(&f);
    set_up(&f, LOG_FORMAT_JSON);
    log_info(f.log, "e", LOG_TEXT("name", "x\",\"level\":\"error"));
    json_t *object = parse(&f); /* would see a doubled key */
    assert_string_equal(text_of(object, "level"), "info");
    json_decref(object);
    tear_down(&f);
}

static void writes_only_levels_that_are_on(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, LOG_FORMAT_TEXT);
    log_set_level(f.log, LOG_WARN);
    log_info(f.log, "e", LOG_NUMBER("k", 1));
    CHECK(f.line_count == 0);
    CHECK(!log_is_on(f.log, LOG_INFO));
    log_warn(f.log, "e", LOG_NUMBER("k", 1));
    log_error(f.log, "e", LOG_NUMBER("k", 1));
    CHECK(f.line_count == 2);
    log_set_level(f.log, LOG_DEBUG);
    log_debug(f.log, "e", LOG_NUMBER("k", 1));
    CHECK(f.line_count == 3);
    tear_down(&f);
}

static void a_null_log_writes_nothing(void **state)
{
    (void)state;
    struct log *log = NULL;
    log_error(log, "e", LOG_NUMBER("k", 1));
    log_write(log, LOG_ERROR, "e", (const struct log_field[]){{0}});
    log_set_level(log, LOG_DEBUG);
    CHECK(!log_is_on(log, LOG_ERROR));
    log_close(&log);
}

static void writes_four_digit_years_whatever_the_clock(void **state)
{
    (void)state;
    static const struct {
        int64_t wall_ms;
        const char *time;
    } cases[] = {
        {INT64_MIN, "1970-01-01T00:00:00.000Z"},
        {0, "1970-01-01T00:00:00.000Z"},
        {INT64_C(951782399999), "2000-02-28T23:59:59.999Z"},
        {INT64_C(951782400000), "2000-02-29T00:00:00.000Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
    };
    struct fixture f;
    set_up(&f, LOG_FORMAT_TEXT);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        f.fake.wall_ms = cases[i].wall_ms;
        log_info(f.log, "e", LOG_NUMBER("k", 1));
        CHECK(memcmp(f.line, cases[i].time, strlen(cases[i].time)) == 0);
    }
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_a_line_for_people),
        cmocka_unit_test(writes_a_json_object_for_machines),
        cmocka_unit_test(quotes_values_that_people_would_misread),
        cmocka_unit_test(keeps_valid_text_unchanged_in_json),
        cmocka_unit_test(replaces_what_is_not_utf8_in_json),
        cmocka_unit_test(writes_numbers_exactly),
        cmocka_unit_test(names_an_error_and_explains_it),
        cmocka_unit_test(writes_a_trace_only_if_there_is_one),
        cmocka_unit_test(shows_an_absent_text_as_null),
        cmocka_unit_test(cuts_a_long_line_and_marks_it),
        cmocka_unit_test(is_valid_json_wherever_the_cut_falls),
        cmocka_unit_test(is_valid_json_whatever_the_bytes),
        cmocka_unit_test(lets_a_hostile_value_neither_end_nor_forge_a_line),
        cmocka_unit_test(writes_only_levels_that_are_on),
        cmocka_unit_test(a_null_log_writes_nothing),
        cmocka_unit_test(writes_four_digit_years_whatever_the_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
