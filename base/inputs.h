/*
 * Bytes that come from outside bit by bit: files of any length, pipes, what
 * somebody types.
 *
 * A table, as those of base/env.h. One thread for each input.
 */

#ifndef BASE_INPUTS_H
#define BASE_INPUTS_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct inputs {
    void *context;

    /* `path` "-": standard input. ERR_NOT_FOUND, ERR_ACCESS, ERR_MEMORY,
     * ERR_IO */
    enum err (*open)(void *context, const char *path, void **out);

    /*
     * At most `capacity` bytes of what is there; `*length` is not 0 then.
     *
     * ERR_TIMEOUT   nothing came within `wait_ms`
     * ERR_CLOSED    it has ended
     * ERR_IO
     */
    enum err (*read)(void *input,
                     void *to,
                     size_t capacity,
                     uint32_t wait_ms,
                     size_t *length);

    void (*close)(void *input);
};

#endif
