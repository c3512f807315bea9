#include "admin/debug_command.h"

#include "admin/answer.h"
#include "admin/debug_gather.h"
#include "base/scope.h"

#include <string.h>
#include <time.h>

#define NAME_BYTES 256

/* troupe-shop-20261121T204501Z.tar */
static void name_bundle(char to[static NAME_BYTES],
                        const struct debug_gathered *gathered)
{
    char time[32];
    struct tm date = {0};
    time_t seconds = (time_t)(gathered->at_ms / 1000);
    (void)gmtime_r(&seconds, &date);
    (void)strftime(time, sizeof time, "%Y%m%dT%H%M%SZ", &date);
    (void)snprintf(to, NAME_BYTES, "troupe-%s-%s.tar", gathered->cluster, time);
}

static enum exit_code take_redact(struct debug_gather_redact *out,
                                  const struct command *command)
{
    const char *what;
    for (uint32_t i = 0; (what = command_value_at(command, "redact", i)); i++) {
        if (strcmp(what, "hosts") == 0) {
            out->hosts = true;
        } else if (strcmp(what, "people") == 0) {
            out->people = true;
        } else if (strcmp(what, "log") == 0) {
            out->log = true;
        } else {
            return command_misused(
                command, "--redact: `%.32s`: hosts, people or log", what);
        }
    }
    return EXIT_CODE_OK;
}

static enum exit_code save(const struct command *command,
                           const struct debug_gathered *gathered)
{
    char own[NAME_BYTES];
    struct err_detail why = {{0}};
    const char *path = command_operand(command, 0);
    if (!path) {
        name_bundle(own, gathered);
        path = own;
    }
    enum err err = parcel_save(gathered->parcel, command->world->files, path,
                               gathered->at_ms, &why);
    if (err) {
        command_say(command, "%s", why.text[0] ? why.text : err_text(err));
        return exit_code_of_change(err);
    }
    fprintf(command->world->out, "%s\n", path);
    return EXIT_CODE_OK;
}

static enum exit_code tell(const struct command *command,
                           const struct debug_gathered *gathered)
{
    FILE *talk = command->world->talk;
    size_t missing = json_array_size(gathered->missing);
    fprintf(talk, "%zu of %zu nodes have answered.\n",
            json_array_size(gathered->asked),
            json_array_size(gathered->asked) + missing);
    for (size_t i = 0; i < missing; i++) {
        const json_t *node = json_array_get(gathered->missing, i);
        fprintf(talk, "  %s is missing: %s\n", answer_name(node, "node"),
                answer_name(node, "why"));
    }
    fprintf(talk, "There are no keys in it; who has it sees names, addresses "
                  "and settings, unless --redact took them out.\n");
    return missing > 0 ? EXIT_CODE_PARTIAL : EXIT_CODE_OK;
}

static enum exit_code bundle_run(const struct command *command)
{
    struct debug_gather_redact redact = {0};
    scoped(remote_close) struct remote *remote = NULL;
    scoped(debug_gathered_clear) struct debug_gathered gathered = {0};
    enum exit_code code = take_redact(&redact, command);
    if (!code && command_has(command, "bundle")) {
        code = command_misused(command, "--bundle: it is one already");
    }
    if (!code) {
        code = remote_open(&remote, command);
    }
    if (code) {
        return code;
    }
    enum err err = debug_gather(&gathered, command, remote, &redact);
    if (err) {
        return command_failed(command, err, "the bundle");
    }
    code = save(command, &gathered);
    return code ? code : tell(command, &gathered);
}

static const struct command_flag bundle_flags[] = {
    REMOTE_FLAGS,
    {.name = "redact",
     .value = "WHAT",
     .text = "take out: hosts, people, or log (lines)",
     .repeats = true},
    {0}};

static const struct command_verb verbs[] = {
    {.name = "bundle",
     .operands = "[FILE.tar|DIR]",
     .operand_count_max = 1,
     .summary = "Gather what all nodes can tell into one file or folder, to "
                "look at later.\nNo keys are in it. The commands that look "
                "take it with --bundle.",
     .examples = {"troupe debug bundle",
                  "troupe debug bundle /tmp/shop.tar "
                  "--redact hosts --redact people",
                  "troupe --bundle /tmp/shop.tar cluster status"},
     .flags = bundle_flags,
     .run = bundle_run},
    {0}};

const struct command_noun debug_command = {
    .name = "debug",
    .summary = "What helps to find out, later or elsewhere, what was wrong.\n"
               "A bundle has all that the nodes can tell; `--bundle FILE` "
               "looks at it.",
    .verbs = verbs,
};
