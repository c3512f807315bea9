/*
 * The clients of a cluster under measurement: a process without a door that
 * links with all nodes and adds to counters, each add with an idempotency key.
 *
 * As a client's library does, it asks another node when one is gone or says
 * that it cannot, until the time of the request is over; only then the request
 * has failed. What was acknowledged it counts for each key, so that the values
 * can be checked afterwards.
 *
 * Parent and load talk through shared memory.
 */

#ifndef BENCH_CLUSTER_LOAD_H
#define BENCH_CLUSTER_LOAD_H

#include "base/err.h"
#include "base/histogram.h"
#include "base/time_units.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CLUSTER_NODES_MAX 5
#define CLUSTER_SHARDS 128
#define CLUSTER_KEYS 10000
#define CLUSTER_NOBODY UINT32_MAX
#define CLUSTER_PATH_BYTES 256
#define CLUSTER_CLIENT "load" /* its certificate's name, and its folder's */

/* Which node is asked. */
enum cluster_load_aim {
    CLUSTER_ASK_ANY,    /* in turns */
    CLUSTER_ASK_LEADER, /* of the key's shard */
    CLUSTER_ASK_OTHER,  /* that does not lead it */
};

enum cluster_load_phase {
    CLUSTER_LOAD_REST, /* nothing new */
    CLUSTER_LOAD_CLOSED,
    CLUSTER_LOAD_OPEN,
    CLUSTER_LOAD_CHECK, /* read all keys, once */
};

struct cluster_shard_tally {
    _Atomic uint64_t last_ns;  /* when an answer came last */
    _Atomic uint64_t gap_ns;   /* the longest between two, in this round */
    _Atomic uint64_t round;    /* in which `first_ns` was taken */
    _Atomic uint64_t first_ns; /* the first answer to what began in it */
    _Atomic uint32_t leader;   /* of the parent: CLUSTER_NOBODY, not known */
};

struct cluster_load {
    /* The parent's. */
    _Atomic enum cluster_load_phase phase;
    _Atomic enum cluster_load_aim aim;
    _Atomic uint32_t outstanding; /* CLOSED */
    _Atomic uint32_t rate;        /* OPEN: requests per second */
    _Atomic uint32_t focus; /* half of all go to this shard; CLUSTER_NOBODY */
    _Atomic uint32_t probed_node; /* asked whether it leads `focus` */
    _Atomic bool is_recording;    /* latencies; what was before is forgotten */
    _Atomic uint64_t round;
    _Atomic uint64_t round_ns; /* when it began */

    /* The load's. */
    _Atomic uint64_t look_count; /* orders were looked at so often */
    _Atomic uint32_t link_count; /* nodes that it is linked with */
    _Atomic uint32_t under_way;
    _Atomic uint64_t acked;
    _Atomic uint64_t failed;
    _Atomic uint64_t repeated; /* asked once more */
    _Atomic bool has_probed;   /* `probed_node` leads and serves */
    _Atomic uint32_t checked;  /* keys, in this CHECK */
    _Atomic uint32_t wrong;    /* of them */
    struct cluster_shard_tally shards[CLUSTER_SHARDS];
    struct histogram latency_ns; /* from when a request was due */
    struct err_detail why;       /* the first that failed, or was wrong */
};

struct cluster_load_start {
    struct cluster_load *load;
    char folder[CLUSTER_PATH_BYTES]; /* of its keys and cluster.yaml */
};

/* For process_start(): a struct cluster_load_start. Returns on failure only. */
enum err cluster_load_run(void *start);

#endif
