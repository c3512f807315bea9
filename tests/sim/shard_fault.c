/*
 * What goes wrong in the simulator of shards. Each fault ends after a while.
 */

#include "store/wal_format.h"
#include "tests/sim/shard_sim_core.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FREE_BYTES (UINT64_C(1) << 30)
#define SEGMENTS_MAX 64

/* Schedules count minutes, of which a run has one. More do not pass than
 * results are kept for. */
#define PASSED_MS_MAX (40 * 60 * MS_PER_S)
#define PASS_OF_1000 20 /* at each look */
#define MINUTE_MS (60 * MS_PER_S)
#define SKEW_MS_MAX (10 * MS_PER_S)

static uint64_t in_ms(struct sim *sim, uint64_t ms)
{
    return now_ns(sim) + (1 + below(sim, ms)) * NS_PER_MS;
}

/* ---- crashes ---- */

static uint32_t off_count(const struct sim *sim)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < sim->node_count; i++) {
        count += sim->nodes[i].is_member && !sim->nodes[i].host;
    }
    return count;
}

static void crash(struct sim *sim, struct node *node)
{
    if (node->host && (off_count(sim) == 0 || chance(sim, 20))) {
        node_stop(node, chance(sim, 50));
        node->on_at_ns = in_ms(sim, chance(sim, 80) ? 3000 : 12000);
    }
}

static void restart_all(struct sim *sim, struct node *node)
{
    bool is_power_lost = chance(sim, 70);
    (void)node;
    say(sim, "all end");
    for (uint32_t i = 0; i < sim->node_count; i++) {
        if (sim->nodes[i].host) {
            node_stop(&sim->nodes[i], is_power_lost);
            sim->nodes[i].on_at_ns = in_ms(sim, 2000);
        }
    }
}

static void leave(struct sim *sim, struct node *node)
{
    if (off_count(sim) == 0) {
        node_leave(node);
        node->on_at_ns = in_ms(sim, 4000);
    }
}

static void stand(struct sim *sim, struct node *node)
{
    if (node->host && node->stands_until_ns == 0) {
        say(sim, "%s stands still", node->name);
        world_pause(sim->world, node->index, true);
        node->stands_until_ns = in_ms(sim, 4000);
    }
}

/* ---- connections ---- */

static void block(struct sim *sim, uint32_t from, uint32_t to)
{
    world_block(sim->world, (struct world_pair){.from = from, .to = to}, true);
}

static void block_one(struct sim *sim, struct node *node)
{
    const struct node *other = some_node(sim);
    bool is_one_way = chance(sim, 60);
    if (node == other) {
        return;
    }
    say(sim, "%s -%s %s: nothing passes", node->name, is_one_way ? ">" : "-",
        other->name);
    block(sim, node->index, other->index);
    if (!is_one_way) {
        block(sim, other->index, node->index);
    }
}

static void cut(struct sim *sim, struct node *node)
{
    const struct node *other = some_node(sim);
    if (node != other) {
        say(sim, "%s - %s: cut", node->name, other->name);
        world_cut(sim->world,
                  (struct world_pair){.from = node->index, .to = other->index});
    }
}

/* Two sides, perhaps one way. */
static void partition(struct sim *sim, struct node *node)
{
    uint64_t side = 1 + below(sim, (UINT64_C(1) << sim->node_count) - 2);
    bool is_one_way = chance(sim, 25);
    (void)node;
    say(sim, "two sides, %" PRIx64 "%s", side, is_one_way ? ", one way" : "");
    for (uint32_t from = 0; from < sim->node_count; from++) {
        for (uint32_t to = 0; to < sim->node_count; to++) {
            bool is_left = side >> from & 1;
            if (is_left != (side >> to & 1) && (is_left || !is_one_way)) {
                block(sim, from, to);
            }
        }
    }
}

void cut_off(struct sim *sim, const struct node *node, bool is_cut)
{
    for (uint32_t i = 0; i < sim->node_count; i++) {
        if (i != node->index) {
            struct world_pair to = {.from = node->index, .to = i};
            struct world_pair from = {.from = i, .to = node->index};
            world_block(sim->world, to, is_cut);
            world_block(sim->world, from, is_cut);
        }
    }
}

/* One by one they are cut off, and come back in another order. */
static void swizzle(struct sim *sim, struct node *node)
{
    (void)node;
    say(sim, "one after the other is cut off");
    for (uint32_t i = 0; i < sim->node_count; i++) {
        struct node *other = &sim->nodes[i];
        if (chance(sim, 60)) {
            cut_off(sim, other, true);
            other->cut_until_ns = in_ms(sim, 5000);
        }
    }
}

static void slow(struct sim *sim, struct node *node)
{
    const struct node *other = some_node(sim);
    struct world_pair pair = {.from = node->index, .to = other->index};
    world_delay(sim->world, pair, below(sim, 300) * NS_PER_MS);
}

static void unblock(struct sim *sim, struct node *node)
{
    (void)node;
    say(sim, "all connections may pass");
    world_unblock_all(sim->world);
}

/* ---- clocks ---- */

static void jump(struct sim *sim, struct node *node)
{
    node->skew_ms = (int64_t)below(sim, 2 * SKEW_MS_MAX) - SKEW_MS_MAX;
    world_skew(sim->world, node->index, sim->passed_ms + node->skew_ms);
}

static void go_ahead(struct sim *sim, int64_t ms)
{
    sim->passed_ms += ms;
    for (uint32_t i = 0; i < sim->node_count; i++) {
        world_skew(sim->world, i, sim->passed_ms + sim->nodes[i].skew_ms);
    }
}

void pass_minutes(struct sim *sim)
{
    if (sim->has_schedules && sim->phase < PHASE_FINISH &&
        sim->passed_ms < PASSED_MS_MAX && below(sim, 1000) < PASS_OF_1000) {
        go_ahead(sim, (int64_t)(1 + below(sim, 2)) * MINUTE_MS);
    }
}

void begin_minute(struct sim *sim)
{
    int64_t now_ms = WORLD_WALL_START_MS + sim->passed_ms +
                     (int64_t)(now_ns(sim) / NS_PER_MS);
    if (sim->has_schedules) {
        go_ahead(sim, MINUTE_MS - now_ms % MINUTE_MS + SKEW_MS_MAX);
    }
}

static void drift(struct sim *sim, struct node *node)
{
    int32_t ppm = (int32_t)below(sim, 200000) - 100000;
    say(sim, "%s: the clock is %d ppm too fast", node->name, ppm);
    world_drift(sim->world, node->index, ppm);
}

/* ---- disks ---- */

static void fill(struct sim *sim, struct node *node)
{
    uint64_t left = below(sim, 2) * below(sim, 100000);
    say(sim, "%s: the disk has room for %" PRIu64 " bytes", node->name, left);
    sim_disk_fill(node->disk, left);
    node->disk_until_ns = in_ms(sim, 3000);
}

static void fail_disk(struct sim *sim, struct node *node)
{
    say(sim, "%s: the disk fails once", node->name);
    if (chance(sim, 60)) {
        sim_disk_fail_next_sync(node->disk);
    } else {
        sim_disk_fail_next_write(node->disk);
    }
}

static void slow_disk(struct sim *sim, struct node *node)
{
    uint64_t ms = 1 + below(sim, 200);
    say(sim, "%s: the disk takes %" PRIu64 " ms", node->name, ms);
    sim_executor_delay(node->writer, ms * NS_PER_MS);
    node->disk_until_ns = in_ms(sim, 4000);
}

struct segments {
    char names[SEGMENTS_MAX][DISK_NAME_BYTES];
    uint32_t count;
};

static void visit_file(void *visitor, const char *name)
{
    struct segments *list = visitor;
    uint64_t number;
    if (list->count < SEGMENTS_MAX && wal_format_parse_name(&number, name)) {
        memcpy(list->names[list->count++], name, strlen(name) + 1);
    }
}

/* In the first half of one: what is damaged at its end cannot be told from a
 * write that was torn. */
static void damage_segment(struct sim *sim, struct node *node)
{
    struct segments *list = calloc(1, sizeof *list);
    const struct disk *disk = sim_disk_table(node->disk);
    assert(list);
    if (!disk->list(disk->context, visit_file, list) && list->count > 0) {
        const char *name = list->names[below(sim, list->count)];
        size_t length = sim_disk_content(node->disk, name).length;
        if (length > 1) {
            uint64_t at = below(sim, length / 2);
            say(sim, "%s: a bit of %s flips at %" PRIu64, node->name, name, at);
            (void)sim_disk_flip(node->disk, name, at);
        }
    }
    free(list);
}

/* One at a time is what replication bears: the next one when all groups have
 * all their replicas again. */
static void lose(struct sim *sim, struct node *node)
{
    if (!node->host || !node->is_member || off_count(sim) > 0 ||
        !may_lose_disk(sim)) {
        return;
    }
    uint64_t kind = below(sim, 6);
    node_stop(node, false);
    node->on_at_ns = in_ms(sim, 2000);
    node->is_harmed = true;
    sim->memory.lost_ns = now_ns(sim);
    sim->result.lost++;
    if (kind < 2) {
        node_wipe(node);
    } else if (kind < 4) {
        damage_segment(sim, node);
    } else {
        say(sim, "%s: its rows are gone", node->name);
        sim_kv_wipe(node->kv);
    }
}

/* ---- the menu ---- */

static const struct {
    void (*run)(struct sim *sim, struct node *node);
    uint32_t weight;
} menu[] = {
    {crash, 20},     {restart_all, 2}, {leave, 8},     {stand, 10},
    {block_one, 10}, {cut, 8},         {partition, 6}, {swizzle, 3},
    {slow, 5},       {unblock, 24},    {jump, 4},      {drift, 4},
    {fill, 3},       {fail_disk, 3},   {slow_disk, 5}, {lose, 20},
};

void break_something(struct sim *sim)
{
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
    menu[at].run(sim, some_node(sim));
}

static bool is_over(const struct sim *sim, uint64_t until_ns, bool all)
{
    return until_ns != 0 && (all || now_ns(sim) >= until_ns);
}

static void end_of_node(struct sim *sim, struct node *node, bool all)
{
    if (is_over(sim, node->stands_until_ns, all)) {
        say(sim, "%s goes on", node->name);
        world_pause(sim->world, node->index, false);
        node->stands_until_ns = 0;
        node->excused_until_ns = now_ns(sim) + 500 * NS_PER_MS;
    }
    if (is_over(sim, node->disk_until_ns, all)) {
        sim_disk_fill(node->disk, FREE_BYTES);
        sim_executor_delay(node->writer, 0);
        node->disk_until_ns = 0;
    }
    if (is_over(sim, node->cut_until_ns, all)) {
        cut_off(sim, node, false);
        node->cut_until_ns = 0;
    }
    if (node->is_member && !node->host && sim->retirement.node != node &&
        (all || now_ns(sim) >= node->on_at_ns)) {
        node_start(node);
    }
}

void faults_end(struct sim *sim, bool all)
{
    if (all) {
        world_unblock_all(sim->world);
    }
    for (uint32_t i = 0; i < sim->node_count; i++) {
        if (all) {
            world_drift(sim->world, i, 0);
        }
        end_of_node(sim, &sim->nodes[i], all);
    }
}
