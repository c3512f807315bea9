/*
 * What the files of Raft's core share: raft.c (events and life), raft_vote.c
 * (elections), raft_leader.c, raft_progress.c (the leader's side of one
 * follower), raft_follower.c, raft_recover.c (the loss of a majority), and
 * raft_core.c for all of them.
 */

#ifndef CLUSTER_RAFT_CORE_H
#define CLUSTER_RAFT_CORE_H

#include "cluster/raft.h"
#include "cluster/raft_log.h"

#ifdef TROUPE_FAULTS
#define HAS_FAULT(raft, name) ((raft)->config.fault == RAFT_FAULT_##name)
#else
#define HAS_FAULT(raft, name) false
#endif

#define INFLIGHT_MAX 64
#define SOON_PART 8      /* "soon" is within this part of an election timeout */
#define AGAIN_PART 4     /* the least pause before votes are asked for again */
#define LAST_ELECTIONS 3 /* so many timeouts later stands who has no state */

enum flow {
    FLOW_PROBE,     /* where its log ends is not known: one append at a time */
    FLOW_REPLICATE, /* appends follow each other */
    FLOW_SNAPSHOT,  /* it needs what is not in the log any more */
};

/* How far another member is, as the leader knows. */
struct progress {
    uint64_t number;
    uint64_t match; /* durable there, and the same as here */
    uint64_t next;  /* index to send */
    enum flow flow;
    bool is_waiting; /* PROBE: for the answer */
    bool needs_snapshot;
    bool is_heard;     /* since we lead */
    uint64_t heard_ns; /* or when we began to lead */
    uint64_t moved_ns; /* last sent into silence, or acknowledged */
    uint64_t round;
    uint64_t inflight[INFLIGHT_MAX]; /* last index of each append, in order */
    uint32_t inflight_count;
};

struct raft {
    struct raft_config config;
    struct raft_log log;
    enum raft_role role;
    uint64_t term;
    uint64_t vote;
    uint64_t leader; /* 0: unknown */
    uint64_t commit;
    bool needs_snapshot;
    bool is_started;
    bool is_retired;

    /* Term and vote lie in the log in front of whatever follows from them, and
     * nothing is promised before they are durable. */
    uint64_t term_write;      /* the record's number; 0: none is under way */
    uint64_t vote_to;         /* a vote is to be granted when it is durable */
    bool is_vote_request_due; /* CANDIDATE: the same */
    bool is_transfer;         /* CANDIDATE: because of TIMEOUT_NOW */

    /* Of a follower. */
    uint64_t leader_commit;
    uint64_t verified; /* up to here the log is the leader's */
    uint64_t acked;
    bool owes_ack;
    uint64_t heard_ns;
    uint64_t election_at_ns;
    uint64_t patience_ns; /* how long it waits for a leader; drawn anew with
                             each change, so that two do not meet again */

    /* Of a candidate. */
    uint64_t voters[RAFT_MEMBERS_MAX]; /* who granted */
    uint32_t granted_count;

    /* Of the leader. */
    struct progress others[RAFT_MEMBERS_MAX];
    uint32_t other_count;
    uint64_t first_own;   /* append_first() */
    uint64_t transfer_to; /* 0: nobody */
    uint64_t transfer_until_ns;
    bool is_transfer_sent;

    /* Rounds of reads. */
    uint64_t round_wanted;
    uint64_t round_sent;
    uint64_t round_ready;

    uint64_t contradiction_count;
};

/* ---- raft_core.c ---- */

const struct raft_configuration *raft_core_newest(const struct raft *raft);
uint32_t raft_core_majority(const struct raft *raft);
bool raft_core_is_voter(const struct raft *raft);
uint64_t raft_core_random_ns(const struct raft *raft, uint64_t bound_ns);
void raft_core_wait_for_election(struct raft *raft, uint64_t now_ns);
void raft_core_draw_patience(struct raft *raft, uint64_t now_ns);
uint64_t raft_core_last_index(const struct raft *raft);
void raft_core_send(struct raft *raft, struct raft_message *message);
void raft_core_tell_change(struct raft *raft);
bool raft_core_is_term_durable(const struct raft *raft);
bool raft_core_is_writing(const struct raft *raft);
void raft_core_save_vote(struct raft *raft);
void raft_core_follow(struct raft *raft,
                      uint64_t now_ns,
                      uint64_t term,
                      uint64_t leader);
void raft_core_step_down(struct raft *raft, uint64_t now_ns);
enum err raft_core_append(struct raft *raft, const struct raft_entry *entry);

/* The record of the log's snapshot, and with it whose log it is; when it is
 * durable, all up to `last` is. */
void raft_core_save_snapshot(struct raft *raft, uint64_t last);

/* ---- raft_vote.c ---- */

bool raft_vote_may_campaign(const struct raft *raft);
uint64_t raft_vote_due_ns(const struct raft *raft);
void raft_vote_answer(struct raft *raft,
                      enum raft_message_kind kind,
                      uint64_t to,
                      uint64_t term,
                      bool is_granted);
void raft_vote_settle(struct raft *raft, uint64_t now_ns);
void raft_vote_pre_campaign(struct raft *raft, uint64_t now_ns);
void raft_vote_on_timeout_now(struct raft *raft,
                              uint64_t now_ns,
                              const struct raft_message *message);
bool raft_vote_has_fresh_leader(const struct raft *raft, uint64_t now_ns);
void raft_vote_on_pre_vote(struct raft *raft,
                           uint64_t now_ns,
                           const struct raft_message *message);
void raft_vote_on_pre_vote_reply(struct raft *raft,
                                 uint64_t now_ns,
                                 const struct raft_message *message);
void raft_vote_on_vote(struct raft *raft,
                       uint64_t now_ns,
                       const struct raft_message *message);
void raft_vote_on_vote_reply(struct raft *raft,
                             uint64_t now_ns,
                             const struct raft_message *message);

/* ---- raft_progress.c: how far another is, and what to send it next ---- */

struct progress *raft_progress_find(struct raft *raft, uint64_t number);
void raft_progress_probe(struct progress *other);
void raft_progress_want_snapshot(struct raft *raft, struct progress *other);
bool raft_progress_can_follow(const struct raft *raft, uint64_t previous);
void raft_progress_send(struct raft *raft,
                        uint64_t now_ns,
                        struct progress *other);
void raft_progress_send_to_all(struct raft *raft, uint64_t now_ns);
void raft_progress_on_rejection(struct raft *raft,
                                struct progress *other,
                                const struct raft_message *message);
void raft_progress_repeat(struct raft *raft, uint64_t now_ns);

/* ---- raft_follower.c ---- */

void raft_follower_acknowledge(struct raft *raft);
void raft_follower_commit(struct raft *raft, uint64_t leader_commit);
void raft_follower_on_append(struct raft *raft,
                             const struct raft_message *message);
void raft_follower_on_heartbeat(struct raft *raft,
                                const struct raft_message *message);
void raft_follower_on_snapshot(struct raft *raft,
                               const struct raft_message *message);

/* ---- raft_leader.c; its requests are in raft.h ---- */

void raft_leader_advance_commit(struct raft *raft, uint64_t now_ns);
void raft_leader_begin(struct raft *raft, uint64_t now_ns);
/* Whoever sent it is alive. NULL: we do not lead, or not it. */
struct progress *raft_leader_hear(struct raft *raft,
                                  uint64_t now_ns,
                                  const struct raft_message *message);
void raft_leader_on_append_reply(struct raft *raft,
                                 uint64_t now_ns,
                                 const struct raft_message *message);
void raft_leader_on_heartbeat_reply(struct raft *raft,
                                    uint64_t now_ns,
                                    const struct raft_message *message);
void raft_leader_check_quorum(struct raft *raft, uint64_t now_ns);

#endif
