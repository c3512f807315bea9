/*
 * Writing is msgpack-c's. Its readers allocate, or call back; so reading is
 * done here, after the specification (msgpack.org, version 5).
 */

#include "base/pack.h"

#include <assert.h>
#include <msgpack/pack.h>

static int write_part(void *context, const char *part, size_t length)
{
    struct writer *writer = context;
    write_bytes(writer, part, length);
    return writer->failed ? -1 : 0;
}

static msgpack_packer packer_of(struct writer *writer)
{
    return (msgpack_packer){.data = writer, .callback = write_part};
}

/* The templates' results repeat what writer->failed says. */

void pack_nil(struct writer *writer)
{
    msgpack_packer packer = packer_of(writer);
    (void)msgpack_pack_nil(&packer);
}

void pack_bool(struct writer *writer, bool value)
{
    msgpack_packer packer = packer_of(writer);
    (void)(value ? msgpack_pack_true(&packer) : msgpack_pack_false(&packer));
}

void pack_uint(struct writer *writer, uint64_t value)
{
    msgpack_packer packer = packer_of(writer);
    (void)msgpack_pack_uint64(&packer, value);
}

void pack_int(struct writer *writer, int64_t value)
{
    msgpack_packer packer = packer_of(writer);
    (void)msgpack_pack_int64(&packer, value);
}

void pack_real(struct writer *writer, double value)
{
    msgpack_packer packer = packer_of(writer);
    (void)msgpack_pack_double(&packer, value);
}

void pack_text(struct writer *writer, const char *text)
{
    pack_str(writer, bytes_of_text(text));
}

void pack_str(struct writer *writer, struct bytes text)
{
    if (text.length > UINT32_MAX) {
        writer->failed = true;
        return;
    }
    msgpack_packer packer = packer_of(writer);
    (void)msgpack_pack_str(&packer, text.length);
    write_bytes(writer, text.data, text.length);
}

void pack_bin(struct writer *writer, struct bytes bytes)
{
    if (bytes.length > UINT32_MAX) {
        writer->failed = true;
        return;
    }
    msgpack_packer packer = packer_of(writer);
    (void)msgpack_pack_bin(&packer, bytes.length);
    write_bytes(writer, bytes.data, bytes.length);
}

void pack_array(struct writer *writer, uint32_t count)
{
    msgpack_packer packer = packer_of(writer);
    (void)msgpack_pack_array(&packer, count);
}

/* The next release, as far as the tests need one: its records have a field
 * more than this release knows. */
#ifdef TROUPE_NEXT
#define APPENDED_FIELDS 1
#else
#define APPENDED_FIELDS 0
#endif

void pack_record(struct writer *writer, uint32_t field_count)
{
    pack_array(writer, field_count + APPENDED_FIELDS);
}

void pack_record_end(struct writer *writer)
{
    if (APPENDED_FIELDS) {
        pack_nil(writer);
    }
}

void pack_map(struct writer *writer, uint32_t count)
{
    msgpack_packer packer = packer_of(writer);
    (void)msgpack_pack_map(&packer, count);
}

/* MessagePack's heads whose count takes four bytes, in network order. */
#define ARRAY_HEAD 0xdd
#define MAP_HEAD 0xdf

static size_t begin(struct writer *writer, uint8_t head)
{
    size_t begun = writer_bytes(writer).length;
    write_bytes(writer, (const uint8_t[5]){head}, 5);
    return begun;
}

size_t pack_array_begin(struct writer *writer)
{
    return begin(writer, ARRAY_HEAD);
}

size_t pack_map_begin(struct writer *writer)
{
    return begin(writer, MAP_HEAD);
}

void pack_count(const struct writer *writer, size_t begun, uint32_t count)
{
    for (uint32_t i = 0; i < 4 && !writer->failed; i++) {
        writer->start[begun + 4 - i] = (uint8_t)(count >> 8 * i);
    }
}

static struct pack_token none(struct reader *reader)
{
    reader->failed = true;
    reader->next = reader->end;
    return (struct pack_token){.kind = PACK_NONE};
}

/* A big-endian number of 1, 2, 4 or 8 bytes. */
static uint64_t read_big(struct reader *reader, size_t length)
{
    struct bytes raw = read_bytes(reader, length);
    uint64_t value = 0;
    for (size_t i = 0; i < raw.length; i++) {
        value = value << 8 | raw.data[i];
    }
    return value;
}

static struct pack_token natural_token(uint64_t value)
{
    return (struct pack_token){.kind = PACK_UINT, .value.natural = value};
}

static struct pack_token signed_token(int64_t value)
{
    if (value >= 0) {
        return natural_token((uint64_t)value);
    }
    return (struct pack_token){.kind = PACK_INT, .value.negative = value};
}

static struct pack_token read_signed(struct reader *reader, size_t length)
{
    uint64_t raw = read_big(reader, length);
    unsigned unused_bits = 64 - 8 * (unsigned)length;
    /* Shifting the sign bit down fills with it, in gcc and clang. */
    return signed_token((int64_t)(raw << unused_bits) >> unused_bits);
}

static struct pack_token read_real(struct reader *reader, size_t length)
{
    uint64_t raw = read_big(reader, length);
    struct pack_token token = {.kind = PACK_REAL};
    if (length == sizeof(float)) {
        uint32_t bits = (uint32_t)raw;
        float real = 0;
        memcpy(&real, &bits, sizeof real);
        token.value.real = (double)real;
    } else {
        memcpy(&token.value.real, &raw, sizeof raw);
    }
    return token;
}

static struct pack_token bytes_token(struct reader *reader,
                                     enum pack_kind kind,
                                     uint64_t length)
{
    struct pack_token token = {.kind = kind};
    if (length > reader_left(reader)) {
        return none(reader);
    }
    if (kind == PACK_EXT) {
        token.ext_type = (int8_t)read_u8(reader);
    }
    token.value.bytes = read_bytes(reader, (size_t)length);
    return token;
}

/* Each value that follows has at least one byte. */
static struct pack_token count_token(struct reader *reader,
                                     enum pack_kind kind,
                                     uint64_t count)
{
    uint64_t value_count = kind == PACK_MAP ? 2 * count : count;
    if (value_count > reader_left(reader)) {
        return none(reader);
    }
    return (struct pack_token){.kind = kind, .value.count = (uint32_t)count};
}

/* Those whose first byte holds a small value or length. */
static struct pack_token read_small(struct reader *reader, uint8_t first)
{
    if (first <= 0x7f) {
        return natural_token(first);
    }
    if (first >= 0xe0) {
        return signed_token((int8_t)first);
    }
    if (first <= 0x8f) {
        return count_token(reader, PACK_MAP, first & 0x0f);
    }
    if (first <= 0x9f) {
        return count_token(reader, PACK_ARRAY, first & 0x0f);
    }
    assert(first <= 0xbf);
    return bytes_token(reader, PACK_STR, first & 0x1f);
}

/* Those whose width or length follows: 0xc0 .. 0xdf. */
static struct pack_token read_wide(struct reader *reader, uint8_t first)
{
    switch (first) {
    case 0xc0:
        return (struct pack_token){.kind = PACK_NIL};
    case 0xc2:
    case 0xc3:
        return (struct pack_token){.kind = PACK_BOOL,
                                   .value.is_true = first == 0xc3};
    case 0xc4:
    case 0xc5:
    case 0xc6:
        return bytes_token(reader, PACK_BIN,
                           read_big(reader, 1u << (first - 0xc4)));
    case 0xc7:
    case 0xc8:
    case 0xc9:
        return bytes_token(reader, PACK_EXT,
                           read_big(reader, 1u << (first - 0xc7)));
    case 0xca:
    case 0xcb:
        return read_real(reader, 4u << (first - 0xca));
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return natural_token(read_big(reader, 1u << (first - 0xcc)));
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return read_signed(reader, 1u << (first - 0xd0));
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        return bytes_token(reader, PACK_EXT, 1u << (first - 0xd4));
    case 0xd9:
    case 0xda:
    case 0xdb:
        return bytes_token(reader, PACK_STR,
                           read_big(reader, 1u << (first - 0xd9)));
    case 0xdc:
    case ARRAY_HEAD:
        return count_token(reader, PACK_ARRAY,
                           read_big(reader, 2u << (first - 0xdc)));
    case 0xde:
    case MAP_HEAD:
        return count_token(reader, PACK_MAP,
                           read_big(reader, 2u << (first - 0xde)));
    default:
        return none(reader); /* 0xc1 is never used */
    }
}

struct pack_token pack_read(struct reader *reader)
{
    if (reader->failed || reader_left(reader) == 0) {
        return (struct pack_token){.kind = PACK_NONE};
    }
    uint8_t first = read_u8(reader);
    if (first < 0xc0 || first > 0xdf) {
        /* Not copied: to copy what was just written, field by field, stalls. */
        return read_small(reader, first);
    }
    struct pack_token token = read_wide(reader, first);
    return reader->failed ? none(reader) : token;
}

enum pack_kind pack_peek(const struct reader *reader)
{
    struct reader copy = *reader;
    return pack_read(&copy).kind;
}

/* The next one, which must be of this kind. */
static struct pack_token expect(struct reader *reader, enum pack_kind kind)
{
    struct pack_token token = pack_read(reader);
    if (token.kind != kind) {
        (void)none(reader);
        return (struct pack_token){.kind = PACK_NONE};
    }
    return token;
}

void pack_read_nil(struct reader *reader)
{
    (void)expect(reader, PACK_NIL);
}

bool pack_read_bool(struct reader *reader)
{
    return expect(reader, PACK_BOOL).value.is_true;
}

uint64_t pack_read_uint(struct reader *reader)
{
    return expect(reader, PACK_UINT).value.natural;
}

int64_t pack_read_int(struct reader *reader)
{
    struct pack_token token = pack_read(reader);
    if (token.kind == PACK_INT) {
        return token.value.negative;
    }
    if (token.kind == PACK_UINT && token.value.natural <= INT64_MAX) {
        return (int64_t)token.value.natural;
    }
    (void)none(reader);
    return 0;
}

double pack_read_real(struct reader *reader)
{
    return expect(reader, PACK_REAL).value.real;
}

struct bytes pack_read_str(struct reader *reader)
{
    return expect(reader, PACK_STR).value.bytes;
}

struct bytes pack_read_bin(struct reader *reader)
{
    return expect(reader, PACK_BIN).value.bytes;
}

uint32_t pack_read_array(struct reader *reader)
{
    return expect(reader, PACK_ARRAY).value.count;
}

uint32_t pack_read_map(struct reader *reader)
{
    return expect(reader, PACK_MAP).value.count;
}

uint64_t pack_read_uint_to(struct reader *reader, uint64_t max)
{
    uint64_t value = pack_read_uint(reader);
    if (value > max) {
        (void)none(reader);
        return 0;
    }
    return value;
}

uint32_t pack_read_array_of(struct reader *reader, uint32_t min, uint32_t max)
{
    uint32_t count = pack_read_array(reader);
    if (count < min || count > max) {
        (void)none(reader);
        return 0;
    }
    return count;
}

void pack_read_text(struct reader *reader, char *to, size_t capacity)
{
    assert(capacity > 0);
    to[0] = '\0';
    struct bytes text = pack_read_str(reader);
    if (text.length >= capacity ||
        (text.length > 0 && memchr(text.data, 0, text.length))) {
        (void)none(reader);
        return;
    }
    if (text.length > 0) {
        memcpy(to, text.data, text.length);
    }
    to[text.length] = '\0';
}

void pack_skip(struct reader *reader)
{
    /* How many values are still to come, at each depth. */
    uint64_t left[PACK_DEPTH_MAX + 1] = {1};
    size_t depth = 0;
    for (;;) {
        while (left[depth] == 0) {
            if (depth == 0) {
                return;
            }
            depth--;
        }
        left[depth]--;
        struct pack_token token = pack_read(reader);
        if (token.kind == PACK_NONE) {
            (void)none(reader); /* the end came too early */
            return;
        }
        if (token.kind == PACK_ARRAY || token.kind == PACK_MAP) {
            if (depth == PACK_DEPTH_MAX) {
                (void)none(reader);
                return;
            }
            uint64_t count = token.value.count;
            left[++depth] = token.kind == PACK_MAP ? 2 * count : count;
        }
    }
}

void pack_skip_count(struct reader *reader, uint32_t count)
{
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        pack_skip(reader);
    }
}

enum err pack_read_version(struct reader *reader,
                           uint64_t version,
                           uint32_t known,
                           uint32_t *more)
{
    uint32_t count = pack_read_array_of(reader, 1, UINT32_MAX);
    uint64_t read = pack_read_uint(reader);
    if (reader->failed) {
        return ERR_MALFORMED;
    }
    if (read != version) {
        return ERR_VERSION;
    }
    if (count < known) {
        return ERR_MALFORMED;
    }
    *more = count - known;
    return ERR_NONE;
}
