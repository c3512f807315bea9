#include "shard/archive_wire.h"

#include "base/hash.h"
#include "base/pack.h"
#include "base/utf8.h"

#define VERSION 1
#define ASK_FIELDS 7
#define ANSWER_FIELDS 6

uint64_t archive_digest(uint64_t digest, struct bytes piece)
{
    return hash_bytes(piece, digest);
}

void archive_ask_encode(const struct archive_ask *ask, struct writer *writer)
{
    pack_record(writer, ASK_FIELDS);
    pack_uint(writer, VERSION);
    pack_uint(writer, ask->kind);
    pack_uint(writer, ask->session);
    pack_uint(writer, ask->piece);
    pack_uint(writer, ask->digest);
    pack_text(writer, ask->who);
    pack_bin(writer, ask->bytes);
    pack_record_end(writer);
}

static enum err read_end(struct reader *reader, uint32_t more)
{
    pack_skip_count(reader, more);
    return reader->failed || reader_left(reader) > 0 ? ERR_MALFORMED : ERR_NONE;
}

enum err archive_ask_decode(struct archive_ask *out, struct bytes bytes)
{
    struct reader reader = reader_of(bytes);
    uint32_t more = 0;
    enum err err = pack_read_version(&reader, VERSION, ASK_FIELDS, &more);
    if (err) {
        return err;
    }
    struct archive_ask ask = {
        .kind = (enum archive_kind)pack_read_uint_to(&reader,
                                                     ARCHIVE_KIND_COUNT - 1),
        .session = pack_read_uint(&reader),
        .piece = (uint32_t)pack_read_uint_to(&reader, UINT32_MAX),
        .digest = pack_read_uint(&reader),
    };
    pack_read_text(&reader, ask.who, sizeof ask.who);
    ask.bytes = pack_read_bin(&reader);
    err = read_end(&reader, more);
    if (err || ask.kind == 0 || ask.session == 0 ||
        !utf8_is_printable(ask.who)) {
        return ERR_MALFORMED;
    }
    if (ask.bytes.length > ARCHIVE_PIECE_BYTES_MAX) {
        return ERR_TOO_LARGE;
    }
    *out = ask;
    return ERR_NONE;
}

void archive_answer_encode(const struct archive_answer *answer,
                           struct writer *writer)
{
    pack_record(writer, ANSWER_FIELDS);
    pack_uint(writer, VERSION);
    pack_uint(writer, answer->state);
    pack_uint(writer, answer->index);
    pack_uint(writer, answer->piece);
    pack_uint(writer, answer->digest);
    pack_bin(writer, answer->bytes);
    pack_record_end(writer);
}

enum err archive_answer_decode(struct archive_answer *out, struct bytes bytes)
{
    struct reader reader = reader_of(bytes);
    uint32_t more = 0;
    enum err err = pack_read_version(&reader, VERSION, ANSWER_FIELDS, &more);
    if (err) {
        return err;
    }
    struct archive_answer answer = {
        .state = (enum archive_state)pack_read_uint_to(&reader,
                                                       ARCHIVE_STATE_COUNT - 1),
        .index = pack_read_uint(&reader),
        .piece = (uint32_t)pack_read_uint_to(&reader, UINT32_MAX),
        .digest = pack_read_uint(&reader),
    };
    answer.bytes = pack_read_bin(&reader);
    err = read_end(&reader, more);
    if (!err) {
        *out = answer;
    }
    return err;
}
