/*
 * How often values occurred, to within 1 % of the value: for latencies and
 * sizes.
 *
 * Owned by one thread. Fixed memory (30 KiB), for 0 .. 2^64-1; all zero is
 * an empty histogram. Those of several threads or processes are merged
 * without loss.
 */

#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdint.h>

#define HISTOGRAM_BUCKET_COUNT 3776
#define HISTOGRAM_COUNT_MAX (UINT64_C(1) << 62)
#define HISTOGRAM_ENCODED_BYTES_MAX (37 + 10 * HISTOGRAM_BUCKET_COUNT)

struct histogram {
    uint64_t count;
    uint64_t min; /* when count > 0 */
    uint64_t max;
    uint64_t sum_low; /* 128 bits: the mean is exact */
    uint64_t sum_high;
    uint64_t buckets[HISTOGRAM_BUCKET_COUNT];
};

/* Forget all. */
void histogram_clear(struct histogram *histogram);

/* O(1). */
void histogram_record(struct histogram *histogram, uint64_t value);

/*
 * Add all of `from`.
 *
 * ERR_TOO_LARGE   more than HISTOGRAM_COUNT_MAX in all; nothing was added
 */
FALLIBLE histogram_merge(struct histogram *into, const struct histogram *from);

/*
 * The least value that `percent` (0 .. 100) of all values do not exceed, to
 * within 1 %; 0 gives the exact minimum, 100 the exact maximum. 0 when empty.
 */
uint64_t histogram_percentile(const struct histogram *histogram,
                              double percent);

/* 0 when empty. */
double histogram_mean(const struct histogram *histogram);

/*
 * Only buckets in use are written, little-endian: u8 version (1); u64 min,
 * max, sum_low, sum_high; u32 how many buckets; for each, in rising order,
 * u16 index and u64 count. At most HISTOGRAM_ENCODED_BYTES_MAX; `writer` has
 * failed when it was too small.
 */
void histogram_encode(const struct histogram *histogram, struct writer *writer);

/*
 * Read what histogram_encode() wrote; `out` is changed on success only.
 *
 * ERR_VERSION     an unknown version
 * ERR_MALFORMED   not one, or one that no recording can give
 */
FALLIBLE histogram_decode(struct histogram *out, struct reader *reader);

#endif
