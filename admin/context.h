/*
 * Contexts: which cluster `troupe` talks to, and as whom. Each is a file
 * contexts/NAME.json below ~/.config/troupe (XDG_CONFIG_HOME); the file
 * `active` beside them names the one that is used when nothing else is said.
 *
 * Plain data. A context holds no secret, but says where one is.
 */

#ifndef ADMIN_CONTEXT_H
#define ADMIN_CONTEXT_H

#include "admin/command.h"
#include "base/network.h"
#include "config/certificate.h"
#include "config/path.h"
#include "config/settings.h"

#define CONTEXT_NODE_COUNT_MAX SETTINGS_MEMBER_COUNT_MAX

struct context_node {
    char name[CERTIFICATE_NAME_BYTES];
    char door[SOCKET_URL_BYTES];
};

struct context {
    char cluster[CERTIFICATE_NAME_BYTES];
    char who[CERTIFICATE_NAME_BYTES]; /* WHO.cert, WHO.key ... */
    struct path keys_dir;             /* ... here, with `trust` */
    struct context_node *nodes;
    uint32_t node_count;
};

void context_clear(struct context *context);

/*
 * Below, `why` says what and what helps, and `command` gives the environment.
 *
 * ERR_NOT_FOUND   there is none, or no home
 * ERR_INVALID     that cannot be a name
 * ERR_MALFORMED   the file
 * ERR_ACCESS, ERR_IO, ERR_MEMORY ...
 */
FALLIBLE context_load(struct context *out,
                      const struct command *command,
                      const char *name,
                      struct err_detail *why);

FALLIBLE context_remove(const struct command *command,
                        const char *name,
                        struct err_detail *why);

/* The name of the one that is used. ERR_NOT_FOUND: none is, without `why` */
FALLIBLE context_active(char out[static CERTIFICATE_NAME_BYTES],
                        const struct command *command,
                        struct err_detail *why);
FALLIBLE context_use(const struct command *command,
                     const char *name,
                     struct err_detail *why);

/* Call `visit` with the name of each, sorted. No folder: none. */
FALLIBLE context_each(const struct command *command,
                      void (*visit)(void *visitor, const char *name),
                      void *visitor,
                      struct err_detail *why);

/*
 * What a configuration file says: its nodes and keys. `who` NULL: the only
 * operator whose key is there. ERR_NOT_FOUND as well: no such certificate, or
 * more operators than one
 */
FALLIBLE context_of_settings(struct context *out,
                             const struct command *command,
                             const struct settings *settings,
                             const char *who,
                             struct err_detail *why);

/*
 * Save what a configuration file says (NULL: the usual one) under a name; when
 * no context is used yet, use it. `out` is set as far as it came. Also what
 * config_file_explained() says.
 */
FALLIBLE context_add(struct context *out,
                     const struct command *command,
                     const char *name,
                     const char *file,
                     const char *who,
                     struct err_detail *why);

#endif
