/*
 * One other process: how it is reached, and the link with it.
 *
 * Owned by the links' reactor; made and freed by the endpoint. What callers
 * outside the transport may do is in transport/endpoint.h.
 *
 * The side that knocks: asks at the door (HELLO, PROOF), is granted a session
 * and the address of a pair listener, dials it. When the connection breaks,
 * NNG dials again at once; a little later we also knock again, since the peer
 * may be another process by now. The other side listens, and keeps a granted
 * session pending until a first frame proves that it has arrived.
 *
 * Which side that is may differ from one connection to the next, also within a
 * session: while a node joins, both may want to knock. Then the one with the
 * greater name gives in as soon as the other knocks; the one with the smaller
 * name gives in, too, unless its link is up or its own proof is on the way. So
 * whoever gets through is let in, and of two proofs that cross each other one
 * is refused. Who has given in knocks again if nothing comes of it.
 */

#ifndef TRANSPORT_PEER_H
#define TRANSPORT_PEER_H

#include "transport/door.h"
#include "transport/endpoint.h"

/* What a peer needs of its endpoint. Borrowed, and outlives it. */
struct peer_home {
    const struct endpoint_config *config;
    const struct handshake_self *self;
    void *context;
    /* Bind one of our pair addresses; set `url` to what others dial. */
    enum err (*listen)(void *context,
                       struct socket *socket,
                       char url[static SOCKET_URL_BYTES]);
    void (*on_change)(void *context,
                      struct peer *peer,
                      enum peer_change change);
    void (*on_message)(void *context,
                       struct peer *peer,
                       uint8_t channel,
                       struct bytes message);
};

/* It knocks at our door, until peer_reach(). ERR_MEMORY */
FALLIBLE peer_open(struct peer **out,
                   const struct peer_home *home,
                   enum role role,
                   const char *name);

/* Hands back what is undelivered. */
void peer_close(struct peer **peer);

/*
 * It is we who knock, at this door (copied), from now on; NULL: we wait for
 * the peer. A connection that is there stays; the next is made that way.
 */
void peer_reach(struct peer *peer, const char *door);

/*
 * The peer has proven itself at our door: grant it a session, or the one it
 * has, and an address. Fills in `visit`.
 *
 * ERR_SUPERSEDED   a newer process or certificate has its name
 * ERR_BUSY         it is we who knock, and just now we do
 * ERR_LIMIT        no address left, or file descriptors
 * ERR_MEMORY
 */
FALLIBLE peer_grant(struct peer *peer, struct door_visit *visit);

/*
 * Check its certificate against the present trust and time. When it does not
 * hold any more the session ends; the peer may come back with a better one.
 * False when it was cut off.
 */
bool peer_check(struct peer *peer);

/* Knock again soon, to show or see a new certificate; the session goes on. */
void peer_refresh(struct peer *peer);

/* See link_wrap() and link_unwrap(). */
FALLIBLE peer_wrap(struct peer *peer, struct bytes secret, struct writer *out);
FALLIBLE peer_unwrap(const struct peer *peer,
                     struct bytes wrapped,
                     uint8_t *out,
                     size_t out_bytes);

/* Whether it is that process, by its session or by the one that is granted to
 * it; also when nobody has it yet. */
bool peer_is_process(const struct peer *peer, uint64_t incarnation);

/* For how long it has been away, in ns; 0: it is here, or it is we who knock
 * at its door. */
uint64_t peer_away_ns(const struct peer *peer, uint64_t now_ns);

#endif
