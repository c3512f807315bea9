/*
 * A thread with a name, to which no signal is delivered.
 */

#ifndef BASE_POSIX_POSIX_THREAD_H
#define BASE_POSIX_POSIX_THREAD_H

#include "base/err.h"

struct posix_thread;

/*
 * Run `run(argument)` on a new thread. `name` is for people, copied, and cut
 * after 15 bytes. All signals but those of a fault in the thread itself are
 * blocked there, so they reach the thread that waits for them.
 *
 * ERR_MEMORY
 * ERR_LIMIT    no more threads (RLIMIT_NPROC, pids.max of the cgroup)
 */
FALLIBLE posix_thread_start(struct posix_thread **out,
                            const char *name,
                            void (*run)(void *argument),
                            void *argument);

/* Wait until it has ended, free it, set `*thread` to NULL. Accepts NULL. */
void posix_thread_join(struct posix_thread **thread);

#endif
