#include "cluster/raft_core.h"

#include "store/raft_configuration.h"

/* Who has asked for votes knows that the leader is gone: when it got too few,
 * because another asked at the same time or did not know yet, it need not wait
 * for a whole timeout again. */
static void wait_to_ask_again(struct raft *raft, uint64_t now_ns)
{
    raft->election_at_ns =
        now_ns + raft->config.election_ns / AGAIN_PART +
        raft_core_random_ns(raft, raft->config.election_ns / 2);
}

/* Who is being removed may still be needed until that is committed: perhaps
 * nobody else has the entry (thesis, 4.2.2). Its own vote does not count. After
 * a restart it does not know which one of those in the log is committed. */
static bool is_needed(const struct raft *raft)
{
    const struct raft_epoch *newest = raft_log_newest(&raft->log);
    for (const struct raft_epoch *epoch =
             raft_log_epoch(&raft->log, raft->commit);
         epoch <= newest; epoch++) {
        if (raft_configuration_has_voter(&epoch->configuration,
                                         raft->config.number)) {
            return true;
        }
    }
    return false;
}

bool raft_vote_may_campaign(const struct raft *raft)
{
    return raft->role != RAFT_LEADER && !raft->is_retired && is_needed(raft) &&
           !raft_core_is_writing(raft);
}

/* Who has no applied state can lead only to hand over: it stands when the
 * others had time to, for nobody else may have a log that is long enough. */
uint64_t raft_vote_due_ns(const struct raft *raft)
{
    return raft->election_at_ns +
           (raft->needs_snapshot ? LAST_ELECTIONS * raft->config.election_ns
                                 : 0);
}

static void grant_to_self(struct raft *raft)
{
    raft->granted_count = 0;
    if (raft_core_is_voter(raft)) {
        raft->voters[raft->granted_count++] = raft->config.number;
    }
}

/* True when it makes a majority. */
static bool count_vote(struct raft *raft, uint64_t number)
{
    for (uint32_t i = 0; i < raft->granted_count; i++) {
        if (raft->voters[i] == number) {
            return false;
        }
    }
    if (raft_configuration_has_voter(raft_core_newest(raft), number) &&
        raft->granted_count < RAFT_MEMBERS_MAX) {
        raft->voters[raft->granted_count++] = number;
    }
    return raft->granted_count >= raft_core_majority(raft);
}

static void ask_for_votes(struct raft *raft,
                          enum raft_message_kind kind,
                          uint64_t term)
{
    const struct raft_configuration *members = raft_core_newest(raft);
    for (uint32_t i = 0; i < members->count; i++) {
        const struct raft_member *member = &members->members[i];
        if (member->is_voter && member->number != raft->config.number) {
            raft_core_send(
                raft, &(struct raft_message){
                          .kind = kind,
                          .to = member->number,
                          .term = term,
                          .index = raft_core_last_index(raft),
                          .log_term = raft_log_term(&raft->log,
                                                    raft_core_last_index(raft)),
                          .is_transfer = raft->is_transfer});
        }
    }
}

void raft_vote_answer(struct raft *raft,
                      enum raft_message_kind kind,
                      uint64_t to,
                      uint64_t term,
                      bool is_granted)
{
    raft_core_send(
        raft, &(struct raft_message){
                  .kind = kind, .to = to, .term = term, .is_ok = is_granted});
}

/* Term and vote may be durable by now: say what was waiting for that. */
void raft_vote_settle(struct raft *raft, uint64_t now_ns)
{
    if (!raft_core_is_term_durable(raft)) {
        return;
    }
    if (raft->vote_to != 0) {
        raft_vote_answer(raft, RAFT_VOTE_REPLY, raft->vote_to, raft->term,
                         true);
        raft->vote_to = 0;
    }
    if (raft->is_vote_request_due) {
        raft->is_vote_request_due = false;
        if (raft->granted_count >= raft_core_majority(raft)) {
            raft_leader_begin(raft, now_ns);
        } else {
            ask_for_votes(raft, RAFT_VOTE, raft->term);
        }
    }
}

/* Stand for election; the requests leave when the own vote is durable. */
static void campaign(struct raft *raft, uint64_t now_ns, bool is_transfer)
{
    raft->role = RAFT_CANDIDATE;
    raft->leader = 0;
    raft->term++;
    raft->vote = raft->config.number;
    raft->vote_to = 0;
    raft->is_transfer = is_transfer;
    raft->is_vote_request_due = true;
    grant_to_self(raft);
    raft_core_save_vote(raft);
    wait_to_ask_again(raft, now_ns);
    raft_core_tell_change(raft);
    raft_vote_settle(raft, now_ns);
}

/* Ask whether an election would be won, which disturbs nobody. */
void raft_vote_pre_campaign(struct raft *raft, uint64_t now_ns)
{
    bool is_change = raft->role != RAFT_PRE_CANDIDATE || raft->leader != 0;
    raft->role = RAFT_PRE_CANDIDATE;
    raft->leader = 0;
    raft->is_transfer = false;
    grant_to_self(raft);
    wait_to_ask_again(raft, now_ns);
    if (is_change) {
        raft_core_tell_change(raft);
    }
    if (raft->granted_count >= raft_core_majority(raft)) {
        campaign(raft, now_ns, false);
    } else {
        ask_for_votes(raft, RAFT_PRE_VOTE, raft->term + 1);
    }
}

void raft_vote_on_timeout_now(struct raft *raft,
                              uint64_t now_ns,
                              const struct raft_message *message)
{
    /* The leader sends it when all is durable here: one that comes while
     * something is being written is an old one. */
    if (raft->role == RAFT_FOLLOWER && message->from == raft->leader &&
        !raft->needs_snapshot && raft_vote_may_campaign(raft)) {
        campaign(raft, now_ns, true);
    }
}

static bool is_up_to_date(const struct raft *raft,
                          const struct raft_message *message)
{
    uint64_t last = raft_core_last_index(raft);
    uint64_t term = raft_log_term(&raft->log, last);
    return message->log_term > term ||
           (message->log_term == term && message->index >= last) ||
           HAS_FAULT(raft, STALE_LOG_ELECTED);
}

/* A leader that is alive is not to be replaced. */
bool raft_vote_has_fresh_leader(const struct raft *raft, uint64_t now_ns)
{
    return raft->role == RAFT_LEADER ||
           (raft->leader != 0 &&
            now_ns - raft->heard_ns < raft->config.election_ns);
}

void raft_vote_on_pre_vote(struct raft *raft,
                           uint64_t now_ns,
                           const struct raft_message *message)
{
    bool is_granted = message->term > raft->term &&
                      !raft_vote_has_fresh_leader(raft, now_ns) &&
                      is_up_to_date(raft, message);
    raft_vote_answer(raft, RAFT_PRE_VOTE_REPLY, message->from,
                     is_granted ? message->term : raft->term, is_granted);
}

void raft_vote_on_pre_vote_reply(struct raft *raft,
                                 uint64_t now_ns,
                                 const struct raft_message *message)
{
    if (!message->is_ok) {
        if (message->term > raft->term) {
            raft_core_follow(raft, now_ns, message->term, 0);
        }
    } else if (raft->role == RAFT_PRE_CANDIDATE &&
               message->term == raft->term + 1 &&
               count_vote(raft, message->from)) {
        if (raft_vote_may_campaign(raft)) {
            campaign(raft, now_ns, false);
        }
    }
}

void raft_vote_on_vote(struct raft *raft,
                       uint64_t now_ns,
                       const struct raft_message *message)
{
    bool may_vote = (raft->vote == 0 && raft->leader == 0) ||
                    raft->vote == message->from ||
                    (HAS_FAULT(raft, VOTE_TWICE) && message->is_transfer);
    if (!may_vote || !is_up_to_date(raft, message)) {
        raft_vote_answer(raft, RAFT_VOTE_REPLY, message->from, raft->term,
                         false);
        return;
    }
    if (raft->vote != message->from) {
        raft->vote = message->from;
        raft_core_save_vote(raft);
        raft_core_wait_for_election(raft, now_ns);
    }
    raft->vote_to = message->from;
    raft_vote_settle(raft, now_ns);
}

void raft_vote_on_vote_reply(struct raft *raft,
                             uint64_t now_ns,
                             const struct raft_message *message)
{
    if (raft->role == RAFT_CANDIDATE && message->is_ok &&
        !raft->is_vote_request_due && count_vote(raft, message->from)) {
        raft_leader_begin(raft, now_ns);
    }
}
