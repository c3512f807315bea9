/*
 * `troupe _names`: names for completions.
 */

#ifndef ADMIN_NAMES_COMMAND_H
#define ADMIN_NAMES_COMMAND_H

#include "admin/command.h"

extern const struct command_noun names_command;

#endif
