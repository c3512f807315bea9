/*
 * Byte strings and bounds-checked little-endian cursors over them.
 *
 * Plain data; the bytes are borrowed.
 */

#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *data;
    size_t length; /* bytes */
};

static inline struct bytes bytes_of(const void *data, size_t length)
{
    return (struct bytes){.data = data, .length = length};
}

static inline struct bytes bytes_of_text(const char *text)
{
    return bytes_of(text, strlen(text));
}

bool bytes_are_equal(struct bytes left, struct bytes right);

/* As memcmp() orders; of two that begin alike the shorter comes first.
 * Negative, zero or positive. */
int bytes_compare(struct bytes left, struct bytes right);

static inline void put_u16(uint8_t *to, uint16_t value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
}

static inline void put_u32(uint8_t *to, uint32_t value)
{
    put_u16(to, (uint16_t)value);
    put_u16(to + 2, (uint16_t)(value >> 16));
}

static inline void put_u64(uint8_t *to, uint64_t value)
{
    put_u32(to, (uint32_t)value);
    put_u32(to + 4, (uint32_t)(value >> 32));
}

static inline uint16_t get_u16(const uint8_t *from)
{
    return (uint16_t)(from[0] | from[1] << 8);
}

static inline uint32_t get_u32(const uint8_t *from)
{
    return get_u16(from) | (uint32_t)get_u16(from + 2) << 16;
}

static inline uint64_t get_u64(const uint8_t *from)
{
    return get_u32(from) | (uint64_t)get_u32(from + 4) << 32;
}

/*
 * Reads from the front; the first read past the end sets `failed`, and every
 * later read gives zeros. So a decoder reads all fields and checks once.
 */
struct reader {
    const uint8_t *next;
    const uint8_t *end;
    bool failed;
};

static inline struct reader reader_of(struct bytes bytes)
{
    /* No bytes may be at NULL, to which C lets nobody add even zero. */
    return (struct reader){.next = bytes.data,
                           .end = bytes.length > 0 ? bytes.data + bytes.length
                                                   : bytes.data};
}

static inline size_t reader_left(const struct reader *reader)
{
    return (size_t)(reader->end - reader->next);
}

/* The next `length` bytes, borrowed; {NULL, 0} past the end. */
static inline struct bytes read_bytes(struct reader *reader, size_t length)
{
    if (reader->failed || reader_left(reader) < length) {
        reader->failed = true;
        reader->next = reader->end;
        return (struct bytes){0};
    }
    struct bytes bytes = bytes_of(reader->next, length);
    if (length > 0) {
        reader->next += length;
    }
    return bytes;
}

/* Copy the next `length` bytes; zeros past the end. */
void read_into(struct reader *reader, void *to, size_t length);

static inline uint8_t read_u8(struct reader *reader)
{
    struct bytes raw = read_bytes(reader, 1);
    return raw.data ? raw.data[0] : 0;
}
uint16_t read_u16(struct reader *reader);
uint32_t read_u32(struct reader *reader);
uint64_t read_u64(struct reader *reader);

/* Writes to the front; the first write past the end sets `failed`. */
struct writer {
    uint8_t *start;
    uint8_t *next;
    uint8_t *end;
    bool failed;
};

static inline struct writer writer_of(void *buffer, size_t capacity)
{
    uint8_t *start = (uint8_t *)buffer;
    return (struct writer){.start = start,
                           .next = start,
                           .end = capacity > 0 ? start + capacity : start};
}

/* What was written so far. */
static inline struct bytes writer_bytes(const struct writer *writer)
{
    return bytes_of(writer->start, (size_t)(writer->next - writer->start));
}

static inline void write_bytes(struct writer *writer,
                               const void *data,
                               size_t length)
{
    if (writer->failed || (size_t)(writer->end - writer->next) < length) {
        writer->failed = true;
        return;
    }
    if (length > 0) {
        memcpy(writer->next, data, length);
        writer->next += length;
    }
}
void write_u8(struct writer *writer, uint8_t value);
void write_u16(struct writer *writer, uint16_t value);
void write_u32(struct writer *writer, uint32_t value);
void write_u64(struct writer *writer, uint64_t value);

/*
 * Lower-case hexadecimal with a terminating zero: `text` must hold
 * 2 * bytes.length + 1.
 */
void hex_encode(char *text, struct bytes bytes);

/* False unless `text` is exactly `length` bytes in hexadecimal. */
bool hex_decode(uint8_t *to, size_t length, const char *text);

#endif
