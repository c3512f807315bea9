#include "node/shards.h"

#include "shard/archive.h"
#include "shard/counter_map.h"

#include <assert.h>
#include <stdlib.h>

#define RESULT_COUNT_MAX 4096 /* idempotency keys remembered by a shard */

struct shards {
    const struct clock *clock;
    struct counter_map *maps[SHARD_COUNT_MAX];
    struct archive *archives[SHARD_COUNT_MAX];
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
    struct machine machine = counter_map_machine(shards->maps[shard]);
    shards->archives[shard] = archive_open(&machine, shards->clock);
    if (!shards->archives[shard]) {
        counter_map_close(&shards->maps[shard]);
        return ERR_MEMORY;
    }
    *out = archive_machine(shards->archives[shard]);
    return ERR_NONE;
}

static void close_machine(void *context,
                          uint32_t shard,
                          struct machine *machine)
{
    struct shards *shards = context;
    (void)machine;
    archive_close(&shards->archives[shard]);
    counter_map_close(&shards->maps[shard]);
}

enum err shards_open(struct shards **out, const struct clock *clock)
{
    struct shards *shards = calloc(1, sizeof *shards);
    if (!shards) {
        return ERR_MEMORY;
    }
    shards->clock = clock;
    *out = shards;
    return ERR_NONE;
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
