#include "admin/pool_command.h"

#include "admin/pool_verbs.h"

static const struct command_flag change_flags[] = {
    REMOTE_FLAGS,
    {.name = "dry-run", .text = "show what it would do, and do nothing"},
    {0}};

static const struct command_flag apply_flags[] = {
    REMOTE_FLAGS,
    {.name = "dry-run", .text = "show what it would do, and do nothing"},
    {.name = "yes", .text = "do not ask before a pool is changed"},
    {0}};

static const struct command_flag remove_flags[] = {
    REMOTE_FLAGS,
    {.name = "force", .text = "also while tasks wait in it"},
    {.name = "dry-run", .text = "show what it would do, and do nothing"},
    {.name = "yes", .text = "do not ask"},
    {0}};

static const struct command_verb verbs[] = {
    {.name = "apply",
     .operands = "FILE",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary =
         "Make pools what a file says, new ones as well.\nYAML or JSON: "
         "a pool, a list of them, or a file with `cluster.pools`. Fields "
         "that it leaves out get their defaults. Of new schedules it says "
         "when they are due next: their times are UTC, since nodes may be set "
         "to different zones.",
     .examples = {"troupe pool apply thumbs.yaml",
                  "troupe pool apply thumbs.yaml --dry-run",
                  "troupe pool show thumbs --json | jq .definition > "
                  "thumbs.json"},
     .flags = apply_flags,
     .steers = true,
     .run = pool_apply_run},
    {.name = "ls",
     .operands = "",
     .summary = "List pools, with how much waits, is given to workers (leased) "
                "and is done.\nSums over all nodes.",
     .examples = {"troupe pool ls", "troupe pool ls --watch=1",
                  "troupe pool ls --json"},
     .flags = reading_flags,
     .has_json = true,
     .run = pool_ls_run},
    {.name = "show",
     .operands = "POOL",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary =
         "Show a pool: its definition, how far its schedules are, and "
         "what each node has of it.\nWith --json also what `pool apply` takes.",
     .examples = {"troupe pool show default", "troupe pool show thumbs --watch",
                  "troupe pool show thumbs --json"},
     .flags = reading_flags,
     .has_json = true,
     .run = pool_show_run},
    {.name = "workers",
     .operands = "[POOL]",
     .operand_count_max = 1,
     .summary =
         "List the workers of each node, of one pool or of all.\nHow many "
         "there are, how many tasks they have, and what they have done.",
     .examples = {"troupe pool workers", "troupe pool workers thumbs --watch",
                  "troupe pool workers --json"},
     .flags = reading_flags,
     .has_json = true,
     .run = pool_workers_run},
    {.name = "scale",
     .operands = "POOL WORKERS",
     .operand_count_min = 2,
     .operand_count_max = 2,
     .summary = "Have so many workers of a pool on each node.\nWhat runs goes "
                "on when there are to be less.",
     .examples = {"troupe pool scale thumbs 8", "troupe pool scale thumbs 0",
                  "troupe pool scale thumbs 8 --dry-run"},
     .flags = change_flags,
     .steers = true,
     .run = pool_scale_run},
    {.name = "pause",
     .operands = "POOL",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Give out no more tasks of a pool.\nWhat runs goes on, and "
                "tasks are accepted.",
     .examples = {"troupe pool pause thumbs", "troupe pool pause default",
                  "troupe pool pause thumbs --dry-run"},
     .flags = change_flags,
     .steers = true,
     .run = pool_pause_run},
    {.name = "resume",
     .operands = "POOL",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Give out tasks of a pool again.\nWhat has waited goes first.",
     .examples = {"troupe pool resume thumbs", "troupe pool resume default",
                  "troupe pool resume thumbs --dry-run"},
     .flags = change_flags,
     .steers = true,
     .run = pool_resume_run},
    {.name = "steal-stats",
     .operands = "",
     .summary = "Show what stealing does, by node, over all pools.\nHow many "
                "tasks each has given away, and taken from others.",
     .examples = {"troupe pool steal-stats", "troupe pool steal-stats --watch",
                  "troupe pool steal-stats --json"},
     .flags = reading_flags,
     .has_json = true,
     .run = pool_steal_stats_run},
    {.name = "remove",
     .operands = "POOL",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary =
         "Remove a pool.\nRefused while tasks wait in it, unless forced: "
         "nobody would work on them.",
     .examples = {"troupe pool remove thumbs",
                  "troupe pool remove thumbs --dry-run",
                  "troupe pool remove thumbs --yes --force"},
     .flags = remove_flags,
     .steers = true,
     .run = pool_remove_run},
    {0}};

const struct command_noun pool_command = {
    .name = "pool",
    .summary = "Task pools: how tasks are run, how many at a time, how "
               "often.\nEach has workers on every node with the role worker.",
    .verbs = verbs,
};
