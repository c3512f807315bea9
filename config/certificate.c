#include "config/certificate.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>

/*
 * The encoding, in this order; numbers are little-endian:
 *
 *      1  version, 1
 *     16  cluster id
 *      8  serial, at least 1
 *      1  role, 0 node, 1 client, 2 operator, 3 observer
 *      8  not before, Unix seconds
 *      8  not after, Unix seconds
 *     32  X25519 public key
 *      1  length of the name, then the name
 *      1  length of the pools, then the pools
 *     64  Ed25519 signature of the domain (with its zero) and all the above
 *
 * Every field has one form and nothing may follow, so a certificate has one
 * encoding. To change it: a new version number, a new domain, decode both for
 * one release, issue the new one from the next.
 */
#define VERSION 1
#define SIGNATURE_BYTES crypto_sign_BYTES

static const char domain[] = "troupe certificate v1";

static_assert(1 + CLUSTER_ID_BYTES + 8 + 1 + 8 + 8 + CERTIFICATE_KEY_BYTES +
                      CERTIFICATE_NAME_BYTES + CERTIFICATE_POOLS_BYTES +
                      SIGNATURE_BYTES <=
                  CERTIFICATE_BYTES_MAX,
              "the longest certificate fits");
static_assert(crypto_sign_SECRETKEYBYTES == 64, "as certificate.h says");
static_assert(crypto_sign_PUBLICKEYBYTES == 32, "as certificate.h says");

static const char *const role_names[ROLE_COUNT] = {
    [ROLE_NODE] = "node",
    [ROLE_CLIENT] = "client",
    [ROLE_OPERATOR] = "operator",
    [ROLE_OBSERVER] = "observer",
};

const char *role_text(enum role role)
{
    assert((unsigned)role < ROLE_COUNT);
    return role_names[role];
}

bool role_from_text(enum role *out, const char *text)
{
    for (int role = 0; role < ROLE_COUNT; role++) {
        if (strcmp(role_names[role], text) == 0) {
            *out = (enum role)role;
            return true;
        }
    }
    return false;
}

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* How many bytes of `text` are a-z 0-9 . _ - */
static size_t name_length(const char *text)
{
    size_t length = 0;
    while (is_alphanumeric(text[length]) || text[length] == '.' ||
           text[length] == '_' || text[length] == '-') {
        length++;
    }
    return length;
}

bool certificate_name_is_valid(const char *name)
{
    size_t length = name_length(name);
    return is_alphanumeric(name[0]) && length < CERTIFICATE_NAME_BYTES &&
           name[length] == '\0';
}

bool certificate_pools_are_valid(const char *pools)
{
    if (strnlen(pools, CERTIFICATE_POOLS_BYTES) == CERTIFICATE_POOLS_BYTES) {
        return false;
    }
    const char *next = pools;
    while (*next != '\0') {
        size_t length = name_length(next);
        size_t star = next[length] == '*';
        if (length + star == 0 || length >= CERTIFICATE_NAME_BYTES) {
            return false;
        }
        next += length + star;
        if (next[0] == ',' && next[1] != '\0') {
            next++;
        } else if (next[0] != '\0') {
            return false;
        }
    }
    return true;
}

/* One of the pools: a name, or its beginning and a `*`. */
static bool matches(const char *pattern, size_t length, const char *pool)
{
    return length > 0 && pattern[length - 1] == '*'
               ? strncmp(pattern, pool, length - 1) == 0
               : strlen(pool) == length && memcmp(pattern, pool, length) == 0;
}

bool certificate_pools_have(const char *pools, const char *pool)
{
    const char *next = pools;
    while (*next) {
        size_t length = strcspn(next, ",");
        if (matches(next, length, pool)) {
            return true;
        }
        next += length + (next[length] == ',');
    }
    return false;
}

bool certificate_may_use(const struct certificate *certificate,
                         const char *pool)
{
    return certificate_pools_have(certificate->pools, pool);
}

enum err certificate_validate(const struct certificate *certificate,
                              struct err_detail *why)
{
    if (certificate->serial == 0) {
        err_explain(why, "serial: at least 1");
        return ERR_INVALID;
    }
    if (!certificate_name_is_valid(certificate->name)) {
        err_explain(why, "name: 1 to 63 of a-z 0-9 . _ - are allowed, the "
                         "first a letter or digit");
        return ERR_INVALID;
    }
    if ((unsigned)certificate->role >= ROLE_COUNT) {
        err_explain(why, "role: node, client, operator or observer");
        return ERR_INVALID;
    }
    if (!certificate_pools_are_valid(certificate->pools) ||
        (certificate->role != ROLE_CLIENT && certificate->pools[0] != '\0')) {
        err_explain(why, "pools: only for a client; names with commas "
                         "between, each may end with *; 255 bytes at most");
        return ERR_INVALID;
    }
    if (certificate->not_before < 0 ||
        certificate->not_before >= certificate->not_after ||
        certificate->not_after > CERTIFICATE_TIME_MAX) {
        err_explain(why,
                    "validity: from %" PRId64 " to %" PRId64
                    " is not a span between 1970 and 9999",
                    certificate->not_before, certificate->not_after);
        return ERR_INVALID;
    }
    return ERR_NONE;
}

static void write_text(struct writer *writer, const char *text)
{
    size_t length = strlen(text);
    write_u8(writer, (uint8_t)length);
    write_bytes(writer, text, length);
}

static void write_body(struct writer *writer,
                       const struct certificate *certificate)
{
    write_u8(writer, VERSION);
    write_bytes(writer, certificate->cluster_id, CLUSTER_ID_BYTES);
    write_u64(writer, certificate->serial);
    write_u8(writer, (uint8_t)certificate->role);
    write_u64(writer, (uint64_t)certificate->not_before);
    write_u64(writer, (uint64_t)certificate->not_after);
    write_bytes(writer, certificate->key, CERTIFICATE_KEY_BYTES);
    write_text(writer, certificate->name);
    write_text(writer, certificate->pools);
}

/* The bytes that are signed. */
static struct bytes signed_bytes(uint8_t *to,
                                 size_t capacity,
                                 struct bytes body)
{
    struct writer writer = writer_of(to, capacity);
    write_bytes(&writer, domain, sizeof domain);
    write_bytes(&writer, body.data, body.length);
    assert(!writer.failed);
    return writer_bytes(&writer);
}

void certificate_issue(uint8_t out[static CERTIFICATE_BYTES_MAX],
                       size_t *out_length,
                       const struct certificate *certificate,
                       const uint8_t secret[static 64])
{
    enum err err = certificate_validate(certificate, NULL);
    assert(!err);
    (void)err;
    struct writer writer = writer_of(out, CERTIFICATE_BYTES_MAX);
    write_body(&writer, certificate);
    uint8_t message[sizeof domain + CERTIFICATE_BYTES_MAX];
    struct bytes bytes =
        signed_bytes(message, sizeof message, writer_bytes(&writer));
    uint8_t signature[SIGNATURE_BYTES];
    (void)crypto_sign_detached(signature, NULL, bytes.data, bytes.length,
                               secret);
    write_bytes(&writer, signature, sizeof signature);
    assert(!writer.failed);
    *out_length = writer_bytes(&writer).length;
}

/* Read a text with its length before it; it may hold no zero byte. */
static void read_text(struct reader *reader, char *to, size_t capacity)
{
    size_t length = read_u8(reader);
    struct bytes text = read_bytes(reader, length);
    if (reader->failed || length >= capacity ||
        (length > 0 && memchr(text.data, '\0', length))) {
        reader->failed = true;
        return;
    }
    memcpy(to, text.data, length);
    to[length] = '\0';
}

enum err certificate_decode(struct certificate *out, struct bytes encoded)
{
    struct reader reader = reader_of(encoded);
    struct certificate certificate = {0};
    if (encoded.length > CERTIFICATE_BYTES_MAX || read_u8(&reader) != VERSION) {
        return ERR_MALFORMED;
    }
    read_into(&reader, certificate.cluster_id, CLUSTER_ID_BYTES);
    certificate.serial = read_u64(&reader);
    certificate.role = (enum role)read_u8(&reader);
    certificate.not_before = (int64_t)read_u64(&reader);
    certificate.not_after = (int64_t)read_u64(&reader);
    read_into(&reader, certificate.key, CERTIFICATE_KEY_BYTES);
    read_text(&reader, certificate.name, sizeof certificate.name);
    read_text(&reader, certificate.pools, sizeof certificate.pools);
    (void)read_bytes(&reader, SIGNATURE_BYTES);
    if (reader.failed || reader_left(&reader) != 0 ||
        certificate_validate(&certificate, NULL)) {
        return ERR_MALFORMED;
    }
    *out = certificate;
    return ERR_NONE;
}

bool certificate_is_signed_by(struct bytes encoded,
                              const uint8_t authority[static 32])
{
    if (encoded.length < SIGNATURE_BYTES ||
        encoded.length > CERTIFICATE_BYTES_MAX) {
        return false;
    }
    struct bytes body =
        bytes_of(encoded.data, encoded.length - SIGNATURE_BYTES);
    uint8_t message[sizeof domain + CERTIFICATE_BYTES_MAX];
    struct bytes bytes = signed_bytes(message, sizeof message, body);
    return crypto_sign_verify_detached(body.data + body.length, bytes.data,
                                       bytes.length, authority) == 0;
}
