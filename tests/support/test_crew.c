#include "tests/support/test_crew.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/owner.h"
#include "base/time_units.h"
#include "tests/support/check.h"

#define WATCHDOG_NS (60 * NS_PER_S)

static void on_watchdog(struct timer *timer)
{
    struct test_crew *crew = OWNER_OF(timer, struct test_crew, watchdog);
    fprintf(stderr, "waited in vain: %u of %u runs have ended\n", crew->ended,
            crew->begun);
    abort();
}

void test_crew_open(struct test_crew *crew,
                    const struct workers_config *config,
                    enum task_handler handler)
{
    struct workers_config own = *config;
    *crew = (struct test_crew){.watchdog = {.fire = on_watchdog}};
    CHECK_OK(posix_reactor_open(&crew->runner, "test"));
    crew->reactor = posix_reactor_get(crew->runner);
    own.reactor = crew->reactor;
    CHECK_OK(workers_open(&crew->crew, &own));
    crew->workers = workers_table(crew->crew);
    crew->pool = (struct task_pool){.name = "test",
                                    .handler = handler,
                                    .any_command = true,
                                    .workers = 4,
                                    .output_bytes_max = 8192};
    test_crew_set_pool(crew);
}

void test_crew_close(struct test_crew *crew)
{
    workers_close(&crew->crew);
    CHECK(crew->crew == NULL);
    posix_reactor_close(&crew->runner);
}

void test_crew_set_pool(struct test_crew *crew)
{
    const struct task_pools pools = {.count = 1, .list = &crew->pool};
    crew->pool.version++;
    crew->workers->set_pools(crew->workers->context, &pools);
}

void test_crew_set_no_pool(struct test_crew *crew)
{
    const struct task_pools pools = {0};
    crew->workers->set_pools(crew->workers->context, &pools);
}

static void on_done(struct run *done, const struct run_result *result)
{
    struct test_run *run = OWNER_OF(done, struct test_run, run);
    struct test_crew *crew = run->crew;
    CHECK(!run->has_ended);
    CHECK(!crew->is_starting);
    CHECK(result->output.length <= sizeof run->output);
    run->has_ended = true;
    run->order = ++crew->ended;
    run->status = result->status;
    run->output_bytes = result->output.length;
    if (result->output.length > 0) {
        memcpy(run->output, result->output.data, result->output.length);
    }
    (void)snprintf(run->why, sizeof run->why, "%s", result->why);
    reactor_stop(crew->reactor);
}

static void on_progress(struct run *of, uint32_t done_of_1000, const char *text)
{
    struct test_run *run = OWNER_OF(of, struct test_run, run);
    CHECK(!run->has_ended);
    run->progress_count++;
    run->done_of_1000 = done_of_1000;
    (void)snprintf(run->progress_text, sizeof run->progress_text, "%s", text);
    reactor_stop(run->crew->reactor);
}

void test_crew_start(struct test_crew *crew,
                     struct test_run *run,
                     struct bytes payload)
{
    CHECK(payload.length <= sizeof run->payload);
    *run = (struct test_run){.crew = crew};
    if (payload.length > 0) {
        memcpy(run->payload, payload.data, payload.length);
    }
    crew->begun++;
    run->run = (struct run){.done = on_done,
                            .progress = on_progress,
                            .task = crew->begun,
                            .token = 100 + crew->begun,
                            .attempt = 2,
                            .timeout_ms = (uint32_t)crew->pool.timeout_ms,
                            .pool = &crew->pool,
                            .payload = bytes_of(run->payload, payload.length)};
    crew->is_starting = true;
    crew->workers->start(crew->workers->context, &run->run);
    crew->is_starting = false;
}

void test_crew_command(struct test_crew *crew,
                       struct test_run *run,
                       const char *const *arguments)
{
    uint8_t payload[4096];
    struct writer writer = writer_of(payload, sizeof payload);
    uint32_t count = 0;
    while (arguments[count]) {
        count++;
    }
    pack_map(&writer, 1);
    pack_text(&writer, "argv");
    pack_array(&writer, count);
    for (uint32_t i = 0; i < count; i++) {
        pack_text(&writer, arguments[i]);
    }
    CHECK(!writer.failed);
    test_crew_start(crew, run, writer_bytes(&writer));
}

void test_crew_shell(struct test_crew *crew,
                     struct test_run *run,
                     const char *shell)
{
    test_crew_command(crew, run, (const char *[]){"sh", "-c", shell, NULL});
}

void test_crew_turn(struct test_crew *crew)
{
    reactor_timer_set(crew->reactor, &crew->watchdog, WATCHDOG_NS);
    reactor_run(crew->reactor);
    reactor_timer_cancel(crew->reactor, &crew->watchdog);
}

void test_crew_wait(struct test_crew *crew, uint32_t count)
{
    uint32_t until = crew->ended + count;
    while (crew->ended < until) {
        test_crew_turn(crew);
    }
}

void test_crew_wait_all(struct test_crew *crew)
{
    test_crew_wait(crew, crew->begun - crew->ended);
}

void test_crew_wait_progress(struct test_crew *crew, struct test_run *run)
{
    uint32_t before = run->progress_count;
    while (run->progress_count == before) {
        test_crew_turn(crew);
    }
}

/* The value of a key, next in `reader`. */
static bool find(struct reader *reader,
                 const struct test_run *run,
                 const char *key)
{
    *reader = reader_of(bytes_of(run->output, run->output_bytes));
    uint32_t count = pack_read_map(reader);
    for (uint32_t i = 0; i < count; i++) {
        if (bytes_are_equal(pack_read_str(reader), bytes_of_text(key))) {
            return true;
        }
        pack_skip(reader);
    }
    return false;
}

const char *test_run_text(const struct test_run *run,
                          char to[static 4096],
                          const char *key)
{
    struct reader reader;
    to[0] = 0;
    if (find(&reader, run, key)) {
        pack_read_text(&reader, to, 4096);
    }
    return to;
}

int64_t test_run_number(const struct test_run *run, const char *key)
{
    struct reader reader;
    return find(&reader, run, key) ? pack_read_int(&reader) : -1;
}
