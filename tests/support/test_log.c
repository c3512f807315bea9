#include "tests/support/test_log.h"

#include <stdio.h>
#include <stdlib.h>

static void on_durable(void *context, uint64_t number)
{
    struct test_log *test = context;
    test->durable = number;
}

static void on_failed(void *context, enum err err, const char *what)
{
    struct test_log *test = context;
    test->failed = err;
    test->failed_what = what;
}

void test_log_init(struct test_log *test, const struct disk *disk)
{
    *test = (struct test_log){0};
    test->clock = fake_clock_table(&test->fake);
    test->executor = manual_executor_table(&test->jobs);
    struct reactor_config config = {.name = "test", .clock = &test->clock};
    if (reactor_open(&test->reactor, &config)) {
        (void)fputs("test_log: out of memory\n", stderr);
        abort();
    }
    test->config = (struct wal_config){
        .disk = disk,
        .executor = &test->executor,
        .reactor = test->reactor,
        .disk_id = TEST_LOG_DISK_ID,
        .segment_bytes = 4096,
        .record_bytes_max = 64 * 1024,
        .staged_bytes_max = 64 * 1024,
        .context = test,
        .on_durable = on_durable,
        .on_failed = on_failed,
    };
}

void test_log_clear(struct test_log *test)
{
    test_log_close(test);
    reactor_close(&test->reactor);
}

enum err test_log_open(struct test_log *test)
{
    test->durable = 0;
    test->failed = ERR_NONE;
    test->failed_what = NULL;
    test->why.text[0] = '\0';
    return wal_open(&test->log, &test->config, &test->report, &test->why);
}

void test_log_close(struct test_log *test)
{
    manual_executor_drop(&test->jobs);
    wal_close(&test->log);
}

void test_log_turn(struct test_log *test)
{
    (void)reactor_turn(test->reactor);
}

void test_log_settle(struct test_log *test)
{
    do {
        test_log_turn(test);
    } while (manual_executor_step(&test->jobs));
}
