#include "admin/coord_command.h"

#include "admin/answer.h"
#include "admin/reading.h"
#include "admin/shard_verbs.h"
#include "admin/table.h"
#include "base/scope.h"

#include <inttypes.h>
#include <string.h>

#define NAMES_BYTES 512

static const struct table_column columns[] = {
    {"GROUP", true},   {"OF", false},     {"LEADER", false},   {"TERM", true},
    {"APPLIED", true}, {"VOTERS", false}, {"LEARNERS", false}, {0}};

/* "meta", "shard 17" */
static void add_name(struct table *table, int64_t group)
{
    if (group == 0) {
        table_cell(table, TABLE_PLAIN, "meta");
    } else {
        table_cell(table, TABLE_PLAIN, "shard %" PRId64, group - 1);
    }
}

static void add_group(struct table *table, const json_t *group)
{
    char voters[NAMES_BYTES];
    char learners[NAMES_BYTES];
    const char *leader = answer_text(group, "leader");
    answer_join(voters, sizeof voters, group, "voters");
    answer_join(learners, sizeof learners, group, "learners");
    table_cell(table, TABLE_PLAIN, "%" PRId64, answer_number(group, "group"));
    add_name(table, answer_number(group, "group"));
    table_cell(table, leader ? TABLE_PLAIN : TABLE_BAD, "%s",
               leader ? leader : "-");
    table_cell(table, TABLE_PLAIN, "%" PRId64, answer_number(group, "term"));
    table_cell(table, TABLE_PLAIN, "%" PRId64, answer_number(group, "applied"));
    table_cell(table, TABLE_PLAIN, "%s", voters);
    table_cell(table, TABLE_PLAIN, "%s", learners);
}

static enum exit_code print_groups(const struct command *command,
                                   const json_t *answer)
{
    const struct command_world *world = command->world;
    scoped(table_close) struct table *table = NULL;
    enum err err = table_open(&table, columns);
    for (size_t i = 0; !err && i < answer_count(answer, "groups"); i++) {
        add_group(table, answer_item(answer, "groups", i));
    }
    if (!err) {
        err = table_print(table, world->out, world->out_is_colored);
    }
    return err ? command_failed(command, err, "the table") : EXIT_CODE_OK;
}

static enum exit_code ls_run(const struct command *command)
{
    return reading_run(
        command, &(struct reading){.verb = "coord.ls", .print = print_groups});
}

/* ---- one ---- */

/* "meta", or a shard's number: the group's is one more. */
static enum exit_code take_group(uint64_t *out, const struct command *command)
{
    const char *text = command_operand(command, 0);
    if (strcmp(text, "meta") == 0) {
        *out = 0;
        return EXIT_CODE_OK;
    }
    enum exit_code code = shard_take_number(out, command, text);
    *out += 1;
    return code;
}

static enum exit_code narrow(const struct command *command, json_t *answer)
{
    uint64_t number = 0;
    enum exit_code code = take_group(&number, command);
    if (code) {
        return code;
    }
    const json_t *group = answer_find_number(json_object_get(answer, "groups"),
                                             "group", (int64_t)number);
    if (!group) {
        command_say(command, "there is no group of %s",
                    command_operand(command, 0));
        return EXIT_CODE_USAGE;
    }
    json_t *one = json_array();
    /* Counted, not changed. */
    (void)json_array_append(one, (json_t *)(uintptr_t)group);
    (void)json_object_set_new(answer, "groups", one);
    return EXIT_CODE_OK;
}

static enum exit_code show_run(const struct command *command)
{
    uint64_t number = 0;
    enum exit_code code = take_group(&number, command);
    return code
               ? code
               : reading_run(command, &(struct reading){.verb = "coord.ls",
                                                        .narrow = narrow,
                                                        .print = print_groups});
}

/* ---- another leader ---- */

static enum exit_code transfer(struct remote *remote,
                               const struct command *command,
                               uint64_t shard)
{
    FILE *talk = command->world->talk;
    const char *to = command_value(command, "to");
    scoped(answer_clear) json_t *answer = NULL;
    struct remote_question question = {
        .verb = "coord.transfer",
        .args = json_pack("{s:I, s:s}", "shard", (json_int_t)shard, "to", to),
        .changes = true};
    enum exit_code code = remote_ask(remote, &question, &answer);
    if (code) {
        return code;
    }
    fprintf(talk,
            "Shard %" PRIu64 " hands over to %s. Leadership goes back to its "
            "owner by itself; `troupe shard move` makes another the owner.\n",
            shard, to);
    if (json_is_false(json_object_get(answer, "noted"))) {
        fprintf(talk, "The audit journal has no line of it: the meta group "
                      "has no majority.\n");
    }
    return EXIT_CODE_OK;
}

static enum exit_code transfer_run(const struct command *command)
{
    uint64_t shard = 0;
    scoped(remote_close) struct remote *remote = NULL;
    enum exit_code code =
        shard_take_number(&shard, command, command_operand(command, 0));
    if (!code && !command_value(command, "to")) {
        code = command_misused(command, "to whom? Give --to NODE");
    }
    if (!code) {
        code = remote_open(&remote, command);
    }
    return code ? code : transfer(remote, command, shard);
}

static const struct command_flag transfer_flags[] = {
    REMOTE_FLAGS,
    {.name = "to", .value = "NODE", .text = "which shall lead; a voter of it"},
    {0}};

static const struct command_verb verbs[] = {
    {.name = "ls",
     .operands = "",
     .summary = "List the groups with their leaders, voters and learners.\n"
                "Group 0 is the meta group, which keeps the members and the "
                "shard map.",
     .examples = {"troupe coord ls", "troupe coord ls --watch",
                  "troupe coord ls --json"},
     .flags = reading_flags,
     .has_json = true,
     .run = ls_run},
    {.name = "show",
     .operands = "SHARD",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Show the group of one shard; or \"meta\".\nIts leader, term, "
                "voters and learners.",
     .examples = {"troupe coord show meta", "troupe coord show 17",
                  "troupe coord show 17 --json"},
     .flags = reading_flags,
     .has_json = true,
     .run = show_run},
    {.name = "transfer",
     .operands = "SHARD",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Let another voter lead a shard, for now.\nTo make it stay, "
                "use `shard move`.",
     .examples = {"troupe coord transfer 17 --to beta",
                  "troupe coord transfer 17 --to beta --timeout 5s",
                  "troupe coord transfer 0 --to gamma"},
     .flags = transfer_flags,
     .steers = true,
     .run = transfer_run},
    {0}};

const struct command_noun coord_command = {
    .name = "coord",
    .summary = "The groups that agree by Raft: one for each shard, and the "
               "meta group.\nWho leads them, and who votes.",
    .verbs = verbs,
};
