/*
 * What an authority has issued: the one list of certificates, serials and
 * authority keys of a cluster. Trust follows from it.
 *
 * Plain data and pure functions; owned by an authority. The file is public
 * and holds no secret; its format is in docs/identity.md.
 */

#ifndef CONFIG_LEDGER_H
#define CONFIG_LEDGER_H

#include "base/bytes.h"
#include "base/err.h"
#include "config/certificate.h"
#include "config/trust.h"

#include <stdint.h>

#define LEDGER_ENTRY_COUNT_MAX 100000
#define LEDGER_FILE_BYTES_MAX (64u << 20)

enum ledger_state {
    LEDGER_ISSUED,
    LEDGER_SUPERSEDED, /* a newer one of that name was issued; valid still */
    LEDGER_REVOKED,
    LEDGER_STATE_COUNT
};

/* "issued", ...; static. */
const char *ledger_state_text(enum ledger_state state);

struct ledger_entry {
    struct certificate certificate;
    uint8_t authority[32]; /* the Ed25519 key that signed it */
    enum ledger_state state;
};

enum ledger_authority_state {
    LEDGER_AUTHORITY_ACTIVE,   /* signs: always exactly one */
    LEDGER_AUTHORITY_STAGED,   /* is trusted, will sign */
    LEDGER_AUTHORITY_RETIRING, /* has signed, is trusted still */
    LEDGER_AUTHORITY_STATE_COUNT
};

const char *ledger_authority_state_text(enum ledger_authority_state state);

struct ledger_authority {
    uint8_t key[32]; /* Ed25519, public */
    enum ledger_authority_state state;
    int64_t since; /* Unix seconds: in this state */
};

struct ledger {
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    char cluster_name[CERTIFICATE_NAME_BYTES];
    uint64_t next_serial;
    uint64_t trust_version;
    struct ledger_authority authorities[TRUST_AUTHORITY_COUNT_MAX];
    uint32_t authority_count;

    struct ledger_entry *entries; /* by serial, rising */
    uint32_t entry_count;
    uint32_t entry_capacity;
};

/* Frees the entries; leaves it empty. */
void ledger_clear(struct ledger *ledger);

/* Into an empty ledger. ERR_MALFORMED (`why` has the line), ERR_MEMORY */
FALLIBLE ledger_decode(struct ledger *out,
                       struct bytes text,
                       struct err_detail *why);

/* `*out` is freed by the caller with free(). ERR_MEMORY */
FALLIBLE ledger_encode(char **out, const struct ledger *ledger);

/* Append; its serial is above all others. ERR_MEMORY, ERR_FULL */
FALLIBLE ledger_add(struct ledger *ledger, const struct ledger_entry *entry);

/* The authority in this state, or NULL. */
const struct ledger_authority *ledger_find_authority(
    const struct ledger *ledger, enum ledger_authority_state state);

/* Whether the key is one of its authorities: a retired one is not. */
bool ledger_names_authority(const struct ledger *ledger,
                            const uint8_t key[static 32]);

/* By serial, or NULL. */
struct ledger_entry *ledger_find(const struct ledger *ledger, uint64_t serial);

/* The newest of this name that is LEDGER_ISSUED, or NULL. */
struct ledger_entry *ledger_find_issued(const struct ledger *ledger,
                                        const char *name);

/*
 * What trust says of this ledger: its authorities, and the revoked
 * certificates that one of these has signed. `*revoked` is freed by the caller
 * with free(), after the facts' last use. ERR_MEMORY; ERR_FULL: too many
 */
FALLIBLE ledger_trust_facts(struct trust_facts *out,
                            uint64_t **revoked,
                            const struct ledger *ledger);

#endif
