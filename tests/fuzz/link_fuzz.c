/*
 * A link and a peer that does what the input says: raw frames, frames that
 * are sealed as they should be around any content, connections that come and
 * go, time. The link must stay within its memory and end what is against the
 * protocol.
 *
 * Input: steps, each a kind (u8), a length (u8) and as many bytes.
 */

#include <sodium.h>
#include <stdlib.h>

#include "base/time_units.h"
#include "transport/link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define STEP_COUNT_MAX 200
#define MESSAGE_BYTES_MAX 5000
#define WINDOW_BYTES 40000
#define INFLIGHT_BYTES 8000
#define HELD_BYTES_MAX \
    (WINDOW_BYTES + 2 * INFLIGHT_BYTES + 4 * MESSAGE_BYTES_MAX)

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

enum step {
    STEP_RAW,    /* these bytes are a packet */
    STEP_SEALED, /* lane u8, ahead u8, renewals u8, acks, content */
    STEP_UP,
    STEP_DOWN,
    STEP_TIME, /* ms u8 */
    STEP_SENT,
    STEP_PAUSE,
    STEP_RESUME,
    STEP_SEND, /* lane u8, length u16 */
    STEP_BEGIN,
    STEP_COUNT
};

struct world {
    struct link *link;
    struct link_session session;
    uint64_t now_ns;
    bool is_up;
    bool is_sending;
    bool refuses_sent; /* transmit() says false */
    uint64_t sequences[LANE_COUNT];
    uint16_t generations[LANE_COUNT];
    uint64_t delivered_count;
};

static void free_packet(struct packet *packet)
{
    free(packet);
}

static struct packet *make_packet(void *context, size_t length)
{
    (void)context;
    struct packet *packet = malloc(sizeof *packet + length);
    MUST(packet);
    *packet = (struct packet){
        .data = (uint8_t *)(packet + 1), .length = length, .free = free_packet};
    return packet;
}

static bool transmit(void *context, struct packet *packet)
{
    struct world *world = context;
    MUST(world->is_up && !world->is_sending);
    MUST(packet->length >= FRAME_OVERHEAD_BYTES);
    MUST(packet->length <= FRAME_BYTES_MAX);
    packet_close(&packet);
    world->is_sending = world->refuses_sent;
    return !world->refuses_sent;
}

static void deliver(void *context, uint8_t channel, struct bytes message)
{
    struct world *world = context;
    MUST(channel < CHANNEL_COUNT && message.length <= MESSAGE_BYTES_MAX);
    world->delivered_count++;
}

static void undelivered(void *context,
                        uint8_t channel,
                        struct bytes message,
                        bool may_have_arrived)
{
    (void)context;
    (void)may_have_arrived;
    MUST(channel == 7 && message.length <= MESSAGE_BYTES_MAX);
}

static void writable(void *context)
{
    (void)context;
}

static void begin(struct world *world)
{
    world->session.id++;
    enum err err = link_begin(world->link, &world->session, world->now_ns);
    MUST(!err);
    world->is_up = false;
    world->is_sending = false;
    memset(world->sequences, 0, sizeof world->sequences);
    memset(world->generations, 0, sizeof world->generations);
}

static struct packet *seal(struct world *world, struct reader *in)
{
    struct frame_header header = {.version = world->session.version,
                                  .session = (uint32_t)world->session.id};
    header.lane = (enum lane)(read_u8(in) % LANE_COUNT);
    header.sequence = world->sequences[header.lane] + read_u8(in) % 4;
    header.generation =
        (uint16_t)(world->generations[header.lane] + read_u8(in) % 3);
    world->sequences[header.lane] = header.sequence;
    world->generations[header.lane] = header.generation;

    uint8_t plain[FRAME_ACKS_BYTES + UINT8_MAX];
    struct frame_acks acks = {.control = read_u8(in), .data = read_u8(in)};
    frame_acks_encode(plain, &acks);
    struct bytes content = read_bytes(in, reader_left(in));
    if (content.length > 0) {
        memcpy(plain + FRAME_ACKS_BYTES, content.data, content.length);
    }
    struct bytes body = bytes_of(plain, FRAME_ACKS_BYTES + content.length);

    char label[] = "troupe lane 0";
    label[sizeof label - 2] = (char)('0' + (int)header.lane);
    struct seal_key key;
    seal_key_derive(&key, world->session.receive_root, bytes_of_text(label));
    for (uint16_t i = 0; i < header.generation; i++) {
        seal_key_renew(&key, &key);
    }
    struct packet *packet =
        make_packet(world, FRAME_HEADER_BYTES + body.length + FRAME_TAG_BYTES);
    frame_header_encode(packet->data, &header);
    struct seal_box box = {.key = &key,
                           .nonce = header.sequence,
                           .header =
                               bytes_of(packet->data, FRAME_HEADER_BYTES)};
    seal_close(packet->data + FRAME_HEADER_BYTES, &box, body);
    return packet;
}

/* As transport/peer.c does. */
static void end_after(struct world *world, enum err err)
{
    if (err) {
        MUST(err == ERR_MALFORMED || err == ERR_FORGED || err == ERR_CLOSED);
        if (err == ERR_CLOSED) {
            link_end(world->link);
            begin(world);
        }
        link_on_down(world->link);
        world->is_up = false;
        world->is_sending = false;
    }
}

static void take(struct world *world, struct packet *packet, bool is_ours)
{
    (void)link_session_opens(&world->session,
                             bytes_of(packet->data, packet->length));
    uint64_t before = world->delivered_count;
    enum err err = link_on_packet(world->link, &packet, world->now_ns);
    MUST(!packet);
    MUST(is_ours || world->delivered_count == before);
    end_after(world, err);
}

static void step_raw(struct world *world, struct reader *in)
{
    struct bytes raw = read_bytes(in, reader_left(in));
    struct packet *packet = make_packet(world, raw.length);
    if (raw.length > 0) {
        memcpy(packet->data, raw.data, raw.length);
    }
    if (raw.length >= FRAME_HEADER_BYTES) { /* more often near the mark */
        packet->data[0] = world->session.version;
        put_u32(packet->data + 4, (uint32_t)world->session.id);
    }
    take(world, packet, false);
}

static void step_send(struct world *world, struct reader *in)
{
    static const uint8_t zeros[MESSAGE_BYTES_MAX + 2];
    enum lane lane = (enum lane)(1 + read_u8(in) % (LANE_COUNT - 1));
    size_t length = read_u16(in) % sizeof zeros;
    enum err err = link_send(world->link, lane, 7, bytes_of(zeros, length));
    MUST(err != ERR_MEMORY);
    if (world->is_up) {
        link_flush(world->link, world->now_ns);
    }
}

static void step_connection(struct world *world, enum step step)
{
    if (step == STEP_UP && !world->is_up) {
        world->is_up = true;
        world->is_sending = false;
        link_on_up(world->link, world->now_ns);
    } else if (step == STEP_DOWN && world->is_up) {
        world->is_up = false;
        world->is_sending = false;
        link_on_down(world->link);
    } else if (step == STEP_SENT && world->is_sending) {
        world->is_sending = false;
        link_on_sent(world->link, world->now_ns);
    }
}

static void do_step(struct world *world, enum step step, struct reader *in)
{
    if (step == STEP_RAW) {
        step_raw(world, in);
    } else if (step == STEP_SEALED) {
        take(world, seal(world, in), true);
    } else if (step == STEP_TIME) {
        world->refuses_sent = reader_left(in) % 2;
        world->now_ns += read_u8(in) * NS_PER_MS;
        link_on_time(world->link, world->now_ns);
    } else if (step == STEP_PAUSE) {
        link_pause(world->link);
    } else if (step == STEP_RESUME) {
        end_after(world, link_resume(world->link, world->now_ns));
    } else if (step == STEP_SEND) {
        step_send(world, in);
    } else if (step == STEP_BEGIN) {
        begin(world);
    } else {
        step_connection(world, step);
    }
    MUST(link_held_bytes(world->link) <= HELD_BYTES_MAX);
    MUST(link_stats(world->link)->messages_in == world->delivered_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    MUST(sodium_init() >= 0);
    struct world world = {.now_ns = 1000 * NS_PER_MS,
                          .session = {.version = 1}};
    memset(world.session.send_root, 1, SEAL_KEY_BYTES);
    memset(world.session.receive_root, 2, SEAL_KEY_BYTES);
    struct link_limits limits = {.frame_bytes = 1024,
                                 .message_bytes_max = MESSAGE_BYTES_MAX,
                                 .window_bytes = WINDOW_BYTES,
                                 .inflight_bytes_max = INFLIGHT_BYTES,
                                 .rekey_bytes = 3000,
                                 .rekey_ms = 200,
                                 .heartbeat_ms = 50,
                                 .ack_delay_ms = 5};
    struct link_port port = {.context = &world,
                             .packet_make = make_packet,
                             .transmit = transmit,
                             .deliver = deliver,
                             .undelivered = undelivered,
                             .writable = writable};
    MUST(!link_open(&world.link, &limits, &port));
    begin(&world);
    struct reader in = reader_of(bytes_of(data, length));
    for (int i = 0; i < STEP_COUNT_MAX && reader_left(&in) >= 2; i++) {
        enum step step = (enum step)(read_u8(&in) % STEP_COUNT);
        size_t piece = read_u8(&in);
        if (piece > reader_left(&in)) {
            piece = reader_left(&in);
        }
        struct reader part = reader_of(read_bytes(&in, piece));
        do_step(&world, step, &part);
    }
    link_close(&world.link);
    return 0;
}
