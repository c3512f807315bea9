/*
 * A certificate with the secret key that belongs to it.
 *
 * Immutable and counted. The secret sits in guarded memory (sodium_malloc)
 * and is wiped with the last holder.
 */

#ifndef CONFIG_IDENTITY_H
#define CONFIG_IDENTITY_H

#include "base/env.h"
#include "base/err.h"
#include "config/certificate.h"

#include <stdint.h>

/* Longest certificate or key file; a key file holds up to four keys. */
#define IDENTITY_FILE_BYTES_MAX 8192
#define IDENTITY_KEY_COUNT_MAX 4

struct identity_holders;

struct identity {
    struct certificate certificate; /* decoded */
    uint8_t encoded[CERTIFICATE_BYTES_MAX];
    size_t encoded_length;
    const uint8_t *secret; /* X25519, 32 bytes, guarded */
    struct identity_holders *holders;
};

/*
 * Make libsodium ready. Every program calls it before anything else of this
 * layer; again does no harm. ERR_LIMIT: there is no source of randomness
 */
FALLIBLE identity_library_init(void);

/*
 * Read NAME.cert and NAME.key from `folder`. A key file may hold more keys
 * than one; the one that belongs to the certificate is taken.
 *
 * ERR_NOT_FOUND, ERR_IO   a file
 * ERR_EXPOSED             others may read the key
 * ERR_MALFORMED           a file's form
 * ERR_INVALID             the key does not belong to the certificate, or the
 *                         certificate is for another name
 * ERR_LIMIT               memory cannot be locked (RLIMIT_MEMLOCK)
 */
FALLIBLE identity_open(const struct identity **out,
                       const struct files *files,
                       const char *folder,
                       const char *name,
                       struct err_detail *why);

/*
 * From a secret key in memory (copied) and an encoded certificate: for tests
 * and programs that keep their own keys. ERR_MALFORMED, ERR_INVALID,
 * ERR_LIMIT, ERR_MEMORY
 */
FALLIBLE identity_make(const struct identity **out,
                       const uint8_t secret[static CERTIFICATE_KEY_BYTES],
                       struct bytes encoded);

/*
 * Read a certificate file into `out` (encoded). The form of what is in it is
 * certificate_decode()'s matter. ERR_NOT_FOUND, ERR_IO, ERR_MALFORMED
 */
FALLIBLE identity_read_certificate(uint8_t out[static CERTIFICATE_BYTES_MAX],
                                   size_t *out_length,
                                   const struct files *files,
                                   const char *path,
                                   struct err_detail *why);

/* Write the text of a certificate file. `out->failed` when it does not fit. */
void identity_write_certificate(struct writer *out, struct bytes encoded);

/* Add one key to the text of a key file; the caller wipes it. */
void identity_write_key(struct writer *out,
                        const uint8_t secret[static CERTIFICATE_KEY_BYTES]);

/* Any thread. */
const struct identity *identity_ref(const struct identity *identity);
void identity_unref(const struct identity **identity);

#endif
