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

#define SAVE_PAUSE_NS NS_PER_S     /* after one that failed */
#define INDEX_MAX (UINT64_MAX / 2) /* what the log takes, too */

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

/* Remove all snapshots older than `index`. */
static void remove_older(struct job *base)
{
    struct snapshot_job *job = OWNER_OF(base, struct snapshot_job, job);
    uint8_t from[KV_KEY_BYTES_MAX];
    uint8_t end[KV_KEY_BYTES_MAX];
    struct kv_change change = {
        .kind = KV_DELETE_RANGE,
        .key = piece_key(from, job->group_id, 0, 0),
        .value = piece_key(end, job->group_id, job->index, 0)};
    job->err = job->kv->write(job->kv->context, &change, 1);
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

/* ---- making one ---- */

/* ERR_BUSY: one is being made or sent, or nothing is new */
FALLIBLE snapshots_save(struct group *group)
{
    struct snapshots *snapshots = &group->snapshots;
    if (snapshots->save.step != SNAPSHOT_IDLE || !group->has_state ||
        snapshots->receiving.index != 0 ||
        group->applied <= snapshots->stored.index) {
        return ERR_BUSY;
    }
    enum err err =
        group->config.machine.snapshot_begin(group->config.machine.context);
    if (err) {
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
    if (clock_now_ns(group->home.clock) >= group->snapshots.save_after_ns) {
        enum err err = snapshots_save(group);
        (void)err;
    }
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
        if (snapshots->saving.index > snapshots->stored.index) {
            snapshots->stored = snapshots->saving;
            raft_compact(group->raft, snapshots->stored.index);
        }
        job->index = snapshots->stored.index;
        run(job, SNAPSHOT_CLEAN, remove_older);
        return;
    }
    if (job->err || save_next(group)) {
        snapshots->save_after_ns =
            clock_now_ns(group->home.clock) + SAVE_PAUSE_NS;
        stop_saving(group);
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

void snapshots_on_reply(struct group *group, const struct raft_message *message)
{
    struct snapshots *snapshots = &group->snapshots;
    struct snapshot_receiver *receiver =
        find_receiver(snapshots, message->from);
    if (message->needs_snapshot && message->index > snapshots->stored.index) {
        save_soon(group); /* ours is older than what it has lost */
        return;
    }
    if (receiver && message->index == snapshots->stored.index &&
        message->round != receiver->piece) {
        receiver->piece =
            message->round <= UINT32_MAX ? (uint32_t)message->round : 0;
        receiver->is_wanted = true;
    }
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
            if (snapshots->stored.index == 0 ||
                snapshots->stored.index < raft_snapshot_index(group->raft)) {
                save_soon(group);
                return;
            }
            if (receiver->piece >= snapshots->stored.piece_count) {
                receiver->piece = 0;
            }
            receiver->is_wanted = false;
            snapshots->receiver = i;
            job->index = snapshots->stored.index;
            job->piece = receiver->piece;
            run(job, SNAPSHOT_PIECE, read_piece);
            return;
        }
    }
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
        job->index == snapshots->stored.index) {
        group->home.send(
            group->home.context, group,
            &(struct raft_message){.kind = RAFT_SNAPSHOT,
                                   .from = raft_number(group->raft),
                                   .to = receiver->number,
                                   .term = raft_term(group->raft),
                                   .index = job->index,
                                   .log_term = snapshots->stored.term,
                                   .round = job->piece,
                                   .is_ok = job->piece + 1 ==
                                            snapshots->stored.piece_count,
                                   .bytes = bytes_of(job->bytes, job->length)});
    }
    if (job->index == snapshots->stored.index &&
        (job->err == ERR_MALFORMED || job->err == ERR_NOT_FOUND)) {
        snapshots->stored.index = 0; /* it is damaged: make another */
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

static bool is_of_interest(const struct group *group, uint64_t index)
{
    return raft_role(group->raft) != RAFT_LEADER &&
           (index > raft_commit_index(group->raft) ||
            (!group->has_state && index >= raft_snapshot_index(group->raft)));
}

static void expect(struct group *group,
                   uint64_t to,
                   uint64_t index,
                   uint32_t piece)
{
    group->home.send(
        group->home.context, group,
        &(struct raft_message){.kind = RAFT_SNAPSHOT_REPLY,
                               .from = raft_number(group->raft),
                               .to = to,
                               .term = raft_term(group->raft),
                               .index = index,
                               .round = piece,
                               .needs_snapshot = !group->has_state});
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

void snapshots_on_piece(struct group *group, const struct raft_message *message)
{
    struct snapshots *snapshots = &group->snapshots;
    struct snapshot_job *job = &snapshots->receive;
    bool is_mine = snapshots->receiving.index == message->index &&
                   snapshots->sender == message->from;
    if (message->from == raft_leader(group->raft) && !group->has_state &&
        message->index < raft_snapshot_index(group->raft)) {
        ask_for_newer(group, message->from);
        return;
    }
    if (message->from != raft_leader(group->raft) ||
        !is_of_interest(group, message->index) || job->step != SNAPSHOT_IDLE) {
        return; /* or the last one is still being written */
    }
    enum err err = ERR_NONE;
    if (message->round == 0 && !is_mine) {
        err = begin_receiving(group, message);
        if (!err && snapshots->receiving.piece_count == 1) {
            err = finish_receiving(group);
        } else if (!err) {
            expect(group, message->from, message->index, snapshots->piece);
        }
    } else if (!is_mine) {
        expect(group, message->from, message->index, 0);
    } else if (message->round != snapshots->piece) {
        expect(group, message->from, message->index, snapshots->piece);
    } else {
        if (!message->is_ok || !GROUP_HAS_FAULT(group, SKIP_PIECE)) {
            err = group->config.machine.restore_piece(
                group->config.machine.context, message->bytes);
        }
        if (!err) {
            err = set_piece(job, snapshots->piece, message->bytes);
        }
        if (!err) {
            run(job, SNAPSHOT_PIECE, write_piece);
        }
    }
    if (err) {
        stop_receiving(group); /* and from the beginning, when sent again */
    }
}

/* It is on the disk: into the machine with it. */
static void install(struct group *group)
{
    struct snapshots *snapshots = &group->snapshots;
    struct snapshot_head head = snapshots->receiving;
    if (!is_of_interest(group, head.index)) {
        stop_receiving(group);
        return;
    }
    snapshots->is_restoring = false;
    snapshots->receiving = (struct snapshot_head){0};
    snapshots->piece = 0;
    if (group->config.machine.restore_end(group->config.machine.context,
                                          true)) {
        return;
    }
    bool is_in = raft_install(group->raft, clock_now_ns(group->home.clock),
                              head.index, head.term, &head.configuration);
    assert(is_in);
    group->has_state = true;
    group->applied = head.index;
    group->applied_term = head.term;
    if (head.stamp_ms > group->stamp_ms) {
        group->stamp_ms = head.stamp_ms;
    }
    snapshots->stored = head;
}

static void on_received(struct job *base)
{
    struct snapshot_job *job = OWNER_OF(base, struct snapshot_job, job);
    struct group *group = job->group;
    struct snapshots *snapshots = &group->snapshots;
    enum snapshot_step step = job->step;
    enum err err = job->err;
    rest(job);
    if (step == SNAPSHOT_CLEAN) {
        return;
    }
    if (err || snapshots->receiving.index != job->index) {
        stop_receiving(group);
        return;
    }
    if (step == SNAPSHOT_HEAD) {
        install(group);
        if (snapshots->stored.index == job->index) {
            run(job, SNAPSHOT_CLEAN, remove_older);
        }
        group_go_on(group);
        return;
    }
    snapshots->piece++;
    if (snapshots->piece < snapshots->receiving.piece_count) {
        expect(group, snapshots->sender, job->index, snapshots->piece);
    } else if (finish_receiving(group)) {
        stop_receiving(group);
    }
}

/* ---- beginning ---- */

struct loading {
    struct group *group;
    struct snapshot_head head; /* the newest that is whole */
    uint32_t piece;
    enum err err;
};

static bool visit_head(void *context, struct bytes key, struct bytes value)
{
    struct loading *loading = context;
    struct snapshot_head head = {0};
    struct row_key row;
    loading->err = row_key_decode(&row, key);
    if (!loading->err && row.piece == 0) {
        loading->err = snapshot_head_decode(&head, value);
        if (!loading->err && head.index != row.snapshot_index) {
            loading->err = ERR_MALFORMED;
        }
        loading->head = head;
    }
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

FALLIBLE snapshots_load(struct group *group)
{
    const struct kv *kv = group->home.kv;
    struct loading loading = {.group = group};
    struct row_range range;
    row_range_of_kind(&range, group->config.id, ROW_SNAPSHOT_PIECE);
    enum err err =
        kv->scan(kv->context, range.from, range.end, visit_head, &loading);
    err = err ? err : loading.err;
    if (!err && loading.head.index != 0) {
        err = load_pieces(group, &loading);
        if (!err) {
            group->snapshots.stored = loading.head;
        }
    }
    /* A damaged snapshot is as good as none. */
    return err == ERR_MALFORMED ? ERR_NONE : err;
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
