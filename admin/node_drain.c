#include "admin/node_verbs.h"

#include "admin/answer.h"
#include "admin/op_follow.h"
#include "base/scope.h"

#include <inttypes.h>
#include <string.h>

/* ---- setting a node's state ---- */

/* A dry run says nothing when it may be. */
static enum exit_code set_state(struct remote *remote,
                                const struct command *command,
                                const char *state,
                                bool is_dry)
{
    scoped(answer_clear) json_t *answer = NULL;
    bool is_forced =
        strcmp(state, "active") != 0 && command_has(command, "force");
    struct remote_question question = {
        .verb = "node.set",
        .args = json_pack("{s:s, s:s, s:b, s:b}", "name",
                          command_operand(command, 0), "state", state, "force",
                          is_forced, "dry_run", is_dry),
        .changes = true};
    enum exit_code code = remote_ask(remote, &question, &answer);
    if (!code && !is_dry) {
        fprintf(command->world->talk, "%s is %s.\n",
                command_operand(command, 0), answer_name(answer, "state"));
    }
    return code;
}

static enum exit_code set_alone(const struct command *command,
                                const char *state)
{
    scoped(remote_close) struct remote *remote = NULL;
    enum exit_code code = remote_open(&remote, command);
    return code ? code : set_state(remote, command, state, false);
}

enum exit_code node_cordon_run(const struct command *command)
{
    return set_alone(command, "cordoned");
}

enum exit_code node_uncordon_run(const struct command *command)
{
    return set_alone(command, "active");
}

/* ---- draining ---- */

struct drain {
    const struct command *command;
    struct remote *remote;
    const char *name;
    uint64_t deadline_ms; /* 0: none */
};

/* What it holds, and where that would go. */
static enum exit_code print_plan(const struct drain *drain)
{
    scoped(answer_clear) json_t *node = NULL;
    scoped(answer_clear) json_t *plan = NULL;
    struct remote_question ask_node = {
        .verb = "node.show", .args = json_pack("{s:s}", "name", drain->name)};
    struct remote_question ask_plan = {
        .verb = "shard.plan",
        .args = json_pack("{s:[s]}", "remove", drain->name)};
    enum exit_code code = remote_ask(drain->remote, &ask_node, &node);
    if (code) {
        json_decref(ask_plan.args);
        return code;
    }
    code = remote_ask(drain->remote, &ask_plan, &plan);
    if (!code) {
        fprintf(drain->command->world->talk,
                "%s is %s; it owns %" PRId64 " shards and holds %" PRId64
                " replicas. %zu shards would change; then a node owns %" PRId64
                " at most.\n",
                drain->name, answer_name(node, "state"),
                answer_number(node, "owners"), answer_number(node, "replicas"),
                answer_count(plan, "moves"),
                answer_number(plan, "balance_after.owners_max"));
        if (answer_count(plan, "moves") == 0 &&
            answer_number(node, "replicas") > 0) {
            fprintf(drain->command->world->talk,
                    "No other node can take them: it stays full until there "
                    "are as many others as a shard has replicas.\n");
        }
    }
    return code;
}

static enum exit_code follow(const struct drain *drain, const char *id)
{
    enum exit_code code =
        op_follow(drain->command, drain->remote, id, drain->deadline_ms);
    if (!code) {
        fprintf(drain->command->world->talk,
                "%s is empty: it can be stopped. `troupe cluster forget %s` "
                "if it does not come back.\n",
                drain->name, drain->name);
    }
    return code;
}

static enum exit_code drain_node(struct drain *drain)
{
    char id[OP_ID_BYTES];
    const struct command *command = drain->command;
    enum exit_code code = print_plan(drain);
    if (!code) {
        code = set_state(drain->remote, command, "draining", true);
    }
    if (code) {
        return code;
    }
    if (command_is_dry(command)) {
        return EXIT_CODE_OK;
    }
    if (!op_name(id, command, "drain", drain->name) ||
        !waiting_confirm(command, drain->name)) {
        return EXIT_CODE_REFUSED;
    }
    code = set_state(drain->remote, command, "draining", false);
    if (code) {
        return code;
    }
    op_say_begun(command, id);
    return command_has(command, "detach") ? EXIT_CODE_OK : follow(drain, id);
}

enum exit_code node_drain_run(const struct command *command)
{
    scoped(remote_close) struct remote *remote = NULL;
    struct drain drain = {.command = command,
                          .name = command_operand(command, 0)};
    enum exit_code code = waiting_take_deadline(&drain.deadline_ms, command);
    if (!code && command_has(command, "wait") &&
        command_has(command, "detach")) {
        code = command_misused(command, "--wait and --detach: one of them");
    }
    if (code) {
        return code;
    }
    code = waiting_open(&remote, command);
    drain.remote = remote;
    return code ? code : drain_node(&drain);
}
