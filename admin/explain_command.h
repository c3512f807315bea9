/*
 * `troupe explain`: what an error means and what to do.
 */

#ifndef ADMIN_EXPLAIN_COMMAND_H
#define ADMIN_EXPLAIN_COMMAND_H

#include "admin/command.h"

extern const struct command_noun explain_command;

#endif
