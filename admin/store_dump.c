#include "admin/store_print.h"
#include "admin/store_session.h"
#include "admin/store_verbs.h"
#include "base/scope.h"
#include "store/raft_entry.h"
#include "store/wal_format.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX_DEFAULT 48

/* ---- dump ---- */

struct dump {
    FILE *out;
    FILE *talk;
    bool is_json;
    bool is_of_one; /* group */
    bool is_of_range;
    uint64_t group;
    uint64_t from; /* indexes */
    uint64_t to;
    uint64_t bytes_max;
    uint64_t damage_count;
    enum err err;
};

static bool is_wanted(const struct dump *dump, const struct wal_record *record)
{
    if (dump->is_of_one && record->group != dump->group) {
        return false;
    }
    if (record->kind == WAL_VOTE || record->kind == WAL_FORGET) {
        return !dump->is_of_range;
    }
    return record->index >= dump->from && record->index <= dump->to;
}

static bool dump_record(void *context,
                        const struct wal_reader_place *place,
                        const struct wal_record *record)
{
    struct dump *dump = context;
    if (!is_wanted(dump, record)) {
        return true;
    }
    struct store_print_record about = {.place = *place,
                                       .record = record,
                                       .bytes_max = (size_t)dump->bytes_max};
    if (dump->is_json) {
        dump->err =
            store_print_json(dump->out, store_print_record_json(&about));
    } else {
        store_print_record(dump->out, &about);
    }
    /* As in "dump | head": nobody reads on. */
    return !dump->err && !ferror(dump->out);
}

static bool dump_damage(void *context,
                        const struct wal_reader_place *place,
                        const char *what)
{
    struct dump *dump = context;
    char name[DISK_NAME_BYTES];
    wal_format_name(name, place->segment);
    (void)fflush(dump->out);
    (void)fprintf(dump->talk, "%s:%" PRIu64 ": %s\n", name, place->offset,
                  what);
    dump->damage_count++;
    return true;
}

static bool read_dump_flags(struct dump *dump, const struct command *command)
{
    const char *group = command_value(command, "group");
    const char *from = command_value(command, "from");
    const char *to = command_value(command, "to");
    const char *bytes = command_value(command, "bytes");
    dump->to = UINT64_MAX;
    dump->bytes_max = BYTES_MAX_DEFAULT;
    dump->is_of_one = group != NULL;
    dump->is_of_range = from || to;
    return store_session_number(&dump->group, command, "--group", group,
                                UINT32_MAX - 1) &&
           store_session_number(&dump->from, command, "--from", from,
                                UINT64_MAX) &&
           store_session_number(&dump->to, command, "--to", to, UINT64_MAX) &&
           store_session_number(&dump->bytes_max, command, "--bytes", bytes,
                                UINT32_MAX);
}

enum exit_code store_dump_run(const struct command *command)
{
    struct dump dump = {.out = command->world->out,
                        .talk = command->world->talk,
                        .is_json = command_has(command, "json")};
    if (!read_dump_flags(&dump, command)) {
        return EXIT_CODE_USAGE;
    }
    scoped(store_session_close) struct store_session session = {0};
    enum exit_code code =
        store_session_open(&session, command, command_operand(command, 0));
    if (code) {
        return code;
    }
    struct wal_reader_visitor visitor = {
        .context = &dump, .on_record = dump_record, .on_damage = dump_damage};
    enum err err = store_session_log(&session);
    err = err ? err : wal_reader_walk(session.log, &visitor);
    err = err ? err : dump.err;
    if (err) {
        return store_session_failed(&session, err, session.log_path.text);
    }
    return dump.damage_count > 0 ? EXIT_CODE_FOUND : EXIT_CODE_OK;
}

/* ---- get ---- */

/* The newest record of an index: it is the one that lives, if any does. */
struct sought {
    uint32_t group;
    uint64_t index;
    bool is_found;
    enum err err;
    struct wal_reader_place place;
    struct wal_record record;
    uint8_t *bytes; /* holds record.bytes */
};

static void sought_clear(struct sought *sought)
{
    free(sought->bytes);
}

static bool seek_record(void *context,
                        const struct wal_reader_place *place,
                        const struct wal_record *record)
{
    struct sought *sought = context;
    if (record->kind != WAL_ENTRY || record->group != sought->group ||
        record->index != sought->index) {
        return true;
    }
    uint8_t *bytes = malloc(record->bytes.length + 1);
    if (!bytes) {
        sought->err = ERR_MEMORY;
        return false;
    }
    if (record->bytes.length > 0) {
        memcpy(bytes, record->bytes.data, record->bytes.length);
    }
    free(sought->bytes);
    sought->bytes = bytes;
    sought->is_found = true;
    sought->place = *place;
    sought->record = *record;
    sought->record.bytes = bytes_of(bytes, record->bytes.length);
    return true;
}

static void print_outcomes(FILE *out, struct bytes bytes)
{
    struct raft_entry_commands commands;
    struct bytes outcome;
    if (raft_entry_commands_decode(&commands, bytes)) {
        store_print_bytes(out, bytes, SIZE_MAX);
        (void)fputc('\n', out);
        return;
    }
    while (raft_entry_next_outcome(&commands, &outcome)) {
        (void)fprintf(out, "%6zu B  ", outcome.length);
        store_print_bytes(out, outcome, SIZE_MAX);
        (void)fputc('\n', out);
    }
}

static void set_outcomes(json_t *object, struct bytes bytes)
{
    struct raft_entry_commands commands;
    struct bytes outcome;
    if (raft_entry_commands_decode(&commands, bytes)) {
        return;
    }
    json_t *list = json_array();
    while (raft_entry_next_outcome(&commands, &outcome)) {
        (void)json_array_append_new(list, store_print_hex(outcome, SIZE_MAX));
    }
    (void)json_object_set_new(object, "outcome_data", list);
}

static enum err print_found(const struct command *command,
                            const struct sought *sought,
                            bool lives)
{
    FILE *out = command->world->out;
    bool is_commands = sought->record.type == RAFT_COMMANDS;
    struct store_print_record about = {.place = sought->place,
                                       .record = &sought->record,
                                       .bytes_max = is_commands ? 0 : SIZE_MAX};
    if (command_has(command, "json")) {
        about.bytes_max = SIZE_MAX;
        json_t *object = store_print_record_json(&about);
        (void)json_object_set_new(object, "schema",
                                  json_string("troupe.store.get"));
        (void)json_object_set_new(object, "version", json_integer(1));
        (void)json_object_set_new(object, "lives", json_boolean(lives));
        if (is_commands) {
            set_outcomes(object, sought->record.bytes);
        }
        return store_print_json(out, object);
    }
    store_print_record(out, &about);
    if (is_commands) {
        print_outcomes(out, sought->record.bytes);
    } else if (sought->record.type > RAFT_COMMANDS) {
        store_print_bytes(out, sought->record.bytes, SIZE_MAX);
        (void)fputc('\n', out);
    }
    return ERR_NONE;
}

/* What the log knows of the group says why there is no such entry, or why
 * the one that was found is dead. */
static void tell_standing(const struct command *command,
                          const struct sought *sought,
                          const struct wal_group *group)
{
    FILE *talk = command->world->talk;
    (void)fflush(command->world->out);
    if (!group) {
        (void)fprintf(talk, "The log has nothing of group %" PRIu32 ".\n",
                      sought->group);
    } else if (group->is_lost) {
        (void)fprintf(talk,
                      "Group %" PRIu32 " has lost records: it comes back from "
                      "its peers, whatever is here.\n",
                      sought->group);
    } else if (sought->index <= group->snapshot_index) {
        (void)fprintf(talk,
                      "Group %" PRIu32 " has a snapshot at %" PRIu64
                      ": entries up to it live no more.\n",
                      sought->group, group->snapshot_index);
    } else if (sought->index > group->last_index) {
        (void)fprintf(talk,
                      "The last entry of group %" PRIu32 " is %" PRIu64 ".\n",
                      sought->group, group->last_index);
    }
}

static enum exit_code get(struct store_session *session, struct sought *sought)
{
    const struct command *command = session->command;
    struct wal_reader_visitor visitor = {.context = sought,
                                         .on_record = seek_record};
    enum err err = store_session_log(session);
    err = err ? err : wal_reader_walk(session->log, &visitor);
    err = err ? err : sought->err;
    if (err) {
        return store_session_failed(session, err, session->log_path.text);
    }
    struct wal_group group;
    bool is_known = wal_reader_find(session->log, sought->group, &group);
    bool lives = is_known && !group.is_lost &&
                 sought->index > group.snapshot_index &&
                 sought->index <= group.last_index;
    if (sought->is_found) {
        err = print_found(command, sought, lives);
        if (err) {
            return command_failed(command, err, "the output");
        }
    }
    tell_standing(command, sought, is_known ? &group : NULL);
    if (!sought->is_found) {
        return command_failed(command, ERR_NOT_FOUND,
                              "entry %" PRIu64 " of group %" PRIu32,
                              sought->index, sought->group);
    }
    return lives ? EXIT_CODE_OK : EXIT_CODE_FOUND;
}

enum exit_code store_get_run(const struct command *command)
{
    bool has_dir = command->operand_count == 3;
    uint64_t group = 0;
    scoped(sought_clear) struct sought sought = {0};
    if (!store_session_number(&group, command, "GROUP",
                              command_operand(command, has_dir ? 1 : 0),
                              UINT32_MAX - 1) ||
        !store_session_number(&sought.index, command, "INDEX",
                              command_operand(command, has_dir ? 2 : 1),
                              UINT64_MAX)) {
        return EXIT_CODE_USAGE;
    }
    sought.group = (uint32_t)group;
    scoped(store_session_close) struct store_session session = {0};
    enum exit_code code = store_session_open(
        &session, command, has_dir ? command_operand(command, 0) : NULL);
    return code ? code : get(&session, &sought);
}
