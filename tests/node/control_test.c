/*
 * What operators ask, of a node whose host, links, calls and router the test
 * plays: it defines their functions itself. Three members, alpha to gamma (0 to
 * 2), and four shards with three replicas.
 */

#include "node/control.h"

#include "tests/shard/test_view.h"

#include "base/metrics.h"
#include "base/pack.h"
#include "base/posix/posix_log_tail.h"
#include "base/time_units.h"
#include "config/schema.h"
#include "node/control_question.h"
#include "shard/counter_map.h"
#include "shard/task_agent.h"
#include "shard/task_dispatcher.h"
#include "shard/task_schedule.h"
#include "tests/support/fake_clock.h"

#include <assert.h>

#define NODE_COUNT 3
#define SHARD_COUNT 4
#define ANSWER_BYTES (64u << 10)
#define WALL_MS 1000000

static const char *const names[NODE_COUNT] = {"alpha", "beta", "gamma"};

struct peer {
    bool is_up;
    bool is_quiet;
};

struct raft {
    bool is_settled;
    struct raft_configuration members;
};

struct group {
    struct raft raft;
};

struct asked {
    struct certificate certificate;
    bool is_own;
    bool is_answered;
    enum err err;
    uint8_t answer[ANSWER_BYTES];
    size_t answer_length;
};

/* What this node sees. */
struct host {
    struct view *view;
    struct view *kept; /* while it knows of no cluster */
    struct meta *meta;
    struct group meta_group;
    struct peer peers[NODE_COUNT];
    uint32_t meta_leader;
    uint32_t leader; /* of all shards */
    struct host_shard_report shards[SHARD_COUNT];
    struct host_node_report nodes[NODE_COUNT];
    struct history *history;
    struct host_plan plan;

    /* What was asked of it. */
    enum err change_err;
    struct view_change change; /* the last; without what it points to */
    struct view_move move;
    struct view_settings settings;
    struct call *change_call;
    uint32_t change_count;
    uint32_t transferred_to;
    struct host_own_replica own; /* of group 2; number 0 and members 1: lost */
};

static struct host host;
static struct fake_clock fake_clock;
static struct clock clock_table;
static struct settings settings;
static struct settings_member self;
static struct posix_log_tail *log_tail;
static struct metrics *metrics;
static struct control *control;
static struct dispatcher *dispatcher;
static struct agent *agent;
static struct run *given; /* to the workers */
static struct run_look *looking;
static enum err look_err;
static calls_handler *handler;
static void *handler_context;
static struct call *passed_call; /* to another node */
static uint8_t passed_bytes[4096];
static size_t passed_length;
static struct router_request *routed;
static struct router_ask routed_ask;
static uint8_t routed_command[64];
static struct asked asked;

/* ---- what it is linked with ---- */

const struct view *host_view(const struct host *of)
{
    return of->view;
}

uint32_t host_number(const struct host *of)
{
    (void)of;
    return 0;
}

struct peer *host_peer(const struct host *of, uint32_t number)
{
    return number > 0 && number < NODE_COUNT
               ? (struct peer *)(uintptr_t)&of->peers[number]
               : NULL;
}

struct group *host_group(const struct host *of, uint32_t group)
{
    return group == META_GROUP ? (struct group *)(uintptr_t)&of->meta_group
                               : NULL;
}

uint32_t host_leader(const struct host *of, uint32_t shard)
{
    (void)shard;
    return of->leader;
}

uint32_t host_meta_leader(const struct host *of)
{
    return of->meta_leader;
}

bool host_is_ready(const struct host *of, struct err_detail *why)
{
    err_explain(why, "asking to join");
    return of->view != NULL;
}

enum err host_change(struct host *of,
                     const struct view_change *change,
                     struct call *call)
{
    of->change = *change;
    if (change->move_count == 1) {
        of->move = change->moves[0];
    }
    view_settings_clear(&of->settings);
    CHECK_OK(view_settings_copy(&of->settings, &change->settings));
    of->change_count++;
    of->change_call = of->change_err ? NULL : call;
    return of->change_err;
}

struct wal_stats host_log_stats(const struct host *of)
{
    (void)of;
    return (struct wal_stats){.bytes = 100, .free_bytes = 1000};
}

const struct meta *host_meta(const struct host *of)
{
    return of->meta;
}

const struct history *host_history(const struct host *of)
{
    return of->history;
}

struct host_plan host_plan(const struct host *of)
{
    return of->plan;
}

enum err host_wanted_map(const struct view *view, struct shard_map *out)
{
    return shard_map_copy(out, &view->map);
}

enum err host_transfer(struct host *of, uint32_t shard, uint32_t to)
{
    (void)shard;
    of->transferred_to = to;
    return to == 2 ? ERR_NOT_FOUND : ERR_NONE;
}

bool host_own_replica(const struct host *of,
                      uint32_t group,
                      struct host_own_replica *out)
{
    *out = of->own;
    return group == 2;
}

const struct host_shard_report *host_shard_report(const struct host *of,
                                                  uint32_t shard)
{
    return &of->shards[shard];
}

const struct host_node_report *host_node_report(const struct host *of,
                                                uint32_t number)
{
    return &of->nodes[number];
}

const struct raft *group_raft(const struct group *group)
{
    return &group->raft;
}

uint64_t group_applied_index(const struct group *group)
{
    (void)group;
    return 5;
}

bool raft_is_settled(const struct raft *raft)
{
    return raft->is_settled;
}

uint64_t raft_term(const struct raft *raft)
{
    (void)raft;
    return 3;
}

const struct raft_configuration *raft_newest_configuration(
    const struct raft *raft)
{
    return &raft->members;
}

uint64_t raft_number(const struct raft *raft)
{
    (void)raft;
    return 1;
}

uint64_t raft_stable_index(const struct raft *raft)
{
    (void)raft;
    return 5;
}

uint64_t raft_match_index(const struct raft *raft, uint64_t number)
{
    (void)raft;
    (void)number;
    return 5;
}

uint64_t raft_last_index(const struct raft *raft)
{
    (void)raft;
    return 5;
}

size_t raft_log_bytes(const struct raft *raft)
{
    (void)raft;
    return 0;
}

bool peer_is_up(const struct peer *peer)
{
    return peer->is_up;
}

const char *peer_name(const struct peer *peer)
{
    return names[peer - host.peers];
}

enum role peer_role(const struct peer *peer)
{
    (void)peer;
    return ROLE_NODE;
}

uint64_t peer_incarnation(const struct peer *peer)
{
    (void)peer;
    return 0x1234;
}

uint64_t peer_heard_ns(const struct peer *peer)
{
    return peer->is_quiet ? 0 : NS_PER_S;
}

const struct link_stats *peer_stats(const struct peer *peer)
{
    static const struct link_stats stats = {.messages_out = 9};
    (void)peer;
    return &stats;
}

size_t peer_held_bytes(const struct peer *peer)
{
    (void)peer;
    return 0;
}

void endpoint_peer_each(struct endpoint *endpoint,
                        void (*visit)(void *context, struct peer *peer),
                        void *context)
{
    (void)endpoint;
    visit(context, &host.peers[1]);
    visit(context, &host.peers[2]);
}

enum err calls_ask(struct calls *calls,
                   struct peer *peer,
                   uint8_t service,
                   struct bytes question,
                   uint32_t timeout_ms,
                   struct call *call)
{
    (void)calls;
    assert(service == HOST_SERVICE_ADMIN && timeout_ms > 0);
    assert(question.length <= sizeof passed_bytes);
    if (!peer->is_up) {
        return ERR_UNREACHABLE;
    }
    memcpy(passed_bytes, question.data, question.length);
    passed_length = question.length;
    passed_call = call;
    return ERR_NONE;
}

void calls_cancel(struct calls *calls, struct call *call)
{
    (void)calls;
    (void)call;
}

void calls_serve(struct calls *calls,
                 uint8_t service,
                 calls_handler *handle,
                 void *context,
                 bool others_may)
{
    (void)calls;
    assert(service == HOST_SERVICE_ADMIN && others_may == (handle != NULL));
    handler = handle;
    handler_context = context;
}

void asked_answer(struct asked **of, enum err err, struct bytes answer)
{
    assert(!(*of)->is_answered && answer.length <= ANSWER_BYTES);
    (*of)->is_answered = true;
    (*of)->err = err;
    memcpy((*of)->answer, answer.data, answer.length);
    (*of)->answer_length = answer.length;
    *of = NULL;
}

const struct certificate *asked_certificate(const struct asked *of)
{
    return of->is_own ? NULL : &of->certificate;
}

uint64_t asked_until_ns(const struct asked *of)
{
    (void)of;
    return 10 * NS_PER_S;
}

enum err router_ask(struct router *router,
                    const struct router_ask *ask,
                    struct router_request *request)
{
    (void)router;
    assert(ask->command.length <= sizeof routed_command);
    memcpy(routed_command, ask->command.data, ask->command.length);
    routed_ask = *ask;
    routed = request;
    return ERR_NONE;
}

void router_cancel(struct router *router, struct router_request *request)
{
    (void)router;
    (void)request;
}

/* ---- the world ---- */

static void make_view(void)
{
    struct view_change founding =
        test_founding(NODE_COUNT, SHARD_COUNT, NODE_COUNT);
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        (void)snprintf(founding.members.list[i].name,
                       sizeof founding.members.list[i].name, "%s", names[i]);
        founding.members.list[i].roles |= SETTINGS_WORKER;
    }
    CHECK_OK(view_open(&host.view));
    CHECK_OK(view_check(host.view, &founding, NULL));
    CHECK_OK(view_change(host.view, &founding));
    CHECK_OK(
        view_change(host.view, &(struct view_change){.kind = VIEW_FOUNDED}));
    view_change_clear(&founding);
}

static void forget_line(void *context, const char *line, size_t length)
{
    (void)context;
    (void)line;
    (void)length;
}

/* ---- tasks: nobody works on them ---- */

static const struct task_pools *pools_now(void *context)
{
    (void)context;
    return &host.view->pools;
}

static uint32_t shard_count_now(void *context)
{
    (void)context;
    return SHARD_COUNT;
}

static enum err propose_nothing(void *context,
                                uint32_t shard,
                                struct bytes command)
{
    (void)context;
    (void)shard;
    (void)command;
    return ERR_NOT_LEADER;
}

static bool send_nothing(void *context, uint32_t node, struct bytes message)
{
    (void)context;
    (void)node;
    (void)message;
    return false;
}

static void visit_nobody(void *context,
                         void (*visit)(void *context, uint32_t node),
                         void *visit_context)
{
    (void)context;
    (void)visit;
    (void)visit_context;
}

static void wake_nobody(void *context)
{
    (void)context;
}

static void watch_nothing(void *context, uint64_t id)
{
    (void)context;
    (void)id;
}

static void fill_zeros(void *context, void *to, size_t length)
{
    (void)context;
    memset(to, 0, length);
}

static const struct entropy no_entropy = {.fill = fill_zeros};

/* ---- workers that do nothing, and are looked at ---- */

static void take_pools(void *context, const struct task_pools *pools)
{
    (void)context;
    (void)pools;
}

static void take_run(void *context, struct run *run)
{
    (void)context;
    given = run;
}

static enum err take_look(void *context, struct run *run, struct run_look *look)
{
    (void)context;
    assert(run == given && !looking);
    looking = look_err ? NULL : look;
    return look_err;
}

static void drop_look(void *context, struct run_look *look)
{
    (void)context;
    looking = looking == look ? NULL : looking;
}

static const struct workers workers = {.set_pools = take_pools,
                                       .start = take_run,
                                       .look = take_look,
                                       .unlook = drop_look};

/* One of `thumbs`, by which attempts are known. */
static void give_run(uint64_t id, uint64_t token)
{
    uint8_t message[256];
    struct writer writer = writer_of(message, sizeof message);
    struct task_assignment assignment = {
        .id = id, .token = token, .attempt = 2};
    agent_set_self(agent, 0);
    CHECK_OK(agent_set_pools(agent, &host.view->pools));
    pack_array(&writer, 4);
    pack_uint(&writer, TASK_ASSIGN);
    pack_text(&writer, "thumbs");
    pack_array(&writer, 1);
    task_assignment_encode(&assignment, &writer);
    pack_uint(&writer, 0);
    CHECK_OK(agent_receive(agent, 0, writer_bytes(&writer)));
    CHECK(given && given->token == token);
}

static void end_run(void)
{
    given->done(given,
                &(struct run_result){.status = RUN_CANCELLED, .why = ""});
    given = NULL;
}

/* Alpha leads all shards' coordinators. */
static void open_tasks(void)
{
    struct agent_limits limits;
    agent_limits_defaults(&limits);
    CHECK_OK(dispatcher_open(
        &dispatcher, &(struct dispatcher_home){.clock = &clock_table,
                                               .entropy = &no_entropy,
                                               .pools = pools_now,
                                               .shard_count = shard_count_now,
                                               .propose = propose_nothing,
                                               .send = send_nothing,
                                               .each_node = visit_nobody,
                                               .wake = wake_nobody,
                                               .watch = watch_nothing}));
    CHECK_OK(agent_open(&agent,
                        &(struct agent_home){.clock = &clock_table,
                                             .entropy = &no_entropy,
                                             .workers = &workers,
                                             .send = send_nothing,
                                             .each_node = visit_nobody,
                                             .wake = wake_nobody},
                        &limits));
    for (uint32_t i = 0; i < SHARD_COUNT; i++) {
        struct coordinator *coordinator;
        CHECK_OK(dispatcher_add(dispatcher, i, &coordinator));
        dispatcher_lead(dispatcher, i, 3);
    }
}

static void set_pool(struct task_pool *pool)
{
    struct view_change change = {.kind = VIEW_POOL_SET, .pool = *pool};
    CHECK_OK(view_change(host.view, &change));
    dispatcher_pools_changed(dispatcher);
}

/* A volatile one: what is submitted to it stands in the book at once. */
static struct task_pool thumbs(void)
{
    struct task_pool pool;
    task_pool_defaults(&pool);
    (void)snprintf(pool.name, sizeof pool.name, "thumbs");
    pool.is_durable = false;
    return pool;
}

/* Submit to `thumbs`; gives the task's id. */
static uint64_t submit(uint32_t shard, const struct task_spec *spec)
{
    uint8_t request[1024];
    uint8_t reply[256];
    struct book_run run;
    enum err err = ERR_NONE;
    struct writer writer = writer_of(request, sizeof request);
    struct writer answer = writer_of(reply, sizeof reply);
    book_submit_begin(&writer, "thumbs", 0, 1);
    task_spec_encode(spec, &writer);
    CHECK(coordinator_request(dispatcher_find(dispatcher, shard),
                              writer_bytes(&writer), &answer, &err));
    CHECK_OK(err);
    struct reader reader = reader_of(writer_bytes(&answer));
    CHECK(pack_read_array(&reader) == 1);
    book_run_decode(&run, &reader);
    CHECK(!reader.failed && run.err == ERR_NONE);
    return run.first;
}

/* All is well: the meta group and all shards are led by alpha, who is us. */
static int set_up(void **state)
{
    (void)state;
    host = (struct host){.transferred_to = MEMBER_NONE};
    make_view();
    CHECK_OK(meta_open(&host.meta, &(struct meta_events){0}));
    CHECK_OK(history_open(&host.history));
    history_note_view(host.history, NULL, host.view, WALL_MS);
    host.meta_group.raft.is_settled = true;
    host.meta_group.raft.members.count = NODE_COUNT;
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        host.meta_group.raft.members.members[i] =
            (struct raft_member){.number = i + 1, .node = i, .is_voter = true};
        host.peers[i].is_up = true;
        host.nodes[i] =
            (struct host_node_report){.at_ms = WALL_MS,
                                      .view_version = host.view->version,
                                      .free_bytes = i == 1 ? 5000 : 0,
                                      .heard_count = 2,
                                      .asked_count = 2};
    }
    for (uint32_t i = 0; i < SHARD_COUNT; i++) {
        host.shards[i] = (struct host_shard_report){
            .at_ms = WALL_MS, .term = 2, .replica_count = NODE_COUNT};
        for (uint32_t j = 0; j < NODE_COUNT; j++) {
            host.shards[i].replicas[j] =
                (struct host_replica){.node = j, .is_voter = true};
        }
    }
    fake_clock =
        (struct fake_clock){.now_ns = 2 * NS_PER_S, .wall_ms = WALL_MS};
    clock_table = fake_clock_table(&fake_clock);
    self = (struct settings_member){.name = "alpha"};
    settings =
        (struct settings){.node = {.name = "alpha"},
                          .cluster = {.members = &self, .member_count = 1}};
    schema_set_defaults(&settings, "cluster");
    settings.cluster.id[0] = 1;
    settings.cluster.replication = 1; /* as one that has just joined has it */
    settings.cluster.timeouts.link_heartbeat_ms = 1000;
    CHECK_OK(posix_log_tail_open(&log_tail, 4096,
                                 (struct log_sink){.write = forget_line}));
    CHECK_OK(metrics_open(&metrics, 10));
    open_tasks();
    struct task_pool pool = thumbs();
    set_pool(&pool);
    CHECK_OK(control_open(&control,
                          &(struct control_config){.host = &host,
                                                   .settings = &settings,
                                                   .log_tail = log_tail,
                                                   .metrics = metrics,
                                                   .dispatcher = dispatcher,
                                                   .agent = agent,
                                                   .workers = &workers,
                                                   .clock = &clock_table}));
    passed_call = NULL;
    routed = NULL;
    given = NULL;
    looking = NULL;
    look_err = ERR_NONE;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    control_close(&control);
    dispatcher_close(&dispatcher);
    agent_close(&agent);
    posix_log_tail_close(&log_tail);
    metrics_close(&metrics);
    CHECK(handler == NULL);
    meta_close(&host.meta);
    history_close(&host.history);
    view_settings_clear(&host.settings);
    view_close(&host.view);
    return 0;
}

/* Alpha does not lead the meta group; `leader` does. */
static void follow(uint32_t leader)
{
    host.meta_group.raft.is_settled = false;
    host.meta_leader = leader;
}

/* ---- asking ---- */

/* An argument: a text, or else settings, a number, or a flag. */
struct arg {
    const char *key;
    const char *text;
    int64_t number;
    bool is_flag;
    const char *settings[4]; /* keys and values */
};

#define ARGS(...)        \
    (const struct arg[]) \
    {                    \
        __VA_ARGS__,     \
        {                \
            .key = NULL  \
        }                \
    }

static struct bytes encode_args(const struct arg *args)
{
    static uint8_t buffer[1024];
    struct writer writer = writer_of(buffer, sizeof buffer);
    uint32_t count = 0;
    while (args && args[count].key) {
        count++;
    }
    pack_map(&writer, count);
    for (uint32_t i = 0; i < count; i++) {
        pack_text(&writer, args[i].key);
        if (args[i].settings[0]) {
            uint32_t texts = args[i].settings[2] ? 4 : 2;
            pack_map(&writer, texts / 2);
            for (uint32_t j = 0; j < texts; j++) {
                pack_text(&writer, args[i].settings[j]);
            }
        } else if (args[i].is_flag) {
            pack_bool(&writer, true);
        } else if (args[i].text) {
            pack_text(&writer, args[i].text);
        } else {
            pack_int(&writer, args[i].number);
        }
    }
    CHECK(!writer.failed);
    return writer_bytes(&writer);
}

/* As one with this certificate. */
static void ask_with(const struct certificate *certificate,
                     struct control_question *question,
                     const char *verb,
                     const struct arg *args)
{
    uint8_t buffer[4096];
    struct writer writer = writer_of(buffer, sizeof buffer);
    question->args = encode_args(args);
    (void)snprintf(question->verb, sizeof question->verb, "%s", verb);
    control_question_encode(question, &writer);
    asked = (struct asked){.certificate = *certificate};
    handler(handler_context, &asked, writer_bytes(&writer));
}

static void ask_for(enum role role,
                    const char *verb,
                    const struct arg *args,
                    const char *who)
{
    struct control_question question = {0};
    (void)snprintf(question.who, sizeof question.who, "%s", who);
    ask_with(&(struct certificate){.role = role, .name = "ann"}, &question,
             verb, args);
}

/* As a client that may use these pools. */
static void ask_client(const char *pools,
                       const char *verb,
                       const struct arg *args)
{
    struct control_question question = {0};
    struct certificate client = {.role = ROLE_CLIENT, .name = "web"};
    (void)snprintf(client.pools, sizeof client.pools, "%s", pools);
    ask_with(&client, &question, verb, args);
}

/* The same, by another node that passes it on. */
static void pass_client(const char *pools,
                        const char *verb,
                        const struct arg *args)
{
    struct control_question question = {.who = "client/web",
                                        .is_limited = true};
    (void)snprintf(question.pools, sizeof question.pools, "%s", pools);
    ask_with(&(struct certificate){.role = ROLE_NODE, .name = "beta"},
             &question, verb, args);
}

static void ask(const char *verb, const struct arg *args)
{
    ask_for(ROLE_OPERATOR, verb, args, "");
}

/* The value of a key in the map that is read; fails the test without it. */
static struct reader find(struct reader map, const char *key)
{
    uint32_t count = pack_read_map(&map);
    for (uint32_t i = 0; i < count; i++) {
        struct bytes found = pack_read_str(&map);
        if (bytes_are_equal(found, bytes_of_text(key))) {
            return map;
        }
        pack_skip(&map);
    }
    print_error("no %s\n", key);
    CHECK(false);
    return map;
}

static struct reader answer_of(const char *key)
{
    struct reader whole =
        reader_of(bytes_of(asked.answer, asked.answer_length));
    struct reader all = whole;
    CHECK(asked.is_answered);
    pack_skip(&all);
    CHECK(!all.failed && reader_left(&all) == 0);
    return find(whole, key);
}

static bool has_answer(const char *key)
{
    struct reader map = reader_of(bytes_of(asked.answer, asked.answer_length));
    uint32_t count = pack_read_map(&map);
    bool has = false;
    for (uint32_t i = 0; i < count; i++) {
        has = bytes_are_equal(pack_read_str(&map), bytes_of_text(key)) || has;
        pack_skip(&map);
    }
    return has;
}

static uint64_t number_in(struct reader reader)
{
    uint64_t number = pack_read_uint(&reader);
    CHECK(!reader.failed);
    return number;
}

static const char *text_in(struct reader reader)
{
    static char text[512];
    pack_read_text(&reader, text, sizeof text);
    CHECK(!reader.failed);
    return text;
}

static void check_refused(enum err err, const char *why)
{
    CHECK(asked.is_answered);
    CHECK_ERR(asked.err, err);
    assert_string_equal(text_in(answer_of("why")), why);
}

static void check_answered(void)
{
    CHECK(asked.is_answered);
    CHECK_OK(asked.err);
    CHECK(number_in(answer_of("v")) == 1);
    assert_string_equal(text_in(answer_of("node")), "alpha");
}

static void end_change(enum err err, const char *text)
{
    struct call *call = host.change_call;
    CHECK(call && !asked.is_answered);
    call->done(call, err, bytes_of_text(text));
}

/* The replica of shard 0 on a node, as shard.map has it. */
static struct reader replica_of_shard_0(uint32_t node)
{
    struct reader shards = answer_of("shards");
    CHECK(pack_read_array(&shards) == SHARD_COUNT);
    struct reader replicas = find(shards, "replicas");
    CHECK(pack_read_array(&replicas) == NODE_COUNT);
    for (uint32_t i = 0; i < node; i++) {
        pack_skip(&replicas);
    }
    return replicas;
}

/* ---- questions ---- */

static void every_verb_that_looks_answers(void **state)
{
    (void)state;
    static const struct {
        const char *verb;
        const struct arg args[3];
        const char *key;
    } cases[] = {
        {"cluster.status", {{0}}, "problems"},
        {"cluster.links", {{0}}, "links"},
        {"events", {{0}}, "lines"},
        {"node.info", {{0}}, "disk_id"},
        {"node.log", {{.key = "limit", .number = 5}}, "lines"},
        {"node.config", {{0}}, "settings"},
        {"node.metrics", {{0}}, "lines"},
        {"node.machine", {{0}}, "limits"},
        {"node.ls", {{0}}, "members"},
        {"node.show", {{.key = "name", .text = "beta"}}, "shards"},
        {"node.progress", {{.key = "name", .text = "beta"}}, "owners_left"},
        {"shard.map", {{0}}, "moving"},
        {"shard.locate",
         {{.key = "type", .text = "a"}, {.key = "id", .text = "b"}},
         "replicas"},
        {"shard.plan", {{0}}, "balance_after"},
        {"shard.history", {{0}}, "lines"},
        {"op.ls", {{0}}, "ops"},
        {"op.show", {{.key = "id", .text = "move-1"}}, "percent"},
        {"coord.ls", {{0}}, "groups"},
        {"config.show", {{0}}, "settings"},
        {"config.plan",
         {{.key = "settings", .settings = {"cluster.replication", "1"}}},
         "changes"},
        {"coord.replicas", {{0}}, "groups"},
        {"task.ls", {{.key = "state", .text = "dead"}}, "tasks"},
        {"pool.ls", {{0}}, "pools"},
        {"pool.show", {{.key = "name", .text = "thumbs"}}, "definition"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ask_for(ROLE_OBSERVER, cases[i].verb, cases[i].args, "");
        check_answered();
        (void)answer_of(cases[i].key);
    }
}

static void says_that_all_is_well(void **state)
{
    (void)state;
    ask("cluster.status", NULL);
    check_answered();
    CHECK(number_in(find(answer_of("shards"), "whole")) == SHARD_COUNT);
    CHECK(number_in(find(answer_of("shards"), "unled")) == 0);
    CHECK(number_in(find(answer_of("members"), "heard")) == NODE_COUNT);
    struct reader problems = answer_of("problems");
    CHECK(pack_read_array(&problems) == 0);
}

static void names_what_is_wrong(void **state)
{
    (void)state;
    host.nodes[2].at_ms = WALL_MS - 10000;
    host.peers[2].is_up = false;
    host.shards[3].at_ms = WALL_MS - 10000;
    ask("cluster.status", NULL);
    check_answered();
    CHECK(number_in(find(answer_of("shards"), "whole")) == 0);
    CHECK(number_in(find(answer_of("shards"), "unled")) == 1);
    struct reader problems = answer_of("problems");
    CHECK(pack_read_array(&problems) == 4);
    assert_string_equal(text_in(problems),
                        "the meta group misses 1 of 3 voters: gamma");
    pack_skip(&problems);
    assert_string_equal(text_in(problems), "gamma is not heard");
    pack_skip(&problems);
    assert_string_equal(text_in(problems), "1 shards have no leader: 3");
    pack_skip(&problems);
    assert_string_equal(text_in(problems),
                        "3 shards have replicas that are away or far behind");
}

static void says_what_a_node_has_left(void **state)
{
    (void)state;
    ask("node.show", ARGS({.key = "name", .text = "beta"}));
    check_answered();
    CHECK(number_in(answer_of("free_bytes")) == 5000);
    struct reader unknown = answer_of("resident_bytes");
    pack_read_nil(&unknown);
    CHECK(!unknown.failed);
}

/* ---- what a process tells of itself ---- */

static void log_line(const char *line)
{
    struct log_sink sink = posix_log_tail_sink(log_tail);
    sink.write(sink.context, line, strlen(line));
}

static void tells_its_newest_log_lines(void **state)
{
    (void)state;
    log_line("one\n");
    log_line("two\n");
    log_line("three\n");
    ask("node.log", NULL);
    check_answered();
    struct reader lines = answer_of("lines");
    CHECK(pack_read_array(&lines) == 3);
    assert_string_equal(text_in(lines), "one");
    ask("node.log", ARGS({.key = "limit", .number = 2}));
    lines = answer_of("lines");
    CHECK(pack_read_array(&lines) == 2);
    assert_string_equal(text_in(lines), "two");
    pack_skip(&lines);
    assert_string_equal(text_in(lines), "three");
}

static void tells_its_settings_by_their_keys(void **state)
{
    (void)state;
    ask("node.config", NULL);
    check_answered();
    struct reader all = answer_of("settings");
    assert_string_equal(text_in(find(all, "node.name")), "alpha");
    assert_string_equal(text_in(find(all, "cluster.nodes[alpha].name")),
                        "alpha");
}

static void tells_what_it_runs_on(void **state)
{
    (void)state;
    ask("node.machine", NULL);
    check_answered();
    CHECK(number_in(answer_of("disk_free_bytes")) == 1000);
    CHECK(number_in(answer_of("cores")) > 0);
    CHECK(number_in(answer_of("descriptors")) > 2);
    CHECK(number_in(find(answer_of("limits"), "descriptors")) > 2);
}

static void names_who_must_be_restarted(void **state)
{
    (void)state;
    host.nodes[1].waiting_count = 2;
    ask("cluster.status", NULL);
    check_answered();
    struct reader problems = answer_of("problems");
    CHECK(pack_read_array(&problems) == 1);
    assert_string_equal(text_in(problems),
                        "beta runs with 2 settings that were changed since: "
                        "restart it");
    ask("node.show", ARGS({.key = "name", .text = "beta"}));
    CHECK(number_in(answer_of("settings_waiting")) == 2);
}

static void says_that_a_drain_waits_for_another_node(void **state)
{
    (void)state;
    members_find(&host.view->members, 2)->state = MEMBER_DRAINING;
    ask("node.progress", ARGS({.key = "name", .text = "gamma"}));
    check_answered();
    CHECK(number_in(answer_of("replicas_left")) == SHARD_COUNT);
    CHECK(number_in(answer_of("staying")) == SHARD_COUNT);
    ask("cluster.status", NULL);
    struct reader problems = answer_of("problems");
    CHECK(pack_read_array(&problems) == 1);
    assert_string_equal(text_in(problems),
                        "gamma is to be drained, and waits for another node: "
                        "4 shards have nowhere to go");
}

static void refuses_what_it_does_not_know(void **state)
{
    (void)state;
    ask("shard.fold", NULL);
    CHECK_ERR(asked.err, ERR_NOT_FOUND);
    asked = (struct asked){.certificate = {.role = ROLE_OPERATOR}};
    handler(handler_context, &asked, bytes_of_text("rubbish"));
    check_refused(ERR_MALFORMED, "not a question: a map with v, verb and args");
    ask("node.show", ARGS({.key = "name", .text = "delta"}));
    check_refused(ERR_NOT_FOUND,
                  "no node is called delta: troupe node ls shows all");
    ask("shard.move", ARGS({.key = "shard", .number = SHARD_COUNT},
                           {.key = "to", .text = "beta"}));
    check_refused(ERR_NOT_FOUND, "there is no shard 4; the last one is 3");
}

static void says_which_role_is_needed(void **state)
{
    (void)state;
    ask_for(ROLE_OBSERVER, "shard.pause", NULL, "");
    check_refused(ERR_DENIED,
                  "shard.pause needs the role operator; ann has the role "
                  "observer");
    ask_for(ROLE_CLIENT, "member.forget", ARGS({.key = "name", .text = "beta"}),
            "");
    CHECK_ERR(asked.err, ERR_DENIED);
    ask_for(ROLE_OBSERVER, "counter.add",
            ARGS({.key = "id", .text = "x"}, {.key = "value", .number = 1}),
            "");
    check_refused(ERR_DENIED,
                  "counter.add needs the role operator or client; ann has the "
                  "role observer");
    CHECK(host.change_count == 0 && !routed);
}

static void believes_nobody_but_nodes_for_whom_they_ask(void **state)
{
    (void)state;
    ask_for(ROLE_CLIENT, "shard.pause", NULL, "operator/eve");
    CHECK_ERR(asked.err, ERR_DENIED);
    ask_for(ROLE_OPERATOR, "shard.pause", NULL, "operator/eve");
    assert_string_equal(host.change.who, "operator/ann");
    end_change(ERR_NONE, "");
    ask_for(ROLE_NODE, "shard.pause", NULL, "operator/eve");
    assert_string_equal(host.change.who, "operator/eve");
    end_change(ERR_NONE, "");
}

static void says_that_it_knows_of_no_cluster(void **state)
{
    (void)state;
    host.kept = host.view;
    host.view = NULL;
    ask("node.ls", NULL);
    check_refused(ERR_NO_QUORUM,
                  "alpha knows of no cluster yet: asking to join");
    ask("node.info", NULL);
    check_answered();
    CHECK(number_in(answer_of("view")) == 0);
    host.view = host.kept;
}

/* ---- passing on ---- */

static void passes_on_to_who_leads_and_back(void **state)
{
    (void)state;
    struct control_question question;
    follow(1);
    ask("shard.map", NULL);
    CHECK(!asked.is_answered && passed_call);
    CHECK_OK(control_question_decode(
        &question, bytes_of(passed_bytes, passed_length), NULL));
    assert_string_equal(question.verb, "shard.map");
    assert_string_equal(question.who, "operator/ann");
    passed_call->done(passed_call, ERR_REFUSED, bytes_of_text("as it is"));
    CHECK_ERR(asked.err, ERR_REFUSED);
    CHECK(bytes_are_equal(bytes_of(asked.answer, asked.answer_length),
                          bytes_of_text("as it is")));
}

static void passes_nothing_on_twice(void **state)
{
    (void)state;
    follow(1);
    ask_for(ROLE_NODE, "shard.map", NULL, "operator/ann");
    check_refused(ERR_NOT_LEADER, "alpha does not lead");
    CHECK(!passed_call);
}

static void answers_from_what_it_knows_when_it_is_asked_to(void **state)
{
    (void)state;
    follow(1);
    ask("cluster.status", ARGS({.key = "stale", .is_flag = true}));
    check_answered();
    CHECK(!passed_call);
    struct reader problems = answer_of("problems");
    CHECK(pack_read_array(&problems) == 1);
    assert_string_equal(text_in(problems),
                        "seen from alpha alone: it does not lead the meta "
                        "group");
}

static void names_who_is_missing_for_a_majority(void **state)
{
    (void)state;
    follow(MEMBER_NONE);
    host.peers[1].is_up = false;
    host.peers[2].is_quiet = true; /* its link is up still */
    ask("node.ls", NULL);
    check_refused(ERR_NO_QUORUM,
                  "no leader of the meta group can be reached; alpha hears "
                  "nothing of beta, gamma");
    CHECK(!has_answer("may_pass"));
    follow(1); /* as it was told before */
    ask("node.ls", NULL);
    CHECK_ERR(asked.err, ERR_NO_QUORUM);
}

static void says_that_an_election_will_pass(void **state)
{
    (void)state;
    follow(MEMBER_NONE);
    host.peers[2].is_up = false;
    ask("node.ls", NULL);
    CHECK_ERR(asked.err, ERR_NO_QUORUM);
    CHECK(has_answer("may_pass"));
    follow(1);
    ask("shard.pause", NULL);
    passed_call->done(passed_call, ERR_NOT_LEADER, (struct bytes){0});
    CHECK_ERR(asked.err, ERR_NO_QUORUM);
    CHECK(has_answer("may_pass"));
}

static void says_when_it_may_have_been_done(void **state)
{
    (void)state;
    follow(1);
    ask("shard.pause", NULL);
    passed_call->done(passed_call, ERR_UNCERTAIN, (struct bytes){0});
    check_refused(ERR_UNCERTAIN,
                  "beta was asked, and went away: it may have been done or "
                  "not");
    ask("node.ls", NULL); /* nothing is done by looking */
    passed_call->done(passed_call, ERR_UNCERTAIN, (struct bytes){0});
    CHECK_ERR(asked.err, ERR_NO_QUORUM);
}

static void nobody_knows_how_far_behind_a_node_is_that_is_away(void **state)
{
    (void)state;
    host.shards[0].replicas[2].lag = 7;
    ask("shard.map", NULL);
    CHECK(number_in(find(replica_of_shard_0(2), "lag")) == 7);
    host.nodes[2].at_ms = WALL_MS - 10000;
    ask("shard.map", NULL);
    struct reader lag = find(replica_of_shard_0(2), "lag");
    CHECK(pack_peek(&lag) == PACK_NIL);
    CHECK(number_in(find(replica_of_shard_0(1), "lag")) == 0);
}

/* ---- steering ---- */

static void sets_a_nodes_state_in_the_operators_name(void **state)
{
    (void)state;
    ask("node.set", ARGS({.key = "name", .text = "beta"},
                         {.key = "state", .text = "draining"}));
    CHECK(host.change.kind == VIEW_MEMBER_SET);
    CHECK(host.change.member.number == 1);
    CHECK(host.change.member.state == MEMBER_DRAINING);
    assert_string_equal(host.change.who, "operator/ann");
    assert_string_equal(host.change.text, "beta is draining");
    members_find(&host.view->members, 1)->state = MEMBER_DRAINING;
    end_change(ERR_NONE, "");
    check_answered();
    assert_string_equal(text_in(answer_of("state")), "draining");
}

static void says_whether_it_would_be_refused_and_does_nothing(void **state)
{
    (void)state;
    const struct arg dry = {.key = "dry_run", .is_flag = true};
    ask("node.set", ARGS({.key = "name", .text = "beta"},
                         {.key = "state", .text = "draining"}, dry));
    check_answered();
    ask("shard.move", ARGS({.key = "shard", .number = 1},
                           {.key = "to", .text = "alpha"}, dry));
    check_answered();
    ask("shard.move", ARGS({.key = "shard", .number = 1},
                           {.key = "to", .text = "beta"}, dry));
    CHECK_ERR(asked.err, ERR_REFUSED);
    ask("member.forget", ARGS({.key = "name", .text = "beta"}, dry));
    CHECK_ERR(asked.err, ERR_REFUSED);
    CHECK(host.change_count == 0);
}

static void does_nothing_when_it_is_so_already(void **state)
{
    (void)state;
    ask("node.set", ARGS({.key = "name", .text = "beta"},
                         {.key = "state", .text = "active"}));
    check_answered();
    ask("shard.resume", NULL);
    check_answered();
    CHECK(host.change_count == 0);
}

static void drains_the_last_active_node_by_force_only(void **state)
{
    (void)state;
    members_find(&host.view->members, 0)->state = MEMBER_CORDONED;
    members_find(&host.view->members, 2)->state = MEMBER_DOWN;
    ask("node.set", ARGS({.key = "name", .text = "beta"},
                         {.key = "state", .text = "draining"}));
    check_refused(ERR_REFUSED,
                  "beta is the last active node: its shards have nowhere to "
                  "go; --force does it all the same");
    CHECK(host.change_count == 0);
    ask("node.set", ARGS({.key = "name", .text = "beta"},
                         {.key = "state", .text = "draining"},
                         {.key = "force", .is_flag = true}));
    assert_string_equal(host.change.text, "beta is draining (forced)");
    end_change(ERR_NONE, "");
}

static void tells_why_a_change_was_refused(void **state)
{
    (void)state;
    ask("shard.pause", NULL);
    end_change(ERR_BUSY, "somebody was faster");
    check_refused(ERR_BUSY, "somebody was faster");
    ask("shard.pause", NULL);
    end_change(ERR_INVALID, "\x1b[2J"); /* no text for people */
    check_refused(ERR_INVALID, err_text(ERR_INVALID));
    ask("shard.pause", NULL);
    end_change(ERR_NOT_LEADER, "");
    CHECK_ERR(asked.err, ERR_BUSY);
    host.change_err = ERR_UNREACHABLE;
    ask("shard.pause", NULL);
    CHECK_ERR(asked.err, ERR_NO_QUORUM);
}

/* By the map; the groups follow later. */
static void take_all_to_gamma(void)
{
    for (uint32_t i = 0; i < SHARD_COUNT; i++) {
        host.view->map.places[i].replica_count = 1;
        host.view->map.places[i].replicas[0] = 2;
    }
}

static void leave_alpha_alone_in_the_groups(void)
{
    host.meta_group.raft.members.count = 1;
    for (uint32_t i = 0; i < SHARD_COUNT; i++) {
        host.shards[i].replica_count = 1;
    }
}

static void forgets_only_who_is_empty_and_away(void **state)
{
    (void)state;
    ask("member.forget", ARGS({.key = "name", .text = "beta"}));
    check_refused(ERR_REFUSED, "4 shards are placed on beta: drain it first");
    take_all_to_gamma();
    ask("member.forget", ARGS({.key = "name", .text = "beta"}));
    check_refused(ERR_REFUSED,
                  "beta is up and would join again: stop its process, and "
                  "give it a few seconds to be missed; --force does it all "
                  "the same");
    ask("member.forget", ARGS({.key = "name", .text = "alpha"},
                              {.key = "force", .is_flag = true}));
    check_refused(ERR_REFUSED,
                  "alpha leads the meta group: stop its process, then forget "
                  "it");
    CHECK(host.change_count == 0);
    host.nodes[1].at_ms = WALL_MS - 10000;
    leave_alpha_alone_in_the_groups();
    ask("member.forget", ARGS({.key = "name", .text = "beta"}));
    CHECK(host.change.kind == VIEW_MEMBER_FORGET && host.change.number == 1);
    end_change(ERR_NONE, "");
    check_answered();
}

static void forgets_nobody_on_whom_a_group_counts(void **state)
{
    (void)state;
    take_all_to_gamma();
    host.nodes[1].at_ms = WALL_MS - 10000;
    ask("member.forget", ARGS({.key = "name", .text = "beta"}));
    check_refused(ERR_REFUSED,
                  "beta votes in the meta group until three others do: drain "
                  "it, or wait; --force takes its vote, while the others and "
                  "it still run");
    host.meta_group.raft.members.count = 1;
    ask("member.forget", ARGS({.key = "name", .text = "beta"}));
    check_refused(ERR_REFUSED,
                  "beta still belongs to shard 0: wait until it has left");
    leave_alpha_alone_in_the_groups();
    host.shards[1].at_ms = 0;
    ask("member.forget", ARGS({.key = "name", .text = "beta"}));
    check_refused(ERR_REFUSED, "beta may still belong to shard 1, of which "
                               "nobody has reported lately");
    CHECK(host.change_count == 0);
}

static void moves_a_shard_to_one_of_its_replicas(void **state)
{
    (void)state;
    ask("shard.move",
        ARGS({.key = "shard", .number = 1}, {.key = "to", .text = "alpha"}));
    CHECK(host.change.kind == VIEW_PLACE && host.move.shard == 1);
    CHECK(host.change.map_version == host.view->map.version);
    CHECK(host.move.place.replica_count == 3);
    CHECK(host.move.place.replicas[0] == 0); /* was 1, 2, 0 */
    CHECK(host.move.place.replicas[1] == 2);
    CHECK(host.move.place.replicas[2] == 1);
    assert_string_equal(host.change.text, "shard 1 moves from beta to alpha");
    end_change(ERR_NONE, "");
    check_answered();
    assert_string_equal(text_in(answer_of("from")), "beta");
}

static void moves_a_shard_to_another_node(void **state)
{
    (void)state;
    host.view->map.places[1].replica_count = 2; /* beta, gamma */
    ask("shard.move",
        ARGS({.key = "shard", .number = 1}, {.key = "to", .text = "alpha"}));
    CHECK(host.move.place.replica_count == 2);
    CHECK(host.move.place.replicas[0] == 0);
    CHECK(host.move.place.replicas[1] == 2);
    end_change(ERR_NONE, "");
}

static void refuses_moves_that_make_no_sense(void **state)
{
    (void)state;
    const struct arg *const to_beta =
        ARGS({.key = "shard", .number = 0}, {.key = "to", .text = "beta"});
    ask("shard.move",
        ARGS({.key = "shard", .number = 1}, {.key = "to", .text = "beta"}));
    check_refused(ERR_REFUSED, "beta is the owner of shard 1 already");
    members_find(&host.view->members, 1)->state = MEMBER_DRAINING;
    ask("shard.move", to_beta);
    check_refused(ERR_REFUSED,
                  "beta is draining: it gives all its shards away");
    members_find(&host.view->members, 1)->state = MEMBER_CORDONED;
    ask("shard.move", to_beta);
    CHECK_ERR(asked.err, ERR_REFUSED);
    members_find(&host.view->members, 1)->state = MEMBER_ACTIVE;
    host.nodes[1].is_full = true;
    ask("shard.move", to_beta);
    check_refused(ERR_REFUSED, "the disk of beta is nearly full: make room "
                               "there; --force does it all the same");
    host.nodes[1].is_full = false;
    host.nodes[1].at_ms = WALL_MS - 10000;
    ask("shard.move", to_beta);
    check_refused(ERR_REFUSED,
                  "beta is not heard; --force does it all the same");
    CHECK(host.change_count == 0);
}

static void transfers_where_it_leads_and_notes_it(void **state)
{
    (void)state;
    ask("coord.transfer",
        ARGS({.key = "shard", .number = 2}, {.key = "to", .text = "gamma"}));
    check_refused(ERR_REFUSED, "gamma has no voting replica of shard 2");
    ask("coord.transfer",
        ARGS({.key = "shard", .number = 2}, {.key = "to", .text = "beta"}));
    CHECK(host.transferred_to == 1 && host.change.kind == VIEW_NOTE);
    assert_string_equal(host.change.text,
                        "shard 2: leadership goes from alpha to beta");
    end_change(ERR_NO_QUORUM, "");
    check_answered(); /* it is done all the same */
    struct reader noted = answer_of("noted");
    CHECK(!pack_read_bool(&noted) && !noted.failed);
    host.leader = 1;
    ask("coord.transfer",
        ARGS({.key = "shard", .number = 2}, {.key = "to", .text = "alpha"}));
    CHECK(!asked.is_answered && passed_call);
    passed_call->done(passed_call, ERR_NONE, bytes_of_text("done"));
}

/* ---- operations ---- */

/* The only one of op.ls. */
static struct reader the_op(void)
{
    ask("op.ls", NULL);
    check_answered();
    struct reader ops = answer_of("ops");
    CHECK(pack_read_array(&ops) == 1);
    return ops;
}

static void check_op(struct reader op,
                     const char *id,
                     const char *state,
                     const char *why)
{
    assert_string_equal(text_in(find(op, "id")), id);
    assert_string_equal(text_in(find(op, "state")), state);
    assert_string_equal(text_in(find(op, "why")), why);
}

/* As an answer of op.show. */
static struct reader shown(const char *id)
{
    ask("op.show", ARGS({.key = "id", .text = id}));
    check_answered();
    return reader_of(bytes_of(asked.answer, asked.answer_length));
}

/* The view changes, and the history sees it. */
static void change_view(struct view_change *change)
{
    struct view *before = NULL;
    CHECK_OK(view_copy(&before, host.view));
    CHECK_OK(view_check(host.view, change, NULL));
    CHECK_OK(view_change(host.view, change));
    history_note_view(host.history, before, host.view, WALL_MS);
    view_close(&before);
}

static void drain_gamma(void)
{
    struct view_change change = {.kind = VIEW_MEMBER_SET,
                                 .member =
                                     *members_find(&host.view->members, 2)};
    change.member.state = MEMBER_DRAINING;
    change_view(&change);
}

/* Shard 1 is beta's (1, 2, 0) and is to be alpha's alone with gamma. */
static void move_shard(void)
{
    struct view_move move = {.shard = 1,
                             .place = {.replica_count = 2, .replicas = {0, 2}}};
    change_view(&(struct view_change){.kind = VIEW_PLACE,
                                      .map_version = host.view->map.version,
                                      .moves = &move,
                                      .move_count = 1});
    host.shards[1].leader = 1;
}

static void names_what_takes_long(void **state)
{
    (void)state;
    ask("op.ls", NULL);
    struct reader ops = answer_of("ops");
    CHECK(pack_read_array(&ops) == 0);
    drain_gamma();
    check_op(the_op(), "drain-gamma", "waiting",
             "4 shards have nowhere to go until there is another node");
    ask("op.show", ARGS({.key = "id", .text = "fold-3"}));
    CHECK_ERR(asked.err, ERR_NOT_FOUND);
    ask("op.show", ARGS({.key = "id", .text = "drain-delta"}));
    CHECK_ERR(asked.err, ERR_NOT_FOUND);
    ask("op.show", ARGS({.key = "id", .text = "move-4"}));
    CHECK_ERR(asked.err, ERR_NOT_FOUND);
    ask("op.show", ARGS({.key = "id", .text = "move-x"}));
    CHECK_ERR(asked.err, ERR_NOT_FOUND);
    ask("op.show", ARGS({.key = "id", .text = "rebalance-9999"}));
    CHECK_ERR(asked.err, ERR_NOT_FOUND);
}

static void tells_how_far_a_drain_is(void **state)
{
    (void)state;
    drain_gamma();
    for (uint32_t i = 0; i < SHARD_COUNT; i++) {
        struct shard_place *place = &host.view->map.places[i];
        *place = (struct shard_place){.replica_count = 2, .replicas = {0, 1}};
        host.shards[i].replica_count = i == 0 ? NODE_COUNT : 2;
    }
    fake_clock.wall_ms += 2000;
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        host.nodes[i].at_ms = fake_clock.wall_ms;
    }
    for (uint32_t i = 0; i < SHARD_COUNT; i++) {
        host.shards[i].at_ms = fake_clock.wall_ms;
    }
    struct reader op = shown("drain-gamma");
    check_op(op, "drain-gamma", "running", "");
    CHECK(number_in(find(op, "done")) == 3 &&
          number_in(find(op, "total")) == 4);
    CHECK(number_in(find(op, "percent")) == 75);
    CHECK(number_in(find(op, "left_ms")) == 666);
    host.shards[0].replica_count = 2;
    host.meta_group.raft.members.count = 2;
    check_op(shown("drain-gamma"), "drain-gamma", "done", "");
    ask("op.cancel", ARGS({.key = "id", .text = "drain-gamma"}));
    check_refused(ERR_REFUSED,
                  "drain-gamma is done: there is nothing to cancel");
}

static void ends_a_drain(void **state)
{
    (void)state;
    check_op(shown("drain-gamma"), "drain-gamma", "cancelled", "it is active");
    drain_gamma();
    ask_for(ROLE_OBSERVER, "op.cancel",
            ARGS({.key = "id", .text = "drain-gamma"}), "");
    CHECK_ERR(asked.err, ERR_DENIED);
    ask("op.cancel", ARGS({.key = "id", .text = "drain-gamma"}));
    CHECK(host.change.kind == VIEW_MEMBER_SET);
    CHECK(host.change.member.state == MEMBER_ACTIVE);
    end_change(ERR_NONE, "");
    check_answered();
    assert_string_equal(text_in(answer_of("id")), "drain-gamma");
}

static void tells_how_far_a_move_is(void **state)
{
    (void)state;
    move_shard();
    struct reader op = the_op();
    check_op(op, "move-1", "running", "");
    CHECK(number_in(find(op, "total")) == 2); /* beta goes, alpha leads */
    CHECK(number_in(find(op, "done")) == 0);
    ask("shard.map", NULL);
    check_answered();
    CHECK(number_in(answer_of("moving")) == 1);
    host.shards[1].leader = 0;
    CHECK(number_in(find(shown("move-1"), "percent")) == 50);
    host.shards[1].leader = MEMBER_NONE;
    check_op(shown("move-1"), "move-1", "waiting", "the shard has no leader");
    host.shards[1] =
        (struct host_shard_report){.at_ms = WALL_MS,
                                   .replica_count = 2,
                                   .replicas = {{.node = 0, .is_voter = true},
                                                {.node = 2, .is_voter = true}}};
    check_op(shown("move-1"), "move-1", "done", "");
    ask("shard.history", ARGS({.key = "shard", .number = 1}));
    struct reader lines = answer_of("lines");
    CHECK(pack_read_array(&lines) == 1);
    assert_string_equal(text_in(find(lines, "kind")), "moved");
}

static void a_new_replica_counts_by_what_it_has_read(void **state)
{
    (void)state;
    struct view_move move = {.shard = 1,
                             .place = {.replica_count = 2, .replicas = {1, 2}}};
    change_view(&(struct view_change){.kind = VIEW_PLACE,
                                      .map_version = host.view->map.version,
                                      .moves = &move,
                                      .move_count = 1});
    host.shards[1].leader = 1;
    host.shards[1].replica_count = 2; /* beta and gamma */
    host.shards[1].replicas[0].node = 1;
    host.shards[1].replicas[1].node = 2;
    history_note_settled(host.history, 1);
    move.place = (struct shard_place){.replica_count = 2, .replicas = {1, 0}};
    change_view(&(struct view_change){.kind = VIEW_PLACE,
                                      .map_version = host.view->map.version,
                                      .moves = &move,
                                      .move_count = 1});
    /* Two steps to join, one to go, and beta leads already. */
    CHECK(number_in(find(shown("move-1"), "percent")) == 25);
    host.shards[1].replica_count = 3;
    host.shards[1].applied_index = 1000;
    host.shards[1].replicas[2] = (struct host_replica){.node = 0, .lag = 500};
    CHECK(number_in(find(shown("move-1"), "percent")) == 37);
    host.shards[1].replicas[2].is_voter = true;
    CHECK(number_in(find(shown("move-1"), "percent")) == 75);
}

static void a_move_that_is_cancelled_goes_back(void **state)
{
    (void)state;
    move_shard();
    ask("op.cancel", ARGS({.key = "id", .text = "move-1"}));
    CHECK(host.change.kind == VIEW_PLACE && host.move.shard == 1);
    CHECK(host.move.place.replica_count == 3);
    CHECK(host.move.place.replicas[0] == 1);
    assert_string_equal(host.change.text,
                        "shard 1 moves back to beta: cancelled");
    end_change(ERR_NONE, "");
    check_answered();
    members_find(&host.view->members, 1)->state = MEMBER_DOWN;
    ask("op.cancel", ARGS({.key = "id", .text = "move-1"}));
    check_refused(ERR_REFUSED,
                  "beta, where it was, is down: it cannot go back");
    ask("op.cancel", ARGS({.key = "id", .text = "move-0"}));
    check_refused(ERR_REFUSED, "move-0 is done: there is nothing to cancel");
}

static void rebalancing_pauses_when_it_is_cancelled(void **state)
{
    (void)state;
    check_op(shown("rebalance-1"), "rebalance-1", "waiting",
             "the meta group's leader gathers reports");
    host.plan = (struct host_plan){.version = host.view->map.version,
                                   .since_ms = 1,
                                   .total = 8,
                                   .left = 2};
    check_op(the_op(), "rebalance-1", "running", "");
    CHECK(number_in(find(the_op(), "percent")) == 75);
    host.plan.blocked = 2;
    check_op(the_op(), "rebalance-1", "waiting",
             "2 shards are for nodes that are away");
    ask("op.cancel", ARGS({.key = "id", .text = "rebalance-1"}));
    CHECK(host.change.kind == VIEW_PAUSE && host.change.flag);
    host.view->is_paused = true;
    end_change(ERR_NONE, "");
    check_op(the_op(), "rebalance-1", "paused",
             "shards stay where they are: troupe shard resume");
    host.plan.left = 0;
    check_op(shown("rebalance-1"), "rebalance-1", "done", "");
}

static void a_repair_ends_by_itself_alone(void **state)
{
    (void)state;
    members_find(&host.view->members, 2)->state = MEMBER_DOWN;
    assert_string_equal(text_in(find(the_op(), "id")), "repair-gamma");
    ask("op.cancel", ARGS({.key = "id", .text = "repair-gamma"}));
    check_refused(ERR_REFUSED,
                  "repair-gamma cannot be cancelled: it ends when the node "
                  "is back, or all is made anew");
}

static void a_recovery_ends_when_the_shard_serves(void **state)
{
    (void)state;
    check_op(shown("recover-2"), "recover-2", "done", "");
    host.view->recoveries = calloc(1, sizeof *host.view->recoveries);
    CHECK(host.view->recoveries);
    host.view->recoveries[0] = (struct view_recovery){.shard = 2, .node = 1};
    host.view->recovery_count = 1;
    check_op(the_op(), "recover-2", "running", "");
    assert_string_equal(text_in(find(the_op(), "what")),
                        "shard 2 is taken over by beta");
    host.nodes[1].at_ms = WALL_MS - 10000;
    check_op(the_op(), "recover-2", "waiting", "beta is not heard");
    ask("op.cancel", ARGS({.key = "id", .text = "recover-2"}));
    check_refused(ERR_REFUSED, "recover-2 cannot be cancelled: it ends when "
                               "the shard serves again");
}

/* ---- recovery ---- */

#define RECOVER(...)                                                    \
    ARGS({.key = "shard", .number = 1}, {.key = "to", .text = "alpha"}, \
         __VA_ARGS__)
#define FORCED                          \
    {                                   \
        .key = "force", .is_flag = true \
    }
#define EMPTY                           \
    {                                   \
        .key = "empty", .is_flag = true \
    }

/* Beta and gamma are away, and nobody leads. */
static void lose_two_nodes(void)
{
    for (uint32_t i = 1; i < NODE_COUNT; i++) {
        host.nodes[i].at_ms = WALL_MS - 10000;
        host.peers[i].is_up = false;
    }
    for (uint32_t i = 0; i < SHARD_COUNT; i++) {
        host.shards[i].at_ms = WALL_MS - 10000;
    }
}

static void tells_what_it_has_of_its_groups(void **state)
{
    (void)state;
    host.own = (struct host_own_replica){
        .number = raft_generation_first(3),
        .term = 9,
        .last_term = 8,
        .last_index = 77,
        .leader = MEMBER_NONE,
        .members = {.count = 1, .members = {{.node = 2, .is_voter = true}}}};
    ask("coord.replicas", NULL);
    check_answered();
    struct reader groups = answer_of("groups");
    CHECK(pack_read_array(&groups) == 1);
    CHECK(number_in(find(groups, "group")) == 2);
    CHECK(number_in(find(groups, "generation")) == 3);
    CHECK(number_in(find(groups, "last_term")) == 8);
    CHECK(number_in(find(groups, "last_index")) == 77);
    struct reader members = find(groups, "members");
    CHECK(pack_read_array(&members) == 1);
    assert_string_equal(text_in(find(members, "node")), "gamma");
}

static void asks_the_node_that_is_named(void **state)
{
    (void)state;
    ask("coord.replicas", ARGS({.key = "name", .text = "alpha"}));
    check_answered();
    ask("coord.replicas", ARGS({.key = "name", .text = "delta"}));
    CHECK_ERR(asked.err, ERR_NOT_FOUND);
    ask("coord.replicas", ARGS({.key = "name", .text = "gamma"}));
    CHECK(!asked.is_answered && passed_call);
    passed_call->done(passed_call, ERR_NONE, bytes_of_text("done"));
    host.peers[2].is_up = false;
    ask("coord.replicas", ARGS({.key = "name", .text = "gamma"}));
    check_refused(ERR_NO_QUORUM, "alpha hears nothing of gamma");
}

static void has_a_shard_taken_over_and_notes_it(void **state)
{
    (void)state;
    lose_two_nodes();
    host.view->map.places[1].generation = 4;
    ask("shard.recover",
        ARGS({.key = "shard", .number = 1}, {.key = "to", .text = "alpha"}));
    CHECK(host.change.kind == VIEW_RECOVER && host.change.number == 1);
    CHECK(host.change.node == 0 && host.change.generation == 5);
    CHECK(!host.change.flag);
    assert_string_equal(host.change.who, "operator/ann");
    assert_string_equal(host.change.text,
                        "shard 1 has lost its majority: alpha takes it over, "
                        "generation 5; what only others had is gone");
    end_change(ERR_NONE, "");
    check_answered();
    CHECK(number_in(answer_of("generation")) == 5);
    ask("shard.recover", RECOVER(EMPTY));
    CHECK(host.change.flag);
    assert_string_equal(host.change.text,
                        "shard 1 has lost its majority: alpha begins it "
                        "empty, generation 5; what was in it is gone");
    end_change(ERR_NONE, "");
}

static void recovers_nothing_that_serves_or_may(void **state)
{
    (void)state;
    ask("shard.recover", RECOVER(FORCED));
    check_refused(ERR_REFUSED, "shard 1 is led by alpha: nothing of it is to "
                               "be recovered");
    lose_two_nodes();
    host.nodes[1].at_ms = WALL_MS;
    ask("shard.recover", RECOVER(EMPTY));
    check_refused(ERR_REFUSED,
                  "2 of the 3 nodes that shall have shard 1 are up: wait for "
                  "it to be led; --force when they have lost what they had");
    CHECK(host.change_count == 0);
    ask("shard.recover", RECOVER(FORCED));
    CHECK(host.change_count == 1);
    end_change(ERR_NONE, "");
}

static void lets_nobody_take_over_who_cannot(void **state)
{
    (void)state;
    lose_two_nodes();
    ask("shard.recover", ARGS({.key = "shard", .number = 1},
                              {.key = "to", .text = "gamma"}, FORCED));
    check_refused(ERR_REFUSED,
                  "gamma is not heard: it cannot take anything over");
    members_find(&host.view->members, 0)->roles = SETTINGS_VOTER;
    ask("shard.recover", RECOVER(EMPTY));
    check_refused(ERR_REFUSED,
                  "alpha holds no shards: it lacks the role shard");
    CHECK(host.change_count == 0);
}

static void waits_for_who_is_about_to_take_over(void **state)
{
    (void)state;
    lose_two_nodes();
    CHECK_OK(view_change(host.view, &(struct view_change){.kind = VIEW_RECOVER,
                                                          .number = 1,
                                                          .generation = 1}));
    ask("shard.recover", RECOVER(EMPTY));
    check_refused(ERR_BUSY, "alpha is about to take shard 1 over: wait");
    ask("shard.recover", RECOVER(FORCED));
    CHECK(host.change.generation == 2);
    end_change(ERR_NONE, "");
}

static void sets_down_only_who_is_away(void **state)
{
    (void)state;
    const struct arg *const down =
        ARGS({.key = "name", .text = "beta"}, {.key = "state", .text = "down"});
    ask("node.set", down);
    check_refused(ERR_REFUSED,
                  "beta is up: drain it, or stop its process first");
    lose_two_nodes();
    ask("node.set", down);
    CHECK(host.change.kind == VIEW_MEMBER_SET &&
          host.change.member.state == MEMBER_DOWN);
    end_change(ERR_NONE, "");
}

/* ---- counters ---- */

static void counts_through_the_router(void **state)
{
    (void)state;
    /* is_done, and 42 in 8 bytes, the least significant first */
    static const uint8_t reply[COUNTER_REPLY_BYTES] = {1, 42};
    ask_for(ROLE_CLIENT, "counter.add",
            ARGS({.key = "id", .text = "hits"}, {.key = "value", .number = 2},
                 {.key = "key", .number = 7}),
            "");
    CHECK(routed && !asked.is_answered);
    CHECK(routed_ask.may_repeat && !routed_ask.is_read);
    CHECK(routed_ask.shard < SHARD_COUNT);
    CHECK(routed_ask.timeout_ms == 7200); /* of 8 s; the rest is for the way */
    routed->done(routed, ERR_NONE, bytes_of(reply, sizeof reply));
    check_answered();
    CHECK(number_in(answer_of("value")) == 42);
    CHECK(number_in(answer_of("shard")) == routed_ask.shard);

    ask_for(ROLE_OBSERVER, "counter.get", ARGS({.key = "id", .text = "hits"}),
            "");
    CHECK(routed_ask.is_read);
    routed->done(routed, ERR_TIMEOUT, (struct bytes){0});
    CHECK_ERR(asked.err, ERR_TIMEOUT);
}

static void repeats_no_addition_without_a_key(void **state)
{
    (void)state;
    ask("counter.add",
        ARGS({.key = "id", .text = "hits"}, {.key = "value", .number = -2}));
    CHECK(!routed_ask.may_repeat);
    routed->done(routed, ERR_UNCERTAIN, (struct bytes){0});
    CHECK_ERR(asked.err, ERR_UNCERTAIN);
}

static void names_who_is_missing_for_a_counter(void **state)
{
    char why[64];
    (void)state;
    host.nodes[1].at_ms = WALL_MS - 10000;
    host.nodes[2].at_ms = WALL_MS - 10000;
    ask("counter.get", ARGS({.key = "id", .text = "hits"}));
    host.view->map.places[routed_ask.shard] =
        (struct shard_place){.replica_count = 3, .replicas = {0, 1, 2}};
    (void)snprintf(why, sizeof why,
                   "shard %u has no majority; alpha hears nothing of beta, "
                   "gamma",
                   routed_ask.shard);
    routed->done(routed, ERR_NO_QUORUM, (struct bytes){0});
    check_refused(ERR_NO_QUORUM, why);
}

/* ---- settings ---- */

/* The last ones that were asked to be agreed on. */
static const char *changed_to(const char *key)
{
    return view_settings_find(&host.settings, key);
}

static void shows_what_was_agreed_and_has_the_rest_itself(void **state)
{
    (void)state;
    ask("config.show", NULL);
    check_answered();
    CHECK(number_in(answer_of("settings_version")) == 1);
    struct reader map = answer_of("settings");
    assert_string_equal(text_in(find(map, "cluster.replication")), "3");
    assert_string_equal(text_in(find(map, "cluster.shards")), "4");
    assert_string_equal(text_in(find(map, "cluster.timeouts.ask")), "5s");
    host.view->settings.version = 7;
    CHECK_OK(
        view_settings_set(&host.view->settings, "cluster.timeouts.ask", "9s"));
    ask("config.show", NULL);
    CHECK(number_in(answer_of("settings_version")) == 7);
    map = answer_of("settings");
    assert_string_equal(text_in(find(map, "cluster.timeouts.ask")), "9s");
}

static void plans_what_would_change_and_when(void **state)
{
    (void)state;
    ask("config.plan", ARGS({.key = "settings",
                             .settings = {"cluster.replication", "1",
                                          "cluster.timeouts.ask", "9s"}}));
    check_answered();
    CHECK(number_in(answer_of("settings_version")) == 1);
    struct reader list = answer_of("changes");
    CHECK(pack_read_array(&list) == 2);
    assert_string_equal(text_in(find(list, "key")), "cluster.replication");
    assert_string_equal(text_in(find(list, "from")), "3");
    assert_string_equal(text_in(find(list, "to")), "1");
    assert_string_equal(text_in(find(list, "effect")), "now");
    pack_skip(&list);
    assert_string_equal(text_in(find(list, "key")), "cluster.timeouts.ask");
    assert_string_equal(text_in(find(list, "effect")), "restart");
    (void)answer_of("moves");
    CHECK(host.change_count == 0);
}

static void check_plan_refuses(const char *key,
                               const char *value,
                               const char *why)
{
    const struct arg args[] = {{.key = "settings", .settings = {key, value}},
                               {.key = NULL}};
    ask("config.plan", args);
    check_answered();
    assert_string_equal(text_in(answer_of("refused")), why);
    const struct arg all[] = {{.key = "settings", .settings = {key, value}},
                              {.key = "settings_version", .number = 1},
                              {.key = NULL}};
    ask("config.apply", all);
    check_refused(ERR_REFUSED, why);
    CHECK(host.change_count == 0);
}

static void refuses_settings_that_would_do_harm(void **state)
{
    (void)state;
    check_plan_refuses("cluster.shards", "8",
                       "cluster.shards is fixed at founding: the number of "
                       "shards decides where every key lives");
    check_plan_refuses("cluster.replication", "5",
                       "cluster.replication: found 5; allowed: at most 3, the "
                       "nodes that hold shards");
    check_plan_refuses("cluster.replication", "2",
                       "cluster.replication: found 2; allowed: an odd number "
                       "(1 survives as many losses)");
    check_plan_refuses("cluster.limits.peers_max", "1",
                       "cluster.limits.peers_max: found 1; allowed: at least "
                       "2, the other nodes");
    check_plan_refuses("cluster.timeouts.election", "150ms",
                       "cluster.timeouts.election: found election 150ms with "
                       "heartbeat 100ms; allowed: election at least three "
                       "times heartbeat");
    check_plan_refuses("cluster.timeouts.election", "soon",
                       "cluster.timeouts.election: found soon; allowed: a "
                       "duration from 50ms to 1m, such as 500ms; at least "
                       "three times heartbeat");
    check_plan_refuses("cluster.nodes", "none",
                       "cluster.nodes: release " TROUPE_VERSION
                       ", which leads, knows no such key");
}

static void applies_settings_in_the_operators_name(void **state)
{
    (void)state;
    ask("config.apply", ARGS({.key = "settings",
                              .settings = {"cluster.replication", "1",
                                           "cluster.timeouts.ask", "9s"}},
                             {.key = "settings_version", .number = 1}));
    CHECK(host.change.kind == VIEW_SETTINGS);
    assert_string_equal(host.change.who, "operator/ann");
    assert_string_equal(host.change.text,
                        "settings: cluster.replication 3 to 1, "
                        "cluster.timeouts.ask 5s to 9s");
    assert_string_equal(changed_to("cluster.replication"), "1");
    assert_string_equal(changed_to("cluster.timeouts.ask"), "9s");
    assert_string_equal(changed_to("cluster.timeouts.election"), "500ms");
    end_change(ERR_NONE, "");
    check_answered();
    CHECK(number_in(answer_of("changed")) == 2);
}

static void applies_nothing_that_was_planned_from_others(void **state)
{
    (void)state;
    ask("config.apply",
        ARGS({.key = "settings", .settings = {"cluster.replication", "1"}},
             {.key = "settings_version", .number = 3}));
    check_refused(ERR_BUSY, "the settings have changed since the plan was "
                            "made: nothing was done, look at a new plan");
    ask("config.apply",
        ARGS({.key = "settings", .settings = {"cluster.replication", "3"}},
             {.key = "settings_version", .number = 1}));
    check_answered();
    CHECK(number_in(answer_of("changed")) == 0);
    CHECK(host.change_count == 0);
}

/* ---- backups ---- */

static void notes_that_a_backup_was_made_or_is_restored(void **state)
{
    static const struct {
        const char *verb;
        const char *text;
    } cases[] = {
        {"backup.created", "backup `nightly` was made: shards 0-2"},
        {"backup.restoring", "backup `nightly` is restored: shards 0-2"},
    };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        ask(cases[i].verb, ARGS({.key = "id", .text = "nightly"},
                                {.key = "shards", .text = "0-2"}));
        CHECK(host.change.kind == VIEW_NOTE && !asked.is_answered);
        assert_string_equal(host.change.text, cases[i].text);
        end_change(ERR_NONE, "");
        check_answered();
    }
}

static void operators_alone_make_and_restore_backups(void **state)
{
    (void)state;
    const struct arg args[] = {{.key = "id", .text = "nightly"},
                               {.key = "shards", .text = "0-2"},
                               {.key = NULL}};
    ask_for(ROLE_CLIENT, "backup.restoring", args, "");
    CHECK_ERR(asked.err, ERR_DENIED);
    ask_for(ROLE_OBSERVER, "backup.created", args, "");
    CHECK_ERR(asked.err, ERR_DENIED);
    CHECK(host.change_count == 0);
}

/* ---- tasks ---- */

static struct arg task_arg(uint64_t id)
{
    static char text[TASK_ID_BYTES];
    task_id_text(text, id);
    return (struct arg){.key = "id", .text = text};
}

static void check_why(uint64_t id, const char *why)
{
    ask_for(ROLE_OBSERVER, "task.show", ARGS(task_arg(id)), "");
    check_answered();
    assert_string_equal(text_in(answer_of("why")), why);
}

static void shows_a_task_with_what_it_was_given(void **state)
{
    (void)state;
    struct task_spec spec = task_spec_of(bytes_of_text("payload"));
    spec.key = bytes_of_text("order-1");
    spec.tenant = bytes_of_text("\xff");
    spec.priority = 2;
    uint64_t id = submit(1, &spec);
    ask("task.show", ARGS(task_arg(id)));
    check_answered();
    assert_string_equal(text_in(answer_of("pool")), "thumbs");
    assert_string_equal(text_in(answer_of("state")), "waiting");
    assert_string_equal(text_in(answer_of("work")), "ready");
    assert_string_equal(text_in(answer_of("key")), "order-1");
    CHECK(number_in(answer_of("priority")) == 2);
    struct reader payload = answer_of("payload");
    CHECK(bytes_are_equal(pack_read_bin(&payload), spec.payload));
    struct reader tenant = answer_of("tenant"); /* no text */
    CHECK(bytes_are_equal(pack_read_bin(&tenant), spec.tenant));
    struct reader order = answer_of("order"); /* none */
    pack_read_nil(&order);
    CHECK(!order.failed);
}

static void says_why_a_task_waits(void **state)
{
    (void)state;
    struct task_spec spec = task_spec_of(bytes_of_text("x"));
    uint64_t id = submit(1, &spec);
    check_why(id, "no worker of pool thumbs is free: it has 4 on each of "
                  "alpha, beta, gamma");
    struct task_pool pool = thumbs();
    pool.handler = TASK_FUNCTION;
    (void)snprintf(pool.function, sizeof pool.function, "resize");
    set_pool(&pool);
    check_why(id, "no node has asked for tasks of pool thumbs: is there a "
                  "program with its function resize among them?");
    pool.is_paused = true;
    set_pool(&pool);
    check_why(id, "pool thumbs is paused");
    spec.delay_ms = 5000;
    check_why(submit(1, &spec), "it may not begin for another 5000 ms");
    spec.delay_ms = 0;
    spec.order = bytes_of_text("ann");
    (void)submit(1, &spec);
    check_why(submit(1, &spec),
              "another task with the order key ann goes before");
    CHECK_OK(
        view_change(host.view, &(struct view_change){.kind = VIEW_POOL_REMOVE,
                                                     .pool = pool}));
    check_why(id, "there is no pool thumbs any more");
}

static void names_the_tasks_that_a_task_waits_for(void **state)
{
    (void)state;
    char why[128];
    char text[TASK_ID_BYTES];
    struct task_spec spec = task_spec_of(bytes_of_text("x"));
    spec.after[0] = submit(1, &spec);
    spec.after_count = 1;
    task_id_text(text, spec.after[0]);
    (void)snprintf(why, sizeof why,
                   "tasks that it comes after are not done: %s (waiting)",
                   text);
    check_why(submit(1, &spec), why);
}

static void says_what_a_cancelled_task_is(void **state)
{
    (void)state;
    uint8_t request[64];
    uint8_t reply[64];
    enum err err = ERR_NONE;
    struct task_spec spec = task_spec_of(bytes_of_text("x"));
    uint64_t id = submit(2, &spec);
    struct writer writer = writer_of(request, sizeof request);
    struct writer answer = writer_of(reply, sizeof reply);
    book_request_ids(&writer, BOOK_CANCEL, &id, 1, NULL);
    CHECK(coordinator_request(dispatcher_find(dispatcher, 2),
                              writer_bytes(&writer), &answer, &err));
    check_why(id, "somebody has cancelled it");
}

static void knows_no_task_that_never_was(void **state)
{
    (void)state;
    ask("task.show", ARGS({.key = "id", .text = "1-99"}));
    check_refused(ERR_NOT_FOUND,
                  "there is no task 1-99: it never was, or its result was "
                  "kept for as long as its pool says");
    ask("task.show", ARGS({.key = "id", .text = "1/99"}));
    check_refused(ERR_INVALID, "id: must be a task's id, such as 17-4021");
    ask("task.show", ARGS({.key = "id", .text = "77-1"}));
    CHECK_ERR(asked.err, ERR_NOT_FOUND);
}

static void asks_the_leader_of_a_tasks_shard(void **state)
{
    (void)state;
    host.leader = 1;
    ask("task.show", ARGS({.key = "id", .text = "1-1"}));
    CHECK(!asked.is_answered && passed_call);
    passed_call->done(passed_call, ERR_NOT_LEADER, (struct bytes){0});
    CHECK_ERR(asked.err, ERR_NO_QUORUM);
}

static void says_that_a_shard_gets_another_leader(void **state)
{
    (void)state;
    dispatcher_follow(dispatcher, 1);
    ask("task.show", ARGS({.key = "id", .text = "1-1"}));
    check_refused(ERR_BUSY, "shard 1 gets another leader: try again");
    CHECK(has_answer("may_pass"));
}

static uint32_t count_of(const char *key)
{
    struct reader list = answer_of(key);
    return pack_read_array(&list);
}

static void lists_the_tasks_that_are_asked_for(void **state)
{
    (void)state;
    char text[TASK_ID_BYTES];
    uint64_t ids[3];
    struct task_spec spec = task_spec_of(bytes_of_text("x"));
    spec.delay_ms = 1;
    for (uint32_t i = 0; i < 3; i++) {
        fake_clock.wall_ms++;
        ids[i] = submit(2 - i, &spec);
    }
    ask("task.ls", NULL);
    CHECK(count_of("tasks") == 3);
    ask("task.ls", ARGS({.key = "since_ms", .number = WALL_MS + 3}));
    CHECK(count_of("tasks") == 1);
    struct reader tasks = answer_of("tasks");
    (void)pack_read_array(&tasks);
    task_id_text(text, ids[2]);
    assert_string_equal(text_in(find(tasks, "id")), text);
    ask("task.ls", ARGS({.key = "until_ms", .number = WALL_MS + 2}));
    CHECK(count_of("tasks") == 1);
    tasks = answer_of("tasks");
    (void)pack_read_array(&tasks);
    task_id_text(text, ids[0]);
    assert_string_equal(text_in(find(tasks, "id")), text);
    ask("task.ls", ARGS({.key = "state", .text = "waiting"}));
    CHECK(count_of("tasks") == 3);
    ask("task.ls", ARGS({.key = "state", .text = "done"}));
    CHECK(count_of("tasks") == 0);
    ask("task.ls", ARGS({.key = "pool", .text = "emails"}));
    CHECK(count_of("tasks") == 0);
    ask("task.ls", ARGS({.key = "state", .text = "draining"}));
    check_refused(ERR_INVALID, "state: must be waiting, done, dead, cancelled "
                               "or expired");
}

/* Marks the tasks of the last answer. */
static void mark_listed(uint8_t *seen, uint32_t count)
{
    struct reader tasks = answer_of("tasks");
    uint32_t listed = pack_read_array(&tasks);
    for (uint32_t i = 0; i < listed; i++) {
        uint64_t id;
        CHECK_OK(task_id_parse(&id, text_in(find(tasks, "id"))));
        uint32_t at = (uint32_t)(task_id_sequence(id) & 0xffff);
        CHECK(at < count);
        seen[at]++;
        pack_skip(&tasks);
    }
}

/* From here on; false: there is no more. */
static bool ask_for_page(struct arg filter, int64_t *cursor)
{
    ask("task.ls", ARGS(filter, {.key = "cursor", .number = *cursor}));
    check_answered();
    struct reader reader = answer_of("cursor");
    if (pack_peek(&reader) == PACK_NIL) {
        return false;
    }
    *cursor = pack_read_int(&reader);
    return true;
}

static void lists_all_tasks_once_while_others_come(void **state)
{
    (void)state;
    enum { BEFORE = 100, AFTER = 2000 };
    const struct arg few = {.key = "limit", .number = 7};
    static uint8_t seen[BEFORE + AFTER + 1];
    struct task_spec spec = task_spec_of(bytes_of_text("x"));
    memset(seen, 0, sizeof seen);
    for (uint32_t i = 0; i < BEFORE; i++) {
        (void)submit(1, &spec);
    }
    int64_t cursor = 0;
    uint32_t pages = 1;
    for (; ask_for_page(few, &cursor); pages++) {
        CHECK(count_of("tasks") < 7 + 7); /* some may share a place */
        mark_listed(seen, sizeof seen);
        for (uint32_t i = 0; pages == 3 && i < AFTER; i++) {
            (void)submit(1, &spec); /* its table doubles a few times */
        }
    }
    mark_listed(seen, sizeof seen);
    CHECK(pages > BEFORE / 7);
    uint64_t first = submit(1, &spec) - BEFORE - AFTER;
    for (uint32_t i = 0; i < BEFORE + AFTER; i++) {
        uint32_t at = (uint32_t)(task_id_sequence(first + i) & 0xffff);
        CHECK(seen[at] <= 1 && (seen[at] == 1 || i >= BEFORE));
    }
}

static void lists_few_places_at_a_time(void **state)
{
    (void)state;
    const struct arg none = {.key = "since_ms", .number = INT64_MAX};
    struct task_spec spec = task_spec_of(bytes_of_text("x"));
    int64_t cursor = 0;
    uint32_t parts = 1;
    for (uint32_t i = 0; i < 40000; i++) {
        (void)submit(1, &spec);
    }
    for (; ask_for_page(none, &cursor); parts++) {
        CHECK(count_of("tasks") == 0);
    }
    CHECK(parts == 10); /* 40,000 places, 4,096 at a time */
}

static void shows_clients_the_tasks_of_their_pools_alone(void **state)
{
    (void)state;
    struct task_spec spec = task_spec_of(bytes_of_text("x"));
    uint64_t id = submit(1, &spec);
    ask_client("emails,thumb*", "task.show", ARGS(task_arg(id)));
    check_answered();
    ask_client("emails", "task.show", ARGS(task_arg(id)));
    CHECK_ERR(asked.err, ERR_NOT_FOUND);
    pass_client("emails", "task.show", ARGS(task_arg(id)));
    CHECK_ERR(asked.err, ERR_NOT_FOUND);
    pass_client("thumbs", "task.show", ARGS(task_arg(id)));
    check_answered();
    ask_client("emails", "task.show", ARGS({.key = "id", .text = "1-99"}));
    check_refused(ERR_NOT_FOUND,
                  "there is no task 1-99 in the pools emails: it never was, or "
                  "its result was kept for as long as its pool says");
    ask_client("*", "task.ls", NULL);
    CHECK(count_of("tasks") == 1);
    ask_client("emails", "task.ls", NULL);
    CHECK(count_of("tasks") == 0);
    ask_client("", "task.ls", ARGS({.key = "pool", .text = "thumbs"}));
    check_refused(ERR_DENIED, "the certificate of client/web is not for pool "
                              "thumbs: it names none");
}

static void passes_on_what_a_client_may_see(void **state)
{
    (void)state;
    struct control_question passed;
    host.leader = 1;
    ask_client("emails,thumb*", "task.show",
               ARGS({.key = "id", .text = "1-1"}));
    CHECK(passed_call);
    CHECK_OK(control_question_decode(
        &passed, bytes_of(passed_bytes, passed_length), NULL));
    CHECK(passed.is_limited);
    assert_string_equal(passed.pools, "emails,thumb*");
    assert_string_equal(passed.who, "client/web");
    passed_call->done(passed_call, ERR_NOT_LEADER, (struct bytes){0});
    ask("task.show", ARGS({.key = "id", .text = "1-1"}));
    CHECK_OK(control_question_decode(
        &passed, bytes_of(passed_bytes, passed_length), NULL));
    CHECK(!passed.is_limited);
    passed_call->done(passed_call, ERR_NOT_LEADER, (struct bytes){0});
}

static void check_bytes(const char *key, const char *expected)
{
    struct reader reader = answer_of(key);
    CHECK(bytes_are_equal(pack_read_bin(&reader), bytes_of_text(expected)));
}

/* What it has written, as who asked is told. */
static void tell_written(const char *output, const char *errors)
{
    struct run_look *look = looking;
    looking = NULL;
    look->done(look, ERR_NONE,
               &(struct run_written){.output = bytes_of_text(output),
                                     .errors = bytes_of_text(errors),
                                     .cut_bytes = 3});
}

static void tells_what_a_command_has_written_so_far(void **state)
{
    (void)state;
    uint64_t id = task_id(1, 7);
    give_run(id, 70);
    ask("task.output", ARGS(task_arg(id), {.key = "token", .number = 70},
                            {.key = "stdout_at", .number = 5}));
    CHECK(!asked.is_answered && looking);
    CHECK(looking->output_from == 5 && looking->errors_from == 0);
    tell_written("more", "oh");
    check_answered();
    check_bytes("stdout", "more");
    check_bytes("stderr", "oh");
    CHECK(number_in(answer_of("stdout_at")) == 5);
    CHECK(number_in(answer_of("attempt")) == 2);
    CHECK(number_in(answer_of("token")) == 70);
    CHECK(number_in(answer_of("cut")) == 3);
    /* What is known is of another attempt. */
    ask("task.output", ARGS(task_arg(id), {.key = "token", .number = 69},
                            {.key = "stdout_at", .number = 5}));
    CHECK(looking->output_from == 0);
    tell_written("all", "");
    CHECK(number_in(answer_of("stdout_at")) == 0);
    end_run();
}

static bool says_that_it_runs(void)
{
    struct reader reader = answer_of("running");
    return pack_read_bool(&reader);
}

static void tells_whether_a_command_runs_here(void **state)
{
    (void)state;
    uint64_t id = task_id(1, 7);
    ask("task.output", ARGS(task_arg(id)));
    check_answered();
    CHECK(!says_that_it_runs());
    give_run(id, 70);
    look_err = ERR_NOT_FOUND; /* it waits for a worker */
    ask("task.output", ARGS(task_arg(id)));
    CHECK(says_that_it_runs());
    look_err = ERR_REFUSED;
    ask("task.output", ARGS(task_arg(id)));
    check_refused(ERR_REFUSED,
                  "what a task of pool thumbs writes is seen when it has "
                  "ended: it is a function, and no command");
    look_err = ERR_NONE;
    ask("task.output", ARGS(task_arg(id)));
    looking->done(looking, ERR_CLOSED, NULL); /* it ends meanwhile */
    looking = NULL;
    CHECK(!says_that_it_runs());
    ask_client("emails", "task.output", ARGS(task_arg(id)));
    CHECK_ERR(asked.err, ERR_NOT_FOUND);
    end_run();
    ask("task.output", ARGS(task_arg(id))); /* ended, and not recorded yet */
    CHECK(!says_that_it_runs());
}

static void looks_no_more_when_it_ends(void **state)
{
    (void)state;
    uint64_t id = task_id(1, 7);
    give_run(id, 70);
    ask("task.output", ARGS(task_arg(id)));
    CHECK(looking);
    control_close(&control);
    CHECK(!looking);
    CHECK_ERR(asked.err, ERR_CLOSED);
    end_run();
}

/* ---- pools ---- */

static void shows_clients_their_pools_alone(void **state)
{
    (void)state;
    ask_client("thumbs", "pool.ls", NULL);
    CHECK(count_of("pools") == 1);
    ask_client("thumbs", "pool.show", ARGS({.key = "name", .text = "thumbs"}));
    check_answered();
    ask_client("emails", "pool.show", ARGS({.key = "name", .text = "thumbs"}));
    check_refused(ERR_DENIED, "the certificate of client/web is not for pool "
                              "thumbs: it names emails");
    ask_client("emails", "pool.ls", NULL);
    CHECK(count_of("pools") == 0);
}

static void sums_what_it_has_of_a_pool(void **state)
{
    (void)state;
    struct task_spec spec = task_spec_of(bytes_of_text("x"));
    (void)submit(0, &spec);
    (void)submit(1, &spec);
    ask("pool.show", ARGS({.key = "name", .text = "thumbs"}));
    check_answered();
    CHECK(number_in(find(answer_of("here"), "waiting")) == 2);
    CHECK(number_in(find(answer_of("here"), "ready")) == 2);
    CHECK(number_in(find(answer_of("here"), "accepted_total")) == 2);
    CHECK(number_in(find(answer_of("coordinators"), "led")) == SHARD_COUNT);
    CHECK(number_in(find(answer_of("definition"), "workers")) == 4);
    ask("pool.show", ARGS({.key = "name", .text = "thumb"}));
    check_refused(ERR_NOT_FOUND, "there is no pool thumb");
}

static void tells_when_schedules_are_due(void **state)
{
    (void)state;
    struct task_pool pool = thumbs();
    struct task_schedule schedule;
    task_schedule_defaults(&schedule);
    (void)snprintf(schedule.name, sizeof schedule.name, "nightly");
    (void)snprintf(schedule.text, sizeof schedule.text, "@yearly");
    CHECK_OK(cron_parse(&schedule.cron, schedule.text, NULL));
    schedule.since_ms = INT64_C(1704067200000); /* 2024 begins */
    pool.is_durable = true;
    pool.any_command = true;
    pool.schedules = &schedule;
    pool.schedule_count = 1;
    set_pool(&pool);
    uint32_t shard = task_pool_shard("thumbs", SHARD_COUNT);
    ask("pool.schedules", ARGS({.key = "name", .text = "thumbs"}));
    check_answered();
    CHECK(number_in(answer_of("shard")) == shard);
    CHECK(count_of("schedules") == 1);
    struct reader first = answer_of("schedules");
    (void)pack_read_array(&first);
    assert_string_equal(text_in(find(first, "name")), "nightly");
    assert_string_equal(text_in(find(first, "cron")), "@yearly");
    CHECK(number_in(find(first, "next_ms")) == UINT64_C(1735689600000));
    CHECK(number_in(find(first, "passed")) == 0);
    struct reader last = find(first, "last_ms"); /* none */
    pack_read_nil(&last);
    CHECK(!last.failed);
    ask("pool.schedules", ARGS({.key = "name", .text = "thumb"}));
    check_refused(ERR_NOT_FOUND, "there is no pool thumb");
    dispatcher_follow(dispatcher, shard);
    ask("pool.schedules", ARGS({.key = "name", .text = "thumbs"}));
    CHECK_ERR(asked.err, ERR_BUSY);
    host.leader = 1;
    ask("pool.schedules", ARGS({.key = "name", .text = "thumbs"}));
    CHECK(!asked.is_answered && passed_call);
    passed_call->done(passed_call, ERR_NOT_LEADER, (struct bytes){0});
    CHECK_ERR(asked.err, ERR_NO_QUORUM);
}

/* pool.set with a definition of one field beside its name. */
static void ask_set(enum role role, const char *field, uint64_t value)
{
    uint8_t buffer[512];
    uint8_t args[256];
    struct writer writer = writer_of(args, sizeof args);
    pack_map(&writer, 1);
    pack_text(&writer, "definition");
    pack_map(&writer, 2);
    pack_text(&writer, "name");
    pack_text(&writer, "thumbs");
    pack_text(&writer, field);
    pack_uint(&writer, value);
    struct control_question question = {.verb = "pool.set",
                                        .args = writer_bytes(&writer)};
    writer = writer_of(buffer, sizeof buffer);
    control_question_encode(&question, &writer);
    asked = (struct asked){.certificate = {.role = role, .name = "ann"}};
    handler(handler_context, &asked, writer_bytes(&writer));
}

static void sets_a_pool_in_the_operators_name(void **state)
{
    (void)state;
    ask_set(ROLE_OPERATOR, "workers", 9);
    CHECK(host.change.kind == VIEW_POOL_SET && !asked.is_answered);
    CHECK(host.change.pool.workers == 9);
    assert_string_equal(host.change.who, "operator/ann");
    assert_string_equal(host.change.text, "pool thumbs: 9 workers on each "
                                          "node, before 4");
    end_change(ERR_NONE, "");
    check_answered();
}

static void refuses_a_pool_that_makes_no_sense(void **state)
{
    (void)state;
    ask_set(ROLE_OPERATOR, "workers", 9999);
    check_refused(ERR_INVALID, "workers: 9999 is not between 0 and 1024");
    ask_set(ROLE_OPERATOR, "version", 1);
    check_refused(ERR_BUSY, "pool thumbs was changed meanwhile");
    ask_set(ROLE_CLIENT, "workers", 9);
    CHECK_ERR(asked.err, ERR_DENIED);
    ask("pool.set", ARGS({.key = "definition", .text = "thumbs"}));
    check_refused(ERR_INVALID, "definition: must be a map of a pool's fields");
    CHECK(host.change_count == 0);
}

static void removes_no_pool_in_which_tasks_wait(void **state)
{
    (void)state;
    struct task_spec spec = task_spec_of(bytes_of_text("x"));
    (void)submit(3, &spec);
    ask("pool.remove", ARGS({.key = "name", .text = "thumbs"}));
    check_refused(ERR_REFUSED,
                  "at least 1 tasks wait in pool thumbs, and nobody would "
                  "work on them: let them end or cancel them first, or use "
                  "force");
    ask("pool.remove", ARGS({.key = "name", .text = "thumbs"},
                            {.key = "force", .is_flag = true}));
    CHECK(host.change.kind == VIEW_POOL_REMOVE);
    assert_string_equal(host.change.text, "pool thumbs is removed");
    end_change(ERR_NONE, "");
    check_answered();
}

/* ---- the end ---- */

static void tells_who_waits_that_it_ends(void **state)
{
    (void)state;
    ask("shard.pause", NULL);
    control_close(&control);
    check_refused(ERR_CLOSED, "this node ends");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_verb_that_looks_answers),
        TEST(says_that_all_is_well),
        TEST(names_what_is_wrong),
        TEST(nobody_knows_how_far_behind_a_node_is_that_is_away),
        TEST(names_who_must_be_restarted),
        TEST(says_what_a_node_has_left),
        TEST(tells_its_newest_log_lines),
        TEST(tells_its_settings_by_their_keys),
        TEST(tells_what_it_runs_on),
        TEST(says_that_a_drain_waits_for_another_node),
        TEST(refuses_what_it_does_not_know),
        TEST(says_which_role_is_needed),
        TEST(believes_nobody_but_nodes_for_whom_they_ask),
        TEST(says_that_it_knows_of_no_cluster),
        TEST(passes_on_to_who_leads_and_back),
        TEST(passes_nothing_on_twice),
        TEST(answers_from_what_it_knows_when_it_is_asked_to),
        TEST(names_who_is_missing_for_a_majority),
        TEST(says_when_it_may_have_been_done),
        TEST(sets_a_nodes_state_in_the_operators_name),
        TEST(says_whether_it_would_be_refused_and_does_nothing),
        TEST(does_nothing_when_it_is_so_already),
        TEST(drains_the_last_active_node_by_force_only),
        TEST(tells_why_a_change_was_refused),
        TEST(forgets_only_who_is_empty_and_away),
        TEST(forgets_nobody_on_whom_a_group_counts),
        TEST(moves_a_shard_to_one_of_its_replicas),
        TEST(moves_a_shard_to_another_node),
        TEST(refuses_moves_that_make_no_sense),
        TEST(transfers_where_it_leads_and_notes_it),
        TEST(tells_what_it_has_of_its_groups),
        TEST(asks_the_node_that_is_named),
        TEST(has_a_shard_taken_over_and_notes_it),
        TEST(recovers_nothing_that_serves_or_may),
        TEST(lets_nobody_take_over_who_cannot),
        TEST(waits_for_who_is_about_to_take_over),
        TEST(sets_down_only_who_is_away),
        TEST(counts_through_the_router),
        TEST(repeats_no_addition_without_a_key),
        TEST(names_who_is_missing_for_a_counter),
        TEST(says_that_an_election_will_pass),
        TEST(names_what_takes_long),
        TEST(tells_how_far_a_drain_is),
        TEST(ends_a_drain),
        TEST(tells_how_far_a_move_is),
        TEST(a_new_replica_counts_by_what_it_has_read),
        TEST(a_move_that_is_cancelled_goes_back),
        TEST(rebalancing_pauses_when_it_is_cancelled),
        TEST(a_repair_ends_by_itself_alone),
        TEST(a_recovery_ends_when_the_shard_serves),
        TEST(shows_what_was_agreed_and_has_the_rest_itself),
        TEST(plans_what_would_change_and_when),
        TEST(refuses_settings_that_would_do_harm),
        TEST(applies_settings_in_the_operators_name),
        TEST(applies_nothing_that_was_planned_from_others),
        TEST(notes_that_a_backup_was_made_or_is_restored),
        TEST(operators_alone_make_and_restore_backups),
        TEST(shows_a_task_with_what_it_was_given),
        TEST(says_why_a_task_waits),
        TEST(names_the_tasks_that_a_task_waits_for),
        TEST(says_what_a_cancelled_task_is),
        TEST(knows_no_task_that_never_was),
        TEST(asks_the_leader_of_a_tasks_shard),
        TEST(says_that_a_shard_gets_another_leader),
        TEST(lists_the_tasks_that_are_asked_for),
        TEST(lists_all_tasks_once_while_others_come),
        TEST(lists_few_places_at_a_time),
        TEST(shows_clients_the_tasks_of_their_pools_alone),
        TEST(passes_on_what_a_client_may_see),
        TEST(tells_what_a_command_has_written_so_far),
        TEST(tells_whether_a_command_runs_here),
        TEST(looks_no_more_when_it_ends),
        TEST(shows_clients_their_pools_alone),
        TEST(sums_what_it_has_of_a_pool),
        TEST(tells_when_schedules_are_due),
        TEST(sets_a_pool_in_the_operators_name),
        TEST(refuses_a_pool_that_makes_no_sense),
        TEST(removes_no_pool_in_which_tasks_wait),
        TEST(tells_who_waits_that_it_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
