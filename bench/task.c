#include "bench/task.h"

#include "bench/process.h"
#include "bench/raft.h"
#include "bench/task_cluster.h"
#include "bench/task_core.h"
#include "bench/task_queue.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Nobody syncs what the first of these have acknowledged; the others do as we
 * do, or (JetStream) nearly. */
static const char *const volatile_peers[] = {
    "troupe", "gearmand", "beanstalkd", "redis-stream", "jetstream-r1", NULL};
static const char *const durable_peers[] = {"troupe", "beanstalkd-fsync",
                                            "redis-stream-aof", NULL};
static const char *const replicated_peers[] = {"troupe", "jetstream-r3", NULL};
static const char *const own_peers[] = {"troupe", NULL};
static const char *const exec_peers[] = {"troupe", "xargs", NULL};

#define PEER_COUNT 100000 /* tasks; quick: a quarter */
#define SLOW_COUNT 8000

/* ---- many tasks ---- */

struct many_about {
    struct task_cluster_plan plan;
    uint64_t count;
    uint64_t count_quick;
    uint32_t submitter_first;
    uint32_t submitter_count;
};

static bool is_slow(const char *peer)
{
    return strcmp(peer, "beanstalkd-fsync") == 0;
}

static enum err measure_peer(const struct bench_options *options,
                             const char *peer,
                             double *values,
                             struct err_detail *why)
{
    uint64_t count = is_slow(peer) ? SLOW_COUNT : PEER_COUNT;
    struct queue_load load = {.count = options->is_quick ? count / 4 : count};
    enum err err = queue_measure(peer, &load, why);
    values[0] = load.per_second;
    values[1] = load.cpu_ns;
    return err;
}

static enum err measure_many(const struct bench_experiment *experiment,
                             const struct bench_options *options,
                             const char *peer,
                             double *values,
                             struct err_detail *why)
{
    const struct many_about *about = experiment->about;
    if (strcmp(peer, "troupe") != 0) {
        return measure_peer(options, peer, values, why);
    }
    struct task_cluster cluster = {0};
    struct task_cluster_load load = {
        .count = options->is_quick ? about->count_quick : about->count,
        .submitter_first = about->submitter_first,
        .submitter_count = about->submitter_count};
    struct task_cluster_load warm_up = load;
    warm_up.count = load.count / 10;
    enum err err = task_cluster_open(&cluster, &about->plan, why);
    if (!err) {
        err = task_cluster_run(&cluster, &warm_up);
    }
    if (!err) {
        err = task_cluster_run(&cluster, &load);
    }
    task_cluster_close(&cluster);
    values[0] = load.per_second;
    values[1] = (double)load.cpu_ns;
    return err;
}

/* ---- one at a time ---- */

#define SINGLES 3000        /* quick: a fifth */
#define SINGLES_WARM_UP 400 /* some for each shard */

struct single_about {
    struct task_cluster_plan plan;
};

static enum err run_singles(struct task_cluster *cluster,
                            const struct bench_options *options)
{
    enum err err = task_cluster_singles(cluster, SINGLES_WARM_UP);
    histogram_clear(&cluster->bench->nodes[0].latency_ns);
    return err ? err
               : task_cluster_singles(cluster, options->is_quick ? SINGLES / 5
                                                                 : SINGLES);
}

/* What a task that is replicated is measured by: two commands one after the
 * other, of a cluster of the same size. */
static enum err compare_commit(const struct bench_options *options,
                               double *values,
                               struct err_detail *why)
{
    struct raft_cluster_job job = {
        .node_count = 3, .group_count = 64, .outstanding = 1};
    double commit[3] = {0};
    enum err err = raft_measure_commit(&job, options, commit, why);
    values[2] = commit[1];
    values[3] = values[0] / commit[1];
    return err;
}

static enum err measure_awake(const struct single_about *about,
                              const struct bench_options *options,
                              double *values,
                              struct err_detail *why)
{
    struct task_cluster cluster = {0};
    enum err err = task_cluster_open(&cluster, &about->plan, why);
    if (!err) {
        err = run_singles(&cluster, options);
    }
    if (!err) {
        const struct histogram *ns = &cluster.bench->nodes[0].latency_ns;
        values[0] = (double)histogram_percentile(ns, 50) / 1e3;
        values[1] = (double)histogram_percentile(ns, 99) / 1e3;
    }
    task_cluster_close(&cluster);
    return err || about->plan.node_count < 3
               ? err
               : compare_commit(options, values, why);
}

static enum err measure_singles(const struct bench_experiment *experiment,
                                const struct bench_options *options,
                                const char *peer,
                                double *values,
                                struct err_detail *why)
{
    struct process_busy busy;
    (void)peer;
    enum err err = process_busy_start(&busy);
    if (!err) {
        err = measure_awake(experiment->about, options, values, why);
    }
    process_busy_stop(&busy);
    return err;
}

/* ---- commands ---- */

#define COMMANDS 4000 /* quick: a quarter */
#define COMMANDS_AT_A_TIME 4
#define XARGS "/usr/bin/xargs"

struct xargs {
    uint32_t count;
};

/* A line for each command. */
static enum err run_xargs(void *context)
{
    const struct xargs *xargs = context;
    char width[16];
    (void)snprintf(width, sizeof width, "%u", COMMANDS_AT_A_TIME);
    int lines = memfd_create("lines", MFD_CLOEXEC);
    for (uint32_t i = 0; i < xargs->count && lines >= 0; i++) {
        if (write(lines, "1\n", 2) != 2) {
            return ERR_IO;
        }
    }
    if (lines < 0 || lseek(lines, 0, SEEK_SET) != 0 ||
        dup2(lines, STDIN_FILENO) != STDIN_FILENO) {
        return ERR_IO;
    }
    execl(XARGS, "xargs", "-n", "1", "-P", width, "/bin/true", (char *)NULL);
    return ERR_IO;
}

/* It runs the same command as often, as many at a time. */
static enum err measure_xargs(uint32_t count,
                              double *values,
                              struct err_detail *why)
{
    struct xargs xargs = {.count = count};
    int status = 0;
    if (access(XARGS, X_OK)) {
        err_explain(why, "there is no " XARGS);
        return ERR_NOT_FOUND;
    }
    uint64_t start_ns = process_now_ns();
    pid_t child = process_start(run_xargs, &xargs);
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        err_explain(why, XARGS ": status %d", status);
        return ERR_IO;
    }
    values[0] = (double)count / ((double)(process_now_ns() - start_ns) / 1e9);
    return ERR_NONE;
}

static enum err measure_commands(const struct bench_experiment *experiment,
                                 const struct bench_options *options,
                                 const char *peer,
                                 double *values,
                                 struct err_detail *why)
{
    uint32_t count = options->is_quick ? COMMANDS / 4 : COMMANDS;
    const struct task_cluster_plan plan = {.node_count = 1,
                                           .worker_node_count = 1,
                                           .workers = COMMANDS_AT_A_TIME,
                                           .is_command = true};
    struct task_cluster_load load = {.count = count, .submitter_count = 1};
    struct task_cluster_load warm_up = {.count = count / 10,
                                        .submitter_count = 1};
    (void)experiment;
    if (strcmp(peer, "xargs") == 0) {
        return measure_xargs(count, values, why);
    }
    struct task_cluster cluster = {0};
    enum err err = task_cluster_open(&cluster, &plan, why);
    if (!err) {
        err = task_cluster_run(&cluster, &warm_up);
    }
    if (!err) {
        err = task_cluster_run(&cluster, &load);
    }
    task_cluster_close(&cluster);
    values[0] = load.per_second;
    return err;
}

/* ---- many that wait ---- */

#define QUEUED 10000000 /* quick: a tenth */
#define WORKERS_FEW 1
#define WORKERS_MANY 10000

static enum err measure_queued(const struct bench_experiment *experiment,
                               const struct bench_options *options,
                               const char *peer,
                               double *values,
                               struct err_detail *why)
{
    uint64_t many = options->is_quick ? QUEUED / 10 : QUEUED;
    struct task_core cores[] = {
        {.queued = 0, .workers = WORKERS_FEW},
        {.queued = 0, .workers = WORKERS_MANY},
        {.queued = many, .workers = WORKERS_FEW},
        {.queued = many, .workers = WORKERS_MANY},
    };
    (void)experiment;
    (void)peer;
    (void)why;
    for (size_t i = 0; i < sizeof cores / sizeof cores[0]; i++) {
        enum err err = task_core_measure(&cores[i]);
        if (err) {
            return err;
        }
        values[2 + i] = cores[i].cycle_ns;
    }
    values[0] = cores[2].bytes;
    values[1] = cores[2].submit_ns;
    return ERR_NONE;
}

/* ---- the suite ---- */

#define SINGLE_CASES(label)                 \
    {"latency-" label "-p50", "us", true},  \
    {                                       \
        "latency-" label "-p99", "us", true \
    }

#define MANY(label, compared, quick, ...)                                 \
    {                                                                     \
        .name = label, .peers = compared, .measure = measure_many,        \
        .about = &(const struct many_about){.count = 5 * (quick),         \
                                            .count_quick = (quick),       \
                                            __VA_ARGS__},                 \
        .cases = {{label, "tasks/s", false}, {label "-cpu", "ns", true}}, \
    }

/* Two nodes with workers; all tasks are in a shard that the first leads, which
 * submits them; or each has its own. */
#define EVEN(label, quick, does)                        \
    MANY(label, own_peers, quick, .submitter_count = 2, \
         .plan = {.node_count = 2,                      \
                  .worker_node_count = 2,               \
                  .workers = 2,                         \
                  .function = does})
#define SKEWED(label, quick, does, stays)               \
    MANY(label, own_peers, quick, .submitter_count = 1, \
         .plan = {.node_count = 2,                      \
                  .worker_node_count = 2,               \
                  .workers = 2,                         \
                  .function = does,                     \
                  .is_single = true,                    \
                  .steals_nothing = stays})

/* clang-format off */
static const struct bench_experiment experiments[] = {
    MANY("volatile", volatile_peers, 200000, .submitter_count = 2,
         .plan = {.node_count = 2, .worker_node_count = 2, .workers = 2,
                  .function = "nothing"}),
    MANY("durable-r1", durable_peers, 100000, .submitter_count = 2,
         .plan = {.node_count = 2, .worker_node_count = 2, .workers = 2,
                  .is_durable = true, .function = "nothing"}),
    MANY("durable-r3", replicated_peers, 50000, .submitter_count = 2,
         .plan = {.node_count = 3, .worker_node_count = 2, .workers = 2,
                  .is_durable = true, .function = "nothing"}),
    {
        .name = "latency-volatile", .peers = own_peers,
        .measure = measure_singles,
        .about = &(const struct single_about){
            .plan = {.node_count = 2, .worker_node_count = 2, .workers = 2,
                     .function = "nothing"}},
        .cases = {SINGLE_CASES("volatile")},
    },
    {
        .name = "latency-durable-r3", .peers = own_peers,
        .measure = measure_singles,
        .about = &(const struct single_about){
            .plan = {.node_count = 3, .worker_node_count = 3, .workers = 2,
                     .is_durable = true, .function = "nothing"}},
        .cases = {SINGLE_CASES("durable-r3"),
                  {"latency-durable-r3-commit-p50", "us", true},
                  {"latency-durable-r3-ratio", "x", true}},
    },
    EVEN("skewed-even", 200000, "nothing"),
    SKEWED("skewed-stealing", 200000, "nothing", false),
    SKEWED("skewed-no-stealing", 200000, "nothing", true),
    EVEN("skewed-1ms-even", 4000, "while"),
    SKEWED("skewed-1ms-stealing", 4000, "while", false),
    SKEWED("skewed-1ms-no-stealing", 4000, "while", true),
    /* The shard's node has no workers. */
    MANY("skewed-elsewhere-even", own_peers, 200000, .submitter_count = 3,
         .plan = {.node_count = 3, .worker_node_count = 2, .workers = 2,
                  .function = "nothing"}),
    MANY("skewed-elsewhere", own_peers, 200000, .submitter_first = 2,
         .submitter_count = 1,
         .plan = {.node_count = 3, .worker_node_count = 2, .workers = 2,
                  .function = "nothing", .is_single = true, .home = 2}),
    {
        .name = "queued-10M", .peers = own_peers, .measure = measure_queued,
        .run_max_quick = 1,
        .cases = {{"queued-10M-memory", "bytes", true},
                  {"queued-10M-submit", "ns", true},
                  {"cycle-q0-w1", "ns", true},
                  {"cycle-q0-w10k", "ns", true},
                  {"cycle-q10M-w1", "ns", true},
                  {"cycle-q10M-w10k", "ns", true}},
    },
    {
        .name = "exec", .peers = exec_peers, .measure = measure_commands,
        .cases = {{"exec", "commands/s", false}},
    },
};
/* clang-format on */

const struct bench_suite task_suite = {
    .name = "task",
    .about = "tasks: submitted, run by workers, recorded; and job queues",
    .uses_disk = true,
    .experiments = experiments,
    .experiment_count = sizeof experiments / sizeof experiments[0],
};
