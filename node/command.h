/*
 * The payload of a task that is a command, and what comes back of it.
 *
 * Payload: a MessagePack map
 *
 *     "argv"   list of texts, the program first; it must be there
 *     "stdin"  bytes or text for its standard input; none without
 *     "env"    map of texts: its environment, beside the pool's
 *
 * Result: a MessagePack map
 *
 *     "exit"            its exit status; nil when it has none
 *     "stdout" "stderr" text, or bytes when they are not UTF-8
 *     "signal"          the name of the one that ended it, if one did
 *     "cut"             bytes that it wrote and that were not kept, if any
 *
 * Pure.
 */

#ifndef NODE_COMMAND_H
#define NODE_COMMAND_H

#include "base/buffer.h"
#include "base/err.h"
#include "base/spawn_wire.h"
#include "shard/task_run.h"

#define COMMAND_ARGUMENT_COUNT_MAX 4096
#define COMMAND_VARIABLE_COUNT_MAX 256

/* What a payload says. All zero is empty. */
struct command {
    struct bytes program;    /* borrowed from the payload */
    struct bytes input;      /* likewise */
    struct buffer arguments; /* each with its zero */
    struct buffer variables; /* NAME=value, each with its zero */
    uint32_t argument_count;
    uint32_t variable_count;
};

/*
 * `*out` is empty; on failure it is so again. `why` says what is wrong with
 * the payload.
 *
 * ERR_MALFORMED, ERR_MEMORY
 */
FALLIBLE command_decode(struct command *out,
                        struct bytes payload,
                        struct err_detail *why);
void command_clear(struct command *command);

/*
 * The environment of a run, into command->variables: what the pool says, then
 * what the payload says, both before a PATH where neither has one, and
 * TROUPE_TASK, TROUPE_ATTEMPT and TROUPE_FENCE (the token): names that begin
 * with TROUPE_ are for these alone.
 *
 * ERR_MEMORY
 */
FALLIBLE command_add_environment(struct command *command,
                                 const struct run *run);

/* Append the result to `to`. ERR_MEMORY */
FALLIBLE command_encode_result(struct buffer *to,
                               const struct spawn_ended *ended);

/* Such as "SIGKILL"; "signal 64" for those without a name. */
void command_signal_name(char name[static 32], int signal);

#endif
