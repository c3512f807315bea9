/*
 * Any bytes as the frames of one lane: headers and items are read within
 * their bounds, and no message comes out that is longer than allowed.
 *
 * Input: pieces, each a length (u8) and as many bytes, one frame each.
 */

#include <stdlib.h>

#include "transport/inbox.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define MESSAGE_BYTES_MAX 300

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

struct outcome {
    uint64_t delivered_count;
    uint64_t byte_sum;
};

static void deliver(void *context, uint8_t channel, struct bytes message)
{
    struct outcome *outcome = context;
    MUST(channel < CHANNEL_COUNT);
    MUST(message.length <= MESSAGE_BYTES_MAX);
    outcome->delivered_count++;
    for (size_t i = 0; i < message.length; i++) {
        outcome->byte_sum += message.data[i]; /* all of it can be read */
    }
}

static void check_header(struct bytes frame)
{
    struct frame_header header = {0};
    enum err err = frame_header_decode(&header, frame);
    MUST(err == ERR_NONE || err == ERR_MALFORMED);
    if (!err) {
        uint8_t again[FRAME_HEADER_BYTES];
        frame_header_encode(again, &header);
        MUST(bytes_are_equal(bytes_of(again, sizeof again),
                             bytes_of(frame.data, sizeof again)));
    }
}

/* In memory of its own: reading past the end is then found. */
static enum err take(struct inbox *inbox, struct bytes piece)
{
    uint8_t *copy = malloc(piece.length + 1);
    MUST(copy);
    if (piece.length > 0) {
        memcpy(copy + 1, piece.data, piece.length);
    }
    struct bytes exact = bytes_of(copy + 1, piece.length);
    check_header(exact);
    struct outcome outcome = {0};
    struct inbox_target target = {.context = &outcome, .deliver = deliver};
    uint64_t count = 0;
    enum err err = inbox_take(inbox, exact, &target, &count);
    MUST(err == ERR_NONE || err == ERR_MALFORMED || err == ERR_TOO_LARGE);
    MUST(err || count == outcome.delivered_count);
    MUST(inbox->assembly_bytes <= MESSAGE_BYTES_MAX);
    MUST(inbox->assembled_bytes <= inbox->assembly_bytes);
    free(copy);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct inbox inbox;
    inbox_init(&inbox, MESSAGE_BYTES_MAX, false);
    struct reader reader = reader_of(bytes_of(data, length));
    enum err err = ERR_NONE;
    while (!err && reader_left(&reader) > 0) {
        size_t piece = read_u8(&reader);
        if (piece > reader_left(&reader)) {
            piece = reader_left(&reader);
        }
        err = take(&inbox, read_bytes(&reader, piece));
    }
    inbox_clear(&inbox);
    return 0;
}
