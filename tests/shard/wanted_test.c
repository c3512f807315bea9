#include "shard/wanted.h"

#include "tests/support/check.h"

#define SHARD_COUNT 16

static const char *const names[] = {"alpha", "beta", "gamma", "delta"};

struct fixture {
    struct wanted_node nodes[4];
    struct shard_map map;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){0};
    for (uint32_t i = 0; i < 4; i++) {
        fixture.nodes[i] = (struct wanted_node){.number = i,
                                                .name = names[i],
                                                .zone = "",
                                                .weight = 100,
                                                .holds_shards = true};
    }
    CHECK_OK(shard_map_init(&fixture.map, SHARD_COUNT));
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    shard_map_clear(&fixture->map);
    return 0;
}

/* What the first `count` nodes call for, three replicas of each shard. */
static void place(struct fixture *fixture, uint32_t count)
{
    struct shard_map wanted = {0};
    CHECK_OK(wanted_map(&wanted,
                        &(struct wanted_request){.nodes = fixture->nodes,
                                                 .node_count = count,
                                                 .replication = 3,
                                                 .previous = &fixture->map}));
    shard_map_clear(&fixture->map);
    fixture->map = wanted;
}

static uint32_t held_by(const struct fixture *fixture, uint32_t number)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < SHARD_COUNT; i++) {
        count += shard_place_has(&fixture->map.places[i], number);
    }
    return count;
}

static uint32_t owned_by(const struct fixture *fixture, uint32_t number)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < SHARD_COUNT; i++) {
        count += fixture->map.places[i].replicas[0] == number;
    }
    return count;
}

static void who_leaves_gives_all_away_when_there_is_room(void **state)
{
    struct fixture *fixture = *state;
    place(fixture, 4);
    CHECK(held_by(fixture, 1) > 0);
    fixture->nodes[1].is_leaving = true;
    place(fixture, 4);
    CHECK(held_by(fixture, 1) == 0);
    CHECK(held_by(fixture, 0) == SHARD_COUNT);
}

static void who_leaves_keeps_replicas_but_owns_nothing_without_room(
    void **state)
{
    struct fixture *fixture = *state;
    place(fixture, 3);
    CHECK(owned_by(fixture, 1) > 0);
    fixture->nodes[1].is_leaving = true;
    place(fixture, 3);
    CHECK(held_by(fixture, 1) == SHARD_COUNT);
    CHECK(owned_by(fixture, 1) == 0);
    CHECK(owned_by(fixture, 0) == SHARD_COUNT / 2);
}

static void who_has_no_such_role_or_is_cordoned_gets_nothing(void **state)
{
    struct fixture *fixture = *state;
    fixture->nodes[3].is_cordoned = true;
    place(fixture, 4);
    CHECK(held_by(fixture, 3) == 0);
    fixture->nodes[3].is_cordoned = false;
    fixture->nodes[3].holds_shards = false;
    place(fixture, 4);
    CHECK(held_by(fixture, 3) == 0);
    fixture->nodes[3].holds_shards = true;
    place(fixture, 4);
    CHECK(held_by(fixture, 3) > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(who_leaves_gives_all_away_when_there_is_room),
        TEST(who_leaves_keeps_replicas_but_owns_nothing_without_room),
        TEST(who_has_no_such_role_or_is_cordoned_gets_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
