/*
 * Breadth first over sites: from X one gets to Y if some shard can hop from X
 * to Y. The way found has the fewest hops; no shard is on it twice, so that
 * each hop is as allowed when it is done as when it was found.
 */

#include "shard/plan.h"

struct search {
    struct plan *plan;
    struct chain_rules rules;
    uint32_t queued;
};

static bool is_on_way(const struct plan *plan, uint16_t site, uint32_t shard)
{
    for (; plan->links[site].from != SITE_NONE; site = plan->links[site].from) {
        if (plan->links[site].shard == shard) {
            return true;
        }
    }
    return false;
}

static void visit(struct search *search, struct hop hop)
{
    search->plan->links[hop.to] = (struct chain_link){
        .from = hop.from, .shard = hop.shard, .is_visited = true};
    search->plan->queue[search->queued++] = hop.to;
}

static bool may_leave(const struct search *search,
                      uint32_t shard,
                      uint16_t from)
{
    const struct plan *plan = search->plan;
    return shard != search->rules.except && plan_has(plan, shard, from) &&
           (search->rules.may_move_again || !plan->holdings[shard].is_moved) &&
           !is_on_way(plan, from, shard);
}

static bool may_hop(const struct search *search, struct hop hop)
{
    const struct plan *plan = search->plan;
    return plan->sites[hop.to].takes && !plan->links[hop.to].is_visited &&
           !plan_has(plan, hop.shard, hop.to) &&
           (search->rules.may_join_zones || plan_zone_change(plan, hop) <= 0);
}

/* Visit all that one hop of a shard leads to; the first with room, if any. */
static uint16_t spread(struct search *search, uint32_t shard, uint16_t from)
{
    for (uint16_t to = 0; to < search->plan->site_count; to++) {
        struct hop hop = {.shard = shard, .from = from, .to = to};
        if (may_hop(search, hop)) {
            visit(search, hop);
            if (search->plan->marks[to] & CHAIN_TO) {
                return to;
            }
        }
    }
    return SITE_NONE;
}

static uint16_t spread_all(struct search *search, uint16_t from)
{
    uint16_t end = SITE_NONE;
    for (uint32_t i = 0; i < search->plan->shard_count && end == SITE_NONE;
         i++) {
        if (may_leave(search, i, from)) {
            end = spread(search, i, from);
        }
    }
    return end;
}

/* Do the hops, the last one first; where they began. */
static uint16_t walk_back(struct plan *plan, uint16_t end)
{
    while (plan->links[end].from != SITE_NONE) {
        struct chain_link link = plan->links[end];
        plan_hop(plan, (struct hop){
                           .shard = link.shard, .from = link.from, .to = end});
        end = link.from;
    }
    return end;
}

uint16_t plan_chain(struct plan *plan, struct chain_rules rules)
{
    struct search search = {.plan = plan, .rules = rules};
    for (uint16_t i = 0; i < plan->site_count; i++) {
        plan->links[i] = (struct chain_link){.from = SITE_NONE};
        if (plan->marks[i] & CHAIN_FROM && plan->sites[i].takes) {
            visit(&search, (struct hop){.from = SITE_NONE, .to = i});
        }
    }
    for (uint32_t i = 0; i < search.queued; i++) {
        uint16_t end = spread_all(&search, plan->queue[i]);
        if (end != SITE_NONE) {
            return walk_back(plan, end);
        }
    }
    return SITE_NONE;
}
