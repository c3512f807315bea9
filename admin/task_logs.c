#include "admin/task_verbs.h"

#include "admin/answer.h"
#include "admin/task_output.h"
#include "admin/waiting.h"
#include "base/scope.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PAUSE_MS 250 /* between looks at what it has written */

const struct command_flag task_logs_flags[] = {
    REMOTE_FLAGS,
    READING_FLAGS,
    {.name = "follow",
     .text = "go on until it ends: also with its next attempt, wherever that "
             "runs",
     .letter = 'f'},
    {0}};

/* What was written of a task, and how much of that is printed. */
struct logs {
    const struct command *command;
    struct remote *remote;
    const char *id;
    bool follows;
    bool is_opaque; /* what it writes is not seen before it ends */

    /* Of the attempt that was seen last. */
    int64_t token;   /* 0: none was */
    int64_t attempt; /* from 1 on */
    size_t out_bytes;
    size_t err_bytes;
    bool is_cut; /* and it was said */

    char said[sizeof(struct err_detail)]; /* what it waits for, last */
};

/* ---- printing ---- */

/* What lies behind that which is printed. */
static void print_behind(FILE *to, struct bytes all, size_t *printed)
{
    if (all.length > *printed) {
        (void)fwrite(all.data + *printed, 1, all.length - *printed, to);
        (void)fflush(to);
        *printed = all.length;
    }
}

static void say_cut(struct logs *logs, int64_t bytes)
{
    if (bytes > 0 && !logs->is_cut) {
        command_say(logs->command,
                    "it writes more than its pool keeps (output_bytes_max): "
                    "what is more is not seen");
        logs->is_cut = true;
    }
}

/* ---- one that has ended ---- */

static void say_end(const struct logs *logs,
                    const json_t *task,
                    const struct task_command_result *result)
{
    const char *state = answer_name(task, "state");
    const char *error = answer_text(task, "error");
    if (result->cut_bytes > 0) {
        command_say(logs->command,
                    "%" PRIu64 " bytes more were written than its pool keeps",
                    result->cut_bytes);
    }
    if (strcmp(state, "done") != 0) {
        command_say(logs->command, "the task is %s%s%s", state,
                    error ? ": " : "", error ? error : "");
    }
}

static enum exit_code print_end(struct logs *logs, const json_t *task)
{
    const struct command_world *world = logs->command->world;
    size_t length = 0;
    uint8_t *bytes = answer_bytes(task, "output", &length);
    if (!bytes) {
        return command_failed(logs->command, ERR_MEMORY, "the output");
    }
    if (logs->token != 0 && length > 0 &&
        logs->attempt != answer_number(task, "attempts")) {
        command_say(logs->command, "attempt %" PRId64 ", which was the last:",
                    answer_number(task, "attempts"));
        logs->out_bytes = logs->err_bytes = 0;
    }
    struct task_command_result result = {.out = bytes_of(bytes, length)};
    struct bytes all = result.out;
    if (!task_command_result_read(&result, all)) {
        result = (struct task_command_result){.out = all};
    }
    print_behind(world->out, result.out, &logs->out_bytes);
    print_behind(world->talk, result.err, &logs->err_bytes);
    say_end(logs, task, &result);
    free(bytes);
    return EXIT_CODE_OK;
}

/* ---- one that runs ---- */

static void begin_attempt(struct logs *logs, const json_t *seen)
{
    int64_t attempt = answer_number(seen, "attempt");
    bool is_next = logs->token != 0;
    if (logs->follows) {
        command_say(logs->command, "attempt %" PRId64 " runs on %s%s", attempt,
                    answer_name(seen, "node"),
                    is_next ? "; what the one before wrote last is not kept"
                            : "");
    }
    logs->token = answer_number(seen, "token");
    logs->attempt = attempt;
    logs->out_bytes = logs->err_bytes = 0;
    logs->is_cut = false;
}

/* What an answer has under this key, behind what the question said. */
static enum exit_code print_part(const struct logs *logs,
                                 const json_t *seen,
                                 const char *key,
                                 size_t *printed)
{
    const struct command_world *world = logs->command->world;
    size_t length = 0;
    uint8_t *bytes = answer_bytes(seen, key, &length);
    if (!bytes) {
        return command_failed(logs->command, ERR_MEMORY, "the output");
    }
    FILE *to = strcmp(key, "stdout") == 0 ? world->out : world->talk;
    (void)fwrite(bytes, 1, length, to);
    (void)fflush(to);
    *printed += length;
    free(bytes);
    return EXIT_CODE_OK;
}

static enum exit_code print_seen(struct logs *logs, const json_t *seen)
{
    if (answer_number(seen, "token") != logs->token) {
        begin_attempt(logs, seen);
    }
    enum exit_code code = print_part(logs, seen, "stdout", &logs->out_bytes);
    code = code ? code : print_part(logs, seen, "stderr", &logs->err_bytes);
    say_cut(logs, answer_number(seen, "cut"));
    return code;
}

static void say_where(struct logs *logs, const char *what)
{
    if (strcmp(logs->said, what) != 0) {
        (void)snprintf(logs->said, sizeof logs->said, "%s", what);
        command_say(logs->command, "%s", what);
    }
}

/* Its lease goes on for a time; what comes of that is known where it is led. */
static void say_away(struct logs *logs,
                     const char *node,
                     const struct err_detail *why)
{
    if (strcmp(logs->said, node) != 0) {
        (void)snprintf(logs->said, sizeof logs->said, "%s", node);
        command_say(logs->command,
                    "it runs on %s, which cannot be asked just now: %s", node,
                    why->text);
    }
}

static enum exit_code look_at_attempt(struct logs *logs,
                                      const char *node,
                                      struct err_detail *why)
{
    scoped(answer_clear) json_t *seen = NULL;
    scoped(answer_clear) json_t *args = json_pack(
        "{s:s, s:s, s:I, s:I, s:I}", "id", logs->id, "name", node, "token",
        (json_int_t)logs->token, "stdout_at", (json_int_t)logs->out_bytes,
        "stderr_at", (json_int_t)logs->err_bytes);
    struct remote_question question = {.verb = "task.output", .args = args};
    enum exit_code code = remote_try(logs->remote, &question, &seen, why);
    if (code == EXIT_CODE_REFUSED) {
        logs->is_opaque = true;
        say_where(logs, why->text);
        why->text[0] = '\0';
        return EXIT_CODE_OK;
    }
    if (code && logs->follows) {
        say_away(logs, node, why);
        why->text[0] = '\0';
        return EXIT_CODE_OK;
    }
    logs->said[0] = '\0';
    if (!code && answer_is(seen, "running")) {
        code = print_seen(logs, seen);
    }
    if (!code && !logs->follows) {
        say_where(logs, answer_is(seen, "running")
                            ? "it still runs: --follow goes on until it ends"
                            : "it has just ended, which is being recorded");
    }
    return code;
}

/* ---- looking ---- */

static enum exit_code look(void *context, bool *is_done, struct err_detail *why)
{
    struct logs *logs = context;
    scoped(answer_clear) json_t *task = NULL;
    scoped(answer_clear) json_t *args = json_pack("{s:s}", "id", logs->id);
    struct remote_question question = {.verb = "task.show", .args = args};
    enum exit_code code = remote_try(logs->remote, &question, &task, why);
    if (code) {
        return code;
    }
    const char *agent = answer_text(task, "agent");
    *is_done = !logs->follows;
    if (strcmp(answer_name(task, "state"), "waiting") != 0) {
        *is_done = true;
        return print_end(logs, task);
    }
    if (agent && !logs->is_opaque) {
        return look_at_attempt(logs, agent, why);
    }
    if (!agent && strcmp(logs->said, answer_name(task, "work")) != 0) {
        command_say(logs->command, "it does not run now: %s",
                    answer_name(task, "why"));
        (void)snprintf(logs->said, sizeof logs->said, "%s",
                       answer_name(task, "work"));
    }
    return EXIT_CODE_OK;
}

static enum exit_code look_once(struct logs *logs)
{
    struct err_detail why = {{0}};
    bool is_done = false;
    enum exit_code code = look(logs, &is_done, &why);
    if (why.text[0]) {
        command_say(logs->command, "%s", why.text);
    }
    return code;
}

static enum exit_code check(const struct command *command)
{
    bool has_json = command_has(command, "json");
    if (command_has(command, "follow") &&
        (has_json || command_has(command, "watch"))) {
        return command_misused(command, "--follow goes without --json and "
                                        "--watch");
    }
    return !has_json && command_has(command, "watch")
               ? command_misused(command, "--watch goes with --json; --follow "
                                          "shows what comes")
               : EXIT_CODE_OK;
}

enum exit_code task_logs_run(const struct command *command)
{
    uint64_t id = 0;
    struct logs logs = {.command = command,
                        .id = command_operand(command, 0),
                        .follows = command_has(command, "follow")};
    enum exit_code code = check(command);
    if (!code && command_has(command, "json")) {
        return task_look_at(command,
                            &(struct reading){.narrow = task_show_narrow});
    }
    if (!code) {
        code = task_take_id(&id, command, logs.id);
    }
    scoped(remote_close) struct remote *remote = NULL;
    if (!code) {
        code = waiting_open(&remote, command);
    }
    if (code) {
        return code;
    }
    logs.remote = remote;
    if (!logs.follows) {
        return look_once(&logs);
    }
    return waiting_run(&(struct waiting){.command = command,
                                         .pause_ms = PAUSE_MS,
                                         .goes_on = "the task goes on.",
                                         .look = look,
                                         .context = &logs});
}
