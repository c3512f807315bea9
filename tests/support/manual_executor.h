/*
 * An executor whose jobs run when the test says so, on the test's thread.
 *
 * Zeroed it has no jobs.
 */

#ifndef TESTS_SUPPORT_MANUAL_EXECUTOR_H
#define TESTS_SUPPORT_MANUAL_EXECUTOR_H

#include "base/executor.h"

#include <stdbool.h>
#include <stddef.h>

#define MANUAL_EXECUTOR_JOB_COUNT_MAX 16

struct manual_executor {
    struct job *jobs[MANUAL_EXECUTOR_JOB_COUNT_MAX];
    size_t count;
};

struct executor manual_executor_table(struct manual_executor *executor);

/* Do the oldest job's work, and post its end to its home. False: there is no
 * job. */
bool manual_executor_step(struct manual_executor *executor);

/* Forget all jobs, as a crash does. */
void manual_executor_drop(struct manual_executor *executor);

#endif
