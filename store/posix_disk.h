/*
 * The log's folder on a real disk.
 *
 * One thread at a time.
 */

#ifndef STORE_POSIX_DISK_H
#define STORE_POSIX_DISK_H

#include "base/err.h"
#include "store/disk.h"

struct posix_disk;

/*
 * Open a folder, which must be there. SIGXFSZ must be ignored if the size of
 * files is limited (ERR_NO_SPACE).
 *
 * ERR_NOT_FOUND, ERR_ACCESS, ERR_LIMIT, ERR_IO, ERR_MEMORY
 */
FALLIBLE posix_disk_open(struct posix_disk **out, const char *path);

/* Valid until posix_disk_close(). */
const struct disk *posix_disk_table(const struct posix_disk *disk);

/* All its files must be closed. */
void posix_disk_close(struct posix_disk **disk);

#endif
