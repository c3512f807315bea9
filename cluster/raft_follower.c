#include "cluster/raft_core.h"

/* Tell the leader how much is durable here, as far as it is its log. */
void raft_follower_acknowledge(struct raft *raft)
{
    uint64_t durable = HAS_FAULT(raft, ACK_BEFORE_SYNC)
                           ? raft_core_last_index(raft)
                           : raft->log.stable;
    uint64_t match = raft->verified < durable ? raft->verified : durable;
    if (raft->role != RAFT_FOLLOWER || raft->leader == 0 ||
        !raft_core_is_term_durable(raft)) {
        return;
    }
    if (match > raft->acked || (raft->owes_ack && match == raft->verified)) {
        raft->acked = match;
        raft->owes_ack = raft->owes_ack && match < raft->verified;
        raft_core_send(raft, &(struct raft_message){.kind = RAFT_APPEND_REPLY,
                                                    .to = raft->leader,
                                                    .term = raft->term,
                                                    .index = match,
                                                    .is_ok = true,
                                                    .needs_snapshot =
                                                        raft->needs_snapshot});
    }
}

void raft_follower_commit(struct raft *raft, uint64_t leader_commit)
{
    uint64_t known =
        leader_commit < raft->verified ? leader_commit : raft->verified;
    if (known > raft->leader_commit) {
        raft->leader_commit = known;
    }
    uint64_t index = raft->leader_commit < raft->log.stable
                         ? raft->leader_commit
                         : raft->log.stable;
    if (index > raft->commit) {
        raft->commit = index;
    }
}

/* The newest index at or before `index` whose term may be the leader's. */
static void reject(struct raft *raft, const struct raft_message *message)
{
    uint64_t hint = raft_core_last_index(raft);
    if (hint >= message->index) {
        hint = message->index - 1;
    }
    while (hint > raft->commit && hint >= raft->log.first &&
           raft_log_term(&raft->log, hint) > message->log_term) {
        hint--;
    }
    raft_core_send(raft, &(struct raft_message){
                             .kind = RAFT_APPEND_REPLY,
                             .to = message->from,
                             .term = raft->term,
                             .index = message->index,
                             .hint_index = hint,
                             .hint_term = raft_log_term(&raft->log, hint),
                             .needs_snapshot = raft->needs_snapshot});
}

/* Take the entries that are new, as far as there is memory: what is missing is
 * not acknowledged, and sent again. */
static void take_entries(struct raft *raft, const struct raft_message *message)
{
    for (uint32_t i = 0; i < message->entry_count; i++) {
        const struct raft_entry *entry = &message->entries[i];
        if (entry->index <= raft->commit) {
            uint64_t term = raft_log_term(&raft->log, entry->index);
            raft->contradiction_count += term != 0 && term != entry->term;
            continue;
        }
        if (entry->index <= raft_core_last_index(raft)) {
            if (raft_log_term(&raft->log, entry->index) == entry->term) {
                raft->verified = entry->index > raft->verified ? entry->index
                                                               : raft->verified;
                continue;
            }
            struct raft_epoch kept = *raft_log_newest(&raft->log);
            raft_log_truncate(&raft->log, entry->index);
            if (HAS_FAULT(raft, KEEP_CONFIGURATION)) {
                raft->log.epochs[raft->log.epoch_count - 1].configuration =
                    kept.configuration;
            }
        }
        if (raft_core_append(raft, entry)) {
            return;
        }
        raft->verified = entry->index;
    }
}

void raft_follower_on_append(struct raft *raft,
                             const struct raft_message *message)
{
    uint64_t previous = message->index;
    if (previous > raft_core_last_index(raft) ||
        (previous > raft->commit &&
         raft_log_term(&raft->log, previous) != message->log_term)) {
        reject(raft, message);
        return;
    }
    /* What is committed is the same everywhere. */
    if (previous > raft->verified) {
        raft->verified = previous;
    }
    if (raft->commit > raft->verified) {
        raft->verified = raft->commit;
    }
    take_entries(raft, message);
    raft->owes_ack = true;
    raft_follower_commit(raft, message->commit);
    raft_follower_acknowledge(raft);
}

void raft_follower_on_heartbeat(struct raft *raft,
                                const struct raft_message *message)
{
    /* It has heard from us that we have so much of its log, in an earlier life
     * perhaps: nothing else would tell us when the group is idle. */
    if (message->commit > raft->verified &&
        message->commit <= raft_core_last_index(raft)) {
        raft->verified = message->commit;
    }
    raft_follower_commit(raft, message->commit);
    if (raft_core_is_term_durable(raft)) {
        uint64_t stable = raft->log.stable;
        raft_core_send(
            raft,
            &(struct raft_message){
                .kind = RAFT_HEARTBEAT_REPLY,
                .to = message->from,
                .term = raft->term,
                .index = raft->verified < stable ? raft->verified : stable,
                .round = message->round,
                .is_ok = true,
                .needs_snapshot = raft->needs_snapshot});
    }
}

/* The pieces are the caller's; what is old already needs none. */
void raft_follower_on_snapshot(struct raft *raft,
                               const struct raft_message *message)
{
    if (message->index <= raft->commit && !raft->needs_snapshot) {
        if (raft->commit > raft->verified) {
            raft->verified = raft->commit;
        }
        raft->owes_ack = true;
        raft_follower_acknowledge(raft);
    }
}
