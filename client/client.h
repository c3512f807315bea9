/*
 * A program that is not a member of the cluster: the CLI, or one that asks.
 *
 * It links with one of the nodes that it is told: it begins with the first and
 * takes up the next when one refuses, or after CLIENT_PATIENCE_MS while it goes
 * on trying those before. When a link is lost it begins with the one behind
 * that. It goes on to another node, too, when the one that it is linked with
 * has no quorum, and stays if no other lets it in within CLIENT_SEARCH_MS.
 * A client has a thread of its own for its links. client_ask() is for one
 * thread at a time, and waits; client_start() is for the links' thread, and
 * does not.
 */

#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/log.h"
#include "base/reactor.h"
#include "config/identity.h"
#include "config/trust.h"
#include "transport/calls.h"

#include <stdint.h>

#define CLIENT_PATIENCE_MS 300
#define CLIENT_SEARCH_MS 1000
#define CLIENT_CALLS_MAX 256 /* at a time; beyond: ERR_FULL */

struct client;

struct client_node {
    const char *name;
    const char *door; /* URL */
};

struct client_config {
    const struct identity *identity; /* shared; role client, operator or
                                        observer */
    struct trust *trust;             /* shared */
    const struct client_node *nodes; /* in the order in which to try; copied */
    uint32_t node_count;
    uint32_t connect_ms; /* for all attempts together */
    struct log *log;     /* may be NULL */
};

/*
 * Link with a node. Blocks.
 *
 * ERR_UNREACHABLE   none of them answers: `why` has each and why not
 * ERR_REVOKED, ERR_EXPIRED, ERR_DENIED ...   what a node says of us, when none
 *                   lets us in; `why` as above
 * ERR_INVALID       no nodes, or a name or URL is not valid: `why` says which
 * ERR_DENIED        the identity is a node's
 * ERR_MEMORY, ERR_LIMIT
 */
FALLIBLE client_open(struct client **out,
                     const struct client_config *config,
                     struct err_detail *why);
void client_close(struct client **client);

/* The node that it is linked with, or was last. Valid until the next call. */
const char *client_node_name(const struct client *client);

/*
 * Ask a service of that node (transport/calls.h). Blocks, at most
 * `timeout_ms`. `*answer` is freed by the caller with free(); NULL when
 * there is none; with an error it may hold what the node says about it.
 *
 * A link that is lost is made anew, with another node if need be. What was
 * asked on it is not asked again: ERR_UNCERTAIN. A node that ends says so
 * (ERR_NOT_LEADER), having done nothing: then another one is asked. So it is,
 * each once, when a node has no quorum (ERR_NO_QUORUM), as far as time is left.
 *
 * ERR_UNREACHABLE, ERR_REVOKED ...   it was not asked: as client_open()
 * ERR_TIMEOUT, others                as calls_ask() and what it tells
 */
FALLIBLE client_ask(struct client *client,
                    uint8_t service,
                    struct bytes question,
                    uint32_t timeout_ms,
                    uint8_t **answer,
                    size_t *answer_length);

/* ---- many questions at a time ---- */

/* What follows is for this thread alone, from within its events and timers. */
struct reactor *client_reactor(const struct client *client);

/*
 * A question under way. Embedded in its asker's object, which must live, and
 * not be started again, until `done` was called; all zero, but for the first
 * group, before.
 */
struct client_call {
    /* Once, never within client_start(): as client_ask() says, but ERR_CLOSED
     * when the client is closed. `answer` is borrowed. */
    void (*done)(struct client_call *call, enum err err, struct bytes answer);
    uint8_t service;
    struct bytes question; /* borrowed until `done` */
    uint64_t until_ns;     /* of the reactor's clock */

    /* Of client.c. */
    struct client *client;
    struct client_call *next;
    struct client_call *previous;
    uint64_t number;
    uint8_t state;
    bool is_for_link;         /* it wants the link alone */
    uint32_t asked_at;        /* index of a node */
    uint32_t no_quorum_count; /* nodes that have said so; `kept` is the last
                                 one's answer until there is a better one */
    enum err err;             /* of one that has failed, until it is told */
    uint8_t *kept;
    size_t kept_bytes;
    struct timer timer; /* while it waits for a link */
    struct call call;
};

void client_start(struct client *client, struct client_call *call);

/* `done` will not be called. Nothing happens when it is not under way. */
void client_cancel(struct client *client, struct client_call *call);

#endif
