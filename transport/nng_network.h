/*
 * The network table of base/network.h over NNG.
 *
 * Owned by whoever opens it; its sockets belong to their reactors. NNG's
 * threads only post to a reactor's inbox.
 */

#ifndef TRANSPORT_NNG_NETWORK_H
#define TRANSPORT_NNG_NETWORK_H

#include "base/network.h"

/* tcp, ipc, ws and inproc URLs. Has no state of its own; any thread. */
const struct network *nng_network(void);

#endif
