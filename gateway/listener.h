/*
 * A TCP socket that listens, and the connections that it takes in.
 *
 * It is ours and not libwebsockets', which does not say why a socket could
 * not be had, and waits in silence for an address that is not there. Owned by
 * whoever opens it; one thread at a time.
 */

#ifndef GATEWAY_LISTENER_H
#define GATEWAY_LISTENER_H

#include "base/err.h"

#include <stdint.h>

struct listener_address {
    const char *host; /* a name or an address, IPv6 without brackets */
    uint16_t port;    /* 0: the operating system chooses */
};

/*
 * Listen there, without blocking. `*out` is a file descriptor for
 * listener_close(). On failure `why` says at which address.
 *
 * ERR_INVALID    the host is unknown, or not an address of this machine
 * ERR_IN_USE     the port is taken
 * ERR_ACCESS     ports below 1024 are for root
 * ERR_LIMIT      file descriptors
 * ERR_MEMORY, ERR_IO
 */
FALLIBLE listener_open(int *out,
                       const struct listener_address *address,
                       struct err_detail *why);

/* Accepts -1; sets `*listener` to -1. */
void listener_close(int *listener);

/* The port that it listens on; 0: it cannot be asked. */
uint16_t listener_port(int listener);

/*
 * Take the next connection, without blocking.
 *
 * ERR_NOT_FOUND   none waits
 * ERR_LIMIT       one waits, and there is no file descriptor for it
 */
FALLIBLE listener_accept(int *out, int listener);

/* End a connection at once, both ways, and leave its descriptor to its
 * owner, who will find it closed. */
void listener_cut(int connection);

#endif
