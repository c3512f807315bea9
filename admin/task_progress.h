/*
 * How far many tasks are, on a terminal: one line that is written over.
 *
 * One thread.
 */

#ifndef ADMIN_TASK_PROGRESS_H
#define ADMIN_TASK_PROGRESS_H

#include "admin/task_job.h"

struct task_progress {
    const struct command *command;
    bool is_shown; /* standard error is a terminal */

    /* Its own. */
    uint64_t begun_ns; /* 0: not yet */
    uint64_t shown_ns;
    bool stands; /* the line is on the terminal */
    struct task_said said;
};

struct task_progress task_progress_of(const struct command *command);

/* What the last one that is left says of itself: shown with the rest. */
void task_progress_hear(struct task_progress *progress,
                        const struct task_said *said);

/* A few times a second. `is_all`: no more will be submitted. */
void task_progress_show(struct task_progress *progress,
                        const struct task_job_sum *sum,
                        bool is_all);

/* Take the line away: something else is to be written. */
void task_progress_wipe(struct task_progress *progress);

#endif
