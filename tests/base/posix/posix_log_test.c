#include "tests/support/check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/posix/posix_log.h"
#include "base/posix/posix_thread.h"

#define LINE_COUNT 2000
#define WRITER_COUNT 3

static void write_text(struct log_sink sink, const char *text)
{
    sink.write(sink.context, text, strlen(text));
}

static void writes_a_line_whole(void **state)
{
    (void)state;
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    write_text(posix_log_sink(ends[1]), "one line\n");
    char found[64] = {0};
    CHECK(read(ends[0], found, sizeof found - 1) == 9);
    assert_string_equal(found, "one line\n");
    close(ends[0]);
    close(ends[1]);
}

static void loses_lines_when_the_reader_is_gone(void **state)
{
    (void)state;
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    close(ends[0]);
    write_text(posix_log_sink(ends[1]), "lost\n");
    close(ends[1]);
    write_text(posix_log_sink(-1), "lost\n");
    (void)signal(SIGPIPE, before);
}

static void write_many(void *argument)
{
    const struct log_sink *sink = argument;
    char line[101];
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    for (int i = 0; i < LINE_COUNT; i++) {
        sink->write(sink->context, line, sizeof line);
    }
}

/* The pipe is non-blocking and small: the sink must wait, and no line may be
 * torn by another thread's. */
static void keeps_the_lines_of_many_threads_apart(void **state)
{
    (void)state;
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    CHECK(fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
    CHECK(fcntl(ends[1], F_SETPIPE_SZ, 4096) >= 4096);
    struct log_sink sink = posix_log_sink(ends[1]);
    struct posix_thread *writers[WRITER_COUNT] = {0};
    for (size_t i = 0; i < WRITER_COUNT; i++) {
        CHECK_OK(posix_thread_start(&writers[i], "writer", write_many, &sink));
    }
    FILE *lines = fdopen(ends[0], "r");
    CHECK(lines);
    char *line = NULL;
    size_t capacity = 0;
    for (int i = 0; i < WRITER_COUNT * LINE_COUNT; i++) {
        CHECK(getline(&line, &capacity, lines) == 101);
    }
    for (size_t i = 0; i < WRITER_COUNT; i++) {
        posix_thread_join(&writers[i]);
    }
    free(line);
    (void)fclose(lines);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_a_line_whole),
        cmocka_unit_test(loses_lines_when_the_reader_is_gone),
        cmocka_unit_test(keeps_the_lines_of_many_threads_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
