/*
 * Asking all nodes of a cluster what a bundle shall hold.
 */

#ifndef ADMIN_DEBUG_GATHER_H
#define ADMIN_DEBUG_GATHER_H

#include "admin/parcel.h"
#include "admin/remote.h"

#include <stdbool.h>

/* What is taken out of the bundle. */
struct debug_gather_redact {
    bool hosts;  /* names and addresses of machines become host-1 ... */
    bool people; /* those who operators and clients are, person-1 ... */
    bool log;    /* there are no log lines */
};

/* What came of it: lists for people, the caller's. */
struct debug_gathered {
    struct parcel *parcel;
    char cluster[CERTIFICATE_NAME_BYTES];
    int64_t at_ms;
    json_t *asked;   /* names of nodes */
    json_t *missing; /* [{node, why}] */
};
void debug_gathered_clear(struct debug_gathered *gathered);

/*
 * Ask the meta group's leader through `remote`, and each node that the command
 * or the leader knows of alone. A node that is away, and a question that
 * fails, are noted in the bundle. ERR_MEMORY, ERR_TOO_LARGE ...
 */
FALLIBLE debug_gather(struct debug_gathered *out,
                      const struct command *command,
                      struct remote *remote,
                      const struct debug_gather_redact *redact);

#endif
