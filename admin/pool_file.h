/*
 * Pools as a file defines them: YAML or JSON, one pool, a list of them, or a
 * file of a cluster with its `cluster.pools`.
 */

#ifndef ADMIN_POOL_FILE_H
#define ADMIN_POOL_FILE_H

#include "base/bytes.h"
#include "base/err.h"

#include <jansson.h>

/*
 * A list of definitions as pool.set takes them (docs/control.md), with those
 * fields alone that the file has. Fields are those of `struct task_pool`, and
 * those of `cluster.pools`; times and sizes may have units. `file` is its name
 * for people.
 *
 * ERR_INVALID   `why` says where, what was found and what is allowed
 * ERR_MEMORY
 */
FALLIBLE pool_file_read(json_t **out,
                        struct bytes text,
                        const char *file,
                        struct err_detail *why);

/* A definition with defaults for what it lacks, checked. ERR_INVALID,
 * ERR_MEMORY */
FALLIBLE pool_file_complete(json_t **out,
                            const json_t *definition,
                            struct err_detail *why);

#endif
