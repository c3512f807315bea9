/*
 * Forwards TCP connections, and cuts them on its own: after a number of bytes
 * that a seed decides, in the middle of whatever goes by.
 *
 * A thread of its own. Any thread may call.
 */

#ifndef TESTS_PROCESS_FORWARDER_H
#define TESTS_PROCESS_FORWARDER_H

#include <stdbool.h>
#include <stdint.h>

struct forwarder;

struct forwarder_config {
    const char *host; /* listens here */
    const char *to;   /* and connects there */
    uint16_t port_first;
    uint16_t to_port_first;
    unsigned port_count;
    uint64_t seed;
    unsigned cut_count;     /* connections to be cut; then no more */
    uint64_t cut_bytes_max; /* forwarded before that, both ways */
};

/* What cannot be done ends the process. */
struct forwarder *forwarder_open(const struct forwarder_config *config);
void forwarder_close(struct forwarder **forwarder);

/* Connections cut so far: by a reset (what is under way is lost), or by an
 * orderly end of both directions. */
unsigned forwarder_reset_count(const struct forwarder *forwarder);
unsigned forwarder_end_count(const struct forwarder *forwarder);

/* Reset soon all connections that are there. */
void forwarder_reset_all(struct forwarder *forwarder);

#endif
