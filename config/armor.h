/*
 * Bytes as text that survives mail, terminals and copying by hand: blocks of
 * base64 between a BEGIN and an END line.
 *
 * Pure. Base64 is done without branches or look-ups that depend on the bytes,
 * so it serves for secrets; wiping is the caller's.
 */

#ifndef CONFIG_ARMOR_H
#define CONFIG_ARMOR_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define ARMOR_CONTENT_BYTES_MAX 1024
#define ARMOR_TEXT_BYTES_MAX 2048 /* one block, with its terminating zero */

#define ARMOR_CERTIFICATE "TROUPE CERTIFICATE"
#define ARMOR_SECRET_KEY "TROUPE SECRET KEY"
#define ARMOR_AUTHORITY_KEY "TROUPE AUTHORITY KEY"

/*
 * Write one block of at most ARMOR_CONTENT_BYTES_MAX. `out->failed` when it
 * does not fit.
 */
void armor_write(struct writer *out, const char *label, struct bytes content);

/* A place in a text of blocks. */
struct armor {
    struct bytes rest;
    uint32_t line; /* of the first byte of `rest`, from 1 */
};

struct armor armor_of(struct bytes text);

/* Whether nothing but white space is left. */
bool armor_is_at_end(struct armor *armor);

/*
 * Read the next block into `to`. ERR_MALFORMED: it is not there, not base64,
 * or longer than `capacity`; `why` names the line
 */
FALLIBLE armor_read(struct armor *armor,
                    const char *label,
                    struct writer *to,
                    struct err_detail *why);

#endif
