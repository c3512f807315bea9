/*
 * What people ask of a running cluster, and have done in it: HOST_SERVICE_ADMIN
 * of any node. docs/control.md has all verbs with their arguments and answers.
 *
 * A question is a MessagePack map {"v": 1, "verb": "shard.map", "args": {...}},
 * an answer a map {"v": 1, "node": "alpha", "view": 17, ...}; with an error it
 * is a map {"v": 1, "why": "..."}. What only the leader of the meta group knows
 * is asked there by the node itself.
 *
 * Operators may do everything, observers and clients may look. What changes
 * something is written to the audit journal with who did it.
 *
 * Owned by the links' reactor.
 */

#ifndef NODE_CONTROL_H
#define NODE_CONTROL_H

#include "shard/router.h"

struct agent;
struct control;
struct dispatcher;
struct metrics;
struct posix_log_tail;
struct workers;

struct control_config {
    struct host *host;
    struct router *router;
    struct calls *calls;
    struct endpoint *endpoint;
    const struct settings *settings;
    const struct clock *clock;
    struct log *log;
    struct posix_log_tail *log_tail;
    const struct metrics *metrics;
    const struct dispatcher *dispatcher; /* of the coordinators here */
    const struct agent *agent;           /* of the workers here: */
    const struct workers *workers;       /* NULL: there are none */
};

/* Serves from now on. ERR_MEMORY */
FALLIBLE control_open(struct control **out,
                      const struct control_config *config);

/* Before the router and the host. */
void control_close(struct control **control);

#endif
