#include "admin/completion_command.h"

#include "base/err.h"

#include <string.h>

/* What a value or an operand can be completed with, by its name in the help. */
static const struct {
    const char *name;
    const char *kind; /* what `troupe _names` prints; "files", "codes" */
} kinds[] = {
    {"NODE", "nodes"},       {"SHARD", "shards"},         {"[SHARD]", "shards"},
    {"CONTEXT", "contexts"}, {"FILE", "files"},           {"DIR", "files"},
    {"[FILE]", "files"},     {"[FILE.tar|DIR]", "files"}, {"ID", "ops"},
    {"[DIR]", "files"},      {"[CODE]", "codes"},         {"SHELL", "shells"},
    {"POOL", "pools"},       {"[POOL]", "pools"}};

#define SHELLS "bash zsh fish"

/* "none": with nothing. Of operands the first one counts. */
static const char *kind_of(const char *name)
{
    size_t length = strcspn(name, " ");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strlen(kinds[i].name) == length &&
            strncmp(kinds[i].name, name, length) == 0) {
            return kinds[i].kind;
        }
    }
    return "none";
}

static void put_codes(FILE *out)
{
    for (int i = 1; i < ERR_COUNT; i++) {
        fprintf(out, "%s%s", i > 1 ? " " : "", err_name((enum err)i));
    }
}

/* ---- bash, and zsh, which can read it ---- */

static void put_nouns(FILE *out, const struct command *command)
{
    for (size_t i = 0; command->nouns[i]; i++) {
        if (!command_noun_is_hidden(command->nouns[i])) {
            fprintf(out, "%s ", command->nouns[i]->name);
        }
    }
    fputs("help", out);
}

static void put_bash_verbs(FILE *out, const struct command *command)
{
    for (size_t i = 0; command->nouns[i]; i++) {
        const struct command_noun *noun = command->nouns[i];
        if (noun->is_verb || command_noun_is_hidden(noun)) {
            continue;
        }
        fprintf(out, "    %s) verbs=\"", noun->name);
        for (const struct command_verb *verb = noun->verbs; verb->name;
             verb++) {
            fprintf(out, "%s ", verb->name);
        }
        fputs("--help\" ;;\n", out);
    }
}

/* "node drain", or "events" */
static void put_place(FILE *out,
                      const struct command_noun *noun,
                      const struct command_verb *verb)
{
    fprintf(out, "%s%s%s", noun->name, noun->is_verb ? "" : " ",
            noun->is_verb ? "" : verb->name);
}

static void put_bash_place(FILE *out,
                           const struct command_noun *noun,
                           const struct command_verb *verb)
{
    fputs("    \"", out);
    put_place(out, noun, verb);
    fprintf(out, "\") kind=%s flags=\"", kind_of(verb->operands));
    for (const struct command_flag *flag = verb->flags; flag && flag->name;
         flag++) {
        if (command_flag_is_offered(verb, flag)) {
            fprintf(out, "--%s ", flag->name);
        }
    }
    fprintf(out, "%s--help\" ;;\n", verb->has_json ? "--json " : "");
}

static void put_bash_values(FILE *out,
                            const struct command_noun *noun,
                            const struct command_verb *verb)
{
    for (const struct command_flag *flag = verb->flags; flag && flag->name;
         flag++) {
        if (flag->value && !flag->may_lack) {
            fputs("    \"", out);
            put_place(out, noun, verb);
            fprintf(out, " --%s\") kind=%s ;;\n", flag->name,
                    kind_of(flag->value));
        }
    }
}

static void each_verb(const struct command *command,
                      void (*put)(FILE *out,
                                  const struct command_noun *noun,
                                  const struct command_verb *verb))
{
    for (size_t i = 0; command->nouns[i]; i++) {
        const struct command_noun *noun = command->nouns[i];
        const struct command_verb *verb = noun->verbs;
        for (; !command_noun_is_hidden(noun) && verb->name; verb++) {
            put(command->world->out, noun, verb);
        }
    }
}

static void put_bash(const struct command *command)
{
    FILE *out = command->world->out;
    fputs("_troupe() {\n"
          "    local word=\"${COMP_WORDS[COMP_CWORD]}\"\n"
          "    local before=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
          "    local place=\"${COMP_WORDS[1]}\" verbs=\"\" flags=\"\"\n"
          "    local kind=none names=\"\"\n"
          "    COMPREPLY=()\n"
          "    if ((COMP_CWORD == 1)); then\n"
          "        COMPREPLY=($(compgen -W \"",
          out);
    put_nouns(out, command);
    fputs("\" -- \"$word\"))\n"
          "        return 0\n"
          "    fi\n"
          "    case \"$place\" in\n",
          out);
    put_bash_verbs(out, command);
    fputs("    esac\n"
          "    if [ -n \"$verbs\" ] && ((COMP_CWORD == 2)); then\n"
          "        COMPREPLY=($(compgen -W \"$verbs\" -- \"$word\"))\n"
          "        return 0\n"
          "    fi\n"
          "    if [ -n \"$verbs\" ]; then\n"
          "        place=\"$place ${COMP_WORDS[2]}\"\n"
          "    fi\n"
          "    case \"$place\" in\n",
          out);
    each_verb(command, put_bash_place);
    fputs("    esac\n"
          "    case \"$place $before\" in\n",
          out);
    each_verb(command, put_bash_values);
    fputs("    esac\n"
          "    case \"$word\" in\n"
          "    -*) kind=flags names=\"$flags\" ;;\n"
          "    esac\n"
          "    case \"$kind\" in\n"
          "    nodes | shards | ops | contexts | pools)\n"
          "        names=\"$(troupe _names \"$kind\" 2>/dev/null)\" ;;\n"
          "    shells) names=\"" SHELLS "\" ;;\n"
          "    codes) names=\"",
          out);
    put_codes(out);
    fputs("\" ;;\n"
          "    files)\n"
          "        COMPREPLY=($(compgen -f -- \"$word\"))\n"
          "        return 0 ;;\n"
          "    esac\n"
          "    COMPREPLY=($(compgen -W \"$names\" -- \"$word\"))\n"
          "}\n"
          "complete -F _troupe troupe\n",
          out);
}

static void put_zsh(const struct command *command)
{
    /* To be sourced; a file that zsh loads by itself when it is needed begins
     * otherwise. */
    fputs("autoload -U +X compinit && compinit\n"
          "autoload -U +X bashcompinit && bashcompinit\n",
          command->world->out);
    put_bash(command);
}

/* ---- fish ---- */

/* The first line of a text, in fish's single quotes. */
static void put_quoted(FILE *out, const char *text)
{
    fputc('\'', out);
    for (; *text && *text != '\n'; text++) {
        if (*text == '\'' || *text == '\\') {
            fputc('\\', out);
        }
        fputc(*text, out);
    }
    fputc('\'', out);
}

/* What completes it: " -r -F", " -r -a '(troupe _names nodes)'" */
static void put_fish_kind(FILE *out, const char *kind)
{
    if (strcmp(kind, "files") == 0) {
        fputs(" -F", out);
    } else if (strcmp(kind, "shells") == 0) {
        fputs(" -a '" SHELLS "'", out);
    } else if (strcmp(kind, "codes") == 0) {
        fputs(" -a '", out);
        put_codes(out);
        fputs("'", out);
    } else if (strcmp(kind, "none") != 0) {
        fprintf(out, " -a '(troupe _names %s 2>/dev/null)'", kind);
    }
}

static void put_fish_head(FILE *out,
                          const struct command_noun *noun,
                          const struct command_verb *verb)
{
    fputs("complete -c troupe -n '__troupe_at ", out);
    put_place(out, noun, verb);
    fputs("'", out);
}

static void put_fish_verb(FILE *out,
                          const struct command_noun *noun,
                          const struct command_verb *verb)
{
    if (!noun->is_verb) {
        fprintf(out, "complete -c troupe -n '__troupe_is %s' -a %s -d ",
                noun->name, verb->name);
        put_quoted(out, verb->summary);
        fputc('\n', out);
    }
    if (strcmp(kind_of(verb->operands), "none") != 0) {
        put_fish_head(out, noun, verb);
        put_fish_kind(out, kind_of(verb->operands));
        fputc('\n', out);
    }
    for (const struct command_flag *flag = verb->flags; flag && flag->name;
         flag++) {
        if (!command_flag_is_offered(verb, flag)) {
            continue;
        }
        put_fish_head(out, noun, verb);
        fprintf(out, " -l %s -d ", flag->name);
        put_quoted(out, flag->text);
        if (flag->value && !flag->may_lack) {
            fputs(" -r", out);
            put_fish_kind(out, kind_of(flag->value));
        }
        fputc('\n', out);
    }
    if (verb->has_json) {
        put_fish_head(out, noun, verb);
        fputs(" -l json -d 'data as JSON'\n", out);
    }
}

static void put_fish(const struct command *command)
{
    FILE *out = command->world->out;
    fputs("function __troupe_is\n"
          "    set -l words (commandline -opc)\n"
          "    test (count $words) -eq (math (count $argv) + 1)\n"
          "    and test \"$words[2..-1]\" = \"$argv\"\n"
          "end\n"
          "function __troupe_at\n"
          "    set -l words (commandline -opc)\n"
          "    set -l last (math (count $argv) + 1)\n"
          "    test (count $words) -ge $last\n"
          "    and test \"$words[2..$last]\" = \"$argv\"\n"
          "end\n"
          "complete -c troupe -f\n",
          out);
    for (size_t i = 0; command->nouns[i]; i++) {
        if (!command_noun_is_hidden(command->nouns[i])) {
            fprintf(out,
                    "complete -c troupe -n '__fish_use_subcommand' -a %s -d ",
                    command->nouns[i]->name);
            put_quoted(out, command->nouns[i]->summary);
            fputc('\n', out);
        }
    }
    each_verb(command, put_fish_verb);
}

static enum exit_code completion_run(const struct command *command)
{
    const char *shell = command_operand(command, 0);
    if (strcmp(shell, "bash") == 0) {
        put_bash(command);
    } else if (strcmp(shell, "zsh") == 0) {
        put_zsh(command);
    } else if (strcmp(shell, "fish") == 0) {
        put_fish(command);
    } else {
        return command_misused(command, "`%.32s`: bash, zsh or fish", shell);
    }
    return EXIT_CODE_OK;
}

static const struct command_verb verbs[] = {
    {.name = "completion",
     .operands = "SHELL",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Print completions for bash, zsh or fish.\nThey complete "
                "nouns, commands and flags, and the names of live nodes and "
                "shards.",
     .examples = {"troupe completion bash > "
                  "/etc/bash_completion.d/troupe",
                  "source <(troupe completion zsh)",
                  "troupe completion fish > "
                  "~/.config/fish/completions/troupe.fish"},
     .run = completion_run},
    {0}};

const struct command_noun completion_command = {
    .name = "completion",
    .summary = "Completions for bash, zsh and fish.\nWritten from the same "
               "tables as --help.",
    .verbs = verbs,
    .is_verb = true,
};
