/*
 * Several replicas of a group in one process: messages, disks and time are in
 * the test's hands, and after each event it is checked that what Raft promises
 * holds. What does not is kept in `violation`, the first only.
 *
 * Replicas are named by their numbers, from 1 on.
 */

#ifndef TESTS_CLUSTER_RAFT_HARNESS_H
#define TESTS_CLUSTER_RAFT_HARNESS_H

#include "cluster/raft.h"
#include "tests/support/seeded.h"

#define HARNESS_REPLICAS_MAX 24
#define HARNESS_READS_MAX 32
#define HARNESS_MS UINT64_C(1000000)
#define HARNESS_ELECTION_MS 500
#define HARNESS_HEARTBEAT_MS 100
#define HARNESS_TICK_MS 25

struct harness;

/* A message under way; it owns what it points to. */
struct packet {
    uint64_t id;
    struct raft_message message;
};

struct harness_read {
    uint64_t round;
    uint64_t required; /* committed when it was asked for */
};

struct replica {
    struct harness *harness;
    uint64_t number;
    struct raft *raft; /* NULL: crashed */
    struct raft_configuration founding;

    /* Records 1 .. record_count, of which a crash leaves durable_count. */
    struct wal_record *records;
    uint64_t record_count;
    uint64_t record_capacity;
    uint64_t durable_count;
    bool is_disk_slow; /* nothing is durable before the test says so */

    /* The state machine. */
    uint64_t applied;
    uint64_t state_index; /* of the durable state that a restart begins with */
    bool is_state_lost;
    struct packet *installing; /* NULL: none; a snapshot being put in place */

    /* What was seen of it. */
    uint64_t checked; /* committed and compared up to here */
    struct harness_read reads[HARNESS_READS_MAX];
    uint32_t read_count;
    uint64_t ready_round;
    uint64_t answered_count; /* reads */
    uint64_t wanted_count;   /* snapshots, by this one as the leader */
    bool is_wanted[HARNESS_REPLICAS_MAX]; /* for these, not sent yet */
    uint64_t change_count;
};

/* An entry which somebody has seen committed. */
struct truth {
    uint64_t term;
    enum raft_entry_type type;
    uint8_t *data;
    size_t length;
};

struct harness_config {
    uint32_t voter_count;
    uint32_t inflight_count_max; /* 0: 4 */
    size_t append_bytes_max;     /* 0: 64 */
    size_t keep_bytes;
    uint64_t seed;
    int fault;               /* enum raft_fault, in a build with faults */
    bool is_snapshot_manual; /* on_snapshot_wanted is only counted */
};

struct harness {
    struct harness_config config;
    struct seeded seeded;
    struct entropy entropy;
    uint64_t now_ns;
    struct raft_configuration founding;
    struct replica replicas[HARNESS_REPLICAS_MAX]; /* [0] is nobody */
    uint64_t replica_count;

    struct packet **packets; /* the oldest first */
    size_t packet_count;
    size_t packet_capacity;
    uint64_t packet_id;
    bool is_cut[HARNESS_REPLICAS_MAX][HARNESS_REPLICAS_MAX]; /* from, to */

    struct truth *truth; /* [0] is nothing */
    uint64_t truth_count;
    uint64_t truth_capacity;
    uint64_t *leaders; /* of each term */
    uint64_t leader_count;

    char violation[160];
};

void harness_open(struct harness *harness, const struct harness_config *config);
void harness_close(struct harness *harness);

struct replica *harness_replica(struct harness *harness, uint64_t number);
struct raft *harness_raft(struct harness *harness, uint64_t number);

/* Replica of the next number, which is not a member yet. */
uint64_t harness_add(struct harness *harness);

/* ---- crashes and disks ---- */

void harness_crash(struct harness *harness, uint64_t number);
void harness_restart(struct harness *harness, uint64_t number);
/* Give a crashed replica without a log one: for each entry a digit, its term;
 * then `term`; and restart it. */
void harness_write_log(struct harness *harness,
                       uint64_t number,
                       const char *terms,
                       uint64_t term);
/* Records up to this one are durable. */
void harness_store_to(struct harness *harness, uint64_t number, uint64_t to);
void harness_store(struct harness *harness, uint64_t number); /* all */
/* The applied state of one that has crashed. */
void harness_lose_state(struct harness *harness, uint64_t number);

/* ---- messages ---- */

#define HARNESS_ANY RAFT_MESSAGE_KIND_COUNT /* kind of message */

/* What names a message: 0 and HARNESS_ANY mean any. */
struct like {
    uint64_t from;
    uint64_t to;
    enum raft_message_kind kind;
};

/* Packets that are like this. */
size_t harness_count(const struct harness *harness, struct like like);
/* The oldest; NULL: none. */
const struct raft_message *harness_find(const struct harness *harness,
                                        struct like like);
/* Deliver the oldest; false: there is none. */
bool harness_deliver(struct harness *harness, struct like like);
void harness_deliver_at(struct harness *harness, size_t i);
void harness_duplicate_at(struct harness *harness, size_t i);
void harness_drop_at(struct harness *harness, size_t i);
void harness_drop(struct harness *harness, struct like like); /* all */
void harness_drop_all(struct harness *harness); /* whatever is under way */
/* Deliver all until nothing is under way. */
void harness_flow(struct harness *harness);

/* Cut all links of a replica, or heal them. */
void harness_isolate(struct harness *harness, uint64_t number, bool is_cut);
void harness_cut(struct harness *harness,
                 uint64_t left,
                 uint64_t right,
                 bool is_cut);
void harness_heal(struct harness *harness);

/* ---- time ---- */

/* Time goes on, and nobody notices. */
void harness_wait(struct harness *harness, uint64_t ms);
/* So long that nobody keeps to a leader any more. */
void harness_forget_leader(struct harness *harness);
void harness_tick(struct harness *harness, uint64_t number);
void harness_heartbeat(struct harness *harness, uint64_t number);
/* Time, ticks, heartbeats and messages for so long. */
void harness_run(struct harness *harness, uint64_t ms);

/* ---- requests ---- */

/* Make it the leader, when others would vote for it: nobody's leader is
 * fresh. Messages to whom is not cut off are delivered. */
void harness_elect(struct harness *harness, uint64_t number);
/* It asks for pre-votes now; nothing is delivered. */
void harness_campaign(struct harness *harness, uint64_t number);

/* Propose eight bytes; the result of raft_propose(). */
enum err harness_propose(struct harness *harness,
                         uint64_t number,
                         uint64_t value);
enum err harness_reconfigure(struct harness *harness,
                             uint64_t number,
                             const struct raft_configuration *next);
enum err harness_transfer(struct harness *harness, uint64_t from, uint64_t to);
/* raft_read(), remembered until it is answered or leadership lost. */
enum err harness_read(struct harness *harness, uint64_t number);
void harness_flush(struct harness *harness, uint64_t number);
void harness_node_lost(struct harness *harness, uint64_t number, uint64_t lost);
void harness_node_found(struct harness *harness,
                        uint64_t number,
                        uint64_t found);
void harness_compact(struct harness *harness, uint64_t number, uint64_t index);
/* Send the leader's newest snapshot, having made one if there is none. */
void harness_send_snapshot(struct harness *harness, uint64_t from, uint64_t to);
/* What was being installed is in place; false: refused. */
bool harness_install(struct harness *harness, uint64_t number);

/* ---- what is ---- */

/* 0: nobody; the one of the highest term. */
uint64_t harness_leader(const struct harness *harness);
enum raft_role harness_role(const struct harness *harness, uint64_t number);
uint64_t harness_commit(const struct harness *harness, uint64_t number);
uint64_t harness_last(const struct harness *harness, uint64_t number);
uint64_t harness_term_at(const struct harness *harness,
                         uint64_t number,
                         uint64_t index);

/* ---- configurations ---- */

struct raft_configuration harness_with(struct raft_configuration configuration,
                                       uint64_t number,
                                       bool is_voter);
struct raft_configuration harness_without(
    struct raft_configuration configuration, uint64_t number);

#endif
