/*
 * `troupe op`: what takes long, by name.
 */

#ifndef ADMIN_OP_COMMAND_H
#define ADMIN_OP_COMMAND_H

#include "admin/command.h"

extern const struct command_noun op_command;

#endif
