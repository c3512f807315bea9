/*
 * Making a cluster: its authority, and a folder for each host that holds
 * everything the host needs, ready to copy.
 *
 *     DIR/authority/     authority.key, ledger, trust     keep offline
 *     DIR/NAME/          cluster.yaml, trust, NAME.cert, NAME.key
 *     DIR/operator/      cluster.yaml, trust, operator.cert, operator.key
 *
 * One thread.
 */

#ifndef CONFIG_FOUNDING_H
#define CONFIG_FOUNDING_H

#include "base/err.h"
#include "config/authority.h"
#include "config/settings.h"

#include <stdint.h>

#define FOUNDING_HOST_COUNT_MAX SETTINGS_MEMBER_COUNT_MAX
#define FOUNDING_OPERATOR "operator"
#define FOUNDING_AUTHORITY "authority"

struct founding_host {
    char name[CERTIFICATE_NAME_BYTES];
    char host[SETTINGS_HOST_BYTES];    /* "" with SETTINGS_IPC */
    uint16_t port;                     /* 0: the founding's */
    char zone[CERTIFICATE_NAME_BYTES]; /* "": none */
};

struct founding {
    const char *cluster_name;
    enum settings_transport transport;
    uint16_t port;         /* of the door; 0: the default */
    int64_t valid_seconds; /* of each certificate; 0: the default */
    const char *data_dir;  /* as the file says it; NULL: the default */
    bool runs_commands;    /* `node.exec`: tasks may be commands */
    const char *ipc_dir;   /* with SETTINGS_IPC; NULL: the default */
    const struct founding_host *hosts;
    uint32_t host_count;
};

/*
 * Take apart NAME=HOST, NAME=HOST:PORT, NAME=[V6]:PORT, or HOST alone, whose
 * first label is the name then; with SETTINGS_IPC, NAME. ERR_INVALID
 */
FALLIBLE founding_parse_host(struct founding_host *out,
                             const char *text,
                             enum settings_transport transport,
                             struct err_detail *why);

/* "tcp", "ipc", "ws". False: it is none of these. */
bool founding_parse_transport(enum settings_transport *out, const char *text);

/*
 * Check everything that can be checked before a file is written: names, that
 * none is there twice, and that the configuration passes its own check.
 * ERR_INVALID, ERR_MEMORY
 */
FALLIBLE founding_check(const struct founding *founding,
                        struct err_detail *why);

/*
 * Make all of it in `folder`, which must not be there yet; on failure nothing
 * of it is left. `cluster_id` is set on success.
 *
 * ERR_INVALID    as founding_check()
 * ERR_EXISTS     `folder` is there
 * ERR_NO_SPACE, ERR_IO, ERR_LIMIT, ERR_MEMORY
 */
FALLIBLE founding_make(const struct founding *founding,
                       const struct authority_world *world,
                       const char *folder,
                       uint8_t cluster_id[static CLUSTER_ID_BYTES],
                       struct err_detail *why);

#endif
