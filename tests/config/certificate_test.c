#include "tests/support/check.h"

#include <string.h>

#include "config/certificate.h"
#include "config/identity.h"
#include "tests/support/test_identity.h"

#define NOW_MS INT64_C(1795260600000)

static void make(struct certificate *out,
                 uint8_t encoded[static CERTIFICATE_BYTES_MAX],
                 size_t *length,
                 struct test_authority *authority)
{
    test_authority_init(authority, 1, NOW_MS);
    *out = (struct certificate){.serial = UINT64_C(0x1122334455667788),
                                .name = "web.1",
                                .role = ROLE_CLIENT,
                                .pools = "emails,report.*",
                                .not_before = 1000,
                                .not_after = CERTIFICATE_TIME_MAX};
    memset(out->cluster_id, 7, sizeof out->cluster_id);
    memset(out->key, 9, sizeof out->key);
    certificate_issue(encoded, length, out, authority->secret);
}

static void reads_back_what_was_issued(void **state)
{
    (void)state;
    struct test_authority authority;
    struct certificate given;
    struct certificate read;
    uint8_t encoded[CERTIFICATE_BYTES_MAX];
    size_t length = 0;
    make(&given, encoded, &length, &authority);
    CHECK_OK(certificate_decode(&read, bytes_of(encoded, length)));
    CHECK(read.serial == given.serial && read.role == given.role);
    CHECK(read.not_before == given.not_before);
    CHECK(read.not_after == given.not_after);
    assert_string_equal(read.name, given.name);
    assert_string_equal(read.pools, given.pools);
    assert_memory_equal(read.key, given.key, sizeof given.key);
    assert_memory_equal(read.cluster_id, given.cluster_id,
                        sizeof given.cluster_id);
    CHECK(certificate_is_signed_by(bytes_of(encoded, length), authority.key));
}

/* The bytes that docs/identity.md describes. */
static void has_the_documented_form(void **state)
{
    (void)state;
    struct test_authority authority;
    struct certificate given;
    uint8_t encoded[CERTIFICATE_BYTES_MAX];
    size_t length = 0;
    make(&given, encoded, &length, &authority);
    CHECK(length == 75 + 5 + 1 + 15 + 64);
    CHECK(encoded[0] == 1 && encoded[1] == 7 && encoded[16] == 7);
    CHECK(get_u64(encoded + 17) == given.serial);
    CHECK(encoded[25] == ROLE_CLIENT);
    CHECK(get_u64(encoded + 26) == 1000);
    CHECK(get_u64(encoded + 34) == (uint64_t)CERTIFICATE_TIME_MAX);
    CHECK(encoded[42] == 9 && encoded[73] == 9);
    CHECK(encoded[74] == 5 && memcmp(encoded + 75, "web.1", 5) == 0);
    CHECK(encoded[80] == 15 && memcmp(encoded + 81, "emails,", 7) == 0);
}

static void refuses_every_flipped_bit(void **state)
{
    (void)state;
    struct test_authority authority;
    struct certificate given;
    uint8_t encoded[CERTIFICATE_BYTES_MAX];
    size_t length = 0;
    make(&given, encoded, &length, &authority);
    for (size_t bit = 0; bit < 8 * length; bit++) {
        struct certificate read;
        struct bytes bytes = bytes_of(encoded, length);
        encoded[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(!certificate_is_signed_by(bytes, authority.key) ||
              certificate_decode(&read, bytes) == ERR_MALFORMED);
        encoded[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    CHECK(certificate_is_signed_by(bytes_of(encoded, length), authority.key));
}

static void refuses_every_other_length(void **state)
{
    (void)state;
    struct test_authority authority;
    struct certificate given;
    struct certificate read;
    uint8_t encoded[CERTIFICATE_BYTES_MAX + 1] = {0};
    size_t length = 0;
    make(&given, encoded, &length, &authority);
    for (size_t other = 0; other < sizeof encoded; other++) {
        if (other != length) {
            CHECK_ERR(certificate_decode(&read, bytes_of(encoded, other)),
                      ERR_MALFORMED);
            CHECK(!certificate_is_signed_by(bytes_of(encoded, other),
                                            authority.key));
        }
    }
}

static void refuses_fields_out_of_their_bounds(void **state)
{
    (void)state;
    struct test_authority authority;
    struct certificate given;
    uint8_t encoded[CERTIFICATE_BYTES_MAX];
    size_t length = 0;
    make(&given, encoded, &length, &authority);
    CHECK_OK(certificate_validate(&given, NULL));
    struct certificate bad[7];
    for (size_t i = 0; i < 7; i++) {
        bad[i] = given;
    }
    bad[0].serial = 0;
    bad[1].role = ROLE_COUNT;
    bad[2].role = ROLE_NODE; /* has pools */
    bad[3].not_before = -1;
    bad[4].not_before = bad[4].not_after;
    bad[5].not_after = CERTIFICATE_TIME_MAX + 1;
    bad[6].name[0] = '\0';
    for (size_t i = 0; i < 7; i++) {
        struct err_detail why = {0};
        CHECK_ERR(certificate_validate(&bad[i], &why), ERR_INVALID);
        CHECK(why.text[0] != '\0');
    }
}

static void knows_names_that_are_safe_in_a_path(void **state)
{
    (void)state;
    char longest[65];
    memset(longest, 'a', 63);
    longest[63] = '\0';
    CHECK(certificate_name_is_valid("a"));
    CHECK(certificate_name_is_valid("0.node_b-1"));
    CHECK(certificate_name_is_valid(longest));
    longest[63] = 'a';
    longest[64] = '\0';
    CHECK(!certificate_name_is_valid(longest));
    const char *const bad[] = {"",    ".",   "..",  "-a",       "_a", "A",
                               "a/b", "a b", "a\n", "\xc3\xa9", "a*"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(!certificate_name_is_valid(bad[i]));
    }
}

static void knows_lists_of_pools(void **state)
{
    (void)state;
    const char *const good[] = {"", "*", "a", "a,b", "a.*,b*", "emails"};
    const char *const bad[] = {",",  "a,",  ",a",  "a,,b", "a**",
                               "*a", "a b", "a;b", "A"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        CHECK(certificate_pools_are_valid(good[i]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(!certificate_pools_are_valid(bad[i]));
    }
    char full[CERTIFICATE_POOLS_BYTES + 1];
    for (size_t i = 0; i < sizeof full; i++) {
        full[i] = i % 2 ? ',' : 'a';
    }
    full[255] = '\0';
    full[254] = 'a';
    CHECK(certificate_pools_are_valid(full));
    full[255] = 'a';
    full[256] = '\0';
    CHECK(!certificate_pools_are_valid(full));
}

static void names_every_role(void **state)
{
    (void)state;
    for (int i = 0; i < ROLE_COUNT; i++) {
        enum role role = ROLE_COUNT;
        CHECK(role_from_text(&role, role_text((enum role)i)));
        CHECK(role == (enum role)i);
    }
    enum role unchanged = ROLE_OBSERVER;
    CHECK(!role_from_text(&unchanged, "root"));
    CHECK(unchanged == ROLE_OBSERVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_back_what_was_issued),
        cmocka_unit_test(has_the_documented_form),
        cmocka_unit_test(refuses_every_flipped_bit),
        cmocka_unit_test(refuses_every_other_length),
        cmocka_unit_test(refuses_fields_out_of_their_bounds),
        cmocka_unit_test(knows_names_that_are_safe_in_a_path),
        cmocka_unit_test(knows_lists_of_pools),
        cmocka_unit_test(names_every_role),
    };
    if (identity_library_init()) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
