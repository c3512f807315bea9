/*
 * Programs that this one runs: started, heard when they are ready, ended with
 * it.
 *
 * A child says that it is ready as systemd's services do (base/posix/
 * posix_notify.h). None outlives this process, however it ends. Owned by the
 * thread that opens it, which must be the only one: signals are blocked.
 */

#ifndef BASE_POSIX_POSIX_CHILDREN_H
#define BASE_POSIX_POSIX_CHILDREN_H

#include "base/err.h"

#include <stdint.h>

#define POSIX_CHILDREN_MAX 64

struct posix_children;

/* In `folder` each child gets a socket and a file for what it says, NAME.log.
 * ERR_LIMIT, ERR_IO, ERR_MEMORY */
FALLIBLE posix_children_open(struct posix_children **out, const char *folder);

/* Ends those that still run, at once. */
void posix_children_close(struct posix_children **children);

/*
 * Start a program; `arguments` ends with NULL, the first is its path. Children
 * are counted from 0 in the order of starting; one that has ended may be
 * started again under its name and number.
 *
 * ERR_NOT_FOUND   no such program
 * ERR_FULL, ERR_LIMIT, ERR_IO, ERR_INVALID (the path of its socket is too
 * long)
 */
FALLIBLE posix_children_start(struct posix_children *children,
                              const char *name,
                              const char *const *arguments);

/* Send a signal to one that runs. */
void posix_children_signal(struct posix_children *children,
                           uint32_t child,
                           int signal);

/*
 * The path of another program of ours: beside this one, as they are installed,
 * or else in `folder` beside the folder of this one, as they are built. `*out`
 * is freed by the caller with free(). ERR_NOT_FOUND, ERR_MEMORY
 */
FALLIBLE posix_children_program(char **out,
                                const char *name,
                                const char *folder);

enum posix_children_event {
    CHILDREN_READY,       /* `child` is */
    CHILDREN_ENDED,       /* `child` has */
    CHILDREN_INTERRUPTED, /* SIGINT or SIGTERM */
    CHILDREN_TIMEOUT,
};

/* Wait for the next thing to happen, at most so long; -1: for ever. `status`
 * as of waitpid(2). */
enum posix_children_event posix_children_next(struct posix_children *children,
                                              int timeout_ms,
                                              uint32_t *child,
                                              int *status);

uint32_t posix_children_running(const struct posix_children *children);

#endif
