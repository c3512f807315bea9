/*
 * Stands in for link_zmq.c when libzmq is not there at build time.
 */

#include "bench/link_peer.h"

#define WHY "troupe-bench was built without libzmq (libzmq3-dev)"

const struct link_peer link_zmq = {.name = "zmq-pair", .absent = WHY};
const struct link_peer link_zmq_curve = {.name = "zmq-pair-curve",
                                         .absent = WHY};
