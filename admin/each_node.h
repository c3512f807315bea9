/*
 * The same question to every node that is up.
 */

#ifndef ADMIN_EACH_NODE_H
#define ADMIN_EACH_NODE_H

#include "admin/remote.h"

/*
 * `*answers` is a list, one of each that answered; `*away` one of {name, why},
 * of those that did not. With --node that one alone is asked. What is wrong is
 * said: when nobody knows who is there, or nobody has answered.
 */
enum exit_code each_node_ask(struct remote *remote,
                             const struct remote_question *question,
                             json_t **answers,
                             json_t **away);

/* Say of `away` in an answer that they are not counted. */
void each_node_say_away(const struct command *command, const json_t *answer);

#endif
