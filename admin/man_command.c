#include "admin/man_command.h"

#include "config/path.h"

#include <stdlib.h>
#include <string.h>

/* Text in roff: a backslash, a hyphen that is one, and no line that begins as
 * a request does. */
static void put(FILE *out, const char *text)
{
    bool is_line_start = true;
    for (; *text; text++) {
        if (is_line_start && (*text == '.' || *text == '\'')) {
            fputs("\\&", out);
        }
        if (*text == '\\') {
            fputs("\\e", out);
        } else if (*text == '-') {
            fputs("\\-", out);
        } else {
            fputc(*text, out);
        }
        is_line_start = *text == '\n';
    }
}

static void put_flag(FILE *out, const struct command_flag *flag)
{
    fputs(".TP\n.B ", out);
    if (flag->letter) {
        fprintf(out, "\\-%c, ", flag->letter);
    }
    fputs("\\-\\-", out);
    put(out, flag->name);
    if (flag->value) {
        fputs(flag->may_lack ? "[=" : " ", out);
        put(out, flag->value);
        fputs(flag->may_lack ? "]" : "", out);
    }
    fputc('\n', out);
    put(out, flag->text);
    fprintf(out, "%s\n", flag->repeats ? " (may be repeated)" : "");
}

static void put_verb(FILE *out,
                     const struct command_noun *noun,
                     const struct command_verb *verb)
{
    fputs(".SS ", out);
    put(out, noun->is_verb ? "troupe" : noun->name);
    fputc(' ', out);
    put(out, verb->name);
    fprintf(out, "%s", *verb->operands ? " " : "");
    put(out, verb->operands);
    fputc('\n', out);
    put(out, verb->summary);
    fputc('\n', out);
    for (const struct command_flag *flag = verb->flags; flag && flag->name;
         flag++) {
        put_flag(out, flag);
    }
    if (verb->has_json) {
        fputs(".TP\n.B \\-\\-json\ndata as JSON on standard output\n", out);
    }
    fputs(".PP\nExamples:\n.nf\n.RS\n", out);
    for (size_t i = 0; i < 3; i++) {
        put(out, verb->examples[i]);
        fputc('\n', out);
    }
    fputs(".RE\n.fi\n", out);
}

static void put_page(FILE *out,
                     const struct command *command,
                     const struct command_noun *noun)
{
    fputs(".TH troupe\\-", out);
    put(out, noun->name);
    fputs(" 1 \"\" \"troupe " TROUPE_VERSION "\"\n.SH NAME\ntroupe\\-", out);
    put(out, noun->name);
    fputs(" \\- ", out);
    fprintf(out, "%.*s", (int)strcspn(noun->summary, "\n"), noun->summary);
    fputs("\n.SH SYNOPSIS\n.B troupe ", out);
    put(out, noun->name);
    fputs(noun->is_verb ? "\n[\\fIFLAG\\fR...] " : "\n\\fICOMMAND\\fR ...",
          out);
    put(out, noun->is_verb ? noun->verbs[0].operands : "");
    fputs("\n.SH DESCRIPTION\n", out);
    put(out, noun->summary);
    fputs("\n.SH COMMANDS\n", out);
    for (const struct command_verb *verb = noun->verbs; verb->name; verb++) {
        put_verb(out, noun, verb);
    }
    fputs(".SH EXIT STATUS\n", out);
    for (int code = 0; code < EXIT_CODE_COUNT; code++) {
        fprintf(out, ".TP\n.B %d\n", code);
        put(out, exit_code_text((enum exit_code)code));
        fputc('\n', out);
    }
    fputs(".SH SEE ALSO\n", out);
    for (size_t i = 0; command->nouns[i]; i++) {
        const char *name = command->nouns[i]->name;
        if (command->nouns[i] != noun && name[0] != '_') {
            fputs(".BR troupe\\-", out);
            put(out, name);
            fputs(" (1)\n", out);
        }
    }
}

static enum err write_page(const struct command *command,
                           const struct command_noun *noun,
                           struct path *path)
{
    const struct files *files = command->world->files;
    char *text = NULL;
    size_t length = 0;
    enum err err = path_make(path, "%s/troupe-%s.1",
                             command_operand(command, 0), noun->name);
    FILE *out = err ? NULL : open_memstream(&text, &length);
    if (!out) {
        return err ? err : ERR_MEMORY;
    }
    put_page(out, command, noun);
    err = fclose(out) ? ERR_MEMORY
                      : files->write(files->context, path->text, FILE_PUBLIC,
                                     true, bytes_of(text, length));
    free(text);
    return err;
}

static enum exit_code man_run(const struct command *command)
{
    for (size_t i = 0; command->nouns[i]; i++) {
        struct path path = {{0}};
        if (command->nouns[i]->name[0] == '_') {
            continue;
        }
        enum err err = write_page(command, command->nouns[i], &path);
        if (err) {
            return command_failed(command, err, "%s", path.text);
        }
        fprintf(command->world->out, "%s\n", path.text);
    }
    return EXIT_CODE_OK;
}

static const struct command_verb verbs[] = {
    {.name = "man",
     .operands = "DIR",
     .operand_count_min = 1,
     .operand_count_max = 1,
     .summary = "Write the manual pages troupe-NOUN.1 into a folder.\nThey say "
                "what --help says.",
     .examples = {"troupe man .", "troupe man /usr/local/share/man/man1",
                  "troupe man . && man ./troupe-key.1"},
     .run = man_run},
    {0}};

const struct command_noun man_command = {
    .name = "man",
    .summary = "Manual pages, written from the same tables as --help.\nOne for "
               "each noun.",
    .verbs = verbs,
    .is_verb = true,
};
