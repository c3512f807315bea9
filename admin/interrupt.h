/*
 * Ctrl-C for commands that wait: it ends the waiting, not the program.
 *
 * A table, so that tests decide when somebody has had enough.
 */

#ifndef ADMIN_INTERRUPT_H
#define ADMIN_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

struct interrupt {
    void *context;
    /* From now on Ctrl-C is noticed by wait() alone. Before the first thread
     * is started: those that come after inherit it. */
    void (*hold)(void *context);
    /* Ctrl-C ends the program again, also one that came meanwhile. */
    void (*release)(void *context);
    /* False: somebody has pressed Ctrl-C, now or since hold(). When it is not
     * held, Ctrl-C ends the program as ever. */
    bool (*wait)(void *context, uint64_t ms);
};

/* The real one; static. */
const struct interrupt *interrupt_posix(void);

#endif
