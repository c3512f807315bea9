/*
 * A sealed, ordered, lossless stream of messages to and from one peer, over
 * connections that come and go.
 *
 * A pure state machine: what happens comes in through the functions here,
 * with the time; what is to be done goes out through `struct link_port`.
 * Owned by one reactor. transport/peer.c makes the connections.
 *
 * A link lives through sessions: one lasts as long as both processes do, over
 * any number of connections. Within a session nothing kept is lost, doubled
 * or reordered. When the peer is another process (link_begin() again), what
 * it has not acknowledged is handed back.
 *
 * Format: transport/frame.h. Protocol: docs/transport.md.
 */

#ifndef TRANSPORT_LINK_H
#define TRANSPORT_LINK_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/network.h"
#include "transport/frame.h"
#include "transport/seal.h"

#include <stdbool.h>
#include <stdint.h>

struct link;

struct link_limits {
    uint32_t frame_bytes;        /* of items, about, in a frame of many; at
                                    most FRAME_GATHER_BYTES_MAX */
    uint32_t message_bytes_max;  /* at most ITEM_CONTENT_BYTES_MAX + 1 */
    uint64_t window_bytes;       /* memory for what is sent; at least twice
                                    message_bytes_max. 5/8 are for LANE_DATA,
                                    2/8 for LANE_FLEETING, 1/8 for
                                    LANE_CONTROL; on the last two a message
                                    is at most half of their share */
    uint64_t inflight_bytes_max; /* sent, not acknowledged, on LANE_DATA */
    uint64_t rekey_bytes;        /* a lane's key is renewed after as much */
    uint64_t rekey_ms;           /* or after this time */
    uint32_t heartbeat_ms;       /* say something at least this often */
    uint32_t ack_delay_ms;       /* an ack waits so long for company */
};

/* What a link needs done. Called from within the functions below. */
struct link_port {
    void *context;
    /* Memory for a packet; NULL: try again later. */
    struct packet *(*packet_make)(void *context, size_t length);
    /* Takes the packet. False: not to be called before link_on_sent(). */
    bool (*transmit)(void *context, struct packet *packet);
    /* A message for us, borrowed. May call link_send(). */
    void (*deliver)(void *context, uint8_t channel, struct bytes message);
    /* A message of ours that the peer has not acknowledged and now never
     * will, borrowed. May call link_send(): for the next session. */
    void (*undelivered)(void *context,
                        uint8_t channel,
                        struct bytes message,
                        bool may_have_arrived);
    /* After ERR_FULL: there is room again. */
    void (*writable)(void *context);
};

/* Since link_open(). */
struct link_stats {
    uint64_t messages_out; /* taken by link_send() */
    uint64_t messages_in;  /* delivered */
    uint64_t bytes_out;    /* of messages */
    uint64_t bytes_in;
    uint64_t frames_out; /* sent, repeated ones among them */
    uint64_t frames_in;  /* opened */
    uint64_t frames_repeated;
    uint64_t frames_duplicate; /* received again and dropped */
    uint64_t frames_gap;       /* received out of order and dropped */
    uint64_t frames_refused;   /* forged, malformed, of another session */
    uint64_t fleeting_dropped; /* messages unsent when a connection broke */
    uint64_t undelivered;      /* messages handed back */
    uint64_t full_count;       /* ERR_FULL answers */
    uint64_t connection_count; /* connections on which the peer was heard */
    uint64_t session_count;
    uint64_t rekey_count;   /* of our keys */
    uint64_t round_trip_ns; /* last measured; 0: none yet */
};

/* What both sides got from a handshake. */
struct link_session {
    uint64_t id;
    uint8_t version; /* of the protocol */
    uint8_t send_root[SEAL_KEY_BYTES];
    uint8_t receive_root[SEAL_KEY_BYTES];
};

/* ERR_MEMORY */
FALLIBLE link_open(struct link **out,
                   const struct link_limits *limits,
                   const struct link_port *port);

/* Hands back what is undelivered. Wipes the keys. */
void link_close(struct link **link);

/*
 * Begin a session; it replaces the one before, if any, and hands back what
 * that has not delivered. Copies `session`.
 *
 * ERR_LIMIT   memory for the keys cannot be locked
 */
FALLIBLE link_begin(struct link *link,
                    const struct link_session *session,
                    uint64_t now_ns);

/* Wipe the keys and hand back what is undelivered: no session any more. */
void link_end(struct link *link);

/* The session's id; 0 when there is none. */
uint64_t link_session_id(const struct link *link);

/* A connection is there, or gone. */
void link_on_up(struct link *link, uint64_t now_ns);
void link_on_down(struct link *link);

/* What transmit() took has left; the next may go. */
void link_on_sent(struct link *link, uint64_t now_ns);

/*
 * A packet has come on the connection. Takes it (sets `*packet` to NULL).
 *
 * A frame of another session is counted and dropped: one may be left over
 * from before.
 *
 * ERR_MALFORMED, ERR_FORGED   not a frame: end the connection
 * ERR_CLOSED                  authentic, and yet against the protocol, or not
 *                             to be taken for want of memory: end the session
 */
FALLIBLE
link_on_packet(struct link *link, struct packet **packet, uint64_t now_ns);

/* Time has come: heartbeats, late acks, renewal of keys. */
void link_on_time(struct link *link, uint64_t now_ns);

/* When link_on_time() wants to be called next. */
uint64_t link_next_ns(const struct link *link);

/*
 * Take a message for the peer, copying it. Before the first session, and
 * while there is no connection, it waits; LANE_FLEETING then drops instead
 * (ERR_UNREACHABLE). It leaves with link_flush().
 *
 * ERR_TOO_LARGE, ERR_MEMORY
 * ERR_FULL   the window is full; writable() will be called
 */
FALLIBLE link_send(struct link *link,
                   enum lane lane,
                   uint8_t channel,
                   struct bytes message);

/* Send what has gathered, as far as the connection takes it. */
void link_flush(struct link *link, uint64_t now_ns);

/*
 * Do not deliver from LANE_DATA, but for the rest of the frame that is being
 * delivered, until link_resume(): the peer's window fills
 * and its link_send() says ERR_FULL.
 */
void link_pause(struct link *link);
FALLIBLE link_resume(struct link *link, uint64_t now_ns);

/* A connection is up and the peer was heard on it. */
bool link_is_proven(const struct link *link);

/* When the peer was last heard; 0: never. */
uint64_t link_heard_ns(const struct link *link);

/* Memory that this link holds for messages. */
size_t link_held_bytes(const struct link *link);

const struct link_stats *link_stats(const struct link *link);

/*
 * Seal a small secret for the peer once more, with a key of the session that
 * seals nothing else: so no buffer on its way, here or there, holds it in the
 * clear, and whoever passes it on in a message need not wipe it. Writes
 * secret.length + LINK_WRAP_BYTES. ERR_UNREACHABLE: no session yet
 */
#define LINK_SECRET_BYTES_MAX 64
#define LINK_WRAP_BYTES (8 + SEAL_TAG_BYTES) /* what wrapping adds */
FALLIBLE link_wrap(struct link *link, struct bytes secret, struct writer *out);

/* Open what the peer has wrapped in this session. ERR_FORGED: it has not, or
 * it is not `out_bytes` long */
FALLIBLE link_unwrap(const struct link *link,
                     struct bytes wrapped,
                     uint8_t *out,
                     size_t out_bytes);

/*
 * Whether `frame` opens with the session's receiving keys, as its first
 * frame: proof that the peer has them. Copies at most SIGNAL_BYTES_MAX.
 */
bool link_session_opens(const struct link_session *session, struct bytes frame);

#endif
