/*
 * `troupe node`: the members, one by one.
 */

#ifndef ADMIN_NODE_COMMAND_H
#define ADMIN_NODE_COMMAND_H

#include "admin/command.h"

extern const struct command_noun node_command;

#endif
