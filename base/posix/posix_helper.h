/*
 * A process of our own that works for this one: started when there is
 * something to say to it, spoken to over a socket, started again after it was
 * lost, with a growing pause.
 *
 * Owned by the thread of its reactor. A thread of its own moves the bytes and
 * waits for the end of the process.
 */

#ifndef BASE_POSIX_POSIX_HELPER_H
#define BASE_POSIX_POSIX_HELPER_H

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/reactor.h"

#include <stdint.h>

#define POSIX_HELPER_FD 3 /* the socket, for the process */

struct posix_helper;

struct posix_helper_config {
    const char *name;             /* the thread's; static */
    const char *const *arguments; /* ends with NULL; the first is the path of
                                     the program. Both must outlive it */
    struct reactor *reactor;
    void *context;
    /* On the reactor: one message (base/spawn_wire.h), borrowed. */
    void (*on_message)(void *context, struct bytes message);
    /* On the reactor: it has ended, or could not be started. What was sent
     * until now is lost, and will not be answered; what is sent from here on
     * goes to the next one. */
    void (*on_lost)(void *context, const char *why);
};

/* Nothing is started yet but the thread. ERR_MEMORY, ERR_LIMIT */
FALLIBLE posix_helper_open(struct posix_helper **out,
                           const struct posix_helper_config *config);

/* The process sees the end of its socket, and has ended when it returns. The
 * reactor must not run: nothing is told any more. */
void posix_helper_close(struct posix_helper **helper);

/* What is to be sent: append whole messages, then call posix_helper_end(); the
 * thread waits meanwhile. */
struct buffer *posix_helper_begin(struct posix_helper *helper);
void posix_helper_end(struct posix_helper *helper);

/* How often one was started. */
uint64_t posix_helper_start_count(struct posix_helper *helper);

#endif
