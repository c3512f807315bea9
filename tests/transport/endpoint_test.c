#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "base/time_units.h"
#include "tests/sim/world.h"
#include "tests/support/test_identity.h"
#include "transport/endpoint.h"

#define DAY 86400 /* seconds */
#define NODE_COUNT 3
#define CHANNEL 1

/* One process: a machine of the world with an endpoint. */
struct node {
    uint32_t machine;
    const struct identity *identity;
    struct endpoint *endpoint;
    char door[32], bus[32], pair[32];

    /* What came. */
    uint32_t changes[PEER_GONE + 1];
    uint32_t message_count;
    uint32_t number_next; /* of messages, in order */
    uint32_t undelivered_count;
    uint32_t refused_count;
    enum err refused;
    bool is_refused_by_peer;
    uint32_t digest_count;
    char digest_from[CERTIFICATE_NAME_BYTES];
};

struct fixture {
    struct world *world;
    struct test_authority authority;
    struct trust *trust;
    struct node nodes[NODE_COUNT];
    struct version_range versions[NODE_COUNT];
    uint32_t peer_count_max;
    uint32_t client_count_max;
    uint32_t sent; /* numbers given to messages */
};

static void on_change(void *context, struct peer *peer, enum peer_change change)
{
    struct node *node = context;
    (void)peer;
    node->changes[change]++;
}

static void on_undelivered(void *context,
                           struct peer *peer,
                           uint8_t channel,
                           struct bytes message,
                           bool may_have_arrived)
{
    struct node *node = context;
    (void)peer;
    (void)message;
    (void)may_have_arrived;
    CHECK(channel == CHANNEL);
    node->undelivered_count++;
}

static void on_refused(void *context,
                       struct peer *peer,
                       const struct peer_refusal *refusal)
{
    struct node *node = context;
    CHECK(peer_role(peer) == ROLE_NODE && refusal->err && refusal->text);
    node->refused_count++;
    node->refused = refusal->err;
    node->is_refused_by_peer = refusal->is_by_peer;
}

static void on_digest(void *context, const char *from, struct bytes digest)
{
    struct node *node = context;
    CHECK(bytes_are_equal(digest, bytes_of_text("digest")));
    node->digest_count++;
    memcpy(node->digest_from, from, strlen(from) + 1);
}

static void on_message(void *context, struct peer *peer, struct bytes message)
{
    struct node *node = context;
    (void)peer;
    assert_true(message.length == 4);
    uint32_t number = get_u32(message.data);
    assert_true(number >= node->number_next);
    node->number_next = number + 1;
    node->message_count++;
}

static struct endpoint_config config_of(struct fixture *fixture,
                                        struct node *node)
{
    struct world *world = fixture->world;
    struct endpoint_config config = {
        .network = world_network(world, node->machine),
        .clock = world_clock(world, node->machine),
        .entropy = world_entropy(world, node->machine),
        .identity = node->identity,
        .trust = fixture->trust,
        .addresses = {.door = node->door,
                      .bus = node->bus,
                      .pair_bind = node->pair,
                      .pair_advertise = node->pair,
                      .pair_count = 10},
        .events = {.context = node,
                   .on_change = on_change,
                   .on_undelivered = on_undelivered,
                   .on_refused = on_refused,
                   .on_digest = on_digest},
    };
    endpoint_config_defaults(&config);
    config.versions = fixture->versions[node->machine];
    config.clock_skew_ms_max = 1000;
    config.client_keep_ms = 20000;
    config.peer_count_max = fixture->peer_count_max;
    config.client_count_max = fixture->client_count_max;
    return config;
}

static void power_on(struct fixture *fixture, struct node *node)
{
    world_power_on(fixture->world, node->machine);
    struct endpoint_config config = config_of(fixture, node);
    config.reactor = world_reactor_open(fixture->world, node->machine);
    config.door_reactor = world_reactor_open(fixture->world, node->machine);
    CHECK_OK(endpoint_open(&node->endpoint, &config, NULL));
    endpoint_bus_key_set(node->endpoint, &(struct bus_key){.number = 1});
    endpoint_channel_set(node->endpoint, CHANNEL, on_message, node);
    world_poke(fixture->world, node->machine);
}

static void power_off(struct fixture *fixture, struct node *node)
{
    if (node->endpoint) {
        world_crash(fixture->world, node->machine);
        endpoint_close(&node->endpoint);
        world_power_off(fixture->world, node->machine);
    }
}

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.peer_count_max = 10, .client_count_max = 10};
    fixture.world =
        world_open(&(struct world_config){.seed = 3,
                                          .machine_count = NODE_COUNT,
                                          .latency_us_min = 50,
                                          .latency_us_max = 500});
    test_authority_init(&fixture.authority, 4,
                        clock_wall_ms(world_clock(fixture.world, 0)));
    fixture.trust = test_trust_make(&fixture.authority);
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        struct node *node = &fixture.nodes[i];
        char name[8];
        (void)snprintf(name, sizeof name, "n%u", i);
        fixture.authority.next_serial = 100 + i;
        *node = (struct node){
            .machine = i,
            .identity = test_identity_make(&fixture.authority, name, NULL)};
        (void)snprintf(node->door, sizeof node->door, "sim://%u/door", i);
        (void)snprintf(node->bus, sizeof node->bus, "sim://%u/bus", i);
        (void)snprintf(node->pair, sizeof node->pair, "sim://%u/pair/", i);
    }
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        power_off(fixture, &fixture->nodes[i]);
        identity_unref(&fixture->nodes[i].identity);
    }
    world_close(&fixture->world);
    trust_unref(&fixture->trust);
    return 0;
}

static void run_ms(struct fixture *fixture, uint64_t ms)
{
    world_run_until(fixture->world,
                    world_now_ns(fixture->world) + ms * NS_PER_MS);
}

/* `node` gets to know the node whose name and addresses are `other`'s. */
static struct peer *know(struct fixture *fixture,
                         struct node *node,
                         const struct node *other,
                         const char *name)
{
    struct peer *peer = NULL;
    struct peer_address address = {
        .name = name, .door = other->door, .bus = other->bus};
    CHECK_OK(endpoint_peer_add(node->endpoint, &address, &peer));
    world_poke(fixture->world, node->machine);
    return peer;
}

/* The first two nodes on, and linked. */
static void link_two(struct fixture *fixture)
{
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    power_on(fixture, n0);
    power_on(fixture, n1);
    (void)know(fixture, n0, n1, "n1");
    (void)know(fixture, n1, n0, "n0");
    run_ms(fixture, 200);
    CHECK(n0->changes[PEER_UP] == 1 && n1->changes[PEER_UP] == 1);
    CHECK(n0->changes[PEER_BEGUN] == 1 && n1->changes[PEER_BEGUN] == 1);
}

static struct peer *peer_of(struct node *node, const char *name)
{
    return endpoint_peer_find(node->endpoint, ROLE_NODE, name);
}

static enum err send_number(struct fixture *fixture,
                            struct node *node,
                            struct peer *peer)
{
    uint8_t raw[4];
    put_u32(raw, fixture->sent);
    enum err err =
        peer_send(peer, LANE_DATA, CHANNEL, bytes_of(raw, sizeof raw));
    fixture->sent += err == ERR_NONE;
    world_poke(fixture->world, node->machine);
    return err;
}

/* Use another certificate at the next power_on(). */
static void use_identity(struct fixture *fixture,
                         struct node *node,
                         const char *name,
                         const struct test_identity_options *options)
{
    identity_unref(&node->identity);
    node->identity = test_identity_make(&fixture->authority, name, options);
}

/* ---- the ordinary course ---- */

static void two_nodes_link_and_exchange_messages(void **state)
{
    struct fixture *fixture = *state;
    link_two(fixture);
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    CHECK(peer_is_up(peer_of(n0, "n1")) && peer_is_up(peer_of(n1, "n0")));
    CHECK(peer_incarnation(peer_of(n0, "n1")) ==
          endpoint_incarnation(n1->endpoint));
    CHECK(peer_certificate(peer_of(n1, "n0"))->serial == 100);
    for (int i = 0; i < 100; i++) {
        CHECK_OK(send_number(fixture, n0, peer_of(n0, "n1")));
    }
    run_ms(fixture, 100);
    CHECK(n1->message_count == 100);
    CHECK_OK(send_number(fixture, n1, peer_of(n1, "n0")));
    run_ms(fixture, 100);
    CHECK(n0->message_count == 1);
}

static void knows_a_peer_once_and_never_itself(void **state)
{
    struct fixture *fixture = *state;
    link_two(fixture);
    struct endpoint *endpoint = fixture->nodes[0].endpoint;
    struct peer_address address = {.name = "n1", .door = "sim://1/door"};
    CHECK_ERR(endpoint_peer_add(endpoint, &address, NULL), ERR_EXISTS);
    address.name = "n0";
    CHECK_ERR(endpoint_peer_add(endpoint, &address, NULL), ERR_INVALID);
    address.name = "Not A Name";
    CHECK_ERR(endpoint_peer_add(endpoint, &address, NULL), ERR_INVALID);
}

static void knows_no_more_peers_than_allowed(void **state)
{
    struct fixture *fixture = *state;
    fixture->peer_count_max = 1;
    link_two(fixture);
    struct node *n2 = &fixture->nodes[2];
    struct peer_address address = {.name = "n2", .door = n2->door};
    CHECK_ERR(endpoint_peer_add(fixture->nodes[0].endpoint, &address, NULL),
              ERR_FULL);
    /* A visitor is refused, and those who are in stay in. */
    struct test_identity_options client = {.role = ROLE_CLIENT};
    use_identity(fixture, n2, "client", &client);
    power_on(fixture, n2);
    (void)know(fixture, n2, &fixture->nodes[0], "n0");
    run_ms(fixture, 3000);
    CHECK(n2->changes[PEER_UP] == 0);
    CHECK(fixture->nodes[0].changes[PEER_DOWN] == 0);
    CHECK(peer_is_up(peer_of(&fixture->nodes[0], "n1")));
    CHECK(atomic_load(
              &endpoint_door_stats(fixture->nodes[0].endpoint)->refused_count) >
          0);
}

static void a_digest_reaches_the_others_over_the_bus(void **state)
{
    struct fixture *fixture = *state;
    link_two(fixture);
    run_ms(fixture, 500);
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    CHECK_OK(endpoint_publish(n1->endpoint, bytes_of_text("digest")));
    CHECK_OK(endpoint_publish(n0->endpoint, bytes_of_text("digest")));
    run_ms(fixture, 100);
    CHECK(n0->digest_count == 1 && n1->digest_count == 1);
    assert_string_equal(n0->digest_from, "n1");
    assert_string_equal(n1->digest_from, "n0");
}

/* Whoever removes a peer dials its bus no more; and again when it is back. */
static void a_removed_peer_is_left_on_the_bus_too(void **state)
{
    struct fixture *fixture = *state;
    link_two(fixture);
    run_ms(fixture, 500);
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    struct peer *peer = peer_of(n0, "n1");
    endpoint_peer_remove(n0->endpoint, &peer);
    for (int i = 0; i < 50; i++) {
        CHECK_OK(endpoint_publish(n0->endpoint, bytes_of_text("digest")));
        CHECK_OK(endpoint_publish(n1->endpoint, bytes_of_text("digest")));
        run_ms(fixture, 100);
    }
    CHECK(n0->digest_count == 0 && n1->digest_count == 0);
    (void)know(fixture, n0, n1, "n1");
    run_ms(fixture, 2000);
    CHECK_OK(endpoint_publish(n0->endpoint, bytes_of_text("digest")));
    CHECK_OK(endpoint_publish(n1->endpoint, bytes_of_text("digest")));
    run_ms(fixture, 100);
    CHECK(n0->digest_count == 1 && n1->digest_count == 1);
}

static void messages_of_an_unused_channel_do_no_harm(void **state)
{
    struct fixture *fixture = *state;
    link_two(fixture);
    struct node *n0 = &fixture->nodes[0];
    CHECK_OK(peer_send(peer_of(n0, "n1"), LANE_DATA, 40, bytes_of_text("?")));
    CHECK_OK(send_number(fixture, n0, peer_of(n0, "n1")));
    run_ms(fixture, 100);
    CHECK(fixture->nodes[1].message_count == 1);
    CHECK(fixture->nodes[1].changes[PEER_DOWN] == 0);
}

/* Of n0 for n1, as it would travel. */
static struct writer wrapped_key(struct fixture *fixture,
                                 uint8_t raw[static ENDPOINT_BUS_KEY_BYTES])
{
    struct node *n0 = &fixture->nodes[0];
    struct writer out = writer_of(raw, ENDPOINT_BUS_KEY_BYTES);
    CHECK_OK(endpoint_bus_key_write(n0->endpoint, peer_of(n0, "n1"), &out));
    CHECK(!out.failed && writer_bytes(&out).length == ENDPOINT_BUS_KEY_BYTES);
    return out;
}

static void a_bus_key_reaches_the_peer_it_is_for(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    uint8_t raw[ENDPOINT_BUS_KEY_BYTES];
    link_two(fixture);
    run_ms(fixture, 500);
    endpoint_bus_key_make(n0->endpoint, 7);
    CHECK(endpoint_bus_key_number(n0->endpoint) == 7);
    CHECK_OK(endpoint_publish(n0->endpoint, bytes_of_text("digest")));
    run_ms(fixture, 100);
    CHECK(n1->digest_count == 0); /* it does not have the key */
    struct writer out = wrapped_key(fixture, raw);
    CHECK_OK(endpoint_bus_key_take(n1->endpoint, peer_of(n1, "n0"), 7,
                                   writer_bytes(&out)));
    CHECK(endpoint_bus_key_number(n1->endpoint) == 7);
    CHECK_OK(endpoint_publish(n0->endpoint, bytes_of_text("digest")));
    CHECK_OK(endpoint_publish(n1->endpoint, bytes_of_text("digest")));
    run_ms(fixture, 100);
    CHECK(n0->digest_count == 1 && n1->digest_count == 1);
}

static void a_bus_key_that_was_altered_or_is_for_others_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct node *n1 = &fixture->nodes[1];
    uint8_t raw[ENDPOINT_BUS_KEY_BYTES];
    link_two(fixture);
    endpoint_bus_key_make(fixture->nodes[0].endpoint, 7);
    struct writer out = wrapped_key(fixture, raw);
    struct bytes key = writer_bytes(&out);
    for (size_t i = 0; i < key.length; i++) {
        raw[i] ^= 1;
        CHECK_ERR(
            endpoint_bus_key_take(n1->endpoint, peer_of(n1, "n0"), 7, key),
            ERR_FORGED);
        raw[i] ^= 1;
    }
    for (size_t length = 0; length < key.length; length++) {
        CHECK_ERR(endpoint_bus_key_take(n1->endpoint, peer_of(n1, "n0"), 7,
                                        bytes_of(raw, length)),
                  ERR_FORGED);
    }
    /* It went out: who sent it cannot take it for one that came. */
    struct node *n0 = &fixture->nodes[0];
    CHECK_ERR(endpoint_bus_key_take(n0->endpoint, peer_of(n0, "n1"), 8, key),
              ERR_FORGED);
    CHECK(endpoint_bus_key_number(n1->endpoint) == 1);
    /* Nor does it outlive the session. */
    power_off(fixture, n0);
    power_on(fixture, n0);
    (void)know(fixture, n0, n1, "n1");
    run_ms(fixture, 5000);
    CHECK(n1->changes[PEER_BEGUN] == 2);
    CHECK_ERR(endpoint_bus_key_take(n1->endpoint, peer_of(n1, "n0"), 7, key),
              ERR_FORGED);
}

static void a_silent_peer_is_told_of_and_cut_off(void **state)
{
    struct fixture *fixture = *state;
    link_two(fixture);
    world_pause(fixture->world, 1, true);
    run_ms(fixture, 2400);
    CHECK(fixture->nodes[0].changes[PEER_SILENT] == 0);
    run_ms(fixture, 1200);
    CHECK(fixture->nodes[0].changes[PEER_SILENT] == 1);
    CHECK(fixture->nodes[0].changes[PEER_DOWN] == 1);
    CHECK_OK(send_number(fixture, &fixture->nodes[0],
                         peer_of(&fixture->nodes[0], "n1")));
    world_pause(fixture->world, 1, false);
    run_ms(fixture, 5000);
    CHECK(fixture->nodes[0].changes[PEER_UP] == 2);
    CHECK(fixture->nodes[0].changes[PEER_BEGUN] == 1); /* the same session */
    CHECK(fixture->nodes[1].message_count == 1);
}

static void a_cut_connection_loses_nothing(void **state)
{
    struct fixture *fixture = *state;
    link_two(fixture);
    struct node *n0 = &fixture->nodes[0];
    for (int i = 0; i < 100; i++) {
        CHECK_OK(send_number(fixture, n0, peer_of(n0, "n1")));
        run_ms(fixture, 7);
        if (i % 10 == 5) {
            world_cut(fixture->world, (struct world_pair){0, 1});
        }
    }
    run_ms(fixture, 3000);
    CHECK(fixture->nodes[1].message_count == 100);
    CHECK(fixture->nodes[1].changes[PEER_BEGUN] == 1);
    CHECK(n0->changes[PEER_DOWN] >= 5);
    CHECK(n0->undelivered_count == 0);
}

static void what_a_dead_process_did_not_take_is_handed_back(void **state)
{
    struct fixture *fixture = *state;
    link_two(fixture);
    struct node *n0 = &fixture->nodes[0];
    power_off(fixture, &fixture->nodes[1]);
    run_ms(fixture, 50);
    for (int i = 0; i < 30; i++) {
        CHECK_OK(send_number(fixture, n0, peer_of(n0, "n1")));
    }
    power_on(fixture, &fixture->nodes[1]);
    (void)know(fixture, &fixture->nodes[1], n0, "n0");
    run_ms(fixture, 5000);
    CHECK(n0->changes[PEER_BEGUN] == 2);
    CHECK(n0->undelivered_count == 30);
    CHECK(fixture->nodes[1].message_count == 0);
    CHECK_OK(send_number(fixture, n0, peer_of(n0, "n1")));
    run_ms(fixture, 100);
    CHECK(fixture->nodes[1].message_count == 1);
}

/* ---- two of one name ---- */

/*
 * The third machine runs another process under the name of the first, with
 * another certificate, and knocks at the second.
 */
static struct node *start_double(struct fixture *fixture, uint64_t serial)
{
    struct node *twin = &fixture->nodes[2];
    struct test_identity_options options = {.serial = serial};
    use_identity(fixture, twin, "n0", &options);
    power_on(fixture, twin);
    (void)know(fixture, twin, &fixture->nodes[1], "n1");
    return twin;
}

static void an_older_certificate_is_refused_while_a_newer_lives(void **state)
{
    struct fixture *fixture = *state;
    link_two(fixture);
    uint64_t incarnation = endpoint_incarnation(fixture->nodes[0].endpoint);
    struct node *twin = start_double(fixture, 50);
    run_ms(fixture, 10000);
    struct peer *peer = peer_of(&fixture->nodes[1], "n0");
    CHECK(peer_incarnation(peer) == incarnation);
    CHECK(twin->changes[PEER_UP] == 0);
    CHECK(fixture->nodes[1].changes[PEER_DOWN] == 0);
    CHECK(fixture->nodes[0].changes[PEER_DOWN] == 0);
}

static void a_newer_certificate_takes_the_name_over(void **state)
{
    struct fixture *fixture = *state;
    link_two(fixture);
    struct node *twin = start_double(fixture, 500);
    run_ms(fixture, 10000);
    struct peer *peer = peer_of(&fixture->nodes[1], "n0");
    CHECK(peer_incarnation(peer) == endpoint_incarnation(twin->endpoint));
    CHECK(peer_certificate(peer)->serial == 500);
    CHECK(peer_is_up(peer));
    CHECK(fixture->nodes[1].changes[PEER_BEGUN] == 2);
    CHECK(!peer_is_up(peer_of(&fixture->nodes[0], "n1")));
    CHECK_OK(send_number(fixture, &fixture->nodes[1], peer));
    run_ms(fixture, 1000);
    CHECK(twin->message_count == 1);
    CHECK(fixture->nodes[0].message_count == 0);
}

static void with_one_certificate_the_living_process_stays(void **state)
{
    struct fixture *fixture = *state;
    link_two(fixture);
    run_ms(fixture, 1000);
    struct node *twin = &fixture->nodes[2];
    identity_unref(&twin->identity);
    twin->identity = identity_ref(fixture->nodes[0].identity);
    power_on(fixture, twin);
    (void)know(fixture, twin, &fixture->nodes[1], "n1");
    run_ms(fixture, 10000);
    struct peer *peer = peer_of(&fixture->nodes[1], "n0");
    CHECK(peer_incarnation(peer) ==
          endpoint_incarnation(fixture->nodes[0].endpoint));
    CHECK(peer_is_up(peer));
    CHECK(fixture->nodes[1].changes[PEER_BEGUN] == 1);
    CHECK(fixture->nodes[1].changes[PEER_DOWN] == 0);
    CHECK(twin->changes[PEER_UP] == 0);
}

static void another_process_comes_in_when_the_first_is_silent(void **state)
{
    struct fixture *fixture = *state;
    link_two(fixture);
    struct node *twin = &fixture->nodes[2];
    identity_unref(&twin->identity);
    twin->identity = identity_ref(fixture->nodes[0].identity);
    world_skew(fixture->world, 2, -60 * 60 * 1000); /* seems to be earlier */
    power_on(fixture, twin);
    (void)know(fixture, twin, &fixture->nodes[1], "n1");
    run_ms(fixture, 5000);
    struct peer *peer = peer_of(&fixture->nodes[1], "n0");
    CHECK(peer_incarnation(peer) ==
          endpoint_incarnation(fixture->nodes[0].endpoint));
    CHECK(fixture->nodes[1].changes[PEER_DOWN] == 0);
    power_off(fixture, &fixture->nodes[0]);
    run_ms(fixture, 10000);
    CHECK(peer_incarnation(peer) == endpoint_incarnation(twin->endpoint));
    CHECK(peer_is_up(peer));
}

static void who_knocks_refuses_an_older_certificate_too(void **state)
{
    struct fixture *fixture = *state;
    link_two(fixture);
    struct node *n1 = &fixture->nodes[1];
    power_off(fixture, n1);
    struct test_identity_options older = {.serial = 60};
    use_identity(fixture, n1, "n1", &older);
    power_on(fixture, n1);
    (void)know(fixture, n1, &fixture->nodes[0], "n0");
    run_ms(fixture, 10000);
    CHECK(fixture->nodes[0].changes[PEER_UP] == 1);
    CHECK(fixture->nodes[0].changes[PEER_BEGUN] == 1);
    power_off(fixture, n1);
    struct test_identity_options newer = {.serial = 600};
    use_identity(fixture, n1, "n1", &newer);
    power_on(fixture, n1);
    (void)know(fixture, n1, &fixture->nodes[0], "n0");
    run_ms(fixture, 10000);
    CHECK(fixture->nodes[0].changes[PEER_UP] == 2);
    CHECK(peer_certificate(peer_of(&fixture->nodes[0], "n1"))->serial == 600);
}

static void nobody_may_come_under_our_own_name(void **state)
{
    struct fixture *fixture = *state;
    link_two(fixture);
    struct node *twin = &fixture->nodes[2];
    struct test_identity_options newer = {.serial = 900};
    use_identity(fixture, twin, "n1", &newer);
    power_on(fixture, twin);
    struct peer_address address = {.name = "n2", .door = "sim://1/door"};
    CHECK_OK(endpoint_peer_add(twin->endpoint, &address, NULL));
    world_poke(fixture->world, 2);
    run_ms(fixture, 5000);
    CHECK(twin->changes[PEER_UP] == 0);
    CHECK(fixture->nodes[1].changes[PEER_BEGUN] == 1);
}

/* ---- trust ---- */

/* As from a file that `authority` has signed. */
static struct trust *signed_trust(const struct test_authority *authority,
                                  uint64_t revoked)
{
    struct trust_facts facts = {.version = 2,
                                .authority_count = 1,
                                .revoked = &revoked,
                                .revoked_count = 1};
    memcpy(facts.cluster_id, authority->cluster_id, CLUSTER_ID_BYTES);
    memcpy(facts.authorities[0], authority->key, sizeof authority->key);
    const uint8_t *signer = authority->secret;
    char *text = NULL;
    CHECK_OK(trust_encode(&text, &facts, &signer, 1));
    struct trust *trust = NULL;
    struct err_detail why = {{0}};
    CHECK_OK(trust_decode(&trust, bytes_of_text(text), &why));
    free(text);
    return trust;
}

static struct trust *trust_revoking(struct fixture *fixture,
                                    const struct node *node)
{
    return signed_trust(&fixture->authority,
                        node->identity->certificate.serial);
}

static void a_revoked_link_is_cut_at_once_and_stays_cut(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t i = 0; i < 2; i++) { /* the one that listens, and the other */
        link_two(fixture);
        struct node *node = &fixture->nodes[1 - i];
        struct node *other = &fixture->nodes[i];
        scoped(trust_unref) struct trust *trust =
            trust_revoking(fixture, other);
        CHECK_OK(endpoint_trust_set(node->endpoint, trust, NULL));
        CHECK(node->changes[PEER_CUT] == 1);
        CHECK(node->changes[PEER_DOWN] == 1);
        run_ms(fixture, 20000);
        CHECK(node->changes[PEER_UP] == 1);
        CHECK(other->changes[PEER_UP] == 1);
        CHECK(other->changes[PEER_DOWN] == 1);
        tear_down(state);
        set_up(state);
        fixture = *state;
    }
}

static void a_cut_peer_comes_back_with_a_new_certificate(void **state)
{
    struct fixture *fixture = *state;
    link_two(fixture);
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    scoped(trust_unref) struct trust *trust = trust_revoking(fixture, n0);
    CHECK_OK(endpoint_trust_set(n1->endpoint, trust, NULL));
    run_ms(fixture, 3000);
    scoped(identity_unref) const struct identity *renewed =
        test_identity_make(&fixture->authority, "n0", NULL);
    CHECK_OK(endpoint_identity_set(n0->endpoint, renewed));
    run_ms(fixture, 5000);
    CHECK(n0->changes[PEER_UP] == 2 && n1->changes[PEER_UP] == 2);
    CHECK(peer_is_up(peer_of(n1, "n0")));
}

/* Between the door's grant and the first frame there is no session yet. */
static void a_grant_is_void_when_its_certificate_is_revoked(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    power_on(fixture, n0);
    power_on(fixture, n1);
    (void)know(fixture, n1, n0, "n0");
    (void)know(fixture, n0, n1, "n1");
    const struct door_stats *stats = endpoint_door_stats(n1->endpoint);
    while (atomic_load(&stats->admitted_count) == 0) {
        world_run_until(fixture->world, world_now_ns(fixture->world) + 20000);
    }
    /* Let the grant be decided, but not the connection be made. */
    world_run_until(fixture->world, world_now_ns(fixture->world) + 60000);
    CHECK(n1->changes[PEER_BEGUN] == 0);
    scoped(trust_unref) struct trust *trust = trust_revoking(fixture, n0);
    CHECK_OK(endpoint_trust_set(n1->endpoint, trust, NULL));
    run_ms(fixture, 5000);
    CHECK(n1->changes[PEER_BEGUN] == 0);
    CHECK(n1->changes[PEER_UP] == 0);
}

static void an_older_or_foreign_trust_is_refused(void **state)
{
    struct fixture *fixture = *state;
    link_two(fixture);
    struct node *n0 = &fixture->nodes[0];
    scoped(trust_unref) struct trust *newer =
        signed_trust(&fixture->authority, 9999);
    CHECK_OK(endpoint_trust_set(n0->endpoint, newer, NULL));
    CHECK_ERR(endpoint_trust_set(n0->endpoint, fixture->trust, NULL),
              ERR_SUPERSEDED);
    struct test_authority stranger;
    test_authority_init(&stranger, 99, fixture->authority.now * 1000);
    scoped(trust_unref) struct trust *foreign = signed_trust(&stranger, 9999);
    CHECK_ERR(endpoint_trust_set(n0->endpoint, foreign, NULL),
              ERR_OTHER_CLUSTER);
    run_ms(fixture, 100);
    CHECK(n0->changes[PEER_CUT] == 0 && n0->changes[PEER_DOWN] == 0);
}

static void a_link_is_cut_when_its_certificate_expires(void **state)
{
    struct fixture *fixture = *state;
    struct test_identity_options soon = {.not_after =
                                             fixture->authority.now + 30};
    use_identity(fixture, &fixture->nodes[0], "n0", &soon);
    link_two(fixture);
    struct node *n1 = &fixture->nodes[1];
    run_ms(fixture, 29000);
    CHECK(n1->changes[PEER_CUT] == 0 && peer_is_up(peer_of(n1, "n0")));
    run_ms(fixture, 15000);
    CHECK(n1->changes[PEER_CUT] == 1);
    CHECK(!peer_is_up(peer_of(n1, "n0")));
    run_ms(fixture, 20000);
    CHECK(n1->changes[PEER_UP] == 1);
}

/* ---- renewal ---- */

static void an_identity_is_renewed_without_a_stop(void **state)
{
    struct fixture *fixture = *state;
    link_two(fixture);
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    scoped(identity_unref) const struct identity *renewed =
        test_identity_make(&fixture->authority, "n0", NULL);
    for (int i = 0; i < 100; i++) {
        if (i == 50) {
            CHECK_OK(endpoint_identity_set(n0->endpoint, renewed));
        }
        CHECK_OK(send_number(fixture, n0, peer_of(n0, "n1")));
        run_ms(fixture, 10);
    }
    run_ms(fixture, 1000);
    CHECK(n1->message_count == 100);
    CHECK(n1->changes[PEER_DOWN] == 0 && n1->changes[PEER_BEGUN] == 1);
    CHECK(peer_certificate(peer_of(n1, "n0"))->serial ==
          renewed->certificate.serial);
}

static void the_listening_sides_renewal_is_seen_in_time(void **state)
{
    struct fixture *fixture = *state;
    struct test_identity_options soon = {.not_after =
                                             fixture->authority.now + 600};
    use_identity(fixture, &fixture->nodes[1], "n1", &soon);
    link_two(fixture);
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    run_ms(fixture, 100 * 1000);
    scoped(identity_unref) const struct identity *renewed =
        test_identity_make(&fixture->authority, "n1", NULL);
    CHECK_OK(endpoint_identity_set(n1->endpoint, renewed));
    run_ms(fixture, 800 * 1000); /* beyond the end of the first */
    CHECK(peer_certificate(peer_of(n0, "n1"))->serial ==
          renewed->certificate.serial);
    CHECK(n0->changes[PEER_CUT] == 0 && n0->changes[PEER_DOWN] == 0);
    CHECK(peer_is_up(peer_of(n0, "n1")));
}

static void an_identity_of_another_name_is_refused(void **state)
{
    struct fixture *fixture = *state;
    link_two(fixture);
    scoped(identity_unref) const struct identity *other =
        test_identity_make(&fixture->authority, "other", NULL);
    CHECK_ERR(endpoint_identity_set(fixture->nodes[0].endpoint, other),
              ERR_INVALID);
    struct test_identity_options client = {.role = ROLE_CLIENT};
    scoped(identity_unref) const struct identity *demoted =
        test_identity_make(&fixture->authority, "n0", &client);
    CHECK_ERR(endpoint_identity_set(fixture->nodes[0].endpoint, demoted),
              ERR_INVALID);
}

/* ---- clients ---- */

static void a_client_that_stays_away_is_forgotten(void **state)
{
    struct fixture *fixture = *state;
    link_two(fixture);
    struct node *n0 = &fixture->nodes[0];
    struct node *client = &fixture->nodes[2];
    struct test_identity_options options = {.role = ROLE_CLIENT};
    use_identity(fixture, client, "client", &options);
    power_on(fixture, client);
    (void)know(fixture, client, n0, "n0");
    run_ms(fixture, 500);
    CHECK(client->changes[PEER_UP] == 1);
    struct peer *peer = endpoint_peer_find(n0->endpoint, ROLE_CLIENT, "client");
    CHECK(peer && peer_is_up(peer) && peer_role(peer) == ROLE_CLIENT);
    CHECK_OK(send_number(fixture, n0, peer));
    run_ms(fixture, 100);
    CHECK(client->message_count == 1);
    power_off(fixture, client);
    run_ms(fixture, 15000); /* client_keep_ms is 20 s */
    CHECK(n0->changes[PEER_GONE] == 0);
    CHECK_OK(send_number(fixture, n0, peer));
    run_ms(fixture, 20000);
    CHECK(n0->changes[PEER_GONE] == 1);
    CHECK(n0->undelivered_count == 1);
    CHECK(!endpoint_peer_find(n0->endpoint, ROLE_CLIENT, "client"));
    CHECK(peer_is_up(peer_of(n0, "n1"))); /* a node is never forgotten */
}

/* n0 alone, and two processes with one certificate of `role`. */
static void link_twins(struct fixture *fixture, enum role role)
{
    struct test_identity_options options = {.role = role, .serial = 6000};
    power_on(fixture, &fixture->nodes[0]);
    for (uint32_t i = 1; i < 3; i++) {
        struct node *twin = &fixture->nodes[i];
        fixture->authority.made_count = 50; /* the same key, too */
        use_identity(fixture, twin, "twin", &options);
        power_on(fixture, twin);
        (void)know(fixture, twin, &fixture->nodes[0], "n0");
        run_ms(fixture, 500);
    }
}

static void processes_may_share_a_clients_certificate(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    link_twins(fixture, ROLE_OPERATOR);
    for (uint32_t round = 0; round < 20; round++) {
        for (uint32_t i = 1; i < 3; i++) {
            struct node *twin = &fixture->nodes[i];
            CHECK_OK(send_number(fixture, twin, peer_of(twin, "n0")));
            run_ms(fixture, 1000);
        }
    }
    CHECK(n0->message_count == 40);
    CHECK(n0->changes[PEER_BEGUN] == 2 && n0->changes[PEER_DOWN] == 0);
    for (uint32_t i = 1; i < 3; i++) {
        CHECK(fixture->nodes[i].changes[PEER_UP] == 1);
        CHECK(fixture->nodes[i].changes[PEER_DOWN] == 0);
        CHECK(fixture->nodes[i].refused_count == 0);
    }
    /* A broken connection goes on as its own session. */
    world_cut(fixture->world, (struct world_pair){0, 2});
    world_cut(fixture->world, (struct world_pair){2, 0});
    run_ms(fixture, 3000);
    CHECK(n0->changes[PEER_BEGUN] == 2 && n0->changes[PEER_UP] == 3);
}

static void a_revoked_certificate_cuts_each_of_its_processes(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    link_twins(fixture, ROLE_CLIENT);
    scoped(trust_unref) struct trust *trust =
        trust_revoking(fixture, &fixture->nodes[1]);
    CHECK_OK(endpoint_trust_set(n0->endpoint, trust, NULL));
    CHECK(n0->changes[PEER_CUT] == 2 && n0->changes[PEER_DOWN] == 2);
    run_ms(fixture, 10000);
    CHECK(n0->changes[PEER_UP] == 2);
}

/* With room for one client, the next is refused as long as the first is
 * here, and let in at once when it has gone: nobody waits for client_keep. */
static void a_client_that_is_away_makes_room_for_the_next(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    fixture->client_count_max = 1;
    link_twins(fixture, ROLE_CLIENT);
    CHECK(fixture->nodes[1].changes[PEER_UP] == 1);
    CHECK(fixture->nodes[2].changes[PEER_UP] == 0);
    CHECK(fixture->nodes[2].refused == ERR_BUSY);
    power_off(fixture, &fixture->nodes[1]);
    run_ms(fixture, 8000); /* client_keep_ms is 20 s */
    CHECK(fixture->nodes[2].changes[PEER_UP] == 1);
    CHECK(n0->changes[PEER_GONE] == 1);
}

/* It has a node's certificate, but nobody has added it. */
static void a_node_that_only_visits_is_forgotten(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    link_two(fixture);
    struct node *visitor = &fixture->nodes[2];
    power_on(fixture, visitor);
    struct peer_address address = {
        .name = "n0", .door = n0->door, .knocks = true};
    CHECK_OK(endpoint_peer_add(visitor->endpoint, &address, NULL));
    world_poke(fixture->world, 2);
    run_ms(fixture, 500);
    CHECK(visitor->changes[PEER_UP] == 1 && peer_of(n0, "n2"));
    power_off(fixture, visitor);
    power_off(fixture, &fixture->nodes[1]);
    run_ms(fixture, 40000);
    CHECK(n0->changes[PEER_GONE] == 1);
    CHECK(!peer_of(n0, "n2") && peer_of(n0, "n1"));
}

static void a_client_may_have_the_name_of_a_node(void **state)
{
    struct fixture *fixture = *state;
    link_two(fixture);
    struct node *client = &fixture->nodes[2];
    struct test_identity_options options = {.role = ROLE_OPERATOR,
                                            .serial = 5000};
    use_identity(fixture, client, "n1", &options);
    power_on(fixture, client);
    (void)know(fixture, client, &fixture->nodes[0], "n0");
    run_ms(fixture, 500);
    CHECK(client->changes[PEER_UP] == 1);
    CHECK(peer_is_up(peer_of(&fixture->nodes[0], "n1")));
    CHECK(fixture->nodes[0].changes[PEER_DOWN] == 0);
}

static void a_refused_client_hears_why(void **state)
{
    struct fixture *fixture = *state;
    power_on(fixture, &fixture->nodes[0]);
    struct node *client = &fixture->nodes[2];
    struct test_identity_options expired = {.role = ROLE_OPERATOR,
                                            .is_expired = true};
    use_identity(fixture, client, "client", &expired);
    power_on(fixture, client);
    (void)know(fixture, client, &fixture->nodes[0], "n0");
    run_ms(fixture, 500);
    CHECK(client->refused_count > 0 && client->changes[PEER_UP] == 0);
    CHECK(client->refused == ERR_EXPIRED && client->is_refused_by_peer);
}

static void a_knock_at_another_nodes_door_says_so(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    power_on(fixture, n0);
    power_on(fixture, &fixture->nodes[1]);
    (void)know(fixture, n0, &fixture->nodes[1], "other");
    run_ms(fixture, 500);
    CHECK(n0->refused_count > 0 && n0->refused == ERR_WRONG_NAME);
    CHECK(!n0->is_refused_by_peer);
}

static void a_knock_that_nobody_answers_says_so(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    power_on(fixture, n0);
    (void)know(fixture, n0, &fixture->nodes[1], "n1"); /* which is off */
    run_ms(fixture, 6000);
    CHECK(n0->refused_count == 1 && n0->refused == ERR_TIMEOUT);
    CHECK(!n0->is_refused_by_peer);
}

/* ---- joining ---- */

static struct peer *add_as(struct fixture *fixture,
                           struct node *node,
                           const struct node *other,
                           bool knocks)
{
    char name[8];
    (void)snprintf(name, sizeof name, "n%u", other->machine);
    struct peer_address address = {
        .name = name, .door = other->door, .bus = other->bus, .knocks = knocks};
    struct peer *peer = NULL;
    CHECK_OK(endpoint_peer_add(node->endpoint, &address, &peer));
    CHECK(peer == peer_of(node, name));
    world_poke(fixture->world, node->machine);
    return peer;
}

static bool are_linked(struct node *left, struct node *right)
{
    char names[2][8];
    (void)snprintf(names[0], sizeof names[0], "n%u", left->machine);
    (void)snprintf(names[1], sizeof names[1], "n%u", right->machine);
    struct peer *to_right = peer_of(left, names[1]);
    struct peer *to_left = peer_of(right, names[0]);
    return to_right && to_left && peer_is_up(to_right) && peer_is_up(to_left);
}

/* The joiner knows the member, which knows nobody. */
static void join(struct fixture *fixture,
                 struct node *joiner,
                 struct node *member)
{
    power_on(fixture, member);
    power_on(fixture, joiner);
    (void)add_as(fixture, joiner, member, true);
    run_ms(fixture, 500);
    CHECK(are_linked(joiner, member));
}

/* For both orders of the names; 1 - i is the other. */
#define EACH_ORDER(fixture, state, i) \
    for (uint32_t i = 0; i < 2;       \
         i++, tear_down(state), set_up(state), fixture = *state)

static void a_node_that_is_not_known_yet_may_join(void **state)
{
    struct fixture *fixture = *state;
    EACH_ORDER(fixture, state, i)
    {
        struct node *joiner = &fixture->nodes[i];
        struct node *member = &fixture->nodes[1 - i];
        join(fixture, joiner, member);
        /* Known to both, the session stays. */
        (void)add_as(fixture, member, joiner, false);
        (void)add_as(fixture, joiner, member, false);
        run_ms(fixture, 5000);
        for (uint32_t k = 0; k < 2; k++) {
            CHECK(fixture->nodes[k].changes[PEER_UP] == 1);
            CHECK(fixture->nodes[k].changes[PEER_DOWN] == 0);
        }
        struct peer_address again = {.name = i ? "n1" : "n0",
                                     .door = joiner->door};
        CHECK_ERR(endpoint_peer_add(member->endpoint, &again, NULL),
                  ERR_EXISTS);
        CHECK_OK(endpoint_publish(member->endpoint, bytes_of_text("digest")));
        CHECK_OK(endpoint_publish(joiner->endpoint, bytes_of_text("digest")));
        run_ms(fixture, 100);
        CHECK(member->digest_count == 1 && joiner->digest_count == 1);
    }
}

/* Cut again and again: who knocks changes sides within the session. */
static void a_session_outlives_the_change_of_who_knocks(void **state)
{
    struct fixture *fixture = *state;
    EACH_ORDER(fixture, state, i)
    {
        struct node *joiner = &fixture->nodes[i];
        struct node *member = &fixture->nodes[1 - i];
        join(fixture, joiner, member);
        (void)add_as(fixture, member, joiner, false);
        for (int k = 0; k < 100; k++) {
            if (k == 50) {
                (void)add_as(fixture, joiner, member, false);
            }
            if (k % 10 == 5) {
                world_cut(fixture->world, (struct world_pair){0, 1});
            }
            CHECK_OK(
                send_number(fixture, joiner, peer_of(joiner, i ? "n0" : "n1")));
            run_ms(fixture, 100);
        }
        run_ms(fixture, 2000);
        CHECK(are_linked(joiner, member));
        CHECK(member->message_count == 100);
        CHECK(member->changes[PEER_BEGUN] == 1);
        CHECK(joiner->changes[PEER_BEGUN] == 1);
    }
}

/* Which side knows of the membership when one or both end: bit 0, the member,
 * bit 1, the joiner. Whoever comes back knows what it knew. */
static void check_restart(struct fixture *fixture,
                          struct node *joiner,
                          struct node *first,
                          struct node *second,
                          unsigned settled)
{
    struct node *member = &fixture->nodes[1 - joiner->machine];
    join(fixture, joiner, member);
    if (settled & 1) {
        (void)add_as(fixture, member, joiner, false);
    }
    if (settled & 2) {
        (void)add_as(fixture, joiner, member, false);
    }
    struct node *order[] = {first, second};
    for (uint32_t k = 0; k < 2; k++) {
        struct node *node = order[k];
        if (!node) {
            continue;
        }
        power_off(fixture, node);
        run_ms(fixture, 1000);
        power_on(fixture, node);
        if (node == joiner) {
            (void)add_as(fixture, joiner, member, !(settled & 2));
        } else if (settled & 1) {
            (void)add_as(fixture, member, joiner, false);
        }
        run_ms(fixture, 15000);
        CHECK(are_linked(joiner, member));
    }
}

static void nobody_waits_in_vain_after_a_join(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned settled = 0; settled < 4; settled++) {
        /* A member that has not taken it in, while the joiner has, must not
         * come back: it would know nothing of the joiner. */
        for (unsigned order = 0; order < 4; order++) {
            EACH_ORDER(fixture, state, i)
            {
                struct node *joiner = &fixture->nodes[i];
                struct node *member = &fixture->nodes[1 - i];
                struct node *first = order & 1 ? joiner : member;
                struct node *second = first == joiner ? member : joiner;
                if (settled == 2) {
                    first = joiner;
                    second = NULL;
                }
                if (settled == 2 && joiner->machine == 1) {
                    continue; /* nor the joiner be gone that is to wait */
                }
                check_restart(fixture, joiner, first, order & 2 ? second : NULL,
                              settled);
            }
        }
    }
}

/* The member knows another door, where nobody is any more. */
static void a_node_joins_again_from_another_address(void **state)
{
    struct fixture *fixture = *state;
    EACH_ORDER(fixture, state, i)
    {
        struct node *joiner = &fixture->nodes[i];
        struct node *member = &fixture->nodes[1 - i];
        power_on(fixture, member);
        (void)know(fixture, member, &fixture->nodes[2], i ? "n1" : "n0");
        run_ms(fixture, 3000);
        power_on(fixture, joiner);
        (void)add_as(fixture, joiner, member, true);
        run_ms(fixture, 20000);
        CHECK(are_linked(joiner, member));
        CHECK(joiner->changes[PEER_DOWN] == 0);
    }
}

static uint64_t count_refused(const struct node *node)
{
    return atomic_load(&endpoint_door_stats(node->endpoint)->refused_count);
}

/* However their knocks cross. */
static void two_that_both_knock_meet(void **state)
{
    struct fixture *fixture = *state;
    uint64_t refused_count = 0;
    for (uint64_t pause_us = 0; pause_us < 2000; pause_us += 50) {
        EACH_ORDER(fixture, state, i)
        {
            struct node *n0 = &fixture->nodes[i];
            struct node *n1 = &fixture->nodes[1 - i];
            power_on(fixture, n0);
            power_on(fixture, n1);
            (void)add_as(fixture, n0, n1, true);
            world_run_until(fixture->world, world_now_ns(fixture->world) +
                                                pause_us * NS_PER_US);
            (void)add_as(fixture, n1, n0, true);
            run_ms(fixture, 3000);
            CHECK(are_linked(n0, n1));
            uint32_t count = n0->changes[PEER_UP];
            run_ms(fixture, 10000);
            CHECK(n0->changes[PEER_UP] == count); /* and leave it at that */
            refused_count += count_refused(n0) + count_refused(n1);
        }
    }
    CHECK(refused_count > 0); /* some did cross */
}

static void who_gave_in_knocks_again_if_nothing_comes_of_it(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    power_on(fixture, n0);
    (void)know(fixture, n0, n1, "n1"); /* it knocks in vain */
    run_ms(fixture, 3000);
    power_on(fixture, n1);
    (void)add_as(fixture, n1, n0, true);
    const struct door_stats *stats = endpoint_door_stats(n0->endpoint);
    while (atomic_load(&stats->admitted_count) == 0) {
        world_run_until(fixture->world, world_now_ns(fixture->world) + 20000);
    }
    world_run_until(fixture->world, world_now_ns(fixture->world) + 60000);
    power_off(fixture, n1); /* it was let in, and never came */
    CHECK(n0->changes[PEER_BEGUN] == 0);
    power_on(fixture, n1);
    (void)know(fixture, n1, n0, "n0"); /* it waits now */
    run_ms(fixture, 15000);
    CHECK(are_linked(n0, n1));
}

/* Who dialled goes on showing its certificate until the next connection. */
static void who_has_joined_still_renews_its_certificate(void **state)
{
    struct fixture *fixture = *state;
    struct node *joiner = &fixture->nodes[1];
    struct node *member = &fixture->nodes[0];
    join(fixture, joiner, member);
    (void)add_as(fixture, member, joiner, false);
    (void)add_as(fixture, joiner, member, false);
    scoped(identity_unref) const struct identity *renewed =
        test_identity_make(&fixture->authority, "n1", NULL);
    CHECK_OK(endpoint_identity_set(joiner->endpoint, renewed));
    run_ms(fixture, 1000);
    CHECK(peer_certificate(peer_of(member, "n1"))->serial ==
          renewed->certificate.serial);
    CHECK(member->changes[PEER_DOWN] == 0);
}

/* ---- versions ---- */

static void an_upgraded_peer_is_met_with_its_new_version(void **state)
{
    struct fixture *fixture = *state;
    fixture->versions[0] = (struct version_range){1, 2};
    fixture->versions[1] = (struct version_range){1, 1};
    link_two(fixture);
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    power_off(fixture, n1);
    fixture->versions[1] = (struct version_range){1, 2};
    power_on(fixture, n1); /* at once: nobody has timed out */
    (void)know(fixture, n1, n0, "n0");
    run_ms(fixture, 4000);
    CHECK(n0->changes[PEER_UP] == 2);
    CHECK_OK(send_number(fixture, n0, peer_of(n0, "n1")));
    run_ms(fixture, 100);
    CHECK(n1->message_count == 1);
}

static void releases_too_far_apart_do_not_link(void **state)
{
    struct fixture *fixture = *state;
    fixture->versions[0] = (struct version_range){3, 4};
    fixture->versions[1] = (struct version_range){1, 2};
    power_on(fixture, &fixture->nodes[0]);
    power_on(fixture, &fixture->nodes[1]);
    (void)know(fixture, &fixture->nodes[0], &fixture->nodes[1], "n1");
    (void)know(fixture, &fixture->nodes[1], &fixture->nodes[0], "n0");
    run_ms(fixture, 5000);
    CHECK(fixture->nodes[0].changes[PEER_UP] == 0);
    CHECK(fixture->nodes[1].changes[PEER_UP] == 0);
    /* It goes on trying, but less and less often. */
    uint64_t refused = atomic_load(
        &endpoint_door_stats(fixture->nodes[1].endpoint)->refused_count);
    CHECK(refused >= 2 && refused < 50);
}

/* ---- asking whose a door is ---- */

struct asking {
    struct probe *probe;
    uint32_t count; /* of answers */
    enum err err;
    char name[CERTIFICATE_NAME_BYTES];
};

static void on_whose(void *context, enum err err, const char *name)
{
    struct asking *asking = context;
    asking->count++;
    asking->err = err;
    CHECK((name == NULL) == (err != ERR_NONE));
    (void)snprintf(asking->name, sizeof asking->name, "%s", name ? name : "");
    probe_close(&asking->probe);
}

static struct asking ask_whose(struct fixture *fixture,
                               struct node *node,
                               const char *url)
{
    static struct asking asking;
    asking = (struct asking){0};
    CHECK_OK(
        endpoint_probe(&asking.probe, node->endpoint, url, on_whose, &asking));
    world_poke(fixture->world, node->machine);
    run_ms(fixture, 10000);
    CHECK(asking.count == 1 && !asking.probe);
    return asking;
}

static void a_door_says_whose_it_is(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    power_on(fixture, n0);
    power_on(fixture, n1);
    struct asking asking = ask_whose(fixture, n0, n1->door);
    CHECK_OK(asking.err);
    assert_string_equal(asking.name, "n1");
    CHECK(!peer_of(n1, "n0")); /* it has not heard who asked */
    asking = ask_whose(fixture, n0, n0->door);
    assert_string_equal(asking.name, "n0");
}

static void a_door_with_nobody_behind_it_is_given_up(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    power_on(fixture, n0);
    struct asking asking = ask_whose(fixture, n0, fixture->nodes[1].door);
    CHECK_ERR(asking.err, ERR_TIMEOUT);
    struct probe *probe = NULL;
    CHECK_OK(endpoint_probe(&probe, n0->endpoint, fixture->nodes[1].door,
                            on_whose, NULL));
    probe_close(&probe); /* while it is asked */
    probe_close(&probe);
    run_ms(fixture, 10000);
}

static void a_door_that_is_not_trusted_has_no_name(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    struct test_authority other;
    test_authority_init(&other, 77,
                        clock_wall_ms(world_clock(fixture->world, 0)));
    identity_unref(&n1->identity);
    n1->identity = test_identity_make(&other, "n1", NULL);
    power_on(fixture, n0);
    power_on(fixture, n1);
    struct asking asking = ask_whose(fixture, n0, n1->door);
    CHECK(asking.err != ERR_NONE && asking.err != ERR_TIMEOUT);
}

static void a_door_of_another_release_says_whose_it_is(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    fixture->versions[0] = (struct version_range){1, 2};
    fixture->versions[1] = (struct version_range){1, 1};
    power_on(fixture, n0);
    power_on(fixture, n1);
    struct asking asking = ask_whose(fixture, n0, n1->door);
    CHECK_OK(asking.err);
    assert_string_equal(asking.name, "n1");
}

static int set_up_group(void **state)
{
    (void)state;
    return identity_library_init() ? -1 : 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(two_nodes_link_and_exchange_messages),
        TEST(knows_a_peer_once_and_never_itself),
        TEST(knows_no_more_peers_than_allowed),
        TEST(a_digest_reaches_the_others_over_the_bus),
        TEST(a_removed_peer_is_left_on_the_bus_too),
        TEST(messages_of_an_unused_channel_do_no_harm),
        TEST(a_bus_key_reaches_the_peer_it_is_for),
        TEST(a_bus_key_that_was_altered_or_is_for_others_is_refused),
        TEST(a_silent_peer_is_told_of_and_cut_off),
        TEST(a_cut_connection_loses_nothing),
        TEST(what_a_dead_process_did_not_take_is_handed_back),
        TEST(an_older_certificate_is_refused_while_a_newer_lives),
        TEST(a_newer_certificate_takes_the_name_over),
        TEST(with_one_certificate_the_living_process_stays),
        TEST(another_process_comes_in_when_the_first_is_silent),
        TEST(who_knocks_refuses_an_older_certificate_too),
        TEST(nobody_may_come_under_our_own_name),
        TEST(a_revoked_link_is_cut_at_once_and_stays_cut),
        TEST(a_cut_peer_comes_back_with_a_new_certificate),
        TEST(a_grant_is_void_when_its_certificate_is_revoked),
        TEST(an_older_or_foreign_trust_is_refused),
        TEST(a_link_is_cut_when_its_certificate_expires),
        TEST(an_identity_is_renewed_without_a_stop),
        TEST(the_listening_sides_renewal_is_seen_in_time),
        TEST(an_identity_of_another_name_is_refused),
        TEST(a_client_that_stays_away_is_forgotten),
        TEST(processes_may_share_a_clients_certificate),
        TEST(a_revoked_certificate_cuts_each_of_its_processes),
        TEST(a_client_that_is_away_makes_room_for_the_next),
        TEST(a_node_that_only_visits_is_forgotten),
        TEST(a_client_may_have_the_name_of_a_node),
        TEST(a_refused_client_hears_why),
        TEST(a_knock_at_another_nodes_door_says_so),
        TEST(a_knock_that_nobody_answers_says_so),
        TEST(a_node_that_is_not_known_yet_may_join),
        TEST(a_session_outlives_the_change_of_who_knocks),
        TEST(nobody_waits_in_vain_after_a_join),
        TEST(a_node_joins_again_from_another_address),
        TEST(two_that_both_knock_meet),
        TEST(who_gave_in_knocks_again_if_nothing_comes_of_it),
        TEST(who_has_joined_still_renews_its_certificate),
        TEST(an_upgraded_peer_is_met_with_its_new_version),
        TEST(releases_too_far_apart_do_not_link),
        TEST(a_door_says_whose_it_is),
        TEST(a_door_with_nobody_behind_it_is_given_up),
        TEST(a_door_that_is_not_trusted_has_no_name),
        TEST(a_door_of_another_release_says_whose_it_is),
    };
    return cmocka_run_group_tests(tests, set_up_group, NULL);
}
