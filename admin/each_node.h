/*
 * The same to every node that is up: a question, or a whole talk.
 */

#ifndef ADMIN_EACH_NODE_H
#define ADMIN_EACH_NODE_H

#include "admin/remote.h"

/*
 * Have `visit` talk with one node after the other. What it returns otherwise
 * than EXIT_CODE_OK is why that node does not count, as `why` says. `*away` is
 * a list of {name, why}, of those that did not. With --node that one alone is
 * visited. What is wrong is said: when nobody knows who is there, or no visit
 * has succeeded.
 */
struct each_node {
    enum exit_code (*visit)(void *context,
                            struct remote *node,
                            struct err_detail *why);
    void *context;
};
enum exit_code each_node_visit(struct remote *remote,
                               const struct each_node *each,
                               json_t **away);

/*
 * One question. `*answers` is a list, one of each that answered; the rest as
 * above.
 */
enum exit_code each_node_ask(struct remote *remote,
                             const struct remote_question *question,
                             json_t **answers,
                             json_t **away);

/* Say that these are not counted. */
void each_node_say_away(const struct command *command, const json_t *away);

#endif
