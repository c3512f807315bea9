#include "shard/plan.h"

#include "base/scope.h"

#include <assert.h>
#include <stdlib.h>

static int compare_sites(const void *left, const void *right)
{
    const struct site *one = left;
    const struct site *other = right;
    return one->number < other->number ? -1 : one->number > other->number;
}

static uint16_t find_site(const struct plan *plan, uint32_t number)
{
    const struct site key = {.number = number};
    const struct site *site =
        bsearch(&key, plan->sites, plan->site_count, sizeof key, compare_sites);
    return site ? (uint16_t)(site - plan->sites) : SITE_NONE;
}

static const struct placement_node *node_of(
    const struct placement_request *request, uint32_t number)
{
    uint32_t i = 0;
    while (request->nodes[i].number != number) {
        i++;
    }
    return &request->nodes[i];
}

/* Nodes that give all away are no sites. */
static void add_sites(struct plan *plan,
                      const struct placement_request *request)
{
    for (uint32_t i = 0; i < request->node_count; i++) {
        const struct placement_node *node = &request->nodes[i];
        assert(node->number < SHARD_NODES_MAX);
        if (node->weight > 0) {
            plan->sites[plan->site_count++] =
                (struct site){.number = node->number,
                              .weight = node->weight,
                              .hash = node->hash,
                              .takes = !node->is_cordoned};
        }
    }
    qsort(plan->sites, plan->site_count, sizeof *plan->sites, compare_sites);
    for (uint32_t i = 1; i < plan->site_count; i++) {
        assert(plan->sites[i - 1].number < plan->sites[i].number);
    }
}

/* Zones are numbered as their first sites stand. */
static void number_zones(struct plan *plan,
                         const struct placement_request *request)
{
    uint64_t zones[SHARD_NODES_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->site_count; i++) {
        uint64_t zone = node_of(request, plan->sites[i].number)->zone;
        uint32_t found = 0;
        while (found < count && (zone == 0 || zones[found] != zone)) {
            found++;
        }
        if (found == count) {
            zones[count++] = zone;
        }
        plan->sites[i].zone = (uint16_t)found;
    }
}

static void count_zones(struct plan *plan)
{
    bool is_used[SHARD_NODES_MAX] = {false};
    for (uint32_t i = 0; i < plan->site_count; i++) {
        const struct site *site = &plan->sites[i];
        if (site->takes && !is_used[site->zone]) {
            is_used[site->zone] = true;
            plan->zone_count++;
        }
    }
}

/* What is left of the previous map when those are gone who are. */
static void load_previous(struct plan *plan, const struct shard_map *previous)
{
    for (uint32_t i = 0; i < previous->shard_count; i++) {
        const struct shard_place *place = &previous->places[i];
        for (uint32_t j = 0; j < place->replica_count; j++) {
            uint16_t site = find_site(plan, place->replicas[j]);
            if (site != SITE_NONE) {
                plan_put(plan, i, site);
            }
            if (j == 0) {
                plan->holdings[i].before = site;
            }
        }
        plan->holdings[i].is_moved = false;
    }
}

/* Zero entries still give memory, so that NULL means that there is none. */
static void *allocate(size_t count, size_t size)
{
    return calloc(count > 0 ? count : 1, size);
}

static enum err allocate_all(struct plan *plan, uint32_t node_count)
{
    plan->sites = allocate(node_count, sizeof *plan->sites);
    plan->holdings = allocate(plan->shard_count, sizeof *plan->holdings);
    plan->links = allocate(node_count, sizeof *plan->links);
    plan->queue = allocate(node_count, sizeof *plan->queue);
    plan->marks = allocate(node_count, sizeof *plan->marks);
    plan->offers = allocate((size_t)plan->shard_count * SHARD_REPLICAS_MAX,
                            sizeof *plan->offers);
    plan->first_offers = allocate(node_count, sizeof *plan->first_offers);
    return plan->sites && plan->holdings && plan->links && plan->queue &&
                   plan->marks && plan->offers && plan->first_offers
               ? ERR_NONE
               : ERR_MEMORY;
}

enum err plan_open(struct plan **out, const struct placement_request *request)
{
    scoped(plan_close) struct plan *plan = calloc(1, sizeof *plan);
    if (!plan) {
        return ERR_MEMORY;
    }
    plan->shard_count = request->shard_count;
    plan->replication = request->replication;
    plan->is_fresh = !request->previous;
    enum err err = allocate_all(plan, request->node_count);
    if (err) {
        return err;
    }
    rendezvous_init(&plan->rendezvous);
    add_sites(plan, request);
    number_zones(plan, request);
    count_zones(plan);
    for (uint32_t i = 0; i < plan->shard_count; i++) {
        plan->holdings[i].owner = SITE_NONE;
        plan->holdings[i].before = SITE_NONE;
    }
    if (request->previous) {
        load_previous(plan, request->previous);
    }
    *out = plan;
    plan = NULL; /* the caller owns it now */
    return ERR_NONE;
}

void plan_close(struct plan **plan)
{
    if (*plan) {
        free((*plan)->sites);
        free((*plan)->holdings);
        free((*plan)->links);
        free((*plan)->queue);
        free((*plan)->marks);
        free((*plan)->offers);
        free((*plan)->first_offers);
        free(*plan);
        *plan = NULL;
    }
}

bool plan_has(const struct plan *plan, uint32_t shard, uint16_t site)
{
    const struct holding *holding = &plan->holdings[shard];
    for (uint32_t i = 0; i < holding->count; i++) {
        if (holding->sites[i] == site) {
            return true;
        }
    }
    return false;
}

void plan_put(struct plan *plan, uint32_t shard, uint16_t site)
{
    struct holding *holding = &plan->holdings[shard];
    assert(holding->count < SHARD_REPLICAS_MAX);
    assert(!plan_has(plan, shard, site));
    holding->sites[holding->count++] = site;
    holding->is_moved = !plan->is_fresh;
    plan->sites[site].load++;
}

void plan_take(struct plan *plan, uint32_t shard, uint16_t site)
{
    struct holding *holding = &plan->holdings[shard];
    uint32_t i = 0;
    while (holding->sites[i] != site) {
        i++;
        assert(i < holding->count);
    }
    holding->sites[i] = holding->sites[--holding->count];
    holding->is_moved = !plan->is_fresh;
    plan->sites[site].load--;
}

void plan_hop(struct plan *plan, struct hop hop)
{
    plan_take(plan, hop.shard, hop.from);
    plan_put(plan, hop.shard, hop.to);
}

bool plan_is_zone_used(const struct plan *plan,
                       uint32_t shard,
                       uint16_t site,
                       uint16_t except)
{
    const struct holding *holding = &plan->holdings[shard];
    uint16_t zone = plan->sites[site].zone;
    for (uint32_t i = 0; i < holding->count; i++) {
        uint16_t other = holding->sites[i];
        if (other != except && plan->sites[other].zone == zone) {
            return true;
        }
    }
    return false;
}

int plan_zone_change(const struct plan *plan, struct hop hop)
{
    return (int)plan_is_zone_used(plan, hop.shard, hop.to, hop.from) -
           (int)plan_is_zone_used(plan, hop.shard, hop.from, hop.from);
}

uint64_t plan_distance(const struct plan *plan, uint32_t shard, uint16_t site)
{
    return rendezvous_distance(
        &plan->rendezvous,
        (struct rendezvous_pair){.shard = shard,
                                 .weight = plan->sites[site].weight,
                                 .hash = plan->sites[site].hash});
}
