#include "transport/endpoint.h"

#include "base/owner.h"
#include "base/scope.h"
#include "base/time_units.h"
#include "transport/peer.h"
#include "transport/probe.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK_PAUSE_MS 10000   /* between looks at certificates and clients */
#define BUS_KEY_BEFORE_MS 5000 /* until the others have the new one, too */
#define VISIT_COUNT_MAX 64
#define BUS_SENDER_COUNT_MAX 512 /* nodes: their keys are in locked memory */

struct channel {
    channel_handler *handle;
    void *context;
};

struct known {
    struct peer *peer;
    char *bus;       /* dialled; NULL: not */
    bool is_added;   /* else it is a visitor, to be forgotten when it is gone */
    bool is_settled; /* added, and not only to be knocked at: it stays so */
};

struct endpoint {
    struct endpoint_config config;
    struct handshake_self self;
    struct peer_home home;
    struct door *door;
    struct bus *bus;
    struct known *peers;
    uint32_t peer_count;
    uint32_t pair_next; /* where to look for a free address first */
    struct channel channels[CHANNEL_COUNT];
    uint64_t unhandled_count; /* messages of channels without a handler */
    struct timer check_timer;
    struct timer bus_key_timer; /* the end of the key before */
    char pair_bind[SOCKET_URL_BYTES];
    char pair_advertise[SOCKET_URL_BYTES];
};

void endpoint_config_defaults(struct endpoint_config *config)
{
    config->versions = (struct version_range){.min = PROTOCOL_VERSION_MIN,
                                              .max = PROTOCOL_VERSION_MAX};
    config->link = (struct link_limits){
        .frame_bytes = 64 << 10,
        .message_bytes_max = 16 << 20,
        .window_bytes = 32 << 20,
        .inflight_bytes_max = 4 << 20,
        .rekey_bytes = 64ull << 30,
        .rekey_ms = 60 * 60 * 1000,
        .heartbeat_ms = 500,
        .ack_delay_ms = 5,
    };
    config->clock_skew_ms_max = 5 * 60 * 1000;
    config->handshake_ms = 5000;
    config->proof_ms = 1000;
    config->silence_ms = 3000;
    config->dial_ms_min = 20;
    config->dial_ms_max = 1000;
    config->client_keep_ms = 60000;
    config->peer_count_max = 1024;
    config->client_count_max = 512;
    config->door_connection_count_max = 1024;
    config->digest_bytes_max = 8 << 10;
}

/* The visitor, other than `but`, that has been away for longest: the first to
 * make room. NULL: all of them are here. */
static struct peer *longest_away(const struct endpoint *endpoint,
                                 const struct peer *but)
{
    uint64_t now_ns = reactor_now_ns(endpoint->config.reactor);
    uint64_t longest_ns = 0;
    struct peer *longest = NULL;
    for (uint32_t i = 0; i < endpoint->peer_count; i++) {
        const struct known *known = &endpoint->peers[i];
        uint64_t away_ns = peer_away_ns(known->peer, now_ns);
        if (!known->is_added && known->peer != but && away_ns > longest_ns) {
            longest = known->peer;
            longest_ns = away_ns;
        }
    }
    return longest;
}

/* ---- addresses of pair listeners ---- */

/* Try each number once, beginning behind the last that was used. */
static enum err listen_for_peer(void *context,
                                struct socket *socket,
                                char url[static SOCKET_URL_BYTES])
{
    struct endpoint *endpoint = context;
    const struct endpoint_addresses *addresses = &endpoint->config.addresses;
    for (uint32_t i = 0; i < addresses->pair_count; i++) {
        uint32_t number = addresses->pair_first +
                          (endpoint->pair_next + i) % addresses->pair_count;
        char bind[SOCKET_URL_BYTES + 12];
        (void)snprintf(bind, sizeof bind, "%s%u", addresses->pair_bind, number);
        enum err err = endpoint->config.network->listen(socket, bind);
        if (err == ERR_IN_USE) {
            continue;
        }
        if (!err) {
            endpoint->pair_next += i + 1;
            (void)snprintf(url, SOCKET_URL_BYTES, "%s%u",
                           addresses->pair_advertise, number);
        }
        return err;
    }
    if (!longest_away(endpoint, NULL)) {
        log_error(endpoint->config.log, "link.no_address",
                  LOG_TEXT("prefix", addresses->pair_bind),
                  LOG_UNSIGNED("first", addresses->pair_first),
                  LOG_UNSIGNED("count", addresses->pair_count));
    }
    return ERR_LIMIT;
}

/* ---- what peers tell ---- */

static void on_peer_change(void *context,
                           struct peer *peer,
                           enum peer_change change)
{
    struct endpoint *endpoint = context;
    const struct endpoint_events *events = &endpoint->config.events;
    if (events->on_change) {
        events->on_change(events->context, peer, change);
    }
}

static void on_peer_message(void *context,
                            struct peer *peer,
                            uint8_t channel,
                            struct bytes message)
{
    struct endpoint *endpoint = context;
    const struct channel *to = &endpoint->channels[channel];
    if (to->handle) {
        to->handle(to->context, peer, message);
    } else {
        endpoint->unhandled_count++;
    }
}

static void on_digest(void *context, const char *from, struct bytes digest)
{
    struct endpoint *endpoint = context;
    const struct endpoint_events *events = &endpoint->config.events;
    if (events->on_digest) {
        events->on_digest(events->context, from, digest);
    }
}

/* ---- visitors ---- */

static enum err add_peer(struct endpoint *endpoint,
                         enum role role,
                         const char *name,
                         struct peer **out)
{
    if (endpoint->peer_count == endpoint->config.peer_count_max) {
        return ERR_FULL;
    }
    struct peer *peer = NULL;
    enum err err = peer_open(&peer, &endpoint->home, role, name);
    if (err) {
        return err;
    }
    endpoint->peers[endpoint->peer_count++] = (struct known){.peer = peer};
    *out = peer;
    return ERR_NONE;
}

static uint32_t client_count(const struct endpoint *endpoint)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < endpoint->peer_count; i++) {
        count += peer_role(endpoint->peers[i].peer) != ROLE_NODE;
    }
    return count;
}

static void forget_visitor(struct endpoint *endpoint, struct peer *peer)
{
    on_peer_change(endpoint, peer, PEER_GONE);
    endpoint_peer_remove(endpoint, &peer);
}

/* Have room, but not by forgetting this one. False: all of them are here. */
static bool make_room(struct endpoint *endpoint, const struct peer *but)
{
    struct peer *longest = longest_away(endpoint, but);
    if (longest) {
        forget_visitor(endpoint, longest);
    }
    return longest != NULL;
}

/*
 * A name belongs to one process of a node; any number of processes may show
 * one certificate of a client, operator or observer at the same time, and each
 * is a peer of its own.
 */
static struct peer *find_visitor(const struct endpoint *endpoint,
                                 const struct handshake_remote *remote)
{
    const struct certificate *certificate = &remote->certificate;
    for (uint32_t i = 0; i < endpoint->peer_count; i++) {
        struct peer *peer = endpoint->peers[i].peer;
        if (peer_role(peer) == certificate->role &&
            strcmp(peer_name(peer), certificate->name) == 0 &&
            (certificate->role == ROLE_NODE ||
             peer_is_process(peer, remote->incarnation))) {
            return peer;
        }
    }
    return NULL;
}

/* ERR_BUSY: no room */
static enum err add_visitor(struct endpoint *endpoint,
                            const struct certificate *certificate,
                            struct peer **out)
{
    const struct endpoint_config *config = &endpoint->config;
    while (endpoint->peer_count == config->peer_count_max ||
           (certificate->role != ROLE_NODE &&
            client_count(endpoint) >= config->client_count_max)) {
        if (!make_room(endpoint, NULL)) {
            return ERR_BUSY;
        }
    }
    return add_peer(endpoint, certificate->role, certificate->name, out);
}

static enum err grant(struct endpoint *endpoint, struct door_visit *visit)
{
    const struct certificate *certificate = &visit->visitor.remote.certificate;
    const struct certificate *own = &endpoint->self.identity->certificate;
    if (certificate->role == own->role &&
        strcmp(certificate->name, own->name) == 0) {
        return ERR_SUPERSEDED; /* somebody else has our name */
    }
    struct peer *peer = find_visitor(endpoint, &visit->visitor.remote);
    enum err err = peer ? ERR_NONE : add_visitor(endpoint, certificate, &peer);
    if (!err) {
        err = peer_grant(peer, visit);
    }
    while (err == ERR_LIMIT && make_room(endpoint, peer)) {
        err = peer_grant(peer, visit); /* with the address of the other */
    }
    return err;
}

static void on_visit(void *context, struct door_visit *visit)
{
    struct endpoint *endpoint = context;
    visit->err = grant(endpoint, visit);
    if (visit->err) {
        const struct certificate *certificate =
            &visit->visitor.remote.certificate;
        log_warn(endpoint->config.log, "door.refused",
                 LOG_TEXT("peer", certificate->name),
                 LOG_TEXT("role", role_text(certificate->role)),
                 LOG_UNSIGNED("serial", certificate->serial),
                 LOG_ERR(visit->err));
    }
    door_reply(visit);
}

/* ---- from time to time ---- */

static void check_peers(struct endpoint *endpoint)
{
    uint64_t now_ns = reactor_now_ns(endpoint->config.reactor);
    for (uint32_t i = endpoint->peer_count; i > 0; i--) {
        struct peer *peer = endpoint->peers[i - 1].peer;
        if (!peer_check(peer)) {
            on_peer_change(endpoint, peer, PEER_CUT);
        }
        if (!endpoint->peers[i - 1].is_added &&
            peer_away_ns(peer, now_ns) >=
                endpoint->config.client_keep_ms * NS_PER_MS) {
            forget_visitor(endpoint, peer);
        }
    }
}

static void run_bus_key_timer(struct timer *timer)
{
    struct endpoint *endpoint = OWNER_OF(timer, struct endpoint, bus_key_timer);
    bus_key_forget_before(endpoint->bus);
}

static void set_check_timer(struct endpoint *endpoint)
{
    reactor_timer_set(endpoint->config.reactor, &endpoint->check_timer,
                      CHECK_PAUSE_MS * NS_PER_MS);
}

static void run_check_timer(struct timer *timer)
{
    struct endpoint *endpoint = OWNER_OF(timer, struct endpoint, check_timer);
    check_peers(endpoint);
    set_check_timer(endpoint);
}

/* ---- life ---- */

static void explain_address(struct err_detail *why,
                            const char *what,
                            const char *url,
                            enum err err)
{
    err_explain(why, "%s: %s: %s%s", what, url, err_text(err),
                err == ERR_INVALID
                    ? " here: is it an address of this machine? Otherwise "
                      "set `listen`"
                    : "");
}

static enum err open_door(struct endpoint *endpoint, struct err_detail *why)
{
    const struct endpoint_config *config = &endpoint->config;
    struct door_config door = {
        .network = config->network,
        .clock = config->clock,
        .log = config->log,
        .reactor = config->door_reactor,
        .owner_reactor = config->reactor,
        .url = config->addresses.door,
        .handshake_ms = config->handshake_ms,
        .connection_count_max = config->door_connection_count_max,
        .visit_count_max = VISIT_COUNT_MAX,
        .context = endpoint,
        .decide = on_visit,
    };
    enum err err = door_open(&endpoint->door, &door, &endpoint->self);
    if (err) {
        explain_address(why, "door", door.url, err);
    }
    return err;
}

static enum err open_bus(struct endpoint *endpoint, struct err_detail *why)
{
    const struct endpoint_config *config = &endpoint->config;
    struct bus_config bus = {
        .network = config->network,
        .reactor = config->reactor,
        .name = config->identity->certificate.name,
        .incarnation = endpoint->self.incarnation,
        .url = config->addresses.bus,
        .digest_bytes_max = config->digest_bytes_max,
        .sender_count_max = config->peer_count_max < BUS_SENDER_COUNT_MAX
                                ? config->peer_count_max
                                : BUS_SENDER_COUNT_MAX,
        .dial_ms_min = config->dial_ms_min,
        .dial_ms_max = config->dial_ms_max,
        .context = endpoint,
        .on_digest = on_digest,
    };
    enum err err = bus_open(&endpoint->bus, &bus);
    if (err) {
        explain_address(why, "bus", bus.url, err);
        return err;
    }
    return ERR_NONE;
}

static void set_self(struct endpoint *endpoint)
{
    const struct endpoint_config *config = &endpoint->config;
    struct handshake_self self = {
        .identity = config->identity,
        .trust = config->trust,
        .entropy = config->entropy,
        .clock = config->clock,
        .clock_skew_ms_max = config->clock_skew_ms_max,
        .started_ms = clock_wall_ms(config->clock),
        .versions = config->versions,
    };
    while (self.incarnation == 0) {
        self.incarnation = entropy_u64(config->entropy);
    }
    endpoint->self = handshake_self_share(&self);
    endpoint->home = (struct peer_home){
        .config = &endpoint->config,
        .self = &endpoint->self,
        .context = endpoint,
        .listen = listen_for_peer,
        .on_change = on_peer_change,
        .on_message = on_peer_message,
    };
}

/* The prefixes are kept; the other addresses are used at once. */
static void copy_addresses(struct endpoint *endpoint)
{
    struct endpoint_addresses *addresses = &endpoint->config.addresses;
    if (addresses->pair_bind) {
        assert(strlen(addresses->pair_bind) < SOCKET_URL_BYTES - 12);
        assert(strlen(addresses->pair_advertise) < SOCKET_URL_BYTES - 12);
        (void)snprintf(endpoint->pair_bind, SOCKET_URL_BYTES, "%s",
                       addresses->pair_bind);
        (void)snprintf(endpoint->pair_advertise, SOCKET_URL_BYTES, "%s",
                       addresses->pair_advertise);
    }
    addresses->pair_bind = endpoint->pair_bind;
    addresses->pair_advertise = endpoint->pair_advertise;
}

enum err endpoint_open(struct endpoint **out,
                       const struct endpoint_config *config,
                       struct err_detail *why)
{
    assert(config->identity && config->trust && config->reactor);
    scoped(endpoint_close) struct endpoint *endpoint =
        calloc(1, sizeof *endpoint);
    if (!endpoint) {
        return ERR_MEMORY;
    }
    endpoint->config = *config;
    if (config->versions.max == 0) {
        endpoint->config.versions = (struct version_range){
            .min = PROTOCOL_VERSION_MIN, .max = PROTOCOL_VERSION_MAX};
    }
    copy_addresses(endpoint);
    set_self(endpoint);
    endpoint->check_timer.fire = run_check_timer;
    endpoint->bus_key_timer.fire = run_bus_key_timer;
    endpoint->peers = calloc(config->peer_count_max, sizeof(struct known));
    if (!endpoint->peers) {
        return ERR_MEMORY;
    }
    enum err err = config->addresses.bus ? open_bus(endpoint, why) : ERR_NONE;
    if (!err && config->addresses.door) {
        err = open_door(endpoint, why);
    }
    if (err) {
        return err;
    }
    set_check_timer(endpoint);
    *out = endpoint;
    endpoint = NULL;
    return ERR_NONE;
}

/* Sockets that were closed may have left events behind. */
static void finish_events(const struct endpoint_config *config)
{
    (void)reactor_turn(config->reactor);
    (void)reactor_turn(config->door_reactor);
}

void endpoint_close(struct endpoint **endpoint)
{
    if (!*endpoint) {
        return;
    }
    struct endpoint *old = *endpoint;
    if (old->door) {
        door_shut(old->door);
        while (!door_is_idle(old->door)) {
            finish_events(&old->config);
        }
        door_close(&old->door);
    }
    while (old->peer_count > 0) {
        struct peer *peer = old->peers[old->peer_count - 1].peer;
        endpoint_peer_remove(old, &peer);
    }
    bus_close(&old->bus);
    reactor_timer_cancel(old->config.reactor, &old->check_timer);
    reactor_timer_cancel(old->config.reactor, &old->bus_key_timer);
    finish_events(&old->config);
    handshake_self_drop(&old->self);
    free(old->peers);
    free(old);
    *endpoint = NULL;
}

/* ---- peers ---- */

static enum err dial_bus(struct endpoint *endpoint,
                         struct known *known,
                         const char *url)
{
    char *copy = strdup(url);
    if (!copy) {
        return ERR_MEMORY;
    }
    enum err err = bus_dial(endpoint->bus, url);
    if (err) {
        free(copy);
        return err;
    }
    known->bus = copy;
    return ERR_NONE;
}

static struct known *find_known(struct endpoint *endpoint,
                                enum role role,
                                const char *name)
{
    for (uint32_t i = 0; i < endpoint->peer_count; i++) {
        const struct peer *peer = endpoint->peers[i].peer;
        if (peer_role(peer) == role && strcmp(peer_name(peer), name) == 0) {
            return &endpoint->peers[i];
        }
    }
    return NULL;
}

/* Between nodes, the smaller name dials, and knocks if nobody wishes
 * otherwise; others always do both. */
static bool comes_first(const struct endpoint *endpoint, const char *name)
{
    const struct certificate *own = &endpoint->self.identity->certificate;
    return own->role != ROLE_NODE || strcmp(own->name, name) < 0;
}

/* Have it reached as `address` says. On an error nothing has changed. */
static enum err settle(struct endpoint *endpoint,
                       struct known *known,
                       const struct peer_address *address)
{
    bool is_first = comes_first(endpoint, address->name);
    if (is_first && endpoint->bus && address->bus && !known->bus) {
        enum err err = dial_bus(endpoint, known, address->bus);
        if (err) {
            return err;
        }
    }
    known->is_added = true;
    known->is_settled = !address->knocks;
    peer_reach(known->peer, is_first || address->knocks ? address->door : NULL);
    return ERR_NONE;
}

enum err endpoint_peer_add(struct endpoint *endpoint,
                           const struct peer_address *address,
                           struct peer **out)
{
    const char *own = endpoint->self.identity->certificate.name;
    if (strcmp(own, address->name) == 0 ||
        !certificate_name_is_valid(address->name) ||
        strlen(address->door) >= SOCKET_URL_BYTES) {
        return ERR_INVALID;
    }
    struct known *known = find_known(endpoint, ROLE_NODE, address->name);
    if (known && known->is_settled) {
        return ERR_EXISTS;
    }
    struct peer *added = NULL;
    enum err err = ERR_NONE;
    if (!known) {
        err = add_peer(endpoint, ROLE_NODE, address->name, &added);
        if (err) {
            return err;
        }
        known = &endpoint->peers[endpoint->peer_count - 1];
    }
    err = settle(endpoint, known, address);
    if (err) {
        endpoint_peer_remove(endpoint, &added);
        return err;
    }
    if (out) {
        *out = known->peer;
    }
    return ERR_NONE;
}

void endpoint_peer_remove(struct endpoint *endpoint, struct peer **peer)
{
    for (uint32_t i = 0; i < endpoint->peer_count; i++) {
        struct known *known = &endpoint->peers[i];
        if (known->peer == *peer) {
            if (known->bus) {
                bus_undial(endpoint->bus, known->bus);
                free(known->bus);
            }
            *known = endpoint->peers[--endpoint->peer_count];
            peer_close(peer);
            return;
        }
    }
    assert(!*peer);
}

struct peer *endpoint_peer_find(struct endpoint *endpoint,
                                enum role role,
                                const char *name)
{
    const struct known *known = find_known(endpoint, role, name);
    return known ? known->peer : NULL;
}

void endpoint_peer_each(struct endpoint *endpoint,
                        void (*visit)(void *context, struct peer *peer),
                        void *context)
{
    for (uint32_t i = endpoint->peer_count; i > 0; i--) {
        visit(context, endpoint->peers[i - 1].peer);
    }
}

void endpoint_channel_set(struct endpoint *endpoint,
                          uint8_t channel,
                          channel_handler *handler,
                          void *context)
{
    assert(channel < CHANNEL_COUNT);
    endpoint->channels[channel] =
        (struct channel){.handle = handler, .context = context};
}

/* ---- renewal ---- */

struct trust *endpoint_trust(const struct endpoint *endpoint)
{
    return endpoint->self.trust;
}

/* Pass to the door what changed; on failure nothing has. */
static enum err use_self(struct endpoint *endpoint,
                         const struct handshake_self *self)
{
    enum err err =
        endpoint->door ? door_set_self(endpoint->door, self) : ERR_NONE;
    if (err) {
        return err;
    }
    struct handshake_self old = endpoint->self;
    endpoint->self = handshake_self_share(self);
    handshake_self_drop(&old);
    return ERR_NONE;
}

enum err endpoint_trust_set(struct endpoint *endpoint,
                            struct trust *trust,
                            struct err_detail *why)
{
    enum err err = trust_check_next(endpoint->self.trust, trust, why);
    if (err) {
        return err;
    }
    struct handshake_self self = endpoint->self;
    self.trust = trust;
    err = use_self(endpoint, &self);
    if (!err) {
        check_peers(endpoint);
    }
    return err;
}

static void refresh(void *context, struct peer *peer)
{
    (void)context;
    peer_refresh(peer);
}

enum err endpoint_identity_set(struct endpoint *endpoint,
                               const struct identity *identity)
{
    const struct certificate *old = &endpoint->self.identity->certificate;
    const struct certificate *new = &identity->certificate;
    if (strcmp(old->name, new->name) != 0 || old->role != new->role) {
        return ERR_INVALID;
    }
    struct handshake_self self = endpoint->self;
    self.identity = identity;
    enum err err = use_self(endpoint, &self);
    if (!err) {
        endpoint_peer_each(endpoint, refresh, NULL);
    }
    return err;
}

enum err endpoint_probe(struct probe **out,
                        const struct endpoint *endpoint,
                        const char *url,
                        probe_done *done,
                        void *context)
{
    return probe_open(out, &endpoint->home, url, done, context);
}

/* ---- the bus ---- */

enum err endpoint_publish(struct endpoint *endpoint, struct bytes digest)
{
    return endpoint->bus ? bus_publish(endpoint->bus, digest) : ERR_UNREACHABLE;
}

void endpoint_bus_key_set(struct endpoint *endpoint, const struct bus_key *key)
{
    if (endpoint->bus && key->number != bus_key(endpoint->bus)->number) {
        bus_key_set(endpoint->bus, key);
        reactor_timer_set(endpoint->config.reactor, &endpoint->bus_key_timer,
                          BUS_KEY_BEFORE_MS * NS_PER_MS);
    }
}

void endpoint_bus_key_make(struct endpoint *endpoint, uint32_t number)
{
    struct bus_key key = {.number = number};
    entropy_fill(endpoint->config.entropy, key.bytes, sizeof key.bytes);
    endpoint_bus_key_set(endpoint, &key);
    sodium_memzero(&key, sizeof key);
}

uint32_t endpoint_bus_key_number(const struct endpoint *endpoint)
{
    return endpoint->bus ? bus_key(endpoint->bus)->number : 0;
}

enum err endpoint_bus_key_write(const struct endpoint *endpoint,
                                struct peer *peer,
                                struct writer *out)
{
    if (endpoint_bus_key_number(endpoint) == 0) {
        return ERR_UNREACHABLE;
    }
    return peer_wrap(
        peer, bytes_of(bus_key(endpoint->bus)->bytes, SEAL_KEY_BYTES), out);
}

enum err endpoint_bus_key_take(struct endpoint *endpoint,
                               const struct peer *peer,
                               uint32_t number,
                               struct bytes wrapped)
{
    struct bus_key key = {.number = number};
    enum err err = peer_unwrap(peer, wrapped, key.bytes, sizeof key.bytes);
    if (!err) {
        endpoint_bus_key_set(endpoint, &key);
    }
    sodium_memzero(&key, sizeof key);
    return err;
}

const struct bus_stats *endpoint_bus_stats(const struct endpoint *endpoint)
{
    return endpoint->bus ? bus_stats(endpoint->bus) : NULL;
}

const struct door_stats *endpoint_door_stats(const struct endpoint *endpoint)
{
    return endpoint->door ? door_stats(endpoint->door) : NULL;
}

uint64_t endpoint_incarnation(const struct endpoint *endpoint)
{
    return endpoint->self.incarnation;
}
