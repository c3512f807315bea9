#include "admin/node_command.h"

#include "admin/node_verbs.h"
#include "admin/reading.h"
#include "admin/waiting.h"

static const struct command_flag cordon_flags[] = {
    REMOTE_FLAGS, {.name = "force", .text = "also the last active node"}, {0}};

static const struct command_flag uncordon_flags[] = {REMOTE_FLAGS, {0}};

static const struct command_flag drain_flags[] = {
    REMOTE_FLAGS,
    {.name = "wait", .text = "until it is empty (so it does anyway)"},
    {.name = "detach", .text = "do not wait until it is empty"},
    WAITING_FLAGS,
    {.name = "force", .text = "also the last active node"},
    {.name = "dry-run", .text = "show what would move, and do nothing"},
    YES_FLAG,
    {0}};

static const struct command_flag wait_flags[] = {
    REMOTE_FLAGS,
    WAITING_FLAGS,
    {.name = "state",
     .value = "STATE",
     .text = "ready (default), drained or away"},
    {0}};

static const struct command_verb verbs[] = {
    {.name = "ls",
     .operands = "",
     .summary = "List the nodes with what they hold and lead.\n"
                "`cluster members` lists who hears them and what they run.",
     .examples = {"troupe node ls", "troupe node ls --watch=1",
                  "troupe node ls --json --stale --node beta"},
     .flags = reading_flags,
     .has_json = true,
     .run = node_ls_run},
    {.name = "show",
     .operands = "NODE",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Show one node with its shards.\nOwned shards are those that "
                "it shall lead.",
     .examples = {"troupe node show alpha", "troupe node show alpha --watch",
                  "troupe node show alpha --json"},
     .flags = reading_flags,
     .has_json = true,
     .run = node_show_run},
    {.name = "cordon",
     .operands = "NODE",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Give a node no new shards.\nIt keeps those that it has; "
                "`uncordon` ends it.",
     .examples = {"troupe node cordon alpha",
                  "troupe node cordon alpha --context lab",
                  "troupe node cordon alpha --config cluster.yaml"},
     .flags = cordon_flags,
     .steers = true,
     .run = node_cordon_run},
    {.name = "uncordon",
     .operands = "NODE",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Let a node that is cordoned or draining have shards again.\n"
                "Some of them move to it, at their time.",
     .examples = {"troupe node uncordon alpha",
                  "troupe node uncordon alpha --context lab",
                  "troupe node uncordon alpha --config cluster.yaml"},
     .flags = uncordon_flags,
     .steers = true,
     .run = node_uncordon_run},
    {.name = "drain",
     .operands = "NODE",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Move all shards of a node to the others, and wait until it "
                "is empty.\nCtrl-C ends the waiting, not the draining; "
                "`uncordon` does.",
     .examples = {"troupe node drain alpha",
                  "troupe node drain alpha --yes --deadline 5m",
                  "troupe node drain alpha --dry-run"},
     .flags = drain_flags,
     .steers = true,
     .run = node_drain_run},
    {.name = "wait",
     .operands = "NODE",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Wait until a node is up and leads all it owns, or is drained, "
                "or away.\nExit status: 0 it is, 5 not within --deadline. With "
                "that, also for one that has not joined yet.",
     .examples = {"troupe node wait alpha",
                  "troupe node wait alpha --state drained --deadline 5m",
                  "troupe node wait alpha --state away"},
     .flags = wait_flags,
     .steers = true,
     .run = node_wait_run},
    {0}};

const struct command_noun node_command = {
    .name = "node",
    .summary = "The nodes of a running cluster.\nWhat they hold, and how one "
               "is emptied before it stops for good.",
    .verbs = verbs,
};
