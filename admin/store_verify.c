#include "admin/store_print.h"
#include "admin/store_session.h"
#include "admin/store_state.h"
#include "admin/store_verbs.h"
#include "base/scope.h"
#include "base/time_units.h"
#include "store/wal_format.h"

#include <inttypes.h>
#include <string.h>

#define PROGRESS_NS (2 * NS_PER_S)
#define KEY_BYTES_SHOWN 24

struct verify {
    struct store_session session;
    FILE *out;
    FILE *talk;
    json_t *damages; /* NULL: told at once */
    uint64_t damage_count;
    uint64_t record_count;
    uint64_t lost_count;
    uint64_t told_ns; /* when the last word of progress was said */
    uint64_t read_bytes;
    uint64_t log_bytes;
    struct store_state state;
    bool has_state;
};

static void verify_clear(struct verify *verify)
{
    store_session_close(&verify->session);
    store_state_clear(&verify->state);
    json_decref(verify->damages);
}

/* ---- damage ---- */

/* `offset` is UINT64_MAX where there is none. */
static void report(struct verify *verify,
                   const char *file,
                   uint64_t offset,
                   const char *what)
{
    verify->damage_count++;
    if (verify->damages) {
        json_t *damage = json_pack("{s:s, s:s}", "file", file, "what", what);
        if (damage && offset != UINT64_MAX) {
            (void)json_object_set_new(damage, "offset",
                                      json_integer((json_int_t)offset));
        }
        (void)json_array_append_new(verify->damages, damage);
    } else if (offset != UINT64_MAX) {
        (void)fprintf(verify->out, "%s:%" PRIu64 ": %s\n", file, offset, what);
    } else {
        (void)fprintf(verify->out, "%s: %s\n", file, what);
    }
}

__attribute__((format(printf, 3, 4))) static void report_whole(
    struct verify *verify, const char *file, const char *format, ...)
{
    char what[600];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    report(verify, file, UINT64_MAX, what);
}

/* ---- the log ---- */

static bool on_segment(void *context, const struct wal_reader_segment *segment)
{
    struct verify *verify = context;
    uint64_t now = clock_now_ns(verify->session.command->world->clock);
    if (now - verify->told_ns >= PROGRESS_NS) {
        verify->told_ns = now;
        (void)fprintf(verify->talk, "the log: %" PRIu64 " of %" PRIu64 " MiB\n",
                      verify->read_bytes >> 20, verify->log_bytes >> 20);
    }
    verify->read_bytes += segment->bytes;
    return true;
}

static bool on_record(void *context,
                      const struct wal_reader_place *place,
                      const struct wal_record *record)
{
    struct verify *verify = context;
    (void)place;
    (void)record;
    verify->record_count++;
    return true;
}

static bool on_damage(void *context,
                      const struct wal_reader_place *place,
                      const char *what)
{
    char name[DISK_NAME_BYTES];
    char file[DISK_NAME_BYTES + 8];
    wal_format_name(name, place->segment);
    (void)snprintf(file, sizeof file, "log/%s", name);
    report(context, file, place->offset > 0 ? place->offset : UINT64_MAX, what);
    return true;
}

static void on_group(void *context, const struct wal_group *group)
{
    struct verify *verify = context;
    if (group->is_lost) {
        verify->lost_count++;
        report_whole(verify, "log",
                     "group %" PRIu32
                     " has lost records: it comes back from its peers; if it "
                     "has none, from a backup",
                     group->group);
    }
}

static enum err check_log(struct verify *verify)
{
    struct store_session *session = &verify->session;
    struct wal_reader_visitor visitor = {.context = verify,
                                         .on_segment = on_segment,
                                         .on_record = on_record,
                                         .on_damage = on_damage};
    enum err err = store_session_log(session);
    if (err == ERR_NOT_FOUND) {
        report_whole(verify, "log", "%s",
                     session->why.text[0] ? session->why.text
                                          : "the folder is missing");
        return ERR_NONE;
    }
    if (err) {
        return err;
    }
    for (size_t i = 0; i < wal_reader_segment_count(session->log); i++) {
        verify->log_bytes += wal_reader_segment(session->log, i).bytes;
    }
    err = wal_reader_walk(session->log, &visitor);
    if (!err) {
        wal_reader_groups(session->log, on_group, verify);
    }
    const struct wal_report *found = wal_reader_report(session->log);
    if (!err && verify->damage_count == 0 && found->what[0]) {
        report_whole(verify, "log", "%s", found->what);
    }
    return err;
}

/* ---- the key-value store ---- */

static void on_row_damage(void *context, struct bytes key, const char *what)
{
    size_t length = key.length < KEY_BYTES_SHOWN ? key.length : KEY_BYTES_SHOWN;
    char hex[2 * KEY_BYTES_SHOWN + 1];
    hex_encode(hex, bytes_of(key.data, length));
    report_whole(context, "state", "row %s%s: %s", hex,
                 length < key.length ? "..." : "", what);
}

/* A head is written last: what has none was never finished. */
static void check_pieces(struct verify *verify)
{
    for (size_t i = 0; i < verify->state.snapshot_count; i++) {
        const struct store_snapshot *snapshot = &verify->state.snapshots[i];
        if (snapshot->has_head && !store_snapshot_is_whole(snapshot)) {
            report_whole(verify, "state",
                         "group %" PRIu32 ": the snapshot at %" PRIu64
                         " has %" PRIu32 " pieces, piece %" PRIu32
                         " is missing",
                         snapshot->group, snapshot->index,
                         snapshot->head.piece_count, snapshot->piece_count);
        }
    }
}

/* What the log says is in a snapshot must be in one. */
static void check_group(void *context, const struct wal_group *group)
{
    struct verify *verify = context;
    const struct store_snapshot *newest =
        store_state_newest(&verify->state, group->group);
    uint64_t index = newest ? newest->index : 0;
    if (!group->is_lost && index < group->snapshot_index) {
        report_whole(verify, "state",
                     "group %" PRIu32 ": the log begins behind a snapshot at "
                     "%" PRIu64 ", which is not there: its peers have it; if "
                     "there are none, a backup",
                     group->group, group->snapshot_index);
    }
}

static enum err check_state(struct verify *verify)
{
    struct store_session *session = &verify->session;
    bool is_needed = session->log && wal_reader_needs_state(session->log);
    enum err err = store_session_state(session);
    if (err == ERR_NOT_FOUND && is_needed) {
        report_whole(verify, "state",
                     "is missing: a node makes it anew from its peers");
        return ERR_NONE;
    }
    if (err == ERR_NOT_FOUND) {
        return ERR_NONE;
    }
    if (!err) {
        verify->has_state = true;
        verify->state.on_damage = on_row_damage;
        verify->state.context = verify;
        err = store_state_read(&verify->state, store_session_kv(session),
                               bytes_of(NULL, 0), bytes_of(NULL, 0));
    }
    if (err == ERR_MALFORMED) {
        report_whole(verify, "state", "cannot be read, it is made anew: %s",
                     session->why.text[0] ? session->why.text
                                          : "a checksum fails");
        return ERR_NONE;
    }
    if (err) {
        return err;
    }
    check_pieces(verify);
    if (session->log) {
        wal_reader_groups(session->log, check_group, verify);
    }
    return ERR_NONE;
}

/* ---- the end ---- */

static uint64_t torn_bytes(const struct verify *verify)
{
    return verify->session.log
               ? wal_reader_report(verify->session.log)->torn_bytes
               : 0;
}

static size_t segment_count(const struct verify *verify)
{
    return verify->session.log ? wal_reader_segment_count(verify->session.log)
                               : 0;
}

static enum err print_json(struct verify *verify)
{
    json_t *damages = verify->damages;
    verify->damages = NULL;
    return store_print_json(
        verify->out,
        json_pack(
            "{s:s, s:i, s:s, s:b, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
            "schema", "troupe.store.verify", "version", 1, "folder",
            verify->session.root.text, "well", verify->damage_count == 0,
            "damages", damages, "segments", (json_int_t)segment_count(verify),
            "log_bytes", (json_int_t)verify->log_bytes, "records",
            (json_int_t)verify->record_count, "torn_bytes",
            (json_int_t)torn_bytes(verify), "lost_groups",
            (json_int_t)verify->lost_count, "rows",
            (json_int_t)verify->state.row_count, "row_bytes",
            (json_int_t)verify->state.bytes));
}

static void print_sum(const struct verify *verify)
{
    FILE *talk = verify->talk;
    (void)fflush(verify->out);
    if (torn_bytes(verify) > 0) {
        (void)fprintf(talk,
                      "The last %" PRIu64 " bytes are of a write that was "
                      "interrupted: a node cuts them off, nothing is lost.\n",
                      torn_bytes(verify));
    }
    (void)fprintf(talk,
                  "Read %zu segments with %" PRIu64 " records (%" PRIu64
                  " bytes), and %" PRIu64 " rows (%" PRIu64 " bytes): ",
                  segment_count(verify), verify->record_count,
                  verify->log_bytes, verify->state.row_count,
                  verify->state.bytes);
    if (verify->damage_count == 0) {
        (void)fprintf(talk, "all is well.\n");
    } else {
        (void)fprintf(talk, "%" PRIu64 " damage%s.\n", verify->damage_count,
                      verify->damage_count == 1 ? "" : "s");
    }
}

static enum exit_code finish(struct verify *verify)
{
    if (store_session_is_locked(&verify->session)) {
        (void)fprintf(verify->talk,
                      "troupe store verify: a process has begun to use %s "
                      "meanwhile: what was found counts for nothing\n",
                      verify->session.root.text);
        return EXIT_CODE_REFUSED;
    }
    if (verify->damages) {
        enum err err = print_json(verify);
        if (err) {
            return command_failed(verify->session.command, err, "the output");
        }
    } else {
        print_sum(verify);
    }
    return verify->damage_count > 0 ? EXIT_CODE_FOUND : EXIT_CODE_OK;
}

enum exit_code store_verify_run(const struct command *command)
{
    const struct command_world *world = command->world;
    scoped(verify_clear) struct verify verify = {
        .out = world->out,
        .talk = world->talk,
        .told_ns = clock_now_ns(world->clock),
        .damages = command_has(command, "json") ? json_array() : NULL};
    struct store_session *session = &verify.session;
    enum exit_code code =
        store_session_open(session, command, command_operand(command, 0));
    if (code) {
        return code;
    }
    enum err err = check_log(&verify);
    if (err) {
        return store_session_failed(session, err, session->log_path.text);
    }
    err = check_state(&verify);
    if (err) {
        return store_session_failed(session, err, session->state_path.text);
    }
    return finish(&verify);
}
