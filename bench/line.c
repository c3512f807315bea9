#include "bench/line.h"

#include "base/scope.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct line {
    int fd;
    char name[48];
    enum err failed;
    size_t out_length;
    size_t in_start; /* of what is not taken */
    size_t in_end;
    uint8_t out[LINE_BYTES_MAX];
    uint8_t in[LINE_BYTES_MAX];
};

enum err line_open(struct line **out, uint16_t port, uint32_t patience_ms)
{
    scoped(line_close) struct line *line = calloc(1, sizeof *line);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    if (!line) {
        return ERR_MEMORY;
    }
    line->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (line->fd < 0 ||
        connect(line->fd, (const struct sockaddr *)&address, sizeof address)) {
        return ERR_UNREACHABLE;
    }
    struct timeval patience = {.tv_sec = patience_ms / 1000,
                               .tv_usec = patience_ms % 1000 * 1000};
    (void)setsockopt(line->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(line->fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
                     sizeof patience);
    (void)snprintf(line->name, sizeof line->name, "w%d-%p", (int)getpid(),
                   (void *)line);
    *out = line;
    line = NULL;
    return ERR_NONE;
}

void line_close(struct line **line)
{
    if (*line) {
        if ((*line)->fd >= 0) {
            (void)close((*line)->fd);
        }
        free(*line);
        *line = NULL;
    }
}

const char *line_name(const struct line *line)
{
    return line->name;
}

void line_put(struct line *line, const void *data, size_t length)
{
    if (length > sizeof line->out - line->out_length) {
        line->failed = ERR_TOO_LARGE;
    } else if (length > 0) {
        memcpy(line->out + line->out_length, data, length);
        line->out_length += length;
    }
}

void line_say(struct line *line, const char *format, ...)
{
    char text[1024];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(text, sizeof text, format, values);
    va_end(values);
    if (length < 0 || (size_t)length >= sizeof text) {
        line->failed = ERR_TOO_LARGE;
    } else {
        line_put(line, text, (size_t)length);
    }
}

enum err line_flush(struct line *line)
{
    size_t sent = 0;
    while (sent < line->out_length && !line->failed) {
        ssize_t count = send(line->fd, line->out + sent,
                             line->out_length - sent, MSG_NOSIGNAL);
        if (count > 0) {
            sent += (size_t)count;
        } else if (errno != EINTR) {
            line->failed = ERR_CLOSED;
        }
    }
    line->out_length = 0;
    return line->failed;
}

static enum err read_more(struct line *line)
{
    if (line->in_start > sizeof line->in / 2) {
        memmove(line->in, line->in + line->in_start,
                line->in_end - line->in_start);
        line->in_end -= line->in_start;
        line->in_start = 0;
    }
    if (line->in_end == sizeof line->in) {
        return ERR_TOO_LARGE;
    }
    ssize_t count = recv(line->fd, line->in + line->in_end,
                         sizeof line->in - line->in_end, 0);
    if (count <= 0) {
        return count < 0 && errno == EINTR ? ERR_NONE : ERR_CLOSED;
    }
    line->in_end += (size_t)count;
    return ERR_NONE;
}

enum err line_take(struct line *line, size_t length, struct bytes *out)
{
    while (line->in_end - line->in_start < length) {
        enum err err = read_more(line);
        if (err) {
            return err;
        }
    }
    *out = bytes_of(line->in + line->in_start, length);
    line->in_start += length;
    return ERR_NONE;
}

enum err line_take_text(struct line *line, struct bytes *out)
{
    for (size_t seen = 0;;) {
        size_t there = line->in_end - line->in_start;
        const uint8_t *start = line->in + line->in_start;
        const uint8_t *end = memchr(start + seen, '\n', there - seen);
        if (end) {
            size_t length = (size_t)(end - start);
            line->in_start += length + 1;
            length -= length > 0 && start[length - 1] == '\r';
            *out = bytes_of(start, length);
            return ERR_NONE;
        }
        seen = there;
        enum err err = read_more(line);
        if (err) {
            return err;
        }
    }
}

bool line_has_input(const struct line *line)
{
    return line->in_end > line->in_start;
}
