/*
 * What a queued task costs, in memory and to give out, in the core alone: no
 * links, no disk, no threads.
 *
 * Used by the one thread of troupe-bench.
 */

#ifndef BENCH_TASK_CORE_H
#define BENCH_TASK_CORE_H

#include "base/err.h"

#include <stdint.h>

struct task_core {
    uint64_t queued; /* durable tasks that wait, in one shard */
    uint32_t workers;

    /* What came out. */
    double bytes;     /* resident, for each task that waits */
    double submit_ns; /* CPU, for each of them */
    double cycle_ns;  /* CPU of one submission, assignment, result and
                         acknowledgement while they wait */
};

/* In a process of its own. ERR_MEMORY, ERR_TIMEOUT, ERR_CLOSED */
FALLIBLE task_core_measure(struct task_core *core);

#endif
