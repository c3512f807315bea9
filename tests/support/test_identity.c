#include "tests/support/test_identity.h"

#include "base/time_units.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

static void must(enum err err, const char *what)
{
    if (err) {
        (void)fprintf(stderr, "test identity: %s: %s\n", what, err_text(err));
        abort();
    }
}

/* 32 bytes that `seed` and `number` decide. */
static void make_seed(uint8_t out[static 32], uint64_t seed, uint64_t number)
{
    uint8_t raw[16];
    put_u64(raw, seed);
    put_u64(raw + 8, number);
    (void)crypto_generichash(out, 32, raw, sizeof raw, NULL, 0);
}

void test_authority_init(struct test_authority *authority,
                         uint64_t seed,
                         int64_t wall_ms)
{
    uint8_t material[32];
    *authority = (struct test_authority){
        .now = wall_ms / 1000, .next_serial = 1, .seed = seed};
    make_seed(material, seed, UINT64_MAX);
    memcpy(authority->cluster_id, material, CLUSTER_ID_BYTES);
    make_seed(material, seed, UINT64_MAX - 1);
    (void)crypto_sign_seed_keypair(authority->key, authority->secret, material);
}

void test_authority_succeed(struct test_authority *next,
                            const struct test_authority *authority,
                            uint64_t seed)
{
    test_authority_init(next, seed, authority->now * 1000);
    memcpy(next->cluster_id, authority->cluster_id, CLUSTER_ID_BYTES);
    next->next_serial = authority->next_serial;
}

static struct trust *make_trust(const struct test_authority *authority,
                                uint64_t version,
                                const uint64_t *revoked)
{
    struct trust_facts facts = {.version = version,
                                .authority_count = 1,
                                .revoked = revoked,
                                .revoked_count = revoked ? 1 : 0};
    memcpy(facts.cluster_id, authority->cluster_id, CLUSTER_ID_BYTES);
    memcpy(facts.authorities[0], authority->key, sizeof authority->key);
    struct trust *trust = NULL;
    must(trust_make(&trust, &facts), "trust");
    return trust;
}

struct trust *test_trust_make(const struct test_authority *authority)
{
    return make_trust(authority, 1, NULL);
}

struct trust *test_trust_revoke(const struct test_authority *authority,
                                uint64_t serial)
{
    return make_trust(authority, 2, &serial);
}

static struct certificate describe(struct test_authority *authority,
                                   const char *name,
                                   const struct test_identity_options *options)
{
    struct certificate certificate = {
        .serial = options->serial ? options->serial : authority->next_serial++,
        .role = options->role,
        .not_before = authority->now - 30 * S_PER_DAY,
        .not_after = authority->now + 30 * S_PER_DAY};
    if (options->is_expired) {
        certificate.not_after = authority->now - S_PER_DAY;
    }
    if (options->is_not_yet_valid) {
        certificate.not_before = authority->now + S_PER_DAY;
    }
    if (options->not_before) {
        certificate.not_before = options->not_before;
    }
    if (options->not_after) {
        certificate.not_after = options->not_after;
    }
    if (certificate.not_before < 0) {
        certificate.not_before = 0; /* virtual time may begin at 1970 */
    }
    memcpy(certificate.cluster_id, authority->cluster_id, CLUSTER_ID_BYTES);
    certificate.cluster_id[0] ^= options->is_of_other_cluster;
    (void)snprintf(certificate.name, sizeof certificate.name, "%s", name);
    (void)snprintf(certificate.pools, sizeof certificate.pools, "%s",
                   options->pools ? options->pools : "");
    return certificate;
}

const struct identity *test_identity_make(
    struct test_authority *authority,
    const char *name,
    const struct test_identity_options *options)
{
    static const struct test_identity_options none = {0};
    options = options ? options : &none;
    struct certificate certificate = describe(authority, name, options);
    uint8_t secret[CERTIFICATE_KEY_BYTES];
    make_seed(secret, authority->seed, authority->made_count++);
    (void)crypto_scalarmult_base(certificate.key, secret);
    struct err_detail why = {0};
    enum err err = certificate_validate(&certificate, &why);
    must(err, err ? why.text : "");

    uint8_t encoded[CERTIFICATE_BYTES_MAX];
    size_t length = 0;
    uint8_t signer[64];
    memcpy(signer, authority->secret, sizeof signer);
    if (options->is_forged) {
        uint8_t key[32];
        uint8_t material[32];
        make_seed(material, authority->seed, UINT64_MAX - 2);
        (void)crypto_sign_seed_keypair(key, signer, material);
    }
    certificate_issue(encoded, &length, &certificate, signer);
    const struct identity *identity = NULL;
    must(identity_make(&identity, secret, bytes_of(encoded, length)),
         "identity");
    return identity;
}
