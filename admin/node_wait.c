#include "admin/node_verbs.h"

#include "admin/answer.h"
#include "admin/waiting.h"
#include "base/scope.h"

#include <string.h>

/* Of a node as the meta group's leader sees it. */
typedef bool is_so(const json_t *node, const json_t *progress);

static bool is_ready(const json_t *node, const json_t *progress)
{
    (void)progress;
    return answer_is(node, "is_up") &&
           strcmp(answer_name(node, "state"), "active") == 0 &&
           answer_has_number(node, "view") &&
           answer_number(node, "leads") >= answer_number(node, "owners");
}

static bool is_drained(const json_t *node, const json_t *progress)
{
    return strcmp(answer_name(node, "state"), "draining") == 0 &&
           strcmp(answer_name(progress, "state"), "done") == 0;
}

static bool is_away(const json_t *node, const json_t *progress)
{
    (void)progress;
    return json_is_false(answer_at(node, "is_up"));
}

static const struct state {
    const char *name;
    is_so *is_so;
    bool needs_progress;
} states[] = {
    {"ready", is_ready, false}, /* the default is the first */
    {"drained", is_drained, true},
    {"away", is_away, false},
};

struct node_wait {
    struct remote *remote;
    const char *name;
    const struct state *state;
    bool may_lack; /* a node that is to join is no member before */
};

static enum exit_code ask(const struct node_wait *wait,
                          const char *verb,
                          const char *key,
                          const char *value,
                          json_t **answer,
                          struct err_detail *why)
{
    json_t *args = json_pack("{s:s}", key, value);
    struct remote_question question = {.verb = verb, .args = args};
    enum exit_code code = remote_try(wait->remote, &question, answer, why);
    json_decref(args);
    return code;
}

static enum exit_code look(void *context, bool *is_done, struct err_detail *why)
{
    const struct node_wait *wait = context;
    scoped(answer_clear) json_t *node = NULL;
    scoped(answer_clear) json_t *progress = NULL;
    char id[128];
    (void)snprintf(id, sizeof id, "drain-%s", wait->name);
    enum exit_code code =
        ask(wait, "node.show", "name", wait->name, &node, why);
    if (code == EXIT_CODE_USAGE && wait->may_lack) {
        return EXIT_CODE_OK;
    }
    if (!code && wait->state->needs_progress) {
        code = ask(wait, "op.show", "id", id, &progress, why);
    }
    *is_done = !code && wait->state->is_so(node, progress);
    return code;
}

static const struct state *find_state(const struct command *command)
{
    const char *name = command_value(command, "state");
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        if (!name || strcmp(states[i].name, name) == 0) {
            return &states[i];
        }
    }
    return NULL;
}

enum exit_code node_wait_run(const struct command *command)
{
    scoped(remote_close) struct remote *remote = NULL;
    struct node_wait wait = {.name = command_operand(command, 0),
                             .state = find_state(command)};
    struct waiting waiting = {.command = command,
                              .goes_on = "nothing was changed.",
                              .look = look,
                              .context = &wait};
    enum exit_code code = waiting_take_deadline(&waiting.deadline_ms, command);
    if (!code && !wait.state) {
        code =
            command_misused(command, "--state: `%.32s`: ready, drained or away",
                            command_value(command, "state"));
    }
    if (!code) {
        wait.may_lack = waiting.deadline_ms > 0 && wait.state == states;
        code = waiting_open(&remote, command);
    }
    wait.remote = remote;
    if (!code) {
        code = waiting_run(&waiting);
    }
    if (!code) {
        fprintf(command->world->talk, "%s is %s.\n", wait.name,
                wait.state->name);
    }
    return code;
}
