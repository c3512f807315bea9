#include "transport/seal.h"

#include <assert.h>
#include <sodium.h>

#define NONCE_BYTES 12

static_assert(crypto_aead_chacha20poly1305_ietf_KEYBYTES == SEAL_KEY_BYTES,
              "key size");
static_assert(crypto_aead_chacha20poly1305_ietf_ABYTES == SEAL_TAG_BYTES,
              "tag size");
static_assert(crypto_aead_chacha20poly1305_ietf_NPUBBYTES == NONCE_BYTES,
              "nonce size");

void seal_key_derive(struct seal_key *out,
                     const uint8_t root[static SEAL_KEY_BYTES],
                     struct bytes label)
{
    crypto_generichash(out->bytes, SEAL_KEY_BYTES, label.data, label.length,
                       root, SEAL_KEY_BYTES);
}

static void nonce_encode(uint8_t out[static NONCE_BYTES], uint64_t nonce)
{
    memset(out, 0, 4);
    put_u64(out + 4, nonce);
}

void seal_key_renew(struct seal_key *out, const struct seal_key *key)
{
    static const uint8_t zeros[SEAL_KEY_BYTES];
    uint8_t sealed[SEAL_KEY_BYTES + SEAL_TAG_BYTES];
    uint8_t nonce[NONCE_BYTES];
    nonce_encode(nonce, UINT64_MAX);
    crypto_aead_chacha20poly1305_ietf_encrypt(sealed, NULL, zeros, sizeof zeros,
                                              NULL, 0, NULL, nonce, key->bytes);
    memcpy(out->bytes, sealed, SEAL_KEY_BYTES);
    sodium_memzero(sealed, sizeof sealed);
}

void seal_close(uint8_t *out, const struct seal_box *box, struct bytes plain)
{
    assert(box->nonce != UINT64_MAX); /* that one renews keys */
    uint8_t nonce[NONCE_BYTES];
    nonce_encode(nonce, box->nonce);
    crypto_aead_chacha20poly1305_ietf_encrypt(
        out, NULL, plain.data, plain.length, box->header.data,
        box->header.length, NULL, nonce, box->key->bytes);
}

enum err seal_open(uint8_t *sealed, size_t length, const struct seal_box *box)
{
    uint8_t nonce[NONCE_BYTES];
    nonce_encode(nonce, box->nonce);
    int refused = crypto_aead_chacha20poly1305_ietf_decrypt(
        sealed, NULL, NULL, sealed, length, box->header.data,
        box->header.length, nonce, box->key->bytes);
    return refused ? ERR_FORGED : ERR_NONE;
}
