/*
 * A snapshot:
 *
 *   [format, lines ever, view, [[at, who, text, ...] ...], ...]
 *
 * with the view as view_encode() has it, within a byte string, and the newest
 * lines of the journal. It is encoded when it is begun, so that the view may
 * change while it is given out.
 */

#include "shard/meta.h"

#include "base/pack.h"
#include "base/scope.h"
#include "base/utf8.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT 1
#define SNAPSHOT_FIELDS 4
#define LINE_FIELDS 3
#define HEADS_BYTES_MAX 64
#define LINE_BYTES_MAX (VIEW_WHO_BYTES + VIEW_TEXT_BYTES + 32)

/* The newest lines: number n is at (n - 1) % META_JOURNAL_MAX. */
struct journal {
    struct meta_line *lines;
    uint64_t count; /* ever */
};

struct meta {
    struct meta_events events;
    struct view *view; /* applied */
    struct journal journal;

    /* Of the leader. */
    struct view *speculation; /* with all that is decided; NULL: nothing is
                                 under way */
    uint64_t pending_count;   /* decided and not applied */
    struct err_detail why;

    uint8_t *snapshot;
    size_t snapshot_bytes;
    size_t given_bytes; /* of it */

    uint8_t *restored;
    size_t restored_bytes;
    size_t restored_capacity;
    bool is_restoring;
};

/* ---- the journal ---- */

static enum err journal_init(struct journal *journal)
{
    journal->lines = calloc(META_JOURNAL_MAX, sizeof *journal->lines);
    return journal->lines ? ERR_NONE : ERR_MEMORY;
}

static void journal_clear(struct journal *journal)
{
    free(journal->lines);
    *journal = (struct journal){0};
}

static struct meta_line *journal_line(const struct journal *journal,
                                      uint64_t number)
{
    return &journal->lines[(number - 1) % META_JOURNAL_MAX];
}

static uint64_t journal_oldest(const struct journal *journal)
{
    return journal->count > META_JOURNAL_MAX
               ? journal->count - META_JOURNAL_MAX + 1
               : 1;
}

/* The next line, to be filled. */
static struct meta_line *journal_add(struct journal *journal)
{
    journal->count++;
    struct meta_line *line = journal_line(journal, journal->count);
    *line = (struct meta_line){.number = journal->count};
    return line;
}

/* ---- deciding ---- */

static void drop_speculation(struct meta *meta)
{
    view_close(&meta->speculation);
    meta->pending_count = 0;
}

static void on_drop(void *context)
{
    drop_speculation(context);
}

/* Take a change that may happen into the speculation. */
static enum err speculate(struct meta *meta, const struct view_change *change)
{
    enum err err = ERR_NONE;
    if (!meta->speculation) {
        assert(meta->pending_count == 0);
        err = view_copy(&meta->speculation, meta->view);
    }
    if (!err) {
        err = view_change(meta->speculation, change);
    }
    if (!err) {
        meta->pending_count++;
    } else if (meta->pending_count == 0) {
        view_close(&meta->speculation);
    }
    return err;
}

static enum err on_decide(void *context,
                          const struct machine_stamp *stamp,
                          struct bytes command,
                          struct machine_decision *decision)
{
    struct meta *meta = context;
    const struct view *newest =
        meta->speculation ? meta->speculation : meta->view;
    scoped(view_change_clear) struct view_change change = {0};
    meta->why = (struct err_detail){0};
    enum err err = view_change_decode(&change, command);
    if (err) {
        err_explain(&meta->why, "the change cannot be read: %s", err_text(err));
        return err;
    }
    change.at_ms = stamp->wall_ms;
    if (change.kind == VIEW_MEMBER_ADD) {
        change.member.number = members_free_number(&newest->members);
    }
    err = view_check(newest, &change, &meta->why);
    if (err) {
        return err;
    }
    view_change_encode(&change, &decision->outcome);
    if (change.kind == VIEW_MEMBER_ADD) {
        pack_uint(&decision->reply, change.member.number);
    }
    if (decision->outcome.failed || decision->reply.failed) {
        return ERR_TOO_LARGE;
    }
    return speculate(meta, &change);
}

/* ---- applying and reading ---- */

static void tell(const struct meta *meta)
{
    if (meta->events.on_view) {
        meta->events.on_view(meta->events.context, meta->view);
    }
}

static void note(struct journal *journal, const struct view_change *change)
{
    if (change->text[0] == '\0') {
        return;
    }
    struct meta_line *line = journal_add(journal);
    line->at_ms = change->at_ms;
    memcpy(line->who, change->who, sizeof line->who);
    memcpy(line->text, change->text, sizeof line->text);
}

static enum err on_apply(void *context,
                         uint64_t index,
                         const struct machine_stamp *stamp,
                         struct bytes outcome)
{
    struct meta *meta = context;
    scoped(view_change_clear) struct view_change change = {0};
    uint64_t version = meta->view->version;
    (void)index;
    (void)stamp; /* it stands in the outcome */
    enum err err = view_change_decode(&change, outcome);
    if (err) {
        return err;
    }
    if (view_check(meta->view, &change, NULL) ||
        (change.kind == VIEW_MEMBER_ADD &&
         change.member.number == MEMBER_NONE)) {
        return ERR_MALFORMED; /* no leader has decided this */
    }
    err = view_change(meta->view, &change);
    if (err) {
        return err;
    }
    note(&meta->journal, &change);
    meta->pending_count -= meta->pending_count > 0;
    if (meta->pending_count == 0) {
        drop_speculation(meta);
    }
    if (meta->view->version != version) {
        tell(meta);
    }
    return ERR_NONE;
}

static enum err on_read(void *context,
                        struct bytes question,
                        struct writer *answer)
{
    (void)context;
    (void)question;
    (void)answer;
    return ERR_INVALID; /* every node reads its copy */
}

/* ---- giving out a snapshot ---- */

static void encode_lines(const struct journal *journal, struct writer *writer)
{
    uint64_t oldest = journal_oldest(journal);
    pack_array(writer, (uint32_t)(journal->count + 1 - oldest));
    for (uint64_t number = oldest; number <= journal->count; number++) {
        const struct meta_line *line = journal_line(journal, number);
        pack_record(writer, LINE_FIELDS);
        pack_int(writer, line->at_ms);
        pack_text(writer, line->who);
        pack_text(writer, line->text);
        pack_record_end(writer);
    }
}

/* Into a buffer of its own, since its length stands before it. */
static enum err encode_view(const struct view *view, struct writer *writer)
{
    size_t capacity = view_bytes_max(view);
    uint8_t *buffer = malloc(capacity);
    if (!buffer) {
        return ERR_MEMORY;
    }
    struct writer own = writer_of(buffer, capacity);
    view_encode(view, &own);
    assert(!own.failed);
    pack_bin(writer, writer_bytes(&own));
    free(buffer);
    return ERR_NONE;
}

static void on_snapshot_end(void *context)
{
    struct meta *meta = context;
    free(meta->snapshot);
    meta->snapshot = NULL;
    meta->snapshot_bytes = 0;
    meta->given_bytes = 0;
}

static enum err on_snapshot_begin(void *context)
{
    struct meta *meta = context;
    assert(!meta->snapshot);
    uint64_t kept_count =
        meta->journal.count + 1 - journal_oldest(&meta->journal);
    size_t capacity = HEADS_BYTES_MAX + view_bytes_max(meta->view) +
                      (size_t)kept_count * LINE_BYTES_MAX;
    meta->snapshot = malloc(capacity);
    if (!meta->snapshot) {
        return ERR_MEMORY;
    }
    struct writer writer = writer_of(meta->snapshot, capacity);
    pack_record(&writer, SNAPSHOT_FIELDS);
    pack_uint(&writer, FORMAT);
    pack_uint(&writer, meta->journal.count);
    enum err err = encode_view(meta->view, &writer);
    if (err) {
        on_snapshot_end(meta);
        return err;
    }
    encode_lines(&meta->journal, &writer);
    pack_record_end(&writer);
    assert(!writer.failed);
    meta->snapshot_bytes = writer_bytes(&writer).length;
    return ERR_NONE;
}

static enum err on_snapshot_next(void *context, struct writer *piece)
{
    struct meta *meta = context;
    assert(meta->snapshot);
    size_t left = meta->snapshot_bytes - meta->given_bytes;
    size_t room = (size_t)(piece->end - piece->next);
    size_t length = left < META_PIECE_BYTES ? left : META_PIECE_BYTES;
    length = length < room ? length : room;
    if (left > 0 && length == 0) {
        return ERR_TOO_LARGE;
    }
    write_bytes(piece, meta->snapshot + meta->given_bytes, length);
    meta->given_bytes += length;
    return ERR_NONE;
}

/* ---- taking one ---- */

static void forget_restored(struct meta *meta)
{
    free(meta->restored);
    meta->restored = NULL;
    meta->restored_bytes = 0;
    meta->restored_capacity = 0;
    meta->is_restoring = false;
}

static enum err on_restore_begin(void *context)
{
    struct meta *meta = context;
    assert(!meta->is_restoring);
    meta->is_restoring = true;
    return ERR_NONE;
}

static enum err on_restore_piece(void *context, struct bytes piece)
{
    struct meta *meta = context;
    assert(meta->is_restoring);
    if (piece.length > META_SNAPSHOT_BYTES_MAX - meta->restored_bytes) {
        return ERR_MALFORMED;
    }
    size_t needed = meta->restored_bytes + piece.length;
    if (needed > meta->restored_capacity) {
        size_t capacity = 2 * meta->restored_capacity;
        capacity = capacity > needed ? capacity : needed;
        uint8_t *more = realloc(meta->restored, capacity);
        if (!more) {
            return ERR_MEMORY;
        }
        meta->restored = more;
        meta->restored_capacity = capacity;
    }
    if (piece.length > 0) {
        memcpy(meta->restored + meta->restored_bytes, piece.data, piece.length);
    }
    meta->restored_bytes = needed;
    return ERR_NONE;
}

static void decode_line(struct meta_line *line, struct reader *reader)
{
    uint32_t field_count = pack_read_array_of(reader, LINE_FIELDS, UINT32_MAX);
    line->at_ms = pack_read_int(reader);
    pack_read_text(reader, line->who, sizeof line->who);
    pack_read_text(reader, line->text, sizeof line->text);
    if (!utf8_is_printable(line->who) || !utf8_is_printable(line->text)) {
        reader->failed = true;
    }
    if (!reader->failed) {
        pack_skip_count(reader, field_count - LINE_FIELDS);
    }
}

/* `count` lines ever. There may be more of them than are kept here. */
static enum err decode_lines(struct journal *out,
                             uint64_t count,
                             struct reader *reader)
{
    uint32_t line_count = pack_read_array_of(reader, 0, UINT32_MAX);
    if (reader->failed || line_count > count ||
        line_count < (count < META_JOURNAL_MAX ? count : META_JOURNAL_MAX)) {
        return ERR_MALFORMED;
    }
    enum err err = journal_init(out);
    if (err) {
        return err;
    }
    out->count = count - line_count;
    for (uint32_t i = 0; i < line_count && !reader->failed; i++) {
        decode_line(journal_add(out), reader);
    }
    return reader->failed ? ERR_MALFORMED : ERR_NONE;
}

static enum err decode_snapshot(struct view **view,
                                struct journal *journal,
                                struct bytes bytes)
{
    struct reader reader = reader_of(bytes);
    uint32_t more = 0;
    enum err err = pack_read_version(&reader, FORMAT, SNAPSHOT_FIELDS, &more);
    if (err) {
        return err;
    }
    uint64_t line_count = pack_read_uint_to(&reader, INT64_MAX);
    struct bytes view_bytes = pack_read_bin(&reader);
    if (reader.failed) {
        return ERR_MALFORMED;
    }
    err = view_decode(view, view_bytes);
    if (!err) {
        err = decode_lines(journal, line_count, &reader);
    }
    if (err) {
        return err;
    }
    pack_skip_count(&reader, more);
    return reader.failed || reader_left(&reader) > 0 ? ERR_MALFORMED : ERR_NONE;
}

static enum err install(struct meta *meta)
{
    scoped(view_close) struct view *view = NULL;
    scoped(journal_clear) struct journal journal = {0};
    enum err err = decode_snapshot(
        &view, &journal, bytes_of(meta->restored, meta->restored_bytes));
    if (err) {
        return err;
    }
    struct view *old_view = meta->view;
#ifdef TROUPE_FAULTS
    view->fault = meta->events.fault;
#endif
    struct journal old_journal = meta->journal;
    meta->view = view;
    meta->journal = journal;
    view = old_view; /* freed on leaving */
    journal = old_journal;
    drop_speculation(meta);
    return ERR_NONE;
}

static enum err on_restore_end(void *context, bool is_whole)
{
    struct meta *meta = context;
    assert(meta->is_restoring);
    enum err err = is_whole ? install(meta) : ERR_NONE;
    forget_restored(meta);
    if (is_whole && !err) {
        tell(meta);
    }
    return err;
}

/* ---- life ---- */

enum err meta_open(struct meta **out, const struct meta_events *events)
{
    scoped(meta_close) struct meta *meta = calloc(1, sizeof *meta);
    if (!meta) {
        return ERR_MEMORY;
    }
    meta->events = *events;
    enum err err = view_open(&meta->view);
    if (!err) {
        err = journal_init(&meta->journal);
    }
    if (err) {
        return err;
    }
#ifdef TROUPE_FAULTS
    meta->view->fault = events->fault;
#endif
    *out = meta;
    meta = NULL; /* the caller owns it now */
    return ERR_NONE;
}

void meta_close(struct meta **meta)
{
    if (!*meta) {
        return;
    }
    view_close(&(*meta)->view);
    view_close(&(*meta)->speculation);
    journal_clear(&(*meta)->journal);
    on_snapshot_end(*meta);
    forget_restored(*meta);
    free(*meta);
    *meta = NULL;
}

struct machine meta_machine(struct meta *meta)
{
    return (struct machine){
        .context = meta,
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

/* ---- what is applied ---- */

const struct view *meta_view(const struct meta *meta)
{
    return meta->view;
}

void meta_journal_each(const struct meta *meta,
                       uint64_t number,
                       void (*visit)(void *context,
                                     const struct meta_line *line),
                       void *context)
{
    uint64_t oldest = journal_oldest(&meta->journal);
    uint64_t next = number > oldest ? number : oldest;
    for (; next <= meta->journal.count; next++) {
        visit(context, journal_line(&meta->journal, next));
    }
}

const char *meta_why(const struct meta *meta)
{
    return meta->why.text;
}
