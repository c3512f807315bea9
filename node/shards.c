#include "node/shards.h"

#include "shard/counter_map.h"

#include <assert.h>
#include <stdlib.h>

#define RESULT_COUNT_MAX 4096 /* idempotency keys remembered by a shard */

struct shards {
    struct counter_map *maps[SHARD_COUNT_MAX];
};

static enum err open_machine(void *context, uint32_t shard, struct machine *out)
{
    struct shards *shards = context;
    assert(!shards->maps[shard]);
    shards->maps[shard] = counter_map_open(
        &(struct counter_map_config){.result_count_max = RESULT_COUNT_MAX});
    if (!shards->maps[shard]) {
        return ERR_MEMORY;
    }
    *out = counter_map_machine(shards->maps[shard]);
    return ERR_NONE;
}

static void close_machine(void *context,
                          uint32_t shard,
                          struct machine *machine)
{
    struct shards *shards = context;
    (void)machine;
    counter_map_close(&shards->maps[shard]);
}

enum err shards_open(struct shards **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? ERR_NONE : ERR_MEMORY;
}

void shards_close(struct shards **shards)
{
    free(*shards); /* the host has closed the machines */
    *shards = NULL;
}

struct host_machines shards_machines(struct shards *shards)
{
    return (struct host_machines){
        .context = shards, .open = open_machine, .close = close_machine};
}
