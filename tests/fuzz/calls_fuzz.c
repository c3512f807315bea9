/*
 * Any bytes as a question or an answer: reading stays within them, and what
 * was read and written again reads the same.
 */

#include <stdlib.h>

#include "transport/calls_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

static void check_within(struct bytes part, struct bytes whole)
{
    MUST(part.length == 0 ||
         (part.data >= whole.data &&
          part.data + part.length <= whole.data + whole.length));
}

static void check_again(const struct calls_wire *wire)
{
    size_t capacity = wire->content.length + CALLS_WIRE_OVERHEAD_BYTES;
    uint8_t *raw = malloc(capacity);
    MUST(raw);
    struct writer writer = writer_of(raw, capacity);
    calls_wire_write(&writer, wire);
    MUST(!writer.failed);
    struct calls_wire again = {0};
    MUST(!calls_wire_read(&again, writer_bytes(&writer)));
    MUST(again.kind == wire->kind && again.id == wire->id);
    MUST(again.service == wire->service);
    MUST(again.timeout_ms == wire->timeout_ms);
    MUST(again.err == wire->err);
    MUST(bytes_are_equal(again.content, wire->content));
    free(raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct bytes whole = bytes_of(data, length);
    struct calls_wire wire = {0};
    enum err err = calls_wire_read(&wire, whole);
    MUST(err == ERR_NONE || err == ERR_VERSION || err == ERR_MALFORMED);
    if (err == ERR_NONE) {
        MUST(wire.kind <= CALLS_WIRE_ANSWER && wire.err < ERR_COUNT);
        check_within(wire.content, whole);
        check_again(&wire);
    }
    return 0;
}
