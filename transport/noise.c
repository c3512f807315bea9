#include "transport/noise.h"

#include <assert.h>
#include <sodium.h>

#define BLOCK_BYTES 128 /* of BLAKE2b, for HMAC */

static const char protocol_name[] = "Noise_XX_25519_ChaChaPoly_BLAKE2b";

static_assert(crypto_aead_chacha20poly1305_ietf_KEYBYTES == NOISE_KEY_BYTES,
              "key size");
static_assert(crypto_aead_chacha20poly1305_ietf_ABYTES == NOISE_TAG_BYTES,
              "tag size");

struct parts {
    struct bytes first;
    struct bytes second;
};

static void hash_parts(uint8_t out[static NOISE_HASH_BYTES], struct parts parts)
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, NOISE_HASH_BYTES);
    crypto_generichash_update(&state, parts.first.data, parts.first.length);
    crypto_generichash_update(&state, parts.second.data, parts.second.length);
    crypto_generichash_final(&state, out, NOISE_HASH_BYTES);
    sodium_memzero(&state, sizeof state);
}

/* RFC 2104 over BLAKE2b; a Noise key is never longer than a block. */
static void hmac(uint8_t out[static NOISE_HASH_BYTES],
                 const uint8_t key[static NOISE_HASH_BYTES],
                 struct bytes data)
{
    uint8_t inner_pad[BLOCK_BYTES];
    uint8_t outer_pad[BLOCK_BYTES];
    for (size_t i = 0; i < BLOCK_BYTES; i++) {
        uint8_t byte = i < NOISE_HASH_BYTES ? key[i] : 0;
        inner_pad[i] = byte ^ 0x36;
        outer_pad[i] = byte ^ 0x5c;
    }
    uint8_t inner[NOISE_HASH_BYTES];
    hash_parts(inner, (struct parts){bytes_of(inner_pad, BLOCK_BYTES), data});
    hash_parts(out, (struct parts){bytes_of(outer_pad, BLOCK_BYTES),
                                   bytes_of(inner, NOISE_HASH_BYTES)});
    sodium_memzero(inner_pad, sizeof inner_pad);
    sodium_memzero(outer_pad, sizeof outer_pad);
    sodium_memzero(inner, sizeof inner);
}

/* Noise's HKDF with two outputs. */
static void derive(uint8_t first[static NOISE_HASH_BYTES],
                   uint8_t second[static NOISE_HASH_BYTES],
                   const uint8_t chaining_key[static NOISE_HASH_BYTES],
                   struct bytes input)
{
    uint8_t temporary[NOISE_HASH_BYTES];
    uint8_t numbered[NOISE_HASH_BYTES + 1];
    hmac(temporary, chaining_key, input);
    hmac(first, temporary, bytes_of("\x01", 1));
    memcpy(numbered, first, NOISE_HASH_BYTES);
    numbered[NOISE_HASH_BYTES] = 2;
    hmac(second, temporary, bytes_of(numbered, sizeof numbered));
    sodium_memzero(temporary, sizeof temporary);
    sodium_memzero(numbered, sizeof numbered);
}

static void mix_hash(struct noise *noise, struct bytes data)
{
    hash_parts(noise->hash,
               (struct parts){bytes_of(noise->hash, NOISE_HASH_BYTES), data});
}

static void mix_key(struct noise *noise, struct bytes input)
{
    uint8_t chaining_key[NOISE_HASH_BYTES];
    uint8_t key[NOISE_HASH_BYTES];
    derive(chaining_key, key, noise->chaining_key, input);
    memcpy(noise->chaining_key, chaining_key, NOISE_HASH_BYTES);
    memcpy(noise->key, key, NOISE_KEY_BYTES);
    noise->has_key = true;
    noise->nonce = 0;
    sodium_memzero(chaining_key, sizeof chaining_key);
    sodium_memzero(key, sizeof key);
}

static enum err mix_agreement(struct noise *noise,
                              const uint8_t *secret,
                              const uint8_t *public)
{
    uint8_t shared[NOISE_KEY_BYTES];
    bool is_agreed = crypto_scalarmult(shared, secret, public) == 0;
    if (is_agreed) {
        mix_key(noise, bytes_of(shared, sizeof shared));
    }
    sodium_memzero(shared, sizeof shared);
    return is_agreed ? ERR_NONE : ERR_FORGED;
}

static void nonce_bytes(uint8_t out[static 12], uint64_t nonce)
{
    memset(out, 0, 4);
    put_u64(out + 4, nonce);
}

static enum err encrypt_and_hash(struct noise *noise,
                                 struct bytes plain,
                                 struct writer *out)
{
    size_t length = plain.length + (noise->has_key ? NOISE_TAG_BYTES : 0);
    if (out->failed || (size_t)(out->end - out->next) < length) {
        return ERR_FULL;
    }
    uint8_t *sealed = out->next;
    if (noise->has_key) {
        uint8_t nonce[12];
        nonce_bytes(nonce, noise->nonce++);
        crypto_aead_chacha20poly1305_ietf_encrypt(
            sealed, NULL, plain.data, plain.length, noise->hash,
            NOISE_HASH_BYTES, NULL, nonce, noise->key);
    } else if (plain.length > 0) {
        memcpy(sealed, plain.data, plain.length);
    }
    out->next += length;
    mix_hash(noise, bytes_of(sealed, length));
    return ERR_NONE;
}

static enum err decrypt_and_hash(struct noise *noise,
                                 struct bytes sealed,
                                 struct writer *out)
{
    size_t tag_length = noise->has_key ? NOISE_TAG_BYTES : 0;
    if (!sealed.data || sealed.length < tag_length) {
        return ERR_MALFORMED;
    }
    size_t length = sealed.length - tag_length;
    if (out->failed || (size_t)(out->end - out->next) < length) {
        return ERR_MALFORMED;
    }
    if (noise->has_key) {
        uint8_t nonce[12];
        nonce_bytes(nonce, noise->nonce++);
        if (crypto_aead_chacha20poly1305_ietf_decrypt(
                out->next, NULL, NULL, sealed.data, sealed.length, noise->hash,
                NOISE_HASH_BYTES, nonce, noise->key) != 0) {
            return ERR_FORGED;
        }
    } else if (length > 0) {
        memcpy(out->next, sealed.data, length);
    }
    out->next += length;
    mix_hash(noise, sealed);
    return ERR_NONE;
}

void noise_init(struct noise *noise,
                enum noise_side side,
                struct bytes prologue,
                const uint8_t secret[static NOISE_KEY_BYTES],
                const struct entropy *entropy)
{
    *noise = (struct noise){.side = side, .entropy = entropy};
    memcpy(noise->static_secret, secret, NOISE_KEY_BYTES);
    crypto_scalarmult_base(noise->static_public, secret);
    memcpy(noise->hash, protocol_name, strlen(protocol_name));
    memcpy(noise->chaining_key, noise->hash, NOISE_HASH_BYTES);
    mix_hash(noise, prologue);
}

void noise_clear(struct noise *noise)
{
    sodium_memzero(noise, sizeof *noise);
}

static enum err write_ephemeral(struct noise *noise, struct writer *out)
{
    entropy_fill(noise->entropy, noise->ephemeral_secret, NOISE_KEY_BYTES);
    crypto_scalarmult_base(noise->ephemeral_public, noise->ephemeral_secret);
    write_bytes(out, noise->ephemeral_public, NOISE_KEY_BYTES);
    mix_hash(noise, bytes_of(noise->ephemeral_public, NOISE_KEY_BYTES));
    return out->failed ? ERR_FULL : ERR_NONE;
}

static enum err read_ephemeral(struct noise *noise, struct reader *in)
{
    read_into(in, noise->remote_ephemeral, NOISE_KEY_BYTES);
    mix_hash(noise, bytes_of(noise->remote_ephemeral, NOISE_KEY_BYTES));
    return in->failed ? ERR_MALFORMED : ERR_NONE;
}

static enum err write_static(struct noise *noise, struct writer *out)
{
    return encrypt_and_hash(
        noise, bytes_of(noise->static_public, NOISE_KEY_BYTES), out);
}

static enum err read_static(struct noise *noise, struct reader *in)
{
    struct writer out = writer_of(noise->remote_static, NOISE_KEY_BYTES);
    return decrypt_and_hash(
        noise, read_bytes(in, NOISE_KEY_BYTES + NOISE_TAG_BYTES), &out);
}

/* The second message's agreements, ee and es, stand around its static key. */
static enum err mix_ee(struct noise *noise)
{
    return mix_agreement(noise, noise->ephemeral_secret,
                         noise->remote_ephemeral);
}

static enum err mix_es(struct noise *noise)
{
    return noise->side == NOISE_INITIATOR
               ? mix_agreement(noise, noise->ephemeral_secret,
                               noise->remote_static)
               : mix_agreement(noise, noise->static_secret,
                               noise->remote_ephemeral);
}

static enum err mix_se(struct noise *noise)
{
    return noise->side == NOISE_INITIATOR
               ? mix_agreement(noise, noise->static_secret,
                               noise->remote_ephemeral)
               : mix_agreement(noise, noise->ephemeral_secret,
                               noise->remote_static);
}

static enum err write_second(struct noise *noise, struct writer *out)
{
    enum err err = write_ephemeral(noise, out);
    if (!err) {
        err = mix_ee(noise);
    }
    if (!err) {
        err = write_static(noise, out);
    }
    return err ? err : mix_es(noise);
}

static enum err read_second(struct noise *noise, struct reader *in)
{
    enum err err = read_ephemeral(noise, in);
    if (!err) {
        err = mix_ee(noise);
    }
    if (!err) {
        err = read_static(noise, in);
    }
    return err ? err : mix_es(noise);
}

static enum err write_third(struct noise *noise, struct writer *out)
{
    enum err err = write_static(noise, out);
    return err ? err : mix_se(noise);
}

static enum err read_third(struct noise *noise, struct reader *in)
{
    enum err err = read_static(noise, in);
    return err ? err : mix_se(noise);
}

/* XX: -> e   <- e, ee, s, es   -> s, se */
static enum err (*const writers[])(struct noise *, struct writer *) = {
    write_ephemeral, write_second, write_third};
static enum err (*const readers[])(struct noise *, struct reader *) = {
    read_ephemeral, read_second, read_third};

static bool is_our_turn(const struct noise *noise)
{
    return (noise->message_count % 2 == 0) == (noise->side == NOISE_INITIATOR);
}

enum err noise_write(struct noise *noise,
                     struct bytes payload,
                     struct writer *out)
{
    assert(noise->message_count < 3);
    assert(is_our_turn(noise));
    enum err err = writers[noise->message_count](noise, out);
    if (!err) {
        err = encrypt_and_hash(noise, payload, out);
    }
    noise->message_count++;
    return err;
}

enum err noise_read(struct noise *noise,
                    struct bytes message,
                    struct writer *payload)
{
    assert(noise->message_count < 3);
    assert(!is_our_turn(noise));
    struct reader in = reader_of(message);
    enum err err = readers[noise->message_count](noise, &in);
    if (!err) {
        err =
            decrypt_and_hash(noise, read_bytes(&in, reader_left(&in)), payload);
    }
    noise->message_count++;
    return err;
}

void noise_split(struct noise *noise, struct noise_keys *out)
{
    assert(noise->message_count == 3);
    uint8_t first[NOISE_HASH_BYTES];
    uint8_t second[NOISE_HASH_BYTES];
    derive(first, second, noise->chaining_key, (struct bytes){0});
    memcpy(out->to_responder, first, NOISE_KEY_BYTES);
    memcpy(out->to_initiator, second, NOISE_KEY_BYTES);
    memcpy(out->hash, noise->hash, NOISE_HASH_BYTES);
    sodium_memzero(first, sizeof first);
    sodium_memzero(second, sizeof second);
    noise_clear(noise);
}

void noise_freeze(const struct noise *noise,
                  uint8_t out[static NOISE_FROZEN_BYTES])
{
    assert(noise->side == NOISE_RESPONDER);
    assert(noise->message_count == 2);
    assert(noise->nonce == 1); /* the second payload was the key's first use */
    struct writer writer = writer_of(out, NOISE_FROZEN_BYTES);
    write_bytes(&writer, noise->chaining_key, NOISE_HASH_BYTES);
    write_bytes(&writer, noise->hash, NOISE_HASH_BYTES);
    write_bytes(&writer, noise->key, NOISE_KEY_BYTES);
    write_bytes(&writer, noise->ephemeral_secret, NOISE_KEY_BYTES);
    write_bytes(&writer, noise->remote_ephemeral, NOISE_KEY_BYTES);
    assert(!writer.failed);
}

void noise_thaw(struct noise *noise,
                const uint8_t frozen[static NOISE_FROZEN_BYTES],
                const uint8_t secret[static NOISE_KEY_BYTES],
                const struct entropy *entropy)
{
    *noise = (struct noise){.side = NOISE_RESPONDER,
                            .message_count = 2,
                            .entropy = entropy,
                            .has_key = true,
                            .nonce = 1};
    memcpy(noise->static_secret, secret, NOISE_KEY_BYTES);
    struct reader reader = reader_of(bytes_of(frozen, NOISE_FROZEN_BYTES));
    read_into(&reader, noise->chaining_key, NOISE_HASH_BYTES);
    read_into(&reader, noise->hash, NOISE_HASH_BYTES);
    read_into(&reader, noise->key, NOISE_KEY_BYTES);
    read_into(&reader, noise->ephemeral_secret, NOISE_KEY_BYTES);
    read_into(&reader, noise->remote_ephemeral, NOISE_KEY_BYTES);
}
