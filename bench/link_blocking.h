/*
 * The jobs of the suite `link` over a library whose calls block: loops that
 * are the same for all such peers.
 */

#ifndef BENCH_LINK_BLOCKING_H
#define BENCH_LINK_BLOCKING_H

#include "base/bytes.h"
#include "bench/link_peer.h"

struct link_blocking;

/*
 * What the library does. Sockets are told apart by their links' numbers. Each
 * call that fails says why in the report.
 */
struct link_blocking_calls {
    /* Open the end of a link; it stays open until the process ends. */
    enum err (*open)(struct link_blocking *end, uint32_t link);

    /* Send a copy, as a program would that has its data elsewhere. */
    enum err (*send)(struct link_blocking *end,
                     uint32_t link,
                     struct bytes message);

    /* Wait for a message; `*out` is valid until it is released. */
    enum err (*receive)(struct link_blocking *end,
                        uint32_t link,
                        struct bytes *out);
    void (*release)(struct link_blocking *end);

    /* Send what was received back, without a copy; this releases it. */
    enum err (*send_back)(struct link_blocking *end, uint32_t link);
};

/* One end of all links of a job. Embedded in the peer's own. */
struct link_blocking {
    const struct link_blocking_calls *calls;
    const struct link_job *job;
    struct link_report *report;
};

/* How many links there are at most: numbers below this are opened. */
uint32_t link_blocking_count(const struct link_job *job);

/* The same as the two functions of a struct link_peer. */
FALLIBLE link_blocking_serve(struct link_blocking *end);
FALLIBLE link_blocking_drive(struct link_blocking *end);

#endif
