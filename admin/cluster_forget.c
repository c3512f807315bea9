#include "admin/cluster_verbs.h"

#include "admin/answer.h"
#include "admin/remote.h"
#include "base/scope.h"

#include <inttypes.h>

/* What would be lost, or why it would be refused. */
static void print_plan(const struct command *command, const json_t *node)
{
    fprintf(command->world->talk,
            "%s (number %" PRId64 ", %s, %s) owns %" PRId64
            " shards and holds %" PRId64 " replicas.\n"
            "Forgotten, it is no member any more; its certificate stays valid "
            "until `troupe key revoke`.\n",
            answer_name(node, "name"), answer_number(node, "number"),
            answer_name(node, "state"),
            answer_is(node, "is_up") ? "up" : "away",
            answer_number(node, "owners"), answer_number(node, "replicas"));
}

static enum exit_code look(struct remote *remote,
                           const struct command *command,
                           const char *name)
{
    scoped(answer_clear) json_t *node = NULL;
    struct remote_question question = {
        .verb = "node.show", .args = json_pack("{s:s}", "name", name)};
    enum exit_code code = remote_ask(remote, &question, &node);
    if (!code) {
        print_plan(command, node);
    }
    return code;
}

/* A dry run says nothing when it may be. */
static enum exit_code forget(struct remote *remote,
                             const struct command *command,
                             const char *name,
                             bool is_dry)
{
    scoped(answer_clear) json_t *answer = NULL;
    struct remote_question question = {
        .verb = "member.forget",
        .args = json_pack("{s:s, s:b, s:b}", "name", name, "force",
                          command_has(command, "force"), "dry_run", is_dry),
        .changes = true};
    enum exit_code code = remote_ask(remote, &question, &answer);
    if (!code && !is_dry) {
        fprintf(command->world->talk, "%s is forgotten.\n", name);
    }
    return code;
}

enum exit_code cluster_forget_run(const struct command *command)
{
    const char *name = command_operand(command, 0);
    scoped(remote_close) struct remote *remote = NULL;
    enum exit_code code = remote_open(&remote, command);
    if (!code) {
        code = look(remote, command, name);
    }
    if (!code) {
        code = forget(remote, command, name, true);
    }
    if (code) {
        return code;
    }
    if (command_is_dry(command)) {
        return EXIT_CODE_OK;
    }
    return command_confirm(command, name) ? forget(remote, command, name, false)
                                          : EXIT_CODE_REFUSED;
}
