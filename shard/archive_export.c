#include "shard/archive_export.h"

#include "base/time_units.h"

#include <stdlib.h>

void archive_export_init(struct archive_export *out,
                         const struct machine *machine,
                         const struct clock *clock)
{
    *out = (struct archive_export){.machine = *machine, .clock = clock};
}

static void end_snapshot(struct archive_export *exporting)
{
    if (exporting->is_begun) {
        exporting->machine.snapshot_end(exporting->machine.context);
        exporting->is_begun = false;
    }
}

void archive_export_end(struct archive_export *exporting)
{
    struct machine machine = exporting->machine;
    end_snapshot(exporting);
    free(exporting->piece);
    archive_export_init(exporting, &machine, exporting->clock);
}

static bool is_idle(const struct archive_export *exporting)
{
    return clock_now_ns(exporting->clock) - exporting->moved_ns >=
           ARCHIVE_EXPORT_IDLE_MS * NS_PER_MS;
}

bool archive_export_is_read(const struct archive_export *exporting)
{
    return exporting->is_begun && !is_idle(exporting);
}

bool archive_export_is_left(const struct archive_export *exporting)
{
    return exporting->is_begun && is_idle(exporting);
}

static enum err begin(struct archive_export *exporting,
                      uint64_t session,
                      uint64_t index)
{
    const struct machine *machine = &exporting->machine;
    archive_export_end(exporting);
    exporting->piece = malloc(ARCHIVE_PIECE_BYTES_MAX);
    if (!exporting->piece) {
        return ERR_MEMORY;
    }
    enum err err = machine->snapshot_begin(machine->context);
    exporting->is_begun = !err;
    if (err) {
        archive_export_end(exporting);
        return err;
    }
    exporting->session = session;
    exporting->index = index;
    return ERR_NONE;
}

enum err archive_export_answer_begin(struct archive_export *exporting,
                                     const struct archive_ask *ask,
                                     uint64_t index,
                                     struct archive_answer *out)
{
    bool is_ours = exporting->session == ask->session;
    if (!is_ours && archive_export_is_read(exporting)) {
        out->state = ARCHIVE_TAKEN;
        return ERR_NONE;
    }
    if (!is_ours) {
        enum err err = begin(exporting, ask->session, index);
        if (err) {
            return err;
        }
    }
    exporting->moved_ns = clock_now_ns(exporting->clock);
    out->state = ARCHIVE_OPEN;
    out->index = exporting->index;
    return ERR_NONE;
}

/* It takes the place of the last one; behind the last there is none. */
static enum err next_piece(struct archive_export *exporting)
{
    const struct machine *machine = &exporting->machine;
    struct writer piece = writer_of(exporting->piece, ARCHIVE_PIECE_BYTES_MAX);
    enum err err = machine->snapshot_next(machine->context, &piece);
    if (err || piece.failed) {
        archive_export_end(exporting);
        return err ? err : ERR_TOO_LARGE;
    }
    exporting->number += exporting->has_piece;
    exporting->has_piece = true;
    exporting->piece_length = writer_bytes(&piece).length;
    if (exporting->piece_length == 0) {
        end_snapshot(exporting);
    } else {
        exporting->digest =
            archive_digest(exporting->digest, writer_bytes(&piece));
    }
    return ERR_NONE;
}

enum err archive_export_answer_piece(struct archive_export *exporting,
                                     const struct archive_ask *ask,
                                     struct archive_answer *out)
{
    bool is_last = exporting->has_piece && ask->piece == exporting->number;
    bool is_next =
        ask->piece == (exporting->has_piece ? exporting->number + 1 : 0);
    if (exporting->session != ask->session || !(is_last || is_next) ||
        (is_next && !exporting->is_begun)) {
        return ERR_NONE; /* gone */
    }
    enum err err = is_last ? ERR_NONE : next_piece(exporting);
    if (err) {
        return err;
    }
    exporting->moved_ns = clock_now_ns(exporting->clock);
    *out = (struct archive_answer){
        .state = ARCHIVE_OPEN,
        .index = exporting->index,
        .piece = exporting->number,
        .bytes = bytes_of(exporting->piece, exporting->piece_length)};
    if (exporting->piece_length == 0) {
        out->digest = exporting->digest;
    }
    return ERR_NONE;
}

void archive_export_answer_end(struct archive_export *exporting,
                               const struct archive_ask *ask)
{
    if (exporting->session == ask->session) {
        archive_export_end(exporting);
    }
}
