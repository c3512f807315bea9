/*
 * What runs for each verb of `troupe key`; their flags and help stand in
 * key_command.c.
 */

#ifndef ADMIN_KEY_VERBS_H
#define ADMIN_KEY_VERBS_H

#include "admin/command.h"

enum exit_code key_issue_run(const struct command *command);
enum exit_code key_list_run(const struct command *command);
enum exit_code key_renew_run(const struct command *command);
enum exit_code key_revoke_run(const struct command *command);
enum exit_code key_rotate_run(const struct command *command);
enum exit_code key_show_run(const struct command *command);

#endif
