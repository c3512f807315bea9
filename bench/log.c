#include "bench/log.h"

#include "base/posix/posix_folder.h"
#include "base/time_units.h"
#include "bench/log_host.h"
#include "bench/process.h"
#include "store/wal_format.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define GROUP_COUNT 64
#define RECORD_BYTES 128
#define WARM_UP_COUNT 5 /* commits */
#define SEGMENT_BYTES (UINT64_C(64) << 20)

#define REOPEN_COUNT 5000000
#define REOPEN_BATCH 4096
#define REOPEN_LOOKS 3
/* A group makes a snapshot when so many entries are behind the last one. */
#define SNAPSHOT_ENTRIES 16384

static const char *const append_peers[] = {"troupe", "write+fdatasync", NULL};
static const char *const reopen_peers[] = {"troupe", NULL};

struct append_about {
    size_t batch;
};

/* Commits that follow one another for a while. */
struct commits {
    struct log_host host;
    const uint8_t *payload;
    size_t batch;
    uint64_t indexes[GROUP_COUNT];
    uint64_t round; /* commits so far */
    uint64_t duration_ns;
    uint64_t start_ns; /* behind the warm-up */
    uint64_t end_ns;
};

static void append_batch(struct commits *commits)
{
    for (size_t i = 0; i < commits->batch; i++) {
        uint32_t group = (uint32_t)((commits->round + i) % GROUP_COUNT);
        struct wal_record record = {
            .kind = WAL_ENTRY,
            .group = group,
            .index = ++commits->indexes[group],
            .term = 1,
            .bytes = bytes_of(commits->payload, RECORD_BYTES),
        };
        log_host_append(&commits->host, &record);
    }
}

/* The last commit is durable: time it, begin the next. */
static bool next_commit(struct log_host *host)
{
    struct commits *commits = (struct commits *)host; /* its first member */
    uint64_t now_ns = process_now_ns();
    commits->round++;
    if (commits->round == WARM_UP_COUNT) {
        commits->start_ns = now_ns;
    }
    if (commits->round > WARM_UP_COUNT &&
        now_ns - commits->start_ns >= commits->duration_ns) {
        commits->end_ns = now_ns;
        return false;
    }
    append_batch(commits);
    return true;
}

static enum err run_troupe(struct commits *commits, const char *path)
{
    enum err err = log_host_init(&commits->host, path);
    if (err) {
        return err;
    }
    commits->host.next = next_commit;
    err = log_host_open(&commits->host);
    if (!err) {
        append_batch(commits);
        err = log_host_run(&commits->host);
    }
    log_host_clear(&commits->host);
    return err;
}

/* As many bytes as the log's batch has, appended to a file and synced. */
static enum err run_bare(struct commits *commits, const char *path)
{
    struct wal_record record = {.kind = WAL_ENTRY,
                                .bytes = bytes_of(NULL, RECORD_BYTES)};
    size_t length = (size_t)wal_format_batch_bytes(
        commits->batch * wal_format_record_bytes(&record));
    char name[LOG_HOST_PATH_BYTES + 8];
    (void)snprintf(name, sizeof name, "%s/bare", path);
    int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    uint8_t *bytes = calloc(1, length);
    enum err err = fd < 0 || !bytes ? ERR_IO : ERR_NONE;
    for (off_t at = 0; !err; at += (off_t)length) {
        memset(bytes, (int)commits->round & 255, length);
        if (pwrite(fd, bytes, length, at) != (ssize_t)length || fdatasync(fd)) {
            err = ERR_IO;
        }
        uint64_t now_ns = process_now_ns();
        commits->round++;
        if (commits->round == WARM_UP_COUNT) {
            commits->start_ns = now_ns;
        } else if (commits->round > WARM_UP_COUNT &&
                   now_ns - commits->start_ns >= commits->duration_ns) {
            commits->end_ns = now_ns;
            break;
        }
    }
    free(bytes);
    if (fd >= 0) {
        (void)close(fd);
    }
    return err;
}

static enum err measure_append(const struct bench_experiment *experiment,
                               const struct bench_options *options,
                               const char *peer,
                               double *values,
                               struct err_detail *why)
{
    const struct append_about *about = experiment->about;
    uint8_t payload[RECORD_BYTES];
    memset(payload, 0x5a, sizeof payload);
    struct commits commits = {
        .payload = payload,
        .batch = about->batch,
        .duration_ns = (options->is_quick ? 700 : 3000) * NS_PER_MS,
    };
    char path[LOG_HOST_PATH_BYTES];
    if (!log_host_folder(path)) {
        err_explain(why, "no folder in /var/tmp or TROUPE_BENCH_FOLDER");
        return ERR_IO;
    }
    enum err err = strcmp(peer, "troupe") == 0 ? run_troupe(&commits, path)
                                               : run_bare(&commits, path);
    enum err removed = posix_folder_remove(path);
    if (err || removed) {
        err_explain(why, "%s: %s", path, err_text(err ? err : removed));
        return err ? err : removed;
    }
    double seconds = (double)(commits.end_ns - commits.start_ns) / 1e9;
    double count = (double)(commits.round - WARM_UP_COUNT);
    values[0] = count * (double)about->batch / seconds;
    return ERR_NONE;
}

/* ---- opening again ---- */

struct filling {
    struct commits commits;
    uint64_t left; /* records */
    bool has_snapshots;
    uint64_t snapshots[GROUP_COUNT]; /* indexes */
};

static void append_snapshots(struct filling *filling)
{
    for (uint32_t group = 0; group < GROUP_COUNT; group++) {
        uint64_t index = filling->commits.indexes[group];
        /* Not all at once, as in life. */
        uint64_t due = filling->snapshots[group] + SNAPSHOT_ENTRIES +
                       (filling->snapshots[group] == 0
                            ? group * SNAPSHOT_ENTRIES / GROUP_COUNT
                            : 0);
        if (index < due) {
            continue;
        }
        filling->snapshots[group] = index;
        struct wal_record record = {
            .kind = WAL_SNAPSHOT, .group = group, .index = index, .term = 1};
        log_host_append(&filling->commits.host, &record);
    }
}

static bool next_filling(struct log_host *host)
{
    struct filling *filling = (struct filling *)host;
    if (filling->left == 0) {
        return false;
    }
    if (filling->left < filling->commits.batch) {
        filling->commits.batch = filling->left;
    }
    filling->left -= filling->commits.batch;
    append_batch(&filling->commits);
    filling->commits.round++;
    if (filling->has_snapshots) {
        append_snapshots(filling);
    }
    return true;
}

static enum err fill(struct filling *filling,
                     const char *path,
                     const uint8_t *payload)
{
    struct commits *commits = &filling->commits;
    commits->payload = payload;
    commits->batch = REOPEN_BATCH;
    enum err err = log_host_init(&commits->host, path);
    if (err) {
        return err;
    }
    commits->host.next = next_filling;
    err = log_host_open(&commits->host);
    if (!err) {
        (void)next_filling(&commits->host);
        err = log_host_run(&commits->host);
    }
    log_host_clear(&commits->host);
    return err;
}

struct seen {
    uint64_t count;
    uint64_t sum; /* so that the bytes are looked at */
};

static void see(void *context, const struct wal_record *entry)
{
    struct seen *seen = context;
    seen->count++;
    seen->sum += entry->index + entry->bytes.data[0];
}

/* Open and read all that lives, in ms. */
static enum err reopen(const char *path, double *out_ms, struct seen *seen)
{
    struct log_host host;
    enum err err = log_host_init(&host, path);
    if (err) {
        return err;
    }
    uint64_t start_ns = process_now_ns();
    err = log_host_open(&host);
    if (!err) {
        err = wal_replay(host.log, see, seen, NULL);
    }
    *out_ms = (double)(process_now_ns() - start_ns) / 1e6;
    log_host_clear(&host);
    return err;
}

static enum err fill_and_reopen(struct filling *filling,
                                const char *path,
                                double *out_ms)
{
    uint8_t payload[RECORD_BYTES];
    memset(payload, 0x5a, sizeof payload);
    enum err err = fill(filling, path, payload);
    uint64_t expected = 0;
    for (uint32_t i = 0; i < GROUP_COUNT; i++) {
        expected += filling->commits.indexes[i] - filling->snapshots[i];
    }
    double best_ms = 0;
    for (int i = 0; !err && i < REOPEN_LOOKS; i++) {
        struct seen seen = {0};
        double ms = 0;
        err = reopen(path, &ms, &seen);
        if (!err && seen.count != expected) {
            err = ERR_MALFORMED;
        }
        best_ms = i == 0 || ms < best_ms ? ms : best_ms;
    }
    *out_ms = best_ms;
    return err;
}

static enum err measure_reopen(const struct bench_experiment *experiment,
                               const struct bench_options *options,
                               const char *peer,
                               double *values,
                               struct err_detail *why)
{
    (void)options;
    (void)peer;
    static const struct filling empty;
    struct filling filling = empty;
    filling.left = REOPEN_COUNT;
    filling.has_snapshots = experiment->about != NULL;
    char path[LOG_HOST_PATH_BYTES];
    if (!log_host_folder(path)) {
        err_explain(why, "no folder in /var/tmp or TROUPE_BENCH_FOLDER");
        return ERR_IO;
    }
    enum err err = fill_and_reopen(&filling, path, &values[0]);
    enum err removed = posix_folder_remove(path);
    if (err || removed) {
        err_explain(why, "%s: %s", path, err_text(err ? err : removed));
    }
    return err ? err : removed;
}

#define APPEND(count)                                      \
    {                                                      \
        .name = "append-b" #count, .peers = append_peers,  \
        .measure = measure_append,                         \
        .about = &(const struct append_about){count},      \
        .cases = {{"append-b" #count, "events/s", false}}, \
    }

/* clang-format off */
static const struct bench_experiment experiments[] = {
    APPEND(1),
    APPEND(16),
    APPEND(64),
    APPEND(256),
    APPEND(1024),
    {
        .name = "reopen-5M", .peers = reopen_peers,
        .measure = measure_reopen, .about = "with snapshots",
        .cases = {{"reopen-5M", "ms", true}},
    },
    {
        .name = "reopen-5M-no-snapshot", .peers = reopen_peers,
        .measure = measure_reopen,
        .cases = {{"reopen-5M-no-snapshot", "ms", true}},
    },
};
/* clang-format on */

const struct bench_suite log_suite = {
    .name = "log",
    .about = "the durable log: group commit, opening again",
    .experiments = experiments,
    .experiment_count = sizeof experiments / sizeof experiments[0],
};
