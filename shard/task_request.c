#include "shard/task_request.h"

#define IDS_FIELD_COUNT 3
#define OUTCOME_FIELD_COUNT 3

static struct reader open_question(struct bytes question,
                                   uint64_t *kind,
                                   uint32_t *field_count)
{
    struct reader reader = reader_of(question);
    *field_count = pack_read_array_of(&reader, IDS_FIELD_COUNT, UINT32_MAX);
    *kind = pack_read_uint(&reader);
    return reader;
}

enum task_request_kind task_request_kind(struct bytes question)
{
    uint64_t kind;
    uint32_t field_count;
    struct reader reader = open_question(question, &kind, &field_count);
    return reader.failed || kind >= TASK_REQUEST_KIND_COUNT
               ? 0
               : (enum task_request_kind)kind;
}

static void write_ids(struct writer *writer,
                      const uint64_t *ids,
                      uint32_t count)
{
    pack_array(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        pack_uint(writer, ids[i]);
    }
}

/* Where they begin; the reader is behind them. */
static struct reader read_ids(struct reader *reader, uint32_t *count)
{
    *count = pack_read_array_of(reader, 0, TASK_REQUEST_IDS_MAX);
    struct reader ids = *reader;
    for (uint32_t i = 0; i < *count; i++) {
        (void)pack_read_uint(reader);
    }
    return ids;
}

static enum err verdict(const struct reader *reader, uint32_t count)
{
    return reader->failed ? ERR_MALFORMED : count == 0 ? ERR_INVALID : ERR_NONE;
}

/* ---- AWAIT ---- */

size_t task_await_bytes_max(uint32_t count)
{
    return 48 + CERTIFICATE_POOLS_BYTES + 2 * 9 * (size_t)count;
}

void task_await_encode(struct writer *writer,
                       const struct task_await_question *question)
{
    bool has_pools = question->pools || question->seen;
    pack_array(writer, IDS_FIELD_COUNT + has_pools + (question->seen != NULL));
    pack_uint(writer, question->kind);
    write_ids(writer, question->ids, question->count);
    pack_uint(writer, question->wait_ms);
    if (question->pools) {
        pack_text(writer, question->pools);
    } else if (has_pools) {
        pack_nil(writer);
    }
    if (question->seen) {
        write_ids(writer, question->seen, question->count);
    }
}

static void read_pools(struct task_await *await, struct reader *reader)
{
    await->is_limited = pack_peek(reader) != PACK_NIL;
    if (await->is_limited) {
        pack_read_text(reader, await->pools, sizeof await->pools);
    } else {
        pack_read_nil(reader);
    }
}

enum err task_await_decode(struct task_await *out, struct bytes question)
{
    uint64_t kind;
    uint32_t field_count;
    uint32_t seen_count = 0;
    struct reader reader = open_question(question, &kind, &field_count);
    *out = (struct task_await){.pools = ""};
    out->ids = read_ids(&reader, &out->count);
    out->wait_ms = pack_read_uint_to(&reader, TASK_AWAIT_MS_MAX);
    if (field_count > IDS_FIELD_COUNT) {
        read_pools(out, &reader);
    }
    if (field_count > IDS_FIELD_COUNT + 1) {
        out->seen = read_ids(&reader, &seen_count);
        out->is_curious = true;
        reader.failed = reader.failed || seen_count != out->count;
    }
    return verdict(&reader, out->count);
}

static void write_said(struct writer *writer, const struct task_said *said)
{
    pack_array(writer, 3);
    pack_uint(writer, said->number);
    pack_uint(writer, said->done_of_1000);
    pack_text(writer, said->text);
}

static void read_said(struct reader *reader, struct task_said *said)
{
    uint32_t count = pack_read_array_of(reader, 3, UINT32_MAX);
    said->number = pack_read_uint(reader);
    said->done_of_1000 = (uint32_t)pack_read_uint_to(reader, 1000);
    pack_read_text(reader, said->text, sizeof said->text);
    if (!reader->failed) {
        pack_skip_count(reader, count - 3);
    }
}

size_t task_outcome_bytes_max(const struct task_outcome *outcome)
{
    return 64 + TASK_WHY_BYTES + task_end_bytes_max(&outcome->end);
}

void task_outcome_encode(const struct task_outcome *outcome,
                         struct writer *writer)
{
    pack_array(writer, OUTCOME_FIELD_COUNT);
    pack_uint(writer, outcome->id);
    pack_uint(writer, outcome->err);
    if (outcome->err == ERR_BUSY) {
        write_said(writer, &outcome->said);
    } else if (outcome->err) {
        pack_nil(writer);
    } else {
        task_end_encode(&outcome->end, writer);
    }
}

void task_outcome_decode(struct task_outcome *out, struct reader *reader)
{
    uint32_t count =
        pack_read_array_of(reader, OUTCOME_FIELD_COUNT, UINT32_MAX);
    *out = (struct task_outcome){.id = pack_read_uint(reader)};
    out->err = (enum err)pack_read_uint_to(reader, ERR_COUNT - 1);
    if (out->err == ERR_BUSY) {
        read_said(reader, &out->said);
    } else if (out->err) {
        pack_skip(reader);
    } else {
        task_end_decode(&out->end, reader);
    }
    if (!reader->failed) {
        pack_skip_count(reader, count - OUTCOME_FIELD_COUNT);
    }
}

/* ---- CHANGE ---- */

void task_change_encode(struct writer *writer,
                        enum book_request_kind kind,
                        const uint64_t *ids,
                        uint32_t count)
{
    pack_array(writer, IDS_FIELD_COUNT);
    pack_uint(writer, TASK_REQUEST_CHANGE);
    pack_uint(writer, kind);
    write_ids(writer, ids, count);
}

enum err task_change_decode(struct task_change *out, struct bytes question)
{
    uint64_t kind;
    uint32_t field_count;
    struct reader reader = open_question(question, &kind, &field_count);
    uint64_t change = pack_read_uint(&reader);
    out->kind = (enum book_request_kind)change;
    out->ids = read_ids(&reader, &out->count);
    return reader.failed || change < BOOK_CANCEL || change > BOOK_PURGE
               ? ERR_MALFORMED
               : verdict(&reader, out->count);
}

/* ---- LOCAL ---- */

void task_local_encode(struct writer *writer, const struct task_local *local)
{
    pack_array(writer, IDS_FIELD_COUNT);
    pack_uint(writer, TASK_REQUEST_LOCAL);
    pack_uint(writer, local->shard);
    pack_bin(writer, local->request);
}

enum err task_local_decode(struct task_local *out, struct bytes question)
{
    uint64_t kind;
    uint32_t field_count;
    struct reader reader = open_question(question, &kind, &field_count);
    out->shard = (uint32_t)pack_read_uint_to(&reader, UINT32_MAX);
    out->request = pack_read_bin(&reader);
    return reader.failed ? ERR_MALFORMED : ERR_NONE;
}
