/*
 * Message sockets, as NNG has them, behind a table of functions.
 *
 * A socket belongs to the reactor that it was opened for: every function is
 * called on that reactor's thread, and every event arrives there, as part of
 * a turn. The real one is transport/nng_network.c, the simulated one
 * tests/sim/world.c.
 */

#ifndef BASE_NETWORK_H
#define BASE_NETWORK_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reactor;
struct socket;

#define SOCKET_URL_BYTES 160 /* the longest URL with its terminating zero */

enum socket_kind {
    SOCKET_DOOR,  /* rep0: `pipe` names the request that is answered */
    SOCKET_KNOCK, /* req0: asks one door; one request at a time */
    SOCKET_PAIR,  /* pair0: one peer at a time */
    SOCKET_BUS,   /* bus0: to and from all that are connected; who is slow
                     misses some */
};

/* One message's memory. Made by packet_make() of a network, or received. */
struct packet {
    uint8_t *data;
    size_t length; /* bytes; the owner may lessen it before sending */
    void (*free)(struct packet *packet);
};

/* Free the packet, if any, and set `*packet` to NULL. */
static inline void packet_close(struct packet **packet)
{
    if (*packet) {
        (*packet)->free(*packet);
        *packet = NULL;
    }
}

/*
 * What a socket tells its owner. Any may be NULL. `pipe` is never 0 and is
 * not used twice while the socket lives.
 */
struct socket_events {
    void *context;
    /* A connection is there. (PAIR) */
    void (*on_up)(void *context, uint32_t pipe);
    /* It is gone; what was under way on it may be lost. (PAIR) */
    void (*on_down)(void *context, uint32_t pipe);
    /* A message; takes the packet. DOOR: answer with send() and this pipe. */
    void (*on_message)(void *context, uint32_t pipe, struct packet *packet);
    /* After send() said false: the socket takes the next. (PAIR, BUS) */
    void (*on_sent)(void *context);
};

struct socket_config {
    enum socket_kind kind;
    struct reactor *reactor;
    struct socket_events events;
    size_t message_bytes_max;      /* longer ones end their connection */
    size_t inbox_bytes_max;        /* received and not yet closed packets;
                                      beyond that reading pauses */
    uint32_t connection_count_max; /* DOOR, BUS: of those that were accepted
                                      the oldest give way */
    uint32_t redial_ms_min;        /* after dial(): pause between attempts */
    uint32_t redial_ms_max;
};

struct network {
    void *context;

    /* ERR_MEMORY, ERR_LIMIT (file descriptors) */
    enum err (*open)(void *context,
                     struct socket **out,
                     const struct socket_config *config);

    /* No event comes after this. Sets `*socket` to NULL; accepts NULL. */
    void (*close)(struct socket **socket);

    /* ERR_IN_USE, ERR_INVALID (the URL), ERR_IO */
    enum err (*listen)(struct socket *socket, const char *url);

    /*
     * Connect, and connect again whenever the connection is lost, until
     * close() or the next dial(); a BUS keeps all that it has dialled. Does
     * not wait.
     *
     * ERR_INVALID   the URL
     */
    enum err (*dial)(struct socket *socket, const char *url);

    /* BUS: dial this one no more, and end its connection. Nothing when it is
     * not dialled; once when it was dialled twice. */
    void (*undial)(struct socket *socket, const char *url);

    /* End one connection; a dialled one is dialled again. DOOR: leave one
     * request without an answer. */
    void (*drop)(struct socket *socket, uint32_t pipe);

    /* A packet of `length` bytes to be sent on this socket; NULL: memory. */
    struct packet *(*packet_make)(struct socket *socket, size_t length);

    /*
     * Send; takes the packet. PAIR and BUS: true when the next may follow at
     * once, false when it must wait for on_sent(). KNOCK: the next after the
     * answer; to give up, close. DOOR: `pipe` names the request, and each must
     * be answered.
     */
    bool (*send)(struct socket *socket, uint32_t pipe, struct packet *packet);
};

/* Send a copy of one message where nothing is to be known of the next: DOOR,
 * KNOCK. ERR_MEMORY */
FALLIBLE network_send(const struct network *network,
                      struct socket *socket,
                      uint32_t pipe,
                      struct bytes message);

#endif
