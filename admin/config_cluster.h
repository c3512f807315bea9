/*
 * `troupe config show --cluster`, `diff` and `apply`: the settings that a
 * cluster has agreed on, and what a file says of them.
 */

#ifndef ADMIN_CONFIG_CLUSTER_H
#define ADMIN_CONFIG_CLUSTER_H

#include "admin/command.h"

enum exit_code config_cluster_show(const struct command *command);
enum exit_code config_cluster_diff(const struct command *command);
enum exit_code config_cluster_apply(const struct command *command);

#endif
