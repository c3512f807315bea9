/*
 * A large cluster in the simulator of shards, and what it costs.
 */

#include "shard/placement.h"
#include "tests/sim/shard_sim_core.h"
#include "transport/bus.h"
#include "transport/endpoint.h"

#include <assert.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define LARGE_LATENCY_US_MAX 500
#define LOOK_NS (100 * NS_PER_MS)
#define PATIENCE_NS (180 * NS_PER_S)
#define IDLE_NS (10 * NS_PER_S)

/* Of all nodes, since they began. */
struct traffic {
    uint64_t at_ns;
    uint64_t messages; /* on links: all channels */
    uint64_t bytes;
    uint64_t frames;
    uint64_t calls;
    uint64_t digests; /* on the bus */
};

static struct traffic count_traffic(const struct sim *sim)
{
    struct traffic sum = {.at_ns = now_ns(sim)};
    for (uint32_t i = 0; i < sim->node_count; i++) {
        const struct node *node = &sim->nodes[i];
        if (!node->host) {
            continue;
        }
        const struct bus_stats *bus = endpoint_bus_stats(node->endpoint);
        sum.digests += bus ? bus->sent : 0;
        sum.calls += calls_stats(node->calls)->asked;
        for (uint32_t number = 0; number < sim->node_count; number++) {
            const struct peer *peer = host_peer(node->host, number);
            if (peer) {
                sum.messages += peer_stats(peer)->messages_out;
                sum.bytes += peer_stats(peer)->bytes_out;
                sum.frames += peer_stats(peer)->frames_out;
            }
        }
    }
    return sum;
}

/* ---- whether it has converged ---- */

static const struct node *node_with_number(const struct sim *sim,
                                           uint32_t number)
{
    for (uint32_t i = 0; i < sim->node_count; i++) {
        const struct node *node = &sim->nodes[i];
        if (node->host && host_number(node->host) == number) {
            return node;
        }
    }
    return NULL;
}

static const struct raft *led_by_owner(const struct node *const *by_number,
                                       const struct shard_place *place,
                                       uint32_t shard)
{
    const struct node *owner = by_number[place->replicas[0]];
    const struct group *group =
        owner ? host_group(owner->host, shard_group_id(shard)) : NULL;
    return group && raft_is_settled(group_raft(group)) ? group_raft(group)
                                                       : NULL;
}

static bool is_placed(const struct node *const *by_number,
                      const struct shard_place *place,
                      uint32_t shard)
{
    const struct raft *raft = led_by_owner(by_number, place, shard);
    if (!raft) {
        return false;
    }
    const struct raft_configuration *members =
        raft_committed_configuration(raft);
    bool is_there = members->count == place->replica_count;
    for (uint32_t i = 0; i < members->count; i++) {
        is_there = is_there && members->members[i].is_voter &&
                   shard_place_has(place, members->members[i].node);
    }
    return is_there;
}

static bool is_as_wanted(const struct view *view)
{
    struct shard_map wanted = {0};
    enum err err = host_wanted_map(view, &wanted);
    assert(!err);
    uint32_t left = placement_diff(&view->map, &wanted, NULL, 0);
    shard_map_clear(&wanted);
    return left == 0;
}

static bool have_one_view(const struct sim *sim, const struct view **out)
{
    const struct view *newest = NULL;
    for (uint32_t i = 0; i < sim->node_count; i++) {
        const struct node *node = &sim->nodes[i];
        const struct view *view = node->host ? host_view(node->host) : NULL;
        if (node->host && (!view || host_number(node->host) == MEMBER_NONE ||
                           (newest && view->version != newest->version))) {
            return false;
        }
        newest = view ? view : newest;
    }
    *out = newest;
    return newest != NULL;
}

static bool has_converged(const struct sim *sim, uint32_t members_active)
{
    const struct node *by_number[MEMBER_NUMBERS_MAX] = {0};
    const struct view *view = NULL;
    if (!have_one_view(sim, &view) || !view->is_founded) {
        return false;
    }
    uint32_t active = 0;
    for (uint32_t i = 0; i < view->members.count; i++) {
        const struct member *member = &view->members.list[i];
        active += member->state == MEMBER_ACTIVE;
        by_number[member->number] = node_with_number(sim, member->number);
    }
    for (uint32_t i = 0; i < sim->shard_count; i++) {
        if (!is_placed(by_number, &view->map.places[i], i)) {
            return false;
        }
    }
    return active == members_active && is_as_wanted(view);
}

static bool are_all_led(struct sim *sim)
{
    for (uint32_t id = 0; id <= sim->shard_count; id++) {
        if (!leader_of(sim, id)) {
            return false;
        }
    }
    return true;
}

/* ---- telling ---- */

static double seconds_of(uint64_t ns)
{
    return (double)ns / NS_PER_S;
}

static void print_one(const struct shard_scale *scale,
                      const char *what,
                      const char *unit,
                      double value)
{
    if (scale->as_json) {
        (void)printf("{\"case\":\"map-converge-%u\",\"peer\":\"troupe\","
                     "\"what\":\"%s\",\"unit\":\"%s\",\"value\":%.3f,"
                     "\"shards\":%u}\n",
                     scale->node_count, what, unit, value, scale->shard_count);
    } else {
        (void)printf("%-36s %14.1f %s\n", what, value, unit);
    }
    (void)fflush(stdout);
}

static void print_traffic(const struct shard_scale *scale,
                          const char *when,
                          const struct traffic *from,
                          const struct traffic *to)
{
    const struct {
        const char *what;
        uint64_t count;
    } lines[] = {
        {"messages", to->messages - from->messages},
        {"bytes", to->bytes - from->bytes},
        {"frames", to->frames - from->frames},
        {"calls", to->calls - from->calls},
        {"digests", to->digests - from->digests},
    };
    double per = seconds_of(to->at_ns - from->at_ns) * scale->node_count;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char what[64];
        (void)snprintf(what, sizeof what, "%s: %s", when, lines[i].what);
        print_one(scale, what, "per node and second",
                  (double)(int64_t)lines[i].count / per);
    }
}

/* ---- a change ---- */

static bool await(struct sim *sim,
                  const struct shard_scale *scale,
                  const char *what,
                  uint32_t members_active)
{
    struct traffic from = count_traffic(sim);
    while (!has_converged(sim, members_active)) {
        if (now_ns(sim) - from.at_ns > PATIENCE_NS) {
            (void)printf("%s: not within %.0f s\n", what,
                         seconds_of(PATIENCE_NS));
            return false;
        }
        world_run_until(sim->world, now_ns(sim) + LOOK_NS);
    }
    struct traffic to = count_traffic(sim);
    print_one(scale, what, "s", seconds_of(to.at_ns - from.at_ns));
    print_traffic(scale, what, &from, &to);
    return true;
}

static void idle(struct sim *sim, const struct shard_scale *scale)
{
    struct traffic from = count_traffic(sim);
    world_run_until(sim->world, from.at_ns + IDLE_NS);
    struct traffic to = count_traffic(sim);
    print_traffic(scale, "idle", &from, &to);
}

/* Without warning: first others lead, later it has new replicas elsewhere. */
static bool lose_one(struct sim *sim, const struct shard_scale *scale)
{
    uint64_t from_ns = now_ns(sim);
    node_stop(&sim->nodes[sim->node_count / 2], true);
    while (!are_all_led(sim) && now_ns(sim) - from_ns < PATIENCE_NS) {
        world_run_until(sim->world, now_ns(sim) + LOOK_NS);
    }
    print_one(scale, "lost: all shards are led", "s",
              seconds_of(now_ns(sim) - from_ns));
    return await(sim, scale, "lost: the map has converged",
                 sim->node_count - 1);
}

static bool measure(struct sim *sim, const struct shard_scale *scale)
{
    uint32_t founders = sim->founder_count;
    size_t before = mallinfo2().uordblks;
    for (uint32_t i = 0; i < founders; i++) {
        node_start(&sim->nodes[i]);
    }
    if (!await(sim, scale, "found", founders)) {
        return false;
    }
    idle(sim, scale);
    print_one(scale, "memory, simulated disks too", "KiB per node",
              (double)(mallinfo2().uordblks - before) / founders / 1024);
    sim->nodes[founders].is_member = true;
    node_start(&sim->nodes[founders]);
    return await(sim, scale, "join", sim->node_count) && lose_one(sim, scale);
}

bool shard_sim_scale(const struct shard_scale *scale)
{
    struct sim *sim = calloc(1, sizeof *sim);
    assert(sim);
    sim->config.seed = 1;
    sim->is_large = true;
    sim->founder_count = scale->node_count - 1;
    sim->node_count = scale->node_count;
    sim->shard_count = scale->shard_count;
    sim_open(sim, LARGE_LATENCY_US_MAX);
    bool is_good = measure(sim, scale);
    sim_close(sim);
    free(sim);
    return is_good;
}
