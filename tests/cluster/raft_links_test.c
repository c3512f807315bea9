#include "cluster/raft_links.h"

#include "tests/support/check.h"

#include "base/owner.h"
#include "base/time_units.h"
#include "shard/counter_map.h"
#include "tests/sim/sim_executor.h"
#include "tests/sim/sim_kv.h"
#include "tests/sim/world.h"
#include "tests/support/test_identity.h"

#include <stdio.h>
#include <stdlib.h>

#define NODE_COUNT 3
#define CHANNEL 1
#define GROUP 0
#define LOG_BYTES_MAX ((size_t)8 << 20) /* when commands are large */
#define ELECTION_NS (500 * NS_PER_MS)

/* A machine of the world: the groups over real links, on simulated disks. */
struct node {
    uint32_t machine;
    char name[16], door[32], pair[32];
    const struct identity *identity;
    struct endpoint *endpoint;
    struct raft_links *links;
    struct multiraft *multiraft;
    struct group *group;
    struct counter_map *map;
    struct sim_disk *disk;
    struct sim_kv *kv;
    struct sim_executor *writer;
    struct sim_executor *applier;
};

struct fixture {
    struct world *world;
    struct test_authority authority;
    struct trust *trust;
    struct node nodes[NODE_COUNT];
    uint32_t padding_bytes; /* of each command's outcome */
    struct group_request request;
    uint32_t done_count;
    enum err done;
};

static void on_change(void *context, struct peer *peer, enum peer_change change)
{
    struct node *node = context;
    raft_links_on_change(node->links, peer, change);
}

static void on_failed(void *context,
                      struct group *group,
                      enum err err,
                      const char *what)
{
    (void)context;
    (void)group;
    print_error("%s: %s\n", what, err_text(err));
    assert_true(false);
}

static void run_ms(struct fixture *fixture, uint64_t ms)
{
    world_run_until(fixture->world,
                    world_now_ns(fixture->world) + ms * NS_PER_MS);
}

/* ---- set up ---- */

static void open_endpoint(struct fixture *fixture,
                          struct node *node,
                          struct reactor *reactor)
{
    struct endpoint_config config = {
        .network = world_network(fixture->world, node->machine),
        .clock = world_clock(fixture->world, node->machine),
        .entropy = world_entropy(fixture->world, node->machine),
        .reactor = reactor,
        .door_reactor = world_reactor_open(fixture->world, node->machine),
        .identity = node->identity,
        .trust = fixture->trust,
        .addresses = {.door = node->door,
                      .pair_bind = node->pair,
                      .pair_advertise = node->pair,
                      .pair_count = 10},
        .events = {.context = node, .on_change = on_change},
    };
    endpoint_config_defaults(&config);
    CHECK_OK(endpoint_open(&node->endpoint, &config, NULL));
}

static void open_multiraft(struct fixture *fixture,
                           struct node *node,
                           struct reactor *reactor)
{
    struct wal_report report = {0};
    struct multiraft_config config = {
        .clock = world_clock(fixture->world, node->machine),
        .entropy = world_entropy(fixture->world, node->machine),
        .reactor = reactor,
        .disk = sim_disk_table(node->disk),
        .writer = sim_executor_table(node->writer),
        .kv = sim_kv_table(node->kv),
        .applier = sim_executor_table(node->applier),
        .mesh = raft_links_mesh(node->links),
        .events = {.on_failed = on_failed},
        .disk_id = node->machine + 1,
    };
    multiraft_config_defaults(&config);
    if (fixture->padding_bytes > 0) {
        config.log_bytes_max = LOG_BYTES_MAX;
        config.keep_bytes = LOG_BYTES_MAX / 2;
    }
    CHECK_OK(multiraft_open(&node->multiraft, &config, &report, NULL));
}

static struct sim_executor *open_executor(struct fixture *fixture,
                                          struct node *node)
{
    return sim_executor_open(
        &(struct sim_executor_config){.world = fixture->world,
                                      .machine = node->machine,
                                      .job_us_min = 100,
                                      .job_us_max = 300,
                                      .disk = node->disk});
}

static void power_on(struct fixture *fixture, struct node *node)
{
    world_power_on(fixture->world, node->machine);
    struct reactor *reactor = world_reactor_open(fixture->world, node->machine);
    node->disk = sim_disk_open(node->machine);
    node->kv = sim_kv_open();
    node->writer = open_executor(fixture, node);
    node->applier = open_executor(fixture, node);
    node->map = counter_map_open(&(struct counter_map_config){
        .result_count_max = 10, .padding_bytes = fixture->padding_bytes});
    open_endpoint(fixture, node, reactor);
    CHECK_OK(raft_links_open(&node->links, NULL));
    open_multiraft(fixture, node, reactor);
    raft_links_join(node->links, node->multiraft, node->endpoint, CHANNEL);
}

static struct peer *know(struct fixture *fixture,
                         struct node *node,
                         const struct node *other)
{
    struct peer *peer = NULL;
    CHECK_OK(endpoint_peer_add(
        node->endpoint,
        &(struct peer_address){.name = other->name, .door = other->door},
        &peer));
    world_poke(fixture->world, node->machine);
    return peer;
}

static void found_group(struct node *node)
{
    struct wal_report report = {0};
    struct machine machine = counter_map_machine(node->map);
    struct raft_configuration members = {.next_number = NODE_COUNT + 1,
                                         .count = NODE_COUNT};
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        members.members[i] = (struct raft_member){
            .number = i + 1, .node = i, .disk_id = i + 1, .is_voter = true};
    }
    CHECK_OK(multiraft_start(node->multiraft, &report));
    CHECK_OK(multiraft_group_found(node->multiraft, GROUP, &machine, &members,
                                   &node->group));
}

static void name_node(struct fixture *fixture, uint32_t i)
{
    struct node *node = &fixture->nodes[i];
    *node = (struct node){.machine = i};
    (void)snprintf(node->name, sizeof node->name, "n%u", i);
    (void)snprintf(node->door, sizeof node->door, "sim://%u/door", i);
    (void)snprintf(node->pair, sizeof node->pair, "sim://%u/pair/", i);
    node->identity = test_identity_make(&fixture->authority, node->name, NULL);
}

static int open_fixture(void **state, uint32_t padding_bytes)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->padding_bytes = padding_bytes;
    fixture->world =
        world_open(&(struct world_config){.seed = 5,
                                          .machine_count = NODE_COUNT + 1,
                                          .latency_us_min = 50,
                                          .latency_us_max = 500});
    test_authority_init(&fixture->authority, 6,
                        clock_wall_ms(world_clock(fixture->world, 0)));
    fixture->trust = test_trust_make(&fixture->authority);
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        name_node(fixture, i);
        power_on(fixture, &fixture->nodes[i]);
    }
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        struct node *node = &fixture->nodes[i];
        for (uint32_t k = 0; k < NODE_COUNT; k++) {
            if (k != i) {
                CHECK_OK(raft_links_add(
                    node->links, k, know(fixture, node, &fixture->nodes[k])));
            }
        }
        found_group(node);
        world_poke(fixture->world, i);
    }
    *state = fixture;
    return 0;
}

static int set_up(void **state)
{
    return open_fixture(state, 0);
}

static int set_up_large(void **state)
{
    return open_fixture(state, 300000);
}

static void power_off(struct fixture *fixture, struct node *node)
{
    if (node->endpoint) {
        world_crash(fixture->world, node->machine);
        sim_executor_crash(node->writer);
        sim_executor_crash(node->applier);
        raft_links_leave(node->links);
        multiraft_close(&node->multiraft);
        endpoint_close(&node->endpoint);
        raft_links_close(&node->links);
        counter_map_close(&node->map);
        world_power_off(fixture->world, node->machine);
    }
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        power_off(fixture, &fixture->nodes[i]);
        identity_unref(&fixture->nodes[i].identity);
    }
    world_close(&fixture->world);
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        sim_executor_close(&fixture->nodes[i].writer);
        sim_executor_close(&fixture->nodes[i].applier);
        sim_disk_close(&fixture->nodes[i].disk);
        sim_kv_close(&fixture->nodes[i].kv);
    }
    trust_unref(&fixture->trust);
    free(fixture);
    return 0;
}

/* ---- what tests look at ---- */

/* NULL: nobody leads yet. */
static struct node *leader_of(struct fixture *fixture)
{
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        struct node *node = &fixture->nodes[i];
        if (node->multiraft &&
            raft_role(group_raft(node->group)) == RAFT_LEADER &&
            raft_is_settled(group_raft(node->group))) {
            return node;
        }
    }
    return NULL;
}

static struct node *await_leader(struct fixture *fixture)
{
    for (int i = 0; i < 500 && !leader_of(fixture); i++) {
        run_ms(fixture, 10);
    }
    CHECK(leader_of(fixture));
    return leader_of(fixture);
}

static void on_done(struct group_request *request,
                    enum err err,
                    struct bytes reply)
{
    struct fixture *fixture = OWNER_OF(request, struct fixture, request);
    (void)reply;
    fixture->done_count++;
    fixture->done = err;
}

static void add_one(struct fixture *fixture, struct node *node)
{
    uint8_t bytes[COUNTER_COMMAND_BYTES];
    struct counter_command command = {
        .kind = COUNTER_ADD, .key = 7, .value = 1};
    fixture->request = (struct group_request){.done = on_done};
    CHECK_OK(group_propose(node->group, counter_command_encode(bytes, &command),
                           &fixture->request));
    world_poke(fixture->world, node->machine);
}

/* ---- tests ---- */

static void a_command_travels_over_the_links_to_all(void **state)
{
    struct fixture *fixture = *state;
    add_one(fixture, await_leader(fixture));
    run_ms(fixture, 300);
    CHECK(fixture->done_count == 1);
    CHECK_OK(fixture->done);
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        assert_int_equal(counter_map_value(fixture->nodes[i].map, 7), 1);
        CHECK(raft_links_stats(fixture->nodes[i].links)->sent > 0);
        CHECK(raft_links_stats(fixture->nodes[i].links)->received > 0);
    }
}

static void a_closed_link_makes_an_election_without_waiting(void **state)
{
    struct fixture *fixture = *state;
    struct node *leader = await_leader(fixture);
    run_ms(fixture, 1000);
    uint64_t start_ns = world_now_ns(fixture->world);
    power_off(fixture, leader);
    while (!leader_of(fixture) &&
           world_now_ns(fixture->world) < start_ns + 5 * NS_PER_S) {
        run_ms(fixture, 5);
    }
    CHECK(leader_of(fixture));
    /* Nobody times out sooner than after a whole timeout. */
    CHECK(world_now_ns(fixture->world) - start_ns < ELECTION_NS / 2);
}

static void a_silent_link_is_found_out_by_raft_itself(void **state)
{
    struct fixture *fixture = *state;
    struct node *leader = await_leader(fixture);
    run_ms(fixture, 1000);
    world_pause(fixture->world, leader->machine, true);
    run_ms(fixture, 2000);
    uint32_t leading_count = 0;
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        const struct node *node = &fixture->nodes[i];
        leading_count +=
            node != leader && raft_role(group_raft(node->group)) == RAFT_LEADER;
    }
    CHECK(leading_count == 1);
    world_pause(fixture->world, leader->machine, false);
    run_ms(fixture, 2000);
    CHECK(raft_role(group_raft(leader->group)) == RAFT_FOLLOWER);
}

static void what_is_lost_with_a_connection_is_repeated(void **state)
{
    struct fixture *fixture = *state;
    struct node *leader = await_leader(fixture);
    for (int i = 0; i < 20; i++) {
        uint32_t to = (leader->machine + 1 + (uint32_t)i % 2) % NODE_COUNT;
        leader = await_leader(fixture);
        add_one(fixture, leader);
        world_cut(fixture->world,
                  (struct world_pair){.from = leader->machine, .to = to});
        run_ms(fixture, 50 + 13 * (uint64_t)i);
    }
    run_ms(fixture, 2000);
    CHECK(fixture->done_count == 20);
    int64_t value = counter_map_value(fixture->nodes[0].map, 7);
    CHECK(value > 0 && value <= 20);
    for (uint32_t i = 1; i < NODE_COUNT; i++) {
        assert_int_equal(counter_map_value(fixture->nodes[i].map, 7), value);
    }
}

static void block(struct fixture *fixture, uint32_t a, uint32_t b)
{
    world_block(fixture->world, (struct world_pair){.from = a, .to = b}, true);
    world_block(fixture->world, (struct world_pair){.from = b, .to = a}, true);
}

/* All that it missed is due at once, and is more than one message of a link
 * may hold: none of it is lost on the way. */
static void who_was_away_gets_what_it_missed_in_several_messages(void **state)
{
    struct fixture *fixture = *state;
    struct node *leader = await_leader(fixture);
    struct node *other = &fixture->nodes[(leader->machine + 1) % NODE_COUNT];
    const struct peer *peer =
        endpoint_peer_find(leader->endpoint, ROLE_NODE, other->name);
    run_ms(fixture, 1000);
    block(fixture, leader->machine, other->machine);
    for (int i = 0; i < 24; i++) {
        add_one(fixture, leader);
        run_ms(fixture, 200);
    }
    CHECK(fixture->done_count == 24 && !peer_is_up(peer));
    world_unblock_all(fixture->world);
    for (int i = 0; i < 50000 && !peer_is_up(peer); i++) {
        world_run_until(fixture->world,
                        world_now_ns(fixture->world) + 100 * NS_PER_US);
    }
    uint64_t lost = raft_links_stats(leader->links)->lost;
    run_ms(fixture, 2000);
    assert_int_equal(counter_map_value(other->map, 7), 24);
    CHECK(raft_links_stats(leader->links)->lost == lost);
}

static void a_log_that_grows_in_memory_makes_a_snapshot(void **state)
{
    struct fixture *fixture = *state;
    struct node *leader = await_leader(fixture);
    for (int i = 0; i < 60; i++) {
        add_one(fixture, leader);
        run_ms(fixture, 100);
    }
    CHECK(fixture->done_count == 60);
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        const struct node *node = &fixture->nodes[i];
        CHECK(group_stored_index(node->group) > 0);
        CHECK(raft_log_bytes(group_raft(node->group)) <=
              LOG_BYTES_MAX + 2 * (size_t)fixture->padding_bytes);
    }
}

static void nonsense_is_counted_and_does_no_harm(void **state)
{
    struct fixture *fixture = *state;
    struct node *leader = await_leader(fixture);
    struct node *other = &fixture->nodes[(leader->machine + 1) % NODE_COUNT];
    struct peer *peer =
        endpoint_peer_find(other->endpoint, ROLE_NODE, leader->name);
    CHECK_OK(peer_send(peer, LANE_DATA, CHANNEL, bytes_of_text("nonsense")));
    world_poke(fixture->world, other->machine);
    run_ms(fixture, 100);
    CHECK(raft_links_stats(leader->links)->malformed == 1);
    add_one(fixture, leader);
    run_ms(fixture, 100);
    CHECK(fixture->done_count == 1);
    CHECK_OK(fixture->done);
}

static void who_is_no_node_is_not_listened_to(void **state)
{
    struct fixture *fixture = *state;
    struct node *leader = await_leader(fixture);
    uint32_t other = (leader->machine + 1) % NODE_COUNT;
    struct peer *peer = endpoint_peer_find(leader->endpoint, ROLE_NODE,
                                           fixture->nodes[other].name);
    raft_links_remove(leader->links, other);
    raft_links_remove(leader->links, other);
    uint64_t received = raft_links_stats(leader->links)->received;
    uint64_t lost = raft_links_stats(leader->links)->lost;
    run_ms(fixture, 1000);
    CHECK(raft_links_stats(leader->links)->strange > 0);
    CHECK(raft_links_stats(leader->links)->lost > lost);
    CHECK(raft_links_stats(leader->links)->received > received); /* a third */
    CHECK_OK(raft_links_add(leader->links, other, peer));
    CHECK_ERR(raft_links_add(leader->links, other, peer), ERR_EXISTS);
    CHECK_ERR(raft_links_add(leader->links, MULTIRAFT_NODES_MAX, peer),
              ERR_INVALID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_command_travels_over_the_links_to_all),
        TEST(a_closed_link_makes_an_election_without_waiting),
        TEST(a_silent_link_is_found_out_by_raft_itself),
        TEST(what_is_lost_with_a_connection_is_repeated),
        cmocka_unit_test_setup_teardown(
            who_was_away_gets_what_it_missed_in_several_messages, set_up_large,
            tear_down),
        cmocka_unit_test_setup_teardown(
            a_log_that_grows_in_memory_makes_a_snapshot, set_up_large,
            tear_down),
        TEST(nonsense_is_counted_and_does_no_harm),
        TEST(who_is_no_node_is_not_listened_to),
    };
    CHECK_OK(identity_library_init());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
