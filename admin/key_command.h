/*
 * `troupe key`: certificates, revocation, and the authority's rotation.
 */

#ifndef ADMIN_KEY_COMMAND_H
#define ADMIN_KEY_COMMAND_H

#include "admin/command.h"

extern const struct command_noun key_command;

#endif
