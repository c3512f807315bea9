/*
 * For each deliberate fault a schedule that breaks a promise with it, and none
 * without it: so the checks of raft_harness.h can see it.
 */

#include "store/raft_configuration.h"
#include "tests/cluster/raft_harness.h"
#include "tests/support/check.h"

#include <string.h>

static void open_with(struct harness *harness,
                      uint32_t voter_count,
                      enum raft_fault fault)
{
    harness_open(harness, &(struct harness_config){.voter_count = voter_count,
                                                   .append_bytes_max = 1,
                                                   .seed = 5,
                                                   .fault = fault});
}

static void deliver_all_like(struct harness *harness, struct like like)
{
    while (harness_deliver(harness, like)) {
    }
}

/* Pre-votes and votes of one, but no further. */
static void elect_silently(struct harness *harness, uint64_t number)
{
    static const enum raft_message_kind kinds[] = {
        RAFT_PRE_VOTE, RAFT_PRE_VOTE_REPLY, RAFT_VOTE, RAFT_VOTE_REPLY};
    harness_campaign(harness, number);
    for (size_t i = 0; i < 4; i++) {
        deliver_all_like(harness, (struct like){0, 0, kinds[i]});
    }
}

/* ---- schedules ---- */

/*
 * Figure 8 of the paper from (c) on: S1 leads again, and its old entry 2 is on
 * S1, S2 and S3. If that counted, S5 could replace what was committed (d).
 */
static void figure_8(struct harness *h)
{
    static const char *const logs[] = {"12", "12", "1", "1", "13"};
    for (uint64_t i = 1; i <= 5; i++) {
        harness_crash(h, i);
        harness_write_log(h, i, logs[i - 1], 3);
    }
    harness_isolate(h, 5, true);
    elect_silently(h, 1);
    CHECK(harness_role(h, 1) == RAFT_LEADER);
    struct raft *raft = harness_raft(h, 1);
    harness_drop(h, (struct like){1, 0, RAFT_APPEND}); /* its own entry */
    for (uint64_t to = 2; to <= 3; to++) {
        struct raft_entry old = *raft_entry_at(raft, 2);
        raft_receive(harness_raft(h, to), h->now_ns,
                     &(struct raft_message){.kind = RAFT_APPEND,
                                            .from = 1,
                                            .to = to,
                                            .term = 4,
                                            .index = 1,
                                            .log_term = 1,
                                            .entries = &old,
                                            .entry_count = 1});
        harness_store(h, to);
        deliver_all_like(h, (struct like){to, 1, RAFT_APPEND_REPLY});
        harness_drop(h, (struct like){1, 0, RAFT_APPEND});
    }
    CHECK(raft_match_index(raft, 2) == 2 && raft_match_index(raft, 3) == 2);
    harness_crash(h, 1);
    harness_heal(h);
    harness_drop_all(h);
    harness_forget_leader(h);
    harness_elect(h, 5); /* hears of term 4 */
    harness_elect(h, 5);
    CHECK(harness_role(h, 5) == RAFT_LEADER);
}

/* A vote that a crash makes forgotten is given again. */
static void a_forgotten_vote(struct harness *h)
{
    harness_cut(h, 1, 2, true);
    elect_silently(h, 1); /* by 3 */
    harness_drop_all(h);
    harness_crash(h, 3);
    harness_restart(h, 3);
    harness_elect(h, 2);
}

static void a_vote_before_it_is_durable(struct harness *h)
{
    harness_replica(h, 3)->is_disk_slow = true;
    a_forgotten_vote(h);
}

/* 2 acknowledges, crashes, and has lost it. */
static void an_acknowledgement_before_the_sync(struct harness *h)
{
    harness_elect(h, 1);
    harness_isolate(h, 3, true);
    harness_replica(h, 2)->is_disk_slow = true;
    CHECK_OK(harness_propose(h, 1, 7));
    harness_flow(h);
    harness_crash(h, 1);
    harness_crash(h, 2);
    harness_replica(h, 2)->is_disk_slow = false;
    harness_restart(h, 2);
    harness_heal(h);
    harness_elect(h, 3);
    harness_restart(h, 1);
}

/* The leader counts itself, crashes, and has lost it. */
static void a_leader_counting_before_the_sync(struct harness *h)
{
    harness_elect(h, 1);
    harness_isolate(h, 3, true);
    harness_replica(h, 1)->is_disk_slow = true;
    CHECK_OK(harness_propose(h, 1, 7));
    harness_flow(h);
    harness_crash(h, 1);
    harness_crash(h, 2);
    harness_replica(h, 1)->is_disk_slow = false;
    harness_restart(h, 1);
    harness_heal(h);
    harness_elect(h, 3);
    CHECK(harness_leader(h) == 3);
}

/* 1 would be alone after two changes that nobody heard of. */
static void two_changes_under_way(struct harness *h)
{
    harness_elect(h, 1);
    harness_isolate(h, 1, true);
    struct raft_configuration next = harness_without(h->founding, 3);
    CHECK_OK(harness_reconfigure(h, 1, &next));
    next = harness_without(next, 2);
    if (harness_reconfigure(h, 1, &next) == ERR_NONE) {
        CHECK(h->config.fault == RAFT_FAULT_CHANGE_TWICE);
    }
    CHECK_OK(harness_propose(h, 1, 7));
    harness_forget_leader(h);
    harness_elect(h, 2);
    CHECK(harness_role(h, 2) == RAFT_LEADER);
    CHECK_OK(harness_propose(h, 2, 8));
    harness_flow(h);
}

/* A change that was truncated, and still holds for 1. */
static void a_kept_configuration(struct harness *h)
{
    harness_elect(h, 1);
    harness_isolate(h, 1, true);
    struct raft_configuration next = harness_without(h->founding, 3);
    CHECK_OK(harness_reconfigure(h, 1, &next));
    harness_drop_all(h);
    harness_forget_leader(h);
    harness_elect(h, 2);
    harness_heal(h);
    harness_run(h, HARNESS_ELECTION_MS);
}

static void a_stale_read(struct harness *h)
{
    harness_elect(h, 1);
    harness_isolate(h, 1, true);
    harness_forget_leader(h);
    harness_elect(h, 2);
    CHECK_OK(harness_propose(h, 2, 7));
    harness_flow(h);
    CHECK(harness_role(h, 1) == RAFT_LEADER);
    CHECK_OK(harness_read(h, 1));
    harness_flush(h, 1);
}

/* 2 has all that is committed, but does not know that it is. */
static void a_read_of_a_new_leader(struct harness *h)
{
    harness_elect(h, 1);
    CHECK_OK(harness_propose(h, 1, 7));
    deliver_all_like(h, (struct like){1, 0, RAFT_APPEND});
    deliver_all_like(h, (struct like){0, 1, RAFT_APPEND_REPLY});
    CHECK(harness_commit(h, 1) == 2 && harness_commit(h, 2) == 1);
    harness_crash(h, 1);
    harness_drop_all(h);
    harness_forget_leader(h);
    elect_silently(h, 2);
    CHECK(harness_role(h, 2) == RAFT_LEADER);
    harness_drop_all(h);
    if (harness_read(h, 2) == ERR_NONE) {
        CHECK(h->config.fault == RAFT_FAULT_READ_BEFORE_NOTHING);
    }
    harness_flush(h, 2);
    deliver_all_like(h, (struct like){2, 3, RAFT_HEARTBEAT});
    deliver_all_like(h, (struct like){3, 2, RAFT_HEARTBEAT_REPLY});
}

/* 3 has more old entries than its new leader 2: those are no agreement. */
static void an_old_last_index(struct harness *h)
{
    static const char *const logs[] = {"13", "13", "1222"};
    for (uint64_t i = 1; i <= 3; i++) {
        harness_crash(h, i);
        harness_write_log(h, i, logs[i - 1], 3);
    }
    harness_cut(h, 2, 3, true);
    elect_silently(h, 2); /* by 1 */
    CHECK(harness_role(h, 2) == RAFT_LEADER);
    harness_drop_all(h);
    harness_isolate(h, 1, true);
    harness_heal(h);
    harness_isolate(h, 1, true);
    CHECK_OK(harness_propose(h, 2, 7));
    harness_heartbeat(h, 2);
    harness_drop_all(h); /* so that it is heartbeats only */
    for (uint32_t i = 0; i < 2; i++) {
        harness_heartbeat(h, 2);
        harness_drop(h, (struct like){0, 0, RAFT_APPEND});
        deliver_all_like(h, (struct like){2, 3, RAFT_HEARTBEAT});
        deliver_all_like(h, (struct like){3, 2, RAFT_HEARTBEAT_REPLY});
    }
    harness_crash(h, 2);
    harness_drop_all(h);
    harness_heal(h);
    harness_forget_leader(h);
    harness_elect(h, 1); /* with 3, or 3 with it */
    harness_elect(h, 3);
    harness_run(h, 4 * HARNESS_ELECTION_MS);
}

/* 1 votes for 3 in the term in which its transfer target 2 asks it, too. */
static void a_second_vote_for_a_transfer_target(struct harness *h)
{
    harness_elect(h, 1);
    harness_heartbeat(h, 1);
    harness_flow(h);
    CHECK_OK(harness_transfer(h, 1, 2));
    harness_forget_leader(h);
    harness_campaign(h, 3); /* 2 has not heard of 1 for long, either */
    deliver_all_like(h, (struct like){3, 2, RAFT_PRE_VOTE});
    deliver_all_like(h, (struct like){2, 3, RAFT_PRE_VOTE_REPLY});
    CHECK(harness_role(h, 3) == RAFT_CANDIDATE);
    harness_drop(h, (struct like){3, 2, RAFT_VOTE});
    CHECK(harness_deliver(h, (struct like){1, 2, RAFT_TIMEOUT_NOW}));
    CHECK(harness_role(h, 2) == RAFT_CANDIDATE);
    harness_tick(h, 1); /* without a majority */
    CHECK(harness_role(h, 1) == RAFT_FOLLOWER);
    CHECK(harness_deliver(h, (struct like){3, 1, RAFT_VOTE}));
    CHECK(harness_deliver(h, (struct like){1, 3, RAFT_VOTE_REPLY}));
    CHECK(harness_role(h, 3) == RAFT_LEADER);
    CHECK(harness_deliver(h, (struct like){2, 1, RAFT_VOTE}));
    CHECK(harness_deliver(h, (struct like){1, 2, RAFT_VOTE_REPLY}));
}

static void an_election_with_a_stale_log(struct harness *h)
{
    harness_elect(h, 1);
    harness_isolate(h, 3, true);
    CHECK_OK(harness_propose(h, 1, 7));
    harness_flow(h);
    harness_crash(h, 1);
    harness_heal(h);
    harness_forget_leader(h);
    harness_elect(h, 3);
}

/* ---- with and without ---- */

struct proof {
    void (*schedule)(struct harness *harness);
    uint32_t voter_count;
    const char *violation; /* a part of what is said */
};

/* clang-format off */
static const struct proof proofs[RAFT_FAULT_COUNT] = {
    [RAFT_FAULT_COMMIT_OLDER_TERM] = {figure_8, 5, "lacks the committed"},
    [RAFT_FAULT_FORGET_VOTE] = {a_forgotten_vote, 3, "two leaders"},
    [RAFT_FAULT_ACK_BEFORE_SYNC] =
        {an_acknowledgement_before_the_sync, 3, "lacks the committed"},
    [RAFT_FAULT_COUNT_BEFORE_SYNC] =
        {a_leader_counting_before_the_sync, 3, "lacks the committed"},
    [RAFT_FAULT_VOTE_BEFORE_SYNC] =
        {a_vote_before_it_is_durable, 3, "two leaders"},
    [RAFT_FAULT_KEEP_CONFIGURATION] =
        {a_kept_configuration, 3, "another configuration"},
    [RAFT_FAULT_READ_WITHOUT_ASKING] = {a_stale_read, 3, "stale read"},
    [RAFT_FAULT_READ_BEFORE_NOTHING] = {a_read_of_a_new_leader, 3, "stale read"},
    [RAFT_FAULT_ACK_OLD_LAST] = {an_old_last_index, 3, "commit"},
    [RAFT_FAULT_VOTE_TWICE] =
        {a_second_vote_for_a_transfer_target, 3, "two leaders"},
    [RAFT_FAULT_STALE_LOG_ELECTED] =
        {an_election_with_a_stale_log, 3, "lacks the committed"},
    [RAFT_FAULT_CHANGE_TWICE] = {two_changes_under_way, 3, "commit"},
};
/* clang-format on */

static void every_fault_is_seen_and_only_faults(void **state)
{
    (void)state;
    uint32_t failed_count = 0;
    for (int fault = 1; fault < RAFT_FAULT_COUNT; fault++) {
        const struct proof *proof = &proofs[fault];
        CHECK(proof->schedule);
        for (int with = 0; with < 2; with++) {
            struct harness h;
            open_with(&h, proof->voter_count,
                      with ? (enum raft_fault)fault : RAFT_FAULT_NONE);
            proof->schedule(&h);
            bool is_right = with ? strstr(h.violation, proof->violation) != NULL
                                 : h.violation[0] == '\0';
            if (!is_right) {
                failed_count++;
                print_error("fault %d, %s: \"%s\"\n", fault,
                            with ? "on" : "off", h.violation);
            }
            harness_close(&h);
        }
    }
    CHECK(failed_count == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fault_is_seen_and_only_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
