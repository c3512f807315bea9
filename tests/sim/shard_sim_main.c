/*
 * Runs the simulator of shards: see seeds.h.
 *
 *     shard_sim --scale NODES SHARDS [--json]    what a large cluster costs
 *     shard_sim_faults --faults [COUNT] [NAME]   see fault_search.h
 */

#include "config/identity.h"
#include "tests/sim/seeds.h"
#include "tests/sim/shard_sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef TROUPE_FAULTS
#include "tests/sim/fault_search.h"

#include <assert.h>

static const char *const faults[] = {
#define FAULT(name) [HOST_FAULT_##name] = #name
    FAULT(NONE),          FAULT(LOST_RETURNS),   FAULT(LOSS_UNHEARD),
    FAULT(DROP_MEMBER),   FAULT(KEEP_LEFT),      FAULT(FOUND_AGAIN),
    FAULT(OLDER_VIEW),    FAULT(HASTY_MOVES),    FAULT(PLACE_OTHER_MAP),
    FAULT(FORGET_PLACED), FAULT(LEAVE_AT_ONCE),  FAULT(REPEAT_UNSAFE),
    FAULT(ANSWER_TWICE),  FAULT(FORGET_REQUEST), FAULT(SILENT_MINORITY),
    FAULT(RECOVER_TWICE), FAULT(ALL_TAKE_OVER),
#undef FAULT
};
static_assert(sizeof faults / sizeof faults[0] == (size_t)HOST_FAULT_COUNT,
              "a fault is not in the table");

static const char *const task_faults[] = {
#define FAULT(name) [TASK_FAULT_##name] = "TASK_" #name
    FAULT(NONE),         FAULT(LATE_RESULT), FAULT(FORGET_SUSPECTS),
    FAULT(FORGET_THIEF), FAULT(NO_ORDER),    FAULT(NO_AFTER),
    FAULT(SUBMIT_AGAIN), FAULT(KEY_AGAIN),   FAULT(LOSE_ENDS),
    FAULT(FIRE_AGAIN),   FAULT(LOSE_PASSED),
#undef FAULT
};
static_assert(sizeof task_faults / sizeof task_faults[0] ==
                  (size_t)TASK_FAULT_COUNT,
              "a fault is not in the table");

/* Of both, without the first ones, which are none. */
#define HOST_FAULTS ((size_t)HOST_FAULT_COUNT - 1)
#define TASK_FAULTS ((size_t)TASK_FAULT_COUNT - 1)

static const char *fault_name(size_t fault)
{
    return fault < HOST_FAULTS ? faults[fault + 1]
                               : task_faults[fault - HOST_FAULTS + 1];
}

/* It takes a proposal that fails, of a leader that leads to the end. */
static uint64_t first_seed(size_t fault)
{
    if (fault + 1 == HOST_FAULTS + TASK_FAULT_LOSE_ENDS) {
        return 34;
    }
    /* The first that has schedules. */
    return fault + 1 >= HOST_FAULTS + TASK_FAULT_FIRE_AGAIN ? 1 : 0;
}

static struct fault_result run_fault(size_t fault, uint64_t seed)
{
    struct shard_sim_config config = {.seed = seed};
    if (fault < HOST_FAULTS) {
        config.fault = (enum host_fault)(fault + 1);
    } else if (fault < HOST_FAULTS + TASK_FAULTS) {
        config.task_fault = (enum task_fault)(fault - HOST_FAULTS + 1);
    }
    struct shard_sim_result from = shard_sim_run(&config);
    struct fault_result result = {.checker = from.checker};
    memcpy(result.broken, from.broken, sizeof result.broken);
    return result;
}
#endif

static struct seeds_result run(uint64_t seed, bool trace)
{
    struct shard_sim_result from =
        shard_sim_run(&(struct shard_sim_config){.seed = seed, .trace = trace});
    struct seeds_result result = {
        .digest = from.digest,
        .virtual_ns = from.virtual_ns,
        .operations = from.requests,
        .faults = from.faults,
        .counts = {from.answered, from.uncertain, from.refused, from.moves,
                   from.views, from.joins, from.forgotten, from.restarts,
                   from.leaves, from.lost, from.snapshots, from.restored,
                   from.tasks, from.attempts, from.tasks_ended, from.fired,
                   from.passed},
    };
    memcpy(result.broken, from.broken, sizeof result.broken);
    return result;
}

static int run_scale(int argc, char **argv)
{
    struct shard_scale scale = {
        .node_count = (uint32_t)strtoul(argv[2], NULL, 10),
        .shard_count = (uint32_t)strtoul(argv[3], NULL, 10),
        .as_json = argc == 5,
    };
    if (scale.node_count < 4 || scale.node_count >= 256 ||
        scale.shard_count < 1 || scale.shard_count > 4096) {
        (void)fprintf(stderr, "shard_sim: 4 to 255 nodes, 1 to 4096 shards\n");
        return 2;
    }
    return !shard_sim_scale(&scale);
}

int main(int argc, char **argv)
{
    static const struct seeds_simulator simulator = {
        .name = "shard_sim",
        .operations = "requests",
        .counts = {"answered", "uncertain", "refused", "places changed",
                   "views", "joins", "forgotten", "restarts", "leaves",
                   "disks damaged", "snapshots", "shards restored", "tasks",
                   "attempts", "tasks ended", "occurrences", "passed over"},
        .run = run,
    };
    if (identity_library_init()) {
        return 1;
    }
    if ((argc == 4 || (argc == 5 && strcmp(argv[4], "--json") == 0)) &&
        strcmp(argv[1], "--scale") == 0) {
        return run_scale(argc, argv);
    }
#ifdef TROUPE_FAULTS
    static const struct fault_search search = {.fault_count =
                                                   HOST_FAULTS + TASK_FAULTS,
                                               .name = fault_name,
                                               .run = run_fault,
                                               .first_seed = first_seed,
                                               .seed_count = 300};
    if (fault_search_is_wanted(argc, argv)) {
        return fault_search_main(&search, argc, argv);
    }
#endif
    return seeds_main(&simulator, argc, argv);
}
