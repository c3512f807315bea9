#include "admin/names_command.h"

#include "admin/answer.h"
#include "admin/context.h"
#include "admin/remote.h"
#include "base/scope.h"

#include <inttypes.h>

/* A shell waits while somebody types: nothing is ever said about failures. */

static void print_context(void *visitor, const char *name)
{
    fprintf(visitor, "%s\n", name);
}

static enum exit_code contexts_run(const struct command *command)
{
    enum err err =
        context_each(command, print_context, command->world->out, NULL);
    return exit_code_of(err);
}

/* What the meta group's leader alone knows is not asked for `is_stale`. */
static enum exit_code ask(const struct command *command,
                          const char *verb,
                          bool is_stale,
                          json_t **answer)
{
    struct err_detail why = {0};
    scoped(remote_close) struct remote *remote = NULL;
    json_t *args = json_pack("{s:b}", "stale", is_stale);
    struct remote_question question = {.verb = verb, .args = args};
    enum exit_code code = remote_connect(&remote, command, &why);
    if (!code) {
        code = remote_try(remote, &question, answer, &why);
    }
    json_decref(args);
    return code;
}

static enum exit_code nodes_run(const struct command *command)
{
    scoped(answer_clear) json_t *answer = NULL;
    enum exit_code code = ask(command, "node.ls", true, &answer);
    for (size_t i = 0; i < answer_count(answer, "members"); i++) {
        fprintf(command->world->out, "%s\n",
                answer_name(answer_item(answer, "members", i), "name"));
    }
    return code;
}

static enum exit_code ops_run(const struct command *command)
{
    scoped(answer_clear) json_t *answer = NULL;
    enum exit_code code = ask(command, "op.ls", false, &answer);
    for (size_t i = 0; i < answer_count(answer, "ops"); i++) {
        fprintf(command->world->out, "%s\n",
                answer_name(answer_item(answer, "ops", i), "id"));
    }
    return code;
}

/* Any node knows them. */
static enum exit_code pools_run(const struct command *command)
{
    struct err_detail why = {0};
    scoped(answer_clear) json_t *answer = NULL;
    scoped(remote_close) struct remote *remote = NULL;
    struct remote_question question = {.verb = "pool.ls"};
    enum exit_code code = remote_connect(&remote, command, &why);
    if (!code) {
        code = remote_try(remote, &question, &answer, &why);
    }
    for (size_t i = 0; i < answer_count(answer, "pools"); i++) {
        fprintf(command->world->out, "%s\n",
                answer_name(answer_item(answer, "pools", i), "name"));
    }
    return code;
}

static enum exit_code shards_run(const struct command *command)
{
    scoped(answer_clear) json_t *answer = NULL;
    enum exit_code code = ask(command, "shard.map", true, &answer);
    for (size_t i = 0; i < answer_count(answer, "shards"); i++) {
        fprintf(command->world->out, "%" PRId64 "\n",
                answer_number(answer_item(answer, "shards", i), "shard"));
    }
    return code;
}

static const struct command_flag flags[] = {REMOTE_FLAGS, {0}};

#define EXAMPLES                                                    \
    {                                                               \
        "troupe _names nodes", "troupe _names shards --timeout 1s", \
            "troupe _names contexts"                                \
    }

static const struct command_verb verbs[] = {
    {.name = "nodes",
     .operands = "",
     .summary = "Print the nodes' names, or nothing.\nFor completions.",
     .examples = EXAMPLES,
     .flags = flags,
     .run = nodes_run},
    {.name = "shards",
     .operands = "",
     .summary = "Print the shards' numbers, or nothing.\nFor completions.",
     .examples = EXAMPLES,
     .flags = flags,
     .run = shards_run},
    {.name = "ops",
     .operands = "",
     .summary = "Print the names of operations under way, or nothing.\nFor "
                "completions.",
     .examples = EXAMPLES,
     .flags = flags,
     .run = ops_run},
    {.name = "pools",
     .operands = "",
     .summary = "Print the task pools' names, or nothing.\nFor completions.",
     .examples = EXAMPLES,
     .flags = flags,
     .run = pools_run},
    {.name = "contexts",
     .operands = "",
     .summary = "Print the contexts' names, or nothing.\nFor completions.",
     .examples = EXAMPLES,
     .run = contexts_run},
    {0}};

const struct command_noun names_command = {
    .name = "_names",
    .summary = "Names for completions.\nQuiet, whatever happens.",
    .verbs = verbs,
};
