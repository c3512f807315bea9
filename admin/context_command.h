/*
 * `troupe context`: which cluster to talk to.
 */

#ifndef ADMIN_CONTEXT_COMMAND_H
#define ADMIN_CONTEXT_COMMAND_H

#include "admin/command.h"

extern const struct command_noun context_command;

#endif
