#include "tests/support/traffic.h"

#include "base/bytes.h"
#include "base/owner.h"
#include "base/time_units.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_PAUSE_NS (5 * NS_PER_MS)
#define TURN_BYTES (256u << 10) /* sent in one turn, about */
#define PATTERN_BYTES 4096

struct flow {
    /* Set once. */
    enum lane lane;
    uint8_t channel;
    struct flow_tally *tally;

    uint64_t left; /* to be sent */
    uint32_t bytes_min;
    uint32_t bytes_max;

    uint8_t *fates; /* of message 1, 2, ... */
    uint64_t fate_count;
};

struct traffic {
    struct traffic_config config;
    struct flow flows[TRAFFIC_FLOW_COUNT];
    struct reactor_event pump_event;
    struct timer look_timer;
    bool is_posted;
    bool is_stopped;
    uint8_t pattern[PATTERN_BYTES + 256];
    uint8_t *message;
    size_t message_capacity;
};

#define COUNT(counter, more) \
    atomic_fetch_add_explicit(&(counter), (more), memory_order_relaxed)

/* ---- the text of a message: sender, number, length, a pattern ---- */

static uint32_t length_of(const struct flow *flow, uint64_t number)
{
    uint64_t mixed = number * UINT64_C(0x9e3779b97f4a7c15) >> 20;
    return flow->bytes_min +
           (uint32_t)(mixed % (flow->bytes_max - flow->bytes_min + 1));
}

static void write_message(const struct traffic *traffic,
                          uint8_t *to,
                          uint64_t number,
                          uint32_t length)
{
    put_u64(to, endpoint_incarnation(traffic->config.endpoint));
    put_u64(to + 8, number);
    put_u64(to + 16, length);
    const uint8_t *pattern = traffic->pattern + number % 256;
    for (size_t at = TRAFFIC_HEADER_BYTES; at < length; at += PATTERN_BYTES) {
        size_t part = length - at < PATTERN_BYTES ? length - at : PATTERN_BYTES;
        memcpy(to + at, pattern, part);
    }
}

static bool is_whole(const struct traffic *traffic, struct bytes message)
{
    if (message.length < TRAFFIC_HEADER_BYTES ||
        get_u64(message.data + 16) != message.length) {
        return false;
    }
    const uint8_t *pattern = traffic->pattern + get_u64(message.data + 8) % 256;
    for (size_t at = TRAFFIC_HEADER_BYTES; at < message.length;
         at += PATTERN_BYTES) {
        size_t part = message.length - at;
        part = part < PATTERN_BYTES ? part : PATTERN_BYTES;
        if (memcmp(message.data + at, pattern, part) != 0) {
            return false;
        }
    }
    return true;
}

/* ---- sending ---- */

static void pump_soon(struct traffic *traffic)
{
    if (!traffic->is_posted && !traffic->is_stopped) {
        traffic->is_posted = true;
        reactor_post(traffic->config.reactor, &traffic->pump_event);
    }
}

/* The bytes sent; 0 when there is nothing to send or no room. */
static size_t send_next(struct traffic *traffic, struct flow *flow)
{
    if (flow->left == 0) {
        return 0;
    }
    uint64_t number = flow->tally->sent + 1;
    uint32_t length = length_of(flow, number);
    write_message(traffic, traffic->message, number, length);
    enum err err = peer_send(traffic->config.peer, flow->lane, flow->channel,
                             bytes_of(traffic->message, length));
    if (err == ERR_FULL) {
        return 0; /* on_writable comes */
    }
    if (err) {
        COUNT(flow->tally->wrong, 1);
        flow->left = 0;
        return 0;
    }
    COUNT(flow->tally->sent, 1);
    flow->left--;
    return length;
}

static void run_pump(struct reactor_event *event)
{
    struct traffic *traffic = OWNER_OF(event, struct traffic, pump_event);
    struct flow *data = &traffic->flows[TRAFFIC_DATA];
    struct flow *control = &traffic->flows[TRAFFIC_CONTROL];
    traffic->is_posted = false;
    size_t taken = 0;
    size_t more = 1;
    while (!traffic->is_stopped && taken < TURN_BYTES && more > 0) {
        more = send_next(traffic, data);
        /* As many urgent ones as there was bulk; and bulk that finds no room
         * does not hold them up. */
        if (control->tally->sent < data->tally->sent || data->left == 0) {
            more += send_next(traffic, control);
        }
        taken += more;
    }
    if (more > 0) {
        pump_soon(traffic);
    }
}

void traffic_send(struct traffic *traffic, const struct traffic_load *load)
{
    struct flow *flow = &traffic->flows[load->flow];
    flow->left = load->count;
    flow->bytes_min = load->bytes_min < TRAFFIC_HEADER_BYTES
                          ? TRAFFIC_HEADER_BYTES
                          : load->bytes_min;
    flow->bytes_max =
        load->bytes_max < flow->bytes_min ? flow->bytes_min : load->bytes_max;
    if (flow->bytes_max > traffic->message_capacity) {
        uint8_t *message = realloc(traffic->message, flow->bytes_max);
        if (!message) {
            abort();
        }
        traffic->message = message;
        traffic->message_capacity = flow->bytes_max;
    }
    if (load->count > 0) {
        pump_soon(traffic);
    }
}

/* ---- receiving ---- */

static void on_message(struct flow *flow,
                       const struct traffic *traffic,
                       struct bytes message)
{
    struct flow_tally *tally = flow->tally;
    if (!is_whole(traffic, message)) {
        COUNT(tally->wrong, 1);
        return;
    }
    uint64_t sender = get_u64(message.data);
    uint64_t number = get_u64(message.data + 8);
    if (sender != peer_incarnation(traffic->config.peer)) {
        COUNT(tally->wrong, 1);
    }
    if (sender != tally->sender) {
        /* We may be the one who is new, and come in the middle; but one that
         * is new to us begins with its first. */
        if (tally->sender != 0 && number != 1) {
            COUNT(tally->wrong, 1);
        }
        atomic_store(&tally->first, number);
        atomic_store(&tally->received, 0);
    } else if (number != tally->last + 1) {
        COUNT(tally->wrong, 1);
    }
    atomic_store(&tally->last, number);
    atomic_store(&tally->sender, sender); /* now `last` is of this one */
    COUNT(tally->received, 1);
}

static void on_data(void *context, struct peer *peer, struct bytes message)
{
    (void)context;
    struct traffic *traffic = peer_context(peer);
    if (traffic) {
        on_message(&traffic->flows[TRAFFIC_DATA], traffic, message);
    }
}

static void on_control(void *context, struct peer *peer, struct bytes message)
{
    (void)context;
    struct traffic *traffic = peer_context(peer);
    if (traffic) {
        on_message(&traffic->flows[TRAFFIC_CONTROL], traffic, message);
    }
}

/* ---- events ---- */

static void on_change(void *context, struct peer *peer, enum peer_change change)
{
    (void)context;
    struct traffic *traffic = peer_context(peer);
    if (!traffic) {
        return;
    }
    struct traffic_tally *tally = traffic->config.tally;
    _Atomic uint64_t *const counters[] = {
        [PEER_UP] = &tally->up,         [PEER_DOWN] = &tally->down,
        [PEER_SILENT] = &tally->silent, [PEER_BEGUN] = &tally->begun,
        [PEER_CUT] = &tally->cut,       [PEER_GONE] = &tally->cut,
    };
    COUNT(*counters[change], 1);
}

static void keep_fate(struct flow *flow, uint64_t number, bool may_have_arrived)
{
    if (number > flow->fate_count) {
        uint64_t count = 2 * number + 1024;
        uint8_t *fates = realloc(flow->fates, count);
        if (!fates) {
            abort();
        }
        memset(fates + flow->fate_count, TRAFFIC_TAKEN,
               count - flow->fate_count);
        flow->fates = fates;
        flow->fate_count = count;
    }
    uint8_t *fate = &flow->fates[number - 1];
    if (*fate != TRAFFIC_TAKEN) {
        *fate = TRAFFIC_TWICE;
    } else {
        *fate = may_have_arrived ? TRAFFIC_UNKNOWN : TRAFFIC_NOT_ARRIVED;
    }
}

static void on_undelivered(void *context,
                           struct peer *peer,
                           uint8_t channel,
                           struct bytes message,
                           bool may_have_arrived)
{
    (void)context;
    struct traffic *traffic = peer_context(peer);
    if (!traffic || channel > TRAFFIC_FLOW_COUNT) {
        return; /* somebody else's channel */
    }
    struct flow *flow = &traffic->flows[channel - 1];
    uint64_t number =
        is_whole(traffic, message) ? get_u64(message.data + 8) : 0;
    if (number == 0 || number > flow->tally->sent) {
        COUNT(flow->tally->wrong, 1);
        return;
    }
    COUNT(flow->tally->returned, 1);
    keep_fate(flow, number, may_have_arrived);
}

static void on_writable(void *context, struct peer *peer)
{
    (void)context;
    if (peer_context(peer)) {
        pump_soon(peer_context(peer));
    }
}

void traffic_events(struct endpoint_events *events)
{
    events->on_change = on_change;
    events->on_undelivered = on_undelivered;
    events->on_writable = on_writable;
}

/* ---- looking ---- */

void traffic_look(struct traffic *traffic)
{
    struct traffic_tally *tally = traffic->config.tally;
    const struct peer *peer = traffic->config.peer;
    const struct link_stats *stats = peer_stats(peer);
    const struct certificate *certificate = peer_certificate(peer);
    const struct door_stats *door =
        endpoint_door_stats(traffic->config.endpoint);
    uint64_t held = peer_held_bytes(peer);
    tally->is_up = peer_is_up(peer);
    tally->peer_incarnation = peer_incarnation(peer);
    tally->peer_serial = certificate ? certificate->serial : 0;
    tally->connections = stats->connection_count;
    tally->sessions = stats->session_count;
    tally->frames_out = stats->frames_out;
    tally->frames_repeated = stats->frames_repeated;
    tally->frames_refused = stats->frames_refused;
    tally->undelivered = stats->undelivered;
    tally->full = stats->full_count;
    tally->held_bytes = held;
    if (held > tally->held_bytes_top) {
        tally->held_bytes_top = held;
    }
    if (door) {
        tally->door_hello = door->hello_count;
        tally->door_refused = door->refused_count;
    }
    COUNT(tally->look_count, 1);
}

static void run_look(struct timer *timer)
{
    struct traffic *traffic = OWNER_OF(timer, struct traffic, look_timer);
    traffic_look(traffic);
    reactor_timer_set(traffic->config.reactor, timer, LOOK_PAUSE_NS);
}

/* ---- life ---- */

enum err traffic_open(struct traffic **out, const struct traffic_config *config)
{
    struct traffic *traffic = calloc(1, sizeof *traffic);
    if (!traffic) {
        return ERR_MEMORY;
    }
    traffic->config = *config;
    traffic->pump_event.run = run_pump;
    traffic->look_timer.fire = run_look;
    for (size_t i = 0; i < sizeof traffic->pattern; i++) {
        traffic->pattern[i] = (uint8_t)(i * 167 ^ i >> 7);
    }
    for (uint8_t i = 0; i < TRAFFIC_FLOW_COUNT; i++) {
        traffic->flows[i].channel = (uint8_t)(i + 1);
        traffic->flows[i].tally = &config->tally->flows[i];
    }
    traffic->flows[TRAFFIC_DATA].lane = LANE_DATA;
    traffic->flows[TRAFFIC_CONTROL].lane = LANE_CONTROL;
    config->tally->incarnation = endpoint_incarnation(config->endpoint);
    endpoint_channel_set(config->endpoint, 1 + TRAFFIC_DATA, on_data, NULL);
    endpoint_channel_set(config->endpoint, 1 + TRAFFIC_CONTROL, on_control,
                         NULL);
    peer_context_set(config->peer, traffic);
    run_look(&traffic->look_timer);
    *out = traffic;
    return ERR_NONE;
}

void traffic_stop(struct traffic *traffic)
{
    traffic_look(traffic);
    traffic->is_stopped = true;
    reactor_timer_cancel(traffic->config.reactor, &traffic->look_timer);
}

void traffic_close(struct traffic **traffic)
{
    if (!*traffic) {
        return;
    }
    for (int i = 0; i < TRAFFIC_FLOW_COUNT; i++) {
        free((*traffic)->flows[i].fates);
    }
    free((*traffic)->message);
    free(*traffic);
    *traffic = NULL;
}

enum traffic_fate traffic_fate(const struct traffic *traffic,
                               enum traffic_flow flow,
                               uint64_t number)
{
    const struct flow *own = &traffic->flows[flow];
    return number <= own->fate_count ? (enum traffic_fate)own->fates[number - 1]
                                     : TRAFFIC_TAKEN;
}
