#include "base/posix/posix_stream.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_BYTES (64u << 10)

void posix_stream_init(struct posix_stream *stream, int fd)
{
    *stream = (struct posix_stream){.fd = fd};
}

void posix_stream_clear(struct posix_stream *stream)
{
    if (stream->fd >= 0) {
        (void)close(stream->fd);
    }
    buffer_clear(&stream->received);
    buffer_clear(&stream->unsent);
    posix_stream_init(stream, -1);
}

enum err posix_stream_receive(struct posix_stream *stream)
{
    uint8_t *to = NULL;
    enum err err = buffer_reserve(&stream->received, RECEIVE_BYTES, &to);
    if (err) {
        return err;
    }
    ssize_t length;
    do {
        length = recv(stream->fd, to, RECEIVE_BYTES, 0);
    } while (length < 0 && errno == EINTR);
    if (length > 0) {
        buffer_grow(&stream->received, (size_t)length);
        return ERR_NONE;
    }
    if (length == 0 || errno == ECONNRESET) {
        return ERR_CLOSED;
    }
    return errno == EAGAIN ? ERR_NONE : ERR_IO;
}

enum err posix_stream_send(struct posix_stream *stream)
{
    while (buffer_length(&stream->unsent) > 0) {
        struct bytes all = buffer_bytes(&stream->unsent);
        ssize_t length = send(stream->fd, all.data, all.length, MSG_NOSIGNAL);
        if (length >= 0) {
            buffer_take(&stream->unsent, (size_t)length);
        } else if (errno == EAGAIN) {
            return ERR_NONE;
        } else if (errno == EPIPE || errno == ECONNRESET) {
            return ERR_CLOSED;
        } else if (errno != EINTR) {
            return ERR_IO;
        }
    }
    return ERR_NONE;
}
