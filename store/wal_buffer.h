/*
 * Bytes that grow: what is staged, a head, a window of a segment.
 *
 * Zeroed it is empty. Owned by whoever holds it.
 */

#ifndef STORE_WAL_BUFFER_H
#define STORE_WAL_BUFFER_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct wal_buffer {
    uint8_t *data;
    size_t length;
    size_t capacity;
};

/* Room for `capacity` bytes in all; `data` may move. ERR_MEMORY */
FALLIBLE wal_buffer_reserve(struct wal_buffer *buffer, size_t capacity);

/* Free it; leaves it empty. */
void wal_buffer_clear(struct wal_buffer *buffer);

#endif
