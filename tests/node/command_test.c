#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

#include "base/pack.h"
#include "base/scope.h"
#include "node/command.h"

static struct bytes written(struct buffer *buffer)
{
    return buffer_bytes(buffer);
}

static void reads_arguments_input_and_environment(void **state)
{
    (void)state;
    uint8_t bytes[256];
    struct writer writer = writer_of(bytes, sizeof bytes);
    scoped(command_clear) struct command command = {0};
    pack_map(&writer, 3);
    pack_text(&writer, "stdin");
    pack_bin(&writer, bytes_of("\0\1", 2));
    pack_text(&writer, "argv");
    pack_array(&writer, 2);
    pack_text(&writer, "wc");
    pack_text(&writer, "-c");
    pack_text(&writer, "env");
    pack_map(&writer, 1);
    pack_text(&writer, "LANG");
    pack_text(&writer, "C");
    CHECK_OK(command_decode(&command, writer_bytes(&writer), NULL));
    CHECK(command.argument_count == 2 && command.variable_count == 1);
    CHECK(bytes_are_equal(written(&command.arguments), bytes_of("wc\0-c", 6)));
    CHECK(bytes_are_equal(written(&command.variables), bytes_of("LANG=C", 7)));
    CHECK(bytes_are_equal(command.input, bytes_of("\0\1", 2)));
}

static void expect(const char *payload, size_t length, const char *word)
{
    struct command command = {0};
    struct err_detail why = {{0}};
    /* On the heap: reading past its end is seen. */
    uint8_t *copy = malloc(length + 1);
    CHECK(copy);
    memcpy(copy, payload, length);
    uint8_t *exact = realloc(copy, length ? length : 1);
    CHECK(exact);
    CHECK_ERR(command_decode(&command, bytes_of(exact, length), &why),
              ERR_MALFORMED);
    if (!strstr(why.text, word)) {
        fail_msg("said: %s", why.text);
    }
    CHECK(command.arguments.data == NULL && command.variables.data == NULL);
    free(exact);
}
#define EXPECT(payload, word) expect((payload), sizeof(payload) - 1, (word))

static void says_what_is_wrong_with_a_payload(void **state)
{
    (void)state;
    EXPECT("", "map");
    EXPECT("echo hi", "map");
    EXPECT("\x80", "`argv` is missing");
    EXPECT("\x81\xa4"
           "argv\x90",
           "1 to 4096");
    EXPECT("\x81\xa4"
           "argv\xa2hi",
           "list of texts");
    EXPECT("\x81\xa4"
           "argv\x91\xa0",
           "first not empty");
    EXPECT("\x81\xa4"
           "argv\x91\xa3"
           "a\0b",
           "zero bytes");
    EXPECT("\x81\xa4"
           "argv\x91\x01",
           "must be texts");
    EXPECT("\x81\xa4"
           "argv\x92\xa1"
           "a",
           "must be texts");
    EXPECT("\x82\xa4"
           "argv\x91\xa1"
           "a\xa5stdin\x01",
           "`stdin`");
    EXPECT("\x82\xa4"
           "argv\x91\xa1"
           "a\xa3"
           "env\x81\xa0\xa0",
           "`env`");
    EXPECT("\x82\xa4"
           "argv\x91\xa1"
           "a\xa3"
           "env\x81\xabTROUPE_TASK\xa1"
           "1",
           "TROUPE_");
    EXPECT("\x82\xa4"
           "argv\x91\xa1"
           "a\xa4"
           "argv\x91\xa1"
           "a",
           "at most once");
    EXPECT("\x82\xa4"
           "argv\x91\xa1"
           "a\xa3"
           "cwd\xa1/",
           "alone");
    EXPECT("\x81\xa4"
           "argv\x91\xa1"
           "a\xc0",
           "one whole");
}

static void the_environment_is_the_payload_s_then_the_pool_s(void **state)
{
    (void)state;
    char *variables[] = {(char[]){"LANG=de"}, (char[]){"HOME=/h"},
                         (char[]){"TROUPE_FENCE=9"}};
    const struct task_pool pool = {.variables = variables, .variable_count = 3};
    const struct run run = {
        .task = 5, .attempt = 2, .token = 77, .pool = &pool};
    static const char payload[] = "\x82\xa4"
                                  "argv\x91\xa1"
                                  "a\xa3"
                                  "env\x81\xa4LANG\xa1"
                                  "C";
    static const char expected[] =
        "LANG=C\0HOME=/h\0PATH=/usr/local/bin:/usr/bin:/bin\0"
        "TROUPE_TASK=5\0TROUPE_ATTEMPT=2\0TROUPE_FENCE=77";
    scoped(command_clear) struct command command = {0};
    CHECK_OK(
        command_decode(&command, bytes_of(payload, sizeof payload - 1), NULL));
    CHECK_OK(command_add_environment(&command, &run));
    CHECK(command.variable_count == 6);
    CHECK(bytes_are_equal(written(&command.variables),
                          bytes_of(expected, sizeof expected)));
}

static struct bytes value_of(struct bytes map,
                             const char *key,
                             enum pack_kind *kind)
{
    struct reader reader = reader_of(map);
    uint32_t count = pack_read_map(&reader);
    for (uint32_t i = 0; i < count; i++) {
        bool is_it =
            bytes_are_equal(pack_read_str(&reader), bytes_of_text(key));
        struct reader value = reader;
        pack_skip(&reader);
        if (is_it) {
            struct pack_token token = pack_read(&value);
            *kind = token.kind;
            return token.kind == PACK_STR || token.kind == PACK_BIN
                       ? token.value.bytes
                       : (struct bytes){0};
        }
    }
    *kind = PACK_NONE;
    return (struct bytes){0};
}

static void a_result_has_text_where_it_can_and_else_bytes(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    enum pack_kind kind;
    const struct spawn_ended ended = {.end = SPAWN_SIGNALLED,
                                      .code = 9,
                                      .output = bytes_of("\xff\0", 2),
                                      .errors = bytes_of("h\xc3\xa4\xc3", 4),
                                      .cut_bytes = 10};
    CHECK_OK(command_encode_result(&buffer, &ended));
    struct bytes map = buffer_bytes(&buffer);
    (void)value_of(map, "exit", &kind);
    CHECK(kind == PACK_NIL);
    CHECK(
        bytes_are_equal(value_of(map, "stdout", &kind), bytes_of("\xff\0", 2)));
    CHECK(kind == PACK_BIN);
    /* Cut amid a character: the rest of it goes. */
    CHECK(bytes_are_equal(value_of(map, "stderr", &kind),
                          bytes_of_text("h\xc3\xa4")));
    CHECK(kind == PACK_STR);
    CHECK(bytes_are_equal(value_of(map, "signal", &kind),
                          bytes_of_text("SIGKILL")));
    (void)value_of(map, "cut", &kind);
    CHECK(kind == PACK_UINT);
    buffer_clear(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_arguments_input_and_environment),
        cmocka_unit_test(says_what_is_wrong_with_a_payload),
        cmocka_unit_test(the_environment_is_the_payload_s_then_the_pool_s),
        cmocka_unit_test(a_result_has_text_where_it_can_and_else_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
