/*
 * A node of the cluster simulator: from an empty disk to its groups, and how
 * it ends.
 */

#include "base/time_units.h"
#include "store/raft_configuration.h"
#include "tests/sim/cluster_sim_core.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RESTART_MS 300

bool node_is_up(const struct node *node)
{
    return node->multiraft && !node->is_dying;
}

/* ---- what the node tells ---- */

static void on_mesh_send(void *context, uint32_t to, struct bytes message)
{
    struct node *node = context;
    struct sim *sim = node->sim;
    struct world_pair pair = {.from = node->index, .to = to};
    if (!node->is_closing && to < sim->plan.node_count &&
        (!sim->lets_pass || sim->lets_pass(sim, pair, message))) {
        sim_mesh_send(sim->mesh, pair, message);
    }
}

static void run_restart(struct sim *sim, struct later *later)
{
    struct node *node = &sim->nodes[later->node];
    if (!node->multiraft && node->life == later->life) {
        node_start(node);
    }
}

static void restart_later(struct node *node)
{
    plan_later(node->sim, (1 + below(node->sim, RESTART_MS)) * NS_PER_MS,
               (struct later){.run = run_restart,
                              .node = node->index,
                              .life = node->life});
}

/* The process ends by itself; its system lives on. */
static void run_end(struct sim *sim, struct later *later)
{
    struct node *node = &sim->nodes[later->node];
    if (node->multiraft && node->life == later->life) {
        node_stop(node, false);
        restart_later(node);
    }
}

static void on_failed(void *context,
                      struct group *group,
                      enum err err,
                      const char *what)
{
    struct node *node = context;
    if (!node->is_harmed || group) {
        broken(node->sim, "failure", "n%u fails without a cause: %s: %s",
               node->index, what, err_text(err));
    }
    if (!node->is_dying) {
        say(node->sim, "n%u fails: %s: %s", node->index, what, err_text(err));
        node->is_dying = true;
        plan_later(node->sim, 1,
                   (struct later){.run = run_end,
                                  .node = node->index,
                                  .life = node->life});
    }
}

/* ---- beginning ---- */

static struct machine make_machine(struct node *node, uint32_t shard)
{
    const struct plan *plan = &node->sim->plan;
    struct replica *replica = &node->replicas[shard];
    replica->node = node;
    replica->shard = shard;
    replica->map = counter_map_open(&(struct counter_map_config){
        .result_count_max = plan->result_count_max,
        .padding_bytes = plan->padding_bytes,
    });
    assert(replica->map);
    check_watch(replica);
    return watched_machine(&replica->watched);
}

static void forget_replica(struct replica *replica)
{
    counter_map_close(&replica->map);
    *replica = (struct replica){0};
}

/* The checkers begin where the replica does. */
static void meet_replica(struct replica *replica, struct group *group)
{
    replica->group = group;
    replica->commit = raft_commit_index(group_raft(group));
    replica->applied = 0;
    replica->led_term = 0;
}

static void open_group(struct node *node, uint32_t shard)
{
    struct replica *replica = &node->replicas[shard];
    struct group *group = NULL;
    struct machine machine = make_machine(node, shard);
    enum err err =
        multiraft_group_open(node->multiraft, shard, &machine, &group, NULL);
    if (!err) {
        meet_replica(replica, group);
        return;
    }
    forget_replica(replica);
    if (err == ERR_REVOKED) {
        say(node->sim, "n%u g%u is lost", node->index, shard);
        node->sim->result.lost++;
    } else if (err != ERR_NOT_FOUND) {
        broken(node->sim, "opening", "n%u g%u does not open: %s", node->index,
               shard, err_text(err));
    }
}

static struct multiraft_config node_config(struct node *node)
{
    struct sim *sim = node->sim;
    struct multiraft_config config = sim->plan.limits;
    config.clock = world_clock(sim->world, node->index);
    config.entropy = world_entropy(sim->world, node->index);
    config.reactor = node->reactor;
    config.disk = sim_disk_table(node->disk);
    config.writer = sim_executor_table(node->writer);
    config.kv = sim_kv_table(node->kv);
    config.applier = sim_executor_table(node->applier);
    config.mesh = (struct mesh){.context = node, .send = on_mesh_send};
    config.events =
        (struct multiraft_events){.context = node, .on_failed = on_failed};
    config.disk_id = node->disk_id;
    config.must_exist = node->is_made;
#ifdef TROUPE_FAULTS
    config.fault = sim->config.raft_fault;
    config.group_fault = sim->config.group_fault;
#endif
    return config;
}

static void look_at_groups(struct node *node)
{
    for (uint32_t i = 0; i < node->sim->plan.shard_count; i++) {
        struct replica *replica = &node->replicas[i];
        if (replica->group && !multiraft_group(node->multiraft, i)) {
            say(node->sim, "n%u g%u is lost on reading", node->index, i);
            node->sim->result.lost++;
            forget_replica(replica);
        }
    }
}

static bool visit_row(void *visitor, struct bytes key, struct bytes value)
{
    (void)visitor;
    (void)key;
    (void)value;
    return true;
}

/* Damaged rows are thrown away, as the real store does when it opens. */
static void look_at_rows(struct node *node)
{
    const struct kv *kv = sim_kv_table(node->kv);
    struct bytes all = {0};
    if (kv->scan(kv->context, all, all, visit_row, NULL) == ERR_MALFORMED) {
        say(node->sim, "n%u: damaged rows are thrown away", node->index);
        sim_kv_wipe(node->kv);
    }
}

static enum err open_node(struct node *node)
{
    look_at_rows(node);
    struct multiraft_config config = node_config(node);
    struct wal_report report = {0};
    struct err_detail why = {0};
    enum err err = multiraft_open(&node->multiraft, &config, &report, &why);
    if (err) {
        return err;
    }
    if (report.what[0]) {
        say(node->sim, "n%u: %s", node->index, report.what);
    }
    node->is_made = true;
    for (uint32_t i = 0; i < node->sim->plan.shard_count; i++) {
        open_group(node, i);
    }
    err = multiraft_start(node->multiraft, &report);
    if (!err) {
        look_at_groups(node);
    }
    return err;
}

static void tell_others(struct node *node, bool is_up)
{
    struct sim *sim = node->sim;
    for (uint32_t i = 0; i < sim->plan.node_count; i++) {
        if (i != node->index && chance(sim, sim->plan.hint_percent)) {
            sim_mesh_tell(sim->mesh,
                          (struct world_pair){.from = node->index, .to = i},
                          is_up);
        }
    }
}

void node_start(struct node *node)
{
    struct sim *sim = node->sim;
    assert(!node->multiraft);
    node->life++;
    if (SIM_HAS_FAULT(sim, DISK_LIES)) {
        sim_disk_ignore_syncs(node->disk);
    }
    node->is_dying = false;
    sim->result.starts++;
    world_power_on(sim->world, node->index);
    node->reactor = world_reactor_open(sim->world, node->index);
    enum err err = open_node(node);
    say(sim, "n%u starts its life %u: %s", node->index, node->life,
        err_text(err));
    if (!err) {
        node->is_suspect = false;
        tell_others(node, true);
        world_poke(sim->world, node->index);
        return;
    }
    /* One that never got as far as to have a log has promised nothing. */
    bool is_new = err == ERR_NOT_FOUND && !node->has_groups;
    bool is_damage = node->is_suspect && err != ERR_IO && err != ERR_NO_SPACE;
    if (!is_new && !is_damage && !node->is_harmed) {
        broken(sim, "opening", "n%u does not start: %s", node->index,
               err_text(err));
    }
    node_stop(node, false);
    if (is_new || is_damage) {
        node_wipe(node); /* the operator gives it another disk */
    }
    restart_later(node);
}

/* ---- ending ---- */

void node_stop(struct node *node, bool is_power_lost)
{
    struct sim *sim = node->sim;
    say(sim, "n%u ends%s", node->index, is_power_lost ? ": no power" : "");
    node->is_closing = true;
    world_crash(sim->world, node->index);
    sim_executor_crash(node->writer);
    sim_executor_crash(node->applier);
    if (is_power_lost || sim_disk_is_cut(node->disk)) {
        sim_disk_crash(node->disk);
        (void)sim_kv_crash(node->kv, world_entropy(sim->world, node->index));
        node->is_harmed = false;
    } else {
        sim_disk_kill(node->disk);
    }
    multiraft_close(&node->multiraft);
    for (uint32_t i = 0; i < SHARDS_MAX; i++) {
        forget_replica(&node->replicas[i]);
    }
    world_power_off(sim->world, node->index);
    node->reactor = NULL;
    node->is_closing = false;
    node->is_dying = false;
    tell_others(node, false);
}

#define FILES_MAX 16384

struct file_list {
    char names[FILES_MAX][DISK_NAME_BYTES];
    uint32_t count;
};

static void visit_file(void *visitor, const char *name)
{
    struct file_list *list = visitor;
    assert(list->count < FILES_MAX && strlen(name) < DISK_NAME_BYTES);
    memcpy(list->names[list->count++], name, strlen(name) + 1);
}

static void empty_disk(struct sim_disk *disk)
{
    struct file_list *list = calloc(1, sizeof *list);
    assert(list);
    const struct disk *table = sim_disk_table(disk);
    enum err err = table->list(table->context, visit_file, list);
    assert(!err);
    for (uint32_t i = 0; i < list->count; i++) {
        bool is_gone = sim_disk_delete(disk, list->names[i]);
        assert(is_gone);
    }
    free(list);
}

void node_wipe(struct node *node)
{
    struct sim *sim = node->sim;
    assert(!node->multiraft);
    say(sim, "n%u gets an empty disk", node->index);
    empty_disk(node->disk);
    sim_kv_wipe(node->kv);
    node->disk_id = ++sim->disk_ids;
    node->is_made = false;
    node->has_groups = false;
    node->is_suspect = true;
}

/* ---- founding ---- */

void node_found_group(struct node *node,
                      uint32_t shard,
                      const struct raft_configuration *members)
{
    struct replica *replica = &node->replicas[shard];
    struct group *group = NULL;
    if (replica->group) {
        return;
    }
    /* What was lost here makes way. */
    enum err err = multiraft_group_drop(node->multiraft, shard);
    if (err != ERR_NOT_FOUND) {
        return; /* when its rows have gone */
    }
    struct machine machine = make_machine(node, shard);
    err = multiraft_group_found(node->multiraft, shard, &machine, members,
                                &group);
    if (err == ERR_REVOKED) { /* the operator allots no number twice */
        multiraft_forget_unlisted(node->multiraft);
        err = multiraft_group_found(node->multiraft, shard, &machine, members,
                                    &group);
    }
    if (err) {
        forget_replica(replica);
        if (err != ERR_NOT_FOUND && !node->is_harmed) {
            broken(node->sim, "opening", "n%u g%u is not founded: %s",
                   node->index, shard, err_text(err));
        }
        return;
    }
    meet_replica(replica, group);
    node->has_groups = true;
    say(node->sim, "n%u g%u begins as %" PRIu64, node->index, shard,
        raft_number(group_raft(group)));
}
