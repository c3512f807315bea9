#include "tests/support/check.h"

#include <sodium.h>

#include "config/identity.h"
#include "tests/support/seeded.h"
#include "tests/transport/noise_vectors.h"
#include "transport/noise.h"
#include "transport/seal.h"

#define MESSAGE_BYTES_MAX 512

/* An entropy source that gives one ephemeral secret, once. */
struct scripted {
    uint8_t secret[NOISE_KEY_BYTES];
    uint32_t fill_count;
};

static void scripted_fill(void *context, void *to, size_t length)
{
    struct scripted *scripted = context;
    CHECK(length == NOISE_KEY_BYTES);
    CHECK(scripted->fill_count++ == 0);
    memcpy(to, scripted->secret, length);
}

static struct entropy scripted_entropy(struct scripted *scripted)
{
    return (struct entropy){.context = scripted, .fill = scripted_fill};
}

struct text {
    uint8_t bytes[MESSAGE_BYTES_MAX];
    size_t length;
};

static struct text text_of_hex(const char *hex)
{
    struct text text = {.length = strlen(hex) / 2};
    CHECK(text.length <= sizeof text.bytes);
    CHECK(hex_decode(text.bytes, text.length, hex));
    return text;
}

static struct bytes text_bytes(const struct text *text)
{
    return bytes_of(text->bytes, text->length);
}

static void check_same(const struct text *given, const struct text *expected)
{
    CHECK(given->length == expected->length);
    assert_memory_equal(given->bytes, expected->bytes, expected->length);
}

/* Two sides; [0] begins. */
struct sides {
    struct scripted scripted[2];
    struct entropy entropy[2];
    uint8_t secret[2][NOISE_KEY_BYTES];
    struct noise noise[2];
};

static void sides_init(struct sides *sides, const struct noise_vector *vector)
{
    const char *statics[] = {vector->init_static, vector->resp_static};
    const char *ephemerals[] = {vector->init_ephemeral, vector->resp_ephemeral};
    struct text prologue = text_of_hex(vector->prologue);
    *sides = (struct sides){0};
    for (int i = 0; i < 2; i++) {
        CHECK(hex_decode(sides->secret[i], NOISE_KEY_BYTES, statics[i]));
        CHECK(hex_decode(sides->scripted[i].secret, NOISE_KEY_BYTES,
                         ephemerals[i]));
        sides->entropy[i] = scripted_entropy(&sides->scripted[i]);
        noise_init(&sides->noise[i], i == 0 ? NOISE_INITIATOR : NOISE_RESPONDER,
                   text_bytes(&prologue), sides->secret[i], &sides->entropy[i]);
    }
}

static void sides_clear(struct sides *sides)
{
    noise_clear(&sides->noise[0]);
    noise_clear(&sides->noise[1]);
}

static void write_message(struct noise *noise,
                          const struct text *payload,
                          struct text *out)
{
    struct writer writer = writer_of(out->bytes, sizeof out->bytes);
    CHECK_OK(noise_write(noise, text_bytes(payload), &writer));
    out->length = writer_bytes(&writer).length;
}

static enum err read_message(struct noise *noise,
                             const struct text *message,
                             struct text *out)
{
    struct writer writer = writer_of(out->bytes, sizeof out->bytes);
    enum err err = noise_read(noise, text_bytes(message), &writer);
    out->length = writer_bytes(&writer).length;
    return err;
}

/* The first `count` messages of the handshake, as published. */
static void run_handshake(struct sides *sides,
                          const struct noise_vector *vector,
                          int count)
{
    for (int i = 0; i < count; i++) {
        struct text payload = text_of_hex(vector->messages[i].payload);
        struct text expected = text_of_hex(vector->messages[i].ciphertext);
        struct text message = {.length = 0};
        struct text back = {.length = 0};
        write_message(&sides->noise[i % 2], &payload, &message);
        check_same(&message, &expected);
        CHECK_OK(read_message(&sides->noise[1 - i % 2], &message, &back));
        check_same(&back, &payload);
    }
}

static struct noise_keys split_both(struct sides *sides)
{
    struct noise_keys keys[2] = {{{0}}};
    noise_split(&sides->noise[0], &keys[0]);
    noise_split(&sides->noise[1], &keys[1]);
    assert_memory_equal(&keys[0], &keys[1], sizeof keys[0]);
    return keys[0];
}

/* Message `i` of all, sealed with the key of its direction. */
static void check_transport(const struct noise_keys *keys,
                            const struct noise_vector *vector,
                            int i)
{
    struct text payload = text_of_hex(vector->messages[i].payload);
    struct text expected = text_of_hex(vector->messages[i].ciphertext);
    struct seal_key key = {{0}};
    memcpy(key.bytes, i % 2 == 0 ? keys->to_responder : keys->to_initiator,
           SEAL_KEY_BYTES);
    struct seal_box box = {.key = &key, .nonce = (uint64_t)(i - 3) / 2};
    struct text sealed = {.length = payload.length + SEAL_TAG_BYTES};
    seal_close(sealed.bytes, &box, text_bytes(&payload));
    check_same(&sealed, &expected);
    CHECK_OK(seal_open(sealed.bytes, sealed.length, &box));
    assert_memory_equal(sealed.bytes, payload.bytes, payload.length);
}

static void agrees_with_every_published_vector(void **state)
{
    (void)state;
    CHECK(NOISE_VECTOR_COUNT >= 3);
    for (size_t v = 0; v < NOISE_VECTOR_COUNT; v++) {
        const struct noise_vector *vector = &noise_vectors[v];
        struct sides sides;
        sides_init(&sides, vector);
        run_handshake(&sides, vector, 3);
        struct noise_keys keys = split_both(&sides);
        struct text hash = text_of_hex(vector->handshake_hash);
        if (hash.length > 0) {
            CHECK(hash.length == NOISE_HASH_BYTES);
            assert_memory_equal(keys.hash, hash.bytes, NOISE_HASH_BYTES);
        }
        int i = 3;
        for (; i < NOISE_VECTOR_MESSAGE_COUNT_MAX &&
               vector->messages[i].ciphertext;
             i++) {
            check_transport(&keys, vector, i);
        }
        CHECK(i >= 5); /* both directions */
    }
}

static void knows_the_other_sides_static_key_at_the_end(void **state)
{
    (void)state;
    struct sides sides;
    sides_init(&sides, &noise_vectors[0]);
    run_handshake(&sides, &noise_vectors[0], 3);
    for (int i = 0; i < 2; i++) {
        uint8_t public[NOISE_KEY_BYTES];
        (void)crypto_scalarmult_base(public, sides.secret[1 - i]);
        assert_memory_equal(sides.noise[i].remote_static, public,
                            NOISE_KEY_BYTES);
    }
    sides_clear(&sides);
}

/* What becomes of message `number` when `change` has been at it. */
static enum err outcome(int number,
                        void (*change)(struct text *message, size_t at),
                        size_t at)
{
    const struct noise_vector *vector = &noise_vectors[0];
    struct sides sides;
    sides_init(&sides, vector);
    run_handshake(&sides, vector, number);
    struct text message = text_of_hex(vector->messages[number].ciphertext);
    struct text payload = text_of_hex(vector->messages[number].payload);
    struct text own = {.length = 0};
    write_message(&sides.noise[number % 2], &payload, &own);
    change(&message, at);
    struct text back = {.length = 0};
    enum err err = read_message(&sides.noise[1 - number % 2], &message, &back);
    if (!err && number == 0) {
        /* The first is not sealed; that it was altered comes out next. */
        struct text none = {.length = 0};
        struct text answer = {.length = 0};
        write_message(&sides.noise[1], &none, &answer);
        err = read_message(&sides.noise[0], &answer, &back);
    }
    sides_clear(&sides);
    return err;
}

static void flip(struct text *message, size_t at)
{
    message->bytes[at / 8] ^= (uint8_t)(1 << at % 8);
}

static void cut(struct text *message, size_t at)
{
    message->length = at;
}

static void add_byte(struct text *message, size_t at)
{
    (void)at;
    message->bytes[message->length++] = 0;
}

static void notices_a_flip_of_any_byte_of_any_message(void **state)
{
    (void)state;
    struct seeded random = {.state = 1};
    for (int number = 0; number < 3; number++) {
        size_t length = strlen(noise_vectors[0].messages[number].ciphertext);
        for (size_t byte = 0; byte < length / 2; byte++) {
            size_t bit = 8 * byte + seeded_below(&random, 8);
            /* X25519 ignores the highest bit of a key, but it is hashed. */
            CHECK_ERR(outcome(number, flip, bit), ERR_FORGED);
        }
        CHECK_ERR(outcome(number, add_byte, 0), ERR_FORGED);
    }
}

static void refuses_every_message_that_is_cut_short(void **state)
{
    (void)state;
    for (int number = 0; number < 3; number++) {
        size_t length = strlen(noise_vectors[0].messages[number].ciphertext);
        for (size_t left = 0; left < length / 2; left++) {
            enum err err = outcome(number, cut, left);
            CHECK(err == ERR_MALFORMED || err == ERR_FORGED);
            bool is_without_tag =
                (number == 0 && left < NOISE_KEY_BYTES) ||
                (number == 1 && left < 2 * NOISE_KEY_BYTES + NOISE_TAG_BYTES) ||
                (number == 2 && left < NOISE_KEY_BYTES + NOISE_TAG_BYTES);
            CHECK(!is_without_tag || err == ERR_MALFORMED);
        }
    }
}

/* Points of small order: what is agreed with them is all zero. */
static void refuses_keys_that_give_no_secret(void **state)
{
    (void)state;
    static const char *const small[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    for (size_t i = 0; i < sizeof small / sizeof small[0]; i++) {
        struct sides sides;
        sides_init(&sides, &noise_vectors[0]);
        struct text hello = text_of_hex(small[i]);
        struct text back = {.length = 0};
        CHECK_OK(read_message(&sides.noise[1], &hello, &back));
        uint8_t raw[MESSAGE_BYTES_MAX];
        struct writer writer = writer_of(raw, sizeof raw);
        CHECK_ERR(noise_write(&sides.noise[1], (struct bytes){0}, &writer),
                  ERR_FORGED);

        sides_init(&sides, &noise_vectors[0]);
        run_handshake(&sides, &noise_vectors[0], 1);
        struct text second =
            text_of_hex(noise_vectors[0].messages[1].ciphertext);
        CHECK(hex_decode(second.bytes, NOISE_KEY_BYTES, small[i]));
        CHECK_ERR(read_message(&sides.noise[0], &second, &back), ERR_FORGED);
        sides_clear(&sides);
    }
}

static void goes_on_after_being_frozen_and_thawed(void **state)
{
    (void)state;
    for (size_t v = 0; v < NOISE_VECTOR_COUNT; v++) {
        struct sides sides;
        sides_init(&sides, &noise_vectors[v]);
        run_handshake(&sides, &noise_vectors[v], 2);
        uint8_t frozen[NOISE_FROZEN_BYTES];
        noise_freeze(&sides.noise[1], frozen);
        noise_clear(&sides.noise[1]);
        noise_thaw(&sides.noise[1], frozen, sides.secret[1], &sides.entropy[1]);
        struct text payload = text_of_hex(noise_vectors[v].messages[2].payload);
        struct text third =
            text_of_hex(noise_vectors[v].messages[2].ciphertext);
        struct text own = {.length = 0};
        struct text back = {.length = 0};
        write_message(&sides.noise[0], &payload, &own);
        check_same(&own, &third);
        CHECK_OK(read_message(&sides.noise[1], &third, &back));
        check_same(&back, &payload);
        struct noise_keys keys = split_both(&sides);
        check_transport(&keys, &noise_vectors[v], 3);
        check_transport(&keys, &noise_vectors[v], 4);
    }
}

static void a_frozen_state_that_was_altered_is_useless(void **state)
{
    (void)state;
    struct sides sides;
    sides_init(&sides, &noise_vectors[0]);
    run_handshake(&sides, &noise_vectors[0], 2);
    uint8_t frozen[NOISE_FROZEN_BYTES];
    noise_freeze(&sides.noise[1], frozen);
    struct text third = text_of_hex(noise_vectors[0].messages[2].ciphertext);
    for (size_t at = 0; at < NOISE_FROZEN_BYTES; at += 7) {
        uint8_t other[NOISE_FROZEN_BYTES];
        memcpy(other, frozen, sizeof other);
        other[at] ^= 0x10;
        struct noise noise;
        struct text back = {.length = 0};
        noise_thaw(&noise, other, sides.secret[1], &sides.entropy[1]);
        enum err err = read_message(&noise, &third, &back);
        /* The remote ephemeral key is not needed any more. */
        CHECK(err == ERR_FORGED || at >= NOISE_FROZEN_BYTES - NOISE_KEY_BYTES);
        noise_clear(&noise);
    }
    sides_clear(&sides);
}

static void another_prologue_is_another_handshake(void **state)
{
    (void)state;
    struct sides sides;
    sides_init(&sides, &noise_vectors[0]);
    noise_init(&sides.noise[1], NOISE_RESPONDER, bytes_of("other", 5),
               sides.secret[1], &sides.entropy[1]);
    struct text none = {.length = 0};
    struct text message = {.length = 0};
    struct text back = {.length = 0};
    write_message(&sides.noise[0], &none, &message);
    CHECK_OK(read_message(&sides.noise[1], &message, &back));
    write_message(&sides.noise[1], &none, &message);
    CHECK_ERR(read_message(&sides.noise[0], &message, &back), ERR_FORGED);
    sides_clear(&sides);
}

static void says_full_when_a_message_does_not_fit(void **state)
{
    (void)state;
    const struct noise_vector *vector = &noise_vectors[0];
    for (int number = 0; number < 3; number++) {
        size_t length = strlen(vector->messages[number].ciphertext) / 2;
        for (size_t capacity = 0; capacity < length; capacity += 3) {
            struct sides sides;
            sides_init(&sides, vector);
            run_handshake(&sides, vector, number);
            struct text payload = text_of_hex(vector->messages[number].payload);
            uint8_t raw[MESSAGE_BYTES_MAX];
            struct writer writer = writer_of(raw, capacity);
            CHECK_ERR(noise_write(&sides.noise[number % 2],
                                  text_bytes(&payload), &writer),
                      ERR_FULL);
            sides_clear(&sides);
        }
    }
}

static void refuses_a_payload_for_which_there_is_no_room(void **state)
{
    (void)state;
    struct sides sides;
    sides_init(&sides, &noise_vectors[0]);
    struct text hello = text_of_hex(noise_vectors[0].messages[0].ciphertext);
    uint8_t raw[MESSAGE_BYTES_MAX];
    struct writer small = writer_of(raw, 15); /* the payload has 16 */
    CHECK_ERR(noise_read(&sides.noise[1], text_bytes(&hello), &small),
              ERR_MALFORMED);
    sides_clear(&sides);
}

static void leaves_no_secret_after_the_split(void **state)
{
    (void)state;
    struct sides sides;
    sides_init(&sides, &noise_vectors[0]);
    run_handshake(&sides, &noise_vectors[0], 3);
    struct noise_keys keys;
    for (int i = 0; i < 2; i++) {
        noise_split(&sides.noise[i], &keys);
        CHECK(sodium_is_zero((const uint8_t *)&sides.noise[i],
                             sizeof sides.noise[i]));
    }
}

static int set_up(void **state)
{
    (void)state;
    return identity_library_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_every_published_vector),
        cmocka_unit_test(knows_the_other_sides_static_key_at_the_end),
        cmocka_unit_test(notices_a_flip_of_any_byte_of_any_message),
        cmocka_unit_test(refuses_every_message_that_is_cut_short),
        cmocka_unit_test(refuses_keys_that_give_no_secret),
        cmocka_unit_test(goes_on_after_being_frozen_and_thawed),
        cmocka_unit_test(a_frozen_state_that_was_altered_is_useless),
        cmocka_unit_test(another_prologue_is_another_handshake),
        cmocka_unit_test(says_full_when_a_message_does_not_fit),
        cmocka_unit_test(refuses_a_payload_for_which_there_is_no_room),
        cmocka_unit_test(leaves_no_secret_after_the_split),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
