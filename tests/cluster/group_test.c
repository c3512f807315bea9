#include "cluster/group.h"

#include "tests/support/check.h"

#include "base/owner.h"
#include "base/time_units.h"
#include "shard/counter_map.h"
#include "store/row.h"
#include "store/snapshot_head.h"
#include "tests/sim/sim_kv.h"
#include "tests/support/fake_clock.h"
#include "tests/support/manual_executor.h"
#include "tests/support/seeded.h"

#include <stdlib.h>
#include <string.h>

#define KEY 7
#define OWN 1 /* this replica's number */
#define SENT_COUNT_MAX 64
#define PIECE_BYTES 64
#define PIECE_COUNT_MAX 16

struct asked {
    struct group_request request;
    uint32_t done_count;
    enum err err;
    struct counter_reply reply;
    struct group *again; /* asked once more by who is told */
    enum err again_err;
};

/* One replica; messages, disk and time are in the test's hands. */
struct fixture {
    struct fake_clock fake;
    struct clock clock;
    struct seeded seeded;
    struct entropy entropy;
    struct manual_executor jobs;
    struct executor applier;
    struct reactor *reactor;
    struct sim_kv *kv;
    struct counter_map *map;
    struct group_config config;
    struct raft_configuration members;
    uint32_t padding_bytes;                                /* of each outcome */
    enum err (*restore_end)(void *context, bool is_whole); /* the map's own */
    struct group *group;

    uint64_t saved; /* records */
    struct wal_record mark;
    uint8_t mark_bytes[GROUP_MARK_BYTES_MAX];
    bool is_awake;
    enum err failed;
    uint32_t snapshot_failed_count;
    enum err snapshot_failed; /* what the last one failed with */
    enum err room;
    struct raft_message sent[SENT_COUNT_MAX]; /* without what they borrow */
    uint32_t sent_count;
};

/* ---- the group's home ---- */

static void on_send(void *context,
                    struct group *group,
                    const struct raft_message *message)
{
    struct fixture *fixture = context;
    (void)group;
    fixture->sent[fixture->sent_count++ % SENT_COUNT_MAX] = *message;
}

static uint64_t on_save(void *context,
                        struct group *group,
                        const struct wal_record *record)
{
    struct fixture *fixture = context;
    (void)group;
    if (record->kind == WAL_SNAPSHOT) {
        fixture->mark = *record;
        memcpy(fixture->mark_bytes, record->bytes.data, record->bytes.length);
        fixture->mark.bytes.data = fixture->mark_bytes;
    }
    return ++fixture->saved;
}

static enum err on_room(void *context)
{
    return ((struct fixture *)context)->room;
}

static void on_wake(void *context, struct group *group)
{
    (void)group;
    ((struct fixture *)context)->is_awake = true;
}

static void on_change(void *context, struct group *group)
{
    (void)context;
    (void)group;
}

static void on_snapshot_failed(void *context,
                               struct group *group,
                               enum err err,
                               const char *what)
{
    struct fixture *fixture = context;
    (void)group;
    CHECK(what[0] != '\0');
    fixture->snapshot_failed_count++;
    fixture->snapshot_failed = err;
}

static void on_failed(void *context,
                      struct group *group,
                      enum err err,
                      const char *what)
{
    (void)group;
    (void)what;
    ((struct fixture *)context)->failed = err;
}

/* ---- set up ---- */

static void set_members(struct fixture *fixture, uint32_t count)
{
    fixture->members =
        (struct raft_configuration){.next_number = count + 1, .count = count};
    for (uint32_t i = 0; i < count; i++) {
        fixture->members.members[i] = (struct raft_member){
            .number = i + 1, .node = i, .disk_id = i + 1, .is_voter = true};
    }
}

static enum err open_group(struct fixture *fixture)
{
    struct group_home home = {
        .context = fixture,
        .clock = &fixture->clock,
        .kv = sim_kv_table(fixture->kv),
        .applier = &fixture->applier,
        .reactor = fixture->reactor,
        .send = on_send,
        .save = on_save,
        .room = on_room,
        .wake = on_wake,
        .on_change = on_change,
        .on_snapshot_failed = on_snapshot_failed,
        .on_failed = on_failed,
    };
    uint8_t buffer[GROUP_MARK_BYTES_MAX];
    struct group_mark mark = {.number = OWN, .configuration = fixture->members};
    struct wal_group past = {
        .term = 1,
        .snapshot_index = fixture->mark.index,
        .snapshot_term = fixture->mark.term,
        .configuration = fixture->mark.bytes.length > 0
                             ? fixture->mark.bytes
                             : group_mark_encode(buffer, &mark),
    };
    counter_map_close(&fixture->map);
    fixture->map = counter_map_open(&(struct counter_map_config){
        .result_count_max = 8, .padding_bytes = fixture->padding_bytes});
    struct machine machine = counter_map_machine(fixture->map);
    machine.apply = fixture->config.machine.apply
                        ? fixture->config.machine.apply
                        : machine.apply;
    fixture->restore_end = machine.restore_end;
    machine.restore_end = fixture->config.machine.restore_end
                              ? fixture->config.machine.restore_end
                              : machine.restore_end;
    machine.snapshot_begin = fixture->config.machine.snapshot_begin
                                 ? fixture->config.machine.snapshot_begin
                                 : machine.snapshot_begin;
    struct group_config config = fixture->config;
    config.machine = machine;
    return group_open(&fixture->group, &home, &config, &past);
}

static void begin(struct fixture *fixture, uint32_t member_count)
{
    set_members(fixture, member_count);
    CHECK_OK(open_group(fixture));
    group_start(fixture->group);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->fake = (struct fake_clock){.now_ns = NS_PER_S, .wall_ms = 1000};
    fixture->clock = fake_clock_table(&fixture->fake);
    fixture->entropy = seeded_entropy(&fixture->seeded);
    fixture->applier = manual_executor_table(&fixture->jobs);
    fixture->kv = sim_kv_open();
    CHECK_OK(reactor_open(
        &fixture->reactor,
        &(struct reactor_config){.name = "test", .clock = &fixture->clock}));
    fixture->config =
        (struct group_config){.raft = {.number = OWN,
                                       .entropy = &fixture->entropy,
                                       .election_ns = 500 * NS_PER_MS,
                                       .heartbeat_ns = 100 * NS_PER_MS,
                                       .inflight_count_max = 4,
                                       .append_bytes_max = 4096}};
    group_limits_defaults(&fixture->config.limits);
    fixture->config.limits.piece_bytes = PIECE_BYTES;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    group_close(&fixture->group);
    counter_map_close(&fixture->map);
    reactor_close(&fixture->reactor);
    sim_kv_close(&fixture->kv);
    free(fixture);
    return 0;
}

/* ---- what happens ---- */

static void turn(struct fixture *fixture)
{
    while (fixture->is_awake) {
        fixture->is_awake = false;
        group_turn_end(fixture->group);
    }
}

/* All that was saved is durable. */
static void store(struct fixture *fixture)
{
    uint64_t number = 0;
    while (number < fixture->saved) {
        number = fixture->saved;
        group_stored(fixture->group, number);
        turn(fixture);
    }
}

static void run_jobs(struct fixture *fixture)
{
    while (manual_executor_step(&fixture->jobs)) {
        (void)reactor_turn(fixture->reactor);
    }
}

static void tick_after(struct fixture *fixture, uint64_t ms)
{
    fixture->fake.now_ns += ms * NS_PER_MS;
    group_tick(fixture->group);
    turn(fixture);
}

static void receive(struct fixture *fixture, struct raft_message message)
{
    message.to = OWN;
    group_receive(fixture->group, &message);
    turn(fixture);
}

static uint64_t term(const struct fixture *fixture)
{
    return raft_term(group_raft(fixture->group));
}

/* What 2 says when it has all that there is. */
static void acknowledge(struct fixture *fixture)
{
    receive(fixture, (struct raft_message){
                         .kind = RAFT_APPEND_REPLY,
                         .from = 2,
                         .term = term(fixture),
                         .index = raft_last_index(group_raft(fixture->group)),
                         .is_ok = true});
}

/* Its time has come: have 2 vote for it. */
static void win(struct fixture *fixture)
{
    if (fixture->members.count > 1) {
        receive(fixture, (struct raft_message){.kind = RAFT_PRE_VOTE_REPLY,
                                               .from = 2,
                                               .term = term(fixture) + 1,
                                               .is_ok = true});
    }
    store(fixture);
    if (fixture->members.count > 1) {
        receive(fixture, (struct raft_message){.kind = RAFT_VOTE_REPLY,
                                               .from = 2,
                                               .term = term(fixture),
                                               .is_ok = true});
    }
    store(fixture);
}

static void lead(struct fixture *fixture)
{
    tick_after(fixture, 2000);
    win(fixture);
    if (fixture->members.count > 1) {
        acknowledge(fixture);
    }
    CHECK(raft_is_settled(group_raft(fixture->group)));
}

static void depose(struct fixture *fixture)
{
    receive(fixture, (struct raft_message){.kind = RAFT_HEARTBEAT,
                                           .from = 2,
                                           .term = term(fixture) + 1});
}

static const struct raft_message *last_sent(const struct fixture *fixture)
{
    CHECK(fixture->sent_count > 0);
    return &fixture->sent[(fixture->sent_count - 1) % SENT_COUNT_MAX];
}

/* ---- asking ---- */

static enum err propose(struct group *group,
                        const struct counter_command *command,
                        struct asked *asked)
{
    uint8_t bytes[COUNTER_COMMAND_BYTES];
    return group_propose(group, counter_command_encode(bytes, command),
                         &asked->request);
}

static const struct counter_command add_one = {
    .kind = COUNTER_ADD, .key = KEY, .value = 1};

static void on_done(struct group_request *request,
                    enum err err,
                    struct bytes reply)
{
    struct asked *asked = OWNER_OF(request, struct asked, request);
    asked->done_count++;
    asked->err = err;
    if (!err) {
        CHECK(counter_reply_decode(&asked->reply, reply));
    }
    if (asked->again) {
        asked->again_err = propose(asked->again, &add_one, asked);
    }
}

static void add(struct fixture *fixture, struct asked *asked)
{
    *asked = (struct asked){.request.done = on_done};
    CHECK_OK(propose(fixture->group, &add_one, asked));
    assert_int_equal(asked->done_count, 0);
}

static void ask(struct fixture *fixture, struct asked *asked)
{
    uint8_t bytes[COUNTER_COMMAND_BYTES];
    struct counter_command question = {.kind = COUNTER_READ, .key = KEY};
    *asked = (struct asked){.request.done = on_done};
    CHECK_OK(group_read(fixture->group,
                        counter_command_encode(bytes, &question),
                        &asked->request));
    assert_int_equal(asked->done_count, 0);
}

static void check_done(const struct asked *asked, enum err err, int64_t value)
{
    assert_int_equal(asked->done_count, 1);
    CHECK_ERR(asked->err, err);
    if (!err) {
        assert_int_equal(asked->reply.value, value);
    }
}

/* ---- commands and reads ---- */

static void a_reply_leaves_when_its_entry_is_committed(void **state)
{
    struct fixture *fixture = *state;
    struct asked asked;
    begin(fixture, 3);
    lead(fixture);
    add(fixture, &asked);
    turn(fixture);
    store(fixture);
    assert_int_equal(asked.done_count, 0); /* one of three has it */
    acknowledge(fixture);
    check_done(&asked, ERR_NONE, 1);
}

static void what_comes_while_an_entry_is_under_way_becomes_one(void **state)
{
    struct fixture *fixture = *state;
    struct asked asked[4];
    begin(fixture, 1);
    lead(fixture);
    uint64_t last = raft_last_index(group_raft(fixture->group));
    add(fixture, &asked[0]);
    turn(fixture);
    for (uint32_t i = 1; i < 4; i++) {
        add(fixture, &asked[i]);
        turn(fixture);
    }
    assert_int_equal(raft_last_index(group_raft(fixture->group)), last + 1);
    store(fixture);
    assert_int_equal(raft_last_index(group_raft(fixture->group)), last + 2);
    for (uint32_t i = 0; i < 4; i++) {
        check_done(&asked[i], ERR_NONE, i + 1);
    }
}

static void a_reply_without_an_outcome_waits_for_what_it_has_seen(void **state)
{
    struct fixture *fixture = *state;
    struct asked seen;
    struct asked asked = {.request.done = on_done};
    begin(fixture, 1);
    lead(fixture);
    add(fixture, &seen);
    turn(fixture);
    CHECK_OK(propose(fixture->group,
                     &(struct counter_command){.kind = COUNTER_COMPARE_AND_SET,
                                               .key = KEY,
                                               .expected = 5},
                     &asked));
    turn(fixture);
    assert_int_equal(asked.done_count, 0);
    store(fixture);
    check_done(&asked, ERR_NONE, 1);
    CHECK(!asked.reply.is_done);
}

static void a_read_waits_until_a_majority_was_asked(void **state)
{
    struct fixture *fixture = *state;
    struct asked asked;
    begin(fixture, 3);
    lead(fixture);
    ask(fixture, &asked);
    turn(fixture);
    assert_int_equal(asked.done_count, 0);
    const struct raft_message *heartbeat = last_sent(fixture);
    assert_int_equal(heartbeat->kind, RAFT_HEARTBEAT);
    receive(fixture, (struct raft_message){.kind = RAFT_HEARTBEAT_REPLY,
                                           .from = 2,
                                           .term = term(fixture),
                                           .round = heartbeat->round,
                                           .is_ok = true});
    check_done(&asked, ERR_NONE, 0);
}

static void who_is_deposed_tells_what_may_have_happened(void **state)
{
    struct fixture *fixture = *state;
    struct asked proposed;
    struct asked gathered;
    struct asked read;
    begin(fixture, 3);
    lead(fixture);
    add(fixture, &proposed);
    turn(fixture);
    add(fixture, &gathered);
    ask(fixture, &read);
    turn(fixture);
    depose(fixture);
    check_done(&proposed, ERR_UNCERTAIN, 0);
    check_done(&gathered, ERR_NOT_LEADER, 0);
    check_done(&read, ERR_NOT_LEADER, 0);
    CHECK_ERR(propose(fixture->group, &add_one, &proposed), ERR_NOT_LEADER);
}

static void closing_answers_all_and_takes_nothing_in(void **state)
{
    struct fixture *fixture = *state;
    struct asked proposed;
    struct asked gathered;
    begin(fixture, 1);
    lead(fixture);
    add(fixture, &proposed);
    turn(fixture);
    add(fixture, &gathered);
    proposed.again = fixture->group;
    gathered.again = fixture->group;
    group_close(&fixture->group);
    check_done(&proposed, ERR_UNCERTAIN, 0);
    check_done(&gathered, ERR_NOT_LEADER, 0);
    CHECK_ERR(proposed.again_err, ERR_NOT_LEADER);
    CHECK_ERR(gathered.again_err, ERR_NOT_LEADER);
}

static enum err refuse_to_apply(void *context,
                                uint64_t index,
                                const struct machine_stamp *stamp,
                                struct bytes outcome)
{
    (void)context;
    (void)index;
    (void)stamp;
    (void)outcome;
    return ERR_MEMORY;
}

static void who_cannot_apply_answers_no_reads_either(void **state)
{
    struct fixture *fixture = *state;
    struct asked proposed;
    struct asked read;
    fixture->config.machine.apply = refuse_to_apply;
    begin(fixture, 1);
    lead(fixture);
    add(fixture, &proposed);
    turn(fixture);
    ask(fixture, &read);
    /* It is not asked for the round before it has failed. */
    group_stored(fixture->group, fixture->saved);
    CHECK_ERR(fixture->failed, ERR_MEMORY);
    turn(fixture);
    assert_int_equal(proposed.done_count, 0);
    assert_int_equal(read.done_count, 0);
    group_close(&fixture->group);
    check_done(&proposed, ERR_UNCERTAIN, 0);
    check_done(&read, ERR_NOT_LEADER, 0);
}

/* ---- limits ---- */

static void an_outcome_is_not_larger_than_an_entry_may_be(void **state)
{
    struct fixture *fixture = *state;
    struct asked asked = {.request.done = on_done};
    fixture->config.limits.entry_bytes_max = 5000;
    fixture->padding_bytes = 4900;
    begin(fixture, 1);
    lead(fixture);
    add(fixture, &asked);
    turn(fixture);
    store(fixture);
    check_done(&asked, ERR_NONE, 1);
    group_close(&fixture->group);
    fixture->padding_bytes = 5000; /* there would be room in the buffer */
    CHECK_OK(open_group(fixture));
    group_start(fixture->group);
    lead(fixture);
    CHECK_ERR(propose(fixture->group, &add_one, &asked), ERR_TOO_LARGE);
}

static void when_too_much_is_gathered_it_is_full(void **state)
{
    struct fixture *fixture = *state;
    static struct asked asked[1000];
    enum err err = ERR_NONE;
    uint32_t count = 0;
    fixture->config.limits.entry_bytes_max = 1000;
    begin(fixture, 1);
    lead(fixture);
    while (!err && count < 1000) {
        asked[count] = (struct asked){.request.done = on_done};
        err = propose(fixture->group, &add_one, &asked[count]);
        count += !err;
    }
    CHECK_ERR(err, ERR_FULL);
    turn(fixture);
    const struct raft *raft = group_raft(fixture->group);
    CHECK(raft_entry_at(raft, raft_last_index(raft))->bytes.length < 1100);
    store(fixture);
    for (uint32_t i = 0; i < count; i++) {
        check_done(&asked[i], ERR_NONE, i + 1);
    }
    assert_int_equal(counter_map_value(fixture->map, KEY), count);
}

static void without_room_nothing_is_taken_in_and_reads_go_on(void **state)
{
    struct fixture *fixture = *state;
    struct asked asked = {.request.done = on_done};
    begin(fixture, 1);
    lead(fixture);
    fixture->room = ERR_NO_SPACE;
    CHECK_ERR(propose(fixture->group, &add_one, &asked), ERR_NO_SPACE);
    ask(fixture, &asked);
    turn(fixture);
    check_done(&asked, ERR_NONE, 0);
}

static void a_stamp_says_when_it_was_decided(void **state)
{
    struct fixture *fixture = *state;
    struct asked asked = {.request.done = on_done};
    struct raft_entry_commands commands;
    begin(fixture, 1);
    lead(fixture);
    /* It is refused, but opens what gathers. */
    CHECK_OK(group_propose(fixture->group, bytes_of_text("?"), &asked.request));
    turn(fixture);
    check_done(&asked, ERR_MALFORMED, 0);
    fixture->fake.wall_ms = 5000;
    add(fixture, &asked);
    turn(fixture);
    const struct raft *raft = group_raft(fixture->group);
    CHECK_OK(raft_entry_commands_decode(
        &commands, raft_entry_at(raft, raft_last_index(raft))->bytes));
    assert_int_equal(commands.stamp_ms, 5000);
    store(fixture);
    check_done(&asked, ERR_NONE, 1);
}

/* ---- snapshots ---- */

static void add_many(struct fixture *fixture, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct asked asked = {.request.done = on_done};
        CHECK_OK(propose(fixture->group,
                         &(struct counter_command){
                             .kind = COUNTER_ADD, .key = KEY + i, .value = 1},
                         &asked));
        turn(fixture);
        store(fixture);
        check_done(&asked, ERR_NONE, 1);
    }
}

static void a_snapshot_is_there_after_a_restart(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, 1);
    lead(fixture);
    add_many(fixture, 20);
    uint64_t digest = counter_map_digest(fixture->map);
    CHECK_OK(group_snapshot(fixture->group));
    CHECK_ERR(group_snapshot(fixture->group), ERR_BUSY);
    CHECK(!group_is_idle(fixture->group));
    run_jobs(fixture);
    CHECK(group_is_idle(fixture->group));
    assert_int_equal(fixture->mark.index, group_applied_index(fixture->group));
    CHECK_ERR(group_snapshot(fixture->group), ERR_BUSY); /* nothing is new */
    group_close(&fixture->group);
    CHECK_OK(open_group(fixture));
    CHECK(counter_map_digest(fixture->map) == digest);
    assert_int_equal(group_applied_index(fixture->group), fixture->mark.index);
}

static void a_lost_state_is_refused_when_nobody_else_has_it(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, 1);
    lead(fixture);
    add_many(fixture, 3);
    CHECK_OK(group_snapshot(fixture->group));
    run_jobs(fixture);
    group_close(&fixture->group);
    sim_kv_wipe(fixture->kv);
    CHECK_ERR(open_group(fixture), ERR_NOT_FOUND);
}

/* Its log is the longest: it leads until another has it, and says so. */
static void without_state_it_leads_only_to_hand_over(void **state)
{
    struct fixture *fixture = *state;
    struct asked asked = {.request.done = on_done};
    begin(fixture, 3);
    lead(fixture);
    CHECK_OK(group_snapshot(fixture->group));
    run_jobs(fixture);
    group_close(&fixture->group);
    sim_kv_wipe(fixture->kv);
    CHECK_OK(open_group(fixture));
    group_start(fixture->group);
    CHECK(!group_has_state(fixture->group));
    tick_after(fixture, 1900); /* others had time to stand */
    assert_int_equal(raft_role(group_raft(fixture->group)), RAFT_FOLLOWER);
    tick_after(fixture, 700);
    win(fixture);
    assert_int_equal(raft_role(group_raft(fixture->group)), RAFT_LEADER);
    CHECK_ERR(propose(fixture->group, &add_one, &asked), ERR_BUSY);
    CHECK_ERR(group_read(fixture->group, bytes_of_text("?"), &asked.request),
              ERR_BUSY);
    acknowledge(fixture);
    CHECK(group_applied_index(fixture->group) <
          raft_commit_index(group_raft(fixture->group)));
    assert_int_equal(last_sent(fixture)->kind, RAFT_TIMEOUT_NOW);
    assert_int_equal(last_sent(fixture)->to, 2);
    CHECK_ERR(propose(fixture->group, &add_one, &asked), ERR_BUSY);
    depose(fixture);
    CHECK_ERR(propose(fixture->group, &add_one, &asked), ERR_NOT_LEADER);
    CHECK_OK(fixture->failed);
}

static void a_snapshot_that_fails_is_not_tried_at_once_again(void **state)
{
    struct fixture *fixture = *state;
    fixture->config.limits.snapshot_log_bytes = 100;
    begin(fixture, 1);
    lead(fixture);
    sim_kv_fail(fixture->kv, ERR_NO_SPACE);
    add_many(fixture, 3);
    run_jobs(fixture);
    for (uint32_t i = 0; i < 10; i++) {
        tick_after(fixture, 25);
        assert_int_equal(fixture->jobs.count, 0);
    }
    sim_kv_fail(fixture->kv, ERR_NONE);
    tick_after(fixture, 1000);
    CHECK(fixture->jobs.count > 0);
    run_jobs(fixture);
    CHECK(group_stored_index(fixture->group) > 0);
}

/* Ticks of 25 ms, for so long. */
static void tick_for(struct fixture *fixture, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 25) {
        tick_after(fixture, 25);
        run_jobs(fixture);
    }
}

static void a_snapshot_that_keeps_failing_is_tried_less_and_less(void **state)
{
    struct fixture *fixture = *state;
    fixture->config.limits.snapshot_log_bytes = 100;
    begin(fixture, 1);
    lead(fixture);
    sim_kv_fail(fixture->kv, ERR_NO_SPACE);
    add_many(fixture, 3);
    tick_for(fixture, 64000);
    CHECK_ERR(fixture->snapshot_failed, ERR_NO_SPACE);
    /* At 0, 1, 3, 7, 15, 31, 47 and 63 s. */
    assert_int_equal(fixture->snapshot_failed_count, 8);
    CHECK_ERR(group_snapshot(fixture->group), ERR_BUSY);
    sim_kv_fail(fixture->kv, ERR_NONE);
    tick_for(fixture, 16000);
    CHECK(group_stored_index(fixture->group) > 0);
    assert_int_equal(fixture->snapshot_failed_count, 8);
    /* What went well is forgotten by the next that fails. */
    sim_kv_fail(fixture->kv, ERR_NO_SPACE);
    struct asked asked;
    for (int64_t i = 2; i < 6; i++) {
        add(fixture, &asked);
        turn(fixture);
        store(fixture);
        check_done(&asked, ERR_NONE, i);
    }
    tick_for(fixture, 900);
    assert_int_equal(fixture->snapshot_failed_count, 9);
    tick_for(fixture, 200);
    assert_int_equal(fixture->snapshot_failed_count, 10);
}

static enum err refuse_snapshot(void *context)
{
    (void)context;
    return ERR_BUSY;
}

static void a_machine_without_time_for_a_snapshot_is_no_failure(void **state)
{
    struct fixture *fixture = *state;
    fixture->config.limits.snapshot_log_bytes = 100;
    fixture->config.machine.snapshot_begin = refuse_snapshot;
    begin(fixture, 1);
    lead(fixture);
    add_many(fixture, 3);
    tick_for(fixture, 2000);
    CHECK_ERR(group_snapshot(fixture->group), ERR_BUSY);
    assert_int_equal(fixture->snapshot_failed_count, 0);
    CHECK(group_stored_index(fixture->group) == 0);
}

/* A leader's snapshot, as another machine makes it. */
struct given {
    uint64_t id;
    struct counter_map *map;
    struct snapshot_head head;
    uint8_t head_bytes[SNAPSHOT_HEAD_BYTES_MAX];
    uint8_t bytes[PIECE_COUNT_MAX][PIECE_BYTES];
    struct bytes pieces[PIECE_COUNT_MAX];
};

static void give(struct given *given,
                 const struct fixture *fixture,
                 uint64_t index,
                 uint32_t counter_count)
{
    given->id = 1;
    given->map =
        counter_map_open(&(struct counter_map_config){.result_count_max = 8});
    struct machine machine = counter_map_machine(given->map);
    for (uint32_t i = 0; i < counter_count; i++) {
        struct counter_command command = {
            .kind = COUNTER_ADD, .key = i, .value = 1 + (int64_t)index};
        uint8_t bytes[COUNTER_COMMAND_BYTES];
        uint8_t outcome[100];
        uint8_t reply[100];
        struct machine_stamp stamp = {0};
        struct machine_decision decision = {
            .outcome = writer_of(outcome, sizeof outcome),
            .reply = writer_of(reply, sizeof reply)};
        CHECK_OK(machine.decide(machine.context, &stamp,
                                counter_command_encode(bytes, &command),
                                &decision));
        CHECK_OK(machine.apply(machine.context, 1, &stamp,
                               writer_bytes(&decision.outcome)));
    }
    given->head = (struct snapshot_head){.index = index,
                                         .term = 5,
                                         .piece_count = 1,
                                         .configuration = fixture->members};
    CHECK_OK(machine.snapshot_begin(machine.context));
    for (;;) {
        uint32_t at = given->head.piece_count;
        assert_true(at < PIECE_COUNT_MAX);
        struct writer piece = writer_of(given->bytes[at], PIECE_BYTES);
        CHECK_OK(machine.snapshot_next(machine.context, &piece));
        if (writer_bytes(&piece).length == 0) {
            break;
        }
        given->pieces[at] = writer_bytes(&piece);
        given->head.piece_count++;
    }
    machine.snapshot_end(machine.context);
    given->pieces[0] = snapshot_head_encode(given->head_bytes, &given->head);
}

/* Its leader, replica 2 of term 5, sends one piece. */
static void hand(struct fixture *fixture,
                 const struct given *given,
                 uint32_t piece)
{
    receive(fixture,
            (struct raft_message){.kind = RAFT_SNAPSHOT,
                                  .from = 2,
                                  .term = 5,
                                  .index = given->head.index,
                                  .log_term = given->head.term,
                                  .round = piece,
                                  .hint_index = given->id,
                                  .is_ok = piece + 1 == given->head.piece_count,
                                  .bytes = given->pieces[piece]});
    run_jobs(fixture);
}

static void check_wanted(const struct fixture *fixture,
                         const struct given *given,
                         uint32_t piece)
{
    const struct raft_message *reply = last_sent(fixture);
    assert_int_equal(reply->kind, RAFT_SNAPSHOT_REPLY);
    assert_int_equal(reply->index, given->head.index);
    assert_int_equal(reply->hint_index, given->id);
    assert_int_equal(reply->round, piece);
}

static void hand_all(struct fixture *fixture, const struct given *given)
{
    for (uint32_t i = 0; i < given->head.piece_count; i++) {
        hand(fixture, given, i);
    }
}

static void a_leaders_snapshot_is_taken_piece_by_piece(void **state)
{
    struct fixture *fixture = *state;
    struct given given = {0};
    begin(fixture, 3);
    give(&given, fixture, 50, 10);
    for (uint32_t i = 0; i < given.head.piece_count; i++) {
        CHECK(group_applied_index(fixture->group) == 0);
        hand(fixture, &given, i);
        if (i + 1 < given.head.piece_count) {
            check_wanted(fixture, &given, i + 1);
        }
    }
    assert_int_equal(group_applied_index(fixture->group), 50);
    assert_int_equal(group_stored_index(fixture->group), 50);
    CHECK(counter_map_digest(fixture->map) == counter_map_digest(given.map));
    /* The leader hears of it when its mark is durable. */
    store(fixture);
    assert_int_equal(last_sent(fixture)->kind, RAFT_APPEND_REPLY);
    assert_int_equal(last_sent(fixture)->index, 50);
    counter_map_close(&given.map);
}

static void a_snapshot_goes_on_when_its_leader_is_back(void **state)
{
    struct fixture *fixture = *state;
    struct given given = {0};
    begin(fixture, 3);
    give(&given, fixture, 50, 10);
    hand(fixture, &given, 0);
    hand(fixture, &given, 1);
    store(fixture);
    group_node_lost(fixture->group, 1);
    tick_after(fixture, 1000);
    assert_int_equal(raft_role(group_raft(fixture->group)), RAFT_PRE_CANDIDATE);
    for (uint32_t i = 2; i < given.head.piece_count; i++) {
        hand(fixture, &given, i);
    }
    assert_int_equal(group_stored_index(fixture->group), 50);
    CHECK(counter_map_digest(fixture->map) == counter_map_digest(given.map));
    counter_map_close(&given.map);
}

static void pieces_of_another_snapshot_do_not_get_mixed_in(void **state)
{
    struct fixture *fixture = *state;
    struct given given = {0};
    struct given older = {0};
    begin(fixture, 3);
    give(&older, fixture, 40, 12);
    give(&given, fixture, 50, 10);
    hand(fixture, &older, 0);
    hand(fixture, &older, 1);
    hand(fixture, &given, 0);
    check_wanted(fixture, &given, 1);
    for (uint32_t i = 1; i < given.head.piece_count; i++) {
        hand(fixture, &older, 2); /* was long under way */
        check_wanted(fixture, &older, 0);
        hand(fixture, &given, 0); /* came twice */
        check_wanted(fixture, &given, i);
        hand(fixture, &given, i);
    }
    assert_int_equal(group_stored_index(fixture->group), 50);
    CHECK(counter_map_digest(fixture->map) == counter_map_digest(given.map));
    counter_map_close(&older.map);
    counter_map_close(&given.map);
}

static void a_snapshot_made_again_is_taken_from_its_beginning(void **state)
{
    struct fixture *fixture = *state;
    struct given given = {0};
    struct given before = {0};
    begin(fixture, 3);
    give(&before, fixture, 50, 12);
    give(&given, fixture, 50, 10);
    given.id = 2;
    hand(fixture, &before, 0);
    hand(fixture, &before, 1);
    check_wanted(fixture, &before, 2);
    hand(fixture, &given, 2); /* where the one before stopped */
    check_wanted(fixture, &given, 0);
    hand_all(fixture, &given);
    assert_int_equal(group_stored_index(fixture->group), 50);
    CHECK(counter_map_digest(fixture->map) == counter_map_digest(given.map));
    counter_map_close(&before.map);
    counter_map_close(&given.map);
}

/* Replica 3 has lost its state, and says so to its leader. */
static void ask_for_snapshot(struct fixture *fixture)
{
    receive(fixture, (struct raft_message){.kind = RAFT_HEARTBEAT_REPLY,
                                           .from = 3,
                                           .term = term(fixture),
                                           .is_ok = true,
                                           .needs_snapshot = true});
    group_heartbeat(fixture->group);
    run_jobs(fixture);
}

static void a_snapshot_made_again_has_another_name(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, 3);
    lead(fixture);
    CHECK_OK(group_snapshot(fixture->group));
    run_jobs(fixture);
    uint64_t index = group_stored_index(fixture->group);
    ask_for_snapshot(fixture);
    struct raft_message first = *last_sent(fixture);
    assert_int_equal(first.kind, RAFT_SNAPSHOT);
    sim_kv_wipe(fixture->kv); /* the next piece is not there any more */
    receive(fixture, (struct raft_message){.kind = RAFT_SNAPSHOT_REPLY,
                                           .from = 3,
                                           .term = term(fixture),
                                           .index = index,
                                           .hint_index = first.hint_index,
                                           .round = 1});
    run_jobs(fixture);
    assert_int_equal(fixture->snapshot_failed_count, 1);
    assert_int_equal(group_stored_index(fixture->group), 0);
    ask_for_snapshot(fixture);
    assert_int_equal(group_stored_index(fixture->group), index);
    fixture->fake.now_ns += NS_PER_S;
    ask_for_snapshot(fixture);
    struct raft_message second = *last_sent(fixture);
    assert_int_equal(second.kind, RAFT_SNAPSHOT);
    assert_int_equal(second.index, index);
    CHECK(second.hint_index != first.hint_index && second.hint_index != 0);
    /* What is said about the first begins the second anew. */
    receive(fixture, (struct raft_message){.kind = RAFT_SNAPSHOT_REPLY,
                                           .from = 3,
                                           .term = term(fixture),
                                           .index = index,
                                           .hint_index = first.hint_index,
                                           .round = 1});
    run_jobs(fixture);
    assert_int_equal(last_sent(fixture)->kind, RAFT_SNAPSHOT);
    assert_int_equal(last_sent(fixture)->round, 0);
}

/* A sector that cannot be read stays so; the state is in memory. */
static void a_snapshot_that_the_disk_does_not_read_is_made_again(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, 3);
    lead(fixture);
    CHECK_OK(group_snapshot(fixture->group));
    run_jobs(fixture);
    uint64_t index = group_stored_index(fixture->group);
    sim_kv_fail(fixture->kv, ERR_IO);
    ask_for_snapshot(fixture);
    assert_int_equal(fixture->snapshot_failed_count, 1);
    sim_kv_fail(fixture->kv, ERR_NONE);
    uint32_t piece_count = 0;
    for (uint32_t i = 0; i < 2; i++) { /* it is made, then sent */
        fixture->fake.now_ns += NS_PER_S;
        assert_int_equal(group_stored_index(fixture->group), i ? index : 0);
        ask_for_snapshot(fixture);
        piece_count += last_sent(fixture)->kind == RAFT_SNAPSHOT;
    }
    assert_int_equal(piece_count, 1);
}

static struct fixture *refusing; /* whose machine takes no snapshot */

static enum err refuse_to_restore(void *context, bool is_whole)
{
    enum err err = refusing->restore_end(context, false);
    return is_whole ? ERR_MALFORMED : err;
}

static bool has_rows(const struct fixture *fixture, uint64_t index)
{
    const struct kv *kv = sim_kv_table(fixture->kv);
    uint8_t key_bytes[KV_KEY_BYTES_MAX];
    struct bytes key;
    struct row_key row = {.group = fixture->config.id,
                          .kind = ROW_SNAPSHOT_PIECE,
                          .snapshot_index = index,
                          .piece = 0};
    uint8_t *value = NULL;
    size_t length;
    CHECK_OK(row_key_encode(key_bytes, &row, &key));
    enum err err = kv->get(kv->context, key, &value, &length);
    free(value);
    return err == ERR_NONE;
}

static void a_snapshot_that_the_machine_refuses_does_not_stay(void **state)
{
    struct fixture *fixture = *state;
    struct given given = {0};
    refusing = fixture;
    fixture->config.machine.restore_end = refuse_to_restore;
    begin(fixture, 3);
    give(&given, fixture, 50, 10);
    hand_all(fixture, &given);
    CHECK_ERR(fixture->snapshot_failed, ERR_MALFORMED);
    assert_int_equal(fixture->snapshot_failed_count, 1);
    assert_int_equal(group_applied_index(fixture->group), 0);
    CHECK(group_has_state(fixture->group) && group_is_idle(fixture->group));
    CHECK(!has_rows(fixture, 50));
    assert_int_equal(sim_kv_unsynced_count(fixture->kv), 0);
    hand_all(fixture, &given); /* at once again: not listened to */
    assert_int_equal(fixture->snapshot_failed_count, 1);
    group_close(&fixture->group);
    fixture->config.machine.restore_end = NULL;
    CHECK_OK(open_group(fixture));
    assert_int_equal(group_stored_index(fixture->group), 0);
    group_start(fixture->group);
    hand_all(fixture, &given);
    assert_int_equal(group_stored_index(fixture->group), 50);
    counter_map_close(&given.map);
}

static bool is_refused_once;

static enum err refuse_to_restore_once(void *context, bool is_whole)
{
    bool is_refused = is_whole && is_refused_once;
    is_refused_once = is_refused_once && !is_whole;
    enum err err = refusing->restore_end(context, is_whole && !is_refused);
    return is_refused ? ERR_MALFORMED : err;
}

/* The process ended between its head and its removal. */
static void behind_a_snapshot_that_is_refused_is_the_one_before(void **state)
{
    struct fixture *fixture = *state;
    const struct kv *kv = sim_kv_table(fixture->kv);
    struct given given = {0};
    refusing = fixture;
    begin(fixture, 1);
    lead(fixture);
    add_many(fixture, 3);
    CHECK_OK(group_snapshot(fixture->group));
    run_jobs(fixture);
    uint64_t index = group_stored_index(fixture->group);
    uint64_t digest = counter_map_digest(fixture->map);
    group_close(&fixture->group);
    give(&given, fixture, index + 10, 5);
    for (uint32_t i = 0; i < given.head.piece_count; i++) {
        uint8_t key_bytes[KV_KEY_BYTES_MAX];
        struct kv_change change = {.kind = KV_PUT, .value = given.pieces[i]};
        struct row_key row = {.group = fixture->config.id,
                              .kind = ROW_SNAPSHOT_PIECE,
                              .snapshot_index = index + 10,
                              .piece = i};
        CHECK_OK(row_key_encode(key_bytes, &row, &change.key));
        CHECK_OK(kv->write(kv->context, &change, 1));
    }
    is_refused_once = true;
    fixture->config.machine.restore_end = refuse_to_restore_once;
    CHECK_OK(open_group(fixture));
    CHECK(!is_refused_once);
    assert_int_equal(group_stored_index(fixture->group), index);
    CHECK(group_has_state(fixture->group));
    CHECK(counter_map_digest(fixture->map) == digest);
    counter_map_close(&given.map);
}

static void what_was_left_of_the_same_snapshot_goes_first(void **state)
{
    struct fixture *fixture = *state;
    const struct kv *kv = sim_kv_table(fixture->kv);
    struct given given = {0};
    uint8_t key_bytes[KV_KEY_BYTES_MAX];
    struct bytes key;
    struct row_key row = {.group = fixture->config.id,
                          .kind = ROW_SNAPSHOT_PIECE,
                          .snapshot_index = 50,
                          .piece = 0};
    uint8_t *value = NULL;
    size_t length;
    begin(fixture, 3);
    give(&given, fixture, 50, 10);
    CHECK_OK(row_key_encode(key_bytes, &row, &key));
    CHECK_OK(kv->write(kv->context,
                       &(struct kv_change){.kind = KV_PUT,
                                           .key = key,
                                           .value = given.pieces[0]},
                       1));
    hand(fixture, &given, 0);
    hand(fixture, &given, 1);
    /* With a head it would be held for whole. */
    CHECK_ERR(kv->get(kv->context, key, &value, &length), ERR_NOT_FOUND);
    counter_map_close(&given.map);
}

static void a_snapshot_that_cannot_be_is_not_taken(void **state)
{
    struct fixture *fixture = *state;
    struct given given = {0};
    begin(fixture, 3);
    give(&given, fixture, 50, 1);
    given.head.index = UINT64_MAX / 2 + 1; /* more than the log takes */
    given.pieces[0] = snapshot_head_encode(given.head_bytes, &given.head);
    hand(fixture, &given, 0);
    given.head.index = 50;
    given.head.term = 6; /* of a leader to come */
    given.pieces[0] = snapshot_head_encode(given.head_bytes, &given.head);
    fixture->fake.now_ns += 10 * NS_PER_S; /* or it would not listen */
    hand(fixture, &given, 0);
    given.head.term = 5;
    given.pieces[0] = bytes_of_text("nonsense");
    fixture->fake.now_ns += 10 * NS_PER_S;
    hand(fixture, &given, 0);
    assert_int_equal(fixture->snapshot_failed_count, 3);
    assert_int_equal(fixture->sent_count, 0); /* no next piece is wanted */
    assert_int_equal(group_applied_index(fixture->group), 0);
    counter_map_close(&given.map);
}

/* Replica 3 says which piece it expects next. */
static void ask_for_piece(struct fixture *fixture,
                          const struct raft_message *piece,
                          uint64_t round)
{
    receive(fixture, (struct raft_message){.kind = RAFT_SNAPSHOT_REPLY,
                                           .from = 3,
                                           .term = term(fixture),
                                           .index = piece->index,
                                           .hint_index = piece->hint_index,
                                           .round = round,
                                           .needs_snapshot = true});
    run_jobs(fixture);
}

/* Some entries more, and a snapshot of several pieces with them; its index. */
static uint64_t save_newer(struct fixture *fixture)
{
    for (uint32_t i = 0; i < 8; i++) {
        struct asked asked = {.request.done = on_done};
        CHECK_OK(propose(fixture->group,
                         &(struct counter_command){
                             .kind = COUNTER_ADD, .key = KEY + i, .value = 1},
                         &asked));
        turn(fixture);
        store(fixture);
        acknowledge(fixture);
        assert_int_equal(asked.done_count, 1);
    }
    CHECK_OK(group_snapshot(fixture->group));
    run_jobs(fixture);
    CHECK(group_stored_index(fixture->group) ==
          group_applied_index(fixture->group));
    return group_stored_index(fixture->group);
}

/* Newer ones come faster than its pieces go: else it would never have one. */
static void a_snapshot_that_is_being_sent_is_sent_to_its_end(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, 3);
    lead(fixture);
    uint64_t index = save_newer(fixture);
    ask_for_snapshot(fixture);
    struct raft_message first = *last_sent(fixture);
    assert_int_equal(first.kind, RAFT_SNAPSHOT);
    assert_int_equal(first.index, index);
    uint64_t piece = 0;
    uint64_t between = 0;
    while (!last_sent(fixture)->is_ok) {
        between = save_newer(fixture);
        CHECK(has_rows(fixture, index));
        ask_for_snapshot(fixture); /* a heartbeat: the same piece */
        ask_for_piece(fixture, &first, ++piece);
        assert_int_equal(last_sent(fixture)->kind, RAFT_SNAPSHOT);
        assert_int_equal(last_sent(fixture)->index, index);
        assert_int_equal(last_sent(fixture)->hint_index, first.hint_index);
        assert_int_equal(last_sent(fixture)->round, piece);
    }
    CHECK(piece > 1);
    uint64_t newest = save_newer(fixture);
    CHECK(has_rows(fixture, index) && has_rows(fixture, newest));
    CHECK(!has_rows(fixture, between));
    /* It has all: what comes next is the newest, and the old one may go. */
    ask_for_piece(fixture, &first, RAFT_SNAPSHOT_NO_PIECE);
    ask_for_snapshot(fixture);
    assert_int_equal(last_sent(fixture)->kind, RAFT_SNAPSHOT);
    assert_int_equal(last_sent(fixture)->index, newest);
    assert_int_equal(last_sent(fixture)->round, 0);
    (void)save_newer(fixture);
    CHECK(!has_rows(fixture, index) && has_rows(fixture, newest));
}

static void who_takes_no_piece_for_long_gets_the_newest(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, 3);
    lead(fixture);
    uint64_t index = save_newer(fixture);
    ask_for_snapshot(fixture);
    struct raft_message first = *last_sent(fixture);
    ask_for_piece(fixture, &first, 1);
    uint64_t newest = save_newer(fixture);
    fixture->fake.now_ns += 4 * NS_PER_S;
    ask_for_snapshot(fixture);
    assert_int_equal(last_sent(fixture)->index, index);
    assert_int_equal(last_sent(fixture)->round, 1);
    fixture->fake.now_ns += NS_PER_S;
    ask_for_snapshot(fixture);
    assert_int_equal(last_sent(fixture)->index, newest);
    assert_int_equal(last_sent(fixture)->round, 0);
    (void)save_newer(fixture);
    CHECK(!has_rows(fixture, index));
    ask_for_piece(fixture, &first, 2); /* too late */
    ask_for_snapshot(fixture);
    assert_int_equal(last_sent(fixture)->index, newest);
    assert_int_equal(last_sent(fixture)->round, 0);
}

/* It was taking one, and has now lost more than that one has. */
static void who_needs_a_newer_snapshot_gets_it_at_once(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, 3);
    lead(fixture);
    uint64_t index = save_newer(fixture);
    ask_for_snapshot(fixture);
    struct raft_message first = *last_sent(fixture);
    assert_int_equal(first.index, index);
    ask_for_piece(fixture, &first, 1);
    uint64_t newest = save_newer(fixture);
    receive(fixture, (struct raft_message){.kind = RAFT_SNAPSHOT_REPLY,
                                           .from = 3,
                                           .term = term(fixture),
                                           .index = index + 1,
                                           .needs_snapshot = true});
    ask_for_snapshot(fixture);
    assert_int_equal(last_sent(fixture)->index, newest);
    assert_int_equal(last_sent(fixture)->round, 0);
}

static void who_has_a_snapshot_says_that_it_needs_no_piece(void **state)
{
    struct fixture *fixture = *state;
    struct given given = {0};
    begin(fixture, 3);
    give(&given, fixture, 50, 10);
    hand_all(fixture, &given);
    check_wanted(fixture, &given, RAFT_SNAPSHOT_NO_PIECE);
    store(fixture);
    hand(fixture, &given, 3); /* sent before that was heard */
    check_wanted(fixture, &given, RAFT_SNAPSHOT_NO_PIECE);
    counter_map_close(&given.map);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_reply_leaves_when_its_entry_is_committed),
        TEST(what_comes_while_an_entry_is_under_way_becomes_one),
        TEST(a_reply_without_an_outcome_waits_for_what_it_has_seen),
        TEST(a_read_waits_until_a_majority_was_asked),
        TEST(who_is_deposed_tells_what_may_have_happened),
        TEST(closing_answers_all_and_takes_nothing_in),
        TEST(who_cannot_apply_answers_no_reads_either),
        TEST(an_outcome_is_not_larger_than_an_entry_may_be),
        TEST(when_too_much_is_gathered_it_is_full),
        TEST(without_room_nothing_is_taken_in_and_reads_go_on),
        TEST(a_stamp_says_when_it_was_decided),
        TEST(a_snapshot_is_there_after_a_restart),
        TEST(a_lost_state_is_refused_when_nobody_else_has_it),
        TEST(without_state_it_leads_only_to_hand_over),
        TEST(a_snapshot_that_fails_is_not_tried_at_once_again),
        TEST(a_snapshot_that_keeps_failing_is_tried_less_and_less),
        TEST(a_machine_without_time_for_a_snapshot_is_no_failure),
        TEST(a_leaders_snapshot_is_taken_piece_by_piece),
        TEST(a_snapshot_goes_on_when_its_leader_is_back),
        TEST(pieces_of_another_snapshot_do_not_get_mixed_in),
        TEST(a_snapshot_made_again_is_taken_from_its_beginning),
        TEST(a_snapshot_made_again_has_another_name),
        TEST(a_snapshot_that_the_disk_does_not_read_is_made_again),
        TEST(a_snapshot_that_the_machine_refuses_does_not_stay),
        TEST(behind_a_snapshot_that_is_refused_is_the_one_before),
        TEST(what_was_left_of_the_same_snapshot_goes_first),
        TEST(a_snapshot_that_cannot_be_is_not_taken),
        TEST(a_snapshot_that_is_being_sent_is_sent_to_its_end),
        TEST(who_takes_no_piece_for_long_gets_the_newest),
        TEST(who_needs_a_newer_snapshot_gets_it_at_once),
        TEST(who_has_a_snapshot_says_that_it_needs_no_piece),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
