/*
 * The router between a host, groups and calls that the test plays: it defines
 * their functions itself.
 */

#include "shard/router.h"

#include "tests/support/check.h"

#include "base/time_units.h"
#include "shard/archive_wire.h"
#include "shard/router_wire.h"
#include "tests/support/fake_clock.h"
#include "tests/support/seeded.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SELF 0
#define NODE_COUNT 5
#define SHARD_COUNT 4
#define PENDING_MAX 256
#define TEXT_BYTES 512
#define TIMEOUT_MS 10000

struct text {
    char text[TEXT_BYTES];
    size_t length;
};

/* What a group was given and has not answered, the oldest first. */
struct group {
    uint32_t id;
    enum err err; /* what it says to whoever asks */
    struct {
        struct group_request *request;
        struct text command;
        bool is_read;
        bool for_archive;
    } pending[PENDING_MAX];
    uint32_t pending_count;
    uint32_t given_count;
};

struct peer {
    uint32_t node;
    bool is_up;
    uint64_t heard_ns;
};

struct asked {
    struct certificate certificate;
    uint64_t until_ns;
    bool is_answered;
    enum err err;
    struct text answer;
};

struct host {
    struct view view;
    struct shard_place places[SHARD_COUNT];
    bool has_view;
    uint32_t leaders[SHARD_COUNT];
    struct group groups[SHARD_COUNT];
    bool has_group[SHARD_COUNT];
    struct peer peers[NODE_COUNT];
};

/* What was asked and is not answered. */
struct calls {
    enum err err; /* what calls_ask() says */
    struct {
        struct call *call;
        struct text question;
        uint32_t node;
        uint32_t timeout_ms;
    } pending[PENDING_MAX];
    uint32_t pending_count;
    uint32_t asked_count;
    calls_handler *handler;
    void *context;
    bool others_may;
};

/* ---- what the router is linked with ---- */

const struct view *host_view(const struct host *host)
{
    return host->has_view ? &host->view : NULL;
}

uint32_t host_number(const struct host *host)
{
    (void)host;
    return SELF;
}

struct peer *host_peer(const struct host *host, uint32_t number)
{
    return number < NODE_COUNT && number != SELF
               ? (struct peer *)(uintptr_t)&host->peers[number]
               : NULL;
}

struct group *host_group(const struct host *host, uint32_t group)
{
    uint32_t shard = shard_of_group(group);
    return shard < SHARD_COUNT && host->has_group[shard]
               ? (struct group *)(uintptr_t)&host->groups[shard]
               : NULL;
}

uint32_t host_leader(const struct host *host, uint32_t shard)
{
    return shard < SHARD_COUNT ? host->leaders[shard] : MEMBER_NONE;
}

bool peer_is_up(const struct peer *peer)
{
    return peer->is_up;
}

uint64_t peer_heard_ns(const struct peer *peer)
{
    return peer->heard_ns;
}

static void copy_text(struct text *to, struct bytes from)
{
    assert(from.length <= TEXT_BYTES);
    if (from.length > 0) {
        memcpy(to->text, from.data, from.length);
    }
    to->length = from.length;
}

static enum err take_in(struct group *group,
                        struct bytes command,
                        struct group_request *request,
                        bool is_read)
{
    if (group->err) {
        return group->err;
    }
    assert(group->pending_count < PENDING_MAX);
    uint32_t at = group->pending_count++;
    group->pending[at].request = request;
    group->pending[at].is_read = is_read;
    assert(command.length > 0 && command.data[0] <= ARCHIVE_FOR_ARCHIVE);
    group->pending[at].for_archive = command.data[0] == ARCHIVE_FOR_ARCHIVE;
    copy_text(&group->pending[at].command,
              bytes_of(command.data + 1, command.length - 1));
    group->given_count++;
    return ERR_NONE;
}

enum err group_propose(struct group *group,
                       struct bytes command,
                       struct group_request *request)
{
    return take_in(group, command, request, false);
}

enum err group_read(struct group *group,
                    struct bytes question,
                    struct group_request *request)
{
    return take_in(group, question, request, true);
}

enum err calls_ask(struct calls *calls,
                   struct peer *peer,
                   uint8_t service,
                   struct bytes question,
                   uint32_t timeout_ms,
                   struct call *call)
{
    assert(service == HOST_SERVICE_REQUEST && peer->is_up && !call->calls);
    if (calls->err) {
        return calls->err;
    }
    assert(calls->pending_count < PENDING_MAX);
    uint32_t at = calls->pending_count++;
    calls->pending[at].call = call;
    calls->pending[at].node = peer->node;
    calls->pending[at].timeout_ms = timeout_ms;
    copy_text(&calls->pending[at].question, question);
    calls->asked_count++;
    call->calls = calls;
    return ERR_NONE;
}

static void forget_call(struct calls *calls, uint32_t at)
{
    calls->pending[at].call->calls = NULL;
    calls->pending_count--;
    memmove(&calls->pending[at], &calls->pending[at + 1],
            (calls->pending_count - at) * sizeof calls->pending[0]);
}

void calls_cancel(struct calls *calls, struct call *call)
{
    for (uint32_t i = 0; i < calls->pending_count; i++) {
        if (calls->pending[i].call == call) {
            forget_call(calls, i);
            return;
        }
    }
}

void calls_serve(struct calls *calls,
                 uint8_t service,
                 calls_handler *handler,
                 void *context,
                 bool others_may)
{
    assert(service == HOST_SERVICE_REQUEST);
    calls->handler = handler;
    calls->context = context;
    calls->others_may = others_may;
}

void asked_answer(struct asked **asked, enum err err, struct bytes answer)
{
    assert(!(*asked)->is_answered);
    (*asked)->is_answered = true;
    (*asked)->err = err;
    copy_text(&(*asked)->answer, answer);
    *asked = NULL;
}

const struct certificate *asked_certificate(const struct asked *asked)
{
    return &asked->certificate;
}

uint64_t asked_until_ns(const struct asked *asked)
{
    return asked->until_ns;
}

/* ---- the world ---- */

#define NOBODY NODE_COUNT

#define MADE_MAX 2048

struct world {
    void *made[MADE_MAX];
    uint32_t made_count;
    struct fake_clock fake;
    struct clock clock;
    struct reactor *reactor;
    struct host host;
    struct calls calls;
    struct router_config config;
    struct router *router;
    uint32_t quiet; /* this node is not heard */
};

/* Whoever asks here. */
struct client {
    struct router_request request;
    struct world *world;
    uint32_t done_count;
    enum err err;
    struct text answer;
    struct client *then; /* asks when this one is answered */
    bool may_not_be_told;
};

/* All zero; lives as long as the world: also when a test fails halfway there
 * are requests under way. */
static void *make(struct world *world, size_t count, size_t size)
{
    assert(world->made_count < MADE_MAX);
    void *made = calloc(count, size);
    world->made[world->made_count++] = made;
    assert(made);
    return made;
}

static void turn(struct world *world)
{
    (void)reactor_turn(world->reactor);
}

static void hear_all(struct world *world)
{
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        if (i != world->quiet) {
            world->host.peers[i].heard_ns = world->fake.now_ns;
        }
    }
}

static void pass_ms(struct world *world, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i++) {
        world->fake.now_ns += NS_PER_MS;
        hear_all(world);
        turn(world);
    }
}

static void set_leader(struct world *world, uint32_t shard, uint32_t node)
{
    world->host.leaders[shard] = node;
    router_on_leader(world->router, shard);
    turn(world);
}

/* Shards stand on the nodes 0, 1 and 2; node 0 is we, and has groups. */
static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct host *host = &world->host;
    world->fake.now_ns = NS_PER_S;
    world->clock = fake_clock_table(&world->fake);
    CHECK_OK(reactor_open(
        &world->reactor,
        &(struct reactor_config){.name = "test", .clock = &world->clock}));
    host->view.version = 7;
    host->view.map.shard_count = SHARD_COUNT;
    host->view.map.places = host->places;
    host->has_view = true;
    for (uint32_t i = 0; i < SHARD_COUNT; i++) {
        host->places[i] =
            (struct shard_place){.replica_count = 3, .replicas = {0, 1, 2}};
        host->groups[i].id = shard_group_id(i);
        host->has_group[i] = true;
        host->leaders[i] = MEMBER_NONE;
    }
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        host->peers[i] = (struct peer){.node = i, .is_up = true};
    }
    world->quiet = NOBODY;
    hear_all(world);
    router_config_defaults(&world->config);
    world->config.host = host;
    world->config.calls = &world->calls;
    world->config.clock = &world->clock;
    world->config.reactor = world->reactor;
    CHECK_OK(router_open(&world->router, &world->config));
    *state = world;
    return 0;
}

/* For those that need another configuration. */
static void open_again(struct world *world)
{
    router_close(&world->router);
    CHECK_OK(router_open(&world->router, &world->config));
}

static void group_answer(struct world *world,
                         uint32_t shard,
                         enum err err,
                         const char *reply)
{
    struct group *group = &world->host.groups[shard];
    CHECK(group->pending_count > 0);
    struct group_request *request = group->pending[0].request;
    group->pending_count--;
    memmove(&group->pending[0], &group->pending[1],
            group->pending_count * sizeof group->pending[0]);
    request->done(request, err, bytes_of_text(reply));
    turn(world);
}

static int tear_down(void **state)
{
    struct world *world = *state;
    router_close(&world->router);
    for (uint32_t i = 0; i < SHARD_COUNT; i++) {
        while (world->host.groups[i].pending_count > 0) {
            group_answer(world, i, ERR_NOT_LEADER, "");
        }
    }
    CHECK(world->calls.pending_count == 0);
    CHECK(!world->calls.context);
    reactor_close(&world->reactor);
    while (world->made_count > 0) {
        free(world->made[--world->made_count]);
    }
    free(world);
    return 0;
}

static void on_done(struct router_request *request,
                    enum err err,
                    struct bytes answer);

static enum err ask_as(struct world *world,
                       struct client *client,
                       const struct router_ask *ask)
{
    client->world = world;
    client->done_count = 0;
    client->request.done = on_done;
    enum err err = router_ask(world->router, ask, &client->request);
    CHECK(client->done_count == 0);
    return err;
}

static void ask(struct world *world, struct client *client, const char *text)
{
    CHECK_OK(ask_as(world, client,
                    &(struct router_ask){.command = bytes_of_text(text),
                                         .timeout_ms = TIMEOUT_MS}));
}

static void ask_repeatable(struct world *world,
                           struct client *client,
                           const char *text)
{
    CHECK_OK(ask_as(world, client,
                    &(struct router_ask){.command = bytes_of_text(text),
                                         .timeout_ms = TIMEOUT_MS,
                                         .may_repeat = true}));
}

static void on_done(struct router_request *request,
                    enum err err,
                    struct bytes answer)
{
    struct client *client = (struct client *)(void *)request;
    CHECK(!client->may_not_be_told);
    client->done_count++;
    client->err = err;
    copy_text(&client->answer, answer);
    if (client->then) {
        ask(client->world, client->then, "then");
    }
}

static void check_told(const struct client *client,
                       enum err err,
                       const char *answer)
{
    CHECK(client->done_count == 1);
    CHECK_ERR(client->err, err);
    CHECK(client->answer.length == strlen(answer));
    CHECK(memcmp(client->answer.text, answer, client->answer.length) == 0);
}

static bool is_text(const struct text *text, const char *expected)
{
    return text->length == strlen(expected) &&
           memcmp(text->text, expected, text->length) == 0;
}

static struct router_ask question_of(const struct world *world,
                                     uint32_t at,
                                     uint8_t *hops)
{
    const struct text *question = &world->calls.pending[at].question;
    struct router_ask out = {0};
    CHECK(at < world->calls.pending_count);
    CHECK_OK(router_ask_decode(&out, hops,
                               bytes_of(question->text, question->length)));
    return out;
}

/* That exactly one question is under way, to this node. */
static void check_asks(const struct world *world, uint32_t node, uint8_t hops)
{
    uint8_t found;
    CHECK(world->calls.pending_count == 1);
    CHECK(world->calls.pending[0].node == node);
    (void)question_of(world, 0, &found);
    CHECK(found == hops);
}

static void answer_call(struct world *world, enum err err, struct bytes answer)
{
    CHECK(world->calls.pending_count > 0);
    struct call *call = world->calls.pending[0].call;
    forget_call(&world->calls, 0);
    call->done(call, err, answer);
    turn(world);
}

static void answer_text(struct world *world, enum err err, const char *answer)
{
    answer_call(world, err, bytes_of_text(answer));
}

static void answer_hint(struct world *world, uint32_t leader)
{
    uint8_t buffer[ROUTER_HINT_BYTES_MAX];
    struct writer writer = writer_of(buffer, sizeof buffer);
    struct router_hint hint = {.leader = leader, .view_version = 9};
    router_hint_encode(&hint, &writer);
    answer_call(world, ERR_NOT_LEADER, writer_bytes(&writer));
}

/* Another process asks us. */
static void serve(struct world *world,
                  struct asked *asked,
                  enum role role,
                  uint8_t hops,
                  const struct router_ask *question)
{
    uint8_t buffer[TEXT_BYTES];
    struct writer writer = writer_of(buffer, sizeof buffer);
    router_ask_encode(question, hops, &writer);
    CHECK(!writer.failed);
    *asked =
        (struct asked){.certificate.role = role,
                       .until_ns = world->fake.now_ns + TIMEOUT_MS * NS_PER_MS};
    world->calls.handler(world->calls.context, asked, writer_bytes(&writer));
}

static void serve_node(struct world *world, struct asked *asked, uint8_t hops)
{
    struct router_ask question = {.command = bytes_of_text("served")};
    serve(world, asked, ROLE_NODE, hops, &question);
}

static void check_answered(const struct asked *asked,
                           enum err err,
                           const char *answer)
{
    CHECK(asked->is_answered);
    CHECK_ERR(asked->err, err);
    CHECK(is_text(&asked->answer, answer));
}

static void check_hinted(const struct asked *asked, uint32_t leader)
{
    struct router_hint hint;
    CHECK(asked->is_answered);
    CHECK_ERR(asked->err, ERR_NOT_LEADER);
    CHECK_OK(router_hint_decode(
        &hint, bytes_of(asked->answer.text, asked->answer.length)));
    CHECK(hint.leader == leader);
    CHECK(hint.view_version == 7);
}

static const struct group *group_of(const struct world *world, uint32_t shard)
{
    return &world->host.groups[shard];
}

/* ---- here ---- */

static void gives_a_command_to_the_group_that_leads_here(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    set_leader(world, 0, SELF);
    ask(world, client, "add");
    CHECK(group_of(world, 0)->pending_count == 1);
    CHECK(!group_of(world, 0)->pending[0].is_read);
    CHECK(is_text(&group_of(world, 0)->pending[0].command, "add"));
    group_answer(world, 0, ERR_NONE, "done");
    check_told(client, ERR_NONE, "done");
    CHECK(router_stats(world->router)->local == 1);
    CHECK(router_stats(world->router)->waited == 0);
    CHECK(router_stats(world->router)->repeated == 0);
}

static void gives_a_question_as_a_read(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    set_leader(world, 2, SELF);
    CHECK_OK(ask_as(world, client,
                    &(struct router_ask){.shard = 2,
                                         .is_read = true,
                                         .command = bytes_of_text("get"),
                                         .timeout_ms = 100}));
    CHECK(group_of(world, 2)->pending[0].is_read);
    group_answer(world, 2, ERR_NONE, "42");
    check_told(client, ERR_NONE, "42");
}

static void takes_commands_of_any_length(void **state)
{
    struct world *world = *state;
    char text[TEXT_BYTES];
    set_leader(world, 0, SELF);
    for (size_t length = 0; length < sizeof text - 32; length += 30) {
        struct client *client = make(world, 1, sizeof *client);
        memset(text, 'x', length);
        text[length] = '\0';
        ask(world, client, text);
        CHECK(is_text(&group_of(world, 0)->pending[0].command, text));
        group_answer(world, 0, ERR_NONE, "");
        check_told(client, ERR_NONE, "");
    }
}

static void says_what_the_machine_says(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    set_leader(world, 0, SELF);
    ask(world, client, "add");
    group_answer(world, 0, ERR_EXISTS, "");
    check_told(client, ERR_EXISTS, "");
}

static void says_later_what_the_group_refuses_at_once(void **state)
{
    struct world *world = *state;
    const enum err refusals[] = {ERR_FULL, ERR_NO_SPACE, ERR_TOO_LARGE,
                                 ERR_MEMORY};
    set_leader(world, 0, SELF);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct client *client = make(world, 1, sizeof *client);
        world->host.groups[0].err = refusals[i];
        ask(world, client, "add");
        turn(world);
        check_told(client, refusals[i], "");
    }
}

static void one_may_ask_again_when_told(void **state)
{
    struct world *world = *state;
    struct client *second = make(world, 1, sizeof *second);
    struct client *first = make(world, 1, sizeof *first);
    first->then = second;
    set_leader(world, 0, SELF);
    ask(world, first, "first");
    group_answer(world, 0, ERR_NONE, "1");
    group_answer(world, 0, ERR_NONE, "2");
    check_told(first, ERR_NONE, "1");
    check_told(second, ERR_NONE, "2");
}

/* ---- the archive ---- */

static void tells_a_shard_whom_a_command_is_for(void **state)
{
    struct world *world = *state;
    struct client *clients = make(world, 2, sizeof *clients);
    set_leader(world, 0, SELF);
    ask(world, &clients[0], "add");
    CHECK(!group_of(world, 0)->pending[0].for_archive);
    CHECK_OK(ask_as(world, &clients[1],
                    &(struct router_ask){.for_archive = true,
                                         .command = bytes_of_text("begin"),
                                         .timeout_ms = 100}));
    CHECK(group_of(world, 0)->pending[1].for_archive);
    CHECK(is_text(&group_of(world, 0)->pending[1].command, "begin"));
    group_answer(world, 0, ERR_NONE, "");
    group_answer(world, 0, ERR_NONE, "");
}

static void tells_another_node_whom_a_command_is_for(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    struct router_ask sent;
    uint8_t hops;
    set_leader(world, 0, 1);
    CHECK_OK(ask_as(world, client,
                    &(struct router_ask){.for_archive = true,
                                         .command = bytes_of_text("begin"),
                                         .timeout_ms = 100}));
    const struct text *question = &world->calls.pending[0].question;
    CHECK_OK(router_ask_decode(&sent, &hops,
                               bytes_of(question->text, question->length)));
    CHECK(sent.for_archive);
    CHECK(bytes_are_equal(sent.command, bytes_of_text("begin")));
    answer_text(world, ERR_NONE, "begun");
    check_told(client, ERR_NONE, "begun");
}

static void the_archive_listens_to_operators_and_nodes_alone(void **state)
{
    struct world *world = *state;
    const enum role roles[] = {ROLE_CLIENT, ROLE_OBSERVER, ROLE_OPERATOR,
                               ROLE_NODE};
    struct router_ask question = {
        .for_archive = true, .is_read = true, .command = bytes_of_text("x")};
    set_leader(world, 0, SELF);
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        struct asked *asked = make(world, 1, sizeof *asked);
        serve(world, asked, roles[i], 0, &question);
        if (roles[i] == ROLE_OPERATOR || roles[i] == ROLE_NODE) {
            CHECK(group_of(world, 0)->pending[0].for_archive);
            group_answer(world, 0, ERR_NONE, "yes");
            check_answered(asked, ERR_NONE, "yes");
        } else {
            check_answered(asked, ERR_DENIED, "");
        }
    }
}

static void a_machine_that_is_busy_is_asked_again(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    struct asked *asked = make(world, 1, sizeof *asked);
    set_leader(world, 0, SELF);
    ask(world, client, "add");
    group_answer(world, 0, ERR_BUSY, "");
    CHECK(client->done_count == 0);
    pass_ms(world, 100);
    CHECK(is_text(&group_of(world, 0)->pending[0].command, "add"));
    group_answer(world, 0, ERR_NONE, "1");
    check_told(client, ERR_NONE, "1");
    serve_node(world, asked, 1); /* who asks again himself */
    group_answer(world, 0, ERR_BUSY, "");
    check_answered(asked, ERR_BUSY, "");
}

static void what_is_for_the_archive_does_not_wait_for_others(void **state)
{
    struct world *world = *state;
    struct client *clients = make(world, 2, sizeof *clients);
    set_leader(world, 0, SELF);
    ask(world, &clients[0], "add");
    group_answer(world, 0, ERR_BUSY, "");
    CHECK_OK(ask_as(world, &clients[1],
                    &(struct router_ask){.for_archive = true,
                                         .command = bytes_of_text("end"),
                                         .timeout_ms = TIMEOUT_MS}));
    CHECK(group_of(world, 0)->pending_count == 1);
    group_answer(world, 0, ERR_NONE, "done");
    check_told(&clients[1], ERR_NONE, "done");
    pass_ms(world, 100);
    group_answer(world, 0, ERR_NONE, "1");
    check_told(&clients[0], ERR_NONE, "1");
}

/* ---- waiting ---- */

static void waits_until_somebody_leads_and_keeps_the_order(void **state)
{
    struct world *world = *state;
    struct client *clients = make(world, 3, sizeof *clients);
    ask(world, &clients[0], "0");
    ask(world, &clients[1], "1");
    pass_ms(world, 50);
    ask(world, &clients[2], "2");
    CHECK(router_stats(world->router)->waited == 3);
    CHECK(group_of(world, 0)->given_count == 0);
    set_leader(world, 0, SELF); /* at once, not with the next attempt */
    CHECK(group_of(world, 0)->pending_count == 3);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK(group_of(world, 0)->pending[i].command.text[0] == '0' + (char)i);
    }
    for (uint32_t i = 0; i < 3; i++) {
        group_answer(world, 0, ERR_NONE, "");
        check_told(&clients[i], ERR_NONE, "");
    }
    CHECK(router_stats(world->router)->repeated == 0);
}

static void tries_a_busy_leader_again_and_less_and_less_often(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    uint32_t count = 0;
    world->host.groups[0].err = ERR_BUSY;
    set_leader(world, 0, SELF);
    ask(world, client, "add");
    for (uint32_t i = 0; i < 1000; i++) {
        pass_ms(world, 1);
        count += reactor_turn(world->reactor) == 100 * NS_PER_MS;
    }
    CHECK(count >= 8 && count <= 10); /* after 5, 15, 35, 75 ms: each 100 */
    world->host.groups[0].err = ERR_NONE;
    pass_ms(world, 100);
    group_answer(world, 0, ERR_NONE, "");
    check_told(client, ERR_NONE, "");
}

static void a_later_request_waits_behind_an_earlier_one(void **state)
{
    struct world *world = *state;
    struct client *clients = make(world, 2, sizeof *clients);
    world->host.groups[0].err = ERR_BUSY;
    set_leader(world, 0, SELF);
    ask(world, &clients[0], "0");
    world->host.groups[0].err = ERR_NONE;
    ask(world, &clients[1], "1");
    CHECK(group_of(world, 0)->given_count == 0);
    pass_ms(world, 5);
    CHECK(is_text(&group_of(world, 0)->pending[0].command, "0"));
    CHECK(is_text(&group_of(world, 0)->pending[1].command, "1"));
}

static void waits_when_a_group_is_full_after_it_has_waited(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    ask(world, client, "add");
    world->host.groups[0].err = ERR_FULL;
    set_leader(world, 0, SELF);
    pass_ms(world, 200);
    CHECK(client->done_count == 0);
    world->host.groups[0].err = ERR_NONE;
    pass_ms(world, 100);
    group_answer(world, 0, ERR_NONE, "");
    check_told(client, ERR_NONE, "");
}

static void what_a_deposed_leader_did_not_propose_goes_to_the_next(void **state)
{
    struct world *world = *state;
    struct client *clients = make(world, 3, sizeof *clients);
    set_leader(world, 0, SELF);
    ask(world, &clients[0], "0");
    ask(world, &clients[1], "1");
    world->host.leaders[0] = 1;
    world->host.groups[0].err = ERR_NOT_LEADER;
    group_answer(world, 0, ERR_NOT_LEADER, "");
    ask(world, &clients[2], "2");
    group_answer(world, 0, ERR_NOT_LEADER, "");
    router_on_leader(world->router, 0);
    turn(world);
    CHECK(world->calls.pending_count == 3);
    for (uint32_t i = 0; i < 3; i++) {
        uint8_t hops;
        struct router_ask question = question_of(world, i, &hops);
        CHECK(world->calls.pending[i].node == 1);
        CHECK(question.command.data[0] == '0' + i);
    }
}

static void repeats_what_may_have_happened_only_when_it_may(void **state)
{
    struct world *world = *state;
    struct client *clients = make(world, 3, sizeof *clients);
    set_leader(world, 0, SELF);
    ask(world, &clients[0], "once");
    ask_repeatable(world, &clients[1], "often");
    CHECK_OK(ask_as(world, &clients[2],
                    &(struct router_ask){.is_read = true,
                                         .command = bytes_of_text("get"),
                                         .timeout_ms = 1000}));
    for (uint32_t i = 0; i < 3; i++) {
        group_answer(world, 0, ERR_UNCERTAIN, "");
    }
    check_told(&clients[0], ERR_UNCERTAIN, "");
    pass_ms(world, 5);
    CHECK(router_stats(world->router)->uncertain == 1);
    CHECK(router_stats(world->router)->repeated == 2);
    group_answer(world, 0, ERR_NONE, "often");
    group_answer(world, 0, ERR_NONE, "got");
    check_told(&clients[1], ERR_NONE, "often");
    check_told(&clients[2], ERR_NONE, "got");
}

static void refuses_nothing_that_may_have_happened(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    set_leader(world, 0, SELF);
    ask_repeatable(world, client, "add");
    world->host.groups[0].err = ERR_NO_SPACE;
    group_answer(world, 0, ERR_UNCERTAIN, "");
    pass_ms(world, TIMEOUT_MS + 1);
    check_told(client, ERR_TIMEOUT, "");
}

/* ---- elsewhere ---- */

static void sends_a_request_to_the_node_that_leads(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    uint8_t hops;
    set_leader(world, 3, 2);
    CHECK_OK(ask_as(world, client,
                    &(struct router_ask){.shard = 3,
                                         .may_repeat = true,
                                         .command = bytes_of_text("add"),
                                         .timeout_ms = 300}));
    check_asks(world, 2, 1);
    struct router_ask question = question_of(world, 0, &hops);
    CHECK(question.shard == 3 && question.may_repeat && !question.is_read);
    CHECK(bytes_are_equal(question.command, bytes_of_text("add")));
    CHECK(world->calls.pending[0].timeout_ms >= 300 &&
          world->calls.pending[0].timeout_ms <= 301);
    answer_text(world, ERR_NONE, "done");
    check_told(client, ERR_NONE, "done");
    CHECK(router_stats(world->router)->forwarded == 1);
}

static void says_what_the_machine_elsewhere_says(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    set_leader(world, 0, 1);
    ask(world, client, "add");
    answer_text(world, ERR_EXISTS, "why");
    check_told(client, ERR_EXISTS, "why");
    ask(world, client, "add");
    answer_text(world, ERR_FULL, "");
    check_told(client, ERR_FULL, "");
}

static void repeats_elsewhere_only_what_may_be_repeated(void **state)
{
    struct world *world = *state;
    const enum err errs[] = {ERR_UNCERTAIN, ERR_TIMEOUT, ERR_CLOSED};
    set_leader(world, 0, 1);
    for (size_t i = 0; i < sizeof errs / sizeof *errs; i++) {
        struct client *clients = make(world, 2, sizeof *clients);
        ask(world, &clients[0], "once");
        ask_repeatable(world, &clients[1], "often");
        answer_text(world, errs[i], "");
        answer_text(world, errs[i], "");
        check_told(&clients[0], ERR_UNCERTAIN, "");
        pass_ms(world, 100);
        answer_text(world, ERR_NONE, "now");
        check_told(&clients[1], ERR_NONE, "now");
    }
}

static void tries_again_when_nothing_has_happened(void **state)
{
    struct world *world = *state;
    const enum err errs[] = {ERR_UNREACHABLE, ERR_BUSY};
    set_leader(world, 0, 1);
    for (size_t i = 0; i < sizeof errs / sizeof *errs; i++) {
        struct client *client = make(world, 1, sizeof *client);
        ask(world, client, "once");
        answer_text(world, errs[i], "");
        CHECK(client->done_count == 0);
        pass_ms(world, 100);
        answer_text(world, ERR_NONE, "now");
        check_told(client, ERR_NONE, "now");
    }
}

static void waits_for_room_in_the_link(void **state)
{
    struct world *world = *state;
    const enum err errs[] = {ERR_FULL, ERR_UNREACHABLE};
    set_leader(world, 0, 1);
    for (size_t i = 0; i < sizeof errs / sizeof *errs; i++) {
        struct client *client = make(world, 1, sizeof *client);
        world->calls.err = errs[i];
        ask(world, client, "add");
        pass_ms(world, 20);
        CHECK(client->done_count == 0);
        world->calls.err = ERR_NONE;
        pass_ms(world, 100);
        answer_text(world, ERR_NONE, "now");
        check_told(client, ERR_NONE, "now");
    }
}

static void says_what_a_link_cannot_take(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    set_leader(world, 0, 1);
    world->calls.err = ERR_TOO_LARGE;
    ask(world, client, "add");
    turn(world);
    check_told(client, ERR_TOO_LARGE, "");
}

static void follows_who_leads_by_another_nodes_word_and_keeps_it(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    world->host.has_group[1] = false;
    world->host.places[1].replicas[0] = 3; /* the owner by the map */
    struct router_ask question = {
        .shard = 1, .command = bytes_of_text("add"), .timeout_ms = 1000};
    CHECK_OK(ask_as(world, client, &question));
    check_asks(world, 3, 1);
    answer_hint(world, 2);
    check_asks(world, 2, 1);
    answer_text(world, ERR_NONE, "");
    check_told(client, ERR_NONE, "");
    CHECK_OK(ask_as(world, client, &question));
    check_asks(world, 2, 1); /* at the first attempt */
    answer_hint(world, MEMBER_NONE);
    CHECK(world->calls.pending_count == 0);
    pass_ms(world, 5);
    check_asks(world, 3, 1); /* the owner again */
}

static void does_not_follow_what_leads_nowhere(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    world->host.has_group[0] = false;
    world->host.places[0].replicas[0] = 3;
    ask(world, client, "add");
    check_asks(world, 3, 1);
    answer_text(world, ERR_NOT_LEADER, "rubbish");
    CHECK(world->calls.pending_count == 0);
    pass_ms(world, 100);
    check_asks(world, 3, 1);
    answer_hint(world, SELF);
    CHECK(world->calls.pending_count == 0);
    pass_ms(world, 100);
    check_asks(world, 3, 1);
    answer_hint(world, 3);
    CHECK(world->calls.pending_count == 0);
}

static void two_nodes_that_name_each_other_make_no_storm(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    world->host.has_group[0] = false;
    world->host.places[0].replicas[0] = 1;
    ask(world, client, "add");
    for (uint32_t i = 0; i < 1000; i++) {
        if (world->calls.pending_count > 0) {
            answer_hint(world, world->calls.pending[0].node == 1 ? 2 : 1);
        }
        if (i % 10 == 0) {
            pass_ms(world, 1);
        }
    }
    CHECK(world->calls.asked_count > ROUTER_HOPS_MAX);
    CHECK(world->calls.asked_count < 40); /* in 100 ms */
    router_close(&world->router);         /* tells those that are left */
}

static void asks_another_replica_when_the_leader_is_out_of_reach(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    set_leader(world, 0, 1);
    world->host.peers[1].is_up = false;
    ask(world, client, "add");
    check_asks(world, 2, 1); /* who leads? */
    answer_hint(world, 1);
    check_asks(world, 2, 2); /* then pass it on */
    answer_text(world, ERR_NONE, "done");
    check_told(client, ERR_NONE, "done");
}

static void a_replica_that_left_does_not_keep_requests_here(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    world->host.places[0] =
        (struct shard_place){.replica_count = 3, .replicas = {3, 1, 2}};
    ask(world, client, "add"); /* our old group knows no leader any more */
    check_asks(world, 3, 1);
}

/* ---- a leader that stands still ---- */

static void goes_to_a_new_leader_though_the_old_one_has_not_answered(
    void **state)
{
    struct world *world = *state;
    struct client *clients = make(world, 3, sizeof *clients);
    set_leader(world, 0, 1);
    ask(world, &clients[0], "once");
    ask_repeatable(world, &clients[1], "often");
    CHECK_OK(ask_as(world, &clients[2],
                    &(struct router_ask){.is_read = true,
                                         .command = bytes_of_text("read"),
                                         .timeout_ms = TIMEOUT_MS}));
    set_leader(world, 0, MEMBER_NONE); /* nobody is better yet */
    CHECK(world->calls.asked_count == 3);
    set_leader(world, 0, 2);
    CHECK(world->calls.pending_count == 3);
    CHECK(world->calls.pending[0].node == 1); /* must not be repeated */
    CHECK(world->calls.pending[1].node == 2);
    CHECK(world->calls.pending[2].node == 2);
    CHECK(router_stats(world->router)->recalled == 2);
    answer_text(world, ERR_UNCERTAIN, "");
    answer_text(world, ERR_NONE, "added");
    answer_text(world, ERR_NONE, "42");
    check_told(&clients[0], ERR_UNCERTAIN, "");
    check_told(&clients[1], ERR_NONE, "added");
    check_told(&clients[2], ERR_NONE, "42");
}

static void goes_to_our_own_group_when_that_leads_now(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    set_leader(world, 0, 1);
    ask_repeatable(world, client, "often");
    set_leader(world, 0, SELF);
    CHECK(world->calls.pending_count == 0);
    group_answer(world, 0, ERR_NONE, "done");
    check_told(client, ERR_NONE, "done");
}

static void asks_another_replica_when_a_leader_is_not_heard(void **state)
{
    struct world *world = *state;
    struct client *clients = make(world, 3, sizeof *clients);
    world->host.has_group[0] = false; /* nobody here knows who leads */
    world->host.places[0] =
        (struct shard_place){.replica_count = 3, .replicas = {1, 2, 3}};
    ask(world, &clients[0], "once");
    ask_repeatable(world, &clients[1], "often");
    world->quiet = 1;
    pass_ms(world, 700);
    CHECK(world->calls.asked_count == 2);
    pass_ms(world, 400);
    CHECK(world->calls.pending_count == 2);
    CHECK(world->calls.pending[0].node == 1); /* must not be repeated */
    CHECK(world->calls.pending[1].node != 1);
    ask(world, &clients[2], "new");
    CHECK(world->calls.pending[2].node != 1); /* nor is it asked anew */
    for (uint32_t i = 0; i < 3; i++) {
        answer_text(world, ERR_NONE, "");
        check_told(&clients[i], ERR_NONE, "");
    }
}

static void waits_for_a_quiet_leader_when_nobody_else_is_heard(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    world->host.places[0] =
        (struct shard_place){.replica_count = 2, .replicas = {1, SELF}};
    set_leader(world, 0, 1);
    ask_repeatable(world, client, "often");
    world->quiet = 1;
    pass_ms(world, 2000);
    CHECK(world->calls.asked_count == 1);
    answer_text(world, ERR_NONE, "done");
    check_told(client, ERR_NONE, "done");
}

static void does_not_pass_on_to_a_leader_that_is_not_heard(void **state)
{
    struct world *world = *state;
    struct asked *asked = make(world, 1, sizeof *asked);
    world->host.places[0] =
        (struct shard_place){.replica_count = 2, .replicas = {1, SELF}};
    set_leader(world, 0, 1);
    world->quiet = 1;
    pass_ms(world, 1000);
    serve_node(world, asked, 2);
    turn(world);
    check_hinted(asked, 1);
    CHECK(world->calls.asked_count == 0);
}

static void says_that_it_may_have_happened_when_it_takes_back_what_it_passed_on(
    void **state)
{
    struct world *world = *state;
    struct asked *asked = make(world, 1, sizeof *asked);
    struct router_ask question = {.may_repeat = true,
                                  .command = bytes_of_text("often")};
    set_leader(world, 0, 1);
    serve(world, asked, ROLE_NODE, 2, &question);
    CHECK(world->calls.pending_count == 1);
    set_leader(world, 0, 2);
    CHECK(world->calls.pending_count == 0);
    check_answered(asked, ERR_UNCERTAIN, "");
}

/* ---- time ---- */

static void says_that_there_is_no_quorum(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    world->host.peers[1].is_up = false;
    world->host.peers[2].is_up = false;
    ask(world, client, "add");
    pass_ms(world, TIMEOUT_MS - 1);
    CHECK(client->done_count == 0);
    pass_ms(world, 1);
    check_told(client, ERR_NO_QUORUM, "");
    CHECK(router_stats(world->router)->timed_out == 1);
}

static void says_timeout_when_a_majority_is_there(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    world->host.peers[1].is_up = false;
    ask(world, client, "add");
    pass_ms(world, TIMEOUT_MS);
    check_told(client, ERR_TIMEOUT, "");
}

static void says_timeout_when_there_was_a_leader(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    world->host.groups[0].err = ERR_BUSY;
    set_leader(world, 0, SELF);
    ask(world, client, "add");
    set_leader(world, 0, MEMBER_NONE);
    world->host.peers[1].is_up = false;
    world->host.peers[2].is_up = false;
    pass_ms(world, TIMEOUT_MS);
    check_told(client, ERR_TIMEOUT, "");
}

static void says_timeout_when_it_may_have_happened(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    set_leader(world, 0, 1);
    world->host.peers[1].is_up = false;
    ask_repeatable(world, client, "add");
    check_asks(world, 2, 1); /* which may lead by now */
    world->host.peers[2].is_up = false;
    answer_text(world, ERR_UNCERTAIN, "");
    pass_ms(world, TIMEOUT_MS);
    check_told(client, ERR_TIMEOUT, "");
}

static void says_timeout_while_the_group_has_it(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    set_leader(world, 0, SELF);
    ask(world, client, "add");
    world->host.peers[1].is_up = false;
    world->host.peers[2].is_up = false;
    pass_ms(world, TIMEOUT_MS);
    check_told(client, ERR_TIMEOUT, "");
    group_answer(world, 0, ERR_NONE, "late");
    CHECK(client->done_count == 1);
}

static void says_timeout_while_another_node_has_it(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    set_leader(world, 0, 1);
    ask(world, client, "add");
    pass_ms(world, TIMEOUT_MS);
    check_told(client, ERR_TIMEOUT, "");
    CHECK(world->calls.pending_count == 0);
}

/* ---- shards and views ---- */

static void knows_which_shards_there_are(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    struct router_ask question = {.timeout_ms = 10};
    question.shard = SHARD_COUNT;
    CHECK_ERR(ask_as(world, client, &question), ERR_NOT_FOUND);
    question.shard = UINT32_MAX;
    CHECK_ERR(ask_as(world, client, &question), ERR_NOT_FOUND);
}

static void waits_for_a_view(void **state)
{
    struct world *world = *state;
    struct client *clients = make(world, 2, sizeof *clients);
    world->host.has_view = false;
    world->host.has_group[1] = false;
    for (uint32_t i = 0; i < 2; i++) {
        CHECK_OK(ask_as(world, &clients[i],
                        &(struct router_ask){.shard = i == 0 ? 1 : SHARD_COUNT,
                                             .timeout_ms = TIMEOUT_MS}));
    }
    pass_ms(world, 30);
    world->host.has_view = true;
    world->host.places[1].replicas[0] = 4;
    router_on_view(world->router);
    turn(world);
    turn(world);
    check_asks(world, 4, 1);
    check_told(&clients[1], ERR_NOT_FOUND, "");
}

static void believes_a_new_view_more_than_what_others_said(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 2, sizeof *client);
    world->host.has_group[0] = false;
    world->host.places[0].replicas[0] = 3;
    ask(world, &client[0], "add");
    answer_hint(world, 2);
    answer_text(world, ERR_NONE, "");
    world->host.places[0].replicas[0] = 4;
    router_on_view(world->router);
    ask(world, &client[1], "add");
    check_asks(world, 4, 1);
}

/* ---- limits ---- */

static void takes_as_many_as_it_may(void **state)
{
    struct world *world = *state;
    struct client *clients = make(world, 3, sizeof *clients);
    world->config.request_max = 2;
    open_again(world);
    ask(world, &clients[0], "0");
    ask(world, &clients[1], "1");
    struct router_ask third = {.timeout_ms = 100};
    CHECK_ERR(ask_as(world, &clients[2], &third), ERR_FULL);
    struct asked *asked = make(world, 1, sizeof *asked);
    serve_node(world, asked, 0);
    check_answered(asked, ERR_FULL, "");
    CHECK(router_stats(world->router)->refused == 2);
    router_cancel(world->router, &clients[0].request);
    CHECK_OK(ask_as(world, &clients[2], &third));
}

static void holds_as_many_bytes_as_it_may(void **state)
{
    struct world *world = *state;
    struct client *clients = make(world, 2, sizeof *clients);
    world->config.held_bytes_max = 10;
    open_again(world);
    set_leader(world, 0, SELF);
    ask(world, &clients[0], "1234567");
    struct router_ask second = {.command = bytes_of_text("1234"),
                                .timeout_ms = 100};
    CHECK_ERR(ask_as(world, &clients[1], &second), ERR_FULL);
    second.command.length = 3;
    CHECK_OK(ask_as(world, &clients[1], &second));
    group_answer(world, 0, ERR_NONE, "");
    group_answer(world, 0, ERR_NONE, "");
    ask(world, &clients[0], "1234567890");
}

/* What nobody waits for is with the group all the same. */
static void counts_what_a_group_has_until_it_answers(void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    world->config.request_max = 1;
    open_again(world);
    set_leader(world, 0, SELF);
    ask(world, client, "0");
    router_cancel(world->router, &client->request);
    struct router_ask second = {.timeout_ms = 100};
    CHECK_ERR(ask_as(world, client, &second), ERR_FULL);
    group_answer(world, 0, ERR_NONE, "");
    CHECK_OK(ask_as(world, client, &second));
}

/* ---- cancelling and closing ---- */

/* One each that waits, is with the group, elsewhere, and decided. */
static void ask_in_all_states(struct world *world, struct client clients[4])
{
    set_leader(world, 1, SELF);
    set_leader(world, 2, 1);
    set_leader(world, 3, SELF);
    world->host.groups[3].err = ERR_NO_SPACE;
    for (uint32_t i = 0; i < 4; i++) {
        CHECK_OK(ask_as(world, &clients[i],
                        &(struct router_ask){.shard = i,
                                             .command = bytes_of_text("all"),
                                             .timeout_ms = TIMEOUT_MS}));
    }
    CHECK(group_of(world, 1)->pending_count == 1);
    CHECK(world->calls.pending_count == 1);
}

static void whoever_cancels_is_not_told(void **state)
{
    struct world *world = *state;
    struct client *clients = make(world, 4, sizeof *clients);
    ask_in_all_states(world, clients);
    for (uint32_t i = 0; i < 4; i++) {
        router_cancel(world->router, &clients[i].request);
        router_cancel(world->router, &clients[i].request);
    }
    CHECK(world->calls.pending_count == 0);
    group_answer(world, 1, ERR_NONE, "");
    set_leader(world, 0, SELF);
    pass_ms(world, TIMEOUT_MS + 1);
    CHECK(group_of(world, 0)->given_count == 0);
    for (uint32_t i = 0; i < 4; i++) {
        CHECK(clients[i].done_count == 0);
    }
}

static void closing_tells_all(void **state)
{
    struct world *world = *state;
    struct client *clients = make(world, 4, sizeof *clients);
    ask_in_all_states(world, clients);
    router_close(&world->router);
    for (uint32_t i = 0; i < 4; i++) {
        check_told(&clients[i], ERR_CLOSED, "");
    }
    group_answer(world, 1, ERR_NONE, "");
    CHECK(clients[1].done_count == 1);
}

struct stubborn {
    struct router_request request;
    struct world *world;
    enum err again;
};

static void on_closed(struct router_request *request,
                      enum err err,
                      struct bytes answer)
{
    struct stubborn *stubborn = (struct stubborn *)(void *)request;
    (void)answer;
    CHECK_ERR(err, ERR_CLOSED);
    stubborn->again =
        router_ask(stubborn->world->router,
                   &(struct router_ask){.timeout_ms = 1}, request);
}

static void nobody_asks_while_it_closes(void **state)
{
    struct world *world = *state;
    struct stubborn stubborn = {.request.done = on_closed, .world = world};
    CHECK_OK(router_ask(world->router, &(struct router_ask){.timeout_ms = 9},
                        &stubborn.request));
    router_close(&world->router);
    CHECK_ERR(stubborn.again, ERR_CLOSED);
}

static void closing_tells_other_nodes_what_they_can_do(void **state)
{
    struct world *world = *state;
    struct asked *asked = make(world, 3, sizeof *asked);
    struct router_ask question = {.command = bytes_of_text("x")};
    set_leader(world, 1, SELF);
    serve(world, &asked[0], ROLE_NODE, 0, &question);
    question.shard = 1;
    serve(world, &asked[1], ROLE_NODE, 0, &question);
    question.is_read = true;
    serve(world, &asked[2], ROLE_NODE, 0, &question);
    router_close(&world->router);
    check_hinted(&asked[0], MEMBER_NONE); /* it has not happened */
    check_answered(&asked[1], ERR_UNCERTAIN, "");
    check_hinted(&asked[2], SELF);
}

static void a_router_that_was_closed_sends_others_elsewhere(void **state)
{
    struct world *world = *state;
    struct asked *asked = make(world, 1, sizeof *asked);
    struct router_ask question = {.command = bytes_of_text("x")};
    router_close(&world->router);
    CHECK(world->calls.others_may);
    serve(world, asked, ROLE_CLIENT, 0, &question);
    check_answered(asked, ERR_NOT_LEADER, "");
}

static void one_that_leaves_answers_what_it_has_and_takes_in_nothing(
    void **state)
{
    struct world *world = *state;
    struct client *client = make(world, 1, sizeof *client);
    struct asked *asked = make(world, 2, sizeof *asked);
    struct router_ask question = {.command = bytes_of_text("x")};
    CHECK(router_is_idle(world->router));
    set_leader(world, 0, 1);
    serve(world, &asked[0], ROLE_CLIENT, 0, &question);
    router_leave(world->router);
    CHECK(!router_is_idle(world->router));
    serve(world, &asked[1], ROLE_CLIENT, 0, &question);
    check_hinted(&asked[1], 1);
    answer_text(world, ERR_NONE, "yes");
    check_answered(&asked[0], ERR_NONE, "yes");
    CHECK(router_is_idle(world->router));
    ask(world, client, "ours"); /* go on */
    answer_text(world, ERR_NONE, "too");
    check_told(client, ERR_NONE, "too");
}

/* ---- serving ---- */

static void serves_others_where_it_leads(void **state)
{
    struct world *world = *state;
    CHECK(world->calls.others_may);
    set_leader(world, 0, SELF);
    for (uint8_t hops = 0; hops <= ROUTER_HOPS_MAX; hops++) {
        struct asked *asked = make(world, 1, sizeof *asked);
        serve_node(world, asked, hops);
        CHECK(is_text(&group_of(world, 0)->pending[0].command, "served"));
        group_answer(world, 0, ERR_NONE, "yes");
        check_answered(asked, ERR_NONE, "yes");
    }
}

static void waits_for_a_client(void **state)
{
    struct world *world = *state;
    struct asked *asked = make(world, 1, sizeof *asked);
    struct router_ask question = {.command = bytes_of_text("x")};
    serve(world, asked, ROLE_CLIENT, 0, &question);
    pass_ms(world, 100);
    CHECK(!asked->is_answered);
    set_leader(world, 0, 2);
    check_asks(world, 2, 1);
    answer_text(world, ERR_NONE, "yes");
    check_answered(asked, ERR_NONE, "yes");
}

static void tells_a_node_at_once_who_leads(void **state)
{
    struct world *world = *state;
    struct asked *asked = make(world, 1, sizeof *asked);
    serve_node(world, asked, 1);
    turn(world);
    check_hinted(asked, MEMBER_NONE);
    set_leader(world, 0, 2);
    serve_node(world, asked, 1);
    turn(world);
    check_hinted(asked, 2);
    CHECK(world->calls.asked_count == 0);
}

static void tells_a_node_who_leads_when_it_is_deposed(void **state)
{
    struct world *world = *state;
    struct asked *asked = make(world, 1, sizeof *asked);
    set_leader(world, 0, SELF);
    serve_node(world, asked, 1);
    world->host.leaders[0] = 1;
    group_answer(world, 0, ERR_NOT_LEADER, "");
    check_hinted(asked, 1);
    set_leader(world, 0, SELF);
    serve_node(world, asked, 1);
    group_answer(world, 0, ERR_UNCERTAIN, "");
    check_answered(asked, ERR_UNCERTAIN, "");
}

static void keeps_a_nodes_request_while_a_new_leader_here_settles(void **state)
{
    struct world *world = *state;
    struct asked *asked = make(world, 1, sizeof *asked);
    world->host.groups[0].err = ERR_BUSY;
    set_leader(world, 0, SELF);
    serve_node(world, asked, 1);
    turn(world);
    CHECK(!asked->is_answered);
    world->host.groups[0].err = ERR_NONE;
    pass_ms(world, 5);
    group_answer(world, 0, ERR_NONE, "yes");
    check_answered(asked, ERR_NONE, "yes");
}

static void passes_on_what_shall_be_passed_on_and_not_for_ever(void **state)
{
    struct world *world = *state;
    struct asked *asked = make(world, 1, sizeof *asked);
    set_leader(world, 0, 2);
    for (uint8_t hops = 2; hops < ROUTER_HOPS_MAX; hops++) {
        serve_node(world, asked, hops);
        check_asks(world, 2, hops + 1);
        answer_text(world, ERR_NONE, "yes");
        check_answered(asked, ERR_NONE, "yes");
    }
    serve_node(world, asked, ROUTER_HOPS_MAX);
    turn(world);
    check_hinted(asked, 2);
    serve_node(world, asked, 2);
    answer_text(world, ERR_UNCERTAIN, ""); /* whoever asked decides */
    check_answered(asked, ERR_UNCERTAIN, "");
}

static void an_observer_only_reads(void **state)
{
    struct world *world = *state;
    struct asked *asked = make(world, 1, sizeof *asked);
    struct router_ask question = {.command = bytes_of_text("x")};
    set_leader(world, 0, SELF);
    serve(world, asked, ROLE_OBSERVER, 0, &question);
    check_answered(asked, ERR_DENIED, "");
    question.is_read = true;
    serve(world, asked, ROLE_OBSERVER, 0, &question);
    group_answer(world, 0, ERR_NONE, "yes");
    check_answered(asked, ERR_NONE, "yes");
    question.is_read = false;
    serve(world, asked, ROLE_OPERATOR, 0, &question);
    group_answer(world, 0, ERR_NONE, "yes");
    check_answered(asked, ERR_NONE, "yes");
}

static void refuses_what_is_no_request(void **state)
{
    struct world *world = *state;
    struct asked *asked = make(world, 1, sizeof *asked);
    world->calls.handler(world->calls.context, asked, bytes_of_text("rubbish"));
    check_answered(asked, ERR_MALFORMED, "");
    *asked = (struct asked){0};
    world->calls.handler(world->calls.context, asked,
                         bytes_of("\x95\x02\x00\x00\x00\xc4\x00", 7));
    check_answered(asked, ERR_VERSION, "");
}

static void knows_no_shard_that_only_others_have(void **state)
{
    struct world *world = *state;
    struct asked *asked = make(world, 1, sizeof *asked);
    struct router_ask question = {.shard = SHARD_COUNT};
    serve(world, asked, ROLE_CLIENT, 0, &question);
    turn(world);
    check_answered(asked, ERR_NOT_FOUND, "");
    serve(world, asked, ROLE_NODE, 1, &question);
    turn(world);
    check_hinted(asked, MEMBER_NONE); /* its view may be newer */
}

static void tells_a_client_in_time_that_time_is_over(void **state)
{
    struct world *world = *state;
    struct asked *asked = make(world, 1, sizeof *asked);
    struct router_ask question = {.command = bytes_of_text("x")};
    world->host.peers[1].is_up = false;
    world->host.peers[2].is_up = false;
    serve(world, asked, ROLE_CLIENT, 0, &question);
    pass_ms(world, TIMEOUT_MS - 51);
    CHECK(!asked->is_answered);
    pass_ms(world, 1);
    check_answered(asked, ERR_NO_QUORUM, "");
}

/* ---- form ---- */

static void reads_what_it_has_written(void **state)
{
    (void)state;
    uint8_t buffer[TEXT_BYTES];
    for (uint32_t i = 0; i < 4 * (ROUTER_HOPS_MAX + 1); i++) {
        struct writer writer = writer_of(buffer, sizeof buffer);
        struct router_ask found;
        uint8_t hops;
        struct router_ask written = {.shard = i * 200,
                                     .is_read = i & 1,
                                     .may_repeat = i & 2,
                                     .command = bytes_of("command", i % 8)};
        router_ask_encode(&written, (uint8_t)(i / 4), &writer);
        CHECK(writer_bytes(&writer).length <= router_ask_bytes_max(&written));
        CHECK_OK(router_ask_decode(&found, &hops, writer_bytes(&writer)));
        CHECK(found.shard == written.shard && hops == i / 4);
        CHECK(found.is_read == written.is_read);
        CHECK(found.may_repeat == written.may_repeat);
        CHECK(bytes_are_equal(found.command, written.command));
    }
}

static void refuses_every_part_of_a_request(void **state)
{
    (void)state;
    uint8_t buffer[TEXT_BYTES];
    struct writer writer = writer_of(buffer, sizeof buffer);
    struct router_ask found;
    uint8_t hops;
    router_ask_encode(
        &(struct router_ask){.shard = 4000, .command = bytes_of_text("add")}, 1,
        &writer);
    size_t length = writer_bytes(&writer).length;
    for (size_t i = 0; i < length; i++) {
        CHECK_ERR(router_ask_decode(&found, &hops, bytes_of(buffer, i)),
                  ERR_MALFORMED);
    }
    buffer[length] = 0;
    CHECK_ERR(router_ask_decode(&found, &hops, bytes_of(buffer, length + 1)),
              ERR_MALFORMED);
}

/* ---- all together ---- */

#define CLIENT_COUNT 40
#define SEED_COUNT 300

/* What may come back; a group says only what comes first. */
static const enum err replies[] = {ERR_NONE,   ERR_NOT_LEADER, ERR_UNCERTAIN,
                                   ERR_EXISTS, ERR_TIMEOUT,    ERR_UNREACHABLE,
                                   ERR_BUSY,   ERR_FULL};
#define REPLY_COUNT (sizeof replies / sizeof *replies)
#define GROUP_REPLY_COUNT 4

static uint32_t below(struct seeded *seeded, uint32_t bound)
{
    return (uint32_t)seeded_below(seeded, bound);
}

static void answer_something(struct world *world, struct seeded *seeded)
{
    uint32_t shard = below(seeded, SHARD_COUNT);
    if (group_of(world, shard)->pending_count > 0) {
        group_answer(world, shard, replies[below(seeded, GROUP_REPLY_COUNT)],
                     "");
    }
    if (world->calls.pending_count > 0) {
        enum err err = replies[below(seeded, REPLY_COUNT)];
        if (err == ERR_NOT_LEADER) {
            answer_hint(world, below(seeded, NODE_COUNT + 1));
        } else {
            answer_text(world, err, "");
        }
    }
}

static void change_something(struct world *world, struct seeded *seeded)
{
    const enum err states[] = {ERR_NONE, ERR_BUSY, ERR_NOT_LEADER, ERR_FULL};
    uint32_t shard = below(seeded, SHARD_COUNT);
    uint32_t node = below(seeded, NODE_COUNT + 1);
    switch (below(seeded, 6)) {
    case 0:
        set_leader(world, shard, node < NODE_COUNT ? node : MEMBER_NONE);
        break;
    case 1:
        world->host.groups[shard].err = states[below(seeded, 4)];
        break;
    case 2:
        node = node % NODE_COUNT;
        world->host.peers[node].is_up = !world->host.peers[node].is_up;
        break;
    case 3:
        world->host.has_group[shard] = !world->host.has_group[shard] ||
                                       group_of(world, shard)->pending_count;
        break;
    case 4:
        world->quiet = below(seeded, 3) == 0 ? NOBODY : node;
        break;
    default:
        world->calls.err = below(seeded, 4) == 0 ? ERR_FULL : ERR_NONE;
        break;
    }
}

static void ask_something(struct world *world,
                          struct seeded *seeded,
                          struct client *client)
{
    bool is_under_way = client->request.held != NULL;
    if (is_under_way && below(seeded, 10) == 0) {
        router_cancel(world->router, &client->request);
        client->may_not_be_told = true;
    } else if (!is_under_way) {
        CHECK(client->may_not_be_told || client->done_count == 1 ||
              !client->world);
        client->may_not_be_told = false;
        CHECK_OK(
            ask_as(world, client,
                   &(struct router_ask){.shard = below(seeded, SHARD_COUNT),
                                        .is_read = below(seeded, 3) == 0,
                                        .may_repeat = below(seeded, 2) == 0,
                                        .command = bytes_of_text("random"),
                                        .timeout_ms = below(seeded, 300)}));
    }
}

static void play(struct world *world, uint64_t seed)
{
    struct seeded seeded = {.state = seed};
    struct client *clients = make(world, CLIENT_COUNT, sizeof *clients);
    world->config.request_max = PENDING_MAX / 2;
    world->config.quiet_ms = 20;
    open_again(world);
    for (uint32_t i = 0; i < 400; i++) {
        ask_something(world, &seeded, &clients[below(&seeded, CLIENT_COUNT)]);
        answer_something(world, &seeded);
        change_something(world, &seeded);
        pass_ms(world, below(&seeded, 4));
    }
    pass_ms(world, 301); /* now everybody's time is over */
    for (uint32_t i = 0; i < CLIENT_COUNT; i++) {
        CHECK(!clients[i].request.held);
        CHECK(!clients[i].world || clients[i].may_not_be_told ||
              clients[i].done_count == 1);
    }
    CHECK(world->calls.pending_count == 0);
    for (uint32_t i = 0; i < SHARD_COUNT; i++) {
        while (group_of(world, i)->pending_count > 0) {
            group_answer(world, i, ERR_NONE, "");
        }
    }
}

static void everybody_is_told_exactly_once_in_time(void **state)
{
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        play(*state, seed);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gives_a_command_to_the_group_that_leads_here),
        TEST(gives_a_question_as_a_read),
        TEST(takes_commands_of_any_length),
        TEST(says_what_the_machine_says),
        TEST(tells_a_shard_whom_a_command_is_for),
        TEST(tells_another_node_whom_a_command_is_for),
        TEST(the_archive_listens_to_operators_and_nodes_alone),
        TEST(a_machine_that_is_busy_is_asked_again),
        TEST(what_is_for_the_archive_does_not_wait_for_others),
        TEST(says_later_what_the_group_refuses_at_once),
        TEST(one_may_ask_again_when_told),
        TEST(waits_until_somebody_leads_and_keeps_the_order),
        TEST(tries_a_busy_leader_again_and_less_and_less_often),
        TEST(a_later_request_waits_behind_an_earlier_one),
        TEST(waits_when_a_group_is_full_after_it_has_waited),
        TEST(what_a_deposed_leader_did_not_propose_goes_to_the_next),
        TEST(repeats_what_may_have_happened_only_when_it_may),
        TEST(refuses_nothing_that_may_have_happened),
        TEST(sends_a_request_to_the_node_that_leads),
        TEST(says_what_the_machine_elsewhere_says),
        TEST(repeats_elsewhere_only_what_may_be_repeated),
        TEST(tries_again_when_nothing_has_happened),
        TEST(waits_for_room_in_the_link),
        TEST(says_what_a_link_cannot_take),
        TEST(follows_who_leads_by_another_nodes_word_and_keeps_it),
        TEST(does_not_follow_what_leads_nowhere),
        TEST(two_nodes_that_name_each_other_make_no_storm),
        TEST(asks_another_replica_when_the_leader_is_out_of_reach),
        TEST(a_replica_that_left_does_not_keep_requests_here),
        TEST(goes_to_a_new_leader_though_the_old_one_has_not_answered),
        TEST(goes_to_our_own_group_when_that_leads_now),
        TEST(asks_another_replica_when_a_leader_is_not_heard),
        TEST(waits_for_a_quiet_leader_when_nobody_else_is_heard),
        TEST(does_not_pass_on_to_a_leader_that_is_not_heard),
        TEST(
            says_that_it_may_have_happened_when_it_takes_back_what_it_passed_on),
        TEST(says_that_there_is_no_quorum),
        TEST(says_timeout_when_a_majority_is_there),
        TEST(says_timeout_when_there_was_a_leader),
        TEST(says_timeout_when_it_may_have_happened),
        TEST(says_timeout_while_the_group_has_it),
        TEST(says_timeout_while_another_node_has_it),
        TEST(knows_which_shards_there_are),
        TEST(waits_for_a_view),
        TEST(believes_a_new_view_more_than_what_others_said),
        TEST(takes_as_many_as_it_may),
        TEST(holds_as_many_bytes_as_it_may),
        TEST(counts_what_a_group_has_until_it_answers),
        TEST(whoever_cancels_is_not_told),
        TEST(closing_tells_all),
        TEST(nobody_asks_while_it_closes),
        TEST(closing_tells_other_nodes_what_they_can_do),
        TEST(a_router_that_was_closed_sends_others_elsewhere),
        TEST(one_that_leaves_answers_what_it_has_and_takes_in_nothing),
        TEST(serves_others_where_it_leads),
        TEST(waits_for_a_client),
        TEST(tells_a_node_at_once_who_leads),
        TEST(tells_a_node_who_leads_when_it_is_deposed),
        TEST(keeps_a_nodes_request_while_a_new_leader_here_settles),
        TEST(passes_on_what_shall_be_passed_on_and_not_for_ever),
        TEST(an_observer_only_reads),
        TEST(refuses_what_is_no_request),
        TEST(knows_no_shard_that_only_others_have),
        TEST(tells_a_client_in_time_that_time_is_over),
        cmocka_unit_test(reads_what_it_has_written),
        cmocka_unit_test(refuses_every_part_of_a_request),
        TEST(everybody_is_told_exactly_once_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
