#include "bench/raft.h"

#include "base/posix/posix_folder.h"
#include "bench/log_host.h"
#include "bench/process.h"
#include "bench/raft_cluster.h"
#include "bench/raft_etcd.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYNC_BYTES 512 /* of one write: about what one command makes */
#define FAILURES 20
#define FAILURES_QUICK 2
#define FAILURE_NS_MAX (15 * NS_PER_S)
#define LOAD_NS (300 * NS_PER_MS) /* between failures, at least */

static const char *const all_peers[] = {"troupe", "etcd", NULL};
static const char *const own_peers[] = {"troupe", NULL};
static const char *const sync_peers[] = {"write+fdatasync", NULL};

struct commit_about {
    uint32_t replica_count;
    uint32_t group_count;
    uint32_t outstanding;
};

struct failover_about {
    bool is_silent;
};

/* ---- commands ---- */

static uint64_t warm_up_ns(const struct bench_options *options)
{
    return (options->is_quick ? 300 : 1000) * NS_PER_MS;
}

static uint64_t duration_ns(const struct bench_options *options)
{
    return (options->is_quick ? 700 : 5000) * NS_PER_MS;
}

static enum err measure_load(struct raft_cluster *cluster,
                             const struct bench_options *options,
                             double *values,
                             struct err_detail *why)
{
    struct raft_cluster_shared *shared = cluster->shared;
    atomic_store(&shared->phase, RAFT_PHASE_LOAD);
    enum err err = raft_cluster_sleep(cluster, warm_up_ns(options), why);
    if (err) {
        return err;
    }
    atomic_store(&shared->is_recording, true);
    uint64_t start_ns = process_now_ns();
    uint64_t start = raft_cluster_acked(cluster);
    err = raft_cluster_sleep(cluster,
                             (options->is_quick ? 700 : 5000) * NS_PER_MS, why);
    uint64_t end_ns = process_now_ns();
    uint64_t end = raft_cluster_acked(cluster);
    atomic_store(&shared->is_recording, false);
    if (!err) {
        err = raft_cluster_verify(cluster, why);
    }
    struct histogram all = {0};
    for (uint32_t i = 0; i < shared->job.node_count && !err; i++) {
        err = histogram_merge(&all, &shared->nodes[i].latency_ns);
    }
    values[0] = (double)(end - start) / ((double)(end_ns - start_ns) / 1e9);
    values[1] = (double)histogram_percentile(&all, 50) / 1e3;
    values[2] = (double)histogram_percentile(&all, 99) / 1e3;
    return err;
}

static enum err measure_etcd(const struct commit_about *about,
                             const struct bench_options *options,
                             double *values,
                             struct err_detail *why)
{
    struct etcd_load load = {.outstanding = about->outstanding,
                             .warm_up_ns = warm_up_ns(options),
                             .duration_ns = duration_ns(options)};
    enum err err = etcd_measure_load(&load, why);
    values[0] = load.per_second;
    values[1] = (double)histogram_percentile(&load.latency_ns, 50) / 1e3;
    values[2] = (double)histogram_percentile(&load.latency_ns, 99) / 1e3;
    return err;
}

enum err raft_measure_commit(const struct raft_cluster_job *job,
                             const struct bench_options *options,
                             double values[static 3],
                             struct err_detail *why)
{
    struct raft_cluster cluster = {0};
    enum err err = raft_cluster_open(&cluster, job, why);
    if (!err) {
        err = measure_load(&cluster, options, values, why);
    }
    raft_cluster_close(&cluster);
    return err;
}

static enum err measure_commit(const struct bench_experiment *experiment,
                               const struct bench_options *options,
                               const char *peer,
                               double *values,
                               struct err_detail *why)
{
    const struct commit_about *about = experiment->about;
    if (strcmp(peer, "etcd") == 0) {
        return measure_etcd(about, options, values, why);
    }
    struct raft_cluster_job job = {.node_count = about->replica_count,
                                   .group_count = about->group_count,
                                   .outstanding = about->outstanding};
    return raft_measure_commit(&job, options, values, why);
}

/* ---- the disk ---- */

static enum err time_syncs(const char *folder,
                           uint32_t count,
                           struct histogram *histogram)
{
    char name[LOG_HOST_PATH_BYTES + 8];
    uint8_t bytes[SYNC_BYTES];
    memset(bytes, 0x5a, sizeof bytes);
    (void)snprintf(name, sizeof name, "%s/file", folder);
    int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    enum err err = fd < 0 ? ERR_IO : ERR_NONE;
    for (uint32_t i = 0; i < count && !err; i++) {
        uint64_t start_ns = process_now_ns();
        if (pwrite(fd, bytes, sizeof bytes, (off_t)i * SYNC_BYTES) !=
                SYNC_BYTES ||
            fdatasync(fd)) {
            err = ERR_IO;
        }
        histogram_record(histogram, process_now_ns() - start_ns);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return err;
}

static enum err measure_sync(const struct bench_experiment *experiment,
                             const struct bench_options *options,
                             const char *peer,
                             double *values,
                             struct err_detail *why)
{
    (void)experiment;
    (void)peer;
    char folder[LOG_HOST_PATH_BYTES];
    struct histogram histogram = {0};
    if (!log_host_folder(folder)) {
        err_explain(why, "no folder can be made");
        return ERR_IO;
    }
    enum err err =
        time_syncs(folder, options->is_quick ? 500 : 3000, &histogram);
    enum err removed = posix_folder_remove(folder);
    values[0] = (double)histogram_percentile(&histogram, 50) / 1e3;
    return err ? err : removed;
}

/* ---- idle ---- */

static uint64_t cpu_of(const struct raft_cluster *cluster)
{
    uint64_t cpu_ns = 0;
    for (uint32_t i = 0; i < cluster->shared->job.node_count; i++) {
        cpu_ns += atomic_load(&cluster->shared->nodes[i].cpu_ns);
    }
    return cpu_ns;
}

/* The mean of the nodes; memory is that of the whole process. */
static enum err measure_idle(const struct bench_experiment *experiment,
                             const struct bench_options *options,
                             const char *peer,
                             double *values,
                             struct err_detail *why)
{
    (void)experiment;
    (void)peer;
    struct raft_cluster_job job = {
        .node_count = 3, .group_count = 256, .is_idle = true};
    struct raft_cluster cluster = {0};
    uint64_t duration_ns = (options->is_quick ? 2 : 10) * NS_PER_S;
    enum err err = raft_cluster_open(&cluster, &job, why);
    if (!err) {
        err = raft_cluster_sleep(&cluster, NS_PER_S, why);
    }
    if (!err) {
        uint64_t cpu_ns = cpu_of(&cluster);
        err = raft_cluster_sleep(&cluster, duration_ns, why);
        cpu_ns = cpu_of(&cluster) - cpu_ns;
        uint64_t resident_bytes = 0;
        for (uint32_t i = 0; i < job.node_count; i++) {
            resident_bytes +=
                atomic_load(&cluster.shared->nodes[i].resident_bytes);
        }
        values[0] =
            100.0 * (double)cpu_ns / (double)duration_ns / job.node_count;
        values[1] = (double)resident_bytes / job.node_count;
    }
    raft_cluster_close(&cluster);
    return err;
}

/* ---- failures ---- */

struct failover {
    struct raft_cluster cluster;
    bool is_silent;
    uint32_t failure_count;
    struct histogram ns; /* of each group that a victim led */
    struct err_detail *why;
};

static bool is_over(const struct raft_cluster_shared *shared,
                    uint32_t group,
                    uint64_t round,
                    uint64_t *at_ns)
{
    uint64_t first_ns = UINT64_MAX;
    for (uint32_t i = 0; i < shared->job.node_count; i++) {
        const struct raft_tally *tally = &shared->nodes[i].groups[group];
        /* Pairs with the release of the node. */
        if (atomic_load_explicit(&tally->acked_round, memory_order_acquire) ==
            round) {
            uint64_t ns = atomic_load(&tally->acked_round_ns);
            first_ns = ns < first_ns ? ns : first_ns;
        }
    }
    *at_ns = first_ns;
    return first_ns < UINT64_MAX;
}

/* Wait until all groups that the victim led commit again, and take the times.
 * A group that does not within FAILURE_NS_MAX ends the run. */
static enum err take_times(struct failover *failover,
                           const bool *was_led,
                           uint64_t start_ns)
{
    const struct raft_cluster_shared *shared = failover->cluster.shared;
    uint64_t round = atomic_load(&shared->round);
    for (uint32_t i = 0; i < shared->job.group_count; i++) {
        uint64_t at_ns = 0;
        while (was_led[i] && !is_over(shared, i, round, &at_ns)) {
            if (process_now_ns() - start_ns > FAILURE_NS_MAX) {
                err_explain(failover->why, "group %u does not commit again", i);
                return ERR_TIMEOUT;
            }
            enum err err = raft_cluster_sleep(&failover->cluster, NS_PER_MS,
                                              failover->why);
            if (err) {
                return err;
            }
        }
        if (was_led[i]) {
            histogram_record(&failover->ns,
                             at_ns > start_ns ? at_ns - start_ns : 0);
        }
    }
    return ERR_NONE;
}

static enum err fail_once(struct failover *failover, uint32_t victim)
{
    struct raft_cluster *cluster = &failover->cluster;
    struct raft_cluster_shared *shared = cluster->shared;
    bool was_led[RAFT_CLUSTER_GROUPS_MAX];
    for (uint32_t i = 0; i < shared->job.group_count; i++) {
        was_led[i] = atomic_load(&shared->nodes[victim].groups[i].is_led);
    }
    atomic_store(&shared->victim, victim);
    atomic_fetch_add(&shared->round, 1);
    uint64_t start_ns = process_now_ns();
    if (failover->is_silent) {
        raft_cluster_pause(cluster, victim);
    } else {
        raft_cluster_kill(cluster, victim);
    }
    enum err err = take_times(failover, was_led, start_ns);
    if (failover->is_silent) {
        raft_cluster_resume(cluster, victim);
    } else if (!err) {
        err = raft_cluster_restart(cluster, victim);
    }
    return err ? err : raft_cluster_settle(cluster, failover->why);
}

static enum err run_failures(struct failover *failover)
{
    struct raft_cluster *cluster = &failover->cluster;
    atomic_store(&cluster->shared->phase, RAFT_PHASE_LOAD);
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < failover->failure_count && !err; i++) {
        err = raft_cluster_sleep(cluster, LOAD_NS, failover->why);
        if (!err) {
            err = fail_once(failover, i % cluster->shared->job.node_count);
        }
    }
    return err ? err : raft_cluster_verify(cluster, failover->why);
}

static enum err measure_failover(const struct bench_experiment *experiment,
                                 const struct bench_options *options,
                                 const char *peer,
                                 double *values,
                                 struct err_detail *why)
{
    const struct failover_about *about = experiment->about;
    struct failover failover = {
        .is_silent = about->is_silent,
        .failure_count = options->is_quick ? FAILURES_QUICK : FAILURES,
        .why = why};
    struct raft_cluster_job job = {
        .node_count = 3, .group_count = 64, .outstanding = 1024};
    enum err err = ERR_NONE;
    if (strcmp(peer, "etcd") == 0) {
        err = etcd_measure_failover(failover.failure_count, &failover.ns, why);
    } else {
        err = raft_cluster_open(&failover.cluster, &job, why);
        err = err ? err : run_failures(&failover);
        raft_cluster_close(&failover.cluster);
    }
    values[0] = (double)histogram_percentile(&failover.ns, 50) / 1e6;
    values[1] = (double)histogram_percentile(&failover.ns, 99) / 1e6;
    values[2] = (double)histogram_percentile(&failover.ns, 100) / 1e6;
    return err;
}

/* ---- the suite ---- */

#define COMMIT(label, compared, replicas, groups, commands)                    \
    {                                                                          \
        .name = "commit-" label, .peers = compared, .measure = measure_commit, \
        .about = &(const struct commit_about){replicas, groups, commands},     \
        .run_max_quick = 2,                                                    \
        .cases = {{"commit-" label, "ops/s", false},                           \
                  {"commit-" label "-p50", "us", true},                        \
                  {"commit-" label "-p99", "us", true}},                       \
    }

#define FAILOVER(label, compared, silent)                                    \
    {                                                                        \
        .name = "failover-" label, .peers = compared,                        \
        .measure = measure_failover,                                         \
        .about = &(const struct failover_about){silent}, .run_max_quick = 1, \
        .cases = {{"failover-" label "-p50", "ms", true},                    \
                  {"failover-" label "-p99", "ms", true},                    \
                  {"failover-" label "-max", "ms", true}},                   \
    }

/* clang-format off */
static const struct bench_experiment experiments[] = {
    {
        .name = "fdatasync-p50", .peers = sync_peers, .measure = measure_sync,
        .cases = {{"fdatasync-p50", "us", true}},
    },
    COMMIT("r3-g64-c1", all_peers, 3, 64, 1),
    COMMIT("r3-g64-c64", all_peers, 3, 64, 64),
    COMMIT("r3-g64-c1024", all_peers, 3, 64, 1024),
    COMMIT("r3-g64-c8192", own_peers, 3, 64, 8192),
    COMMIT("r3-g1-c1024", own_peers, 3, 1, 1024),
    COMMIT("r3-g256-c1024", own_peers, 3, 256, 1024),
    COMMIT("r1-g64-c1024", own_peers, 1, 64, 1024),
    {
        .name = "idle-256", .peers = own_peers, .measure = measure_idle,
        .run_max_quick = 1,
        .cases = {{"idle-256-cpu", "%", true},
                  {"idle-256-memory", "bytes", true}},
    },
    FAILOVER("kill", all_peers, false),
    FAILOVER("silent", own_peers, true),
};
/* clang-format on */

const struct bench_suite raft_suite = {
    .name = "raft",
    .about = "a cluster of three processes: commands, idle cost, failover",
    .uses_disk = true,
    .experiments = experiments,
    .experiment_count = sizeof experiments / sizeof experiments[0],
};
