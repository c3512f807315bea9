/*
 * Clients of a lab's cluster that add to counters, each linked with a node of
 * its own, and check every answer: an add counts once, and what was answered
 * stays.
 *
 * Each client has counters on every shard that nobody else adds to, and adds 1
 * to one after the other; each add has an idempotency key and is asked again,
 * of any node, until it is answered. The answer must be the number of adds.
 */

#ifndef TESTS_PROCESS_CLUSTER_LOAD_H
#define TESTS_PROCESS_CLUSTER_LOAD_H

#include "base/histogram.h"
#include "tests/process/cluster_lab.h"

struct cluster_load;

/* One client for each of the lab's founding nodes: they begin at once. Once in
 * a lab: counters begin with 0. */
struct cluster_load *cluster_load_open(struct cluster_lab *lab);

/* Ends them, and then reads all counters: each holds what was added. */
void cluster_load_check(struct cluster_load *load);

/* Ends them. Accepts NULL. */
void cluster_load_close(struct cluster_load **load);

/* Wait until each client was answered so many times more. */
void cluster_load_await(struct cluster_load *load, uint64_t count);

/* The longest that an add has waited for its answer, since this was last
 * asked. */
uint64_t cluster_load_worst_ms(struct cluster_load *load);

/* How many attempts have ended so, over all clients. */
uint64_t cluster_load_count(const struct cluster_load *load, enum err err);

/* End the clients; then say how long adds took, and how attempts ended. */
void cluster_load_end(struct cluster_load *load);
void cluster_load_print(const struct cluster_load *load, const char *what);

#endif
