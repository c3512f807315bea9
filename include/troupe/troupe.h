/*
 * Troupe's C library.
 *
 *     #include <troupe/troupe.h>    versions, errors, the handle
 *     #include <troupe/client.h>    a program that asks a cluster
 *     #include <troupe/node.h>      a program that is one of its nodes
 *     #include <troupe/tasks.h>     to submit tasks and wait for them
 *     #include <troupe/task.h>      to run them: what a handler sees
 *
 * Only what these headers declare is exported, and all of it begins with
 * `troupe_`. They serve C (from C99 on) and C++.
 *
 * Whatever is passed in is borrowed for the call, unless it says otherwise.
 * Structs are to be zeroed first: zero is the default of every member, and
 * members may be added.
 */

#ifndef TROUPE_TROUPE_H
#define TROUPE_TROUPE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TROUPE_API __attribute__((visibility("default")))

/*
 * The version of the library that is linked, such as "0.1.0". Static. Any
 * thread.
 */
TROUPE_API const char *troupe_version(void);

/* A connection to a cluster: troupe_client_open(), or troupe_node_open(). */
struct troupe;

/*
 * End it. A node hands over what it leads first (see troupe_node_options).
 * What is under way is told to its callbacks before this returns: as
 * TROUPE_ERR_UNCERTAIN what may have been accepted, else as TROUPE_ERR_CLOSED.
 * Sets `*troupe` to NULL; accepts NULL. No other thread may use it any more,
 * and none of its callbacks may call this.
 */
TROUPE_API void troupe_close(struct troupe **troupe);

/* What goes wrong, by what the caller can do about it. Numbers stay. */
enum troupe_error {
    TROUPE_ERR_NONE = 0,
    TROUPE_ERR_MEMORY = 1,
    TROUPE_ERR_FULL = 2,      /* a queue: later, there may be room */
    TROUPE_ERR_TOO_LARGE = 3, /* than the pool's or the cluster's limit */
    TROUPE_ERR_CLOSED = 4,    /* by troupe_close() */
    TROUPE_ERR_IO = 5,
    TROUPE_ERR_ACCESS = 6, /* the operating system says no */
    TROUPE_ERR_NO_SPACE = 7,
    TROUPE_ERR_EXISTS = 8, /* the key has another task */
    TROUPE_ERR_NOT_FOUND = 9,
    TROUPE_ERR_EXPOSED = 10, /* a secret file can be read by others */
    TROUPE_ERR_INVALID = 11,
    TROUPE_ERR_MALFORMED = 12,
    TROUPE_ERR_FORGED = 13,
    TROUPE_ERR_EXPIRED = 14, /* the certificate; so the next five */
    TROUPE_ERR_NOT_YET_VALID = 15,
    TROUPE_ERR_REVOKED = 16,
    TROUPE_ERR_SUPERSEDED = 17,
    TROUPE_ERR_OTHER_CLUSTER = 18,
    TROUPE_ERR_DENIED = 19, /* the role, or not this pool */
    TROUPE_ERR_WRONG_NAME = 20,
    TROUPE_ERR_VERSION = 21,
    TROUPE_ERR_IN_USE = 22,      /* an address, or the data folder */
    TROUPE_ERR_UNREACHABLE = 23, /* no node answers; nothing has happened */
    TROUPE_ERR_TIMEOUT = 24,     /* not in time; nothing has happened */
    TROUPE_ERR_BUSY = 25,
    TROUPE_ERR_LIMIT = 26, /* of the operating system */
    TROUPE_ERR_NOT_LEADER = 27,
    TROUPE_ERR_UNCERTAIN = 28, /* not in time: it may have happened or not */
    TROUPE_ERR_NO_QUORUM = 29, /* too few nodes to agree; nothing has happened*/
    TROUPE_ERR_REFUSED = 30    /* for safety */
};

/* One sentence for people, without a full stop. Static; never NULL, whatever
 * `error` is. Any thread. */
TROUPE_API const char *troupe_error_text(enum troupe_error error);

/* Why: where, what was found and what is allowed. "": nothing to say. */
struct troupe_why {
    char text[512];
};

#ifdef __cplusplus
}
#endif

#endif
