#include "tests/support/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "admin/pack_json.h"
#include "base/pack.h"

#define BUFFER_BYTES 4096

/* The JSON text of what was packed; freed by the caller. */
static char *text_of(const struct writer *writer)
{
    json_t *value = NULL;
    CHECK(!writer->failed);
    CHECK_OK(pack_json_decode(&value, writer_bytes(writer)));
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    CHECK(text != NULL);
    json_decref(value);
    return text;
}

static void refuses(const void *bytes, size_t length, enum err err)
{
    json_t *value = NULL;
    CHECK_ERR(pack_json_decode(&value, bytes_of(bytes, length)), err);
    CHECK(!value);
}

static void every_kind_becomes_json(void **state)
{
    (void)state;
    uint8_t buffer[BUFFER_BYTES];
    struct writer writer = writer_of(buffer, sizeof buffer);
    pack_array(&writer, 10);
    pack_nil(&writer);
    pack_bool(&writer, true);
    pack_uint(&writer, 7);
    pack_int(&writer, -7);
    pack_uint(&writer, UINT64_MAX);
    pack_real(&writer, 1.5);
    pack_real(&writer, NAN);
    pack_text(&writer, "\xc3\xa4");
    pack_bin(&writer, bytes_of("\x01\xff", 2));
    pack_map(&writer, 1);
    pack_text(&writer, "a");
    pack_array(&writer, 0);
    char *text = text_of(&writer);
    assert_string_equal(text,
                        "[null,true,7,-7,\"18446744073709551615\",1.5,null,"
                        "\"\xc3\xa4\",\"01ff\",{\"a\":[]}]");
    free(text);
}

static void what_is_encoded_decodes_as_the_same(void **state)
{
    (void)state;
    uint8_t buffer[BUFFER_BYTES];
    struct writer writer = writer_of(buffer, sizeof buffer);
    static const char given[] =
        "{\"a\":[1,-2,true,false,null,\"x\",0.25],\"b\":{\"c\":{}}}";
    json_t *value = json_loads(given, 0, NULL);
    CHECK(value != NULL);
    pack_json_encode(&writer, value);
    json_decref(value);
    char *text = text_of(&writer);
    assert_string_equal(text, given);
    free(text);
}

static void what_is_no_messagepack_is_refused(void **state)
{
    (void)state;
    refuses("", 0, ERR_MALFORMED);
    refuses("\xc1", 1, ERR_MALFORMED);             /* never used */
    refuses("\x92\x01", 2, ERR_MALFORMED);         /* cut */
    refuses("\x01\x01", 2, ERR_MALFORMED);         /* two values */
    refuses("\xa1\xff", 2, ERR_MALFORMED);         /* not UTF-8 */
    refuses("\x81\x01\x01", 3, ERR_MALFORMED);     /* a number as a key */
    refuses("\x81\xa1\xff\x01", 4, ERR_MALFORMED); /* a key not UTF-8 */
    refuses("\x82\xa1"
            "a\x01\xa1"
            "a\x02",
            7, ERR_MALFORMED);                 /* a key twice */
    refuses("\xd4\x01\x01", 3, ERR_MALFORMED); /* an extension */
    /* Arrays of more than follows. */
    refuses("\xdd\xff\xff\xff\xff", 5, ERR_MALFORMED);
}

static void too_deep_is_refused_and_just_deep_enough_is_not(void **state)
{
    (void)state;
    uint8_t deep[PACK_JSON_DEPTH_MAX + 2];
    memset(deep, 0x91, sizeof deep);
    deep[PACK_JSON_DEPTH_MAX] = 0x01;
    json_t *value = NULL;
    CHECK_OK(pack_json_decode(&value, bytes_of(deep, PACK_JSON_DEPTH_MAX + 1)));
    json_decref(value);
    deep[PACK_JSON_DEPTH_MAX] = 0x91;
    deep[PACK_JSON_DEPTH_MAX + 1] = 0x01;
    refuses(deep, PACK_JSON_DEPTH_MAX + 2, ERR_MALFORMED);
}

static void too_many_values_are_refused(void **state)
{
    (void)state;
    size_t length = 5 + PACK_JSON_VALUES_MAX;
    uint8_t *bytes = calloc(1, length);
    CHECK(bytes != NULL);
    bytes[0] = 0xdd;
    bytes[1] = (uint8_t)(PACK_JSON_VALUES_MAX >> 24);
    bytes[2] = (uint8_t)(PACK_JSON_VALUES_MAX >> 16);
    refuses(bytes, length, ERR_TOO_LARGE);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_becomes_json),
        cmocka_unit_test(what_is_encoded_decodes_as_the_same),
        cmocka_unit_test(what_is_no_messagepack_is_refused),
        cmocka_unit_test(too_deep_is_refused_and_just_deep_enough_is_not),
        cmocka_unit_test(too_many_values_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
