/*
 * A question to node/control.h: {"v": 1, "verb": text, "args": {...}, "who":
 * text, "pools": text}. Others than these are skipped.
 *
 * Plain data; pure.
 */

#ifndef NODE_CONTROL_QUESTION_H
#define NODE_CONTROL_QUESTION_H

#include "base/bytes.h"
#include "base/err.h"
#include "shard/view.h"

#define CONTROL_VERSION 1
#define CONTROL_VERB_BYTES 32
#define CONTROL_ARGS_BYTES_MAX (64u << 10)

struct control_question {
    char verb[CONTROL_VERB_BYTES]; /* printable */
    char who[VIEW_WHO_BYTES]; /* "operator/ann", for whom a node asks; "": for
                                 itself */
    bool is_limited;          /* who is a client, with these pools: */
    char pools[CERTIFICATE_POOLS_BYTES];
    struct bytes args; /* one MessagePack map, borrowed; none: empty */
};

/* ERR_MALFORMED, ERR_VERSION; ERR_TOO_LARGE: its arguments are */
FALLIBLE control_question_decode(struct control_question *out,
                                 struct bytes bytes,
                                 struct err_detail *why);

size_t control_question_bytes_max(const struct control_question *question);
void control_question_encode(const struct control_question *question,
                             struct writer *writer);

#endif
