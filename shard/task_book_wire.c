#include "shard/task_book_core.h"

#include "base/pack.h"

#define SUBMIT_FIELD_COUNT 4
#define END_FIELD_COUNT 5
#define RUN_FIELD_COUNT 4

uint32_t request_kind(struct bytes request)
{
    struct reader reader = reader_of(request);
    (void)pack_read_array_of(&reader, 1, UINT32_MAX);
    uint64_t kind = pack_read_uint_to(&reader, UINT32_MAX);
    return reader.failed ? 0 : (uint32_t)kind;
}

bool book_is_inner(struct bytes command)
{
    return request_kind(command) >= BOOK_INNER_KIND_MIN;
}

/* ---- submissions ---- */

size_t book_submit_bytes(const char *pool)
{
    return 32 + strlen(pool);
}

void book_submit_begin(struct writer *writer,
                       const char *pool,
                       uint64_t submission,
                       uint32_t count)
{
    pack_array(writer, SUBMIT_FIELD_COUNT);
    pack_uint(writer, BOOK_SUBMIT);
    pack_text(writer, pool);
    pack_uint(writer, submission);
    pack_array(writer, count);
}

enum err submission_read(struct submission_request *out, struct bytes request)
{
    struct reader reader = reader_of(request);
    (void)pack_read_array_of(&reader, SUBMIT_FIELD_COUNT, UINT32_MAX);
    uint64_t kind = pack_read_uint(&reader);
    out->pool = pack_read_str(&reader);
    out->submission = pack_read_uint(&reader);
    out->count = pack_read_array(&reader);
    out->specs = reader;
    if (reader.failed || kind != BOOK_SUBMIT ||
        out->pool.length >= CERTIFICATE_NAME_BYTES) {
        return ERR_MALFORMED;
    }
    return out->count == 0 || out->count > BOOK_REQUEST_TASKS_MAX ? ERR_INVALID
                                                                  : ERR_NONE;
}

void book_request_ids(struct writer *writer,
                      enum book_request_kind kind,
                      const uint64_t *ids,
                      uint32_t count,
                      const char *pools)
{
    pack_array(writer, pools ? 3 : 2);
    pack_uint(writer, kind);
    pack_array(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        pack_uint(writer, ids[i]);
    }
    if (pools) {
        pack_text(writer, pools);
    }
}

enum err book_ids_read(struct book_ids *out, struct bytes request)
{
    struct reader reader = reader_of(request);
    uint32_t fields = pack_read_array_of(&reader, 2, UINT32_MAX);
    *out = (struct book_ids){
        .kind = (enum book_request_kind)pack_read_uint_to(&reader, BOOK_PURGE)};
    out->count = pack_read_array_of(&reader, 0, BOOK_REQUEST_TASKS_MAX);
    out->ids = reader;
    for (uint32_t i = 0; i < out->count; i++) {
        (void)pack_read_uint(&reader);
    }
    out->is_limited = fields > 2;
    if (out->is_limited) {
        pack_read_text(&reader, out->pools, sizeof out->pools);
    }
    return reader.failed ? ERR_MALFORMED : ERR_NONE;
}

bool book_ids_have(const struct book_ids *ids, const char *pool)
{
    return !ids->is_limited || certificate_pools_have(ids->pools, pool);
}

void book_run_encode(const struct book_run *run, struct writer *writer)
{
    pack_array(writer, RUN_FIELD_COUNT);
    pack_uint(writer, run->count);
    pack_uint(writer, run->err);
    pack_uint(writer, run->first);
    pack_bool(writer, run->is_known);
}

void book_run_decode(struct book_run *out, struct reader *reader)
{
    uint32_t count = pack_read_array_of(reader, RUN_FIELD_COUNT, UINT32_MAX);
    out->count = (uint32_t)pack_read_uint_to(reader, BOOK_REQUEST_TASKS_MAX);
    out->err = (enum err)pack_read_uint_to(reader, ERR_COUNT - 1);
    out->first = pack_read_uint(reader);
    out->is_known = pack_read_bool(reader);
    if (!reader->failed) {
        pack_skip_count(reader, count - RUN_FIELD_COUNT);
    }
}

struct book_runs book_runs_begin(struct writer *writer)
{
    return (struct book_runs){.writer = writer, .at = pack_array_begin(writer)};
}

static void write_last(struct book_runs *runs)
{
    if (runs->last.count > 0) {
        book_run_encode(&runs->last, runs->writer);
        runs->count++;
    }
}

void book_runs_add(struct book_runs *runs, const struct book_run *next)
{
    struct book_run *last = &runs->last;
    bool continues = last->count > 0 && last->err == next->err &&
                     !last->is_known && !next->is_known &&
                     (next->err || next->first == last->first + last->count);
    if (continues) {
        last->count += next->count;
    } else {
        write_last(runs);
        *last = *next;
    }
}

void book_runs_end(struct book_runs *runs)
{
    write_last(runs);
    pack_count(runs->writer, runs->at, runs->count);
}

/* ---- what the coordinator says ---- */

size_t book_end_bytes_max(const struct book_end *end)
{
    return 40 + end->output.length + end->why.length;
}

void book_ends_begin(struct task_parcel *parcel)
{
    pack_array(&parcel->writer, 2);
    pack_uint(&parcel->writer, BOOK_ENDS);
    task_parcel_begin(parcel);
}

void book_end_encode(const struct book_end *end, struct writer *writer)
{
    pack_array(writer, END_FIELD_COUNT);
    pack_uint(writer, end->id);
    pack_uint(writer, end->state);
    pack_int(writer, end->at_ms);
    pack_bin(writer, end->output);
    pack_bin(writer, end->why);
}

void end_read(struct book_end *out, struct reader *reader)
{
    uint32_t count = pack_read_array_of(reader, END_FIELD_COUNT, UINT32_MAX);
    out->id = pack_read_uint(reader);
    out->state =
        (enum task_state)pack_read_uint_to(reader, TASK_STATE_COUNT - 1);
    out->at_ms = pack_read_int(reader);
    out->output = pack_read_bin(reader);
    out->why = pack_read_bin(reader);
    if (!reader->failed) {
        pack_skip_count(reader, count - END_FIELD_COUNT);
    }
}

void book_has_encode(struct writer *writer, uint64_t id)
{
    pack_array(writer, 2);
    pack_uint(writer, BOOK_HAS);
    pack_uint(writer, id);
}

void book_mark_encode(struct writer *writer, uint64_t sequence)
{
    pack_array(writer, 2);
    pack_uint(writer, BOOK_MARK);
    pack_uint(writer, sequence);
}

void book_trim_encode(struct writer *writer)
{
    pack_array(writer, 1);
    pack_uint(writer, BOOK_TRIM);
}
