#include "shard/wanted.h"

#include <stdlib.h>

/* How many could have replicas if those who leave had none. */
static uint32_t staying_count(const struct wanted_request *request)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < request->node_count; i++) {
        const struct wanted_node *node = &request->nodes[i];
        count += node->holds_shards && !node->is_leaving;
    }
    return count;
}

/* Also one that is no member any more. */
static bool is_leaving(const struct wanted_request *request, uint32_t number)
{
    for (uint32_t i = 0; i < request->node_count; i++) {
        if (request->nodes[i].number == number) {
            return request->nodes[i].is_leaving;
        }
    }
    return true;
}

/* Who leaves and cannot go yet need not lead until then: of the others that
 * have a replica, the one with the fewest shards of its own does. */
static void change_owners(const struct wanted_request *request,
                          struct shard_map *map)
{
    uint32_t owned[SHARD_NODES_MAX] = {0};
    for (uint32_t i = 0; i < map->shard_count; i++) {
        if (map->places[i].replica_count > 0) {
            owned[map->places[i].replicas[0]]++;
        }
    }
    for (uint32_t i = 0; i < map->shard_count; i++) {
        struct shard_place *place = &map->places[i];
        uint32_t best = 0;
        for (uint32_t k = 1; k < place->replica_count &&
                             is_leaving(request, place->replicas[0]);
             k++) {
            if (!is_leaving(request, place->replicas[k]) &&
                (best == 0 ||
                 owned[place->replicas[k]] < owned[place->replicas[best]])) {
                best = k;
            }
        }
        if (best != 0) {
            uint32_t owner = place->replicas[best];
            owned[place->replicas[0]]--;
            owned[owner]++;
            place->replicas[best] = place->replicas[0];
            place->replicas[0] = owner;
        }
    }
}

static enum err place_all(struct shard_map *out,
                          const struct wanted_request *request,
                          bool may_leave)
{
    struct placement_node *nodes =
        calloc((size_t)request->node_count + 1, sizeof *nodes);
    if (!nodes) {
        return ERR_MEMORY;
    }
    for (uint32_t i = 0; i < request->node_count; i++) {
        const struct wanted_node *node = &request->nodes[i];
        bool gives_away =
            !node->holds_shards || (node->is_leaving && may_leave);
        nodes[i] = (struct placement_node){
            .number = node->number,
            .weight = gives_away ? 0 : node->weight,
            .is_cordoned = node->is_cordoned || node->is_leaving,
            .hash = placement_hash(node->name),
            .zone = placement_hash(node->zone)};
    }
    enum err err =
        placement_make(out, &(struct placement_request){
                                .nodes = nodes,
                                .node_count = request->node_count,
                                .replication = request->replication,
                                .shard_count = request->previous->shard_count,
                                .previous = request->previous});
    free(nodes);
    return err;
}

/* One that is to be drained waits for another node, and one that is away is
 * waited for. */
enum err wanted_map(struct shard_map *out, const struct wanted_request *request)
{
    bool may_leave = staying_count(request) >= request->replication;
    enum err err = place_all(out, request, may_leave);
    if (!err && !may_leave) {
        change_owners(request, out);
    }
    return err;
}
