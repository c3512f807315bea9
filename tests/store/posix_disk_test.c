#include "tests/support/check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>

#include "base/posix/posix_executor.h"
#include "base/posix/posix_reactor.h"
#include "store/posix_disk.h"
#include "store/wal.h"
#include "tests/sim/sim_disk.h"
#include "tests/support/log_model.h"
#include "tests/support/recorded_disk.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_log.h"

#define RECORD_COUNT 160
#define SEGMENT_BYTES 4096

struct fixture {
    struct temp_folder temp;
    struct posix_disk *opened;
    const struct disk *disk;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    CHECK(fixture);
    temp_folder_init(&fixture->temp);
    CHECK_OK(posix_disk_open(&fixture->opened, fixture->temp.path));
    fixture->disk = posix_disk_table(fixture->opened);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    posix_disk_close(&fixture->opened);
    temp_folder_clear(&fixture->temp);
    free(fixture);
    return 0;
}

static enum err open_file(struct fixture *fixture,
                          const char *name,
                          enum disk_mode mode,
                          struct disk_file **out)
{
    return fixture->disk->open(fixture->disk->context, name, mode, out);
}

static void reads_what_was_written_where(void **state)
{
    struct fixture *fixture = *state;
    const struct disk *disk = fixture->disk;
    struct disk_file *file = NULL;
    char text[16] = {0};
    size_t length = 0;
    uint64_t size = 0;
    CHECK_OK(open_file(fixture, "one", DISK_CREATE, &file));
    CHECK_OK(disk->write(file, 4, bytes_of_text("efgh")));
    CHECK_OK(disk->write(file, 0, bytes_of_text("abcd")));
    CHECK_OK(disk->sync(file));
    CHECK_OK(disk->sync_folder(disk->context));
    CHECK_OK(disk->size(file, &size));
    CHECK(size == 8);
    CHECK_OK(disk->read(file, 2, text, sizeof text, &length));
    CHECK(length == 6);
    assert_string_equal(text, "cdefgh");
    CHECK_OK(disk->truncate(file, 3));
    CHECK_OK(disk->size(file, &size));
    CHECK(size == 3);
    disk->close(&file);
    CHECK(file == NULL);
    disk->close(&file);
    CHECK_OK(open_file(fixture, "one", DISK_READ, &file));
    CHECK_OK(disk->read(file, 3, text, sizeof text, &length));
    CHECK(length == 0);
    CHECK_ERR(disk->write(file, 0, bytes_of_text("x")), ERR_IO);
    disk->close(&file);
}

static void says_what_is_there_and_what_is_not(void **state)
{
    struct fixture *fixture = *state;
    const struct disk *disk = fixture->disk;
    struct disk_file *file = NULL;
    CHECK_ERR(open_file(fixture, "one", DISK_READ, &file), ERR_NOT_FOUND);
    CHECK_ERR(open_file(fixture, "one", DISK_WRITE, &file), ERR_NOT_FOUND);
    CHECK_OK(open_file(fixture, "one", DISK_CREATE, &file));
    disk->close(&file);
    CHECK_ERR(open_file(fixture, "one", DISK_CREATE, &file), ERR_EXISTS);
    CHECK(file == NULL);
    CHECK_OK(disk->remove(disk->context, "one"));
    CHECK_ERR(disk->remove(disk->context, "one"), ERR_NOT_FOUND);
    uint64_t free_bytes = 0;
    CHECK_OK(disk->free_bytes(disk->context, &free_bytes));
    CHECK(free_bytes > 0);
    struct posix_disk *nowhere = NULL;
    CHECK_ERR(posix_disk_open(&nowhere, "/nosuch/folder"), ERR_NOT_FOUND);
    CHECK(nowhere == NULL);
}

static void gather(void *visitor, const char *name)
{
    (void)strncat(visitor, name, 15);
}

static void lists_names_in_order(void **state)
{
    struct fixture *fixture = *state;
    static const char *const names[] = {"b", "c", "B", "a"};
    char all[64] = {0};
    for (size_t i = 0; i < 4; i++) {
        struct disk_file *file = NULL;
        CHECK_OK(open_file(fixture, names[i], DISK_CREATE, &file));
        fixture->disk->close(&file);
    }
    CHECK_OK(fixture->disk->list(fixture->disk->context, gather, all));
    assert_string_equal(all, "Babc");
}

static void a_limit_on_files_is_no_space(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit before;
    struct disk_file *file = NULL;
    CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    struct rlimit limit = {.rlim_cur = 100, .rlim_max = before.rlim_max};
    CHECK_OK(open_file(fixture, "one", DISK_CREATE, &file));
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    enum err fits =
        fixture->disk->write(file, 0, bytes_of_text("twenty bytes of text"));
    enum err more =
        fixture->disk->write(file, 90, bytes_of_text("twenty bytes of text"));
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK_OK(fits);
    CHECK_ERR(more, ERR_NO_SPACE);
    fixture->disk->close(&file);
}

static void the_last_descriptor_is_a_limit(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit before;
    struct disk_file *file = NULL;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    struct rlimit limit = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    enum err err = open_file(fixture, "one", DISK_CREATE, &file);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK_ERR(err, ERR_LIMIT);
}

/* ---- a log on it, with its thread, whose operations are recorded ---- */

struct life {
    struct recorded_disk recorded;
    struct posix_executor *executor;
    struct posix_reactor *runner;
    struct reactor *reactor;
    struct wal *log;
    struct seeded random;
    struct log_model model;
    struct wal_record records[RECORD_COUNT];
    uint8_t bytes[RECORD_COUNT][LOG_MODEL_BYTES_MAX];
    uint64_t count;
};

static void append_some(struct life *life)
{
    uint64_t count = 1 + seeded_below(&life->random, 6);
    for (uint64_t i = 0; i < count && life->count < RECORD_COUNT; i++) {
        uint64_t at = life->count++;
        life->records[at] =
            log_model_invent(&life->model, &life->random, life->bytes[at]);
        log_model_apply(&life->model, &life->records[at]);
        CHECK(wal_append(life->log, &life->records[at]) == life->count);
    }
}

static void on_durable(void *context, uint64_t number)
{
    struct life *life = context;
    recorded_disk_tell(&life->recorded, number);
    if (life->count < RECORD_COUNT) {
        append_some(life);
    } else if (number == RECORD_COUNT) {
        reactor_stop(life->reactor);
    }
}

static void on_failed(void *context, enum err err, const char *what)
{
    (void)context;
    fail_msg("%s: %s", what, err_name(err));
}

static void live(struct fixture *fixture, struct life *life)
{
    recorded_disk_init(&life->recorded, fixture->disk);
    CHECK_OK(posix_executor_open(&life->executor, "log writer"));
    CHECK_OK(posix_reactor_open(&life->runner, "test"));
    life->reactor = posix_reactor_get(life->runner);
    struct wal_config config = {
        .disk = &life->recorded.table,
        .executor = posix_executor_table(life->executor),
        .reactor = life->reactor,
        .disk_id = TEST_LOG_DISK_ID,
        .segment_bytes = SEGMENT_BYTES,
        .record_bytes_max = LOG_MODEL_BYTES_MAX,
        .staged_bytes_max = 65536,
        .context = life,
        .on_durable = on_durable,
        .on_failed = on_failed,
    };
    struct wal_report report;
    CHECK_OK(wal_open(&life->log, &config, &report, NULL));
    append_some(life);
    append_some(life);
    reactor_run(life->reactor);
    while (!wal_is_idle(life->log)) {
        (void)reactor_turn(life->reactor);
    }
    wal_close(&life->log);
    posix_executor_close(&life->executor);
    posix_reactor_close(&life->runner);
}

/* Whether the log holds what it held after one of the records from the
 * `durable`-th on. */
static bool is_prefix(const struct life *life,
                      const struct log_model *found,
                      uint64_t durable)
{
    static struct log_model model;
    uint64_t digest = log_model_digest(found);
    model = (struct log_model){0};
    for (uint64_t i = 0; i <= life->count; i++) {
        if (i >= durable && log_model_digest(&model) == digest) {
            return true;
        }
        if (i < life->count) {
            log_model_apply(&model, &life->records[i]);
        }
    }
    return false;
}

/* Do the first operations on a simulated disk, then cut its power. */
static bool survives(struct life *life, size_t operations, uint64_t seed)
{
    static struct log_model found;
    static struct test_log test;
    struct sim_disk *sim = sim_disk_open(seed);
    CHECK(sim);
    recorded_disk_replay(&life->recorded, operations, sim_disk_table(sim));
    sim_disk_crash(sim);
    test_log_init(&test, sim_disk_table(sim));
    CHECK_OK(test_log_open(&test));
    CHECK_OK(log_model_read(&found, test.log));
    uint64_t durable = recorded_disk_told(&life->recorded, operations);
    bool is_good =
        test.report.what[0] == '\0' && is_prefix(life, &found, durable);
    test_log_clear(&test);
    sim_disk_close(&sim);
    return is_good;
}

static void a_log_survives_a_cut_after_each_operation_of_its_thread(
    void **state)
{
    struct fixture *fixture = *state;
    static struct life life;
    life = (struct life){.random = {.state = 7}};
    live(fixture, &life);
    CHECK(recorded_disk_told(&life.recorded, life.recorded.count) ==
          RECORD_COUNT);
    CHECK(life.recorded.count > RECORD_COUNT / 6);
    for (size_t i = 0; i <= life.recorded.count; i++) {
        for (uint64_t seed = 1; seed <= 4; seed++) {
            if (!survives(&life, i, seed)) {
                fail_msg("cut after %zu of %zu", i, life.recorded.count);
            }
        }
    }
    recorded_disk_clear(&life.recorded);
}

static void without_its_syncs_the_same_log_does_not_survive(void **state)
{
    struct fixture *fixture = *state;
    static struct life life;
    life = (struct life){.random = {.state = 7}};
    live(fixture, &life);
    recorded_disk_drop_syncs(&life.recorded);
    uint64_t loss_count = 0;
    for (size_t i = 0; i <= life.recorded.count; i++) {
        loss_count += !survives(&life, i, i);
    }
    CHECK(loss_count > life.recorded.count / 4);
    recorded_disk_clear(&life.recorded);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_what_was_written_where),
        TEST(says_what_is_there_and_what_is_not),
        TEST(lists_names_in_order),
        TEST(a_limit_on_files_is_no_space),
        TEST(the_last_descriptor_is_a_limit),
        TEST(a_log_survives_a_cut_after_each_operation_of_its_thread),
        TEST(without_its_syncs_the_same_log_does_not_survive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
