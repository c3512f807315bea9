#include "store/wal_state.h"

#include <assert.h>
#include <stdlib.h>

#define SLOT_COUNT_MIN 64

/* ---- memory ---- */

/* Room for one more of `size` bytes. */
static enum err grow(void **items, size_t *capacity, size_t count, size_t size)
{
    if (count < *capacity) {
        return ERR_NONE;
    }
    size_t grown = *capacity ? *capacity * 2 : 4;
    void *moved = realloc(*items, grown * size);
    if (!moved) {
        return ERR_MEMORY;
    }
    *items = moved;
    *capacity = grown;
    return ERR_NONE;
}

static void group_free(struct wal_state_group *group)
{
    free(group->spans);
    free(group->runs);
    free(group->configuration);
    free(group);
}

void wal_state_clear(struct wal_state *state)
{
    for (size_t i = 0; i < state->group_count; i++) {
        group_free(state->groups[i]);
    }
    free(state->groups);
    free(state->slots);
    free(state->segments);
    *state = (struct wal_state){0};
}

/* ---- groups ---- */

static size_t slot_of(const struct wal_state *state, uint32_t group)
{
    size_t mask = state->slot_count - 1;
    size_t slot = (group * UINT32_C(0x9e3779b1)) & mask;
    while (state->slots[slot] &&
           state->groups[state->slots[slot] - 1]->about.group != group) {
        slot = (slot + 1) & mask;
    }
    return slot;
}

/* Forgotten ones too. */
static struct wal_state_group *find_any(const struct wal_state *state,
                                        uint32_t group)
{
    if (state->slot_count == 0) {
        return NULL;
    }
    uint32_t at = state->slots[slot_of(state, group)];
    return at ? state->groups[at - 1] : NULL;
}

struct wal_state_group *wal_state_find(const struct wal_state *state,
                                       uint32_t group)
{
    struct wal_state_group *found = find_any(state, group);
    return found && found->is_there ? found : NULL;
}

static enum err rehash(struct wal_state *state)
{
    size_t count = state->slot_count ? state->slot_count * 2 : SLOT_COUNT_MIN;
    uint32_t *slots = calloc(count, sizeof *slots);
    if (!slots) {
        return ERR_MEMORY;
    }
    free(state->slots);
    state->slots = slots;
    state->slot_count = count;
    for (size_t i = 0; i < state->group_count; i++) {
        slots[slot_of(state, state->groups[i]->about.group)] = (uint32_t)i + 1;
    }
    return ERR_NONE;
}

static enum err add_group(struct wal_state *state,
                          uint32_t number,
                          struct wal_state_group **out)
{
    enum err err = grow((void **)&state->groups, &state->group_capacity,
                        state->group_count, sizeof(struct wal_state_group *));
    if (!err && state->group_count * 2 >= state->slot_count) {
        err = rehash(state);
    }
    if (err) {
        return err;
    }
    struct wal_state_group *group = calloc(1, sizeof *group);
    if (!group) {
        return ERR_MEMORY;
    }
    group->about.group = number;
    state->groups[state->group_count++] = group;
    state->slots[slot_of(state, number)] = (uint32_t)state->group_count;
    *out = group;
    return ERR_NONE;
}

void wal_state_lose(struct wal_state *state, struct wal_state_group *group)
{
    if (!group->about.is_lost) {
        group->about.is_lost = true;
        state->lost_count++;
    }
}

void wal_state_lose_all(struct wal_state *state)
{
    for (size_t i = 0; i < state->group_count; i++) {
        if (state->groups[i]->is_there) {
            wal_state_lose(state, state->groups[i]);
        }
    }
    state->unlisted_are_lost = true;
}

/* ---- segments ---- */

static size_t segment_at(const struct wal_state *state, uint64_t number)
{
    size_t low = 0;
    size_t high = state->segment_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (state->segments[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct wal_state_segment *wal_state_segment(const struct wal_state *state,
                                            uint64_t number)
{
    size_t at = segment_at(state, number);
    return at < state->segment_count && state->segments[at].number == number
               ? &state->segments[at]
               : NULL;
}

static enum err insert_segment(struct wal_state *state,
                               const struct wal_state_segment *segment)
{
    enum err err = grow((void **)&state->segments, &state->segment_capacity,
                        state->segment_count, sizeof *state->segments);
    if (err) {
        return err;
    }
    size_t at = segment_at(state, segment->number);
    memmove(&state->segments[at + 1], &state->segments[at],
            (state->segment_count - at) * sizeof *state->segments);
    state->segments[at] = *segment;
    state->segment_count++;
    return ERR_NONE;
}

enum err wal_state_add_segment(struct wal_state *state, uint64_t number)
{
    assert(state->segment_count == 0 ||
           number > wal_state_current(state)->number);
    struct wal_state_segment segment = {.number = number};
    return insert_segment(state, &segment);
}

void wal_state_drop_segment(struct wal_state *state, uint64_t number)
{
    size_t at = segment_at(state, number);
    if (at < state->segment_count && state->segments[at].number == number) {
        assert(state->segments[at].live_count == 0);
        state->segment_count--;
        memmove(&state->segments[at], &state->segments[at + 1],
                (state->segment_count - at) * sizeof *state->segments);
    }
}

struct wal_state_segment *wal_state_current(const struct wal_state *state)
{
    assert(state->segment_count > 0);
    return &state->segments[state->segment_count - 1];
}

bool wal_state_is_removable(const struct wal_state *state,
                            const struct wal_state_segment *segment)
{
    return segment->live_count == 0 && state->lost_count == 0 &&
           segment != wal_state_current(state);
}

/* ---- spans ---- */

static void release_span(struct wal_state *state, const struct wal_span *span)
{
    struct wal_state_segment *segment = wal_state_segment(state, span->segment);
    assert(segment && segment->live_count > 0);
    segment->live_count--;
}

/* Entries from `index` on live no more. */
static void cut_back(struct wal_state *state,
                     struct wal_state_group *group,
                     uint64_t index)
{
    while (group->span_count > 0) {
        struct wal_span *span = &group->spans[group->span_count - 1];
        if (span->first < index) {
            span->last = span->last < index ? span->last : index - 1;
            break;
        }
        release_span(state, span);
        group->span_count--;
    }
    while (group->run_count > 0 &&
           group->runs[group->run_count - 1].first >= index) {
        group->run_count--;
    }
    if (group->about.last_index >= index) {
        group->about.last_index = index - 1;
    }
    if (group->about.last_index < group->about.snapshot_index) {
        group->about.last_index = group->about.snapshot_index;
    }
}

/* Entries up to `index` live no more. */
static void cut_front(struct wal_state *state,
                      struct wal_state_group *group,
                      uint64_t index)
{
    size_t gone = 0;
    while (gone < group->span_count && group->spans[gone].last <= index) {
        release_span(state, &group->spans[gone++]);
    }
    group->span_count -= gone;
    if (group->span_count > 0) {
        memmove(group->spans, group->spans + gone,
                group->span_count * sizeof *group->spans);
        if (group->spans[0].first <= index) {
            group->spans[0].first = index + 1;
        }
    }
    gone = 0;
    while (gone + 1 < group->run_count &&
           group->runs[gone + 1].first <= index + 1) {
        gone++;
    }
    group->run_count -= gone;
    if (gone > 0) {
        memmove(group->runs, group->runs + gone,
                group->run_count * sizeof *group->runs);
    }
}

static enum err add_span(struct wal_state *state,
                         struct wal_state_group *group,
                         const struct wal_span *span)
{
    enum err err = grow((void **)&group->spans, &group->span_capacity,
                        group->span_count, sizeof *group->spans);
    if (err) {
        return err;
    }
    group->spans[group->span_count++] = *span;
    wal_state_segment(state, span->segment)->live_count++;
    return ERR_NONE;
}

/* ---- terms ---- */

enum err wal_state_note_term(struct wal_state_group *group,
                             uint64_t index,
                             uint64_t term)
{
    if (group->run_count > 0 &&
        group->runs[group->run_count - 1].term == term) {
        return ERR_NONE;
    }
    enum err err = grow((void **)&group->runs, &group->run_capacity,
                        group->run_count, sizeof *group->runs);
    if (err) {
        return err;
    }
    group->runs[group->run_count++] =
        (struct wal_run){.first = index, .term = term};
    return ERR_NONE;
}

/* Of an entry that lives; 0: it is not known. */
static uint64_t term_at(const struct wal_state_group *group, uint64_t index)
{
    for (size_t i = group->run_count; i-- > 0;) {
        if (group->runs[i].first <= index) {
            return group->runs[i].term;
        }
    }
    return 0;
}

bool wal_state_resets(const struct wal_state *state,
                      const struct wal_record *snapshot)
{
    const struct wal_state_group *group =
        wal_state_find(state, snapshot->group);
    if (!group || snapshot->index > group->about.last_index ||
        snapshot->index < group->about.snapshot_index) {
        return true;
    }
    return snapshot->term != (snapshot->index == group->about.snapshot_index
                                  ? group->about.snapshot_term
                                  : term_at(group, snapshot->index));
}

/* ---- records ---- */

static enum err on_entry(struct wal_state *state,
                         struct wal_state_group *group,
                         const struct wal_record *record)
{
    uint64_t index = record->index;
    if (index <= group->about.snapshot_index ||
        index > group->about.last_index + 1 || index > WAL_STATE_INDEX_MAX) {
        return ERR_MALFORMED;
    }
    if (index <= group->about.last_index) {
        cut_back(state, group, index);
    }
    uint64_t segment = wal_state_current(state)->number;
    bool is_again =
        group->newest_segment == segment && index <= group->newest_max;
    struct wal_span *newest =
        group->span_count > 0 ? &group->spans[group->span_count - 1] : NULL;
    enum err err = wal_state_note_term(group, index, record->term);
    if (!err && newest && newest->segment == segment) {
        newest->last = index;
        newest->is_folded = newest->is_folded || is_again;
    } else if (!err) {
        err = add_span(state, group,
                       &(struct wal_span){.segment = segment,
                                          .first = index,
                                          .last = index,
                                          .is_folded = is_again});
    }
    if (err) {
        return err;
    }
    group->newest_max = is_again ? group->newest_max : index;
    group->newest_segment = segment;
    group->about.last_index = index;
    return ERR_NONE;
}

static enum err set_configuration(struct wal_state_group *group,
                                  struct bytes configuration)
{
    uint8_t *copy = malloc(configuration.length + 1);
    if (!copy) {
        return ERR_MEMORY;
    }
    if (configuration.length > 0) {
        memcpy(copy, configuration.data, configuration.length);
    }
    free(group->configuration);
    group->configuration = copy;
    group->about.configuration = bytes_of(copy, configuration.length);
    return ERR_NONE;
}

static enum err on_snapshot(struct wal_state *state,
                            struct wal_state_group *group,
                            const struct wal_record *record)
{
    bool resets = record->type == WAL_FORMAT_SNAPSHOT_RESETS;
    if (record->index > WAL_STATE_INDEX_MAX ||
        (!resets && record->index > group->about.last_index)) {
        return ERR_MALFORMED;
    }
    enum err err = set_configuration(group, record->bytes);
    if (err) {
        return err;
    }
    if (resets) {
        cut_back(state, group, 1);
        group->about.last_index = record->index;
    } else {
        cut_front(state, group, record->index);
    }
    group->about.snapshot_index = record->index;
    group->about.snapshot_term = record->term;
    return ERR_NONE;
}

static void on_forget(struct wal_state *state, struct wal_state_group *group)
{
    cut_back(state, group, 1);
    if (group->about.is_lost) {
        state->lost_count--;
    }
    free(group->configuration);
    group->configuration = NULL;
    group->about = (struct wal_group){.group = group->about.group};
    group->is_there = false;
}

static enum err change(struct wal_state *state,
                       struct wal_state_group *group,
                       const struct wal_record *record)
{
    switch (record->kind) {
    case WAL_ENTRY:
        return on_entry(state, group, record);
    case WAL_SNAPSHOT:
        return on_snapshot(state, group, record);
    case WAL_TRUNCATE:
        cut_back(state, group, record->index > 0 ? record->index : 1);
        break;
    case WAL_VOTE:
        group->about.term = record->term;
        group->about.vote = record->vote;
        break;
    case WAL_FORGET:
        break;
    }
    return ERR_NONE;
}

enum err wal_state_apply(struct wal_state *state,
                         const struct wal_record *record)
{
    struct wal_state_group *group = find_any(state, record->group);
    if (record->kind == WAL_FORGET) {
        if (record->group == WAL_GROUP_UNLISTED) {
            state->unlisted_are_lost = false;
        } else if (group) {
            on_forget(state, group);
        }
        return ERR_NONE;
    }
    if (!group) {
        enum err err = add_group(state, record->group, &group);
        if (err) {
            return err;
        }
    }
    enum err err = change(state, group, record);
    group->is_there = group->is_there || !err;
    return err;
}

/* ---- heads ---- */

static size_t encoded_bytes(const struct wal_state *state, uint32_t *out_count)
{
    size_t bytes = wal_format_head_bytes();
    *out_count = 0;
    for (size_t i = 0; i < state->group_count; i++) {
        const struct wal_state_group *group = state->groups[i];
        if (group->is_there) {
            bytes += wal_format_row_bytes(group->span_count,
                                          group->about.configuration.length);
            (*out_count)++;
        }
    }
    return bytes;
}

enum err wal_state_encode(const struct wal_state *state,
                          uint64_t previous_end,
                          struct wal_buffer *buffer)
{
    struct wal_format_head head = {
        .previous_end = previous_end,
        .flags = state->unlisted_are_lost ? WAL_FORMAT_UNLISTED_LOST : 0};
    size_t bytes = encoded_bytes(state, &head.group_count);
    if (bytes > UINT32_MAX) {
        return ERR_TOO_LARGE;
    }
    enum err err = wal_buffer_reserve(buffer, buffer->length + bytes);
    if (err) {
        return err;
    }
    struct writer writer = writer_of(buffer->data + buffer->length, bytes);
    wal_format_head_encode(&writer, &head);
    for (size_t i = 0; i < state->group_count; i++) {
        const struct wal_state_group *group = state->groups[i];
        if (!group->is_there) {
            continue;
        }
        wal_format_row_encode(&writer, &group->about,
                              (uint32_t)group->span_count);
        for (size_t j = 0; j < group->span_count; j++) {
            wal_format_span_encode(&writer, &group->spans[j]);
        }
    }
    assert(!writer.failed && writer.next == writer.end);
    buffer->length += bytes;
    return ERR_NONE;
}

/* The next span of a group; it must join what is there. */
static enum err decode_span(struct wal_state *state,
                            struct wal_state_group *group,
                            struct reader *reader)
{
    struct wal_span span;
    if (!wal_format_span_decode(&span, reader)) {
        return ERR_MALFORMED;
    }
    const struct wal_span *before =
        group->span_count > 0 ? &group->spans[group->span_count - 1] : NULL;
    uint64_t first = 1 + (before ? before->last : group->about.snapshot_index);
    if (span.first != first || (before && before->segment >= span.segment) ||
        span.segment >= wal_state_current(state)->number) {
        return ERR_MALFORMED;
    }
    if (!wal_state_segment(state, span.segment)) {
        struct wal_state_segment missing = {.number = span.segment,
                                            .is_missing = true};
        enum err err = insert_segment(state, &missing);
        if (err) {
            return err;
        }
    }
    return add_span(state, group, &span);
}

static enum err decode_group(struct wal_state *state, struct reader *reader)
{
    struct wal_group about;
    uint32_t span_count;
    if (!wal_format_row_decode(&about, &span_count, reader) ||
        find_any(state, about.group) ||
        about.last_index > WAL_STATE_INDEX_MAX) {
        return ERR_MALFORMED;
    }
    struct wal_state_group *group = NULL;
    enum err err = add_group(state, about.group, &group);
    if (err) {
        return err;
    }
    struct bytes configuration = about.configuration;
    group->about = about;
    group->is_there = true;
    state->lost_count += about.is_lost;
    group->about.configuration = (struct bytes){0};
    err = set_configuration(group, configuration);
    for (uint32_t i = 0; !err && i < span_count; i++) {
        err = decode_span(state, group, reader);
    }
    if (err) {
        return err;
    }
    uint64_t last = group->span_count > 0
                        ? group->spans[group->span_count - 1].last
                        : about.snapshot_index;
    return last == about.last_index ? ERR_NONE : ERR_MALFORMED;
}

enum err wal_state_decode(struct wal_state *state,
                          struct bytes body,
                          uint64_t *out_previous_end)
{
    struct reader reader = reader_of(body);
    struct wal_format_head head;
    if (!wal_format_head_decode(&head, &reader)) {
        return ERR_MALFORMED;
    }
    state->unlisted_are_lost = head.flags & WAL_FORMAT_UNLISTED_LOST;
    for (uint32_t i = 0; i < head.group_count; i++) {
        enum err err = decode_group(state, &reader);
        if (err) {
            return err;
        }
    }
    *out_previous_end = head.previous_end;
    return reader_left(&reader) == 0 ? ERR_NONE : ERR_MALFORMED;
}
