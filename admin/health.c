#include "admin/health.h"

#include "admin/answer.h"
#include "admin/human.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LIST_SHOWN 8 /* of many; the rest is a number */

void health_find(struct health *health,
                 const struct health_about *about,
                 const char *format,
                 ...)
{
    va_list arguments;
    if (about->grade > health->grade) {
        health->grade = about->grade;
    }
    if (health->count == HEALTH_FINDING_COUNT_MAX) {
        return;
    }
    struct health_finding *finding = &health->findings[health->count++];
    finding->grade = about->grade;
    finding->means = about->means;
    (void)snprintf(finding->next, sizeof finding->next, "%s", about->next);
    va_start(arguments, format);
    (void)vsnprintf(finding->what, sizeof finding->what, format, arguments);
    va_end(arguments);
    human_clean(finding->what);
}

/* ---- the meta group ---- */

void health_judge_meta(struct health *health, const json_t *status)
{
    char names[128];
    answer_join(names, sizeof names, status, "meta.missing");
    size_t missing = answer_count(status, "meta.missing");
    size_t voters = answer_count(status, "meta.voters");
    if (!answer_text(status, "meta.leader")) {
        health_find(health,
                    &(struct health_about){
                        HEALTH_CRITICAL,
                        "Nothing can be changed, and no shard moves, "
                        "until a majority of its voters talk again.",
                        "troupe cluster links --node NODE"},
                    "the meta group has no leader");
    } else if (missing > 0) {
        health_find(health,
                    &(struct health_about){
                        HEALTH_WARNING,
                        "The cluster's own records have fewer copies "
                        "that agree; a majority must stay.",
                        "troupe cluster members"},
                    "%zu of %zu voters of the meta group away: %s", missing,
                    voters, names);
    }
    if (!answer_is(status, "founded") &&
        json_is_false(answer_at(status, "founded"))) {
        health_find(health,
                    &(struct health_about){
                        HEALTH_WARNING,
                        "Not all shards have begun: all the nodes of the "
                        "configuration must be up for that.",
                        "troupe cluster members"},
                    "the cluster is still being founded");
    }
    if (answer_is(status, "paused")) {
        health_find(health,
                    &(struct health_about){
                        HEALTH_WARNING,
                        "Shards stay where they are, also on nodes that "
                        "drain.",
                        "troupe shard resume"},
                    "rebalancing is paused");
    }
}

/* ---- nodes ---- */

void health_judge_node(struct health *health, const json_t *node)
{
    const char *name = answer_name(node, "name");
    const char *state = answer_name(node, "state");
    char next[128];
    (void)snprintf(next, sizeof next, "troupe node show %.63s", name);
    if (strcmp(state, "down") == 0 || json_is_false(answer_at(node, "is_up"))) {
        health_find(health,
                    &(struct health_about){
                        HEALTH_CRITICAL,
                        "Its shards are led by others, with one copy "
                        "less, until it is back or its shards have moved.",
                        next},
                    "node %s is down", name);
        return;
    }
    if (answer_number(node, "heard_by") < answer_number(node, "observers")) {
        health_find(health,
                    &(struct health_about){
                        HEALTH_WARNING,
                        "Some nodes do not hear it: a network that is "
                        "broken in part, or a node that is very slow.",
                        "troupe cluster links --node NODE"},
                    "node %s is heard by %" PRId64 " of %" PRId64 " nodes",
                    name, answer_number(node, "heard_by"),
                    answer_number(node, "observers"));
    }
    if (answer_number(node, "staying") > 0) {
        health_find(health,
                    &(struct health_about){
                        HEALTH_WARNING,
                        "As many nodes as a shard has replicas must stay: "
                        "its drain waits for another node, or for "
                        "`troupe node uncordon`.",
                        next},
                    "node %s drains, and %" PRId64 " shards have nowhere to go",
                    name, answer_number(node, "staying"));
        return;
    }
    if (strcmp(state, "active") != 0) {
        health_find(
            health,
            &(struct health_about){HEALTH_WARNING,
                                   "It takes no new shards, until `troupe node "
                                   "uncordon`.",
                                   next},
            "node %s is %s", name, state);
    }
}

static int64_t newest_view(const json_t *members)
{
    int64_t newest = 0;
    for (size_t i = 0; i < json_array_size(members); i++) {
        int64_t view = answer_number(json_array_get(members, i), "view");
        newest = view > newest ? view : newest;
    }
    return newest;
}

void health_judge_nodes(struct health *health, const json_t *nodes)
{
    const json_t *members = json_object_get(nodes, "members");
    int64_t newest = newest_view(members);
    int64_t view = answer_number(nodes, "view");
    newest = view > newest ? view : newest;
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *node = json_array_get(members, i);
        health_judge_node(health, node);
        if (answer_is(node, "is_up") && answer_has_number(node, "view") &&
            answer_number(node, "view") < newest) {
            health_find(health,
                        &(struct health_about){
                            HEALTH_WARNING,
                            "It has not heard of the latest change yet: "
                            "look again in some seconds.",
                            "troupe cluster members --watch"},
                        "node %s has view %" PRId64 ", the newest is %" PRId64,
                        answer_name(node, "name"), answer_number(node, "view"),
                        newest);
        }
    }
}

/* ---- shards ---- */

/* Numbers of shards, the first few of them. */
struct shard_list {
    uint32_t count;
    char text[128];
};

static void list_add(struct shard_list *list, const json_t *shard)
{
    size_t length = strlen(list->text);
    if (list->count < LIST_SHOWN) {
        (void)snprintf(list->text + length, sizeof list->text - length,
                       "%s%" PRId64, list->count > 0 ? ", " : "",
                       answer_number(shard, "shard"));
    } else if (list->count == LIST_SHOWN) {
        (void)snprintf(list->text + length, sizeof list->text - length, " ...");
    }
    list->count++;
}

static bool is_led(const json_t *shard)
{
    return answer_text(shard, "leader") != NULL;
}

/* Whether it moves is another question. */
static bool is_lagging(const json_t *shard)
{
    for (size_t i = 0; i < answer_count(shard, "replicas"); i++) {
        const json_t *replica = answer_item(shard, "replicas", i);
        if (!answer_is(replica, "voter") ||
            !answer_has_number(replica, "lag") ||
            answer_number(replica, "lag") > HEALTH_LAG_MAX) {
            return true;
        }
    }
    return answer_count(shard, "replicas") < answer_count(shard, "wanted");
}

static bool is_elsewhere(const json_t *shard)
{
    const char *owner = answer_text(shard, "owner");
    const char *leader = answer_text(shard, "leader");
    return owner && leader && strcmp(owner, leader) != 0;
}

static void judge_list(struct health *health,
                       const json_t *shards,
                       bool (*is_so)(const json_t *shard),
                       const struct health_about *about,
                       const char *what)
{
    struct shard_list list = {.count = 0};
    for (size_t i = 0; i < json_array_size(shards); i++) {
        const json_t *shard = json_array_get(shards, i);
        if (is_so(shard)) {
            list_add(&list, shard);
        }
    }
    if (list.count > 0) {
        health_find(health, about, "%" PRIu32 " shard%s %s: %s", list.count,
                    list.count == 1 ? "" : "s", what, list.text);
    }
}

static bool is_unled(const json_t *shard)
{
    return !is_led(shard);
}

static bool is_led_but_lagging(const json_t *shard)
{
    return is_led(shard) && is_lagging(shard);
}

static void judge_shards(struct health *health, const json_t *shards)
{
    judge_list(
        health, shards, is_unled,
        &(struct health_about){HEALTH_CRITICAL,
                               "Their requests wait or are refused. Too many "
                               "of their replicas are away, or an election is "
                               "under way.",
                               "troupe cluster members"},
        "without a leader");
    judge_list(
        health, shards, is_led_but_lagging,
        &(struct health_about){HEALTH_WARNING,
                               "They serve, but a replica is away, far behind "
                               "or still being made.",
                               "troupe shard map --watch"},
        "with replicas that are not whole");
    judge_list(
        health, shards, is_elsewhere,
        &(struct health_about){HEALTH_WARNING,
                               "They serve; leadership goes back to the owner "
                               "by itself when that is up.",
                               "troupe shard map"},
        "led by another node than their owner");
}

void health_judge_shards(struct health *health, const json_t *map)
{
    judge_shards(health, json_object_get(map, "shards"));
}

void health_judge_shard(struct health *health, const json_t *shard)
{
    json_t *list = json_array();
    /* Counted, not changed. */
    (void)json_array_append(list, (json_t *)(uintptr_t)shard);
    judge_shards(health, list);
    json_decref(list);
}

void health_judge(struct health *health, const struct health_facts *facts)
{
    health_judge_meta(health, facts->status);
    health_judge_nodes(health, facts->nodes);
    health_judge_shards(health, facts->map);
}

/* ---- the facts ---- */

void health_facts_clear(struct health_facts *facts)
{
    answer_clear(&facts->status);
    answer_clear(&facts->nodes);
    answer_clear(&facts->map);
}

enum exit_code health_fetch(struct health_facts *out,
                            struct remote *remote,
                            bool is_stale,
                            struct err_detail *why)
{
    const struct {
        const char *verb;
        json_t **answer;
    } questions[] = {{"cluster.status", &out->status},
                     {"node.ls", &out->nodes},
                     {"shard.map", &out->map}};
    enum exit_code code = EXIT_CODE_OK;
    json_t *args = is_stale ? json_pack("{s:b}", "stale", 1) : NULL;
    for (size_t i = 0; !code && i < sizeof questions / sizeof *questions; i++) {
        struct remote_question question = {.verb = questions[i].verb,
                                           .args = args};
        code = remote_try(remote, &question, questions[i].answer, why);
    }
    json_decref(args);
    return code;
}
