#include "admin/task_line.h"

#include "admin/human.h"
#include "admin/pack_json.h"
#include "config/nearest.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

void task_line_clear(struct task_line *line)
{
    json_decref(line->root);
    buffer_clear(&line->payload);
    *line = (struct task_line){.root = NULL};
}

/* ---- the payload ---- */

/* What a value needs at most, packed. */
static size_t packed_bytes(const json_t *value)
{
    size_t bytes = 9;
    size_t i = 0;
    const char *key = NULL;
    json_t *child = NULL;
    /* jansson iterates only over what is not const; nothing is changed. */
    json_t *own = (json_t *)(uintptr_t)value;
    if (json_is_string(value)) {
        return bytes + json_string_length(value);
    }
    json_array_foreach(own, i, child)
    {
        bytes += packed_bytes(child);
    }
    json_object_foreach(own, key, child)
    {
        bytes += 5 + strlen(key) + packed_bytes(child);
    }
    return bytes;
}

/* Give it a JSON value as its payload. */
static enum err pack_payload(struct task_line *line, const json_t *payload)
{
    uint8_t *at = NULL;
    size_t bytes = packed_bytes(payload);
    buffer_take(&line->payload, buffer_length(&line->payload));
    enum err err = buffer_reserve(&line->payload, bytes, &at);
    if (err) {
        return err;
    }
    struct writer writer = writer_of(at, bytes);
    pack_json_encode(&writer, payload);
    assert(!writer.failed);
    buffer_grow(&line->payload, writer_bytes(&writer).length);
    line->spec.payload = buffer_bytes(&line->payload);
    return ERR_NONE;
}

/* ---- the fields of a spec ---- */

static enum err read_text(struct bytes *to,
                          const char *key,
                          const json_t *value,
                          struct err_detail *why)
{
    size_t length = json_string_length(value);
    if (!json_is_string(value) || length > TASK_KEY_BYTES_MAX) {
        err_explain(why, "%s: a text of at most %d bytes is expected", key,
                    TASK_KEY_BYTES_MAX);
        return ERR_INVALID;
    }
    *to = bytes_of(json_string_value(value), length);
    return ERR_NONE;
}

static enum err read_number(uint64_t *to,
                            const char *key,
                            const json_t *value,
                            uint64_t max,
                            struct err_detail *why)
{
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0 || (uint64_t)number > max) {
        err_explain(why, "%s: a whole number from 0 to %" PRIu64 " is expected",
                    key, max);
        return ERR_INVALID;
    }
    *to = (uint64_t)number;
    return ERR_NONE;
}

static enum err read_after(struct task_spec *spec,
                           const json_t *value,
                           struct err_detail *why)
{
    size_t count = json_array_size(value);
    bool is_right = json_is_array(value) && count <= TASK_AFTER_COUNT_MAX;
    spec->after_count = 0;
    for (size_t i = 0; is_right && i < count; i++) {
        const char *text = json_string_value(json_array_get(value, i));
        is_right = text && !task_id_parse(&spec->after[i], text);
        spec->after_count++;
    }
    if (!is_right) {
        err_explain(why,
                    "after: a list of at most %d tasks is expected, such "
                    "as [\"17-4021\"]",
                    TASK_AFTER_COUNT_MAX);
        return ERR_INVALID;
    }
    return ERR_NONE;
}

enum field {
    FIELD_PAYLOAD,
    FIELD_KEY,
    FIELD_ORDER,
    FIELD_TENANT,
    FIELD_PRIORITY,
    FIELD_DELAY,
    FIELD_TTL,
    FIELD_TIMEOUT,
    FIELD_ATTEMPTS,
    FIELD_AFTER,
    FIELD_COUNT,
};

static const char *const names[FIELD_COUNT] = {
    [FIELD_PAYLOAD] = "payload",
    [FIELD_KEY] = "key",
    [FIELD_ORDER] = "order",
    [FIELD_TENANT] = "tenant",
    [FIELD_PRIORITY] = "priority",
    [FIELD_DELAY] = "delay_ms",
    [FIELD_TTL] = "ttl_ms",
    [FIELD_TIMEOUT] = "timeout_ms",
    [FIELD_ATTEMPTS] = "attempts_max",
    [FIELD_AFTER] = "after",
};

static enum err read_small(struct task_spec *spec,
                           enum field field,
                           const json_t *value,
                           struct err_detail *why)
{
    uint64_t number = 0;
    uint64_t max =
        field == FIELD_PRIORITY ? TASK_PRIORITY_COUNT - 1 : UINT32_MAX;
    enum err err = read_number(&number, names[field], value, max, why);
    if (err) {
        return err;
    }
    if (field == FIELD_PRIORITY) {
        spec->priority = (uint8_t)number;
    } else if (field == FIELD_TIMEOUT) {
        spec->timeout_ms = (uint32_t)number;
    } else {
        spec->attempts_max = (uint32_t)number;
    }
    return ERR_NONE;
}

static enum err read_field(struct task_line *line,
                           enum field field,
                           const json_t *value,
                           struct err_detail *why)
{
    struct task_spec *spec = &line->spec;
    switch (field) {
    case FIELD_PAYLOAD:
        return pack_payload(line, value);
    case FIELD_KEY:
        return read_text(&spec->key, "key", value, why);
    case FIELD_ORDER:
        return read_text(&spec->order, "order", value, why);
    case FIELD_TENANT:
        return read_text(&spec->tenant, "tenant", value, why);
    case FIELD_DELAY:
        return read_number(&spec->delay_ms, "delay_ms", value, INT64_MAX, why);
    case FIELD_TTL:
        return read_number(&spec->ttl_ms, "ttl_ms", value, INT64_MAX, why);
    case FIELD_AFTER:
        return read_after(spec, value, why);
    case FIELD_PRIORITY:
    case FIELD_TIMEOUT:
    case FIELD_ATTEMPTS:
    case FIELD_COUNT:
        break;
    }
    return read_small(spec, field, value, why);
}

static enum err refuse_key(const char *key, struct err_detail *why)
{
    char shown[64];
    struct nearest nearest = {.name = key};
    for (int i = 0; i < FIELD_COUNT; i++) {
        nearest_offer(&nearest, names[i]);
    }
    (void)snprintf(shown, sizeof shown, "%s", key);
    human_clean(shown);
    err_explain(why, "%s: a task has no such field%s%s%s", shown,
                nearest.best ? "; did you mean " : "",
                nearest.best ? nearest.best : "", nearest.best ? "?" : "");
    return ERR_INVALID;
}

static enum err read_spec(struct task_line *line, struct err_detail *why)
{
    const char *key = NULL;
    json_t *value = NULL;
    if (!json_is_object(line->root) ||
        !json_object_get(line->root, names[FIELD_PAYLOAD])) {
        err_explain(why, "an object with a \"payload\" is expected");
        return ERR_INVALID;
    }
    json_object_foreach(line->root, key, value)
    {
        int field = 0;
        while (field < FIELD_COUNT && strcmp(names[field], key) != 0) {
            field++;
        }
        enum err err = field == FIELD_COUNT
                           ? refuse_key(key, why)
                           : read_field(line, (enum field)field, value, why);
        if (err) {
            return err;
        }
    }
    return ERR_NONE;
}

enum err task_line_read(struct task_line *line,
                        struct bytes text,
                        bool is_spec,
                        const struct task_spec *standard,
                        struct err_detail *why)
{
    json_error_t error;
    json_decref(line->root);
    line->spec = *standard;
    line->root = json_loadb((const char *)text.data, text.length,
                            JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    if (!line->root) {
        human_clean(error.text);
        err_explain(why, "no JSON: %.160s (column %d)", error.text,
                    error.column);
        return ERR_INVALID;
    }
    return is_spec ? read_spec(line, why) : pack_payload(line, line->root);
}
