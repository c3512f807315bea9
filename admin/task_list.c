#include "admin/task_verbs.h"

#include "admin/answer.h"
#include "admin/each_node.h"
#include "admin/human.h"
#include "admin/table.h"
#include "base/scope.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 100000
#define PART_MAX 1024 /* tasks in an answer */

const struct command_flag task_ls_flags[] = {
    REMOTE_FLAGS,
    READING_FLAGS,
    {.name = "pool", .value = "POOL", .text = "of this pool alone"},
    {.name = "state",
     .value = "STATE",
     .text = "waiting (also running), done, dead, cancelled or expired alone"},
    {.name = "limit",
     .value = "N",
     .text = "at most so many, the newest (100)"},
    {0}};

/* ---- in parts ---- */

static json_t *args_of(const struct task_filter *filter, const json_t *cursor)
{
    return json_pack("{s:s*, s:s*, s:i, s:I, s:o*, s:O*}", "pool", filter->pool,
                     "state", filter->state, "limit", PART_MAX, "since_ms",
                     (json_int_t)filter->since_ms, "until_ms",
                     filter->until_ms ? json_integer(filter->until_ms) : NULL,
                     "cursor", cursor);
}

/* All parts of a node. */
static enum exit_code read_node(void *context,
                                struct remote *node,
                                struct err_detail *why)
{
    struct task_parts *parts = context;
    scoped(answer_clear) json_t *answer = NULL;
    if (parts->taken) {
        return EXIT_CODE_OK;
    }
    do {
        scoped(answer_clear) json_t *args =
            args_of(&parts->filter, answer_at(answer, "cursor"));
        struct remote_question question = {.verb = "task.ls", .args = args};
        json_decref(answer);
        enum exit_code code = remote_try(node, &question, &answer, why);
        if (code) {
            return code;
        }
        parts->taken = parts->take(parts->context, answer_at(answer, "tasks"));
    } while (!parts->taken && json_is_integer(answer_at(answer, "cursor")));
    return EXIT_CODE_OK;
}

enum exit_code task_parts_read(struct remote *remote,
                               struct task_parts *parts,
                               json_t **away)
{
    enum exit_code code =
        each_node_visit(remote, &(struct each_node){read_node, parts}, away);
    return code ? code : parts->taken;
}

/* ---- the newest ---- */

/* One more than are wanted, to know whether there are more. */
struct newest {
    struct task_parts parts;
    const struct command *command;
    json_t **tasks;
    size_t count;
    size_t wanted;
};

static int compare_newest(const void *left, const void *right)
{
    const json_t *one = *(json_t *const *)left;
    const json_t *other = *(json_t *const *)right;
    int64_t difference =
        answer_number(other, "accepted_ms") - answer_number(one, "accepted_ms");
    return difference > 0 ? 1
           : difference < 0
               ? -1
               : strcmp(answer_name(one, "id"), answer_name(other, "id"));
}

/* One whose shard has got another leader meanwhile may be there twice. */
static void drop_doubled(struct newest *newest)
{
    size_t count = 0;
    for (size_t i = 0; i < newest->count; i++) {
        if (count > 0 &&
            compare_newest(&newest->tasks[count - 1], &newest->tasks[i]) == 0) {
            json_decref(newest->tasks[i]);
        } else {
            newest->tasks[count++] = newest->tasks[i];
        }
    }
    newest->count = count;
}

static void keep_newest(struct newest *newest)
{
    size_t keep = newest->wanted + 1;
    if (newest->count > 0) {
        qsort(newest->tasks, newest->count, sizeof *newest->tasks,
              compare_newest);
    }
    drop_doubled(newest);
    while (newest->count > keep) {
        json_decref(newest->tasks[--newest->count]);
    }
    if (newest->count == keep) { /* what is older is of no use */
        newest->parts.filter.since_ms =
            answer_number(newest->tasks[keep - 1], "accepted_ms");
    }
}

static enum exit_code take_part(void *context, const json_t *tasks)
{
    struct newest *newest = context;
    size_t more = json_array_size(tasks);
    if (more == 0) {
        return EXIT_CODE_OK;
    }
    json_t **all =
        realloc(newest->tasks, (newest->count + more) * sizeof(json_t *));
    if (!all) {
        return command_failed(newest->command, ERR_MEMORY, "the list");
    }
    newest->tasks = all;
    for (size_t i = 0; i < more; i++) {
        all[newest->count++] = json_incref(json_array_get(tasks, i));
    }
    if (newest->count / 2 > newest->wanted) { /* not at each: it sorts */
        keep_newest(newest);
    }
    return EXIT_CODE_OK;
}

/* What is kept, as a list; it is not kept any more. */
static json_t *take_newest(struct newest *newest)
{
    json_t *list = json_array();
    for (size_t i = 0; i < newest->count; i++) {
        if (i < newest->wanted) {
            (void)json_array_append_new(list, newest->tasks[i]);
        } else {
            json_decref(newest->tasks[i]);
        }
    }
    free(newest->tasks);
    return list;
}

enum exit_code task_list_fetch(const struct command *command,
                               struct remote *remote,
                               const struct task_filter *filter,
                               json_t **answer)
{
    uint64_t limit = LIMIT_DEFAULT;
    scoped(answer_clear) json_t *away = NULL;
    enum exit_code code =
        task_take_number(&limit, command, "limit", 1, LIMIT_MAX);
    if (code) {
        return code;
    }
    struct newest newest = {.parts = {.filter = *filter, .take = take_part},
                            .command = command,
                            .wanted = (size_t)limit};
    newest.parts.context = &newest;
    code = task_parts_read(remote, &newest.parts, &away);
    keep_newest(&newest);
    bool is_cut = newest.count > newest.wanted;
    scoped(answer_clear) json_t *tasks = take_newest(&newest);
    if (code) {
        return code;
    }
    *answer = json_pack("{s:i, s:O, s:b, s:O}", "v", 1, "tasks", tasks,
                        "is_cut", is_cut, "away", away);
    return *answer ? EXIT_CODE_OK
                   : command_failed(command, ERR_MEMORY, "the list");
}

/* ---- for people ---- */

static const struct table_column columns[] = {
    {"ID", false},      {"POOL", false},
    {"STATE", false},   {"WORK", false},
    {"ATTEMPTS", true}, {"SUBMITTED", true},
    {"NODE", false},    {"KEY", false},
    {"ERROR", false},   {0}};

static enum table_tone tone_of(const char *state)
{
    return strcmp(state, "done") == 0      ? TABLE_GOOD
           : strcmp(state, "dead") == 0    ? TABLE_BAD
           : strcmp(state, "waiting") == 0 ? TABLE_PLAIN
                                           : TABLE_WARNING;
}

static void add_task(struct table *table, const json_t *task, int64_t now_ms)
{
    const char *state = answer_name(task, "state");
    table_cell(table, TABLE_PLAIN, "%s", answer_name(task, "id"));
    table_cell(table, TABLE_PLAIN, "%s", answer_name(task, "pool"));
    table_cell(table, tone_of(state), "%s", state);
    table_cell(table, TABLE_PLAIN, "%s",
               strcmp(state, "waiting") == 0 ? answer_name(task, "work") : "-");
    table_cell(table, TABLE_PLAIN, "%" PRId64, answer_number(task, "attempts"));
    table_cell(table, TABLE_PLAIN, "%s",
               human_ago(now_ms, answer_number(task, "accepted_ms")).text);
    table_cell(table, TABLE_PLAIN, "%s", answer_name(task, "agent"));
    table_cell(table, TABLE_PLAIN, "%s", answer_name(task, "key"));
    table_cell(table, TABLE_PLAIN, "%s", answer_name(task, "error"));
}

enum exit_code task_list_print(const struct command *command,
                               const json_t *answer)
{
    const struct command_world *world = command->world;
    scoped(table_close) struct table *table = NULL;
    enum err err = table_open(&table, columns);
    for (size_t i = 0; !err && i < answer_count(answer, "tasks"); i++) {
        add_task(table, answer_item(answer, "tasks", i),
                 clock_wall_ms(world->clock));
    }
    if (!err) {
        err = table_print(table, world->out, world->out_is_colored);
    }
    if (answer_is(answer, "is_cut")) {
        fprintf(world->talk,
                "There are more: these are the newest %zu. "
                "--limit shows up to %d.\n",
                answer_count(answer, "tasks"), LIMIT_MAX);
    }
    each_node_say_away(command, answer_at(answer, "away"));
    return err ? command_failed(command, err, "the table") : EXIT_CODE_OK;
}

static enum exit_code fetch(const struct command *command,
                            struct remote *remote,
                            json_t **answer)
{
    struct task_filter filter = {.pool = command_value(command, "pool"),
                                 .state = command_value(command, "state")};
    return task_list_fetch(command, remote, &filter, answer);
}

enum exit_code task_ls_run(const struct command *command)
{
    return reading_run(command, &(struct reading){.verb = "task.ls",
                                                  .fetch = fetch,
                                                  .print = task_list_print});
}
