#include "transport/handshake.h"

#include "base/scope.h"

#include <assert.h>
#include <sodium.h>

#define PREFIX_BYTES 3 /* 'T', version, kind */
#define PAYLOAD_BYTES_MAX (CERTIFICATE_BYTES_MAX + 64)
#define COOKIE_NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define COOKIE_PLAIN_BYTES (8 + NOISE_FROZEN_BYTES)

static_assert(COOKIE_NONCE_BYTES + COOKIE_PLAIN_BYTES +
                      crypto_aead_xchacha20poly1305_ietf_ABYTES ==
                  HANDSHAKE_COOKIE_BYTES,
              "cookie size");
static_assert(crypto_aead_xchacha20poly1305_ietf_KEYBYTES == DOOR_KEY_BYTES,
              "door key size");

/* Numbers on the wire: never change one, add at the end. */
static const enum err refusals[] = {
    [1] = ERR_VERSION,       [2] = ERR_MALFORMED,     [3] = ERR_FORGED,
    [4] = ERR_TIMEOUT,       [5] = ERR_OTHER_CLUSTER, [6] = ERR_EXPIRED,
    [7] = ERR_NOT_YET_VALID, [8] = ERR_REVOKED,       [9] = ERR_SUPERSEDED,
    [10] = ERR_DENIED,       [11] = ERR_BUSY,         [12] = ERR_LIMIT,
};

#define REFUSAL_COUNT (sizeof refusals / sizeof refusals[0])

struct handshake_self handshake_self_share(const struct handshake_self *self)
{
    struct handshake_self copy = *self;
    copy.identity = identity_ref(self->identity);
    copy.trust = trust_ref(self->trust);
    return copy;
}

void handshake_self_drop(struct handshake_self *self)
{
    identity_unref(&self->identity);
    trust_unref(&self->trust);
}

/* ---- parts of messages ---- */

static void write_prefix(struct writer *out,
                         uint8_t version,
                         enum handshake_kind kind)
{
    write_u8(out, 'T');
    write_u8(out, version);
    write_u8(out, (uint8_t)kind);
}

/* Version and kind are mixed into the handshake: they cannot be altered. */
static void start_noise(struct noise *noise,
                        enum noise_side side,
                        uint8_t version,
                        const struct handshake_self *self)
{
    uint8_t prologue[] = "troupe handshake ?";
    prologue[sizeof prologue - 2] = version;
    noise_init(noise, side, bytes_of(prologue, sizeof prologue - 1),
               self->identity->secret, self->entropy);
}

static void write_self(struct writer *out, const struct handshake_self *self)
{
    write_u8(out, self->versions.min);
    write_u8(out, self->versions.max);
    write_u64(out, self->incarnation);
    write_u64(out, (uint64_t)self->started_ms);
    write_u16(out, (uint16_t)self->identity->encoded_length);
    write_bytes(out, self->identity->encoded, self->identity->encoded_length);
}

/*
 * Read what write_self() wrote and check it: the certificate, that its key is
 * the one that took part, and that nobody has lowered the version. What
 * follows in the payload is left in `payload`.
 */
static enum err read_remote(struct handshake_remote *out,
                            const struct handshake_self *self,
                            uint8_t version,
                            const uint8_t key[static NOISE_KEY_BYTES],
                            struct reader *payload,
                            struct err_detail *why)
{
    out->versions.min = read_u8(payload);
    out->versions.max = read_u8(payload);
    out->incarnation = read_u64(payload);
    out->started_ms = (int64_t)read_u64(payload);
    struct bytes encoded = read_bytes(payload, read_u16(payload));
    if (payload->failed || out->incarnation == 0 ||
        encoded.length > sizeof out->encoded) {
        return ERR_MALFORMED;
    }
    memcpy(out->encoded, encoded.data, encoded.length);
    out->encoded_length = (uint16_t)encoded.length;
    enum err err = trust_check(self->trust, encoded, clock_wall_ms(self->clock),
                               self->clock_skew_ms_max, &out->certificate, why);
    if (err) {
        return err;
    }
    if (sodium_memcmp(out->certificate.key, key, NOISE_KEY_BYTES) != 0) {
        err_explain(why, "the certificate belongs to another key");
        return ERR_FORGED;
    }
    uint8_t newest = out->versions.max < self->versions.max
                         ? out->versions.max
                         : self->versions.max;
    if (version != newest) {
        err_explain(why, "the protocol version was tampered with");
        return ERR_FORGED;
    }
    return ERR_NONE;
}

/* ---- the peer that knocks ---- */

void knock_begin(struct knock *knock,
                 const struct handshake_self *self,
                 uint8_t version,
                 struct writer *out)
{
    assert(version >= self->versions.min && version <= self->versions.max);
    *knock = (struct knock){.version = version};
    start_noise(&knock->noise, NOISE_INITIATOR, version, self);
    write_prefix(out, version, HANDSHAKE_HELLO);
    enum err err = noise_write(&knock->noise, (struct bytes){0}, out);
    assert(!err && !out->failed);
}

void knock_clear(struct knock *knock)
{
    sodium_memzero(knock, sizeof *knock);
}

static enum err read_refusal(struct knock *knock, struct reader *in)
{
    uint8_t code = read_u8(in);
    struct version_range versions = {.min = read_u8(in), .max = read_u8(in)};
    if (in->failed || code >= REFUSAL_COUNT || !refusals[code]) {
        return ERR_MALFORMED;
    }
    knock->remote.versions = versions;
    knock->is_refused = true;
    return refusals[code];
}

/* Everything that the door says begins alike. */
static enum err read_answer(struct knock *knock,
                            struct reader *in,
                            enum handshake_kind expected)
{
    uint8_t magic = read_u8(in);
    uint8_t version = read_u8(in);
    uint8_t kind = read_u8(in);
    if (in->failed || magic != 'T') {
        return ERR_MALFORMED;
    }
    if (kind == HANDSHAKE_REFUSE) {
        return read_refusal(knock, in);
    }
    return kind == expected && version == knock->version ? ERR_NONE
                                                         : ERR_MALFORMED;
}

static enum err check_wish(const struct handshake_remote *remote,
                           const struct knock_wish *wish,
                           struct err_detail *why)
{
    if (remote->certificate.role != ROLE_NODE) {
        err_explain(why,
                    "the door is answered by \"%s\", which is no node but has "
                    "the role %s",
                    remote->certificate.name,
                    role_text(remote->certificate.role));
        return ERR_DENIED;
    }
    if (wish->name && strcmp(wish->name, remote->certificate.name) != 0) {
        err_explain(why, "the door is answered by node \"%s\", not by \"%s\"",
                    remote->certificate.name, wish->name);
        return ERR_WRONG_NAME;
    }
    return ERR_NONE;
}

/* Write PROOF around the cookie, as it came. */
static void write_proof(struct knock *knock,
                        const struct handshake_self *self,
                        const struct knock_wish *wish,
                        struct bytes cookie,
                        struct writer *out)
{
    uint8_t raw[PAYLOAD_BYTES_MAX];
    struct writer payload = writer_of(raw, sizeof raw);
    write_self(&payload, self);
    write_u64(&payload, wish->resume);
    write_prefix(out, knock->version, HANDSHAKE_PROOF);
    write_bytes(out, cookie.data, cookie.length);
    enum err err = noise_write(&knock->noise, writer_bytes(&payload), out);
    assert(!payload.failed && (!err || err == ERR_FORGED));
    if (err) {
        out->failed = true;
    }
}

enum err knock_prove(struct knock *knock,
                     const struct handshake_self *self,
                     const struct knock_wish *wish,
                     struct bytes answer,
                     struct writer *out,
                     struct err_detail *why)
{
    struct reader in = reader_of(answer);
    enum err err = read_answer(knock, &in, HANDSHAKE_COOKIE);
    if (err) {
        return err;
    }
    struct bytes cookie = read_bytes(&in, HANDSHAKE_COOKIE_BYTES);
    struct bytes message = read_bytes(&in, reader_left(&in));
    if (in.failed) {
        return ERR_MALFORMED;
    }
    uint8_t raw[PAYLOAD_BYTES_MAX];
    struct writer plain = writer_of(raw, sizeof raw);
    err = noise_read(&knock->noise, message, &plain);
    if (err) {
        return err;
    }
    struct reader payload = reader_of(writer_bytes(&plain));
    err = read_remote(&knock->remote, self, knock->version,
                      knock->noise.remote_static, &payload, why);
    if (!err) {
        err = check_wish(&knock->remote, wish, why);
    }
    if (err) {
        return err;
    }
    write_proof(knock, self, wish, cookie, out);
    return out->failed ? ERR_FORGED : ERR_NONE;
}

uint8_t knock_lower_version(const struct knock *knock,
                            const struct handshake_self *self)
{
    const struct version_range *ours = &self->versions;
    const struct version_range *theirs = &knock->remote.versions;
    uint8_t common = theirs->max < ours->max ? theirs->max : ours->max;
    bool is_known = common >= ours->min && common >= theirs->min;
    return is_known && common < knock->version ? common : 0;
}

/* ACCEPT is sealed with the key to the initiator; its nonce is 0, the only
 * one ever used with that key: lanes have keys of their own. */
static const uint64_t accept_nonce = 0;

static enum err read_grant(struct reader *in,
                           uint8_t version,
                           struct knock_grant *out)
{
    out->session.id = read_u64(in);
    out->is_resumed = read_u8(in) != 0;
    struct bytes url = read_bytes(in, read_u8(in));
    if (in->failed || out->session.id == 0 || url.length == 0 ||
        url.length >= sizeof out->url || memchr(url.data, '\0', url.length)) {
        return ERR_MALFORMED;
    }
    memcpy(out->url, url.data, url.length);
    out->url[url.length] = '\0';
    out->session.version = version;
    return ERR_NONE;
}

enum err knock_finish(struct knock *knock,
                      struct bytes answer,
                      struct knock_grant *out)
{
    struct reader in = reader_of(answer);
    enum err err = read_answer(knock, &in, HANDSHAKE_ACCEPT);
    if (err) {
        return err;
    }
    uint8_t raw[HANDSHAKE_BYTES_MAX];
    size_t length = reader_left(&in);
    if (length < SEAL_TAG_BYTES || length > sizeof raw) {
        return ERR_MALFORMED;
    }
    memcpy(raw, in.next, length);
    struct noise_keys keys = {0};
    noise_split(&knock->noise, &keys);
    struct seal_key key = {{0}};
    memcpy(key.bytes, keys.to_initiator, SEAL_KEY_BYTES);
    struct seal_box box = {.key = &key, .nonce = accept_nonce};
    err = seal_open(raw, length, &box);
    if (!err) {
        struct reader content =
            reader_of(bytes_of(raw, length - SEAL_TAG_BYTES));
        *out = (struct knock_grant){0};
        memcpy(out->session.send_root, keys.to_responder, SEAL_KEY_BYTES);
        memcpy(out->session.receive_root, keys.to_initiator, SEAL_KEY_BYTES);
        err = read_grant(&content, knock->version, out);
    }
    sodium_memzero(&keys, sizeof keys);
    sodium_memzero(&key, sizeof key);
    return err;
}

/* ---- the door ---- */

enum err handshake_kind_of(enum handshake_kind *out,
                           const struct handshake_self *self,
                           struct bytes request)
{
    struct reader in = reader_of(request);
    uint8_t magic = read_u8(&in);
    uint8_t version = read_u8(&in);
    uint8_t kind = read_u8(&in);
    if (in.failed || magic != 'T') {
        return ERR_MALFORMED;
    }
    if (version < self->versions.min || version > self->versions.max) {
        return ERR_VERSION;
    }
    if (kind != HANDSHAKE_HELLO && kind != HANDSHAKE_PROOF) {
        return ERR_MALFORMED;
    }
    *out = (enum handshake_kind)kind;
    return ERR_NONE;
}

static void write_cookie(struct writer *out,
                         const struct handshake_self *self,
                         const uint8_t door_key[static DOOR_KEY_BYTES],
                         uint64_t expires_ns,
                         const struct noise *noise)
{
    uint8_t plain[COOKIE_PLAIN_BYTES];
    uint8_t cookie[HANDSHAKE_COOKIE_BYTES];
    put_u64(plain, expires_ns);
    noise_freeze(noise, plain + 8);
    entropy_fill(self->entropy, cookie, COOKIE_NONCE_BYTES);
    crypto_aead_xchacha20poly1305_ietf_encrypt(cookie + COOKIE_NONCE_BYTES,
                                               NULL, plain, sizeof plain, NULL,
                                               0, NULL, cookie, door_key);
    write_bytes(out, cookie, sizeof cookie);
    sodium_memzero(plain, sizeof plain);
}

/* ERR_FORGED   not a cookie of this door */
static enum err read_cookie(struct bytes cookie,
                            const uint8_t door_key[static DOOR_KEY_BYTES],
                            uint8_t plain[static COOKIE_PLAIN_BYTES])
{
    int refused = crypto_aead_xchacha20poly1305_ietf_decrypt(
        plain, NULL, NULL, cookie.data + COOKIE_NONCE_BYTES,
        cookie.length - COOKIE_NONCE_BYTES, NULL, 0, cookie.data, door_key);
    return refused ? ERR_FORGED : ERR_NONE;
}

enum err handshake_answer(const struct handshake_self *self,
                          const uint8_t door_key[static DOOR_KEY_BYTES],
                          uint64_t expires_ns,
                          struct bytes request,
                          struct writer *out)
{
    assert(request.length >= PREFIX_BYTES);
    uint8_t version = request.data[1];
    scoped(noise_clear) struct noise noise = {0};
    start_noise(&noise, NOISE_RESPONDER, version, self);
    /* The first message's payload is empty; later versions may say more. */
    uint8_t ignored[PAYLOAD_BYTES_MAX];
    struct writer hello = writer_of(ignored, sizeof ignored);
    enum err err = noise_read(
        &noise,
        bytes_of(request.data + PREFIX_BYTES, request.length - PREFIX_BYTES),
        &hello);
    if (err) {
        return err;
    }
    uint8_t raw[PAYLOAD_BYTES_MAX];
    struct writer payload = writer_of(raw, sizeof raw);
    write_self(&payload, self);
    uint8_t message[HANDSHAKE_BYTES_MAX];
    struct writer second = writer_of(message, sizeof message);
    err = noise_write(&noise, writer_bytes(&payload), &second);
    if (err) {
        return err;
    }
    write_prefix(out, version, HANDSHAKE_COOKIE);
    write_cookie(out, self, door_key, expires_ns, &noise);
    write_bytes(out, message, writer_bytes(&second).length);
    assert(!payload.failed && !out->failed);
    return ERR_NONE;
}

/* Go on where the cookie stopped, and see who it is. */
static enum err read_proof(const struct handshake_self *self,
                           struct noise *noise,
                           struct bytes message,
                           struct handshake_visitor *out,
                           struct err_detail *why)
{
    uint8_t raw[PAYLOAD_BYTES_MAX];
    struct writer plain = writer_of(raw, sizeof raw);
    enum err err = noise_read(noise, message, &plain);
    if (err) {
        return err;
    }
    struct reader payload = reader_of(writer_bytes(&plain));
    err = read_remote(&out->remote, self, out->version, noise->remote_static,
                      &payload, why);
    if (err) {
        return err;
    }
    out->resume = read_u64(&payload);
    if (payload.failed) {
        return ERR_MALFORMED;
    }
    noise_split(noise, &out->keys);
    return ERR_NONE;
}

enum err handshake_admit(const struct handshake_self *self,
                         const uint8_t door_key[static DOOR_KEY_BYTES],
                         uint64_t now_ns,
                         struct bytes request,
                         struct handshake_visitor *out,
                         struct err_detail *why)
{
    assert(request.length >= PREFIX_BYTES);
    struct reader in = reader_of(request);
    struct bytes prefix = read_bytes(&in, PREFIX_BYTES);
    struct bytes cookie = read_bytes(&in, HANDSHAKE_COOKIE_BYTES);
    if (in.failed) {
        return ERR_MALFORMED;
    }
    uint8_t plain[COOKIE_PLAIN_BYTES];
    enum err err = read_cookie(cookie, door_key, plain);
    if (err) {
        return err;
    }
    *out = (struct handshake_visitor){
        .version = prefix.data[1],
        .cookie_id = get_u64(cookie.data),
        .cookie_expires_ns = get_u64(plain),
    };
    scoped(noise_clear) struct noise noise = {0};
    noise_thaw(&noise, plain + 8, self->identity->secret, self->entropy);
    sodium_memzero(plain, sizeof plain);
    if (out->cookie_expires_ns <= now_ns) {
        err_explain(why, "the handshake took too long");
        return ERR_TIMEOUT;
    }
    struct bytes message = read_bytes(&in, reader_left(&in));
    return read_proof(self, &noise, message, out, why);
}

void handshake_session(const struct handshake_visitor *visitor,
                       uint64_t id,
                       struct link_session *out)
{
    assert(id != 0);
    *out = (struct link_session){.id = id, .version = visitor->version};
    memcpy(out->send_root, visitor->keys.to_initiator, SEAL_KEY_BYTES);
    memcpy(out->receive_root, visitor->keys.to_responder, SEAL_KEY_BYTES);
}

void handshake_accept(const struct handshake_visitor *visitor,
                      const struct handshake_grant *grant,
                      struct writer *out)
{
    size_t url_length = strlen(grant->url);
    assert(url_length > 0 && url_length < SOCKET_URL_BYTES);
    uint8_t plain[64 + SOCKET_URL_BYTES];
    struct writer content = writer_of(plain, sizeof plain);
    write_u64(&content, grant->session);
    write_u8(&content, grant->is_resumed);
    write_u8(&content, (uint8_t)url_length);
    write_bytes(&content, grant->url, url_length);

    uint8_t sealed[sizeof plain + SEAL_TAG_BYTES];
    struct seal_key key = {{0}};
    memcpy(key.bytes, visitor->keys.to_initiator, SEAL_KEY_BYTES);
    struct seal_box box = {.key = &key, .nonce = accept_nonce};
    struct bytes bytes = writer_bytes(&content);
    seal_close(sealed, &box, bytes);
    sodium_memzero(&key, sizeof key);

    write_prefix(out, visitor->version, HANDSHAKE_ACCEPT);
    write_bytes(out, sealed, bytes.length + SEAL_TAG_BYTES);
    assert(!content.failed && !out->failed);
}

void handshake_refuse(const struct handshake_self *self,
                      enum err why,
                      struct writer *out)
{
    uint8_t code = 2; /* malformed: what has no number of its own */
    for (uint8_t i = 1; i < REFUSAL_COUNT; i++) {
        if (refusals[i] == why) {
            code = i;
        }
    }
    write_prefix(out, self->versions.max, HANDSHAKE_REFUSE);
    write_u8(out, code);
    write_u8(out, self->versions.min);
    write_u8(out, self->versions.max);
    assert(!out->failed);
}
