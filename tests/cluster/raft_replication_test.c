#include "tests/cluster/raft_check.h"
#include "tests/cluster/raft_harness.h"
#include "tests/support/check.h"

static void open_with(struct harness *harness, uint32_t voter_count)
{
    harness_open(harness, &(struct harness_config){.voter_count = voter_count,
                                                   .seed = 2});
}

/* The first message of this kind from one to the other is next. */
static void let_through(struct harness *harness, struct like like)
{
    CHECK(harness_deliver(harness, like));
}

/* ---- commit ---- */

static void commits_with_a_majority(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 5);
    harness_elect(&h, 1);
    harness_isolate(&h, 4, true);
    harness_isolate(&h, 5, true);
    CHECK_OK(harness_propose(&h, 1, 7));
    harness_flow(&h);
    CHECK(harness_commit(&h, 1) == 2);
    harness_isolate(&h, 3, true);
    CHECK_OK(harness_propose(&h, 1, 8));
    harness_flow(&h);
    CHECK(harness_commit(&h, 1) == 2);
    close_sound(&h);
}

static void followers_refuse_proposals(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    CHECK_ERR(harness_propose(&h, 2, 7), ERR_DENIED);
    close_sound(&h);
}

static void followers_learn_of_the_commit_with_the_heartbeat(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    CHECK_OK(harness_propose(&h, 1, 7));
    harness_flow(&h);
    harness_heartbeat(&h, 1);
    harness_flow(&h);
    CHECK(harness_commit(&h, 2) == 2);
    CHECK(harness_replica(&h, 3)->applied == 2);
    close_sound(&h);
}

/* Nothing is proposed, so no append tells it. */
static void a_restarted_follower_of_an_idle_group_learns_of_the_commit(
    void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    CHECK_OK(harness_propose(&h, 1, 7));
    harness_run(&h, 2 * HARNESS_HEARTBEAT_MS);
    harness_crash(&h, 3);
    harness_restart(&h, 3);
    CHECK(harness_commit(&h, 3) == 0);
    harness_run(&h, 2 * HARNESS_HEARTBEAT_MS);
    CHECK(harness_leader(&h) == 1);
    CHECK(harness_commit(&h, 3) == 2);
    CHECK(harness_replica(&h, 3)->applied == 2);
    close_sound(&h);
}

/* ---- figure 7: logs of all kinds become the leader's ---- */

static void figure_7_any_log_becomes_the_leaders(void **state)
{
    (void)state;
    static const char *const logs[] = {
        "1114455666",   /* the leader of term 8 */
        "111445566",    /* a */
        "1114",         /* b */
        "11144556666",  /* c */
        "111445566677", /* d */
        "1114444",      /* e */
        "11122233333",  /* f */
    };
    struct harness h;
    open_with(&h, 7);
    for (uint64_t i = 1; i <= 7; i++) {
        harness_crash(&h, i);
        harness_write_log(&h, i, logs[i - 1], 7);
    }
    harness_forget_leader(&h);
    harness_elect(&h, 1); /* by a, b, e and f */
    CHECK(harness_role(&h, 1) == RAFT_LEADER);
    CHECK(raft_term(harness_raft(&h, 1)) == 8);
    harness_run(&h, 2 * HARNESS_HEARTBEAT_MS);
    for (uint64_t i = 2; i <= 7; i++) {
        CHECK(harness_last(&h, i) == 11);
        CHECK(harness_commit(&h, i) == 11);
        for (uint64_t k = 1; k <= 11; k++) {
            CHECK(harness_term_at(&h, i, k) == harness_term_at(&h, 1, k));
        }
    }
    close_sound(&h);
}

/* How many probes are refused until the follower has the leader's log. */
static uint32_t count_refusals(const char *leader_log, const char *follower_log)
{
    struct harness h;
    open_with(&h, 3);
    const char *const logs[] = {leader_log, follower_log, "1"};
    for (uint64_t i = 1; i <= 3; i++) {
        harness_crash(&h, i);
        harness_write_log(&h, i, logs[i - 1], 4);
    }
    harness_campaign(&h, 1);
    uint32_t count = 0;
    while (h.packet_count > 0) {
        const struct raft_message *first = &h.packets[0]->message;
        count += first->kind == RAFT_APPEND_REPLY && first->from == 2 &&
                 !first->is_ok;
        harness_deliver_at(&h, 0);
    }
    CHECK(harness_role(&h, 1) == RAFT_LEADER);
    CHECK(harness_last(&h, 2) == harness_last(&h, 1));
    close_sound(&h);
    return count;
}

static void a_conflict_hint_skips_terms_at_once(void **state)
{
    (void)state;
    /* The leader skips its own entries that are newer than the hint's. */
    uint32_t count =
        count_refusals("1114444444444444444444", "1112222222222222222222");
    CHECK(count > 0 && count <= 2);
    /* The follower skips its own that are newer than what was probed. */
    count = count_refusals("1112222222222222222224", "1113333333333333333333");
    CHECK(count > 0 && count <= 2);
}

/* ---- pipeline, window, limits ---- */

static void appends_follow_each_other_up_to_the_window(void **state)
{
    (void)state;
    struct harness h;
    harness_open(&h, &(struct harness_config){.voter_count = 2,
                                              .inflight_count_max = 3,
                                              .append_bytes_max = 16,
                                              .seed = 2});
    harness_elect(&h, 1);
    struct like append = {1, 2, RAFT_APPEND};
    for (uint64_t i = 0; i < 9; i++) {
        CHECK_OK(harness_propose(&h, 1, i));
    }
    CHECK(harness_count(&h, append) == 3);
    let_through(&h, append);
    let_through(&h, (struct like){2, 1, RAFT_APPEND_REPLY});
    CHECK(harness_count(&h, append) == 3);
    size_t checked = 0;
    for (size_t i = 0; i < h.packet_count; i++) {
        const struct raft_message *message = &h.packets[i]->message;
        CHECK(message->entry_count <= 2); /* of eight bytes each */
        checked += message->entry_count == 2;
    }
    CHECK(checked > 0);
    harness_flow(&h);
    CHECK(harness_commit(&h, 1) == 10);
    close_sound(&h);
}

static void one_entry_always_fits(void **state)
{
    (void)state;
    struct harness h;
    harness_open(&h, &(struct harness_config){
                         .voter_count = 3, .append_bytes_max = 1, .seed = 2});
    harness_elect(&h, 1);
    for (uint64_t i = 0; i < 4; i++) {
        CHECK_OK(harness_propose(&h, 1, i));
    }
    harness_flow(&h);
    CHECK(harness_commit(&h, 1) == 5);
    close_sound(&h);
}

static void a_lost_append_is_repeated(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    harness_run(&h, HARNESS_HEARTBEAT_MS);
    CHECK_OK(harness_propose(&h, 1, 7));
    harness_drop(&h, (struct like){1, 0, RAFT_APPEND});
    harness_run(&h, HARNESS_ELECTION_MS + HARNESS_HEARTBEAT_MS);
    CHECK(harness_leader(&h) == 1);
    CHECK(harness_commit(&h, 3) == 2);
    close_sound(&h);
}

static void a_lost_reply_is_made_good_by_the_heartbeat(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    CHECK_OK(harness_propose(&h, 1, 7));
    while (harness_deliver(&h, (struct like){1, 0, RAFT_APPEND})) {
    }
    harness_drop(&h, (struct like){0, 1, RAFT_APPEND_REPLY});
    CHECK(harness_commit(&h, 1) == 1);
    harness_heartbeat(&h, 1);
    harness_flow(&h);
    CHECK(harness_commit(&h, 1) == 2);
    close_sound(&h);
}

static void appends_in_the_wrong_order_are_set_right(void **state)
{
    (void)state;
    struct harness h;
    harness_open(&h, &(struct harness_config){
                         .voter_count = 2, .append_bytes_max = 8, .seed = 2});
    harness_elect(&h, 1);
    for (uint64_t i = 0; i < 4; i++) {
        CHECK_OK(harness_propose(&h, 1, i));
    }
    while (h.packet_count > 0) {
        harness_deliver_at(&h, h.packet_count - 1); /* the newest first */
    }
    harness_run(&h, 2 * HARNESS_ELECTION_MS);
    CHECK(harness_leader(&h) == 1);
    CHECK(harness_commit(&h, 2) == 5);
    close_sound(&h);
}

static void a_doubled_append_changes_nothing(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    CHECK_OK(harness_propose(&h, 1, 7));
    CHECK_OK(harness_propose(&h, 1, 8));
    size_t count = h.packet_count;
    for (size_t i = 0; i < count; i++) {
        harness_duplicate_at(&h, i);
    }
    harness_flow(&h);
    CHECK(harness_commit(&h, 1) == 3);
    CHECK(harness_last(&h, 2) == 3);
    close_sound(&h);
}

static void a_node_that_is_found_gets_at_once_what_was_lost(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    CHECK_OK(harness_propose(&h, 1, 7));
    harness_drop_all(&h);
    harness_node_found(&h, 1, 2);
    CHECK(harness_count(&h, (struct like){1, 2, RAFT_APPEND}) == 1);
    CHECK(harness_count(&h, (struct like){1, 3, RAFT_APPEND}) == 0);
    harness_flow(&h);
    CHECK(harness_commit(&h, 1) == 2);
    close_sound(&h);
}

/* ---- probing ---- */

static void a_lost_probe_waits_for_the_heartbeat(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_campaign(&h, 1);
    while (harness_role(&h, 1) != RAFT_LEADER) {
        harness_deliver_at(&h, 0);
    }
    harness_drop_all(&h);
    for (uint64_t i = 0; i < 5; i++) {
        CHECK_OK(harness_propose(&h, 1, i));
        harness_tick(&h, 1);
    }
    CHECK(h.packet_count == 0);
    harness_wait(&h, HARNESS_HEARTBEAT_MS);
    harness_heartbeat(&h, 1);
    CHECK(harness_count(&h, (struct like){1, 2, RAFT_APPEND}) == 1);
    harness_drop_all(&h);
    harness_heartbeat(&h, 1);
    CHECK(harness_count(&h, (struct like){1, 2, RAFT_APPEND}) == 0);
    harness_wait(&h, HARNESS_HEARTBEAT_MS);
    harness_heartbeat(&h, 1);
    harness_flow(&h);
    CHECK(harness_commit(&h, 1) == 6);
    close_sound(&h);
}

/* One that refuses what it has acknowledged is broken; it gets no answer as
 * fast as it asks. */
static void a_probe_that_fails_without_progress_is_paced(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    harness_node_found(&h, 1, 2); /* a probe behind what matches */
    harness_drop_all(&h);
    struct raft *raft = harness_raft(&h, 1);
    uint64_t match = raft_match_index(raft, 2);
    CHECK(match == 1);
    for (uint32_t i = 0; i < 5; i++) {
        raft_receive(raft, h.now_ns,
                     &(struct raft_message){.kind = RAFT_APPEND_REPLY,
                                            .from = 2,
                                            .to = 1,
                                            .term = raft_term(raft),
                                            .index = match,
                                            .hint_index = 0});
    }
    CHECK(harness_count(&h, (struct like){1, 2, RAFT_APPEND}) <= 1);
    close_sound(&h);
}

/* The refusal to an earlier term's append is about nothing that was sent. */
static void a_refusal_of_an_earlier_term_confuses_no_new_leader(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_campaign(&h, 1);
    while (harness_role(&h, 1) != RAFT_LEADER) {
        harness_deliver_at(&h, 0);
    }
    harness_drop_all(&h);
    struct raft *raft = harness_raft(&h, 1);
    raft_receive(raft, h.now_ns,
                 &(struct raft_message){.kind = RAFT_APPEND_REPLY,
                                        .from = 2,
                                        .to = 1,
                                        .term = raft_term(raft)});
    CHECK(harness_replica(&h, 1)->wanted_count == 0);
    harness_drop_all(&h);
    harness_run(&h, 4 * HARNESS_HEARTBEAT_MS);
    CHECK(harness_commit(&h, 2) == 1);
    CHECK(harness_replica(&h, 1)->wanted_count == 0);
    close_sound(&h);
}

static void a_refusal_of_what_was_never_sent_is_ignored(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    struct raft *raft = harness_raft(&h, 1);
    static const uint64_t indexes[] = {1000, UINT64_MAX / 2, 2};
    for (size_t i = 0; i < 3; i++) {
        raft_receive(raft, h.now_ns,
                     &(struct raft_message){.kind = RAFT_APPEND_REPLY,
                                            .from = 2,
                                            .to = 1,
                                            .term = raft_term(raft),
                                            .index = indexes[i],
                                            .hint_index = UINT64_MAX,
                                            .hint_term = UINT64_MAX});
    }
    CHECK(harness_replica(&h, 1)->wanted_count == 0);
    CHECK_OK(harness_propose(&h, 1, 7));
    harness_flow(&h);
    CHECK(harness_commit(&h, 1) == 2);
    close_sound(&h);
}

/* ---- slow disks ---- */

static void acknowledges_what_is_durable_only(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    harness_isolate(&h, 3, true);
    struct replica *follower = harness_replica(&h, 2);
    follower->is_disk_slow = true;
    for (uint64_t i = 0; i < 3; i++) {
        CHECK_OK(harness_propose(&h, 1, i));
    }
    harness_flow(&h);
    harness_heartbeat(&h, 1);
    harness_flow(&h);
    CHECK(harness_last(&h, 2) == 4);
    CHECK(raft_match_index(harness_raft(&h, 1), 2) == 1);
    CHECK(harness_commit(&h, 1) == 1);
    harness_store_to(&h, 2, follower->durable_count + 2);
    harness_flow(&h);
    CHECK(harness_commit(&h, 1) == 3);
    CHECK(harness_commit(&h, 2) <= raft_stable_index(harness_raft(&h, 2)));
    harness_store(&h, 2);
    harness_flow(&h);
    CHECK(harness_commit(&h, 1) == 4);
    close_sound(&h);
}

static void a_follower_commits_nothing_that_it_has_not_stored(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    harness_replica(&h, 3)->is_disk_slow = true;
    for (uint64_t i = 0; i < 3; i++) {
        CHECK_OK(harness_propose(&h, 1, i));
        harness_flow(&h);
    }
    CHECK(harness_commit(&h, 1) == 4);
    CHECK(harness_last(&h, 3) == 4);
    CHECK(harness_commit(&h, 3) == 1);
    harness_store(&h, 3);
    CHECK(harness_commit(&h, 3) == 3); /* as the last append said */
    close_sound(&h);
}

/* libraft 0.15 tested its own newest stored index only: with followers behind
 * that, nothing was ever committed. */
static void slow_followers_starve_no_commits(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    struct replica *slow[] = {harness_replica(&h, 2), harness_replica(&h, 3)};
    for (uint64_t i = 0; i < 200; i++) {
        CHECK_OK(harness_propose(&h, 1, i));
        harness_flow(&h);
        for (size_t k = 0; k < 2; k++) {
            slow[k]->is_disk_slow = true;
            if (slow[k]->record_count > 3) { /* always three behind */
                harness_store_to(&h, slow[k]->number,
                                 slow[k]->record_count - 3);
            }
        }
        harness_flow(&h);
    }
    CHECK(harness_commit(&h, 1) >= 200 - 6);
    close_sound(&h);
}

static void a_slow_leader_disk_delays_but_starves_no_commits(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    struct replica *leader = harness_replica(&h, 1);
    leader->is_disk_slow = true;
    for (uint64_t i = 0; i < 200; i++) {
        CHECK_OK(harness_propose(&h, 1, i));
        harness_flow(&h);
        harness_store_to(&h, 1, leader->record_count - 5);
        CHECK(harness_commit(&h, 1) <= raft_stable_index(leader->raft));
    }
    CHECK(harness_commit(&h, 1) >= 200 - 6);
    harness_store(&h, 1);
    CHECK(harness_commit(&h, 1) == 201);
    close_sound(&h);
}

static void the_leader_commits_nothing_that_it_has_not_stored(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    harness_replica(&h, 1)->is_disk_slow = true;
    CHECK_OK(harness_propose(&h, 1, 7));
    harness_flow(&h);
    CHECK(raft_match_index(harness_raft(&h, 1), 2) == 2);
    CHECK(raft_match_index(harness_raft(&h, 1), 3) == 2);
    CHECK(harness_commit(&h, 1) == 1);
    harness_store(&h, 1);
    CHECK(harness_commit(&h, 1) == 2);
    close_sound(&h);
}

/* More records under way than the core remembers one by one, the last of them
 * a snapshot's: all are durable in the end. */
static void many_writes_in_flight_are_all_stored(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 1);
    harness_elect(&h, 1);
    harness_replica(&h, 1)->is_disk_slow = true;
    for (uint64_t i = 0; i < 40; i++) {
        CHECK_OK(harness_propose(&h, 1, i));
    }
    harness_compact(&h, 1, 1);
    CHECK(raft_stable_index(harness_raft(&h, 1)) == 1);
    harness_store(&h, 1);
    CHECK(raft_stable_index(harness_raft(&h, 1)) == 41);
    CHECK(harness_commit(&h, 1) == 41);
    close_sound(&h);
}

/* ---- a new leader ---- */

/* Entries that an old leader left on a follower are no agreement with the new
 * one, however many there are. */
static void acknowledges_no_old_last_index_to_a_new_leader(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    harness_cut(&h, 1, 3, true);
    CHECK_OK(harness_propose(&h, 1, 7));
    CHECK_OK(harness_propose(&h, 1, 8));
    harness_cut(&h, 1, 2, false);
    while (harness_deliver(&h, (struct like){1, 2, RAFT_APPEND})) {
    }
    harness_crash(&h, 1);
    CHECK(harness_last(&h, 2) == 3);
    harness_drop_all(&h);
    /* 3 leads in the next term, by a vote of 1 that is not needed here. */
    struct raft *raft = harness_raft(&h, 2);
    raft_receive(raft, h.now_ns,
                 &(struct raft_message){.kind = RAFT_HEARTBEAT,
                                        .from = 3,
                                        .to = 2,
                                        .term = raft_term(raft) + 1});
    harness_store(&h, 2);
    raft_receive(raft, h.now_ns,
                 &(struct raft_message){.kind = RAFT_HEARTBEAT,
                                        .from = 3,
                                        .to = 2,
                                        .term = raft_term(raft)});
    raft_receive(raft, h.now_ns,
                 &(struct raft_message){.kind = RAFT_APPEND,
                                        .from = 3,
                                        .to = 2,
                                        .term = raft_term(raft),
                                        .index = 1,
                                        .log_term = harness_term_at(&h, 2, 1),
                                        .commit = 3});
    const struct raft_message *reply =
        harness_find(&h, (struct like){2, 3, RAFT_HEARTBEAT_REPLY});
    CHECK(reply && reply->index <= harness_commit(&h, 2));
    CHECK(harness_commit(&h, 2) <= 1);
    while ((reply = harness_find(&h, (struct like){2, 3, RAFT_APPEND_REPLY}))) {
        CHECK(reply->index <= 1);
        harness_drop_at(&h, 0);
    }
    close_sound(&h);
}

static void truncation_while_writes_are_in_flight_is_no_promise(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    struct replica *follower = harness_replica(&h, 2);
    harness_isolate(&h, 3, true);
    follower->is_disk_slow = true;
    CHECK_OK(harness_propose(&h, 1, 7));
    CHECK_OK(harness_propose(&h, 1, 8));
    harness_flow(&h);
    CHECK(harness_last(&h, 2) == 3);
    uint64_t old_records = follower->record_count;
    struct raft *raft = follower->raft;
    uint64_t term = raft_term(raft) + 1;
    struct raft_entry entry = {.index = 2, .term = term};
    raft_receive(raft, h.now_ns,
                 &(struct raft_message){.kind = RAFT_APPEND,
                                        .from = 3,
                                        .to = 2,
                                        .term = term,
                                        .index = 1,
                                        .log_term = term - 1,
                                        .entries = &entry,
                                        .entry_count = 1});
    CHECK(harness_last(&h, 2) == 2);
    harness_store_to(&h, 2, old_records);
    CHECK(raft_stable_index(raft) == 1);
    CHECK(harness_count(&h, (struct like){2, 3, RAFT_APPEND_REPLY}) == 0);
    harness_store(&h, 2);
    CHECK(raft_stable_index(raft) == 2);
    const struct raft_message *reply =
        harness_find(&h, (struct like){2, 3, RAFT_APPEND_REPLY});
    CHECK(reply && reply->is_ok && reply->index == 2);
    harness_crash(&h, 2);
    harness_restart(&h, 2);
    CHECK(harness_last(&h, 2) == 2);
    CHECK(harness_term_at(&h, 2, 2) == term);
    close_sound(&h);
}

/* That an entry is durable says nothing about the one that replaces it. */
static void a_replaced_entry_is_not_durable_as_its_predecessor(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_crash(&h, 2);
    harness_write_log(&h, 2, "1222", 2);
    struct raft *raft = harness_raft(&h, 2);
    CHECK(raft_stable_index(raft) == 4);
    harness_replica(&h, 2)->is_disk_slow = true;
    struct raft_entry entry = {.index = 2, .term = 3};
    raft_receive(raft, h.now_ns,
                 &(struct raft_message){.kind = RAFT_APPEND,
                                        .from = 3,
                                        .to = 2,
                                        .term = 3,
                                        .index = 1,
                                        .log_term = 1,
                                        .entries = &entry,
                                        .entry_count = 1});
    CHECK(raft_last_index(raft) == 2);
    CHECK(raft_stable_index(raft) == 1);
    harness_store(&h, 2);
    CHECK(raft_stable_index(raft) == 2);
    close_sound(&h);
}

static void what_is_committed_survives_the_crash_of_all(void **state)
{
    (void)state;
    struct harness h;
    open_with(&h, 3);
    harness_elect(&h, 1);
    for (uint64_t i = 0; i < 10; i++) {
        CHECK_OK(harness_propose(&h, 1, i));
        harness_flow(&h);
    }
    for (uint64_t i = 1; i <= 3; i++) {
        harness_crash(&h, i);
        harness_restart(&h, i);
    }
    harness_run(&h, 4 * HARNESS_ELECTION_MS);
    uint64_t leader = harness_leader(&h);
    CHECK(leader != 0);
    CHECK(harness_commit(&h, leader) == 12);
    close_sound(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commits_with_a_majority),
        cmocka_unit_test(followers_refuse_proposals),
        cmocka_unit_test(followers_learn_of_the_commit_with_the_heartbeat),
        cmocka_unit_test(
            a_restarted_follower_of_an_idle_group_learns_of_the_commit),
        cmocka_unit_test(figure_7_any_log_becomes_the_leaders),
        cmocka_unit_test(a_conflict_hint_skips_terms_at_once),
        cmocka_unit_test(appends_follow_each_other_up_to_the_window),
        cmocka_unit_test(one_entry_always_fits),
        cmocka_unit_test(a_lost_append_is_repeated),
        cmocka_unit_test(a_lost_reply_is_made_good_by_the_heartbeat),
        cmocka_unit_test(appends_in_the_wrong_order_are_set_right),
        cmocka_unit_test(a_doubled_append_changes_nothing),
        cmocka_unit_test(a_node_that_is_found_gets_at_once_what_was_lost),
        cmocka_unit_test(a_lost_probe_waits_for_the_heartbeat),
        cmocka_unit_test(a_probe_that_fails_without_progress_is_paced),
        cmocka_unit_test(a_refusal_of_an_earlier_term_confuses_no_new_leader),
        cmocka_unit_test(a_refusal_of_what_was_never_sent_is_ignored),
        cmocka_unit_test(acknowledges_what_is_durable_only),
        cmocka_unit_test(a_follower_commits_nothing_that_it_has_not_stored),
        cmocka_unit_test(slow_followers_starve_no_commits),
        cmocka_unit_test(a_slow_leader_disk_delays_but_starves_no_commits),
        cmocka_unit_test(the_leader_commits_nothing_that_it_has_not_stored),
        cmocka_unit_test(many_writes_in_flight_are_all_stored),
        cmocka_unit_test(acknowledges_no_old_last_index_to_a_new_leader),
        cmocka_unit_test(truncation_while_writes_are_in_flight_is_no_promise),
        cmocka_unit_test(a_replaced_entry_is_not_durable_as_its_predecessor),
        cmocka_unit_test(what_is_committed_survives_the_crash_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
