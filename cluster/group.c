#include "cluster/group.h"

#include "cluster/group_core.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES_MIN 4096u
#define SPARE_BYTES_MAX 65536u /* an idle group keeps no more */

void group_limits_defaults(struct group_limits *limits)
{
    *limits = (struct group_limits){
        .entry_bytes_max = 1u << 20,
        .entry_count_max = 1,
        .waiting_count_max = 1u << 16,
        .snapshot_log_bytes = 16u << 20,
        .piece_bytes = 256u << 10,
    };
}

static uint64_t now_ns(const struct group *group)
{
    return clock_now_ns(group->home.clock);
}

static void wake(struct group *group)
{
    group->home.wake(group->home.context, group);
}

static void fail(struct group *group, enum err err, const char *what)
{
    if (!group->is_failed) {
        group->is_failed = true;
        group->home.on_failed(group->home.context, group, err, what);
    }
}

/* ---- batches ---- */

static void batch_free(struct batch *batch)
{
    if (batch) {
        free(batch->entry);
        free(batch->replies);
        free(batch);
    }
}

/* `*buffer` has room for `length` more. ERR_MEMORY */
static enum err make_room(uint8_t **buffer,
                          size_t *capacity,
                          size_t used,
                          size_t length)
{
    if (*capacity - used >= length) {
        return ERR_NONE;
    }
    size_t wanted =
        *capacity < BUFFER_BYTES_MIN ? BUFFER_BYTES_MIN : 2 * *capacity;
    while (wanted - used < length) {
        wanted *= 2;
    }
    uint8_t *more = realloc(*buffer, wanted);
    if (!more) {
        return ERR_MEMORY;
    }
    *buffer = more;
    *capacity = wanted;
    return ERR_NONE;
}

static bool is_empty(const struct batch *batch)
{
    return !batch || batch->entry_length == RAFT_ENTRY_COMMANDS_BYTES;
}

/* From now on: an empty one may have been opened long ago. */
static void stamp_batch(struct group *group, struct batch *batch)
{
    int64_t wall_ms = clock_wall_ms(group->home.clock);
    if (wall_ms > group->stamp_ms) {
        group->stamp_ms = wall_ms;
    }
    batch->stamp.wall_ms = group->stamp_ms;
    raft_entry_commands_encode(batch->entry, batch->stamp.wall_ms);
}

/* The batch that gathers; a new one if need be. NULL: no memory. */
static struct batch *open_batch(struct group *group)
{
    if (group->open) {
        if (is_empty(group->open)) {
            stamp_batch(group, group->open);
        }
        return group->open;
    }
    struct batch *batch = group->spare;
    group->spare = NULL;
    if (!batch) {
        batch = calloc(1, sizeof *batch);
    }
    if (!batch || make_room(&batch->entry, &batch->entry_capacity, 0,
                            RAFT_ENTRY_COMMANDS_BYTES)) {
        batch_free(batch);
        return NULL;
    }
    stamp_batch(group, batch);
    batch->entry_length = RAFT_ENTRY_COMMANDS_BYTES;
    batch->reply_length = 0;
    batch->index = 0;
    batch->sequence = ++group->sequence;
    batch->next = NULL;
    batch->first = NULL;
    batch->last = &batch->first;
    group->open = batch;
    return batch;
}

static void recycle(struct group *group, struct batch *batch)
{
    if (group->spare || batch->entry_capacity > SPARE_BYTES_MAX ||
        batch->reply_capacity > SPARE_BYTES_MAX) {
        batch_free(batch);
    } else {
        group->spare = batch;
    }
}

/* Answer all that wait for a batch; each with `err` unless that is none. */
static void finish_batch(struct group *group, struct batch *batch, enum err err)
{
    struct group_request *next = NULL;
    for (struct group_request *at = batch->first; at; at = next) {
        next = at->next;
        struct bytes reply =
            err ? bytes_of(NULL, 0)
                : bytes_of(batch->replies + at->reply_at, at->reply_length);
        at->done(at, err, reply);
    }
    recycle(group, batch);
}

/* ---- requests without an outcome ---- */

static void wait_for_round(struct group *group, struct group_request *request)
{
    request->next = NULL;
    *group->waiting_last = request;
    group->waiting_last = &request->next;
    group->waiting_count++;
    wake(group);
}

static void answer_read(struct group *group, struct group_request *request)
{
    uint8_t *buffer = NULL;
    size_t capacity = 0;
    enum err err = ERR_TOO_LARGE;
    struct writer answer = {0};
    struct bytes question = bytes_of(request->own, request->reply_length);
    while (err == ERR_TOO_LARGE &&
           capacity < group->config.limits.entry_bytes_max) {
        err = make_room(&buffer, &capacity, 0, capacity + BUFFER_BYTES_MIN);
        if (!err) {
            answer = writer_of(buffer, capacity);
            err = group->config.machine.read(group->config.machine.context,
                                             question, &answer);
            err = !err && answer.failed ? ERR_TOO_LARGE : err;
        }
    }
    uint8_t *own = request->own;
    request->done(request, err,
                  err ? bytes_of(NULL, 0) : writer_bytes(&answer));
    free(own);
    free(buffer);
}

static void answer_waiting(struct group *group)
{
    while (!group->is_failed && group->waiting &&
           group->waiting->round <= group->round_ready &&
           group->waiting->sequence <= group->committed) {
        struct group_request *request = group->waiting;
        group->waiting = request->next;
        group->waiting_count--;
        if (!group->waiting) {
            group->waiting_last = &group->waiting;
        }
        if (request->is_read) {
            answer_read(group, request);
        } else {
            uint8_t *own = request->own;
            request->done(request, request->err,
                          bytes_of(own, request->reply_length));
            free(own);
        }
    }
}

/* ---- losing leadership ---- */

static void give_up_all(struct group *group)
{
    struct group_request *waiting = group->waiting;
    struct batch *inflight = group->inflight;
    struct batch *open = group->open;
    group->waiting = NULL;
    group->waiting_last = &group->waiting;
    group->waiting_count = 0;
    group->inflight = NULL;
    group->inflight_last = &group->inflight;
    group->inflight_count = 0;
    group->open = NULL;
    group->committed = group->sequence;
    if (!GROUP_HAS_FAULT(group, KEEP_SPECULATION)) {
        group->config.machine.drop(group->config.machine.context);
    }

    while (inflight) {
        struct batch *next = inflight->next;
        finish_batch(group, inflight,
                     GROUP_HAS_FAULT(group, REFUSE_UNCERTAIN) ? ERR_NOT_LEADER
                                                              : ERR_UNCERTAIN);
        inflight = next;
    }
    if (open) {
        finish_batch(group, open, ERR_NOT_LEADER);
    }
    while (waiting) {
        struct group_request *next = waiting->next;
        free(waiting->own);
        waiting->done(waiting, ERR_NOT_LEADER, bytes_of(NULL, 0));
        waiting = next;
    }
}

static void look_at_role(struct group *group)
{
    if (!group->is_changed) {
        return;
    }
    group->is_changed = false;
    bool leads = raft_role(group->raft) == RAFT_LEADER;
    uint64_t term = raft_term(group->raft);
    if (group->has_led && (!leads || term != group->led_term)) {
        give_up_all(group);
    }
    group->has_led = leads;
    group->led_term = term;
    group->home.on_change(group->home.context, group);
}

/* ---- applying ---- */

static enum err apply_commands(struct group *group,
                               const struct raft_entry *entry)
{
    struct raft_entry_commands commands;
    enum err err = raft_entry_commands_decode(&commands, entry->bytes);
    if (err) {
        return err;
    }
    struct machine_stamp stamp = {.wall_ms = commands.stamp_ms};
    struct bytes outcome;
    while (raft_entry_next_outcome(&commands, &outcome)) {
        err = group->config.machine.apply(group->config.machine.context,
                                          entry->index, &stamp, outcome);
        if (err) {
            return err;
        }
    }
    if (commands.outcomes.failed) {
        return ERR_MALFORMED;
    }
    if (stamp.wall_ms > group->stamp_ms) {
        group->stamp_ms = stamp.wall_ms;
    }
    return ERR_NONE;
}

static void finish_committed(struct group *group)
{
    while (group->inflight && (group->inflight->index <= group->applied ||
                               GROUP_HAS_FAULT(group, ANSWER_BEFORE_COMMIT))) {
        struct batch *batch = group->inflight;
        if (raft_entry_at(group->raft, batch->index)->term != batch->term) {
            break; /* another leader's is there: ours is given up soon */
        }
        group->inflight = batch->next;
        if (!group->inflight) {
            group->inflight_last = &group->inflight;
        }
        group->inflight_count--;
        group->committed = batch->sequence;
        finish_batch(group, batch, ERR_NONE);
        wake(group); /* the next may go */
    }
}

static void apply_committed(struct group *group)
{
    while (group->has_state && !group->is_failed &&
           group->applied < raft_commit_index(group->raft)) {
        const struct raft_entry *entry =
            raft_entry_at(group->raft, group->applied + 1);
        assert(entry);
        enum err err = entry->type == RAFT_COMMANDS
                           ? apply_commands(group, entry)
                           : ERR_NONE;
        if (GROUP_HAS_FAULT(group, APPLY_TWICE) && group->has_restored &&
            entry->type == RAFT_COMMANDS) {
            err = apply_commands(group, entry);
            group->has_restored = false;
        }
        if (err) {
            fail(group, err, "an entry cannot be applied");
            return;
        }
        group->applied = entry->index;
        group->applied_term = entry->term;
    }
}

void group_go_on(struct group *group)
{
    apply_committed(group);
    finish_committed(group);
    look_at_role(group);
    answer_waiting(group);
    snapshots_go_on(group);
}

/* ---- effects of raft.c ---- */

static void on_send(void *context, const struct raft_message *message)
{
    struct group *group = context;
    group->home.send(group->home.context, group, message);
}

static uint64_t on_save(void *context, const struct wal_record *record)
{
    struct group *group = context;
    struct wal_record full = *record;
    struct group_mark mark = {.number = raft_number(group->raft)};
    uint8_t buffer[GROUP_MARK_BYTES_MAX];
    full.group = group->config.id;
    if (record->kind == WAL_SNAPSHOT) {
        mark.configuration = *raft_configuration_at(group->raft, record->index);
        full.bytes = group_mark_encode(buffer, &mark);
    }
    return group->home.save(group->home.context, group, &full);
}

static void on_change(void *context)
{
    struct group *group = context;
    group->is_changed = true;
}

static void on_read_ready(void *context, uint64_t round)
{
    struct group *group = context;
    group->round_ready = round;
}

static void on_snapshot_wanted(void *context, uint64_t number)
{
    snapshots_want(context, number);
}

/* ---- life ---- */

FALLIBLE group_open(struct group **out,
                    const struct group_home *home,
                    const struct group_config *config,
                    const struct wal_group *past)
{
    struct group *group = calloc(1, sizeof *group);
    if (!group) {
        return ERR_MEMORY;
    }
    group->home = *home;
    group->config = *config;
    group->inflight_last = &group->inflight;
    group->waiting_last = &group->waiting;
    group->config.raft.effects = (struct raft_effects){
        .context = group,
        .send = on_send,
        .save = on_save,
        .on_change = on_change,
        .on_read_ready = on_read_ready,
        .on_snapshot_wanted = on_snapshot_wanted,
    };
    snapshots_open(group);
    struct group_mark mark = {0};
    enum err err = group_mark_decode(&mark, past->configuration);
    if (!err) {
        err = snapshots_load(group);
    }
    const struct snapshot_head *stored = &group->snapshots.stored;
    bool is_newer = !err && stored->index > past->snapshot_index;
    group->has_state = stored->index >= past->snapshot_index;
    if (!err && !group->has_state &&
        raft_configuration_voter_count(&mark.configuration) == 1 &&
        raft_configuration_has_voter(&mark.configuration, mark.number)) {
        err = ERR_NOT_FOUND;
    }
    if (!err) {
        struct raft_past raft_past = {
            .term = past->term,
            .vote = past->vote,
            .snapshot_index = is_newer ? stored->index : past->snapshot_index,
            .snapshot_term = is_newer ? stored->term : past->snapshot_term,
            .configuration =
                is_newer ? &stored->configuration : &mark.configuration,
        };
        group->wal_snapshot_index = past->snapshot_index;
        group->is_tail_known = !is_newer;
        group->applied = raft_past.snapshot_index;
        group->applied_term = raft_past.snapshot_term;
        group->stamp_ms = stored->stamp_ms;
        err = raft_open(&group->raft, &group->config.raft, &raft_past);
    }
    if (err) {
        group_close(&group);
        return err;
    }
    raft_needs_snapshot(group->raft, !group->has_state);
    *out = group;
    return ERR_NONE;
}

FALLIBLE group_restore(struct group *group, const struct wal_record *entry)
{
    uint64_t snapshot_index = raft_snapshot_index(group->raft);
    if (entry->index <= snapshot_index) {
        if (entry->index == snapshot_index) {
            group->is_tail_known = entry->term == group->applied_term;
        }
        return ERR_NONE;
    }
    if (!group->is_tail_known) {
        return ERR_NONE; /* of a log that the snapshot has replaced */
    }
    if (entry->type > RAFT_COMMANDS) {
        return ERR_MALFORMED;
    }
    group->has_restored = true;
    return raft_restore(
        group->raft,
        &(struct raft_entry){.index = entry->index,
                             .term = entry->term,
                             .type = (enum raft_entry_type)entry->type,
                             .bytes = entry->bytes});
}

void group_start(struct group *group)
{
    uint64_t index = raft_snapshot_index(group->raft);
    if (index > group->wal_snapshot_index) {
        (void)on_save(group, &(struct wal_record){.kind = WAL_SNAPSHOT,
                                                  .index = index,
                                                  .term = group->applied_term});
    }
    raft_start(group->raft, now_ns(group));
}

bool group_is_idle(const struct group *group)
{
    return snapshots_are_idle(group);
}

void group_close(struct group **group)
{
    if (!*group) {
        return;
    }
    if ((*group)->raft) {
        (*group)->is_failed = true; /* who is told now gets nothing in */
        give_up_all(*group);
    }
    snapshots_close(*group);
    batch_free((*group)->spare);
    raft_close(&(*group)->raft);
    free(*group);
    *group = NULL;
}

/* ---- requests ---- */

/* A deliberate fault of the core, which nothing here shall hide. */
static bool is_hasty(const struct group *group)
{
#ifdef TROUPE_FAULTS
    return group->config.raft.fault == RAFT_FAULT_READ_BEFORE_NOTHING;
#else
    (void)group;
    return false;
#endif
}

static enum err refusal(const struct group *group)
{
    if (raft_role(group->raft) != RAFT_LEADER || group->is_failed) {
        return ERR_NOT_LEADER;
    }
    if (!raft_is_settled(group->raft) && !is_hasty(group)) {
        return ERR_BUSY;
    }
    return group->waiting_count < group->config.limits.waiting_count_max
               ? ERR_NONE
               : ERR_FULL;
}

/* Decide, with as much room as it takes. */
static enum err decide(struct group *group,
                       struct batch *batch,
                       struct bytes command,
                       struct machine_decision *decision)
{
    size_t room_max = group->config.limits.entry_bytes_max;
    size_t room = 0;
    enum err err = ERR_TOO_LARGE;
    while (err == ERR_TOO_LARGE && room < room_max) {
        room = room == 0 ? BUFFER_BYTES_MIN / 4 : 4 * room;
        room = room < room_max ? room : room_max;
        err = make_room(&batch->entry, &batch->entry_capacity,
                        batch->entry_length, room + RAFT_ENTRY_OUTCOME_BYTES);
        if (!err) {
            err = make_room(&batch->replies, &batch->reply_capacity,
                            batch->reply_length, room);
        }
        if (err) {
            break;
        }
        decision->outcome = writer_of(batch->entry + batch->entry_length +
                                          RAFT_ENTRY_OUTCOME_BYTES,
                                      room);
        decision->reply = writer_of(batch->replies + batch->reply_length, room);
        err = group->config.machine.decide(group->config.machine.context,
                                           &batch->stamp, command, decision);
        assert(err || !(decision->outcome.failed || decision->reply.failed));
    }
    return err;
}

/* It changes nothing, but says what is: as a read it must be asked for whether
 * we still lead, and wait for all that it has seen. */
static enum err propose_nothing(struct group *group,
                                struct bytes reply,
                                enum err answer,
                                struct group_request *request)
{
    uint64_t round;
    enum err err = raft_read(group->raft, &round);
    if (err) {
        return err == ERR_DENIED ? ERR_NOT_LEADER : err;
    }
    uint8_t *own = malloc(reply.length + 1);
    if (!own) {
        return ERR_MEMORY;
    }
    if (reply.length > 0) {
        memcpy(own, reply.data, reply.length);
    }
    request->own = own;
    request->err = answer;
    request->is_read = false;
    request->reply_length = reply.length;
    request->round = GROUP_HAS_FAULT(group, ANSWER_WITHOUT_ASKING) ? 0 : round;
    request->sequence = is_empty(group->open)
                            ? group->sequence - (group->open != NULL)
                            : group->sequence;
    wait_for_round(group, request);
    return ERR_NONE;
}

FALLIBLE group_propose(struct group *group,
                       struct bytes command,
                       struct group_request *request)
{
    enum err err = refusal(group);
    if (err) {
        return err;
    }
    err = group->home.room(group->home.context);
    if (err) {
        return err;
    }
    struct batch *batch = open_batch(group);
    if (!batch) {
        return ERR_MEMORY;
    }
    size_t bytes_max = group->config.limits.entry_bytes_max;
    if (batch->entry_length >= bytes_max || batch->reply_length >= bytes_max) {
        return ERR_FULL;
    }
    struct machine_decision decision = {0};
    err = decide(group, batch, command, &decision);
    if (err == ERR_MEMORY || err == ERR_TOO_LARGE) {
        return err;
    }
    struct bytes outcome = writer_bytes(&decision.outcome);
    struct bytes reply = writer_bytes(&decision.reply);
    if (err || outcome.length == 0) {
        return propose_nothing(group, err ? bytes_of(NULL, 0) : reply, err,
                               request);
    }
    raft_entry_outcome_encode(batch->entry + batch->entry_length,
                              (uint32_t)outcome.length);
    batch->entry_length += RAFT_ENTRY_OUTCOME_BYTES + outcome.length;
    request->reply_at = batch->reply_length;
    request->reply_length = reply.length;
    request->next = NULL;
    *batch->last = request;
    batch->last = &request->next;
    batch->reply_length += reply.length;
    wake(group);
    return ERR_NONE;
}

FALLIBLE group_read(struct group *group,
                    struct bytes question,
                    struct group_request *request)
{
    enum err err = refusal(group);
    if (err) {
        return err;
    }
    uint8_t *own = malloc(question.length + 1);
    if (!own) {
        return ERR_MEMORY;
    }
    err = raft_read(group->raft, &request->round);
    if (err) {
        free(own);
        return err == ERR_DENIED ? ERR_NOT_LEADER : err;
    }
    if (question.length > 0) {
        memcpy(own, question.data, question.length);
    }
    request->own = own;
    request->reply_length = question.length;
    request->is_read = true;
    request->sequence = 0;
    wait_for_round(group, request);
    return ERR_NONE;
}

FALLIBLE group_reconfigure(struct group *group,
                           const struct raft_configuration *next)
{
    enum err err = raft_reconfigure(group->raft, now_ns(group), next);
    group_go_on(group);
    return err == ERR_DENIED ? ERR_NOT_LEADER : err;
}

FALLIBLE group_transfer(struct group *group, uint64_t number)
{
    enum err err = raft_transfer(group->raft, now_ns(group), number);
    group_go_on(group);
    return err == ERR_DENIED ? ERR_NOT_LEADER : err;
}

FALLIBLE group_take_over(struct group *group, const struct raft_member *self)
{
    if (!snapshots_stop_receiving(group)) {
        return ERR_BUSY;
    }
    enum err err = raft_take_over(group->raft, now_ns(group), self);
    group_go_on(group);
    wake(group); /* it stands for election as soon as all is durable */
    return err;
}

void group_retire(struct group *group)
{
    raft_retire(group->raft, now_ns(group));
    group_go_on(group);
}

FALLIBLE group_snapshot(struct group *group)
{
    return snapshots_save(group);
}

void group_keep(struct group *group, size_t bytes)
{
    group->config.raft.keep_bytes = bytes;
    raft_keep(group->raft, bytes);
}

/* ---- events ---- */

void group_tick(struct group *group)
{
    raft_tick(group->raft, now_ns(group));
    if (!is_empty(group->open)) {
        wake(group); /* it may have had to wait for a transfer or memory */
    }
    group_go_on(group);
}

uint64_t group_due_ns(const struct group *group)
{
    return is_empty(group->open) ? raft_due_ns(group->raft) : 0;
}

void group_heartbeat(struct group *group)
{
    raft_heartbeat(group->raft, now_ns(group));
    group_go_on(group);
}

void group_receive(struct group *group, const struct raft_message *message)
{
    raft_receive(group->raft, now_ns(group), message);
    if (message->term == raft_term(group->raft) &&
        message->to == raft_number(group->raft)) {
        if (message->kind == RAFT_SNAPSHOT) {
            snapshots_on_piece(group, message);
        } else if (message->kind == RAFT_SNAPSHOT_REPLY) {
            snapshots_on_reply(group, message);
        }
    }
    group_go_on(group);
}

void group_stored(struct group *group, uint64_t number)
{
    raft_stored(group->raft, now_ns(group), number);
    group_go_on(group);
}

void group_node_lost(struct group *group, uint32_t node)
{
    raft_node_lost(group->raft, now_ns(group), node);
    group_go_on(group);
}

void group_node_found(struct group *group, uint32_t node)
{
    raft_node_found(group->raft, now_ns(group), node);
    group_go_on(group);
}

void group_campaign_soon(struct group *group)
{
    raft_campaign_soon(group->raft, now_ns(group));
    wake(group); /* its time has come nearer */
}

void group_resign(struct group *group)
{
    raft_resign(group->raft, now_ns(group));
    group_go_on(group);
}

/* What was gathered becomes an entry, if one may be under way. */
static void propose_gathered(struct group *group)
{
    struct batch *batch = group->open;
    if (is_empty(batch) ||
        group->inflight_count >= group->config.limits.entry_count_max ||
        raft_propose(group->raft, now_ns(group), RAFT_COMMANDS,
                     bytes_of(batch->entry, batch->entry_length))) {
        return; /* later, or it is told that we do not lead any more */
    }
    batch->index = raft_last_index(group->raft);
    batch->term = raft_term(group->raft);
    group->open = NULL;
    group->inflight_count++;
    *group->inflight_last = batch;
    group->inflight_last = &batch->next;
}

void group_turn_end(struct group *group)
{
    propose_gathered(group);
    raft_flush(group->raft, now_ns(group));
    group_go_on(group);
}

/* ---- what is ---- */

uint32_t group_id(const struct group *group)
{
    return group->config.id;
}

const struct raft *group_raft(const struct group *group)
{
    return group->raft;
}

uint64_t group_applied_index(const struct group *group)
{
    return group->applied;
}

bool group_has_state(const struct group *group)
{
    return group->has_state;
}

uint64_t group_stored_index(const struct group *group)
{
    return group->snapshots.stored.index;
}

struct group_links *group_links(struct group *group)
{
    return &group->links;
}
