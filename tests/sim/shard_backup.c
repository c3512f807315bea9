/*
 * A backup of a shard in the midst of faults, put back at once: the restore is
 * begun first, so that nothing happens to the shard any more, then what it
 * holds is exported, and brought as what it shall hold. So nothing may be lost,
 * and what clients were told stays true; some are called off halfway.
 *
 * Each step is asked of some node, again and again until it is answered.
 */

#include "base/owner.h"
#include "tests/sim/shard_sim_core.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MS 2000
#define ASK_BYTES (ARCHIVE_PIECE_BYTES_MAX + 256)

static void finish(struct backup *backup)
{
    say(backup->sim, "backup of shard %u ends", backup->shard);
    for (uint32_t i = 0; i < backup->piece_count; i++) {
        free(backup->pieces[i]);
    }
    *backup = (struct backup){.sim = backup->sim,
                              .session_count = backup->session_count};
}

static void export_again(struct backup *backup)
{
    for (uint32_t i = 0; i < backup->piece_count; i++) {
        free(backup->pieces[i]);
    }
    backup->piece_count = 0;
    backup->digest = 0;
    backup->export_session = ++backup->session_count;
    backup->kind = ARCHIVE_EXPORT_BEGIN;
}

static void keep_piece(struct backup *backup, struct bytes piece)
{
    uint8_t *copy = malloc(piece.length);
    assert(copy && backup->piece_count < BACKUP_PIECES_MAX);
    memcpy(copy, piece.data, piece.length);
    backup->lengths[backup->piece_count] = piece.length;
    backup->pieces[backup->piece_count++] = copy;
    backup->digest = archive_digest(backup->digest, piece);
}

static void on_exported(struct backup *backup,
                        const struct archive_answer *answer)
{
    if (answer->state == ARCHIVE_GONE) {
        export_again(backup); /* another leads */
    } else if (answer->state != ARCHIVE_OPEN) {
        return; /* another's: it ends by itself */
    } else if (backup->kind == ARCHIVE_EXPORT_BEGIN) {
        backup->kind = ARCHIVE_EXPORT_PIECE;
    } else if (answer->bytes.length > 0) {
        keep_piece(backup, answer->bytes);
    } else if (answer->digest != backup->digest ||
               answer->piece != backup->piece_count) {
        broken(backup->sim, "export", "the pieces of shard %u are not all",
               backup->shard);
    } else {
        backup->kind = chance(backup->sim, 25) ? ARCHIVE_RESTORE_ABORT
                                               : ARCHIVE_RESTORE_PIECE;
    }
}

static void on_restored(struct backup *backup,
                        const struct archive_answer *answer)
{
    if (answer->state == ARCHIVE_UNFIT) {
        broken(backup->sim, "restore", "shard %u refuses what it was",
               backup->shard);
    } else if (answer->state == ARCHIVE_GONE ||
               backup->kind == ARCHIVE_RESTORE_ABORT) {
        finish(backup);
    } else if (backup->kind == ARCHIVE_RESTORE_LOOK) {
        assert(answer->state == ARCHIVE_DONE);
        backup->sim->result.restored++;
        finish(backup);
    } else if (backup->kind == ARCHIVE_RESTORE_BEGIN) {
        export_again(backup);
    } else if (backup->kind == ARCHIVE_RESTORE_END) {
        backup->kind = ARCHIVE_RESTORE_LOOK;
    } else if (answer->piece == backup->piece_count) {
        backup->kind = ARCHIVE_RESTORE_END;
    } else {
        backup->brought_count = answer->piece;
    }
}

static void on_answer(struct router_request *request,
                      enum err err,
                      struct bytes bytes)
{
    struct backup *backup = OWNER_OF(request, struct backup, request);
    struct archive_answer answer;
    backup->is_asking = false;
    if (err) {
        return; /* asked again, of some node */
    }
    if (archive_answer_decode(&answer, bytes)) {
        broken(backup->sim, "answer", "an archive's answer is none");
        return;
    }
    bool is_export = backup->kind == ARCHIVE_EXPORT_BEGIN ||
                     backup->kind == ARCHIVE_EXPORT_PIECE;
    if (is_export) {
        on_exported(backup, &answer);
    } else {
        on_restored(backup, &answer);
    }
}

static struct archive_ask next_ask(const struct backup *backup)
{
    struct archive_ask ask = {.kind = backup->kind, .session = backup->session};
    uint32_t at = backup->brought_count;
    switch (backup->kind) {
    case ARCHIVE_EXPORT_PIECE:
        ask.piece = backup->piece_count;
        ask.session = backup->export_session;
        break;
    case ARCHIVE_EXPORT_BEGIN:
        ask.session = backup->export_session;
        break;
    case ARCHIVE_RESTORE_PIECE:
        ask.piece = at;
        ask.bytes = bytes_of(backup->pieces[at], backup->lengths[at]);
        break;
    case ARCHIVE_RESTORE_END:
        ask.piece = backup->piece_count;
        ask.digest = backup->digest;
        break;
    default:
        break;
    }
    return ask;
}

static void ask(struct backup *backup, struct node *node)
{
    uint8_t *buffer = malloc(ASK_BYTES);
    assert(buffer);
    struct writer writer = writer_of(buffer, ASK_BYTES);
    struct archive_ask what = next_ask(backup);
    archive_ask_encode(&what, &writer);
    assert(!writer.failed);
    struct router_ask ask = {.shard = backup->shard,
                             .is_read = what.kind < ARCHIVE_RESTORE_BEGIN,
                             .may_repeat = true,
                             .for_archive = true,
                             .command = writer_bytes(&writer),
                             .timeout_ms = ASK_MS};
    backup->request = (struct router_request){.done = on_answer};
    backup->is_asking = !router_ask(node->router, &ask, &backup->request);
    free(buffer);
}

void backup_begin(struct sim *sim)
{
    struct backup *backup = &sim->backup;
    if (backup->kind == 0) {
        backup->sim = sim;
        backup->kind = ARCHIVE_RESTORE_BEGIN;
        backup->shard = (uint32_t)below(sim, sim->shard_count);
        backup->session = ++backup->session_count;
        say(sim, "backup of shard %u begins", backup->shard);
    }
}

void backup_step(struct sim *sim)
{
    struct backup *backup = &sim->backup;
    if (backup->kind == 0 || backup->is_asking) {
        return;
    }
    struct node *node = some_member(sim);
    if (node && node->router && !node->is_closing && !node->is_leaving) {
        ask(backup, node);
    }
}

bool backup_is_over(const struct sim *sim)
{
    return sim->backup.kind == 0;
}

void backup_clear(struct sim *sim)
{
    if (sim->backup.kind != 0) {
        finish(&sim->backup);
    }
}
