/*
 * Questions and answers between processes, on one channel of an endpoint.
 *
 * Whoever asks is answered once: with the answer, or with why there is none.
 * Questions to ourselves (`peer` is NULL) take the same way, without a link.
 *
 * Owned by the links' reactor. Format: docs/transport.md.
 */

#ifndef TRANSPORT_CALLS_H
#define TRANSPORT_CALLS_H

#include "transport/endpoint.h"

#define CALLS_SERVICE_COUNT 32 /* services are 0 .. 31 */
#define CALLS_QUESTION_BYTES_MAX (4u << 20)
#define CALLS_REPLY_BYTES_MAX (4u << 20)

/* The one service that clients have as well: the process that asks is about to
 * end. The answer says that nothing is under way with it any more. */
#define CALLS_SERVICE_LEAVING 6

struct calls;

/*
 * A question under way. Embedded in its asker's object, which must live, and
 * not be asked again, until `done` was called. All zero, but for `done`, before
 * it is asked for the first time.
 */
struct call {
    /*
     * Once, never within calls_ask(). `answer` is borrowed; with an error it
     * may hold what the other says about it (see asked_answer()).
     *
     * ERR_TIMEOUT       no answer in time: it may have been done or not
     * ERR_UNCERTAIN     the link broke, or the process ended, meanwhile: the
     *                   same
     * ERR_NOT_FOUND     the other has no such service
     * ERR_CLOSED        calls_close()
     * ERR_VERSION       the other reads only another format
     * others            what the other says
     */
    void (*done)(struct call *call, enum err err, struct bytes answer);

    /* Of calls.c. */
    struct calls *calls; /* NULL: not under way */
    struct peer *peer;
    uint64_t id;
    struct timer timer;
    struct call *next;
    struct call *previous;
};

/* A question that somebody waits for. */
struct asked;

/*
 * Answer with asked_answer(), now or later; also after calls_close(), when it
 * only frees. `question` is borrowed. Never within calls_ask().
 */
typedef void calls_handler(void *context,
                           struct asked *asked,
                           struct bytes question);

struct calls_config {
    struct endpoint *endpoint;
    struct reactor *reactor;
    struct log *log;
    uint8_t channel;
    uint32_t asking_max; /* of ours under way */
    uint32_t asked_max;  /* of others', over all peers: then they hear
                            ERR_BUSY; half of it is for nodes alone */
};

/* The numbers and the channel. */
void calls_config_defaults(struct calls_config *config);

/* ERR_MEMORY */
FALLIBLE calls_open(struct calls **out, const struct calls_config *config);

/* Tells all who asked, and forgets who waits for us. Before the endpoint is
 * closed; not from within `done` or a handler. */
void calls_close(struct calls **calls);

/* To be told of endpoint_events. */
void calls_on_change(struct calls *calls,
                     struct peer *peer,
                     enum peer_change change);

/* Before endpoint_peer_remove(): PEER_GONE is said for others alone. Questions
 * to it end with ERR_UNCERTAIN. */
void calls_forget_peer(struct calls *calls, struct peer *peer);

/*
 * Ask. `question` is copied. On an error `done` is not called.
 *
 * ERR_UNREACHABLE   the link is down
 * ERR_FULL          asking_max, or the link's window
 * ERR_TOO_LARGE     CALLS_QUESTION_BYTES_MAX, or the link's longest message
 * ERR_CLOSED        calls_close() has begun
 * ERR_MEMORY
 */
FALLIBLE calls_ask(struct calls *calls,
                   struct peer *peer,
                   uint8_t service,
                   struct bytes question,
                   uint32_t timeout_ms,
                   struct call *call);

/* `done` will not be called. Nothing happens when it is not under way. */
void calls_cancel(struct calls *calls, struct call *call);

/* Questions for `service` go to `handler`; NULL: there is no such service.
 * Nodes always may ask; others only when `others_may`: the handler looks at
 * asked_certificate(). */
void calls_serve(struct calls *calls,
                 uint8_t service,
                 calls_handler *handler,
                 void *context,
                 bool others_may);

/*
 * Answer; frees it and nulls the pointer. `answer` is copied; with an error it
 * should say more about that error, in whatever form the service has. One that
 * is longer than CALLS_REPLY_BYTES_MAX becomes ERR_TOO_LARGE. An answer to one
 * who has gone is counted and dropped.
 */
void asked_answer(struct asked **asked, enum err err, struct bytes answer);

/* Who asks; NULL: we do, or it has gone. */
struct peer *asked_peer(const struct asked *asked);

/* Of who asked, at that time; NULL: we do. */
const struct certificate *asked_certificate(const struct asked *asked);

/* When nobody will wait any more, in ns of the clock. */
uint64_t asked_until_ns(const struct asked *asked);

struct calls_stats {
    uint64_t asked;     /* by us */
    uint64_t timed_out; /* of them */
    uint64_t broken;    /* of them, by a link or a process */
    uint64_t served;    /* questions of others, and of ours to ourselves */
    uint64_t refused;   /* of them: too many, no such service, not allowed */
    uint64_t late;      /* answers for which nobody waited any more */
    uint64_t unsent;    /* answers that the link did not take */
    uint64_t malformed;
};
const struct calls_stats *calls_stats(const struct calls *calls);

/* What the channels of a node are for. */
enum channel {
    CHANNEL_RAFT = 1,
    CHANNEL_CALLS = 2,
    CHANNEL_TASKS = 3,
};

#endif
