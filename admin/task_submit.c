#include "admin/task_verbs.h"

#include "admin/interrupt.h"
#include "admin/line_input.h"
#include "admin/task_line.h"
#include "admin/task_output.h"
#include "admin/task_pool_facts.h"
#include "admin/task_progress.h"
#include "admin/waiting.h"
#include "base/pack.h"
#include "base/scope.h"
#include "config/units.h"
#include "shard/task_pool.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

const struct command_flag task_submit_flags[] = {
    REMOTE_FLAGS,
    {.name = "pool", .value = "POOL", .text = "which pool (default)"},
    {.name = "file",
     .value = "FILE",
     .text = "a task per line, as JSON; - for standard input, as without"},
    {.name = "spec",
     .text = "lines are {\"payload\": ..., \"key\": ...}, not payloads alone"},
    {.name = "strict", .text = "submit nothing behind a line that is broken"},
    {.name = "wait", .text = "for results; with COMMAND that is so anyway"},
    {.name = "detach", .text = "do not wait: print the tasks' ids"},
    {.name = "order",
     .value = "ORDER",
     .text = "of results: completion (as they come) or submit"},
    {.name = "output",
     .value = "FORM",
     .text = "of results: json (a line each) or raw (what tasks wrote)"},
    {.name = "stdin",
     .value = "FILE",
     .text = "standard input of COMMAND; - for this one's"},
    {.name = "key",
     .value = "KEY",
     .text = "of COMMAND: with the same key it is one task, however often it "
             "is submitted"},
    {.name = "ordered-by",
     .value = "KEY",
     .text = "tasks with the same one run one after another"},
    {.name = "tenant", .value = "NAME", .text = "who shares the pool fairly"},
    {.name = "priority", .value = "N", .text = "0 (first) to 7; 4"},
    {.name = "delay", .value = "TIME", .text = "do not begin before"},
    {.name = "ttl", .value = "TIME", .text = "expires if not begun by then"},
    {.name = "after",
     .value = "TASK",
     .text = "begin when that one is done",
     .repeats = true},
    {.name = "attempts", .value = "N", .text = "at most (the pool's)"},
    {.name = "task-timeout",
     .value = "TIME",
     .text = "of an attempt (the pool's)"},
    {.name = "no-wait-for-room",
     .text = "when the pool is full, reject tasks instead"},
    {0}};

struct submit {
    const struct command *command;
    struct task_talk talk;
    const char *pool;
    struct task_pool_facts facts;
    struct task_spec standard;
    bool is_spec;
    bool is_strict;
    bool waits;

    struct line_input input;
    struct task_line line;
    struct buffer payload; /* of COMMAND */
    bool gives_command;
    bool has_given;
    uint64_t broken_count;
    bool is_all; /* nothing more comes */

    struct task_output output;
    struct task_progress progress;
};

static void submit_clear(struct submit *submit)
{
    line_input_close(&submit->input);
    task_line_clear(&submit->line);
    buffer_clear(&submit->payload);
}

/* ---- the command line ---- */

enum exit_code task_take_number(uint64_t *out,
                                const struct command *command,
                                const char *flag,
                                uint64_t min,
                                uint64_t max)
{
    const char *text = command_value(command, flag);
    if (text && (units_number(out, text) || *out < min || *out > max)) {
        return command_misused(command,
                               "--%s: `%.32s`: a number from %" PRIu64
                               " to %" PRIu64 " is expected",
                               flag, text, min, max);
    }
    return EXIT_CODE_OK;
}

enum exit_code task_take_id(uint64_t *out,
                            const struct command *command,
                            const char *text)
{
    return task_id_parse(out, text)
               ? command_misused(command, "`%.32s` is no task: such as 17-4021",
                                 text)
               : EXIT_CODE_OK;
}

static enum exit_code take_time(uint64_t *out,
                                const struct command *command,
                                const char *flag)
{
    const char *text = command_value(command, flag);
    if (text && units_duration(out, text, UNITS_MS)) {
        return command_misused(command,
                               "--%s: `%.32s`: a time such as 5s is expected",
                               flag, text);
    }
    return EXIT_CODE_OK;
}

static enum exit_code take_text(struct bytes *out,
                                const struct command *command,
                                const char *flag)
{
    const char *text = command_value(command, flag);
    if (!text) {
        return EXIT_CODE_OK;
    }
    *out = bytes_of_text(text);
    return out->length > 0 && out->length <= TASK_KEY_BYTES_MAX
               ? EXIT_CODE_OK
               : command_misused(command, "--%s: 1 to %d bytes are allowed",
                                 flag, TASK_KEY_BYTES_MAX);
}

static enum exit_code take_after(struct task_spec *spec,
                                 const struct command *command)
{
    enum exit_code code = EXIT_CODE_OK;
    const char *text = command_value_at(command, "after", 0);
    while (!code && text) {
        if (spec->after_count == TASK_AFTER_COUNT_MAX) {
            return command_misused(command, "--after: at most %d times",
                                   TASK_AFTER_COUNT_MAX);
        }
        code = task_take_id(&spec->after[spec->after_count++], command, text);
        text = command_value_at(command, "after", spec->after_count);
    }
    return code;
}

static enum exit_code take_numbers(struct task_spec *spec,
                                   const struct command *command)
{
    uint64_t priority = TASK_PRIORITY_DEFAULT;
    uint64_t attempts = 0;
    uint64_t timeout_ms = 0;
    enum exit_code code = task_take_number(&priority, command, "priority", 0,
                                           TASK_PRIORITY_COUNT - 1);
    if (!code) {
        code = task_take_number(&attempts, command, "attempts", 1, 1000);
    }
    if (!code) {
        code = take_time(&timeout_ms, command, "task-timeout");
    }
    if (!code && timeout_ms > UINT32_MAX) {
        code = command_misused(command, "--task-timeout: at most 49d");
    }
    spec->priority = (uint8_t)priority;
    spec->attempts_max = (uint32_t)attempts;
    spec->timeout_ms = (uint32_t)timeout_ms;
    return code;
}

static enum exit_code take_spec(struct task_spec *spec,
                                const struct command *command)
{
    *spec = task_spec_of((struct bytes){0});
    enum exit_code code = take_numbers(spec, command);
    if (!code) {
        code = take_text(&spec->key, command, "key");
    }
    if (!code) {
        code = take_text(&spec->order, command, "ordered-by");
    }
    if (!code) {
        code = take_text(&spec->tenant, command, "tenant");
    }
    if (!code) {
        code = take_time(&spec->delay_ms, command, "delay");
    }
    if (!code) {
        code = take_time(&spec->ttl_ms, command, "ttl");
    }
    return code ? code : take_after(spec, command);
}

/* One of two words; the first is what it is without the flag. */
static enum exit_code take_choice(bool *is_second,
                                  const struct command *command,
                                  const char *flag,
                                  const char *const words[2])
{
    const char *text = command_value(command, flag);
    if (text && strcmp(text, words[0]) != 0 && strcmp(text, words[1]) != 0) {
        return command_misused(command, "--%s: `%.32s`: %s or %s", flag, text,
                               words[0], words[1]);
    }
    *is_second = text && strcmp(text, words[1]) == 0;
    return EXIT_CODE_OK;
}

static enum exit_code check_flags(const struct command *command,
                                  bool gives_command)
{
    static const char *const of_lines[] = {"file", "spec", "strict"};
    for (size_t i = 0; gives_command && i < 3; i++) {
        if (command_has(command, of_lines[i])) {
            return command_misused(command, "--%s and a COMMAND: one of them",
                                   of_lines[i]);
        }
    }
    if (!gives_command && command_has(command, "key")) {
        return command_misused(command, "--key is for a COMMAND; a line says "
                                        "its own, with --spec");
    }
    if (!gives_command && command_has(command, "stdin")) {
        return command_misused(command, "--stdin is for a COMMAND");
    }
    if (command_has(command, "wait") && command_has(command, "detach")) {
        return command_misused(command, "--wait and --detach: one of them");
    }
    return EXIT_CODE_OK;
}

static enum exit_code take_flags(struct submit *submit, bool *keeps_order)
{
    static const char *const orders[] = {"completion", "submit"};
    static const char *const forms[] = {"json", "raw"};
    const struct command *command = submit->command;
    bool is_raw = false;
    enum exit_code code = check_flags(command, submit->gives_command);
    if (!code) {
        code = take_spec(&submit->standard, command);
    }
    if (!code) {
        code = take_choice(keeps_order, command, "order", orders);
    }
    if (!code) {
        code = take_choice(&is_raw, command, "output", forms);
    }
    submit->is_spec = command_has(command, "spec");
    submit->is_strict = command_has(command, "strict");
    submit->waits = command_has(command, "wait") ||
                    (submit->gives_command && !command_has(command, "detach"));
    submit->output.is_raw = !command_has(command, "json") &&
                            (is_raw || (submit->gives_command &&
                                        !command_value(command, "output")));
    return code;
}

/* ---- a command ---- */

static enum err read_all(struct buffer *to,
                         const struct command *command,
                         const char *path)
{
    void *input = NULL;
    const struct inputs *inputs = command->world->inputs;
    enum err err = inputs->open(inputs->context, path, &input);
    if (err) {
        return err;
    }
    while (!err || err == ERR_TIMEOUT) {
        uint8_t *at = NULL;
        size_t length = 0;
        err = buffer_length(to) > TASK_LINE_BYTES_MAX
                  ? ERR_TOO_LARGE
                  : buffer_reserve(to, 4096, &at);
        if (!err) {
            err = inputs->read(input, at, 4096, 200, &length);
            buffer_grow(to, err ? 0 : length);
        }
        const struct interrupt *interrupt = command->world->interrupt;
        if (err == ERR_TIMEOUT && !interrupt->wait(interrupt->context, 0)) {
            break;
        }
    }
    inputs->close(input);
    return err == ERR_CLOSED ? ERR_NONE : err;
}

static enum err pack_command(struct submit *submit, struct bytes input)
{
    const struct command *command = submit->command;
    bool has_input = command_has(command, "stdin");
    size_t bytes = 64 + input.length;
    uint8_t *at = NULL;
    for (uint32_t i = 0; i < command->operand_count; i++) {
        bytes += 5 + strlen(command_operand(command, i));
    }
    enum err err = buffer_reserve(&submit->payload, bytes, &at);
    if (err) {
        return err;
    }
    struct writer writer = writer_of(at, bytes);
    pack_map(&writer, has_input ? 2 : 1);
    pack_text(&writer, "argv");
    pack_array(&writer, command->operand_count);
    for (uint32_t i = 0; i < command->operand_count; i++) {
        pack_text(&writer, command_operand(command, i));
    }
    if (has_input) {
        pack_text(&writer, "stdin");
        pack_bin(&writer, input);
    }
    assert(!writer.failed);
    buffer_grow(&submit->payload, writer_bytes(&writer).length);
    submit->standard.payload = buffer_bytes(&submit->payload);
    return ERR_NONE;
}

static enum exit_code make_command(struct submit *submit)
{
    const struct command *command = submit->command;
    const char *path = command_value(command, "stdin");
    struct buffer input = {.data = NULL};
    enum err err = path ? read_all(&input, command, path) : ERR_NONE;
    if (err) {
        buffer_clear(&input);
        return command_failed(command, err, "%s", path);
    }
    err = pack_command(submit, buffer_bytes(&input));
    buffer_clear(&input);
    if (err) {
        return command_failed(command, err, "the command");
    }
    if (!submit->facts.is_command) {
        command_say(command,
                    "pool %s runs no commands: its handler is "
                    "another (troupe pool show %s)",
                    submit->pool, submit->pool);
        return EXIT_CODE_USAGE;
    }
    if (submit->payload.end > submit->facts.payload_bytes_max) {
        command_say(command,
                    "the command has %zu bytes, with its input; pool %s takes "
                    "%" PRIu32 " at most (payload_bytes_max)",
                    submit->payload.end, submit->pool,
                    submit->facts.payload_bytes_max);
        return EXIT_CODE_REFUSED;
    }
    return EXIT_CODE_OK;
}

/* ---- lines ---- */

static bool is_blank(struct bytes line)
{
    for (size_t i = 0; i < line.length; i++) {
        if (!isspace(line.data[i])) {
            return false;
        }
    }
    return true;
}

static void say_broken(struct submit *submit, const char *why)
{
    task_progress_wipe(&submit->progress);
    submit->broken_count++;
    command_say(
        submit->command, "line %" PRIu64 ": %s%s", submit->input.number, why,
        submit->is_strict ? "; nothing more is submitted (--strict)" : "");
}

/* False: it is broken, and that was said. */
static bool read_line(struct submit *submit, struct bytes line)
{
    struct err_detail why = {{0}};
    uint32_t bytes_max = submit->facts.payload_bytes_max;
    if (task_line_read(&submit->line, line, submit->is_spec, &submit->standard,
                       &why)) {
        say_broken(submit, why.text[0] ? why.text : err_text(ERR_MEMORY));
        return false;
    }
    size_t bytes = submit->line.spec.payload.length;
    if (bytes > bytes_max) {
        err_explain(&why,
                    "the payload has %zu bytes; pool %s takes %" PRIu32
                    " at most (payload_bytes_max)",
                    bytes, submit->pool, bytes_max);
        say_broken(submit, why.text);
        return false;
    }
    return true;
}

static enum task_job_next next_line(struct submit *submit, uint32_t wait_ms)
{
    while (!submit->is_all) {
        struct bytes line = {0};
        enum err err = line_input_next(&submit->input, wait_ms, &line);
        bool is_good = false;
        if (err == ERR_TIMEOUT) {
            return TASK_JOB_LATER;
        }
        if (err == ERR_TOO_LARGE) {
            say_broken(submit, "longer than a line may be (1 MiB)");
        } else if (err && err != ERR_CLOSED) {
            say_broken(submit, err_text(err));
            submit->is_all = true;
        } else if (err) {
            submit->is_all = true;
        } else if (is_blank(line)) {
            continue;
        } else {
            is_good = read_line(submit, line);
        }
        if (is_good) {
            return TASK_JOB_READY;
        }
        submit->is_all = submit->is_all || submit->is_strict;
    }
    return TASK_JOB_END;
}

static enum task_job_next next(void *context,
                               uint32_t wait_ms,
                               uint64_t *number,
                               struct task_spec *spec)
{
    struct submit *submit = context;
    if (submit->gives_command) {
        bool is_over = submit->has_given;
        submit->has_given = true;
        submit->is_all = true;
        *number = 1;
        *spec = submit->standard;
        return is_over ? TASK_JOB_END : TASK_JOB_READY;
    }
    enum task_job_next state = next_line(submit, wait_ms);
    *number = submit->input.number;
    *spec = submit->line.spec;
    return state;
}

/* ---- what comes of it ---- */

static void print_id(void *context, uint64_t number, uint64_t id)
{
    char text[TASK_ID_BYTES];
    struct submit *submit = context;
    FILE *out = submit->command->world->out;
    task_id_text(text, id);
    if (submit->output.is_raw || !command_has(submit->command, "json")) {
        fprintf(out, "%s\n", text);
    } else {
        fprintf(out, "{\"%s\":%" PRIu64 ",\"id\":\"%s\"}\n",
                submit->output.what, number, text);
    }
}

static void print_result(void *context, const struct task_job_result *result)
{
    struct submit *submit = context;
    task_progress_wipe(&submit->progress);
    if (submit->waits) {
        task_output_result(&submit->output, result);
    }
    if (result->id == 0 && !(submit->waits && submit->output.is_raw)) {
        char why[TASK_WHY_BYTES];
        task_output_why(why, sizeof why, result);
        command_say(submit->command, "%s %" PRIu64 ": not accepted: %s",
                    submit->output.what, result->number, why);
    }
}

static void hear_progress(void *context, const struct task_said *said)
{
    struct submit *submit = context;
    task_progress_hear(&submit->progress, said);
}

static void show_progress(void *context, const struct task_job_sum *sum)
{
    struct submit *submit = context;
    (void)fflush(submit->command->world->out);
    task_progress_show(&submit->progress, sum, submit->is_all);
}

/* ---- all of it ---- */

/* What a job has come to: also how the programs end that wait for one. */
static enum exit_code code_of(const struct task_job_sum *sum,
                              uint64_t broken_count)
{
    if (sum->rejected + broken_count > 0) {
        return sum->accepted > 0 ? EXIT_CODE_PARTIAL : EXIT_CODE_REFUSED;
    }
    return sum->failed > 0 ? EXIT_CODE_FOUND : EXIT_CODE_OK;
}

static void say_sum(const struct submit *submit, const struct task_job_sum *sum)
{
    FILE *talk = submit->command->world->talk;
    fprintf(talk, "Pool %s has accepted %" PRIu64, submit->pool, sum->accepted);
    if (sum->known > 0) {
        fprintf(talk, " (%" PRIu64 " were there already)", sum->known);
    }
    if (submit->waits) {
        fprintf(talk, ": %" PRIu64 " done, %" PRIu64 " failed", sum->done,
                sum->failed);
    }
    if (sum->rejected + submit->broken_count > 0) {
        fprintf(talk, "; not accepted: %" PRIu64 ", broken lines: %" PRIu64,
                sum->rejected, submit->broken_count);
    }
    fputs(".\n", talk);
}

static enum exit_code run_job(struct submit *submit, bool keeps_order)
{
    struct task_job_sum sum = {0};
    struct task_job_config config = {
        .talk = &submit->talk,
        .pool = submit->pool,
        .waits = submit->waits,
        .keeps_order = keeps_order,
        .refuses_full = command_has(submit->command, "no-wait-for-room"),
        .context = submit,
        .next = next,
        .accepted = submit->waits ? NULL : print_id,
        .ended = print_result,
        .said = submit->progress.is_shown ? hear_progress : NULL,
        .tick = show_progress};
    enum exit_code code = task_job_run(&config, &sum);
    task_progress_wipe(&submit->progress);
    if (!submit->gives_command) {
        say_sum(submit, &sum);
    }
    if (!code && submit->talk.is_interrupted) {
        command_say(submit->command,
                    "interrupted; what was accepted goes on: `troupe task ls` "
                    "shows it, `troupe task cancel` ends it");
        return EXIT_CODE_PARTIAL;
    }
    return code ? code : code_of(&sum, submit->broken_count);
}

static enum exit_code open_input(struct submit *submit)
{
    const char *path = command_value(submit->command, "file");
    submit->input.inputs = submit->command->world->inputs;
    submit->input.end = '\n';
    submit->input.bytes_max = TASK_LINE_BYTES_MAX;
    enum err err = line_input_open(&submit->input, path ? path : "-");
    return err ? command_failed(submit->command, err, "%s", path ? path : "-")
               : EXIT_CODE_OK;
}

enum exit_code task_submit_run(const struct command *command)
{
    const char *pool = command_value(command, "pool");
    scoped(remote_close) struct remote *remote = NULL;
    bool keeps_order = false;
    scoped(submit_clear) struct submit submit = {
        .command = command,
        .pool = pool ? pool : TASK_POOL_DEFAULT,
        .gives_command = command->operand_count > 0,
        .progress = task_progress_of(command)};
    submit.output = (struct task_output){
        .command = command, .what = submit.gives_command ? "task" : "line"};
    enum exit_code code = take_flags(&submit, &keeps_order);
    if (!code && !submit.gives_command) {
        code = open_input(&submit);
    }
    if (!code) {
        code = waiting_open(&remote, command);
    }
    if (!code) {
        submit.talk = (struct task_talk){.command = command, .remote = remote};
        code = task_pool_facts_ask(&submit.facts, remote, submit.pool);
        submit.output.is_command = submit.facts.is_command;
    }
    if (!code && submit.gives_command) {
        code = make_command(&submit);
    }
    return code ? code : run_job(&submit, keeps_order);
}
