#include "admin/version_command.h"

static enum exit_code run(const struct command *command)
{
    FILE *out = command->world->out;
    if (command_has(command, "json")) {
        fprintf(out,
                "{\"schema\": \"troupe-version\", \"version\": 1, "
                "\"release\": \"%s\"}\n",
                TROUPE_VERSION);
    } else {
        fprintf(out, "troupe %s\n", TROUPE_VERSION);
    }
    return EXIT_CODE_OK;
}

static const struct command_verb verbs[] = {
    {.name = "version",
     .operands = "",
     .summary = "Says which release of Troupe this is.\n"
                "Releases N and N+1 work together in one cluster.",
     .examples = {"troupe version", "troupe version --json",
                  "troupe --version"},
     .has_json = true,
     .run = run},
    {0}};

const struct command_noun version_command = {
    .name = "version",
    .summary = "Says which release of Troupe this is.\n"
               "Releases N and N+1 work together in one cluster.",
    .verbs = verbs,
    .is_verb = true};
