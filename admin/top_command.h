/*
 * troupe top: a live view of the cluster.
 */

#ifndef ADMIN_TOP_COMMAND_H
#define ADMIN_TOP_COMMAND_H

#include "admin/command.h"

extern const struct command_noun top_command;

#endif
