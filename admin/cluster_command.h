/*
 * `troupe cluster`: founding one, and looking at one as a whole.
 */

#ifndef ADMIN_CLUSTER_COMMAND_H
#define ADMIN_CLUSTER_COMMAND_H

#include "admin/command.h"

extern const struct command_noun cluster_command;

#endif
