/*
 * `troupe coord`: the groups that agree, and who leads them.
 */

#ifndef ADMIN_COORD_COMMAND_H
#define ADMIN_COORD_COMMAND_H

#include "admin/command.h"

extern const struct command_noun coord_command;

#endif
