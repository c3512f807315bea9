/*
 * Raft: the consensus of one group, as a pure step function.
 *
 * Ongaro and Ousterhout 2014 (extended version) and Ongaro's thesis 2014:
 * pre-vote, check-quorum, read index, leadership transfer, one membership
 * change at a time, non-voting members. What it must get right beyond the
 * paper is in docs/consensus.md.
 *
 * Events come in through the functions below, effects go out through `struct
 * raft_effects`. It has no clock, no disk, no network and no threads; times
 * are given in ns. Effects must only take note: they call nothing in here.
 *
 * The caller looks at raft_commit_index() after each event and applies what
 * has been committed. Everything is called on one thread.
 */

#ifndef CLUSTER_RAFT_H
#define CLUSTER_RAFT_H

#include "base/bytes.h"
#include "base/env.h"
#include "base/err.h"
#include "store/raft_configuration.h"
#include "store/raft_entry.h"
#include "store/wal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct raft;

#define RAFT_APPEND_ENTRIES_MAX 1024 /* in one message */
#define RAFT_SNAPSHOT_NO_PIECE UINT32_MAX

struct raft_entry {
    uint64_t index;
    uint64_t term;
    enum raft_entry_type type;
    struct bytes bytes;
};

enum raft_message_kind {
    RAFT_PRE_VOTE, /* index, log_term: of the last entry; term: would be */
    RAFT_PRE_VOTE_REPLY,
    RAFT_VOTE, /* the same, and is_transfer */
    RAFT_VOTE_REPLY,
    RAFT_APPEND,          /* index, log_term: before `entries`; commit */
    RAFT_APPEND_REPLY,    /* index: durable so far; or, not is_ok, the index
                             that did not fit, and hint_index, hint_term */
    RAFT_HEARTBEAT,       /* commit, round */
    RAFT_HEARTBEAT_REPLY, /* index as above; round */
    RAFT_SNAPSHOT,        /* index, log_term; round: the piece's number;
                             hint_index: which snapshot, for there may be
                             several of an index; is_ok: it is the last;
                             bytes */
    RAFT_SNAPSHOT_REPLY,  /* index, hint_index; round: the piece that is
                             expected next, or RAFT_SNAPSHOT_NO_PIECE */
    RAFT_TIMEOUT_NOW,
    RAFT_MESSAGE_KIND_COUNT
};

struct raft_message {
    enum raft_message_kind kind;
    uint64_t from; /* replicas' numbers */
    uint64_t to;
    uint64_t term;
    uint64_t index;
    uint64_t log_term;
    uint64_t commit;
    uint64_t round;
    uint64_t hint_index;
    uint64_t hint_term;
    bool is_ok;
    bool is_transfer;
    bool needs_snapshot; /* REPLY: the follower's applied state is gone */
    const struct raft_entry *entries; /* borrowed */
    uint32_t entry_count;
    struct bytes bytes; /* SNAPSHOT, borrowed */
};

enum raft_role {
    RAFT_FOLLOWER,
    RAFT_PRE_CANDIDATE,
    RAFT_CANDIDATE,
    RAFT_LEADER,
};

struct raft_effects {
    void *context;
    /* To the node of the member `to`; may be lost. Borrowed. */
    void (*send)(void *context, const struct raft_message *message);
    /* Append to the durable log; the number that raft_stored() will reach.
     * Borrowed. `record->group` is 0: the caller knows it. */
    uint64_t (*save)(void *context, const struct wal_record *record);
    /* Role, leader or term are others than before. */
    void (*on_change)(void *context);
    /* A majority was heard since raft_read() gave this round. */
    void (*on_read_ready)(void *context, uint64_t round);
    /* `number` needs what is no longer in the log: send it a snapshot. */
    void (*on_snapshot_wanted)(void *context, uint64_t number);
};

#ifdef TROUPE_FAULTS
/* Deliberate faults, for the proof that the simulator finds them. */
enum raft_fault {
    RAFT_FAULT_NONE,
    RAFT_FAULT_COMMIT_OLDER_TERM,   /* by counting (figure 8) */
    RAFT_FAULT_FORGET_VOTE,         /* it is not saved */
    RAFT_FAULT_ACK_BEFORE_SYNC,     /* a follower's */
    RAFT_FAULT_COUNT_BEFORE_SYNC,   /* the leader's own */
    RAFT_FAULT_VOTE_BEFORE_SYNC,    /* granted before it is durable */
    RAFT_FAULT_KEEP_CONFIGURATION,  /* no roll-back on truncation */
    RAFT_FAULT_READ_WITHOUT_ASKING, /* no round */
    RAFT_FAULT_READ_BEFORE_NOTHING, /* before its own first is committed */
    RAFT_FAULT_ACK_OLD_LAST,        /* to a new leader, its old last index */
    RAFT_FAULT_VOTE_TWICE,          /* for a transfer target */
    RAFT_FAULT_STALE_LOG_ELECTED,   /* no comparison of the logs */
    RAFT_FAULT_CHANGE_TWICE,        /* two configurations under way */
    RAFT_FAULT_COUNT,
};
#endif

struct raft_config {
    uint64_t number; /* this replica's */
    /* The same at all replicas of a group, and another in another group: whose
     * turn it is to ask first for votes when a leader's link closes. */
    uint32_t rotation;
    const struct entropy *entropy;
    struct raft_effects effects;
    uint64_t election_ns;
    uint64_t heartbeat_ns;       /* between calls of raft_heartbeat() */
    uint32_t inflight_count_max; /* appends to one follower */
    size_t append_bytes_max;     /* of one; one entry always fits */
    size_t keep_bytes; /* of entries in a snapshot kept for slow followers */
#ifdef TROUPE_FAULTS
    enum raft_fault fault;
#endif
};

/* What was in the log. The configuration is copied. */
struct raft_past {
    uint64_t term;
    uint64_t vote;
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    const struct raft_configuration *configuration; /* of that snapshot */
};

/* ---- life ---- */

/* ERR_MEMORY */
FALLIBLE raft_open(struct raft **out,
                   const struct raft_config *config,
                   const struct raft_past *past);
void raft_close(struct raft **raft);

/* The entries of the log, in order, before raft_start(). ERR_MALFORMED: not
 * the next one, or a configuration that is none. ERR_MEMORY */
FALLIBLE raft_restore(struct raft *raft, const struct raft_entry *entry);

void raft_start(struct raft *raft, uint64_t now_ns);

/* ---- events ---- */

/* Often: a quarter of heartbeat_ns. Elections, check-quorum, repetitions. */
void raft_tick(struct raft *raft, uint64_t now_ns);

/* Every heartbeat_ns, for all groups of a node at once, so that theirs travel
 * together. */
void raft_heartbeat(struct raft *raft, uint64_t now_ns);

void raft_receive(struct raft *raft,
                  uint64_t now_ns,
                  const struct raft_message *message);

/* All records up to `number` are durable. */
void raft_stored(struct raft *raft, uint64_t now_ns, uint64_t number);

/* The link to a node has closed: a hint, which may be wrong. */
void raft_node_lost(struct raft *raft, uint64_t now_ns, uint32_t node);

/* It is there again; what was under way to it may be lost. */
void raft_node_found(struct raft *raft, uint64_t now_ns, uint32_t node);

/* Ask for votes soon: for the one whom the shard map wants as the leader. */
void raft_campaign_soon(struct raft *raft, uint64_t now_ns);

/* Before then raft_tick() has nothing to do, unless something else happens; a
 * leader's may come with its heartbeats: UINT64_MAX. */
uint64_t raft_due_ns(const struct raft *raft);

/* ---- the end of a group that has lost its majority ---- */

/*
 * Become the only voter, under a number of a new generation: with what is in
 * the log here, and without whatever the others had beyond it. Then it leads
 * by itself, and takes in others as any leader does. Who belonged to the group
 * before does not any more, and is not heard. Only when a person has decided
 * so, and once for each generation: nothing here knows of other replicas that
 * do the same.
 *
 * What a crash interrupts may be done again with the same number; until then
 * this replica leads and votes no more.
 *
 * ERR_BUSY        somebody leads, or something is being written: try again
 * ERR_INVALID     the number is not greater than all that were used
 * ERR_NOT_FOUND   its applied state is gone
 * ERR_MEMORY
 */
FALLIBLE raft_take_over(struct raft *raft,
                        uint64_t now_ns,
                        const struct raft_member *self);

/* The group goes on elsewhere in another generation: say and hear nothing any
 * more. Until the next raft_open(), or until it takes over itself. */
void raft_retire(struct raft *raft, uint64_t now_ns);
bool raft_is_retired(const struct raft *raft);

/* ---- requests; of the leader ---- */

/*
 * Append an entry; its index is raft_last_index() then.
 *
 * ERR_DENIED    not the leader
 * ERR_BUSY      leadership is being transferred
 * ERR_MEMORY
 */
FALLIBLE raft_propose(struct raft *raft,
                      uint64_t now_ns,
                      enum raft_entry_type type,
                      struct bytes bytes);

/*
 * Change the members: any non-voting ones, and at most one voter.
 *
 * ERR_DENIED    not the leader
 * ERR_BUSY      another change, or a transfer, is under way; the leader is too
 *               new; or who shall vote is not caught up
 * ERR_INVALID   more than one voter changes, none would be left, or a new
 *               member's number is not new
 * ERR_UNREACHABLE   a majority of those who would vote was not heard of late:
 *               nobody could lead the group any more
 * ERR_MEMORY
 */
FALLIBLE raft_reconfigure(struct raft *raft,
                          uint64_t now_ns,
                          const struct raft_configuration *next);

/* Hand leadership over. ERR_DENIED, ERR_BUSY; ERR_INVALID: no other voter */
FALLIBLE raft_transfer(struct raft *raft, uint64_t now_ns, uint64_t number);

/* Lead no more, at once, and have whoever has most of the log ask for votes:
 * our disk does not answer. Nothing happens when nobody else votes, or if we
 * do not lead. */
void raft_resign(struct raft *raft, uint64_t now_ns);

/*
 * Begin a linearizable read of what is committed now: answer it after
 * on_read_ready() with this round or a later one. Forget it when leadership is
 * lost first (on_change): the rounds of a later leadership do not vouch for
 * it. All reads of a turn share a round.
 *
 * ERR_DENIED   not the leader
 * ERR_BUSY     it has not committed its first entry yet
 */
FALLIBLE raft_read(struct raft *raft, uint64_t *round);

/* At the end of a turn: ask the others for the round of this turn's reads. */
void raft_flush(struct raft *raft, uint64_t now_ns);

/* ---- snapshots ---- */

/* The caller has a durable snapshot of all up to `index`, which is applied. */
void raft_compact(struct raft *raft, uint64_t index);

/* From now on keep so much instead of raft_config's keep_bytes; what is more is
 * dropped at once. */
void raft_keep(struct raft *raft, size_t keep_bytes);

/* The configuration as of `index`, for a snapshot there. */
const struct raft_configuration *raft_configuration_at(const struct raft *raft,
                                                       uint64_t index);

/*
 * A snapshot from the leader is in place in the caller's state. False when it
 * is older than what is committed here: then nothing has changed. Whatever its
 * role was, it is a follower then.
 */
bool raft_install(struct raft *raft,
                  uint64_t now_ns,
                  uint64_t index,
                  uint64_t term,
                  const struct raft_configuration *configuration);

/* Whether the caller's applied state is gone, and must come from a leader.
 * Until then this replica leads only if nobody else can win, takes nothing in
 * (it is not settled), and hands over to the first who has all of its log. */
void raft_needs_snapshot(struct raft *raft, bool needs);

/* ---- what is ---- */

enum raft_role raft_role(const struct raft *raft);
uint64_t raft_term(const struct raft *raft);
uint64_t raft_leader(const struct raft *raft); /* 0: unknown */
uint64_t raft_number(const struct raft *raft);
uint64_t raft_commit_index(const struct raft *raft);
uint64_t raft_last_index(const struct raft *raft);
uint64_t raft_last_term(const struct raft *raft); /* of that entry */
uint64_t raft_stable_index(const struct raft *raft);
uint64_t raft_snapshot_index(const struct raft *raft);
size_t raft_log_bytes(const struct raft *raft); /* in memory */

/* Whether it leads, its own first entry is committed, and it has its state:
 * then it may answer. */
bool raft_is_settled(const struct raft *raft);

/* NULL when it is not in memory. */
const struct raft_entry *raft_entry_at(const struct raft *raft, uint64_t index);

const struct raft_configuration *raft_newest_configuration(
    const struct raft *raft);
const struct raft_configuration *raft_committed_configuration(
    const struct raft *raft);

/* A follower's, as the leader knows it; 0 when unknown. */
uint64_t raft_match_index(const struct raft *raft, uint64_t number);

/* How often another claimed what cannot be, such as a second leader of a term:
 * 0 unless somebody is broken. */
uint64_t raft_contradiction_count(const struct raft *raft);

#endif
