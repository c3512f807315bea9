#include "transport/calls.h"

#include "tests/support/check.h"

#include "base/owner.h"
#include "base/pack.h"
#include "base/time_units.h"
#include "tests/sim/world.h"
#include "tests/support/test_identity.h"
#include "transport/calls_wire.h"

#include <stdio.h>
#include <stdlib.h>

#define NODE_COUNT 3
#define SOON_MS 1000
#define ASKED_MAX 8
#define ASKING_MAX 16

enum {
    ECHO,  /* says what it is asked; others may */
    LATER, /* keeps the question until answer_later() */
    KEEP,  /* the same; others may */
    FAIL,  /* always ERR_NO_QUORUM, and why */
    LARGE, /* answers with as many bytes as the question says */
    NOBODY /* is not served */
};

/* A process: an endpoint of the world with its calls. */
struct node {
    uint32_t machine;
    const struct identity *identity;
    struct endpoint *endpoint;
    struct reactor *reactor;
    struct calls *calls;
    char door[32], pair[32];
    struct asked *kept[ASKED_MAX * 2];
    uint32_t kept_count;
    uint32_t asked_count;
    struct peer *asked_by;
    uint64_t asked_until_ns;
    char asked_name[CERTIFICATE_NAME_BYTES];
};

struct question {
    struct call call;
    uint32_t done_count;
    enum err err;
    size_t answer_length;
    uint8_t answer[64]; /* the first of it */
    struct calls *calls;
    struct call *to_cancel;    /* once it is done */
    struct question *to_renew; /* is asked of ourselves then */
};

struct fixture {
    struct world *world;
    struct test_authority authority;
    struct trust *trust;
    struct node nodes[NODE_COUNT];
};

static void run_ms(struct fixture *fixture, uint64_t ms)
{
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        if (world_is_on(fixture->world, i)) {
            world_poke(fixture->world, i);
        }
    }
    world_run_until(fixture->world,
                    world_now_ns(fixture->world) + ms * NS_PER_MS);
}

/* ---- services ---- */

static void note(struct node *node, const struct asked *asked)
{
    node->asked_count++;
    node->asked_by = asked_peer(asked);
    node->asked_until_ns = asked_until_ns(asked);
    const struct certificate *certificate = asked_certificate(asked);
    (void)snprintf(node->asked_name, sizeof node->asked_name, "%s",
                   certificate ? certificate->name : "");
}

static void echo(void *context, struct asked *asked, struct bytes question)
{
    note(context, asked);
    asked_answer(&asked, ERR_NONE, question);
    CHECK(!asked);
}

static void keep(void *context, struct asked *asked, struct bytes question)
{
    struct node *node = context;
    (void)question;
    note(node, asked);
    assert_true(node->kept_count < sizeof node->kept / sizeof *node->kept);
    node->kept[node->kept_count++] = asked;
}

static void say_no(void *context, struct asked *asked, struct bytes question)
{
    (void)question;
    note(context, asked);
    asked_answer(&asked, ERR_NO_QUORUM, bytes_of_text("n7 is away"));
}

static void be_large(void *context, struct asked *asked, struct bytes question)
{
    note(context, asked);
    uint32_t length = get_u32(question.data);
    uint8_t *answer = calloc(length, 1);
    assert_non_null(answer);
    asked_answer(&asked, ERR_NONE, bytes_of(answer, length));
    free(answer);
}

static void answer_later(struct node *node)
{
    for (uint32_t i = 0; i < node->kept_count; i++) {
        asked_answer(&node->kept[i], ERR_NONE, bytes_of_text("late"));
        CHECK(!node->kept[i]);
    }
    node->kept_count = 0;
}

/* ---- set up ---- */

static void on_change(void *context, struct peer *peer, enum peer_change change)
{
    struct node *node = context;
    if (node->calls) {
        calls_on_change(node->calls, peer, change);
    }
}

static void open_calls(struct node *node)
{
    struct calls_config calls = {.endpoint = node->endpoint,
                                 .reactor = node->reactor};
    calls_config_defaults(&calls);
    CHECK(calls.channel == CHANNEL_CALLS);
    calls.asking_max = ASKING_MAX;
    calls.asked_max = ASKED_MAX;
    CHECK_OK(calls_open(&node->calls, &calls));
    calls_serve(node->calls, ECHO, echo, node, true);
    calls_serve(node->calls, LATER, keep, node, false);
    calls_serve(node->calls, KEEP, keep, node, true);
    calls_serve(node->calls, FAIL, say_no, node, false);
    calls_serve(node->calls, LARGE, be_large, node, false);
}

static void power_on(struct fixture *fixture, struct node *node)
{
    struct world *world = fixture->world;
    world_power_on(world, node->machine);
    node->reactor = world_reactor_open(world, node->machine);
    struct endpoint_config config = {
        .network = world_network(world, node->machine),
        .clock = world_clock(world, node->machine),
        .entropy = world_entropy(world, node->machine),
        .identity = node->identity,
        .trust = fixture->trust,
        .reactor = node->reactor,
        .door_reactor = node->reactor,
        .addresses = {.door = node->door,
                      .pair_bind = node->pair,
                      .pair_advertise = node->pair,
                      .pair_count = 10},
        .events = {.context = node, .on_change = on_change},
    };
    endpoint_config_defaults(&config);
    config.client_keep_ms = 5000;
    config.peer_count_max = 10;
    CHECK_OK(endpoint_open(&node->endpoint, &config, NULL));
    open_calls(node);
}

static void power_off(struct fixture *fixture, struct node *node)
{
    if (node->endpoint) {
        world_crash(fixture->world, node->machine);
        calls_close(&node->calls);
        answer_later(node); /* which only frees them */
        endpoint_close(&node->endpoint);
        world_power_off(fixture->world, node->machine);
    }
}

static struct peer *know(struct node *node, const struct node *other)
{
    struct peer *peer = NULL;
    struct peer_address address = {.name = other->identity->certificate.name,
                                   .door = other->door};
    CHECK_OK(endpoint_peer_add(node->endpoint, &address, &peer));
    return peer;
}

static struct peer *peer_of(const struct node *node, const struct node *other)
{
    const struct certificate *certificate = &other->identity->certificate;
    return endpoint_peer_find(node->endpoint, certificate->role,
                              certificate->name);
}

/* n0 and n1 are linked; machine 2 is an operator's, who is linked with n0. */
static int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){
        .world = world_open(&(struct world_config){.seed = 3,
                                                   .machine_count = NODE_COUNT,
                                                   .latency_us_min = 50,
                                                   .latency_us_max = 500})};
    test_authority_init(&fixture.authority, 4,
                        clock_wall_ms(world_clock(fixture.world, 0)));
    fixture.trust = test_trust_make(&fixture.authority);
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        struct node *node = &fixture.nodes[i];
        char name[8];
        (void)snprintf(name, sizeof name, "n%u", i);
        struct test_identity_options options = {.role = i < 2 ? ROLE_NODE
                                                              : ROLE_OPERATOR};
        *node = (struct node){
            .machine = i,
            .identity = test_identity_make(&fixture.authority, name, &options)};
        (void)snprintf(node->door, sizeof node->door, "sim://%u/door", i);
        (void)snprintf(node->pair, sizeof node->pair, "sim://%u/pair/", i);
        power_on(&fixture, node);
    }
    (void)know(&fixture.nodes[0], &fixture.nodes[1]);
    (void)know(&fixture.nodes[1], &fixture.nodes[0]);
    (void)know(&fixture.nodes[2], &fixture.nodes[0]);
    run_ms(&fixture, SOON_MS);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        power_off(fixture, &fixture->nodes[i]);
        identity_unref(&fixture->nodes[i].identity);
    }
    world_close(&fixture->world);
    trust_unref(&fixture->trust);
    return 0;
}

/* ---- asking ---- */

static void on_done(struct call *call, enum err err, struct bytes answer)
{
    struct question *question = OWNER_OF(call, struct question, call);
    question->done_count++;
    question->err = err;
    question->answer_length = answer.length;
    size_t length = answer.length < sizeof question->answer
                        ? answer.length
                        : sizeof question->answer;
    if (length > 0) {
        memcpy(question->answer, answer.data, length);
    }
    if (question->to_cancel) {
        calls_cancel(question->calls, question->to_cancel);
    }
    if (question->to_renew) {
        struct question *next = question->to_renew;
        question->to_renew = NULL;
        uint32_t done_count = next->done_count;
        assert_false(calls_ask(question->calls, NULL, ECHO,
                               bytes_of_text("again"), SOON_MS, &next->call));
        assert_true(next->done_count == done_count);
    }
}

/* For calls_ask(): once more, or for the first time. */
static struct call *call_of(struct question *question)
{
    question->call.done = on_done;
    question->done_count = 0;
    return &question->call;
}

static enum err ask(struct node *node,
                    const struct node *other,
                    uint8_t service,
                    const char *text,
                    struct question *question)
{
    struct peer *peer = other == node ? NULL : peer_of(node, other);
    assert_true(other == node || peer);
    question->calls = node->calls;
    (void)reactor_turn(node->reactor); /* have its time up to date */
    enum err err = calls_ask(node->calls, peer, service, bytes_of_text(text),
                             SOON_MS, call_of(question));
    CHECK(question->done_count == 0); /* never within */
    return err;
}

static bool was_told(const struct question *question,
                     enum err err,
                     const char *text)
{
    return question->done_count == 1 && question->err == err &&
           bytes_are_equal(bytes_of(question->answer, question->answer_length),
                           bytes_of_text(text));
}

static void a_question_is_answered(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    struct question question = {0};
    uint64_t before_ns = clock_now_ns(world_clock(fixture->world, 1));
    CHECK_OK(ask(n0, n1, ECHO, "hello", &question));
    run_ms(fixture, 100);
    CHECK(was_told(&question, ERR_NONE, "hello"));
    assert_string_equal(n1->asked_name, "n0");
    CHECK(n1->asked_by == peer_of(n1, n0));
    CHECK(n1->asked_until_ns > before_ns);
    CHECK(n1->asked_until_ns < before_ns + (SOON_MS + 100) * NS_PER_MS);
    CHECK_OK(ask(n0, n1, ECHO, "", &question)); /* the same once more */
    run_ms(fixture, SOON_MS * 2);
    CHECK(was_told(&question, ERR_NONE, ""));
    CHECK(calls_stats(n0->calls)->asked == 2);
    CHECK(calls_stats(n0->calls)->timed_out == 0);
    CHECK(calls_stats(n1->calls)->served == 2);
}

static void answers_find_their_questions_in_any_order(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    struct question questions[ASKED_MAX] = {0};
    for (uint32_t i = 0; i < ASKED_MAX; i++) {
        CHECK_OK(ask(n0, n1, LATER, "?", &questions[i]));
    }
    run_ms(fixture, 100);
    assert_int_equal(n1->kept_count, ASKED_MAX);
    for (uint32_t i = ASKED_MAX; i > 0; i--) {
        char text[8];
        (void)snprintf(text, sizeof text, "%u", i - 1);
        asked_answer(&n1->kept[i - 1], ERR_NONE, bytes_of_text(text));
    }
    n1->kept_count = 0;
    run_ms(fixture, 100);
    for (uint32_t i = 0; i < ASKED_MAX; i++) {
        char text[8];
        (void)snprintf(text, sizeof text, "%u", i);
        CHECK(was_told(&questions[i], ERR_NONE, text));
    }
}

static void an_error_comes_with_what_is_said_about_it(void **state)
{
    struct fixture *fixture = *state;
    struct question question = {0};
    for (uint32_t i = 0; i < 2; i++) { /* of ourselves, of another */
        CHECK_OK(
            ask(&fixture->nodes[0], &fixture->nodes[i], FAIL, "?", &question));
        run_ms(fixture, 100);
        CHECK(was_told(&question, ERR_NO_QUORUM, "n7 is away"));
    }
}

static void a_service_that_is_not_there_is_not_found(void **state)
{
    struct fixture *fixture = *state;
    struct question question = {0};
    for (uint32_t i = 0; i < 2; i++) {
        CHECK_OK(ask(&fixture->nodes[0], &fixture->nodes[i], NOBODY, "?",
                     &question));
        run_ms(fixture, 100);
        CHECK(was_told(&question, ERR_NOT_FOUND, ""));
        CHECK(calls_stats(fixture->nodes[i].calls)->refused == 1);
    }
}

static void who_is_no_node_asks_only_what_others_may(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct node *operator= & fixture->nodes[2];
    struct question question = {0};
    CHECK_OK(ask(operator, n0, LATER, "?", &question));
    run_ms(fixture, 100);
    CHECK(was_told(&question, ERR_DENIED, ""));
    CHECK(n0->asked_count == 0);
    CHECK_OK(ask(operator, n0, ECHO, "?", &question));
    run_ms(fixture, 100);
    CHECK(was_told(&question, ERR_NONE, "?"));
    assert_string_equal(n0->asked_name, "n2");
    /* And is asked, if it has something to say. */
    CHECK_OK(ask(n0, operator, LATER, "?", &question));
    run_ms(fixture, 100);
    answer_later(operator);
    run_ms(fixture, 100);
    CHECK(was_told(&question, ERR_NONE, "late"));
}

/* ---- ourselves ---- */

static void a_question_to_ourselves_takes_the_same_way(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct question question = {0};
    n0->asked_by = (struct peer *)n0;
    CHECK_OK(ask(n0, n0, ECHO, "hello", &question));
    CHECK(n0->asked_count == 0); /* the handler is not called within, either */
    run_ms(fixture, 1);
    CHECK(was_told(&question, ERR_NONE, "hello"));
    CHECK(!n0->asked_by);
    assert_string_equal(n0->asked_name, "");
    CHECK_OK(ask(n0, n0, LATER, "?", &question));
    run_ms(fixture, 100);
    answer_later(n0);
    CHECK(question.done_count == 0); /* nor `done` within asked_answer() */
    run_ms(fixture, 1);
    CHECK(was_told(&question, ERR_NONE, "late"));
    CHECK(calls_stats(n0->calls)->served == 2);
}

static void a_question_to_ourselves_may_time_out_or_be_cancelled(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct question slow = {0};
    struct question dropped = {0};
    CHECK_OK(ask(n0, n0, LATER, "?", &slow));
    CHECK_OK(ask(n0, n0, LATER, "?", &dropped));
    calls_cancel(n0->calls, &dropped.call);
    run_ms(fixture, SOON_MS + 1);
    CHECK(was_told(&slow, ERR_TIMEOUT, "") && dropped.done_count == 0);
    answer_later(n0);
    run_ms(fixture, 1);
    CHECK(slow.done_count == 1 && dropped.done_count == 0);
    CHECK(calls_stats(n0->calls)->late == 2);
}

static void ourselves_may_be_asked_again_from_within_done(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct question second = {0};
    struct question first = {.to_renew = &second};
    (void)call_of(&second);
    second.calls = n0->calls;
    second.to_renew = &first;
    CHECK_OK(ask(n0, n0, ECHO, "hello", &first));
    run_ms(fixture, 1);
    CHECK(was_told(&second, ERR_NONE, "again"));
    CHECK(first.done_count == 2);
}

/* ---- limits ---- */

static void no_more_is_asked_than_allowed(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    struct question questions[ASKING_MAX + 1] = {0};
    for (uint32_t i = 0; i < ASKING_MAX; i++) {
        const struct node *to = i % 2 ? n0 : n1;
        CHECK_OK(ask(n0, to, LATER, "?", &questions[i]));
    }
    CHECK_ERR(ask(n0, n1, ECHO, "?", &questions[ASKING_MAX]), ERR_FULL);
    CHECK_ERR(ask(n0, n0, ECHO, "?", &questions[ASKING_MAX]), ERR_FULL);
    calls_cancel(n0->calls, &questions[3].call);
    CHECK_OK(ask(n0, n0, ECHO, "?", &questions[ASKING_MAX]));
    run_ms(fixture, 100);
    CHECK(was_told(&questions[ASKING_MAX], ERR_NONE, "?"));
    power_off(fixture, n0); /* the questions are about to go */
}

static void no_more_is_taken_from_others_than_allowed(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    struct question questions[ASKED_MAX + 1] = {0};
    for (uint32_t i = 0; i <= ASKED_MAX; i++) {
        CHECK_OK(ask(n0, n1, LATER, "?", &questions[i]));
    }
    run_ms(fixture, 100);
    CHECK(was_told(&questions[ASKED_MAX], ERR_BUSY, ""));
    CHECK(n1->kept_count == ASKED_MAX);
    CHECK(calls_stats(n1->calls)->refused == 1);
    answer_later(n1);
    CHECK_OK(ask(n0, n1, ECHO, "?", &questions[ASKED_MAX]));
    run_ms(fixture, 100);
    CHECK(was_told(&questions[0], ERR_NONE, "late"));
    CHECK(was_told(&questions[ASKED_MAX], ERR_NONE, "?"));
}

static void clients_leave_half_of_the_room_to_nodes(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    struct node *client = &fixture->nodes[2];
    struct question asked[ASKED_MAX] = {0};
    struct question others[ASKED_MAX / 2] = {0};
    for (uint32_t i = 0; i < ASKED_MAX; i++) {
        CHECK_OK(ask(client, n0, KEEP, "?", &asked[i]));
    }
    run_ms(fixture, 100);
    CHECK(n0->kept_count == ASKED_MAX / 2);
    CHECK(was_told(&asked[ASKED_MAX / 2], ERR_BUSY, ""));
    for (uint32_t i = 0; i < ASKED_MAX / 2; i++) {
        CHECK_OK(ask(n1, n0, KEEP, "?", &others[i]));
    }
    run_ms(fixture, 100);
    CHECK(n0->kept_count == ASKED_MAX);
    answer_later(n0);
    run_ms(fixture, 100);
    CHECK(was_told(&asked[0], ERR_NONE, "late"));
    CHECK(was_told(&others[0], ERR_NONE, "late"));
    /* What was answered takes no room any more. */
    struct question again = {0};
    CHECK_OK(ask(client, n0, ECHO, "?", &again));
    run_ms(fixture, 100);
    CHECK(was_told(&again, ERR_NONE, "?"));
}

static void what_is_too_large_is_said_to_be(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    uint8_t *large = calloc(CALLS_QUESTION_BYTES_MAX + 1, 1);
    assert_non_null(large);
    struct question question = {.calls = n0->calls};
    for (uint32_t i = 0; i < 2; i++) {
        struct peer *peer = i ? peer_of(n0, &fixture->nodes[1]) : NULL;
        struct bytes bytes = bytes_of(large, CALLS_QUESTION_BYTES_MAX + 1);
        CHECK_ERR(calls_ask(n0->calls, peer, ECHO, bytes, SOON_MS,
                            call_of(&question)),
                  ERR_TOO_LARGE);
        bytes.length--;
        CHECK_OK(calls_ask(n0->calls, peer, ECHO, bytes, SOON_MS,
                           call_of(&question)));
        run_ms(fixture, 500);
        CHECK(question.done_count == 1 && question.err == ERR_NONE);
        CHECK(question.answer_length == CALLS_QUESTION_BYTES_MAX);

        uint8_t wish[4];
        put_u32(wish, CALLS_REPLY_BYTES_MAX + 1);
        CHECK_OK(calls_ask(n0->calls, peer, LARGE, bytes_of(wish, 4), SOON_MS,
                           call_of(&question)));
        run_ms(fixture, 500);
        CHECK(was_told(&question, ERR_TOO_LARGE, ""));
    }
    free(large);
}

static void a_full_window_is_said_to_be(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    uint8_t *large = calloc(CALLS_QUESTION_BYTES_MAX, 1);
    assert_non_null(large);
    world_pause(fixture->world, 1, true);
    struct question questions[ASKING_MAX] = {0};
    uint32_t count = 0;
    enum err err = ERR_NONE;
    while (!err && count < ASKING_MAX) {
        err = calls_ask(n0->calls, peer_of(n0, n1), LATER,
                        bytes_of(large, CALLS_QUESTION_BYTES_MAX), SOON_MS,
                        call_of(&questions[count]));
        count += !err;
    }
    free(large);
    CHECK(err == ERR_FULL && count > 0 && count < ASKING_MAX);
    CHECK(calls_stats(n0->calls)->asked == count);
    world_pause(fixture->world, 1, false);
    run_ms(fixture, SOON_MS / 2);
    answer_later(n1);
    run_ms(fixture, SOON_MS / 4);
    for (uint32_t i = 0; i < count; i++) {
        CHECK(was_told(&questions[i], ERR_NONE, "late"));
    }
}

/* ---- what may go wrong ---- */

static void nobody_is_asked_who_is_not_there(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    struct question question = {0};
    power_off(fixture, n1);
    run_ms(fixture, 100);
    CHECK_ERR(ask(n0, n1, ECHO, "?", &question), ERR_UNREACHABLE);
    run_ms(fixture, SOON_MS * 2);
    CHECK(question.done_count == 0);
    CHECK(calls_stats(n0->calls)->asked == 0);
}

static void no_answer_in_time_is_told_and_a_late_one_counted(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    struct question question = {0};
    CHECK_OK(ask(n0, n1, LATER, "?", &question));
    run_ms(fixture, SOON_MS - 10);
    CHECK(question.done_count == 0);
    run_ms(fixture, 20);
    CHECK(was_told(&question, ERR_TIMEOUT, ""));
    CHECK(calls_stats(n0->calls)->timed_out == 1);
    /* The next has its place, and is not taken for it. */
    struct question next = {0};
    CHECK_OK(ask(n0, n1, LATER, "?", &next));
    answer_later(n1);
    run_ms(fixture, 100);
    CHECK(next.done_count == 0 && calls_stats(n0->calls)->late == 1);
    answer_later(n1);
    run_ms(fixture, 100);
    CHECK(was_told(&next, ERR_NONE, "late"));
}

static void a_broken_link_ends_what_is_under_way_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    struct question remote = {0};
    struct question own = {0};
    CHECK_OK(ask(n0, n1, LATER, "?", &remote));
    CHECK_OK(ask(n0, n0, LATER, "?", &own));
    run_ms(fixture, 100);
    world_cut(fixture->world, (struct world_pair){0, 1});
    run_ms(fixture, 2);
    CHECK(was_told(&remote, ERR_UNCERTAIN, ""));
    CHECK(calls_stats(n0->calls)->broken == 1);
    CHECK(own.done_count == 0);
    /* The session goes on: its answer comes, and comes too late. */
    run_ms(fixture, 100);
    answer_later(n1);
    run_ms(fixture, 200);
    CHECK(remote.done_count == 1);
    CHECK(calls_stats(n0->calls)->late == 1);
    CHECK(calls_stats(n1->calls)->unsent == 0);
    CHECK_OK(ask(n0, n1, ECHO, "?", &remote));
    run_ms(fixture, 100);
    CHECK(was_told(&remote, ERR_NONE, "?"));
    power_off(fixture, n0); /* the questions are about to go */
}

static void another_process_does_not_get_the_answers_of_the_first(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    struct question question = {0};
    CHECK_OK(ask(n0, n1, LATER, "?", &question));
    run_ms(fixture, 100);
    power_off(fixture, n0);
    CHECK(was_told(&question, ERR_CLOSED, ""));
    power_on(fixture, n0);
    (void)know(n0, n1);
    run_ms(fixture, 5000);
    struct question next = {0};
    CHECK_OK(ask(n0, n1, LATER, "?", &next));
    run_ms(fixture, 100);
    assert_int_equal(n1->kept_count, 2);
    CHECK(!asked_peer(n1->kept[0]));
    assert_string_equal(asked_certificate(n1->kept[0])->name, "n0");
    CHECK(asked_peer(n1->kept[1]) == peer_of(n1, n0));
    answer_later(n1);
    run_ms(fixture, 100);
    CHECK(was_told(&next, ERR_NONE, "late"));
    CHECK(calls_stats(n1->calls)->unsent == 1);
    CHECK(calls_stats(n0->calls)->late == 0);
}

static void a_peer_that_is_removed_is_answered_no_more(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    struct question theirs = {0};
    struct question ours = {0};
    CHECK_OK(ask(n0, n1, LATER, "?", &theirs));
    CHECK_OK(ask(n1, n0, LATER, "?", &ours));
    run_ms(fixture, 100);
    struct peer *peer = peer_of(n1, n0);
    calls_forget_peer(n1->calls, peer);
    CHECK(was_told(&ours, ERR_UNCERTAIN, ""));
    endpoint_peer_remove(n1->endpoint, &peer);
    answer_later(n1);
    answer_later(n0);
    run_ms(fixture, 100);
    CHECK(calls_stats(n1->calls)->unsent == 1);
    CHECK(ours.done_count == 1);
}

static void a_client_that_has_gone_is_answered_no_more(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct question question = {0};
    calls_serve(n0->calls, LATER, keep, n0, true);
    CHECK_OK(ask(&fixture->nodes[2], n0, LATER, "?", &question));
    run_ms(fixture, 100);
    power_off(fixture, &fixture->nodes[2]);
    run_ms(fixture, 20000); /* client_keep_ms, and a look at it */
    CHECK(!peer_of(n0, &fixture->nodes[2]));
    answer_later(n0);
    CHECK(calls_stats(n0->calls)->unsent == 1);
}

static void a_question_may_be_cancelled(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    struct question question = {0};
    calls_cancel(n0->calls, &question.call); /* never asked */
    CHECK_OK(ask(n0, n1, ECHO, "?", &question));
    calls_cancel(n0->calls, &question.call);
    calls_cancel(n0->calls, &question.call);
    run_ms(fixture, SOON_MS * 2);
    CHECK(question.done_count == 0);
    CHECK(calls_stats(n0->calls)->late == 1);
}

static void another_question_may_be_cancelled_within_done(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    struct question questions[3] = {0};
    questions[0].to_cancel = &questions[1].call;
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_OK(ask(n0, n1, LATER, "?", &questions[i]));
    }
    world_cut(fixture->world, (struct world_pair){0, 1});
    run_ms(fixture, 2);
    CHECK(was_told(&questions[0], ERR_UNCERTAIN, ""));
    CHECK(questions[1].done_count == 0);
    CHECK(was_told(&questions[2], ERR_UNCERTAIN, ""));
}

static void closing_tells_all_who_asked(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    struct question questions[5] = {0};
    CHECK_OK(ask(n0, n1, LATER, "?", &questions[0]));
    CHECK_OK(ask(n0, n0, LATER, "?", &questions[1]));
    CHECK_OK(ask(n1, n0, LATER, "?", &questions[2]));
    run_ms(fixture, 100);
    /* One that its handler has not seen, one whose answer is not yet told. */
    CHECK_OK(ask(n0, n0, ECHO, "a question to be freed", &questions[3]));
    asked_answer(&n0->kept[0], ERR_NONE, bytes_of_text("an answer, too"));
    n0->kept[0] = n0->kept[--n0->kept_count];
    questions[0].to_cancel = &questions[3].call;
    calls_close(&n0->calls);
    CHECK(was_told(&questions[0], ERR_CLOSED, ""));
    CHECK(was_told(&questions[1], ERR_CLOSED, ""));
    CHECK(questions[3].done_count == 0);
    answer_later(n0);
    run_ms(fixture, 100);
    CHECK(questions[2].done_count == 0); /* nobody answers it any more */
    run_ms(fixture, SOON_MS);
    CHECK(was_told(&questions[2], ERR_TIMEOUT, ""));
}

/* ---- rubbish ---- */

static void send_raw(struct fixture *fixture, struct bytes message)
{
    CHECK_OK(peer_send(peer_of(&fixture->nodes[0], &fixture->nodes[1]),
                       LANE_DATA, CHANNEL_CALLS, message));
    run_ms(fixture, 10);
}

static struct bytes message_of(uint8_t *raw,
                               size_t capacity,
                               uint64_t version,
                               uint64_t kind,
                               uint32_t count)
{
    struct writer writer = writer_of(raw, capacity);
    pack_array(&writer, count);
    pack_uint(&writer, version);
    pack_uint(&writer, kind);
    pack_uint(&writer, 77); /* id */
    for (uint32_t i = 3; i < count; i++) {
        if (i == (kind == CALLS_WIRE_QUESTION ? 5 : 4)) {
            pack_bin(&writer, bytes_of_text("content"));
        } else {
            pack_uint(&writer, 0);
        }
    }
    return writer_bytes(&writer);
}

static void rubbish_is_counted_and_does_no_harm(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    const struct calls_stats *stats = calls_stats(fixture->nodes[1].calls);
    send_raw(fixture, (struct bytes){0});
    send_raw(fixture, bytes_of_text("rubbish"));
    uint8_t raw[64];
    send_raw(fixture, message_of(raw, sizeof raw, 1, 2, 6)); /* no such kind */
    send_raw(fixture, message_of(raw, sizeof raw, 1, 0, 5)); /* no content */
    struct bytes cut = message_of(raw, sizeof raw, 1, 0, 6);
    cut.length--;
    send_raw(fixture, cut);
    struct bytes longer = message_of(raw, sizeof raw, 1, 0, 6);
    longer.length++;
    send_raw(fixture, longer);
    CHECK(stats->malformed == 6 && stats->served == 0);
    /* Answers to what was never asked, of slots that are and are not. */
    send_raw(fixture, message_of(raw, sizeof raw, 1, 1, 5));
    CHECK(stats->late == 1);
    struct question question = {0};
    CHECK_OK(ask(n0, &fixture->nodes[1], ECHO, "?", &question));
    run_ms(fixture, 100);
    CHECK(was_told(&question, ERR_NONE, "?"));
}

static void nobody_answers_for_somebody_else(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    struct node *n1 = &fixture->nodes[1];
    struct question question = {0};
    CHECK_OK(ask(n0, n0, LATER, "?", &question)); /* not of n1 */
    uint8_t raw[64];
    struct writer writer = writer_of(raw, sizeof raw);
    struct calls_wire forged = {.kind = CALLS_WIRE_ANSWER,
                                .id = question.call.id};
    calls_wire_write(&writer, &forged);
    CHECK_OK(peer_send(peer_of(n1, n0), LANE_DATA, CHANNEL_CALLS,
                       writer_bytes(&writer)));
    run_ms(fixture, 100);
    CHECK(question.done_count == 0 && calls_stats(n0->calls)->late == 1);
    power_off(fixture, n0); /* the questions are about to go */
}

static void another_version_is_answered_with_that(void **state)
{
    struct fixture *fixture = *state;
    struct node *n0 = &fixture->nodes[0];
    uint8_t raw[64];
    send_raw(fixture, message_of(raw, sizeof raw, 9, 0, 4));
    CHECK(calls_stats(fixture->nodes[1].calls)->refused == 1);
    CHECK(calls_stats(n0->calls)->late == 1); /* the answer to it */
    struct question question = {0};
    CHECK_OK(ask(&fixture->nodes[1], n0, LATER, "?", &question));
    run_ms(fixture, 10);
    struct writer writer = writer_of(raw, sizeof raw);
    pack_array(&writer, 3);
    pack_uint(&writer, 9);
    pack_uint(&writer, CALLS_WIRE_ANSWER);
    pack_uint(&writer, question.call.id);
    send_raw(fixture, writer_bytes(&writer));
    CHECK(was_told(&question, ERR_VERSION, ""));
}

static void elements_that_are_not_known_yet_are_skipped(void **state)
{
    (void)state;
    uint8_t raw[64];
    struct calls_wire wire = {0};
    CHECK_OK(calls_wire_read(&wire, message_of(raw, sizeof raw, 1, 0, 8)));
    CHECK(bytes_are_equal(wire.content, bytes_of_text("content")));
    CHECK_OK(calls_wire_read(&wire, message_of(raw, sizeof raw, 1, 1, 9)));
    CHECK(bytes_are_equal(wire.content, bytes_of_text("content")));
}

static void an_error_that_is_not_known_is_uncertain(void **state)
{
    (void)state;
    uint8_t raw[64];
    struct writer writer = writer_of(raw, sizeof raw);
    struct calls_wire wire = {.kind = CALLS_WIRE_ANSWER,
                              .err = (enum err)ERR_COUNT};
    calls_wire_write(&writer, &wire);
    CHECK_OK(calls_wire_read(&wire, writer_bytes(&writer)));
    CHECK(wire.err == ERR_UNCERTAIN);
}

/* They travel: base/err.h */
static void the_numbers_of_errors_stay(void **state)
{
    (void)state;
    CHECK(ERR_NONE == 0 && ERR_MEMORY == 1 && ERR_FULL == 2);
    CHECK(ERR_NOT_FOUND == 9 && ERR_MALFORMED == 12 && ERR_DENIED == 19);
    CHECK(ERR_VERSION == 21 && ERR_UNREACHABLE == 23 && ERR_TIMEOUT == 24);
    CHECK(ERR_BUSY == 25 && ERR_LIMIT == 26 && ERR_NOT_LEADER == 27);
    CHECK(ERR_UNCERTAIN == 28 && ERR_NO_QUORUM == 29);
}

static int set_up_group(void **state)
{
    (void)state;
    return identity_library_init() ? -1 : 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_question_is_answered),
        TEST(answers_find_their_questions_in_any_order),
        TEST(an_error_comes_with_what_is_said_about_it),
        TEST(a_service_that_is_not_there_is_not_found),
        TEST(who_is_no_node_asks_only_what_others_may),
        TEST(a_question_to_ourselves_takes_the_same_way),
        TEST(a_question_to_ourselves_may_time_out_or_be_cancelled),
        TEST(ourselves_may_be_asked_again_from_within_done),
        TEST(no_more_is_asked_than_allowed),
        TEST(no_more_is_taken_from_others_than_allowed),
        TEST(clients_leave_half_of_the_room_to_nodes),
        TEST(what_is_too_large_is_said_to_be),
        TEST(a_full_window_is_said_to_be),
        TEST(nobody_is_asked_who_is_not_there),
        TEST(no_answer_in_time_is_told_and_a_late_one_counted),
        TEST(a_broken_link_ends_what_is_under_way_at_once),
        TEST(another_process_does_not_get_the_answers_of_the_first),
        TEST(a_peer_that_is_removed_is_answered_no_more),
        TEST(a_client_that_has_gone_is_answered_no_more),
        TEST(a_question_may_be_cancelled),
        TEST(another_question_may_be_cancelled_within_done),
        TEST(closing_tells_all_who_asked),
        TEST(rubbish_is_counted_and_does_no_harm),
        TEST(nobody_answers_for_somebody_else),
        TEST(another_version_is_answered_with_that),
        cmocka_unit_test(elements_that_are_not_known_yet_are_skipped),
        cmocka_unit_test(an_error_that_is_not_known_is_uncertain),
        cmocka_unit_test(the_numbers_of_errors_stay),
    };
    return cmocka_run_group_tests(tests, set_up_group, NULL);
}
