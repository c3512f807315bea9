/*
 * Questions to a bundle: as the nodes would have answered them.
 */

#include "admin/debug_bundle.h"

#include "admin/answer.h"
#include "admin/shard_view.h"
#include "base/scope.h"

#include <stdlib.h>
#include <string.h>

#define LINES_STANDARD 100 /* as a node has it */

struct asking {
    const struct debug_bundle *bundle;
    const json_t *args;
    bool is_stale;
    json_t **answer;
    struct err_detail *why;
};

static enum exit_code stored(const struct asking *asking,
                             const char *verb,
                             json_t **answer)
{
    return debug_bundle_stored(asking->bundle, verb, asking->is_stale, answer,
                               asking->why);
}

/* The head of the answer that something is worked out from: v, node, view. */
static json_t *head_of(const json_t *source)
{
    static const char *const keys[] = {"v", "node", "view"};
    json_t *head = json_object();
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *value = json_object_get(source, keys[i]);
        if (value) {
            (void)json_object_set(head, keys[i], value);
        }
    }
    return head;
}

/* The item of a list whose `key` is this text; NULL: none. */
static const json_t *find_text(const json_t *answer,
                               const char *list,
                               const char *key,
                               const char *text)
{
    for (size_t i = 0; text && i < answer_count(answer, list); i++) {
        const json_t *item = answer_item(answer, list, i);
        if (strcmp(answer_name(item, key), text) == 0) {
            return item;
        }
    }
    return NULL;
}

/* ---- lines: events, shard.history ---- */

static bool is_wanted(const struct asking *asking, const json_t *line)
{
    const json_t *shard = json_object_get(asking->args, "shard");
    return answer_number(line, "number") >
               answer_number(asking->args, "since") &&
           (!json_is_integer(shard) ||
            json_integer_value(shard) == answer_number(line, "shard"));
}

/* With `since` the first of those that are newer, else the newest. */
static enum exit_code cut_lines(const struct asking *asking, const char *verb)
{
    scoped(answer_clear) json_t *all = NULL;
    json_t *lines = json_array();
    enum exit_code code = stored(asking, verb, &all);
    size_t limit = answer_has_number(asking->args, "limit")
                       ? (size_t)answer_number(asking->args, "limit")
                       : LINES_STANDARD;
    bool has_since = answer_has_number(asking->args, "since");
    for (size_t i = 0; !code && i < answer_count(all, "lines"); i++) {
        const json_t *line = answer_item(all, "lines", i);
        if (is_wanted(asking, line)) {
            /* Counted, not changed. */
            (void)json_array_append(lines, (json_t *)(uintptr_t)line);
        }
    }
    while (json_array_size(lines) > limit) {
        (void)json_array_remove(lines,
                                has_since ? json_array_size(lines) - 1 : 0);
    }
    if (code) {
        json_decref(lines);
        return code;
    }
    (void)json_object_set_new(all, "lines", lines);
    *asking->answer = json_incref(all);
    return EXIT_CODE_OK;
}

/* ---- one of a list ---- */

static enum exit_code show_op(const struct asking *asking, const char *verb)
{
    (void)verb;
    scoped(answer_clear) json_t *all = NULL;
    const char *id = answer_text(asking->args, "id");
    enum exit_code code = stored(asking, "op.ls", &all);
    if (code) {
        return code;
    }
    const json_t *op = find_text(all, "ops", "id", id);
    if (!op) {
        err_explain(asking->why, "there is no operation %.64s in this bundle",
                    id ? id : "");
        return EXIT_CODE_USAGE;
    }
    *asking->answer = head_of(all);
    (void)json_object_update_missing(*asking->answer, (json_t *)(uintptr_t)op);
    return EXIT_CODE_OK;
}

/* The shards that the map gives a node. */
static json_t *shards_of(const json_t *map, const char *name)
{
    json_t *list = json_array();
    for (size_t i = 0; i < answer_count(map, "shards"); i++) {
        const json_t *shard = answer_item(map, "shards", i);
        for (size_t k = 0; k < answer_count(shard, "wanted"); k++) {
            const char *node =
                json_string_value(answer_item(shard, "wanted", k));
            if (node && strcmp(node, name) == 0) {
                (void)json_array_append_new(
                    list, json_pack("{s:I, s:s}", "shard",
                                    (json_int_t)answer_number(shard, "shard"),
                                    "role", k == 0 ? "owner" : "replica"));
            }
        }
    }
    return list;
}

static enum exit_code show_node(const struct asking *asking, const char *verb)
{
    (void)verb;
    scoped(answer_clear) json_t *nodes = NULL;
    scoped(answer_clear) json_t *map = NULL;
    const char *name = answer_text(asking->args, "name");
    enum exit_code code = stored(asking, "node.ls", &nodes);
    if (!code) {
        code = stored(asking, "shard.map", &map);
    }
    if (code) {
        return code;
    }
    const json_t *node = find_text(nodes, "members", "name", name);
    if (!node) {
        err_explain(asking->why,
                    "no node is called %.64s: troupe node ls shows all",
                    name ? name : "");
        return EXIT_CODE_USAGE;
    }
    json_t *shown = head_of(nodes);
    (void)json_object_del(shown, "view"); /* the node's own comes */
    (void)json_object_update_missing(shown, (json_t *)(uintptr_t)node);
    (void)json_object_set_new(shown, "shards", shards_of(map, name));
    *asking->answer = shown;
    return EXIT_CODE_OK;
}

/* ---- what is worked out: shard.locate, shard.plan ---- */

static enum exit_code fetch_view(const struct asking *asking,
                                 json_t **nodes,
                                 json_t **map)
{
    enum exit_code code = stored(asking, "node.ls", nodes);
    if (!code) {
        code = stored(asking, "shard.map", map);
    }
    return code;
}

/* Any node answers this: without a leader then from what one knew by itself.
 * `map` is the caller's. */
static enum exit_code open_view(const struct asking *asking,
                                struct shard_view **out,
                                json_t **map)
{
    scoped(answer_clear) json_t *nodes = NULL;
    struct asking alone = *asking;
    alone.is_stale = true;
    enum exit_code code = fetch_view(asking, &nodes, map);
    if (code) {
        answer_clear(&nodes);
        answer_clear(map);
        code = fetch_view(&alone, &nodes, map);
    }
    if (code) {
        return code;
    }
    enum err err = shard_view_of_answers(out, nodes, *map, asking->why);
    return err ? exit_code_of_change(err) : EXIT_CODE_OK;
}

/* With the head of what it is from; takes `found`. */
static enum exit_code give(const struct asking *asking,
                           const json_t *source,
                           json_t *found)
{
    json_t *answer = head_of(source);
    if (!found || json_object_update_missing(answer, found)) {
        json_decref(answer);
        json_decref(found);
        return EXIT_CODE_FAILED;
    }
    json_decref(found);
    *asking->answer = answer;
    return EXIT_CODE_OK;
}

static enum exit_code locate(const struct asking *asking, const char *verb)
{
    (void)verb;
    scoped(answer_clear) json_t *map = NULL;
    scoped(shard_view_close) struct shard_view *view = NULL;
    const char *type = answer_text(asking->args, "type");
    const char *id = answer_text(asking->args, "id");
    enum exit_code code = open_view(asking, &view, &map);
    if (code) {
        return code;
    }
    json_t *place = shard_view_locate(view, bytes_of_text(type ? type : ""),
                                      bytes_of_text(id ? id : ""));
    const json_t *shard =
        answer_item(map, "shards", (size_t)answer_number(place, "shard"));
    json_t *leader = json_object_get(shard, "leader");
    if (place && leader) {
        (void)json_object_set(place, "leader", leader);
    }
    return give(asking, map, place);
}

static enum exit_code plan(const struct asking *asking, const char *verb)
{
    (void)verb;
    json_t *moves = NULL;
    scoped(answer_clear) json_t *map = NULL;
    scoped(shard_view_close) struct shard_view *view = NULL;
    enum exit_code code = open_view(asking, &view, &map);
    if (code) {
        return code;
    }
    enum err err = shard_view_plan(view, json_object_get(asking->args, "add"),
                                   json_object_get(asking->args, "remove"),
                                   &moves, asking->why);
    if (err) {
        return asking->why->text[0] ? EXIT_CODE_USAGE : exit_code_of(err);
    }
    return give(asking, map, moves);
}

/* ---- the table ---- */

static enum exit_code as_it_is(const struct asking *asking, const char *verb)
{
    return stored(asking, verb, asking->answer);
}

static const struct {
    const char *verb;
    enum exit_code (*answer)(const struct asking *asking, const char *verb);
} worked_out[] = {
    {"events", cut_lines},    {"shard.history", cut_lines},
    {"op.show", show_op},     {"node.show", show_node},
    {"shard.locate", locate}, {"shard.plan", plan},
};

/* NULL: it is not gathered. */
static const struct debug_bundle_verb *find_verb(const char *name)
{
    const struct debug_bundle_verb *verb = debug_bundle_verbs;
    while (verb->name && strcmp(verb->name, name) != 0) {
        verb++;
    }
    return verb->name && !verb->text_file ? verb : NULL;
}

enum exit_code debug_bundle_ask(const struct debug_bundle *bundle,
                                const struct remote_question *question,
                                json_t **answer,
                                struct err_detail *why)
{
    const struct debug_bundle_verb *verb = find_verb(question->verb);
    struct asking asking = {
        .bundle = bundle,
        .args = question->args,
        .is_stale =
            answer_is(question->args, "stale") || (verb && !verb->of_cluster),
        .answer = answer,
        .why = why,
    };
    *answer = NULL;
    if (question->changes) {
        err_explain(why, "a bundle cannot be steered: it is what nodes said "
                         "when it was made");
        return EXIT_CODE_REFUSED;
    }
    for (size_t i = 0; i < sizeof worked_out / sizeof *worked_out; i++) {
        if (strcmp(worked_out[i].verb, question->verb) == 0) {
            return worked_out[i].answer(&asking, question->verb);
        }
    }
    if (!verb) {
        err_explain(why,
                    "a bundle holds no answer to %.64s: only running nodes "
                    "can be asked for it",
                    question->verb);
        return EXIT_CODE_USAGE;
    }
    return as_it_is(&asking, question->verb);
}
