/*
 * A blocking connection to a peer on this machine that speaks in lines and
 * counted bytes: what is written is gathered until it is flushed.
 *
 * One thread.
 */

#ifndef BENCH_LINE_H
#define BENCH_LINE_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define LINE_BYTES_MAX (1u << 20) /* of what is gathered, or read at once */

struct line;

/* Connect to 127.0.0.1. Waits at most `patience_ms` for what it is to take; 0:
 * without end. ERR_UNREACHABLE, ERR_MEMORY */
FALLIBLE line_open(struct line **out, uint16_t port, uint32_t patience_ms);
void line_close(struct line **line);

/* A word that no other connection has. */
const char *line_name(const struct line *line);

/* Gather. What is too much fails with the next line_flush(). */
void line_put(struct line *line, const void *data, size_t length);
__attribute__((format(printf, 2, 3))) void line_say(struct line *line,
                                                    const char *format,
                                                    ...);

/* ERR_CLOSED, ERR_TOO_LARGE */
FALLIBLE line_flush(struct line *line);

/* Wait for so many bytes, or for a line, without its end ("\r\n"). Valid until
 * the next of these. ERR_CLOSED, ERR_TOO_LARGE */
FALLIBLE line_take(struct line *line, size_t length, struct bytes *out);
FALLIBLE line_take_text(struct line *line, struct bytes *out);

/* Whether something was read that is not taken. */
bool line_has_input(const struct line *line);

#endif
