#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "base/time_units.h"
#include "config/identity.h"
#include "config/trust.h"
#include "tests/support/memory_files.h"
#include "tests/support/test_identity.h"

#define NOW_MS INT64_C(1795260600000)

struct fixture {
    struct test_authority authority;
    struct test_authority other; /* another key of the same cluster */
    struct trust *trust;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    test_authority_init(&fixture.authority, 1, NOW_MS);
    test_authority_succeed(&fixture.other, &fixture.authority, 2);
    fixture.trust = test_trust_make(&fixture.authority);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    trust_unref(&fixture->trust);
    return 0;
}

static enum err check_at(const struct trust *trust,
                         const struct identity *identity,
                         int64_t wall_ms,
                         uint64_t skew_ms)
{
    struct certificate certificate;
    struct err_detail why = {0};
    enum err err = trust_check(
        trust, bytes_of(identity->encoded, identity->encoded_length), wall_ms,
        skew_ms, &certificate, &why);
    CHECK((err != ERR_NONE) == (why.text[0] != '\0'));
    return err;
}

/* Make one with `options`, check it now without skew, and forget it. */
static enum err check_made(struct fixture *fixture,
                           const struct test_identity_options *options)
{
    scoped(identity_unref) const struct identity *identity =
        test_identity_make(&fixture->authority, "alpha", options);
    return check_at(fixture->trust, identity, NOW_MS, 0);
}

static void tells_what_is_wrong_with_a_certificate(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(check_made(fixture, NULL));
    CHECK_ERR(check_made(fixture,
                         &(struct test_identity_options){.is_expired = true}),
              ERR_EXPIRED);
    CHECK_ERR(
        check_made(fixture,
                   &(struct test_identity_options){.is_not_yet_valid = true}),
        ERR_NOT_YET_VALID);
    CHECK_ERR(check_made(
                  fixture,
                  &(struct test_identity_options){.is_of_other_cluster = true}),
              ERR_OTHER_CLUSTER);
    CHECK_ERR(
        check_made(fixture, &(struct test_identity_options){.is_forged = true}),
        ERR_FORGED);
    struct certificate unused;
    CHECK_ERR(
        trust_check(fixture->trust, bytes_of("x", 1), NOW_MS, 0, &unused, NULL),
        ERR_MALFORMED);
}

static void forgives_clocks_up_to_the_skew(void **state)
{
    struct fixture *fixture = *state;
    int64_t now = NOW_MS / 1000;
    struct test_identity_options options = {.not_before = now,
                                            .not_after = now + 100};
    scoped(identity_unref) const struct identity *identity =
        test_identity_make(&fixture->authority, "alpha", &options);
    const struct trust *trust = fixture->trust;
    int64_t end = NOW_MS + 100000;
    CHECK_OK(check_at(trust, identity, NOW_MS, 0));
    CHECK_ERR(check_at(trust, identity, NOW_MS - 1, 0), ERR_NOT_YET_VALID);
    CHECK_OK(check_at(trust, identity, end - 1, 0));
    CHECK_ERR(check_at(trust, identity, end, 0), ERR_EXPIRED);
    CHECK_OK(check_at(trust, identity, NOW_MS - 5000, 5000));
    CHECK_ERR(check_at(trust, identity, NOW_MS - 5001, 5000),
              ERR_NOT_YET_VALID);
    CHECK_OK(check_at(trust, identity, end + 4999, 5000));
    CHECK_ERR(check_at(trust, identity, end + 5000, 5000), ERR_EXPIRED);
}

static void survives_absurd_clocks(void **state)
{
    struct fixture *fixture = *state;
    scoped(identity_unref) const struct identity *identity =
        test_identity_make(&fixture->authority, "alpha", NULL);
    const struct trust *trust = fixture->trust;
    CHECK_ERR(check_at(trust, identity, INT64_MAX, 1000), ERR_EXPIRED);
    CHECK_ERR(check_at(trust, identity, INT64_MIN, 1000), ERR_NOT_YET_VALID);
    CHECK_OK(check_at(trust, identity, NOW_MS, UINT64_MAX));
    CHECK_OK(check_at(trust, identity, INT64_MAX, UINT64_MAX));
}

static void refuses_what_is_revoked(void **state)
{
    struct fixture *fixture = *state;
    scoped(identity_unref) const struct identity *identity =
        test_identity_make(&fixture->authority, "alpha", NULL);
    const struct certificate *certificate = &identity->certificate;
    scoped(trust_unref) struct trust *trust =
        test_trust_revoke(&fixture->authority, certificate->serial);
    CHECK_ERR(check_at(trust, identity, NOW_MS, 0), ERR_REVOKED);
    CHECK_ERR(trust_check_again(trust, certificate, NOW_MS, 0), ERR_REVOKED);
    CHECK(trust_is_revoked(trust, certificate->serial));
    CHECK(!trust_is_revoked(trust, certificate->serial + 1));
    CHECK(!trust_is_revoked(fixture->trust, certificate->serial));
}

static void tells_whose_a_refused_certificate_is(void **state)
{
    struct fixture *fixture = *state;
    struct test_identity_options options = {.is_expired = true};
    scoped(identity_unref) const struct identity *identity =
        test_identity_make(&fixture->authority, "alpha", &options);
    struct certificate found = {0};
    CHECK_ERR(trust_check(fixture->trust,
                          bytes_of(identity->encoded, identity->encoded_length),
                          NOW_MS, 0, &found, NULL),
              ERR_EXPIRED);
    assert_string_equal(found.name, "alpha");
}

static void checks_again_as_time_goes_on(void **state)
{
    struct fixture *fixture = *state;
    scoped(identity_unref) const struct identity *identity =
        test_identity_make(&fixture->authority, "alpha", NULL);
    const struct certificate *certificate = &identity->certificate;
    const struct trust *trust = fixture->trust;
    CHECK_OK(trust_check_again(trust, certificate, NOW_MS, 0));
    CHECK_ERR(
        trust_check_again(trust, certificate, NOW_MS + 31 * MS_PER_DAY, 0),
        ERR_EXPIRED);
    /* A clock that was set back cuts no living link. */
    CHECK_OK(
        trust_check_again(trust, certificate, NOW_MS - 90 * MS_PER_DAY, 0));
}

static struct trust_facts facts_of(const struct fixture *fixture)
{
    static const uint64_t revoked[] = {7, 3, 3, 90, 0};
    struct trust_facts facts = {.version = 5,
                                .authority_count = 2,
                                .revoked = revoked,
                                .revoked_count = 5};
    memcpy(facts.cluster_id, fixture->authority.cluster_id, CLUSTER_ID_BYTES);
    memcpy(facts.authorities[0], fixture->authority.key, 32);
    memcpy(facts.authorities[1], fixture->other.key, 32);
    return facts;
}

/* The text of facts_of(), signed by the first authority. */
static char *text_of(const struct fixture *fixture)
{
    char *text = NULL;
    struct trust_facts facts = facts_of(fixture);
    const uint8_t *signers[] = {fixture->authority.secret};
    CHECK_OK(trust_encode(&text, &facts, signers, 1));
    return text;
}

static void reads_back_what_was_written(void **state)
{
    struct fixture *fixture = *state;
    char *text = text_of(fixture);
    scoped(trust_unref) struct trust *trust = NULL;
    CHECK_OK(trust_decode(&trust, bytes_of_text(text), NULL));
    struct trust_facts facts = trust_facts(trust);
    CHECK(facts.version == 5 && facts.authority_count == 2);
    CHECK(facts.revoked_count == 3); /* each once, and no 0 */
    CHECK(facts.revoked[0] == 3 && facts.revoked[1] == 7);
    CHECK(facts.revoked[2] == 90);
    assert_memory_equal(trust_cluster_id(trust), fixture->authority.cluster_id,
                        CLUSTER_ID_BYTES);
    free(text);
}

static void refuses_every_changed_byte_of_the_file(void **state)
{
    struct fixture *fixture = *state;
    char *text = text_of(fixture);
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        for (int bit = 0; bit < 8; bit++) {
            struct trust *trust = NULL;
            text[i] = (char)(text[i] ^ 1 << bit);
            enum err err = trust_decode(&trust, bytes_of(text, length), NULL);
            CHECK(err == ERR_MALFORMED || err == ERR_FORGED);
            CHECK(trust == NULL);
            text[i] = (char)(text[i] ^ 1 << bit);
        }
    }
    free(text);
}

static void refuses_a_file_that_was_cut_or_has_more(void **state)
{
    struct fixture *fixture = *state;
    char *text = text_of(fixture);
    size_t length = strlen(text);
    struct trust *trust = NULL;
    for (size_t cut = 0; cut < length; cut++) {
        CHECK_ERR(trust_decode(&trust, bytes_of(text, cut), NULL),
                  ERR_MALFORMED);
    }
    text[length] = '\n';
    CHECK_ERR(trust_decode(&trust, bytes_of(text, length + 1), NULL),
              ERR_MALFORMED);
    free(text);
}

static void refuses_a_signature_of_nobody_it_names(void **state)
{
    struct fixture *fixture = *state;
    struct trust_facts facts = facts_of(fixture);
    struct test_authority stranger;
    test_authority_succeed(&stranger, &fixture->authority, 3);
    const uint8_t *signers[] = {stranger.secret};
    char *text = NULL;
    struct trust *trust = NULL;
    CHECK_OK(trust_encode(&text, &facts, signers, 1)); /* signs nothing */
    CHECK_ERR(trust_decode(&trust, bytes_of_text(text), NULL), ERR_MALFORMED);
    free(text);

    /* The stranger's own trust, with its name replaced by ours. */
    facts.authority_count = 1;
    memcpy(facts.authorities[0], stranger.key, 32);
    CHECK_OK(trust_encode(&text, &facts, signers, 1));
    char ours[65];
    char theirs[65];
    hex_encode(ours, bytes_of(fixture->authority.key, 32));
    hex_encode(theirs, bytes_of(stranger.key, 32));
    for (char *at = text; (at = strstr(at, theirs));) {
        memcpy(at, ours, 64);
    }
    CHECK_ERR(trust_decode(&trust, bytes_of_text(text), NULL), ERR_FORGED);
    free(text);
}

static void refuses_facts_that_no_file_could_hold(void **state)
{
    struct fixture *fixture = *state;
    struct trust *trust = NULL;
    struct trust_facts facts = facts_of(fixture);
    facts.authority_count = 0;
    CHECK_ERR(trust_make(&trust, &facts), ERR_INVALID);
    facts.authority_count = TRUST_AUTHORITY_COUNT_MAX + 1;
    CHECK_ERR(trust_make(&trust, &facts), ERR_INVALID);
    facts = facts_of(fixture);
    memcpy(facts.authorities[1], facts.authorities[0], 32);
    CHECK_ERR(trust_make(&trust, &facts), ERR_INVALID);
    facts = facts_of(fixture);
    facts.revoked_count = TRUST_REVOKED_COUNT_MAX + 1;
    CHECK_ERR(trust_make(&trust, &facts), ERR_INVALID);
}

static void holds_as_many_revocations_as_it_says(void **state)
{
    struct fixture *fixture = *state;
    uint64_t *revoked = calloc(TRUST_REVOKED_COUNT_MAX, sizeof *revoked);
    CHECK(revoked != NULL);
    for (uint64_t i = 0; i < TRUST_REVOKED_COUNT_MAX; i++) {
        revoked[i] = UINT64_MAX - i;
    }
    struct trust_facts facts = facts_of(fixture);
    facts.revoked = revoked;
    facts.revoked_count = TRUST_REVOKED_COUNT_MAX;
    const uint8_t *signers[] = {fixture->authority.secret,
                                fixture->other.secret};
    char *text = NULL;
    scoped(trust_unref) struct trust *trust = NULL;
    CHECK_OK(trust_encode(&text, &facts, signers, 2));
    CHECK(strlen(text) <= 2u << 20);
    CHECK_OK(trust_decode(&trust, bytes_of_text(text), NULL));
    CHECK(trust_is_revoked(trust, UINT64_MAX));
    CHECK(trust_is_revoked(trust, UINT64_MAX - TRUST_REVOKED_COUNT_MAX + 1));
    CHECK(!trust_is_revoked(trust, UINT64_MAX - TRUST_REVOKED_COUNT_MAX));
    free(text);
    free(revoked);
}

static void counts_certificates_of_both_authorities(void **state)
{
    struct fixture *fixture = *state;
    struct trust_facts facts = facts_of(fixture);
    scoped(trust_unref) struct trust *trust = NULL;
    CHECK_OK(trust_make(&trust, &facts));
    scoped(identity_unref) const struct identity *old =
        test_identity_make(&fixture->authority, "alpha",
                           &(struct test_identity_options){.serial = 100});
    scoped(identity_unref) const struct identity *new =
        test_identity_make(&fixture->other, "alpha",
                           &(struct test_identity_options){.serial = 101});
    CHECK_OK(check_at(trust, old, NOW_MS, 0));
    CHECK_OK(check_at(trust, new, NOW_MS, 0));
    CHECK_ERR(check_at(fixture->trust, new, NOW_MS, 0), ERR_FORGED);
}

/* A trust that names and is signed by `authorities`, as a file would be. */
static struct trust *signed_trust(const struct test_authority *const *named,
                                  uint32_t count,
                                  const struct test_authority *signer,
                                  uint64_t version)
{
    struct trust_facts facts = {.version = version, .authority_count = count};
    memcpy(facts.cluster_id, named[0]->cluster_id, CLUSTER_ID_BYTES);
    for (uint32_t i = 0; i < count; i++) {
        memcpy(facts.authorities[i], named[i]->key, 32);
    }
    const uint8_t *signers[] = {signer->secret};
    char *text = NULL;
    struct trust *trust = NULL;
    CHECK_OK(trust_encode(&text, &facts, signers, 1));
    CHECK_OK(trust_decode(&trust, bytes_of_text(text), NULL));
    free(text);
    return trust;
}

static void takes_the_next_trust_only_from_one_it_trusts(void **state)
{
    struct fixture *fixture = *state;
    const struct test_authority *a = &fixture->authority;
    const struct test_authority *b = &fixture->other;
    const struct test_authority *both[] = {a, b};
    scoped(trust_unref) struct trust *first = signed_trust(&a, 1, a, 1);
    scoped(trust_unref) struct trust *staged = signed_trust(both, 2, a, 2);
    scoped(trust_unref) struct trust *retired = signed_trust(&b, 1, b, 3);
    CHECK_OK(trust_check_next(first, staged, NULL));
    CHECK_OK(trust_check_next(staged, retired, NULL));
    CHECK_ERR(trust_check_next(first, retired, NULL), ERR_FORGED);
    CHECK_ERR(trust_check_next(staged, first, NULL), ERR_SUPERSEDED);
    CHECK_ERR(trust_check_next(staged, staged, NULL), ERR_SUPERSEDED);
    struct test_authority foreign;
    test_authority_init(&foreign, 9, NOW_MS);
    const struct test_authority *f = &foreign;
    scoped(trust_unref) struct trust *other = signed_trust(&f, 1, f, 9);
    CHECK_ERR(trust_check_next(first, other, NULL), ERR_OTHER_CLUSTER);
}

static void names_the_file_and_line_of_an_error(void **state)
{
    struct fixture *fixture = *state;
    char *text = text_of(fixture);
    struct memory_files memory = {0};
    struct files files = memory_files_table(&memory);
    struct err_detail why = {0};
    struct trust *trust = NULL;
    CHECK_ERR(trust_open(&trust, &files, "trust", &why), ERR_NOT_FOUND);
    CHECK(strstr(why.text, "trust: ") != NULL);
    memcpy(strstr(text, "version"), "Version", 7);
    CHECK_OK(files.write(files.context, "trust", FILE_PUBLIC, false,
                         bytes_of_text(text)));
    CHECK_ERR(trust_open(&trust, &files, "trust", &why), ERR_MALFORMED);
    CHECK(strstr(why.text, "trust: line 3: ") == why.text);
    memory_files_clear(&memory);
    free(text);
}

static void is_shared_until_the_last_holder_goes(void **state)
{
    struct fixture *fixture = *state;
    struct trust *mine = trust_ref(fixture->trust);
    struct trust *yours = trust_ref(mine);
    trust_unref(&mine);
    CHECK(mine == NULL);
    CHECK(trust_version(yours) == 1);
    trust_unref(&yours);
    trust_unref(&yours); /* NULL is fine */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tells_what_is_wrong_with_a_certificate),
        TEST(forgives_clocks_up_to_the_skew),
        TEST(survives_absurd_clocks),
        TEST(refuses_what_is_revoked),
        TEST(tells_whose_a_refused_certificate_is),
        TEST(checks_again_as_time_goes_on),
        TEST(reads_back_what_was_written),
        TEST(refuses_every_changed_byte_of_the_file),
        TEST(refuses_a_file_that_was_cut_or_has_more),
        TEST(refuses_a_signature_of_nobody_it_names),
        TEST(refuses_facts_that_no_file_could_hold),
        TEST(holds_as_many_revocations_as_it_says),
        TEST(counts_certificates_of_both_authorities),
        TEST(takes_the_next_trust_only_from_one_it_trusts),
        TEST(names_the_file_and_line_of_an_error),
        TEST(is_shared_until_the_last_holder_goes),
    };
    if (identity_library_init()) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
