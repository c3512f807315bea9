/*
 * MessagePack into and out of buffers that the caller has, without
 * allocating.
 *
 * Writing goes to a `struct writer`, reading comes from a `struct reader`:
 * both remember a failure, so that one looks once at the end. A reader's
 * bytes may come from anybody: every length is checked against what is left,
 * so a count that was read is never more than the bytes that follow.
 */

#ifndef BASE_PACK_H
#define BASE_PACK_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define PACK_DEPTH_MAX 32 /* of arrays and maps in each other, for skipping */

/* Each in its shortest form. A non-negative pack_int() is a pack_uint(). */
void pack_nil(struct writer *writer);
void pack_bool(struct writer *writer, bool value);
void pack_uint(struct writer *writer, uint64_t value);
void pack_int(struct writer *writer, int64_t value);
void pack_real(struct writer *writer, double value);
void pack_text(struct writer *writer, const char *text);
void pack_str(struct writer *writer, struct bytes text);
void pack_bin(struct writer *writer, struct bytes bytes);

/* `count` values follow. */
void pack_array(struct writer *writer, uint32_t count);

/* The same, of a record to which a newer release may append fields, and which
 * pack_record_end() ends: who reads it skips those that it does not know. */
void pack_record(struct writer *writer, uint32_t field_count);
void pack_record_end(struct writer *writer);

/* `count` pairs of key and value follow. */
void pack_map(struct writer *writer, uint32_t count);

/* The same when nobody knows yet how many follow: in five bytes, and what is
 * given says later for which of them pack_count() is. */
size_t pack_array_begin(struct writer *writer);
size_t pack_map_begin(struct writer *writer);
void pack_count(const struct writer *writer, size_t begun, uint32_t count);

enum pack_kind {
    PACK_NONE, /* the end, or no MessagePack */
    PACK_NIL,
    PACK_BOOL,
    PACK_UINT, /* an integer that is not negative */
    PACK_INT,  /* one that is */
    PACK_REAL,
    PACK_STR,
    PACK_BIN,
    PACK_EXT,
    PACK_ARRAY,
    PACK_MAP,
};

struct pack_token {
    enum pack_kind kind;
    int8_t ext_type;
    union {
        bool is_true;
        uint64_t natural;   /* UINT */
        int64_t negative;   /* INT */
        double real;        /* REAL, of either width */
        struct bytes bytes; /* STR, BIN, EXT: borrowed */
        uint32_t count;     /* ARRAY: values, MAP: pairs, that follow */
    } value;
};

/* The next token; PACK_NONE at the end and after a failure, which it sets
 * when the bytes are no MessagePack. */
struct pack_token pack_read(struct reader *reader);

/* Its kind, without reading it; PACK_NONE at the end or if it is none. */
enum pack_kind pack_peek(const struct reader *reader);

/*
 * The next value, which must be of this type: else the reader fails and zero
 * is given. An integer may be encoded in any width, if it fits the result.
 */
void pack_read_nil(struct reader *reader);
bool pack_read_bool(struct reader *reader);
uint64_t pack_read_uint(struct reader *reader);
int64_t pack_read_int(struct reader *reader);
double pack_read_real(struct reader *reader);
struct bytes pack_read_str(struct reader *reader);
struct bytes pack_read_bin(struct reader *reader);
uint32_t pack_read_array(struct reader *reader);
uint32_t pack_read_map(struct reader *reader);

/* A natural number of at most `max`; an array of so many values. */
uint64_t pack_read_uint_to(struct reader *reader, uint64_t max);
uint32_t pack_read_array_of(struct reader *reader, uint32_t min, uint32_t max);

/*
 * A string, copied and terminated; fails, with "", when it needs more than
 * `capacity` bytes with its zero, or has a zero within.
 */
void pack_read_text(struct reader *reader, char *to, size_t capacity);

/* Skip one value with all that it holds; fails beyond PACK_DEPTH_MAX. */
void pack_skip(struct reader *reader);

/* Skip `count` values: what a newer release has added to an array. */
void pack_skip_count(struct reader *reader, uint32_t count);

/*
 * Begin reading [version, ...], of which we know `known` values, the version
 * among them. `*more`: what a newer release has added behind them, for
 * pack_skip_count().
 *
 * ERR_MALFORMED   no such array, or too few values
 * ERR_VERSION     of another version, however many values it has
 */
FALLIBLE pack_read_version(struct reader *reader,
                           uint64_t version,
                           uint32_t known,
                           uint32_t *more);

#endif
