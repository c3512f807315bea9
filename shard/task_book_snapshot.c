/*
 * Snapshots of a book: pieces of whole records, each a MessagePack array that
 * begins with its tag:
 *
 *   HEAD        [1, version, next sequence, marked, tasks, submissions,
 *                schedules]: the last only if there are some
 *   POOL        [2, name, [accepted, done, dead, retried, dead dropped]]
 *   TASK        [3, pool, state, sequence, accepted ms, at ms, attempts,
 *                payload, output, why, priority, extra ...]
 *   SUBMISSION  [4, id, reply], oldest first
 *   SCHEDULE    [5, pool, name, due s, task, passed]
 *
 *   extra       key, spec hash, order, tenant, until ms, attempts, timeout,
 *               [after ...]
 *
 * Tasks that wait come in their order, then those that have ended, in that of
 * their lists. All is written down when a snapshot begins: a shard's part of
 * the tasks is small, and a copy of it is soon made.
 */

#include "shard/task_book_core.h"

#include "base/pack.h"

#include <assert.h>
#include <stdlib.h>

#define SNAPSHOT_VERSION 1
#define HEAD_FIELD_COUNT 6
#define POOL_FIELD_COUNT 3
#define POOL_TOTAL_COUNT 5
#define TASK_FIELD_COUNT 11
#define EXTRA_FIELD_COUNT 8
#define SUBMISSION_FIELD_COUNT 3
#define SCHEDULE_FIELD_COUNT 6
#define RECORD_BYTES 256 /* beside what has a length of its own */

enum record_tag {
    TAG_HEAD = 1,
    TAG_POOL,
    TAG_TASK,
    TAG_SUBMISSION,
    TAG_SCHEDULE,
};

/* ---- writing ---- */

/* Grows: each record is a length, u32, and its bytes. */
struct copy {
    uint8_t *bytes;
    size_t length;
    size_t capacity;
    uint64_t task_count;
};

/* Room for a record; a failed writer: no memory. */
static struct writer open_record(struct copy *copy, size_t bytes_max)
{
    size_t needed = copy->length + 4 + bytes_max;
    if (needed > copy->capacity) {
        size_t capacity = 2 * needed;
        uint8_t *bytes = realloc(copy->bytes, capacity);
        if (!bytes) {
            return (struct writer){.failed = true};
        }
        copy->bytes = bytes;
        copy->capacity = capacity;
    }
    return writer_of(copy->bytes + copy->length + 4, bytes_max);
}

static bool close_record(struct copy *copy, const struct writer *writer)
{
    if (writer->failed) {
        return false;
    }
    size_t length = (size_t)(writer->next - writer->start);
    put_u32(copy->bytes + copy->length, (uint32_t)length);
    copy->length += 4 + length;
    return true;
}

static void write_extra(struct writer *writer, const struct task *task)
{
    const struct task_extra *extra = task->extra;
    pack_bin(writer, task_key(task));
    pack_uint(writer, extra->spec_hash);
    pack_bin(writer, task_order(task));
    pack_bin(writer, task_tenant(task));
    pack_int(writer, extra->until_ms);
    pack_uint(writer, extra->attempts_max);
    pack_uint(writer, extra->timeout_ms);
    task_after_encode(extra->after, extra->after_count, writer);
}

static bool copy_task(struct copy *copy, const struct task *task)
{
    struct writer writer = open_record(copy, RECORD_BYTES + task_bytes(task));
    if (writer.failed) {
        return false;
    }
    pack_array(&writer,
               TASK_FIELD_COUNT + (task->extra ? EXTRA_FIELD_COUNT : 0));
    pack_uint(&writer, TAG_TASK);
    pack_text(&writer, task->pool->name);
    pack_uint(&writer, task->state);
    pack_uint(&writer, task_id_sequence(task->id));
    pack_int(&writer, task->accepted_ms);
    pack_int(&writer, task->at_ms);
    pack_uint(&writer, task->attempts);
    pack_bin(&writer, task_payload(task));
    pack_bin(&writer, task_output(task));
    pack_bin(&writer, task_why(task));
    pack_uint(&writer, task->priority);
    if (task->extra) {
        write_extra(&writer, task);
    }
    copy->task_count++;
    return close_record(copy, &writer);
}

static bool copy_list(struct copy *copy, const struct task_list *list)
{
    for (const struct task *task = list->first; task; task = task->newer) {
        if (!task->is_volatile && !copy_task(copy, task)) {
            return false;
        }
    }
    return true;
}

static bool copy_pool(struct copy *copy, const struct book_pool *pool)
{
    struct writer writer = open_record(copy, RECORD_BYTES);
    if (writer.failed) {
        return false;
    }
    pack_array(&writer, POOL_FIELD_COUNT);
    pack_uint(&writer, TAG_POOL);
    pack_text(&writer, pool->name);
    pack_array(&writer, POOL_TOTAL_COUNT);
    pack_uint(&writer, pool->stats.accepted_total);
    pack_uint(&writer, pool->stats.done_total);
    pack_uint(&writer, pool->stats.dead_total);
    pack_uint(&writer, pool->stats.retried_total);
    pack_uint(&writer, pool->stats.dead_dropped);
    return close_record(copy, &writer);
}

static bool copy_schedule(struct copy *copy,
                          const struct book_pool *pool,
                          const struct schedule_row *row)
{
    struct writer writer = open_record(copy, RECORD_BYTES);
    if (writer.failed) {
        return false;
    }
    pack_array(&writer, SCHEDULE_FIELD_COUNT);
    pack_uint(&writer, TAG_SCHEDULE);
    pack_text(&writer, pool->name);
    pack_text(&writer, row->name);
    pack_int(&writer, row->is.due_s);
    pack_uint(&writer, row->is.task);
    pack_uint(&writer, row->is.passed);
    return close_record(copy, &writer);
}

/* What was never moved on is as if it were not there. */
static bool copy_schedules(struct copy *copy, const struct book_pool *pool)
{
    for (const struct schedule_row *row = pool->schedules; row;
         row = row->next) {
        if (row->is.due_s != BOOK_NO_TIME && !copy_schedule(copy, pool, row)) {
            return false;
        }
    }
    return true;
}

static uint64_t schedule_count(const struct book_state *state)
{
    uint64_t count = 0;
    for (const struct book_pool *pool = state->pools; pool; pool = pool->next) {
        for (const struct schedule_row *row = pool->schedules; row;
             row = row->next) {
            count += row->is.due_s != BOOK_NO_TIME;
        }
    }
    return count;
}

static bool copy_submissions(struct copy *copy, const struct book_state *state)
{
    for (uint32_t i = 0; i < state->submission_count; i++) {
        uint32_t at = (state->submission_next + i) % state->submission_count;
        const struct submission *of = &state->submissions[at];
        if (!of->reply) {
            continue;
        }
        struct writer writer =
            open_record(copy, RECORD_BYTES + of->reply_bytes);
        if (writer.failed) {
            return false;
        }
        pack_array(&writer, SUBMISSION_FIELD_COUNT);
        pack_uint(&writer, TAG_SUBMISSION);
        pack_uint(&writer, state->submission_ids[at]);
        pack_bin(&writer, bytes_of(of->reply, of->reply_bytes));
        if (!close_record(copy, &writer)) {
            return false;
        }
    }
    return true;
}

static uint64_t submission_count(const struct book_state *state)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < state->submission_count; i++) {
        count += state->submissions[i].reply != NULL;
    }
    return count;
}

static uint64_t durable_count(const struct book_state *state)
{
    uint64_t count = 0;
    for (const struct task *task = state->waiting.first; task;
         task = task->newer) {
        count += !task->is_volatile;
    }
    for (const struct book_pool *pool = state->pools; pool; pool = pool->next) {
        for (size_t i = 0; i < ENDED_KIND_COUNT; i++) {
            count += pool->ended[false].lists[i].count;
        }
    }
    return count;
}

static bool copy_head(struct copy *copy, const struct book_state *state)
{
    struct writer writer = open_record(copy, RECORD_BYTES);
    if (writer.failed) {
        return false;
    }
    uint64_t schedules = schedule_count(state);
    pack_array(&writer, HEAD_FIELD_COUNT + (schedules > 0));
    pack_uint(&writer, TAG_HEAD);
    pack_uint(&writer, SNAPSHOT_VERSION);
    pack_uint(&writer, state->next_sequence);
    pack_uint(&writer, state->marked);
    pack_uint(&writer, durable_count(state));
    pack_uint(&writer, submission_count(state));
    if (schedules > 0) {
        pack_uint(&writer, schedules);
    }
    return close_record(copy, &writer);
}

static bool copy_all(struct copy *copy, const struct book_state *state)
{
    bool is_copied = copy_head(copy, state);
    for (const struct book_pool *pool = state->pools; pool && is_copied;
         pool = pool->next) {
        is_copied = copy_pool(copy, pool) && copy_schedules(copy, pool);
    }
    is_copied = is_copied && copy_list(copy, &state->waiting);
    for (const struct book_pool *pool = state->pools; pool; pool = pool->next) {
        for (size_t i = 0; i < ENDED_KIND_COUNT && is_copied; i++) {
            is_copied = copy_list(copy, &pool->ended[false].lists[i]);
        }
    }
    return is_copied && copy_submissions(copy, state);
}

enum err book_snapshot_begin(void *context)
{
    struct book *book = context;
    struct copy copy = {0};
    assert(!book->copied);
    if (!copy_all(&copy, &book->state)) {
        free(copy.bytes);
        return ERR_MEMORY;
    }
    book->copied = copy.bytes;
    book->copied_bytes = copy.length;
    book->copied_at = 0;
    return ERR_NONE;
}

enum err book_snapshot_next(void *context, struct writer *piece)
{
    struct book *book = context;
    const uint8_t *began = piece->next;
    while (book->copied_at < book->copied_bytes) {
        const uint8_t *record = book->copied + book->copied_at;
        uint32_t length = get_u32(record);
        if ((size_t)(piece->end - piece->next) < length) {
            return piece->next == began ? ERR_TOO_LARGE : ERR_NONE;
        }
        write_bytes(piece, record + 4, length);
        book->copied_at += 4 + (size_t)length;
    }
    return ERR_NONE;
}

void book_snapshot_end(void *context)
{
    struct book *book = context;
    free(book->copied);
    book->copied = NULL;
}

/* ---- reading ---- */

struct restored {
    struct book_state state; /* first: this is what the book points to */
    uint64_t promised_tasks;
    uint64_t promised_submissions;
    uint64_t promised_schedules;
    uint64_t submissions;
    uint64_t schedules;
    bool has_head;
};

static struct restored *restored_of(struct book *book)
{
    return (struct restored *)book->restored;
}

enum err book_restore_begin(void *context)
{
    struct book *book = context;
    assert(!book->restored);
    struct restored *restored = calloc(1, sizeof *restored);
    if (!restored) {
        return ERR_MEMORY;
    }
    book->restored = &restored->state;
    return ERR_NONE;
}

static enum err read_head(struct restored *restored,
                          uint32_t field_count,
                          struct reader *reader)
{
    if (pack_read_uint(reader) != SNAPSHOT_VERSION || restored->has_head) {
        return ERR_MALFORMED;
    }
    restored->state.next_sequence = pack_read_uint(reader);
    restored->state.marked = pack_read_uint(reader);
    restored->promised_tasks = pack_read_uint(reader);
    restored->promised_submissions = pack_read_uint(reader);
    restored->promised_schedules =
        field_count > HEAD_FIELD_COUNT ? pack_read_uint(reader) : 0;
    restored->has_head = true;
    return ERR_NONE;
}

static struct book_pool *read_pool_name(struct restored *restored,
                                        struct reader *reader)
{
    struct bytes name = pack_read_str(reader);
    bool is_name = !reader->failed && name.length > 0 &&
                   name.length < CERTIFICATE_NAME_BYTES;
    reader->failed = !is_name;
    return is_name ? pool_claim(&restored->state, name) : NULL;
}

static enum err read_pool(struct restored *restored, struct reader *reader)
{
    struct book_pool *pool = read_pool_name(restored, reader);
    (void)pack_read_array_of(reader, POOL_TOTAL_COUNT, POOL_TOTAL_COUNT);
    if (!pool) {
        return reader->failed ? ERR_MALFORMED : ERR_MEMORY;
    }
    pool->stats.accepted_total = pack_read_uint(reader);
    pool->stats.done_total = pack_read_uint(reader);
    pool->stats.dead_total = pack_read_uint(reader);
    pool->stats.retried_total = pack_read_uint(reader);
    pool->stats.dead_dropped = pack_read_uint(reader);
    return ERR_NONE;
}

static enum err read_schedule(struct restored *restored, struct reader *reader)
{
    struct book_pool *pool = read_pool_name(restored, reader);
    char name[CERTIFICATE_NAME_BYTES];
    struct book_schedule is = {0};
    pack_read_text(reader, name, sizeof name);
    is.due_s = pack_read_int(reader);
    is.decided_s = is.due_s;
    is.task = pack_read_uint(reader);
    is.passed = pack_read_uint(reader);
    if (reader->failed || name[0] == '\0' || is.due_s == BOOK_NO_TIME ||
        (pool && schedule_find(pool, bytes_of_text(name)))) {
        return ERR_MALFORMED;
    }
    struct schedule_row *row =
        pool ? schedule_claim(pool, bytes_of_text(name)) : NULL;
    if (!row) {
        return ERR_MEMORY;
    }
    row->is = is;
    restored->schedules++;
    return ERR_NONE;
}

struct extra_numbers {
    uint64_t spec_hash;
    int64_t until_ms;
};

static void read_extra(struct reader *reader,
                       struct task_spec *spec,
                       struct extra_numbers *numbers)
{
    spec->key = task_key_decode(reader);
    numbers->spec_hash = pack_read_uint(reader);
    spec->order = task_key_decode(reader);
    spec->tenant = task_key_decode(reader);
    numbers->until_ms = pack_read_int(reader);
    spec->ttl_ms = numbers->until_ms != 0;
    spec->attempts_max = (uint32_t)pack_read_uint_to(reader, UINT32_MAX);
    spec->timeout_ms = (uint32_t)pack_read_uint_to(reader, UINT32_MAX);
    task_after_decode(spec, reader);
}

/* One of the same id or key is there: twice in the snapshot. */
static bool is_there(const struct book_state *state, const struct task *task)
{
    struct bytes pool = bytes_of_text(task->pool->name);
    return table_find_id(&state->by_id, task->id) ||
           (task->extra && task->extra->key_hash != 0 &&
            table_find_key(&state->by_key, task->extra->key_hash, pool,
                           task_key(task)));
}

static enum err add_read(struct book_state *state,
                         struct task *task,
                         struct bytes output,
                         struct bytes why)
{
    enum err err = task_set_bytes(task, task->payload_bytes, output, why);
    if (!err && is_there(state, task)) {
        err = ERR_MALFORMED;
    }
    return err ? err : state_add(state, task);
}

static enum err read_task(struct restored *restored,
                          uint32_t shard,
                          uint32_t field_count,
                          struct reader *reader)
{
    struct book_pool *pool = read_pool_name(restored, reader);
    uint8_t state = (uint8_t)pack_read_uint_to(reader, TASK_STATE_COUNT - 1);
    uint64_t sequence = pack_read_uint_to(reader, TASK_VOLATILE_BIT - 1);
    int64_t accepted_ms = pack_read_int(reader);
    int64_t at_ms = pack_read_int(reader);
    uint32_t attempts = (uint32_t)pack_read_uint_to(reader, UINT32_MAX);
    struct task_spec spec = task_spec_of(pack_read_bin(reader));
    struct extra_numbers numbers = {0};
    struct bytes output = pack_read_bin(reader);
    struct bytes why = pack_read_bin(reader);
    spec.priority = (uint8_t)pack_read_uint_to(reader, TASK_PRIORITY_COUNT - 1);
    if (field_count > TASK_FIELD_COUNT) {
        read_extra(reader, &spec, &numbers);
    }
    if (reader->failed || sequence >= restored->state.next_sequence) {
        return ERR_MALFORMED;
    }
    struct task *task =
        pool ? task_new(&spec, pool, task_id(shard, sequence), accepted_ms)
             : NULL;
    if (!task) {
        return ERR_MEMORY;
    }
    task->state = state;
    task->at_ms = at_ms;
    task->attempts = attempts;
    if (task->extra) {
        task->extra->until_ms = numbers.until_ms;
        task->extra->spec_hash = numbers.spec_hash;
    }
    enum err err = add_read(&restored->state, task, output, why);
    if (err) {
        task_free(task);
    }
    return err;
}

static enum err read_submission(struct restored *restored,
                                uint32_t count_max,
                                struct reader *reader)
{
    uint64_t id = pack_read_uint(reader);
    struct bytes reply = pack_read_bin(reader);
    restored->submissions++;
    return reader->failed
               ? ERR_MALFORMED
               : state_remember(&restored->state, count_max, id, reply);
}

static enum err read_record(struct book *book, struct reader *reader)
{
    struct restored *restored = restored_of(book);
    uint32_t count = pack_read_array_of(reader, 2, UINT32_MAX);
    uint64_t tag = pack_read_uint(reader);
    if (tag == TAG_HEAD &&
        (count == HEAD_FIELD_COUNT || count == HEAD_FIELD_COUNT + 1)) {
        return read_head(restored, count, reader);
    }
    if (!restored->has_head) {
        return ERR_MALFORMED;
    }
    if (tag == TAG_POOL && count == POOL_FIELD_COUNT) {
        return read_pool(restored, reader);
    }
    if (tag == TAG_SCHEDULE && count == SCHEDULE_FIELD_COUNT) {
        return read_schedule(restored, reader);
    }
    if (tag == TAG_TASK && (count == TASK_FIELD_COUNT ||
                            count == TASK_FIELD_COUNT + EXTRA_FIELD_COUNT)) {
        return read_task(restored, book->config.shard, count, reader);
    }
    return tag == TAG_SUBMISSION && count == SUBMISSION_FIELD_COUNT
               ? read_submission(restored, book->config.submission_count_max,
                                 reader)
               : ERR_MALFORMED;
}

enum err book_restore_piece(void *context, struct bytes piece)
{
    struct book *book = context;
    struct reader reader = reader_of(piece);
    enum err err = ERR_NONE;
    assert(book->restored);
    while (!err && reader_left(&reader) > 0) {
        err = read_record(book, &reader);
        err = !err && reader.failed ? ERR_MALFORMED : err;
    }
    return err;
}

bool book_is_restored(const struct book *book)
{
    const struct restored *restored = (const struct restored *)book->restored;
    return restored && restored->has_head &&
           restored->state.by_id.count == restored->promised_tasks &&
           restored->submissions == restored->promised_submissions &&
           restored->schedules == restored->promised_schedules;
}

enum err book_restore_end(void *context, bool is_whole)
{
    struct book *book = context;
    struct restored *restored = restored_of(book);
    enum err err = ERR_NONE;
    assert(restored);
    if (is_whole && !book_is_restored(book)) {
        err = ERR_MALFORMED;
    }
    if (is_whole && !err) {
        assert(!book->batches); /* nobody leads who takes a snapshot */
        state_clear(&book->state);
        book->state = restored->state;
        book->next_sequence = restored->state.next_sequence;
        restored->state = (struct book_state){0};
        book->config.events.on_reset(book->config.events.context);
    }
    state_clear(&restored->state);
    free(restored);
    book->restored = NULL;
    return err;
}
