#include "shard/task_book_core.h"

#include "base/hash.h"
#include "base/pack.h"

#include <assert.h>
#include <stdlib.h>

#define SUBMIT_FIELD_COUNT 6
#define TRIM_FIELD_COUNT 5

static void copy_between(struct writer *writer,
                         const uint8_t *from,
                         const uint8_t *to)
{
    write_bytes(writer, from, (size_t)(to - from));
}

/* ---- submissions ---- */

enum err submission_pool(const struct book *book,
                         const struct submission_request *request,
                         const struct task_pool **out)
{
    *out = task_pools_find(book->config.pools(book->config.events.context),
                           request->pool);
    return *out ? ERR_NONE : ERR_NOT_FOUND;
}

/* How many more a pool takes in. Its limit is divided among its shards. */
static uint64_t room_of(const struct book *book,
                        const struct task_pool *settings,
                        const struct book_pool *pool)
{
    uint64_t share = task_pool_is_single(settings) ? 1 : book_shard_count(book);
    uint64_t max = (settings->queue_max + share - 1) / share;
    uint64_t used = pool->stats.waiting + pool->pending;
    return max > used ? max - used : 0;
}

static bool is_after_valid(const struct book *book,
                           const struct task_spec *spec)
{
    for (uint32_t i = 0; i < spec->after_count; i++) {
        if (task_id_shard(spec->after[i]) >= book_shard_count(book)) {
            return false;
        }
    }
    return true;
}

static enum err make_task(struct book *book,
                          struct submission_made *made,
                          struct book_pool *pool,
                          const struct task_spec *spec)
{
    uint64_t id = task_id(book->config.shard, made->first + made->tasks.count);
    struct task *task = task_new(spec, pool, id, made->now_ms);
    if (!task) {
        return ERR_MEMORY;
    }
    task->is_volatile = made->is_volatile;
    task->is_pending = true;
    if (task->extra && task->extra->key_hash != 0 &&
        table_add_key(&book->state.by_key, task)) {
        task_free(task);
        return ERR_MEMORY;
    }
    list_push(&made->tasks, task);
    pool->pending++;
    return ERR_NONE;
}

/* What becomes of one; ERR_NONE in `run`, and nobody who was there: it is
 * made. */
static enum err take_one(struct book *book,
                         struct submission_made *made,
                         struct book_pool *pool,
                         const struct task_spec *spec,
                         struct book_run *run)
{
    const struct task *known = NULL;
    *run = (struct book_run){.count = 1};
    if (spec->key.length > 0 && !HAS_TASK_FAULT(&book->config, KEY_AGAIN)) {
        struct bytes name = bytes_of_text(pool->name);
        known = table_find_key(&book->state.by_key, key_hash(name, spec->key),
                               name, spec->key);
    }
    if (known) {
        run->is_known = true;
        run->first = known->id;
        run->err = known->extra->spec_hash == hash_bytes(spec->payload, 0)
                       ? ERR_NONE
                       : ERR_EXISTS;
        return ERR_NONE;
    }
    run->err = spec->payload.length > made->pool->payload_bytes_max
                   ? ERR_TOO_LARGE
               : !is_after_valid(book, spec)          ? ERR_INVALID
               : room_of(book, made->pool, pool) == 0 ? ERR_FULL
                                                      : ERR_NONE;
    if (run->err) {
        return ERR_NONE;
    }
    run->first = task_id(book->config.shard, made->first + made->tasks.count);
    return make_task(book, made, pool, spec);
}

static enum err make_all(struct book *book,
                         struct submission_made *made,
                         struct book_runs *runs)
{
    struct reader specs = made->request->specs;
    struct book_pool *pool = pool_claim(&book->state, made->request->pool);
    enum err err = pool ? ERR_NONE : ERR_MEMORY;
    for (uint32_t i = 0; i < made->request->count && !err; i++) {
        struct task_spec spec;
        struct book_run run;
        const uint8_t *from = specs.next;
        uint64_t before = made->tasks.count;
        task_spec_decode(&spec, &specs);
        err = specs.failed ? ERR_MALFORMED
                           : take_one(book, made, pool, &spec, &run);
        if (!err) {
            book_runs_add(runs, &run);
        }
        if (!err && made->specs && made->tasks.count > before) {
            copy_between(made->specs, from, specs.next);
        }
    }
    return err;
}

enum err submission_make(struct book *book,
                         struct submission_made *made,
                         struct writer *reply)
{
    struct book_runs runs = book_runs_begin(reply);
    size_t specs_at = made->specs ? pack_array_begin(made->specs) : 0;
    enum err err = make_all(book, made, &runs);
    book_runs_end(&runs);
    if (!err && (reply->failed || (made->specs && made->specs->failed))) {
        err = ERR_TOO_LARGE;
    }
    if (err) {
        submission_undo(book, made);
        return err;
    }
    if (made->specs) {
        pack_count(made->specs, specs_at, (uint32_t)made->tasks.count);
    }
    return ERR_NONE;
}

static void free_pending(struct book *book, struct task_list *tasks)
{
    while (tasks->first) {
        struct task *task = tasks->first;
        list_remove(tasks, task);
        if (task->extra && task->extra->key_hash != 0) {
            table_remove_key(&book->state.by_key, task);
        }
        task->pool->pending--;
        task_free(task);
    }
}

void submission_undo(struct book *book, struct submission_made *made)
{
    free_pending(book, &made->tasks);
}

/* One that is under way, or was applied lately. */
static bool recall(const struct book *book,
                   uint64_t submission,
                   struct bytes *reply)
{
    for (const struct batch *batch = book->batches; batch;
         batch = batch->next) {
        if (batch->submission == submission) {
            *reply = bytes_of(batch->reply, batch->reply_bytes);
            return true;
        }
    }
    return state_recall(&book->state, submission, reply);
}

static enum err keep_batch(struct book *book,
                           const struct submission_made *made,
                           struct bytes reply)
{
    struct batch *batch = malloc(sizeof *batch + reply.length);
    if (!batch) {
        return ERR_MEMORY;
    }
    *batch = (struct batch){.submission = made->request->submission,
                            .first = made->first,
                            .tasks = made->tasks,
                            .reply_bytes = reply.length};
    memcpy(batch->reply, reply.data, reply.length);
    struct batch **last =
        book->last_batch ? &book->last_batch->next : &book->batches;
    *last = batch;
    book->last_batch = batch;
    book->next_sequence += made->tasks.count;
    return ERR_NONE;
}

static enum err refuse_all(const struct submission_request *request,
                           enum err why,
                           struct writer *reply)
{
    pack_array(reply, 1);
    book_run_encode(&(struct book_run){.count = request->count, .err = why},
                    reply);
    return reply->failed ? ERR_TOO_LARGE : ERR_NONE;
}

enum err submission_decide(struct book *book,
                           struct submission_made *made,
                           struct machine_decision *decision)
{
    const struct submission_request *request = made->request;
    uint8_t *outcome_at = decision->outcome.next;
    uint8_t *reply_at = decision->reply.next;
    made->specs = &decision->outcome;
    pack_array(&decision->outcome, SUBMIT_FIELD_COUNT);
    pack_uint(&decision->outcome, OUTCOME_SUBMIT);
    pack_str(&decision->outcome, request->pool);
    pack_uint(&decision->outcome, request->submission);
    pack_uint(&decision->outcome, made->first);
    enum err err = submission_make(book, made, &decision->reply);
    if (err) {
        return err;
    }
    struct bytes reply =
        bytes_of(reply_at, (size_t)(decision->reply.next - reply_at));
    pack_bin(&decision->outcome,
             request->submission != 0 ? reply : (struct bytes){0});
    if (made->tasks.count == 0 && request->submission == 0) {
        decision->outcome.next = outcome_at; /* nothing happens */
        return ERR_NONE;
    }
    err = decision->outcome.failed ? ERR_TOO_LARGE
                                   : keep_batch(book, made, reply);
    if (err) {
        submission_undo(book, made);
    }
    return err;
}

static enum err decide_submit(struct book *book,
                              const struct machine_stamp *stamp,
                              struct bytes command,
                              struct machine_decision *decision)
{
    struct submission_request request;
    struct submission_made made = {.request = &request,
                                   .first = book->next_sequence,
                                   .now_ms = stamp->wall_ms};
    struct bytes known;
    enum err err = submission_read(&request, command);
    if (err) {
        return err;
    }
    if (request.submission != 0 &&
        !HAS_TASK_FAULT(&book->config, SUBMIT_AGAIN) &&
        recall(book, request.submission, &known)) {
        write_bytes(&decision->reply, known.data, known.length);
        return decision->reply.failed ? ERR_TOO_LARGE : ERR_NONE;
    }
    err = submission_pool(book, &request, &made.pool);
    if (err) {
        return refuse_all(&request, err, &decision->reply);
    }
    return submission_decide(book, &made, decision);
}

static enum err remember(struct book *book,
                         uint64_t submission,
                         struct bytes reply)
{
    return submission == 0
               ? ERR_NONE
               : state_remember(&book->state, book->config.submission_count_max,
                                submission, reply);
}

enum err submission_add(struct book *book, struct task_list *tasks)
{
    while (tasks->first) {
        struct task *task = tasks->first;
        list_remove(tasks, task);
        enum err err = state_add(&book->state, task);
        if (err) {
            list_push(tasks, task);
            return err;
        }
        task->pool->pending--;
        task->pool->stats.accepted_total++;
        book->config.events.on_waiting(book->config.events.context, task);
    }
    return ERR_NONE;
}

/* Ours: the tasks are there already, and nothing is to be read again. */
static enum err apply_batch(struct book *book)
{
    struct batch *batch = book->batches;
    enum err err = submission_add(book, &batch->tasks);
    if (!err) {
        err = remember(book, batch->submission,
                       bytes_of(batch->reply, batch->reply_bytes));
    }
    if (!err) {
        book->batches = batch->next;
        book->last_batch = batch->next ? book->last_batch : NULL;
        free(batch);
    }
    return err;
}

static enum err apply_spec(struct book *book,
                           const struct machine_stamp *stamp,
                           struct book_pool *pool,
                           uint64_t sequence,
                           struct reader *reader)
{
    struct task_spec spec;
    task_spec_decode(&spec, reader);
    if (reader->failed) {
        return ERR_MALFORMED;
    }
    struct task *task = task_new(
        &spec, pool, task_id(book->config.shard, sequence), stamp->wall_ms);
    enum err err = task ? state_add(&book->state, task) : ERR_MEMORY;
    if (!err) {
        pool->stats.accepted_total++;
        book->config.events.on_waiting(book->config.events.context, task);
    } else if (task) {
        task_free(task);
    }
    return err;
}

static enum err apply_specs(struct book *book,
                            const struct machine_stamp *stamp,
                            struct bytes name,
                            uint64_t first,
                            struct reader *reader)
{
    struct book_pool *pool = pool_claim(&book->state, name);
    uint32_t count = pack_read_array(reader);
    enum err err = pool ? ERR_NONE : ERR_MEMORY;
    for (uint32_t i = 0; i < count && !err; i++) {
        err = apply_spec(book, stamp, pool, first + i, reader);
    }
    book->state.next_sequence = first + count;
    return err;
}

enum err submission_apply(struct book *book,
                          const struct machine_stamp *stamp,
                          struct reader *reader)
{
    struct bytes name = pack_read_str(reader);
    uint64_t submission = pack_read_uint(reader);
    uint64_t first = pack_read_uint(reader);
    if (reader->failed || name.length >= CERTIFICATE_NAME_BYTES ||
        first != book->state.next_sequence) {
        return ERR_MALFORMED;
    }
    if (book->batches) {
        assert(book->batches->first == first);
        book->state.next_sequence = first + book->batches->tasks.count;
        return apply_batch(book);
    }
    enum err err = apply_specs(book, stamp, name, first, reader);
    book->next_sequence = book->state.next_sequence;
    struct bytes reply = pack_read_bin(reader);
    return err ? err : remember(book, submission, reply);
}

/* ---- ends ---- */

static struct task *find_waiting(const struct book *book, uint64_t id)
{
    struct task *task = table_find_id(&book->state.by_id, id);
    return task && task->state == TASK_WAITING && !task->is_ending &&
                   !task->is_volatile
               ? task
               : NULL;
}

/* Not decided after all. */
static void unmark(const struct book *book, struct bytes ends)
{
    struct reader reader = reader_of(ends);
    struct book_end end;
    for (end_read(&end, &reader); !reader.failed; end_read(&end, &reader)) {
        table_find_id(&book->state.by_id, end.id)->is_ending = false;
    }
}

/* Close an outcome that is an array of what was kept: nothing, if that is
 * nothing. */
static void close_outcome(struct writer *outcome,
                          uint8_t *outcome_at,
                          size_t array_at,
                          uint32_t count)
{
    if (count == 0) {
        outcome->next = outcome_at;
        outcome->failed = false;
    } else {
        pack_count(outcome, array_at, count);
    }
}

static size_t open_outcome(struct writer *outcome, enum outcome_kind kind)
{
    pack_array(outcome, 2);
    pack_uint(outcome, kind);
    return pack_array_begin(outcome);
}

static enum err decide_ends(struct book *book,
                            struct bytes command,
                            struct machine_decision *decision)
{
    struct reader reader = reader_of(command);
    struct writer *outcome = &decision->outcome;
    uint8_t *outcome_at = outcome->next;
    (void)pack_read_array_of(&reader, 2, UINT32_MAX);
    (void)pack_read_uint(&reader);
    uint32_t count = pack_read_array(&reader);
    size_t array_at = open_outcome(outcome, OUTCOME_ENDS);
    uint8_t *ends_at = outcome->next;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count && !reader.failed; i++) {
        const uint8_t *from = reader.next;
        struct book_end end;
        end_read(&end, &reader);
        struct task *task = reader.failed ? NULL : find_waiting(book, end.id);
        if (task && (size_t)(outcome->end - outcome->next) <
                        (size_t)(reader.next - from)) {
            unmark(book, bytes_of(ends_at, (size_t)(outcome->next - ends_at)));
            return ERR_TOO_LARGE;
        }
        if (task) {
            copy_between(outcome, from, reader.next);
            task->is_ending = true;
            kept++;
        }
    }
    close_outcome(outcome, outcome_at, array_at, kept);
    return reader.failed ? ERR_MALFORMED : ERR_NONE;
}

static enum err apply_end(struct book *book,
                          const struct machine_stamp *stamp,
                          const struct book_end *end)
{
    struct task *task = table_find_id(&book->state.by_id, end->id);
    const struct book_events *events = &book->config.events;
    if (!task || task->state != TASK_WAITING) {
        return ERR_MALFORMED; /* it was, when this was decided */
    }
    if (end->state == TASK_WAITING) {
        enum err err = state_again(task, end);
        if (!err) {
            events->on_waiting(events->context, task);
        }
        return err;
    }
    enum err err = state_end(&book->state, task, end, stamp->wall_ms);
    if (!err) {
        events->on_end(events->context, task);
    }
    return err;
}

static enum err apply_ends(struct book *book,
                           const struct machine_stamp *stamp,
                           struct reader *reader)
{
    uint32_t count = pack_read_array(reader);
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < count && !err; i++) {
        struct book_end end;
        end_read(&end, reader);
        err = reader->failed ? ERR_MALFORMED : apply_end(book, stamp, &end);
    }
    return err;
}

/* ---- cancel, retry, purge ---- */

static bool is_meant(const struct task *task, enum book_request_kind kind)
{
    bool is_waiting = task->state == TASK_WAITING;
    return !task->is_ending && !task->is_volatile &&
           (kind == BOOK_CANCEL  ? is_waiting
            : kind == BOOK_RETRY ? task->state == TASK_DEAD
                                 : !is_waiting);
}

static void write_id(struct writer *outcome,
                     enum book_request_kind kind,
                     uint64_t id)
{
    if (kind == BOOK_CANCEL) {
        book_end_encode(&(struct book_end){.id = id, .state = TASK_CANCELLED},
                        outcome);
    } else {
        pack_uint(outcome, id);
    }
}

static enum err decide_ids(struct book *book,
                           enum book_request_kind kind,
                           struct bytes command,
                           struct machine_decision *decision)
{
    static const enum outcome_kind outcomes[] = {[BOOK_CANCEL] = OUTCOME_ENDS,
                                                 [BOOK_RETRY] = OUTCOME_REVIVE,
                                                 [BOOK_PURGE] = OUTCOME_PURGE};
    struct book_ids ids;
    struct task *tasks[BOOK_REQUEST_TASKS_MAX];
    uint32_t kept = 0;
    if (book_ids_read(&ids, command)) {
        return ERR_MALFORMED;
    }
    if (kind == BOOK_RETRY && book->is_trimming) {
        return ERR_BUSY; /* it may be one of those that go */
    }
    for (uint32_t i = 0; i < ids.count; i++) {
        struct task *task =
            table_find_id(&book->state.by_id, pack_read_uint(&ids.ids));
        if (task && is_meant(task, kind) &&
            book_ids_have(&ids, task_pool_name(task))) {
            task->is_ending = true; /* so that none is counted twice */
            tasks[kept++] = task;
        }
    }
    uint8_t *outcome_at = decision->outcome.next;
    size_t array_at = open_outcome(&decision->outcome, outcomes[kind]);
    for (uint32_t i = 0; i < kept; i++) {
        write_id(&decision->outcome, kind, tasks[i]->id);
    }
    close_outcome(&decision->outcome, outcome_at, array_at, kept);
    pack_uint(&decision->reply, kept);
    enum err err = decision->outcome.failed || decision->reply.failed
                       ? ERR_TOO_LARGE
                       : ERR_NONE;
    for (uint32_t i = 0; i < kept && err; i++) {
        tasks[i]->is_ending = false;
    }
    return err;
}

static void revive(struct book *book,
                   const struct machine_stamp *stamp,
                   struct task *task)
{
    task->is_ending = false;
    state_revive(&book->state, task, stamp->wall_ms);
    book->config.events.on_waiting(book->config.events.context, task);
}

static void apply_ids(struct book *book,
                      const struct machine_stamp *stamp,
                      enum outcome_kind kind,
                      struct reader *reader)
{
    uint32_t count = pack_read_array(reader);
    for (uint32_t i = 0; i < count; i++) {
        struct task *task =
            table_find_id(&book->state.by_id, pack_read_uint(reader));
        /* One may have been trimmed since that was decided. */
        if (task && kind == OUTCOME_PURGE && task->state != TASK_WAITING) {
            state_remove(&book->state, task);
        } else if (task && task->state == TASK_DEAD) {
            revive(book, stamp, task);
        }
    }
}

/* ---- trim, mark ---- */

static void write_trim(struct writer *outcome, const struct trim *trim)
{
    pack_array(outcome, TRIM_FIELD_COUNT);
    pack_text(outcome, trim->pool->name);
    pack_int(outcome, trim->before_ms);
    pack_int(outcome, trim->keyed_before_ms);
    pack_uint(outcome, trim->bytes_max);
    pack_uint(outcome, trim->dead_max);
}

static enum err decide_trim(struct book *book,
                            const struct machine_stamp *stamp,
                            struct machine_decision *decision)
{
    uint32_t gone = schedules_count_gone(book, stamp->wall_ms);
    uint8_t *outcome_at = decision->outcome.next;
    pack_array(&decision->outcome, gone > 0 ? 3 : 2);
    pack_uint(&decision->outcome, OUTCOME_TRIM);
    size_t array_at = pack_array_begin(&decision->outcome);
    uint32_t count = 0;
    for (struct book_pool *pool = book->state.pools; pool; pool = pool->next) {
        struct trim trim = trim_of(book, pool, stamp->wall_ms);
        if (trim_is_due(&trim, false)) {
            write_trim(&decision->outcome, &trim);
            count++;
        }
    }
    if (gone > 0) {
        pack_count(&decision->outcome, array_at, count);
        schedules_write_gone(book, stamp->wall_ms, gone, &decision->outcome);
    } else {
        close_outcome(&decision->outcome, outcome_at, array_at, count);
    }
    if (decision->outcome.failed) {
        return ERR_TOO_LARGE;
    }
    book->is_trimming = book->is_trimming || count > 0;
    return ERR_NONE;
}

bool book_has_to_trim(const struct book *book, int64_t now_ms)
{
    bool is_due = schedules_count_gone(book, now_ms) > 0;
    for (struct book_pool *pool = book->state.pools; pool; pool = pool->next) {
        struct trim trim = trim_of(book, pool, now_ms);
        is_due = is_due || trim_is_due(&trim, false);
    }
    return is_due;
}

static enum err apply_trim(struct book *book,
                           uint32_t fields,
                           struct reader *reader)
{
    uint32_t count = pack_read_array(reader);
    book->is_trimming = false;
    for (uint32_t i = 0; i < count; i++) {
        (void)pack_read_array_of(reader, TRIM_FIELD_COUNT, TRIM_FIELD_COUNT);
        struct trim trim = {.pool =
                                pool_find(&book->state, pack_read_str(reader))};
        trim.before_ms = pack_read_int(reader);
        trim.keyed_before_ms = pack_read_int(reader);
        trim.bytes_max = pack_read_uint(reader);
        trim.dead_max = pack_read_uint(reader);
        if (reader->failed || !trim.pool) {
            return ERR_MALFORMED;
        }
        state_trim(&book->state, &trim, false);
    }
    if (fields > 2) {
        schedules_forget(&book->state, reader);
    }
    return ERR_NONE;
}

static enum err decide_mark(struct book *book,
                            struct bytes command,
                            struct machine_decision *decision)
{
    struct reader reader = reader_of(command);
    (void)pack_read_array_of(&reader, 2, UINT32_MAX);
    (void)pack_read_uint(&reader);
    uint64_t sequence = pack_read_uint(&reader);
    if (!reader.failed && sequence > book->state.marked) {
        pack_array(&decision->outcome, 2);
        pack_uint(&decision->outcome, OUTCOME_MARK);
        pack_uint(&decision->outcome, sequence);
    }
    return reader.failed              ? ERR_MALFORMED
           : decision->outcome.failed ? ERR_TOO_LARGE
                                      : ERR_NONE;
}

/* ---- the machine ---- */

static enum err on_decide(void *context,
                          const struct machine_stamp *stamp,
                          struct bytes command,
                          struct machine_decision *decision)
{
    struct book *book = context;
    uint32_t kind = request_kind(command);
    switch (kind) {
    case BOOK_SUBMIT:
        return decide_submit(book, stamp, command, decision);
    case BOOK_CANCEL:
    case BOOK_RETRY:
    case BOOK_PURGE:
        return decide_ids(book, (enum book_request_kind)kind, command,
                          decision);
    case BOOK_ENDS:
        return decide_ends(book, command, decision);
    case BOOK_TRIM:
        return decide_trim(book, stamp, decision);
    case BOOK_MARK:
        return decide_mark(book, command, decision);
    case BOOK_FIRE:
        return schedule_decide(book, stamp, command, decision);
    default:
        return ERR_MALFORMED;
    }
}

static enum err on_apply(void *context,
                         uint64_t index,
                         const struct machine_stamp *stamp,
                         struct bytes outcome)
{
    struct book *book = context;
    struct reader reader = reader_of(outcome);
    uint32_t fields = pack_read_array_of(&reader, 2, UINT32_MAX);
    uint64_t kind = pack_read_uint(&reader);
    enum err err = ERR_MALFORMED;
    (void)index;
    if (kind == OUTCOME_SUBMIT) {
        err = submission_apply(book, stamp, &reader);
    } else if (kind == OUTCOME_ENDS) {
        err = apply_ends(book, stamp, &reader);
    } else if (kind == OUTCOME_REVIVE || kind == OUTCOME_PURGE) {
        apply_ids(book, stamp, (enum outcome_kind)kind, &reader);
        err = ERR_NONE;
    } else if (kind == OUTCOME_TRIM) {
        err = apply_trim(book, fields, &reader);
    } else if (kind == OUTCOME_FIRE) {
        err = schedule_apply(book, stamp, &reader);
    } else if (kind == OUTCOME_MARK) {
        book->state.marked = pack_read_uint(&reader);
        book->config.events.on_marked(book->config.events.context);
        err = ERR_NONE;
    }
    return !err && reader.failed ? ERR_MALFORMED : err;
}

static void drop_volatile(struct book *book, struct task_list *list)
{
    for (struct task *task = list->first; task;) {
        struct task *newer = task->newer;
        if (task->is_volatile) {
            state_remove(&book->state, task);
        }
        task = newer;
    }
}

static void drop_decisions(const struct task_list *list)
{
    for (struct task *task = list->first; task; task = task->newer) {
        task->is_ending = false;
    }
}

static void on_drop(void *context)
{
    struct book *book = context;
    while (book->batches) {
        struct batch *batch = book->batches;
        book->batches = batch->next;
        free_pending(book, &batch->tasks);
        free(batch);
    }
    book->last_batch = NULL;
    schedules_drop(&book->state);
    book->is_trimming = false;
    book->next_sequence = book->state.next_sequence;
    drop_volatile(book, &book->state.waiting);
    for (struct book_pool *pool = book->state.pools; pool; pool = pool->next) {
        for (size_t i = 0; i < ENDED_KIND_COUNT; i++) {
            drop_volatile(book, &pool->ended[true].lists[i]);
            drop_decisions(&pool->ended[false].lists[i]);
        }
    }
    drop_decisions(&book->state.waiting);
    book->config.events.on_reset(book->config.events.context);
}

/* The coordinator looks into the book itself: it also knows who works. But
 * that nothing is there says only who surely still leads. */
static enum err on_read(void *context,
                        struct bytes question,
                        struct writer *answer)
{
    const struct book *book = context;
    struct reader reader = reader_of(question);
    (void)pack_read_array_of(&reader, 2, UINT32_MAX);
    uint64_t kind = pack_read_uint(&reader);
    uint64_t id = pack_read_uint(&reader);
    if (reader.failed || kind != BOOK_HAS) {
        return ERR_MALFORMED;
    }
    pack_bool(answer, book_find(book, id) != NULL);
    return answer->failed ? ERR_TOO_LARGE : ERR_NONE;
}

struct machine book_machine(struct book *book)
{
    return (struct machine){
        .context = book,
        .decide = on_decide,
        .apply = on_apply,
        .drop = on_drop,
        .read = on_read,
        .snapshot_begin = book_snapshot_begin,
        .snapshot_next = book_snapshot_next,
        .snapshot_end = book_snapshot_end,
        .restore_begin = book_restore_begin,
        .restore_piece = book_restore_piece,
        .restore_end = book_restore_end,
    };
}

/* ---- life ---- */

enum err book_open(struct book **out, const struct book_config *config)
{
    struct book *book = calloc(1, sizeof *book);
    if (!book) {
        return ERR_MEMORY;
    }
    book->config = *config;
    book->state.next_sequence = 1;
    book->next_sequence = 1;
    *out = book;
    return ERR_NONE;
}

void book_close(struct book **book)
{
    if (!*book) {
        return;
    }
    while ((*book)->batches) {
        struct batch *batch = (*book)->batches;
        (*book)->batches = batch->next;
        free_pending(*book, &batch->tasks);
        free(batch);
    }
    state_clear(&(*book)->state);
    if ((*book)->restored) {
        state_clear((*book)->restored);
        free((*book)->restored);
    }
    free((*book)->copied);
    free(*book);
    *book = NULL;
}

/* ---- looking ---- */

struct task *book_find(const struct book *book, uint64_t id)
{
    return table_find_id(&book->state.by_id, id);
}

struct task *book_first(const struct book *book)
{
    return book->state.waiting.first;
}

uint64_t book_next_sequence(const struct book *book)
{
    return book->next_sequence;
}

uint64_t book_marked(const struct book *book)
{
    return book->state.marked;
}

struct book_pool_stats book_stats(const struct book *book, struct bytes pool)
{
    const struct book_pool *found = pool_find(&book->state, pool);
    return found ? found->stats : (struct book_pool_stats){0};
}

void book_pools_each(const struct book *book,
                     void (*visit)(void *context,
                                   const char *name,
                                   const struct book_pool_stats *stats),
                     void *context)
{
    for (const struct book_pool *pool = book->state.pools; pool;
         pool = pool->next) {
        visit(context, pool->name, &pool->stats);
    }
}

static uint64_t digest_of_list(const struct task_list *list, uint64_t digest)
{
    for (const struct task *task = list->first; task; task = task->newer) {
        const uint64_t numbers[] = {digest,
                                    task->id,
                                    task->state,
                                    task->attempts,
                                    (uint64_t)task->at_ms,
                                    (uint64_t)task->accepted_ms};
        if (!task->is_volatile) {
            const struct bytes parts[] = {bytes_of(numbers, sizeof numbers),
                                          task_payload(task), task_output(task),
                                          task_why(task), task_key(task)};
            digest = hash_parts(parts, 5, 0);
        }
    }
    return digest;
}

uint64_t book_digest(const struct book *book)
{
    const struct book_state *state = &book->state;
    uint64_t digest = digest_of_list(&state->waiting, state->next_sequence ^
                                                          state->marked << 32);
    for (const struct book_pool *pool = state->pools; pool; pool = pool->next) {
        for (size_t i = 0; i < ENDED_KIND_COUNT; i++) {
            /* A sum: pools are in no order that all replicas have. */
            const struct task_list *list = &pool->ended[false].lists[i];
            digest += list->first ? digest_of_list(list, i) : 0;
        }
        digest += schedules_digest(pool);
    }
    for (uint32_t i = 0; i < state->submission_count; i++) {
        uint32_t at = (state->submission_next + i) % state->submission_count;
        digest = digest * 31 +
                 (state->submissions[at].reply ? state->submission_ids[at] : 0);
    }
    return digest;
}
