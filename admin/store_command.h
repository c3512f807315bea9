/* `troupe store`: what is in a node's data folder, read offline. */

#ifndef ADMIN_STORE_COMMAND_H
#define ADMIN_STORE_COMMAND_H

#include "admin/command.h"

extern const struct command_noun store_command;

#endif
