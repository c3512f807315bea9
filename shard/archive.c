#include "shard/archive.h"

#include "shard/archive_export.h"

#include <stdlib.h>

#define HEAD_VERSION 1

/* The first byte of an outcome. Replicas of other releases read it, too. */
enum outcome_tag {
    OUTCOME_OF_MACHINE = 0,
    OUTCOME_OF_ARCHIVE = 1, /* a struct archive_ask */
    OUTCOME_GIVES_UP = 2,   /* a restore; then the machine's, if any */
};

/* The one that is under way, or how the last one ended. */
struct restore {
    enum archive_state state;
    uint64_t session; /* 0: there was none */
    uint32_t piece_count;
    uint64_t digest;
    int64_t moved_ms; /* stamp of its last step */
};

struct archive {
    struct machine inner;
    uint64_t index; /* applied last */
    struct restore applied;
    bool is_restoring; /* the machine takes pieces of `applied` */

    /* The leader's. */
    struct restore planned; /* `applied`, and what is decided beyond it */
    uint32_t pending;       /* outcomes of ours, decided and not applied */
    struct archive_export exporting;

    /* The group's own snapshots. */
    bool is_saving;
    bool is_head_written;
    bool is_loading;
    bool is_head_read;
    uint64_t head_index; /* as read */
    struct restore head_restore;
};

/* ---- questions ---- */

static enum err answer_begin(struct archive *archive,
                             const struct archive_ask *ask,
                             struct archive_answer *out)
{
    if (archive->is_saving || archive->is_loading) {
        return ERR_BUSY; /* there is no export: these have ended it */
    }
    return archive_export_answer_begin(&archive->exporting, ask, archive->index,
                                       out);
}

static void answer_look(const struct archive *archive,
                        const struct archive_ask *ask,
                        struct archive_answer *out)
{
    if (archive->applied.session == ask->session) {
        out->state = archive->applied.state;
        out->piece = archive->applied.piece_count;
    }
}

static enum err answer(struct archive *archive,
                       struct bytes bytes,
                       struct writer *to)
{
    struct archive_ask ask;
    struct archive_answer out = {.state = ARCHIVE_GONE};
    enum err err = archive_ask_decode(&ask, bytes);
    if (err) {
        return err;
    }
    switch (ask.kind) {
    case ARCHIVE_EXPORT_BEGIN:
        err = answer_begin(archive, &ask, &out);
        break;
    case ARCHIVE_EXPORT_PIECE:
        err = archive_export_answer_piece(&archive->exporting, &ask, &out);
        break;
    case ARCHIVE_EXPORT_END:
        archive_export_answer_end(&archive->exporting, &ask);
        break;
    case ARCHIVE_RESTORE_LOOK:
        answer_look(archive, &ask, &out);
        break;
    default:
        return ERR_MALFORMED; /* a command */
    }
    if (!err) {
        archive_answer_encode(&out, to);
    }
    return !err && to->failed ? ERR_TOO_LARGE : err;
}

static enum err on_read(void *context, struct bytes question, struct writer *to)
{
    struct archive *archive = context;
    struct reader reader = reader_of(question);
    uint8_t target = read_u8(&reader);
    struct bytes rest = bytes_of(reader.next, reader_left(&reader));
    if (reader.failed || target > ARCHIVE_FOR_ARCHIVE) {
        return ERR_MALFORMED;
    }
    return target == ARCHIVE_FOR_MACHINE
               ? archive->inner.read(archive->inner.context, rest, to)
               : answer(archive, rest, to);
}

/* ---- deciding ---- */

/* Nothing else may be decided: a restore is under way, or its last step is. */
static bool is_closed(const struct archive *archive)
{
    return archive->planned.state == ARCHIVE_OPEN || archive->pending > 0;
}

/* All that is left of an outcome's room. */
static struct writer rest_of(const struct writer *writer)
{
    return (struct writer){.start = writer->next,
                           .next = writer->next,
                           .end = writer->end,
                           .failed = writer->failed};
}

/* The machine's own decision, behind a byte that says so. */
static enum err decide_within(struct archive *archive,
                              const struct machine_stamp *stamp,
                              struct bytes command,
                              struct machine_decision *decision)
{
    bool gives_up = is_closed(archive);
    struct writer *outcome = &decision->outcome;
    write_u8(outcome, gives_up ? OUTCOME_GIVES_UP : OUTCOME_OF_MACHINE);
    if (outcome->failed) {
        return ERR_TOO_LARGE;
    }
    struct machine_decision inner = {.outcome = rest_of(outcome),
                                     .reply = decision->reply};
    enum err err =
        archive->inner.decide(archive->inner.context, stamp, command, &inner);
    decision->reply = inner.reply;
    bool is_empty = inner.outcome.next == inner.outcome.start;
    outcome->next =
        err || (is_empty && !gives_up) ? outcome->start : inner.outcome.next;
    outcome->failed = inner.outcome.failed;
    if (!err && gives_up) {
        archive->planned.state = ARCHIVE_GONE;
        archive->pending++;
    }
    return err;
}

static enum err decide_command(struct archive *archive,
                               const struct machine_stamp *stamp,
                               struct bytes command,
                               struct machine_decision *decision)
{
    bool is_idle =
        archive->pending == 0 &&
        stamp->wall_ms - archive->planned.moved_ms > ARCHIVE_RESTORE_IDLE_MS;
    if (is_closed(archive) && !is_idle) {
        return ERR_BUSY;
    }
    if (archive_export_is_left(&archive->exporting)) {
        archive_export_end(&archive->exporting);
    }
    return decide_within(archive, stamp, command, decision);
}

/* What a step makes of a restore. False: nothing, it is done or too late. */
typedef bool plan_step(struct restore *restore, const struct archive_ask *ask);

static bool plan_begin(struct restore *restore, const struct archive_ask *ask)
{
    if (restore->session == ask->session) {
        return false;
    }
    *restore = (struct restore){.state = ARCHIVE_OPEN, .session = ask->session};
    return true;
}

static bool plan_piece(struct restore *restore, const struct archive_ask *ask)
{
    if (restore->piece_count != ask->piece) {
        return false;
    }
    restore->piece_count++;
    restore->digest = archive_digest(restore->digest, ask->bytes);
    return true;
}

static bool plan_end(struct restore *restore, const struct archive_ask *ask)
{
    bool is_whole =
        restore->piece_count == ask->piece && restore->digest == ask->digest;
    restore->state = is_whole ? ARCHIVE_DONE : ARCHIVE_UNFIT;
    return true;
}

static bool plan_abort(struct restore *restore, const struct archive_ask *ask)
{
    (void)ask;
    restore->state = ARCHIVE_GONE;
    return true;
}

/* Only a beginning is for a restore that is not open yet. */
static bool plan(struct restore *restore,
                 const struct archive_ask *ask,
                 int64_t wall_ms)
{
    static plan_step *const steps[ARCHIVE_KIND_COUNT] = {
        [ARCHIVE_RESTORE_BEGIN] = plan_begin,
        [ARCHIVE_RESTORE_PIECE] = plan_piece,
        [ARCHIVE_RESTORE_END] = plan_end,
        [ARCHIVE_RESTORE_ABORT] = plan_abort,
    };
    bool is_open =
        restore->state == ARCHIVE_OPEN && restore->session == ask->session;
    if (!(is_open || ask->kind == ARCHIVE_RESTORE_BEGIN) ||
        !steps[ask->kind](restore, ask)) {
        return false;
    }
    restore->moved_ms = wall_ms;
    return true;
}

static void write_state(const struct restore *restore,
                        uint64_t session,
                        struct writer *reply)
{
    bool is_its = restore->session == session;
    archive_answer_encode(
        &(struct archive_answer){.state =
                                     is_its ? restore->state : ARCHIVE_GONE,
                                 .piece = is_its ? restore->piece_count : 0},
        reply);
}

static enum err decide_step(struct archive *archive,
                            const struct machine_stamp *stamp,
                            struct bytes command,
                            struct machine_decision *decision)
{
    struct archive_ask ask;
    struct restore planned = archive->planned;
    enum err err = archive_ask_decode(&ask, command);
    if (err || ask.kind < ARCHIVE_RESTORE_BEGIN) {
        return err ? err : ERR_MALFORMED;
    }
    if (ask.kind == ARCHIVE_RESTORE_END && archive->pending > 0) {
        return ERR_BUSY; /* whether the machine took all shows when applied */
    }
    bool moves = plan(&planned, &ask, stamp->wall_ms);
    if (moves) {
        write_u8(&decision->outcome, OUTCOME_OF_ARCHIVE);
        write_bytes(&decision->outcome, command.data, command.length);
    }
    write_state(&planned, ask.session, &decision->reply);
    if (decision->outcome.failed || decision->reply.failed) {
        return ERR_TOO_LARGE;
    }
    archive->planned = planned;
    archive->pending += moves;
    return ERR_NONE;
}

static enum err on_decide(void *context,
                          const struct machine_stamp *stamp,
                          struct bytes command,
                          struct machine_decision *decision)
{
    struct archive *archive = context;
    struct reader reader = reader_of(command);
    uint8_t target = read_u8(&reader);
    struct bytes rest = bytes_of(reader.next, reader_left(&reader));
    if (reader.failed || target > ARCHIVE_FOR_ARCHIVE) {
        return ERR_MALFORMED;
    }
    return target == ARCHIVE_FOR_MACHINE
               ? decide_command(archive, stamp, rest, decision)
               : decide_step(archive, stamp, rest, decision);
}

static void on_drop(void *context)
{
    struct archive *archive = context;
    archive->planned = archive->applied;
    archive->pending = 0;
    archive_export_end(&archive->exporting); /* whoever leads next has none */
    archive->inner.drop(archive->inner.context);
}

/* ---- applying ---- */

static void stop_restoring(struct archive *archive)
{
    if (archive->is_restoring) {
        (void)archive->inner.restore_end(archive->inner.context, false);
        archive->is_restoring = false;
    }
}

/* A snapshot that was coming while the log went on: the group is told when it
 * brings the next piece, and has it sent again. */
static void stop_loading(struct archive *archive)
{
    if (archive->is_loading) {
        (void)archive->inner.restore_end(archive->inner.context, false);
        archive->is_loading = false;
    }
}

/* What the machine refuses is told to whoever asks; the state is as before. */
static enum err settle(struct archive *archive, enum err err)
{
    if (err == ERR_MALFORMED) {
        stop_restoring(archive);
        archive->applied.state = ARCHIVE_UNFIT;
        return ERR_NONE;
    }
    return err;
}

static enum err apply_begin(struct archive *archive)
{
    stop_restoring(archive);
    stop_loading(archive);
    archive_export_end(&archive->exporting);
    enum err err = archive->inner.restore_begin(archive->inner.context);
    archive->is_restoring = !err;
    return err;
}

static enum err apply_end(struct archive *archive)
{
    if (archive->applied.state != ARCHIVE_DONE) {
        stop_restoring(archive); /* not what was announced */
        return ERR_NONE;
    }
    archive->is_restoring = false;
    archive_export_end(&archive->exporting);
    return settle(archive,
                  archive->inner.restore_end(archive->inner.context, true));
}

/* A replica that lost the pieces to a snapshot which then did not come must
 * not go on: it would end with another state than the others. */
static enum err apply_step(struct archive *archive,
                           const struct archive_ask *ask)
{
    if (ask->kind == ARCHIVE_RESTORE_BEGIN) {
        return apply_begin(archive);
    }
    if (ask->kind == ARCHIVE_RESTORE_ABORT) {
        stop_restoring(archive);
        return ERR_NONE;
    }
    if (!archive->is_restoring) {
        return ERR_MALFORMED;
    }
    if (ask->kind == ARCHIVE_RESTORE_PIECE) {
        return settle(archive, archive->inner.restore_piece(
                                   archive->inner.context, ask->bytes));
    }
    return apply_end(archive);
}

/* Steps behind one that the machine has refused change nothing. */
static enum err apply_ask(struct archive *archive,
                          const struct machine_stamp *stamp,
                          struct bytes bytes)
{
    struct archive_ask ask;
    enum err err = archive_ask_decode(&ask, bytes);
    if (err || ask.kind < ARCHIVE_RESTORE_BEGIN) {
        return ERR_MALFORMED;
    }
    return plan(&archive->applied, &ask, stamp->wall_ms)
               ? apply_step(archive, &ask)
               : ERR_NONE;
}

static enum err apply_within(struct archive *archive,
                             uint64_t index,
                             const struct machine_stamp *stamp,
                             struct bytes outcome)
{
    return archive->inner.apply(archive->inner.context, index, stamp, outcome);
}

static enum err apply_giving_up(struct archive *archive,
                                uint64_t index,
                                const struct machine_stamp *stamp,
                                struct bytes outcome)
{
    stop_restoring(archive);
    archive->applied.state = ARCHIVE_GONE;
    return outcome.length > 0 ? apply_within(archive, index, stamp, outcome)
                              : ERR_NONE;
}

/* One of ours is applied: when none is under way, nothing is planned. */
static void catch_up(struct archive *archive)
{
    archive->pending -= archive->pending > 0;
    if (archive->pending == 0) {
        archive->planned = archive->applied;
    }
}

static enum err on_apply(void *context,
                         uint64_t index,
                         const struct machine_stamp *stamp,
                         struct bytes outcome)
{
    struct archive *archive = context;
    struct reader reader = reader_of(outcome);
    uint8_t tag = read_u8(&reader);
    struct bytes rest = bytes_of(reader.next, reader_left(&reader));
    enum err err = ERR_MALFORMED;
    archive->index = index;
    if (reader.failed) {
        return ERR_MALFORMED;
    }
    if (tag == OUTCOME_OF_MACHINE) {
        return apply_within(archive, index, stamp, rest);
    }
    if (tag == OUTCOME_OF_ARCHIVE) {
        err = apply_ask(archive, stamp, rest);
    } else if (tag == OUTCOME_GIVES_UP) {
        err = apply_giving_up(archive, index, stamp, rest);
    }
    catch_up(archive);
    return err;
}

/* ---- the group's snapshots: a piece of ours, then the machine's ---- */

static enum err on_snapshot_begin(void *context)
{
    struct archive *archive = context;
    if (archive->applied.state == ARCHIVE_OPEN ||
        archive_export_is_read(&archive->exporting)) {
        return ERR_BUSY;
    }
    archive_export_end(&archive->exporting);
    enum err err = archive->inner.snapshot_begin(archive->inner.context);
    archive->is_saving = !err;
    archive->is_head_written = false;
    return err;
}

static enum err on_snapshot_next(void *context, struct writer *piece)
{
    struct archive *archive = context;
    if (archive->is_head_written) {
        return archive->inner.snapshot_next(archive->inner.context, piece);
    }
    write_u8(piece, HEAD_VERSION);
    write_u64(piece, archive->index);
    write_u8(piece, (uint8_t)archive->applied.state);
    write_u64(piece, archive->applied.session);
    write_u32(piece, archive->applied.piece_count);
    archive->is_head_written = !piece->failed;
    return piece->failed ? ERR_TOO_LARGE : ERR_NONE;
}

static void on_snapshot_end(void *context)
{
    struct archive *archive = context;
    archive->is_saving = false;
    archive->inner.snapshot_end(archive->inner.context);
}

static enum err on_restore_begin(void *context)
{
    struct archive *archive = context;
    stop_restoring(archive);
    archive_export_end(&archive->exporting);
    enum err err = archive->inner.restore_begin(archive->inner.context);
    archive->is_loading = !err;
    archive->is_head_read = false;
    return err;
}

static enum err read_head(struct archive *archive, struct bytes piece)
{
    struct reader reader = reader_of(piece);
    uint8_t version = read_u8(&reader);
    archive->head_index = read_u64(&reader);
    uint8_t state = read_u8(&reader);
    archive->head_restore = (struct restore){.state = (enum archive_state)state,
                                             .session = read_u64(&reader),
                                             .piece_count = read_u32(&reader)};
    if (reader.failed || reader_left(&reader) > 0 || version != HEAD_VERSION ||
        state >= ARCHIVE_STATE_COUNT || state == ARCHIVE_OPEN) {
        return ERR_MALFORMED;
    }
    archive->is_head_read = true;
    return ERR_NONE;
}

static enum err on_restore_piece(void *context, struct bytes piece)
{
    struct archive *archive = context;
    if (!archive->is_loading) {
        return ERR_BUSY; /* the log has begun a restore meanwhile */
    }
    return archive->is_head_read
               ? archive->inner.restore_piece(archive->inner.context, piece)
               : read_head(archive, piece);
}

static enum err on_restore_end(void *context, bool is_whole)
{
    struct archive *archive = context;
    bool is_good = is_whole && archive->is_head_read;
    if (!archive->is_loading) {
        return is_whole ? ERR_BUSY : ERR_NONE;
    }
    enum err err = archive->inner.restore_end(archive->inner.context, is_good);
    archive->is_loading = false;
    if (is_good && !err) {
        archive->index = archive->head_index;
        archive->applied = archive->head_restore;
        archive->planned = archive->applied;
        archive->pending = 0;
    }
    return !err && is_whole && !is_good ? ERR_MALFORMED : err;
}

/* ---- life ---- */

struct archive *archive_open(const struct machine *inner,
                             const struct clock *clock)
{
    struct archive *archive = calloc(1, sizeof *archive);
    if (archive) {
        archive->inner = *inner;
        archive_export_init(&archive->exporting, inner, clock);
    }
    return archive;
}

void archive_close(struct archive **archive)
{
    if (!*archive) {
        return;
    }
    archive_export_end(&(*archive)->exporting);
    stop_restoring(*archive);
    free(*archive);
    *archive = NULL;
}

struct machine archive_machine(struct archive *archive)
{
    return (struct machine){
        .context = archive,
        .decide = on_decide,
        .apply = on_apply,
        .drop = on_drop,
        .read = on_read,
        .snapshot_begin = on_snapshot_begin,
        .snapshot_next = on_snapshot_next,
        .snapshot_end = on_snapshot_end,
        .restore_begin = on_restore_begin,
        .restore_piece = on_restore_piece,
        .restore_end = on_restore_end,
    };
}
