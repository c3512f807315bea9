#include "shard/task_wire.h"

#include <stdlib.h>

#define ASSIGNMENT_FIELD_COUNT 5
#define FINISH_FIELD_COUNT 5

enum task_message task_message_read(struct reader *reader)
{
    (void)pack_read_array_of(reader, 1, UINT32_MAX);
    uint64_t kind = pack_read_uint(reader);
    return reader->failed || kind >= TASK_MESSAGE_COUNT
               ? 0
               : (enum task_message)kind;
}

size_t task_assignment_bytes_max(const struct task_assignment *assignment)
{
    return 48 + assignment->payload.length;
}

void task_assignment_encode(const struct task_assignment *assignment,
                            struct writer *writer)
{
    pack_array(writer, ASSIGNMENT_FIELD_COUNT);
    pack_uint(writer, assignment->id);
    pack_uint(writer, assignment->token);
    pack_uint(writer, assignment->attempt);
    pack_uint(writer, assignment->timeout_ms);
    pack_bin(writer, assignment->payload);
}

void task_assignment_decode(struct task_assignment *out, struct reader *reader)
{
    uint32_t count =
        pack_read_array_of(reader, ASSIGNMENT_FIELD_COUNT, UINT32_MAX);
    out->id = pack_read_uint(reader);
    out->token = pack_read_uint(reader);
    out->attempt = (uint32_t)pack_read_uint_to(reader, UINT32_MAX);
    out->timeout_ms = (uint32_t)pack_read_uint_to(reader, UINT32_MAX);
    out->payload = pack_read_bin(reader);
    if (!reader->failed) {
        pack_skip_count(reader, count - ASSIGNMENT_FIELD_COUNT);
    }
}

size_t task_finish_bytes_max(const struct task_finish *finish)
{
    return 48 + finish->output.length + finish->why.length;
}

void task_finish_encode(const struct task_finish *finish, struct writer *writer)
{
    pack_array(writer, FINISH_FIELD_COUNT);
    pack_uint(writer, finish->id);
    pack_uint(writer, finish->token);
    pack_uint(writer, finish->status);
    pack_bin(writer, finish->output);
    pack_bin(writer, finish->why);
}

void task_finish_decode(struct task_finish *out, struct reader *reader)
{
    uint32_t count = pack_read_array_of(reader, FINISH_FIELD_COUNT, UINT32_MAX);
    out->id = pack_read_uint(reader);
    out->token = pack_read_uint(reader);
    out->status =
        (enum run_status)pack_read_uint_to(reader, RUN_STATUS_COUNT - 1);
    out->output = pack_read_bin(reader);
    out->why = pack_read_bin(reader);
    if (!reader->failed) {
        pack_skip_count(reader, count - FINISH_FIELD_COUNT);
    }
}

/* ---- parcels ---- */

void task_parcel_begin(struct task_parcel *parcel)
{
    parcel->parts_at = pack_array_begin(&parcel->writer);
}

enum err task_parcel_room(struct task_parcel *parcel, size_t bytes)
{
    struct writer *writer = &parcel->writer;
    size_t used = writer_bytes(writer).length;
    if (parcel->capacity - used >= bytes) {
        return ERR_NONE;
    }
    size_t capacity = 2 * (used + bytes);
    uint8_t *more = realloc(parcel->bytes, capacity);
    if (!more) {
        return ERR_MEMORY;
    }
    parcel->bytes = more;
    parcel->capacity = capacity;
    *writer = writer_of(more, capacity);
    writer->next += used;
    return ERR_NONE;
}

struct bytes task_parcel_end(struct task_parcel *parcel)
{
    pack_count(&parcel->writer, parcel->parts_at, parcel->count);
    return writer_bytes(&parcel->writer);
}

void task_parcel_clear(struct task_parcel *parcel)
{
    parcel->writer = writer_of(parcel->bytes, parcel->capacity);
    parcel->count = 0;
}

void task_parcel_free(struct task_parcel *parcel)
{
    free(parcel->bytes);
    *parcel = (struct task_parcel){0};
}
