/*
 * The cluster's offline authority: its Ed25519 keys, its ledger, and what it
 * does with them. Changes are made in memory; authority_save() writes them.
 *
 * A folder holds `authority.key` (secret), `ledger` and `trust` (public), and
 * a file `lock`, locked while a command writes. One thread.
 */

#ifndef CONFIG_AUTHORITY_H
#define CONFIG_AUTHORITY_H

#include "base/env.h"
#include "base/err.h"
#include "base/time_units.h"
#include "config/changes.h"
#include "config/identity.h"
#include "config/ledger.h"

#include <stdint.h>

#define AUTHORITY_VALID_SECONDS_MIN 60
#define AUTHORITY_VALID_SECONDS_MAX (100 * 365 * S_PER_DAY)
#define AUTHORITY_VALID_SECONDS_DEFAULT (365 * S_PER_DAY)
/* How long before its issue a certificate is valid: for slow clocks. */
#define AUTHORITY_BACKDATE_SECONDS 3600

struct authority;

/* Must outlive the authority. */
struct authority_world {
    const struct files *files;
    const struct clock *clock;
    const struct entropy *entropy;
};

enum authority_use {
    AUTHORITY_READ, /* the ledger alone: no secret is read */
    AUTHORITY_WRITE /* with its keys, and alone: until it is closed */
};

/* A new one for a new cluster. ERR_LIMIT, ERR_MEMORY; ERR_INVALID: its name */
FALLIBLE authority_make(struct authority **out,
                        const struct authority_world *world,
                        const char *cluster_name,
                        struct err_detail *why);

/*
 * ERR_NOT_FOUND, ERR_IO, ERR_EXPOSED, ERR_MALFORMED   a file
 * ERR_INVALID      the key file lacks the active key of the ledger
 * ERR_BUSY         another command writes: it holds `lock`
 * ERR_SUPERSEDED   the ledger is older than the trust beside it: an old copy
 *                  was put back, and serials would be given twice
 * ERR_LIMIT, ERR_MEMORY
 */
FALLIBLE authority_open(struct authority **out,
                        const struct authority_world *world,
                        const char *folder,
                        enum authority_use use,
                        struct err_detail *why);

/* Wipe the keys, unlock, free. What was not saved is lost. */
void authority_close(struct authority **authority);

const struct ledger *authority_ledger(const struct authority *authority);

/* Whether a certificate may be issued to this name. */
bool authority_may_name(const char *name);

struct authority_request {
    const char *name;
    enum role role;
    const char *pools;     /* NULL: none */
    int64_t valid_seconds; /* 0: AUTHORITY_VALID_SECONDS_DEFAULT */
};

/*
 * Make a key and a certificate for it.
 *
 * ERR_EXISTS    the name has a certificate that is valid: renew it
 * ERR_INVALID   a field, or this machine's clock is before the authority
 * ERR_LIMIT, ERR_MEMORY, ERR_FULL
 */
FALLIBLE authority_issue(struct authority *authority,
                         const struct authority_request *request,
                         const struct identity **out,
                         struct err_detail *why);

/*
 * Make a new key and certificate of the same name, role and pools; the older
 * one stays valid and is marked as superseded. `valid_seconds` may be 0: as
 * long as the older one.
 *
 * ERR_NOT_FOUND   nothing was issued to this name, or all of it is revoked
 */
FALLIBLE authority_renew(struct authority *authority,
                         const char *name,
                         int64_t valid_seconds,
                         const struct identity **out,
                         struct err_detail *why);

/* ERR_NOT_FOUND; ERR_REVOKED: it is already, nothing has changed */
FALLIBLE authority_revoke(struct authority *authority,
                          uint64_t serial,
                          struct err_detail *why);

/*
 * The rotation of the authority's own key, three steps, each some time after
 * the one before:
 *
 *   stage      a new key is made and put into trust, signed by the old one
 *   activate   the new key signs from now on; the old is trusted still
 *   retire     the old key is taken out of trust and deleted
 *
 * ERR_INVALID     it is another step's turn
 * ERR_IN_USE      retire without `force`: certificates in use are signed by
 *                 the old key
 */
FALLIBLE authority_stage(struct authority *authority, struct err_detail *why);
FALLIBLE authority_activate(struct authority *authority,
                            struct err_detail *why);
FALLIBLE authority_retire(struct authority *authority,
                          bool force,
                          struct err_detail *why);

/*
 * How many certificates of `state` that have not expired by `now` (Unix
 * seconds) were signed by this key.
 */
uint32_t authority_count_signed(const struct ledger *ledger,
                                const uint8_t key[static 32],
                                enum ledger_state state,
                                int64_t now);

/*
 * Write what has changed to `folder`, in an order which makes every state
 * that a crash may leave a good one: no serial is ever used twice, and what
 * lacks is written by the next save. After a failure close the authority.
 */
FALLIBLE authority_save(struct authority *authority,
                        const char *folder,
                        struct changes *changes,
                        struct err_detail *why);

/*
 * The text of `trust` as it follows from what was saved last (or, before the
 * first save, made); it does not depend on what is issued. `*out` is freed by
 * the caller with free(). ERR_MEMORY; ERR_FULL: too many are revoked
 */
FALLIBLE authority_encode_trust(char **out, const struct authority *authority);

/* The text of `trust`, as last saved; borrowed, never NULL after a save. */
const char *authority_trust_text(const struct authority *authority);

#endif
