#include "transport/nng_network.h"

#include "transport/nng_sp.h"
#include "transport/nng_stream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Which of the two tables it is shows with the first address. */
struct socket {
    struct socket_config config;
    const struct network *through;
    struct socket *inner; /* of `through`; NULL before the first address */
};

static enum err open_socket(void *context,
                            struct socket **out,
                            const struct socket_config *config)
{
    (void)context;
    struct socket *socket = calloc(1, sizeof *socket);
    if (!socket) {
        return ERR_MEMORY;
    }
    socket->config = *config;
    *out = socket;
    return ERR_NONE;
}

static void close_socket(struct socket **socket)
{
    if (!*socket) {
        return;
    }
    if ((*socket)->inner) {
        (*socket)->through->close(&(*socket)->inner);
    }
    free(*socket);
    *socket = NULL;
}

static enum err open_inner(struct socket *socket, const char *url)
{
    if (socket->inner) {
        return ERR_NONE;
    }
    bool is_inproc = strncmp(url, "inproc:", strlen("inproc:")) == 0;
    socket->through = is_inproc ? nng_sp() : nng_stream_network();
    return socket->through->open(socket->through->context, &socket->inner,
                                 &socket->config);
}

static enum err listen_at(struct socket *socket, const char *url)
{
    enum err err = open_inner(socket, url);
    return err ? err : socket->through->listen(socket->inner, url);
}

static enum err dial_to(struct socket *socket, const char *url)
{
    enum err err = open_inner(socket, url);
    return err ? err : socket->through->dial(socket->inner, url);
}

static void undial(struct socket *socket, const char *url)
{
    if (socket->inner) {
        socket->through->undial(socket->inner, url);
    }
}

static void drop_pipe(struct socket *socket, uint32_t pipe)
{
    socket->through->drop(socket->inner, pipe);
}

static struct packet *make_packet(struct socket *socket, size_t length)
{
    assert(socket->inner);
    return socket->through->packet_make(socket->inner, length);
}

static bool send_packet(struct socket *socket,
                        uint32_t pipe,
                        struct packet *packet)
{
    return socket->through->send(socket->inner, pipe, packet);
}

static const struct network table = {
    .open = open_socket,
    .close = close_socket,
    .listen = listen_at,
    .dial = dial_to,
    .undial = undial,
    .drop = drop_pipe,
    .packet_make = make_packet,
    .send = send_packet,
};

const struct network *nng_network(void)
{
    return &table;
}
