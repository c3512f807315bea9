/*
 * Authorities, trust and identities in memory, for tests and the simulator.
 *
 * A seed decides every key. What cannot be made (memory, locked memory) ends
 * the process with a message: no test can go on without it. Call
 * identity_library_init() first.
 */

#ifndef TESTS_SUPPORT_TEST_IDENTITY_H
#define TESTS_SUPPORT_TEST_IDENTITY_H

#include "config/certificate.h"
#include "config/identity.h"
#include "config/trust.h"

#include <stdint.h>

struct test_authority {
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    uint8_t key[32];    /* Ed25519, public */
    uint8_t secret[64]; /* as libsodium has it */
    int64_t now;        /* Unix seconds: what is valid is valid then */
    uint64_t next_serial;
    uint64_t seed;
    uint64_t made_count; /* keys made so far */
};

/* `wall_ms` is the time at which identities are valid, +- 30 days. */
void test_authority_init(struct test_authority *authority,
                         uint64_t seed,
                         int64_t wall_ms);

/* Another authority of the same cluster, as after a rotation. */
void test_authority_succeed(struct test_authority *next,
                            const struct test_authority *authority,
                            uint64_t seed);

/* The trust of version 1 in this authority, nothing revoked. */
struct trust *test_trust_make(const struct test_authority *authority);

/* The same with one serial revoked, of version 2. */
struct trust *test_trust_revoke(const struct test_authority *authority,
                                uint64_t serial);

/* How an identity differs from a valid one. Zero: not at all. */
struct test_identity_options {
    enum role role;        /* default: node */
    const char *pools;     /* for a client */
    uint64_t serial;       /* default: the next one */
    bool is_expired;       /* a day ago */
    bool is_not_yet_valid; /* only from tomorrow on */
    bool is_of_other_cluster;
    bool is_forged;     /* signed by nobody's key */
    int64_t not_before; /* Unix seconds; when not 0 */
    int64_t not_after;  /* Unix seconds; when not 0 */
};

/* `options` may be NULL. The caller unrefs it. */
const struct identity *test_identity_make(
    struct test_authority *authority,
    const char *name,
    const struct test_identity_options *options);

#endif
