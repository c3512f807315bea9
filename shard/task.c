#include "shard/task.h"

#include "base/hash.h"
#include "base/pack.h"
#include "shard/key.h"

#include <inttypes.h>
#include <stdio.h>

#define SPEC_FIELD_COUNT 10
#define END_FIELD_COUNT 7

/* ---- ids ---- */

void task_id_text(char to[static TASK_ID_BYTES], uint64_t id)
{
    (void)snprintf(to, TASK_ID_BYTES, "%" PRIu32 "-%" PRIu64, task_id_shard(id),
                   task_id_sequence(id));
}

/* The digits in front; more than `max` is no number. */
static bool read_digits(const char **text, uint64_t max, uint64_t *out)
{
    const char *next = *text;
    uint64_t number = 0;
    for (; *next >= '0' && *next <= '9' && number <= max; next++) {
        number = 10 * number + (uint64_t)(*next - '0');
    }
    bool is_number = next > *text && number <= max;
    *text = next;
    *out = number;
    return is_number;
}

enum err task_id_parse(uint64_t *out, const char *text)
{
    uint64_t shard;
    uint64_t sequence;
    if (!read_digits(&text, (1u << (64 - TASK_SEQUENCE_BITS)) - 1, &shard) ||
        *text++ != '-' ||
        !read_digits(&text, (UINT64_C(1) << TASK_SEQUENCE_BITS) - 1,
                     &sequence) ||
        *text != '\0') {
        return ERR_MALFORMED;
    }
    *out = task_id((uint32_t)shard, sequence);
    return ERR_NONE;
}

/* ---- specs ---- */

struct task_spec task_spec_of(struct bytes payload)
{
    return (struct task_spec){.payload = payload,
                              .priority = TASK_PRIORITY_DEFAULT};
}

size_t task_spec_bytes_max(const struct task_spec *spec)
{
    return 96 + spec->payload.length + spec->key.length + spec->order.length +
           spec->tenant.length + (size_t)spec->after_count * 9;
}

/* How many fields are to be written: up to the last that is no default. */
static uint32_t field_count(const struct task_spec *spec)
{
    const bool is_set[SPEC_FIELD_COUNT] = {
        true,
        spec->priority != TASK_PRIORITY_DEFAULT,
        spec->delay_ms != 0,
        spec->ttl_ms != 0,
        spec->attempts_max != 0,
        spec->timeout_ms != 0,
        spec->key.length != 0,
        spec->order.length != 0,
        spec->tenant.length != 0,
        spec->after_count != 0,
    };
    uint32_t count = SPEC_FIELD_COUNT;
    while (!is_set[count - 1]) {
        count--;
    }
    return count;
}

void task_after_encode(const uint64_t *after,
                       uint32_t count,
                       struct writer *writer)
{
    pack_array(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        pack_uint(writer, after[i]);
    }
}

void task_spec_encode(const struct task_spec *spec, struct writer *writer)
{
    uint32_t count = field_count(spec);
    const uint64_t numbers[] = {spec->priority, spec->delay_ms, spec->ttl_ms,
                                spec->attempts_max, spec->timeout_ms};
    const struct bytes texts[] = {spec->key, spec->order, spec->tenant};
    pack_array(writer, count);
    pack_bin(writer, spec->payload);
    for (uint32_t i = 0; i < 5 && i + 1 < count; i++) {
        pack_uint(writer, numbers[i]);
    }
    for (uint32_t i = 0; i < 3 && i + 6 < count; i++) {
        pack_bin(writer, texts[i]);
    }
    if (count == SPEC_FIELD_COUNT) {
        task_after_encode(spec->after, spec->after_count, writer);
    }
}

void task_after_decode(struct task_spec *out, struct reader *reader)
{
    out->after_count = pack_read_array_of(reader, 0, TASK_AFTER_COUNT_MAX);
    for (uint32_t i = 0; i < out->after_count; i++) {
        out->after[i] = pack_read_uint(reader);
    }
}

struct bytes task_key_decode(struct reader *reader)
{
    struct bytes key = pack_read_bin(reader);
    reader->failed = reader->failed || key.length > TASK_KEY_BYTES_MAX;
    return key;
}

void task_spec_decode(struct task_spec *out, struct reader *reader)
{
    uint32_t count = pack_read_array_of(reader, 1, UINT32_MAX);
    *out = task_spec_of(pack_read_bin(reader));
    uint64_t numbers[5] = {out->priority};
    const uint64_t bounds[5] = {TASK_PRIORITY_COUNT - 1, UINT64_MAX / 4,
                                UINT64_MAX / 4, UINT32_MAX, UINT32_MAX};
    struct bytes *texts[3] = {&out->key, &out->order, &out->tenant};
    for (uint32_t i = 0; i < 5 && i + 1 < count; i++) {
        numbers[i] = pack_read_uint_to(reader, bounds[i]);
    }
    for (uint32_t i = 0; i < 3 && i + 6 < count; i++) {
        *texts[i] = task_key_decode(reader);
    }
    if (count >= SPEC_FIELD_COUNT) {
        task_after_decode(out, reader);
        pack_skip_count(reader, count - SPEC_FIELD_COUNT);
    }
    out->priority = (uint8_t)numbers[0];
    out->delay_ms = numbers[1];
    out->ttl_ms = numbers[2];
    out->attempts_max = (uint32_t)numbers[3];
    out->timeout_ms = (uint32_t)numbers[4];
}

uint32_t task_pool_shard(const char *pool, uint32_t shard_count)
{
    return shard_of_key(bytes_of_text("pool"), bytes_of_text(pool),
                        shard_count);
}

uint32_t task_spec_shard(const struct task_spec *spec,
                         const struct task_pool *pool,
                         uint32_t shard_count)
{
    struct bytes name = bytes_of_text(pool->name);
    if (task_pool_is_single(pool)) {
        return task_pool_shard(pool->name, shard_count);
    }
    /* What must be in order must be together; a key that is given as well is
     * then unique among those of the same order. */
    if (spec->order.length > 0) {
        return shard_of_key(name, spec->order, shard_count);
    }
    return spec->key.length > 0 ? shard_of_key(name, spec->key, shard_count)
                                : UINT32_MAX;
}

/* ---- ends ---- */

const char *task_state_name(enum task_state state)
{
    static const char *const names[TASK_STATE_COUNT] = {
        "waiting", "done", "dead", "cancelled", "expired"};
    return names[state];
}

size_t task_end_bytes_max(const struct task_end *end)
{
    return 64 + end->output.length + end->why.length;
}

void task_end_encode(const struct task_end *end, struct writer *writer)
{
    pack_array(writer, END_FIELD_COUNT);
    pack_uint(writer, end->id);
    pack_uint(writer, end->state);
    pack_uint(writer, end->attempts);
    pack_int(writer, end->accepted_ms);
    pack_int(writer, end->ended_ms);
    pack_bin(writer, end->output);
    pack_bin(writer, end->why);
}

void task_end_decode(struct task_end *out, struct reader *reader)
{
    uint32_t count = pack_read_array_of(reader, END_FIELD_COUNT, UINT32_MAX);
    out->id = pack_read_uint(reader);
    out->state =
        (enum task_state)pack_read_uint_to(reader, TASK_STATE_COUNT - 1);
    out->attempts = (uint32_t)pack_read_uint_to(reader, UINT32_MAX);
    out->accepted_ms = pack_read_int(reader);
    out->ended_ms = pack_read_int(reader);
    out->output = pack_read_bin(reader);
    out->why = pack_read_bin(reader);
    if (!reader->failed) {
        pack_skip_count(reader, count - END_FIELD_COUNT);
    }
}
