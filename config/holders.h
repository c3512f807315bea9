/*
 * Whose certificates are in a folder, for who is not told which to take.
 *
 * Pure, but for the table of files.
 */

#ifndef CONFIG_HOLDERS_H
#define CONFIG_HOLDERS_H

#include "base/env.h"
#include "base/err.h"
#include "config/certificate.h"

struct holders {
    uint32_t count;
    char first[CERTIFICATE_NAME_BYTES];
    char names[256]; /* all, for people; cut */
};

/* Of the roles in `roles`, a bit for each (1u << ROLE_...). What cannot be read
 * is left out: who is taken is read again, and then it is told. ERR_NOT_FOUND,
 * ERR_IO: the folder */
FALLIBLE holders_find(struct holders *out,
                      const struct files *files,
                      const char *folder,
                      uint32_t roles);

#endif
