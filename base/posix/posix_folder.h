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

#endif
