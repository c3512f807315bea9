/*
 * Raw NNG: pair0 over tcp://, one nng_sendmsg() for each message.
 */

#include "bench/link_peer.h"
#include "bench/process.h"

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

static enum err failed(struct link_report *report, const char *what, int code)
{
    err_explain(&report->why, "%s: %s", what, nng_strerror(code));
    return code == NNG_ENOMEM ? ERR_MEMORY : ERR_IO;
}

static enum err open_end(nng_socket *out,
                         const struct link_job *job,
                         uint32_t link,
                         struct link_report *report,
                         bool listens)
{
    char url[64];
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u",
             (unsigned)job->port_first + link);
    size_t fitting = BUFFER_BYTES_MAX / job->message_bytes;
    int buffered =
        fitting < BUFFER_MESSAGES_MAX ? (int)fitting : BUFFER_MESSAGES_MAX;
    int code = nng_pair0_open(out);
    if (code == 0) {
        code = nng_socket_set_int(*out, NNG_OPT_SENDBUF, buffered);
    }
    if (code == 0) {
        code = nng_socket_set_int(*out, NNG_OPT_RECVBUF, buffered);
    }
    if (code == 0) {
        code = nng_socket_set_size(*out, NNG_OPT_RECVMAXSZ,
                                   LINK_MESSAGE_BYTES_MAX);
    }
    if (code == 0) {
        code = nng_socket_set_ms(*out, NNG_OPT_RECONNMINT, REDIAL_MS);
    }
    if (code == 0) {
        code = listens ? nng_listen(*out, url, NULL, 0)
                       : nng_dial(*out, url, NULL, NNG_FLAG_NONBLOCK);
    }
    return code == 0 ? ERR_NONE : failed(report, url, code);
}

/* Send a copy, as a program would that has its data elsewhere. */
static enum err send_copy(nng_socket socket,
                          const void *data,
                          size_t bytes,
                          struct link_report *report)
{
    nng_msg *message = NULL;
    int code = nng_msg_alloc(&message, bytes);
    if (code != 0) {
        return failed(report, "nng_msg_alloc", code);
    }
    memcpy(nng_msg_body(message), data, bytes);
    code = nng_sendmsg(socket, message, 0);
    if (code != 0) {
        nng_msg_free(message);
        return failed(report, "nng_sendmsg", code);
    }
    return ERR_NONE;
}

static enum err receive(nng_socket socket,
                        nng_msg **out,
                        struct link_report *report)
{
    int code = nng_recvmsg(socket, out, 0);
    return code == 0 ? ERR_NONE : failed(report, "nng_recvmsg", code);
}

/* Receive one message into the sink, and answer it if that is due. */
static enum err sink_one(nng_socket socket, struct link_sink *sink)
{
    nng_msg *message = NULL;
    enum err err = receive(socket, &message, sink->report);
    if (err) {
        return err;
    }
    uint8_t answer[LINK_ANSWER_BYTES];
    bool is_answer_due = false;
    err = link_sink_take(sink, nng_msg_body(message), nng_msg_len(message),
                         answer, &is_answer_due);
    nng_msg_free(message);
    if (!err && is_answer_due) {
        err = send_copy(socket, answer, sizeof answer, sink->report);
    }
    return err;
}

static enum err echo_one(nng_socket socket, struct link_report *report)
{
    nng_msg *message = NULL;
    enum err err = receive(socket, &message, report);
    if (err) {
        return err;
    }
    int code = nng_sendmsg(socket, message, 0);
    return code == 0 ? ERR_NONE : failed(report, "nng_sendmsg", code);
}

static enum err serve_one_link(const struct link_job *job,
                               struct link_report *report)
{
    nng_socket socket = NNG_SOCKET_INITIALIZER;
    enum err err = open_end(&socket, job, 0, report, true);
    struct link_sink sink;
    link_sink_init(&sink, job, report);
    while (!err) {
        err = job->kind == LINK_ROUND_TRIP ? echo_one(socket, report)
                                           : sink_one(socket, &sink);
    }
    return err;
}

static enum err serve_idle(const struct link_job *job,
                           struct link_report *report)
{
    nng_socket socket = NNG_SOCKET_INITIALIZER;
    struct link_sink sink;
    link_sink_init(&sink, job, report);
    enum err err = open_end(&socket, job, 0, report, true);
    uint32_t count = job->link_count_warm + job->link_count;
    for (uint32_t i = 0; !err && i < count; i++) {
        nng_socket next = NNG_SOCKET_INITIALIZER;
        err = open_end(&next, job, i + 1, report, true);
        if (!err) {
            err = sink_one(socket, &sink);
        }
        if (!err && link_idle_is_marked(job, i)) {
            err = sink_one(socket, &sink);
        }
        socket = next;
    }
    while (!err) {
        process_sleep_ns(UINT64_C(1000000000));
    }
    return err;
}

static enum err serve(const struct link_job *job, struct link_report *report)
{
    return job->kind == LINK_IDLE ? serve_idle(job, report)
                                  : serve_one_link(job, report);
}

static enum err drive_one_way(nng_socket socket,
                              const struct link_job *job,
                              struct link_report *report)
{
    static uint8_t message[LINK_MESSAGE_BYTES_MAX];
    struct link_flow flow;
    link_flow_init(&flow, job, report);
    enum err err = ERR_NONE;
    while (!err) {
        enum link_step step = link_flow_next(&flow, message);
        if (step == LINK_DONE) {
            return ERR_NONE;
        }
        if (step == LINK_SEND) {
            err = send_copy(socket, message, job->message_bytes, report);
            continue;
        }
        nng_msg *answer = NULL;
        err = receive(socket, &answer, report);
        if (!err) {
            err = link_flow_answered(&flow, nng_msg_body(answer),
                                     nng_msg_len(answer));
            nng_msg_free(answer);
        }
    }
    return err;
}

static enum err pace_step(struct link_pace *pace,
                          nng_socket socket,
                          uint8_t *message,
                          bool *is_done)
{
    uint64_t pause_ns = 0;
    nng_msg *answer = NULL;
    enum err err = ERR_NONE;
    switch (link_pace_next(pace, message, &pause_ns)) {
    case LINK_SEND:
        return send_copy(socket, message, pace->job->message_bytes,
                         pace->report);
    case LINK_PAUSE:
        process_sleep_ns(pause_ns);
        return ERR_NONE;
    case LINK_WAIT:
        err = receive(socket, &answer, pace->report);
        if (!err) {
            err = link_pace_answered(pace, nng_msg_body(answer),
                                     nng_msg_len(answer));
            nng_msg_free(answer);
        }
        return err;
    default:
        *is_done = true;
        return ERR_NONE;
    }
}

static enum err drive_round_trips(nng_socket socket,
                                  const struct link_job *job,
                                  struct link_report *report)
{
    static uint8_t message[LINK_MESSAGE_BYTES_MAX];
    struct link_pace pace;
    enum err err = link_pace_init(&pace, job, report);
    bool is_done = false;
    while (!err && !is_done) {
        err = pace_step(&pace, socket, message, &is_done);
    }
    link_pace_clear(&pace);
    return err;
}

static enum err ask(nng_socket socket,
                    const struct link_job *job,
                    struct link_report *report,
                    bool is_mark)
{
    static uint8_t message[LINK_MESSAGE_BYTES_MAX];
    link_idle_message(message, is_mark);
    enum err err = send_copy(socket, message, job->message_bytes, report);
    nng_msg *answer = NULL;
    if (!err) {
        err = receive(socket, &answer, report);
    }
    if (!err) {
        nng_msg_free(answer);
    }
    return err;
}

static enum err drive_idle(const struct link_job *job,
                           struct link_report *report)
{
    enum err err = ERR_NONE;
    uint32_t count = job->link_count_warm + job->link_count;
    for (uint32_t i = 0; !err && i < count; i++) {
        nng_socket socket = NNG_SOCKET_INITIALIZER;
        err = open_end(&socket, job, i, report, false);
        if (!err) {
            err = ask(socket, job, report, false);
        }
        if (!err && link_idle_is_marked(job, i)) {
            link_idle_settle();
            err = ask(socket, job, report, true);
            link_report_mark(report);
        }
    }
    return err;
}

static enum err drive(const struct link_job *job, struct link_report *report)
{
    if (job->kind == LINK_IDLE) {
        return drive_idle(job, report);
    }
    nng_socket socket = NNG_SOCKET_INITIALIZER;
    enum err err = open_end(&socket, job, 0, report, false);
    if (err) {
        return err;
    }
    return job->kind == LINK_ONE_WAY ? drive_one_way(socket, job, report)
                                     : drive_round_trips(socket, job, report);
}

const struct link_peer link_nng = {
    .name = "nng-pair0", .serve = serve, .drive = drive};
