/*
 * The network table of base/network.h over NNG's byte streams: pair, door and
 * knock for tcp, ipc and ws. Not the bus.
 */

#ifndef TRANSPORT_NNG_STREAM_H
#define TRANSPORT_NNG_STREAM_H

#include "base/network.h"

/* Has no state of its own; any thread. */
const struct network *nng_stream_network(void);

#endif
