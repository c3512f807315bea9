#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "config/document.h"

static struct problems problems;

static struct document_node *open_text(const char *text)
{
    struct document_node *root = NULL;
    problems_init(&problems, "test.yaml");
    CHECK_OK(document_open(&root, bytes_of_text(text), &problems));
    CHECK(root);
    return root;
}

/* The first problem of a text that has at least one. */
static const struct problem *refused(struct bytes text)
{
    scoped(document_close) struct document_node *root = NULL;
    problems_init(&problems, "test.yaml");
    enum err err = document_open(&root, text, &problems);
    CHECK(err == ERR_NONE || err == ERR_INVALID);
    CHECK((root != NULL) == (err == ERR_NONE));
    CHECK(problems.count > 0);
    return &problems.items[0];
}

static void refuses(const char *text,
                    uint32_t line,
                    uint32_t column,
                    const char *found)
{
    const struct problem *problem = refused(bytes_of_text(text));
    if (!strstr(problem->found, found)) {
        fail_msg("\"%s\" is not in \"%s\"", found, problem->found);
    }
    assert_int_equal(problem->place.line, line);
    assert_int_equal(problem->place.column, column);
    CHECK(*problem->allowed);
}

static void keeps_the_place_of_every_value(void **state)
{
    (void)state;
    scoped(document_close) struct document_node *root =
        open_text("a: 1\nb:\n  c: [x, \"y\"]\n");
    CHECK(root->kind == DOCUMENT_MAP && root->count == 2);
    const struct document_node *a = document_get(root, "a");
    assert_string_equal(a->text, "1");
    assert_int_equal(a->place.line, 1);
    assert_int_equal(a->place.column, 4);
    const struct document_node *y = document_find(root, "b.c[1]");
    assert_string_equal(y->text, "y");
    CHECK(y->is_quoted);
    assert_int_equal(y->place.line, 3);
    assert_int_equal(y->place.column, 10);
    const struct document_node *c = document_find(root, "b.c");
    assert_int_equal(c->key_place.column, 3);
    assert_int_equal(document_place(c).column, 3);
}

static void goes_as_far_as_a_path_leads(void **state)
{
    (void)state;
    scoped(document_close) struct document_node *root =
        open_text("b:\n  c: [x]\n");
    CHECK(!document_find(root, "b.c[1]"));
    CHECK(!document_find(root, "b.d"));
    CHECK(!document_find(root, "b.c[0].e"));
    CHECK(document_nearest(root, "b.c[7].e") == document_find(root, "b.c"));
    CHECK(document_nearest(root, "x.y") == root);
    CHECK(!document_get(document_find(root, "b.c"), "x"));
}

static void knows_nothing_from_empty_text(void **state)
{
    (void)state;
    scoped(document_close) struct document_node *root =
        open_text("a:\nb: ~\nc: null\nd: \"\"\ne: \"null\"\n");
    CHECK(document_get(root, "a")->kind == DOCUMENT_EMPTY);
    CHECK(document_get(root, "b")->kind == DOCUMENT_EMPTY);
    CHECK(document_get(root, "c")->kind == DOCUMENT_EMPTY);
    CHECK(document_get(root, "d")->kind == DOCUMENT_SCALAR);
    assert_string_equal(document_get(root, "e")->text, "null");
}

static void takes_a_byte_order_mark_and_windows_lines(void **state)
{
    (void)state;
    scoped(document_close) struct document_node *root =
        open_text("\xef\xbb\xbf"
                  "a: 1\r\nb: 2\r\n");
    assert_string_equal(document_get(root, "b")->text, "2");
    assert_int_equal(document_get(root, "b")->place.line, 2);
}

static void counts_columns_in_characters(void **state)
{
    (void)state;
    scoped(document_close) struct document_node *root =
        open_text("{\"zoë\": x}");
    assert_int_equal(document_get(root, "zoë")->place.column, 9);
}

static void refuses_a_file_without_content(void **state)
{
    (void)state;
    refuses("", 0, 0, "an empty file");
    refuses("# nothing but a comment\n", 0, 0, "an empty file");
    refuses("\xef\xbb\xbf", 0, 0, "an empty file");
    struct bytes none = {NULL, 0};
    assert_string_equal(refused(none)->found, "an empty file");
}

static void refuses_tabs_on_every_line_that_has_some(void **state)
{
    (void)state;
    refuses("a:\n\tb: 1\n", 2, 1, "a tab in the indentation");
    refuses("a:\n  \tb: 1\n\t\tc: 2\n", 2, 3, "a tab in the indentation");
    assert_int_equal(problems.count, 2);
    assert_int_equal(problems.items[1].place.line, 3);
}

static void refuses_what_is_not_utf8(void **state)
{
    (void)state;
    refuses("a: \xff\n", 1, 4, "the byte 0xff");
    refuses("a: 1\nb: \xc0\xaf\n", 2, 4, "the byte 0xc0");
    refuses("a: \xed\xa0\x80\n", 1, 4, "the byte 0xed");
    refuses("a: \xe2\x82", 1, 4, "the byte 0xe2");
    refuses("a: \xf4\x90\x80\x80\n", 1, 4, "the byte 0xf4");
    refuses("\xff\xfe"
            "a",
            1, 1, "the byte 0xff");
}

static void refuses_control_characters(void **state)
{
    (void)state;
    refuses("a: \x1b[31m\n", 1, 4, "U+001B");
    refuses("a: x\x7f\n", 1, 5, "U+007F");
    refuses("a: \xc2\x9b\n", 1, 4, "U+009B");
    refuses("a: b\n\xef\xbb\xbf", 2, 1, "U+FEFF");
    const struct problem *problem = refused(bytes_of("a: \0\n", 5));
    assert_string_equal(problem->found, "the control character U+0000");
}

static void refuses_what_is_not_yaml_with_a_hint(void **state)
{
    (void)state;
    refuses("a: [1, 2\nb: 3\n", 2, 2, "not YAML");
    refuses("a: \"x\n", 2, 1, "unexpected end");
    CHECK(strstr(problems.items[0].allowed, "closing quote"));
    refuses("a: @x\n", 1, 4, "cannot start any token");
    CHECK(strstr(problems.items[0].allowed, "quotes"));
    refuses("a: b: c\n", 1, 5, "mapping values are not allowed");
    refuses("a:\n  - b\n c: d\n", 3, 2, "did not find expected key");
    CHECK(strstr(problems.items[0].allowed, "same column"));
}

static void refuses_a_key_that_stands_there_twice(void **state)
{
    (void)state;
    refuses("a: 1\nb: 2\na: 3\na: 4\n", 3, 1,
            "the key \"a\" again, after line 1");
    assert_int_equal(problems.count, 2);
}

static void keeps_the_first_of_two_keys(void **state)
{
    (void)state;
    scoped(document_close) struct document_node *root =
        open_text("a: 1\na: {b: [2]}\nc: 3\n");
    assert_int_equal(root->count, 2);
    assert_string_equal(document_get(root, "a")->text, "1");
    assert_string_equal(document_get(root, "c")->text, "3");
}

static void refuses_anchors_aliases_and_tags(void **state)
{
    (void)state;
    refuses("a: &x 1\n", 1, 4, "the anchor \"x\"");
    refuses("a: &x [1]\n", 1, 4, "the anchor \"x\"");
    refuses("a: &x {b: 1}\n", 1, 4, "the anchor \"x\"");
    refuses("a: *x\n", 1, 4, "an alias");
    refuses("a: !!int 1\n", 1, 4, "the tag");
    refuses("&x a: 1\n", 1, 1, "a key with an anchor");
}

/* Each level ten times the one before: never unfolded, so of no harm. */
static void is_not_blown_up_by_aliases(void **state)
{
    (void)state;
    char text[2048] = "a0: &a0 [x, x]\n";
    for (int i = 1; i < 16; i++) {
        size_t length = strlen(text);
        (void)snprintf(text + length, sizeof text - length,
                       "a%d: &a%d [*a%d, *a%d, *a%d, *a%d]\n", i, i, i - 1,
                       i - 1, i - 1, i - 1);
    }
    (void)refused(bytes_of_text(text));
    assert_int_equal(problems_total(&problems), 16 + 15 * 4);
}

static void refuses_keys_that_are_not_text(void **state)
{
    (void)state;
    refuses("[a]: 1\n", 1, 1, "a key that is not text");
    refuses("? {a: b}\n: 1\n", 1, 3, "a key that is not text");
    refuses("\"a\\0b\": 1\n", 1, 1, "zero byte");
    refuses("a: \"x\\0y\"\n", 1, 4, "a zero byte");
}

/* "a: 1\n", then a key of so many bytes as a text with those before and
 * behind it. */
static void refuses_key_of(size_t length,
                           const char *before,
                           const char *behind,
                           uint32_t column)
{
    char key[4096] = "";
    char text[8192];
    memset(key, 'k', length);
    (void)snprintf(text, sizeof text, "a: 1\n%s%s%s: 1\n", before, key, behind);
    refuses(text, 2, column, "a key of more than 256 bytes");
    CHECK(strstr(problems.items[0].allowed, "at most 256 bytes") != NULL);
    CHECK(problems.count == 1);
}

static void refuses_long_keys_where_they_begin(void **state)
{
    (void)state;
    static const size_t lengths[] = {257, 1023, 1024, 1025, 4000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        refuses_key_of(lengths[i], "", "", 1);
        refuses_key_of(lengths[i], "\"", "\"", 1);
        refuses_key_of(lengths[i], "? ", "\n", 3);
    }
    char text[512] = "";
    memset(text, 'k', DOCUMENT_KEY_BYTES_MAX);
    memcpy(text + DOCUMENT_KEY_BYTES_MAX, ": 1", 4);
    scoped(document_close) struct document_node *root = open_text(text);
    CHECK(problems.count == 0);
    CHECK(root->count == 1);
}

static void goes_on_behind_a_long_key(void **state)
{
    (void)state;
    char text[512] = "";
    memset(text, 'k', DOCUMENT_KEY_BYTES_MAX + 1);
    memcpy(text + DOCUMENT_KEY_BYTES_MAX + 1, ": 1\na: 2", 9);
    scoped(document_close) struct document_node *root = open_text(text);
    CHECK(problems.count == 1);
    assert_string_equal(document_get(root, "a")->text, "2");
    CHECK(root->count == 1);
}

static void refuses_a_second_document(void **state)
{
    (void)state;
    refuses("a: 1\n---\nb: 2\n", 2, 1, "a second document");
    refuses("---\na: 1\n...\n---\n", 4, 1, "a second document");
    refuses("a: 1\n%YAML 1.1\n---\nb: 2\n", 2, 1, "a second document");
    refuses("a: 1\n--- b\n", 2, 1, "a second document");
    refuses("a: 1\n...\nb: 2\n", 3, 1, "not YAML");
    CHECK(strstr(problems.items[0].allowed, "one document") != NULL);
    scoped(document_close) struct document_node *root =
        open_text("---\na: 1\n...\n");
    assert_string_equal(document_get(root, "a")->text, "1");
}

static void bounds_depth(void **state)
{
    (void)state;
    char text[64] = "";
    for (int i = 0; i < DOCUMENT_DEPTH_MAX; i++) {
        text[i] = '[';
        text[2 * DOCUMENT_DEPTH_MAX - 1 - i] = ']';
    }
    scoped(document_close) struct document_node *root = open_text(text);
    CHECK(root->kind == DOCUMENT_LIST);
    refuses("[[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]", 1, 17, "nested too deeply");
}

/* `count` times `unit` behind `head`. */
static char *repeated(const char *head, const char *unit, size_t count)
{
    size_t length = strlen(head) + count * strlen(unit);
    char *text = malloc(length + 1);
    CHECK(text);
    char *next = text + strlen(head);
    memcpy(text, head, strlen(head));
    for (size_t i = 0; i < count; i++, next += strlen(unit)) {
        memcpy(next, unit, strlen(unit));
    }
    *next = '\0';
    return text;
}

static void bounds_the_number_of_values(void **state)
{
    (void)state;
    char *text = repeated("", "- x\n", DOCUMENT_NODE_COUNT_MAX);
    assert_string_equal(refused(bytes_of_text(text))->found, "too many values");
    text[4 * (DOCUMENT_NODE_COUNT_MAX - 1)] = '\0';
    scoped(document_close) struct document_node *root = open_text(text);
    assert_int_equal(root->count, DOCUMENT_NODE_COUNT_MAX - 1);
    free(text);
}

static void bounds_the_number_of_keys(void **state)
{
    (void)state;
    char text[4096] = "";
    for (int i = 0; i <= DOCUMENT_KEY_COUNT_MAX; i++) {
        size_t length = strlen(text);
        (void)snprintf(text + length, sizeof text - length, "k%d: x\n", i);
    }
    refuses(text, DOCUMENT_KEY_COUNT_MAX + 1, 1, "too many keys");
}

static void bounds_the_file(void **state)
{
    (void)state;
    char *text = repeated("", "#", DOCUMENT_BYTES_MAX + 1);
    assert_string_equal(refused(bytes_of_text(text))->found, "a larger file");
    free(text);
}

static void every_beginning_of_a_file_is_taken_or_refused(void **state)
{
    (void)state;
    static const char text[] =
        "a: &x [1, \"two\", {b: 'three'}]\nc: |\n  block\n  of text\n"
        "d: !!str x\ne:\n- f: g\n  h: *x\n- \"i\\0\"\n---\nj\n";
    for (size_t length = 0; length < sizeof text; length++) {
        scoped(document_close) struct document_node *root = NULL;
        problems_init(&problems, "test.yaml");
        enum err err = document_open(&root, bytes_of(text, length), &problems);
        CHECK((root != NULL) == (err == ERR_NONE));
        CHECK(err == ERR_NONE || problems.count > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_place_of_every_value),
        cmocka_unit_test(goes_as_far_as_a_path_leads),
        cmocka_unit_test(knows_nothing_from_empty_text),
        cmocka_unit_test(takes_a_byte_order_mark_and_windows_lines),
        cmocka_unit_test(counts_columns_in_characters),
        cmocka_unit_test(refuses_a_file_without_content),
        cmocka_unit_test(refuses_tabs_on_every_line_that_has_some),
        cmocka_unit_test(refuses_what_is_not_utf8),
        cmocka_unit_test(refuses_control_characters),
        cmocka_unit_test(refuses_what_is_not_yaml_with_a_hint),
        cmocka_unit_test(refuses_a_key_that_stands_there_twice),
        cmocka_unit_test(keeps_the_first_of_two_keys),
        cmocka_unit_test(refuses_anchors_aliases_and_tags),
        cmocka_unit_test(is_not_blown_up_by_aliases),
        cmocka_unit_test(refuses_keys_that_are_not_text),
        cmocka_unit_test(refuses_long_keys_where_they_begin),
        cmocka_unit_test(goes_on_behind_a_long_key),
        cmocka_unit_test(refuses_a_second_document),
        cmocka_unit_test(bounds_depth),
        cmocka_unit_test(bounds_the_number_of_values),
        cmocka_unit_test(bounds_the_number_of_keys),
        cmocka_unit_test(bounds_the_file),
        cmocka_unit_test(every_beginning_of_a_file_is_taken_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
