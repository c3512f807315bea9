#include "admin/explain_command.h"

#include "admin/explain_text.h"
#include "admin/store_print.h"
#include "config/nearest.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define PREFIX "ERR_"

/* ERR_COUNT: there is none. In any case, with or without "ERR_", and with
 * hyphens for people's sake. */
static enum err find(const char *name)
{
    char wanted[64];
    bool has_prefix = strncasecmp(name, PREFIX, strlen(PREFIX)) == 0;
    (void)snprintf(wanted, sizeof wanted, "%s%s", has_prefix ? "" : PREFIX,
                   name);
    for (char *hyphen = wanted; (hyphen = strchr(hyphen, '-'));) {
        *hyphen = '_';
    }
    for (int i = 0; i < ERR_COUNT; i++) {
        if (strcasecmp(err_name((enum err)i), wanted) == 0) {
            return (enum err)i;
        }
    }
    return ERR_COUNT;
}

static enum exit_code refuse(const struct command *command, const char *name)
{
    char wanted[64];
    bool has_prefix = strncmp(name, PREFIX, strlen(PREFIX)) == 0;
    (void)snprintf(wanted, sizeof wanted, "%s%s", has_prefix ? "" : PREFIX,
                   name);
    struct nearest nearest = {.name = wanted};
    for (int i = 1; i < ERR_COUNT; i++) {
        nearest_offer(&nearest, err_name((enum err)i));
    }
    if (!nearest.best) {
        return command_misused(command, "there is no error `%.40s`", name);
    }
    return command_misused(command,
                           "there is no error `%.40s`; did you mean `%s`?",
                           name, nearest.best);
}

static json_t *document_of(enum err err)
{
    const struct explain_text *text = explain_text(err);
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "code", err_name(err), "text",
                     err_text(err), "cause", text->cause, "effect",
                     text->effect, "action", text->action);
}

static void print(FILE *out, enum err err)
{
    const struct explain_text *text = explain_text(err);
    fprintf(out, "%s: %s\n\nCause   %s\nEffect  %s\nTo do   %s\n",
            err_name(err), err_text(err), text->cause, text->effect,
            text->action);
}

static enum exit_code list(const struct command *command)
{
    json_t *codes = json_array();
    bool has_json = command_has(command, "json");
    for (int i = 1; i < ERR_COUNT; i++) {
        if (has_json) {
            (void)json_array_append_new(codes, document_of((enum err)i));
        } else {
            fprintf(command->world->out, "%-18s %s\n", err_name((enum err)i),
                    err_text((enum err)i));
        }
    }
    json_t *document = json_pack("{s:s, s:i, s:o}", "schema", "troupe.explain",
                                 "version", 1, "codes", codes);
    if (!has_json) {
        json_decref(document);
        return EXIT_CODE_OK;
    }
    enum err err = store_print_json(command->world->out, document);
    return err ? command_failed(command, err, "the output") : EXIT_CODE_OK;
}

static enum exit_code explain_run(const struct command *command)
{
    const char *name = command_operand(command, 0);
    if (!name) {
        return list(command);
    }
    enum err code = find(name);
    if (code == ERR_COUNT) {
        return refuse(command, name);
    }
    if (!command_has(command, "json")) {
        print(command->world->out, code);
        return EXIT_CODE_OK;
    }
    json_t *document =
        json_pack("{s:s, s:i}", "schema", "troupe.explain", "version", 1);
    json_t *about = document_of(code);
    (void)json_object_update(document, about);
    json_decref(about);
    enum err err = store_print_json(command->world->out, document);
    return err ? command_failed(command, err, "the output") : EXIT_CODE_OK;
}

static const struct command_verb verbs[] = {
    {.name = "explain",
     .operands = "[CODE]",
     .operand_count_max = 1,
     .summary = "Say what an error means: why it happens, what follows, what "
                "to do.\nWithout CODE: list them all.",
     .examples = {"troupe explain ERR_NO_QUORUM", "troupe explain uncertain",
                  "troupe explain --json"},
     .has_json = true,
     .run = explain_run},
    {0}};

const struct command_noun explain_command = {
    .name = "explain",
    .summary = "What an error means, and what to do.\nNothing has to run.",
    .verbs = verbs,
    .is_verb = true,
};
