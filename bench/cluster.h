/*
 * The suite `cluster`: whole nodes, requests through the router, shards that
 * change hands, nodes that join, leave, die and come back.
 */

#ifndef BENCH_CLUSTER_H
#define BENCH_CLUSTER_H

#include "bench/harness.h"

extern const struct bench_suite cluster_suite;

#endif
