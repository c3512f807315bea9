#include "base/buffer.h"

#include <assert.h>
#include <stdlib.h>

#define CAPACITY_MIN 256

/* An empty one gives back what is more. */
#define KEPT_BYTES_MAX (256u << 10)

void buffer_clear(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}

/* What is in it, at the beginning. */
static void move_to_front(struct buffer *buffer)
{
    if (buffer->start > 0) {
        memmove(buffer->data, buffer->data + buffer->start,
                buffer_length(buffer));
        buffer->end -= buffer->start;
        buffer->start = 0;
    }
}

enum err buffer_reserve(struct buffer *buffer, size_t length, uint8_t **out)
{
    if (buffer->capacity - buffer->end < length) {
        move_to_front(buffer);
    }
    if (buffer->capacity - buffer->end < length) {
        size_t capacity = buffer->capacity * 2;
        capacity = capacity < CAPACITY_MIN ? CAPACITY_MIN : capacity;
        capacity =
            capacity < buffer->end + length ? buffer->end + length : capacity;
        uint8_t *more = realloc(buffer->data, capacity);
        if (!more) {
            return ERR_MEMORY;
        }
        buffer->data = more;
        buffer->capacity = capacity;
    }
    *out = buffer->data + buffer->end;
    return ERR_NONE;
}

void buffer_grow(struct buffer *buffer, size_t length)
{
    assert(length <= buffer->capacity - buffer->end);
    buffer->end += length;
}

enum err buffer_append(struct buffer *buffer, struct bytes bytes)
{
    uint8_t *to = NULL;
    if (bytes.length == 0) {
        return ERR_NONE; /* there may be no buffer yet to add nothing to */
    }
    enum err err = buffer_reserve(buffer, bytes.length, &to);
    if (err) {
        return err;
    }
    memcpy(to, bytes.data, bytes.length);
    buffer_grow(buffer, bytes.length);
    return ERR_NONE;
}

void buffer_take(struct buffer *buffer, size_t length)
{
    assert(length <= buffer_length(buffer));
    buffer->start += length;
    if (buffer->start == buffer->end) {
        buffer->start = 0;
        buffer->end = 0;
        if (buffer->capacity > KEPT_BYTES_MAX) {
            buffer_clear(buffer);
        }
    }
}
