/*
 * Commands that only look: one question, told as a table or as JSON, once or
 * again and again.
 *
 * JSON is the answer of the node (docs/control.md) with `schema` and `version`
 * before it.
 */

#ifndef ADMIN_READING_H
#define ADMIN_READING_H

#include "admin/remote.h"

/* Beside REMOTE_FLAGS, for every such verb. */
#define READING_FLAGS                                                     \
    {.name = "watch",                                                     \
     .value = "SECONDS",                                                  \
     .text = "look again every 2 or so many seconds, until Ctrl-C",       \
     .may_lack = true,                                                    \
     .is_common = true},                                                  \
    {                                                                     \
        .name = "stale",                                                  \
        .text = "what one node knows by itself: also without a majority", \
        .is_common = true                                                 \
    }

struct reading {
    const char *verb;
    json_t *args; /* taken; NULL: none */
    /* Instead of asking `verb`; it says what is wrong. May be NULL. */
    enum exit_code (*fetch)(const struct command *command,
                            struct remote *remote,
                            json_t **answer);
    /* Leave in the answer what was asked for; may be NULL. What it returns,
     * having said why, ends the command. */
    enum exit_code (*narrow)(const struct command *command, json_t *answer);
    /* For people. What it returns is the command's. */
    enum exit_code (*print)(const struct command *command,
                            const json_t *answer);
    /* With JSON; may be NULL: EXIT_CODE_OK. */
    enum exit_code (*judge)(const struct command *command,
                            const json_t *answer);
};

/* Those two alone, as a verb's table. */
extern const struct command_flag reading_flags[];

/* The verb's flags must have REMOTE_FLAGS and READING_FLAGS. */
enum exit_code reading_run(const struct command *command,
                           const struct reading *reading);

/* Print an answer as a JSON document of `verb`; takes it. */
enum exit_code reading_print_json(const struct command *command,
                                  const char *verb,
                                  json_t *answer);

#endif
