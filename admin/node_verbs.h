/*
 * The verbs of `troupe node`, for its table.
 */

#ifndef ADMIN_NODE_VERBS_H
#define ADMIN_NODE_VERBS_H

#include "admin/command.h"

enum exit_code node_ls_run(const struct command *command);
enum exit_code node_show_run(const struct command *command);
enum exit_code node_cordon_run(const struct command *command);
enum exit_code node_uncordon_run(const struct command *command);
enum exit_code node_wait_run(const struct command *command);
enum exit_code node_drain_run(const struct command *command);

#endif
