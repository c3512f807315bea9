/*
 * Bytes that grow at their end and are taken from their front.
 *
 * Plain data, all zero when empty; owned by one thread.
 */

#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include "base/bytes.h"
#include "base/err.h"

struct buffer {
    uint8_t *data;
    size_t start; /* what was taken */
    size_t end;
    size_t capacity;
};

/* Free what it has; empty then. */
void buffer_clear(struct buffer *buffer);

/* What is in it: borrowed until it is changed. */
static inline struct bytes buffer_bytes(const struct buffer *buffer)
{
    return buffer->data ? bytes_of(buffer->data + buffer->start,
                                   buffer->end - buffer->start)
                        : (struct bytes){0};
}

static inline size_t buffer_length(const struct buffer *buffer)
{
    return buffer->end - buffer->start;
}

/*
 * Room for `length` bytes at the end: `*out` is where to write them, before
 * buffer_grow() makes them part of it. ERR_MEMORY
 */
FALLIBLE buffer_reserve(struct buffer *buffer, size_t length, uint8_t **out);
void buffer_grow(struct buffer *buffer, size_t length);

/* ERR_MEMORY */
FALLIBLE buffer_append(struct buffer *buffer, struct bytes bytes);

/* Take `length` bytes from the front: at most what there is. */
void buffer_take(struct buffer *buffer, size_t length);

#endif
