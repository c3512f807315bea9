/*
 * `troupe config show --cluster`, `diff` and `apply`: the settings that a
 * cluster has agreed on, and what a file says of them.
 */

#ifndef ADMIN_CONFIG_CLUSTER_H
#define ADMIN_CONFIG_CLUSTER_H

#include "admin/command.h"
#include "config/settings.h"

#include <jansson.h>

enum exit_code config_cluster_show(const struct command *command);
enum exit_code config_cluster_diff(const struct command *command);
enum exit_code config_cluster_apply(const struct command *command);

/* What a file says of all that nodes and pools are not: {key: value}. */
json_t *config_cluster_claims(const struct settings *settings);

#endif
