/*
 * The verbs of `troupe cluster`, for its table.
 */

#ifndef ADMIN_CLUSTER_VERBS_H
#define ADMIN_CLUSTER_VERBS_H

#include "admin/command.h"

enum exit_code cluster_init_run(const struct command *command);
enum exit_code cluster_status_run(const struct command *command);
enum exit_code cluster_members_run(const struct command *command);
enum exit_code cluster_links_run(const struct command *command);
enum exit_code cluster_join_run(const struct command *command);
enum exit_code cluster_forget_run(const struct command *command);
enum exit_code cluster_recover_run(const struct command *command);
enum exit_code cluster_verify_run(const struct command *command);

#endif
