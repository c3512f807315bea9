#include "base/spawn_wire.h"

#include <assert.h>

#define LENGTH_BYTES 4 /* before each message */
#define HEAD_BYTES 128 /* at least what all numbers of a message need */

/* A message of at most so many bytes behind what is in `to`. */
static enum err begin(struct writer *out,
                      struct buffer *to,
                      enum spawn_kind kind,
                      size_t bytes)
{
    uint8_t *at = NULL;
    size_t bytes_max = LENGTH_BYTES + HEAD_BYTES + bytes;
    enum err err = buffer_reserve(to, bytes_max, &at);
    if (err) {
        return err;
    }
    *out = writer_of(at, bytes_max);
    write_u32(out, 0);
    write_u8(out, (uint8_t)kind);
    return ERR_NONE;
}

static enum err end(struct buffer *to, struct writer *writer)
{
    assert(!writer->failed);
    size_t length = writer_bytes(writer).length;
    if (length - LENGTH_BYTES > SPAWN_MESSAGE_BYTES_MAX) {
        return ERR_MEMORY;
    }
    put_u32(writer->start, (uint32_t)(length - LENGTH_BYTES));
    buffer_grow(to, length);
    return ERR_NONE;
}

static void put_bytes(struct writer *writer, struct bytes bytes)
{
    write_u32(writer, (uint32_t)bytes.length);
    write_bytes(writer, bytes.data, bytes.length);
}

static struct bytes get_bytes(struct reader *reader)
{
    return read_bytes(reader, read_u32(reader));
}

/* With its zero. */
static void put_text(struct writer *writer, const char *text)
{
    put_bytes(writer, bytes_of(text, strlen(text) + 1));
}

static const char *get_text(struct reader *reader)
{
    struct bytes bytes = get_bytes(reader);
    if (bytes.length == 0 || bytes.data[bytes.length - 1] != 0) {
        reader->failed = true;
        return "";
    }
    return (const char *)bytes.data;
}

static void put_texts(struct writer *writer, const struct spawn_texts *texts)
{
    write_u32(writer, texts->count);
    put_bytes(writer, texts->bytes);
}

static struct spawn_texts get_texts(struct reader *reader)
{
    struct spawn_texts texts = {.count = read_u32(reader)};
    texts.bytes = get_bytes(reader);
    uint32_t count = 0;
    for (size_t i = 0; i < texts.bytes.length; i++) {
        count += texts.bytes.data[i] == 0;
    }
    if (count != texts.count ||
        (count > 0 && texts.bytes.data[texts.bytes.length - 1] != 0)) {
        reader->failed = true;
    }
    return texts;
}

static void put_limits(struct writer *writer, const struct spawn_limits *limits)
{
    write_u64(writer, limits->cpu_ms);
    write_u64(writer, limits->memory_bytes);
    write_u64(writer, limits->file_bytes);
    write_u32(writer, limits->files);
    write_u32(writer, limits->processes);
}

static struct spawn_limits get_limits(struct reader *reader)
{
    struct spawn_limits limits = {.cpu_ms = read_u64(reader)};
    limits.memory_bytes = read_u64(reader);
    limits.file_bytes = read_u64(reader);
    limits.files = read_u32(reader);
    limits.processes = read_u32(reader);
    return limits;
}

enum err spawn_wire_put_command(struct buffer *to,
                                const struct spawn_command *command)
{
    struct writer writer;
    enum err err =
        begin(&writer, to, SPAWN_COMMAND,
              command->arguments.bytes.length +
                  command->variables.bytes.length + strlen(command->user) +
                  strlen(command->dir) + command->input.length);
    if (err) {
        return err;
    }
    write_u32(&writer, command->ticket);
    write_u32(&writer, command->timeout_ms);
    write_u32(&writer, command->output_bytes_max);
    put_texts(&writer, &command->arguments);
    put_texts(&writer, &command->variables);
    put_text(&writer, command->user);
    put_text(&writer, command->dir);
    put_limits(&writer, &command->limits);
    put_bytes(&writer, command->input);
    return end(to, &writer);
}

enum err spawn_wire_put_plugin(struct buffer *to,
                               const struct spawn_plugin *plugin)
{
    struct writer writer;
    enum err err = begin(&writer, to, SPAWN_PLUGIN,
                         strlen(plugin->path) + strlen(plugin->function) +
                             plugin->payload.length);
    if (err) {
        return err;
    }
    write_u32(&writer, plugin->ticket);
    write_u32(&writer, plugin->timeout_ms);
    write_u32(&writer, plugin->output_bytes_max);
    put_text(&writer, plugin->path);
    put_text(&writer, plugin->function);
    write_u64(&writer, plugin->task);
    write_u64(&writer, plugin->token);
    write_u32(&writer, plugin->attempt);
    put_bytes(&writer, plugin->payload);
    return end(to, &writer);
}

enum err spawn_wire_put_cancel(struct buffer *to, uint32_t ticket)
{
    struct writer writer;
    enum err err = begin(&writer, to, SPAWN_CANCEL, 0);
    if (err) {
        return err;
    }
    write_u32(&writer, ticket);
    return end(to, &writer);
}

enum err spawn_wire_put_ended(struct buffer *to,
                              const struct spawn_ended *ended)
{
    struct writer writer;
    enum err err =
        begin(&writer, to, SPAWN_ENDED,
              ended->output.length + ended->errors.length + strlen(ended->why));
    if (err) {
        return err;
    }
    write_u32(&writer, ended->ticket);
    write_u8(&writer, (uint8_t)ended->end);
    write_u32(&writer, (uint32_t)ended->code);
    put_bytes(&writer, ended->output);
    put_bytes(&writer, ended->errors);
    write_u64(&writer, ended->cut_bytes);
    put_text(&writer, ended->why);
    return end(to, &writer);
}

enum err spawn_wire_put_progress(struct buffer *to,
                                 const struct spawn_progress *progress)
{
    struct writer writer;
    enum err err = begin(&writer, to, SPAWN_PROGRESS, strlen(progress->text));
    if (err) {
        return err;
    }
    write_u32(&writer, progress->ticket);
    write_u32(&writer, progress->done_of_1000);
    put_text(&writer, progress->text);
    return end(to, &writer);
}

enum err spawn_wire_put_look(struct buffer *to, const struct spawn_look *look)
{
    struct writer writer;
    enum err err = begin(&writer, to, SPAWN_LOOK, 0);
    if (err) {
        return err;
    }
    write_u32(&writer, look->ticket);
    write_u32(&writer, look->number);
    write_u64(&writer, look->output_from);
    write_u64(&writer, look->errors_from);
    return end(to, &writer);
}

enum err spawn_wire_put_looked(struct buffer *to,
                               const struct spawn_looked *looked)
{
    struct writer writer;
    enum err err = begin(&writer, to, SPAWN_LOOKED,
                         looked->output.length + looked->errors.length);
    if (err) {
        return err;
    }
    write_u32(&writer, looked->number);
    put_bytes(&writer, looked->output);
    put_bytes(&writer, looked->errors);
    write_u64(&writer, looked->cut_bytes);
    return end(to, &writer);
}

enum err spawn_wire_put_plain(struct buffer *to, enum spawn_kind kind)
{
    struct writer writer;
    enum err err = begin(&writer, to, kind, 0);
    return err ? err : end(to, &writer);
}

enum spawn_kind spawn_wire_kind(struct bytes message)
{
    return message.length > 0 && message.data[0] < SPAWN_KIND_COUNT
               ? (enum spawn_kind)message.data[0]
               : SPAWN_KIND_COUNT;
}

enum err spawn_wire_put_message(struct buffer *to, struct bytes message)
{
    struct writer writer;
    enum err err = begin(&writer, to, spawn_wire_kind(message), message.length);
    if (err) {
        return err;
    }
    write_bytes(&writer, message.data + 1, message.length - 1);
    return end(to, &writer);
}

/* ---- reading ---- */

/* Behind its kind. */
static struct reader body_of(struct bytes message)
{
    struct reader reader = reader_of(message);
    (void)read_u8(&reader);
    return reader;
}

static bool is_whole(const struct reader *reader)
{
    return !reader->failed && reader_left(reader) == 0;
}

enum err spawn_wire_get_command(struct spawn_command *out, struct bytes message)
{
    struct reader reader = body_of(message);
    struct spawn_command command = {.ticket = read_u32(&reader)};
    command.timeout_ms = read_u32(&reader);
    command.output_bytes_max = read_u32(&reader);
    command.arguments = get_texts(&reader);
    command.variables = get_texts(&reader);
    command.user = get_text(&reader);
    command.dir = get_text(&reader);
    command.limits = get_limits(&reader);
    command.input = get_bytes(&reader);
    if (!is_whole(&reader) || command.arguments.count == 0) {
        return ERR_MALFORMED;
    }
    *out = command;
    return ERR_NONE;
}

enum err spawn_wire_get_plugin(struct spawn_plugin *out, struct bytes message)
{
    struct reader reader = body_of(message);
    struct spawn_plugin plugin = {.ticket = read_u32(&reader)};
    plugin.timeout_ms = read_u32(&reader);
    plugin.output_bytes_max = read_u32(&reader);
    plugin.path = get_text(&reader);
    plugin.function = get_text(&reader);
    plugin.task = read_u64(&reader);
    plugin.token = read_u64(&reader);
    plugin.attempt = read_u32(&reader);
    plugin.payload = get_bytes(&reader);
    if (!is_whole(&reader)) {
        return ERR_MALFORMED;
    }
    *out = plugin;
    return ERR_NONE;
}

enum err spawn_wire_get_cancel(uint32_t *ticket, struct bytes message)
{
    struct reader reader = body_of(message);
    uint32_t given = read_u32(&reader);
    if (!is_whole(&reader)) {
        return ERR_MALFORMED;
    }
    *ticket = given;
    return ERR_NONE;
}

enum err spawn_wire_get_ended(struct spawn_ended *out, struct bytes message)
{
    struct reader reader = body_of(message);
    struct spawn_ended ended = {.ticket = read_u32(&reader)};
    uint8_t how = read_u8(&reader);
    ended.code = (int32_t)read_u32(&reader);
    ended.output = get_bytes(&reader);
    ended.errors = get_bytes(&reader);
    ended.cut_bytes = read_u64(&reader);
    ended.why = get_text(&reader);
    if (!is_whole(&reader) || how >= SPAWN_END_COUNT) {
        return ERR_MALFORMED;
    }
    ended.end = (enum spawn_end)how;
    *out = ended;
    return ERR_NONE;
}

enum err spawn_wire_get_progress(struct spawn_progress *out,
                                 struct bytes message)
{
    struct reader reader = body_of(message);
    struct spawn_progress progress = {.ticket = read_u32(&reader)};
    progress.done_of_1000 = read_u32(&reader);
    progress.text = get_text(&reader);
    if (!is_whole(&reader)) {
        return ERR_MALFORMED;
    }
    *out = progress;
    return ERR_NONE;
}

enum err spawn_wire_get_look(struct spawn_look *out, struct bytes message)
{
    struct reader reader = body_of(message);
    struct spawn_look look = {.ticket = read_u32(&reader)};
    look.number = read_u32(&reader);
    look.output_from = read_u64(&reader);
    look.errors_from = read_u64(&reader);
    if (!is_whole(&reader)) {
        return ERR_MALFORMED;
    }
    *out = look;
    return ERR_NONE;
}

enum err spawn_wire_get_looked(struct spawn_looked *out, struct bytes message)
{
    struct reader reader = body_of(message);
    struct spawn_looked looked = {.number = read_u32(&reader)};
    looked.output = get_bytes(&reader);
    looked.errors = get_bytes(&reader);
    looked.cut_bytes = read_u64(&reader);
    if (!is_whole(&reader)) {
        return ERR_MALFORMED;
    }
    *out = looked;
    return ERR_NONE;
}

bool spawn_wire_next(const struct buffer *from,
                     struct bytes *out,
                     enum err *err)
{
    struct bytes all = buffer_bytes(from);
    *err = ERR_NONE;
    if (all.length < LENGTH_BYTES) {
        return false;
    }
    uint32_t length = get_u32(all.data);
    if (length > SPAWN_MESSAGE_BYTES_MAX) {
        *err = ERR_TOO_LARGE;
        return false;
    }
    if (all.length - LENGTH_BYTES < length) {
        return false;
    }
    *out = bytes_of(all.data + LENGTH_BYTES, length);
    return true;
}

void spawn_wire_take(struct buffer *from, struct bytes message)
{
    buffer_take(from, LENGTH_BYTES + message.length);
}
