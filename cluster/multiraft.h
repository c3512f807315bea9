/*
 * All the groups of a node: one log, one link to each other node, one clock.
 *
 * What all groups have to say to a node during a turn travels in one message;
 * what they have to write becomes one write. The heartbeats of all groups fall
 * together, so that idle groups cost one message per pair of nodes.
 *
 * Owned by one reactor; everything is called on its thread.
 */

#ifndef CLUSTER_MULTIRAFT_H
#define CLUSTER_MULTIRAFT_H

#include "base/env.h"
#include "base/executor.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/reactor.h"
#include "cluster/group.h"
#include "store/kv.h"
#include "store/wal.h"

struct multiraft;

#define MULTIRAFT_GROUPS_MAX 4097 /* the meta group, and 4096 shards */
#define MULTIRAFT_NODES_MAX 512

/* How it reaches other nodes. */
struct mesh {
    void *context;
    /* May be lost, as when the link is down. Borrowed. */
    void (*send)(void *context, uint32_t node, struct bytes message);
};

struct multiraft_events {
    void *context;
    /* A group's role, leader or term changed. */
    void (*on_change)(void *context, struct group *group);
    /* The node must end: fail-stop. `group` is NULL when it is the log. */
    void (*on_failed)(void *context,
                      struct group *group,
                      enum err err,
                      const char *what);
};

struct multiraft_config {
    const struct clock *clock;
    const struct entropy *entropy;
    struct log *log;         /* may be NULL */
    struct metrics *metrics; /* may be NULL */
    struct reactor *reactor;
    const struct disk *disk;        /* of the durable log */
    const struct executor *writer;  /* writes it */
    const struct kv *kv;            /* applied state */
    const struct executor *applier; /* writes that */
    struct mesh mesh;
    struct multiraft_events events;
    uint64_t disk_id; /* by which this node knows itself among members */
    bool must_exist;  /* the log: it was made before */
    uint64_t election_ns;
    uint64_t heartbeat_ns;
    uint64_t segment_bytes;  /* of the durable log; 0: its default */
    uint64_t free_bytes_min; /* of the disk; below, nothing is taken in */
    uint32_t inflight_count_max;
    size_t append_bytes_max;
    size_t keep_bytes; /* of entries in a snapshot, kept by each group for slow
                          followers; less when there are many groups, so that
                          all keep no more than a quarter of log_bytes_max */
    size_t message_bytes_max; /* to a node; then another message follows */
    size_t log_bytes_max; /* of all groups, in memory: then they make snapshots,
                             one after another */
    uint64_t disk_bytes_max; /* of the durable log: then whoever needs its
                                oldest segment makes a snapshot */
    struct group_limits group;
#ifdef TROUPE_FAULTS
    enum raft_fault fault;
    enum group_fault group_fault;
#endif
};

/* Sensible values for everything that is a number. */
void multiraft_config_defaults(struct multiraft_config *config);

/*
 * Open the durable log. Blocks.
 *
 * ERR_FULL   the metrics are
 * what wal_open() says
 */
FALLIBLE multiraft_open(struct multiraft **out,
                        const struct multiraft_config *config,
                        struct wal_report *report,
                        struct err_detail *why);

/* Nothing may be with the log writer or the applier. */
void multiraft_close(struct multiraft **multiraft);
bool multiraft_is_idle(const struct multiraft *multiraft);

/* What is with one of them, for people; NULL: nothing. Static. */
const char *multiraft_waits_for(const struct multiraft *multiraft);

/*
 * Open a group that the log has, before multiraft_start(). Blocks. `why` may be
 * NULL; it says what is lost, where, and what to do about it.
 *
 * ERR_NOT_FOUND   the log has nothing of it; or its state is gone and nobody
 *                 else has it
 * ERR_REVOKED     the log lost records of it: it must come back under another
 *                 number (see raft.h), or, when nobody else has them, from a
 *                 backup
 * what group_open() says
 */
FALLIBLE multiraft_group_open(struct multiraft *multiraft,
                              uint32_t id,
                              const struct machine *machine,
                              struct group **out,
                              struct err_detail *why);

/*
 * Read the entries of the log into the groups, and begin. Blocks. A group of
 * which something cannot be read, or makes no sense, is closed, and the others
 * go on: multiraft_group() says NULL then.
 */
FALLIBLE multiraft_start(struct multiraft *multiraft,
                         struct wal_report *report);

/*
 * Begin a group that the log does not have, after multiraft_start(): with all
 * its founders, who are told the same, or as one more replica of a group that
 * is there already, with the members as its leader has them. This disk is among
 * `members`; of several such replicas this is the newest.
 *
 * ERR_NOT_FOUND   they are not
 * ERR_EXISTS      the log has it
 * ERR_BUSY        what there was is being dropped: try again
 * ERR_REVOKED     the log lost records, perhaps all of this group: see
 *                 multiraft_forget_unlisted()
 * what group_open() says
 */
FALLIBLE multiraft_group_found(struct multiraft *multiraft,
                               uint32_t id,
                               const struct machine *machine,
                               const struct raft_configuration *members,
                               struct group **out);

/*
 * Take a replica off this node for good, whether it is open or not: it is
 * closed at once; the applier removes its rows, again and again if it fails;
 * then the log forgets it. It has left its group or is lost, and does not come
 * back under its number. After multiraft_start(), and not from within anything
 * that a group calls.
 *
 * ERR_NOT_FOUND   the log has nothing of it (any more)
 * ERR_BUSY        it is being dropped, or the applier works for it: try again
 * ERR_MEMORY
 */
FALLIBLE multiraft_group_drop(struct multiraft *multiraft, uint32_t id);

/*
 * What the log lost without knowing whose it was has been dealt with: no
 * configuration, wherever it is kept, names this disk with a number that it had
 * before. Durable with the next write. After multiraft_start().
 *
 * Until then nothing is founded here. This node cannot tell a number that is
 * new from one under which it has voted and which it has forgotten: what told
 * them apart is what is lost. Only who allots the numbers knows.
 */
void multiraft_forget_unlisted(struct multiraft *multiraft);

/* NULL: not on this node. */
struct group *multiraft_group(const struct multiraft *multiraft, uint32_t id);

/* Below the disk's low-water mark, or too much waits to be written: take in
 * nothing more from outside. */
bool multiraft_is_full(const struct multiraft *multiraft);

const struct wal *multiraft_wal(const struct multiraft *multiraft);

/* ---- events from the links ---- */

/* ERR_MALFORMED: what could be read has been handled. */
FALLIBLE multiraft_receive(struct multiraft *multiraft,
                           uint32_t node,
                           struct bytes message);

/* The link to a node has closed, or is there again. */
void multiraft_node_lost(struct multiraft *multiraft, uint32_t node);
void multiraft_node_found(struct multiraft *multiraft, uint32_t node);

#endif
