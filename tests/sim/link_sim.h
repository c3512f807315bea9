/*
 * Nodes with endpoints in a virtual world, the traffic between them, and the
 * promises of a link, checked after every message:
 *
 * - Between two lives of processes what arrives on a lane is in order,
 *   without gaps and without doubles, and unaltered.
 * - What was taken for sending has arrived once, or was handed back, when
 *   faults are over; nothing is both acknowledged and lost.
 * - All nodes are linked again when faults are over.
 */

#ifndef TESTS_SIM_LINK_SIM_H
#define TESTS_SIM_LINK_SIM_H

#include <stdbool.h>
#include <stdint.h>

struct link_sim_result {
    uint64_t taken; /* messages taken for sending */
    uint64_t delivered;
    uint64_t handed_back;
    uint64_t digests; /* received from the bus */
    uint64_t faults;
    uint64_t virtual_ns;
    uint64_t sessions;
    uint64_t connections;
    uint64_t repeated; /* frames sent again */
    uint64_t rekeys;
    uint64_t digest;  /* of everything that happened, in order */
    char broken[256]; /* the promise that was broken; "": none */
};

/* Run one seed. `trace`: say what happens on stderr. */
struct link_sim_result link_sim_run(uint64_t seed, bool trace);

#endif
