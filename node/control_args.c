#include "node/control_args.h"

#include "base/hash.h"
#include "base/pack.h"
#include "base/utf8.h"

#include <stddef.h>

#define KEY_BYTES 24

/* ---- one value; what is not right makes the reader fail ---- */

static void read_name(struct reader *reader, void *to)
{
    char *name = to;
    pack_read_text(reader, name, CERTIFICATE_NAME_BYTES);
    if (!certificate_name_is_valid(name)) {
        reader->failed = true;
        name[0] = '\0';
    }
}

static void read_state(struct reader *reader, void *to)
{
    char name[CERTIFICATE_NAME_BYTES];
    enum member_state *state = to;
    pack_read_text(reader, name, sizeof name);
    *state = member_state_find(name);
    if (*state == MEMBER_STATE_COUNT) {
        reader->failed = true;
        *state = MEMBER_ACTIVE;
    }
}

static void read_number(struct reader *reader, void *to)
{
    uint64_t *number = to;
    *number = pack_read_uint(reader);
}

static void read_limit(struct reader *reader, void *to)
{
    uint64_t *limit = to;
    *limit = pack_read_uint_to(reader, 1024);
    if (*limit == 0) {
        reader->failed = true;
    }
}

static void read_text(struct reader *reader, void *to)
{
    struct bytes *text = to;
    *text = pack_read_str(reader);
    if (text->length < 1 || text->length > CONTROL_TEXT_BYTES_MAX) {
        reader->failed = true;
        *text = (struct bytes){0};
    }
}

static void read_names(struct reader *reader, void *to)
{
    char name[CERTIFICATE_NAME_BYTES];
    struct bytes *list = to;
    const uint8_t *start = reader->next;
    uint32_t count = pack_read_array_of(reader, 0, MEMBER_NUMBERS_MAX);
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        read_name(reader, name);
    }
    if (!reader->failed) {
        *list = bytes_of(start, (size_t)(reader->next - start));
    }
}

static void read_setting(struct reader *reader, void *to)
{
    struct view_setting *setting = to;
    pack_read_text(reader, setting->key, sizeof setting->key);
    pack_read_text(reader, setting->value, sizeof setting->value);
    if (setting->key[0] == '\0' || !utf8_is_printable(setting->key) ||
        !utf8_is_printable(setting->value)) {
        reader->failed = true;
    }
}

static void read_settings(struct reader *reader, void *to)
{
    struct view_setting setting;
    struct bytes *map = to;
    const uint8_t *start = reader->next;
    uint32_t count = pack_read_map(reader);
    reader->failed = reader->failed || count > VIEW_SETTINGS_MAX;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        read_setting(reader, &setting);
    }
    if (!reader->failed) {
        *map = bytes_of(start, (size_t)(reader->next - start));
    }
}

static void read_task(struct reader *reader, void *to)
{
    char text[TASK_ID_BYTES];
    uint64_t *id = to;
    pack_read_text(reader, text, sizeof text);
    reader->failed = reader->failed || task_id_parse(id, text);
}

static void read_task_state(struct reader *reader, void *to)
{
    char name[CERTIFICATE_NAME_BYTES];
    enum task_state *state = to;
    *state = 0;
    pack_read_text(reader, name, sizeof name);
    while (*state < TASK_STATE_COUNT &&
           strcmp(task_state_name(*state), name) != 0) {
        ++*state;
    }
    if (*state == TASK_STATE_COUNT) {
        reader->failed = true;
        *state = TASK_WAITING;
    }
}

/* Of what is in it, who takes it knows. */
static void read_definition(struct reader *reader, void *to)
{
    struct bytes *map = to;
    const uint8_t *start = reader->next;
    bool is_map = pack_peek(reader) == PACK_MAP;
    pack_skip(reader);
    reader->failed = reader->failed || !is_map;
    if (!reader->failed) {
        *map = bytes_of(start, (size_t)(reader->next - start));
    }
}

static void read_value(struct reader *reader, void *to)
{
    int64_t *value = to;
    *value = pack_read_int(reader);
}

/* A text stands for its hash. */
static void read_key(struct reader *reader, void *to)
{
    uint64_t *key = to;
    if (pack_peek(reader) != PACK_STR) {
        *key = pack_read_uint(reader);
        reader->failed = reader->failed || *key == 0;
        return;
    }
    struct bytes text = {0};
    read_text(reader, &text);
    if (!reader->failed) {
        *key = hash_bytes(text, 0);
        *key += *key == 0;
    }
}

static void read_flag(struct reader *reader, void *to)
{
    bool *flag = to;
    *flag = pack_read_bool(reader);
}

/* ---- all of them ---- */

#define A_NAME "a name: 1 to 63 of a-z 0-9 . _ -"
#define A_TEXT "a text of 1 to 256 bytes"
#define A_LIST "a list of at most 512 names"
#define A_FLAG "true or false"

#define AT(member) offsetof(struct control_args, member)

static const struct {
    const char *key;
    uint32_t arg;
    size_t at;
    void (*read)(struct reader *reader, void *to);
    const char *what;
} rows[] = {
    /* clang-format off */
    {"name", ARG_NAME, AT(name), read_name, A_NAME},
    {"to", ARG_TO, AT(to), read_name, A_NAME},
    {"state", ARG_STATE, AT(state), read_state,
     "active, cordoned, draining or down"},
    {"shard", ARG_SHARD, AT(shard), read_number, "a shard's number"},
    {"type", ARG_TYPE, AT(type), read_text, A_TEXT},
    {"id", ARG_ID, AT(id), read_text, A_TEXT},
    {"shards", ARG_SHARDS, AT(shards), read_text, A_TEXT},
    {"add", ARG_ADD, AT(add), read_names, A_LIST},
    {"remove", ARG_REMOVE, AT(remove), read_names, A_LIST},
    {"since", ARG_SINCE, AT(since), read_number, "the number of a line"},
    {"limit", ARG_LIMIT, AT(limit), read_limit, "1 to 1024"},
    {"value", ARG_VALUE, AT(value), read_value, "a whole number of 64 bits"},
    {"key", ARG_KEY, AT(key), read_key,
     "a number from 1 on, or " A_TEXT},
    {"stale", ARG_STALE, AT(is_stale), read_flag, A_FLAG},
    {"force", ARG_FORCE, AT(is_forced), read_flag, A_FLAG},
    {"settings", ARG_SETTINGS, AT(settings), read_settings,
     "a map of at most 64 keys of `cluster` and their values, all texts"},
    {"settings_version", ARG_VERSION, AT(version), read_number,
     "the version of the settings that the plan was made from"},
    {"dry_run", ARG_DRY_RUN, AT(is_dry_run), read_flag, A_FLAG},
    {"empty", ARG_EMPTY, AT(is_empty), read_flag, A_FLAG},
    {"id", ARG_TASK, AT(task), read_task, "a task's id, such as 17-4021"},
    {"state", ARG_TASK_STATE, AT(task_state), read_task_state,
     "waiting, done, dead, cancelled or expired"},
    {"since_ms", ARG_SINCE_MS, AT(since_ms), read_number,
     "milliseconds since 1970"},
    {"cursor", ARG_CURSOR, AT(cursor), read_number,
     "the `cursor` of an answer"},
    {"token", ARG_TOKEN, AT(token), read_number, "an attempt's token"},
    {"stdout_at", ARG_STDOUT, AT(stdout_at), read_number, "bytes"},
    {"stderr_at", ARG_STDERR, AT(stderr_at), read_number, "bytes"},
    {"until_ms", ARG_UNTIL, AT(until_ms), read_number,
     "milliseconds since 1970"},
    {"pool", ARG_POOL, AT(pool), read_name, A_NAME},
    {"definition", ARG_DEFINITION, AT(definition), read_definition,
     "a map of a pool's fields"},
    /* clang-format on */
};

#define ROW_COUNT (sizeof rows / sizeof rows[0])

static enum err read_pair(struct control_args *args,
                          uint32_t possible,
                          struct reader *reader,
                          struct err_detail *why)
{
    char key[KEY_BYTES];
    pack_read_text(reader, key, sizeof key);
    size_t row = 0;
    while (row < ROW_COUNT &&
           !(strcmp(rows[row].key, key) == 0 && (rows[row].arg & possible))) {
        row++;
    }
    if (row == ROW_COUNT) {
        bool shows = key[0] != '\0' && utf8_is_printable(key);
        err_explain(why, "%s: this verb has no such argument",
                    shows ? key : "an argument");
        return ERR_INVALID;
    }
    if (args->given & rows[row].arg) {
        err_explain(why, "%s: is there twice", key);
        return ERR_INVALID;
    }
    if (pack_peek(reader) == PACK_NIL) {
        pack_read_nil(reader);
        return ERR_NONE;
    }
    rows[row].read(reader, (uint8_t *)args + rows[row].at);
    args->given |= rows[row].arg;
    if (reader->failed) {
        err_explain(why, "%s: must be %s", key, rows[row].what);
        return ERR_INVALID;
    }
    return ERR_NONE;
}

static enum err check_required(const struct control_args *args,
                               uint32_t required,
                               struct err_detail *why)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if ((required & rows[i].arg) && !(args->given & rows[i].arg)) {
            err_explain(why, "%s: is missing; %s", rows[i].key, rows[i].what);
            return ERR_INVALID;
        }
    }
    return ERR_NONE;
}

enum err control_args_decode(struct control_args *out,
                             struct bytes bytes,
                             uint32_t required,
                             uint32_t optional,
                             struct err_detail *why)
{
    struct control_args args = {0};
    struct reader reader = reader_of(bytes);
    uint32_t count = bytes.length > 0 ? pack_read_map(&reader) : 0;
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < count && !err; i++) {
        err = read_pair(&args, required | optional, &reader, why);
    }
    if (err) {
        return err;
    }
    if (reader.failed || reader_left(&reader) > 0) {
        err_explain(why, "the arguments are no map");
        return ERR_MALFORMED;
    }
    err = check_required(&args, required, why);
    if (args.given & ARG_TASK) {
        args.shard = task_id_shard(args.task);
    }
    if (!err) {
        *out = args;
    }
    return err;
}

struct reader control_args_names(struct bytes list, uint32_t *count)
{
    struct reader reader = reader_of(list);
    *count = list.length > 0 ? pack_read_array(&reader) : 0;
    return reader;
}

void control_args_next_name(struct reader *reader,
                            char to[static CERTIFICATE_NAME_BYTES])
{
    read_name(reader, to);
}

struct reader control_args_settings(struct bytes map, uint32_t *count)
{
    struct reader reader = reader_of(map);
    *count = map.length > 0 ? pack_read_map(&reader) : 0;
    return reader;
}

void control_args_next_setting(struct reader *reader, struct view_setting *to)
{
    read_setting(reader, to);
}
