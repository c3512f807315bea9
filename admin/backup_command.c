#include "admin/backup_command.h"

#include "admin/backup_verbs.h"
#include "admin/remote.h"

static const struct command_flag create_flags[] = {
    REMOTE_FLAGS,
    {.name = "shards", .value = "LIST", .text = "these alone: 0-15,20"},
    {0}};

static const struct command_flag restore_flags[] = {
    REMOTE_FLAGS,
    {.name = "shards", .value = "LIST", .text = "these alone: 0-15,20"},
    {.name = "group",
     .value = "N",
     .text = "this group alone (shard N-1); begun anew if it is lost"},
    YES_FLAG,
    {0}};

static const struct command_verb verbs[] = {
    {.name = "create",
     .operands = "DIR",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Write what the shards hold to a new folder, while they go "
                "on.\nEach shard is as it was at one index of its log, which "
                "the manifest names.",
     .examples = {"troupe backup create /backup/2027-01-31",
                  "troupe backup create --shards 0-15,20 /backup/some",
                  "troupe backup create --json /backup/nightly"},
     .flags = create_flags,
     .has_json = true,
     .steers = true,
     .run = backup_create_run},
    {.name = "restore",
     .operands = "DIR",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Put what a backup holds in the place of what the shards "
                "hold.\nInto the same cluster or a new one with as many "
                "shards; can be run again.",
     .examples = {"troupe backup restore /backup/2027-01-31",
                  "troupe backup restore /backup/2027-01-31 --group 7",
                  "troupe backup restore /backup/2027-01-31 --shards 3,8-12 "
                  "--yes"},
     .flags = restore_flags,
     .steers = true,
     .run = backup_restore_run},
    {.name = "verify",
     .operands = "DIR",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Read a whole backup, and say what is damaged: which file, "
                "where, what.\nNeeds no cluster. Exit status: 0 all is well, "
                "1 damaged or unfinished.",
     .examples = {"troupe backup verify /backup/2027-01-31",
                  "troupe backup verify --json /backup/nightly",
                  "troupe backup verify . || mail -s backup ops"},
     .has_json = true,
     .run = backup_verify_run},
    {0}};

const struct command_noun backup_command = {
    .name = "backup",
    .summary = "Backups of what the shards hold.\nMade and restored while the "
               "cluster runs.",
    .verbs = verbs,
};
