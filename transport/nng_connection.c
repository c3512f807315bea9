#include "transport/nng_connection.h"

#include "base/bytes.h"
#include "base/owner.h"
#include "base/reactor.h"
#include "transport/nng_err.h"

#include <assert.h>
#include <stdlib.h>

/*
 * NNG's threads only move bytes and post; everything is decided on the
 * reactor's thread. An event holds a reference to what it is about.
 */

#define PREFIX_BYTES 4

struct stream_packet {
    struct packet packet;
    struct reactor_event event;
    struct connection *connection; /* it was received on; NULL: ours */
    _Atomic uint32_t reference_count;
    uint8_t prefix[PREFIX_BYTES]; /* lies right before the bytes */
    uint8_t bytes[];
};

static_assert(offsetof(struct stream_packet, bytes) ==
                  offsetof(struct stream_packet, prefix) + PREFIX_BYTES,
              "prefix and bytes are sent in one piece");

enum sending {
    SENDING_NONE,
    SENDING,         /* nobody waits for its end */
    SENDING_WATCHED, /* sent_event is to be posted */
};

struct connection {
    struct connection *next; /* of the set, the oldest first */
    struct connection_set *set;
    void *context;
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
    size_t sent_bytes; /* prefix included */

    /* The reactor's thread: what is to follow `outgoing`, a ring. */
    struct packet *waiting[CONNECTION_WAITING_COUNT_MAX];
    uint32_t waiting_first;
    uint32_t waiting_count;

    struct reactor_event sent_event;
    struct reactor_event broken_event;
    _Atomic bool is_broken; /* broken_event was posted */
};

/* ---- references ---- */

void connection_set_ref(struct connection_set *set)
{
    atomic_fetch_add(&set->reference_count, 1);
}

void connection_set_unref(struct connection_set *set)
{
    if (atomic_fetch_sub(&set->reference_count, 1) == 1) {
        assert(!set->oldest);
        set->on_unused(set);
    }
}

static void connection_ref(struct connection *connection)
{
    atomic_fetch_add(&connection->reference_count, 1);
}

static void connection_unref(struct connection *connection)
{
    if (atomic_fetch_sub(&connection->reference_count, 1) == 1) {
        connection_set_unref(connection->set);
        free(connection);
    }
}

/* ---- packets ---- */

static void receive_more(struct connection *connection);

static struct stream_packet *packet_of(struct packet *packet)
{
    return OWNER_OF(packet, struct stream_packet, packet);
}

/* There is room in the inbox again: go on reading where it was stopped. */
static void unpause(struct connection_set *set)
{
    if (atomic_load(&set->inbox_bytes) > set->inbox_bytes_max) {
        return;
    }
    for (struct connection *at = set->oldest; at; at = at->next) {
        if (atomic_exchange(&at->is_paused, false)) {
            receive_more(at);
        }
    }
}

static void packet_free(struct packet *packet)
{
    struct stream_packet *own = packet_of(packet);
    if (atomic_fetch_sub(&own->reference_count, 1) > 1) {
        return;
    }
    struct connection *connection = own->connection;
    if (connection) {
        atomic_fetch_sub(&connection->set->inbox_bytes, packet->length);
        unpause(connection->set);
        connection_unref(connection);
    }
    free(own);
}

static struct stream_packet *packet_open(size_t length)
{
    struct stream_packet *own = malloc(sizeof *own + length);
    if (own) {
        *own = (struct stream_packet){
            .packet = {.length = length, .free = packet_free},
            .reference_count = 1};
        own->packet.data = own->bytes;
    }
    return own;
}

struct packet *connection_packet_make(size_t length)
{
    struct stream_packet *own = packet_open(length);
    return own ? &own->packet : NULL;
}

void connection_packet_finish(struct packet *packet)
{
    struct stream_packet *own = packet_of(packet);
    assert(!own->connection && packet->length <= UINT32_MAX);
    put_u32(own->prefix, (uint32_t)packet->length);
}

struct packet *connection_packet_share(struct packet *packet)
{
    atomic_fetch_add(&packet_of(packet)->reference_count, 1);
    return packet;
}

static void packet_drop(struct stream_packet *own)
{
    if (own) {
        packet_free(&own->packet);
    }
}

/* ---- NNG's threads: bytes ---- */

static void post_broken(struct connection *connection)
{
    if (!atomic_exchange(&connection->is_broken, true)) {
        connection_ref(connection);
        reactor_post(connection->set->reactor, &connection->broken_event);
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

static void run_packet(struct reactor_event *event);

/* A whole prefix: make room for what it announces. False: not to be taken. */
static bool begin_packet(struct connection *connection)
{
    size_t length = get_u32(connection->prefix);
    if (length > connection->set->packet_bytes_max) {
        return false;
    }
    connection->incoming = packet_open(length);
    connection->received_bytes = 0;
    if (!connection->incoming) {
        return false;
    }
    connection->incoming->event.run = run_packet;
    return true;
}

/* A whole packet: to the reactor. False: do not read on for now. */
static bool end_packet(struct connection *connection)
{
    struct connection_set *set = connection->set;
    struct stream_packet *own = connection->incoming;
    connection->incoming = NULL;
    connection->received_bytes = 0;
    own->connection = connection;
    connection_ref(connection);
    size_t inbox_bytes =
        atomic_fetch_add(&set->inbox_bytes, own->packet.length) +
        own->packet.length;
    bool is_full = inbox_bytes > set->inbox_bytes_max;
    if (is_full && !set->is_by_turns) {
        atomic_store(&connection->is_paused, true);
    }
    reactor_post(set->reactor, &own->event);
    if (set->is_by_turns) {
        return false; /* the next after the answer */
    }
    if (!is_full) {
        return true;
    }
    /* Pairs with unpause(): one of us sees what the other did. */
    return atomic_load(&set->inbox_bytes) <= set->inbox_bytes_max &&
           atomic_exchange(&connection->is_paused, false);
}

static void on_received(void *context)
{
    struct connection *connection = context;
    if (nng_aio_result(connection->receive_aio) != 0) {
        post_broken(connection);
        return;
    }
    connection->received_bytes += nng_aio_count(connection->receive_aio);
    if (!connection->incoming && connection->received_bytes == PREFIX_BYTES &&
        !begin_packet(connection)) {
        post_broken(connection);
        return;
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
    connection->outgoing = NULL;
    packet_drop(outgoing);
    /* Until this returns, nobody frees the connection: its end waits for the
     * callbacks. */
    if (atomic_exchange(&connection->sending, SENDING_NONE) ==
        SENDING_WATCHED) {
        connection_ref(connection);
        reactor_post(connection->set->reactor, &connection->sent_event);
    }
}

/* ---- the reactor's thread: sending ---- */

static void start_sending(struct connection *connection, struct packet *packet)
{
    bool is_watched = connection->set->is_by_turns;
    connection->outgoing = packet_of(packet);
    connection->sent_bytes = 0;
    atomic_store(&connection->sending, is_watched ? SENDING_WATCHED : SENDING);
    send_more(connection);
}

/* Have sent_event posted when what is under way has been sent. False: it has
 * ended meanwhile. */
static bool watch(struct connection *connection)
{
    enum sending busy = SENDING;
    return atomic_compare_exchange_strong(&connection->sending, &busy,
                                          SENDING_WATCHED);
}

static struct packet *take_waiting(struct connection *connection)
{
    struct packet *packet = connection->waiting[connection->waiting_first];
    connection->waiting_first =
        (connection->waiting_first + 1) % CONNECTION_WAITING_COUNT_MAX;
    connection->waiting_count--;
    return packet;
}

bool connection_is_full(const struct connection *connection)
{
    return connection->waiting_count == CONNECTION_WAITING_COUNT_MAX;
}

bool connection_send(struct connection *connection, struct packet *packet)
{
    assert(!packet_of(packet)->connection && !connection_is_full(connection));
    bool is_idle = connection->waiting_count == 0 &&
                   atomic_load(&connection->sending) == SENDING_NONE;
    if (is_idle) {
        start_sending(connection, packet);
        return true;
    }
    uint32_t at = (connection->waiting_first + connection->waiting_count++) %
                  CONNECTION_WAITING_COUNT_MAX;
    connection->waiting[at] = packet;
    if (connection->waiting_count == 1 && !watch(connection)) {
        start_sending(connection, take_waiting(connection));
    }
    return connection->waiting_count == 0;
}

/* ---- the reactor's thread: events ---- */

static void run_sent(struct reactor_event *event)
{
    struct connection *connection =
        OWNER_OF(event, struct connection, sent_event);
    if (connection->is_up && connection->set->is_by_turns) {
        receive_more(connection); /* its next request */
    } else if (connection->is_up) {
        do {
            start_sending(connection, take_waiting(connection));
        } while (connection->waiting_count > 0 && !watch(connection));
        if (connection->waiting_count == 0) {
            connection->set->on_sent(connection);
        }
    }
    connection_unref(connection);
}

static void run_broken(struct reactor_event *event)
{
    struct connection *connection =
        OWNER_OF(event, struct connection, broken_event);
    if (connection->is_up) {
        connection->set->on_broken(connection);
    }
    connection_unref(connection);
}

static void run_packet(struct reactor_event *event)
{
    struct stream_packet *own = OWNER_OF(event, struct stream_packet, event);
    struct connection *connection = own->connection;
    struct packet *packet = &own->packet;
    if (!connection->is_up) {
        packet_close(&packet);
        return;
    }
    connection_ref(connection); /* the owner may close it meanwhile */
    connection->set->on_packet(connection, packet);
    connection_unref(connection);
}

/* ---- life ---- */

static enum err make_aios(struct connection *connection)
{
    int code = nng_aio_alloc(&connection->receive_aio, on_received, connection);
    if (code == 0) {
        code = nng_aio_alloc(&connection->send_aio, on_sent, connection);
    }
    return err_from_nng(code);
}

static void link_youngest(struct connection *connection)
{
    struct connection **at = &connection->set->oldest;
    while (*at) {
        at = &(*at)->next;
    }
    *at = connection;
}

static void unlink_connection(struct connection *connection)
{
    struct connection **at = &connection->set->oldest;
    while (*at != connection) {
        at = &(*at)->next;
    }
    *at = connection->next;
    connection->next = NULL;
}

enum err connection_open(struct connection **out,
                         struct connection_set *set,
                         void *context,
                         nng_stream *stream)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection) {
        return ERR_MEMORY;
    }
    enum err err = make_aios(connection);
    if (err) {
        nng_aio_free(connection->receive_aio);
        free(connection);
        return err;
    }
    connection->set = set;
    connection->context = context;
    connection->stream = stream;
    connection->pipe = ++set->pipe_last;
    connection->is_up = true;
    connection->sent_event.run = run_sent;
    connection->broken_event.run = run_broken;
    atomic_store(&connection->reference_count, 1);
    connection_set_ref(set);
    link_youngest(connection);
    *out = connection;
    return ERR_NONE;
}

void connection_start(struct connection *connection)
{
    receive_more(connection);
}

/* Events may still come, and find it down. */
void connection_close(struct connection **connection)
{
    if (!*connection) {
        return;
    }
    struct connection *old = *connection;
    assert(old->is_up);
    old->is_up = false;
    unlink_connection(old);
    nng_stream_close(old->stream);
    nng_aio_stop(old->receive_aio);
    nng_aio_stop(old->send_aio);
    nng_stream_free(old->stream);
    nng_aio_free(old->receive_aio);
    nng_aio_free(old->send_aio);
    packet_drop(old->incoming);
    packet_drop(old->outgoing);
    while (old->waiting_count > 0) {
        struct packet *packet = take_waiting(old);
        packet_close(&packet);
    }
    connection_unref(old);
    *connection = NULL;
}

void connection_break(struct connection *connection)
{
    nng_stream_close(connection->stream);
    post_broken(connection);
}

uint32_t connection_pipe(const struct connection *connection)
{
    return connection->pipe;
}

void *connection_context(const struct connection *connection)
{
    return connection->context;
}

struct connection_set *connection_set(const struct connection *connection)
{
    return connection->set;
}

struct connection *connection_next(const struct connection *connection)
{
    return connection->next;
}
