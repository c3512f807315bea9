/*
 * `troupe shard`: which shards there are, and where.
 */

#ifndef ADMIN_SHARD_COMMAND_H
#define ADMIN_SHARD_COMMAND_H

#include "admin/command.h"

extern const struct command_noun shard_command;

#endif
