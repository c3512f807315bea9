#include "tests/sim/shard_sim_core.h"

#include "base/hash.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_NS (50 * NS_PER_MS)
#define SCHEDULES_EACH 4 /* one run of so many has some */
#define FAULTS_BEGIN_NS (3 * NS_PER_S)
#define FAULTS_END_NS (30 * NS_PER_S)
#define SETTLE_NS (40 * NS_PER_S) /* then all must be well */
#define AWAY_NS NS_PER_S          /* a node that left is off for so long */
#define CUT_NS (7 * NS_PER_S)     /* less than makes a node MEMBER_DOWN */
#define AFTER_NS (3 * NS_PER_S)   /* requests are made for so long again */
#define TASKS_NS (90 * NS_PER_S)  /* then all tasks must have ended */
#define LEAVES 2
#define CALM_EVERY 10 /* looks */

/* ---- telling ---- */

void say(struct sim *sim, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    sim->result.digest =
        hash_bytes(bytes_of_text(text), sim->result.digest + now_ns(sim));
    if (sim->config.trace) {
        (void)fprintf(stderr, "%10.6f %s\n", (double)now_ns(sim) / NS_PER_S,
                      text);
    }
}

void broken(struct sim *sim, const char *checker, const char *format, ...)
{
    if (sim->result.broken[0]) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(sim->result.broken, sizeof sim->result.broken, format,
                    arguments);
    va_end(arguments);
    sim->result.checker = checker;
    say(sim, "BROKEN (%s): %s", checker, sim->result.broken);
}

uint64_t below(struct sim *sim, uint64_t bound)
{
    return seeded_below(world_random(sim->world), bound);
}

bool chance(struct sim *sim, uint32_t percent)
{
    return below(sim, 100) < percent;
}

uint64_t now_ns(const struct sim *sim)
{
    return world_now_ns(sim->world);
}

struct node *some_node(struct sim *sim)
{
    return &sim->nodes[below(sim, sim->node_count)];
}

struct node *some_member(struct sim *sim)
{
    uint32_t first = (uint32_t)below(sim, sim->node_count);
    for (uint32_t i = 0; i < sim->node_count; i++) {
        struct node *node = &sim->nodes[(first + i) % sim->node_count];
        const struct view *view = node->host ? host_view(node->host) : NULL;
        if (view && view->members.count > 0) {
            return node;
        }
    }
    return NULL;
}

/* ---- a world ---- */

static void describe_members(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->node_count; i++) {
        struct settings_member *member = &sim->members[i];
        (void)snprintf(member->name, sizeof member->name, "n%u", i);
        (void)snprintf(member->host, sizeof member->host, "n%u", i);
        (void)snprintf(member->listen, sizeof member->listen, "n%u", i);
        member->port = 7600;
        member->bus_port = 7601;
        member->link_ports = (struct settings_port_range){7602, 7900};
        member->weight = 100;
        member->roles = SETTINGS_VOTER | SETTINGS_SHARD | SETTINGS_WORKER;
    }
}

static void describe_cluster(struct sim *sim)
{
    struct settings_cluster *cluster = &sim->settings.cluster;
    memcpy(cluster->id, sim->authority.cluster_id, sizeof cluster->id);
    (void)snprintf(cluster->name, sizeof cluster->name, "sim");
    cluster->transport = SETTINGS_TCP;
    cluster->shards = sim->shard_count;
    cluster->replication = 3;
    cluster->leaves_replication_open = true; /* it is changed: who joins later
                                                must not claim this one */
    cluster->members = sim->members;
    cluster->member_count = sim->founder_count;
    cluster->pools = sim->pools;
    cluster->pool_count = sim->is_large ? 0 : SIM_POOL_COUNT;
    for (uint32_t i = 0; i < SIM_POOL_COUNT; i++) {
        struct task_pool pool;
        struct settings_pool *settings = &sim->pools[i];
        sim_pool_make(&pool, (enum sim_pool)i);
        memcpy(settings->name, pool.name, sizeof settings->name);
        settings->workers = pool.workers;
        settings->durable = pool.is_durable;
        settings->queue_max = pool.queue_max;
        settings->lease_ms = pool.lease_ms;
        settings->attempts_max = pool.attempts_max;
        settings->retry_backoff_min_ms = pool.backoff_min_ms;
        settings->retry_backoff_max_ms = pool.backoff_max_ms;
    }
}

static void on_turn(void *context, uint32_t machine)
{
    struct sim *sim = context;
    check_turn(&sim->nodes[machine]);
}

void sim_open(struct sim *sim, uint32_t latency_us_max)
{
    sim->world =
        world_open(&(struct world_config){.seed = sim->config.seed,
                                          .machine_count = sim->node_count,
                                          .latency_us_min = 100,
                                          .latency_us_max = latency_us_max});
    sim->members = calloc(sim->node_count, sizeof *sim->members);
    sim->nodes = calloc(sim->node_count, sizeof *sim->nodes);
    assert(sim->members && sim->nodes);
    test_authority_init(&sim->authority, sim->config.seed,
                        clock_wall_ms(world_clock(sim->world, 0)));
    sim->trust = test_trust_make(&sim->authority);
    describe_members(sim);
    describe_cluster(sim);
    memory_open(sim);
    task_memory_open(sim);
    for (uint32_t i = 0; i < sim->node_count; i++) {
        node_make(&sim->nodes[i], sim, i);
    }
    if (!sim->is_large) {
        world_watch(sim->world, on_turn, sim);
    }
}

void sim_close(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->node_count; i++) {
        node_stop(&sim->nodes[i], false);
    }
    backup_clear(sim);
    sim->result.virtual_ns = now_ns(sim);
    world_close(&sim->world);
    for (uint32_t i = 0; i < sim->node_count; i++) {
        node_clear(&sim->nodes[i]);
    }
    memory_close(sim);
    task_memory_close(sim);
    trust_unref(&sim->trust);
    free(sim->nodes);
    free(sim->members);
}

/* ---- phases ---- */

static void enter(struct sim *sim, enum phase phase)
{
    static const char *const names[] = {
        [PHASE_SETTLE] = "faults are over",
        [PHASE_LEAVE] = "a node leaves",
        [PHASE_CUT] = "a node is cut off",
        [PHASE_HEAL] = "it is not any more",
        [PHASE_FINISH] = "no new requests",
        [PHASE_OVER] = "the end",
        [PHASE_LOSE] = "a majority is lost",
        [PHASE_AFTER] = "requests again",
    };
    say(sim, "---- %s", names[phase]);
    sim->phase = phase;
    sim->phase_ns = now_ns(sim);
    if (phase == PHASE_FINISH) {
        begin_minute(sim); /* nothing is to be under way in PHASE_LOSE */
    }
}

static struct node *some_that_is_on(struct sim *sim)
{
    struct node *node = some_node(sim);
    while (!node->host) {
        node = some_node(sim);
    }
    return node;
}

/* Whether all is well; it must be in time. */
static bool has_settled(struct sim *sim)
{
    struct err_detail why = {{0}};
    if (is_whole(sim, &why)) {
        return true;
    }
    if (now_ns(sim) > sim->phase_ns + SETTLE_NS) {
        broken(sim, "calm", "%s, though all is calm", why.text);
    }
    return false;
}

static void begin_leaving(struct sim *sim)
{
    enter(sim, PHASE_LEAVE);
    sim->chosen = some_that_is_on(sim);
    node_leave(sim->chosen);
}

static void step_faults(struct sim *sim)
{
    if (now_ns(sim) >= FAULTS_END_NS) {
        enter(sim, PHASE_SETTLE);
    } else if (now_ns(sim) >= FAULTS_BEGIN_NS) {
        faults_end(sim, false);
        operator_step(sim);
        backup_step(sim);
        if (chance(sim, 8)) {
            break_something(sim);
        } else if (chance(sim, 6)) {
            operate(sim);
        }
    }
}

static void step_settle(struct sim *sim)
{
    faults_end(sim, true);
    if (chance(sim, 100 / CALM_EVERY)) {
        operator_calm(sim);
    }
    backup_step(sim);
    if (has_settled(sim) && backup_is_over(sim)) {
        begin_leaving(sim);
    }
}

static void step_leave(struct sim *sim)
{
    struct node *node = sim->chosen;
    if (node->host && node->is_leaving) {
        node->on_at_ns = now_ns(sim) + AWAY_NS;
        if (now_ns(sim) >= node->leave_until_ns) {
            broken(sim, "leave", "%s does not come to its end", node->name);
        }
    } else if (!node->host) {
        if (now_ns(sim) >= node->on_at_ns) {
            node_start(node);
        }
    } else if (has_settled(sim)) {
        if (++sim->round < LEAVES) {
            begin_leaving(sim);
        } else {
            enter(sim, PHASE_CUT);
            sim->chosen = some_that_is_on(sim);
            cut_off(sim, sim->chosen, true);
        }
    }
}

/* An old leader has stopped leading before anybody asks it for long. */
static void check_cut_off(struct sim *sim)
{
    const struct host *host = sim->chosen->host;
    const struct group *meta = host ? host_group(host, META_GROUP) : NULL;
    if (meta && now_ns(sim) >= sim->phase_ns + NS_PER_S &&
        raft_is_settled(group_raft(meta))) {
        broken(sim, "minority", "%s is cut off and leads the meta group",
               sim->chosen->name);
    }
}

static void step_cut(struct sim *sim)
{
    check_cut_off(sim);
    if (now_ns(sim) >= sim->phase_ns + CUT_NS) {
        enter(sim, PHASE_HEAL);
        cut_off(sim, sim->chosen, false);
    }
}

static void step_heal(struct sim *sim)
{
    if (has_settled(sim)) {
        enter(sim, PHASE_FINISH);
    }
}

/* Whether no task is left; it must be in time. */
static bool have_ended(struct sim *sim)
{
    struct err_detail why = {{0}};
    if (!tasks_are_over(sim, &why)) {
        sim->over_ns = 0;
    } else if (sim->over_ns == 0) {
        sim->over_ns = now_ns(sim);
    } else if (now_ns(sim) >= sim->over_ns + NS_PER_S &&
               books_are_equal(sim, &why)) { /* followers have heard of it */
        return true;
    }
    if (now_ns(sim) > sim->phase_ns + TASKS_NS) {
        broken(sim, "task stuck", "%s, though all is calm", why.text);
    }
    return false;
}

static void step_finish(struct sim *sim)
{
    bool are_asking = false;
    for (uint32_t i = 0; i < sim->node_count; i++) {
        are_asking = are_asking || clients_are_asking(&sim->nodes[i]) ||
                     task_clients_are_asking(&sim->nodes[i]);
    }
    /* Followers hear of the last commit. */
    if (!are_asking && now_ns(sim) >= sim->phase_ns + 2 * NS_PER_S &&
        has_settled(sim) && have_ended(sim)) {
        check_requests(sim);
        check_tasks(sim);
        if (sim->was_lost) {
            enter(sim, PHASE_OVER);
            return;
        }
        enter(sim, PHASE_LOSE);
        sim->was_lost = true;
        disaster_begin(sim);
    }
}

static void step_lose(struct sim *sim)
{
    if (!disaster_step(sim)) {
        if (now_ns(sim) > sim->phase_ns + SETTLE_NS) {
            broken(sim, "recovery", "it does not come to its end");
        }
        return;
    }
    enter(sim, PHASE_AFTER);
    for (uint32_t i = 0; i < sim->node_count; i++) {
        if (sim->nodes[i].host) {
            clients_stop(&sim->nodes[i]);
            clients_start(&sim->nodes[i]);
            task_clients_stop(&sim->nodes[i]);
            task_clients_start(&sim->nodes[i]);
        }
    }
}

static void step_after(struct sim *sim)
{
    if (now_ns(sim) >= sim->phase_ns + AFTER_NS && has_settled(sim)) {
        enter(sim, PHASE_FINISH);
    }
}

static void step(struct sim *sim)
{
    static void (*const steps[])(struct sim * sim) = {
        [PHASE_FAULTS] = step_faults, [PHASE_SETTLE] = step_settle,
        [PHASE_LEAVE] = step_leave,   [PHASE_CUT] = step_cut,
        [PHASE_HEAL] = step_heal,     [PHASE_FINISH] = step_finish,
        [PHASE_LOSE] = step_lose,     [PHASE_AFTER] = step_after,
    };
    for (uint32_t i = 0; i < sim->node_count; i++) {
        node_look(&sim->nodes[i]);
    }
    check_often(sim);
    pass_minutes(sim);
    steps[sim->phase](sim);
}

/* ---- a run ---- */

static void choose(struct sim *sim)
{
    struct seeded dice = {.state = sim->config.seed};
    static const uint32_t shards[] = {4, 8, 8, 12};
    static const uint32_t paddings[] = {0, 0, 100, 600};
    sim->founder_count = 3 + (uint32_t)seeded_below(&dice, 3);
    sim->node_count =
        sim->founder_count +
        (uint32_t)seeded_below(&dice, NODES_MAX - sim->founder_count + 1);
    sim->shard_count = shards[seeded_below(&dice, 4)];
    sim->padding_bytes = paddings[seeded_below(&dice, 4)];
    sim->has_schedules = sim->config.seed % SCHEDULES_EACH == 1;
    sim->requests = calloc(REQUESTS_MAX, sizeof *sim->requests);
    assert(sim->requests);
}

struct shard_sim_result shard_sim_run(const struct shard_sim_config *config)
{
    struct sim *sim = calloc(1, sizeof *sim);
    assert(sim);
    sim->config = *config;
    choose(sim);
    sim_open(sim, LATENCY_US_MAX);
    for (uint32_t i = 0; i < sim->founder_count; i++) {
        node_start(&sim->nodes[i]);
    }
    while (!sim->result.broken[0] && sim->phase != PHASE_OVER) {
        world_run_until(sim->world, now_ns(sim) + LOOK_NS);
        step(sim);
    }
    if (sim->result.broken[0]) {
        tell_groups(sim);
    }
    sim_close(sim);
    struct shard_sim_result result = sim->result;
    free(sim->requests);
    free(sim);
    return result;
}
