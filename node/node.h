/*
 * A process of the cluster: opens all layers in order, and closes them in
 * reverse.
 *
 *     settings, keys, links (node/links.h) -> storage -> groups and view
 *     (shard/host.h) -> router -> control -> HTTP
 *
 * Owned by main, whose thread calls these; what happens, happens on the
 * reactor of the links.
 */

#ifndef NODE_NODE_H
#define NODE_NODE_H

#include "base/err.h"
#include "base/log.h"
#include "base/reactor.h"
#include "config/problems.h"
#include "node/workers.h"

#include <stdbool.h>

struct host;
struct node;
struct task_service;
struct tasks;

struct node_events {
    void *context;
    /* On the reactor's thread: it serves (once); it has ended by itself, or as
     * it was asked to: call node_close(). */
    void (*on_ready)(void *context);
    void (*on_ended)(void *context);
};

struct node_options {
    const char *config_path;
    const char *name; /* NULL: what the file's `node.name` says */
    struct log_sink log_sink;
    struct node_events events;
    bool may_found;     /* false: only joins */
    bool recovers_meta; /* see host_config */
    /* C functions that pools may name; they outlive the node. */
    const struct workers_function *functions;
    uint32_t function_count;
    const char *runner; /* see struct workers_config */
};

/*
 * Open everything. Nothing runs before node_start(). On failure `why` says
 * what and where; when it is the configuration, `problems` has all of it (and
 * `why` only the first).
 *
 * what links_open(), storage_open(), host_open() and gateway_open() say
 */
FALLIBLE node_open(struct node **out,
                   const struct node_options *options,
                   struct problems *problems,
                   struct err_detail *why);

/* The threads begin. ERR_MEMORY, ERR_LIMIT */
FALLIBLE node_start(struct node *node);

/* Hand over what is led here, then end: on_ended() follows, after
 * `within_ms` at the latest. Any thread; once. */
void node_leave(struct node *node, uint32_t within_ms);

/* Whether it serves; `why` says why not. Any thread. */
bool node_is_ready(const struct node *node, struct err_detail *why);

/* For who asks from within this process, on the thread of this reactor: it
 * turns from node_start() until node_close(). */
struct reactor *node_reactor(const struct node *node);
struct task_service *node_task_service(const struct node *node);
struct host *node_host(const struct node *node);
struct tasks *node_tasks(const struct node *node);

/* Read again what can change while it runs: keys, revocations. Any thread. */
void node_reload(struct node *node);

/* The threads have ended when it returns. */
void node_close(struct node **node);

/* Why it ended by itself: ERR_NONE when it was asked to. After on_ended(). */
enum err node_failure(const struct node *node, struct err_detail *why);

#endif
