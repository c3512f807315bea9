/*
 * The verbs of `troupe backup`, for its table.
 */

#ifndef ADMIN_BACKUP_VERBS_H
#define ADMIN_BACKUP_VERBS_H

#include "admin/command.h"

enum exit_code backup_create_run(const struct command *command);
enum exit_code backup_restore_run(const struct command *command);
enum exit_code backup_verify_run(const struct command *command);

#endif
