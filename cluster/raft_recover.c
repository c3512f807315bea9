/*
 * A group that has lost its majority for good: one replica takes over, the
 * others retire.
 *
 * The one that takes over writes, in this order, that it is another replica
 * from now on (the mark of its snapshot), a term above all it has seen, and who
 * belongs to the group now: itself. Then it stands for election as anybody
 * does, and wins, since it is the only voter. Nothing is sent before all of
 * that is durable: it knows nobody to send to. When a crash leaves the first
 * part alone, its number is not among the members in its log, so that it
 * neither leads nor votes, nor hears those who knew it by the old one.
 */

#include "cluster/raft_core.h"

/* Old members may be alive somewhere, and elect each other: so that the terms
 * here stay the greater ones for whoever compares them. */
#define TERMS_SKIPPED 1000

static enum err check(const struct raft *raft,
                      uint64_t now_ns,
                      const struct raft_member *self)
{
    const struct raft_configuration *members = raft_core_newest(raft);
    if (raft_vote_has_fresh_leader(raft, now_ns) ||
        raft_core_is_writing(raft)) {
        return ERR_BUSY;
    }
    bool is_new = self->number >= members->next_number &&
                  raft_generation_of(self->number) >
                      raft_generation_of(members->next_number - 1);
    if (!is_new || self->number < raft->config.number) {
        return ERR_INVALID;
    }
    return raft->needs_snapshot ? ERR_NOT_FOUND : ERR_NONE;
}

FALLIBLE raft_take_over(struct raft *raft,
                        uint64_t now_ns,
                        const struct raft_member *self)
{
    uint8_t buffer[RAFT_CONFIGURATION_BYTES_MAX];
    struct writer writer = writer_of(buffer, sizeof buffer);
    enum err err = check(raft, now_ns, self);
    if (err) {
        return err;
    }
    struct raft_configuration alone = {
        .next_number = self->number + 1, .count = 1, .members = {*self}};
    alone.members[0].is_voter = true;
    raft_configuration_encode(&alone, &writer);
    raft->is_retired = false;
    raft->config.number = self->number;
    raft_core_save_snapshot(raft, raft->log.snapshot_index);
    raft_core_follow(raft, now_ns, raft->term + TERMS_SKIPPED, 0);
    err = raft_core_append(
        raft, &(struct raft_entry){.index = raft_core_last_index(raft) + 1,
                                   .term = raft->term,
                                   .type = RAFT_CONFIGURATION,
                                   .bytes = writer_bytes(&writer)});
    raft->election_at_ns = now_ns;
    return err; /* no memory: as after a crash, it may be done again */
}

void raft_retire(struct raft *raft, uint64_t now_ns)
{
    if (raft->is_retired) {
        return;
    }
    raft->is_retired = true;
    raft_core_step_down(raft, now_ns);
    raft->vote_to = 0;
}

bool raft_is_retired(const struct raft *raft)
{
    return raft->is_retired;
}
