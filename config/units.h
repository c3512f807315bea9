/*
 * Numbers with units, as people write them: "250ms", "64KiB"; and back.
 *
 * Pure. A number is decimal digits without a leading zero, a unit follows
 * without a space; there are no fractions ("1500ms", not "1.5s").
 */

#ifndef CONFIG_UNITS_H
#define CONFIG_UNITS_H

#include "base/err.h"

#include <stdint.h>

#define UNITS_TEXT_BYTES 32

/* The smallest part of time that a duration may be made of. */
enum units_time {
    UNITS_US,
    UNITS_MS,
};

/*
 * A plain number.
 *
 * ERR_MALFORMED   not digits
 * ERR_TOO_LARGE   beyond 2^64 - 1
 */
FALLIBLE units_number(uint64_t *out, const char *text);

/*
 * A duration in us, ms, s, m, h or d; "0" needs no unit. `*out` is in `part`.
 *
 * ERR_MALFORMED   not a number, or not such a unit
 * ERR_INVALID     a number without a unit, or not a whole number of `part`
 * ERR_TOO_LARGE   beyond 2^64 - 1
 */
FALLIBLE
units_duration(uint64_t *out, const char *text, enum units_time part);

/*
 * A size in bytes: no unit or B; KiB, MiB, GiB, TiB (1024); kB, MB, GB, TB
 * (1000).
 *
 * ERR_MALFORMED   not a number, or not such a unit
 * ERR_TOO_LARGE   beyond 2^64 - 1 bytes
 */
FALLIBLE units_size(uint64_t *out, const char *text);

/* The shortest text that reads back as the same value. */
void units_number_text(char out[static UNITS_TEXT_BYTES], uint64_t value);
void units_duration_text(char out[static UNITS_TEXT_BYTES],
                         uint64_t value,
                         enum units_time part);
void units_size_text(char out[static UNITS_TEXT_BYTES], uint64_t bytes);

#endif
