#include "store/raft_configuration.h"
#include "tests/cluster/raft_check.h"
#include "tests/cluster/raft_harness.h"
#include "tests/support/check.h"

static void open_with(struct harness *harness, uint32_t voter_count)
{
    harness_open(harness, &(struct harness_config){.voter_count = voter_count,
                                                   .seed = 4});
    harness_elect(harness, 1);
    CHECK(harness_leader(harness) == 1);
}

static struct raft_configuration newest(struct harness *harness,
                                        uint64_t number)
{
    return *raft_newest_configuration(harness_raft(harness, number));
}

static uint32_t newest_count(struct harness *harness, uint64_t number)
{
    return newest(harness, number).count;
}

static enum err change(struct harness *harness,
                       uint64_t leader,
                       struct raft_configuration next)
{
    return harness_reconfigure(harness, leader, &next);
}

/* ---- one change at a time ---- */

static void only_one_change_is_under_way(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    struct raft_configuration next = harness_with(h.founding, 9, false);
    CHECK_ERR(change(&h, 2, next), ERR_DENIED);
    CHECK_OK(change(&h, 1, next));
    CHECK_ERR(change(&h, 1, harness_with(next, 10, false)), ERR_BUSY);
    harness_flow(&h);
    CHECK_OK(change(&h, 1, harness_with(next, 10, false)));
    harness_drop_all(&h);
    close_sound(&h);
}

/* Without this, two leaders' changes could have disjoint majorities (Ongaro,
 * raft-dev, 10 July 2015). */
static void no_change_before_the_own_first_entry_is_committed(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_heartbeat(&h, 1);
    harness_flow(&h);
    CHECK_OK(harness_transfer(&h, 1, 2));
    while (harness_role(&h, 2) != RAFT_LEADER) {
        harness_deliver_at(&h, 0);
    }
    struct raft_configuration next = harness_without(h.founding, 3);
    CHECK(raft_committed_configuration(harness_raft(&h, 2)) ==
          raft_newest_configuration(harness_raft(&h, 2)));
    CHECK_ERR(change(&h, 2, next), ERR_BUSY);
    harness_flow(&h);
    CHECK_OK(change(&h, 2, next));
    close_sound(&h);
}

static void impossible_changes_are_refused(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    struct raft_configuration two =
        harness_without(harness_without(h.founding, 2), 3);
    CHECK_ERR(change(&h, 1, two), ERR_INVALID);
    struct raft_configuration none = {.next_number = 4};
    CHECK_ERR(change(&h, 1, none), ERR_INVALID);

    struct raft_configuration shrunk = harness_without(h.founding, 3);
    CHECK_OK(change(&h, 1, shrunk));
    harness_flow(&h);
    struct raft_configuration again = harness_with(shrunk, 3, false);
    CHECK_ERR(change(&h, 1, again), ERR_INVALID); /* its number was used */
    struct raft_configuration moved = shrunk;
    moved.members[0].disk_id = 77;
    CHECK_ERR(change(&h, 1, moved), ERR_INVALID);
    struct raft_configuration forgotten = shrunk;
    forgotten.next_number = 3;
    CHECK_ERR(change(&h, 1, forgotten), ERR_INVALID);
    close_sound(&h);
}

/* Removing the last one that is alive besides the leader would be the end of
 * the group: its entry could not be committed, and nobody could lead without
 * it. */
static void a_change_that_cannot_be_committed_is_refused(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_isolate(&h, 3, true);
    harness_run(&h, HARNESS_ELECTION_MS);
    CHECK(harness_role(&h, 1) == RAFT_LEADER);
    CHECK_ERR(change(&h, 1, harness_without(h.founding, 2)), ERR_UNREACHABLE);
    CHECK_OK(change(&h, 1, harness_without(h.founding, 3)));
    harness_flow(&h);
    harness_store(&h, 1);
    CHECK(raft_committed_configuration(harness_raft(&h, 1))->count == 2);
    close_sound(&h);
}

static void no_change_during_a_transfer(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    CHECK_OK(harness_transfer(&h, 1, 2));
    CHECK_ERR(change(&h, 1, harness_without(h.founding, 3)), ERR_BUSY);
    close_sound(&h);
}

/* ---- learners ---- */

static void a_learner_gets_everything_and_is_not_counted(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    uint64_t learner = harness_add(&h);
    CHECK_OK(change(&h, 1, harness_with(h.founding, learner, false)));
    harness_flow(&h);
    harness_run(&h, 2 * HARNESS_HEARTBEAT_MS);
    CHECK(harness_commit(&h, learner) == 2);
    harness_crash(&h, 2);
    harness_crash(&h, 3);
    CHECK_OK(harness_propose(&h, 1, 7));
    harness_flow(&h);
    CHECK(raft_match_index(harness_raft(&h, 1), learner) == 3);
    CHECK(harness_commit(&h, 1) == 2);
    harness_run(&h, 4 * HARNESS_ELECTION_MS);
    CHECK(harness_leader(&h) == 0);
    CHECK(harness_role(&h, learner) == RAFT_FOLLOWER);
    close_sound(&h);
}

static void a_learner_that_hears_nobody_believes_in_no_leader(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    uint64_t learner = harness_add(&h);
    CHECK_OK(change(&h, 1, harness_with(h.founding, learner, false)));
    harness_flow(&h);
    harness_run(&h, 2 * HARNESS_HEARTBEAT_MS);
    CHECK(raft_leader(harness_raft(&h, learner)) == 1);
    harness_isolate(&h, learner, true);
    harness_run(&h, 4 * HARNESS_ELECTION_MS);
    CHECK(raft_leader(harness_raft(&h, learner)) == 0);
    harness_isolate(&h, learner, false);
    harness_run(&h, 4 * HARNESS_ELECTION_MS);
    CHECK(raft_leader(harness_raft(&h, learner)) == harness_leader(&h));
    close_sound(&h);
}

static void a_learner_is_promoted_when_it_is_caught_up(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    uint64_t learner = harness_add(&h);
    harness_isolate(&h, learner, true);
    struct raft_configuration next = harness_with(h.founding, learner, true);
    CHECK_ERR(change(&h, 1, next), ERR_BUSY); /* it is nobody yet */
    CHECK_OK(change(&h, 1, harness_with(h.founding, learner, false)));
    harness_flow(&h);
    CHECK_ERR(change(&h, 1, next), ERR_BUSY);
    harness_heal(&h);
    harness_run(&h, 2 * HARNESS_HEARTBEAT_MS);
    CHECK_OK(change(&h, 1, next));
    harness_flow(&h);
    CHECK(raft_committed_configuration(harness_raft(&h, 1))->count == 4);
    harness_crash(&h, 2);
    CHECK_OK(harness_propose(&h, 1, 7));
    harness_flow(&h);
    CHECK(harness_commit(&h, 1) == 4); /* by 1, 3 and 4 */
    close_sound(&h);
}

/* Those who join find the founders in the log: else what they would put into a
 * snapshot has no members. */
static void who_joins_knows_the_founders(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    uint64_t learner = harness_add(&h);
    CHECK_OK(harness_propose(&h, 1, 7));
    harness_flow(&h);
    CHECK_OK(change(&h, 1, harness_with(h.founding, learner, false)));
    harness_run(&h, 2 * HARNESS_HEARTBEAT_MS);
    CHECK(harness_commit(&h, learner) == 3);
    harness_compact(&h, learner, 2);
    CHECK(raft_configuration_at(harness_raft(&h, learner), 2)->count == 3);
    close_sound(&h);
}

/* ---- roll-back and restart ---- */

static void a_truncated_configuration_is_rolled_back(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_isolate(&h, 1, true);
    CHECK_OK(change(&h, 1, harness_without(h.founding, 3)));
    harness_drop_all(&h);
    CHECK(newest_count(&h, 1) == 2);
    CHECK(raft_committed_configuration(harness_raft(&h, 1))->count == 3);
    harness_wait(&h, HARNESS_ELECTION_MS);
    harness_elect(&h, 2);
    CHECK(harness_role(&h, 2) == RAFT_LEADER);
    harness_heal(&h);
    harness_run(&h, HARNESS_ELECTION_MS);
    CHECK(newest_count(&h, 1) == 3);
    CHECK(harness_leader(&h) == 2);
    close_sound(&h);
}

/* A follower may see the next change before it hears that the last one is
 * committed. */
static void a_follower_rolls_several_configurations_back(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 5);
    struct raft_configuration first = harness_with(h.founding, 9, false);
    struct raft_configuration second = harness_with(first, 10, false);
    uint8_t bytes[2][RAFT_CONFIGURATION_BYTES_MAX];
    struct raft_entry entries[2];
    const struct raft_configuration *both[] = {&first, &second};
    for (size_t i = 0; i < 2; i++) {
        struct writer writer = writer_of(bytes[i], sizeof bytes[i]);
        raft_configuration_encode(both[i], &writer);
        entries[i] = (struct raft_entry){.index = 2 + i,
                                         .term = 1,
                                         .type = RAFT_CONFIGURATION,
                                         .bytes = writer_bytes(&writer)};
    }
    struct raft *raft = harness_raft(&h, 5);
    struct raft_message append = {.kind = RAFT_APPEND,
                                  .from = 1,
                                  .to = 5,
                                  .term = 1,
                                  .index = 1,
                                  .log_term = 1,
                                  .commit = 1,
                                  .entries = entries,
                                  .entry_count = 2};
    raft_receive(raft, h.now_ns, &append);
    harness_store(&h, 5);
    harness_drop_all(&h);
    CHECK(newest_count(&h, 5) == 7);
    CHECK(raft_committed_configuration(raft)->count == 5);
    harness_crash(&h, 5); /* a restart finds both, uncommitted */
    harness_restart(&h, 5);
    raft = harness_raft(&h, 5);
    CHECK(newest_count(&h, 5) == 7);
    CHECK(raft_committed_configuration(raft)->count == 5);

    struct raft_entry other = {.index = 3, .term = 2};
    append = (struct raft_message){.kind = RAFT_APPEND,
                                   .from = 2,
                                   .to = 5,
                                   .term = 2,
                                   .index = 2,
                                   .log_term = 1,
                                   .entries = &other,
                                   .entry_count = 1};
    raft_receive(raft, h.now_ns, &append);
    CHECK(newest_count(&h, 5) == 6);
    other.index = 2;
    other.term = 3;
    append.term = 3;
    append.index = 1;
    append.from = 3;
    raft_receive(raft, h.now_ns, &append);
    CHECK(newest_count(&h, 5) == 5);
    harness_store(&h, 5);
    harness_drop_all(&h);
    close_sound(&h);
}

static void an_uncommitted_configuration_holds_after_a_restart(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_isolate(&h, 1, true);
    CHECK_OK(change(&h, 1, harness_without(h.founding, 3)));
    harness_drop_all(&h);
    harness_heal(&h);
    harness_crash(&h, 1);
    harness_restart(&h, 1);
    CHECK(newest_count(&h, 1) == 2);
    CHECK(raft_committed_configuration(harness_raft(&h, 1))->count == 3);
    harness_wait(&h, HARNESS_ELECTION_MS);
    harness_cut(&h, 1, 2, true);
    harness_elect(&h, 1); /* 3 does not count */
    CHECK(harness_role(&h, 1) != RAFT_LEADER);
    harness_heal(&h);
    harness_elect(&h, 1);
    CHECK(harness_role(&h, 1) == RAFT_LEADER);
    CHECK(raft_committed_configuration(harness_raft(&h, 1))->count == 2);
    close_sound(&h);
}

/* ---- removal ---- */

static void a_removed_replica_cannot_disturb(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 4);
    harness_isolate(&h, 4, true); /* it does not even learn of it */
    CHECK_OK(change(&h, 1, harness_without(h.founding, 4)));
    harness_flow(&h);
    uint64_t term = raft_term(harness_raft(&h, 1));
    harness_heal(&h);
    harness_run(&h, 20 * HARNESS_ELECTION_MS);
    CHECK(harness_leader(&h) == 1);
    CHECK(raft_term(harness_raft(&h, 1)) == term);
    CHECK(harness_role(&h, 4) != RAFT_LEADER);
    CHECK_OK(harness_propose(&h, 1, 7));
    harness_flow(&h);
    CHECK(harness_commit(&h, 1) == 3);
    close_sound(&h);
}

static void a_removed_replica_hears_of_it(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 4);
    CHECK_OK(change(&h, 1, harness_without(h.founding, 4)));
    harness_flow(&h);
    CHECK(newest_count(&h, 4) == 3);
    close_sound(&h);
}

static void a_leader_that_removes_itself_leads_until_that_is_committed(
    void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_isolate(&h, 3, true);
    CHECK_OK(change(&h, 1, harness_without(h.founding, 1)));
    harness_flow(&h); /* 1 and 2 have it, but only 2 counts */
    CHECK(harness_role(&h, 1) == RAFT_LEADER);
    CHECK(harness_commit(&h, 1) == 1);
    harness_heal(&h);
    harness_node_found(&h, 1, 3);
    harness_flow(&h);
    CHECK(harness_commit(&h, 1) == 2);
    CHECK(harness_role(&h, 1) == RAFT_FOLLOWER);
    harness_run(&h, 4 * HARNESS_ELECTION_MS);
    CHECK(harness_leader(&h) == 2 || harness_leader(&h) == 3);
    CHECK(harness_role(&h, 1) != RAFT_LEADER);
    close_sound(&h);
}

/* Thesis, 4.2.2: it alone has the entry, and a state, so the others need it,
 * but not its vote. */
static void one_that_is_being_removed_may_still_be_elected(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 4);
    harness_isolate(&h, 3, true);
    harness_isolate(&h, 4, true);
    CHECK_OK(change(&h, 1, harness_without(h.founding, 1)));
    harness_flow(&h);
    harness_crash(&h, 1);
    harness_crash(&h, 2);
    harness_lose_state(&h, 2); /* cannot lead */
    harness_restart(&h, 1);
    harness_restart(&h, 2);
    harness_heal(&h);
    harness_run(&h, 20 * HARNESS_ELECTION_MS);
    uint64_t leader = harness_leader(&h);
    CHECK(leader > 1);
    CHECK(raft_committed_configuration(harness_raft(&h, leader))->count == 3);
    harness_run(&h, 4 * HARNESS_ELECTION_MS);
    CHECK(harness_role(&h, 1) == RAFT_FOLLOWER); /* and now no more */
    close_sound(&h);
}

static void a_read_is_answered_when_those_asked_are_removed(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 2);
    CHECK_OK(harness_read(&h, 1));
    harness_flush(&h, 1);
    harness_drop_all(&h);
    CHECK_OK(change(&h, 1, harness_without(h.founding, 2)));
    harness_drop_all(&h);
    harness_heartbeat(&h, 1);
    CHECK(harness_commit(&h, 1) == 2);
    CHECK(harness_replica(&h, 1)->answered_count == 1);
    close_sound(&h);
}

/* Figure 10 of the paper is about switching from three voters to five at once:
 * here the two halves never have disjoint majorities. */
static void old_and_new_configuration_have_no_disjoint_majorities(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    for (uint64_t number = 4; number <= 5; number++) {
        CHECK(harness_add(&h) == number);
        CHECK_OK(change(&h, 1, harness_with(newest(&h, 1), number, false)));
        harness_run(&h, 2 * HARNESS_HEARTBEAT_MS);
    }
    struct raft_configuration four = harness_with(newest(&h, 1), 4, true);
    struct raft_configuration five = harness_with(four, 5, true);
    CHECK_ERR(change(&h, 1, five), ERR_INVALID); /* at once */
    harness_isolate(&h, 3, true);                /* knows the old one only */
    CHECK_OK(change(&h, 1, four));
    harness_flow(&h);
    CHECK_OK(change(&h, 1, five));
    harness_flow(&h);
    harness_heal(&h);
    for (uint64_t i = 1; i <= 2; i++) { /* 1, 2 and 3, 4, 5 apart */
        for (uint64_t k = 3; k <= 5; k++) {
            harness_cut(&h, i, k, true);
        }
    }
    harness_run(&h, 6 * HARNESS_ELECTION_MS);
    CHECK(harness_role(&h, 1) != RAFT_LEADER);
    CHECK(harness_role(&h, 2) != RAFT_LEADER);
    CHECK(harness_leader(&h) >= 4);
    close_sound(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_one_change_is_under_way),
        cmocka_unit_test(no_change_before_the_own_first_entry_is_committed),
        cmocka_unit_test(impossible_changes_are_refused),
        cmocka_unit_test(a_change_that_cannot_be_committed_is_refused),
        cmocka_unit_test(no_change_during_a_transfer),
        cmocka_unit_test(a_learner_gets_everything_and_is_not_counted),
        cmocka_unit_test(a_learner_that_hears_nobody_believes_in_no_leader),
        cmocka_unit_test(a_learner_is_promoted_when_it_is_caught_up),
        cmocka_unit_test(who_joins_knows_the_founders),
        cmocka_unit_test(a_truncated_configuration_is_rolled_back),
        cmocka_unit_test(a_follower_rolls_several_configurations_back),
        cmocka_unit_test(an_uncommitted_configuration_holds_after_a_restart),
        cmocka_unit_test(a_removed_replica_cannot_disturb),
        cmocka_unit_test(a_removed_replica_hears_of_it),
        cmocka_unit_test(
            a_leader_that_removes_itself_leads_until_that_is_committed),
        cmocka_unit_test(one_that_is_being_removed_may_still_be_elected),
        cmocka_unit_test(a_read_is_answered_when_those_asked_are_removed),
        cmocka_unit_test(old_and_new_configuration_have_no_disjoint_majorities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
