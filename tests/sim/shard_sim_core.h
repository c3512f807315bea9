/*
 * What the files of the simulator of shards share; nobody else includes it.
 *
 *   shard_sim.c        a run, from its beginning to its end
 *   shard_node.c       one node: on, off, leaving, its disk
 *   shard_client.c     requests, and what they were told
 *   shard_task.h       tasks, in files of their own
 *   shard_operator.c   orders: members, places
 *   shard_backup.c     shards are exported and restored
 *   shard_fault.c      what goes wrong
 *   shard_disaster.c   a majority is gone for good, and survivors recover
 *   shard_check.c      the promises
 *   shard_scale.c      large clusters, to be measured
 */

#ifndef TESTS_SIM_SHARD_SIM_CORE_H
#define TESTS_SIM_SHARD_SIM_CORE_H

#include "base/time_units.h"
#include "shard/archive.h"
#include "shard/counter_map.h"
#include "shard/host.h"
#include "shard/router.h"
#include "tests/sim/shard_sim.h"
#include "tests/sim/shard_task.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_executor.h"
#include "tests/sim/sim_kv.h"
#include "tests/sim/watched_machine.h"
#include "tests/sim/world.h"
#include "tests/support/test_identity.h"

#define LATENCY_US_MAX 2000 /* of a packet, of a trial */
#define NODES_MAX 6         /* of a trial */
#define CLIENTS 3           /* on each node */
#define KEYS 24             /* that many requests share */
#define REQUESTS_MAX 20000
#define COMMAND_BYTES_MAX 4096
#define NAME_BYTES 16

struct sim;
struct node;

/* ---- requests ---- */

enum request_kind {
    REQUEST_ADD,  /* one, to a key of many; may be repeated */
    REQUEST_ONCE, /* one, to a key of its own; must not be repeated */
    REQUEST_READ, /* a key of many */
};

enum request_end {
    REQUEST_OPEN,
    REQUEST_TOLD,      /* `value` */
    REQUEST_UNCERTAIN, /* it may have happened */
    REQUEST_REFUSED,   /* it has not, and never will */
};

/* From its beginning to its end. */
struct request {
    enum request_kind kind;
    enum request_end end;
    uint32_t node;
    uint64_t key;
    uint64_t begun_ns;
    uint64_t ended_ns;
    int64_t value;
};

struct client {
    struct router_request request;
    struct node *node;
    struct timer pause;
    uint32_t number;   /* of the request under way */
    uint64_t until_ns; /* it must be answered by then */
    bool is_asking;
};

/* ---- a node ---- */

struct replica {
    struct node *node;
    uint32_t shard;
    struct counter_map *map; /* NULL: none here */
    struct coordinator *coordinator;
    struct shard_machine *machine; /* both */
    struct archive *archive;       /* around them */
    struct watched_machine watched;
    uint64_t entry_hash; /* of the outcomes of the entry being applied */
};

struct node {
    struct sim *sim;
    uint32_t index;
    char name[NAME_BYTES];
    const struct identity *identity;
    struct settings_member self;
    struct sim_disk *disk;
    struct sim_kv *kv;
    struct sim_executor *writer;
    struct sim_executor *applier;
    uint64_t disk_id;
    bool is_made;   /* its log was */
    uint64_t *held; /* by group: the newest replica on this disk */
    uint8_t *kept;  /* its copy of the view */
    size_t kept_length;
    bool is_member;      /* it shall run */
    bool is_lost;        /* in PHASE_LOSE: off, perhaps for ever */
    bool recovers_meta;  /* when it starts */
    bool is_harmed;      /* what it had was damaged since it was whole */
    uint32_t name_count; /* that it has had */

    int64_t skew_ms; /* of its wall clock */

    /* While it is on. */
    struct reactor *reactor;
    struct endpoint *endpoint;
    struct calls *calls;
    struct raft_links *raft_links;
    struct host *host; /* NULL: it is off */
    struct router *router;
    struct tasks *tasks;
    struct task_service *task_service;
    struct worker_house workers;
    struct log *log;
    struct replica *replicas; /* of each shard */
    struct client clients[CLIENTS];
    struct task_client task_clients[TASK_CLIENTS];
    uint64_t view_version;
    bool is_failed;
    bool is_closing;
    bool is_leaving;
    uint64_t leave_until_ns;
    uint64_t forgotten_ns;     /* somebody asked for that then; 0: nobody has */
    uint64_t excused_until_ns; /* it stood still: its timers are late */

    /* When faults end; 0: there is none. */
    uint64_t stands_until_ns;
    uint64_t disk_until_ns;
    uint64_t cut_until_ns;
    uint64_t on_at_ns;
};

/* ---- what the checkers remember ---- */

struct terms {
    uint64_t *leaders; /* by term: the replica's number and node; 0: none */
    size_t capacity;
    uint64_t newest;
};

/* On which disk a replica is, by its number; 0: nowhere yet. */
struct disks {
    uint64_t *of;
    size_t capacity;
};

struct entries {
    uint64_t *hashes; /* by index; 0: not known yet */
    size_t capacity;
};

struct memory {
    struct terms *terms;     /* by group */
    struct disks *disks;     /* by group */
    struct entries *entries; /* by shard */
    struct shard_map map;    /* the newest that anybody has had */
    uint64_t *by_hand_ns;    /* by shard: when an operator moved it */
    uint64_t lost_ns;        /* when a disk lost something; 0: never */
    bool *is_emptied;        /* by shard: nobody had anything of it, so that it
                                began anew, empty */
};

/* ---- all ---- */

enum phase {
    PHASE_FAULTS,
    PHASE_SETTLE,
    PHASE_LEAVE,  /* a node goes in good order, and comes back */
    PHASE_CUT,    /* a node is cut off */
    PHASE_HEAL,   /* it is not any more */
    PHASE_FINISH, /* no new requests */
    PHASE_LOSE,   /* a majority is gone for good, and is recovered from */
    PHASE_AFTER,  /* requests again */
    PHASE_OVER,
};

/* A member that is drained, stopped and forgotten. */
struct retirement {
    struct node *node;     /* NULL: none under way */
    uint64_t until_ns;     /* it is given up then */
    uint64_t view_version; /* in which it was to be retired */
    bool is_stopped;
};

/* One at a time, of one shard. */
#define BACKUP_PIECES_MAX 16

struct backup {
    struct sim *sim;
    struct router_request request;
    bool is_asking;
    enum archive_kind kind; /* of the step; 0: none is under way */
    uint32_t shard;
    uint64_t session_count; /* so far */
    uint64_t session;       /* of the restore */
    uint64_t export_session;
    uint8_t *pieces[BACKUP_PIECES_MAX];
    size_t lengths[BACKUP_PIECES_MAX];
    uint32_t piece_count;
    uint32_t brought_count;
    uint64_t digest;
};

struct sim {
    struct shard_sim_config config;
    struct shard_sim_result result;
    struct world *world;
    struct test_authority authority;
    struct trust *trust;
    struct settings settings;
    struct settings_member *members;
    struct settings_pool pools[SIM_POOL_COUNT];
    bool are_pools_made; /* as they shall be */
    uint64_t over_ns;    /* since when no task is left; 0: some are */
    uint32_t founder_count;
    uint32_t node_count;
    uint32_t shard_count;
    uint64_t disk_ids;
    uint64_t identities;
    struct node *nodes;
    struct request *requests;
    uint32_t request_count;
    uint32_t padding_bytes; /* of each outcome */
    bool is_large;          /* shard_scale.c */
    enum phase phase;
    uint64_t phase_ns;   /* when it began */
    uint32_t round;      /* of leaving */
    struct node *chosen; /* in PHASE_LEAVE and PHASE_CUT */
    struct retirement retirement;
    struct backup backup;
    bool was_lost;      /* PHASE_LOSE has been */
    bool has_schedules; /* then minutes pass, now and then */
    int64_t passed_ms;  /* that all wall clocks have jumped ahead, together */
    struct memory memory;
    struct task_memory tasks;
};

/* ---- shard_sim.c ---- */

/* For the trace, and the digest of the run. */
__attribute__((format(printf, 2, 3))) void say(struct sim *sim,
                                               const char *format,
                                               ...);

/* A promise is broken: remember the first. */
__attribute__((format(printf, 3, 4))) void broken(struct sim *sim,
                                                  const char *checker,
                                                  const char *format,
                                                  ...);

uint64_t below(struct sim *sim, uint64_t bound);
bool chance(struct sim *sim, uint32_t percent);
uint64_t now_ns(const struct sim *sim);
struct node *some_node(struct sim *sim);

/* One that is on and knows of the cluster; NULL: none. */
struct node *some_member(struct sim *sim);

/* A world with nodes that are off. `sim` has its counts and its seed. */
void sim_open(struct sim *sim, uint32_t latency_us_max);
void sim_close(struct sim *sim);

/* ---- shard_node.c ---- */

void node_make(struct node *node, struct sim *sim, uint32_t index);
void node_clear(struct node *node);
void node_start(struct node *node);

/* `is_power_lost`: what is not durable may go; else the program alone ends. */
void node_stop(struct node *node, bool is_power_lost);

/* End in good order: hand over, then stop. */
void node_leave(struct node *node);

/* What it has to do besides: leaving, failing. */
void node_look(struct node *node);

/* The disk is replaced by an empty one. The node is off. */
void node_wipe(struct node *node);

/* It is another node from now on, on the same machine. It is off. */
void node_rename(struct node *node);

/* ---- shard_client.c ---- */

void clients_start(struct node *node);
void clients_stop(struct node *node);
bool clients_are_asking(const struct node *node);

/* ---- shard_operator.c ---- */

void operate(struct sim *sim);

/* What was begun goes on. */
void operator_step(struct sim *sim);

/* Have a change decided; `is_stale`: it must be refused. Copies. */
void operator_give(struct node *node,
                   struct view_change *change,
                   bool is_stale);

/* All that was ordered is taken back. */
void operator_calm(struct sim *sim);

/* All pools are made as they shall be, as far as they are not. */
void calm_pools(struct sim *sim);
bool pools_are_calm(const struct view *view, struct err_detail *why);

/* ---- shard_backup.c ---- */

/* Unless one is under way. */
void backup_begin(struct sim *sim);

/* What was begun goes on. */
void backup_step(struct sim *sim);
bool backup_is_over(const struct sim *sim);

/* All nodes are off. */
void backup_clear(struct sim *sim);

/* ---- shard_fault.c ---- */

void break_something(struct sim *sim);

/* Now and then all wall clocks go ahead by minutes. */
void pass_minutes(struct sim *sim);

/* A minute has just begun, by all of them: for a while nothing comes due. */
void begin_minute(struct sim *sim);

/* Faults whose time is over end; all, when `all`. */
void faults_end(struct sim *sim, bool all);

/* A node cannot be reached, nor reach others. */
void cut_off(struct sim *sim, const struct node *node, bool is_cut);

/* ---- shard_disaster.c ---- */

/* Take the majority of the meta group, and what else there is on its nodes. */
void disaster_begin(struct sim *sim);

/* What an operator does then. True: it is over, all run again. */
bool disaster_step(struct sim *sim);

/* ---- shard_check.c ---- */

void memory_open(struct sim *sim);
void memory_close(struct sim *sim);

/* A shard begins anew: what was applied before does not matter any more. */
void memory_empty(struct sim *sim, uint32_t shard);

/* After each turn of a node. */
void check_turn(struct node *node);
void check_view(struct node *node, const struct view *view);
void check_entry(struct replica *replica, uint64_t index, uint64_t hash);

/* Often. */
void check_often(struct sim *sim);

/* Who leads a group, by the newest term; NULL: nobody. */
struct node *leader_of(struct sim *sim, uint32_t group);

/* Whether the loss of a disk is borne: all groups have all their replicas. */
bool may_lose_disk(struct sim *sim);

/* Whether all is as it shall be; else `why` says what is not. */
bool is_whole(struct sim *sim, struct err_detail *why);

/* At the end: what clients were told. */
void check_requests(struct sim *sim);

/* For whoever looks for the reason. */
void tell_groups(struct sim *sim);

#endif
