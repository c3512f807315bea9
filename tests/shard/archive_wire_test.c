#include "shard/archive_wire.h"

#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

#define ROOM 512

static struct archive_ask some_ask(void)
{
    return (struct archive_ask){.kind = ARCHIVE_RESTORE_PIECE,
                                .session = UINT64_MAX,
                                .piece = 70000,
                                .digest = 0x1122334455667788,
                                .who = "operator/ann",
                                .bytes = bytes_of_text("piece")};
}

static struct bytes encode(uint8_t *to, const struct archive_ask *ask)
{
    struct writer writer = writer_of(to, ROOM);
    archive_ask_encode(ask, &writer);
    assert_false(writer.failed);
    return writer_bytes(&writer);
}

static void reads_an_ask_as_it_was_written(void **state)
{
    (void)state;
    uint8_t buffer[ROOM];
    struct archive_ask ask = some_ask();
    struct archive_ask again;
    CHECK_OK(archive_ask_decode(&again, encode(buffer, &ask)));
    assert_int_equal(again.kind, ask.kind);
    assert_true(again.session == ask.session && again.digest == ask.digest);
    assert_int_equal(again.piece, ask.piece);
    assert_string_equal(again.who, ask.who);
    assert_true(bytes_are_equal(again.bytes, ask.bytes));
}

static void reads_an_answer_as_it_was_written(void **state)
{
    (void)state;
    uint8_t buffer[ROOM];
    struct writer writer = writer_of(buffer, sizeof buffer);
    struct archive_answer answer = {.state = ARCHIVE_UNFIT,
                                    .index = 1u << 20,
                                    .piece = 3,
                                    .digest = 4,
                                    .bytes = bytes_of_text("piece")};
    struct archive_answer again;
    archive_answer_encode(&answer, &writer);
    CHECK_OK(archive_answer_decode(&again, writer_bytes(&writer)));
    assert_int_equal(again.state, answer.state);
    assert_true(again.index == answer.index && again.digest == answer.digest);
    assert_int_equal(again.piece, answer.piece);
    assert_true(bytes_are_equal(again.bytes, answer.bytes));
}

static void refuses_what_is_cut_or_has_more_behind(void **state)
{
    (void)state;
    uint8_t buffer[ROOM];
    struct archive_ask ask = some_ask();
    struct archive_ask again;
    struct bytes bytes = encode(buffer, &ask);
    for (size_t length = 0; length < bytes.length; length++) {
        CHECK_ERR(archive_ask_decode(&again, bytes_of(bytes.data, length)),
                  ERR_MALFORMED);
    }
    buffer[bytes.length] = 0;
    CHECK_ERR(archive_ask_decode(&again, bytes_of(buffer, bytes.length + 1)),
              ERR_MALFORMED);
}

static void refuses_no_kind_no_session_and_control_characters(void **state)
{
    (void)state;
    uint8_t buffer[ROOM];
    struct archive_ask again;
    struct archive_ask asks[] = {some_ask(), some_ask(), some_ask(),
                                 some_ask()};
    asks[0].kind = (enum archive_kind)0;
    asks[1].kind = ARCHIVE_KIND_COUNT;
    asks[2].session = 0;
    memcpy(asks[3].who, "a\nb", 4);
    for (size_t i = 0; i < sizeof asks / sizeof asks[0]; i++) {
        CHECK_ERR(archive_ask_decode(&again, encode(buffer, &asks[i])),
                  ERR_MALFORMED);
    }
}

static void refuses_a_piece_that_is_too_large(void **state)
{
    (void)state;
    struct archive_ask ask = some_ask();
    struct archive_ask again;
    uint8_t *piece = calloc(1, ARCHIVE_PIECE_BYTES_MAX + 1);
    uint8_t *buffer = malloc(ARCHIVE_ASK_BYTES_MAX + 1);
    memset(ask.who, 'a', sizeof ask.who - 1);
    ask.piece = UINT32_MAX;
    assert_true(piece && buffer);
    for (size_t more = 0; more < 2; more++) {
        struct writer writer = writer_of(buffer, ARCHIVE_ASK_BYTES_MAX + more);
        ask.bytes = bytes_of(piece, ARCHIVE_PIECE_BYTES_MAX + more);
        archive_ask_encode(&ask, &writer);
        CHECK(!writer.failed);
        CHECK_ERR(archive_ask_decode(&again, writer_bytes(&writer)),
                  more > 0 ? ERR_TOO_LARGE : ERR_NONE);
    }
    free(buffer);
    free(piece);
}

static void another_version_is_said_to_be_one(void **state)
{
    (void)state;
    uint8_t buffer[ROOM];
    struct archive_ask ask = some_ask();
    struct archive_ask again;
    struct bytes bytes = encode(buffer, &ask);
    buffer[1] = 2;
    CHECK_ERR(archive_ask_decode(&again, bytes), ERR_VERSION);
}

static void the_digest_tells_order_and_borders_of_pieces(void **state)
{
    (void)state;
    struct bytes a = bytes_of_text("a");
    struct bytes b = bytes_of_text("b");
    uint64_t ab = archive_digest(archive_digest(0, a), b);
    assert_true(ab != archive_digest(archive_digest(0, b), a));
    assert_true(ab != archive_digest(0, bytes_of_text("ab")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_an_ask_as_it_was_written),
        cmocka_unit_test(reads_an_answer_as_it_was_written),
        cmocka_unit_test(refuses_what_is_cut_or_has_more_behind),
        cmocka_unit_test(refuses_no_kind_no_session_and_control_characters),
        cmocka_unit_test(refuses_a_piece_that_is_too_large),
        cmocka_unit_test(another_version_is_said_to_be_one),
        cmocka_unit_test(the_digest_tells_order_and_borders_of_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
