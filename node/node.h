/*
 * A process of the cluster: opens the layers in order, and closes them in
 * reverse.
 *
 * At present the transport is the highest layer. Owned by main; what runs on
 * the links' reactor says so.
 */

#ifndef NODE_NODE_H
#define NODE_NODE_H

#include "base/err.h"
#include "base/log.h"
#include "config/problems.h"
#include "config/settings.h"
#include "transport/endpoint.h"

struct node;

struct node_options {
    const char *config_path;
    const char *name; /* NULL: what the file's `node.name` says */
    struct log_sink log_sink;
    struct endpoint_events events; /* on the links' reactor */
};

/*
 * Read the configuration and the keys, check the limits of the operating
 * system, open the door, the bus and a link to every other node of the file.
 * Nothing runs before node_start().
 *
 * On failure `why` says what and where; when it is the configuration,
 * `problems` has all of it (and `why` only the first).
 *
 * ERR_INVALID   the configuration, or it does not name this node
 * ERR_LIMIT     file descriptors or lockable memory
 * ERR_IN_USE    one of our addresses
 * what identity_open() and trust_open() say
 */
FALLIBLE node_open(struct node **out,
                   const struct node_options *options,
                   struct problems *problems,
                   struct err_detail *why);

/* The threads of the reactors begin. ERR_MEMORY, ERR_LIMIT */
FALLIBLE node_start(struct node *node);

/* The threads have ended when it returns. */
void node_stop(struct node *node);

/* Stops it if need be. */
void node_close(struct node **node);

/*
 * Read the keys folder again, as a running node does by itself once a minute,
 * and use what is new there: the trust (links
 * that it does not bear are cut) and our certificate (links stay). On the
 * links' reactor, or while the node is stopped. On failure what was in use
 * stays so.
 *
 * what identity_open(), trust_open() and endpoint_trust_set() say
 */
FALLIBLE node_reload(struct node *node, struct err_detail *why);

const struct settings *node_settings(const struct node *node);
struct log *node_log(const struct node *node);

/* Use these on the links' reactor, or while the node is stopped. */
struct endpoint *node_endpoint(const struct node *node);
struct reactor *node_reactor(const struct node *node);

#endif
