#include "node/fields.h"

#include "tests/support/check.h"

#include "base/pack.h"

#define BUFFER_BYTES 256

static void writes_maps_and_lists_within_each_other(void **state)
{
    (void)state;
    uint8_t buffer[BUFFER_BYTES];
    struct writer writer = writer_of(buffer, sizeof buffer);
    struct fields map = fields_begin(&writer);
    fields_uint(&map, "a", 1);
    struct fields list = fields_list(&map, "b");
    pack_uint(fields_item(&list), 7);
    struct fields inner = fields_item_map(&list);
    fields_hex(&inner, "c", 0xabc);
    fields_hex(&inner, "d", 0);
    fields_end(&inner);
    fields_end(&list);
    fields_bool(&map, "e", true);
    fields_end(&map);
    CHECK(!writer.failed);

    struct reader reader = reader_of(writer_bytes(&writer));
    char text[32];
    CHECK(pack_read_map(&reader) == 3);
    pack_read_text(&reader, text, sizeof text);
    assert_string_equal(text, "a");
    CHECK(pack_read_uint(&reader) == 1);
    pack_skip(&reader);
    CHECK(pack_read_array(&reader) == 2);
    CHECK(pack_read_uint(&reader) == 7);
    CHECK(pack_read_map(&reader) == 2);
    pack_skip(&reader);
    pack_read_text(&reader, text, sizeof text);
    assert_string_equal(text, "0000000000000abc");
    pack_skip(&reader);
    pack_read_nil(&reader);
    pack_skip(&reader);
    CHECK(pack_read_bool(&reader));
    CHECK(!reader.failed && reader_left(&reader) == 0);
}

static void says_that_the_writer_is_too_small(void **state)
{
    (void)state;
    uint8_t buffer[BUFFER_BYTES];
    size_t bytes = 0;
    for (bool fits = false; !fits; bytes++) {
        struct writer writer = writer_of(buffer, bytes);
        struct fields map = fields_begin(&writer);
        struct fields list = fields_list(&map, "list");
        fields_end(&list);
        fields_text(&map, "text", "some");
        fields_end(&map);
        fits = !writer.failed;
    }
    /* two heads of 5, and the texts */
    CHECK(bytes - 1 == 5 + 5 + 5 + 5 + 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_maps_and_lists_within_each_other),
        cmocka_unit_test(says_that_the_writer_is_too_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
