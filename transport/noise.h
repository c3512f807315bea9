/*
 * The Noise handshake XX with 25519, ChaChaPoly and BLAKE2b.
 *
 * A pure state machine: three messages, then two keys. Randomness comes in
 * through the table that noise_init() is given.
 *
 * Source: "The Noise Protocol Framework", revision 34, noiseprotocol.org.
 */

#ifndef TRANSPORT_NOISE_H
#define TRANSPORT_NOISE_H

#include "base/bytes.h"
#include "base/env.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define NOISE_KEY_BYTES 32
#define NOISE_HASH_BYTES 64
#define NOISE_TAG_BYTES 16
#define NOISE_FROZEN_BYTES \
    (2 * NOISE_HASH_BYTES + 3 * NOISE_KEY_BYTES) /* noise_freeze() */

enum noise_side { NOISE_INITIATOR, NOISE_RESPONDER };

/* Holds secrets: clear it, and keep it off anything that is written out. */
struct noise {
    enum noise_side side;
    uint32_t message_count; /* written and read so far */
    const struct entropy *entropy;

    uint8_t static_secret[NOISE_KEY_BYTES];
    uint8_t static_public[NOISE_KEY_BYTES];
    uint8_t ephemeral_secret[NOISE_KEY_BYTES];
    uint8_t ephemeral_public[NOISE_KEY_BYTES];
    uint8_t remote_static[NOISE_KEY_BYTES];
    uint8_t remote_ephemeral[NOISE_KEY_BYTES];

    uint8_t chaining_key[NOISE_HASH_BYTES];
    uint8_t hash[NOISE_HASH_BYTES];
    uint8_t key[NOISE_KEY_BYTES];
    bool has_key;
    uint64_t nonce;
};

/* What both sides have after the third message. */
struct noise_keys {
    uint8_t to_responder[NOISE_KEY_BYTES];
    uint8_t to_initiator[NOISE_KEY_BYTES];
    uint8_t hash[NOISE_HASH_BYTES]; /* the same on both sides; public */
};

/* `secret` is our X25519 secret key. */
void noise_init(struct noise *noise,
                enum noise_side side,
                struct bytes prologue,
                const uint8_t secret[static NOISE_KEY_BYTES],
                const struct entropy *entropy);

/* Wipe. */
void noise_clear(struct noise *noise);

/*
 * Write the next message, with `payload` in it, to `out`.
 *
 * ERR_FULL     `out` is too small
 * ERR_FORGED   the other side's key is one that gives no secret
 */
FALLIBLE
noise_write(struct noise *noise, struct bytes payload, struct writer *out);

/*
 * Read the other side's next message and write its payload to `payload`.
 * After a failure the handshake is over: clear it.
 *
 * ERR_MALFORMED   too short, or the payload does not fit
 * ERR_FORGED      it was not made for this handshake
 */
FALLIBLE
noise_read(struct noise *noise, struct bytes message, struct writer *payload);

/* After the third message. Wipes what led to the keys. */
void noise_split(struct noise *noise, struct noise_keys *out);

/*
 * The responder's state between the second and third message, so that it can
 * be put away under seal and need not be kept in memory; and back again.
 */
void noise_freeze(const struct noise *noise,
                  uint8_t out[static NOISE_FROZEN_BYTES]);
void noise_thaw(struct noise *noise,
                const uint8_t frozen[static NOISE_FROZEN_BYTES],
                const uint8_t secret[static NOISE_KEY_BYTES],
                const struct entropy *entropy);

#endif
