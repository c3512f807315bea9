#include "admin/store_print.h"

#include "base/time_units.h"
#include "store/disk.h"
#include "store/group_mark.h"
#include "store/raft_entry.h"
#include "store/wal_format.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

/* ---- plain things ---- */

void store_print_time(char out[static STORE_PRINT_TIME_BYTES], int64_t ms)
{
    struct tm parts = {0};
    int64_t rest = ms % MS_PER_S;
    time_t seconds = (time_t)(ms / MS_PER_S);
    char text[STORE_PRINT_TIME_BYTES];
    if (ms < 0 || !gmtime_r(&seconds, &parts) || parts.tm_year > 9999 - 1900 ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts) == 0) {
        (void)snprintf(out, STORE_PRINT_TIME_BYTES, "%" PRId64, ms);
        return;
    }
    (void)snprintf(out, STORE_PRINT_TIME_BYTES, "%.19s.%03dZ", text, (int)rest);
}

void store_print_bytes(FILE *out, struct bytes bytes, size_t max)
{
    size_t length = bytes.length < max ? bytes.length : max;
    (void)fputc('"', out);
    for (size_t i = 0; i < length; i++) {
        uint8_t byte = bytes.data[i];
        if (byte == '"' || byte == '\\') {
            (void)fprintf(out, "\\%c", byte);
        } else if (byte >= ' ' && byte <= '~') {
            (void)fputc(byte, out);
        } else {
            (void)fprintf(out, "\\x%02x", byte);
        }
    }
    (void)fputc('"', out);
    if (length < bytes.length) {
        (void)fprintf(out, "+%zu", bytes.length - length);
    }
}

json_t *store_print_hex(struct bytes bytes, size_t max)
{
    size_t length = bytes.length < max ? bytes.length : max;
    char *text = malloc(2 * length + 1);
    if (!text) {
        return NULL;
    }
    hex_encode(text, bytes_of(bytes.data, length));
    json_t *hex = json_string(text);
    free(text);
    return hex;
}

enum err store_print_json(FILE *out, json_t *document)
{
    if (!document) {
        return ERR_MEMORY;
    }
    int failed = json_dumpf(document, out, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(document);
    return failed || fputc('\n', out) == EOF ? ERR_IO : ERR_NONE;
}

/* ---- members ---- */

void store_print_members(FILE *out,
                         const struct raft_configuration *configuration)
{
    for (uint32_t i = 0; i < configuration->count; i++) {
        const struct raft_member *member = &configuration->members[i];
        (void)fprintf(out, "%s%" PRIu64 "@%" PRIu32 "%s", i > 0 ? " " : "",
                      member->number, member->node,
                      member->is_voter ? "" : "(learner)");
    }
}

json_t *store_print_members_json(const struct raft_configuration *configuration)
{
    json_t *members = json_array();
    for (uint32_t i = 0; i < configuration->count; i++) {
        const struct raft_member *member = &configuration->members[i];
        char disk[2 * sizeof(uint64_t) + 1];
        (void)snprintf(disk, sizeof disk, "%016" PRIx64, member->disk_id);
        (void)json_array_append_new(
            members, json_pack("{s:I, s:I, s:s, s:b}", "replica",
                               (json_int_t)member->number, "node",
                               (json_int_t)member->node, "disk", disk, "voter",
                               member->is_voter));
    }
    return members;
}

/* ---- records ---- */

static const char *kind_text(enum wal_kind kind)
{
    static const char *const texts[] = {
        [WAL_ENTRY] = "entry",   [WAL_TRUNCATE] = "truncate",
        [WAL_VOTE] = "vote",     [WAL_SNAPSHOT] = "snapshot",
        [WAL_FORGET] = "forget",
    };
    return texts[kind];
}

static const char *type_text(uint8_t type)
{
    switch (type) {
    case RAFT_NOTHING:
        return "nothing";
    case RAFT_CONFIGURATION:
        return "configuration";
    case RAFT_COMMANDS:
        return "commands";
    default:
        return "unknown";
    }
}

/* What stands in an entry of commands. */
struct commands {
    char time[STORE_PRINT_TIME_BYTES];
    struct bytes first; /* outcome */
    uint32_t count;
    bool is_malformed;
};

static enum err look_at_commands(struct commands *out, struct bytes bytes)
{
    struct raft_entry_commands commands;
    struct bytes outcome;
    *out = (struct commands){0};
    enum err err = raft_entry_commands_decode(&commands, bytes);
    if (err) {
        return err;
    }
    store_print_time(out->time, commands.stamp_ms);
    while (raft_entry_next_outcome(&commands, &outcome)) {
        out->first = out->count == 0 ? outcome : out->first;
        out->count++;
    }
    out->is_malformed = commands.outcomes.failed;
    return ERR_NONE;
}

static void print_commands(FILE *out, const struct store_print_record *about)
{
    struct commands commands;
    struct bytes bytes = about->record->bytes;
    enum err err = look_at_commands(&commands, bytes);
    if (err) {
        (void)fprintf(out, "  [%s]", err_text(err));
    } else {
        (void)fprintf(out, "  %s  %" PRIu32 " outcome%s%s", commands.time,
                      commands.count, commands.count == 1 ? "" : "s",
                      commands.is_malformed ? " [malformed]" : "");
    }
    (void)fprintf(out, "  %zu B", bytes.length);
    if (about->bytes_max > 0 && (err || commands.count > 0)) {
        (void)fputs("  ", out);
        store_print_bytes(out, err ? bytes : commands.first, about->bytes_max);
    }
}

static void print_configuration(FILE *out, struct bytes bytes)
{
    struct raft_configuration configuration;
    enum err err = raft_configuration_decode(&configuration, bytes);
    if (err) {
        (void)fprintf(out, "  [%s]", err_text(err));
        return;
    }
    (void)fputs("  members ", out);
    store_print_members(out, &configuration);
}

static void print_entry(FILE *out, const struct store_print_record *about)
{
    const struct wal_record *record = about->record;
    (void)fprintf(out, "  %" PRIu64 "  term %" PRIu64 "  %s", record->index,
                  record->term, type_text(record->type));
    switch (record->type) {
    case RAFT_NOTHING:
        break;
    case RAFT_CONFIGURATION:
        print_configuration(out, record->bytes);
        break;
    case RAFT_COMMANDS:
        print_commands(out, about);
        break;
    default:
        (void)fprintf(out, " %u  %zu B", record->type, record->bytes.length);
        break;
    }
}

static void print_snapshot(FILE *out, const struct wal_record *record)
{
    struct group_mark mark;
    bool resets = record->type == WAL_FORMAT_SNAPSHOT_RESETS;
    if (record->index == 0) {
        (void)fprintf(out, "  0  the group begins");
    } else {
        (void)fprintf(out, "  %" PRIu64 "  term %" PRIu64 "%s", record->index,
                      record->term, resets ? "  all entries end" : "");
    }
    enum err err = group_mark_decode(&mark, record->bytes);
    if (err) {
        (void)fprintf(out, "  [%s]", err_text(err));
        return;
    }
    (void)fprintf(out, "  replica %" PRIu64 "  members ", mark.number);
    store_print_members(out, &mark.configuration);
}

void store_print_record(FILE *out, const struct store_print_record *about)
{
    const struct wal_record *record = about->record;
    char name[DISK_NAME_BYTES];
    wal_format_name(name, about->place.segment);
    (void)fprintf(out, "%s:%-9" PRIu64, name, about->place.offset);
    if (record->group == WAL_GROUP_UNLISTED) {
        (void)fprintf(out, " all others");
    } else {
        (void)fprintf(out, " group %" PRIu32, record->group);
    }
    (void)fprintf(out, "  %-8s", kind_text(record->kind));
    switch (record->kind) {
    case WAL_ENTRY:
        print_entry(out, about);
        break;
    case WAL_SNAPSHOT:
        print_snapshot(out, record);
        break;
    case WAL_TRUNCATE:
        (void)fprintf(out, "  from %" PRIu64, record->index);
        break;
    case WAL_VOTE:
        (void)fprintf(out, "  term %" PRIu64 "  for %" PRIu64, record->term,
                      record->vote);
        break;
    case WAL_FORGET:
        break;
    }
    (void)fputc('\n', out);
}

/* ---- records as JSON ---- */

static void set(json_t *object, const char *name, json_t *value)
{
    (void)json_object_set_new(object, name, value);
}

static void set_number(json_t *object, const char *name, uint64_t value)
{
    set(object, name, json_integer((json_int_t)value));
}

static void set_configuration(json_t *object, struct bytes bytes)
{
    struct raft_configuration configuration;
    enum err err = raft_configuration_decode(&configuration, bytes);
    if (err) {
        set(object, "error", json_string(err_name(err)));
    } else {
        set(object, "members", store_print_members_json(&configuration));
    }
}

static void set_commands(json_t *object, struct bytes bytes)
{
    struct commands commands;
    enum err err = look_at_commands(&commands, bytes);
    if (!err) {
        set(object, "stamp", json_string(commands.time));
        set_number(object, "outcomes", commands.count);
        err = commands.is_malformed ? ERR_MALFORMED : ERR_NONE;
    }
    if (err) {
        set(object, "error", json_string(err_name(err)));
    }
}

static void set_mark(json_t *object, const struct wal_record *record)
{
    struct group_mark mark;
    set(object, "resets",
        json_boolean(record->type == WAL_FORMAT_SNAPSHOT_RESETS));
    enum err err = group_mark_decode(&mark, record->bytes);
    if (err) {
        set(object, "error", json_string(err_name(err)));
        return;
    }
    set_number(object, "replica", mark.number);
    set(object, "members", store_print_members_json(&mark.configuration));
}

static void set_entry(json_t *object, const struct store_print_record *about)
{
    const struct wal_record *record = about->record;
    set(object, "type", json_string(type_text(record->type)));
    if (record->type == RAFT_CONFIGURATION) {
        set_configuration(object, record->bytes);
    } else if (record->type == RAFT_COMMANDS) {
        set_commands(object, record->bytes);
    }
    set_number(object, "bytes", record->bytes.length);
    set(object, "data", store_print_hex(record->bytes, about->bytes_max));
}

json_t *store_print_record_json(const struct store_print_record *about)
{
    const struct wal_record *record = about->record;
    json_t *object = json_object();
    set_number(object, "segment", about->place.segment);
    set_number(object, "offset", about->place.offset);
    if (record->group != WAL_GROUP_UNLISTED) {
        set_number(object, "group", record->group);
    }
    set(object, "kind", json_string(kind_text(record->kind)));
    if (record->kind != WAL_VOTE && record->kind != WAL_FORGET) {
        set_number(object, "index", record->index);
    }
    if (record->kind != WAL_TRUNCATE && record->kind != WAL_FORGET) {
        set_number(object, "term", record->term);
    }
    if (record->kind == WAL_VOTE) {
        set_number(object, "vote", record->vote);
    } else if (record->kind == WAL_SNAPSHOT) {
        set_mark(object, record);
    } else if (record->kind == WAL_ENTRY) {
        set_entry(object, about);
    }
    return object;
}
