/*
 * Workers of a node with one pool, and runs that wait for their end, on the
 * test's own thread.
 */

#ifndef TESTS_SUPPORT_TEST_CREW_H
#define TESTS_SUPPORT_TEST_CREW_H

#include "base/pack.h"
#include "base/posix/posix_reactor.h"
#include "node/workers.h"

#include <stdbool.h>
#include <stdint.h>

#define TEST_RUN_OUTPUT_BYTES 16384

struct test_crew {
    struct posix_reactor *runner;
    struct reactor *reactor;
    struct workers_crew *crew;
    const struct workers *workers;
    struct task_pool pool;
    struct timer watchdog;
    uint32_t begun;
    uint32_t ended;
    bool is_starting; /* within start(), where nothing may end */
};

struct test_run {
    struct run run;
    struct test_crew *crew;
    bool has_ended;
    uint32_t order; /* of ending, from 1 on */
    enum run_status status;
    char why[512];
    uint8_t output[TEST_RUN_OUTPUT_BYTES];
    size_t output_bytes;
    uint8_t payload[4096];
    uint32_t progress_count;
    uint32_t done_of_1000;
    char progress_text[128];
};

void test_crew_open(struct test_crew *crew,
                    const struct workers_config *config,
                    enum task_handler handler);
void test_crew_close(struct test_crew *crew);

/* crew->pool, as it is now, is the only one. */
void test_crew_set_pool(struct test_crew *crew);
void test_crew_set_no_pool(struct test_crew *crew);

void test_crew_start(struct test_crew *crew,
                     struct test_run *run,
                     struct bytes payload);
/* A command: `shell` is for sh -c. */
void test_crew_shell(struct test_crew *crew,
                     struct test_run *run,
                     const char *shell);
void test_crew_command(struct test_crew *crew,
                       struct test_run *run,
                       const char *const *arguments);

/* Until something has stopped the reactor. Fails after a minute. */
void test_crew_turn(struct test_crew *crew);

/* Until so many more runs have ended; or, with _all(), all. */
void test_crew_wait(struct test_crew *crew, uint32_t count);
void test_crew_wait_all(struct test_crew *crew);
/* Until there was progress of a run. */
void test_crew_wait_progress(struct test_crew *crew, struct test_run *run);

/* A text in a command's result. "": there is none. */
const char *test_run_text(const struct test_run *run,
                          char to[static 4096],
                          const char *key);
int64_t test_run_number(const struct test_run *run, const char *key);

#endif
