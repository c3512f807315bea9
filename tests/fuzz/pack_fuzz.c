/*
 * Any bytes as MessagePack: reading stays within them, token by token or by
 * skipping, and what was read is the same after it was written again.
 */

#include <stdlib.h>
#include <string.h>

#include "base/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

static void write_token(struct writer *writer, const struct pack_token *token)
{
    switch (token->kind) {
    case PACK_NIL:
        pack_nil(writer);
        return;
    case PACK_BOOL:
        pack_bool(writer, token->value.is_true);
        return;
    case PACK_UINT:
        pack_uint(writer, token->value.natural);
        return;
    case PACK_INT:
        MUST(token->value.negative < 0);
        pack_int(writer, token->value.negative);
        return;
    case PACK_REAL:
        pack_real(writer, token->value.real);
        return;
    case PACK_STR:
        pack_str(writer, token->value.bytes);
        return;
    case PACK_BIN:
        pack_bin(writer, token->value.bytes);
        return;
    case PACK_ARRAY:
        pack_array(writer, token->value.count);
        return;
    case PACK_MAP:
        pack_map(writer, token->value.count);
        return;
    case PACK_EXT: /* nobody writes them */
    case PACK_NONE:
        abort();
    }
}

static void check_same(const struct pack_token *left,
                       const struct pack_token *right)
{
    MUST(left->kind == right->kind);
    switch (left->kind) {
    case PACK_BOOL:
        MUST(left->value.is_true == right->value.is_true);
        return;
    case PACK_UINT:
        MUST(left->value.natural == right->value.natural);
        return;
    case PACK_INT:
        MUST(left->value.negative == right->value.negative);
        return;
    case PACK_REAL: /* bit by bit: a NaN is not equal to itself */
        MUST(memcmp(&left->value.real, &right->value.real,
                    sizeof left->value.real) == 0);
        return;
    case PACK_STR:
    case PACK_BIN:
        MUST(bytes_are_equal(left->value.bytes, right->value.bytes));
        return;
    case PACK_ARRAY:
    case PACK_MAP:
        MUST(left->value.count == right->value.count);
        return;
    case PACK_EXT:
    case PACK_NIL:
    case PACK_NONE:
        return;
    }
}

static bool lies_within(struct bytes part, struct bytes whole)
{
    return part.length <= whole.length &&
           (part.length == 0 ||
            (part.data >= whole.data &&
             part.data + part.length <= whole.data + whole.length));
}

/* One token: within the input, no longer than it says, the same again. */
static void check_token(const struct pack_token *token,
                        const struct reader *after,
                        struct bytes whole)
{
    if (token->kind == PACK_STR || token->kind == PACK_BIN ||
        token->kind == PACK_EXT) {
        MUST(lies_within(token->value.bytes, whole));
    }
    if (token->kind == PACK_ARRAY) {
        MUST(token->value.count <= reader_left(after));
    }
    if (token->kind == PACK_MAP) {
        MUST(2 * (uint64_t)token->value.count <= reader_left(after));
    }
    if (token->kind == PACK_EXT) {
        return;
    }
    size_t capacity = whole.length + 16;
    size_t slack = token->kind == PACK_ARRAY || token->kind == PACK_MAP
                       ? 2 * (size_t)token->value.count
                       : 0;
    uint8_t *buffer = calloc(1, capacity + slack);
    MUST(buffer);
    struct writer writer = writer_of(buffer, capacity);
    write_token(&writer, token);
    MUST(!writer.failed);
    struct reader reader =
        reader_of(bytes_of(buffer, writer_bytes(&writer).length + slack));
    struct pack_token again = pack_read(&reader);
    check_same(token, &again);
    MUST(reader_left(&reader) == slack);
    free(buffer);
}

static void read_tokens(struct bytes whole)
{
    struct reader reader = reader_of(whole);
    for (;;) {
        size_t before = reader_left(&reader);
        enum pack_kind peeked = pack_peek(&reader);
        MUST(reader_left(&reader) == before);
        struct pack_token token = pack_read(&reader);
        MUST(token.kind == peeked);
        if (token.kind == PACK_NONE) {
            MUST(reader_left(&reader) == 0);
            return;
        }
        MUST(reader_left(&reader) < before);
        check_token(&token, &reader, whole);
        if (before - reader_left(&reader) > 4096) {
            return; /* long enough: copies of long parts take long */
        }
    }
}

/* Skipping a value must end where reading all its tokens ends. */
static void skip_values(struct bytes whole)
{
    struct reader skipping = reader_of(whole);
    struct reader reading = reader_of(whole);
    while (reader_left(&skipping) > 0) {
        pack_skip(&skipping);
        if (skipping.failed) {
            return;
        }
        for (uint64_t left = 1; left > 0; left--) {
            struct pack_token token = pack_read(&reading);
            MUST(token.kind != PACK_NONE);
            if (token.kind == PACK_ARRAY) {
                left += token.value.count;
            } else if (token.kind == PACK_MAP) {
                left += 2 * (uint64_t)token.value.count;
            }
        }
        MUST(reading.next == skipping.next);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct bytes whole = bytes_of(data, length);
    read_tokens(whole);
    skip_values(whole);
    struct reader reader = reader_of(whole);
    char text[8];
    pack_read_text(&reader, text, sizeof text);
    MUST(strlen(text) < sizeof text);
    return 0;
}
