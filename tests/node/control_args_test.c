#include "node/control_args.h"

#include "tests/support/check.h"

#include "base/hash.h"
#include "base/pack.h"

#define BUFFER_BYTES (64u << 10)
#define ALL UINT32_MAX

static uint8_t buffer[BUFFER_BYTES];
static struct writer writer;
static struct err_detail why;

static int set_up(void **state)
{
    (void)state;
    writer = writer_of(buffer, sizeof buffer);
    why = (struct err_detail){{0}};
    return 0;
}

static enum err decode(struct control_args *out,
                       uint32_t required,
                       uint32_t optional)
{
    CHECK(!writer.failed);
    return control_args_decode(out, writer_bytes(&writer), required, optional,
                               &why);
}

static void one_text(const char *key, const char *value)
{
    writer = writer_of(buffer, sizeof buffer);
    pack_map(&writer, 1);
    pack_text(&writer, key);
    pack_text(&writer, value);
}

static void one_number(const char *key, uint64_t value)
{
    writer = writer_of(buffer, sizeof buffer);
    pack_map(&writer, 1);
    pack_text(&writer, key);
    pack_uint(&writer, value);
}

static void reads_what_a_verb_has(void **state)
{
    (void)state;
    struct control_args args;
    pack_map(&writer, 4);
    pack_text(&writer, "name");
    pack_text(&writer, "beta");
    pack_text(&writer, "state");
    pack_text(&writer, "draining");
    pack_text(&writer, "force");
    pack_bool(&writer, true);
    pack_text(&writer, "stale");
    pack_nil(&writer);
    CHECK_OK(decode(&args, ARG_NAME | ARG_STATE, ARG_FORCE | ARG_STALE));
    assert_string_equal(args.name, "beta");
    CHECK(args.state == MEMBER_DRAINING);
    CHECK(args.is_forced && !args.is_stale);
    CHECK(args.given == (ARG_NAME | ARG_STATE | ARG_FORCE));
}

static void settings(const char *key, const char *value, uint32_t count)
{
    writer = writer_of(buffer, sizeof buffer);
    pack_map(&writer, 1);
    pack_text(&writer, "settings");
    pack_map(&writer, count);
    for (uint32_t i = 0; i < count; i++) {
        pack_text(&writer, key);
        pack_text(&writer, value);
    }
}

static void reads_settings(void **state)
{
    (void)state;
    struct control_args args;
    struct view_setting setting;
    uint32_t count = 0;
    settings("cluster.name", "lab", 2);
    CHECK_OK(decode(&args, ARG_SETTINGS, 0));
    struct reader reader = control_args_settings(args.settings, &count);
    CHECK(count == 2);
    control_args_next_setting(&reader, &setting);
    assert_string_equal(setting.key, "cluster.name");
    assert_string_equal(setting.value, "lab");
    settings("", "lab", 1);
    CHECK_ERR(decode(&args, ARG_SETTINGS, 0), ERR_INVALID);
    settings("cluster.name", "\x1b[2J", 1);
    CHECK_ERR(decode(&args, ARG_SETTINGS, 0), ERR_INVALID);
    settings("cluster.name", "lab", VIEW_SETTINGS_MAX + 1);
    CHECK_ERR(decode(&args, ARG_SETTINGS, 0), ERR_INVALID);
    assert_string_equal(why.text,
                        "settings: must be a map of at most 64 keys of "
                        "`cluster` and their values, all texts");
    one_text("settings", "all");
    CHECK_ERR(decode(&args, ARG_SETTINGS, 0), ERR_INVALID);
}

static void takes_no_bytes_for_no_arguments(void **state)
{
    (void)state;
    struct control_args args;
    CHECK_OK(decode(&args, 0, ARG_FORCE));
    CHECK(args.given == 0 && !args.is_forced);
    CHECK_ERR(decode(&args, ARG_NAME, 0), ERR_INVALID);
    assert_string_equal(why.text,
                        "name: is missing; a name: 1 to 63 of a-z 0-9 . _ -");
}

static void names_an_argument_that_the_verb_has_not(void **state)
{
    (void)state;
    struct control_args args;
    one_text("name", "beta");
    CHECK_ERR(decode(&args, 0, ARG_TO), ERR_INVALID);
    assert_string_equal(why.text, "name: this verb has no such argument");
    one_text("nane", "beta");
    CHECK_ERR(decode(&args, 0, ALL), ERR_INVALID);
    assert_string_equal(why.text, "nane: this verb has no such argument");
    one_text("\x1b[2J", "beta");
    CHECK_ERR(decode(&args, 0, ALL), ERR_INVALID);
    assert_string_equal(why.text,
                        "an argument: this verb has no such argument");
}

static void refuses_an_argument_that_is_there_twice(void **state)
{
    (void)state;
    struct control_args args;
    pack_map(&writer, 2);
    for (int i = 0; i < 2; i++) {
        pack_text(&writer, "shard");
        pack_uint(&writer, 3);
    }
    CHECK_ERR(decode(&args, 0, ALL), ERR_INVALID);
    assert_string_equal(why.text, "shard: is there twice");
}

static void says_what_a_value_must_be(void **state)
{
    (void)state;
    struct control_args args;
    one_text("name", "Beta!");
    CHECK_ERR(decode(&args, 0, ALL), ERR_INVALID);
    assert_string_equal(why.text,
                        "name: must be a name: 1 to 63 of a-z 0-9 . _ -");
    one_text("state", "gone");
    CHECK_ERR(decode(&args, 0, ALL), ERR_INVALID);
    assert_string_equal(why.text,
                        "state: must be active, cordoned, draining or "
                        "down");
    one_text("shard", "three");
    CHECK_ERR(decode(&args, 0, ALL), ERR_INVALID);
    one_text("id", "");
    CHECK_ERR(decode(&args, 0, ALL), ERR_INVALID);
    one_number("limit", 0);
    CHECK_ERR(decode(&args, 0, ALL), ERR_INVALID);
    one_number("limit", 1025);
    CHECK_ERR(decode(&args, 0, ALL), ERR_INVALID);
    assert_string_equal(why.text, "limit: must be 1 to 1024");
    one_number("value", UINT64_MAX);
    CHECK_ERR(decode(&args, 0, ALL), ERR_INVALID);
    one_number("key", 0);
    CHECK_ERR(decode(&args, 0, ALL), ERR_INVALID);
}

static void takes_a_key_as_a_number_or_a_text(void **state)
{
    (void)state;
    struct control_args args;
    one_number("key", 7);
    CHECK_OK(decode(&args, ARG_KEY, 0));
    CHECK(args.key == 7);
    one_text("key", "order-17");
    CHECK_OK(decode(&args, ARG_KEY, 0));
    CHECK(args.key == hash_bytes(bytes_of_text("order-17"), 0));
}

static void reads_lists_of_names(void **state)
{
    (void)state;
    struct control_args args;
    pack_map(&writer, 1);
    pack_text(&writer, "add");
    pack_array(&writer, 2);
    pack_text(&writer, "delta");
    pack_text(&writer, "epsilon");
    CHECK_OK(decode(&args, 0, ARG_ADD | ARG_REMOVE));
    uint32_t count = 0;
    char name[CERTIFICATE_NAME_BYTES];
    struct reader names = control_args_names(args.add, &count);
    CHECK(count == 2);
    control_args_next_name(&names, name);
    assert_string_equal(name, "delta");
    control_args_next_name(&names, name);
    assert_string_equal(name, "epsilon");
    (void)control_args_names(args.remove, &count);
    CHECK(count == 0);
}

static void refuses_lists_with_what_is_no_name(void **state)
{
    (void)state;
    struct control_args args;
    pack_map(&writer, 1);
    pack_text(&writer, "remove");
    pack_array(&writer, 2);
    pack_text(&writer, "delta");
    pack_text(&writer, "no name");
    CHECK_ERR(decode(&args, 0, ALL), ERR_INVALID);
    assert_string_equal(why.text,
                        "remove: must be a list of at most 512 names");
}

static void refuses_what_is_no_map_or_goes_on(void **state)
{
    (void)state;
    struct control_args args;
    pack_uint(&writer, 1);
    CHECK_ERR(decode(&args, 0, ALL), ERR_MALFORMED);
    one_text("name", "beta");
    pack_nil(&writer);
    CHECK_ERR(decode(&args, 0, ALL), ERR_MALFORMED);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_what_a_verb_has),
        TEST(reads_settings),
        TEST(takes_no_bytes_for_no_arguments),
        TEST(names_an_argument_that_the_verb_has_not),
        TEST(refuses_an_argument_that_is_there_twice),
        TEST(says_what_a_value_must_be),
        TEST(takes_a_key_as_a_number_or_a_text),
        TEST(reads_lists_of_names),
        TEST(refuses_lists_with_what_is_no_name),
        TEST(refuses_what_is_no_map_or_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
