/*
 * The operator of a cluster under measurement: a process that asks it what
 * docs/control.md has, one question after the other.
 *
 * The parent asks through shared memory and reads the answers itself.
 */

#ifndef BENCH_CLUSTER_STEER_H
#define BENCH_CLUSTER_STEER_H

#include "base/bytes.h"
#include "base/err.h"
#include "bench/cluster_load.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CLUSTER_STEER_ARGS 2
#define CLUSTER_STEER_ANSWER_BYTES (512u << 10)

struct cluster_steer_arg {
    const char *key;  /* static; NULL: there is none */
    const char *text; /* static; NULL: it is the number */
    uint64_t number;
};

struct cluster_steer_question {
    const char *verb; /* static */
    struct cluster_steer_arg args[CLUSTER_STEER_ARGS];
};

struct cluster_steer {
    _Atomic uint64_t asked;    /* questions; of the parent */
    _Atomic uint64_t answered; /* of the operator */
    struct cluster_steer_question question;
    enum err err;
    struct err_detail why;
    size_t answer_length;
    uint8_t answer[CLUSTER_STEER_ANSWER_BYTES];
};

struct cluster_steer_start {
    struct cluster_steer *steer;
    char folder[CLUSTER_PATH_BYTES]; /* of its keys and cluster.yaml */
};

/* For process_start(): a struct cluster_steer_start. Returns on failure only.
 */
enum err cluster_steer_run(void *start);

/*
 * Ask, in the parent, and wait. `answer`, a map, is valid until the next
 * question; may be NULL.
 *
 * what client_ask() says; `why` is what the cluster says about it
 */
FALLIBLE cluster_steer_ask(struct cluster_steer *steer,
                           const struct cluster_steer_question *question,
                           struct reader *answer,
                           struct err_detail *why);

/* The reader of the value of `key` in the map that `map` stands at; it has
 * failed when there is none. `map` itself stays where it is. */
struct reader cluster_steer_find(const struct reader *map, const char *key);

#endif
