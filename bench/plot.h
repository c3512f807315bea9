/*
 * Results as an SVG picture: one panel of bars for each unit.
 */

#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include "base/err.h"
#include "bench/harness.h"

/*
 * Whether plot_write() will be able to open `path`; what is there stays as it
 * is, and nothing is left that was not there. ERR_IO
 */
FALLIBLE plot_check(const char *path);

/* ERR_IO, ERR_MEMORY. Nothing is left at `path` on failure. */
FALLIBLE plot_write(const struct bench_results *results, const char *path);

#endif
