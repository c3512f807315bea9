#include "bench/grpc.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRAME_HEAD_BYTES 9
#define OUT_BYTES_MAX (1u << 20)
#define IN_BYTES_MAX (1u << 20)
#define CALL_COUNT_MAX 4096u /* under way; a power of two */
#define WINDOW_MORE 0x7fff0000u
#define MESSAGE_HEAD_BYTES 5 /* of gRPC: compressed u8, length u32 */
#define ANSWER_BYTES_MAX 512

enum frame_type {
    FRAME_DATA = 0,
    FRAME_HEADERS = 1,
    FRAME_RST_STREAM = 3,
    FRAME_SETTINGS = 4,
    FRAME_PING = 6,
    FRAME_GOAWAY = 7,
    FRAME_WINDOW_UPDATE = 8,
};

#define FLAG_ACK 1u
#define FLAG_END_STREAM 1u
#define FLAG_END_HEADERS 4u

struct call {
    uint32_t stream; /* 0: none */
    uint64_t id;
    uint32_t length; /* of what has come */
    uint8_t answer[ANSWER_BYTES_MAX];
};

struct grpc {
    int fd;
    grpc_answer *answer;
    void *context;
    uint32_t next_stream;
    uint32_t call_count;
    struct writer out;
    uint8_t *out_from; /* not sent yet */
    size_t in_length;
    uint8_t out_bytes[OUT_BYTES_MAX];
    uint8_t in_bytes[IN_BYTES_MAX];
    struct call calls[CALL_COUNT_MAX];
};

static void put_u32_big(uint8_t to[static 4], uint32_t value)
{
    to[0] = (uint8_t)(value >> 24);
    to[1] = (uint8_t)(value >> 16);
    to[2] = (uint8_t)(value >> 8);
    to[3] = (uint8_t)value;
}

static uint32_t get_u32_big(const uint8_t from[static 4])
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 |
           (uint32_t)from[2] << 8 | from[3];
}

static void write_head(struct writer *out,
                       size_t length,
                       enum frame_type type,
                       uint8_t flags,
                       uint32_t stream)
{
    uint8_t head[FRAME_HEAD_BYTES];
    put_u32_big(head, (uint32_t)length << 8 | (uint32_t)type);
    head[4] = flags;
    put_u32_big(head + 5, stream);
    write_bytes(out, head, sizeof head);
}

/* A string of a header, not compressed; shorter than 127 bytes. */
static void write_text(struct writer *out, const char *text)
{
    size_t length = strlen(text);
    assert(length < 127);
    write_u8(out, (uint8_t)length);
    write_bytes(out, text, length);
}

/* Nothing goes into the table of names, so every block is the same. */
static struct bytes header_block(uint8_t *to, size_t length, const char *path)
{
    struct writer writer = writer_of(to, length);
    write_u8(&writer, 0x83); /* :method POST */
    write_u8(&writer, 0x86); /* :scheme http */
    write_u8(&writer, 0x04); /* :path */
    write_text(&writer, path);
    write_u8(&writer, 0x01); /* :authority */
    write_text(&writer, "127.0.0.1");
    write_u8(&writer, 0x0f); /* content-type, which is number 15 + 16 */
    write_u8(&writer, 0x10);
    write_text(&writer, "application/grpc");
    write_u8(&writer, 0x00);
    write_text(&writer, "te");
    write_text(&writer, "trailers");
    assert(!writer.failed);
    return writer_bytes(&writer);
}

static struct call *call_of(struct grpc *grpc, uint32_t stream)
{
    return &grpc->calls[stream / 2 & (CALL_COUNT_MAX - 1)];
}

FALLIBLE grpc_call(struct grpc *grpc,
                   const char *path,
                   struct bytes message,
                   uint64_t id)
{
    uint8_t block[256];
    uint8_t head[MESSAGE_HEAD_BYTES] = {0};
    struct call *call = call_of(grpc, grpc->next_stream);
    struct bytes headers = header_block(block, sizeof block, path);
    size_t wanted = headers.length + message.length + sizeof head +
                    (size_t)2 * FRAME_HEAD_BYTES;
    if (call->stream != 0 ||
        (size_t)(grpc->out.end - grpc->out.next) < wanted) {
        return ERR_FULL;
    }
    uint32_t stream = grpc->next_stream;
    grpc->next_stream += 2;
    call->stream = stream;
    call->id = id;
    call->length = 0;
    grpc->call_count++;
    put_u32_big(head + 1, (uint32_t)message.length);
    write_head(&grpc->out, headers.length, FRAME_HEADERS, FLAG_END_HEADERS,
               stream);
    write_bytes(&grpc->out, headers.data, headers.length);
    write_head(&grpc->out, sizeof head + message.length, FRAME_DATA,
               FLAG_END_STREAM, stream);
    write_bytes(&grpc->out, head, sizeof head);
    write_bytes(&grpc->out, message.data, message.length);
    assert(!grpc->out.failed);
    return ERR_NONE;
}

FALLIBLE grpc_flush(struct grpc *grpc)
{
    while (grpc->out_from < grpc->out.next) {
        ssize_t sent =
            send(grpc->fd, grpc->out_from,
                 (size_t)(grpc->out.next - grpc->out_from), MSG_NOSIGNAL);
        if (sent < 0) {
            return errno == EAGAIN || errno == EINTR ? ERR_NONE : ERR_CLOSED;
        }
        grpc->out_from += sent;
    }
    grpc->out = writer_of(grpc->out_bytes, OUT_BYTES_MAX);
    grpc->out_from = grpc->out_bytes;
    return ERR_NONE;
}

static void end_call(struct grpc *grpc, struct call *call, bool is_good)
{
    is_good = is_good && call->length >= MESSAGE_HEAD_BYTES;
    call->stream = 0;
    grpc->call_count--;
    grpc->answer(grpc->context, call->id,
                 is_good ? bytes_of(call->answer + MESSAGE_HEAD_BYTES,
                                    call->length - MESSAGE_HEAD_BYTES)
                         : bytes_of(NULL, 0));
}

static void take_data(struct call *call, struct bytes body)
{
    size_t room = sizeof call->answer - call->length;
    size_t length = body.length < room ? body.length : room;
    memcpy(call->answer + call->length, body.data, length);
    call->length += (uint32_t)length;
}

static enum err take_frame(struct grpc *grpc,
                           enum frame_type type,
                           uint8_t flags,
                           uint32_t stream,
                           struct bytes body)
{
    struct call *call = call_of(grpc, stream);
    bool is_ours = stream != 0 && call->stream == stream;
    switch (type) {
    case FRAME_DATA:
    case FRAME_HEADERS:
        if (is_ours && type == FRAME_DATA) {
            take_data(call, body);
        }
        if (is_ours && (flags & FLAG_END_STREAM)) {
            end_call(grpc, call, true);
        }
        return ERR_NONE;
    case FRAME_RST_STREAM:
        if (is_ours) {
            end_call(grpc, call, false);
        }
        return ERR_NONE;
    case FRAME_SETTINGS:
    case FRAME_PING:
        if (!(flags & FLAG_ACK)) {
            size_t length = type == FRAME_PING ? body.length : 0;
            write_head(&grpc->out, length, type, FLAG_ACK, 0);
            write_bytes(&grpc->out, body.data, length);
        }
        return grpc->out.failed ? ERR_CLOSED : ERR_NONE;
    case FRAME_GOAWAY:
        return ERR_CLOSED;
    case FRAME_WINDOW_UPDATE:
        break;
    }
    return ERR_NONE;
}

static enum err take_frames(struct grpc *grpc)
{
    size_t at = 0;
    enum err err = ERR_NONE;
    while (!err && grpc->in_length - at >= FRAME_HEAD_BYTES) {
        const uint8_t *head = grpc->in_bytes + at;
        size_t length = get_u32_big(head) >> 8;
        if (length + FRAME_HEAD_BYTES > sizeof grpc->in_bytes) {
            return ERR_CLOSED;
        }
        if (grpc->in_length - at < FRAME_HEAD_BYTES + length) {
            break;
        }
        err = take_frame(grpc, (enum frame_type)head[3], head[4],
                         get_u32_big(head + 5) & 0x7fffffff,
                         bytes_of(head + FRAME_HEAD_BYTES, length));
        at += FRAME_HEAD_BYTES + length;
    }
    memmove(grpc->in_bytes, grpc->in_bytes + at, grpc->in_length - at);
    grpc->in_length -= at;
    return err;
}

FALLIBLE grpc_receive(struct grpc *grpc)
{
    for (;;) {
        ssize_t got = recv(grpc->fd, grpc->in_bytes + grpc->in_length,
                           sizeof grpc->in_bytes - grpc->in_length, 0);
        if (got <= 0) {
            bool is_later = got < 0 && (errno == EAGAIN || errno == EINTR);
            return is_later ? ERR_NONE : ERR_CLOSED;
        }
        grpc->in_length += (size_t)got;
        enum err err = take_frames(grpc);
        if (err) {
            return err;
        }
    }
}

static enum err connect_to(struct grpc *grpc, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    grpc->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (grpc->fd < 0 ||
        connect(grpc->fd, (const struct sockaddr *)&address, sizeof address) ||
        setsockopt(grpc->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) ||
        fcntl(grpc->fd, F_SETFL, O_NONBLOCK)) {
        return ERR_UNREACHABLE;
    }
    return ERR_NONE;
}

FALLIBLE grpc_open(struct grpc **out,
                   uint16_t port,
                   grpc_answer *answer,
                   void *context)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    uint8_t more[4];
    struct grpc *grpc = calloc(1, sizeof *grpc);
    if (!grpc) {
        return ERR_MEMORY;
    }
    grpc->answer = answer;
    grpc->context = context;
    grpc->next_stream = 1;
    grpc->out = writer_of(grpc->out_bytes, OUT_BYTES_MAX);
    grpc->out_from = grpc->out_bytes;
    enum err err = connect_to(grpc, port);
    if (err) {
        grpc_close(&grpc);
        return err;
    }
    write_bytes(&grpc->out, preface, sizeof preface - 1);
    write_head(&grpc->out, 0, FRAME_SETTINGS, 0, 0);
    write_head(&grpc->out, sizeof more, FRAME_WINDOW_UPDATE, 0, 0);
    put_u32_big(more, WINDOW_MORE);
    write_bytes(&grpc->out, more, sizeof more);
    *out = grpc;
    return ERR_NONE;
}

void grpc_close(struct grpc **grpc)
{
    if (*grpc && (*grpc)->fd >= 0) {
        (void)close((*grpc)->fd);
    }
    free(*grpc);
    *grpc = NULL;
}

int grpc_fd(const struct grpc *grpc)
{
    return grpc->fd;
}

uint32_t grpc_open_calls(const struct grpc *grpc)
{
    return grpc->call_count;
}
