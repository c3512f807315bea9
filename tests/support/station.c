#include "tests/support/station.h"

#include "base/posix/posix_clock.h"

#include <stdlib.h>
#include <string.h>

#define SEED 7

struct station_side {
    struct peer *peer;
    struct traffic *traffic;
    struct traffic_tally *tally;
    struct traffic_tally own_tally;
};

struct station {
    struct station_config config;
    struct test_authority authority;
    struct trust *trust;
    const struct identity *identity;
    struct test_node *node;
    struct station_side sides[STATION_PEER_COUNT_MAX];
    enum err err;
};

void station_authority(struct test_authority *authority)
{
    test_authority_init(authority, SEED, clock_wall_ms(posix_clock()));
}

static void set_number(uint32_t *to, uint32_t number)
{
    if (number > 0) {
        *to = number;
    }
}

static void configure(struct station *station, struct endpoint_config *own)
{
    const struct station_config *config = &station->config;
    test_node_defaults(own);
    own->identity = station->identity;
    own->trust = station->trust;
    own->addresses = config->addresses;
    own->events.context = config->context;
    own->events.on_digest = config->on_digest;
    traffic_events(&own->events);
    own->link.heartbeat_ms = 100;
    own->dial_ms_min = 5;
    own->dial_ms_max = 100;
    own->handshake_ms = 2000;
    if (config->window_bytes > 0) {
        own->link.window_bytes = config->window_bytes;
        own->link.message_bytes_max = 1 << 20;
        own->link.inflight_bytes_max = 1 << 20;
    }
    set_number(&own->silence_ms, config->silence_ms);
    set_number(&own->proof_ms, config->proof_ms);
    set_number(&own->handshake_ms, config->handshake_ms);
    set_number(&own->door_connection_count_max,
               config->door_connection_count_max);
}

static enum err add_peer(struct station *station,
                         struct endpoint *endpoint,
                         unsigned i)
{
    const struct station_peer *peer = &station->config.peers[i];
    struct station_side *side = &station->sides[i];
    side->tally = peer->tally ? peer->tally : &side->own_tally;
    struct peer_address address = {
        .name = peer->name, .door = peer->door, .bus = peer->bus};
    enum err err = endpoint_peer_add(endpoint, &address, &side->peer);
    if (err) {
        return err;
    }
    struct traffic_config config = {.reactor = test_node_reactor(station->node),
                                    .endpoint = endpoint,
                                    .peer = side->peer,
                                    .tally = side->tally};
    return traffic_open(&side->traffic, &config);
}

static void add_peers(void *context, struct endpoint *endpoint)
{
    struct station *station = context;
    if (station->config.has_bus_key) {
        endpoint_bus_key_set(endpoint, &(struct bus_key){.number = 1});
    }
    for (unsigned i = 0; i < STATION_PEER_COUNT_MAX; i++) {
        if (station->config.peers[i].name && !station->err) {
            station->err = add_peer(station, endpoint, i);
        }
    }
}

enum err station_open(struct station **out,
                      const struct station_config *config,
                      struct err_detail *why)
{
    enum err err = identity_library_init();
    struct station *station = calloc(1, sizeof *station);
    if (err || !station) {
        free(station);
        return err ? err : ERR_MEMORY;
    }
    station->config = *config;
    station_authority(&station->authority);
    station->trust = test_trust_make(&station->authority);
    /* Each serial has a key of its own, the same in every process. */
    station->authority.made_count = config->serial;
    struct test_identity_options options = {.serial = config->serial};
    station->identity =
        test_identity_make(&station->authority, config->name, &options);
    struct endpoint_config own;
    configure(station, &own);
    err = test_node_start(&station->node, &own, why);
    if (!err) {
        test_node_call(station->node, add_peers, station);
        err = station->err;
    }
    if (err) {
        station_close(&station);
        return err;
    }
    *out = station;
    return ERR_NONE;
}

static void stop_traffic(void *context, struct endpoint *endpoint)
{
    (void)endpoint;
    struct station *station = context;
    for (unsigned i = 0; i < STATION_PEER_COUNT_MAX; i++) {
        if (station->sides[i].traffic) {
            traffic_stop(station->sides[i].traffic);
        }
    }
}

void station_stop(struct station *station)
{
    if (station->node) {
        test_node_call(station->node, stop_traffic, station);
        test_node_stop(&station->node);
    }
}

void station_close(struct station **station)
{
    if (!*station) {
        return;
    }
    station_stop(*station);
    for (unsigned i = 0; i < STATION_PEER_COUNT_MAX; i++) {
        traffic_close(&(*station)->sides[i].traffic);
    }
    trust_unref(&(*station)->trust);
    identity_unref(&(*station)->identity);
    free(*station);
    *station = NULL;
}

struct test_node *station_node(struct station *station)
{
    return station->node;
}

const struct traffic_tally *station_tally(const struct station *station,
                                          unsigned peer)
{
    return station->sides[peer].tally;
}

/* ---- on the node's thread ---- */

struct order {
    struct station_side *side;
    const struct traffic_load *load;
};

static void run_send(void *context, struct endpoint *endpoint)
{
    (void)endpoint;
    struct order *order = context;
    traffic_send(order->side->traffic, order->load);
}

void station_send(struct station *station,
                  unsigned peer,
                  const struct traffic_load *load)
{
    struct order order = {.side = &station->sides[peer], .load = load};
    test_node_call(station->node, run_send, &order);
}

static void run_pause(void *context, struct endpoint *endpoint)
{
    (void)endpoint;
    struct station_side *side = context;
    peer_pause(side->peer);
}

void station_pause(struct station *station, unsigned peer)
{
    test_node_call(station->node, run_pause, &station->sides[peer]);
}

static void run_resume(void *context, struct endpoint *endpoint)
{
    (void)endpoint;
    struct station_side *side = context;
    peer_resume(side->peer);
}

void station_resume(struct station *station, unsigned peer)
{
    test_node_call(station->node, run_resume, &station->sides[peer]);
}

static void run_look(void *context, struct endpoint *endpoint)
{
    (void)endpoint;
    struct station *station = context;
    for (unsigned i = 0; i < STATION_PEER_COUNT_MAX; i++) {
        if (station->sides[i].traffic) {
            traffic_look(station->sides[i].traffic);
        }
    }
}

void station_look(struct station *station)
{
    test_node_call(station->node, run_look, station);
}

enum traffic_fate station_fate(const struct station *station,
                               unsigned peer,
                               enum traffic_flow flow,
                               uint64_t number)
{
    return traffic_fate(station->sides[peer].traffic, flow, number);
}
