/*
 * Schedules in the simulator of shards, and what is promised of them: each
 * occurrence has one task, or is passed over and counted.
 */

#include "shard/task_schedule.h"
#include "tests/sim/shard_sim_core.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* By the clock of who leads, which is not behind for longer. */
#define BEHIND_S 3

static const struct {
    enum sim_pool pool;
    const char *name;
    const char *cron;
    int64_t period_s;
    bool may_overlap;
    uint64_t catch_up_ms;
} known[SIM_SCHEDULES] = {
    {SIM_POOL_WORK, "each", "* * * * *", 60, true, 3600000},
    {SIM_POOL_WORK, "apart", "*/2 * * * *", 120, false, 3600000},
    {SIM_POOL_WORK, "soon", "*/5 * * * *", 300, true, 60000},
    {SIM_POOL_ONE, "one", "* * * * *", 60, false, 3600000},
};

/* ---- definitions ---- */

/* One for all runs: they are the same. */
static struct task_schedule made[SIM_SCHEDULES];
static uint8_t payloads[SIM_SCHEDULES][SIM_SCHEDULED_BYTES];

static void make(uint32_t i)
{
    struct task_schedule *schedule = &made[i];
    /* A text, so that it is a value in the pool's definition. */
    payloads[i][0] = SIM_SCHEDULED_HEAD;
    (void)sim_payload_encode(
        &payloads[i][1],
        &(struct sim_payload){.number = SIM_SCHEDULED_FIRST + i});
    task_schedule_defaults(schedule);
    (void)snprintf(schedule->name, sizeof schedule->name, "%s", known[i].name);
    (void)snprintf(schedule->text, sizeof schedule->text, "%s", known[i].cron);
    enum err err = cron_parse(&schedule->cron, schedule->text, NULL);
    assert(!err);
    (void)err;
    schedule->since_ms = WORLD_WALL_START_MS;
    schedule->may_overlap = known[i].may_overlap;
    schedule->catch_up_ms = known[i].catch_up_ms;
    schedule->task.payload = bytes_of(payloads[i], sizeof payloads[i]);
}

void sim_schedules_make(struct task_pool *pool)
{
    for (uint32_t i = 0; i < SIM_SCHEDULES; i++) {
        if (strcmp(sim_pool_names[known[i].pool], pool->name) == 0) {
            make(i);
            pool->schedules =
                pool->schedule_count == 0 ? &made[i] : pool->schedules;
            pool->schedule_count++;
        }
    }
}

/* ---- promises ---- */

static uint32_t shard_of(const struct sim *sim, uint32_t schedule)
{
    return task_pool_shard(sim_pool_names[known[schedule].pool],
                           sim->shard_count);
}

void schedules_begin(struct sim *sim, uint32_t shard)
{
    for (uint32_t i = 0; i < SIM_SCHEDULES; i++) {
        if (shard_of(sim, i) == shard) {
            sim->tasks.fired_s[i] = WORLD_WALL_START_MS / MS_PER_S;
        }
    }
}

static uint32_t find(struct bytes pool, struct bytes name)
{
    uint32_t i = 0;
    while (i < SIM_SCHEDULES &&
           !(bytes_are_equal(name, bytes_of_text(known[i].name)) &&
             bytes_are_equal(pool,
                             bytes_of_text(sim_pool_names[known[i].pool])))) {
        i++;
    }
    assert(i < SIM_SCHEDULES);
    return i;
}

bool check_fired(struct sim *sim, struct reader *reader)
{
    struct bytes pool = pack_read_str(reader);
    uint32_t i = find(pool, pack_read_str(reader));
    int64_t due_s = pack_read_int(reader);
    uint64_t passed = pack_read_uint(reader);
    bool has_task = pack_peek(reader) != PACK_NIL;
    int64_t *last_s = &sim->tasks.fired_s[i];
    int64_t period_s = known[i].period_s;
    /* Counted without base/cron.c. */
    int64_t count = due_s / period_s - *last_s / period_s;
    if (due_s <= *last_s || due_s % period_s != 0) {
        broken(sim, "schedule twice",
               "schedule %s is moved to %" PRId64 ", and was at %" PRId64,
               known[i].name, due_s, *last_s);
    } else if ((uint64_t)count != passed + has_task) {
        broken(sim, "schedule lost",
               "schedule %s is moved past %" PRId64 " occurrences, of which "
               "%" PRIu64 " are counted and %d has a task",
               known[i].name, count, passed, has_task);
    }
    *last_s = due_s;
    sim->result.fired += has_task;
    sim->result.passed += passed;
    return has_task;
}

bool schedules_are_over(struct sim *sim, struct err_detail *why)
{
    for (uint32_t i = 0; i < SIM_SCHEDULES && sim->has_schedules; i++) {
        const struct node *leader =
            leader_of(sim, shard_group_id(shard_of(sim, i)));
        int64_t period_s = known[i].period_s;
        int64_t next_s = (sim->tasks.fired_s[i] / period_s + 1) * period_s;
        int64_t now_ms =
            leader ? clock_wall_ms(world_clock(sim->world, leader->index)) : 0;
        if (next_s < now_ms / MS_PER_S - BEHIND_S) {
            err_explain(why, "schedule %s is behind: it is at %" PRId64,
                        known[i].name, sim->tasks.fired_s[i]);
            return false;
        }
    }
    return true;
}
