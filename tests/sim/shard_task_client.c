/*
 * Clients of tasks in the simulator of shards: they submit, alone and in
 * batches, wait for ends, cancel, retry, purge; and ask again when they do not
 * know what became of a submission.
 */

#include "base/hash.h"
#include "base/owner.h"
#include "tests/sim/shard_sim_core.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PAUSE_MS_MAX 60
#define SLACK_NS (300 * NS_PER_MS)
#define SUBMISSION_STEP 64 /* its parts have numbers of their own */

const char *const sim_pool_names[SIM_POOL_COUNT] = {
    [SIM_POOL_WORK] = "work",
    [SIM_POOL_FAST] = "fast",
    [SIM_POOL_ONE] = "one",
    [SIM_POOL_BRIEF] = "brief",
};

void sim_pool_make(struct task_pool *out, enum sim_pool pool)
{
    task_pool_defaults(out);
    (void)snprintf(out->name, sizeof out->name, "%s", sim_pool_names[pool]);
    out->handler = TASK_FUNCTION;
    (void)snprintf(out->function, sizeof out->function, "sim");
    out->workers = 2;
    out->is_durable = pool != SIM_POOL_FAST;
    out->lease_ms = SIM_LEASE_MS;
    out->timeout_ms = 1500;
    out->attempts_max = 4;
    out->backoff_min_ms = 20;
    out->backoff_max_ms = 400;
    if (pool == SIM_POOL_ONE) {
        out->running_max = 2;
        out->rate = 200;
    } else if (pool == SIM_POOL_BRIEF) {
        out->queue_max = 100;
        out->result_ms = 2000;
        out->dead_max = 5;
    }
}

static void pause_client(struct task_client *client);

static struct task_memory *memory_of(const struct task_client *client)
{
    return &client->node->sim->tasks;
}

/* ---- submitting ---- */

/* What one is to be; `after` it is among those that are known already. */
static void choose_after(struct sim *sim, struct sim_spec *spec)
{
    const struct task_memory *memory = &sim->tasks;
    if (memory->spec_count == 0 || !chance(sim, 12)) {
        return;
    }
    const struct sim_spec *other =
        &memory->specs[below(sim, memory->spec_count)];
    if (other->told == SIM_ACCEPTED && other->pool == SIM_POOL_WORK) {
        spec->after = other->id;
    }
}

static enum sim_work choose_work(struct sim *sim)
{
    uint64_t dice = below(sim, 100);
    return dice < 92   ? SIM_WORK_PLAIN
           : dice < 96 ? SIM_WORK_FAILING
                       : SIM_WORK_HOPELESS;
}

static void make_spec(struct sim *sim,
                      uint32_t number,
                      enum sim_pool pool,
                      struct task_spec *out,
                      uint8_t payload[static SIM_PAYLOAD_BYTES])
{
    struct sim_spec *spec = &sim->tasks.specs[number];
    struct sim_payload made = {.number = number, .work = choose_work(sim)};
    uint64_t dice = below(sim, 100);
    *spec = (struct sim_spec){.pool = pool};
    if (pool == SIM_POOL_WORK && dice < 15) {
        spec->key = 1 + (uint32_t)below(sim, TASK_KEYS);
        made.work = SIM_WORK_PLAIN;
        made.number = TASKS_MAX + 2 * spec->key + chance(sim, 10);
    } else if (pool == SIM_POOL_WORK && dice < 35) {
        spec->order = 1 + (uint32_t)below(sim, TASK_ORDERS);
    } else if (pool == SIM_POOL_WORK) {
        choose_after(sim, spec);
    }
    spec->payload = made.number;
    *out = task_spec_of(sim_payload_encode(payload, &made));
    spec->hash = hash_bytes(out->payload, 0);
    out->priority = (uint8_t)below(sim, TASK_PRIORITY_COUNT);
    if (spec->key == 0 && chance(sim, 12)) {
        out->delay_ms = below(sim, 2000);
    }
    if (spec->key == 0 && chance(sim, 6)) {
        out->ttl_ms = 100 + below(sim, 3000);
    }
}

static void write_spec(struct sim *sim,
                       struct task_client *client,
                       enum sim_pool pool,
                       struct writer *writer)
{
    static const char *const tenants[] = {"", "", "ann", "bob"};
    struct task_memory *memory = &sim->tasks;
    uint32_t number = memory->spec_count++;
    uint8_t payload[SIM_PAYLOAD_BYTES];
    char key[16];
    char order[16];
    struct task_spec made;
    make_spec(sim, number, pool, &made, payload);
    const struct sim_spec *spec = &memory->specs[number];
    (void)snprintf(key, sizeof key, "k%u", spec->key);
    (void)snprintf(order, sizeof order, "%u", spec->order);
    made.key = spec->key > 0 ? bytes_of_text(key) : made.key;
    made.order = spec->order > 0 ? bytes_of_text(order) : made.order;
    made.tenant = bytes_of_text(tenants[below(sim, 4)]);
    made.after_count = spec->after != 0;
    made.after[0] = spec->after;
    task_spec_encode(&made, writer);
    client->specs[client->count++] = number;
}

/* Where its tasks are is not the same before. */
static bool is_single_yet(const struct task_client *client)
{
    const struct task_pool *pool =
        task_pools_find(tasks_pools(client->node->tasks),
                        bytes_of_text(sim_pool_names[SIM_POOL_ONE]));
    return pool && task_pool_is_single(pool);
}

static void write_submission(struct task_client *client)
{
    struct sim *sim = client->node->sim;
    struct writer writer = writer_of(client->question, sizeof client->question);
    uint64_t dice = below(sim, 10);
    enum sim_pool pool = dice < 6                            ? SIM_POOL_WORK
                         : dice < 8                          ? SIM_POOL_FAST
                         : dice < 9 && is_single_yet(client) ? SIM_POOL_ONE
                                                             : SIM_POOL_BRIEF;
    uint32_t count =
        chance(sim, 60) ? 1 : 1 + (uint32_t)below(sim, TASK_BATCH_MAX);
    uint64_t submission =
        (UINT64_C(1) + sim->tasks.spec_count) * SUBMISSION_STEP;
    book_submit_begin(&writer, sim_pool_names[pool], submission, count);
    while (count-- > 0) {
        write_spec(sim, client, pool, &writer);
    }
    assert(!writer.failed);
    client->question_bytes = writer_bytes(&writer).length;
}

static bool may_have_happened(enum err err)
{
    return err == ERR_TIMEOUT || err == ERR_UNCERTAIN || err == ERR_CLOSED;
}

static void tell_one(struct task_client *client,
                     uint32_t at,
                     enum err err,
                     uint64_t id)
{
    struct sim *sim = client->node->sim;
    uint32_t number = client->specs[at];
    struct sim_spec *spec = &sim->tasks.specs[number];
    if (!err) {
        if (spec->told == SIM_ACCEPTED && spec->id != id &&
            spec->pool != SIM_POOL_FAST) {
            broken(sim, "task once",
                   "task %u was %" PRIx64 ", and is %" PRIx64
                   " when it is asked again",
                   number, spec->id, id);
        }
        spec->told = SIM_ACCEPTED;
        spec->id = id;
        check_accepted(sim, spec);
    } else if (may_have_happened(err)) {
        spec->told = SIM_UNCERTAIN;
    } else if (spec->told == SIM_OPEN) {
        spec->told = SIM_REFUSED;
        if (err == ERR_EXISTS && spec->key == 0) {
            broken(sim, "task key", "task %u has no key, and exists", number);
        }
    }
    sim->result.tasks += !err;
}

/* Whether something is not known. */
static bool hear_submission(struct task_client *client,
                            enum err err,
                            struct bytes answer)
{
    struct reader reader = reader_of(answer);
    struct book_run run = {.count = client->count, .err = err};
    uint32_t told = 0;
    bool is_uncertain = false;
    if (!err) {
        (void)pack_read_array(&reader);
    }
    while (told < client->count) {
        if (!err) {
            book_run_decode(&run, &reader);
        }
        if (reader.failed || run.count == 0) {
            broken(client->node->sim, "answer",
                   "the answer to a submission makes no sense");
            return false;
        }
        for (uint32_t i = 0; i < run.count && told < client->count; i++) {
            tell_one(client, told++, run.err, run.first + i);
        }
        is_uncertain = is_uncertain || may_have_happened(run.err);
    }
    return is_uncertain;
}

/* ---- waiting ---- */

static void choose_known(struct task_client *client,
                         uint32_t max,
                         bool (*is_meant)(const struct sim_spec *spec))
{
    struct sim *sim = client->node->sim;
    const struct task_memory *memory = &sim->tasks;
    client->count = 0;
    for (uint32_t i = 0;
         i < 4 * max && client->count < max && memory->spec_count > 0; i++) {
        uint32_t number = (uint32_t)below(sim, memory->spec_count);
        const struct sim_spec *spec = &memory->specs[number];
        if (spec->told == SIM_ACCEPTED && is_meant(spec)) {
            client->specs[client->count % TASK_BATCH_MAX] = number;
            client->ids[client->count++] = spec->id;
        }
    }
}

static bool is_awaited(const struct sim_spec *spec)
{
    return !spec->is_over;
}

static void write_await(struct task_client *client)
{
    struct sim *sim = client->node->sim;
    struct writer writer = writer_of(client->question, sizeof client->question);
    choose_known(client, 1 + (uint32_t)below(sim, TASK_BATCH_MAX), is_awaited);
    client->is_curious = client->count % 2 == 1;
    for (uint32_t i = 0; i < client->count; i++) {
        client->seen[i] = sim->tasks.specs[client->specs[i]].said;
    }
    task_await_encode(&writer,
                      &(struct task_await_question){
                          .kind = TASK_REQUEST_AWAIT,
                          .count = client->count,
                          .ids = client->ids,
                          .seen = client->is_curious ? client->seen : NULL,
                          .wait_ms = below(sim, 800)});
    client->question_bytes = writer_bytes(&writer).length;
}

/* Only who wants to hear it does, and only what is new to them. */
static void hear_said(struct task_client *client,
                      uint32_t at,
                      const struct task_said *said)
{
    struct sim *sim = client->node->sim;
    if (!client->is_curious || said->number == client->seen[at] ||
        strcmp(said->text, "on its way") != 0) {
        broken(sim, "task said", "task %u says what nobody wants to know",
               client->specs[at]);
    }
    sim->tasks.specs[client->specs[at]].said = said->number;
}

static void hear_outcome(struct task_client *client,
                         const struct task_outcome *outcome)
{
    struct sim *sim = client->node->sim;
    check_outcome_told(sim, client->node, outcome);
    for (uint32_t i = 0; i < client->count; i++) {
        struct sim_spec *spec = &sim->tasks.specs[client->specs[i]];
        if (spec->id != outcome->id) {
            continue;
        }
        if (outcome->err == ERR_BUSY) {
            hear_said(client, i, &outcome->said);
            continue;
        }
        spec->is_over = true;
        struct sim_output output;
        if (!outcome->err && outcome->end.state == TASK_DONE &&
            (!sim_output_decode(&output, outcome->end.output) ||
             output.number != spec->payload || output.hash != spec->hash)) {
            broken(sim, "task result",
                   "task %u has a result that is not its own",
                   client->specs[i]);
        }
    }
}

static void hear_await(struct task_client *client,
                       enum err err,
                       struct bytes answer)
{
    struct reader reader = reader_of(answer);
    uint32_t count = err ? 0 : pack_read_array(&reader);
    for (uint32_t i = 0; i < count && !reader.failed; i++) {
        struct task_outcome outcome;
        task_outcome_decode(&outcome, &reader);
        if (!reader.failed) {
            hear_outcome(client, &outcome);
        }
    }
    if (!err && reader.failed) {
        broken(client->node->sim, "answer",
               "the answer to an await makes no sense");
    }
}

/* ---- changing ---- */

/* Who is in order, or has a key, is left alone: what is promised of them would
 * not hold. */
static bool may_change(const struct sim_spec *spec)
{
    return spec->key == 0 && spec->order == 0;
}

static void write_change(struct task_client *client)
{
    struct sim *sim = client->node->sim;
    struct writer writer = writer_of(client->question, sizeof client->question);
    uint64_t dice = below(sim, 10);
    enum book_request_kind kind = dice < 5   ? BOOK_CANCEL
                                  : dice < 8 ? BOOK_RETRY
                                             : BOOK_PURGE;
    choose_known(client, 1 + (uint32_t)below(sim, 3), may_change);
    task_change_encode(&writer, kind, client->ids, client->count);
    client->question_bytes = writer_bytes(&writer).length;
}

static void hear_change(const struct task_client *client,
                        enum err err,
                        struct bytes answer)
{
    struct reader reader = reader_of(answer);
    uint64_t changed = err ? 0 : pack_read_uint(&reader);
    if (!err && (reader.failed || changed > client->count)) {
        broken(client->node->sim, "answer",
               "%" PRIu64 " of %u tasks were changed", changed, client->count);
    }
}

/* ---- asking ---- */

static void on_answer(struct task_ask *ask, enum err err, struct bytes answer)
{
    struct task_client *client = OWNER_OF(ask, struct task_client, ask);
    struct node *node = client->node;
    if (!client->is_asking) {
        broken(node->sim, "answer", "%s: a question is answered twice",
               node->name);
        return;
    }
    client->is_asking = false;
    if (client->kind == SIM_SUBMIT) {
        client->asks_again = hear_submission(client, err, answer);
    } else if (client->kind == SIM_AWAIT) {
        hear_await(client, err, answer);
    } else {
        hear_change(client, err, answer);
    }
    if (!node->is_closing && node->task_service) {
        pause_client(client);
    }
}

/* False: there is nothing to ask. */
static bool choose_question(struct task_client *client)
{
    struct sim *sim = client->node->sim;
    uint64_t dice = below(sim, 100);
    if (client->asks_again && dice < 60) {
        return true; /* the same */
    }
    client->asks_again = false;
    client->count = 0;
    dice = below(sim, 100);
    if (dice < 50) {
        client->kind = SIM_SUBMIT;
        if (memory_of(client)->spec_count + TASK_BATCH_MAX > TASKS_MAX) {
            return false;
        }
        write_submission(client);
    } else if (dice < 85) {
        client->kind = SIM_AWAIT;
        write_await(client);
    } else {
        client->kind = SIM_CHANGE;
        write_change(client);
    }
    return client->count > 0;
}

static void ask(struct task_client *client)
{
    struct node *node = client->node;
    struct sim *sim = node->sim;
    if (!choose_question(client)) {
        pause_client(client);
        return;
    }
    uint32_t timeout_ms = 2000 + 500 * (uint32_t)below(sim, 3);
    client->until_ns = now_ns(sim) + timeout_ms * NS_PER_MS * 10 / 9 + SLACK_NS;
    client->is_asking = true;
    enum err err = task_service_ask(
        node->task_service, bytes_of(client->question, client->question_bytes),
        timeout_ms, &client->ask);
    if (err) {
        client->is_asking = false;
        pause_client(client);
    }
}

static void run_client(struct timer *timer)
{
    struct task_client *client = OWNER_OF(timer, struct task_client, pause);
    const struct node *node = client->node;
    const struct sim *sim = node->sim;
    bool is_quiet = sim->phase >= PHASE_FINISH && sim->phase != PHASE_AFTER;
    if (is_quiet || node->is_leaving || !node->task_service) {
        return;
    }
    if (host_view(node->host) && host_view(node->host)->map.shard_count > 0) {
        ask(client);
    } else {
        pause_client(client);
    }
}

static void pause_client(struct task_client *client)
{
    struct sim *sim = client->node->sim;
    reactor_timer_set(client->node->reactor, &client->pause,
                      (1 + below(sim, PAUSE_MS_MAX)) * NS_PER_MS);
}

/* ---- life ---- */

void task_clients_start(struct node *node)
{
    for (uint32_t i = 0; i < TASK_CLIENTS; i++) {
        struct task_client *client = &node->task_clients[i];
        *client = (struct task_client){.node = node,
                                       .pause = {.fire = run_client},
                                       .ask = {.done = on_answer}};
        pause_client(client);
    }
}

void task_clients_stop(struct node *node)
{
    for (uint32_t i = 0; i < TASK_CLIENTS; i++) {
        reactor_timer_cancel(node->reactor, &node->task_clients[i].pause);
    }
}

bool task_clients_are_asking(const struct node *node)
{
    bool are_asking = false;
    for (uint32_t i = 0; i < TASK_CLIENTS; i++) {
        are_asking = are_asking || node->task_clients[i].is_asking;
    }
    return are_asking;
}
