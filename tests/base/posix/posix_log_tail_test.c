#include "base/posix/posix_log_tail.h"

#include "tests/support/check.h"

#include "base/posix/posix_thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY 64

static size_t passed_bytes;

static void pass_on(void *context, const char *line, size_t length)
{
    (void)context;
    (void)line;
    passed_bytes += length;
}

static struct posix_log_tail *open_tail(size_t bytes_max)
{
    struct posix_log_tail *tail = NULL;
    passed_bytes = 0;
    CHECK_OK(posix_log_tail_open(&tail, bytes_max,
                                 (struct log_sink){.write = pass_on}));
    return tail;
}

static void say(struct posix_log_tail *tail, const char *line)
{
    struct log_sink sink = posix_log_tail_sink(tail);
    sink.write(sink.context, line, strlen(line));
}

static void check_kept(struct posix_log_tail *tail, const char *expected)
{
    char *text = NULL;
    CHECK_OK(posix_log_tail_read(tail, &text));
    assert_string_equal(text, expected);
    free(text);
}

static void keeps_lines_and_passes_them_on(void **state)
{
    (void)state;
    struct posix_log_tail *tail = open_tail(CAPACITY);
    check_kept(tail, "");
    say(tail, "one\n");
    say(tail, "two\n");
    check_kept(tail, "one\ntwo\n");
    CHECK(passed_bytes == 8);
    posix_log_tail_close(&tail);
}

static void gives_the_oldest_lines_up_whole(void **state)
{
    (void)state;
    struct posix_log_tail *tail = open_tail(12);
    say(tail, "one\n");
    say(tail, "two\n");
    say(tail, "three\n");
    check_kept(tail, "two\nthree\n");
    say(tail, "12345678901\n"); /* as many as there is room for */
    check_kept(tail, "12345678901\n");
    say(tail, "a line that is longer than all\n");
    check_kept(tail, "12345678901\n");
    for (int i = 0; i < 1000; i++) {
        char line[16];
        (void)snprintf(line, sizeof line, "%d\n", i);
        say(tail, line);
    }
    check_kept(tail, "997\n998\n999\n");
    posix_log_tail_close(&tail);
}

static void keeps_nothing_when_told_so(void **state)
{
    (void)state;
    struct posix_log_tail *tail = open_tail(0);
    say(tail, "one\n");
    check_kept(tail, "");
    CHECK(passed_bytes == 4);
    posix_log_tail_close(&tail);
}

static void say_often(void *context)
{
    for (int i = 0; i < 5000; i++) {
        say(context, "a line\n");
    }
}

static void may_be_read_while_others_write(void **state)
{
    (void)state;
    struct posix_log_tail *tail = open_tail(CAPACITY);
    struct posix_thread *thread = NULL;
    CHECK_OK(posix_thread_start(&thread, "says", say_often, tail));
    for (int i = 0; i < 5000; i++) {
        char *text = NULL;
        CHECK_OK(posix_log_tail_read(tail, &text));
        CHECK(strlen(text) % strlen("a line\n") == 0);
        free(text);
    }
    posix_thread_join(&thread);
    posix_log_tail_close(&tail);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_lines_and_passes_them_on),
        cmocka_unit_test(gives_the_oldest_lines_up_whole),
        cmocka_unit_test(keeps_nothing_when_told_so),
        cmocka_unit_test(may_be_read_while_others_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
