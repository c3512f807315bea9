#include "cluster/multiraft.h"

#include "base/owner.h"
#include "base/time_units.h"
#include "cluster/raft_wire.h"
#include "store/raft_configuration.h"
#include "store/row.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TICKS_PER_HEARTBEAT 4
#define BUFFER_BYTES_KEPT 65536u
#define STAGED_BYTES_MAX ((size_t)64 << 20) /* beyond, nothing is taken in */
#define KEEP_PART 4                   /* of log_bytes_max, kept by all groups */
#define KEEP_BYTES_MIN ((size_t)4096) /* by each group, however many */
#define DROP_AGAIN_NS NS_PER_S        /* when rows could not be removed */
#define STALL_ELECTIONS 2             /* for so long the disk may not answer */

/* What is to be said to a node when the turn ends. */
struct outgoing {
    uint8_t *bytes;
    size_t length;
    size_t capacity;
    bool is_due;
};

#define RESTORE_FORMAT \
    "restore it from a backup: troupe backup restore BACKUP --group %" PRIu32

/* The rows of a replica that has gone are being removed. */
struct drop {
    struct job job;
    struct multiraft *multiraft;
    const struct kv *kv;
    struct drop *next;
    uint32_t id;
    enum err err;
    bool is_working;   /* with the applier */
    uint64_t again_ns; /* else, when it is tried again */
};

struct multiraft {
    struct multiraft_config config;
    struct wal *wal;
    struct group *groups[MULTIRAFT_GROUPS_MAX];
    uint32_t group_end; /* behind the last one that is not NULL */
    /* Beside each other, so that a tick does not fetch groups that are idle
     * from far memory: when they are due (0: at the next tick), and whether
     * they lead and thus send heartbeats. */
    uint64_t due_ns[MULTIRAFT_GROUPS_MAX];
    bool leads[MULTIRAFT_GROUPS_MAX];
    struct timer tick_timer;
    uint32_t tick_count;
    uint32_t bounded_last; /* the group that bound_memory() chose last */
    bool is_started;

    struct wal_report report;
    struct metrics_counter *snapshot_failures; /* may be NULL */

    /* Numbers of records in the log, and when it last stood still without
     * anything to write, or went on. */
    uint64_t appended;
    uint64_t durable;
    uint64_t durable_ns;
    bool is_stalled; /* the disk does not answer */

    struct turn_end turn_end;
    struct group *due; /* for group_turn_end() */
    struct group *writing;
    struct drop *drops;

    struct outgoing nodes[MULTIRAFT_NODES_MAX];
    uint32_t nodes_due[MULTIRAFT_NODES_MAX];
    uint32_t node_due_count;

    struct raft_wire incoming;
};

void multiraft_config_defaults(struct multiraft_config *config)
{
    config->election_ns = 500 * NS_PER_MS;
    config->heartbeat_ns = 100 * NS_PER_MS;
    config->inflight_count_max = 16;
    config->append_bytes_max = 1u << 20;
    config->keep_bytes = 1u << 20;
    config->message_bytes_max = 1u << 20;
    config->log_bytes_max = 256u << 20;
    config->disk_bytes_max = 1u << 30;
    group_limits_defaults(&config->group);
}

/* ---- what groups ask for ---- */

static void flush_node(struct multiraft *multiraft, uint32_t node)
{
    struct outgoing *out = &multiraft->nodes[node];
    if (out->length > 0) {
        multiraft->config.mesh.send(multiraft->config.mesh.context, node,
                                    bytes_of(out->bytes, out->length));
        out->length = 0;
    }
}

/* Where a replica is; UINT32_MAX: not known. One that is being removed is
 * found among those who are committed, a leader that we have not heard of at
 * the place where it spoke from. */
static uint32_t node_of(struct group *group, uint64_t number)
{
    const struct raft *raft = group_raft(group);
    const struct raft_member *member =
        raft_configuration_find(raft_newest_configuration(raft), number);
    if (!member) {
        member =
            raft_configuration_find(raft_committed_configuration(raft), number);
    }
    const struct group_links *links = group_links(group);
    return member                           ? member->node
           : number == links->asking_number ? links->asking_node
                                            : UINT32_MAX;
}

static void on_send(void *context,
                    struct group *group,
                    const struct raft_message *message)
{
    struct multiraft *multiraft = context;
    uint32_t node = node_of(group, message->to);
    if (node >= MULTIRAFT_NODES_MAX) {
        return; /* it asks again */
    }
    struct outgoing *out = &multiraft->nodes[node];
    size_t wanted = raft_wire_bytes_max(message);
    if (out->length > 0 &&
        out->length + wanted > multiraft->config.message_bytes_max) {
        flush_node(multiraft, node);
    }
    if (out->capacity - out->length < wanted) {
        size_t capacity = 2 * (out->length + wanted);
        uint8_t *more = realloc(out->bytes, capacity);
        if (!more) {
            return; /* lost, which Raft copes with */
        }
        out->bytes = more;
        out->capacity = capacity;
    }
    struct writer writer =
        writer_of(out->bytes + out->length, out->capacity - out->length);
    raft_wire_write(&writer, group_id(group), message);
    assert(!writer.failed);
    out->length += writer_bytes(&writer).length;
    if (!out->is_due) {
        out->is_due = true;
        multiraft->nodes_due[multiraft->node_due_count++] = node;
        reactor_at_turn_end(multiraft->config.reactor, &multiraft->turn_end);
    }
}

static uint64_t append(struct multiraft *multiraft,
                       const struct wal_record *record)
{
    if (multiraft->durable == multiraft->appended) {
        multiraft->durable_ns = clock_now_ns(multiraft->config.clock);
    }
    multiraft->appended = wal_append(multiraft->wal, record);
    return multiraft->appended;
}

static uint64_t on_save(void *context,
                        struct group *group,
                        const struct wal_record *record)
{
    struct multiraft *multiraft = context;
    struct group_links *links = group_links(group);
    links->last_write = append(multiraft, record);
    if (!links->is_writing) {
        links->is_writing = true;
        links->next_writing = multiraft->writing;
        multiraft->writing = group;
    }
    return links->last_write;
}

static enum err room(const struct multiraft *multiraft)
{
    if (wal_is_low(multiraft->wal)) {
        return ERR_NO_SPACE;
    }
    return wal_is_full(multiraft->wal) ? ERR_FULL : ERR_NONE;
}

static enum err on_room(void *context)
{
    return room(context);
}

static void on_wake(void *context, struct group *group)
{
    struct multiraft *multiraft = context;
    struct group_links *links = group_links(group);
    multiraft->due_ns[group_id(group)] = 0;
    if (!links->is_due) {
        links->is_due = true;
        links->next_due = multiraft->due;
        multiraft->due = group;
        reactor_at_turn_end(multiraft->config.reactor, &multiraft->turn_end);
    }
}

static void on_group_change(void *context, struct group *group)
{
    struct multiraft *multiraft = context;
    multiraft->leads[group_id(group)] =
        raft_role(group_raft(group)) == RAFT_LEADER;
    multiraft->due_ns[group_id(group)] = 0;
    if (multiraft->config.events.on_change) {
        multiraft->config.events.on_change(multiraft->config.events.context,
                                           group);
    }
}

static void fail(struct multiraft *multiraft,
                 struct group *group,
                 enum err err,
                 const char *what)
{
    log_error(multiraft->config.log, "consensus.failed",
              LOG_UNSIGNED("group", group ? group_id(group) : UINT32_MAX),
              LOG_TEXT("what", what), LOG_ERR(err));
    multiraft->config.events.on_failed(multiraft->config.events.context, group,
                                       err, what);
}

static void on_snapshot_failed(void *context,
                               struct group *group,
                               enum err err,
                               const char *what)
{
    struct multiraft *multiraft = context;
    metrics_counter_add(multiraft->snapshot_failures, 1);
    log_warn(multiraft->config.log, "snapshot.failed",
             LOG_UNSIGNED("group", group_id(group)), LOG_TEXT("what", what),
             LOG_ERR(err), LOG_TEXT("next", "try again later"));
}

static void on_group_failed(void *context,
                            struct group *group,
                            enum err err,
                            const char *what)
{
    fail(context, group, err, what);
}

/* ---- the end of a turn ---- */

static void run_turn_end(struct turn_end *turn_end)
{
    struct multiraft *multiraft =
        OWNER_OF(turn_end, struct multiraft, turn_end);
    while (multiraft->due) {
        struct group *group = multiraft->due;
        struct group_links *links = group_links(group);
        multiraft->due = links->next_due;
        links->is_due = false;
        group_turn_end(group);
    }
    for (uint32_t i = 0; i < multiraft->node_due_count; i++) {
        struct outgoing *out = &multiraft->nodes[multiraft->nodes_due[i]];
        flush_node(multiraft, multiraft->nodes_due[i]);
        out->is_due = false;
        if (out->capacity > BUFFER_BYTES_KEPT) {
            free(out->bytes);
            *out = (struct outgoing){0};
        }
    }
    multiraft->node_due_count = 0;
}

/* ---- the log ---- */

static void on_durable(void *context, uint64_t number)
{
    struct multiraft *multiraft = context;
    struct group *group = multiraft->writing;
    multiraft->durable = number;
    multiraft->durable_ns = clock_now_ns(multiraft->config.clock);
    multiraft->writing = NULL;
    while (group) {
        struct group_links *links = group_links(group);
        struct group *next = links->next_writing;
        links->is_writing = false;
        if (links->last_write > number) { /* and waits for more */
            links->is_writing = true;
            links->next_writing = multiraft->writing;
            multiraft->writing = group;
        }
        group_stored(group, number);
        group = next;
    }
}

static void on_log_failed(void *context, enum err err, const char *what)
{
    fail(context, NULL, err, what);
}

/* ---- dropping ---- */

static const struct drop *find_drop(const struct multiraft *multiraft,
                                    uint32_t id)
{
    const struct drop *at = multiraft->drops;
    while (at && at->id != id) {
        at = at->next;
    }
    return at;
}

/* Nothing of them may come back to who is founded next. */
static void remove_rows(struct job *job)
{
    struct drop *drop = OWNER_OF(job, struct drop, job);
    struct row_range rows;
    row_range_of_group(&rows, drop->id);
    drop->err = drop->kv->write(drop->kv->context,
                                &(struct kv_change){.kind = KV_DELETE_RANGE,
                                                    .key = rows.from,
                                                    .value = rows.end},
                                1);
    if (!drop->err) {
        drop->err = drop->kv->sync(drop->kv->context);
    }
}

static void run_drop(struct drop *drop)
{
    drop->is_working = true;
    executor_run(drop->multiraft->config.applier, &drop->job);
}

static void on_rows_removed(struct job *job)
{
    struct drop *drop = OWNER_OF(job, struct drop, job);
    struct multiraft *multiraft = drop->multiraft;
    drop->is_working = false;
    if (drop->err) {
        drop->again_ns = clock_now_ns(multiraft->config.clock) + DROP_AGAIN_NS;
        log_warn(multiraft->config.log, "group.not_dropped",
                 LOG_UNSIGNED("group", drop->id), LOG_ERR(drop->err),
                 LOG_TEXT("next", "try again later"));
        return;
    }
    (void)append(multiraft,
                 &(struct wal_record){.kind = WAL_FORGET, .group = drop->id});
    struct drop **at = &multiraft->drops;
    while (*at != drop) {
        at = &(*at)->next;
    }
    *at = drop->next;
    free(drop);
}

/* ---- time ---- */

/* Too much of the log is in memory: have one of those with most make a
 * snapshot. At the next tick it is another's turn. */
static void bound_memory(struct multiraft *multiraft)
{
    size_t bytes = 0;
    uint32_t count = 0;
    if (wal_stats(multiraft->wal).bytes <= multiraft->config.log_bytes_max) {
        return; /* there is not more in memory than on the disk */
    }
    for (uint32_t i = 0; i < multiraft->group_end; i++) {
        if (multiraft->groups[i]) {
            bytes += raft_log_bytes(group_raft(multiraft->groups[i]));
            count++;
        }
    }
    if (bytes <= multiraft->config.log_bytes_max) {
        return;
    }
    for (uint32_t i = 0; i < multiraft->group_end; i++) {
        uint32_t at = (multiraft->bounded_last + 1 + i) % multiraft->group_end;
        struct group *group = multiraft->groups[at];
        if (group && raft_log_bytes(group_raft(group)) >= bytes / count &&
            !group_snapshot(group)) {
            multiraft->bounded_last = at;
            return;
        }
    }
}

/* A group that is quiet must not keep old segments for ever; nor when there is
 * room for no more. */
static void bound_disk(struct multiraft *multiraft)
{
    if (!wal_is_low(multiraft->wal) &&
        wal_stats(multiraft->wal).bytes <= multiraft->config.disk_bytes_max) {
        return;
    }
    struct wal_pin pin = wal_pin(multiraft->wal);
    struct group *group = multiraft_group(multiraft, pin.group);
    if (group) {
        enum err err = group_snapshot(group);
        (void)err; /* ERR_BUSY: it is about to; others: at the next tick */
    }
}

/* A disk that does not answer, not even with an error, commits nothing, but the
 * heartbeats of this node would go on: others shall lead. None of ours leads
 * again before its vote is durable. */
static void look_at_disk(struct multiraft *multiraft, uint64_t now_ns)
{
    uint64_t bound_ns = STALL_ELECTIONS * multiraft->config.election_ns;
    bool is_stalled = multiraft->durable < multiraft->appended &&
                      now_ns - multiraft->durable_ns >= bound_ns;
    if (is_stalled && !multiraft->is_stalled) {
        log_warn(multiraft->config.log, "disk.stalled",
                 LOG_UNSIGNED("ms", bound_ns / NS_PER_MS),
                 LOG_TEXT("next", "others shall lead"));
    } else if (!is_stalled && multiraft->is_stalled) {
        log_info(multiraft->config.log, "disk.answers", LOG_ERR(ERR_NONE));
    }
    multiraft->is_stalled = is_stalled;
    for (uint32_t i = 0; is_stalled && i < multiraft->group_end; i++) {
        if (multiraft->groups[i] && multiraft->leads[i]) {
            group_resign(multiraft->groups[i]);
        }
    }
}

static void drop_again(struct multiraft *multiraft, uint64_t now_ns)
{
    for (struct drop *drop = multiraft->drops; drop; drop = drop->next) {
        if (!drop->is_working && now_ns >= drop->again_ns) {
            run_drop(drop);
        }
    }
}

static void run_tick(struct timer *timer)
{
    struct multiraft *multiraft = OWNER_OF(timer, struct multiraft, tick_timer);
    bool is_heartbeat = ++multiraft->tick_count % TICKS_PER_HEARTBEAT == 0;
    uint64_t now_ns = clock_now_ns(multiraft->config.clock);
    look_at_disk(multiraft, now_ns);
    for (uint32_t i = 0; i < multiraft->group_end; i++) {
        struct group *group = multiraft->groups[i];
        bool leads = multiraft->leads[i];
        if (!group ||
            (now_ns < multiraft->due_ns[i] && !(leads && is_heartbeat))) {
            continue;
        }
        group_tick(group);
        if (leads && is_heartbeat) {
            group_heartbeat(group);
        }
        multiraft->due_ns[i] = group_due_ns(group);
    }
    if (is_heartbeat) {
        bound_memory(multiraft);
        bound_disk(multiraft);
        drop_again(multiraft, now_ns);
    }
    reactor_timer_set(multiraft->config.reactor, timer,
                      multiraft->config.heartbeat_ns / TICKS_PER_HEARTBEAT);
}

/* ---- events from the links ---- */

/* The largest entry: it was almost full when the largest outcome came. */
static size_t record_bytes_max(const struct multiraft_config *config)
{
    return 2 * config->group.entry_bytes_max + RAFT_ENTRY_OUTCOME_BYTES;
}

static bool is_too_large(const struct multiraft *multiraft,
                         const struct raft_message *message)
{
    for (uint32_t i = 0; i < message->entry_count; i++) {
        if (message->entries[i].bytes.length >
            record_bytes_max(&multiraft->config)) {
            return true;
        }
    }
    return false;
}

/* Whether a message comes from where its sender is, as far as we know. */
static bool is_at(const struct group *group, uint64_t number, uint32_t node)
{
    const struct raft_member *member = raft_configuration_find(
        raft_newest_configuration(group_raft(group)), number);
    return !member || member->node == node;
}

/* What the disk is too slow for, or has no room for, comes again. */
static bool has_no_room_for(const struct multiraft *multiraft,
                            const struct raft_message *message)
{
    bool is_out = wal_is_out_of_room(multiraft->wal);
    return (message->entry_count > 0 &&
            (is_out || wal_is_full(multiraft->wal))) ||
           (message->kind == RAFT_SNAPSHOT && is_out);
}

FALLIBLE multiraft_receive(struct multiraft *multiraft,
                           uint32_t node,
                           struct bytes message)
{
    struct reader reader = reader_of(message);
    struct raft_wire *wire = &multiraft->incoming;
    while (reader_left(&reader) > 0) {
        enum err err = raft_wire_read(wire, &reader);
        if (err) {
            return err;
        }
        if (is_too_large(multiraft, &wire->message)) {
            return ERR_MALFORMED;
        }
        bool is_too_much = has_no_room_for(multiraft, &wire->message);
        struct group *group = multiraft_group(multiraft, wire->group);
        if (group && multiraft->is_started && !is_too_much &&
            is_at(group, wire->message.from, node)) {
            group_links(group)->asking_number = wire->message.from;
            group_links(group)->asking_node = node;
            group_receive(group, &wire->message);
        }
    }
    return ERR_NONE;
}

void multiraft_node_lost(struct multiraft *multiraft, uint32_t node)
{
    for (uint32_t i = 0; i < multiraft->group_end; i++) {
        if (multiraft->groups[i]) {
            group_node_lost(multiraft->groups[i], node);
        }
    }
}

void multiraft_node_found(struct multiraft *multiraft, uint32_t node)
{
    for (uint32_t i = 0; i < multiraft->group_end; i++) {
        if (multiraft->groups[i]) {
            group_node_found(multiraft->groups[i], node);
        }
    }
}

/* ---- life ---- */

static enum err add_metrics(struct multiraft *multiraft)
{
    struct metrics_about about = {
        .name = "troupe_snapshot_failures_total",
        .help = "Snapshots of groups that could not be made, sent or taken."};
    return multiraft->config.metrics
               ? metrics_add_counter(multiraft->config.metrics,
                                     &multiraft->snapshot_failures, &about)
               : ERR_NONE;
}

FALLIBLE multiraft_open(struct multiraft **out,
                        const struct multiraft_config *config,
                        struct wal_report *report,
                        struct err_detail *why)
{
    struct multiraft *multiraft = calloc(1, sizeof *multiraft);
    if (!multiraft) {
        return ERR_MEMORY;
    }
    multiraft->config = *config;
    multiraft->tick_timer.fire = run_tick;
    multiraft->turn_end.run = run_turn_end;
    struct wal_config wal = {
        .disk = config->disk,
        .executor = config->writer,
        .reactor = config->reactor,
        .disk_id = config->disk_id,
        .must_exist = config->must_exist,
        .segment_bytes = config->segment_bytes,
        .record_bytes_max = record_bytes_max(config),
        .staged_bytes_max = STAGED_BYTES_MAX,
        .free_bytes_min = config->free_bytes_min,
        .context = multiraft,
        .on_durable = on_durable,
        .on_failed = on_log_failed,
    };
    enum err err = add_metrics(multiraft);
    if (!err) {
        err = wal_open(&multiraft->wal, &wal, report, why);
    }
    if (err) {
        free(multiraft);
        return err;
    }
    multiraft->report = *report;
    *out = multiraft;
    return ERR_NONE;
}

static bool are_groups_idle(const struct multiraft *multiraft)
{
    bool is_idle = true;
    for (uint32_t i = 0; i < multiraft->group_end; i++) {
        is_idle = is_idle && (!multiraft->groups[i] ||
                              group_is_idle(multiraft->groups[i]));
    }
    return is_idle;
}

static bool is_dropping(const struct multiraft *multiraft)
{
    bool is = false;
    for (const struct drop *at = multiraft->drops; at; at = at->next) {
        is = is || at->is_working;
    }
    return is;
}

bool multiraft_is_idle(const struct multiraft *multiraft)
{
    return !multiraft_waits_for(multiraft);
}

const char *multiraft_waits_for(const struct multiraft *multiraft)
{
    if (!wal_is_idle(multiraft->wal)) {
        return "a write of the durable log";
    }
    bool is_idle = are_groups_idle(multiraft) && !is_dropping(multiraft);
    return is_idle ? NULL : "the key-value store";
}

void multiraft_close(struct multiraft **multiraft)
{
    if (!*multiraft) {
        return;
    }
    reactor_timer_cancel((*multiraft)->config.reactor,
                         &(*multiraft)->tick_timer);
    for (uint32_t i = 0; i < (*multiraft)->group_end; i++) {
        group_close(&(*multiraft)->groups[i]);
    }
    reactor_forget_turn_end((*multiraft)->config.reactor,
                            &(*multiraft)->turn_end);
    for (uint32_t i = 0; i < MULTIRAFT_NODES_MAX; i++) {
        free((*multiraft)->nodes[i].bytes);
    }
    wal_close(&(*multiraft)->wal);
    while ((*multiraft)->drops) {
        struct drop *drop = (*multiraft)->drops;
        (*multiraft)->drops = drop->next;
        free(drop);
    }
    free(*multiraft);
    *multiraft = NULL;
}

/* This node's replica number; 0: it has none. */
static uint64_t own_number(const struct multiraft *multiraft,
                           const struct raft_configuration *configuration)
{
    uint64_t number = 0;
    for (uint32_t i = 0; i < configuration->count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (member->disk_id == multiraft->config.disk_id &&
            member->number > number) {
            number = member->number;
        }
    }
    return number;
}

static struct group_config group_config_of(const struct multiraft *multiraft,
                                           uint32_t id,
                                           const struct machine *machine,
                                           uint64_t number)
{
    const struct multiraft_config *config = &multiraft->config;
    return (struct group_config){
        .id = id,
        .machine = *machine,
        .limits = config->group,
        .raft =
            {
                .number = number,
                .rotation = id,
                .entropy = config->entropy,
                .election_ns = config->election_ns,
                .heartbeat_ns = config->heartbeat_ns,
                .inflight_count_max = config->inflight_count_max,
                .append_bytes_max = config->append_bytes_max,
                .keep_bytes = config->keep_bytes,
#ifdef TROUPE_FAULTS
                .fault = config->fault,
#endif
            },
#ifdef TROUPE_FAULTS
        .fault = config->group_fault,
#endif
    };
}

/* What each group may keep, as many as there are now: together they must leave
 * room for what they have to keep, or bound_memory() would ask for snapshots
 * that free nothing. */
static void share_memory(struct multiraft *multiraft)
{
    size_t count = 0;
    for (uint32_t i = 0; i < multiraft->group_end; i++) {
        count += multiraft->groups[i] != NULL;
    }
    size_t share =
        multiraft->config.log_bytes_max / KEEP_PART / (count > 0 ? count : 1);
    share = share > KEEP_BYTES_MIN ? share : KEEP_BYTES_MIN;
    if (share > multiraft->config.keep_bytes) {
        share = multiraft->config.keep_bytes;
    }
    for (uint32_t i = 0; i < multiraft->group_end; i++) {
        if (multiraft->groups[i]) {
            group_keep(multiraft->groups[i], share);
        }
    }
}

static enum err open_group(struct multiraft *multiraft,
                           uint32_t id,
                           const struct machine *machine,
                           const struct wal_group *past)
{
    struct group_home home = {
        .context = multiraft,
        .clock = multiraft->config.clock,
        .kv = multiraft->config.kv,
        .applier = multiraft->config.applier,
        .reactor = multiraft->config.reactor,
        .send = on_send,
        .save = on_save,
        .room = on_room,
        .wake = on_wake,
        .on_change = on_group_change,
        .on_snapshot_failed = on_snapshot_failed,
        .on_failed = on_group_failed,
    };
    struct group_mark mark;
    enum err err = group_mark_decode(&mark, past->configuration);
    if (err) {
        return err;
    }
    struct group_config config =
        group_config_of(multiraft, id, machine, mark.number);
    multiraft->due_ns[id] = 0;
    multiraft->leads[id] = false;
    err = group_open(&multiraft->groups[id], &home, &config, past);
    if (!err && id >= multiraft->group_end) {
        multiraft->group_end = id + 1;
    }
    return err;
}

/* Whether another replica voted, as far as is known of the group. */
static bool has_others(const struct wal_group *past)
{
    struct group_mark mark;
    return !group_mark_decode(&mark, past->configuration) &&
           raft_configuration_voter_count(&mark.configuration) >
               raft_configuration_has_voter(&mark.configuration, mark.number);
}

static void explain_refusal(const struct multiraft *multiraft,
                            const struct wal_group *past,
                            enum err err,
                            struct err_detail *why)
{
    const char *where = multiraft->report.what[0] != '\0'
                            ? multiraft->report.what
                            : "found when it was opened before";
    if (err == ERR_REVOKED && has_others(past)) {
        err_explain(why,
                    "group %" PRIu32 ": the log has lost records of it (%s): "
                    "it must come back as a new replica, under a new number",
                    past->group, where);
    } else if (err == ERR_REVOKED) {
        err_explain(why,
                    "group %" PRIu32 ": the log has lost records of it (%s), "
                    "and no other replica has them: " RESTORE_FORMAT,
                    past->group, where, past->group);
    } else if (err == ERR_NOT_FOUND) {
        err_explain(why,
                    "group %" PRIu32 ": its snapshot of index %" PRIu64
                    ", which the log needs, is not in the key-value store or "
                    "is damaged, and no other replica has it: " RESTORE_FORMAT,
                    past->group, past->snapshot_index, past->group);
    } else {
        err_explain(why, "group %" PRIu32 ": it cannot be opened: %s",
                    past->group, err_text(err));
    }
}

FALLIBLE multiraft_group_open(struct multiraft *multiraft,
                              uint32_t id,
                              const struct machine *machine,
                              struct group **out,
                              struct err_detail *why)
{
    assert(id < MULTIRAFT_GROUPS_MAX && !multiraft->groups[id] &&
           !multiraft->is_started);
    struct wal_group past;
    if (!wal_find(multiraft->wal, id, &past)) {
        err_explain(why, "group %" PRIu32 ": the log has nothing of it%s", id,
                    multiraft->report.unlisted_are_lost
                        ? ", and has lost records"
                        : "");
        return ERR_NOT_FOUND;
    }
    enum err err =
        past.is_lost ? ERR_REVOKED : open_group(multiraft, id, machine, &past);
    if (err) {
        explain_refusal(multiraft, &past, err, why);
        return err;
    }
    *out = multiraft->groups[id];
    return ERR_NONE;
}

FALLIBLE multiraft_group_found(struct multiraft *multiraft,
                               uint32_t id,
                               const struct machine *machine,
                               const struct raft_configuration *members,
                               struct group **out)
{
    assert(id < MULTIRAFT_GROUPS_MAX && multiraft->is_started);
    uint8_t buffer[GROUP_MARK_BYTES_MAX];
    struct group_mark mark = {.number = own_number(multiraft, members),
                              .configuration = *members};
    struct wal_group past = {.group = id};
    if (mark.number == 0) {
        return ERR_NOT_FOUND;
    }
    if (wal_find(multiraft->wal, id, &past)) {
        return find_drop(multiraft, id) ? ERR_BUSY : ERR_EXISTS;
    }
    if (multiraft->report.unlisted_are_lost) {
        return ERR_REVOKED;
    }
    past.configuration = group_mark_encode(buffer, &mark);
    enum err err = open_group(multiraft, id, machine, &past);
    if (err) {
        return err;
    }
    share_memory(multiraft);
    (void)on_save(multiraft, multiraft->groups[id],
                  &(struct wal_record){.kind = WAL_SNAPSHOT,
                                       .group = id,
                                       .bytes = past.configuration});
    group_start(multiraft->groups[id]);
    *out = multiraft->groups[id];
    return ERR_NONE;
}

/* Out of the lists that it may be in. */
static void unlist(struct multiraft *multiraft, struct group *group)
{
    struct group **at = &multiraft->due;
    while (*at && *at != group) {
        at = &group_links(*at)->next_due;
    }
    if (*at) {
        *at = group_links(group)->next_due;
    }
    at = &multiraft->writing;
    while (*at && *at != group) {
        at = &group_links(*at)->next_writing;
    }
    if (*at) {
        *at = group_links(group)->next_writing;
    }
}

FALLIBLE multiraft_group_drop(struct multiraft *multiraft, uint32_t id)
{
    assert(id < MULTIRAFT_GROUPS_MAX && multiraft->is_started);
    struct group *group = multiraft->groups[id];
    struct wal_group past;
    if (!wal_find(multiraft->wal, id, &past)) {
        return ERR_NOT_FOUND;
    }
    if (find_drop(multiraft, id) || (group && !group_is_idle(group))) {
        return ERR_BUSY;
    }
    struct drop *drop = calloc(1, sizeof *drop);
    if (!drop) {
        return ERR_MEMORY;
    }
    *drop = (struct drop){.job = {.work = remove_rows,
                                  .done = on_rows_removed,
                                  .home = multiraft->config.reactor},
                          .multiraft = multiraft,
                          .kv = multiraft->config.kv,
                          .next = multiraft->drops,
                          .id = id};
    multiraft->drops = drop;
    if (group) {
        unlist(multiraft, group);
        group_close(&multiraft->groups[id]);
        share_memory(multiraft);
    }
    run_drop(drop);
    return ERR_NONE;
}

void multiraft_forget_unlisted(struct multiraft *multiraft)
{
    assert(multiraft->is_started);
    if (multiraft->report.unlisted_are_lost) {
        multiraft->report.unlisted_are_lost = false;
        (void)append(multiraft,
                     &(struct wal_record){.kind = WAL_FORGET,
                                          .group = WAL_GROUP_UNLISTED});
    }
}

struct replay {
    struct multiraft *multiraft;
    enum err err;
};

/* An entry that makes no sense is its group's affair. */
static void visit_entry(void *context, const struct wal_record *entry)
{
    struct replay *replay = context;
    struct multiraft *multiraft = replay->multiraft;
    struct group *group = multiraft_group(multiraft, entry->group);
    if (!group || replay->err) {
        return;
    }
    enum err err = group_restore(group, entry);
    if (err == ERR_MEMORY) {
        replay->err = err;
    } else if (err) {
        log_error(multiraft->config.log, "group.refused",
                  LOG_UNSIGNED("group", entry->group),
                  LOG_UNSIGNED("index", entry->index),
                  LOG_TEXT("what", "an entry of the log makes no sense"),
                  LOG_ERR(err), LOG_TEXT("next", "the others go on"));
        group_close(&multiraft->groups[entry->group]);
    }
}

/* What could not be read makes a replica that must not vote any more. */
static void close_lost(void *context, const struct wal_group *past)
{
    struct multiraft *multiraft = context;
    if (past->is_lost && past->group < MULTIRAFT_GROUPS_MAX) {
        group_close(&multiraft->groups[past->group]);
    }
}

FALLIBLE multiraft_start(struct multiraft *multiraft, struct wal_report *report)
{
    struct replay replay = {.multiraft = multiraft};
    enum err err =
        wal_replay(multiraft->wal, visit_entry, &replay, &multiraft->report);
    *report = multiraft->report;
    err = err ? err : replay.err;
    if (err) {
        return err;
    }
    wal_groups(multiraft->wal, close_lost, multiraft);
    share_memory(multiraft);
    multiraft->is_started = true;
    for (uint32_t i = 0; i < multiraft->group_end; i++) {
        if (multiraft->groups[i]) {
            group_start(multiraft->groups[i]);
        }
    }
    reactor_timer_set(multiraft->config.reactor, &multiraft->tick_timer,
                      multiraft->config.heartbeat_ns / TICKS_PER_HEARTBEAT);
    return ERR_NONE;
}

struct group *multiraft_group(const struct multiraft *multiraft, uint32_t id)
{
    return id < MULTIRAFT_GROUPS_MAX ? multiraft->groups[id] : NULL;
}

bool multiraft_is_full(const struct multiraft *multiraft)
{
    return room(multiraft) != ERR_NONE;
}

const struct wal *multiraft_wal(const struct multiraft *multiraft)
{
    return multiraft->wal;
}
