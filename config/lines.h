/*
 * Strict reading, and writing, of small text files of our own: words with one
 * space between, lines ended by \n, no comments, one form for every value.
 *
 * Pure.
 */

#ifndef CONFIG_LINES_H
#define CONFIG_LINES_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

#define LINES_WORD_COUNT_MAX 12
#define LINES_LINE_BYTES 768 /* with its end */

struct lines {
    struct bytes rest;
    size_t start;    /* of the line last read: bytes before it */
    size_t end;      /* of the same */
    uint32_t number; /* of the line last read, from 1 */
    bool failed;     /* the line last read has no such form */
    uint32_t word_count;
    const char *words[LINES_WORD_COUNT_MAX];
    char buffer[LINES_LINE_BYTES];
};

/* In place, because `words` points into the struct. */
void lines_init(struct lines *lines, struct bytes text);

/*
 * Read one more line into `words`. False at the end of the text, and when the
 * line is malformed (`failed`; then for ever).
 */
bool lines_next(struct lines *lines);

/* Whether the line has `word_count` words and begins with `first`. */
bool lines_is(const struct lines *lines,
              const char *first,
              uint32_t word_count);

/* Decimal digits without a leading zero. False: `text` is not that. */
bool lines_u64(uint64_t *out, const char *text);
bool lines_i64(int64_t *out, const char *text); /* never negative */

/* Write text in printf's form, at most LINES_LINE_BYTES at a time. */
__attribute__((format(printf, 2, 3))) void lines_write(struct writer *writer,
                                                       const char *format,
                                                       ...);

/* Exactly `length` bytes in lower-case hexadecimal. */
bool lines_hex(uint8_t *to, size_t length, const char *text);

#endif
