/*
 * Log-linear buckets: 128 of width 1 for 0 .. 127, then 64 for each power of
 * two, so a bucket is at most 1/64 of its lowest value wide, and its middle
 * at most 1/128 away from any value in it.
 *
 * With `shift` the number of low bits that are dropped, a value of a bucket
 * begins with the 7 bits `index - 64 * shift`.
 */

#include "base/histogram.h"

#include <assert.h>

#define HALF_BITS 6
#define HALF (1u << HALF_BITS) /* buckets of a power of two */
#define VERSION 1

static_assert(HISTOGRAM_BUCKET_COUNT == (63 - HALF_BITS) * HALF + 2 * HALF,
              "the highest bit of 64 has its buckets");

static size_t bucket_of(uint64_t value)
{
    unsigned highest_bit = 63u - (unsigned)__builtin_clzll(value | 1);
    unsigned shift = highest_bit > HALF_BITS ? highest_bit - HALF_BITS : 0;
    return (size_t)shift * HALF + (size_t)(value >> shift);
}

static unsigned shift_of(size_t bucket)
{
    return bucket < 2 * HALF ? 0 : (unsigned)(bucket / HALF) - 1;
}

static uint64_t middle_of(size_t bucket)
{
    unsigned shift = shift_of(bucket);
    uint64_t lowest = (uint64_t)(bucket - (size_t)shift * HALF) << shift;
    return lowest + ((UINT64_C(1) << shift) >> 1);
}

static void add_to_sum(struct histogram *histogram, uint64_t low, uint64_t high)
{
    histogram->sum_low += low;
    histogram->sum_high += high + (histogram->sum_low < low);
}

void histogram_clear(struct histogram *histogram)
{
    *histogram = (struct histogram){0};
}

void histogram_record(struct histogram *histogram, uint64_t value)
{
    if (histogram->count == 0 || value < histogram->min) {
        histogram->min = value;
    }
    if (value > histogram->max) {
        histogram->max = value;
    }
    histogram->count++;
    histogram->buckets[bucket_of(value)]++;
    add_to_sum(histogram, value, 0);
}

enum err histogram_merge(struct histogram *into, const struct histogram *from)
{
    if (from->count == 0) {
        return ERR_NONE;
    }
    if (from->count > HISTOGRAM_COUNT_MAX ||
        into->count > HISTOGRAM_COUNT_MAX - from->count) {
        return ERR_TOO_LARGE;
    }
    if (into->count == 0 || from->min < into->min) {
        into->min = from->min;
    }
    if (from->max > into->max) {
        into->max = from->max;
    }
    into->count += from->count;
    add_to_sum(into, from->sum_low, from->sum_high);
    for (size_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
        into->buckets[i] += from->buckets[i];
    }
    return ERR_NONE;
}

/* Which one of the sorted values, from 1 on. */
static uint64_t rank_of(uint64_t count, double percent)
{
    /* 99.99 % of 10,000 is 9999, though the product may be a little more. */
    double exact = percent / 100 * (double)count * (1 - 1e-12);
    uint64_t rank = (uint64_t)exact;
    rank += (double)rank < exact;
    return rank < 1 ? 1 : rank > count ? count : rank;
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent)
{
    assert(percent >= 0 && percent <= 100);
    if (histogram->count == 0 || percent <= 0) {
        return histogram->min;
    }
    uint64_t rank = rank_of(histogram->count, percent);
    if (rank == histogram->count) {
        return histogram->max;
    }
    uint64_t passed = 0;
    size_t bucket = 0;
    while (passed + histogram->buckets[bucket] < rank) {
        passed += histogram->buckets[bucket++];
        assert(bucket < HISTOGRAM_BUCKET_COUNT);
    }
    uint64_t value = middle_of(bucket);
    return value < histogram->min   ? histogram->min
           : value > histogram->max ? histogram->max
                                    : value;
}

double histogram_mean(const struct histogram *histogram)
{
    if (histogram->count == 0) {
        return 0;
    }
    double sum = (double)histogram->sum_high * 18446744073709551616.0 +
                 (double)histogram->sum_low;
    return sum / (double)histogram->count;
}

void histogram_encode(const struct histogram *histogram, struct writer *writer)
{
    uint32_t used_count = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
        used_count += histogram->buckets[i] > 0;
    }
    write_u8(writer, VERSION);
    write_u64(writer, histogram->min);
    write_u64(writer, histogram->max);
    write_u64(writer, histogram->sum_low);
    write_u64(writer, histogram->sum_high);
    write_u32(writer, used_count);
    for (size_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
        if (histogram->buckets[i] > 0) {
            write_u16(writer, (uint16_t)i);
            write_u64(writer, histogram->buckets[i]);
        }
    }
}

/* The buckets, in rising order and none empty. */
static bool read_buckets(struct histogram *to, struct reader *reader)
{
    uint32_t used_count = read_u32(reader);
    size_t next = 0; /* the lowest index that may follow */
    for (uint32_t i = 0; i < used_count; i++) {
        size_t index = read_u16(reader);
        uint64_t count = read_u64(reader);
        if (reader->failed || index < next || index >= HISTOGRAM_BUCKET_COUNT ||
            count == 0 || count > HISTOGRAM_COUNT_MAX - to->count) {
            return false;
        }
        to->buckets[index] = count;
        to->count += count;
        next = index + 1;
    }
    return !reader->failed;
}

/* Whether minimum, maximum and sum can belong to the buckets. */
static bool is_consistent(const struct histogram *histogram)
{
    if (histogram->count == 0) {
        return histogram->min == 0 && histogram->max == 0 &&
               histogram->sum_low == 0 && histogram->sum_high == 0;
    }
    size_t lowest = 0;
    while (histogram->buckets[lowest] == 0) {
        lowest++;
    }
    size_t highest = HISTOGRAM_BUCKET_COUNT - 1;
    while (histogram->buckets[highest] == 0) {
        highest--;
    }
    double mean = histogram_mean(histogram);
    const double rounding = 1e-9;
    return bucket_of(histogram->min) == lowest &&
           bucket_of(histogram->max) == highest &&
           histogram->min <= histogram->max &&
           mean >= (double)histogram->min * (1 - rounding) &&
           mean <= (double)histogram->max * (1 + rounding);
}

enum err histogram_decode(struct histogram *out, struct reader *reader)
{
    uint8_t version = read_u8(reader);
    if (reader->failed) {
        return ERR_MALFORMED;
    }
    if (version != VERSION) {
        return ERR_VERSION;
    }
    struct histogram decoded = {0};
    decoded.min = read_u64(reader);
    decoded.max = read_u64(reader);
    decoded.sum_low = read_u64(reader);
    decoded.sum_high = read_u64(reader);
    if (!read_buckets(&decoded, reader) || !is_consistent(&decoded)) {
        return ERR_MALFORMED;
    }
    *out = decoded;
    return ERR_NONE;
}
