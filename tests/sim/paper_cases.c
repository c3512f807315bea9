#include "tests/sim/paper_cases.h"

#include <assert.h>
#include <string.h>

/* The servers of the figures, as nodes. */
enum { S1, S2, S3, S4, S5 };

static struct script_way way(uint32_t from, uint32_t to)
{
    return (struct script_way){.from = from, .to = to};
}

/* It leads, its first entry is committed, and these have it. */
static void begin_with(struct script *s, uint32_t leader, uint32_t count)
{
    script_elect(s, leader);
    for (uint32_t i = 0; i < count; i++) {
        UNTIL(s, script_is_settled(s, leader) &&
                     script_commit(s, i) == script_last(s, leader));
    }
}

static void add_and_commit(struct script *s, uint32_t leader, int64_t value)
{
    UNTIL(s, script_is_settled(s, leader));
    size_t request = script_add(s, leader, value);
    UNTIL(s, script_state(s, request) == SCRIPT_DONE);
}

/* All of these are as far as the leader. */
static void catch_up(struct script *s, uint32_t leader, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        UNTIL(s, script_commit(s, i) == script_commit(s, leader));
    }
}

static void promote(struct script *s, uint32_t leader, uint32_t node)
{
    UNTIL(s, script_members_committed(s, leader) == script_members(s, leader) &&
                 script_match(s, leader, node) >= script_commit(s, leader));
    MUST(s, script_promote(s, leader, node) == ERR_NONE);
    UNTIL(s, script_members_committed(s, leader) == script_members(s, leader));
}

/* ---- figure 7 ---- */

enum { LEADER, A, B, C, D, E, F };

static const char *const figure_7_logs[] = {
    [LEADER] = "1114455666", [A] = "111445566",    [B] = "1114",
    [C] = "11144556666",     [D] = "111445566677", [E] = "1114444",
    [F] = "11122233333",
};

/* What leaders of earlier terms left on a node: entries of one term. */
static void leave_entries(struct script *s, uint32_t node, uint64_t from)
{
    const char *terms = figure_7_logs[node];
    struct raft_entry entries[12];
    uint64_t term = (uint64_t)(terms[from - 1] - '0');
    uint64_t index = from;
    for (; terms[index - 1] == '0' + (char)term; index++) {
        entries[index - from] =
            (struct raft_entry){.index = index, .term = term};
    }
    script_forge(s, &(struct raft_message){
                        .kind = RAFT_APPEND,
                        .from = node == D ? 3 : D + 1, /* not itself */
                        .to = node + 1,
                        .term = term,
                        .index = from - 1,
                        .log_term = (uint64_t)(terms[from - 2] - '0'),
                        .entries = entries,
                        .entry_count = (uint32_t)(index - from)});
    UNTIL(s, script_stable(s, node) == index - 1);
    if (terms[index - 1] != '\0') {
        leave_entries(s, node, index);
    }
}

/* It has heard of the leader of term 7, which is d, or was elected by it, and
 * perhaps how much was committed. */
static void hear_of_term_7(struct script *s, uint32_t node, uint64_t commit)
{
    script_forge(s, &(struct raft_message){.kind = RAFT_HEARTBEAT,
                                           .from = node == D ? 3 : D + 1,
                                           .to = node + 1,
                                           .term = 7,
                                           .commit = commit});
    UNTIL(s, script_term(s, node) == 7 && script_commit(s, node) >= commit);
}

/* In the figure nine entries are on a majority. */
static void figure_7(struct script *s)
{
    begin_with(s, LEADER, 7);
    add_and_commit(s, LEADER, 100);
    add_and_commit(s, LEADER, 20);
    catch_up(s, LEADER, 7);
    for (uint32_t i = LEADER; i <= F; i++) {
        script_cut_off(s, i);
    }
    for (uint32_t i = LEADER; i <= F; i++) {
        leave_entries(s, i, 4);
        hear_of_term_7(s, i, i == A || i == C ? 9 : 3);
    }
    for (uint32_t i = LEADER; i <= F; i++) {
        script_run(s, 20); /* all is durable */
        script_crash(s, i);
    }
    for (uint32_t i = LEADER; i <= F; i++) {
        script_restart(s, i);
        MUST(s, script_has_log(s, i, figure_7_logs[i]));
    }
    script_rejoin(s, LEADER);
    script_cut(s, way(LEADER, C));
    script_cut(s, way(LEADER, D));
    script_elect(s, LEADER); /* by a, b, e and f */
    MUST(s, script_term(s, LEADER) == 8);
    script_heal(s);
    for (uint32_t i = LEADER; i <= F; i++) {
        UNTIL(s, script_has_log(s, i, "11144556668"));
        UNTIL(s, script_commit(s, i) == 11);
        MUST(s, script_value(s, i) == 120);
    }
    MUST(s, script_leads(s, LEADER) && script_term(s, LEADER) == 8);
    script_finish(s, 7);
}

/* ---- figure 8 ---- */

/* (a) S1 leads and replicates an entry to S2 only; (b) S1 has crashed, S5 is
 * elected by S3 and S4, and takes another entry at the same index, alone. (c)
 * S5 has crashed, S1 is elected and replicates its old entry to S3: that is a
 * majority. Its own entry of the new term nobody else has. */
static size_t figure_8_abc(struct script *s)
{
    begin_with(s, S1, 5);
    script_limit(s, way(S1, S3), 1);
    script_limit(s, way(S1, S4), 1);
    script_limit(s, way(S1, S5), 1);
    size_t old = script_add(s, S1, 7); /* index 2 */
    UNTIL(s, script_match(s, S1, S2) == 2 && script_stable(s, S1) == 2);
    MUST(s, script_commit(s, S1) == 1);
    script_crash(s, S1);

    script_limit_all(s, S5, 1);
    script_cut(s, way(S5, S2));
    script_elect(s, S5);
    UNTIL(s, script_stable(s, S5) == 2);
    MUST(s, script_has_log(s, S5, "12") && script_last(s, S3) == 1);
    script_crash(s, S5);

    script_mend(s, way(S5, S2));
    script_restart(s, S1);
    script_cut(s, way(S1, S4));
    script_limit_all(s, S1, 2);
    script_elect(s, S1);
    UNTIL(s, script_match(s, S1, S2) == 2 && script_match(s, S1, S3) == 2);
    MUST(s, script_has_log(s, S1, "113") && script_has_log(s, S3, "11"));
    return old;
}

/* (d) */
static void figure_8_d(struct script *s)
{
    size_t old = figure_8_abc(s);
    DURING(s, 300, script_leads(s, S1));
    uint64_t commit = script_commit(s, S1);
    script_crash(s, S1);
    script_limit_all(s, S5, SCRIPT_NO_LIMIT);
    script_restart(s, S5);
    script_elect(s, S5); /* by S2, S3 and S4 */
    for (uint32_t i = S2; i <= S5; i++) {
        UNTIL(s, script_commit(s, i) == 3 && script_has_log(s, i, "124"));
    }
    script_finish(s, 5);
    MUST(s, script_has_log(s, S1, "124") && script_value(s, S1) == 0);
    MUST(s, commit < 2 && script_state(s, old) == SCRIPT_UNKNOWN);
}

/* (e): with an entry of its own term on a majority both are committed. */
static void figure_8_e(struct script *s)
{
    size_t old = figure_8_abc(s);
    MUST(s, script_commit(s, S1) < 2);
    script_limit_all(s, S1, SCRIPT_NO_LIMIT);
    UNTIL(s, script_commit(s, S1) == 3);
    MUST(s, script_state(s, old) == SCRIPT_UNKNOWN); /* nobody told it */
    script_crash(s, S1);
    script_limit_all(s, S5, SCRIPT_NO_LIMIT);
    script_restart(s, S5);
    for (uint32_t i = S2; i <= S4; i++) {
        script_lose(s, way(i, S5), SCRIPT_KIND(RAFT_APPEND));
    }
    DURING(s, 4000, !script_leads(s, S5));
    script_finish(s, 5);
    MUST(s, script_value(s, S5) == 7);
}

/* ---- members ---- */

/* Paper, section 6: it does not hear the leader any more, and stands for
 * election for ever. */
static void a_removed_server(struct script *s)
{
    begin_with(s, S1, 4);
    script_cut_off(s, S4); /* it does not even hear of it */
    MUST(s, script_remove(s, S1, S4) == ERR_NONE);
    UNTIL(s, script_members_committed(s, S1) == 3);
    uint64_t term = script_term(s, S1);
    script_rejoin(s, S4);
    DURING(s, 5000,
           script_leads(s, S1) && script_term(s, S1) == term &&
               !script_leads(s, S4));
    MUST(s, script_members(s, S4) == 4);
    add_and_commit(s, S1, 5);
    script_finish(s, 3);
    MUST(s, script_value(s, S3) == 5 && script_term(s, S1) == term);
}

/* Thesis, 4.2.2: it leads until that is committed, and does not count. */
static void a_leader_removes_itself(struct script *s)
{
    begin_with(s, S1, 3);
    script_cut(s, way(S1, S3));
    MUST(s, script_remove(s, S1, S1) == ERR_NONE);
    UNTIL(s, script_match(s, S1, S2) == 2 && script_stable(s, S1) == 2);
    DURING(s, 200, script_leads(s, S1) && script_commit(s, S1) == 1);
    script_mend(s, way(S1, S3));
    UNTIL(s, script_members_committed(s, S1) == 2 && !script_leads(s, S1));
    UNTIL(s, script_is_settled(s, S2) || script_is_settled(s, S3));
    DURING(s, 3000, !script_leads(s, S1));
    add_and_commit(s, script_leader(s), 5);
    script_finish(s, 2);
}

/* Ongaro, raft-dev, 10 July 2015: the changes of two leaders could have
 * majorities without a common server. S1 adds S5; S2 leads and removes S1: not
 * before an entry of its own term is committed. */
static void two_leaders_changes(struct script *s)
{
    begin_with(s, S1, 4);
    MUST(s, script_begin_replica(s, S1, S5) == ERR_NONE);
    UNTIL(s, script_commit(s, S5) == 2);
    catch_up(s, S1, 4);
    for (uint32_t i = S2; i <= S4; i++) {
        script_limit(s, way(S1, i), 2);
    }
    MUST(s, script_promote(s, S1, S5) == ERR_NONE);
    UNTIL(s, script_match(s, S1, S5) == 3);
    MUST(s, script_commit(s, S1) == 2);
    for (uint32_t i = S2; i <= S4; i++) {
        script_cut(s, way(S1, i));
        script_cut(s, way(S5, i));
    }
    script_limit(s, way(S2, S4), 2);
    script_elect(s, S2);
    UNTIL(s, script_match(s, S2, S3) == 3);
    MUST(s, script_remove(s, S2, S1) == ERR_BUSY);
    script_limit(s, way(S2, S4), 3);
    UNTIL(s, script_is_settled(s, S2) && script_last(s, S4) == 3);
    MUST(s, script_remove(s, S2, S1) == ERR_NONE);
    UNTIL(s, script_members_committed(s, S2) == 4); /* by S2 and S3: S5 is */
    MUST(s, script_last(s, S4) == 3);               /* there, and no voter */

    UNTIL(s, !script_leads(s, S1));
    script_cut_off(s, S2); /* S1, S4 and S5 are three of S1's five */
    script_cut_off(s, S3);
    script_mend(s, way(S1, S4));
    script_mend(s, way(S5, S4));
    DURING(s, 5000,
           !script_is_settled(s, S1) && !script_is_settled(s, S5) &&
               !script_is_settled(s, S4));
    script_heal(s);
    UNTIL(s, script_members_committed(s, S5) == 4 &&
                 script_leader(s) != SCRIPT_NOBODY);
    promote(s, script_leader(s), S5);
    script_finish(s, 4);
}

/* A leader that nobody hears would be alone after two changes. */
static void two_changes_at_once(struct script *s)
{
    begin_with(s, S1, 3);
    script_cut_off(s, S1);
    MUST(s, script_remove(s, S1, S3) == ERR_NONE);
    enum err second = script_remove(s, S1, S2);
    (void)script_add(s, S1, 7);
    script_elect(s, S2);
    add_and_commit(s, S2, 8);
    script_finish(s, 3);
    MUST(s, second == ERR_BUSY && script_value(s, S1) == 8);
}

/* What it needs is in no log any more, and the group goes on meanwhile. */
static void a_new_server_gets_a_snapshot(struct script *s)
{
    begin_with(s, S1, 3);
    for (int64_t i = 0; i < 40; i++) {
        add_and_commit(s, S1, 1);
    }
    UNTIL(s, script_snapshot_index(s, S1) > 1);
    script_hold(s, way(S1, S4), SCRIPT_KIND(RAFT_SNAPSHOT));
    MUST(s, script_begin_replica(s, S1, S4) == ERR_NONE);
    UNTIL(s, script_number(s, S4) == 4);
    MUST(s, script_promote(s, S1, S4) == ERR_BUSY); /* it has nothing */
    uint64_t index = script_snapshot_index(s, S1);
    for (int64_t i = 0; i < 40; i++) {
        add_and_commit(s, S1, 1);
    }
    MUST(s, script_last(s, S4) == 0);
    script_release(s);
    for (int64_t i = 0; i < 10; i++) {
        add_and_commit(s, S1, 1);
    }
    UNTIL(s, script_snapshot_index(s, S4) >= index);
    UNTIL(s, script_value(s, S4) == 90);
    promote(s, S1, S4);
    script_crash(s, S2);
    add_and_commit(s, S1, 10); /* by S1, S3 and S4 */
    script_finish(s, 4);
    MUST(s, script_value(s, S4) == 100);
}

/* It has forgotten its vote and its log: it must not be counted. */
static void a_voter_that_lost_its_disk(struct script *s)
{
    begin_with(s, S1, 3);
    script_cut_off(s, S3);
    add_and_commit(s, S1, 7); /* by S1 and S2 */
    script_crash(s, S1);
    script_replace_disk(s, S2);
    script_rejoin(s, S3);
    /* With S2 under its old number S3 would lead, without the entry. */
    DURING(s, 4000, !script_leads(s, S3) && script_number(s, S2) == 0);
    script_restart(s, S1);
    UNTIL(s, script_is_settled(s, S1));
    MUST(s, script_remove(s, S1, S2) == ERR_NONE);
    UNTIL(s, script_members_committed(s, S1) == 2);
    MUST(s, script_begin_replica(s, S1, S2) == ERR_NONE);
    UNTIL(s, script_number(s, S2) == 4 && script_value(s, S2) == 7);
    promote(s, S1, S2);
    script_finish(s, 3);
    MUST(s, script_number(s, S2) == 4);
}

/* ---- leadership ---- */

/* Thesis, 3.10 */
static void transfer_under_load(struct script *s)
{
    begin_with(s, S1, 3);
    int64_t done = 0;
    int64_t unknown = 0;
    size_t requests[120];
    for (uint32_t i = 0; i < 120; i++) {
        uint32_t leader = script_leads(s, S1) ? S1 : S2;
        requests[i] = script_add(s, leader, 1);
        if (i == 40) {
            MUST(s, script_transfer(s, S1, S2) == ERR_NONE);
        }
    }
    UNTIL(s, script_is_settled(s, S2));
    MUST(s, script_term(s, S2) == 2);
    for (uint32_t i = 0; i < 120; i++) {
        UNTIL(s, script_state(s, requests[i]) != SCRIPT_WAITS);
        done += script_state(s, requests[i]) == SCRIPT_DONE;
        unknown += script_state(s, requests[i]) == SCRIPT_UNKNOWN;
    }
    script_finish(s, 3);
    MUST(s, done + unknown > 40); /* what S1 had taken in before */
    MUST(s, script_value(s, S3) >= done);
    MUST(s, script_value(s, S3) <= done + unknown);
}

/* One that comes when it was given up long ago hurts nobody. */
static void a_late_transfer(struct script *s)
{
    begin_with(s, S1, 3);
    script_hold(s, way(S1, S2), SCRIPT_KIND(RAFT_TIMEOUT_NOW));
    MUST(s, script_transfer(s, S1, S2) == ERR_NONE);
    size_t waiting = script_add(s, S1, 1);
    DURING(s, 300, script_state(s, waiting) == SCRIPT_WAITS);
    UNTIL(s, script_state(s, waiting) == SCRIPT_DONE); /* given up */
    add_and_commit(s, S1, 2);
    UNTIL(s, script_stable(s, S2) == script_last(s, S1));
    script_release(s);
    UNTIL(s, script_is_settled(s, S2)); /* it has all that is committed */
    script_finish(s, 3);
    MUST(s, script_value(s, S1) == 3);
}

/* Thesis, 9.6 */
static void pre_vote(struct script *s)
{
    begin_with(s, S1, 3);
    uint64_t term = script_term(s, S1);
    script_cut_off(s, S3);
    DURING(s, 5000, script_term(s, S3) == term);
    add_and_commit(s, S1, 5);
    script_rejoin(s, S3);
    DURING(s, 3000, script_leads(s, S1) && script_term(s, S1) == term);
    MUST(s, script_value(s, S3) == 5);
    script_finish(s, 3);
}

/* Thesis, 6.2: it is heard, and hears nobody. */
static void check_quorum(struct script *s)
{
    begin_with(s, S1, 3);
    script_lose(s, way(S2, S1), SCRIPT_EVERY_KIND);
    script_lose(s, way(S3, S1), SCRIPT_EVERY_KIND);
    size_t lost = script_add(s, S1, 5);
    MUST(s, script_leads(s, S1));
    script_run(s, 1000);
    MUST(s, !script_leads(s, S1));
    MUST(s, script_state(s, lost) == SCRIPT_UNKNOWN);
    UNTIL(s, script_is_settled(s, S2) || script_is_settled(s, S3));
    add_and_commit(s, script_leader(s), 10);
    script_finish(s, 3);
    MUST(s, script_value(s, S1) == 15); /* they had it */
}

/* Thesis, 6.4: it does not know yet that another leads. */
static void a_read_of_a_deposed_leader(struct script *s)
{
    begin_with(s, S1, 3);
    script_cut_off(s, S1);
    script_elect(s, S2);
    add_and_commit(s, S2, 5);
    MUST(s, script_leads(s, S1));
    size_t stale = script_read(s, S1);
    script_run(s, 1000);
    script_heal(s);
    UNTIL(s, script_state(s, stale) != SCRIPT_WAITS);
    bool is_answered = script_state(s, stale) == SCRIPT_DONE;
    size_t fresh = script_read(s, S2);
    UNTIL(s, script_state(s, fresh) == SCRIPT_DONE);
    MUST(s, script_answer(s, fresh) == 5);
    script_finish(s, 3);
    MUST(s, !is_answered);
}

/* ---- disks ---- */

/* S2's sync hangs: what it has is no agreement, and is lost with its power. */
static void an_acknowledgement_waits_for_the_sync(struct script *s)
{
    begin_with(s, S1, 3);
    script_cut_off(s, S3);
    script_hang_disk(s, S2, true);
    size_t request = script_add(s, S1, 7);
    UNTIL(s, script_last(s, S2) == 2);
    script_run(s, 300);
    script_crash(s, S1);
    script_crash(s, S2);
    script_rejoin(s, S3);
    script_restart(s, S2);
    MUST(s, script_has_log(s, S2, "1"));
    script_elect(s, S3);
    script_finish(s, 3);
    MUST(s, script_state(s, request) == SCRIPT_UNKNOWN);
    MUST(s, script_value(s, S1) == 0);
}

/* S3 grants its vote to S1 while its sync hangs, and its power goes. */
static void a_vote_waits_for_the_sync(struct script *s)
{
    script_cut(s, way(S1, S2));
    script_lose(s, way(S3, S2), SCRIPT_EVERY_KIND);
    script_run(s, 20);
    script_hold(s, way(S1, S3), SCRIPT_KIND(RAFT_VOTE));
    script_lose(s, way(S2, S3), SCRIPT_KIND(RAFT_PRE_VOTE));
    script_lose(s, way(S3, S1), SCRIPT_KIND(RAFT_PRE_VOTE));
    UNTIL(s, script_term(s, S1) == 1); /* a candidate */
    script_run(s, 20);
    script_hang_disk(s, S3, true);
    script_release(s);
    script_run(s, 300);
    script_crash(s, S3);
    bool leads = script_leads(s, S1);
    script_cut_off(s, S1);
    script_restart(s, S3);
    MUST(s, script_term(s, S3) == 0); /* it knows nothing of it */
    script_lose(s, way(S2, S3), 0);
    script_lose(s, way(S3, S2), 0);
    script_elect(s, S2);
    script_finish(s, 3);
    MUST(s, !leads);
}

/* clang-format off */
const struct paper_case paper_cases[PAPER_CASE_COUNT] = {
    {"figure 7: any log becomes the leader's", 7, 7, 0, figure_7},
    {"figure 8 d: an entry of an older term is not committed by counting",
     5, 5, 0, figure_8_d},
    {"figure 8 e: an entry of its own term commits what is before it",
     5, 5, 0, figure_8_e},
    {"a removed server disrupts nobody", 4, 4, 0, a_removed_server},
    {"a leader that removes itself leads until that is committed",
     3, 3, 0, a_leader_removes_itself},
    {"changes of two leaders have a common server", 5, 4, 0,
     two_leaders_changes},
    {"one change at a time is under way", 3, 3, 0, two_changes_at_once},
    {"a new server is caught up by a snapshot while the group goes on",
     4, 3, 512, a_new_server_gets_a_snapshot},
    {"a voter that lost its disk comes back as another", 3, 3, 0,
     a_voter_that_lost_its_disk},
    {"leadership is handed over under load", 3, 3, 0, transfer_under_load},
    {"a transfer that comes late hurts nobody", 3, 3, 0, a_late_transfer},
    {"pre-vote: who was cut off deposes no leader", 3, 3, 0, pre_vote},
    {"check-quorum: a leader that hears nobody steps down", 3, 3, 0,
     check_quorum},
    {"a deposed leader answers no read", 3, 3, 0, a_read_of_a_deposed_leader},
    {"an acknowledgement waits for the sync", 3, 3, 0,
     an_acknowledgement_waits_for_the_sync},
    {"a vote waits for the sync", 3, 3, 0, a_vote_waits_for_the_sync},
};
/* clang-format on */

struct paper_outcome paper_cases_play(const struct paper_case *which,
                                      const struct cluster_sim_config *sim)
{
    struct script *script = script_open(&(struct script_config){
        .sim = *sim,
        .node_count = which->node_count,
        .founder_count = which->founder_count,
        .snapshot_log_bytes = which->snapshot_log_bytes,
    });
    which->play(script);
    struct paper_outcome outcome = {.checker = script_checker(script)};
    const char *broken = script_broken(script);
    assert(strlen(broken) < sizeof outcome.broken);
    memcpy(outcome.broken, broken, strlen(broken) + 1);
    script_close(&script);
    return outcome;
}
