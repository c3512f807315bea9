/*
 * A program that is one of the cluster's nodes, as trouped is, and runs tasks
 * by its own C functions.
 */

#ifndef TROUPE_NODE_H
#define TROUPE_NODE_H

#include "troupe/task.h"
#include "troupe/troupe.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The C function that runs the tasks of pools that name it: of those whose
 * `handler` is "function" and whose `function` is `name`. The cluster has one
 * definition of a pool, its nodes may have different programs: a node without
 * that function runs none of its tasks.
 */
struct troupe_handler {
    const char *name; /* a-z 0-9 . _ -, beginning with a letter or digit */
    troupe_task_handler *run;
    /* When the cluster has no pool of that name, this node adds one: with so
     * many workers on each node (0: 4), and kept on disks or not. */
    unsigned workers;
    int is_volatile;
};

struct troupe_node_options {
    /* The cluster's file. NULL: ./cluster.yaml, else /etc/troupe/cluster.yaml.
     * Not with `folder`. */
    const char *config;
    const char *node; /* which of the file's; NULL: what it says itself */
    /* Instead: a cluster of this process alone, whose keys and data are in
     * this folder. It is made when it is not there. */
    const char *folder;
    int joins; /* never found a cluster, only join one */

    const struct troupe_handler *handlers; /* copied, with their names */
    size_t handler_count;

    unsigned ready_ms; /* until it serves; 0: 30 000 */
    unsigned leave_ms; /* to hand over what it leads; 0: 10 000 */
    int logs;          /* to standard error, as trouped does; 0: nothing */

    /* On a thread of the library's, once: the node has ended by itself, since
     * its disk has failed or memory is short. All that is left to do is
     * troupe_close(), not from within. May be NULL. */
    void (*on_ended)(void *context, enum troupe_error error, const char *why);
    void *context;
};

/*
 * Start the node, and wait until it serves. Threads of the library's begin.
 * It sets no signal handlers; SIGPIPE ought to be ignored. `why` may be NULL.
 *
 * TROUPE_ERR_INVALID     the configuration or a handler: `why` has the first
 *                        problem
 * TROUPE_ERR_IN_USE      an address; TROUPE_ERR_BUSY: the data folder
 * TROUPE_ERR_TIMEOUT     it does not serve within `ready_ms`: `why` says what
 *                        it waits for. It is closed again
 * what troupe_client_open() says about files
 */
TROUPE_API enum troupe_error troupe_node_open(
    struct troupe **out,
    const struct troupe_node_options *options,
    struct troupe_why *why);

#ifdef __cplusplus
}
#endif

#endif
