/*
 * What the files of `troupe task` share.
 */

#ifndef ADMIN_TASK_VERBS_H
#define ADMIN_TASK_VERBS_H

#include "admin/reading.h"
#include "admin/task_job.h"
#include "shard/task_book.h"

/* task_submit.c */
enum exit_code task_submit_run(const struct command *command);
extern const struct command_flag task_submit_flags[];

/* task_list.c */
enum exit_code task_ls_run(const struct command *command);
extern const struct command_flag task_ls_flags[];

struct task_filter {
    const char *pool;  /* NULL: of all */
    const char *state; /* NULL: any */
    int64_t since_ms;  /* accepted not before */
    int64_t until_ms;  /* of those whose at_ms is not later; 0: all */
};

/* The tasks of all nodes that a filter lets through, some at a time, in no
 * order: a list, borrowed, which may be empty. What `take` returns otherwise
 * than EXIT_CODE_OK, having said why, is the end. It may narrow the filter. */
struct task_parts {
    struct task_filter filter;
    enum exit_code (*take)(void *context, const json_t *tasks);
    void *context;
    enum exit_code taken; /* what it has said; at first EXIT_CODE_OK */
};
enum exit_code task_parts_read(struct remote *remote,
                               struct task_parts *parts,
                               json_t **away);

/* The newest of them, as many as --limit says, for reading_run(). */
enum exit_code task_list_fetch(const struct command *command,
                               struct remote *remote,
                               const struct task_filter *filter,
                               json_t **answer);
enum exit_code task_list_print(const struct command *command,
                               const json_t *answer);

/* task_look.c */
enum exit_code task_show_run(const struct command *command);
enum exit_code task_why_run(const struct command *command);
/* Ask for the task that is the operand, and go on as `reading` says. */
enum exit_code task_look_at(const struct command *command,
                            const struct reading *reading);
/* What came as bytes becomes what it means: JSON, or a text. */
enum exit_code task_show_narrow(const struct command *command, json_t *answer);

/* task_logs.c */
enum exit_code task_logs_run(const struct command *command);
extern const struct command_flag task_logs_flags[];

/* task_change.c */
enum exit_code task_cancel_run(const struct command *command);
enum exit_code task_retry_run(const struct command *command);

/* Change tasks by their ids, in as many questions as it takes, and add how many
 * were changed to `*changed`. What goes wrong is said. */
enum exit_code task_change(struct task_talk *talk,
                           enum book_request_kind kind,
                           const uint64_t *ids,
                           uint64_t count,
                           uint64_t *changed);

/* A number of what is counted on the command line. */
enum exit_code task_take_number(uint64_t *out,
                                const struct command *command,
                                const char *flag,
                                uint64_t min,
                                uint64_t max);
enum exit_code task_take_id(uint64_t *out,
                            const struct command *command,
                            const char *text);

#endif
