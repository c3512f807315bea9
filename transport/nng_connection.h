/*
 * One of NNG's byte streams, with packets on it in both directions.
 *
 * On the wire a packet is its length (u32, little-endian) and its bytes.
 * Connections belong to the reactor of their set: everything is called on its
 * thread, and every event arrives there.
 */

#ifndef TRANSPORT_NNG_CONNECTION_H
#define TRANSPORT_NNG_CONNECTION_H

#include "base/err.h"
#include "base/network.h"

#include <nng/nng.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONNECTION_WAITING_COUNT_MAX 16 /* packets behind the one under way */

struct connection;

/* The connections of one socket, which embeds it and sets the first group. */
struct connection_set {
    struct reactor *reactor;
    size_t packet_bytes_max; /* a longer one breaks its connection */
    size_t inbox_bytes_max;  /* received and not yet closed packets; beyond
                                that reading pauses */
    bool is_by_turns;        /* a packet is answered before the next is read */
    /* Takes the packet. */
    void (*on_packet)(struct connection *connection, struct packet *packet);
    /* A packet that had to wait is under way, and none waits behind it. */
    void (*on_sent)(struct connection *connection);
    /* It has ended by itself: close it. */
    void (*on_broken)(struct connection *connection);
    /* The last reference has gone, the owner's included. */
    void (*on_unused)(struct connection_set *set);

    struct connection *oldest; /* of those that are open */
    uint32_t pipe_last;
    _Atomic uint32_t reference_count;
    _Atomic size_t inbox_bytes;
};

void connection_set_ref(struct connection_set *set);
void connection_set_unref(struct connection_set *set);

/* Takes the stream on success. `context` is the caller's. ERR_MEMORY */
FALLIBLE connection_open(struct connection **out,
                         struct connection_set *set,
                         void *context,
                         nng_stream *stream);

/* Begin to read, once. */
void connection_start(struct connection *connection);

/* No event of it comes after this. Waits for NNG's callbacks. */
void connection_close(struct connection **connection);

/* End it as if it had broken by itself: on_broken() comes later. */
void connection_break(struct connection *connection);

/* Has no more room for a packet. */
bool connection_is_full(const struct connection *connection);

/*
 * Send a packet that is finished and not received; takes it. There must be
 * room. False: it, or one before it, waits, and on_sent() will come.
 */
bool connection_send(struct connection *connection, struct packet *packet);

/* Never 0, and not used twice within the set. */
uint32_t connection_pipe(const struct connection *connection);
void *connection_context(const struct connection *connection);
struct connection_set *connection_set(const struct connection *connection);

/* The next younger one of the set; NULL: none. */
struct connection *connection_next(const struct connection *connection);

/* ---- packets ---- */

/* NULL for want of memory. */
struct packet *connection_packet_make(size_t length);

/* Its length stays as it is now: it can be sent, and shared. */
void connection_packet_finish(struct packet *packet);

/* The same packet once more, for another connection or another time; each is
 * to be closed. */
struct packet *connection_packet_share(struct packet *packet);

#endif
