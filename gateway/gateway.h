/*
 * The node's HTTP port: health and metrics, for the tools that watch it.
 *
 * HTTP/1.0 and 1.1, GET and HEAD, no TLS, no password: see gateway/answer.h
 * for what is served. It runs on a thread of its own, "gateway", over
 * libwebsockets. Owned by whoever opens it.
 *
 * The answers' source is asked ON THE GATEWAY'S THREAD, so that a reactor that
 * hangs does not keep the port from saying so. Its functions must be
 * thread-safe, and must neither wait nor ask a reactor: they answer from
 * atomics and from the registry of metrics.
 *
 * libwebsockets has state of its process: when a gateway is opened, SIGPIPE is
 * set to be ignored, and what the library logs is switched off.
 */

#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "base/err.h"
#include "base/log.h"
#include "gateway/answer.h"

#include <stdint.h>

#define GATEWAY_CONNECTION_COUNT_MAX 4096
#define GATEWAY_HEADER_BYTES_MAX 4096 /* of one request */

struct gateway;

struct gateway_config {
    const char *host;              /* a name or an address of this machine */
    uint16_t port;                 /* 0: the operating system chooses */
    uint32_t connection_count_max; /* 1 .. GATEWAY_CONNECTION_COUNT_MAX; when
                                    * there are more, the oldest give way */
    uint64_t timeout_ms;           /* of a connection, from its beginning or
                                    * its last answer to its next one's end */
    struct answer_source source;
    struct log *log;
};

/*
 * Listen and begin to serve. On failure `why` says at which address.
 *
 * what listener_open() says; ERR_LIMIT also: no more threads
 */
FALLIBLE gateway_open(struct gateway **out,
                      const struct gateway_config *config,
                      struct err_detail *why);

/* The port that it listens on. Any thread. */
uint16_t gateway_port(const struct gateway *gateway);

/* Connections are cut, and the source is not asked any more, when it
 * returns. */
void gateway_close(struct gateway **gateway);

#endif
