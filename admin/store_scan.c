#include "admin/store_print.h"
#include "admin/store_session.h"
#include "admin/store_verbs.h"
#include "base/scope.h"
#include "store/row.h"
#include "store/snapshot_head.h"

#include <inttypes.h>
#include <string.h>

#define BYTES_MAX_DEFAULT 48
#define GROUP_ANY UINT64_MAX

struct scan {
    FILE *out;
    bool is_json;
    uint64_t group; /* GROUP_ANY: all */
    bool is_of_kind;
    enum row_kind kind;
    uint64_t limit; /* rows still to be shown */
    uint64_t bytes_max;
    uint64_t damage_count;
    enum err err;
};

static const struct {
    const char *name;
    enum row_kind kind;
} kinds[] = {{"applied", ROW_APPLIED},
             {"snapshot", ROW_SNAPSHOT_PIECE},
             {"machine", ROW_MACHINE}};

#define KIND_COUNT (sizeof kinds / sizeof *kinds)

static const char *kind_text(enum row_kind kind)
{
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (kinds[i].kind == kind) {
            return kinds[i].name;
        }
    }
    return "unknown";
}

/* One row, with what its kind says of it. */
struct row_view {
    struct row_key key;
    struct bytes raw; /* the key */
    struct bytes value;
    bool is_key;   /* not: the key has no known form */
    enum err err;  /* of the value */
    bool has_head; /* a snapshot's first piece */
    struct snapshot_head head;
    struct row_applied applied;
};

static void look(struct row_view *view)
{
    view->is_key = !row_key_decode(&view->key, view->raw);
    if (!view->is_key) {
        view->err = ERR_MALFORMED;
    } else if (view->key.kind == ROW_APPLIED) {
        view->err = row_applied_decode(&view->applied, view->value);
    } else if (view->key.kind == ROW_SNAPSHOT_PIECE && view->key.piece == 0) {
        view->err = snapshot_head_decode(&view->head, view->value);
        view->has_head = !view->err;
    }
}

/* ---- a table ---- */

static void print_head(FILE *out, const struct snapshot_head *head)
{
    char time[STORE_PRINT_TIME_BYTES];
    store_print_time(time, head->stamp_ms);
    (void)fprintf(out, "  term %" PRIu64 "  %s  %" PRIu32 " pieces  members ",
                  head->term, time, head->piece_count);
    store_print_members(out, &head->configuration);
}

static void print_row(const struct scan *scan, const struct row_view *view)
{
    FILE *out = scan->out;
    bool shows_bytes = true;
    if (!view->is_key) {
        (void)fputs("key of no known form  ", out);
        store_print_bytes(out, view->raw, KV_KEY_BYTES_MAX);
    } else {
        (void)fprintf(out, "group %" PRIu32 "  %-8s", view->key.group,
                      kind_text(view->key.kind));
    }
    if (view->is_key && view->key.kind == ROW_SNAPSHOT_PIECE) {
        (void)fprintf(out, "  %" PRIu64 " piece %" PRIu32,
                      view->key.snapshot_index, view->key.piece);
    } else if (view->is_key && view->key.kind == ROW_MACHINE) {
        (void)fputs("  ", out);
        store_print_bytes(out, view->key.own, KV_KEY_BYTES_MAX);
    }
    if (view->err) {
        (void)fprintf(out, "  [%s]", err_text(view->err));
    } else if (view->has_head) {
        print_head(out, &view->head);
        shows_bytes = false;
    } else if (view->key.kind == ROW_APPLIED) {
        (void)fprintf(out, "  %" PRIu64 "  term %" PRIu64, view->applied.index,
                      view->applied.term);
        shows_bytes = false;
    }
    if (shows_bytes) {
        (void)fprintf(out, "  %zu B", view->value.length);
    }
    if (shows_bytes && scan->bytes_max > 0) {
        (void)fputs("  ", out);
        store_print_bytes(out, view->value, (size_t)scan->bytes_max);
    }
    (void)fputc('\n', out);
}

/* ---- JSON ---- */

static void set(json_t *object, const char *name, json_t *value)
{
    (void)json_object_set_new(object, name, value);
}

static void set_number(json_t *object, const char *name, uint64_t value)
{
    set(object, name, json_integer((json_int_t)value));
}

static void set_key(json_t *object, const struct row_key *key)
{
    set_number(object, "group", key->group);
    set(object, "kind", json_string(kind_text(key->kind)));
    if (key->kind == ROW_SNAPSHOT_PIECE) {
        set_number(object, "snapshot", key->snapshot_index);
        set_number(object, "piece", key->piece);
    } else if (key->kind == ROW_MACHINE) {
        set(object, "own", store_print_hex(key->own, SIZE_MAX));
    }
}

static json_t *make_row(const struct scan *scan, const struct row_view *view)
{
    json_t *object = json_object();
    if (view->is_key) {
        set_key(object, &view->key);
    } else {
        set(object, "key", store_print_hex(view->raw, SIZE_MAX));
    }
    if (view->err) {
        set(object, "error", json_string(err_name(view->err)));
    } else if (view->has_head) {
        char time[STORE_PRINT_TIME_BYTES];
        store_print_time(time, view->head.stamp_ms);
        set_number(object, "term", view->head.term);
        set(object, "stamp", json_string(time));
        set_number(object, "pieces", view->head.piece_count);
        set(object, "members",
            store_print_members_json(&view->head.configuration));
    } else if (view->key.kind == ROW_APPLIED) {
        set_number(object, "index", view->applied.index);
        set_number(object, "term", view->applied.term);
    }
    set_number(object, "bytes", view->value.length);
    set(object, "data", store_print_hex(view->value, (size_t)scan->bytes_max));
    return object;
}

/* ---- rows ---- */

static bool visit(void *context, struct bytes key, struct bytes value)
{
    struct scan *scan = context;
    struct row_view view = {.raw = key, .value = value};
    if (scan->limit == 0 || ferror(scan->out)) {
        return false;
    }
    look(&view);
    if (scan->is_of_kind && view.is_key && view.key.kind != scan->kind) {
        return true;
    }
    scan->limit--;
    scan->damage_count += view.err != ERR_NONE;
    if (scan->is_json) {
        scan->err = store_print_json(scan->out, make_row(scan, &view));
    } else {
        print_row(scan, &view);
    }
    return !scan->err;
}

static enum err read_rows(struct scan *scan, const struct kv *kv)
{
    struct row_range range;
    struct bytes from = {0};
    struct bytes end = {0};
    if (scan->group != GROUP_ANY && scan->is_of_kind) {
        row_range_of_kind(&range, (uint32_t)scan->group, scan->kind);
    } else if (scan->group != GROUP_ANY) {
        row_range_of_group(&range, (uint32_t)scan->group);
    }
    if (scan->group != GROUP_ANY) {
        from = range.from;
        end = range.end;
    }
    enum err err = kv->scan(kv->context, from, end, visit, scan);
    return err ? err : scan->err;
}

static bool read_kind(struct scan *scan, const struct command *command)
{
    const char *name = command_value(command, "kind");
    for (size_t i = 0; name && i < KIND_COUNT; i++) {
        if (strcmp(name, kinds[i].name) == 0) {
            scan->is_of_kind = true;
            scan->kind = kinds[i].kind;
        }
    }
    if (name && !scan->is_of_kind) {
        (void)command_misused(command,
                              "--kind: `%.40s` is none of applied, snapshot "
                              "and machine",
                              name);
    }
    return !name || scan->is_of_kind;
}

static bool read_flags(struct scan *scan, const struct command *command)
{
    return read_kind(scan, command) &&
           store_session_number(&scan->group, command, "--group",
                                command_value(command, "group"),
                                ROW_GROUP_MAX) &&
           store_session_number(&scan->limit, command, "--limit",
                                command_value(command, "limit"), UINT64_MAX) &&
           store_session_number(&scan->bytes_max, command, "--bytes",
                                command_value(command, "bytes"), UINT32_MAX);
}

enum exit_code store_scan_run(const struct command *command)
{
    struct scan scan = {.out = command->world->out,
                        .is_json = command_has(command, "json"),
                        .group = GROUP_ANY,
                        .limit = UINT64_MAX,
                        .bytes_max = BYTES_MAX_DEFAULT};
    if (!read_flags(&scan, command)) {
        return EXIT_CODE_USAGE;
    }
    scoped(store_session_close) struct store_session session = {0};
    enum exit_code code =
        store_session_open(&session, command, command_operand(command, 0));
    if (code) {
        return code;
    }
    enum err err = store_session_state(&session);
    err = err ? err : read_rows(&scan, store_session_kv(&session));
    if (err) {
        return store_session_failed(&session, err, session.state_path.text);
    }
    return scan.damage_count > 0 ? EXIT_CODE_FOUND : EXIT_CODE_OK;
}
