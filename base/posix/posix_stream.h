/*
 * A stream socket between processes of one machine, with what was received
 * and what is yet to be sent.
 *
 * Owned by one thread. SIGPIPE is not raised.
 */

#ifndef BASE_POSIX_POSIX_STREAM_H
#define BASE_POSIX_POSIX_STREAM_H

#include "base/buffer.h"
#include "base/err.h"

struct posix_stream {
    int fd; /* -1: none */
    struct buffer received;
    struct buffer unsent;
};

/* Takes `fd`, which may block or not. */
void posix_stream_init(struct posix_stream *stream, int fd);

/* Close the socket and forget all. */
void posix_stream_clear(struct posix_stream *stream);

/*
 * Receive once what there is, or wait for it when the socket blocks.
 *
 * ERR_CLOSED   the other side has ended
 * ERR_MEMORY, ERR_IO
 */
FALLIBLE posix_stream_receive(struct posix_stream *stream);

/*
 * Send of `unsent` what the socket takes; all of it when it blocks.
 *
 * ERR_CLOSED   the other side has ended
 * ERR_IO
 */
FALLIBLE posix_stream_send(struct posix_stream *stream);

#endif
