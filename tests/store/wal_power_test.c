/*
 * The power is cut at every single operation of a run, and the log opened
 * again: what was reported durable is there, and what is there is what was
 * appended up to some record.
 */

#include "tests/support/check.h"

#include <stdlib.h>

#include "store/wal_format.h"
#include "tests/sim/sim_disk.h"
#include "tests/support/log_model.h"
#include "tests/support/test_log.h"

#define RECORD_COUNT 220
#define SEED_COUNT 40
#define SEGMENT_BYTES 2048

struct run {
    struct sim_disk *disk;
    struct test_log test;
    struct seeded random;
    bool is_control; /* syncs do nothing */

    /* What was appended since the last opening, and what was before. */
    struct wal_record records[RECORD_COUNT];
    uint8_t bytes[RECORD_COUNT][LOG_MODEL_BYTES_MAX];
    uint64_t count;
    struct log_model start;
    struct log_model now;
};

static void run_open(struct run *run, uint64_t seed)
{
    run->disk = sim_disk_open(seed);
    CHECK(run->disk);
    run->random.state = ~seed;
    run->count = 0;
    run->start = (struct log_model){0};
    run->now = run->start;
    test_log_init(&run->test, sim_disk_table(run->disk));
    run->test.config.segment_bytes = SEGMENT_BYTES;
    CHECK_OK(test_log_open(&run->test));
}

static void run_close(struct run *run)
{
    test_log_clear(&run->test);
    sim_disk_close(&run->disk);
}

static void append(struct run *run)
{
    uint64_t i = run->count++;
    run->records[i] = log_model_invent(&run->now, &run->random, run->bytes[i]);
    log_model_apply(&run->now, &run->records[i]);
    CHECK(wal_append(run->test.log, &run->records[i]) == run->count);
}

/* Append, turn and do jobs, in any order; to the end or the cut. */
static void work(struct run *run, uint64_t count)
{
    while (run->count < count && !run->test.failed) {
        switch (seeded_below(&run->random, 4)) {
        case 0:
            test_log_turn(&run->test);
            break;
        case 1:
            (void)manual_executor_step(&run->test.jobs);
            break;
        default:
            append(run);
            break;
        }
    }
    test_log_settle(&run->test);
}

/* How many records the log has kept; UINT64_MAX: it is no such state. */
static uint64_t kept_count(struct run *run, const struct log_model *found)
{
    static struct log_model model;
    uint64_t digest = log_model_digest(found);
    uint64_t kept = UINT64_MAX;
    model = run->start;
    for (uint64_t i = 0;; i++) {
        if (log_model_digest(&model) == digest) {
            kept = i; /* the last such: some records change nothing */
        }
        if (i == run->count) {
            return kept;
        }
        log_model_apply(&model, &run->records[i]);
    }
}

/*
 * The power comes back. False: something durable is lost, or what is there
 * was never so.
 */
static bool survives(struct run *run, uint64_t cut_again)
{
    static struct log_model found;
    uint64_t durable = run->test.durable;
    test_log_close(&run->test);
    if (seeded_below(&run->random, 3) == 0) {
        sim_disk_kill(run->disk); /* a crash comes later */
    } else {
        sim_disk_crash(run->disk);
    }
    if (cut_again > 0) {
        sim_disk_cut_after(run->disk, cut_again);
        enum err err = test_log_open(&run->test);
        CHECK(!err || sim_disk_is_cut(run->disk));
        test_log_close(&run->test);
        sim_disk_crash(run->disk);
    }
    enum err err = test_log_open(&run->test);
    if (err) {
        CHECK(run->is_control);
        return false;
    }
    CHECK_OK(log_model_read(&found, run->test.log));
    uint64_t kept = kept_count(run, &found);
    if (kept == UINT64_MAX || kept < durable) {
        if (!run->is_control) {
            print_error("kept %lld of %llu, durable %llu; %s\n",
                        (long long)kept, (unsigned long long)run->count,
                        (unsigned long long)durable, run->test.report.what);
        }
        return false;
    }
    CHECK(run->test.report.what[0] == '\0' || run->is_control);
    run->start = found;
    run->now = found;
    run->count = 0;
    return true;
}

/* One run with one cut, and a bit of life after it. False: it lost. */
static bool survives_cut(struct run *run, uint64_t seed, uint64_t cut)
{
    run_open(run, seed);
    if (run->is_control) {
        sim_disk_ignore_syncs(run->disk);
    }
    sim_disk_cut_after(run->disk, cut);
    work(run, RECORD_COUNT);
    bool is_good = survives(run, seeded_below(&run->random, 8));
    if (is_good) {
        work(run, seeded_below(&run->random, 2) * 30);
        is_good = survives(run, 0);
    }
    run_close(run);
    return is_good;
}

/* Delete the newest segment. False: it was the only one. */
static bool delete_last(struct run *run, uint64_t *out_segment)
{
    uint32_t count = 0;
    char name[DISK_NAME_BYTES];
    for (uint64_t i = 1; i < RECORD_COUNT; i++) {
        wal_format_name(name, i);
        if (sim_disk_content(run->disk, name).data) {
            *out_segment = i;
            count++;
        }
    }
    wal_format_name(name, *out_segment);
    return count > 1 && sim_disk_delete(run->disk, name);
}

/* Once something was committed, that the newest segment is missing shows. */
static void check_missing_shows(struct run *run, uint64_t seed, uint64_t cut)
{
    uint64_t segment = 0;
    run_open(run, seed);
    sim_disk_cut_after(run->disk, cut);
    work(run, RECORD_COUNT);
    CHECK(survives(run, 0));
    work(run, 1);
    test_log_close(&run->test);
    sim_disk_crash(run->disk);
    if (delete_last(run, &segment)) {
        CHECK_OK(test_log_open(&run->test));
        if (!run->test.report.unlisted_are_lost) {
            fail_msg("seed %llu, cut %llu: segment %llu is not missed",
                     (unsigned long long)seed, (unsigned long long)cut,
                     (unsigned long long)segment);
        }
        CHECK(run->test.report.what[0] != '\0');
    }
    run_close(run);
}

static uint64_t operations_of(struct run *run, uint64_t seed)
{
    run_open(run, seed);
    uint64_t before = sim_disk_operations(run->disk);
    work(run, RECORD_COUNT);
    CHECK(run->test.durable == RECORD_COUNT);
    uint64_t count = sim_disk_operations(run->disk) - before;
    run_close(run);
    return count;
}

static void survives_a_power_cut_at_every_operation(void **state)
{
    (void)state;
    static struct run run;
    uint64_t cut_count = 0;
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        uint64_t operations = operations_of(&run, seed);
        for (uint64_t cut = 1; cut <= operations; cut++) {
            if (!survives_cut(&run, seed, cut)) {
                fail_msg("seed %llu, cut %llu", (unsigned long long)seed,
                         (unsigned long long)cut);
            }
            cut_count++;
        }
    }
    print_message("%llu cuts\n", (unsigned long long)cut_count);
    CHECK(cut_count > 5000);
}

static void a_missing_last_segment_shows_after_a_cut_at_any_operation(
    void **state)
{
    (void)state;
    static struct run run;
    for (uint64_t seed = 1; seed <= SEED_COUNT / 4; seed++) {
        uint64_t operations = operations_of(&run, seed);
        for (uint64_t cut = 1; cut <= operations; cut++) {
            check_missing_shows(&run, seed, cut);
        }
    }
}

static void the_same_check_finds_what_is_lost_without_syncs(void **state)
{
    (void)state;
    static struct run run;
    run = (struct run){.is_control = true};
    uint64_t loss_count = 0;
    uint64_t operations = operations_of(&run, 1);
    for (uint64_t cut = 1; cut <= operations; cut++) {
        loss_count += !survives_cut(&run, 1, cut);
    }
    print_message("%llu of %llu lost\n", (unsigned long long)loss_count,
                  (unsigned long long)operations);
    CHECK(loss_count > operations / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_a_power_cut_at_every_operation),
        cmocka_unit_test(
            a_missing_last_segment_shows_after_a_cut_at_any_operation),
        cmocka_unit_test(the_same_check_finds_what_is_lost_without_syncs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
