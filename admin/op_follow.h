/*
 * Following and ending what takes long: operations (docs/control.md, op.*).
 */

#ifndef ADMIN_OP_FOLLOW_H
#define ADMIN_OP_FOLLOW_H

#include "admin/waiting.h"

#define OP_ID_BYTES 80 /* "drain-" and a node's name */

/* "KIND-" and the rest. False: that can be no operation, and it was said. */
bool op_name(char to[static OP_ID_BYTES],
             const struct command *command,
             const char *kind,
             const char *rest);

/*
 * Wait until it has ended, telling how far it is. Of a remote of
 * waiting_open().
 *
 * EXIT_CODE_PARTIAL   it was cancelled or paused, or something else was decided
 * what waiting_run() says
 */
enum exit_code op_follow(const struct command *command,
                         struct remote *remote,
                         const char *id,
                         uint64_t deadline_ms);

/* Say how it is called and how to see and to end it. */
void op_say_begun(const struct command *command, const char *id);

/* With --wait follow it. The verb has the flags of OP_WAIT_FLAGS. */
enum exit_code op_begun(const struct command *command,
                        struct remote *remote,
                        const char *id);

#define OP_WAIT_FLAGS \
    {.name = "wait", .text = "until it has ended"}, WAITING_FLAGS

/* Show it, ask, and cancel it. The verb has --yes and --dry-run. */
enum exit_code op_cancel(const struct command *command, const char *id);

#endif
