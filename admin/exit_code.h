/*
 * What the exit status of `troupe` means: the one table, also in
 * docs/configuration.md and `troupe --help`.
 *
 * Scripts rely on the numbers: never give one a new meaning.
 */

#ifndef ADMIN_EXIT_CODE_H
#define ADMIN_EXIT_CODE_H

#include "base/err.h"

/* clang-format off */
#define EXIT_CODE_LIST(X)                                                   \
    X(EXIT_CODE_OK, 0, "done, or: all is well")                             \
    X(EXIT_CODE_FOUND, 1, "what was asked is so: invalid, different, unwell") \
    X(EXIT_CODE_USAGE, 2, "the command line is wrong, or a name on it; nothing was done")    \
    X(EXIT_CODE_UNREACHABLE, 3, "no node of the cluster can be reached")    \
    X(EXIT_CODE_NO_QUORUM, 4, "the cluster has no majority")                \
    X(EXIT_CODE_TIMEOUT, 5, "no answer in time; it may have happened")      \
    X(EXIT_CODE_DENIED, 6, "the role or the certificate does not allow it") \
    X(EXIT_CODE_REFUSED, 7, "refused for safety; the text says what helps") \
    X(EXIT_CODE_PARTIAL, 8, "done in part; the text says what is not")      \
    X(EXIT_CODE_FAILED, 9, "a file, memory or a limit of this machine")
/* clang-format on */

enum exit_code {
#define X(code, number, text) code = number,
    EXIT_CODE_LIST(X)
#undef X
        EXIT_CODE_COUNT
};

/* One line for people; static, never NULL. */
const char *exit_code_text(enum exit_code code);

/* The exit status for a command that asks, and ended with `err`. */
enum exit_code exit_code_of(enum err err);

/*
 * The same for a command that changes something, and for what must be sound
 * before it can: what stands in the way is not the answer to a question but a
 * refusal. All commands that change something use this one.
 */
enum exit_code exit_code_of_change(enum err err);

#endif
