/*
 * troupe pool: how tasks are run.
 */

#ifndef ADMIN_POOL_COMMAND_H
#define ADMIN_POOL_COMMAND_H

#include "admin/command.h"

extern const struct command_noun pool_command;

#endif
