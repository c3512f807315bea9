#include "store/wal.h"

#include <assert.h>
#include <stdlib.h>

#include "base/owner.h"
#include "base/scope.h"
#include "base/time_units.h"
#include "store/wal_flush.h"
#include "store/wal_recover.h"
#include "store/wal_replay.h"
#include "store/wal_segment.h"
#include "store/wal_state.h"

#define SEGMENT_BYTES_DEFAULT (UINT64_C(64) << 20)
#define ZERO_BYTES (UINT64_C(64) << 10) /* see docs/formats.md */
#define BATCH_BYTES_MAX (UINT32_MAX / 2)
#define LOW_LOOK_NS NS_PER_S
#define LOOK_NS (5 * NS_PER_S) /* somebody else may fill the disk */

struct wal {
    /* Set once by wal_open(). */
    struct wal_config config;

    /* The reactor. */
    struct wal_state state;
    struct wal_buffer staged; /* begins with room for a batch's beginning */
    uint32_t staged_count;    /* records */
    uint64_t number;          /* given out last */
    uint64_t durable;         /* reported last */
    bool is_replayed;         /* or there is nothing to replay */
    bool is_low;
    struct turn_end turn_end;
    struct timer look_timer; /* at the free space */
    enum err failed;         /* nothing is written any more */
    const char *failed_what;
    bool is_failure_told;
    struct wal_stats stats;

    /* The executor's while a job is under way. */
    struct wal_flush flush;

    /* About that job; the reactor's. */
    bool is_flushing;
    uint64_t flush_number; /* the last record in it */
    uint64_t *freed;       /* segments that nobody needs once it is done */
    size_t freed_count;    /* in there */
    size_t freed_capacity; /* of both lists */
    bool is_stuck;         /* some could not be removed: wait for a batch */
};

/* ---- jobs ---- */

static void do_flush(struct job *job)
{
    wal_flush_run(OWNER_OF(job, struct wal_flush, job));
}

static void fail(struct wal *log, enum err err, const char *what)
{
    if (!log->failed) {
        log->failed = err;
        log->failed_what = what;
    }
}

static void tell_failure(struct wal *log)
{
    if (log->failed && !log->is_failure_told && !log->is_flushing) {
        log->is_failure_told = true;
        log->config.on_failed(log->config.context, log->failed,
                              log->failed_what);
    }
}

/* Segments that nobody needs once all that was appended is durable. */
static enum err list_freed(struct wal *log)
{
    struct wal_state *state = &log->state;
    log->freed_count = 0;
    if (state->segment_count > log->freed_capacity) {
        size_t capacity = state->segment_count * 2;
        uint64_t *freed = realloc(log->freed, capacity * sizeof *freed);
        if (!freed) {
            return ERR_MEMORY;
        }
        log->freed = freed;
        uint64_t *removals =
            realloc(log->flush.removals, capacity * sizeof *removals);
        if (!removals) {
            return ERR_MEMORY;
        }
        log->flush.removals = removals;
        log->freed_capacity = capacity;
    }
    for (size_t i = 0; i < state->segment_count; i++) {
        if (wal_state_is_removable(state, &state->segments[i])) {
            log->freed[log->freed_count++] = state->segments[i].number;
        }
    }
    return ERR_NONE;
}

/* Hand over what is staged; take the buffer that was written last. */
static enum err take_staged(struct wal *log)
{
    struct wal_flush *flush = &log->flush;
    struct wal_buffer written = flush->batch;
    flush->batch = log->staged;
    flush->record_count = log->staged_count;
    flush->zero_bytes = 0;
    log->staged = written;
    log->staged.length = 0;
    log->staged_count = 0;
    if (flush->batch.length == 0) {
        return ERR_NONE;
    }
    size_t length = (size_t)wal_format_batch_bytes(flush->batch.length -
                                                   WAL_FORMAT_BATCH_BYTES);
    uint64_t end = flush->end + length;
    if (length < ZERO_BYTES && end > flush->zeros_end &&
        end < log->config.segment_bytes) {
        uint64_t zeros_end = (end / ZERO_BYTES + 1) * ZERO_BYTES;
        zeros_end = zeros_end < log->config.segment_bytes
                        ? zeros_end
                        : log->config.segment_bytes;
        flush->zero_bytes = (size_t)(zeros_end - end);
    }
    return wal_buffer_reserve(&flush->batch, length + flush->zero_bytes);
}

/* Have the job go on in a new segment, if this one will be full. */
static enum err prepare_head(struct wal *log)
{
    struct wal_flush *flush = &log->flush;
    flush->head.length = 0;
    if (flush->batch.length == 0) {
        return ERR_NONE;
    }
    uint64_t end = flush->end + wal_format_batch_bytes(flush->batch.length -
                                                       WAL_FORMAT_BATCH_BYTES);
    wal_state_current(&log->state)->bytes = end;
    if (end < log->config.segment_bytes) {
        return ERR_NONE;
    }
    enum err err = wal_buffer_reserve(&flush->head, WAL_SEGMENT_BODY_AT);
    if (err) {
        return err;
    }
    flush->head.length = WAL_SEGMENT_BODY_AT;
    err = wal_state_encode(&log->state, end, &flush->head);
    if (err) {
        return err;
    }
    flush->next_segment = flush->segment + 1;
    return wal_state_add_segment(&log->state, flush->next_segment);
}

/* What an earlier job's end has freed for sure. */
static void prepare_removals(struct wal *log)
{
    log->flush.removal_count = log->freed_count;
    if (log->freed_count > 0) {
        memcpy(log->flush.removals, log->freed,
               log->freed_count * sizeof *log->freed);
    }
}

static void start_job(struct wal *log)
{
    assert(!log->is_flushing && !log->failed);
    prepare_removals(log);
    enum err err = take_staged(log);
    if (!err) {
        err = prepare_head(log);
    }
    if (!err) {
        err = list_freed(log);
    }
    if (err) {
        fail(log, err, "preparing a batch");
        return;
    }
    log->flush_number = log->number;
    log->is_flushing = true;
    executor_run(log->config.executor, &log->flush.job);
}

static bool has_work(const struct wal *log)
{
    return log->staged_count > 0 || (log->freed_count > 0 && !log->is_stuck);
}

static void on_turn_end(struct turn_end *turn_end)
{
    struct wal *log = OWNER_OF(turn_end, struct wal, turn_end);
    if (!log->is_flushing && !log->failed && has_work(log)) {
        start_job(log);
    }
    tell_failure(log);
}

static void drop_removed(struct wal *log)
{
    for (size_t i = 0; i < log->flush.removed_count; i++) {
        wal_state_drop_segment(&log->state, log->flush.removals[i]);
    }
    /* What was listed as freed while they were still there. */
    size_t kept = 0;
    for (size_t i = 0; i < log->freed_count; i++) {
        if (wal_state_segment(&log->state, log->freed[i])) {
            log->freed[kept++] = log->freed[i];
        }
    }
    log->freed_count = kept;
    log->is_stuck = log->flush.removed_count < log->flush.removal_count;
}

static void look_at_space(struct wal *log)
{
    log->stats.free_bytes = log->flush.free_bytes;
    log->is_low = log->flush.free_bytes < log->config.free_bytes_min;
    reactor_timer_set(log->config.reactor, &log->look_timer,
                      log->is_low ? LOW_LOOK_NS : LOOK_NS);
}

static void on_flushed(struct job *job)
{
    struct wal_flush *flush = OWNER_OF(job, struct wal_flush, job);
    struct wal *log = OWNER_OF(flush, struct wal, flush);
    log->is_flushing = false;
    drop_removed(log);
    if (flush->err) {
        fail(log, flush->err, flush->what);
        tell_failure(log);
        return;
    }
    look_at_space(log);
    log->stats.flush_count += flush->batch.length > 0;
    log->stats.record_count +=
        flush->batch.length > 0 ? flush->record_count : 0;
    if (has_work(log)) {
        reactor_at_turn_end(log->config.reactor, &log->turn_end);
    }
    if (log->flush_number > log->durable) {
        log->durable = log->flush_number;
        log->config.on_durable(log->config.context, log->durable);
    }
}

/* Somebody else may have made room, or taken it. */
static void on_look(struct timer *timer)
{
    struct wal *log = OWNER_OF(timer, struct wal, look_timer);
    if (!log->is_flushing && !log->failed) {
        start_job(log);
    }
    tell_failure(log);
}

/* ---- life ---- */

static void check_config(const struct wal_config *config)
{
    assert(config->disk && config->executor && config->reactor);
    assert(config->record_bytes_max > 0);
    assert(config->record_bytes_max < BATCH_BYTES_MAX);
    assert(config->staged_bytes_max > 0);
    assert(config->staged_bytes_max < BATCH_BYTES_MAX);
    assert(config->on_durable && config->on_failed);
}

static bool has_entries(const struct wal_state *state)
{
    for (size_t i = 0; i < state->segment_count; i++) {
        if (state->segments[i].live_count > 0) {
            return true;
        }
    }
    return false;
}

static void log_init(struct wal *log, const struct wal_config *config)
{
    log->config = *config;
    if (log->config.segment_bytes == 0) {
        log->config.segment_bytes = SEGMENT_BYTES_DEFAULT;
    }
    log->turn_end.run = on_turn_end;
    log->look_timer.fire = on_look;
    log->flush.disk = config->disk;
    log->flush.disk_id = config->disk_id;
    log->flush.job = (struct job){
        .work = do_flush, .done = on_flushed, .home = config->reactor};
}

enum err wal_open(struct wal **out,
                  const struct wal_config *config,
                  struct wal_report *report,
                  struct err_detail *why)
{
    check_config(config);
    scoped(wal_close) struct wal *log = calloc(1, sizeof *log);
    if (!log) {
        return ERR_MEMORY;
    }
    log_init(log, config);
    struct wal_tail tail;
    enum err err = wal_recover(&log->state, &tail, &log->config, report, why);
    if (err) {
        return err;
    }
    log->flush.file = tail.file;
    log->flush.segment = wal_state_current(&log->state)->number;
    log->flush.end = tail.end;
    log->flush.zeros_end = tail.zeros_end;
    err = list_freed(log);
    if (!err) {
        err = config->disk->free_bytes(config->disk->context,
                                       &log->flush.free_bytes);
    }
    if (err) {
        return err;
    }
    look_at_space(log);
    log->is_replayed = !has_entries(&log->state);
    if (log->freed_count > 0) {
        reactor_at_turn_end(config->reactor, &log->turn_end);
    }
    *out = log;
    log = NULL; /* the caller owns it now */
    return ERR_NONE;
}

void wal_close(struct wal **log)
{
    struct wal *closing = *log;
    if (!closing) {
        return;
    }
    reactor_forget_turn_end(closing->config.reactor, &closing->turn_end);
    reactor_timer_cancel(closing->config.reactor, &closing->look_timer);
    closing->config.disk->close(&closing->flush.file);
    wal_state_clear(&closing->state);
    wal_buffer_clear(&closing->staged);
    wal_buffer_clear(&closing->flush.batch);
    wal_buffer_clear(&closing->flush.head);
    free(closing->flush.removals);
    free(closing->freed);
    free(closing);
    *log = NULL;
}

enum err wal_replay(struct wal *log,
                    void (*visit)(void *context,
                                  const struct wal_record *entry),
                    void *context,
                    struct wal_report *report)
{
    assert(log->number == 0);
    struct wal_replay_visitor visitor = {.visit = visit, .context = context};
    struct wal_report ours = {0};
    enum err err = wal_replay_entries(&log->state, &log->config, &visitor,
                                      report ? report : &ours);
    log->is_replayed = log->is_replayed || !err;
    return err;
}

/* ---- appending ---- */

/* What the caller has promised about a record. */
static void check_record(const struct wal *log, const struct wal_record *record)
{
    const struct wal_state_group *group =
        wal_state_find(&log->state, record->group);
    if (log->failed) {
        return; /* what came since is not in the state */
    }
    assert(record->bytes.length <= log->config.record_bytes_max);
    assert(record->group != WAL_GROUP_UNLISTED || record->kind == WAL_FORGET);
    if (record->kind == WAL_ENTRY) {
        assert(record->index > (group ? group->about.snapshot_index : 0));
        assert(record->index <= (group ? group->about.last_index : 0) + 1);
        assert(record->index <= WAL_STATE_INDEX_MAX);
    } else if (record->kind == WAL_SNAPSHOT) {
        assert(record->index >= (group ? group->about.snapshot_index : 0));
        assert(record->index <= WAL_STATE_INDEX_MAX);
        assert(log->is_replayed); /* it takes the terms of entries */
    }
}

static enum err stage(struct wal *log, const struct wal_record *record)
{
    struct wal_buffer *staged = &log->staged;
    size_t at =
        staged->length > 0 ? staged->length : (size_t)WAL_FORMAT_BATCH_BYTES;
    size_t end = at + wal_format_record_bytes(record);
    if (end > BATCH_BYTES_MAX) {
        return ERR_TOO_LARGE;
    }
    enum err err = wal_buffer_reserve(staged, end);
    if (!err) {
        err = wal_state_apply(&log->state, record);
    }
    if (err) {
        return err;
    }
    wal_format_record_encode(staged->data + at, record);
    staged->length = end;
    log->staged_count++;
    return ERR_NONE;
}

uint64_t wal_append(struct wal *log, const struct wal_record *record)
{
    check_record(log, record);
    struct wal_record copy = *record;
    if (record->kind == WAL_SNAPSHOT) {
        copy.type = wal_state_resets(&log->state, record)
                        ? WAL_FORMAT_SNAPSHOT_RESETS
                        : 0;
    }
    log->number++;
    if (!log->failed) {
        enum err err = stage(log, &copy);
        if (err) {
            fail(log, err, "appending a record");
        }
    }
    reactor_at_turn_end(log->config.reactor, &log->turn_end);
    return log->number;
}

/* ---- asking ---- */

static struct wal_group group_view(const struct wal *log,
                                   const struct wal_state_group *group)
{
    struct wal_group view = group->about;
    if (group->span_count > 0) {
        for (size_t i = log->state.segment_count; i-- > 0;) {
            const struct wal_state_segment *segment = &log->state.segments[i];
            if (segment->number < group->spans[0].segment) {
                break;
            }
            view.log_bytes += segment->bytes;
        }
    }
    return view;
}

void wal_groups(const struct wal *log,
                void (*visit)(void *context, const struct wal_group *group),
                void *context)
{
    for (size_t i = 0; i < log->state.group_count; i++) {
        const struct wal_state_group *group = log->state.groups[i];
        if (group->is_there) {
            struct wal_group view = group_view(log, group);
            visit(context, &view);
        }
    }
}

bool wal_find(const struct wal *log, uint32_t group, struct wal_group *out)
{
    const struct wal_state_group *found = wal_state_find(&log->state, group);
    if (found) {
        *out = group_view(log, found);
    }
    return found != NULL;
}

bool wal_is_full(const struct wal *log)
{
    return log->staged.length >= log->config.staged_bytes_max;
}

bool wal_is_low(const struct wal *log)
{
    return log->is_low;
}

bool wal_is_out_of_room(const struct wal *log)
{
    return log->stats.free_bytes < log->config.free_bytes_min / 2;
}

bool wal_is_idle(const struct wal *log)
{
    return !log->is_flushing && (log->failed || !has_work(log));
}

/* Bytes of segments, from the oldest on, that `group` alone keeps. */
static uint64_t pinned_bytes(const struct wal_state *state,
                             const struct wal_state_group *group)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < group->span_count; i++) {
        const struct wal_state_segment *segment =
            wal_state_segment(state, group->spans[i].segment);
        if (segment->live_count == 1 && segment != wal_state_current(state)) {
            bytes += segment->bytes;
        }
    }
    return bytes;
}

struct wal_pin wal_pin(const struct wal *log)
{
    const struct wal_state *state = &log->state;
    const struct wal_state_group *oldest = NULL;
    for (size_t i = 0; i < state->group_count; i++) {
        const struct wal_state_group *group = state->groups[i];
        if (group->span_count > 0 && !group->about.is_lost &&
            group->spans[0].segment < wal_state_current(state)->number &&
            (!oldest || group->spans[0].segment < oldest->spans[0].segment)) {
            oldest = group;
        }
    }
    if (!oldest) {
        return (struct wal_pin){.group = WAL_GROUP_UNLISTED};
    }
    return (struct wal_pin){.group = oldest->about.group,
                            .bytes = pinned_bytes(state, oldest)};
}

struct wal_stats wal_stats(const struct wal *log)
{
    struct wal_stats stats = log->stats;
    stats.segment_count = log->state.segment_count;
    for (size_t i = 0; i < log->state.segment_count; i++) {
        stats.bytes += log->state.segments[i].bytes;
    }
    return stats;
}
