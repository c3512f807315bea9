#include "shard/shard_balance.h"

struct counts {
    uint32_t owners[SHARD_NODES_MAX];
    uint32_t replicas[SHARD_NODES_MAX];
};

static uint32_t max_of(uint32_t left, uint32_t right)
{
    return left > right ? left : right;
}

struct shard_balance shard_balance_of(const struct shard_map *map,
                                      uint32_t node_count)
{
    struct shard_balance balance = {0};
    struct counts counts = {0};
    uint32_t owner_count = 0;
    uint32_t replica_count = 0;
    for (uint32_t i = 0; i < map->shard_count; i++) {
        const struct shard_place *place = &map->places[i];
        for (uint32_t j = 0; j < place->replica_count; j++) {
            uint32_t node = place->replicas[j];
            replica_count++;
            balance.replicas_max =
                max_of(balance.replicas_max, ++counts.replicas[node]);
        }
        if (place->replica_count > 0) {
            uint32_t node = place->replicas[0];
            owner_count++;
            balance.owners_max =
                max_of(balance.owners_max, ++counts.owners[node]);
        }
    }
    if (node_count > 0) {
        balance.owners_mean = (double)owner_count / node_count;
        balance.replicas_mean = (double)replica_count / node_count;
    }
    return balance;
}
