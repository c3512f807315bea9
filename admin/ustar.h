/*
 * The blocks of a tar file (POSIX.1-1988 "ustar"): plain files alone.
 *
 * Pure.
 */

#ifndef ADMIN_USTAR_H
#define ADMIN_USTAR_H

#include "base/bytes.h"
#include "base/err.h"

#define USTAR_BLOCK_BYTES 512
#define USTAR_NAME_BYTES 100 /* with its terminating zero */
#define USTAR_SIZE_MAX ((UINT64_C(1) << 33) - 1)

struct ustar_entry {
    char name[USTAR_NAME_BYTES];
    struct bytes content; /* borrowed */
    int64_t at_s;         /* Unix time; when it was made */
};

/* How many bytes an entry takes, and what stands behind the last. */
size_t ustar_bytes(size_t content_length);
#define USTAR_END_BYTES (2 * USTAR_BLOCK_BYTES)

/* For the owner alone to read. The writer must have room. */
void ustar_write(struct writer *writer, const struct ustar_entry *entry);
void ustar_write_end(struct writer *writer);

/*
 * The next plain file; folders, and what other programs add about files, are
 * skipped. `*has_entry` is false at the end.
 *
 * ERR_MALFORMED   `why` says what and where
 */
FALLIBLE ustar_read(struct reader *reader,
                    struct ustar_entry *out,
                    bool *has_entry,
                    struct err_detail *why);

#endif
