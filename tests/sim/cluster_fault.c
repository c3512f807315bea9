/*
 * What goes wrong in the cluster simulator, and the boring things that an
 * operator does meanwhile.
 */

#include "base/time_units.h"
#include "store/raft_configuration.h"
#include "store/wal_format.h"
#include "tests/sim/cluster_sim_core.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_NS (1200 * NS_PER_MS)
#define FREE_BYTES (UINT64_C(1) << 30)

static struct world_pair both_back(struct world_pair pair)
{
    return (struct world_pair){.from = pair.to, .to = pair.from};
}

/* ---- crashes ---- */

static void run_restart(struct sim *sim, struct later *later)
{
    struct node *node = &sim->nodes[later->node];
    if (!node->multiraft && node->life == later->life) {
        node_start(node);
    }
}

static void crash(struct node *node, bool is_power_lost, uint64_t down_ms)
{
    if (!node->multiraft) {
        return;
    }
    node_stop(node, is_power_lost);
    plan_later(node->sim, (1 + below(node->sim, down_ms)) * NS_PER_MS,
               (struct later){.run = run_restart,
                              .node = node->index,
                              .life = node->life});
}

static void fault_crash(struct sim *sim, struct node *node)
{
    crash(node, chance(sim, 70), chance(sim, 70) ? 1500 : 8000);
}

static void fault_restart_all(struct sim *sim, struct node *node)
{
    (void)node;
    bool is_power_lost = chance(sim, 70);
    say(sim, "all end");
    for (uint32_t i = 0; i < sim->plan.node_count; i++) {
        crash(&sim->nodes[i], is_power_lost, 500);
    }
}

static void run_unpause(struct sim *sim, struct later *later)
{
    if (world_is_paused(sim->world, later->node)) {
        say(sim, "n%u goes on", later->node);
        world_pause(sim->world, later->node, false);
    }
}

static void fault_pause(struct sim *sim, struct node *node)
{
    if (node_is_up(node) && !world_is_paused(sim->world, node->index)) {
        say(sim, "n%u stands still", node->index);
        world_pause(sim->world, node->index, true);
        plan_later(sim, (1 + below(sim, 4000)) * NS_PER_MS,
                   (struct later){.run = run_unpause, .node = node->index});
    }
}

/* ---- links ---- */

static void run_unblock(struct sim *sim, struct later *later)
{
    sim_mesh_block(sim->mesh, later->pair, false);
}

static void block(struct sim *sim, struct world_pair pair, uint64_t for_ms)
{
    sim_mesh_block(sim->mesh, pair, true);
    plan_later(sim, for_ms * NS_PER_MS,
               (struct later){.run = run_unblock, .pair = pair});
}

static void block_both(struct sim *sim, struct world_pair pair, uint64_t for_ms)
{
    block(sim, pair, for_ms);
    block(sim, both_back(pair), for_ms);
}

static struct world_pair any_pair(struct sim *sim)
{
    uint32_t count = sim->plan.node_count;
    uint32_t from = (uint32_t)below(sim, count);
    return (struct world_pair){
        .from = from,
        .to = (from + 1 + (uint32_t)below(sim, count - 1)) % count};
}

static void shuffle(struct sim *sim, uint32_t nodes[static NODES_MAX])
{
    uint32_t count = sim->plan.node_count;
    for (uint32_t i = 0; i < count; i++) {
        nodes[i] = i;
    }
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t k = (uint32_t)below(sim, i + 1);
        uint32_t held = nodes[i];
        nodes[i] = nodes[k];
        nodes[k] = held;
    }
}

/* Two sides that do not hear each other, perhaps with a bridge between. */
static void fault_partition(struct sim *sim, struct node *node)
{
    (void)node;
    uint32_t nodes[NODES_MAX];
    uint32_t count = sim->plan.node_count;
    shuffle(sim, nodes);
    uint32_t split = 1 + (uint32_t)below(sim, count - 1);
    uint32_t bridge = chance(sim, 30) ? 1 : 0;
    bool is_one_way = chance(sim, 20);
    uint64_t for_ms = 100 + below(sim, 6000);
    say(sim, "%u of %u nodes are cut off%s%s", split, count,
        bridge ? " but for a bridge" : "", is_one_way ? ", one way" : "");
    for (uint32_t left = 0; left < split; left++) {
        for (uint32_t right = split + bridge; right < count; right++) {
            struct world_pair pair = {nodes[left], nodes[right]};
            block(sim, pair, for_ms);
            if (!is_one_way) {
                block(sim, both_back(pair), for_ms);
            }
        }
    }
}

static void fault_block(struct sim *sim, struct node *node)
{
    (void)node;
    struct world_pair pair = any_pair(sim);
    bool is_one_way = chance(sim, 50);
    uint64_t for_ms = 50 + below(sim, 6000);
    say(sim, "n%u -%s n%u: nothing passes", pair.from, is_one_way ? ">" : "-",
        pair.to);
    block(sim, pair, for_ms);
    if (!is_one_way) {
        block(sim, both_back(pair), for_ms);
    }
}

/* A leader does not hear its followers any more, or they do not hear it, while
 * its clients go on; they learn that it is gone long before itself. */
static void fault_depose(struct sim *sim, struct node *node)
{
    node = operator_leader(sim, any_shard(sim));
    if (!node) {
        return;
    }
    uint64_t for_ms = 50 + below(sim, 4000);
    uint32_t way = (uint32_t)below(sim, 3);
    say(sim, "n%u, a leader, is cut off %s", node->index,
        way == 0   ? "both ways"
        : way == 1 ? "to others"
                   : "from others");
    for (uint32_t i = 0; i < sim->plan.node_count; i++) {
        struct world_pair pair = {.from = node->index, .to = i};
        if (i == node->index) {
            continue;
        }
        if (way != 2) {
            block(sim, pair, for_ms);
        }
        if (way != 1) {
            block(sim, both_back(pair), for_ms);
        }
        if (chance(sim, 80)) {
            sim_mesh_tell(sim->mesh, pair, false);
        }
    }
}

/* ---- strikes at leaders that have only begun ---- */

/* All but some do not hear it, or it does not hear them. */
static void cut_off_most(struct sim *sim, uint32_t node, uint64_t for_ms)
{
    uint32_t kept = (uint32_t)below(sim, 3);
    uint32_t nodes[NODES_MAX];
    bool is_one_way = chance(sim, 30);
    shuffle(sim, nodes);
    for (uint32_t i = 0; i < sim->plan.node_count; i++) {
        struct world_pair pair = {.from = node, .to = nodes[i]};
        if (nodes[i] == node || i < kept) {
            continue;
        }
        block(sim, pair, for_ms);
        if (!is_one_way) {
            block(sim, both_back(pair), for_ms);
        }
        sim_mesh_tell(sim->mesh, pair, false);
    }
}

static void run_strike(struct sim *sim, struct later *later)
{
    struct node *node = &sim->nodes[later->node];
    uint32_t way = (uint32_t)below(sim, sim->plan.is_adverse ? 8 : 4);
    if (sim->are_faults_over || !node_is_up(node)) {
        return;
    }
    say(sim, "n%u is struck: %u", node->index, way);
    if (way == 0) {
        crash(node, true, 400);
    } else if (way == 1) {
        const struct shard *shard = &sim->shards[later->shard];
        uint32_t other = shard->wanted[below(sim, shard->wanted_count)];
        crash(&sim->nodes[other], true, 30);
    } else {
        cut_off_most(sim, node->index,
                     50 + below(sim, 3 * sim->plan.election_ns / NS_PER_MS));
    }
}

void faults_tempt(struct sim *sim, uint32_t shard, uint32_t node)
{
    if (sim->shards[shard].strikes > 0 && !sim->are_faults_over) {
        sim->shards[shard].strikes--;
        plan_later(
            sim,
            chance(sim, 40) ? 0
                            : below(sim, 25) * NS_PER_MS / (1 + below(sim, 8)),
            (struct later){.run = run_strike, .node = node, .shard = shard});
    }
}

/* Whoever comes to lead a shard is struck soon, some times; first of all, who
 * does now. */
static void fault_hunt(struct sim *sim, struct node *node)
{
    uint32_t shard = any_shard(sim);
    say(sim, "leaders of g%u are hunted", shard);
    if (sim->shards[shard].strikes == 0) {
        sim->shards[shard].strikes = 3 + (uint32_t)below(sim, 8);
    }
    if (chance(sim, 30)) {
        operator_move(sim, shard);
        return; /* and wait for the change of members */
    }
    node = operator_leader(sim, shard);
    if (node) {
        faults_tempt(sim, shard, node->index);
    }
}

static void run_flap(struct sim *sim, struct later *later)
{
    block_both(sim, later->pair, 1 + below(sim, 150));
    if (later->count > 0) {
        plan_later(sim, (200 + below(sim, 200)) * NS_PER_MS,
                   (struct later){.run = run_flap,
                                  .pair = later->pair,
                                  .count = later->count - 1});
    }
}

static void fault_flap(struct sim *sim, struct node *node)
{
    (void)node;
    struct later later = {.pair = any_pair(sim), .count = 4 + below(sim, 12)};
    say(sim, "n%u - n%u flaps", later.pair.from, later.pair.to);
    run_flap(sim, &later);
}

static void run_isolate(struct sim *sim, struct later *later)
{
    for (uint32_t i = 0; i < sim->plan.node_count; i++) {
        if (i != later->node) {
            block_both(sim, (struct world_pair){later->node, i}, later->count);
        }
    }
}

/* Nodes are cut off one by one, and come back in another order. */
static void fault_swizzle(struct sim *sim, struct node *node)
{
    (void)node;
    uint32_t out[NODES_MAX];
    uint32_t back[NODES_MAX];
    shuffle(sim, out);
    shuffle(sim, back);
    uint32_t count = 1 + (uint32_t)below(sim, sim->plan.node_count);
    uint64_t step_ms = 50 + below(sim, 400);
    say(sim, "%u nodes are cut off one by one", count);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t at_ms = i * step_ms;
        uint64_t until_ms = (count + back[i] + 1) * step_ms;
        plan_later(sim, at_ms * NS_PER_MS,
                   (struct later){.run = run_isolate,
                                  .node = out[i],
                                  .count = until_ms - at_ms});
    }
}

static void fault_hint(struct sim *sim, struct node *node)
{
    struct world_pair pair = any_pair(sim);
    (void)node;
    sim_mesh_tell(sim->mesh, pair, chance(sim, 50));
}

static void run_path(struct sim *sim, struct later *later)
{
    struct sim_mesh_path *path = sim_mesh_path(sim->mesh, later->pair);
    path->delay_us_max = (uint32_t)later->count;
}

static void fault_delay(struct sim *sim, struct node *node)
{
    (void)node;
    struct world_pair pair = any_pair(sim);
    struct sim_mesh_path *path = sim_mesh_path(sim->mesh, pair);
    uint32_t before = path->delay_us_max;
    path->delay_us_max = before + (uint32_t)below(sim, 400000);
    say(sim, "n%u -> n%u is slow: %u us", pair.from, pair.to,
        path->delay_us_max);
    if (before < 10000) {
        plan_later(
            sim, (500 + below(sim, 4000)) * NS_PER_MS,
            (struct later){.run = run_path, .pair = pair, .count = before});
    }
}

/* ---- clocks ---- */

static void fault_clock(struct sim *sim, struct node *node)
{
    int64_t ms = (int64_t)below(sim, 480000) - 240000;
    say(sim, "n%u: the wall clock jumps", node->index);
    world_skew(sim->world, node->index, ms);
    if (sim->plan.has_drift) {
        int32_t ppm = (int32_t)below(sim, 400000) - 200000;
        say(sim, "n%u: the clock is %d ppm too fast", node->index, ppm);
        world_drift(sim->world, node->index, ppm);
    }
}

/* ---- disks ---- */

static void run_room(struct sim *sim, struct later *later)
{
    struct node *node = &sim->nodes[later->node];
    sim_disk_fill(node->disk, FREE_BYTES);
}

static void fault_full(struct sim *sim, struct node *node)
{
    uint64_t left = below(sim, 2) * below(sim, 300000);
    say(sim, "n%u: the disk has room for %" PRIu64 " bytes", node->index, left);
    node->is_harmed = true;
    sim_disk_fill(node->disk, left);
    plan_later(sim, (200 + below(sim, 3000)) * NS_PER_MS,
               (struct later){.run = run_room, .node = node->index});
}

static void fault_disk_error(struct sim *sim, struct node *node)
{
    say(sim, "n%u: the disk fails once", node->index);
    node->is_harmed = true;
    if (chance(sim, 70)) {
        sim_disk_fail_next_sync(node->disk);
    } else {
        sim_disk_fail_next_write(node->disk);
    }
}

static void run_disk_speed(struct sim *sim, struct later *later)
{
    sim_executor_delay(sim->nodes[later->node].writer, 0);
}

static void fault_slow_disk(struct sim *sim, struct node *node)
{
    uint64_t ms = 1 + below(sim, 100);
    say(sim, "n%u: the disk takes %" PRIu64 " ms", node->index, ms);
    sim_executor_delay(node->writer, ms * NS_PER_MS);
    plan_later(sim, (500 + below(sim, 5000)) * NS_PER_MS,
               (struct later){.run = run_disk_speed, .node = node->index});
}

/* ---- damage ---- */

struct segments {
    char names[256][DISK_NAME_BYTES];
    uint32_t count;
};

static void visit_segment(void *visitor, const char *name)
{
    struct segments *list = visitor;
    uint64_t number;
    if (list->count < 256 && wal_format_parse_name(&number, name)) {
        memcpy(list->names[list->count++], name, strlen(name) + 1);
    }
}

/* Where the last batch in a segment begins; what stands there cannot be told
 * from a torn tail. */
static uint64_t last_batch_at(const struct node *node, const char *name)
{
    struct bytes content = sim_disk_content(node->disk, name);
    struct wal_format_place place = {.disk_id = node->disk_id,
                                     .offset = WAL_FORMAT_PLAIN_BYTES};
    struct wal_format_batch batch;
    uint64_t last = 0;
    (void)wal_format_parse_name(&place.segment, name);
    while (place.offset + WAL_FORMAT_BATCH_BYTES <= content.length &&
           wal_format_batch_decode(
               &batch, &place,
               bytes_of(content.data + place.offset, WAL_FORMAT_BATCH_BYTES))) {
        last = place.offset;
        place.offset += wal_format_batch_bytes(batch.body_bytes);
    }
    return last;
}

static void flip(struct sim *sim, struct node *node)
{
    struct segments *list = calloc(1, sizeof *list);
    const struct disk *disk = sim_disk_table(node->disk);
    assert(list);
    enum err err = disk->list(disk->context, visit_segment, list);
    if (!err && list->count > 0) {
        uint32_t i = (uint32_t)below(sim, list->count);
        uint64_t end = i + 1 < list->count
                           ? sim_disk_content(node->disk, list->names[i]).length
                           : last_batch_at(node, list->names[i]);
        if (end > 0) {
            uint64_t at = below(sim, end);
            say(sim, "n%u: a bit of %s flips at %" PRIu64, node->index,
                list->names[i], at);
            (void)sim_disk_flip(node->disk, list->names[i], at);
        }
    }
    free(list);
}

/* The node loses what it had promised to keep. */
static void fault_damage(struct sim *sim, struct node *node)
{
    if (!sim->plan.has_damage || !operator_may_lose(sim, node->index)) {
        return;
    }
    uint64_t kind = below(sim, 5);
    crash(node, kind < 2, 1500);
    if (node->multiraft) {
        return;
    }
    node->is_suspect = true;
    memset(node->whole, 0, sizeof node->whole);
    if (kind == 0) {
        node_wipe(node);
    } else if (kind < 3) {
        flip(sim, node);
    } else if (kind == 3) {
        say(sim, "n%u: its rows are gone", node->index);
        sim_kv_wipe(node->kv);
    } else {
        say(sim, "n%u: its rows are damaged", node->index);
        sim_kv_damage(node->kv);
    }
}

/* ---- boring things ---- */

static void run_snapshot(struct node *node, struct errand *errand)
{
    struct group *group = node->replicas[errand->shard].group;
    if (group) {
        enum err err = group_snapshot(group);
        say(node->sim, "n%u g%u: a snapshot: %s", node->index, errand->shard,
            err_text(err));
    }
}

static void fault_snapshot(struct sim *sim, struct node *node)
{
    if (node_is_up(node)) {
        struct errand *errand = make_errand(node, run_snapshot, 0);
        errand->shard = any_shard(sim);
        post_errand(errand);
    }
}

static void run_transfer(struct node *node, struct errand *errand)
{
    struct group *group = node->replicas[errand->shard].group;
    if (group) {
        enum err err = group_transfer(group, errand->number);
        say(node->sim, "n%u g%u: transfer to %" PRIu64 ": %s", node->index,
            errand->shard, errand->number, err_text(err));
    }
}

static void run_order(struct sim *sim, struct later *later)
{
    struct node *node = &sim->nodes[later->node];
    if (node_is_up(node)) {
        struct errand *errand = make_errand(node, run_transfer, 0);
        errand->shard = later->shard;
        errand->number = later->count;
        post_errand(errand);
    }
}

/* Only `pair.to` hears the leader, `pair.from`, any more; the others stand for
 * election. */
static void panic(struct sim *sim, struct world_pair pair)
{
    for (uint32_t i = 0; i < sim->plan.node_count; i++) {
        struct world_pair other = {.from = pair.from, .to = i};
        if (i != pair.from && i != pair.to) {
            block(sim, other, sim->plan.election_ns / NS_PER_MS / 2);
            sim_mesh_tell_now(sim->mesh, other, false);
        }
    }
}

static bool somebody_stands(const struct sim *sim, uint32_t shard)
{
    for (uint32_t i = 0; i < sim->plan.node_count; i++) {
        const struct node *node = &sim->nodes[i];
        const struct group *group =
            node->multiraft ? node->replicas[shard].group : NULL;
        enum raft_role role =
            group ? raft_role(group_raft(group)) : RAFT_FOLLOWER;
        if (role == RAFT_PRE_CANDIDATE || role == RAFT_CANDIDATE) {
            return true;
        }
    }
    return false;
}

/* Transfer in the very moment in which another stands for election. */
static void run_ambush(struct sim *sim, struct later *later)
{
    struct later order = *later;
    bool is_time = somebody_stands(sim, later->shard);
    order.run = is_time ? run_order : run_ambush;
    order.attempt--;
    if (is_time || later->attempt > 0) {
        plan_later(sim, is_time ? below(sim, 4 * NS_PER_MS) : NS_PER_MS / 2,
                   order);
    }
}

/* Perhaps while all others believe that the leader is gone. */
static void fault_transfer(struct sim *sim, struct node *node)
{
    uint32_t shard = (uint32_t)below(sim, sim->plan.shard_count);
    node = operator_leader(sim, shard);
    if (!node) {
        return;
    }
    const struct raft_configuration *members =
        raft_newest_configuration(group_raft(node->replicas[shard].group));
    const struct raft_member *target =
        &members->members[below(sim, members->count)];
    struct later order = {.run = run_order,
                          .node = node->index,
                          .shard = shard,
                          .count = target->number};
    if (chance(sim, 60)) {
        panic(sim, (struct world_pair){node->index, target->node});
        order.run = run_ambush;
        order.attempt = 2 * sim->plan.election_ns / NS_PER_MS;
    }
    plan_later(sim, 0, order);
}

static void fault_move(struct sim *sim, struct node *node)
{
    (void)node;
    operator_move(sim, any_shard(sim));
}

/* ---- the menu ---- */

static const struct {
    void (*run)(struct sim *sim, struct node *node);
    uint32_t weight;
} menu[] = {
    {fault_crash, 20},     {fault_restart_all, 2}, {fault_pause, 8},
    {fault_partition, 12}, {fault_block, 8},       {fault_flap, 4},
    {fault_swizzle, 3},    {fault_hint, 6},        {fault_delay, 6},
    {fault_clock, 4},      {fault_full, 3},        {fault_disk_error, 4},
    {fault_slow_disk, 5},  {fault_damage, 12},     {fault_snapshot, 10},
    {fault_transfer, 16},  {fault_move, 6},        {fault_depose, 22},
    {fault_hunt, 14},
};

static void run_fault(struct sim *sim, struct later *later)
{
    (void)later;
    if (sim->are_faults_over) {
        return;
    }
    uint32_t total = 0;
    for (size_t i = 0; i < sizeof menu / sizeof menu[0]; i++) {
        total += menu[i].weight;
    }
    uint32_t pick = (uint32_t)below(sim, total);
    size_t at = 0;
    while (pick >= menu[at].weight) {
        pick -= menu[at++].weight;
    }
    sim->result.faults++;
    note(sim, at);
    struct node *leader = operator_leader(sim, any_shard(sim));
    menu[at].run(sim, leader && chance(sim, 30)
                          ? leader
                          : &sim->nodes[below(sim, sim->plan.node_count)]);
    plan_later(sim, (1 + below(sim, 2 * sim->plan.fault_pause_ms)) * NS_PER_MS,
               (struct later){.run = run_fault});
}

void faults_start(struct sim *sim)
{
    sim->shards[0].strikes = sim->plan.is_adverse ? UINT32_MAX : 0;
    plan_later(sim, FIRST_NS, (struct later){.run = run_fault});
}

void faults_end(struct sim *sim)
{
    say(sim, "faults are over");
    sim_mesh_heal(sim->mesh);
    for (uint32_t i = 0; i < sim->plan.node_count; i++) {
        struct node *node = &sim->nodes[i];
        sim_disk_fill(node->disk, FREE_BYTES);
        sim_executor_delay(node->writer, 0);
        world_drift(sim->world, i, 0);
        if (world_is_paused(sim->world, i)) {
            world_pause(sim->world, i, false);
        }
        if (!node->multiraft) {
            node_start(node);
        }
    }
}
