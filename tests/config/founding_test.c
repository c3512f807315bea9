#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "config/config.h"
#include "config/founding.h"
#include "config/trust.h"
#include "tests/support/fake_machine.h"

#define NOW_MS FAKE_MACHINE_NOW_MS
#define HOST_COUNT 3

struct fixture {
    struct fake_machine machine;
    struct founding_host hosts[HOST_COUNT];
    struct founding founding;
    struct err_detail why;
};

static void parse_hosts(struct fixture *fixture, const char *const *texts)
{
    for (uint32_t i = 0; i < HOST_COUNT; i++) {
        CHECK_OK(founding_parse_host(&fixture->hosts[i], texts[i],
                                     fixture->founding.transport, NULL));
    }
}

static int set_up(void **state)
{
    static const char *const texts[] = {"alpha=10.0.0.1", "beta=10.0.0.2:7700",
                                        "gamma.example.org"};
    struct fixture *fixture = calloc(1, sizeof *fixture);
    CHECK(fixture != NULL);
    fake_machine_init(&fixture->machine);
    fixture->founding = (struct founding){.cluster_name = "shop",
                                          .hosts = fixture->hosts,
                                          .host_count = HOST_COUNT};
    parse_hosts(fixture, texts);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    fake_machine_clear(&fixture->machine);
    free(fixture);
    return 0;
}

static enum err found(struct fixture *fixture)
{
    uint8_t id[CLUSTER_ID_BYTES];
    fixture->why.text[0] = '\0';
    enum err err = founding_make(&fixture->founding, &fixture->machine.world,
                                 "shop", id, &fixture->why);
    CHECK((err != ERR_NONE) == (fixture->why.text[0] != '\0'));
    return err;
}

static struct settings *read_config(struct fixture *fixture, const char *path)
{
    struct settings *settings = NULL;
    struct problems *problems = calloc(1, sizeof *problems);
    CHECK(problems != NULL);
    CHECK_OK(config_open(&settings, &fixture->machine.files, path, problems));
    free(problems);
    return settings;
}

static void gives_each_host_all_that_it_needs(void **state)
{
    struct fixture *fixture = *state;
    static const char *const names[] = {"alpha", "beta", "gamma", "operator"};
    CHECK_OK(found(fixture));
    for (uint32_t i = 0; i < 4; i++) {
        char path[64];
        struct certificate certificate;
        scoped(settings_close) struct settings *settings = NULL;
        scoped(trust_unref) struct trust *trust = NULL;
        scoped(identity_unref) const struct identity *identity = NULL;
        (void)snprintf(path, sizeof path, "shop/%s/cluster.yaml", names[i]);
        settings = read_config(fixture, path);
        CHECK(settings->cluster.member_count == HOST_COUNT);
        assert_string_equal(settings->node.name, i < 3 ? names[i] : "");
        (void)snprintf(path, sizeof path, "shop/%s/.", names[i]);
        assert_string_equal(settings->node.keys_dir, path);
        (void)snprintf(path, sizeof path, "shop/%s", names[i]);
        CHECK_OK(identity_open(&identity, &fixture->machine.files, path,
                               names[i], &fixture->why));
        (void)snprintf(path, sizeof path, "shop/%s/trust", names[i]);
        CHECK_OK(
            trust_open(&trust, &fixture->machine.files, path, &fixture->why));
        CHECK_OK(trust_check(
            trust, bytes_of(identity->encoded, identity->encoded_length),
            NOW_MS, 0, &certificate, NULL));
        CHECK(certificate.role == (i < 3 ? ROLE_NODE : ROLE_OPERATOR));
        assert_memory_equal(settings->cluster.id, certificate.cluster_id,
                            CLUSTER_ID_BYTES);
    }
}

static void keeps_secrets_to_their_owner(void **state)
{
    struct fixture *fixture = *state;
    static const char *const secret[] = {
        "shop", "shop/authority", "shop/authority/authority.key",
        "shop/alpha/alpha.key", "shop/operator/operator.key"};
    CHECK_OK(found(fixture));
    for (size_t i = 0; i < 5; i++) {
        CHECK(memory_files_find(&fixture->machine.memory, secret[i])->access ==
              FILE_SECRET);
    }
}

static void leaves_an_authority_that_can_go_on(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(found(fixture));
    scoped(authority_close) struct authority *authority = NULL;
    CHECK_OK(authority_open(&authority, &fixture->machine.world,
                            "shop/authority", AUTHORITY_WRITE, &fixture->why));
    CHECK(authority_ledger(authority)->entry_count == HOST_COUNT + 1);
    CHECK(authority_ledger(authority)->next_serial == HOST_COUNT + 2);
}

static void overwrites_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct files *files = &fixture->machine.files;
    CHECK_OK(files->make_folder(files->context, "shop", FILE_PUBLIC));
    CHECK_ERR(found(fixture), ERR_EXISTS);
    CHECK(strstr(fixture->why.text, "shop exists already") != NULL);
    CHECK(memory_files_count(&fixture->machine.memory) == 1);
}

/* A folder, 3 hosts and the operator with 5 writes each, the authority's 4. */
#define WRITE_COUNT (1 + 4 * 5 + 4)

static void leaves_nothing_when_any_write_fails(void **state)
{
    struct fixture *fixture = *state;
    uint32_t failures = 0;
    enum err err = ERR_NO_SPACE;
    for (uint32_t i = 1; err; i++) {
        fixture->machine.memory.write_count = 0;
        fixture->machine.memory.fail_at = i;
        fixture->machine.memory.fails_on = i % 2;
        err = found(fixture);
        CHECK(err == ERR_NONE || err == ERR_NO_SPACE);
        CHECK(!err || memory_files_count(&fixture->machine.memory) == 0);
        CHECK(!err || strstr(fixture->why.text, "shop") != NULL);
        failures += err != ERR_NONE;
    }
    CHECK(failures == WRITE_COUNT);
}

static void says_what_it_could_not_remove(void **state)
{
    struct fixture *fixture = *state;
    fixture->machine.memory.fail_at = 5;
    fixture->machine.memory.fails_removal = true;
    CHECK_ERR(found(fixture), ERR_NO_SPACE);
    CHECK(strstr(fixture->why.text, "remove shop by hand") != NULL);
}

static void refuses_names_that_cannot_be(void **state)
{
    struct fixture *fixture = *state;
    static const char *const bad[] = {"authority", "operator", "7", "beta"};
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(fixture->hosts[0].name, sizeof fixture->hosts[0].name,
                       "%s", bad[i]);
        CHECK_ERR(found(fixture), ERR_INVALID);
        CHECK(memory_files_count(&fixture->machine.memory) == 0);
    }
    (void)snprintf(fixture->hosts[0].name, sizeof fixture->hosts[0].name, "a");
    fixture->founding.cluster_name = "My Shop";
    CHECK_ERR(found(fixture), ERR_INVALID);
    fixture->founding.cluster_name = "shop";
    CHECK_OK(found(fixture));
}

static void passes_on_what_the_configuration_refuses(void **state)
{
    struct fixture *fixture = *state;
    (void)snprintf(fixture->hosts[1].host, sizeof fixture->hosts[1].host,
                   "0.0.0.0");
    CHECK_ERR(found(fixture), ERR_INVALID);
    CHECK(strstr(fixture->why.text, "cluster.nodes") != NULL);
    CHECK(memory_files_count(&fixture->machine.memory) == 0);
}

static void takes_hosts_apart(void **state)
{
    (void)state;
    struct founding_host host;
    CHECK_OK(
        founding_parse_host(&host, "db1.example.org:80", SETTINGS_WS, NULL));
    assert_string_equal(host.name, "db1");
    assert_string_equal(host.host, "db1.example.org");
    CHECK(host.port == 80);
    CHECK_OK(founding_parse_host(&host, "n=[fe80::1]:81", SETTINGS_TCP, NULL));
    assert_string_equal(host.host, "fe80::1");
    CHECK(host.port == 81);
    CHECK_OK(founding_parse_host(&host, "n=fe80::1", SETTINGS_TCP, NULL));
    assert_string_equal(host.host, "fe80::1");
    CHECK(host.port == 0);
    CHECK_OK(founding_parse_host(&host, "one", SETTINGS_IPC, NULL));
    assert_string_equal(host.name, "one");
    static const char *const bad[] = {
        "",           "10.0.0.1",     "=h",        "n=",
        "n=h:",       "n=h:0",        "n=h:65536", "N=h",
        "n=[fe80::1", "n=[fe80::1]x", "fe80::1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err_detail why = {0};
        CHECK_ERR(founding_parse_host(&host, bad[i], SETTINGS_TCP, &why),
                  ERR_INVALID);
        CHECK(why.text[0] != '\0');
    }
    CHECK_ERR(founding_parse_host(&host, "n=h", SETTINGS_IPC, NULL),
              ERR_INVALID);
}

static void gives_nodes_on_one_host_ports_of_their_own(void **state)
{
    static const char *const texts[] = {"a=127.0.0.1", "b=127.0.0.1",
                                        "c=127.0.0.1"};
    struct fixture *fixture = *state;
    parse_hosts(fixture, texts);
    CHECK_OK(found(fixture));
    scoped(settings_close) struct settings *settings =
        read_config(fixture, "shop/b/cluster.yaml");
    const struct settings_member *members = settings->cluster.members;
    CHECK(members[0].port == 7600 && members[1].port == 7700);
    CHECK(members[0].link_ports.last < members[1].port);
    CHECK(members[1].link_ports.last < members[2].port);
}

static void founds_with_every_transport(void **state)
{
    struct fixture *fixture = *state;
    static const char *const names[] = {"one", "two", "three"};
    fixture->founding.transport = SETTINGS_WS;
    fixture->founding.port = 443;
    CHECK_OK(found(fixture));
    memory_files_clear(&fixture->machine.memory);
    fixture->founding.transport = SETTINGS_IPC;
    parse_hosts(fixture, names);
    CHECK_OK(found(fixture));
    scoped(settings_close) struct settings *settings =
        read_config(fixture, "shop/two/cluster.yaml");
    CHECK(settings->cluster.transport == SETTINGS_IPC);
}

/* Files which are written and forgotten, all but the first configuration. */
struct sink {
    char *config;
};

static enum err sink_write(void *context,
                           const char *path,
                           enum file_access access,
                           bool replace,
                           struct bytes content)
{
    struct sink *sink = context;
    (void)access;
    (void)replace;
    if (!sink->config && strstr(path, "/cluster.yaml")) {
        sink->config = strndup((const char *)content.data, content.length);
    }
    return ERR_NONE;
}

static enum err sink_make_folder(void *context,
                                 const char *path,
                                 enum file_access access)
{
    (void)context;
    (void)path;
    (void)access;
    return ERR_NONE;
}

static enum err sink_read(void *context,
                          const char *path,
                          enum file_access access,
                          size_t length_max,
                          uint8_t **out,
                          size_t *out_length)
{
    (void)context;
    (void)path;
    (void)access;
    (void)length_max;
    (void)out;
    (void)out_length;
    return ERR_NOT_FOUND;
}

/* What a cluster of so many nodes has as limits.peers_max. */
static uint32_t peers_max_of(struct fixture *fixture, uint32_t count)
{
    struct sink sink = {0};
    fixture->machine.files = (struct files){.context = &sink,
                                            .read = sink_read,
                                            .write = sink_write,
                                            .make_folder = sink_make_folder};
    struct founding_host *hosts = calloc(count, sizeof *hosts);
    struct problems *problems = calloc(1, sizeof *problems);
    CHECK(hosts && problems);
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(hosts[i].name, sizeof hosts[i].name, "n%u", i);
        (void)snprintf(hosts[i].host, sizeof hosts[i].host, "10.0.%u.%u",
                       i / 256, i % 256);
    }
    fixture->founding.hosts = hosts;
    fixture->founding.host_count = count;
    CHECK_OK(found(fixture));
    CHECK(sink.config != NULL);
    scoped(settings_close) struct settings *settings = NULL;
    CHECK_OK(
        config_parse(&settings, bytes_of_text(sink.config), "x", problems));
    CHECK(settings->cluster.member_count == count);
    free(sink.config);
    free(problems);
    free(hosts);
    return settings->cluster.limits.peers_max;
}

static void lets_the_nodes_of_a_large_cluster_link_with_all_others(void **state)
{
    struct fixture *fixture = *state;
    CHECK(peers_max_of(fixture, 257) == 256); /* the default */
    CHECK(peers_max_of(fixture, 258) >= 257);
    CHECK(peers_max_of(fixture, FOUNDING_HOST_COUNT_MAX) >=
          FOUNDING_HOST_COUNT_MAX - 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gives_each_host_all_that_it_needs),
        TEST(keeps_secrets_to_their_owner),
        TEST(leaves_an_authority_that_can_go_on),
        TEST(overwrites_nothing),
        TEST(leaves_nothing_when_any_write_fails),
        TEST(says_what_it_could_not_remove),
        TEST(refuses_names_that_cannot_be),
        TEST(passes_on_what_the_configuration_refuses),
        cmocka_unit_test(takes_hosts_apart),
        TEST(gives_nodes_on_one_host_ports_of_their_own),
        TEST(founds_with_every_transport),
        TEST(lets_the_nodes_of_a_large_cluster_link_with_all_others),
    };
    if (identity_library_init()) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
