/*
 * A door that is asked anything: raw requests, honest ones, altered and
 * repeated ones, in any order. Each is answered exactly once, at the latest
 * when the owner has decided.
 *
 * Input: steps, each a kind (u8), a length (u8) and as many bytes.
 */

#include <sodium.h>
#include <stdlib.h>

#include "base/time_units.h"
#include "tests/support/fake_clock.h"
#include "tests/support/seeded.h"
#include "tests/support/test_identity.h"
#include "transport/door.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define NOW_MS INT64_C(1795260600000)
#define STEP_COUNT_MAX 60
#define VISIT_COUNT_MAX 3

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

enum step {
    STEP_RAW,   /* these bytes are a request */
    STEP_HELLO, /* an honest one */
    STEP_PROOF, /* an honest one, xored with these bytes somewhere */
    STEP_AGAIN, /* the last proof */
    STEP_TURN,  /* the reactors turn, the owner decides */
    STEP_TIME,  /* 100 ms u8 */
    STEP_COUNT
};

struct world {
    struct fake_clock fake;
    struct clock clock;
    struct seeded random;
    struct entropy entropy;
    struct handshake_self peer;
    struct socket_events events; /* of the door's socket */
    struct reactor *reactor;
    struct door *door;
    uint32_t answer_counts[STEP_COUNT_MAX + 1]; /* by request, from 1 */
    uint32_t request_count;
    uint8_t answer[HANDSHAKE_BYTES_MAX]; /* the newest */
    size_t answer_length;
    uint8_t proof[HANDSHAKE_BYTES_MAX];
    size_t proof_length;
    uint32_t admitted_count;
};

struct socket {
    struct world *world;
};

static void free_packet(struct packet *packet)
{
    free(packet);
}

static struct packet *make_packet(struct socket *socket, size_t length)
{
    (void)socket;
    struct packet *packet = malloc(sizeof *packet + length);
    MUST(packet);
    *packet = (struct packet){
        .data = (uint8_t *)(packet + 1), .length = length, .free = free_packet};
    return packet;
}

static enum err open_socket(void *context,
                            struct socket **out,
                            const struct socket_config *config)
{
    struct socket *socket = calloc(1, sizeof *socket);
    MUST(socket);
    socket->world = context;
    socket->world->events = config->events;
    *out = socket;
    return ERR_NONE;
}

static void close_socket(struct socket **socket)
{
    free(*socket);
    *socket = NULL;
}

static enum err listen_socket(struct socket *socket, const char *url)
{
    (void)socket;
    (void)url;
    return ERR_NONE;
}

static bool send_answer(struct socket *socket,
                        uint32_t pipe,
                        struct packet *packet)
{
    struct world *world = socket->world;
    MUST(pipe >= 1 && pipe <= world->request_count);
    MUST(++world->answer_counts[pipe] == 1);
    MUST(packet->length <= HANDSHAKE_BYTES_MAX && packet->length >= 3);
    memcpy(world->answer, packet->data, packet->length);
    world->answer_length = packet->length;
    packet_close(&packet);
    return true;
}

static void decide(void *context, struct door_visit *visit)
{
    struct world *world = context;
    visit->err = world->admitted_count++ % 3 == 2 ? ERR_SUPERSEDED : ERR_NONE;
    visit->session = 1;
    memcpy(visit->url, "tcp://a:1", sizeof "tcp://a:1");
    door_reply(visit);
}

static void ask(struct world *world, struct bytes request)
{
    struct packet *packet = make_packet(NULL, request.length);
    if (request.length > 0) {
        memcpy(packet->data, request.data, request.length);
    }
    world->request_count++;
    world->answer_length = 0;
    world->events.on_message(world->events.context, world->request_count,
                             packet);
}

/* A proof for a new cookie, kept in `world->proof`. Costs a request. */
static bool make_proof(struct world *world, struct knock *knock)
{
    uint8_t raw[HANDSHAKE_BYTES_MAX];
    struct writer hello = writer_of(raw, sizeof raw);
    knock_begin(knock, &world->peer, 1, &hello);
    ask(world, writer_bytes(&hello));
    MUST(world->answer_length > 3 && world->answer[2] == HANDSHAKE_COOKIE);
    struct writer out = writer_of(world->proof, sizeof world->proof);
    struct knock_wish wish = {.name = "beta"};
    struct err_detail why = {{0}};
    MUST(!knock_prove(knock, &world->peer, &wish,
                      bytes_of(world->answer, world->answer_length), &out,
                      &why));
    world->proof_length = writer_bytes(&out).length;
    return true;
}

static void step_proof(struct world *world, struct reader *in)
{
    struct knock knock;
    if (world->request_count + 2 > STEP_COUNT_MAX ||
        !make_proof(world, &knock)) {
        return;
    }
    size_t at = read_u16(in);
    bool is_altered = false;
    while (reader_left(in) > 0) {
        uint8_t mask = read_u8(in);
        world->proof[at++ % world->proof_length] ^= mask;
        is_altered = is_altered || mask != 0;
    }
    const struct door_stats *stats = door_stats(world->door);
    uint64_t before = atomic_load(&stats->admitted_count);
    ask(world, bytes_of(world->proof, world->proof_length));
    MUST(!is_altered || at > world->proof_length ||
         atomic_load(&stats->admitted_count) == before);
    knock_clear(&knock);
}

static void do_step(struct world *world, enum step step, struct reader *in)
{
    if (step == STEP_RAW) {
        ask(world, read_bytes(in, reader_left(in)));
    } else if (step == STEP_PROOF) {
        step_proof(world, in);
    } else if (step == STEP_AGAIN) {
        ask(world, bytes_of(world->proof, world->proof_length));
    } else if (step == STEP_TIME) {
        world->fake.now_ns += read_u8(in) * 100 * NS_PER_MS;
    } else if (step == STEP_TURN) {
        (void)reactor_turn(world->reactor);
    } else {
        struct knock knock;
        (void)make_proof(world, &knock);
        knock_clear(&knock);
    }
}

static void world_init(struct world *world)
{
    static struct test_authority authority;
    static struct trust *trust;
    static const struct identity *identities[2];
    if (!trust) {
        MUST(!identity_library_init());
        test_authority_init(&authority, 1, NOW_MS);
        trust = test_trust_make(&authority);
        identities[0] = test_identity_make(&authority, "alpha", NULL);
        identities[1] = test_identity_make(&authority, "beta", NULL);
    }
    world->fake = (struct fake_clock){.now_ns = 1000, .wall_ms = NOW_MS};
    world->clock = fake_clock_table(&world->fake);
    world->entropy = seeded_entropy(&world->random);
    world->peer = (struct handshake_self){.identity = identities[0],
                                          .trust = trust,
                                          .entropy = &world->entropy,
                                          .clock = &world->clock,
                                          .incarnation = 1,
                                          .versions = {1, 1}};
    struct handshake_self self = world->peer;
    self.identity = identities[1];
    self.incarnation = 2;
    MUST(!reactor_open(
        &world->reactor,
        &(struct reactor_config){.name = "door", .clock = &world->clock}));
    struct network network = {.context = world,
                              .open = open_socket,
                              .close = close_socket,
                              .listen = listen_socket,
                              .packet_make = make_packet,
                              .send = send_answer};
    static struct network table;
    table = network;
    struct door_config config = {.network = &table,
                                 .clock = &world->clock,
                                 .reactor = world->reactor,
                                 .owner_reactor = world->reactor,
                                 .url = "none",
                                 .handshake_ms = 5000,
                                 .visit_count_max = VISIT_COUNT_MAX,
                                 .context = world,
                                 .decide = decide};
    MUST(!door_open(&world->door, &config, &self));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct world world;
    world = (struct world){.random = {.state = 1}};
    world_init(&world);
    struct reader in = reader_of(bytes_of(data, length));
    while (world.request_count < STEP_COUNT_MAX && reader_left(&in) >= 2) {
        enum step step = (enum step)(read_u8(&in) % STEP_COUNT);
        size_t piece = read_u8(&in);
        piece = piece < reader_left(&in) ? piece : reader_left(&in);
        struct reader part = reader_of(read_bytes(&in, piece));
        do_step(&world, step, &part);
    }
    while (!door_is_idle(world.door)) {
        (void)reactor_turn(world.reactor);
    }
    for (uint32_t i = 1; i <= world.request_count; i++) {
        MUST(world.answer_counts[i] == 1);
    }
    door_close(&world.door);
    reactor_close(&world.reactor);
    return 0;
}
