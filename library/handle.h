/*
 * What is behind a `struct troupe`: the desk, and what it stands on, a client
 * or a node.
 */

#ifndef LIBRARY_HANDLE_H
#define LIBRARY_HANDLE_H

#include "base/err.h"
#include "library/desk.h"

#include <pthread.h>

struct troupe {
    struct desk *desk;
    struct reactor *reactor; /* the desk's */
    const struct clock *clock;
    pthread_t thread; /* the reactor's, on which callbacks run */
    void *base;
    /* The desk has stopped: end the threads. */
    void (*stop)(void *base);
    /* Free the rest, after the desk. */
    void (*free)(void *base);
};

/* A handle on `parts->base`, which runs already, with a desk of its own, which
 * asks that `way`; clock and desk are set here. ERR_MEMORY: nothing has
 * happened */
FALLIBLE handle_open(struct troupe **out,
                     const struct troupe *parts,
                     const struct desk_way *way);

enum troupe_error handle_error(enum err err);
/* What there is to say of an error, for users; `why` may be NULL. */
void handle_say(struct troupe_why *why,
                enum err err,
                const struct err_detail *detail);

#endif
