/*
 * MessagePack into JSON values and back.
 *
 * What is decoded may come from anybody. Binary strings become hexadecimal
 * text; integers above 2^63 - 1, which jansson does not have, decimal text;
 * numbers that JSON does not have (NaN, infinity) null.
 */

#ifndef ADMIN_PACK_JSON_H
#define ADMIN_PACK_JSON_H

#include "base/bytes.h"
#include "base/err.h"

#include <jansson.h>

#define PACK_JSON_DEPTH_MAX 16
#define PACK_JSON_VALUES_MAX (1u << 20)
#define PACK_JSON_KEY_BYTES 256

/*
 * One value, and nothing behind it.
 *
 * ERR_MALFORMED   no MessagePack, too deep, not UTF-8, a key that is no text,
 *                 or twice in a map
 * ERR_TOO_LARGE   more than PACK_JSON_VALUES_MAX values
 * ERR_MEMORY
 */
FALLIBLE pack_json_decode(json_t **out, struct bytes bytes);

/* A value of our own, such as the arguments of a question. */
void pack_json_encode(struct writer *writer, const json_t *value);

#endif
