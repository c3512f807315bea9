/*
 * Numbered messages to and from one peer, and an account of each: delivered
 * once, in order and whole, or handed back.
 *
 * Owned by the links' thread of a test's node; a tally may be read by any
 * thread, or process: it can lie in shared memory, so that it outlives a
 * process that is killed.
 */

#ifndef TESTS_SUPPORT_TRAFFIC_H
#define TESTS_SUPPORT_TRAFFIC_H

#include "base/err.h"
#include "transport/endpoint.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What goes over LANE_DATA, and over LANE_CONTROL beside it. */
enum traffic_flow {
    TRAFFIC_DATA,
    TRAFFIC_CONTROL,
    TRAFFIC_FLOW_COUNT,
};

#define TRAFFIC_HEADER_BYTES 24 /* the shortest message */

struct flow_tally {
    _Atomic uint64_t sent;     /* taken by peer_send(): 1 .. sent */
    _Atomic uint64_t sender;   /* the incarnation heard last */
    _Atomic uint64_t received; /* from this sender: first .. last */
    _Atomic uint64_t first;
    _Atomic uint64_t last;
    _Atomic uint64_t wrong; /* doubled, out of order, damaged, of another
                               process than the peer now is */
    _Atomic uint64_t returned;
};

struct traffic_tally {
    struct flow_tally flows[TRAFFIC_FLOW_COUNT];

    /* Changes that were told. */
    _Atomic uint64_t up;
    _Atomic uint64_t down;
    _Atomic uint64_t silent;
    _Atomic uint64_t begun;
    _Atomic uint64_t cut;

    _Atomic uint64_t incarnation; /* ours */

    /* Of the link; up to 5 ms old. */
    _Atomic uint64_t is_up;
    _Atomic uint64_t peer_incarnation;
    _Atomic uint64_t peer_serial;
    _Atomic uint64_t connections;
    _Atomic uint64_t sessions;
    _Atomic uint64_t frames_out;
    _Atomic uint64_t frames_repeated;
    _Atomic uint64_t frames_refused;
    _Atomic uint64_t undelivered;
    _Atomic uint64_t full;
    _Atomic uint64_t held_bytes;
    _Atomic uint64_t held_bytes_top;
    _Atomic uint64_t look_count;

    /* Of our door. */
    _Atomic uint64_t door_hello;
    _Atomic uint64_t door_refused;
};

struct traffic;

/* Set the events that a traffic needs; the others stay the caller's. */
void traffic_events(struct endpoint_events *events);

/*
 * Watch a peer. It uses the peer's context and channels 1 and 2, and wants
 * the events of traffic_events(). `tally` begins with zeros. On the links'
 * thread.
 */
struct traffic_config {
    struct reactor *reactor;
    struct endpoint *endpoint;
    struct peer *peer;
    struct traffic_tally *tally;
};
FALLIBLE traffic_open(struct traffic **out,
                      const struct traffic_config *config);

/* Bring the tally up to date. On the links' thread. */
void traffic_look(struct traffic *traffic);

/* Look no more; the peer lives on without. On the links' thread. */
void traffic_stop(struct traffic *traffic);

/* After the endpoint is closed, which hands back what it holds. */
void traffic_close(struct traffic **traffic);

/*
 * Send from now on up to `count` messages more on a flow, of `bytes_min` to
 * `bytes_max`; 0 stops. On the links' thread.
 */
struct traffic_load {
    enum traffic_flow flow;
    uint64_t count;
    uint32_t bytes_min;
    uint32_t bytes_max;
};
void traffic_send(struct traffic *traffic, const struct traffic_load *load);

/* What has become of a message that we sent, as far as we were told. */
enum traffic_fate {
    TRAFFIC_TAKEN,       /* not handed back */
    TRAFFIC_NOT_ARRIVED, /* handed back: it never arrived */
    TRAFFIC_UNKNOWN,     /* handed back: it may have arrived */
    TRAFFIC_TWICE,       /* handed back more than once */
};
enum traffic_fate traffic_fate(const struct traffic *traffic,
                               enum traffic_flow flow,
                               uint64_t number);

#endif
