#include "transport/nng_stream.h"

#include "base/owner.h"
#include "base/reactor.h"
#include "transport/nng_connection.h"
#include "transport/nng_err.h"

#include <assert.h>
#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>
#include <stdlib.h>
#include <string.h>

/*
 * Why not NNG's pair0, rep0, req0 and bus0 here: in NNG 1.5 a connection that
 * ends while a receive of its TCP transport is under way leaves an operation
 * that never finishes, and the one thread that reaps connections waits for it
 * for ever (mended upstream by "Finish receive aio on close", nanomsg/nng
 * 1636). Under load one cut connection in ten or so did that, and a flood of
 * handshakes did. The byte streams below those protocols have no such flaw,
 * wake fewer threads for a packet, and need no zeroed memory.
 *
 * A socket has origins, from which its connections come: an address that it
 * listens on, or one that it dials. All but a bus have one.
 */

#define ACCEPT_PAUSE_MS 100 /* out of descriptors, say: then again */

/* Something that an aio of NNG's has come to, told to the reactor. */
struct connector {
    struct reactor_event event;
    struct origin *origin;
    nng_aio *aio;
    bool is_armed; /* its event will come */
};

/* All on the reactor's thread. An armed connector holds a reference. */
struct origin {
    struct origin *next; /* of the socket */
    struct socket *socket;
    nng_stream_listener *listener; /* either this */
    nng_stream_dialer *dialer;     /* or this */
    struct connector connect;      /* accepts or dials */
    struct connector pause;        /* before that is tried again */
    uint32_t redial_ms;
    uint32_t connection_count;
    uint32_t reference_count;
    bool is_closed;
    char url[];
};

/* Each connection's context is its origin. */
struct socket {
    struct socket_config config;
    struct connection_set set;
    struct origin *origins;
    struct packet *request; /* KNOCK: until it is answered */
    bool is_closed;
};

static void origin_unref(struct origin *origin)
{
    if (--origin->reference_count == 0) {
        nng_aio_free(origin->connect.aio);
        nng_aio_free(origin->pause.aio);
        connection_set_unref(&origin->socket->set);
        free(origin);
    }
}

/* ---- connecting ---- */

/* On NNG's thread. */
static void on_connected(void *context)
{
    struct connector *connector = context;
    reactor_post(connector->origin->socket->config.reactor, &connector->event);
}

static void arm(struct connector *connector)
{
    connector->is_armed = true;
    connector->origin->reference_count++;
}

static void connect_next(struct origin *origin)
{
    arm(&origin->connect);
    if (origin->listener) {
        nng_stream_listener_accept(origin->listener, origin->connect.aio);
    } else {
        nng_stream_dialer_dial(origin->dialer, origin->connect.aio);
    }
}

static void connect_later(struct origin *origin, uint32_t pause_ms)
{
    arm(&origin->pause);
    nng_sleep_aio((nng_duration)pause_ms, origin->pause.aio);
}

/* Dial again after a pause that grows; something random is in it, so that
 * not all come at once. */
static void redial(struct origin *origin)
{
    if (!origin->dialer || origin->is_closed || origin->pause.is_armed ||
        origin->connect.is_armed) {
        return;
    }
    uint32_t most_ms = origin->socket->config.redial_ms_max;
    uint32_t pause_ms = origin->redial_ms + nng_random() % 16;
    origin->redial_ms *= 2;
    if (origin->redial_ms > most_ms) {
        origin->redial_ms = most_ms;
    }
    connect_later(origin, pause_ms);
}

/* ---- connections ---- */

static struct socket *socket_of(const struct connection *connection)
{
    return OWNER_OF(connection_set(connection), struct socket, set);
}

static void end_connection(struct connection *connection)
{
    struct socket *socket = socket_of(connection);
    const struct socket_events *events = &socket->config.events;
    struct origin *origin = connection_context(connection);
    uint32_t pipe = connection_pipe(connection);
    origin->connection_count--;
    connection_close(&connection);
    if (socket->config.kind == SOCKET_PAIR && events->on_down &&
        !socket->is_closed) {
        events->on_down(events->context, pipe);
    }
}

static void on_broken(struct connection *connection)
{
    struct origin *origin = connection_context(connection);
    origin->reference_count++; /* the owner may close the socket meanwhile */
    end_connection(connection);
    redial(origin);
    origin_unref(origin);
}

static void on_packet(struct connection *connection, struct packet *packet)
{
    struct socket *socket = socket_of(connection);
    if (socket->config.kind == SOCKET_KNOCK) {
        packet_close(&socket->request);
    }
    socket->config.events.on_message(socket->config.events.context,
                                     connection_pipe(connection), packet);
}

static void on_sent(struct connection *connection)
{
    const struct socket_events *events = &socket_of(connection)->config.events;
    if (events->on_sent) {
        events->on_sent(events->context);
    }
}

/* ERR_MEMORY */
static enum err begin_connection(struct origin *origin, nng_stream *stream)
{
    struct socket *socket = origin->socket;
    const struct socket_events *events = &socket->config.events;
    struct connection *connection = NULL;
    enum err err = connection_open(&connection, &socket->set, origin, stream);
    if (err) {
        return err;
    }
    origin->connection_count++;
    if (socket->request) {
        (void)connection_send(connection,
                              connection_packet_share(socket->request));
    }
    connection_start(connection);
    if (socket->config.kind == SOCKET_PAIR && events->on_up) {
        events->on_up(events->context, connection_pipe(connection));
    }
    return ERR_NONE;
}

static void end_oldest(struct origin *origin)
{
    struct connection *oldest = origin->socket->set.oldest;
    while (connection_context(oldest) != origin) {
        oldest = connection_next(oldest);
    }
    end_connection(oldest);
}

/* A pair has one peer at a time; elsewhere the oldest that was accepted gives
 * way, so that idle connections cannot shut others out. False: it is not to
 * be taken. */
static bool make_way(struct origin *origin)
{
    const struct socket_config *config = &origin->socket->config;
    if (config->kind == SOCKET_PAIR) {
        return origin->connection_count == 0;
    }
    uint32_t most = config->connection_count_max;
    if (origin->listener && most > 0 && origin->connection_count >= most) {
        end_oldest(origin);
    }
    return true;
}

static void drop_stream(nng_stream *stream)
{
    nng_stream_close(stream);
    nng_stream_free(stream);
}

static void take_stream(struct origin *origin, nng_stream *stream)
{
    origin->redial_ms = origin->socket->config.redial_ms_min;
    if (!make_way(origin) || begin_connection(origin, stream)) {
        drop_stream(stream);
        redial(origin);
    }
    if (origin->listener && !origin->is_closed) {
        connect_next(origin);
    }
}

static void run_connected(struct reactor_event *event)
{
    struct connector *connector = OWNER_OF(event, struct connector, event);
    struct origin *origin = connector->origin;
    int code = nng_aio_result(connector->aio);
    nng_stream *stream = code ? NULL : nng_aio_get_output(connector->aio, 0);
    connector->is_armed = false;
    if (origin->is_closed && stream) {
        drop_stream(stream);
    } else if (stream) {
        take_stream(origin, stream);
    } else if (origin->listener && !origin->is_closed) {
        connect_later(origin, ACCEPT_PAUSE_MS);
    } else {
        redial(origin);
    }
    origin_unref(origin);
}

static void run_paused(struct reactor_event *event)
{
    struct connector *connector = OWNER_OF(event, struct connector, event);
    struct origin *origin = connector->origin;
    connector->is_armed = false;
    if (!origin->is_closed && !origin->connect.is_armed) {
        connect_next(origin);
    }
    origin_unref(origin);
}

/* ---- origins ---- */

static void stop_connector(struct connector *connector)
{
    if (connector->aio) {
        nng_aio_stop(connector->aio); /* its callback has posted by now */
    }
}

static void end_connections(struct origin *origin)
{
    while (origin->connection_count > 0) {
        end_oldest(origin);
    }
}

static void origin_close(struct origin **origin)
{
    if (!*origin) {
        return;
    }
    struct origin *old = *origin;
    old->is_closed = true;
    if (old->listener) {
        nng_stream_listener_close(old->listener);
    }
    if (old->dialer) {
        nng_stream_dialer_close(old->dialer);
    }
    stop_connector(&old->connect);
    stop_connector(&old->pause);
    end_connections(old);
    nng_stream_listener_free(old->listener);
    nng_stream_dialer_free(old->dialer);
    old->listener = NULL;
    old->dialer = NULL;
    origin_unref(old);
    *origin = NULL;
}

static enum err make_connector(struct connector *connector,
                               struct origin *origin,
                               void (*run)(struct reactor_event *event))
{
    connector->origin = origin;
    connector->event.run = run;
    return err_from_nng(
        nng_aio_alloc(&connector->aio, on_connected, connector));
}

/* ERR_MEMORY */
static enum err origin_open(struct origin **out,
                            struct socket *socket,
                            const char *url)
{
    size_t url_bytes = strlen(url) + 1;
    struct origin *origin = calloc(1, sizeof *origin + url_bytes);
    if (!origin) {
        return ERR_MEMORY;
    }
    memcpy(origin->url, url, url_bytes);
    origin->socket = socket;
    connection_set_ref(&socket->set);
    origin->redial_ms = socket->config.redial_ms_min;
    origin->reference_count = 1;
    enum err err = make_connector(&origin->connect, origin, run_connected);
    if (!err) {
        err = make_connector(&origin->pause, origin, run_paused);
    }
    if (err) {
        origin_close(&origin);
        return err;
    }
    *out = origin;
    return ERR_NONE;
}

static int listen_at(struct origin *origin)
{
    int code = nng_stream_listener_alloc(&origin->listener, origin->url);
    if (code != 0) {
        return code;
    }
    /* Not every scheme has this. */
    (void)nng_stream_listener_set_bool(origin->listener, NNG_OPT_TCP_NODELAY,
                                       true);
    return nng_stream_listener_listen(origin->listener);
}

static int make_dialer(struct origin *origin)
{
    int code = nng_stream_dialer_alloc(&origin->dialer, origin->url);
    if (code != 0) {
        return code;
    }
    /* Not every scheme has this. */
    (void)nng_stream_dialer_set_bool(origin->dialer, NNG_OPT_TCP_NODELAY, true);
    return 0;
}

/* Open an origin by `prepare`, and have connections come from it. */
static enum err add_origin(struct socket *socket,
                           const char *url,
                           int (*prepare)(struct origin *origin))
{
    assert(socket->config.kind == SOCKET_BUS || !socket->origins);
    struct origin *origin = NULL;
    enum err err = origin_open(&origin, socket, url);
    if (err) {
        return err;
    }
    err = err_from_nng(prepare(origin));
    if (err) {
        origin_close(&origin);
        return err;
    }
    origin->next = socket->origins;
    socket->origins = origin;
    connect_next(origin);
    return ERR_NONE;
}

/* ---- the table ---- */

static void free_socket(struct connection_set *set)
{
    free(OWNER_OF(set, struct socket, set));
}

static enum err stream_open(void *context,
                            struct socket **out,
                            const struct socket_config *config)
{
    (void)context;
    struct socket *socket = calloc(1, sizeof *socket);
    if (!socket) {
        return ERR_MEMORY;
    }
    socket->config = *config;
    socket->set = (struct connection_set){
        .reactor = config->reactor,
        .packet_bytes_max = config->message_bytes_max,
        .inbox_bytes_max = config->inbox_bytes_max,
        .is_by_turns = config->kind == SOCKET_DOOR,
        .on_packet = on_packet,
        .on_sent = on_sent,
        .on_broken = on_broken,
        .on_unused = free_socket,
    };
    connection_set_ref(&socket->set);
    *out = socket;
    return ERR_NONE;
}

static void stream_close(struct socket **socket)
{
    if (!*socket) {
        return;
    }
    struct socket *old = *socket;
    old->is_closed = true;
    while (old->origins) {
        struct origin *origin = old->origins;
        old->origins = origin->next;
        origin_close(&origin);
    }
    packet_close(&old->request);
    connection_set_unref(&old->set);
    *socket = NULL;
}

static enum err stream_listen(struct socket *socket, const char *url)
{
    return add_origin(socket, url, listen_at);
}

static enum err stream_dial(struct socket *socket, const char *url)
{
    return add_origin(socket, url, make_dialer);
}

static void stream_undial(struct socket *socket, const char *url)
{
    for (struct origin **at = &socket->origins; *at; at = &(*at)->next) {
        struct origin *origin = *at;
        if (origin->dialer && strcmp(origin->url, url) == 0) {
            *at = origin->next;
            origin_close(&origin);
            return;
        }
    }
}

static struct connection *find_connection(struct socket *socket, uint32_t pipe)
{
    struct connection *connection = socket->set.oldest;
    while (connection && connection_pipe(connection) != pipe) {
        connection = connection_next(connection);
    }
    return connection;
}

/* The end is told as if it had broken by itself: later, by an event. */
static void stream_drop(struct socket *socket, uint32_t pipe)
{
    struct connection *connection = find_connection(socket, pipe);
    if (connection) {
        connection_break(connection);
    }
}

static struct packet *stream_packet_make(struct socket *socket, size_t length)
{
    (void)socket;
    return connection_packet_make(length);
}

/* Who is slow goes without: the others must not wait for one. */
static void send_to_all(struct socket *socket, struct packet *packet)
{
    for (struct connection *at = socket->set.oldest; at;
         at = connection_next(at)) {
        if (!connection_is_full(at)) {
            (void)connection_send(at, connection_packet_share(packet));
        }
    }
    packet_close(&packet);
}

static bool stream_send(struct socket *socket,
                        uint32_t pipe,
                        struct packet *packet)
{
    enum socket_kind kind = socket->config.kind;
    connection_packet_finish(packet);
    if (kind == SOCKET_BUS) {
        send_to_all(socket, packet);
        return true;
    }
    if (kind == SOCKET_KNOCK) {
        packet_close(&socket->request);
        socket->request = connection_packet_share(packet);
    }
    struct connection *connection = kind == SOCKET_KNOCK
                                        ? socket->set.oldest
                                        : find_connection(socket, pipe);
    if (!connection) {
        packet_close(&packet); /* lost with its connection */
        return true;
    }
    return connection_send(connection, packet);
}

static const struct network table = {
    .open = stream_open,
    .close = stream_close,
    .listen = stream_listen,
    .dial = stream_dial,
    .undial = stream_undial,
    .drop = stream_drop,
    .packet_make = stream_packet_make,
    .send = stream_send,
};

const struct network *nng_stream_network(void)
{
    return &table;
}
