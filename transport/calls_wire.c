#include "transport/calls_wire.h"

#include "base/pack.h"

#define QUESTION_COUNT 6 /* elements */
#define ANSWER_COUNT 5
#define HEAD_COUNT 3

void calls_wire_write(struct writer *writer, const struct calls_wire *wire)
{
    bool asks = wire->kind == CALLS_WIRE_QUESTION;
    pack_record(writer, asks ? QUESTION_COUNT : ANSWER_COUNT);
    pack_uint(writer, CALLS_VERSION);
    pack_uint(writer, wire->kind);
    pack_uint(writer, wire->id);
    if (asks) {
        pack_uint(writer, wire->service);
        pack_uint(writer, wire->timeout_ms);
    } else {
        pack_uint(writer, wire->err);
    }
    pack_bin(writer, wire->content);
    pack_record_end(writer);
}

static void read_question(struct reader *in, struct calls_wire *out)
{
    out->service = pack_read_uint(in);
    uint64_t timeout_ms = pack_read_uint(in);
    out->timeout_ms =
        timeout_ms < UINT32_MAX ? (uint32_t)timeout_ms : UINT32_MAX;
    out->content = pack_read_bin(in);
}

static void read_answer(struct reader *in, struct calls_wire *out)
{
    uint64_t code = pack_read_uint(in);
    out->err = code < ERR_COUNT ? (enum err)code : ERR_UNCERTAIN;
    out->content = pack_read_bin(in);
}

/* What follows the head. False when it is not all there. */
static bool read_rest(struct reader *in, struct calls_wire *out, uint32_t count)
{
    uint32_t known =
        out->kind == CALLS_WIRE_QUESTION ? QUESTION_COUNT : ANSWER_COUNT;
    if (count < known) {
        return false;
    }
    if (out->kind == CALLS_WIRE_QUESTION) {
        read_question(in, out);
    } else {
        read_answer(in, out);
    }
    pack_skip_count(in, count - known);
    return !in->failed && reader_left(in) == 0;
}

enum err calls_wire_read(struct calls_wire *out, struct bytes message)
{
    struct reader in = reader_of(message);
    uint32_t count = pack_read_array(&in);
    uint64_t version = pack_read_uint(&in);
    uint64_t kind = pack_read_uint(&in);
    struct calls_wire wire = {.id = pack_read_uint(&in)};
    if (in.failed || count < HEAD_COUNT || kind > CALLS_WIRE_ANSWER) {
        return ERR_MALFORMED;
    }
    wire.kind = (enum calls_wire_kind)kind;
    bool is_ours = version == CALLS_VERSION;
    if (is_ours && !read_rest(&in, &wire, count)) {
        return ERR_MALFORMED;
    }
    *out = wire;
    return is_ours ? ERR_NONE : ERR_VERSION;
}
