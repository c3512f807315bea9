/*
 * Any bytes as a certificate, and as a certificate or key file: what is
 * accepted is within its bounds and has this one encoding.
 */

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "config/armor.h"
#include "config/certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

static void try_certificate(struct bytes encoded)
{
    struct certificate certificate;
    if (certificate_decode(&certificate, encoded)) {
        return;
    }
    uint8_t key[32];
    uint8_t secret[64];
    uint8_t again[CERTIFICATE_BYTES_MAX];
    const uint8_t seed[32] = {0};
    size_t again_length = 0;
    MUST(certificate_validate(&certificate, NULL) == ERR_NONE);
    (void)crypto_sign_seed_keypair(key, secret, seed);
    certificate_issue(again, &again_length, &certificate, secret);
    MUST(again_length == encoded.length);
    MUST(memcmp(again, encoded.data, encoded.length - 64) == 0);
    MUST(certificate_is_signed_by(bytes_of(again, again_length), key));
}

static void try_armor(struct bytes text, const char *label)
{
    uint8_t content[ARMOR_CONTENT_BYTES_MAX];
    uint8_t written[ARMOR_TEXT_BYTES_MAX];
    uint8_t again[ARMOR_CONTENT_BYTES_MAX];
    struct armor armor = armor_of(text);
    while (!armor_is_at_end(&armor)) {
        struct writer writer = writer_of(content, sizeof content);
        if (armor_read(&armor, label, &writer, NULL)) {
            return;
        }
        struct bytes read = writer_bytes(&writer);
        struct writer text_writer = writer_of(written, sizeof written);
        armor_write(&text_writer, label, read);
        MUST(!text_writer.failed);
        struct armor back = armor_of(writer_bytes(&text_writer));
        struct writer back_writer = writer_of(again, sizeof again);
        MUST(armor_read(&back, label, &back_writer, NULL) == ERR_NONE);
        MUST(bytes_are_equal(read, writer_bytes(&back_writer)));
        try_certificate(read);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct bytes input = bytes_of(data, length);
    try_certificate(input);
    try_armor(input, ARMOR_CERTIFICATE);
    try_armor(input, ARMOR_SECRET_KEY);
    return 0;
}
