/*
 * One replica of a group: its Raft, its state machine, its snapshots.
 *
 * Commands of a turn are decided at once and gathered into one entry, and
 * their replies leave when it is committed. While as many entries as allowed
 * are under way, the next one gathers on.
 *
 * Owned by one reactor; opened by cluster/multiraft.h, which feeds it.
 */

#ifndef CLUSTER_GROUP_H
#define CLUSTER_GROUP_H

#include "base/executor.h"
#include "base/machine.h"
#include "cluster/raft.h"
#include "store/group_mark.h"
#include "store/kv.h"

struct group;

/* Embedded in its caller's object, which must live until `done` was called. */
struct group_request {
    /*
     * Once, on the group's reactor, never within the call that made the
     * request. `reply` is borrowed.
     *
     * ERR_NONE         it is committed
     * ERR_NOT_LEADER   nothing has happened: ask another
     * ERR_UNCERTAIN    leadership was lost while it was under way
     * ERR_MEMORY       a read that found none
     * others           what the machine said
     */
    void (*done)(struct group_request *request,
                 enum err err,
                 struct bytes reply);

    /* Of group.c. */
    struct group_request *next;
    enum err err;
    size_t reply_at; /* in its batch's replies */
    size_t reply_length;
    bool is_read;
    uint8_t *own;      /* a question, or a reply outside of any batch */
    uint64_t sequence; /* the batch that must be committed first */
    uint64_t round;    /* the round of reads that must be ready first */
};

struct group_limits {
    size_t entry_bytes_max;     /* of one outcome, and gathered into one entry
                                   with its replies; then ERR_FULL */
    uint32_t entry_count_max;   /* entries under way at the same time */
    uint32_t waiting_count_max; /* reads under way: then ERR_FULL */
    size_t snapshot_log_bytes;  /* a snapshot is made when the log has more */
    size_t piece_bytes;         /* of a snapshot */
};

void group_limits_defaults(struct group_limits *limits);

/* What a group needs of the node. Borrowed, outlives it. */
struct group_home {
    void *context;
    const struct clock *clock;
    const struct kv *kv;
    const struct executor *applier;
    struct reactor *reactor;
    void (*send)(void *context,
                 struct group *group,
                 const struct raft_message *message);
    uint64_t (*save)(void *context,
                     struct group *group,
                     const struct wal_record *record);
    /* Whether the log takes in more from outside. ERR_NO_SPACE: below the
     * low-water mark of the disk; ERR_FULL: too much waits to be written */
    enum err (*room)(void *context);
    /* Have group_turn_end() called when this turn ends. */
    void (*wake)(void *context, struct group *group);
    /* Role, leader or term changed. */
    void (*on_change)(void *context, struct group *group);
    /* A snapshot could not be made, sent or taken. It is tried again by
     * itself, after a pause that doubles each time. */
    void (*on_snapshot_failed)(void *context,
                               struct group *group,
                               enum err err,
                               const char *what);
    /* It cannot go on; fail-stop. */
    void (*on_failed)(void *context,
                      struct group *group,
                      enum err err,
                      const char *what);
};

#ifdef TROUPE_FAULTS
/* Deliberate faults outside of Raft's core, as those in raft.h. */
enum group_fault {
    GROUP_FAULT_NONE,
    GROUP_FAULT_ANSWER_BEFORE_COMMIT,  /* no output gate */
    GROUP_FAULT_KEEP_SPECULATION,      /* when deposed */
    GROUP_FAULT_REFUSE_UNCERTAIN,      /* what may yet be committed */
    GROUP_FAULT_ANSWER_WITHOUT_ASKING, /* what changes nothing */
    GROUP_FAULT_APPLY_TWICE,           /* the first entry after a restart */
    GROUP_FAULT_FORGET_APPLIED,        /* a snapshot claims one entry less */
    GROUP_FAULT_SKIP_PIECE,            /* the last one of a snapshot */
    GROUP_FAULT_SKIP_SYNC,             /* of a snapshot */
    GROUP_FAULT_NEWEST_CONFIGURATION,  /* goes into a snapshot */
    GROUP_FAULT_NO_SNAPSHOT,           /* the log grows */
    GROUP_FAULT_COUNT,
};
#endif

struct group_config {
    uint32_t id;
    struct machine machine;
    struct group_limits limits;
    struct raft_config raft; /* without its effects */
#ifdef TROUPE_FAULTS
    enum group_fault fault;
#endif
};

/*
 * Open, with what the log says of it, and load its snapshot. Blocks.
 *
 * ERR_NOT_FOUND   the log says that there is a snapshot, the key-value store
 *                 has none, and no other replica could give one
 * ERR_MALFORMED, ERR_VERSION, ERR_IO, ERR_MEMORY
 */
FALLIBLE group_open(struct group **out,
                    const struct group_home *home,
                    const struct group_config *config,
                    const struct wal_group *past);

/* Nothing of it may be with the applier: see group_is_idle(). Requests that
 * wait are answered with ERR_NOT_LEADER or ERR_UNCERTAIN. */
void group_close(struct group **group);
bool group_is_idle(const struct group *group);

/* The entries of the log, in order, before group_start(). */
FALLIBLE group_restore(struct group *group, const struct wal_record *entry);
void group_start(struct group *group);

/* ---- for whoever uses the group ---- */

/*
 * Have a command decided and committed.
 *
 * ERR_NOT_LEADER   group_leader() may know who is
 * ERR_BUSY         the leader is new: soon
 * ERR_FULL         too much is under way
 * ERR_NO_SPACE     the disk is below its low-water mark
 * ERR_TOO_LARGE    its outcome is larger than an entry may be
 * ERR_MEMORY
 */
FALLIBLE group_propose(struct group *group,
                       struct bytes command,
                       struct group_request *request);

/* Ask the machine, linearizably. ERR_NOT_LEADER, ERR_BUSY, ERR_MEMORY */
FALLIBLE group_read(struct group *group,
                    struct bytes question,
                    struct group_request *request);

/* See raft_reconfigure() and raft_transfer(). */
FALLIBLE group_reconfigure(struct group *group,
                           const struct raft_configuration *next);
FALLIBLE group_transfer(struct group *group, uint64_t number);

/* See raft_take_over() and raft_retire(). Take over, ERR_BUSY: also, a snapshot
 * is being taken */
FALLIBLE group_take_over(struct group *group, const struct raft_member *self);
void group_retire(struct group *group);

/* Make a snapshot now. ERR_BUSY: one is being made, one has just failed,
 * nothing is new, or the machine has no time for it */
FALLIBLE group_snapshot(struct group *group);

/* See raft_keep(). */
void group_keep(struct group *group, size_t bytes);

uint32_t group_id(const struct group *group);
const struct raft *group_raft(const struct group *group);
uint64_t group_applied_index(const struct group *group);

/* Not: its applied state was lost, and a leader's snapshot is waited for. */
bool group_has_state(const struct group *group);

/* Its own snapshot, in the key-value store; 0: none. */
uint64_t group_stored_index(const struct group *group);

/* ---- events; of multiraft.c ---- */

void group_tick(struct group *group);
void group_heartbeat(struct group *group);

/* See raft_due_ns(). */
uint64_t group_due_ns(const struct group *group);
void group_receive(struct group *group, const struct raft_message *message);
void group_stored(struct group *group, uint64_t number);
void group_node_lost(struct group *group, uint32_t node);
void group_node_found(struct group *group, uint32_t node);
void group_campaign_soon(struct group *group);

/* See raft_resign(). */
void group_resign(struct group *group);
void group_turn_end(struct group *group);

/* A place in lists of multiraft.c. */
struct group_links {
    struct group *next_due; /* for group_turn_end() */
    bool is_due;
    struct group *next_writing; /* something of it is in the log's hands */
    bool is_writing;
    uint64_t last_write;
    uint64_t asking_number; /* who sent something last, and from where */
    uint32_t asking_node;
};
struct group_links *group_links(struct group *group);

#endif
