#include "tests/support/check.h"

#include <stdlib.h>

#include "config/identity.h"
#include "tests/support/seeded.h"
#include "transport/seal.h"

#define TEXT_BYTES_MAX 512

struct text {
    uint8_t bytes[TEXT_BYTES_MAX];
    size_t length;
};

static struct text text_of_hex(const char *hex)
{
    struct text text = {.length = strlen(hex) / 2};
    CHECK(text.length <= sizeof text.bytes);
    CHECK(hex_decode(text.bytes, text.length, hex));
    return text;
}

/*
 * RFC 8439, appendix A.5: an encrypted Internet-Draft. Its nonce begins with
 * four zero bytes, as ours do. (That of section 2.8.2 does not.)
 */
static const char rfc_key[] =
    "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0";
static const char rfc_header[] = "f33388860000000000004e91";
static const char rfc_sealed[] =
    "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb2"
    "4c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b0100d4f03b7f355894cf"
    "332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855"
    "9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4"
    "b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523e"
    "af4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a"
    "0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a10"
    "49e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29"
    "a6ad5cb4022b02709b"
    "eead9d67890cbb22392336fea1851f38";
static const char rfc_plain[] =
    "Internet-Drafts are draft documents valid for a maximum of six months "
    "and may be updated, replaced, or obsoleted by other documents at any "
    "time. It is inappropriate to use Internet-Drafts as reference material "
    "or to cite them other than as /\xe2\x80\x9cwork in progress./\xe2\x80\x9d";

static void opens_and_makes_the_published_box(void **state)
{
    (void)state;
    struct text key_text = text_of_hex(rfc_key);
    struct text header = text_of_hex(rfc_header);
    struct text sealed = text_of_hex(rfc_sealed);
    struct seal_key key = {{0}};
    memcpy(key.bytes, key_text.bytes, SEAL_KEY_BYTES);
    /* 00000000 0102030405060708: the nonce as a little-endian number. */
    struct seal_box box = {.key = &key,
                           .nonce = UINT64_C(0x0807060504030201),
                           .header = bytes_of(header.bytes, header.length)};
    uint8_t out[TEXT_BYTES_MAX];
    seal_close(out, &box, bytes_of_text(rfc_plain));
    CHECK(sealed.length == strlen(rfc_plain) + SEAL_TAG_BYTES);
    assert_memory_equal(out, sealed.bytes, sealed.length);
    CHECK_OK(seal_open(sealed.bytes, sealed.length, &box));
    assert_memory_equal(sealed.bytes, rfc_plain, strlen(rfc_plain));
}

/* A box of `length` bytes in memory of its own, so that ASan guards it. */
struct sample {
    struct seal_key key;
    uint8_t header[16];
    struct seal_box box;
    size_t length;
    uint8_t *sealed;
};

static struct sample *sample_open(size_t plain_bytes)
{
    struct sample *sample = calloc(1, sizeof *sample);
    uint8_t *plain = malloc(plain_bytes + 1);
    assert_non_null(sample);
    assert_non_null(plain);
    struct seeded random = {.state = plain_bytes};
    seeded_fill(&random, sample->key.bytes, SEAL_KEY_BYTES);
    seeded_fill(&random, plain, plain_bytes);
    sample->box = (struct seal_box){
        .key = &sample->key,
        .nonce = 77,
        .header = bytes_of(sample->header, sizeof sample->header)};
    sample->length = plain_bytes + SEAL_TAG_BYTES;
    sample->sealed = malloc(sample->length);
    assert_non_null(sample->sealed);
    seal_close(sample->sealed, &sample->box, bytes_of(plain, plain_bytes));
    free(plain);
    return sample;
}

static void sample_close(struct sample *sample)
{
    free(sample->sealed);
    free(sample);
}

static void opens_what_it_closed_at_any_length(void **state)
{
    (void)state;
    for (size_t length = 0; length < 200; length++) {
        struct sample *sample = sample_open(length);
        CHECK_OK(seal_open(sample->sealed, sample->length, &sample->box));
        struct seeded random = {.state = length};
        uint8_t expected[SEAL_KEY_BYTES + 200];
        seeded_fill(&random, expected, SEAL_KEY_BYTES + length);
        assert_memory_equal(sample->sealed, expected + SEAL_KEY_BYTES, length);
        sample_close(sample);
    }
}

static void refuses_a_flip_of_any_bit(void **state)
{
    (void)state;
    struct sample *sample = sample_open(40);
    uint8_t copy[40 + SEAL_TAG_BYTES];
    for (size_t bit = 0; bit < 8 * sizeof copy; bit++) {
        memcpy(copy, sample->sealed, sizeof copy);
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK_ERR(seal_open(copy, sizeof copy, &sample->box), ERR_FORGED);
    }
    for (size_t bit = 0; bit < 8 * sizeof sample->header; bit++) {
        memcpy(copy, sample->sealed, sizeof copy);
        sample->header[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK_ERR(seal_open(copy, sizeof copy, &sample->box), ERR_FORGED);
        sample->header[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    sample_close(sample);
}

static void refuses_what_is_cut_short(void **state)
{
    (void)state;
    for (size_t length = 0; length < 40 + SEAL_TAG_BYTES; length++) {
        struct sample *sample = sample_open(40);
        CHECK_ERR(seal_open(sample->sealed, length, &sample->box), ERR_FORGED);
        sample_close(sample);
    }
}

static void refuses_another_nonce_header_or_key(void **state)
{
    (void)state;
    struct sample *sample = sample_open(10);
    uint8_t copy[10 + SEAL_TAG_BYTES];
    struct seal_box box = sample->box;
    box.nonce++;
    memcpy(copy, sample->sealed, sizeof copy);
    CHECK_ERR(seal_open(copy, sizeof copy, &box), ERR_FORGED);
    box = sample->box;
    box.header.length--;
    memcpy(copy, sample->sealed, sizeof copy);
    CHECK_ERR(seal_open(copy, sizeof copy, &box), ERR_FORGED);
    struct seal_key other = sample->key;
    other.bytes[31] ^= 1;
    box = sample->box;
    box.key = &other;
    memcpy(copy, sample->sealed, sizeof copy);
    CHECK_ERR(seal_open(copy, sizeof copy, &box), ERR_FORGED);
    sample_close(sample);
}

/*
 * Noise, section 4.2: the key after `k` is the first 32 bytes of sealing 32
 * zeros with nonce 2^64-1. That is ChaCha20's key stream from block 1 on,
 * computed for a zero key by an independent implementation.
 */
static void renews_as_noise_says(void **state)
{
    (void)state;
    struct seal_key key = {{0}};
    struct seal_key next = {{0}};
    seal_key_renew(&next, &key);
    struct text expected = text_of_hex(
        "25ce5d37df19f3783185f2ffd5ab17fa3397c212f02d62fb1733e0b875b74c58");
    assert_memory_equal(next.bytes, expected.bytes, SEAL_KEY_BYTES);
}

static void renews_in_place_and_on_and_on(void **state)
{
    (void)state;
    struct seal_key keys[20] = {{{1}}};
    for (int i = 1; i < 20; i++) {
        seal_key_renew(&keys[i], &keys[i - 1]);
        for (int j = 0; j < i; j++) {
            assert_memory_not_equal(keys[i].bytes, keys[j].bytes,
                                    SEAL_KEY_BYTES);
        }
    }
    struct seal_key key = keys[0];
    for (int i = 1; i < 20; i++) {
        seal_key_renew(&key, &key);
        assert_memory_equal(key.bytes, keys[i].bytes, SEAL_KEY_BYTES);
    }
}

static void a_box_of_the_renewed_key_does_not_open_with_the_old(void **state)
{
    (void)state;
    struct sample *sample = sample_open(30);
    struct seal_key next = {{0}};
    seal_key_renew(&next, &sample->key);
    struct seal_box box = sample->box;
    box.key = &next;
    CHECK_ERR(seal_open(sample->sealed, sample->length, &box), ERR_FORGED);
    sample_close(sample);
}

static void every_label_and_root_gives_a_key_of_its_own(void **state)
{
    (void)state;
    uint8_t roots[2][SEAL_KEY_BYTES] = {{1}, {2}};
    struct seal_key keys[4];
    seal_key_derive(&keys[0], roots[0], bytes_of("a", 1));
    seal_key_derive(&keys[1], roots[0], bytes_of("b", 1));
    seal_key_derive(&keys[2], roots[1], bytes_of("a", 1));
    seal_key_derive(&keys[3], roots[0], bytes_of("a\0", 2));
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < i; j++) {
            assert_memory_not_equal(&keys[i], &keys[j], sizeof keys[0]);
        }
    }
    struct seal_key again;
    seal_key_derive(&again, roots[0], bytes_of("a", 1));
    assert_memory_equal(&again, &keys[0], sizeof again);
}

static int set_up(void **state)
{
    (void)state;
    return identity_library_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_and_makes_the_published_box),
        cmocka_unit_test(opens_what_it_closed_at_any_length),
        cmocka_unit_test(refuses_a_flip_of_any_bit),
        cmocka_unit_test(refuses_what_is_cut_short),
        cmocka_unit_test(refuses_another_nonce_header_or_key),
        cmocka_unit_test(renews_as_noise_says),
        cmocka_unit_test(renews_in_place_and_on_and_on),
        cmocka_unit_test(a_box_of_the_renewed_key_does_not_open_with_the_old),
        cmocka_unit_test(every_label_and_root_gives_a_key_of_its_own),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
