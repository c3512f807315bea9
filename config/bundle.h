/*
 * A folder that is ready to be copied to one host: NAME.cert, NAME.key and
 * trust.
 *
 * No secrets are kept here. One thread.
 */

#ifndef CONFIG_BUNDLE_H
#define CONFIG_BUNDLE_H

#include "base/env.h"
#include "base/err.h"
#include "config/changes.h"
#include "config/identity.h"
#include "config/trust.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Put a new identity into `folder`, which is made when it is not there.
 *
 * ERR_EXISTS          NAME.cert or NAME.key is there
 * ERR_OTHER_CLUSTER   the trust that is there is another cluster's
 * ERR_NO_SPACE, ERR_IO, ERR_MEMORY
 */
FALLIBLE bundle_make(struct changes *changes,
                     const struct files *files,
                     const char *folder,
                     const struct identity *identity,
                     const char *trust_text,
                     struct err_detail *why);

/*
 * Put a renewed identity in the place of the older one (or make the folder,
 * when the older one is not there). The key is written before the
 * certificate, and its file keeps the older key behind the new one: whenever
 * this stops, and in whatever order the two are copied after that, key before
 * certificate, there is a key for the certificate. Errors as above, and
 * ERR_EXPOSED: the older key's file.
 */
FALLIBLE bundle_renew(struct changes *changes,
                      const struct files *files,
                      const char *folder,
                      const struct identity *identity,
                      const char *trust_text,
                      struct err_detail *why);

/* What bundle_put_trust() found. */
struct bundle_trust {
    bool is_there;    /* a trust of this cluster */
    bool is_replaced; /* by a newer one */
    uint64_t old_version;
};

/*
 * Replace the folder's trust if it is an older one of the same cluster;
 * nothing is done when there is none. ERR_NO_SPACE, ERR_IO, ERR_MEMORY
 */
FALLIBLE bundle_put_trust(struct bundle_trust *out,
                          const struct files *files,
                          const char *folder,
                          const char *trust_text,
                          struct err_detail *why);

#endif
