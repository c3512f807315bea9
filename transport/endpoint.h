/*
 * This process as others see it: its door, its links to all peers, and the
 * bus.
 *
 * Owned by the links' reactor: everything is called on its thread, and every
 * event arrives there, unless it says otherwise. The door has a reactor (and
 * in a real process a thread) of its own.
 *
 *     wire -> NNG -> inbox -> peer -> link -> channel's handler
 */

#ifndef TRANSPORT_ENDPOINT_H
#define TRANSPORT_ENDPOINT_H

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"
#include "base/network.h"
#include "base/reactor.h"
#include "config/identity.h"
#include "config/trust.h"
#include "transport/bus.h"
#include "transport/door.h"
#include "transport/handshake.h"
#include "transport/link.h"

#include <stdbool.h>
#include <stdint.h>

struct endpoint;
struct peer;

/* What happens to a peer. */
enum peer_change {
    PEER_UP,     /* heard on a connection */
    PEER_DOWN,   /* the connection is gone; the session may go on */
    PEER_SILENT, /* nothing heard for `silence_ms`; PEER_DOWN follows */
    PEER_BEGUN,  /* a session with a process not seen before */
    PEER_CUT,    /* its certificate was revoked or has expired: the session
                    has ended; it may come back with a better one */
    PEER_GONE,   /* a visitor that stayed away is forgotten: do not use it any
                    more */
};

/* Why a knock came to nothing. */
struct peer_refusal {
    enum err err;
    bool is_by_peer;  /* the peer says so, of us: a hint, since everybody in
                         between could say it; else we found out */
    const char *text; /* more about it, or "" */
};

/* For the layer above. May call peer_send(); not endpoint_peer_remove() nor
 * endpoint_close(). Any may be NULL. */
struct endpoint_events {
    void *context;
    void (*on_change)(void *context,
                      struct peer *peer,
                      enum peer_change change);
    /* A message that the peer will never acknowledge, borrowed; its data is
     * NULL when there was no memory to put a long one together. */
    void (*on_undelivered)(void *context,
                           struct peer *peer,
                           uint8_t channel,
                           struct bytes message,
                           bool may_have_arrived);
    /* After ERR_FULL there is room again. */
    void (*on_writable)(void *context, struct peer *peer);
    /* A knock of ours has come to nothing; we go on knocking. */
    void (*on_refused)(void *context,
                       struct peer *peer,
                       const struct peer_refusal *refusal);
    /* A digest from the bus, borrowed. `from` is a node's name. */
    void (*on_digest)(void *context, const char *from, struct bytes digest);
};

/* Borrowed: must outlive the endpoint. */
typedef void channel_handler(void *context,
                             struct peer *peer,
                             struct bytes message);

/*
 * Addresses are a prefix and a number: "tcp://10.0.0.1:" and 7702,
 * "ws://10.0.0.1:7700/link/" and 0, "ipc:///run/troupe/alpha-" and 0.
 */
struct endpoint_addresses {
    const char *door;           /* bind; NULL: no door, nobody may knock */
    const char *bus;            /* bind; NULL: no bus */
    const char *pair_bind;      /* prefix */
    const char *pair_advertise; /* prefix, as others reach it */
    uint32_t pair_first;
    uint32_t pair_count;
};

struct endpoint_config {
    const struct network *network;
    const struct clock *clock;
    const struct entropy *entropy;
    struct log *log; /* may be NULL */
    struct reactor *reactor;
    struct reactor *door_reactor;        /* may be the same */
    const struct identity *identity;     /* shared */
    struct trust *trust;                 /* shared */
    struct endpoint_addresses addresses; /* copied */
    struct endpoint_events events;
    struct version_range versions; /* {0}: all that we know */
    struct link_limits link;
    uint64_t clock_skew_ms_max;
    uint32_t handshake_ms; /* for a whole handshake */
    uint32_t proof_ms;     /* a connection must say something valid by then */
    uint32_t silence_ms;   /* a peer that says nothing so long is cut off */
    uint32_t dial_ms_min;  /* pause between attempts */
    uint32_t dial_ms_max;
    uint32_t client_keep_ms;   /* a visitor (a client, or a node that nobody has
                                  added) that is away so long is forgotten */
    uint32_t peer_count_max;   /* when there are more, visitors that are away
                                  are forgotten sooner */
    uint32_t client_count_max; /* of them, processes of other roles than node */
    uint32_t door_connection_count_max;
    uint32_t digest_bytes_max; /* on the bus */
};

/* Sensible values for everything that is a number. */
void endpoint_config_defaults(struct endpoint_config *config);

/*
 * Open the door and the bus.
 *
 * ERR_IN_USE, ERR_INVALID, ERR_IO   an address: `why` says which
 * ERR_LIMIT    file descriptors or lockable memory
 * ERR_MEMORY
 */
FALLIBLE endpoint_open(struct endpoint **out,
                       const struct endpoint_config *config,
                       struct err_detail *why);

/*
 * End all links, handing back what is undelivered. Turns both reactors to
 * finish what is under way: call it when nobody else runs them.
 */
void endpoint_close(struct endpoint **endpoint);

/* Messages of a channel go to `handler`; without one they are counted. */
void endpoint_channel_set(struct endpoint *endpoint,
                          uint8_t channel,
                          channel_handler *handler,
                          void *context);

/* Another node. URLs are copied. */
struct peer_address {
    const char *name;
    const char *door; /* as we reach it */
    const char *bus;  /* NULL: none */
    bool knocks;      /* it is we who knock, whatever the names: we join, and
                         it may not know us yet */
};

/*
 * Know a node, and link with it: the one with the smaller name knocks and
 * dials, the other waits for that.
 *
 * A node that is known only because it has knocked at our door, or that was
 * added with `knocks`, may be added once more: `*out` is the same peer, its
 * session stays, and from its next connection on the ordinary rule (or
 * `knocks`) holds. Until both sides have done so nobody waits in vain: who is
 * to wait by the rule lets the other in although it knocks itself, and who is
 * to knock lets the other in while it does not get through itself.
 *
 * ERR_EXISTS   it was added already, without `knocks`
 * ERR_FULL     peer_count_max
 * ERR_INVALID  its name is ours, or an address
 * ERR_MEMORY
 */
FALLIBLE endpoint_peer_add(struct endpoint *endpoint,
                           const struct peer_address *address,
                           struct peer **out);

/* End its link, handing back what is undelivered, dial its bus no more, and
 * forget it. */
void endpoint_peer_remove(struct endpoint *endpoint, struct peer **peer);

/* NULL when unknown. Of other roles than node several processes may have one
 * name: any of them. */
struct peer *endpoint_peer_find(struct endpoint *endpoint,
                                enum role role,
                                const char *name);

/*
 * Ask a door of which only the address is known which node's it is. `done` is
 * called once, later, with the name, or with NULL and why there is none: what
 * knock_prove() says, or ERR_TIMEOUT. The probe is closed by the caller, from
 * within `done` if it likes, and before the endpoint.
 *
 * ERR_INVALID   the address
 * ERR_LIMIT, ERR_MEMORY
 */
struct probe;
typedef void probe_done(void *context, enum err err, const char *name);
FALLIBLE endpoint_probe(struct probe **out,
                        const struct endpoint *endpoint,
                        const char *url,
                        probe_done *done,
                        void *context);

/* `done` is not called any more. */
void probe_close(struct probe **probe);

/* Call `visit` for each peer, in no order. */
void endpoint_peer_each(struct endpoint *endpoint,
                        void (*visit)(void *context, struct peer *peer),
                        void *context);

/*
 * Use another trust: links whose certificate it does not bear are cut.
 *
 * what trust_check_next() says   it may not replace the present one
 * ERR_MEMORY
 */
FALLIBLE endpoint_trust_set(struct endpoint *endpoint,
                            struct trust *trust,
                            struct err_detail *why);

/* In use; borrowed until it is replaced. */
struct trust *endpoint_trust(const struct endpoint *endpoint);

/* Use another certificate and key, of the same name, from now on. The links
 * stay; peers learn of it soon. ERR_INVALID: another name. ERR_MEMORY */
FALLIBLE endpoint_identity_set(struct endpoint *endpoint,
                               const struct identity *identity);

/*
 * Send a digest over the bus to all nodes that are connected: a hint that
 * may be lost.
 *
 * ERR_TOO_LARGE      digest_bytes_max
 * ERR_FULL           the bus is slow: the digest is dropped and counted
 * ERR_UNREACHABLE    no key yet, or no bus
 */
FALLIBLE endpoint_publish(struct endpoint *endpoint, struct bytes digest);

/*
 * Have the bus sealed with this key from now on; the one before still opens
 * for five seconds. Nothing happens when its number is the present one's, or
 * without a bus.
 */
void endpoint_bus_key_set(struct endpoint *endpoint, const struct bus_key *key);

/* The same with a fresh key, for whoever hands them out (shard/host_bus.c).
 * `number` is not 0. */
void endpoint_bus_key_make(struct endpoint *endpoint, uint32_t number);

/* The present key's; 0: none, or no bus. */
uint32_t endpoint_bus_key_number(const struct endpoint *endpoint);

/*
 * The present key for a peer, to be put into a message: sealed so that only
 * that process can open it, in this session (see link_wrap()).
 * ENDPOINT_BUS_KEY_BYTES. ERR_UNREACHABLE: no key, or no session
 */
#define ENDPOINT_BUS_KEY_BYTES (SEAL_KEY_BYTES + LINK_WRAP_BYTES)
FALLIBLE endpoint_bus_key_write(const struct endpoint *endpoint,
                                struct peer *peer,
                                struct writer *out);

/* Use the key that the peer has sent. Whether it may is the caller's matter.
 * `number` is not 0. ERR_FORGED */
FALLIBLE endpoint_bus_key_take(struct endpoint *endpoint,
                               const struct peer *peer,
                               uint32_t number,
                               struct bytes wrapped);

/* NULL without a bus or door. */
const struct bus_stats *endpoint_bus_stats(const struct endpoint *endpoint);
const struct door_stats *endpoint_door_stats(const struct endpoint *endpoint);

/* This process's; random, never 0. */
uint64_t endpoint_incarnation(const struct endpoint *endpoint);

/* ---- one peer ---- */

const char *peer_name(const struct peer *peer);
enum role peer_role(const struct peer *peer);

/* The process's incarnation; 0 before the first session. */
uint64_t peer_incarnation(const struct peer *peer);

/* As last shown by it; NULL before the first session. */
const struct certificate *peer_certificate(const struct peer *peer);

/* Whether it is heard on a connection. */
bool peer_is_up(const struct peer *peer);

/* When it was last heard, in ns of the clock; 0: never. */
uint64_t peer_heard_ns(const struct peer *peer);

const struct link_stats *peer_stats(const struct peer *peer);

/* Memory held for messages to and from it. */
size_t peer_held_bytes(const struct peer *peer);

/*
 * Take a message for the peer, copying it; it leaves at the end of the turn.
 * See link_send().
 */
FALLIBLE peer_send(struct peer *peer,
                   enum lane lane,
                   uint8_t channel,
                   struct bytes message);

/* Do not deliver from LANE_DATA of this peer until peer_resume(). */
void peer_pause(struct peer *peer);
void peer_resume(struct peer *peer);

/* A place for the layer above. */
void peer_context_set(struct peer *peer, void *context);
void *peer_context(const struct peer *peer);

#endif
