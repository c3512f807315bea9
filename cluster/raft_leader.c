#include "cluster/raft_core.h"

#include "store/raft_configuration.h"

#include <string.h>

static void send_heartbeats(struct raft *raft)
{
    for (uint32_t i = 0; i < raft->other_count; i++) {
        const struct progress *other = &raft->others[i];
        raft_core_send(
            raft, &(struct raft_message){.kind = RAFT_HEARTBEAT,
                                         .to = other->number,
                                         .term = raft->term,
                                         .commit = raft->commit < other->match
                                                       ? raft->commit
                                                       : other->match,
                                         .round = raft->round_sent});
    }
}

/* The greatest value that a majority of the voters has reached; `own` is this
 * replica's. */
static uint64_t majority_value(const struct raft *raft,
                               uint64_t own,
                               uint64_t (*value_of)(const struct progress *))
{
    uint64_t values[RAFT_MEMBERS_MAX];
    uint32_t count = 0;
    if (raft_core_is_voter(raft)) {
        values[count++] = own;
    }
    for (uint32_t i = 0; i < raft->other_count; i++) {
        if (raft_configuration_has_voter(raft_core_newest(raft),
                                         raft->others[i].number)) {
            values[count++] = value_of(&raft->others[i]);
        }
    }
    for (uint32_t i = 1; i < count; i++) { /* the greatest first */
        uint64_t value = values[i];
        uint32_t k = i;
        for (; k > 0 && values[k - 1] < value; k--) {
            values[k] = values[k - 1];
        }
        values[k] = value;
    }
    uint32_t needed = raft_core_majority(raft);
    return count >= needed ? values[needed - 1] : 0;
}

static uint64_t match_of(const struct progress *other)
{
    return other->match;
}

static uint64_t round_of(const struct progress *other)
{
    return other->round;
}

static void check_rounds(struct raft *raft)
{
    uint64_t round = majority_value(raft, raft->round_sent, round_of);
    if (round > raft->round_ready) {
        raft->round_ready = round;
        raft->config.effects.on_read_ready(raft->config.effects.context, round);
    }
}

/* Not before all that was proposed is committed: whoever waits for it is told
 * by us, and not that nobody knows what became of it. */
static void send_timeout_now(struct raft *raft)
{
    struct progress *target = raft_progress_find(raft, raft->transfer_to);
    if (target && !raft->is_transfer_sent &&
        target->match == raft_core_last_index(raft) &&
        raft->commit == raft_core_last_index(raft)) {
        raft->is_transfer_sent = true;
        raft_core_send(raft, &(struct raft_message){.kind = RAFT_TIMEOUT_NOW,
                                                    .to = target->number,
                                                    .term = raft->term});
    }
}

/* Commit what a majority has, if it is of this term (figure 8), and never
 * beyond what is durable here. */
void raft_leader_advance_commit(struct raft *raft, uint64_t now_ns)
{
    uint64_t own = HAS_FAULT(raft, COUNT_BEFORE_SYNC)
                       ? raft_core_last_index(raft)
                       : raft->log.stable;
    uint64_t index = majority_value(raft, own, match_of);
    if (index > own) {
        index = own;
    }
    bool is_own_term = raft_log_term(&raft->log, index) == raft->term ||
                       HAS_FAULT(raft, COMMIT_OLDER_TERM);
    if (index <= raft->commit || !is_own_term) {
        return;
    }
    raft->commit = index;
    if (raft_log_newest(&raft->log)->index <= index &&
        !raft_core_is_voter(raft)) {
        send_heartbeats(raft); /* removed: the last thing to be done */
        raft_core_step_down(raft, now_ns);
    }
    send_timeout_now(raft);
}

static void meet_others(struct raft *raft, uint64_t now_ns)
{
    const struct raft_configuration *members = raft_core_newest(raft);
    struct progress before[RAFT_MEMBERS_MAX];
    uint32_t before_count = raft->other_count;
    memcpy(before, raft->others, sizeof before);
    raft->other_count = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        uint64_t number = members->members[i].number;
        if (number == raft->config.number) {
            continue;
        }
        struct progress other = {.number = number,
                                 .next = raft_core_last_index(raft) + 1,
                                 .heard_ns = now_ns,
                                 .moved_ns = now_ns};
        for (uint32_t k = 0; k < before_count; k++) {
            if (before[k].number == number) {
                other = before[k];
            }
        }
        raft->others[raft->other_count++] = other;
    }
}

static enum err append_own(struct raft *raft,
                           enum raft_entry_type type,
                           struct bytes bytes)
{
    return raft_core_append(
        raft, &(struct raft_entry){.index = raft_core_last_index(raft) + 1,
                                   .term = raft->term,
                                   .type = type,
                                   .bytes = bytes});
}

/* Its first entry. The very first of a group says who founded it, so that
 * those who join later find that in the log, too. */
static enum err append_first(struct raft *raft)
{
    uint8_t buffer[RAFT_CONFIGURATION_BYTES_MAX];
    struct writer writer = writer_of(buffer, sizeof buffer);
    if (raft_core_last_index(raft) > 0) {
        return append_own(raft, RAFT_NOTHING, bytes_of(NULL, 0));
    }
    raft_configuration_encode(raft_core_newest(raft), &writer);
    return append_own(raft, RAFT_CONFIGURATION, writer_bytes(&writer));
}

void raft_leader_begin(struct raft *raft, uint64_t now_ns)
{
    raft->role = RAFT_LEADER;
    raft->leader = raft->config.number;
    raft->other_count = 0;
    raft->transfer_to = 0;
    raft->round_wanted = ++raft->round_sent; /* earlier ones are void */
    raft->round_ready = raft->round_sent;
    meet_others(raft, now_ns);
    raft->first_own = raft_core_last_index(raft) + 1;
    if (append_first(raft)) {
        raft_core_step_down(raft,
                            now_ns); /* no memory: somebody else may try */
        return;
    }
    raft_core_tell_change(raft);
    raft_progress_send_to_all(raft, now_ns);
}

FALLIBLE raft_propose(struct raft *raft,
                      uint64_t now_ns,
                      enum raft_entry_type type,
                      struct bytes bytes)
{
    if (raft->role != RAFT_LEADER) {
        return ERR_DENIED;
    }
    if (raft->transfer_to != 0) {
        return ERR_BUSY;
    }
    enum err err = append_own(raft, type, bytes);
    if (!err) {
        raft_progress_send_to_all(raft, now_ns);
    }
    return err;
}

static bool is_change_possible(const struct raft *raft)
{
    return raft->transfer_to == 0 && raft_is_settled(raft) &&
           (raft_log_newest(&raft->log)->index <= raft->commit ||
            HAS_FAULT(raft, CHANGE_TWICE));
}

/* Who shall vote has all that was committed when it was asked for. */
static bool are_caught_up(struct raft *raft,
                          const struct raft_configuration *next)
{
    for (uint32_t i = 0; i < next->count; i++) {
        uint64_t number = next->members[i].number;
        const struct progress *other = raft_progress_find(raft, number);
        if (next->members[i].is_voter && number != raft->config.number &&
            !raft_configuration_has_voter(raft_core_newest(raft), number) &&
            (!other || other->match < raft->commit)) {
            return false;
        }
    }
    return true;
}

/* How many voters of `members` were heard within an election timeout, this
 * replica among them. */
static uint32_t count_heard(const struct raft *raft,
                            uint64_t now_ns,
                            const struct raft_configuration *members,
                            bool must_have_spoken)
{
    uint32_t count = raft_configuration_has_voter(members, raft->config.number);
    for (uint32_t i = 0; i < raft->other_count; i++) {
        const struct progress *other = &raft->others[i];
        count += raft_configuration_has_voter(members, other->number) &&
                 (other->is_heard || !must_have_spoken) &&
                 now_ns - other->heard_ns < raft->config.election_ns;
    }
    return count;
}

/* Whether the change can be committed: were too few of those who then vote
 * alive, the group would be lost, for nobody could lead it any more. */
static bool are_enough_heard(const struct raft *raft,
                             uint64_t now_ns,
                             const struct raft_configuration *next)
{
    return count_heard(raft, now_ns, next, true) >
           raft_configuration_voter_count(next) / 2;
}

FALLIBLE raft_reconfigure(struct raft *raft,
                          uint64_t now_ns,
                          const struct raft_configuration *next)
{
    uint8_t buffer[RAFT_CONFIGURATION_BYTES_MAX];
    struct writer writer = writer_of(buffer, sizeof buffer);
    if (raft->role != RAFT_LEADER) {
        return ERR_DENIED;
    }
    if (!is_change_possible(raft)) {
        return ERR_BUSY;
    }
    enum err err = raft_configuration_check_next(raft_core_newest(raft), next);
    if (err) {
        return err;
    }
    if (!are_caught_up(raft, next)) {
        return ERR_BUSY;
    }
    if (!are_enough_heard(raft, now_ns, next)) {
        return ERR_UNREACHABLE;
    }
    raft_configuration_encode(next, &writer);
    err = append_own(raft, RAFT_CONFIGURATION, writer_bytes(&writer));
    if (err) {
        return err;
    }
    raft_progress_send_to_all(raft,
                              now_ns); /* who is removed hears of it, too */
    meet_others(raft, now_ns);
    raft_progress_send_to_all(raft, now_ns);
    check_rounds(raft); /* without those who leave, it may be answered */
    return ERR_NONE;
}

FALLIBLE raft_transfer(struct raft *raft, uint64_t now_ns, uint64_t number)
{
    if (raft->role != RAFT_LEADER) {
        return ERR_DENIED;
    }
    if (number == raft->config.number ||
        !raft_configuration_has_voter(raft_core_newest(raft), number)) {
        return ERR_INVALID;
    }
    if (raft->transfer_to != 0) {
        return ERR_BUSY;
    }
    raft->transfer_to = number;
    raft->transfer_until_ns = now_ns + raft->config.election_ns;
    raft->is_transfer_sent = false;
    send_timeout_now(raft);
    return ERR_NONE;
}

/* The other voter who can lead soonest; NULL: nobody was heard of late. */
static const struct progress *find_heir(const struct raft *raft,
                                        uint64_t now_ns)
{
    const struct progress *heir = NULL;
    for (uint32_t i = 0; i < raft->other_count; i++) {
        const struct progress *other = &raft->others[i];
        if (raft_configuration_has_voter(raft_core_newest(raft),
                                         other->number) &&
            now_ns - other->heard_ns < raft->config.election_ns &&
            !other->needs_snapshot && other->match >= raft->commit &&
            (!heir || other->match > heir->match)) {
            heir = other;
        }
    }
    return heir;
}

/* Without applied state we have led for long enough when another has all. */
static void hand_over(struct raft *raft, uint64_t now_ns)
{
    if (raft->role != RAFT_LEADER || !raft->needs_snapshot) {
        return;
    }
    const struct progress *heir = find_heir(raft, now_ns);
    if (heir && heir->match == raft_core_last_index(raft)) {
        enum err err = raft_transfer(raft, now_ns, heir->number);
        (void)err; /* ERR_BUSY: it is under way */
    }
}

void raft_resign(struct raft *raft, uint64_t now_ns)
{
    uint32_t voters = raft_configuration_voter_count(raft_core_newest(raft));
    if (raft->role != RAFT_LEADER || voters <= raft_core_is_voter(raft)) {
        return;
    }
    const struct progress *heir = find_heir(raft, now_ns);
    bool is_told = raft->transfer_to != 0 && raft->is_transfer_sent;
    if (heir && !is_told) {
        raft_core_send(raft, &(struct raft_message){.kind = RAFT_TIMEOUT_NOW,
                                                    .to = heir->number,
                                                    .term = raft->term});
    }
    raft_core_step_down(raft, now_ns);
}

FALLIBLE raft_read(struct raft *raft, uint64_t *round)
{
    if (raft->role != RAFT_LEADER) {
        return ERR_DENIED;
    }
    if (!raft_is_settled(raft) && !HAS_FAULT(raft, READ_BEFORE_NOTHING)) {
        return ERR_BUSY;
    }
    raft->round_wanted = raft->round_sent + 1;
    *round = raft->round_wanted;
    return ERR_NONE;
}

void raft_flush(struct raft *raft, uint64_t now_ns)
{
    (void)now_ns;
    if (raft->role != RAFT_LEADER || raft->round_wanted <= raft->round_sent) {
        return;
    }
    raft->round_sent = raft->round_wanted;
    send_heartbeats(raft);
    if (HAS_FAULT(raft, READ_WITHOUT_ASKING)) {
        raft->config.effects.on_read_ready(raft->config.effects.context,
                                           raft->round_sent);
    }
    check_rounds(raft); /* alone, it needs nobody's answer */
}

static void on_match(struct raft *raft,
                     uint64_t now_ns,
                     struct progress *other,
                     uint64_t match)
{
    if (match > raft_core_last_index(raft)) {
        raft->contradiction_count++;
        return;
    }
    if (match > other->match) {
        other->match = match;
        other->moved_ns = now_ns;
    }
    uint32_t done = 0;
    while (done < other->inflight_count && other->inflight[done] <= match) {
        done++;
    }
    other->inflight_count -= done;
    memmove(other->inflight, other->inflight + done,
            other->inflight_count * sizeof *other->inflight);
    if (other->next <= match) {
        other->next = match + 1;
    }
    if (other->flow == FLOW_SNAPSHOT && match > 0 &&
        raft_progress_can_follow(raft, match)) {
        other->flow = FLOW_REPLICATE; /* it has the snapshot, or needs none */
        other->next = other->match + 1;
    }
    if (other->number == raft->transfer_to) {
        send_timeout_now(raft);
    }
}

struct progress *raft_leader_hear(struct raft *raft,
                                  uint64_t now_ns,
                                  const struct raft_message *message)
{
    struct progress *other = raft_progress_find(raft, message->from);
    if (raft->role != RAFT_LEADER || !other) {
        return NULL;
    }
    other->is_heard = true;
    other->heard_ns = now_ns;
    return other;
}

void raft_leader_on_append_reply(struct raft *raft,
                                 uint64_t now_ns,
                                 const struct raft_message *message)
{
    struct progress *other = raft_leader_hear(raft, now_ns, message);
    if (!other) {
        return;
    }
    other->needs_snapshot = message->needs_snapshot;
    if (!message->is_ok) {
        raft_progress_on_rejection(raft, other, message);
    } else {
        on_match(raft, now_ns, other, message->index);
        if (other->flow == FLOW_PROBE) {
            other->flow = FLOW_REPLICATE;
            other->next = other->match + 1;
            other->inflight_count = 0;
        }
        raft_leader_advance_commit(raft, now_ns);
    }
    if (raft->role == RAFT_LEADER) {
        raft_progress_send(raft, now_ns, other);
    }
    hand_over(raft, now_ns);
}

void raft_leader_on_heartbeat_reply(struct raft *raft,
                                    uint64_t now_ns,
                                    const struct raft_message *message)
{
    struct progress *other = raft_leader_hear(raft, now_ns, message);
    if (!other) {
        return;
    }
    other->needs_snapshot = message->needs_snapshot;
    if (message->round > other->round) {
        other->round = message->round;
        check_rounds(raft);
    }
    if (message->index > other->match) {
        on_match(raft, now_ns, other, message->index);
        raft_leader_advance_commit(raft, now_ns);
    }
    if (raft->role == RAFT_LEADER) {
        raft_progress_send(raft, now_ns, other);
    }
}

void raft_leader_check_quorum(struct raft *raft, uint64_t now_ns)
{
    if (count_heard(raft, now_ns, raft_core_newest(raft), false) <
        raft_core_majority(raft)) {
        raft_core_step_down(raft, now_ns);
    }
}

void raft_heartbeat(struct raft *raft, uint64_t now_ns)
{
    if (raft->role != RAFT_LEADER) {
        return;
    }
    send_heartbeats(raft);
    hand_over(raft, now_ns);
    for (uint32_t i = 0; i < raft->other_count; i++) {
        struct progress *other = &raft->others[i];
        if (other->flow == FLOW_SNAPSHOT || other->needs_snapshot) {
            raft->config.effects.on_snapshot_wanted(
                raft->config.effects.context, other->number);
        }
        if (other->flow == FLOW_PROBE &&
            now_ns - other->moved_ns >= raft->config.heartbeat_ns) {
            other->is_waiting = false;
            raft_progress_send(raft, now_ns, other);
        }
    }
}

void raft_node_found(struct raft *raft, uint64_t now_ns, uint32_t node)
{
    for (uint32_t i = 0; raft->role == RAFT_LEADER && i < raft->other_count;
         i++) {
        struct progress *other = &raft->others[i];
        const struct raft_member *member =
            raft_configuration_find(raft_core_newest(raft), other->number);
        if (!member || member->node != node) {
            continue;
        }
        if (other->flow == FLOW_SNAPSHOT) {
            raft_progress_want_snapshot(raft, other);
        } else {
            raft_progress_probe(other);
            raft_progress_send(raft, now_ns, other);
        }
    }
}
