/*
 * `troupe config`: checks, shows and explains the configuration.
 */

#ifndef ADMIN_CONFIG_COMMAND_H
#define ADMIN_CONFIG_COMMAND_H

#include "admin/command.h"

extern const struct command_noun config_command;

#endif
