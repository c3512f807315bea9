#include "cluster/raft_core.h"

#include "store/raft_configuration.h"

#include <assert.h>

const struct raft_configuration *raft_core_newest(const struct raft *raft)
{
    return &raft_log_newest(&raft->log)->configuration;
}

uint32_t raft_core_majority(const struct raft *raft)
{
    return raft_configuration_voter_count(raft_core_newest(raft)) / 2 + 1;
}

bool raft_core_is_voter(const struct raft *raft)
{
    return raft_configuration_has_voter(raft_core_newest(raft),
                                        raft->config.number);
}

uint64_t raft_core_random_ns(const struct raft *raft, uint64_t bound_ns)
{
    return entropy_below(raft->config.entropy, bound_ns + 1);
}

void raft_core_wait_for_election(struct raft *raft, uint64_t now_ns)
{
    raft->election_at_ns = now_ns + raft->patience_ns;
}

void raft_core_draw_patience(struct raft *raft, uint64_t now_ns)
{
    raft->patience_ns = raft->config.election_ns +
                        raft_core_random_ns(raft, raft->config.election_ns);
    raft_core_wait_for_election(raft, now_ns);
}

uint64_t raft_core_last_index(const struct raft *raft)
{
    return raft_log_last(&raft->log);
}

void raft_core_send(struct raft *raft, struct raft_message *message)
{
    message->from = raft->config.number;
    raft->config.effects.send(raft->config.effects.context, message);
}

void raft_core_tell_change(struct raft *raft)
{
    raft->config.effects.on_change(raft->config.effects.context);
}

bool raft_core_is_term_durable(const struct raft *raft)
{
    return raft->term_write == 0 || HAS_FAULT(raft, VOTE_BEFORE_SYNC);
}

/* Something of this group is being written. */
bool raft_core_is_writing(const struct raft *raft)
{
    return raft->term_write != 0 ||
           raft->log.stable < raft_core_last_index(raft);
}

static uint64_t save_record(struct raft *raft, const struct wal_record *record)
{
    return raft->config.effects.save(raft->config.effects.context, record);
}

void raft_core_save_vote(struct raft *raft)
{
    if (HAS_FAULT(raft, FORGET_VOTE)) {
        return;
    }
    raft->term_write = save_record(
        raft, &(struct wal_record){
                  .kind = WAL_VOTE, .term = raft->term, .vote = raft->vote});
}

void raft_core_follow(struct raft *raft,
                      uint64_t now_ns,
                      uint64_t term,
                      uint64_t leader)
{
    bool is_change = raft->role != RAFT_FOLLOWER || term != raft->term ||
                     leader != raft->leader;
    if (term != raft->term) {
        assert(term > raft->term);
        raft->term = term;
        raft->vote = 0;
        raft->vote_to = 0;
        raft_core_save_vote(raft);
    }
    if (is_change) {
        raft->verified = raft->commit;
        raft->acked = 0;
        raft->owes_ack = false;
        if (HAS_FAULT(raft, ACK_OLD_LAST)) {
            raft->verified = raft_core_last_index(raft);
        }
    }
    raft->role = RAFT_FOLLOWER;
    raft->leader = leader;
    raft->is_vote_request_due = false;
    raft->transfer_to = 0;
    if (is_change) {
        raft_core_draw_patience(raft, now_ns);
        raft_core_tell_change(raft);
    }
}

void raft_core_step_down(struct raft *raft, uint64_t now_ns)
{
    raft_core_follow(raft, now_ns, raft->term, 0);
}

/* Take an entry into the log, in memory and on its way to the disk. */
enum err raft_core_append(struct raft *raft, const struct raft_entry *entry)
{
    enum err err = raft_log_append(&raft->log, entry);
    if (err) {
        return err;
    }
    uint64_t number =
        save_record(raft, &(struct wal_record){.kind = WAL_ENTRY,
                                               .type = (uint8_t)entry->type,
                                               .index = entry->index,
                                               .term = entry->term,
                                               .bytes = entry->bytes});
    raft_log_writing(&raft->log, number, entry->index);
    return ERR_NONE;
}

void raft_core_save_snapshot(struct raft *raft, uint64_t last)
{
    uint8_t buffer[RAFT_CONFIGURATION_BYTES_MAX];
    struct writer writer = writer_of(buffer, sizeof buffer);
    raft_configuration_encode(
        raft_configuration_at(raft, raft->log.snapshot_index), &writer);
    uint64_t number = save_record(
        raft, &(struct wal_record){.kind = WAL_SNAPSHOT,
                                   .index = raft->log.snapshot_index,
                                   .term = raft->log.snapshot_term,
                                   .bytes = writer_bytes(&writer)});
    raft_log_writing(&raft->log, number, last);
}
