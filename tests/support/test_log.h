/*
 * A log with all that it needs, on the test's thread: its jobs run when the
 * test says so.
 */

#ifndef TESTS_SUPPORT_TEST_LOG_H
#define TESTS_SUPPORT_TEST_LOG_H

#include "store/wal.h"
#include "tests/support/fake_clock.h"
#include "tests/support/manual_executor.h"

#include <stdbool.h>

#define TEST_LOG_DISK_ID UINT64_C(0xd15c)

struct test_log {
    struct fake_clock fake;
    struct clock clock;
    struct manual_executor jobs;
    struct executor executor;
    struct reactor *reactor;
    struct wal_config config; /* may be changed between opens */

    struct wal *log; /* NULL: it is not open */
    struct wal_report report;
    struct err_detail why;

    uint64_t durable; /* reported last, since opening */
    enum err failed;  /* reported */
    const char *failed_what;
};

/* In place: the log keeps its address. 4 KiB segments. */
void test_log_init(struct test_log *test, const struct disk *disk);

/* Closes the log if need be; its jobs are forgotten. */
void test_log_clear(struct test_log *test);

FALLIBLE test_log_open(struct test_log *test);
void test_log_close(struct test_log *test);

/* One turn of the reactor. */
void test_log_turn(struct test_log *test);

/* Turn and do jobs until nothing is left to do. */
void test_log_settle(struct test_log *test);

#endif
