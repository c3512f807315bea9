/*
 * Any bytes as a trust file, as they are and with a good signature behind
 * them, so that the signature does not keep the rest from being tried: what is
 * accepted and signed again gives the same text.
 */

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "config/lines.h"
#include "config/trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define SIGNATURE_LINE_BYTES_MAX 256

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

/* The authority that the corpus names. */
static void make_authority(uint8_t key[static 32], uint8_t secret[static 64])
{
    const uint8_t seed[32] = {0};
    (void)crypto_sign_seed_keypair(key, secret, seed);
}

static void write_signature(struct writer *out,
                            struct bytes body,
                            const uint8_t secret[static 64])
{
    static const char domain[] = "troupe trust v1";
    uint8_t signature[crypto_sign_BYTES];
    char key_hex[65];
    char hex[2 * crypto_sign_BYTES + 1];
    crypto_sign_state state;
    (void)crypto_sign_init(&state);
    (void)crypto_sign_update(&state, (const uint8_t *)domain, sizeof domain);
    (void)crypto_sign_update(&state, body.data, body.length);
    (void)crypto_sign_final_create(&state, signature, NULL, secret);
    hex_encode(key_hex, bytes_of(secret + 32, 32));
    hex_encode(hex, bytes_of(signature, sizeof signature));
    lines_write(out, "signature %s %s\n", key_hex, hex);
}

static void check(struct bytes text, const uint8_t secret[static 64])
{
    struct trust *trust = NULL;
    if (trust_decode(&trust, text, NULL)) {
        MUST(trust == NULL);
        return;
    }
    char *again = NULL;
    const uint8_t *signers[] = {secret};
    struct trust_facts facts = trust_facts(trust);
    MUST(trust_encode(&again, &facts, signers, 1) == ERR_NONE);
    MUST(bytes_are_equal(bytes_of_text(again), text));
    free(again);
    trust_unref(&trust);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    uint8_t key[32];
    uint8_t secret[64];
    struct trust *trust = NULL;
    make_authority(key, secret);
    if (trust_decode(&trust, bytes_of(data, length), NULL) == ERR_NONE) {
        trust_unref(&trust);
    }
    size_t capacity = length + SIGNATURE_LINE_BYTES_MAX;
    uint8_t *text = malloc(capacity);
    if (!text) {
        return 0;
    }
    struct writer writer = writer_of(text, capacity);
    write_bytes(&writer, data, length);
    write_signature(&writer, bytes_of(data, length), secret);
    MUST(!writer.failed);
    check(writer_bytes(&writer), secret);
    free(text);
    return 0;
}
