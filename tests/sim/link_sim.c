#include "tests/sim/link_sim.h"

#include "base/log.h"
#include "base/time_units.h"
#include "tests/sim/world.h"
#include "tests/support/test_identity.h"
#include "transport/endpoint.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define NODE_COUNT_MAX 7
#define LIFE_COUNT_MAX 64 /* of one node */
#define STREAM_LENGTH_MAX                              \
    16384 /* messages of one life to one node and lane \
           */
#define FAULTS_END_NS (30000 * NS_PER_MS)
#define QUIET_END_NS (60000 * NS_PER_MS)
#define HEADER_BYTES 24

enum { STREAM_CONTROL, STREAM_DATA, STREAM_COUNT };

static const enum lane lanes[STREAM_COUNT] = {LANE_CONTROL, LANE_DATA};

/* What became of a message. */
enum fate {
    FATE_NONE,
    FATE_TAKEN,
    FATE_DELIVERED,
    FATE_HANDED_BACK,
    FATE_BOTH
};

/* From one life of a node to another node. */
struct stream {
    uint8_t *fates; /* by number */
    uint32_t taken;
};

struct life {
    struct stream streams[NODE_COUNT_MAX][STREAM_COUNT];
};

/* What a life has received from one life of another node. */
struct progress {
    uint32_t life; /* of the sender, + 1; 0: nothing yet */
    uint32_t number;
};

struct node {
    struct sim *sim;
    uint32_t index;
    char name[16];
    char door[32];
    char bus[32];
    char pair[32];
    const struct identity *identity;
    struct endpoint *endpoint;
    struct log *log;
    uint32_t life_count;
    struct life *lives;
    struct progress progress[NODE_COUNT_MAX][STREAM_COUNT];
    bool is_blocked_by_pause[NODE_COUNT_MAX];
};

struct sim {
    uint64_t seed;
    bool trace;
    struct world *world;
    struct seeded *random;
    struct test_authority authority;
    struct trust *trust;
    struct node nodes[NODE_COUNT_MAX];
    uint32_t node_count;
    bool is_closing;
    XXH3_state_t *history;
    struct link_sim_result result;
};

__attribute__((format(printf, 2, 3))) static void say(struct sim *sim,
                                                      const char *format,
                                                      ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    uint64_t now_ns = world_now_ns(sim->world);
    XXH3_64bits_update(sim->history, &now_ns, sizeof now_ns);
    XXH3_64bits_update(sim->history, line, (size_t)length);
    if (sim->trace) {
        (void)fprintf(stderr, "%10.3f ms  %s\n", (double)now_ns / NS_PER_MS,
                      line);
    }
}

#define BREAK(sim, ...)                                                      \
    do {                                                                     \
        if (!(sim)->result.broken[0]) {                                      \
            (void)snprintf((sim)->result.broken, sizeof(sim)->result.broken, \
                           __VA_ARGS__);                                     \
            say(sim, "BROKEN: %s", (sim)->result.broken);                    \
        }                                                                    \
    } while (0)

/* ---- messages ---- */

struct message {
    uint32_t from;
    uint32_t life;
    uint32_t to;
    uint32_t stream;
    uint32_t number;
    uint32_t length;
};

static void encode(uint8_t *raw, const struct message *message)
{
    put_u32(raw, message->from);
    put_u32(raw + 4, message->life);
    put_u32(raw + 8, message->to);
    put_u32(raw + 12, message->stream);
    put_u32(raw + 16, message->number);
    put_u32(raw + 20, message->length);
    for (uint32_t i = HEADER_BYTES; i < message->length; i++) {
        raw[i] = (uint8_t)(message->number * 31 + i);
    }
}

static bool decode(struct message *out, struct bytes raw)
{
    struct reader in = reader_of(raw);
    out->from = read_u32(&in);
    out->life = read_u32(&in);
    out->to = read_u32(&in);
    out->stream = read_u32(&in);
    out->number = read_u32(&in);
    out->length = read_u32(&in);
    if (in.failed || out->length != raw.length || out->from >= NODE_COUNT_MAX ||
        out->to >= NODE_COUNT_MAX || out->stream >= STREAM_COUNT ||
        out->number >= STREAM_LENGTH_MAX) {
        return false;
    }
    for (uint32_t i = HEADER_BYTES; i < out->length; i++) {
        if (raw.data[i] != (uint8_t)(out->number * 31 + i)) {
            return false;
        }
    }
    return true;
}

static uint8_t *fate_of(struct sim *sim, const struct message *message)
{
    struct life *life = &sim->nodes[message->from].lives[message->life];
    return &life->streams[message->to][message->stream].fates[message->number];
}

static void on_message(void *context, struct peer *peer, struct bytes raw)
{
    struct node *node = context;
    struct sim *sim = node->sim;
    struct message message = {0};
    if (!decode(&message, raw) || message.to != node->index ||
        strcmp(peer_name(peer), sim->nodes[message.from].name) != 0) {
        BREAK(sim, "%s received an altered message", node->name);
        return;
    }
    say(sim, "%s <- %s life %u stream %u number %u", node->name,
        peer_name(peer), message.life, message.stream, message.number);
    struct progress *progress = &node->progress[message.from][message.stream];
    bool is_first = progress->life != message.life + 1;
    if (!is_first && message.number != progress->number + 1) {
        BREAK(sim, "%s received number %u after %u from life %u of %s",
              node->name, message.number, progress->number, message.life,
              peer_name(peer));
    }
    if (message.life + 1 < progress->life) {
        BREAK(sim, "%s heard a dead process of %s", node->name,
              peer_name(peer));
    }
    *progress = (struct progress){message.life + 1, message.number};
    uint8_t *fate = fate_of(sim, &message);
    if (*fate != FATE_TAKEN) {
        BREAK(sim, "message %u of %s came to %s with fate %u", message.number,
              peer_name(peer), node->name, *fate);
    }
    *fate = FATE_DELIVERED;
    sim->result.delivered++;
}

static void on_undelivered(void *context,
                           struct peer *peer,
                           uint8_t channel,
                           struct bytes raw,
                           bool may_have_arrived)
{
    struct node *node = context;
    struct sim *sim = node->sim;
    (void)channel;
    if (sim->is_closing) {
        return;
    }
    struct message message = {0};
    if (!decode(&message, raw) || message.from != node->index) {
        BREAK(sim, "%s was handed back an altered message", node->name);
        return;
    }
    say(sim, "%s: not delivered to %s: stream %u number %u", node->name,
        peer_name(peer), message.stream, message.number);
    uint8_t *fate = fate_of(sim, &message);
    if (*fate == FATE_DELIVERED && may_have_arrived) {
        *fate = FATE_BOTH;
    } else if (*fate == FATE_TAKEN) {
        *fate = FATE_HANDED_BACK;
    } else {
        BREAK(sim, "%s was handed back a message of fate %u", node->name,
              *fate);
    }
    sim->result.handed_back++;
}

static void on_change(void *context, struct peer *peer, enum peer_change change)
{
    static const char *const texts[] = {"up",    "down", "silent",
                                        "begun", "cut",  "gone"};
    struct node *node = context;
    say(node->sim, "%s: %s is %s", node->name, peer_name(peer), texts[change]);
}

static void on_digest(void *context, const char *from, struct bytes digest)
{
    struct node *node = context;
    say(node->sim, "%s: digest of %s", node->name, from);
    if (digest.length != strlen(from) ||
        memcmp(digest.data, from, digest.length) != 0) {
        BREAK(node->sim, "%s heard an altered digest", node->name);
    }
    node->sim->result.digests++;
}

/* Messages of all sizes; now and then one that needs several frames. */
static uint32_t some_length(struct sim *sim)
{
    uint64_t kind = seeded_below(sim->random, 100);
    uint64_t span = kind < 80 ? 200 : kind < 97 ? 3000 : 30000;
    return HEADER_BYTES + (uint32_t)seeded_below(sim->random, span);
}

static void send_one(struct sim *sim)
{
    struct node *from = &sim->nodes[seeded_below(sim->random, sim->node_count)];
    struct node *to =
        &sim->nodes[(from->index + 1 +
                     seeded_below(sim->random, sim->node_count - 1)) %
                    sim->node_count];
    if (!from->endpoint || world_is_paused(sim->world, from->index)) {
        return;
    }
    struct message message = {
        .from = from->index,
        .life = from->life_count - 1,
        .to = to->index,
        .stream = (uint32_t)seeded_below(sim->random, STREAM_COUNT),
        .length = some_length(sim),
    };
    struct stream *stream =
        &from->lives[message.life].streams[to->index][message.stream];
    message.number = stream->taken;
    if (message.number >= STREAM_LENGTH_MAX) {
        return;
    }
    uint8_t raw[HEADER_BYTES + 30000];
    encode(raw, &message);
    struct peer *peer = endpoint_peer_find(from->endpoint, ROLE_NODE, to->name);
    enum err err = peer_send(peer, lanes[message.stream], 1,
                             bytes_of(raw, message.length));
    if (!err) {
        stream->fates[stream->taken++] = FATE_TAKEN;
        sim->result.taken++;
    } else if (err != ERR_FULL && err != ERR_TOO_LARGE) {
        BREAK(sim, "sending says %s", err_name(err));
    }
    world_poke(sim->world, from->index);
}

static void send_some(void *context)
{
    struct sim *sim = context;
    uint64_t burst = 1 + seeded_below(sim->random, 12);
    for (uint64_t i = 0; i < burst; i++) {
        send_one(sim);
    }
    struct node *node = &sim->nodes[seeded_below(sim->random, sim->node_count)];
    if (node->endpoint && !world_is_paused(sim->world, node->index)) {
        enum err err =
            endpoint_publish(node->endpoint, bytes_of_text(node->name));
        (void)err; /* a hint: there may be no key yet */
        world_poke(sim->world, node->index);
    }
    uint64_t pause_ms = 1 + seeded_below(sim->random, 250);
    if (world_now_ns(sim->world) < FAULTS_END_NS) {
        world_at(sim->world, world_now_ns(sim->world) + pause_ms * NS_PER_MS,
                 send_some, sim);
    }
}

/* ---- nodes ---- */

static void write_log(void *context, const char *line, size_t length)
{
    struct sim *sim = context;
    say(sim, "%.*s", (int)(length > 0 ? length - 1 : 0), line);
}

static struct endpoint_config node_config(struct sim *sim, struct node *node)
{
    struct endpoint_config config = {
        .network = world_network(sim->world, node->index),
        .clock = world_clock(sim->world, node->index),
        .entropy = world_entropy(sim->world, node->index),
        .log = node->log,
        .reactor = world_reactor_open(sim->world, node->index),
        .door_reactor = world_reactor_open(sim->world, node->index),
        .identity = node->identity,
        .trust = sim->trust,
        .addresses = {.door = node->door,
                      .bus = node->bus,
                      .pair_bind = node->pair,
                      .pair_advertise = node->pair,
                      .pair_count = NODE_COUNT_MAX},
        .events = {.context = node,
                   .on_change = on_change,
                   .on_undelivered = on_undelivered,
                   .on_digest = on_digest},
    };
    endpoint_config_defaults(&config);
    /* Small, so that every limit is met. */
    config.link = (struct link_limits){
        .frame_bytes = 2048,
        .message_bytes_max = 60000,
        .window_bytes = 256 << 10,
        .inflight_bytes_max = 16 << 10,
        .rekey_bytes = 20000,
        .rekey_ms = 4000,
        .heartbeat_ms = 1000,
        .ack_delay_ms = 5,
    };
    config.peer_count_max = NODE_COUNT_MAX;
    return config;
}

static void switch_on(struct sim *sim, struct node *node)
{
    assert(node->life_count < LIFE_COUNT_MAX);
    world_power_on(sim->world, node->index);
    say(sim, "%s: life %u begins", node->name, node->life_count);
    struct life *life = &node->lives[node->life_count++];
    for (uint32_t i = 0; i < sim->node_count * STREAM_COUNT; i++) {
        struct stream *stream =
            &life->streams[i / STREAM_COUNT][i % STREAM_COUNT];
        stream->fates = calloc(1, STREAM_LENGTH_MAX);
        assert(stream->fates);
    }
    memset(node->progress, 0, sizeof node->progress);
    enum err err = log_open(
        &node->log,
        &(struct log_config){.node = node->name,
                             .level_min = LOG_INFO,
                             .sink = {.context = sim, .write = write_log},
                             .clock = world_clock(sim->world, node->index)});
    assert(!err);
    struct endpoint_config config = node_config(sim, node);
    err = endpoint_open(&node->endpoint, &config, NULL);
    assert(!err);
    struct bus_key key = {.number = 1}; /* as if somebody had handed it out */
    endpoint_bus_key_set(node->endpoint, &key);
    endpoint_channel_set(node->endpoint, 1, on_message, node);
    for (uint32_t i = 0; i < sim->node_count; i++) {
        struct node *other = &sim->nodes[i];
        if (other != node) {
            struct peer_address address = {
                .name = other->name, .door = other->door, .bus = other->bus};
            err = endpoint_peer_add(node->endpoint, &address, NULL);
            assert(!err);
        }
    }
    world_poke(sim->world, node->index);
}

static void gather_stats(void *context, struct peer *peer)
{
    struct sim *sim = context;
    const struct link_stats *stats = peer_stats(peer);
    sim->result.sessions += stats->session_count;
    sim->result.connections += stats->connection_count;
    sim->result.repeated += stats->frames_repeated;
    sim->result.rekeys += stats->rekey_count;
}

static void switch_off(struct sim *sim, struct node *node)
{
    if (!node->endpoint) {
        return;
    }
    say(sim, "%s: life %u ends", node->name, node->life_count - 1);
    endpoint_peer_each(node->endpoint, gather_stats, sim);
    world_crash(sim->world, node->index);
    sim->is_closing = true;
    endpoint_close(&node->endpoint);
    sim->is_closing = false;
    world_power_off(sim->world, node->index);
    log_close(&node->log);
}

/* ---- faults ---- */

struct later {
    struct sim *sim;
    uint32_t node;
    struct world_pair pair;
};

static void plan_end(struct sim *sim,
                     uint64_t after_ms,
                     void (*run)(void *context),
                     struct later later)
{
    struct later *own = malloc(sizeof *own);
    assert(own);
    *own = later;
    own->sim = sim;
    world_at(sim->world, world_now_ns(sim->world) + after_ms * NS_PER_MS, run,
             own);
}

static void end_crash(void *context)
{
    struct later *later = context;
    struct node *node = &later->sim->nodes[later->node];
    if (!node->endpoint) {
        switch_on(later->sim, node);
    }
    free(later);
}

static void end_pause(void *context)
{
    struct later *later = context;
    if (world_is_paused(later->sim->world, later->node)) {
        say(later->sim, "%s goes on", later->sim->nodes[later->node].name);
        world_pause(later->sim->world, later->node, false);
    }
    free(later);
}

static void end_block(void *context)
{
    struct later *later = context;
    struct world_pair back = {.from = later->pair.to, .to = later->pair.from};
    world_block(later->sim->world, later->pair, false);
    world_block(later->sim->world, back, false);
    free(later);
}

static void crash(struct sim *sim, struct node *node)
{
    if (node->endpoint && !world_is_paused(sim->world, node->index)) {
        switch_off(sim, node);
        plan_end(sim, seeded_below(sim->random, 4000), end_crash,
                 (struct later){.node = node->index});
    }
}

static void pause_node(struct sim *sim, struct node *node)
{
    if (node->endpoint && !world_is_paused(sim->world, node->index)) {
        say(sim, "%s stands still", node->name);
        world_pause(sim->world, node->index, true);
        plan_end(sim, 1 + seeded_below(sim->random, 6000), end_pause,
                 (struct later){.node = node->index});
    }
}

static void block(struct sim *sim, struct world_pair pair, bool both_ways)
{
    struct world_pair back = {.from = pair.to, .to = pair.from};
    say(sim, "%u -%s %u: nothing passes", pair.from, both_ways ? "" : ">",
        pair.to);
    world_block(sim->world, pair, true);
    world_block(sim->world, back, both_ways);
    plan_end(sim, 1 + seeded_below(sim->random, 8000), end_block,
             (struct later){.pair = pair});
}

/* One side of the cluster does not hear the other. */
static void partition(struct sim *sim)
{
    uint32_t split =
        1 + (uint32_t)seeded_below(sim->random, sim->node_count - 1);
    for (uint32_t left = 0; left < split; left++) {
        for (uint32_t right = split; right < sim->node_count; right++) {
            block(sim, (struct world_pair){left, right}, true);
        }
    }
}

/* Cut the same connection again and again. */
static void flap(struct sim *sim, struct world_pair pair)
{
    say(sim, "%u - %u: cut", pair.from, pair.to);
    world_cut(sim->world, pair);
}

static void do_fault(void *context)
{
    struct sim *sim = context;
    if (world_now_ns(sim->world) >= FAULTS_END_NS) {
        return;
    }
    struct node *node = &sim->nodes[seeded_below(sim->random, sim->node_count)];
    struct world_pair pair = {
        .from = node->index,
        .to = (node->index + 1 +
               (uint32_t)seeded_below(sim->random, sim->node_count - 1)) %
              sim->node_count};
    sim->result.faults++;
    switch (seeded_below(sim->random, 9)) {
    case 0:
        crash(sim, node);
        break;
    case 1:
        pause_node(sim, node);
        break;
    case 2:
        block(sim, pair, true);
        break;
    case 3:
        block(sim, pair, false);
        break;
    case 4:
        partition(sim);
        break;
    case 5:
        world_delay(sim->world, pair,
                    seeded_below(sim->random, 200) * NS_PER_MS);
        break;
    case 6:
        world_skew(sim->world, node->index,
                   (int64_t)seeded_below(sim->random, 480000) - 240000);
        break;
    default:
        flap(sim, pair);
        break;
    }
    uint64_t pause_ms = 1 + seeded_below(sim->random, 2 * 30000 / 24);
    world_at(sim->world, world_now_ns(sim->world) + pause_ms * NS_PER_MS,
             do_fault, sim);
}

static void end_faults(struct sim *sim)
{
    say(sim, "faults are over");
    world_unblock_all(sim->world);
    for (uint32_t i = 0; i < sim->node_count; i++) {
        if (world_is_paused(sim->world, i)) {
            world_pause(sim->world, i, false);
        }
        if (!sim->nodes[i].endpoint) {
            switch_on(sim, &sim->nodes[i]);
        }
    }
}

/* ---- the end ---- */

static void check_linked(void *context, struct peer *peer)
{
    struct node *node = context;
    if (!peer_is_up(peer)) {
        BREAK(node->sim, "%s is not linked with %s at the end", node->name,
              peer_name(peer));
    }
}

/* A dead process owes nothing; a living one has delivered or handed back. */
static void check_fates(struct sim *sim, struct node *node)
{
    struct life *life = &node->lives[node->life_count - 1];
    for (uint32_t i = 0; i < sim->node_count * STREAM_COUNT; i++) {
        struct stream *stream =
            &life->streams[i / STREAM_COUNT][i % STREAM_COUNT];
        for (uint32_t number = 0; number < stream->taken; number++) {
            if (stream->fates[number] == FATE_TAKEN) {
                BREAK(sim, "number %u of stream %u from %s to %u is lost",
                      number, i % STREAM_COUNT, node->name, i / STREAM_COUNT);
                return;
            }
        }
    }
}

static void open_nodes(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->node_count; i++) {
        struct node *node = &sim->nodes[i];
        *node = (struct node){.sim = sim, .index = i};
        (void)snprintf(node->name, sizeof node->name, "n%u", i);
        (void)snprintf(node->door, sizeof node->door, "sim://%u/door", i);
        (void)snprintf(node->bus, sizeof node->bus, "sim://%u/bus", i);
        (void)snprintf(node->pair, sizeof node->pair, "sim://%u/pair/", i);
        node->identity = test_identity_make(&sim->authority, node->name, NULL);
        node->lives = calloc(LIFE_COUNT_MAX, sizeof *node->lives);
        assert(node->lives);
    }
}

static void close_nodes(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->node_count; i++) {
        struct node *node = &sim->nodes[i];
        switch_off(sim, node);
        identity_unref(&node->identity);
        for (uint32_t life = 0; life < node->life_count; life++) {
            for (uint32_t j = 0; j < NODE_COUNT_MAX * STREAM_COUNT; j++) {
                free(node->lives[life]
                         .streams[j / STREAM_COUNT][j % STREAM_COUNT]
                         .fates);
            }
        }
        free(node->lives);
    }
}

struct link_sim_result link_sim_run(uint64_t seed, bool trace)
{
    struct sim *sim = calloc(1, sizeof *sim);
    assert(sim);
    sim->seed = seed;
    sim->trace = trace;
    sim->history = XXH3_createState();
    XXH3_64bits_reset(sim->history);
    struct seeded setup = {.state = seed};
    sim->node_count = 2 + (uint32_t)seeded_below(&setup, 6);
    sim->world = world_open(&(struct world_config){
        .seed = seed,
        .machine_count = sim->node_count,
        .latency_us_min = 50,
        .latency_us_max = 50 + (uint32_t)seeded_below(&setup, 3000)});
    sim->random = world_random(sim->world);
    test_authority_init(&sim->authority, 11,
                        clock_wall_ms(world_clock(sim->world, 0)));
    sim->trust = test_trust_make(&sim->authority);
    open_nodes(sim);
    for (uint32_t i = 0; i < sim->node_count; i++) {
        switch_on(sim, &sim->nodes[i]);
    }
    send_some(sim);
    do_fault(sim);
    world_run_until(sim->world, FAULTS_END_NS);
    end_faults(sim);
    world_run_until(sim->world, QUIET_END_NS);
    for (uint32_t i = 0; i < sim->node_count; i++) {
        endpoint_peer_each(sim->nodes[i].endpoint, check_linked,
                           &sim->nodes[i]);
        check_fates(sim, &sim->nodes[i]);
    }
    sim->result.virtual_ns = world_now_ns(sim->world);
    close_nodes(sim);
    world_close(&sim->world);
    trust_unref(&sim->trust);
    sim->result.digest = XXH3_64bits_digest(sim->history);
    XXH3_freeState(sim->history);
    struct link_sim_result result = sim->result;
    free(sim);
    return result;
}
