/*
 * The network table of base/network.h over NNG's byte streams: for tcp, ipc
 * and ws.
 */

#ifndef TRANSPORT_NNG_STREAM_H
#define TRANSPORT_NNG_STREAM_H

#include "base/network.h"

/* Has no state of its own; any thread. */
const struct network *nng_stream_network(void);

#endif
