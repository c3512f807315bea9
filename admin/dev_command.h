/* `troupe dev`: a cluster on this machine, in one terminal. */

#ifndef ADMIN_DEV_COMMAND_H
#define ADMIN_DEV_COMMAND_H

#include "admin/command.h"

extern const struct command_noun dev_command;

#endif
