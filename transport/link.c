#include "transport/link.h"

#include "base/scope.h"
#include "base/time_units.h"
#include "config/secret.h"
#include "transport/inbox.h"
#include "transport/outbox.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

#define RENEWALS_MISSED_MAX 16
#define RENEWALS_UNSEEN_MAX 8 /* before the peer has answered a ping */
#define REPEAT_PAUSE_NS (200 * NS_PER_MS)

enum signal {
    SIGNAL_PING = 1,   /* u64: the sender's time */
    SIGNAL_PONG = 2,   /* u64: the ping's */
    SIGNAL_REPEAT = 3, /* send again what I have not acknowledged */
};

/* The keys of a session, in guarded memory. */
struct link_keys {
    struct {
        struct seal_key send;
        struct seal_key send_old; /* of the generation before, while a frame
                                     of it may have to be sent again */
        struct seal_key receive;
    } lanes[LANE_COUNT];
    struct seal_key wrap_send;
    struct seal_key wrap_receive;
};

/* When a lane's own key was made, and what was sealed since. */
struct key_age {
    uint64_t since_ns;
    uint64_t bytes;
};

struct held_packet {
    struct held_packet *next;
    struct packet *packet;
};

struct link {
    struct link_limits limits;
    struct link_port port;

    /* The session. */
    uint64_t session; /* id; 0: none */
    uint8_t version;
    struct link_keys *keys;
    struct key_age ages[LANE_COUNT];
    uint32_t renewals_unseen;      /* of lanes whose frames may be lost */
    uint64_t wrap_count;           /* secrets wrapped: the next one's nonce */
    struct outbox out[LANE_COUNT]; /* LANE_SIGNAL's holds only the numbers */
    struct inbox in[LANE_COUNT];

    /* The connection. */
    bool is_up;
    bool is_proven;  /* the peer was heard on it */
    bool is_sending; /* the port has a packet */

    /* What is to be said next. */
    bool hello_is_due;
    bool repeat_is_due;
    bool ping_is_due;
    bool pong_is_due;
    bool ack_is_due;
    uint64_t pong_time;
    uint64_t ack_at_ns;     /* TIMER_NEVER: nothing to acknowledge */
    uint64_t unacked_bytes; /* received since we last said so */
    bool has_gap; /* a frame was dropped because one before it is missing */
    uint64_t repeat_asked_ns;
    uint64_t heard_ns;
    uint64_t pinged_ns;

    /* Backwards pressure. */
    bool is_full;       /* link_send() has said so */
    bool is_paused;     /* LANE_DATA waits here */
    bool is_delivering; /* within a frame: the next must wait */
    struct held_packet *held_first;
    struct held_packet *held_last;
    size_t held_bytes;

    struct link_stats stats;
};

static const uint64_t never_ns = UINT64_MAX;

static bool lane_is_kept(enum lane lane)
{
    return lane == LANE_CONTROL || lane == LANE_DATA;
}

static bool lane_is_fleeting(enum lane lane)
{
    return lane == LANE_FLEETING;
}

/* ---- life ---- */

/* The window's memory, shared out; a single message must fit in. */
static struct outbox_config lane_config(const struct link *link, enum lane lane)
{
    static const uint8_t eighths[LANE_COUNT] = {
        [LANE_CONTROL] = 1, [LANE_FLEETING] = 2, [LANE_DATA] = 5};
    uint64_t window_bytes = link->limits.window_bytes / 8 * eighths[lane];
    uint64_t message_bytes_max = link->limits.message_bytes_max;
    if (lane != LANE_DATA && message_bytes_max > window_bytes / 2) {
        message_bytes_max = window_bytes / 2;
    }
    return (struct outbox_config){
        .is_kept = lane_is_kept(lane),
        .frame_bytes = link->limits.frame_bytes,
        .message_bytes_max = message_bytes_max,
        .window_bytes = window_bytes,
        .inflight_bytes_max =
            lane == LANE_DATA ? link->limits.inflight_bytes_max : SIZE_MAX / 2,
    };
}

enum err link_open(struct link **out,
                   const struct link_limits *limits,
                   const struct link_port *port)
{
    assert(limits->message_bytes_max <= ITEM_CONTENT_BYTES_MAX + 1);
    assert(limits->frame_bytes <= FRAME_GATHER_BYTES_MAX);
    struct link *link = calloc(1, sizeof *link);
    if (!link) {
        return ERR_MEMORY;
    }
    link->limits = *limits;
    link->port = *port;
    link->ack_at_ns = never_ns;
    for (enum lane lane = 0; lane < LANE_COUNT; lane++) {
        struct outbox_config config = lane_config(link, lane);
        outbox_init(&link->out[lane], &config);
        inbox_init(&link->in[lane], limits->message_bytes_max,
                   lane_is_fleeting(lane));
    }
    *out = link;
    return ERR_NONE;
}

static void held_clear(struct link *link)
{
    while (link->held_first) {
        struct held_packet *held = link->held_first;
        link->held_first = held->next;
        packet_close(&held->packet);
        free(held);
    }
    link->held_last = NULL;
    link->held_bytes = 0;
}

static void hand_back(void *context,
                      uint8_t channel,
                      struct bytes message,
                      bool may_have_arrived)
{
    struct link *link = context;
    link->stats.undelivered++;
    link->port.undelivered(link->port.context, channel, message,
                           may_have_arrived);
}

/* The boxes are new before the first message is handed back: whoever gets it
 * may send it again, for the next session. */
void link_end(struct link *link)
{
    link_on_down(link);
    struct outbox old[LANE_COUNT];
    for (enum lane lane = 0; lane < LANE_COUNT; lane++) {
        old[lane] = link->out[lane];
        outbox_init(&link->out[lane], &old[lane].config);
        inbox_clear(&link->in[lane]);
    }
    link->session = 0;
    secret_close(link->keys);
    link->keys = NULL;
    for (enum lane lane = 0; lane < LANE_COUNT; lane++) {
        if (lane_is_kept(lane)) {
            outbox_drain(&old[lane], hand_back, link);
        }
        outbox_clear(&old[lane]);
    }
}

void link_close(struct link **link)
{
    if (!*link) {
        return;
    }
    link_end(*link);
    for (enum lane lane = 0; lane < LANE_COUNT; lane++) {
        outbox_clear(&(*link)->out[lane]); /* sent while handing back */
    }
    free(*link);
    *link = NULL;
}

static struct seal_key derive_lane_key(const uint8_t *root, enum lane lane)
{
    uint8_t label[] = "troupe lane ?";
    label[sizeof label - 2] = (uint8_t)('0' + lane);
    struct seal_key key = {{0}};
    seal_key_derive(&key, root, bytes_of(label, sizeof label - 1));
    return key;
}

static struct seal_key derive_wrap_key(const uint8_t *root)
{
    struct seal_key key = {{0}};
    seal_key_derive(&key, root, bytes_of_text("troupe wrap"));
    return key;
}

enum err link_begin(struct link *link,
                    const struct link_session *session,
                    uint64_t now_ns)
{
    struct link_keys *keys = secret_open(sizeof *keys);
    if (!keys) {
        return ERR_LIMIT;
    }
    if (link->session) {
        link_end(link);
    }
    for (enum lane lane = 0; lane < LANE_COUNT; lane++) {
        keys->lanes[lane].send = derive_lane_key(session->send_root, lane);
        keys->lanes[lane].receive =
            derive_lane_key(session->receive_root, lane);
        link->ages[lane] = (struct key_age){.since_ns = now_ns};
    }
    keys->wrap_send = derive_wrap_key(session->send_root);
    keys->wrap_receive = derive_wrap_key(session->receive_root);
    link->keys = keys;
    link->session = session->id;
    link->renewals_unseen = 0;
    link->wrap_count = 0;
    link->version = session->version;
    link->stats.session_count++;
    return ERR_NONE;
}

uint64_t link_session_id(const struct link *link)
{
    return link->session;
}

/* ---- sealing and sending ---- */

/*
 * One way, and only when no frame needs the key before the present one. A key
 * that sealed nothing stays: the peer follows by the frames that it sees.
 */
static void renew_key_if_due(struct link *link, enum lane lane, uint64_t now_ns)
{
    struct key_age *age = &link->ages[lane];
    struct outbox *out = &link->out[lane];
    struct seal_key *old = &link->keys->lanes[lane].send_old;
    if (outbox_needs_old_key(out)) {
        return;
    }
    sodium_memzero(old, sizeof *old);
    bool is_due = age->bytes >= link->limits.rekey_bytes ||
                  now_ns - age->since_ns >= link->limits.rekey_ms * NS_PER_MS;
    if (!is_due || age->bytes == 0 ||
        link->renewals_unseen >= RENEWALS_UNSEEN_MAX) {
        return;
    }
    link->renewals_unseen += !lane_is_kept(lane);
    if (!outbox_is_empty(out)) {
        *old = link->keys->lanes[lane].send;
    }
    seal_key_renew(&link->keys->lanes[lane].send,
                   &link->keys->lanes[lane].send);
    outbox_renew(out);
    *age = (struct key_age){.since_ns = now_ns};
    link->stats.rekey_count++;
}

static struct frame_acks acks_now(const struct link *link)
{
    return (struct frame_acks){.control = link->in[LANE_CONTROL].received,
                               .data = link->in[LANE_DATA].received};
}

/* A frame to be sealed: where it stands and what is in it. */
struct sealing {
    enum lane lane;
    uint64_t sequence;
    uint16_t generation;
    struct bytes body;
};

static struct packet *seal_frame(struct link *link, const struct sealing *frame)
{
    size_t length = FRAME_HEADER_BYTES + frame->body.length + FRAME_TAG_BYTES;
    struct packet *packet = link->port.packet_make(link->port.context, length);
    if (!packet) {
        return NULL;
    }
    struct frame_header header = {.version = link->version,
                                  .lane = frame->lane,
                                  .generation = frame->generation,
                                  .session = (uint32_t)link->session,
                                  .sequence = frame->sequence};
    frame_header_encode(packet->data, &header);
    bool is_current = frame->generation == link->out[frame->lane].generation;
    struct seal_box box = {
        .key = is_current ? &link->keys->lanes[frame->lane].send
                          : &link->keys->lanes[frame->lane].send_old,
        .nonce = frame->sequence,
        .header = bytes_of(packet->data, FRAME_HEADER_BYTES)};
    seal_close(packet->data + FRAME_HEADER_BYTES, &box, frame->body);
    link->ages[frame->lane].bytes += length;
    return packet;
}

static void transmit(struct link *link, struct packet *packet)
{
    /* Every frame carries acks. */
    link->ack_is_due = false;
    link->ack_at_ns = never_ns;
    link->unacked_bytes = 0;
    link->stats.frames_out++;
    link->is_sending = !link->port.transmit(link->port.context, packet);
}

static void write_signal(struct writer *out, enum signal kind, uint64_t value)
{
    write_u8(out, (uint8_t)kind);
    write_u8(out, sizeof value);
    write_u64(out, value);
}

static bool signal_is_due(const struct link *link)
{
    return link->hello_is_due || link->repeat_is_due || link->ping_is_due ||
           link->pong_is_due || link->ack_is_due;
}

static bool send_signals(struct link *link, uint64_t now_ns)
{
    renew_key_if_due(link, LANE_SIGNAL, now_ns);
    uint8_t body[FRAME_ACKS_BYTES + SIGNAL_BYTES_MAX];
    struct frame_acks acks = acks_now(link);
    frame_acks_encode(body, &acks);
    struct writer out =
        writer_of(body + FRAME_ACKS_BYTES, sizeof body - FRAME_ACKS_BYTES);
    if (link->ping_is_due) {
        write_signal(&out, SIGNAL_PING, now_ns);
    }
    if (link->pong_is_due) {
        write_signal(&out, SIGNAL_PONG, link->pong_time);
    }
    if (link->repeat_is_due) {
        write_signal(&out, SIGNAL_REPEAT, 0);
    }
    assert(!out.failed);
    struct outbox *numbers = &link->out[LANE_SIGNAL];
    struct sealing frame = {
        .lane = LANE_SIGNAL,
        .sequence = numbers->sequence_next,
        .generation = numbers->generation,
        .body = bytes_of(body, FRAME_ACKS_BYTES + writer_bytes(&out).length)};
    struct packet *packet = seal_frame(link, &frame);
    if (!packet) {
        return false;
    }
    numbers->sequence_next++;
    link->hello_is_due = false;
    link->repeat_is_due = false;
    link->ping_is_due = false;
    link->pong_is_due = false;
    transmit(link, packet);
    return true;
}

/* Sealed again, it must be what it was: otherwise two texts would go out
 * under one nonce. */
static void remember_tag(struct outbox_frame *frame, const uint8_t *tag)
{
    if (frame->is_sealed) {
        assert(sodium_memcmp(frame->tag, tag, SEAL_TAG_BYTES) == 0);
        return;
    }
    memcpy(frame->tag, tag, SEAL_TAG_BYTES);
    frame->is_sealed = true;
}

static bool send_frame(struct link *link, enum lane lane)
{
    struct outbox_frame *frame = outbox_next(&link->out[lane]);
    if (!frame) {
        return false;
    }
    if (!frame->is_sealed) {
        struct frame_acks acks = acks_now(link);
        frame_acks_encode(frame->body, &acks);
    }
    struct sealing sealing = {.lane = lane,
                              .sequence = frame->sequence,
                              .generation = frame->generation,
                              .body = bytes_of(frame->body, frame->length)};
    struct packet *packet = seal_frame(link, &sealing);
    if (!packet) {
        return false;
    }
    link->stats.frames_repeated += frame->is_sealed;
    remember_tag(frame, packet->data + packet->length - SEAL_TAG_BYTES);
    outbox_on_sent(&link->out[lane]);
    transmit(link, packet);
    return true;
}

void link_flush(struct link *link, uint64_t now_ns)
{
    while (link->session && link->is_up && !link->is_sending) {
        bool did_send = signal_is_due(link) && send_signals(link, now_ns);
        for (enum lane lane = LANE_CONTROL;
             !did_send && link->is_proven && lane < LANE_COUNT; lane++) {
            did_send = send_frame(link, lane);
        }
        if (!did_send) {
            break;
        }
    }
}

enum err link_send(struct link *link,
                   enum lane lane,
                   uint8_t channel,
                   struct bytes message)
{
    assert(lane > LANE_SIGNAL && lane < LANE_COUNT);
    if (lane_is_fleeting(lane) && !link->is_proven) {
        link->stats.fleeting_dropped++;
        return ERR_UNREACHABLE;
    }
    enum err err = outbox_put(&link->out[lane], channel, message);
    if (err == ERR_FULL) {
        link->is_full = true;
        link->stats.full_count++;
    } else if (!err) {
        link->stats.messages_out++;
        link->stats.bytes_out += message.length;
    }
    return err;
}

/* ---- the connection ---- */

void link_on_up(struct link *link, uint64_t now_ns)
{
    link->is_up = true;
    link->is_proven = false;
    link->is_sending = false;
    link->hello_is_due = true;
    link->ping_is_due = true;
    link->pinged_ns = now_ns;
    /* What the peer had begun on this lane will not be ended. */
    inbox_forget_part(&link->in[LANE_FLEETING]);
    link_flush(link, now_ns);
}

void link_on_down(struct link *link)
{
    link->is_up = false;
    link->is_proven = false;
    link->is_sending = false;
    link->has_gap = false;
    link->pong_is_due = false;
    link->repeat_is_due = false;
    link->stats.fleeting_dropped += outbox_rewind(&link->out[LANE_FLEETING]);
    held_clear(link); /* they come again */
}

void link_on_sent(struct link *link, uint64_t now_ns)
{
    link->is_sending = false;
    link_flush(link, now_ns);
}

/* The first valid frame of a connection tells what to send again. */
static void on_heard(struct link *link, uint64_t now_ns)
{
    link->heard_ns = now_ns;
    if (link->is_proven) {
        return;
    }
    link->is_proven = true;
    link->stats.connection_count++;
    (void)outbox_rewind(&link->out[LANE_CONTROL]);
    (void)outbox_rewind(&link->out[LANE_DATA]);
}

/* ---- receiving ---- */

/*
 * Open with the key of the frame's generation: the present one or, when the
 * peer has renewed it, a later one. (More than one later when the frames of
 * a generation were not kept and are lost.) ERR_FORGED
 */
static enum err open_body(struct link *link,
                          const struct frame_header *header,
                          struct packet *packet)
{
    struct inbox *in = &link->in[header->lane];
    struct seal_key *key = &link->keys->lanes[header->lane].receive;
    struct seal_key next = *key;
    uint16_t step = (uint16_t)(header->generation - in->generation);
    if (step > RENEWALS_MISSED_MAX) {
        return ERR_FORGED;
    }
    for (; step > 0; step--) {
        seal_key_renew(&next, &next);
    }
    struct seal_box box = {.key = &next,
                           .nonce = header->sequence,
                           .header =
                               bytes_of(packet->data, FRAME_HEADER_BYTES)};
    enum err err = seal_open(packet->data + FRAME_HEADER_BYTES,
                             packet->length - FRAME_HEADER_BYTES, &box);
    if (!err) {
        *key = next;
        in->generation = header->generation;
    }
    sodium_memzero(&next, sizeof next);
    return err;
}

static void on_signal(struct link *link,
                      enum signal kind,
                      uint64_t value,
                      uint64_t now_ns)
{
    if (kind == SIGNAL_PING) {
        link->pong_is_due = true;
        link->pong_time = value;
    } else if (kind == SIGNAL_PONG && value <= now_ns) {
        link->stats.round_trip_ns = now_ns - value;
        link->renewals_unseen = 0;
    } else if (kind == SIGNAL_REPEAT) {
        (void)outbox_rewind(&link->out[LANE_CONTROL]);
        (void)outbox_rewind(&link->out[LANE_DATA]);
    }
}

static enum err take_signals(struct link *link,
                             struct bytes signals,
                             uint64_t now_ns)
{
    struct reader reader = reader_of(signals);
    while (reader_left(&reader) > 0) {
        uint8_t kind = read_u8(&reader);
        struct reader content =
            reader_of(read_bytes(&reader, read_u8(&reader)));
        if (reader.failed) {
            return ERR_CLOSED;
        }
        uint64_t value = read_u64(&content);
        if (!content.failed) {
            on_signal(link, (enum signal)kind, value, now_ns);
        }
    }
    return ERR_NONE;
}

static void deliver(void *context, uint8_t channel, struct bytes message)
{
    struct link *link = context;
    link->stats.messages_in++;
    link->stats.bytes_in += message.length;
    link->port.deliver(link->port.context, channel, message);
}

/* Acknowledge at once when the peer may soon have to wait for it. */
static void want_ack(struct link *link, size_t length, uint64_t now_ns)
{
    link->unacked_bytes += length;
    if (link->unacked_bytes >= link->limits.inflight_bytes_max / 4) {
        link->ack_is_due = true;
    } else if (link->ack_at_ns == never_ns) {
        link->ack_at_ns = now_ns + link->limits.ack_delay_ms * NS_PER_MS;
    }
}

static void tell_writable(struct link *link)
{
    size_t held = link->out[LANE_DATA].held_bytes;
    if (link->is_full && held <= link->limits.window_bytes / 2) {
        link->is_full = false;
        link->port.writable(link->port.context);
    }
}

static enum err take_acks(struct link *link, const struct frame_acks *acks)
{
    bool is_legal = outbox_on_ack(&link->out[LANE_CONTROL], acks->control) &&
                    outbox_on_ack(&link->out[LANE_DATA], acks->data);
    if (!is_legal) {
        return ERR_CLOSED;
    }
    tell_writable(link);
    return ERR_NONE;
}

/* Open a frame whose turn it is, and do what it says. */
static enum err take_frame(struct link *link,
                           const struct frame_header *header,
                           struct packet *packet,
                           uint64_t now_ns)
{
    enum err err = open_body(link, header, packet);
    if (err) {
        link->stats.frames_refused++;
        return err;
    }
    link->stats.frames_in++;
    on_heard(link, now_ns);
    const uint8_t *body = packet->data + FRAME_HEADER_BYTES;
    struct bytes content = bytes_of(body + FRAME_ACKS_BYTES,
                                    packet->length - FRAME_OVERHEAD_BYTES);
    struct frame_acks acks = frame_acks_decode(body);
    err = take_acks(link, &acks);
    if (err) {
        return err;
    }
    if (lane_is_fleeting(header->lane) &&
        header->sequence != link->in[header->lane].received + 1) {
        inbox_forget_part(&link->in[header->lane]);
    }
    link->in[header->lane].received = header->sequence;
    if (header->lane == LANE_SIGNAL) {
        return take_signals(link, content, now_ns);
    }
    if (lane_is_kept(header->lane)) {
        link->has_gap = false;
        want_ack(link, packet->length, now_ns);
    }
    struct inbox_target target = {.context = link, .deliver = deliver};
    uint64_t count = 0;
    link->is_delivering = true;
    err = inbox_take(&link->in[header->lane], content, &target, &count);
    link->is_delivering = false;
    return err ? ERR_CLOSED : ERR_NONE;
}

static enum err hold(struct link *link, struct packet **packet)
{
    struct held_packet *held = malloc(sizeof *held);
    bool is_too_much = link->held_bytes + (*packet)->length >
                       2 * link->limits.inflight_bytes_max + FRAME_BYTES_MAX;
    if (!held || is_too_much) {
        free(held);
        return ERR_MALFORMED; /* unopened: anybody may have sent it */
    }
    *held = (struct held_packet){.packet = *packet};
    link->held_bytes += (*packet)->length;
    *packet = NULL;
    if (link->held_last) {
        link->held_last->next = held;
    } else {
        link->held_first = held;
    }
    link->held_last = held;
    return ERR_NONE;
}

/* Ask seldom: frames behind the gap keep coming until the peer has heard. */
static void want_repeat(struct link *link, uint64_t now_ns)
{
    link->stats.frames_gap++;
    link->has_gap = true;
    if (now_ns - link->repeat_asked_ns >= REPEAT_PAUSE_NS) {
        link->repeat_asked_ns = now_ns;
        link->repeat_is_due = true;
    }
}

static enum err take_in_order(struct link *link,
                              const struct frame_header *header,
                              struct packet **packet,
                              uint64_t now_ns)
{
    uint64_t received = link->in[header->lane].received;
    if (header->sequence <= received) {
        link->stats.frames_duplicate++;
        if (lane_is_kept(header->lane)) {
            link->ack_is_due = true; /* the peer has missed our ack */
        }
        return ERR_NONE;
    }
    if (lane_is_kept(header->lane) && header->sequence != received + 1) {
        want_repeat(link, now_ns);
        return ERR_NONE;
    }
    return take_frame(link, header, *packet, now_ns);
}

/* Those that waited, as far as nobody pauses again. */
static enum err take_held(struct link *link, uint64_t now_ns)
{
    enum err err = ERR_NONE;
    while (link->held_first && !link->is_paused && !err) {
        struct held_packet *held = link->held_first;
        link->held_first = held->next;
        if (!link->held_first) {
            link->held_last = NULL;
        }
        scoped(packet_close) struct packet *packet = held->packet;
        link->held_bytes -= packet->length;
        free(held);
        struct frame_header header = {0};
        err = frame_header_decode(&header,
                                  bytes_of(packet->data, packet->length));
        if (!err) {
            err = take_in_order(link, &header, &packet, now_ns);
        }
    }
    return err;
}

enum err link_on_packet(struct link *link,
                        struct packet **packet,
                        uint64_t now_ns)
{
    scoped(packet_close) struct packet *taken = *packet;
    *packet = NULL;
    struct frame_header header = {0};
    enum err err =
        frame_header_decode(&header, bytes_of(taken->data, taken->length));
    bool is_ours = !err && link->session &&
                   header.session == (uint32_t)link->session &&
                   header.version == link->version;
    if (!is_ours) {
        link->stats.frames_refused++;
        return err;
    }
    bool must_wait = link->is_paused || link->held_first;
    if (must_wait && header.lane == LANE_DATA) {
        return hold(link, &taken);
    }
    err = take_in_order(link, &header, &taken, now_ns);
    return err || link->is_delivering ? err : take_held(link, now_ns);
}

void link_pause(struct link *link)
{
    link->is_paused = true;
}

enum err link_resume(struct link *link, uint64_t now_ns)
{
    link->is_paused = false;
    /* From within a handler: when its frame is at its end. */
    return link->is_delivering ? ERR_NONE : take_held(link, now_ns);
}

/* ---- time ---- */

void link_on_time(struct link *link, uint64_t now_ns)
{
    uint64_t heartbeat_ns = link->limits.heartbeat_ms * NS_PER_MS;
    if (now_ns >= link->ack_at_ns) {
        link->ack_is_due = true;
        link->ack_at_ns = never_ns;
    }
    if (link->has_gap && now_ns - link->repeat_asked_ns >= REPEAT_PAUSE_NS) {
        link->repeat_asked_ns = now_ns;
        link->repeat_is_due = true;
    }
    if (link->is_up && now_ns - link->pinged_ns >= heartbeat_ns) {
        link->ping_is_due = true;
        link->pinged_ns = now_ns;
        for (enum lane lane = LANE_CONTROL; lane < LANE_COUNT; lane++) {
            if (outbox_is_empty(&link->out[lane])) {
                outbox_trim(&link->out[lane]);
            }
        }
    }
    for (enum lane lane = LANE_CONTROL; link->session && lane < LANE_COUNT;
         lane++) {
        renew_key_if_due(link, lane, now_ns);
    }
    link_flush(link, now_ns);
}

uint64_t link_next_ns(const struct link *link)
{
    if (!link->is_up) {
        return never_ns;
    }
    uint64_t heartbeat_ns = link->limits.heartbeat_ms * NS_PER_MS;
    uint64_t next_ns = link->pinged_ns + heartbeat_ns;
    return link->ack_at_ns < next_ns ? link->ack_at_ns : next_ns;
}

/* ---- looking ---- */

bool link_is_proven(const struct link *link)
{
    return link->is_proven;
}

uint64_t link_heard_ns(const struct link *link)
{
    return link->heard_ns;
}

size_t link_held_bytes(const struct link *link)
{
    size_t bytes = link->held_bytes;
    for (enum lane lane = 0; lane < LANE_COUNT; lane++) {
        bytes += link->out[lane].held_bytes + link->in[lane].assembly_bytes;
    }
    return bytes;
}

const struct link_stats *link_stats(const struct link *link)
{
    return &link->stats;
}

/* ---- secrets ---- */

enum err link_wrap(struct link *link, struct bytes secret, struct writer *out)
{
    uint8_t sealed[LINK_SECRET_BYTES_MAX + SEAL_TAG_BYTES];
    assert(secret.length <= LINK_SECRET_BYTES_MAX);
    if (!link->session) {
        return ERR_UNREACHABLE;
    }
    struct seal_box box = {.key = &link->keys->wrap_send,
                           .nonce = link->wrap_count++};
    seal_close(sealed, &box, secret);
    write_u64(out, box.nonce);
    write_bytes(out, sealed, secret.length + SEAL_TAG_BYTES);
    return ERR_NONE;
}

enum err link_unwrap(const struct link *link,
                     struct bytes wrapped,
                     uint8_t *out,
                     size_t out_bytes)
{
    uint8_t sealed[LINK_SECRET_BYTES_MAX + SEAL_TAG_BYTES];
    struct reader in = reader_of(wrapped);
    uint64_t nonce = read_u64(&in);
    assert(out_bytes <= LINK_SECRET_BYTES_MAX);
    if (in.failed || nonce == UINT64_MAX || !link->session ||
        reader_left(&in) != out_bytes + SEAL_TAG_BYTES) {
        return ERR_FORGED;
    }
    read_into(&in, sealed, out_bytes + SEAL_TAG_BYTES);
    struct seal_box box = {.key = &link->keys->wrap_receive, .nonce = nonce};
    enum err err = seal_open(sealed, out_bytes + SEAL_TAG_BYTES, &box);
    if (!err) {
        memcpy(out, sealed, out_bytes);
    }
    sodium_memzero(sealed, sizeof sealed);
    return err;
}

bool link_session_opens(const struct link_session *session, struct bytes frame)
{
    uint8_t copy[FRAME_OVERHEAD_BYTES + SIGNAL_BYTES_MAX];
    struct frame_header header = {0};
    if (frame.length > sizeof copy || frame_header_decode(&header, frame) ||
        header.session != (uint32_t)session->id || header.lane != LANE_SIGNAL ||
        header.generation > RENEWALS_MISSED_MAX) {
        return false;
    }
    memcpy(copy, frame.data, frame.length);
    struct seal_key key = derive_lane_key(session->receive_root, LANE_SIGNAL);
    for (uint16_t i = 0; i < header.generation; i++) {
        seal_key_renew(&key, &key);
    }
    struct seal_box box = {.key = &key,
                           .nonce = header.sequence,
                           .header = bytes_of(copy, FRAME_HEADER_BYTES)};
    enum err err = seal_open(copy + FRAME_HEADER_BYTES,
                             frame.length - FRAME_HEADER_BYTES, &box);
    sodium_memzero(&key, sizeof key);
    sodium_memzero(copy, sizeof copy);
    return !err;
}
