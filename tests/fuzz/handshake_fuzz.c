/*
 * Each message of the handshake: any bytes; an honest one with some bytes
 * altered; and any payload under the right cryptography.
 *
 * Input: which message (u8), how (u8), then the bytes. To alter: pairs of a
 * position (u16) and what is xored there (u8).
 */

#include <sodium.h>
#include <stdlib.h>

#include "tests/support/fake_clock.h"
#include "tests/support/seeded.h"
#include "tests/support/test_identity.h"
#include "transport/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define NOW_MS INT64_C(1795260600000)
#define PREFIX_BYTES 3

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

enum how { HOW_RAW, HOW_ALTERED, HOW_SEALED, HOW_COUNT };

struct message {
    uint8_t bytes[HANDSHAKE_BYTES_MAX];
    size_t length;
};

/* The same in every run. */
struct scene {
    struct fake_clock fake;
    struct clock clock;
    struct seeded random;
    struct entropy entropy;
    struct handshake_self peer;
    struct handshake_self door;
    uint8_t door_key[DOOR_KEY_BYTES];

    struct knock knock;
    struct message hello, cookie, proof, accept;
    struct handshake_visitor visitor;
};

static void scene_init(struct scene *scene)
{
    static struct test_authority authority;
    static struct trust *trust;
    static const struct identity *identities[2];
    if (!trust) {
        MUST(!identity_library_init());
        test_authority_init(&authority, 1, NOW_MS);
        trust = test_trust_make(&authority);
        identities[0] = test_identity_make(&authority, "alpha", NULL);
        identities[1] = test_identity_make(&authority, "beta", NULL);
    }
    scene->fake = (struct fake_clock){.now_ns = 1000, .wall_ms = NOW_MS};
    scene->clock = fake_clock_table(&scene->fake);
    scene->random = (struct seeded){.state = 1};
    scene->entropy = seeded_entropy(&scene->random);
    scene->peer = (struct handshake_self){.identity = identities[0],
                                          .trust = trust,
                                          .entropy = &scene->entropy,
                                          .clock = &scene->clock,
                                          .incarnation = 1,
                                          .versions = {1, 2}};
    scene->door = scene->peer;
    scene->door.identity = identities[1];
    scene->door.incarnation = 2;
    memset(scene->door_key, 3, DOOR_KEY_BYTES);
}

static struct writer into(struct message *message)
{
    return writer_of(message->bytes, sizeof message->bytes);
}

/* In memory of its own: reading past the end is then found. */
static uint8_t *exact(const struct message *message)
{
    uint8_t *copy = malloc(message->length + 1);
    MUST(copy);
    memcpy(copy, message->bytes, message->length);
    return copy;
}

static enum err read_hello(struct scene *scene)
{
    uint8_t *copy = exact(&scene->hello);
    struct bytes request = bytes_of(copy, scene->hello.length);
    enum handshake_kind kind = HANDSHAKE_COOKIE;
    struct writer out = into(&scene->cookie);
    enum err err = handshake_kind_of(&kind, &scene->door, request);
    if (!err && kind != HANDSHAKE_HELLO) {
        err = ERR_MALFORMED;
    }
    if (!err) {
        err = handshake_answer(&scene->door, scene->door_key, 5000, request,
                               &out);
    }
    scene->cookie.length = writer_bytes(&out).length;
    free(copy);
    return err;
}

static enum err read_cookie(struct scene *scene)
{
    uint8_t *copy = exact(&scene->cookie);
    struct writer out = into(&scene->proof);
    struct knock_wish wish = {.name = "beta"};
    struct err_detail why = {{0}};
    enum err err =
        knock_prove(&scene->knock, &scene->peer, &wish,
                    bytes_of(copy, scene->cookie.length), &out, &why);
    scene->proof.length = writer_bytes(&out).length;
    free(copy);
    return err;
}

static enum err read_proof(struct scene *scene)
{
    uint8_t *copy = exact(&scene->proof);
    struct bytes request = bytes_of(copy, scene->proof.length);
    enum handshake_kind kind = HANDSHAKE_COOKIE;
    struct err_detail why = {{0}};
    enum err err = handshake_kind_of(&kind, &scene->door, request);
    if (!err && kind != HANDSHAKE_PROOF) {
        err = ERR_MALFORMED;
    }
    if (!err) {
        err = handshake_admit(&scene->door, scene->door_key, 2000, request,
                              &scene->visitor, &why);
    }
    free(copy);
    return err;
}

static enum err read_accept(struct scene *scene)
{
    uint8_t *copy = exact(&scene->accept);
    struct knock_grant grant = {.url = ""};
    enum err err = knock_finish(&scene->knock,
                                bytes_of(copy, scene->accept.length), &grant);
    if (!err) {
        MUST(grant.session.id != 0);
        MUST(strlen(grant.url) > 0 && strlen(grant.url) < SOCKET_URL_BYTES);
    }
    free(copy);
    return err;
}

/* Go honestly as far as before message `which`; it is written, not read. */
static void play_until(struct scene *scene, int which)
{
    struct writer out = into(&scene->hello);
    knock_begin(&scene->knock, &scene->peer, 2, &out);
    scene->hello.length = writer_bytes(&out).length;
    if (which >= 1) {
        MUST(!read_hello(scene));
    }
    if (which >= 2) {
        MUST(!read_cookie(scene));
    }
    if (which >= 3) {
        MUST(!read_proof(scene));
        struct handshake_grant grant = {.session = 9, .url = "tcp://a:1"};
        out = into(&scene->accept);
        handshake_accept(&scene->visitor, &grant, &out);
        scene->accept.length = writer_bytes(&out).length;
    }
}

static enum err read_message(struct scene *scene, int which)
{
    static enum err (*const readers[])(struct scene *) = {
        read_hello, read_cookie, read_proof, read_accept};
    return readers[which](scene);
}

static struct message *message_of(struct scene *scene, int which)
{
    struct message *messages[] = {&scene->hello, &scene->cookie, &scene->proof,
                                  &scene->accept};
    return messages[which];
}

static void replace(struct message *message, size_t kept, struct bytes raw)
{
    size_t room = sizeof message->bytes - kept;
    size_t length = raw.length < room ? raw.length : room;
    if (length > 0) {
        memcpy(message->bytes + kept, raw.data, length);
    }
    message->length = kept + length;
}

/* False when it is still what it was. */
static bool alter(struct message *message, struct reader *in)
{
    struct message before = *message;
    while (reader_left(in) >= 3) {
        size_t at = read_u16(in) % message->length;
        message->bytes[at] ^= read_u8(in);
    }
    return memcmp(before.bytes, message->bytes, message->length) != 0;
}

/* The second message as the door would make it, around any payload. */
static void seal_cookie(struct scene *scene, struct bytes payload)
{
    struct noise noise;
    uint8_t prologue[] = "troupe handshake ?";
    prologue[sizeof prologue - 2] = 2;
    noise_init(&noise, NOISE_RESPONDER, bytes_of(prologue, sizeof prologue - 1),
               scene->door.identity->secret, &scene->entropy);
    uint8_t none[1];
    struct writer hello = writer_of(none, 0);
    MUST(!noise_read(&noise,
                     bytes_of(scene->hello.bytes + PREFIX_BYTES,
                              scene->hello.length - PREFIX_BYTES),
                     &hello));
    struct writer out = into(&scene->cookie);
    static const uint8_t prefix[] = {'T', 2, HANDSHAKE_COOKIE};
    static const uint8_t cookie[HANDSHAKE_COOKIE_BYTES];
    write_bytes(&out, prefix, sizeof prefix);
    write_bytes(&out, cookie, sizeof cookie);
    (void)!noise_write(&noise, payload, &out);
    scene->cookie.length = writer_bytes(&out).length;
    noise_clear(&noise);
}

/* The third as the peer would make it, around any payload. */
static void seal_proof(struct scene *scene, struct bytes payload)
{
    struct bytes second =
        bytes_of(scene->cookie.bytes + PREFIX_BYTES + HANDSHAKE_COOKIE_BYTES,
                 scene->cookie.length - PREFIX_BYTES - HANDSHAKE_COOKIE_BYTES);
    uint8_t ignored[HANDSHAKE_BYTES_MAX];
    struct writer plain = writer_of(ignored, sizeof ignored);
    MUST(!noise_read(&scene->knock.noise, second, &plain));
    struct writer out = into(&scene->proof);
    static const uint8_t prefix[] = {'T', 2, HANDSHAKE_PROOF};
    write_bytes(&out, prefix, sizeof prefix);
    write_bytes(&out, scene->cookie.bytes + PREFIX_BYTES,
                HANDSHAKE_COOKIE_BYTES);
    (void)!noise_write(&scene->knock.noise, payload, &out);
    scene->proof.length = writer_bytes(&out).length;
}

static void seal_accept(struct scene *scene, struct bytes content)
{
    struct seal_key key;
    memcpy(key.bytes, scene->visitor.keys.to_initiator, SEAL_KEY_BYTES);
    struct seal_box box = {.key = &key};
    static const uint8_t prefix[] = {'T', 2, HANDSHAKE_ACCEPT};
    memcpy(scene->accept.bytes, prefix, sizeof prefix);
    size_t room = sizeof scene->accept.bytes - PREFIX_BYTES - SEAL_TAG_BYTES;
    if (content.length > room) {
        content.length = room;
    }
    seal_close(scene->accept.bytes + PREFIX_BYTES, &box, content);
    scene->accept.length = PREFIX_BYTES + content.length + SEAL_TAG_BYTES;
}

static void try_sealed(struct scene *scene, int which, struct bytes payload)
{
    if (which == 1) {
        play_until(scene, 0);
        seal_cookie(scene, payload);
    } else if (which == 2) {
        play_until(scene, 1);
        seal_proof(scene, payload);
    } else {
        play_until(scene, 3);
        seal_accept(scene, payload);
        which = 3;
    }
    (void)!read_message(scene, which);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct reader in = reader_of(bytes_of(data, length));
    int which = read_u8(&in) % 4;
    enum how how = (enum how)(read_u8(&in) % HOW_COUNT);
    struct scene scene = {.random.state = 1};
    scene_init(&scene);
    if (how == HOW_SEALED) {
        try_sealed(&scene, which, read_bytes(&in, reader_left(&in)));
    } else {
        play_until(&scene, which);
        struct message *message = message_of(&scene, which);
        bool is_other = true;
        if (how == HOW_ALTERED) {
            is_other = alter(message, &in);
        } else {
            bool is_bare = read_u8(&in) % 2;
            replace(message, is_bare ? 0 : PREFIX_BYTES,
                    read_bytes(&in, reader_left(&in)));
        }
        enum err err = read_message(&scene, which);
        MUST(err != ERR_MEMORY);
        if (which == 1 && !err) { /* the cookie is the door's to check */
            err = read_proof(&scene);
        }
        /* Any key may begin a handshake; what follows must fit to it. */
        MUST(which == 0 || err || !is_other || how == HOW_RAW);
    }
    knock_clear(&scene.knock);
    return 0;
}
