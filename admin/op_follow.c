#include "admin/op_follow.h"

#include "admin/answer.h"
#include "admin/human.h"
#include "base/scope.h"

#include <inttypes.h>
#include <string.h>

#define TEXT_BYTES 160

bool op_name(char to[static OP_ID_BYTES],
             const struct command *command,
             const char *kind,
             const char *rest)
{
    int length = snprintf(to, OP_ID_BYTES, "%s-%s", kind, rest);
    if (length < 0 || length >= OP_ID_BYTES) {
        command_say(command, "`%.32s...` is no operation", to);
        return false;
    }
    return true;
}

static json_t *args_of(const char *id)
{
    return json_pack("{s:s}", "id", id);
}

/* ---- following ---- */

struct follow {
    const struct command *command;
    struct remote *remote;
    const char *id;
    char what[TEXT_BYTES]; /* as it was first */
    char why[TEXT_BYTES];  /* said last */
    int64_t done_said;     /* -1: nothing yet */
};

/* "drain-beta: 37 of 112 replicas, 33 %, 12.5 a second, 9 s to go" */
static void say_progress(struct follow *follow, const json_t *op)
{
    FILE *talk = follow->command->world->talk;
    int64_t done = answer_number(op, "percent");
    if (done == follow->done_said) {
        return;
    }
    follow->done_said = done;
    fprintf(talk, "%s: %" PRId64 " of %" PRId64 " %s, %" PRId64 " %%",
            follow->id, answer_number(op, "done"), answer_number(op, "total"),
            answer_name(op, "unit"), done);
    if (answer_has_number(op, "left_ms")) {
        fprintf(talk, ", %s a second, %s to go",
                human_real(answer_real(op, "rate")).text,
                human_span((uint64_t)answer_number(op, "left_ms")).text);
    }
    fputc('\n', talk);
    (void)fflush(talk);
}

/* Else who waits would see that it stands still, and not why. */
static void say_why(struct follow *follow, const json_t *op)
{
    FILE *talk = follow->command->world->talk;
    const char *why = answer_text(op, "why");
    if (why && *why && strcmp(why, follow->why) != 0) {
        fprintf(talk, "%s waits: %s.\n", follow->id, why);
        (void)fflush(talk);
    }
    (void)snprintf(follow->why, sizeof follow->why, "%s", why ? why : "");
}

static enum exit_code judge(struct follow *follow,
                            const json_t *op,
                            bool *is_done)
{
    const char *state = answer_name(op, "state");
    const char *what = answer_name(op, "what");
    if (!follow->what[0]) {
        (void)snprintf(follow->what, sizeof follow->what, "%s", what);
    }
    if (strncmp(follow->what, what, sizeof follow->what - 1) != 0) {
        command_say(follow->command, "%s has become another: %s", follow->id,
                    what);
        return EXIT_CODE_PARTIAL;
    }
    if (strcmp(state, "cancelled") == 0 || strcmp(state, "paused") == 0) {
        command_say(follow->command, "%s is %s: %s", follow->id, state,
                    answer_name(op, "why"));
        return EXIT_CODE_PARTIAL;
    }
    *is_done = strcmp(state, "done") == 0;
    return EXIT_CODE_OK;
}

static enum exit_code look(void *context, bool *is_done, struct err_detail *why)
{
    struct follow *follow = context;
    scoped(answer_clear) json_t *op = NULL;
    json_t *args = args_of(follow->id);
    struct remote_question question = {.verb = "op.show", .args = args};
    enum exit_code code = remote_try(follow->remote, &question, &op, why);
    json_decref(args);
    if (code) {
        return code;
    }
    code = judge(follow, op, is_done);
    if (!code && *is_done) {
        fprintf(follow->command->world->talk, "%s is done.\n", follow->id);
    } else if (!code) {
        say_progress(follow, op);
        say_why(follow, op);
    }
    return code;
}

enum exit_code op_follow(const struct command *command,
                         struct remote *remote,
                         const char *id,
                         uint64_t deadline_ms)
{
    char goes_on[4 * OP_ID_BYTES];
    struct follow follow = {
        .command = command, .remote = remote, .id = id, .done_said = -1};
    (void)snprintf(goes_on, sizeof goes_on,
                   "%s goes on: `troupe op wait %s` shows it again, `troupe "
                   "op cancel %s` ends it.",
                   id, id, id);
    return waiting_run(&(struct waiting){.command = command,
                                         .deadline_ms = deadline_ms,
                                         .goes_on = goes_on,
                                         .look = look,
                                         .context = &follow});
}

void op_say_begun(const struct command *command, const char *id)
{
    fprintf(command->world->talk,
            "It is %s: `troupe op wait %s` follows it, `troupe op cancel %s` "
            "ends it.\n",
            id, id, id);
}

enum exit_code op_begun(const struct command *command,
                        struct remote *remote,
                        const char *id)
{
    uint64_t deadline_ms = 0;
    enum exit_code code = waiting_take_deadline(&deadline_ms, command);
    op_say_begun(command, id);
    return code || !command_has(command, "wait")
               ? code
               : op_follow(command, remote, id, deadline_ms);
}

/* ---- cancelling ---- */

static enum exit_code show(struct remote *remote,
                           const struct command *command,
                           const char *id)
{
    FILE *talk = command->world->talk;
    scoped(answer_clear) json_t *op = NULL;
    struct remote_question question = {.verb = "op.show", .args = args_of(id)};
    enum exit_code code = remote_ask(remote, &question, &op);
    if (code) {
        return code;
    }
    fprintf(talk, "%s is %s, %" PRId64 " %%: %s.\n", id,
            answer_name(op, "state"), answer_number(op, "percent"),
            answer_name(op, "what"));
    if (answer_text(op, "cancel")) {
        fprintf(talk, "Cancelled: %s.\n", answer_name(op, "cancel"));
    }
    return EXIT_CODE_OK;
}

/* A dry run says nothing when it may be. */
static enum exit_code cancel(struct remote *remote,
                             const struct command *command,
                             const char *id,
                             bool is_dry)
{
    FILE *talk = command->world->talk;
    scoped(answer_clear) json_t *answer = NULL;
    struct remote_question question = {
        .verb = "op.cancel",
        .args = json_pack("{s:s, s:b}", "id", id, "dry_run", is_dry),
        .changes = true};
    enum exit_code code = remote_ask(remote, &question, &answer);
    if (!code && !is_dry) {
        fprintf(talk, "%s is cancelled: %s.\n", answer_name(answer, "id"),
                answer_name(answer, "told"));
    }
    return code;
}

enum exit_code op_cancel(const struct command *command, const char *id)
{
    scoped(remote_close) struct remote *remote = NULL;
    enum exit_code code = remote_open(&remote, command);
    if (!code) {
        code = show(remote, command, id);
    }
    if (!code) {
        code = cancel(remote, command, id, true);
    }
    if (code) {
        return code;
    }
    if (command_is_dry(command)) {
        return EXIT_CODE_OK;
    }
    return command_confirm(command, id) ? cancel(remote, command, id, false)
                                        : EXIT_CODE_REFUSED;
}
