/*
 * The suite `task`: tasks that are submitted, run by workers and recorded, and
 * peers that do the same.
 */

#ifndef BENCH_TASK_H
#define BENCH_TASK_H

#include "bench/harness.h"

extern const struct bench_suite task_suite;

#endif
