/*
 * troupe map: xargs over the cluster.
 */

#ifndef ADMIN_MAP_COMMAND_H
#define ADMIN_MAP_COMMAND_H

#include "admin/command.h"

extern const struct command_noun map_command;

#endif
