#include "admin/nouns.h"

#include "admin/backup_command.h"
#include "admin/check_command.h"
#include "admin/cluster_command.h"
#include "admin/completion_command.h"
#include "admin/config_command.h"
#include "admin/context_command.h"
#include "admin/coord_command.h"
#include "admin/counter_command.h"
#include "admin/debug_command.h"
#include "admin/dev_command.h"
#include "admin/dlq_command.h"
#include "admin/doctor_command.h"
#include "admin/events_command.h"
#include "admin/explain_command.h"
#include "admin/key_command.h"
#include "admin/man_command.h"
#include "admin/map_command.h"
#include "admin/names_command.h"
#include "admin/node_command.h"
#include "admin/op_command.h"
#include "admin/pool_command.h"
#include "admin/shard_command.h"
#include "admin/store_command.h"
#include "admin/task_command.h"
#include "admin/top_command.h"
#include "admin/version_command.h"

// clang-format off
const struct command_noun *const nouns_all[] = {
    &cluster_command,
    &node_command, &shard_command, &coord_command, &op_command,
    &task_command, &pool_command, &dlq_command, &map_command,
    &top_command,
    &counter_command, &backup_command,
    &events_command, &check_command, &doctor_command, &debug_command,
    &explain_command,
    &context_command, &config_command, &key_command, &store_command,
    &dev_command,
    &completion_command, &man_command, &version_command, &names_command,
    NULL,
};
// clang-format on
