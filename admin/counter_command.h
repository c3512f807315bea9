/*
 * `troupe counter`: the counters that every cluster has.
 */

#ifndef ADMIN_COUNTER_COMMAND_H
#define ADMIN_COUNTER_COMMAND_H

#include "admin/command.h"

extern const struct command_noun counter_command;

#endif
