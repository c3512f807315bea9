/*
 * Any bytes as an encoded histogram: what is accepted is consistent, encodes
 * to the same bytes, and can be asked and merged.
 */

#include <stdlib.h>
#include <string.h>

#include "base/histogram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

static void check_counts(const struct histogram *histogram)
{
    uint64_t count = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
        MUST(histogram->buckets[i] <= HISTOGRAM_COUNT_MAX - count);
        count += histogram->buckets[i];
    }
    MUST(count == histogram->count);
}

static void check_percentiles(const struct histogram *histogram)
{
    static const double percents[] = {0, 50, 90, 99, 99.9, 99.99, 100};
    uint64_t last = histogram->min;
    for (size_t i = 0; i < sizeof percents / sizeof *percents; i++) {
        uint64_t value = histogram_percentile(histogram, percents[i]);
        MUST(value >= last && value <= histogram->max);
        last = value;
    }
    double mean = histogram_mean(histogram);
    MUST(mean >= (double)histogram->min * (1 - 1e-8));
    MUST(mean <= (double)histogram->max * (1 + 1e-8));
}

static void check_encoding(const struct histogram *histogram,
                           struct bytes encoded)
{
    static uint8_t buffer[HISTOGRAM_ENCODED_BYTES_MAX];
    struct writer writer = writer_of(buffer, sizeof buffer);
    histogram_encode(histogram, &writer);
    MUST(!writer.failed);
    MUST(bytes_are_equal(writer_bytes(&writer), encoded));
}

static void check_merging(const struct histogram *histogram)
{
    static struct histogram sum;
    sum = *histogram;
    enum err err = histogram_merge(&sum, histogram);
    MUST(err == (histogram->count > HISTOGRAM_COUNT_MAX / 2 ? ERR_TOO_LARGE
                                                            : ERR_NONE));
    check_counts(&sum);
    check_percentiles(&sum);
    histogram_clear(&sum);
    MUST(histogram_merge(&sum, histogram) == ERR_NONE);
    MUST(memcmp(&sum, histogram, sizeof sum) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct histogram histogram;
    struct reader reader = reader_of(bytes_of(data, length));
    histogram_clear(&histogram);
    if (histogram_decode(&histogram, &reader) != ERR_NONE) {
        MUST(histogram.count == 0); /* as it was */
        return 0;
    }
    check_counts(&histogram);
    check_percentiles(&histogram);
    check_encoding(&histogram, bytes_of(data, length - reader_left(&reader)));
    check_merging(&histogram);
    return 0;
}
