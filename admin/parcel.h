/*
 * Named files in memory, saved as one tar file (POSIX ustar) or as a folder,
 * with a checksum of each in SHA256SUMS, as sha256sum(1) reads it.
 *
 * Owned by one thread. What is loaded may come from anybody.
 */

#ifndef ADMIN_PARCEL_H
#define ADMIN_PARCEL_H

#include "base/bytes.h"
#include "base/env.h"
#include "base/err.h"

#define PARCEL_NAME_BYTES 100 /* with its terminating zero, as in ustar */
#define PARCEL_FILE_COUNT_MAX 16384
#define PARCEL_BYTES_MAX (UINT64_C(1) << 30) /* of all together */

struct parcel;

/* Empty. ERR_MEMORY */
FALLIBLE parcel_open(struct parcel **out);
void parcel_close(struct parcel **parcel);

/*
 * Add a copy of a file, "nodes/alpha/log.txt": letters, digits, and "._-/",
 * nothing hidden.
 *
 * ERR_INVALID     that is no such name
 * ERR_EXISTS
 * ERR_TOO_LARGE   too many files, or bytes
 * ERR_MEMORY
 */
FALLIBLE parcel_add(struct parcel *parcel,
                    const char *name,
                    struct bytes content);

/* NULL: no such file. Terminated by a zero behind its end. */
const char *parcel_find(const struct parcel *parcel,
                        const char *name,
                        size_t *out_length);

/* How many files there are, and the name of each. */
size_t parcel_count(const struct parcel *parcel);
const char *parcel_name_at(const struct parcel *parcel, size_t index);

/*
 * Add SHA256SUMS, and save as a tar file when `path` ends with ".tar", else as
 * a folder that is not there yet. For the owner alone. `wall_ms` is when the
 * files were made. A file is whole or not there; a folder that failed is left.
 *
 * ERR_EXISTS      there is something of that name
 * what struct files says; `why` names the file
 */
FALLIBLE parcel_save(struct parcel *parcel,
                     const struct files *files,
                     const char *path,
                     int64_t wall_ms,
                     struct err_detail *why);

/*
 * Load either, with all that its SHA256SUMS names.
 *
 * ERR_NOT_FOUND   no such file
 * ERR_MALFORMED   damaged, or no parcel: `why` says which file, and what
 * what struct files says
 */
FALLIBLE parcel_load(struct parcel **out,
                     const struct files *files,
                     const char *path,
                     struct err_detail *why);

#endif
