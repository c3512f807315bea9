/*
 * A network for tests of one socket: what it sends is caught, and what it
 * receives the test gives it.
 */

#ifndef TESTS_TRANSPORT_FAKE_NETWORK_H
#define TESTS_TRANSPORT_FAKE_NETWORK_H

#include "tests/support/check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/network.h"

#define FAKE_SENT_COUNT_MAX 64

struct fake_sent {
    uint32_t pipe;
    struct packet *packet;
};

struct socket {
    struct fake_network *network;
    struct socket_config config;
    char url[SOCKET_URL_BYTES];
};

struct fake_network {
    struct network table;
    struct socket socket; /* the one that is open */
    bool is_open;
    enum err listen_err; /* what listen() says */
    bool has_no_memory;  /* packet_make() gives nothing */
    bool is_slow;        /* send() says false */
    uint32_t drop_count;
    uint32_t dial_count;
    char undialled[SOCKET_URL_BYTES]; /* the last one */
    uint32_t packet_count;            /* living, made here */
    struct fake_sent sent[FAKE_SENT_COUNT_MAX];
    uint32_t sent_count;
};

struct fake_packet {
    struct packet packet;
    struct fake_network *network;
    uint8_t bytes[];
};

static inline void fake_packet_free(struct packet *packet)
{
    ((struct fake_packet *)packet)->network->packet_count--;
    free(packet);
}

static inline struct packet *fake_packet_of(struct fake_network *network,
                                            size_t length)
{
    struct fake_packet *made = malloc(sizeof *made + length);
    assert_non_null(made);
    made->packet = (struct packet){
        .data = made->bytes, .length = length, .free = fake_packet_free};
    made->network = network;
    network->packet_count++;
    return &made->packet;
}

static inline enum err fake_open(void *context,
                                 struct socket **out,
                                 const struct socket_config *config)
{
    struct fake_network *network = context;
    CHECK(!network->is_open);
    network->is_open = true;
    network->socket = (struct socket){.network = network, .config = *config};
    *out = &network->socket;
    return ERR_NONE;
}

static inline void fake_close(struct socket **socket)
{
    if (*socket) {
        (*socket)->network->is_open = false;
        *socket = NULL;
    }
}

static inline enum err fake_listen(struct socket *socket, const char *url)
{
    CHECK(strlen(url) < sizeof socket->url);
    memcpy(socket->url, url, strlen(url) + 1);
    return socket->network->listen_err;
}

static inline enum err fake_dial(struct socket *socket, const char *url)
{
    socket->network->dial_count++;
    return strncmp(url, "fake://", 7) == 0 ? ERR_NONE : ERR_INVALID;
}

static inline void fake_undial(struct socket *socket, const char *url)
{
    CHECK(strlen(url) < sizeof socket->network->undialled);
    memcpy(socket->network->undialled, url, strlen(url) + 1);
}

static inline void fake_drop(struct socket *socket, uint32_t pipe)
{
    (void)pipe;
    socket->network->drop_count++;
}

static inline struct packet *fake_packet_make(struct socket *socket,
                                              size_t length)
{
    return socket->network->has_no_memory
               ? NULL
               : fake_packet_of(socket->network, length);
}

static inline bool fake_send(struct socket *socket,
                             uint32_t pipe,
                             struct packet *packet)
{
    struct fake_network *network = socket->network;
    assert_true(network->sent_count < FAKE_SENT_COUNT_MAX);
    network->sent[network->sent_count++] =
        (struct fake_sent){.pipe = pipe, .packet = packet};
    return !network->is_slow;
}

static inline void fake_network_init(struct fake_network *network)
{
    *network = (struct fake_network){.table = {.context = network,
                                               .open = fake_open,
                                               .close = fake_close,
                                               .listen = fake_listen,
                                               .dial = fake_dial,
                                               .undial = fake_undial,
                                               .drop = fake_drop,
                                               .packet_make = fake_packet_make,
                                               .send = fake_send}};
}

/* Forget what was sent. */
static inline void fake_network_clear(struct fake_network *network)
{
    for (uint32_t i = 0; i < network->sent_count; i++) {
        packet_close(&network->sent[i].packet);
    }
    network->sent_count = 0;
}

/* Let the open socket receive a message. */
static inline void fake_network_give(struct fake_network *network,
                                     uint32_t pipe,
                                     const void *data,
                                     size_t length)
{
    CHECK(network->is_open);
    struct packet *packet = fake_packet_of(network, length);
    if (length > 0) {
        memcpy(packet->data, data, length);
    }
    const struct socket_events *events = &network->socket.config.events;
    events->on_message(events->context, pipe, packet);
}

#endif
