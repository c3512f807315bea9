/*
 * A command's talk with a running cluster: who it is for whom, the link, and
 * questions to HOST_SERVICE_ADMIN (docs/control.md).
 *
 * One thread; one per command.
 */

#ifndef ADMIN_REMOTE_H
#define ADMIN_REMOTE_H

#include "admin/command.h"
#include "admin/context.h"
#include "base/bytes.h"
#include "base/err.h"

#include <jansson.h>

/* The flags of every verb that talks to a cluster. */
#define REMOTE_FLAGS                                                         \
    {.name = "context",                                                      \
     .value = "CONTEXT",                                                     \
     .text = "which cluster, and as whom (default: TROUPE_CONTEXT, or what " \
             "`troupe context use` says)",                                   \
     .is_common = true},                                                     \
        {.name = "config",                                                   \
         .value = "FILE",                                                    \
         .text = "a cluster file instead: its nodes, and its keys_dir",      \
         .is_common = true},                                                 \
        {.name = "bundle",                                                   \
         .value = "FILE",                                                    \
         .text = "no cluster, but what `troupe debug bundle` has kept",      \
         .only_looks = true,                                                 \
         .is_common = true},                                                 \
        {.name = "as",                                                       \
         .value = "NAME",                                                    \
         .text = "whose certificate in keys_dir (default: the only "         \
                 "operator's)",                                              \
         .is_common = true},                                                 \
        {.name = "node",                                                     \
         .value = "NODE",                                                    \
         .text = "ask this node and no other",                               \
         .is_common = true},                                                 \
    {                                                                        \
        .name = "timeout", .value = "TIME",                                  \
        .text = "how long to wait for a link, and for an answer (10s)",      \
        .is_common = true                                                    \
    }

struct client_node;
struct remote;

/*
 * Link with a node; or, with --bundle, load a bundle, which answers in its
 * place, and say on the talk stream that it is one. Else nothing is said: `why`
 * says what is wrong.
 *
 * EXIT_CODE_USAGE         no cluster, or one that does not exist, is named
 * EXIT_CODE_UNREACHABLE   no node answers
 * EXIT_CODE_DENIED        they do not let us in
 * others                  the configuration, keys, memory
 */
enum exit_code remote_connect(struct remote **out,
                              const struct command *command,
                              struct err_detail *why);

/* The same, and say what is wrong. */
enum exit_code remote_open(struct remote **out, const struct command *command);
void remote_close(struct remote **remote);

/* Link with one node more, as the same one: with its door as node.ls says,
 * within `connect_ms` (0: the time of --timeout). The other remote may be
 * closed first. Nothing is said. */
enum exit_code remote_connect_node(struct remote **out,
                                   const struct remote *remote,
                                   const struct client_node *node,
                                   uint32_t connect_ms,
                                   struct err_detail *why);

const struct command *remote_command(const struct remote *remote);

struct remote_question {
    const char *verb;
    json_t *args; /* borrowed; NULL: none */
    bool changes; /* something, when it is answered */
};

/*
 * Ask. `*answer` is a map, and the caller's; NULL when it fails, and then `why`
 * says so. What only looks is asked again when the link broke; anything while
 * an election is under way, until the time of --timeout is over.
 */
enum exit_code remote_try(struct remote *remote,
                          const struct remote_question *question,
                          json_t **answer,
                          struct err_detail *why);

/* The same, and say what is wrong. Takes `question->args`. */
enum exit_code remote_ask(struct remote *remote,
                          const struct remote_question *question,
                          json_t **answer);

/*
 * Ask another service than HOST_SERVICE_ADMIN, once, in bytes. `*data` is freed
 * by the caller; with an error it may be NULL.
 *
 * what client_ask() says
 */
FALLIBLE remote_ask_service(struct remote *remote,
                            uint8_t service,
                            struct bytes question,
                            uint8_t **data,
                            size_t *length);

/* Whose certificate we ask with. */
const char *remote_who(const struct remote *remote);

/* The node that was asked last. */
const char *remote_node(const struct remote *remote);

/* The clock that answers are of: of a bundle it stands still. */
const struct clock *remote_clock(const struct remote *remote);

/* The nodes that the context or the file names, and the cluster. */
uint32_t remote_node_count(const struct remote *remote);
const struct context_node *remote_node_at(const struct remote *remote,
                                          uint32_t index);
const char *remote_cluster(const struct remote *remote);

#endif
