#include "tests/process/forwarder.h"

#include "tests/support/seeded.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT_COUNT_MAX 8
#define ROUTE_COUNT_MAX 32
#define BUFFER_BYTES 16384
#define POLL_MS 20 /* also the delay of an order from another thread */

/* One direction: read from a socket, not yet written to the other. */
struct stream {
    uint8_t buffer[BUFFER_BYTES];
    size_t length;
    size_t written;
};

/* A connection and the one that carries it on. */
struct route {
    int fds[2];               /* -1: free */
    struct stream streams[2]; /* [i]: from fds[i] to the other */
    uint64_t left_bytes;      /* until it is cut; UINT64_MAX: never */
    bool is_reset_due;        /* how */
};

struct forwarder {
    struct forwarder_config config;
    struct seeded seeded;
    int listeners[PORT_COUNT_MAX];
    struct route routes[ROUTE_COUNT_MAX];
    unsigned planned_count; /* cuts, of routes that live and that did */
    pthread_t thread;

    /* Any thread, atomically. */
    _Atomic bool is_over;
    _Atomic bool must_reset;
    _Atomic unsigned reset_count;
    _Atomic unsigned end_count;
};

static void must(bool is_true, const char *what)
{
    if (!is_true) {
        perror(what);
        abort();
    }
}

static struct sockaddr_in address_of(const char *host, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port)};
    must(inet_pton(AF_INET, host, &address.sin_addr) == 1, host);
    return address;
}

static int open_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0, "socket");
    return fd;
}

static int listen_at(const char *host, uint16_t port)
{
    struct sockaddr_in address = address_of(host, port);
    int fd = open_socket();
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    must(bind(fd, (struct sockaddr *)&address, sizeof address) == 0, "bind");
    must(listen(fd, 64) == 0, "listen");
    must(fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "fcntl");
    return fd;
}

/* ---- routes ---- */

/* A close with unsent or unread data, or with this, sends RST. */
static void end_route(struct route *route, bool with_reset)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    for (int i = 0; i < 2; i++) {
        if (with_reset) {
            (void)setsockopt(route->fds[i], SOL_SOCKET, SO_LINGER, &now,
                             sizeof now);
        }
        close(route->fds[i]);
        route->fds[i] = -1;
    }
}

static void plan_cut(struct forwarder *forwarder, struct route *route)
{
    route->left_bytes = UINT64_MAX;
    if (forwarder->planned_count >= forwarder->config.cut_count) {
        return;
    }
    forwarder->planned_count++;
    /* One in eight is cut within or soon after the first few frames. */
    uint64_t most = seeded_below(&forwarder->seeded, 8) == 0
                        ? 400
                        : forwarder->config.cut_bytes_max;
    route->left_bytes = 1 + seeded_below(&forwarder->seeded, most);
    route->is_reset_due = seeded_below(&forwarder->seeded, 4) != 0;
}

static void cut(struct forwarder *forwarder, struct route *route)
{
    atomic_fetch_add(route->is_reset_due ? &forwarder->reset_count
                                         : &forwarder->end_count,
                     1);
    end_route(route, route->is_reset_due);
}

/* It has ended by itself before its cut: that is due to another. */
static void lose_route(struct forwarder *forwarder, struct route *route)
{
    if (route->left_bytes != UINT64_MAX) {
        forwarder->planned_count--;
    }
    end_route(route, false);
}

static struct route *free_route(struct forwarder *forwarder)
{
    for (int i = 0; i < ROUTE_COUNT_MAX; i++) {
        if (forwarder->routes[i].fds[0] < 0) {
            return &forwarder->routes[i];
        }
    }
    must(false, "too many connections");
    return NULL;
}

static void accept_at(struct forwarder *forwarder, unsigned port)
{
    int fd = accept4(forwarder->listeners[port], NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    struct sockaddr_in to =
        address_of(forwarder->config.to,
                   (uint16_t)(forwarder->config.to_port_first + port));
    int onward = open_socket();
    if (connect(onward, (struct sockaddr *)&to, sizeof to) != 0) {
        close(onward);
        close(fd);
        return;
    }
    struct route *route = free_route(forwarder);
    *route = (struct route){.fds = {fd, onward}};
    for (int i = 0; i < 2; i++) {
        int on = 1;
        (void)setsockopt(route->fds[i], IPPROTO_TCP, TCP_NODELAY, &on,
                         sizeof on);
        must(fcntl(route->fds[i], F_SETFL, O_NONBLOCK) == 0, "fcntl");
    }
    plan_cut(forwarder, route);
}

/* ---- forwarding ---- */

/* False when the connection has ended. */
static bool read_some(struct route *route, int from)
{
    struct stream *stream = &route->streams[from];
    ssize_t got = read(route->fds[from], stream->buffer, BUFFER_BYTES);
    if (got > 0) {
        stream->length = (size_t)got;
        stream->written = 0;
        return true;
    }
    return got < 0 && errno == EAGAIN;
}

/* No more than until the cut, so that it falls in the middle. */
static bool write_some(struct route *route, int from)
{
    struct stream *stream = &route->streams[from];
    size_t length = stream->length - stream->written;
    if (length > route->left_bytes) {
        length = (size_t)route->left_bytes;
    }
    ssize_t put = send(route->fds[1 - from], stream->buffer + stream->written,
                       length, MSG_NOSIGNAL);
    if (put < 0) {
        return errno == EAGAIN;
    }
    stream->written += (size_t)put;
    if (stream->written == stream->length) {
        stream->length = 0;
    }
    if (route->left_bytes != UINT64_MAX) {
        route->left_bytes -= (uint64_t)put;
    }
    return true;
}

/* Move what can be moved. */
static void serve_route(struct forwarder *forwarder,
                        struct route *route,
                        const struct pollfd polled[static 2])
{
    for (int i = 0; i < 2 && route->fds[0] >= 0; i++) {
        bool is_good = true;
        if (polled[i].revents & (POLLIN | POLLHUP | POLLERR) &&
            route->streams[i].length == 0) {
            is_good = read_some(route, i);
        }
        if (is_good && route->streams[i].length > 0) {
            is_good = write_some(route, i);
        }
        if (route->left_bytes == 0) {
            cut(forwarder, route);
        } else if (!is_good) {
            lose_route(forwarder, route);
        }
    }
}

static void serve_routes(struct forwarder *forwarder,
                         const struct pollfd *polled)
{
    bool must_reset = atomic_exchange(&forwarder->must_reset, false);
    for (int i = 0; i < ROUTE_COUNT_MAX; i++) {
        struct route *route = &forwarder->routes[i];
        if (route->fds[0] < 0) {
            continue;
        }
        if (must_reset) {
            route->is_reset_due = true;
            cut(forwarder, route);
        } else {
            serve_route(forwarder, route, polled + 2 * i);
        }
    }
}

static void prepare(const struct forwarder *forwarder, struct pollfd *polled)
{
    for (int i = 0; i < ROUTE_COUNT_MAX; i++) {
        const struct route *route = &forwarder->routes[i];
        for (int side = 0; side < 2; side++) {
            bool is_full = route->streams[side].length > 0;
            bool waits = route->streams[1 - side].length > 0;
            polled[2 * i + side] =
                (struct pollfd){.fd = is_full && !waits ? -1 : route->fds[side],
                                .events = (short)((is_full ? 0 : POLLIN) |
                                                  (waits ? POLLOUT : 0))};
        }
    }
    for (unsigned i = 0; i < forwarder->config.port_count; i++) {
        polled[2 * ROUTE_COUNT_MAX + i] =
            (struct pollfd){.fd = forwarder->listeners[i], .events = POLLIN};
    }
}

static void *run(void *argument)
{
    struct forwarder *forwarder = argument;
    struct pollfd polled[2 * ROUTE_COUNT_MAX + PORT_COUNT_MAX] = {{0}};
    unsigned port_count = forwarder->config.port_count;
    while (!atomic_load(&forwarder->is_over)) {
        prepare(forwarder, polled);
        if (poll(polled, 2 * ROUTE_COUNT_MAX + port_count, POLL_MS) < 0) {
            continue;
        }
        serve_routes(forwarder, polled);
        for (unsigned i = 0; i < port_count; i++) {
            if (polled[2 * ROUTE_COUNT_MAX + i].revents) {
                accept_at(forwarder, i);
            }
        }
    }
    return NULL;
}

/* ---- life ---- */

struct forwarder *forwarder_open(const struct forwarder_config *config)
{
    struct forwarder *forwarder = calloc(1, sizeof *forwarder);
    must(forwarder && config->port_count <= PORT_COUNT_MAX, "forwarder");
    forwarder->config = *config;
    forwarder->seeded.state = config->seed;
    for (int i = 0; i < ROUTE_COUNT_MAX; i++) {
        forwarder->routes[i].fds[0] = -1;
        forwarder->routes[i].fds[1] = -1;
    }
    for (unsigned i = 0; i < config->port_count; i++) {
        forwarder->listeners[i] =
            listen_at(config->host, (uint16_t)(config->port_first + i));
    }
    must(pthread_create(&forwarder->thread, NULL, run, forwarder) == 0,
         "pthread_create");
    return forwarder;
}

void forwarder_close(struct forwarder **forwarder)
{
    if (!*forwarder) {
        return;
    }
    struct forwarder *old = *forwarder;
    atomic_store(&old->is_over, true);
    (void)pthread_join(old->thread, NULL);
    for (int i = 0; i < ROUTE_COUNT_MAX; i++) {
        if (old->routes[i].fds[0] >= 0) {
            end_route(&old->routes[i], false);
        }
    }
    for (unsigned i = 0; i < old->config.port_count; i++) {
        close(old->listeners[i]);
    }
    free(old);
    *forwarder = NULL;
}

unsigned forwarder_reset_count(const struct forwarder *forwarder)
{
    return atomic_load(&forwarder->reset_count);
}

unsigned forwarder_end_count(const struct forwarder *forwarder)
{
    return atomic_load(&forwarder->end_count);
}

void forwarder_reset_all(struct forwarder *forwarder)
{
    atomic_store(&forwarder->must_reset, true);
}
