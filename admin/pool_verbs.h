/*
 * What the files of `troupe pool` share.
 */

#ifndef ADMIN_POOL_VERBS_H
#define ADMIN_POOL_VERBS_H

#include "admin/reading.h"

/* pool_look.c */
enum exit_code pool_ls_run(const struct command *command);
enum exit_code pool_show_run(const struct command *command);
enum exit_code pool_workers_run(const struct command *command);
enum exit_code pool_steal_stats_run(const struct command *command);

/*
 * What all nodes say of their pools: {"pools": [{name, handler, workers,
 * durable, paused, nodes, and the sums of `here`}], "nodes": [what each has
 * said], "away"}. What is wrong is said.
 */
enum exit_code pool_ls_fetch(const struct command *command,
                             struct remote *remote,
                             json_t **answer);

/* Of a list of things with names; NULL: none has that one. */
json_t *pool_find_named(json_t *list, const char *name);

/* pool_schedule.c */

/* What has counted since it was defined goes on to do so: `since_ms` of the
 * schedules that are due as they were `before` (NULL: there was no such pool).
 */
void pool_schedules_keep(json_t *definition, const json_t *before);

/* Say which schedules differ, and when those are due next; how many. */
size_t pool_schedules_say(const struct command *command,
                          const json_t *before,
                          const json_t *after);

/* What pool.schedules says, added to the answer about a pool that has some.
 * When nobody leads them, that is said, and nothing is added. */
void pool_schedules_fetch(struct remote *remote,
                          const char *name,
                          json_t *answer);
enum exit_code pool_schedules_print(const struct command *command,
                                    const json_t *answer);

/* pool_change.c */
enum exit_code pool_apply_run(const struct command *command);
enum exit_code pool_scale_run(const struct command *command);
enum exit_code pool_pause_run(const struct command *command);
enum exit_code pool_resume_run(const struct command *command);
enum exit_code pool_remove_run(const struct command *command);

#endif
