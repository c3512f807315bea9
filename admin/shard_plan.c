#include "admin/shard_verbs.h"

#include "admin/answer.h"
#include "admin/human.h"
#include "admin/reading.h"
#include "admin/table.h"
#include "base/scope.h"

#include <inttypes.h>

#define NAMES_BYTES 512

static const struct table_column columns[] = {
    {"SHARD", true}, {"FROM", false}, {"TO", false}, {"WHAT", false}, {0}};

static enum exit_code print_moves(const struct command *command,
                                  const json_t *answer)
{
    const struct command_world *world = command->world;
    scoped(table_close) struct table *table = NULL;
    enum err err = table_open(&table, columns);
    for (size_t i = 0; !err && i < answer_count(answer, "moves"); i++) {
        char from[NAMES_BYTES];
        char to[NAMES_BYTES];
        const json_t *move = answer_item(answer, "moves", i);
        answer_join(from, sizeof from, move, "from");
        answer_join(to, sizeof to, move, "to");
        table_cell(table, TABLE_PLAIN, "%" PRId64,
                   answer_number(move, "shard"));
        table_cell(table, TABLE_PLAIN, "%s", from);
        table_cell(table, TABLE_PLAIN, "%s", to);
        table_cell(table, TABLE_PLAIN, "%s",
                   answer_is(move, "owner_only") ? "owner alone" : "replicas");
    }
    if (!err) {
        err = table_print(table, world->out, world->out_is_colored);
    }
    return err ? command_failed(command, err, "the table") : EXIT_CODE_OK;
}

static void print_balance(FILE *out, const json_t *balance, const char *when)
{
    fprintf(out,
            "%s  owners %" PRId64 " at most, %s on average; replicas %" PRId64
            ", %s\n",
            when, answer_number(balance, "owners_max"),
            human_real(answer_real(balance, "owners_mean")).text,
            answer_number(balance, "replicas_max"),
            human_real(answer_real(balance, "replicas_mean")).text);
}

enum exit_code shard_judge_plan(const struct command *command,
                                const json_t *answer)
{
    (void)command;
    return answer_count(answer, "moves") > 0 ? EXIT_CODE_FOUND : EXIT_CODE_OK;
}

enum exit_code shard_print_plan(const struct command *command,
                                const json_t *answer)
{
    FILE *out = command->world->out;
    size_t count = answer_count(answer, "moves");
    enum exit_code code = EXIT_CODE_OK;
    if (count > 0) {
        code = print_moves(command, answer);
    }
    if (code) {
        return code;
    }
    fprintf(out, "%zu shard%s would move.\n", count, count == 1 ? "" : "s");
    print_balance(out, answer_at(answer, "balance_before"), "Before");
    print_balance(out, answer_at(answer, "balance_after"), "After ");
    return shard_judge_plan(command, answer);
}

static json_t *names_of(const struct command *command, const char *flag)
{
    const char *name;
    json_t *names = json_array();
    for (uint32_t i = 0; (name = command_value_at(command, flag, i)); i++) {
        (void)json_array_append_new(names, json_string(name));
    }
    return names;
}

enum exit_code shard_plan_run(const struct command *command)
{
    json_t *args = json_pack("{s:o, s:o}", "add", names_of(command, "add"),
                             "remove", names_of(command, "remove"));
    if (command_has(command, "from-config")) {
        enum exit_code code = shard_plan_offline(command, args);
        json_decref(args);
        return code;
    }
    return reading_run(command, &(struct reading){.verb = "shard.plan",
                                                  .args = args,
                                                  .print = shard_print_plan,
                                                  .judge = shard_judge_plan});
}
