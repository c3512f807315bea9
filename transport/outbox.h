/*
 * What one lane of a link has taken for sending: gathered into frames, kept
 * until the peer has acknowledged it.
 *
 * Part of a link; owned by its reactor. Frames hold the plain body; it is
 * sealed into a packet each time it is sent. Key, nonce and body stay the
 * same, so the bytes on the wire do, too (the first tag is remembered and
 * compared). So a body can be handed back when the peer is gone for good,
 * and needs no copy when it is sent.
 */

#ifndef TRANSPORT_OUTBOX_H
#define TRANSPORT_OUTBOX_H

#include "base/bytes.h"
#include "base/err.h"
#include "transport/frame.h"
#include "transport/seal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct outbox_frame {
    struct outbox_frame *next;
    uint64_t sequence;
    uint16_t generation;
    bool is_sealed;    /* sent at least once: the body must not change */
    bool is_in_flight; /* sent on this connection, not acknowledged */
    bool ends_whole;   /* its last item ends a message */
    uint32_t length;   /* of body, acks included */
    uint32_t capacity; /* of body */
    uint8_t tag[SEAL_TAG_BYTES]; /* when is_sealed */
    uint8_t body[];
};

struct outbox_config {
    bool is_kept;       /* until acknowledged; else until sent */
    size_t frame_bytes; /* of items, about, in a full frame */
    size_t message_bytes_max;
    size_t window_bytes;       /* memory for all frames of this lane */
    size_t inflight_bytes_max; /* sent and not acknowledged */
};

struct outbox {
    struct outbox_config config;
    struct outbox_frame *first;   /* the oldest that is kept */
    struct outbox_frame *unacked; /* the oldest not acknowledged */
    struct outbox_frame *unsent;  /* the next to send */
    struct outbox_frame *last;
    struct outbox_frame *spare; /* empty, of full size, for the next */
    bool is_open;               /* `last` takes more items */
    uint16_t generation;        /* for new frames */
    uint64_t sequence_next;
    uint64_t acked; /* sequence */
    uint32_t spare_count;
    size_t held_bytes; /* capacity of all frames, spares aside */
    size_t inflight_bytes;
    uint64_t message_count; /* taken since outbox_init() */
};

/* Sequences begin with 1. */
void outbox_init(struct outbox *outbox, const struct outbox_config *config);

/* Free all frames. */
void outbox_clear(struct outbox *outbox);

/*
 * Take one message, copying it.
 *
 * ERR_TOO_LARGE   longer than message_bytes_max
 * ERR_FULL        the window is full: wait for acknowledgements
 * ERR_MEMORY
 */
FALLIBLE
outbox_put(struct outbox *outbox, uint8_t channel, struct bytes message);

/* The frame to send now; NULL when there is none or too much is in flight. */
struct outbox_frame *outbox_next(struct outbox *outbox);

/* outbox_next()'s frame was sent. Frees it unless frames are kept. */
void outbox_on_sent(struct outbox *outbox);

/*
 * The peer has all up to `sequence`. False when that was never sent: the
 * peer breaks the protocol.
 */
bool outbox_on_ack(struct outbox *outbox, uint64_t sequence);

/*
 * A new connection: all that is not acknowledged is to be sent again. Where
 * frames are not kept, the unsent ones go: returns how many messages that
 * were.
 */
uint64_t outbox_rewind(struct outbox *outbox);

/* The lane's key was renewed: frames from here on are of the next
 * generation. */
void outbox_renew(struct outbox *outbox);

/* Whether a frame of an older generation still waits. */
bool outbox_needs_old_key(const struct outbox *outbox);

/* Whether there is anything that is not acknowledged (kept) or not sent. */
bool outbox_is_empty(const struct outbox *outbox);

/* Free the empty frames that are kept for the next load. */
void outbox_trim(struct outbox *outbox);

/*
 * Give each message that is not acknowledged to `visit`, oldest first, with
 * whether it was sent at least once (and so may have arrived). A message
 * in parts that there is no memory to put together is {NULL, its length}. The
 * box is empty, as after outbox_clear(), before the first visit.
 */
void outbox_drain(struct outbox *outbox,
                  void (*visit)(void *context,
                                uint8_t channel,
                                struct bytes message,
                                bool may_have_arrived),
                  void *context);

#endif
