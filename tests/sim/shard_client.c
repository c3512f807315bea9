/*
 * Requests of the simulator of shards: adds that may be repeated, adds that
 * must not be, and reads, from all nodes to all shards.
 */

#include "base/owner.h"
#include "tests/sim/shard_sim_core.h"

#include <inttypes.h>
#include <string.h>

#define PAUSE_MS_MAX 40 /* of a client between requests */
#define SLACK_NS (300 * NS_PER_MS)

/*
 * From a cut until links are down. Each end waits for its silence (the default
 * of transport/endpoint.h) from the last packet on, which may have been under
 * way when the cut came; that it has then closed the connection comes to it as
 * an event, as late as a packet. A request that was sent in between is on a
 * link that looks sound: it ends when its time is over, and not with
 * ERR_NO_QUORUM.
 */
#define LINKS_DOWN_NS (3 * NS_PER_S + 2 * LATENCY_US_MAX * NS_PER_US)

static void pause_client(struct client *client);

/* ---- answers ---- */

static enum request_end end_of(enum request_kind kind, enum err err)
{
    bool may_have_happened =
        err == ERR_TIMEOUT || err == ERR_UNCERTAIN || err == ERR_CLOSED;
    return !err                                        ? REQUEST_TOLD
           : may_have_happened && kind != REQUEST_READ ? REQUEST_UNCERTAIN
                                                       : REQUEST_REFUSED;
}

/* Whether a request that this node takes can be answered by those who are
 * there; in the last phases it must be. */
static void check_served(const struct client *client,
                         const struct request *request,
                         enum err err)
{
    struct sim *sim = client->node->sim;
    bool is_chosen = client->node == sim->chosen;
    if (request->begun_ns < sim->phase_ns) {
        return;
    }
    /* What must not be repeated, and is on its way to a node that ends in this
     * moment, is not known: that is said, as it shall be. */
    if (sim->phase == PHASE_LEAVE && err &&
        !(request->kind == REQUEST_ONCE && err == ERR_UNCERTAIN)) {
        broken(sim, "leave", "%s: request %u fails while %s leaves: %s",
               client->node->name, client->number, sim->chosen->name,
               err_text(err));
    }
    /* What may be repeated goes to the new leader as soon as there is one;
     * what must not, and the minority's word, wait for the links. */
    bool are_links_down = request->begun_ns > sim->phase_ns + LINKS_DOWN_NS;
    if (sim->phase == PHASE_CUT && is_chosen) {
        if (are_links_down && err != ERR_NO_QUORUM) {
            broken(sim, "minority", "%s is cut off and says to request %u: %s",
                   client->node->name, client->number, err_text(err));
        }
    } else if (sim->phase == PHASE_CUT && err &&
               (are_links_down || request->kind != REQUEST_ONCE)) {
        broken(sim, "majority", "%s is not cut off; request %u fails: %s",
               client->node->name, client->number, err_text(err));
    }
}

static void tell(struct client *client, enum err err, struct bytes answer)
{
    struct sim *sim = client->node->sim;
    struct request *request = &sim->requests[client->number];
    struct counter_reply reply = {0};
    if (!err && !counter_reply_decode(&reply, answer)) {
        broken(sim, "answer", "an answer of %zu bytes is none", answer.length);
    }
    request->end = end_of(request->kind, err);
    request->ended_ns = now_ns(sim);
    request->value = reply.value;
    sim->result.answered += request->end == REQUEST_TOLD;
    sim->result.uncertain += request->end == REQUEST_UNCERTAIN;
    sim->result.refused += request->end == REQUEST_REFUSED;
    if (request->end == REQUEST_TOLD && request->kind == REQUEST_ONCE &&
        reply.value != 1) {
        broken(sim, "once",
               "request %u, which must not be repeated, has happened %" PRId64
               " times",
               client->number, reply.value);
    }
    if (err) {
        say(sim, "%s: request %u: %s", client->node->name, client->number,
            err_text(err));
    }
    check_served(client, request, err);
}

static void on_answer(struct router_request *request,
                      enum err err,
                      struct bytes answer)
{
    struct client *client = OWNER_OF(request, struct client, request);
    struct node *node = client->node;
    if (!client->is_asking) {
        broken(node->sim, "answer", "%s: request %u is answered twice",
               node->name, client->number);
        return;
    }
    client->is_asking = false;
    tell(client, err, answer);
    if (!node->is_closing) {
        pause_client(client);
    }
}

/* ---- asking ---- */

static struct request make_request(struct client *client)
{
    struct sim *sim = client->node->sim;
    uint64_t dice = below(sim, 10);
    struct request request = {
        .kind = dice < 5   ? REQUEST_ADD
                : dice < 8 ? REQUEST_READ
                           : REQUEST_ONCE,
        .node = client->node->index,
        .begun_ns = now_ns(sim),
    };
    request.key = request.kind == REQUEST_ONCE ? KEYS + (uint64_t)client->number
                                               : below(sim, KEYS);
    return request;
}

/* Some are long. */
static struct bytes write_command(struct sim *sim,
                                  uint8_t to[static COMMAND_BYTES_MAX],
                                  const struct request *request,
                                  uint32_t number)
{
    struct counter_command command = {
        .kind = request->kind == REQUEST_READ ? COUNTER_READ : COUNTER_ADD,
        .key = request->key,
        .value = 1,
        .idempotency_key = request->kind == REQUEST_ADD ? number + 1u : 0,
    };
    struct bytes bytes = counter_command_encode(to, &command);
    uint64_t dice = below(sim, 20);
    size_t length = dice == 0  ? COMMAND_BYTES_MAX
                    : dice < 4 ? COUNTER_COMMAND_BYTES + below(sim, 500)
                               : bytes.length;
    memset(to + bytes.length, 0xa5, length - bytes.length);
    return bytes_of(to, length);
}

static void ask(struct client *client)
{
    struct node *node = client->node;
    struct sim *sim = node->sim;
    uint8_t buffer[COMMAND_BYTES_MAX];
    client->number = sim->request_count++;
    struct request *request = &sim->requests[client->number];
    *request = make_request(client);
    struct router_ask ask = {
        .shard = (uint32_t)(request->key % sim->shard_count),
        .is_read = request->kind == REQUEST_READ,
        .may_repeat = request->kind != REQUEST_ONCE,
        .command = write_command(sim, buffer, request, client->number),
        .timeout_ms = 2000 + 500 * (uint32_t)below(sim, 3),
    };
    /* Its clock may be slow, in faults by a tenth. */
    client->until_ns =
        now_ns(sim) + ask.timeout_ms * NS_PER_MS * 10 / 9 + SLACK_NS;
    client->request = (struct router_request){.done = on_answer};
    client->is_asking = true;
    enum err err = router_ask(node->router, &ask, &client->request);
    sim->result.requests++;
    if (err) {
        client->is_asking = false;
        tell(client, err, (struct bytes){0});
        pause_client(client);
    }
}

static void run_client(struct timer *timer)
{
    struct client *client = OWNER_OF(timer, struct client, pause);
    const struct node *node = client->node;
    const struct sim *sim = node->sim;
    bool is_quiet = sim->phase >= PHASE_FINISH && sim->phase != PHASE_AFTER;
    if (is_quiet || node->is_leaving || !node->router) {
        return;
    }
    if (sim->request_count < REQUESTS_MAX && host_view(node->host) &&
        host_view(node->host)->map.shard_count > 0) {
        ask(client);
    } else {
        pause_client(client);
    }
}

static void pause_client(struct client *client)
{
    struct sim *sim = client->node->sim;
    reactor_timer_set(client->node->reactor, &client->pause,
                      (1 + below(sim, PAUSE_MS_MAX)) * NS_PER_MS);
}

/* ---- life ---- */

void clients_start(struct node *node)
{
    for (uint32_t i = 0; i < CLIENTS && !node->sim->is_large; i++) {
        node->clients[i] =
            (struct client){.node = node, .pause = {.fire = run_client}};
        pause_client(&node->clients[i]);
    }
}

void clients_stop(struct node *node)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        reactor_timer_cancel(node->reactor, &node->clients[i].pause);
    }
}

bool clients_are_asking(const struct node *node)
{
    bool are_asking = false;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        are_asking = are_asking || node->clients[i].is_asking;
    }
    return are_asking;
}
