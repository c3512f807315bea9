/*
 * The suite `raft`: commands that a cluster of real processes commits, what
 * it costs when it is idle, and how long a failure lasts.
 *
 * What each figure means: docs/benchmarks.md.
 */

#ifndef BENCH_RAFT_H
#define BENCH_RAFT_H

#include "bench/harness.h"
#include "bench/raft_cluster.h"

extern const struct bench_suite raft_suite;

/* Commands per second that such a cluster commits, and how long one takes, p50
 * and p99, in us. What raft_cluster_open() says */
FALLIBLE raft_measure_commit(const struct raft_cluster_job *job,
                             const struct bench_options *options,
                             double values[static 3],
                             struct err_detail *why);

#endif
