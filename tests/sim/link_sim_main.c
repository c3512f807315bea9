/*
 * Runs link_sim over many seeds, or one with a trace:
 *
 *     link_sim [--seeds FIRST COUNT] [--seed N]
 */

#include "config/identity.h"
#include "tests/sim/link_sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int run_one(uint64_t seed)
{
    struct link_sim_result result = link_sim_run(seed, true);
    (void)printf("seed %" PRIu64 ": %s\n", seed,
                 result.broken[0] ? result.broken : "all promises kept");
    return result.broken[0] != '\0';
}

/* A seed decides everything: twice the same must happen. */
static bool is_replayed(uint64_t seed, const struct link_sim_result *result)
{
    return seed % 50 != 0 || link_sim_run(seed, false).digest == result->digest;
}

/* Every seed must really have been a trial. */
static bool is_too_easy(const struct link_sim_result *result)
{
    return result->faults < 10 || result->taken < 500 ||
           result->virtual_ns < 30000000000u;
}

static int run_many(uint64_t first, uint64_t count)
{
    struct link_sim_result sum = {0};
    uint64_t broken_count = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct link_sim_result result = link_sim_run(seed, false);
        const char *broken = result.broken;
        if (!broken[0] && is_too_easy(&result)) {
            broken = "too easy";
        }
        if (!broken[0] && !is_replayed(seed, &result)) {
            broken = "does not replay";
        }
        if (broken[0]) {
            (void)printf("seed %" PRIu64 ": %s (%" PRIu64 " messages, %" PRIu64
                         " faults); replay: link_sim --seed %" PRIu64 "\n",
                         seed, broken, result.taken, result.faults, seed);
            broken_count++;
        }
        sum.taken += result.taken;
        sum.delivered += result.delivered;
        sum.handed_back += result.handed_back;
        sum.digests += result.digests;
        sum.faults += result.faults;
        sum.sessions += result.sessions;
        sum.connections += result.connections;
        sum.repeated += result.repeated;
        sum.rekeys += result.rekeys;
    }
    (void)printf("%" PRIu64 " seeds, %" PRIu64 " broken: %" PRIu64
                 " messages taken, %" PRIu64 " delivered, %" PRIu64
                 " handed back, %" PRIu64 " digests, %" PRIu64
                 " faults, %" PRIu64 " sessions, %" PRIu64
                 " connections, %" PRIu64 " frames repeated, %" PRIu64
                 " keys renewed\n",
                 count, broken_count, sum.taken, sum.delivered, sum.handed_back,
                 sum.digests, sum.faults, sum.sessions, sum.connections,
                 sum.repeated, sum.rekeys);
    return broken_count > 0;
}

int main(int argc, char **argv)
{
    if (identity_library_init()) {
        return 1;
    }
    if (argc == 3 && strcmp(argv[1], "--seed") == 0) {
        return run_one(strtoull(argv[2], NULL, 10));
    }
    if (argc == 4 && strcmp(argv[1], "--seeds") == 0) {
        return run_many(strtoull(argv[2], NULL, 10),
                        strtoull(argv[3], NULL, 10));
    }
    (void)fprintf(stderr, "usage: link_sim --seed N | --seeds FIRST COUNT\n");
    return 2;
}
