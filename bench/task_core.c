#include "bench/task_core.h"

#include "base/time_units.h"
#include "bench/process.h"
#include "tests/shard/task_lab.h"

#include <string.h>

#define POOL "bench"
#define PAYLOAD_BYTES 100
#define BATCH 1000
#define CYCLES 200 /* of a batch */
#define CYCLES_WARM_UP 20
#define TIMEOUT_NS (300 * NS_PER_S)

struct submitting {
    struct lab *lab;
    uint64_t submission;
    uint8_t payload[PAYLOAD_BYTES];
    struct task_spec specs[BATCH];
};

static void submit(struct submitting *submitting, uint32_t count)
{
    (void)lab_submit(submitting->lab, 0, POOL, ++submitting->submission,
                     submitting->specs, count, NULL);
}

static void run_cycles(struct submitting *submitting, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        submit(submitting, BATCH);
        lab_run(submitting->lab);
        for (uint32_t done = 0; done < BATCH;) {
            done += lab_work(submitting->lab, BATCH - done);
        }
    }
}

static void end_at_once(void *context,
                        uint32_t node,
                        const struct run *run,
                        struct run_result *result)
{
    (void)context;
    (void)node;
    (void)run;
    *result = (struct run_result){.status = RUN_DONE, .why = ""};
}

static void fill(struct submitting *submitting, uint64_t count)
{
    for (uint64_t done = 0; done < count; done += BATCH) {
        uint64_t left = count - done;
        submit(submitting, left < BATCH ? (uint32_t)left : BATCH);
    }
}

static enum err run(void *context)
{
    static struct submitting submitting; /* large */
    struct task_core *core = context;
    struct lab_config config = {.nodes = 1, .shards = 1, .work = end_at_once};
    struct task_pool pool = lab_pool(POOL);
    pool.workers = core->workers;
    pool.queue_max = 100000000;
    submitting.lab = lab_open(&config);
    for (uint32_t i = 0; i < BATCH; i++) {
        submitting.specs[i] =
            task_spec_of(bytes_of(submitting.payload, PAYLOAD_BYTES));
    }
    pool.is_paused = true; /* nothing is given out yet */
    lab_set_pool(submitting.lab, &pool);
    lab_lead(submitting.lab, 0, 0);
    lab_run(submitting.lab);
    uint64_t resident = process_resident_bytes();
    uint64_t cpu_ns = process_cpu_ns();
    fill(&submitting, core->queued);
    double queued = core->queued > 0 ? (double)core->queued : 1;
    core->submit_ns = (double)(process_cpu_ns() - cpu_ns) / queued;
    core->bytes = (double)(process_resident_bytes() - resident) / queued;
    pool.is_paused = false;
    lab_set_pool(submitting.lab, &pool);
    lab_run(submitting.lab);
    run_cycles(&submitting, CYCLES_WARM_UP);
    cpu_ns = process_cpu_ns();
    run_cycles(&submitting, CYCLES);
    core->cycle_ns =
        (double)(process_cpu_ns() - cpu_ns) / ((double)CYCLES * BATCH);
    return ERR_NONE;
}

enum err task_core_measure(struct task_core *core)
{
    struct task_core *shared = process_shared_open(sizeof *shared);
    if (!shared) {
        return ERR_MEMORY;
    }
    *shared = *core;
    uint64_t end_ns = process_now_ns() + TIMEOUT_NS;
    pid_t child = process_start(run, shared);
    while (child > 0 && !process_has_ended(child)) {
        if (process_now_ns() >= end_ns) {
            process_end(child);
            process_shared_close(shared, sizeof *shared);
            return ERR_TIMEOUT;
        }
        process_sleep_ns(5 * NS_PER_MS);
    }
    *core = *shared;
    process_shared_close(shared, sizeof *shared);
    return child <= 0 ? ERR_MEMORY : core->cycle_ns > 0 ? ERR_NONE : ERR_CLOSED;
}
