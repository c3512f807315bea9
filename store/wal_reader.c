#include "store/wal_reader.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "store/reading_disk.h"
#include "store/wal_recover.h"
#include "store/wal_state.h"

struct wal_reader {
    struct reading_disk disk;
    struct wal_config config;
    struct wal_state state; /* as a node would have it after opening */
    struct wal_report report;
    struct wal_reader_segment *segments;
    size_t count;
    size_t capacity;
    enum err list_err;
};

void wal_reader_close(struct wal_reader **reader)
{
    if (*reader) {
        wal_state_clear(&(*reader)->state);
        free((*reader)->segments);
        free(*reader);
        *reader = NULL;
    }
}

/* ---- opening ---- */

static void on_name(void *visitor, const char *name)
{
    struct wal_reader *reader = visitor;
    uint64_t number = 0;
    if (reader->list_err || !wal_format_parse_name(&number, name)) {
        return;
    }
    if (reader->count == reader->capacity) {
        size_t capacity = reader->capacity ? reader->capacity * 2 : 16;
        struct wal_reader_segment *segments =
            realloc(reader->segments, capacity * sizeof *segments);
        if (!segments) {
            reader->list_err = ERR_MEMORY;
            return;
        }
        reader->segments = segments;
        reader->capacity = capacity;
    }
    reader->segments[reader->count++] =
        (struct wal_reader_segment){.number = number};
}

static enum err list(struct wal_reader *reader)
{
    const struct disk *disk = &reader->disk.table;
    enum err err = disk->list(disk->context, on_name, reader);
    err = err ? err : reader->list_err;
    for (size_t i = 0; !err && i < reader->count; i++) {
        char name[DISK_NAME_BYTES];
        struct disk_file *file = NULL;
        struct wal_reader_segment *segment = &reader->segments[i];
        wal_format_name(name, segment->number);
        err = disk->open(disk->context, name, DISK_READ, &file);
        if (!err) {
            err = disk->size(file, &segment->bytes);
            disk->close(&file);
        }
        const struct wal_state_segment *known =
            wal_state_segment(&reader->state, segment->number);
        segment->group_count = known ? known->live_count : 0;
    }
    return err;
}

enum err wal_reader_open(struct wal_reader **out,
                         const struct wal_reader_config *config,
                         struct err_detail *why)
{
    scoped(wal_reader_close) struct wal_reader *reader =
        calloc(1, sizeof *reader);
    if (!reader) {
        return ERR_MEMORY;
    }
    reading_disk_init(&reader->disk, config->disk);
    reader->config = (struct wal_config){.disk = &reader->disk.table,
                                         .disk_id = config->disk_id,
                                         .must_exist = config->must_exist};
    struct wal_tail tail;
    enum err err = wal_recover(&reader->state, &tail, &reader->config,
                               &reader->report, why);
    if (!err) {
        reader->disk.table.close(&tail.file);
        err = list(reader);
    }
    if (err) {
        return err;
    }
    *out = reader;
    reader = NULL; /* the caller owns it now */
    return ERR_NONE;
}

const struct wal_report *wal_reader_report(const struct wal_reader *reader)
{
    return &reader->report;
}

size_t wal_reader_segment_count(const struct wal_reader *reader)
{
    return reader->count;
}

struct wal_reader_segment wal_reader_segment(const struct wal_reader *reader,
                                             size_t index)
{
    return reader->segments[index];
}

static struct wal_group about(const struct wal_reader *reader,
                              const struct wal_state_group *group)
{
    struct wal_group about = group->about;
    for (size_t i = 0; group->span_count > 0 && i < reader->count; i++) {
        if (reader->segments[i].number >= group->spans[0].segment) {
            about.log_bytes += reader->segments[i].bytes;
        }
    }
    return about;
}

void wal_reader_groups(const struct wal_reader *reader,
                       void (*visit)(void *context,
                                     const struct wal_group *group),
                       void *context)
{
    for (size_t i = 0; i < reader->state.group_count; i++) {
        if (reader->state.groups[i]->is_there) {
            struct wal_group group = about(reader, reader->state.groups[i]);
            visit(context, &group);
        }
    }
}

bool wal_reader_find(const struct wal_reader *reader,
                     uint32_t group,
                     struct wal_group *out)
{
    const struct wal_state_group *found = wal_state_find(&reader->state, group);
    if (found) {
        *out = about(reader, found);
    }
    return found != NULL;
}

bool wal_reader_needs_state(const struct wal_reader *reader)
{
    for (size_t i = 0; i < reader->state.group_count; i++) {
        const struct wal_state_group *group = reader->state.groups[i];
        if (group->is_there && group->about.snapshot_index > 0) {
            return true;
        }
    }
    return false;
}

/* ---- walking ---- */

struct walk {
    struct wal_reader *reader;
    const struct wal_reader_visitor *visitor;
    struct wal_scan scan;
    bool is_over; /* the visitor wants no more */

    /* What the records so far come to; not known behind damage, up to the
     * next good head. */
    struct wal_state state;
    bool is_known;
    uint64_t last_segment; /* that was read; 0: none */
    uint64_t last_end;     /* of its batches */
    bool is_sealed;        /* that one */

    /* Where a seal must be, once the next segment has a record. */
    bool lacks_seal;
    struct wal_reader_place seal_place;
};

static void walk_clear(struct walk *walk)
{
    wal_scan_clear(&walk->scan);
    wal_state_clear(&walk->state);
}

__attribute__((format(printf, 3, 4))) static void say(
    struct walk *walk,
    const struct wal_reader_place *place,
    const char *format,
    ...)
{
    char what[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    walk->is_known = false;
    if (!walk->is_over && walk->visitor->on_damage) {
        walk->is_over =
            !walk->visitor->on_damage(walk->visitor->context, place, what);
    }
}

static struct wal_reader_place here(const struct walk *walk)
{
    return (struct wal_reader_place){.segment = walk->scan.place.segment,
                                     .offset = walk->scan.place.offset};
}

/* A state with the segments up to one, and nothing else. */
static enum err begin_state(struct wal_state *state,
                            const struct wal_reader *reader,
                            uint64_t segment)
{
    enum err err = ERR_NONE;
    for (size_t i = 0;
         !err && i < reader->count && reader->segments[i].number <= segment;
         i++) {
        err = wal_state_add_segment(state, reader->segments[i].number);
    }
    return err;
}

static bool are_alike(const struct wal_state_group *left,
                      const struct wal_state_group *right)
{
    if (left->about.term != right->about.term ||
        left->about.vote != right->about.vote ||
        left->about.snapshot_index != right->about.snapshot_index ||
        left->about.snapshot_term != right->about.snapshot_term ||
        left->about.last_index != right->about.last_index ||
        left->span_count != right->span_count ||
        !bytes_are_equal(left->about.configuration,
                         right->about.configuration)) {
        return false;
    }
    for (size_t i = 0; i < left->span_count; i++) {
        if (left->spans[i].segment != right->spans[i].segment ||
            left->spans[i].first != right->spans[i].first ||
            left->spans[i].last != right->spans[i].last) {
            return false;
        }
    }
    return true;
}

/* A head against the records before it. Of lost groups it may say less. */
static void compare(struct walk *walk, const struct wal_state *head)
{
    struct wal_reader_place place = here(walk);
    if (head->lost_count > 0 || head->unlisted_are_lost) {
        return;
    }
    size_t counts[2] = {0};
    for (size_t i = 0; i < walk->state.group_count; i++) {
        counts[0] += walk->state.groups[i]->is_there;
    }
    for (size_t i = 0; i < head->group_count; i++) {
        const struct wal_state_group *group = head->groups[i];
        const struct wal_state_group *known =
            wal_state_find(&walk->state, group->about.group);
        counts[1]++;
        if (!known || !are_alike(group, known)) {
            say(walk, &place,
                "the head says something else of group %" PRIu32
                " than the records before it",
                group->about.group);
            return;
        }
    }
    if (counts[0] != counts[1]) {
        say(walk, &place, "the head names %zu groups, the records before %zu",
            counts[1], counts[0]);
    }
}

/* What a segment begins with. ERR_MALFORMED: it cannot be used. */
static enum err read_head(struct walk *walk,
                          struct wal_state *out,
                          uint64_t *out_previous_end)
{
    struct wal_format_plain plain;
    struct wal_format_batch batch;
    struct bytes body;
    enum err err = wal_scan_plain(&walk->scan, &plain);
    if (!err && plain.segment != walk->scan.place.segment) {
        err = ERR_MALFORMED;
    }
    if (!err) {
        err = wal_scan_batch(&walk->scan, &batch, &body);
    }
    if (!err && batch.kind != WAL_FORMAT_HEAD) {
        err = ERR_MALFORMED;
    }
    if (!err) {
        err = begin_state(out, walk->reader, walk->scan.place.segment);
    }
    return err ? err : wal_state_decode(out, body, out_previous_end);
}

/* A segment that was being made when the power went. */
static bool is_torn_segment(const struct walk *walk)
{
    char name[DISK_NAME_BYTES];
    const struct reading_disk *disk = &walk->reader->disk;
    wal_format_name(name, walk->scan.place.segment);
    return disk->has_removed && strcmp(disk->removed, name) == 0;
}

/* The end of the segment before, as this one's head knows it. */
static void check_before(struct walk *walk, uint64_t previous_end)
{
    bool is_next = walk->last_segment > 0 &&
                   walk->last_segment + 1 == walk->scan.place.segment;
    if (is_next && previous_end != 0 && previous_end != walk->last_end) {
        struct wal_reader_place place = {.segment = walk->last_segment,
                                         .offset = walk->last_end};
        say(walk, &place,
            "it ends here, and the next segment says that it ended at %" PRIu64,
            previous_end);
    }
    walk->is_known = walk->is_known && is_next && previous_end != 0;
}

static enum err take_head(struct walk *walk)
{
    scoped(wal_state_clear) struct wal_state head = {0};
    uint64_t previous_end = 0;
    struct wal_reader_place place = {.segment = walk->scan.place.segment};
    enum err err = read_head(walk, &head, &previous_end);
    if (err == ERR_MALFORMED) {
        if (!is_torn_segment(walk)) {
            say(walk, &place, "its head is damaged");
        }
        walk->is_known = false;
        return ERR_NONE;
    }
    if (err) {
        return err;
    }
    check_before(walk, previous_end);
    if (walk->is_known) {
        compare(walk, &head);
    }
    struct wal_state before = walk->state;
    walk->state = head;
    head = before; /* cleared on leaving */
    walk->is_known = true;
    return ERR_NONE;
}

/* Whether a record follows those before it. */
static enum err take_record(struct walk *walk,
                            const struct wal_reader_place *place,
                            const struct wal_record *record)
{
    if (!walk->is_known) {
        return ERR_NONE;
    }
    enum err err = wal_state_apply(&walk->state, record);
    if (err == ERR_MALFORMED) {
        say(walk, place,
            "index %" PRIu64 " of group %" PRIu32
            " does not follow what is before it",
            record->index, record->group);
        return ERR_NONE;
    }
    return err;
}

static void tell_seal(struct walk *walk)
{
    if (walk->lacks_seal) {
        walk->lacks_seal = false;
        say(walk, &walk->seal_place,
            "there is no seal here: the segment is cut short or damaged");
    }
}

static enum err take_records(struct walk *walk,
                             const struct wal_format_batch *batch,
                             struct bytes body)
{
    tell_seal(walk);
    struct reader reader = reader_of(body);
    struct wal_reader_place place = here(walk);
    uint64_t body_at = place.offset + WAL_FORMAT_BATCH_BYTES;
    for (uint32_t i = 0; i < batch->record_count; i++) {
        struct wal_record record;
        place.offset = body_at + (uint64_t)(reader.next - body.data);
        if (!wal_format_record_decode(&record, &reader)) {
            say(walk, &place, "a record that makes no sense");
            return ERR_NONE;
        }
        enum err err = take_record(walk, &place, &record);
        if (err) {
            return err;
        }
        if (!walk->is_over && walk->visitor->on_record) {
            walk->is_over = !walk->visitor->on_record(walk->visitor->context,
                                                      &place, &record);
        }
    }
    if (reader_left(&reader) > 0) {
        say(walk, &place, "bytes behind the batch's last record");
    }
    return ERR_NONE;
}

static enum err take_batch(struct walk *walk,
                           const struct wal_format_batch *batch,
                           struct bytes body)
{
    struct wal_reader_place place = here(walk);
    if (walk->is_sealed) {
        say(walk, &place, "a batch behind the segment's seal");
    }
    switch (batch->kind) {
    case WAL_FORMAT_HEAD:
        if (place.offset != WAL_FORMAT_PLAIN_BYTES) {
            say(walk, &place, "a head that is not at the segment's beginning");
        }
        return ERR_NONE;
    case WAL_FORMAT_SEAL:
        walk->is_sealed = true;
        return ERR_NONE;
    case WAL_FORMAT_RECORDS:
        return take_records(walk, batch, body);
    }
    say(walk, &place, "a batch of an unknown kind");
    return ERR_NONE;
}

/* There is no good batch here: the end, or damage with more behind it?
 * ERR_NOT_FOUND: the end */
static enum err look_behind(struct walk *walk)
{
    struct wal_reader_place place = here(walk);
    uint64_t zeros_at = 0;
    enum err err = wal_scan_zeros(&walk->scan, &zeros_at);
    if (!err) {
        err = zeros_at == place.offset ? ERR_NOT_FOUND
                                       : wal_scan_ahead(&walk->scan);
    }
    if (!err && place.offset > WAL_FORMAT_PLAIN_BYTES) {
        say(walk, &place,
            "a batch that fails its checksum; the next good one is at %" PRIu64,
            walk->scan.place.offset);
    }
    return err;
}

static enum err walk_batches(struct walk *walk)
{
    walk->is_sealed = false;
    while (!walk->is_over) {
        struct wal_format_batch batch;
        struct bytes body;
        enum err err = wal_scan_batch(&walk->scan, &batch, &body);
        if (err == ERR_MALFORMED) {
            err = look_behind(walk);
            if (err == ERR_NOT_FOUND) {
                return ERR_NONE;
            }
            continue;
        }
        if (!err) {
            err = take_batch(walk, &batch, body);
        }
        if (err) {
            return err;
        }
        wal_scan_skip(&walk->scan, &batch);
        walk->last_end = walk->is_sealed && batch.kind == WAL_FORMAT_SEAL
                             ? walk->last_end
                             : walk->scan.place.offset;
    }
    return ERR_NONE;
}

/* A segment with another behind it has a seal; the last but one may lack it
 * while nothing was written to the last. */
static void check_seal(struct walk *walk, size_t index)
{
    size_t behind = walk->reader->count - index - 1;
    if (behind == 0 && walk->is_sealed) {
        struct wal_reader_place next = {.segment = walk->last_segment + 1};
        say(walk, &next, "is missing");
    }
    if (behind > 0 && !walk->is_sealed) {
        walk->lacks_seal = true;
        walk->seal_place = (struct wal_reader_place){
            .segment = walk->last_segment, .offset = walk->last_end};
    }
}

static enum err walk_segment(struct walk *walk, size_t index)
{
    const struct wal_reader *reader = walk->reader;
    const struct wal_reader_segment *segment = &reader->segments[index];
    if (walk->visitor->on_segment &&
        !walk->visitor->on_segment(walk->visitor->context, segment)) {
        walk->is_over = true;
        return ERR_NONE;
    }
    enum err err = wal_scan_open(&walk->scan, reader->config.disk,
                                 reader->config.disk_id, segment->number);
    if (err == ERR_NOT_FOUND) {
        struct wal_reader_place place = {.segment = segment->number};
        say(walk, &place, "is gone since we began to read");
        return ERR_NONE;
    }
    if (!err) {
        err = take_head(walk);
    }
    if (err) {
        return err;
    }
    walk->last_segment = segment->number;
    walk->last_end = WAL_FORMAT_PLAIN_BYTES;
    err = walk_batches(walk);
    if (!err && !walk->is_over) {
        check_seal(walk, index);
    }
    return err;
}

/* Segments that hold what is needed, and are not there. */
static void tell_missing(struct walk *walk)
{
    const struct wal_state *state = &walk->reader->state;
    for (size_t i = 0; i < state->segment_count; i++) {
        if (state->segments[i].is_missing && state->segments[i].live_count) {
            struct wal_reader_place place = {.segment =
                                                 state->segments[i].number};
            say(walk, &place, "is missing; groups that need it: %" PRIu32,
                state->segments[i].live_count);
        }
    }
}

enum err wal_reader_walk(struct wal_reader *reader,
                         const struct wal_reader_visitor *visitor)
{
    scoped(walk_clear) struct walk walk = {.reader = reader,
                                           .visitor = visitor};
    enum err err = ERR_NONE;
    for (size_t i = 0; !err && !walk.is_over && i < reader->count; i++) {
        err = walk_segment(&walk, i);
    }
    if (!err && !walk.is_over) {
        tell_missing(&walk);
    }
    return err;
}
