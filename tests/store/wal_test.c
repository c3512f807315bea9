#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/wal_format.h"
#include "tests/sim/sim_disk.h"
#include "tests/support/test_log.h"

#define SEGMENT_BYTES 4096
#define VISITED_MAX 4096

struct visited {
    uint32_t group;
    uint64_t index;
    uint64_t term;
    uint8_t type;
    size_t length;
    uint8_t first_byte;
};

struct fixture {
    struct sim_disk *disk;
    struct test_log test;
    uint64_t last[16];
    struct visited visited[VISITED_MAX];
    size_t visited_count;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    CHECK(fixture);
    fixture->disk = sim_disk_open(1);
    CHECK(fixture->disk);
    test_log_init(&fixture->test, sim_disk_table(fixture->disk));
    CHECK_OK(test_log_open(&fixture->test));
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    test_log_clear(&fixture->test);
    sim_disk_close(&fixture->disk);
    free(fixture);
    return 0;
}

static void visit(void *context, const struct wal_record *entry)
{
    struct fixture *fixture = context;
    CHECK(fixture->visited_count < VISITED_MAX);
    fixture->visited[fixture->visited_count++] = (struct visited){
        .group = entry->group,
        .index = entry->index,
        .term = entry->term,
        .type = entry->type,
        .length = entry->bytes.length,
        .first_byte = entry->bytes.length > 0 ? entry->bytes.data[0] : 0,
    };
}

static void replay(struct fixture *fixture)
{
    fixture->visited_count = 0;
    CHECK_OK(
        wal_replay(fixture->test.log, visit, fixture, &fixture->test.report));
}

static enum err reopen_raw(struct fixture *fixture)
{
    test_log_close(&fixture->test);
    return test_log_open(&fixture->test);
}

static void reopen(struct fixture *fixture)
{
    CHECK_OK(reopen_raw(fixture));
    replay(fixture);
}

static struct wal_group group_of(struct fixture *fixture, uint32_t number)
{
    struct wal_group group = {0};
    CHECK(wal_find(fixture->test.log, number, &group));
    CHECK(group.group == number);
    return group;
}

static bool has_group(struct fixture *fixture, uint32_t number)
{
    struct wal_group group;
    return wal_find(fixture->test.log, number, &group);
}

static uint64_t append(struct fixture *fixture, struct wal_record record)
{
    return wal_append(fixture->test.log, &record);
}

/* One more entry of a group, of `length` equal bytes. */
static uint64_t append_entry(struct fixture *fixture,
                             uint32_t group,
                             size_t length)
{
    static uint8_t bytes[16384];
    CHECK(length <= sizeof bytes);
    uint64_t index = ++fixture->last[group];
    memset(bytes, (int)(index & 255), length);
    return append(fixture, (struct wal_record){
                               .kind = WAL_ENTRY,
                               .group = group,
                               .index = index,
                               .term = 1,
                               .type = 7,
                               .bytes = bytes_of(bytes, length),
                           });
}

static void append_snapshot(struct fixture *fixture,
                            uint32_t group,
                            uint64_t index)
{
    (void)append(fixture, (struct wal_record){.kind = WAL_SNAPSHOT,
                                              .group = group,
                                              .index = index,
                                              .term = 1});
}

static void settle(struct fixture *fixture)
{
    test_log_settle(&fixture->test);
    CHECK_OK(fixture->test.failed);
    CHECK(wal_is_idle(fixture->test.log));
}

/* One batch for each entry. */
static void commit_entries(struct fixture *fixture,
                           uint32_t group,
                           uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        (void)append_entry(fixture, group, 400);
        settle(fixture);
    }
}

static uint64_t segment_count(struct fixture *fixture)
{
    return wal_stats(fixture->test.log).segment_count;
}

static char *name_of(char name[static DISK_NAME_BYTES], uint64_t segment)
{
    wal_format_name(name, segment);
    return name;
}

static bool has_segment(struct fixture *fixture, uint64_t segment)
{
    char name[DISK_NAME_BYTES];
    return sim_disk_content(fixture->disk, name_of(name, segment)).data;
}

/* The place of the n-th batch (from 0) of a segment. */
static uint64_t batch_at(struct fixture *fixture, uint64_t segment, int n)
{
    char name[DISK_NAME_BYTES];
    struct bytes content =
        sim_disk_content(fixture->disk, name_of(name, segment));
    struct wal_format_place place = {.disk_id = TEST_LOG_DISK_ID,
                                     .segment = segment,
                                     .offset = WAL_FORMAT_PLAIN_BYTES};
    for (;; n--) {
        struct wal_format_batch batch;
        CHECK(place.offset < content.length);
        CHECK(wal_format_batch_decode(&batch, &place,
                                      bytes_of(content.data + place.offset,
                                               content.length - place.offset)));
        if (n == 0) {
            return place.offset;
        }
        place.offset += wal_format_batch_bytes(batch.body_bytes);
    }
}

static void flip(struct fixture *fixture, uint64_t segment, uint64_t at)
{
    char name[DISK_NAME_BYTES];
    CHECK(sim_disk_flip(fixture->disk, name_of(name, segment), at));
}

/* ---- committing ---- */

static void an_empty_folder_becomes_a_log_without_groups(void **state)
{
    struct fixture *fixture = *state;
    CHECK(segment_count(fixture) == 1);
    CHECK(has_segment(fixture, 1));
    CHECK(fixture->test.report.segment_count == 1);
    CHECK(!has_group(fixture, 0));
    CHECK(wal_is_idle(fixture->test.log));
    CHECK(wal_pin(fixture->test.log).group == WAL_GROUP_UNLISTED);
    reopen(fixture);
    CHECK(fixture->test.report.what[0] == '\0');
    CHECK(segment_count(fixture) == 1);
}

static void what_a_turn_appends_is_one_write_and_one_sync(void **state)
{
    struct fixture *fixture = *state;
    uint64_t before = sim_disk_operations(fixture->disk);
    for (uint64_t i = 1; i <= 10; i++) {
        CHECK(append_entry(fixture, (uint32_t)i % 3, 20) == i);
    }
    test_log_turn(&fixture->test);
    CHECK(sim_disk_operations(fixture->disk) == before);
    CHECK(fixture->test.durable == 0);
    CHECK(manual_executor_step(&fixture->test.jobs));
    CHECK(sim_disk_operations(fixture->disk) == before + 2);
    CHECK(fixture->test.durable == 0); /* only told in a turn */
    test_log_turn(&fixture->test);
    CHECK(fixture->test.durable == 10);
    CHECK(wal_stats(fixture->test.log).flush_count == 1);
    CHECK(wal_stats(fixture->test.log).record_count == 10);
}

static void what_comes_during_a_flush_goes_into_the_next(void **state)
{
    struct fixture *fixture = *state;
    (void)append_entry(fixture, 1, 20);
    test_log_turn(&fixture->test);
    (void)append_entry(fixture, 1, 20);
    test_log_turn(&fixture->test);
    (void)append_entry(fixture, 2, 20);
    test_log_turn(&fixture->test);
    CHECK(fixture->test.jobs.count == 1);
    CHECK(!wal_is_idle(fixture->test.log));
    CHECK(manual_executor_step(&fixture->test.jobs));
    test_log_turn(&fixture->test);
    CHECK(fixture->test.durable == 1);
    CHECK(fixture->test.jobs.count == 1);
    settle(fixture);
    CHECK(fixture->test.durable == 3);
    CHECK(wal_stats(fixture->test.log).flush_count == 2);
}

static void it_is_full_while_too_much_waits(void **state)
{
    struct fixture *fixture = *state;
    CHECK(!wal_is_full(fixture->test.log));
    for (int i = 0; i < 5; i++) {
        (void)append_entry(fixture, 1, 16384);
    }
    CHECK(wal_is_full(fixture->test.log));
    test_log_turn(&fixture->test);
    CHECK(!wal_is_full(fixture->test.log));
    settle(fixture);
    reopen(fixture);
    CHECK(fixture->visited_count == 5);
}

/* ---- recovering ---- */

static void everything_of_a_group_comes_back(void **state)
{
    struct fixture *fixture = *state;
    (void)append(fixture, (struct wal_record){.kind = WAL_VOTE,
                                              .group = 3,
                                              .term = 9,
                                              .vote = UINT64_MAX});
    commit_entries(fixture, 3, 5);
    (void)append(fixture,
                 (struct wal_record){.kind = WAL_SNAPSHOT,
                                     .group = 3,
                                     .index = 2,
                                     .term = 1,
                                     .bytes = bytes_of_text("members")});
    settle(fixture);
    reopen(fixture);
    struct wal_group group = group_of(fixture, 3);
    CHECK(group.term == 9);
    CHECK(group.vote == UINT64_MAX);
    CHECK(group.snapshot_index == 2);
    CHECK(group.snapshot_term == 1);
    CHECK(group.last_index == 5);
    CHECK(!group.is_lost);
    CHECK(bytes_are_equal(group.configuration, bytes_of_text("members")));
    CHECK(fixture->visited_count == 3);
    CHECK(fixture->visited[0].index == 3);
    CHECK(fixture->visited[2].index == 5);
    CHECK(fixture->visited[2].type == 7);
    CHECK(fixture->visited[2].term == 1);
    CHECK(fixture->visited[2].length == 400);
    CHECK(fixture->visited[2].first_byte == 5);
}

static void entries_are_replaced_and_truncated(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 6; i++) {
        (void)append_entry(fixture, 1, 10);
    }
    (void)append(fixture, (struct wal_record){
                              .kind = WAL_ENTRY,
                              .group = 1,
                              .index = 3,
                              .term = 2,
                          }); /* replaces 3, and 4 to 6 are gone */
    (void)append(fixture, (struct wal_record){
                              .kind = WAL_ENTRY,
                              .group = 1,
                              .index = 4,
                              .term = 2,
                          });
    (void)append(fixture, (struct wal_record){
                              .kind = WAL_TRUNCATE, .group = 1, .index = 4});
    CHECK(group_of(fixture, 1).last_index == 3);
    settle(fixture);
    reopen(fixture);
    CHECK(group_of(fixture, 1).last_index == 3);
    CHECK(fixture->visited_count == 3);
    for (uint64_t i = 0; i < 3; i++) {
        CHECK(fixture->visited[i].index == i + 1);
        CHECK(fixture->visited[i].term == (i < 2 ? 1 : 2));
    }
}

static void a_snapshot_that_fits_keeps_what_is_behind_it(void **state)
{
    struct fixture *fixture = *state;
    commit_entries(fixture, 1, 20); /* several segments */
    append_snapshot(fixture, 1, 15);
    settle(fixture);
    CHECK(group_of(fixture, 1).last_index == 20);
    reopen(fixture);
    CHECK(group_of(fixture, 1).last_index == 20);
    CHECK(fixture->visited_count == 5);
}

static void a_snapshot_that_does_not_fit_ends_all_entries(void **state)
{
    struct fixture *fixture = *state;
    commit_entries(fixture, 1, 20);
    (void)append(fixture,
                 (struct wal_record){
                     .kind = WAL_SNAPSHOT, .group = 1, .index = 15, .term = 2});
    (void)append(fixture, (struct wal_record){.kind = WAL_SNAPSHOT,
                                              .group = 2,
                                              .index = 100,
                                              .term = 3});
    settle(fixture);
    reopen(fixture);
    CHECK(group_of(fixture, 1).last_index == 15);
    CHECK(group_of(fixture, 1).snapshot_term == 2);
    CHECK(group_of(fixture, 2).last_index == 100);
    CHECK(fixture->visited_count == 0);
    fixture->last[1] = 15;
    commit_entries(fixture, 1, 1);
    reopen(fixture);
    CHECK(fixture->visited_count == 1);
    CHECK(fixture->visited[0].index == 16);
}

static void a_snapshot_fits_by_the_terms_read_back(void **state)
{
    struct fixture *fixture = *state;
    commit_entries(fixture, 1, 20);
    reopen(fixture);
    append_snapshot(fixture, 1, 18);
    settle(fixture);
    CHECK(group_of(fixture, 1).last_index == 20);
    reopen(fixture);
    CHECK(fixture->visited_count == 2);
}

static void a_forgotten_group_is_gone_and_may_begin_again(void **state)
{
    struct fixture *fixture = *state;
    commit_entries(fixture, 1, 3);
    (void)append(fixture,
                 (struct wal_record){.kind = WAL_VOTE, .group = 1, .term = 4});
    (void)append(fixture, (struct wal_record){.kind = WAL_FORGET, .group = 1});
    settle(fixture);
    CHECK(!has_group(fixture, 1));
    reopen(fixture);
    CHECK(!has_group(fixture, 1));
    CHECK(fixture->visited_count == 0);
    fixture->last[1] = 0;
    commit_entries(fixture, 1, 2);
    reopen(fixture);
    CHECK(group_of(fixture, 1).term == 0);
    CHECK(fixture->visited_count == 2);
}

static void an_entry_may_be_larger_than_a_segment(void **state)
{
    struct fixture *fixture = *state;
    (void)append_entry(fixture, 1, 3 * SEGMENT_BYTES);
    settle(fixture);
    commit_entries(fixture, 1, 1);
    reopen(fixture);
    CHECK(fixture->visited_count == 2);
    CHECK(fixture->visited[0].length == 3 * SEGMENT_BYTES);
}

static void what_a_killed_process_left_is_made_durable_first(void **state)
{
    struct fixture *fixture = *state;
    commit_entries(fixture, 1, 1);
    (void)append_entry(fixture, 1, 10);
    test_log_turn(&fixture->test);
    sim_disk_cut_after(fixture->disk, 2); /* written, not synced */
    CHECK(manual_executor_step(&fixture->test.jobs));
    test_log_turn(&fixture->test);
    CHECK_ERR(fixture->test.failed, ERR_IO);
    test_log_close(&fixture->test);
    sim_disk_kill(fixture->disk);
    CHECK_OK(test_log_open(&fixture->test));
    CHECK(group_of(fixture, 1).last_index == 2);
    for (int i = 0; i < 10; i++) { /* any way to crash there is */
        test_log_close(&fixture->test);
        sim_disk_crash(fixture->disk);
        CHECK_OK(test_log_open(&fixture->test));
        CHECK(group_of(fixture, 1).last_index == 2);
    }
}

/* ---- segments ---- */

static void segments_that_nobody_needs_go(void **state)
{
    struct fixture *fixture = *state;
    commit_entries(fixture, 1, 40);
    uint64_t count = segment_count(fixture);
    CHECK(count > 3);
    append_snapshot(fixture, 1, 40);
    test_log_turn(&fixture->test);
    CHECK(manual_executor_step(&fixture->test.jobs));
    CHECK(has_segment(fixture, 1)); /* its mark was not durable before */
    settle(fixture);
    CHECK(segment_count(fixture) == 1);
    for (uint64_t i = 1; i < count; i++) {
        CHECK(!has_segment(fixture, i));
    }
    CHECK(has_segment(fixture, count));
    reopen(fixture);
    CHECK(fixture->test.report.what[0] == '\0');
    CHECK(group_of(fixture, 1).last_index == 40);
}

static void a_vote_outlives_the_segment_that_it_was_in(void **state)
{
    struct fixture *fixture = *state;
    (void)append(fixture,
                 (struct wal_record){
                     .kind = WAL_VOTE, .group = 2, .term = 5, .vote = 8});
    commit_entries(fixture, 1, 40);
    append_snapshot(fixture, 1, 40);
    settle(fixture);
    CHECK(!has_segment(fixture, 1));
    reopen(fixture);
    CHECK(group_of(fixture, 2).term == 5);
    CHECK(group_of(fixture, 2).vote == 8);
}

static void a_slow_group_keeps_only_the_segments_that_it_needs(void **state)
{
    struct fixture *fixture = *state;
    commit_entries(fixture, 1, 12);
    commit_entries(fixture, 2, 1);
    uint64_t needed = wal_stats(fixture->test.log).segment_count;
    commit_entries(fixture, 1, 38);
    uint64_t current = wal_stats(fixture->test.log).segment_count;
    CHECK(needed > 1 && current > needed + 2);
    append_snapshot(fixture, 1, 50);
    settle(fixture);
    CHECK(segment_count(fixture) == 2);
    CHECK(has_segment(fixture, needed));
    CHECK(has_segment(fixture, current));
    struct wal_pin pin = wal_pin(fixture->test.log);
    CHECK(pin.group == 2);
    CHECK(pin.bytes >= SEGMENT_BYTES);
    CHECK(group_of(fixture, 2).log_bytes >= pin.bytes);
    CHECK(group_of(fixture, 1).log_bytes == 0);
    reopen(fixture);
    CHECK(fixture->test.report.missing_count == 0);
    CHECK(fixture->visited_count == 1);
    CHECK(wal_pin(fixture->test.log).group == 2);
}

static void what_a_crash_left_of_removing_goes_at_opening(void **state)
{
    struct fixture *fixture = *state;
    commit_entries(fixture, 1, 40);
    append_snapshot(fixture, 1, 40);
    test_log_turn(&fixture->test);
    CHECK(manual_executor_step(&fixture->test.jobs));
    test_log_turn(&fixture->test); /* the removing is under way */
    CHECK(segment_count(fixture) > 3);
    test_log_close(&fixture->test);
    sim_disk_crash(fixture->disk);
    CHECK_OK(test_log_open(&fixture->test));
    settle(fixture);
    CHECK(segment_count(fixture) == 1);
}

static enum err refuse_removal(void *context, const char *name)
{
    (void)context;
    (void)name;
    return ERR_IO;
}

static void a_removal_that_fails_is_tried_with_the_next_batch(void **state)
{
    struct fixture *fixture = *state;
    struct disk stubborn = *sim_disk_table(fixture->disk);
    stubborn.remove = refuse_removal;
    fixture->test.config.disk = &stubborn;
    reopen(fixture);
    commit_entries(fixture, 1, 40);
    append_snapshot(fixture, 1, 40);
    settle(fixture);
    CHECK(segment_count(fixture) > 3);
    stubborn.remove = sim_disk_table(fixture->disk)->remove;
    commit_entries(fixture, 1, 1);
    CHECK(segment_count(fixture) == 1);
    fixture->test.config.disk = sim_disk_table(fixture->disk);
    test_log_close(&fixture->test);
}

/* ---- damage ---- */

static void a_torn_tail_is_cut_off(void **state)
{
    struct fixture *fixture = *state;
    commit_entries(fixture, 1, 3);
    flip(fixture, 1, batch_at(fixture, 1, 3) + 100);
    reopen(fixture);
    CHECK(fixture->test.report.torn_bytes > 400);
    CHECK(fixture->test.report.what[0] == '\0');
    CHECK(fixture->visited_count == 2);
    CHECK(!group_of(fixture, 1).is_lost);
    fixture->last[1] = 2;
    (void)append_entry(fixture, 1, 10); /* shorter than what was torn */
    settle(fixture);
    reopen(fixture);
    CHECK(fixture->test.report.torn_bytes == 0);
    CHECK(fixture->visited_count == 3);
}

static void check_all_lost(struct fixture *fixture)
{
    CHECK(fixture->test.report.unlisted_are_lost);
    CHECK(fixture->test.report.what[0] != '\0');
    CHECK(fixture->test.report.lost_group_count == 2);
    CHECK(group_of(fixture, 1).is_lost);
    CHECK(group_of(fixture, 2).is_lost);
    replay(fixture);
    CHECK(fixture->visited_count == 0);
}

static void forget_all(struct fixture *fixture)
{
    static const uint32_t groups[] = {1, 2, WAL_GROUP_UNLISTED};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        (void)append(fixture, (struct wal_record){.kind = WAL_FORGET,
                                                  .group = groups[i]});
    }
    fixture->last[1] = 0;
    fixture->last[2] = 0;
    settle(fixture);
}

/* Lost until they are forgotten, however often the log is opened. */
static void check_all_lost_until_forgotten(struct fixture *fixture)
{
    check_all_lost(fixture);
    CHECK_OK(reopen_raw(fixture));
    CHECK(fixture->test.report.lost_group_count == 2);
    CHECK(fixture->test.report.unlisted_are_lost);
    CHECK(group_of(fixture, 1).is_lost);
    commit_entries(fixture, 2, 20); /* even with new segments meanwhile */
    CHECK_OK(reopen_raw(fixture));
    CHECK(fixture->test.report.lost_group_count == 2);
    forget_all(fixture);
    CHECK(segment_count(fixture) == 1);
    reopen(fixture);
    CHECK(fixture->test.report.lost_group_count == 0);
    CHECK(!fixture->test.report.unlisted_are_lost);
    CHECK(fixture->test.report.what[0] == '\0');
    commit_entries(fixture, 1, 2);
    reopen(fixture);
    CHECK(fixture->visited_count == 2);
    CHECK(!group_of(fixture, 1).is_lost);
}

static void a_bad_batch_with_a_good_one_behind_loses_all_groups(void **state)
{
    struct fixture *fixture = *state;
    commit_entries(fixture, 1, 1);
    commit_entries(fixture, 2, 2);
    commit_entries(fixture, 3, 1); /* unlisted then */
    flip(fixture, 1, batch_at(fixture, 1, 3) + 50);
    CHECK_OK(reopen_raw(fixture));
    CHECK(fixture->test.report.damaged_count == 1);
    CHECK(fixture->test.report.torn_bytes == 0);
    CHECK(!has_group(fixture, 3));
    CHECK(strstr(fixture->test.report.what, "0000000000000001.wal"));
    fixture->last[2] = 1;
    check_all_lost_until_forgotten(fixture);
}

static void a_damaged_head_of_the_last_segment_loses_all_groups(void **state)
{
    struct fixture *fixture = *state;
    commit_entries(fixture, 2, 1);
    commit_entries(fixture, 1, 16);
    uint64_t last = segment_count(fixture);
    CHECK(last > 1);
    flip(fixture, last, WAL_FORMAT_PLAIN_BYTES + 40);
    CHECK_OK(reopen_raw(fixture));
    CHECK(fixture->test.report.damaged_count == 1);
    check_all_lost_until_forgotten(fixture);
}

static void a_missing_last_segment_loses_all_groups(void **state)
{
    struct fixture *fixture = *state;
    char name[DISK_NAME_BYTES];
    commit_entries(fixture, 2, 1);
    commit_entries(fixture, 1, 16);
    uint64_t last = segment_count(fixture);
    CHECK(last > 1);
    CHECK(sim_disk_delete(fixture->disk, name_of(name, last)));
    CHECK_OK(reopen_raw(fixture));
    CHECK(fixture->test.report.missing_count == 1);
    CHECK(strstr(fixture->test.report.what, name));
    check_all_lost_until_forgotten(fixture);
}

static void damage_in_an_older_segment_loses_the_groups_in_it(void **state)
{
    struct fixture *fixture = *state;
    commit_entries(fixture, 1, 1);
    commit_entries(fixture, 2, 12); /* the rest of the first segment */
    commit_entries(fixture, 3, 20);
    flip(fixture, 1, batch_at(fixture, 1, 2) + 50);
    CHECK_OK(reopen_raw(fixture));
    CHECK(fixture->test.report.lost_group_count == 0); /* not read yet */
    replay(fixture);
    CHECK(fixture->test.report.lost_group_count == 1);
    CHECK(fixture->test.report.damaged_count == 1);
    CHECK(strstr(fixture->test.report.what, "group 2"));
    CHECK(!fixture->test.report.unlisted_are_lost);
    CHECK(group_of(fixture, 2).is_lost);
    CHECK(!group_of(fixture, 1).is_lost);
    CHECK(!group_of(fixture, 3).is_lost);
    fixture->last[2] = 0;
    (void)append(fixture, (struct wal_record){.kind = WAL_FORGET, .group = 2});
    settle(fixture);
    reopen(fixture);
    CHECK(fixture->test.report.lost_group_count == 0);
    CHECK(fixture->visited_count == 21);
}

/* Nobody can make a snapshot of it: others shall, of what they need. */
static void a_lost_group_pins_no_segment(void **state)
{
    struct fixture *fixture = *state;
    commit_entries(fixture, 2, 12);
    commit_entries(fixture, 3, 20);
    flip(fixture, 1, batch_at(fixture, 1, 2) + 50);
    CHECK_OK(reopen_raw(fixture));
    replay(fixture);
    CHECK(group_of(fixture, 2).is_lost);
    CHECK(has_segment(fixture, 1));
    CHECK(wal_pin(fixture->test.log).group == 3);
}

static void damage_of_what_is_in_a_snapshot_loses_nothing(void **state)
{
    struct fixture *fixture = *state;
    commit_entries(fixture, 1, 20);
    append_snapshot(fixture, 1, 4);
    settle(fixture);
    CHECK(has_segment(fixture, 1));
    flip(fixture, 1, batch_at(fixture, 1, 2) + 50); /* entry 2 */
    reopen(fixture);
    CHECK(fixture->test.report.lost_group_count == 0);
    CHECK(fixture->visited_count == 16);
}

static void a_damaged_head_of_an_older_segment_loses_nothing(void **state)
{
    struct fixture *fixture = *state;
    commit_entries(fixture, 1, 20);
    flip(fixture, 2, 3);
    flip(fixture, 2, WAL_FORMAT_PLAIN_BYTES + 40);
    reopen(fixture);
    CHECK(fixture->test.report.lost_group_count == 0);
    CHECK(fixture->visited_count == 20);
}

static void a_missing_segment_loses_the_groups_that_need_it(void **state)
{
    struct fixture *fixture = *state;
    char name[DISK_NAME_BYTES];
    commit_entries(fixture, 1, 1);
    commit_entries(fixture, 2, 12);
    commit_entries(fixture, 1, 20);
    commit_entries(fixture, 3, 20);
    append_snapshot(fixture, 2, 12);
    settle(fixture);
    CHECK(sim_disk_delete(fixture->disk, name_of(name, 1)));
    CHECK_OK(reopen_raw(fixture));
    CHECK(fixture->test.report.missing_count == 1);
    CHECK(strstr(fixture->test.report.what, name));
    CHECK(group_of(fixture, 1).is_lost);
    CHECK(!group_of(fixture, 2).is_lost); /* its snapshot has all */
    CHECK(!group_of(fixture, 3).is_lost);
    replay(fixture);
    CHECK(fixture->visited_count == 20);
    (void)append(fixture, (struct wal_record){.kind = WAL_FORGET, .group = 1});
    settle(fixture);
    reopen(fixture);
    CHECK(fixture->test.report.missing_count == 0);
}

static void a_shortened_segment_loses_the_groups_in_its_end(void **state)
{
    struct fixture *fixture = *state;
    char name[DISK_NAME_BYTES];
    commit_entries(fixture, 1, 2);
    commit_entries(fixture, 2, 12);
    commit_entries(fixture, 3, 20);
    CHECK(sim_disk_shorten(fixture->disk, name_of(name, 1),
                           batch_at(fixture, 1, 4)));
    reopen(fixture);
    CHECK(group_of(fixture, 2).is_lost);
    CHECK(!group_of(fixture, 1).is_lost);
    CHECK(!group_of(fixture, 3).is_lost);
}

static void an_interrupted_new_segment_is_made_again(void **state)
{
    struct fixture *fixture = *state;
    commit_entries(fixture, 1, 8);
    CHECK(segment_count(fixture) == 1);
    commit_entries(fixture, 1, 1);
    CHECK(segment_count(fixture) == 2);
    char name[DISK_NAME_BYTES];
    /* As if the power had gone before the first one's seal. */
    uint64_t seal_at = batch_at(fixture, 1, 10);
    struct wal_format_place place = {
        .disk_id = TEST_LOG_DISK_ID, .segment = 1, .offset = seal_at};
    struct wal_format_batch seal;
    struct bytes content = sim_disk_content(fixture->disk, name_of(name, 1));
    CHECK(wal_format_batch_decode(&seal, &place,
                                  bytes_of(content.data + seal_at, 32)));
    CHECK(seal.kind == WAL_FORMAT_SEAL);
    CHECK(sim_disk_shorten(fixture->disk, name, seal_at));
    CHECK(sim_disk_shorten(fixture->disk, name_of(name, 2), 50));
    reopen(fixture);
    CHECK(fixture->test.report.what[0] == '\0');
    CHECK(segment_count(fixture) == 1);
    CHECK(fixture->visited_count == 9);
    commit_entries(fixture, 1, 1);
    CHECK(segment_count(fixture) == 2);
    reopen(fixture);
    CHECK(fixture->visited_count == 10);
}

static void refuses_the_log_of_another_disk(void **state)
{
    struct fixture *fixture = *state;
    commit_entries(fixture, 1, 1);
    uint64_t before = sim_disk_operations(fixture->disk);
    fixture->test.config.disk_id = 5;
    CHECK_ERR(reopen_raw(fixture), ERR_OTHER_CLUSTER);
    CHECK(strstr(fixture->test.why.text, "0000000000000001.wal"));
    CHECK(sim_disk_operations(fixture->disk) == before);
    fixture->test.config.disk_id = TEST_LOG_DISK_ID;
    reopen(fixture);
    CHECK(fixture->visited_count == 1);
}

static void refuses_a_newer_format(void **state)
{
    struct fixture *fixture = *state;
    char name[DISK_NAME_BYTES];
    uint8_t plain[WAL_FORMAT_PLAIN_BYTES];
    commit_entries(fixture, 1, 1);
    test_log_close(&fixture->test);
    struct wal_format_plain about = {.disk_id = TEST_LOG_DISK_ID, .segment = 2};
    wal_format_plain_encode(plain, &about);
    put_u32(plain + 8, WAL_FORMAT_VERSION + 1);
    wal_format_plain_finish(plain);
    const struct disk *disk = sim_disk_table(fixture->disk);
    struct disk_file *file = NULL;
    CHECK_OK(disk->open(disk->context, name_of(name, 2), DISK_CREATE, &file));
    CHECK_OK(disk->write(file, 0, bytes_of(plain, sizeof plain)));
    disk->close(&file);
    uint64_t before = sim_disk_operations(fixture->disk);
    CHECK_ERR(test_log_open(&fixture->test), ERR_VERSION);
    CHECK(strstr(fixture->test.why.text, "newer"));
    CHECK(sim_disk_operations(fixture->disk) == before);
}

static void a_log_that_must_be_there_is_missed(void **state)
{
    struct fixture *fixture = *state;
    char name[DISK_NAME_BYTES];
    fixture->test.config.must_exist = true;
    reopen(fixture);
    test_log_close(&fixture->test);
    CHECK(sim_disk_delete(fixture->disk, name_of(name, 1)));
    CHECK_ERR(test_log_open(&fixture->test), ERR_NOT_FOUND);
    CHECK(fixture->test.why.text[0] != '\0');
}

static void other_files_in_the_folder_are_left_alone(void **state)
{
    struct fixture *fixture = *state;
    static const char *const names[] = {
        "lost+found", "1.wal", "0000000000000000.wal", "000000000000000A.wal"};
    const struct disk *disk = sim_disk_table(fixture->disk);
    for (size_t i = 0; i < 4; i++) {
        struct disk_file *file = NULL;
        CHECK_OK(disk->open(disk->context, names[i], DISK_CREATE, &file));
        disk->close(&file);
    }
    commit_entries(fixture, 1, 30);
    reopen(fixture);
    CHECK(fixture->visited_count == 30);
    for (size_t i = 0; i < 4; i++) {
        CHECK_OK(disk->remove(disk->context, names[i]));
    }
}

/* ---- failing ---- */

static void check_fail_stop(struct fixture *fixture, enum err err)
{
    test_log_settle(&fixture->test);
    CHECK_ERR(fixture->test.failed, err);
    CHECK(fixture->test.failed_what);
    CHECK(fixture->test.durable == 1);
    uint64_t before = sim_disk_operations(fixture->disk);
    fixture->test.failed = ERR_NONE;
    (void)append_entry(fixture, 1, 10);
    test_log_settle(&fixture->test);
    CHECK(sim_disk_operations(fixture->disk) == before);
    CHECK_OK(fixture->test.failed); /* said once */
    CHECK(fixture->test.durable == 1);
    CHECK(wal_is_idle(fixture->test.log)); /* it may be closed */
}

static void a_failed_sync_stops_all(void **state)
{
    struct fixture *fixture = *state;
    commit_entries(fixture, 1, 1);
    sim_disk_fail_next_sync(fixture->disk);
    (void)append_entry(fixture, 1, 10);
    check_fail_stop(fixture, ERR_IO);
}

static void a_failed_write_stops_all(void **state)
{
    struct fixture *fixture = *state;
    commit_entries(fixture, 1, 1);
    sim_disk_fail_next_write(fixture->disk);
    (void)append_entry(fixture, 1, 10);
    check_fail_stop(fixture, ERR_IO);
}

static void a_full_disk_stops_all(void **state)
{
    struct fixture *fixture = *state;
    commit_entries(fixture, 1, 1);
    sim_disk_fill(fixture->disk, 100);
    (void)append_entry(fixture, 1, 16384);
    check_fail_stop(fixture, ERR_NO_SPACE);
    test_log_close(&fixture->test);
    sim_disk_fill(fixture->disk, 1 << 20);
    fixture->last[1] = 1;
    CHECK_OK(test_log_open(&fixture->test));
    replay(fixture);
    CHECK(fixture->visited_count == 1);
    commit_entries(fixture, 1, 1);
    reopen(fixture);
    CHECK(fixture->visited_count == 2);
}

static void a_batch_fits_where_its_zeros_do_not(void **state)
{
    struct fixture *fixture = *state;
    sim_disk_fill(fixture->disk, 600);
    commit_entries(fixture, 1, 1);
    CHECK(fixture->test.durable == 1);
    reopen(fixture);
    CHECK(fixture->visited_count == 1);
}

static void tells_when_the_disk_is_nearly_full_and_when_no_more(void **state)
{
    struct fixture *fixture = *state;
    fixture->test.config.free_bytes_min = 1 << 20;
    reopen(fixture);
    CHECK(!wal_is_low(fixture->test.log));
    sim_disk_fill(fixture->disk, 1 << 19);
    commit_entries(fixture, 1, 1);
    CHECK(wal_is_low(fixture->test.log));
    commit_entries(fixture, 1, 1); /* still written */
    CHECK(fixture->test.durable == 2);
    sim_disk_fill(fixture->disk, 1 << 21);
    settle(fixture);
    CHECK(wal_is_low(fixture->test.log));
    fixture->test.fake.now_ns += UINT64_C(1000000000);
    settle(fixture);
    CHECK(!wal_is_low(fixture->test.log)); /* without an append */
    sim_disk_fill(fixture->disk, 1 << 19);
    fixture->test.fake.now_ns += UINT64_C(5000000000);
    settle(fixture);
    CHECK(wal_is_low(fixture->test.log)); /* others have filled it */
    CHECK(!wal_is_out_of_room(fixture->test.log));
    sim_disk_fill(fixture->disk, (1 << 19) - 1);
    fixture->test.fake.now_ns += UINT64_C(1000000000);
    settle(fixture);
    CHECK(wal_is_out_of_room(fixture->test.log));
    sim_disk_fill(fixture->disk, 1 << 19);
    reopen(fixture);
    CHECK(wal_is_low(fixture->test.log)); /* from the start */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_folder_becomes_a_log_without_groups),
        TEST(what_a_turn_appends_is_one_write_and_one_sync),
        TEST(what_comes_during_a_flush_goes_into_the_next),
        TEST(it_is_full_while_too_much_waits),
        TEST(everything_of_a_group_comes_back),
        TEST(entries_are_replaced_and_truncated),
        TEST(a_snapshot_that_fits_keeps_what_is_behind_it),
        TEST(a_snapshot_that_does_not_fit_ends_all_entries),
        TEST(a_snapshot_fits_by_the_terms_read_back),
        TEST(a_forgotten_group_is_gone_and_may_begin_again),
        TEST(an_entry_may_be_larger_than_a_segment),
        TEST(what_a_killed_process_left_is_made_durable_first),
        TEST(segments_that_nobody_needs_go),
        TEST(a_vote_outlives_the_segment_that_it_was_in),
        TEST(a_slow_group_keeps_only_the_segments_that_it_needs),
        TEST(what_a_crash_left_of_removing_goes_at_opening),
        TEST(a_removal_that_fails_is_tried_with_the_next_batch),
        TEST(a_torn_tail_is_cut_off),
        TEST(a_bad_batch_with_a_good_one_behind_loses_all_groups),
        TEST(a_damaged_head_of_the_last_segment_loses_all_groups),
        TEST(a_missing_last_segment_loses_all_groups),
        TEST(damage_in_an_older_segment_loses_the_groups_in_it),
        TEST(a_lost_group_pins_no_segment),
        TEST(damage_of_what_is_in_a_snapshot_loses_nothing),
        TEST(a_damaged_head_of_an_older_segment_loses_nothing),
        TEST(a_missing_segment_loses_the_groups_that_need_it),
        TEST(a_shortened_segment_loses_the_groups_in_its_end),
        TEST(an_interrupted_new_segment_is_made_again),
        TEST(refuses_the_log_of_another_disk),
        TEST(refuses_a_newer_format),
        TEST(a_log_that_must_be_there_is_missed),
        TEST(other_files_in_the_folder_are_left_alone),
        TEST(a_failed_sync_stops_all),
        TEST(a_failed_write_stops_all),
        TEST(a_full_disk_stops_all),
        TEST(a_batch_fits_where_its_zeros_do_not),
        TEST(tells_when_the_disk_is_nearly_full_and_when_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
