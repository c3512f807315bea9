#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

#include "base/histogram.h"
#include "tests/support/seeded.h"

#define SAMPLE_COUNT 20000

static struct histogram first;
static struct histogram second;

static bool is_within_a_percent(uint64_t found, uint64_t exact)
{
    double difference = (double)found - (double)exact;
    difference = difference < 0 ? -difference : difference;
    return difference < 0.01 * (double)exact || found == exact;
}

static void an_empty_one_gives_zeros(void **state)
{
    (void)state;
    histogram_clear(&first);
    CHECK(first.count == 0);
    CHECK(histogram_percentile(&first, 0) == 0);
    CHECK(histogram_percentile(&first, 50) == 0);
    CHECK(histogram_percentile(&first, 100) == 0);
    CHECK(histogram_mean(&first) == 0);
}

/* Between two extremes nothing is clamped: the bucket itself is seen. */
static void check_error_of(uint64_t value)
{
    histogram_clear(&first);
    histogram_record(&first, 0);
    histogram_record(&first, value);
    histogram_record(&first, UINT64_MAX);
    CHECK(is_within_a_percent(histogram_percentile(&first, 50), value));
}

static void every_value_is_kept_to_within_a_percent(void **state)
{
    (void)state;
    struct seeded seeded = {.state = 3};
    for (uint64_t value = 0; value < 2000; value++) {
        check_error_of(value);
    }
    for (unsigned bit = 7; bit < 64; bit++) {
        uint64_t power = UINT64_C(1) << bit;
        check_error_of(power - 1);
        check_error_of(power);
        check_error_of(power + 1);
        check_error_of(power + (power >> 6) - 1); /* a bucket's last */
        check_error_of(power + (power >> 6));
        check_error_of(power + seeded_below(&seeded, power));
    }
    check_error_of(UINT64_MAX);
}

static void small_values_are_exact(void **state)
{
    (void)state;
    for (uint64_t value = 0; value < 128; value++) {
        histogram_clear(&first);
        histogram_record(&first, 0);
        histogram_record(&first, value);
        histogram_record(&first, 1000);
        CHECK(histogram_percentile(&first, 50) == value);
    }
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void percentiles_agree_with_sorted_values(void **state)
{
    (void)state;
    static uint64_t values[SAMPLE_COUNT];
    static const struct {
        double percent;
        size_t rank;
    } cases[] = {{0, 1},          {0.005, 1},         {0.006, 2},
                 {50, 10000},     {90, 18000},        {99, 19800},
                 {99.9, 19980},   {99.99, 19998},     {99.995, 19999},
                 {99.996, 20000}, {100, SAMPLE_COUNT}};
    struct seeded seeded = {.state = 11};
    histogram_clear(&first);
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        values[i] = seeded_u64(&seeded) >> seeded_below(&seeded, 64);
        histogram_record(&first, values[i]);
    }
    qsort(values, SAMPLE_COUNT, sizeof *values, compare);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK(
            is_within_a_percent(histogram_percentile(&first, cases[i].percent),
                                values[cases[i].rank - 1]));
    }
    CHECK(histogram_percentile(&first, 0) == values[0]);
    CHECK(histogram_percentile(&first, 100) == values[SAMPLE_COUNT - 1]);
    CHECK(first.min == values[0] && first.max == values[SAMPLE_COUNT - 1]);
}

static void one_value_is_every_percentile(void **state)
{
    (void)state;
    histogram_clear(&first);
    histogram_record(&first, 123456789);
    CHECK(histogram_percentile(&first, 0.01) == 123456789);
    CHECK(histogram_percentile(&first, 50) == 123456789);
    CHECK(histogram_percentile(&first, 99.99) == 123456789);
}

static void the_mean_is_exact_beyond_64_bits(void **state)
{
    (void)state;
    histogram_clear(&first);
    histogram_record(&first, 1);
    histogram_record(&first, 2);
    CHECK(histogram_mean(&first) == 1.5);
    histogram_clear(&first);
    for (int i = 0; i < 8; i++) {
        histogram_record(&first, UINT64_C(1) << 63);
    }
    CHECK(first.sum_high == 4 && first.sum_low == 0);
    CHECK(histogram_mean(&first) == 9223372036854775808.0);
}

static void merging_is_as_recording_in_one(void **state)
{
    (void)state;
    static struct histogram both;
    struct seeded seeded = {.state = 5};
    histogram_clear(&first);
    histogram_clear(&second);
    histogram_clear(&both);
    for (int i = 0; i < 5000; i++) {
        uint64_t value = seeded_u64(&seeded) >> seeded_below(&seeded, 64);
        histogram_record(i % 3 ? &first : &second, value);
        histogram_record(&both, value);
    }
    CHECK_OK(histogram_merge(&first, &second));
    CHECK(memcmp(&first, &both, sizeof both) == 0);
    histogram_clear(&second);
    CHECK_OK(histogram_merge(&first, &second)); /* nothing */
    CHECK(memcmp(&first, &both, sizeof both) == 0);
    CHECK_OK(histogram_merge(&second, &both)); /* into nothing */
    CHECK(memcmp(&second, &both, sizeof both) == 0);
}

static void a_merge_that_would_overflow_is_refused_whole(void **state)
{
    (void)state;
    histogram_clear(&first);
    histogram_record(&first, 5);
    first.count = HISTOGRAM_COUNT_MAX;
    first.buckets[5] = HISTOGRAM_COUNT_MAX;
    histogram_clear(&second);
    histogram_record(&second, 7);
    CHECK_ERR(histogram_merge(&second, &first), ERR_TOO_LARGE);
    CHECK(second.count == 1 && second.min == 7 && second.max == 7);
}

static uint8_t encoded[HISTOGRAM_ENCODED_BYTES_MAX];

static struct bytes encode(const struct histogram *histogram)
{
    struct writer writer = writer_of(encoded, sizeof encoded);
    histogram_encode(histogram, &writer);
    CHECK(!writer.failed);
    return writer_bytes(&writer);
}

static enum err decode(struct histogram *out, struct bytes bytes)
{
    struct reader reader = reader_of(bytes);
    enum err err = histogram_decode(out, &reader);
    CHECK(err || reader_left(&reader) == 0);
    return err;
}

static void fill_some(struct histogram *histogram)
{
    struct seeded seeded = {.state = 21};
    histogram_clear(histogram);
    for (int i = 0; i < 300; i++) {
        histogram_record(histogram,
                         seeded_u64(&seeded) >> seeded_below(&seeded, 64));
    }
}

static void what_was_encoded_comes_back(void **state)
{
    (void)state;
    fill_some(&first);
    CHECK_OK(decode(&second, encode(&first)));
    CHECK(memcmp(&first, &second, sizeof first) == 0);

    histogram_clear(&first);
    CHECK_OK(decode(&second, encode(&first)));
    CHECK(memcmp(&first, &second, sizeof first) == 0);

    for (size_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
        /* A value of each bucket: its lowest. */
        uint64_t shift = i < 128 ? 0 : i / 64 - 1;
        histogram_record(&first, (uint64_t)(i - shift * 64) << shift);
    }
    CHECK(encode(&first).length == HISTOGRAM_ENCODED_BYTES_MAX);
    CHECK_OK(decode(&second, encode(&first)));
    CHECK(memcmp(&first, &second, sizeof first) == 0);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    fill_some(&first);
    struct bytes whole = encode(&first);
    histogram_clear(&second);
    for (size_t length = 0; length < whole.length; length++) {
        CHECK_ERR(decode(&second, bytes_of(whole.data, length)), ERR_MALFORMED);
        CHECK(second.count == 0); /* as it was */
    }
}

/* Offsets in the form that histogram.h describes. */
enum { AT_MIN = 1, AT_MAX = 9, AT_SUM_HIGH = 25, AT_USED = 33, AT_FIRST = 37 };

static void what_no_recording_can_give_is_refused(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
    } damages[] = {
        {AT_MIN, 11},       {AT_MAX, 199},        {AT_SUM_HIGH, 1},
        {AT_USED, 1},       {AT_USED + 3, 0xff},  {AT_FIRST + 1, 0xff},
        {AT_FIRST + 2, 0},  {AT_FIRST + 9, 0x40}, {AT_FIRST, 20},
        {AT_FIRST + 10, 0}, {AT_FIRST + 10, 10},
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        histogram_clear(&first);
        histogram_record(&first, 10);
        histogram_record(&first, 20);
        struct bytes whole = encode(&first);
        CHECK(encoded[damages[i].at] != damages[i].value);
        encoded[damages[i].at] = damages[i].value;
        CHECK_ERR(decode(&second, whole), ERR_MALFORMED);
    }
    histogram_clear(&first);
    struct bytes whole = encode(&first);
    encoded[AT_MAX] = 1; /* of none */
    CHECK_ERR(decode(&second, whole), ERR_MALFORMED);
    encoded[0] = 2;
    CHECK_ERR(decode(&second, whole), ERR_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_one_gives_zeros),
        cmocka_unit_test(every_value_is_kept_to_within_a_percent),
        cmocka_unit_test(small_values_are_exact),
        cmocka_unit_test(percentiles_agree_with_sorted_values),
        cmocka_unit_test(one_value_is_every_percentile),
        cmocka_unit_test(the_mean_is_exact_beyond_64_bits),
        cmocka_unit_test(merging_is_as_recording_in_one),
        cmocka_unit_test(a_merge_that_would_overflow_is_refused_whole),
        cmocka_unit_test(what_was_encoded_comes_back),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(what_no_recording_can_give_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
