#include "tests/support/check.h"

#include <stdlib.h>

#include "base/scope.h"
#include "base/time_units.h"
#include "config/identity.h"
#include "tests/support/seeded.h"
#include "transport/link.h"

#define PACKET_COUNT_MAX 4096
#define SIGNAL_PING 1
#define SIGNAL_REPEAT 3

static const struct link_limits small_limits = {
    .frame_bytes = 2048,
    .message_bytes_max = 60000,
    .window_bytes = 256 << 10,
    .inflight_bytes_max = 32 << 10,
    .rekey_bytes = 1 << 30,
    .rekey_ms = 3600 * 1000,
    .heartbeat_ms = 500,
    .ack_delay_ms = 5,
};

/* More than the window may be held by so much: parts of one message. */
#define HELD_SLACK_BYTES (60000 + 4 * 2048 + 4096)

/* One side: its link, what it has sent, and what has come out. */
struct end {
    struct link *link;
    struct packet *wire[PACKET_COUNT_MAX]; /* a ring: to the other side */
    uint32_t wire_first;
    uint32_t wire_count;
    bool is_slow;        /* transmit() says false each time */
    bool has_no_memory;  /* packet_make() gives nothing */
    bool is_sent_due;    /* link_on_sent() is to be called */
    bool is_lossy_order; /* check only that numbers rise */
    uint32_t sent[LANE_COUNT];
    uint32_t received[LANE_COUNT];
    uint32_t received_count;
    uint32_t undelivered_count;
    uint32_t undelivered_next[LANE_COUNT];
    uint32_t maybe_arrived_count;
    uint32_t writable_count;
    bool puts_back; /* what is undelivered is sent again */
    size_t most_held_bytes;
};

struct fixture {
    struct end ends[2];
    uint64_t now_ns;
    uint64_t session_id;
    struct link_session sessions[2];
};

static void free_packet(struct packet *packet)
{
    free(packet);
}

static struct packet *make_packet(void *context, size_t length)
{
    struct end *end = context;
    if (end->has_no_memory) {
        return NULL;
    }
    struct packet *packet = malloc(sizeof *packet + length);
    assert_non_null(packet);
    *packet = (struct packet){
        .data = (uint8_t *)(packet + 1), .length = length, .free = free_packet};
    return packet;
}

static struct packet *copy_packet(const struct packet *packet)
{
    struct end end = {.link = NULL};
    struct packet *copy = make_packet(&end, packet->length);
    memcpy(copy->data, packet->data, packet->length);
    return copy;
}

static bool transmit(void *context, struct packet *packet)
{
    struct end *end = context;
    assert_true(!end->is_sent_due);
    assert_true(end->wire_count < PACKET_COUNT_MAX);
    uint32_t at = (end->wire_first + end->wire_count++) % PACKET_COUNT_MAX;
    end->wire[at] = packet;
    end->is_sent_due = end->is_slow;
    return !end->is_slow;
}

/* Message `number`: the number and then bytes that it decides. */
static size_t message_of(uint8_t *out, uint32_t number, size_t length)
{
    length = length < 4 ? 4 : length;
    put_u32(out, number);
    for (size_t i = 4; i < length; i++) {
        out[i] = (uint8_t)(number + i);
    }
    return length;
}

static uint32_t number_of(struct bytes message)
{
    assert_true(message.length >= 4);
    uint32_t number = get_u32(message.data);
    for (size_t i = 4; i < message.length; i++) {
        assert_true(message.data[i] == (uint8_t)(number + i));
    }
    return number;
}

static void deliver(void *context, uint8_t channel, struct bytes message)
{
    struct end *end = context;
    uint32_t number = number_of(message);
    assert_true(channel > LANE_SIGNAL && channel < LANE_COUNT);
    if (channel == LANE_FLEETING || end->is_lossy_order) {
        assert_true(number >= end->received[channel]);
    } else {
        assert_int_equal(number, end->received[channel]);
    }
    end->received[channel] = number + 1;
    end->received_count++;
}

static enum err send_sized(struct end *end, enum lane lane, size_t length)
{
    static uint8_t raw[1 << 17];
    length = message_of(raw, end->sent[lane], length);
    enum err err =
        link_send(end->link, lane, (uint8_t)lane, bytes_of(raw, length));
    end->sent[lane] += err == ERR_NONE;
    size_t held = link_held_bytes(end->link);
    if (held > end->most_held_bytes) {
        end->most_held_bytes = held;
    }
    return err;
}

static void undelivered(void *context,
                        uint8_t channel,
                        struct bytes message,
                        bool may_have_arrived)
{
    struct end *end = context;
    uint32_t number = number_of(message);
    assert_true(number >= end->undelivered_next[channel]);
    end->undelivered_next[channel] = number + 1;
    end->undelivered_count++;
    end->maybe_arrived_count += may_have_arrived;
    if (end->puts_back) {
        CHECK_OK(link_send(end->link, (enum lane)channel, channel, message));
    }
}

static void writable(void *context)
{
    struct end *end = context;
    end->writable_count++;
}

static void end_open(struct end *end, const struct link_limits *limits)
{
    *end = (struct end){.link = NULL};
    struct link_port port = {.context = end,
                             .packet_make = make_packet,
                             .transmit = transmit,
                             .deliver = deliver,
                             .undelivered = undelivered,
                             .writable = writable};
    CHECK_OK(link_open(&end->link, limits, &port));
}

/* The packet that was sent first; the caller closes it. NULL: none. */
static struct packet *take_packet(struct end *end)
{
    if (end->wire_count == 0) {
        return NULL;
    }
    struct packet *packet = end->wire[end->wire_first];
    end->wire_first = (end->wire_first + 1) % PACKET_COUNT_MAX;
    end->wire_count--;
    return packet;
}

static void lose_packets(struct end *end)
{
    for (struct packet *packet = take_packet(end); packet;
         packet = take_packet(end)) {
        packet_close(&packet);
    }
}

static void begin_session(struct fixture *fixture)
{
    uint8_t root = (uint8_t)++fixture->session_id;
    for (int i = 0; i < 2; i++) {
        struct link_session *session = &fixture->sessions[i];
        *session = (struct link_session){.id = UINT64_C(0x1234567800000000) +
                                               fixture->session_id,
                                         .version = 1};
        memset(session->send_root, root + 100 * i, SEAL_KEY_BYTES);
        memset(session->receive_root, root + 100 * (1 - i), SEAL_KEY_BYTES);
        CHECK_OK(link_begin(fixture->ends[i].link, session, fixture->now_ns));
        CHECK(link_session_id(fixture->ends[i].link) == session->id);
    }
}

static void connect(struct fixture *fixture)
{
    for (int i = 0; i < 2; i++) {
        link_on_up(fixture->ends[i].link, fixture->now_ns);
    }
}

/* What is under way is lost. */
static void disconnect(struct fixture *fixture)
{
    for (int i = 0; i < 2; i++) {
        lose_packets(&fixture->ends[i]);
        fixture->ends[i].is_sent_due = false;
        link_on_down(fixture->ends[i].link);
    }
}

static void open_with(struct fixture *fixture, const struct link_limits *limits)
{
    *fixture = (struct fixture){.now_ns = 1000 * NS_PER_MS};
    end_open(&fixture->ends[0], limits);
    end_open(&fixture->ends[1], limits);
    begin_session(fixture);
}

static void close_both(struct fixture *fixture)
{
    for (int i = 0; i < 2; i++) {
        lose_packets(&fixture->ends[i]);
        link_close(&fixture->ends[i].link);
        CHECK(!fixture->ends[i].link);
    }
}

static struct fixture fixture_made;

static int set_up(void **state)
{
    open_with(&fixture_made, &small_limits);
    *state = &fixture_made;
    return 0;
}

static int tear_down(void **state)
{
    close_both(*state);
    return 0;
}

/* Give one packet of `from` to the other side. */
static enum err pass_one(struct fixture *fixture, int from)
{
    scoped(packet_close) struct packet *packet =
        take_packet(&fixture->ends[from]);
    if (!packet) {
        return ERR_NONE;
    }
    return link_on_packet(fixture->ends[1 - from].link, &packet,
                          fixture->now_ns);
}

static void flush(struct fixture *fixture, int i)
{
    struct end *end = &fixture->ends[i];
    if (end->is_sent_due) {
        end->is_sent_due = false;
        link_on_sent(end->link, fixture->now_ns);
    }
    if (!end->is_sent_due) {
        link_flush(end->link, fixture->now_ns);
    }
}

/* Until neither side has anything more to say at this moment. */
static void pump(struct fixture *fixture)
{
    bool is_busy = true;
    while (is_busy) {
        is_busy = false;
        for (int i = 0; i < 2; i++) {
            flush(fixture, i);
            while (fixture->ends[i].wire_count > 0) {
                CHECK_OK(pass_one(fixture, i));
                is_busy = true;
            }
        }
    }
}

/* Time goes by, with all that is due in it. */
static void pass_ms(struct fixture *fixture, uint64_t ms)
{
    uint64_t end_ns = fixture->now_ns + ms * NS_PER_MS;
    while (fixture->now_ns < end_ns) {
        uint64_t next_ns = end_ns;
        for (int i = 0; i < 2; i++) {
            uint64_t due_ns = link_next_ns(fixture->ends[i].link);
            next_ns = due_ns < next_ns ? due_ns : next_ns;
        }
        fixture->now_ns =
            next_ns > fixture->now_ns ? next_ns : fixture->now_ns + 1;
        for (int i = 0; i < 2; i++) {
            if (link_next_ns(fixture->ends[i].link) <= fixture->now_ns) {
                link_on_time(fixture->ends[i].link, fixture->now_ns);
            }
        }
        pump(fixture);
    }
}

static void bring_up(struct fixture *fixture)
{
    connect(fixture);
    pump(fixture);
    CHECK(link_is_proven(fixture->ends[0].link));
    CHECK(link_is_proven(fixture->ends[1].link));
}

static const struct link_stats *stats_of(struct fixture *fixture, int i)
{
    return link_stats(fixture->ends[i].link);
}

/* ---- the ordinary course ---- */

static void delivers_every_lane_in_order_both_ways(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    for (uint32_t i = 0; i < 200; i++) {
        for (enum lane lane = LANE_CONTROL; lane < LANE_COUNT; lane++) {
            CHECK_OK(send_sized(&fixture->ends[0], lane, i));
            CHECK_OK(send_sized(&fixture->ends[1], lane, 200 - i));
        }
        pump(fixture);
    }
    for (int i = 0; i < 2; i++) {
        for (enum lane lane = LANE_CONTROL; lane < LANE_COUNT; lane++) {
            CHECK(fixture->ends[i].received[lane] == 200);
        }
        const struct link_stats *stats = stats_of(fixture, i);
        CHECK(stats->messages_out == 600 && stats->messages_in == 600);
        CHECK(stats->bytes_in == stats_of(fixture, 1 - i)->bytes_out);
        CHECK(stats->frames_refused == 0 && stats->frames_gap == 0 &&
              stats->frames_duplicate == 0 && stats->frames_repeated == 0);
        CHECK(stats->connection_count == 1 && stats->session_count == 1);
    }
}

static void gathers_messages_into_few_frames(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    uint64_t before = stats_of(fixture, 0)->frames_out;
    for (uint32_t i = 0; i < 18; i++) {
        CHECK_OK(send_sized(&fixture->ends[0], LANE_DATA, 20));
    }
    pump(fixture);
    CHECK(fixture->ends[1].received_count == 18);
    CHECK(stats_of(fixture, 0)->frames_out == before + 1);
}

static void waits_with_messages_until_the_peer_was_heard(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(send_sized(&fixture->ends[0], LANE_DATA, 100));
    CHECK_OK(send_sized(&fixture->ends[0], LANE_CONTROL, 100));
    link_on_up(fixture->ends[0].link, fixture->now_ns);
    link_flush(fixture->ends[0].link, fixture->now_ns);
    CHECK(fixture->ends[0].wire_count == 1); /* hello, and no more */
    CHECK(fixture->ends[0].wire[0]->data[1] == LANE_SIGNAL);
    CHECK(!link_is_proven(fixture->ends[0].link));
    link_on_up(fixture->ends[1].link, fixture->now_ns);
    pump(fixture);
    CHECK(fixture->ends[1].received_count == 2);
}

static void delivers_what_was_sent_before_the_first_session(void **state)
{
    (void)state;
    static struct fixture fixture;
    fixture = (struct fixture){.now_ns = NS_PER_MS};
    end_open(&fixture.ends[0], &small_limits);
    end_open(&fixture.ends[1], &small_limits);
    CHECK(link_session_id(fixture.ends[0].link) == 0);
    for (uint32_t i = 0; i < 30; i++) {
        CHECK_OK(send_sized(&fixture.ends[0], LANE_DATA, 1000));
    }
    CHECK_ERR(send_sized(&fixture.ends[0], LANE_FLEETING, 10), ERR_UNREACHABLE);
    begin_session(&fixture);
    bring_up(&fixture);
    CHECK(fixture.ends[1].received[LANE_DATA] == 30);
    CHECK(fixture.ends[0].undelivered_count == 0);
    CHECK(stats_of(&fixture, 0)->fleeting_dropped == 1);
    close_both(&fixture);
}

static void an_acknowledged_message_holds_no_memory(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    CHECK_OK(send_sized(&fixture->ends[0], LANE_DATA, 50000));
    CHECK_OK(send_sized(&fixture->ends[0], LANE_CONTROL, 500));
    CHECK(link_held_bytes(fixture->ends[0].link) > 50000);
    pump(fixture);
    CHECK(fixture->ends[1].received_count == 2);
    pass_ms(fixture, small_limits.ack_delay_ms + 1);
    CHECK(link_held_bytes(fixture->ends[0].link) == 0);
    CHECK(link_held_bytes(fixture->ends[1].link) == 0);
}

static void control_overtakes_data(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    struct end *end = &fixture->ends[0];
    end->is_slow = true;
    for (uint32_t i = 0; i < 10; i++) {
        CHECK_OK(send_sized(end, LANE_DATA, 1900));
    }
    link_flush(end->link, fixture->now_ns);
    CHECK(end->wire_count == 1); /* the first is under way */
    CHECK_OK(send_sized(end, LANE_CONTROL, 10));
    flush(fixture, 0);
    CHECK(end->wire_count == 2);
    CHECK(end->wire[(end->wire_first + 1) % PACKET_COUNT_MAX]->data[1] ==
          LANE_CONTROL);
    pump(fixture);
    CHECK(fixture->ends[1].received[LANE_DATA] == 10);
    CHECK(fixture->ends[1].received[LANE_CONTROL] == 1);
}

static void refuses_messages_that_are_too_large(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    struct end *end = &fixture->ends[0];
    CHECK_ERR(send_sized(end, LANE_DATA, 60001), ERR_TOO_LARGE);
    CHECK_OK(send_sized(end, LANE_DATA, 60000));
    /* Half of an eighth of the window. */
    CHECK_ERR(send_sized(end, LANE_CONTROL, (256 << 10) / 16 + 1),
              ERR_TOO_LARGE);
    CHECK_OK(send_sized(end, LANE_CONTROL, (256 << 10) / 16));
    CHECK_ERR(send_sized(end, LANE_FLEETING, (256 << 10) / 8 + 1),
              ERR_TOO_LARGE);
    CHECK_OK(send_sized(end, LANE_FLEETING, (256 << 10) / 8));
    pump(fixture);
    CHECK(fixture->ends[1].received_count == 3);
}

static void goes_on_when_packets_can_be_made_again(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    struct end *end = &fixture->ends[0];
    end->has_no_memory = true;
    CHECK_OK(send_sized(end, LANE_DATA, 5000));
    CHECK_OK(send_sized(end, LANE_CONTROL, 50));
    pass_ms(fixture, 600); /* a heartbeat among it */
    CHECK(fixture->ends[1].received_count == 0);
    end->has_no_memory = false;
    pump(fixture);
    CHECK(fixture->ends[1].received_count == 2);
}

/* ---- heartbeats ---- */

static void says_something_at_every_heartbeat(void **state)
{
    struct fixture *fixture = *state;
    CHECK(link_next_ns(fixture->ends[0].link) == UINT64_MAX); /* down */
    bring_up(fixture);
    uint64_t heard_ns = link_heard_ns(fixture->ends[1].link);
    CHECK(heard_ns == fixture->now_ns);
    for (int i = 0; i < 5; i++) {
        uint64_t before = stats_of(fixture, 1)->frames_in;
        CHECK(link_next_ns(fixture->ends[0].link) <=
              fixture->now_ns + small_limits.heartbeat_ms * NS_PER_MS);
        pass_ms(fixture, small_limits.heartbeat_ms);
        CHECK(stats_of(fixture, 1)->frames_in > before);
        CHECK(link_heard_ns(fixture->ends[1].link) == fixture->now_ns);
    }
    link_on_down(fixture->ends[0].link);
    CHECK(link_next_ns(fixture->ends[0].link) == UINT64_MAX);
}

static void measures_the_round_trip(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    fixture->now_ns += 500 * NS_PER_MS;
    link_on_time(fixture->ends[0].link, fixture->now_ns);
    CHECK(fixture->ends[0].wire_count == 1);
    fixture->now_ns += 3 * NS_PER_MS;
    CHECK_OK(pass_one(fixture, 0));
    flush(fixture, 1);
    fixture->now_ns += 4 * NS_PER_MS;
    CHECK_OK(pass_one(fixture, 1));
    CHECK(stats_of(fixture, 0)->round_trip_ns == 7 * NS_PER_MS);
}

/* ---- windows ---- */

static void says_full_and_calls_back_once_there_is_room(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    struct end *end = &fixture->ends[0];
    enum err err = ERR_NONE;
    while (!err) {
        err = send_sized(end, LANE_DATA, 1000);
        assert_true(end->sent[LANE_DATA] < 1000);
    }
    CHECK_ERR(err, ERR_FULL);
    CHECK_ERR(send_sized(end, LANE_DATA, 2000), ERR_FULL);
    CHECK(stats_of(fixture, 0)->full_count == 2);
    CHECK(end->writable_count == 0);
    pump(fixture);
    pass_ms(fixture, 10);
    CHECK(end->writable_count == 1);
    CHECK_OK(send_sized(end, LANE_DATA, 1000));
    pump(fixture);
    CHECK(fixture->ends[1].received[LANE_DATA] == end->sent[LANE_DATA]);
    pass_ms(fixture, 1000);
    CHECK(end->writable_count == 1);
}

static void calls_back_when_another_lane_was_full(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    struct end *end = &fixture->ends[0];
    while (!send_sized(end, LANE_CONTROL, 1000)) {
    }
    CHECK(stats_of(fixture, 0)->full_count == 1);
    pump(fixture);
    pass_ms(fixture, 10);
    CHECK(end->writable_count == 1);
    CHECK_OK(send_sized(end, LANE_CONTROL, 1000));
}

static void a_peer_that_stops_reading_costs_no_more_than_the_window(
    void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    struct end *end = &fixture->ends[0];
    for (int round = 0; round < 40; round++) {
        for (enum lane lane = LANE_CONTROL; lane < LANE_COUNT; lane++) {
            for (int i = 0; i < 40; i++) {
                enum err err =
                    send_sized(end, lane, (size_t)(i * 331 + round) % 16000);
                CHECK(err == ERR_NONE || err == ERR_FULL);
            }
        }
        /* What it sends goes nowhere, and yet it is told that it went. */
        end->is_slow = true;
        link_on_time(end->link, fixture->now_ns += 100 * NS_PER_MS);
    }
    CHECK(end->most_held_bytes <= small_limits.window_bytes + HELD_SLACK_BYTES);
    CHECK(end->most_held_bytes >= small_limits.window_bytes / 2);
    CHECK(stats_of(fixture, 0)->full_count > 1000);
}

static void a_paused_side_takes_in_no_more_than_is_in_flight(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    struct end *end = &fixture->ends[0];
    link_pause(fixture->ends[1].link);
    size_t most = 0;
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 20; i++) {
            enum err err =
                send_sized(end, LANE_DATA, (size_t)(i * 997) % 20000);
            CHECK(err == ERR_NONE || err == ERR_FULL);
        }
        CHECK_OK(send_sized(end, LANE_CONTROL, 10));
        pass_ms(fixture, 20);
        size_t held = link_held_bytes(fixture->ends[1].link);
        most = held > most ? held : most;
    }
    CHECK(fixture->ends[1].received[LANE_DATA] == 0);
    CHECK(fixture->ends[1].received[LANE_CONTROL] == 100);
    CHECK(most > 0 && most <= 2 * small_limits.inflight_bytes_max);
    CHECK(end->most_held_bytes <= small_limits.window_bytes + HELD_SLACK_BYTES);
    CHECK_ERR(send_sized(end, LANE_DATA, 20000), ERR_FULL);
    CHECK_OK(link_resume(fixture->ends[1].link, fixture->now_ns));
    pump(fixture);
    pass_ms(fixture, 10);
    CHECK(fixture->ends[1].received[LANE_DATA] == end->sent[LANE_DATA]);
    CHECK(end->writable_count == 1);
    CHECK(link_held_bytes(fixture->ends[1].link) == 0);
}

static void what_is_held_while_paused_comes_again_after_a_break(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    for (int i = 0; i < 20; i++) {
        CHECK_OK(send_sized(&fixture->ends[0], LANE_DATA, 1500));
    }
    link_pause(fixture->ends[1].link);
    pump(fixture);
    CHECK(link_held_bytes(fixture->ends[1].link) > 0);
    disconnect(fixture);
    CHECK(link_held_bytes(fixture->ends[1].link) == 0);
    bring_up(fixture);
    CHECK(fixture->ends[1].received_count == 0);
    CHECK_OK(link_resume(fixture->ends[1].link, fixture->now_ns));
    pump(fixture);
    CHECK(fixture->ends[1].received[LANE_DATA] == 20);
}

/* ---- keys ---- */

static void renews_keys_by_bytes_without_losing_anything(void **state)
{
    (void)state;
    static struct fixture fixture;
    struct link_limits limits = small_limits;
    limits.rekey_bytes = 5000;
    open_with(&fixture, &limits);
    bring_up(&fixture);
    for (int i = 0; i < 500; i++) {
        enum lane lane = (enum lane)(LANE_CONTROL + i % 3);
        CHECK_OK(send_sized(&fixture.ends[0], lane, 900));
        CHECK_OK(send_sized(&fixture.ends[1], lane, 30));
        pump(&fixture);
        pass_ms(&fixture, 50);
        if (i % 50 == 49) {
            disconnect(&fixture);
            bring_up(&fixture);
        }
    }
    pass_ms(&fixture, 20);
    for (enum lane lane = LANE_CONTROL; lane < LANE_COUNT; lane++) {
        CHECK(fixture.ends[1].received[lane] == fixture.ends[0].sent[lane]);
        CHECK(fixture.ends[0].received[lane] == fixture.ends[1].sent[lane]);
    }
    CHECK(stats_of(&fixture, 0)->rekey_count >= 30);
    CHECK(stats_of(&fixture, 1)->frames_refused == 0);
    close_both(&fixture);
}

static void renews_keys_by_time_but_not_when_idle(void **state)
{
    (void)state;
    static struct fixture fixture;
    struct link_limits limits = small_limits;
    limits.rekey_ms = 2000;
    open_with(&fixture, &limits);
    bring_up(&fixture);
    for (int i = 0; i < 20; i++) {
        CHECK_OK(send_sized(&fixture.ends[0], LANE_DATA, 100));
        pass_ms(&fixture, 1000);
    }
    CHECK(fixture.ends[1].received[LANE_DATA] == 20);
    uint64_t renewed = stats_of(&fixture, 0)->rekey_count;
    CHECK(renewed >= 12 && renewed <= 22); /* data and signals */
    CHECK(stats_of(&fixture, 1)->frames_refused == 0);
    close_both(&fixture);
}

static void a_frame_of_yesterdays_key_is_sent_again_as_it_was(void **state)
{
    (void)state;
    static struct fixture fixture;
    struct link_limits limits = small_limits;
    limits.rekey_bytes = 3000;
    open_with(&fixture, &limits);
    bring_up(&fixture);
    /* Data goes out and is lost; control renews by itself meanwhile. */
    for (int i = 0; i < 6; i++) {
        CHECK_OK(send_sized(&fixture.ends[0], LANE_DATA, 1500));
    }
    link_flush(fixture.ends[0].link, fixture.now_ns);
    struct packet *first = take_packet(&fixture.ends[0]);
    CHECK(first && first->data[1] == LANE_DATA);
    disconnect(&fixture);
    /* Time passes, and with it the renewal that was due. */
    fixture.now_ns += 1000 * NS_PER_MS;
    link_on_time(fixture.ends[0].link, fixture.now_ns);
    CHECK_OK(send_sized(&fixture.ends[0], LANE_DATA, 1500));
    connect(&fixture);
    struct packet *again = NULL;
    for (int i = 0; i < 20 && !again; i++) {
        for (int side = 0; side < 2; side++) {
            struct packet *packet = take_packet(&fixture.ends[side]);
            if (side == 0 && packet && packet->data[1] == LANE_DATA) {
                again = copy_packet(packet);
            }
            if (packet) {
                CHECK_OK(link_on_packet(fixture.ends[1 - side].link, &packet,
                                        fixture.now_ns));
            }
            flush(&fixture, side);
        }
    }
    CHECK(again && again->length == first->length);
    assert_memory_equal(again->data, first->data, first->length);
    packet_close(&first);
    packet_close(&again);
    pump(&fixture);
    pass_ms(&fixture, 100);
    CHECK(fixture.ends[1].received[LANE_DATA] == 7);
    CHECK(stats_of(&fixture, 0)->rekey_count > 0);
    close_both(&fixture);
}

static void two_links_never_share_a_key_with_their_peer(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    CHECK_OK(send_sized(&fixture->ends[0], LANE_DATA, 50));
    CHECK_OK(send_sized(&fixture->ends[1], LANE_DATA, 50));
    link_flush(fixture->ends[0].link, fixture->now_ns);
    link_flush(fixture->ends[1].link, fixture->now_ns);
    struct packet *left = take_packet(&fixture->ends[0]);
    struct packet *right = take_packet(&fixture->ends[1]);
    CHECK(left && right && left->length == right->length);
    assert_memory_equal(left->data, right->data, FRAME_HEADER_BYTES);
    assert_memory_not_equal(left->data + FRAME_HEADER_BYTES,
                            right->data + FRAME_HEADER_BYTES,
                            left->length - FRAME_HEADER_BYTES);
    packet_close(&right);
    /* And a frame that is thrown back at its sender does not open. */
    CHECK_ERR(link_on_packet(fixture->ends[0].link, &left, fixture->now_ns),
              ERR_FORGED);
    CHECK(fixture->ends[0].received_count == 0);
}

/* ---- frames that are not what they should be ---- */

/* A data frame of side 0 with one message in it, not yet passed. */
static struct packet *capture(struct fixture *fixture)
{
    CHECK_OK(send_sized(&fixture->ends[0], LANE_DATA, 30));
    link_flush(fixture->ends[0].link, fixture->now_ns);
    struct packet *packet = take_packet(&fixture->ends[0]);
    CHECK(packet && packet->data[1] == LANE_DATA);
    CHECK(fixture->ends[0].wire_count == 0);
    return packet;
}

static enum err give(struct fixture *fixture, const struct packet *packet)
{
    struct packet *copy = copy_packet(packet);
    enum err err =
        link_on_packet(fixture->ends[1].link, &copy, fixture->now_ns);
    CHECK(!copy);
    return err;
}

static uint64_t rejected_count(struct fixture *fixture)
{
    const struct link_stats *stats = stats_of(fixture, 1);
    return stats->frames_refused + stats->frames_duplicate + stats->frames_gap;
}

static void delivers_nothing_of_a_frame_with_a_flipped_bit(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    struct packet *packet = capture(fixture);
    for (size_t bit = 0; bit < 8 * packet->length; bit++) {
        uint64_t before = rejected_count(fixture);
        packet->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum err err = give(fixture, packet);
        if (bit >= 8 * FRAME_HEADER_BYTES) {
            CHECK_ERR(err, ERR_FORGED);
        } else {
            /* Version and session: somebody else's. Lane: none, or forged.
             * Sequence: one that is not its turn. */
            CHECK(err == ERR_NONE || err == ERR_FORGED || err == ERR_MALFORMED);
        }
        CHECK(rejected_count(fixture) == before + 1);
        CHECK(fixture->ends[1].received_count == 0);
        packet->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CHECK_OK(give(fixture, packet)); /* nothing was changed by all that */
    CHECK(fixture->ends[1].received_count == 1);
    packet_close(&packet);
}

static void refuses_frames_that_are_cut_or_longer(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    struct packet *packet = capture(fixture);
    size_t whole = packet->length;
    for (size_t length = 0; length < whole; length++) {
        packet->length = length;
        enum err expected =
            length < FRAME_OVERHEAD_BYTES ? ERR_MALFORMED : ERR_FORGED;
        CHECK_ERR(give(fixture, packet), expected);
    }
    CHECK(stats_of(fixture, 1)->frames_refused == whole);
    packet->length = whole;
    struct packet *longer = make_packet(&fixture->ends[0], whole + 1);
    memcpy(longer->data, packet->data, whole);
    longer->data[whole] = 0;
    CHECK_ERR(give(fixture, longer), ERR_FORGED);
    packet_close(&longer);
    CHECK_OK(give(fixture, packet));
    CHECK(fixture->ends[1].received_count == 1);
    packet_close(&packet);
}

static void drops_a_frame_that_comes_again(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    struct packet *packet = capture(fixture);
    CHECK_OK(give(fixture, packet));
    for (int i = 0; i < 5; i++) {
        CHECK_OK(give(fixture, packet));
    }
    CHECK(fixture->ends[1].received_count == 1);
    CHECK(stats_of(fixture, 1)->frames_duplicate == 5);
    disconnect(fixture);
    bring_up(fixture);
    CHECK_OK(give(fixture, packet)); /* on another connection, too */
    CHECK(fixture->ends[1].received_count == 1);
    packet_close(&packet);
}

static void drops_what_is_ahead_of_its_turn_and_asks_again(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    struct packet *first = capture(fixture);
    struct packet *second = capture(fixture);
    CHECK_OK(give(fixture, second));
    CHECK(stats_of(fixture, 1)->frames_gap == 1);
    CHECK(fixture->ends[1].received_count == 0);
    packet_close(&first);
    packet_close(&second);
    pump(fixture); /* asks, and is sent both again */
    CHECK(fixture->ends[1].received[LANE_DATA] == 2);
    CHECK(stats_of(fixture, 0)->frames_repeated == 2);
}

static void asks_for_a_repeat_seldom(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    struct packet *first = capture(fixture);
    packet_close(&first);
    uint64_t before = stats_of(fixture, 1)->frames_out;
    for (int i = 0; i < 50; i++) {
        struct packet *later = capture(fixture);
        CHECK_OK(give(fixture, later));
        packet_close(&later);
        link_flush(fixture->ends[1].link, fixture->now_ns);
    }
    CHECK(stats_of(fixture, 1)->frames_gap == 50);
    CHECK(stats_of(fixture, 1)->frames_out == before + 1);
    pump(fixture);
    CHECK(fixture->ends[1].received[LANE_DATA] == 51);
}

static void drops_a_frame_of_another_session(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    struct packet *old = capture(fixture);
    fixture->ends[0].puts_back = true;
    begin_session(fixture);
    bring_up(fixture);
    pass_ms(fixture, 10);
    fixture->ends[0].puts_back = false;
    CHECK(fixture->ends[1].received_count == 1);
    uint64_t before = stats_of(fixture, 1)->frames_refused;
    CHECK_OK(give(fixture, old)); /* one may be left over */
    CHECK(stats_of(fixture, 1)->frames_refused == before + 1);
    /* With the new session's number on it, it is a forgery. */
    put_u32(old->data + 4, (uint32_t)fixture->sessions[0].id);
    put_u64(old->data + 8, 2);
    CHECK_ERR(give(fixture, old), ERR_FORGED);
    CHECK(fixture->ends[1].received_count == 1);
    packet_close(&old);
}

static void drops_a_frame_of_another_version(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    struct packet *packet = capture(fixture);
    packet->data[0] = 2;
    CHECK_OK(give(fixture, packet));
    CHECK(stats_of(fixture, 1)->frames_refused == 1);
    CHECK(fixture->ends[1].received_count == 0);
    packet_close(&packet);
}

static void drops_everything_without_a_session(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    struct packet *packet = capture(fixture);
    link_end(fixture->ends[1].link);
    CHECK(link_session_id(fixture->ends[1].link) == 0);
    CHECK_OK(give(fixture, packet));
    CHECK(stats_of(fixture, 1)->frames_refused == 1);
    CHECK(fixture->ends[1].received_count == 0);
    packet_close(&packet);
}

/* ---- frames of a peer that has the keys and breaks the protocol ---- */

struct crafted {
    enum lane lane;
    uint64_t sequence;
    uint16_t generation;
    struct frame_acks acks;
    struct bytes content;
};

/* Seal as side 0 would; the key is derived as link.c says. */
static struct packet *craft(struct fixture *fixture,
                            const struct crafted *crafted)
{
    size_t plain_length = FRAME_ACKS_BYTES + crafted->content.length;
    struct packet *packet = make_packet(
        &fixture->ends[0], FRAME_HEADER_BYTES + plain_length + FRAME_TAG_BYTES);
    struct frame_header header = {.version = 1,
                                  .lane = crafted->lane,
                                  .generation = crafted->generation,
                                  .session = (uint32_t)fixture->sessions[0].id,
                                  .sequence = crafted->sequence};
    frame_header_encode(packet->data, &header);
    uint8_t plain[512];
    assert_true(plain_length <= sizeof plain);
    frame_acks_encode(plain, &crafted->acks);
    if (crafted->content.length > 0) {
        memcpy(plain + FRAME_ACKS_BYTES, crafted->content.data,
               crafted->content.length);
    }
    char label[] = "troupe lane 0";
    label[sizeof label - 2] = (char)('0' + (int)crafted->lane);
    struct seal_key key;
    seal_key_derive(&key, fixture->sessions[0].send_root, bytes_of_text(label));
    for (uint16_t i = 0; i < crafted->generation; i++) {
        seal_key_renew(&key, &key);
    }
    struct seal_box box = {.key = &key,
                           .nonce = crafted->sequence,
                           .header =
                               bytes_of(packet->data, FRAME_HEADER_BYTES)};
    seal_close(packet->data + FRAME_HEADER_BYTES, &box,
               bytes_of(plain, plain_length));
    return packet;
}

static enum err give_crafted(struct fixture *fixture,
                             const struct crafted *crafted)
{
    struct packet *packet = craft(fixture, crafted);
    return link_on_packet(fixture->ends[1].link, &packet, fixture->now_ns);
}

static void takes_a_frame_made_by_the_written_format(void **state)
{
    struct fixture *fixture = *state;
    connect(fixture);
    uint8_t item[8];
    item_header_encode(item, &(struct item){.channel = LANE_DATA,
                                            .begins = true,
                                            .ends = true,
                                            .content = bytes_of(NULL, 4)});
    put_u32(item + 4, 0);
    struct crafted crafted = {.lane = LANE_DATA,
                              .sequence = 1,
                              .content = bytes_of(item, sizeof item)};
    CHECK_OK(give_crafted(fixture, &crafted));
    CHECK(fixture->ends[1].received[LANE_DATA] == 1);
    /* The key may have been renewed meanwhile, more than once. */
    put_u32(item + 4, 1);
    crafted.sequence = 2;
    crafted.generation = 5;
    CHECK_OK(give_crafted(fixture, &crafted));
    CHECK(fixture->ends[1].received[LANE_DATA] == 2);
    /* But never back, nor so far that it costs much. */
    crafted.sequence = 3;
    crafted.generation = 4;
    CHECK_ERR(give_crafted(fixture, &crafted), ERR_FORGED);
    crafted.generation = 5 + 17;
    CHECK_ERR(give_crafted(fixture, &crafted), ERR_FORGED);
    CHECK(fixture->ends[1].received[LANE_DATA] == 2);
}

static void ends_the_session_at_an_ack_of_what_was_not_sent(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    for (enum lane lane = LANE_SIGNAL; lane < LANE_COUNT; lane++) {
        struct crafted crafted = {
            .lane = lane, .sequence = 50, .acks = {.control = 1}};
        if (lane == LANE_CONTROL || lane == LANE_DATA) {
            crafted.sequence = 1;
        }
        CHECK_ERR(give_crafted(fixture, &crafted), ERR_CLOSED);
        crafted.sequence += crafted.sequence > 1;
        crafted.acks = (struct frame_acks){.data = UINT64_MAX};
        CHECK_ERR(give_crafted(fixture, &crafted), ERR_CLOSED);
    }
}

static void ends_the_session_at_items_that_make_no_sense(void **state)
{
    struct fixture *fixture = *state;
    static const uint8_t items[][8] = {
        {5, 0, 0, 0xc1, 1, 2, 3, 4}, /* longer than the frame */
        {0, 0, 0},                   /* half a header */
        {4, 0, 0, 0x81, 1, 2, 3, 4}, /* ends what has not begun */
        {4, 0, 0, 0x01, 1, 2, 3, 4}, /* a part of nothing */
        {4, 0, 0, 0x41, 9, 0, 1, 0}, /* announces too much */
        {4, 0, 0, 0x41, 0, 0, 0, 0}, /* announces nothing */
    };
    static const size_t lengths[] = {8, 3, 8, 8, 8, 8};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        begin_session(fixture);
        bring_up(fixture);
        struct crafted crafted = {.lane = LANE_DATA,
                                  .sequence = 1,
                                  .content = bytes_of(items[i], lengths[i])};
        CHECK_ERR(give_crafted(fixture, &crafted), ERR_CLOSED);
    }
    CHECK(fixture->ends[1].received_count == 0);
}

static void skips_signals_that_it_does_not_know(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    static const uint8_t signals[] = {
        200,         0, 77, 3, 1, 2, 3, SIGNAL_PING, 2, 0, 0,
        SIGNAL_PING, 9, 8,  7, 6, 5, 4, 3,           2, 1, 0};
    struct crafted crafted = {.lane = LANE_SIGNAL,
                              .sequence = 50,
                              .content = bytes_of(signals, sizeof signals)};
    CHECK_OK(give_crafted(fixture, &crafted));
    flush(fixture, 1);
    CHECK(fixture->ends[1].wire_count == 1); /* the last one is a ping */
    for (size_t cut = 1; cut < sizeof signals; cut++) {
        crafted.sequence++;
        crafted.content.length = cut;
        bool is_whole = cut == 2 || cut == 7 || cut == 11;
        CHECK_ERR(give_crafted(fixture, &crafted),
                  is_whole ? ERR_NONE : ERR_CLOSED);
    }
}

static void a_pong_from_the_future_is_not_believed(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    uint8_t pong[10] = {2, 8};
    put_u64(pong + 2, fixture->now_ns + 1);
    uint64_t before = stats_of(fixture, 1)->round_trip_ns;
    struct crafted crafted = {.lane = LANE_SIGNAL,
                              .sequence = 50,
                              .content = bytes_of(pong, sizeof pong)};
    CHECK_OK(give_crafted(fixture, &crafted));
    CHECK(stats_of(fixture, 1)->round_trip_ns == before);
}

static void a_repeat_asked_for_at_any_time_does_no_harm(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    uint8_t repeat[10] = {SIGNAL_REPEAT, 8};
    struct crafted crafted = {.lane = LANE_SIGNAL,
                              .sequence = 50,
                              .content = bytes_of(repeat, sizeof repeat)};
    fixture->ends[1].is_slow = true;
    for (int i = 0; i < 20; i++) {
        CHECK_OK(send_sized(&fixture->ends[1], LANE_DATA, 1500));
        flush(fixture, 1);
        crafted.sequence++;
        CHECK_OK(give_crafted(fixture, &crafted));
    }
    pump(fixture);
    CHECK(fixture->ends[0].received[LANE_DATA] == 20);
    /* Signals of side 0 now seem old: its acks come with what it sends. */
    CHECK_OK(send_sized(&fixture->ends[0], LANE_DATA, 10));
    pump(fixture);
    CHECK(link_held_bytes(fixture->ends[1].link) == 0);
}

static void a_paused_side_drops_the_connection_rather_than_hold_ever_more(
    void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    link_pause(fixture->ends[1].link);
    uint8_t filler[400] = {0};
    enum err err = ERR_NONE;
    for (uint64_t i = 1; !err; i++) {
        struct crafted crafted = {.lane = LANE_DATA,
                                  .sequence = i,
                                  .content = bytes_of(filler, sizeof filler)};
        err = give_crafted(fixture, &crafted);
        assert_true(i < 10000);
    }
    /* Unopened frames may be anybody's: the session goes on. */
    CHECK_ERR(err, ERR_MALFORMED);
    CHECK(link_session_id(fixture->ends[1].link) != 0);
    CHECK(link_held_bytes(fixture->ends[1].link) <=
          2 * small_limits.inflight_bytes_max + FRAME_BYTES_MAX);
}

/* ---- connections come and go ---- */

static void drops_fleeting_messages_at_a_break_and_counts_them(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    struct end *end = &fixture->ends[0];
    end->is_slow = true;
    for (int i = 0; i < 10; i++) {
        CHECK_OK(send_sized(end, LANE_FLEETING, 1500));
    }
    link_flush(end->link, fixture->now_ns);
    CHECK(end->wire_count == 1);
    disconnect(fixture);
    CHECK(stats_of(fixture, 0)->fleeting_dropped >= 8);
    CHECK_ERR(send_sized(end, LANE_FLEETING, 10), ERR_UNREACHABLE);
    uint64_t dropped = stats_of(fixture, 0)->fleeting_dropped;
    bring_up(fixture);
    CHECK(fixture->ends[1].received_count == 0);
    CHECK(end->undelivered_count == 0);
    CHECK_OK(send_sized(end, LANE_FLEETING, 10));
    pump(fixture);
    CHECK(fixture->ends[1].received_count == 1);
    CHECK(stats_of(fixture, 0)->fleeting_dropped == dropped);
}

static void forgets_half_a_fleeting_message_at_a_break(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    struct end *end = &fixture->ends[0];
    end->is_slow = true;
    CHECK_OK(send_sized(end, LANE_FLEETING, 30000)); /* in parts */
    link_flush(end->link, fixture->now_ns);
    CHECK_OK(pass_one(fixture, 0));
    CHECK(link_held_bytes(fixture->ends[1].link) >= 30000);
    disconnect(fixture);
    end->is_slow = false;
    bring_up(fixture);
    CHECK(link_held_bytes(fixture->ends[1].link) == 0);
    CHECK_OK(send_sized(end, LANE_FLEETING, 30000));
    pump(fixture);
    CHECK(fixture->ends[1].received_count == 1);
}

static void hands_back_what_the_process_before_did_not_acknowledge(void **state)
{
    struct fixture *fixture = *state;
    bring_up(fixture);
    struct end *end = &fixture->ends[0];
    for (int i = 0; i < 5; i++) {
        CHECK_OK(send_sized(end, LANE_DATA, 1500));
    }
    pump(fixture);
    pass_ms(fixture, 10);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(send_sized(end, LANE_DATA, 1900));
    }
    link_flush(end->link, fixture->now_ns); /* these are lost */
    disconnect(fixture);
    for (int i = 0; i < 4; i++) {
        CHECK_OK(send_sized(end, LANE_DATA, 1900));
    }
    begin_session(fixture);
    CHECK(end->undelivered_count == 7);
    CHECK(end->maybe_arrived_count == 3);
    CHECK(stats_of(fixture, 0)->undelivered == 7);
    CHECK(link_held_bytes(end->link) == 0);
    bring_up(fixture);
    fixture->ends[1].is_lossy_order = true;
    CHECK_OK(send_sized(end, LANE_DATA, 10));
    pump(fixture);
    CHECK(fixture->ends[1].received_count == 6);
}

static void what_is_handed_back_may_be_sent_in_the_next_session(void **state)
{
    struct fixture *fixture = *state;
    struct end *end = &fixture->ends[0];
    end->puts_back = true;
    for (int i = 0; i < 20; i++) {
        CHECK_OK(send_sized(end, LANE_DATA, (size_t)i * 500));
    }
    begin_session(fixture);
    CHECK(end->undelivered_count == 20 && end->maybe_arrived_count == 0);
    bring_up(fixture);
    CHECK(fixture->ends[1].received[LANE_DATA] == 20);
    end->puts_back = false;
}

static void closing_hands_back_everything(void **state)
{
    (void)state;
    static struct fixture fixture;
    open_with(&fixture, &small_limits);
    for (int i = 0; i < 4; i++) {
        CHECK_OK(send_sized(&fixture.ends[0], LANE_DATA, 100));
    }
    CHECK_OK(send_sized(&fixture.ends[0], LANE_CONTROL, 100));
    close_both(&fixture);
    CHECK(fixture.ends[0].undelivered_count == 5);
    struct link *none = NULL;
    link_close(&none);
}

static void tells_whether_a_frame_is_of_a_session(void **state)
{
    struct fixture *fixture = *state;
    link_on_up(fixture->ends[0].link, fixture->now_ns);
    struct packet *hello = take_packet(&fixture->ends[0]);
    CHECK(hello);
    const struct link_session *session = &fixture->sessions[1];
    CHECK(link_session_opens(session, bytes_of(hello->data, hello->length)));
    struct link_session other = *session;
    other.id++;
    CHECK(!link_session_opens(&other, bytes_of(hello->data, hello->length)));
    other = *session;
    other.receive_root[0] ^= 1;
    CHECK(!link_session_opens(&other, bytes_of(hello->data, hello->length)));
    for (size_t length = 0; length < hello->length; length++) {
        CHECK(!link_session_opens(session, bytes_of(hello->data, length)));
    }
    for (size_t i = 0; i < hello->length; i++) {
        hello->data[i] ^= 0x40;
        CHECK(
            !link_session_opens(session, bytes_of(hello->data, hello->length)));
        hello->data[i] ^= 0x40;
    }
    uint8_t longest[4096] = {1};
    CHECK(!link_session_opens(session, bytes_of(longest, sizeof longest)));
    packet_close(&hello);
}

/* ---- anything, in any order ---- */

/* A step of the run: something is sent, moved, lost, or time goes by. */
static void random_step(struct fixture *fixture, struct seeded *random)
{
    int side = (int)seeded_below(random, 2);
    struct end *end = &fixture->ends[side];
    uint64_t choice = seeded_below(random, 1000);
    if (choice < 400) {
        static const enum lane lanes[] = {LANE_CONTROL, LANE_FLEETING,
                                          LANE_DATA, LANE_DATA};
        size_t length =
            seeded_below(random, seeded_below(random, 20) ? 400 : 14000);
        enum err err = send_sized(end, lanes[seeded_below(random, 4)], length);
        assert_true(err == ERR_NONE || err == ERR_FULL ||
                    err == ERR_UNREACHABLE);
    } else if (choice < 600) {
        flush(fixture, side);
    } else if (choice < 900) {
        CHECK_OK(pass_one(fixture, side));
    } else if (choice < 970) {
        fixture->now_ns += seeded_below(random, 40) * NS_PER_MS;
        if (!end->is_sent_due) {
            link_on_time(end->link, fixture->now_ns);
        }
    } else if (choice < 980) {
        end->is_slow = !end->is_slow;
    } else if (choice < 990) {
        disconnect(fixture);
        connect(fixture);
    } else if (choice < 995) {
        link_pause(end->link);
    } else {
        CHECK_OK(link_resume(end->link, fixture->now_ns));
    }
}

static void check_random_run(uint64_t seed)
{
    static struct fixture fixture;
    struct seeded random = {.state = seed};
    struct link_limits limits = small_limits;
    limits.rekey_bytes = 3000 + seeded_below(&random, 40000);
    limits.rekey_ms = 500 + seeded_below(&random, 3000);
    limits.frame_bytes = 1024 + (uint32_t)seeded_below(&random, 3000);
    open_with(&fixture, &limits);
    connect(&fixture);
    for (int i = 0; i < 1500; i++) {
        random_step(&fixture, &random);
    }
    for (int i = 0; i < 2; i++) {
        fixture.ends[i].is_slow = false;
        CHECK_OK(link_resume(fixture.ends[i].link, fixture.now_ns));
    }
    disconnect(&fixture);
    connect(&fixture);
    pump(&fixture);
    pass_ms(&fixture, 2000);
    for (int i = 0; i < 2; i++) {
        struct end *from = &fixture.ends[1 - i];
        struct end *to = &fixture.ends[i];
        CHECK(to->received[LANE_DATA] == from->sent[LANE_DATA]);
        CHECK(to->received[LANE_CONTROL] == from->sent[LANE_CONTROL]);
        CHECK(to->received[LANE_FLEETING] <= from->sent[LANE_FLEETING]);
        CHECK(from->undelivered_count == 0);
        CHECK(link_held_bytes(from->link) == 0);
        CHECK(from->most_held_bytes <= limits.window_bytes + HELD_SLACK_BYTES +
                                           2 * limits.inflight_bytes_max);
        CHECK(link_stats(to->link)->frames_refused == 0);
    }
    close_both(&fixture);
}

static void loses_and_doubles_nothing_over_lost_connections(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        check_random_run(seed);
    }
}

static int set_up_group(void **state)
{
    (void)state;
    return identity_library_init() ? -1 : 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(delivers_every_lane_in_order_both_ways),
        TEST(gathers_messages_into_few_frames),
        TEST(waits_with_messages_until_the_peer_was_heard),
        TEST(delivers_what_was_sent_before_the_first_session),
        TEST(an_acknowledged_message_holds_no_memory),
        TEST(control_overtakes_data),
        TEST(refuses_messages_that_are_too_large),
        TEST(goes_on_when_packets_can_be_made_again),
        TEST(says_something_at_every_heartbeat),
        TEST(measures_the_round_trip),
        TEST(says_full_and_calls_back_once_there_is_room),
        TEST(calls_back_when_another_lane_was_full),
        TEST(a_peer_that_stops_reading_costs_no_more_than_the_window),
        TEST(a_paused_side_takes_in_no_more_than_is_in_flight),
        TEST(what_is_held_while_paused_comes_again_after_a_break),
        TEST(renews_keys_by_bytes_without_losing_anything),
        TEST(renews_keys_by_time_but_not_when_idle),
        TEST(a_frame_of_yesterdays_key_is_sent_again_as_it_was),
        TEST(two_links_never_share_a_key_with_their_peer),
        TEST(delivers_nothing_of_a_frame_with_a_flipped_bit),
        TEST(refuses_frames_that_are_cut_or_longer),
        TEST(drops_a_frame_that_comes_again),
        TEST(drops_what_is_ahead_of_its_turn_and_asks_again),
        TEST(asks_for_a_repeat_seldom),
        TEST(drops_a_frame_of_another_session),
        TEST(drops_a_frame_of_another_version),
        TEST(drops_everything_without_a_session),
        TEST(takes_a_frame_made_by_the_written_format),
        TEST(ends_the_session_at_an_ack_of_what_was_not_sent),
        TEST(ends_the_session_at_items_that_make_no_sense),
        TEST(skips_signals_that_it_does_not_know),
        TEST(a_pong_from_the_future_is_not_believed),
        TEST(a_repeat_asked_for_at_any_time_does_no_harm),
        TEST(a_paused_side_drops_the_connection_rather_than_hold_ever_more),
        TEST(drops_fleeting_messages_at_a_break_and_counts_them),
        TEST(forgets_half_a_fleeting_message_at_a_break),
        TEST(hands_back_what_the_process_before_did_not_acknowledge),
        TEST(what_is_handed_back_may_be_sent_in_the_next_session),
        TEST(closing_hands_back_everything),
        TEST(tells_whether_a_frame_is_of_a_session),
        TEST(loses_and_doubles_nothing_over_lost_connections),
    };
    return cmocka_run_group_tests(tests, set_up_group, NULL);
}
