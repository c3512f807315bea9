#include "tests/support/check.h"

#include "transport/frame.h"

static void a_header_has_the_documented_layout(void **state)
{
    (void)state;
    struct frame_header header = {.version = 0x01,
                                  .lane = LANE_DATA,
                                  .generation = 0x1234,
                                  .session = 0x89abcdef,
                                  .sequence = UINT64_C(0x1122334455667788)};
    static const uint8_t expected[FRAME_HEADER_BYTES] = {
        0x01, 3,    0x34, 0x12, 0xef, 0xcd, 0xab, 0x89,
        0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};
    uint8_t raw[FRAME_OVERHEAD_BYTES] = {0};
    frame_header_encode(raw, &header);
    assert_memory_equal(raw, expected, sizeof expected);
    struct frame_header back = {0};
    CHECK_OK(frame_header_decode(&back, bytes_of(raw, sizeof raw)));
    CHECK(back.version == header.version && back.lane == header.lane &&
          back.generation == header.generation &&
          back.session == header.session && back.sequence == header.sequence);
}

static void refuses_what_is_shorter_than_any_frame(void **state)
{
    (void)state;
    uint8_t raw[FRAME_OVERHEAD_BYTES] = {0};
    struct frame_header header = {.sequence = 7};
    for (size_t length = 0; length < sizeof raw; length++) {
        CHECK_ERR(frame_header_decode(&header, bytes_of(raw, length)),
                  ERR_MALFORMED);
        CHECK(header.sequence == 7); /* touched on success only */
    }
    CHECK_ERR(frame_header_decode(&header, (struct bytes){0}), ERR_MALFORMED);
    CHECK_OK(frame_header_decode(&header, bytes_of(raw, sizeof raw)));
}

static void refuses_every_unknown_lane(void **state)
{
    (void)state;
    uint8_t raw[FRAME_OVERHEAD_BYTES] = {0};
    for (unsigned lane = 0; lane <= UINT8_MAX; lane++) {
        raw[1] = (uint8_t)lane;
        struct frame_header header = {0};
        enum err err = frame_header_decode(&header, bytes_of(raw, sizeof raw));
        CHECK_ERR(err, lane < LANE_COUNT ? ERR_NONE : ERR_MALFORMED);
    }
}

static void acks_come_back_as_they_went(void **state)
{
    (void)state;
    struct frame_acks acks = {.control = UINT64_C(0x0102030405060708),
                              .data = UINT64_MAX - 1};
    uint8_t raw[FRAME_ACKS_BYTES];
    frame_acks_encode(raw, &acks);
    CHECK(raw[0] == 0x08 && raw[7] == 0x01 && raw[8] == 0xfe);
    struct frame_acks back = frame_acks_decode(raw);
    CHECK(back.control == acks.control && back.data == acks.data);
}

static void an_item_header_keeps_length_channel_and_flags_apart(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 255, 70000, ITEM_CONTENT_BYTES_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (unsigned bits = 0; bits < 4 * CHANNEL_COUNT; bits++) {
            struct item item = {.channel = (uint8_t)(bits / 4),
                                .begins = bits & 1,
                                .ends = bits >> 1 & 1,
                                .content = bytes_of(NULL, lengths[i])};
            uint8_t raw[ITEM_HEADER_BYTES];
            item_header_encode(raw, &item);
            uint32_t word = get_u32(raw);
            CHECK((word & 0xffffff) == lengths[i]);
            CHECK((word >> 24 & 63) == item.channel);
            CHECK((word >> 30 & 1) == item.begins);
            CHECK(word >> 31 == item.ends);
        }
    }
}

static void items_come_back_one_after_the_other(void **state)
{
    (void)state;
    uint8_t raw[64];
    size_t at = 0;
    for (uint8_t i = 0; i < 5; i++) {
        struct item item = {.channel = (uint8_t)(60 + i % 4),
                            .begins = true,
                            .ends = i % 2,
                            .content = bytes_of("abcd", i)};
        item_header_encode(raw + at, &item);
        memcpy(raw + at + ITEM_HEADER_BYTES, "abcd", i);
        at += ITEM_HEADER_BYTES + i;
    }
    struct reader reader = reader_of(bytes_of(raw, at));
    for (uint8_t i = 0; i < 5; i++) {
        struct item item = {0};
        CHECK(item_decode(&item, &reader));
        CHECK(item.channel == 60 + i % 4);
        CHECK(item.begins && item.ends == i % 2);
        CHECK(bytes_are_equal(item.content, bytes_of("abcd", i)));
    }
    CHECK(reader_left(&reader) == 0);
}

static void an_item_that_does_not_fit_is_none(void **state)
{
    (void)state;
    uint8_t raw[ITEM_HEADER_BYTES + 10] = {0};
    struct item whole = {.ends = true, .content = bytes_of(NULL, 10)};
    item_header_encode(raw, &whole);
    for (size_t length = 1; length < sizeof raw; length++) {
        struct reader reader = reader_of(bytes_of(raw, length));
        struct item item = {.channel = 9};
        CHECK(!item_decode(&item, &reader));
        CHECK(item.channel == 9);
    }
    struct reader reader = reader_of(bytes_of(raw, sizeof raw));
    struct item item = {0};
    CHECK(item_decode(&item, &reader) && item.content.length == 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_has_the_documented_layout),
        cmocka_unit_test(refuses_what_is_shorter_than_any_frame),
        cmocka_unit_test(refuses_every_unknown_lane),
        cmocka_unit_test(acks_come_back_as_they_went),
        cmocka_unit_test(an_item_header_keeps_length_channel_and_flags_apart),
        cmocka_unit_test(items_come_back_one_after_the_other),
        cmocka_unit_test(an_item_that_does_not_fit_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
