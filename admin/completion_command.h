/*
 * `troupe completion`: completions for shells.
 */

#ifndef ADMIN_COMPLETION_COMMAND_H
#define ADMIN_COMPLETION_COMMAND_H

#include "admin/command.h"

extern const struct command_noun completion_command;

#endif
