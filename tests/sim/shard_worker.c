/*
 * Workers of the simulator of shards: an attempt takes a while, and then it is
 * done, or fails, crashes, hangs until its time is over; sometimes it says how
 * far it is.
 */

#include "base/hash.h"
#include "base/owner.h"
#include "tests/sim/shard_sim_core.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define WORK_US_MAX 40000
#define LONG_WORK_US_MAX 1500000
#define CANCEL_US_MAX 20000

struct sim_run {
    struct run *run;
    struct worker_house *house;
    struct timer timer;
    struct sim_run *next; /* of all */
    struct sim_run *next_waiting;
    char pool[CERTIFICATE_NAME_BYTES];
    uint32_t attempt; /* as the checkers know it */
    bool has_begun;
    bool is_cancelled;
    enum run_status status; /* that it ends with */
};

/* ---- payloads ---- */

struct bytes sim_payload_encode(uint8_t *to, const struct sim_payload *payload)
{
    put_u32(to, payload->number);
    to[4] = (uint8_t)payload->work;
    return bytes_of(to, SIM_PAYLOAD_BYTES);
}

struct sim_payload sim_payload_decode(struct bytes bytes)
{
    if (bytes.length == SIM_SCHEDULED_BYTES) {
        bytes = bytes_of(bytes.data + 1, SIM_PAYLOAD_BYTES);
    }
    assert(bytes.length == SIM_PAYLOAD_BYTES && bytes.data[4] < SIM_WORK_COUNT);
    return (struct sim_payload){.number = get_u32(bytes.data),
                                .work = (enum sim_work)bytes.data[4]};
}

struct bytes sim_output_encode(uint8_t to[static SIM_OUTPUT_BYTES],
                               const struct sim_output *output)
{
    put_u32(to, output->number);
    put_u64(to + 4, output->token);
    put_u64(to + 12, output->hash);
    return bytes_of(to, SIM_OUTPUT_BYTES);
}

bool sim_output_decode(struct sim_output *out, struct bytes bytes)
{
    if (bytes.length != SIM_OUTPUT_BYTES) {
        return false;
    }
    *out = (struct sim_output){.number = get_u32(bytes.data),
                               .token = get_u64(bytes.data + 4),
                               .hash = get_u64(bytes.data + 12)};
    return true;
}

/* ---- pools ---- */

static struct worker_pool *find_pool(struct worker_house *house,
                                     const char *name)
{
    for (uint32_t i = 0; i < house->pool_count; i++) {
        if (strcmp(house->pools[i].name, name) == 0) {
            return &house->pools[i];
        }
    }
    return NULL;
}

/* One that is gone keeps its place, for what runs. */
static struct worker_pool *claim_pool(struct worker_house *house,
                                      const char *name)
{
    struct worker_pool *pool = find_pool(house, name);
    if (!pool) {
        assert(house->pool_count < TASK_POOL_COUNT_MAX);
        pool = &house->pools[house->pool_count++];
        *pool = (struct worker_pool){0};
        memcpy(pool->name, name, strlen(name) + 1);
    }
    return pool;
}

/* ---- running ---- */

static void begin_some(struct worker_house *house, struct worker_pool *pool);

static void unlink_run(struct sim_run *sim_run)
{
    struct sim_run **link = &sim_run->house->runs;
    while (*link != sim_run) {
        link = &(*link)->next;
    }
    *link = sim_run->next;
}

static void end_run(struct sim_run *sim_run)
{
    struct worker_house *house = sim_run->house;
    struct run *run = sim_run->run;
    struct worker_pool *pool = find_pool(house, sim_run->pool);
    uint8_t buffer[SIM_OUTPUT_BYTES];
    struct run_result result = {.status = sim_run->status, .why = ""};
    if (result.status == RUN_DONE) {
        struct sim_output output = {.number =
                                        sim_payload_decode(run->payload).number,
                                    .token = run->token,
                                    .hash = hash_bytes(run->payload, 0)};
        result.output = sim_output_encode(buffer, &output);
    } else {
        result.why = "it did not work";
    }
    check_attempt_over(house->node->sim, sim_run->attempt,
                       result.status == RUN_DONE);
    pool->busy -= sim_run->has_begun;
    unlink_run(sim_run);
    free(sim_run);
    run->done(run, &result);
    begin_some(house, pool);
}

static void fire(struct timer *timer)
{
    end_run(OWNER_OF(timer, struct sim_run, timer));
}

static enum run_status choose_end(struct sim *sim, const struct run *run)
{
    uint64_t dice = below(sim, 100);
    switch (sim_payload_decode(run->payload).work) {
    case SIM_WORK_FAILING:
        return RUN_FAILED;
    case SIM_WORK_HOPELESS:
        return RUN_REFUSED;
    default:
        return dice < 84   ? RUN_DONE
               : dice < 92 ? RUN_FAILED
               : dice < 97 ? RUN_CRASHED
                           : RUN_TIMED_OUT;
    }
}

static void begin_run(struct sim_run *sim_run)
{
    struct node *node = sim_run->house->node;
    struct sim *sim = node->sim;
    struct run *run = sim_run->run;
    sim_run->has_begun = true;
    sim_run->status = choose_end(sim, run);
    uint64_t us =
        1 + below(sim, chance(sim, 8) ? LONG_WORK_US_MAX : WORK_US_MAX);
    if (sim_run->status == RUN_TIMED_OUT) {
        us = (run->timeout_ms > 0 ? run->timeout_ms : 1000) * UINT64_C(1000);
    }
    check_attempt_begun(node, run);
    reactor_timer_set(node->reactor, &sim_run->timer, us * NS_PER_US);
    if (run->progress && chance(sim, 10)) {
        run->progress(run, (uint32_t)below(sim, 1001), "on its way");
    }
}

static void begin_some(struct worker_house *house, struct worker_pool *pool)
{
    (void)house;
    while (pool->waiting && pool->busy < pool->workers) {
        struct sim_run *sim_run = pool->waiting;
        pool->waiting = sim_run->next_waiting;
        pool->last = pool->waiting ? pool->last : NULL;
        pool->busy++;
        begin_run(sim_run);
    }
}

/* ---- the table ---- */

static void set_pools(void *context, const struct task_pools *pools)
{
    struct worker_house *house = context;
    for (uint32_t i = 0; i < house->pool_count; i++) {
        struct worker_pool *pool = &house->pools[i];
        if (!task_pools_find(pools, bytes_of_text(pool->name))) {
            pool->workers = 1; /* for what it still has */
        }
    }
    for (uint32_t i = 0; i < pools->count; i++) {
        struct worker_pool *pool = claim_pool(house, pools->list[i].name);
        pool->workers = pools->list[i].workers;
        begin_some(house, pool);
    }
}

static void start(void *context, struct run *run)
{
    struct worker_house *house = context;
    struct worker_pool *pool = claim_pool(house, run->pool->name);
    struct sim_run *sim_run = calloc(1, sizeof *sim_run);
    assert(sim_run);
    *sim_run =
        (struct sim_run){.run = run, .house = house, .next = house->runs};
    memcpy(sim_run->pool, pool->name, sizeof sim_run->pool);
    sim_run->timer.fire = fire;
    sim_run->attempt = check_attempt_given(house->node, run);
    house->runs = sim_run;
    run->own = sim_run;
    *(pool->last ? &pool->last->next_waiting : &pool->waiting) = sim_run;
    pool->last = sim_run;
    begin_some(house, pool);
}

static void take_from_queue(struct worker_pool *pool,
                            const struct sim_run *sim_run)
{
    struct sim_run **link = &pool->waiting;
    while (*link != sim_run) {
        link = &(*link)->next_waiting;
    }
    *link = sim_run->next_waiting;
    pool->last = NULL;
    for (struct sim_run *of = pool->waiting; of; of = of->next_waiting) {
        pool->last = of;
    }
}

/* One that has begun ends soon; some have ended otherwise by then. */
static void cancel(void *context, struct run *run)
{
    struct worker_house *house = context;
    struct sim_run *sim_run = run->own;
    struct sim *sim = house->node->sim;
    if (!sim_run->has_begun) {
        take_from_queue(find_pool(house, sim_run->pool), sim_run);
        sim_run->status = RUN_CANCELLED;
        end_run(sim_run);
    } else if (!sim_run->is_cancelled) {
        sim_run->is_cancelled = true;
        sim_run->status = chance(sim, 80) ? RUN_CANCELLED : sim_run->status;
        reactor_timer_set(house->node->reactor, &sim_run->timer,
                          (1 + below(sim, CANCEL_US_MAX)) * NS_PER_US);
    }
}

void worker_house_open(struct node *node)
{
    node->workers = (struct worker_house){
        .node = node,
        .table = {.set_pools = set_pools, .start = start, .cancel = cancel}};
    node->workers.table.context = &node->workers;
}

void worker_house_close(struct node *node)
{
    while (node->workers.runs) {
        struct sim_run *sim_run = node->workers.runs;
        node->workers.runs = sim_run->next;
        reactor_timer_cancel(node->reactor, &sim_run->timer);
        check_attempt_over(node->sim, sim_run->attempt, false);
        free(sim_run);
    }
    node->workers.pool_count = 0;
}
