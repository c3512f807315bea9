#include "admin/line_input.h"

#define READ_BYTES (64u << 10)

enum err line_input_open(struct line_input *input, const char *path)
{
    return input->inputs->open(input->inputs->context, path, &input->input);
}

void line_input_close(struct line_input *input)
{
    if (input->input) {
        input->inputs->close(input->input);
    }
    input->input = NULL;
    buffer_clear(&input->buffer);
}

static enum err fill(struct line_input *input, uint32_t wait_ms)
{
    uint8_t *at = NULL;
    size_t length = 0;
    enum err err = buffer_reserve(&input->buffer, READ_BYTES, &at);
    if (!err) {
        err =
            input->inputs->read(input->input, at, READ_BYTES, wait_ms, &length);
    }
    if (!err) {
        buffer_grow(&input->buffer, length);
    }
    return err;
}

/* Of what is in the buffer; false: no line ends in it. */
static bool find_line(struct line_input *input, size_t *length)
{
    struct bytes bytes = buffer_bytes(&input->buffer);
    const uint8_t *end = bytes.length > input->searched
                             ? memchr(bytes.data + input->searched, input->end,
                                      bytes.length - input->searched)
                             : NULL;
    input->searched = end ? 0 : bytes.length;
    if (end) {
        *length = (size_t)(end - bytes.data);
        input->taken = *length + 1;
    } else if (input->has_ended && bytes.length > 0) {
        *length = bytes.length;
        input->taken = *length;
        input->searched = 0;
    }
    return input->taken > 0;
}

/* What is longer than a line may be goes, until its end is there. */
static void skip(struct line_input *input)
{
    input->is_skipping = true;
    input->searched = 0;
    buffer_take(&input->buffer, buffer_length(&input->buffer));
}

static enum err give(struct line_input *input,
                     size_t length,
                     struct bytes *line)
{
    bool is_long = input->is_skipping || length > input->bytes_max;
    input->is_skipping = false;
    input->number++;
    *line = bytes_of(buffer_bytes(&input->buffer).data, is_long ? 0 : length);
    return is_long ? ERR_TOO_LARGE : ERR_NONE;
}

enum err line_input_next(struct line_input *input,
                         uint32_t wait_ms,
                         struct bytes *line)
{
    size_t length = 0;
    buffer_take(&input->buffer, input->taken);
    input->taken = 0;
    while (!find_line(input, &length)) {
        if (buffer_length(&input->buffer) > input->bytes_max) {
            skip(input);
        }
        if (input->has_ended) {
            /* A line that was too long, and that nothing ended. */
            return input->is_skipping ? give(input, 0, line) : ERR_CLOSED;
        }
        enum err err = fill(input, wait_ms);
        input->has_ended = err == ERR_CLOSED;
        if (err && err != ERR_CLOSED) {
            return err;
        }
    }
    return give(input, length, line);
}
