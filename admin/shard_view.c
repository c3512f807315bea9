#include "admin/shard_view.h"

#include "admin/answer.h"
#include "base/scope.h"
#include "config/certificate.h"
#include "shard/key.h"
#include "shard/shard_balance.h"
#include "shard/wanted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHT_DEFAULT 100 /* of a node that is only named */
#define WEIGHT_MAX 1000000

struct node {
    char name[CERTIFICATE_NAME_BYTES];
    char zone[CERTIFICATE_NAME_BYTES];
};

struct shard_view {
    uint32_t replication;
    uint32_t count;
    struct wanted_node nodes[SHARD_NODES_MAX]; /* borrow of `texts` */
    struct node texts[SHARD_NODES_MAX];
    struct shard_map map;
};

void shard_view_close(struct shard_view **view)
{
    if (*view) {
        shard_map_clear(&(*view)->map);
        free(*view);
        *view = NULL;
    }
}

/* ---- nodes ---- */

static const struct wanted_node *find_name(const struct shard_view *view,
                                           const char *name)
{
    for (uint32_t i = 0; i < view->count; i++) {
        if (strcmp(view->nodes[i].name, name) == 0) {
            return &view->nodes[i];
        }
    }
    return NULL;
}

static const struct wanted_node *find_number(const struct shard_view *view,
                                             uint32_t number)
{
    for (uint32_t i = 0; i < view->count; i++) {
        if (view->nodes[i].number == number) {
            return &view->nodes[i];
        }
    }
    return NULL;
}

/* False: there is no room, or there is one with that name or number. */
static bool add_node(struct shard_view *view, const struct wanted_node *node)
{
    if (view->count == SHARD_NODES_MAX || node->number >= SHARD_NODES_MAX ||
        find_number(view, node->number) || find_name(view, node->name)) {
        return false;
    }
    struct node *texts = &view->texts[view->count];
    struct wanted_node *added = &view->nodes[view->count++];
    (void)snprintf(texts->name, sizeof texts->name, "%s", node->name);
    (void)snprintf(texts->zone, sizeof texts->zone, "%s", node->zone);
    *added = *node;
    added->name = texts->name;
    added->zone = texts->zone;
    return true;
}

/* With texts and a map of its own. NULL: no memory */
static struct shard_view *copy_view(const struct shard_view *view)
{
    struct shard_view *copy = calloc(1, sizeof *copy);
    if (!copy || shard_map_copy(&copy->map, &view->map)) {
        free(copy);
        return NULL;
    }
    copy->replication = view->replication;
    for (uint32_t i = 0; i < view->count; i++) {
        (void)add_node(copy, &view->nodes[i]);
    }
    return copy;
}

static enum err place(const struct shard_view *view, struct shard_map *out)
{
    return wanted_map(out,
                      &(struct wanted_request){.nodes = view->nodes,
                                               .node_count = view->count,
                                               .replication = view->replication,
                                               .previous = &view->map});
}

/* ---- from a configuration ---- */

enum err shard_view_of_settings(struct shard_view **out,
                                const struct settings *settings)
{
    const struct settings_cluster *cluster = &settings->cluster;
    struct shard_map founded = {.version = 0};
    scoped(shard_view_close) struct shard_view *view = calloc(1, sizeof *view);
    if (!view) {
        return ERR_MEMORY;
    }
    view->replication = cluster->replication;
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const struct settings_member *member = &cluster->members[i];
        (void)add_node(view,
                       &(struct wanted_node){.number = i,
                                             .name = member->name,
                                             .zone = member->zone,
                                             .weight = member->weight,
                                             .holds_shards = member->roles &
                                                             SETTINGS_SHARD});
    }
    enum err err = shard_map_init(&view->map, cluster->shards);
    if (!err) {
        err = place(view, &founded);
    }
    if (err) {
        return err;
    }
    shard_map_clear(&view->map);
    view->map = founded;
    *out = view;
    view = NULL; /* the caller owns it now */
    return ERR_NONE;
}

/* ---- from answers ---- */

static bool is_shard_role(const json_t *member)
{
    for (size_t i = 0; i < answer_count(member, "roles"); i++) {
        const char *role = json_string_value(answer_item(member, "roles", i));
        if (role && strcmp(role, "shard") == 0) {
            return true;
        }
    }
    return false;
}

static bool read_member(struct shard_view *view, const json_t *member)
{
    const char *name = answer_text(member, "name");
    const char *zone = answer_text(member, "zone");
    const char *state = answer_name(member, "state");
    int64_t number = answer_number(member, "number");
    int64_t weight = answer_number(member, "weight");
    if (!name || !certificate_name_is_valid(name) || number < 0 ||
        number >= SHARD_NODES_MAX || weight < 0 || weight > WEIGHT_MAX) {
        return false;
    }
    return add_node(view, &(struct wanted_node){
                              .number = (uint32_t)number,
                              .name = name,
                              .zone = zone ? zone : "",
                              .weight = (uint32_t)weight,
                              .holds_shards = is_shard_role(member),
                              .is_cordoned = strcmp(state, "cordoned") == 0,
                              .is_leaving = strcmp(state, "draining") == 0 ||
                                            strcmp(state, "down") == 0});
}

/* A node that the list of members does not have, as it is a little older or
 * newer, holds nothing here. */
static bool read_place(const struct shard_view *view,
                       struct shard_place *place,
                       const json_t *shard)
{
    size_t count = answer_count(shard, "wanted");
    if (count > SHARD_REPLICAS_MAX) {
        return false;
    }
    place->generation = (uint32_t)answer_number(shard, "generation");
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(answer_item(shard, "wanted", i));
        const struct wanted_node *node = name ? find_name(view, name) : NULL;
        if (node && !shard_place_has(place, node->number)) {
            place->replicas[place->replica_count++] = node->number;
        }
    }
    return true;
}

static enum err read_map(struct shard_view *view, const json_t *map)
{
    size_t count = answer_count(map, "shards");
    int64_t replication = answer_number(map, "map.replication");
    if (count < 1 || count > SHARD_COUNT_MAX || replication < 1 ||
        replication > SHARD_REPLICAS_MAX) {
        return ERR_MALFORMED;
    }
    view->replication = (uint32_t)replication;
    enum err err = shard_map_init(&view->map, (uint32_t)count);
    if (err) {
        return err;
    }
    view->map.version = (uint64_t)answer_number(map, "map.version");
    for (size_t i = 0; i < count; i++) {
        const json_t *shard = answer_item(map, "shards", i);
        if (!answer_has_number(shard, "shard") ||
            answer_number(shard, "shard") != (int64_t)i ||
            !read_place(view, &view->map.places[i], shard)) {
            return ERR_MALFORMED;
        }
    }
    return ERR_NONE;
}

enum err shard_view_of_answers(struct shard_view **out,
                               const json_t *nodes,
                               const json_t *map,
                               struct err_detail *why)
{
    scoped(shard_view_close) struct shard_view *view = calloc(1, sizeof *view);
    if (!view) {
        return ERR_MEMORY;
    }
    for (size_t i = 0; i < answer_count(nodes, "members"); i++) {
        if (!read_member(view, answer_item(nodes, "members", i))) {
            err_explain(why, "the answer to node.ls: member %zu makes no sense",
                        i);
            return ERR_MALFORMED;
        }
    }
    enum err err = read_map(view, map);
    if (err) {
        err_explain(why, "the answer to shard.map makes no sense");
        return err;
    }
    *out = view;
    view = NULL; /* the caller owns it now */
    return ERR_NONE;
}

/* ---- answers ---- */

static json_t *names_of(const struct shard_view *view,
                        const struct shard_place *place)
{
    json_t *names = json_array();
    for (uint32_t i = 0; i < place->replica_count; i++) {
        const struct wanted_node *node = find_number(view, place->replicas[i]);
        (void)json_array_append_new(names,
                                    json_string(node ? node->name : "?"));
    }
    return names;
}

static json_t *owner_of(const struct shard_view *view,
                        const struct shard_place *place)
{
    const struct wanted_node *owner =
        place->replica_count > 0 ? find_number(view, place->replicas[0]) : NULL;
    return owner ? json_string(owner->name) : json_null();
}

static json_t *balance_of(const struct shard_view *view,
                          const struct shard_map *map)
{
    uint32_t holding = 0;
    for (uint32_t i = 0; i < view->count; i++) {
        holding += view->nodes[i].holds_shards && !view->nodes[i].is_leaving;
    }
    struct shard_balance balance = shard_balance_of(map, holding);
    return json_pack(
        "{s:i, s:f, s:i, s:f}", "owners_max", (int)balance.owners_max,
        "owners_mean", balance.owners_mean, "replicas_max",
        (int)balance.replicas_max, "replicas_mean", balance.replicas_mean);
}

json_t *shard_view_locate(const struct shard_view *view,
                          struct bytes type,
                          struct bytes id)
{
    uint32_t shard = shard_of_key(type, id, view->map.shard_count);
    const struct shard_place *place = &view->map.places[shard];
    return json_pack("{s:i, s:I, s:o, s:n, s:o}", "v", 1, "shard",
                     (json_int_t)shard, "owner", owner_of(view, place),
                     "leader", "replicas", names_of(view, place));
}

json_t *shard_view_map(const struct shard_view *view)
{
    json_t *shards = json_array();
    for (uint32_t i = 0; i < view->map.shard_count; i++) {
        const struct shard_place *place = &view->map.places[i];
        json_t *replicas = json_array();
        for (uint32_t k = 0; k < place->replica_count; k++) {
            const struct wanted_node *node =
                find_number(view, place->replicas[k]);
            (void)json_array_append_new(
                replicas, json_pack("{s:s, s:b}", "node",
                                    node ? node->name : "?", "voter", 1));
        }
        (void)json_array_append_new(
            shards,
            json_pack("{s:I, s:o, s:I, s:o, s:o}", "shard", (json_int_t)i,
                      "owner", owner_of(view, place), "generation",
                      (json_int_t)place->generation, "replicas", replicas,
                      "wanted", names_of(view, place)));
    }
    return json_pack("{s:i, s:{s:I, s:I}, s:o, s:o}", "v", 1, "map", "version",
                     (json_int_t)view->map.version, "replication",
                     (json_int_t)view->replication, "balance",
                     balance_of(view, &view->map), "shards", shards);
}

/* ---- what would move ---- */

static json_t *moves_between(const struct shard_view *view,
                             const struct shard_map *from,
                             const struct shard_map *to)
{
    json_t *list = json_array();
    struct placement_move *moves = calloc(from->shard_count, sizeof *moves);
    uint32_t count =
        moves ? placement_diff(from, to, moves, from->shard_count) : 0;
    for (uint32_t i = 0; i < count; i++) {
        (void)json_array_append_new(
            list, json_pack("{s:I, s:o, s:o, s:b}", "shard",
                            (json_int_t)moves[i].shard, "from",
                            names_of(view, &moves[i].from), "to",
                            names_of(view, &moves[i].to), "owner_only",
                            moves[i].is_owner_only));
    }
    free(moves);
    return list;
}

json_t *shard_view_founding(const struct shard_view *view)
{
    scoped(shard_map_clear) struct shard_map empty = {.version = 0};
    if (shard_map_init(&empty, view->map.shard_count)) {
        return NULL;
    }
    return json_pack("{s:i, s:o, s:o, s:o}", "v", 1, "moves",
                     moves_between(view, &empty, &view->map), "balance_before",
                     balance_of(view, &empty), "balance_after",
                     balance_of(view, &view->map));
}

static enum err add_named(struct shard_view *view,
                          const char *name,
                          struct err_detail *why)
{
    uint32_t number = 0;
    while (find_number(view, number)) {
        number++;
    }
    if (find_name(view, name)) {
        err_explain(why, "%s is a member already", name);
        return ERR_EXISTS;
    }
    if (!add_node(view, &(struct wanted_node){.number = number,
                                              .name = name,
                                              .zone = "",
                                              .weight = WEIGHT_DEFAULT,
                                              .holds_shards = true})) {
        err_explain(why, "more than %d nodes", SHARD_NODES_MAX);
        return ERR_INVALID;
    }
    return ERR_NONE;
}

static enum err remove_named(struct shard_view *view,
                             const char *name,
                             struct err_detail *why)
{
    const struct wanted_node *node = find_name(view, name);
    if (!node) {
        err_explain(why, "no node is called %s", name);
        return ERR_NOT_FOUND;
    }
    view->nodes[node - view->nodes].is_leaving = true;
    return ERR_NONE;
}

typedef enum err plan_step(struct shard_view *view,
                           const char *name,
                           struct err_detail *why);

static enum err plan_each(struct shard_view *view,
                          const json_t *names,
                          plan_step *step,
                          struct err_detail *why)
{
    enum err err = ERR_NONE;
    for (size_t i = 0; i < json_array_size(names) && !err; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!name || !certificate_name_is_valid(name)) {
            err_explain(why, "`%.64s` is no node's name", name ? name : "");
            return ERR_INVALID;
        }
        err = step(view, name, why);
    }
    return err;
}

enum err shard_view_plan(const struct shard_view *view,
                         const json_t *add,
                         const json_t *remove,
                         json_t **out,
                         struct err_detail *why)
{
    scoped(shard_map_clear) struct shard_map wanted = {.version = 0};
    scoped(shard_view_close) struct shard_view *then = copy_view(view);
    if (!then) {
        return ERR_MEMORY;
    }
    enum err err = plan_each(then, add, add_named, why);
    if (!err) {
        err = plan_each(then, remove, remove_named, why);
    }
    if (!err) {
        err = place(then, &wanted);
    }
    if (err) {
        return err;
    }
    *out = json_pack("{s:i, s:o, s:o, s:o}", "v", 1, "moves",
                     moves_between(then, &view->map, &wanted), "balance_before",
                     balance_of(view, &view->map), "balance_after",
                     balance_of(then, &wanted));
    return *out ? ERR_NONE : ERR_MEMORY;
}
