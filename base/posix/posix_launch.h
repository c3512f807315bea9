/*
 * Start one command as a spawner does: in a session and process group of its
 * own, as another user, with limits, with nothing open but its stdin, stdout
 * and stderr.
 *
 * Only in a process with one thread: between vfork() and exec the memory is
 * shared with the new process.
 */

#ifndef BASE_POSIX_POSIX_LAUNCH_H
#define BASE_POSIX_POSIX_LAUNCH_H

#include "base/err.h"
#include "base/spawn_wire.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Why it could not become the command; in memory that both processes share. */
struct posix_launch_failure {
    uint32_t step; /* of posix_launch.c; 0: it could */
    int32_t code;  /* errno */
};

struct posix_launch {
    const struct spawn_command *command;
    int input_fd;
    int output_fd;
    int errors_fd;
    struct posix_launch_failure *failure;
};

/*
 * `*out` is the process, which is waited for also when it could not become the
 * command: then `failure` says why.
 *
 * ERR_INVALID   there is no such user
 * ERR_LIMIT     no more processes
 * ERR_MEMORY
 */
FALLIBLE posix_launch(pid_t *out, const struct posix_launch *launch);

/* What to tell people of it; whether it would be the same another time. */
void posix_launch_explain(char why[static SPAWN_WHY_BYTES],
                          const struct posix_launch_failure *failure,
                          const struct spawn_command *command);
bool posix_launch_is_final(const struct posix_launch_failure *failure);

/* Before the first: what is open stays with this process alone from here on,
 * but for 0, 1, 2 and `kept_fd`. */
void posix_launch_close_others(int kept_fd);

#endif
