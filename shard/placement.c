#include "shard/placement.h"

#include "base/hash.h"
#include "base/scope.h"
#include "shard/plan.h"

#include <assert.h>

uint64_t placement_hash(const char *name)
{
    return name[0] == '\0' ? 0 : hash_bytes(bytes_of_text(name), 0);
}

/* The owner, then the others by number. */
static struct shard_place place_of(const struct plan *plan, uint32_t shard)
{
    const struct holding *holding = &plan->holdings[shard];
    struct shard_place place = {.replica_count = 1};
    place.replicas[0] = plan->sites[holding->owner].number;
    for (uint16_t i = 0; i < plan->site_count; i++) {
        if (i != holding->owner && plan_has(plan, shard, i)) {
            place.replicas[place.replica_count++] = plan->sites[i].number;
        }
    }
    return place;
}

static void fill_places(struct shard_map *map,
                        const struct plan *plan,
                        const struct shard_map *previous)
{
    map->version = previous ? previous->version : 1;
    bool has_changed = false;
    for (uint32_t i = 0; i < plan->shard_count; i++) {
        struct shard_place *place = &map->places[i];
        if (plan->holdings[i].count > 0) {
            *place = place_of(plan, i);
            place->generation = previous ? previous->places[i].generation : 0;
        } else if (previous) {
            *place = previous->places[i];
        }
        has_changed |=
            previous && !shard_place_is_equal(place, &previous->places[i]);
    }
    map->version += has_changed;
}

enum err placement_make(struct shard_map *out,
                        const struct placement_request *request)
{
    const struct shard_map *previous = request->previous;
    assert(request->node_count <= SHARD_NODES_MAX);
    assert(request->replication >= 1);
    assert(request->replication <= SHARD_REPLICAS_MAX);
    assert(request->shard_count >= 1);
    assert(!previous || previous->shard_count == request->shard_count);
    scoped(plan_close) struct plan *plan = NULL;
    scoped(shard_map_clear) struct shard_map map = {0};
    enum err err = shard_map_init(&map, request->shard_count);
    if (err) {
        return err;
    }
    err = plan_open(&plan, request);
    if (err) {
        return err;
    }
    plan_replicas(plan, !previous || request->spreads_zones);
    plan_owners(plan);
    fill_places(&map, plan, previous);
    *out = map;
    map = (struct shard_map){0}; /* it is the caller's now */
    return ERR_NONE;
}

uint32_t placement_diff(const struct shard_map *from,
                        const struct shard_map *to,
                        struct placement_move *moves,
                        uint32_t move_max)
{
    assert(from->shard_count == to->shard_count);
    uint32_t count = 0;
    for (uint32_t i = 0; i < to->shard_count; i++) {
        const struct shard_place *old = &from->places[i];
        const struct shard_place *new = &to->places[i];
        if (shard_place_is_equal(old, new)) {
            continue;
        }
        if (count < move_max) {
            moves[count] = (struct placement_move){
                .shard = i,
                .from = *old,
                .to = *new,
                .is_owner_only = shard_place_has_same_nodes(old, new)};
        }
        count++;
    }
    return count;
}
