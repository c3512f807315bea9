#include "tests/sim/cluster_sim_core.h"

#include "base/owner.h"
#include "base/time_units.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAULTS_END_NS (30 * NS_PER_S)
#define SETTLE_NS (20 * NS_PER_S) /* and 20 election timeouts */
#define CATCH_UP_NS (60 * NS_PER_S)
#define OPERATIONS_MIN 550
#define LOOK_NS (100 * NS_PER_MS)

/* ---- saying ---- */

void say(struct sim *sim, const char *format, ...)
{
    if (!sim->config.trace) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)fprintf(stderr, "%9.4f ",
                  (double)world_now_ns(sim->world) / (double)NS_PER_S);
    (void)vfprintf(stderr, format, arguments);
    (void)fputc('\n', stderr);
    va_end(arguments);
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

void note(struct sim *sim, uint64_t value)
{
    uint64_t words[2] = {value, world_now_ns(sim->world)};
    sim->history = hash_bytes(bytes_of((const uint8_t *)words, sizeof words),
                              sim->history);
}

uint64_t below(struct sim *sim, uint64_t bound)
{
    return seeded_below(sim->random, bound);
}

bool chance(struct sim *sim, uint32_t percent)
{
    return below(sim, 100) < percent;
}

/* ---- later ---- */

static void unlink_later(struct later *later)
{
    if (later->previous) {
        later->previous->next = later->next;
    } else {
        later->sim->laters = later->next;
    }
    if (later->next) {
        later->next->previous = later->previous;
    }
}

static void run_later(void *context)
{
    struct later *later = context;
    unlink_later(later);
    later->run(later->sim, later);
    free(later);
}

void plan_later(struct sim *sim, uint64_t after_ns, struct later later)
{
    struct later *own = malloc(sizeof *own);
    assert(own);
    *own = later;
    own->sim = sim;
    own->previous = NULL;
    own->next = sim->laters;
    if (own->next) {
        own->next->previous = own;
    }
    sim->laters = own;
    world_at(sim->world, world_now_ns(sim->world) + after_ns, run_later, own);
}

/* ---- errands ---- */

static void run_errand(struct reactor_event *event)
{
    struct errand *errand = OWNER_OF(event, struct errand, event);
    if (node_is_up(errand->node)) {
        errand->run(errand->node, errand);
    }
    free(errand);
}

struct errand *make_errand(struct node *node,
                           void (*run)(struct node *node,
                                       struct errand *errand),
                           size_t length)
{
    struct errand *errand = malloc(sizeof *errand + length);
    assert(errand && node->multiraft);
    *errand = (struct errand){
        .event.run = run_errand, .node = node, .run = run, .length = length};
    return errand;
}

void post_errand(struct errand *errand)
{
    reactor_post(errand->node->reactor, &errand->event);
    world_poke(errand->node->sim->world, errand->node->index);
}

/* ---- the mesh ---- */

static void run_message(struct node *node, struct errand *errand)
{
    enum err err = multiraft_receive(node->multiraft, errand->from,
                                     bytes_of(errand->bytes, errand->length));
    if (err) {
        broken(node->sim, "wire", "n%u cannot read what n%u has sent: %s",
               node->index, errand->from, err_text(err));
    }
}

void deliver_message(struct sim *sim,
                     struct world_pair pair,
                     struct bytes message)
{
    struct node *node = &sim->nodes[pair.to];
    if (!node->multiraft) {
        return;
    }
    struct errand *errand = make_errand(node, run_message, message.length);
    errand->from = pair.from;
    memcpy(errand->bytes, message.data, message.length);
    post_errand(errand);
}

static void on_message(void *context,
                       struct world_pair pair,
                       struct bytes message)
{
    deliver_message(context, pair, message);
}

static void run_link_up(struct node *node, struct errand *errand)
{
    multiraft_node_found(node->multiraft, errand->from);
}

static void run_link_down(struct node *node, struct errand *errand)
{
    multiraft_node_lost(node->multiraft, errand->from);
}

static void on_link(void *context, struct world_pair pair, bool is_up)
{
    struct sim *sim = context;
    struct node *node = &sim->nodes[pair.to];
    if (node->multiraft) {
        struct errand *errand =
            make_errand(node, is_up ? run_link_up : run_link_down, 0);
        errand->from = pair.from;
        post_errand(errand);
    }
}

/* ---- how a run is set up ---- */

#define ONE_OF(sim, ...)                    \
    ((const uint64_t[]){__VA_ARGS__}[below( \
        (sim), sizeof((const uint64_t[]){__VA_ARGS__}) / 8)])

static void choose_limits(struct sim *sim, struct plan *plan)
{
    struct multiraft_config *limits = &plan->limits;
    multiraft_config_defaults(limits);
    plan->election_ns = ONE_OF(sim, 150, 300, 500, 500, 1000) * NS_PER_MS;
    limits->election_ns = plan->election_ns;
    limits->heartbeat_ns = plan->election_ns / 5;
    limits->segment_bytes = ONE_OF(sim, 8192, 32768, 131072, 1048576, 67108864);
    limits->disk_bytes_max = ONE_OF(sim, 6, 64) * limits->segment_bytes;
    limits->free_bytes_min = ONE_OF(sim, 0, 65536, 1048576);
    limits->inflight_count_max = (uint32_t)ONE_OF(sim, 1, 2, 16, 64);
    limits->append_bytes_max = ONE_OF(sim, 1, 200, 4096, 1048576);
    limits->keep_bytes = ONE_OF(sim, 0, 500, 4096, 1048576);
    limits->message_bytes_max = ONE_OF(sim, 1, 4096, 8388608);
    limits->group.entry_bytes_max = ONE_OF(sim, 4096, 65536, 1048576);
    limits->group.entry_count_max = (uint32_t)ONE_OF(sim, 1, 1, 2, 8);
    limits->group.waiting_count_max = (uint32_t)ONE_OF(sim, 2, 65536);
    limits->group.snapshot_log_bytes =
        ONE_OF(sim, 256, 1024, 4096, 16384, 16777216);
    limits->group.piece_bytes = ONE_OF(sim, 64, 256, 4096, 262144);
    plan->padding_bytes = (uint32_t)ONE_OF(sim, 0, 0, 0, 100, 500);
    plan->result_count_max = (uint32_t)ONE_OF(sim, 64, 256);
    /* What may wait for a commit, for a snapshot, and one entry more. */
    plan->log_bytes_max =
        262144 + limits->group.snapshot_log_bytes + limits->keep_bytes +
        (limits->group.entry_count_max + 1) * limits->group.entry_bytes_max;
}

/* One entry in each message, so that a leader may be struck between an entry
 * of an older term and its own first (figure 8). */
static void hunt(struct plan *plan)
{
    plan->hot_percent = 70;
    plan->is_asking = false;
    plan->election_ns = 200 * NS_PER_MS;
    plan->limits.election_ns = plan->election_ns;
    plan->limits.heartbeat_ns = plan->election_ns / 5;
    plan->limits.append_bytes_max = 1;
    plan->limits.inflight_count_max = 1;
    plan->limits.group.entry_count_max = 8;
    plan->limits.group.snapshot_log_bytes = 65536;
    plan->log_bytes_max += 65536 + 9 * plan->limits.group.entry_bytes_max;
}

static void choose_plan(struct sim *sim)
{
    struct plan *plan = &sim->plan;
    plan->node_count = 3 + (uint32_t)below(sim, 5);
    plan->shard_count = 3 + (uint32_t)below(sim, SHARDS_MAX - 2);
    plan->client_count = 6 + (uint32_t)below(sim, CLIENTS_MAX - 5);
    plan->fault_pause_ms = 300 + below(sim, 1500);
    plan->think_ms = 10 + below(sim, 100);
    plan->has_damage = chance(sim, 60);
    plan->has_drift = chance(sim, 30);
    plan->hot_percent = chance(sim, 50) ? 70 : 0;
    plan->is_asking = chance(sim, 30);
    plan->is_adverse = chance(sim, 35);
    plan->hint_percent = 80;
    choose_limits(sim, plan);
    if (plan->is_adverse) {
        hunt(plan);
    }
    for (uint32_t i = 0; i < plan->shard_count; i++) {
        struct shard *shard = &sim->shards[i];
        uint32_t first = (uint32_t)below(sim, plan->node_count);
        shard->id = i;
        shard->wanted_count = chance(sim, 10)                            ? 1
                              : plan->node_count >= 5 && chance(sim, 60) ? 5
                                                                         : 3;
        if (plan->is_adverse && i == 0) {
            shard->wanted_count = 3;
        }
        for (uint32_t k = 0; k < shard->wanted_count; k++) {
            shard->wanted[k] = (first + k) % plan->node_count;
        }
    }
}

static void choose_paths(struct sim *sim)
{
    uint64_t delay_us = ONE_OF(sim, 200, 1000, 5000);
    uint32_t lost = (uint32_t)ONE_OF(sim, 0, 0, 5, 50);
    uint32_t doubled = (uint32_t)ONE_OF(sim, 0, 10, 100);
    bool is_ordered = chance(sim, 50);
    for (uint32_t from = 0; from < sim->plan.node_count; from++) {
        for (uint32_t to = 0; to < sim->plan.node_count; to++) {
            *sim_mesh_path(sim->mesh, (struct world_pair){from, to}) =
                (struct sim_mesh_path){.delay_us_min = 50,
                                       .delay_us_max =
                                           50 + (uint32_t)below(sim, delay_us),
                                       .lost_permille = lost,
                                       .doubled_permille = doubled,
                                       .is_ordered = is_ordered};
        }
    }
}

/* ---- life ---- */

void open_nodes(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->plan.node_count; i++) {
        struct node *node = &sim->nodes[i];
        *node = (struct node){
            .sim = sim,
            .index = i,
            .disk_id = ++sim->disk_ids,
            .disk = sim_disk_open(seeded_u64(sim->random)),
            .kv = sim_kv_open(),
        };
        node->writer = sim_executor_open(
            &(struct sim_executor_config){.world = sim->world,
                                          .machine = i,
                                          .job_us_min = 100,
                                          .job_us_max = 2000,
                                          .disk = node->disk});
        node->applier =
            sim_executor_open(&(struct sim_executor_config){.world = sim->world,
                                                            .machine = i,
                                                            .job_us_min = 20,
                                                            .job_us_max = 500});
        assert(node->disk && node->kv);
        node_start(node);
    }
}

static void stop_nodes(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->plan.node_count; i++) {
        if (sim->nodes[i].multiraft) {
            node_stop(&sim->nodes[i], false);
        }
    }
}

void close_all(struct sim *sim)
{
    stop_nodes(sim);
    world_close(&sim->world);
    sim_mesh_close(&sim->mesh);
    while (sim->laters) {
        struct later *later = sim->laters;
        unlink_later(later);
        free(later);
    }
    for (uint32_t i = 0; i < sim->plan.node_count; i++) {
        struct node *node = &sim->nodes[i];
        sim_executor_close(&node->writer);
        sim_executor_close(&node->applier);
        sim_disk_close(&node->disk);
        sim_kv_close(&node->kv);
    }
    for (uint32_t i = 0; i < sim->plan.shard_count; i++) {
        free(sim->shards[i].log);
        free(sim->shards[i].leaders);
    }
    history_close(&sim->events);
}

static void on_turn(void *context, uint32_t machine)
{
    struct sim *sim = context;
    check_node(&sim->nodes[machine]);
}

void open_world(struct sim *sim, uint64_t seed)
{
    sim->world = world_open(&(struct world_config){
        .seed = seed, .machine_count = sim->plan.node_count});
    sim->mesh = sim_mesh_open(
        sim->world, sim->plan.node_count,
        &(struct sim_mesh_events){
            .context = sim, .on_message = on_message, .on_link = on_link});
    sim->random = world_random(sim->world);
    sim->events = history_open();
    assert(sim->events);
    world_watch(sim->world, on_turn, sim);
}

void run_until(struct sim *sim, uint64_t end_ns)
{
    while (!sim->result.broken[0] && world_now_ns(sim->world) < end_ns) {
        uint64_t next_ns = world_now_ns(sim->world) + LOOK_NS;
        world_run_until(sim->world, next_ns < end_ns ? next_ns : end_ns);
    }
}

/* Faults are over: how long it takes until all is well. */
static void settle(struct sim *sim)
{
    uint64_t end_ns =
        world_now_ns(sim->world) + SETTLE_NS + 20 * sim->plan.election_ns;
    if (sim->plan.limits.append_bytes_max == 1) {
        end_ns += CATCH_UP_NS; /* whoever joins gets one entry at a time */
    }
    sim->are_faults_over = true;
    faults_end(sim);
    do {
        run_until(sim, world_now_ns(sim->world) + NS_PER_S);
    } while (sim->result.operations < OPERATIONS_MIN &&
             !sim->result.broken[0] && world_now_ns(sim->world) < end_ns);
    clients_finish(sim);
    while (!sim->result.broken[0] && !check_is_whole(sim, false) &&
           world_now_ns(sim->world) < end_ns) {
        run_until(sim, world_now_ns(sim->world) + LOOK_NS);
    }
    if (!sim->result.broken[0]) {
        (void)check_is_whole(sim, true);
    }
}

struct cluster_sim_result cluster_sim_run(
    const struct cluster_sim_config *config)
{
    struct sim *sim = calloc(1, sizeof *sim);
    assert(sim);
    sim->config = *config;
    struct seeded setup = {.state = config->seed};
    sim->random = &setup;
    choose_plan(sim);
    open_world(sim, seeded_u64(&setup));
    choose_paths(sim);
    open_nodes(sim);
    operator_start(sim);
    clients_start(sim);
    faults_start(sim);
    run_until(sim, FAULTS_END_NS);
    settle(sim);
    check_clients(sim);
    sim->result.messages = sim_mesh_message_count(sim->mesh);
    sim->result.virtual_ns = world_now_ns(sim->world);
    close_all(sim);
    sim->result.digest = sim->history;
    struct cluster_sim_result result = sim->result;
    free(sim);
    return result;
}
