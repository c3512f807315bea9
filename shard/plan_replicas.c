/*
 * Who holds what, in four steps, of which only the first two do anything when
 * nothing but a node's leaving has happened:
 *
 *   trim        drop the replicas that are too many
 *   fill        add those that are missing
 *   spread      part those that stand in one zone (only when asked)
 *   even out    raise a site that has less than nine tenths of its fair share
 *               to that share rounded down, by hops from those that have most
 *               above theirs; lower each to its bound
 *
 * A shard chooses among the sites that are equally good by rendezvous. When
 * all sites that would do are full, a chain of hops makes room in one.
 */

#include "shard/plan.h"

#include <assert.h>
#include <stdlib.h>

#define ROUNDS_MAX 8

/* How good a site is for one more replica: the lower, the better. */
enum rank {
    RANK_BELOW, /* it has less than its share */
    RANK_SHARE, /* it has at most its share */
    RANK_ROOM,  /* it is within its bound */
    RANK_SAME_ZONE,
    RANK_FULL = 2 * RANK_SAME_ZONE,
    RANK_NEVER,
};

static uint32_t min_of(uint32_t left, uint32_t right)
{
    return left < right ? left : right;
}

static uint32_t taker_count(const struct plan *plan)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->site_count; i++) {
        count += plan->sites[i].takes;
    }
    return count;
}

/* Replicas on sites that are cordoned: they stay. */
static uint32_t staying_count(const struct plan *plan, uint32_t shard)
{
    const struct holding *holding = &plan->holdings[shard];
    uint32_t count = 0;
    for (uint32_t i = 0; i < holding->count; i++) {
        count += !plan->sites[holding->sites[i]].takes;
    }
    return count;
}

/* ---- shares ---- */

/* How many replicas each shard is to have, and how many of all are to stand
 * on sites that take. */
static uint32_t set_wanted(struct plan *plan)
{
    uint32_t takers = taker_count(plan);
    uint32_t total = 0;
    for (uint32_t i = 0; i < plan->shard_count; i++) {
        uint32_t staying = staying_count(plan, i);
        uint32_t wanted = min_of(plan->replication, takers + staying);
        plan->holdings[i].wanted = (uint8_t)wanted;
        total += wanted > staying ? wanted - staying : 0;
    }
    return total;
}

/*
 * A site's bound is a tenth above its share, but at most `replication` times
 * the shards that it may lead, rounded up. Then each shard can have an owner
 * within the bound of owners: let every replica lead an equal part of its
 * shard; that is a fractional assignment within the bounds, so there is a
 * whole one (Hall 1935).
 */
static void set_shares(struct plan *plan, uint32_t total)
{
    struct share replicas[SHARD_NODES_MAX];
    struct share owners[SHARD_NODES_MAX];
    for (uint32_t i = 0; i < plan->site_count; i++) {
        const struct site *site = &plan->sites[i];
        replicas[i] = (struct share){.weight = site->takes ? site->weight : 0,
                                     .limit = plan->shard_count};
        owners[i] = replicas[i];
    }
    share_out(replicas, plan->site_count, total);
    share_out(owners, plan->site_count, plan->shard_count);
    for (uint32_t i = 0; i < plan->site_count; i++) {
        uint32_t led = plan->replication * owners[i].up;
        uint32_t bound = min_of(replicas[i].loose, led);
        if (bound < replicas[i].up) {
            bound = replicas[i].up;
        }
        plan->sites[i].replicas = replicas[i];
        plan->sites[i].replicas.loose = bound;
    }
}

/* ---- trim ---- */

/* Whether `one` should go rather than `other`. */
static bool goes_first(const struct plan *plan,
                       uint32_t shard,
                       uint16_t one,
                       uint16_t other)
{
    const struct site *sites = plan->sites;
    uint16_t owner = plan->holdings[shard].before;
    if ((one == owner) != (other == owner)) {
        return other == owner;
    }
    if (sites[one].takes != sites[other].takes) {
        return sites[one].takes; /* who is cordoned keeps what it has */
    }
    bool is_double = plan_is_zone_used(plan, shard, one, one);
    if (is_double != plan_is_zone_used(plan, shard, other, other)) {
        return is_double;
    }
    int64_t above = (int64_t)sites[one].load - sites[one].replicas.down;
    int64_t other_above =
        (int64_t)sites[other].load - sites[other].replicas.down;
    if (above != other_above) {
        return above > other_above;
    }
    return plan_distance(plan, shard, one) > plan_distance(plan, shard, other);
}

static void trim(struct plan *plan, uint32_t shard)
{
    struct holding *holding = &plan->holdings[shard];
    while (holding->count > holding->wanted) {
        uint16_t worst = holding->sites[0];
        for (uint32_t i = 1; i < holding->count; i++) {
            if (goes_first(plan, shard, holding->sites[i], worst)) {
                worst = holding->sites[i];
            }
        }
        plan_take(plan, shard, worst);
    }
}

/* ---- fill ---- */

static enum rank room_of(const struct site *site)
{
    if (site->load < site->replicas.down) {
        return RANK_BELOW;
    }
    if (site->load < site->replicas.up) {
        return RANK_SHARE;
    }
    return site->load < site->replicas.loose ? RANK_ROOM : RANK_FULL;
}

static enum rank rank_of(const struct plan *plan, uint32_t shard, uint16_t site)
{
    if (!plan->sites[site].takes || plan_has(plan, shard, site)) {
        return RANK_NEVER;
    }
    enum rank room = room_of(&plan->sites[site]);
    bool is_same_zone =
        room != RANK_FULL && plan_is_zone_used(plan, shard, site, SITE_NONE);
    return is_same_zone ? room + RANK_SAME_ZONE : room;
}

struct choice {
    enum rank rank; /* RANK_NEVER: there is none */
    uint16_t site;
    uint64_t distance;
};

static struct choice choose(const struct plan *plan, uint32_t shard)
{
    struct choice best = {.rank = RANK_NEVER, .site = SITE_NONE};
    for (uint16_t i = 0; i < plan->site_count; i++) {
        enum rank rank = rank_of(plan, shard, i);
        if (rank > best.rank || rank == RANK_NEVER) {
            continue;
        }
        uint64_t distance = plan_distance(plan, shard, i);
        if (rank < best.rank || distance < best.distance) {
            best =
                (struct choice){.rank = rank, .site = i, .distance = distance};
        }
    }
    return best;
}

/* Full sites that would do for the shard, and from which nobody has found yet
 * that there is no way to one with room. */
static bool mark_full(struct plan *plan, uint32_t shard, bool may_join_zones)
{
    bool has_some = false;
    for (uint16_t i = 0; i < plan->site_count; i++) {
        uint8_t *mark = &plan->marks[i];
        enum rank room = room_of(&plan->sites[i]);
        *mark &= CHAIN_DEAD;
        if (room < RANK_FULL) {
            *mark |= CHAIN_TO;
        } else if (!(*mark & CHAIN_DEAD) && plan->sites[i].takes &&
                   !plan_has(plan, shard, i) &&
                   (may_join_zones ||
                    !plan_is_zone_used(plan, shard, i, SITE_NONE))) {
            *mark |= CHAIN_FROM;
            has_some = true;
        }
    }
    return has_some;
}

static void bury(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->site_count; i++) {
        if (plan->marks[i] & CHAIN_FROM) {
            plan->marks[i] |= CHAIN_DEAD;
        }
    }
}

static void forget_marks(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->site_count; i++) {
        plan->marks[i] = 0;
    }
}

/* Room for the shard in a full site, which is returned; or SITE_NONE. */
static uint16_t make_room(struct plan *plan,
                          uint32_t shard,
                          bool may_join_zones)
{
    if (!mark_full(plan, shard, may_join_zones)) {
        return SITE_NONE;
    }
    struct chain_rules rules = {.except = shard,
                                .may_join_zones = may_join_zones};
    uint16_t site = plan_chain(plan, rules);
    if (site == SITE_NONE && !plan->is_fresh) {
        rules.may_move_again = true;
        site = plan_chain(plan, rules);
    }
    if (site == SITE_NONE) {
        bury(plan);
    }
    return site;
}

/* A site in a zone of its own, with room; or SITE_NONE. */
static uint16_t find_apart(struct plan *plan, uint32_t shard)
{
    struct choice choice = choose(plan, shard);
    return choice.rank < RANK_SAME_ZONE ? choice.site
                                        : make_room(plan, shard, false);
}

static void fill(struct plan *plan, uint32_t shard)
{
    struct holding *holding = &plan->holdings[shard];
    while (holding->count < holding->wanted) {
        uint16_t site = find_apart(plan, shard);
        if (site == SITE_NONE) {
            struct choice choice = choose(plan, shard);
            site = choice.rank < RANK_FULL ? choice.site
                                           : make_room(plan, shard, true);
            if (site == SITE_NONE) {
                site = choice.site; /* a replica matters more than bounds */
            }
        }
        assert(site != SITE_NONE);
        plan_put(plan, shard, site);
    }
}

/* ---- spread ---- */

static bool part(struct plan *plan, uint32_t shard, uint16_t from)
{
    bool was_moved = plan->holdings[shard].is_moved;
    plan_take(plan, shard, from);
    uint16_t to = find_apart(plan, shard);
    plan_put(plan, shard, to == SITE_NONE ? from : to);
    if (to == SITE_NONE) {
        plan->holdings[shard].is_moved = was_moved;
    }
    return to != SITE_NONE;
}

/* Two replicas of it stand in one zone, and one of them may go. SITE_NONE:
 * no. */
static uint16_t find_doubled(const struct plan *plan, uint32_t shard)
{
    const struct holding *holding = &plan->holdings[shard];
    for (uint32_t i = 0; i < holding->count; i++) {
        uint16_t site = holding->sites[i];
        if (plan->sites[site].takes &&
            plan_is_zone_used(plan, shard, site, site)) {
            return site;
        }
    }
    return SITE_NONE;
}

static bool spread_zones(struct plan *plan)
{
    bool has_changed = false;
    forget_marks(plan);
    for (uint32_t i = 0; i < plan->shard_count; i++) {
        uint16_t site = find_doubled(plan, i);
        while (site != SITE_NONE && part(plan, i, site)) {
            has_changed = true;
            site = find_doubled(plan, i);
        }
    }
    return has_changed;
}

/* ---- even out ---- */

static int compare_u64(uint64_t left, uint64_t right)
{
    return left < right ? -1 : left > right;
}

/* By whom they come from, then the best first. */
static int compare_offers(const void *left, const void *right)
{
    const struct plan_offer *one = left;
    const struct plan_offer *other = right;
    if (one->hop.from != other->hop.from) {
        return compare_u64(one->hop.from, other->hop.from);
    }
    if (one->cost != other->cost) {
        return one->cost < other->cost ? -1 : 1;
    }
    if (one->distance != other->distance) {
        return compare_u64(one->distance, other->distance);
    }
    return compare_u64(one->hop.shard, other->hop.shard);
}

/* Above its share rounded down; 0 also when it gives nothing. */
static uint32_t surplus(const struct site *site)
{
    return site->takes && site->load > site->replicas.down
               ? site->load - site->replicas.down
               : 0;
}

/* Zones first; then the owner rather stays. 2 and more: never. */
static int cost_of(const struct plan *plan, struct hop hop)
{
    return 2 * plan_zone_change(plan, hop) +
           (plan->holdings[hop.shard].before == hop.from);
}

static uint32_t offer_shard(struct plan *plan,
                            uint32_t shard,
                            uint16_t to,
                            uint32_t count)
{
    const struct holding *holding = &plan->holdings[shard];
    uint64_t distance = plan_distance(plan, shard, to);
    for (uint32_t i = 0; i < holding->count; i++) {
        struct hop hop = {.shard = shard, .from = holding->sites[i], .to = to};
        int cost = cost_of(plan, hop);
        if (surplus(&plan->sites[hop.from]) > 0 && cost < 2) {
            plan->offers[count++] = (struct plan_offer){
                .hop = hop, .cost = cost, .distance = distance};
        }
    }
    return count;
}

/* All hops to `to` from sites with a surplus: into plan->offers, sorted; and
 * each site's first one into its link. */
static uint32_t gather_offers(struct plan *plan,
                              uint16_t to,
                              bool may_move_again)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->shard_count; i++) {
        if ((may_move_again || !plan->holdings[i].is_moved) &&
            !plan_has(plan, i, to)) {
            count = offer_shard(plan, i, to, count);
        }
    }
    qsort(plan->offers, count, sizeof *plan->offers, compare_offers);
    for (uint32_t i = 0; i < plan->site_count; i++) {
        plan->first_offers[i] = count;
    }
    for (uint32_t i = count; i > 0; i--) {
        plan->first_offers[plan->offers[i - 1].hop.from] = i - 1;
    }
    return count;
}

/* The next of a site's offers of which the shard is not there yet. */
static const struct plan_offer *next_offer(struct plan *plan,
                                           uint16_t from,
                                           uint32_t count)
{
    uint32_t *next = &plan->first_offers[from];
    while (*next < count && plan->offers[*next].hop.from == from &&
           plan_has(plan, plan->offers[*next].hop.shard,
                    plan->offers[*next].hop.to)) {
        (*next)++;
    }
    return *next < count && plan->offers[*next].hop.from == from
               ? &plan->offers[*next]
               : NULL;
}

/* The best offer of the site that has most to spare; NULL: there is none. */
static const struct plan_offer *best_offer(struct plan *plan, uint32_t count)
{
    const struct plan_offer *best = NULL;
    uint32_t most = 0;
    for (uint16_t i = 0; i < plan->site_count; i++) {
        uint32_t above = surplus(&plan->sites[i]);
        const struct plan_offer *offer =
            above > 0 && above >= most ? next_offer(plan, i, count) : NULL;
        if (offer &&
            (above > most || offer->cost < best->cost ||
             (offer->cost == best->cost && offer->distance < best->distance))) {
            best = offer;
            most = above;
        }
    }
    return best;
}

/* Until it has its share, from those that have most to spare. An offer stays
 * as good as it was: only shards that `to` has got by now have changed. */
static void pull(struct plan *plan, uint16_t to, bool may_move_again)
{
    const struct site *site = &plan->sites[to];
    uint32_t count = gather_offers(plan, to, may_move_again);
    while (site->load < site->replicas.down) {
        const struct plan_offer *offer = best_offer(plan, count);
        if (!offer) {
            return;
        }
        plan_hop(plan, offer->hop);
    }
}

static bool pull_by_chain(struct plan *plan, uint16_t to, bool may_move_again)
{
    for (uint16_t i = 0; i < plan->site_count; i++) {
        plan->marks[i] = surplus(&plan->sites[i]) > 0 ? CHAIN_FROM : 0;
    }
    plan->marks[to] = CHAIN_TO;
    struct chain_rules rules = {.except = UINT32_MAX,
                                .may_move_again = may_move_again};
    return plan_chain(plan, rules) != SITE_NONE;
}

static bool raise_site(struct plan *plan, uint16_t to)
{
    const struct site *site = &plan->sites[to];
    uint32_t load = site->load;
    bool may_move_again = plan->is_fresh;
    if (!site->takes || site->load >= site->replicas.scant) {
        return false;
    }
    do {
        pull(plan, to, may_move_again);
        if (site->load < site->replicas.down &&
            !pull_by_chain(plan, to, may_move_again)) {
            if (may_move_again) {
                break;
            }
            may_move_again = true;
        }
    } while (site->load < site->replicas.down);
    return site->load > load;
}

/* One replica less, to a site with room. */
static bool push_one(struct plan *plan, uint16_t from, struct chain_rules rules)
{
    for (uint16_t i = 0; i < plan->site_count; i++) {
        plan->marks[i] = room_of(&plan->sites[i]) < RANK_FULL ? CHAIN_TO : 0;
    }
    plan->marks[from] = CHAIN_FROM;
    return plan_chain(plan, rules) != SITE_NONE;
}

/* Zones are heeded as far as that can be. */
static bool lower_site(struct plan *plan, uint16_t from)
{
    static const struct chain_rules rules[] = {
        {.except = UINT32_MAX},
        {.except = UINT32_MAX, .may_move_again = true},
        {.except = UINT32_MAX, .may_join_zones = true},
        {.except = UINT32_MAX, .may_move_again = true, .may_join_zones = true},
    };
    const struct site *site = &plan->sites[from];
    uint32_t load = site->load;
    uint32_t i = 0;
    while (site->takes && site->load > site->replicas.loose &&
           i < sizeof rules / sizeof rules[0]) {
        if (!push_one(plan, from, rules[i])) {
            i++;
        }
    }
    return site->load < load;
}

static bool even_out(struct plan *plan)
{
    bool has_changed = false;
    for (uint16_t i = 0; i < plan->site_count; i++) {
        has_changed |= raise_site(plan, i);
    }
    for (uint16_t i = 0; i < plan->site_count; i++) {
        has_changed |= lower_site(plan, i);
    }
    return has_changed;
}

void plan_replicas(struct plan *plan, bool spreads_zones)
{
    set_shares(plan, set_wanted(plan));
    for (uint32_t i = 0; i < plan->shard_count; i++) {
        trim(plan, i);
    }
    forget_marks(plan);
    for (uint32_t i = 0; i < plan->shard_count; i++) {
        fill(plan, i);
    }
    bool has_changed = true;
    for (int i = 0; i < ROUNDS_MAX && has_changed; i++) {
        has_changed = spreads_zones && spread_zones(plan);
        has_changed |= even_out(plan);
    }
}
