#include "store/wal_recover.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "store/wal_segment.h"

/*
 * A segment is followed by another only when the other's head is durable,
 * then gets its seal, and only then is anything written to the other. So:
 *
 *   last head bad, nothing behind, no seal before it    being made when the
 *                                                       power went: remove it
 *   last head good, no seal before it                   as above, a bit later:
 *                                                       seal it now
 *   last segment sealed                                 its next is missing
 *
 * Flushes are one batch each, one at a time, so that what was not durable is
 * one batch at the end: a bad batch with a whole one behind is no torn tail.
 */

struct recovery {
    struct wal_state *state;
    const struct wal_config *config;
    struct wal_report *report;
    struct err_detail *why;
    struct wal_scan scan;
    uint64_t *numbers; /* of the segments that are there, sorted */
    size_t count;
    size_t capacity;
    enum err list_err;
};

/* What one segment's batches have said. */
struct finding {
    bool has_head;
    bool is_damaged; /* something durable was lost */
    bool is_sealed;
    bool has_records;
    uint64_t end;          /* of its good batches */
    uint64_t previous_end; /* as its head says */
    uint64_t torn_bytes;
};

static void recovery_clear(struct recovery *recovery)
{
    wal_scan_clear(&recovery->scan);
    free(recovery->numbers);
}

void wal_recover_say(struct wal_report *report, const char *format, ...)
{
    if (report->what[0] == '\0') {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(report->what, sizeof report->what, format, arguments);
        va_end(arguments);
    }
}

/* ---- which segments there are ---- */

static void on_name(void *visitor, const char *name)
{
    struct recovery *recovery = visitor;
    uint64_t number = 0;
    if (recovery->list_err || !wal_format_parse_name(&number, name)) {
        return;
    }
    if (recovery->count == recovery->capacity) {
        size_t capacity = recovery->capacity ? recovery->capacity * 2 : 16;
        uint64_t *numbers =
            realloc(recovery->numbers, capacity * sizeof *numbers);
        if (!numbers) {
            recovery->list_err = ERR_MEMORY;
            return;
        }
        recovery->numbers = numbers;
        recovery->capacity = capacity;
    }
    recovery->numbers[recovery->count++] = number;
}

static enum err list(struct recovery *recovery)
{
    const struct disk *disk = recovery->config->disk;
    enum err err = disk->list(disk->context, on_name, recovery);
    return err ? err : recovery->list_err;
}

static enum err open_segment(struct recovery *recovery, uint64_t number)
{
    return wal_scan_open(&recovery->scan, recovery->config->disk,
                         recovery->config->disk_id, number);
}

/* Look at what each segment begins with, before anything is changed. */
static enum err check_owner(struct recovery *recovery, uint64_t number)
{
    struct wal_format_plain plain;
    enum err err = wal_scan_plain(&recovery->scan, &plain);
    if (err == ERR_VERSION) {
        err_explain(recovery->why,
                    "%016" PRIx64
                    ".wal: the format of a newer release; this one knows "
                    "version %d",
                    number, WAL_FORMAT_VERSION);
        return ERR_VERSION;
    }
    if (err == ERR_MALFORMED) {
        return ERR_NONE; /* judged later */
    }
    if (!err && plain.disk_id != recovery->config->disk_id) {
        err_explain(recovery->why,
                    "%016" PRIx64 ".wal: of the disk %016" PRIx64
                    ", not of %016" PRIx64,
                    number, plain.disk_id, recovery->config->disk_id);
        return ERR_OTHER_CLUSTER;
    }
    return err;
}

static enum err look_at_all(struct recovery *recovery)
{
    for (size_t i = 0; i < recovery->count; i++) {
        uint64_t number = recovery->numbers[i];
        enum err err = open_segment(recovery, number);
        if (!err) {
            err = check_owner(recovery, number);
        }
        if (!err) {
            err = wal_state_add_segment(recovery->state, number);
        }
        if (err) {
            return err;
        }
        wal_state_current(recovery->state)->bytes = recovery->scan.size;
    }
    return ERR_NONE;
}

/* ---- one segment's batches ---- */

/* Take in a batch of records. ERR_MALFORMED: it is whole, and is no sense. */
static enum err take_records(struct recovery *recovery,
                             struct bytes body,
                             uint32_t count)
{
    struct reader reader = reader_of(body);
    for (uint32_t i = 0; i < count; i++) {
        struct wal_record record;
        if (!wal_format_record_decode(&record, &reader)) {
            return ERR_MALFORMED;
        }
        enum err err = wal_state_apply(recovery->state, &record);
        if (err) {
            return err;
        }
    }
    return reader_left(&reader) == 0 ? ERR_NONE : ERR_MALFORMED;
}

static enum err take_batch(struct recovery *recovery,
                           const struct wal_format_batch *batch,
                           struct bytes body,
                           struct finding *finding)
{
    if (finding->is_sealed) {
        return ERR_MALFORMED; /* nothing may follow */
    }
    if (batch->kind == WAL_FORMAT_SEAL) {
        finding->is_sealed = true;
        return ERR_NONE;
    }
    if (batch->kind != WAL_FORMAT_RECORDS) {
        return ERR_MALFORMED;
    }
    finding->has_records = true;
    return take_records(recovery, body, batch->record_count);
}

/* A batch is bad: a torn tail, or damage? */
static enum err judge(struct recovery *recovery, struct finding *finding)
{
    struct wal_scan *scan = &recovery->scan;
    uint64_t bad_at = scan->place.offset;
    uint64_t zeros_at = bad_at;
    enum err err = wal_scan_zeros(scan, &zeros_at);
    if (err) {
        return err;
    }
    finding->torn_bytes = zeros_at - bad_at;
    err = zeros_at == bad_at ? ERR_NOT_FOUND : wal_scan_ahead(scan);
    if (err == ERR_NOT_FOUND) {
        return ERR_NONE;
    }
    finding->is_damaged = true;
    wal_recover_say(recovery->report,
                    "%016" PRIx64 ".wal: bad batch at %" PRIu64
                    ", a good one behind it at %" PRIu64,
                    scan->place.segment, bad_at, scan->place.offset);
    return err;
}

/* All batches from here on. */
static enum err take_batches(struct recovery *recovery, struct finding *finding)
{
    struct wal_scan *scan = &recovery->scan;
    for (;;) {
        struct wal_format_batch batch;
        struct bytes body;
        finding->end = scan->place.offset;
        enum err err = wal_scan_batch(scan, &batch, &body);
        if (err == ERR_MALFORMED) {
            return judge(recovery, finding);
        }
        if (!err) {
            err = take_batch(recovery, &batch, body, finding);
        }
        if (err == ERR_MALFORMED) {
            finding->is_damaged = true;
            wal_recover_say(recovery->report,
                            "%016" PRIx64 ".wal: records at %" PRIu64
                            " make no sense",
                            scan->place.segment, scan->place.offset);
            return ERR_NONE;
        }
        if (err) {
            return err;
        }
        wal_scan_skip(scan, &batch);
    }
}

/* Take in the current segment: its head, then its batches. */
static enum err take_segment(struct recovery *recovery, struct finding *finding)
{
    struct wal_scan *scan = &recovery->scan;
    struct wal_format_plain plain;
    struct wal_format_batch batch;
    struct bytes body;
    *finding = (struct finding){.end = WAL_FORMAT_PLAIN_BYTES};
    enum err err = wal_scan_plain(scan, &plain);
    if (!err && plain.segment != scan->place.segment) {
        err = ERR_MALFORMED;
    }
    if (!err) {
        err = wal_scan_batch(scan, &batch, &body);
    }
    if (!err && batch.kind != WAL_FORMAT_HEAD) {
        err = ERR_MALFORMED;
    }
    if (!err) {
        err = wal_state_decode(recovery->state, body, &finding->previous_end);
    }
    if (err == ERR_MALFORMED) {
        return judge(recovery, finding);
    }
    if (err) {
        return err;
    }
    finding->has_head = true;
    wal_scan_skip(scan, &batch);
    return take_batches(recovery, finding);
}

/* ---- the end of the log ---- */

static void forget_groups(struct wal_state *state)
{
    struct wal_state emptied = {.segments = state->segments,
                                .segment_count = state->segment_count,
                                .segment_capacity = state->segment_capacity};
    state->segments = NULL;
    state->segment_count = 0;
    wal_state_clear(state);
    *state = emptied;
    for (size_t i = state->segment_count; i-- > 0;) {
        state->segments[i].live_count = 0;
        if (state->segments[i].is_missing) {
            wal_state_drop_segment(state, state->segments[i].number);
        }
    }
}

/* The last segment, or what stands in for it. */
struct last {
    uint64_t number; /* 0: there is none */
    uint64_t torn;   /* was being made when the power went; 0: none */
    bool is_lost;    /* all groups are */
    struct finding finding;
};

/*
 * Find the last segment that has a head, from the newest down. One that was
 * being made is passed over; any other without a head means loss, but older
 * ones still say which groups there are.
 */
static enum err find_last(struct recovery *recovery, struct last *last)
{
    for (size_t i = recovery->count; i-- > 0;) {
        uint64_t number = recovery->numbers[i];
        struct finding *finding = &last->finding;
        enum err err = open_segment(recovery, number);
        if (!err) {
            err = take_segment(recovery, finding);
        }
        if (err) {
            return err;
        }
        bool may_be_torn = i + 1 == recovery->count && !finding->is_damaged;
        if (finding->has_head) {
            last->number = number;
            return ERR_NONE;
        }
        forget_groups(recovery->state);
        if (may_be_torn) {
            last->torn = number;
        } else {
            recovery->report->damaged_count++;
            last->is_lost = true;
            wal_recover_say(recovery->report,
                            "%016" PRIx64 ".wal: its head is damaged", number);
        }
        wal_state_drop_segment(recovery->state, number);
    }
    return ERR_NONE;
}

static void judge_last(struct recovery *recovery, struct last *last)
{
    const struct finding *finding = &last->finding;
    struct wal_report *report = recovery->report;
    if (last->number == 0) {
        bool is_lost = last->is_lost || recovery->config->must_exist;
        last->is_lost = is_lost;
        if (is_lost) {
            wal_recover_say(report, "no segment has a good head");
        }
    } else if (finding->is_damaged) {
        report->damaged_count++;
        last->is_lost = true;
    } else if (finding->is_sealed) {
        report->missing_count++;
        last->is_lost = true;
        wal_recover_say(report,
                        last->torn ? "%016" PRIx64 ".wal: its head is damaged"
                                   : "%016" PRIx64 ".wal: is missing",
                        last->number + 1);
    }
    if (last->is_lost) {
        wal_state_lose_all(recovery->state);
    }
}

/* Segments that are needed and not there. */
static void judge_missing(struct recovery *recovery)
{
    struct wal_state *state = recovery->state;
    for (size_t i = 0; i < state->group_count; i++) {
        struct wal_state_group *group = state->groups[i];
        for (size_t j = 0; j < group->span_count; j++) {
            if (wal_state_segment(state, group->spans[j].segment)->is_missing) {
                wal_state_lose(state, group);
            }
        }
    }
    for (size_t i = 0; i < state->segment_count; i++) {
        if (state->segments[i].is_missing && state->segments[i].live_count) {
            recovery->report->missing_count++;
            wal_recover_say(recovery->report, "%016" PRIx64 ".wal: is missing",
                            state->segments[i].number);
        }
    }
}

/* Remove a segment whose making was interrupted. */
static enum err remove_torn(struct recovery *recovery, uint64_t number)
{
    const struct disk *disk = recovery->config->disk;
    char name[DISK_NAME_BYTES];
    wal_format_name(name, number);
    enum err err = disk->remove(disk->context, name);
    return err ? err : disk->sync_folder(disk->context);
}

/* Go on in a new segment behind all that are there. */
static enum err begin_segment(struct recovery *recovery,
                              uint64_t number,
                              struct wal_tail *out)
{
    scoped(wal_buffer_clear) struct wal_buffer head = {0};
    enum err err = wal_buffer_reserve(&head, WAL_SEGMENT_BODY_AT);
    if (err) {
        return err;
    }
    head.length = WAL_SEGMENT_BODY_AT;
    err = wal_state_encode(recovery->state, 0, &head);
    if (!err) {
        err = wal_state_add_segment(recovery->state, number);
    }
    if (err) {
        return err;
    }
    struct wal_format_plain plain = {.disk_id = recovery->config->disk_id,
                                     .segment = number};
    err = wal_segment_create(recovery->config->disk, &plain, &head, &out->file,
                             &out->end);
    out->zeros_end = out->end;
    return err;
}

/* Seal the segment before the current one, if that may not have been done. */
static enum err seal_before(struct recovery *recovery, const struct last *last)
{
    const struct disk *disk = recovery->config->disk;
    uint64_t number = last->number - 1;
    if (last->finding.has_records || last->finding.previous_end == 0 ||
        !wal_state_segment(recovery->state, number) ||
        wal_state_segment(recovery->state, number)->is_missing) {
        return ERR_NONE;
    }
    struct wal_format_place place = {.disk_id = recovery->config->disk_id,
                                     .segment = number,
                                     .offset = last->finding.previous_end};
    char name[DISK_NAME_BYTES];
    wal_format_name(name, number);
    struct disk_file *file = NULL;
    enum err err = disk->open(disk->context, name, DISK_WRITE, &file);
    if (!err) {
        err = wal_segment_seal(disk, file, &place);
        disk->close(&file);
    }
    return err;
}

/*
 * Go on in the last segment. What we have read may never have been synced: it
 * must be durable before anybody is told.
 */
static enum err go_on(struct recovery *recovery,
                      const struct last *last,
                      struct wal_tail *out)
{
    const struct disk *disk = recovery->config->disk;
    const struct finding *finding = &last->finding;
    char name[DISK_NAME_BYTES];
    wal_format_name(name, last->number);
    enum err err = disk->open(disk->context, name, DISK_WRITE, &out->file);
    if (!err && finding->torn_bytes > 0) {
        err = disk->truncate(out->file, finding->end);
    }
    if (!err) {
        err = disk->sync(out->file);
    }
    if (!err) {
        err = disk->sync_folder(disk->context);
    }
    if (!err) {
        err = seal_before(recovery, last); /* now that it exists for sure */
    }
    if (!err) {
        err = disk->size(out->file, &out->zeros_end);
    }
    out->end = finding->end;
    out->zeros_end =
        out->zeros_end < finding->end ? finding->end : out->zeros_end;
    recovery->report->torn_bytes = finding->torn_bytes;
    wal_state_current(recovery->state)->bytes = finding->end;
    return err;
}

static void fill_report(struct recovery *recovery)
{
    struct wal_report *report = recovery->report;
    const struct wal_state *state = recovery->state;
    for (size_t i = 0; i < state->segment_count; i++) {
        report->segment_count += !state->segments[i].is_missing;
        report->bytes += state->segments[i].bytes;
    }
    report->lost_group_count = (uint32_t)state->lost_count;
    report->unlisted_are_lost = state->unlisted_are_lost;
}

static enum err recover(struct recovery *recovery, struct wal_tail *out)
{
    enum err err = list(recovery);
    if (!err) {
        err = look_at_all(recovery);
    }
    if (err) {
        return err;
    }
    if (recovery->count == 0 && recovery->config->must_exist) {
        err_explain(recovery->why, "there is no segment of the log");
        return ERR_NOT_FOUND;
    }
    uint64_t newest =
        recovery->count > 0 ? recovery->numbers[recovery->count - 1] : 0;
    struct last last = {0};
    err = find_last(recovery, &last);
    if (err) {
        return err;
    }
    judge_last(recovery, &last);
    judge_missing(recovery);
    if (last.torn) {
        err = remove_torn(recovery, last.torn);
        newest = last.torn - 1;
    }
    if (err) {
        return err;
    }
    return last.is_lost || last.number == 0
               ? begin_segment(recovery, newest + 1, out)
               : go_on(recovery, &last, out);
}

enum err wal_recover(struct wal_state *state,
                     struct wal_tail *out,
                     const struct wal_config *config,
                     struct wal_report *report,
                     struct err_detail *why)
{
    scoped(recovery_clear) struct recovery recovery = {
        .state = state, .config = config, .report = report, .why = why};
    *report = (struct wal_report){0};
    *out = (struct wal_tail){0};
    enum err err = recover(&recovery, out);
    if (!err) {
        fill_report(&recovery);
    } else if (out->file) {
        config->disk->close(&out->file);
    }
    return err;
}
