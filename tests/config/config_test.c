#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "config/config.h"

static struct problems problems;

/* Lines 1 to 4 of a file without faults; what follows stands in `cluster`. */
#define CLUSTER(rest)                          \
    "cluster:\n"                               \
    "  id: 000102030405060708090a0b0c0d0e0f\n" \
    "  nodes:\n"                               \
    "    - {name: n1, host: h1}\n" rest

static struct settings *parse(const char *text)
{
    struct settings *settings = NULL;
    enum err err =
        config_parse(&settings, bytes_of_text(text), "test.yaml", &problems);
    if (err) {
        char line[PROBLEM_TEXT_BYTES];
        problem_text(line, &problems, &problems.items[0]);
        fail_msg("%s", line);
    }
    assert_int_equal(problems_total(&problems), 0);
    return settings;
}

static void parse_wrong(const char *text)
{
    struct settings *settings = NULL;
    CHECK_ERR(
        config_parse(&settings, bytes_of_text(text), "test.yaml", &problems),
        ERR_INVALID);
    CHECK(!settings);
    CHECK(problems.count > 0);
}

static void contains(const char *text, const char *part)
{
    if (!strstr(text, part)) {
        fail_msg("\"%s\" is not in \"%s\"", part, text);
    }
}

struct mistake {
    const char *text;
    uint32_t line;
    uint32_t column;
    const char *key;
    const char *found;
    const char *allowed;
};

/* Each must be the only problem of its file. */
static void check_mistakes(const struct mistake *mistakes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct mistake *mistake = &mistakes[i];
        parse_wrong(mistake->text);
        const struct problem *problem = &problems.items[0];
        char text[PROBLEM_TEXT_BYTES];
        problem_text(text, &problems, problem);
        if (problems_total(&problems) != 1 ||
            problem->place.line != mistake->line ||
            problem->place.column != mistake->column) {
            fail_msg("mistake %zu: %u problems, the first: %s", i,
                     problems_total(&problems), text);
        }
        assert_string_equal(problem->key, mistake->key);
        contains(problem->found, mistake->found);
        contains(problem->allowed, mistake->allowed);
    }
}

#define CHECK_MISTAKES(mistakes) \
    check_mistakes(mistakes, sizeof(mistakes) / sizeof *(mistakes))

static void fills_in_every_default(void **state)
{
    (void)state;
    scoped(settings_close) struct settings *settings = parse(CLUSTER(""));
    assert_string_equal(settings->node.name, "");
    assert_string_equal(settings->node.data_dir, "/var/lib/troupe");
    assert_int_equal(settings->node.log_level, LOG_INFO);
    assert_int_equal(settings->node.log_format, LOG_FORMAT_TEXT);
    const struct settings_cluster *cluster = &settings->cluster;
    assert_int_equal(cluster->transport, SETTINGS_TCP);
    assert_int_equal(cluster->shards, 128);
    assert_int_equal(cluster->replication, 1);
    assert_int_equal(cluster->timeouts.election_ms, 500);
    assert_int_equal(cluster->timeouts.actor_slice_us, 1000);
    assert_int_equal(cluster->limits.message_bytes_max, 16 << 20);
    assert_int_equal(cluster->limits.link_window_bytes, 32 << 20);
    assert_int_equal(cluster->id[15], 15);
    const struct settings_member *member = &cluster->members[0];
    assert_string_equal(member->listen, "h1");
    assert_int_equal(member->port, 7600);
    assert_int_equal(member->bus_port, 7601);
    assert_int_equal(member->link_ports.first, 7602);
    assert_int_equal(member->link_ports.last, 8625);
    assert_int_equal(member->http_port, 17600);
    assert_string_equal(settings->node.http_listen, "127.0.0.1");
    assert_int_equal(settings->node.http_connections_max, 64);
    assert_int_equal(settings->node.http_timeout_ms, 10000);
    assert_int_equal(member->weight, 100);
    assert_int_equal(member->roles, SETTINGS_VOTER | SETTINGS_SHARD |
                                        SETTINGS_WORKER | SETTINGS_GATEWAY);
}

static void reads_every_part(void **state)
{
    (void)state;
    scoped(settings_close) struct settings *settings = parse(
        "node:\n"
        "  name: b\n"
        "  log: {level: debug, format: json}\n"
        "  reactors: 4\n"
        "seeds: [\"tcp://[::1]:9000\", tcp://a.example:7600]\n"
        "cluster:\n"
        "  id: FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF\n"
        "  shards: 4096\n"
        "  nodes:\n"
        "    - {name: a, host: h, port: 1, bus_port: 3, link_ports: 5-9}\n"
        "    - {name: b, host: h, port: 2, bus_port: 4, link_ports: 10-19,\n"
        "       zone: z, weight: 7, roles: [worker, voter]}\n"
        "  timeouts: {link_silence: 1m, actor_slice: 250us}\n"
        "  pools:\n"
        "    - {name: p, durable: false, queue_max: 10}\n");
    assert_int_equal(settings->seed_count, 2);
    assert_string_equal(settings->seeds[1].url, "tcp://a.example:7600");
    CHECK(settings_self(settings) == &settings->cluster.members[1]);
    assert_int_equal(settings->cluster.members[1].roles,
                     SETTINGS_WORKER | SETTINGS_VOTER);
    assert_int_equal(settings->cluster.members[0].link_ports.last, 9);
    assert_int_equal(settings->cluster.timeouts.link_silence_ms, 60000);
    assert_int_equal(settings->cluster.timeouts.actor_slice_us, 250);
    assert_int_equal(settings->cluster.pool_count, 1);
    CHECK(!settings->cluster.pools[0].durable);
    assert_int_equal(settings->cluster.pools[0].attempts_max, 5);
    assert_int_equal(settings->node.log_level, LOG_DEBUG);
}

static void takes_parts_whose_lines_are_commented_out(void **state)
{
    (void)state;
    scoped(settings_close) struct settings *settings =
        parse("node:\n  log:\n#    level: debug\nseeds:\n" CLUSTER(
            "  timeouts:\n  pools:\n"));
    assert_int_equal(settings->seed_count, 0);
    assert_int_equal(settings->cluster.pool_count, 0);
}

static void three_copies_need_three_nodes(void **state)
{
    (void)state;
    scoped(settings_close) struct settings *three = parse(
        CLUSTER("    - {name: n2, host: h2}\n    - {name: n3, host: h3}\n"));
    assert_int_equal(three->cluster.replication, 3);
    scoped(settings_close) struct settings *two =
        parse(CLUSTER("    - {name: n2, host: h2}\n"
                      "    - {name: n3, host: h3, roles: [worker]}\n"));
    assert_int_equal(two->cluster.replication, 1);
}

static void refuses_unknown_keys_with_the_nearest(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {CLUSTER("  shard: 64\n"), 5, 3, "cluster.shard",
         "the unknown key \"shard\"", "shards (did you mean"},
        {CLUSTER("nod:\n"), 5, 1, "nod", "\"nod\"", "node (did you mean"},
        {CLUSTER("  limits: {frame_byte: 64KiB}\n"), 5, 12,
         "cluster.limits.frame_byte", "\"frame_byte\"", "frame_bytes"},
        {CLUSTER("    - {name: n2, host: h2, prot: 1}\n"), 5, 28,
         "cluster.nodes[1].prot", "\"prot\"", "port (did you mean"},
        {CLUSTER("  quite_else: 1\n"), 5, 3, "cluster.quite_else",
         "\"quite_else\"", "one of name, id, transport"},
        {CLUSTER("  election: 1s\n"), 5, 3, "cluster.election", "\"election\"",
         "as cluster.timeouts.election"},
        {CLUSTER("  \"a\\nb\\e[1m\": 1\n"), 5, 3, "cluster.a\\x0ab\\x1b[1m",
         "\"a\\x0ab\\x1b[1m\"", "one of"},
        {CLUSTER("  \"nodes[]\": 1\n"), 5, 3, "cluster.nodes[]", "\"nodes[]\"",
         "nodes"},
        {CLUSTER("  timeouts.election: 1s\n"), 5, 3,
         "cluster.timeouts.election", "unknown key", "one of"},
    };
    CHECK_MISTAKES(mistakes);
}

static void refuses_wrong_types(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {CLUSTER("  shards: many\n"), 5, 11, "cluster.shards",
         "\"many\", which is not a number", "a number from 1 to 4096"},
        {CLUSTER("  shards: [1]\n"), 5, 11, "cluster.shards", "a list",
         "a number from 1 to 4096"},
        {CLUSTER("  shards: {a: 1}\n"), 5, 11, "cluster.shards", "keys",
         "a number"},
        {CLUSTER("  shards:\n"), 5, 10, "cluster.shards", "nothing",
         "a number"},
        {CLUSTER("  timeouts: 5s\n"), 5, 13, "cluster.timeouts", "\"5s\"",
         "keys of its own"},
        {CLUSTER("  timeouts: [election]\n"), 5, 13, "cluster.timeouts",
         "a list", "keys of its own"},
        {CLUSTER("  pools: {name: p}\n"), 5, 3, "cluster.pools", "keys",
         "a list"},
        {CLUSTER("  pools: [p]\n"), 5, 11, "cluster.pools[0]", "\"p\"",
         "one of name, workers"},
        {CLUSTER("  pools:\n    - {name: p, durable: yes}\n"), 6, 26,
         "cluster.pools[0].durable", "\"yes\"", "true or false"},
        {CLUSTER("node: {log: {level: loud}}\n"), 5, 21, "node.log.level",
         "\"loud\"", "debug, info, warn or error"},
        {CLUSTER("node: {log: {level: eror}}\n"), 5, 21, "node.log.level",
         "did you mean error?", "debug"},
        {CLUSTER("seeds: tcp://a:1\n"), 5, 1, "seeds", "\"tcp://a:1\"",
         "a list"},
        {CLUSTER("seeds: [[a]]\n"), 5, 9, "seeds[0]", "a list",
         "tcp://HOST:PORT"},
        {CLUSTER("seeds: [10.0.0.1]\n"), 5, 9, "seeds[0]", "\"10.0.0.1\"",
         "tcp://HOST:PORT"},
        {CLUSTER("node: {name: Alpha One}\n"), 5, 14, "node.name",
         "\"Alpha One\", which is not a name", "a-z 0-9"},
        {CLUSTER("node: {data_dir: \"\"}\n"), 5, 18, "node.data_dir", "\"\"",
         "a folder's path"},
    };
    CHECK_MISTAKES(mistakes);
}

static void refuses_wrong_units_and_values_out_of_range(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {CLUSTER("  timeouts: {ask: 500}\n"), 5, 19, "cluster.timeouts.ask",
         "\"500\", which has no unit", "from 1ms to 1h, such as 5s"},
        {CLUSTER("  timeouts: {ask: 5KiB}\n"), 5, 19, "cluster.timeouts.ask",
         "which is not a duration", "a duration"},
        {CLUSTER("  timeouts: {ask: 1500us}\n"), 5, 19, "cluster.timeouts.ask",
         "no whole number of milliseconds", ""},
        {CLUSTER("  timeouts: {ask: 2h}\n"), 5, 19, "cluster.timeouts.ask",
         "\"2h\", which is too large", "from 1ms to 1h"},
        {CLUSTER("  timeouts: {actor_slice: 1us}\n"), 5, 27,
         "cluster.timeouts.actor_slice", "too small", "from 50us to 100ms"},
        {CLUSTER("  limits: {frame_bytes: 64ms}\n"), 5, 25,
         "cluster.limits.frame_bytes", "which is not a size", "64KiB"},
        {CLUSTER("  limits: {frame_bytes: 64 KiB}\n"), 5, 25,
         "cluster.limits.frame_bytes", "which is not a size", "64KiB"},
        {CLUSTER("  limits: {frame_bytes: 17TiB}\n"), 5, 25,
         "cluster.limits.frame_bytes", "too large", "4KiB to 256KiB"},
        {CLUSTER("  shards: -1\n"), 5, 11, "cluster.shards", "\"-1\"",
         "1 to 4096"},
        {CLUSTER("  shards: 0\n"), 5, 11, "cluster.shards", "too small",
         "a power of two"},
        {CLUSTER("  shards: 99999999999999999999\n"), 5, 11, "cluster.shards",
         "too large", "1 to 4096"},
        {CLUSTER("  shards: 0x80\n"), 5, 11, "cluster.shards", "\"0x80\"",
         "1 to 4096"},
        {CLUSTER("    - {name: b, host: h2, port: 65536}\n"), 5, 33,
         "cluster.nodes[1].port", "too large", "from 1 to 65535"},
        {CLUSTER("    - {name: b, host: h2, link_ports: 9-7}\n"), 5, 39,
         "cluster.nodes[1].link_ports", "end is before its beginning",
         "7602-8625"},
        {CLUSTER("    - {name: b, host: \"h2:7600\"}\n"), 5, 23,
         "cluster.nodes[1].host", "which is not a host", "without a port"},
        {CLUSTER("    - {name: b, host: h2, roles: [cook]}\n"), 5, 35,
         "cluster.nodes[1].roles", "\"cook\"", "voter, shard, worker"},
        {CLUSTER("    - {name: b, host: h2, roles: [shard, shard]}\n"), 5, 42,
         "cluster.nodes[1].roles", "\"shard\"", "at most once"},
        {CLUSTER("    - {name: b, host: h2, roles: []}\n"), 5, 34,
         "cluster.nodes[1].roles", "a list", "voter"},
        {CLUSTER("    - {name: b, host: h2, roles: shard}\n"), 5, 34,
         "cluster.nodes[1].roles", "\"shard\"", "[voter]"},
    };
    CHECK_MISTAKES(mistakes);
}

static void refuses_files_without_what_is_required(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"node: {}\n", 1, 1, "cluster", "missing", "keys of its own"},
        {"cluster:\n  nodes: [{name: n1, host: h1}]\n", 1, 1, "cluster.id",
         "missing", "32 hexadecimal digits"},
        {"cluster:\n  id: 000102030405060708090a0b0c0d0e0f\n", 1, 1,
         "cluster.nodes", "missing", "a list of 1 to 512"},
        {"cluster:\n  id: 000102030405060708090a0b0c0d0e0f\n  nodes: []\n", 3,
         3, "cluster.nodes", "a list", "a list of 1 to 512"},
        {"cluster:\n  id: 000102030405060708090a0b0c0d0e0f\n  nodes:\n", 3, 3,
         "cluster.nodes", "nothing", "a list of 1 to 512"},
        {CLUSTER("    - {host: h2}\n"), 5, 7, "cluster.nodes[1].name",
         "missing", "1 to 63"},
        {CLUSTER("    - {name: n2}\n"), 5, 7, "cluster.nodes[1].host",
         "missing", "the other nodes reach"},
        {CLUSTER("  pools: [{workers: 3}]\n"), 5, 11, "cluster.pools[0].name",
         "missing", "1 to 63"},
        {"[]\n", 1, 1, "", "a list", "one of node, seeds, cluster"},
        {"hello\n", 1, 1, "", "\"hello\"", "one of node, seeds, cluster"},
        {"~\n", 1, 1, "", "nothing", "one of node, seeds, cluster"},
        {"", 0, 0, "", "an empty file", "troupe config default"},
    };
    CHECK_MISTAKES(mistakes);
}

static void refuses_bad_ids(void **state)
{
    (void)state;
#define ID(id) "cluster:\n  id: " id "\n  nodes: [{name: n1, host: h1}]\n"
    static const struct mistake mistakes[] = {
        {ID("00ff"), 2, 7, "cluster.id", "which has 4 characters", "32 hex"},
        {ID("000102030405060708090a0b0c0d0e0g"), 2, 7, "cluster.id",
         "not all hexadecimal", "32 hex"},
        {ID("000102030405060708090a0b0c0d0e0f0"), 2, 7, "cluster.id",
         "33 characters", "32 hex"},
        {ID("00000000000000000000000000000000"), 2, 3, "cluster.id",
         "only zeros", "troupe cluster init"},
    };
    CHECK_MISTAKES(mistakes);
}

static void refuses_what_is_there_twice(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {CLUSTER("  shards: 64\n  shards: 128\n"), 6, 3, "",
         "the key \"shards\" again, after line 5", "once"},
        {CLUSTER("    - {name: n1, host: h2}\n"), 5, 8, "cluster.nodes[1].name",
         "\"n1\" again", "once"},
        {CLUSTER("  pools: [{name: p}, {name: q}, {name: p}]\n"), 5, 34,
         "cluster.pools[2].name", "\"p\" again", "once"},
        {CLUSTER("seeds: [tcp://a:1, tcp://a:1]\n"), 5, 20, "seeds[1]",
         "\"tcp://a:1\" again", "once"},
    };
    CHECK_MISTAKES(mistakes);
}

static void refuses_ports_that_overlap_on_a_host(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {CLUSTER("    - {name: n2, host: h1}\n"), 5, 7, "cluster.nodes[1].port",
         "port 7600 of \"n1\"", "once"},
        {CLUSTER("    - {name: n2, host: H1, port: 8000}\n"), 5, 28,
         "cluster.nodes[1].port", "link_ports 7602-8625 of \"n1\"", "once"},
        {CLUSTER("    - {name: n2, host: h1, port: 7599, bus_port: 20,\n"
                 "       link_ports: 7000-7600}\n"),
         6, 8, "cluster.nodes[1].link_ports", "7000-7600 on h1", "once"},
        {CLUSTER("    - {name: n2, host: h2, bus_port: 7600}\n"), 5, 28,
         "cluster.nodes[1].bus_port", "port 7600 of \"n2\"", "once"},
        {"cluster:\n"
         "  id: 000102030405060708090a0b0c0d0e0f\n"
         "  nodes: [{name: a, host: localhost}, {name: b, host: 127.0.0.1}]\n",
         3, 39, "cluster.nodes[1].port", "overlaps", "once"},
        {CLUSTER("    - {name: n2, host: h1}\n  transport: ws\n"), 5, 7,
         "cluster.nodes[1].port", "port 7600 of \"n1\"", "once"},
        {CLUSTER("    - {name: n2, host: h2, port: 65535}\n"), 5, 7,
         "cluster.nodes[1].bus_port", "no port behind", "a lower port"},
        {CLUSTER("    - {name: n2, host: h2, port: 64511}\n"), 5, 7,
         "cluster.nodes[1].link_ports", "no room for 1024 ports",
         "lower ports"},
        {CLUSTER("    - {name: n2, host: h1, port: 8626, http_port: 17600}\n"),
         5, 40, "cluster.nodes[1].http_port", "http_port 17600 of \"n1\"",
         "once"},
        {CLUSTER("    - {name: n2, host: h2, http_port: 7600}\n"), 5, 28,
         "cluster.nodes[1].http_port", "port 7600 of \"n2\"", "once"},
        {CLUSTER("    - {name: n2, host: h2, http_port: 65536}\n"), 5, 39,
         "cluster.nodes[1].http_port", "65536", "0 to 65535"},
        {"cluster:\n"
         "  id: 000102030405060708090a0b0c0d0e0f\n"
         "  transport: ipc\n"
         "  nodes: [{name: a, http_port: 9}, {name: b, http_port: 9}]\n",
         4, 46, "cluster.nodes[1].http_port", "9 on this machine", "once"},
        {CLUSTER("    - {name: n2, host: h2, link_ports: 9000-9000}\n"), 5, 28,
         "cluster.nodes[1].link_ports", "1 port with 2 nodes", "at least 2"},
    };
    CHECK_MISTAKES(mistakes);
}

static void puts_http_near_the_door_unless_told(void **state)
{
    (void)state;
    scoped(settings_close) struct settings *settings =
        parse(CLUSTER("    - {name: n2, host: h1, port: 8626}\n"
                      "    - {name: n3, host: h2, http_port: 0}\n"
                      "    - {name: n4, host: h2, port: 55535,\n"
                      "       link_ports: 1-9}\n"
                      "    - {name: n5, host: h3, port: 55536,\n"
                      "       link_ports: 1-9}\n"));
    const struct settings_member *members = settings->cluster.members;
    assert_int_equal(members[1].http_port, 18626);
    assert_int_equal(members[2].http_port, 0);
    assert_int_equal(members[3].http_port, 65535);
    assert_int_equal(members[4].http_port, 45536);
    /* With ipc there is no port that it could follow. */
    scoped(settings_close) struct settings *ipc =
        parse("cluster:\n"
              "  id: 000102030405060708090a0b0c0d0e0f\n"
              "  transport: ipc\n"
              "  nodes: [{name: a}, {name: b}, {name: c, http_port: 9}]\n");
    assert_int_equal(ipc->cluster.members[0].http_port, 0);
    assert_int_equal(ipc->cluster.members[1].http_port, 0);
    assert_int_equal(ipc->cluster.members[2].http_port, 9);
}

static void takes_ports_that_only_touch(void **state)
{
    (void)state;
    scoped(settings_close) struct settings *settings =
        parse(CLUSTER("    - {name: n2, host: h1, port: 8626}\n"
                      "    - {name: n3, host: h2}\n"
                      "    - {name: n4, host: h3, port: 64510}\n"));
    assert_int_equal(settings->cluster.members[3].link_ports.last, 65535);
}

static void refuses_hosts_that_cannot_be_dialled(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {CLUSTER("    - {name: n2, host: 0.0.0.0}\n"), 5, 18,
         "cluster.nodes[1].host", "nobody can dial", "listen: 0.0.0.0"},
        {CLUSTER("    - {name: n2, host: \"::\"}\n"), 5, 18,
         "cluster.nodes[1].host", "nobody can dial", "listen: ::"},
    };
    CHECK_MISTAKES(mistakes);
}

static void refuses_what_does_not_go_together(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {CLUSTER("  shards: 100\n"), 5, 3, "cluster.shards", "100",
         "64 or 128"},
        {CLUSTER("  replication: 3\n"), 5, 3, "cluster.replication",
         "3 with 1 node that holds shards", "at most the number"},
        {CLUSTER("  replication: 2\n"), 5, 3, "cluster.replication", "2",
         "an odd number"},
        {CLUSTER("  timeouts: {election: 299ms}\n"), 5, 14,
         "cluster.timeouts.election", "election 299ms with heartbeat 100ms",
         "three times heartbeat"},
        {CLUSTER("  timeouts: {heartbeat: 1s}\n"), 5, 14,
         "cluster.timeouts.heartbeat", "election 500ms with heartbeat 1s",
         "three times heartbeat"},
        {CLUSTER("  timeouts: {link_silence: 1s}\n"), 5, 14,
         "cluster.timeouts.link_silence", "1s", "three times"},
        {CLUSTER("  timeouts: {dial_backoff_min: 2s}\n"), 5, 14,
         "cluster.timeouts.dial_backoff_min", "2s",
         "dial_backoff_max at least dial_backoff_min"},
        {CLUSTER("  timeouts: {link_ack_delay: 1s}\n"), 5, 14,
         "cluster.timeouts.link_ack_delay", "1000ms", "less than"},
        {CLUSTER("  limits: {link_window: 31MiB}\n"), 5, 12,
         "cluster.limits.link_window", "31MiB with message_bytes_max 16MiB",
         "twice message_bytes_max"},
        {CLUSTER("  limits: {link_inflight: 64KiB}\n"), 5, 12,
         "cluster.limits.link_inflight", "64KiB", "twice frame_bytes"},
        {CLUSTER("  limits: {link_inflight: 33MiB}\n"), 5, 12,
         "cluster.limits.link_inflight", "33MiB", "link_window at least"},
        {CLUSTER("    - {name: n2, host: h2}\n    - {name: n3, host: h3}\n"
                 "  limits: {peers_max: 1}\n"),
         7, 12, "cluster.limits.peers_max", "1 with 3 nodes", "2"},
        {CLUSTER("  pools: [{name: p, retry_backoff_min: 6m}]\n"), 5, 21,
         "cluster.pools[0].retry_backoff_min", "6m", "retry_backoff_max"},
        {CLUSTER("node: {name: n2}\n"), 5, 8, "node.name",
         "none of cluster.nodes", "n1 (did you mean"},
        {CLUSTER("seeds: [ws://h1:7600/door]\n"), 5, 9, "seeds[0]",
         "the transport is tcp", "begin with tcp://"},
        {"cluster:\n  id: 000102030405060708090a0b0c0d0e0f\n"
         "  nodes: [{name: n1, host: h1, roles: [shard]}]\n",
         3, 3, "cluster.nodes", "no node with the role voter", "voter"},
        {"cluster:\n  id: 000102030405060708090a0b0c0d0e0f\n"
         "  nodes: [{name: n1, host: h1, roles: [voter]}]\n",
         3, 3, "cluster.nodes", "no node with the role shard", "shard"},
        {CLUSTER("  transport: ipc\n  ipc_dir: run\n"), 6, 3, "cluster.ipc_dir",
         "a relative path", "absolute"},
        {CLUSTER("    - {name: n234567890123456789012345678901234567890}\n"
                 "  transport: ipc\n  ipc_dir: /a234567890123456789012345678"
                 "012345678901234567890123456\n"),
         7, 3, "cluster.ipc_dir", "a path of 108 bytes", "at most 107"},
    };
    CHECK_MISTAKES(mistakes);
}

static void does_not_blame_a_rule_for_a_wrong_value(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        /* Its default would not go together with the window. */
        {CLUSTER("  limits: {message_bytes_max: 1XiB, link_window: 1MiB,\n"
                 "           link_inflight: 256KiB}\n"),
         5, 31, "cluster.limits.message_bytes_max", "not a size", "16MiB"},
        /* Nor would the default port with the other node's. */
        {CLUSTER("    - {name: n2, host: h1, port: abc}\n"), 5, 34,
         "cluster.nodes[1].port", "not a number", "65535"},
        {CLUSTER("    - &x {name: n1, host: h1}\n"), 5, 7, "cluster.nodes[1]",
         "the anchor", "write them out"},
        {CLUSTER("    - n1\n"), 5, 7, "cluster.nodes[1]", "\"n1\"",
         "one of name, host"},
        {CLUSTER("    - {name: n2, host: *h}\n"), 5, 24,
         "cluster.nodes[1].host", "an alias", "write them out"},
        {CLUSTER("    - {name: n2, host: h2, port: !x 1}\n"), 5, 34,
         "cluster.nodes[1].port", "the tag \"!x\"", "without"},
        {CLUSTER("seeds: [*a]\n"), 5, 9, "seeds[0]", "an alias",
         "write them out"},
        {"cluster:\n  id: &x 00\n  nodes: [{name: n1, host: h1}]\n", 2, 7,
         "cluster.id", "the anchor", "write them out"},
        {"cluster: &x {}\n", 1, 10, "cluster", "the anchor", "write them"},
    };
    CHECK_MISTAKES(mistakes);
}

static void finds_all_mistakes_in_the_order_of_the_file(void **state)
{
    (void)state;
    parse_wrong("nod: 1\n"
                "cluster:\n"
                "  id: 7\n"
                "  shards: 3\n"
                "  nodes:\n"
                "    - {name: n1}\n"
                "    - {name: n1, host: h}\n"
                "  limits: {link_window: 1MiB}\n"
                "seeds: [x]\n");
    static const char *const keys[] = {
        "nod",
        "cluster.id",
        "cluster.shards",
        "cluster.nodes[0].host",
        "cluster.nodes[1].name",
        "cluster.limits.link_window",
        "seeds[0]",
    };
    assert_int_equal(problems_total(&problems), sizeof keys / sizeof *keys);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        assert_string_equal(problems.items[i].key, keys[i]);
    }
    char text[PROBLEM_TEXT_BYTES];
    problem_text(text, &problems, &problems.items[2]);
    assert_string_equal(text, "test.yaml:4:3: cluster.shards: found 3; "
                              "allowed: a power of two, such as 2 or 4");
}

static void counts_what_is_beyond_the_list(void **state)
{
    (void)state;
    char text[4096] = "";
    for (int i = 0; i < 150; i++) {
        size_t length = strlen(text);
        (void)snprintf(text + length, sizeof text - length, "x%d: 1\n", i);
    }
    parse_wrong(text);
    assert_int_equal(problems.count, PROBLEMS_COUNT_MAX);
    assert_int_equal(problems.more_count, 51); /* and no cluster */
}

static void shows_long_and_wild_text_within_bounds(void **state)
{
    (void)state;
    char text[3000];
    size_t length = (size_t)snprintf(text, sizeof text, CLUSTER("  \""));
    memset(text + length, 'k', 1000);
    length += 1000;
    length += (size_t)snprintf(text + length, sizeof text - length,
                               "\": 1\n  shards: \"\\u202e\\e\\n%0900d\"\n", 7);
    text[length] = '\0';
    parse_wrong(text);
    assert_int_equal(problems_total(&problems), 2);
    for (uint32_t i = 0; i < problems.count; i++) {
        char line[PROBLEM_TEXT_BYTES];
        problem_text(line, &problems, &problems.items[i]);
        CHECK(strlen(line) < 700);
        CHECK(!strpbrk(line, "\n\033"));
    }
}

static void an_ipc_node_needs_no_host(void **state)
{
    (void)state;
    scoped(settings_close) struct settings *settings =
        parse("cluster:\n  id: 000102030405060708090a0b0c0d0e0f\n"
              "  transport: ipc\n  ipc_dir: /tmp/t\n"
              "  nodes: [{name: n1}, {name: n2}]\n"
              "seeds: [ipc:///tmp/t/n1-door.ipc]\n");
    assert_int_equal(settings->cluster.member_count, 2);
}

static void changes_nothing_when_it_fails(void **state)
{
    (void)state;
    struct settings untouched;
    struct settings *settings = &untouched;
    CHECK_ERR(config_parse(&settings, bytes_of_text("a: 1"), "x", &problems),
              ERR_INVALID);
    CHECK(settings == &untouched);
}

/* ---- files ---- */

struct one_file {
    const char *path;
    const char *text;
    enum err err; /* instead of reading */
};

static enum err read_one(void *context,
                         const char *path,
                         enum file_access access,
                         size_t length_max,
                         uint8_t **out,
                         size_t *out_length)
{
    const struct one_file *file = context;
    assert_string_equal(path, file->path);
    CHECK(access == FILE_PUBLIC);
    assert_int_equal(length_max, CONFIG_FILE_BYTES_MAX);
    if (file->err) {
        return file->err;
    }
    *out_length = strlen(file->text);
    *out = (uint8_t *)strdup(file->text);
    return *out ? ERR_NONE : ERR_MEMORY;
}

static enum err open_one(struct settings **out, struct one_file *file)
{
    struct files files = {.context = file, .read = read_one};
    return config_open(out, &files, file->path, &problems);
}

static void relative_folders_count_from_the_file(void **state)
{
    (void)state;
    static char text[] = CLUSTER("node: {data_dir: data, keys_dir: ../keys}\n");
    struct one_file file = {.path = "conf/a/cluster.yaml", .text = text};
    scoped(settings_close) struct settings *settings = NULL;
    CHECK_OK(open_one(&settings, &file));
    assert_string_equal(settings->node.data_dir, "conf/a/data");
    assert_string_equal(settings->node.keys_dir, "conf/a/../keys");
    file.path = "cluster.yaml";
    settings_close(&settings);
    CHECK_OK(open_one(&settings, &file));
    assert_string_equal(settings->node.data_dir, "data");
    file.path = "/etc/cluster.yaml";
    settings_close(&settings);
    CHECK_OK(open_one(&settings, &file));
    assert_string_equal(settings->node.data_dir, "/etc/data");
}

static void refuses_folders_that_become_too_long(void **state)
{
    (void)state;
    char path[SETTINGS_PATH_BYTES + 8];
    memset(path, 'd', sizeof path);
    memcpy(path + SETTINGS_PATH_BYTES - 4, "/c", 3);
    struct one_file file = {.path = path,
                            .text = CLUSTER("node: {data_dir: data}\n")};
    scoped(settings_close) struct settings *settings = NULL;
    CHECK_ERR(open_one(&settings, &file), ERR_INVALID);
    CHECK(!settings);
    contains(problems.items[0].found, "too long");
    contains(problems.file, "...ddd");
}

static void says_why_a_file_cannot_be_read(void **state)
{
    (void)state;
    static const struct {
        enum err err;
        const char *found;
    } cases[] = {{ERR_NOT_FOUND, "no such file"},
                 {ERR_TOO_LARGE, "a larger file"},
                 {ERR_IO, "cannot be read"},
                 {ERR_MEMORY, "cannot be read"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct one_file file = {.path = "x.yaml", .err = cases[i].err};
        struct settings *settings = NULL;
        CHECK_ERR(open_one(&settings, &file), cases[i].err);
        CHECK(!settings);
        assert_int_equal(problems.count, 1);
        assert_string_equal(problems.file, "x.yaml");
        contains(problems.items[0].found, cases[i].found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_in_every_default),
        cmocka_unit_test(reads_every_part),
        cmocka_unit_test(takes_parts_whose_lines_are_commented_out),
        cmocka_unit_test(three_copies_need_three_nodes),
        cmocka_unit_test(refuses_unknown_keys_with_the_nearest),
        cmocka_unit_test(refuses_wrong_types),
        cmocka_unit_test(refuses_wrong_units_and_values_out_of_range),
        cmocka_unit_test(refuses_files_without_what_is_required),
        cmocka_unit_test(refuses_bad_ids),
        cmocka_unit_test(refuses_what_is_there_twice),
        cmocka_unit_test(refuses_ports_that_overlap_on_a_host),
        cmocka_unit_test(puts_http_near_the_door_unless_told),
        cmocka_unit_test(takes_ports_that_only_touch),
        cmocka_unit_test(refuses_hosts_that_cannot_be_dialled),
        cmocka_unit_test(refuses_what_does_not_go_together),
        cmocka_unit_test(does_not_blame_a_rule_for_a_wrong_value),
        cmocka_unit_test(finds_all_mistakes_in_the_order_of_the_file),
        cmocka_unit_test(counts_what_is_beyond_the_list),
        cmocka_unit_test(shows_long_and_wild_text_within_bounds),
        cmocka_unit_test(an_ipc_node_needs_no_host),
        cmocka_unit_test(changes_nothing_when_it_fails),
        cmocka_unit_test(relative_folders_count_from_the_file),
        cmocka_unit_test(refuses_folders_that_become_too_long),
        cmocka_unit_test(says_why_a_file_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
