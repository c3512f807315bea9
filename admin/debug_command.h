/*
 * `troupe debug`: what helps others to find out what is wrong.
 */

#ifndef ADMIN_DEBUG_COMMAND_H
#define ADMIN_DEBUG_COMMAND_H

#include "admin/command.h"

extern const struct command_noun debug_command;

#endif
