#include "transport/nng_stream.h"

#include "base/reactor.h"
#include "transport/nng_err.h"

#include <assert.h>
#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/*
 * Why not NNG's pair0, rep0 and req0 here: in NNG 1.5 a connection that ends
 * while a receive of its TCP transport is under way leaves an operation that
 * never finishes, and the one thread that reaps connections waits for it for
 * ever (mended upstream by "Finish receive aio on close", nanomsg/nng 1636).
 * Under load one cut connection in ten or so did that, and a flood of
 * handshakes did. The byte streams below those protocols have no such flaw,
 * wake fewer threads for a packet, and need no zeroed memory.
 *
 * On the wire a packet is its length (u32, little-endian) and its bytes.
 *
 * NNG's threads only move bytes and post; everything is decided on the
 * reactor's thread. An event holds a reference to what it is about.
 */

#define PREFIX_BYTES 4

struct stream_packet {
    struct packet packet;
    struct reactor_event event;
    struct connection *connection; /* it was received on; NULL: ours */
    uint8_t prefix[PREFIX_BYTES];  /* lies right before the bytes */
    uint8_t bytes[];
};

static_assert(offsetof(struct stream_packet, bytes) ==
                  offsetof(struct stream_packet, prefix) + PREFIX_BYTES,
              "prefix and bytes are sent in one piece");

/* Something that an aio of NNG's has come to, told to the reactor. */
struct connector {
    struct reactor_event event;
    struct socket *socket;
    nng_aio *aio;
    bool is_armed; /* the reactor's thread: its event will come */
};

enum sending {
    SENDING_NONE,
    SENDING,         /* nobody waits for its end */
    SENDING_WATCHED, /* sent_event is to be posted */
};

struct connection {
    struct connection *next; /* of the socket, the oldest first */
    struct socket *socket;
    uint32_t pipe;
    nng_stream *stream;
    nng_aio *receive_aio;
    nng_aio *send_aio;
    _Atomic uint32_t reference_count;
    bool is_up; /* the reactor's thread */

    /* Who receives: NNG's callback, or the reactor's thread before it. */
    uint8_t prefix[PREFIX_BYTES];
    struct stream_packet *incoming; /* NULL: its prefix is being read */
    size_t received_bytes;          /* of prefix or packet */
    _Atomic bool is_paused;

    /* Who sends: NNG's callback unless `sending` is SENDING_NONE. */
    _Atomic enum sending sending;
    struct stream_packet *outgoing;
    size_t sent_bytes;                   /* prefix included */
    struct stream_packet *next_outgoing; /* the reactor's thread */

    struct reactor_event sent_event;
    struct reactor_event broken_event;
    _Atomic bool is_broken; /* broken_event was posted */
};

struct socket {
    struct socket_config config;
    nng_stream_listener *listener;
    nng_stream_dialer *dialer;
    struct connector connect; /* accepts or dials */
    struct connector pause;   /* before dialling again */
    uint32_t redial_ms;
    struct connection *connections;
    uint32_t connection_count;
    uint32_t pipe_next;
    struct stream_packet *request; /* KNOCK: a copy, until it is answered */
    _Atomic uint32_t reference_count;
    _Atomic bool is_closed;
    _Atomic size_t inbox_bytes;
};

/* ---- references ---- */

static void socket_unref(struct socket *socket)
{
    if (atomic_fetch_sub(&socket->reference_count, 1) == 1) {
        nng_aio_free(socket->connect.aio);
        nng_aio_free(socket->pause.aio);
        free(socket);
    }
}

static void connection_ref(struct connection *connection)
{
    atomic_fetch_add(&connection->reference_count, 1);
}

static void connection_unref(struct connection *connection)
{
    if (atomic_fetch_sub(&connection->reference_count, 1) == 1) {
        socket_unref(connection->socket);
        free(connection);
    }
}

/* ---- packets ---- */

static void receive_more(struct connection *connection);

static struct stream_packet *packet_of(struct packet *packet)
{
    return (struct stream_packet *)packet;
}

/* There is room in the inbox again: go on reading where it was stopped. */
static void unpause(struct socket *socket)
{
    if (atomic_load(&socket->is_closed) ||
        atomic_load(&socket->inbox_bytes) > socket->config.inbox_bytes_max) {
        return;
    }
    for (struct connection *at = socket->connections; at; at = at->next) {
        if (at->is_up && atomic_exchange(&at->is_paused, false)) {
            receive_more(at);
        }
    }
}

static void packet_free(struct packet *packet)
{
    struct stream_packet *own = packet_of(packet);
    struct connection *connection = own->connection;
    if (connection) {
        atomic_fetch_sub(&connection->socket->inbox_bytes, packet->length);
        unpause(connection->socket);
        connection_unref(connection);
    }
    free(own);
}

static struct stream_packet *packet_open(size_t length)
{
    struct stream_packet *own = malloc(sizeof *own + length);
    if (own) {
        *own = (struct stream_packet){
            .packet = {.length = length, .free = packet_free}};
        own->packet.data = own->bytes;
    }
    return own;
}

static struct stream_packet *packet_copy(const struct stream_packet *packet)
{
    struct stream_packet *copy = packet_open(packet->packet.length);
    if (copy) {
        memcpy(copy->bytes, packet->bytes, packet->packet.length);
    }
    return copy;
}

static struct packet *stream_packet_make(struct socket *socket, size_t length)
{
    (void)socket;
    struct stream_packet *own = packet_open(length);
    return own ? &own->packet : NULL;
}

/* ---- NNG's threads: bytes ---- */

static void post_broken(struct connection *connection)
{
    if (!atomic_exchange(&connection->is_broken, true)) {
        connection_ref(connection);
        reactor_post(connection->socket->config.reactor,
                     &connection->broken_event);
    }
}

static void transfer(nng_aio *aio,
                     uint8_t *bytes,
                     size_t length,
                     struct connection *over)
{
    nng_iov iov = {.iov_buf = bytes, .iov_len = length};
    (void)nng_aio_set_iov(aio, 1, &iov); /* one always fits */
    if (aio == over->receive_aio) {
        nng_stream_recv(over->stream, aio);
    } else {
        nng_stream_send(over->stream, aio);
    }
}

static void receive_more(struct connection *connection)
{
    struct stream_packet *incoming = connection->incoming;
    uint8_t *bytes = incoming ? incoming->bytes : connection->prefix;
    size_t length = incoming ? incoming->packet.length : PREFIX_BYTES;
    transfer(connection->receive_aio, bytes + connection->received_bytes,
             length - connection->received_bytes, connection);
}

/* A whole prefix: make room for what it announces. False: not to be taken. */
static bool begin_packet(struct connection *connection)
{
    size_t length = get_u32(connection->prefix);
    if (length > connection->socket->config.message_bytes_max) {
        return false;
    }
    connection->incoming = packet_open(length);
    connection->received_bytes = 0;
    return connection->incoming != NULL;
}

/* A whole packet: to the reactor. False: do not read on for now. */
static bool end_packet(struct connection *connection)
{
    struct socket *socket = connection->socket;
    struct stream_packet *own = connection->incoming;
    connection->incoming = NULL;
    connection->received_bytes = 0;
    own->connection = connection;
    connection_ref(connection);
    size_t inbox_bytes =
        atomic_fetch_add(&socket->inbox_bytes, own->packet.length) +
        own->packet.length;
    bool is_door = socket->config.kind == SOCKET_DOOR;
    bool is_full = inbox_bytes > socket->config.inbox_bytes_max;
    if (is_full && !is_door) {
        atomic_store(&connection->is_paused, true);
    }
    reactor_post(socket->config.reactor, &own->event);
    if (is_door) {
        return false; /* the next request after the answer */
    }
    if (!is_full) {
        return true;
    }
    /* Pairs with unpause(): one of us sees what the other did. */
    return atomic_load(&socket->inbox_bytes) <=
               socket->config.inbox_bytes_max &&
           atomic_exchange(&connection->is_paused, false);
}

static void run_message(struct reactor_event *event);

static void on_received(void *context)
{
    struct connection *connection = context;
    if (nng_aio_result(connection->receive_aio) != 0) {
        post_broken(connection);
        return;
    }
    connection->received_bytes += nng_aio_count(connection->receive_aio);
    if (!connection->incoming && connection->received_bytes == PREFIX_BYTES) {
        if (!begin_packet(connection)) {
            post_broken(connection);
            return;
        }
        connection->incoming->event.run = run_message;
    }
    struct stream_packet *incoming = connection->incoming;
    if (incoming && connection->received_bytes == incoming->packet.length &&
        !end_packet(connection)) {
        return;
    }
    receive_more(connection);
}

static void send_more(struct connection *connection)
{
    struct stream_packet *outgoing = connection->outgoing;
    transfer(connection->send_aio, outgoing->prefix + connection->sent_bytes,
             PREFIX_BYTES + outgoing->packet.length - connection->sent_bytes,
             connection);
}

static void on_sent(void *context)
{
    struct connection *connection = context;
    struct stream_packet *outgoing = connection->outgoing;
    if (nng_aio_result(connection->send_aio) != 0) {
        post_broken(connection);
        return;
    }
    connection->sent_bytes += nng_aio_count(connection->send_aio);
    if (connection->sent_bytes < PREFIX_BYTES + outgoing->packet.length) {
        send_more(connection);
        return;
    }
    free(outgoing);
    connection->outgoing = NULL;
    /* Until this returns, nobody frees the connection: its end waits for the
     * callbacks. */
    if (atomic_exchange(&connection->sending, SENDING_NONE) ==
        SENDING_WATCHED) {
        connection_ref(connection);
        reactor_post(connection->socket->config.reactor,
                     &connection->sent_event);
    }
}

static void on_connected(void *context)
{
    struct connector *connector = context;
    reactor_post(connector->socket->config.reactor, &connector->event);
}

/* ---- the reactor's thread: connections ---- */

static void arm(struct connector *connector)
{
    connector->is_armed = true;
    atomic_fetch_add(&connector->socket->reference_count, 1);
}

static void connect_next(struct socket *socket)
{
    arm(&socket->connect);
    if (socket->listener) {
        nng_stream_listener_accept(socket->listener, socket->connect.aio);
    } else {
        nng_stream_dialer_dial(socket->dialer, socket->connect.aio);
    }
}

/* Dial again after a pause that grows; something random is in it, so that
 * not all come at once. */
static void redial(struct socket *socket)
{
    if (!socket->dialer || socket->pause.is_armed || socket->connect.is_armed) {
        return;
    }
    uint32_t pause_ms = socket->redial_ms + nng_random() % 16;
    socket->redial_ms *= 2;
    if (socket->redial_ms > socket->config.redial_ms_max) {
        socket->redial_ms = socket->config.redial_ms_max;
    }
    arm(&socket->pause);
    nng_sleep_aio((nng_duration)pause_ms, socket->pause.aio);
}

static void unlink_connection(struct connection *connection)
{
    struct connection **at = &connection->socket->connections;
    while (*at != connection) {
        at = &(*at)->next;
    }
    *at = connection->next;
    connection->socket->connection_count--;
}

/* No callback of it comes after this; events may, and find it down. */
static void end_connection(struct connection *connection)
{
    struct socket *socket = connection->socket;
    const struct socket_events *events = &socket->config.events;
    connection->is_up = false;
    unlink_connection(connection);
    nng_stream_close(connection->stream);
    nng_aio_stop(connection->receive_aio);
    nng_aio_stop(connection->send_aio);
    nng_stream_free(connection->stream);
    nng_aio_free(connection->receive_aio);
    nng_aio_free(connection->send_aio);
    free(connection->incoming);
    free(connection->outgoing);
    free(connection->next_outgoing);
    if (socket->config.kind == SOCKET_PAIR && events->on_down &&
        !atomic_load(&socket->is_closed)) {
        events->on_down(events->context, connection->pipe);
    }
    connection_unref(connection);
}

static void start_sending(struct connection *connection,
                          struct stream_packet *packet)
{
    bool is_door = connection->socket->config.kind == SOCKET_DOOR;
    connection->outgoing = packet;
    connection->sent_bytes = 0;
    put_u32(packet->prefix, (uint32_t)packet->packet.length);
    atomic_store(&connection->sending, is_door ? SENDING_WATCHED : SENDING);
    send_more(connection);
}

static void run_broken(struct reactor_event *event)
{
    struct connection *connection =
        (struct connection *)((char *)event -
                              offsetof(struct connection, broken_event));
    struct socket *socket = connection->socket;
    if (connection->is_up) {
        end_connection(connection);
        if (!atomic_load(&socket->is_closed)) {
            redial(socket);
        }
    }
    connection_unref(connection);
}

static void run_sent(struct reactor_event *event)
{
    struct connection *connection =
        (struct connection *)((char *)event -
                              offsetof(struct connection, sent_event));
    struct socket *socket = connection->socket;
    if (connection->is_up && socket->config.kind == SOCKET_DOOR) {
        receive_more(connection); /* its next request */
    } else if (connection->is_up) {
        struct stream_packet *next = connection->next_outgoing;
        connection->next_outgoing = NULL;
        start_sending(connection, next);
        if (socket->config.events.on_sent) {
            socket->config.events.on_sent(socket->config.events.context);
        }
    }
    connection_unref(connection);
}

static void run_message(struct reactor_event *event)
{
    struct stream_packet *own =
        (struct stream_packet *)((char *)event -
                                 offsetof(struct stream_packet, event));
    struct connection *connection = own->connection;
    struct socket *socket = connection->socket;
    struct packet *packet = &own->packet;
    if (!connection->is_up) {
        packet_close(&packet);
        return;
    }
    if (socket->config.kind == SOCKET_KNOCK) {
        free(socket->request);
        socket->request = NULL;
    }
    connection_ref(connection); /* the owner may close the socket meanwhile */
    socket->config.events.on_message(socket->config.events.context,
                                     connection->pipe, packet);
    connection_unref(connection);
}

/* ERR_MEMORY */
static enum err open_connection(struct socket *socket, nng_stream *stream)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection) {
        return ERR_MEMORY;
    }
    int code = nng_aio_alloc(&connection->receive_aio, on_received, connection);
    if (code == 0) {
        code = nng_aio_alloc(&connection->send_aio, on_sent, connection);
    }
    if (code != 0) {
        nng_aio_free(connection->receive_aio);
        free(connection);
        return err_from_nng(code);
    }
    connection->socket = socket;
    connection->stream = stream;
    connection->pipe = ++socket->pipe_next;
    connection->is_up = true;
    connection->sent_event.run = run_sent;
    connection->broken_event.run = run_broken;
    atomic_store(&connection->reference_count, 1);
    atomic_fetch_add(&socket->reference_count, 1);
    struct connection **at = &socket->connections;
    while (*at) {
        at = &(*at)->next;
    }
    *at = connection;
    socket->connection_count++;
    if (socket->config.kind == SOCKET_PAIR && socket->config.events.on_up) {
        socket->config.events.on_up(socket->config.events.context,
                                    connection->pipe);
    }
    struct stream_packet *request =
        socket->request ? packet_copy(socket->request) : NULL;
    if (request) {
        start_sending(connection, request);
    }
    receive_more(connection);
    return ERR_NONE;
}

/* A pair has one peer at a time; at a door the oldest gives way, so that idle
 * connections cannot shut others out. False: it is not to be taken. */
static bool make_way(struct socket *socket)
{
    if (socket->config.kind == SOCKET_PAIR) {
        return socket->connection_count == 0;
    }
    uint32_t most = socket->config.connection_count_max;
    if (most > 0 && socket->connection_count >= most) {
        end_connection(socket->connections);
    }
    return true;
}

static void take_stream(struct socket *socket, nng_stream *stream)
{
    socket->redial_ms = socket->config.redial_ms_min;
    if (!make_way(socket) || open_connection(socket, stream)) {
        nng_stream_close(stream);
        nng_stream_free(stream);
        redial(socket);
    }
}

static void run_connected(struct reactor_event *event)
{
    struct connector *connector = (struct connector *)event;
    struct socket *socket = connector->socket;
    int code = nng_aio_result(connector->aio);
    nng_stream *stream = code ? NULL : nng_aio_get_output(connector->aio, 0);
    connector->is_armed = false;
    if (atomic_load(&socket->is_closed)) {
        if (stream) {
            nng_stream_close(stream);
            nng_stream_free(stream);
        }
    } else if (stream) {
        take_stream(socket, stream);
        if (socket->listener) {
            connect_next(socket);
        }
    } else if (socket->listener) {
        /* Out of descriptors, say: try again in a while. */
        arm(&socket->pause);
        nng_sleep_aio(100, socket->pause.aio);
    } else {
        redial(socket);
    }
    socket_unref(socket);
}

static void run_paused(struct reactor_event *event)
{
    struct connector *connector = (struct connector *)event;
    struct socket *socket = connector->socket;
    connector->is_armed = false;
    if (!atomic_load(&socket->is_closed) && !socket->connect.is_armed) {
        connect_next(socket);
    }
    socket_unref(socket);
}

/* ---- the table ---- */

static void stop_connector(struct connector *connector)
{
    if (connector->aio) {
        nng_aio_stop(connector->aio); /* its callback has posted by now */
    }
}

static void stream_close(struct socket **socket)
{
    if (!*socket) {
        return;
    }
    struct socket *old = *socket;
    atomic_store(&old->is_closed, true);
    if (old->listener) {
        nng_stream_listener_close(old->listener);
    }
    if (old->dialer) {
        nng_stream_dialer_close(old->dialer);
    }
    stop_connector(&old->connect);
    stop_connector(&old->pause);
    while (old->connections) {
        end_connection(old->connections);
    }
    nng_stream_listener_free(old->listener);
    nng_stream_dialer_free(old->dialer);
    free(old->request);
    old->request = NULL;
    *socket = NULL;
    socket_unref(old);
}

static enum err open_connector(struct connector *connector,
                               struct socket *socket,
                               void (*run)(struct reactor_event *event))
{
    connector->socket = socket;
    connector->event.run = run;
    return err_from_nng(
        nng_aio_alloc(&connector->aio, on_connected, connector));
}

static enum err stream_open(void *context,
                            struct socket **out,
                            const struct socket_config *config)
{
    (void)context;
    assert(config->kind != SOCKET_BUS);
    struct socket *socket = calloc(1, sizeof *socket);
    if (!socket) {
        return ERR_MEMORY;
    }
    socket->config = *config;
    socket->redial_ms = config->redial_ms_min;
    atomic_store(&socket->reference_count, 1);
    enum err err = open_connector(&socket->connect, socket, run_connected);
    if (!err) {
        err = open_connector(&socket->pause, socket, run_paused);
    }
    if (err) {
        stream_close(&socket);
        return err;
    }
    *out = socket;
    return ERR_NONE;
}

static enum err stream_listen(struct socket *socket, const char *url)
{
    assert(!socket->dialer && !socket->listener);
    nng_stream_listener *listener = NULL;
    int code = nng_stream_listener_alloc(&listener, url);
    if (code == 0) {
        /* Not every scheme has this. */
        (void)nng_stream_listener_set_bool(listener, NNG_OPT_TCP_NODELAY, true);
        code = nng_stream_listener_listen(listener);
    }
    if (code != 0) {
        nng_stream_listener_free(listener);
        return err_from_nng(code);
    }
    socket->listener = listener;
    connect_next(socket);
    return ERR_NONE;
}

static enum err stream_dial(struct socket *socket, const char *url)
{
    assert(!socket->dialer && !socket->listener);
    int code = nng_stream_dialer_alloc(&socket->dialer, url);
    if (code != 0) {
        return err_from_nng(code);
    }
    /* Not every scheme has this. */
    (void)nng_stream_dialer_set_bool(socket->dialer, NNG_OPT_TCP_NODELAY, true);
    connect_next(socket);
    return ERR_NONE;
}

static struct connection *find_connection(struct socket *socket, uint32_t pipe)
{
    struct connection *connection = socket->connections;
    while (connection && connection->pipe != pipe) {
        connection = connection->next;
    }
    return connection;
}

/* The end is told as if it had broken by itself: later, by an event. */
static void stream_drop(struct socket *socket, uint32_t pipe)
{
    struct connection *connection = find_connection(socket, pipe);
    if (connection) {
        nng_stream_close(connection->stream);
        post_broken(connection);
    }
}

/* One packet may wait behind the one that is being sent. */
static bool send_on(struct connection *connection, struct stream_packet *packet)
{
    enum sending busy = SENDING;
    if (atomic_load(&connection->sending) != SENDING_NONE) {
        assert(!connection->next_outgoing);
        connection->next_outgoing = packet;
        if (atomic_compare_exchange_strong(&connection->sending, &busy,
                                           SENDING_WATCHED)) {
            return false;
        }
        connection->next_outgoing = NULL; /* it has ended meanwhile */
    }
    start_sending(connection, packet);
    return true;
}

static bool stream_send(struct socket *socket,
                        uint32_t pipe,
                        struct packet *packet)
{
    struct stream_packet *own = packet_of(packet);
    assert(!own->connection);
    bool is_knock = socket->config.kind == SOCKET_KNOCK;
    struct connection *connection =
        is_knock ? socket->connections : find_connection(socket, pipe);
    if (is_knock) {
        free(socket->request);
        socket->request = packet_copy(own);
    }
    if (!connection) {
        packet_close(&packet); /* lost with its connection */
        return true;
    }
    return send_on(connection, own);
}

static const struct network table = {
    .open = stream_open,
    .close = stream_close,
    .listen = stream_listen,
    .dial = stream_dial,
    .drop = stream_drop,
    .packet_make = stream_packet_make,
    .send = stream_send,
};

const struct network *nng_stream_network(void)
{
    return &table;
}
