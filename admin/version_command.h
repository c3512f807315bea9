/*
 * `troupe version`: which release this is.
 */

#ifndef ADMIN_VERSION_COMMAND_H
#define ADMIN_VERSION_COMMAND_H

#include "admin/command.h"

extern const struct command_noun version_command;

#endif
