#include "tests/support/check.h"

#include <string.h>

#include "config/units.h"
#include "tests/support/seeded.h"

#define UNTOUCHED UINT64_C(4711)

static uint64_t duration_ms(const char *text)
{
    uint64_t value = UNTOUCHED;
    CHECK_OK(units_duration(&value, text, UNITS_MS));
    return value;
}

static uint64_t size(const char *text)
{
    uint64_t value = UNTOUCHED;
    CHECK_OK(units_size(&value, text));
    return value;
}

static void refuse_duration(const char *text,
                            enum units_time part,
                            enum err expected)
{
    uint64_t value = UNTOUCHED;
    CHECK_ERR(units_duration(&value, text, part), expected);
    CHECK(value == UNTOUCHED);
}

static void refuse_size(const char *text, enum err expected)
{
    uint64_t value = UNTOUCHED;
    CHECK_ERR(units_size(&value, text), expected);
    CHECK(value == UNTOUCHED);
}

static void reads_durations_in_every_unit(void **state)
{
    (void)state;
    assert_int_equal(duration_ms("250ms"), 250);
    assert_int_equal(duration_ms("10s"), 10000);
    assert_int_equal(duration_ms("5m"), 300000);
    assert_int_equal(duration_ms("2h"), 7200000);
    assert_int_equal(duration_ms("1d"), 86400000);
    assert_int_equal(duration_ms("3000us"), 3);
    assert_int_equal(duration_ms("0"), 0);
    assert_int_equal(duration_ms("0ms"), 0);
    uint64_t us = UNTOUCHED;
    CHECK_OK(units_duration(&us, "1ms", UNITS_US));
    assert_int_equal(us, 1000);
    CHECK_OK(units_duration(&us, "7us", UNITS_US));
    assert_int_equal(us, 7);
}

static void wants_a_unit_for_a_duration(void **state)
{
    (void)state;
    refuse_duration("500", UNITS_MS, ERR_INVALID);
    refuse_duration("1", UNITS_US, ERR_INVALID);
}

static void refuses_a_part_of_a_millisecond(void **state)
{
    (void)state;
    refuse_duration("1500us", UNITS_MS, ERR_INVALID);
    refuse_duration("1us", UNITS_MS, ERR_INVALID);
}

static void refuses_what_is_no_duration(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",      "ms",   "s5",   "5 s",  " 5s",  "5s ",  "-5s",
        "+5s",   "1.5s", "05s",  "0x5s", "5S",   "5sec", "5ms5",
        "1h30m", "5KiB", "1e3s", "٣s",   "5\ts",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        refuse_duration(texts[i], UNITS_MS, ERR_MALFORMED);
    }
}

static void finds_durations_that_do_not_fit(void **state)
{
    (void)state;
    refuse_duration("18446744073709551616ms", UNITS_MS, ERR_TOO_LARGE);
    refuse_duration("18446744073709551615s", UNITS_MS, ERR_TOO_LARGE);
    refuse_duration("99999999999999999999999999d", UNITS_MS, ERR_TOO_LARGE);
    refuse_duration("213503982335d", UNITS_MS, ERR_TOO_LARGE);
    assert_int_equal(duration_ms("213503982334d"),
                     UINT64_C(213503982334) * 86400000);
    assert_true(duration_ms("18446744073709551615ms") == UINT64_MAX);
}

static void reads_sizes_in_every_unit(void **state)
{
    (void)state;
    assert_int_equal(size("0"), 0);
    assert_int_equal(size("4096"), 4096);
    assert_int_equal(size("12B"), 12);
    assert_int_equal(size("64KiB"), 65536);
    assert_int_equal(size("16MiB"), 16777216);
    assert_int_equal(size("1GiB"), 1073741824);
    assert_true(size("1TiB") == UINT64_C(1) << 40);
    assert_int_equal(size("2kB"), 2000);
    assert_int_equal(size("3MB"), 3000000);
    assert_int_equal(size("4GB"), UINT64_C(4000000000));
    assert_int_equal(size("5TB"), UINT64_C(5000000000000));
}

static void refuses_what_is_no_size(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",       "KiB",  "3 KiB", "64kb",   "64K",    "64M",   "-1",
        "1.5MiB", "0x10", "64KB",  "064KiB", "64KiBs", "1_000", "10ms"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        refuse_size(texts[i], ERR_MALFORMED);
    }
}

static void finds_sizes_that_do_not_fit(void **state)
{
    (void)state;
    refuse_size("18446744073709551616", ERR_TOO_LARGE);
    refuse_size("16777216TiB", ERR_TOO_LARGE);
    refuse_size("999999999999999999999999KiB", ERR_TOO_LARGE);
    assert_true(size("18446744073709551615") == UINT64_MAX);
    assert_true(size("16777215TiB") == UINT64_C(16777215) << 40);
}

static void reads_plain_numbers_only(void **state)
{
    (void)state;
    uint64_t value = UNTOUCHED;
    CHECK_OK(units_number(&value, "128"));
    assert_int_equal(value, 128);
    value = UNTOUCHED;
    CHECK_ERR(units_number(&value, "18446744073709551616"), ERR_TOO_LARGE);
    CHECK_ERR(units_number(&value, "0128"), ERR_MALFORMED);
    CHECK_ERR(units_number(&value, "-1"), ERR_MALFORMED);
    CHECK_ERR(units_number(&value, "1k"), ERR_MALFORMED);
    CHECK_ERR(units_number(&value, ""), ERR_MALFORMED);
    CHECK(value == UNTOUCHED);
}

static void writes_the_shortest_text(void **state)
{
    (void)state;
    char text[UNITS_TEXT_BYTES];
    units_duration_text(text, 500, UNITS_MS);
    assert_string_equal(text, "500ms");
    units_duration_text(text, 1500, UNITS_MS);
    assert_string_equal(text, "1500ms");
    units_duration_text(text, 60000, UNITS_MS);
    assert_string_equal(text, "1m");
    units_duration_text(text, 5400000, UNITS_MS);
    assert_string_equal(text, "90m");
    units_duration_text(text, UINT64_C(30) * 86400000, UNITS_MS);
    assert_string_equal(text, "30d");
    units_duration_text(text, 1000, UNITS_US);
    assert_string_equal(text, "1ms");
    units_duration_text(text, 0, UNITS_MS);
    assert_string_equal(text, "0");
    units_size_text(text, 65536);
    assert_string_equal(text, "64KiB");
    units_size_text(text, 64000);
    assert_string_equal(text, "64kB");
    units_size_text(text, 1023);
    assert_string_equal(text, "1023B");
    units_size_text(text, 0);
    assert_string_equal(text, "0B");
}

static void what_was_written_reads_back_the_same(void **state)
{
    (void)state;
    struct seeded seeded = {.state = 20};
    char text[UNITS_TEXT_BYTES];
    for (uint32_t i = 0; i < 20000; i++) {
        uint64_t value = seeded_u64(&seeded) >> seeded_below(&seeded, 64);
        value = i == 0 ? UINT64_MAX : value;
        uint64_t read = UNTOUCHED;
        units_duration_text(text, value, UNITS_MS);
        CHECK_OK(units_duration(&read, text, UNITS_MS));
        CHECK(read == value);
        units_duration_text(text, value, UNITS_US);
        CHECK_OK(units_duration(&read, text, UNITS_US));
        CHECK(read == value);
        units_size_text(text, value);
        CHECK_OK(units_size(&read, text));
        CHECK(read == value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_durations_in_every_unit),
        cmocka_unit_test(wants_a_unit_for_a_duration),
        cmocka_unit_test(refuses_a_part_of_a_millisecond),
        cmocka_unit_test(refuses_what_is_no_duration),
        cmocka_unit_test(finds_durations_that_do_not_fit),
        cmocka_unit_test(reads_sizes_in_every_unit),
        cmocka_unit_test(refuses_what_is_no_size),
        cmocka_unit_test(finds_sizes_that_do_not_fit),
        cmocka_unit_test(reads_plain_numbers_only),
        cmocka_unit_test(writes_the_shortest_text),
        cmocka_unit_test(what_was_written_reads_back_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
