#include "bench/link_blocking.h"

#include "base/time_units.h"
#include "bench/process.h"

/* ---- serving ---- */

/* Receive one message into the sink, and answer it if that is due. */
static enum err sink_one(struct link_blocking *end,
                         uint32_t link,
                         struct link_sink *sink)
{
    struct bytes message;
    enum err err = end->calls->receive(end, link, &message);
    if (err) {
        return err;
    }
    uint8_t answer[LINK_ANSWER_BYTES];
    bool is_answer_due = false;
    err = link_sink_take(sink, message.data, message.length, answer,
                         &is_answer_due);
    end->calls->release(end);
    if (!err && is_answer_due) {
        err = end->calls->send(end, link, bytes_of(answer, sizeof answer));
    }
    return err;
}

static enum err echo_one(struct link_blocking *end)
{
    struct bytes message;
    enum err err = end->calls->receive(end, 0, &message);
    return err ? err : end->calls->send_back(end, 0);
}

static enum err serve_one_link(struct link_blocking *end)
{
    enum err err = end->calls->open(end, 0);
    struct link_sink sink;
    link_sink_init(&sink, end->job, end->report);
    while (!err) {
        err = end->job->kind == LINK_ROUND_TRIP ? echo_one(end)
                                                : sink_one(end, 0, &sink);
    }
    return err;
}

static enum err serve_idle(struct link_blocking *end)
{
    struct link_sink sink;
    link_sink_init(&sink, end->job, end->report);
    enum err err = end->calls->open(end, 0);
    uint32_t count = end->job->link_count_warm + end->job->link_count;
    for (uint32_t i = 0; !err && i < count; i++) {
        err = end->calls->open(end, i + 1);
        if (!err) {
            err = sink_one(end, i, &sink);
        }
        if (!err && link_idle_is_marked(end->job, i)) {
            err = sink_one(end, i, &sink);
        }
    }
    while (!err) {
        process_sleep_ns(NS_PER_S);
    }
    return err;
}

/* ---- driving ---- */

static struct bytes message_of(const struct link_blocking *end,
                               const uint8_t *message)
{
    return bytes_of(message, end->job->message_bytes);
}

static enum err drive_one_way(struct link_blocking *end)
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
            err = end->calls->send(end, 0, message_of(end, message));
            continue;
        }
        struct bytes answer;
        err = end->calls->receive(end, 0, &answer);
        if (!err) {
            err = link_flow_answered(&flow, answer.data, answer.length);
            end->calls->release(end);
        }
    }
    return err;
}

static enum err pace_step(struct link_blocking *end,
                          struct link_pace *pace,
                          bool *is_done)
{
    static uint8_t message[LINK_MESSAGE_BYTES_MAX];
    uint64_t pause_ns = 0;
    struct bytes answer;
    enum err err = ERR_NONE;
    switch (link_pace_next(pace, message, &pause_ns)) {
    case LINK_SEND:
        return end->calls->send(end, 0, message_of(end, message));
    case LINK_PAUSE:
        process_sleep_ns(pause_ns);
        return ERR_NONE;
    case LINK_WAIT:
        err = end->calls->receive(end, 0, &answer);
        if (!err) {
            err = link_pace_answered(pace, answer.data, answer.length);
            end->calls->release(end);
        }
        return err;
    default:
        *is_done = true;
        return ERR_NONE;
    }
}

static enum err drive_round_trips(struct link_blocking *end)
{
    struct link_pace pace;
    enum err err = link_pace_init(&pace, end->job, end->report);
    bool is_done = false;
    while (!err && !is_done) {
        err = pace_step(end, &pace, &is_done);
    }
    link_pace_clear(&pace);
    return err;
}

static enum err ask(struct link_blocking *end, uint32_t link, bool is_mark)
{
    static uint8_t message[LINK_MESSAGE_BYTES_MAX];
    link_idle_message(message, is_mark);
    enum err err = end->calls->send(end, link, message_of(end, message));
    struct bytes answer;
    if (!err) {
        err = end->calls->receive(end, link, &answer);
    }
    if (!err) {
        end->calls->release(end);
    }
    return err;
}

static enum err drive_idle(struct link_blocking *end)
{
    enum err err = ERR_NONE;
    uint32_t count = end->job->link_count_warm + end->job->link_count;
    for (uint32_t i = 0; !err && i < count; i++) {
        err = end->calls->open(end, i);
        if (!err) {
            err = ask(end, i, false);
        }
        if (!err && link_idle_is_marked(end->job, i)) {
            link_idle_settle();
            err = ask(end, i, true);
            link_report_mark(end->report);
        }
    }
    return err;
}

/* ---- both ends ---- */

uint32_t link_blocking_count(const struct link_job *job)
{
    /* A server opens one more than are used. */
    return job->link_count_warm + job->link_count + 1;
}

enum err link_blocking_serve(struct link_blocking *end)
{
    return end->job->kind == LINK_IDLE ? serve_idle(end) : serve_one_link(end);
}

enum err link_blocking_drive(struct link_blocking *end)
{
    if (end->job->kind == LINK_IDLE) {
        return drive_idle(end);
    }
    enum err err = end->calls->open(end, 0);
    if (err) {
        return err;
    }
    return end->job->kind == LINK_ONE_WAY ? drive_one_way(end)
                                          : drive_round_trips(end);
}
