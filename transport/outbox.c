#include "transport/outbox.h"

#include <assert.h>
#include <stdlib.h>

#define FRAME_SMALL_BYTES 1024 /* body of a frame's first memory */
#define FRAME_SLACK_BYTES 512  /* so that 4 x 16 KiB fit into 64 KiB */
#define SPARE_COUNT_MAX 8
#define TOTAL_BYTES 4 /* the whole length, before a message's first part */

static size_t capacity_full(const struct outbox *outbox)
{
    return outbox->config.frame_bytes + FRAME_SLACK_BYTES;
}

void outbox_init(struct outbox *outbox, const struct outbox_config *config)
{
    assert(config->frame_bytes >= FRAME_SMALL_BYTES);
    *outbox = (struct outbox){.config = *config, .sequence_next = 1};
}

static void free_list(struct outbox_frame *frame)
{
    while (frame) {
        struct outbox_frame *next = frame->next;
        free(frame);
        frame = next;
    }
}

void outbox_clear(struct outbox *outbox)
{
    free_list(outbox->first);
    outbox_trim(outbox);
    outbox_init(outbox, &outbox->config);
}

/* ---- memory of frames ---- */

static struct outbox_frame *frame_make(size_t capacity)
{
    struct outbox_frame *frame = malloc(sizeof *frame + capacity);
    if (frame) {
        *frame = (struct outbox_frame){.capacity = (uint32_t)capacity};
    }
    return frame;
}

static struct outbox_frame *take_spare(struct outbox *outbox)
{
    struct outbox_frame *frame = outbox->spare;
    if (!frame) {
        return frame_make(capacity_full(outbox));
    }
    outbox->spare = frame->next;
    outbox->spare_count--;
    *frame = (struct outbox_frame){.capacity = frame->capacity};
    return frame;
}

static void frame_free(struct outbox *outbox, struct outbox_frame *frame)
{
    outbox->held_bytes -= frame->capacity;
    if (frame->capacity == capacity_full(outbox) &&
        outbox->spare_count < SPARE_COUNT_MAX) {
        frame->next = outbox->spare;
        outbox->spare = frame;
        outbox->spare_count++;
    } else {
        free(frame);
    }
}

/* ---- taking messages ---- */

static void append_frame(struct outbox *outbox, struct outbox_frame *frame)
{
    frame->sequence = outbox->sequence_next++;
    frame->generation = outbox->generation;
    frame->length = FRAME_ACKS_BYTES;
    frame->ends_whole = true;
    if (outbox->last) {
        outbox->last->next = frame;
    } else {
        outbox->first = frame;
    }
    outbox->last = frame;
    if (!outbox->unacked) {
        outbox->unacked = frame;
    }
    if (!outbox->unsent) {
        outbox->unsent = frame;
    }
    outbox->held_bytes += frame->capacity;
    outbox->is_open = true;
}

static size_t room(const struct outbox *outbox)
{
    return outbox->is_open ? outbox->last->capacity - outbox->last->length : 0;
}

static void append_item(struct outbox *outbox, const struct item *item)
{
    struct outbox_frame *frame = outbox->last;
    assert(ITEM_HEADER_BYTES + item->content.length <= room(outbox));
    uint8_t *at = frame->body + frame->length;
    item_header_encode(at, item);
    if (item->content.length > 0) {
        memcpy(at + ITEM_HEADER_BYTES, item->content.data,
               item->content.length);
    }
    frame->length += (uint32_t)(ITEM_HEADER_BYTES + item->content.length);
    frame->ends_whole = item->ends;
}

/* The most items that a frame for a long message, or a part of it, holds. */
static size_t part_bytes(const struct outbox *outbox)
{
    return FRAME_LARGE_FACTOR * outbox->config.frame_bytes;
}

/* Frames for `count` parts, the last of them no larger than needed. */
static struct outbox_frame *make_parts(const struct outbox *outbox,
                                       size_t count,
                                       size_t last_bytes)
{
    struct outbox_frame *frames = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t bytes = i == 0 ? last_bytes : part_bytes(outbox);
        struct outbox_frame *frame = frame_make(FRAME_ACKS_BYTES + bytes);
        if (!frame) {
            free_list(frames);
            return NULL;
        }
        frame->next = frames;
        frames = frame;
    }
    return frames;
}

/* The first part carries the whole length before its content. */
static size_t append_part(struct outbox *outbox,
                          struct item *part,
                          size_t total)
{
    uint8_t *at = outbox->last->body + FRAME_ACKS_BYTES;
    size_t extra = part->begins ? TOTAL_BYTES : 0;
    size_t length = room(outbox) - ITEM_HEADER_BYTES - extra;
    if (length > part->content.length) {
        length = part->content.length;
    }
    part->content.length = length + extra;
    item_header_encode(at, part);
    if (part->begins) {
        put_u32(at + ITEM_HEADER_BYTES, (uint32_t)total);
    }
    memcpy(at + ITEM_HEADER_BYTES + extra, part->content.data, length);
    outbox->last->length =
        (uint32_t)(FRAME_ACKS_BYTES + ITEM_HEADER_BYTES + extra + length);
    outbox->last->ends_whole = part->ends;
    return length;
}

static enum err put_in_parts(struct outbox *outbox, const struct item *item)
{
    size_t total = item->content.length;
    size_t full = part_bytes(outbox) - ITEM_HEADER_BYTES;
    size_t count = (total + TOTAL_BYTES + full - 1) / full;
    size_t last_bytes =
        total + TOTAL_BYTES - (count - 1) * full + ITEM_HEADER_BYTES;
    struct outbox_frame *frames = make_parts(outbox, count, last_bytes);
    if (!frames) {
        return ERR_MEMORY;
    }
    size_t done = 0;
    for (size_t i = 0; i < count; i++) {
        struct outbox_frame *frame = frames;
        frames = frame->next;
        frame->next = NULL;
        append_frame(outbox, frame);
        struct item part = {
            .channel = item->channel,
            .begins = i == 0,
            .ends = i == count - 1,
            .content = bytes_of(item->content.data + done, total - done)};
        done += append_part(outbox, &part, total);
    }
    assert(done == total);
    outbox->is_open = false;
    return ERR_NONE;
}

/* A lone small message costs little memory; under load frames are full; a
 * long message has one of its own. */
static struct outbox_frame *frame_for(struct outbox *outbox, size_t needed)
{
    if (outbox_is_empty(outbox) && outbox->spare_count == 0 &&
        FRAME_ACKS_BYTES + needed <= FRAME_SMALL_BYTES) {
        return frame_make(FRAME_SMALL_BYTES);
    }
    if (FRAME_ACKS_BYTES + needed > capacity_full(outbox)) {
        return frame_make(FRAME_ACKS_BYTES + needed);
    }
    return take_spare(outbox);
}

static enum err put_in_new_frame(struct outbox *outbox, const struct item *item)
{
    struct outbox_frame *frame =
        frame_for(outbox, ITEM_HEADER_BYTES + item->content.length);
    if (!frame) {
        return ERR_MEMORY;
    }
    append_frame(outbox, frame);
    append_item(outbox, item);
    return ERR_NONE;
}

enum err outbox_put(struct outbox *outbox,
                    uint8_t channel,
                    struct bytes message)
{
    assert(channel < CHANNEL_COUNT);
    if (message.length > outbox->config.message_bytes_max) {
        return ERR_TOO_LARGE;
    }
    struct item item = {
        .channel = channel, .begins = true, .ends = true, .content = message};
    size_t needed = ITEM_HEADER_BYTES + message.length;
    enum err err = ERR_NONE;
    if (needed <= room(outbox)) {
        append_item(outbox, &item);
    } else if (outbox->held_bytes + needed > outbox->config.window_bytes) {
        err = ERR_FULL;
    } else if (needed <= part_bytes(outbox)) {
        err = put_in_new_frame(outbox, &item);
    } else {
        err = put_in_parts(outbox, &item);
    }
    outbox->message_count += err == ERR_NONE;
    return err;
}

/* ---- sending and acknowledging ---- */

struct outbox_frame *outbox_next(struct outbox *outbox)
{
    struct outbox_frame *frame = outbox->unsent;
    if (!frame ||
        (outbox->inflight_bytes > 0 && outbox->inflight_bytes + frame->length >
                                           outbox->config.inflight_bytes_max)) {
        return NULL;
    }
    if (frame == outbox->last) {
        outbox->is_open = false;
    }
    return frame;
}

static void forget_first(struct outbox *outbox)
{
    struct outbox_frame *frame = outbox->first;
    assert(frame != outbox->unsent);
    outbox->first = frame->next;
    if (outbox->unacked == frame) {
        outbox->unacked = frame->next;
    }
    if (outbox->last == frame) {
        outbox->last = NULL;
        outbox->is_open = false;
    }
    frame_free(outbox, frame);
}

void outbox_on_sent(struct outbox *outbox)
{
    struct outbox_frame *frame = outbox->unsent;
    assert(frame && frame->is_sealed);
    outbox->unsent = frame->next;
    if (outbox->config.is_kept) {
        frame->is_in_flight = true;
        outbox->inflight_bytes += frame->length;
    } else {
        assert(frame == outbox->first);
        outbox->acked = frame->sequence;
        forget_first(outbox);
    }
}

/* Free what is acknowledged, but not the beginning of a message whose end is
 * not: it could not be handed back whole. */
static void free_acked(struct outbox *outbox)
{
    struct outbox_frame *whole = NULL;
    for (struct outbox_frame *frame = outbox->first; frame != outbox->unacked;
         frame = frame->next) {
        if (frame->ends_whole) {
            whole = frame;
        }
    }
    if (whole) {
        struct outbox_frame *end = whole->next;
        while (outbox->first != end) {
            forget_first(outbox);
        }
    }
}

bool outbox_on_ack(struct outbox *outbox, uint64_t sequence)
{
    if (sequence <= outbox->acked) {
        return true; /* late */
    }
    struct outbox_frame *frame = outbox->unacked;
    while (frame && frame->sequence <= sequence && frame->is_sealed) {
        if (frame->is_in_flight) {
            frame->is_in_flight = false;
            outbox->inflight_bytes -= frame->length;
        }
        outbox->acked = frame->sequence;
        if (outbox->unsent == frame) { /* rewound, and yet it had arrived */
            outbox->unsent = frame->next;
        }
        frame = frame->next;
    }
    outbox->unacked = frame;
    free_acked(outbox);
    return outbox->acked == sequence;
}

static uint64_t ended_count(const struct outbox_frame *frame)
{
    uint64_t count = 0;
    struct reader reader = reader_of(bytes_of(
        frame->body + FRAME_ACKS_BYTES, frame->length - FRAME_ACKS_BYTES));
    struct item item = {0};
    while (reader_left(&reader) > 0) {
        bool is_item = item_decode(&item, &reader);
        assert(is_item);
        count += item.ends;
    }
    return count;
}

uint64_t outbox_rewind(struct outbox *outbox)
{
    uint64_t dropped_count = 0;
    if (!outbox->config.is_kept) {
        outbox->unsent = NULL;
        while (outbox->first) {
            dropped_count += ended_count(outbox->first);
            outbox->acked = outbox->first->sequence;
            forget_first(outbox);
        }
        return dropped_count;
    }
    for (struct outbox_frame *frame = outbox->unacked; frame;
         frame = frame->next) {
        frame->is_in_flight = false;
    }
    outbox->inflight_bytes = 0;
    outbox->unsent = outbox->unacked;
    return 0;
}

void outbox_renew(struct outbox *outbox)
{
    outbox->is_open = false;
    outbox->generation++;
}

bool outbox_needs_old_key(const struct outbox *outbox)
{
    return outbox->unacked && outbox->unacked->generation != outbox->generation;
}

bool outbox_is_empty(const struct outbox *outbox)
{
    return !outbox->unacked;
}

void outbox_trim(struct outbox *outbox)
{
    free_list(outbox->spare);
    outbox->spare = NULL;
    outbox->spare_count = 0;
}

/* ---- handing back ---- */

/* Who gets the messages, and the one of which a part has been seen. */
struct drain {
    void (*visit)(void *context,
                  uint8_t channel,
                  struct bytes message,
                  bool may_have_arrived);
    void *context;
    uint8_t *whole; /* NULL without memory */
    size_t length;
    bool was_sent;
};

static void drain_part(struct drain *drain,
                       struct item *item,
                       bool is_sealed,
                       bool is_acked)
{
    if (item->begins) {
        drain->whole = malloc(get_u32(item->content.data));
        drain->length = 0;
        drain->was_sent = is_sealed;
        item->content.data += TOTAL_BYTES;
        item->content.length -= TOTAL_BYTES;
    }
    if (drain->whole) {
        memcpy(drain->whole + drain->length, item->content.data,
               item->content.length);
    }
    drain->length += item->content.length;
    if (!item->ends) {
        return;
    }
    if (!is_acked) {
        drain->visit(drain->context, item->channel,
                     bytes_of(drain->whole, drain->length), drain->was_sent);
    }
    free(drain->whole);
    drain->whole = NULL;
}

static void drain_frame(struct drain *drain,
                        const struct outbox_frame *frame,
                        bool is_acked)
{
    struct reader reader = reader_of(bytes_of(
        frame->body + FRAME_ACKS_BYTES, frame->length - FRAME_ACKS_BYTES));
    struct item item = {0};
    while (reader_left(&reader) > 0) {
        bool is_item = item_decode(&item, &reader);
        assert(is_item);
        if (!item.begins || !item.ends) {
            drain_part(drain, &item, frame->is_sealed, is_acked);
        } else if (!is_acked) {
            drain->visit(drain->context, item.channel, item.content,
                         frame->is_sealed);
        }
    }
}

void outbox_drain(struct outbox *outbox,
                  void (*visit)(void *context,
                                uint8_t channel,
                                struct bytes message,
                                bool may_have_arrived),
                  void *context)
{
    /* Taken out first: `visit` may put messages into the box again. */
    struct outbox old = *outbox;
    outbox_init(outbox, &old.config);
    struct drain drain = {.visit = visit, .context = context};
    for (struct outbox_frame *frame = old.first; frame; frame = frame->next) {
        drain_frame(&drain, frame, frame->sequence <= old.acked);
    }
    outbox_clear(&old);
}
