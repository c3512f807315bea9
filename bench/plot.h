/*
 * Results as an SVG picture: one panel of bars for each unit.
 */

#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include "base/err.h"
#include "bench/harness.h"

/* ERR_IO, ERR_MEMORY. Nothing is left at `path` on failure. */
FALLIBLE plot_write(const struct bench_results *results, const char *path);

#endif
