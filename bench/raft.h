/*
 * The suite `raft`: commands that a cluster of real processes commits, what
 * it costs when it is idle, and how long a failure lasts.
 *
 * What each figure means: docs/benchmarks.md.
 */

#ifndef BENCH_RAFT_H
#define BENCH_RAFT_H

#include "bench/harness.h"

extern const struct bench_suite raft_suite;

#endif
