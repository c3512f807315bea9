#include "admin/op_command.h"

#include "admin/answer.h"
#include "admin/human.h"
#include "admin/op_follow.h"
#include "admin/reading.h"
#include "admin/table.h"
#include "base/scope.h"

#include <inttypes.h>
#include <string.h>

/* ---- all of them ---- */

static const struct table_column columns[] = {{"ID", false},   {"STATE", false},
                                              {"DONE", true},  {"%", true},
                                              {"RATE", true},  {"LEFT", true},
                                              {"SINCE", true}, {"BY", false},
                                              {"WHAT", false}, {0}};

static enum table_tone tone_of(const char *state)
{
    return strcmp(state, "running") == 0 || strcmp(state, "done") == 0
               ? TABLE_GOOD
               : TABLE_WARNING;
}

static void add_op(struct table *table, const json_t *op, int64_t now_ms)
{
    const char *state = answer_name(op, "state");
    const char *who = answer_text(op, "who");
    const char *why = answer_text(op, "why");
    bool is_left_known = answer_has_number(op, "left_ms");
    table_cell(table, TABLE_PLAIN, "%s", answer_name(op, "id"));
    table_cell(table, tone_of(state), "%s", state);
    table_cell(table, TABLE_PLAIN, "%" PRId64 "/%" PRId64 " %s",
               answer_number(op, "done"), answer_number(op, "total"),
               answer_name(op, "unit"));
    table_cell(table, TABLE_PLAIN, "%" PRId64, answer_number(op, "percent"));
    table_cell(table, TABLE_PLAIN, "%s",
               is_left_known ? human_real(answer_real(op, "rate")).text : "-");
    table_cell(table, TABLE_PLAIN, "%s",
               is_left_known
                   ? human_span((uint64_t)answer_number(op, "left_ms")).text
                   : "-");
    table_cell(table, TABLE_PLAIN, "%s",
               human_ago(now_ms, answer_number(op, "since_ms")).text);
    table_cell(table, TABLE_PLAIN, "%s", who && *who ? who : "-");
    table_cell(table, TABLE_PLAIN, "%s%s%s", answer_name(op, "what"),
               why && *why ? ": " : "", why ? why : "");
}

static enum exit_code print_ops(const struct command *command,
                                const json_t *answer)
{
    const struct command_world *world = command->world;
    scoped(table_close) struct table *table = NULL;
    if (answer_count(answer, "ops") == 0) {
        fprintf(world->out, "Nothing is under way.\n");
        return EXIT_CODE_OK;
    }
    enum err err = table_open(&table, columns);
    for (size_t i = 0; !err && i < answer_count(answer, "ops"); i++) {
        add_op(table, answer_item(answer, "ops", i),
               clock_wall_ms(world->clock));
    }
    if (!err) {
        err = table_print(table, world->out, world->out_is_colored);
    }
    return err ? command_failed(command, err, "the table") : EXIT_CODE_OK;
}

static enum exit_code ls_run(const struct command *command)
{
    return reading_run(command,
                       &(struct reading){.verb = "op.ls", .print = print_ops});
}

/* ---- one ---- */

static enum exit_code print_op(const struct command *command, const json_t *op)
{
    FILE *out = command->world->out;
    const char *who = answer_text(op, "who");
    const char *why = answer_text(op, "why");
    fprintf(out,
            "Operation  %s, %s%s%s\n"
            "What       %s\n"
            "Done       %" PRId64 " of %" PRId64 " %s, %" PRId64 " %%\n"
            "Since      %s, by %s\n",
            answer_name(op, "id"), answer_name(op, "state"),
            why && *why ? ": " : "", why ? why : "", answer_name(op, "what"),
            answer_number(op, "done"), answer_number(op, "total"),
            answer_name(op, "unit"), answer_number(op, "percent"),
            human_ago(clock_wall_ms(command->world->clock),
                      answer_number(op, "since_ms"))
                .text,
            who && *who ? who : "the cluster");
    if (answer_has_number(op, "left_ms")) {
        fprintf(out, "To go      %s, at %s a second\n",
                human_span((uint64_t)answer_number(op, "left_ms")).text,
                human_real(answer_real(op, "rate")).text);
    }
    fprintf(out, "Cancelled  %s\n",
            answer_text(op, "cancel") ? answer_name(op, "cancel")
                                      : "it cannot be");
    return EXIT_CODE_OK;
}

static enum exit_code show_run(const struct command *command)
{
    return reading_run(
        command,
        &(struct reading){
            .verb = "op.show",
            .args = json_pack("{s:s}", "id", command_operand(command, 0)),
            .print = print_op});
}

static enum exit_code wait_run(const struct command *command)
{
    uint64_t deadline_ms = 0;
    scoped(remote_close) struct remote *remote = NULL;
    enum exit_code code = waiting_take_deadline(&deadline_ms, command);
    if (!code) {
        code = waiting_open(&remote, command);
    }
    return code ? code
                : op_follow(command, remote, command_operand(command, 0),
                            deadline_ms);
}

static enum exit_code cancel_run(const struct command *command)
{
    return op_cancel(command, command_operand(command, 0));
}

static const struct command_flag wait_flags[] = {
    REMOTE_FLAGS, WAITING_FLAGS, {0}};

static const struct command_flag cancel_flags[] = {
    REMOTE_FLAGS,
    {.name = "dry-run", .text = "show what it would do, and do nothing"},
    YES_FLAG,
    {0}};

static const struct command_verb verbs[] = {
    {.name = "ls",
     .operands = "",
     .summary = "List what is under way: drains, repairs, rebalancing, moves "
                "and recoveries of shards.\nWith how far each is, and what it "
                "waits for.",
     .examples = {"troupe op ls", "troupe op ls --watch=1",
                  "troupe op ls --json"},
     .flags = reading_flags,
     .has_json = true,
     .run = ls_run},
    {.name = "show",
     .operands = "ID",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Show one operation, also one that has ended.\nSuch as "
                "drain-beta, repair-beta, rebalance-42, move-17, recover-17.",
     .examples = {"troupe op show drain-beta", "troupe op show move-17 --watch",
                  "troupe op show rebalance-42 --json"},
     .flags = reading_flags,
     .has_json = true,
     .run = show_run},
    {.name = "wait",
     .operands = "ID",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Wait until an operation has ended.\nExit status: 0 done, 5 "
                "not within --deadline, 8 cancelled, paused or Ctrl-C.",
     .examples = {"troupe op wait drain-beta",
                  "troupe op wait move-17 --deadline 30s",
                  "troupe op wait rebalance-42 --context lab"},
     .flags = wait_flags,
     .steers = true,
     .run = wait_run},
    {.name = "cancel",
     .operands = "ID",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "End an operation: a drain leaves the node active, a move goes "
                "back, rebalancing pauses.\nSays what it would do, and asks.",
     .examples = {"troupe op cancel drain-beta",
                  "troupe op cancel move-17 --yes",
                  "troupe op cancel rebalance-42 --dry-run"},
     .flags = cancel_flags,
     .steers = true,
     .run = cancel_run},
    {0}};

const struct command_noun op_command = {
    .name = "op",
    .summary = "What takes long in a cluster, by name: how far it is, waiting "
               "for it, ending it.\nDrains, repairs, rebalancing, moves of "
               "shards.",
    .verbs = verbs,
};
