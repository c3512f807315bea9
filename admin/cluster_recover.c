/*
 * A majority is gone for good: find the groups that have lost it, choose for
 * each who has most of it, say what may be lost, and have it taken over.
 *
 * The meta group comes first, and not from here: without it nobody can agree
 * upon anything. One of its survivors is started to take it over.
 */

#include "admin/cluster_verbs.h"

#include "admin/answer.h"
#include "admin/remote.h"
#include "admin/waiting.h"
#include "base/scope.h"
#include "shard/shard_map.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DEADLINE_MS 120000 /* until all that is taken over is led */
#define NAMES_BYTES 512

enum fate {
    FATE_WELL,  /* it is led, or a majority is there */
    FATE_TAKEN, /* over, by who has most of it */
    FATE_EMPTY, /* nobody has anything: it begins empty */
    FATE_GONE,  /* the same, and nothing is done */
};

struct shard_plan {
    enum fate fate;
    const char *node;
    const json_t *replica; /* of who takes it over */
    bool is_agreed;        /* the meta group has agreed upon it */
};

struct recovery {
    const struct command *command;
    struct remote *remote;
    json_t *status;
    json_t *nodes;
    json_t *map;
    json_t *replicas[SHARD_NODES_MAX]; /* by place in `nodes`; NULL: lost */
    struct shard_plan *shards;
    size_t shard_count;
};

static void recovery_clear(struct recovery *recovery)
{
    for (size_t i = 0; i < SHARD_NODES_MAX; i++) {
        answer_clear(&recovery->replicas[i]);
    }
    answer_clear(&recovery->status);
    answer_clear(&recovery->nodes);
    answer_clear(&recovery->map);
    remote_close(&recovery->remote);
    free(recovery->shards);
}

/* ---- who is there ---- */

static const json_t *member(const struct recovery *recovery, size_t i)
{
    return answer_item(recovery->nodes, "members", i);
}

static size_t member_count(const struct recovery *recovery)
{
    size_t count = answer_count(recovery->nodes, "members");
    return count < SHARD_NODES_MAX ? count : SHARD_NODES_MAX;
}

static bool is_named_lost(const struct recovery *recovery, const char *name)
{
    const char *lost = NULL;
    for (uint32_t i = 0;
         (lost = command_value_at(recovery->command, "lost", i)) != NULL; i++) {
        if (strcmp(lost, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_up(const json_t *node)
{
    return answer_is(node, "is_up");
}

/* Whoever names the lost ones names all of them, and none that is there. */
static enum exit_code check_lost(const struct recovery *recovery)
{
    const struct command *command = recovery->command;
    const char *lost = NULL;
    for (uint32_t i = 0; (lost = command_value_at(command, "lost", i)) != NULL;
         i++) {
        bool is_member = false;
        for (size_t k = 0; k < member_count(recovery); k++) {
            const json_t *node = member(recovery, k);
            bool is_it = strcmp(answer_name(node, "name"), lost) == 0;
            is_member = is_member || is_it;
            if (is_it && is_up(node)) {
                command_say(command, "%s is up: it is not lost", lost);
                return EXIT_CODE_REFUSED;
            }
        }
        if (!is_member) {
            return command_misused(command, "--lost: no member is called %s",
                                   lost);
        }
    }
    for (size_t k = 0; k < member_count(recovery); k++) {
        const char *name = answer_name(member(recovery, k), "name");
        if (!is_up(member(recovery, k)) && !is_named_lost(recovery, name) &&
            command_has(command, "lost")) {
            command_say(command,
                        "%s is not heard, and is not named as lost: name it "
                        "too, or wait for it",
                        name);
            return EXIT_CODE_REFUSED;
        }
    }
    return EXIT_CODE_OK;
}

static void lost_names(const struct recovery *recovery,
                       char to[static NAMES_BYTES])
{
    size_t length = 0;
    to[0] = '\0';
    for (size_t k = 0; k < member_count(recovery); k++) {
        const json_t *node = member(recovery, k);
        if (!is_up(node) && length < NAMES_BYTES) {
            int written =
                snprintf(to + length, NAMES_BYTES - length, "%s%s",
                         length > 0 ? ", " : "", answer_name(node, "name"));
            length += written > 0 ? (size_t)written : 0;
        }
    }
}

/* ---- what they have ---- */

static enum exit_code ask_replicas(struct recovery *recovery)
{
    for (size_t k = 0; k < member_count(recovery); k++) {
        if (!is_up(member(recovery, k))) {
            continue;
        }
        struct remote_question question = {
            .verb = "coord.replicas",
            .args = json_pack("{s:s}", "name",
                              answer_name(member(recovery, k), "name"))};
        enum exit_code code =
            remote_ask(recovery->remote, &question, &recovery->replicas[k]);
        if (code) {
            return code; /* it may be the one with most */
        }
    }
    return EXIT_CODE_OK;
}

static const json_t *replica_of(const struct recovery *recovery,
                                size_t k,
                                int64_t group)
{
    return recovery->replicas[k]
               ? answer_find_number(answer_at(recovery->replicas[k], "groups"),
                                    "group", group)
               : NULL;
}

static bool is_usable(const json_t *replica)
{
    return replica && !answer_is(replica, "lost") &&
           answer_is(replica, "has_state");
}

/* As Raft compares logs; of two generations the younger. */
static bool has_more(const json_t *left, const json_t *right)
{
    static const char *const keys[] = {"generation", "last_term", "last_index"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        int64_t difference =
            answer_number(left, keys[i]) - answer_number(right, keys[i]);
        if (difference != 0) {
            return difference > 0;
        }
    }
    return false;
}

/* Where most of a group is; the number of members: nowhere. */
static size_t find_best(const struct recovery *recovery, int64_t group)
{
    size_t best = member_count(recovery);
    for (size_t k = 0; k < member_count(recovery); k++) {
        const json_t *replica = replica_of(recovery, k, group);
        if (is_usable(replica) &&
            (best == member_count(recovery) ||
             has_more(replica, replica_of(recovery, best, group)))) {
            best = k;
        }
    }
    return best;
}

/* Whether a voter still is what it was: the same disk, of the same generation,
 * of which it does not know that another has followed. */
static bool can_vote(const struct recovery *recovery,
                     const json_t *voter,
                     const json_t *best)
{
    for (size_t k = 0; k < member_count(recovery); k++) {
        const json_t *replica =
            replica_of(recovery, k, answer_number(best, "group"));
        const char *disk = answer_text(recovery->replicas[k], "disk_id");
        const char *its = answer_text(voter, "disk_id");
        if (replica && !answer_is(replica, "lost") &&
            !answer_is(replica, "retired") && disk && its &&
            strcmp(disk, its) == 0 &&
            answer_number(replica, "generation") ==
                answer_number(best, "generation")) {
            return true;
        }
    }
    return false;
}

static bool has_majority(const struct recovery *recovery, const json_t *best)
{
    size_t voters = 0;
    size_t there = 0;
    for (size_t i = 0; i < answer_count(best, "members"); i++) {
        const json_t *one = answer_item(best, "members", i);
        if (answer_is(one, "voter")) {
            voters++;
            there += can_vote(recovery, one, best);
        }
    }
    return there > voters / 2;
}

/* ---- the plan ---- */

/* One that shall hold the shard, or else any that is up. */
static const char *find_heir(const struct recovery *recovery,
                             const json_t *shard)
{
    const char *heir = NULL;
    for (size_t k = 0; k < member_count(recovery); k++) {
        const char *name = answer_name(member(recovery, k), "name");
        for (size_t i = 0;
             is_up(member(recovery, k)) && i < answer_count(shard, "wanted");
             i++) {
            const char *wanted =
                json_string_value(answer_item(shard, "wanted", i));
            if (wanted && strcmp(wanted, name) == 0) {
                return name;
            }
        }
        heir = heir || !is_up(member(recovery, k)) ? heir : name;
    }
    return heir;
}

static struct shard_plan plan_shard(const struct recovery *recovery,
                                    const json_t *shard)
{
    int64_t group = answer_number(shard, "shard") + 1;
    size_t best = find_best(recovery, group);
    if (answer_text(shard, "leader")) {
        return (struct shard_plan){.fate = FATE_WELL};
    }
    if (best == member_count(recovery)) {
        bool is_empty = command_has(recovery->command, "empty");
        return (struct shard_plan){.fate = is_empty ? FATE_EMPTY : FATE_GONE,
                                   .node = find_heir(recovery, shard)};
    }
    const json_t *replica = replica_of(recovery, best, group);
    return (struct shard_plan){
        .fate = has_majority(recovery, replica) ? FATE_WELL : FATE_TAKEN,
        .node = answer_name(member(recovery, best), "name"),
        .replica = replica};
}

static enum exit_code make_plan(struct recovery *recovery)
{
    recovery->shard_count = answer_count(recovery->map, "shards");
    recovery->shards =
        calloc(recovery->shard_count + 1, sizeof *recovery->shards);
    if (!recovery->shards) {
        return command_failed(recovery->command, ERR_MEMORY, "the plan");
    }
    for (size_t i = 0; i < recovery->shard_count; i++) {
        recovery->shards[i] =
            plan_shard(recovery, answer_item(recovery->map, "shards", i));
    }
    return EXIT_CODE_OK;
}

static size_t count_fate(const struct recovery *recovery, enum fate fate)
{
    size_t count = 0;
    for (size_t i = 0; i < recovery->shard_count; i++) {
        count += recovery->shards[i].fate == fate;
    }
    return count;
}

/* Of those who voted, who cannot any more: only they may have had more. */
static void names_of_gone(const struct recovery *recovery,
                          const json_t *best,
                          char to[static NAMES_BYTES])
{
    size_t length = 0;
    to[0] = '\0';
    for (size_t i = 0; i < answer_count(best, "members"); i++) {
        const json_t *one = answer_item(best, "members", i);
        if (answer_is(one, "voter") && !can_vote(recovery, one, best) &&
            length < NAMES_BYTES) {
            const char *name = answer_text(one, "node");
            int written =
                snprintf(to + length, NAMES_BYTES - length, "%s%s",
                         length > 0 ? ", " : "", name ? name : "a former node");
            length += written > 0 ? (size_t)written : 0;
        }
    }
}

static void print_shard(const struct recovery *recovery, size_t i)
{
    FILE *talk = recovery->command->world->talk;
    const struct shard_plan *plan = &recovery->shards[i];
    char names[NAMES_BYTES];
    switch (plan->fate) {
    case FATE_WELL:
        return;
    case FATE_TAKEN:
        names_of_gone(recovery, plan->replica, names);
        fprintf(talk,
                "shard %zu: %s takes it over with its entries up to %" PRId64
                " of term %" PRId64 "; what came after and only %s had is "
                "lost.\n",
                i, plan->node, answer_number(plan->replica, "last_index"),
                answer_number(plan->replica, "last_term"), names);
        return;
    case FATE_EMPTY:
        fprintf(talk,
                "shard %zu: no node has anything of it. %s begins it empty: "
                "all that was in it is lost.\n",
                i, plan->node);
        return;
    case FATE_GONE:
        fprintf(talk,
                "shard %zu: no node has anything of it. It stays as it is: "
                "restore it from a backup, or begin it empty with --empty.\n",
                i);
        return;
    }
}

static void print_plan(const struct recovery *recovery)
{
    FILE *talk = recovery->command->world->talk;
    char names[NAMES_BYTES];
    lost_names(recovery, names);
    if (names[0]) {
        fprintf(talk,
                "Lost: %s. Set down, so that their shards are made anew "
                "elsewhere.\n",
                names);
    }
    for (size_t i = 0; i < recovery->shard_count; i++) {
        print_shard(recovery, i);
    }
    fprintf(talk, "%zu of %zu shards have their majority and stay.\n",
            count_fate(recovery, FATE_WELL), recovery->shard_count);
}

/* ---- doing it ---- */

static enum exit_code set_down(struct recovery *recovery)
{
    for (size_t k = 0; k < member_count(recovery); k++) {
        const json_t *node = member(recovery, k);
        if (is_up(node) || strcmp(answer_name(node, "state"), "down") == 0) {
            continue;
        }
        scoped(answer_clear) json_t *answer = NULL;
        struct remote_question question = {
            .verb = "node.set",
            .args = json_pack("{s:s, s:s}", "name", answer_name(node, "name"),
                              "state", "down"),
            .changes = true};
        enum exit_code code = remote_ask(recovery->remote, &question, &answer);
        if (code) {
            return code;
        }
    }
    return EXIT_CODE_OK;
}

/* What lost a majority by its groups may look like one by its nodes: a disk is
 * new, a log has holes. So the question is forced; it is refused all the same
 * while somebody leads. */
static enum exit_code take_over(struct recovery *recovery)
{
    enum exit_code worst = EXIT_CODE_OK;
    for (size_t i = 0; i < recovery->shard_count; i++) {
        struct shard_plan *plan = &recovery->shards[i];
        if ((plan->fate != FATE_TAKEN && plan->fate != FATE_EMPTY) ||
            !plan->node) {
            continue;
        }
        scoped(answer_clear) json_t *answer = NULL;
        struct remote_question question = {
            .verb = "shard.recover",
            .args = json_pack("{s:I, s:s, s:b, s:b}", "shard", (json_int_t)i,
                              "to", plan->node, "empty",
                              plan->fate == FATE_EMPTY, "force", true),
            .changes = true};
        plan->is_agreed = !remote_ask(recovery->remote, &question, &answer);
        if (!plan->is_agreed) {
            worst = EXIT_CODE_PARTIAL; /* the others are not worse for that */
        }
    }
    return worst;
}

/* Done when all that are taken over are led. */
static enum exit_code look_for_leaders(void *context,
                                       bool *is_done,
                                       struct err_detail *why)
{
    const struct recovery *recovery = context;
    scoped(answer_clear) json_t *map = NULL;
    struct remote_question question = {.verb = "shard.map"};
    enum exit_code code = remote_try(recovery->remote, &question, &map, why);
    *is_done = !code;
    for (size_t i = 0; i < recovery->shard_count && *is_done; i++) {
        *is_done = !recovery->shards[i].is_agreed ||
                   answer_text(answer_item(map, "shards", i), "leader");
    }
    return code;
}

static enum exit_code follow(struct recovery *recovery)
{
    return waiting_run(&(struct waiting){
        .command = recovery->command,
        .deadline_ms = DEADLINE_MS,
        .goes_on = "it goes on: `troupe cluster status` shows it. For shards "
                   "that stay without a leader see what their nodes log, then "
                   "do this again.",
        .look = look_for_leaders,
        .context = recovery});
}

static enum exit_code carry_out(struct recovery *recovery)
{
    FILE *talk = recovery->command->world->talk;
    enum exit_code code = set_down(recovery);
    if (code) {
        return code;
    }
    enum exit_code taken = take_over(recovery);
    code = follow(recovery);
    if (code || taken) {
        return code ? code : taken;
    }
    size_t gone = count_fate(recovery, FATE_GONE);
    fprintf(talk, "%zu shards serve again%s.\n",
            count_fate(recovery, FATE_TAKEN) + count_fate(recovery, FATE_EMPTY),
            gone > 0 ? "; some are still gone" : "");
    return gone > 0 ? EXIT_CODE_PARTIAL : EXIT_CODE_OK;
}

/* ---- the meta group ---- */

/* Of what one node knows by itself; it may be the only one. */
static enum exit_code ask_stale(struct recovery *recovery)
{
    struct remote_question question = {
        .verb = "node.ls", .args = json_pack("{s:b}", "stale", true)};
    enum exit_code code =
        remote_ask(recovery->remote, &question, &recovery->nodes);
    return code ? code : ask_replicas(recovery);
}

static enum exit_code explain_meta(struct recovery *recovery,
                                   const struct err_detail *why)
{
    const struct command *command = recovery->command;
    command_say(command, "%s", why->text);
    if (ask_stale(recovery)) {
        return EXIT_CODE_NO_QUORUM;
    }
    size_t best = find_best(recovery, 0);
    if (best == member_count(recovery)) {
        command_say(command, "no node that is up has anything of the meta "
                             "group: restore the cluster from a backup");
        return EXIT_CODE_NO_QUORUM;
    }
    const json_t *replica = replica_of(recovery, best, 0);
    const char *name = answer_name(member(recovery, best), "name");
    if (has_majority(recovery, replica)) {
        command_say(command, "a majority of the meta group is there: it gets "
                             "a leader by itself, try again");
        return EXIT_CODE_NO_QUORUM;
    }
    char names[NAMES_BYTES];
    names_of_gone(recovery, replica, names);
    fprintf(command->world->talk,
            "The meta group has lost its majority (%s). Of what is up, %s has "
            "most of it: entries up to %" PRId64 " of term %" PRId64 ".\n"
            "If they are gone for good, stop trouped on %s and start it once "
            "with --recover-meta, on no other node; then do this again.\n",
            names, name, answer_number(replica, "last_index"),
            answer_number(replica, "last_term"), name);
    return EXIT_CODE_NO_QUORUM;
}

/* ---- the command ---- */

static enum exit_code look(struct recovery *recovery)
{
    struct err_detail why = {0};
    struct remote_question status = {.verb = "cluster.status"};
    struct remote_question nodes = {.verb = "node.ls"};
    struct remote_question map = {.verb = "shard.map"};
    enum exit_code code =
        remote_try(recovery->remote, &status, &recovery->status, &why);
    if (code == EXIT_CODE_NO_QUORUM) {
        return explain_meta(recovery, &why);
    }
    if (code) {
        command_say(recovery->command, "%s", why.text);
        return code;
    }
    code = remote_ask(recovery->remote, &nodes, &recovery->nodes);
    if (!code) {
        code = check_lost(recovery);
    }
    if (!code) {
        code = remote_ask(recovery->remote, &map, &recovery->map);
    }
    if (!code) {
        code = ask_replicas(recovery);
    }
    return code ? code : make_plan(recovery);
}

static enum exit_code recover(struct recovery *recovery)
{
    const struct command *command = recovery->command;
    enum exit_code code = look(recovery);
    if (code) {
        return code;
    }
    if (count_fate(recovery, FATE_WELL) == recovery->shard_count) {
        fprintf(command->world->talk,
                "All shards are led or have their majority: there is nothing "
                "to recover.\n");
        return EXIT_CODE_OK;
    }
    print_plan(recovery);
    if (command_is_dry(command)) {
        return EXIT_CODE_OK;
    }
    return waiting_confirm(command,
                           answer_name(recovery->status, "cluster.name"))
               ? carry_out(recovery)
               : EXIT_CODE_REFUSED;
}

enum exit_code cluster_recover_run(const struct command *command)
{
    struct recovery recovery = {.command = command};
    enum exit_code code = waiting_open(&recovery.remote, command);
    if (!code) {
        code = recover(&recovery);
    }
    recovery_clear(&recovery);
    return code;
}
