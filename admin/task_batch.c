#include "admin/task_batch.h"

#include "shard/task_book.h"

#include <assert.h>

void task_batch_clear(struct task_batch *batch)
{
    buffer_clear(&batch->specs);
    batch->count = 0;
}

bool task_batch_is_full(const struct task_batch *batch)
{
    return batch->count == TASK_BATCH_COUNT_MAX ||
           buffer_length(&batch->specs) >= TASK_BATCH_BYTES_MAX;
}

enum err task_batch_add(struct task_batch *batch,
                        uint64_t number,
                        const struct task_spec *spec)
{
    uint8_t *at = NULL;
    size_t bytes = task_spec_bytes_max(spec);
    assert(!task_batch_is_full(batch));
    enum err err = buffer_reserve(&batch->specs, bytes, &at);
    if (err) {
        return err;
    }
    struct writer writer = writer_of(at, bytes);
    task_spec_encode(spec, &writer);
    assert(!writer.failed);
    buffer_grow(&batch->specs, writer_bytes(&writer).length);
    batch->numbers[batch->count] = number;
    batch->ends[batch->count++] = buffer_length(&batch->specs);
    return ERR_NONE;
}

void task_batch_keep(struct task_batch *batch, const bool *keeps)
{
    uint8_t *data = batch->specs.data + batch->specs.start;
    uint32_t kept = 0;
    size_t from = 0;
    size_t end = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        size_t length = batch->ends[i] - from;
        if (keeps[i]) {
            memmove(data + end, data + from, length);
            end += length;
            batch->numbers[kept] = batch->numbers[i];
            batch->ends[kept++] = end;
        }
        from += length;
    }
    batch->count = kept;
    batch->specs.end = batch->specs.start + end;
}

enum err task_batch_encode(const struct task_batch *batch,
                           const char *pool,
                           uint64_t submission,
                           struct buffer *to)
{
    uint8_t *at = NULL;
    size_t bytes = book_submit_bytes(pool);
    enum err err = buffer_reserve(to, bytes, &at);
    if (err) {
        return err;
    }
    struct writer writer = writer_of(at, bytes);
    book_submit_begin(&writer, pool, submission, batch->count);
    assert(!writer.failed);
    buffer_grow(to, writer_bytes(&writer).length);
    return buffer_append(to, buffer_bytes(&batch->specs));
}
