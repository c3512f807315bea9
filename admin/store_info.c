#include "admin/store_print.h"
#include "admin/store_session.h"
#include "admin/store_state.h"
#include "admin/store_verbs.h"
#include "base/scope.h"
#include "store/group_mark.h"
#include "store/wal_format.h"

#include <inttypes.h>
#include <stdlib.h>

#define ID_TEXT_BYTES (2 * CLUSTER_ID_BYTES + 1)

struct info {
    struct store_session session;
    FILE *out;
    json_t *rows; /* NULL: a table */
    bool has_state;
    struct err_detail state_why; /* what is wrong with it; "": nothing */
    uint64_t group_count;
};

/* What is stored of one group. */
struct view {
    const struct wal_group *group;
    struct group_mark mark;
    enum err mark_err;
    struct store_snapshot stored; /* index 0: none that is whole */
    struct row_applied applied;   /* index 0: there is no such mark */
};

static void read_applied(struct view *view, const struct kv *kv)
{
    uint8_t buffer[KV_KEY_BYTES_MAX];
    struct bytes key;
    uint8_t *value = NULL;
    size_t length = 0;
    struct row_key row = {.group = view->group->group, .kind = ROW_APPLIED};
    if (row_key_encode(buffer, &row, &key) ||
        kv->get(kv->context, key, &value, &length)) {
        return;
    }
    if (row_applied_decode(&view->applied, bytes_of(value, length))) {
        view->applied = (struct row_applied){0};
    }
    free(value);
}

/* What the key-value store has of the group. */
static void read_stored(struct info *info, struct view *view)
{
    scoped(store_state_clear) struct store_state state = {0};
    struct row_range range;
    const struct kv *kv = store_session_kv(&info->session);
    row_range_of_kind(&range, view->group->group, ROW_SNAPSHOT_PIECE);
    enum err err = store_state_read(&state, kv, range.from, range.end);
    if (err) {
        err_explain(&info->state_why, "group %" PRIu32 ": %s",
                    view->group->group, err_text(err));
        return;
    }
    const struct store_snapshot *newest =
        store_state_newest(&state, view->group->group);
    if (newest) {
        view->stored = *newest;
    }
    read_applied(view, kv);
}

static json_t *make_row(const struct view *view)
{
    const struct wal_group *group = view->group;
    json_t *row =
        json_pack("{s:I, s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "group",
                  (json_int_t)group->group, "lost", group->is_lost, "term",
                  (json_int_t)group->term, "vote", (json_int_t)group->vote,
                  "snapshot_index", (json_int_t)group->snapshot_index,
                  "snapshot_term", (json_int_t)group->snapshot_term,
                  "last_index", (json_int_t)group->last_index, "log_bytes",
                  (json_int_t)group->log_bytes);
    if (!view->mark_err) {
        (void)json_object_set_new(row, "replica",
                                  json_integer((json_int_t)view->mark.number));
        (void)json_object_set_new(
            row, "members",
            store_print_members_json(&view->mark.configuration));
    }
    if (view->stored.index > 0) {
        (void)json_object_set_new(
            row, "stored_snapshot",
            json_pack("{s:I, s:I, s:I, s:I}", "index",
                      (json_int_t)view->stored.index, "term",
                      (json_int_t)view->stored.head.term, "pieces",
                      (json_int_t)view->stored.head.piece_count, "bytes",
                      (json_int_t)view->stored.bytes));
    }
    if (view->applied.index > 0) {
        (void)json_object_set_new(
            row, "applied_index",
            json_integer((json_int_t)view->applied.index));
    }
    return row;
}

/* "1200/3", "-" */
struct pair {
    char text[48];
};

static struct pair pair_of(uint64_t index, uint64_t term)
{
    struct pair pair = {"-"};
    if (index > 0) {
        (void)snprintf(pair.text, sizeof pair.text, "%" PRIu64 "/%" PRIu64,
                       index, term);
    }
    return pair;
}

static void print_row(FILE *out, const struct view *view)
{
    const struct wal_group *group = view->group;
    const struct store_snapshot *stored = &view->stored;
    (void)fprintf(out,
                  "%6" PRIu32 "  %8" PRIu64 "  %6" PRIu64 "  %-14s  %10" PRIu64
                  "  %10" PRIu64 "  ",
                  group->group, group->term, group->vote,
                  pair_of(group->snapshot_index, group->snapshot_term).text,
                  group->last_index, group->log_bytes);
    if (stored->index > 0) {
        (void)fprintf(out, "%-12" PRIu64 "  %6" PRIu32 "  ", stored->index,
                      stored->head.piece_count);
    } else {
        (void)fprintf(out, "%-12s  %6s  ", "-", "-");
    }
    if (group->is_lost) {
        (void)fprintf(out, "LOST ");
    }
    if (view->mark_err) {
        (void)fprintf(out, "%s",
                      group->configuration.length > 0 ? err_text(view->mark_err)
                                                      : "-");
    } else {
        (void)fprintf(out, "I am %" PRIu64 " of ", view->mark.number);
        store_print_members(out, &view->mark.configuration);
    }
    (void)fputc('\n', out);
}

static void on_group(void *context, const struct wal_group *group)
{
    struct info *info = context;
    struct view view = {.group = group};
    view.mark_err = group_mark_decode(&view.mark, group->configuration);
    if (info->has_state) {
        read_stored(info, &view);
    }
    info->group_count++;
    if (info->rows) {
        (void)json_array_append_new(info->rows, make_row(&view));
    } else {
        print_row(info->out, &view);
    }
}

static bool is_damaged(const struct info *info)
{
    const struct wal_report *report = wal_reader_report(info->session.log);
    return report->damaged_count > 0 || report->missing_count > 0 ||
           report->lost_group_count > 0 || report->unlisted_are_lost ||
           info->state_why.text[0] != '\0';
}

/* ---- a table ---- */

static void print_identity(const struct info *info)
{
    const struct data_folder_facts *facts = &info->session.facts;
    char cluster[ID_TEXT_BYTES];
    hex_encode(cluster, bytes_of(facts->cluster_id, CLUSTER_ID_BYTES));
    (void)fprintf(info->out,
                  "folder      %s\nnode        %s\ncluster     %s\n"
                  "disk        %016" PRIx64 "\nformat      folder %" PRIu32
                  ", log %d\n",
                  info->session.root.text, facts->node, cluster, facts->disk_id,
                  facts->version, WAL_FORMAT_VERSION);
}

static void print_log(const struct info *info)
{
    const struct wal_reader *log = info->session.log;
    const struct wal_report *report = wal_reader_report(log);
    size_t count = wal_reader_segment_count(log);
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += wal_reader_segment(log, i).bytes;
    }
    (void)fprintf(info->out, "log         %zu segment%s, %" PRIu64 " bytes",
                  count, count == 1 ? "" : "s", bytes);
    if (count > 0) {
        (void)fprintf(info->out, ", %016" PRIx64 " to %016" PRIx64,
                      wal_reader_segment(log, 0).number,
                      wal_reader_segment(log, count - 1).number);
    }
    if (report->torn_bytes > 0) {
        (void)fprintf(info->out,
                      "; %" PRIu64 " of an interrupted write at the end",
                      report->torn_bytes);
    }
    (void)fputc('\n', info->out);
    if (report->what[0]) {
        (void)fprintf(info->out, "            DAMAGED: %s\n", report->what);
    }
    if (report->lost_group_count > 0 || report->unlisted_are_lost) {
        (void)fprintf(info->out,
                      "            %" PRIu32 " group%s lost records%s\n",
                      report->lost_group_count,
                      report->lost_group_count == 1 ? " has" : "s have",
                      report->unlisted_are_lost
                          ? ", and so may have any that is not listed"
                          : "");
    }
}

static void print_all(struct info *info)
{
    print_identity(info);
    print_log(info);
    (void)fprintf(info->out, "state       %s\n",
                  info->has_state           ? "can be read"
                  : info->state_why.text[0] ? info->state_why.text
                                            : "none yet");
    (void)fprintf(info->out,
                  "\n%6s  %8s  %6s  %-14s  %10s  %10s  %-12s  %6s  %s\n",
                  "GROUP", "TERM", "VOTE", "SNAPSHOT/TERM", "LAST", "LOG-BYTES",
                  "STORED", "PIECES", "MEMBERS (REPLICA@NODE)");
    wal_reader_groups(info->session.log, on_group, info);
    if (info->group_count == 0) {
        (void)fprintf(info->out, "  none\n");
    }
}

/* ---- JSON ---- */

static json_t *make_segments(const struct wal_reader *log)
{
    json_t *segments = json_array();
    for (size_t i = 0; i < wal_reader_segment_count(log); i++) {
        struct wal_reader_segment segment = wal_reader_segment(log, i);
        (void)json_array_append_new(
            segments,
            json_pack("{s:I, s:I, s:I}", "segment", (json_int_t)segment.number,
                      "bytes", (json_int_t)segment.bytes, "live_groups",
                      (json_int_t)segment.group_count));
    }
    return segments;
}

static json_t *make_document(struct info *info)
{
    const struct data_folder_facts *facts = &info->session.facts;
    const struct wal_report *report = wal_reader_report(info->session.log);
    char cluster[ID_TEXT_BYTES];
    char disk[2 * sizeof(uint64_t) + 1];
    hex_encode(cluster, bytes_of(facts->cluster_id, CLUSTER_ID_BYTES));
    (void)snprintf(disk, sizeof disk, "%016" PRIx64, facts->disk_id);
    info->rows = json_array();
    wal_reader_groups(info->session.log, on_group, info);
    return json_pack(
        "{s:s, s:i, s:s, s:s, s:s, s:s, s:i, s:i, s:o, s:I, s:b, s:s, s:I, "
        "s:b, s:b, s:s, s:o}",
        "schema", "troupe.store.info", "version", 1, "folder",
        info->session.root.text, "node", facts->node, "cluster", cluster,
        "disk", disk, "folder_format", (int)facts->version, "log_format",
        WAL_FORMAT_VERSION, "segments", make_segments(info->session.log),
        "torn_bytes", (json_int_t)report->torn_bytes, "damaged",
        is_damaged(info), "damage", report->what, "lost_groups",
        (json_int_t)report->lost_group_count, "unlisted_lost",
        report->unlisted_are_lost, "state_readable", info->has_state,
        "state_damage", info->state_why.text, "groups", info->rows);
}

static void info_clear(struct info *info)
{
    store_session_close(&info->session);
}

/* That it is not there is damage only when the log says that it was. */
static void open_state(struct info *info)
{
    struct store_session *session = &info->session;
    enum err err = store_session_state(session);
    info->has_state = !err;
    if (err && (err != ERR_NOT_FOUND || wal_reader_needs_state(session->log))) {
        info->state_why = session->why;
    }
}

enum exit_code store_info_run(const struct command *command)
{
    scoped(info_clear) struct info info = {.out = command->world->out};
    struct store_session *session = &info.session;
    enum exit_code code =
        store_session_open(session, command, command_operand(command, 0));
    if (code) {
        return code;
    }
    enum err err = store_session_log(session);
    if (err) {
        return store_session_failed(session, err, session->log_path.text);
    }
    open_state(&info);
    if (command_has(command, "json")) {
        err = store_print_json(info.out, make_document(&info));
    } else {
        print_all(&info);
    }
    if (err) {
        return command_failed(command, err, "the output");
    }
    return is_damaged(&info) ? EXIT_CODE_FOUND : EXIT_CODE_OK;
}
