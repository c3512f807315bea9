#include "store/row.h"

#include "tests/support/check.h"

#include <stdlib.h>

static struct bytes encode(uint8_t to[static KV_KEY_BYTES_MAX],
                           struct row_key key)
{
    struct bytes bytes = {0};
    CHECK_OK(row_key_encode(to, &key, &bytes));
    return bytes;
}

static const struct row_key some[] = {
    /* In the order of their bytes. */
    {.group = 0, .kind = ROW_APPLIED},
    {.group = 1, .kind = ROW_APPLIED},
    {.group = 1, .kind = ROW_SNAPSHOT_PIECE, .snapshot_index = 255},
    {.group = 1,
     .kind = ROW_SNAPSHOT_PIECE,
     .snapshot_index = 255,
     .piece = 256},
    {.group = 1, .kind = ROW_SNAPSHOT_PIECE, .snapshot_index = 256},
    {.group = 1, .kind = ROW_MACHINE},
    {.group = 1, .kind = ROW_MACHINE, .own = {(const uint8_t *)"a", 1}},
    {.group = 1, .kind = ROW_MACHINE, .own = {(const uint8_t *)"ab", 2}},
    {.group = 1, .kind = ROW_MACHINE, .own = {(const uint8_t *)"\xff", 1}},
    {.group = 255, .kind = ROW_APPLIED},
    {.group = 256, .kind = ROW_APPLIED},
    {.group = ROW_GROUP_MAX, .kind = ROW_MACHINE},
};
#define SOME_COUNT (sizeof some / sizeof some[0])

static void gives_back_every_kind_of_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < SOME_COUNT; i++) {
        uint8_t buffer[KV_KEY_BYTES_MAX];
        struct row_key key = {0};
        CHECK_OK(row_key_decode(&key, encode(buffer, some[i])));
        CHECK(key.group == some[i].group && key.kind == some[i].kind);
        CHECK(key.snapshot_index == some[i].snapshot_index);
        CHECK(key.piece == some[i].piece);
        CHECK(bytes_are_equal(key.own, some[i].own));
    }
}

static void orders_keys_as_their_numbers(void **state)
{
    (void)state;
    for (size_t i = 1; i < SOME_COUNT; i++) {
        uint8_t left[KV_KEY_BYTES_MAX];
        uint8_t right[KV_KEY_BYTES_MAX];
        CHECK(bytes_compare(encode(left, some[i - 1]), encode(right, some[i])) <
              0);
    }
}

static void writes_keys_as_the_format_says(void **state)
{
    (void)state;
    uint8_t buffer[KV_KEY_BYTES_MAX];
    static const uint8_t piece[] = {1, 2, 3, 4, 2, 0, 0, 0, 0,
                                    0, 0, 0, 9, 0, 0, 0, 10};
    CHECK(bytes_are_equal(
        encode(buffer, (struct row_key){.group = 0x01020304,
                                        .kind = ROW_SNAPSHOT_PIECE,
                                        .snapshot_index = 9,
                                        .piece = 10}),
        bytes_of(piece, sizeof piece)));
    static const uint8_t applied[] = {0, 0, 0, 7, 1};
    CHECK(bytes_are_equal(
        encode(buffer, (struct row_key){.group = 7, .kind = ROW_APPLIED}),
        bytes_of(applied, sizeof applied)));
}

static void refuses_an_own_key_that_is_too_long(void **state)
{
    (void)state;
    uint8_t own[ROW_OWN_BYTES_MAX + 1] = {0};
    uint8_t buffer[KV_KEY_BYTES_MAX];
    struct row_key key = {.kind = ROW_MACHINE,
                          .own = bytes_of(own, ROW_OWN_BYTES_MAX)};
    struct bytes bytes = {0};
    CHECK_OK(row_key_encode(buffer, &key, &bytes));
    CHECK(bytes.length == KV_KEY_BYTES_MAX);
    key.own.length++;
    CHECK_ERR(row_key_encode(buffer, &key, &bytes), ERR_TOO_LARGE);
    struct row_range *range = malloc(sizeof *range);
    CHECK(range);
    CHECK_ERR(row_range_of_own(range, 1, key.own), ERR_TOO_LARGE);
    free(range);
}

static void refuses_what_is_no_key(void **state)
{
    (void)state;
    struct row_key key = {0};
    static const uint8_t kinds[] = {0, 0, 0, 1, 0, 0, 0, 0, 4};
    CHECK_ERR(row_key_decode(&key, bytes_of(NULL, 0)), ERR_MALFORMED);
    CHECK_ERR(row_key_decode(&key, bytes_of(kinds, 5)), ERR_MALFORMED);
    CHECK_ERR(row_key_decode(&key, bytes_of(kinds + 4, 5)), ERR_MALFORMED);
    static const uint8_t no_group[] = {255, 255, 255, 255, 1};
    CHECK_ERR(row_key_decode(&key, bytes_of(no_group, 5)), ERR_MALFORMED);
    for (size_t i = 0; i < SOME_COUNT; i++) {
        uint8_t buffer[KV_KEY_BYTES_MAX];
        struct bytes bytes = encode(buffer, some[i]);
        for (size_t cut = 0; cut < bytes.length; cut++) {
            bool is_shorter_key =
                some[i].kind == ROW_MACHINE && cut >= ROW_HEAD_BYTES;
            CHECK_ERR(row_key_decode(&key, bytes_of(bytes.data, cut)),
                      is_shorter_key ? ERR_NONE : ERR_MALFORMED);
        }
        buffer[bytes.length] = 0;
        CHECK_ERR(row_key_decode(&key, bytes_of(buffer, bytes.length + 1)),
                  some[i].kind == ROW_MACHINE ? ERR_NONE : ERR_MALFORMED);
    }
}

static bool is_in(const struct row_range *range, struct row_key key)
{
    uint8_t buffer[KV_KEY_BYTES_MAX];
    struct bytes bytes = encode(buffer, key);
    return bytes_compare(range->from, bytes) <= 0 &&
           bytes_compare(bytes, range->end) < 0;
}

static void ranges_hold_their_keys_and_no_others(void **state)
{
    (void)state;
    struct row_range *range = malloc(sizeof *range);
    CHECK(range);
    for (size_t i = 0; i < SOME_COUNT; i++) {
        for (size_t j = 0; j < SOME_COUNT; j++) {
            bool is_group = some[i].group == some[j].group;
            bool is_kind = is_group && some[i].kind == some[j].kind;
            row_range_of_group(range, some[i].group);
            CHECK(is_in(range, some[j]) == is_group);
            row_range_of_kind(range, some[i].group, some[i].kind);
            CHECK(is_in(range, some[j]) == is_kind);
            row_range_of_snapshot(range, some[i].group, some[i].snapshot_index);
            CHECK(is_in(range, some[j]) ==
                  (is_group && some[j].kind == ROW_SNAPSHOT_PIECE &&
                   some[i].snapshot_index == some[j].snapshot_index));
            CHECK_OK(row_range_of_own(range, some[i].group, some[i].own));
            bool begins_alike =
                some[j].own.length >= some[i].own.length &&
                bytes_are_equal(bytes_of(some[j].own.data, some[i].own.length),
                                some[i].own);
            CHECK(is_in(range, some[j]) ==
                  (is_group && some[j].kind == ROW_MACHINE && begins_alike));
        }
    }
    free(range);
}

static void gives_back_the_applied_mark(void **state)
{
    (void)state;
    uint8_t value[ROW_APPLIED_BYTES + 1] = {0};
    struct row_applied applied = {.index = UINT64_MAX - 1, .term = 5};
    struct row_applied found = {0};
    row_applied_encode(value, &applied);
    CHECK_OK(row_applied_decode(&found, bytes_of(value, ROW_APPLIED_BYTES)));
    CHECK(found.index == applied.index && found.term == applied.term);
    CHECK_ERR(row_applied_decode(&found, bytes_of(value, sizeof value)),
              ERR_MALFORMED);
    for (size_t cut = 0; cut < ROW_APPLIED_BYTES; cut++) {
        CHECK_ERR(row_applied_decode(&found, bytes_of(value, cut)),
                  ERR_MALFORMED);
    }
    value[0] = 2;
    CHECK_ERR(row_applied_decode(&found, bytes_of(value, ROW_APPLIED_BYTES)),
              ERR_VERSION);
    value[0] = 0;
    CHECK_ERR(row_applied_decode(&found, bytes_of(value, ROW_APPLIED_BYTES)),
              ERR_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_back_every_kind_of_key),
        cmocka_unit_test(orders_keys_as_their_numbers),
        cmocka_unit_test(writes_keys_as_the_format_says),
        cmocka_unit_test(refuses_an_own_key_that_is_too_long),
        cmocka_unit_test(refuses_what_is_no_key),
        cmocka_unit_test(ranges_hold_their_keys_and_no_others),
        cmocka_unit_test(gives_back_the_applied_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
