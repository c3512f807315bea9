/*
 * The simulator of shards loses a majority of its nodes for good, and an
 * operator recovers the cluster from those that are left, as docs/operations.md
 * says. Nothing is under way at that time, so that nothing may be lost of what
 * a survivor has.
 */

#include "tests/sim/shard_sim_core.h"

#include <stdio.h>
#include <string.h>

#define TRIES 20

static const struct raft *raft_of(const struct node *node, uint32_t id)
{
    const struct group *group = node->host ? host_group(node->host, id) : NULL;
    return group ? group_raft(group) : NULL;
}

static struct node *node_called(struct sim *sim, const char *name)
{
    for (uint32_t i = 0; i < sim->node_count; i++) {
        if (strcmp(sim->nodes[i].name, name) == 0) {
            return &sim->nodes[i];
        }
    }
    return NULL;
}

/* ---- the loss ---- */

/* Of the meta group's voters a majority; the node that is told to take it over
 * is one that is left. */
static bool is_meta_lost(struct sim *sim, struct node **survivor)
{
    uint32_t voters = 0;
    uint32_t left = 0;
    for (uint32_t i = 0; i < sim->node_count; i++) {
        struct node *node = &sim->nodes[i];
        const struct raft *raft = raft_of(node, META_GROUP);
        if (raft && raft_configuration_has_voter(
                        raft_newest_configuration(raft), raft_number(raft))) {
            voters++;
            left += !node->is_lost;
            *survivor = node->is_lost ? *survivor : node;
        }
    }
    return left > 0 && left <= voters / 2;
}

static bool has_survivor(struct sim *sim, uint32_t id)
{
    for (uint32_t i = 0; i < sim->node_count; i++) {
        if (!sim->nodes[i].is_lost && raft_of(&sim->nodes[i], id)) {
            return true;
        }
    }
    return false;
}

static uint32_t count_orphans(struct sim *sim)
{
    uint32_t count = 0;
    for (uint32_t shard = 0; shard < sim->shard_count; shard++) {
        count += !has_survivor(sim, shard_group_id(shard));
    }
    return count;
}

/* Who is lost is drawn, if possible so that every shard has a survivor. */
static struct node *choose_lost(struct sim *sim)
{
    struct node *survivor = NULL;
    for (uint32_t tries = 0;; tries++) {
        survivor = NULL;
        for (uint32_t i = 0; i < sim->node_count; i++) {
            sim->nodes[i].is_lost = sim->nodes[i].host && chance(sim, 60);
        }
        if (is_meta_lost(sim, &survivor) &&
            (tries >= TRIES || count_orphans(sim) == 0)) {
            return survivor;
        }
    }
}

/* Who comes with an empty disk knows the founders alone: one of them must be
 * there to be asked. */
static bool has_founder(const struct sim *sim)
{
    bool has = false;
    for (uint32_t i = 0; i < sim->founder_count; i++) {
        has = has || (sim->nodes[i].host && !sim->nodes[i].is_lost);
    }
    return has;
}

void disaster_begin(struct sim *sim)
{
    struct node *survivor = choose_lost(sim);
    bool may_wipe = has_founder(sim);
    for (uint32_t shard = 0; shard < sim->shard_count; shard++) {
        if (!has_survivor(sim, shard_group_id(shard))) {
            say(sim, "nobody is left who has shard %u", shard);
            memory_empty(sim, shard);
        }
    }
    for (uint32_t i = 0; i < sim->node_count; i++) {
        struct node *node = &sim->nodes[i];
        node->is_lost = node->is_lost && node->host;
        node_stop(node, chance(sim, 50));
        if (node->is_lost && may_wipe && chance(sim, 50)) {
            node_wipe(node);
        }
    }
    for (uint32_t i = 0; i < sim->node_count; i++) {
        struct node *node = &sim->nodes[i];
        node->recovers_meta = node == survivor;
        if (node->is_member && !node->is_lost) {
            node_start(node);
        }
    }
    say(sim, "%s is to take over the meta group", survivor->name);
}

/* ---- the recovery ---- */

/* Who has most of a group, of those that are on and were not lost; NULL: nobody
 * has anything. */
static struct node *find_best(struct sim *sim, uint32_t id)
{
    struct node *best = NULL;
    for (uint32_t i = 0; i < sim->node_count; i++) {
        struct node *node = &sim->nodes[i];
        const struct raft *raft = raft_of(node, id);
        const struct raft *most = best ? raft_of(best, id) : NULL;
        if (raft && !node->is_lost &&
            (!most ||
             raft_generation_of(raft_number(raft)) >
                 raft_generation_of(raft_number(most)) ||
             (raft_generation_of(raft_number(raft)) ==
                  raft_generation_of(raft_number(most)) &&
              raft_last_index(raft) > raft_last_index(most)))) {
            best = node;
        }
    }
    return best;
}

static void set_lost_down(struct sim *sim, struct node *leader)
{
    const struct view *view = host_view(leader->host);
    for (uint32_t i = 0; i < view->members.count; i++) {
        const struct member *member = &view->members.list[i];
        const struct node *node = node_called(sim, member->name);
        if (node && node->is_lost && !node->host &&
            member->state != MEMBER_DOWN) {
            struct view_change change = {.kind = VIEW_MEMBER_SET,
                                         .member = *member};
            change.member.state = MEMBER_DOWN;
            view_change_say(&change, "%s is lost", member->name);
            operator_give(leader, &change, false);
        }
    }
}

/* Now and then twice: the second one must be refused. */
static void recover_shard(struct sim *sim, struct node *leader, uint32_t shard)
{
    const struct view *view = host_view(leader->host);
    struct node *best = find_best(sim, shard_group_id(shard));
    bool is_empty = sim->memory.is_emptied[shard] && !best;
    struct node *to = best ? best : leader;
    struct view_change change = {.kind = VIEW_RECOVER,
                                 .number = shard,
                                 .node = host_number(to->host),
                                 .flag = is_empty,
                                 .generation =
                                     view->map.places[shard].generation + 1};
    view_change_say(&change, "shard %u is taken over by %s%s", shard, to->name,
                    is_empty ? ", empty" : "");
    if (change.node == MEMBER_NONE || (!best && !is_empty)) {
        return;
    }
    operator_give(leader, &change, false);
    if (chance(sim, 20)) {
        operator_give(leader, &change, true);
    }
}

static bool is_led(struct sim *sim, const struct view *view, uint32_t shard)
{
    const struct node *leader = leader_of(sim, shard_group_id(shard));
    const struct raft *raft =
        leader ? raft_of(leader, shard_group_id(shard)) : NULL;
    return raft && raft_generation_of(raft_number(raft)) ==
                       view->map.places[shard].generation;
}

static bool recover_shards(struct sim *sim, struct node *leader)
{
    const struct view *view = host_view(leader->host);
    bool is_whole = view->recovery_count == 0;
    for (uint32_t shard = 0; shard < sim->shard_count; shard++) {
        bool serves = is_led(sim, view, shard);
        is_whole = is_whole && serves;
        if (!serves && !view_recovery_of(view, shard) && chance(sim, 30)) {
            recover_shard(sim, leader, shard);
        }
    }
    return is_whole;
}

/* A survivor restarts in the middle of it. */
static void disturb(struct sim *sim)
{
    struct node *node = some_node(sim);
    if (node->host && !node->is_lost && !node->recovers_meta) {
        node_stop(node, chance(sim, 50));
        node_start(node);
    }
}

static bool have_all_heard(const struct sim *sim, uint64_t generation)
{
    bool have = true;
    for (uint32_t i = 0; i < sim->node_count; i++) {
        const struct host *host = sim->nodes[i].host;
        const struct view *view = host ? host_view(host) : NULL;
        have = have && (!host || (view && view->meta_generation == generation));
    }
    return have;
}

/* One after the other: old disks could be a majority among themselves until
 * they hear of the recovery (docs/notes.md). */
static void bring_back(struct sim *sim, uint64_t generation)
{
    for (uint32_t i = 0; i < sim->node_count; i++) {
        struct node *node = &sim->nodes[i];
        if (node->is_lost && !node->host && chance(sim, 10) &&
            have_all_heard(sim, generation)) {
            node_start(node);
        }
    }
}

static bool are_all_on(const struct sim *sim)
{
    bool are = true;
    for (uint32_t i = 0; i < sim->node_count; i++) {
        are = are && (!sim->nodes[i].is_member || sim->nodes[i].host);
    }
    return are;
}

bool disaster_step(struct sim *sim)
{
    struct node *leader = leader_of(sim, META_GROUP);
    const struct view *view = leader ? host_view(leader->host) : NULL;
    sim->memory.lost_ns = now_ns(sim);
    if (!view || view->meta_generation == 0) {
        return false;
    }
    for (uint32_t i = 0; i < sim->node_count; i++) {
        sim->nodes[i].recovers_meta = false;
    }
    set_lost_down(sim, leader);
    if (chance(sim, 2)) {
        disturb(sim);
        return false;
    }
    bool is_served = recover_shards(sim, leader);
    if (is_served) {
        bring_back(sim, view->meta_generation);
    }
    return is_served && are_all_on(sim);
}
