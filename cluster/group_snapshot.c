/*
 * A group's snapshots: made while it goes on, kept as rows, sent to followers
 * in pieces, taken from a leader in pieces.
 *
 * Piece 0 is the head; the machine's pieces follow from 1 on. A snapshot in
 * the key-value store is whole when its head is there, for that is written
 * last. Only when all is synced does the log learn of it.
 */

#include "cluster/group_core.h"

#include "base/owner.h"
#include "base/time_units.h"
#include "store/row.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PAUSE_NS_MIN NS_PER_S /* after what failed once */
#define PAUSE_NS_MAX (16 * NS_PER_S)
#define INDEX_MAX (UINT64_MAX / 2) /* what the log takes, too */
#define PATIENCE_NS (5 * NS_PER_S) /* with followers who take no pieces */

/* ---- what fails ---- */

static bool is_pausing(const struct group *group,
                       const struct snapshot_pause *pause)
{
    return clock_now_ns(group->home.clock) < pause->until_ns;
}

/* Say so and pause, twice as long each time: a disk that is full is not to be
 * written to all the while, nor the log filled with lines about it. */
static void fail(struct group *group,
                 struct snapshot_pause *pause,
                 enum err err,
                 const char *what)
{
    pause->length_ns =
        pause->length_ns == 0 ? PAUSE_NS_MIN : 2 * pause->length_ns;
    if (pause->length_ns > PAUSE_NS_MAX) {
        pause->length_ns = PAUSE_NS_MAX;
    }
    pause->until_ns = clock_now_ns(group->home.clock) + pause->length_ns;
    group->home.on_snapshot_failed(group->home.context, group, err, what);
}

static void succeed(struct snapshot_pause *pause)
{
    *pause = (struct snapshot_pause){0};
}

/* ---- what the applier does ---- */

static struct bytes piece_key(uint8_t to[static KV_KEY_BYTES_MAX],
                              uint32_t group,
                              uint64_t index,
                              uint32_t piece)
{
    struct bytes key = {0};
    struct row_key row = {.group = group,
                          .kind = ROW_SNAPSHOT_PIECE,
                          .snapshot_index = index,
                          .piece = piece};
    enum err err = row_key_encode(to, &row, &key);
    assert(!err);
    return key;
}

static void write_piece(struct job *base)
{
    struct snapshot_job *job = OWNER_OF(base, struct snapshot_job, job);
    struct row_range older; /* of the same index: not to be mixed with */
    uint8_t key[KV_KEY_BYTES_MAX];
    row_range_of_snapshot(&older, job->group_id, job->index);
    struct kv_change changes[] = {
        {.kind = KV_DELETE_RANGE, .key = older.from, .value = older.end},
        {.kind = KV_PUT,
         .key = piece_key(key, job->group_id, job->index, job->piece),
         .value = bytes_of(job->bytes, job->length)}};
    bool is_first = job->step == SNAPSHOT_PIECE && job->piece == 1;
    job->err = job->kv->write(
        job->kv->context, is_first ? changes : &changes[1], is_first ? 2 : 1);
    if (!job->err && job->step == SNAPSHOT_HEAD &&
        !GROUP_HAS_FAULT(job->group, SKIP_SYNC)) {
        job->err = job->kv->sync(job->kv->context);
    }
}

/* Remove all snapshots older than `index`, but for the one that is kept. */
static void remove_older(struct job *base)
{
    struct snapshot_job *job = OWNER_OF(base, struct snapshot_job, job);
    uint64_t kept = job->kept_index < job->index ? job->kept_index : 0;
    uint8_t keys[4][KV_KEY_BYTES_MAX];
    struct kv_change changes[] = {
        {.kind = KV_DELETE_RANGE,
         .key = piece_key(keys[0], job->group_id, kept ? kept + 1 : 0, 0),
         .value = piece_key(keys[1], job->group_id, job->index, 0)},
        {.kind = KV_DELETE_RANGE,
         .key = piece_key(keys[2], job->group_id, 0, 0),
         .value = piece_key(keys[3], job->group_id, kept, 0)}};
    job->err = job->kv->write(job->kv->context, changes, kept ? 2 : 1);
}

/* Remove one for good: it must not be there after a restart either. */
static void remove_refused(struct job *base)
{
    struct snapshot_job *job = OWNER_OF(base, struct snapshot_job, job);
    struct row_range rows;
    row_range_of_snapshot(&rows, job->group_id, job->index);
    job->err = job->kv->write(job->kv->context,
                              &(struct kv_change){.kind = KV_DELETE_RANGE,
                                                  .key = rows.from,
                                                  .value = rows.end},
                              1);
    if (!job->err) {
        job->err = job->kv->sync(job->kv->context);
    }
}

static void read_piece(struct job *base)
{
    struct snapshot_job *job = OWNER_OF(base, struct snapshot_job, job);
    uint8_t key[KV_KEY_BYTES_MAX];
    free(job->bytes);
    job->bytes = NULL;
    job->length = 0;
    job->err = job->kv->get(
        job->kv->context, piece_key(key, job->group_id, job->index, job->piece),
        &job->bytes, &job->length);
}

static void run(struct snapshot_job *job,
                enum snapshot_step step,
                void (*work)(struct job *job))
{
    job->step = step;
    job->job.work = work;
    executor_run(job->group->home.applier, &job->job);
}

/* The job writes this piece; ERR_MEMORY */
static enum err set_piece(struct snapshot_job *job,
                          uint32_t piece,
                          struct bytes bytes)
{
    if (job->capacity < bytes.length) {
        uint8_t *more = realloc(job->bytes, bytes.length);
        if (!more) {
            return ERR_MEMORY;
        }
        job->bytes = more;
        job->capacity = bytes.length;
    }
    if (bytes.length > 0) {
        memcpy(job->bytes, bytes.data, bytes.length);
    }
    job->length = bytes.length;
    job->piece = piece;
    return ERR_NONE;
}

static void rest(struct snapshot_job *job)
{
    free(job->bytes);
    job->bytes = NULL;
    job->length = 0;
    job->capacity = 0;
    job->step = SNAPSHOT_IDLE;
}

/* This one is ours from now on. */
static void set_stored(struct group *group, const struct snapshot_head *head)
{
    group->snapshots.stored = *head;
    do {
        group->snapshots.stored_id = entropy_u64(group->config.raft.entropy);
    } while (group->snapshots.stored_id == 0);
}

/* Somebody is taking it, or has just begun to: those who take longer than it
 * takes to make another would never have one to its end. */
static bool is_being_sent(const struct group *group)
{
    const struct snapshots *snapshots = &group->snapshots;
    return raft_role(group->raft) == RAFT_LEADER &&
           snapshots->sending.index != 0 &&
           clock_now_ns(group->home.clock) < snapshots->sending_until_ns;
}

static void clean(struct group *group, struct snapshot_job *job)
{
    struct snapshots *snapshots = &group->snapshots;
    if (!is_being_sent(group)) {
        snapshots->sending.index = 0; /* it may go, too */
    }
    job->index = snapshots->stored.index;
    job->kept_index = snapshots->sending.index;
    run(job, SNAPSHOT_CLEAN, remove_older);
}

/* ---- making one ---- */

/* ERR_BUSY: one is being made or sent, one has just failed, nothing is new, or
 * the machine has no time for it */
FALLIBLE snapshots_save(struct group *group)
{
    struct snapshots *snapshots = &group->snapshots;
    if (snapshots->save.step != SNAPSHOT_IDLE || !group->has_state ||
        snapshots->receiving.index != 0 ||
        group->applied <= snapshots->stored.index ||
        is_pausing(group, &snapshots->save_pause)) {
        return ERR_BUSY;
    }
    enum err err =
        group->config.machine.snapshot_begin(group->config.machine.context);
    if (err == ERR_BUSY) {
        return err; /* the machine's own matters: later */
    }
    if (err) {
        fail(group, &snapshots->save_pause, err, "it cannot be begun");
        return err;
    }
    snapshots->saving = (struct snapshot_head){
        .index = group->applied,
        .term = group->applied_term,
        .stamp_ms = group->stamp_ms,
        .piece_count = 1,
        .configuration = *raft_configuration_at(group->raft, group->applied),
    };
    if (GROUP_HAS_FAULT(group, NEWEST_CONFIGURATION)) {
        snapshots->saving.configuration =
            *raft_newest_configuration(group->raft);
    }
    if (GROUP_HAS_FAULT(group, FORGET_APPLIED) &&
        raft_entry_at(group->raft, group->applied - 1)) {
        snapshots->saving.index--;
        snapshots->saving.term =
            raft_entry_at(group->raft, group->applied - 1)->term;
    }
    snapshots->save.index = snapshots->saving.index;
    snapshots->save.err = ERR_NONE;
    snapshots->save.job.done(&snapshots->save.job); /* the first piece */
    return ERR_NONE;
}

/* Unless it is under way, has just failed, or nothing is new. Fails without
 * harm: whoever wants it asks again. */
static void save_soon(struct group *group)
{
    enum err err = snapshots_save(group);
    (void)err;
}

static void stop_saving(struct group *group)
{
    group->config.machine.snapshot_end(group->config.machine.context);
    rest(&group->snapshots.save);
}

/* The machine's next piece, or, after its last, the head. */
static enum err save_next(struct group *group)
{
    struct snapshot_job *job = &group->snapshots.save;
    struct snapshot_head *head = &group->snapshots.saving;
    if (job->capacity < group->config.limits.piece_bytes) {
        uint8_t *more = realloc(job->bytes, group->config.limits.piece_bytes);
        if (!more) {
            return ERR_MEMORY;
        }
        job->bytes = more;
        job->capacity = group->config.limits.piece_bytes;
    }
    struct writer piece = writer_of(job->bytes, job->capacity);
    enum err err = group->config.machine.snapshot_next(
        group->config.machine.context, &piece);
    if (err || piece.failed) {
        return err ? err : ERR_TOO_LARGE;
    }
    job->length = writer_bytes(&piece).length;
    if (job->length > 0) {
        job->piece = head->piece_count++;
        run(job, SNAPSHOT_PIECE, write_piece);
        return ERR_NONE;
    }
    uint8_t buffer[SNAPSHOT_HEAD_BYTES_MAX];
    err = set_piece(job, 0, snapshot_head_encode(buffer, head));
    if (!err) {
        run(job, SNAPSHOT_HEAD, write_piece);
    }
    return err;
}

static void on_saved(struct job *base)
{
    struct snapshot_job *job = OWNER_OF(base, struct snapshot_job, job);
    struct group *group = job->group;
    struct snapshots *snapshots = &group->snapshots;
    if (job->step == SNAPSHOT_CLEAN) {
        rest(job); /* what an error left is removed next time */
        return;
    }
    if (!job->err && job->step == SNAPSHOT_HEAD) {
        group->config.machine.snapshot_end(group->config.machine.context);
        succeed(&snapshots->save_pause);
        if (snapshots->saving.index > snapshots->stored.index) {
            set_stored(group, &snapshots->saving);
            raft_compact(group->raft, snapshots->stored.index);
        }
        clean(group, job);
        return;
    }
    enum err err = job->err ? job->err : save_next(group);
    if (err) {
        stop_saving(group);
        fail(group, &snapshots->save_pause, err, "it cannot be made");
    }
}

/* ---- sending ours ---- */

static struct snapshot_receiver *find_receiver(struct snapshots *snapshots,
                                               uint64_t number)
{
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        if (snapshots->receivers[i].number == number) {
            return &snapshots->receivers[i];
        }
    }
    return NULL;
}

void snapshots_want(struct group *group, uint64_t number)
{
    struct snapshots *snapshots = &group->snapshots;
    struct snapshot_receiver *receiver = find_receiver(snapshots, number);
    if (!receiver) {
        receiver = find_receiver(snapshots, 0);
    }
    for (uint32_t i = 0; !receiver && i < RAFT_MEMBERS_MAX; i++) {
        if (!snapshots->receivers[i].is_wanted) { /* has it, or is gone */
            receiver = &snapshots->receivers[i];
            receiver->piece = 0;
        }
    }
    if (receiver) {
        receiver->number = number;
        receiver->is_wanted = true; /* at the piece that it was at */
    }
}

/* It has all that it needs, or it is too old for it. When nobody is in the
 * middle of it, the next who needs a snapshot gets the newest. */
static void let_go(struct snapshots *snapshots,
                   struct snapshot_receiver *receiver)
{
    bool is_taken = false;
    *receiver = (struct snapshot_receiver){0};
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        is_taken = is_taken || snapshots->receivers[i].piece > 0;
    }
    if (!is_taken) {
        snapshots->sending_until_ns = 0;
    }
}

void snapshots_on_reply(struct group *group, const struct raft_message *message)
{
    struct snapshots *snapshots = &group->snapshots;
    struct snapshot_receiver *receiver =
        find_receiver(snapshots, message->from);
    if (message->needs_snapshot && message->index > snapshots->stored.index) {
        save_soon(group); /* ours is older than what it has lost */
        return;
    }
    if (receiver && message->needs_snapshot &&
        message->index > snapshots->sending.index) {
        let_go(snapshots, receiver);
        return;
    }
    if (!receiver || message->index != snapshots->sending.index) {
        return;
    }
    if (message->hint_index != snapshots->sending_id) {
        receiver->piece = 0; /* it has pieces of one that is no more */
        receiver->is_wanted = true;
    } else if (message->round >= snapshots->sending.piece_count) {
        let_go(snapshots, receiver);
    } else if (message->round != receiver->piece) {
        if (message->round > receiver->piece) {
            snapshots->sending_until_ns =
                clock_now_ns(group->home.clock) + PATIENCE_NS;
        }
        receiver->piece = (uint32_t)message->round;
        receiver->is_wanted = true;
    }
}

/* Send what is being sent, or else, from its beginning, the newest. False:
 * that is yet to be made. */
static bool choose_sending(struct group *group)
{
    struct snapshots *snapshots = &group->snapshots;
    if (is_being_sent(group)) {
        return true;
    }
    if (snapshots->stored.index == 0 ||
        snapshots->stored.index < raft_snapshot_index(group->raft)) {
        save_soon(group);
        return false;
    }
    for (uint32_t i = 0;
         snapshots->sending_id != snapshots->stored_id && i < RAFT_MEMBERS_MAX;
         i++) {
        snapshots->receivers[i].piece = 0;
    }
    snapshots->sending = snapshots->stored;
    snapshots->sending_id = snapshots->stored_id;
    snapshots->sending_until_ns = clock_now_ns(group->home.clock) + PATIENCE_NS;
    return true;
}

static void send_next(struct group *group)
{
    struct snapshots *snapshots = &group->snapshots;
    struct snapshot_job *job = &snapshots->send;
    if (job->step != SNAPSHOT_IDLE) {
        return;
    }
    bool is_leader = raft_role(group->raft) == RAFT_LEADER;
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        struct snapshot_receiver *receiver = &snapshots->receivers[i];
        if (!is_leader) {
            *receiver = (struct snapshot_receiver){0};
        } else if (receiver->is_wanted) {
            if (!choose_sending(group) ||
                is_pausing(group, &snapshots->send_pause)) {
                return;
            }
            receiver->is_wanted = false;
            snapshots->receiver = i;
            job->index = snapshots->sending.index;
            job->piece = receiver->piece;
            run(job, SNAPSHOT_PIECE, read_piece);
            return;
        }
    }
}

/* Whether reading it again will say the same. */
static bool is_lasting(enum err err)
{
    return err && err != ERR_MEMORY && err != ERR_LIMIT && err != ERR_BUSY;
}

/* It is damaged, or the disk does not read it: make another, of the state,
 * which is in memory. */
static void give_up_sending(struct snapshots *snapshots)
{
    if (snapshots->stored.index == snapshots->sending.index) {
        snapshots->stored.index = 0;
    }
    snapshots->sending.index = 0;
}

static void on_read(struct job *base)
{
    struct snapshot_job *job = OWNER_OF(base, struct snapshot_job, job);
    struct group *group = job->group;
    struct snapshots *snapshots = &group->snapshots;
    const struct snapshot_receiver *receiver =
        &snapshots->receivers[snapshots->receiver];
    if (!job->err && receiver->number != 0 &&
        raft_role(group->raft) == RAFT_LEADER &&
        job->index == snapshots->sending.index) {
        group->home.send(
            group->home.context, group,
            &(struct raft_message){.kind = RAFT_SNAPSHOT,
                                   .from = raft_number(group->raft),
                                   .to = receiver->number,
                                   .term = raft_term(group->raft),
                                   .index = job->index,
                                   .log_term = snapshots->sending.term,
                                   .round = job->piece,
                                   .hint_index = snapshots->sending_id,
                                   .is_ok = job->piece + 1 ==
                                            snapshots->sending.piece_count,
                                   .bytes = bytes_of(job->bytes, job->length)});
    }
    if (job->index == snapshots->sending.index && is_lasting(job->err)) {
        give_up_sending(snapshots);
    }
    if (job->err) {
        fail(group, &snapshots->send_pause, job->err, "it cannot be read");
    } else {
        succeed(&snapshots->send_pause);
    }
    rest(job);
    send_next(group);
}

/* ---- taking the leader's ---- */

static void stop_receiving(struct group *group)
{
    struct snapshots *snapshots = &group->snapshots;
    if (snapshots->is_restoring) {
        (void)group->config.machine.restore_end(group->config.machine.context,
                                                false);
        snapshots->is_restoring = false;
    }
    snapshots->receiving = (struct snapshot_head){0};
    snapshots->piece = 0;
}

bool snapshots_stop_receiving(struct group *group)
{
    if (group->snapshots.receive.step != SNAPSHOT_IDLE) {
        return false;
    }
    stop_receiving(group);
    return true;
}

/* And from the beginning, when it is sent again. */
static void fail_receiving(struct group *group, enum err err, const char *what)
{
    stop_receiving(group);
    fail(group, &group->snapshots.receive_pause, err, what);
}

static bool is_of_interest(const struct group *group, uint64_t index)
{
    return raft_role(group->raft) != RAFT_LEADER &&
           (index > raft_commit_index(group->raft) ||
            (!group->has_state && index >= raft_snapshot_index(group->raft)));
}

static void ask_for_piece(struct group *group, const struct raft_message *whose)
{
    group->home.send(
        group->home.context, group,
        &(struct raft_message){.kind = RAFT_SNAPSHOT_REPLY,
                               .from = raft_number(group->raft),
                               .to = whose->from,
                               .term = raft_term(group->raft),
                               .index = whose->index,
                               .round = whose->round,
                               .hint_index = whose->hint_index,
                               .needs_snapshot = !group->has_state});
}

/* Of what is being taken, the next. */
static void ask_for_next(struct group *group)
{
    const struct snapshots *snapshots = &group->snapshots;
    ask_for_piece(
        group, &(struct raft_message){.from = snapshots->sender,
                                      .index = snapshots->receiving.index,
                                      .round = snapshots->piece,
                                      .hint_index = snapshots->receiving_id});
}

/* Of what this is a piece of, the first. */
static void ask_for_first(struct group *group,
                          const struct raft_message *message)
{
    struct raft_message first = *message;
    first.round = 0;
    ask_for_piece(group, &first);
}

/* Of what this is a piece of, none (any more). */
static void ask_for_none(struct group *group,
                         const struct raft_message *message)
{
    struct raft_message none = *message;
    none.round = RAFT_SNAPSHOT_NO_PIECE;
    ask_for_piece(group, &none);
}

/* What the leader has is older than what was lost here. */
static void ask_for_newer(struct group *group, uint64_t to)
{
    group->home.send(
        group->home.context, group,
        &(struct raft_message){.kind = RAFT_SNAPSHOT_REPLY,
                               .from = raft_number(group->raft),
                               .to = to,
                               .term = raft_term(group->raft),
                               .index = raft_snapshot_index(group->raft),
                               .needs_snapshot = true});
}

/* The head of a snapshot: begin to take it. */
static enum err begin_receiving(struct group *group,
                                const struct raft_message *message)
{
    struct snapshots *snapshots = &group->snapshots;
    struct snapshot_head head = {0};
    stop_receiving(group);
    enum err err = snapshot_head_decode(&head, message->bytes);
    if (!err && (head.index != message->index || head.index > INDEX_MAX ||
                 head.term != message->log_term || head.term > message->term ||
                 head.piece_count == 0)) {
        err = ERR_MALFORMED;
    }
    if (!err) {
        err =
            group->config.machine.restore_begin(group->config.machine.context);
    }
    if (!err) {
        snapshots->is_restoring = true;
        snapshots->receiving = head;
        snapshots->receiving_id = message->hint_index;
        snapshots->sender = message->from;
        snapshots->piece = 1;
        snapshots->receive.index = head.index;
    }
    return err;
}

/* All pieces are there: write the head, which makes it whole. */
static enum err finish_receiving(struct group *group)
{
    struct snapshots *snapshots = &group->snapshots;
    uint8_t buffer[SNAPSHOT_HEAD_BYTES_MAX];
    enum err err =
        set_piece(&snapshots->receive, 0,
                  snapshot_head_encode(buffer, &snapshots->receiving));
    if (!err) {
        run(&snapshots->receive, SNAPSHOT_HEAD, write_piece);
    }
    return err;
}

/* The piece that is expected: into the machine, and on its way to the disk. */
static enum err take_piece(struct group *group,
                           const struct raft_message *message)
{
    struct snapshots *snapshots = &group->snapshots;
    enum err err = ERR_NONE;
    if (!message->is_ok || !GROUP_HAS_FAULT(group, SKIP_PIECE)) {
        err = group->config.machine.restore_piece(group->config.machine.context,
                                                  message->bytes);
    }
    if (!err) {
        err = set_piece(&snapshots->receive, snapshots->piece, message->bytes);
    }
    if (!err) {
        run(&snapshots->receive, SNAPSHOT_PIECE, write_piece);
    }
    return err;
}

static bool is_being_received(const struct snapshots *snapshots,
                              const struct raft_message *message)
{
    return snapshots->receiving.index == message->index &&
           snapshots->receiving_id == message->hint_index &&
           snapshots->sender == message->from;
}

void snapshots_on_piece(struct group *group, const struct raft_message *message)
{
    struct snapshots *snapshots = &group->snapshots;
    struct snapshot_job *job = &snapshots->receive;
    bool is_mine = is_being_received(snapshots, message);
    if (message->from == raft_leader(group->raft) && !group->has_state &&
        message->index < raft_snapshot_index(group->raft)) {
        ask_for_newer(group, message->from);
        return;
    }
    if (message->from != raft_leader(group->raft) ||
        job->step != SNAPSHOT_IDLE ||
        is_pausing(group, &snapshots->receive_pause)) {
        return; /* or the last one is still being written */
    }
    if (!is_of_interest(group, message->index)) {
        ask_for_none(group, message);
        return;
    }
    enum err err = ERR_NONE;
    if (message->round == 0 && !is_mine) {
        err = begin_receiving(group, message);
        if (!err && snapshots->receiving.piece_count == 1) {
            err = finish_receiving(group);
        } else if (!err) {
            ask_for_next(group);
        }
    } else if (!is_mine) {
        ask_for_first(group, message);
    } else if (message->round != snapshots->piece) {
        ask_for_next(group);
    } else {
        err = take_piece(group, message);
    }
    if (err) {
        fail_receiving(group, err, "a leader's piece cannot be taken");
    }
}

/* It is on the disk: into the machine with it. What the machine says: then the
 * state is as before. */
static enum err install(struct group *group)
{
    struct snapshots *snapshots = &group->snapshots;
    struct snapshot_head head = snapshots->receiving;
    if (!is_of_interest(group, head.index)) {
        stop_receiving(group);
        return ERR_NONE;
    }
    snapshots->is_restoring = false;
    snapshots->receiving = (struct snapshot_head){0};
    snapshots->piece = 0;
    enum err err =
        group->config.machine.restore_end(group->config.machine.context, true);
    if (err) {
        return err;
    }
    succeed(&snapshots->receive_pause);
    bool is_in = raft_install(group->raft, clock_now_ns(group->home.clock),
                              head.index, head.term, &head.configuration);
    assert(is_in);
    group->has_state = true;
    group->applied = head.index;
    group->applied_term = head.term;
    if (head.stamp_ms > group->stamp_ms) {
        group->stamp_ms = head.stamp_ms;
    }
    set_stored(group, &head);
    return ERR_NONE;
}

/* It was whole, but the machine may have refused it: then it goes again, for
 * its head would be believed after a restart. */
static void finish_install(struct group *group)
{
    struct snapshots *snapshots = &group->snapshots;
    struct snapshot_job *job = &snapshots->receive;
    struct raft_message whose = {.from = snapshots->sender,
                                 .index = snapshots->receiving.index,
                                 .hint_index = snapshots->receiving_id};
    enum err err = install(group);
    if (err) {
        fail_receiving(group, err, "the machine has refused a leader's");
        run(job, SNAPSHOT_DROP, remove_refused);
        return;
    }
    ask_for_none(group, &whose);
    if (snapshots->stored.index == job->index) {
        clean(group, job);
    }
}

static void on_received(struct job *base)
{
    struct snapshot_job *job = OWNER_OF(base, struct snapshot_job, job);
    struct group *group = job->group;
    struct snapshots *snapshots = &group->snapshots;
    enum snapshot_step step = job->step;
    enum err err = job->err;
    rest(job);
    if (step == SNAPSHOT_CLEAN || step == SNAPSHOT_DROP) {
        return; /* loading copes with what is left */
    }
    if (err) {
        fail_receiving(group, err, "a leader's cannot be written");
        return;
    }
    if (snapshots->receiving.index != job->index) {
        stop_receiving(group);
        return;
    }
    if (step == SNAPSHOT_HEAD) {
        finish_install(group);
        group_go_on(group);
        return;
    }
    snapshots->piece++;
    if (snapshots->piece < snapshots->receiving.piece_count) {
        ask_for_next(group);
        return;
    }
    err = finish_receiving(group);
    if (err) {
        fail_receiving(group, err, "a leader's cannot be written");
    }
}

/* ---- beginning ---- */

struct loading {
    struct group *group;
    uint64_t below;            /* of this index or a later one: no good */
    struct snapshot_head head; /* the newest that is whole */
    uint32_t piece;
    enum err err;
};

/* A damaged one is as good as none. */
static bool visit_head(void *context, struct bytes key, struct bytes value)
{
    struct loading *loading = context;
    struct snapshot_head head = {0};
    struct row_key row;
    enum err err = row_key_decode(&row, key);
    if (err || row.piece != 0 || row.snapshot_index >= loading->below) {
        return true;
    }
    err = snapshot_head_decode(&head, value);
    if (!err && head.index == row.snapshot_index) {
        loading->head = head;
    }
    loading->err = err == ERR_MALFORMED ? ERR_NONE : err;
    return !loading->err;
}

static bool visit_piece(void *context, struct bytes key, struct bytes value)
{
    struct loading *loading = context;
    struct group *group = loading->group;
    struct row_key row;
    loading->err = row_key_decode(&row, key);
    if (!loading->err && row.piece != loading->piece) {
        loading->err = ERR_MALFORMED;
    }
    if (!loading->err && loading->piece > 0) {
        loading->err = group->config.machine.restore_piece(
            group->config.machine.context, value);
    }
    loading->piece++;
    return !loading->err && loading->piece < loading->head.piece_count;
}

static enum err load_pieces(struct group *group, struct loading *loading)
{
    const struct kv *kv = group->home.kv;
    struct row_range range;
    enum err err =
        group->config.machine.restore_begin(group->config.machine.context);
    if (err) {
        return err;
    }
    row_range_of_snapshot(&range, group->config.id, loading->head.index);
    err = kv->scan(kv->context, range.from, range.end, visit_piece, loading);
    err = err ? err : loading->err;
    if (!err && loading->piece != loading->head.piece_count) {
        err = ERR_MALFORMED;
    }
    enum err end_err =
        group->config.machine.restore_end(group->config.machine.context, !err);
    return err ? err : end_err;
}

/* The newest below `loading->below`; a head of index 0: none. */
static enum err find_head(struct group *group, struct loading *loading)
{
    const struct kv *kv = group->home.kv;
    struct row_range range;
    row_range_of_kind(&range, group->config.id, ROW_SNAPSHOT_PIECE);
    enum err err =
        kv->scan(kv->context, range.from, range.end, visit_head, loading);
    return err ? err : loading->err;
}

/* One that is damaged, or that the machine refuses, is as good as none: the one
 * before it, which is removed last, may still be there. */
FALLIBLE snapshots_load(struct group *group)
{
    uint64_t below = UINT64_MAX;
    for (;;) {
        struct loading loading = {.group = group, .below = below};
        enum err err = find_head(group, &loading);
        if (!err && loading.head.index != 0) {
            err = load_pieces(group, &loading);
            if (!err) {
                set_stored(group, &loading.head);
            }
        }
        if (err != ERR_MALFORMED || loading.head.index == 0) {
            return err == ERR_MALFORMED ? ERR_NONE : err;
        }
        below = loading.head.index;
    }
}

void snapshots_open(struct group *group)
{
    struct snapshots *snapshots = &group->snapshots;
    struct snapshot_job *const jobs[] = {&snapshots->save, &snapshots->send,
                                         &snapshots->receive};
    for (size_t i = 0; i < 3; i++) {
        *jobs[i] = (struct snapshot_job){
            .job = {.home = group->home.reactor},
            .group = group,
            .kv = group->home.kv,
            .group_id = group->config.id,
        };
    }
    snapshots->save.job.done = on_saved;
    snapshots->send.job.done = on_read;
    snapshots->receive.job.done = on_received;
}

bool snapshots_are_idle(const struct group *group)
{
    const struct snapshots *snapshots = &group->snapshots;
    return snapshots->save.step == SNAPSHOT_IDLE &&
           snapshots->send.step == SNAPSHOT_IDLE &&
           snapshots->receive.step == SNAPSHOT_IDLE;
}

void snapshots_close(struct group *group)
{
    struct snapshots *snapshots = &group->snapshots;
    stop_receiving(group);
    if (snapshots->save.step == SNAPSHOT_PIECE ||
        snapshots->save.step == SNAPSHOT_HEAD) {
        group->config.machine.snapshot_end(group->config.machine.context);
    }
    free(snapshots->save.bytes);
    free(snapshots->send.bytes);
    free(snapshots->receive.bytes);
}

void snapshots_go_on(struct group *group)
{
    const struct snapshots *snapshots = &group->snapshots;
    if (snapshots->receiving.index != 0 &&
        snapshots->receive.step == SNAPSHOT_IDLE &&
        !is_of_interest(group, snapshots->receiving.index)) {
        stop_receiving(group); /* we came by it in another way */
    }
    if (raft_log_bytes(group->raft) > group->config.limits.snapshot_log_bytes +
                                          group->config.raft.keep_bytes &&
        !group->is_failed && !GROUP_HAS_FAULT(group, NO_SNAPSHOT)) {
        save_soon(group);
    }
    send_next(group);
}
