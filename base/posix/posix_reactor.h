/*
 * A reactor with its waker, on the real clock, and the thread that runs it.
 *
 * Owned by the thread that opens it; what others may call on the reactor
 * itself, base/reactor.h says.
 */

#ifndef BASE_POSIX_POSIX_REACTOR_H
#define BASE_POSIX_POSIX_REACTOR_H

#include "base/err.h"
#include "base/reactor.h"

struct posix_reactor;

/* Nothing runs yet. `name` is the thread's, too; static. ERR_MEMORY */
FALLIBLE posix_reactor_open(struct posix_reactor **out, const char *name);

/* Valid until posix_reactor_close(). */
struct reactor *posix_reactor_get(const struct posix_reactor *runner);

/* Run it on a thread of its own until posix_reactor_stop(). It must not run
 * already. ERR_MEMORY, ERR_LIMIT */
FALLIBLE posix_reactor_start(struct posix_reactor *runner);

/*
 * The thread has ended when it returns; then the reactor may be started
 * again (if nobody has called reactor_stop() besides). Nothing happens when it
 * does not run. `runner` may be NULL, for closers of half-built objects.
 */
void posix_reactor_stop(struct posix_reactor *runner);

/* Stops it if need be. As reactor_close(): its inbox and timers are empty. */
void posix_reactor_close(struct posix_reactor **runner);

#endif
