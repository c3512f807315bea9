#include "tests/support/check.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/config_command.h"
#include "base/posix/posix_files.h"
#include "base/scope.h"
#include "config/config.h"
#include "config/schema.h"
#include "tests/support/terminal.h"

#define DEPLOY SOURCE_ROOT "/deploy/"

static const struct command_noun *const nouns[] = {&config_command, NULL};

static int set_up(void **state)
{
    static struct terminal terminal;
    terminal_init(&terminal, nouns);
    *state = &terminal;
    return 0;
}

static int tear_down(void **state)
{
    terminal_clear(*state);
    return 0;
}

/* `words` ends with NULL. */
static int run(struct terminal *terminal, const char *const *words)
{
    const char *all[8] = {"troupe", "config"};
    int count = 2;
    for (; *words; words++, count++) {
        all[count] = *words;
    }
    return terminal_run_words(terminal, all, count);
}

#define RUN(terminal, ...) \
    run(terminal, (const char *const[]){__VA_ARGS__, NULL})

static const char *write_file(struct terminal *terminal,
                              char path[static 256],
                              const char *text)
{
    temp_folder_path(&terminal->folder, path, "cluster.yaml");
    FILE *file = fopen(path, "w");
    CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
    return path;
}

static char *read_file(const char *path)
{
    uint8_t *text = NULL;
    size_t length = 0;
    const struct files *files = posix_files();
    CHECK_OK(files->read(files->context, path, FILE_PUBLIC, 1 << 20, &text,
                         &length));
    return (char *)text;
}

static void json_clear(json_t **json)
{
    json_decref(*json);
}

#define WRONG                                    \
    "cluster:\n  id: 1\n  nodes: [{name: n1}]\n" \
    "  shards: 3\n"
#define RIGHT                                  \
    "cluster:\n"                               \
    "  id: 000102030405060708090a0b0c0d0e0f\n" \
    "  nodes: [{name: n1, host: h}]\n"         \
    "node: {data_dir: data, log: {}}\n"

static void the_samples_are_valid(void **state)
{
    static const char *const samples[] = {DEPLOY "one-host.yaml",
                                          DEPLOY "three-hosts.yaml",
                                          DEPLOY "five-hosts.yaml"};
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        assert_int_equal(RUN(*state, "check", samples[i]), EXIT_CODE_OK);
        struct terminal *terminal = *state;
        assert_string_equal(terminal->out, "");
        CHECK(strstr(terminal->talk, "is valid"));
    }
}

static void checks_show_all_problems(void **state)
{
    struct terminal *terminal = *state;
    char path[256];
    write_file(terminal, path, WRONG);
    assert_int_equal(RUN(terminal, "check", path), EXIT_CODE_FOUND);
    CHECK(strstr(terminal->out, "cluster.yaml:2:7: cluster.id: found \"1\""));
    CHECK(strstr(terminal->out, "cluster.nodes[0].host"));
    CHECK(strstr(terminal->out, "cluster.shards"));
    assert_string_equal(terminal->talk, "3 problems\n");
}

static void checks_give_json(void **state)
{
    struct terminal *terminal = *state;
    char path[256];
    write_file(terminal, path, WRONG);
    assert_int_equal(RUN(terminal, "check", "--json", path), EXIT_CODE_FOUND);
    assert_string_equal(terminal->talk, "");
    scoped(json_clear) json_t *json = json_loads(terminal->out, 0, NULL);
    CHECK(json_is_false(json_object_get(json, "valid")));
    const json_t *problems = json_object_get(json, "problems");
    assert_int_equal(json_array_size(problems), 3);
    const json_t *first = json_array_get(problems, 0);
    assert_int_equal(json_integer_value(json_object_get(first, "line")), 2);
    assert_string_equal(json_string_value(json_object_get(first, "key")),
                        "cluster.id");
}

static void an_unreadable_file_is_not_an_invalid_one(void **state)
{
    struct terminal *terminal = *state;
    assert_int_equal(RUN(terminal, "check", "/nowhere/x.yaml"),
                     EXIT_CODE_FAILED);
    CHECK(strstr(terminal->talk, "/nowhere/x.yaml: found no such file"));
    assert_string_equal(terminal->out, "");
    assert_int_equal(RUN(terminal, "check", terminal->folder.path),
                     EXIT_CODE_FAILED);
    assert_int_equal(RUN(terminal, "show", "/nowhere/x.yaml"),
                     EXIT_CODE_FAILED);
}

static void shows_what_is_written(void **state)
{
    struct terminal *terminal = *state;
    char path[256];
    write_file(terminal, path, RIGHT);
    assert_int_equal(RUN(terminal, "show", path), EXIT_CODE_OK);
    assert_string_equal(terminal->out,
                        "node:\n"
                        "  data_dir: data\n"
                        "cluster:\n"
                        "  id: 000102030405060708090a0b0c0d0e0f\n"
                        "  nodes:\n"
                        "    - name: n1\n"
                        "      host: h\n");
}

static void marks_defaults(void **state)
{
    struct terminal *terminal = *state;
    char path[256];
    write_file(terminal, path, RIGHT);
    assert_int_equal(RUN(terminal, "show", "--effective", path), EXIT_CODE_OK);
    CHECK(strstr(terminal->out, "  shards: 128 # default\n"));
    CHECK(strstr(terminal->out, "      port: 7600 # default\n"));
    CHECK(strstr(terminal->out, "      host: h\n"));
    CHECK(strstr(terminal->out, "      # zone: default: none\n"));
    CHECK(strstr(terminal->out, "  data_dir: data\n")); /* not resolved */
    assert_int_equal(RUN(terminal, "show", "--effective", "--json", path),
                     EXIT_CODE_OK);
    scoped(json_clear) json_t *json = json_loads(terminal->out, 0, NULL);
    CHECK(json);
    const char *first =
        json_string_value(json_array_get(json_object_get(json, "defaults"), 0));
    assert_string_equal(first, "node.name");
}

static void what_is_shown_reads_back_the_same(void **state)
{
    struct terminal *terminal = *state;
    static const char *const samples[] = {DEPLOY "one-host.yaml",
                                          DEPLOY "three-hosts.yaml",
                                          DEPLOY "five-hosts.yaml"};
    static struct problems problems;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        scoped(settings_close) struct settings *before = NULL;
        scoped(settings_close) struct settings *after = NULL;
        CHECK_OK(config_open(&before, posix_files(), samples[i], &problems));
        assert_int_equal(RUN(terminal, "show", "--effective", samples[i]),
                         EXIT_CODE_OK);
        CHECK_OK(config_parse(&after, bytes_of_text(terminal->out), "shown",
                              &problems));
        assert_int_equal(
            settings_cluster_differences(before, after, NULL, NULL), 0);
        assert_memory_equal(&before->node, &after->node, sizeof before->node);
        assert_int_equal(before->seed_count, after->seed_count);
    }
}

/* Replace a file by what is shown of it: relative folders mean the same. */
static void check_replaced(struct terminal *terminal, const char *path)
{
    static struct problems problems;
    scoped(settings_close) struct settings *before = NULL;
    scoped(settings_close) struct settings *after = NULL;
    const struct files *files = posix_files();
    CHECK_OK(config_open(&before, files, path, &problems));
    assert_string_equal(before->node.keys_dir, "/etc/troupe/keys");
    assert_int_equal(RUN(terminal, "show", "--effective", path), EXIT_CODE_OK);
    CHECK_OK(files->write(files->context, path, FILE_PUBLIC, true,
                          bytes_of_text(terminal->out)));
    CHECK_OK(config_open(&after, files, path, &problems));
    assert_memory_equal(&before->node, &after->node, sizeof before->node);
}

static void what_is_shown_may_replace_the_file(void **state)
{
    struct terminal *terminal = *state;
    char path[256];
    char here[PATH_MAX];
    const struct files *files = posix_files();
    write_file(terminal, path, RIGHT);
    check_replaced(terminal, path);
    CHECK(getcwd(here, sizeof here));
    CHECK(chdir(terminal->folder.path) == 0);
    CHECK_OK(files->make_folder(files->context, "conf", FILE_PUBLIC));
    CHECK_OK(files->write(files->context, "conf/a.yaml", FILE_PUBLIC, false,
                          bytes_of_text(RIGHT)));
    check_replaced(terminal, "conf/a.yaml");
    CHECK(chdir(here) == 0);
}

static void shows_nothing_of_a_wrong_file(void **state)
{
    struct terminal *terminal = *state;
    char path[256];
    write_file(terminal, path, WRONG);
    assert_int_equal(RUN(terminal, "show", path), EXIT_CODE_FOUND);
    assert_string_equal(terminal->out, "");
    CHECK(strstr(terminal->talk, "3 problems"));
}

static void explains_a_key_however_it_is_written(void **state)
{
    struct terminal *terminal = *state;
    static const char *const ways[] = {
        "cluster.nodes[].port",   "cluster.nodes[2].port", "cluster.nodes.port",
        "cluster.nodes[n1].port", "nodes[].port",          "port"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        assert_int_equal(RUN(terminal, "explain", ways[i]), EXIT_CODE_OK);
        CHECK(strstr(terminal->out, "cluster.nodes[].port\n"));
        CHECK(strstr(terminal->out, "default  7600\n"));
    }
    assert_int_equal(RUN(terminal, "explain", "nodes"), EXIT_CODE_OK);
    CHECK(strstr(terminal->out, "Keys in it:"));
}

static void says_which_keys_are_not_used_yet(void **state)
{
    struct terminal *terminal = *state;
    assert_int_equal(RUN(terminal, "explain", "actor_slice"), EXIT_CODE_OK);
    CHECK(strstr(terminal->out, "\n  Not used yet: "));
    assert_int_equal(RUN(terminal, "explain", "link_window"), EXIT_CODE_OK);
    CHECK(!strstr(terminal->out, "Not used yet"));
    assert_int_equal(RUN(terminal, "explain"), EXIT_CODE_OK);
    CHECK(strstr(terminal->out, "  1ms  (not used yet)\n"));
    assert_int_equal(RUN(terminal, "explain", "--json", "cluster.timeouts.ask"),
                     EXIT_CODE_OK);
    scoped(json_clear) json_t *json = json_loads(terminal->out, 0, NULL);
    const json_t *key = json_array_get(json_object_get(json, "keys"), 0);
    CHECK(json_is_false(json_object_get(key, "used")));
    assert_int_equal(RUN(terminal, "explain", "--markdown"), EXIT_CODE_OK);
    CHECK(strstr(terminal->out, "| *Not used yet.* How long actors run"));
    assert_int_equal(RUN(terminal, "default"), EXIT_CODE_OK);
    CHECK(strstr(terminal->out, "# Not used yet: "));
}

static void suggests_the_key_that_was_meant(void **state)
{
    struct terminal *terminal = *state;
    assert_int_equal(RUN(terminal, "explain", "link_windw"), EXIT_CODE_USAGE);
    CHECK(strstr(terminal->talk, "mean \"cluster.limits.link_window\"?"));
    assert_int_equal(RUN(terminal, "explain", "name"), EXIT_CODE_USAGE);
    CHECK(strstr(terminal->talk, "node.name, cluster.name"));
    assert_int_equal(RUN(terminal, "explain", "zzzzzz"), EXIT_CODE_USAGE);
    assert_int_equal(RUN(terminal, "explain", ""), EXIT_CODE_USAGE);
    assert_int_equal(RUN(terminal, "explain", "nodes["), EXIT_CODE_OK);
    char key[400];
    memset(key, '[', sizeof key);
    memset(key, 'x', 300);
    key[sizeof key - 1] = '\0';
    assert_int_equal(RUN(terminal, "explain", key), EXIT_CODE_USAGE);
    assert_string_equal(terminal->out, "");
}

static void lists_every_key(void **state)
{
    struct terminal *terminal = *state;
    assert_int_equal(RUN(terminal, "explain"), EXIT_CODE_OK);
    CHECK(strstr(terminal->out, "\ncluster.limits.link_window "));
    assert_int_equal(RUN(terminal, "explain", "--json"), EXIT_CODE_OK);
    scoped(json_clear) json_t *json = json_loads(terminal->out, 0, NULL);
    CHECK(json_array_size(json_object_get(json, "keys")) > 50);
}

static void the_documentation_is_up_to_date(void **state)
{
    struct terminal *terminal = *state;
    char *page = read_file(SOURCE_ROOT "/docs/configuration.md");
    assert_int_equal(RUN(terminal, "explain", "--markdown"), EXIT_CODE_OK);
    /* If not: troupe config explain --markdown > docs/configuration.md */
    assert_string_equal(page, terminal->out);
    free(page);
    assert_int_equal(RUN(terminal, "explain", "--markdown", "node"),
                     EXIT_CODE_USAGE);
}

/* The default file with every key that is commented out ("#key") set. */
static char *uncommented(const char *text)
{
    char *copy = strdup(text);
    CHECK(copy);
    char *to = copy;
    for (; *text; text++) {
        bool is_prose = text[1] == ' ' || text[1] == '\n';
        if (*text != '#' || is_prose) {
            *to++ = *text;
        }
    }
    *to = '\0';
    return copy;
}

static void the_default_file_is_valid_and_whole(void **state)
{
    struct terminal *terminal = *state;
    static struct problems problems;
    assert_int_equal(RUN(terminal, "default"), EXIT_CODE_OK);
    scoped(settings_close) struct settings *settings = NULL;
    CHECK_OK(config_parse(&settings, bytes_of_text(terminal->out), "default",
                          &problems));
    char *all = uncommented(terminal->out);
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    for (uint32_t i = 0; i < count; i++) {
        const char *dot = strrchr(keys[i].path, '.');
        char line[SCHEMA_PATH_BYTES];
        (void)snprintf(line, sizeof line, " %s:", dot ? dot + 1 : "");
        CHECK(!dot || strstr(all, line));
    }
    scoped(settings_close) struct settings *every = NULL;
    CHECK_OK(config_parse(&every, bytes_of_text(all), "all", &problems));
    assert_int_equal(every->cluster.pool_count, 1);
    assert_int_equal(settings_cluster_differences(settings, every, NULL, NULL),
                     3);
    free(all);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_samples_are_valid),
        TEST(checks_show_all_problems),
        TEST(checks_give_json),
        TEST(an_unreadable_file_is_not_an_invalid_one),
        TEST(shows_what_is_written),
        TEST(marks_defaults),
        TEST(what_is_shown_reads_back_the_same),
        TEST(what_is_shown_may_replace_the_file),
        TEST(shows_nothing_of_a_wrong_file),
        TEST(explains_a_key_however_it_is_written),
        TEST(says_which_keys_are_not_used_yet),
        TEST(suggests_the_key_that_was_meant),
        TEST(lists_every_key),
        TEST(the_documentation_is_up_to_date),
        TEST(the_default_file_is_valid_and_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
