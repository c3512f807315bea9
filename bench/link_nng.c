/*
 * Raw NNG: pair0 over tcp://, one nng_sendmsg() for each message.
 */

#include "base/owner.h"
#include "bench/link_blocking.h"

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* NNG's default of none makes small messages four times slower, and more than
 * this gains nothing; with large ones, more bytes cost speed. */
#define BUFFER_MESSAGES_MAX 128
#define BUFFER_BYTES_MAX (8u * 1024 * 1024)
#define REDIAL_MS 5

struct end {
    struct link_blocking blocking;
    bool is_server;
    nng_socket *sockets; /* one for each link */
    nng_msg *message;    /* the one that was received */
};

static struct end *end_of(struct link_blocking *blocking)
{
    return OWNER_OF(blocking, struct end, blocking);
}

static enum err failed(const struct end *end, const char *what, int code)
{
    err_explain(&end->blocking.report->why, "%s: %s", what, nng_strerror(code));
    return code == NNG_ENOMEM ? ERR_MEMORY : ERR_IO;
}

static enum err open_socket(struct link_blocking *blocking, uint32_t link)
{
    struct end *end = end_of(blocking);
    nng_socket *socket = &end->sockets[link];
    char url[64];
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u",
             (unsigned)blocking->job->port_first + link);
    size_t fitting = BUFFER_BYTES_MAX / blocking->job->message_bytes;
    int buffered =
        fitting < BUFFER_MESSAGES_MAX ? (int)fitting : BUFFER_MESSAGES_MAX;
    int code = nng_pair0_open(socket);
    if (code == 0) {
        code = nng_socket_set_int(*socket, NNG_OPT_SENDBUF, buffered);
    }
    if (code == 0) {
        code = nng_socket_set_int(*socket, NNG_OPT_RECVBUF, buffered);
    }
    if (code == 0) {
        code = nng_socket_set_size(*socket, NNG_OPT_RECVMAXSZ,
                                   LINK_MESSAGE_BYTES_MAX);
    }
    if (code == 0) {
        code = nng_socket_set_ms(*socket, NNG_OPT_RECONNMINT, REDIAL_MS);
    }
    if (code == 0) {
        code = end->is_server ? nng_listen(*socket, url, NULL, 0)
                              : nng_dial(*socket, url, NULL, NNG_FLAG_NONBLOCK);
    }
    return code == 0 ? ERR_NONE : failed(end, url, code);
}

static enum err send_message(struct end *end, uint32_t link, nng_msg *message)
{
    int code = nng_sendmsg(end->sockets[link], message, 0);
    if (code != 0) {
        nng_msg_free(message);
        return failed(end, "nng_sendmsg", code);
    }
    return ERR_NONE;
}

static enum err send_copy(struct link_blocking *blocking,
                          uint32_t link,
                          struct bytes message)
{
    struct end *end = end_of(blocking);
    nng_msg *copy = NULL;
    int code = nng_msg_alloc(&copy, message.length);
    if (code != 0) {
        return failed(end, "nng_msg_alloc", code);
    }
    memcpy(nng_msg_body(copy), message.data, message.length);
    return send_message(end, link, copy);
}

static enum err receive(struct link_blocking *blocking,
                        uint32_t link,
                        struct bytes *out)
{
    struct end *end = end_of(blocking);
    int code = nng_recvmsg(end->sockets[link], &end->message, 0);
    if (code != 0) {
        return failed(end, "nng_recvmsg", code);
    }
    *out = bytes_of(nng_msg_body(end->message), nng_msg_len(end->message));
    return ERR_NONE;
}

static void release(struct link_blocking *blocking)
{
    nng_msg_free(end_of(blocking)->message);
}

static enum err send_back(struct link_blocking *blocking, uint32_t link)
{
    struct end *end = end_of(blocking);
    return send_message(end, link, end->message);
}

static enum err end_init(struct end *end,
                         const struct link_job *job,
                         struct link_report *report)
{
    static const struct link_blocking_calls calls = {.open = open_socket,
                                                     .send = send_copy,
                                                     .receive = receive,
                                                     .release = release,
                                                     .send_back = send_back};
    *end = (struct end){
        .blocking = {.calls = &calls, .job = job, .report = report},
        .sockets = calloc(link_blocking_count(job), sizeof(nng_socket))};
    return end->sockets ? ERR_NONE : ERR_MEMORY;
}

static enum err serve(const struct link_job *job, struct link_report *report)
{
    struct end end;
    enum err err = end_init(&end, job, report);
    end.is_server = true;
    return err ? err : link_blocking_serve(&end.blocking);
}

static enum err drive(const struct link_job *job, struct link_report *report)
{
    struct end end;
    enum err err = end_init(&end, job, report);
    return err ? err : link_blocking_drive(&end.blocking);
}

const struct link_peer link_nng = {
    .name = "nng-pair0", .serve = serve, .drive = drive};
