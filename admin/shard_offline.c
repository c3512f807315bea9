#include "admin/shard_verbs.h"

#include "admin/answer.h"
#include "admin/config_file.h"
#include "admin/reading.h"
#include "base/scope.h"
#include "shard/key.h"
#include "shard/placement.h"
#include "shard/shard_balance.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 * Where shards stand by a configuration alone: as its founding would place
 * them. In a cluster that lives the map has a history, and may differ; which
 * shard an actor belongs to is the same.
 */

#define WEIGHT_DEFAULT 100 /* of a node that is only named */

/* Nodes as they are, or would be; numbered in order. */
struct offline {
    const struct command *command;
    struct settings *settings;
    uint32_t count;
    struct placement_node nodes[SHARD_NODES_MAX];
    const char *names[SHARD_NODES_MAX]; /* borrowed */
};

static void offline_close(struct offline **offline)
{
    if (*offline) {
        settings_close(&(*offline)->settings);
        free(*offline);
        *offline = NULL;
    }
}

static bool add_node(struct offline *offline,
                     const char *name,
                     const char *zone,
                     uint32_t weight)
{
    if (offline->count == SHARD_NODES_MAX) {
        return false;
    }
    offline->names[offline->count] = name;
    offline->nodes[offline->count] =
        (struct placement_node){.number = offline->count,
                                .weight = weight,
                                .hash = placement_hash(name),
                                .zone = placement_hash(zone)};
    offline->count++;
    return true;
}

static enum exit_code offline_open(struct offline **out,
                                   const struct command *command)
{
    struct err_detail why = {0};
    const char *file = command_value(command, "from-config");
    scoped(offline_close) struct offline *offline = calloc(1, sizeof *offline);
    if (!offline) {
        return command_failed(command, ERR_MEMORY, "%s", file);
    }
    offline->command = command;
    enum err err = config_file_explained(&offline->settings, &file,
                                         command->world->files, &why);
    if (err) {
        command_say(command, "%s", why.text[0] ? why.text : err_text(err));
        return err == ERR_NOT_FOUND ? EXIT_CODE_USAGE : exit_code_of(err);
    }
    const struct settings_cluster *cluster = &offline->settings->cluster;
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const struct settings_member *member = &cluster->members[i];
        bool holds = member->roles & SETTINGS_SHARD;
        (void)add_node(offline, member->name, member->zone,
                       holds ? member->weight : 0);
    }
    *out = offline;
    offline = NULL; /* the caller owns it now */
    return EXIT_CODE_OK;
}

static enum err place(const struct offline *offline,
                      const struct shard_map *previous,
                      struct shard_map *out)
{
    const struct settings_cluster *cluster = &offline->settings->cluster;
    return placement_make(
        out, &(struct placement_request){.nodes = offline->nodes,
                                         .node_count = offline->count,
                                         .replication = cluster->replication,
                                         .shard_count = cluster->shards,
                                         .previous = previous});
}

static json_t *names_of(const struct offline *offline,
                        const struct shard_place *place)
{
    json_t *names = json_array();
    for (uint32_t i = 0; i < place->replica_count; i++) {
        (void)json_array_append_new(
            names, json_string(offline->names[place->replicas[i]]));
    }
    return names;
}

/* ---- which shard ---- */

static enum exit_code print_place(const struct command *command,
                                  const json_t *answer)
{
    char replicas[512];
    answer_join(replicas, sizeof replicas, answer, "replicas");
    fprintf(command->world->out,
            "%s is in shard %" PRId64 "; newly founded, it would be owned by "
            "%s (replicas %s)\n",
            command_operand(command, 0), answer_number(answer, "shard"),
            answer_name(answer, "owner"), replicas);
    return EXIT_CODE_OK;
}

enum exit_code shard_locate_offline(const struct command *command)
{
    struct shard_key key;
    struct shard_map map = {.version = 0};
    scoped(offline_close) struct offline *offline = NULL;
    enum exit_code code = shard_take_key(&key, command);
    if (!code) {
        code = offline_open(&offline, command);
    }
    if (code) {
        return code;
    }
    if (place(offline, NULL, &map)) {
        return command_failed(command, ERR_MEMORY, "the map");
    }
    uint32_t shard =
        shard_of_key(key.type, key.id, offline->settings->cluster.shards);
    json_t *names = names_of(offline, &map.places[shard]);
    json_t *answer =
        json_pack("{s:i, s:I, s:O*, s:o}", "v", 1, "shard", (json_int_t)shard,
                  "owner", json_array_get(names, 0), "replicas", names);
    shard_map_clear(&map);
    if (command_has(command, "json")) {
        return reading_print_json(command, "shard.locate", answer);
    }
    code = print_place(command, answer);
    json_decref(answer);
    return code;
}

/* ---- what would move ---- */

static json_t *balance_of(const struct shard_map *map,
                          const struct offline *offline)
{
    uint32_t holding = 0;
    for (uint32_t i = 0; i < offline->count; i++) {
        holding += offline->nodes[i].weight > 0;
    }
    struct shard_balance balance = shard_balance_of(map, holding);
    return json_pack(
        "{s:i, s:f, s:i, s:f}", "owners_max", (int)balance.owners_max,
        "owners_mean", balance.owners_mean, "replicas_max",
        (int)balance.replicas_max, "replicas_mean", balance.replicas_mean);
}

static json_t *moves_between(const struct offline *offline,
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
                            names_of(offline, &moves[i].from), "to",
                            names_of(offline, &moves[i].to), "owner_only",
                            moves[i].is_owner_only));
    }
    free(moves);
    return list;
}

static enum exit_code add_named(struct offline *offline)
{
    const char *name;
    const struct command *command = offline->command;
    for (uint32_t i = 0; (name = command_value_at(command, "add", i)); i++) {
        if (!certificate_name_is_valid(name)) {
            return command_misused(command, "--add: `%.64s` is no node's name",
                                   name);
        }
        if (settings_find_member(offline->settings, name)) {
            return command_misused(command, "--add: `%s` is there already",
                                   name);
        }
        if (!add_node(offline, name, "", WEIGHT_DEFAULT)) {
            return command_misused(command, "--add: more than %d nodes",
                                   SHARD_NODES_MAX);
        }
    }
    return EXIT_CODE_OK;
}

static enum exit_code remove_named(struct offline *offline)
{
    const char *name;
    const struct command *command = offline->command;
    for (uint32_t i = 0; (name = command_value_at(command, "remove", i)); i++) {
        uint32_t at = 0;
        while (at < offline->count && strcmp(offline->names[at], name) != 0) {
            at++;
        }
        if (at == offline->count) {
            return command_misused(command,
                                   "--remove: there is no node `%.64s`", name);
        }
        offline->nodes[at].weight = 0;
    }
    return EXIT_CODE_OK;
}

/* From one map to another; takes `balance_before`. */
static enum exit_code print_moves(const struct offline *offline,
                                  const struct shard_map *before,
                                  const struct shard_map *after,
                                  json_t *balance_before)
{
    const struct command *command = offline->command;
    json_t *answer =
        json_pack("{s:i, s:o, s:o, s:o}", "v", 1, "moves",
                  moves_between(offline, before, after), "balance_before",
                  balance_before, "balance_after", balance_of(after, offline));
    enum exit_code code = shard_judge_plan(command, answer);
    if (command_has(command, "json")) {
        enum exit_code printed =
            reading_print_json(command, "shard.plan", answer);
        return printed ? printed : code;
    }
    code = shard_print_plan(command, answer);
    json_decref(answer);
    return code;
}

enum exit_code shard_plan_offline(const struct command *command)
{
    scoped(shard_map_clear) struct shard_map before = {.version = 0};
    scoped(shard_map_clear) struct shard_map after = {.version = 0};
    scoped(shard_map_clear) struct shard_map empty = {.version = 0};
    scoped(offline_close) struct offline *offline = NULL;
    bool is_change =
        command_has(command, "add") || command_has(command, "remove");
    enum exit_code code = offline_open(&offline, command);
    if (code) {
        return code;
    }
    if (shard_map_init(&empty, offline->settings->cluster.shards) ||
        place(offline, NULL, &before)) {
        return command_failed(command, ERR_MEMORY, "the map");
    }
    json_t *balance =
        balance_of(is_change ? &before : &empty, offline); /* as it is */
    code = add_named(offline);
    if (!code) {
        code = remove_named(offline);
    }
    if (!code && place(offline, &before, &after)) {
        code = command_failed(command, ERR_MEMORY, "the map");
    }
    if (!code) {
        code = print_moves(offline, is_change ? &before : &empty, &after,
                           json_incref(balance));
    }
    json_decref(balance);
    return code;
}
