#include "tests/sim/sim_executor.h"

#include "base/owner.h"
#include "base/time_units.h"

#include <assert.h>
#include <stdlib.h>

#define PAUSED_RETRY_NS (5 * NS_PER_MS)
#define CUT_OPERATIONS_MAX 6 /* of a job that the power cut hits */

struct job_list {
    struct reactor_event *first; /* `there` of each job */
    struct reactor_event **last;
};

struct sim_executor {
    struct sim_executor_config config;
    struct executor table;
    struct job_list waiting;
    struct job_list finished;
    uint64_t due_ns; /* the first one that waits; 0: none */
    uint64_t delay_ns;
    struct reactor_event told; /* that something has finished */
    bool is_telling;
    bool is_held;
};

static void list_clear(struct job_list *list)
{
    list->first = NULL;
    list->last = &list->first;
}

static void list_push(struct job_list *list, struct job *job)
{
    job->there.next = NULL;
    *list->last = &job->there;
    list->last = &job->there.next;
}

static struct job *list_pop(struct job_list *list)
{
    struct reactor_event *first = list->first;
    if (!first) {
        return NULL;
    }
    list->first = first->next;
    if (!list->first) {
        list->last = &list->first;
    }
    return OWNER_OF(first, struct job, there);
}

static uint64_t job_ns(struct sim_executor *executor)
{
    const struct sim_executor_config *config = &executor->config;
    struct seeded *random = world_random(config->world);
    uint64_t spread = config->job_us_max - config->job_us_min + 1;
    uint64_t us = config->job_us_min + seeded_below(random, spread);
    uint64_t luck = seeded_below(random, 512);
    us *= luck == 0 ? 100 : luck < 16 ? 10 : 1;
    return us * NS_PER_US + executor->delay_ns;
}

static void run_told(struct reactor_event *event)
{
    struct sim_executor *executor = OWNER_OF(event, struct sim_executor, told);
    executor->is_telling = false;
    struct job *job;
    while ((job = list_pop(&executor->finished))) {
        job->done(job);
    }
}

static void run_due(void *context);

static void plan_next(struct sim_executor *executor, uint64_t after_ns)
{
    executor->due_ns = world_now_ns(executor->config.world) + after_ns;
    world_at(executor->config.world, executor->due_ns, run_due, executor);
}

static void run_due(void *context)
{
    struct sim_executor *executor = context;
    struct world *world = executor->config.world;
    if (executor->due_ns != world_now_ns(world)) {
        return; /* of a job that was dropped */
    }
    if (executor->is_held || world_is_paused(world, executor->config.machine)) {
        plan_next(executor, PAUSED_RETRY_NS);
        return;
    }
    executor->due_ns = 0;
    struct job *job = list_pop(&executor->waiting);
    job->work(job);
    list_push(&executor->finished, job);
    if (!executor->is_telling) {
        executor->is_telling = true;
        reactor_post(job->home, &executor->told);
        world_poke(world, executor->config.machine);
    }
    if (executor->waiting.first) {
        plan_next(executor, job_ns(executor));
    }
}

static void take(void *context, struct job *job)
{
    struct sim_executor *executor = context;
    list_push(&executor->waiting, job);
    if (executor->due_ns == 0) {
        plan_next(executor, job_ns(executor));
    }
}

struct sim_executor *sim_executor_open(const struct sim_executor_config *config)
{
    struct sim_executor *executor = calloc(1, sizeof *executor);
    assert(executor);
    executor->config = *config;
    executor->table = (struct executor){.context = executor, .run = take};
    executor->told.run = run_told;
    list_clear(&executor->waiting);
    list_clear(&executor->finished);
    return executor;
}

void sim_executor_close(struct sim_executor **executor)
{
    free(*executor);
    *executor = NULL;
}

const struct executor *sim_executor_table(const struct sim_executor *executor)
{
    return &executor->table;
}

void sim_executor_delay(struct sim_executor *executor, uint64_t ns)
{
    executor->delay_ns = ns;
}

void sim_executor_hold(struct sim_executor *executor, bool is_held)
{
    executor->is_held = is_held;
}

void sim_executor_crash(struct sim_executor *executor)
{
    struct seeded *random = world_random(executor->config.world);
    struct job *job = list_pop(&executor->waiting);
    if (job && !executor->is_held && seeded_below(random, 2) == 0) {
        if (executor->config.disk) {
            sim_disk_cut_after(executor->config.disk,
                               1 + seeded_below(random, CUT_OPERATIONS_MAX));
        }
        job->work(job);
    }
    list_clear(&executor->waiting);
    list_clear(&executor->finished);
    executor->due_ns = 0;
    executor->delay_ns = 0;
    executor->is_held = false;
}

bool sim_executor_is_idle(const struct sim_executor *executor)
{
    return !executor->waiting.first && !executor->finished.first;
}
