/*
 * Folders of programs that clean up behind themselves.
 */

#ifndef BASE_POSIX_POSIX_FOLDER_H
#define BASE_POSIX_POSIX_FOLDER_H

#include "base/err.h"

/*
 * Remove a folder with all that is in it; symbolic links are not followed.
 * ERR_IO: something is left
 */
FALLIBLE posix_folder_remove(const char *path);

/*
 * The absolute path of a folder or file, symbolic links followed. `*out` is
 * freed by the caller with free(). ERR_NOT_FOUND, ERR_ACCESS, ERR_IO,
 * ERR_MEMORY
 */
FALLIBLE posix_folder_real(char **out, const char *path);

/*
 * A new folder of our own, its name beginning with `prefix`, where temporary
 * ones belong. `*out` is freed by the caller with free(). ERR_ACCESS,
 * ERR_NO_SPACE, ERR_IO, ERR_MEMORY
 */
FALLIBLE posix_folder_temporary(char **out, const char *prefix);

#endif
