/*
 * A program that is no member of the cluster, but asks it: with a certificate
 * of the role client (troupe key issue NAME --role client --pools ...) or
 * operator.
 */

#ifndef TROUPE_CLIENT_H
#define TROUPE_CLIENT_H

#include "troupe/troupe.h"

#ifdef __cplusplus
extern "C" {
#endif

struct troupe_client_options {
    /* The cluster's file: its nodes, and in its keys_dir the certificate, the
     * key and `trust`. NULL: ./cluster.yaml, else /etc/troupe/cluster.yaml. */
    const char *config;
    /* Whose certificate: NAME.cert and NAME.key. NULL: the only one there
     * that is a client's or an operator's. */
    const char *as;
    unsigned connect_ms; /* for the first link; 0: 10 000 */
};

/*
 * Link with one of the nodes; with another when that one ends or is lost. A
 * thread of the library's, `client`, begins. `options` and `why` may be NULL.
 *
 * TROUPE_ERR_NOT_FOUND     no such file; or it is not clear whose certificate
 * TROUPE_ERR_INVALID       the file: `why` has the first problem
 * TROUPE_ERR_UNREACHABLE   no node answers in time: `why` has each
 * TROUPE_ERR_EXPOSED       others may read the key
 * TROUPE_ERR_REVOKED, TROUPE_ERR_EXPIRED, TROUPE_ERR_DENIED ...
 *                          what a node says of us
 * TROUPE_ERR_MEMORY, TROUPE_ERR_LIMIT, TROUPE_ERR_IO, TROUPE_ERR_ACCESS
 */
TROUPE_API enum troupe_error troupe_client_open(
    struct troupe **out,
    const struct troupe_client_options *options,
    struct troupe_why *why);

#ifdef __cplusplus
}
#endif

#endif
