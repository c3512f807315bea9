/*
 * The lower half of a node: its settings, its log, its keys, its door and its
 * links, and the threads that they run on.
 *
 * Owned by main; what runs on the links' reactor says so.
 */

#ifndef NODE_LINKS_H
#define NODE_LINKS_H

#include "base/err.h"
#include "base/log.h"
#include "config/problems.h"
#include "config/settings.h"
#include "transport/endpoint.h"

struct links;
struct posix_log_tail;

struct links_options {
    const char *config_path;
    const char *name; /* NULL: what the file's `node.name` says */
    struct log_sink log_sink;
    struct endpoint_events events; /* on the links' reactor */
    bool knows_nobody; /* no link to the nodes of the file: the caller's */
};

/*
 * Read the configuration (what the cluster has agreed on instead, once this
 * node is a member: node/agreed.h) and the keys, check the limits of the
 * operating system, open the door, the bus and a link to every other node of
 * the file. Nothing runs before links_start().
 *
 * On failure `why` says what and where; when it is the configuration,
 * `problems` has all of it (and `why` only the first).
 *
 * ERR_INVALID   the configuration, or it does not name this node
 * ERR_LIMIT     file descriptors or lockable memory
 * ERR_IN_USE    one of our addresses
 * what identity_open() and trust_open() say
 */
FALLIBLE links_open(struct links **out,
                    const struct links_options *options,
                    struct problems *problems,
                    struct err_detail *why);

/*
 * Only read the configuration and the keys and check the limits of the
 * operating system, as links_open() would, with the same errors: no address is
 * taken and nothing is written, so that it can be done beside a running node.
 */
FALLIBLE links_check(const struct links_options *options,
                     struct problems *problems,
                     struct err_detail *why);

/* The threads of the reactors begin. ERR_MEMORY, ERR_LIMIT */
FALLIBLE links_start(struct links *node);

/* The threads have ended when it returns. */
void links_stop(struct links *node);

/* Stops it if need be. */
void links_close(struct links **node);

/*
 * Read the keys folder again, as a running node does by itself once a minute,
 * and use what is new there: the trust (links
 * that it does not bear are cut) and our certificate (links stay). On the
 * links' reactor, or while the node is stopped. On failure what was in use
 * stays so.
 *
 * what identity_open(), trust_open() and endpoint_trust_set() say
 */
FALLIBLE links_reload(struct links *node, struct err_detail *why);

const struct settings *links_settings(const struct links *node);
struct log *links_log(const struct links *node);
struct posix_log_tail *links_log_tail(const struct links *node);

/* Use these on the links' reactor, or while the node is stopped. */
struct endpoint *links_endpoint(const struct links *node);
struct reactor *links_reactor(const struct links *node);

#endif
