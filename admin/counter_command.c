#include "admin/counter_command.h"

#include "admin/answer.h"
#include "admin/reading.h"
#include "base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static enum exit_code print_counter(const struct command *command,
                                    const json_t *answer)
{
    fprintf(command->world->out, "%" PRId64 "\n",
            answer_number(answer, "value"));
    return EXIT_CODE_OK;
}

static enum exit_code get_run(const struct command *command)
{
    return reading_run(
        command,
        &(struct reading){
            .verb = "counter.get",
            .args = json_pack("{s:s}", "id", command_operand(command, 0)),
            .print = print_counter});
}

/* Also below zero. */
static enum exit_code take_value(int64_t *out, const struct command *command)
{
    char *end = NULL;
    const char *text = command_operand(command, 1);
    errno = 0;
    *out = strtoll(text, &end, 10);
    if (errno || end == text || *end) {
        return command_misused(command, "`%.32s` is no whole number", text);
    }
    return EXIT_CODE_OK;
}

static enum exit_code add(struct remote *remote,
                          const struct command *command,
                          int64_t value)
{
    json_t *answer = NULL;
    const char *key = command_value(command, "key");
    struct remote_question question = {
        .verb = "counter.add",
        .args = json_pack("{s:s, s:I, s:s*}", "id", command_operand(command, 0),
                          "value", (json_int_t)value, "key", key),
        .changes = true};
    enum exit_code code = remote_ask(remote, &question, &answer);
    if (code) {
        return code;
    }
    if (command_has(command, "json")) {
        return reading_print_json(command, "counter.add", answer);
    }
    code = print_counter(command, answer);
    json_decref(answer);
    return code;
}

static enum exit_code add_run(const struct command *command)
{
    int64_t value = 0;
    scoped(remote_close) struct remote *remote = NULL;
    enum exit_code code = take_value(&value, command);
    if (!code) {
        code = remote_open(&remote, command);
    }
    return code ? code : add(remote, command, value);
}

static const struct command_flag add_flags[] = {
    REMOTE_FLAGS,
    {.name = "key",
     .value = "KEY",
     .text = "add once, however often it is run with this key"},
    {0}};

static const struct command_verb verbs[] = {
    {.name = "add",
     .operands = "ID VALUE",
     .operand_count_min = 2,
     .operand_count_max = 2,
     .summary = "Add to a counter and print what it is then.\nOne that is not "
                "there is 0. For a value below zero: `add -- ID -5`.",
     .examples = {"troupe counter add visits 1",
                  "troupe counter add visits 10 --key order-4711",
                  "troupe counter add --json -- visits -5"},
     .flags = add_flags,
     .has_json = true,
     .steers = true,
     .run = add_run},
    {.name = "get",
     .operands = "ID",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Print what a counter is.\nIt is as new as any answer that was "
                "given before.",
     .examples = {"troupe counter get visits",
                  "troupe counter get visits --watch=1",
                  "troupe counter get visits --json"},
     .flags = reading_flags,
     .has_json = true,
     .run = get_run},
    {0}};

const struct command_noun counter_command = {
    .name = "counter",
    .summary = "Counters that the shards keep, to try a cluster out.\nWhat was "
               "added and answered is never lost.",
    .verbs = verbs,
};
