/*
 * ZeroMQ: PAIR over tcp://, plain and with CURVE, one zmq_send() for each
 * message, one I/O thread.
 */

#include "base/owner.h"
#include "bench/link_blocking.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* PAIR waits at its high-water mark, so nothing is dropped. More than the
 * default 1,000 where messages are small; never more than this many bytes. */
#define QUEUE_MESSAGES_MAX 100000
#define QUEUE_BYTES_MAX (64u * 1024 * 1024)
#define RECONNECT_MS 5

/* The example keys of ZeroMQ's own manual page zmq_curve(7). */
/* clang-format off */
#define SERVER_PUBLIC "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define SERVER_SECRET "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"
#define CLIENT_PUBLIC "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define CLIENT_SECRET "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"
/* clang-format on */

/* One end's sockets, all in one context. */
struct end {
    struct link_blocking blocking;
    void *context;
    bool is_server;
    bool has_curve;
    void **sockets;    /* one for each link */
    zmq_msg_t message; /* the one that was received */
};

static struct end *end_of(struct link_blocking *blocking)
{
    return OWNER_OF(blocking, struct end, blocking);
}

static enum err failed(const struct end *end, const char *what)
{
    err_explain(&end->blocking.report->why, "%s: %s", what,
                zmq_strerror(zmq_errno()));
    return ERR_IO;
}

static int set_number(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

static int set_text(void *socket, int option, const char *value)
{
    return zmq_setsockopt(socket, option, value, strlen(value));
}

static int set_curve(const struct end *end, void *socket)
{
    if (end->is_server) {
        return set_number(socket, ZMQ_CURVE_SERVER, 1) |
               set_text(socket, ZMQ_CURVE_SECRETKEY, SERVER_SECRET);
    }
    return set_text(socket, ZMQ_CURVE_SERVERKEY, SERVER_PUBLIC) |
           set_text(socket, ZMQ_CURVE_PUBLICKEY, CLIENT_PUBLIC) |
           set_text(socket, ZMQ_CURVE_SECRETKEY, CLIENT_SECRET);
}

static enum err open_socket(struct link_blocking *blocking, uint32_t link)
{
    struct end *end = end_of(blocking);
    char url[64];
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u",
             (unsigned)blocking->job->port_first + link);
    size_t queued = QUEUE_BYTES_MAX / blocking->job->message_bytes;
    int mark = queued > QUEUE_MESSAGES_MAX ? QUEUE_MESSAGES_MAX : (int)queued;
    void *socket = zmq_socket(end->context, ZMQ_PAIR);
    if (!socket) {
        return failed(end, "zmq_socket");
    }
    int code = set_number(socket, ZMQ_SNDHWM, mark) |
               set_number(socket, ZMQ_RCVHWM, mark) |
               set_number(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS) |
               set_number(socket, ZMQ_LINGER, 0);
    if (end->has_curve) {
        code |= set_curve(end, socket);
    }
    if (code != 0) {
        return failed(end, "zmq_setsockopt");
    }
    code = end->is_server ? zmq_bind(socket, url) : zmq_connect(socket, url);
    if (code != 0) {
        return failed(end, url);
    }
    end->sockets[link] = socket;
    return ERR_NONE;
}

static enum err send_copy(struct link_blocking *blocking,
                          uint32_t link,
                          struct bytes message)
{
    struct end *end = end_of(blocking);
    int code = zmq_send(end->sockets[link], message.data, message.length, 0);
    return code >= 0 ? ERR_NONE : failed(end, "zmq_send");
}

static enum err receive(struct link_blocking *blocking,
                        uint32_t link,
                        struct bytes *out)
{
    struct end *end = end_of(blocking);
    zmq_msg_init(&end->message);
    if (zmq_msg_recv(&end->message, end->sockets[link], 0) < 0) {
        return failed(end, "zmq_msg_recv");
    }
    *out = bytes_of(zmq_msg_data(&end->message), zmq_msg_size(&end->message));
    return ERR_NONE;
}

static void release(struct link_blocking *blocking)
{
    zmq_msg_close(&end_of(blocking)->message);
}

static enum err send_back(struct link_blocking *blocking, uint32_t link)
{
    struct end *end = end_of(blocking);
    int code = zmq_msg_send(&end->message, end->sockets[link], 0);
    return code >= 0 ? ERR_NONE : failed(end, "zmq_msg_send");
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
        .context = zmq_ctx_new(),
        .sockets = calloc(link_blocking_count(job), sizeof(void *))};
    if (!end->sockets) {
        return ERR_MEMORY;
    }
    return end->context ? ERR_NONE : failed(end, "zmq_ctx_new");
}

static enum err serve(const struct link_job *job,
                      struct link_report *report,
                      bool has_curve)
{
    struct end end;
    enum err err = end_init(&end, job, report);
    end.is_server = true;
    end.has_curve = has_curve;
    return err ? err : link_blocking_serve(&end.blocking);
}

static enum err drive(const struct link_job *job,
                      struct link_report *report,
                      bool has_curve)
{
    struct end end;
    enum err err = end_init(&end, job, report);
    end.has_curve = has_curve;
    return err ? err : link_blocking_drive(&end.blocking);
}

static enum err serve_plain(const struct link_job *job,
                            struct link_report *report)
{
    return serve(job, report, false);
}

static enum err drive_plain(const struct link_job *job,
                            struct link_report *report)
{
    return drive(job, report, false);
}

static enum err serve_curve(const struct link_job *job,
                            struct link_report *report)
{
    return serve(job, report, true);
}

static enum err drive_curve(const struct link_job *job,
                            struct link_report *report)
{
    return drive(job, report, true);
}

const struct link_peer link_zmq = {
    .name = "zmq-pair", .serve = serve_plain, .drive = drive_plain};

const struct link_peer link_zmq_curve = {
    .name = "zmq-pair-curve", .serve = serve_curve, .drive = drive_curve};
