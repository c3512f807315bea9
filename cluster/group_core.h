/*
 * What group.c and group_snapshot.c share; nobody else includes it.
 */

#ifndef CLUSTER_GROUP_CORE_H
#define CLUSTER_GROUP_CORE_H

#include "cluster/group.h"
#include "store/snapshot_head.h"

#ifdef TROUPE_FAULTS
#define GROUP_HAS_FAULT(group, name) \
    ((group)->config.fault == GROUP_FAULT_##name)
#else
#define GROUP_HAS_FAULT(group, name) false
#endif

/* Outcomes that become one entry, and who waits for it. */
struct batch {
    struct batch *next;
    uint64_t sequence;
    uint64_t index; /* 0: not proposed yet */
    uint64_t term;
    uint8_t *entry;
    size_t entry_length;
    size_t entry_capacity;
    uint8_t *replies;
    size_t reply_length;
    size_t reply_capacity;
    struct machine_stamp stamp;
    struct group_request *first;
    struct group_request **last;
};

enum snapshot_step {
    SNAPSHOT_IDLE,
    SNAPSHOT_PIECE, /* a piece is being written, or read */
    SNAPSHOT_HEAD,  /* the head is being written, and all is synced */
    SNAPSHOT_CLEAN, /* older ones are being removed */
    SNAPSHOT_DROP,  /* one that the machine has refused is being removed */
};

/* After what failed: not at once again. */
struct snapshot_pause {
    uint64_t until_ns;
    uint64_t length_ns; /* 0: the last one went well */
};

/* One thing that the applier does for a group. */
struct snapshot_job {
    struct job job;
    struct group *group;
    const struct kv *kv;
    enum snapshot_step step;
    bool is_cancelled; /* nobody wants the result any more */
    enum err err;
    uint32_t group_id;
    uint64_t index;
    uint64_t kept_index; /* CLEAN: an older one that stays; 0: none */
    uint32_t piece;
    uint8_t *bytes;
    size_t length;
    size_t capacity;
};

/* A follower that gets our snapshot. */
struct snapshot_receiver {
    uint64_t number; /* 0: none */
    uint32_t piece;  /* to be sent next */
    bool is_wanted;  /* send it (again) */
};

struct snapshots {
    struct snapshot_head stored; /* ours; index 0: none */
    uint64_t stored_id; /* drawn anew for each: what is made again for the same
                           index may be cut into other pieces */

    struct snapshot_job save;
    struct snapshot_head saving;
    struct snapshot_pause save_pause;

    struct snapshot_job send;
    struct snapshot_pause send_pause;
    struct snapshot_head sending; /* `stored`, or an older one */
    uint64_t sending_id;
    uint64_t sending_until_ns; /* until then no newer one takes its place */
    struct snapshot_receiver receivers[RAFT_MEMBERS_MAX];
    uint32_t receiver; /* whose piece is being read */

    struct snapshot_job receive;
    struct snapshot_pause receive_pause;
    struct snapshot_head receiving; /* index 0: none */
    uint64_t receiving_id;
    uint64_t sender;   /* replica */
    uint32_t piece;    /* expected next */
    bool is_restoring; /* the machine's restore has begun */
};

struct group {
    struct group_home home;
    struct group_config config;
    struct group_links links;
    struct raft *raft;
    uint64_t applied;
    uint64_t applied_term;
    int64_t stamp_ms;
    bool has_state; /* not: it waits for a snapshot */
    bool is_failed;
    bool is_changed;
    bool has_led;
    uint64_t led_term;

    /* From group_open() to group_start(). */
    uint64_t wal_snapshot_index;
    bool is_tail_known; /* the log has what the snapshot ends with */
    bool has_restored;  /* entries, which are not applied yet */

    struct batch *open; /* NULL: nothing gathered */
    struct batch *inflight;
    struct batch **inflight_last;
    uint32_t inflight_count;
    struct batch *spare;
    uint64_t sequence;  /* of the newest batch */
    uint64_t committed; /* batch sequence */

    struct group_request *waiting; /* reads, and replies without an outcome */
    struct group_request **waiting_last;
    uint32_t waiting_count;
    uint64_t round_ready;

    struct snapshots snapshots;
};

/* What follows from an event: apply, answer, begin what is due. */
void group_go_on(struct group *group);

/* ---- of group_snapshot.c ---- */

/* Find our newest snapshot and put the machine into its state. Blocks. */
FALLIBLE snapshots_load(struct group *group);
void snapshots_open(struct group *group);
void snapshots_close(struct group *group);
bool snapshots_are_idle(const struct group *group);

FALLIBLE snapshots_save(struct group *group);
void snapshots_want(struct group *group, uint64_t number);

/* Of a leader that is none any more. False: not while a piece is written. */
bool snapshots_stop_receiving(struct group *group);
void snapshots_on_piece(struct group *group,
                        const struct raft_message *message);
void snapshots_on_reply(struct group *group,
                        const struct raft_message *message);

/* After each event: begin what is due. */
void snapshots_go_on(struct group *group);

#endif
