/*
 * An input, line by line: or by whatever ends its parts.
 *
 * One thread.
 */

#ifndef ADMIN_LINE_INPUT_H
#define ADMIN_LINE_INPUT_H

#include "base/buffer.h"
#include "base/inputs.h"

#include <stdbool.h>

struct line_input {
    /* Set by who opens it. */
    const struct inputs *inputs;
    char end;         /* '\n', '\0' */
    size_t bytes_max; /* of a line */

    /* Its own. */
    void *input;
    struct buffer buffer;
    uint64_t number; /* of the line that was read last, from 1 on */
    size_t searched; /* bytes in which there is no end */
    size_t taken;    /* of the line that was given out, with its end */
    bool is_skipping;
    bool has_ended;
};

/* What struct inputs says. */
FALLIBLE line_input_open(struct line_input *input, const char *path);
void line_input_close(struct line_input *input);

/*
 * The next line, without its end: borrowed until the next call. The last needs
 * no end.
 *
 * ERR_TIMEOUT     there is none yet, after `wait_ms`
 * ERR_CLOSED      there are no more
 * ERR_TOO_LARGE   it is longer than bytes_max, and skipped: go on
 * ERR_IO, ERR_MEMORY
 */
FALLIBLE line_input_next(struct line_input *input,
                         uint32_t wait_ms,
                         struct bytes *line);

#endif
