/*
 * Taking out of a bundle's texts what others need not know: whole words, each
 * replaced by another one, the same everywhere.
 *
 * Pure; owned by one thread.
 */

#ifndef ADMIN_DEBUG_REDACT_H
#define ADMIN_DEBUG_REDACT_H

#include "base/err.h"

#include <stddef.h>

struct debug_redact;

/* ERR_MEMORY */
FALLIBLE debug_redact_open(struct debug_redact **out);
void debug_redact_close(struct debug_redact **redact);

/* "host", 3 becomes "host-3". One that is known, or "", is not added again.
 * ERR_MEMORY */
FALLIBLE debug_redact_add(struct debug_redact *redact,
                          const char *kind,
                          const char *word);

/* A copy of the text without them; the caller frees it. Letters, digits, '.',
 * '_' and '-' make up words, but a '.' at a word's end. ERR_MEMORY */
FALLIBLE debug_redact_apply(const struct debug_redact *redact,
                            const char *text,
                            char **out);

#endif
