#include "cluster/raft.h"

#include "cluster/raft_core.h"
#include "store/raft_configuration.h"

#include <assert.h>
#include <stdlib.h>

/* ---- events ---- */

static bool is_from_leader(enum raft_message_kind kind)
{
    return kind == RAFT_APPEND || kind == RAFT_HEARTBEAT ||
           kind == RAFT_SNAPSHOT || kind == RAFT_TIMEOUT_NOW;
}

/* Bring terms together. False when the message needs nothing more. */
static bool meet_term(struct raft *raft,
                      uint64_t now_ns,
                      const struct raft_message *message)
{
    bool is_leader = is_from_leader(message->kind);
    if (message->term < raft->term) {
        if (is_leader) { /* it shall learn that it is not any more */
            raft_core_send(raft,
                           &(struct raft_message){.kind = RAFT_APPEND_REPLY,
                                                  .to = message->from,
                                                  .term = raft->term});
        } else if (message->kind == RAFT_VOTE) {
            raft_vote_answer(raft, RAFT_VOTE_REPLY, message->from, raft->term,
                             false);
        }
        return false;
    }
    if (message->kind == RAFT_VOTE && message->term > raft->term &&
        !message->is_transfer && raft_vote_has_fresh_leader(raft, now_ns)) {
        return false;
    }
    if (message->term > raft->term) {
        raft_core_follow(raft, now_ns, message->term,
                         is_leader ? message->from : 0);
    }
    if (is_leader) {
        if (raft->role == RAFT_LEADER) {
            raft->contradiction_count++; /* two leaders of one term */
            return false;
        }
        if (raft->role != RAFT_FOLLOWER || raft->leader != message->from) {
            raft_core_follow(raft, now_ns, raft->term, message->from);
        }
        raft->heard_ns = now_ns;
        raft_core_wait_for_election(raft, now_ns);
    }
    return true;
}

void raft_receive(struct raft *raft,
                  uint64_t now_ns,
                  const struct raft_message *message)
{
    if (message->to != raft->config.number) {
        return; /* for one that was here before */
    }
    if (raft->is_retired || raft_generation_of(message->from) !=
                                raft_generation_of(raft->config.number)) {
        return;
    }
    if (message->kind == RAFT_PRE_VOTE) {
        raft_vote_on_pre_vote(raft, now_ns, message);
        return;
    }
    if (message->kind == RAFT_PRE_VOTE_REPLY) {
        raft_vote_on_pre_vote_reply(raft, now_ns, message);
        return;
    }
    if (!meet_term(raft, now_ns, message)) {
        return;
    }
    switch (message->kind) {
    case RAFT_VOTE:
        raft_vote_on_vote(raft, now_ns, message);
        break;
    case RAFT_VOTE_REPLY:
        raft_vote_on_vote_reply(raft, now_ns, message);
        break;
    case RAFT_APPEND:
        raft_follower_on_append(raft, message);
        break;
    case RAFT_APPEND_REPLY:
        raft_leader_on_append_reply(raft, now_ns, message);
        break;
    case RAFT_HEARTBEAT:
        raft_follower_on_heartbeat(raft, message);
        break;
    case RAFT_HEARTBEAT_REPLY:
        raft_leader_on_heartbeat_reply(raft, now_ns, message);
        break;
    case RAFT_SNAPSHOT:
        raft_follower_on_snapshot(raft, message);
        break;
    case RAFT_SNAPSHOT_REPLY: /* what it says is the caller's */
        (void)raft_leader_hear(raft, now_ns, message);
        break;
    case RAFT_TIMEOUT_NOW:
        raft_vote_on_timeout_now(raft, now_ns, message);
        break;
    case RAFT_PRE_VOTE:
    case RAFT_PRE_VOTE_REPLY:
    case RAFT_MESSAGE_KIND_COUNT:
        break;
    }
}

void raft_stored(struct raft *raft, uint64_t now_ns, uint64_t number)
{
    raft_log_stored(&raft->log, number);
    if (raft->term_write != 0 && raft->term_write <= number) {
        raft->term_write = 0;
    }
    raft_vote_settle(raft, now_ns);
    if (raft->role == RAFT_LEADER) {
        raft_leader_advance_commit(raft, now_ns);
    } else if (raft->role == RAFT_FOLLOWER) {
        raft_follower_commit(raft, raft->leader_commit);
        raft_follower_acknowledge(raft);
    }
}

/* ---- time ---- */

void raft_tick(struct raft *raft, uint64_t now_ns)
{
    if (!raft->is_started) {
        return;
    }
    if (raft->role != RAFT_LEADER) {
        if (now_ns >= raft_vote_due_ns(raft)) {
            if (raft_vote_may_campaign(raft)) {
                raft_vote_pre_campaign(raft, now_ns);
            } else if (raft->leader != 0 && !raft_core_is_voter(raft)) {
                /* Who cannot stand must not believe in it for ever: it may lead
                 * no more, and nobody tells who was removed meanwhile. */
                raft->leader = 0;
                raft_core_tell_change(raft);
            }
        }
        return;
    }
    if (raft->transfer_to != 0 && now_ns >= raft->transfer_until_ns) {
        raft->transfer_to = 0;
    }
    raft_progress_repeat(raft, now_ns);
    raft_leader_check_quorum(raft, now_ns);
}

uint64_t raft_due_ns(const struct raft *raft)
{
    return raft->role == RAFT_LEADER ? UINT64_MAX : raft_vote_due_ns(raft);
}

/* How many others should ask first when the leader is lost: one after another,
 * since those who ask at the same time split the votes. */
static uint32_t turn_after(const struct raft *raft, uint64_t leader)
{
    const struct raft_configuration *members = raft_core_newest(raft);
    uint32_t count = 0;
    uint32_t own = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        const struct raft_member *member = &members->members[i];
        if (member->number == raft->config.number) {
            own = count;
        }
        count += member->is_voter && member->number != leader;
    }
    return count > 0 ? (own + raft->config.rotation) % count : 0;
}

void raft_node_lost(struct raft *raft, uint64_t now_ns, uint32_t node)
{
    const struct raft_member *leader =
        raft_configuration_find(raft_core_newest(raft), raft->leader);
    if (raft->role == RAFT_FOLLOWER && leader && leader->node == node) {
        uint64_t soon_ns = raft->config.election_ns / SOON_PART;
        raft->election_at_ns = now_ns +
                               turn_after(raft, raft->leader) * soon_ns +
                               raft_core_random_ns(raft, soon_ns / 4);
        raft->leader = 0;
        raft_core_tell_change(raft);
    }
}

void raft_campaign_soon(struct raft *raft, uint64_t now_ns)
{
    raft->election_at_ns =
        now_ns +
        raft_core_random_ns(raft, raft->config.election_ns / SOON_PART);
}

/* ---- snapshots ---- */

void raft_compact(struct raft *raft, uint64_t index)
{
    assert(index <= raft->commit);
    if (index <= raft->log.snapshot_index) {
        return;
    }
    raft_log_compact(&raft->log, index, raft->config.keep_bytes);
    raft_core_save_snapshot(raft, index);
}

void raft_keep(struct raft *raft, size_t keep_bytes)
{
    raft->config.keep_bytes = keep_bytes;
    raft_log_compact(&raft->log, raft->log.snapshot_index, keep_bytes);
}

bool raft_install(struct raft *raft,
                  uint64_t now_ns,
                  uint64_t index,
                  uint64_t term,
                  const struct raft_configuration *configuration)
{
    if (index <= raft->commit) {
        bool is_wanted =
            raft->needs_snapshot && index >= raft->log.snapshot_index;
        if (is_wanted) {
            raft->needs_snapshot = false;
            raft_compact(raft, index);
        }
        return is_wanted;
    }
    if (raft->role != RAFT_FOLLOWER) {
        raft_core_step_down(
            raft, now_ns); /* it has asked for votes with another log */
    }
    raft->needs_snapshot = false;
    if (raft_log_term(&raft->log, index) == term) {
        /* What follows it stays. */
        raft_log_compact(&raft->log, index, 0);
    } else if (raft_log_install(&raft->log, index, term, configuration)) {
        return false; /* cannot be: there is room */
    }
    raft->commit = index;
    if (raft->leader_commit < index) {
        raft->leader_commit = index;
    }
    if (raft->verified < index) {
        raft->verified = index;
    }
    raft_core_save_snapshot(raft, index);
    raft->owes_ack = true;
    raft_core_wait_for_election(raft, now_ns);
    return true;
}

void raft_needs_snapshot(struct raft *raft, bool needs)
{
    raft->needs_snapshot = needs;
}

/* ---- life ---- */

FALLIBLE raft_open(struct raft **out,
                   const struct raft_config *config,
                   const struct raft_past *past)
{
    assert(config->number != 0);
    assert(config->inflight_count_max > 0 &&
           config->inflight_count_max <= INFLIGHT_MAX);
    struct raft *raft = calloc(1, sizeof *raft);
    if (!raft) {
        return ERR_MEMORY;
    }
    raft->config = *config;
    enum err err = raft_log_init(&raft->log, past->snapshot_index,
                                 past->snapshot_term, past->configuration);
    if (err) {
        raft_close(&raft);
        return err;
    }
    raft->term = past->term;
    raft->vote = past->vote;
    raft->commit = past->snapshot_index;
    raft->leader_commit = raft->commit;
    raft->verified = raft->commit;
    *out = raft;
    return ERR_NONE;
}

void raft_close(struct raft **raft)
{
    if (*raft) {
        raft_log_clear(&(*raft)->log);
        free(*raft);
        *raft = NULL;
    }
}

FALLIBLE raft_restore(struct raft *raft, const struct raft_entry *entry)
{
    assert(!raft->is_started);
    if (entry->index != raft_core_last_index(raft) + 1 ||
        entry->term > raft->term ||
        entry->term < raft_log_term(&raft->log, raft_core_last_index(raft))) {
        return ERR_MALFORMED;
    }
    enum err err = raft_log_append(&raft->log, entry);
    if (!err) {
        raft->log.stable = entry->index;
    }
    return err;
}

void raft_start(struct raft *raft, uint64_t now_ns)
{
    raft->is_started = true;
    raft_core_draw_patience(raft, now_ns);
}

/* ---- what is ---- */

enum raft_role raft_role(const struct raft *raft)
{
    return raft->role;
}

uint64_t raft_term(const struct raft *raft)
{
    return raft->term;
}

uint64_t raft_leader(const struct raft *raft)
{
    return raft->leader;
}

uint64_t raft_number(const struct raft *raft)
{
    return raft->config.number;
}

uint64_t raft_commit_index(const struct raft *raft)
{
    return raft->commit;
}

uint64_t raft_last_index(const struct raft *raft)
{
    return raft_core_last_index(raft);
}

uint64_t raft_last_term(const struct raft *raft)
{
    return raft_log_term(&raft->log, raft_core_last_index(raft));
}

uint64_t raft_stable_index(const struct raft *raft)
{
    return raft->log.stable;
}

uint64_t raft_snapshot_index(const struct raft *raft)
{
    return raft->log.snapshot_index;
}

size_t raft_log_bytes(const struct raft *raft)
{
    return raft->log.bytes;
}

bool raft_is_settled(const struct raft *raft)
{
    return raft->role == RAFT_LEADER && raft->commit >= raft->first_own &&
           !raft->needs_snapshot;
}

const struct raft_entry *raft_entry_at(const struct raft *raft, uint64_t index)
{
    return raft_log_entry(&raft->log, index);
}

const struct raft_configuration *raft_configuration_at(const struct raft *raft,
                                                       uint64_t index)
{
    return &raft_log_epoch(&raft->log, index)->configuration;
}

const struct raft_configuration *raft_newest_configuration(
    const struct raft *raft)
{
    return raft_core_newest(raft);
}

const struct raft_configuration *raft_committed_configuration(
    const struct raft *raft)
{
    return raft_configuration_at(raft, raft->commit);
}

uint64_t raft_contradiction_count(const struct raft *raft)
{
    return raft->contradiction_count;
}

uint64_t raft_match_index(const struct raft *raft, uint64_t number)
{
    for (uint32_t i = 0; i < raft->other_count; i++) {
        if (raft->others[i].number == number) {
            return raft->others[i].match;
        }
    }
    return number == raft->config.number ? raft->log.stable : 0;
}
