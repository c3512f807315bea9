/*
 * troupe dlq: what has failed for good.
 */

#ifndef ADMIN_DLQ_COMMAND_H
#define ADMIN_DLQ_COMMAND_H

#include "admin/command.h"

extern const struct command_noun dlq_command;

#endif
