/*
 * A small file that is replaced now and then: the last view that a node knew,
 * so that it finds the others when all begin again, and what it trusts.
 *
 * Written by a thread of its own; of several contents that wait, only the
 * newest is. Owned by the reactor that is given.
 */

#ifndef NODE_KEPT_FILE_H
#define NODE_KEPT_FILE_H

#include "base/env.h"
#include "base/log.h"
#include "base/reactor.h"
#include "shard/host.h"

struct kept_file;

/* `path` is copied. ERR_MEMORY, ERR_LIMIT, ERR_INVALID (it is too long) */
FALLIBLE kept_file_open(struct kept_file **out,
                        const struct files *files,
                        const char *path,
                        struct log *log,
                        struct reactor *reactor);

/* A copy of `content` is to be in the file soon; that it could not be written
 * is only logged. */
void kept_file_save(struct kept_file *file, struct bytes content);

/* Nobody may call it any more; turns the reactor until all is written. */
void kept_file_close(struct kept_file **file);

/* For a view. */
struct host_keep kept_file_keep(struct kept_file *file);

#endif
