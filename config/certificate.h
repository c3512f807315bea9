/*
 * Who somebody is: a name, a role and an X25519 key, signed by the cluster's
 * Ed25519 authority.
 *
 * Plain data and pure functions. A certificate is public; the format is in
 * docs/identity.md.
 */

#ifndef CONFIG_CERTIFICATE_H
#define CONFIG_CERTIFICATE_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define CERTIFICATE_BYTES_MAX 1024 /* encoded, with its signature */
#define CERTIFICATE_NAME_BYTES 64  /* with its terminating zero */
#define CERTIFICATE_POOLS_BYTES 256
#define CERTIFICATE_KEY_BYTES 32
#define CERTIFICATE_TIME_MAX 253402300799 /* Unix seconds, end of 9999 */
#define CLUSTER_ID_BYTES 16

enum role {
    ROLE_NODE,     /* a member of the cluster */
    ROLE_CLIENT,   /* uses it, within its rights */
    ROLE_OPERATOR, /* steers it */
    ROLE_OBSERVER, /* looks at it */
    ROLE_COUNT
};

/* "node", "client", ...; static. */
const char *role_text(enum role role);

/* False when `text` is no role. */
bool role_from_text(enum role *out, const char *text);

struct certificate {
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    uint64_t serial; /* rises with each one that is issued in a cluster */
    char name[CERTIFICATE_NAME_BYTES];
    enum role role;
    char pools[CERTIFICATE_POOLS_BYTES]; /* ROLE_CLIENT: the task pools it may
                                            use, "emails,report.*"; "*": all */
    int64_t not_before;                  /* Unix seconds */
    int64_t not_after; /* Unix seconds; from here on it has expired */
    uint8_t key[CERTIFICATE_KEY_BYTES]; /* X25519, public */
};

/*
 * Whether `name` may name a node, client or person: 1 to 63 of a-z 0-9 . _ -,
 * beginning with a letter or digit. It can be in a URL, a path or a command.
 */
bool certificate_name_is_valid(const char *name);

/*
 * Whether `pools` may stand in a client's certificate: "" (none), or task
 * pools with commas between, each 1 to 63 of a-z 0-9 . _ - and perhaps a `*`
 * at its end; at most 255 bytes in all.
 */
bool certificate_pools_are_valid(const char *pools);

/* Whether such a list has a task pool. */
bool certificate_pools_have(const char *pools, const char *pool);

/* Whether a client may use a task pool, by its certificate. */
bool certificate_may_use(const struct certificate *certificate,
                         const char *pool);

/*
 * Whether every field is within its bounds: what certificate_issue() asserts
 * and certificate_decode() demands. ERR_INVALID: `why` names the field.
 */
FALLIBLE certificate_validate(const struct certificate *certificate,
                              struct err_detail *why);

/*
 * Encode and sign what certificate_validate() accepts. `secret` is the
 * authority's Ed25519 secret key (64 bytes, as libsodium has it).
 * `*out_length` is at most CERTIFICATE_BYTES_MAX.
 */
void certificate_issue(uint8_t out[static CERTIFICATE_BYTES_MAX],
                       size_t *out_length,
                       const struct certificate *certificate,
                       const uint8_t secret[static 64]);

/*
 * Decode without any check of signature, time or cluster: for showing only.
 * To rely on one, call trust_check().
 *
 * ERR_MALFORMED   not a certificate, or one of an unknown version
 */
FALLIBLE certificate_decode(struct certificate *out, struct bytes encoded);

/*
 * Whether the Ed25519 key `authority` has signed these bytes. The form is
 * certificate_decode()'s matter.
 */
bool certificate_is_signed_by(struct bytes encoded,
                              const uint8_t authority[static 32]);

#endif
