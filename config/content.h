/*
 * The content of a small file of ours, and the words for a file that fails.
 *
 * Pure, but for the table of files.
 */

#ifndef CONFIG_CONTENT_H
#define CONFIG_CONTENT_H

#include "base/bytes.h"
#include "base/env.h"
#include "base/err.h"

/* Wiped when it is cleared: it may be a secret. */
struct content {
    char *text;    /* NULL: none; a zero stands behind its end */
    size_t length; /* bytes; there may be zeros among them */
};

/*
 * Read a whole file. On failure `why` names it and says what helps.
 *
 * ERR_MALFORMED   longer than `length_max`: not what it should be
 * ERR_NOT_FOUND, ERR_EXPOSED, ERR_ACCESS, ERR_IO, ERR_MEMORY
 */
FALLIBLE content_read(struct content *out,
                      const struct files *files,
                      const char *path,
                      enum file_access access,
                      size_t length_max,
                      struct err_detail *why);

void content_clear(struct content *content);

static inline struct bytes content_bytes(const struct content *content)
{
    return bytes_of(content->text, content->length);
}

/* SHA-256 in hexadecimal digits, as sha256sum(1) says it. */
#define CONTENT_SHA256_BYTES 65
void content_sha256(char out[static CONTENT_SHA256_BYTES], struct bytes bytes);

/* What failed of a file that was read or written, and what helps. */
void content_explain(struct err_detail *why, const char *path, enum err err);

#endif
