#include "tests/support/check.h"

#include <string.h>

#include "store/wal_format.h"

static const struct wal_format_place place = {
    .disk_id = 7, .segment = 3, .offset = 40};

static void names_are_16_digits(void **state)
{
    (void)state;
    char name[DISK_NAME_BYTES];
    uint64_t number = 0;
    wal_format_name(name, 0xab);
    assert_string_equal(name, "00000000000000ab.wal");
    CHECK(wal_format_parse_name(&number, name));
    CHECK(number == 0xab);
    wal_format_name(name, UINT64_MAX);
    CHECK(wal_format_parse_name(&number, name));
    CHECK(number == UINT64_MAX);
    static const char *const wrong[] = {"",
                                        "ab.wal",
                                        "0000000000000000.wal",
                                        "00000000000000AB.wal",
                                        "00000000000000ab.log",
                                        "000000000000000g.wal",
                                        "00000000000000ab.wal2"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK(!wal_format_parse_name(&number, wrong[i]));
    }
}

static void a_segments_beginning_is_what_the_tables_say(void **state)
{
    (void)state;
    uint8_t plain[WAL_FORMAT_PLAIN_BYTES];
    struct wal_format_plain about = {.disk_id = 0x1122, .segment = 5};
    wal_format_plain_encode(plain, &about);
    CHECK(memcmp(plain, "\1TRUPWAL", 8) == 0);
    CHECK(get_u32(plain + 8) == 1);
    CHECK(get_u64(plain + 16) == 0x1122);
    CHECK(get_u64(plain + 24) == 5);
    struct wal_format_plain back = {0};
    CHECK_OK(wal_format_plain_decode(&back, bytes_of(plain, sizeof plain)));
    CHECK(back.disk_id == 0x1122);
    CHECK(back.segment == 5);
    CHECK_ERR(wal_format_plain_decode(&back, bytes_of(plain, 39)),
              ERR_MALFORMED);
    for (size_t i = 0; i < sizeof plain; i++) {
        plain[i] ^= 4;
        CHECK_ERR(wal_format_plain_decode(&back, bytes_of(plain, 40)),
                  ERR_MALFORMED);
        plain[i] ^= 4;
    }
    put_u32(plain + 8, 2);
    wal_format_plain_finish(plain);
    CHECK_ERR(wal_format_plain_decode(&back, bytes_of(plain, 40)), ERR_VERSION);
    put_u32(plain + 8, 0);
    wal_format_plain_finish(plain);
    CHECK_ERR(wal_format_plain_decode(&back, bytes_of(plain, 40)),
              ERR_MALFORMED);
}

static bool is_whole(const uint8_t *batch,
                     size_t length,
                     const struct wal_format_place *where)
{
    struct wal_format_batch about;
    return wal_format_batch_decode(&about, where, bytes_of(batch, length)) &&
           about.body_bytes <= length - WAL_FORMAT_BATCH_BYTES &&
           wal_format_body_is_whole(
               &about, where,
               bytes_of(batch + WAL_FORMAT_BATCH_BYTES, about.body_bytes));
}

static void every_bit_of_a_batch_and_its_place_are_checked(void **state)
{
    (void)state;
    uint8_t batch[WAL_FORMAT_BATCH_BYTES + 11];
    memset(batch, 0x5a, sizeof batch);
    struct wal_format_batch about = {
        .kind = WAL_FORMAT_RECORDS, .record_count = 2, .body_bytes = 11};
    wal_format_batch_finish(batch, &place, &about);
    CHECK(is_whole(batch, sizeof batch, &place));
    for (size_t i = 0; i < 8 * sizeof batch; i++) {
        batch[i / 8] ^= (uint8_t)(1 << i % 8);
        CHECK(!is_whole(batch, sizeof batch, &place));
        batch[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    struct wal_format_place other = place;
    other.offset += 8;
    CHECK(!is_whole(batch, sizeof batch, &other));
    other = place;
    other.segment++;
    CHECK(!is_whole(batch, sizeof batch, &other));
    other = place;
    other.disk_id++;
    CHECK(!is_whole(batch, sizeof batch, &other));
    CHECK(is_whole(batch, sizeof batch, &place));
    CHECK(wal_format_batch_bytes(11) == WAL_FORMAT_BATCH_BYTES + 16);
    CHECK(wal_format_batch_bytes(16) == WAL_FORMAT_BATCH_BYTES + 16);
    CHECK(wal_format_batch_bytes(0) == WAL_FORMAT_BATCH_BYTES);
}

static const struct wal_record samples[] = {
    {.kind = WAL_ENTRY,
     .group = 1,
     .type = 9,
     .index = UINT64_MAX,
     .term = 1ULL << 40,
     .bytes = {(const uint8_t *)"abc", 3}},
    {.kind = WAL_ENTRY, .group = 0, .index = 1, .term = 1},
    {.kind = WAL_TRUNCATE, .group = 0xfffffffe, .index = 6},
    {.kind = WAL_VOTE, .group = 4, .term = 5, .vote = UINT64_MAX},
    {.kind = WAL_SNAPSHOT,
     .group = 5,
     .type = 1,
     .index = 8,
     .term = 2,
     .bytes = {(const uint8_t *)"members", 7}},
    {.kind = WAL_FORGET, .group = WAL_GROUP_UNLISTED},
};

#define SAMPLE_COUNT (sizeof samples / sizeof *samples)

static void records_come_back_as_they_were(void **state)
{
    (void)state;
    uint8_t buffer[512];
    size_t length = 0;
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        wal_format_record_encode(buffer + length, &samples[i]);
        length += wal_format_record_bytes(&samples[i]);
    }
    struct reader reader = reader_of(bytes_of(buffer, length));
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        struct wal_record back;
        CHECK(wal_format_record_decode(&back, &reader));
        CHECK(back.kind == samples[i].kind);
        CHECK(back.group == samples[i].group);
        CHECK(back.type == samples[i].type);
        CHECK(back.index == samples[i].index);
        CHECK(back.term == samples[i].term);
        CHECK(back.vote == samples[i].vote);
        CHECK(bytes_are_equal(back.bytes, samples[i].bytes));
    }
    CHECK(reader_left(&reader) == 0);
}

static void cut_records_are_malformed(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        uint8_t buffer[128];
        size_t length = wal_format_record_bytes(&samples[i]);
        wal_format_record_encode(buffer, &samples[i]);
        for (size_t cut = 0; cut < length; cut++) {
            struct wal_record back;
            struct reader reader = reader_of(bytes_of(buffer, cut));
            CHECK(!wal_format_record_decode(&back, &reader));
        }
    }
}

static void records_that_make_no_sense_are_malformed(void **state)
{
    (void)state;
    uint8_t buffer[64];
    struct wal_record back;
    wal_format_record_encode(buffer, &samples[3]);
    struct bytes bytes = bytes_of(buffer, sizeof buffer);
    buffer[0] = WAL_FORGET + 1;
    struct reader reader = reader_of(bytes);
    CHECK(!wal_format_record_decode(&back, &reader));
    buffer[0] = WAL_VOTE;
    buffer[2] = 1;
    reader = reader_of(bytes);
    CHECK(!wal_format_record_decode(&back, &reader));
    buffer[2] = 0;
    put_u32(buffer + 4, WAL_GROUP_UNLISTED);
    reader = reader_of(bytes);
    CHECK(!wal_format_record_decode(&back, &reader));
    put_u32(buffer + 4, 1);
    reader = reader_of(bytes);
    CHECK(wal_format_record_decode(&back, &reader));
}

static void heads_come_back_as_they_were(void **state)
{
    (void)state;
    uint8_t buffer[512];
    struct writer writer = writer_of(buffer, sizeof buffer);
    struct wal_format_head head = {.previous_end = 99,
                                   .flags = WAL_FORMAT_UNLISTED_LOST,
                                   .group_count = 1};
    struct wal_group group = {.group = 4,
                              .is_lost = true,
                              .term = 1,
                              .vote = 2,
                              .snapshot_index = 3,
                              .snapshot_term = 4,
                              .last_index = 5,
                              .configuration = bytes_of_text("conf")};
    struct wal_span span = {
        .segment = 2, .first = 4, .last = 5, .is_folded = true};
    wal_format_head_encode(&writer, &head);
    wal_format_row_encode(&writer, &group, 1);
    wal_format_span_encode(&writer, &span);
    CHECK(writer_bytes(&writer).length ==
          wal_format_head_bytes() + wal_format_row_bytes(1, 4));

    struct reader reader = reader_of(writer_bytes(&writer));
    struct wal_format_head head_back;
    struct wal_group group_back;
    struct wal_span span_back;
    uint32_t span_count = 0;
    CHECK(wal_format_head_decode(&head_back, &reader));
    CHECK(head_back.previous_end == 99);
    CHECK(head_back.flags == WAL_FORMAT_UNLISTED_LOST);
    CHECK(head_back.group_count == 1);
    CHECK(wal_format_row_decode(&group_back, &span_count, &reader));
    CHECK(span_count == 1);
    CHECK(group_back.group == 4 && group_back.is_lost);
    CHECK(group_back.term == 1 && group_back.vote == 2);
    CHECK(group_back.snapshot_index == 3 && group_back.snapshot_term == 4);
    CHECK(group_back.last_index == 5);
    CHECK(bytes_are_equal(group_back.configuration, bytes_of_text("conf")));
    CHECK(wal_format_span_decode(&span_back, &reader));
    CHECK(span_back.segment == 2 && span_back.is_folded);
    CHECK(span_back.first == 4 && span_back.last == 5);
    CHECK(reader_left(&reader) == 0);
    CHECK(!wal_format_span_decode(&span_back, &reader));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_16_digits),
        cmocka_unit_test(a_segments_beginning_is_what_the_tables_say),
        cmocka_unit_test(every_bit_of_a_batch_and_its_place_are_checked),
        cmocka_unit_test(records_come_back_as_they_were),
        cmocka_unit_test(cut_records_are_malformed),
        cmocka_unit_test(records_that_make_no_sense_are_malformed),
        cmocka_unit_test(heads_come_back_as_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
