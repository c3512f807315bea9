/*
 * The suite `link`: two processes, one connection over loopback TCP.
 *
 * What each figure means: docs/benchmarks.md.
 */

#ifndef BENCH_LINK_H
#define BENCH_LINK_H

#include "bench/harness.h"

extern const struct bench_suite link_suite;

#endif
