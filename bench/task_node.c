#include "bench/task_node.h"

#include "base/owner.h"
#include "bench/process.h"
#include "node/node.h"
#include "node/task_service.h"
#include "node/workers.h"
#include "shard/task_request.h"
#include "troupe/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOK_NS NS_PER_MS
#define TIMEOUT_MS 60000
#define AWAIT_MS 30000
#define WINDOW_MAX 64
#define WAIT_NS NS_PER_MS /* of a task that takes a while */
#define NAMES_MAX 10000

struct submitter;

struct submission {
    struct task_ask ask;
    struct submitter *submitter;
    uint32_t count;
    bool is_under_way;
};

struct submitter {
    struct task_bench *bench;
    struct task_bench_node *report;
    struct node *node;
    uint32_t number;
    struct timer timer;
    struct call change; /* of the pool */
    bool is_changing;
    char pool[CERTIFICATE_NAME_BYTES];

    uint64_t random;
    uint64_t asked; /* tasks submitted, acknowledged or not */
    struct submission submissions[WINDOW_MAX];

    struct task_ask single;
    bool is_single_under_way;
    uint64_t single_ns; /* when it was submitted */
    uint64_t single_id;

    uint8_t *buffer;
    size_t buffer_bytes;
};

/* ---- handlers ---- */

static int do_nothing(struct troupe_task *task)
{
    (void)task;
    return TROUPE_TASK_DONE;
}

static int take_a_while(struct troupe_task *task)
{
    struct timespec while_ns = {.tv_nsec = WAIT_NS};
    (void)task;
    (void)nanosleep(&while_ns, NULL);
    return TROUPE_TASK_DONE;
}

const struct workers_function task_bench_functions[] = {
    {.name = "nothing", .handler = do_nothing},
    {.name = "while", .handler = take_a_while},
};
const uint32_t task_bench_function_count =
    sizeof task_bench_functions / sizeof task_bench_functions[0];

/* ---- */

static void fail(struct submitter *submitter, const char *what, enum err err)
{
    struct task_bench *bench = submitter->bench;
    if (!atomic_exchange(&bench->has_failed, true)) {
        err_explain(&bench->why, "n%u: %s: %s", submitter->number + 1, what,
                    err_text(err));
    }
}

/* Vigna's splitmix64, from a place of our own on. */
static uint64_t random_number(struct submitter *submitter)
{
    submitter->random += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t mixed = submitter->random;
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

static struct bytes write_payload(const struct task_bench *bench,
                                  uint8_t to[static TASK_BENCH_PAYLOAD_BYTES])
{
    struct writer writer = writer_of(to, TASK_BENCH_PAYLOAD_BYTES);
    if (!bench->is_command) {
        memset(to, 0x5a, TASK_BENCH_PAYLOAD_BYTES);
        return bytes_of(to, TASK_BENCH_PAYLOAD_BYTES);
    }
    pack_map(&writer, 1);
    pack_str(&writer, bytes_of_text("argv"));
    pack_array(&writer, 2);
    pack_str(&writer, bytes_of_text("/bin/true"));
    pack_str(&writer, bytes_of_text("1"));
    return writer_bytes(&writer);
}

static struct bytes write_submission(struct submitter *submitter,
                                     uint32_t count)
{
    uint8_t payload[TASK_BENCH_PAYLOAD_BYTES];
    struct task_spec spec =
        task_spec_of(write_payload(submitter->bench, payload));
    struct writer writer =
        writer_of(submitter->buffer, submitter->buffer_bytes);
    uint64_t number =
        count == 1 ? task_service_number(node_task_service(submitter->node))
                   : random_number(submitter);
    book_submit_begin(&writer, submitter->pool, number, count);
    for (uint32_t i = 0; i < count; i++) {
        task_spec_encode(&spec, &writer);
    }
    return writer_bytes(&writer);
}

/* ---- the pool ---- */

static void on_changed(struct call *call, enum err err, struct bytes answer)
{
    struct submitter *submitter = OWNER_OF(call, struct submitter, change);
    submitter->is_changing = false;
    if (err && err != ERR_NOT_LEADER && err != ERR_UNREACHABLE &&
        err != ERR_UNCERTAIN && err != ERR_TIMEOUT) {
        err_explain(&submitter->bench->why, "the pool: %s: %.*s", err_text(err),
                    (int)answer.length, (const char *)answer.data);
        atomic_store(&submitter->bench->has_failed, true);
    }
}

/* A single pool's shard is that of its name. */
static bool find_name(struct submitter *submitter)
{
    const struct task_bench *bench = submitter->bench;
    struct task_pool pool = bench->pool;
    memcpy(submitter->pool, pool.name, sizeof pool.name);
    for (unsigned i = 0; bench->pool_home != CLUSTER_NOBODY; i++) {
        (void)snprintf(pool.name, sizeof pool.name, "bench-%u", i);
        memcpy(submitter->pool, pool.name, sizeof pool.name);
        uint32_t shard = task_pool_shard(
            pool.name, tasks_shard_count(node_tasks(submitter->node)));
        uint32_t leader = host_leader(node_host(submitter->node), shard);
        const struct member *member =
            members_find(tasks_members(node_tasks(submitter->node)), leader);
        if (i == NAMES_MAX || !member) {
            return false;
        }
        if (strcmp(member->name, cluster_nodes_name(bench->pool_home)) == 0) {
            break;
        }
    }
    return true;
}

static void make_pool(struct submitter *submitter)
{
    struct view_change change = {.kind = VIEW_POOL_SET,
                                 .who = "node/bench",
                                 .text = "a pool",
                                 .pool = submitter->bench->pool};
    memcpy(change.pool.name, submitter->pool, sizeof change.pool.name);
    submitter->change.done = on_changed;
    submitter->is_changing = host_change(node_host(submitter->node), &change,
                                         &submitter->change) == ERR_NONE;
}

static bool has_pool(struct submitter *submitter)
{
    const struct task_pools *pools = tasks_pools(node_tasks(submitter->node));
    return submitter->pool[0] &&
           task_pools_find(pools, bytes_of_text(submitter->pool));
}

/* ---- many ---- */

static void fill_window(struct submitter *submitter);

static uint32_t count_accepted(struct bytes answer)
{
    struct reader reader = reader_of(answer);
    uint32_t runs = pack_read_array(&reader);
    uint32_t accepted = 0;
    for (uint32_t i = 0; i < runs && !reader.failed; i++) {
        struct book_run run;
        book_run_decode(&run, &reader);
        accepted += run.err ? 0 : run.count;
    }
    return reader.failed ? 0 : accepted;
}

static void on_submitted(struct task_ask *ask,
                         enum err err,
                         struct bytes answer)
{
    struct submission *submission = OWNER_OF(ask, struct submission, ask);
    struct submitter *submitter = submission->submitter;
    submission->is_under_way = false;
    if (!err && count_accepted(answer) != submission->count) {
        err = ERR_FULL;
    }
    if (err) {
        fail(submitter, "a submission", err);
        return;
    }
    atomic_fetch_add(&submitter->report->accepted, submission->count);
    fill_window(submitter);
}

static bool submit(struct submitter *submitter, struct submission *submission)
{
    struct bytes question = write_submission(submitter, submission->count);
    enum err err = task_service_ask(node_task_service(submitter->node),
                                    question, TIMEOUT_MS, &submission->ask);
    if (err) {
        fail(submitter, "submitting", err);
    }
    submission->is_under_way = !err;
    return !err;
}

static void fill_window(struct submitter *submitter)
{
    const struct task_bench *bench = submitter->bench;
    uint64_t wanted = atomic_load(&submitter->report->wanted);
    for (uint32_t i = 0; i < bench->window && submitter->asked < wanted; i++) {
        struct submission *submission = &submitter->submissions[i];
        uint64_t left = wanted - submitter->asked;
        if (submission->is_under_way) {
            continue;
        }
        submission->count = left < bench->batch ? (uint32_t)left : bench->batch;
        if (!submit(submitter, submission)) {
            return;
        }
        submitter->asked += submission->count;
    }
}

/* ---- one at a time ---- */

static void begin_single(struct submitter *submitter);

static void on_awaited(struct task_ask *ask, enum err err, struct bytes answer)
{
    struct submitter *submitter = OWNER_OF(ask, struct submitter, single);
    struct task_bench_node *report = submitter->report;
    struct reader reader = reader_of(answer);
    struct task_outcome outcome = {0};
    if (!err && pack_read_array(&reader) == 1) {
        task_outcome_decode(&outcome, &reader);
        err = reader.failed ? ERR_MALFORMED : outcome.err;
        err = err || outcome.end.state == TASK_DONE ? err : ERR_IO;
    } else if (!err) {
        err = ERR_TIMEOUT;
    }
    submitter->is_single_under_way = false;
    if (err) {
        fail(submitter, "a task that was awaited", err);
        return;
    }
    histogram_record(&report->latency_ns,
                     process_now_ns() - submitter->single_ns);
    atomic_fetch_add(&report->singles_done, 1);
    begin_single(submitter);
}

static void on_single_submitted(struct task_ask *ask,
                                enum err err,
                                struct bytes answer)
{
    struct submitter *submitter = OWNER_OF(ask, struct submitter, single);
    struct reader reader = reader_of(answer);
    struct book_run run = {0};
    if (!err) {
        (void)pack_read_array(&reader);
        book_run_decode(&run, &reader);
        err = reader.failed ? ERR_MALFORMED : run.err;
    }
    if (!err) {
        struct writer writer =
            writer_of(submitter->buffer, submitter->buffer_bytes);
        task_await_encode(
            &writer, &(struct task_await_question){.kind = TASK_REQUEST_AWAIT,
                                                   .count = 1,
                                                   .ids = &run.first,
                                                   .wait_ms = AWAIT_MS});
        ask->done = on_awaited;
        err = task_service_ask(node_task_service(submitter->node),
                               writer_bytes(&writer), TIMEOUT_MS, ask);
    }
    if (err) {
        submitter->is_single_under_way = false;
        fail(submitter, "submitting one", err);
    }
}

static void begin_single(struct submitter *submitter)
{
    struct task_bench_node *report = submitter->report;
    if (submitter->is_single_under_way ||
        atomic_load(&report->singles_done) >= atomic_load(&report->singles)) {
        return;
    }
    submitter->single.done = on_single_submitted;
    submitter->single_ns = process_now_ns();
    enum err err = task_service_ask(node_task_service(submitter->node),
                                    write_submission(submitter, 1), TIMEOUT_MS,
                                    &submitter->single);
    submitter->is_single_under_way = !err;
    if (err) {
        fail(submitter, "submitting one", err);
    }
}

/* ---- looking ---- */

static void report_load(struct submitter *submitter)
{
    struct task_bench_node *report = submitter->report;
    struct tasks *tasks = node_tasks(submitter->node);
    struct bytes pool = bytes_of_text(submitter->pool);
    uint64_t done = 0;
    uint64_t led = 0;
    for (uint32_t i = 0; i < tasks_shard_count(tasks); i++) {
        struct coordinator *coordinator = tasks_led(tasks, i);
        if (coordinator) {
            done += book_stats(coordinator_book(coordinator), pool).done_total;
            led++;
        }
    }
    atomic_store(&report->done, done);
    atomic_store(&report->led, led);
    atomic_store(&report->ready,
                 dispatcher_ready(tasks_dispatcher(tasks), submitter->pool));
    atomic_store(&report->stolen, agent_stats(tasks_agent(tasks))->stolen);
    atomic_store(&report->cpu_ns, process_cpu_ns());
}

static void look_for_pool(struct submitter *submitter)
{
    if (!submitter->pool[0] && !find_name(submitter)) {
        submitter->pool[0] = '\0';
        return;
    }
    if (has_pool(submitter)) {
        atomic_store(&submitter->report->has_pool, true);
    } else if (submitter->number == 0 && !submitter->is_changing) {
        make_pool(submitter);
    }
}

static void run_look(struct timer *timer)
{
    struct submitter *submitter = OWNER_OF(timer, struct submitter, timer);
    if (!atomic_load(&submitter->report->has_pool)) {
        if (atomic_load(&submitter->bench->begins)) {
            look_for_pool(submitter);
        }
    } else {
        report_load(submitter);
        fill_window(submitter);
        begin_single(submitter);
    }
    reactor_timer_set(node_reactor(submitter->node), timer, LOOK_NS);
}

void task_node_begin(void *context, uint32_t number, struct node *node)
{
    struct submitter *submitter = calloc(1, sizeof *submitter);
    size_t room =
        256 + (size_t)BOOK_REQUEST_TASKS_MAX * (32 + TASK_BENCH_PAYLOAD_BYTES);
    uint8_t *buffer = malloc(room);
    struct task_bench *bench = context;
    if (!submitter || !buffer) {
        free(submitter);
        free(buffer);
        atomic_store(&bench->has_failed, true);
        return;
    }
    *submitter = (struct submitter){.bench = bench,
                                    .report = &bench->nodes[number],
                                    .node = node,
                                    .number = number,
                                    .random = process_now_ns() + number,
                                    .timer.fire = run_look,
                                    .buffer = buffer,
                                    .buffer_bytes = room};
    for (uint32_t i = 0; i < WINDOW_MAX; i++) {
        submitter->submissions[i].submitter = submitter;
        submitter->submissions[i].ask.done = on_submitted;
    }
    struct agent_limits limits;
    agent_limits_defaults(&limits);
    limits.steals_nothing = !bench->steals;
    agent_set_limits(tasks_agent(node_tasks(submitter->node)), &limits);
    reactor_timer_set(node_reactor(submitter->node), &submitter->timer,
                      LOOK_NS);
}
