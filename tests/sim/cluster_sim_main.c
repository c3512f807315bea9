/*
 * Runs the cluster simulator: see seeds.h.
 *
 * Built with deliberate faults, it shows for each one the seed that finds it:
 *
 *     cluster_sim_faults --faults [COUNT] [NAME]
 */

#include "tests/sim/cluster_sim.h"
#include "tests/sim/seeds.h"

#include <string.h>

#ifdef TROUPE_FAULTS
#include "tests/sim/fault_search.h"

#include <assert.h>
#endif

static struct seeds_result run(uint64_t seed, bool trace)
{
    struct cluster_sim_result from = cluster_sim_run(
        &(struct cluster_sim_config){.seed = seed, .trace = trace});
    struct seeds_result result = {
        .digest = from.digest,
        .virtual_ns = from.virtual_ns,
        .operations = from.operations,
        .faults = from.faults,
        .counts = {from.unknown, from.messages, from.entries, from.leaders,
                   from.starts, from.lost, from.members, from.snapshots},
    };
    memcpy(result.broken, from.broken, sizeof result.broken);
    return result;
}

#ifdef TROUPE_FAULTS
#define RARE_FAULT(kind, KIND, name, seed)      \
    {                                           \
#name, seed,                            \
        {                                       \
            .kind##_fault = KIND##_FAULT_##name \
        }                                       \
    }
#define FAULT(kind, KIND, name) RARE_FAULT(kind, KIND, name, 0)

static const struct {
    const char *name;
    uint64_t first_seed;
    struct cluster_sim_config config;
} faults[] = {
    RARE_FAULT(raft, RAFT, COMMIT_OLDER_TERM, 1839),
    FAULT(raft, RAFT, FORGET_VOTE),
    FAULT(raft, RAFT, ACK_BEFORE_SYNC),
    FAULT(raft, RAFT, COUNT_BEFORE_SYNC),
    FAULT(raft, RAFT, VOTE_BEFORE_SYNC),
    FAULT(raft, RAFT, KEEP_CONFIGURATION),
    FAULT(raft, RAFT, READ_WITHOUT_ASKING),
    FAULT(raft, RAFT, READ_BEFORE_NOTHING),
    FAULT(raft, RAFT, ACK_OLD_LAST),
    RARE_FAULT(raft, RAFT, VOTE_TWICE, 231),
    FAULT(raft, RAFT, STALE_LOG_ELECTED),
    FAULT(raft, RAFT, CHANGE_TWICE),
    FAULT(group, GROUP, ANSWER_BEFORE_COMMIT),
    FAULT(group, GROUP, KEEP_SPECULATION),
    FAULT(group, GROUP, REFUSE_UNCERTAIN),
    RARE_FAULT(group, GROUP, ANSWER_WITHOUT_ASKING, 183),
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

static const char *fault_name(size_t fault)
{
    return faults[fault].name;
}

static uint64_t first_seed(size_t fault)
{
    return faults[fault].first_seed;
}

static struct fault_result run_fault(size_t fault, uint64_t seed)
{
    struct cluster_sim_config config = {0};
    if (fault < FAULT_COUNT) {
        config = faults[fault].config;
    }
    config.seed = seed;
    struct cluster_sim_result from = cluster_sim_run(&config);
    struct fault_result result = {.checker = from.checker};
    memcpy(result.broken, from.broken, sizeof result.broken);
    return result;
}
#endif

int main(int argc, char **argv)
{
#ifdef TROUPE_FAULTS
    static const struct fault_search search = {.fault_count = FAULT_COUNT,
                                               .name = fault_name,
                                               .run = run_fault,
                                               .first_seed = first_seed,
                                               .seed_count = 2000};
    if (fault_search_is_wanted(argc, argv)) {
        return fault_search_main(&search, argc, argv);
    }
#endif
    static const struct seeds_simulator simulator = {
        .name = "cluster_sim",
        .operations = "operations",
        .counts = {"of unknown outcome", "messages", "entries", "leaders",
                   "starts", "replicas lost", "changes of members",
                   "snapshots installed"},
        .run = run,
    };
    return seeds_main(&simulator, argc, argv);
}
