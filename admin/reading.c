#include "admin/reading.h"

#include "admin/answer.h"
#include "admin/interrupt.h"
#include "admin/store_print.h"
#include "base/scope.h"
#include "base/time_units.h"
#include "config/units.h"

#include <stdio.h>

#define WATCH_S_DEFAULT 2
#define WATCH_S_MAX 86400

const struct command_flag reading_flags[] = {REMOTE_FLAGS, READING_FLAGS, {0}};

enum exit_code reading_print_json(const struct command *command,
                                  const char *verb,
                                  json_t *answer)
{
    char schema[64];
    json_t *version = json_incref(json_object_get(answer, "v"));
    (void)snprintf(schema, sizeof schema, "troupe.%s", verb);
    json_t *document = json_pack("{s:s, s:o}", "schema", schema, "version",
                                 version ? version : json_integer(1));
    (void)json_object_del(answer, "v");
    if (document && json_object_update_missing(document, answer)) {
        json_decref(document);
        document = NULL;
    }
    json_decref(answer);
    enum err err = store_print_json(command->world->out, document);
    return err ? command_failed(command, err, "the output") : EXIT_CODE_OK;
}

static enum exit_code fetch(struct remote *remote,
                            const struct command *command,
                            const struct reading *reading,
                            json_t **answer)
{
    struct remote_question question = {.verb = reading->verb,
                                       .args = json_incref(reading->args)};
    if (reading->fetch) {
        json_decref(question.args);
        return reading->fetch(command, remote, answer);
    }
    return remote_ask(remote, &question, answer);
}

static enum exit_code look(struct remote *remote,
                           const struct command *command,
                           const struct reading *reading)
{
    scoped(answer_clear) json_t *answer = NULL;
    enum exit_code code = fetch(remote, command, reading, &answer);
    if (!code && reading->narrow) {
        code = reading->narrow(command, answer);
    }
    if (code) {
        return code;
    }
    if (!command_has(command, "json")) {
        return reading->print(command, answer);
    }
    code = reading->judge ? reading->judge(command, answer) : EXIT_CODE_OK;
    enum exit_code printed =
        reading_print_json(command, reading->verb, json_incref(answer));
    return printed ? printed : code;
}

/* Begin a new picture: on a terminal in place of the last one. */
static void wipe(const struct command *command)
{
    const struct command_world *world = command->world;
    if (!command_has(command, "json")) {
        (void)fputs(world->out_is_colored ? "\033[H\033[J" : "\n", world->out);
    }
}

static enum exit_code watch(struct remote *remote,
                            const struct command *command,
                            const struct reading *reading,
                            uint64_t seconds)
{
    const struct interrupt *interrupt = command->world->interrupt;
    enum exit_code code = EXIT_CODE_OK;
    do {
        wipe(command);
        code = look(remote, command, reading);
        (void)fflush(command->world->out);
    } while (interrupt->wait(interrupt->context, seconds * (uint64_t)MS_PER_S));
    return code;
}

static enum exit_code take_seconds(uint64_t *out, const struct command *command)
{
    const char *text = command_value(command, "watch");
    *out = WATCH_S_DEFAULT;
    if (text && (units_number(out, text) || *out == 0 || *out > WATCH_S_MAX)) {
        return command_misused(command, "--watch=%.32s: 1 to %d seconds", text,
                               WATCH_S_MAX);
    }
    return EXIT_CODE_OK;
}

/* Of a bundle, "3 s ago" counts from when it was made. */
static enum exit_code look_at_its_time(struct remote *remote,
                                       const struct command *command,
                                       const struct reading *reading)
{
    struct command_world world = *command->world;
    struct command own = *command;
    world.clock = remote_clock(remote);
    own.world = &world;
    return look(remote, &own, reading);
}

static enum exit_code run(const struct command *command,
                          const struct reading *reading)
{
    uint64_t seconds = 0;
    scoped(remote_close) struct remote *remote = NULL;
    bool watches = command_has(command, "watch");
    enum exit_code code = take_seconds(&seconds, command);
    if (!code && watches && command_has(command, "bundle")) {
        code = command_misused(command, "--watch: a bundle does not change");
    }
    if (code) {
        return code;
    }
    if (watches) {
        const struct interrupt *interrupt = command->world->interrupt;
        interrupt->hold(interrupt->context);
    }
    code = remote_open(&remote, command);
    if (code) {
        return code;
    }
    return watches ? watch(remote, command, reading, seconds)
                   : look_at_its_time(remote, command, reading);
}

enum exit_code reading_run(const struct command *command,
                           const struct reading *reading)
{
    struct reading own = *reading;
    if (!own.args) {
        own.args = json_object();
    }
    if (command_has(command, "stale")) {
        (void)json_object_set_new(own.args, "stale", json_true());
    }
    enum exit_code code =
        own.args ? run(command, &own)
                 : command_failed(command, ERR_MEMORY, "the question");
    json_decref(own.args);
    return code;
}
