/*
 * `troupe events`: the audit journal.
 */

#ifndef ADMIN_EVENTS_COMMAND_H
#define ADMIN_EVENTS_COMMAND_H

#include "admin/command.h"

extern const struct command_noun events_command;

#endif
