/*
 * The suite `log`: the durable log's group commit beside the bare system
 * calls, and how long it takes to open it again.
 *
 * What each figure means: docs/benchmarks.md.
 */

#ifndef BENCH_LOG_H
#define BENCH_LOG_H

#include "bench/harness.h"

extern const struct bench_suite log_suite;

#endif
