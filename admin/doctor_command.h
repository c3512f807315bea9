/*
 * `troupe doctor`: what is wrong and what to do.
 */

#ifndef ADMIN_DOCTOR_COMMAND_H
#define ADMIN_DOCTOR_COMMAND_H

#include "admin/command.h"

extern const struct command_noun doctor_command;

#endif
