#include "admin/dlq_command.h"

#include "admin/answer.h"
#include "admin/each_node.h"
#include "admin/task_verbs.h"
#include "admin/waiting.h"
#include "base/scope.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static enum exit_code fetch(const struct command *command,
                            struct remote *remote,
                            json_t **answer)
{
    struct task_filter filter = {.pool = command_value(command, "pool"),
                                 .state = "dead"};
    return task_list_fetch(command, remote, &filter, answer);
}

static enum exit_code ls_run(const struct command *command)
{
    return reading_run(command, &(struct reading){.verb = "dlq.ls",
                                                  .fetch = fetch,
                                                  .print = task_list_print});
}

/* ---- all of a pool ---- */

struct sweep {
    struct task_talk talk;
    enum book_request_kind kind;
    struct task_parts parts;
    uint64_t changed;
};

static uint64_t *ids_of(const json_t *tasks, uint64_t *count)
{
    size_t total = json_array_size(tasks);
    uint64_t *ids = calloc(total + 1, sizeof *ids);
    *count = 0;
    for (size_t i = 0; ids && i < total; i++) {
        const char *text = answer_text(json_array_get(tasks, i), "id");
        *count += text && !task_id_parse(&ids[*count], text);
    }
    return ids;
}

static enum exit_code change_part(void *context, const json_t *tasks)
{
    struct sweep *sweep = context;
    uint64_t count = 0;
    if (!task_talk_wait(&sweep->talk, 0)) {
        return EXIT_CODE_PARTIAL;
    }
    uint64_t *ids = ids_of(tasks, &count);
    if (!ids) {
        return command_failed(sweep->talk.command, ERR_MEMORY, "the list");
    }
    enum exit_code code = count > 0 ? task_change(&sweep->talk, sweep->kind,
                                                  ids, count, &sweep->changed)
                                    : EXIT_CODE_OK;
    free(ids);
    return code;
}

/* Until there are none: shards may get other leaders under our hands. What
 * fails again meanwhile does not come round again. */
static enum exit_code sweep_all(struct sweep *sweep)
{
    scoped(answer_clear) json_t *away = NULL;
    uint64_t before = 0;
    enum exit_code code = EXIT_CODE_OK;
    do {
        before = sweep->changed;
        json_decref(away);
        code = task_parts_read(sweep->talk.remote, &sweep->parts, &away);
    } while (!code && sweep->changed > before);
    each_node_say_away(sweep->talk.command, away);
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
        .parts = {.filter = {.pool = command_value(command, "pool"),
                             .state = "dead",
                             .until_ms = clock_wall_ms(command->world->clock)},
                  .take = change_part}};
    sweep.parts.context = &sweep;
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
