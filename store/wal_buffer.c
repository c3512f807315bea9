#include "store/wal_buffer.h"

#include <stdlib.h>

#define CAPACITY_MIN 4096

enum err wal_buffer_reserve(struct wal_buffer *buffer, size_t capacity)
{
    if (capacity <= buffer->capacity) {
        return ERR_NONE;
    }
    size_t grown = buffer->capacity ? buffer->capacity : CAPACITY_MIN;
    while (grown < capacity) {
        grown *= 2;
    }
    uint8_t *data = realloc(buffer->data, grown);
    if (!data) {
        return ERR_MEMORY;
    }
    buffer->data = data;
    buffer->capacity = grown;
    return ERR_NONE;
}

void wal_buffer_clear(struct wal_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct wal_buffer){0};
}
