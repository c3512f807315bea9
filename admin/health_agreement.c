#include "admin/health.h"

#include "admin/answer.h"
#include "admin/human.h"
#include "admin/interrupt.h"
#include "base/scope.h"
#include "client/client.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_COUNT 4
#define LOOK_MS 500
#define SKEW_MS_MAX 2000

/* What the nodes say of themselves, at about the same time. */
struct look {
    json_t *infos; /* a list of answers, each with `skew_ms` */
    json_t *away;  /* a list: {name, why} */
};

static void look_clear(struct look *look)
{
    answer_clear(&look->infos);
    answer_clear(&look->away);
}

static enum exit_code ask_node(const struct remote *remote,
                               const json_t *node,
                               json_t **info,
                               struct err_detail *why)
{
    const struct clock *clock = remote_clock(remote);
    scoped(remote_close) struct remote *own = NULL;
    struct client_node at = {answer_name(node, "name"),
                             answer_name(node, "door")};
    struct remote_question question = {.verb = "node.info"};
    enum exit_code code = remote_connect_node(&own, remote, &at, 0, why);
    int64_t before_ms = clock_wall_ms(clock);
    if (!code) {
        code = remote_try(own, &question, info, why);
    }
    if (!code) {
        int64_t middle_ms = (before_ms + clock_wall_ms(clock)) / 2;
        (void)json_object_set_new(
            *info, "skew_ms",
            json_integer(answer_has_number(*info, "now_ms")
                             ? answer_number(*info, "now_ms") - middle_ms
                             : 0));
    }
    return code;
}

static void look_at_all(struct look *look,
                        const struct remote *remote,
                        const json_t *nodes)
{
    look_clear(look);
    look->infos = json_array();
    look->away = json_array();
    for (size_t i = 0; i < answer_count(nodes, "members"); i++) {
        struct err_detail why = {{0}};
        json_t *info = NULL;
        const json_t *node = answer_item(nodes, "members", i);
        if (!answer_is(node, "is_up")) {
            continue; /* health_judge_nodes() says so */
        }
        enum exit_code code = ask_node(remote, node, &info, &why);
        if (code) {
            (void)json_array_append_new(
                look->away,
                json_pack("{s:s, s:s}", "name", answer_name(node, "name"),
                          "why",
                          why.text[0] ? why.text : exit_code_text(code)));
        } else {
            (void)json_array_append_new(look->infos, info);
        }
    }
}

/* ---- whether they agree ---- */

static bool is_same(const json_t *left, const json_t *right, const char *key)
{
    return json_equal(answer_at(left, key), answer_at(right, key));
}

static int64_t count_led(const struct look *look)
{
    int64_t led = 0;
    for (size_t i = 0; i < json_array_size(look->infos); i++) {
        led += answer_number(json_array_get(look->infos, i), "leads");
    }
    return led;
}

static bool do_agree(const struct look *look, int64_t shard_count)
{
    const json_t *first = json_array_get(look->infos, 0);
    for (size_t i = 0; i < json_array_size(look->infos); i++) {
        const json_t *info = json_array_get(look->infos, i);
        if (!is_same(first, info, "view") ||
            !is_same(first, info, "view_digest") ||
            !json_is_true(answer_at(info, "ready"))) {
            return false;
        }
    }
    return count_led(look) <= shard_count;
}

/* ---- what is wrong ---- */

static void judge_view(struct health *health,
                       const json_t *first,
                       const json_t *info)
{
    bool is_newer_known = !is_same(first, info, "view");
    if (is_same(first, info, "view_digest") && !is_newer_known) {
        return;
    }
    health_find(
        health,
        &(struct health_about){
            is_newer_known ? HEALTH_WARNING : HEALTH_CRITICAL,
            is_newer_known ? "It does not hear of changes: look at its links."
                           : "The same version must mean the same: one of the "
                             "nodes has a damaged copy. Restart it.",
            "troupe cluster links --node NODE"},
        "node %s has view %" PRId64 " (%s), node %s view %" PRId64 " (%s)",
        answer_name(info, "name"), answer_number(info, "view"),
        answer_name(info, "view_digest"), answer_name(first, "name"),
        answer_number(first, "view"), answer_name(first, "view_digest"));
}

static void judge_clock(struct health *health, const json_t *info)
{
    int64_t skew_ms = answer_number(info, "skew_ms");
    if (skew_ms <= SKEW_MS_MAX && skew_ms >= -SKEW_MS_MAX) {
        return;
    }
    health_find(health,
                &(struct health_about){
                    HEALTH_WARNING,
                    "Certificates are valid by the clock, and the journal's "
                    "times are the leader's.",
                    "chronyc tracking, on that machine and on this one"},
                "the clock of node %s is %s %s of this machine's",
                answer_name(info, "name"),
                human_span((uint64_t)llabs(skew_ms)).text,
                skew_ms > 0 ? "ahead" : "behind");
}

static void judge_info(struct health *health,
                       const json_t *first,
                       const json_t *info,
                       const char *cluster_id)
{
    const char *own_id = answer_text(info, "cluster_id");
    if (own_id && cluster_id && strcmp(own_id, cluster_id) != 0) {
        health_find(health,
                    &(struct health_about){
                        HEALTH_CRITICAL,
                        "Its data is that of another cluster, which has the "
                        "same keys.",
                        "troupe node show NODE"},
                    "node %s belongs to cluster %s, not to %s",
                    answer_name(info, "name"), own_id, cluster_id);
        return;
    }
    judge_view(health, first, info);
    judge_clock(health, info);
    if (json_is_false(answer_at(info, "ready"))) {
        health_find(health,
                    &(struct health_about){HEALTH_WARNING,
                                           "It does not serve all that it "
                                           "shall.",
                                           "troupe node show NODE"},
                    "node %s is not ready: %s", answer_name(info, "name"),
                    answer_name(info, "why"));
    }
}

static void judge_away(struct health *health, const json_t *node)
{
    health_find(health,
                &(struct health_about){
                    HEALTH_WARNING,
                    "The others hear it, and its door is not open from here.",
                    "troupe cluster status --node NODE"},
                "node %s cannot be asked: %.160s", answer_name(node, "name"),
                answer_name(node, "why"));
}

void health_judge_agreement(struct health *health,
                            const struct remote *remote,
                            const struct health_facts *facts)
{
    const struct interrupt *interrupt =
        remote_command(remote)->world->interrupt;
    int64_t shard_count = answer_number(facts->status, "shards.total");
    scoped(look_clear) struct look look = {.infos = NULL};
    for (int i = 0; i < LOOK_COUNT; i++) {
        look_at_all(&look, remote, facts->nodes);
        if (do_agree(&look, shard_count) || i + 1 == LOOK_COUNT ||
            !interrupt->wait(interrupt->context, LOOK_MS)) {
            break;
        }
    }
    for (size_t i = 0; i < json_array_size(look.away); i++) {
        judge_away(health, json_array_get(look.away, i));
    }
    for (size_t i = 0; i < json_array_size(look.infos); i++) {
        judge_info(health, json_array_get(look.infos, 0),
                   json_array_get(look.infos, i),
                   answer_text(facts->status, "cluster.id"));
    }
    if (count_led(&look) > shard_count) {
        health_find(health,
                    &(struct health_about){
                        HEALTH_CRITICAL,
                        "Only one of two leaders can commit; that it lasts "
                        "means that one is cut off from the others.",
                        "troupe cluster members"},
                    "the nodes lead %" PRId64 " shards of %" PRId64
                    ": some are led twice",
                    count_led(&look), shard_count);
    }
}
