#include "node/control_question.h"

#include "base/pack.h"
#include "base/utf8.h"

#define HEAD_BYTES 64 /* keys and heads */

static void read_printable(struct reader *reader, char *to, size_t capacity)
{
    pack_read_text(reader, to, capacity);
    if (!utf8_is_printable(to)) {
        reader->failed = true;
        to[0] = '\0';
    }
}

/* A map, whatever is in it. */
static struct bytes read_args(struct reader *reader)
{
    const uint8_t *start = reader->next;
    if (pack_peek(reader) == PACK_NIL) {
        pack_read_nil(reader);
        return (struct bytes){0};
    }
    if (pack_peek(reader) != PACK_MAP) {
        reader->failed = true;
        return (struct bytes){0};
    }
    pack_skip(reader);
    return reader->failed ? (struct bytes){0}
                          : bytes_of(start, (size_t)(reader->next - start));
}

static void read_pair(struct control_question *question,
                      uint64_t *version,
                      struct reader *reader)
{
    struct bytes key = pack_read_str(reader);
    if (bytes_are_equal(key, bytes_of_text("v"))) {
        *version = pack_read_uint(reader);
    } else if (bytes_are_equal(key, bytes_of_text("verb"))) {
        read_printable(reader, question->verb, sizeof question->verb);
    } else if (bytes_are_equal(key, bytes_of_text("who"))) {
        read_printable(reader, question->who, sizeof question->who);
    } else if (bytes_are_equal(key, bytes_of_text("pools"))) {
        question->is_limited = true;
        pack_read_text(reader, question->pools, sizeof question->pools);
    } else if (bytes_are_equal(key, bytes_of_text("args"))) {
        question->args = read_args(reader);
    } else {
        pack_skip(reader);
    }
}

enum err control_question_decode(struct control_question *out,
                                 struct bytes bytes,
                                 struct err_detail *why)
{
    struct control_question question = {0};
    uint64_t version = 0;
    struct reader reader = reader_of(bytes);
    uint32_t count = pack_read_map(&reader);
    for (uint32_t i = 0; i < count && !reader.failed; i++) {
        read_pair(&question, &version, &reader);
    }
    if (reader.failed || reader_left(&reader) > 0) {
        err_explain(why, "not a question: a map with v, verb and args");
        return ERR_MALFORMED;
    }
    if (version != CONTROL_VERSION) {
        err_explain(why,
                    "a question of version %llu: this node knows version "
                    "%d",
                    (unsigned long long)version, CONTROL_VERSION);
        return ERR_VERSION;
    }
    if (question.verb[0] == '\0') {
        err_explain(why, "the question has no verb");
        return ERR_MALFORMED;
    }
    if (question.args.length > CONTROL_ARGS_BYTES_MAX) {
        err_explain(why, "%zu bytes of arguments: %u are possible",
                    question.args.length, CONTROL_ARGS_BYTES_MAX);
        return ERR_TOO_LARGE;
    }
    *out = question;
    return ERR_NONE;
}

size_t control_question_bytes_max(const struct control_question *question)
{
    return HEAD_BYTES + sizeof question->verb + sizeof question->who +
           sizeof question->pools + question->args.length;
}

void control_question_encode(const struct control_question *question,
                             struct writer *writer)
{
    bool has_args = question->args.length > 0;
    bool has_who = question->who[0] != '\0';
    pack_map(writer, 2u + has_args + has_who + question->is_limited);
    pack_text(writer, "v");
    pack_uint(writer, CONTROL_VERSION);
    pack_text(writer, "verb");
    pack_text(writer, question->verb);
    if (has_who) {
        pack_text(writer, "who");
        pack_text(writer, question->who);
    }
    if (question->is_limited) {
        pack_text(writer, "pools");
        pack_text(writer, question->pools);
    }
    if (has_args) {
        pack_text(writer, "args");
        write_bytes(writer, question->args.data, question->args.length);
    }
}
