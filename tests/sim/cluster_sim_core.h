/*
 * What the files of the cluster simulator share; nobody else includes it.
 */

#ifndef TESTS_SIM_CLUSTER_SIM_CORE_H
#define TESTS_SIM_CLUSTER_SIM_CORE_H

#include "base/hash.h"
#include "cluster/multiraft.h"
#include "shard/counter_map.h"
#include "tests/sim/cluster_sim.h"
#include "tests/sim/history.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_executor.h"
#include "tests/sim/sim_kv.h"
#include "tests/sim/sim_mesh.h"
#include "tests/sim/watched_machine.h"
#include "tests/sim/world.h"

#define NODES_MAX 7
#define SHARDS_MAX 8
#define REPLICAS_MAX 5
#define CLIENTS_MAX 12
#define KEYS 3 /* of a shard */
#define MEMBERS_KNOWN_MAX 1024

#ifdef TROUPE_FAULTS
#define SIM_HAS_FAULT(sim, name) ((sim)->config.sim_fault == SIM_FAULT_##name)
#else
#define SIM_HAS_FAULT(sim, name) false
#endif

struct sim;

/* ---- a node ---- */

struct replica {
    struct group *group; /* NULL: none here */
    struct counter_map *map;
    struct watched_machine watched; /* `map` as a machine */
    struct node *node;
    uint32_t shard;

    /* What the checkers have seen of it in this life. */
    uint64_t commit;
    uint64_t applied;
    uint64_t led_term;
};

struct node {
    struct sim *sim;
    uint32_t index;
    uint64_t disk_id;
    bool is_made;    /* its log was there once */
    bool has_groups; /* or had, on this disk */
    bool is_suspect; /* its disk or its rows were damaged since it was up */
    bool is_harmed;  /* something of it was made to fail in this life */
    bool is_closing;
    bool is_dying;
    uint32_t life;
    struct sim_disk *disk;
    struct sim_kv *kv;
    struct sim_executor *writer;
    struct sim_executor *applier;
    struct reactor *reactor;
    struct multiraft *multiraft; /* NULL: it is off */
    struct replica replicas[SHARDS_MAX];
    uint64_t whole[SHARDS_MAX]; /* the replica that is whole; 0: none */
};

/* ---- a group, as the checkers and the operator know it ---- */

struct committed {
    uint64_t term;
    uint64_t hash;
    uint64_t leader_term;   /* of who committed it */
    uint64_t digest;        /* of the state after it; 0: not known yet */
    uint32_t outcome_count; /* applied with it; 0: not known yet */
};

struct shard {
    uint32_t id;
    struct committed *log; /* of index 1 first */
    size_t log_count;
    size_t log_capacity;
    uint64_t *leaders; /* by term; 0: none */
    size_t leader_capacity;

    uint32_t wanted[RAFT_MEMBERS_MAX]; /* nodes */
    uint32_t wanted_count;
    uint64_t next_number;
    uint64_t joining; /* a replica that is being founded; 0: none */
    uint64_t joining_until_ns;
    uint64_t order_until_ns; /* until then a change of members may begin */

    uint32_t unknown[KEYS]; /* operations whose end nobody knows */
    uint64_t keyed_count;   /* operations with an idempotency key */
    uint32_t strikes;       /* at its leaders, that are still to come */

    struct {
        uint64_t index;
        uint64_t hash;
    } members[MEMBERS_KNOWN_MAX]; /* configurations that are committed */
    uint32_t member_count;
};

/* ---- clients ---- */

struct client {
    struct sim *sim;
    uint32_t index;
    bool is_patient; /* asks again when the outcome is not known */
    bool is_busy;
    bool is_reading_all; /* at the end: every key of a shard */
    uint32_t shard;
    struct counter_command command;
    history_id operation;
    uint64_t keyed_at; /* the shard's count then */
    uint64_t attempt;  /* answers of others are too late */
    uint32_t final_key;
    uint32_t hints[SHARDS_MAX]; /* who leads */
};

/* ---- all ---- */

/* How a run is set up. */
struct plan {
    uint32_t node_count;
    uint32_t shard_count;
    uint32_t client_count;
    uint64_t election_ns;
    struct multiraft_config limits;
    uint32_t piece_bytes;
    uint32_t padding_bytes;
    uint32_t result_count_max;
    uint64_t fault_pause_ms;
    uint64_t think_ms;
    uint64_t log_bytes_max; /* of a replica in memory */
    bool has_damage;        /* disks lose what is durable */
    bool is_adverse;        /* the leaders of shard 0 are hunted all the time */
    uint32_t hot_percent;   /* of the operations go to one shard */
    bool has_drift;
    bool is_asking;        /* clients mostly ask for what changes nothing */
    uint32_t hint_percent; /* of the nodes are told that one starts or ends */
};

struct later;

struct sim {
    struct cluster_sim_config config;
    struct cluster_sim_result result;
    struct plan plan;
    struct world *world;
    struct sim_mesh *mesh;
    struct seeded *random;
    struct node nodes[NODES_MAX];
    struct shard shards[SHARDS_MAX];
    struct client clients[CLIENTS_MAX];
    struct history *events; /* of clients */
    uint64_t keys;          /* for idempotency */
    uint32_t busy_count;    /* clients with an operation */
    uint64_t disk_ids;
    struct later *laters;
    bool are_faults_over;
    bool are_clients_done;
    bool is_finishing; /* clients begin nothing new */
    uint64_t history;  /* hash of what happened so far */

    /* What a script lets pass of what a node sends; NULL: all. */
    bool (*lets_pass)(struct sim *sim,
                      struct world_pair pair,
                      struct bytes message);
};

/* ---- saying, planning: cluster_sim.c ---- */

/* For the trace. */
__attribute__((format(printf, 2, 3))) void say(struct sim *sim,
                                               const char *format,
                                               ...);

/* A promise is broken: remember the first. */
__attribute__((format(printf, 3, 4))) void broken(struct sim *sim,
                                                  const char *checker,
                                                  const char *format,
                                                  ...);

/* Take something into the digest of the run. */
void note(struct sim *sim, uint64_t value);

uint64_t below(struct sim *sim, uint64_t bound);
bool chance(struct sim *sim, uint32_t percent);

/* What is to be done at some time; freed when it has run. */
struct later {
    struct later *next;
    struct later *previous;
    struct sim *sim;
    void (*run)(struct sim *sim, struct later *later);
    uint32_t node;
    uint32_t life;
    uint32_t shard;
    uint32_t client;
    uint64_t attempt;
    uint32_t hint;
    enum err err;
    struct counter_reply reply;
    struct world_pair pair;
    uint64_t count;
};
void plan_later(struct sim *sim, uint64_t after_ns, struct later later);

/* What is to be done on a node's reactor, in this life of it; freed when it
 * has run, or died with the node. */
struct errand {
    struct reactor_event event;
    struct node *node;
    void (*run)(struct node *node, struct errand *errand);
    uint32_t shard;
    uint32_t client;
    uint64_t attempt;
    uint64_t number;
    uint64_t until_ns;
    struct counter_command command;
    struct raft_configuration configuration;
    uint32_t from;
    size_t length;
    uint8_t bytes[];
};
struct errand *make_errand(struct node *node,
                           void (*run)(struct node *node,
                                       struct errand *errand),
                           size_t length);
void post_errand(struct errand *errand);

/* A message arrives at `pair.to`, if that is on. */
void deliver_message(struct sim *sim,
                     struct world_pair pair,
                     struct bytes message);

/* ---- a run: cluster_sim.c ---- */

/* The world, with `plan` as it is; no node is on yet. */
void open_world(struct sim *sim, uint64_t seed);

/* Nodes that are on, without groups. */
void open_nodes(struct sim *sim);
void close_all(struct sim *sim);

/* Till then, or till a promise is broken. */
void run_until(struct sim *sim, uint64_t end_ns);

/* ---- cluster_node.c ---- */

void node_start(struct node *node);

/* `is_power_lost`: what is not durable may go; else the program alone ends. */
void node_stop(struct node *node, bool is_power_lost);
bool node_is_up(const struct node *node);
void node_found_group(struct node *node,
                      uint32_t shard,
                      const struct raft_configuration *members);

/* The disk is replaced by an empty one. The node is off. */
void node_wipe(struct node *node);

/* ---- cluster_check.c ---- */

void check_node(struct node *node);

/* How a replica's machine is watched. */
void check_watch(struct replica *replica);
void check_clients(struct sim *sim);

/* Whether all is well again; else what is not, if `say_what`. */
bool check_is_whole(struct sim *sim, bool say_what);

/* ---- cluster_operator.c ---- */

/* The settled leader of the highest term that is up; NULL: none. */
struct node *operator_leader(struct sim *sim, uint32_t shard);
void operator_start(struct sim *sim);

/* Begin a shard on the nodes where it is wanted, and do no more. */
void operator_found(struct sim *sim, struct shard *shard);

/* A replica is begun on the node of the newest of `members`. */
void operator_begin_replica(struct node *home,
                            uint32_t shard,
                            const struct raft_configuration *members,
                            uint64_t until_ns);
void operator_remove_member(struct raft_configuration *members, uint32_t at);
void operator_move(struct sim *sim, uint32_t shard);

/* Whether the shards survive that a node loses everything. */
bool operator_may_lose(struct sim *sim, uint32_t node);

/* ---- cluster_client.c ---- */

/* Some shard; the one with the most traffic more often. */
uint32_t any_shard(struct sim *sim);

/* Read or propose. */
FALLIBLE clients_ask(struct group *group,
                     const struct counter_command *command,
                     struct group_request *request);

void clients_start(struct sim *sim);
void clients_finish(struct sim *sim); /* no new operations; read all keys */

/* ---- cluster_fault.c ---- */

void faults_start(struct sim *sim);

/* Something has begun at a leader that had better not be disturbed. */
void faults_tempt(struct sim *sim, uint32_t shard, uint32_t node);
void faults_end(struct sim *sim);

#endif
