/*
 * A virtual world: time, a network and machines, all decided by one seed.
 *
 * Everything runs in one thread. A machine is a place with its own clock,
 * reactors and sockets; the world turns its reactors whenever something has
 * come for them or a timer is due, in an order that the seed decides.
 * Connections are like TCP: in order, and either delivered or lost with
 * everything behind it. A fault is a call to one of the functions below.
 */

#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "base/env.h"
#include "base/network.h"
#include "base/reactor.h"
#include "tests/support/seeded.h"

#include <stdbool.h>
#include <stdint.h>

#define WORLD_MACHINE_COUNT_MAX 256
#define WORLD_REACTOR_COUNT_MAX 4 /* of one machine */

struct world;

struct world_config {
    uint64_t seed;
    uint32_t machine_count;
    uint32_t latency_us_min;
    uint32_t latency_us_max;
};

struct world *world_open(const struct world_config *config);

/* All machines must be off. */
void world_close(struct world **world);

struct seeded *world_random(struct world *world);
uint64_t world_now_ns(const struct world *world);

/* Handle what is due until `end_ns`. */
void world_run_until(struct world *world, uint64_t end_ns);

/* Call `run(context)` at that time. */
void world_at(struct world *world,
              uint64_t at_ns,
              void (*run)(void *context),
              void *context);

/* Call `watch` after each turn of a machine's reactors. */
void world_watch(struct world *world,
                 void (*watch)(void *context, uint32_t machine),
                 void *context);

/* ---- what a machine offers to the program on it ---- */

const struct clock *world_clock(struct world *world, uint32_t machine);
const struct entropy *world_entropy(struct world *world, uint32_t machine);
const struct network *world_network(struct world *world, uint32_t machine);

/* A reactor that the world turns while the machine is on. */
struct reactor *world_reactor_open(struct world *world, uint32_t machine);

/* Something was done to the machine from outside: turn its reactors. */
void world_poke(struct world *world, uint32_t machine);

/* ---- faults and their ends ---- */

/*
 * Cut off: what it sends from now on is lost, connections end. Its program
 * can then be closed; world_power_off() forgets its reactors.
 */
void world_crash(struct world *world, uint32_t machine);
void world_power_off(struct world *world, uint32_t machine);
void world_power_on(struct world *world, uint32_t machine);
bool world_is_on(const struct world *world, uint32_t machine);

/* SIGSTOP and SIGCONT. */
void world_pause(struct world *world, uint32_t machine, bool is_paused);
bool world_is_paused(const struct world *world, uint32_t machine);

struct world_pair {
    uint32_t from;
    uint32_t to;
};

/* Nothing passes from one to the other; nobody is told. */
void world_block(struct world *world, struct world_pair pair, bool is_blocked);
void world_unblock_all(struct world *world);

/* End a connection between the two, if there is one. */
void world_cut(struct world *world, struct world_pair pair);

/* What passes takes longer by so much. */
void world_delay(struct world *world, struct world_pair pair, uint64_t ns);

/* Where all wall clocks begin. */
#define WORLD_WALL_START_MS INT64_C(1750000000000)

/* Move a machine's wall clock. */
void world_skew(struct world *world, uint32_t machine, int64_t ms);

/* From now on both of its clocks are faster by that many millionths. */
void world_drift(struct world *world, uint32_t machine, int32_t ppm);

#endif
