/*
 * The network table of base/network.h over NNG's sockets (pair0, rep0, req0,
 * bus0) with its scalability protocols.
 *
 * Used for inproc alone. What is dialled over tcp, ipc and ws goes through
 * transport/nng_stream.c, for the reason that stands there.
 */

#ifndef TRANSPORT_NNG_SP_H
#define TRANSPORT_NNG_SP_H

#include "base/network.h"

/* Has no state of its own; any thread. */
const struct network *nng_sp(void);

#endif
