#include "tests/support/check.h"

#include "base/spawn_wire.h"

static const struct spawn_command command = {
    .ticket = 7,
    .timeout_ms = 1500,
    .output_bytes_max = 4096,
    .arguments = {2, {(const uint8_t *)"echo\0hi", 8}},
    .variables = {1, {(const uint8_t *)"A=b", 4}},
    .user = "nobody",
    .dir = "/tmp",
    .limits = {1, 2, 3, 4, 5},
    .input = {(const uint8_t *)"in", 2}};

static const struct spawn_ended ended = {.ticket = 9,
                                         .end = SPAWN_SIGNALLED,
                                         .code = -3,
                                         .output = {(const uint8_t *)"out", 3},
                                         .errors = {(const uint8_t *)"e", 1},
                                         .cut_bytes = UINT64_C(1) << 40,
                                         .why = "because"};

static struct bytes first(const struct buffer *buffer)
{
    struct bytes message = {0};
    enum err err = ERR_NONE;
    CHECK(spawn_wire_next(buffer, &message, &err));
    CHECK_OK(err);
    return message;
}

static void reads_a_command_as_it_was_written(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    struct spawn_command read;
    CHECK_OK(spawn_wire_put_command(&buffer, &command));
    struct bytes message = first(&buffer);
    CHECK(spawn_wire_kind(message) == SPAWN_COMMAND);
    CHECK_OK(spawn_wire_get_command(&read, message));
    CHECK(read.ticket == 7 && read.timeout_ms == 1500);
    CHECK(read.output_bytes_max == 4096 && read.arguments.count == 2);
    CHECK(bytes_are_equal(read.arguments.bytes, command.arguments.bytes));
    CHECK(bytes_are_equal(read.variables.bytes, command.variables.bytes));
    CHECK(bytes_are_equal(read.input, command.input));
    CHECK(strcmp(read.user, "nobody") == 0 && strcmp(read.dir, "/tmp") == 0);
    CHECK(memcmp(&read.limits, &command.limits, sizeof read.limits) == 0);
    spawn_wire_take(&buffer, message);
    CHECK(buffer_length(&buffer) == 0);
    buffer_clear(&buffer);
}

static void reads_an_end_as_it_was_written(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    struct spawn_ended read;
    CHECK_OK(spawn_wire_put_ended(&buffer, &ended));
    CHECK_OK(spawn_wire_get_ended(&read, first(&buffer)));
    CHECK(read.ticket == 9 && read.end == SPAWN_SIGNALLED && read.code == -3);
    CHECK(bytes_are_equal(read.output, ended.output));
    CHECK(bytes_are_equal(read.errors, ended.errors));
    CHECK(read.cut_bytes == ended.cut_bytes);
    CHECK(strcmp(read.why, "because") == 0);
    buffer_clear(&buffer);
}

static void reads_a_look_as_it_was_written(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    struct spawn_look look;
    struct spawn_looked looked;
    CHECK_OK(spawn_wire_put_look(&buffer, &(struct spawn_look){7, 8, 9, 10}));
    struct bytes message = first(&buffer);
    CHECK(spawn_wire_kind(message) == SPAWN_LOOK);
    CHECK_OK(spawn_wire_get_look(&look, message));
    CHECK(look.ticket == 7 && look.number == 8);
    CHECK(look.output_from == 9 && look.errors_from == 10);
    CHECK_ERR(spawn_wire_get_looked(&looked, message), ERR_MALFORMED);
    spawn_wire_take(&buffer, message);
    CHECK_OK(spawn_wire_put_looked(
        &buffer, &(struct spawn_looked){.number = 8,
                                        .output = bytes_of_text("out"),
                                        .errors = bytes_of_text("e"),
                                        .cut_bytes = 5}));
    CHECK_OK(spawn_wire_get_looked(&looked, first(&buffer)));
    CHECK(looked.number == 8 && looked.cut_bytes == 5);
    CHECK(bytes_are_equal(looked.output, bytes_of_text("out")));
    CHECK(bytes_are_equal(looked.errors, bytes_of_text("e")));
    buffer_clear(&buffer);
}

static void says_of_every_shorter_message_that_it_is_malformed(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    struct spawn_command read;
    struct spawn_ended read_end;
    CHECK_OK(spawn_wire_put_command(&buffer, &command));
    struct bytes message = first(&buffer);
    for (size_t length = 1; length < message.length; length++) {
        CHECK_ERR(spawn_wire_get_command(&read, bytes_of(message.data, length)),
                  ERR_MALFORMED);
    }
    spawn_wire_take(&buffer, message);
    CHECK_OK(spawn_wire_put_ended(&buffer, &ended));
    message = first(&buffer);
    for (size_t length = 1; length < message.length; length++) {
        CHECK_ERR(
            spawn_wire_get_ended(&read_end, bytes_of(message.data, length)),
            ERR_MALFORMED);
    }
    buffer_clear(&buffer);
}

static void waits_for_whole_messages_and_refuses_endless_ones(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    struct buffer parts = {0};
    struct bytes message;
    enum err err = ERR_NONE;
    CHECK_OK(spawn_wire_put_cancel(&buffer, 3));
    struct bytes all = buffer_bytes(&buffer);
    for (size_t i = 0; i < all.length; i++) {
        CHECK(!spawn_wire_next(&parts, &message, &err));
        CHECK_OK(err);
        CHECK_OK(buffer_append(&parts, bytes_of(all.data + i, 1)));
    }
    uint32_t ticket = 0;
    CHECK_OK(spawn_wire_get_cancel(&ticket, first(&parts)));
    CHECK(ticket == 3);
    buffer_take(&parts, buffer_length(&parts));
    CHECK_OK(buffer_append(&parts, bytes_of("\xff\xff\xff\xff", 4)));
    CHECK(!spawn_wire_next(&parts, &message, &err));
    CHECK_ERR(err, ERR_TOO_LARGE);
    buffer_clear(&buffer);
    buffer_clear(&parts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_command_as_it_was_written),
        cmocka_unit_test(reads_an_end_as_it_was_written),
        cmocka_unit_test(reads_a_look_as_it_was_written),
        cmocka_unit_test(says_of_every_shorter_message_that_it_is_malformed),
        cmocka_unit_test(waits_for_whole_messages_and_refuses_endless_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
