/*
 * What a member of one cluster believes: the authorities whose signatures
 * count, and the certificates that are revoked.
 *
 * Immutable and counted, so that any thread may keep one while a newer one
 * takes its place. Read from a public file, `trust`, that is signed by an
 * authority which it names.
 */

#ifndef CONFIG_TRUST_H
#define CONFIG_TRUST_H

#include "base/bytes.h"
#include "base/env.h"
#include "base/err.h"
#include "config/certificate.h"

#include <stdint.h>

#define TRUST_AUTHORITY_COUNT_MAX 4
#define TRUST_REVOKED_COUNT_MAX 65536
#define TRUST_TEXT_BYTES_MAX (2u << 20)

struct trust;

/* What a trust file says. */
struct trust_facts {
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    uint64_t version;
    uint8_t authorities[TRUST_AUTHORITY_COUNT_MAX][32]; /* Ed25519, public */
    uint32_t authority_count;
    const uint64_t *revoked; /* serials, in any order when given */
    uint32_t revoked_count;
};

/*
 * Copies `facts`. ERR_MEMORY; ERR_INVALID: no authority, one twice, or too
 * many of something
 */
FALLIBLE trust_make(struct trust **out, const struct trust_facts *facts);

/*
 * Write the text of a trust file, signed by each of `signer_count` secret
 * keys (Ed25519, 64 bytes) of authorities that `facts` names. `*out` is
 * freed by the caller with free(). ERR_MEMORY; ERR_INVALID as trust_make()
 */
FALLIBLE trust_encode(char **out,
                      const struct trust_facts *facts,
                      const uint8_t *const *signers,
                      uint32_t signer_count);

/* The text of a trust file. ERR_MALFORMED, ERR_FORGED, ERR_MEMORY */
FALLIBLE trust_decode(struct trust **out,
                      struct bytes text,
                      struct err_detail *why);

/*
 * ERR_NOT_FOUND, ERR_IO   the file
 * ERR_MALFORMED           its form, with line
 * ERR_FORGED              an authority that it names has not signed it
 */
FALLIBLE trust_open(struct trust **out,
                    const struct files *files,
                    const char *path,
                    struct err_detail *why);

/* One more holder. Any thread. Returns `trust`. */
struct trust *trust_ref(struct trust *trust);

/* One holder less; the last one frees. Sets `*trust` to NULL. Any thread. */
void trust_unref(struct trust **trust);

/* CLUSTER_ID_BYTES long. */
const uint8_t *trust_cluster_id(const struct trust *trust);

/* Rises with each change of the file: an older one must not replace it. */
uint64_t trust_version(const struct trust *trust);

/* The file's text, with its signatures, to be handed on; empty when trust was
 * not read from one. Borrows from `trust`. */
struct bytes trust_text(const struct trust *trust);

/* Borrows from `trust`. */
struct trust_facts trust_facts(const struct trust *trust);

bool trust_is_revoked(const struct trust *trust, uint64_t serial);

/*
 * Whether `next` may take the place of `current`: the same cluster, a higher
 * version, and signed by an authority that `current` names.
 *
 * ERR_OTHER_CLUSTER, ERR_SUPERSEDED, ERR_FORGED
 */
FALLIBLE trust_check_next(const struct trust *current,
                          const struct trust *next,
                          struct err_detail *why);

/*
 * Check a certificate at the time `wall_ms`; a clock that is wrong by less
 * than `clock_skew_ms_max` does no harm. `*out` is set on success, and when
 * only its time or revocation is wrong (for telling whose it is). Any thread.
 *
 * ERR_MALFORMED      its form
 * ERR_OTHER_CLUSTER  signed for another cluster
 * ERR_FORGED         no authority we trust has signed it
 * ERR_NOT_YET_VALID, ERR_EXPIRED, ERR_REVOKED
 */
FALLIBLE trust_check(const struct trust *trust,
                     struct bytes encoded,
                     int64_t wall_ms,
                     uint64_t clock_skew_ms_max,
                     struct certificate *out,
                     struct err_detail *why);

/*
 * The same for one that has been checked before, as time goes on and
 * revocations come. ERR_EXPIRED, ERR_REVOKED
 */
FALLIBLE trust_check_again(const struct trust *trust,
                           const struct certificate *certificate,
                           int64_t wall_ms,
                           uint64_t clock_skew_ms_max);

#endif
