#include "config/identity.h"

#include "base/scope.h"
#include "config/armor.h"
#include "config/content.h"
#include "config/path.h"
#include "config/secret.h"

#include <assert.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define KEY_VERSION 1
#define KEY_BLOCK_BYTES (1 + CERTIFICATE_KEY_BYTES) /* version, secret */

static_assert(crypto_scalarmult_SCALARBYTES == CERTIFICATE_KEY_BYTES &&
                  crypto_scalarmult_BYTES == CERTIFICATE_KEY_BYTES,
              "as certificate.h says");

/* What all holders of an identity share, and the identity itself. */
struct identity_holders {
    _Atomic uint32_t count;
    uint8_t *secret; /* CERTIFICATE_KEY_BYTES, guarded */
    struct identity identity;
};

enum err identity_library_init(void)
{
    return sodium_init() < 0 ? ERR_LIMIT : ERR_NONE;
}

static void holders_close(struct identity_holders **holders)
{
    if (*holders) {
        secret_close((*holders)->secret); /* wipes */
        free(*holders);
        *holders = NULL;
    }
}

static bool belongs_to(const uint8_t secret[static CERTIFICATE_KEY_BYTES],
                       const struct certificate *certificate)
{
    uint8_t key[CERTIFICATE_KEY_BYTES];
    (void)crypto_scalarmult_base(key, secret);
    return sodium_memcmp(key, certificate->key, sizeof key) == 0;
}

static enum err guard(uint8_t **out,
                      const uint8_t secret[static CERTIFICATE_KEY_BYTES])
{
    *out = secret_open(CERTIFICATE_KEY_BYTES);
    if (!*out) {
        return ERR_LIMIT;
    }
    memcpy(*out, secret, CERTIFICATE_KEY_BYTES);
    return sodium_mprotect_readonly(*out) == 0 ? ERR_NONE : ERR_LIMIT;
}

enum err identity_make(const struct identity **out,
                       const uint8_t secret[static CERTIFICATE_KEY_BYTES],
                       struct bytes encoded)
{
    scoped(holders_close) struct identity_holders *holders =
        calloc(1, sizeof *holders);
    if (!holders) {
        return ERR_MEMORY;
    }
    struct identity *identity = &holders->identity;
    enum err err = certificate_decode(&identity->certificate, encoded);
    if (err) {
        return err;
    }
    if (!belongs_to(secret, &identity->certificate)) {
        return ERR_INVALID;
    }
    err = guard(&holders->secret, secret);
    if (err) {
        return err;
    }
    memcpy(identity->encoded, encoded.data, encoded.length);
    identity->encoded_length = encoded.length;
    identity->secret = holders->secret;
    identity->holders = holders;
    atomic_init(&holders->count, 1);
    *out = identity;
    holders = NULL; /* the caller holds it now */
    return ERR_NONE;
}

enum err identity_read_certificate(uint8_t out[static CERTIFICATE_BYTES_MAX],
                                   size_t *out_length,
                                   const struct files *files,
                                   const char *path,
                                   struct err_detail *why)
{
    scoped(content_clear) struct content content = {0};
    enum err err = content_read(&content, files, path, FILE_PUBLIC,
                                IDENTITY_FILE_BYTES_MAX, why);
    if (err) {
        return err;
    }
    struct armor armor = armor_of(content_bytes(&content));
    struct writer writer = writer_of(out, CERTIFICATE_BYTES_MAX);
    struct err_detail where = {0};
    err = armor_read(&armor, ARMOR_CERTIFICATE, &writer, &where);
    if (!err && !armor_is_at_end(&armor)) {
        err_explain(&where, "line %u: nothing may follow", armor.line);
        err = ERR_MALFORMED;
    }
    if (err) {
        err_explain(why, "%s: not a certificate file: %s", path, where.text);
        return err;
    }
    *out_length = writer_bytes(&writer).length;
    return ERR_NONE;
}

void identity_write_certificate(struct writer *out, struct bytes encoded)
{
    armor_write(out, ARMOR_CERTIFICATE, encoded);
}

void identity_write_key(struct writer *out,
                        const uint8_t secret[static CERTIFICATE_KEY_BYTES])
{
    uint8_t block[KEY_BLOCK_BYTES] = {KEY_VERSION};
    memcpy(block + 1, secret, CERTIFICATE_KEY_BYTES);
    armor_write(out, ARMOR_SECRET_KEY, bytes_of(block, sizeof block));
    sodium_memzero(block, sizeof block);
}

/* The next key of a key file. */
static enum err read_key(uint8_t secret[static CERTIFICATE_KEY_BYTES],
                         struct armor *armor,
                         struct err_detail *why)
{
    uint8_t block[KEY_BLOCK_BYTES];
    struct writer writer = writer_of(block, sizeof block);
    enum err err = armor_read(armor, ARMOR_SECRET_KEY, &writer, why);
    if (!err && (writer_bytes(&writer).length != sizeof block ||
                 block[0] != KEY_VERSION)) {
        err_explain(why, "line %u: the key before it is of an unknown version",
                    armor->line);
        err = ERR_MALFORMED;
    }
    if (!err) {
        memcpy(secret, block + 1, CERTIFICATE_KEY_BYTES);
    }
    sodium_memzero(block, sizeof block);
    return err;
}

/*
 * Find the key that belongs to `certificate`. All of the file is read, so
 * that damage shows at once and not at the next renewal.
 */
static enum err find_key(uint8_t secret[static CERTIFICATE_KEY_BYTES],
                         struct bytes text,
                         const struct certificate *certificate,
                         struct err_detail *why)
{
    uint8_t each[CERTIFICATE_KEY_BYTES];
    struct armor armor = armor_of(text);
    enum err err = ERR_NONE;
    bool found = false;
    uint32_t count = 0;
    while (!err && (count == 0 || !armor_is_at_end(&armor))) {
        err = count == IDENTITY_KEY_COUNT_MAX ? ERR_MALFORMED
                                              : read_key(each, &armor, why);
        if (err && count == IDENTITY_KEY_COUNT_MAX) {
            err_explain(why, "line %u: at most 4 keys", armor.line);
        }
        if (!err && !found && belongs_to(each, certificate)) {
            memcpy(secret, each, sizeof each);
            found = true;
        }
        count++;
    }
    sodium_memzero(each, sizeof each);
    return err ? err : found ? ERR_NONE : ERR_INVALID;
}

static enum err make_from_key_file(const struct identity **out,
                                   const struct files *files,
                                   const char *path,
                                   struct bytes encoded,
                                   struct err_detail *why)
{
    struct certificate certificate;
    enum err err = certificate_decode(&certificate, encoded);
    if (err) {
        return err;
    }
    scoped(content_clear) struct content content = {0};
    err = content_read(&content, files, path, FILE_SECRET,
                       IDENTITY_FILE_BYTES_MAX, why);
    if (err) {
        return err;
    }
    uint8_t secret[CERTIFICATE_KEY_BYTES] = {0};
    struct err_detail where = {0};
    err = find_key(secret, content_bytes(&content), &certificate, &where);
    if (err == ERR_INVALID) {
        err_explain(why,
                    "%s: the key does not belong to the certificate beside "
                    "it: copy the .key and the .cert from the same place",
                    path);
    } else if (err) {
        err_explain(why, "%s: not a key file: %s", path, where.text);
    } else {
        err = identity_make(out, secret, encoded);
    }
    sodium_memzero(secret, sizeof secret);
    return err;
}

/* NAME.cert, read and found to be for that name. */
static enum err open_certificate(uint8_t encoded[static CERTIFICATE_BYTES_MAX],
                                 size_t *length,
                                 const struct files *files,
                                 const char *path,
                                 const char *name,
                                 struct err_detail *why)
{
    struct certificate certificate;
    enum err err = identity_read_certificate(encoded, length, files, path, why);
    if (err) {
        return err;
    }
    err = certificate_decode(&certificate, bytes_of(encoded, *length));
    if (err) {
        err_explain(why, "%s: damaged, or of a newer version", path);
        return err;
    }
    if (strcmp(certificate.name, name) != 0) {
        err_explain(why, "%s: the certificate is for `%s`, not for `%s`", path,
                    certificate.name, name);
        return ERR_INVALID;
    }
    return ERR_NONE;
}

enum err identity_open(const struct identity **out,
                       const struct files *files,
                       const char *folder,
                       const char *name,
                       struct err_detail *why)
{
    struct path certificate;
    struct path key;
    uint8_t encoded[CERTIFICATE_BYTES_MAX];
    size_t length = 0;
    if (!certificate_name_is_valid(name) ||
        path_make(&certificate, "%s/%s.cert", folder, name) ||
        path_make(&key, "%s/%s.key", folder, name)) {
        err_explain(why, "%s/%s: not a name for a certificate", folder, name);
        return ERR_INVALID;
    }
    enum err err =
        open_certificate(encoded, &length, files, certificate.text, name, why);
    if (err) {
        return err;
    }
    err = make_from_key_file(out, files, key.text, bytes_of(encoded, length),
                             why);
    if (err == ERR_LIMIT) {
        err_explain(why,
                    "memory for the key of `%s` cannot be locked: raise "
                    "`ulimit -l` (systemd: LimitMEMLOCK=)",
                    name);
    }
    return err;
}

const struct identity *identity_ref(const struct identity *identity)
{
    /* Relaxed: who refs has a reference already, which orders all before. */
    (void)atomic_fetch_add_explicit(&identity->holders->count, 1,
                                    memory_order_relaxed);
    return identity;
}

void identity_unref(const struct identity **identity)
{
    if (!*identity) {
        return;
    }
    struct identity_holders *holders = (*identity)->holders;
    *identity = NULL;
    if (atomic_fetch_sub(&holders->count, 1) == 1) {
        holders_close(&holders);
    }
}
