/*
 * A command asks a node over a real link: the cluster's files on disk, an
 * endpoint over NNG, calls.
 */

#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/interrupt.h"
#include "admin/nouns.h"
#include "admin/pack_json.h"
#include "base/posix/posix_clock.h"
#include "base/posix/posix_entropy.h"
#include "base/posix/posix_files.h"
#include "config/trust.h"
#include "shard/host_service.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_node.h"
#include "transport/calls.h"

#define ANSWER_BYTES 1024

static struct {
    struct temp_folder temp;
    const struct identity *identity; /* the node's */
    struct trust *trust;
    struct test_node *node;
    struct calls *calls;
    char asked_by[64];
    char *out;
    char *talk;
} fixture;

/* ---- the node ---- */

static void serve(void *context, struct asked *asked, struct bytes question)
{
    (void)context;
    json_t *map = NULL;
    uint8_t buffer[ANSWER_BYTES];
    struct writer writer = writer_of(buffer, sizeof buffer);
    CHECK_OK(pack_json_decode(&map, question));
    const char *verb = json_string_value(json_object_get(map, "verb"));
    bool is_known = strcmp(verb, "counter.get") == 0;
    json_t *answer =
        is_known
            ? json_pack("{s:i, s:s, s:i}", "v", 1, "node", "one", "value", 42)
            : json_pack("{s:i, s:s}", "v", 1, "why", "the moon is full");
    (void)snprintf(fixture.asked_by, sizeof fixture.asked_by, "%s",
                   asked_certificate(asked)->name);
    pack_json_encode(&writer, answer);
    json_decref(answer);
    json_decref(map);
    asked_answer(&asked, is_known ? ERR_NONE : ERR_REFUSED,
                 writer_bytes(&writer));
}

static void open_calls(void *context, struct endpoint *endpoint)
{
    (void)context;
    struct calls_config config = {.endpoint = endpoint,
                                  .reactor = test_node_reactor(fixture.node)};
    calls_config_defaults(&config);
    CHECK_OK(calls_open(&fixture.calls, &config));
    calls_serve(fixture.calls, HOST_SERVICE_ADMIN, serve, NULL, true);
}

static void close_calls(void *context, struct endpoint *endpoint)
{
    (void)context;
    (void)endpoint;
    calls_close(&fixture.calls);
}

static void start_node(void)
{
    char door[256];
    char pair[256];
    struct endpoint_config config;
    char folder[256];
    char path[256];
    temp_folder_path(&fixture.temp, folder, "lab/one");
    CHECK_OK(
        identity_open(&fixture.identity, posix_files(), folder, "one", NULL));
    CHECK_OK(trust_open(&fixture.trust, posix_files(),
                        temp_folder_path(&fixture.temp, path, "lab/one/trust"),
                        NULL));
    (void)snprintf(door, sizeof door, "ipc://%s/one-door.ipc",
                   fixture.temp.path);
    (void)snprintf(pair, sizeof pair, "ipc://%s/one-link-", fixture.temp.path);
    test_node_defaults(&config);
    config.identity = fixture.identity;
    config.trust = fixture.trust;
    config.addresses = (struct endpoint_addresses){.door = door,
                                                   .pair_bind = pair,
                                                   .pair_advertise = pair,
                                                   .pair_first = 1,
                                                   .pair_count = 4};
    CHECK_OK(test_node_start(&fixture.node, &config, NULL));
    test_node_call(fixture.node, open_calls, NULL);
}

/* ---- the command ---- */

static int run_words(int count, char **words)
{
    size_t out_bytes = 0;
    size_t talk_bytes = 0;
    free(fixture.out);
    free(fixture.talk);
    struct command_world world = {
        .files = posix_files(),
        .clock = posix_clock(),
        .entropy = posix_entropy(),
        .interrupt = interrupt_posix(),
        .in = fopen("/dev/null", "r"),
        .out = open_memstream(&fixture.out, &out_bytes),
        .talk = open_memstream(&fixture.talk, &talk_bytes)};
    CHECK(world.in && world.out && world.talk);
    int code = (int)command_run(&world, nouns_all, count, words);
    (void)fclose(world.in);
    (void)fclose(world.out);
    (void)fclose(world.talk);
    return code;
}

static int run(const char *noun, const char *verb, const char *operand)
{
    char file[256];
    const char *given[] = {"troupe",
                           noun,
                           verb,
                           operand,
                           "--timeout",
                           "20s",
                           "--node",
                           "one",
                           "--config",
                           temp_folder_path(&fixture.temp, file,
                                            "lab/operator/"
                                            "cluster.yaml")};
    char *words[sizeof given / sizeof *given];
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        words[i] = (char *)(uintptr_t)given[i]; /* reordered, not changed */
    }
    return run_words((int)(sizeof given / sizeof *given), words);
}

/* Where the sockets are, which `cluster init` cannot know. */
static void set_socket_folder(void)
{
    char path[256];
    char *changed = NULL;
    uint8_t *text = NULL;
    size_t length = 0;
    const struct files *files = posix_files();
    temp_folder_path(&fixture.temp, path, "lab/operator/cluster.yaml");
    CHECK_OK(files->read(files->context, path, FILE_PUBLIC, 1 << 20, &text,
                         &length));
    static const char key[] = "  transport: ipc\n";
    char *at = strstr((char *)text, key);
    assert_non_null(at);
    CHECK(asprintf(&changed, "%.*s%s  ipc_dir: \"%s\"\n%s",
                   (int)(at - (char *)text), (char *)text, key,
                   fixture.temp.path, at + strlen(key)) > 0);
    CHECK_OK(files->write(files->context, path, FILE_PUBLIC, true,
                          bytes_of_text(changed)));
    free(changed);
    free(text);
}

static int set_up(void **state)
{
    (void)state;
    char out[256];
    CHECK_OK(identity_library_init());
    temp_folder_init(&fixture.temp);
    const char *given[] = {
        "troupe", "cluster",     "init",
        "lab",    "--transport", "ipc",
        "one",    "--out",       temp_folder_path(&fixture.temp, out, "lab")};
    char *words[sizeof given / sizeof *given];
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        words[i] = (char *)(uintptr_t)given[i];
    }
    CHECK(run_words((int)(sizeof given / sizeof *given), words) == 0);
    set_socket_folder();
    start_node();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_node_call(fixture.node, close_calls, NULL);
    test_node_stop(&fixture.node);
    identity_unref(&fixture.identity);
    trust_unref(&fixture.trust);
    free(fixture.out);
    free(fixture.talk);
    temp_folder_clear(&fixture.temp);
    return 0;
}

static void a_node_answers_a_command(void **state)
{
    (void)state;
    CHECK(run("counter", "get", "visits") == 0);
    assert_string_equal(fixture.out, "42\n");
    assert_string_equal(fixture.talk, "");
    assert_string_equal(fixture.asked_by, "operator");
}

static void what_a_node_says_about_an_error_is_shown(void **state)
{
    (void)state;
    CHECK(run("node", "cordon", "one") == EXIT_CODE_REFUSED);
    assert_string_equal(
        fixture.talk,
        "troupe node cordon: one: the moon is full (ERR_REFUSED)\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_answers_a_command),
        cmocka_unit_test(what_a_node_says_about_an_error_is_shown),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
