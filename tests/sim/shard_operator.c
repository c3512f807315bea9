/*
 * What an operator does in the simulator of shards: states of members, moves
 * by hand, nodes that join and nodes that are retired.
 */

#include "base/owner.h"
#include "tests/sim/shard_sim_core.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETIRE_NS (15 * NS_PER_S)
#define MEMBERS_MIN 4 /* for one of them to go: replicas need three */

/* ---- orders ---- */

struct order {
    struct call call;
    struct sim *sim;
    bool is_stale; /* it must be refused */
    char text[64];
};

static void on_ordered(struct call *call, enum err err, struct bytes answer)
{
    struct order *order = OWNER_OF(call, struct order, call);
    say(order->sim, "%s: %s %.*s", order->text, err_text(err),
        (int)(err ? answer.length : 0),
        answer.length > 0 ? (const char *)answer.data : "");
    if (order->is_stale && !err) {
        broken(order->sim, "orders",
               "what was planned from an older version is accepted: %s",
               order->text);
    }
    free(order);
}

void operator_give(struct node *node, struct view_change *change, bool is_stale)
{
    struct order *order = calloc(1, sizeof *order);
    assert(order);
    *order = (struct order){
        .call = {.done = on_ordered}, .sim = node->sim, .is_stale = is_stale};
    (void)snprintf(order->text, sizeof order->text, "%.60s", change->text);
    (void)snprintf(change->who, sizeof change->who, "operator/sim");
    if (host_change(node->host, change, &order->call)) {
        free(order);
    }
}

static void set_state(struct node *node,
                      const struct member *member,
                      enum member_state state)
{
    struct view_change change = {.kind = VIEW_MEMBER_SET, .member = *member};
    change.member.state = state;
    view_change_say(&change, "%s: %s", member->name, member_state_name(state));
    operator_give(node, &change, false);
}

static void set_some_state(struct sim *sim, enum member_state state)
{
    struct node *node = some_member(sim);
    const struct view *view = node ? host_view(node->host) : NULL;
    if (view) {
        set_state(node, &view->members.list[below(sim, view->members.count)],
                  state);
    }
}

static void drain(struct sim *sim)
{
    set_some_state(sim, MEMBER_DRAINING);
}

static void cordon(struct sim *sim)
{
    set_some_state(sim, MEMBER_CORDONED);
}

static void activate(struct sim *sim)
{
    set_some_state(sim, MEMBER_ACTIVE);
}

static void pause_moves(struct node *node, bool is_paused)
{
    struct view_change change = {.kind = VIEW_PAUSE, .flag = is_paused};
    view_change_say(&change, "moves %s", is_paused ? "pause" : "go on");
    operator_give(node, &change, false);
}

static void pause_or_resume(struct sim *sim)
{
    struct node *node = some_member(sim);
    if (node) {
        pause_moves(node, !host_view(node->host)->is_paused);
    }
}

/* ---- moves by hand ---- */

/* `to` owns it: it takes the place of the owner, or changes places with it. */
static void make_owner(struct shard_place *place, uint32_t to)
{
    uint32_t at = 0;
    while (at < place->replica_count && place->replicas[at] != to) {
        at++;
    }
    if (at < place->replica_count) {
        place->replicas[at] = place->replicas[0];
    }
    place->replicas[0] = to;
}

static void move(struct sim *sim)
{
    struct node *node = some_member(sim);
    const struct view *view = node ? host_view(node->host) : NULL;
    if (!view || !view->is_founded) {
        return;
    }
    const struct member *to =
        &view->members.list[below(sim, view->members.count)];
    struct view_move moved = {.shard = (uint32_t)below(sim, sim->shard_count)};
    bool is_stale = chance(sim, 20) && view->map.version > 1;
    moved.place = view->map.places[moved.shard];
    make_owner(&moved.place, to->number);
    struct view_change change = {.kind = VIEW_PLACE,
                                 .map_version = view->map.version - is_stale,
                                 .moves = &moved,
                                 .move_count = 1};
    view_change_say(&change, "shard %u to %s%s", moved.shard, to->name,
                    is_stale ? ", by an older map" : "");
    sim->memory.by_hand_ns[moved.shard] = now_ns(sim);
    operator_give(node, &change, is_stale);
}

/* ---- settings ---- */

/* More replicas than that many nodes can have are as many as there are nodes;
 * fewer than three the faults do not leave room for. */
static void change_settings(struct sim *sim)
{
    struct node *node = some_member(sim);
    const struct view *view = node ? host_view(node->host) : NULL;
    if (!view) {
        return;
    }
    bool is_stale = chance(sim, 20) && view->settings.version > 1;
    struct view_change change = {.kind = VIEW_SETTINGS};
    enum err err = view_settings_copy(&change.settings, &view->settings);
    if (!err) {
        err = view_settings_set(&change.settings, "cluster.replication",
                                view->replication == 3 ? "5" : "3");
    }
    assert(!err);
    (void)err;
    change.settings.version -= is_stale;
    view_change_say(&change, "replication %u is changed%s", view->replication,
                    is_stale ? ", by an older plan" : "");
    operator_give(node, &change, is_stale);
    view_change_clear(&change);
}

/* ---- pools ---- */

static void give_pool(struct node *node, const struct task_pool *pool)
{
    struct view_change change = {.kind = VIEW_POOL_SET, .pool = *pool};
    if (node->sim->has_schedules) {
        sim_schedules_make(&change.pool);
    }
    view_change_say(&change, "pool %s%s", pool->name,
                    pool->is_paused ? " is paused" : "");
    operator_give(node, &change, false);
}

static void change_pool(struct sim *sim)
{
    struct node *node = some_member(sim);
    enum sim_pool which = (enum sim_pool)below(sim, SIM_POOL_COUNT);
    struct task_pool pool;
    if (!node || !host_view(node->host)->is_founded) {
        return;
    }
    sim_pool_make(&pool, which);
    if (which == SIM_POOL_BRIEF && chance(sim, 30)) {
        struct view_change change = {.kind = VIEW_POOL_REMOVE, .pool = pool};
        view_change_say(&change, "pool %s is removed", pool.name);
        operator_give(node, &change, false);
        return;
    }
    pool.workers = 1 + (uint32_t)below(sim, 4);
    pool.is_paused = chance(sim, 25);
    give_pool(node, &pool);
}

static bool is_calm(const struct task_pool *present,
                    const struct task_pool *wanted)
{
    return present && !present->is_paused &&
           present->workers == wanted->workers &&
           present->timeout_ms == wanted->timeout_ms;
}

bool pools_are_calm(const struct view *view, struct err_detail *why)
{
    for (uint32_t i = 0; i < SIM_POOL_COUNT; i++) {
        struct task_pool pool;
        sim_pool_make(&pool, (enum sim_pool)i);
        if (!is_calm(task_pools_find(&view->pools, bytes_of_text(pool.name)),
                     &pool)) {
            err_explain(why, "pool %s is not as it shall be", pool.name);
            return false;
        }
    }
    return true;
}

void calm_pools(struct sim *sim)
{
    struct node *node = some_member(sim);
    const struct view *view = node ? host_view(node->host) : NULL;
    for (uint32_t i = 0; view && i < SIM_POOL_COUNT; i++) {
        struct task_pool pool;
        sim_pool_make(&pool, (enum sim_pool)i);
        if (!is_calm(task_pools_find(&view->pools, bytes_of_text(pool.name)),
                     &pool)) {
            give_pool(node, &pool);
        }
    }
}

/* ---- joining ---- */

static void join(struct sim *sim)
{
    struct node *node = some_node(sim);
    if (node->is_member || node->host || sim->retirement.node == node) {
        return;
    }
    if (node->is_made && chance(sim, 60)) {
        node_wipe(node);
    }
    if (node->name_count > 0 || node->is_made) {
        /* A forgotten one, with what it had. */
    } else if (chance(sim, 40)) {
        node_rename(node);
    }
    say(sim, "%s is to join", node->name);
    node->is_member = true;
    sim->result.joins++;
    node_start(node);
}

/* ---- retiring ---- */

static void forget(struct node *node, const struct member *member)
{
    struct view_change change = {.kind = VIEW_MEMBER_FORGET,
                                 .number = member->number};
    view_change_say(&change, "forget %s", member->name);
    operator_give(node, &change, false);
    for (uint32_t i = 0; i < node->sim->node_count; i++) {
        struct node *forgotten = &node->sim->nodes[i];
        if (strcmp(forgotten->name, member->name) == 0) {
            forgotten->forgotten_ns = now_ns(node->sim);
        }
    }
}

static bool has_shards(const struct view *view, uint32_t number)
{
    bool has = false;
    for (uint32_t i = 0; i < view->map.shard_count; i++) {
        has = has || shard_place_has(&view->map.places[i], number);
    }
    return has;
}

/* Also those that the map has taken away, and that are still needed until
 * others have all: who forgets it then may lose the shard. */
static bool has_replicas(const struct sim *sim, const char *name)
{
    for (uint32_t i = 0; i < sim->node_count; i++) {
        const struct node *node = &sim->nodes[i];
        for (uint32_t id = 0; node->host && id <= sim->shard_count; id++) {
            if (strcmp(node->name, name) == 0 && host_group(node->host, id)) {
                return true;
            }
        }
    }
    return false;
}

/* Refused as long as it has shards. */
static void forget_some(struct sim *sim)
{
    struct node *node = some_member(sim);
    const struct view *view = node ? host_view(node->host) : NULL;
    if (view && view->members.count >= MEMBERS_MIN) {
        const struct member *member =
            &view->members.list[below(sim, view->members.count)];
        if (has_shards(view, member->number) ||
            !has_replicas(sim, member->name)) {
            forget(node, member);
        }
    }
}

static void retire(struct sim *sim)
{
    struct node *node = some_node(sim);
    const struct view *view = node->host ? host_view(node->host) : NULL;
    if (view && !sim->retirement.node && node->is_member &&
        view->members.count >= MEMBERS_MIN) {
        say(sim, "%s is to be retired", node->name);
        sim->retirement =
            (struct retirement){.node = node,
                                .until_ns = now_ns(sim) + RETIRE_NS,
                                .view_version = view->version};
    }
}

static void end_retirement(struct sim *sim)
{
    sim->retirement.node = NULL;
}

/* Drain, stop, forget; whoever does it looks at another node. */
void operator_step(struct sim *sim)
{
    struct retirement *retirement = &sim->retirement;
    struct node *node = retirement->node;
    struct node *other = some_member(sim);
    if (!node || !other || other == node || chance(sim, 80)) {
        return;
    }
    const struct view *view = host_view(other->host);
    const struct member *member = members_find_name(&view->members, node->name);
    if (now_ns(sim) > retirement->until_ns) {
        end_retirement(sim);
    } else if (view->version < retirement->view_version) {
        return; /* it is older than what was looked at before */
    } else if (!member && retirement->is_stopped) {
        say(sim, "%s is retired", node->name);
        node->is_member = node->host != NULL;
        sim->result.forgotten++;
        end_retirement(sim);
    } else if (member && member->state != MEMBER_DRAINING &&
               !retirement->is_stopped) {
        set_state(other, member, MEMBER_DRAINING);
    } else if (member && !has_shards(view, member->number)) {
        if (!retirement->is_stopped) {
            if (!node->host || has_replicas(sim, node->name)) {
                return; /* until it has dropped them */
            }
            retirement->is_stopped = true;
            node_leave(node);
        } else if (!node->host) {
            forget(other, member);
        }
    }
}

/* ---- the menu ---- */

static const struct {
    void (*run)(struct sim *sim);
    uint32_t weight;
} menu[] = {
    {drain, 10},        {cordon, 8},       {activate, 22},
    {move, 22},         {join, 14},        {pause_or_resume, 10},
    {retire, 10},       {forget_some, 6},  {change_settings, 4},
    {backup_begin, 12}, {change_pool, 14},
};

void operate(struct sim *sim)
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
    menu[at].run(sim);
}

void operator_calm(struct sim *sim)
{
    struct node *node = some_member(sim);
    const struct view *view = node ? host_view(node->host) : NULL;
    end_retirement(sim);
    if (!view) {
        return;
    }
    for (uint32_t i = 0; i < view->members.count; i++) {
        const struct member *member = &view->members.list[i];
        if (member->state == MEMBER_DRAINING ||
            member->state == MEMBER_CORDONED) {
            set_state(node, member, MEMBER_ACTIVE);
        }
    }
    if (view->is_paused) {
        pause_moves(node, false);
    }
    calm_pools(sim);
}
