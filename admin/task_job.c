#include "admin/task_job.h"

#include "admin/task_batch.h"
#include "base/env.h"
#include "base/pack.h"
#include "base/scope.h"
#include "shard/task_request.h"

#include <assert.h>
#include <stdlib.h>

#define AWAIT_COUNT_MAX 1024
#define AWAIT_MS 500 /* the time in which Ctrl-C is noticed */
#define ROOM_MS 200
#define INPUT_MS 200

/* A task that was submitted and whose end was not told yet. */
struct entry {
    uint64_t number;
    uint64_t id;
    uint64_t seen; /* what it was heard to say of itself */
    bool is_over;
    enum err err;
    uint8_t *end; /* encoded; NULL: with an error, or told already */
    size_t end_bytes;
};

struct job {
    const struct task_job_config *config;
    struct task_talk *talk;
    struct task_job_sum *sum;
    struct task_batch batch;
    struct buffer question;
    struct entry *entries; /* in the order of submission */
    size_t first;          /* of those that are not told */
    size_t count;          /* behind the last */
    size_t capacity;
    size_t open;   /* not over */
    size_t cursor; /* where to go on asking */
    bool has_ended;
    bool is_idle;    /* nothing came just now */
    bool is_blocked; /* the pool has no room for what is in the batch */
};

static void job_clear(struct job *job)
{
    for (size_t i = job->first; i < job->count; i++) {
        free(job->entries[i].end);
    }
    free(job->entries);
    task_batch_clear(&job->batch);
    buffer_clear(&job->question);
}

static enum exit_code no_memory(const struct job *job)
{
    return command_failed(job->talk->command, ERR_MEMORY, "tasks");
}

/* ---- telling ---- */

static void tell(struct job *job, const struct task_job_result *result)
{
    if (result->id == 0) {
        job->sum->rejected++;
    } else if (!result->err && result->end->state == TASK_DONE) {
        job->sum->done++;
    } else {
        job->sum->failed++;
    }
    job->config->ended(job->config->context, result);
}

static void tell_kept(struct job *job, struct entry *entry)
{
    struct task_end end;
    struct task_job_result result = {
        .number = entry->number, .id = entry->id, .err = entry->err};
    if (!entry->err) {
        struct reader reader =
            reader_of(bytes_of(entry->end, entry->end_bytes));
        task_end_decode(&end, &reader);
        assert(!reader.failed);
        result.end = &end;
    }
    tell(job, &result);
    free(entry->end);
    entry->end = NULL;
}

/* Those that are over at the front are no more needed. */
static void advance(struct job *job)
{
    while (job->first < job->count && job->entries[job->first].is_over) {
        if (job->config->keeps_order) {
            tell_kept(job, &job->entries[job->first]);
        }
        job->first++;
    }
    if (job->first == job->count) {
        job->first = 0;
        job->count = 0;
    }
}

static enum err keep(struct entry *entry, const struct task_end *end)
{
    size_t bytes = task_end_bytes_max(end);
    entry->end = malloc(bytes);
    if (!entry->end) {
        return ERR_MEMORY;
    }
    struct writer writer = writer_of(entry->end, bytes);
    task_end_encode(end, &writer);
    assert(!writer.failed);
    entry->end_bytes = writer_bytes(&writer).length;
    return ERR_NONE;
}

static enum err end_entry(struct job *job,
                          struct entry *entry,
                          const struct task_outcome *outcome)
{
    if (job->config->keeps_order) {
        enum err err = outcome->err ? ERR_NONE : keep(entry, &outcome->end);
        if (err) {
            return err;
        }
    } else {
        tell(job, &(struct task_job_result){
                      .number = entry->number,
                      .id = entry->id,
                      .err = outcome->err,
                      .end = outcome->err ? NULL : &outcome->end});
    }
    entry->err = outcome->err;
    entry->is_over = true;
    job->open--;
    return ERR_NONE;
}

/* ---- submitting ---- */

static enum err make_room(struct job *job)
{
    if (job->first > 0 && job->count == job->capacity) {
        memmove(job->entries, job->entries + job->first,
                (job->count - job->first) * sizeof *job->entries);
        job->count -= job->first;
        job->cursor -= job->cursor < job->first ? job->cursor : job->first;
        job->first = 0;
    }
    if (job->count == job->capacity) {
        size_t capacity = job->capacity ? 2 * job->capacity : 1024;
        struct entry *more =
            realloc(job->entries, capacity * sizeof *job->entries);
        if (!more) {
            return ERR_MEMORY;
        }
        job->entries = more;
        job->capacity = capacity;
    }
    return ERR_NONE;
}

/* One that is over at once was not accepted. */
static enum err add_entry(struct job *job, const struct entry *entry)
{
    enum err err = make_room(job);
    if (!err) {
        job->entries[job->count++] = *entry;
        job->open += !entry->is_over;
    }
    return err;
}

static enum err reject(struct job *job, uint64_t number, enum err why)
{
    if (job->config->waits && job->config->keeps_order) {
        return add_entry(
            job,
            &(struct entry){.number = number, .is_over = true, .err = why});
    }
    tell(job, &(struct task_job_result){.number = number, .err = why});
    return ERR_NONE;
}

static enum err accept(struct job *job, uint64_t number, uint64_t id)
{
    const struct task_job_config *config = job->config;
    job->sum->accepted++;
    if (config->accepted) {
        config->accepted(config->context, number, id);
    }
    return config->waits
               ? add_entry(job, &(struct entry){.number = number, .id = id})
               : ERR_NONE;
}

static bool waits_for_room(const struct job *job, enum err err)
{
    return err == ERR_FULL && !job->config->refuses_full;
}

/* What became of each task of the batch; those for which there is no room stay
 * in it. */
static enum err take_runs(struct job *job, struct reader *reader)
{
    struct task_batch *batch = &job->batch;
    bool keeps[TASK_BATCH_COUNT_MAX] = {false};
    uint32_t at = 0;
    uint32_t count = pack_read_array(reader);
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < count && !err; i++) {
        struct book_run run;
        book_run_decode(&run, reader);
        if (reader->failed || run.count > batch->count - at) {
            return ERR_MALFORMED;
        }
        job->sum->known += run.is_known && !run.err ? run.count : 0;
        for (uint32_t j = 0; j < run.count && !err; j++, at++) {
            keeps[at] = waits_for_room(job, run.err);
            if (run.err && !keeps[at]) {
                err = reject(job, batch->numbers[at], run.err);
            } else if (!run.err) {
                err = accept(job, batch->numbers[at], run.first + j);
            }
        }
    }
    if (!err && at != batch->count) {
        return ERR_MALFORMED;
    }
    job->is_blocked = memchr(keeps, true, sizeof keeps) != NULL;
    task_batch_keep(batch, keeps);
    return err;
}

/* Whether a part of it may or may not have arrived: all of it is sent again,
 * and shards know what they have. */
static bool is_uncertain(struct reader reader)
{
    uint32_t count = pack_read_array(&reader);
    bool is = false;
    for (uint32_t i = 0; i < count && !reader.failed; i++) {
        struct book_run run;
        book_run_decode(&run, &reader);
        is = is || (!reader.failed && task_talk_may_pass(run.err));
    }
    return is;
}

static enum err reject_all(struct job *job, enum err why)
{
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < job->batch.count && !err; i++) {
        err = reject(job, job->batch.numbers[i], why);
    }
    task_batch_clear(&job->batch);
    return err;
}

static void free_data(uint8_t **data)
{
    free(*data);
}

/* The batch as it is, until it is known what became of it. */
static enum exit_code exchange(struct job *job)
{
    scoped(free_data) uint8_t *data = NULL;
    size_t length = 0;
    bool asks_again = false;
    enum err err = ERR_NONE;
    do {
        free(data);
        data = NULL;
        err = task_talk_ask(job->talk, buffer_bytes(&job->question), &data,
                            &length);
        asks_again = !err && is_uncertain(reader_of(bytes_of(data, length)));
    } while (asks_again && task_talk_wait(job->talk, ROOM_MS));
    struct reader reader = reader_of(bytes_of(data, length));
    if (err == ERR_FULL) {
        job->is_blocked = waits_for_room(job, err);
        err = job->is_blocked ? ERR_NONE : reject_all(job, ERR_FULL);
    } else if (!err) {
        err = take_runs(job, &reader);
    }
    bool was_told = err && job->talk->is_interrupted;
    return !err || was_told ? EXIT_CODE_OK
                            : task_talk_failed(job->talk, err,
                                               err == ERR_MALFORMED
                                                   ? (struct bytes){0}
                                                   : bytes_of(data, length));
}

static enum exit_code submit(struct job *job)
{
    uint64_t submission = 0;
    const struct entropy *entropy = job->talk->command->world->entropy;
    if (job->batch.count == 0) {
        return EXIT_CODE_OK;
    }
    while (submission == 0) {
        entropy_fill(entropy, &submission, sizeof submission);
        submission >>= 1; /* parts of it are numbered upwards */
    }
    buffer_take(&job->question, buffer_length(&job->question));
    if (task_batch_encode(&job->batch, job->config->pool, submission,
                          &job->question)) {
        return no_memory(job);
    }
    return exchange(job);
}

/* Take what there is, as much as goes into a batch. */
static enum err fill_batch(struct job *job)
{
    bool has_to_wait = job->batch.count == 0 && job->open == 0;
    enum err err = ERR_NONE;
    job->is_idle = false;
    while (!job->has_ended && !job->is_idle && !err &&
           !task_batch_is_full(&job->batch) && job->open < TASK_JOB_OPEN_MAX) {
        uint64_t number = 0;
        struct task_spec spec;
        bool waits = has_to_wait && job->batch.count == 0;
        enum task_job_next next = job->config->next(
            job->config->context, waits ? INPUT_MS : 0, &number, &spec);
        job->has_ended = next == TASK_JOB_END;
        job->is_idle = next == TASK_JOB_LATER;
        if (next == TASK_JOB_READY) {
            err = task_batch_add(&job->batch, number, &spec);
        }
    }
    return err;
}

/* ---- waiting ---- */

/* Which to ask about now: they are `entries[places[i]]`. */
struct asking {
    uint32_t count;
    uint64_t ids[AWAIT_COUNT_MAX];
    size_t places[AWAIT_COUNT_MAX];
};

static void choose(struct job *job, struct asking *asking)
{
    size_t at = job->config->keeps_order || job->cursor < job->first ||
                        job->cursor >= job->count
                    ? job->first
                    : job->cursor;
    asking->count = 0;
    for (size_t i = job->first;
         i < job->count && asking->count < AWAIT_COUNT_MAX; i++, at++) {
        at = at == job->count ? job->first : at;
        if (!job->entries[at].is_over) {
            asking->ids[asking->count] = job->entries[at].id;
            asking->places[asking->count++] = at;
        }
    }
    job->cursor = at;
}

/* Of several at a time nobody could read it. */
static bool is_curious(const struct job *job, const struct asking *asking)
{
    return job->config->said && asking->count == 1;
}

/* More than one when tasks had the same key. Answers come in the order of the
 * questions, mostly: `*from` is where the last one was. */
static enum err take_outcome(struct job *job,
                             const struct asking *asking,
                             const struct task_outcome *outcome,
                             uint32_t *from)
{
    enum err err = ERR_NONE;
    if (outcome->err == ERR_BUSY && is_curious(job, asking)) {
        job->entries[asking->places[0]].seen = outcome->said.number;
        job->config->said(job->config->context, &outcome->said);
    }
    if (outcome->err && task_talk_may_pass(outcome->err)) {
        return ERR_NONE; /* ask again */
    }
    for (uint32_t i = 0; i < asking->count && !err; i++) {
        uint32_t at = (*from + i) % asking->count;
        struct entry *entry = &job->entries[asking->places[at]];
        if (asking->ids[at] == outcome->id && !entry->is_over) {
            err = end_entry(job, entry, outcome);
            *from = at;
            if (job->sum->known == 0) {
                break; /* there is no other */
            }
        }
    }
    return err;
}

static enum err take_outcomes(struct job *job,
                              const struct asking *asking,
                              struct reader *reader)
{
    uint32_t from = 0;
    uint32_t count = pack_read_array(reader);
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < count && !err && !reader->failed; i++) {
        struct task_outcome outcome;
        task_outcome_decode(&outcome, reader);
        if (!reader->failed) {
            err = take_outcome(job, asking, &outcome, &from);
        }
    }
    advance(job);
    return reader->failed ? ERR_MALFORMED : err;
}

static enum exit_code await(struct job *job, uint32_t wait_ms)
{
    struct asking asking;
    scoped(free_data) uint8_t *data = NULL;
    uint8_t *at = NULL;
    size_t length = 0;
    choose(job, &asking);
    size_t bytes = task_await_bytes_max(asking.count);
    buffer_take(&job->question, buffer_length(&job->question));
    enum err err = buffer_reserve(&job->question, bytes, &at);
    if (err) {
        return no_memory(job);
    }
    struct writer writer = writer_of(at, bytes);
    task_await_encode(&writer,
                      &(struct task_await_question){
                          .kind = TASK_REQUEST_AWAIT,
                          .count = asking.count,
                          .ids = asking.ids,
                          .seen = is_curious(job, &asking)
                                      ? &job->entries[asking.places[0]].seen
                                      : NULL,
                          .wait_ms = wait_ms});
    assert(!writer.failed);
    err = task_talk_ask(job->talk, writer_bytes(&writer), &data, &length);
    if (!err) {
        struct reader reader = reader_of(bytes_of(data, length));
        err = take_outcomes(job, &asking, &reader);
    }
    bool was_told = err && job->talk->is_interrupted;
    return !err || was_told
               ? EXIT_CODE_OK
               : task_talk_failed(job->talk, err, (struct bytes){0});
}

/* ---- all of it ---- */

static enum exit_code step(struct job *job)
{
    enum exit_code code = EXIT_CODE_OK;
    if (!job->is_blocked && fill_batch(job)) {
        return no_memory(job);
    }
    job->is_blocked = false;
    code = submit(job);
    advance(job);
    bool has_more = !job->has_ended && !job->is_idle && !job->is_blocked &&
                    job->open < TASK_JOB_OPEN_MAX;
    if (!code && job->open > 0) {
        code = await(job, has_more ? 0 : AWAIT_MS);
    } else if (!code && job->is_blocked) {
        (void)task_talk_wait(job->talk, ROOM_MS);
    }
    if (job->config->tick) {
        job->config->tick(job->config->context, job->sum);
    }
    return code;
}

enum exit_code task_job_run(const struct task_job_config *config,
                            struct task_job_sum *sum)
{
    enum exit_code code = EXIT_CODE_OK;
    struct job job = {.config = config, .talk = config->talk, .sum = sum};
    *sum = (struct task_job_sum){0};
    do {
        code = step(&job);
    } while (!code && task_talk_wait(job.talk, 0) &&
             (!job.has_ended || job.batch.count > 0 || job.open > 0));
    job_clear(&job);
    return code;
}
