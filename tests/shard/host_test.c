#include "tests/support/check.h"

#include "base/owner.h"
#include "base/pack.h"
#include "base/scope.h"
#include "base/time_units.h"
#include "shard/counter_map.h"
#include "shard/host.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_executor.h"
#include "tests/sim/sim_kv.h"
#include "tests/sim/world.h"
#include "tests/support/test_identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Whole hosts on the machines of a simulated world: three that found a cluster,
 * one that joins, and the machine of an operator.
 */
#define HOST_COUNT 4
#define FOUNDER_COUNT 3
#define SHARD_COUNT 4
#define SHARD_COUNT_MANY 9 /* of some tests: three times the replicas */
#define OPERATOR HOST_COUNT
#define MACHINE_COUNT (HOST_COUNT + 1)
#define LOG_BYTES 65536
#define FREE_BYTES_MIN 1000000 /* of a disk; then requests are refused */
#define RESIDENT_BYTES 123456789

struct node {
    struct fixture *fixture;
    uint32_t machine;
    char name[8];
    const struct identity *identity;
    struct settings settings; /* its own copy: they may differ */
    struct sim_disk *disk;
    struct sim_kv *kv;
    struct sim_executor *writer;
    struct sim_executor *applier;
    struct counter_map *maps[SHARD_COUNT_MANY];
    bool is_made;           /* its log was */
    uint32_t feature_level; /* that its release knows; 0: this one's */
    bool may_fail;          /* once; */
    enum err failure;       /* how */
    uint64_t disk_id;

    struct reactor *reactor;
    struct log *log;
    struct endpoint *endpoint;
    struct calls *calls;
    struct raft_links *raft_links;
    struct host *host;

    uint16_t port; /* of its door */
    struct settings_seed seed;

    uint32_t digest_count;
    uint32_t cut_count;
    uint64_t kept_version; /* of the trust that on_trust() brought; 0: none */
    uint8_t *first_view;   /* the first one that was to be kept, which is all
                              that is found again */
    size_t first_length;
};

struct fixture {
    struct world *world;
    struct test_authority authority;
    struct trust *trust;
    struct settings_member members[HOST_COUNT];
    struct node nodes[MACHINE_COUNT];
    uint32_t down_ms; /* 0: as is usual, these two */
    uint32_t moves_max;
    struct node *survivor; /* takes over the meta group when it starts */
    char log[LOG_BYTES];   /* of all; the newest is lost when it is full */
    size_t log_length;
};

/* ---- what a host needs ---- */

static void write_log(void *context, const char *line, size_t length)
{
    struct fixture *fixture = context;
    if (fixture->log_length + length < LOG_BYTES) {
        memcpy(fixture->log + fixture->log_length, line, length);
        fixture->log_length += length;
    }
}

static enum err open_machine(void *context, uint32_t shard, struct machine *out)
{
    struct node *node = context;
    node->maps[shard] =
        counter_map_open(&(struct counter_map_config){.result_count_max = 100});
    assert_non_null(node->maps[shard]);
    *out = counter_map_machine(node->maps[shard]);
    return ERR_NONE;
}

static void close_machine(void *context,
                          uint32_t shard,
                          struct machine *machine)
{
    struct node *node = context;
    (void)machine;
    counter_map_close(&node->maps[shard]);
}

static void on_change(void *context, struct peer *peer, enum peer_change change)
{
    struct node *node = context;
    node->cut_count += change == PEER_CUT;
    if (node->host) {
        host_on_change(node->host, peer, change);
    }
    if (node->calls) {
        calls_on_change(node->calls, peer, change);
    }
}

static void on_digest(void *context, const char *from, struct bytes digest)
{
    struct node *node = context;
    node->digest_count++;
    if (node->host) {
        host_on_digest(node->host, from, digest);
    }
}

static void on_trust(void *context, struct trust *trust)
{
    struct node *node = context;
    scoped(trust_unref) struct trust *again = NULL;
    CHECK_OK(trust_decode(&again, trust_text(trust), NULL));
    node->kept_version = trust_version(again);
}

static enum err load_view(void *context, uint8_t **out, size_t *out_length)
{
    const struct node *node = context;
    if (!node->first_view) {
        return ERR_NOT_FOUND;
    }
    *out = malloc(node->first_length);
    assert_non_null(*out);
    memcpy(*out, node->first_view, node->first_length);
    *out_length = node->first_length;
    return ERR_NONE;
}

static void save_view(void *context, struct bytes view)
{
    struct node *node = context;
    if (!node->first_view) {
        node->first_view = malloc(view.length);
        assert_non_null(node->first_view);
        memcpy(node->first_view, view.data, view.length);
        node->first_length = view.length;
    }
}

static void on_failed(void *context, enum err err, const char *what)
{
    struct node *node = context;
    if (!node->may_fail || node->failure) {
        fail_msg("%s: %s", what, err_text(err));
    }
    node->failure = err;
}

static void open_endpoint(struct node *node)
{
    struct fixture *fixture = node->fixture;
    struct world *world = fixture->world;
    char door[32], bus[32], pair[32];
    (void)snprintf(door, sizeof door, "tcp://%s:%u", node->name, node->port);
    (void)snprintf(bus, sizeof bus, "tcp://%s:7601", node->name);
    (void)snprintf(pair, sizeof pair, "tcp://%s:", node->name);
    bool is_host = node->machine != OPERATOR;
    struct endpoint_config config = {
        .network = world_network(world, node->machine),
        .clock = world_clock(world, node->machine),
        .entropy = world_entropy(world, node->machine),
        .log = node->log,
        .reactor = node->reactor,
        .door_reactor = world_reactor_open(world, node->machine),
        .identity = node->identity,
        .trust = fixture->trust,
        .addresses = {.door = is_host ? door : NULL,
                      .bus = is_host ? bus : NULL,
                      .pair_bind = pair,
                      .pair_advertise = pair,
                      .pair_first = 7602,
                      .pair_count = 20},
        .events = {.context = node,
                   .on_change = on_change,
                   .on_digest = on_digest},
    };
    endpoint_config_defaults(&config);
    config.peer_count_max = 10;
    CHECK_OK(endpoint_open(&node->endpoint, &config, NULL));
}

static void open_calls(struct node *node)
{
    struct calls_config config;
    calls_config_defaults(&config);
    config.endpoint = node->endpoint;
    config.reactor = node->reactor;
    config.log = node->log;
    CHECK_OK(calls_open(&node->calls, &config));
    CHECK_OK(raft_links_open(&node->raft_links, node->log));
}

static void fill_multiraft(struct node *node, struct multiraft_config *config)
{
    struct world *world = node->fixture->world;
    config->clock = world_clock(world, node->machine);
    config->entropy = world_entropy(world, node->machine);
    config->log = node->log;
    config->reactor = node->reactor;
    config->disk = sim_disk_table(node->disk);
    config->writer = sim_executor_table(node->writer);
    config->kv = sim_kv_table(node->kv);
    config->applier = sim_executor_table(node->applier);
    config->disk_id = node->disk_id;
    config->must_exist = node->is_made;
    config->free_bytes_min = FREE_BYTES_MIN;
}

static uint64_t resident_bytes(void)
{
    return RESIDENT_BYTES;
}

static void open_host(struct node *node)
{
    char door[SOCKET_URL_BYTES];
    char bus[SOCKET_URL_BYTES];
    struct settings_member *self = &node->fixture->members[node->machine];
    self->port = node->port;
    settings_door_url(door, &node->settings, self, SETTINGS_ADVERTISED);
    settings_bus_url(bus, &node->settings, self, SETTINGS_ADVERTISED);
    struct host_config config = {
        .settings = &node->settings,
        .self = {.name = node->name,
                 .door = door,
                 .bus = bus,
                 .zone = "",
                 .weight = 100,
                 .roles = self->roles,
                 .release = "test",
                 .feature_level = node->feature_level},
        .endpoint = node->endpoint,
        .calls = node->calls,
        .raft_links = node->raft_links,
        .machines = {.context = node,
                     .open = open_machine,
                     .close = close_machine},
        .events = {.context = node,
                   .on_trust = on_trust,
                   .on_failed = on_failed},
        .keep = {.context = node, .load = load_view, .save = save_view},
        .resident_bytes = resident_bytes,
    };
    host_config_defaults(&config);
    config.may_found = node->machine < FOUNDER_COUNT;
    config.recovers_meta = node == node->fixture->survivor;
    config.down_ms =
        node->fixture->down_ms ? node->fixture->down_ms : config.down_ms;
    config.moves_max =
        node->fixture->moves_max ? node->fixture->moves_max : config.moves_max;
    fill_multiraft(node, &config.multiraft);
    CHECK_OK(host_open(&node->host, &config, NULL));
    node->is_made = true;
    host_start(node->host);
}

/* ---- machines ---- */

static void power_on(struct fixture *fixture, struct node *node)
{
    world_power_on(fixture->world, node->machine);
    node->reactor = world_reactor_open(fixture->world, node->machine);
    CHECK_OK(log_open(
        &node->log, &(struct log_config){
                        .node = node->name,
                        .level_min = LOG_DEBUG,
                        .sink = {.context = fixture, .write = write_log},
                        .clock = world_clock(fixture->world, node->machine)}));
    open_endpoint(node);
    if (node->machine != OPERATOR) {
        open_calls(node);
        open_host(node);
    }
    world_poke(fixture->world, node->machine);
}

static void power_off(struct fixture *fixture, struct node *node)
{
    if (!node->endpoint) {
        return;
    }
    world_crash(fixture->world, node->machine);
    sim_executor_crash(node->writer);
    sim_executor_crash(node->applier);
    sim_disk_kill(node->disk);
    host_close(&node->host);
    calls_close(&node->calls);
    endpoint_close(&node->endpoint);
    raft_links_close(&node->raft_links);
    log_close(&node->log);
    world_power_off(fixture->world, node->machine);
}

static void make_node(struct fixture *fixture, uint32_t i)
{
    struct node *node = &fixture->nodes[i];
    struct test_identity_options options = {
        .role = i == OPERATOR ? ROLE_OPERATOR : ROLE_NODE};
    *node = (struct node){
        .fixture = fixture, .machine = i, .disk_id = 100 + i, .port = 7600};
    (void)snprintf(node->name, sizeof node->name, "n%u", i);
    node->identity =
        test_identity_make(&fixture->authority, node->name, &options);
    node->disk = sim_disk_open(i);
    node->kv = sim_kv_open();
    struct sim_executor_config config = {.world = fixture->world,
                                         .machine = i,
                                         .job_us_min = 50,
                                         .job_us_max = 500,
                                         .disk = node->disk};
    node->writer = sim_executor_open(&config);
    config.disk = NULL;
    node->applier = sim_executor_open(&config);
    struct settings_cluster *cluster = &node->settings.cluster;
    memcpy(cluster->id, fixture->authority.cluster_id, sizeof cluster->id);
    (void)snprintf(cluster->name, sizeof cluster->name, "test");
    cluster->transport = SETTINGS_TCP;
    cluster->shards = SHARD_COUNT;
    cluster->replication = FOUNDER_COUNT;
    cluster->members = fixture->members;
    cluster->member_count = FOUNDER_COUNT;
}

static void describe(struct settings_member *member, uint32_t i)
{
    *member =
        (struct settings_member){.port = 7600,
                                 .bus_port = 7601,
                                 .weight = 100,
                                 .roles = SETTINGS_VOTER | SETTINGS_SHARD};
    (void)snprintf(member->name, sizeof member->name, "n%u", i);
    (void)snprintf(member->host, sizeof member->host, "n%u", i);
}

static int set_up(void **state)
{
    static struct fixture fixture;
    memset(&fixture, 0, sizeof fixture);
    fixture.world =
        world_open(&(struct world_config){.seed = 5,
                                          .machine_count = MACHINE_COUNT,
                                          .latency_us_min = 50,
                                          .latency_us_max = 500});
    test_authority_init(&fixture.authority, 5,
                        clock_wall_ms(world_clock(fixture.world, 0)));
    fixture.trust = test_trust_make(&fixture.authority);
    for (uint32_t i = 0; i < MACHINE_COUNT; i++) {
        if (i < HOST_COUNT) {
            describe(&fixture.members[i], i);
        }
        make_node(&fixture, i);
    }
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t i = 0; i < MACHINE_COUNT; i++) {
        power_off(fixture, &fixture->nodes[i]);
    }
    world_close(&fixture->world);
    for (uint32_t i = 0; i < MACHINE_COUNT; i++) {
        struct node *node = &fixture->nodes[i];
        sim_executor_close(&node->writer);
        sim_executor_close(&node->applier);
        sim_disk_close(&node->disk);
        sim_kv_close(&node->kv);
        identity_unref(&node->identity);
        free(node->first_view);
    }
    trust_unref(&fixture->trust);
    return 0;
}

static void run_ms(struct fixture *fixture, uint64_t ms)
{
    world_run_until(fixture->world,
                    world_now_ns(fixture->world) + ms * NS_PER_MS);
}

/* Hosts 0 to count-1 run and are ready. */
static void start(struct fixture *fixture, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!fixture->nodes[i].host) {
            power_on(fixture, &fixture->nodes[i]);
        }
    }
    run_ms(fixture, 10000);
    for (uint32_t i = 0; i < count; i++) {
        struct err_detail why = {{0}};
        if (!host_is_ready(fixture->nodes[i].host, &why)) {
            fail_msg("n%u: %s", i, why.text);
        }
    }
}

static uint32_t key_of(const struct node *node)
{
    return endpoint_bus_key_number(node->endpoint);
}

static struct node *leader_of(struct fixture *fixture)
{
    for (uint32_t i = 0; i < HOST_COUNT; i++) {
        struct host *host = fixture->nodes[i].host;
        if (host && host_meta_leader(host) == host_number(host) &&
            host_number(host) != MEMBER_NONE) {
            return &fixture->nodes[i];
        }
    }
    fail_msg("nobody leads");
    return NULL;
}

/* Each of these hosts has the same key, and hears the others on the bus. */
static void check_bus(struct fixture *fixture, uint32_t first, uint32_t end)
{
    uint32_t before[HOST_COUNT];
    CHECK(key_of(&fixture->nodes[first]) != 0);
    for (uint32_t i = first; i < end; i++) {
        struct node *node = &fixture->nodes[i];
        CHECK(key_of(node) == key_of(&fixture->nodes[first]));
        before[i] = node->digest_count;
    }
    for (uint32_t i = first; i < end; i++) {
        CHECK_OK(endpoint_publish(fixture->nodes[i].endpoint,
                                  bytes_of_text("digest")));
        world_poke(fixture->world, i);
    }
    run_ms(fixture, 100);
    for (uint32_t i = first; i < end; i++) {
        CHECK(fixture->nodes[i].digest_count - before[i] == end - first - 1);
    }
}

/* ---- what nodes report ---- */

static void the_leader_hears_of_disks_and_memory(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, FOUNDER_COUNT);
    const struct host *leader = leader_of(fixture)->host;
    for (uint32_t i = 0; i < FOUNDER_COUNT; i++) {
        uint32_t number = host_number(fixture->nodes[i].host);
        const struct host_node_report *report =
            host_node_report(leader, number);
        CHECK(report->resident_bytes == RESIDENT_BYTES);
        CHECK(report->free_bytes ==
              host_log_stats(fixture->nodes[i].host).free_bytes);
        CHECK(report->free_bytes > 0);
    }
}

/* ---- the key of the bus ---- */

static void the_leader_hands_the_bus_key_to_all(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, FOUNDER_COUNT);
    check_bus(fixture, 0, FOUNDER_COUNT);
}

static void a_node_that_restarts_gets_the_bus_key_again(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, FOUNDER_COUNT);
    uint32_t key = key_of(&fixture->nodes[0]);
    struct node *follower =
        &fixture->nodes[leader_of(fixture) == &fixture->nodes[0] ? 1 : 0];
    power_off(fixture, follower);
    run_ms(fixture, 1000);
    start(fixture, FOUNDER_COUNT);
    check_bus(fixture, 0, FOUNDER_COUNT);
    CHECK(key_of(follower) == key);
}

static void a_new_leader_makes_a_new_bus_key(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, FOUNDER_COUNT);
    struct node *leader = leader_of(fixture);
    uint32_t key = key_of(leader);
    power_off(fixture, leader);
    run_ms(fixture, 5000);
    struct node *next = leader_of(fixture);
    CHECK(next != leader && key_of(next) != key);
    start(fixture, FOUNDER_COUNT);
    check_bus(fixture, 0, FOUNDER_COUNT);
    CHECK(key_of(leader) != key);
}

static void another_member_means_another_bus_key(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, FOUNDER_COUNT);
    uint32_t key = key_of(&fixture->nodes[0]);
    start(fixture, HOST_COUNT);
    CHECK(key_of(&fixture->nodes[0]) != key);
    check_bus(fixture, 0, HOST_COUNT);
}

struct question {
    struct call call;
    uint32_t done_count;
    enum err err;
    char answer[1024];
};

static void on_done(struct call *call, enum err err, struct bytes answer)
{
    struct question *question = OWNER_OF(call, struct question, call);
    size_t length = answer.length < sizeof question->answer - 1
                        ? answer.length
                        : sizeof question->answer - 1;
    question->done_count++;
    question->err = err;
    if (length > 0) {
        memcpy(question->answer, answer.data, length);
    }
    question->answer[length] = 0;
}

/* Ask as the one node of the other, and wait for the answer. */
static enum err ask(struct node *from,
                    const struct node *to,
                    enum host_service service,
                    struct bytes bytes)
{
    struct question question = {.call = {.done = on_done}};
    struct peer *peer = endpoint_peer_find(from->endpoint, ROLE_NODE, to->name);
    assert_non_null(peer);
    CHECK_OK(calls_ask(from->calls, peer, (uint8_t)service, bytes, 1000,
                       &question.call));
    world_poke(from->fixture->world, from->machine);
    run_ms(from->fixture, 1500);
    assert_int_equal(question.done_count, 1);
    return question.err;
}

/* A key of the highest order, as a member of bad intent would plant it. */
static enum err plant_key(struct node *from, const struct node *to)
{
    uint8_t raw[32 + ENDPOINT_BUS_KEY_BYTES];
    uint8_t wrapped[ENDPOINT_BUS_KEY_BYTES];
    struct peer *peer = endpoint_peer_find(from->endpoint, ROLE_NODE, to->name);
    struct writer inner = writer_of(wrapped, sizeof wrapped);
    struct writer writer = writer_of(raw, sizeof raw);
    CHECK_OK(endpoint_bus_key_write(from->endpoint, peer, &inner));
    pack_array(&writer, 4);
    pack_uint(&writer, 1);
    pack_uint(&writer, UINT64_MAX);
    pack_uint(&writer, 1);
    pack_bin(&writer, writer_bytes(&inner));
    return ask(from, to, HOST_SERVICE_BUS_KEY, writer_bytes(&writer));
}

static void only_the_leaders_bus_key_is_taken(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, HOST_COUNT);
    struct node *leader = leader_of(fixture);
    uint32_t key = key_of(leader);
    for (uint32_t i = 0; i < HOST_COUNT; i++) {
        struct node *from = &fixture->nodes[i];
        struct node *to = &fixture->nodes[(i + 1) % HOST_COUNT];
        if (from != leader) {
            CHECK_ERR(plant_key(from, to), ERR_NOT_LEADER);
        }
    }
    CHECK(key_of(leader) == key);
    check_bus(fixture, 0, HOST_COUNT);
}

static void a_malformed_bus_key_does_no_harm(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, FOUNDER_COUNT);
    struct node *leader = leader_of(fixture);
    struct node *other = &fixture->nodes[leader == &fixture->nodes[0] ? 1 : 0];
    CHECK_ERR(ask(leader, other, HOST_SERVICE_BUS_KEY, bytes_of_text("?")),
              ERR_MALFORMED);
    CHECK_ERR(ask(leader, other, HOST_SERVICE_BUS_KEY, (struct bytes){0}),
              ERR_MALFORMED);
    check_bus(fixture, 0, FOUNDER_COUNT);
}

/* ---- trust ---- */

/* What `troupe key revoke` writes. */
static struct trust *signed_trust(const struct test_authority *authority,
                                  uint64_t version,
                                  uint64_t revoked)
{
    struct trust_facts facts = {.version = version,
                                .authority_count = 1,
                                .revoked = &revoked,
                                .revoked_count = 1};
    memcpy(facts.cluster_id, authority->cluster_id, CLUSTER_ID_BYTES);
    memcpy(facts.authorities[0], authority->key, sizeof authority->key);
    const uint8_t *signer = authority->secret;
    char *text = NULL;
    CHECK_OK(trust_encode(&text, &facts, &signer, 1));
    struct trust *trust = NULL;
    CHECK_OK(trust_decode(&trust, bytes_of_text(text), NULL));
    free(text);
    return trust;
}

/* At one node, as if its keys folder had it. */
static void revoke_at(struct node *node, const struct node *who)
{
    scoped(trust_unref) struct trust *trust = signed_trust(
        &node->fixture->authority, 2, who->identity->certificate.serial);
    CHECK_OK(endpoint_trust_set(node->endpoint, trust, NULL));
}

static uint64_t trust_at(const struct node *node)
{
    return trust_version(endpoint_trust(node->endpoint));
}

static void a_revoked_node_is_cut_by_all_within_seconds(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, HOST_COUNT);
    uint32_t key = key_of(&fixture->nodes[0]);
    struct node *revoked = &fixture->nodes[3];
    revoke_at(&fixture->nodes[1], revoked);
    run_ms(fixture, 2500);
    for (uint32_t i = 0; i < 3; i++) {
        struct node *node = &fixture->nodes[i];
        CHECK(trust_at(node) == 2);
        CHECK(node->cut_count == 1);
        CHECK(!peer_is_up(endpoint_peer_find(node->endpoint, ROLE_NODE, "n3")));
        /* Who read it in its own folder has it there already. */
        CHECK(node->kept_version == (i == 1 ? 0 : 2));
    }
    CHECK(trust_at(revoked) == 1 && key_of(revoked) == key);
    CHECK(key_of(&fixture->nodes[0]) != key);
    check_bus(fixture, 0, 3);
    /* It hears nothing more, and says nothing that opens, once the key before
     * is forgotten. */
    run_ms(fixture, 6000);
    uint32_t heard = revoked->digest_count;
    uint32_t others = fixture->nodes[0].digest_count;
    for (uint32_t i = 0; i < HOST_COUNT; i++) {
        CHECK_OK(endpoint_publish(fixture->nodes[i].endpoint,
                                  bytes_of_text("digest")));
        world_poke(fixture->world, i);
    }
    run_ms(fixture, 5000);
    CHECK(revoked->digest_count == heard);
    CHECK(fixture->nodes[0].digest_count == others + 2);
}

static void a_revoked_operator_is_cut_by_all_within_seconds(void **state)
{
    struct fixture *fixture = *state;
    struct node *guest = &fixture->nodes[OPERATOR];
    start(fixture, FOUNDER_COUNT);
    power_on(fixture, guest);
    for (uint32_t i = 0; i < FOUNDER_COUNT; i++) {
        char door[32];
        (void)snprintf(door, sizeof door, "tcp://n%u:7600", i);
        struct peer_address address = {.name = fixture->nodes[i].name,
                                       .door = door};
        CHECK_OK(endpoint_peer_add(guest->endpoint, &address, NULL));
    }
    world_poke(fixture->world, OPERATOR);
    run_ms(fixture, 1000);
    for (uint32_t i = 0; i < FOUNDER_COUNT; i++) {
        CHECK(peer_is_up(endpoint_peer_find(guest->endpoint, ROLE_NODE,
                                            fixture->nodes[i].name)));
    }
    revoke_at(&fixture->nodes[2], guest);
    run_ms(fixture, 2000);
    for (uint32_t i = 0; i < FOUNDER_COUNT; i++) {
        CHECK(fixture->nodes[i].cut_count == 1);
        CHECK(!peer_is_up(endpoint_peer_find(guest->endpoint, ROLE_NODE,
                                             fixture->nodes[i].name)));
    }
    check_bus(fixture, 0, FOUNDER_COUNT); /* the nodes go on */
}

/* Nobody leads; a node that has just come hears of it all the same. */
static void a_revocation_spreads_without_a_leader(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, FOUNDER_COUNT);
    power_off(fixture, &fixture->nodes[1]);
    power_off(fixture, &fixture->nodes[2]);
    run_ms(fixture, 3000);
    revoke_at(&fixture->nodes[0], &fixture->nodes[2]);
    power_on(fixture, &fixture->nodes[2]);
    run_ms(fixture, 3000);
    CHECK(trust_at(&fixture->nodes[2]) == 1); /* it is not let in any more */
    CHECK(host_meta_leader(fixture->nodes[0].host) == MEMBER_NONE);
    power_on(fixture, &fixture->nodes[3]); /* which is no member */
    run_ms(fixture, 3000);
    CHECK(trust_at(&fixture->nodes[3]) == 2);
    CHECK(fixture->nodes[3].kept_version == 2);
}

/* ---- settings ---- */

static void a_node_whose_settings_differ_is_told_which(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, FOUNDER_COUNT);
    struct node *node = &fixture->nodes[3];
    node->settings.cluster.shards = 2 * SHARD_COUNT;
    node->settings.cluster.timeouts.election_ms = 700;
    power_on(fixture, node);
    run_ms(fixture, 5000);
    struct err_detail why = {{0}};
    CHECK(!host_is_ready(node->host, &why));
    CHECK(host_number(node->host) == MEMBER_NONE);
    assert_non_null(strstr(why.text, "cluster.shards: 8 there, 4 in the "
                                     "cluster"));
    assert_non_null(strstr(why.text, "cluster.timeouts.election: 700ms there"));
    assert_null(strstr(why.text, "cluster.replication"));
    const char *said = strstr(fixture->log, "cluster.shards: 8 there");
    assert_non_null(said); /* once, however often it asks */
    assert_null(strstr(said + 1, "cluster.shards: 8 there"));
    /* Set right, it is let in. */
    power_off(fixture, node);
    node->settings.cluster.shards = SHARD_COUNT;
    node->settings.cluster.timeouts.election_ms = 0;
    start(fixture, HOST_COUNT);
}

static void on_settings_changed(struct call *call,
                                enum err err,
                                struct bytes answer)
{
    (void)call;
    (void)answer;
    CHECK_OK(err);
}

/* As an operator does it. */
static void agree_on(struct fixture *fixture,
                     const char *key,
                     const char *value)
{
    static struct call call;
    struct node *leader = leader_of(fixture);
    struct view_change change = {.kind = VIEW_SETTINGS, .who = "operator/ann"};
    call = (struct call){.done = on_settings_changed};
    CHECK_OK(view_settings_copy(&change.settings,
                                &host_view(leader->host)->settings));
    CHECK_OK(view_settings_set(&change.settings, key, value));
    CHECK_OK(host_change(leader->host, &change, &call));
    view_change_clear(&change);
    world_poke(fixture->world, leader->machine);
    run_ms(fixture, 5000);
}

/* Replication is used at once; the election's time after a restart. */
static void the_leader_hears_who_must_be_restarted(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, FOUNDER_COUNT);
    agree_on(fixture, "cluster.replication", "1");
    struct host *leader = leader_of(fixture)->host;
    CHECK(host_node_report(leader, 1)->at_ms != 0);
    CHECK(host_node_report(leader, 1)->waiting_count == 0);
    agree_on(fixture, "cluster.timeouts.election", "700ms");
    leader = leader_of(fixture)->host;
    CHECK(host_node_report(leader, 1)->waiting_count == 1);
    power_off(fixture, &fixture->nodes[1]);
    fixture->nodes[1].settings.cluster.timeouts.election_ms = 700;
    start(fixture, FOUNDER_COUNT);
    leader = leader_of(fixture)->host;
    CHECK(host_node_report(leader, 1)->waiting_count == 0);
    CHECK(host_node_report(leader, 2)->waiting_count == 1);
}

static void a_stranger_must_have_what_was_agreed(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, FOUNDER_COUNT);
    agree_on(fixture, "cluster.timeouts.election", "700ms");
    struct node *node = &fixture->nodes[3];
    power_on(fixture, node);
    run_ms(fixture, 5000);
    struct err_detail why = {{0}};
    CHECK(!host_is_ready(node->host, &why));
    assert_non_null(strstr(why.text, "cluster.timeouts.election: 0 there, "
                                     "700ms in the cluster"));
    power_off(fixture, node);
    node->settings.cluster.timeouts.election_ms = 700;
    start(fixture, HOST_COUNT);
}

/* Neither its file nor anything else of it could know of the change. */
static void a_member_with_an_old_file_and_an_empty_disk_comes_back(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, FOUNDER_COUNT);
    agree_on(fixture, "cluster.timeouts.election", "700ms");
    struct node *node = &fixture->nodes[2];
    power_off(fixture, node);
    sim_disk_close(&node->disk);
    node->disk = sim_disk_open(50);
    sim_kv_close(&node->kv);
    node->kv = sim_kv_open();
    node->disk_id = 50;
    node->is_made = false;
    start(fixture, FOUNDER_COUNT);
    assert_non_null(strstr(fixture->log, "host.outdated"));
    assert_non_null(strstr(fixture->log, "0 there, 700ms in the cluster"));
}

/* Its replicas are made and dropped as soon as it is agreed. */
static void replication_changes_at_once(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, FOUNDER_COUNT);
    agree_on(fixture, "cluster.replication", "1");
    for (uint32_t i = 0; i < SHARD_COUNT; i++) {
        const struct view *view = host_view(fixture->nodes[0].host);
        CHECK(view->map.places[i].replica_count == 1);
    }
    agree_on(fixture, "cluster.replication", "3");
    for (uint32_t i = 0; i < SHARD_COUNT; i++) {
        const struct view *view = host_view(fixture->nodes[0].host);
        CHECK(view->map.places[i].replica_count == 3);
    }
    start(fixture, FOUNDER_COUNT); /* all serve */
}

/* What a founding alone would take. */
static void what_a_file_leaves_open_is_not_compared(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, FOUNDER_COUNT);
    struct settings_cluster *cluster = &fixture->nodes[3].settings.cluster;
    cluster->shards = 2 * SHARD_COUNT;
    cluster->replication = 1;
    cluster->leaves_shards_open = true;
    cluster->leaves_replication_open = true;
    start(fixture, HOST_COUNT);
}

/* ---- the journal ---- */

struct search {
    const char *text;
    uint32_t count;
};

static void search_line(void *context, const struct meta_line *line)
{
    struct search *search = context;
    search->count += strstr(line->text, search->text) != NULL;
}

/* How often the journal says so. */
static uint32_t count_lines(struct fixture *fixture, const char *text)
{
    struct search search = {.text = text};
    meta_journal_each(host_meta(leader_of(fixture)->host), 0, search_line,
                      &search);
    return search.count;
}

/* ---- seeds ---- */

static void set_seed(struct node *node, const char *url)
{
    (void)snprintf(node->seed.url, sizeof node->seed.url, "%s", url);
    node->settings.seeds = &node->seed;
    node->settings.seed_count = 1;
}

/* Its file names nobody but itself. */
static void know_nobody(struct node *node)
{
    node->settings.cluster.members = &node->fixture->members[node->machine];
    node->settings.cluster.member_count = 1;
}

static void a_node_joins_by_a_seed_alone(void **state)
{
    struct fixture *fixture = *state;
    struct node *node = &fixture->nodes[3];
    know_nobody(node);
    set_seed(node, "tcp://n1:7600");
    start(fixture, HOST_COUNT);
    CHECK(host_view(node->host)->members.count == HOST_COUNT);
    assert_non_null(strstr(fixture->log, "seed.found seed=tcp://n1:7600"));
}

static void a_seed_that_is_not_there_yet_is_asked_again(void **state)
{
    struct fixture *fixture = *state;
    struct node *node = &fixture->nodes[3];
    know_nobody(node);
    set_seed(node, "tcp://n1:7600");
    power_on(fixture, node);
    run_ms(fixture, 8000);
    struct err_detail why = {{0}};
    CHECK(!host_is_ready(node->host, &why));
    start(fixture, FOUNDER_COUNT);
    start(fixture, HOST_COUNT);
}

/* It would be its only member. */
static void a_node_with_seeds_founds_no_cluster_of_its_own(void **state)
{
    struct fixture *fixture = *state;
    struct node *node = &fixture->nodes[0];
    know_nobody(node);
    set_seed(node, "tcp://n2:7600");
    power_on(fixture, node);
    run_ms(fixture, 8000);
    struct err_detail why = {{0}};
    CHECK(!host_is_ready(node->host, &why));
    CHECK(host_view(node->host) == NULL);
    assert_non_null(strstr(why.text, "it founds nothing, since its seeds"));
    power_off(fixture, node);
    set_seed(node, "tcp://n0:7600"); /* itself: it is all that there is */
    start(fixture, 1);
}

static void move_to(struct fixture *fixture, struct node *node, uint16_t port)
{
    power_off(fixture, node);
    run_ms(fixture, 4000);
    node->port = port;
    power_on(fixture, node);
    run_ms(fixture, 20000);
}

static void a_member_that_has_moved_says_so(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, FOUNDER_COUNT);
    move_to(fixture, &fixture->nodes[1], 7700);
    start(fixture, FOUNDER_COUNT);
    const struct view *view = host_view(fixture->nodes[0].host);
    const struct member *member = members_find_name(&view->members, "n1");
    assert_string_equal(member->door, "tcp://n1:7700");
    CHECK(count_lines(fixture, "comes back with other settings") == 1);
}

static void a_node_whose_peers_have_all_moved_finds_them_by_seeds(void **state)
{
    struct fixture *fixture = *state;
    struct node *node = &fixture->nodes[2];
    start(fixture, FOUNDER_COUNT);
    power_off(fixture, node);
    move_to(fixture, &fixture->nodes[0], 7700);
    move_to(fixture, &fixture->nodes[1], 7700);
    set_seed(node, "tcp://n0:7700");
    power_on(fixture, node);
    run_ms(fixture, 15000);
    start(fixture, FOUNDER_COUNT);
    CHECK(host_view(node->host)->version ==
          host_view(fixture->nodes[0].host)->version);
}

/* ---- members, replicas and the map ---- */

static void a_node_that_joins_late_is_not_taken_for_gone(void **state)
{
    struct fixture *fixture = *state;
    fixture->down_ms = 8000;
    start(fixture, FOUNDER_COUNT);
    run_ms(fixture, 10000); /* the leader has led for longer than that */
    start(fixture, HOST_COUNT);
    CHECK(count_lines(fixture, "joins") == 1);
    CHECK(count_lines(fixture, "away for too long") == 0);
}

/* One that is gone is not held for back before it is, and is then. */
static void a_node_that_is_gone_for_long_is_noted_once(void **state)
{
    struct fixture *fixture = *state;
    fixture->down_ms = 4000;
    start(fixture, FOUNDER_COUNT);
    struct node *gone =
        &fixture->nodes[leader_of(fixture) == &fixture->nodes[0] ? 1 : 0];
    power_off(fixture, gone);
    run_ms(fixture, 20000);
    CHECK(count_lines(fixture, "away for too long") == 1);
    CHECK(count_lines(fixture, "back") == 0);
    start(fixture, FOUNDER_COUNT);
    CHECK(count_lines(fixture, "away for too long") == 1);
    CHECK(count_lines(fixture, "back") == 1);
}

/* It was counted among the voters by what it had said, and went before it had
 * begun anything. */
static void a_founder_that_missed_the_founding_gets_its_replicas(void **state)
{
    struct fixture *fixture = *state;
    struct node *late = &fixture->nodes[2];
    for (uint32_t i = 0; i < FOUNDER_COUNT; i++) {
        fixture->nodes[i].settings.cluster.shards = SHARD_COUNT_MANY;
        power_on(fixture, &fixture->nodes[i]);
    }
    while (!host_group(fixture->nodes[0].host, META_GROUP)) {
        world_run_until(fixture->world,
                        world_now_ns(fixture->world) + NS_PER_MS / 10);
    }
    CHECK(!host_group(late->host, META_GROUP));
    power_off(fixture, late);
    run_ms(fixture, 8000);
    CHECK(host_view(fixture->nodes[0].host)->is_founded);
    power_on(fixture, late);
    run_ms(fixture, 20000);
    for (uint32_t id = 0; id <= SHARD_COUNT_MANY; id++) {
        struct group *group = host_group(late->host, id);
        assert_non_null(group);
        const struct raft *raft = group_raft(group);
        CHECK(raft_configuration_has_voter(raft_committed_configuration(raft),
                                           raft_number(raft)));
    }
}

static void replace_disk(struct node *node)
{
    struct fixture *fixture = node->fixture;
    sim_executor_close(&node->writer);
    sim_disk_close(&node->disk);
    sim_kv_close(&node->kv);
    node->disk = sim_disk_open(100 + node->machine);
    node->kv = sim_kv_open();
    node->writer = sim_executor_open(
        &(struct sim_executor_config){.world = fixture->world,
                                      .machine = node->machine,
                                      .job_us_min = 50,
                                      .job_us_max = 500,
                                      .disk = node->disk});
    node->is_made = false;
    node->disk_id += 100;
}

/* The only voter there is has all that was agreed upon; when that is lost, the
 * shards of the others are not. */
static void nobody_founds_beside_a_node_that_holds_data(void **state)
{
    struct fixture *fixture = *state;
    struct node *voter = &fixture->nodes[0];
    fixture->members[1].roles = SETTINGS_SHARD;
    fixture->members[2].roles = SETTINGS_SHARD;
    start(fixture, FOUNDER_COUNT);
    power_off(fixture, voter);
    replace_disk(voter);
    power_on(fixture, voter);
    run_ms(fixture, 10000);
    CHECK(!host_group(voter->host, META_GROUP));
}

/* Its copy of the view is of the time when the shards had not begun yet, and
 * its log is gone: under its old numbers it has voted and has forgotten it. */
static void an_old_view_does_not_begin_a_shard_again(void **state)
{
    struct fixture *fixture = *state;
    struct node *old = &fixture->nodes[2];
    start(fixture, FOUNDER_COUNT);
    uint64_t disk_id = old->disk_id;
    power_off(fixture, old);
    replace_disk(old);
    old->disk_id = disk_id;
    power_on(fixture, old);
    CHECK(!host_view(old->host)->is_founded);
    for (uint32_t ms = 0; ms < 20000; ms++) {
        run_ms(fixture, 1);
        for (uint32_t id = 0; id <= SHARD_COUNT; id++) {
            const struct group *group = host_group(old->host, id);
            CHECK(!group || raft_number(group_raft(group)) > FOUNDER_COUNT);
        }
    }
    CHECK(host_view(old->host)->is_founded);
    for (uint32_t id = 0; id <= SHARD_COUNT; id++) {
        CHECK(host_group(old->host, id));
    }
}

static void drain(struct fixture *fixture, uint32_t number)
{
    struct host *host = leader_of(fixture)->host;
    struct question question = {.call = {.done = on_done}};
    struct view_change change = {
        .kind = VIEW_MEMBER_SET,
        .member = *members_find(&host_view(host)->members, number)};
    change.member.state = MEMBER_DRAINING;
    CHECK_OK(host_change(host, &change, &question.call));
    world_poke(fixture->world, leader_of(fixture)->machine);
    run_ms(fixture, 1500);
    CHECK(question.done_count == 1 && !question.err);
}

/* With two replicas a shard has no majority once one is gone for good. */
static void shards_that_nobody_leads_do_not_hold_up_the_others(void **state)
{
    struct fixture *fixture = *state;
    fixture->down_ms = 4000;
    fixture->moves_max = 1;
    for (uint32_t i = 0; i < HOST_COUNT; i++) {
        fixture->nodes[i].settings.cluster.replication = 2;
    }
    start(fixture, HOST_COUNT);
    bool is_lost[SHARD_COUNT];
    const struct view *view = host_view(fixture->nodes[0].host);
    uint32_t gone = host_number(fixture->nodes[2].host);
    uint32_t lost_count = 0;
    for (uint32_t i = 0; i < SHARD_COUNT; i++) {
        is_lost[i] = shard_place_has(&view->map.places[i], gone);
        lost_count += is_lost[i];
    }
    CHECK(lost_count >= 1 && lost_count < SHARD_COUNT);
    power_off(fixture, &fixture->nodes[2]);
    run_ms(fixture, 10000);
    uint32_t drained = host_number(fixture->nodes[1].host);
    drain(fixture, drained);
    run_ms(fixture, 20000);
    view = host_view(fixture->nodes[0].host);
    for (uint32_t i = 0; i < SHARD_COUNT; i++) {
        CHECK(is_lost[i] || !shard_place_has(&view->map.places[i], drained));
    }
}

static uint32_t count_places(const struct fixture *fixture, uint32_t number)
{
    const struct view *view = host_view(fixture->nodes[0].host);
    uint32_t count = 0;
    for (uint32_t i = 0; i < SHARD_COUNT_MANY; i++) {
        count += shard_place_has(&view->map.places[i], number);
    }
    return count;
}

/* All that the drained one has must go to one that is away, or to one that is
 * there, one after another. The first may be on its way before it is known who
 * is away. */
static void moves_to_a_node_that_is_away_do_not_hold_up_the_others(void **state)
{
    struct fixture *fixture = *state;
    bool has_away[SHARD_COUNT_MANY];
    fixture->moves_max = 1;
    for (uint32_t i = 0; i < HOST_COUNT; i++) {
        fixture->nodes[i].settings.cluster.shards = SHARD_COUNT_MANY;
    }
    start(fixture, FOUNDER_COUNT);
    start(fixture, HOST_COUNT);
    run_ms(fixture, 30000);
    uint32_t away = host_number(fixture->nodes[2].host);
    uint32_t drained = host_number(fixture->nodes[1].host);
    const struct view *view = host_view(fixture->nodes[0].host);
    uint32_t away_count = count_places(fixture, away);
    CHECK(away_count >= 2 && away_count < SHARD_COUNT_MANY);
    for (uint32_t i = 0; i < SHARD_COUNT_MANY; i++) {
        has_away[i] = shard_place_has(&view->map.places[i], away);
    }
    power_off(fixture, &fixture->nodes[2]);
    run_ms(fixture, 1000);
    drain(fixture, drained);
    run_ms(fixture, 30000);
    view = host_view(fixture->nodes[0].host);
    for (uint32_t i = 0; i < SHARD_COUNT_MANY; i++) {
        CHECK(!has_away[i] || !shard_place_has(&view->map.places[i], drained));
    }
    CHECK(count_places(fixture, drained) > 0); /* those wait */
    power_on(fixture, &fixture->nodes[2]);
    run_ms(fixture, 30000);
    CHECK(count_places(fixture, drained) == 0);
}

static uint32_t count_in_log(const struct fixture *fixture, const char *text)
{
    uint32_t count = 0;
    for (const char *at = strstr(fixture->log, text); at;
         at = strstr(at + 1, text)) {
        count++;
    }
    return count;
}

static void a_change_that_is_refused_is_tried_again_at_leisure(void **state)
{
    struct fixture *fixture = *state;
    fixture->down_ms = 4000;
    start(fixture, FOUNDER_COUNT);
    struct node *leader = leader_of(fixture);
    struct node *gone = &fixture->nodes[leader == &fixture->nodes[0] ? 1 : 0];
    sim_disk_fill(leader->disk, FREE_BYTES_MIN / 2);
    power_off(fixture, gone);
    run_ms(fixture, 10000);
    CHECK(leader_of(fixture) == leader);
    uint32_t refused = count_in_log(fixture, "controller.refused");
    CHECK(refused >= 2 && refused <= 8);
    sim_disk_fill(leader->disk, UINT64_MAX);
    run_ms(fixture, 5000);
    CHECK(count_lines(fixture, "away for too long") == 1);
}

/* ---- full disks ---- */

static uint32_t placed_on(const struct view *view, uint32_t number)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < view->map.shard_count; i++) {
        count += shard_place_has(&view->map.places[i], number);
    }
    return count;
}

static void a_node_whose_disk_is_full_gets_no_shards(void **state)
{
    struct fixture *fixture = *state;
    struct node *late = &fixture->nodes[FOUNDER_COUNT];
    start(fixture, FOUNDER_COUNT);
    sim_disk_fill(late->disk, FREE_BYTES_MIN - 1);
    start(fixture, HOST_COUNT);
    run_ms(fixture, 20000);
    uint32_t number = host_number(late->host);
    CHECK(number != MEMBER_NONE);
    CHECK(placed_on(host_view(late->host), number) == 0);
    sim_disk_fill(late->disk, UINT64_MAX);
    run_ms(fixture, 20000);
    CHECK(placed_on(host_view(late->host), number) == SHARD_COUNT * 3 / 4);
}

/* ---- feature levels ---- */

static uint32_t level_of(const struct node *node)
{
    return host_view(node->host)->feature_level;
}

/* One after the other runs the next release. */
static void the_feature_level_rises_when_all_know_it(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, FOUNDER_COUNT);
    for (uint32_t i = 0; i < FOUNDER_COUNT; i++) {
        CHECK(level_of(&fixture->nodes[i]) == 1);
        power_off(fixture, &fixture->nodes[i]);
        fixture->nodes[i].feature_level = 2 + i;
        start(fixture, FOUNDER_COUNT);
    }
    for (uint32_t i = 0; i < FOUNDER_COUNT; i++) {
        CHECK(level_of(&fixture->nodes[i]) == 2);
    }
    CHECK(count_lines(fixture, "feature level 2") == 1);
}

static void a_member_that_is_away_holds_the_feature_level(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t i = 0; i < FOUNDER_COUNT; i++) {
        fixture->nodes[i].feature_level = 1 + (i > 0);
    }
    start(fixture, FOUNDER_COUNT);
    power_off(fixture, &fixture->nodes[0]);
    run_ms(fixture, 20000);
    CHECK(level_of(leader_of(fixture)) == 1);
}

static void a_node_of_an_older_release_ends_and_is_not_let_in(void **state)
{
    struct fixture *fixture = *state;
    struct node *late = &fixture->nodes[FOUNDER_COUNT];
    for (uint32_t i = 0; i < FOUNDER_COUNT; i++) {
        fixture->nodes[i].feature_level = 2;
    }
    start(fixture, FOUNDER_COUNT);
    CHECK(level_of(leader_of(fixture)) == 2);
    late->may_fail = true;
    power_on(fixture, late);
    run_ms(fixture, 5000);
    CHECK_ERR(late->failure, ERR_VERSION);
    CHECK(!host_view(late->host));
    CHECK(count_lines(fixture, "joins") == 0);
    CHECK(count_in_log(fixture, "at feature level 2, and test knows 1") == 1);
}

/* ---- a majority is gone for good ---- */

static enum err change_view(struct fixture *fixture, struct view_change *change)
{
    struct question question = {.call = {.done = on_done}};
    struct node *leader = leader_of(fixture);
    CHECK_OK(host_change(leader->host, change, &question.call));
    world_poke(fixture->world, leader->machine);
    run_ms(fixture, 1500);
    CHECK(question.done_count == 1);
    return question.err;
}

static struct view_change recovery_of(struct node *node,
                                      uint32_t shard,
                                      bool is_empty)
{
    const struct view *view = host_view(node->host);
    return (struct view_change){.kind = VIEW_RECOVER,
                                .number = shard,
                                .node = host_number(node->host),
                                .flag = is_empty,
                                .generation =
                                    view->map.places[shard].generation + 1};
}

static void recover_all(struct fixture *fixture, struct node *survivor)
{
    for (uint32_t shard = 0; shard < SHARD_COUNT; shard++) {
        struct view_change change = recovery_of(survivor, shard, false);
        CHECK_OK(change_view(fixture, &change));
    }
}

static bool leads(const struct node *node, uint32_t id)
{
    const struct group *group = host_group(node->host, id);
    return group && raft_is_settled(group_raft(group));
}

/* All its replicas lead in their generation, and the view says so. */
static void check_recovered(const struct node *node, uint32_t generation)
{
    const struct view *view = host_view(node->host);
    CHECK(view->recovery_count == 0);
    for (uint32_t id = 0; id <= SHARD_COUNT; id++) {
        CHECK(leads(node, id));
        const struct raft *raft = group_raft(host_group(node->host, id));
        CHECK(raft_generation_of(raft_number(raft)) == generation);
    }
}

/* Of three hosts the first is left; it has taken over all. */
static struct node *lose_two(struct fixture *fixture)
{
    struct node *survivor = &fixture->nodes[0];
    start(fixture, FOUNDER_COUNT);
    for (uint32_t i = 0; i < FOUNDER_COUNT; i++) {
        power_off(fixture, &fixture->nodes[i]);
    }
    fixture->survivor = survivor;
    power_on(fixture, survivor);
    run_ms(fixture, 10000);
    CHECK(leads(survivor, META_GROUP));
    return survivor;
}

static void a_survivor_takes_over_the_meta_group(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, FOUNDER_COUNT);
    uint64_t version = host_view(fixture->nodes[0].host)->version;
    struct node *survivor = lose_two(fixture);
    const struct view *view = host_view(survivor->host);
    CHECK(view->version > version + 1000000);
    CHECK(view->meta_generation == 1);
    CHECK(count_lines(fixture, "the meta group has lost its majority") == 1);
    CHECK(!leads(survivor, 1)); /* of its shards nobody has said so */
}

static void a_survivor_takes_over_shards_with_all_they_had(void **state)
{
    struct fixture *fixture = *state;
    struct node *survivor = lose_two(fixture);
    uint64_t applied[SHARD_COUNT];
    for (uint32_t shard = 0; shard < SHARD_COUNT; shard++) {
        applied[shard] = raft_last_index(
            group_raft(host_group(survivor->host, shard_group_id(shard))));
    }
    recover_all(fixture, survivor);
    run_ms(fixture, 3000);
    check_recovered(survivor, 1);
    CHECK(count_lines(fixture, "serves again") == SHARD_COUNT);
    for (uint32_t shard = 0; shard < SHARD_COUNT; shard++) {
        const struct group *group =
            host_group(survivor->host, shard_group_id(shard));
        CHECK(group_applied_index(group) > applied[shard]);
        CHECK(raft_last_index(group_raft(group)) == applied[shard] + 2);
    }
    fixture->survivor = NULL;
    power_off(fixture, survivor);
    power_on(fixture, survivor);
    run_ms(fixture, 5000);
    check_recovered(survivor, 1);
}

/* Each shard has three voters of the new generation, one on each node. */
static void check_whole(struct fixture *fixture, uint32_t generation)
{
    for (uint32_t id = 0; id <= SHARD_COUNT; id++) {
        for (uint32_t i = 0; i < FOUNDER_COUNT; i++) {
            const struct group *group = host_group(fixture->nodes[i].host, id);
            assert_non_null(group);
            const struct raft *raft = group_raft(group);
            const struct raft_configuration *members =
                raft_committed_configuration(raft);
            CHECK(members->count == FOUNDER_COUNT);
            CHECK(raft_configuration_has_voter(members, raft_number(raft)));
            CHECK(raft_generation_of(raft_number(raft)) == generation);
        }
    }
}

static void empty_disks_take_the_place_of_the_lost_ones(void **state)
{
    struct fixture *fixture = *state;
    struct node *survivor = lose_two(fixture);
    recover_all(fixture, survivor);
    for (uint32_t i = 1; i < FOUNDER_COUNT; i++) {
        replace_disk(&fixture->nodes[i]);
    }
    start(fixture, FOUNDER_COUNT);
    run_ms(fixture, 20000);
    check_whole(fixture, 1);
}

/* Two of three, with all that they had: they would be a majority. */
static void old_disks_that_come_back_are_not_believed(void **state)
{
    struct fixture *fixture = *state;
    struct node *survivor = lose_two(fixture);
    recover_all(fixture, survivor);
    run_ms(fixture, 3000);
    start(fixture, FOUNDER_COUNT);
    run_ms(fixture, 20000);
    check_whole(fixture, 1);
    CHECK(host_view(fixture->nodes[1].host)->meta_generation == 1);
}

/* It shall take over the meta group, and ends instead. */
static void start_refused(struct fixture *fixture, struct node *node)
{
    fixture->survivor = node;
    node->may_fail = true;
    power_on(fixture, node);
    run_ms(fixture, 10000);
    CHECK_ERR(node->failure, ERR_REFUSED);
}

static void the_meta_group_is_not_taken_over_beside_a_majority(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, FOUNDER_COUNT);
    power_off(fixture, &fixture->nodes[0]);
    run_ms(fixture, 3000);
    start_refused(fixture, &fixture->nodes[0]);
    fixture->survivor = NULL;
    power_off(fixture, &fixture->nodes[0]);
    start(fixture, FOUNDER_COUNT);
    CHECK(host_view(fixture->nodes[0].host)->meta_generation == 0);
}

static void a_second_survivor_does_not_take_over_the_meta_group(void **state)
{
    struct fixture *fixture = *state;
    (void)lose_two(fixture);
    start_refused(fixture, &fixture->nodes[1]);
    CHECK(host_view(fixture->nodes[0].host)->meta_generation == 1);
}

static void who_has_no_replica_of_the_meta_group_takes_nothing_over(
    void **state)
{
    struct fixture *fixture = *state;
    start(fixture, FOUNDER_COUNT);
    for (uint32_t i = 0; i < FOUNDER_COUNT; i++) {
        power_off(fixture, &fixture->nodes[i]);
    }
    struct node *empty = &fixture->nodes[0];
    uint64_t disk_id = empty->disk_id;
    replace_disk(empty);
    empty->disk_id = disk_id;
    start_refused(fixture, empty);
    CHECK(!host_group(empty->host, META_GROUP));
}

/* Only the one that is named, and only with the disk that it had then. */
static void another_disk_takes_nothing_over(void **state)
{
    struct fixture *fixture = *state;
    struct node *named = &fixture->nodes[2];
    start(fixture, FOUNDER_COUNT);
    struct view_change change = recovery_of(named, 0, true);
    power_off(fixture, named);
    CHECK_OK(change_view(fixture, &change));
    replace_disk(named);
    power_on(fixture, named);
    run_ms(fixture, 20000);
    for (uint32_t i = 0; i < FOUNDER_COUNT; i++) {
        CHECK(!leads(&fixture->nodes[i], shard_group_id(0)));
    }
    CHECK(host_view(named->host)->recovery_count == 1);
    change = recovery_of(&fixture->nodes[0], 0, false); /* another one then */
    CHECK(change.generation == 2);
    CHECK_OK(change_view(fixture, &change));
    run_ms(fixture, 20000);
    CHECK(host_view(named->host)->recovery_count == 0);
}

static void a_shard_that_nobody_has_begins_empty(void **state)
{
    struct fixture *fixture = *state;
    struct node *only = &fixture->nodes[0];
    for (uint32_t i = 0; i < HOST_COUNT; i++) {
        fixture->nodes[i].settings.cluster.replication = 1;
    }
    start(fixture, FOUNDER_COUNT);
    const struct view *view = host_view(only->host);
    uint32_t lost = 0;
    while (view->map.places[lost].replicas[0] != host_number(only->host)) {
        lost++;
    }
    power_off(fixture, only);
    replace_disk(only); /* whatever it had */
    power_on(fixture, only);
    run_ms(fixture, 10000);
    CHECK(!host_group(only->host, shard_group_id(lost)));
    struct view_change change = recovery_of(only, lost, true);
    CHECK_OK(change_view(fixture, &change));
    run_ms(fixture, 5000);
    CHECK(leads(only, shard_group_id(lost)));
    CHECK(host_view(only->host)->recovery_count == 0);
    power_off(fixture, only);
    power_on(fixture, only);
    run_ms(fixture, 5000);
    CHECK(leads(only, shard_group_id(lost)));
}

/* ---- */

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    CHECK_OK(identity_library_init());
    const struct CMUnitTest tests[] = {
        TEST(the_leader_hears_of_disks_and_memory),
        TEST(the_leader_hands_the_bus_key_to_all),
        TEST(a_node_that_restarts_gets_the_bus_key_again),
        TEST(a_new_leader_makes_a_new_bus_key),
        TEST(another_member_means_another_bus_key),
        TEST(only_the_leaders_bus_key_is_taken),
        TEST(a_malformed_bus_key_does_no_harm),
        TEST(a_revoked_node_is_cut_by_all_within_seconds),
        TEST(a_revoked_operator_is_cut_by_all_within_seconds),
        TEST(a_revocation_spreads_without_a_leader),
        TEST(a_node_whose_settings_differ_is_told_which),
        TEST(the_leader_hears_who_must_be_restarted),
        TEST(a_stranger_must_have_what_was_agreed),
        TEST(a_member_with_an_old_file_and_an_empty_disk_comes_back),
        TEST(replication_changes_at_once),
        TEST(what_a_file_leaves_open_is_not_compared),
        TEST(a_node_joins_by_a_seed_alone),
        TEST(a_seed_that_is_not_there_yet_is_asked_again),
        TEST(a_node_with_seeds_founds_no_cluster_of_its_own),
        TEST(a_member_that_has_moved_says_so),
        TEST(a_node_whose_peers_have_all_moved_finds_them_by_seeds),
        TEST(a_node_that_joins_late_is_not_taken_for_gone),
        TEST(a_node_that_is_gone_for_long_is_noted_once),
        TEST(a_founder_that_missed_the_founding_gets_its_replicas),
        TEST(nobody_founds_beside_a_node_that_holds_data),
        TEST(an_old_view_does_not_begin_a_shard_again),
        TEST(shards_that_nobody_leads_do_not_hold_up_the_others),
        TEST(moves_to_a_node_that_is_away_do_not_hold_up_the_others),
        TEST(a_change_that_is_refused_is_tried_again_at_leisure),
        TEST(a_node_whose_disk_is_full_gets_no_shards),
        TEST(the_feature_level_rises_when_all_know_it),
        TEST(a_member_that_is_away_holds_the_feature_level),
        TEST(a_node_of_an_older_release_ends_and_is_not_let_in),
        TEST(a_survivor_takes_over_the_meta_group),
        TEST(a_survivor_takes_over_shards_with_all_they_had),
        TEST(empty_disks_take_the_place_of_the_lost_ones),
        TEST(old_disks_that_come_back_are_not_believed),
        TEST(the_meta_group_is_not_taken_over_beside_a_majority),
        TEST(a_second_survivor_does_not_take_over_the_meta_group),
        TEST(who_has_no_replica_of_the_meta_group_takes_nothing_over),
        TEST(another_disk_takes_nothing_over),
        TEST(a_shard_that_nobody_has_begins_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
