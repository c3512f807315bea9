#include "transport/frame.h"

#include <assert.h>

void frame_header_encode(uint8_t out[static FRAME_HEADER_BYTES],
                         const struct frame_header *header)
{
    assert(header->lane < LANE_COUNT);
    out[0] = header->version;
    out[1] = (uint8_t)header->lane;
    put_u16(out + 2, header->generation);
    put_u32(out + 4, header->session);
    put_u64(out + 8, header->sequence);
}

enum err frame_header_decode(struct frame_header *out, struct bytes frame)
{
    if (frame.length < FRAME_OVERHEAD_BYTES || frame.data[1] >= LANE_COUNT) {
        return ERR_MALFORMED;
    }
    *out = (struct frame_header){
        .version = frame.data[0],
        .lane = (enum lane)frame.data[1],
        .generation = get_u16(frame.data + 2),
        .session = get_u32(frame.data + 4),
        .sequence = get_u64(frame.data + 8),
    };
    return ERR_NONE;
}

void frame_acks_encode(uint8_t out[static FRAME_ACKS_BYTES],
                       const struct frame_acks *acks)
{
    put_u64(out, acks->control);
    put_u64(out + 8, acks->data);
}

struct frame_acks frame_acks_decode(const uint8_t from[static FRAME_ACKS_BYTES])
{
    return (struct frame_acks){.control = get_u64(from),
                               .data = get_u64(from + 8)};
}
