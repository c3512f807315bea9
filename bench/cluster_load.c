#include "bench/cluster_load.h"

#include "base/owner.h"
#include "base/posix/posix_clock.h"
#include "base/posix/posix_entropy.h"
#include "base/posix/posix_files.h"
#include "base/posix/posix_reactor.h"
#include "bench/process.h"
#include "config/config.h"
#include "shard/counter_map.h"
#include "shard/router.h"
#include "transport/calls.h"
#include "transport/nng_network.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASKS_MAX (16u << 10)
#define ASK_NS (5 * NS_PER_S) /* then it has failed */
#define LOOK_NS (NS_PER_MS)
#define PAUSE_NS (2 * NS_PER_MS) /* before it is asked once more */
#define PROBE_MS 200
#define QUESTION_BYTES 128
#define CHECKS 256 /* reads at the same time */
#define DIAL_MS_MIN 5
#define DIAL_MS_MAX 50

/* One request, from when it is due until it is answered or its time is over. */
struct ask {
    struct call call;
    struct client *client;
    struct ask *next;   /* that is free */
    struct timer timer; /* until it is asked once more */
    uint64_t due_ns;
    uint64_t idempotency_key;
    uint32_t key;
    uint32_t node; /* asked last */
    uint32_t try_count;
    bool is_read;
};

/* What is known of a key: its value must be within. */
struct key_tally {
    uint32_t acked;
    uint32_t unknown; /* may have been added or not */
};

struct client {
    struct cluster_load *load;
    struct settings *settings;
    const struct identity *identity;
    struct trust *trust;
    struct posix_reactor *runner;
    struct endpoint *endpoint;
    struct calls *calls;
    struct peer *peers[CLUSTER_NODES_MAX];
    uint32_t peer_count;

    struct ask *asks;
    struct ask *free_ask;
    uint32_t under_way;
    struct key_tally keys[CLUSTER_KEYS];
    uint64_t random;
    uint64_t next_key; /* idempotency */
    uint32_t next_node;

    struct timer look_timer;
    struct timer due_timer;
    uint64_t due_ns;    /* OPEN: of the next request; 0: it begins */
    uint32_t next_read; /* CHECK: the next key */
    uint64_t round;
    bool is_recording;
    enum cluster_load_phase phase;

    struct call probe;
    bool is_probing;
};

static struct reactor *reactor_of(const struct client *client)
{
    return posix_reactor_get(client->runner);
}

/* Only the load writes it. */
static void add_to(_Atomic uint64_t *counter)
{
    atomic_store_explicit(
        counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
        memory_order_relaxed);
}

/* Marsaglia's xorshift64. */
static uint32_t random_below(struct client *client, uint32_t limit)
{
    client->random ^= client->random << 13;
    client->random ^= client->random >> 7;
    client->random ^= client->random << 17;
    return (uint32_t)((client->random >> 32) * limit >> 32);
}

static uint32_t shard_of(uint32_t key)
{
    return key % CLUSTER_SHARDS;
}

__attribute__((format(printf, 2, 3))) static void explain(struct client *client,
                                                          const char *format,
                                                          ...)
{
    va_list values;
    if (client->load->why.text[0]) {
        return; /* the first one matters */
    }
    va_start(values, format);
    (void)vsnprintf(client->load->why.text, sizeof client->load->why.text,
                    format, values);
    va_end(values);
}

/* ---- whom to ask ---- */

static bool is_up(const struct client *client, uint32_t node)
{
    return node < client->peer_count && client->peers[node] &&
           peer_is_up(client->peers[node]);
}

/* The next in turn that is up, but not `but`; CLUSTER_NOBODY: none is. */
static uint32_t next_up(struct client *client, uint32_t but)
{
    for (uint32_t i = 0; i < client->peer_count; i++) {
        uint32_t node = client->next_node++ % client->peer_count;
        if (node != but && is_up(client, node)) {
            return node;
        }
    }
    return CLUSTER_NOBODY;
}

static uint32_t choose_node(struct client *client, const struct ask *ask)
{
    const struct cluster_load *load = client->load;
    uint32_t leader = atomic_load_explicit(
        &load->shards[shard_of(ask->key)].leader, memory_order_relaxed);
    enum cluster_load_aim aim =
        atomic_load_explicit(&load->aim, memory_order_relaxed);
    if (aim == CLUSTER_ASK_LEADER && ask->try_count == 0 &&
        is_up(client, leader)) {
        return leader;
    }
    uint32_t but = aim == CLUSTER_ASK_OTHER ? leader : CLUSTER_NOBODY;
    uint32_t node = next_up(client, ask->try_count > 0 ? ask->node : but);
    return node != CLUSTER_NOBODY ? node : next_up(client, CLUSTER_NOBODY);
}

static uint32_t choose_key(struct client *client)
{
    uint32_t focus =
        atomic_load_explicit(&client->load->focus, memory_order_relaxed);
    uint32_t key = random_below(client, CLUSTER_KEYS);
    if (focus != CLUSTER_NOBODY && (client->random & 1)) {
        key = key / CLUSTER_SHARDS * CLUSTER_SHARDS + focus;
        key = key < CLUSTER_KEYS ? key : focus;
    }
    return key;
}

/* ---- asking ---- */

static struct bytes write_question(uint8_t buffer[static QUESTION_BYTES],
                                   const struct ask *ask,
                                   uint8_t hops)
{
    uint8_t command_buffer[COUNTER_COMMAND_BYTES];
    struct counter_command command = {
        .kind = ask->is_read ? COUNTER_READ : COUNTER_ADD,
        .key = ask->key,
        .value = 1,
        .idempotency_key = ask->is_read ? 0 : ask->idempotency_key};
    struct router_ask routed = {
        .shard = shard_of(ask->key),
        .is_read = ask->is_read,
        .may_repeat = true,
        .command = counter_command_encode(command_buffer, &command)};
    struct writer writer = writer_of(buffer, QUESTION_BYTES);
    router_ask_encode(&routed, hops, &writer);
    return writer_bytes(&writer);
}

static void free_ask(struct ask *ask)
{
    struct client *client = ask->client;
    ask->next = client->free_ask;
    client->free_ask = ask;
    client->under_way--;
    atomic_store_explicit(&client->load->under_way, client->under_way,
                          memory_order_relaxed);
}

static void fail_ask(struct ask *ask, enum err err)
{
    struct client *client = ask->client;
    if (!ask->is_read) {
        client->keys[ask->key].unknown++;
    }
    explain(client, "a request to shard %u, asked of n%u at last, try %u: %s",
            shard_of(ask->key), ask->node + 1, ask->try_count, err_text(err));
    add_to(&client->load->failed);
    free_ask(ask);
}

static void ask_once_more(struct ask *ask, enum err err)
{
    struct client *client = ask->client;
    if (process_now_ns() >= ask->due_ns + ASK_NS) {
        fail_ask(ask, err);
        return;
    }
    add_to(&client->load->repeated);
    reactor_timer_set(reactor_of(client), &ask->timer, PAUSE_NS);
}

static void send_ask(struct ask *ask)
{
    struct client *client = ask->client;
    uint8_t buffer[QUESTION_BYTES];
    uint64_t now_ns = process_now_ns();
    uint64_t until_ns = ask->due_ns + ASK_NS;
    uint32_t timeout_ms =
        until_ns > now_ns ? (uint32_t)((until_ns - now_ns) / NS_PER_MS) + 1 : 1;
    uint32_t node = choose_node(client, ask);
    ask->try_count++;
    enum err err = ERR_UNREACHABLE;
    if (node != CLUSTER_NOBODY) {
        ask->node = node;
        err =
            calls_ask(client->calls, client->peers[node], HOST_SERVICE_REQUEST,
                      write_question(buffer, ask, 0), timeout_ms, &ask->call);
    }
    if (err) {
        ask_once_more(ask, err);
    }
}

static void run_again(struct timer *timer)
{
    send_ask(OWNER_OF(timer, struct ask, timer));
}

/* Another node may know better, or the same one soon. */
static bool is_passing(enum err err)
{
    switch (err) {
    case ERR_UNREACHABLE:
    case ERR_UNCERTAIN:
    case ERR_CLOSED:
    case ERR_NOT_LEADER:
    case ERR_NOT_FOUND: /* its router has closed, or is not open yet */
    case ERR_BUSY:
        return true;
    default:
        return false;
    }
}

/* ---- answers ---- */

static void tally_answer(struct client *client,
                         const struct ask *ask,
                         uint64_t now_ns)
{
    struct cluster_load *load = client->load;
    struct cluster_shard_tally *tally = &load->shards[shard_of(ask->key)];
    uint64_t last_ns =
        atomic_load_explicit(&tally->last_ns, memory_order_relaxed);
    if (last_ns != 0 &&
        now_ns - last_ns >
            atomic_load_explicit(&tally->gap_ns, memory_order_relaxed)) {
        atomic_store_explicit(&tally->gap_ns, now_ns - last_ns,
                              memory_order_relaxed);
    }
    atomic_store_explicit(&tally->last_ns, now_ns, memory_order_relaxed);
    if (atomic_load_explicit(&tally->round, memory_order_relaxed) !=
            client->round &&
        ask->due_ns >= atomic_load(&load->round_ns)) {
        atomic_store(&tally->first_ns, now_ns);
        /* Pairs with the acquire of the parent. */
        atomic_store_explicit(&tally->round, client->round,
                              memory_order_release);
    }
    if (client->is_recording) {
        histogram_record(&load->latency_ns, now_ns - ask->due_ns);
    }
}

static void check_value(struct client *client,
                        const struct ask *ask,
                        const struct counter_reply *reply)
{
    const struct key_tally *tally = &client->keys[ask->key];
    int64_t most = (int64_t)tally->acked + tally->unknown;
    if (reply->value < tally->acked || reply->value > most) {
        explain(client,
                "key %u of shard %u is %" PRId64 ", but %u adds were "
                "acknowledged and %u more may have happened",
                ask->key, shard_of(ask->key), reply->value, tally->acked,
                tally->unknown);
        atomic_fetch_add(&client->load->wrong, 1);
    }
    atomic_fetch_add(&client->load->checked, 1);
}

static void go_on(struct client *client);

static void take_answer(struct ask *ask, struct bytes answer)
{
    struct client *client = ask->client;
    struct counter_reply reply;
    if (!counter_reply_decode(&reply, answer)) {
        fail_ask(ask, ERR_MALFORMED);
        return;
    }
    if (ask->is_read) {
        check_value(client, ask, &reply);
    } else {
        client->keys[ask->key].acked++;
        add_to(&client->load->acked);
        tally_answer(client, ask, process_now_ns());
    }
    free_ask(ask);
}

static void on_answer(struct call *call, enum err err, struct bytes answer)
{
    struct ask *ask = OWNER_OF(call, struct ask, call);
    struct client *client = ask->client;
    if (!err) {
        take_answer(ask, answer);
    } else if (is_passing(err)) {
        ask_once_more(ask, err);
    } else {
        fail_ask(ask, err);
    }
    go_on(client);
}

/* ---- what is due ---- */

static bool begin_ask(struct client *client,
                      uint32_t key,
                      uint64_t due_ns,
                      bool is_read)
{
    struct ask *ask = client->free_ask;
    if (!ask) {
        return false;
    }
    client->free_ask = ask->next;
    client->under_way++;
    atomic_store_explicit(&client->load->under_way, client->under_way,
                          memory_order_relaxed);
    ask->key = key;
    ask->due_ns = due_ns;
    ask->is_read = is_read;
    ask->try_count = 0;
    ask->idempotency_key = ++client->next_key;
    send_ask(ask);
    return true;
}

static void fill_closed(struct client *client)
{
    uint32_t limit =
        atomic_load_explicit(&client->load->outstanding, memory_order_relaxed);
    while (client->under_way < limit &&
           begin_ask(client, choose_key(client), process_now_ns(), false)) {
    }
}

static void fill_checks(struct client *client)
{
    while (client->next_read < CLUSTER_KEYS && client->under_way < CHECKS &&
           begin_ask(client, client->next_read, process_now_ns(), true)) {
        client->next_read++;
    }
}

static void go_on(struct client *client)
{
    if (client->phase == CLUSTER_LOAD_CLOSED) {
        fill_closed(client);
    } else if (client->phase == CLUSTER_LOAD_CHECK) {
        fill_checks(client);
    }
}

/* Requests have their times, whether those before are answered or not. */
static void run_due(struct timer *timer)
{
    struct client *client = OWNER_OF(timer, struct client, due_timer);
    if (client->phase != CLUSTER_LOAD_OPEN) {
        return;
    }
    uint64_t pause_ns = NS_PER_S / atomic_load(&client->load->rate);
    uint64_t now_ns = process_now_ns();
    while (client->due_ns <= now_ns &&
           begin_ask(client, choose_key(client), client->due_ns, false)) {
        client->due_ns += pause_ns;
    }
    uint64_t turn_ns = reactor_now_ns(reactor_of(client));
    reactor_timer_set(reactor_of(client), timer,
                      client->due_ns > turn_ns ? client->due_ns - turn_ns
                                               : NS_PER_MS);
}

/* ---- the parent's orders ---- */

static void on_probed(struct call *call, enum err err, struct bytes answer)
{
    struct client *client = OWNER_OF(call, struct client, probe);
    (void)answer;
    client->is_probing = false;
    if (!err) {
        atomic_store(&client->load->has_probed, true);
    }
}

/* With one hop a node answers for itself alone. */
static void probe(struct client *client)
{
    struct cluster_load *load = client->load;
    uint8_t buffer[QUESTION_BYTES];
    uint32_t node = atomic_load(&load->probed_node);
    uint32_t focus = atomic_load(&load->focus);
    if (client->is_probing || focus == CLUSTER_NOBODY || !is_up(client, node) ||
        atomic_load(&load->has_probed)) {
        return;
    }
    struct ask ask = {.key = focus, .is_read = true};
    client->probe.done = on_probed;
    client->is_probing =
        calls_ask(client->calls, client->peers[node], HOST_SERVICE_REQUEST,
                  write_question(buffer, &ask, 1), PROBE_MS,
                  &client->probe) == ERR_NONE;
}

static void begin_round(struct client *client)
{
    client->round = atomic_load(&client->load->round);
    for (uint32_t i = 0; i < CLUSTER_SHARDS; i++) {
        atomic_store(&client->load->shards[i].gap_ns, 0);
    }
}

static void begin_phase(struct client *client)
{
    client->phase = atomic_load(&client->load->phase);
    if (client->phase == CLUSTER_LOAD_OPEN) {
        client->due_ns = process_now_ns();
        reactor_timer_set(reactor_of(client), &client->due_timer, 0);
    } else if (client->phase == CLUSTER_LOAD_CHECK) {
        client->next_read = 0;
    }
}

static void run_look(struct timer *timer)
{
    struct client *client = OWNER_OF(timer, struct client, look_timer);
    struct cluster_load *load = client->load;
    uint32_t link_count = 0;
    for (uint32_t i = 0; i < client->peer_count; i++) {
        link_count += is_up(client, i);
    }
    atomic_store(&load->link_count, link_count);
    if (atomic_load(&load->is_recording) != client->is_recording) {
        client->is_recording = !client->is_recording;
        if (client->is_recording) {
            histogram_clear(&load->latency_ns);
        }
    }
    if (atomic_load(&load->round) != client->round) {
        begin_round(client);
    }
    if (atomic_load(&load->phase) != client->phase) {
        begin_phase(client);
    }
    go_on(client);
    probe(client);
    atomic_fetch_add(&load->look_count, 1);
    reactor_timer_set(reactor_of(client), timer, LOOK_NS);
}

/* ---- opening ---- */

static void on_change(void *context, struct peer *peer, enum peer_change change)
{
    struct client *client = context;
    if (client->calls) {
        calls_on_change(client->calls, peer, change);
    }
}

static enum err open_keys(struct client *client, const char *folder)
{
    static struct problems problems; /* large */
    struct err_detail *why = &client->load->why;
    char path[CLUSTER_PATH_BYTES + 16];
    (void)snprintf(path, sizeof path, "%s/cluster.yaml", folder);
    enum err err =
        config_open(&client->settings, posix_files(), path, &problems);
    if (err) {
        err_explain(why, "%s: %s", path, err_text(err));
        return err;
    }
    err = identity_library_init();
    if (!err) {
        err = identity_open(&client->identity, posix_files(), folder,
                            CLUSTER_CLIENT, why);
    }
    if (!err) {
        (void)snprintf(path, sizeof path, "%s/trust", folder);
        err = trust_open(&client->trust, posix_files(), path, why);
    }
    return err;
}

static enum err open_endpoint(struct client *client)
{
    struct endpoint_config config = {
        .network = nng_network(),
        .clock = posix_clock(),
        .entropy = posix_entropy(),
        .reactor = reactor_of(client),
        .door_reactor = reactor_of(client),
        .identity = client->identity,
        .trust = client->trust,
        .events = {.context = client, .on_change = on_change},
    };
    endpoint_config_defaults(&config);
    config.peer_count_max = CLUSTER_NODES_MAX;
    config.dial_ms_min = DIAL_MS_MIN;
    config.dial_ms_max = DIAL_MS_MAX;
    enum err err =
        endpoint_open(&client->endpoint, &config, &client->load->why);
    if (err) {
        return err;
    }
    struct calls_config calls = {.endpoint = client->endpoint,
                                 .reactor = reactor_of(client)};
    calls_config_defaults(&calls);
    calls.asking_max = ASKS_MAX + 1;
    calls.asked_max = 1; /* nobody asks us anything */
    return calls_open(&client->calls, &calls);
}

static enum err add_nodes(struct client *client)
{
    const struct settings *settings = client->settings;
    enum err err = ERR_NONE;
    client->peer_count = settings->cluster.member_count;
    for (uint32_t i = 0; i < client->peer_count && !err; i++) {
        char door[SOCKET_URL_BYTES];
        const struct settings_member *member = &settings->cluster.members[i];
        settings_door_url(door, settings, member, SETTINGS_ADVERTISED);
        struct peer_address address = {.name = member->name, .door = door};
        err = endpoint_peer_add(client->endpoint, &address, &client->peers[i]);
    }
    return err;
}

static enum err open_asks(struct client *client)
{
    client->asks = calloc(ASKS_MAX, sizeof *client->asks);
    if (!client->asks) {
        return ERR_MEMORY;
    }
    for (uint32_t i = ASKS_MAX; i > 0; i--) {
        struct ask *ask = &client->asks[i - 1];
        ask->client = client;
        ask->call.done = on_answer;
        ask->timer.fire = run_again;
        ask->next = client->free_ask;
        client->free_ask = ask;
    }
    return ERR_NONE;
}

static enum err open_client(struct client *client, const char *folder)
{
    enum err err = open_asks(client);
    if (!err) {
        err = open_keys(client, folder);
    }
    if (!err) {
        err = posix_reactor_open(&client->runner, "load");
    }
    if (!err) {
        err = open_endpoint(client);
    }
    return err ? err : add_nodes(client);
}

/* The process is ended from outside: nothing is closed. */
enum err cluster_load_run(void *start)
{
    const struct cluster_load_start *job = start;
    struct client *client = calloc(1, sizeof *client);
    if (!client) {
        return ERR_MEMORY;
    }
    client->load = job->load;
    client->random = 88172645463325252;
    client->look_timer.fire = run_look;
    client->due_timer.fire = run_due;
    enum err err = open_client(client, job->folder);
    if (err) {
        explain(client, "the load: %s", err_text(err));
        return err;
    }
    reactor_timer_set(reactor_of(client), &client->look_timer, 0);
    reactor_run(reactor_of(client));
    return ERR_CLOSED;
}
