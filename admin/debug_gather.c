#include "admin/debug_gather.h"

#include "admin/answer.h"
#include "admin/debug_bundle.h"
#include "admin/debug_redact.h"
#include "admin/human.h"
#include "base/scope.h"
#include "base/time_units.h"
#include "client/client.h"

#include <stdlib.h>
#include <string.h>

#define CONNECT_MS (3 * MS_PER_S) /* for a node that may be away */

struct gather {
    const struct command *command;
    struct remote *remote;
    const struct debug_gather_redact *redact;
    struct debug_gathered *out;
    struct context_node *nodes;
    uint32_t node_count;
};

void debug_gathered_clear(struct debug_gathered *gathered)
{
    parcel_close(&gathered->parcel);
    json_decref(gathered->asked);
    json_decref(gathered->missing);
    *gathered = (struct debug_gathered){0};
}

/* ---- asking ---- */

static json_t *args_of(const struct debug_bundle_verb *verb, bool is_alone)
{
    json_t *args = json_object();
    if (verb->limit > 0) {
        (void)json_object_set_new(args, "limit",
                                  json_integer((json_int_t)verb->limit));
    }
    if (is_alone && verb->of_cluster) {
        (void)json_object_set_new(args, "stale", json_true());
    }
    return args;
}

static enum err ask(struct gather *gather,
                    struct remote *remote,
                    const struct debug_bundle_verb *verb,
                    const char *folder)
{
    struct err_detail why = {{0}};
    scoped(answer_clear) json_t *answer = NULL;
    bool is_alone = strcmp(folder, DEBUG_BUNDLE_CLUSTER) != 0;
    scoped(answer_clear) json_t *args = args_of(verb, is_alone);
    struct remote_question question = {.verb = verb->name, .args = args};
    struct debug_bundle_answer ended = {.verb = verb,
                                        .asked = remote_node(remote)};
    ended.code = remote_try(remote, &question, &answer, &why);
    ended.at_ms = clock_wall_ms(gather->command->world->clock);
    ended.answer = answer;
    ended.why = why.text[0] ? why.text : exit_code_text(ended.code);
    return debug_bundle_put(gather->out->parcel, folder, &ended);
}

static enum err ask_leader(struct gather *gather)
{
    enum err err = ERR_NONE;
    for (const struct debug_bundle_verb *verb = debug_bundle_verbs;
         verb->name && !err; verb++) {
        if (verb->of_cluster) {
            err = ask(gather, gather->remote, verb, DEBUG_BUNDLE_CLUSTER);
        }
    }
    return err;
}

static enum err ask_node(struct gather *gather, const struct context_node *node)
{
    struct err_detail why = {{0}};
    struct debug_gathered *out = gather->out;
    scoped(remote_close) struct remote *remote = NULL;
    char folder[PARCEL_NAME_BYTES];
    struct client_node named = {node->name, node->door};
    enum exit_code code =
        remote_connect_node(&remote, gather->remote, &named, CONNECT_MS, &why);
    if (code) {
        human_clean(why.text);
        (void)json_array_append_new(
            out->missing,
            json_pack("{s:s, s:s}", "node", node->name, "why",
                      why.text[0] ? why.text : exit_code_text(code)));
        return ERR_NONE;
    }
    (void)json_array_append_new(out->asked, json_string(node->name));
    (void)snprintf(folder, sizeof folder, "nodes/%s", node->name);
    enum err err = ERR_NONE;
    for (const struct debug_bundle_verb *verb = debug_bundle_verbs;
         verb->name && !err; verb++) {
        bool is_left_out =
            gather->redact->log && strcmp(verb->name, "node.log") == 0;
        if (!is_left_out) {
            err = ask(gather, remote, verb, folder);
        }
    }
    return err;
}

/* ---- which nodes ---- */

static enum err add_node(struct gather *gather,
                         const char *name,
                         const char *door)
{
    for (uint32_t i = 0; i < gather->node_count; i++) {
        if (strcmp(gather->nodes[i].name, name) == 0) {
            return ERR_NONE;
        }
    }
    if (!certificate_name_is_valid(name) ||
        gather->node_count == CONTEXT_NODE_COUNT_MAX) {
        return ERR_NONE;
    }
    struct context_node *grown = realloc(
        gather->nodes, (gather->node_count + 1) * sizeof *gather->nodes);
    if (!grown) {
        return ERR_MEMORY;
    }
    gather->nodes = grown;
    struct context_node *node = &gather->nodes[gather->node_count++];
    (void)snprintf(node->name, sizeof node->name, "%s", name);
    (void)snprintf(node->door, sizeof node->door, "%s", door);
    return ERR_NONE;
}

/* Those that the cluster has, and those that a file names: of the cluster's
 * the door may be newer. */
static enum err find_nodes(struct gather *gather)
{
    struct err_detail why = {{0}};
    scoped(answer_clear) json_t *answer = NULL;
    scoped(answer_clear) json_t *args = json_pack("{s:b}", "stale", 1);
    struct remote_question question = {.verb = "node.ls", .args = args};
    (void)remote_try(gather->remote, &question, &answer, &why);
    enum err err = ERR_NONE;
    for (size_t i = 0; i < answer_count(answer, "members") && !err; i++) {
        const json_t *member = answer_item(answer, "members", i);
        err = add_node(gather, answer_name(member, "name"),
                       answer_name(member, "door"));
    }
    for (uint32_t i = 0; i < remote_node_count(gather->remote) && !err; i++) {
        const struct context_node *node = remote_node_at(gather->remote, i);
        err = add_node(gather, node->name, node->door);
    }
    return err;
}

/* ---- taking out ---- */

/* "tcp://HOST:PORT", "ws://[HOST]:PORT/door"; what is no address of a machine
 * that is not any machine's is nothing. */
static enum err add_host(struct debug_redact *words, const char *url)
{
    static const char *const plain[] = {"127.0.0.1", "::1", "localhost",
                                        "0.0.0.0",   "::",  "-"};
    char host[256];
    const char *start = strstr(url, "://");
    start = start ? start + 3 : url;
    bool is_bracketed = *start == '[';
    start += is_bracketed;
    size_t length = is_bracketed         ? strcspn(start, "]")
                    : strstr(url, "://") ? strcspn(start, ":/")
                                         : strlen(start);
    (void)snprintf(host, sizeof host, "%.*s", (int)length, start);
    if (strncmp(url, "ipc:", 4) == 0) {
        return ERR_NONE;
    }
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (strcmp(plain[i], host) == 0) {
            return ERR_NONE;
        }
    }
    return debug_redact_add(words, "host", host);
}

/* Who is named "operator" as `cluster init` does stays it: that is a role. */
static enum err add_person(struct debug_redact *words, const char *who)
{
    const char *slash = strchr(who, '/');
    bool is_person = slash && strncmp(who, "node/", 5) != 0;
    enum role role;
    return is_person && !role_from_text(&role, slash + 1)
               ? debug_redact_add(words, "person", slash + 1)
               : ERR_NONE;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);
    return length >= strlen(end) &&
           strcmp(text + length - strlen(end), end) == 0;
}

/* Look for words in all that was answered. */
static enum err find_words(const struct debug_gather_redact *redact,
                           struct debug_redact *words,
                           json_t *value)
{
    enum err err = ERR_NONE;
    size_t i;
    const char *key;
    json_t *item;
    json_array_foreach(value, i, item)
    {
        err = err ? err : find_words(redact, words, item);
    }
    json_object_foreach(value, key, item)
    {
        const char *text = json_string_value(item);
        bool is_host = strcmp(key, "door") == 0 || ends_with(key, ".host") ||
                       ends_with(key, "listen") ||
                       strncmp(key, "seeds[", 6) == 0;
        if (!err && text && redact->hosts && is_host) {
            err = add_host(words, text);
        }
        if (!err && text && redact->people && strcmp(key, "who") == 0) {
            err = add_person(words, text);
        }
        err = err ? err : find_words(redact, words, item);
    }
    return err;
}

static enum err find_people_of_links(struct debug_redact *words,
                                     const json_t *answer)
{
    enum err err = ERR_NONE;
    for (size_t i = 0; i < answer_count(answer, "links") && !err; i++) {
        char who[256];
        const json_t *link = answer_item(answer, "links", i);
        (void)snprintf(who, sizeof who, "%s/%s", answer_name(link, "role"),
                       answer_name(link, "name"));
        err = add_person(words, who);
    }
    return err;
}

static enum err find_all_words(const struct gather *gather,
                               struct debug_redact *words)
{
    const struct parcel *parcel = gather->out->parcel;
    enum err err = ERR_NONE;
    for (size_t i = 0; i < parcel_count(parcel) && !err; i++) {
        size_t length = 0;
        const char *name = parcel_name_at(parcel, i);
        const char *text = parcel_find(parcel, name, &length);
        scoped(answer_clear) json_t *json =
            ends_with(name, ".json") ? json_loadb(text, length, 0, NULL) : NULL;
        err = find_words(gather->redact, words, json);
        if (!err && gather->redact->people) {
            err = find_people_of_links(words, answer_at(json, "answer"));
        }
    }
    return err;
}

/* In values alone: keys are words of ours. */
static enum err clean_values(const struct debug_redact *words, json_t *value)
{
    enum err err = ERR_NONE;
    size_t i;
    const char *key;
    json_t *item;
    if (json_is_string(value)) {
        char *cleaned = NULL;
        err = debug_redact_apply(words, json_string_value(value), &cleaned);
        if (!err && json_string_set(value, cleaned)) {
            err = ERR_MEMORY;
        }
        free(cleaned);
    }
    json_array_foreach(value, i, item)
    {
        err = err ? err : clean_values(words, item);
    }
    json_object_foreach(value, key, item)
    {
        err = err ? err : clean_values(words, item);
    }
    return err;
}

static enum err clean_file(const struct debug_redact *words,
                           const struct parcel *from,
                           const char *name,
                           struct parcel *to)
{
    size_t length = 0;
    char *cleaned = NULL;
    const char *text = parcel_find(from, name, &length);
    enum err err = ERR_NONE;
    if (ends_with(name, ".json")) {
        scoped(answer_clear) json_t *json = json_loadb(text, length, 0, NULL);
        err = json ? clean_values(words, json) : ERR_MEMORY;
        cleaned = err ? NULL : json_dumps(json, JSON_INDENT(2));
    } else {
        err = debug_redact_apply(words, text, &cleaned);
    }
    if (!err) {
        err =
            cleaned ? parcel_add(to, name, bytes_of_text(cleaned)) : ERR_MEMORY;
    }
    free(cleaned);
    return err;
}

static enum err take_out(struct gather *gather)
{
    scoped(debug_redact_close) struct debug_redact *words = NULL;
    scoped(parcel_close) struct parcel *cleaned = NULL;
    struct debug_gathered *out = gather->out;
    if (!gather->redact->hosts && !gather->redact->people) {
        return ERR_NONE;
    }
    enum err err = debug_redact_open(&words);
    if (!err) {
        err = find_all_words(gather, words);
    }
    if (!err) {
        err = clean_values(words, out->missing);
    }
    if (!err) {
        err = parcel_open(&cleaned);
    }
    for (size_t i = 0; !err && i < parcel_count(out->parcel); i++) {
        err = clean_file(words, out->parcel, parcel_name_at(out->parcel, i),
                         cleaned);
    }
    if (!err) {
        parcel_close(&out->parcel);
        out->parcel = cleaned;
        cleaned = NULL;
    }
    return err;
}

/* ---- all of it ---- */

static enum err put_manifest(const struct gather *gather)
{
    const struct debug_gathered *out = gather->out;
    json_t *redacted = json_array();
    static const char *const names[] = {"hosts", "people", "log"};
    bool is_so[] = {gather->redact->hosts, gather->redact->people,
                    gather->redact->log};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (is_so[i]) {
            (void)json_array_append_new(redacted, json_string(names[i]));
        }
    }
    return debug_bundle_put_manifest(
        out->parcel,
        json_pack("{s:I, s:s, s:O, s:O, s:o}", "at_ms", (json_int_t)out->at_ms,
                  "cluster", out->cluster, "asked", out->asked, "missing",
                  out->missing, "redacted", redacted));
}

static enum err gather_all(struct gather *gather)
{
    struct debug_gathered *out = gather->out;
    enum err err = parcel_open(&out->parcel);
    if (!err) {
        err = ask_leader(gather);
    }
    if (!err) {
        err = find_nodes(gather);
    }
    for (uint32_t i = 0; i < gather->node_count && !err; i++) {
        err = ask_node(gather, &gather->nodes[i]);
    }
    if (!err) {
        err = take_out(gather);
    }
    return err ? err : put_manifest(gather);
}

enum err debug_gather(struct debug_gathered *out,
                      const struct command *command,
                      struct remote *remote,
                      const struct debug_gather_redact *redact)
{
    struct gather gather = {
        .command = command, .remote = remote, .redact = redact, .out = out};
    *out =
        (struct debug_gathered){.at_ms = clock_wall_ms(command->world->clock),
                                .asked = json_array(),
                                .missing = json_array()};
    (void)snprintf(out->cluster, sizeof out->cluster, "%s",
                   remote_cluster(remote));
    enum err err =
        out->asked && out->missing ? gather_all(&gather) : ERR_MEMORY;
    free(gather.nodes);
    return err;
}
