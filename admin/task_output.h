/*
 * What became of tasks, for people and programs.
 *
 * What comes from tasks may be anything: as JSON it is UTF-8, or hexadecimal
 * under another name; raw it is written as it is.
 */

#ifndef ADMIN_TASK_OUTPUT_H
#define ADMIN_TASK_OUTPUT_H

#include "admin/task_job.h"

#include <jansson.h>

/* The result of a command (handler exec). */
struct task_command_result {
    bool has_exit;
    int64_t exit;
    char signal[32];  /* "": none has ended it */
    struct bytes out; /* borrowed, from the output */
    struct bytes err;
    uint64_t cut_bytes; /* that it wrote and that were not kept */
};

/* False: it is none. */
bool task_command_result_read(struct task_command_result *result,
                              struct bytes output);

/* What was submitted: JSON if it is MessagePack, else a text; NULL: neither, or
 * no memory. */
json_t *task_payload_value(struct bytes payload);
/* What a function wrote: so, too; but a character alone is a text. */
json_t *task_output_value(struct bytes output);

struct task_output {
    const struct command *command;
    const char *what; /* a task is by its number: "line", "item" */
    bool is_command;  /* the pool's handler is exec */
    bool is_raw;
};

/* To standard output: JSON, or what the task wrote; raw, what a command wrote
 * to standard error goes there, and so does why it failed. */
void task_output_result(const struct task_output *output,
                        const struct task_job_result *result);

/* Why a task failed, or was not accepted; "" when it is done. */
void task_output_why(char *to,
                     size_t capacity,
                     const struct task_job_result *result);

#endif
