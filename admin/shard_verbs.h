/*
 * The verbs of `troupe shard`, for its table.
 */

#ifndef ADMIN_SHARD_VERBS_H
#define ADMIN_SHARD_VERBS_H

#include "admin/command.h"
#include "base/bytes.h"

#include <jansson.h>

enum exit_code shard_map_run(const struct command *command);
enum exit_code shard_show_run(const struct command *command);
enum exit_code shard_locate_run(const struct command *command);
enum exit_code shard_plan_run(const struct command *command);
enum exit_code shard_move_run(const struct command *command);
enum exit_code shard_rebalance_run(const struct command *command);
enum exit_code shard_cancel_run(const struct command *command);
enum exit_code shard_history_run(const struct command *command);
enum exit_code shard_hot_run(const struct command *command);
enum exit_code shard_pause_run(const struct command *command);
enum exit_code shard_resume_run(const struct command *command);

/* ---- for each other ---- */

/* "TYPE/ID", taken apart. */
struct shard_key {
    struct bytes type;
    struct bytes id;
};

/* The operand; having said why not, anything but EXIT_CODE_OK. */
enum exit_code shard_take_key(struct shard_key *out,
                              const struct command *command);
enum exit_code shard_take_number(uint64_t *out,
                                 const struct command *command,
                                 const char *text);

/* An answer of shard.plan, for people. EXIT_CODE_FOUND: something moves */
enum exit_code shard_print_plan(const struct command *command,
                                const json_t *answer);
enum exit_code shard_judge_plan(const struct command *command,
                                const json_t *answer);

/* With --plot FILE, draw an answer of shard.map; also over an older picture. */
enum exit_code shard_plot_map(const struct command *command, json_t *answer);

/* With --from-config: the same from a file alone. */
enum exit_code shard_locate_offline(const struct command *command);
enum exit_code shard_map_offline(const struct command *command);
enum exit_code shard_plan_offline(const struct command *command,
                                  const json_t *args);

#endif
