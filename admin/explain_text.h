/*
 * What each error means for whoever runs a cluster: why it happens, what
 * follows, what to do.
 */

#ifndef ADMIN_EXPLAIN_TEXT_H
#define ADMIN_EXPLAIN_TEXT_H

#include "base/err.h"

struct explain_text {
    const char *cause;
    const char *effect;
    const char *action;
};

/* Static; of every error but ERR_NONE all three are there. */
const struct explain_text *explain_text(enum err err);

#endif
