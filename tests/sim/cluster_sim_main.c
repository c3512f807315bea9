/*
 * Runs the cluster simulator over many seeds, or one with a trace:
 *
 *     cluster_sim [--seeds FIRST COUNT] [--seed N]
 *
 * Built with deliberate faults, it shows for each one the seed that finds it:
 *
 *     cluster_sim_faults --faults [COUNT] [NAME]
 */

#include "tests/sim/cluster_sim.h"

#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef TROUPE_FAULTS
#include <sys/mman.h>
#include <sys/wait.h>
#endif

/* For whom an assertion ends. */
static volatile uint64_t seed_now;

static void on_abort(int signal_number)
{
    char text[] = "\nseed ....................: an assertion\n";
    uint64_t seed = seed_now;
    for (size_t i = 25; i >= 6; i--) {
        text[i] = seed == 0 && i < 25 ? ' ' : (char)('0' + seed % 10);
        seed /= 10;
    }
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    (void)signal_number;
}

static struct cluster_sim_result run_seed(uint64_t seed, bool trace)
{
    seed_now = seed;
    return cluster_sim_run(
        &(struct cluster_sim_config){.seed = seed, .trace = trace});
}

static int run_one(uint64_t seed)
{
    struct cluster_sim_result result = run_seed(seed, true);
    (void)printf("seed %" PRIu64 ": %s\n", seed,
                 result.broken[0] ? result.broken : "all promises kept");
    return result.broken[0] != '\0';
}

/* A seed decides everything: twice the same must happen. */
static bool is_replayed(uint64_t seed, const struct cluster_sim_result *result)
{
    return seed % 50 != 0 || run_seed(seed, false).digest == result->digest;
}

/* Every seed must really have been a trial. */
static bool is_too_easy(const struct cluster_sim_result *result)
{
    return result->faults < 10 || result->operations < 500 ||
           result->virtual_ns < 30000000000u;
}

static void add(struct cluster_sim_result *sum,
                const struct cluster_sim_result *result)
{
    sum->operations += result->operations;
    sum->unknown += result->unknown;
    sum->faults += result->faults;
    sum->virtual_ns += result->virtual_ns;
    sum->messages += result->messages;
    sum->entries += result->entries;
    sum->leaders += result->leaders;
    sum->starts += result->starts;
    sum->lost += result->lost;
    sum->members += result->members;
    sum->snapshots += result->snapshots;
}

static void print_sum(const struct cluster_sim_result *sum,
                      uint64_t count,
                      uint64_t broken_count)
{
    (void)printf("%" PRIu64 " seeds, %" PRIu64 " broken: %" PRIu64
                 " virtual seconds, %" PRIu64 " operations, %" PRIu64
                 " of unknown outcome, %" PRIu64 " faults, %" PRIu64
                 " messages, %" PRIu64 " entries, %" PRIu64 " leaders, %" PRIu64
                 " starts, %" PRIu64 " replicas lost, %" PRIu64
                 " changes of members, %" PRIu64 " snapshots installed\n",
                 count, broken_count, sum->virtual_ns / 1000000000u,
                 sum->operations, sum->unknown, sum->faults, sum->messages,
                 sum->entries, sum->leaders, sum->starts, sum->lost,
                 sum->members, sum->snapshots);
}

static int run_many(uint64_t first, uint64_t count)
{
    struct cluster_sim_result sum = {0};
    uint64_t broken_count = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct cluster_sim_result result = run_seed(seed, false);
        const char *broken = result.broken;
        if (!broken[0] && is_too_easy(&result)) {
            broken = "too easy";
        }
        if (!broken[0] && !is_replayed(seed, &result)) {
            broken = "does not replay";
        }
        if (broken[0]) {
            (void)printf("seed %" PRIu64 ": %s (%" PRIu64
                         " operations, %" PRIu64
                         " faults); replay: cluster_sim --seed %" PRIu64 "\n",
                         seed, broken, result.operations, result.faults, seed);
            (void)fflush(stdout);
            broken_count++;
        }
        add(&sum, &result);
    }
    print_sum(&sum, count, broken_count);
    return broken_count > 0;
}

#ifdef TROUPE_FAULTS
#define FAULT(kind, KIND, name)                 \
    {                                           \
#name,                                  \
        {                                       \
            .kind##_fault = KIND##_FAULT_##name \
        }                                       \
    }

static const struct {
    const char *name;
    struct cluster_sim_config config;
} faults[] = {
    FAULT(raft, RAFT, COMMIT_OLDER_TERM),
    FAULT(raft, RAFT, FORGET_VOTE),
    FAULT(raft, RAFT, ACK_BEFORE_SYNC),
    FAULT(raft, RAFT, COUNT_BEFORE_SYNC),
    FAULT(raft, RAFT, VOTE_BEFORE_SYNC),
    FAULT(raft, RAFT, KEEP_CONFIGURATION),
    FAULT(raft, RAFT, READ_WITHOUT_ASKING),
    FAULT(raft, RAFT, READ_BEFORE_NOTHING),
    FAULT(raft, RAFT, ACK_OLD_LAST),
    FAULT(raft, RAFT, VOTE_TWICE),
    FAULT(raft, RAFT, STALE_LOG_ELECTED),
    FAULT(raft, RAFT, CHANGE_TWICE),
    FAULT(group, GROUP, ANSWER_BEFORE_COMMIT),
    FAULT(group, GROUP, KEEP_SPECULATION),
    FAULT(group, GROUP, REFUSE_UNCERTAIN),
    FAULT(group, GROUP, ANSWER_WITHOUT_ASKING),
    FAULT(group, GROUP, APPLY_TWICE),
    FAULT(group, GROUP, FORGET_APPLIED),
    FAULT(group, GROUP, SKIP_PIECE),
    FAULT(group, GROUP, SKIP_SYNC),
    FAULT(group, GROUP, NEWEST_CONFIGURATION),
    FAULT(group, GROUP, NO_SNAPSHOT),
    FAULT(sim, SIM, LOST_RETURNS),
    FAULT(sim, SIM, DISK_LIES),
};
#define FAULT_COUNT (sizeof faults / sizeof faults[0])

static_assert(FAULT_COUNT == (size_t)RAFT_FAULT_COUNT +
                                 (size_t)GROUP_FAULT_COUNT +
                                 (size_t)SIM_FAULT_COUNT - 3,
              "a fault is not in the table");

/* What a child has found; in memory that it shares with us. */
struct finding {
    uint64_t seed; /* that is being run, or has found it */
    bool is_found;
    char checker[32];
    char broken[256];
};

/* Without a fault the seed keeps all promises. */
static bool is_sound(uint64_t seed)
{
    return !cluster_sim_run(&(struct cluster_sim_config){.seed = seed})
                .broken[0];
}

/* In a process of its own, since an assertion may be what finds it. */
static void search(size_t at, uint64_t count, struct finding *finding)
{
    struct cluster_sim_config config = faults[at].config;
    for (config.seed = 0; config.seed < count && !finding->is_found;
         config.seed++) {
        finding->seed = config.seed;
        struct cluster_sim_result result = cluster_sim_run(&config);
        finding->is_found = result.broken[0] && is_sound(config.seed);
        if (finding->is_found) {
            (void)snprintf(finding->checker, sizeof finding->checker, "%s",
                           result.checker);
            memcpy(finding->broken, result.broken, sizeof finding->broken);
        }
    }
}

static bool has_ended_well(int status)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool print_finding(size_t at, uint64_t count, struct finding *finding)
{
    if (finding->is_found) {
        (void)printf("%-22s seed %4" PRIu64 "  %-15s %s\n", faults[at].name,
                     finding->seed, finding->checker, finding->broken);
    } else {
        (void)printf("%-22s NOT FOUND with %" PRIu64 " seeds\n",
                     faults[at].name, count);
    }
    return finding->is_found;
}

/* Two at a time. False: one was not found. */
static bool search_all(uint64_t count, const char *name)
{
    pid_t children[FAULT_COUNT] = {0};
    struct finding *findings =
        mmap(NULL, FAULT_COUNT * sizeof *findings, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert(findings != MAP_FAILED);
    size_t begun = 0;
    size_t running = 0;
    bool are_found = true;
    while (begun < FAULT_COUNT || running > 0) {
        if (begun < FAULT_COUNT && running < 2) {
            size_t at = begun++;
            if (name && strcmp(name, faults[at].name) != 0) {
                continue;
            }
            (void)fflush(NULL);
            children[at] = fork();
            assert(children[at] >= 0);
            if (children[at] == 0) {
                search(at, count, &findings[at]);
                _exit(0);
            }
            running++;
            continue;
        }
        int status = 0;
        pid_t child = wait(&status);
        running--;
        size_t at = 0;
        while (children[at] != child) {
            at++;
        }
        if (!has_ended_well(status) && !findings[at].is_found) {
            findings[at].is_found = true;
            (void)snprintf(findings[at].checker, sizeof findings[at].checker,
                           "assertion");
        }
        are_found = print_finding(at, count, &findings[at]) && are_found;
    }
    (void)munmap(findings, FAULT_COUNT * sizeof *findings);
    return are_found;
}
#endif

int main(int argc, char **argv)
{
#ifdef TROUPE_FAULTS
    if (argc >= 2 && argc <= 4 && strcmp(argv[1], "--faults") == 0) {
        return !search_all(argc > 2 ? strtoull(argv[2], NULL, 10) : 2000,
                           argc > 3 ? argv[3] : NULL);
    }
#endif
    (void)signal(SIGABRT, on_abort);
    if (argc == 3 && strcmp(argv[1], "--seed") == 0) {
        return run_one(strtoull(argv[2], NULL, 10));
    }
    if (argc == 4 && strcmp(argv[1], "--seeds") == 0) {
        return run_many(strtoull(argv[2], NULL, 10),
                        strtoull(argv[3], NULL, 10));
    }
    (void)fprintf(stderr,
                  "usage: cluster_sim --seed N | --seeds FIRST COUNT\n");
    return 2;
}
