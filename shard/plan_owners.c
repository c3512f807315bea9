/*
 * Who leads: each shard one of those that hold it, no site more than its fair
 * share rounded up, and none less than it rounded down if that can be. Owners
 * stay who they are as far as these bounds allow; where they do not, chains of
 * shards change hands (augmenting paths of a bipartite assignment).
 */

#include "shard/plan.h"

static void give(struct plan *plan, uint32_t shard, uint16_t site)
{
    struct holding *holding = &plan->holdings[shard];
    if (holding->owner != SITE_NONE) {
        plan->sites[holding->owner].owner_count--;
    }
    holding->owner = site;
    plan->sites[site].owner_count++;
}

/* Who is cordoned leads what it led, and nothing new. */
static void keep_cordoned(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->shard_count; i++) {
        uint16_t before = plan->holdings[i].before;
        if (before != SITE_NONE && !plan->sites[before].takes &&
            plan_has(plan, i, before)) {
            give(plan, i, before);
        }
    }
}

static void set_shares(struct plan *plan)
{
    struct share shares[SHARD_NODES_MAX];
    uint32_t total = 0;
    for (uint32_t i = 0; i < plan->shard_count; i++) {
        const struct holding *holding = &plan->holdings[i];
        total += holding->count > 0 && holding->owner == SITE_NONE;
    }
    for (uint32_t i = 0; i < plan->site_count; i++) {
        const struct site *site = &plan->sites[i];
        shares[i] = (struct share){.weight = site->takes ? site->weight : 0,
                                   .limit = plan->shard_count};
    }
    share_out(shares, plan->site_count, total);
    for (uint32_t i = 0; i < plan->site_count; i++) {
        plan->sites[i].owners = shares[i];
    }
}

static bool has_room(const struct site *site)
{
    return site->takes && site->owner_count < site->owners.up;
}

static void keep_others(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->shard_count; i++) {
        const struct holding *holding = &plan->holdings[i];
        if (holding->owner == SITE_NONE && holding->before != SITE_NONE &&
            has_room(&plan->sites[holding->before]) &&
            plan_has(plan, i, holding->before)) {
            give(plan, i, holding->before);
        }
    }
}

/* Of its replicas with room, one below its share first, then the nearest;
 * SITE_NONE: there is none. */
static uint16_t choose(const struct plan *plan, uint32_t shard)
{
    const struct holding *holding = &plan->holdings[shard];
    uint16_t best = SITE_NONE;
    bool best_is_below = false;
    for (uint32_t i = 0; i < holding->count; i++) {
        uint16_t site = holding->sites[i];
        const struct site *at = &plan->sites[site];
        bool is_below = at->owner_count < at->owners.down;
        if (!has_room(at) || (best_is_below && !is_below)) {
            continue;
        }
        if (best == SITE_NONE || is_below != best_is_below ||
            plan_distance(plan, shard, site) <
                plan_distance(plan, shard, best)) {
            best = site;
            best_is_below = is_below;
        }
    }
    return best;
}

/* ---- chains ---- */

static void clear_links(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->site_count; i++) {
        plan->links[i] = (struct chain_link){.from = SITE_NONE};
    }
}

static uint32_t visit(struct plan *plan, struct hop hop, uint32_t queued)
{
    plan->links[hop.to] = (struct chain_link){
        .from = hop.from, .shard = hop.shard, .is_visited = true};
    plan->queue[queued] = hop.to;
    return queued + 1;
}

/* Give on the shards of the way to `end`; where it began. */
static uint16_t walk_back(struct plan *plan, uint16_t end)
{
    while (plan->links[end].from != SITE_NONE) {
        give(plan, plan->links[end].shard, end);
        end = plan->links[end].from;
    }
    return end;
}

/*
 * From the `queued` sites of the queue on, until one that is marked CHAIN_TO:
 * shards on the way change hands. Where the way began; SITE_NONE: no way.
 */
static uint16_t pass_on(struct plan *plan, uint32_t queued)
{
    for (uint32_t i = 0; i < queued; i++) {
        uint16_t from = plan->queue[i];
        for (uint32_t j = 0; j < plan->shard_count; j++) {
            const struct holding *holding = &plan->holdings[j];
            for (uint32_t k = 0; holding->owner == from && k < holding->count;
                 k++) {
                uint16_t to = holding->sites[k];
                if (!plan->sites[to].takes || plan->links[to].is_visited) {
                    continue;
                }
                queued = visit(plan,
                               (struct hop){.shard = j, .from = from, .to = to},
                               queued);
                if (plan->marks[to] & CHAIN_TO) {
                    return walk_back(plan, to);
                }
            }
        }
    }
    return SITE_NONE;
}

/* One of the shard's sites, all of which lead enough, gives another shard
 * away; SITE_NONE: that cannot be. */
static uint16_t make_room(struct plan *plan, uint32_t shard)
{
    const struct holding *holding = &plan->holdings[shard];
    uint32_t queued = 0;
    clear_links(plan);
    for (uint32_t i = 0; i < plan->site_count; i++) {
        plan->marks[i] = has_room(&plan->sites[i]) ? CHAIN_TO : 0;
    }
    for (uint32_t i = 0; i < holding->count; i++) {
        uint16_t site = holding->sites[i];
        if (plan->sites[site].takes) {
            queued = visit(plan, (struct hop){.from = SITE_NONE, .to = site},
                           queued);
        }
    }
    return pass_on(plan, queued);
}

/* Beyond the bounds: who led it, or who takes and leads least. */
static uint16_t make_do(const struct plan *plan, uint32_t shard)
{
    const struct holding *holding = &plan->holdings[shard];
    if (holding->before != SITE_NONE &&
        plan_has(plan, shard, holding->before)) {
        return holding->before;
    }
    uint16_t best = holding->sites[0];
    for (uint32_t i = 1; i < holding->count; i++) {
        uint16_t site = holding->sites[i];
        const struct site *one = &plan->sites[site];
        const struct site *other = &plan->sites[best];
        if (one->takes != other->takes ? one->takes
            : one->owner_count != other->owner_count
                ? one->owner_count < other->owner_count
                : one->number < other->number) {
            best = site;
        }
    }
    return best;
}

static void give_to_somebody(struct plan *plan, uint32_t shard)
{
    uint16_t site = choose(plan, shard);
    if (site == SITE_NONE) {
        site = make_room(plan, shard);
    }
    give(plan, shard, site == SITE_NONE ? make_do(plan, shard) : site);
}

/* One more for a site, from one that leads more than its share; whether. */
static bool raise_site(struct plan *plan, uint16_t to)
{
    uint32_t queued = 0;
    clear_links(plan);
    for (uint16_t i = 0; i < plan->site_count; i++) {
        const struct site *site = &plan->sites[i];
        plan->marks[i] = i == to ? CHAIN_TO : 0;
        if (site->takes && site->owner_count > site->owners.down) {
            queued =
                visit(plan, (struct hop){.from = SITE_NONE, .to = i}, queued);
        }
    }
    return pass_on(plan, queued) != SITE_NONE;
}

void plan_owners(struct plan *plan)
{
    keep_cordoned(plan);
    set_shares(plan);
    keep_others(plan);
    for (uint32_t i = 0; i < plan->shard_count; i++) {
        const struct holding *holding = &plan->holdings[i];
        if (holding->count > 0 && holding->owner == SITE_NONE) {
            give_to_somebody(plan, i);
        }
    }
    for (uint16_t i = 0; i < plan->site_count; i++) {
        const struct site *site = &plan->sites[i];
        while (site->takes && site->owner_count < site->owners.down &&
               raise_site(plan, i)) {
        }
    }
}
