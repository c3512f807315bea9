#include "admin/task_verbs.h"

#include "admin/answer.h"
#include "admin/each_node.h"
#include "admin/human.h"
#include "admin/pack_json.h"
#include "admin/table.h"
#include "admin/task_output.h"
#include "base/scope.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 1024

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

/* ---- many ---- */

static int compare_newest(const void *left, const void *right)
{
    const json_t *one = *(json_t *const *)left;
    const json_t *other = *(json_t *const *)right;
    int64_t difference =
        answer_number(other, "accepted_ms") - answer_number(one, "accepted_ms");
    return difference > 0 ? 1 : difference < 0 ? -1 : 0;
}

/* The newest of the lists of all nodes. */
static json_t *merge(const json_t *answers, uint64_t limit, bool *is_cut)
{
    size_t count = 0;
    size_t at = 0;
    json_t *merged = json_array();
    for (size_t i = 0; i < json_array_size(answers); i++) {
        count += answer_count(json_array_get(answers, i), "tasks");
    }
    json_t **all = calloc(count + 1, sizeof(json_t *));
    for (size_t i = 0; all && i < json_array_size(answers); i++) {
        const json_t *tasks = answer_at(json_array_get(answers, i), "tasks");
        *is_cut = *is_cut || answer_is(json_array_get(answers, i), "is_cut");
        for (size_t j = 0; j < json_array_size(tasks); j++) {
            all[at++] = json_array_get(tasks, j);
        }
    }
    if (at > 0) {
        qsort(all, at, sizeof *all, compare_newest);
    }
    *is_cut = *is_cut || at > limit;
    for (size_t i = 0; i < at && i < limit; i++) {
        (void)json_array_append(merged, all[i]);
    }
    free(all);
    return merged;
}

enum exit_code task_ls_fetch(const struct command *command,
                             struct remote *remote,
                             const struct task_ls_filter *filter,
                             json_t **answer)
{
    bool is_cut = false;
    scoped(answer_clear) json_t *answers = NULL;
    scoped(answer_clear) json_t *away = NULL;
    scoped(answer_clear) json_t *args =
        json_pack("{s:s*, s:s*, s:I, s:o*}", "pool", filter->pool, "state",
                  filter->state, "limit", (json_int_t)filter->limit, "until_ms",
                  filter->until_ms ? json_integer(filter->until_ms) : NULL);
    struct remote_question question = {.verb = "task.ls", .args = args};
    enum exit_code code = each_node_ask(remote, &question, &answers, &away);
    if (code) {
        return code;
    }
    json_t *tasks = merge(answers, filter->limit, &is_cut);
    *answer = json_pack("{s:i, s:o, s:b, s:O}", "v", 1, "tasks", tasks,
                        "is_cut", is_cut, "away", away);
    return *answer ? EXIT_CODE_OK
                   : command_failed(command, ERR_MEMORY, "the list");
}

static enum exit_code fetch(const struct command *command,
                            struct remote *remote,
                            json_t **answer)
{
    struct task_ls_filter filter = {.pool = command_value(command, "pool"),
                                    .state = command_value(command, "state"),
                                    .limit = LIMIT_DEFAULT};
    enum exit_code code =
        task_take_number(&filter.limit, command, "limit", 1, LIMIT_MAX);
    return code ? code : task_ls_fetch(command, remote, &filter, answer);
}

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

enum exit_code task_ls_print(const struct command *command,
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
    each_node_say_away(command, answer);
    return err ? command_failed(command, err, "the table") : EXIT_CODE_OK;
}

enum exit_code task_ls_run(const struct command *command)
{
    return reading_run(command, &(struct reading){.verb = "task.ls",
                                                  .fetch = fetch,
                                                  .print = task_ls_print});
}

/* ---- one ---- */

/* Of hexadecimal text; freed by the caller. */
static uint8_t *bytes_of_hex(const char *hex, size_t *length)
{
    *length = hex ? strlen(hex) / 2 : 0;
    uint8_t *bytes = malloc(*length + 1);
    for (size_t i = 0; bytes && i < *length; i++) {
        const char digits[] = {hex[2 * i], hex[2 * i + 1], '\0'};
        bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return bytes;
}

/* What came as bytes becomes what it means: JSON, or a text. */
static enum exit_code narrow(const struct command *command, json_t *answer)
{
    static const char *const keys[] = {"payload", "output"};
    for (size_t i = 0; i < 2; i++) {
        size_t length = 0;
        json_t *value = NULL;
        uint8_t *bytes = bytes_of_hex(answer_text(answer, keys[i]), &length);
        if (!bytes) {
            return command_failed(command, ERR_MEMORY, "the task");
        }
        if (length == 0) {
            value = json_null();
        } else if (pack_json_decode(&value, bytes_of(bytes, length))) {
            value = json_stringn((const char *)bytes, length);
        }
        if (value) { /* else it stays hexadecimal */
            (void)json_object_set_new(answer, keys[i], value);
        }
        free(bytes);
    }
    return EXIT_CODE_OK;
}

static void print_value(FILE *out, const char *title, const json_t *value)
{
    if (value && !json_is_null(value)) {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        fprintf(out, "%-10s %s\n", title, text ? text : "-");
        free(text);
    }
}

static void print_text(FILE *out, const char *title, const char *text)
{
    if (text && *text) {
        fprintf(out, "%-10s %s\n", title, text);
    }
}

static void print_times(const struct command *command, const json_t *task)
{
    FILE *out = command->world->out;
    int64_t now_ms = clock_wall_ms(command->world->clock);
    int64_t at_ms = answer_number(task, "at_ms");
    bool waits = strcmp(answer_name(task, "state"), "waiting") == 0;
    fprintf(out, "%-10s %s", "Submitted",
            human_ago(now_ms, answer_number(task, "accepted_ms")).text);
    if (!waits) {
        fprintf(out, ", ended %s", human_ago(now_ms, at_ms).text);
    } else if (at_ms > now_ms) {
        fprintf(out, ", begins %s", human_ago(now_ms, at_ms).text);
    }
    fprintf(out, "\n%-10s %" PRId64 ", priority %" PRId64 "\n", "Attempts",
            answer_number(task, "attempts"), answer_number(task, "priority"));
    if (answer_text(task, "agent")) {
        fprintf(out, "%-10s on %s for %s", "Runs", answer_name(task, "agent"),
                human_span((uint64_t)answer_number(task, "running_ms")).text);
        if (answer_number(task, "done_of_1000") > 0) {
            fprintf(out, ", %s %%: %s",
                    human_real(answer_real(task, "done_of_1000") / 10).text,
                    answer_name(task, "progress"));
        }
        fputc('\n', out);
    }
}

static enum exit_code print_task(const struct command *command,
                                 const json_t *task)
{
    FILE *out = command->world->out;
    fprintf(out, "%-10s %s, of pool %s%s\n%-10s %s", "Task",
            answer_name(task, "id"), answer_name(task, "pool"),
            answer_is(task, "volatile") ? " (volatile)" : "", "State",
            answer_name(task, "state"));
    if (strcmp(answer_name(task, "state"), "waiting") == 0) {
        fprintf(out, ", %s", answer_name(task, "work"));
    }
    fprintf(out, "\n%-10s %s\n", "Why", answer_name(task, "why"));
    print_times(command, task);
    print_text(out, "Key", answer_text(task, "key"));
    print_text(out, "Ordered by", answer_text(task, "order"));
    print_text(out, "Tenant", answer_text(task, "tenant"));
    print_text(out, "Error", answer_text(task, "error"));
    print_value(out, "Payload", answer_at(task, "payload"));
    print_value(out, "Output", answer_at(task, "output"));
    return EXIT_CODE_OK;
}

static enum exit_code print_why(const struct command *command,
                                const json_t *task)
{
    fprintf(command->world->out, "%s\n", answer_name(task, "why"));
    return EXIT_CODE_OK;
}

static enum exit_code look_at(const struct command *command,
                              const struct reading *reading)
{
    uint64_t id = 0;
    const char *text = command_operand(command, 0);
    struct reading own = *reading;
    enum exit_code code = task_take_id(&id, command, text);
    if (code) {
        return code;
    }
    own.verb = "task.show";
    own.args = json_pack("{s:s}", "id", text);
    return reading_run(command, &own);
}

enum exit_code task_show_run(const struct command *command)
{
    return look_at(command,
                   &(struct reading){.narrow = narrow, .print = print_task});
}

enum exit_code task_why_run(const struct command *command)
{
    return look_at(command,
                   &(struct reading){.narrow = narrow, .print = print_why});
}

/* ---- what it has written ---- */

/* Bytes as they are, unless they are to be JSON. */
static enum exit_code narrow_logs(const struct command *command, json_t *answer)
{
    return command_has(command, "json") ? narrow(command, answer)
                                        : EXIT_CODE_OK;
}

static enum exit_code print_logs(const struct command *command,
                                 const json_t *task)
{
    const struct command_world *world = command->world;
    size_t length = 0;
    struct task_command_result result;
    uint8_t *bytes = bytes_of_hex(answer_text(task, "output"), &length);
    if (!bytes) {
        return command_failed(command, ERR_MEMORY, "the output");
    }
    bool is_command =
        task_command_result_read(&result, bytes_of(bytes, length));
    struct bytes out = is_command ? result.out : bytes_of(bytes, length);
    struct bytes talk = is_command ? result.err : (struct bytes){0};
    (void)fwrite(out.length ? (const char *)out.data : "", 1, out.length,
                 world->out);
    (void)fflush(world->out);
    (void)fwrite(talk.length ? (const char *)talk.data : "", 1, talk.length,
                 world->talk);
    free(bytes);
    if (strcmp(answer_name(task, "state"), "waiting") == 0) {
        command_say(command, "it has not ended: what it writes is kept then");
    }
    return EXIT_CODE_OK;
}

enum exit_code task_logs_run(const struct command *command)
{
    return look_at(
        command, &(struct reading){.narrow = narrow_logs, .print = print_logs});
}
