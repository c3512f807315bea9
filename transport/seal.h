/*
 * Keys of a link's lanes, and sealing with them.
 *
 * Each lane has a key of its own in each direction, so that its sequence can
 * be the nonce. A key is renewed one way: who learns today's key cannot open
 * what was sealed with yesterday's.
 *
 * Sealing: ChaCha20-Poly1305 (RFC 8439) from libsodium. Renewal: REKEY of the
 * Noise specification, section 4.2.
 */

#ifndef TRANSPORT_SEAL_H
#define TRANSPORT_SEAL_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdint.h>

#define SEAL_KEY_BYTES 32
#define SEAL_TAG_BYTES 16

struct seal_key {
    uint8_t bytes[SEAL_KEY_BYTES];
};

/* The key for one purpose: BLAKE2b keyed with `root` over the label. */
void seal_key_derive(struct seal_key *out,
                     const uint8_t root[static SEAL_KEY_BYTES],
                     struct bytes label);

/* The key after `key`; `out` may be `key` itself. */
void seal_key_renew(struct seal_key *out, const struct seal_key *key);

/* What is sealed, with what goes along in the clear. */
struct seal_box {
    const struct seal_key *key;
    uint64_t nonce;      /* never twice under one key */
    struct bytes header; /* authenticated, not hidden */
};

/* Write plain.length + SEAL_TAG_BYTES to `out`, which must not overlap. */
void seal_close(uint8_t *out, const struct seal_box *box, struct bytes plain);

/*
 * Open in place: `sealed` of `length` bytes becomes the plain text, shorter
 * by SEAL_TAG_BYTES. After ERR_FORGED its content is lost.
 *
 * ERR_FORGED   made with another key, nonce or header, or altered
 */
FALLIBLE
seal_open(uint8_t *sealed, size_t length, const struct seal_box *box);

#endif
