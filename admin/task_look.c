#include "admin/task_verbs.h"

#include "admin/answer.h"
#include "admin/human.h"
#include "admin/task_output.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum exit_code task_show_narrow(const struct command *command, json_t *answer)
{
    static const struct {
        const char *key;
        json_t *(*value_of)(struct bytes);
    } parts[] = {{"payload", task_payload_value},
                 {"output", task_output_value}};
    for (size_t i = 0; i < 2; i++) {
        size_t length = 0;
        uint8_t *bytes = answer_bytes(answer, parts[i].key, &length);
        if (!bytes) {
            return command_failed(command, ERR_MEMORY, "the task");
        }
        json_t *value = length == 0
                            ? json_null()
                            : parts[i].value_of(bytes_of(bytes, length));
        if (value) { /* else it stays hexadecimal */
            (void)json_object_set_new(answer, parts[i].key, value);
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

enum exit_code task_look_at(const struct command *command,
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
    return task_look_at(command, &(struct reading){.narrow = task_show_narrow,
                                                   .print = print_task});
}

enum exit_code task_why_run(const struct command *command)
{
    return task_look_at(command, &(struct reading){.narrow = task_show_narrow,
                                                   .print = print_why});
}
