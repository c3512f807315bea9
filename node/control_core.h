// clang-format off
/*
 * What the files of control.h share.
 *
 *   control.c            the table of verbs, and the answers
 *   control_pass.c       passing on to who leads; changes of the view
 *   control_facts.c      what is seen from here: nodes, shards, the meta group
 *   control_cluster.c    cluster.*, events, node.info
 *   control_member.c     node.*, member.*
 *   control_shard.c      shard.map, shard.locate, coord.ls
 *   control_move.c       what moves shards: shard.*, coord.transfer
 *   control_config.c     config.*
 *   control_op.c         op.*
 *   control_op_kinds.c   what can take long
 *   control_progress.c   how far what takes long has come
 *   control_recover.c    what is left of groups, and who takes them over
 *   control_counter.c    counter.*
 *   control_debug.c      what a process tells of itself: node.log ...
 *   control_backup.c     what the journal has of backups
 *   control_task.c       task.*
 *   control_output.c     task.output
 *   control_pool.c       pool.*
 */
// clang-format on

#ifndef NODE_CONTROL_CORE_H
#define NODE_CONTROL_CORE_H

#include "cluster/group.h"
#include "node/control.h"
#include "node/control_args.h"
#include "node/control_question.h"
#include "node/fields.h"
#include "shard/shard_balance.h"
#include "shard/task_agent.h"
#include "shard/task_dispatcher.h"

#define CONTROL_OP_BYTES (CERTIFICATE_NAME_BYTES + 16) /* "drain-beta" */

struct control_verb;

/* A question that is being answered. Freed when it is. */
struct control_request {
    struct control *control;
    struct control_request *next; /* of all that wait for something */
    struct control_request *previous;
    const struct control_verb *verb;
    struct asked *asked;
    char who[VIEW_WHO_BYTES]; /* for the journal */
    bool is_limited;          /* a client asks, with these pools: */
    char pools[CERTIFICATE_POOLS_BYTES];
    bool is_passed_on; /* by another node, for whoever asked it */
    bool is_waiting;   /* it is answered later: who begins it says so */

    /* What it waits for, one of them. */
    struct call call;
    struct router_request router_request;
    struct run_look look;

    /* For its answer, of whoever began it. */
    uint32_t shard;
    int64_t value;
    uint32_t from; /* a node */
    uint32_t to;
    bool is_noted;
    bool is_dry;   /* whether it may be is all that is asked */
    bool may_pass; /* why it failed: it is worth asking again */
    char op[CONTROL_OP_BYTES];
    const char *told;                  /* static */
    uint32_t attempt;                  /* 0: none runs here */
    uint64_t token;                    /* its own */
    const struct run_written *written; /* NULL: nothing */
};

/*
 * Write the answer's fields. `args` is all zero when something was waited for
 * meanwhile. A writer that is too small is tried again with a larger one.
 */
typedef enum err control_answer(const struct control_request *request,
                                const struct control_args *args,
                                struct fields *fields,
                                struct err_detail *why);

/* Do it, or have it done and set `is_waiting`; then the answer follows. */
typedef enum err control_begin(struct control_request *request,
                               const struct control_args *args,
                               struct err_detail *why);

enum control_access {
    MAY_LOOK,  /* everybody */
    MAY_USE,   /* not observers */
    MAY_STEER, /* operators */
};

enum control_place {
    ANSWERED_HERE,
    ANSWERED_BY_META,  /* by the meta group's leader */
    ANSWERED_BY_SHARD, /* by the leader of args.shard */
    ANSWERED_BY_POOL,  /* by the leader of the shard of the pool args.name */
    ANSWERED_BY_NAME,  /* by the node args.name; here without one */
};

struct control_verb {
    const char *name;
    enum control_access access;
    enum control_place place;
    bool needs_no_view;
    bool has_own_view; /* `view` is among the fields of its answer */
    uint32_t required; /* of enum control_arg */
    uint32_t optional;
    control_begin *begin;   /* NULL: nothing is to be done before */
    control_answer *answer; /* NULL: nothing is to be said */
};

struct control {
    struct control_config config;
    const char *name; /* this node's */
    struct control_request *waiting;
    uint64_t opened_ns;
};

/* ---- control.c ---- */

/* Answer a request that has waited, and free it. `why` may be NULL. */
void control_end(struct control_request *request,
                 enum err err,
                 const char *why);

/* The same, with the answer of another node as it is. */
void control_relay(struct control_request *request,
                   enum err err,
                   struct bytes answer);

/* How long we may wait, so that who asks still hears what comes of it; at
 * least 1. */
uint32_t control_left_ms(const struct control_request *request);

/* Those of its certificate, "none" without any: of a client who asks. */
const char *control_pools_text(const struct control_request *request);

/* Whether a task pool and its tasks are the business of who asks. */
bool control_may_see(const struct control_request *request, const char *pool);

/* ERR_DENIED: it is not */
FALLIBLE control_check_pool(const struct control_request *request,
                            const char *pool,
                            struct err_detail *why);

/* ---- control_pass.c ---- */

/*
 * Change the view in the name of who asks: checked here at once, answered when
 * it is committed; not at all for a dry run. Asked of the meta group's leader
 * only, with its own view. Sets its `who`; the rest stays the caller's.
 *
 * what view_check() and host_change() say; what would do harm is ERR_REFUSED
 */
FALLIBLE control_change(struct control_request *request,
                        struct view_change *change,
                        struct err_detail *why);

/*
 * Ask a node that leads (MEMBER_NONE: nobody is known), and answer as it does.
 *
 * ERR_NO_QUORUM   it cannot be reached: `why` says who is missing
 * what calls_ask() says
 */
FALLIBLE control_pass_on(struct control_request *request,
                         const struct control_question *question,
                         uint32_t leader,
                         struct err_detail *why);

/* ---- control_facts.c ---- */

#define CONTROL_FRESH_MS 3000 /* a report counts for so long */
#define CONTROL_LAG_MAX 4096  /* entries that a whole replica may be behind */

/* Not NULL: verbs that need it are refused without one. */
const struct view *control_view(const struct control *control);

/* Whether we lead the meta group, and have heard of the others. */
bool control_leads(const struct control *control);

/* NULL: no such member. */
const char *control_node_name(const struct control *control, uint32_t number);

/* As a text, or nil. */
void control_write_node(const struct control *control,
                        struct fields *fields,
                        const char *key,
                        uint32_t number);

/* ERR_NOT_FOUND */
FALLIBLE control_find_member(const struct control *control,
                             const char *name,
                             const struct member **out,
                             struct err_detail *why);
FALLIBLE control_check_shard(const struct control *control,
                             uint64_t shard,
                             struct err_detail *why);

/* Whether a node is heard: by its reports, or else by us. */
bool control_is_up(const struct control *control, uint32_t number);

/* Whether its disk is nearly full, by its own last report. */
bool control_is_full(const struct control *control, uint32_t number);

/* NULL: it is not heard of here. */
const struct host_node_report *control_node_report(
    const struct control *control, uint32_t number);

/* The replica's members here; NULL: none. */
const struct raft_configuration *control_group_members(
    const struct control *control, uint32_t group);

/* The meta group's voters as far as they are known here, and those of them
 * that are not heard. */
struct control_meta {
    uint32_t leader;
    uint64_t term; /* 0: unknown */
    uint32_t voters[RAFT_MEMBERS_MAX];
    uint32_t voter_count;
    uint32_t missing[RAFT_MEMBERS_MAX];
    uint32_t missing_count;
};
struct control_meta control_meta_of(const struct control *control);

/* "alpha, beta": cut where it does not fit. */
void control_names_text(const struct control *control,
                        const uint32_t *numbers,
                        uint32_t count,
                        char *to,
                        size_t capacity);

enum control_shard_state {
    SHARD_UNKNOWN,
    SHARD_NO_LEADER,
    SHARD_MOVING,
    SHARD_SERVING,
    SHARD_STATE_COUNT,
};

struct control_shard {
    enum control_shard_state state;
    bool is_heard; /* `report` says something, of the leader or of a replica
                      here */
    bool is_whole;
    struct host_shard_report report; /* at_ms 0: of a replica here */
};
struct control_shard control_look(const struct control *control,
                                  uint32_t shard);

/* By node. */
struct control_tally {
    uint32_t owners[MEMBER_NUMBERS_MAX]; /* by the map */
    uint32_t replicas[MEMBER_NUMBERS_MAX];
    uint32_t leads[MEMBER_NUMBERS_MAX]; /* in fact */
};
void control_tally_make(const struct control *control,
                        struct control_tally *out);

/* How many shards the map that the members call for leaves on a node: one that
 * drains waits for another node, which takes them. ERR_MEMORY */
FALLIBLE control_staying(const struct control *control,
                         uint32_t number,
                         uint32_t *out);

/* ---- control_progress.c ---- */

/* What a node that is to give all away still has, by the map or in fact. */
struct control_leaving {
    uint32_t owners;
    uint32_t replicas;
    uint32_t staying; /* control_staying() */
    uint32_t unknown; /* shards of which nobody has reported */
    bool is_voter;    /* in the meta group */
};

/* ERR_MEMORY */
FALLIBLE control_leaving_look(const struct control *control,
                              const struct member *member,
                              struct control_leaving *out);

#define CONTROL_STEP 1000 /* of a move's progress: one step, whole */

struct control_progress {
    int64_t since_ms; /* Unix time; 0: not known */
    uint32_t total;
    uint32_t done; /* of those */
};

/* Whether its group is not yet as the map wants it, or its owner has not led
 * since the map has moved it: that another leads after a failure is no move. */
bool control_is_moving(const struct control *control,
                       uint32_t shard,
                       const struct control_shard *look);

/* In parts of CONTROL_STEP. */
struct control_progress control_move_progress(const struct control *control,
                                              uint32_t shard,
                                              const struct control_shard *look);

/* Of 100. */
uint32_t control_percent(const struct control_progress *progress);

/* How long it may still take. False: it is too early to say. */
bool control_left_for(const struct control *control,
                      const struct control_progress *progress,
                      uint64_t *out_ms);

/* ---- for each other ---- */

/* "KIND-" and the rest, in printf's form. */
__attribute__((format(printf, 3, 4))) void control_op_name(
    char to[static CONTROL_OP_BYTES],
    const char *kind,
    const char *format,
    ...);

/* Make a member's state another one, in the name of who asks; as
 * control_change(). ERR_REFUSED */
FALLIBLE control_member_change(struct control_request *request,
                               const struct member *member,
                               enum member_state state,
                               bool is_forced,
                               struct err_detail *why);

/* Nothing is to be done (and waited for) when it is so already. */
FALLIBLE control_move_set_paused(struct control_request *request,
                                 bool is_paused,
                                 struct err_detail *why);

/* Place a shard where its last move took it from. ERR_REFUSED: that is not
 * known, or somebody of there is to hold nothing */
FALLIBLE control_move_back(struct control_request *request,
                           uint32_t shard,
                           struct err_detail *why);

/* Over the members that shall hold shards. */
void control_write_balance(struct fields *fields,
                           const char *key,
                           const struct members *members,
                           const struct shard_map *map);

/* ---- control_task.c ---- */

/* The coordinator that leads a shard here; NULL: none does. */
const struct coordinator *control_coordinator(const struct control *control,
                                              uint32_t shard);

/* That of the request's shard. ERR_BUSY: it is another's by now */
FALLIBLE control_check_leads(struct control_request *request,
                             struct err_detail *why);

/* The id of a task, as people write it. */
void control_write_task(struct fields *fields, const char *key, uint64_t id);

/* ERR_NOT_FOUND: whether a task is in a pool that is not theirs is not said. */
FALLIBLE control_task_unknown(const struct control_request *request,
                              uint64_t task,
                              struct err_detail *why);

/* ---- control_move.c ---- */

/* What moves from the map of `now` to the one that `then` calls for, a view
 * with the present map: `moves` and the balance before and after. ERR_MEMORY */
FALLIBLE control_write_plan(const struct view *now,
                            const struct view *then,
                            struct fields *fields);

/* ---- the verbs ---- */

control_answer control_cluster_status;
control_answer control_cluster_links;
control_answer control_cluster_events;
control_answer control_cluster_node_info;

control_answer control_member_list;
control_answer control_member_show;
control_answer control_member_progress;
control_begin control_member_set;
control_answer control_member_state;
control_begin control_member_forget;

control_answer control_shard_map;
control_answer control_shard_locate;
control_answer control_shard_groups;
control_answer control_shard_history;

control_answer control_move_plan;
control_begin control_move_begin;
control_answer control_move_told;
control_begin control_move_pause;
control_begin control_move_resume;
control_answer control_move_paused;
control_begin control_move_rebalance;
control_answer control_move_rebalanced;
control_begin control_move_transfer;
control_answer control_move_transferred;

control_answer control_op_list;
control_answer control_op_show;
control_begin control_op_cancel;
control_answer control_op_cancelled;

control_answer control_config_show;
control_answer control_config_plan;
control_begin control_config_apply;
control_answer control_config_applied;

control_answer control_debug_log;
control_answer control_debug_config;
control_answer control_debug_metrics;
control_answer control_debug_machine;

control_answer control_recover_replicas;
control_begin control_recover_begin;
control_answer control_recover_told;

control_begin control_counter_add;
control_begin control_counter_get;
control_answer control_counter_value;

control_begin control_task_find;
control_answer control_task_show;
control_answer control_task_list;

control_begin control_output_look;
control_answer control_output_seen;

control_answer control_pool_list;
control_answer control_pool_show;
control_begin control_pool_find;
control_answer control_pool_schedules;
control_begin control_pool_set;
control_begin control_pool_remove;

control_begin control_backup_created;
control_begin control_backup_restoring;

#endif
