#include "admin/each_node.h"

#include "admin/answer.h"
#include "base/scope.h"
#include "client/client.h"

#define CONNECT_MS 2000

static void note_away(json_t *away,
                      const char *name,
                      enum exit_code code,
                      const struct err_detail *why)
{
    (void)json_array_append_new(
        away, json_pack("{s:s, s:s}", "name", name, "why",
                        why->text[0] ? why->text : exit_code_text(code)));
}

static enum exit_code ask_node(const struct remote *remote,
                               const struct remote_question *question,
                               const json_t *node,
                               json_t *answers,
                               json_t *away)
{
    struct err_detail why = {{0}};
    json_t *answer = NULL;
    scoped(remote_close) struct remote *own = NULL;
    struct client_node at = {answer_name(node, "name"),
                             answer_name(node, "door")};
    enum exit_code code =
        remote_connect_node(&own, remote, &at, CONNECT_MS, &why);
    if (!code) {
        code = remote_try(own, question, &answer, &why);
    }
    if (code) {
        note_away(away, at.name, code, &why);
    } else {
        (void)json_array_append_new(answers, answer);
    }
    return code;
}

static enum exit_code ask_this(struct remote *remote,
                               const struct remote_question *question,
                               json_t *answers)
{
    json_t *answer = NULL;
    struct remote_question own = *question;
    own.args = json_incref(question->args); /* it is taken */
    enum exit_code code = remote_ask(remote, &own, &answer);
    if (!code) {
        (void)json_array_append_new(answers, answer);
    }
    return code;
}

/* What the last of those said who did not answer. */
static enum exit_code ask_all(struct remote *remote,
                              const struct remote_question *question,
                              const json_t *nodes,
                              json_t *answers,
                              json_t *away)
{
    enum exit_code last = EXIT_CODE_UNREACHABLE;
    for (size_t i = 0; i < answer_count(nodes, "members"); i++) {
        const json_t *node = answer_item(nodes, "members", i);
        if (answer_is(node, "is_up")) {
            enum exit_code code =
                ask_node(remote, question, node, answers, away);
            last = code ? code : last;
        } else {
            note_away(away, answer_name(node, "name"), EXIT_CODE_UNREACHABLE,
                      &(struct err_detail){"it is not heard"});
        }
    }
    return last;
}

enum exit_code each_node_ask(struct remote *remote,
                             const struct remote_question *question,
                             json_t **answers,
                             json_t **away)
{
    const struct command *command = remote_command(remote);
    scoped(answer_clear) json_t *nodes = NULL;
    struct remote_question who = {.verb = "node.ls"};
    *answers = json_array();
    *away = json_array();
    if (command_has(command, "node")) {
        return ask_this(remote, question, *answers);
    }
    who.args = json_pack("{s:b}", "stale", 1);
    enum exit_code code = remote_ask(remote, &who, &nodes);
    if (code) {
        return code;
    }
    code = ask_all(remote, question, nodes, *answers, *away);
    if (json_array_size(*answers) == 0) {
        size_t count = json_array_size(*away);
        command_say(command, "%s",
                    count > 0
                        ? answer_name(json_array_get(*away, count - 1), "why")
                        : "there is no node");
        return code;
    }
    return EXIT_CODE_OK;
}

void each_node_say_away(const struct command *command, const json_t *answer)
{
    for (size_t i = 0; i < answer_count(answer, "away"); i++) {
        const json_t *node = answer_item(answer, "away", i);
        command_say(command, "node %s is not counted: %s",
                    answer_name(node, "name"), answer_name(node, "why"));
    }
}
