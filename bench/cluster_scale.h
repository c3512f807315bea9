/*
 * A cluster of 100 nodes and 1,024 shards, simulated: what its own program,
 * beside this one, finds out in virtual time (tests/sim/shard_scale.c).
 */

#ifndef BENCH_CLUSTER_SCALE_H
#define BENCH_CLUSTER_SCALE_H

#include "bench/harness.h"

/* ERR_NOT_FOUND   that program is not there; or it shall be quick, and this
 *                 takes minutes */
enum err cluster_scale_measure(const struct bench_experiment *experiment,
                               const struct bench_options *options,
                               const char *peer,
                               double *values,
                               struct err_detail *why);

#endif
