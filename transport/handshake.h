/*
 * How two processes agree on a session at the door: the messages of both
 * sides, around Noise XX with certificates as payloads.
 *
 * Pure functions on what the caller holds. The door keeps nothing between a
 * peer's two requests: what it must remember goes out to the peer under seal
 * (a cookie) and comes back. So a flood of half-open handshakes costs time,
 * but no memory.
 *
 *     peer                              door
 *     HELLO   noise 1              ->
 *                                  <-   COOKIE  cookie, noise 2
 *     PROOF   cookie, noise 3      ->
 *                                  <-   ACCEPT  session, address of the pair
 *     or, to any request,          <-   REFUSE  why
 *
 * Each begins with 'T', the protocol version (u8) and its kind (u8). The
 * peer asks with its newest version; a door that does not know it refuses
 * with the range that it knows, and the peer asks again with the newest that
 * both have. Both ranges stand in the authenticated payloads, so nobody in
 * between can talk them into an older one.
 */

#ifndef TRANSPORT_HANDSHAKE_H
#define TRANSPORT_HANDSHAKE_H

#include "base/bytes.h"
#include "base/env.h"
#include "base/err.h"
#include "base/network.h"
#include "config/certificate.h"
#include "config/identity.h"
#include "config/trust.h"
#include "transport/link.h"
#include "transport/noise.h"

#include <stdint.h>

#define PROTOCOL_VERSION_MIN 1
#define PROTOCOL_VERSION_MAX 1
#define HANDSHAKE_BYTES_MAX 2048 /* any message */
#define HANDSHAKE_COOKIE_BYTES (24 + 8 + NOISE_FROZEN_BYTES + NOISE_TAG_BYTES)
#define DOOR_KEY_BYTES 32

struct version_range {
    uint8_t min;
    uint8_t max;
};

/* Who we are. Borrowed by every call. */
struct handshake_self {
    const struct identity *identity;
    struct trust *trust;
    const struct entropy *entropy;
    const struct clock *clock;
    uint64_t clock_skew_ms_max;
    uint64_t incarnation; /* of this process: random, not 0 */
    int64_t started_ms;   /* of this process: Unix time */
    struct version_range versions;
};

/* A copy that holds references of its own; and giving them back. Any thread. */
struct handshake_self handshake_self_share(const struct handshake_self *self);
void handshake_self_drop(struct handshake_self *self);

/* Who the other side is: proven when a function has set it. */
struct handshake_remote {
    struct certificate certificate;
    uint8_t encoded[CERTIFICATE_BYTES_MAX]; /* the same, to check it again */
    uint16_t encoded_length;
    uint64_t incarnation;
    int64_t started_ms; /* by its own clock */
    struct version_range versions;
};

/* ---- the peer that knocks ---- */

/* All zero: not begun. Holds secrets. */
struct knock {
    struct noise noise;
    uint8_t version;
    bool is_refused;                /* by the door, and not by us */
    struct handshake_remote remote; /* after knock_prove() */
};

/* Begin with `version`; writes HELLO. `out` must take HANDSHAKE_BYTES_MAX. */
void knock_begin(struct knock *knock,
                 const struct handshake_self *self,
                 uint8_t version,
                 struct writer *out);

/* Wipe. */
void knock_clear(struct knock *knock);

/* Whom we mean to reach, and the session that we would like to go on with. */
struct knock_wish {
    const char *name; /* NULL: anyone with ROLE_NODE */
    uint64_t resume;  /* a session's id; 0: none */
};

/*
 * Read COOKIE, check who answered, write PROOF. `resume` of the wish counts
 * only when the door's incarnation is `resume_incarnation`.
 *
 * ERR_MALFORMED, ERR_FORGED      not an answer to this HELLO
 * ERR_VERSION                    refused; `knock->remote.versions` says what
 *                                the door knows
 * ERR_WRONG_NAME, ERR_DENIED     another peer, or not a node, stands there
 * what trust_check() says        of the door's certificate
 * what the door says             when it refuses
 */
FALLIBLE knock_prove(struct knock *knock,
                     const struct handshake_self *self,
                     const struct knock_wish *wish,
                     struct bytes answer,
                     struct writer *out,
                     struct err_detail *why);

/* After ERR_VERSION: the newest that both know, for another knock; 0: there is
 * none, or it was this one. */
uint8_t knock_lower_version(const struct knock *knock,
                            const struct handshake_self *self);

/* What the door has granted. */
struct knock_grant {
    struct link_session session; /* keys and all; secret */
    bool is_resumed;            /* go on with the session that was wished for */
    char url[SOCKET_URL_BYTES]; /* of the pair listener */
};

/*
 * Read ACCEPT. The knock is done with: clear it.
 *
 * ERR_MALFORMED, ERR_FORGED, or what the door says when it refuses
 */
FALLIBLE knock_finish(struct knock *knock,
                      struct bytes answer,
                      struct knock_grant *out);

/* ---- the door ---- */

enum handshake_kind {
    HANDSHAKE_HELLO = 1,
    HANDSHAKE_COOKIE,
    HANDSHAKE_PROOF,
    HANDSHAKE_ACCEPT,
    HANDSHAKE_REFUSE,
};

/*
 * What a request is: HELLO or PROOF.
 *
 * ERR_MALFORMED   neither
 * ERR_VERSION     of a version that we do not know
 */
FALLIBLE handshake_kind_of(enum handshake_kind *out,
                           const struct handshake_self *self,
                           struct bytes request);

/*
 * Answer HELLO with COOKIE, sealed with the door's own random key and good
 * until `expires_ns`.
 *
 * ERR_MALFORMED, ERR_FORGED
 */
FALLIBLE handshake_answer(const struct handshake_self *self,
                          const uint8_t door_key[static DOOR_KEY_BYTES],
                          uint64_t expires_ns,
                          struct bytes request,
                          struct writer *out);

/* A peer that has proven who it is, and what it asks for. Secret. */
struct handshake_visitor {
    struct handshake_remote remote;
    uint8_t version;
    uint64_t cookie_id; /* the same cookie again is a replay */
    uint64_t cookie_expires_ns;
    uint64_t resume; /* the session it wants to go on with; 0: none */
    struct noise_keys keys;
};

/*
 * Read PROOF. Its cookie must not have been used before: the caller looks at
 * `cookie_id`.
 *
 * ERR_MALFORMED, ERR_FORGED   not a PROOF that answers a COOKIE of ours
 * ERR_TIMEOUT                 the cookie is older than it may be
 * what trust_check() says     of the peer's certificate
 */
FALLIBLE handshake_admit(const struct handshake_self *self,
                         const uint8_t door_key[static DOOR_KEY_BYTES],
                         uint64_t now_ns,
                         struct bytes request,
                         struct handshake_visitor *out,
                         struct err_detail *why);

/* The session that the door's side begins. `id` is random and not 0. */
void handshake_session(const struct handshake_visitor *visitor,
                       uint64_t id,
                       struct link_session *out);

struct handshake_grant {
    uint64_t session;
    bool is_resumed;
    const char *url;
};

/* Write ACCEPT. */
void handshake_accept(const struct handshake_visitor *visitor,
                      const struct handshake_grant *grant,
                      struct writer *out);

/* Write REFUSE. It is not authenticated: a hint for people. */
void handshake_refuse(const struct handshake_self *self,
                      enum err why,
                      struct writer *out);

#endif
