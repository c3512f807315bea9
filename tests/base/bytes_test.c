#include "tests/support/check.h"

#include "base/bytes.h"
#include "base/utf8.h"

static void numbers_are_little_endian_and_come_back(void **state)
{
    (void)state;
    uint8_t raw[15];
    struct writer writer = writer_of(raw, sizeof raw);
    write_u8(&writer, 0x01);
    write_u16(&writer, 0x0302);
    write_u32(&writer, 0x07060504);
    write_u64(&writer, UINT64_C(0x0f0e0d0c0b0a0908));
    CHECK(!writer.failed);
    for (uint8_t i = 0; i < sizeof raw; i++) {
        CHECK(raw[i] == i + 1);
    }
    struct reader reader = reader_of(writer_bytes(&writer));
    CHECK(read_u8(&reader) == 0x01);
    CHECK(read_u16(&reader) == 0x0302);
    CHECK(read_u32(&reader) == 0x07060504);
    CHECK(read_u64(&reader) == UINT64_C(0x0f0e0d0c0b0a0908));
    CHECK(!reader.failed && reader_left(&reader) == 0);
}

static void a_read_past_the_end_fails_for_good(void **state)
{
    (void)state;
    const uint8_t raw[3] = {1, 2, 3};
    struct reader reader = reader_of(bytes_of(raw, sizeof raw));
    CHECK(read_u32(&reader) == 0);
    CHECK(reader.failed);
    CHECK(read_u8(&reader) == 0); /* though a byte was left */
    CHECK(read_bytes(&reader, 0).data == NULL);
    uint8_t to[2] = {9, 9};
    read_into(&reader, to, sizeof to);
    CHECK(to[0] == 0 && to[1] == 0);
    CHECK(reader_left(&reader) == 0);
}

static void a_huge_length_does_not_wrap(void **state)
{
    (void)state;
    const uint8_t raw[3] = {1, 2, 3};
    struct reader reader = reader_of(bytes_of(raw, sizeof raw));
    CHECK(read_bytes(&reader, SIZE_MAX).data == NULL);
    CHECK(reader.failed);
}

static void a_write_past_the_end_fails_for_good(void **state)
{
    (void)state;
    uint8_t raw[4] = {0, 0, 0, 0xaa};
    struct writer writer = writer_of(raw, 3);
    write_u16(&writer, 0x0101);
    write_u16(&writer, 0x0202);
    CHECK(writer.failed);
    write_u8(&writer, 3);
    CHECK(writer_bytes(&writer).length == 2);
    CHECK(raw[2] == 0 && raw[3] == 0xaa);
}

static void no_bytes_at_all_are_fine(void **state)
{
    (void)state;
    struct reader reader = reader_of((struct bytes){0});
    CHECK(reader_left(&reader) == 0 && !reader.failed);
    CHECK(read_bytes(&reader, 0).length == 0);
    CHECK(!reader.failed);
    struct writer writer = writer_of(NULL, 0);
    write_bytes(&writer, NULL, 0);
    CHECK(!writer.failed);
    write_u8(&writer, 1);
    CHECK(writer.failed);
    CHECK(bytes_are_equal((struct bytes){0}, bytes_of_text("")));
}

static void equality_is_of_length_and_content(void **state)
{
    (void)state;
    CHECK(bytes_are_equal(bytes_of_text("ab"), bytes_of("abc", 2)));
    CHECK(!bytes_are_equal(bytes_of_text("ab"), bytes_of_text("abc")));
    CHECK(!bytes_are_equal(bytes_of_text("ab"), bytes_of_text("ac")));
}

static void order_is_of_unsigned_bytes_then_of_length(void **state)
{
    (void)state;
    static const char *const sorted[] = {"", "a", "ab", "b", "\x7f", "\xff"};
    for (int i = 0; i < 6; i++) {
        for (int j = 0; j < 6; j++) {
            int order = bytes_compare(bytes_of_text(sorted[i]),
                                      bytes_of_text(sorted[j]));
            CHECK((order > 0) - (order < 0) == (i > j) - (i < j));
        }
    }
    CHECK(bytes_compare((struct bytes){0}, bytes_of_text("")) == 0);
}

static void hexadecimal_comes_back_and_is_checked(void **state)
{
    (void)state;
    const uint8_t raw[3] = {0x00, 0x9f, 0xff};
    char text[7];
    uint8_t to[3] = {0};
    hex_encode(text, bytes_of(raw, sizeof raw));
    assert_string_equal(text, "009fff");
    CHECK(hex_decode(to, 3, text) && memcmp(to, raw, 3) == 0);
    CHECK(hex_decode(to, 3, "009FfF") && memcmp(to, raw, 3) == 0);
    CHECK(!hex_decode(to, 3, "009ff"));
    CHECK(!hex_decode(to, 3, "009fff0"));
    CHECK(!hex_decode(to, 3, "009ffg"));
    CHECK(!hex_decode(to, 3, "0x9fff"));
    CHECK(hex_decode(to, 0, ""));
}

static void utf8_is_told_from_what_is_none(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "a",
                                       "\x7f",
                                       "\xc2\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xef\xbf",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5",
                                      "a\xff"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK(utf8_is_valid(good[i]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(!utf8_is_valid(bad[i]));
    }
    uint32_t code = 0;
    CHECK(utf8_decode("\xe2\x82\xac", &code) == 3 && code == 0x20ac);
    CHECK(utf8_decode("\xf0\x9f\x8e\xad", &code) == 4 && code == 0x1f3ad);
}

static void what_steers_terminals_is_not_printable(void **state)
{
    (void)state;
    CHECK(utf8_is_printable("") && utf8_is_printable("a \xc3\xa9 \xc2\xa0"));
    CHECK(!utf8_is_printable("\x1b[2J") && !utf8_is_printable("a\n"));
    CHECK(!utf8_is_printable("\x7f") && !utf8_is_printable("\xc2\x9b"));
    CHECK(!utf8_is_printable("\xff"));
    CHECK(utf8_is_control(0x1f) && !utf8_is_control(0x20));
    CHECK(utf8_is_control(0x9f) && !utf8_is_control(0xa0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_little_endian_and_come_back),
        cmocka_unit_test(a_read_past_the_end_fails_for_good),
        cmocka_unit_test(a_huge_length_does_not_wrap),
        cmocka_unit_test(a_write_past_the_end_fails_for_good),
        cmocka_unit_test(no_bytes_at_all_are_fine),
        cmocka_unit_test(equality_is_of_length_and_content),
        cmocka_unit_test(order_is_of_unsigned_bytes_then_of_length),
        cmocka_unit_test(hexadecimal_comes_back_and_is_checked),
        cmocka_unit_test(utf8_is_told_from_what_is_none),
        cmocka_unit_test(what_steers_terminals_is_not_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
