/*
 * `troupe backup`: what the shards hold, put into a folder, and back.
 */

#ifndef ADMIN_BACKUP_COMMAND_H
#define ADMIN_BACKUP_COMMAND_H

#include "admin/command.h"

extern const struct command_noun backup_command;

#endif
