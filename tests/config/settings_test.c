#include "tests/support/check.h"

#include <stdio.h>
#include <string.h>

#include "base/scope.h"
#include "config/config.h"
#include "config/rules.h"

static struct problems problems;

#define ID "cluster:\n  id: 000102030405060708090a0b0c0d0e0f\n"

static struct settings *parse(const char *text)
{
    struct settings *settings = NULL;
    CHECK_OK(
        config_parse(&settings, bytes_of_text(text), "test.yaml", &problems));
    return settings;
}

struct urls {
    char door[SOCKET_URL_BYTES];
    char bus[SOCKET_URL_BYTES];
    char link[SOCKET_URL_BYTES]; /* its prefix */
};

static struct urls urls_of(const struct settings *settings,
                           uint32_t index,
                           enum settings_form form)
{
    struct urls urls;
    const struct settings_member *member = &settings->cluster.members[index];
    settings_door_url(urls.door, settings, member, form);
    settings_bus_url(urls.bus, settings, member, form);
    settings_link_prefix(urls.link, settings, member, form);
    return urls;
}

static void makes_tcp_addresses(void **state)
{
    (void)state;
    scoped(settings_close) struct settings *settings =
        parse(ID "  nodes: [{name: a, host: \"::1\"},\n"
                 "          {name: b, host: b.example, listen: 0.0.0.0}]\n");
    struct urls urls = urls_of(settings, 0, SETTINGS_ADVERTISED);
    assert_string_equal(urls.door, "tcp://[::1]:7600");
    assert_string_equal(urls.bus, "tcp://[::1]:7601");
    assert_string_equal(urls.link, "tcp://[::1]:");
    urls = urls_of(settings, 1, SETTINGS_BIND);
    assert_string_equal(urls.door, "tcp://0.0.0.0:7600");
    urls = urls_of(settings, 1, SETTINGS_ADVERTISED);
    assert_string_equal(urls.link, "tcp://b.example:");
    assert_int_equal(
        settings_link_first(settings, &settings->cluster.members[0]), 7602);
    assert_int_equal(
        settings_link_count(settings, &settings->cluster.members[0]), 768);
}

static void links_are_as_many_as_ports(void **state)
{
    (void)state;
    scoped(settings_close) struct settings *settings =
        parse(ID "  nodes: [{name: a, host: h, link_ports: 9000-9003}]\n");
    assert_int_equal(
        settings_link_count(settings, &settings->cluster.members[0]), 4);
}

static void puts_everything_on_one_port_with_ws(void **state)
{
    (void)state;
    scoped(settings_close) struct settings *settings =
        parse(ID "  transport: ws\n  nodes: [{name: a, host: h, port: 443}]\n");
    struct urls urls = urls_of(settings, 0, SETTINGS_ADVERTISED);
    assert_string_equal(urls.door, "ws://h:443/door");
    assert_string_equal(urls.bus, "ws://h:443/bus");
    assert_string_equal(urls.link, "ws://h:443/link/");
}

static void makes_ipc_addresses(void **state)
{
    (void)state;
    scoped(settings_close) struct settings *settings =
        parse(ID "  transport: ipc\n  ipc_dir: /tmp/t\n  nodes: [{name: a}]\n");
    struct urls urls = urls_of(settings, 0, SETTINGS_BIND);
    assert_string_equal(urls.door, "ipc:///tmp/t/a-door.ipc");
    assert_string_equal(urls.bus, "ipc:///tmp/t/a-bus.ipc");
    assert_string_equal(urls.link, "ipc:///tmp/t/a-link-");
}

static void the_longest_host_fits_every_address(void **state)
{
    (void)state;
    char host[SETTINGS_HOST_BYTES];
    for (size_t i = 0; i < sizeof host - 1; i++) {
        host[i] = i % 40 == 39 ? '.' : 'h';
    }
    host[sizeof host - 2] = 'h';
    host[sizeof host - 1] = '\0';
    char text[512];
    (void)snprintf(text, sizeof text,
                   ID "  transport: ws\n  nodes: [{name: a, host: %s, port: "
                      "65535}]\n  limits: {clients_max: 65535}\n",
                   host);
    scoped(settings_close) struct settings *settings = parse(text);
    char url[SOCKET_URL_BYTES];
    const struct settings_member *member = &settings->cluster.members[0];
    settings_link_prefix(url, settings, member, SETTINGS_BIND);
    CHECK(strstr(url, ":65535/link/"));
    CHECK(strlen(url) + strlen("65790") < SOCKET_URL_BYTES);
    assert_int_equal(settings_link_count(settings, member), 65791);
}

static void finds_members_by_name(void **state)
{
    (void)state;
    scoped(settings_close) struct settings *settings =
        parse(ID "  nodes: [{name: a, host: h1}, {name: b, host: h2}]\n");
    CHECK(settings_find_member(settings, "b") == &settings->cluster.members[1]);
    CHECK(!settings_find_member(settings, "c"));
    CHECK(!settings_find_member(settings, ""));
    CHECK(!settings_self(settings));
}

static void closes_nothing_and_twice(void **state)
{
    (void)state;
    struct settings *settings = NULL;
    settings_close(&settings);
    settings = parse(ID "  nodes: [{name: a, host: h1}]\n");
    settings_close(&settings);
    CHECK(!settings);
    settings_close(&settings);
}

/* ---- comparing ---- */

struct seen {
    char text[1024];
};

static void on_difference(void *context,
                          const char *key,
                          const char *left,
                          const char *right)
{
    struct seen *seen = context;
    size_t length = strlen(seen->text);
    (void)snprintf(seen->text + length, sizeof seen->text - length,
                   "%s %s %s\n", key, left, right);
}

static bool have_one_digest(const struct settings *left,
                            const struct settings *right)
{
    uint8_t left_digest[SETTINGS_DIGEST_BYTES];
    uint8_t right_digest[SETTINGS_DIGEST_BYTES];
    settings_cluster_digest(left_digest, left);
    settings_cluster_digest(right_digest, right);
    return memcmp(left_digest, right_digest, sizeof left_digest) == 0;
}

static void compare(const char *left_text,
                    const char *right_text,
                    const char *expected)
{
    scoped(settings_close) struct settings *left = parse(left_text);
    scoped(settings_close) struct settings *right = parse(right_text);
    struct seen seen = {.text = ""};
    uint32_t count =
        settings_cluster_differences(left, right, on_difference, &seen);
    assert_string_equal(seen.text, expected);
    CHECK((count == 0) == (*expected == '\0'));
    CHECK(have_one_digest(left, right) == (count == 0));
}

#define NODES ID "  nodes: [{name: a, host: h1}, {name: b, host: h2}]\n"

static void the_same_written_differently_is_no_difference(void **state)
{
    (void)state;
    compare(NODES "  timeouts: {election: 500ms}\nnode: {name: a}\n",
            "seeds: [tcp://h1:7600]\n" NODES
            "  limits: {rekey_interval: 60m, frame_bytes: 65536}\n",
            "");
    compare(NODES "  pools: [{name: p}, {name: q}]\n",
            NODES "  pools: [{name: q}, {name: p}]\n", "");
}

static void on_value(void *context, const char *key, const char *value)
{
    struct seen *seen = context;
    size_t length = strlen(seen->text);
    if (strcmp(key, "cluster.shards") == 0 ||
        strcmp(key, "cluster.timeouts.election") == 0) {
        (void)snprintf(seen->text + length, sizeof seen->text - length,
                       "%s %s\n", key, value);
    }
    CHECK(strncmp(key, "cluster.", 8) == 0);
    CHECK(strncmp(key, "cluster.nodes", 13) != 0);
    CHECK(strncmp(key, "cluster.pools", 13) != 0);
}

static void tells_the_values_of_the_cluster(void **state)
{
    (void)state;
    scoped(settings_close) struct settings *settings =
        parse(NODES "  timeouts: {election: 2000ms}\n  pools: [{name: p}]\n");
    struct seen seen = {.text = ""};
    settings_cluster_values(settings, on_value, &seen);
    assert_string_equal(seen.text,
                        "cluster.shards 128\ncluster.timeouts.election 2s\n");
}

static void names_every_key_that_differs(void **state)
{
    (void)state;
    compare(NODES, NODES "  shards: 64\n", "cluster.shards 128 64\n");
    compare(NODES, NODES "  timeouts: {election: 2s}\n  name: x\n",
            "cluster.name troupe x\ncluster.timeouts.election 500ms 2s\n");
    compare(NODES,
            ID "  nodes: [{name: a, host: h1, zone: z},\n"
               "          {name: b, host: h2, roles: [voter, shard]}]\n",
            "cluster.nodes[a].zone  z\n"
            "cluster.nodes[b].roles [voter, shard, worker, gateway] "
            "[voter, shard]\n");
    compare(NODES "  pools: [{name: p, lease: 1m}]\n",
            NODES "  pools: [{name: p}]\n", "cluster.pools[p].lease 1m 30s\n");
}

static void names_members_and_pools_that_are_absent(void **state)
{
    (void)state;
    compare(NODES, ID "  nodes: [{name: a, host: h1}, {name: c, host: h2}]\n",
            "cluster.nodes[b] present absent\n"
            "cluster.nodes[c] absent present\n");
    compare(NODES "  pools: [{name: p}]\n", NODES,
            "cluster.pools[p] present absent\n");
}

static void the_order_of_members_counts(void **state)
{
    (void)state;
    compare(NODES, ID "  nodes: [{name: b, host: h2}, {name: a, host: h1}]\n",
            "cluster.nodes one order of names another order of names\n");
}

static void seeds_of_others_mean_joining(void **state)
{
    (void)state;
    scoped(settings_close) struct settings *founder =
        parse("seeds: [tcp://a:7600]\n" ID
              "  nodes: [{name: a, host: a}, {name: b, host: b}]\n");
    CHECK(!settings_joins_only(founder));
    scoped(settings_close) struct settings *none =
        parse(ID "  nodes: [{name: a, host: a}]\n");
    CHECK(!settings_joins_only(none));
    /* The other nodes, and what they do, it learns of them. */
    scoped(settings_close) struct settings *joiner =
        parse("seeds: [tcp://a:7600, tcp://b:7600]\n" ID "  replication: 3\n"
              "  nodes: [{name: b, host: b, roles: [worker]}]\n");
    CHECK(settings_joins_only(joiner));
}

static void sets_one_value_of_the_cluster(void **state)
{
    (void)state;
    struct err_detail why = {{0}};
    scoped(settings_close) struct settings *settings =
        parse(ID "  nodes: [{name: a, host: a}]\n");
    CHECK_OK(settings_cluster_set(settings, "cluster.timeouts.election",
                                  "1500ms", &why));
    CHECK(settings->cluster.timeouts.election_ms == 1500);
    CHECK_ERR(
        settings_cluster_set(settings, "cluster.timeouts.election", "1h", &why),
        ERR_INVALID);
    CHECK(settings->cluster.timeouts.election_ms == 1500);
    assert_non_null(
        strstr(why.text, "found 1h; allowed: a duration from 50ms"));
    static const char *const others[] = {
        "cluster.nodes",    "cluster.nodes[].port", "cluster", "node.name",
        "cluster.timeouts", "cluster.nothing",      "seeds",   ""};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        CHECK_ERR(settings_cluster_set(settings, others[i], "1", &why),
                  ERR_NOT_FOUND);
    }
}

static void values_must_go_together(void **state)
{
    (void)state;
    struct err_detail why = {{0}};
    scoped(settings_close) struct settings *settings =
        parse(ID "  nodes: [{name: a, host: a}]\n");
    CHECK_OK(rules_check_cluster(settings, &why));
    settings->cluster.timeouts.heartbeat_ms = 400;
    CHECK_ERR(rules_check_cluster(settings, &why), ERR_INVALID);
    assert_non_null(strstr(why.text, "election 500ms with heartbeat 400ms"));
    settings->cluster.timeouts.heartbeat_ms = 100;
    settings->cluster.shards = 100;
    CHECK_ERR(rules_check_cluster(settings, &why), ERR_INVALID);
    assert_non_null(strstr(why.text, "a power of two"));
    settings->cluster.shards = 128;
    settings->cluster.replication = 4;
    CHECK_ERR(rules_check_cluster(settings, &why), ERR_INVALID);
    assert_non_null(strstr(why.text, "an odd number"));
}

static void tells_what_a_file_leaves_open(void **state)
{
    (void)state;
    scoped(settings_close) struct settings *open =
        parse(ID "  nodes: [{name: a, host: a}]\n");
    CHECK(settings_leaves_open(open, "cluster.shards"));
    CHECK(settings_leaves_open(open, "cluster.replication"));
    CHECK(!settings_leaves_open(open, "cluster.timeouts.election"));
    scoped(settings_close) struct settings *said =
        parse(ID "  shards: 128\n  replication: 1\n"
                 "  nodes: [{name: a, host: a}]\n");
    CHECK(!settings_leaves_open(said, "cluster.shards"));
    CHECK(!settings_leaves_open(said, "cluster.replication"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_tcp_addresses),
        cmocka_unit_test(links_are_as_many_as_ports),
        cmocka_unit_test(puts_everything_on_one_port_with_ws),
        cmocka_unit_test(makes_ipc_addresses),
        cmocka_unit_test(the_longest_host_fits_every_address),
        cmocka_unit_test(finds_members_by_name),
        cmocka_unit_test(closes_nothing_and_twice),
        cmocka_unit_test(the_same_written_differently_is_no_difference),
        cmocka_unit_test(tells_the_values_of_the_cluster),
        cmocka_unit_test(names_every_key_that_differs),
        cmocka_unit_test(names_members_and_pools_that_are_absent),
        cmocka_unit_test(the_order_of_members_counts),
        cmocka_unit_test(seeds_of_others_mean_joining),
        cmocka_unit_test(sets_one_value_of_the_cluster),
        cmocka_unit_test(values_must_go_together),
        cmocka_unit_test(tells_what_a_file_leaves_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
