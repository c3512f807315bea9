#include "tests/shard/task_lab.h"

#include "base/time_units.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUTCOME_BYTES (2u << 20)
#define START_MS INT64_C(1700000000000)

struct message {
    struct message *next;
    uint32_t from;
    uint32_t to;
    bool is_for_agent;
    size_t length;
    uint8_t bytes[];
};

struct lab_node {
    struct lab *lab;
    uint32_t number;
    struct dispatcher *dispatcher;
    struct agent *agent;
    struct workers workers;
    struct run *runs; /* oldest first */
    struct run *last_run;
    bool is_woken_dispatcher;
    bool is_woken_agent;
};

struct lab {
    struct lab_config config;
    struct lab_node nodes[LAB_NODES_MAX];
    struct task_pools pools;
    uint64_t now_ns;
    int64_t jumped_ms; /* by the wall clock */
    uint64_t random;
    uint64_t terms[LAB_SHARDS_MAX];
    uint32_t leaders[LAB_SHARDS_MAX]; /* UINT32_MAX: none */
    struct message *messages;
    struct message *last_message;
    bool is_cut[LAB_NODES_MAX][LAB_NODES_MAX];
    uint32_t refuse_count; /* commands of coordinators */
    struct clock clock;
    struct entropy entropy;
    uint8_t *outcome;
    uint8_t *reply;
};

/* ---- the outside ---- */

/* It goes on while one looks, as a real one does. */
static uint64_t on_now(void *context)
{
    return ((struct lab *)context)->now_ns++;
}

static int64_t on_wall(void *context)
{
    return lab_wall_ms(context);
}

int64_t lab_wall_ms(const struct lab *lab)
{
    return START_MS + (int64_t)(lab->now_ns / NS_PER_MS) + lab->jumped_ms;
}

static void on_fill(void *context, void *to, size_t length)
{
    struct lab *lab = context;
    for (size_t i = 0; i < length; i++) {
        lab->random = lab->random * UINT64_C(6364136223846793005) + 1;
        ((uint8_t *)to)[i] = (uint8_t)(lab->random >> 56);
    }
}

static const struct task_pools *on_pools(void *context)
{
    return &((struct lab_node *)context)->lab->pools;
}

static uint32_t on_shard_count(void *context)
{
    return ((struct lab_node *)context)->lab->config.shards;
}

static bool post(struct lab_node *node,
                 uint32_t to,
                 bool is_for_agent,
                 struct bytes bytes)
{
    struct lab *lab = node->lab;
    if (lab->is_cut[node->number][to]) {
        return false;
    }
    struct message *message = malloc(sizeof *message + bytes.length);
    assert(message);
    *message = (struct message){.from = node->number,
                                .to = to,
                                .is_for_agent = is_for_agent,
                                .length = bytes.length};
    memcpy(message->bytes, bytes.data, bytes.length);
    *(lab->last_message ? &lab->last_message->next : &lab->messages) = message;
    lab->last_message = message;
    return true;
}

static bool send_to_agent(void *context, uint32_t to, struct bytes message)
{
    return post(context, to, true, message);
}

static bool send_to_dispatcher(void *context, uint32_t to, struct bytes message)
{
    return post(context, to, false, message);
}

static void each_node(void *context,
                      void (*visit)(void *context, uint32_t node),
                      void *visit_context)
{
    struct lab_node *node = context;
    for (uint32_t i = 0; i < node->lab->config.nodes; i++) {
        visit(visit_context, i);
    }
}

static void wake_dispatcher(void *context)
{
    ((struct lab_node *)context)->is_woken_dispatcher = true;
}

static void wake_agent(void *context)
{
    ((struct lab_node *)context)->is_woken_agent = true;
}

static void watch(void *context, uint64_t id)
{
    (void)context;
    (void)id;
}

/* ---- the group: all replicas apply at once ---- */

static struct machine machine_of(struct lab *lab, uint32_t node, uint32_t shard)
{
    return book_machine(coordinator_book(lab_coordinator(lab, node, shard)));
}

static enum err propose(struct lab *lab, uint32_t shard, struct bytes command)
{
    uint32_t leader = lab->leaders[shard];
    struct machine_stamp stamp = {.wall_ms = lab_wall_ms(lab)};
    struct machine_decision decision = {
        .outcome = writer_of(lab->outcome, OUTCOME_BYTES),
        .reply = writer_of(lab->reply, OUTCOME_BYTES)};
    if (leader == UINT32_MAX) {
        return ERR_NOT_LEADER;
    }
    struct machine machine = machine_of(lab, leader, shard);
    enum err err = machine.decide(machine.context, &stamp, command, &decision);
    struct bytes outcome = writer_bytes(&decision.outcome);
    for (uint32_t i = 0; i < lab->config.nodes && !err && outcome.length > 0;
         i++) {
        machine = machine_of(lab, i, shard);
        err = machine.apply(machine.context, 1, &stamp, outcome);
        assert(!err);
    }
    lab->reply = decision.reply.start;
    put_u64(lab->reply + OUTCOME_BYTES,
            (uint64_t)(decision.reply.next - decision.reply.start));
    return err;
}

static enum err on_propose(void *context, uint32_t shard, struct bytes command)
{
    struct lab_node *node = context;
    if (node->lab->refuse_count > 0) {
        node->lab->refuse_count--;
        return ERR_FULL;
    }
    return node->lab->leaders[shard] == node->number
               ? propose(node->lab, shard, command)
               : ERR_NOT_LEADER;
}

/* ---- workers ---- */

static void set_pools(void *context, const struct task_pools *pools)
{
    (void)context;
    (void)pools;
}

static void start(void *context, struct run *run)
{
    struct lab_node *node = context;
    run->next = NULL;
    *(node->last_run ? &node->last_run->next : &node->runs) = run;
    node->last_run = run;
}

static struct run *take_run(struct lab_node *node)
{
    struct run *run = node->runs;
    node->runs = run->next;
    node->last_run = node->runs ? node->last_run : NULL;
    return run;
}

static void cancel(void *context, struct run *run)
{
    struct lab_node *node = context;
    struct run **link = &node->runs;
    while (*link != run) {
        link = &(*link)->next;
    }
    *link = run->next;
    node->last_run = NULL;
    for (struct run *of = node->runs; of; of = of->next) {
        node->last_run = of;
    }
    run->done(run, &(struct run_result){.status = RUN_CANCELLED, .why = ""});
}

/* ---- life ---- */

static void open_node(struct lab *lab, uint32_t number)
{
    struct lab_node *node = &lab->nodes[number];
    struct agent_limits limits;
    agent_limits_defaults(&limits);
    node->lab = lab;
    node->number = number;
    node->workers = (struct workers){.context = node,
                                     .set_pools = set_pools,
                                     .start = start,
                                     .cancel = cancel};
    struct dispatcher_home home = {.context = node,
                                   .clock = &lab->clock,
                                   .entropy = &lab->entropy,
                                   .pools = on_pools,
                                   .shard_count = on_shard_count,
                                   .propose = on_propose,
                                   .send = send_to_agent,
                                   .each_node = each_node,
                                   .wake = wake_dispatcher,
                                   .watch = watch};
    struct agent_home agent_home = {.context = node,
                                    .clock = &lab->clock,
                                    .entropy = &lab->entropy,
                                    .workers = &node->workers,
                                    .send = send_to_dispatcher,
                                    .each_node = each_node,
                                    .wake = wake_agent};
    enum err err = dispatcher_open(&node->dispatcher, &home);
    assert(!err);
    err = agent_open(&node->agent, &agent_home, &limits);
    assert(!err);
    dispatcher_set_self(node->dispatcher, number);
    for (uint32_t i = 0; i < lab->config.shards; i++) {
        struct coordinator *coordinator = NULL;
        err = dispatcher_add(node->dispatcher, i, &coordinator);
        assert(!err);
    }
    agent_set_self(node->agent, number);
    (void)err;
}

struct lab *lab_open(const struct lab_config *config)
{
    struct lab *lab = calloc(1, sizeof *lab);
    assert(lab && config->nodes <= LAB_NODES_MAX &&
           config->shards <= LAB_SHARDS_MAX);
    lab->config = *config;
    lab->now_ns = NS_PER_S;
    lab->clock =
        (struct clock){.context = lab, .now_ns = on_now, .wall_ms = on_wall};
    lab->entropy = (struct entropy){.context = lab, .fill = on_fill};
    lab->outcome = malloc(OUTCOME_BYTES);
    lab->reply = malloc(OUTCOME_BYTES + 8);
    assert(lab->outcome && lab->reply);
    for (uint32_t i = 0; i < LAB_SHARDS_MAX; i++) {
        lab->leaders[i] = UINT32_MAX;
    }
    for (uint32_t i = 0; i < config->nodes; i++) {
        open_node(lab, i);
    }
    return lab;
}

static void drop_runs(struct lab_node *node)
{
    while (node->runs) {
        struct run *run = take_run(node);
        run->done(run,
                  &(struct run_result){.status = RUN_CANCELLED, .why = ""});
    }
}

void lab_close(struct lab **lab)
{
    for (uint32_t i = 0; i < (*lab)->config.nodes; i++) {
        drop_runs(&(*lab)->nodes[i]);
        agent_close(&(*lab)->nodes[i].agent);
        dispatcher_close(&(*lab)->nodes[i].dispatcher);
    }
    while ((*lab)->messages) {
        struct message *next = (*lab)->messages->next;
        free((*lab)->messages);
        (*lab)->messages = next;
    }
    task_pools_clear(&(*lab)->pools);
    free((*lab)->outcome);
    free((*lab)->reply);
    free(*lab);
    *lab = NULL;
}

struct task_pool lab_pool(const char *name)
{
    struct task_pool pool;
    task_pool_defaults(&pool);
    (void)snprintf(pool.name, sizeof pool.name, "%s", name);
    pool.handler = TASK_FUNCTION;
    (void)snprintf(pool.function, sizeof pool.function, "echo");
    return pool;
}

static void tell_pools(struct lab *lab)
{
    for (uint32_t i = 0; i < lab->config.nodes; i++) {
        dispatcher_pools_changed(lab->nodes[i].dispatcher);
        enum err err = agent_set_pools(lab->nodes[i].agent, &lab->pools);
        assert(!err);
        (void)err;
    }
}

void lab_set_pool(struct lab *lab, const struct task_pool *pool)
{
    struct task_pool copy = *pool;
    copy.version = lab->now_ns + lab->random++;
    enum err err = task_pools_set(&lab->pools, &copy);
    assert(!err);
    (void)err;
    tell_pools(lab);
}

void lab_remove_pool(struct lab *lab, const char *name)
{
    task_pools_remove(&lab->pools, bytes_of_text(name));
    tell_pools(lab);
}

/* ---- who leads ---- */

void lab_lead(struct lab *lab, uint32_t shard, uint32_t node)
{
    lab->leaders[shard] = node;
    dispatcher_lead(lab->nodes[node].dispatcher, shard, ++lab->terms[shard]);
}

void lab_depose(struct lab *lab, uint32_t shard)
{
    uint32_t leader = lab->leaders[shard];
    struct machine machine = machine_of(lab, leader, shard);
    machine.drop(machine.context);
    dispatcher_follow(lab->nodes[leader].dispatcher, shard);
    lab->leaders[shard] = UINT32_MAX;
}

void lab_restart(struct lab *lab, uint32_t number)
{
    struct lab_node *node = &lab->nodes[number];
    struct agent_limits limits;
    struct agent_home home = {.context = node,
                              .clock = &lab->clock,
                              .entropy = &lab->entropy,
                              .workers = &node->workers,
                              .send = send_to_dispatcher,
                              .each_node = each_node,
                              .wake = wake_agent};
    agent_limits_defaults(&limits);
    for (uint32_t i = 0; i < lab->config.shards; i++) {
        if (lab->leaders[i] == number) {
            lab_depose(lab, i);
        }
    }
    drop_runs(node);
    agent_close(&node->agent);
    for (struct message **link = &lab->messages; *link;) {
        struct message *message = *link;
        if (message->from == number || message->to == number) {
            *link = message->next;
            free(message);
        } else {
            link = &message->next;
        }
    }
    lab->last_message = NULL;
    for (struct message *of = lab->messages; of; of = of->next) {
        lab->last_message = of;
    }
    enum err err = agent_open(&node->agent, &home, &limits);
    assert(!err);
    agent_set_self(node->agent, number);
    err = agent_set_pools(node->agent, &lab->pools);
    assert(!err);
    (void)err;
    for (uint32_t i = 0; i < lab->config.nodes; i++) {
        dispatcher_node_begun(lab->nodes[i].dispatcher, number);
        agent_node_begun(lab->nodes[i].agent, number);
    }
}

/* ---- requests ---- */

static struct bytes ask(struct lab *lab, uint32_t shard, struct bytes request)
{
    enum err err = ERR_NONE;
    struct writer reply = writer_of(lab->reply, OUTCOME_BYTES);
    struct coordinator *coordinator =
        lab_coordinator(lab, lab->leaders[shard], shard);
    if (coordinator_request(coordinator, request, &reply, &err)) {
        assert(!err);
        return writer_bytes(&reply);
    }
    err = propose(lab, shard, request);
    assert(!err);
    (void)err;
    return bytes_of(lab->reply, get_u64(lab->reply + OUTCOME_BYTES));
}

uint64_t lab_submit(struct lab *lab,
                    uint32_t shard,
                    const char *pool,
                    uint64_t submission,
                    const struct task_spec *specs,
                    uint32_t count,
                    struct book_run *first)
{
    size_t bytes = book_submit_bytes(pool);
    for (uint32_t i = 0; i < count; i++) {
        bytes += task_spec_bytes_max(&specs[i]);
    }
    uint8_t *buffer = malloc(bytes);
    assert(buffer);
    struct writer writer = writer_of(buffer, bytes);
    book_submit_begin(&writer, pool, submission, count);
    for (uint32_t i = 0; i < count; i++) {
        task_spec_encode(&specs[i], &writer);
    }
    assert(!writer.failed);
    struct bytes reply = ask(lab, shard, writer_bytes(&writer));
    struct reader reader = reader_of(reply);
    struct book_run run = {0};
    (void)pack_read_array(&reader);
    book_run_decode(&run, &reader);
    assert(!reader.failed);
    free(buffer);
    if (first) {
        *first = run;
    }
    return run.err ? 0 : run.first;
}

uint64_t lab_submit_text(struct lab *lab,
                         uint32_t shard,
                         const char *pool,
                         const char *payload)
{
    struct task_spec spec = task_spec_of(bytes_of_text(payload));
    return lab_submit(lab, shard, pool, 0, &spec, 1, NULL);
}

uint64_t lab_request(struct lab *lab,
                     uint32_t shard,
                     enum book_request_kind kind,
                     uint64_t id)
{
    return lab_request_of(lab, shard, kind, id, NULL);
}

uint64_t lab_request_of(struct lab *lab,
                        uint32_t shard,
                        enum book_request_kind kind,
                        uint64_t id,
                        const char *pools)
{
    uint8_t buffer[64];
    struct writer writer = writer_of(buffer, sizeof buffer);
    book_request_ids(&writer, kind, &id, 1, pools);
    struct reader reader = reader_of(ask(lab, shard, writer_bytes(&writer)));
    return pack_read_uint(&reader);
}

/* ---- running ---- */

static void deliver(struct lab *lab)
{
    struct message *message = lab->messages;
    lab->messages = message->next;
    lab->last_message = lab->messages ? lab->last_message : NULL;
    struct lab_node *node = &lab->nodes[message->to];
    struct bytes bytes = bytes_of(message->bytes, message->length);
    enum err err =
        message->is_for_agent
            ? agent_receive(node->agent, message->from, bytes)
            : dispatcher_receive(node->dispatcher, message->from, bytes);
    assert(!err);
    (void)err;
    free(message);
}

static bool end_turns(struct lab *lab)
{
    bool is_busy = false;
    for (uint32_t i = 0; i < lab->config.nodes; i++) {
        struct lab_node *node = &lab->nodes[i];
        if (node->is_woken_agent) {
            node->is_woken_agent = false;
            is_busy = true;
            agent_turn_end(node->agent);
        }
        if (node->is_woken_dispatcher) {
            node->is_woken_dispatcher = false;
            is_busy = true;
            dispatcher_turn_end(node->dispatcher);
        }
    }
    return is_busy;
}

void lab_run(struct lab *lab)
{
    while (lab->messages || end_turns(lab)) {
        while (lab->messages) {
            deliver(lab);
        }
    }
}

uint32_t lab_work(struct lab *lab, uint32_t count)
{
    uint32_t done = 0;
    for (uint32_t i = 0; i < lab->config.nodes; i++) {
        struct lab_node *node = &lab->nodes[i];
        while (node->runs && done < count) {
            struct run *run = take_run(node);
            struct run_result result = {
                .status = RUN_DONE, .output = run->payload, .why = ""};
            if (lab->config.work) {
                lab->config.work(lab->config.context, i, run, &result);
            }
            run->done(run, &result);
            done++;
        }
    }
    lab_run(lab);
    return done;
}

void lab_work_all(struct lab *lab)
{
    lab_run(lab);
    while (lab_work(lab, UINT32_MAX) > 0) {
    }
}

void lab_step(struct lab *lab, uint64_t ns)
{
    lab->now_ns += ns;
    for (uint32_t i = 0; i < lab->config.nodes; i++) {
        struct lab_node *node = &lab->nodes[i];
        if (dispatcher_due_ns(node->dispatcher) <= lab->now_ns) {
            dispatcher_tick(node->dispatcher);
        }
        if (agent_due_ns(node->agent) <= lab->now_ns) {
            agent_tick(node->agent);
        }
    }
    lab_run(lab);
}

void lab_advance(struct lab *lab, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i++) {
        lab_step(lab, NS_PER_MS);
    }
}

void lab_jump(struct lab *lab, int64_t ms)
{
    lab->jumped_ms += ms;
}

/* ---- looking ---- */

struct coordinator *lab_coordinator(struct lab *lab,
                                    uint32_t node,
                                    uint32_t shard)
{
    return dispatcher_find(lab->nodes[node].dispatcher, shard);
}

struct dispatcher *lab_dispatcher(struct lab *lab, uint32_t node)
{
    return lab->nodes[node].dispatcher;
}

struct agent *lab_agent(struct lab *lab, uint32_t node)
{
    return lab->nodes[node].agent;
}

const struct task *lab_task(struct lab *lab, uint64_t id)
{
    uint32_t shard = task_id_shard(id);
    uint32_t leader = lab->leaders[shard];
    return leader == UINT32_MAX
               ? NULL
               : book_find(
                     coordinator_book(lab_coordinator(lab, leader, shard)), id);
}

void lab_refuse(struct lab *lab, uint32_t count)
{
    lab->refuse_count = count;
}

void lab_cut(struct lab *lab, uint32_t left, uint32_t right, bool is_cut)
{
    lab->is_cut[left][right] = is_cut;
    lab->is_cut[right][left] = is_cut;
}

void lab_tell_loads(struct lab *lab)
{
    uint8_t buffer[1024];
    for (uint32_t i = 0; i < lab->config.nodes; i++) {
        for (uint32_t j = 0; j < lab->config.nodes; j++) {
            struct writer writer = writer_of(buffer, sizeof buffer);
            dispatcher_write_load(lab->nodes[i].dispatcher, &writer);
            struct reader reader = reader_of(writer_bytes(&writer));
            agent_on_load(lab->nodes[j].agent, i, &reader);
        }
    }
    lab_run(lab);
}

bool lab_books_agree(struct lab *lab)
{
    for (uint32_t shard = 0; shard < lab->config.shards; shard++) {
        uint64_t digest =
            book_digest(coordinator_book(lab_coordinator(lab, 0, shard)));
        for (uint32_t i = 1; i < lab->config.nodes; i++) {
            if (book_digest(coordinator_book(lab_coordinator(lab, i, shard))) !=
                digest) {
                return false;
            }
        }
    }
    return true;
}
