#include "admin/task_output.h"

#include "admin/human.h"
#include "admin/pack_json.h"
#include "base/pack.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- what a command leaves ---- */

/* A text, or bytes that are none. */
static struct bytes read_output(struct reader *reader)
{
    switch (pack_peek(reader)) {
    case PACK_STR:
        return pack_read_str(reader);
    case PACK_BIN:
        return pack_read_bin(reader);
    default:
        pack_read_nil(reader);
        return (struct bytes){0};
    }
}

static void read_exit(struct task_command_result *result, struct reader *reader)
{
    result->has_exit = pack_peek(reader) != PACK_NIL;
    if (result->has_exit) {
        result->exit = pack_read_int(reader);
    } else {
        pack_read_nil(reader);
    }
}

static void read_pair(struct task_command_result *result, struct reader *reader)
{
    char key[16];
    pack_read_text(reader, key, sizeof key);
    if (strcmp(key, "exit") == 0) {
        read_exit(result, reader);
    } else if (strcmp(key, "stdout") == 0) {
        result->out = read_output(reader);
    } else if (strcmp(key, "stderr") == 0) {
        result->err = read_output(reader);
    } else if (strcmp(key, "signal") == 0) {
        pack_read_text(reader, result->signal, sizeof result->signal);
    } else if (strcmp(key, "cut") == 0) {
        result->cut_bytes = pack_read_uint(reader);
    } else {
        pack_skip(reader);
    }
}

bool task_command_result_read(struct task_command_result *result,
                              struct bytes output)
{
    struct reader reader = reader_of(output);
    *result = (struct task_command_result){.exit = 0};
    uint32_t count = output.length > 0 ? pack_read_map(&reader) : 0;
    for (uint32_t i = 0; i < count && !reader.failed; i++) {
        read_pair(result, &reader);
    }
    return count > 0 && !reader.failed && reader_left(&reader) == 0;
}

/* ---- JSON ---- */

/* Under `key`, or as hexadecimal under "KEY_hex". */
static void add_bytes(json_t *object, const char *key, struct bytes bytes)
{
    char name[32];
    json_t *text = json_stringn((const char *)bytes.data, bytes.length);
    if (text) {
        (void)json_object_set_new(object, key, text);
        return;
    }
    char *hex = malloc(2 * bytes.length + 1);
    for (size_t i = 0; hex && i < bytes.length; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", bytes.data[i]);
    }
    (void)snprintf(name, sizeof name, "%s_hex", key);
    (void)json_object_set_new(object, name, hex ? json_string(hex) : NULL);
    free(hex);
}

static void add_command(json_t *object,
                        const struct task_command_result *result)
{
    (void)json_object_set_new(object, "exit",
                              result->has_exit ? json_integer(result->exit)
                                               : json_null());
    if (result->signal[0]) {
        (void)json_object_set_new(object, "signal",
                                  json_string(result->signal));
    }
    add_bytes(object, "stdout", result->out);
    add_bytes(object, "stderr", result->err);
    if (result->cut_bytes > 0) {
        (void)json_object_set_new(object, "cut",
                                  json_integer((json_int_t)result->cut_bytes));
    }
}

json_t *task_payload_value(struct bytes payload)
{
    json_t *value = NULL;
    if (pack_json_decode(&value, payload)) {
        value = json_stringn((const char *)payload.data, payload.length);
    }
    return value;
}

/* One character alone would be MessagePack, too: a number from 32 to 126. Who
 * prints "7" has not meant 55. */
static bool is_character(struct bytes bytes)
{
    return bytes.length == 1 && isprint(bytes.data[0]);
}

json_t *task_output_value(struct bytes output)
{
    return is_character(output) ? json_stringn((const char *)output.data, 1)
                                : task_payload_value(output);
}

/* {"exit", "signal"?, "stdout", "stderr", "cut"?}, into `object`; or "output",
 * task_output_value(), or "output_hex". */
static void add_output(json_t *object, struct bytes output, bool is_command)
{
    struct task_command_result result;
    if (is_command && task_command_result_read(&result, output)) {
        add_command(object, &result);
        return;
    }
    json_t *value = task_output_value(output);
    if (value) {
        (void)json_object_set_new(object, "output", value);
    } else {
        add_bytes(object, "output", output);
    }
}

void task_output_why(char *to,
                     size_t capacity,
                     const struct task_job_result *result)
{
    to[0] = '\0';
    if (result->err == ERR_EXISTS) {
        (void)snprintf(to, capacity,
                       "its key belongs to a task with another payload");
    } else if (result->err == ERR_INVALID) { /* the rest was looked at here */
        (void)snprintf(to, capacity,
                       "a task that must be done before is of a shard that the "
                       "cluster does not have");
    } else if (result->err == ERR_NOT_FOUND) {
        (void)snprintf(to, capacity,
                       "nothing is known of it any more: it was lost with the "
                       "leader of a volatile pool, or its result was kept for "
                       "as long as the pool says");
    } else if (result->err) {
        (void)snprintf(to, capacity, "%s (%s)", err_text(result->err),
                       err_name(result->err));
    } else if (result->end->state != TASK_DONE) {
        struct bytes why = result->end->why;
        (void)snprintf(to, capacity, "%.*s",
                       (int)(why.length < capacity ? why.length : capacity - 1),
                       why.length > 0 ? (const char *)why.data : "");
    }
    human_clean(to);
}

static json_t *json_of(const struct task_output *output,
                       const struct task_job_result *result,
                       const char *why)
{
    char id[TASK_ID_BYTES];
    const struct task_end *end = result->end;
    const char *state = end               ? task_state_name(end->state)
                        : result->id != 0 ? "lost"
                                          : "rejected";
    json_t *object = json_object();
    (void)json_object_set_new(object, output->what,
                              json_integer((json_int_t)result->number));
    if (result->id != 0) {
        task_id_text(id, result->id);
        (void)json_object_set_new(object, "id", json_string(id));
    }
    (void)json_object_set_new(object, "state", json_string(state));
    if (why[0]) {
        (void)json_object_set_new(object, "why", json_string(why));
    }
    if (end) {
        (void)json_object_set_new(object, "attempts",
                                  json_integer(end->attempts));
        (void)json_object_set_new(object, "accepted_ms",
                                  json_integer(end->accepted_ms));
        (void)json_object_set_new(object, "ended_ms",
                                  json_integer(end->ended_ms));
        add_output(object, end->output, output->is_command);
    }
    return object;
}

static void print_json(const struct task_output *output,
                       const struct task_job_result *result)
{
    char why[TASK_WHY_BYTES];
    FILE *out = output->command->world->out;
    task_output_why(why, sizeof why, result);
    json_t *object = json_of(output, result, why);
    if (!object || json_dumpf(object, out, JSON_COMPACT)) {
        command_say(output->command,
                    "%s %" PRIu64 ": its result cannot be "
                    "written",
                    output->what, result->number);
    }
    (void)fputc('\n', out);
    json_decref(object);
}

/* ---- as it is ---- */

static void print_bytes(FILE *to, struct bytes bytes)
{
    if (bytes.length > 0) {
        (void)fwrite(bytes.data, 1, bytes.length, to);
    }
}

static void say_why(const struct task_output *output,
                    const struct task_job_result *result)
{
    char why[TASK_WHY_BYTES];
    char id[TASK_ID_BYTES] = "not accepted";
    const char *state = result->end ? task_state_name(result->end->state) : "";
    if (result->id != 0) {
        task_id_text(id, result->id);
    }
    task_output_why(why, sizeof why, result);
    command_say(output->command, "%s %" PRIu64 " (%s): %s%s%s", output->what,
                result->number, id, state, *state && why[0] ? ": " : "", why);
}

static void print_raw(const struct task_output *output,
                      const struct task_job_result *result)
{
    const struct command_world *world = output->command->world;
    struct task_command_result own;
    if (result->end && output->is_command &&
        task_command_result_read(&own, result->end->output)) {
        print_bytes(world->out, own.out);
        (void)fflush(world->out);
        print_bytes(world->talk, own.err);
        if (own.cut_bytes > 0) {
            command_say(output->command,
                        "%s %" PRIu64 ": %" PRIu64 " bytes more were written "
                        "than the pool keeps",
                        output->what, result->number, own.cut_bytes);
        }
    } else if (result->end) {
        print_bytes(world->out, result->end->output);
    }
    if (result->err || result->end->state != TASK_DONE) {
        say_why(output, result);
    }
}

void task_output_result(const struct task_output *output,
                        const struct task_job_result *result)
{
    if (output->is_raw) {
        print_raw(output, result);
    } else {
        print_json(output, result);
    }
}
