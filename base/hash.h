/*
 * XXH3-64: checksums of what is stored, and keys to shards. Not for secrets.
 *
 * Pure.
 */

#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/bytes.h"

/* The same on every machine, for ever: it stands in files. */
uint64_t hash_bytes(struct bytes bytes, uint64_t seed);

/* The same of all the parts behind each other. Slower, for short ones. */
uint64_t hash_parts(const struct bytes *parts, size_t count, uint64_t seed);

#endif
