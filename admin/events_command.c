#include "admin/events_command.h"

#include "admin/answer.h"
#include "admin/interrupt.h"
#include "admin/reading.h"
#include "admin/store_print.h"
#include "base/scope.h"
#include "config/units.h"

#include <inttypes.h>

#define FOLLOW_MS 1000
#define LIMIT_MAX 1024 /* as the node has it */
#define FAILED_LOOKS_MAX 60

struct events {
    const struct command *command;
    struct remote *remote;
    bool has_since;
    uint64_t since;
    uint64_t limit; /* 0: the node's own */
    uint32_t failed_looks;
};

static enum exit_code print_lines(const struct command *command,
                                  const json_t *answer)
{
    FILE *out = command->world->out;
    for (size_t i = 0; i < answer_count(answer, "lines"); i++) {
        char time[STORE_PRINT_TIME_BYTES];
        const json_t *line = answer_item(answer, "lines", i);
        store_print_time(time, answer_number(line, "at_ms"));
        fprintf(out, "%5" PRId64 "  %s  %-20s  %s\n",
                answer_number(line, "number"), time, answer_name(line, "who"),
                answer_name(line, "text"));
    }
    return EXIT_CODE_OK;
}

static json_t *args_of(const struct events *events)
{
    json_t *args = json_object();
    if (events->has_since) {
        (void)json_object_set_new(args, "since",
                                  json_integer((json_int_t)events->since));
    }
    if (events->limit > 0) {
        (void)json_object_set_new(args, "limit",
                                  json_integer((json_int_t)events->limit));
    }
    return args;
}

/* Remember the last one that was seen; those after it come next. */
static void advance(struct events *events, const json_t *answer)
{
    size_t count = answer_count(answer, "lines");
    if (count > 0) {
        const json_t *last = answer_item(answer, "lines", count - 1);
        events->since = (uint64_t)answer_number(last, "number");
    } else if (!events->has_since) {
        events->since = (uint64_t)answer_number(answer, "newest");
    }
    events->has_since = true;
}

/* Each line is a document: `troupe events --follow --json | jq` */
static enum exit_code print_json_lines(const struct command *command,
                                       const json_t *answer)
{
    enum err err = ERR_NONE;
    for (size_t i = 0; !err && i < answer_count(answer, "lines"); i++) {
        json_t *line = json_deep_copy(answer_item(answer, "lines", i));
        err = store_print_json(command->world->out, line);
    }
    return err ? command_failed(command, err, "the output") : EXIT_CODE_OK;
}

static enum exit_code look(struct events *events)
{
    struct err_detail why = {0};
    scoped(answer_clear) json_t *answer = NULL;
    const struct command *command = events->command;
    json_t *args = args_of(events);
    struct remote_question question = {.verb = "events", .args = args};
    enum exit_code code = remote_try(events->remote, &question, &answer, &why);
    json_decref(args);
    if (code && events->has_since && code != EXIT_CODE_DENIED &&
        events->failed_looks++ < FAILED_LOOKS_MAX) {
        return EXIT_CODE_OK; /* leaders change, links break: it goes on */
    }
    if (code) {
        command_say(command, "%s", why.text);
        return code;
    }
    events->failed_looks = 0;
    code = command_has(command, "json") ? print_json_lines(command, answer)
                                        : print_lines(command, answer);
    (void)fflush(command->world->out);
    advance(events, answer);
    return code;
}

static enum exit_code follow(struct events *events)
{
    const struct interrupt *interrupt = events->command->world->interrupt;
    enum exit_code code = EXIT_CODE_OK;
    interrupt->hold(interrupt->context);
    scoped(remote_close) struct remote *remote = NULL;
    code = remote_open(&remote, events->command);
    events->remote = remote;
    while (!code) {
        code = look(events);
        if (code || !interrupt->wait(interrupt->context, FOLLOW_MS)) {
            break;
        }
    }
    return code;
}

static enum exit_code take_number(const struct command *command,
                                  const char *flag,
                                  uint64_t *out)
{
    const char *text = command_value(command, flag);
    if (text && (units_number(out, text) || *out > INT64_MAX)) {
        return command_misused(command, "--%s: `%.32s` is no number", flag,
                               text);
    }
    return EXIT_CODE_OK;
}

static enum exit_code events_run(const struct command *command)
{
    struct events events = {.command = command,
                            .has_since = command_has(command, "since")};
    enum exit_code code = take_number(command, "since", &events.since);
    if (!code) {
        code = take_number(command, "limit", &events.limit);
    }
    if (!code && command_has(command, "limit") &&
        (events.limit == 0 || events.limit > LIMIT_MAX)) {
        code = command_misused(command, "--limit: 1 to %d", LIMIT_MAX);
    }
    if (code) {
        return code;
    }
    if (command_has(command, "follow") && command_has(command, "bundle")) {
        return command_misused(command, "--follow: a bundle does not change");
    }
    if (command_has(command, "follow")) {
        return follow(&events);
    }
    return reading_run(command, &(struct reading){.verb = "events",
                                                  .args = args_of(&events),
                                                  .print = print_lines});
}

static const struct command_flag flags[] = {
    REMOTE_FLAGS,
    READING_FLAGS,
    {.name = "since", .value = "N", .text = "the lines after number N"},
    {.name = "limit", .value = "N", .text = "no more than N (default: 100)"},
    {.name = "follow", .text = "and those that come, until Ctrl-C"},
    {0}};

static const struct command_verb verbs[] = {
    {.name = "events",
     .operands = "",
     .summary = "Show the audit journal: who has changed what in the "
                "cluster.\nThe last 1024 lines are kept.",
     .examples = {"troupe events", "troupe events --since 120 --json",
                  "troupe events --follow"},
     .flags = flags,
     .has_json = true,
     .run = events_run},
    {0}};

const struct command_noun events_command = {
    .name = "events",
    .summary = "The audit journal: who has changed what.\nWith --follow also "
               "what comes.",
    .verbs = verbs,
    .is_verb = true,
};
