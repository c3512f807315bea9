#include "admin/shard_command.h"

#include "admin/op_follow.h"
#include "admin/reading.h"
#include "admin/shard_verbs.h"

#define FROM_CONFIG                                                           \
    {                                                                         \
        .name = "from-config", .value = "FILE",                               \
        .text = "of a cluster that this file would found; no node has to run" \
    }

static const struct command_flag map_flags[] = {
    REMOTE_FLAGS,
    READING_FLAGS,
    {.name = "plot", .value = "FILE", .text = "draw it, too, as FILE.svg"},
    FROM_CONFIG,
    {0}};

static const struct command_flag locate_flags[] = {
    REMOTE_FLAGS, READING_FLAGS, FROM_CONFIG, {0}};

static const struct command_flag plan_flags[] = {REMOTE_FLAGS,
                                                 READING_FLAGS,
                                                 {.name = "add",
                                                  .value = "NAME",
                                                  .text = "with one node more",
                                                  .repeats = true},
                                                 {.name = "remove",
                                                  .value = "NODE",
                                                  .text = "with one node less",
                                                  .repeats = true},
                                                 FROM_CONFIG,
                                                 {0}};

static const struct command_flag move_flags[] = {
    REMOTE_FLAGS,
    {.name = "to", .value = "NODE", .text = "which shall own it"},
    {.name = "force", .text = "also to one that is cordoned, or not heard"},
    {.name = "dry-run", .text = "show where it is, and do nothing"},
    YES_FLAG,
    OP_WAIT_FLAGS,
    {0}};

static const struct command_flag rebalance_flags[] = {
    REMOTE_FLAGS,
    {.name = "dry-run", .text = "show what would move, and do nothing"},
    YES_FLAG,
    OP_WAIT_FLAGS,
    {0}};

static const struct command_flag cancel_flags[] = {
    REMOTE_FLAGS,
    {.name = "dry-run", .text = "show what it would do, and do nothing"},
    YES_FLAG,
    {0}};

static const struct command_flag hot_flags[] = {
    REMOTE_FLAGS,
    READING_FLAGS,
    {.name = "by",
     .value = "WHAT",
     .text = "rate (default: entries a second) or size (of the log)"},
    {.name = "top", .value = "N", .text = "so many (default: 10)"},
    {0}};

static const struct command_flag pause_flags[] = {REMOTE_FLAGS, {0}};

static const struct command_verb verbs[] = {
    {.name = "map",
     .operands = "",
     .summary = "Show every shard: its owner, leader, replicas and their lag, "
                "load and size.\nWith --plot also as a picture.",
     .examples = {"troupe shard map", "troupe shard map --plot map.svg",
                  "troupe shard map --from-config cluster.yaml"},
     .flags = map_flags,
     .has_json = true,
     .run = shard_map_run},
    {.name = "show",
     .operands = "SHARD",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Show one shard.\nWith each of its replicas and what it is "
                "behind.",
     .examples = {"troupe shard show 17", "troupe shard show 17 --watch=1",
                  "troupe shard show 17 --json"},
     .flags = reading_flags,
     .has_json = true,
     .run = shard_show_run},
    {.name = "hot",
     .operands = "",
     .summary = "Show the shards with the most load, or the longest logs.\n"
                "With who leads them.",
     .examples = {"troupe shard hot", "troupe shard hot --by size --top 5",
                  "troupe shard hot --watch=1"},
     .flags = hot_flags,
     .has_json = true,
     .run = shard_hot_run},
    {.name = "history",
     .operands = "[SHARD]",
     .operand_count_max = 1,
     .summary = "Show where shards were moved and who led them, with the "
                "journal's lines.\nAs far back as the meta group's leader "
                "looks.",
     .examples = {"troupe shard history", "troupe shard history 17",
                  "troupe shard history 17 --json"},
     .flags = reading_flags,
     .has_json = true,
     .run = shard_history_run},
    {.name = "locate",
     .operands = "TYPE/ID",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Show which shard an actor belongs to, and who leads it.\n"
                "With --from-config the shard alone, and who would own it.",
     .examples = {"troupe shard locate counter/visits",
                  "troupe shard locate order/4711 --json",
                  "troupe shard locate order/4711 --from-config cluster.yaml"},
     .flags = locate_flags,
     .has_json = true,
     .run = shard_locate_run},
    {.name = "plan",
     .operands = "",
     .summary = "Show what would move, now or with other nodes.\nExit status: "
                "0 nothing, 1 something.",
     .examples = {"troupe shard plan --add delta",
                  "troupe shard plan --remove alpha --json",
                  "troupe shard plan --from-config cluster.yaml --add delta"},
     .flags = plan_flags,
     .has_json = true,
     .run = shard_plan_run},
    {.name = "move",
     .operands = "SHARD",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Make another node the owner of a shard.\nRebalancing may "
                "move it again: `shard pause` first if it must not.",
     .examples = {"troupe shard move 17 --to beta",
                  "troupe shard move 17 --to beta --yes",
                  "troupe shard move 17 --to beta --dry-run"},
     .flags = move_flags,
     .steers = true,
     .run = shard_move_run},
    {.name = "cancel",
     .operands = "SHARD",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Let a shard that moves go back to where it was.\nThe same as "
                "`op cancel move-SHARD`.",
     .examples = {"troupe shard cancel 17", "troupe shard cancel 17 --dry-run",
                  "troupe shard cancel 17 --yes"},
     .flags = cancel_flags,
     .steers = true,
     .run = shard_cancel_run},
    {.name = "rebalance",
     .operands = "",
     .summary = "Let shards move to where they belong; ends a pause.\nShows "
                "what would move, and asks, before it does.",
     .examples = {"troupe shard rebalance --dry-run",
                  "troupe shard rebalance --yes",
                  "troupe shard rebalance --json --yes"},
     .flags = rebalance_flags,
     .has_json = true,
     .steers = true,
     .run = shard_rebalance_run},
    {.name = "pause",
     .operands = "",
     .summary = "Let shards stay where they are, but for those of nodes that "
                "are down.\n`shard resume` ends it.",
     .examples = {"troupe shard pause", "troupe shard pause --context lab",
                  "troupe shard pause --config cluster.yaml"},
     .flags = pause_flags,
     .steers = true,
     .run = shard_pause_run},
    {.name = "resume",
     .operands = "",
     .summary = "Let shards move again.\n`shard plan` shows what will.",
     .examples = {"troupe shard resume", "troupe shard resume --context lab",
                  "troupe shard resume --config cluster.yaml"},
     .flags = pause_flags,
     .steers = true,
     .run = shard_resume_run},
    {0}};

const struct command_noun shard_command = {
    .name = "shard",
    .summary = "The shards of a cluster: where they are, and moving them.\n"
               "Each has an owner, which shall lead it, and replicas.",
    .verbs = verbs,
};
