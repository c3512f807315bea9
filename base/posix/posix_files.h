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

/*
 * Whether somebody holds the lock on a path; makes and keeps nothing. Who
 * would lock it in the very moment is refused.
 *
 * ERR_BUSY     it is held
 * ERR_ACCESS   we may not look
 * ERR_IO       anything else
 */
FALLIBLE posix_files_look_at_lock(const char *path);

#endif
