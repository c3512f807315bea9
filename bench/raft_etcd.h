/*
 * etcd with three members, as a peer of the suite `raft`: its own processes
 * with its own defaults, in the same folder.
 *
 * It is loaded over gRPC, as its own client does it, by one thread of
 * troupe-bench: puts of 128 bytes to changing keys. Commands go to the leader,
 * which spares it the forwarding.
 */

#ifndef BENCH_RAFT_ETCD_H
#define BENCH_RAFT_ETCD_H

#include "base/err.h"
#include "base/histogram.h"

#include <stdint.h>

struct etcd_load {
    uint32_t outstanding;
    uint64_t warm_up_ns;
    uint64_t duration_ns;

    /* What came out. */
    double per_second;
    struct histogram latency_ns;
};

/* ERR_NOT_FOUND: it is not installed; `why` says how to get it. */
FALLIBLE etcd_measure_load(struct etcd_load *load, struct err_detail *why);

/*
 * Kill the leader so many times, under load, and take the times until a
 * command that was given after that is acknowledged by a survivor.
 */
FALLIBLE etcd_measure_failover(uint32_t failure_count,
                               struct histogram *ns,
                               struct err_detail *why);

#endif
