#include "node/command.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/pack.h"
#include "base/utf8.h"
#include "node/fields.h"

#define PATH_DEFAULT "PATH=/usr/local/bin:/usr/bin:/bin"
#define OWN_PREFIX "TROUPE_"
#define NUMBERS_BYTES 128 /* of a result, beside what was written */

enum key { KEY_ARGV = 1, KEY_STDIN = 2, KEY_ENV = 4 };

void command_clear(struct command *command)
{
    buffer_clear(&command->arguments);
    buffer_clear(&command->variables);
    *command = (struct command){0};
}

/* ---- the payload ---- */

static bool has_zero(struct bytes text)
{
    return text.length > 0 && memchr(text.data, 0, text.length) != NULL;
}

static enum err append_zero(struct buffer *to)
{
    return buffer_append(to, bytes_of("", 1));
}

static enum err malformed(struct err_detail *why, const char *text)
{
    err_explain(why, "the payload of a command: %s", text);
    return ERR_MALFORMED;
}

static enum err decode_argv(struct command *command,
                            struct reader *reader,
                            struct err_detail *why)
{
    if (pack_peek(reader) != PACK_ARRAY) {
        return malformed(why, "`argv` must be a list of texts");
    }
    uint32_t count = pack_read_array(reader);
    if (count == 0 || count > COMMAND_ARGUMENT_COUNT_MAX) {
        return malformed(why, "`argv` must have 1 to 4096 texts, the program "
                              "first");
    }
    for (uint32_t i = 0; i < count; i++) {
        struct bytes text = pack_read_str(reader);
        if (reader->failed || has_zero(text) || (i == 0 && text.length == 0)) {
            return malformed(why, "`argv` must be texts without zero bytes, "
                                  "the first not empty");
        }
        if (buffer_append(&command->arguments, text) ||
            append_zero(&command->arguments)) {
            return ERR_MEMORY;
        }
        if (i == 0) {
            command->program = text;
        }
    }
    command->argument_count = count;
    return ERR_NONE;
}

static enum err decode_stdin(struct command *command,
                             struct reader *reader,
                             struct err_detail *why)
{
    switch (pack_peek(reader)) {
    case PACK_NIL:
        pack_read_nil(reader);
        return ERR_NONE;
    case PACK_STR:
        command->input = pack_read_str(reader);
        return ERR_NONE;
    case PACK_BIN:
        command->input = pack_read_bin(reader);
        return ERR_NONE;
    default:
        return malformed(why, "`stdin` must be text, bytes or nil");
    }
}

static bool is_variable_name(struct bytes name)
{
    return name.length > 0 && !has_zero(name) &&
           !memchr(name.data, '=', name.length) &&
           (name.length < strlen(OWN_PREFIX) ||
            memcmp(name.data, OWN_PREFIX, strlen(OWN_PREFIX)) != 0);
}

static enum err decode_env(struct command *command,
                           struct reader *reader,
                           struct err_detail *why)
{
    if (pack_peek(reader) != PACK_MAP) {
        return malformed(why, "`env` must be a map of texts");
    }
    uint32_t count = pack_read_map(reader);
    if (count > COMMAND_VARIABLE_COUNT_MAX) {
        return malformed(why, "`env` must have at most 256 variables");
    }
    for (uint32_t i = 0; i < count; i++) {
        struct bytes name = pack_read_str(reader);
        struct bytes value = pack_read_str(reader);
        if (reader->failed || !is_variable_name(name) || has_zero(value)) {
            return malformed(why, "`env` must be texts by names that have no "
                                  "`=`, are not empty and do not begin with "
                                  "TROUPE_");
        }
        if (buffer_append(&command->variables, name) ||
            buffer_append(&command->variables, bytes_of("=", 1)) ||
            buffer_append(&command->variables, value) ||
            append_zero(&command->variables)) {
            return ERR_MEMORY;
        }
    }
    command->variable_count = count;
    return ERR_NONE;
}

static enum err decode_key(struct command *command,
                           struct reader *reader,
                           uint32_t *seen,
                           struct err_detail *why)
{
    static const struct {
        const char *name;
        enum key key;
        enum err (*decode)(struct command *command,
                           struct reader *reader,
                           struct err_detail *why);
    } keys[] = {{"argv", KEY_ARGV, decode_argv},
                {"stdin", KEY_STDIN, decode_stdin},
                {"env", KEY_ENV, decode_env}};
    struct bytes name = pack_read_str(reader);
    for (uint32_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (!reader->failed &&
            bytes_are_equal(name, bytes_of_text(keys[i].name)) &&
            !(*seen & keys[i].key)) {
            *seen |= keys[i].key;
            return keys[i].decode(command, reader, why);
        }
    }
    return malformed(why,
                     "must have the keys `argv`, `stdin` and `env` alone, each "
                     "at most once");
}

static enum err decode(struct command *command,
                       struct bytes payload,
                       struct err_detail *why)
{
    struct reader reader = reader_of(payload);
    uint32_t seen = 0;
    if (pack_peek(&reader) != PACK_MAP) {
        return malformed(why, "must be a MessagePack map with the key `argv`");
    }
    uint32_t count = pack_read_map(&reader);
    for (uint32_t i = 0; i < count; i++) {
        enum err err = decode_key(command, &reader, &seen, why);
        if (err) {
            return err;
        }
    }
    if (reader.failed || reader_left(&reader) > 0) {
        return malformed(why, "is not one whole MessagePack value");
    }
    return seen & KEY_ARGV ? ERR_NONE : malformed(why, "`argv` is missing");
}

enum err command_decode(struct command *out,
                        struct bytes payload,
                        struct err_detail *why)
{
    enum err err = decode(out, payload, why);
    if (err) {
        command_clear(out);
    }
    return err;
}

/* ---- its environment ---- */

static enum err add_variable(struct command *command, const char *text)
{
    command->variable_count++;
    return buffer_append(&command->variables, bytes_of(text, strlen(text) + 1));
}

static enum err add_number(struct command *command,
                           const char *name,
                           uint64_t value)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%s=%" PRIu64, name, value);
    return add_variable(command, text);
}

/* Behind those of the payload, if these do not have the same name: programs
 * take the first, and some the last. */
static bool has_variable(const struct command *command, const char *text)
{
    size_t name_bytes = strcspn(text, "=") + 1;
    struct bytes all = buffer_bytes(&command->variables);
    const char *at = (const char *)all.data;
    for (uint32_t i = 0; i < command->variable_count; i++) {
        if (strncmp(at, text, name_bytes) == 0) {
            return true;
        }
        at += strlen(at) + 1;
    }
    return false;
}

enum err command_add_environment(struct command *command, const struct run *run)
{
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < run->pool->variable_count && !err; i++) {
        const char *text = run->pool->variables[i];
        if (strncmp(text, OWN_PREFIX, strlen(OWN_PREFIX)) != 0 &&
            !has_variable(command, text)) {
            err = add_variable(command, text);
        }
    }
    if (!err && !has_variable(command, PATH_DEFAULT)) {
        err = add_variable(command, PATH_DEFAULT);
    }
    err = err ? err : add_number(command, "TROUPE_TASK", run->task);
    err = err ? err : add_number(command, "TROUPE_ATTEMPT", run->attempt);
    return err ? err : add_number(command, "TROUPE_FENCE", run->token);
}

/* ---- what comes back ---- */

void command_signal_name(char name[static 32], int signal)
{
    const char *known = sigabbrev_np(signal);
    if (known) {
        (void)snprintf(name, 32, "SIG%s", known);
    } else {
        (void)snprintf(name, 32, "signal %d", signal);
    }
}

/* How much of it is whole UTF-8: all, or, if it was cut, all but what is left
 * of its last character; 0: it is no text. */
static size_t text_bytes(struct bytes bytes, bool is_cut)
{
    size_t found = 0;
    char *text = malloc(bytes.length + 1);
    if (!text) {
        return 0;
    }
    memcpy(text, bytes.data, bytes.length);
    for (size_t less = 0; less < (is_cut ? 4u : 1u) && found == 0; less++) {
        size_t length = bytes.length > less ? bytes.length - less : 0;
        text[length] = 0;
        if (strlen(text) == length && utf8_is_valid(text)) {
            found = length;
        }
    }
    free(text);
    return found;
}

static void add_output(struct fields *map,
                       const char *key,
                       struct bytes bytes,
                       uint64_t *cut_bytes)
{
    size_t length = bytes.length > 0 ? text_bytes(bytes, *cut_bytes > 0) : 0;
    fields_key(map, key);
    if (bytes.length > 0 && length == 0) {
        pack_bin(map->writer, bytes);
        return;
    }
    *cut_bytes += bytes.length - length;
    pack_str(map->writer, bytes_of(bytes.data, length));
}

enum err command_encode_result(struct buffer *to,
                               const struct spawn_ended *ended)
{
    uint8_t *at = NULL;
    char signal[32];
    uint64_t cut_bytes = ended->cut_bytes;
    size_t bytes_max =
        NUMBERS_BYTES + ended->output.length + ended->errors.length;
    enum err err = buffer_reserve(to, bytes_max, &at);
    if (err) {
        return err;
    }
    struct writer writer = writer_of(at, bytes_max);
    struct fields map = fields_begin(&writer);
    if (ended->end == SPAWN_EXITED) {
        fields_int(&map, "exit", ended->code);
    } else {
        fields_nil(&map, "exit");
    }
    add_output(&map, "stdout", ended->output, &cut_bytes);
    add_output(&map, "stderr", ended->errors, &cut_bytes);
    if (ended->end != SPAWN_EXITED && ended->code > 0) {
        command_signal_name(signal, ended->code);
        fields_text(&map, "signal", signal);
    }
    if (cut_bytes > 0) {
        fields_uint(&map, "cut", cut_bytes);
    }
    fields_end(&map);
    buffer_grow(to, writer_bytes(&writer).length);
    return ERR_NONE;
}
