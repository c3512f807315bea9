#include "tests/support/check.h"

#include <math.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "base/pack.h"
#include "tests/support/seeded.h"

static uint8_t buffer[200000];

static struct reader written(const struct writer *writer)
{
    CHECK(!writer->failed);
    return reader_of(writer_bytes(writer));
}

static void all_that_is_written_comes_back(void **state)
{
    (void)state;
    struct writer w = writer_of(buffer, sizeof buffer);
    pack_map(&w, 2);
    pack_text(&w, "key");
    pack_array(&w, 5);
    pack_nil(&w);
    pack_bool(&w, true);
    pack_bool(&w, false);
    pack_int(&w, -5);
    pack_real(&w, -0.25);
    pack_str(&w, bytes_of("a\0b", 3));
    pack_bin(&w, bytes_of("\xff\x00", 2));
    struct reader r = written(&w);
    CHECK(pack_peek(&r) == PACK_MAP);
    CHECK(pack_read_map(&r) == 2);
    char text[4];
    pack_read_text(&r, text, sizeof text);
    assert_string_equal(text, "key");
    CHECK(pack_read_array(&r) == 5);
    pack_read_nil(&r);
    CHECK(pack_read_bool(&r));
    CHECK(!pack_read_bool(&r));
    CHECK(pack_read_int(&r) == -5);
    CHECK(pack_read_real(&r) == -0.25);
    CHECK(bytes_are_equal(pack_read_str(&r), bytes_of("a\0b", 3)));
    CHECK(bytes_are_equal(pack_read_bin(&r), bytes_of("\xff\x00", 2)));
    CHECK(!r.failed && reader_left(&r) == 0);
    CHECK(pack_peek(&r) == PACK_NONE);
}

static void integers_of_every_width_come_back(void **state)
{
    (void)state;
    static const int64_t numbers[] = {
        0,         1,      127,    128,        255,
        256,       65535,  65536,  UINT32_MAX, INT64_C(4294967296),
        INT64_MAX, -1,     -32,    -33,        -128,
        -129,      -32768, -32769, INT32_MIN,  INT64_C(-2147483649),
        INT64_MIN};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct writer w = writer_of(buffer, sizeof buffer);
        pack_int(&w, numbers[i]);
        struct reader r = written(&w);
        CHECK(pack_read_int(&r) == numbers[i]);
        r = written(&w);
        uint64_t natural = pack_read_uint(&r);
        CHECK(r.failed == (numbers[i] < 0));
        CHECK(natural == (numbers[i] < 0 ? 0 : (uint64_t)numbers[i]));
    }
    struct writer w = writer_of(buffer, sizeof buffer);
    pack_uint(&w, UINT64_MAX);
    struct reader r = written(&w);
    CHECK(pack_read_uint(&r) == UINT64_MAX);
    r = written(&w);
    CHECK(pack_read_int(&r) == 0 && r.failed); /* does not fit */
}

static void integers_may_be_wider_than_they_need(void **state)
{
    (void)state;
    static const struct {
        const char *raw;
        size_t length;
        int64_t number;
    } cases[] = {
        {"\xcc\x05", 2, 5},
        {"\xcf\0\0\0\0\0\0\0\x05", 9, 5},
        {"\xd0\x05", 2, 5},
        {"\xd3\0\0\0\0\0\0\0\x05", 9, 5},
        {"\xd0\xff", 2, -1},
        {"\xd1\xff\xff", 3, -1},
        {"\xd2\xff\xff\xff\xff", 5, -1},
        {"\xd3\xff\xff\xff\xff\xff\xff\xff\xff", 9, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct reader r = reader_of(bytes_of(cases[i].raw, cases[i].length));
        CHECK(pack_read_int(&r) == cases[i].number);
        CHECK(!r.failed && reader_left(&r) == 0);
    }
}

static void strings_and_bytes_of_every_length_come_back(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 31, 32, 255, 256, 65535, 65536};
    static uint8_t given[65536];
    for (size_t i = 0; i < sizeof given; i++) {
        given[i] = (uint8_t)(i * 7);
    }
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct bytes bytes = bytes_of(given, lengths[i]);
        struct writer w = writer_of(buffer, sizeof buffer);
        pack_str(&w, bytes);
        pack_bin(&w, bytes);
        struct reader r = written(&w);
        CHECK(bytes_are_equal(pack_read_str(&r), bytes));
        CHECK(bytes_are_equal(pack_read_bin(&r), bytes));
        CHECK(!r.failed && reader_left(&r) == 0);
    }
}

static void counts_of_every_width_come_back(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 15, 16, 65535, 65536};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct writer w = writer_of(buffer, sizeof buffer);
        pack_array(&w, counts[i]);
        for (uint32_t n = 0; n < counts[i]; n++) {
            pack_nil(&w);
        }
        struct reader r = written(&w);
        CHECK(pack_read_array(&r) == counts[i]);
        w = writer_of(buffer, sizeof buffer);
        pack_map(&w, counts[i]);
        for (uint32_t n = 0; n < 2 * counts[i]; n++) {
            pack_nil(&w);
        }
        r = written(&w);
        CHECK(pack_read_map(&r) == counts[i]);
        r = written(&w);
        pack_skip(&r);
        CHECK(!r.failed && reader_left(&r) == 0);
    }
}

/* A head of five bytes, whichever the count; and nothing beyond the end. */
static void counts_may_be_known_at_the_end(void **state)
{
    (void)state;
    for (size_t capacity = 0; capacity <= 12; capacity++) {
        memset(buffer, 0xaa, 32);
        struct writer w = writer_of(buffer, capacity);
        size_t array = pack_array_begin(&w);
        size_t map = pack_map_begin(&w);
        pack_nil(&w);
        pack_nil(&w);
        pack_count(&w, map, 1);
        pack_count(&w, array, 0x01020304);
        CHECK(w.failed == (capacity < 12));
        CHECK(buffer[capacity] == 0xaa);
    }
    struct reader r = reader_of(bytes_of(buffer + 5, 7));
    CHECK(pack_read_map(&r) == 1);
    CHECK(memcmp(buffer, "\xdd\1\2\3\4", 5) == 0);
}

static void a_value_that_does_not_fit_fails_the_writer(void **state)
{
    (void)state;
    for (size_t capacity = 0; capacity < 40; capacity++) {
        memset(buffer, 0xaa, 64);
        struct writer w = writer_of(buffer, capacity);
        pack_array(&w, 3);
        pack_uint(&w, UINT64_MAX);
        pack_text(&w, "twenty characters...");
        pack_bin(&w, bytes_of("12345", 5));
        CHECK(w.failed == (capacity < 1 + 9 + 21 + 7));
        CHECK(buffer[capacity] == 0xaa);
    }
    struct writer w = writer_of(buffer, sizeof buffer);
    pack_bin(&w, bytes_of(buffer, (size_t)UINT32_MAX + 1));
    CHECK(w.failed);
}

static void a_value_of_another_type_fails_the_reader(void **state)
{
    (void)state;
    struct writer w = writer_of(buffer, sizeof buffer);
    pack_text(&w, "text");
    pack_nil(&w);
    struct reader r = written(&w);
    CHECK(pack_read_uint(&r) == 0 && r.failed);
    CHECK(pack_read_bool(&r) == false && r.failed); /* for good */
    r = written(&w);
    CHECK(pack_read_bin(&r).data == NULL && r.failed);
    r = written(&w);
    CHECK(pack_read_map(&r) == 0 && r.failed);
    r = written(&w);
    CHECK(pack_read_array(&r) == 0 && r.failed);
    r = written(&w);
    CHECK(pack_read_real(&r) == 0 && r.failed);
    r = written(&w);
    pack_read_nil(&r);
    CHECK(r.failed);
    w = writer_of(buffer, sizeof buffer);
    pack_nil(&w);
    r = written(&w);
    CHECK(pack_read_str(&r).data == NULL && r.failed);
}

static void a_length_beyond_the_end_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *raw;
        size_t length;
    } cases[] = {
        {"\xc1", 1},  /* never used */
        {"\xa2g", 2}, /* strings */
        {"\xd9\x02g", 3},
        {"\xda\xff\xffg", 4},
        {"\xdb\xff\xff\xff\xffg", 6},
        {"\xd9", 1},
        {"\xc4\x02g", 3}, /* bytes */
        {"\xc5\xff\xffg", 4},
        {"\xc6\xff\xff\xff\xffg", 6},
        {"\xdd\xff\xff\xff\xff\xc0", 6}, /* arrays */
        {"\xdc\x00\x02\xc0", 4},
        {"\x92\xc0", 2},
        {"\xdf\xff\xff\xff\xff\xc0", 6}, /* maps */
        {"\xdf\x80\x00\x00\x00\xc0", 6}, /* 2 * 2^31 */
        {"\x81\xc0", 2},
        {"\xcc", 1},
        {"\xcf\0\0\0\0\0\0\0", 8},
        {"\xca\0\0\0", 4},
        {"\xd4\x01", 2}, /* ext */
        {"\xc7\x01\x01", 3},
        {"\xc7\x00", 2},
        {"\xc9\xff\xff\xff\xff\x01", 6},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        /* On the heap, so that the sanitizer sees the end. */
        uint8_t *raw = malloc(cases[i].length);
        CHECK(raw);
        memcpy(raw, cases[i].raw, cases[i].length);
        struct reader r = reader_of(bytes_of(raw, cases[i].length));
        CHECK(pack_peek(&r) == PACK_NONE && !r.failed);
        CHECK(pack_read(&r).kind == PACK_NONE);
        CHECK(r.failed && reader_left(&r) == 0);
        r = reader_of(bytes_of(raw, cases[i].length));
        pack_skip(&r);
        CHECK(r.failed);
        free(raw);
    }
}

static void the_end_is_no_failure_until_a_value_is_wanted(void **state)
{
    (void)state;
    struct reader r = reader_of(bytes_of("", 0));
    CHECK(pack_read(&r).kind == PACK_NONE);
    CHECK(!r.failed);
    (void)pack_read_uint(&r);
    CHECK(r.failed);
    r = reader_of((struct bytes){0});
    pack_skip(&r);
    CHECK(r.failed);
}

static void extensions_are_read_with_their_type(void **state)
{
    (void)state;
    struct reader r = reader_of(bytes_of("\xd5\xfe\x01\x02"
                                         "\xc7\x00\x07",
                                         7));
    struct pack_token token = pack_read(&r);
    CHECK(token.kind == PACK_EXT && token.ext_type == -2);
    CHECK(bytes_are_equal(token.value.bytes, bytes_of("\x01\x02", 2)));
    token = pack_read(&r);
    CHECK(token.kind == PACK_EXT && token.ext_type == 7);
    CHECK(token.value.bytes.length == 0);
    CHECK(!r.failed && reader_left(&r) == 0);
}

static void reals_of_both_widths_are_read(void **state)
{
    (void)state;
    struct reader r = reader_of(bytes_of("\xca\x3f\x00\x00\x00", 5));
    CHECK(pack_read_real(&r) == 0.5);
    struct writer w = writer_of(buffer, sizeof buffer);
    pack_real(&w, INFINITY);
    pack_real(&w, NAN);
    r = written(&w);
    CHECK(isinf(pack_read_real(&r)));
    CHECK(isnan(pack_read_real(&r)));
}

static void a_text_must_fit_and_hold_no_zero(void **state)
{
    (void)state;
    char text[4] = "old";
    struct writer w = writer_of(buffer, sizeof buffer);
    pack_text(&w, "four");
    struct reader r = written(&w);
    pack_read_text(&r, text, sizeof text);
    CHECK(r.failed);
    assert_string_equal(text, "");
    w = writer_of(buffer, sizeof buffer);
    pack_str(&w, bytes_of("a\0", 2));
    r = written(&w);
    pack_read_text(&r, text, sizeof text);
    CHECK(r.failed);
    w = writer_of(buffer, sizeof buffer);
    pack_text(&w, "");
    r = written(&w);
    pack_read_text(&r, text, 1);
    CHECK(!r.failed);
}

static void skipping_stops_at_the_greatest_depth(void **state)
{
    (void)state;
    for (uint32_t depth = PACK_DEPTH_MAX - 1; depth < PACK_DEPTH_MAX + 2;
         depth++) {
        struct writer w = writer_of(buffer, sizeof buffer);
        for (uint32_t i = 0; i < depth; i++) {
            pack_array(&w, 1);
        }
        pack_nil(&w);
        struct reader r = written(&w);
        pack_skip(&r);
        CHECK(r.failed == (depth > PACK_DEPTH_MAX));
    }
    memset(buffer, 0x91, sizeof buffer); /* as deep as it is long */
    struct reader r = reader_of(bytes_of(buffer, sizeof buffer));
    pack_skip(&r);
    CHECK(r.failed);
}

/* A random value, at most three deep. */
static void write_any(struct writer *w, struct seeded *seeded, int depth)
{
    static const uint8_t noise[40] = "some bytes to be written, not all";
    uint64_t size = seeded_below(seeded, sizeof noise);
    switch (seeded_below(seeded, depth < 3 ? 9 : 7)) {
    case 0:
        pack_nil(w);
        return;
    case 1:
        pack_bool(w, size % 2);
        return;
    case 2:
        pack_uint(w, seeded_u64(seeded) >> seeded_below(seeded, 64));
        return;
    case 3:
        pack_int(w, -(int64_t)(seeded_u64(seeded) >>
                               (1 + seeded_below(seeded, 63))));
        return;
    case 4:
        pack_real(w, (double)size / 3);
        return;
    case 5:
        pack_str(w, bytes_of(noise, size));
        return;
    case 6:
        pack_bin(w, bytes_of(noise, size));
        return;
    case 7:
        pack_array(w, (uint32_t)size);
        break;
    default:
        pack_map(w, (uint32_t)size / 2);
        size = size / 2 * 2;
        break;
    }
    for (uint64_t i = 0; i < size; i++) {
        write_any(w, seeded, depth + 1);
    }
}

/* Read one value here and compare with what msgpack-c has made of it. */
static void compare(struct reader *r, const msgpack_object *object)
{
    struct pack_token token = pack_read(r);
    switch (token.kind) {
    case PACK_NIL:
        CHECK(object->type == MSGPACK_OBJECT_NIL);
        return;
    case PACK_BOOL:
        CHECK(object->type == MSGPACK_OBJECT_BOOLEAN);
        CHECK(object->via.boolean == token.value.is_true);
        return;
    case PACK_UINT:
        CHECK(object->type == MSGPACK_OBJECT_POSITIVE_INTEGER);
        CHECK(object->via.u64 == token.value.natural);
        return;
    case PACK_INT:
        CHECK(object->type == MSGPACK_OBJECT_NEGATIVE_INTEGER);
        CHECK(object->via.i64 == token.value.negative);
        return;
    case PACK_REAL:
        CHECK(object->type == MSGPACK_OBJECT_FLOAT64);
        CHECK(object->via.f64 == token.value.real);
        return;
    case PACK_STR:
        CHECK(object->type == MSGPACK_OBJECT_STR);
        CHECK(
            bytes_are_equal(token.value.bytes, bytes_of(object->via.str.ptr,
                                                        object->via.str.size)));
        return;
    case PACK_BIN:
        CHECK(object->type == MSGPACK_OBJECT_BIN);
        CHECK(
            bytes_are_equal(token.value.bytes, bytes_of(object->via.bin.ptr,
                                                        object->via.bin.size)));
        return;
    case PACK_ARRAY:
        CHECK(object->type == MSGPACK_OBJECT_ARRAY);
        CHECK(object->via.array.size == token.value.count);
        for (uint32_t i = 0; i < token.value.count; i++) {
            compare(r, &object->via.array.ptr[i]);
        }
        return;
    case PACK_MAP:
        CHECK(object->type == MSGPACK_OBJECT_MAP);
        CHECK(object->via.map.size == token.value.count);
        for (uint32_t i = 0; i < token.value.count; i++) {
            compare(r, &object->via.map.ptr[i].key);
            compare(r, &object->via.map.ptr[i].val);
        }
        return;
    case PACK_EXT:
    case PACK_NONE:
        CHECK(!"written");
    }
}

static void reads_as_msgpack_c_does(void **state)
{
    (void)state;
    struct seeded seeded = {.state = 17};
    for (int round = 0; round < 500; round++) {
        struct writer w = writer_of(buffer, sizeof buffer);
        write_any(&w, &seeded, 1);
        struct reader r = written(&w);
        struct bytes raw = writer_bytes(&w);
        msgpack_unpacked unpacked;
        msgpack_unpacked_init(&unpacked);
        size_t offset = 0;
        CHECK(msgpack_unpack_next(&unpacked, (const char *)raw.data, raw.length,
                                  &offset) == MSGPACK_UNPACK_SUCCESS);
        CHECK(offset == raw.length);
        compare(&r, &unpacked.data);
        msgpack_unpacked_destroy(&unpacked);
        CHECK(!r.failed && reader_left(&r) == 0);

        struct reader skipped = written(&w);
        pack_skip(&skipped);
        CHECK(!skipped.failed && reader_left(&skipped) == 0);
        for (size_t cut = 0; cut < raw.length && cut < 200; cut++) {
            struct reader part = reader_of(bytes_of(raw.data, cut));
            pack_skip(&part);
            CHECK(part.failed);
        }
    }
}

static void numbers_and_counts_stay_within_what_is_said(void **state)
{
    (void)state;
    uint8_t bytes[] = {7, 7, 0x92, 1, 2, 0x92, 1, 2, 0x92, 1, 2};
    struct reader r = reader_of(bytes_of(bytes, sizeof bytes));
    CHECK(pack_read_uint_to(&r, 7) == 7 && !r.failed);
    CHECK(pack_read_uint_to(&r, 6) == 0 && r.failed);
    r = reader_of(bytes_of(bytes + 2, sizeof bytes - 2));
    CHECK(pack_read_array_of(&r, 1, 2) == 2 && !r.failed);
    pack_skip_count(&r, 2);
    struct reader same = r;
    CHECK(pack_read_array_of(&r, 0, 1) == 0 && r.failed);
    CHECK(pack_read_array_of(&same, 3, UINT32_MAX) == 0 && same.failed);
    r = reader_of(bytes_of(bytes, 2));
    pack_skip_count(&r, 0);
    pack_skip_count(&r, 2);
    CHECK(!r.failed && reader_left(&r) == 0);
    pack_skip_count(&r, UINT32_MAX); /* ends with the bytes */
    CHECK(r.failed);
}

static enum err read_version(struct bytes bytes, uint32_t *more)
{
    struct reader r = reader_of(bytes);
    return pack_read_version(&r, 3, 2, more);
}

static void a_record_of_a_known_version_may_have_more(void **state)
{
    (void)state;
    uint32_t more = 9;
    CHECK(read_version(bytes_of("\x92\x03\x01", 3), &more) == ERR_NONE);
    CHECK(more == 0);
    CHECK(read_version(bytes_of("\x94\x03\x01\x01\x01", 5), &more) == ERR_NONE);
    CHECK(more == 2);
    CHECK(read_version(bytes_of("\x91\x03", 2), &more) == ERR_MALFORMED);
    CHECK(read_version(bytes_of("\x91\x04", 2), &more) == ERR_VERSION);
    CHECK(read_version(bytes_of("\x90", 1), &more) == ERR_MALFORMED);
    CHECK(read_version(bytes_of("\x92\xc0\x01", 3), &more) == ERR_MALFORMED);
    CHECK(more == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_is_written_comes_back),
        cmocka_unit_test(integers_of_every_width_come_back),
        cmocka_unit_test(integers_may_be_wider_than_they_need),
        cmocka_unit_test(strings_and_bytes_of_every_length_come_back),
        cmocka_unit_test(counts_of_every_width_come_back),
        cmocka_unit_test(counts_may_be_known_at_the_end),
        cmocka_unit_test(a_value_that_does_not_fit_fails_the_writer),
        cmocka_unit_test(a_value_of_another_type_fails_the_reader),
        cmocka_unit_test(a_length_beyond_the_end_is_refused),
        cmocka_unit_test(the_end_is_no_failure_until_a_value_is_wanted),
        cmocka_unit_test(extensions_are_read_with_their_type),
        cmocka_unit_test(reals_of_both_widths_are_read),
        cmocka_unit_test(a_text_must_fit_and_hold_no_zero),
        cmocka_unit_test(skipping_stops_at_the_greatest_depth),
        cmocka_unit_test(numbers_and_counts_stay_within_what_is_said),
        cmocka_unit_test(a_record_of_a_known_version_may_have_more),
        cmocka_unit_test(reads_as_msgpack_c_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
