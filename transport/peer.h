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

/* `door` is NULL when the peer knocks at ours. ERR_MEMORY */
FALLIBLE peer_open(struct peer **out,
                   const struct peer_home *home,
                   enum role role,
                   const char *name,
                   const char *door);

/* Hands back what is undelivered. */
void peer_close(struct peer **peer);

/* Begin to knock, if that is our side. */
void peer_start(struct peer *peer);

/* Whether it is we who knock. */
bool peer_is_knocker(const struct peer *peer);

/*
 * The peer has proven itself at our door: grant it a session, or the one it
 * has, and an address. Fills in `visit`.
 *
 * ERR_SUPERSEDED   a newer process or certificate has its name
 * ERR_DENIED       it is we who knock
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

/* The number of the bus key that was sent to this session; 0: none. A place
 * for the endpoint. */
uint32_t peer_bus_key(const struct peer *peer);
void peer_bus_key_set(struct peer *peer, uint32_t number);

/* A client that has been away for too long. */
bool peer_is_forgotten(const struct peer *peer, uint64_t now_ns);

#endif
