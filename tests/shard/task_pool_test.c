#include "shard/task_pool.h"

#include "base/pack.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOUR UINT64_C(3600000)
#define YEAR (366 * 24 * HOUR)
#define BUFFER_BYTES (2 * TASK_POOL_BYTES_MAX)

static uint8_t buffer[BUFFER_BYTES];

static struct writer begin_pool(uint32_t more_count)
{
    struct writer writer = writer_of(buffer, sizeof buffer);
    pack_map(&writer, 1 + more_count);
    pack_text(&writer, "name");
    pack_text(&writer, "p");
    return writer;
}

static enum err decode(struct task_pool *out,
                       const struct writer *writer,
                       struct err_detail *why)
{
    struct reader reader = reader_of(writer_bytes(writer));
    assert_false(writer->failed);
    return task_pool_decode(out, &reader, why);
}

static void check_taken(const struct writer *writer)
{
    struct task_pool pool = {0};
    struct err_detail why = {{0}};
    if (decode(&pool, writer, &why)) {
        fail_msg("not taken: %s", why.text);
    }
    task_pool_clear(&pool);
}

/* With words that say which field. */
static void check_refused(const struct writer *writer, const char *words)
{
    struct task_pool pool = {0};
    struct err_detail why = {{0}};
    CHECK_ERR(decode(&pool, writer, &why), ERR_MALFORMED);
    if (!strstr(why.text, words)) {
        fail_msg("'%s' lacks '%s'", why.text, words);
    }
}

/* ---- numbers ---- */

static const struct {
    const char *name;
    uint64_t min;
    uint64_t max;
} numbers[] = {
    {"cpu_ms", 0, YEAR},
    {"memory_bytes", 0, UINT64_C(1) << 50},
    {"file_bytes", 0, UINT64_C(1) << 50},
    {"files", 0, 1u << 20},
    {"processes", 0, 1u << 20},
    {"workers", 0, 1024},
    {"queue_max", 1, 100000000},
    {"lease_ms", 1000, 168 * HOUR},
    {"timeout_ms", 0, 168 * HOUR},
    {"attempts_max", 1, 1000},
    {"backoff_min_ms", 1, 300000}, /* what backoff_max_ms is */
    {"backoff_max_ms", 1000, 168 * HOUR},
    {"running_max", 0, 1u << 20},
    {"rate", 0, 1000000},
    {"payload_bytes_max", 1, 128u << 10},
    {"output_bytes_max", 0, 64u << 10},
    {"result_ms", 0, YEAR},
    {"result_bytes_max", 0, UINT64_C(1) << 40},
    {"key_ms", 0, YEAR},
    {"dead_max", 1, 100000000},
};

#define NUMBER_COUNT (sizeof numbers / sizeof *numbers)

static struct writer pool_with(const char *field, uint64_t number)
{
    struct writer writer = begin_pool(1);
    pack_text(&writer, field);
    pack_uint(&writer, number);
    return writer;
}

static void numbers_are_taken_up_to_their_bounds(void **state)
{
    (void)state;
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        struct writer writer = pool_with(numbers[i].name, numbers[i].min);
        check_taken(&writer);
        writer = pool_with(numbers[i].name, numbers[i].max);
        check_taken(&writer);
    }
}

static void numbers_beyond_their_bounds_are_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        const char *name = numbers[i].name;
        struct writer writer = pool_with(name, numbers[i].max + 1);
        check_refused(&writer, name);
        if (numbers[i].min > 0) {
            writer = pool_with(name, numbers[i].min - 1);
            check_refused(&writer, name);
        }
        writer = pool_with(name, UINT64_MAX);
        check_refused(&writer, ": 18446744073709551615 is not between ");
    }
}

static void a_pause_may_be_as_long_as_the_longest(void **state)
{
    (void)state;
    struct writer writer = begin_pool(2);
    pack_text(&writer, "backoff_min_ms");
    pack_uint(&writer, HOUR);
    pack_text(&writer, "backoff_max_ms");
    pack_uint(&writer, HOUR);
    check_taken(&writer);
    writer = begin_pool(2);
    pack_text(&writer, "backoff_min_ms");
    pack_uint(&writer, HOUR + 1);
    pack_text(&writer, "backoff_max_ms");
    pack_uint(&writer, 2 * HOUR);
    check_refused(&writer, "backoff_min_ms: 3600001 is not between 1 and");
}

static void any_version_is_taken(void **state)
{
    (void)state;
    struct writer writer = pool_with("version", UINT64_MAX);
    check_taken(&writer);
}

/* ---- kinds ---- */

static void a_field_of_another_kind_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const of_no_list[] = {
        "name", "version", "handler",     "function", "plugin",  "user",
        "dir",  "durable", "any_command", "paused",   "workers", "queue_max"};
    for (size_t i = 0; i < sizeof of_no_list / sizeof *of_no_list; i++) {
        struct writer writer = begin_pool(1);
        pack_text(&writer, of_no_list[i]);
        pack_array(&writer, 0);
        check_refused(&writer, of_no_list[i]);
    }
    static const char *const lists[] = {"commands", "variables", "shares"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct writer writer = pool_with(lists[i], 1);
        check_refused(&writer, lists[i]);
    }
}

static void keys_that_are_not_known_are_skipped(void **state)
{
    (void)state;
    struct task_pool pool = {0};
    struct writer writer = begin_pool(2);
    pack_text(&writer, "of a newer release");
    pack_array(&writer, 2);
    pack_text(&writer, "x");
    pack_map(&writer, 1);
    pack_uint(&writer, 1);
    pack_nil(&writer);
    pack_text(&writer, "workers");
    pack_uint(&writer, 7);
    CHECK_OK(decode(&pool, &writer, NULL));
    assert_int_equal(pool.workers, 7);
    task_pool_clear(&pool);
}

static void keys_that_are_missing_are_as_by_default(void **state)
{
    (void)state;
    struct task_pool pool = {0};
    struct task_pool standard;
    struct writer writer = begin_pool(0);
    CHECK_OK(decode(&pool, &writer, NULL));
    task_pool_defaults(&standard);
    (void)snprintf(standard.name, sizeof standard.name, "p");
    assert_memory_equal(&pool, &standard, sizeof pool);
    writer = writer_of(buffer, sizeof buffer);
    pack_map(&writer, 0);
    check_refused(&writer, "name: \"\" is not");
}

/* ---- texts ---- */

/* So many times the same, with a zero. */
static const char *text_of(char letter, size_t length)
{
    static char text[2 * TASK_POOL_TEXT_BYTES];
    assert_true(length < sizeof text);
    memset(text, letter, length);
    text[length] = '\0';
    return text;
}

static struct writer pool_with_text(const char *field, const char *text)
{
    struct writer writer = begin_pool(1);
    pack_text(&writer, field);
    pack_text(&writer, text);
    return writer;
}

static void texts_are_taken_up_to_their_lengths(void **state)
{
    (void)state;
    struct writer writer =
        pool_with_text("name", text_of('n', CERTIFICATE_NAME_BYTES - 1));
    check_taken(&writer);
    writer = pool_with_text("name", text_of('n', CERTIFICATE_NAME_BYTES));
    check_refused(&writer, "name");
    writer = pool_with_text("user", text_of('u', TASK_POOL_TEXT_BYTES - 1));
    check_taken(&writer);
    writer = pool_with_text("user", text_of('u', TASK_POOL_TEXT_BYTES));
    check_refused(&writer, "user");
    writer = pool_with_text("dir", text_of('/', TASK_POOL_TEXT_BYTES - 1));
    check_taken(&writer);
    writer = pool_with_text("dir", text_of('/', TASK_POOL_TEXT_BYTES));
    check_refused(&writer, "dir");
    writer = pool_with_text("dir", "tmp");
    check_refused(&writer, "dir: \"tmp\" is not an absolute path");
    writer = pool_with_text("handler", "shell");
    check_refused(&writer, "handler: `shell` is none; exec, function or plugin "
                           "are allowed");
}

static void a_text_with_a_zero_in_it_is_refused(void **state)
{
    (void)state;
    struct writer writer = begin_pool(1);
    pack_text(&writer, "user");
    pack_str(&writer, bytes_of("ro\0ot", 5));
    check_refused(&writer, "user");
}

static void a_name_is_one_that_files_and_certificates_may_have(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "a b", "a/b", "ä", "a\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct writer writer = pool_with_text("name", bad[i]);
        check_refused(&writer, "name");
    }
}

/* ---- handlers ---- */

static void a_handler_has_what_it_needs_and_nothing_else(void **state)
{
    (void)state;
    static const struct {
        const char *handler;
        const char *function;
        const char *plugin;
        bool any_command;
        const char *words; /* NULL: it is taken */
    } cases[] = {
        {"exec", "", "", true, NULL},
        {"exec", "", "", false, NULL},
        {"exec", "", "/p.so", true, "plugin"},
        {"function", "f", "", false, NULL},
        {"function", "", "", false, "function"},
        {"function", "f", "/p.so", false, "plugin"},
        {"function", "f", "", true, "commands"},
        {"plugin", "f", "/p.so", false, NULL},
        {"plugin", "", "/p.so", false, "function"},
        {"plugin", "f", "", false, "plugin"},
        {"plugin", "f", "p.so", false, "plugin: \"p.so\" is not an absolute"},
        {"plugin", "f", "/p.so", true, "commands"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct writer writer = begin_pool(4);
        pack_text(&writer, "handler");
        pack_text(&writer, cases[i].handler);
        pack_text(&writer, "function");
        pack_text(&writer, cases[i].function);
        pack_text(&writer, "plugin");
        pack_text(&writer, cases[i].plugin);
        pack_text(&writer, "any_command");
        pack_bool(&writer, cases[i].any_command);
        if (cases[i].words) {
            check_refused(&writer, cases[i].words);
        } else {
            check_taken(&writer);
        }
    }
}

/* ---- lists ---- */

static struct writer pool_with_list(const char *field,
                                    uint32_t count,
                                    const char *text)
{
    struct writer writer = begin_pool(1);
    pack_text(&writer, field);
    pack_array(&writer, count);
    for (uint32_t i = 0; i < count; i++) {
        pack_text(&writer, text);
    }
    return writer;
}

static void lists_are_taken_up_to_their_lengths(void **state)
{
    (void)state;
    static const char *const names[] = {"commands", "variables"};
    for (size_t i = 0; i < 2; i++) {
        struct writer writer =
            pool_with_list(names[i], TASK_POOL_LIST_COUNT_MAX, "A=b");
        check_taken(&writer);
        writer = pool_with_list(names[i], TASK_POOL_LIST_COUNT_MAX + 1, "A=b");
        check_refused(&writer, names[i]);
        writer = pool_with_list(names[i], 1, "");
        check_refused(&writer, names[i]);
    }
    struct writer writer = pool_with_list("variables", 1, "A=");
    check_taken(&writer);
    writer = pool_with_list("variables", 1, "=b");
    check_refused(&writer, "variables: \"=b\" is not NAME=value");
    writer = pool_with_list("variables", 1, "A");
    check_refused(&writer, "variables");
}

static void a_list_that_comes_twice_is_refused(void **state)
{
    (void)state;
    struct writer writer = begin_pool(2);
    for (int i = 0; i < 2; i++) {
        pack_text(&writer, "commands");
        pack_array(&writer, 1);
        pack_text(&writer, "true");
    }
    check_refused(&writer, "commands");
}

static struct writer pool_with_shares(uint32_t count,
                                      const char *tenant,
                                      uint64_t weight)
{
    struct writer writer = begin_pool(1);
    pack_text(&writer, "shares");
    pack_array(&writer, count);
    for (uint32_t i = 0; i < count; i++) {
        pack_array(&writer, 2);
        pack_text(&writer, tenant);
        pack_uint(&writer, weight);
    }
    return writer;
}

static void shares_are_taken_up_to_their_bounds(void **state)
{
    (void)state;
    struct writer writer = pool_with_shares(TASK_POOL_LIST_COUNT_MAX, "t", 1);
    check_taken(&writer);
    writer = pool_with_shares(TASK_POOL_LIST_COUNT_MAX + 1, "t", 1);
    check_refused(&writer, "shares");
    writer = pool_with_shares(1, "t", 1000);
    check_taken(&writer);
    writer = pool_with_shares(1, "t", 1001);
    check_refused(&writer, "shares");
    writer = pool_with_shares(1, "t", 0);
    check_refused(&writer, "shares: weight 0 of \"t\"");
    writer = pool_with_shares(1, text_of('t', CERTIFICATE_NAME_BYTES - 1), 5);
    check_taken(&writer);
    writer = pool_with_shares(1, text_of('t', CERTIFICATE_NAME_BYTES), 5);
    check_refused(&writer, "shares");
}

static void all_texts_together_have_a_limit(void **state)
{
    (void)state;
    const char *text = text_of('c', TASK_POOL_TEXT_BYTES - 1);
    struct writer writer = pool_with_list("commands", 30, text);
    check_taken(&writer);
    writer = pool_with_list("commands", 32, text);
    check_refused(&writer, "all its texts together");
}

/* ---- there and back ---- */

static struct task_pool full_pool(void)
{
    struct task_pool pool = {0};
    struct writer writer = begin_pool(5);
    pack_text(&writer, "commands");
    pack_array(&writer, 2);
    pack_text(&writer, "true");
    pack_text(&writer, "/bin/false");
    pack_text(&writer, "variables");
    pack_array(&writer, 1);
    pack_text(&writer, "A=b=c");
    pack_text(&writer, "user");
    pack_text(&writer, "nobody");
    pack_text(&writer, "dir");
    pack_text(&writer, "/tmp");
    pack_text(&writer, "shares");
    pack_array(&writer, 1);
    pack_array(&writer, 2);
    pack_text(&writer, "t");
    pack_uint(&writer, 3);
    CHECK_OK(decode(&pool, &writer, NULL));
    return pool;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct task_pool pool = full_pool();
    struct task_pool again = {0};
    size_t room = task_pool_bytes_max(&pool);
    struct writer writer = writer_of(buffer, room);
    task_pool_encode(&pool, &writer);
    CHECK_OK(decode(&again, &writer, NULL));
    assert_int_equal(again.command_count, 2);
    assert_string_equal(again.commands[1], "/bin/false");
    assert_string_equal(again.variables[0], "A=b=c");
    assert_string_equal(again.user, "nobody");
    assert_string_equal(again.dir, "/tmp");
    assert_null(again.plugin);
    assert_true(task_pool_allows(&again, "true"));
    assert_false(task_pool_allows(&again, "false"));
    assert_int_equal(task_pool_weight(&again, bytes_of_text("t")), 3);
    assert_int_equal(task_pool_weight(&again, bytes_of_text("u")), 1);
    task_pool_clear(&pool);
    task_pool_clear(&again);
}

static void what_is_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct task_pool pool = full_pool();
    struct task_pool again = {0};
    struct writer writer = writer_of(buffer, sizeof buffer);
    task_pool_encode(&pool, &writer);
    struct bytes bytes = writer_bytes(&writer);
    for (size_t i = 0; i < bytes.length; i++) {
        struct reader reader = reader_of(bytes_of(bytes.data, i));
        CHECK_ERR(task_pool_decode(&again, &reader, NULL), ERR_MALFORMED);
    }
    task_pool_clear(&pool);
}

/* ---- tables ---- */

static void set_pool(struct task_pools *pools, const char *name)
{
    struct task_pool pool;
    task_pool_defaults(&pool);
    (void)snprintf(pool.name, sizeof pool.name, "%s", name);
    CHECK_OK(task_pools_set(pools, &pool));
}

static void a_table_is_in_the_order_of_names(void **state)
{
    (void)state;
    struct task_pools pools = {0};
    set_pool(&pools, "b");
    set_pool(&pools, "c");
    set_pool(&pools, "a");
    set_pool(&pools, "b"); /* in place of the other */
    assert_int_equal(pools.count, 3);
    assert_string_equal(pools.list[0].name, "a");
    assert_string_equal(pools.list[1].name, "b");
    assert_ptr_equal(task_pools_find(&pools, bytes_of_text("c")),
                     &pools.list[2]);
    assert_null(task_pools_find(&pools, bytes_of_text("bb")));
    task_pools_remove(&pools, bytes_of_text("bb"));
    task_pools_remove(&pools, bytes_of_text("a"));
    assert_int_equal(pools.count, 2);
    assert_null(task_pools_find(&pools, bytes_of_text("a")));
    task_pools_clear(&pools);
}

static void a_full_table_takes_only_what_is_in_it(void **state)
{
    (void)state;
    struct task_pools pools = {0};
    char name[CERTIFICATE_NAME_BYTES];
    for (unsigned i = 0; i < TASK_POOL_COUNT_MAX; i++) {
        (void)snprintf(name, sizeof name, "p%u", i);
        set_pool(&pools, name);
    }
    set_pool(&pools, "p0");
    struct task_pool more;
    task_pool_defaults(&more);
    (void)snprintf(more.name, sizeof more.name, "more");
    CHECK_ERR(task_pools_set(&pools, &more), ERR_FULL);
    assert_int_equal(pools.count, TASK_POOL_COUNT_MAX);
    task_pools_clear(&pools);
}

static void a_table_out_of_order_is_refused(void **state)
{
    (void)state;
    static const char *const orders[][2] = {{"b", "a"}, {"a", "a"}};
    struct task_pool pool;
    struct task_pools pools = {0};
    task_pool_defaults(&pool);
    for (size_t i = 0; i < 2; i++) {
        struct writer writer = writer_of(buffer, sizeof buffer);
        pack_array(&writer, 2);
        for (size_t j = 0; j < 2; j++) {
            (void)snprintf(pool.name, sizeof pool.name, "%s", orders[i][j]);
            task_pool_encode(&pool, &writer);
        }
        struct reader reader = reader_of(writer_bytes(&writer));
        CHECK_ERR(task_pools_decode(&pools, &reader), ERR_MALFORMED);
        assert_int_equal(pools.count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_taken_up_to_their_bounds),
        cmocka_unit_test(numbers_beyond_their_bounds_are_refused_by_name),
        cmocka_unit_test(a_pause_may_be_as_long_as_the_longest),
        cmocka_unit_test(any_version_is_taken),
        cmocka_unit_test(a_field_of_another_kind_is_refused_by_name),
        cmocka_unit_test(keys_that_are_not_known_are_skipped),
        cmocka_unit_test(keys_that_are_missing_are_as_by_default),
        cmocka_unit_test(texts_are_taken_up_to_their_lengths),
        cmocka_unit_test(a_text_with_a_zero_in_it_is_refused),
        cmocka_unit_test(a_name_is_one_that_files_and_certificates_may_have),
        cmocka_unit_test(a_handler_has_what_it_needs_and_nothing_else),
        cmocka_unit_test(lists_are_taken_up_to_their_lengths),
        cmocka_unit_test(a_list_that_comes_twice_is_refused),
        cmocka_unit_test(shares_are_taken_up_to_their_bounds),
        cmocka_unit_test(all_texts_together_have_a_limit),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_cut_anywhere_is_refused),
        cmocka_unit_test(a_table_is_in_the_order_of_names),
        cmocka_unit_test(a_full_table_takes_only_what_is_in_it),
        cmocka_unit_test(a_table_out_of_order_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
