/*
 * The cluster's file that a program works with.
 */

#ifndef LIBRARY_CLUSTER_FILE_H
#define LIBRARY_CLUSTER_FILE_H

#include "base/err.h"
#include "config/settings.h"

/* `path`, or the one that is used when none is named: ./cluster.yaml, else that
 * in /etc/troupe. */
const char *cluster_file_path(const char *path);

/* What config_open() says, the first problem in `why`. */
FALLIBLE cluster_file_read(struct settings **out,
                           const char *path,
                           struct err_detail *why);

#endif
