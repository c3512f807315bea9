/*
 * What one lane of a link receives: frames in order, messages whole.
 *
 * Part of a link; owned by its reactor.
 */

#ifndef TRANSPORT_INBOX_H
#define TRANSPORT_INBOX_H

#include "base/bytes.h"
#include "base/err.h"
#include "transport/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inbox {
    size_t message_bytes_max;
    bool is_lossy;
    uint64_t received;     /* the last sequence in order */
    uint16_t generation;   /* of the key that it was opened with */
    uint8_t *assembly;     /* a message of which a part is here; or NULL */
    size_t assembly_bytes; /* of the whole message */
    size_t assembled_bytes;
    uint8_t assembly_channel;
};

/* Whole messages go to this; the message is borrowed until it returns. */
struct inbox_target {
    void *context;
    void (*deliver)(void *context, uint8_t channel, struct bytes message);
};

/* `is_lossy`: parts may be lost; what is left of their message is dropped. */
void inbox_init(struct inbox *inbox, size_t message_bytes_max, bool is_lossy);

/* Free what was assembled. */
void inbox_clear(struct inbox *inbox);

/* Forget a message of which only a part has come. */
void inbox_forget_part(struct inbox *inbox);

/*
 * Deliver the messages of one frame's items. `*out_count` is how many.
 *
 * ERR_MALFORMED   the items do not fit together: the peer breaks the protocol
 * ERR_TOO_LARGE   a message longer than message_bytes_max
 * ERR_MEMORY      for a message in parts
 */
FALLIBLE inbox_take(struct inbox *inbox,
                    struct bytes items,
                    const struct inbox_target *target,
                    uint64_t *out_count);

#endif
