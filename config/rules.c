#include "config/rules.h"

#include "base/scope.h"
#include "config/address.h"
#include "config/nearest.h"
#include "config/schema.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LINK_PORT_COUNT 1024   /* the default */
#define HTTP_PORT_OFFSET 10000 /* from the door's port, by default */

struct rules {
    struct settings *settings;
    const struct document_node *root;
    struct problems *problems;
};

/* ---- telling ---- */

/*
 * Whether nothing was said about the key. When the list is full we cannot
 * tell, and there is enough to do.
 */
static bool is_sound(const struct rules *rules, const char *key)
{
    const struct problems *problems = rules->problems;
    if (problems->more_count > 0) {
        return false;
    }
    for (uint32_t i = 0; i < problems->count; i++) {
        if (strcmp(problems->items[i].key, key) == 0) {
            return false;
        }
    }
    return true;
}

/* Where the key stands, or would stand; nowhere without a file. */
static struct problem *complain(struct rules *rules, const char *key)
{
    struct problem_place place = {0};
    if (rules->root) {
        place = document_place(document_nearest(rules->root, key));
    }
    return problems_add(rules->problems, place, key);
}

#define FOUND(problem, ...) \
    problem_say((problem)->found, sizeof(problem)->found, __VA_ARGS__)
#define ALLOWED(problem, ...) \
    problem_say((problem)->allowed, sizeof(problem)->allowed, __VA_ARGS__)

struct key_name {
    char text[SCHEMA_PATH_BYTES];
};

static struct key_name key_of(const char *list, uint32_t index, const char *key)
{
    struct key_name name;
    problem_say(name.text, sizeof name.text, "cluster.%s[%u].%s", list, index,
                key);
    return name;
}

static struct key_name member_key(uint32_t index, const char *key)
{
    return key_of("nodes", index, key);
}

/* ---- two values of one part ---- */

/* `key` must be at least `factor` times `other`, both below `part`. */
struct ratio {
    const char *part;
    const char *key;
    const char *other;
    uint64_t factor;
};

static const struct ratio ratios[] = {
    {"cluster.timeouts", "election", "heartbeat", 3},
    {"cluster.timeouts", "link_silence", "link_heartbeat", 3},
    {"cluster.timeouts", "dial_backoff_max", "dial_backoff_min", 1},
    {"cluster.limits", "link_window", "message_bytes_max", 2},
    {"cluster.limits", "link_inflight", "frame_bytes", 2},
    {"cluster.limits", "link_window", "link_inflight", 1},
    {"cluster.pools[]", "retry_backoff_max", "retry_backoff_min", 1},
};

static const struct schema_key *key_below(const char *part, const char *name)
{
    char path[SCHEMA_PATH_BYTES];
    problem_say(path, sizeof path, "%s.%s", part, name);
    const struct schema_key *key = schema_find(path);
    assert(key);
    return key;
}

static uint64_t value_of(const struct schema_key *key, const void *base)
{
    uint64_t value = 0;
    assert(key->size == sizeof value);
    memcpy(&value, (const uint8_t *)base + key->offset, sizeof value);
    return value;
}

/* `shown` is the part's name in this file: "cluster.pools[2]". */
static void check_ratio(struct rules *rules,
                        const struct ratio *ratio,
                        const void *base,
                        const char *shown)
{
    const struct schema_key *key = key_below(ratio->part, ratio->key);
    const struct schema_key *other = key_below(ratio->part, ratio->other);
    char path[SCHEMA_PATH_BYTES];
    char other_path[SCHEMA_PATH_BYTES];
    problem_say(path, sizeof path, "%s.%s", shown, ratio->key);
    problem_say(other_path, sizeof other_path, "%s.%s", shown, ratio->other);
    if (value_of(key, base) >= ratio->factor * value_of(other, base) ||
        !is_sound(rules, path) || !is_sound(rules, other_path)) {
        return;
    }
    /* Point at the one that stands in the file. */
    const struct document_node *node =
        rules->root ? document_nearest(rules->root, path) : NULL;
    bool is_written =
        !node || (node->key && strcmp(node->key, ratio->key) == 0);
    char value[SCHEMA_VALUE_BYTES];
    char other_value[SCHEMA_VALUE_BYTES];
    schema_write(value, key, base);
    schema_write(other_value, other, base);
    struct problem *problem = complain(rules, is_written ? path : other_path);
    FOUND(problem, "%s %s with %s %s", ratio->key, value, ratio->other,
          other_value);
    ALLOWED(problem, "%s at least %s%s", ratio->key,
            ratio->factor == 3   ? "three times "
            : ratio->factor == 2 ? "twice "
                                 : "",
            ratio->other);
}

static void check_ratios(struct rules *rules)
{
    struct settings_cluster *cluster = &rules->settings->cluster;
    for (size_t i = 0; i < sizeof ratios / sizeof *ratios; i++) {
        if (!strchr(ratios[i].part, '[')) {
            check_ratio(rules, &ratios[i], rules->settings, ratios[i].part);
            continue;
        }
        for (uint32_t j = 0; j < cluster->pool_count; j++) {
            char shown[SCHEMA_PATH_BYTES];
            problem_say(shown, sizeof shown, "cluster.pools[%u]", j);
            check_ratio(rules, &ratios[i], &cluster->pools[j], shown);
        }
    }
    const struct settings_timeouts *timeouts = &cluster->timeouts;
    const char *key = "cluster.timeouts.link_ack_delay";
    if (timeouts->link_ack_delay_ms >= timeouts->link_heartbeat_ms &&
        is_sound(rules, key)) {
        struct problem *problem = complain(rules, key);
        FOUND(problem,
              "link_ack_delay %" PRIu64 "ms with link_heartbeat %" PRIu64 "ms",
              timeouts->link_ack_delay_ms, timeouts->link_heartbeat_ms);
        ALLOWED(problem, "link_ack_delay less than link_heartbeat");
    }
}

/* ---- the cluster as a whole ---- */

static uint32_t count_role(const struct settings_cluster *cluster,
                           enum settings_role role)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        count += (cluster->members[i].roles & role) != 0;
    }
    return count;
}

static void check_id(struct rules *rules)
{
    static const uint8_t zeros[CLUSTER_ID_BYTES];
    const char *key = "cluster.id";
    if (memcmp(rules->settings->cluster.id, zeros, sizeof zeros) == 0 &&
        is_sound(rules, key) && is_sound(rules, "cluster")) {
        struct problem *problem = complain(rules, key);
        FOUND(problem, "only zeros");
        ALLOWED(problem, "the id that \"troupe cluster init\" made, the same "
                         "as in the certificates");
    }
}

static void check_shards(struct rules *rules)
{
    uint32_t shards = rules->settings->cluster.shards;
    const char *key = "cluster.shards";
    if ((shards & (shards - 1)) == 0 || !is_sound(rules, key)) {
        return;
    }
    uint32_t below = 1;
    while (below * 2 < shards) {
        below *= 2;
    }
    struct problem *problem = complain(rules, key);
    FOUND(problem, "%u", shards);
    ALLOWED(problem, "a power of two, such as %u or %u", below,
            below * 2 > 4096 ? below / 2 : below * 2);
}

/* The other nodes are learnt from the cluster: not all are in the file. */
static bool joins_by_seeds(const struct rules *rules)
{
    return rules->settings->seed_count > 0;
}

static void note_open(struct rules *rules)
{
    struct settings_cluster *cluster = &rules->settings->cluster;
    cluster->leaves_shards_open = !document_find(rules->root, "cluster.shards");
    cluster->leaves_replication_open =
        !document_find(rules->root, "cluster.replication");
}

static void complain_even(struct rules *rules)
{
    uint32_t replication = rules->settings->cluster.replication;
    struct problem *problem = complain(rules, "cluster.replication");
    FOUND(problem, "%u", replication);
    ALLOWED(problem, "an odd number (%u survives as many losses)",
            replication - 1);
}

static void check_replication(struct rules *rules)
{
    struct settings_cluster *cluster = &rules->settings->cluster;
    const char *key = "cluster.replication";
    uint32_t holders = count_role(cluster, SETTINGS_SHARD);
    if (cluster->replication == 0) {
        cluster->replication = holders >= 3 ? 3 : 1;
        return;
    }
    if (!is_sound(rules, key)) {
        return;
    }
    if (cluster->replication % 2 == 0) {
        complain_even(rules);
    } else if (cluster->replication > holders && holders > 0 &&
               !joins_by_seeds(rules)) {
        struct problem *problem = complain(rules, key);
        FOUND(problem, "%u with %u node%s that hold%s shards",
              cluster->replication, holders, holders == 1 ? "" : "s",
              holders == 1 ? "s" : "");
        ALLOWED(problem,
                "at most the number of nodes that have the role shard");
    }
}

static void check_roles(struct rules *rules)
{
    const struct settings_cluster *cluster = &rules->settings->cluster;
    static const struct {
        enum settings_role role;
        const char *name;
    } needed[] = {{SETTINGS_VOTER, "voter"}, {SETTINGS_SHARD, "shard"}};
    for (size_t i = 0; cluster->member_count && i < 2; i++) {
        if (count_role(cluster, needed[i].role) == 0 &&
            !joins_by_seeds(rules)) {
            struct problem *problem = complain(rules, "cluster.nodes");
            FOUND(problem, "no node with the role %s", needed[i].name);
            ALLOWED(problem, "at least one node with the role %s",
                    needed[i].name);
        }
    }
    if (cluster->member_count > cluster->limits.peers_max + 1 &&
        is_sound(rules, "cluster.limits.peers_max")) {
        struct problem *problem = complain(rules, "cluster.limits.peers_max");
        FOUND(problem, "%u with %u nodes", cluster->limits.peers_max,
              cluster->member_count);
        ALLOWED(problem, "at least the number of other nodes, %u",
                cluster->member_count - 1);
    }
}

/* ---- names ---- */

static void complain_twice(struct rules *rules,
                           const char *list,
                           uint32_t index,
                           const char *name)
{
    struct key_name key = key_of(list, index, "name");
    struct problem *problem = complain(rules, key.text);
    FOUND(problem, "the name \"%s\" again", name);
    ALLOWED(problem, "each name once");
}

static void check_names(struct rules *rules)
{
    const struct settings_cluster *cluster = &rules->settings->cluster;
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const char *name = cluster->members[i].name;
        if (*name && settings_find_member(rules->settings, name) !=
                         &cluster->members[i]) {
            complain_twice(rules, "nodes", i, name);
        }
    }
    for (uint32_t i = 0; i < cluster->pool_count; i++) {
        const char *name = cluster->pools[i].name;
        for (uint32_t j = 0; *name && j < i; j++) {
            if (strcmp(name, cluster->pools[j].name) == 0) {
                complain_twice(rules, "pools", i, name);
                break;
            }
        }
    }
}

static void check_self(struct rules *rules)
{
    const struct settings_cluster *cluster = &rules->settings->cluster;
    const char *name = rules->settings->node.name;
    if (!*name || settings_self(rules->settings) ||
        cluster->member_count == 0) {
        return;
    }
    struct nearest nearest = {.name = name};
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        nearest_offer(&nearest, cluster->members[i].name);
    }
    struct problem *problem = complain(rules, "node.name");
    FOUND(problem, "\"%s\", which is none of cluster.nodes", name);
    ALLOWED(problem, "the name of one of cluster.nodes, such as %s%s",
            nearest.best ? nearest.best : cluster->members[0].name,
            nearest.best ? " (did you mean that?)" : "");
}

/* ---- hosts and ports ---- */

static bool is_one_host(const char *left, const char *right)
{
    /* The one pair of names that is the same machine everywhere. */
    static const char name[] = "localhost";
    static const char address[] = "127.0.0.1";
    left = strcasecmp(left, name) == 0 ? address : left;
    right = strcasecmp(right, name) == 0 ? address : right;
    return strcasecmp(left, right) == 0;
}

static void check_host(struct rules *rules, uint32_t index)
{
    struct settings_cluster *cluster = &rules->settings->cluster;
    struct settings_member *member = &cluster->members[index];
    struct key_name key = member_key(index, "host");
    struct key_name item;
    problem_say(item.text, sizeof item.text, "cluster.nodes[%u]", index);
    if (cluster->transport != SETTINGS_IPC && is_sound(rules, key.text) &&
        is_sound(rules, item.text)) {
        bool is_any = strcmp(member->host, "0.0.0.0") == 0 ||
                      strcmp(member->host, "::") == 0;
        if (!*member->host) {
            struct problem *problem = complain(rules, key.text);
            FOUND(problem, "nothing: the key is missing");
            ALLOWED(problem, "the name or address at which the other nodes "
                             "reach this one");
        } else if (is_any) {
            struct problem *problem = complain(rules, key.text);
            FOUND(problem, "\"%s\", which nobody can dial", member->host);
            ALLOWED(problem,
                    "the address for others here, and \"listen: "
                    "%s\" beside it",
                    member->host);
        }
    }
    if (!*member->listen) {
        memcpy(member->listen, member->host, sizeof member->listen);
    }
}

static void derive_ports(struct rules *rules, uint32_t index)
{
    struct settings_member *member = &rules->settings->cluster.members[index];
    struct key_name bus_key = member_key(index, "bus_port");
    struct key_name link_key = member_key(index, "link_ports");
    if (member->bus_port == 0 && member->port == 65535) {
        struct problem *problem = complain(rules, bus_key.text);
        FOUND(problem, "no port behind port 65535");
        ALLOWED(problem, "a bus_port of its own, or a lower port");
        return;
    }
    if (member->bus_port == 0) {
        member->bus_port = (uint16_t)(member->port + 1);
    }
    if (member->link_ports.first != 0) {
        return;
    }
    if (member->bus_port > 65535 - LINK_PORT_COUNT &&
        is_sound(rules, link_key.text)) {
        struct problem *problem = complain(rules, link_key.text);
        FOUND(problem, "no room for 1024 ports behind bus_port %u",
              member->bus_port);
        ALLOWED(problem, "link_ports of their own, or lower ports");
        return;
    }
    if (member->bus_port > 65535 - LINK_PORT_COUNT) {
        return;
    }
    member->link_ports = (struct settings_port_range){
        (uint16_t)(member->bus_port + 1),
        (uint16_t)(member->bus_port + LINK_PORT_COUNT)};
}

/*
 * As distinct from node to node as the doors' ports are, and far from the
 * ports for links. Not with ipc: there all doors' ports may be the same.
 */
static void derive_http_port(struct rules *rules, uint32_t index)
{
    const struct settings *settings = rules->settings;
    struct settings_member *member = &settings->cluster.members[index];
    struct key_name key = member_key(index, "http_port");
    const struct document_node *node = document_nearest(rules->root, key.text);
    if ((node->key && strcmp(node->key, "http_port") == 0) ||
        settings->cluster.transport == SETTINGS_IPC) {
        return;
    }
    bool is_above = member->port <= UINT16_MAX - HTTP_PORT_OFFSET;
    member->http_port = (uint16_t)(is_above ? member->port + HTTP_PORT_OFFSET
                                            : member->port - HTTP_PORT_OFFSET);
}

/* What one member listens on: door, bus, links and HTTP. */
#define USE_COUNT 4
static const char *const use_keys[USE_COUNT] = {"port", "bus_port",
                                                "link_ports", "http_port"};

/* One that is not used begins with 0. */
struct port_uses {
    struct settings_port_range ranges[USE_COUNT];
};

static struct settings_port_range one_port(uint16_t port)
{
    return (struct settings_port_range){port, port};
}

static struct port_uses uses_of(const struct settings *settings,
                                const struct settings_member *member)
{
    struct port_uses uses = {0};
    if (settings->cluster.transport != SETTINGS_IPC) {
        uses.ranges[0] = one_port(member->port);
    }
    if (settings->cluster.transport == SETTINGS_TCP) {
        uses.ranges[1] = one_port(member->bus_port);
        uses.ranges[2] = member->link_ports;
    }
    uses.ranges[3] = one_port(member->http_port);
    return uses;
}

static bool overlap(struct settings_port_range left,
                    struct settings_port_range right)
{
    return left.first <= right.last && right.first <= left.last;
}

static void range_text(char out[static 16], struct settings_port_range range)
{
    if (range.first == range.last) {
        (void)snprintf(out, 16, "%u", range.first);
    } else {
        (void)snprintf(out, 16, "%u-%u", range.first, range.last);
    }
}

/* One of a member's uses: two of them must not overlap. */
struct port_use {
    uint32_t member;
    uint32_t use;
};

/* One port may be derived from another, so that one problem spoils all. */
static bool ports_are_sound(const struct rules *rules, uint32_t member)
{
    for (uint32_t i = 0; i < USE_COUNT; i++) {
        struct key_name key = member_key(member, use_keys[i]);
        if (!is_sound(rules, key.text)) {
            return false;
        }
    }
    return true;
}

static void complain_overlap(struct rules *rules,
                             struct port_use use,
                             struct port_use earlier)
{
    const struct settings *settings = rules->settings;
    const struct settings_member *ours = &settings->cluster.members[use.member];
    const struct settings_member *theirs =
        &settings->cluster.members[earlier.member];
    char range[16];
    char taken[16];
    range_text(range, uses_of(settings, ours).ranges[use.use]);
    range_text(taken, uses_of(settings, theirs).ranges[earlier.use]);
    struct key_name key = member_key(use.member, use_keys[use.use]);
    struct problem *problem = complain(rules, key.text);
    FOUND(problem, "%s on %.60s, which overlaps with %s %s of \"%s\"", range,
          *ours->host ? ours->host : "this machine", use_keys[earlier.use],
          taken, theirs->name);
    ALLOWED(problem, "each port once on a host");
}

/* The first earlier use on the same host that overlaps is complained about. */
static bool check_use(struct rules *rules, struct port_use use)
{
    const struct settings *settings = rules->settings;
    const struct settings_member *members = settings->cluster.members;
    struct settings_port_range range =
        uses_of(settings, &members[use.member]).ranges[use.use];
    for (uint32_t i = 0; i <= use.member && range.first; i++) {
        /* With ipc all nodes are on one machine. */
        if (settings->cluster.transport != SETTINGS_IPC &&
            !is_one_host(members[i].host, members[use.member].host)) {
            continue;
        }
        struct port_uses uses = uses_of(settings, &members[i]);
        uint32_t count = i == use.member ? use.use : USE_COUNT;
        for (uint32_t j = 0; j < count; j++) {
            if (uses.ranges[j].first && overlap(uses.ranges[j], range) &&
                ports_are_sound(rules, i)) {
                complain_overlap(rules, use, (struct port_use){i, j});
                return false;
            }
        }
    }
    return true;
}

static void check_overlaps(struct rules *rules)
{
    const struct settings *settings = rules->settings;
    for (uint32_t i = 0; i < settings->cluster.member_count; i++) {
        const struct settings_member *member = &settings->cluster.members[i];
        bool has_host =
            *member->host || settings->cluster.transport == SETTINGS_IPC;
        bool is_well = has_host && ports_are_sound(rules, i);
        /* One complaint each: the other ports are often derived from it. */
        for (uint32_t j = 0; is_well && j < USE_COUNT; j++) {
            is_well = check_use(rules, (struct port_use){i, j});
        }
    }
}

static void check_link_count(struct rules *rules, uint32_t index)
{
    const struct settings_cluster *cluster = &rules->settings->cluster;
    struct settings_port_range range = cluster->members[index].link_ports;
    struct key_name key = member_key(index, "link_ports");
    uint32_t count = (uint32_t)range.last - range.first + 1;
    if (range.first && count < cluster->member_count &&
        is_sound(rules, key.text)) {
        struct problem *problem = complain(rules, key.text);
        FOUND(problem, "%u port%s with %u nodes", count, count == 1 ? "" : "s",
              cluster->member_count);
        ALLOWED(problem, "at least %u: one for each other node and one more",
                cluster->member_count);
    }
}

static void check_socket_path(struct rules *rules, uint32_t index)
{
    const struct settings_cluster *cluster = &rules->settings->cluster;
    const struct settings_member *member = &cluster->members[index];
    /* DIR "/" NAME "-link-" 5 digits: the longest suffix there is. */
    size_t bytes = strlen(cluster->ipc_dir) + strlen(member->name) + 12;
    if (bytes >= ADDRESS_SOCKET_PATH_BYTES &&
        is_sound(rules, "cluster.ipc_dir")) {
        struct problem *problem = complain(rules, "cluster.ipc_dir");
        FOUND(problem, "a path of %zu bytes for a socket of the node \"%s\"",
              bytes, member->name);
        ALLOWED(problem, "at most %d bytes: a shorter folder or name",
                ADDRESS_SOCKET_PATH_BYTES - 1);
    }
}

static void check_ipc(struct rules *rules)
{
    const struct settings_cluster *cluster = &rules->settings->cluster;
    if (*cluster->ipc_dir != '/' && is_sound(rules, "cluster.ipc_dir")) {
        struct problem *problem = complain(rules, "cluster.ipc_dir");
        FOUND(problem, "a relative path");
        ALLOWED(problem, "an absolute path: all nodes meet there");
    }
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        check_socket_path(rules, i);
    }
}

static void check_members(struct rules *rules)
{
    const struct settings_cluster *cluster = &rules->settings->cluster;
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        check_host(rules, i);
        if (cluster->transport == SETTINGS_TCP) {
            derive_ports(rules, i);
            check_link_count(rules, i);
        }
        derive_http_port(rules, i);
    }
    check_overlaps(rules);
}

/* ---- seeds ---- */

static void check_seeds(struct rules *rules)
{
    static const char *const schemes[] = {"tcp://", "ipc://", "ws://"};
    const struct settings *settings = rules->settings;
    const char *scheme = schemes[settings->cluster.transport];
    for (uint32_t i = 0; i < settings->seed_count; i++) {
        const char *url = settings->seeds[i].url;
        char key[32];
        (void)snprintf(key, sizeof key, "seeds[%u]", i);
        if (*url && strncmp(url, scheme, strlen(scheme)) != 0 &&
            is_sound(rules, "cluster.transport")) {
            struct problem *problem = complain(rules, key);
            FOUND(problem, "\"%s\", but the transport is %.*s", url,
                  (int)strlen(scheme) - 3, scheme);
            ALLOWED(problem, "addresses that begin with %s", scheme);
        }
        for (uint32_t j = 0; *url && j < i; j++) {
            if (strcmp(url, settings->seeds[j].url) == 0) {
                struct problem *problem = complain(rules, key);
                FOUND(problem, "\"%s\" again", url);
                ALLOWED(problem, "each address once");
                break;
            }
        }
    }
}

void rules_apply(struct settings *settings,
                 const struct document_node *root,
                 struct problems *problems)
{
    struct rules rules = {settings, root, problems};
    note_open(&rules);
    check_id(&rules);
    check_shards(&rules);
    check_roles(&rules);
    check_replication(&rules);
    check_names(&rules);
    check_self(&rules);
    check_ratios(&rules);
    if (settings->cluster.transport == SETTINGS_IPC) {
        check_ipc(&rules);
    }
    check_members(&rules);
    check_seeds(&rules);
}

enum err rules_check_cluster(const struct settings *settings,
                             struct err_detail *why)
{
    struct settings copy = *settings; /* nothing in it is changed */
    scoped(problems_close) struct problems *problems =
        calloc(1, sizeof *problems);
    if (!problems) {
        return ERR_MEMORY;
    }
    struct rules rules = {&copy, NULL, problems};
    copy.cluster.pool_count = 0;
    check_id(&rules);
    check_shards(&rules);
    check_ratios(&rules);
    if (copy.cluster.replication % 2 == 0) {
        complain_even(&rules);
    }
    if (problems->count == 0) {
        return ERR_NONE;
    }
    err_explain(why, "%s: found %s; allowed: %s", problems->items[0].key,
                problems->items[0].found, problems->items[0].allowed);
    return ERR_INVALID;
}
