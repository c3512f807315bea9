/*
 * The configuration file that a command works with: the one that is named, or
 * else cluster.yaml here, or that in /etc/troupe.
 */

#ifndef ADMIN_CONFIG_FILE_H
#define ADMIN_CONFIG_FILE_H

#include "base/env.h"
#include "config/problems.h"
#include "config/settings.h"

#define CONFIG_FILE_LOCAL "cluster.yaml"
#define CONFIG_FILE_SYSTEM "/etc/troupe/cluster.yaml"

/* `*file` is the one that is named, or NULL; set to the one that was taken.
 * What config_open() says. */
FALLIBLE config_file_open(struct settings **out,
                          const char **file,
                          const struct files *files,
                          struct problems *problems);

/* The same with what is wrong, the first of it, in `why`. */
FALLIBLE config_file_explained(struct settings **out,
                               const char **file,
                               const struct files *files,
                               struct err_detail *why);

#endif
