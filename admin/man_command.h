/*
 * `troupe man`: manual pages.
 */

#ifndef ADMIN_MAN_COMMAND_H
#define ADMIN_MAN_COMMAND_H

#include "admin/command.h"

extern const struct command_noun man_command;

#endif
