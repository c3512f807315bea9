#include "node/links.h"

#include "base/owner.h"
#include "base/posix/posix_clock.h"
#include "base/posix/posix_entropy.h"
#include "base/posix/posix_files.h"
#include "base/posix/posix_limits.h"
#include "base/posix/posix_log_tail.h"
#include "base/posix/posix_reactor.h"
#include "base/scope.h"
#include "base/time_units.h"
#include "config/config.h"
#include "node/agreed.h"
#include "transport/nng_network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of one link: its pair socket's two pipes, its knock, its bus connection. */
#define DESCRIPTORS_PER_PEER 8
#define DESCRIPTORS_ASIDE 128 /* NNG, log, data files */
/* sodium_malloc() locks a page for each of a link's secrets. */
#define LOCKED_BYTES_PER_PEER (2 * 4096)
#define LOCKED_BYTES_ASIDE (256 * 1024)
#define KEYS_PAUSE_NS (60 * NS_PER_S)
#define EXPIRY_PAUSE_NS (24 * 60 * 60 * NS_PER_S) /* between warnings */

struct links {
    struct timer keys_timer;   /* the next look at the keys folder */
    uint64_t expiry_warned_ns; /* 0: never */
    enum err reload_err;       /* of the last look */
    struct settings *settings;
    struct posix_log_tail *log_tail;
    struct log *log;
    const struct identity *identity;
    struct trust *trust;
    struct posix_reactor *reactor;
    struct posix_reactor *door;
    struct endpoint *endpoint;
};

/* ---- opening, in order ---- */

static enum err open_settings(struct links *links,
                              const struct links_options *options,
                              struct problems *problems,
                              struct err_detail *why)
{
    enum err err = config_open(&links->settings, posix_files(),
                               options->config_path, problems);
    if (err) {
        char text[PROBLEM_TEXT_BYTES] = "out of memory";
        if (problems->count > 0) {
            problem_text(text, problems, &problems->items[0]);
        }
        err_explain(why, "%s", text);
        return err;
    }
    char *name = links->settings->node.name;
    if (options->name) {
        (void)snprintf(name, SETTINGS_NAME_BYTES, "%s", options->name);
    }
    if (settings_self(links->settings)) {
        return ERR_NONE;
    }
    err_explain(why,
                name[0] ? "%s: cluster.nodes has no node \"%s\""
                        : "%s: which node is this? Set node.name or say it "
                          "on the command line%s",
                options->config_path, name);
    return ERR_INVALID;
}

static enum err open_log(struct links *links,
                         const struct links_options *options)
{
    const struct settings_node *own = &links->settings->node;
    enum err err = posix_log_tail_open(
        &links->log_tail, (size_t)own->log_kept_bytes, options->log_sink);
    if (err) {
        return err;
    }
    struct log_config config = {.node = own->name,
                                .level_min = own->log_level,
                                .format = own->log_format,
                                .sink = posix_log_tail_sink(links->log_tail),
                                .clock = posix_clock()};
    return log_open(&links->log, &config);
}

static uint32_t peer_count_max(const struct settings *settings)
{
    return settings->cluster.limits.peers_max +
           settings->cluster.limits.clients_max;
}

/* What the members of the file need; more may come with clients. */
static enum err check_limits(const struct links *links, struct err_detail *why)
{
    const struct settings *settings = links->settings;
    uint64_t peer_count = settings->cluster.member_count;
    struct posix_limits_needed needed = {
        .descriptor_count = peer_count * DESCRIPTORS_PER_PEER +
                            settings->node.door_connections_max +
                            DESCRIPTORS_ASIDE,
        .locked_bytes = peer_count * LOCKED_BYTES_PER_PEER + LOCKED_BYTES_ASIDE,
    };
    return posix_limits_check(&needed, why);
}

/* What is in the keys folder: our certificate, and that trust bears it. */
static enum err read_keys(const struct links *links,
                          const struct identity **identity,
                          struct trust **trust,
                          struct err_detail *why)
{
    const struct settings_node *own = &links->settings->node;
    char path[SETTINGS_PATH_BYTES + 8];
    (void)snprintf(path, sizeof path, "%s/trust", own->keys_dir);
    enum err err =
        identity_open(identity, posix_files(), own->keys_dir, own->name, why);
    if (!err) {
        err = trust_open(trust, posix_files(), path, why);
    }
    if (err) {
        return err;
    }
    struct certificate own_certificate = {0};
    err = trust_check(
        *trust, bytes_of((*identity)->encoded, (*identity)->encoded_length),
        clock_wall_ms(posix_clock()),
        links->settings->cluster.limits.clock_skew_ms, &own_certificate, why);
    if (!err && memcmp(own_certificate.cluster_id, links->settings->cluster.id,
                       CLUSTER_ID_BYTES) != 0) {
        char id[2 * CLUSTER_ID_BYTES + 1];
        hex_encode(id, bytes_of(own_certificate.cluster_id, CLUSTER_ID_BYTES));
        err_explain(why,
                    "%s.cert is of the cluster %s; cluster.id names another",
                    own->name, id);
        err = ERR_OTHER_CLUSTER;
    }
    if (!err && own_certificate.role != ROLE_NODE) {
        err_explain(why,
                    "%s.cert is for the role %s; a node needs the role node",
                    own->name, role_text(own_certificate.role));
        err = ERR_DENIED;
    }
    return err;
}

static enum err open_identity(struct links *links, struct err_detail *why)
{
    enum err err = identity_library_init();
    return err ? err : read_keys(links, &links->identity, &links->trust, why);
}

static void warn_of_expiry(struct links *links)
{
    uint64_t now_ns = clock_now_ns(posix_clock());
    int64_t now_ms = clock_wall_ms(posix_clock());
    int64_t left_ms =
        links->identity->certificate.not_after * MS_PER_S - now_ms;
    int64_t warning_ms =
        (int64_t)links->settings->cluster.limits.certificate_warning_ms;
    bool is_due = links->expiry_warned_ns == 0 ||
                  now_ns - links->expiry_warned_ns >= EXPIRY_PAUSE_NS;
    if (left_ms < warning_ms && is_due) {
        links->expiry_warned_ns = now_ns;
        log_warn(links->log, "certificate.expires",
                 LOG_NUMBER("days_left", left_ms / MS_PER_DAY),
                 LOG_TEXT("next", "troupe key renew"));
    }
}

/* The numbers of the configuration, as the transport takes them. */
static void use_settings(struct endpoint_config *config,
                         const struct settings *settings)
{
    const struct settings_timeouts *timeouts = &settings->cluster.timeouts;
    const struct settings_limits *limits = &settings->cluster.limits;
    config->link = (struct link_limits){
        .frame_bytes = (uint32_t)limits->frame_bytes,
        .message_bytes_max = (uint32_t)limits->message_bytes_max,
        .window_bytes = limits->link_window_bytes,
        .inflight_bytes_max = limits->link_inflight_bytes,
        .rekey_bytes = limits->rekey_bytes,
        .rekey_ms = limits->rekey_interval_ms,
        .heartbeat_ms = (uint32_t)timeouts->link_heartbeat_ms,
        .ack_delay_ms = (uint32_t)timeouts->link_ack_delay_ms,
    };
    config->clock_skew_ms_max = limits->clock_skew_ms;
    config->handshake_ms = (uint32_t)timeouts->handshake_ms;
    config->proof_ms = (uint32_t)timeouts->first_frame_ms;
    config->silence_ms = (uint32_t)timeouts->link_silence_ms;
    config->dial_ms_min = (uint32_t)timeouts->dial_backoff_min_ms;
    config->dial_ms_max = (uint32_t)timeouts->dial_backoff_max_ms;
    config->peer_count_max = peer_count_max(settings);
    config->client_count_max = limits->clients_max;
    config->door_connection_count_max = settings->node.door_connections_max;
    config->digest_bytes_max = (uint32_t)limits->bus_message_bytes_max;
}

static enum err open_endpoint(struct links *links,
                              const struct links_options *options,
                              struct err_detail *why)
{
    const struct settings *settings = links->settings;
    const struct settings_member *self = settings_self(settings);
    char door[SOCKET_URL_BYTES];
    char bus[SOCKET_URL_BYTES];
    char bind[SOCKET_URL_BYTES];
    char advertise[SOCKET_URL_BYTES];
    settings_door_url(door, settings, self, SETTINGS_BIND);
    settings_bus_url(bus, settings, self, SETTINGS_BIND);
    settings_link_prefix(bind, settings, self, SETTINGS_BIND);
    settings_link_prefix(advertise, settings, self, SETTINGS_ADVERTISED);
    struct endpoint_config config = {
        .network = nng_network(),
        .clock = posix_clock(),
        .entropy = posix_entropy(),
        .log = links->log,
        .reactor = posix_reactor_get(links->reactor),
        .door_reactor = posix_reactor_get(links->door),
        .identity = links->identity,
        .trust = links->trust,
        .addresses = {.door = door,
                      .bus = bus,
                      .pair_bind = bind,
                      .pair_advertise = advertise,
                      .pair_first = settings_link_first(settings, self),
                      .pair_count = settings_link_count(settings, self)},
        .events = options->events,
    };
    endpoint_config_defaults(&config);
    use_settings(&config, settings);
    return endpoint_open(&links->endpoint, &config, why);
}

static enum err add_members(struct links *links, struct err_detail *why)
{
    const struct settings *settings = links->settings;
    for (uint32_t i = 0; i < settings->cluster.member_count; i++) {
        const struct settings_member *member = &settings->cluster.members[i];
        if (member == settings_self(settings)) {
            continue;
        }
        char door[SOCKET_URL_BYTES];
        char bus[SOCKET_URL_BYTES];
        settings_door_url(door, settings, member, SETTINGS_ADVERTISED);
        settings_bus_url(bus, settings, member, SETTINGS_ADVERTISED);
        struct peer_address address = {
            .name = member->name, .door = door, .bus = bus};
        enum err err = endpoint_peer_add(links->endpoint, &address, NULL);
        if (err) {
            err_explain(why, "node %s: %s", member->name, err_text(err));
            return err;
        }
    }
    return ERR_NONE;
}

/* What needs nothing but files. */
static enum err read_files(struct links *links,
                           const struct links_options *options,
                           struct problems *problems,
                           struct err_detail *why)
{
    enum err err = open_settings(links, options, problems, why);
    if (!err) {
        err = open_log(links, options);
    }
    if (!err) {
        agreed_use(links->settings, posix_files(), links->log);
    }
    if (!err) {
        err = check_limits(links, why);
    }
    if (!err) {
        err = open_identity(links, why);
    }
    if (!err) {
        warn_of_expiry(links);
    }
    return err;
}

static enum err open_layers(struct links *links,
                            const struct links_options *options,
                            struct problems *problems,
                            struct err_detail *why)
{
    enum err err = read_files(links, options, problems, why);
    if (!err) {
        err = posix_reactor_open(&links->reactor, "links");
    }
    if (!err) {
        err = posix_reactor_open(&links->door, "door");
    }
    if (!err) {
        err = open_endpoint(links, options, why);
    }
    return err || options->knows_nobody ? err : add_members(links, why);
}

static enum err explained(enum err err, struct err_detail *why)
{
    if (err && why && !why->text[0]) {
        err_explain(why, "%s", err_text(err));
    }
    return err;
}

enum err links_open(struct links **out,
                    const struct links_options *options,
                    struct problems *problems,
                    struct err_detail *why)
{
    scoped(links_close) struct links *links = calloc(1, sizeof *links);
    if (!links) {
        return ERR_MEMORY;
    }
    enum err err = explained(open_layers(links, options, problems, why), why);
    if (err) {
        return err;
    }
    *out = links;
    links = NULL;
    return ERR_NONE;
}

enum err links_check(const struct links_options *options,
                     struct problems *problems,
                     struct err_detail *why)
{
    scoped(links_close) struct links *links = calloc(1, sizeof *links);
    return links ? explained(read_files(links, options, problems, why), why)
                 : ERR_MEMORY;
}

static void run_keys_timer(struct timer *timer);

enum err links_start(struct links *links)
{
    links->keys_timer.fire = run_keys_timer;
    reactor_timer_set(links_reactor(links), &links->keys_timer, KEYS_PAUSE_NS);
    enum err err = posix_reactor_start(links->door);
    if (!err) {
        err = posix_reactor_start(links->reactor);
    }
    if (err) {
        links_stop(links);
    }
    return err;
}

void links_stop(struct links *links)
{
    posix_reactor_stop(links->reactor);
    posix_reactor_stop(links->door);
}

void links_close(struct links **links)
{
    if (!*links) {
        return;
    }
    links_stop(*links);
    if ((*links)->reactor) {
        reactor_timer_cancel(links_reactor(*links), &(*links)->keys_timer);
    }
    endpoint_close(&(*links)->endpoint);
    posix_reactor_close(&(*links)->reactor);
    posix_reactor_close(&(*links)->door);
    trust_unref(&(*links)->trust);
    identity_unref(&(*links)->identity);
    log_close(&(*links)->log);
    posix_log_tail_close(&(*links)->log_tail);
    settings_close(&(*links)->settings);
    free(*links);
    *links = NULL;
}

static enum err use_keys(struct links *links,
                         const struct identity *identity,
                         struct trust *trust,
                         struct err_detail *why)
{
    enum err err = ERR_NONE;
    /* An older file does not count: a newer trust came over the links, and
     * could not be kept, or is just being written. */
    if (trust_version(trust) > trust_version(endpoint_trust(links->endpoint))) {
        err = endpoint_trust_set(links->endpoint, trust, why);
        if (err) {
            return err;
        }
        trust_unref(&links->trust);
        links->trust = trust_ref(trust);
    }
    if (identity->certificate.serial != links->identity->certificate.serial) {
        err = endpoint_identity_set(links->endpoint, identity);
        if (err) {
            return err;
        }
        identity_unref(&links->identity);
        links->identity = identity_ref(identity);
    }
    warn_of_expiry(links);
    return ERR_NONE;
}

enum err links_reload(struct links *links, struct err_detail *why)
{
    scoped(identity_unref) const struct identity *identity = NULL;
    scoped(trust_unref) struct trust *trust = NULL;
    enum err err = read_keys(links, &identity, &trust, why);
    return err ? err : use_keys(links, identity, trust, why);
}

/*
 * New keys and revocations count without anyone's doing more than copying
 * files. The files are small and seldom read; so it is done on the reactor.
 */
static void run_keys_timer(struct timer *timer)
{
    struct links *links = OWNER_OF(timer, struct links, keys_timer);
    struct err_detail why = {{0}};
    enum err err = links_reload(links, &why);
    if (err && err != links->reload_err) {
        log_error(links->log, "keys.refused", LOG_ERR(err),
                  LOG_TEXT("why", why.text),
                  LOG_TEXT("next", "what was read before stays in use"));
    }
    links->reload_err = err;
    reactor_timer_set(links_reactor(links), timer, KEYS_PAUSE_NS);
}

const struct settings *links_settings(const struct links *links)
{
    return links->settings;
}

struct posix_log_tail *links_log_tail(const struct links *links)
{
    return links->log_tail;
}

struct log *links_log(const struct links *links)
{
    return links->log;
}

struct endpoint *links_endpoint(const struct links *links)
{
    return links->endpoint;
}

struct reactor *links_reactor(const struct links *links)
{
    return posix_reactor_get(links->reactor);
}
