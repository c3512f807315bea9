/*
 * A thread for work that may block.
 *
 * Owned by the thread that opens it; jobs may be given by any.
 */

#ifndef BASE_POSIX_POSIX_EXECUTOR_H
#define BASE_POSIX_POSIX_EXECUTOR_H

#include "base/executor.h"

struct posix_executor;

/* The thread runs when it returns. `name` is the thread's; static.
 * ERR_MEMORY, ERR_LIMIT */
FALLIBLE posix_executor_open(struct posix_executor **out, const char *name);

/* Valid until posix_executor_close(). */
const struct executor *posix_executor_table(
    const struct posix_executor *executor);

/* All jobs that were given must be done. */
void posix_executor_close(struct posix_executor **executor);

#endif
