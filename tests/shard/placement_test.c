/*
 * What placement promises, as properties of random clusters that nodes join
 * and leave. A failure names its seed.
 */

#include "shard/placement.h"

#include "shard/shard_balance.h"
#include "tests/support/check.h"
#include "tests/support/seeded.h"

#include <stdio.h>
#include <string.h>

#define NODES_MAX 128

struct cluster {
    uint64_t seed; /* for messages */
    struct seeded random;
    uint32_t node_count;
    struct placement_node nodes[NODES_MAX];
    uint32_t next_number;
    uint32_t replication;
    uint32_t shard_count;
    bool spreads_zones;
    struct shard_map map;
};

#define PROMISE(cluster, condition)                                         \
    do {                                                                    \
        if (!(condition)) {                                                 \
            print_error("seed %llu, %u nodes, %u shards, replication %u\n", \
                        (unsigned long long)(cluster)->seed,                \
                        (cluster)->node_count, (cluster)->shard_count,      \
                        (cluster)->replication);                            \
            _assert_true(0, #condition, __FILE__, __LINE__);                \
        }                                                                   \
    } while (0)

/* ---- clusters ---- */

static void add_node(struct cluster *cluster, uint32_t weight, uint32_t zone)
{
    char name[32];
    CHECK(cluster->node_count < NODES_MAX);
    uint32_t number = cluster->next_number++ % SHARD_NODES_MAX;
    (void)snprintf(name, sizeof name, "node-%u", number);
    cluster->nodes[cluster->node_count++] =
        (struct placement_node){.number = number,
                                .hash = placement_hash(name),
                                .weight = weight,
                                .zone = zone};
}

static void remove_node(struct cluster *cluster, uint32_t i)
{
    cluster->nodes[i] = cluster->nodes[--cluster->node_count];
}

static struct cluster make_cluster(uint64_t seed, uint32_t node_count)
{
    struct cluster cluster = {.seed = seed,
                              .random = {.state = seed},
                              .replication = 3,
                              .shard_count = 128};
    for (uint32_t i = 0; i < node_count; i++) {
        add_node(&cluster, 100, 0);
    }
    return cluster;
}

static struct shard_map place(struct cluster *cluster,
                              const struct shard_map *previous)
{
    struct shard_map map = {0};
    struct placement_request request = {
        .nodes = cluster->nodes,
        .node_count = cluster->node_count,
        .replication = cluster->replication,
        .shard_count = cluster->shard_count,
        .previous = previous,
        .spreads_zones = cluster->spreads_zones,
    };
    CHECK_OK(placement_make(&map, &request));
    return map;
}

/* How a map differs from the one before it. */
struct moved {
    uint32_t replicas; /* new ones */
    uint32_t owners;   /* other ones */
    uint32_t most;     /* new replicas of one shard */
};

static struct moved moved_between(const struct shard_map *from,
                                  const struct shard_map *to)
{
    struct moved moved = {0};
    for (uint32_t i = 0; i < to->shard_count; i++) {
        uint32_t count = 0;
        for (uint32_t j = 0; j < to->places[i].replica_count; j++) {
            count +=
                !shard_place_has(&from->places[i], to->places[i].replicas[j]);
        }
        moved.replicas += count;
        moved.owners +=
            from->places[i].replicas[0] != to->places[i].replicas[0];
        moved.most = count > moved.most ? count : moved.most;
    }
    return moved;
}

/* Place again after a change. */
static struct moved replace(struct cluster *cluster)
{
    struct shard_map map = place(cluster, &cluster->map);
    struct moved moved = moved_between(&cluster->map, &map);
    shard_map_clear(&cluster->map);
    cluster->map = map;
    return moved;
}

static void place_first(struct cluster *cluster)
{
    shard_map_clear(&cluster->map);
    cluster->map = place(cluster, NULL);
}

/* ---- what must hold ---- */

struct load {
    uint32_t owners;
    uint32_t replicas;
};

static void count_loads(const struct shard_map *map,
                        struct load loads[static SHARD_NODES_MAX])
{
    memset(loads, 0, SHARD_NODES_MAX * sizeof *loads);
    for (uint32_t i = 0; i < map->shard_count; i++) {
        for (uint32_t j = 0; j < map->places[i].replica_count; j++) {
            loads[map->places[i].replicas[j]].replicas++;
        }
        if (map->places[i].replica_count > 0) {
            loads[map->places[i].replicas[0]].owners++;
        }
    }
}

static const struct placement_node *node_of(const struct cluster *cluster,
                                            uint32_t number)
{
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        if (cluster->nodes[i].number == number) {
            return &cluster->nodes[i];
        }
    }
    return NULL;
}

static uint32_t usable_count(const struct cluster *cluster)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        count += cluster->nodes[i].weight > 0;
    }
    return count;
}

static uint32_t replicas_wanted(const struct cluster *cluster)
{
    uint32_t usable = usable_count(cluster);
    return usable < cluster->replication ? usable : cluster->replication;
}

static void each_place_is_sound(const struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->shard_count; i++) {
        const struct shard_place *at = &cluster->map.places[i];
        PROMISE(cluster, at->replica_count == replicas_wanted(cluster));
        for (uint32_t j = 0; j < at->replica_count; j++) {
            const struct placement_node *node =
                node_of(cluster, at->replicas[j]);
            PROMISE(cluster, node && node->weight > 0);
            for (uint32_t k = 0; k < j; k++) {
                PROMISE(cluster, at->replicas[k] != at->replicas[j]);
                PROMISE(cluster, k == 0 || at->replicas[k] < at->replicas[j]);
            }
        }
    }
}

/* A node's fair share of replicas when none can hold a shard twice; done as
 * one would on paper. */
static double fair_share(const struct cluster *cluster, uint32_t node)
{
    bool is_full[NODES_MAX] = {false};
    double share[NODES_MAX] = {0};
    for (bool has_changed = true; has_changed;) {
        double total = (double)replicas_wanted(cluster) * cluster->shard_count;
        double weight = 0;
        has_changed = false;
        for (uint32_t i = 0; i < cluster->node_count; i++) {
            total -= is_full[i] ? cluster->shard_count : 0;
            weight += is_full[i] ? 0 : cluster->nodes[i].weight;
        }
        for (uint32_t i = 0; i < cluster->node_count; i++) {
            share[i] = is_full[i] ? cluster->shard_count
                                  : total * cluster->nodes[i].weight / weight;
            if (!is_full[i] && share[i] > cluster->shard_count + 1e-6) {
                is_full[i] = has_changed = true;
            }
        }
    }
    return share[node];
}

static double weight_of_all(const struct cluster *cluster)
{
    double weight = 0;
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        weight += cluster->nodes[i].weight;
    }
    return weight;
}

static uint32_t rounded_up(double value)
{
    uint32_t whole = (uint32_t)value;
    return value - whole > 1e-6 ? whole + 1 : whole;
}

/* No node is cordoned. */
static void loads_are_bounded(const struct cluster *cluster)
{
    struct load loads[SHARD_NODES_MAX];
    count_loads(&cluster->map, loads);
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        const struct placement_node *node = &cluster->nodes[i];
        double share = fair_share(cluster, i);
        uint32_t tenth = (uint32_t)(share * 1.1 + 1e-6);
        uint32_t bound = rounded_up(share);
        uint32_t owners = rounded_up((double)cluster->shard_count *
                                     node->weight / weight_of_all(cluster));
        PROMISE(cluster, loads[node->number].replicas <=
                             (tenth > bound ? tenth : bound));
        PROMISE(cluster, loads[node->number].owners <= owners);
    }
}

static void placing_again_changes_nothing(struct cluster *cluster)
{
    struct shard_map again = place(cluster, &cluster->map);
    PROMISE(cluster, shard_map_is_equal(&again, &cluster->map));
    shard_map_clear(&again);
}

static void is_good(struct cluster *cluster)
{
    each_place_is_sound(cluster);
    loads_are_bounded(cluster);
    placing_again_changes_nothing(cluster);
}

/* ---- tests ---- */

static void keeps_its_bounds_for_1_to_12_nodes(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        for (uint32_t count = 1; count <= 12; count++) {
            struct cluster cluster = make_cluster(seed, 0);
            cluster.next_number = (uint32_t)seed * 12;
            cluster.replication = 1 + (uint32_t)seed % SHARD_REPLICAS_MAX;
            cluster.shard_count = UINT32_C(1) << seed % 10;
            for (uint32_t i = 0; i < count; i++) {
                add_node(&cluster, 100, 0);
            }
            place_first(&cluster);
            is_good(&cluster);
            shard_map_clear(&cluster.map);
        }
    }
}

static void keeps_its_bounds_for_many_nodes(void **state)
{
    (void)state;
    static const uint32_t counts[] = {50, 100, 128};
    for (size_t i = 0; i < 3; i++) {
        struct cluster cluster = make_cluster(i, counts[i]);
        cluster.shard_count = 1024;
        place_first(&cluster);
        is_good(&cluster);
        shard_map_clear(&cluster.map);
    }
}

static void a_join_moves_its_fair_share_and_one_replica_of_a_shard(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct cluster cluster = make_cluster(seed, 1);
        cluster.shard_count = UINT32_C(64) << seed % 4;
        cluster.replication = 1 + (uint32_t)seed % 5;
        place_first(&cluster);
        while (cluster.node_count < (seed == 0 ? 100 : 24)) {
            add_node(&cluster, 100, 0);
            struct moved moved = replace(&cluster);
            double share = fair_share(&cluster, cluster.node_count - 1);
            PROMISE(&cluster, moved.replicas <= (uint32_t)share + 1);
            PROMISE(&cluster, moved.most <= 1);
            is_good(&cluster);
        }
        shard_map_clear(&cluster.map);
    }
}

static void nodes_that_join_together_take_of_different_shards(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct cluster cluster = make_cluster(seed, 9);
        cluster.next_number = 20 + (uint32_t)seed * 12;
        place_first(&cluster);
        add_node(&cluster, 100, 0);
        add_node(&cluster, 100, 0);
        add_node(&cluster, 100, 0);
        struct moved moved = replace(&cluster);
        PROMISE(&cluster, moved.replicas == 96);
        PROMISE(&cluster, moved.most == 1);
        is_good(&cluster);
        shard_map_clear(&cluster.map);
    }
}

static void a_leave_moves_what_the_node_had_and_little_more(void **state)
{
    (void)state;
    uint32_t had_in_all = 0;
    uint32_t moved_in_all = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct cluster cluster = make_cluster(seed, 24);
        cluster.shard_count = UINT32_C(64) << seed % 4;
        cluster.replication = 1 + (uint32_t)seed % 5;
        place_first(&cluster);
        while (cluster.node_count > cluster.replication) {
            struct load loads[SHARD_NODES_MAX];
            count_loads(&cluster.map, loads);
            uint32_t i =
                (uint32_t)seeded_below(&cluster.random, cluster.node_count);
            uint32_t had = loads[cluster.nodes[i].number].replicas;
            remove_node(&cluster, i);
            uint32_t moved = replace(&cluster).replicas;
            PROMISE(&cluster, moved <= had + had / 10 + 1);
            is_good(&cluster);
            had_in_all += had;
            moved_in_all += moved;
        }
        shard_map_clear(&cluster.map);
    }
    CHECK(moved_in_all <= had_in_all + had_in_all / 200);
}

/* A change of weights, at most of the nodes, and of who is there. */
static void change_something(struct cluster *cluster)
{
    static const uint32_t weights[] = {50, 100, 100, 200, 400};
    uint32_t weight = weights[seeded_below(&cluster->random, 5)];
    uint32_t zone = (uint32_t)seeded_below(&cluster->random, 4);
    uint64_t kind = seeded_below(&cluster->random, 3);
    if (kind == 0 || cluster->node_count < 2) {
        add_node(cluster, weight, zone);
    } else if (kind == 1) {
        remove_node(cluster, (uint32_t)seeded_below(&cluster->random,
                                                    cluster->node_count));
    } else {
        cluster->nodes[seeded_below(&cluster->random, cluster->node_count)]
            .weight = weight;
    }
}

static void keeps_its_bounds_whatever_happens(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 150; seed++) {
        struct cluster cluster = make_cluster(seed, 0);
        cluster.shard_count = UINT32_C(1) << seeded_below(&cluster.random, 10);
        cluster.replication = 1 + (uint32_t)seeded_below(&cluster.random, 5);
        change_something(&cluster);
        place_first(&cluster);
        for (int i = 0; i < 30; i++) {
            change_something(&cluster);
            if (seeded_below(&cluster.random, 4) == 0) {
                change_something(&cluster);
            }
            cluster.spreads_zones = seeded_below(&cluster.random, 8) == 0;
            (void)replace(&cluster);
            is_good(&cluster);
        }
        shard_map_clear(&cluster.map);
    }
}

static void the_order_of_nodes_does_not_matter(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct cluster cluster = make_cluster(seed, 0);
        while (cluster.node_count < 3 + seed % 10) {
            change_something(&cluster);
        }
        place_first(&cluster);
        change_something(&cluster);
        struct shard_map one = place(&cluster, &cluster.map);
        for (uint32_t i = cluster.node_count - 1; i > 0; i--) {
            uint32_t j = (uint32_t)seeded_below(&cluster.random, i + 1);
            struct placement_node node = cluster.nodes[i];
            cluster.nodes[i] = cluster.nodes[j];
            cluster.nodes[j] = node;
        }
        struct shard_map other = place(&cluster, &cluster.map);
        PROMISE(&cluster, shard_map_is_equal(&one, &other));
        PROMISE(&cluster, shard_map_digest(&one) == shard_map_digest(&other));
        shard_map_clear(&one);
        shard_map_clear(&other);
        shard_map_clear(&cluster.map);
    }
}

/* Written down once: all nodes must find the same, on every machine. A change
 * is allowed between releases, for maps are agreed upon. */
static void gives_the_places_that_it_always_gave(void **state)
{
    (void)state;
    struct cluster cluster = make_cluster(0, 5);
    cluster.nodes[1].weight = 250;
    for (uint32_t i = 0; i < 5; i++) {
        cluster.nodes[i].zone = 1 + i / 2;
    }
    place_first(&cluster);
    CHECK(shard_map_digest(&cluster.map) == UINT64_C(0x7e79d71fb12e21c));
    add_node(&cluster, 100, 0);
    (void)replace(&cluster);
    CHECK(shard_map_digest(&cluster.map) == UINT64_C(0x79975962e82621fe));
    shard_map_clear(&cluster.map);
}

/* ---- zones ---- */

static bool is_zone_of(const struct cluster *cluster,
                       const struct shard_place *at,
                       uint64_t zone,
                       uint32_t except)
{
    for (uint32_t i = 0; i < at->replica_count; i++) {
        if (at->replicas[i] != except &&
            node_of(cluster, at->replicas[i])->zone == zone) {
            return true;
        }
    }
    return false;
}

/* Shards of which two replicas stand in one zone. */
static uint32_t doubled_count(const struct cluster *cluster)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < cluster->shard_count; i++) {
        const struct shard_place *at = &cluster->map.places[i];
        for (uint32_t j = 0; j < at->replica_count; j++) {
            if (is_zone_of(cluster, at, node_of(cluster, at->replicas[j])->zone,
                           at->replicas[j])) {
                count++;
                break;
            }
        }
    }
    return count;
}

/* Whether a node with room stands in a zone that the shard is not in. */
static bool has_better_zone(const struct cluster *cluster,
                            const struct shard_place *at,
                            const struct load *loads)
{
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        const struct placement_node *node = &cluster->nodes[i];
        if (!is_zone_of(cluster, at, node->zone, UINT32_MAX) &&
            loads[node->number].replicas < rounded_up(fair_share(cluster, i))) {
            return true;
        }
    }
    return false;
}

/* No shard has two replicas in one zone while another zone has room. */
static void zones_are_used(const struct cluster *cluster)
{
    struct load loads[SHARD_NODES_MAX];
    count_loads(&cluster->map, loads);
    for (uint32_t i = 0; i < cluster->shard_count; i++) {
        const struct shard_place *at = &cluster->map.places[i];
        for (uint32_t j = 0; j < at->replica_count; j++) {
            uint64_t zone = node_of(cluster, at->replicas[j])->zone;
            PROMISE(cluster, !is_zone_of(cluster, at, zone, at->replicas[j]) ||
                                 !has_better_zone(cluster, at, loads));
        }
    }
}

static void even_zones_never_hold_a_shard_twice(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct cluster cluster = make_cluster(seed, 0);
        cluster.next_number = (uint32_t)seed;
        cluster.replication = 2 + (uint32_t)seed % 4;
        uint32_t zones = cluster.replication + (uint32_t)seed % 3;
        for (uint32_t i = 0; i < zones * (1 + seed % 5); i++) {
            add_node(&cluster, 100, 1 + i % zones);
        }
        place_first(&cluster);
        PROMISE(&cluster, doubled_count(&cluster) == 0);
        is_good(&cluster);
        shard_map_clear(&cluster.map);
    }
}

static void uneven_zones_are_used_as_far_as_there_is_room(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct cluster cluster = make_cluster(seed, 0);
        uint64_t count = 3 + seeded_below(&cluster.random, 12);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t zone = seeded_below(&cluster.random, 5);
            add_node(&cluster, 100, 1 + (uint32_t)(zone * zone / 5));
        }
        place_first(&cluster);
        zones_are_used(&cluster);
        is_good(&cluster);
        shard_map_clear(&cluster.map);
    }
}

static void a_node_of_a_new_zone_parts_what_stood_in_one(void **state)
{
    (void)state;
    struct cluster cluster = make_cluster(1, 0);
    for (uint32_t i = 0; i < 6; i++) {
        add_node(&cluster, 100, 1 + i / 3);
    }
    place_first(&cluster);
    CHECK(doubled_count(&cluster) == 128);
    add_node(&cluster, 100, 3);
    struct moved moved = replace(&cluster);
    CHECK(doubled_count(&cluster) == 128 - moved.replicas);
    CHECK(moved.replicas == 3 * 128 / 7);
    shard_map_clear(&cluster.map);
}

static void zones_that_lose_a_node_and_get_one_are_as_good_again(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct cluster cluster = make_cluster(seed, 0);
        for (uint32_t i = 0; i < 12; i++) {
            add_node(&cluster, 100, 1 + i % 3);
        }
        place_first(&cluster);
        for (int i = 0; i < 10; i++) {
            uint32_t gone = (uint32_t)seeded_below(&cluster.random, 12);
            uint32_t zone = (uint32_t)cluster.nodes[gone].zone;
            remove_node(&cluster, gone);
            (void)replace(&cluster);
            is_good(&cluster);
            add_node(&cluster, 100, zone);
            (void)replace(&cluster);
            is_good(&cluster);
            /* Of 128; but for spreads_zones it would be none. */
            PROMISE(&cluster, doubled_count(&cluster) <= 2);
        }
        shard_map_clear(&cluster.map);
    }
}

static void zones_that_have_changed_are_spread_when_asked(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct cluster cluster = make_cluster(seed, 9);
        place_first(&cluster);
        for (uint32_t i = 0; i < 9; i++) {
            cluster.nodes[i].zone = 1 + i / 3;
        }
        CHECK(doubled_count(&cluster) > 0);
        CHECK(replace(&cluster).replicas == 0);
        cluster.spreads_zones = true;
        (void)replace(&cluster);
        PROMISE(&cluster, doubled_count(&cluster) == 0);
        is_good(&cluster);
        shard_map_clear(&cluster.map);
    }
}

/* ---- nodes that give, or do not take ---- */

static void a_cordoned_node_keeps_what_it_has_and_takes_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct load before[SHARD_NODES_MAX];
        struct load after[SHARD_NODES_MAX];
        struct cluster cluster = make_cluster(seed, 6);
        place_first(&cluster);
        count_loads(&cluster.map, before);
        cluster.nodes[0].is_cordoned = true;
        uint32_t number = cluster.nodes[0].number;
        CHECK(replace(&cluster).replicas == 0);
        remove_node(&cluster, 3);
        (void)replace(&cluster);
        add_node(&cluster, 100, 0);
        add_node(&cluster, 100, 0);
        (void)replace(&cluster);
        count_loads(&cluster.map, after);
        PROMISE(&cluster, after[number].replicas == before[number].replicas);
        PROMISE(&cluster, after[number].owners == before[number].owners);
        each_place_is_sound(&cluster);
        placing_again_changes_nothing(&cluster);
        shard_map_clear(&cluster.map);
    }
}

static void a_new_node_that_is_cordoned_gets_nothing(void **state)
{
    (void)state;
    struct cluster cluster = make_cluster(3, 3);
    place_first(&cluster);
    add_node(&cluster, 100, 0);
    cluster.nodes[3].is_cordoned = true;
    struct moved moved = replace(&cluster);
    CHECK(moved.replicas == 0 && moved.owners == 0);
    shard_map_clear(&cluster.map);
}

static void a_draining_node_gives_all_away(void **state)
{
    (void)state;
    struct load loads[SHARD_NODES_MAX];
    struct cluster cluster = make_cluster(4, 4);
    place_first(&cluster);
    cluster.nodes[2].weight = 0;
    struct moved moved = replace(&cluster);
    count_loads(&cluster.map, loads);
    CHECK(loads[cluster.nodes[2].number].replicas == 0);
    CHECK(moved.replicas == 96 && moved.most == 1);
    each_place_is_sound(&cluster);
    shard_map_clear(&cluster.map);
}

static void shards_stay_when_no_node_is_left_for_them(void **state)
{
    (void)state;
    struct cluster cluster = make_cluster(5, 2);
    place_first(&cluster);
    cluster.nodes[0].weight = cluster.nodes[1].weight = 0;
    struct shard_map map = place(&cluster, &cluster.map);
    CHECK(shard_map_is_equal(&map, &cluster.map));
    shard_map_clear(&map);
    map = place(&cluster, NULL);
    CHECK(map.places[127].replica_count == 0);
    shard_map_clear(&map);
    shard_map_clear(&cluster.map);
}

static void less_replication_keeps_owners(void **state)
{
    (void)state;
    struct cluster cluster = make_cluster(6, 7);
    cluster.replication = 5;
    place_first(&cluster);
    cluster.replication = 2;
    struct moved moved = replace(&cluster);
    CHECK(moved.owners == 0);
    CHECK(moved.replicas <= 7);
    is_good(&cluster);
    shard_map_clear(&cluster.map);
}

/* ---- versions, differences, figures ---- */

static void the_version_grows_only_with_a_change(void **state)
{
    (void)state;
    struct cluster cluster = make_cluster(7, 3);
    place_first(&cluster);
    CHECK(cluster.map.version == 1);
    cluster.map.places[5].generation = 9;
    (void)replace(&cluster);
    CHECK(cluster.map.version == 1);
    add_node(&cluster, 100, 0);
    (void)replace(&cluster);
    CHECK(cluster.map.version == 2);
    CHECK(cluster.map.places[5].generation == 9);
    CHECK(cluster.map.places[6].generation == 0);
    shard_map_clear(&cluster.map);
}

static void a_difference_names_each_place_that_changed(void **state)
{
    (void)state;
    static struct placement_move moves[4];
    struct cluster cluster = make_cluster(8, 4);
    struct shard_map to = {0};
    place_first(&cluster);
    CHECK_OK(shard_map_copy(&to, &cluster.map));
    CHECK(placement_diff(&cluster.map, &to, moves, 4) == 0);
    struct shard_place *place = &to.places[3];
    uint32_t owner = place->replicas[0];
    place->replicas[0] = place->replicas[1];
    place->replicas[1] = owner;
    to.places[9].replicas[2] = 77;
    CHECK(placement_diff(&cluster.map, &to, moves, 4) == 2);
    CHECK(moves[0].shard == 3 && moves[0].is_owner_only);
    CHECK(moves[1].shard == 9 && !moves[1].is_owner_only);
    CHECK(shard_place_is_equal(&moves[1].from, &cluster.map.places[9]));
    CHECK(shard_place_is_equal(&moves[1].to, &to.places[9]));
    moves[1].shard = 1000;
    CHECK(placement_diff(&cluster.map, &to, moves, 1) == 2);
    CHECK(moves[1].shard == 1000);
    shard_map_clear(&to);
    shard_map_clear(&cluster.map);
}

static void balance_is_what_stands_in_the_map(void **state)
{
    (void)state;
    struct cluster cluster = make_cluster(9, 5);
    place_first(&cluster);
    struct shard_balance balance = shard_balance_of(&cluster.map, 5);
    CHECK(balance.owners_max == 26 && balance.replicas_max == 77);
    CHECK(balance.owners_mean == 25.6 && balance.replicas_mean == 76.8);
    balance = shard_balance_of(&(struct shard_map){0}, 0);
    CHECK(balance.owners_max == 0 && balance.replicas_mean == 0);
    shard_map_clear(&cluster.map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_its_bounds_for_1_to_12_nodes),
        cmocka_unit_test(keeps_its_bounds_for_many_nodes),
        cmocka_unit_test(
            a_join_moves_its_fair_share_and_one_replica_of_a_shard),
        cmocka_unit_test(nodes_that_join_together_take_of_different_shards),
        cmocka_unit_test(a_leave_moves_what_the_node_had_and_little_more),
        cmocka_unit_test(keeps_its_bounds_whatever_happens),
        cmocka_unit_test(the_order_of_nodes_does_not_matter),
        cmocka_unit_test(gives_the_places_that_it_always_gave),
        cmocka_unit_test(even_zones_never_hold_a_shard_twice),
        cmocka_unit_test(uneven_zones_are_used_as_far_as_there_is_room),
        cmocka_unit_test(a_node_of_a_new_zone_parts_what_stood_in_one),
        cmocka_unit_test(zones_that_lose_a_node_and_get_one_are_as_good_again),
        cmocka_unit_test(zones_that_have_changed_are_spread_when_asked),
        cmocka_unit_test(a_cordoned_node_keeps_what_it_has_and_takes_nothing),
        cmocka_unit_test(a_new_node_that_is_cordoned_gets_nothing),
        cmocka_unit_test(a_draining_node_gives_all_away),
        cmocka_unit_test(shards_stay_when_no_node_is_left_for_them),
        cmocka_unit_test(less_replication_keeps_owners),
        cmocka_unit_test(the_version_grows_only_with_a_change),
        cmocka_unit_test(a_difference_names_each_place_that_changed),
        cmocka_unit_test(balance_is_what_stands_in_the_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
