/*
 * Where others knock: answers handshakes on a thread of its own, so that a
 * flood of them costs nobody else anything.
 *
 * Owned by the door's reactor. Whom to admit is decided by the endpoint, on
 * the links' reactor, through the two functions in `struct door_config`.
 */

#ifndef TRANSPORT_DOOR_H
#define TRANSPORT_DOOR_H

#include "base/err.h"
#include "base/log.h"
#include "base/network.h"
#include "base/reactor.h"
#include "transport/handshake.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct door;

/*
 * One visitor on its way from the door to the endpoint and back. Made by the
 * door; the endpoint fills in `err` or the rest, and calls door_reply().
 */
struct door_visit {
    struct reactor_event event; /* of door.c */
    struct door *door;
    uint32_t request; /* of door.c */
    struct handshake_visitor visitor;

    enum err err; /* why not */
    uint64_t session;
    bool is_resumed;
    char url[SOCKET_URL_BYTES];
};

struct door_config {
    const struct network *network;
    const struct clock *clock;
    struct log *log;
    struct reactor *reactor;       /* the door's */
    struct reactor *owner_reactor; /* where `decide` is called */
    const char *url;               /* to listen on */
    uint32_t handshake_ms;         /* a half-open handshake's life */
    uint32_t connection_count_max;
    uint32_t visit_count_max; /* waiting for `decide` at the same time */
    void *context;
    void (*decide)(void *context, struct door_visit *visit);
};

/* Since door_open(). Any thread. */
struct door_stats {
    _Atomic uint64_t hello_count;
    _Atomic uint64_t admitted_count; /* proven; `decide` may still refuse */
    _Atomic uint64_t refused_count;
    _Atomic uint64_t replayed_count;
};

/*
 * Listen. `self` is copied with a reference to its identity and trust.
 *
 * ERR_IN_USE, ERR_INVALID, ERR_IO   the URL
 * ERR_MEMORY, ERR_LIMIT
 */
FALLIBLE door_open(struct door **out,
                   const struct door_config *config,
                   const struct handshake_self *self);

/*
 * No visit may be under way: turn both reactors until door_is_idle(). Call it
 * when they do not run, or on the door's.
 */
void door_close(struct door **door);

/* Stop listening; visits under way come to their end. */
void door_shut(struct door *door);
bool door_is_idle(const struct door *door);

/* Use another identity or trust from now on. Any thread. ERR_MEMORY */
FALLIBLE door_set_self(struct door *door, const struct handshake_self *self);

/* The endpoint has decided. On `owner_reactor`. */
void door_reply(struct door_visit *visit);

const struct door_stats *door_stats(const struct door *door);

#endif
