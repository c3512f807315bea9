#include "admin/cluster_verbs.h"

#include "admin/answer.h"
#include "admin/config_cluster.h"
#include "admin/config_file.h"
#include "admin/human.h"
#include "admin/remote.h"
#include "admin/table.h"
#include "base/bytes.h"
#include "base/posix/posix_files.h"
#include "base/scope.h"
#include "client/client.h"
#include "config/identity.h"
#include "config/path.h"
#include "config/trust.h"
#include "store/data_folder.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 * All that can be known before a new node's daemon is started: on its machine,
 * with its files. What the cluster says needs an operator's or observer's
 * certificate as well, which a node's machine need not have; then that part is
 * left out, and the exit status says so.
 */

enum verdict {
    VERDICT_WELL,
    VERDICT_BAD,  /* it would not join */
    VERDICT_OPEN, /* it could not be looked at */
};

struct join {
    const struct command *command;
    const char *file;
    const char *name;
    struct settings *settings;
    const struct settings_member *self; /* NULL: the file does not list it */
    struct trust *trust;
    struct remote *remote; /* NULL: the cluster cannot be asked */
    bool is_member;        /* somebody of that name is */
    uint32_t counts[VERDICT_OPEN + 1];
};

static void join_clear(struct join *join)
{
    remote_close(&join->remote);
    trust_unref(&join->trust);
    settings_close(&join->settings);
}

typedef enum verdict check_step(struct join *join, struct err_detail *text);

/* ---- files ---- */

static enum verdict check_file(struct join *join, struct err_detail *text)
{
    struct err_detail why = {{0}};
    const struct files *files = join->command->world->files;
    join->file = command_operand(join->command, 0);
    enum err err =
        config_file_explained(&join->settings, &join->file, files, &why);
    if (err) {
        err_explain(text, "%s: %.400s", join->file,
                    why.text[0] ? why.text : err_text(err));
        return VERDICT_BAD;
    }
    join->name = command_value(join->command, "name");
    if (!join->name) {
        join->name = join->settings->node.name;
    }
    join->self = settings_find_member(join->settings, join->name);
    if (!join->self) {
        err_explain(text,
                    "%s: cluster.nodes has no `%.63s`: add it, with its host; "
                    "--name says which node this is",
                    join->file, join->name);
        return VERDICT_BAD;
    }
    err_explain(text, "%s is sound, and lists %s", join->file, join->name);
    return VERDICT_WELL;
}

static enum verdict refuse(struct err_detail *text,
                           enum err err,
                           const struct err_detail *why)
{
    err_explain(text, "%.400s", why->text[0] ? why->text : err_text(err));
    return VERDICT_BAD;
}

static enum verdict check_certificate(struct join *join,
                                      struct err_detail *text)
{
    struct path path;
    struct err_detail why = {{0}};
    const struct identity *identity = NULL;
    struct certificate certificate;
    const struct command_world *world = join->command->world;
    const struct settings *settings = join->settings;
    enum err err = path_make(&path, "%s/trust", settings->node.keys_dir);
    if (!err) {
        err = trust_open(&join->trust, world->files, path.text, &why);
    }
    if (!err) {
        err = identity_open(&identity, world->files, settings->node.keys_dir,
                            join->name, &why);
    }
    if (err) {
        return refuse(text, err, &why);
    }
    err = trust_check(
        join->trust, bytes_of(identity->encoded, identity->encoded_length),
        clock_wall_ms(world->clock), settings->cluster.limits.clock_skew_ms,
        &certificate, &why);
    identity_unref(&identity);
    if (err) {
        return refuse(text, err, &why);
    }
    if (certificate.role != ROLE_NODE) {
        err_explain(text, "the certificate of %s has the role %s, not node",
                    join->name, role_text(certificate.role));
        return VERDICT_BAD;
    }
    err_explain(text, "the certificate of %s is signed and valid", join->name);
    return VERDICT_WELL;
}

/* A folder with data is not new: it comes back with it. */
static enum verdict check_folder(struct join *join, struct err_detail *text)
{
    struct path root;
    struct path lock;
    struct err_detail why = {{0}};
    struct data_folder_facts facts;
    const struct settings *settings = join->settings;
    enum err err =
        path_make(&root, "%s/%s", settings->node.data_dir, join->name);
    if (!err) {
        err = path_make(&lock, "%s/lock", root.text);
    }
    if (err) {
        return refuse(text, err, &why);
    }
    if (posix_files_look_at_lock(lock.text) == ERR_BUSY) {
        err_explain(text, "%.300s: a running process has it", root.text);
        return VERDICT_BAD;
    }
    err =
        data_folder_look(&facts, join->command->world->files, root.text, &why);
    if (err == ERR_NOT_FOUND) {
        err_explain(text, "%.300s is free for its data", root.text);
        return VERDICT_WELL;
    }
    if (err) {
        return refuse(text, err, &why);
    }
    if (memcmp(facts.cluster_id, settings->cluster.id,
               sizeof facts.cluster_id) != 0 ||
        strcmp(facts.node, join->name) != 0) {
        err_explain(text,
                    "%.300s holds data of another node or cluster: move it "
                    "away",
                    root.text);
        return VERDICT_BAD;
    }
    err_explain(text, "%.300s has its data: it comes back with that",
                root.text);
    return VERDICT_WELL;
}

/* ---- the cluster ---- */

static enum verdict connect_cluster(struct join *join, struct err_detail *text)
{
    struct err_detail why = {{0}};
    enum exit_code code = remote_connect(&join->remote, join->command, &why);
    if (code) {
        err_explain(text, "the cluster is not asked: %.400s",
                    why.text[0] ? why.text : exit_code_text(code));
        return code == EXIT_CODE_USAGE ? VERDICT_OPEN : VERDICT_BAD;
    }
    err_explain(text, "%s lets us in", remote_node(join->remote));
    return VERDICT_WELL;
}

/* False: it has not answered, and `text` says why. Takes `args`. */
static bool ask(struct join *join,
                const char *verb,
                json_t *args,
                json_t **answer,
                struct err_detail *text)
{
    struct remote_question question = {.verb = verb, .args = args};
    enum exit_code code = remote_try(join->remote, &question, answer, text);
    json_decref(args);
    return code == EXIT_CODE_OK;
}

static enum verdict check_cluster(struct join *join, struct err_detail *text)
{
    scoped(answer_clear) json_t *status = NULL;
    char id[2 * CLUSTER_ID_BYTES + 1];
    hex_encode(id, bytes_of(join->settings->cluster.id, CLUSTER_ID_BYTES));
    if (!ask(join, "cluster.status", NULL, &status, text)) {
        return VERDICT_BAD;
    }
    if (strcmp(answer_name(status, "cluster.id"), id) != 0) {
        err_explain(text, "the file is for cluster %s, this is %s", id,
                    answer_name(status, "cluster.id"));
        return VERDICT_BAD;
    }
    err_explain(text, "it is cluster %s, with %" PRId64 " members",
                answer_name(status, "cluster.name"),
                answer_number(status, "members.total"));
    return VERDICT_WELL;
}

static const json_t *find_member(const json_t *nodes, const char *name)
{
    for (size_t i = 0; i < answer_count(nodes, "members"); i++) {
        const json_t *node = answer_item(nodes, "members", i);
        if (strcmp(answer_name(node, "name"), name) == 0) {
            return node;
        }
    }
    return NULL;
}

static enum verdict check_name(struct join *join, struct err_detail *text)
{
    scoped(answer_clear) json_t *nodes = NULL;
    if (!ask(join, "node.ls", NULL, &nodes, text)) {
        return VERDICT_BAD;
    }
    const json_t *node = find_member(nodes, join->name);
    if (!node) {
        err_explain(text, "the name %s is free", join->name);
        return VERDICT_WELL;
    }
    join->is_member = true;
    if (answer_is(node, "is_up")) {
        err_explain(text, "a node called %s is up, at %s: take another name",
                    join->name, answer_name(node, "door"));
        return VERDICT_BAD;
    }
    err_explain(text,
                "%s is a member that is away: it comes back, without its data "
                "as a new replica of all it had",
                join->name);
    return VERDICT_WELL;
}

static enum verdict check_settings(struct join *join, struct err_detail *text)
{
    scoped(answer_clear) json_t *plan = NULL;
    json_t *args =
        json_pack("{s:o}", "settings", config_cluster_claims(join->settings));
    if (!ask(join, "config.plan", args, &plan, text)) {
        return VERDICT_BAD;
    }
    size_t count = answer_count(plan, "changes");
    if (count == 0) {
        err_explain(text, "the settings of `cluster` are the cluster's");
        return VERDICT_WELL;
    }
    const json_t *first = answer_item(plan, "changes", 0);
    err_explain(text,
                "%zu settings differ: %s is %s in the file, %s in the "
                "cluster%s: put the file right",
                count, answer_name(first, "key"), answer_name(first, "to"),
                answer_name(first, "from"), count > 1 ? ", ..." : "");
    return VERDICT_BAD;
}

static enum verdict check_clock(struct join *join, struct err_detail *text)
{
    scoped(answer_clear) json_t *info = NULL;
    const struct clock *clock = join->command->world->clock;
    int64_t before_ms = clock_wall_ms(clock);
    if (!ask(join, "node.info", NULL, &info, text)) {
        return VERDICT_BAD;
    }
    int64_t skew_ms =
        (before_ms + clock_wall_ms(clock)) / 2 - answer_number(info, "now_ms");
    uint64_t apart_ms = (uint64_t)llabs(skew_ms);
    err_explain(text, "this clock is %s %s that of %s",
                human_span(apart_ms).text, skew_ms > 0 ? "ahead of" : "behind",
                answer_name(info, "name"));
    return apart_ms > join->settings->cluster.limits.clock_skew_ms
               ? VERDICT_BAD
               : VERDICT_WELL;
}

/* Nodes link with each other, all with all. */
static enum verdict check_doors(struct join *join, struct err_detail *text)
{
    scoped(answer_clear) json_t *nodes = NULL;
    size_t open_count = 0;
    if (!ask(join, "node.ls", NULL, &nodes, text)) {
        return VERDICT_BAD;
    }
    for (size_t i = 0; i < answer_count(nodes, "members"); i++) {
        struct err_detail why = {{0}};
        scoped(remote_close) struct remote *one = NULL;
        const json_t *node = answer_item(nodes, "members", i);
        struct client_node at = {answer_name(node, "name"),
                                 answer_name(node, "door")};
        if (!answer_is(node, "is_up")) {
            continue;
        }
        if (remote_connect_node(&one, join->remote, &at, 0, &why)) {
            err_explain(text, "a door is not open from here: %.400s", why.text);
            return VERDICT_BAD;
        }
        open_count++;
    }
    err_explain(text,
                "the doors of all %zu nodes that are up are open from "
                "here",
                open_count);
    return VERDICT_WELL;
}

static enum verdict tell_plan(struct join *join, struct err_detail *text)
{
    scoped(answer_clear) json_t *plan = NULL;
    if (join->is_member) {
        err_explain(text, "as a member it has its share of the shards");
        return VERDICT_WELL;
    }
    json_t *args = json_pack("{s:[s]}", "add", join->name);
    if (!ask(join, "shard.plan", args, &plan, text)) {
        return VERDICT_BAD;
    }
    err_explain(text, "%zu shards would move", answer_count(plan, "moves"));
    return VERDICT_WELL;
}

/* ---- all of it ---- */

static const struct {
    check_step *check;
    bool is_needed; /* by those that follow */
} steps[] = {
    {check_file, true},      {check_certificate, false}, {check_folder, false},
    {connect_cluster, true}, {check_cluster, true},      {check_name, false},
    {check_settings, false}, {check_clock, false},       {check_doors, false},
    {tell_plan, false},
};

static void print_step(struct join *join,
                       enum verdict verdict,
                       struct err_detail *text)
{
    static const char *const words[] = {"ok  ", "look", "open"};
    static const enum table_tone tones[] = {TABLE_GOOD, TABLE_BAD,
                                            TABLE_WARNING};
    const struct command_world *world = join->command->world;
    human_clean(text->text);
    fprintf(world->out, "%s%s%s  %s\n",
            table_tone_begin(tones[verdict], world->out_is_colored),
            words[verdict],
            table_tone_end(tones[verdict], world->out_is_colored), text->text);
    join->counts[verdict]++;
}

static enum exit_code conclude(const struct join *join)
{
    FILE *out = join->command->world->out;
    if (join->counts[VERDICT_BAD] > 0) {
        fprintf(out, "\nIt would not join: put right what stands behind "
                     "`look`.\n");
        return EXIT_CODE_REFUSED;
    }
    fprintf(
        out,
        "\nStart it here:\n  trouped --config %s --node %s --join\nThen "
        "see it come:\n  troupe node wait %s --deadline 1m\n  troupe op ls\n",
        join->file, join->name, join->name);
    return join->counts[VERDICT_OPEN] > 0 ? EXIT_CODE_PARTIAL : EXIT_CODE_OK;
}

enum exit_code cluster_join_run(const struct command *command)
{
    scoped(join_clear) struct join join = {.command = command};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct err_detail text = {{0}};
        enum verdict verdict = steps[i].check(&join, &text);
        print_step(&join, verdict, &text);
        if (verdict != VERDICT_WELL && steps[i].is_needed) {
            break;
        }
    }
    return conclude(&join);
}
