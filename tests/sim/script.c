#include "tests/sim/script.h"

#include "base/time_units.h"
#include "tests/sim/script_core.h"

#include <stdlib.h>

#define STEP_NS (100 * NS_PER_US)
#define DELAY_US 500
#define FINISH_NS (20 * NS_PER_S)

/* ---- demands and time ---- */

void script_must(struct script *script,
                 bool condition,
                 const char *what,
                 int line)
{
    if (!condition) {
        broken(&script->sim, "script", "line %d: %s", line, what);
    }
}

uint64_t script_now_ns(const struct script *script)
{
    return world_now_ns(script->sim.world);
}

bool script_pass(struct script *script, uint64_t end_ns)
{
    uint64_t now_ns = script_now_ns(script);
    if (script_is_broken(script) || now_ns >= end_ns) {
        return false;
    }
    world_run_until(script->sim.world, now_ns + STEP_NS);
    return !script_is_broken(script);
}

void script_run(struct script *script, uint64_t ms)
{
    run_until(&script->sim, script_now_ns(script) + ms * NS_PER_MS);
}

/* ---- nodes ---- */

void script_crash(struct script *script, uint32_t node)
{
    struct node *home = script_node(script, node);
    if (!script_is_broken(script) && home->multiraft) {
        node_stop(home, true);
    }
}

void script_restart(struct script *script, uint32_t node)
{
    struct node *home = script_node(script, node);
    if (!script_is_broken(script) && !home->multiraft) {
        node_start(home);
    }
}

void script_replace_disk(struct script *script, uint32_t node)
{
    script_crash(script, node);
    if (!script_is_broken(script)) {
        node_wipe(script_node(script, node));
    }
    script_restart(script, node);
}

void script_hang_disk(struct script *script, uint32_t node, bool hangs)
{
    sim_executor_hold(script_node(script, node)->writer, hangs);
}

const char *script_broken(const struct script *script)
{
    return script->sim.result.broken;
}

const char *script_checker(const struct script *script)
{
    return script->sim.result.checker;
}

/* ---- life ---- */

static void choose_plan(struct plan *plan, const struct script_config *config)
{
    *plan = (struct plan){.node_count = config->node_count,
                          .shard_count = 1,
                          .election_ns = 500 * NS_PER_MS,
                          .result_count_max = 64,
                          .log_bytes_max = UINT64_C(64) << 20};
    struct multiraft_config *limits = &plan->limits;
    multiraft_config_defaults(limits);
    limits->election_ns = plan->election_ns;
    limits->heartbeat_ns = plan->election_ns / 5;
    limits->segment_bytes = 65536;
    limits->disk_bytes_max = UINT64_C(16) << 20;
    limits->append_bytes_max = 1;  /* one entry in each append, */
    limits->message_bytes_max = 1; /* one of Raft's messages in each message */
    limits->group.entry_count_max = 64;
    limits->group.piece_bytes = 64;
    if (config->snapshot_log_bytes > 0) {
        limits->group.snapshot_log_bytes = config->snapshot_log_bytes;
        limits->keep_bytes = 0;
    }
}

static void choose_paths(struct script *script)
{
    for (uint32_t from = 0; from < script->sim.plan.node_count; from++) {
        for (uint32_t to = 0; to < script->sim.plan.node_count; to++) {
            *sim_mesh_path(script->sim.mesh, (struct world_pair){from, to}) =
                (struct sim_mesh_path){.delay_us_min = DELAY_US,
                                       .delay_us_max = DELAY_US,
                                       .is_ordered = true};
        }
    }
}

struct script *script_open(const struct script_config *config)
{
    assert(config->node_count <= NODES_MAX);
    struct script *script = calloc(1, sizeof *script);
    assert(script);
    struct sim *sim = &script->sim;
    struct shard *shard = &sim->shards[SCRIPT_SHARD];
    sim->config = config->sim;
    sim->are_clients_done = true;
    sim->are_faults_over = true; /* states are compared after each entry */
    sim->lets_pass = script_lets_pass;
    choose_plan(&sim->plan, config);
    open_world(sim, config->sim.seed);
    choose_paths(script);
    script_heal(script);
    open_nodes(sim);
    shard->wanted_count = config->founder_count;
    for (uint32_t i = 0; i < config->founder_count; i++) {
        shard->wanted[i] = i;
    }
    operator_found(sim, shard);
    script_run(script, 1);
    return script;
}

void script_finish(struct script *script, uint32_t replica_count)
{
    struct sim *sim = &script->sim;
    script_heal(script);
    for (uint32_t i = 0; i < sim->plan.node_count; i++) {
        script_hang_disk(script, i, false);
        script_restart(script, i);
    }
    sim->shards[SCRIPT_SHARD].wanted_count = replica_count;
    uint64_t end_ns = script_now_ns(script) + FINISH_NS;
    while (!check_is_whole(sim, false) && script_pass(script, end_ns)) {
    }
    if (!script_is_broken(script)) {
        (void)check_is_whole(sim, true);
        check_clients(sim);
    }
}

void script_close(struct script **script)
{
    script_release(*script);
    close_all(&(*script)->sim);
    free(*script);
    *script = NULL;
}
