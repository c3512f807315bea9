/*
 * troupe task: handing over work, and looking what becomes of it.
 */

#ifndef ADMIN_TASK_COMMAND_H
#define ADMIN_TASK_COMMAND_H

#include "admin/command.h"

extern const struct command_noun task_command;

#endif
