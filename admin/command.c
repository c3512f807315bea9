#include "admin/command.h"

#include "config/nearest.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#define ANSWER_BYTES 128

static const char program[] = "troupe";

static const struct command_flag help_flag = {
    .name = "help", .text = "show this help and do nothing"};
static const struct command_flag json_flag = {
    .name = "json", .text = "data as JSON on standard output"};

/* ---- colours ---- */

struct style {
    const char *bold;
    const char *red;
    const char *plain;
};

static struct style style_of(bool is_colored)
{
    static const struct style none = {"", "", ""};
    static const struct style some = {"\033[1m", "\033[31m", "\033[0m"};
    return is_colored ? some : none;
}

/* ---- help ---- */

static void print_verb_name(FILE *out,
                            const struct command_noun *noun,
                            const struct command_verb *verb)
{
    fprintf(out, "%s %s%s%s", program, noun->name, noun->is_verb ? "" : " ",
            noun->is_verb ? "" : verb->name);
}

/* The first line of a summary. */
static void print_first_line(FILE *out, const char *summary)
{
    fprintf(out, "%.*s\n", (int)strcspn(summary, "\n"), summary);
}

static void print_title(const struct command_world *world, const char *title)
{
    struct style style = style_of(world->out_is_colored);
    fprintf(world->out, "\n%s%s%s\n", style.bold, title, style.plain);
}

static void print_flag(FILE *out, const struct command_flag *flag)
{
    char name[64];
    const char letter[] = {'-', flag->letter, ',', ' ', '\0'};
    (void)snprintf(name, sizeof name, "%s--%s%s%s%s",
                   flag->letter ? letter : "", flag->name,
                   flag->may_lack ? "[="
                   : flag->value  ? " "
                                  : "",
                   flag->value ? flag->value : "", flag->may_lack ? "]" : "");
    fprintf(out, "  %-24s %s%s\n", name, flag->text,
            flag->repeats ? " (may be repeated)" : "");
}

bool command_flag_is_offered(const struct command_verb *verb,
                             const struct command_flag *flag)
{
    return !(flag->only_looks && verb->steers);
}

static void print_flags(FILE *out,
                        const struct command_verb *verb,
                        bool are_common)
{
    for (const struct command_flag *flag = verb->flags; flag && flag->name;
         flag++) {
        if (flag->is_common == are_common &&
            command_flag_is_offered(verb, flag)) {
            print_flag(out, flag);
        }
    }
}

static void help_verb(const struct command_world *world,
                      const struct command_noun *noun,
                      const struct command_verb *verb)
{
    FILE *out = world->out;
    fprintf(out, "%s\n", verb->summary);
    print_title(world, "Examples");
    for (size_t i = 0; i < 3; i++) {
        fprintf(out, "  $ %s\n", verb->examples[i]);
    }
    print_title(world, "Usage");
    fprintf(out, "  ");
    print_verb_name(out, noun, verb);
    fprintf(out, " [FLAG...]%s%s\n", *verb->operands ? " " : "",
            verb->operands);
    print_title(world, "Flags");
    print_flags(out, verb, false);
    print_flags(out, verb, true);
    if (verb->has_json) {
        print_flag(out, &json_flag);
    }
    print_flag(out, &help_flag);
}

static void help_noun(const struct command_world *world,
                      const struct command_noun *noun)
{
    FILE *out = world->out;
    fprintf(out, "%s\n", noun->summary);
    print_title(world, "Examples");
    uint32_t count = 0;
    for (uint32_t i = 0; i < 3 && count < 3; i++) {
        for (const struct command_verb *verb = noun->verbs;
             verb->name && count < 3; verb++, count++) {
            fprintf(out, "  $ %s\n", verb->examples[i]);
        }
    }
    print_title(world, "Commands");
    for (const struct command_verb *verb = noun->verbs; verb->name; verb++) {
        fprintf(out, "  %-12s ", verb->name);
        print_first_line(out, verb->summary);
    }
    print_title(world, "Flags");
    print_flag(out, &help_flag);
    fprintf(out, "\n\"%s %s COMMAND --help\" says more about each.\n", program,
            noun->name);
}

bool command_noun_is_hidden(const struct command_noun *noun)
{
    return noun->name[0] == '_';
}

static void help_program(const struct command_world *world,
                         const struct command_noun *const *nouns)
{
    FILE *out = world->out;
    fprintf(out, "Looks at and steers a Troupe cluster, and makes and checks "
                 "its files.\nCommands are a noun and a verb; data goes to "
                 "standard output, all else to standard error.\n");
    print_title(world, "Examples");
    for (size_t i = 0; nouns[i] && i < 3; i++) {
        fprintf(out, "  $ %s\n", nouns[i]->verbs[0].examples[0]);
    }
    print_title(world, "Nouns");
    for (; *nouns; nouns++) {
        if (!command_noun_is_hidden(*nouns)) {
            fprintf(out, "  %-12s ", (*nouns)->name);
            print_first_line(out, (*nouns)->summary);
        }
    }
    print_title(world, "Flags");
    print_flag(out, &help_flag);
    print_title(world, "Exit status");
    for (int code = 0; code < EXIT_CODE_COUNT; code++) {
        fprintf(out, "  %d  %s\n", code, exit_code_text((enum exit_code)code));
    }
    fprintf(out, "\n\"%s NOUN --help\" says more about each.\n", program);
}

/* ---- misuse ---- */

static enum exit_code misused(const struct command_world *world,
                              const char *where,
                              const char *text)
{
    struct style style = style_of(world->talk_is_colored);
    fprintf(world->talk, "%s%s:%s %s\n", style.red, where, style.plain, text);
    fprintf(world->talk, "Try \"%s --help\".\n", where);
    return EXIT_CODE_USAGE;
}

struct where {
    char text[96]; /* "troupe config check" */
};

static struct where where_of(const struct command_noun *noun,
                             const struct command_verb *verb)
{
    struct where where;
    const char *verb_name = verb && !noun->is_verb ? verb->name : NULL;
    (void)snprintf(where.text, sizeof where.text, "%s%s%s%s%s", program,
                   noun ? " " : "", noun ? noun->name : "",
                   verb_name ? " " : "", verb_name ? verb_name : "");
    return where;
}

struct said {
    char text[512];
};

__attribute__((format(printf, 1, 2))) static struct said say(const char *format,
                                                             ...)
{
    struct said said;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(said.text, sizeof said.text, format, arguments);
    va_end(arguments);
    return said;
}

/* "there is no verb "chek"; did you mean "check"?" */
static struct said say_unknown(const char *what, const struct nearest *nearest)
{
    if (!nearest->best) {
        return say("there is no %s \"%.80s\"", what, nearest->name);
    }
    return say("there is no %s \"%.80s\"; did you mean \"%s\"?", what,
               nearest->name, nearest->best);
}

/* ---- taking a command line apart ---- */

static bool is_help(const char *argument)
{
    return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
}

static const struct command_flag *find_flag(const struct command_verb *verb,
                                            const char *name,
                                            size_t length)
{
    for (const struct command_flag *flag = verb->flags; flag && flag->name;
         flag++) {
        if (strlen(flag->name) == length &&
            strncmp(flag->name, name, length) == 0) {
            return flag;
        }
    }
    bool is_json = verb->has_json && strlen(json_flag.name) == length &&
                   strncmp(json_flag.name, name, length) == 0;
    return is_json ? &json_flag : NULL;
}

static const struct command_flag *find_letter(const struct command_verb *verb,
                                              char letter)
{
    for (const struct command_flag *flag = verb->flags; flag && flag->name;
         flag++) {
        if (letter && flag->letter == letter) {
            return flag;
        }
    }
    return NULL;
}

static enum exit_code refuse_flag(const struct command *command,
                                  const char *name)
{
    struct nearest nearest = {.name = name};
    const struct command_flag *flag = command->verb->flags;
    for (; flag && flag->name; flag++) {
        nearest_offer(&nearest, flag->name);
    }
    if (command->verb->has_json) {
        nearest_offer(&nearest, json_flag.name);
    }
    nearest_offer(&nearest, help_flag.name);
    if (!nearest.best) {
        return command_misused(command, "there is no flag \"--%.80s\"", name);
    }
    return command_misused(command,
                           "there is no flag \"--%.80s\"; did you mean "
                           "\"--%s\"?",
                           name, nearest.best);
}

/* What is left of the command line. */
struct rest {
    char **next;
    char **end;
};

/* One that was given, with its value or without. */
static enum exit_code note_flag(struct command *command,
                                const struct command_flag *flag,
                                const char *value)
{
    if (!flag->repeats && command_has(command, flag->name)) {
        return command_misused(command, "--%s is given twice", flag->name);
    }
    if (command->flag_use_count == COMMAND_FLAG_USE_COUNT_MAX) {
        return command_misused(command, "more than %d flags",
                               COMMAND_FLAG_USE_COUNT_MAX);
    }
    command->flag_uses[command->flag_use_count++] =
        (struct command_flag_use){flag, value};
    return EXIT_CODE_OK;
}

/* Take "-n", "-n4" or "-n 4". */
static enum exit_code take_letter(struct command *command, struct rest *rest)
{
    const char *argument = *rest->next++;
    const struct command_flag *flag = find_letter(command->verb, argument[1]);
    if (!flag || (argument[2] && !flag->value)) {
        return command_misused(
            command, "\"%.80s\": flags are words with two dashes", argument);
    }
    const char *value = argument[2] ? argument + 2 : NULL;
    if (flag->value && !value) {
        if (rest->next == rest->end || strncmp(*rest->next, "--", 2) == 0) {
            return command_misused(command, "-%c needs a value: -%c %s",
                                   flag->letter, flag->letter, flag->value);
        }
        value = *rest->next++;
    }
    return note_flag(command, flag, value);
}

/* Take "--name", "--name=value" or "--name value". */
static enum exit_code take_flag(struct command *command, struct rest *rest)
{
    if ((*rest->next)[1] != '-') {
        return take_letter(command, rest);
    }
    const char *name = *rest->next++ + 2;
    size_t length = strcspn(name, "=");
    const char *value = name[length] == '=' ? name + length + 1 : NULL;
    const struct command_flag *flag = find_flag(command->verb, name, length);
    if (!flag) {
        return refuse_flag(command, say("%.*s", (int)length, name).text);
    }
    if (!flag->value && value) {
        return command_misused(command, "--%s takes no value", flag->name);
    }
    if (flag->value && !value && !flag->may_lack) {
        if (rest->next == rest->end || strncmp(*rest->next, "--", 2) == 0) {
            return command_misused(command, "--%s needs a value: --%s %s",
                                   flag->name, flag->name, flag->value);
        }
        value = *rest->next++;
    }
    return note_flag(command, flag, value);
}

/* Operands are moved together, in front. */
static enum exit_code take_apart(struct command *command,
                                 struct rest rest,
                                 bool *out_wants_help)
{
    char **operands = rest.next;
    bool are_flags_over = false;
    while (rest.next < rest.end) {
        const char *argument = *rest.next;
        if (are_flags_over || argument[0] != '-' || argument[1] == '\0') {
            operands[command->operand_count++] = *rest.next++;
        } else if (strcmp(argument, "--") == 0) {
            are_flags_over = true;
            rest.next++;
        } else if (is_help(argument)) {
            *out_wants_help = true;
            return EXIT_CODE_OK;
        } else {
            enum exit_code code = take_flag(command, &rest);
            if (code) {
                return code;
            }
        }
    }
    command->operands = (const char *const *)operands;
    return EXIT_CODE_OK;
}

static enum exit_code check_operands(const struct command *command)
{
    const struct command_verb *verb = command->verb;
    if (command->operand_count < verb->operand_count_min) {
        return command_misused(command, "something is missing: %s",
                               verb->operands);
    }
    if (command->operand_count > verb->operand_count_max) {
        const char *extra = command->operands[verb->operand_count_max];
        return command_misused(command, "\"%.80s\" is too much%s%s", extra,
                               *verb->operands ? ": at most " : "",
                               verb->operands);
    }
    for (size_t i = 0; i < command->operand_count; i++) {
        if (command->operands[i][0] == '\0') {
            return command_misused(command, "something is empty: %s",
                                   verb->operands);
        }
    }
    return EXIT_CODE_OK;
}

/* What a wrong command line gives for this noun. */
static enum exit_code misuse_of(const struct command_noun *noun,
                                enum exit_code code)
{
    return code == EXIT_CODE_USAGE && noun->misuse_code
               ? (enum exit_code)noun->misuse_code
               : code;
}

static enum exit_code run_verb(struct command *command, struct rest rest)
{
    bool wants_help = false;
    enum exit_code code = take_apart(command, rest, &wants_help);
    if (wants_help) {
        help_verb(command->world, command->noun, command->verb);
        return EXIT_CODE_OK;
    }
    if (!code) {
        code = check_operands(command);
    }
    return code ? misuse_of(command->noun, code) : command->verb->run(command);
}

static enum exit_code run_noun(struct command *command, struct rest rest)
{
    const struct command_noun *noun = command->noun;
    if (noun->is_verb) {
        command->verb = noun->verbs;
        return run_verb(command, rest);
    }
    if (rest.next == rest.end) {
        struct where where = where_of(noun, NULL);
        return misuse_of(noun,
                         misused(command->world, where.text, "which command?"));
    }
    const char *name = *rest.next++;
    if (is_help(name) || strcmp(name, "help") == 0) {
        help_noun(command->world, noun);
        return EXIT_CODE_OK;
    }
    struct nearest nearest = {.name = name};
    for (const struct command_verb *verb = noun->verbs; verb->name; verb++) {
        if (strcmp(verb->name, name) == 0) {
            command->verb = verb;
            return run_verb(command, rest);
        }
        nearest_offer(&nearest, verb->name);
    }
    struct where where = where_of(noun, NULL);
    struct said said = say_unknown("command", &nearest);
    return misuse_of(noun, misused(command->world, where.text, said.text));
}

/* A verb that was typed where a noun belongs: "troupe drain". */
static const struct command_noun *noun_with(
    const struct command_noun *const *nouns, const char *verb_name)
{
    for (; *nouns; nouns++) {
        const struct command_verb *verb = (*nouns)->verbs;
        for (; !(*nouns)->is_verb && verb->name; verb++) {
            if (strcmp(verb->name, verb_name) == 0) {
                return *nouns;
            }
        }
    }
    return NULL;
}

static enum exit_code refuse_noun(const struct command_world *world,
                                  const struct command_noun *const *nouns,
                                  const char *name)
{
    struct nearest nearest = {.name = name};
    for (size_t i = 0; nouns[i]; i++) {
        if (!command_noun_is_hidden(nouns[i])) {
            nearest_offer(&nearest, nouns[i]->name);
        }
    }
    const struct command_noun *noun = noun_with(nouns, name);
    struct said said =
        noun ? say("there is no noun \"%s\"; did you mean \"%s %s %s\"?", name,
                   program, noun->name, name)
             : say_unknown("noun", &nearest);
    return misused(world, program, said.text);
}

static const struct command_noun *find_noun(
    const struct command_noun *const *nouns, const char *name)
{
    for (; *nouns; nouns++) {
        if (strcmp((*nouns)->name, name) == 0) {
            return *nouns;
        }
    }
    return NULL;
}

/* "troupe help", "troupe help NOUN", "troupe help NOUN VERB". */
static enum exit_code run_help(struct command *command, struct rest rest)
{
    const struct command_world *world = command->world;
    if (rest.next == rest.end) {
        help_program(world, command->nouns);
        return EXIT_CODE_OK;
    }
    const char *name = *rest.next++;
    command->noun = find_noun(command->nouns, name);
    if (!command->noun) {
        return refuse_noun(world, command->nouns, name);
    }
    char help[] = "--help";
    bool names_verb = rest.next < rest.end && !command->noun->is_verb;
    char *arguments[] = {names_verb ? *rest.next : help, help};
    return run_noun(command, (struct rest){arguments, arguments + 2});
}

/* How many words of flags stand before the noun: each has a value, as those of
 * a cluster have ("troupe --bundle FILE cluster status"). */
static int count_leading(int count, char *const *words)
{
    int leading = 0;
    while (leading < count && strncmp(words[leading], "--", 2) == 0 &&
           words[leading][2] != '\0' && !is_help(words[leading]) &&
           strcmp(words[leading], "--version") != 0) {
        leading += strchr(words[leading], '=') ? 1 : 2;
    }
    return leading < count ? leading : 0;
}

/* Put the noun, and its verb, before them. */
static void put_noun_first(const struct command_noun *const *nouns,
                           int count,
                           char **words)
{
    char *moved[2];
    int leading = count_leading(count, words);
    const struct command_noun *noun =
        leading > 0 ? find_noun(nouns, words[leading]) : NULL;
    if (!noun) {
        return;
    }
    bool has_verb = !noun->is_verb && leading + 1 < count;
    int length = has_verb ? 2 : 1;
    memcpy(moved, words + leading, (size_t)length * sizeof *moved);
    memmove(words + length, words, (size_t)leading * sizeof *words);
    memcpy(words, moved, (size_t)length * sizeof *moved);
}

enum exit_code command_run(const struct command_world *world,
                           const struct command_noun *const *nouns,
                           int argument_count,
                           char **arguments)
{
    struct command command = {.world = world, .nouns = nouns};
    struct rest rest = {arguments + 1, arguments + argument_count};
    if (argument_count < 2) {
        return misused(world, program, "which noun?");
    }
    put_noun_first(nouns, argument_count - 1, arguments + 1);
    const char *name = *rest.next++;
    if (is_help(name) || strcmp(name, "help") == 0) {
        return run_help(&command, rest);
    }
    if (strcmp(name, "--version") == 0) {
        name = "version";
    }
    command.noun = find_noun(nouns, name);
    return command.noun ? run_noun(&command, rest)
                        : refuse_noun(world, nouns, name);
}

/* ---- for the verbs ---- */

bool command_has(const struct command *command, const char *name)
{
    assert(find_flag(command->verb, name, strlen(name)));
    for (uint32_t i = 0; i < command->flag_use_count; i++) {
        if (strcmp(command->flag_uses[i].flag->name, name) == 0) {
            return true;
        }
    }
    return false;
}

const char *command_value(const struct command *command, const char *name)
{
    return command_value_at(command, name, 0);
}

const char *command_value_at(const struct command *command,
                             const char *name,
                             uint32_t index)
{
    assert(find_flag(command->verb, name, strlen(name)));
    for (uint32_t i = 0; i < command->flag_use_count; i++) {
        if (strcmp(command->flag_uses[i].flag->name, name) == 0 &&
            index-- == 0) {
            return command->flag_uses[i].value;
        }
    }
    return NULL;
}

const char *command_operand(const struct command *command, uint32_t index)
{
    return index < command->operand_count ? command->operands[index] : NULL;
}

enum exit_code command_misused(const struct command *command,
                               const char *format,
                               ...)
{
    struct said said;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(said.text, sizeof said.text, format, arguments);
    va_end(arguments);
    struct where where = where_of(command->noun, command->verb);
    return misused(command->world, where.text, said.text);
}

enum exit_code command_failed(const struct command *command,
                              enum err err,
                              const char *format,
                              ...)
{
    struct said said;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(said.text, sizeof said.text, format, arguments);
    va_end(arguments);
    struct where where = where_of(command->noun, command->verb);
    struct style style = style_of(command->world->talk_is_colored);
    fprintf(command->world->talk, "%s%s:%s %s: %s\n", style.red, where.text,
            style.plain, said.text, err_text(err));
    return exit_code_of(err);
}

void command_say(const struct command *command, const char *format, ...)
{
    struct where where = where_of(command->noun, command->verb);
    struct style style = style_of(command->world->talk_is_colored);
    FILE *talk = command->world->talk;
    va_list arguments;
    fprintf(talk, "%s%s:%s ", style.red, where.text, style.plain);
    va_start(arguments, format);
    (void)vfprintf(talk, format, arguments);
    va_end(arguments);
    (void)fputc('\n', talk);
}

const char *command_variable(const struct command *command, const char *name)
{
    const struct command_world *world = command->world;
    const char *value = world->variable ? world->variable(name) : NULL;
    return value && *value ? value : NULL;
}

bool command_is_dry(const struct command *command)
{
    if (!command_has(command, "dry-run")) {
        return false;
    }
    (void)fprintf(command->world->talk, "Nothing was done: --dry-run.\n");
    return true;
}

bool command_confirm(const struct command *command, const char *word)
{
    const struct command_world *world = command->world;
    char answer[ANSWER_BYTES] = {0};
    if (command_has(command, "yes")) {
        return true;
    }
    (void)fprintf(world->talk, "Type `%s` to go on: ", word);
    (void)fflush(world->talk);
    if (fgets(answer, sizeof answer, world->in)) {
        answer[strcspn(answer, "\r\n")] = '\0';
    } else {
        (void)fprintf(world->talk, "\n");
    }
    if (strcmp(answer, word) == 0) {
        return true;
    }
    (void)fprintf(world->talk,
                  "Nothing was done: `%s` was not typed. In a script give "
                  "--yes.\n",
                  word);
    return false;
}
