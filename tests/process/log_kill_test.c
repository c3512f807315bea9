/*
 * A process that appends to a log on the real disk is killed in the middle of
 * it, a hundred times; each time the log is opened again and looked at.
 */

#include "tests/support/check.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/posix/posix_executor.h"
#include "base/posix/posix_reactor.h"
#include "store/posix_disk.h"
#include "tests/support/seeded.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_log.h"

#define KILL_COUNT 100
#define GROUP_COUNT 8
#define RECORD_BYTES_MAX 600
#define SEGMENT_BYTES (64 * 1024)
#define SNAPSHOT_ENTRIES 100 /* behind the last one */
#define LIFE_US_MAX 8000
#define START_MS_MAX 30000

/* What the process that is killed has said; by group. */
struct shared {
    _Atomic uint64_t durable[GROUP_COUNT];  /* index */
    _Atomic uint64_t appended[GROUP_COUNT]; /* index */
    _Atomic uint64_t commit_count;
    _Atomic bool is_broken;
};

struct life {
    struct shared *shared;
    struct posix_disk *disk;
    struct posix_executor *executor;
    struct posix_reactor *runner;
    struct wal *log;
    struct seeded random;
    uint64_t snapshots[GROUP_COUNT];
    uint64_t last[GROUP_COUNT];

    /* By number of the record: what is durable with it. A ring. */
    struct {
        uint32_t group;
        uint64_t index;
    } numbers[65536];
    uint64_t told; /* number */
};

/* What an entry must hold. */
static struct bytes content_of(uint8_t *buffer, uint32_t group, uint64_t index)
{
    uint8_t raw[12];
    put_u32(raw, group);
    put_u64(raw + 4, index);
    struct seeded random = {.state = hash_bytes(bytes_of(raw, sizeof raw), 0)};
    size_t length = seeded_below(&random, RECORD_BYTES_MAX);
    for (size_t i = 0; i < length; i++) {
        buffer[i] = (uint8_t)(random.state >> (i & 31));
    }
    return bytes_of(buffer, length);
}

static void append(struct life *life, uint32_t group)
{
    uint8_t buffer[RECORD_BYTES_MAX];
    uint64_t index = ++life->last[group];
    struct wal_record record = {.kind = WAL_ENTRY,
                                .group = group,
                                .index = index,
                                .term = 1,
                                .bytes = content_of(buffer, group, index)};
    atomic_store(&life->shared->appended[group], index);
    uint64_t number = wal_append(life->log, &record);
    life->numbers[number % 65536].group = group;
    life->numbers[number % 65536].index = index;
    if (index >= life->snapshots[group] + SNAPSHOT_ENTRIES) {
        life->snapshots[group] = index - SNAPSHOT_ENTRIES / 2;
        record = (struct wal_record){.kind = WAL_SNAPSHOT,
                                     .group = group,
                                     .index = life->snapshots[group],
                                     .term = 1};
        number = wal_append(life->log, &record);
        life->numbers[number % 65536].index = 0;
    }
}

static void append_some(struct life *life)
{
    uint64_t count = 1 + seeded_below(&life->random, 40);
    for (uint64_t i = 0; i < count; i++) {
        append(life, (uint32_t)seeded_below(&life->random, GROUP_COUNT));
    }
}

static void on_durable(void *context, uint64_t number)
{
    struct life *life = context;
    for (; life->told < number; life->told++) {
        uint64_t at = (life->told + 1) % 65536;
        uint64_t index = life->numbers[at].index;
        if (index > 0) {
            atomic_store(&life->shared->durable[life->numbers[at].group],
                         index);
        }
    }
    atomic_fetch_add(&life->shared->commit_count, 1);
    append_some(life);
}

static void on_failed(void *context, enum err err, const char *what)
{
    struct life *life = context;
    print_error("%s: %s\n", what, err_name(err));
    atomic_store(&life->shared->is_broken, true);
}

static void on_group(void *context, const struct wal_group *group)
{
    struct life *life = context;
    life->last[group->group] = group->last_index;
    life->snapshots[group->group] = group->snapshot_index;
}

static void ignore_entry(void *context, const struct wal_record *entry)
{
    (void)context;
    (void)entry;
}

/* The child: append until killed. */
static enum err run(struct life *life, const char *path)
{
    enum err err = posix_disk_open(&life->disk, path);
    if (!err) {
        err = posix_executor_open(&life->executor, "log writer");
    }
    if (!err) {
        err = posix_reactor_open(&life->runner, "log");
    }
    if (err) {
        return err;
    }
    struct wal_config config = {
        .disk = posix_disk_table(life->disk),
        .executor = posix_executor_table(life->executor),
        .reactor = posix_reactor_get(life->runner),
        .disk_id = TEST_LOG_DISK_ID,
        .segment_bytes = SEGMENT_BYTES,
        .record_bytes_max = RECORD_BYTES_MAX,
        .staged_bytes_max = 1 << 20,
        .context = life,
        .on_durable = on_durable,
        .on_failed = on_failed,
    };
    struct wal_report report;
    err = wal_open(&life->log, &config, &report, NULL);
    if (!err) {
        err = wal_replay(life->log, ignore_entry, NULL, &report);
    }
    if (err || report.what[0] != '\0') {
        return err ? err : ERR_MALFORMED;
    }
    wal_groups(life->log, on_group, life);
    append_some(life);
    reactor_run(posix_reactor_get(life->runner));
    return ERR_NONE;
}

static pid_t start(struct shared *shared, const char *path, uint64_t seed)
{
    pid_t parent = getpid();
    pid_t child = fork();
    CHECK(child >= 0);
    if (child > 0) {
        return child;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct life *life = calloc(1, sizeof *life);
    if (life && getppid() == parent) {
        life->shared = shared;
        life->random.state = seed;
        enum err err = run(life, path);
        print_error("the writer has ended: %s\n", err_name(err));
    }
    atomic_store(&shared->is_broken, true);
    _exit(1);
}

static void sleep_us(uint64_t us)
{
    struct timespec time = {.tv_nsec = (long)us * 1000};
    (void)nanosleep(&time, NULL);
}

/* Kill it when it has committed something and then some time has gone. */
static void kill_in_the_middle(struct shared *shared,
                               pid_t child,
                               uint64_t life_us)
{
    uint64_t before = atomic_load(&shared->commit_count);
    for (int ms = 0; ms < START_MS_MAX; ms++) {
        if (atomic_load(&shared->commit_count) != before ||
            atomic_load(&shared->is_broken)) {
            break;
        }
        sleep_us(1000);
    }
    CHECK(atomic_load(&shared->commit_count) != before);
    sleep_us(life_us);
    CHECK(kill(child, SIGKILL) == 0);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(!atomic_load(&shared->is_broken));
}

struct looked {
    uint64_t next[GROUP_COUNT]; /* index that must come */
    uint64_t count;
    bool is_wrong;
};

static void look_at_group(void *context, const struct wal_group *group)
{
    struct looked *looked = context;
    CHECK(group->group < GROUP_COUNT);
    CHECK(!group->is_lost);
    looked->next[group->group] = group->snapshot_index + 1;
}

static void look_at_entry(void *context, const struct wal_record *entry)
{
    struct looked *looked = context;
    uint8_t buffer[RECORD_BYTES_MAX];
    struct bytes content = content_of(buffer, entry->group, entry->index);
    looked->is_wrong = looked->is_wrong ||
                       entry->index != looked->next[entry->group] ||
                       !bytes_are_equal(content, entry->bytes);
    looked->next[entry->group]++;
    looked->count++;
}

/* Nothing durable is lost, nothing that was not appended is there. */
static uint64_t look(struct shared *shared, const char *path)
{
    struct posix_disk *disk = NULL;
    static struct test_log test;
    struct looked looked = {0};
    CHECK_OK(posix_disk_open(&disk, path));
    test_log_init(&test, posix_disk_table(disk));
    test.config.segment_bytes = SEGMENT_BYTES;
    CHECK_OK(test_log_open(&test));
    wal_groups(test.log, look_at_group, &looked);
    CHECK_OK(wal_replay(test.log, look_at_entry, &looked, &test.report));
    assert_string_equal(test.report.what, "");
    CHECK(!looked.is_wrong);
    for (uint32_t i = 0; i < GROUP_COUNT; i++) {
        uint64_t last = looked.next[i] > 0 ? looked.next[i] - 1 : 0;
        CHECK(last >= atomic_load(&shared->durable[i]));
        CHECK(last <= atomic_load(&shared->appended[i]));
        struct wal_group group = {0};
        CHECK(wal_find(test.log, i, &group) == (looked.next[i] > 0));
        CHECK(group.last_index == last);
        atomic_store(&shared->durable[i], last); /* as it was shown */
    }
    test_log_clear(&test);
    posix_disk_close(&disk);
    return looked.count;
}

static void nothing_durable_is_lost_by_a_hundred_kills(void **state)
{
    (void)state;
    struct temp_folder temp;
    struct seeded random = {.state = 11};
    temp_folder_init(&temp);
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    for (uint64_t i = 0; i < KILL_COUNT; i++) {
        pid_t child = start(shared, temp.path, i);
        kill_in_the_middle(shared, child, seeded_below(&random, LIFE_US_MAX));
        CHECK(look(shared, temp.path) > 0);
    }
    print_message("%llu commits\n",
                  (unsigned long long)atomic_load(&shared->commit_count));
    CHECK(munmap(shared, sizeof *shared) == 0);
    temp_folder_clear(&temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_durable_is_lost_by_a_hundred_kills),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
