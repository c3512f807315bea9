/*
 * ZeroMQ: PAIR over tcp://, plain and with CURVE, one zmq_send() for each
 * message, one I/O thread.
 */

#include "bench/link_peer.h"
#include "bench/process.h"

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
    void *context;
    const struct link_job *job;
    struct link_report *report;
    bool is_server;
    bool has_curve;
};

static enum err failed(const struct end *end, const char *what)
{
    err_explain(&end->report->why, "%s: %s", what, zmq_strerror(zmq_errno()));
    return ERR_IO;
}

static enum err end_init(struct end *end)
{
    end->context = zmq_ctx_new();
    return end->context ? ERR_NONE : failed(end, "zmq_ctx_new");
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

static enum err socket_open(const struct end *end, void **out, uint32_t link)
{
    char url[64];
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u",
             (unsigned)end->job->port_first + link);
    size_t queued = QUEUE_BYTES_MAX / end->job->message_bytes;
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
    *out = socket;
    return ERR_NONE;
}

static enum err send_copy(const struct end *end,
                          void *socket,
                          const void *data,
                          size_t bytes)
{
    int code = zmq_send(socket, data, bytes, 0);
    return code >= 0 ? ERR_NONE : failed(end, "zmq_send");
}

static enum err receive(const struct end *end, void *socket, zmq_msg_t *out)
{
    zmq_msg_init(out);
    int code = zmq_msg_recv(out, socket, 0);
    return code >= 0 ? ERR_NONE : failed(end, "zmq_msg_recv");
}

static enum err sink_one(const struct end *end,
                         void *socket,
                         struct link_sink *sink)
{
    zmq_msg_t message;
    enum err err = receive(end, socket, &message);
    if (err) {
        return err;
    }
    uint8_t answer[LINK_ANSWER_BYTES];
    bool is_answer_due = false;
    err = link_sink_take(sink, zmq_msg_data(&message), zmq_msg_size(&message),
                         answer, &is_answer_due);
    zmq_msg_close(&message);
    if (!err && is_answer_due) {
        err = send_copy(end, socket, answer, sizeof answer);
    }
    return err;
}

static enum err echo_one(const struct end *end, void *socket)
{
    zmq_msg_t message;
    enum err err = receive(end, socket, &message);
    if (err) {
        return err;
    }
    int code = zmq_msg_send(&message, socket, 0);
    return code >= 0 ? ERR_NONE : failed(end, "zmq_msg_send");
}

static enum err serve_one_link(const struct end *end)
{
    void *socket = NULL;
    enum err err = socket_open(end, &socket, 0);
    struct link_sink sink;
    link_sink_init(&sink, end->job, end->report);
    while (!err) {
        err = end->job->kind == LINK_ROUND_TRIP ? echo_one(end, socket)
                                                : sink_one(end, socket, &sink);
    }
    return err;
}

static enum err serve_idle(const struct end *end)
{
    void *socket = NULL;
    struct link_sink sink;
    link_sink_init(&sink, end->job, end->report);
    enum err err = socket_open(end, &socket, 0);
    uint32_t count = end->job->link_count_warm + end->job->link_count;
    for (uint32_t i = 0; !err && i < count; i++) {
        void *next = NULL;
        err = socket_open(end, &next, i + 1);
        if (!err) {
            err = sink_one(end, socket, &sink);
        }
        if (!err && link_idle_is_marked(end->job, i)) {
            err = sink_one(end, socket, &sink);
        }
        socket = next;
    }
    while (!err) {
        process_sleep_ns(UINT64_C(1000000000));
    }
    return err;
}

static enum err drive_one_way(const struct end *end, void *socket)
{
    static uint8_t message[LINK_MESSAGE_BYTES_MAX];
    struct link_flow flow;
    link_flow_init(&flow, end->job, end->report);
    enum err err = ERR_NONE;
    while (!err) {
        enum link_step step = link_flow_next(&flow, message);
        if (step == LINK_DONE) {
            return ERR_NONE;
        }
        if (step == LINK_SEND) {
            err = send_copy(end, socket, message, end->job->message_bytes);
            continue;
        }
        zmq_msg_t answer;
        err = receive(end, socket, &answer);
        if (!err) {
            err = link_flow_answered(&flow, zmq_msg_data(&answer),
                                     zmq_msg_size(&answer));
            zmq_msg_close(&answer);
        }
    }
    return err;
}

static enum err pace_step(const struct end *end,
                          struct link_pace *pace,
                          void *socket,
                          bool *is_done)
{
    static uint8_t message[LINK_MESSAGE_BYTES_MAX];
    uint64_t pause_ns = 0;
    zmq_msg_t answer;
    enum err err = ERR_NONE;
    switch (link_pace_next(pace, message, &pause_ns)) {
    case LINK_SEND:
        return send_copy(end, socket, message, end->job->message_bytes);
    case LINK_PAUSE:
        process_sleep_ns(pause_ns);
        return ERR_NONE;
    case LINK_WAIT:
        err = receive(end, socket, &answer);
        if (!err) {
            err = link_pace_answered(pace, zmq_msg_data(&answer),
                                     zmq_msg_size(&answer));
            zmq_msg_close(&answer);
        }
        return err;
    default:
        *is_done = true;
        return ERR_NONE;
    }
}

static enum err drive_round_trips(const struct end *end, void *socket)
{
    struct link_pace pace;
    enum err err = link_pace_init(&pace, end->job, end->report);
    bool is_done = false;
    while (!err && !is_done) {
        err = pace_step(end, &pace, socket, &is_done);
    }
    link_pace_clear(&pace);
    return err;
}

static enum err ask(const struct end *end, void *socket, bool is_mark)
{
    static uint8_t message[LINK_MESSAGE_BYTES_MAX];
    link_idle_message(message, is_mark);
    enum err err = send_copy(end, socket, message, end->job->message_bytes);
    zmq_msg_t answer;
    if (!err) {
        err = receive(end, socket, &answer);
    }
    if (!err) {
        zmq_msg_close(&answer);
    }
    return err;
}

static enum err drive_idle(const struct end *end)
{
    enum err err = ERR_NONE;
    uint32_t count = end->job->link_count_warm + end->job->link_count;
    for (uint32_t i = 0; !err && i < count; i++) {
        void *socket = NULL;
        err = socket_open(end, &socket, i);
        if (!err) {
            err = ask(end, socket, false);
        }
        if (!err && link_idle_is_marked(end->job, i)) {
            link_idle_settle();
            err = ask(end, socket, true);
            link_report_mark(end->report);
        }
    }
    return err;
}

static enum err serve(const struct link_job *job,
                      struct link_report *report,
                      bool has_curve)
{
    struct end end = {.job = job,
                      .report = report,
                      .is_server = true,
                      .has_curve = has_curve};
    enum err err = end_init(&end);
    if (err) {
        return err;
    }
    return job->kind == LINK_IDLE ? serve_idle(&end) : serve_one_link(&end);
}

static enum err drive(const struct link_job *job,
                      struct link_report *report,
                      bool has_curve)
{
    struct end end = {.job = job, .report = report, .has_curve = has_curve};
    enum err err = end_init(&end);
    if (err) {
        return err;
    }
    if (job->kind == LINK_IDLE) {
        return drive_idle(&end);
    }
    void *socket = NULL;
    err = socket_open(&end, &socket, 0);
    if (err) {
        return err;
    }
    return job->kind == LINK_ONE_WAY ? drive_one_way(&end, socket)
                                     : drive_round_trips(&end, socket);
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
