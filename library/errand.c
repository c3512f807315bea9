#include "base/pack.h"
#include "library/desk.h"
#include "shard/task_request.h"

#include <stdlib.h>
#include <string.h>

#define PRIORITY_STANDARD (TASK_PRIORITY_DEFAULT + 1) /* counted from 1 */

static struct errand *make(enum errand_kind kind, size_t bytes, enum err *err)
{
    struct errand *errand = malloc(sizeof *errand + bytes);
    *err = errand ? ERR_NONE : ERR_MEMORY;
    if (errand) {
        *errand =
            (struct errand){.kind = kind, .bytes = sizeof *errand + bytes};
    }
    return errand;
}

/* Absent: "". ERR_INVALID: too long */
static enum err take_key(struct bytes *out, const char *key)
{
    *out = bytes_of_text(key ? key : "");
    return out->length > TASK_KEY_BYTES_MAX ? ERR_INVALID : ERR_NONE;
}

static enum err spec_of(struct task_spec *out, const struct troupe_spec *from)
{
    unsigned priority = from->priority ? from->priority : PRIORITY_STANDARD;
    *out = (struct task_spec){
        .payload = bytes_of(from->payload, from->payload_length),
        .priority = (uint8_t)(priority - 1),
        .delay_ms = from->delay_ms,
        .ttl_ms = from->ttl_ms,
        .attempts_max = from->attempts_max,
        .timeout_ms = from->timeout_ms,
        .after_count = (uint32_t)from->after_count,
    };
    if (priority > TASK_PRIORITY_COUNT ||
        from->after_count > TASK_AFTER_COUNT_MAX ||
        (!from->payload && from->payload_length > 0)) {
        return ERR_INVALID;
    }
    if (from->payload_length > CALLS_QUESTION_BYTES_MAX) {
        return ERR_TOO_LARGE;
    }
    if (from->after_count > 0) {
        memcpy(out->after, from->after,
               from->after_count * sizeof *from->after);
    }
    enum err err = take_key(&out->key, from->key);
    if (!err) {
        err = take_key(&out->order, from->order);
    }
    return err ? err : take_key(&out->tenant, from->tenant);
}

struct errand *errand_submit(const struct troupe_spec *from, enum err *err)
{
    struct task_spec spec;
    const char *pool = from->pool ? from->pool : TASK_POOL_DEFAULT;
    *err = certificate_name_is_valid(pool) ? spec_of(&spec, from) : ERR_INVALID;
    if (*err) {
        return NULL;
    }
    size_t room = task_spec_bytes_max(&spec);
    size_t pool_bytes = strlen(pool) + 1;
    struct errand *errand = make(ERRAND_SUBMIT, room + pool_bytes, err);
    if (errand) {
        struct writer writer = writer_of(errand->data + pool_bytes, room);
        memcpy(errand->data, pool, pool_bytes);
        task_spec_encode(&spec, &writer);
        errand->pool = (const char *)errand->data;
        errand->encoded = writer_bytes(&writer);
        errand->is_ordered = spec.order.length > 0;
    }
    return errand;
}

struct errand *errand_await(uint64_t id,
                            troupe_on_progress *on_progress,
                            enum err *err)
{
    struct errand *errand = make(ERRAND_AWAIT, 0, err);
    if (errand) {
        errand->id = id;
        errand->on_progress = on_progress;
    }
    return errand;
}

struct errand *errand_change(enum book_request_kind kind,
                             const uint64_t *ids,
                             uint32_t count,
                             enum err *err)
{
    size_t room = task_await_bytes_max(count);
    struct errand *errand = make(ERRAND_CHANGE, room, err);
    if (errand) {
        struct writer writer = writer_of(errand->data, room);
        task_change_encode(&writer, kind, ids, count);
        errand->encoded = writer_bytes(&writer);
        errand->change = kind;
        errand->id_count = count;
    }
    return errand;
}

struct errand *errand_room(enum err *err)
{
    return make(ERRAND_ROOM, 0, err);
}

void errand_free(struct errand *errand)
{
    free(errand);
}
