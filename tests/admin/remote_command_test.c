/*
 * The commands that talk to a cluster, with a client that answers from canned
 * texts in place of client/client.c. That the link works, remote_test.c shows.
 */

#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "admin/explain_text.h"
#include "admin/nouns.h"
#include "admin/pack_json.h"
#include "base/posix/posix_files.h"
#include "client/client.h"
#include "shard/host_service.h"
#include "tests/support/terminal.h"

#define ANSWER_COUNT_MAX 24
#define ANSWER_BYTES_MAX 8192

struct canned {
    const char *verb;
    enum err err;
    const char *json;
    uint32_t times; /* then the next one of this verb; 0: for ever */
};

/* ---- the client ---- */

struct client {
    char name[64];
};

static struct {
    enum err open_err;
    struct canned answers[ANSWER_COUNT_MAX];
    uint32_t opened_count;
    uint32_t asked_count;
    const char *away;    /* a node that cannot be linked with; NULL: none */
    uint32_t node_count; /* that could be linked with */
    char who[64];
    char verb[64]; /* of the last question */
    char args[4096];
} fake;

enum err client_open(struct client **out,
                     const struct client_config *config,
                     struct err_detail *why)
{
    fake.opened_count++;
    fake.node_count = config->node_count;
    (void)snprintf(fake.who, sizeof fake.who, "%s",
                   config->identity->certificate.name);
    bool is_away = fake.away && config->node_count == 1 &&
                   strcmp(fake.away, config->nodes[0].name) == 0;
    if (fake.open_err || is_away) {
        err_explain(why, "%s (%s): nobody there", config->nodes[0].name,
                    config->nodes[0].door);
        return is_away ? ERR_UNREACHABLE : fake.open_err;
    }
    struct client *client = calloc(1, sizeof *client);
    CHECK(client != NULL);
    (void)snprintf(client->name, sizeof client->name, "%s",
                   config->nodes[0].name);
    *out = client;
    return ERR_NONE;
}

void client_close(struct client **client)
{
    free(*client);
    *client = NULL;
}

const char *client_node_name(const struct client *client)
{
    return client->name;
}

static void note_question(struct bytes question)
{
    json_t *map = NULL;
    CHECK_OK(pack_json_decode(&map, question));
    CHECK(json_integer_value(json_object_get(map, "v")) == 1);
    const json_t *args = json_object_get(map, "args");
    char *text = args ? json_dumps(args, JSON_COMPACT) : strdup("{}");
    (void)snprintf(fake.args, sizeof fake.args, "%s", text);
    (void)snprintf(fake.verb, sizeof fake.verb, "%s",
                   json_string_value(json_object_get(map, "verb")));
    free(text);
    json_decref(map);
    fake.asked_count++;
}

static struct canned *find_canned(const char *verb)
{
    for (size_t i = 0; i < ANSWER_COUNT_MAX; i++) {
        struct canned *canned = &fake.answers[i];
        if (canned->verb && strcmp(canned->verb, verb) == 0) {
            if (canned->times > 0 && --canned->times == 0) {
                static struct canned last;
                last = *canned;
                canned->verb = NULL;
                return &last;
            }
            return canned;
        }
    }
    return NULL;
}

enum err client_ask(struct client *client,
                    uint8_t service,
                    struct bytes question,
                    uint32_t timeout_ms,
                    uint8_t **answer,
                    size_t *answer_length)
{
    CHECK(client && service == HOST_SERVICE_ADMIN && timeout_ms > 0);
    note_question(question);
    *answer = NULL;
    *answer_length = 0;
    const struct canned *canned = find_canned(fake.verb);
    if (!canned) {
        return ERR_NOT_FOUND;
    }
    if (canned->json) {
        json_t *map = json_loads(canned->json, 0, NULL);
        assert_non_null(map);
        *answer = malloc(ANSWER_BYTES_MAX);
        struct writer writer = writer_of(*answer, ANSWER_BYTES_MAX);
        pack_json_encode(&writer, map);
        CHECK(!writer.failed);
        *answer_length = writer_bytes(&writer).length;
        json_decref(map);
    }
    return canned->err;
}

/* ---- somebody at a terminal ---- */

static struct terminal terminal;

static int run_plain(const char *line)
{
    fake.asked_count = 0;
    fake.opened_count = 0;
    return terminal_run(&terminal, line);
}

/* With the cluster's file. */
static int run(const char *line)
{
    char whole[512];
    const char *dashes = strstr(line, " -- ");
    int length = dashes ? (int)(dashes - line) : (int)strlen(line);
    (void)snprintf(whole, sizeof whole, "%.*s --config %s%s", length, line,
                   "DIR/lab/operator/cluster.yaml", line + length);
    return run_plain(whole);
}

static bool says(const char *where, const char *what)
{
    return where && strstr(where, what) != NULL;
}

static void answer(const char *verb, const char *json)
{
    for (size_t i = 0; i < ANSWER_COUNT_MAX; i++) {
        if (!fake.answers[i].verb) {
            fake.answers[i] = (struct canned){.verb = verb, .json = json};
            return;
        }
    }
    fail();
}

static void answer_times(const char *verb,
                         enum err err,
                         const char *json,
                         uint32_t times)
{
    answer(verb, json);
    for (size_t i = 0; i < ANSWER_COUNT_MAX; i++) {
        struct canned *canned = &fake.answers[i];
        if (canned->verb == verb && canned->json == json) {
            canned->err = err;
            canned->times = times;
        }
    }
}

static int set_up_all(void **state)
{
    (void)state;
    CHECK_OK(identity_library_init());
    terminal_init(&terminal, nouns_all);
    CHECK(run_plain("cluster init lab --transport ipc one two three --out "
                    "DIR/lab") == 0);
    return 0;
}

static int tear_down_all(void **state)
{
    (void)state;
    terminal_clear(&terminal);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof fake);
    terminal.patience = 3;
    terminal.typed = NULL;
    terminal.context = NULL;
    return 0;
}

/* ---- canned answers ---- */

static const char status[] =
    "{\"v\":1,\"node\":\"one\",\"view\":17,"
    "\"cluster\":{\"id\":\"00ff\",\"name\":\"lab\"},\"founded\":true,"
    "\"paused\":false,\"meta\":{\"leader\":\"two\",\"term\":5,"
    "\"voters\":[\"one\",\"two\",\"three\"],\"missing\":[]},"
    "\"members\":{\"total\":3,\"heard\":3,\"active\":3,\"cordoned\":0,"
    "\"draining\":0,\"down\":0},"
    "\"shards\":{\"total\":2,\"led\":2,\"whole\":2,\"moving\":0,\"unled\":0},"
    "\"balance\":{\"owners_max\":1,\"owners_mean\":0.67,\"replicas_max\":2,"
    "\"replicas_mean\":2.0},\"problems\":[]}";

#define NODE(name, state, up, view)                                  \
    "{\"name\":\"" name "\",\"number\":0,\"state\":\"" state         \
    "\",\"heard_by\":2,\"observers\":2,\"is_up\":" up                \
    ",\"roles\":[\"shard\",\"voter\"],\"zone\":\"\",\"weight\":100," \
    "\"owners\":1,\"replicas\":2,\"leads\":1,\"view\":" view         \
    ",\"release\":\"0.1.0\",\"since_ms\":1795260000000,\"door\":\"ipc:x\"}"

static const char nodes[] =
    "{\"v\":1,\"node\":\"one\",\"view\":17,\"members\":[" NODE(
        "one", "active", "true", "17") "," NODE("two",
                                                "active",
                                                "true",
                                                "17") "]}";

static const char nodes_bad[] =
    "{\"v\":1,\"node\":\"one\",\"view\":17,\"members\":[" NODE(
        "one", "active", "true", "16") "," NODE("two",
                                                "down",
                                                "false",
                                                "3") "]}";

static const char node[] =
    "{\"v\":1,\"node\":\"one\",\"name\":\"two\",\"number\":1,"
    "\"state\":\"active\",\"heard_by\":2,\"observers\":2,\"is_up\":true,"
    "\"roles\":[\"shard\"],\"zone\":\"\",\"weight\":100,\"owners\":1,"
    "\"replicas\":2,\"leads\":1,\"view\":17,\"release\":\"0.1.0\","
    "\"since_ms\":1795260000000,\"door\":\"ipc:x\","
    "\"shards\":[{\"shard\":0,\"role\":\"owner\"},"
    "{\"shard\":1,\"role\":\"replica\"}]}";

static const char node_away[] =
    "{\"v\":1,\"node\":\"one\",\"name\":\"two\",\"state\":\"active\","
    "\"is_up\":false,\"owners\":1,\"leads\":0}";

static const char info[] =
    "{\"v\":1,\"node\":\"one\",\"view\":17,\"name\":\"one\",\"ready\":true,"
    "\"leads\":1,\"cluster_id\":\"00ff\",\"view_digest\":\"abc\"}";

static const char map[] =
    "{\"v\":1,\"node\":\"one\",\"view\":17,\"map\":{\"version\":9},"
    "\"nodes_with_version\":3,\"balance\":{\"owners_max\":1,"
    "\"owners_mean\":0.67,\"replicas_max\":2,\"replicas_mean\":2.0},"
    "\"moving\":0,\"shards\":["
    "{\"shard\":0,\"owner\":\"one\",\"leader\":\"one\",\"generation\":0,"
    "\"term\":3,\"state\":\"serving\",\"replicas\":["
    "{\"node\":\"one\",\"voter\":true,\"lag\":0},"
    "{\"node\":\"two\",\"voter\":true,\"lag\":12}],"
    "\"wanted\":[\"one\",\"two\"],\"rate\":1500,\"applied\":77,"
    "\"log_bytes\":2048},"
    "{\"shard\":1,\"owner\":\"two\",\"leader\":\"two\",\"generation\":0,"
    "\"term\":3,\"state\":\"serving\",\"replicas\":["
    "{\"node\":\"two\",\"voter\":true,\"lag\":0},"
    "{\"node\":\"one\",\"voter\":true,\"lag\":1}],"
    "\"wanted\":[\"two\",\"one\"],\"rate\":0,\"applied\":1,"
    "\"log_bytes\":0}]}";

static const char map_bad[] =
    "{\"v\":1,\"node\":\"one\",\"view\":17,\"map\":{\"version\":9},"
    "\"nodes_with_version\":3,\"moving\":1,\"shards\":["
    "{\"shard\":0,\"owner\":\"one\",\"leader\":null,\"generation\":0,"
    "\"term\":null,\"state\":\"no_leader\",\"replicas\":[],"
    "\"wanted\":[\"one\",\"two\"],\"rate\":null,\"applied\":null,"
    "\"log_bytes\":null},"
    "{\"shard\":1,\"owner\":\"two\",\"leader\":\"two\",\"generation\":0,"
    "\"term\":3,\"state\":\"moving\",\"replicas\":["
    "{\"node\":\"two\",\"voter\":true,\"lag\":0},"
    "{\"node\":\"one\",\"voter\":false,\"lag\":null}],"
    "\"wanted\":[\"two\",\"one\"],\"rate\":0,\"applied\":1,"
    "\"log_bytes\":0}]}";

static const char plan[] =
    "{\"v\":1,\"node\":\"one\",\"view\":17,\"moves\":[{\"shard\":0,"
    "\"from\":[\"two\",\"one\"],\"to\":[\"three\",\"one\"],"
    "\"owner_only\":false}],\"balance_before\":{\"owners_max\":1,"
    "\"owners_mean\":0.67,\"replicas_max\":2,\"replicas_mean\":1.33},"
    "\"balance_after\":{\"owners_max\":2,\"owners_mean\":1,"
    "\"replicas_max\":2,\"replicas_mean\":2},\"paused\":false}";

static const char plan_empty[] =
    "{\"v\":1,\"node\":\"one\",\"view\":17,\"moves\":[],\"paused\":false}";

static const char done[] = "{\"v\":1,\"node\":\"one\",\"view\":18,"
                           "\"state\":\"draining\",\"from\":\"one\","
                           "\"to\":\"two\",\"paused\":true}";

#define OP(state, why, percent)                                           \
    "{\"v\":1,\"node\":\"one\",\"view\":18,\"id\":\"drain-two\","         \
    "\"kind\":\"drain\",\"what\":\"two gives its shards to the others\"," \
    "\"state\":\"" state "\",\"why\":\"" why                              \
    "\",\"since_ms\":1795260000000,\"who\":\"operator/ann\",\"done\":2,"  \
    "\"total\":4,\"unit\":\"replicas\",\"percent\":" percent              \
    ",\"rate\":2.5,\"left_ms\":800,\"cancel\":\"it is active again\"}"

/* ---- looking ---- */

static void shows_the_cluster(void **state)
{
    (void)state;
    answer("cluster.status", status);
    CHECK(run("cluster status") == 0);
    CHECK(says(terminal.out, "lab (00ff), view 17"));
    CHECK(says(terminal.out, "led by two, term 5, voters one two three"));
    CHECK(says(terminal.out, "3 of 3 heard: 3 active\n"));
    CHECK(says(terminal.out, "2 of 2 led, 2 whole"));
    CHECK(says(terminal.out, "none"));
    assert_string_equal(fake.who, "operator");
    CHECK(fake.node_count == 3 && fake.asked_count == 1);
}

static void json_is_the_answer_with_schema_and_version(void **state)
{
    (void)state;
    answer("cluster.status", status);
    CHECK(run("cluster status --json --stale") == 0);
    assert_string_equal(fake.args, "{\"stale\":true}");
    json_t *document = json_loads(terminal.out, 0, NULL);
    assert_non_null(document);
    assert_string_equal(json_string_value(json_object_get(document, "schema")),
                        "troupe.cluster.status");
    CHECK(json_integer_value(json_object_get(document, "version")) == 1);
    CHECK(json_integer_value(json_object_get(document, "view")) == 17);
    CHECK(!json_object_get(document, "v"));
    json_decref(document);
}

static void looks_again_until_ctrl_c(void **state)
{
    (void)state;
    answer("node.ls", nodes);
    CHECK(run("node ls --watch=5") == 0);
    CHECK(fake.asked_count == 3 && fake.opened_count == 1);
    CHECK(terminal.wait_count == 3);
    CHECK(run("node ls --watch=0") == 2);
    CHECK(run("node ls --watch=x") == 2);
    CHECK(run("node ls --watch") == 0);
    CHECK(fake.asked_count == 3);
}

static void lists_nodes(void **state)
{
    (void)state;
    answer("node.ls", nodes);
    answer("node.show", node);
    CHECK(run("node ls") == 0);
    CHECK(says(terminal.out, "NODE  STATE   UP   OWNS"));
    CHECK(says(terminal.out, "two   active  yes     1         2      1"));
    CHECK(says(terminal.out, "10 min ago"));
    CHECK(run("cluster members") == 0);
    CHECK(says(terminal.out, "2/2") && says(terminal.out, "shard voter"));
    CHECK(run("node show two") == 0);
    assert_string_equal(fake.args, "{\"name\":\"two\"}");
    CHECK(says(terminal.out, "Owns      0\nReplicas  1\n"));
}

static void shows_the_map(void **state)
{
    (void)state;
    answer("shard.map", map);
    CHECK(run("shard map") == 0);
    CHECK(says(terminal.out, "one two(+12)"));
    CHECK(says(terminal.out, "1.5k") && says(terminal.out, "2 KiB"));
    CHECK(says(terminal.out, "2 shards, 0 moving, 0 without a leader; map "
                             "version 9, on 3 nodes"));
    CHECK(run("shard show 1") == 0);
    CHECK(says(terminal.out, "Owner       two") &&
          !says(terminal.out, "Owner       one"));
    CHECK(run("shard show 1 --json") == 0);
    CHECK(says(terminal.out, "\"shard\":1") &&
          !says(terminal.out, "\"shard\":0"));
    CHECK(run("shard show 2") == 2);
    CHECK(says(terminal.talk, "there are 2"));
    CHECK(run("shard show -- -1") == 2);
    CHECK(run("shard show x") == 2);
}

static void draws_the_map(void **state)
{
    (void)state;
    char path[256];
    uint8_t *text = NULL;
    size_t length = 0;
    const struct files *files = posix_files();
    answer("shard.map", map);
    CHECK(run("shard map --plot DIR/map.svg") == 0);
    CHECK_OK(files->read(files->context,
                         temp_folder_path(&terminal.folder, path, "map.svg"),
                         FILE_PUBLIC, 1 << 20, &text, &length));
    CHECK(says((const char *)text, "<svg "));
    CHECK(says((const char *)text, "shard 1: two, serving"));
    CHECK(says((const char *)text, "</svg>\n"));
    free(text);
    CHECK(run("shard map --plot DIR/none/map.svg") != 0);
    CHECK(says(terminal.talk, "none/map.svg"));
}

static void locates_an_actor(void **state)
{
    (void)state;
    answer("shard.locate",
           "{\"v\":1,\"node\":\"one\",\"shard\":7,\"owner\":\"one\","
           "\"leader\":\"one\",\"replicas\":[\"one\",\"two\"]}");
    CHECK(run("shard locate order/a/b") == 0);
    assert_string_equal(fake.args, "{\"type\":\"order\",\"id\":\"a/b\"}");
    CHECK(says(terminal.out, "order/a/b is in shard 7, led by one"));
    CHECK(run("shard locate order") == 2);
    CHECK(run("shard locate /a") == 2);
    CHECK(run("shard locate order/") == 2);
    CHECK(fake.asked_count == 0);
}

static void follows_the_journal(void **state)
{
    (void)state;
    answer_times("events", ERR_NONE,
                 "{\"v\":1,\"lines\":[{\"number\":4,\"at_ms\":1795260600250,"
                 "\"who\":\"operator/ann\",\"text\":\"drain\"}],\"newest\":4}",
                 1);
    answer_times("events", ERR_NO_QUORUM, "{\"v\":1,\"why\":\"two is away\"}",
                 1);
    answer("events", "{\"v\":1,\"lines\":[],\"newest\":4}");
    CHECK(run("events --follow") == 0);
    CHECK(says(terminal.out, "    4  2026-11-21T"));
    CHECK(says(terminal.out, "operator/ann"));
    assert_string_equal(fake.args, "{\"since\":4}");
    CHECK(run("events --since 7 --limit 3") == 0);
    assert_string_equal(fake.args, "{\"since\":7,\"limit\":3}");
    CHECK(run("events --since x") == 2);
    CHECK(run("events --limit 0") == 2);
}

/* ---- operations ---- */

static void lists_operations(void **state)
{
    (void)state;
    answer_times("op.ls", ERR_NONE, "{\"v\":1,\"ops\":[]}", 1);
    answer("op.ls", "{\"v\":1,\"ops\":[" OP("waiting", "no place", "50") "]}");
    answer("op.show", OP("running", "", "50"));
    CHECK(run("op ls") == 0 && says(terminal.out, "Nothing is under way"));
    CHECK(run("op ls") == 0);
    CHECK(says(terminal.out, "drain-two  waiting  2/4 replicas  50"));
    CHECK(says(terminal.out,
               "operator/ann  two gives its shards to the others: "
               "no place"));
    CHECK(run("_names ops") == 0);
    assert_string_equal(terminal.out, "drain-two\n");
    CHECK(run("op show drain-two") == 0);
    assert_string_equal(fake.args, "{\"id\":\"drain-two\"}");
    CHECK(says(terminal.out, "2 of 4 replicas, 50 %"));
    CHECK(says(terminal.out, "Cancelled  it is active again"));
}

static void waits_for_an_operation(void **state)
{
    (void)state;
    answer_times("op.show", ERR_NONE, OP("running", "", "50"), 1);
    answer_times("op.show", ERR_NONE, OP("done", "", "100"), 1);
    answer_times("op.show", ERR_NONE, OP("running", "", "50"), 1);
    answer("op.show", OP("cancelled", "it is active", "0"));
    terminal.patience = 10;
    CHECK(run("op wait drain-two") == 0);
    CHECK(says(terminal.talk, "drain-two is done.") &&
          terminal.wait_count == 1);
    CHECK(run("op wait drain-two") == 8);
    CHECK(says(terminal.talk, "drain-two is cancelled: it is active"));
    CHECK(run("op wait drain-two --deadline soon") == 2);
    memset(&fake, 0, sizeof fake);
    answer("op.show", OP("running", "", "50"));
    CHECK(run("op wait drain-two --deadline 3s") == 5);
    CHECK(terminal.wait_count == 3);
    CHECK(says(terminal.talk, "The time is over; drain-two goes on"));
}

static void says_that_another_move_has_come(void **state)
{
    (void)state;
    answer_times("op.show", ERR_NONE,
                 "{\"v\":1,\"state\":\"running\",\"what\":\"to one\"}", 1);
    answer("op.show", "{\"v\":1,\"state\":\"done\",\"what\":\"to two\"}");
    CHECK(run("op wait move-1") == 8);
    CHECK(says(terminal.talk, "move-1 has become another: to two"));
}

static void cancels_after_a_clear_yes(void **state)
{
    (void)state;
    answer("op.show", OP("running", "", "50"));
    answer("op.cancel", "{\"v\":1,\"id\":\"drain-two\",\"told\":\"so it is\"}");
    CHECK(run("op cancel drain-two --dry-run") == 0);
    CHECK(says(terminal.talk, "Cancelled: it is active again"));
    CHECK(run("op cancel drain-two") == 7);
    CHECK(says(fake.args, "\"dry_run\":true"));
    terminal.typed = "drain-two\n";
    CHECK(run("op cancel drain-two") == 0);
    CHECK(says(terminal.talk, "drain-two is cancelled: so it is."));
    CHECK(run("shard cancel 17 --yes") == 0);
    assert_string_equal(fake.args, "{\"id\":\"move-17\",\"dry_run\":false}");
    CHECK(run("shard cancel x") == 2);
}

static void what_begins_can_be_waited_for(void **state)
{
    (void)state;
    answer("shard.map", map);
    answer("shard.move", done);
    answer("shard.rebalance",
           "{\"v\":1,\"moves\":[],\"paused\":false,\"op\":\"rebalance-9\"}");
    answer("op.show", "{\"v\":1,\"state\":\"done\",\"what\":\"x\"}");
    CHECK(run("shard move 1 --to one --yes") == 0);
    CHECK(says(terminal.talk, "It is move-1:"));
    assert_string_equal(fake.verb, "shard.move");
    CHECK(run("shard move 1 --to one --yes --wait") == 0);
    CHECK(says(terminal.talk, "move-1 is done."));
    CHECK(run("shard rebalance --yes --wait") == 0);
    CHECK(says(terminal.talk, "rebalance-9 is done."));
}

static void waits_for_a_node(void **state)
{
    (void)state;
    terminal.patience = 10;
    CHECK(run("node wait nobody") == 2);
    CHECK(run("node wait nobody --deadline 2s") == 5); /* it may join */
    CHECK(terminal.wait_count == 2);
    answer_times("node.show", ERR_NONE, node_away, 1);
    answer("node.show", node);
    CHECK(run("node wait two") == 0);
    CHECK(terminal.wait_count == 1 && says(terminal.talk, "two is ready."));
    CHECK(run("node wait two --state away --deadline 2s") == 5);
    answer("op.show", OP("done", "", "100"));
    CHECK(run("node wait two --state drained --deadline 1s") == 5);
    CHECK(run("node wait two --state gone") == 2);
}

static void waits_while_an_election_is_under_way(void **state)
{
    (void)state;
    static const char why[] =
        "{\"v\":1,\"why\":\"no leader yet\",\"may_pass\":true}";
    terminal.is_free = true;
    terminal.patience = 1000;
    answer_times("node.ls", ERR_NO_QUORUM, why, 3);
    answer("node.ls", nodes);
    CHECK(run("node ls") == 0);
    CHECK(fake.asked_count == 4 && terminal.wait_count == 3);
    answer_times("shard.pause", ERR_NO_QUORUM, why, 0);
    CHECK(run("shard pause --timeout 2s") == 4);
    CHECK(terminal.wait_count == 10);
    terminal.is_free = false;
}

/* ---- joining ---- */

static const char info_now[] =
    "{\"v\":1,\"node\":\"one\",\"name\":\"one\",\"now_ms\":1795260600000}";

/* An answer of cluster.status with the id that stands in the lab's file. */
static const char *status_of_lab(void)
{
    static char text[256];
    char path[256];
    uint8_t *file = NULL;
    size_t length = 0;
    const struct files *files = posix_files();
    CHECK_OK(files->read(
        files->context,
        temp_folder_path(&terminal.folder, path, "lab/one/cluster.yaml"),
        FILE_PUBLIC, 1 << 20, &file, &length));
    const char *id = strstr((const char *)file, "  id: \"");
    CHECK(id);
    (void)snprintf(text, sizeof text,
                   "{\"v\":1,\"cluster\":{\"id\":\"%.32s\",\"name\":\"lab\"}}",
                   id + strlen("  id: \""));
    free(file);
    return text;
}

static void answer_who_joins(const char *members, const char *changes)
{
    memset(&fake, 0, sizeof fake);
    answer("cluster.status", status_of_lab());
    answer("node.ls", members);
    answer("config.plan", changes);
    answer("node.info", info_now);
    answer("shard.plan", plan);
}

static void checks_what_joining_needs(void **state)
{
    (void)state;
    static const char same[] = "{\"v\":1,\"changes\":[]}";
    static const char nobody[] = "{\"v\":1,\"members\":[]}";
    answer_who_joins(nobody, same);
    CHECK(run("cluster join DIR/lab/three/cluster.yaml") == 0);
    CHECK(says(terminal.out, "the name three is free"));
    CHECK(says(terminal.out, "1 shards would move"));
    CHECK(says(terminal.out, "trouped --config ") &&
          says(terminal.out, "--node three --join"));
    answer_who_joins(
        "{\"v\":1,\"members\":[{\"name\":\"three\",\"is_up\":true,"
        "\"door\":\"ipc:x\"}]}",
        "{\"v\":1,\"changes\":[{\"key\":\"shards\",\"from\":\"64\","
        "\"to\":\"128\"}]}");
    CHECK(run("cluster join DIR/lab/three/cluster.yaml") == 7);
    CHECK(says(terminal.out, "a node called three is up, at ipc:x"));
    CHECK(says(terminal.out, "shards is 128 in the file, 64 in the cluster"));
    CHECK(!says(terminal.out, "trouped"));
    answer_who_joins(nobody, same);
    CHECK(run("cluster join DIR/lab/three/cluster.yaml --name four") == 7);
    CHECK(says(terminal.out, "cluster.nodes has no `four`"));
    CHECK(run("cluster join DIR/lab/three/cluster.yaml --name two") == 7);
    CHECK(says(terminal.out, "two.cert"));
    CHECK(run("cluster join DIR/nothing.yaml") == 7);
    memset(&fake, 0, sizeof fake);
    answer("cluster.status", status);
    CHECK(run("cluster join DIR/lab/three/cluster.yaml") == 7);
    CHECK(says(terminal.out, "this is 00ff"));
}

static void checks_what_it_can_without_the_cluster(void **state)
{
    (void)state;
    CHECK(run_plain("cluster join DIR/lab/three/cluster.yaml") == 8);
    CHECK(says(terminal.out, "open  the cluster is not asked"));
    CHECK(says(terminal.out, "trouped --config "));
    CHECK(fake.opened_count == 0);
    fake.open_err = ERR_UNREACHABLE;
    CHECK(run("cluster join DIR/lab/three/cluster.yaml") == 7);
}

/* ---- shards over time ---- */

static void shows_what_became_of_a_shard(void **state)
{
    (void)state;
    answer("shard.history",
           "{\"v\":1,\"node\":\"one\",\"lines\":[{\"at_ms\":2000,\"shard\":1,"
           "\"kind\":\"moved\",\"from\":[\"one\"],\"to\":[\"two\"],"
           "\"map_version\":9},{\"at_ms\":4000,\"shard\":1,\"kind\":\"led\","
           "\"leader\":\"two\",\"leader_before\":null,\"term\":3}]}");
    answer("events",
           "{\"v\":1,\"lines\":[{\"at_ms\":3000,\"who\":\"operator/ann\","
           "\"text\":\"shard 1 moves from one to two\"},{\"at_ms\":3000,"
           "\"who\":\"x\",\"text\":\"shard 17 moves\"}]}");
    CHECK(run("shard history 1") == 0);
    const char *moved = strstr(terminal.out, "from one to two, map version 9");
    const char *line = strstr(terminal.out, "moves from one to two (operator");
    const char *led = strstr(terminal.out, "led by two after -, term 3");
    CHECK(moved && line && led && moved < line && line < led);
    CHECK(!says(terminal.out, "shard 17"));
    CHECK(run("shard history") == 0 && says(terminal.out, "shard 17"));
    CHECK(run("shard history x") == 2);
}

static void shows_the_shards_with_the_most_of_it(void **state)
{
    (void)state;
    answer("shard.map", map);
    CHECK(run("shard hot --top 1") == 0);
    CHECK(says(terminal.out, "1.5k") && !says(terminal.out, "\n    1  two"));
    CHECK(run("shard hot --by size --json") == 0);
    CHECK(run("shard hot --by weight") == 2);
    CHECK(run("shard hot --top 0") == 2);
}

/* ---- judging ---- */

static void verifies_a_cluster(void **state)
{
    (void)state;
    answer("cluster.status", status);
    answer("node.ls", nodes);
    answer("shard.map", map);
    answer("node.info", info);
    CHECK(run("cluster verify") == 0);
    CHECK(says(terminal.out, "All is well"));
    CHECK(run("cluster verify --json") == 0);
    CHECK(says(terminal.out, "\"is_well\":true"));
    CHECK(run("doctor") == 0);
    CHECK(says(terminal.out, "Nothing is wrong"));
    CHECK(run("check cluster") == 0);
    CHECK(says(terminal.out, "TROUPE CLUSTER OK - 3 of 3 members heard, 2 of 2 "
                             "shards led | members=3"));
}

static void finds_nodes_that_do_not_agree(void **state)
{
    (void)state;
    terminal.is_free = true;
    terminal.patience = 100;
    answer("cluster.status", status);
    answer("node.ls", nodes);
    answer("shard.map", map);
    answer_times("node.info", ERR_NONE,
                 "{\"v\":1,\"view\":17,\"name\":\"one\",\"ready\":true,"
                 "\"leads\":2,\"cluster_id\":\"00ff\",\"view_digest\":\"a\"}",
                 1);
    answer("node.info", info); /* it passes */
    CHECK(run("cluster verify") == 0);
    CHECK(terminal.wait_count == 1);
    memset(&fake, 0, sizeof fake);
    answer("cluster.status", status);
    answer("node.ls", nodes);
    answer("shard.map", map);
    for (int i = 0; i < 4; i++) {
        answer_times("node.info", ERR_NONE, info, 1);
        answer_times("node.info", ERR_NONE,
                     "{\"v\":1,\"view\":17,\"name\":\"two\",\"ready\":false,"
                     "\"why\":\"shard 3\",\"leads\":2,\"cluster_id\":\"00ff\","
                     "\"view_digest\":\"d\",\"now_ms\":1}",
                     1);
    }
    CHECK(run("cluster verify") == 1);
    CHECK(terminal.wait_count == 3);
    CHECK(
        says(terminal.out, "node two has view 17 (d), node one view 17 (abc)"));
    CHECK(says(terminal.out, "node two is not ready: shard 3"));
    CHECK(says(terminal.out, "the clock of node two is"));
    CHECK(says(terminal.out, "the nodes lead 3 shards of 2"));
    terminal.is_free = false;
}

static void a_drain_that_cannot_end_is_found(void **state)
{
    (void)state;
    answer("cluster.status", status);
    answer("node.ls",
           "{\"v\":1,\"view\":17,\"members\":[{\"name\":\"two\",\"state\":"
           "\"draining\",\"is_up\":true,\"staying\":4}]}");
    answer("shard.map", map);
    CHECK(run("doctor") == 1);
    CHECK(says(terminal.out, "node two drains, and 4 shards have nowhere"));
}

static void finds_what_is_wrong(void **state)
{
    (void)state;
    answer("cluster.status", status);
    answer("node.ls", nodes_bad);
    answer("shard.map", map_bad);
    answer("node.info", info);
    CHECK(run("cluster verify") == 1);
    CHECK(says(terminal.out, "node one has view 16, the newest is 17"));
    CHECK(says(terminal.out, "critical: node two is down"));
    CHECK(says(terminal.out, "critical: 1 shard without a leader: 0"));
    CHECK(says(terminal.out,
               "warning: 1 shard with replicas that are not whole: 1"));
    CHECK(run("cluster verify --json") == 1);
    CHECK(says(terminal.out, "\"grade\":\"critical\""));
    CHECK(run("doctor") == 1);
    CHECK(says(terminal.out, "Next: troupe node show two"));
    CHECK(run("check cluster") == 2);
    CHECK(says(terminal.out, "TROUPE CLUSTER CRITICAL - "));
    CHECK(strchr(terminal.out, '\n') == strrchr(terminal.out, '\n'));
    CHECK(run("check shard") == 2);
    CHECK(run("check shard 0") == 2);
    CHECK(run("check shard 1") == 1);
    CHECK(says(terminal.out, "TROUPE SHARD WARNING - "));
    CHECK(run("check shard 2") == 3);
    CHECK(run("check shard x") == 3);
}

static void check_has_an_exit_status_of_its_own(void **state)
{
    (void)state;
    answer("node.show", node);
    CHECK(run("check node two") == 0);
    CHECK(says(terminal.out, "two is active and leads 1 shards"));
    memset(&fake, 0, sizeof fake);
    CHECK(run("check node nobody") == 3);
    answer_times("cluster.status", ERR_NO_QUORUM, "{\"v\":1,\"why\":\"gone\"}",
                 0);
    CHECK(run("check cluster") == 2);
    CHECK(says(terminal.out, "one: gone (ERR_NO_QUORUM)"));
    fake.open_err = ERR_UNREACHABLE;
    CHECK(run("check cluster") == 2);
    fake.open_err = ERR_REVOKED;
    CHECK(run("check shard") == 3);
    CHECK(run_plain("check cluster --context nothing") == 3);
    CHECK(run_plain("check") == 3);
    CHECK(run_plain("check node") == 3);
    CHECK(run_plain("check nodes") == 3);
    CHECK(run_plain("check cluster --timout 5s") == 3);
    CHECK(run_plain("check cluster extra") == 3);
}

/* ---- changing ---- */

static void drains_when_the_name_is_typed(void **state)
{
    (void)state;
    answer("node.show", node);
    answer("shard.plan", plan);
    answer("node.set", done);
    answer_times("op.show", ERR_NONE, OP("running", "", "0"), 1);
    answer_times("op.show", ERR_UNREACHABLE, NULL, 1);
    answer_times("op.show", ERR_NONE, OP("waiting", "4 have no place", "50"),
                 1);
    answer("op.show", OP("done", "", "100"));
    terminal.patience = 10;
    terminal.typed = "two\n";
    CHECK(run("node drain two") == 0);
    CHECK(says(terminal.talk, "owns 1 shards and holds 2 replicas"));
    CHECK(says(terminal.talk, "It is drain-two: `troupe op wait drain-two`"));
    CHECK(says(terminal.talk, "drain-two: 2 of 4 replicas, 0 %, 2.50 a second, "
                              "800 ms to go\n"));
    CHECK(says(terminal.talk, "drain-two: 2 of 4 replicas, 50 %"));
    CHECK(says(terminal.talk, "drain-two waits: 4 have no place.\n"));
    CHECK(says(terminal.talk, "two is empty"));
    CHECK(terminal.wait_count == 3);
}

static void drains_nothing_without_the_name(void **state)
{
    (void)state;
    answer("node.show", node);
    answer("shard.plan", plan);
    answer("node.set", done);
    CHECK(run("node drain two") == 7);
    terminal.typed = "one\n";
    CHECK(run("node drain two") == 7);
    CHECK(says(terminal.talk, "Nothing was done"));
    CHECK(run("node drain two --dry-run") == 0);
    CHECK(says(fake.args, "\"dry_run\":true"));
    CHECK(run("node drain two --yes --detach --wait") == 2);
    CHECK(run("node drain two --yes --detach") == 0);
    assert_string_equal(
        fake.args, "{\"name\":\"two\",\"state\":\"draining\",\"force\":false,"
                   "\"dry_run\":false}");
}

static void ctrl_c_ends_the_waiting_alone(void **state)
{
    (void)state;
    answer("node.show", node);
    answer("shard.plan", plan);
    answer("node.set", done);
    answer("op.show", OP("running", "", "0"));
    CHECK(run("node drain two --yes") == 8);
    CHECK(says(terminal.talk, "drain-two goes on") &&
          says(terminal.talk, "troupe op cancel drain-two"));
    terminal.patience = 100;
    CHECK(run("node drain two --yes --deadline 5s") == 5);
    CHECK(terminal.wait_count == 5);
    CHECK(run("node drain two --yes --deadline soon") == 2);
}

static void refusals_reach_people(void **state)
{
    (void)state;
    answer("node.show", node);
    answer_times("node.set", ERR_REFUSED,
                 "{\"v\":1,\"why\":\"two is the last active node\"}", 0);
    CHECK(run("node cordon two") == 7);
    CHECK(says(terminal.talk, "troupe node cordon: one: two is the last active "
                              "node (ERR_REFUSED)"));
    CHECK(run("node cordon two --force") == 7);
    assert_string_equal(
        fake.args, "{\"name\":\"two\",\"state\":\"cordoned\",\"force\":true,"
                   "\"dry_run\":false}");
    CHECK(run("node uncordon two") == 7);
    answer("shard.plan", plan);
    CHECK(run("node drain two") == 7);
    CHECK(says(terminal.talk, "last active node"));
    CHECK(!says(terminal.talk, "Type")); /* nobody is asked in vain */
}

static void moves_and_forgets_after_a_clear_yes(void **state)
{
    (void)state;
    answer("shard.map", map);
    answer("shard.move", done);
    answer("node.show", node);
    answer("member.forget", done);
    CHECK(run("shard move 1") == 2);
    CHECK(run("shard move x --to one") == 2);
    CHECK(run("shard move 9 --to one --yes") == 2);
    CHECK(run("shard move 1 --to one") == 7);
    CHECK(run("shard move 1 --to one --dry-run") == 0);
    CHECK(says(fake.args, "\"dry_run\":true"));
    CHECK(run("shard move 1 --to one --yes --deadline soon") == 2);
    CHECK(run("shard rebalance --yes --deadline soon") == 2);
    CHECK(fake.asked_count == 0);
    terminal.typed = "1\n";
    CHECK(run("shard move 1 --to one") == 0);
    assert_string_equal(fake.args,
                        "{\"shard\":1,\"to\":\"one\",\"force\":false,"
                        "\"dry_run\":false}");
    CHECK(run("cluster forget two --dry-run") == 0);
    CHECK(run("cluster forget two") == 7);
    CHECK(says(fake.args, "\"dry_run\":true"));
    CHECK(run("cluster forget two --yes --force") == 0);
    assert_string_equal(fake.args, "{\"name\":\"two\",\"force\":true,"
                                   "\"dry_run\":false}");
}

/* ---- a majority is gone for good ---- */

#define VOTER(name, disk)                                                    \
    "{\"node\":\"" name "\",\"number\":0,\"voter\":true,\"disk_id\":\"" disk \
    "\"}"
#define REPLICAS(disk, group, term, index, more)                               \
    "{\"v\":1,\"node\":\"one\",\"disk_id\":\"" disk "\",\"groups\":["          \
    "{\"group\":" group ",\"lost\":false,\"generation\":0,\"last_term\":" term \
    ",\"last_index\":" index                                                   \
    ",\"has_state\":true,\"members\":[" VOTER("one", "d1") "," VOTER(          \
        "two", "d2") "," VOTER("three",                                        \
                               "d3") "," VOTER("four",                         \
                                               "d4") "," VOTER("five",         \
                                                               "d5") "]}" more \
                                                                     "]}"

static const char nodes_left[] = "{\"v\":1,\"node\":\"one\",\"members\":[" NODE(
    "one", "active", "true", "17") "," NODE("two",
                                            "active",
                                            "false",
                                            "3") "," NODE("three",
                                                          "active",
                                                          "true",
                                                          "17") "]}";

static const char map_unled[] =
    "{\"v\":1,\"node\":\"one\",\"shards\":["
    "{\"shard\":0,\"leader\":null,\"wanted\":[\"two\",\"three\",\"one\"]},"
    "{\"shard\":1,\"leader\":\"one\",\"wanted\":[\"one\"]}]}";

static void answer_loss(const char *of_one, const char *of_three)
{
    memset(fake.answers, 0, sizeof fake.answers);
    answer("cluster.status", status);
    answer("node.ls", nodes_left);
    answer_times("shard.map", ERR_NONE, map_unled, 1);
    answer("shard.map", map);
    answer_times("coord.replicas", ERR_NONE, of_one, 1);
    answer_times("coord.replicas", ERR_NONE, of_three, 1);
    answer("node.set", done);
    answer("shard.recover", done);
}

#define REPLICA_OF_TWO(disk, retired)                                         \
    "{\"v\":1,\"node\":\"one\",\"disk_id\":\"" disk "\",\"groups\":["         \
    "{\"group\":1,\"lost\":false,\"retired\":" retired                        \
    ",\"generation\":0,\"last_term\":3,\"last_index\":90,\"has_state\":true," \
    "\"members\":[" VOTER("one", "d1") "," VOTER("three", "d3") "]}]}"

/* Whoever took it over is lost, too: nothing goes on by itself. */
static void who_has_retired_is_no_majority(void **state)
{
    (void)state;
    answer_loss(REPLICA_OF_TWO("d1", "true"), REPLICA_OF_TWO("d3", "true"));
    CHECK(run("cluster recover --dry-run") == 0);
    CHECK(says(terminal.talk, "shard 0: one takes it over"));
    answer_loss(REPLICA_OF_TWO("d1", "false"), REPLICA_OF_TWO("d3", "false"));
    CHECK(run("cluster recover --dry-run") == 0);
    CHECK(says(terminal.talk, "there is nothing to recover"));
}

/* Three has the entry of the younger term. */
static void who_has_most_takes_a_shard_over(void **state)
{
    (void)state;
    static const char of_one[] = REPLICAS("d1", "1", "3", "90", "");
    static const char of_three[] = REPLICAS("d3", "1", "4", "80", "");
    answer_loss(of_one, of_three);
    CHECK(run("cluster recover --dry-run") == 0);
    CHECK(says(terminal.talk, "Lost: two. "));
    CHECK(says(terminal.talk, "shard 0: three takes it over with its entries "
                              "up to 80 of term 4; what came after and only "
                              "two, four, five had is lost."));
    CHECK(says(terminal.talk, "1 of 2 shards have their majority and stay."));
    assert_string_equal(fake.verb, "coord.replicas");
    assert_string_equal(fake.args, "{\"name\":\"three\"}");
    answer_loss(of_one, of_three);
    CHECK(run("cluster recover") == 7);
    answer_loss(of_one, of_three);
    terminal.typed = "lab\n";
    CHECK(run("cluster recover") == 0);
    CHECK(says(terminal.talk, "1 shards serve again."));
    answer_loss(of_three, of_one); /* now it is one */
    answer_times("shard.recover", ERR_REFUSED,
                 "{\"v\":1,\"why\":\"it is led\"}", 0);
    fake.answers[7].verb = NULL;
    CHECK(run("cluster recover --yes") == 8);
    CHECK(says(terminal.talk, "shard 0: one takes it over"));
    CHECK(says(terminal.talk, "it is led"));
}

static void what_has_its_majority_is_not_recovered(void **state)
{
    (void)state;
    static const char of_one[] = REPLICAS("d1", "1", "3", "90", "");
    static const char of_three[] = REPLICAS("d3", "1", "4", "80", "");
    answer_loss(of_one, of_three);
    fake.answers[2].json = map; /* all are led */
    CHECK(run("cluster recover --yes") == 0);
    CHECK(says(terminal.talk, "there is nothing to recover"));
}

static void a_shard_of_which_nobody_has_anything_is_named(void **state)
{
    (void)state;
    static const char nothing[] = "{\"v\":1,\"disk_id\":\"d1\",\"groups\":[]}";
    static const char lost[] =
        "{\"v\":1,\"disk_id\":\"d3\",\"groups\":[{\"group\":1,"
        "\"lost\":true,\"has_state\":false,\"members\":[]}]}";
    answer_loss(nothing, lost);
    CHECK(run("cluster recover --yes") == 8);
    CHECK(says(terminal.talk, "shard 0: no node has anything of it"));
    assert_string_equal(fake.verb, "shard.map");
    answer_loss(nothing, lost);
    CHECK(run("cluster recover --empty --yes") == 0);
    CHECK(says(terminal.talk, "shard 0: no node has anything of it. one begins "
                              "it empty: all that was in it is lost."));
}

static void who_is_named_lost_must_be_and_all_of_them(void **state)
{
    (void)state;
    static const char of_one[] = REPLICAS("d1", "1", "3", "90", "");
    answer_loss(of_one, of_one);
    CHECK(run("cluster recover --lost one --yes") == 7);
    CHECK(says(terminal.talk, "one is up"));
    CHECK(run("cluster recover --lost nine --yes") == 2);
    answer("node.ls", nodes_left);
    fake.answers[1].json = nodes_bad; /* two alone is down */
    CHECK(run("cluster recover --lost one --lost two --yes") == 7);
}

static void the_meta_group_comes_first(void **state)
{
    (void)state;
    static const char of_one[] = REPLICAS("d1", "0", "3", "90", "");
    static const char of_three[] = REPLICAS("d3", "0", "3", "91", "");
    answer_loss(of_one, of_three);
    fake.answers[0] =
        (struct canned){.verb = "cluster.status",
                        .err = ERR_NO_QUORUM,
                        .json = "{\"v\":1,\"why\":\"two is away\"}"};
    CHECK(run("cluster recover --yes") == 4);
    CHECK(says(terminal.talk, "two is away"));
    CHECK(says(terminal.talk, "three has most of it: entries up to 91 of term "
                              "3."));
    CHECK(says(terminal.talk, "stop trouped on three and start it once with "
                              "--recover-meta, on no other node"));
}

static void plans_say_whether_something_moves(void **state)
{
    (void)state;
    answer_times("shard.plan", ERR_NONE, plan, 2);
    answer("shard.plan", plan_empty);
    CHECK(run("shard plan --add four --add five --remove two") == 1);
    assert_string_equal(fake.args,
                        "{\"add\":[\"four\",\"five\"],\"remove\":[\"two\"]}");
    CHECK(says(terminal.out, "two one  three one  replicas"));
    CHECK(says(terminal.out, "1 shard would move"));
    CHECK(run("shard plan --json") == 1);
    CHECK(run("shard plan") == 0);
    answer_times("shard.rebalance", ERR_NONE, plan, 0);
    CHECK(run("shard rebalance --dry-run") == 1);
    assert_string_equal(fake.args, "{\"dry_run\":true}");
    CHECK(run("shard rebalance") == 7);
    CHECK(run("shard rebalance --yes") == 0);
    assert_string_equal(fake.args, "{\"dry_run\":false}");
}

static const char plan_of_settings[] =
    "{\"v\":1,\"node\":\"one\",\"settings_version\":7,\"refused\":null,"
    "\"changes\":[{\"key\":\"cluster.replication\",\"from\":\"3\",\"to\":"
    "\"1\",\"effect\":\"now\",\"refused\":null},{\"key\":"
    "\"cluster.timeouts.ask\",\"from\":\"5s\",\"to\":\"9s\",\"effect\":"
    "\"restart\",\"refused\":null}],\"moves\":[{\"shard\":0}],"
    "\"balance_before\":{\"replicas_max\":4},\"balance_after\":"
    "{\"replicas_max\":2}}";

static void applies_a_file_after_a_plan(void **state)
{
    (void)state;
    answer_times("config.plan", ERR_NONE, plan_of_settings, 0);
    answer("config.apply", "{\"v\":1,\"changed\":2,\"settings_version\":9}");
    CHECK(run("config apply --dry-run") == 1);
    CHECK(fake.asked_count == 1);
    CHECK(says(terminal.out, "cluster.replication   3        1     at once"));
    CHECK(says(terminal.out, "5s       9s    when a node starts next"));
    CHECK(says(terminal.out, "1 shards get other replicas"));
    CHECK(says(terminal.talk, "Nothing was done"));
    CHECK(run("config apply") == 7 && fake.asked_count == 1);
    terminal.typed = "lab\n";
    CHECK(run("config apply") == 0 && fake.asked_count == 2);
    CHECK(says(terminal.talk, "2 settings are agreed"));
    CHECK(run("config apply --yes --json") == 0);
    CHECK(says(fake.args, "\"settings_version\":7"));
    CHECK(says(terminal.out, "\"changed\": 2") ||
          says(terminal.out, "\"changed\":2"));
    CHECK(run("config apply DIR/nothing.yaml --yes") == 2);
    CHECK(fake.asked_count == 0);
}

/* What a founding alone would take is not said of a cluster. */
static void says_nothing_of_what_a_file_leaves_open(void **state)
{
    (void)state;
    answer_times("config.plan", ERR_NONE, plan_of_settings, 0);
    CHECK(run("config diff") == 1);
    CHECK(says(fake.args, "\"cluster.timeouts.election\":\"500ms\""));
    CHECK(!says(fake.args, "cluster.replication"));
    CHECK(!says(fake.args, "cluster.shards"));
}

static void applies_nothing_that_is_refused(void **state)
{
    (void)state;
    answer_times("config.plan", ERR_NONE,
                 "{\"v\":1,\"settings_version\":7,\"refused\":\"fixed, you "
                 "know\",\"changes\":[{\"key\":\"cluster.shards\",\"from\":"
                 "\"4\",\"to\":\"8\",\"effect\":\"never\",\"refused\":"
                 "\"fixed, you know\"}]}",
                 1);
    answer("config.plan", "{\"v\":1,\"settings_version\":7,\"refused\":null,"
                          "\"changes\":[]}");
    CHECK(run("config apply --yes") == 7 && fake.asked_count == 1);
    CHECK(says(terminal.out, "8     refused"));
    CHECK(says(terminal.talk, "nothing was done: fixed, you know"));
    CHECK(run("config apply --yes") == 0 && fake.asked_count == 1);
    CHECK(says(terminal.talk, "Nothing to do"));
    CHECK(run("config diff") == 0);
}

static void shows_what_the_cluster_has_agreed_on(void **state)
{
    (void)state;
    answer_times("config.show", ERR_NONE,
                 "{\"v\":1,\"node\":\"one\",\"settings_version\":7,"
                 "\"settings\":{\"cluster.shards\":\"4\"}}",
                 0);
    CHECK(run("config show --cluster") == 0);
    CHECK(says(terminal.out, "cluster.shards  4"));
    CHECK(!says(terminal.talk, "founding"));
    CHECK(run("config show --cluster DIR/lab/operator/cluster.yaml") == 2);
    CHECK(run("config show") == 2); /* with --config */
    CHECK(says(terminal.talk, "--config goes with --cluster"));
}

static void compares_two_files(void **state)
{
    (void)state;
    CHECK(run_plain("config diff DIR/lab/one/cluster.yaml "
                    "DIR/lab/two/cluster.yaml") == 0);
    CHECK(run_plain("cluster init lab --transport ipc one two --out "
                    "DIR/other") == 0);
    CHECK(run_plain("config diff DIR/lab/one/cluster.yaml "
                    "DIR/other/one/cluster.yaml") == 1);
    CHECK(says(terminal.out, "cluster.nodes[three]"));
    CHECK(says(terminal.out, "cluster.id"));
    CHECK(run_plain("config diff DIR/lab/one/cluster.yaml DIR/no.yaml") == 2);
}

static void pauses_and_transfers(void **state)
{
    (void)state;
    answer("shard.pause", done);
    answer("shard.resume", done);
    answer("coord.transfer", "{\"v\":1,\"noted\":false}");
    answer("coord.ls",
           "{\"v\":1,\"groups\":[{\"group\":0,\"leader\":\"one\",\"term\":2,"
           "\"voters\":[\"one\"],\"learners\":[],\"applied\":3}]}");
    CHECK(run("shard pause") == 0 && run("shard resume") == 0);
    CHECK(run("coord transfer 3") == 2);
    CHECK(run("coord transfer 3 --to two") == 0);
    assert_string_equal(fake.args, "{\"shard\":3,\"to\":\"two\"}");
    CHECK(says(terminal.talk, "has no line of it"));
    CHECK(run("coord ls") == 0);
    CHECK(run("coord show meta") == 0 && says(terminal.out, "meta"));
    CHECK(run("coord show 5") == 2);
    CHECK(run("coord show five") == 2);
}

static void counts(void **state)
{
    (void)state;
    answer("counter.add",
           "{\"v\":1,\"node\":\"one\",\"shard\":1,\"value\":-5}");
    answer("counter.get", "{\"v\":1,\"node\":\"one\",\"shard\":1,\"value\":9}");
    CHECK(run("counter add -- visits -5") == 0);
    assert_string_equal(terminal.out, "-5\n");
    assert_string_equal(fake.args, "{\"id\":\"visits\",\"value\":-5}");
    CHECK(run("counter add visits 5 --key k1 --json") == 0);
    assert_string_equal(fake.args,
                        "{\"id\":\"visits\",\"value\":5,\"key\":\"k1\"}");
    CHECK(says(terminal.out, "\"schema\":\"troupe.counter.add\""));
    CHECK(run("counter get visits") == 0);
    assert_string_equal(terminal.out, "9\n");
    CHECK(run("counter add visits") == 2);
    CHECK(run("counter add visits many") == 2);
    CHECK(run("counter add visits 99999999999999999999") == 2);
    CHECK(run("counter get") == 2);
}

static void what_may_have_happened_is_not_done_twice(void **state)
{
    (void)state;
    answer_times("counter.add", ERR_UNCERTAIN, NULL, 0);
    answer_times("counter.get", ERR_UNCERTAIN, NULL, 0);
    CHECK(run("counter add visits 1") == 5);
    CHECK(fake.asked_count == 1);
    CHECK(run("counter get visits") == 5);
    CHECK(fake.asked_count == 3);
}

/* ---- with nobody there, or not allowed ---- */

/* Every command that talks to a cluster. */
static const char *const lines[] = {
    "cluster status",
    "cluster members",
    "cluster links",
    "cluster forget two --yes",
    "cluster recover --yes",
    "cluster verify",
    "node ls",
    "node show two",
    "node cordon two",
    "node uncordon two",
    "node drain two --yes",
    "shard map",
    "shard show 1",
    "shard locate a/b",
    "shard plan",
    "shard move 1 --to two --yes",
    "shard rebalance --yes",
    "shard pause",
    "shard resume",
    "shard cancel 1 --yes",
    "shard history 1",
    "shard hot",
    "op ls",
    "op show move-1",
    "op cancel move-1 --yes",
    "coord ls",
    "coord show meta",
    "coord transfer 1 --to two",
    "events",
    "events --follow",
    "counter add a 1",
    "counter get a",
    "config show --cluster",
    "config diff",
    "config apply --yes",
    "doctor",
};

/* What each of them gives. */
static void all_give(int code)
{
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        int given = run(lines[i]);
        if (given != code) {
            fail_msg("%s: %d: %s", lines[i], given, terminal.talk);
        }
        CHECK(terminal.talk[0] || terminal.out[0]);
    }
}

static void says_so_when_nobody_is_there(void **state)
{
    (void)state;
    fake.open_err = ERR_UNREACHABLE;
    all_give(EXIT_CODE_UNREACHABLE);
    CHECK(run("node ls") == 3);
    CHECK(says(terminal.talk, "one (ipc://") && says(terminal.talk, "nobody"));
    fake.open_err = ERR_REVOKED;
    all_give(EXIT_CODE_DENIED);
}

static void says_so_when_there_is_no_majority(void **state)
{
    (void)state;
    static const char why[] = "{\"v\":1,\"why\":\"away: two, three\"}";
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        memset(&fake, 0, sizeof fake);
        (void)run(lines[i]); /* to learn its first verb */
        char verb[64];
        (void)snprintf(verb, sizeof verb, "%s", fake.verb);
        answer_times(verb, ERR_NO_QUORUM, why, 0);
        int given = run(lines[i]);
        if (given != EXIT_CODE_NO_QUORUM) {
            fail_msg("%s: %d: %s", lines[i], given, terminal.talk);
        }
        CHECK(says(terminal.talk, "away: two, three (ERR_NO_QUORUM)") ||
              says(terminal.out, "away: two, three (ERR_NO_QUORUM)"));
    }
}

static void says_so_when_there_is_no_such_thing(void **state)
{
    (void)state;
    CHECK(run("node show nobody") == 2);
    CHECK(says(terminal.talk, "not found (ERR_NOT_FOUND)"));
    CHECK(run("node cordon nobody") == 2);
    CHECK(run("node drain nobody") == 2);
    CHECK(!says(terminal.talk, "Type")); /* nothing is asked before */
    CHECK(run("op show move-9") == 2);
    CHECK(run("op cancel move-9") == 2);
    CHECK(!says(terminal.talk, "Type"));
    CHECK(run("counter get a") == 2);
}

static void a_name_that_cannot_be_is_wrong_on_the_command_line(void **state)
{
    (void)state;
    static const char why[] = "{\"v\":1,\"why\":\"name: must be a name\"}";
    answer_times("node.show", ERR_INVALID, why, 0);
    CHECK(run("node show BETA") == 2);
    CHECK(says(terminal.talk, "name: must be a name (ERR_INVALID)"));
    answer_times("node.set", ERR_INVALID, why, 0);
    CHECK(run("node cordon BETA") == 2);
}

static void says_so_when_the_answer_is_no_answer(void **state)
{
    (void)state;
    answer("node.ls", "{\"v\":2}");
    CHECK(run("node ls") == 9);
    CHECK(says(terminal.talk, "ERR_VERSION"));
    memset(&fake, 0, sizeof fake);
    answer("node.ls", "[1]");
    CHECK(run("node ls") == 9);
    CHECK(says(terminal.talk, "ERR_MALFORMED"));
    memset(&fake, 0, sizeof fake);
    answer("node.ls", "{\"v\":1,\"members\":7}");
    CHECK(run("node ls") == 0); /* of nobody */
    memset(&fake, 0, sizeof fake);
    answer("shard.map", "{\"v\":1,\"shards\":[7,{\"shard\":\"x\"}]}");
    CHECK(run("shard map") == 0);
}

static void half_a_command_is_misuse(void **state)
{
    (void)state;
    static const char *const halves[] = {
        "node",
        "node show",
        "node drain",
        "node cordon",
        "node uncordon",
        "cluster forget",
        "shard show",
        "shard locate",
        "shard move",
        "shard frob",
        "coord show",
        "coord transfer",
        "counter add a",
        "counter",
        "op",
        "op show",
        "op wait",
        "op cancel",
        "node wait",
        "shard cancel",
        "events extra",
        "context",
        "context add",
        "context use",
        "context rm",
        "completion",
        "completion tcsh",
        "man",
        "explain NOPE",
        "node ls --timeout",
        "node ls --timeout 0",
        "cluster status extra",
    };
    for (size_t i = 0; i < sizeof halves / sizeof *halves; i++) {
        if (run_plain(halves[i]) != EXIT_CODE_USAGE) {
            fail_msg("%s: %s", halves[i], terminal.talk);
        }
        CHECK(terminal.talk[0]);
        CHECK(fake.opened_count == 0);
    }
}

/* ---- which cluster ---- */

static void one_must_say_which_cluster(void **state)
{
    (void)state;
    CHECK(run_plain("node ls") == 2);
    CHECK(says(terminal.talk, "--config FILE or --context NAME"));
    CHECK(run_plain("node ls --config DIR/nothing.yaml") == 2);
    CHECK(run_plain("node ls --context nothing") == 2);
    CHECK(says(terminal.talk, "troupe context ls"));
    CHECK(run_plain("node ls --context ../etc") == 2);
    CHECK(run("node ls --context lab") == 2);
    CHECK(run("node ls --as nobody") == 2);
    CHECK(run("node ls --as ../x") == 2);
    CHECK(run("node ls --node four") == 2);
    CHECK(says(terminal.talk, "there is no node `four`"));
    CHECK(run("node ls --node tow") == 2);
    CHECK(says(terminal.talk, "did you mean `two`?"));
    /* A node's folder has no operator. */
    CHECK(run_plain("node ls --config DIR/lab/one/cluster.yaml") == 2);
    CHECK(says(terminal.talk, "no operator's certificate"));
    answer("node.ls", nodes);
    CHECK(run("node ls --node two") == 0);
    CHECK(fake.node_count == 1);
}

static void contexts_are_remembered(void **state)
{
    (void)state;
    answer("node.ls", nodes);
    CHECK(run("context add lab") == 0);
    CHECK(run("context add lab") == 7);
    CHECK(run_plain("node ls") == 0); /* the first is the active one */
    assert_string_equal(fake.who, "operator");
    CHECK(fake.node_count == 3);
    CHECK(run("context add other --as operator") == 0);
    CHECK(run_plain("context ls") == 0);
    CHECK(says(terminal.out, "*  lab      lab      operator      3"));
    CHECK(run_plain("context use other") == 0);
    CHECK(run_plain("context ls --json") == 0);
    CHECK(says(terminal.out, "\"name\":\"other\",\"active\":true"));
    CHECK(run_plain("context use nothing") == 2);
    CHECK(run_plain("_names contexts") == 0);
    assert_string_equal(terminal.out, "lab\nother\n");
    terminal.context = "nothing";
    CHECK(run_plain("node ls") == 2);
    CHECK(run_plain("node ls --context lab") == 0);
    terminal.context = NULL;
    CHECK(run_plain("context rm other") == 0);
    CHECK(run_plain("context rm other") == 2);
    CHECK(run_plain("node ls") == 2); /* none is active now */
    CHECK(run_plain("context rm lab") == 0);
}

static void a_damaged_context_is_told(void **state)
{
    (void)state;
    char path[256];
    const struct files *files = posix_files();
    CHECK(run("context add lab") == 0);
    CHECK_OK(files->write(
        files->context,
        temp_folder_path(&terminal.folder, path, "troupe/contexts/lab.json"),
        FILE_PUBLIC, true, bytes_of_text("{\"schema\":1}")));
    CHECK(run_plain("node ls") == 7);
    CHECK(says(terminal.talk, "lab.json: malformed"));
    CHECK(run_plain("context ls") == 0);
    CHECK(says(terminal.out, "cannot be read"));
    CHECK(run_plain("context rm lab") == 0);
}

/* ---- bundles ---- */

#define MEMBER(name, number, host)                                         \
    "{\"name\":\"" name "\",\"number\":" number ",\"state\":\"active\","   \
    "\"is_up\":true,\"roles\":[\"voter\",\"shard\"],\"zone\":\"\","        \
    "\"weight\":100,\"owners\":1,\"replicas\":3,\"leads\":1,\"view\":7,"   \
    "\"heard_by\":2,\"observers\":2,\"since_ms\":1,\"door\":\"tcp://" host \
    ":7600\"}"
#define SHARD(number, owner, other)                                        \
    "{\"shard\":" number ",\"owner\":\"" owner "\",\"leader\":\"" owner    \
    "\",\"state\":\"serving\",\"generation\":0,\"term\":1,\"replicas\":["  \
    "{\"node\":\"" owner "\",\"voter\":true,\"lag\":0},{\"node\":\"" other \
    "\",\"voter\":true,\"lag\":0}],\"wanted\":[\"" owner "\",\"" other "\"]}"

/* A small cluster; `three` is away. The first five are the leader's. */
static void answer_as_a_cluster(void)
{
    fake.away = "three";
    answer("cluster.status", "{\"v\":1,\"node\":\"one\",\"view\":7,"
                             "\"cluster\":{\"name\":\"lab\"},\"founded\":true,"
                             "\"meta\":{\"leader\":\"one\"},\"problems\":[]}");
    answer("node.ls", "{\"v\":1,\"node\":\"one\",\"view\":7,\"members\":"
                      "[" MEMBER("one", "0", "db1.example.org") "," MEMBER(
                          "two", "1", "10.1.2.3") "," MEMBER("three", "2",
                                                             "10.1.2.4") "]}");
    answer("shard.map",
           "{\"v\":1,\"node\":\"one\",\"view\":7,"
           "\"map\":{\"version\":3,\"replication\":2},\"moving\":0,"
           "\"shards\":[" SHARD("0", "one", "two") "," SHARD(
               "1", "two", "three") "," SHARD("2", "three",
                                              "one") "," SHARD("3", "one",
                                                               "two") "]}");
    answer("events",
           "{\"v\":1,\"node\":\"one\",\"view\":7,\"newest\":3,\"lines\":["
           "{\"number\":1,\"at_ms\":1,\"who\":\"operator/ann\",\"text\":\"a\"},"
           "{\"number\":2,\"at_ms\":2,\"who\":\"node/one\",\"text\":\"b\"},"
           "{\"number\":3,\"at_ms\":3,\"who\":\"operator/ann\","
           "\"text\":\"asked from 10.1.2.3\"}]}");
    answer("coord.ls", "{\"v\":1,\"groups\":[{\"group\":0,"
                       "\"leader\":\"one\",\"term\":4,"
                       "\"voters\":[\"one\"]}]}");
    answer("cluster.links",
           "{\"v\":1,\"node\":\"one\",\"links\":[{\"name\":\"two\","
           "\"role\":\"node\",\"is_up\":true}]}");
    answer("node.log", "{\"v\":1,\"lines\":[\"link.up peer=ann\","
                       "\"dials tcp://10.1.2.3:7600\"]}");
}

static int run_on(const char *bundle, const char *line)
{
    char whole[512];
    (void)snprintf(whole, sizeof whole, "%s --bundle %s", line, bundle);
    int code = run_plain(whole);
    CHECK(fake.opened_count == 0 && fake.asked_count == 0);
    return code;
}

/* Gather one as folder or file `name`; then there is no cluster any more. */
static void make_bundle(const char *name, const char *flags)
{
    char line[256];
    (void)snprintf(line, sizeof line, "debug bundle DIR/%s%s", name, flags);
    answer_as_a_cluster();
    CHECK(run(line) == 8);
    memset(&fake, 0, sizeof fake);
}

static void a_bundle_has_what_answers_and_names_what_is_away(void **state)
{
    (void)state;
    answer_as_a_cluster();
    CHECK(run("debug bundle DIR/some.tar") == 8);
    CHECK(says(terminal.out, "some.tar\n"));
    CHECK(says(terminal.talk, "2 of 3 nodes have answered"));
    CHECK(says(terminal.talk, "three is missing: three (tcp://10.1.2.4:7600)"));
    CHECK(run("debug bundle DIR/some.tar") == 7); /* it is there */
    CHECK(run("debug bundle DIR/other.tar --redact rubbish") == 2);
    CHECK(run("debug bundle DIR/none/other.tar") == 9);
    fake.open_err = ERR_UNREACHABLE;
    CHECK(run("debug bundle DIR/other.tar") == 3);
}

static void commands_look_at_a_bundle_as_at_a_cluster(void **state)
{
    (void)state;
    static const char file[] = "DIR/whole.tar";
    make_bundle("whole.tar", "");
    CHECK(run_on(file, "cluster status") == 0);
    CHECK(says(terminal.out, "Cluster     lab"));
    CHECK(says(terminal.talk, "Bundle of "));
    CHECK(says(terminal.talk, "cluster lab, from one two; away then: three"));
    CHECK(run_on(file, "cluster members") == 0);
    CHECK(run_on(file, "node ls --stale --node two") == 0);
    CHECK(run_on(file, "node show two") == 0);
    CHECK(says(terminal.out, "Owns      1\nReplicas  0 3\n"));
    CHECK(run_on(file, "node show four") == 2);
    CHECK(run_on(file, "shard map --json") == 0);
    CHECK(run_on(file, "shard show 2") == 0);
    CHECK(says(terminal.out, "Owner       three"));
    CHECK(run_on(file, "shard show 4") != 0);
    CHECK(run_on(file, "coord show meta") == 0);
    CHECK(says(terminal.out, "one"));
    CHECK(run_on(file, "cluster links") == 0);
    CHECK(run_on(file, "shard locate counter/a --json") == 0);
    CHECK(says(terminal.out, "\"leader\":"));
    CHECK(run_on(file, "shard plan --add four --json") == 1);
    CHECK(says(terminal.out, "\"four\""));
    CHECK(run_on(file, "shard plan --remove five") == 2);
    CHECK(run_on(file, "events --limit 1") == 0);
    CHECK(says(terminal.out, "asked from") && !says(terminal.out, "  b\n"));
    CHECK(run_on(file, "events --since 1 --limit 1") == 0);
    CHECK(says(terminal.out, "  b\n") && !says(terminal.out, "asked from"));
    CHECK(run_on(file, "doctor") == 0);
    CHECK(run_on(file, "check cluster") == 0);
}

static void flags_may_stand_before_the_noun(void **state)
{
    (void)state;
    make_bundle("early.tar", "");
    CHECK(run_plain("--bundle DIR/early.tar node ls --json") == 0);
    CHECK(run_plain("--node two --bundle DIR/early.tar cluster links") == 0);
    CHECK(run_plain("--bundle DIR/early.tar events --limit 1") == 0);
    CHECK(run_plain("--bundle DIR/early.tar") == 2);
    CHECK(run_plain("--bundle DIR/early.tar moon") == 2);
    CHECK(run_plain("--bundle DIR/early.tar node") == 2);
    CHECK(fake.opened_count == 0);
}

static void a_bundle_says_what_it_cannot(void **state)
{
    (void)state;
    static const char file[] = "DIR/dumb.tar";
    make_bundle("dumb.tar", "");
    CHECK(run_on(file, "cluster links --node three") == 3);
    CHECK(says(terminal.talk, "three was away when this bundle was made"));
    CHECK(run_on(file, "cluster links --node four") == 2);
    CHECK(run_on(file, "shard pause") == 7);
    CHECK(says(terminal.talk, "a bundle cannot be steered"));
    CHECK(run_on(file, "node drain one --yes") == 7);
    CHECK(run_on(file, "shard move 1 --to one --yes") == 7);
    CHECK(run_on(file, "cluster forget one --yes") == 7);
    CHECK(run_on(file, "coord transfer 1 --to one") == 7);
    CHECK(run_on(file, "counter add a 1") == 7);
    CHECK(run_on(file, "counter get a") == 2);
    CHECK(says(terminal.talk, "holds no answer to counter.get"));
    CHECK(run_on(file, "node ls --watch") == 2);
    CHECK(run_on(file, "events --follow") == 2);
    CHECK(run_on(file, "node ls --context lab") == 2);
    CHECK(run_on(file, "debug bundle DIR/again.tar") == 2);
    CHECK(run_on("DIR/nothing.tar", "node ls") == 2);
    CHECK(run_on("DIR/lab/operator/cluster.yaml", "node ls") == 7);
    CHECK(says(terminal.talk, "no tar file"));
}

/* Those that ask first, and all that wait: none of them looks alone. */
static void whatever_asks_before_it_acts_is_refused_on_a_bundle(void **state)
{
    (void)state;
    uint32_t count = 0;
    for (size_t i = 0; nouns_all[i]; i++) {
        const struct command_verb *verb = nouns_all[i]->verbs;
        for (; verb->name; verb++) {
            bool has_bundle = false;
            bool has_yes = false;
            const struct command_flag *flag = verb->flags;
            for (; flag && flag->name; flag++) {
                has_bundle = has_bundle || strcmp(flag->name, "bundle") == 0;
                has_yes = has_yes || strcmp(flag->name, "yes") == 0;
            }
            if (has_bundle && has_yes && !verb->steers) {
                fail_msg("%s %s", nouns_all[i]->name, verb->name);
            }
            count += has_bundle && has_yes;
        }
    }
    CHECK(count >= 5);
}

/* What could not be answered then cannot be now, and ends the same. */
static void a_bundle_without_a_majority_says_so_as_the_cluster_did(void **state)
{
    (void)state;
    answer_as_a_cluster();
    for (size_t i = 0; i < 5; i++) { /* once: the leader is asked first */
        struct canned well = fake.answers[i];
        fake.answers[i] =
            (struct canned){.verb = well.verb,
                            .err = ERR_NO_QUORUM,
                            .json = "{\"v\":1,\"why\":\"nothing of two\"}",
                            .times = 1};
        answer(well.verb, well.json);
    }
    CHECK(run("debug bundle DIR/poor") == 8);
    memset(&fake, 0, sizeof fake);
    CHECK(run_on("DIR/poor", "node ls") == 4);
    CHECK(says(terminal.talk, "when this bundle was made"));
    CHECK(says(terminal.talk, "nothing of two"));
    CHECK(run_on("DIR/poor", "node ls --stale") == 0);
    CHECK(run_on("DIR/poor", "shard locate counter/a") == 0);
    CHECK(run_on("DIR/poor", "doctor") == 1);
    CHECK(says(terminal.out, "What follows is what one knows by itself"));
}

/* NULL: there is no such file. */
static char *read_all(const char *name)
{
    char path[512];
    uint8_t *data = NULL;
    size_t length = 0;
    (void)temp_folder_path(&terminal.folder, path, name);
    enum err err =
        posix_files()->read(NULL, path, FILE_PUBLIC, 1 << 20, &data, &length);
    CHECK(err == ERR_NONE || err == ERR_NOT_FOUND);
    return (char *)data;
}

static void takes_hosts_and_people_and_the_log_out(void **state)
{
    (void)state;
    make_bundle("plain", "");
    char *log = read_all("plain/nodes/one/log.txt");
    assert_string_equal(log, "link.up peer=ann\ndials tcp://10.1.2.3:7600\n");
    free(log);
    make_bundle("clean", " --redact hosts --redact people");
    log = read_all("clean/nodes/one/log.txt");
    assert_string_equal(log,
                        "link.up peer=person-1\ndials tcp://host-2:7600\n");
    free(log);
    char *events = read_all("clean/cluster/events.json");
    CHECK(says(events, "operator/person-1") && says(events, "from host-2"));
    CHECK(!says(events, "ann") && !says(events, "10.1.2"));
    free(events);
    char *manifest = read_all("clean/manifest.json");
    CHECK(!says(manifest, "10.1.2") && says(manifest, "\"people\""));
    free(manifest);
    make_bundle("short", " --redact log");
    CHECK(read_all("short/nodes/one/log.txt") == NULL);
    CHECK(run_on("DIR/clean", "node show two") == 0);
    CHECK(says(terminal.out, "tcp://host-2:7600"));
}

/* ---- without a cluster ---- */

static void plans_from_a_file_alone(void **state)
{
    (void)state;
    static const char file[] = " --from-config DIR/lab/operator/cluster.yaml";
    char line[256];
    (void)snprintf(line, sizeof line, "shard locate counter/a%s", file);
    CHECK(run_plain(line) == 0);
    CHECK(says(terminal.out, "counter/a is in shard "));
    (void)snprintf(line, sizeof line, "shard locate counter/a%s --json", file);
    CHECK(run_plain(line) == 0);
    CHECK(says(terminal.out, "\"schema\":\"troupe.shard.locate\""));
    (void)snprintf(line, sizeof line, "shard map --plot DIR/planned.svg%s",
                   file);
    CHECK(run_plain(line) == 0);
    CHECK(says(terminal.out, "128 shards, as they would be newly founded"));
    (void)snprintf(line, sizeof line, "shard map --json%s", file);
    CHECK(run_plain(line) == 0);
    CHECK(says(terminal.out, "\"schema\":\"troupe.shard.map\""));
    (void)snprintf(line, sizeof line, "shard plan%s", file);
    CHECK(run_plain(line) == 1);
    CHECK(says(terminal.out, "128 shards would move"));
    (void)snprintf(line, sizeof line, "shard plan --add four%s", file);
    CHECK(run_plain(line) == 1);
    CHECK(says(terminal.out, "four"));
    (void)snprintf(line, sizeof line, "shard plan --remove four%s", file);
    CHECK(run_plain(line) == 2);
    (void)snprintf(line, sizeof line, "shard plan --add one%s", file);
    CHECK(run_plain(line) == 2);
    CHECK(run_plain("shard plan --from-config DIR/nothing.yaml") == 2);
    CHECK(fake.opened_count == 0);
}

static void every_error_is_explained(void **state)
{
    (void)state;
    for (int i = 0; i < ERR_COUNT; i++) {
        const struct explain_text *text = explain_text((enum err)i);
        if (!text->cause || !text->effect || !text->action) {
            fail_msg("%s is not explained", err_name((enum err)i));
        }
    }
    CHECK(run_plain("explain ERR_NO_QUORUM") == 0);
    CHECK(says(terminal.out, "Cause") && says(terminal.out, "To do"));
    CHECK(run_plain("explain no-quorum --json") == 0);
    CHECK(says(terminal.out, "\"code\":\"ERR_NO_QUORUM\""));
    CHECK(run_plain("explain") == 0 && says(terminal.out, "ERR_REFUSED"));
    CHECK(run_plain("explain ERR_NO_QORUM") == 2);
    CHECK(says(terminal.talk, "ERR_NO_QUORUM"));
}

static void completes_what_there_is(void **state)
{
    (void)state;
    static const char *const shells[] = {"completion bash", "completion zsh",
                                         "completion fish"};
    for (size_t i = 0; i < 3; i++) {
        CHECK(run_plain(shells[i]) == 0);
        CHECK(says(terminal.out, "troupe _names"));
        CHECK(says(terminal.out, "uncordon") && says(terminal.out, "deadline"));
        CHECK(!says(terminal.out, "\"_names"));
    }
    answer("node.ls", nodes);
    answer("shard.map", map);
    CHECK(run("_names nodes") == 0);
    assert_string_equal(terminal.out, "one\ntwo\n");
    CHECK(run("_names shards") == 0);
    assert_string_equal(terminal.out, "0\n1\n");
    fake.open_err = ERR_UNREACHABLE;
    CHECK(run("_names nodes") == 3);
    assert_string_equal(terminal.out, "");
    assert_string_equal(terminal.talk, "");
    CHECK(run_plain("help") == 0 && !says(terminal.out, "_names"));
}

static void writes_manual_pages(void **state)
{
    (void)state;
    char path[256];
    CHECK(run_plain("man DIR") == 0);
    CHECK(says(terminal.out, "troupe-node.1") && !says(terminal.out, "_names"));
    CHECK(access(temp_folder_path(&terminal.folder, path, "troupe-shard.1"),
                 R_OK) == 0);
    CHECK(run_plain("man DIR/nothing") != 0);
}

static void help_is_there_at_every_level(void **state)
{
    (void)state;
    for (size_t i = 0; nouns_all[i]; i++) {
        const struct command_noun *noun = nouns_all[i];
        for (const struct command_verb *verb = noun->verbs; verb->name;
             verb++) {
            char line[128];
            (void)snprintf(line, sizeof line, "%s%s%s --help", noun->name,
                           noun->is_verb ? "" : " ",
                           noun->is_verb ? "" : verb->name);
            CHECK(run_plain(line) == 0);
            CHECK(strchr(verb->summary, '\n') && says(terminal.out, "Usage"));
            for (size_t j = 0; j < 3; j++) {
                CHECK(verb->examples[j] != NULL);
            }
        }
    }
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(shows_the_cluster),
        TEST(json_is_the_answer_with_schema_and_version),
        TEST(looks_again_until_ctrl_c),
        TEST(lists_nodes),
        TEST(shows_the_map),
        TEST(draws_the_map),
        TEST(locates_an_actor),
        TEST(follows_the_journal),
        TEST(lists_operations),
        TEST(waits_for_an_operation),
        TEST(says_that_another_move_has_come),
        TEST(cancels_after_a_clear_yes),
        TEST(what_begins_can_be_waited_for),
        TEST(waits_for_a_node),
        TEST(checks_what_joining_needs),
        TEST(checks_what_it_can_without_the_cluster),
        TEST(waits_while_an_election_is_under_way),
        TEST(shows_what_became_of_a_shard),
        TEST(shows_the_shards_with_the_most_of_it),
        TEST(verifies_a_cluster),
        TEST(finds_nodes_that_do_not_agree),
        TEST(a_drain_that_cannot_end_is_found),
        TEST(finds_what_is_wrong),
        TEST(check_has_an_exit_status_of_its_own),
        TEST(drains_when_the_name_is_typed),
        TEST(drains_nothing_without_the_name),
        TEST(ctrl_c_ends_the_waiting_alone),
        TEST(refusals_reach_people),
        TEST(moves_and_forgets_after_a_clear_yes),
        TEST(who_has_retired_is_no_majority),
        TEST(who_has_most_takes_a_shard_over),
        TEST(what_has_its_majority_is_not_recovered),
        TEST(a_shard_of_which_nobody_has_anything_is_named),
        TEST(who_is_named_lost_must_be_and_all_of_them),
        TEST(the_meta_group_comes_first),
        TEST(plans_say_whether_something_moves),
        TEST(applies_a_file_after_a_plan),
        TEST(says_nothing_of_what_a_file_leaves_open),
        TEST(applies_nothing_that_is_refused),
        TEST(shows_what_the_cluster_has_agreed_on),
        TEST(compares_two_files),
        TEST(pauses_and_transfers),
        TEST(counts),
        TEST(what_may_have_happened_is_not_done_twice),
        TEST(says_so_when_nobody_is_there),
        TEST(says_so_when_there_is_no_majority),
        TEST(says_so_when_there_is_no_such_thing),
        TEST(a_name_that_cannot_be_is_wrong_on_the_command_line),
        TEST(says_so_when_the_answer_is_no_answer),
        TEST(half_a_command_is_misuse),
        TEST(one_must_say_which_cluster),
        TEST(contexts_are_remembered),
        TEST(a_damaged_context_is_told),
        TEST(a_bundle_has_what_answers_and_names_what_is_away),
        TEST(commands_look_at_a_bundle_as_at_a_cluster),
        TEST(flags_may_stand_before_the_noun),
        TEST(a_bundle_says_what_it_cannot),
        TEST(whatever_asks_before_it_acts_is_refused_on_a_bundle),
        TEST(a_bundle_without_a_majority_says_so_as_the_cluster_did),
        TEST(takes_hosts_and_people_and_the_log_out),
        TEST(plans_from_a_file_alone),
        TEST(every_error_is_explained),
        TEST(completes_what_there_is),
        TEST(writes_manual_pages),
        TEST(help_is_there_at_every_level),
    };
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
