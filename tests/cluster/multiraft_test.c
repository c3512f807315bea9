#include "cluster/multiraft.h"

#include "tests/support/check.h"

#include "base/time_units.h"
#include "cluster/raft_wire.h"
#include "shard/counter_map.h"
#include "store/wal_format.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_kv.h"
#include "tests/support/fake_clock.h"
#include "tests/support/manual_executor.h"
#include "tests/support/seeded.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODE 0
#define OTHER 1
#define DISK_ID 77
#define GROUP 3
#define GROUPS_MAX 8
#define KEY 7
#define LOG_BYTES_MAX 8192
#define ENTRY_BYTES_MAX ((size_t)1 << 20)
#define APPEND_COUNT_MAX 40

/* One node; what it sends is counted and lost, what it logs is kept. */
struct fixture {
    struct fake_clock fake;
    struct clock clock;
    struct seeded seeded;
    struct entropy entropy;
    struct manual_executor writing;
    struct manual_executor applying;
    struct executor writer;
    struct executor applier;
    struct reactor *reactor;
    struct sim_disk *disk;
    struct sim_kv *kv;
    struct counter_map *maps[GROUPS_MAX]; /* of each group */
    struct log *log;
    char lines[LOG_BYTES_MAX];
    struct metrics *metrics;
    uint32_t padding_bytes;
    uint64_t segment_bytes;
    uint64_t free_bytes_min;
    size_t keep_bytes;
    size_t log_bytes_max;
    bool is_disk_hung; /* what is written does not come to an end */
    struct multiraft *multiraft;
    struct wal_report report;

    struct raft_wire wire;
    uint32_t sent_counts[RAFT_MESSAGE_KIND_COUNT];
    struct raft_message timeout_now; /* the last one */
    enum err failed;
    struct group_request request;
};

static enum err done; /* what the last request came to */
static uint32_t done_count;

static void on_send(void *context, uint32_t node, struct bytes message)
{
    struct fixture *fixture = context;
    struct reader reader = reader_of(message);
    (void)node;
    while (reader_left(&reader) > 0) {
        CHECK_OK(raft_wire_read(&fixture->wire, &reader));
        fixture->sent_counts[fixture->wire.message.kind]++;
        if (fixture->wire.message.kind == RAFT_TIMEOUT_NOW) {
            fixture->timeout_now = fixture->wire.message;
        }
    }
}

static void on_line(void *context, const char *line, size_t length)
{
    struct fixture *fixture = context;
    size_t used = strlen(fixture->lines);
    CHECK(used + length < LOG_BYTES_MAX);
    memcpy(fixture->lines + used, line, length);
    fixture->lines[used + length] = '\0';
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

static void power_on(struct fixture *fixture)
{
    struct multiraft_config config = {
        .clock = &fixture->clock,
        .entropy = &fixture->entropy,
        .log = fixture->log,
        .metrics = fixture->metrics,
        .reactor = fixture->reactor,
        .disk = sim_disk_table(fixture->disk),
        .writer = &fixture->writer,
        .kv = sim_kv_table(fixture->kv),
        .applier = &fixture->applier,
        .mesh = {.context = fixture, .send = on_send},
        .events = {.context = fixture, .on_failed = on_failed},
        .disk_id = DISK_ID,
        .segment_bytes = fixture->segment_bytes,
        .free_bytes_min = fixture->free_bytes_min,
    };
    multiraft_config_defaults(&config);
    config.keep_bytes = fixture->keep_bytes;
    config.log_bytes_max = fixture->log_bytes_max;
    CHECK_OK(
        multiraft_open(&fixture->multiraft, &config, &fixture->report, NULL));
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->fake = (struct fake_clock){.now_ns = NS_PER_S, .wall_ms = 1000};
    fixture->clock = fake_clock_table(&fixture->fake);
    fixture->entropy = seeded_entropy(&fixture->seeded);
    fixture->writer = manual_executor_table(&fixture->writing);
    fixture->applier = manual_executor_table(&fixture->applying);
    fixture->disk = sim_disk_open(1);
    fixture->kv = sim_kv_open();
    CHECK_OK(reactor_open(
        &fixture->reactor,
        &(struct reactor_config){.name = "test", .clock = &fixture->clock}));
    CHECK_OK(log_open(&fixture->log,
                      &(struct log_config){.node = "",
                                           .level_min = LOG_INFO,
                                           .sink = {fixture, on_line},
                                           .clock = &fixture->clock}));
    CHECK_OK(metrics_open(&fixture->metrics, 8));
    struct multiraft_config defaults;
    multiraft_config_defaults(&defaults);
    fixture->keep_bytes = defaults.keep_bytes;
    fixture->log_bytes_max = defaults.log_bytes_max;
    done_count = 0;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    manual_executor_drop(&fixture->writing);
    manual_executor_drop(&fixture->applying);
    multiraft_close(&fixture->multiraft);
    for (uint32_t i = 0; i < GROUPS_MAX; i++) {
        counter_map_close(&fixture->maps[i]);
    }
    log_close(&fixture->log);
    metrics_close(&fixture->metrics);
    reactor_close(&fixture->reactor);
    sim_disk_close(&fixture->disk);
    sim_kv_close(&fixture->kv);
    free(fixture);
    return 0;
}

/* Turn and do jobs until nothing is left to do. */
static void settle(struct fixture *fixture)
{
    do {
        (void)reactor_turn(fixture->reactor);
    } while (
        (!fixture->is_disk_hung && manual_executor_step(&fixture->writing)) ||
        manual_executor_step(&fixture->applying) ||
        reactor_has_events(fixture->reactor));
}

static void run_ms(struct fixture *fixture, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 25) {
        fixture->fake.now_ns += 25 * NS_PER_MS;
        settle(fixture);
    }
}

static struct raft_configuration members_of(uint32_t count)
{
    struct raft_configuration members = {.next_number = count + 1,
                                         .count = count};
    for (uint32_t i = 0; i < count; i++) {
        members.members[i] = (struct raft_member){.number = i + 1,
                                                  .node = i,
                                                  .disk_id = DISK_ID + i,
                                                  .is_voter = true};
    }
    return members;
}

static struct machine new_machine(struct fixture *fixture, uint32_t id)
{
    counter_map_close(&fixture->maps[id]);
    fixture->maps[id] = counter_map_open(&(struct counter_map_config){
        .result_count_max = 8, .padding_bytes = fixture->padding_bytes});
    return counter_map_machine(fixture->maps[id]);
}

static enum err found_as(struct fixture *fixture,
                         uint32_t id,
                         const struct raft_configuration *members,
                         struct group **out)
{
    struct machine machine = new_machine(fixture, id);
    return multiraft_group_found(fixture->multiraft, id, &machine, members,
                                 out);
}

static enum err found(struct fixture *fixture,
                      const struct raft_configuration *members,
                      struct group **out)
{
    return found_as(fixture, GROUP, members, out);
}

/* A group that the log has. */
static enum err open_as(struct fixture *fixture,
                        uint32_t id,
                        struct err_detail *why)
{
    struct group *group = NULL;
    struct machine machine = new_machine(fixture, id);
    return multiraft_group_open(fixture->multiraft, id, &machine, &group, why);
}

static struct group *begin(struct fixture *fixture, uint32_t member_count)
{
    struct raft_configuration members = members_of(member_count);
    struct group *group = NULL;
    power_on(fixture);
    CHECK_OK(multiraft_start(fixture->multiraft, &fixture->report));
    CHECK_OK(found(fixture, &members, &group));
    settle(fixture);
    return group;
}

/* ---- asking ---- */

static void on_done(struct group_request *request,
                    enum err err,
                    struct bytes reply)
{
    (void)request;
    (void)reply;
    done_count++;
    done = err;
}

static enum err add_one(struct fixture *fixture, struct group *group)
{
    uint8_t bytes[COUNTER_COMMAND_BYTES];
    struct counter_command command = {
        .kind = COUNTER_ADD, .key = KEY, .value = 1};
    fixture->request = (struct group_request){.done = on_done};
    return group_propose(group, counter_command_encode(bytes, &command),
                         &fixture->request);
}

static void add_many(struct fixture *fixture,
                     struct group *group,
                     uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        CHECK_OK(add_one(fixture, group));
        settle(fixture);
        CHECK_OK(done);
    }
}

/* ---- founding and dropping ---- */

static void a_group_is_not_founded_twice(void **state)
{
    struct fixture *fixture = *state;
    struct raft_configuration members = members_of(1);
    struct group *group = begin(fixture, 1);
    struct group *again = NULL;
    struct counter_map *map = fixture->maps[GROUP];
    struct machine machine = counter_map_machine(map);
    CHECK_ERR(multiraft_group_found(fixture->multiraft, GROUP, &machine,
                                    &members, &again),
              ERR_EXISTS);
    CHECK(again == NULL && multiraft_group(fixture->multiraft, GROUP) == group);
}

static void it_is_founded_only_where_its_members_are(void **state)
{
    struct fixture *fixture = *state;
    struct raft_configuration members = members_of(1);
    struct group *group = NULL;
    power_on(fixture);
    CHECK_OK(multiraft_start(fixture->multiraft, &fixture->report));
    members.members[0].disk_id = DISK_ID + 1; /* this one was replaced */
    CHECK_ERR(found(fixture, &members, &group), ERR_NOT_FOUND);
}

static void who_was_lost_here_does_not_come_back_under_its_number(void **state)
{
    struct fixture *fixture = *state;
    struct raft_configuration members = members_of(2);
    struct group *group = NULL;
    members.members[2] = (struct raft_member){
        .number = 3, .node = NODE, .disk_id = DISK_ID, .is_voter = false};
    members.count = 3;
    members.next_number = 4;
    power_on(fixture);
    CHECK_OK(multiraft_start(fixture->multiraft, &fixture->report));
    CHECK_OK(found(fixture, &members, &group));
    assert_int_equal(raft_number(group_raft(group)), 3);
}

static void what_was_dropped_does_not_come_back_after_a_crash(void **state)
{
    struct fixture *fixture = *state;
    struct raft_configuration members = members_of(2);
    struct group *group = begin(fixture, 1);
    run_ms(fixture, 2000);
    CHECK_OK(add_one(fixture, group));
    settle(fixture);
    CHECK_OK(done);
    CHECK_OK(group_snapshot(group));
    assert_string_equal(multiraft_waits_for(fixture->multiraft),
                        "the key-value store");
    CHECK_ERR(multiraft_group_drop(fixture->multiraft, GROUP), ERR_BUSY);
    settle(fixture);
    CHECK_OK(multiraft_group_drop(fixture->multiraft, GROUP));
    CHECK(multiraft_group(fixture->multiraft, GROUP) == NULL);
    CHECK_ERR(multiraft_group_drop(fixture->multiraft, GROUP), ERR_BUSY);
    CHECK_ERR(found(fixture, &members, &group), ERR_BUSY);
    CHECK(!multiraft_is_idle(fixture->multiraft));
    settle(fixture);
    CHECK_ERR(multiraft_group_drop(fixture->multiraft, GROUP), ERR_NOT_FOUND);
    CHECK(multiraft_is_idle(fixture->multiraft));
    CHECK(!multiraft_waits_for(fixture->multiraft));
    multiraft_close(&fixture->multiraft);
    assert_int_equal(sim_kv_unsynced_count(fixture->kv), 0);
    power_on(fixture);
    CHECK_OK(multiraft_start(fixture->multiraft, &fixture->report));
    CHECK_OK(found(fixture, &members, &group));
    assert_int_equal(group_applied_index(group), 0);
}

/* ---- what comes from others ---- */

/* An append of replica 2, which leads, with one entry of so many bytes. */
static enum err append(struct fixture *fixture, uint64_t index, size_t length)
{
    uint8_t *entry_bytes = calloc(1, length);
    struct raft_entry entry = {.term = 5,
                               .type = RAFT_COMMANDS,
                               .bytes = bytes_of(entry_bytes, length)};
    struct raft_message message = {.kind = RAFT_APPEND,
                                   .from = 2,
                                   .to = 1,
                                   .term = 5,
                                   .index = index - 1,
                                   .log_term = index > 1 ? 5 : 0,
                                   .entries = &entry,
                                   .entry_count = 1};
    size_t bytes_max = raft_wire_bytes_max(&message);
    uint8_t *bytes = malloc(bytes_max);
    struct writer writer = writer_of(bytes, bytes_max);
    raft_wire_write(&writer, GROUP, &message);
    enum err err =
        multiraft_receive(fixture->multiraft, OTHER, writer_bytes(&writer));
    free(bytes);
    free(entry_bytes);
    return err;
}

static void an_entry_that_is_too_large_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct group *group = begin(fixture, 2);
    CHECK_ERR(append(fixture, 1, 2 * ENTRY_BYTES_MAX + 5), ERR_MALFORMED);
    assert_int_equal(raft_last_index(group_raft(group)), 0);
    CHECK_OK(append(fixture, 1, 2 * ENTRY_BYTES_MAX + 4));
    assert_int_equal(raft_last_index(group_raft(group)), 1);
}

static void entries_that_the_disk_is_too_slow_for_are_not_taken(void **state)
{
    struct fixture *fixture = *state;
    struct group *group = begin(fixture, 2);
    uint64_t last = 0;
    for (uint64_t i = 1; i <= APPEND_COUNT_MAX; i++) {
        CHECK_OK(append(fixture, i, 2 * ENTRY_BYTES_MAX));
        last += !multiraft_is_full(fixture->multiraft);
    }
    CHECK(multiraft_is_full(fixture->multiraft));
    assert_int_equal(raft_last_index(group_raft(group)), last + 1);
    settle(fixture);
    CHECK(!multiraft_is_full(fixture->multiraft));
    CHECK_OK(append(fixture, last + 2, 100));
    assert_int_equal(raft_last_index(group_raft(group)), last + 2);
}

static void nobody_speaks_for_a_member_of_another_node(void **state)
{
    struct fixture *fixture = *state;
    struct group *group = begin(fixture, 3);
    uint8_t bytes[256];
    struct raft_message message = {
        .kind = RAFT_HEARTBEAT, .from = 2, .to = 1, .term = 5};
    struct writer writer = writer_of(bytes, sizeof bytes);
    raft_wire_write(&writer, GROUP, &message);
    CHECK_OK(multiraft_receive(fixture->multiraft, 2, writer_bytes(&writer)));
    assert_int_equal(raft_leader(group_raft(group)), 0);
    CHECK_OK(
        multiraft_receive(fixture->multiraft, OTHER, writer_bytes(&writer)));
    assert_int_equal(raft_leader(group_raft(group)), 2);
}

/* ---- what is lost ---- */

/* Where the first segment's last byte that is not zero is. */
static uint64_t written_end(const struct fixture *fixture)
{
    char name[DISK_NAME_BYTES];
    wal_format_name(name, 1);
    struct bytes content = sim_disk_content(fixture->disk, name);
    size_t at = content.length - 1;
    while (at > 0 && content.data[at] == 0) {
        at--;
    }
    return at;
}

/* Three groups are founded, and what the log has of the second is damaged; the
 * node ends and starts. */
static void lose_records(struct fixture *fixture)
{
    struct raft_configuration members = members_of(2);
    struct group *group = begin(fixture, 2);
    char name[DISK_NAME_BYTES];
    CHECK_OK(found_as(fixture, GROUP + 1, &members, &group));
    settle(fixture);
    uint64_t at = written_end(fixture);
    CHECK_OK(found_as(fixture, GROUP + 2, &members, &group));
    settle(fixture);
    CHECK(written_end(fixture) > at);
    multiraft_close(&fixture->multiraft);
    wal_format_name(name, 1);
    CHECK(sim_disk_flip(fixture->disk, name, at));
    power_on(fixture);
    CHECK(fixture->report.unlisted_are_lost);
    CHECK_OK(multiraft_start(fixture->multiraft, &fixture->report));
}

static bool says(const struct err_detail *why, const char *what)
{
    return strstr(why->text, what) != NULL;
}

static void a_group_that_the_log_does_not_have_is_said_to_be_so(void **state)
{
    struct fixture *fixture = *state;
    struct err_detail why = {0};
    power_on(fixture);
    CHECK_ERR(open_as(fixture, GROUP, &why), ERR_NOT_FOUND);
    CHECK(says(&why, "group 3") && says(&why, "nothing of it"));
    CHECK(!says(&why, "restore"));
}

static void a_group_whose_log_is_damaged_is_restored_or_replaced(void **state)
{
    struct fixture *fixture = *state;
    struct err_detail why = {0};
    struct raft_configuration one = members_of(1);
    struct raft_configuration two = members_of(2);
    struct group *group = NULL;
    char name[DISK_NAME_BYTES];
    power_on(fixture);
    CHECK_OK(multiraft_start(fixture->multiraft, &fixture->report));
    CHECK_OK(found_as(fixture, 1, &one, &group));
    CHECK_OK(found_as(fixture, 2, &two, &group));
    settle(fixture);
    run_ms(fixture, 2000);
    uint64_t at = written_end(fixture);
    add_many(fixture, multiraft_group(fixture->multiraft, 1), 3);
    multiraft_close(&fixture->multiraft);
    wal_format_name(name, 1);
    CHECK(sim_disk_flip(fixture->disk, name, at));
    power_on(fixture);
    CHECK_ERR(open_as(fixture, 1, &why), ERR_REVOKED);
    CHECK(says(&why, "group 1") && says(&why, name)); /* what, where */
    CHECK(says(&why, "no other replica"));
    CHECK(says(&why, "troupe backup restore BACKUP --group 1"));
    CHECK_ERR(open_as(fixture, 2, &why), ERR_REVOKED);
    CHECK(says(&why, "group 2") && says(&why, name));
    CHECK(says(&why, "as a new replica"));
    CHECK(!says(&why, "backup"));
    CHECK_ERR(open_as(fixture, 2, NULL), ERR_REVOKED);
}

static void a_group_whose_only_state_is_gone_is_restored(void **state)
{
    struct fixture *fixture = *state;
    struct err_detail why = {0};
    struct group *group = begin(fixture, 1);
    run_ms(fixture, 2000);
    add_many(fixture, group, 3);
    CHECK_OK(group_snapshot(group));
    settle(fixture);
    CHECK(group_stored_index(group) > 0);
    multiraft_close(&fixture->multiraft);
    sim_kv_wipe(fixture->kv);
    power_on(fixture);
    CHECK_ERR(open_as(fixture, GROUP, &why), ERR_NOT_FOUND);
    CHECK(says(&why, "group 3") && says(&why, "snapshot of index"));
    CHECK(says(&why, "troupe backup restore BACKUP --group 3"));
}

static void a_replica_is_dropped_while_another_makes_a_snapshot(void **state)
{
    struct fixture *fixture = *state;
    struct raft_configuration members = members_of(2);
    struct group *other = NULL;
    struct group *group = begin(fixture, 1);
    CHECK_OK(found_as(fixture, GROUP + 1, &members, &other));
    run_ms(fixture, 2000);
    CHECK_OK(add_one(fixture, group));
    settle(fixture);
    CHECK_OK(group_snapshot(group));
    CHECK_OK(multiraft_group_drop(fixture->multiraft, GROUP + 1));
    settle(fixture);
    CHECK(group_stored_index(group) > 0);
    CHECK_ERR(multiraft_group_drop(fixture->multiraft, GROUP + 1),
              ERR_NOT_FOUND);
}

static void rows_that_cannot_be_removed_are_removed_later(void **state)
{
    struct fixture *fixture = *state;
    struct raft_configuration members = members_of(1);
    struct group *group = begin(fixture, 1);
    run_ms(fixture, 2000);
    CHECK_OK(add_one(fixture, group));
    settle(fixture);
    CHECK_OK(group_snapshot(group));
    settle(fixture);
    sim_kv_fail(fixture->kv, ERR_NO_SPACE);
    CHECK_OK(multiraft_group_drop(fixture->multiraft, GROUP));
    run_ms(fixture, 5000);
    CHECK_ERR(found(fixture, &members, &group), ERR_BUSY);
    CHECK(multiraft_is_idle(fixture->multiraft)); /* it may end meanwhile */
    sim_kv_fail(fixture->kv, ERR_NONE);
    run_ms(fixture, 2000);
    CHECK_ERR(multiraft_group_drop(fixture->multiraft, GROUP), ERR_NOT_FOUND);
    CHECK_OK(found(fixture, &members, &group));
    assert_int_equal(group_stored_index(group), 0);
}

static void nothing_is_founded_before_what_was_lost_is_dealt_with(void **state)
{
    struct fixture *fixture = *state;
    struct raft_configuration members = members_of(2);
    struct group *group = NULL;
    lose_records(fixture);
    /* It may have voted here, under this number. */
    CHECK_ERR(found_as(fixture, GROUP + 1, &members, &group), ERR_REVOKED);
    CHECK_OK(multiraft_group_drop(fixture->multiraft, GROUP));
    settle(fixture);
    CHECK_ERR(found(fixture, &members, &group), ERR_REVOKED);
    multiraft_close(&fixture->multiraft);
    power_on(fixture); /* that it starts again changes nothing */
    CHECK_OK(multiraft_start(fixture->multiraft, &fixture->report));
    CHECK_ERR(found(fixture, &members, &group), ERR_REVOKED);
    multiraft_forget_unlisted(fixture->multiraft);
    CHECK_OK(found(fixture, &members, &group));
    settle(fixture);
    multiraft_close(&fixture->multiraft);
    power_on(fixture);
    CHECK(!fixture->report.unlisted_are_lost);
    CHECK_OK(open_as(fixture, GROUP, NULL));
    CHECK_OK(multiraft_start(fixture->multiraft, &fixture->report));
    CHECK_OK(found_as(fixture, GROUP + 3, &members, &group));
}

static void on_wal_durable(void *context, uint64_t number)
{
    (void)context;
    (void)number;
}

static void on_wal_failed(void *context, enum err err, const char *what)
{
    (void)what;
    ((struct fixture *)context)->failed = err;
}

static void on_wal_entry(void *context, const struct wal_record *entry)
{
    (void)context;
    (void)entry;
}

/* Append an entry of a type that there is not; its index. */
static uint64_t write_nonsense(struct fixture *fixture, uint32_t id)
{
    struct wal *log = NULL;
    struct wal_group past;
    struct wal_config config = {
        .disk = sim_disk_table(fixture->disk),
        .executor = &fixture->writer,
        .reactor = fixture->reactor,
        .disk_id = DISK_ID,
        .must_exist = true,
        .record_bytes_max = ENTRY_BYTES_MAX,
        .staged_bytes_max = ENTRY_BYTES_MAX,
        .context = fixture,
        .on_durable = on_wal_durable,
        .on_failed = on_wal_failed,
    };
    CHECK_OK(wal_open(&log, &config, &fixture->report, NULL));
    CHECK_OK(wal_replay(log, on_wal_entry, NULL, NULL));
    CHECK(wal_find(log, id, &past));
    uint64_t index = past.last_index + 1;
    (void)wal_append(log, &(struct wal_record){.kind = WAL_ENTRY,
                                               .group = id,
                                               .type = RAFT_COMMANDS + 1,
                                               .index = index,
                                               .term = past.term});
    settle(fixture);
    wal_close(&log);
    return index;
}

static void an_entry_that_makes_no_sense_closes_its_group_alone(void **state)
{
    struct fixture *fixture = *state;
    struct raft_configuration members = members_of(1);
    struct group *group = begin(fixture, 1);
    char index[32];
    CHECK_OK(found_as(fixture, GROUP + 1, &members, &group));
    run_ms(fixture, 2000);
    add_many(fixture, group, 3);
    add_many(fixture, multiraft_group(fixture->multiraft, GROUP), 3);
    multiraft_close(&fixture->multiraft);
    (void)snprintf(index, sizeof index, "index=%" PRIu64,
                   write_nonsense(fixture, GROUP));
    power_on(fixture);
    CHECK_OK(open_as(fixture, GROUP, NULL));
    CHECK_OK(open_as(fixture, GROUP + 1, NULL));
    CHECK_OK(multiraft_start(fixture->multiraft, &fixture->report));
    CHECK(multiraft_group(fixture->multiraft, GROUP) == NULL);
    CHECK(strstr(fixture->lines, "group.refused group=3"));
    CHECK(strstr(fixture->lines, index));
    CHECK(!strstr(fixture->lines, "group=4"));
    group = multiraft_group(fixture->multiraft, GROUP + 1);
    run_ms(fixture, 2000);
    add_many(fixture, group, 1);
    assert_int_equal(counter_map_value(fixture->maps[GROUP + 1], KEY), 4);
    CHECK_OK(fixture->failed);
}

/* ---- leading ---- */

static void hear(struct fixture *fixture,
                 struct group *group,
                 struct raft_message message)
{
    uint8_t bytes[256];
    struct writer writer = writer_of(bytes, sizeof bytes);
    message.from = 2;
    message.to = 1;
    if (message.term == 0) {
        message.term = raft_term(group_raft(group));
    }
    raft_wire_write(&writer, group_id(group), &message);
    CHECK_OK(
        multiraft_receive(fixture->multiraft, OTHER, writer_bytes(&writer)));
    settle(fixture);
}

/* Have replica 2 vote for it, and acknowledge its first entry. */
static void lead(struct fixture *fixture, struct group *group)
{
    const struct raft *raft = group_raft(group);
    hear(fixture, group,
         (struct raft_message){.kind = RAFT_PRE_VOTE_REPLY,
                               .term = raft_term(raft) + 1,
                               .is_ok = true});
    hear(fixture, group,
         (struct raft_message){.kind = RAFT_VOTE_REPLY, .is_ok = true});
    hear(fixture, group,
         (struct raft_message){.kind = RAFT_APPEND_REPLY,
                               .index = raft_last_index(raft),
                               .is_ok = true});
    CHECK(raft_is_settled(raft));
}

/* Time goes on, and replica 2 of each of two groups says that it lives. */
static void run_heard_ms(struct fixture *fixture, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 100) {
        run_ms(fixture, 100);
        for (uint32_t id = GROUP; id < GROUP + 2; id++) {
            struct group *group = multiraft_group(fixture->multiraft, id);
            if (raft_role(group_raft(group)) == RAFT_LEADER) {
                hear(fixture, group,
                     (struct raft_message){.kind = RAFT_HEARTBEAT_REPLY,
                                           .is_ok = true});
            }
        }
    }
}

/* As the leader of another term. */
static void hear_entry(struct fixture *fixture,
                       struct group *group,
                       uint64_t last_term)
{
    const struct raft *raft = group_raft(group);
    struct raft_entry entry = {.term = 9};
    hear(fixture, group,
         (struct raft_message){.kind = RAFT_APPEND,
                               .term = 9,
                               .index = raft_last_index(raft),
                               .log_term = last_term,
                               .entries = &entry,
                               .entry_count = 1});
}

static void a_follower_without_room_takes_no_entries_until_there_is(
    void **state)
{
    struct fixture *fixture = *state;
    fixture->free_bytes_min = 65536;
    struct group *group = begin(fixture, 3);
    const struct raft *raft = group_raft(group);
    uint64_t last = raft_last_index(raft);
    sim_disk_fill(fixture->disk, 60000); /* low: leaders take nothing new */
    run_ms(fixture, 5000);
    hear_entry(fixture, group, 0);
    assert_int_equal(raft_last_index(raft), last + 1);
    sim_disk_fill(fixture->disk, 30000);
    run_ms(fixture, 1000);
    hear_entry(fixture, group, 9);
    assert_int_equal(raft_last_index(raft), last + 1);
    hear(fixture, group,
         (struct raft_message){.kind = RAFT_HEARTBEAT, .term = 9});
    CHECK(raft_leader(raft) == 2); /* it follows all the same */
    sim_disk_fill(fixture->disk, UINT64_MAX);
    run_ms(fixture, 1000);
    hear_entry(fixture, group, 9);
    assert_int_equal(raft_last_index(raft), last + 2);
    CHECK_OK(fixture->failed);
}

static bool leads(const struct fixture *fixture, uint32_t id)
{
    const struct group *group = multiraft_group(fixture->multiraft, id);
    return raft_role(group_raft(group)) == RAFT_LEADER;
}

static void who_has_a_disk_that_hangs_leads_no_more(void **state)
{
    struct fixture *fixture = *state;
    struct raft_configuration members = members_of(3);
    struct group *idle = NULL;
    struct group *group = begin(fixture, 3);
    CHECK_OK(found_as(fixture, GROUP + 1, &members, &idle));
    run_ms(fixture, 1100);
    lead(fixture, group);
    lead(fixture, idle);
    run_heard_ms(fixture, 3000); /* nothing to write is no reason */
    CHECK(leads(fixture, GROUP) && leads(fixture, GROUP + 1));
    fixture->is_disk_hung = true;
    CHECK_OK(add_one(fixture, group));
    run_heard_ms(fixture, 900);
    CHECK(leads(fixture, GROUP) && leads(fixture, GROUP + 1));
    assert_int_equal(fixture->sent_counts[RAFT_TIMEOUT_NOW], 0);
    run_heard_ms(fixture, 200);
    CHECK(!leads(fixture, GROUP) && !leads(fixture, GROUP + 1));
    CHECK_ERR(done, ERR_UNCERTAIN);
    assert_int_equal(fixture->sent_counts[RAFT_TIMEOUT_NOW], 2);
    assert_int_equal(fixture->timeout_now.to, 2);
    CHECK(strstr(fixture->lines, "disk.stalled"));
    uint32_t heartbeats = fixture->sent_counts[RAFT_HEARTBEAT];
    run_heard_ms(fixture, 5000);
    assert_int_equal(fixture->sent_counts[RAFT_HEARTBEAT], heartbeats);
    CHECK(!leads(fixture, GROUP) && !leads(fixture, GROUP + 1));
    fixture->is_disk_hung = false;
    run_ms(fixture, 100);
    CHECK(strstr(fixture->lines, "disk.answers"));
    CHECK_OK(fixture->failed);
    run_ms(fixture, 2000);
    lead(fixture, group); /* it may be voted for again */
}

/* Always something under way, for 800 ms each. */
static void a_disk_that_is_only_slow_is_no_reason(void **state)
{
    struct fixture *fixture = *state;
    struct raft_configuration members = members_of(3);
    struct group *other = NULL;
    struct group *group = begin(fixture, 3);
    CHECK_OK(found_as(fixture, GROUP + 1, &members, &other));
    run_ms(fixture, 1100);
    lead(fixture, group);
    fixture->is_disk_hung = true;
    for (uint32_t id = GROUP + 2; id < GROUPS_MAX; id++) {
        CHECK_OK(found_as(fixture, id, &members, &other)); /* is written */
        if (id > GROUP + 2) { /* what was before it is done, it is not */
            CHECK(manual_executor_step(&fixture->writing));
            settle(fixture);
        }
        run_heard_ms(fixture, 800);
        CHECK(leads(fixture, GROUP));
    }
    CHECK(leads(fixture, GROUP));
    CHECK(!multiraft_is_idle(fixture->multiraft));
    assert_string_equal(multiraft_waits_for(fixture->multiraft),
                        "a write of the durable log");
}

static void whom_nobody_can_replace_waits_for_its_disk(void **state)
{
    struct fixture *fixture = *state;
    struct group *group = begin(fixture, 1);
    run_ms(fixture, 2000);
    fixture->is_disk_hung = true;
    CHECK_OK(add_one(fixture, group));
    run_ms(fixture, 5000);
    CHECK(leads(fixture, GROUP));
    assert_int_equal(done_count, 0);
    fixture->is_disk_hung = false;
    settle(fixture);
    assert_int_equal(done_count, 1);
    CHECK_OK(done);
}

/* ---- memory ---- */

static void what_is_kept_for_the_slow_is_shared_by_all_groups(void **state)
{
    struct fixture *fixture = *state;
    struct raft_configuration members = members_of(1);
    fixture->log_bytes_max = 65536;
    fixture->padding_bytes = 900;
    struct group *group = begin(fixture, 1);
    const struct raft *raft = group_raft(group);
    run_ms(fixture, 2000);
    add_many(fixture, group, 40);
    CHECK(raft_log_bytes(raft) > 30000);
    CHECK_OK(group_snapshot(group));
    settle(fixture);
    CHECK(raft_log_bytes(raft) <= 16384); /* a quarter */
    CHECK(raft_log_bytes(raft) > 12000);
    for (uint32_t i = 1; i < 3; i++) { /* others come */
        struct group *other = NULL;
        CHECK_OK(found_as(fixture, GROUP + i, &members, &other));
        CHECK(raft_log_bytes(raft) <= 16384 / (i + 1));
    }
    CHECK(raft_log_bytes(raft) > 4096);
    for (uint32_t i = 3; i < GROUPS_MAX - GROUP; i++) {
        struct group *other = NULL;
        CHECK_OK(found_as(fixture, GROUP + i, &members, &other));
    }
    CHECK(raft_log_bytes(raft) <= 4096 && raft_log_bytes(raft) > 2000);
    settle(fixture);
    for (uint32_t i = 1; i < GROUPS_MAX - GROUP; i++) { /* and go */
        CHECK_OK(multiraft_group_drop(fixture->multiraft, GROUP + i));
    }
    add_many(fixture, group, 40);
    CHECK_OK(group_snapshot(group));
    settle(fixture);
    CHECK(raft_log_bytes(raft) > 12000);
}

static void no_group_keeps_more_than_it_was_told_to(void **state)
{
    struct fixture *fixture = *state;
    fixture->keep_bytes = 3000;
    fixture->padding_bytes = 900;
    struct group *group = begin(fixture, 1);
    run_ms(fixture, 2000);
    add_many(fixture, group, 20);
    CHECK_OK(group_snapshot(group));
    settle(fixture);
    CHECK(raft_log_bytes(group_raft(group)) <= 3000);
}

/* ---- the disk ---- */

static void a_snapshot_that_fails_is_logged_and_counted(void **state)
{
    struct fixture *fixture = *state;
    struct metrics_counter *counter = NULL;
    struct group *group = begin(fixture, 1);
    run_ms(fixture, 2000);
    add_many(fixture, group, 3);
    CHECK_OK(metrics_add_counter(
        fixture->metrics, &counter,
        &(struct metrics_about){.name = "troupe_snapshot_failures_total",
                                .help = "?"}));
    assert_int_equal(metrics_counter_value(counter), 0);
    sim_kv_fail(fixture->kv, ERR_NO_SPACE);
    CHECK_OK(group_snapshot(group));
    settle(fixture);
    assert_int_equal(metrics_counter_value(counter), 1);
    CHECK(strstr(fixture->lines, "snapshot.failed group=3"));
    CHECK(strstr(fixture->lines, "ERR_NO_SPACE"));
    CHECK_OK(fixture->failed); /* the node goes on */
}

static void below_the_low_water_mark_a_snapshot_makes_room(void **state)
{
    struct fixture *fixture = *state;
    fixture->segment_bytes = 8192;
    fixture->free_bytes_min = 65536;
    fixture->padding_bytes = 1000;
    struct group *group = begin(fixture, 1);
    run_ms(fixture, 2000);
    for (uint32_t i = 0; i < 30; i++) {
        CHECK_OK(add_one(fixture, group));
        settle(fixture);
    }
    assert_int_equal(done_count, 30);
    assert_int_equal(group_stored_index(group), 0);
    uint64_t count = wal_stats(multiraft_wal(fixture->multiraft)).segment_count;
    CHECK(count > 3);
    sim_disk_fill(fixture->disk, 60000);
    CHECK_OK(add_one(fixture, group)); /* not known yet */
    settle(fixture);
    CHECK_ERR(add_one(fixture, group), ERR_NO_SPACE);
    run_ms(fixture, 1000);
    CHECK(group_stored_index(group) > 0);
    CHECK(wal_stats(multiraft_wal(fixture->multiraft)).segment_count < count);
    CHECK_OK(fixture->failed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_group_is_not_founded_twice),
        TEST(it_is_founded_only_where_its_members_are),
        TEST(who_was_lost_here_does_not_come_back_under_its_number),
        TEST(what_was_dropped_does_not_come_back_after_a_crash),
        TEST(an_entry_that_is_too_large_is_refused),
        TEST(entries_that_the_disk_is_too_slow_for_are_not_taken),
        TEST(nobody_speaks_for_a_member_of_another_node),
        TEST(a_group_that_the_log_does_not_have_is_said_to_be_so),
        TEST(a_group_whose_log_is_damaged_is_restored_or_replaced),
        TEST(a_group_whose_only_state_is_gone_is_restored),
        TEST(a_replica_is_dropped_while_another_makes_a_snapshot),
        TEST(rows_that_cannot_be_removed_are_removed_later),
        TEST(nothing_is_founded_before_what_was_lost_is_dealt_with),
        TEST(an_entry_that_makes_no_sense_closes_its_group_alone),
        TEST(who_has_a_disk_that_hangs_leads_no_more),
        TEST(a_disk_that_is_only_slow_is_no_reason),
        TEST(whom_nobody_can_replace_waits_for_its_disk),
        TEST(what_is_kept_for_the_slow_is_shared_by_all_groups),
        TEST(no_group_keeps_more_than_it_was_told_to),
        TEST(a_snapshot_that_fails_is_logged_and_counted),
        TEST(below_the_low_water_mark_a_snapshot_makes_room),
        TEST(a_follower_without_room_takes_no_entries_until_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
