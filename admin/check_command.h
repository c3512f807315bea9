/*
 * `troupe check`: how the cluster is, for a monitoring system.
 */

#ifndef ADMIN_CHECK_COMMAND_H
#define ADMIN_CHECK_COMMAND_H

#include "admin/command.h"

extern const struct command_noun check_command;

#endif
