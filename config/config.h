/*
 * The configuration file: YAML in, checked settings out.
 *
 * All that is wrong with a file is found, not only the first. Pure, but for
 * the table of files.
 */

#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/bytes.h"
#include "base/env.h"
#include "base/err.h"
#include "config/problems.h"
#include "config/settings.h"

#define CONFIG_FILE_BYTES_MAX (1 << 20)

/*
 * Read and check a file. Relative folders in it count from the file's own
 * folder. `problems` is overwritten. On failure `*out` is not touched.
 *
 * ERR_INVALID     the file is wrong: `problems` says how
 * ERR_NOT_FOUND, ERR_TOO_LARGE, ERR_IO
 *                 it cannot be read: `problems` says so, too
 * ERR_MEMORY      `problems` may be empty
 */
FALLIBLE config_open(struct settings **out,
                     const struct files *files,
                     const char *path,
                     struct problems *problems);

/*
 * The same from memory. `file` names it in the problems; relative folders
 * stay as they are. ERR_INVALID, ERR_MEMORY
 */
FALLIBLE config_parse(struct settings **out,
                      struct bytes text,
                      const char *file,
                      struct problems *problems);

#endif
