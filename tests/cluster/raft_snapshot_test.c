#include "store/raft_configuration.h"
#include "tests/cluster/raft_check.h"
#include "tests/cluster/raft_harness.h"
#include "tests/support/check.h"

/* Three of whom 1 leads, and 3 lacks entries which 1 has not any more. */
static void open_with_one_behind(struct harness *harness, bool is_manual)
{
    harness_open(harness,
                 &(struct harness_config){.voter_count = 3,
                                          .seed = 3,
                                          .is_snapshot_manual = is_manual});
    harness_elect(harness, 1);
    harness_heartbeat(harness, 1);
    harness_flow(harness);
    harness_isolate(harness, 3, true);
    for (uint64_t i = 0; i < 10; i++) {
        CHECK_OK(harness_propose(harness, 1, i));
        harness_flow(harness);
    }
    harness_compact(harness, 1, 9);
    harness_heal(harness);
}

/* 1 learns that 3 needs a snapshot, and sends it. */
static void send_snapshot(struct harness *harness)
{
    harness_node_found(harness, 1, 3);
    harness_flow(harness);
    CHECK(harness_replica(harness, 1)->wanted_count > 0);
    harness_send_snapshot(harness, 1, 3);
    CHECK(harness_deliver(harness, (struct like){1, 3, RAFT_SNAPSHOT}));
    CHECK(harness_replica(harness, 3)->installing);
}

static void one_that_is_far_behind_gets_a_snapshot(void **state)
{
    (void)state;
    struct harness h;
    open_with_one_behind(&h, false);
    harness_run(&h, 2 * HARNESS_ELECTION_MS);
    CHECK(harness_leader(&h) == 1);
    CHECK(raft_snapshot_index(harness_raft(&h, 3)) == 9);
    CHECK(harness_commit(&h, 3) == 11);
    CHECK(harness_replica(&h, 3)->applied == 11);
    harness_crash(&h, 3);
    harness_restart(&h, 3);
    CHECK(harness_commit(&h, 3) == 9);
    CHECK(harness_last(&h, 3) == 11);
    close_sound(&h);
}

static void a_lost_answer_to_a_snapshot_does_not_stop_the_log(void **state)
{
    (void)state;
    struct harness h;
    open_with_one_behind(&h, true);
    send_snapshot(&h);
    CHECK(harness_install(&h, 3));
    harness_drop(&h, (struct like){3, 1, HARNESS_ANY});
    harness_heartbeat(&h, 1);
    harness_flow(&h);
    CHECK(raft_match_index(harness_raft(&h, 1), 3) == 11);
    close_sound(&h);
}

static void a_snapshot_is_acknowledged_when_it_is_durable(void **state)
{
    (void)state;
    struct harness h;
    open_with_one_behind(&h, true);
    send_snapshot(&h);
    harness_replica(&h, 3)->is_disk_slow = true;
    CHECK(harness_install(&h, 3));
    CHECK(harness_commit(&h, 3) == 9);
    harness_heartbeat(&h, 1);
    harness_send_snapshot(&h, 1, 3);
    harness_flow(&h);
    CHECK(raft_match_index(harness_raft(&h, 1), 3) == 1);
    CHECK(raft_stable_index(harness_raft(&h, 3)) == 0);
    harness_store(&h, 3);
    harness_flow(&h);
    CHECK(raft_match_index(harness_raft(&h, 1), 3) >= 9);
    close_sound(&h);
}

static void the_newest_entries_are_kept_for_slow_followers(void **state)
{
    (void)state;
    struct harness h;
    harness_open(&h, &(struct harness_config){
                         .voter_count = 3, .keep_bytes = 1000, .seed = 3});
    harness_elect(&h, 1);
    harness_isolate(&h, 3, true);
    for (uint64_t i = 0; i < 100; i++) {
        CHECK_OK(harness_propose(&h, 1, i));
        harness_flow(&h);
    }
    harness_compact(&h, 1, 101);
    struct raft *raft = harness_raft(&h, 1);
    CHECK(raft_log_bytes(raft) > 0 && raft_log_bytes(raft) <= 1000);
    CHECK(raft_entry_at(raft, 101));
    CHECK(!raft_entry_at(raft, 50));
    CHECK(raft_last_index(raft) == 101);
    harness_heal(&h);
    harness_run(&h, 2 * HARNESS_ELECTION_MS);
    CHECK(raft_snapshot_index(harness_raft(&h, 3)) == 101);

    /* One that is only a little behind needs none. */
    harness_isolate(&h, 3, true);
    uint64_t leader = harness_leader(&h);
    for (uint64_t i = 0; i < 5; i++) {
        CHECK_OK(harness_propose(&h, leader, i));
        harness_flow(&h);
    }
    uint64_t wanted = harness_replica(&h, leader)->wanted_count;
    harness_compact(&h, leader, harness_commit(&h, leader));
    harness_heal(&h);
    harness_run(&h, 2 * HARNESS_ELECTION_MS);
    CHECK(harness_replica(&h, leader)->wanted_count == wanted);
    CHECK(harness_commit(&h, 3) == harness_commit(&h, leader));
    close_sound(&h);
}

/* Entries without bytes take memory, too. */
static void empty_entries_count_for_what_is_kept(void **state)
{
    (void)state;
    struct harness h;
    harness_open(&h, &(struct harness_config){
                         .voter_count = 2, .keep_bytes = 1000, .seed = 3});
    harness_elect(&h, 1);
    for (uint64_t i = 0; i < 100; i++) { /* each leaves an empty entry */
        CHECK_OK(harness_transfer(&h, 1 + i % 2, 2 - i % 2));
        harness_flow(&h);
    }
    CHECK(harness_leader(&h) == 1);
    harness_compact(&h, 1, harness_commit(&h, 1));
    CHECK(raft_log_bytes(harness_raft(&h, 1)) <= 1000);
    CHECK(!raft_entry_at(harness_raft(&h, 1), 50));
    close_sound(&h);
}

static void a_snapshot_keeps_what_follows_it_if_that_matches(void **state)
{
    (void)state;
    struct harness h;
    harness_open(&h, &(struct harness_config){.voter_count = 3, .seed = 3});
    harness_elect(&h, 1);
    for (uint64_t i = 0; i < 4; i++) {
        CHECK_OK(harness_propose(&h, 1, i));
    }
    harness_flow(&h);
    struct raft *raft = harness_raft(&h, 3);
    CHECK(raft_commit_index(raft) < 4 && raft_last_index(raft) == 5);
    harness_compact(&h, 1, 4);
    harness_send_snapshot(&h, 1, 3);
    harness_flow(&h);
    CHECK(raft_snapshot_index(raft) == 4);
    CHECK(raft_last_index(raft) == 5);
    CHECK(raft_stable_index(raft) == 5);
    harness_crash(&h, 3);
    harness_restart(&h, 3);
    CHECK(harness_last(&h, 3) == 5);
    close_sound(&h);
}

static void a_snapshot_replaces_a_log_that_does_not_match(void **state)
{
    (void)state;
    struct harness h;
    harness_open(&h, &(struct harness_config){.voter_count = 3, .seed = 3});
    static const char *const logs[] = {"133333", "133333", "12222222"};
    for (uint64_t i = 1; i <= 3; i++) {
        harness_crash(&h, i);
        harness_write_log(&h, i, logs[i - 1], 3);
    }
    harness_isolate(&h, 3, true);
    harness_elect(&h, 1);
    harness_compact(&h, 1, 5);
    harness_heal(&h);
    struct replica *replica = harness_replica(&h, 3);
    replica->is_disk_slow = true;
    harness_heartbeat(&h, 1); /* makes 3 its follower */
    CHECK(harness_deliver(&h, (struct like){1, 3, RAFT_HEARTBEAT}));
    harness_send_snapshot(&h, 1, 3);
    CHECK(harness_deliver(&h, (struct like){1, 3, RAFT_SNAPSHOT}));
    CHECK(harness_last(&h, 3) == 5);
    CHECK(raft_stable_index(replica->raft) == 0);
    replica->is_disk_slow = false;
    harness_run(&h, 2 * HARNESS_HEARTBEAT_MS);
    harness_crash(&h, 3);
    harness_restart(&h, 3);
    CHECK(harness_last(&h, 3) == 7);
    CHECK(harness_term_at(&h, 3, 6) == 3);
    close_sound(&h);
}

/* What was being written when a snapshot replaced the log is stored behind
 * that: it says nothing about the new one. */
static void writes_of_a_replaced_log_are_no_promise(void **state)
{
    (void)state;
    struct harness h;
    open_with_one_behind(&h, true);
    send_snapshot(&h);
    struct replica *replica = harness_replica(&h, 3);
    replica->is_disk_slow = true;
    struct raft_entry entry = {.index = 2, .term = 2}; /* of another leader */
    raft_receive(replica->raft, h.now_ns,
                 &(struct raft_message){.kind = RAFT_APPEND,
                                        .from = 2,
                                        .to = 3,
                                        .term = 2,
                                        .index = 1,
                                        .log_term = 1,
                                        .entries = &entry,
                                        .entry_count = 1});
    uint64_t old_records = replica->record_count;
    CHECK(harness_last(&h, 3) == 2);
    CHECK(harness_install(&h, 3)); /* though the leader changed meanwhile */
    CHECK(harness_last(&h, 3) == 9);
    harness_store_to(&h, 3, old_records);
    CHECK(raft_stable_index(replica->raft) == 0);
    harness_store(&h, 3);
    CHECK(raft_stable_index(replica->raft) == 9);
    close_sound(&h);
}

static void a_candidacy_meanwhile_does_not_hurt_a_snapshot(void **state)
{
    (void)state;
    struct harness h;
    open_with_one_behind(&h, true);
    send_snapshot(&h);
    harness_isolate(&h, 3, true);
    harness_wait(&h, 2 * HARNESS_ELECTION_MS);
    harness_tick(&h, 3);
    CHECK(harness_role(&h, 3) == RAFT_PRE_CANDIDATE);
    CHECK(harness_install(&h, 3));
    CHECK(harness_role(&h, 3) == RAFT_FOLLOWER);
    CHECK(harness_commit(&h, 3) == 9);
    harness_heal(&h);
    h.config.is_snapshot_manual = false;
    harness_run(&h, 4 * HARNESS_ELECTION_MS);
    CHECK(harness_commit(&h, 3) >= 11);
    close_sound(&h);
}

static void an_old_snapshot_changes_nothing(void **state)
{
    (void)state;
    struct harness h;
    open_with_one_behind(&h, false);
    harness_run(&h, HARNESS_ELECTION_MS);
    struct raft *raft = harness_raft(&h, 3);
    CHECK(raft_commit_index(raft) == 11);
    CHECK(!raft_install(raft, h.now_ns, 9, 1, &h.founding));
    CHECK(!raft_install(raft, h.now_ns, 11, 1, &h.founding));
    CHECK(raft_last_index(raft) == 11);
    raft_compact(raft, 5); /* one that was begun before the install */
    CHECK(raft_snapshot_index(raft) == 9);
    close_sound(&h);
}

/* ---- one whose applied state is gone ---- */

static void without_state_it_votes_and_acknowledges_but_does_not_lead(
    void **state)
{
    (void)state;
    struct harness h;
    harness_open(&h, &(struct harness_config){.voter_count = 3,
                                              .seed = 3,
                                              .is_snapshot_manual = true});
    harness_elect(&h, 1);
    CHECK_OK(harness_propose(&h, 1, 7));
    harness_flow(&h);
    harness_crash(&h, 3);
    harness_crash(&h, 2);
    harness_lose_state(&h, 3);
    harness_restart(&h, 3);
    CHECK_OK(harness_propose(&h, 1, 8));
    harness_run(&h, 2 * HARNESS_HEARTBEAT_MS);
    CHECK(harness_commit(&h, 1) == 3); /* by 1 and 3 */
    CHECK(harness_replica(&h, 3)->applied == 0);
    CHECK(harness_replica(&h, 1)->wanted_count > 0);
    CHECK_OK(harness_transfer(&h, 1, 3));
    harness_flow(&h);
    CHECK(harness_role(&h, 3) == RAFT_FOLLOWER);
    harness_crash(&h, 1);
    harness_restart(&h, 1);
    harness_run(&h, 4 * HARNESS_ELECTION_MS);
    CHECK(harness_leader(&h) == 1); /* by the vote of 3 */
    h.config.is_snapshot_manual = false;
    harness_run(&h, HARNESS_ELECTION_MS);
    CHECK(!harness_replica(&h, 3)->is_state_lost);
    CHECK(harness_replica(&h, 3)->applied == harness_commit(&h, 1));
    close_sound(&h);
}

/* Its log is the longer one, and the other voter's vote is needed. */
static void who_alone_can_win_without_state_leads_to_hand_over(void **state)
{
    (void)state;
    struct harness h;
    harness_open(&h, &(struct harness_config){.voter_count = 2, .seed = 3});
    harness_elect(&h, 1);
    CHECK_OK(harness_propose(&h, 1, 7));
    harness_flow(&h);
    harness_crash(&h, 2);
    CHECK_OK(harness_propose(&h, 1, 8)); /* which 2 does not have */
    harness_store(&h, 1);
    harness_crash(&h, 1);
    harness_drop(&h, (struct like){0, 0, HARNESS_ANY});
    harness_lose_state(&h, 1);
    harness_restart(&h, 1);
    harness_restart(&h, 2);
    uint64_t last = harness_last(&h, 1);
    CHECK(last > harness_last(&h, 2));
    uint64_t term = raft_term(harness_raft(&h, 1));
    harness_run(&h, 8 * HARNESS_ELECTION_MS);
    bool has_led = false;
    for (uint64_t i = term + 1; i < h.leader_count; i++) {
        has_led = has_led || h.leaders[i] == 1;
    }
    CHECK(has_led);
    CHECK(harness_leader(&h) == 2);
    CHECK(harness_commit(&h, 2) > last);
    CHECK(!harness_replica(&h, 1)->is_state_lost);
    CHECK_OK(harness_propose(&h, 2, 9));
    harness_run(&h, 3 * HARNESS_HEARTBEAT_MS);
    CHECK(harness_replica(&h, 1)->applied == harness_last(&h, 2));
    close_sound(&h);
}

static void who_has_no_state_lets_others_stand_first(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct harness h;
        harness_open(&h,
                     &(struct harness_config){.voter_count = 3, .seed = seed});
        harness_elect(&h, 1);
        CHECK_OK(harness_propose(&h, 1, 7));
        harness_run(&h, HARNESS_HEARTBEAT_MS);
        harness_crash(&h, 1);
        harness_crash(&h, 3);
        harness_lose_state(&h, 3);
        harness_restart(&h, 3);
        for (uint32_t i = 0; i < 8 * HARNESS_ELECTION_MS / HARNESS_TICK_MS;
             i++) {
            harness_run(&h, HARNESS_TICK_MS);
            CHECK(harness_role(&h, 3) != RAFT_LEADER);
        }
        CHECK(harness_leader(&h) == 2);
        close_sound(&h);
    }
}

static void a_lost_probe_is_repeated_to_one_without_state(void **state)
{
    (void)state;
    struct harness h;
    harness_open(&h, &(struct harness_config){.voter_count = 2,
                                              .seed = 3,
                                              .is_snapshot_manual = true});
    harness_elect(&h, 1);
    harness_crash(&h, 2);
    harness_lose_state(&h, 2);
    harness_restart(&h, 2);
    harness_heartbeat(&h, 1);
    harness_flow(&h); /* now 1 knows */
    harness_node_found(&h, 1, 2);
    harness_drop(&h, (struct like){0, 0, HARNESS_ANY});
    CHECK_OK(harness_propose(&h, 1, 7));
    harness_run(&h, 2 * HARNESS_HEARTBEAT_MS + HARNESS_TICK_MS);
    CHECK(harness_commit(&h, 1) == 2);
    close_sound(&h);
}

/* ---- configurations ---- */

static void a_snapshot_has_the_configuration_of_its_index(void **state)
{
    (void)state;
    struct harness h;
    harness_open(&h, &(struct harness_config){.voter_count = 3, .seed = 3});
    harness_elect(&h, 1);
    uint64_t learner = harness_add(&h);
    struct raft_configuration next = harness_with(h.founding, learner, false);
    harness_isolate(&h, 1, true);
    CHECK_OK(harness_reconfigure(&h, 1, &next)); /* is not committed */
    harness_flow(&h);
    harness_compact(&h, 1, 1);
    const struct replica *replica = harness_replica(&h, 1);
    const struct wal_record *record =
        &replica->records[replica->record_count - 1];
    struct raft_configuration written;
    CHECK(record->kind == WAL_SNAPSHOT);
    CHECK_OK(raft_configuration_decode(&written, record->bytes));
    CHECK(written.count == 3);
    CHECK(raft_newest_configuration(replica->raft)->count == 4);
    CHECK(raft_committed_configuration(replica->raft)->count == 3);
    close_sound(&h);
}

static void an_uncommitted_configuration_is_rolled_back_after_compaction(
    void **state)
{
    (void)state;
    struct harness h;
    harness_open(&h, &(struct harness_config){.voter_count = 3, .seed = 3});
    harness_elect(&h, 1);
    harness_isolate(&h, 1, true);
    struct raft_configuration next = harness_with(h.founding, 9, false);
    CHECK_OK(harness_reconfigure(&h, 1, &next));
    harness_compact(&h, 1, 1);
    harness_drop(&h, (struct like){0, 0, HARNESS_ANY});
    harness_crash(&h, 1);
    harness_restart(&h, 1);
    CHECK(raft_newest_configuration(harness_raft(&h, 1))->count == 4);
    CHECK(raft_committed_configuration(harness_raft(&h, 1))->count == 3);
    harness_wait(&h, HARNESS_ELECTION_MS);
    harness_elect(&h, 2);
    CHECK(harness_leader(&h) == 2);
    harness_heal(&h);
    harness_run(&h, 2 * HARNESS_ELECTION_MS);
    CHECK(raft_newest_configuration(harness_raft(&h, 1))->count == 3);
    close_sound(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_is_far_behind_gets_a_snapshot),
        cmocka_unit_test(a_lost_answer_to_a_snapshot_does_not_stop_the_log),
        cmocka_unit_test(a_snapshot_is_acknowledged_when_it_is_durable),
        cmocka_unit_test(the_newest_entries_are_kept_for_slow_followers),
        cmocka_unit_test(empty_entries_count_for_what_is_kept),
        cmocka_unit_test(a_snapshot_keeps_what_follows_it_if_that_matches),
        cmocka_unit_test(a_snapshot_replaces_a_log_that_does_not_match),
        cmocka_unit_test(writes_of_a_replaced_log_are_no_promise),
        cmocka_unit_test(a_candidacy_meanwhile_does_not_hurt_a_snapshot),
        cmocka_unit_test(an_old_snapshot_changes_nothing),
        cmocka_unit_test(
            without_state_it_votes_and_acknowledges_but_does_not_lead),
        cmocka_unit_test(who_alone_can_win_without_state_leads_to_hand_over),
        cmocka_unit_test(who_has_no_state_lets_others_stand_first),
        cmocka_unit_test(a_lost_probe_is_repeated_to_one_without_state),
        cmocka_unit_test(a_snapshot_has_the_configuration_of_its_index),
        cmocka_unit_test(
            an_uncommitted_configuration_is_rolled_back_after_compaction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
