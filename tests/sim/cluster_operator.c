/*
 * Who founds the groups, replaces what is lost and moves replicas: what the
 * meta group and an operator do later. It sees all nodes that are up, and does
 * what it does at a leader.
 */

#include "base/time_units.h"
#include "store/raft_configuration.h"
#include "tests/sim/cluster_sim_core.h"

#include <inttypes.h>
#include <string.h>

#define STEP_MS_MIN 80
#define STEP_MS_SPREAD 200
#define ORDER_MS 50  /* then an order is not carried out any more */
#define JOIN_MS 1500 /* then a replica that has not begun will not */

struct node *operator_leader(struct sim *sim, uint32_t shard)
{
    struct node *leader = NULL;
    uint64_t term = 0;
    for (uint32_t i = 0; i < sim->plan.node_count; i++) {
        struct node *node = &sim->nodes[i];
        const struct group *group = node->replicas[shard].group;
        if (node_is_up(node) && !world_is_paused(sim->world, i) && group &&
            raft_is_settled(group_raft(group)) &&
            raft_term(group_raft(group)) > term) {
            leader = node;
            term = raft_term(group_raft(group));
        }
    }
    return leader;
}

static const struct raft *raft_on(const struct node *node, uint32_t shard)
{
    return node->replicas[shard].group ? group_raft(node->replicas[shard].group)
                                       : NULL;
}

static bool is_wanted(const struct shard *shard, uint32_t node)
{
    for (uint32_t i = 0; i < shard->wanted_count; i++) {
        if (shard->wanted[i] == node) {
            return true;
        }
    }
    return false;
}

/* The node is up, and does not have the replica, or not its disk. */
static bool is_lost(const struct sim *sim,
                    const struct shard *shard,
                    const struct raft_member *member)
{
    const struct node *node = &sim->nodes[member->node];
    const struct raft *raft = raft_on(node, shard->id);
    return node_is_up(node) && member->number != shard->joining &&
           (node->disk_id != member->disk_id || !raft ||
            raft_number(raft) != member->number);
}

/* ---- what it has done ---- */

static void run_reconfigure(struct node *node, struct errand *errand)
{
    struct group *group = node->replicas[errand->shard].group;
    if (group && world_now_ns(node->sim->world) < errand->until_ns) {
        enum err err = group_reconfigure(group, &errand->configuration);
        say(node->sim, "n%u g%u: other members: %s", node->index, errand->shard,
            err_text(err));
        node->sim->result.members += err == ERR_NONE;
        if (!err) {
            faults_tempt(node->sim, errand->shard, node->index);
        }
    }
}

static void run_found(struct node *node, struct errand *errand)
{
    if (world_now_ns(node->sim->world) < errand->until_ns) {
        node_found_group(node, errand->shard, &errand->configuration);
    }
}

void operator_begin_replica(struct node *home,
                            uint32_t shard,
                            const struct raft_configuration *members,
                            uint64_t until_ns)
{
    struct errand *errand = make_errand(home, run_found, 0);
    errand->shard = shard;
    errand->until_ns = until_ns;
    errand->configuration = *members;
    post_errand(errand);
}

/* The leader takes one more; then the replica is begun. */
static void run_add(struct node *node, struct errand *errand)
{
    struct sim *sim = node->sim;
    struct group *group = node->replicas[errand->shard].group;
    if (!group || group_reconfigure(group, &errand->configuration)) {
        return;
    }
    sim->result.members++;
    const struct raft_member *member =
        raft_configuration_find(&errand->configuration, errand->number);
    struct node *home = &sim->nodes[member->node];
    say(sim, "n%u g%u: %" PRIu64 " on n%u shall belong to it", node->index,
        errand->shard, errand->number, member->node);
    if (home->multiraft) {
        operator_begin_replica(home, errand->shard, &errand->configuration,
                               errand->until_ns);
    }
}

static void run_drop(struct node *node, struct errand *errand)
{
    struct replica *replica = &node->replicas[errand->shard];
    if (!replica->group ||
        raft_number(group_raft(replica->group)) != errand->number) {
        return;
    }
    enum err err = multiraft_group_drop(node->multiraft, errand->shard);
    if (!err) {
        say(node->sim, "n%u g%u: %" PRIu64 " is gone", node->index,
            errand->shard, errand->number);
        counter_map_close(&replica->map);
        *replica = (struct replica){0};
    }
}

/* Records of it were lost: its log keeps all that it has until it is told to
 * forget it. */
static bool has_lost(const struct node *node, uint32_t shard)
{
    struct wal_group past;
    return node_is_up(node) && !node->replicas[shard].group &&
           wal_find(multiraft_wal(node->multiraft), shard, &past) &&
           past.is_lost;
}

static void run_forget(struct node *node, struct errand *errand)
{
    if (has_lost(node, errand->shard) &&
        !multiraft_group_drop(node->multiraft, errand->shard)) {
        say(node->sim, "n%u g%u: what was lost is forgotten", node->index,
            errand->shard);
    }
}

static void reconfigure(struct node *leader,
                        uint32_t shard,
                        const struct raft_configuration *next)
{
    struct errand *errand = make_errand(leader, run_reconfigure, 0);
    errand->shard = shard;
    errand->configuration = *next;
    errand->until_ns = world_now_ns(leader->sim->world) + ORDER_MS * NS_PER_MS;
    leader->sim->shards[shard].order_until_ns = errand->until_ns;
    post_errand(errand);
}

/* ---- what is to be done ---- */

/* A replica that was begun and never became a member will not become one:
 * nobody who could know better is away. */
static bool is_stray(struct sim *sim, const struct shard *shard, uint64_t term)
{
    for (uint32_t i = 0; i < sim->plan.node_count; i++) {
        const struct raft *raft = raft_on(&sim->nodes[i], shard->id);
        if (!node_is_up(&sim->nodes[i]) || world_is_paused(sim->world, i) ||
            (raft && raft_term(raft) > term)) {
            return false;
        }
    }
    return true;
}

/* Replicas that belong to it no more, whose numbers never come back. */
static bool drop_one(struct sim *sim,
                     const struct shard *shard,
                     const struct raft_configuration *members,
                     uint64_t term)
{
    for (uint32_t i = 0; i < sim->plan.node_count; i++) {
        struct node *node = &sim->nodes[i];
        const struct raft *raft = raft_on(node, shard->id);
        if (node_is_up(node) && raft && raft_number(raft) != shard->joining &&
            (raft_number(raft) < members->next_number ||
             is_stray(sim, shard, term)) &&
            !raft_configuration_find(members, raft_number(raft))) {
            struct errand *errand = make_errand(node, run_drop, 0);
            errand->shard = shard->id;
            errand->number = raft_number(raft);
            post_errand(errand);
            return true;
        }
    }
    return false;
}

static bool has_node(const struct raft_configuration *members, uint32_t node)
{
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->members[i].node == node) {
            return true;
        }
    }
    return false;
}

/* What was lost where no replica shall be: no new one makes it give way. */
static bool forget_one(struct sim *sim,
                       const struct shard *shard,
                       const struct raft_configuration *members)
{
    for (uint32_t i = 0; i < sim->plan.node_count; i++) {
        struct node *node = &sim->nodes[i];
        if (has_lost(node, shard->id) && !has_node(members, i) &&
            !is_wanted(shard, i)) {
            struct errand *errand = make_errand(node, run_forget, 0);
            errand->shard = shard->id;
            post_errand(errand);
            return true;
        }
    }
    return false;
}

void operator_remove_member(struct raft_configuration *members, uint32_t at)
{
    members->count--;
    memmove(&members->members[at], &members->members[at + 1],
            (members->count - at) * sizeof members->members[0]);
}

/* What must never be done: it votes again, and does not know what for. */
static bool bring_back(struct sim *sim,
                       const struct shard *shard,
                       const struct raft_configuration *members,
                       uint32_t at)
{
    struct node *home = &sim->nodes[members->members[at].node];
    if (!SIM_HAS_FAULT(sim, LOST_RETURNS) || raft_on(home, shard->id) ||
        home->disk_id != members->members[at].disk_id) {
        return false;
    }
    operator_begin_replica(home, shard->id, members, UINT64_MAX);
    return true;
}

static bool remove_lost(struct node *leader,
                        const struct shard *shard,
                        const struct raft_configuration *members)
{
    for (uint32_t i = 0; i < members->count; i++) {
        const struct raft_member *member = &members->members[i];
        bool is_only =
            member->is_voter && raft_configuration_voter_count(members) == 1;
        if (is_lost(leader->sim, shard, member) && !is_only) {
            struct raft_configuration next = *members;
            if (bring_back(leader->sim, shard, members, i)) {
                return true;
            }
            say(leader->sim, "g%u: %" PRIu64 " on n%u is lost: removed",
                shard->id, member->number, member->node);
            operator_remove_member(&next, i);
            reconfigure(leader, shard->id, &next);
            return true;
        }
    }
    return false;
}

static bool add_one(struct node *leader,
                    struct shard *shard,
                    const struct raft_configuration *members)
{
    struct sim *sim = leader->sim;
    for (uint32_t i = 0; i < shard->wanted_count; i++) {
        const struct node *home = &sim->nodes[shard->wanted[i]];
        if (has_node(members, home->index) || !node_is_up(home) ||
            raft_on(home, shard->id) || members->count == RAFT_MEMBERS_MAX) {
            continue;
        }
        struct errand *errand = make_errand(leader, run_add, 0);
        errand->shard = shard->id;
        errand->number = shard->next_number++;
        errand->until_ns = world_now_ns(sim->world) + JOIN_MS * NS_PER_MS;
        errand->configuration = *members;
        errand->configuration.members[errand->configuration.count++] =
            (struct raft_member){.number = errand->number,
                                 .node = home->index,
                                 .disk_id = home->disk_id};
        errand->configuration.next_number = shard->next_number;
        shard->joining = errand->number;
        shard->joining_until_ns = errand->until_ns;
        post_errand(errand);
        return true;
    }
    return false;
}

static bool promote_one(struct node *leader,
                        const struct shard *shard,
                        const struct raft_configuration *members)
{
    for (uint32_t i = 0; i < members->count; i++) {
        const struct raft_member *member = &members->members[i];
        const struct node *home = &leader->sim->nodes[member->node];
        if (!member->is_voter && is_wanted(shard, member->node) &&
            member->number != shard->joining && node_is_up(home)) {
            struct raft_configuration next = *members;
            next.members[i].is_voter = true;
            reconfigure(leader, shard->id, &next);
            return true;
        }
    }
    return false;
}

static bool is_damaged(const struct sim *sim,
                       const struct shard *shard,
                       const struct raft_member *member)
{
    const struct node *node = &sim->nodes[member->node];
    return node->disk_id != member->disk_id ||
           node->whole[shard->id] != member->number;
}

/* Of those whom nobody wants, one who is damaged before one who may still be
 * needed; `count`: nobody. */
static uint32_t unwanted_member(const struct sim *sim,
                                const struct shard *shard,
                                const struct raft_configuration *members)
{
    uint32_t found = members->count;
    for (uint32_t i = 0; i < members->count; i++) {
        const struct raft_member *member = &members->members[i];
        if (!is_wanted(shard, member->node) &&
            (found == members->count || is_damaged(sim, shard, member))) {
            found = i;
        }
    }
    return found;
}

/* Whom nobody wants goes when all who are wanted are there. */
static bool remove_unwanted(struct node *leader,
                            const struct shard *shard,
                            const struct raft_configuration *members)
{
    uint32_t wanted_voters = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        const struct raft_member *member = &members->members[i];
        const struct node *home = &leader->sim->nodes[member->node];
        wanted_voters += member->is_voter && is_wanted(shard, member->node) &&
                         node_is_up(home) &&
                         home->whole[shard->id] == member->number;
    }
    if (wanted_voters < shard->wanted_count) {
        return false;
    }
    struct raft_configuration next = *members;
    bool is_changed = false;
    for (uint32_t i = unwanted_member(leader->sim, shard, &next);
         i < next.count && (!is_changed || chance(leader->sim, 30));
         i = unwanted_member(leader->sim, shard, &next)) {
        operator_remove_member(&next, i);
        reconfigure(leader, shard->id, &next); /* the second is refused */
        is_changed = true;
    }
    return is_changed;
}

static void look_after(struct sim *sim, struct shard *shard)
{
    struct node *leader = operator_leader(sim, shard->id);
    if (!leader) {
        return;
    }
    const struct raft *raft = raft_on(leader, shard->id);
    const struct raft_configuration *members = raft_newest_configuration(raft);
    if (members != raft_committed_configuration(raft) && !chance(sim, 20)) {
        return; /* it would be refused, which is to be tried as well */
    }
    const struct raft_member *joining =
        raft_configuration_find(members, shard->joining);
    const struct raft *joined =
        joining ? raft_on(&sim->nodes[joining->node], shard->id) : NULL;
    if ((joined && raft_number(joined) == shard->joining) ||
        world_now_ns(sim->world) >= shard->joining_until_ns) {
        shard->joining = 0;
    }
    bool is_committed = members == raft_committed_configuration(raft);
    (void)((is_committed && (drop_one(sim, shard, members, raft_term(raft)) ||
                             forget_one(sim, shard, members))) ||
           remove_lost(leader, shard, members) ||
           promote_one(leader, shard, members) ||
           (shard->joining == 0 && add_one(leader, shard, members)) ||
           remove_unwanted(leader, shard, members));
}

static void run_step(struct sim *sim, struct later *later)
{
    (void)later;
    for (uint32_t i = 0; i < sim->plan.shard_count; i++) {
        look_after(sim, &sim->shards[i]);
    }
    plan_later(sim, (STEP_MS_MIN + below(sim, STEP_MS_SPREAD)) * NS_PER_MS,
               (struct later){.run = run_step});
}

/* ---- beginning ---- */

void operator_found(struct sim *sim, struct shard *shard)
{
    struct raft_configuration members = {
        .count = shard->wanted_count, .next_number = shard->wanted_count + 1};
    for (uint32_t i = 0; i < shard->wanted_count; i++) {
        members.members[i] = (struct raft_member){
            .number = i + 1,
            .node = shard->wanted[i],
            .disk_id = sim->nodes[shard->wanted[i]].disk_id,
            .is_voter = true};
    }
    shard->next_number = members.next_number;
    for (uint32_t i = 0; i < shard->wanted_count; i++) {
        operator_begin_replica(&sim->nodes[shard->wanted[i]], shard->id,
                               &members, UINT64_MAX);
    }
}

void operator_start(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->plan.shard_count; i++) {
        operator_found(sim, &sim->shards[i]);
    }
    plan_later(sim, NS_PER_S, (struct later){.run = run_step});
}

static uint32_t unwanted_node(struct sim *sim, const struct shard *shard)
{
    uint32_t node;
    do {
        node = (uint32_t)below(sim, sim->plan.node_count);
    } while (is_wanted(shard, node));
    return node;
}

/* Two replicas more, or less. */
static void resize(struct sim *sim, struct shard *shard)
{
    if (shard->wanted_count < REPLICAS_MAX &&
        shard->wanted_count + 2 <= sim->plan.node_count) {
        for (uint32_t i = 0; i < 2; i++) {
            uint32_t node = unwanted_node(sim, shard);
            shard->wanted[shard->wanted_count++] = node;
        }
    } else if (shard->wanted_count >= 3) {
        shard->wanted_count -= 2;
    }
    say(sim, "g%u shall have %u replicas", shard->id, shard->wanted_count);
}

void operator_move(struct sim *sim, uint32_t at)
{
    struct shard *shard = &sim->shards[at];
    if (chance(sim, 30)) {
        resize(sim, shard);
    } else if (shard->wanted_count < sim->plan.node_count) {
        uint32_t i = (uint32_t)below(sim, shard->wanted_count);
        uint32_t node = unwanted_node(sim, shard);
        say(sim, "g%u moves from n%u to n%u", at, shard->wanted[i], node);
        shard->wanted[i] = node;
    }
}

/* ---- what can be borne ---- */

static bool may_lose(struct sim *sim, const struct shard *shard, uint32_t node)
{
    const struct node *leader = operator_leader(sim, shard->id);
    if (!leader) {
        return false;
    }
    const struct raft *raft = raft_on(leader, shard->id);
    const struct raft_configuration *members = raft_newest_configuration(raft);
    if (members != raft_committed_configuration(raft) ||
        world_now_ns(sim->world) < shard->order_until_ns) {
        return false;
    }
    uint32_t voters = raft_configuration_voter_count(members);
    uint32_t damaged = 0;
    bool belongs = false;
    for (uint32_t i = 0; i < members->count; i++) {
        const struct raft_member *member = &members->members[i];
        if (member->node == node) {
            belongs = true;
            voters += !member->is_voter; /* it may be promoted right now */
        } else if (member->is_voter) {
            damaged += is_damaged(sim, shard, member);
        }
    }
    return !belongs || damaged + 1 <= (voters - 1) / 2;
}

bool operator_may_lose(struct sim *sim, uint32_t node)
{
    for (uint32_t i = 0; i < sim->plan.shard_count; i++) {
        if (!may_lose(sim, &sim->shards[i], node)) {
            return false;
        }
    }
    return true;
}
