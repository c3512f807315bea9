/*
 * Clients of the cluster simulator: each has one operation under way, asks
 * whom it takes for the leader, and knows how it may have ended when there is
 * no answer.
 */

#include "base/owner.h"
#include "base/time_units.h"
#include "store/raft_configuration.h"
#include "tests/sim/cluster_sim_core.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#define HOP_US_MAX 500
#define TIMEOUT_MS_MIN 300
#define TIMEOUT_MS_SPREAD 2500
#define UNKNOWN_MAX 12 /* of a key: more are hard to check */
#define NOBODY UINT32_MAX

/* One try at a node. */
struct attempt {
    struct group_request request;
    struct node *node;
    uint32_t client;
    uint64_t number;
};

static void begin(struct client *client);
static void try(struct client *client);

/* ---- how it ends ---- */

static void end_operation(struct client *client)
{
    client->is_busy = false;
    client->attempt++;
    client->sim->busy_count--;
    begin(client);
}

static void on_answer(struct client *client, const struct counter_reply *reply)
{
    struct sim *sim = client->sim;
    struct history_result result = {.value = reply->value,
                                    .is_set = reply->is_done};
    history_return(sim->events, world_now_ns(sim->world), client->operation,
                   &result);
    sim->result.operations++;
    note(sim, (uint64_t)reply->value);
    end_operation(client);
}

/* Its idempotency key is remembered still: others may have pushed it out. */
static bool is_remembered(const struct client *client)
{
    uint64_t since =
        client->sim->shards[client->shard].keyed_count - client->keyed_at;
    return client->command.idempotency_key != 0 &&
           since < client->sim->plan.result_count_max / 2;
}

/* It may have happened, or happen still. */
static void on_unknown(struct client *client)
{
    struct sim *sim = client->sim;
    bool changes = client->command.kind != COUNTER_READ;
    bool may_repeat = !changes || is_remembered(client);
    if (may_repeat && (client->is_patient || client->is_reading_all)) {
        try(client);
        return;
    }
    history_unknown(sim->events, client->operation);
    sim->result.unknown++;
    sim->shards[client->shard].unknown[client->command.key % KEYS] += changes;
    end_operation(client);
}

static void run_try(struct sim *sim, struct later *later)
{
    struct client *client = &sim->clients[later->client];
    if (client->attempt == later->attempt) {
        try(client);
    }
}

/* It has not happened; a try before may have. */
static void on_refused(struct client *client, uint32_t hint)
{
    client->hints[client->shard] = hint;
    client->attempt++;
    uint64_t after_ms = hint == NOBODY ? 5 + below(client->sim, 60) : 1;
    plan_later(client->sim, after_ms * NS_PER_MS,
               (struct later){.run = run_try,
                              .client = client->index,
                              .attempt = client->attempt});
}

static void run_reply(struct sim *sim, struct later *later)
{
    struct client *client = &sim->clients[later->client];
    if (client->attempt != later->attempt) {
        return;
    }
    switch (later->err) {
    case ERR_NONE:
        on_answer(client, &later->reply);
        break;
    case ERR_NOT_LEADER:
    case ERR_BUSY:
    case ERR_FULL:
    case ERR_NO_SPACE: /* below the low-water mark of its disk */
        on_refused(client, later->hint);
        break;
    case ERR_UNCERTAIN:
        client->hints[client->shard] = NOBODY;
        on_unknown(client);
        break;
    default:
        broken(sim, "answer", "client %u: %s", client->index,
               err_text(later->err));
        break;
    }
}

static void run_timeout(struct sim *sim, struct later *later)
{
    struct client *client = &sim->clients[later->client];
    if (client->attempt == later->attempt) {
        client->hints[client->shard] = NOBODY;
        on_unknown(client);
    }
}

/* ---- at a node ---- */

static uint32_t leader_hint(const struct group *group)
{
    const struct raft *raft = group_raft(group);
    const struct raft_member *leader = raft_configuration_find(
        raft_newest_configuration(raft), raft_leader(raft));
    return leader && leader->number != raft_number(raft) ? leader->node
                                                         : NOBODY;
}

static void answer(struct node *node, struct later later)
{
    later.run = run_reply;
    plan_later(node->sim, (1 + below(node->sim, HOP_US_MAX)) * NS_PER_US,
               later);
}

static void on_done(struct group_request *request,
                    enum err err,
                    struct bytes reply)
{
    struct attempt *attempt = OWNER_OF(request, struct attempt, request);
    struct node *node = attempt->node;
    struct later later = {.client = attempt->client,
                          .attempt = attempt->number,
                          .hint = NOBODY,
                          .err = err};
    if (!node->is_closing) {
        if (!err && !counter_reply_decode(&later.reply, reply)) {
            later.err = ERR_MALFORMED;
        }
        answer(node, later);
    }
    free(attempt);
}

FALLIBLE clients_ask(struct group *group,
                     const struct counter_command *command,
                     struct group_request *request)
{
    uint8_t buffer[COUNTER_COMMAND_BYTES];
    struct bytes bytes = counter_command_encode(buffer, command);
    return command->kind == COUNTER_READ ? group_read(group, bytes, request)
                                         : group_propose(group, bytes, request);
}

static void run_arrival(struct node *node, struct errand *errand)
{
    struct group *group = node->replicas[errand->shard].group;
    struct later refusal = {.client = errand->client,
                            .attempt = errand->attempt,
                            .hint = NOBODY,
                            .err = ERR_NOT_LEADER};
    if (world_now_ns(node->sim->world) > errand->until_ns) {
        return; /* its deadline has passed */
    }
    if (!group) {
        answer(node, refusal);
        return;
    }
    struct attempt *attempt = calloc(1, sizeof *attempt);
    assert(attempt);
    *attempt = (struct attempt){.request.done = on_done,
                                .node = node,
                                .client = errand->client,
                                .number = errand->attempt};
    enum err err = clients_ask(group, &errand->command, &attempt->request);
    if (err) {
        refusal.err = err;
        refusal.hint = leader_hint(group);
        answer(node, refusal);
        free(attempt);
    }
}

/* ---- asking ---- */

static struct node *choose_node(struct client *client)
{
    struct sim *sim = client->sim;
    uint32_t hint = client->hints[client->shard];
    if (hint != NOBODY && !chance(sim, 3)) {
        return &sim->nodes[hint];
    }
    const struct shard *shard = &sim->shards[client->shard];
    if (chance(sim, 90)) {
        return &sim->nodes[shard->wanted[below(sim, shard->wanted_count)]];
    }
    return &sim->nodes[below(sim, sim->plan.node_count)];
}

static void run_send(struct sim *sim, struct later *later)
{
    struct client *client = &sim->clients[later->client];
    struct node *node = &sim->nodes[later->node];
    if (client->attempt != later->attempt) {
        return;
    }
    if (!node->multiraft) { /* nobody listens: the connection is refused */
        on_refused(client, NOBODY);
        return;
    }
    struct errand *errand = make_errand(node, run_arrival, 0);
    errand->shard = client->shard;
    errand->client = client->index;
    errand->attempt = client->attempt;
    errand->until_ns = world_now_ns(sim->world) + later->count;
    errand->command = client->command;
    post_errand(errand);
}

static void try(struct client *client)
{
    struct sim *sim = client->sim;
    struct node *node = choose_node(client);
    uint64_t timeout_ns =
        (TIMEOUT_MS_MIN + below(sim, TIMEOUT_MS_SPREAD)) * NS_PER_MS;
    client->attempt++;
    plan_later(sim, (1 + below(sim, HOP_US_MAX)) * NS_PER_US,
               (struct later){.run = run_send,
                              .node = node->index,
                              .client = client->index,
                              .count = timeout_ns,
                              .attempt = client->attempt});
    plan_later(sim, timeout_ns,
               (struct later){.run = run_timeout,
                              .client = client->index,
                              .attempt = client->attempt});
}

/* ---- what to ask ---- */

uint32_t any_shard(struct sim *sim)
{
    return chance(sim, sim->plan.hot_percent)
               ? 0
               : (uint32_t)below(sim, sim->plan.shard_count);
}

static struct counter_command choose_command(struct client *client)
{
    struct sim *sim = client->sim;
    uint32_t key = (uint32_t)below(sim, chance(sim, 50) ? KEYS : 1);
    const struct shard *shard = &sim->shards[client->shard];
    struct counter_command command = {
        .key = client->shard * KEYS + key,
        .value = 1 + (int64_t)below(sim, 4),
        .expected = (int64_t)below(sim, 8),
        .kind = (enum counter_kind)below(sim, 3),
    };
    if (chance(sim, 30) || client->is_patient) {
        command.idempotency_key = ++sim->keys;
    }
    if (sim->plan.is_asking && chance(sim, 85)) {
        command.kind = COUNTER_COMPARE_AND_SET;
        command.expected = -1; /* it never is */
        command.idempotency_key = 0;
    }
    if (shard->unknown[key] >= UNKNOWN_MAX) {
        command.kind = COUNTER_READ;
    }
    return command;
}

static void invoke(struct client *client)
{
    static const enum history_kind kinds[] = {
        [COUNTER_ADD] = HISTORY_ADD,
        [COUNTER_COMPARE_AND_SET] = HISTORY_COMPARE_AND_SET,
        [COUNTER_READ] = HISTORY_READ,
    };
    struct sim *sim = client->sim;
    const struct counter_command *command = &client->command;
    client->operation = history_invoke(
        sim->events, world_now_ns(sim->world),
        &(struct history_operation){.kind = kinds[command->kind],
                                    .client = client->index,
                                    .key = command->key,
                                    .operand = command->value,
                                    .expected = command->expected});
    client->is_busy = true;
    client->keyed_at = sim->shards[client->shard].keyed_count;
    sim->shards[client->shard].keyed_count += command->idempotency_key != 0;
    sim->busy_count++;
    try(client);
}

static void run_begin(struct sim *sim, struct later *later)
{
    struct client *client = &sim->clients[later->client];
    if (client->is_busy || sim->is_finishing) {
        return;
    }
    client->shard = any_shard(sim);
    client->command = choose_command(client);
    invoke(client);
}

static void read_next(struct client *client);

static void begin(struct client *client)
{
    struct sim *sim = client->sim;
    if (sim->is_finishing) {
        read_next(client);
        return;
    }
    plan_later(sim, (1 + below(sim, 2 * sim->plan.think_ms)) * NS_PER_MS,
               (struct later){.run = run_begin, .client = client->index});
}

/* ---- the end ---- */

/* The keys are shared out among the clients. */
static void read_next(struct client *client)
{
    struct sim *sim = client->sim;
    uint32_t key = client->final_key;
    client->final_key += sim->plan.client_count;
    if (key >= sim->plan.shard_count * KEYS) {
        sim->are_clients_done = sim->busy_count == 0;
        return;
    }
    client->is_reading_all = true;
    client->shard = key / KEYS;
    client->command =
        (struct counter_command){.kind = COUNTER_READ, .key = key};
    invoke(client);
}

void clients_finish(struct sim *sim)
{
    sim->is_finishing = true;
    for (uint32_t i = 0; i < sim->plan.client_count; i++) {
        if (!sim->clients[i].is_busy) {
            read_next(&sim->clients[i]);
        }
    }
}

void clients_start(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->plan.client_count; i++) {
        struct client *client = &sim->clients[i];
        *client = (struct client){.sim = sim,
                                  .index = i,
                                  .is_patient = chance(sim, 50),
                                  .final_key = i};
        for (uint32_t k = 0; k < SHARDS_MAX; k++) {
            client->hints[k] = NOBODY;
        }
        begin(client);
    }
}

void check_clients(struct sim *sim)
{
    struct history_fault *fault = calloc(1, sizeof *fault);
    assert(fault);
    enum history_verdict verdict = history_check(sim->events, fault);
    if (verdict != HISTORY_LINEARIZABLE) {
        say(sim, "key %" PRIu64 ":\n%s", fault->key, fault->text);
        broken(sim, "linearizability", "g%" PRIu64 " key %" PRIu64 ": %s",
               fault->key / KEYS, fault->key,
               verdict == HISTORY_TOO_HARD
                   ? "too hard to check"
                   : "what clients saw is not linearizable");
    }
    free(fault);
}
