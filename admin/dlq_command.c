#include "admin/dlq_command.h"

#include "admin/answer.h"
#include "admin/task_verbs.h"
#include "admin/waiting.h"
#include "base/scope.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 1024

static enum exit_code fetch(const struct command *command,
                            struct remote *remote,
                            json_t **answer)
{
    struct task_ls_filter filter = {.pool = command_value(command, "pool"),
                                    .state = "dead",
                                    .limit = LIMIT_DEFAULT};
    enum exit_code code =
        task_take_number(&filter.limit, command, "limit", 1, LIMIT_MAX);
    return code ? code : task_ls_fetch(command, remote, &filter, answer);
}

static enum exit_code ls_run(const struct command *command)
{
    return reading_run(command, &(struct reading){.verb = "dlq.ls",
                                                  .fetch = fetch,
                                                  .print = task_ls_print});
}

/* ---- all of a pool ---- */

struct sweep {
    struct task_talk talk;
    enum book_request_kind kind;
    struct task_ls_filter filter;
    uint64_t changed;
};

static uint64_t *ids_of(const json_t *answer, uint64_t *count)
{
    size_t total = answer_count(answer, "tasks");
    uint64_t *ids = calloc(total + 1, sizeof *ids);
    *count = 0;
    for (size_t i = 0; ids && i < total; i++) {
        const char *text = answer_text(answer_item(answer, "tasks", i), "id");
        *count += text && !task_id_parse(&ids[*count], text);
    }
    return ids;
}

/* Those that are listed now. */
static enum exit_code sweep_once(struct sweep *sweep, uint64_t *changed)
{
    uint64_t count = 0;
    scoped(answer_clear) json_t *answer = NULL;
    const struct command *command = sweep->talk.command;
    enum exit_code code =
        task_ls_fetch(command, sweep->talk.remote, &sweep->filter, &answer);
    if (code) {
        return code;
    }
    uint64_t *ids = ids_of(answer, &count);
    if (!ids) {
        return command_failed(command, ERR_MEMORY, "the list");
    }
    *changed = 0;
    code = task_change(&sweep->talk, sweep->kind, ids, count, changed);
    free(ids);
    return code;
}

/* Until there are none: with each round, as many go as a list may have. What
 * fails again meanwhile does not come round again. */
static enum exit_code sweep_all(struct sweep *sweep)
{
    uint64_t changed = 1;
    enum exit_code code = EXIT_CODE_OK;
    while (!code && changed > 0 && task_talk_wait(&sweep->talk, 0)) {
        code = sweep_once(sweep, &changed);
        sweep->changed += code ? 0 : changed;
    }
    return code;
}

static enum exit_code change_listed(struct sweep *sweep)
{
    const struct command *command = sweep->talk.command;
    uint64_t *ids = calloc(command->operand_count, sizeof *ids);
    enum exit_code code =
        ids ? EXIT_CODE_OK : command_failed(command, ERR_MEMORY, "tasks");
    for (uint32_t i = 0; i < command->operand_count && !code; i++) {
        code = task_take_id(&ids[i], command, command_operand(command, i));
    }
    if (!code) {
        code = task_change(&sweep->talk, sweep->kind, ids,
                           command->operand_count, &sweep->changed);
    }
    free(ids);
    return code;
}

static enum exit_code check(const struct command *command)
{
    bool is_all = command_has(command, "all");
    if (is_all == (command->operand_count > 0)) {
        return command_misused(command, "which? Give tasks, or --all (with "
                                        "--pool those of one pool)");
    }
    if (!is_all && command_has(command, "pool")) {
        return command_misused(command, "--pool goes with --all");
    }
    return EXIT_CODE_OK;
}

static enum exit_code change_run(const struct command *command,
                                 enum book_request_kind kind,
                                 const char *done)
{
    scoped(remote_close) struct remote *remote = NULL;
    bool is_all = command_has(command, "all");
    enum exit_code code = check(command);
    if (!code && kind == BOOK_PURGE &&
        !command_confirm(command, is_all ? "all" : "purge")) {
        code = EXIT_CODE_REFUSED;
    }
    if (!code) {
        code = waiting_open(&remote, command);
    }
    if (code) {
        return code;
    }
    struct sweep sweep = {
        .talk = {.command = command, .remote = remote},
        .kind = kind,
        .filter = {.pool = command_value(command, "pool"),
                   .state = "dead",
                   .limit = LIMIT_MAX,
                   .until_ms = clock_wall_ms(command->world->clock)}};
    code = is_all ? sweep_all(&sweep) : change_listed(&sweep);
    fprintf(command->world->talk, "%" PRIu64 " dead letters %s.\n",
            sweep.changed, done);
    if (!code && (sweep.talk.is_interrupted ||
                  (!is_all && sweep.changed < command->operand_count))) {
        code = EXIT_CODE_PARTIAL;
    }
    return code;
}

static enum exit_code retry_run(const struct command *command)
{
    return change_run(command, BOOK_RETRY, "wait again");
}

static enum exit_code purge_run(const struct command *command)
{
    return change_run(command, BOOK_PURGE, "are forgotten");
}

static const struct command_flag ls_flags[] = {
    REMOTE_FLAGS,
    READING_FLAGS,
    {.name = "pool", .value = "POOL", .text = "of this pool alone"},
    {.name = "limit",
     .value = "N",
     .text = "at most so many, the newest (100)"},
    {0}};

static const struct command_flag retry_flags[] = {
    REMOTE_FLAGS,
    {.name = "all", .text = "all that there are"},
    {.name = "pool", .value = "POOL", .text = "with --all: of this pool alone"},
    {0}};

static const struct command_flag purge_flags[] = {
    REMOTE_FLAGS,
    {.name = "all", .text = "all that there are"},
    {.name = "pool", .value = "POOL", .text = "with --all: of this pool alone"},
    {.name = "yes", .text = "do not ask"},
    {0}};

static const struct command_verb verbs[] = {
    {.name = "ls",
     .operands = "",
     .summary = "List tasks that have failed for good, the newest first.\nWith "
                "why the last attempt failed.",
     .examples = {"troupe dlq ls", "troupe dlq ls --pool thumbs",
                  "troupe dlq ls --json"},
     .flags = ls_flags,
     .has_json = true,
     .run = ls_run},
    {.name = "retry",
     .operands = "[TASK...]",
     .operand_count_max = UINT32_MAX,
     .summary = "Try dead letters again.\nThose that are named, or with --all "
                "all of them.",
     .examples = {"troupe dlq retry 17-4021", "troupe dlq retry --all",
                  "troupe dlq retry --all --pool thumbs"},
     .flags = retry_flags,
     .steers = true,
     .run = retry_run},
    {.name = "purge",
     .operands = "[TASK...]",
     .operand_count_max = UINT32_MAX,
     .summary = "Forget dead letters.\nThey are gone then: asks before.",
     .examples = {"troupe dlq purge 17-4021", "troupe dlq purge --all",
                  "troupe dlq purge --all --pool thumbs --yes"},
     .flags = purge_flags,
     .steers = true,
     .run = purge_run},
    {0}};

const struct command_noun dlq_command = {
    .name = "dlq",
    .summary =
        "Dead letters: tasks that have failed as often as they may.\nThey "
        "are kept, with why, until somebody tries them again or forgets "
        "them.",
    .verbs = verbs,
};
