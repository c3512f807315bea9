/*
 * A thread that blocks, in a virtual world: base/executor.h.
 *
 * A job's work is done at once, but only when as much time has passed as the
 * seed says that it takes; then its `done` is posted. A machine that stands
 * still does no work.
 */

#ifndef TESTS_SIM_SIM_EXECUTOR_H
#define TESTS_SIM_SIM_EXECUTOR_H

#include "base/executor.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/world.h"

#include <stdbool.h>
#include <stdint.h>

struct sim_executor;

/* What a job usually takes; one in 32 ten times, one in 512 a hundred times as
 * long. */
struct sim_executor_config {
    struct world *world;
    uint32_t machine;
    uint32_t job_us_min;
    uint32_t job_us_max;
    struct sim_disk *disk; /* that the jobs write to; NULL: none */
};

struct sim_executor *sim_executor_open(
    const struct sim_executor_config *config);

/* After world_close(), which may still have happenings for it. */
void sim_executor_close(struct sim_executor **executor);

const struct executor *sim_executor_table(const struct sim_executor *executor);

/* Each job takes so much longer. */
void sim_executor_delay(struct sim_executor *executor, uint64_t ns);

/* While it is held nothing happens: a sync that hangs. What is held when the
 * machine dies has not happened. */
void sim_executor_hold(struct sim_executor *executor, bool is_held);

/*
 * The machine or its program dies: all jobs are dropped, and none is told. One
 * that was under way may happen, wholly or, on a disk whose power is about to
 * be cut, in part.
 */
void sim_executor_crash(struct sim_executor *executor);

bool sim_executor_is_idle(const struct sim_executor *executor);

#endif
