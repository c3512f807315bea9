#include "gateway/listener.h"

#include "base/scope.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 128
#define PORT_TEXT_BYTES 8

static void addresses_close(struct addrinfo **addresses)
{
    if (*addresses) {
        freeaddrinfo(*addresses);
        *addresses = NULL;
    }
}

static enum err err_from_socket(int code)
{
    switch (code) {
    case EADDRINUSE:
        return ERR_IN_USE;
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
        return ERR_INVALID;
    case EMFILE:
    case ENFILE:
        return ERR_LIMIT;
    default:
        return err_from_errno(code);
    }
}

static enum err listen_at(int *out, const struct addrinfo *address)
{
    scoped(listener_close) int listener =
        socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
               address->ai_protocol);
    if (listener < 0) {
        return err_from_socket(errno);
    }
    /* A restarted node gets its port back at once. */
    int yes = 1;
    if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) ||
        bind(listener, address->ai_addr, address->ai_addrlen) ||
        listen(listener, BACKLOG)) {
        return err_from_socket(errno);
    }
    *out = listener;
    listener = -1;
    return ERR_NONE;
}

static enum err resolve(struct addrinfo **out,
                        const struct listener_address *address,
                        struct err_detail *why)
{
    char port[PORT_TEXT_BYTES];
    (void)snprintf(port, sizeof port, "%u", address->port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int code = getaddrinfo(address->host, port, &hints, out);
    if (code == 0) {
        return ERR_NONE;
    }
    err_explain(why, "HTTP on %s: %s", address->host, gai_strerror(code));
    return code == EAI_MEMORY ? ERR_MEMORY : ERR_INVALID;
}

enum err listener_open(int *out,
                       const struct listener_address *address,
                       struct err_detail *why)
{
    scoped(addresses_close) struct addrinfo *addresses = NULL;
    enum err err = resolve(&addresses, address, why);
    if (err) {
        return err;
    }
    /* The first counts: a second would be another place than was asked for. */
    err = listen_at(out, addresses);
    if (err == ERR_INVALID) {
        err_explain(why, "HTTP on %s: not an address of this machine",
                    address->host);
    } else if (err) {
        err_explain(why, "HTTP on %s, port %u: %s", address->host,
                    address->port, err_text(err));
    }
    return err;
}

void listener_close(int *listener)
{
    if (*listener >= 0) {
        (void)close(*listener);
        *listener = -1;
    }
}

uint16_t listener_port(int listener)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    if (getsockname(listener, (struct sockaddr *)&address, &length) != 0) {
        return 0;
    }
    in_port_t port = address.ss_family == AF_INET6
                         ? ((struct sockaddr_in6 *)&address)->sin6_port
                         : ((struct sockaddr_in *)&address)->sin_port;
    return ntohs(port);
}

enum err listener_accept(int *out, int listener)
{
    int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (accepted >= 0) {
        /* An answer is sent in two parts: the second shall not wait for the
         * peer's delayed acknowledgement of the first (40 ms). */
        int yes = 1;
        (void)setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        *out = accepted;
        return ERR_NONE;
    }
    /* All else is of one connection, which is gone (accept(2), "Error
     * handling"), or says that none is there. */
    bool is_limit = errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
                    errno == ENOMEM;
    return is_limit ? ERR_LIMIT : ERR_NOT_FOUND;
}

void listener_cut(int connection)
{
    (void)shutdown(connection, SHUT_RDWR);
}
