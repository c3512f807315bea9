#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/human.h"
#include "admin/table.h"
#include "base/scope.h"

static const struct table_column columns[] = {
    {"NAME", false}, {"COUNT", true}, {"NOTE", false}, {0}};

static char *print(const struct table *table, bool is_colored)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    CHECK(out != NULL);
    CHECK_OK(table_print(table, out, is_colored));
    (void)fclose(out);
    return text;
}

static void add(struct table *table, const char *name, int count)
{
    table_cell(table, TABLE_PLAIN, "%s", name);
    table_cell(table, TABLE_BAD, "%d", count);
    table_cell(table, TABLE_PLAIN, "x");
}

static void columns_are_as_wide_as_they_must_be(void **state)
{
    (void)state;
    scoped(table_close) struct table *table = NULL;
    CHECK_OK(table_open(&table, columns));
    add(table, "a", 1);
    add(table, "\xc3\xa4\xc3\xb6\xc3\xbc-longer", 123456);
    char *text = print(table, false);
    assert_string_equal(text, "NAME         COUNT  NOTE\n"
                              "a                1  x\n"
                              "\xc3\xa4\xc3\xb6\xc3\xbc-longer  123456  x\n");
    free(text);
}

static void colours_do_not_move_columns(void **state)
{
    (void)state;
    scoped(table_close) struct table *table = NULL;
    CHECK_OK(table_open(&table, columns));
    add(table, "a", 1);
    char *text = print(table, true);
    assert_string_equal(text, "NAME  COUNT  NOTE\n"
                              "a         \033[31m1\033[0m  x\n");
    free(text);
}

static void what_steers_a_terminal_does_not_get_there(void **state)
{
    (void)state;
    scoped(table_close) struct table *table = NULL;
    CHECK_OK(table_open(&table, columns));
    add(table, "\033[2J\xff\xc2\x9b", 1);
    char *text = print(table, false);
    CHECK(!strchr(text, '\033'));
    CHECK(strstr(text, "?[2J???") != NULL);
    free(text);
}

static void figures_are_short(void **state)
{
    (void)state;
    assert_string_equal(human_size(0).text, "0 B");
    assert_string_equal(human_size(1023).text, "1023 B");
    assert_string_equal(human_size(1536).text, "1.5 KiB");
    assert_string_equal(human_size(UINT64_C(12) << 30).text, "12 GiB");
    assert_string_equal(human_count(999).text, "999");
    assert_string_equal(human_count(12345).text, "12.3k");
    assert_string_equal(human_span(250).text, "250 ms");
    assert_string_equal(human_span(1001).text, "1 s");
    assert_string_equal(human_span(90000).text, "90 s");
    assert_string_equal(human_span(UINT64_C(3) * 86400000).text, "3 d");
    assert_string_equal(human_ago(10000, 7000).text, "3 s ago");
    assert_string_equal(human_ago(7000, 10000).text, "in 3 s");
    assert_string_equal(human_ago(7000, 0).text, "-");
    assert_string_equal(human_ago(INT64_MIN, INT64_MAX).text,
                        "in 213503982334 d");
    assert_string_equal(human_real(25.6).text, "25.60");
    assert_string_equal(human_real(3).text, "3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_as_wide_as_they_must_be),
        cmocka_unit_test(colours_do_not_move_columns),
        cmocka_unit_test(what_steers_a_terminal_does_not_get_there),
        cmocka_unit_test(figures_are_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
