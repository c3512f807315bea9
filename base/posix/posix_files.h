/*
 * Whole files on disk.
 *
 * Any thread.
 */

#ifndef BASE_POSIX_POSIX_FILES_H
#define BASE_POSIX_POSIX_FILES_H

#include "base/env.h"

/*
 * Static. Modes are exactly those of `enum file_access`, whatever the umask.
 * A secret is not read through a symbolic link (ERR_IO). SIGXFSZ must be
 * ignored if the size of files is limited (ERR_NO_SPACE).
 */
const struct files *posix_files(void);

#endif
