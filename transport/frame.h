/*
 * What goes over a link: frames, and the items in them.
 *
 * A frame is a clear, authenticated header, a sealed body and a tag. All
 * numbers are little-endian.
 *
 *     0  version     u8    of the protocol, agreed in the handshake
 *     1  lane        u8
 *     2  generation  u16   how often the lane's key was renewed, modulo 2^16
 *     4  session     u32   the low half of the session's id
 *     8  sequence    u64   of this lane; also the nonce
 *    16  body              sealed: acks, then items or signals
 *        tag         16    Poly1305
 *
 * The body begins with two acks (u64 each): the last sequence that the sender
 * of this frame has received in order on LANE_CONTROL and on LANE_DATA.
 *
 * An item is a message or a fragment of one: u32 with the content's length
 * (bits 0-23), the channel (24-29), "begins" (30) and "ends" (31); then the
 * content. A fragment that begins but does not end a message starts with the
 * message's whole length (u32), which counts as content.
 *
 * In LANE_SIGNAL stand signals instead: kind u8, length u8, content. Unknown
 * kinds are skipped.
 *
 * To change the format: raise PROTOCOL_VERSION_MAX in transport/handshake.h
 * and let both forms be read.
 */

#ifndef TRANSPORT_FRAME_H
#define TRANSPORT_FRAME_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define FRAME_HEADER_BYTES 16
#define FRAME_TAG_BYTES 16
#define FRAME_ACKS_BYTES 16
#define FRAME_OVERHEAD_BYTES \
    (FRAME_HEADER_BYTES + FRAME_ACKS_BYTES + FRAME_TAG_BYTES)
#define FRAME_LARGE_FACTOR 4 /* a long message's frames are longer */
#define FRAME_GATHER_BYTES_MAX (256u << 10) /* limits.frame_bytes */
#define FRAME_BYTES_MAX \
    (FRAME_LARGE_FACTOR * FRAME_GATHER_BYTES_MAX + FRAME_OVERHEAD_BYTES)
#define ITEM_HEADER_BYTES 4
#define ITEM_CONTENT_BYTES_MAX 0xffffff
#define CHANNEL_COUNT 64
#define SIGNAL_BYTES_MAX 128 /* all signals of one frame */

/* In order of urgency. */
enum lane {
    LANE_SIGNAL,   /* the link's own: acks, heartbeats; never kept */
    LANE_CONTROL,  /* small and urgent; kept until acknowledged */
    LANE_FLEETING, /* not kept when the connection breaks: its sender repeats
                      what it needs (Raft) */
    LANE_DATA,     /* everything else; kept until acknowledged */
    LANE_COUNT
};

struct frame_header {
    uint8_t version;
    enum lane lane;
    uint16_t generation;
    uint32_t session;
    uint64_t sequence;
};

void frame_header_encode(uint8_t out[static FRAME_HEADER_BYTES],
                         const struct frame_header *header);

/* ERR_MALFORMED: shorter than a frame can be, or an unknown lane */
FALLIBLE frame_header_decode(struct frame_header *out, struct bytes frame);

struct frame_acks {
    uint64_t control;
    uint64_t data;
};

void frame_acks_encode(uint8_t out[static FRAME_ACKS_BYTES],
                       const struct frame_acks *acks);
struct frame_acks frame_acks_decode(
    const uint8_t from[static FRAME_ACKS_BYTES]);

struct item {
    uint8_t channel;
    bool begins;
    bool ends;
    struct bytes content;
};

static inline void item_header_encode(uint8_t out[static ITEM_HEADER_BYTES],
                                      const struct item *item)
{
    put_u32(out, (uint32_t)item->content.length |
                     (uint32_t)item->channel << 24 |
                     (uint32_t)item->begins << 30 | (uint32_t)item->ends << 31);
}

/*
 * Take the next item; `reader` must not be at its end. False when it does
 * not fit.
 */
static inline bool item_decode(struct item *out, struct reader *reader)
{
    if (reader_left(reader) < ITEM_HEADER_BYTES) {
        return false;
    }
    uint32_t word = get_u32(reader->next);
    size_t length = word & ITEM_CONTENT_BYTES_MAX;
    reader->next += ITEM_HEADER_BYTES;
    if (reader_left(reader) < length) {
        return false;
    }
    *out = (struct item){.channel = word >> 24 & (CHANNEL_COUNT - 1),
                         .begins = word >> 30 & 1,
                         .ends = word >> 31,
                         .content = bytes_of(reader->next, length)};
    reader->next += length;
    return true;
}

#endif
