/*
 * Whole clusters of real daemons, each on a machine of its own: killed,
 * stopped, cut off, filled up, restarted one after the other, and given what
 * is not right.
 *
 * Arguments: trouped, troupe, and the test to run; without that all run, one
 * after another. Exit code 77: this machine cannot.
 */

#include "tests/process/cluster_delay.h"
#include "tests/process/cluster_load.h"

#include <libgen.h>
#include <limits.h>
#include <sodium.h>
#include <sys/wait.h>

#include "base/posix/posix_files.h"
#include "config/identity.h"
#include "tests/support/check.h"
#include "tests/support/metrics_format.h"
#include "tests/support/test_node.h"

#define LOAD 40 /* answers to each client, between two events */
#define SKIPPED 77

/* Exit codes of trouped. */
#define REFUSED 78
#define IN_USE 75

struct fixture {
    struct cluster_lab lab;
    struct cluster_load *load;
    struct cluster_delay *delay;
};

static struct cluster_lab_programs programs;

static int set_up(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    CHECK(*state);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    cluster_load_close(&fixture->load);
    cluster_delay_close(&fixture->delay);
    cluster_lab_close(&fixture->lab);
    free(fixture);
    return 0;
}

static struct cluster_lab *open_lab(struct fixture *fixture,
                                    const struct cluster_lab_plan *plan)
{
    cluster_lab_open(&fixture->lab, &programs, plan);
    return &fixture->lab;
}

/* A cluster that is ready, under load. */
static struct cluster_lab *start_loaded(struct fixture *fixture,
                                        const struct cluster_lab_plan *plan)
{
    struct cluster_lab *lab = open_lab(fixture, plan);
    cluster_lab_start_all(lab);
    fixture->load = cluster_load_open(lab);
    cluster_load_await(fixture->load, LOAD);
    return lab;
}

/* Nothing was lost, nothing counted twice. */
static void pass(struct fixture *fixture, const char *what)
{
    cluster_load_check(fixture->load);
    cluster_load_print(fixture->load, what);
    fixture->lab.has_passed = true;
}

static void print_worst(struct fixture *fixture, const char *what)
{
    print_message("%s: the longest add took %llu ms\n", what,
                  (unsigned long long)cluster_load_worst_ms(fixture->load));
}

/* ---- beginning ---- */

static void three_nodes_are_ready_from_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        open_lab(fixture, &(struct cluster_lab_plan){.node_count = 3});
    uint64_t begun_ms = test_now_ms();
    cluster_lab_start_all(lab);
    print_message("ready from nothing: %llu ms\n",
                  (unsigned long long)(test_now_ms() - begun_ms));
    cluster_lab_await_whole(lab, 1);
    fixture->load = cluster_load_open(lab);
    cluster_load_await(fixture->load, LOAD);
    pass(fixture, "three nodes");
}

/* ---- kill -9 ---- */

static void a_cluster_goes_on_when_its_leader_is_killed(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        start_loaded(fixture, &(struct cluster_lab_plan){.node_count = 3});
    for (int i = 0; i < 2; i++) {
        uint32_t leader = cluster_lab_leader(lab, 0);
        (void)cluster_load_worst_ms(fixture->load);
        cluster_lab_kill(lab, leader);
        cluster_load_await(fixture->load, LOAD);
        print_worst(fixture, "kill -9 of the leader");
        cluster_lab_start(lab, leader);
        cluster_lab_await_whole(lab, leader);
    }
    pass(fixture, "kill -9 of the leader");
}

static void five_nodes_go_on_when_two_are_killed(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab = start_loaded(
        fixture, &(struct cluster_lab_plan){.node_count = 5,
                                            .cluster = "  replication: 5\n"});
    uint32_t leader = cluster_lab_leader(lab, 0);
    uint32_t other = (leader + 1) % 5;
    (void)cluster_load_worst_ms(fixture->load);
    cluster_lab_kill(lab, leader);
    cluster_lab_kill(lab, other);
    cluster_load_await(fixture->load, LOAD);
    print_worst(fixture, "kill -9 of two of five");
    cluster_lab_start(lab, leader);
    cluster_lab_start(lab, other);
    cluster_lab_await_whole(lab, other);
    pass(fixture, "kill -9 of two of five");
}

static void nothing_is_lost_when_the_power_goes_everywhere(void **state)
{
    static const uint32_t order[] = {2, 0, 1};
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        start_loaded(fixture, &(struct cluster_lab_plan){.node_count = 3});
    for (uint32_t i = 0; i < 3; i++) {
        cluster_lab_power_off(lab, i);
    }
    for (uint32_t i = 0; i < 3; i++) {
        cluster_network_heal(&lab->network, order[i]);
        cluster_lab_fork(lab, order[i], NULL);
    }
    for (uint32_t i = 0; i < 3; i++) {
        cluster_lab_await_ready(lab, i);
    }
    cluster_load_await(fixture->load, LOAD);
    cluster_lab_await_whole(lab, 0);
    pass(fixture, "power off and on");
}

/* ---- stopped, cut off ---- */

static void a_leader_that_was_stopped_comes_back_as_a_follower(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        start_loaded(fixture, &(struct cluster_lab_plan){.node_count = 3});
    uint32_t leader = cluster_lab_leader(lab, 0);
    (void)cluster_load_worst_ms(fixture->load);
    cluster_lab_signal(lab, leader, SIGSTOP);
    cluster_load_await(fixture->load, LOAD);
    print_worst(fixture, "SIGSTOP of the leader");
    CHECK(cluster_lab_leader(lab, (leader + 1) % 3) != leader);
    cluster_lab_signal(lab, leader, SIGCONT);
    cluster_lab_await_whole(lab, leader);
    cluster_load_await(fixture->load, LOAD);
    pass(fixture, "SIGSTOP, SIGCONT");
}

static void cut_off(struct cluster_lab *lab, uint32_t node)
{
    for (uint32_t i = 0; i < lab->plan.node_count; i++) {
        if (i != node) {
            cluster_network_cut(&lab->network, node, i);
        }
    }
}

/* A question to one that is cut off, and what its refusal must name once it
 * has noticed that. */
struct refusal {
    const struct cluster_lab *lab;
    uint32_t node;
    const char *verb;
    const char *args;
    const char *words;
    char why[512]; /* of the last one */
};

static bool is_refused(void *context)
{
    struct refusal *refusal = context;
    json_t *answer = NULL;
    enum err err = cluster_lab_ask(refusal->lab, refusal->node, refusal->verb,
                                   refusal->args, &answer);
    const char *why = json_string_value(json_object_get(answer, "why"));
    (void)snprintf(refusal->why, sizeof refusal->why, "%s: %s", err_name(err),
                   why ? why : "");
    json_decref(answer);
    return err == ERR_NO_QUORUM && strstr(refusal->why, refusal->words);
}

static void await_refused(struct refusal *refusal, const char *words)
{
    refusal->words = words;
    if (!test_wait(is_refused, refusal)) {
        fail_msg("%s: `%s` instead of `%s`", refusal->verb, refusal->why,
                 words);
    }
}

static void a_minority_refuses_and_says_who_is_missing(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        start_loaded(fixture, &(struct cluster_lab_plan){.node_count = 3});
    uint32_t leader = cluster_lab_leader(lab, 0);
    uint32_t first = (leader + 1) % 3;
    uint32_t second = (leader + 2) % 3;
    (void)cluster_load_worst_ms(fixture->load);
    cut_off(lab, leader);
    struct refusal refusal = {
        .lab = lab, .node = leader, .verb = "cluster.status"};
    await_refused(&refusal, cluster_lab_name(first));
    await_refused(&refusal, cluster_lab_name(second));
    refusal.verb = "counter.add";
    refusal.args = "{\"id\": \"visitors\", \"value\": 1, \"key\": 7}";
    await_refused(&refusal, "shard");
    CHECK(cluster_lab_leader(lab, first) != leader); /* the others serve */
    cluster_network_heal(&lab->network, leader);
    cluster_lab_await_whole(lab, leader);
    cluster_load_await(fixture->load, LOAD);
    print_worst(fixture, "cut off and healed");
    pass(fixture, "cut off and healed");
}

static void packets_that_are_lost_cost_time_only(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        start_loaded(fixture, &(struct cluster_lab_plan){.node_count = 3});
    for (uint32_t i = 0; i < 3; i++) {
        cluster_network_lose(&lab->network, i, 5);
    }
    cluster_load_await(fixture->load, 4 * LOAD);
    for (uint32_t i = 0; i < 3; i++) {
        cluster_network_heal(&lab->network, i);
    }
    cluster_lab_await_whole(lab, 0);
    pass(fixture, "5 % of packets lost");
}

static void change(struct cluster_lab *lab, const char *verb, const char *args)
{
    json_t *answer = NULL;
    enum err err = cluster_lab_ask(lab, 0, verb, args, &answer);
    if (err) {
        const char *why = json_string_value(json_object_get(answer, "why"));
        fail_msg("%s %s: %s, %s", verb, args, err_name(err), why ? why : "");
    }
    json_decref(answer);
}

/* Of all groups; what grows is an election. */
static json_int_t sum_of_terms(const struct cluster_lab *lab)
{
    json_t *answer = NULL;
    json_t *group;
    size_t i;
    json_int_t sum = 0;
    CHECK_OK(cluster_lab_ask(lab, 0, "coord.ls", NULL, &answer));
    json_array_foreach(json_object_get(answer, "groups"), i, group)
    {
        sum += json_integer_value(json_object_get(group, "term"));
    }
    json_decref(answer);
    return sum;
}

/* One machine's cable becomes slow under load: nothing is lost, and who leads
 * goes on to lead. A busy machine may hold up an election or two of its own, so
 * that a time without any is waited for. */
static void check_slow_cable(struct fixture *fixture,
                             struct cluster_delay_config *config,
                             const char *what)
{
    struct cluster_lab *lab =
        start_loaded(fixture, &(struct cluster_lab_plan){.node_count = 3});
    cluster_lab_await_whole(lab, 0);
    json_int_t at_first = sum_of_terms(lab);
    config->network = &lab->network;
    config->machine = 1;
    config->seed = 1;
    fixture->delay = cluster_delay_open(config);
    json_int_t before;
    json_int_t after = at_first;
    int periods = 0;
    (void)cluster_load_worst_ms(fixture->load);
    do {
        before = after;
        cluster_load_await(fixture->load, LOAD);
        after = sum_of_terms(lab);
        CHECK(++periods < 10);
    } while (after != before);
    CHECK(cluster_load_worst_ms(fixture->load) >=
          config->to.ms_min + config->from.ms_min); /* it is slow */
    print_message("%s: %lld elections in %d periods\n", what,
                  (long long)(after - at_first), periods);
    cluster_lab_await_whole(lab, 0);
    cluster_delay_close(&fixture->delay);
    cluster_load_await(fixture->load, LOAD);
    cluster_lab_await_whole(lab, 1);
    pass(fixture, what);
}

static void packets_that_are_late_cost_time_only(void **state)
{
    check_slow_cable(
        *state,
        &(struct cluster_delay_config){.to = {40, 60}, .from = {40, 60}},
        "50 ms late, each way");
}

static void packets_that_are_later_one_way_cost_time_only(void **state)
{
    check_slow_cable(
        *state,
        &(struct cluster_delay_config){.to = {100, 150}, .from = {0, 5}},
        "125 ms late, one way");
}

/* ---- disks ---- */

struct refusals {
    const struct cluster_load *load;
    enum err err;
    uint64_t wanted;
};

static bool are_enough_refused(void *context)
{
    const struct refusals *refusals = context;
    return cluster_load_count(refusals->load, refusals->err) >=
           refusals->wanted;
}

/* Until clients have heard this error so many times more. */
static void await_refusals(struct fixture *fixture, enum err err)
{
    struct refusals refusals = {.load = fixture->load, .err = err};
    refusals.wanted = cluster_load_count(fixture->load, err) + LOAD;
    cluster_lab_wait(&fixture->lab, are_enough_refused, &refusals,
                     "nothing is refused");
}

static void a_full_disk_refuses_until_there_is_room(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab = start_loaded(
        fixture, &(struct cluster_lab_plan){
                     .node_count = 1, .shards = 4, .small_disk_mib = 400});
    struct cluster_lab_path disk = cluster_lab_data(lab, 0);
    cluster_network_resize(disk.text, 250); /* below the low-water mark */
    await_refusals(fixture, ERR_NO_SPACE);
    cluster_network_resize(disk.text, 400);
    cluster_load_await(fixture->load, LOAD);
    pass(fixture, "full disk");
}

/* The counter `visitors-N` with the least N whose shard this node owns, or does
 * not; its number, and its shard's. */
struct place {
    uint32_t counter;
    uint32_t shard;
};

static struct place place_of(const struct cluster_lab *lab,
                             uint32_t owner,
                             bool is_owned)
{
    for (uint32_t i = 0;; i++) {
        char args[64];
        json_t *answer = NULL;
        (void)snprintf(args, sizeof args,
                       "{\"type\": \"counter\", \"id\": \"visitors-%u\"}", i);
        CHECK_OK(cluster_lab_ask(lab, 0, "shard.locate", args, &answer));
        const char *name = json_string_value(json_object_get(answer, "owner"));
        CHECK(name);
        struct place place = {.counter = i,
                              .shard = (uint32_t)json_integer_value(
                                  json_object_get(answer, "shard"))};
        bool is_found =
            (strcmp(name, cluster_lab_name(owner)) == 0) == is_owned;
        json_decref(answer);
        if (is_found) {
            return place;
        }
    }
}

static enum err add_to(const struct cluster_lab *lab, uint32_t counter)
{
    char args[64];
    json_t *answer = NULL;
    (void)snprintf(args, sizeof args, "{\"id\": \"visitors-%u\", \"value\": 1}",
                   counter);
    enum err err = cluster_lab_ask(lab, 0, "counter.add", args, &answer);
    json_decref(answer);
    return err;
}

static bool is_said_to_be_full(const json_t *status)
{
    char *text = json_dumps(json_object_get(status, "problems"), 0);
    bool is_so = strstr(text, "the disk of beta is nearly full") != NULL;
    free(text);
    return is_so;
}

static void check_move_is_refused(const struct cluster_lab *lab,
                                  uint32_t shard,
                                  const char *words)
{
    char args[64];
    json_t *answer = NULL;
    (void)snprintf(args, sizeof args, "{\"shard\": %u, \"to\": \"beta\"}",
                   shard);
    CHECK_ERR(cluster_lab_ask(lab, 0, "shard.move", args, &answer),
              ERR_REFUSED);
    const char *why = json_string_value(json_object_get(answer, "why"));
    if (!why || !strstr(why, words)) {
        fail_msg("`%s` instead of `%s`", why ? why : "", words);
    }
    json_decref(answer);
}

static void a_full_disk_holds_up_only_what_its_node_leads(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab = start_loaded(
        fixture,
        &(struct cluster_lab_plan){.node_count = 3, .small_disk_mib = 400});
    struct cluster_lab_path disk = cluster_lab_data(lab, 1);
    cluster_lab_await_whole(lab, 0);
    struct place here = place_of(lab, 1, true);
    struct place elsewhere = place_of(lab, 1, false);
    cluster_network_fill(disk.text);
    await_refusals(fixture, ERR_NO_SPACE);
    cluster_lab_await(
        lab, &(struct cluster_lab_question){.verb = "cluster.status",
                                            .is_so = is_said_to_be_full});
    for (int i = 0; i < LOAD; i++) {
        CHECK_OK(add_to(lab, elsewhere.counter));
        CHECK_ERR(add_to(lab, here.counter), ERR_NO_SPACE);
    }
    check_move_is_refused(lab, elsewhere.shard, "nearly full");
    /* Others may lead what it has led. */
    change(lab, "node.set", "{\"name\": \"beta\", \"state\": \"draining\"}");
    cluster_load_await(fixture->load, LOAD);
    CHECK_OK(add_to(lab, here.counter));
    cluster_network_empty(disk.text, 400);
    change(lab, "node.set", "{\"name\": \"beta\", \"state\": \"active\"}");
    cluster_load_await(fixture->load, LOAD);
    cluster_lab_await_whole(lab, 1);
    pass(fixture, "a full disk of one of three");
}

static void a_node_comes_back_with_an_empty_disk(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        start_loaded(fixture, &(struct cluster_lab_plan){.node_count = 3});
    struct cluster_lab_path disk = cluster_lab_data(lab, 1);
    cluster_lab_kill(lab, 1);
    CHECK_OK(posix_folder_remove(disk.text));
    CHECK(mkdir(disk.text, 0700) == 0);
    cluster_load_await(fixture->load, LOAD);
    uint64_t begun_ms = test_now_ms();
    cluster_lab_start(lab, 1);
    cluster_lab_await_whole(lab, 1);
    print_message("whole again with an empty disk: %llu ms\n",
                  (unsigned long long)(test_now_ms() - begun_ms));
    cluster_load_await(fixture->load, LOAD);
    /* It counts: without another one there is a majority still. */
    cluster_lab_kill(lab, 2);
    cluster_load_await(fixture->load, LOAD);
    cluster_lab_start(lab, 2);
    pass(fixture, "an empty disk");
}

/* ---- what is planned ---- */

/* Nobody had to ask again. */
static void check_no_attempt_failed(const struct cluster_load *load)
{
    for (int err = ERR_NONE + 1; err < ERR_COUNT; err++) {
        uint64_t count = cluster_load_count(load, (enum err)err);
        if (count > 0) {
            fail_msg("%llu attempts: %s", (unsigned long long)count,
                     err_name((enum err)err));
        }
    }
}

static void five_nodes_are_restarted_one_after_the_other(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab = start_loaded(
        fixture, &(struct cluster_lab_plan){.node_count = 5, .shards = 32});
    cluster_lab_await_whole(lab, 0);
    for (uint32_t i = 0; i < 5; i++) {
        (void)cluster_load_worst_ms(fixture->load);
        cluster_lab_stop(lab, i);
        cluster_load_await(fixture->load, 1);
        cluster_lab_start(lab, i);
        cluster_lab_await_whole(lab, i);
        print_worst(fixture, cluster_lab_name(i));
    }
    cluster_load_await(fixture->load, LOAD);
    cluster_load_end(fixture->load);
    check_no_attempt_failed(fixture->load);
    pass(fixture, "rolling restart of five");
}

static void await_status(struct cluster_lab *lab,
                         bool (*is_so)(const json_t *answer))
{
    cluster_lab_await(lab, &(struct cluster_lab_question){
                               .verb = "cluster.status", .is_so = is_so});
}

static json_int_t level_of(const json_t *status)
{
    return json_integer_value(json_object_get(status, "feature_level"));
}

static bool is_at_level_1(const json_t *status)
{
    return level_of(status) == 1;
}

static bool is_at_level_2(const json_t *status)
{
    return level_of(status) == 2;
}

/* In order, to this release or to the next one; with one node of the other
 * release the level is the lower one. */
static void change_release(struct fixture *fixture, uint32_t node, bool to_next)
{
    struct cluster_lab *lab = &fixture->lab;
    cluster_lab_stop(lab, node);
    lab->other[node] = to_next ? "trouped_next" : NULL;
    cluster_load_await(fixture->load, 1);
    cluster_lab_start(lab, node);
    cluster_lab_await_whole(lab, node);
    cluster_load_await(fixture->load, 2 * LOAD);
}

static void check_level_1(struct cluster_lab *lab)
{
    json_t *answer = NULL;
    CHECK_OK(cluster_lab_ask(lab, 0, "cluster.status", NULL, &answer));
    CHECK(is_at_level_1(answer));
    json_decref(answer);
}

static void nodes_are_upgraded_one_after_the_other_and_one_back_again(
    void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        start_loaded(fixture, &(struct cluster_lab_plan){.node_count = 3});
    cluster_lab_await_whole(lab, 0);
    change_release(fixture, 0, true);
    change_release(fixture, 1, true);
    change_release(fixture, 0, false);
    change_release(fixture, 0, true);
    /* Whoever leads, of either release. */
    change(lab, "shard.pause", "{}");
    change(lab, "shard.resume", "{}");
    check_level_1(lab);
    change_release(fixture, 2, true);
    await_status(lab, is_at_level_2);
    cluster_load_await(fixture->load, LOAD);
    cluster_load_end(fixture->load);
    check_no_attempt_failed(fixture->load);
    /* Back again is too late now. */
    cluster_lab_stop(lab, 2);
    lab->other[2] = NULL;
    cluster_lab_fork(lab, 2, NULL);
    cluster_lab_check_end(lab, 2, REFUSED, "at feature level 2");
    lab->other[2] = "trouped_next";
    cluster_lab_start(lab, 2);
    pass(fixture, "two releases");
}

static bool is_drained(const json_t *answer)
{
    return json_integer_value(json_object_get(answer, "owners_left")) == 0 &&
           json_integer_value(json_object_get(answer, "replicas_left")) == 0 &&
           json_is_false(json_object_get(answer, "voter"));
}

static bool has_four(const json_t *answer)
{
    return json_integer_value(json_object_get(
               json_object_get(answer, "members"), "total")) == 4;
}

static bool has_three(const json_t *answer)
{
    return json_integer_value(json_object_get(
               json_object_get(answer, "members"), "total")) == 3;
}

static void a_node_joins_and_another_leaves_for_good(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        start_loaded(fixture, &(struct cluster_lab_plan){.node_count = 3,
                                                         .machine_count = 4});
    uint64_t begun_ms = test_now_ms();
    cluster_lab_add_node(lab, 3);
    cluster_lab_fork(lab, 3, "--join");
    cluster_lab_await_ready(lab, 3);
    await_status(lab, has_four);
    cluster_lab_await_whole(lab, 3);
    print_message("from 3 to 4 nodes: %llu ms\n",
                  (unsigned long long)(test_now_ms() - begun_ms));
    print_worst(fixture, "join");
    begun_ms = test_now_ms();
    change(lab, "node.set", "{\"name\": \"beta\", \"state\": \"draining\"}");
    cluster_lab_await(
        lab, &(struct cluster_lab_question){.verb = "node.progress",
                                            .args = "{\"name\": \"beta\"}",
                                            .is_so = is_drained});
    print_message("drained: %llu ms\n",
                  (unsigned long long)(test_now_ms() - begun_ms));
    print_worst(fixture, "drain");
    cluster_lab_stop(lab, 1);
    /* Once it is noticed that it is down. */
    cluster_lab_await(
        lab, &(struct cluster_lab_question){.verb = "member.forget",
                                            .args = "{\"name\": \"beta\"}"});
    await_status(lab, has_three);
    cluster_lab_await_whole(lab, 0);
    cluster_load_await(fixture->load, LOAD);
    print_worst(fixture, "stop, forget");
    pass(fixture, "join, drain, forget");
}

/* The exit code of a command of the operator's. */
static int operate(const struct cluster_lab *lab, const char *line)
{
    int code =
        cluster_lab_troupe(lab, "%s --config lab/operator/cluster.yaml", line);
    print_message("troupe %s: %d\n", line, code);
    return code;
}

static bool is_plan_made(const json_t *answer)
{
    const json_t *op;
    size_t i;
    json_array_foreach(json_object_get(answer, "ops"), i, op)
    {
        const char *kind = json_string_value(json_object_get(op, "kind"));
        if (kind && strcmp(kind, "rebalance") == 0) {
            return true;
        }
    }
    return false;
}

/* What `delta` gets when it is to hold shards again, it cannot take while it
 * is away: so there is time to wait for it in vain, and to call it off. */
static void what_takes_long_is_waited_for_and_called_off(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        start_loaded(fixture, &(struct cluster_lab_plan){.node_count = 4});
    CHECK(operate(lab, "node wait delta --deadline 60s") == 0);
    CHECK(operate(lab, "node drain delta --yes --detach") == 0);
    CHECK(operate(lab, "op wait drain-delta --deadline 60s") == 0);
    CHECK(operate(lab, "node wait delta --state drained") == 0);
    cluster_lab_kill(lab, 3);
    CHECK(operate(lab, "node wait delta --state away --deadline 60s") == 0);
    CHECK(operate(lab, "node uncordon delta") == 0);
    CHECK(operate(lab, "op wait drain-delta") == 8);
    cluster_lab_await(lab, &(struct cluster_lab_question){
                               .verb = "op.ls", .is_so = is_plan_made});
    CHECK(operate(lab, "op wait rebalance-1 --deadline 1s") == 5);
    CHECK(operate(lab, "op cancel rebalance-1 --yes") == 0);
    CHECK(operate(lab, "op wait rebalance-1") == 8);
    cluster_lab_start(lab, 3);
    CHECK(operate(lab, "shard rebalance --yes --wait --deadline 60s") == 0);
    CHECK(operate(lab, "op cancel rebalance-1 --yes") == 7);
    CHECK(operate(lab, "op wait rebalance-99999") == 2);
    cluster_lab_await_whole(lab, 0);
    cluster_load_await(fixture->load, LOAD);
    pass(fixture, "drain, rebalance, cancel");
}

static bool names(const json_t *list, const char *name)
{
    const json_t *item;
    size_t i;
    json_array_foreach(list, i, item)
    {
        if (strcmp(json_string_value(item), name) == 0) {
            return true;
        }
    }
    return false;
}

/* The first shard that has no replica on `node`. */
static int shard_without(const struct cluster_lab *lab, const char *node)
{
    int number = -1;
    size_t i;
    const json_t *shard;
    json_t *answer = NULL;
    CHECK_OK(cluster_lab_ask(lab, 0, "shard.map", NULL, &answer));
    json_array_foreach(json_object_get(answer, "shards"), i, shard)
    {
        if (number < 0 && !names(json_object_get(shard, "wanted"), node)) {
            number = (int)json_integer_value(json_object_get(shard, "shard"));
        }
    }
    json_decref(answer);
    CHECK(number >= 0);
    return number;
}

static void a_move_to_a_node_that_stands_still_goes_back(void **state)
{
    char line[128];
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        start_loaded(fixture, &(struct cluster_lab_plan){.node_count = 4});
    cluster_lab_await_whole(lab, 0);
    int shard = shard_without(lab, "delta");
    CHECK(operate(lab, "shard pause") == 0);
    cluster_lab_signal(lab, 3, SIGSTOP);
    CHECK(operate(lab, "node wait delta --state away --deadline 60s") == 0);
    (void)snprintf(line, sizeof line, "shard move %d --to delta --yes", shard);
    CHECK(operate(lab, line) == 7);
    (void)snprintf(line, sizeof line,
                   "shard move %d --to delta --yes --force --wait "
                   "--deadline 1s",
                   shard);
    CHECK(operate(lab, line) == 5);
    (void)snprintf(line, sizeof line, "shard cancel %d --yes", shard);
    CHECK(operate(lab, line) == 0);
    (void)snprintf(line, sizeof line, "op wait move-%d --deadline 60s", shard);
    CHECK(operate(lab, line) == 0);
    cluster_lab_signal(lab, 3, SIGCONT);
    CHECK(operate(lab, "shard resume") == 0);
    cluster_lab_await_whole(lab, 0);
    CHECK(shard_without(lab, "delta") == shard);
    cluster_load_await(fixture->load, LOAD);
    pass(fixture, "a move is called off");
}

/* ---- backups ---- */

#define COUNTERS 40

/* A counter of its own on many shards; the same through any node. */
static void add_counters(const struct cluster_lab *lab)
{
    for (uint32_t i = 0; i < COUNTERS; i++) {
        char args[64];
        json_t *answer = NULL;
        (void)snprintf(args, sizeof args,
                       "{\"id\": \"c%u\", \"value\": %u, \"key\": \"c%u\"}", i,
                       7 * i + 1, i);
        CHECK_OK(cluster_lab_ask(lab, i % lab->plan.node_count, "counter.add",
                                 args, &answer));
        json_decref(answer);
    }
}

/* How many hold what add_counters() gave them. */
static uint32_t count_right(const struct cluster_lab *lab)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < COUNTERS; i++) {
        char args[64];
        json_t *answer = NULL;
        (void)snprintf(args, sizeof args, "{\"id\": \"c%u\"}", i);
        CHECK_OK(cluster_lab_ask(lab, i % lab->plan.node_count, "counter.get",
                                 args, &answer));
        count +=
            json_integer_value(json_object_get(answer, "value")) == 7 * i + 1;
        json_decref(answer);
    }
    return count;
}

/* `troupe backup VERB FOLDER/NAME FLAGS`; its exit code. */
static int back_up(const struct cluster_lab *lab,
                   const char *verb,
                   const struct temp_folder *folder,
                   const char *rest)
{
    char line[512];
    (void)snprintf(line, sizeof line, "backup %s %s/%s", verb, folder->path,
                   rest);
    return operate(lab, line);
}

static int verify(const struct cluster_lab *lab,
                  const struct temp_folder *folder,
                  const char *name)
{
    return cluster_lab_troupe(lab, "backup verify %s/%s", folder->path, name);
}

static bool never(void *context)
{
    (void)context;
    return false;
}

/* While a node stands still, of which it wants what that leads: it is killed
 * when the backup waits for it. */
static void back_up_through_a_kill(struct cluster_lab *lab,
                                   const struct temp_folder *folder)
{
    int status = 0;
    uint32_t victim = (cluster_lab_leader(lab, 0) + 1) % 3;
    cluster_lab_signal(lab, victim, SIGSTOP);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        _exit(back_up(lab, "create", folder, "killed --timeout 3s"));
    }
    (void)test_wait_ms(never, NULL, 500);
    CHECK(waitpid(child, &status, WNOHANG) == 0); /* it waits */
    cluster_lab_kill(lab, victim);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(verify(lab, folder, "killed") == 0);
    cluster_lab_start(lab, victim);
    cluster_lab_await_whole(lab, victim);
}

static void flip_byte(const struct cluster_lab_path *path, long at)
{
    FILE *file = fopen(path->text, "r+");
    CHECK(file && fseek(file, at, SEEK_SET) == 0);
    int byte = fgetc(file);
    CHECK(byte != EOF && fseek(file, at, SEEK_SET) == 0);
    CHECK(fputc(byte ^ 1, file) != EOF && fclose(file) == 0);
}

static void check_damaged(const struct cluster_lab *lab,
                          const struct temp_folder *folder)
{
    struct cluster_lab_path path;
    (void)snprintf(path.text, sizeof path.text, "%s/quiet/shard-0003",
                   folder->path);
    flip_byte(&path, 50);
    CHECK(verify(lab, folder, "quiet") == 1);
    CHECK(back_up(lab, "restore", folder, "quiet --yes") == 7);
    flip_byte(&path, 50);
    CHECK(verify(lab, folder, "quiet") == 0);
}

static void check_backups(struct fixture *fixture,
                          const struct temp_folder *folder)
{
    struct cluster_lab *lab =
        start_loaded(fixture, &(struct cluster_lab_plan){.node_count = 3});
    back_up_through_a_kill(lab, folder);
    cluster_load_await(fixture->load, LOAD);
    cluster_load_end(fixture->load);
    add_counters(lab);
    CHECK(back_up(lab, "create", folder, "quiet") == 0);
    CHECK(back_up(lab, "create", folder, "quiet") == 7);
    check_damaged(lab, folder);
    /* Back again: not what an older one has, nor what has come since. */
    CHECK(back_up(lab, "restore", folder, "killed --yes") == 0);
    CHECK(count_right(lab) == 0);
    CHECK(back_up(lab, "restore", folder, "quiet --yes") == 0);
    CHECK(count_right(lab) == COUNTERS);
    add_counters(lab); /* their keys are known */
    CHECK(count_right(lab) == COUNTERS);
    pass(fixture, "backup, restore");
    cluster_load_close(&fixture->load);
    cluster_lab_close(lab);
    lab = open_lab(fixture, &(struct cluster_lab_plan){.node_count = 3});
    cluster_lab_start_all(lab);
    cluster_lab_await_whole(lab, 0);
    CHECK(count_right(lab) == 0);
    CHECK(back_up(lab, "restore", folder, "quiet --yes") == 0);
    CHECK(count_right(lab) == COUNTERS);
    cluster_lab_kill(lab, 0);
    cluster_lab_start(lab, 0); /* from its log */
    cluster_lab_await_whole(lab, 0);
    CHECK(count_right(lab) == COUNTERS);
    lab->has_passed = true;
}

static void a_backup_outlives_its_cluster(void **state)
{
    struct temp_folder folder;
    temp_folder_init(&folder);
    check_backups(*state, &folder);
    temp_folder_clear(&folder);
}

static bool has_lost_shards(const json_t *answer)
{
    const json_t *shard;
    size_t i;
    uint32_t lost_count = 0;
    uint32_t served_count = 0;
    json_array_foreach(json_object_get(answer, "shards"), i, shard)
    {
        const char *state = json_string_value(json_object_get(shard, "state"));
        lost_count += strcmp(state, "no_leader") == 0;
        served_count += strcmp(state, "serving") == 0;
    }
    return lost_count > 0 && lost_count + served_count == 16;
}

/* Group by group, as nodes say when they refuse them. */
static void restore_lost_groups(const struct cluster_lab *lab,
                                const struct temp_folder *folder)
{
    const json_t *shard;
    size_t i;
    json_t *map = NULL;
    CHECK_OK(cluster_lab_ask(lab, 0, "shard.map", NULL, &map));
    CHECK(has_lost_shards(map));
    json_array_foreach(json_object_get(map, "shards"), i, shard)
    {
        char rest[64];
        const char *state = json_string_value(json_object_get(shard, "state"));
        (void)snprintf(rest, sizeof rest, "all --group %zu --yes", i + 1);
        if (strcmp(state, "no_leader") == 0) {
            CHECK(back_up(lab, "restore", folder, rest) == 0);
        }
    }
    json_decref(map);
}

static void check_lost_groups(struct fixture *fixture,
                              const struct temp_folder *folder)
{
    struct cluster_lab *lab = open_lab(
        fixture, &(struct cluster_lab_plan){.node_count = 3,
                                            .cluster = "  replication: 1\n"});
    cluster_lab_start_all(lab);
    cluster_lab_await_whole(lab, 0);
    add_counters(lab);
    CHECK(back_up(lab, "create", folder, "all") == 0);
    cluster_lab_stop(lab, 1);
    struct cluster_lab_path disk = cluster_lab_data(lab, 1);
    CHECK_OK(posix_folder_remove(disk.text));
    CHECK(mkdir(disk.text, 0700) == 0);
    cluster_lab_fork(lab, 1, NULL);
    cluster_lab_await(lab, &(struct cluster_lab_question){
                               .verb = "shard.map", .is_so = has_lost_shards});
    restore_lost_groups(lab, folder);
    cluster_lab_await_whole(lab, 0);
    CHECK(count_right(lab) == COUNTERS);
    lab->has_passed = true;
}

static void groups_without_any_replica_begin_anew_from_a_backup(void **state)
{
    struct temp_folder folder;
    temp_folder_init(&folder);
    check_lost_groups(*state, &folder);
    temp_folder_clear(&folder);
}

static void a_node_joins_by_a_seed_alone(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        start_loaded(fixture, &(struct cluster_lab_plan){.node_count = 3,
                                                         .machine_count = 4});
    cluster_lab_add_seeded(lab, 3, 1);
    cluster_lab_fork(lab, 3, NULL); /* it does not found one of its own */
    cluster_lab_await_ready(lab, 3);
    CHECK(cluster_lab_has_said(lab, 3, "seed.found"));
    await_status(lab, has_four);
    cluster_lab_await_whole(lab, 3);
    cluster_load_await(fixture->load, LOAD);
    pass(fixture, "join by a seed");
}

static bool has_new_election(const json_t *shown)
{
    const json_t *settings = json_object_get(shown, "settings");
    const char *value = json_string_value(
        json_object_get(settings, "cluster.timeouts.election"));
    return value && strcmp(value, "900ms") == 0;
}

/* The file of beta is changed and applied, that of gamma stays as it was. */
static void settings_are_changed_node_by_node(void **state)
{
    static const char apply[] =
        "config apply lab/beta/cluster.yaml --yes --config "
        "lab/operator/cluster.yaml";
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        start_loaded(fixture, &(struct cluster_lab_plan){.node_count = 3});
    cluster_lab_edit(lab, 1, "\ncluster:\n",
                     "\ncluster:\n  timeouts: {election: 900ms}\n");
    CHECK(cluster_lab_troupe(lab, "config diff lab/beta/cluster.yaml --config "
                                  "lab/operator/cluster.yaml") == 1);
    CHECK(cluster_lab_troupe(lab, "%s", apply) == 0);
    cluster_lab_await_said(lab, 2, "settings.wait");
    for (uint32_t node = 1; node < 3; node++) {
        cluster_lab_stop(lab, node);
        cluster_lab_start(lab, node);
        cluster_lab_await_whole(lab, node);
        cluster_load_await(fixture->load, LOAD);
    }
    CHECK(!cluster_lab_has_said(lab, 1, "settings."));
    CHECK(cluster_lab_has_said(lab, 2,
                               "settings.outdated "
                               "key=cluster.timeouts.election file=500ms "
                               "cluster=900ms"));
    CHECK(!cluster_lab_has_said(lab, 2, "settings.wait"));
    cluster_lab_await(
        lab, &(struct cluster_lab_question){
                 .node = 2, .verb = "config.show", .is_so = has_new_election});
    CHECK(cluster_lab_troupe(lab, "%s", apply) == 0); /* nothing to do */
    pass(fixture, "other settings");
}

/* ---- a majority is gone for good ---- */

static void add_to_each(const struct cluster_lab *lab)
{
    for (int i = 0; i < COUNTERS; i++) {
        char args[64];
        (void)snprintf(args, sizeof args,
                       "{\"id\": \"c%d\", \"value\": %d, \"key\": \"k%d\"}", i,
                       i + 1, i);
        cluster_lab_await(lab, &(struct cluster_lab_question){
                                   .verb = "counter.add", .args = args});
    }
}

/* How many have kept what was added; the others are as new. */
static int count_kept(const struct cluster_lab *lab, uint32_t node)
{
    int kept = 0;
    for (int i = 0; i < COUNTERS; i++) {
        char args[32];
        json_t *answer = NULL;
        (void)snprintf(args, sizeof args, "{\"id\": \"c%d\"}", i);
        CHECK_OK(cluster_lab_ask(lab, node, "counter.get", args, &answer));
        json_int_t value = json_integer_value(json_object_get(answer, "value"));
        json_decref(answer);
        CHECK(value == 0 || value == i + 1);
        kept += value != 0;
    }
    return kept;
}

/* All replicas have all. */
static bool is_level(const json_t *answer)
{
    size_t i = 0;
    size_t k = 0;
    const json_t *shard = NULL;
    const json_t *replica = NULL;
    bool is_so = true;
    json_array_foreach(json_object_get(answer, "shards"), i, shard)
    {
        json_array_foreach(json_object_get(shard, "replicas"), k, replica)
        {
            const json_t *lag = json_object_get(replica, "lag");
            is_so =
                is_so && json_is_integer(lag) && json_integer_value(lag) == 0;
        }
    }
    return is_so && i > 0;
}

static void await_level(const struct cluster_lab *lab)
{
    cluster_lab_await(lab, &(struct cluster_lab_question){.verb = "shard.map",
                                                          .is_so = is_level});
}

static void destroy_disk(struct cluster_lab *lab, uint32_t node)
{
    struct cluster_lab_path disk = cluster_lab_data(lab, node);
    cluster_lab_kill(lab, node);
    CHECK_OK(posix_folder_remove(disk.text));
    CHECK(mkdir(disk.text, 0700) == 0);
}

static void one_survivor_of_three_takes_over_all(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        open_lab(fixture, &(struct cluster_lab_plan){.node_count = 3});
    cluster_lab_start_all(lab);
    add_to_each(lab);
    await_level(lab);
    destroy_disk(lab, 1);
    destroy_disk(lab, 2);
    uint64_t begun_ms = test_now_ms();
    struct refusal refusal = {
        .lab = lab, .verb = "cluster.status", .words = "nothing of"};
    CHECK(test_wait(is_refused, &refusal));
    CHECK(operate(lab, "cluster recover --yes") == 4); /* and says what to do */
    cluster_lab_kill(lab, 0);
    cluster_lab_fork(lab, 0, "--recover-meta");
    cluster_lab_await(lab,
                      &(struct cluster_lab_question){.verb = "cluster.status"});
    CHECK(operate(lab, "cluster recover --dry-run") == 0);
    CHECK(operate(lab, "cluster recover --lost beta --yes") == 7);
    CHECK(operate(lab, "cluster recover --lost beta --lost gamma --yes") == 0);
    print_message("recovered: %llu ms\n",
                  (unsigned long long)(test_now_ms() - begun_ms));
    CHECK(count_kept(lab, 0) == COUNTERS);
    CHECK(operate(lab, "cluster recover --yes") == 0); /* nothing is left */
    cluster_lab_stop(lab, 0);
    cluster_lab_start(lab, 0);
    cluster_lab_start(lab, 1);
    cluster_lab_start(lab, 2);
    cluster_lab_await_whole(lab, 1);
    CHECK(count_kept(lab, 2) == COUNTERS);
    lab->has_passed = true;
}

/* It is asked for by mistake: a majority is there. */
static void the_meta_group_is_not_taken_over_from_a_majority(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        open_lab(fixture, &(struct cluster_lab_plan){.node_count = 3});
    cluster_lab_start_all(lab);
    cluster_lab_await_whole(lab, 0);
    CHECK(operate(lab, "cluster recover --yes") == 0);
    cluster_lab_stop(lab, 0);
    cluster_lab_fork(lab, 0, "--recover-meta");
    cluster_lab_check_end(lab, 0, REFUSED, "nothing was changed");
    cluster_lab_start(lab, 0);
    cluster_lab_await_whole(lab, 0);
    lab->has_passed = true;
}

static bool hears_two(const json_t *answer)
{
    const json_t *members = json_object_get(answer, "members");
    return json_integer_value(json_object_get(members, "heard")) == 2;
}

static void shards_that_nobody_has_begin_empty_when_told_so(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab = open_lab(
        fixture, &(struct cluster_lab_plan){.node_count = 3,
                                            .cluster = "  replication: 1\n"});
    cluster_lab_start_all(lab);
    cluster_lab_await_whole(lab, 0);
    add_to_each(lab);
    destroy_disk(lab, 1);
    await_status(lab, hears_two);
    CHECK(operate(lab, "cluster recover --yes") == 8);
    CHECK(operate(lab, "cluster recover --empty --yes") == 0);
    int kept = count_kept(lab, 0);
    CHECK(kept > 0 && kept < COUNTERS);
    CHECK(operate(lab, "counter add fresh 5") == 0);
    CHECK(count_kept(lab, 2) == kept);
    cluster_lab_start(lab, 1); /* with an empty disk, in its own place */
    cluster_lab_await_whole(lab, 1);
    CHECK(count_kept(lab, 1) == kept);
    lab->has_passed = true;
}

/* ---- a bundle ---- */

/* What bytes look like in base64 wherever they stand, but for their ends. */
static void check_lacks_base64(struct bytes content, const uint8_t *secret)
{
    for (size_t skip = 0; skip < 3; skip++) {
        char text[sodium_base64_ENCODED_LEN(CERTIFICATE_KEY_BYTES,
                                            sodium_base64_VARIANT_ORIGINAL)];
        size_t length = (CERTIFICATE_KEY_BYTES - skip) / 3 * 3;
        (void)sodium_bin2base64(text, sizeof text, secret + skip, length,
                                sodium_base64_VARIANT_ORIGINAL);
        CHECK(!memmem(content.data, content.length, text, strlen(text)));
    }
}

/* As bytes, as digits, as base64: whole, or half of it. */
static void check_lacks_secret(struct bytes content,
                               const struct cluster_lab *lab,
                               const char *folder,
                               const char *name)
{
    const struct identity *identity = NULL;
    char hex[2 * CERTIFICATE_KEY_BYTES + 1];
    struct cluster_lab_path path = cluster_lab_path(lab, "lab/%s", folder);
    CHECK_OK(identity_open(&identity, posix_files(), path.text, name, NULL));
    const uint8_t *secret = identity->secret;
    CHECK(!memmem(content.data, content.length, secret,
                  CERTIFICATE_KEY_BYTES / 2));
    hex_encode(hex, bytes_of(secret, CERTIFICATE_KEY_BYTES));
    CHECK(!memmem(content.data, content.length, hex, CERTIFICATE_KEY_BYTES));
    check_lacks_base64(content, secret);
    identity_unref(&identity);
}

static void check_has_no_keys(const struct cluster_lab *lab, const char *file)
{
    uint8_t *data = NULL;
    size_t length = 0;
    struct cluster_lab_path path = cluster_lab_path(lab, "%s", file);
    CHECK_OK(posix_files()->read(NULL, path.text, FILE_PUBLIC, 1 << 26, &data,
                                 &length));
    struct bytes content = bytes_of(data, length);
    CHECK(memmem(data, length, "troupe.bundle", 13));
    CHECK(!memmem(data, length, "PRIVATE", 7));
    for (uint32_t i = 0; i < 3; i++) {
        check_lacks_secret(content, lab, cluster_lab_name(i),
                           cluster_lab_name(i));
    }
    check_lacks_secret(content, lab, "operator", "operator");
    free(data);
}

static void check_metrics(const struct cluster_lab *lab, uint32_t node)
{
    char line[1024];
    uint8_t *data = NULL;
    size_t length = 0;
    struct cluster_lab_path path = cluster_lab_path(
        lab, "some/nodes/%s/metrics.txt", cluster_lab_name(node));
    CHECK_OK(posix_files()->read(NULL, path.text, FILE_PUBLIC, 1 << 24, &data,
                                 &length));
    const char *wrong = metrics_format_check((const char *)data, line);
    if (wrong) {
        print_error("metrics: %s: %s\n", wrong, line);
    }
    CHECK(length > 1000 && !wrong);
    free(data);
}

static bool are_equal(const struct cluster_lab *lab,
                      const char *left,
                      const char *right)
{
    const char *const names[] = {left, right};
    uint8_t *data[2] = {0};
    size_t lengths[2];
    for (int i = 0; i < 2; i++) {
        struct cluster_lab_path path = cluster_lab_path(lab, "%s", names[i]);
        CHECK_OK(posix_files()->read(NULL, path.text, FILE_PUBLIC, 1 << 20,
                                     &data[i], &lengths[i]));
    }
    bool is_equal = bytes_are_equal(bytes_of(data[0], lengths[0]),
                                    bytes_of(data[1], lengths[1]));
    free(data[0]);
    free(data[1]);
    return is_equal && lengths[0] > 0;
}

/* One is away, and the others have taken over all that it led. */
static bool lacks_one_node(const json_t *answer)
{
    const json_t *members = json_object_get(answer, "members");
    const json_t *shards = json_object_get(answer, "shards");
    return json_integer_value(json_object_get(members, "heard")) == 2 &&
           json_integer_value(json_object_get(shards, "unled")) == 0 &&
           json_integer_value(json_object_get(shards, "led")) == 16;
}

static void a_bundle_outlives_its_cluster(void **state)
{
    static const char live[] = "--config lab/operator/cluster.yaml";
    static const char *const looks[] = {
        "cluster status",  "cluster members", "node ls",
        "node show gamma", "shard map",       "coord ls",
        "events",          "cluster links",   "shard locate order/1",
        "op ls",           "shard history"};
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        open_lab(fixture, &(struct cluster_lab_plan){.node_count = 3});
    cluster_lab_start_all(lab);
    cluster_lab_await_whole(lab, 1);
    cluster_lab_kill(lab, 2);
    await_status(lab, lacks_one_node);
    CHECK(cluster_lab_troupe(lab, "debug bundle some.tar %s", live) == 8);
    CHECK(cluster_lab_troupe(lab, "debug bundle some %s", live) == 8);
    CHECK(cluster_lab_troupe(lab, "shard plan --add delta %s >plan", live) ==
          1);
    CHECK(cluster_lab_troupe(lab, "shard locate a/b %s >place", live) == 0);
    cluster_lab_kill(lab, 0);
    cluster_lab_kill(lab, 1);
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        CHECK(cluster_lab_troupe(lab, "--bundle some.tar %s", looks[i]) == 0);
        CHECK(cluster_lab_troupe(lab, "%s --bundle some", looks[i]) == 0);
    }
    CHECK(cluster_lab_troupe(
              lab, "shard plan --add delta --bundle some.tar >plan-kept") == 1);
    CHECK(cluster_lab_troupe(
              lab, "shard locate a/b --bundle some.tar >place-kept") == 0);
    CHECK(are_equal(lab, "plan", "plan-kept"));
    CHECK(are_equal(lab, "place", "place-kept"));
    CHECK(cluster_lab_troupe(lab, "doctor --bundle some.tar") == 1);
    CHECK(cluster_lab_troupe(lab, "check cluster --bundle some.tar") == 2);
    CHECK(cluster_lab_troupe(lab, "cluster links --node gamma "
                                  "--bundle some.tar") == 3);
    CHECK(cluster_lab_troupe(lab, "shard pause --bundle some.tar") == 7);
    check_has_no_keys(lab, "some.tar");
    check_metrics(lab, 0);
    check_metrics(lab, 1);
    lab->has_passed = true;
}

/* ---- what is not right ---- */

static void a_bad_start_says_why_and_how_it_ended(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        open_lab(fixture, &(struct cluster_lab_plan){.node_count = 1,
                                                     .machine_count = 2});
    cluster_lab_edit(lab, 0, "  shards: 16\n", "  shards: 17\n");
    cluster_lab_fork(lab, 0, NULL);
    cluster_lab_check_end(lab, 0, REFUSED, "cluster.shards");
    cluster_lab_edit(lab, 0, "  shards: 17\n", "  shards: 16\n");
    /* A file where its folder should be. */
    cluster_lab_edit(lab, 0, "disk-alpha", "alpha/cluster.yaml");
    cluster_lab_fork(lab, 0, NULL);
    cluster_lab_check_end(lab, 0, REFUSED, "or is a file");
    cluster_lab_edit(lab, 0, "alpha/cluster.yaml", "disk-alpha");
    cluster_lab_start(lab, 0);
    /* The same node once more: here, and on another machine with the same
     * folder. */
    pid_t first = lab->processes[0];
    lab->processes[0] = 0;
    cluster_lab_fork(lab, 0, NULL);
    cluster_lab_check_end(lab, 0, IN_USE, "address is in use");
    lab->processes[0] = first;
    cluster_lab_add_double(lab, 1, 0);
    cluster_lab_edit(lab, 1, "disk-beta", "disk-alpha");
    cluster_lab_fork(lab, 1, NULL);
    cluster_lab_check_end(lab, 1, IN_USE, "in use by a running process");
    lab->has_passed = true;
}

/* What was promised under this name must not be forgotten. */
static void a_log_that_is_gone_is_not_taken_for_a_new_one(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        open_lab(fixture, &(struct cluster_lab_plan){.node_count = 1});
    cluster_lab_start(lab, 0);
    cluster_lab_await_whole(lab, 0);
    cluster_lab_kill(lab, 0);
    struct cluster_lab_path disk = cluster_lab_data(lab, 0);
    char log[PATH_MAX];
    (void)snprintf(log, sizeof log, "%s/alpha/log", disk.text);
    CHECK_OK(posix_folder_remove(log));
    CHECK(mkdir(log, 0700) == 0);
    cluster_lab_fork(lab, 0, NULL);
    cluster_lab_check_end(lab, 0, REFUSED, "no segment of the log");
    lab->has_passed = true;
}

static void an_expired_certificate_is_refused_at_the_start(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        open_lab(fixture, &(struct cluster_lab_plan){.node_count = 1,
                                                     .is_expired = true});
    cluster_lab_fork(lab, 0, NULL);
    cluster_lab_check_end(lab, 0, REFUSED, "expired");
    lab->has_passed = true;
}

/* A node that is refused goes on asking, and says why. */
static void another_cluster_s_node_is_not_let_in(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        start_loaded(fixture, &(struct cluster_lab_plan){.node_count = 3,
                                                         .machine_count = 4});
    cluster_lab_add_stranger(lab, 3);
    cluster_lab_fork(lab, 3, "--join");
    cluster_lab_await_said(lab, 3, "another cluster");
    struct err_detail why = {{0}};
    struct cluster_lab_caller caller = {.name = "operator", .is_alone = true};
    CHECK_ERR(cluster_lab_connect_forged(lab, &caller, &why), ERR_FORGED);
    await_status(lab, has_three);
    cluster_load_await(fixture->load, LOAD);
    pass(fixture, "a stranger");
}

static void a_node_with_other_settings_is_told_which(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        start_loaded(fixture, &(struct cluster_lab_plan){.node_count = 3,
                                                         .machine_count = 4});
    cluster_lab_add_node(lab, 3);
    cluster_lab_edit(lab, 3, "  shards: 16\n", "  shards: 32\n");
    cluster_lab_fork(lab, 3, "--join");
    cluster_lab_await_said(lab, 3, "cluster.shards");
    await_status(lab, has_three);
    cluster_lab_kill(lab, 3);
    cluster_lab_edit(lab, 3, "  shards: 32\n", "  shards: 16\n");
    cluster_lab_fork(lab, 3, "--join");
    cluster_lab_await_ready(lab, 3);
    pass(fixture, "other settings");
}

static void a_revoked_node_is_cut_off_everywhere_and_stays_out(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        start_loaded(fixture, &(struct cluster_lab_plan){.node_count = 3});
    cluster_lab_await_whole(lab, 0);
    CHECK(cluster_lab_troupe(lab, "version && cp lab/gamma/trust old") == 0);
    CHECK(cluster_lab_troupe(lab, "key revoke gamma --authority "
                                  "lab/authority --yes") == 0);
    cluster_lab_copy_trust(lab, 1); /* to one node only */
    cluster_lab_signal(lab, 1, SIGHUP);
    cluster_lab_await_said(lab, 1, "link.cut peer=gamma");
    cluster_lab_await_said(lab, 0, "link.cut peer=gamma");
    cluster_load_await(fixture->load, LOAD);
    cluster_lab_kill(lab, 2);
    /* It has heard of it itself; and when it forgets that, the others do not.
     */
    cluster_lab_fork(lab, 2, NULL);
    cluster_lab_check_end(lab, 2, REFUSED, "certificate is revoked");
    CHECK(cluster_lab_troupe(lab, "version && cp old lab/gamma/trust") == 0);
    cluster_lab_fork(lab, 2, NULL);
    cluster_lab_await_said(lab, 2, "ERR_REVOKED");
    cluster_lab_await_said(lab, 0, "door.refused peer=gamma");
    cluster_load_await(fixture->load, LOAD);
    CHECK(cluster_lab_has_said(lab, 0, "ERR_REVOKED"));
    CHECK(!cluster_lab_has_said(lab, 2, "node.ready"));
    CHECK(!cluster_lab_has_said(lab, 2, "link.up"));
    pass(fixture, "a revoked node");
}

/* It is not seen by the node itself, whose clock is behind by less than clocks
 * may be. */
static void an_expired_certificate_is_refused_at_the_door(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        start_loaded(fixture, &(struct cluster_lab_plan){.node_count = 3,
                                                         .machine_count = 4});
    cluster_lab_add_expired_node(lab, 3, 7 * 60);
    lab->other[3] = "trouped_late";
    lab->clock_behind_s[3] = 4 * 60;
    cluster_lab_fork(lab, 3, "--join");
    cluster_lab_await_said(lab, 3, "certificate has expired");
    cluster_lab_await_said(lab, 0, "door.refused peer=delta err=ERR_EXPIRED");
    await_status(lab, has_three);
    cluster_load_await(fixture->load, LOAD);
    pass(fixture, "expired");
}

static void a_node_whose_clock_is_wrong_is_told_so(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        start_loaded(fixture, &(struct cluster_lab_plan){.node_count = 3,
                                                         .machine_count = 4});
    cluster_lab_add_node(lab, 3);
    lab->other[3] = "trouped_late";
    lab->clock_behind_s[3] = 24 * 3600;
    cluster_lab_fork(lab, 3, "--join");
    cluster_lab_check_end(lab, 3, REFUSED, "certificate is not valid yet");
    await_status(lab, has_three);
    lab->clock_behind_s[3] = 0; /* it is put right */
    cluster_lab_fork(lab, 3, "--join");
    cluster_lab_await_ready(lab, 3);
    await_status(lab, has_four);
    pass(fixture, "a wrong clock");
}

/* At whose door it was. */
static bool has_one_refused_beta(void *context)
{
    const struct cluster_lab *lab = context;
    bool has_one = false;
    for (uint32_t i = 0; i < lab->plan.node_count; i++) {
        has_one |= cluster_lab_has_said(lab, i,
                                        "door.refused peer=beta role=node "
                                        "serial=2 err=ERR_SUPERSEDED");
    }
    return has_one;
}

/* A copy of a node's keys on another machine. */
static void a_second_node_of_one_name_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_lab *lab =
        start_loaded(fixture, &(struct cluster_lab_plan){.node_count = 3,
                                                         .machine_count = 4});
    cluster_lab_add_double(lab, 3, 1);
    cluster_lab_fork(lab, 3, "--join");
    cluster_lab_await_said(lab, 3, "ERR_SUPERSEDED");
    cluster_lab_wait(lab, has_one_refused_beta, lab, "no door says so");
    cluster_load_await(fixture->load, LOAD);
    cluster_lab_await_whole(lab, 1); /* the first of that name is there */
    CHECK(!cluster_lab_has_said(lab, 3, "host.member"));
    pass(fixture, "one name twice");
}

static bool is_known(const struct CMUnitTest *tests,
                     size_t count,
                     const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(tests[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

int main(int count, char **arguments)
{
    static const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        CASE(three_nodes_are_ready_from_nothing),
        CASE(a_cluster_goes_on_when_its_leader_is_killed),
        CASE(five_nodes_go_on_when_two_are_killed),
        CASE(nothing_is_lost_when_the_power_goes_everywhere),
        CASE(a_leader_that_was_stopped_comes_back_as_a_follower),
        CASE(a_minority_refuses_and_says_who_is_missing),
        CASE(packets_that_are_lost_cost_time_only),
        CASE(packets_that_are_late_cost_time_only),
        CASE(packets_that_are_later_one_way_cost_time_only),
        CASE(a_full_disk_refuses_until_there_is_room),
        CASE(a_full_disk_holds_up_only_what_its_node_leads),
        CASE(a_node_comes_back_with_an_empty_disk),
        CASE(five_nodes_are_restarted_one_after_the_other),
        CASE(nodes_are_upgraded_one_after_the_other_and_one_back_again),
        CASE(a_node_joins_and_another_leaves_for_good),
        CASE(what_takes_long_is_waited_for_and_called_off),
        CASE(a_move_to_a_node_that_stands_still_goes_back),
        CASE(a_backup_outlives_its_cluster),
        CASE(groups_without_any_replica_begin_anew_from_a_backup),
        CASE(a_node_joins_by_a_seed_alone),
        CASE(settings_are_changed_node_by_node),
        CASE(one_survivor_of_three_takes_over_all),
        CASE(the_meta_group_is_not_taken_over_from_a_majority),
        CASE(shards_that_nobody_has_begin_empty_when_told_so),
        CASE(a_bundle_outlives_its_cluster),
        CASE(a_bad_start_says_why_and_how_it_ended),
        CASE(a_log_that_is_gone_is_not_taken_for_a_new_one),
        CASE(an_expired_certificate_is_refused_at_the_start),
        CASE(another_cluster_s_node_is_not_let_in),
        CASE(a_node_with_other_settings_is_told_which),
        CASE(a_second_node_of_one_name_is_refused),
        CASE(a_revoked_node_is_cut_off_everywhere_and_stays_out),
        CASE(an_expired_certificate_is_refused_at_the_door),
        CASE(a_node_whose_clock_is_wrong_is_told_so),
#undef CASE
    };
    const char *why = NULL;
    if (count < 3 || count > 4 ||
        (count == 4 &&
         !is_known(tests, sizeof tests / sizeof *tests, arguments[3]))) {
        fputs("usage: cluster_process_test TROUPED TROUPE [TEST]\n", stderr);
        return 2;
    }
    /* `troupe` is run in another folder. */
    static char trouped[PATH_MAX];
    static char troupe[PATH_MAX];
    static char self[PATH_MAX];
    if (!realpath(arguments[1], trouped) || !realpath(arguments[2], troupe) ||
        !realpath("/proc/self/exe", self)) {
        fputs("cluster_process_test: there is no such program\n", stderr);
        return 2;
    }
    programs = (struct cluster_lab_programs){
        .trouped = trouped, .troupe = troupe, .folder = dirname(self)};
    if (!cluster_network_enter(&why)) {
        fprintf(stderr, "skipped: %s\n", why);
        return SKIPPED;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* a node may be gone */
    if (identity_library_init()) {
        return 1;
    }
    cmocka_set_test_filter(arguments[3]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
