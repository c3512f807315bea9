#include "admin/backup_talk.h"

#include "admin/human.h"
#include "admin/interrupt.h"
#include "admin/waiting.h"
#include "base/time_units.h"
#include "shard/archive_wire.h"
#include "shard/host_service.h"
#include "shard/router_wire.h"

#include <inttypes.h>
#include <stdlib.h>

#define QUESTION_BYTES_MAX (ARCHIVE_ASK_BYTES_MAX + 64u) /* for the router */
#define ASKS_MAX 8                                       /* of one question */
#define EXPORTS_MAX 8                                    /* of one shard */
#define TAKEN_MAX 30 /* looks at another's export */
#define PAUSE_MS 500
#define SAY_NS (2 * NS_PER_S)

/* ---- life ---- */

enum exit_code backup_talk_init(struct backup_talk *out,
                                const struct command *command)
{
    struct backup_talk talk = {.command = command,
                               .said_ns = clock_now_ns(command->world->clock)};
    /* Twice: the archive's within the router's. */
    talk.question = malloc(2 * (size_t)QUESTION_BYTES_MAX);
    if (!talk.question) {
        return command_failed(command, ERR_MEMORY, "a buffer");
    }
    enum exit_code code = waiting_open(&talk.remote, command);
    if (code) {
        backup_talk_clear(&talk);
        return code;
    }
    *out = talk;
    return EXIT_CODE_OK;
}

void backup_talk_clear(struct backup_talk *talk)
{
    remote_close(&talk->remote);
    free(talk->question);
    free(talk->answer);
    talk->question = NULL;
    talk->answer = NULL;
}

void backup_talk_say(struct backup_talk *talk, uint32_t done, uint32_t count)
{
    uint64_t now_ns = clock_now_ns(talk->command->world->clock);
    if (now_ns - talk->said_ns >= SAY_NS) {
        talk->said_ns = now_ns;
        fprintf(talk->command->world->talk, "%u of %u shards, %s\n", done,
                count, human_size(talk->bytes).text);
        (void)fflush(talk->command->world->talk);
    }
}

/* ERR_CLOSED: Ctrl-C */
static enum err pause_for(struct backup_talk *talk, uint64_t ms)
{
    const struct interrupt *interrupt = talk->command->world->interrupt;
    return interrupt->wait(interrupt->context, ms) ? ERR_NONE : ERR_CLOSED;
}

/* ---- one question ---- */

static bool is_read(const struct archive_ask *ask)
{
    return ask->kind < ARCHIVE_RESTORE_BEGIN;
}

static struct bytes write_question(struct backup_talk *talk,
                                   uint32_t shard,
                                   const struct archive_ask *ask)
{
    struct writer inner =
        writer_of(talk->question + QUESTION_BYTES_MAX, QUESTION_BYTES_MAX);
    struct writer outer = writer_of(talk->question, QUESTION_BYTES_MAX);
    archive_ask_encode(ask, &inner);
    router_ask_encode(&(struct router_ask){.shard = shard,
                                           .is_read = is_read(ask),
                                           .may_repeat = true,
                                           .for_archive = true,
                                           .command = writer_bytes(&inner)},
                      0, &outer);
    return inner.failed || outer.failed ? bytes_of(NULL, 0)
                                        : writer_bytes(&outer);
}

static bool may_pass(enum err err)
{
    switch (err) {
    case ERR_BUSY:
    case ERR_FULL:
    case ERR_CLOSED:
    case ERR_TIMEOUT:
    case ERR_UNCERTAIN:
    case ERR_NO_QUORUM:
    case ERR_NOT_LEADER:
    case ERR_UNREACHABLE:
        return true;
    default:
        return false;
    }
}

static enum err ask_once(struct backup_talk *talk,
                         struct bytes question,
                         struct archive_answer *answer)
{
    size_t length = 0;
    free(talk->answer);
    talk->answer = NULL;
    enum err err = remote_ask_service(talk->remote, HOST_SERVICE_REQUEST,
                                      question, &talk->answer, &length);
    return err ? err
               : archive_answer_decode(answer, bytes_of(talk->answer, length));
}

static enum err ask(struct backup_talk *talk,
                    uint32_t shard,
                    const struct archive_ask *ask,
                    struct archive_answer *answer,
                    struct err_detail *why)
{
    struct bytes question = write_question(talk, shard, ask);
    enum err err = question.length > 0 ? ERR_BUSY : ERR_TOO_LARGE;
    for (uint32_t i = 0; i < ASKS_MAX && may_pass(err); i++) {
        if (pause_for(talk, i > 0 ? PAUSE_MS : 0)) {
            err_explain(why, "interrupted");
            return ERR_CLOSED;
        }
        err = ask_once(talk, question, answer);
    }
    if (err) {
        err_explain(why, "shard %u, asked by way of %s: %s (%s)", shard,
                    remote_node(talk->remote), err_text(err), err_name(err));
    }
    return err == ERR_CLOSED ? ERR_TIMEOUT : err;
}

/* Nobody else's. */
static uint64_t draw_session(const struct backup_talk *talk)
{
    uint64_t session = 0;
    while (session == 0) {
        session = entropy_u64(talk->command->world->entropy);
    }
    return session;
}

/* ---- exporting ---- */

static enum err begin_export(struct backup_talk *talk,
                             struct backup_writer *writer,
                             uint64_t session,
                             struct archive_answer *answer,
                             struct err_detail *why)
{
    struct archive_ask begin = {.kind = ARCHIVE_EXPORT_BEGIN,
                                .session = session};
    for (uint32_t i = 0; i < TAKEN_MAX; i++) {
        enum err err = ask(talk, writer->shard, &begin, answer, why);
        if (err || answer->state != ARCHIVE_TAKEN) {
            return err ? err : backup_writer_begin(writer);
        }
        if (pause_for(talk, PAUSE_MS)) {
            err_explain(why, "interrupted");
            return ERR_CLOSED;
        }
    }
    err_explain(why, "another backup reads shard %u", writer->shard);
    return ERR_REFUSED;
}

/* One attempt. ERR_NOT_LEADER: its leader has changed, begin again */
static enum err export_pieces(struct backup_talk *talk,
                              struct backup_writer *writer,
                              uint64_t session,
                              struct err_detail *why)
{
    for (;;) {
        struct archive_answer answer = {0};
        struct archive_ask next = {.kind = ARCHIVE_EXPORT_PIECE,
                                   .session = session,
                                   .piece = writer->piece_count};
        enum err err = ask(talk, writer->shard, &next, &answer, why);
        if (err) {
            return err;
        }
        if (answer.state != ARCHIVE_OPEN) {
            return ERR_NOT_LEADER;
        }
        if (answer.bytes.length == 0) {
            return answer.digest == writer->digest &&
                           answer.piece == writer->piece_count
                       ? backup_writer_end(writer)
                       : ERR_NOT_LEADER;
        }
        talk->bytes += answer.bytes.length;
        err = backup_writer_add(writer, answer.bytes);
        if (err) {
            err_explain(why, "the file of shard %u: %s", writer->shard,
                        err_text(err));
            return err;
        }
    }
}

static void end_export(struct backup_talk *talk,
                       uint32_t shard,
                       uint64_t session)
{
    struct archive_answer answer;
    struct archive_ask end = {.kind = ARCHIVE_EXPORT_END, .session = session};
    enum err err = ask_once(talk, write_question(talk, shard, &end), &answer);
    (void)err; /* it ends by itself */
}

enum err backup_talk_export(struct backup_talk *talk,
                            struct backup_writer *writer,
                            struct backup_shard *about,
                            struct err_detail *why)
{
    enum err err = ERR_NOT_LEADER;
    struct archive_answer answer = {0};
    for (uint32_t i = 0; i < EXPORTS_MAX && err == ERR_NOT_LEADER; i++) {
        uint64_t session = draw_session(talk);
        err = begin_export(talk, writer, session, &answer, why);
        if (!err) {
            err = export_pieces(talk, writer, session, why);
            end_export(talk, writer->shard, session);
        }
    }
    if (err == ERR_NOT_LEADER) {
        err_explain(why, "shard %u gets another leader again and again",
                    writer->shard);
    }
    if (!err) {
        about->shard = writer->shard;
        about->index = answer.index;
        about->piece_count = writer->piece_count;
        about->bytes = writer->at;
        about->digest = writer->digest;
    }
    return err;
}

/* ---- restoring ---- */

static enum err refuse_state(enum archive_state state,
                             uint32_t shard,
                             struct err_detail *why)
{
    if (state == ARCHIVE_UNFIT) {
        err_explain(why,
                    "shard %u: its nodes cannot read these pieces; it holds "
                    "what it did",
                    shard);
        return ERR_MALFORMED;
    }
    err_explain(why,
                "shard %u: another restore has begun, or this one was given "
                "up; it holds what it did",
                shard);
    return ERR_REFUSED;
}

static enum err step(struct backup_talk *talk,
                     uint32_t shard,
                     const struct archive_ask *what,
                     struct err_detail *why)
{
    struct archive_answer answer = {0};
    enum err err = ask(talk, shard, what, &answer, why);
    bool goes_on = answer.state == ARCHIVE_OPEN || answer.state == ARCHIVE_DONE;
    return err || goes_on ? err : refuse_state(answer.state, shard, why);
}

static enum err explain_file(const struct backup_reader *reader,
                             enum err err,
                             struct err_detail *why)
{
    err_explain(why,
                "the file of shard %u has changed, at offset %" PRIu64 ": %s",
                reader->shard, reader->offset,
                reader->what ? reader->what : err_text(err));
    return err;
}

static enum err bring_pieces(struct backup_talk *talk,
                             struct backup_reader *reader,
                             uint64_t session,
                             struct err_detail *why)
{
    for (;;) {
        struct archive_ask piece = {.kind = ARCHIVE_RESTORE_PIECE,
                                    .session = session,
                                    .piece = reader->piece_count};
        enum err err = backup_reader_next(reader, &piece.bytes);
        if (err) {
            return explain_file(reader, err, why);
        }
        if (reader->is_over) {
            return ERR_NONE;
        }
        err = step(talk, reader->shard, &piece, why);
        if (err) {
            return err;
        }
        talk->bytes += piece.bytes.length;
    }
}

/* Whether the machine took them shows when its end is applied. */
static enum err end_restore(struct backup_talk *talk,
                            const struct backup_reader *reader,
                            uint64_t session,
                            struct err_detail *why)
{
    struct archive_answer answer = {0};
    struct archive_ask end = {.kind = ARCHIVE_RESTORE_END,
                              .session = session,
                              .piece = reader->piece_count,
                              .digest = reader->digest};
    struct archive_ask look = {.kind = ARCHIVE_RESTORE_LOOK,
                               .session = session};
    enum err err = step(talk, reader->shard, &end, why);
    if (!err) {
        err = ask(talk, reader->shard, &look, &answer, why);
    }
    if (err == ERR_TIMEOUT || err == ERR_NO_QUORUM) {
        return ERR_UNCERTAIN;
    }
    return err || answer.state == ARCHIVE_DONE
               ? err
               : refuse_state(answer.state, reader->shard, why);
}

static void abort_restore(struct backup_talk *talk,
                          uint32_t shard,
                          uint64_t session)
{
    struct archive_answer answer;
    struct archive_ask end = {.kind = ARCHIVE_RESTORE_ABORT,
                              .session = session};
    enum err err = ask_once(talk, write_question(talk, shard, &end), &answer);
    (void)err; /* it is given up by itself */
}

static enum err check_same(const struct backup_reader *reader,
                           const struct backup_shard *about,
                           struct err_detail *why)
{
    if (reader->piece_count == about->piece_count &&
        reader->digest == about->digest) {
        return ERR_NONE;
    }
    err_explain(why, "the file of shard %u is not the one of the manifest",
                reader->shard);
    return ERR_MALFORMED;
}

enum err backup_talk_restore(struct backup_talk *talk,
                             struct backup_reader *reader,
                             const struct backup_shard *about,
                             struct err_detail *why)
{
    uint64_t session = draw_session(talk);
    struct archive_ask begin = {.kind = ARCHIVE_RESTORE_BEGIN,
                                .session = session};
    (void)snprintf(begin.who, sizeof begin.who, "operator/%s",
                   remote_who(talk->remote));
    enum err err = step(talk, reader->shard, &begin, why);
    if (!err) {
        err = bring_pieces(talk, reader, session, why);
    }
    if (!err) {
        err = check_same(reader, about, why);
    }
    if (err) {
        abort_restore(talk, reader->shard, session);
        return err;
    }
    return end_restore(talk, reader, session, why);
}
