/*
 * How far schedules are: which occurrence of each was the last to be given a
 * task, or to be passed over. This alone says that none is given two.
 */

#include "shard/task_book_core.h"

#include "base/hash.h"
#include "base/pack.h"
#include "base/time_units.h"
#include "shard/task_schedule.h"

#include <stdlib.h>

#define COMMAND_FIELD_COUNT 6
#define OUTCOME_FIELD_COUNT 6
#define GONE_FIELD_COUNT 2

/* Of a pool: those that it may have, and others that are gone since. */
#define ROW_COUNT_MAX 1024

/* ---- the table ---- */

static const struct book_schedule nowhere = {.due_s = BOOK_NO_TIME,
                                             .decided_s = BOOK_NO_TIME};

struct schedule_row *schedule_find(const struct book_pool *pool,
                                   struct bytes name)
{
    struct schedule_row *row = pool->schedules;
    while (row && !bytes_are_equal(bytes_of_text(row->name), name)) {
        row = row->next;
    }
    return row;
}

struct schedule_row *schedule_claim(struct book_pool *pool, struct bytes name)
{
    struct schedule_row *row = schedule_find(pool, name);
    if (!row) {
        row = calloc(1, sizeof *row);
        if (!row) {
            return NULL;
        }
        row->is = nowhere;
        memcpy(row->name, name.data, name.length);
        row->next = pool->schedules;
        pool->schedules = row;
    }
    return row;
}

void schedules_free(struct book_pool *pool)
{
    while (pool->schedules) {
        struct schedule_row *row = pool->schedules;
        pool->schedules = row->next;
        free(row);
    }
}

static uint32_t count_rows(const struct book_pool *pool)
{
    uint32_t count = 0;
    for (const struct schedule_row *row = pool->schedules; row;
         row = row->next) {
        count++;
    }
    return count;
}

struct book_schedule book_schedule(const struct book *book,
                                   struct bytes pool,
                                   struct bytes schedule)
{
    const struct book_pool *of = pool_find(&book->state, pool);
    const struct schedule_row *row = of ? schedule_find(of, schedule) : NULL;
    return row ? row->is : nowhere;
}

void schedules_drop(struct book_state *state)
{
    for (struct book_pool *pool = state->pools; pool; pool = pool->next) {
        for (struct schedule_row *row = pool->schedules; row; row = row->next) {
            row->is.decided_s = row->is.due_s;
        }
    }
}

uint64_t schedules_digest(const struct book_pool *pool)
{
    uint64_t digest = 0; /* a sum: they are in no order */
    for (const struct schedule_row *row = pool->schedules; row;
         row = row->next) {
        const uint64_t numbers[] = {(uint64_t)row->is.due_s, row->is.task,
                                    row->is.passed};
        const struct bytes parts[] = {bytes_of_text(pool->name),
                                      bytes_of_text(row->name),
                                      bytes_of(numbers, sizeof numbers)};
        digest += row->is.due_s == BOOK_NO_TIME ? 0 : hash_parts(parts, 3, 0);
    }
    return digest;
}

/* ---- moving one on ---- */

struct fire_read {
    struct book_fire fire; /* without a task */
    bool has_task;
    struct reader task; /* task_spec_decode() */
};

static bool is_name(struct bytes name)
{
    return name.length > 0 && name.length < CERTIFICATE_NAME_BYTES &&
           !memchr(name.data, '\0', name.length);
}

static void read_head(struct reader *reader, struct book_fire *out)
{
    out->pool = pack_read_str(reader);
    out->schedule = pack_read_str(reader);
    out->due_s = pack_read_int(reader);
    out->passed = pack_read_uint(reader);
    reader->failed =
        reader->failed || !is_name(out->pool) || !is_name(out->schedule);
}

static enum err read_command(struct bytes command, struct fire_read *out)
{
    struct reader reader = reader_of(command);
    (void)pack_read_array_of(&reader, COMMAND_FIELD_COUNT, UINT32_MAX);
    (void)pack_read_uint(&reader);
    read_head(&reader, &out->fire);
    out->has_task = pack_read_array_of(&reader, 0, 1) == 1;
    out->task = reader;
    return reader.failed ? ERR_MALFORMED : ERR_NONE;
}

static void write_head(struct writer *writer, const struct book_fire *fire)
{
    pack_str(writer, fire->pool);
    pack_str(writer, fire->schedule);
    pack_int(writer, fire->due_s);
    pack_uint(writer, fire->passed);
}

/* What a submission of one task came to. */
static enum err read_run(struct bytes reply)
{
    struct reader reader = reader_of(reply);
    struct book_run run = {0};
    (void)pack_read_array_of(&reader, 1, 1);
    book_run_decode(&run, &reader);
    return reader.failed ? ERR_MALFORMED : run.err;
}

/* The task is made, and stands in the outcome; or neither. */
static enum err decide_task(struct book *book,
                            const struct machine_stamp *stamp,
                            const struct fire_read *read,
                            struct machine_decision *decision)
{
    const struct submission_request request = {
        .pool = read->fire.pool, .count = 1, .specs = read->task};
    struct submission_made made = {.request = &request,
                                   .first = book->next_sequence,
                                   .now_ms = stamp->wall_ms};
    uint8_t *reply_at = decision->reply.next;
    enum err err = submission_pool(book, &request, &made.pool);
    if (!err && !made.pool->is_durable) {
        err = ERR_NOT_FOUND; /* it was, before it was changed */
    }
    if (!err) {
        err = submission_decide(book, &made, decision);
    }
    if (!err) {
        err = read_run(
            bytes_of(reply_at, (size_t)(decision->reply.next - reply_at)));
    }
    decision->reply.next = reply_at;
    return err;
}

static enum err decide_move(struct book *book,
                            const struct machine_stamp *stamp,
                            const struct fire_read *read,
                            struct machine_decision *decision)
{
    struct writer *outcome = &decision->outcome;
    pack_array(outcome, OUTCOME_FIELD_COUNT);
    pack_uint(outcome, OUTCOME_FIRE);
    write_head(outcome, &read->fire);
    if (read->has_task) {
        return decide_task(book, stamp, read, decision);
    }
    pack_nil(outcome);
    return outcome->failed ? ERR_TOO_LARGE : ERR_NONE;
}

enum err schedule_decide(struct book *book,
                         const struct machine_stamp *stamp,
                         struct bytes command,
                         struct machine_decision *decision)
{
    struct fire_read read = {.has_task = false};
    uint8_t *outcome_at = decision->outcome.next;
    if (read_command(command, &read)) {
        return ERR_MALFORMED;
    }
    struct book_pool *pool = pool_claim(&book->state, read.fire.pool);
    if (pool && count_rows(pool) >= ROW_COUNT_MAX &&
        !schedule_find(pool, read.fire.schedule)) {
        return ERR_FULL;
    }
    struct schedule_row *row =
        pool ? schedule_claim(pool, read.fire.schedule) : NULL;
    if (!row) {
        return ERR_MEMORY;
    }
    if (read.fire.due_s <= row->is.decided_s &&
        !HAS_TASK_FAULT(&book->config, FIRE_AGAIN)) {
        return ERR_NONE; /* it is there already */
    }
    enum err err = decide_move(book, stamp, &read, decision);
    if (err) {
        decision->outcome.next = outcome_at;
        return err;
    }
    row->is.decided_s = read.fire.due_s;
    return ERR_NONE;
}

/* A submission as the log has it, or nil. */
static enum err apply_task(struct book *book,
                           const struct machine_stamp *stamp,
                           struct reader *reader,
                           uint64_t *task)
{
    uint64_t id = task_id(book->config.shard, book->state.next_sequence);
    if (pack_peek(reader) == PACK_NIL) {
        pack_read_nil(reader);
        return ERR_NONE;
    }
    (void)pack_read_array(reader);
    if (pack_read_uint(reader) != OUTCOME_SUBMIT) {
        return ERR_MALFORMED;
    }
    *task = id;
    return submission_apply(book, stamp, reader);
}

enum err schedule_apply(struct book *book,
                        const struct machine_stamp *stamp,
                        struct reader *reader)
{
    struct book_fire fire = {0};
    read_head(reader, &fire);
    if (reader->failed) {
        return ERR_MALFORMED;
    }
    struct book_pool *pool = pool_claim(&book->state, fire.pool);
    struct schedule_row *row =
        pool ? schedule_claim(pool, fire.schedule) : NULL;
    if (!row) {
        return ERR_MEMORY;
    }
    enum err err = apply_task(book, stamp, reader, &row->is.task);
    if (!err) {
        row->is.due_s = fire.due_s;
        row->is.passed += fire.passed;
        if (row->is.decided_s < fire.due_s) {
            row->is.decided_s = fire.due_s;
        }
    }
    return err;
}

/* ---- forgetting ---- */

/*
 * A leader may have an old view, in which the schedule is not there yet: it
 * must not forget how far that is. So long after its last occurrence that does
 * no harm: whoever has the schedule again passes that over.
 */
static bool is_gone(const struct book *book,
                    const struct book_pool *pool,
                    const struct schedule_row *row,
                    int64_t now_ms)
{
    const struct task_pool *settings =
        task_pools_find(book->config.pools(book->config.events.context),
                        bytes_of_text(pool->name));
    int64_t keep_s = (int64_t)TASK_CATCH_UP_MS_MAX / MS_PER_S;
    return row->is.due_s != BOOK_NO_TIME &&
           row->is.decided_s < now_ms / MS_PER_S - keep_s &&
           !(settings && task_schedule_find(settings, row->name));
}

/* Each of them written, where there is a writer. */
static uint32_t each_gone(const struct book *book,
                          int64_t now_ms,
                          struct writer *outcome)
{
    uint32_t count = 0;
    for (const struct book_pool *pool = book->state.pools; pool;
         pool = pool->next) {
        for (const struct schedule_row *row = pool->schedules; row;
             row = row->next) {
            bool is_meant = is_gone(book, pool, row, now_ms);
            count += is_meant;
            if (is_meant && outcome) {
                pack_array(outcome, GONE_FIELD_COUNT);
                pack_text(outcome, pool->name);
                pack_text(outcome, row->name);
            }
        }
    }
    return count;
}

uint32_t schedules_count_gone(const struct book *book, int64_t now_ms)
{
    return each_gone(book, now_ms, NULL);
}

void schedules_write_gone(const struct book *book,
                          int64_t now_ms,
                          uint32_t count,
                          struct writer *outcome)
{
    pack_array(outcome, count);
    (void)each_gone(book, now_ms, outcome);
}

/* Who leads may have decided to move it on again meanwhile: that stays known,
 * else the same might be decided twice. */
static void forget(struct book_pool *pool, struct bytes name)
{
    struct schedule_row **link = &pool->schedules;
    while (*link && !bytes_are_equal(bytes_of_text((*link)->name), name)) {
        link = &(*link)->next;
    }
    struct schedule_row *row = *link;
    if (row && row->is.decided_s > row->is.due_s) {
        int64_t decided_s = row->is.decided_s;
        row->is = nowhere;
        row->is.decided_s = decided_s;
    } else if (row) {
        *link = row->next;
        free(row);
    }
}

void schedules_forget(struct book_state *state, struct reader *reader)
{
    uint32_t count = pack_read_array(reader);
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        (void)pack_read_array_of(reader, GONE_FIELD_COUNT, GONE_FIELD_COUNT);
        struct book_pool *pool = pool_find(state, pack_read_str(reader));
        struct bytes name = pack_read_str(reader);
        if (pool && !reader->failed) {
            forget(pool, name);
        }
    }
}

/* ---- the command ---- */

size_t book_fire_bytes_max(const struct book_fire *fire)
{
    return 48 + fire->pool.length + fire->schedule.length +
           (fire->task ? task_spec_bytes_max(fire->task) : 0);
}

void book_fire_encode(const struct book_fire *fire, struct writer *writer)
{
    pack_array(writer, COMMAND_FIELD_COUNT);
    pack_uint(writer, BOOK_FIRE);
    write_head(writer, fire);
    pack_array(writer, fire->task ? 1 : 0);
    if (fire->task) {
        task_spec_encode(fire->task, writer);
    }
}
