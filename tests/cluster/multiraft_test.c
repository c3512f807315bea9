#include "cluster/multiraft.h"

#include "tests/support/check.h"

#include "base/time_units.h"
#include "cluster/raft_wire.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_kv.h"
#include "tests/support/counter_map.h"
#include "tests/support/fake_clock.h"
#include "tests/support/manual_executor.h"
#include "tests/support/seeded.h"

#include <stdlib.h>
#include <string.h>

#define NODE 0
#define OTHER 1
#define DISK_ID 77
#define GROUP 3
#define KEY 7
#define ENTRY_BYTES_MAX ((size_t)1 << 20)
#define APPEND_COUNT_MAX 40

/* One node; what it sends is counted and lost. */
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
    struct counter_map *map;
    uint32_t padding_bytes;
    uint64_t segment_bytes;
    uint64_t free_bytes_min;
    struct multiraft *multiraft;
    struct wal_report report;

    uint32_t sent_count;
    enum err failed;
    struct group_request request;
};

static enum err done; /* what the last request came to */
static uint32_t done_count;

static void on_send(void *context, uint32_t node, struct bytes message)
{
    struct fixture *fixture = context;
    (void)node;
    (void)message;
    fixture->sent_count++;
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
        .reactor = fixture->reactor,
        .disk = sim_disk_table(fixture->disk),
        .writer = &fixture->writer,
        .kv = sim_kv_table(fixture->kv),
        .applier = &fixture->applier,
        .mesh = {.context = fixture, .send = on_send},
        .events = {.context = fixture, .on_failed = on_failed},
        .node = NODE,
        .disk_id = DISK_ID,
        .segment_bytes = fixture->segment_bytes,
        .free_bytes_min = fixture->free_bytes_min,
    };
    multiraft_config_defaults(&config);
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
    counter_map_close(&fixture->map);
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
    } while (manual_executor_step(&fixture->writing) ||
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

static struct machine new_machine(struct fixture *fixture)
{
    counter_map_close(&fixture->map);
    fixture->map = counter_map_open(&(struct counter_map_config){
        .result_count_max = 8, .padding_bytes = fixture->padding_bytes});
    return counter_map_machine(fixture->map);
}

static enum err found(struct fixture *fixture,
                      const struct raft_configuration *members,
                      struct group **out)
{
    struct machine machine = new_machine(fixture);
    return multiraft_group_found(fixture->multiraft, GROUP, &machine, members,
                                 out);
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

/* ---- founding and dropping ---- */

static void a_group_is_not_founded_twice(void **state)
{
    struct fixture *fixture = *state;
    struct raft_configuration members = members_of(1);
    struct group *group = begin(fixture, 1);
    struct group *again = NULL;
    struct counter_map *map = fixture->map;
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
    members.members[0].disk_id = DISK_ID;
    members.members[0].node = OTHER;
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
    CHECK_ERR(multiraft_group_drop(fixture->multiraft, GROUP), ERR_BUSY);
    settle(fixture);
    CHECK_OK(multiraft_group_drop(fixture->multiraft, GROUP));
    CHECK_ERR(multiraft_group_drop(fixture->multiraft, GROUP), ERR_NOT_FOUND);
    CHECK(multiraft_group(fixture->multiraft, GROUP) == NULL);
    settle(fixture);
    CHECK(multiraft_is_idle(fixture->multiraft));
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

/* ---- the disk ---- */

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
        TEST(below_the_low_water_mark_a_snapshot_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
