/*
 * Asking a door of which only the address is known whose it is: the first half
 * of a knock. The door proves who it is, as to everybody; we say nothing of
 * ourselves, and no session begins.
 *
 * Owned by the links' reactor; opened by endpoint_probe().
 */

#ifndef TRANSPORT_PROBE_H
#define TRANSPORT_PROBE_H

#include "base/err.h"
#include "transport/peer.h"

/* See endpoint_probe(); probe_close() is in transport/endpoint.h, too. `home`
 * outlives it. */
FALLIBLE probe_open(struct probe **out,
                    const struct peer_home *home,
                    const char *url,
                    probe_done *done,
                    void *context);

#endif
