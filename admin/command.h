/*
 * The frame of the command line: nouns, their verbs and flags as tables,
 * help at every level, and the nearest name for a wrong one.
 *
 * A noun is one file that exports one `const struct command_noun` (say,
 * admin/key_command.c and key_command); main.c lists them. All that a verb
 * may touch comes with `struct command`.
 */

#ifndef ADMIN_COMMAND_H
#define ADMIN_COMMAND_H

#include "admin/exit_code.h"
#include "base/env.h"
#include "base/inputs.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define COMMAND_FLAG_USE_COUNT_MAX 64 /* flags on one command line */

struct interrupt;

/* The outside of a command: the real one comes from main.c. */
struct command_world {
    const struct files *files;
    const struct clock *clock;
    const struct entropy *entropy;
    const struct interrupt *interrupt;         /* Ctrl-C, and waiting */
    const char *(*variable)(const char *name); /* of the environment, or NULL;
                                                  may be NULL: none is set */
    FILE *in;
    const struct inputs *inputs; /* what is read bit by bit */
    FILE *out;                   /* data */
    FILE *talk;                  /* everything else */
    bool out_is_colored;         /* a terminal, and NO_COLOR is not set */
    bool talk_is_colored;
    bool out_is_terminal;
    bool talk_is_terminal;
};

struct command_flag {
    const char *name;  /* without the two dashes */
    const char *value; /* its value's name in the help; NULL: a switch */
    const char *text;  /* one line */
    bool repeats;      /* may be given more than once */
    bool may_lack;     /* its value: --watch, --watch=5 */
    bool is_common;    /* to many verbs: the help has it behind their own */
    bool only_looks;   /* not offered by verbs that steer */
    char letter;       /* "-n 4" and "-n4" as well; 0: none. For commands that
                          people know from elsewhere */
};

/* Of verbs that command_confirm(). */
#define YES_FLAG                                         \
    {                                                    \
        .name = "yes", .text = "do not ask; for scripts" \
    }

struct command;

struct command_verb {
    const char *name;
    const char *operands; /* as in the help: "FILE [NAME...]", "" */
    uint32_t operand_count_min;
    uint32_t operand_count_max; /* UINT32_MAX: any number */
    const char *summary;        /* two lines */
    const char *examples[3];    /* all three; without the leading "$ " */
    /* Ended by {0}; NULL: none. --help is always there. */
    const struct command_flag *flags;
    bool has_json; /* takes --json: data as JSON */
    bool steers;   /* a running cluster: a bundle cannot be */
    enum exit_code (*run)(const struct command *command);
};

struct command_noun {
    const char *name;    /* one that begins with `_` is for programs: not in the
                            help */
    const char *summary; /* two lines; the first also stands in the list */
    /* Ended by {0}. */
    const struct command_verb *verbs;
    /* When the command line is wrong; 0: EXIT_CODE_USAGE. */
    int misuse_code;
    /* A noun that is a command by itself ("version"): one verb, no name. */
    bool is_verb;
};

/* Whether help and completion name it. */
bool command_flag_is_offered(const struct command_verb *verb,
                             const struct command_flag *flag);

/* It is for programs. */
bool command_noun_is_hidden(const struct command_noun *noun);

/* One flag as it was given. */
struct command_flag_use {
    const struct command_flag *flag;
    const char *value; /* NULL: a switch */
};

/* One command line, taken apart and checked against its verb. */
struct command {
    const struct command_world *world;
    const struct command_noun *const *nouns; /* all that there are */
    const struct command_noun *noun;
    const struct command_verb *verb;
    const char *const *operands;
    uint32_t operand_count;
    uint32_t flag_use_count;
    struct command_flag_use flag_uses[COMMAND_FLAG_USE_COUNT_MAX];
};

/*
 * Do what the command line says. `nouns` ends with NULL; `arguments` is argv
 * with the program's name, `argument_count` argc. Flags with values may also
 * stand before the noun. The strings of `arguments`
 * are reordered, not changed.
 */
enum exit_code command_run(const struct command_world *world,
                           const struct command_noun *const *nouns,
                           int argument_count,
                           char **arguments);

/* Whether the switch or flag was given; `name` must be in the verb's table. */
bool command_has(const struct command *command, const char *name);

/* The flag's value; NULL when it, or its value, was not given. */
const char *command_value(const struct command *command, const char *name);

/* The value number `index` of a flag that repeats; NULL after the last. */
const char *command_value_at(const struct command *command,
                             const char *name,
                             uint32_t index);

/* The operand number `index`; NULL after the last. */
const char *command_operand(const struct command *command, uint32_t index);

/*
 * Say on the talk stream what is wrong with the command line, and how to get
 * help. Gives EXIT_CODE_USAGE, for `return`.
 */
__attribute__((format(printf, 2, 3))) enum exit_code command_misused(
    const struct command *command, const char *format, ...);

/*
 * Say what failed ("troupe key issue: ..."), with the error's own text at the
 * end. Gives exit_code_of(err).
 */
__attribute__((format(printf, 3, 4))) enum exit_code command_failed(
    const struct command *command, enum err err, const char *format, ...);

/* Say what went wrong, in printf's form, after the command's name. */
__attribute__((format(printf, 2, 3))) void command_say(
    const struct command *command, const char *format, ...);

/* A variable of the environment; NULL: not set, or empty. */
const char *command_variable(const struct command *command, const char *name);

/*
 * Ask to type `word`; --yes, which must be in the verb's table, answers. False:
 * it was not typed, and that was said.
 */
bool command_confirm(const struct command *command, const char *word);

/* Whether --dry-run is given; then that nothing was done has been said. */
bool command_is_dry(const struct command *command);

#endif
