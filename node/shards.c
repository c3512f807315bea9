#include "node/shards.h"

#include "shard/archive.h"
#include "shard/counter_map.h"
#include "shard/shard_machine.h"

#include <assert.h>
#include <stdlib.h>

#define RESULT_COUNT_MAX 4096 /* idempotency keys remembered by a shard */

/* What runs in one. */
struct unit {
    struct counter_map *counters;
    struct coordinator *coordinator; /* of `tasks` */
    struct shard_machine *machine;
    struct archive *archive;
};

struct shards {
    const struct clock *clock;
    struct tasks *tasks;
    struct unit units[SHARD_COUNT_MAX];
};

static void close_unit(struct shards *shards, uint32_t shard)
{
    struct unit *unit = &shards->units[shard];
    archive_close(&unit->archive);
    tasks_remove(shards->tasks, shard);
    shard_machine_close(&unit->machine);
    counter_map_close(&unit->counters);
    unit->coordinator = NULL;
}

static enum err open_unit(struct shards *shards, uint32_t shard)
{
    struct unit *unit = &shards->units[shard];
    unit->counters = counter_map_open(
        &(struct counter_map_config){.result_count_max = RESULT_COUNT_MAX});
    enum err err = unit->counters
                       ? tasks_add(shards->tasks, shard, &unit->coordinator)
                       : ERR_MEMORY;
    if (err) {
        return err;
    }
    struct machine counters = counter_map_machine(unit->counters);
    struct machine tasks = book_machine(coordinator_book(unit->coordinator));
    unit->machine = shard_machine_open(&counters, &tasks);
    if (!unit->machine) {
        return ERR_MEMORY;
    }
    tasks_set_machine(shards->tasks, shard, unit->machine);
    struct machine both = shard_machine_of(unit->machine);
    unit->archive = archive_open(&both, shards->clock);
    return unit->archive ? ERR_NONE : ERR_MEMORY;
}

static enum err open_machine(void *context, uint32_t shard, struct machine *out)
{
    struct shards *shards = context;
    assert(!shards->units[shard].counters);
    enum err err = open_unit(shards, shard);
    if (err) {
        close_unit(shards, shard);
        return err;
    }
    *out = archive_machine(shards->units[shard].archive);
    return ERR_NONE;
}

static void close_machine(void *context,
                          uint32_t shard,
                          struct machine *machine)
{
    (void)machine;
    close_unit(context, shard);
}

enum err shards_open(struct shards **out,
                     const struct clock *clock,
                     struct tasks *tasks)
{
    struct shards *shards = calloc(1, sizeof *shards);
    if (!shards) {
        return ERR_MEMORY;
    }
    shards->clock = clock;
    shards->tasks = tasks;
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
