#include "bench/link_peer.h"

#include "base/owner.h"
#include "base/posix/posix_clock.h"
#include "base/posix/posix_entropy.h"
#include "base/posix/posix_log.h"
#include "base/posix/posix_reactor.h"
#include "base/reactor.h"
#include "tests/support/test_identity.h"
#include "transport/endpoint.h"
#include "transport/nng_network.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Two endpoints as a node has them: two reactors on two threads, the default
 * limits, sealed links between certified nodes. The identities come from a
 * seed that both processes share.
 */

#define CHANNEL_BENCH 1
#define TURN_BYTES (128u * 1024) /* taken from the job in one turn */
#define SEED 7

struct process {
    const struct link_job *job;
    struct link_report *report;
    struct test_authority authority;
    struct trust *trust;
    struct posix_reactor *links; /* run by the process's first thread */
    struct posix_reactor *door;
    struct log *log;
    enum err err; /* what stopped the reactor */

    /* Driving. */
    struct link_flow flow;
    struct link_pace pace;
    struct reactor_event pump_event;
    struct timer pause_timer;
    bool is_pumping; /* pump_event is posted */
    bool is_held;    /* `message` waits for room */
    uint8_t *message;
    struct endpoint **endpoints; /* one for each link */
    uint32_t endpoint_count;
    uint32_t answer_count; /* LINK_IDLE: of the newest link */

    /* Serving. */
    struct link_sink sink;
};

static struct reactor *links_of(const struct process *process)
{
    return posix_reactor_get(process->links);
}

static void finish(struct process *process, enum err err, const char *what)
{
    if (err && !process->err) {
        process->err = err;
        err_explain(&process->report->why, "%s: %s", what, err_text(err));
    }
    reactor_stop(links_of(process));
}

static enum err process_init(struct process *process,
                             const struct link_job *job,
                             struct link_report *report)
{
    *process = (struct process){.job = job, .report = report};
    enum err err = identity_library_init();
    const struct clock *clock = posix_clock();
    test_authority_init(&process->authority, SEED, clock_wall_ms(clock));
    process->trust = test_trust_make(&process->authority);
    process->message = malloc(job->message_bytes);
    process->endpoints = calloc(job->link_count_warm + job->link_count + 1,
                                sizeof(struct endpoint *));
    if (!err) {
        err = posix_reactor_open(&process->links, "links");
    }
    if (!err) {
        err = posix_reactor_open(&process->door, "door");
    }
    if (!err) {
        err =
            log_open(&process->log,
                     &(struct log_config){.node = "bench",
                                          .level_min = LOG_WARN,
                                          .sink = posix_log_sink(STDERR_FILENO),
                                          .clock = clock});
    }
    return err;
}

static enum err open_endpoint(struct process *process,
                              const struct identity *identity,
                              const struct endpoint_addresses *addresses,
                              const struct endpoint_events *events)
{
    struct endpoint_config config = {
        .network = nng_network(),
        .clock = posix_clock(),
        .entropy = posix_entropy(),
        .log = process->log,
        .reactor = links_of(process),
        .door_reactor = posix_reactor_get(process->door),
        .identity = identity,
        .trust = process->trust,
        .addresses = *addresses,
        .events = *events,
    };
    endpoint_config_defaults(&config);
    if (!addresses->door) {
        config.peer_count_max = 1;
    }
    return endpoint_open(&process->endpoints[process->endpoint_count], &config,
                         &process->report->why);
}

/* ---- driving ---- */

static void pump_soon(struct process *process)
{
    if (!process->is_pumping) {
        process->is_pumping = true;
        reactor_post(links_of(process), &process->pump_event);
    }
}

static struct peer *only_peer(struct endpoint *endpoint)
{
    return endpoint_peer_find(endpoint, ROLE_NODE, "beta");
}

static enum link_step next_step(struct process *process, uint64_t *pause_ns)
{
    return process->job->kind == LINK_ONE_WAY
               ? link_flow_next(&process->flow, process->message)
               : link_pace_next(&process->pace, process->message, pause_ns);
}

/* Send what is held. False when there is no room. */
static bool send_message(struct process *process)
{
    enum err err =
        peer_send(only_peer(process->endpoints[0]), LANE_DATA, CHANNEL_BENCH,
                  bytes_of(process->message, process->job->message_bytes));
    if (err && err != ERR_FULL) {
        finish(process, err, "peer_send");
    }
    process->is_held = err == ERR_FULL;
    return !err;
}

static void pump(struct process *process)
{
    for (size_t taken = 0; taken < TURN_BYTES;
         taken += process->job->message_bytes) {
        uint64_t pause_ns = 0;
        enum link_step step =
            process->is_held ? LINK_SEND : next_step(process, &pause_ns);
        if (step == LINK_PAUSE) {
            reactor_timer_set(links_of(process), &process->pause_timer,
                              pause_ns);
            return;
        }
        if (step == LINK_DONE) {
            finish(process, ERR_NONE, "");
            return;
        }
        if (step == LINK_WAIT || !send_message(process)) {
            return;
        }
    }
    pump_soon(process);
}

static void run_pump(struct reactor_event *event)
{
    struct process *process = OWNER_OF(event, struct process, pump_event);
    process->is_pumping = false;
    pump(process);
}

static void run_pause(struct timer *timer)
{
    struct process *process = OWNER_OF(timer, struct process, pause_timer);
    pump(process);
}

static void on_writable(void *context, struct peer *peer)
{
    (void)peer;
    pump_soon(context);
}

static enum err connect_next(struct process *process);

/* LINK_IDLE: one answer for a link, two for one that is marked. */
static void on_idle_answer(struct process *process, struct peer *peer)
{
    uint32_t link = process->endpoint_count - 1;
    process->answer_count++;
    if (link_idle_is_marked(process->job, link) && process->answer_count == 1) {
        link_idle_settle();
        link_idle_message(process->message, true);
        enum err err =
            peer_send(peer, LANE_DATA, CHANNEL_BENCH,
                      bytes_of(process->message, process->job->message_bytes));
        if (err) {
            finish(process, err, "peer_send");
        }
        return;
    }
    if (link_idle_is_marked(process->job, link)) {
        link_report_mark(process->report);
    }
    uint32_t wanted = process->job->link_count_warm + process->job->link_count;
    if (process->endpoint_count == wanted) {
        finish(process, ERR_NONE, "");
        return;
    }
    enum err err = connect_next(process);
    if (err) {
        finish(process, err, "connect");
    }
}

static void on_answer(void *context, struct peer *peer, struct bytes message)
{
    struct process *process = context;
    enum err err = ERR_NONE;
    if (process->job->kind == LINK_IDLE) {
        on_idle_answer(process, peer);
        return;
    }
    if (process->job->kind == LINK_ONE_WAY) {
        err = link_flow_answered(&process->flow, message.data, message.length);
    } else {
        err = link_pace_answered(&process->pace, message.data, message.length);
    }
    if (err) {
        finish(process, err, "answer");
        return;
    }
    /* A round trip is due at its time, not when an answer comes. */
    if (!process->pause_timer.is_set) {
        pump(process);
    }
}

static void on_drive_change(void *context,
                            struct peer *peer,
                            enum peer_change change)
{
    struct process *process = context;
    if (change != PEER_UP) {
        return;
    }
    if (process->job->kind != LINK_IDLE) {
        pump_soon(process);
        return;
    }
    process->answer_count = 0;
    link_idle_message(process->message, false);
    enum err err =
        peer_send(peer, LANE_DATA, CHANNEL_BENCH,
                  bytes_of(process->message, process->job->message_bytes));
    if (err) {
        finish(process, err, "peer_send");
    }
}

/* A driver is a client of "beta"; each link needs one of its own. */
static enum err connect_next(struct process *process)
{
    char name[32];
    char door[SOCKET_URL_BYTES];
    (void)snprintf(name, sizeof name, "driver-%u", process->endpoint_count);
    (void)snprintf(door, sizeof door, "tcp://127.0.0.1:%u",
                   process->job->port_first);
    const struct identity *identity = test_identity_make(
        &process->authority, name,
        &(struct test_identity_options){.role = ROLE_CLIENT});
    struct endpoint_events events = {.context = process,
                                     .on_change = on_drive_change,
                                     .on_writable = on_writable};
    enum err err = open_endpoint(process, identity,
                                 &(struct endpoint_addresses){0}, &events);
    identity_unref(&identity);
    if (err) {
        return err;
    }
    struct endpoint *endpoint = process->endpoints[process->endpoint_count++];
    endpoint_channel_set(endpoint, CHANNEL_BENCH, on_answer, process);
    return endpoint_peer_add(
        endpoint, &(struct peer_address){.name = "beta", .door = door}, NULL);
}

static enum err drive(const struct link_job *job, struct link_report *report)
{
    struct process process;
    enum err err = process_init(&process, job, report);
    process.pump_event.run = run_pump;
    process.pause_timer.fire = run_pause;
    /* The server's identity is the first that the seed makes. */
    const struct identity *other =
        test_identity_make(&process.authority, "beta", NULL);
    identity_unref(&other);
    link_flow_init(&process.flow, job, report);
    if (!err && job->kind == LINK_ROUND_TRIP) {
        err = link_pace_init(&process.pace, job, report);
    }
    if (!err) {
        err = connect_next(&process);
    }
    if (!err) {
        reactor_run(links_of(&process));
        err = process.err;
    }
    return err;
}

/* ---- serving ---- */

static void on_request(void *context, struct peer *peer, struct bytes message)
{
    struct process *process = context;
    if (process->job->kind == LINK_ROUND_TRIP) {
        enum err err = peer_send(peer, LANE_DATA, CHANNEL_BENCH, message);
        if (err) {
            finish(process, err, "peer_send");
        }
        return;
    }
    uint8_t answer[LINK_ANSWER_BYTES];
    bool is_answer_due = false;
    enum err err = link_sink_take(&process->sink, message.data, message.length,
                                  answer, &is_answer_due);
    if (!err && is_answer_due) {
        err = peer_send(peer, LANE_DATA, CHANNEL_BENCH,
                        bytes_of(answer, sizeof answer));
    }
    if (err) {
        finish(process, err, "request");
    }
}

static enum err serve(const struct link_job *job, struct link_report *report)
{
    struct process process;
    enum err err = process_init(&process, job, report);
    link_sink_init(&process.sink, job, report);
    const struct identity *identity =
        test_identity_make(&process.authority, "beta", NULL);
    char door[SOCKET_URL_BYTES];
    (void)snprintf(door, sizeof door, "tcp://127.0.0.1:%u", job->port_first);
    struct endpoint_addresses addresses = {
        .door = door,
        .pair_bind = "tcp://127.0.0.1:",
        .pair_advertise = "tcp://127.0.0.1:",
        .pair_first = job->port_first + 1u,
        .pair_count = job->port_count - 1u,
    };
    if (!err) {
        err = open_endpoint(&process, identity, &addresses,
                            &(struct endpoint_events){0});
    }
    if (!err) {
        endpoint_channel_set(process.endpoints[0], CHANNEL_BENCH, on_request,
                             &process);
        err = posix_reactor_start(process.door);
    }
    if (err) {
        return err;
    }
    reactor_run(links_of(&process));
    return process.err ? process.err : ERR_CLOSED;
}

const struct link_peer link_troupe = {
    .name = "troupe", .serve = serve, .drive = drive};
