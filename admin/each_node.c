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

static enum exit_code visit_node(struct remote *remote,
                                 const struct each_node *each,
                                 const json_t *node,
                                 json_t *away)
{
    struct err_detail why = {{0}};
    scoped(remote_close) struct remote *own = NULL;
    struct client_node at = {answer_name(node, "name"),
                             answer_name(node, "door")};
    enum exit_code code =
        remote_connect_node(&own, remote, &at, CONNECT_MS, &why);
    if (!code) {
        code = each->visit(each->context, own, &why);
    }
    if (code) {
        note_away(away, at.name, code, &why);
    }
    return code;
}

/* What the last of those said who do not count; EXIT_CODE_OK: one does. */
static enum exit_code visit_all(struct remote *remote,
                                const struct each_node *each,
                                const json_t *nodes,
                                json_t *away)
{
    bool is_any = false;
    enum exit_code last = EXIT_CODE_UNREACHABLE;
    for (size_t i = 0; i < answer_count(nodes, "members"); i++) {
        const json_t *node = answer_item(nodes, "members", i);
        if (answer_is(node, "is_up")) {
            enum exit_code code = visit_node(remote, each, node, away);
            is_any = is_any || !code;
            last = code ? code : last;
        } else {
            note_away(away, answer_name(node, "name"), EXIT_CODE_UNREACHABLE,
                      &(struct err_detail){"it is not heard"});
        }
    }
    return is_any ? EXIT_CODE_OK : last;
}

static enum exit_code visit_this(struct remote *remote,
                                 const struct each_node *each)
{
    struct err_detail why = {{0}};
    enum exit_code code = each->visit(each->context, remote, &why);
    if (code) {
        command_say(remote_command(remote), "%s",
                    why.text[0] ? why.text : exit_code_text(code));
    }
    return code;
}

enum exit_code each_node_visit(struct remote *remote,
                               const struct each_node *each,
                               json_t **away)
{
    const struct command *command = remote_command(remote);
    scoped(answer_clear) json_t *nodes = NULL;
    struct remote_question who = {.verb = "node.ls"};
    *away = json_array();
    if (command_has(command, "node")) {
        return visit_this(remote, each);
    }
    who.args = json_pack("{s:b}", "stale", 1);
    enum exit_code code = remote_ask(remote, &who, &nodes);
    if (code) {
        return code;
    }
    code = visit_all(remote, each, nodes, *away);
    if (code) {
        size_t count = json_array_size(*away);
        command_say(command, "%s",
                    count > 0
                        ? answer_name(json_array_get(*away, count - 1), "why")
                        : "there is no node");
    }
    return code;
}

struct asking {
    const struct remote_question *question;
    json_t *answers;
};

static enum exit_code ask_node(void *context,
                               struct remote *node,
                               struct err_detail *why)
{
    const struct asking *asking = context;
    json_t *answer = NULL;
    enum exit_code code = remote_try(node, asking->question, &answer, why);
    if (!code) {
        (void)json_array_append_new(asking->answers, answer);
    }
    return code;
}

enum exit_code each_node_ask(struct remote *remote,
                             const struct remote_question *question,
                             json_t **answers,
                             json_t **away)
{
    *answers = json_array();
    struct asking asking = {question, *answers};
    return each_node_visit(remote, &(struct each_node){ask_node, &asking},
                           away);
}

void each_node_say_away(const struct command *command, const json_t *away)
{
    for (size_t i = 0; i < json_array_size(away); i++) {
        const json_t *node = json_array_get(away, i);
        command_say(command, "node %s is not counted: %s",
                    answer_name(node, "name"), answer_name(node, "why"));
    }
}
