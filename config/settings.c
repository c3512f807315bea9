#include "config/settings.h"

#include "config/problems.h"
#include "config/schema.h"

#include <assert.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void settings_close(struct settings **settings)
{
    if (*settings) {
        free((*settings)->seeds);
        free((*settings)->cluster.members);
        free((*settings)->cluster.pools);
        free(*settings);
        *settings = NULL;
    }
}

const struct settings_member *settings_find_member(
    const struct settings *settings, const char *name)
{
    for (uint32_t i = 0; i < settings->cluster.member_count; i++) {
        if (strcmp(settings->cluster.members[i].name, name) == 0) {
            return &settings->cluster.members[i];
        }
    }
    return NULL;
}

const struct settings_member *settings_self(const struct settings *settings)
{
    const char *name = settings->node.name;
    return *name ? settings_find_member(settings, name) : NULL;
}

uint32_t settings_quiet_ms(const struct settings *settings)
{
    return (uint32_t)settings->cluster.timeouts.link_heartbeat_ms * 3 / 2;
}

/* ---- addresses ---- */

__attribute__((format(printf, 2, 3))) static void put(
    char out[static SOCKET_URL_BYTES], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(out, SOCKET_URL_BYTES, format, arguments);
    va_end(arguments);
    /* The bounds of host, folder and name see to that. */
    assert(length > 0 && length < SOCKET_URL_BYTES);
}

/* SCHEME://HOST:PORT, an IPv6 address in brackets, and a path behind it. */
static void put_address(char out[static SOCKET_URL_BYTES],
                        const struct settings *settings,
                        const char *host,
                        uint16_t port,
                        const char *path)
{
    bool is_ws = settings->cluster.transport == SETTINGS_WS;
    bool is_ipv6 = strchr(host, ':') != NULL;
    put(out, "%s://%s%s%s:%u%s", is_ws ? "ws" : "tcp", is_ipv6 ? "[" : "", host,
        is_ipv6 ? "]" : "", port, is_ws ? path : "");
}

static void put_socket(char out[static SOCKET_URL_BYTES],
                       const struct settings *settings,
                       const struct settings_member *member,
                       const char *suffix)
{
    put(out, "ipc://%s/%s-%s.ipc", settings->cluster.ipc_dir, member->name,
        suffix);
}

static const char *host_of(const struct settings_member *member,
                           enum settings_form form)
{
    return form == SETTINGS_BIND ? member->listen : member->host;
}

void settings_door_url(char out[static SOCKET_URL_BYTES],
                       const struct settings *settings,
                       const struct settings_member *member,
                       enum settings_form form)
{
    if (settings->cluster.transport == SETTINGS_IPC) {
        put_socket(out, settings, member, "door");
        return;
    }
    put_address(out, settings, host_of(member, form), member->port, "/door");
}

void settings_bus_url(char out[static SOCKET_URL_BYTES],
                      const struct settings *settings,
                      const struct settings_member *member,
                      enum settings_form form)
{
    if (settings->cluster.transport == SETTINGS_IPC) {
        put_socket(out, settings, member, "bus");
        return;
    }
    bool is_ws = settings->cluster.transport == SETTINGS_WS;
    put_address(out, settings, host_of(member, form),
                is_ws ? member->port : member->bus_port, "/bus");
}

uint32_t settings_link_count(const struct settings *settings,
                             const struct settings_member *member)
{
    const struct settings_limits *limits = &settings->cluster.limits;
    uint32_t wanted = limits->peers_max + limits->clients_max;
    if (settings->cluster.transport != SETTINGS_TCP) {
        return wanted;
    }
    uint32_t ports =
        (uint32_t)member->link_ports.last - member->link_ports.first + 1;
    return ports < wanted ? ports : wanted;
}

void settings_link_prefix(char out[static SOCKET_URL_BYTES],
                          const struct settings *settings,
                          const struct settings_member *member,
                          enum settings_form form)
{
    if (settings->cluster.transport == SETTINGS_IPC) {
        put(out, "ipc://%s/%s-link-", settings->cluster.ipc_dir, member->name);
        return;
    }
    if (settings->cluster.transport == SETTINGS_WS) {
        put_address(out, settings, host_of(member, form), member->port,
                    "/link/");
        return;
    }
    /* The port is the number that follows: cut it off again. */
    put_address(out, settings, host_of(member, form), 0, "");
    out[strlen(out) - 1] = '\0';
}

uint32_t settings_link_first(const struct settings *settings,
                             const struct settings_member *member)
{
    return settings->cluster.transport == SETTINGS_TCP
               ? member->link_ports.first
               : 0;
}

static bool is_door(const struct settings *settings, const char *url)
{
    for (uint32_t i = 0; i < settings->cluster.member_count; i++) {
        char door[SOCKET_URL_BYTES];
        settings_door_url(door, settings, &settings->cluster.members[i],
                          SETTINGS_ADVERTISED);
        if (strcmp(door, url) == 0) {
            return true;
        }
    }
    return false;
}

bool settings_joins_only(const struct settings *settings)
{
    for (uint32_t i = 0; i < settings->seed_count; i++) {
        if (!is_door(settings, settings->seeds[i].url)) {
            return true;
        }
    }
    return false;
}

/* ---- comparing ---- */

static const char absent[] = "absent";
static const char present[] = "present";

/* The lists of `cluster`: the same shape for members and pools. */
struct list {
    const struct schema_key *key;
    const uint8_t *items;
    uint32_t count;
};

static struct list list_of(const struct schema_key *key,
                           const struct settings *settings)
{
    const uint8_t *base = (const uint8_t *)settings;
    struct list list = {.key = key};
    memcpy(&list.items, base + key->offset, sizeof list.items);
    memcpy(&list.count, base + key->count_offset, sizeof list.count);
    return list;
}

static const void *item_at(const struct list *list, uint32_t index)
{
    return list->items + index * list->key->item_bytes;
}

/* Both kinds of items begin with their names. */
static_assert(offsetof(struct settings_member, name) == 0, "name first");
static_assert(offsetof(struct settings_pool, name) == 0, "name first");

static const char *name_at(const struct list *list, uint32_t index)
{
    return item_at(list, index);
}

static const void *item_named(const struct list *list, const char *name)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (strcmp(name_at(list, i), name) == 0) {
            return item_at(list, i);
        }
    }
    return NULL;
}

struct comparison {
    const struct settings *left;
    const struct settings *right;
    settings_on_difference *on_difference;
    void *context;
    uint32_t count;
};

static void differ(struct comparison *comparison,
                   const char *key,
                   const char *left,
                   const char *right)
{
    comparison->count++;
    if (comparison->on_difference) {
        comparison->on_difference(comparison->context, key, left, right);
    }
}

static void compare_value(struct comparison *comparison,
                          const struct schema_key *key,
                          const char *shown,
                          const void *left,
                          const void *right)
{
    char left_text[SCHEMA_VALUE_BYTES];
    char right_text[SCHEMA_VALUE_BYTES];
    schema_write(left_text, key, left);
    schema_write(right_text, key, right);
    if (strcmp(left_text, right_text) != 0) {
        differ(comparison, shown, left_text, right_text);
    }
}

/* Items of one name: all their keys. */
static void compare_items(struct comparison *comparison,
                          const struct schema_key *list_key,
                          const void *left,
                          const void *right)
{
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    char parent[SCHEMA_PATH_BYTES];
    problem_say(parent, sizeof parent, "%s[]", list_key->path);
    for (uint32_t i = 0; i < count; i++) {
        const char *name = schema_child_name(&keys[i], parent);
        if (name) {
            char shown[SCHEMA_PATH_BYTES];
            problem_say(shown, sizeof shown, "%s[%.63s].%s", list_key->path,
                        (const char *)left, name);
            compare_value(comparison, &keys[i], shown, left, right);
        }
    }
}

static void say_absent(struct comparison *comparison,
                       const struct list *list,
                       const char *name,
                       bool is_left)
{
    char shown[SCHEMA_PATH_BYTES];
    problem_say(shown, sizeof shown, "%s[%s]", list->key->path, name);
    differ(comparison, shown, is_left ? present : absent,
           is_left ? absent : present);
}

static bool is_same_order(const struct list *left, const struct list *right)
{
    for (uint32_t i = 0; i < left->count && i < right->count; i++) {
        if (strcmp(name_at(left, i), name_at(right, i)) != 0) {
            return false;
        }
    }
    return true;
}

static void compare_lists(struct comparison *comparison,
                          const struct schema_key *key)
{
    struct list left = list_of(key, comparison->left);
    struct list right = list_of(key, comparison->right);
    uint32_t count = comparison->count;
    uint32_t both = 0;
    for (uint32_t i = 0; i < left.count; i++) {
        const void *other = item_named(&right, name_at(&left, i));
        if (other) {
            both++;
            compare_items(comparison, key, item_at(&left, i), other);
        } else {
            say_absent(comparison, &left, name_at(&left, i), true);
        }
    }
    for (uint32_t i = 0; i < right.count; i++) {
        if (!item_named(&left, name_at(&right, i))) {
            say_absent(comparison, &right, name_at(&right, i), false);
        }
    }
    bool is_ordered = key == schema_find("cluster.nodes");
    if (is_ordered && both == left.count && both == right.count &&
        count == comparison->count && !is_same_order(&left, &right)) {
        differ(comparison, key->path, "one order of names",
               "another order of names");
    }
}

/* Whether the key has a value of its own in `cluster`, outside of lists. */
static bool is_cluster_value(const struct schema_key *key)
{
    return strncmp(key->path, "cluster.", 8) == 0 && !strchr(key->path, '[') &&
           !schema_is_branch(key);
}

uint32_t settings_cluster_differences(const struct settings *left,
                                      const struct settings *right,
                                      settings_on_difference *on_difference,
                                      void *context)
{
    struct comparison comparison = {left, right, on_difference, context, 0};
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    for (uint32_t i = 0; i < count; i++) {
        if (keys[i].kind == SCHEMA_LIST) {
            compare_lists(&comparison, &keys[i]);
        } else if (is_cluster_value(&keys[i])) {
            compare_value(&comparison, &keys[i], keys[i].path, left, right);
        }
    }
    return comparison.count;
}

void settings_cluster_values(const struct settings *settings,
                             settings_on_value *on_value,
                             void *context)
{
    char text[SCHEMA_VALUE_BYTES];
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    for (uint32_t i = 0; i < count; i++) {
        if (keys[i].kind != SCHEMA_LIST && is_cluster_value(&keys[i])) {
            schema_write(text, &keys[i], settings);
            on_value(context, keys[i].path, text);
        }
    }
}

bool settings_leaves_open(const struct settings *settings, const char *key)
{
    const struct settings_cluster *cluster = &settings->cluster;
    return (cluster->leaves_shards_open &&
            strcmp(key, "cluster.shards") == 0) ||
           (cluster->leaves_replication_open &&
            strcmp(key, "cluster.replication") == 0);
}

enum err settings_cluster_set(struct settings *settings,
                              const char *key,
                              const char *value,
                              struct err_detail *why)
{
    const struct schema_key *known = schema_find(key);
    char allowed[SCHEMA_ALLOWED_BYTES];
    if (!known || known->kind == SCHEMA_LIST || !is_cluster_value(known)) {
        err_explain(why, "%.96s: there is no such key", key);
        return ERR_NOT_FOUND;
    }
    if (schema_read(known, settings, value, NULL)) {
        schema_allowed(allowed, known);
        err_explain(why, "%s: found %.120s; allowed: %s", key, value, allowed);
        return ERR_INVALID;
    }
    return ERR_NONE;
}

/* ---- digest ---- */

static void digest_text(crypto_generichash_state *state, const char *text)
{
    /* With its terminating zero, so that no two sequences look alike. */
    (void)crypto_generichash_update(state, (const uint8_t *)text,
                                    strlen(text) + 1);
}

static void digest_value(crypto_generichash_state *state,
                         const struct schema_key *key,
                         const void *base)
{
    char text[SCHEMA_VALUE_BYTES];
    schema_write(text, key, base);
    digest_text(state, key->path);
    digest_text(state, text);
}

static void digest_item(crypto_generichash_state *state,
                        const struct schema_key *list_key,
                        const void *item)
{
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    char parent[SCHEMA_PATH_BYTES];
    problem_say(parent, sizeof parent, "%s[]", list_key->path);
    for (uint32_t i = 0; i < count; i++) {
        if (schema_child_name(&keys[i], parent)) {
            digest_value(state, &keys[i], item);
        }
    }
}

/* The item with the least name behind `name` (NULL: of all). */
static const void *item_after(const struct list *list, const char *name)
{
    const char *best = NULL;
    for (uint32_t i = 0; i < list->count; i++) {
        const char *candidate = name_at(list, i);
        if ((!name || strcmp(candidate, name) > 0) &&
            (!best || strcmp(candidate, best) < 0)) {
            best = candidate;
        }
    }
    return best;
}

static void digest_list(crypto_generichash_state *state,
                        const struct schema_key *key,
                        const struct settings *settings)
{
    struct list list = list_of(key, settings);
    if (key == schema_find("cluster.nodes")) {
        for (uint32_t i = 0; i < list.count; i++) {
            digest_item(state, key, item_at(&list, i));
        }
        return;
    }
    const char *name = NULL;
    for (const void *item = item_after(&list, name); item;
         item = item_after(&list, name)) {
        digest_item(state, key, item);
        name = item;
    }
}

void settings_cluster_digest(uint8_t out[static SETTINGS_DIGEST_BYTES],
                             const struct settings *settings)
{
    crypto_generichash_state state;
    (void)crypto_generichash_init(&state, NULL, 0, SETTINGS_DIGEST_BYTES);
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    for (uint32_t i = 0; i < count; i++) {
        if (keys[i].kind == SCHEMA_LIST) {
            digest_list(&state, &keys[i], settings);
        } else if (is_cluster_value(&keys[i])) {
            digest_value(&state, &keys[i], settings);
        }
    }
    (void)crypto_generichash_final(&state, out, SETTINGS_DIGEST_BYTES);
}
