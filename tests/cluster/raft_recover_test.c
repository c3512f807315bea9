#include "cluster/raft.h"
#include "store/raft_configuration.h"
#include "tests/support/check.h"
#include "tests/support/seeded.h"

#include <stdlib.h>
#include <string.h>

#define MS UINT64_C(1000000)
#define ELECTION_MS 500
#define RECORDS_MAX 64
#define ENTRY_BYTES_MAX 256

/* A record of the log, with what it points to. */
struct record {
    struct wal_record record;
    uint8_t bytes[ENTRY_BYTES_MAX];
};

/*
 * Replica 1 of a group of three, whose other two are gone for good. Its disk is
 * in the test's hands.
 */
struct survivor {
    struct raft *raft;
    struct seeded seeded;
    struct entropy entropy;
    uint64_t now_ns;
    struct record records[RECORDS_MAX];
    uint64_t record_count;
    uint64_t durable_count;
    uint32_t sent_count;
    struct raft_message sent; /* the last one */
};

static const struct raft_member members[] = {
    {.number = 1, .node = 0, .disk_id = 11, .is_voter = true},
    {.number = 2, .node = 1, .disk_id = 12, .is_voter = true},
    {.number = 3, .node = 2, .disk_id = 13, .is_voter = true},
};

static struct raft_member self_of(uint32_t generation)
{
    return (struct raft_member){
        .number = raft_generation_first(generation), .node = 0, .disk_id = 11};
}

/* ---- effects ---- */

static void on_send(void *context, const struct raft_message *message)
{
    struct survivor *survivor = context;
    survivor->sent_count++;
    survivor->sent = *message;
}

static uint64_t on_save(void *context, const struct wal_record *record)
{
    struct survivor *survivor = context;
    CHECK(survivor->record_count < RECORDS_MAX);
    CHECK(record->bytes.length <= ENTRY_BYTES_MAX);
    struct record *to = &survivor->records[survivor->record_count++];
    to->record = *record;
    if (record->bytes.length > 0) {
        memcpy(to->bytes, record->bytes.data, record->bytes.length);
    }
    to->record.bytes = bytes_of(to->bytes, record->bytes.length);
    return survivor->record_count;
}

static void on_change(void *context)
{
    (void)context;
}

static void on_number(void *context, uint64_t number)
{
    (void)context;
    (void)number;
}

/* ---- life ---- */

/* With the first `count` records of its log; the others are lost. */
static void restart(struct survivor *survivor, uint64_t number, uint64_t count)
{
    struct raft_configuration founding = {.next_number = 4, .count = 3};
    struct raft_past past = {.configuration = &founding};
    memcpy(founding.members, members, sizeof members);
    raft_close(&survivor->raft);
    survivor->record_count = count;
    survivor->durable_count = count;
    for (uint64_t i = 0; i < count; i++) {
        const struct wal_record *record = &survivor->records[i].record;
        if (record->kind == WAL_VOTE) {
            past.term = record->term;
            past.vote = record->vote;
        }
    }
    struct raft_config config = {
        .number = number,
        .entropy = &survivor->entropy,
        .effects = {.context = survivor,
                    .send = on_send,
                    .save = on_save,
                    .on_change = on_change,
                    .on_read_ready = on_number,
                    .on_snapshot_wanted = on_number},
        .election_ns = ELECTION_MS * MS,
        .heartbeat_ns = 100 * MS,
        .inflight_count_max = 4,
        .append_bytes_max = 1024,
    };
    CHECK_OK(raft_open(&survivor->raft, &config, &past));
    for (uint64_t i = 0; i < count; i++) {
        const struct wal_record *record = &survivor->records[i].record;
        if (record->kind == WAL_ENTRY) {
            CHECK_OK(raft_restore(
                survivor->raft,
                &(struct raft_entry){.index = record->index,
                                     .term = record->term,
                                     .type = (enum raft_entry_type)record->type,
                                     .bytes = record->bytes}));
        }
    }
    raft_start(survivor->raft, survivor->now_ns);
}

static void store(struct survivor *survivor)
{
    while (survivor->durable_count < survivor->record_count) {
        survivor->durable_count = survivor->record_count;
        raft_stored(survivor->raft, survivor->now_ns, survivor->durable_count);
    }
}

/* With ticks; the disk keeps up. */
static void run_ms(struct survivor *survivor, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 25) {
        survivor->now_ns += 25 * MS;
        raft_tick(survivor->raft, survivor->now_ns);
        store(survivor);
    }
}

static void receive(struct survivor *survivor, struct raft_message message)
{
    raft_receive(survivor->raft, survivor->now_ns, &message);
}

/* Replica 2 has led in term 5, and gave it two entries. */
static void open_survivor(struct survivor *survivor)
{
    const struct raft_entry entries[] = {
        {.index = 1, .term = 5, .type = RAFT_NOTHING},
        {.index = 2,
         .term = 5,
         .type = RAFT_COMMANDS,
         .bytes = bytes_of_text("told")},
    };
    *survivor = (struct survivor){.now_ns = MS, .seeded = {.state = 9}};
    survivor->entropy = seeded_entropy(&survivor->seeded);
    restart(survivor, 1, 0);
    receive(survivor, (struct raft_message){.kind = RAFT_APPEND,
                                            .from = 2,
                                            .to = 1,
                                            .term = 5,
                                            .commit = 1,
                                            .entries = entries,
                                            .entry_count = 2});
    store(survivor);
    CHECK(raft_commit_index(survivor->raft) == 1);
}

static void lose_the_others(struct survivor *survivor)
{
    run_ms(survivor, 4 * ELECTION_MS);
    CHECK(raft_role(survivor->raft) != RAFT_LEADER);
    CHECK(raft_leader(survivor->raft) == 0);
}

static enum err take_over(struct survivor *survivor, uint32_t generation)
{
    struct raft_member self = self_of(generation);
    return raft_take_over(survivor->raft, survivor->now_ns, &self);
}

static int set_up(void **state)
{
    struct survivor *survivor = malloc(sizeof *survivor);
    CHECK(survivor);
    open_survivor(survivor);
    *state = survivor;
    return 0;
}

static int set_up_alone(void **state)
{
    (void)set_up(state);
    lose_the_others(*state);
    return 0;
}

static int tear_down(void **state)
{
    struct survivor *survivor = *state;
    raft_close(&survivor->raft);
    free(survivor);
    return 0;
}

/* ---- taking over ---- */

static void the_survivor_leads_alone_with_all_it_has(void **state)
{
    struct survivor *survivor = *state;
    uint64_t term = raft_term(survivor->raft);
    CHECK_OK(take_over(survivor, 1));
    run_ms(survivor, 100);
    const struct raft *raft = survivor->raft;
    CHECK(raft_is_settled(raft));
    CHECK(raft_number(raft) == raft_generation_first(1));
    CHECK(raft_term(raft) > term + 1);
    CHECK(raft_commit_index(raft) == 4); /* the members, and its own first */
    CHECK(
        bytes_are_equal(raft_entry_at(raft, 2)->bytes, bytes_of_text("told")));
    const struct raft_configuration *alone = raft_committed_configuration(raft);
    CHECK(alone->count == 1 && alone->members[0].is_voter);
    CHECK(alone->members[0].node == 0 && alone->members[0].disk_id == 11);
    CHECK(alone->next_number == raft_generation_first(1) + 1);
}

static void it_does_not_lead_before_that_is_durable(void **state)
{
    struct survivor *survivor = *state;
    uint32_t sent_count = survivor->sent_count;
    CHECK_OK(take_over(survivor, 1));
    for (uint32_t i = 0; i < 100; i++) {
        survivor->now_ns += 25 * MS;
        raft_tick(survivor->raft, survivor->now_ns);
        CHECK(raft_role(survivor->raft) != RAFT_LEADER);
    }
    CHECK(survivor->sent_count == sent_count);
    run_ms(survivor, 100);
    CHECK(raft_role(survivor->raft) == RAFT_LEADER);
}

static void it_takes_in_others_as_any_leader_does(void **state)
{
    struct survivor *survivor = *state;
    CHECK_OK(take_over(survivor, 1));
    run_ms(survivor, 100);
    struct raft_configuration next = *raft_newest_configuration(survivor->raft);
    next.members[next.count++] =
        (struct raft_member){.number = next.next_number++, .node = 5};
    CHECK_OK(raft_reconfigure(survivor->raft, survivor->now_ns, &next));
    CHECK(survivor->sent.kind == RAFT_APPEND);
    CHECK(survivor->sent.to == raft_generation_first(1) + 1);
}

static void those_of_an_older_generation_are_not_heard(void **state)
{
    struct survivor *survivor = *state;
    CHECK_OK(take_over(survivor, 1));
    run_ms(survivor, 100);
    uint64_t term = raft_term(survivor->raft);
    for (uint32_t kind = 0; kind < RAFT_MESSAGE_KIND_COUNT; kind++) {
        receive(survivor,
                (struct raft_message){.kind = (enum raft_message_kind)kind,
                                      .from = 2,
                                      .to = 1,
                                      .term = term + 7});
        receive(survivor,
                (struct raft_message){.kind = (enum raft_message_kind)kind,
                                      .from = 2,
                                      .to = raft_generation_first(1),
                                      .term = term + 7});
    }
    CHECK(raft_role(survivor->raft) == RAFT_LEADER);
    CHECK(raft_term(survivor->raft) == term);
}

/* Whatever of it is on the disk: it is whole, or the replica is nobody until it
 * takes over again. */
static void a_crash_amid_it_leaves_nobody_who_votes(void **state)
{
    struct survivor *survivor = *state;
    uint64_t before = survivor->record_count;
    CHECK_OK(take_over(survivor, 1));
    uint64_t end = survivor->record_count;
    struct survivor copy = *survivor;
    CHECK(end - before == 3);
    CHECK(survivor->records[before].record.kind == WAL_SNAPSHOT);
    for (uint64_t count = before + 1; count <= end; count++) {
        memcpy(survivor->records, copy.records, sizeof copy.records);
        for (uint64_t i = 0; i < end; i++) {
            survivor->records[i].record.bytes.data = survivor->records[i].bytes;
        }
        restart(survivor, raft_generation_first(1), count);
        uint32_t sent_count = survivor->sent_count;
        run_ms(survivor, 4 * ELECTION_MS);
        bool is_whole = count == end;
        CHECK((raft_role(survivor->raft) == RAFT_LEADER) == is_whole);
        CHECK(survivor->sent_count == sent_count);
        if (!is_whole) {
            CHECK_OK(take_over(survivor, 1));
            run_ms(survivor, 100);
        }
        CHECK(raft_is_settled(survivor->raft));
    }
}

/* ---- not taking over ---- */

static void nobody_takes_over_beside_a_leader(void **state)
{
    struct survivor *survivor = *state;
    CHECK_ERR(take_over(survivor, 1), ERR_BUSY);
    CHECK(raft_number(survivor->raft) == 1);
    lose_the_others(survivor);
    CHECK_OK(take_over(survivor, 1));
    CHECK_ERR(take_over(survivor, 2), ERR_BUSY); /* it is being written */
    run_ms(survivor, 100);
    CHECK_ERR(take_over(survivor, 2), ERR_BUSY); /* it leads */
}

static void a_number_that_may_have_been_used_is_refused(void **state)
{
    struct survivor *survivor = *state;
    uint64_t record_count = survivor->record_count;
    struct raft_member self = self_of(0);
    const uint64_t numbers[] = {1, 2, 4, 1000};
    for (uint32_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        self.number = numbers[i];
        CHECK_ERR(raft_take_over(survivor->raft, survivor->now_ns, &self),
                  ERR_INVALID);
    }
    CHECK(survivor->record_count == record_count);
    CHECK(raft_number(survivor->raft) == 1);
}

static void who_lost_its_state_does_not_take_over(void **state)
{
    struct survivor *survivor = *state;
    raft_needs_snapshot(survivor->raft, true);
    CHECK_ERR(take_over(survivor, 1), ERR_NOT_FOUND);
}

/* ---- retiring ---- */

static void who_has_retired_is_silent(void **state)
{
    struct survivor *survivor = *state;
    raft_retire(survivor->raft, survivor->now_ns);
    CHECK(raft_leader(survivor->raft) == 0);
    uint32_t sent_count = survivor->sent_count;
    for (uint32_t kind = 0; kind < RAFT_MESSAGE_KIND_COUNT; kind++) {
        receive(survivor,
                (struct raft_message){.kind = (enum raft_message_kind)kind,
                                      .from = 2,
                                      .to = 1,
                                      .index = 2,
                                      .log_term = 5,
                                      .term = 6});
        run_ms(survivor, 2 * ELECTION_MS);
    }
    CHECK(survivor->sent_count == sent_count);
    CHECK(raft_term(survivor->raft) == 5);
}

static void who_has_retired_may_take_over_later(void **state)
{
    struct survivor *survivor = *state;
    raft_retire(survivor->raft, survivor->now_ns);
    CHECK_OK(take_over(survivor, 2));
    run_ms(survivor, 100);
    CHECK(raft_is_settled(survivor->raft) && !raft_is_retired(survivor->raft));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define ALONE(name) \
    cmocka_unit_test_setup_teardown(name, set_up_alone, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE(the_survivor_leads_alone_with_all_it_has),
        ALONE(it_does_not_lead_before_that_is_durable),
        ALONE(it_takes_in_others_as_any_leader_does),
        ALONE(those_of_an_older_generation_are_not_heard),
        ALONE(a_crash_amid_it_leaves_nobody_who_votes),
        TEST(nobody_takes_over_beside_a_leader),
        ALONE(a_number_that_may_have_been_used_is_refused),
        ALONE(who_lost_its_state_does_not_take_over),
        TEST(who_has_retired_is_silent),
        TEST(who_has_retired_may_take_over_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
