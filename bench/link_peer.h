/*
 * What a peer of the suite `link` implements, and the jobs that are the same
 * for all peers.
 *
 * A job runs in two processes: `serve` receives, `drive` sends and measures.
 * Both run the whole job and own their process, so a peer may block or run
 * an event loop. What to send next, when, and what to answer is decided here,
 * by state machines without calls into any library: link_flow (one way) and
 * link_pace (round trips) at the driving end, link_sink at the serving one.
 *
 *     blocking peer                   event loop
 *     for (;;) {                      when the link is writable, when an
 *         switch (link_flow_next())   answer has come, when the pause is
 *         SEND: send the message      over: the same switch, until it says
 *         WAIT: receive an answer,    WAIT, PAUSE or DONE, or the link is
 *               link_flow_answered()  full (then keep the message and send
 *         DONE: return                it first when it is writable again)
 *     }
 *
 * Messages are as long as the job says. The first eight bytes are ours, the
 * rest has no meaning.
 */

#ifndef BENCH_LINK_PEER_H
#define BENCH_LINK_PEER_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINK_ANSWER_BYTES 8
#define LINK_MESSAGE_BYTES_MIN 8
#define LINK_MESSAGE_BYTES_MAX (256u * 1024)
#define LINK_MARK_MAX 2

/*
 * ONE_WAY      drive: link_flow. serve: link_sink, and send its answers back.
 * ROUND_TRIP   drive: link_pace. serve: send every message back as it is.
 * IDLE         drive: for link 0 .. link_count_warm + link_count - 1: connect
 *              it, send one message and wait for an answer. On the last warm
 *              link and on the very last: then link_idle_settle(), send a
 *              second message with link_idle_message(), wait for the answer,
 *              and link_report_mark(). All links stay open.
 *              serve: link_sink over the messages of all links together; and
 *              the listener of link i + 1 is opened before link i is
 *              answered, also after the last, so that both marks hold one
 *              unused listener.
 */
enum link_job_kind { LINK_ONE_WAY, LINK_ROUND_TRIP, LINK_IDLE };

struct link_job {
    enum link_job_kind kind;
    size_t message_bytes;

    /* Of 127.0.0.1; free a moment ago: one for each link and one more. */
    uint16_t port_first;
    uint16_t port_count;

    /* ONE_WAY */
    uint64_t warm_up_ns;
    uint64_t duration_ns;

    /* ROUND_TRIP */
    uint64_t interval_ns;
    uint32_t warm_up_count;
    uint32_t sample_count;

    /* IDLE */
    uint32_t link_count_warm;
    uint32_t link_count;
};

/* What a process had used at a moment of its job. */
struct link_mark {
    uint64_t at_ns;
    uint64_t cpu_ns;
    uint64_t resident_bytes;
};

/* Of one process; shared with the parent. */
struct link_report {
    struct link_mark marks[LINK_MARK_MAX];
    uint32_t mark_count;
    uint64_t message_count; /* between the marks; drive, ONE_WAY */
    uint64_t p50_ns;        /* drive, ROUND_TRIP */
    uint64_t p99_ns;
    uint64_t p999_ns;
    struct err_detail why; /* of a failure */
};

/* Either function returns what failed, after saying more in report->why. */
struct link_peer {
    const char *name;
    const char *absent; /* why it is not there; NULL: it is */
    /* Never returns ERR_NONE: its process is ended when drive returns. */
    enum err (*serve)(const struct link_job *job, struct link_report *report);
    enum err (*drive)(const struct link_job *job, struct link_report *report);
};

/* Each in the file of its name. */
extern const struct link_peer link_troupe;
extern const struct link_peer link_nng;
extern const struct link_peer link_zmq;
extern const struct link_peer link_zmq_curve;

/* Note what this process has used up to now. */
void link_report_mark(struct link_report *report);

enum link_step {
    LINK_SEND,  /* the message that was filled in */
    LINK_WAIT,  /* for an answer */
    LINK_PAUSE, /* for the time that was filled in */
    LINK_DONE,
};

/*
 * One way: send for the warm-up and wait until all is acknowledged; mark;
 * send for the duration and wait again; mark.
 */
struct link_flow {
    const struct link_job *job;
    struct link_report *report;
    uint64_t sent_count;
    uint64_t warm_count;
    uint64_t ends_at_ns; /* of this phase; 0: not begun */
    bool awaits_answer;
};

void link_flow_init(struct link_flow *flow,
                    const struct link_job *job,
                    struct link_report *report);

/* After LINK_SEND this very message must be sent, sooner or later. */
enum link_step link_flow_next(struct link_flow *flow, uint8_t *message);

/* ERR_MALFORMED   not the answer that was due: messages were lost */
FALLIBLE link_flow_answered(struct link_flow *flow,
                            const void *answer,
                            size_t answer_bytes);

/*
 * Round trips at a fixed rate. Latency counts from the time when a message
 * was due, not when it could be sent; so a stall is seen by all messages that
 * it delays. Only when nothing was under way at that time, and the driver
 * itself was late to wake up, it counts from the sending.
 */
struct link_pace {
    const struct link_job *job;
    struct link_report *report;
    uint64_t *samples_ns;
    uint64_t starts_at_ns; /* 0: not begun */
    uint64_t sent_count;
    uint64_t answered_count;
    uint64_t counts_from_ns;
    bool was_idle;
};

/* ERR_MEMORY */
FALLIBLE link_pace_init(struct link_pace *pace,
                        const struct link_job *job,
                        struct link_report *report);
void link_pace_clear(struct link_pace *pace);

/* With LINK_PAUSE, `*pause_ns` says how long. At LINK_DONE the report is
 * complete. */
enum link_step link_pace_next(struct link_pace *pace,
                              uint8_t *message,
                              uint64_t *pause_ns);

/* ERR_MALFORMED   not what was sent */
FALLIBLE link_pace_answered(struct link_pace *pace,
                            const void *message,
                            size_t message_bytes);

/* Idle links: see LINK_IDLE. */
bool link_idle_is_marked(const struct link_job *job, uint32_t link);
void link_idle_settle(void);
void link_idle_message(uint8_t *message, bool is_mark);

/* The serving end of ONE_WAY and IDLE. */
struct link_sink {
    const struct link_job *job;
    struct link_report *report;
    uint64_t received_count;
};

void link_sink_init(struct link_sink *sink,
                    const struct link_job *job,
                    struct link_report *report);

/*
 * Look at a message. When `*is_answer_due`, send `answer` back.
 *
 * ERR_MALFORMED   lost, doubled, out of order, or of the wrong size
 */
FALLIBLE link_sink_take(struct link_sink *sink,
                        const void *message,
                        size_t message_bytes,
                        uint8_t answer[static LINK_ANSWER_BYTES],
                        bool *is_answer_due);

#endif
