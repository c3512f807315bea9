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
    return 32 + CERTIFICATE_POOLS_BYTES + 9 * (size_t)count;
}

void task_await_encode(struct writer *writer,
                       enum task_request_kind kind,
                       const uint64_t *ids,
                       uint32_t count,
                       uint64_t wait_ms,
                       const char *pools)
{
    pack_array(writer, IDS_FIELD_COUNT + (pools != NULL));
    pack_uint(writer, kind);
    write_ids(writer, ids, count);
    pack_uint(writer, wait_ms);
    if (pools) {
        pack_text(writer, pools);
    }
}

enum err task_await_decode(struct task_await *out, struct bytes question)
{
    uint64_t kind;
    uint32_t field_count;
    struct reader reader = open_question(question, &kind, &field_count);
    out->ids = read_ids(&reader, &out->count);
    out->wait_ms = pack_read_uint_to(&reader, TASK_AWAIT_MS_MAX);
    out->is_limited = field_count > IDS_FIELD_COUNT;
    out->pools[0] = '\0';
    if (out->is_limited) {
        pack_read_text(&reader, out->pools, sizeof out->pools);
    }
    return verdict(&reader, out->count);
}

size_t task_outcome_bytes_max(const struct task_outcome *outcome)
{
    return 32 + task_end_bytes_max(&outcome->end);
}

void task_outcome_encode(const struct task_outcome *outcome,
                         struct writer *writer)
{
    pack_array(writer, OUTCOME_FIELD_COUNT);
    pack_uint(writer, outcome->id);
    pack_uint(writer, outcome->err);
    if (outcome->err) {
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
    if (out->err) {
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
