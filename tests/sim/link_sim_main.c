/*
 * Runs link_sim: see seeds.h.
 */

#include "config/identity.h"
#include "tests/sim/link_sim.h"
#include "tests/sim/seeds.h"

#include <string.h>

static struct seeds_result run(uint64_t seed, bool trace)
{
    struct link_sim_result from = link_sim_run(seed, trace);
    struct seeds_result result = {
        .digest = from.digest,
        .virtual_ns = from.virtual_ns,
        .operations = from.taken,
        .faults = from.faults,
        .counts = {from.delivered, from.handed_back, from.digests,
                   from.sessions, from.connections, from.repeated, from.rekeys},
    };
    memcpy(result.broken, from.broken, sizeof result.broken);
    return result;
}

int main(int argc, char **argv)
{
    static const struct seeds_simulator simulator = {
        .name = "link_sim",
        .operations = "messages taken",
        .counts = {"delivered", "handed back", "digests", "sessions",
                   "connections", "frames repeated", "keys renewed"},
        .run = run,
    };
    if (identity_library_init()) {
        return 1;
    }
    return seeds_main(&simulator, argc, argv);
}
