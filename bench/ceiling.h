/*
 * How fast two CPUs can seal and open at the same time, with nothing between
 * them: no link that seals everything can be faster.
 */

#ifndef BENCH_CEILING_H
#define BENCH_CEILING_H

#include "base/err.h"

#include <stdint.h>

struct ceiling {
    double seal_mb_per_s; /* 10^6 bytes of plain text */
    double open_mb_per_s;
};

/* One process seals, another opens, 64 KiB at a time, for `duration_ns`. */
FALLIBLE ceiling_measure(struct ceiling *out, uint64_t duration_ns);

#endif
