#include "admin/task_command.h"

#include "admin/task_verbs.h"

static const struct command_flag change_flags[] = {REMOTE_FLAGS, {0}};

static const struct command_verb verbs[] = {
    {.name = "submit",
     .operands = "[COMMAND...]",
     .operand_count_max = UINT32_MAX,
     .summary =
         "Hand over tasks: a command, or a task per line of JSON.\nA command "
         "is "
         "waited for, and its output printed, unless --detach. Exit status: 0 "
         "all done, 1 some have failed, 7 none accepted, 8 some not accepted "
         "or Ctrl-C, 3 no cluster.",
     .examples = {"troupe task submit -- echo hello",
                  "troupe task submit --file tasks.jsonl --wait",
                  "jq -c '{argv: [\"wc\", \"-c\", .path]}' files.json | troupe "
                  "task submit --wait --order submit"},
     .flags = task_submit_flags,
     .has_json = true,
     .steers = true,
     .run = task_submit_run},
    {.name = "ls",
     .operands = "",
     .summary = "List the newest tasks of all shards.\nWhat has ended is there "
                "for as long as its pool keeps results.",
     .examples = {"troupe task ls", "troupe task ls --state dead --pool thumbs",
                  "troupe task ls --limit 1000 --json"},
     .flags = task_ls_flags,
     .has_json = true,
     .run = task_ls_run},
    {.name = "show",
     .operands = "TASK",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Show all of a task: where it is and why, its payload and "
                "output.\nAlso of one that has ended, while it is kept.",
     .examples = {"troupe task show 17-4021",
                  "troupe task show 17-4021 --watch",
                  "troupe task show 17-4021 --json"},
     .flags = reading_flags,
     .has_json = true,
     .run = task_show_run},
    {.name = "why",
     .operands = "TASK",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Say in one sentence why a task is where it is.\nSuch as: its "
                "pool is paused; no worker is free; it waits for another.",
     .examples = {"troupe task why 17-4021", "troupe task why 17-4021 --watch",
                  "troupe task why 17-4021 --json"},
     .flags = reading_flags,
     .has_json = true,
     .run = task_why_run},
    {.name = "logs",
     .operands = "TASK",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Print what a task has written.\nOf a command its standard "
                "output and standard error, also while it runs, as far as its "
                "pool keeps them; of a function once it has ended.",
     .examples = {"troupe task logs 17-4021",
                  "troupe task logs 17-4021 --follow",
                  "troupe task logs 17-4021 > out 2> errors"},
     .flags = task_logs_flags,
     .has_json = true,
     .run = task_logs_run},
    {.name = "cancel",
     .operands = "TASK...",
     .operand_count_min = 1,
     .operand_count_max = UINT32_MAX,
     .summary = "Cancel tasks that have not ended.\nWhat runs is ended; a C "
                "function in a node can only be asked to.",
     .examples = {"troupe task cancel 17-4021",
                  "troupe task cancel 17-4021 3-99",
                  "troupe task ls --state waiting --json | jq -r '.tasks[].id' "
                  "| xargs troupe task cancel"},
     .flags = change_flags,
     .steers = true,
     .run = task_cancel_run},
    {.name = "retry",
     .operands = "TASK...",
     .operand_count_min = 1,
     .operand_count_max = UINT32_MAX,
     .summary = "Try tasks again that have failed for good.\nThey wait as if "
                "they had just been submitted; `dlq retry` takes a whole pool.",
     .examples = {"troupe task retry 17-4021", "troupe task retry 17-4021 3-99",
                  "troupe dlq retry --pool thumbs --all"},
     .flags = change_flags,
     .steers = true,
     .run = task_retry_run},
    {0}};

const struct command_noun task_command = {
    .name = "task",
    .summary = "Work for the pools: submitting it, and what becomes of it.\nIt "
               "is kept on a majority of its shard's nodes until it is done.",
    .verbs = verbs,
};
