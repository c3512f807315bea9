#include "cluster/raft_core.h"

struct progress *raft_progress_find(struct raft *raft, uint64_t number)
{
    for (uint32_t i = 0; i < raft->other_count; i++) {
        if (raft->others[i].number == number) {
            return &raft->others[i];
        }
    }
    return NULL;
}

void raft_progress_probe(struct progress *other)
{
    if (other->flow == FLOW_REPLICATE) {
        other->next = other->match + 1;
    }
    other->flow = FLOW_PROBE;
    other->is_waiting = false;
    other->inflight_count = 0;
}

void raft_progress_want_snapshot(struct raft *raft, struct progress *other)
{
    other->flow = FLOW_SNAPSHOT;
    other->inflight_count = 0;
    raft->config.effects.on_snapshot_wanted(raft->config.effects.context,
                                            other->number);
}

/* How many entries from `next` on fit into one append. */
static uint32_t count_to_send(const struct raft *raft, uint64_t next)
{
    uint32_t count = 0;
    size_t bytes = 0;
    const struct raft_entry *entry = raft_log_entry(&raft->log, next);
    for (uint64_t left = raft_core_last_index(raft) + 1 - next;
         left > 0 && count < RAFT_APPEND_ENTRIES_MAX; left--) {
        bytes += entry[count].bytes.length;
        if (count > 0 && bytes > raft->config.append_bytes_max) {
            break;
        }
        count++;
    }
    return count;
}

/* Whether an append can follow what is at `previous`. */
bool raft_progress_can_follow(const struct raft *raft, uint64_t previous)
{
    return previous >= raft->log.first - 1 &&
           (previous == 0 || raft_log_term(&raft->log, previous) != 0);
}

/* One append, perhaps without entries; false when it cannot be sent. */
static bool send_append(struct raft *raft,
                        uint64_t now_ns,
                        struct progress *other)
{
    uint64_t previous = other->next - 1;
    if (!raft_progress_can_follow(raft, previous)) {
        raft_progress_want_snapshot(raft, other);
        return false;
    }
    uint32_t count = count_to_send(raft, other->next);
    if (other->inflight_count == 0) {
        other->moved_ns = now_ns;
    }
    raft_core_send(raft, &(struct raft_message){
                             .kind = RAFT_APPEND,
                             .to = other->number,
                             .term = raft->term,
                             .index = previous,
                             .log_term = raft_log_term(&raft->log, previous),
                             .commit = raft->commit,
                             .entries = raft_log_entry(&raft->log, other->next),
                             .entry_count = count});
    if (other->flow == FLOW_PROBE) {
        other->is_waiting = true;
    } else if (count > 0) {
        other->next += count;
        other->inflight[other->inflight_count++] = other->next - 1;
    }
    return true;
}

void raft_progress_send(struct raft *raft,
                        uint64_t now_ns,
                        struct progress *other)
{
    if (other->flow == FLOW_PROBE && !other->is_waiting) {
        (void)send_append(raft, now_ns, other);
    }
    while (other->flow == FLOW_REPLICATE &&
           other->inflight_count < raft->config.inflight_count_max &&
           other->next <= raft_core_last_index(raft) &&
           send_append(raft, now_ns, other)) {
    }
}

void raft_progress_send_to_all(struct raft *raft, uint64_t now_ns)
{
    for (uint32_t i = 0; i < raft->other_count; i++) {
        raft_progress_send(raft, now_ns, &raft->others[i]);
    }
}

void raft_progress_on_rejection(struct raft *raft,
                                struct progress *other,
                                const struct raft_message *message)
{
    /* What matches cannot be refused: that was said of an earlier append. */
    bool is_stale = other->flow == FLOW_REPLICATE
                        ? message->index >= other->next
                        : message->index != other->next - 1;
    if (is_stale || message->index <= other->match ||
        other->flow == FLOW_SNAPSHOT) {
        return;
    }
    /* Where our log can agree with its hint (thesis, 5.3; all of a term is
     * skipped at once). */
    uint64_t next = message->hint_index;
    if (next >= message->index) {
        next = message->index - 1;
    }
    while (next > other->match && next >= raft->log.first &&
           raft_log_term(&raft->log, next) > message->hint_term) {
        next--;
    }
    other->flow = FLOW_PROBE;
    other->is_waiting = false;
    other->inflight_count = 0;
    other->next = (next > other->match ? next : other->match) + 1;
}

void raft_progress_repeat(struct raft *raft, uint64_t now_ns)
{
    for (uint32_t i = 0; i < raft->other_count; i++) {
        struct progress *other = &raft->others[i];
        if (other->inflight_count > 0 &&
            now_ns - other->moved_ns >= raft->config.election_ns) {
            raft_progress_probe(other);
            raft_progress_send(raft, now_ns, other);
        }
    }
}
