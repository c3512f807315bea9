/*
 * Telling clients that this process ends, so that they are with another node
 * before it does, and nothing of theirs is under way here.
 *
 * Owned by the links' reactor.
 */

#ifndef NODE_FAREWELL_H
#define NODE_FAREWELL_H

#include "transport/calls.h"

#define FAREWELL_MS 3000 /* a client that does not answer is left behind */

struct farewell;

/* ERR_MEMORY */
FALLIBLE farewell_open(struct farewell **out,
                       struct calls *calls,
                       struct endpoint *endpoint);

/* Before calls_close(). */
void farewell_close(struct farewell **farewell);

/* Tell all who are linked and are no nodes; once, further calls do nothing. */
void farewell_say(struct farewell *farewell);

/* Whether all have answered, or will not. */
bool farewell_is_over(const struct farewell *farewell);

#endif
