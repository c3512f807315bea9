/*
 * A slow cable between a machine of a test and the bridge: whatever goes by,
 * frame by frame, is late by so much, in order, each way on its own. (This
 * kernel has no netem.)
 *
 * A thread of its own. What cannot be done ends the process.
 */

#ifndef TESTS_PROCESS_CLUSTER_DELAY_H
#define TESTS_PROCESS_CLUSTER_DELAY_H

#include "tests/process/cluster_network.h"

struct cluster_delay;

/* Each frame is late by something between these. */
struct cluster_delay_range {
    uint32_t ms_min;
    uint32_t ms_max;
};

struct cluster_delay_config {
    const struct cluster_network *network;
    uint32_t machine;
    struct cluster_delay_range to;   /* the machine */
    struct cluster_delay_range from; /* it */
    uint64_t seed;                   /* of what is in between */
};

/* Put into the cable, which is interrupted for a moment; and taken out. */
struct cluster_delay *cluster_delay_open(
    const struct cluster_delay_config *config);
void cluster_delay_close(struct cluster_delay **delay);

#endif
