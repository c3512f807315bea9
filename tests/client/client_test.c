#include "client/client.h"

#include "tests/support/check.h"

#include "base/owner.h"
#include "base/posix/posix_thread.h"
#include "base/scope.h"
#include "base/time_units.h"
#include "tests/support/station.h"
#include "transport/calls.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODE_COUNT 2
#define CONNECT_MS 20000 /* generous: on a busy machine */
#define ASK_MS 20000

enum {
    ECHO,
    FAIL,   /* ERR_NO_QUORUM, and why */
    SILENT, /* no answer until the end */
    ENDS,   /* the first node says that it ends; others echo */
    PARTED, /* the first node has no quorum; others echo */
};

/* A node with services for operators. */
struct member {
    char name[8], door[64], pair[64];
    uint16_t port;
    struct station *station;
    struct calls *calls;
    struct asked *kept[4];
    _Atomic uint32_t kept_count;
};

struct fixture {
    struct test_authority authority;
    struct trust *trust;
    const struct identity *identity;
    struct member members[NODE_COUNT];
};

/* ---- nodes ---- */

static void echo(void *context, struct asked *asked, struct bytes question)
{
    (void)context;
    asked_answer(&asked, ERR_NONE, question);
}

static void say_no(void *context, struct asked *asked, struct bytes question)
{
    (void)context;
    (void)question;
    asked_answer(&asked, ERR_NO_QUORUM, bytes_of_text("n7 is away"));
}

static void end(void *context, struct asked *asked, struct bytes question)
{
    const struct member *member = context;
    bool is_first = strcmp(member->name, "n0") == 0;
    asked_answer(&asked, is_first ? ERR_NOT_LEADER : ERR_NONE, question);
}

static void say_parted(void *context,
                       struct asked *asked,
                       struct bytes question)
{
    const struct member *member = context;
    bool is_first = strcmp(member->name, "n0") == 0;
    asked_answer(&asked, is_first ? ERR_NO_QUORUM : ERR_NONE,
                 is_first ? bytes_of_text("n7 is away") : question);
}

static void keep(void *context, struct asked *asked, struct bytes question)
{
    struct member *member = context;
    (void)question;
    uint32_t count = atomic_load(&member->kept_count);
    assert_true(count < sizeof member->kept / sizeof *member->kept);
    member->kept[count] = asked;
    atomic_store(&member->kept_count, count + 1);
}

static void open_calls(void *context, struct endpoint *endpoint)
{
    struct member *member = context;
    struct calls_config config = {
        .endpoint = endpoint,
        .reactor = test_node_reactor(station_node(member->station))};
    calls_config_defaults(&config);
    CHECK_OK(calls_open(&member->calls, &config));
    calls_serve(member->calls, ECHO, echo, member, true);
    calls_serve(member->calls, FAIL, say_no, member, true);
    calls_serve(member->calls, SILENT, keep, member, true);
    calls_serve(member->calls, ENDS, end, member, true);
    calls_serve(member->calls, PARTED, say_parted, member, true);
}

static void close_calls(void *context, struct endpoint *endpoint)
{
    struct member *member = context;
    (void)endpoint;
    calls_close(&member->calls);
    for (uint32_t i = 0; i < member->kept_count; i++) {
        asked_answer(&member->kept[i], ERR_CLOSED, (struct bytes){0});
    }
    member->kept_count = 0;
}

static void start(struct member *member)
{
    struct station_config config = {
        .name = member->name,
        .serial = 1,
        .addresses = {.door = member->door,
                      .pair_bind = member->pair,
                      .pair_advertise = member->pair,
                      .pair_first = member->port + 1u,
                      .pair_count = 3}};
    CHECK_OK(station_open(&member->station, &config, NULL));
    test_node_call(station_node(member->station), open_calls, member);
}

static void stop(struct member *member)
{
    if (member->station) {
        test_node_call(station_node(member->station), close_calls, member);
        station_close(&member->station);
    }
}

static int set_up(void **state)
{
    static struct fixture fixture;
    memset(&fixture, 0, sizeof fixture);
    station_authority(&fixture.authority);
    fixture.trust = test_trust_make(&fixture.authority);
    fixture.authority.made_count = 500;
    struct test_identity_options options = {.role = ROLE_OPERATOR,
                                            .serial = 500};
    fixture.identity = test_identity_make(&fixture.authority, "anna", &options);
    for (unsigned i = 0; i < NODE_COUNT; i++) {
        struct member *member = &fixture.members[i];
        char host[TEST_HOST_BYTES];
        (void)snprintf(member->name, sizeof member->name, "n%u", i);
        test_host(host, i + 1);
        member->port = test_ports_take(host, 4);
        (void)snprintf(member->door, sizeof member->door, "tcp://%s:%u", host,
                       member->port);
        (void)snprintf(member->pair, sizeof member->pair, "tcp://%s:", host);
    }
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned i = 0; i < NODE_COUNT; i++) {
        stop(&fixture->members[i]);
    }
    identity_unref(&fixture->identity);
    trust_unref(&fixture->trust);
    return 0;
}

/* ---- the client ---- */

static enum err open_to(struct fixture *fixture,
                        unsigned node_count,
                        uint32_t connect_ms,
                        struct client **client,
                        struct err_detail *why)
{
    struct client_node nodes[NODE_COUNT];
    for (unsigned i = 0; i < NODE_COUNT; i++) {
        nodes[i] = (struct client_node){.name = fixture->members[i].name,
                                        .door = fixture->members[i].door};
    }
    struct client_config config = {.identity = fixture->identity,
                                   .trust = fixture->trust,
                                   .nodes = nodes,
                                   .node_count = node_count,
                                   .connect_ms = connect_ms};
    return client_open(client, &config, why);
}

/* So many nodes, and a client of them, which the first one serves. */
static struct client *start_and_open(struct fixture *fixture, uint32_t count)
{
    struct client *client = NULL;
    for (uint32_t i = 0; i < count; i++) {
        start(&fixture->members[i]);
    }
    CHECK_OK(open_to(fixture, count, CONNECT_MS, &client, NULL));
    assert_string_equal(client_node_name(client), "n0");
    return client;
}

static void check_ask(struct client *client,
                      uint8_t service,
                      enum err err,
                      const char *text)
{
    uint8_t *answer = NULL;
    size_t length = 1;
    CHECK_ERR(client_ask(client, service, bytes_of_text("hello"), ASK_MS,
                         &answer, &length),
              err);
    CHECK(bytes_are_equal(bytes_of(answer, length), bytes_of_text(text)));
    CHECK((answer != NULL) == (length > 0));
    free(answer);
}

static void use_identity(struct fixture *fixture,
                         const struct test_identity_options *options)
{
    identity_unref(&fixture->identity);
    fixture->identity =
        test_identity_make(&fixture->authority, "anna", options);
}

static void a_node_answers_a_client(void **state)
{
    struct fixture *fixture = *state;
    scoped(client_close) struct client *client = start_and_open(fixture, 1);
    check_ask(client, ECHO, ERR_NONE, "hello");
    check_ask(client, FAIL, ERR_NO_QUORUM, "n7 is away");
    check_ask(client, 31, ERR_NOT_FOUND, "");
    for (int i = 0; i < 100; i++) {
        check_ask(client, ECHO, ERR_NONE, "hello");
    }
}

/* Two shells of one operator. */
static void clients_with_one_certificate_are_answered_in_turns(void **state)
{
    struct fixture *fixture = *state;
    start(&fixture->members[0]);
    scoped(client_close) struct client *left = NULL;
    scoped(client_close) struct client *right = NULL;
    CHECK_OK(open_to(fixture, 1, CONNECT_MS, &left, NULL));
    CHECK_OK(open_to(fixture, 1, CONNECT_MS, &right, NULL));
    for (int i = 0; i < 200; i++) {
        check_ask(left, ECHO, ERR_NONE, "hello");
        check_ask(right, ECHO, ERR_NONE, "hello");
    }
}

/* One command after the other, each a process of its own: more of them than
 * the node has addresses, and sooner than it forgets who was there. */
static void clients_that_have_gone_are_no_hindrance(void **state)
{
    struct fixture *fixture = *state;
    start(&fixture->members[0]);
    scoped(client_close) struct client *stays = NULL;
    CHECK_OK(open_to(fixture, 1, CONNECT_MS, &stays, NULL));
    for (int i = 0; i < 20; i++) {
        scoped(client_close) struct client *client = NULL;
        CHECK_OK(open_to(fixture, 1, CONNECT_MS, &client, NULL));
        check_ask(client, ECHO, ERR_NONE, "hello");
        check_ask(stays, ECHO, ERR_NONE, "hello");
    }
}

static void no_answer_in_time_is_told(void **state)
{
    struct fixture *fixture = *state;
    scoped(client_close) struct client *client = start_and_open(fixture, 1);
    uint8_t *answer = NULL;
    size_t length = 0;
    CHECK_ERR(
        client_ask(client, SILENT, (struct bytes){0}, 20, &answer, &length),
        ERR_TIMEOUT);
    CHECK(!answer && length == 0);
    check_ask(client, ECHO, ERR_NONE, "hello");
}

static void the_next_node_is_asked_when_the_first_is_away(void **state)
{
    struct fixture *fixture = *state;
    start(&fixture->members[1]);
    scoped(client_close) struct client *client = NULL;
    CHECK_OK(open_to(fixture, 2, CONNECT_MS, &client, NULL));
    assert_string_equal(client_node_name(client), "n1");
    check_ask(client, ECHO, ERR_NONE, "hello");
}

static void that_nobody_is_there_is_told_with_each_of_them(void **state)
{
    struct fixture *fixture = *state;
    struct client *client = NULL;
    struct err_detail why = {{0}};
    CHECK_ERR(open_to(fixture, 2, 500, &client, &why), ERR_UNREACHABLE);
    CHECK(!client);
    assert_non_null(strstr(why.text, "n0 (tcp://127."));
    assert_non_null(strstr(why.text, "n1 (tcp://127."));
    assert_non_null(strstr(why.text, err_text(ERR_TIMEOUT)));
}

static void without_nodes_there_is_nobody_to_ask(void **state)
{
    struct fixture *fixture = *state;
    struct client *client = NULL;
    struct err_detail why = {{0}};
    CHECK_ERR(open_to(fixture, 0, 500, &client, &why), ERR_INVALID);
    CHECK(!client && why.text[0]);
    fixture->members[1].name[0] = '/';
    CHECK_ERR(open_to(fixture, 2, 500, &client, &why), ERR_INVALID);
    CHECK(!client && strstr(why.text, "/1"));
}

/* The node says why; a client does not knock on until its time is over. */
static void a_refusal_is_told_at_once(void **state)
{
    struct fixture *fixture = *state;
    start(&fixture->members[0]);
    const struct {
        struct test_identity_options options;
        enum err err;
    } cases[] = {
        {{.role = ROLE_OPERATOR, .is_expired = true}, ERR_EXPIRED},
        {{.role = ROLE_OPERATOR, .is_not_yet_valid = true}, ERR_NOT_YET_VALID},
        {{.role = ROLE_OPERATOR, .is_of_other_cluster = true},
         ERR_OTHER_CLUSTER},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        use_identity(fixture, &cases[i].options);
        struct client *client = NULL;
        struct err_detail why = {{0}};
        uint64_t started_ms = test_now_ms();
        CHECK_ERR(open_to(fixture, 1, CONNECT_MS, &client, &why), cases[i].err);
        CHECK(!client && test_now_ms() - started_ms < CONNECT_MS);
        assert_non_null(strstr(why.text, "it says of us"));
        assert_non_null(strstr(why.text, err_text(cases[i].err)));
    }
}

/* As from a file that the authority has signed. */
static struct trust *trust_that_revokes(const struct test_authority *authority,
                                        uint64_t serial)
{
    struct trust_facts facts = {.version = 2,
                                .authority_count = 1,
                                .revoked = &serial,
                                .revoked_count = 1};
    memcpy(facts.cluster_id, authority->cluster_id, CLUSTER_ID_BYTES);
    memcpy(facts.authorities[0], authority->key, sizeof authority->key);
    const uint8_t *signer = authority->secret;
    char *text = NULL;
    CHECK_OK(trust_encode(&text, &facts, &signer, 1));
    struct trust *trust = NULL;
    CHECK_OK(trust_decode(&trust, bytes_of_text(text), NULL));
    free(text);
    return trust;
}

static void revoke(void *context, struct endpoint *endpoint)
{
    CHECK_OK(endpoint_trust_set(endpoint, context, NULL));
}

static void a_revoked_client_is_cut_and_hears_why(void **state)
{
    struct fixture *fixture = *state;
    scoped(client_close) struct client *client = start_and_open(fixture, 1);
    scoped(trust_unref) struct trust *trust =
        trust_that_revokes(&fixture->authority, 500);
    test_node_call(station_node(fixture->members[0].station), revoke, trust);
    uint8_t *answer = NULL;
    size_t length = 0;
    enum err err = ERR_NONE;
    do { /* the link may not be gone yet */
        err = client_ask(client, ECHO, bytes_of_text("?"), ASK_MS, &answer,
                         &length);
        free(answer);
    } while (err == ERR_NONE || err == ERR_UNCERTAIN);
    CHECK_ERR(err, ERR_REVOKED);
}

static void a_node_may_not_pass_for_a_client(void **state)
{
    struct fixture *fixture = *state;
    struct test_identity_options options = {.role = ROLE_NODE};
    use_identity(fixture, &options);
    struct client *client = NULL;
    struct err_detail why = {{0}};
    CHECK_ERR(open_to(fixture, 1, 500, &client, &why), ERR_DENIED);
    CHECK(!client && why.text[0]);
}

/* ---- a node ends ---- */

static bool is_asked(void *context)
{
    const struct member *member = context;
    return atomic_load(&member->kept_count) > 0;
}

static void stop_when_asked(void *context)
{
    (void)test_wait(is_asked, context);
    stop(context);
}

static void what_a_node_that_ends_has_not_done_another_one_does(void **state)
{
    struct fixture *fixture = *state;
    scoped(client_close) struct client *client = start_and_open(fixture, 2);
    check_ask(client, ENDS, ERR_NONE, "hello");
    assert_string_equal(client_node_name(client), "n1");
    check_ask(client, ECHO, ERR_NONE, "hello");
}

static void a_node_without_a_quorum_is_left_for_another(void **state)
{
    struct fixture *fixture = *state;
    scoped(client_close) struct client *client = start_and_open(fixture, 2);
    check_ask(client, PARTED, ERR_NONE, "hello");
    assert_string_equal(client_node_name(client), "n1");
    check_ask(client, PARTED, ERR_NONE, "hello");
}

static void that_no_node_has_a_quorum_is_told(void **state)
{
    struct fixture *fixture = *state;
    scoped(client_close) struct client *client = start_and_open(fixture, 2);
    for (int i = 0; i < 5; i++) {
        check_ask(client, FAIL, ERR_NO_QUORUM, "n7 is away");
    }
    check_ask(client, ECHO, ERR_NONE, "hello");
}

static void a_node_without_a_quorum_is_kept_when_there_is_no_other(void **state)
{
    struct fixture *fixture = *state;
    start(&fixture->members[0]);
    scoped(client_close) struct client *client = NULL;
    CHECK_OK(open_to(fixture, 2, CONNECT_MS, &client, NULL));
    check_ask(client, PARTED, ERR_NO_QUORUM, "n7 is away");
    check_ask(client, ECHO, ERR_NONE, "hello");
    assert_string_equal(client_node_name(client), "n0");
}

static void what_is_said_when_time_is_almost_over_counts_for_the_next(
    void **state)
{
    struct fixture *fixture = *state;
    uint8_t *answer = NULL;
    size_t length = 0;
    scoped(client_close) struct client *client = start_and_open(fixture, 2);
    enum err err = client_ask(client, PARTED, bytes_of_text("hello"), 200,
                              &answer, &length);
    CHECK(err == ERR_NO_QUORUM || err == ERR_TIMEOUT); /* on a busy machine */
    free(answer);
    if (err == ERR_NO_QUORUM) {
        check_ask(client, PARTED, ERR_NONE, "hello");
        assert_string_equal(client_node_name(client), "n1");
    }
}

/* A node that is about to end, and waits until its clients have gone. */
struct farewell {
    struct member *member;
    struct call call;
    _Atomic bool is_answered;
};

static void on_farewell(struct call *call, enum err err, struct bytes answer)
{
    struct farewell *farewell =
        (struct farewell *)((char *)call - offsetof(struct farewell, call));
    (void)answer;
    atomic_store(&farewell->is_answered, err == ERR_NONE);
}

static void say_farewell(void *context, struct endpoint *endpoint)
{
    struct farewell *farewell = context;
    struct peer *peer = endpoint_peer_find(endpoint, ROLE_OPERATOR, "anna");
    farewell->call.done = on_farewell;
    CHECK_OK(calls_ask(farewell->member->calls, peer, CALLS_SERVICE_LEAVING,
                       (struct bytes){0}, ASK_MS, &farewell->call));
}

static bool is_answered(void *context)
{
    const struct farewell *farewell = context;
    return atomic_load(&farewell->is_answered);
}

static void a_client_leaves_a_node_that_says_that_it_will_end(void **state)
{
    struct fixture *fixture = *state;
    struct farewell farewell = {.member = &fixture->members[0]};
    scoped(client_close) struct client *client = start_and_open(fixture, 2);
    check_ask(client, ECHO, ERR_NONE, "hello");
    test_node_call(station_node(farewell.member->station), say_farewell,
                   &farewell);
    CHECK(test_wait(is_answered, &farewell));
    check_ask(client, ECHO, ERR_NONE, "hello");
    assert_string_equal(client_node_name(client), "n1");
}

/* ---- many questions at a time ---- */

#define CROWD_COUNT 100

struct crowd;

struct crowd_call {
    struct client_call call;
    struct crowd *crowd;
    uint32_t number; /* the question */
};

struct crowd {
    struct reactor_event event;
    struct client *client;
    uint8_t service;
    uint32_t count;
    bool cancels;
    struct crowd_call calls[CROWD_COUNT];
    _Atomic uint32_t answered_count; /* as it should be */
    _Atomic uint32_t failed_count;
    _Atomic bool has_run;
};

static void on_crowd_answer(struct client_call *call,
                            enum err err,
                            struct bytes answer)
{
    struct crowd *crowd = OWNER_OF(call, struct crowd_call, call)->crowd;
    bool is_echo = bytes_are_equal(answer, call->question);
    atomic_fetch_add(err == ERR_NONE && is_echo ? &crowd->answered_count
                                                : &crowd->failed_count,
                     1);
}

static void run_crowd(struct reactor_event *event)
{
    struct crowd *crowd = OWNER_OF(event, struct crowd, event);
    for (uint32_t i = 0; i < crowd->count; i++) {
        struct crowd_call *one = &crowd->calls[i];
        struct client_call *call = &one->call;
        if (crowd->cancels) {
            client_cancel(crowd->client, call);
            continue;
        }
        call->done = on_crowd_answer;
        call->service = crowd->service;
        one->crowd = crowd;
        one->number = i;
        call->question = bytes_of(&one->number, sizeof one->number);
        call->until_ns =
            reactor_now_ns(client_reactor(crowd->client)) + ASK_MS * NS_PER_MS;
        client_start(crowd->client, call);
    }
    atomic_store(&crowd->has_run, true);
}

static bool has_run(void *context)
{
    const struct crowd *crowd = context;
    return atomic_load(&crowd->has_run);
}

static void post_crowd(struct crowd *crowd)
{
    crowd->event.run = run_crowd;
    atomic_store(&crowd->has_run, false);
    reactor_post(client_reactor(crowd->client), &crowd->event);
    CHECK(test_wait(has_run, crowd));
}

static bool all_are_answered(void *context)
{
    const struct crowd *crowd = context;
    return atomic_load(&crowd->answered_count) +
               atomic_load(&crowd->failed_count) ==
           crowd->count;
}

static void many_questions_are_answered_at_a_time(void **state)
{
    struct fixture *fixture = *state;
    static struct crowd many;
    static struct crowd silent;
    scoped(client_close) struct client *client = start_and_open(fixture, 1);
    silent = (struct crowd){.client = client, .service = SILENT, .count = 3};
    many =
        (struct crowd){.client = client, .service = ECHO, .count = CROWD_COUNT};
    post_crowd(&silent);
    post_crowd(&many);
    check_ask(client, ECHO, ERR_NONE, "hello"); /* beside them */
    CHECK(test_wait(all_are_answered, &many));
    CHECK(many.failed_count == 0);
    CHECK(!all_are_answered(&silent));
    silent.cancels = true;
    post_crowd(&silent);
    check_ask(client, ECHO, ERR_NONE, "hello");
    CHECK(silent.answered_count + silent.failed_count == 0);
}

static void what_is_under_way_hears_that_the_client_is_closed(void **state)
{
    struct fixture *fixture = *state;
    static struct crowd crowd;
    start(&fixture->members[0]);
    struct client *client = NULL;
    CHECK_OK(open_to(fixture, 1, CONNECT_MS, &client, NULL));
    crowd = (struct crowd){.client = client, .service = SILENT, .count = 3};
    post_crowd(&crowd);
    client_close(&client);
    CHECK(crowd.failed_count == 3);
}

static void answer_kept(void *context, struct endpoint *endpoint)
{
    struct member *member = context;
    (void)endpoint;
    for (uint32_t i = 0; i < member->kept_count; i++) {
        asked_answer(&member->kept[i], ERR_NONE, (struct bytes){0});
    }
    member->kept_count = 0;
}

static bool has_kept_three(void *context)
{
    const struct member *member = context;
    return atomic_load(&member->kept_count) == 3;
}

/* New questions go to another one meanwhile. */
static void a_node_that_ends_is_left_when_it_has_answered(void **state)
{
    struct fixture *fixture = *state;
    static struct crowd crowd;
    struct member *first = &fixture->members[0];
    struct farewell farewell = {.member = first};
    scoped(client_close) struct client *client = start_and_open(fixture, 2);
    crowd = (struct crowd){.client = client, .service = SILENT, .count = 3};
    post_crowd(&crowd);
    CHECK(test_wait(has_kept_three, first));
    test_node_call(station_node(first->station), say_farewell, &farewell);
    do { /* it may not have heard of it yet */
        check_ask(client, ECHO, ERR_NONE, "hello");
    } while (strcmp(client_node_name(client), "n1") != 0);
    CHECK(!is_answered(&farewell));
    test_node_call(station_node(first->station), answer_kept, first);
    CHECK(test_wait(all_are_answered, &crowd));
    CHECK(test_wait(is_answered, &farewell));
}

/* ---- nodes go and come ---- */

static void when_its_node_ends_another_is_asked(void **state)
{
    struct fixture *fixture = *state;
    start(&fixture->members[0]);
    scoped(client_close) struct client *client = NULL;
    CHECK_OK(open_to(fixture, 2, CONNECT_MS, &client, NULL));
    assert_string_equal(client_node_name(client), "n0");
    start(&fixture->members[1]);
    struct posix_thread *thread = NULL;
    CHECK_OK(posix_thread_start(&thread, "stop", stop_when_asked,
                                &fixture->members[0]));
    check_ask(client, SILENT, ERR_UNCERTAIN, "");
    posix_thread_join(&thread);
    check_ask(client, ECHO, ERR_NONE, "hello");
    assert_string_equal(client_node_name(client), "n1");
}

static void a_node_that_comes_back_is_asked_again(void **state)
{
    struct fixture *fixture = *state;
    start(&fixture->members[0]);
    scoped(client_close) struct client *client = NULL;
    CHECK_OK(open_to(fixture, 1, 2000, &client, NULL));
    stop(&fixture->members[0]);
    uint8_t *answer = NULL;
    size_t length = 0;
    enum err err = ERR_UNCERTAIN;
    while (err == ERR_UNCERTAIN) { /* the link may not be gone yet */
        err =
            client_ask(client, ECHO, (struct bytes){0}, 100, &answer, &length);
    }
    CHECK_ERR(err, ERR_UNREACHABLE);
    CHECK(!answer);
    start(&fixture->members[0]);
    for (int i = 0; err == ERR_UNREACHABLE && i < 20; i++) {
        err = client_ask(client, ECHO, (struct bytes){0}, ASK_MS, &answer,
                         &length);
    }
    CHECK_OK(err);
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
        TEST(a_node_answers_a_client),
        TEST(clients_with_one_certificate_are_answered_in_turns),
        TEST(clients_that_have_gone_are_no_hindrance),
        TEST(no_answer_in_time_is_told),
        TEST(the_next_node_is_asked_when_the_first_is_away),
        TEST(that_nobody_is_there_is_told_with_each_of_them),
        TEST(without_nodes_there_is_nobody_to_ask),
        TEST(a_refusal_is_told_at_once),
        TEST(a_revoked_client_is_cut_and_hears_why),
        TEST(a_node_may_not_pass_for_a_client),
        TEST(what_a_node_that_ends_has_not_done_another_one_does),
        TEST(a_node_without_a_quorum_is_left_for_another),
        TEST(that_no_node_has_a_quorum_is_told),
        TEST(a_node_without_a_quorum_is_kept_when_there_is_no_other),
        TEST(what_is_said_when_time_is_almost_over_counts_for_the_next),
        TEST(a_client_leaves_a_node_that_says_that_it_will_end),
        TEST(when_its_node_ends_another_is_asked),
        TEST(a_node_that_comes_back_is_asked_again),
        TEST(many_questions_are_answered_at_a_time),
        TEST(what_is_under_way_hears_that_the_client_is_closed),
        TEST(a_node_that_ends_is_left_when_it_has_answered),
    };
    return cmocka_run_group_tests(tests, set_up_group, NULL);
}
