#include "tests/cluster/raft_check.h"
#include "tests/cluster/raft_harness.h"
#include "tests/support/check.h"

static void open_with(struct harness *harness, uint32_t voter_count)
{
    harness_open(harness, &(struct harness_config){.voter_count = voter_count,
                                                   .seed = 1});
}

/* ---- elections ---- */

static void one_alone_leads_and_commits(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 1);
    harness_run(&h, 3 * HARNESS_ELECTION_MS);
    CHECK(harness_leader(&h) == 1);
    CHECK_OK(harness_propose(&h, 1, 7));
    CHECK(harness_commit(&h, 1) == 2);
    CHECK_OK(harness_read(&h, 1));
    harness_flush(&h, 1);
    CHECK(harness_replica(&h, 1)->answered_count == 1);
    close_sound(&h);
}

static void three_elect_a_leader_by_themselves(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_run(&h, 4 * HARNESS_ELECTION_MS);
    uint64_t leader = harness_leader(&h);
    CHECK(leader != 0);
    CHECK_OK(harness_propose(&h, leader, 7));
    harness_run(&h, 2 * HARNESS_HEARTBEAT_MS);
    for (uint64_t i = 1; i <= 3; i++) {
        CHECK(harness_commit(&h, i) == 2);
        CHECK(raft_leader(harness_raft(&h, i)) == leader);
    }
    close_sound(&h);
}

static void a_leader_that_is_heard_stays(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    uint64_t term = raft_term(harness_raft(&h, 1));
    harness_run(&h, 20 * HARNESS_ELECTION_MS);
    CHECK(harness_leader(&h) == 1);
    CHECK(raft_term(harness_raft(&h, 1)) == term);
    close_sound(&h);
}

static void a_new_leader_appends_nothing_of_its_term(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 2);
    const struct raft_entry *entry = raft_entry_at(harness_raft(&h, 2), 1);
    CHECK(entry && entry->type == RAFT_CONFIGURATION); /* the founders */
    CHECK_OK(harness_transfer(&h, 2, 1));
    harness_flow(&h);
    CHECK(harness_leader(&h) == 1);
    entry = raft_entry_at(harness_raft(&h, 1), 2);
    CHECK(entry && entry->type == RAFT_NOTHING);
    CHECK(entry->term == raft_term(harness_raft(&h, 1)));
    CHECK(raft_is_settled(harness_raft(&h, 1)));
    close_sound(&h);
}

/* ---- pre-vote and check-quorum ---- */

static void pre_vote_raises_no_term(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    uint64_t term = raft_term(harness_raft(&h, 1));
    harness_isolate(&h, 3, true);
    harness_run(&h, 20 * HARNESS_ELECTION_MS);
    CHECK(harness_role(&h, 3) == RAFT_PRE_CANDIDATE);
    CHECK(raft_term(harness_raft(&h, 3)) == term);
    harness_heal(&h);
    harness_run(&h, 4 * HARNESS_ELECTION_MS);
    CHECK(harness_leader(&h) == 1);
    CHECK(raft_term(harness_raft(&h, 1)) == term);
    close_sound(&h);
}

static void pre_vote_is_refused_while_the_leader_is_heard(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    harness_campaign(&h, 3);
    CHECK(harness_count(&h, (struct like){3, 2, RAFT_PRE_VOTE}) == 1);
    CHECK(harness_deliver(&h, (struct like){3, 2, RAFT_PRE_VOTE}));
    const struct raft_message *reply =
        harness_find(&h, (struct like){2, 3, RAFT_PRE_VOTE_REPLY});
    CHECK(reply && !reply->is_ok);
    harness_flow(&h);
    CHECK(harness_leader(&h) == 1);
    CHECK(harness_role(&h, 3) != RAFT_CANDIDATE);
    close_sound(&h);
}

static void pre_vote_is_refused_to_an_older_log(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    harness_isolate(&h, 3, true);
    CHECK_OK(harness_propose(&h, 1, 7));
    harness_flow(&h);
    harness_crash(&h, 1);
    harness_heal(&h);
    harness_forget_leader(&h);
    harness_elect(&h, 3);
    CHECK(harness_leader(&h) == 0);
    harness_elect(&h, 2);
    CHECK(harness_leader(&h) == 2);
    close_sound(&h);
}

static void a_vote_of_a_higher_term_cannot_depose_a_heard_leader(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    struct raft *raft = harness_raft(&h, 2);
    uint64_t term = raft_term(raft);
    struct raft_message vote = {.kind = RAFT_VOTE,
                                .from = 3,
                                .to = 2,
                                .term = term + 5,
                                .index = 100,
                                .log_term = term + 4};
    raft_receive(raft, h.now_ns, &vote);
    CHECK(raft_term(raft) == term);
    vote.to = 1;
    raft_receive(harness_raft(&h, 1), h.now_ns, &vote);
    CHECK(harness_leader(&h) == 1);
    close_sound(&h);
}

static void a_leader_without_a_majority_steps_down_in_time(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    harness_run(&h, 2 * HARNESS_ELECTION_MS + HARNESS_HEARTBEAT_MS);
    harness_isolate(&h, 1, true);
    harness_run(&h, HARNESS_ELECTION_MS - 2 * HARNESS_HEARTBEAT_MS);
    CHECK(harness_role(&h, 1) == RAFT_LEADER);
    harness_run(&h, 2 * HARNESS_HEARTBEAT_MS + HARNESS_TICK_MS);
    CHECK(harness_role(&h, 1) != RAFT_LEADER);
    close_sound(&h);
}

static void a_leader_with_a_bare_majority_stays(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 5);
    harness_elect(&h, 1);
    harness_crash(&h, 4);
    harness_crash(&h, 5);
    harness_run(&h, 6 * HARNESS_ELECTION_MS);
    CHECK(harness_leader(&h) == 1);
    harness_crash(&h, 3);
    harness_run(&h, 2 * HARNESS_ELECTION_MS);
    CHECK(harness_leader(&h) == 0);
    close_sound(&h);
}

static void split_votes_are_tried_again(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 4);
    for (uint64_t i = 1; i <= 4; i++) {
        raft_campaign_soon(harness_raft(&h, i), h.now_ns);
    }
    harness_wait(&h, HARNESS_ELECTION_MS / 4);
    for (uint64_t i = 1; i <= 4; i++) {
        harness_tick(&h, i);
    }
    harness_run(&h, 20 * HARNESS_ELECTION_MS);
    CHECK(harness_leader(&h) != 0);
    close_sound(&h);
}

/* ---- votes on what is durable ---- */

static void a_vote_leaves_when_it_is_durable(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_replica(&h, 1)->is_disk_slow = true;
    harness_replica(&h, 2)->is_disk_slow = true;
    harness_cut(&h, 1, 3, true);
    harness_campaign(&h, 1);
    CHECK(harness_deliver(&h, (struct like){1, 2, RAFT_PRE_VOTE}));
    CHECK(harness_deliver(&h, (struct like){2, 1, RAFT_PRE_VOTE_REPLY}));
    CHECK(harness_role(&h, 1) == RAFT_CANDIDATE);
    CHECK(harness_count(&h, (struct like){1, 2, RAFT_VOTE}) == 0);
    harness_store(&h, 1);
    CHECK(harness_deliver(&h, (struct like){1, 2, RAFT_VOTE}));
    CHECK(harness_count(&h, (struct like){2, 1, RAFT_VOTE_REPLY}) == 0);
    harness_store(&h, 2);
    CHECK(harness_deliver(&h, (struct like){2, 1, RAFT_VOTE_REPLY}));
    CHECK(harness_role(&h, 1) == RAFT_LEADER);
    close_sound(&h);
}

static void a_vote_survives_a_crash(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_cut(&h, 1, 3, true);
    harness_elect(&h, 1);
    uint64_t term = raft_term(harness_raft(&h, 1));
    harness_crash(&h, 2);
    harness_restart(&h, 2);
    CHECK(raft_term(harness_raft(&h, 2)) == term);
    struct raft_message vote = {.kind = RAFT_VOTE,
                                .from = 3,
                                .to = 2,
                                .term = term,
                                .index = 1,
                                .log_term = term};
    harness_drop(&h, (struct like){0, 0, HARNESS_ANY});
    raft_receive(harness_raft(&h, 2), h.now_ns, &vote);
    const struct raft_message *reply =
        harness_find(&h, (struct like){2, 3, RAFT_VOTE_REPLY});
    CHECK(reply && !reply->is_ok);
    close_sound(&h);
}

static void no_candidate_with_entries_that_are_not_durable(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    harness_replica(&h, 2)->is_disk_slow = true;
    CHECK_OK(harness_propose(&h, 1, 7));
    harness_flow(&h);
    CHECK(harness_last(&h, 2) == 2);
    CHECK(raft_stable_index(harness_raft(&h, 2)) == 1);
    harness_crash(&h, 1);
    harness_forget_leader(&h);
    harness_campaign(&h, 2);
    CHECK(harness_role(&h, 2) == RAFT_FOLLOWER);
    CHECK(harness_count(&h, (struct like){2, 0, RAFT_PRE_VOTE}) == 0);
    harness_store(&h, 2);
    harness_elect(&h, 2);
    harness_store(&h, 2);
    harness_flow(&h);
    CHECK(harness_role(&h, 2) == RAFT_LEADER);
    close_sound(&h);
}

static void a_pre_vote_won_while_something_is_written_waits(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    harness_crash(&h, 1);
    harness_forget_leader(&h);
    harness_campaign(&h, 2);
    CHECK(harness_deliver(&h, (struct like){2, 3, RAFT_PRE_VOTE}));
    harness_replica(&h, 2)->is_disk_slow = true;
    uint64_t term = raft_term(harness_raft(&h, 2));
    raft_receive(harness_raft(&h, 2), h.now_ns,
                 &(struct raft_message){.kind = RAFT_VOTE,
                                        .from = 3,
                                        .to = 2,
                                        .term = term,
                                        .index = 1,
                                        .log_term = term});
    CHECK(harness_deliver(&h, (struct like){3, 2, RAFT_PRE_VOTE_REPLY}));
    CHECK(harness_role(&h, 2) == RAFT_CANDIDATE ||
          harness_role(&h, 2) == RAFT_PRE_CANDIDATE);
    CHECK(harness_count(&h, (struct like){2, 0, RAFT_VOTE}) == 0);
    close_sound(&h);
}

static void no_second_vote_in_a_term_for_a_transfer_target(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_isolate(&h, 3, true);
    harness_elect(&h, 1);
    uint64_t term = raft_term(harness_raft(&h, 1));
    struct raft_message vote = {.kind = RAFT_VOTE,
                                .from = 3,
                                .to = 2,
                                .term = term,
                                .index = 9,
                                .log_term = term,
                                .is_transfer = true};
    raft_receive(harness_raft(&h, 2), h.now_ns, &vote);
    const struct raft_message *reply =
        harness_find(&h, (struct like){2, 3, RAFT_VOTE_REPLY});
    CHECK(reply && !reply->is_ok);
    close_sound(&h);
}

static void a_doubled_vote_reply_counts_once(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 5);
    harness_campaign(&h, 1);
    while (harness_deliver(&h, (struct like){0, 0, RAFT_PRE_VOTE}) ||
           harness_deliver(&h, (struct like){0, 0, RAFT_PRE_VOTE_REPLY})) {
    }
    CHECK(harness_role(&h, 1) == RAFT_CANDIDATE);
    CHECK(harness_deliver(&h, (struct like){1, 2, RAFT_VOTE}));
    harness_drop(&h, (struct like){0, 0, RAFT_VOTE});
    CHECK(h.packet_count == 1);
    harness_duplicate_at(&h, 0);
    harness_flow(&h);
    CHECK(harness_role(&h, 1) == RAFT_CANDIDATE);
    close_sound(&h);
}

/* ---- transfer ---- */

static void leadership_is_handed_over(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    CHECK_OK(harness_transfer(&h, 1, 3));
    harness_flow(&h);
    CHECK(harness_leader(&h) == 3);
    CHECK(harness_role(&h, 1) == RAFT_FOLLOWER);
    close_sound(&h);
}

static void a_transfer_target_must_have_everything_durable(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    harness_replica(&h, 3)->is_disk_slow = true;
    CHECK_OK(harness_propose(&h, 1, 7));
    harness_flow(&h);
    CHECK(harness_last(&h, 3) == 2);
    CHECK_OK(harness_transfer(&h, 1, 3));
    harness_flow(&h);
    CHECK(harness_role(&h, 3) == RAFT_FOLLOWER);
    CHECK_ERR(harness_propose(&h, 1, 8), ERR_BUSY);
    harness_store(&h, 3);
    CHECK(harness_deliver(&h, (struct like){3, 1, RAFT_APPEND_REPLY}));
    CHECK(harness_count(&h, (struct like){1, 3, RAFT_TIMEOUT_NOW}) == 1);
    harness_replica(&h, 3)->is_disk_slow = false;
    harness_flow(&h);
    CHECK(harness_leader(&h) == 3);
    close_sound(&h);
}

/* Or whoever waits for it could not be told what became of it. */
static void what_was_proposed_is_committed_before_a_transfer(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    harness_isolate(&h, 2, true);
    harness_replica(&h, 1)->is_disk_slow = true;
    CHECK_OK(harness_propose(&h, 1, 7));
    CHECK_OK(harness_transfer(&h, 1, 3));
    harness_flow(&h);
    CHECK(harness_last(&h, 3) == 2);
    CHECK(harness_commit(&h, 1) == 1);
    CHECK(harness_role(&h, 3) == RAFT_FOLLOWER);
    harness_store(&h, 1);
    CHECK(harness_commit(&h, 1) == 2);
    CHECK(harness_count(&h, (struct like){1, 3, RAFT_TIMEOUT_NOW}) == 1);
    harness_replica(&h, 1)->is_disk_slow = false;
    harness_flow(&h);
    CHECK(harness_leader(&h) == 3);
    close_sound(&h);
}

static void a_heartbeat_reply_is_enough_for_a_transfer(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    CHECK_OK(harness_propose(&h, 1, 7));
    CHECK_OK(harness_transfer(&h, 1, 3));
    CHECK(harness_deliver(&h, (struct like){1, 3, RAFT_APPEND}));
    harness_drop(&h, (struct like){3, 1, RAFT_APPEND_REPLY});
    harness_heartbeat(&h, 1);
    harness_flow(&h);
    CHECK(harness_leader(&h) == 3);
    close_sound(&h);
}

static void timeout_now_is_nothing_while_writes_are_in_flight(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    uint64_t term = raft_term(harness_raft(&h, 1));
    harness_replica(&h, 3)->is_disk_slow = true;
    CHECK_OK(harness_propose(&h, 1, 7));
    harness_flow(&h);
    raft_receive(
        harness_raft(&h, 3), h.now_ns,
        &(struct raft_message){
            .kind = RAFT_TIMEOUT_NOW, .from = 1, .to = 3, .term = term});
    CHECK(harness_role(&h, 3) == RAFT_FOLLOWER);
    CHECK(raft_term(harness_raft(&h, 3)) == term);
    /* It was an old one: the leader sends none before all is durable. */
    harness_store(&h, 3);
    CHECK(harness_role(&h, 3) == RAFT_FOLLOWER);
    close_sound(&h);
}

static void timeout_now_comes_from_the_leader_only(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    uint64_t learner = harness_add(&h);
    struct raft_configuration next = harness_with(h.founding, learner, false);
    CHECK_OK(harness_reconfigure(&h, 1, &next));
    harness_flow(&h);
    uint64_t term = raft_term(harness_raft(&h, 1));
    struct raft_message now = {
        .kind = RAFT_TIMEOUT_NOW, .from = 1, .to = learner, .term = term};
    raft_receive(harness_raft(&h, learner), h.now_ns, &now);
    CHECK(harness_role(&h, learner) == RAFT_FOLLOWER);
    now.to = 3;
    now.term = term - 1;
    raft_receive(harness_raft(&h, 3), h.now_ns, &now);
    CHECK(harness_role(&h, 3) == RAFT_FOLLOWER);
    close_sound(&h);
}

static void a_transfer_that_fails_is_given_up(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    harness_crash(&h, 3);
    CHECK_OK(harness_propose(&h, 1, 7));
    CHECK_OK(harness_transfer(&h, 1, 3));
    CHECK_ERR(harness_propose(&h, 1, 8), ERR_BUSY);
    CHECK_ERR(harness_transfer(&h, 1, 2), ERR_BUSY);
    harness_run(&h, HARNESS_ELECTION_MS + HARNESS_HEARTBEAT_MS);
    CHECK_OK(harness_propose(&h, 1, 8));
    harness_flow(&h);
    CHECK(harness_commit(&h, 1) == 3);
    close_sound(&h);
}

static void a_transfer_wants_another_voter(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    CHECK_ERR(harness_transfer(&h, 1, 2), ERR_DENIED);
    harness_elect(&h, 1);
    CHECK_ERR(harness_transfer(&h, 1, 1), ERR_INVALID);
    CHECK_ERR(harness_transfer(&h, 1, 9), ERR_INVALID);
    close_sound(&h);
}

/* ---- hints ---- */

static void a_lost_node_starts_the_pre_vote_early(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    harness_run(&h, 2 * HARNESS_HEARTBEAT_MS);
    harness_crash(&h, 1);
    harness_node_lost(&h, 2, 1);
    harness_node_lost(&h, 3, 1);
    harness_run(&h, HARNESS_ELECTION_MS / 4);
    CHECK(harness_leader(&h) != 0);
    close_sound(&h);
}

static void a_wrong_hint_disturbs_nobody(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    harness_run(&h, 2 * HARNESS_HEARTBEAT_MS);
    uint64_t term = raft_term(harness_raft(&h, 1));
    harness_node_lost(&h, 2, 1);
    harness_node_lost(&h, 3, 2);
    harness_run(&h, 4 * HARNESS_ELECTION_MS);
    CHECK(harness_leader(&h) == 1);
    CHECK(raft_term(harness_raft(&h, 1)) == term);
    CHECK(raft_leader(harness_raft(&h, 2)) == 1);
    close_sound(&h);
}

/* ---- reads ---- */

static void a_read_needs_a_majority_after_it_was_asked(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    harness_heartbeat(&h, 1); /* of before */
    CHECK_OK(harness_read(&h, 1));
    CHECK_OK(harness_read(&h, 1));
    CHECK(harness_replica(&h, 1)->reads[0].round ==
          harness_replica(&h, 1)->reads[1].round);
    harness_flow(&h);
    CHECK(harness_replica(&h, 1)->answered_count == 0);
    harness_flush(&h, 1);
    CHECK(harness_replica(&h, 1)->answered_count == 0);
    harness_flow(&h);
    CHECK(harness_replica(&h, 1)->answered_count == 2);
    close_sound(&h);
}

static void a_lost_round_is_asked_for_again(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    CHECK_OK(harness_read(&h, 1));
    harness_flush(&h, 1);
    harness_drop(&h, (struct like){0, 0, HARNESS_ANY});
    harness_heartbeat(&h, 1);
    harness_flow(&h);
    CHECK(harness_replica(&h, 1)->answered_count == 1);
    close_sound(&h);
}

static void no_read_before_the_own_first_entry_is_committed(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_campaign(&h, 1);
    while (harness_role(&h, 1) != RAFT_LEADER) {
        harness_deliver_at(&h, 0);
    }
    CHECK_ERR(harness_read(&h, 1), ERR_BUSY);
    CHECK_ERR(harness_read(&h, 2), ERR_DENIED);
    harness_flow(&h);
    CHECK_OK(harness_read(&h, 1));
    close_sound(&h);
}

static void a_stale_leader_answers_no_read(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    harness_isolate(&h, 1, true);
    harness_forget_leader(&h);
    harness_elect(&h, 2);
    CHECK_OK(harness_propose(&h, 2, 7));
    harness_flow(&h);
    CHECK(harness_role(&h, 1) == RAFT_LEADER);
    CHECK_OK(harness_read(&h, 1));
    harness_flush(&h, 1);
    harness_flow(&h);
    harness_heal(&h);
    harness_heartbeat(&h, 1);
    harness_flow(&h);
    CHECK(harness_replica(&h, 1)->answered_count == 0);
    CHECK(harness_role(&h, 1) == RAFT_FOLLOWER);
    close_sound(&h);
}

/* A round of an earlier leadership is not answered by a later one. */
static void a_read_ends_with_the_leadership(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    CHECK_OK(harness_read(&h, 1));
    uint64_t round = harness_replica(&h, 1)->reads[0].round;
    harness_flush(&h, 1);
    harness_drop(&h, (struct like){0, 0, HARNESS_ANY});
    CHECK_OK(harness_transfer(&h, 1, 2));
    harness_flow(&h);
    CHECK(harness_leader(&h) == 2);
    CHECK_OK(harness_transfer(&h, 2, 1));
    harness_flow(&h);
    CHECK(harness_leader(&h) == 1);
    harness_heartbeat(&h, 1);
    harness_flow(&h);
    CHECK(harness_replica(&h, 1)->ready_round < round);
    CHECK_OK(harness_read(&h, 1));
    CHECK(harness_replica(&h, 1)->reads[0].round > round);
    harness_flush(&h, 1);
    harness_flow(&h);
    CHECK(harness_replica(&h, 1)->answered_count == 1);
    close_sound(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_alone_leads_and_commits),
        cmocka_unit_test(three_elect_a_leader_by_themselves),
        cmocka_unit_test(a_leader_that_is_heard_stays),
        cmocka_unit_test(a_new_leader_appends_nothing_of_its_term),
        cmocka_unit_test(pre_vote_raises_no_term),
        cmocka_unit_test(pre_vote_is_refused_while_the_leader_is_heard),
        cmocka_unit_test(pre_vote_is_refused_to_an_older_log),
        cmocka_unit_test(a_vote_of_a_higher_term_cannot_depose_a_heard_leader),
        cmocka_unit_test(a_leader_without_a_majority_steps_down_in_time),
        cmocka_unit_test(a_leader_with_a_bare_majority_stays),
        cmocka_unit_test(split_votes_are_tried_again),
        cmocka_unit_test(a_vote_leaves_when_it_is_durable),
        cmocka_unit_test(a_vote_survives_a_crash),
        cmocka_unit_test(no_candidate_with_entries_that_are_not_durable),
        cmocka_unit_test(a_pre_vote_won_while_something_is_written_waits),
        cmocka_unit_test(no_second_vote_in_a_term_for_a_transfer_target),
        cmocka_unit_test(a_doubled_vote_reply_counts_once),
        cmocka_unit_test(leadership_is_handed_over),
        cmocka_unit_test(a_transfer_target_must_have_everything_durable),
        cmocka_unit_test(what_was_proposed_is_committed_before_a_transfer),
        cmocka_unit_test(a_heartbeat_reply_is_enough_for_a_transfer),
        cmocka_unit_test(timeout_now_is_nothing_while_writes_are_in_flight),
        cmocka_unit_test(timeout_now_comes_from_the_leader_only),
        cmocka_unit_test(a_transfer_that_fails_is_given_up),
        cmocka_unit_test(a_transfer_wants_another_voter),
        cmocka_unit_test(a_lost_node_starts_the_pre_vote_early),
        cmocka_unit_test(a_wrong_hint_disturbs_nobody),
        cmocka_unit_test(a_read_needs_a_majority_after_it_was_asked),
        cmocka_unit_test(a_lost_round_is_asked_for_again),
        cmocka_unit_test(no_read_before_the_own_first_entry_is_committed),
        cmocka_unit_test(a_stale_leader_answers_no_read),
        cmocka_unit_test(a_read_ends_with_the_leadership),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
